//! Wrapper of `shaders/least_squares.wgsl`; CPU twin: [`crate::stereo::LeastSquares`].
//!
//! Raw pixels go up as the files hold them, four values a word; normals, albedo and residual
//! come out of the one pass. Nothing else is written in between.

use super::buffers::{Access, bind_group, bind_group_layout, pipeline};
use super::{Gpu, GpuError, wgpu};
use crate::maps::{ImageStack, NormalMap, Pixels, Plane, Size};
use crate::stereo::{LeastSquares, SurfaceMaps};

pub(super) const SOURCE: &str = include_str!("../../shaders/least_squares.wgsl");
pub(super) const BINDINGS: [Access; 6] = [
    Access::Uniform,
    Access::Read,
    Access::Read,
    Access::ReadWrite,
    Access::ReadWrite,
    Access::ReadWrite,
];
const WORKGROUP: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) quads: u32,
    pub(super) lights: u32,
    pub(super) unit: f32,
    pub(super) residual_scale: f32,
    pub(super) nan_bits: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Light {
    pub(super) row: [f32; 4],
    pub(super) inverse_column: [f32; 4],
}

/// The compiled kernel, for 8-bit, 16-bit and float values.
#[derive(Debug)]
pub struct LeastSquaresKernel {
    layout: wgpu::BindGroupLayout,
    for_u8: wgpu::ComputePipeline,
    for_u16: wgpu::ComputePipeline,
    for_f32: wgpu::ComputePipeline,
}

/// Solved maps that stay on the device.
#[derive(Debug)]
pub struct SurfaceBuffers {
    pub size: Size,
    /// Pixels of one component, padded to a multiple of four.
    pub(super) padded_area: usize,
    pub(super) normals: wgpu::Buffer,
    pub(super) albedo: wgpu::Buffer,
    pub(super) residual: wgpu::Buffer,
}

/// A stack on the device with room for its results, ready to be solved (again and again, when
/// timing).
#[derive(Debug)]
pub struct PreparedStack {
    bits: u32,
    quads: usize,
    bindings: wgpu::BindGroup,
    pub surface: SurfaceBuffers,
}

impl LeastSquaresKernel {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let layout = bind_group_layout(device, &BINDINGS);
        let with_bits =
            |bits: f64| pipeline(device, &layout, SOURCE, "least_squares", &[("bits", bits)]);
        Self { for_u8: with_bits(8.0), for_u16: with_bits(16.0), for_f32: with_bits(32.0), layout }
    }

    /// Uploads a stack and its coefficients.
    ///
    /// # Panics
    /// If the stack does not hold one image per light of the solver.
    pub fn prepare(
        &self,
        gpu: &Gpu,
        solver: &LeastSquares,
        images: &ImageStack,
    ) -> Result<PreparedStack, GpuError> {
        assert_eq!(images.count, solver.light_count(), "one image per light");
        let (bits, quads, raw) = raw_bytes(images);
        let unit = 1.0 / images.pixels.full_scale();
        let params = Params {
            quads: quads as u32,
            lights: images.count as u32,
            unit,
            residual_scale: unit / (images.count as f32).sqrt(),
            nan_bits: f32::NAN.to_bits(),
        };
        let lights: Vec<Light> = solver
            .coefficients()
            .map(|([a, b, c], [d, e, f])| Light {
                row: [a, b, c, 0.0],
                inverse_column: [d, e, f, 0.0],
            })
            .collect();
        let surface = SurfaceBuffers::create(gpu, images.size)?;
        let bindings = bind_group(
            &gpu.device,
            &self.layout,
            &[
                &gpu.upload_uniform(&params),
                &gpu.upload_storage("the lights", bytemuck::cast_slice(&lights))?,
                &gpu.upload_storage("the image stack", &raw)?,
                &surface.normals,
                &surface.albedo,
                &surface.residual,
            ],
        );
        Ok(PreparedStack { bits, quads, bindings, surface })
    }

    /// Solves a prepared stack; returns once it is queued.
    pub fn run(&self, gpu: &Gpu, stack: &PreparedStack) -> Result<(), GpuError> {
        let pipeline = match stack.bits {
            8 => &self.for_u8,
            16 => &self.for_u16,
            _ => &self.for_f32,
        };
        gpu.dispatch(pipeline, &stack.bindings, [stack.quads.div_ceil(WORKGROUP) as u32, 1])
    }
}

impl SurfaceBuffers {
    /// Room for the maps of an image of this size.
    pub(super) fn create(gpu: &Gpu, size: Size) -> Result<Self, GpuError> {
        let quads = size.area().div_ceil(4);
        Ok(Self {
            size,
            padded_area: 4 * quads,
            normals: gpu.create_storage("the normal map", 12 * quads)?,
            albedo: gpu.create_storage("the albedo map", 4 * quads)?,
            residual: gpu.create_storage("the residual map", 4 * quads)?,
        })
    }

    /// Copies the maps to the host.
    pub fn download(&self, gpu: &Gpu) -> Result<SurfaceMaps, GpuError> {
        let (area, padded) = (self.size.area(), self.padded_area);
        let [normals, albedo, residual] = gpu.download([
            (&self.normals, 3 * padded),
            (&self.albedo, area),
            (&self.residual, area),
        ])?;
        let component = |c: usize| &normals[c * padded..c * padded + area];
        Ok(SurfaceMaps {
            normals: NormalMap::new(self.size, [component(0), component(1), component(2)].concat()),
            albedo: Plane::new(self.size, albedo),
            residual: Plane::new(self.size, residual),
        })
    }
}

/// A stack as the kernels read it: bits of a value, groups of four pixels per image, and the bytes.
pub(super) fn raw_bytes(images: &ImageStack) -> (u32, usize, Vec<u8>) {
    let area = images.size.area();
    let quads = area.div_ceil(4);
    match &images.pixels {
        Pixels::U8(values) => (8, quads, padded_bytes(values, area, quads)),
        Pixels::U16(values) => (16, quads, padded_bytes(values, area, quads)),
        Pixels::F32(values) => (32, quads, padded_bytes(values, area, quads)),
    }
}

/// The bytes of (k, area) values with each image padded to `4 * quads` values.
pub(super) fn padded_bytes<T: bytemuck::NoUninit>(
    values: &[T],
    area: usize,
    quads: usize,
) -> Vec<u8> {
    let value_bytes = size_of::<T>();
    if area == 4 * quads {
        return bytemuck::cast_slice(values).to_vec();
    }
    let mut bytes = Vec::with_capacity(values.len() / area.max(1) * 4 * quads * value_bytes);
    for image in values.chunks_exact(area) {
        bytes.extend_from_slice(bytemuck::cast_slice(image));
        bytes.resize(bytes.len() + (4 * quads - area) * value_bytes, 0);
    }
    bytes
}
