//! Wrapper of `shaders/frankot_chellappa.wgsl`; CPU twin: [`crate::integrate::frankot_chellappa`].

use super::buffers::{Access, bind_group, bind_group_layout, pipeline};
use super::{Gpu, GpuError, SurfaceBuffers, wgpu};
use crate::integrate::{MAX_SLOPE, centre_depth};
use crate::maps::{DepthMap, Mask, NormalMap, Plane, Size};
use std::collections::BTreeMap;
use std::sync::Mutex;

pub(super) const SOURCE: &str = include_str!("../../shaders/frankot_chellappa.wgsl");
pub(super) const BINDINGS: [Access; 4] =
    [Access::Uniform, Access::Read, Access::Read, Access::ReadWrite];
const TILE: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) inner: u32,
    pub(super) left_row_step: u32,
    pub(super) left_column_step: u32,
    pub(super) left_offset: u32,
    pub(super) right_row_step: u32,
    pub(super) right_column_step: u32,
    pub(super) component_step: u32,
    pub(super) max_slope: f32,
}

/// The compiled kernels.
#[derive(Debug)]
pub struct FrankotChellappaKernel {
    /// By length: the captures of a set share a size or two, and a basis costs more than its use.
    bases: Mutex<BTreeMap<usize, Basis>>,
    layout: wgpu::BindGroupLayout,
    slopes: wgpu::ComputePipeline,
    multiply: wgpu::ComputePipeline,
    project: wgpu::ComputePipeline,
}

/// A matrix on the device, read as it is or transposed.
#[derive(Clone, Copy)]
struct Factor<'a> {
    buffer: &'a wgpu::Buffer,
    /// Values before the matrix begins; left factors only.
    offset: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Factor<'a> {
    fn plain(buffer: &'a wgpu::Buffer, columns: usize) -> Self {
        Self { buffer, offset: 0, row_step: columns, column_step: 1 }
    }

    /// The transpose of a matrix that is stored with `columns` columns.
    fn transposed(buffer: &'a wgpu::Buffer, columns: usize) -> Self {
        Self { buffer, offset: 0, row_step: 1, column_step: columns }
    }
}

/// Basis matrices for one size: row = frequency, column = pixel.
#[derive(Clone, Debug)]
struct Basis {
    cosine: wgpu::Buffer,
    sine: wgpu::Buffer,
}

impl Basis {
    fn new(gpu: &Gpu, length: usize) -> Result<Self, GpuError> {
        let matrix = |function: fn(f64) -> f64| -> Vec<f32> {
            let step = std::f64::consts::PI / length as f64;
            (0..length * length)
                .map(|i| {
                    let (frequency, pixel) = ((i / length) as f64, (i % length) as f64);
                    function(step * frequency * (pixel + 0.5)) as f32
                })
                .collect()
        };
        let upload = |values: Vec<f32>| {
            gpu.upload_storage("the cosine basis", bytemuck::cast_slice(&values))
        };
        Ok(Self { cosine: upload(matrix(f64::cos))?, sine: upload(matrix(f64::sin))? })
    }
}

