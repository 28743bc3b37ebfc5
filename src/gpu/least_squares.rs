//! Wrapper of `shaders/least_squares.wgsl`; CPU twin: [`crate::stereo::LeastSquares`].
//!
//! Raw pixels go up as the files hold them, four values a word; normals, albedo and residual
//! come out of the one pass. Nothing else is written in between.

use super::buffers::{Access, bind_group, bind_group_layout};
use super::raw_samples::{SamplePipelines, raw_bytes};
use super::solution::SurfaceBuffers;
use super::{Gpu, GpuError, wgpu};
use crate::maps::ImageStack;
use crate::stereo::LeastSquares;

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

/// The kernel, compiled when first used.
#[derive(Debug)]
pub struct LeastSquaresKernel {
    layout: wgpu::BindGroupLayout,
    pipelines: SamplePipelines,
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
        Self { layout: bind_group_layout(device, &BINDINGS), pipelines: Default::default() }
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
        let pipeline = self.pipelines.get(gpu, &self.layout, SOURCE, "least_squares", stack.bits);
        gpu.dispatch(pipeline, &stack.bindings, [stack.quads.div_ceil(WORKGROUP) as u32, 1])
    }
}
