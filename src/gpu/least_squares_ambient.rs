//! Wrapper of `shaders/least_squares_ambient.wgsl`; CPU twin:
//! [`crate::stereo::LeastSquaresAmbient`].
//!
//! Reads each raw value and writes each of eight results once: `k · bytes + 32` bytes a pixel.

use super::buffers::{Access, bind_group, bind_group_layout};
use super::raw_samples::{SamplePipelines, raw_bytes};
use super::solution::SolutionBuffers;
use super::{Gpu, GpuError, wgpu};
use crate::maps::ImageStack;
use crate::stereo::AmbientInverse;

pub(super) const SOURCE: &str = concat!(
    include_str!("../../shaders/shared/raw_samples.wgsl"),
    include_str!("../../shaders/least_squares_ambient.wgsl"),
);
pub(super) const BINDINGS: [Access; 9] = [
    Access::Uniform,
    Access::Read,
    Access::Read,
    Access::ReadWrite,
    Access::ReadWrite,
    Access::ReadWrite,
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
    pub(super) nan_bits: u32,
    pub(super) noise_gain: f32,
    pub(super) most_noise: f32,
    pub(super) padding: [f32; 2],
    pub(super) mean_row: [f32; 4],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Light {
    pub(super) row: [f32; 4],
    pub(super) inverse_column: [f32; 4],
}

/// The kernel, compiled when first used.
#[derive(Debug)]
pub struct LeastSquaresAmbientKernel {
    layout: wgpu::BindGroupLayout,
    pipelines: SamplePipelines,
}

/// A stack on the device with room for its results, ready to be solved (again and again, when
/// timing).
#[derive(Debug)]
pub struct PreparedAmbient {
    bits: u32,
    quads: usize,
    bindings: wgpu::BindGroup,
    pub solution: SolutionBuffers,
}

impl LeastSquaresAmbientKernel {
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
        solver: &AmbientInverse,
        images: &ImageStack,
    ) -> Result<PreparedAmbient, GpuError> {
        assert_eq!(images.count, solver.light_count(), "one image per light");
        let (bits, quads, raw) = raw_bytes(images);
        let unit = 1.0 / images.pixels.full_scale();
        let lights: Vec<Light> = solver
            .coefficients()
            .zip(&images.white)
            .map(|(([x, y, z], inverse_column), white)| Light {
                row: [x, y, z, white * unit],
                inverse_column,
            })
            .collect();
        let mean = |axis: usize| {
            lights.iter().map(|light| light.row[axis]).sum::<f32>() / lights.len() as f32
        };
        let params = Params {
            quads: quads as u32,
            lights: images.count as u32,
            unit,
            nan_bits: f32::NAN.to_bits(),
            noise_gain: solver.noise_gain,
            most_noise: solver.most_noise,
            padding: [0.0; 2],
            mean_row: [mean(0), mean(1), mean(2), 0.0],
        };
        let ambient = gpu.create_storage("the ambient map", 4 * quads)?;
        let mut solution = SolutionBuffers::create(gpu, images.size)?;
        let bindings = bind_group(
            &gpu.device,
            &self.layout,
            &[
                &gpu.upload_uniform(&params),
                &gpu.upload_storage("the lights", bytemuck::cast_slice(&lights))?,
                &gpu.upload_storage("the image stack", &raw)?,
                &solution.surface.normals,
                &solution.surface.albedo,
                &solution.surface.residual,
                &solution.lights_used,
                &solution.noise_gain,
                &ambient,
            ],
        );
        solution.ambient = Some(ambient);
        Ok(PreparedAmbient { bits, quads, bindings, solution })
    }

    /// Solves a prepared stack; returns once it is queued.
    pub fn run(&self, gpu: &Gpu, stack: &PreparedAmbient) -> Result<(), GpuError> {
        let pipeline =
            self.pipelines.get(gpu, &self.layout, SOURCE, "least_squares_ambient", stack.bits);
        gpu.dispatch(pipeline, &stack.bindings, [stack.quads.div_ceil(WORKGROUP) as u32, 1])
    }
}