impl FrankotChellappaKernel {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let layout = bind_group_layout(device, &BINDINGS);
        let entry = |name: &str| pipeline(device, &layout, SOURCE, name, &[]);
        Self {
            slopes: entry("slopes"),
            multiply: entry("multiply"),
            project: entry("project_onto_integrable"),
            layout,
            bases: Mutex::default(),
        }
    }

    /// The basis of a length, made when first asked for. Clones share the buffers.
    fn basis(&self, gpu: &Gpu, length: usize) -> Result<Basis, GpuError> {
        let mut bases = self.bases.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(basis) = bases.get(&length) {
            return Ok(basis.clone());
        }
        let basis = Basis::new(gpu, length)?;
        bases.insert(length, basis.clone());
        Ok(basis)
    }

    /// Integrates normals that the host holds; see [`crate::integrate::frankot_chellappa`].
    ///
    /// # Panics
    /// If normals and mask differ in size.
    pub fn integrate(
        &self,
        gpu: &Gpu,
        normals: &NormalMap,
        mask: &Mask,
    ) -> Result<DepthMap, GpuError> {
        let buffer = gpu.upload_storage("the normal map", bytemuck::cast_slice(&normals.data))?;
        self.integrate_buffer(gpu, &buffer, normals.size.area(), normals.size, mask)
    }

    /// Integrates normals that were solved on the device and never left it.
    ///
    /// # Panics
    /// If normals and mask differ in size.
    pub fn integrate_surface(
        &self,
        gpu: &Gpu,
        surface: &SurfaceBuffers,
        mask: &Mask,
    ) -> Result<DepthMap, GpuError> {
        self.integrate_buffer(gpu, &surface.normals, surface.padded_area, surface.size, mask)
    }

    fn integrate_buffer(
        &self,
        gpu: &Gpu,
        normals: &wgpu::Buffer,
        component_step: usize,
        size: Size,
        mask: &Mask,
    ) -> Result<DepthMap, GpuError> {
        assert_eq!(size, mask.size, "a mask of the normals' size");
        let Size { height, width } = size;
        let area = size.area();
        if area == 0 {
            return Ok(Plane::new(size, Vec::new()));
        }
        let defined: Vec<f32> = mask.data.iter().map(|&d| if d { 1.0 } else { 0.0 }).collect();
        let defined = gpu.upload_storage("the mask", bytemuck::cast_slice(&defined))?;
        let (rows, columns) = (self.basis(gpu, height)?, self.basis(gpu, width)?);
        let image = |what| gpu.create_storage(what, area);

        let slopes = gpu.create_storage("the slopes", 2 * area)?;
        let params = Params {
            rows: height as u32,
            columns: width as u32,
            component_step: component_step as u32,
            max_slope: MAX_SLOPE,
            ..Default::default()
        };
        self.run(gpu, &self.slopes, params, normals, &defined, &slopes)?;

        let transform = |plane: usize,
                         along_width: &wgpu::Buffer,
                         along_height: &wgpu::Buffer|
         -> Result<wgpu::Buffer, GpuError> {
            let partly = image("a transform")?;
            self.multiply(
                gpu,
                Factor { offset: plane * area, ..Factor::plain(&slopes, width) },
                Factor::transposed(along_width, width),
                (height, width, width),
                &partly,
            )?;
            let whole = image("a transform")?;
            self.multiply(
                gpu,
                Factor::plain(along_height, height),
                Factor::plain(&partly, width),
                (height, height, width),
                &whole,
            )?;
            Ok(whole)
        };
        let p = transform(0, &columns.sine, &rows.cosine)?;
        let q = transform(1, &columns.cosine, &rows.sine)?;

        let coefficients = image("the coefficients")?;
        self.run(gpu, &self.project, params, &p, &q, &coefficients)?;

        let partly = image("a transform")?;
        self.multiply(
            gpu,
            Factor::transposed(&rows.cosine, height),
            Factor::plain(&coefficients, width),
            (height, height, width),
            &partly,
        )?;
        let depth = image("the depth map")?;
        self.multiply(
            gpu,
            Factor::plain(&partly, width),
            Factor::plain(&columns.cosine, width),
            (height, width, width),
            &depth,
        )?;
        let [depth] = gpu.download([(&depth, area)])?;
        Ok(centre_depth(Plane::new(size, depth), mask))
    }

    /// `result (rows, columns) = left (rows, inner) · right (inner, columns)`.
    fn multiply(
        &self,
        gpu: &Gpu,
        left: Factor,
        right: Factor,
        (rows, inner, columns): (usize, usize, usize),
        result: &wgpu::Buffer,
    ) -> Result<(), GpuError> {
        let params = Params {
            rows: rows as u32,
            columns: columns as u32,
            inner: inner as u32,
            left_row_step: left.row_step as u32,
            left_column_step: left.column_step as u32,
            left_offset: left.offset as u32,
            right_row_step: right.row_step as u32,
            right_column_step: right.column_step as u32,
            ..Default::default()
        };
        self.run(gpu, &self.multiply, params, left.buffer, right.buffer, result)
    }

    fn run(
        &self,
        gpu: &Gpu,
        pipeline: &wgpu::ComputePipeline,
        params: Params,
        left: &wgpu::Buffer,
        right: &wgpu::Buffer,
        result: &wgpu::Buffer,
    ) -> Result<(), GpuError> {
        let groups = [
            (params.columns as usize).div_ceil(TILE) as u32,
            (params.rows as usize).div_ceil(TILE) as u32,
        ];
        let uniform = gpu.upload_uniform(&params);
        let bindings = bind_group(&gpu.device, &self.layout, &[&uniform, left, right, result]);
        gpu.dispatch(pipeline, &bindings, groups)
    }
}
