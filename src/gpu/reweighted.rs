//! Wrapper of `shaders/reweighted.wgsl`; CPU twins: [`crate::stereo::Weighted`],
//! [`crate::stereo::Trimmed`] and [`crate::stereo::L1`].
//!
//! A pixel's k raw values are read from memory once (later rounds find them in the cache) and its
//! seven results written once: `k · bytes + 28` bytes a pixel, the least possible.

use super::buffers::{Access, bind_group, bind_group_layout};
use super::raw_samples::{SamplePipelines, raw_bytes};
use super::solution::SolutionBuffers;
use super::{Gpu, GpuError, wgpu};
use crate::maps::{ImageStack, Lights};
use crate::stereo::{L1, Solution, Trimmed, Weighted, check_lights, light_rows, likely_noise};

pub(super) const SOURCE: &str = concat!(
    include_str!("../../shaders/shared/raw_samples.wgsl"),
    include_str!("../../shaders/reweighted.wgsl"),
);
pub(super) const BINDINGS: [Access; 8] = [
    Access::Uniform,
    Access::Read,
    Access::Read,
    Access::ReadWrite,
    Access::ReadWrite,
    Access::ReadWrite,
    Access::ReadWrite,
    Access::ReadWrite,
];
const WORKGROUP: usize = 128;

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) quads: u32,
    pub(super) lights: u32,
    pub(super) unit: f32,
    pub(super) nan_bits: u32,
    pub(super) noise: f32,
    pub(super) shadow: f32,
    pub(super) grazing: f32,
    pub(super) smoothing: f32,
    pub(super) tolerance: f32,
    pub(super) rounds: u32,
    pub(super) start_rounds: u32,
    pub(super) darkest: f32,
    pub(super) brightest: f32,
    pub(super) most_noise: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Light {
    pub(super) row: [f32; 4],
    pub(super) limit: [f32; 4],
}

/// One of the solvers that this kernel knows, with its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reweighted {
    Weighted(Weighted),
    Trimmed(Trimmed),
    L1(L1),
}

impl Reweighted {
    fn entry_point(self) -> (usize, &'static str) {
        match self {
            Reweighted::Weighted(_) => (0, "weighted"),
            Reweighted::Trimmed(_) => (1, "trimmed"),
            Reweighted::L1(_) => (2, "l1"),
        }
    }
}

/// The kernels, one a solver, compiled when first used.
#[derive(Debug)]
pub struct ReweightedKernel {
    layout: wgpu::BindGroupLayout,
    pipelines: [SamplePipelines; 3],
}

/// A stack on the device with room for its results, ready to be solved (again and again, when
/// timing).
#[derive(Debug)]
pub struct PreparedReweighted {
    solver: Reweighted,
    bits: u32,
    quads: usize,
    bindings: wgpu::BindGroup,
    pub solution: SolutionBuffers,
}

impl ReweightedKernel {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        Self { layout: bind_group_layout(device, &BINDINGS), pipelines: Default::default() }
    }

    /// Solves a stack and copies the maps to the host. What the maps hold is as the solver's own
    /// `solve` says.
    ///
    /// # Errors
    /// Lights that cannot be solved, or a GPU that fails.
    ///
    /// # Panics
    /// If the stack does not hold one image per light.
    pub fn solve(
        &self,
        gpu: &Gpu,
        solver: Reweighted,
        images: &ImageStack,
        lights: &Lights,
    ) -> Result<Solution, GpuError> {
        let stack = self.prepare(gpu, solver, images, lights)?;
        self.run(gpu, &stack)?;
        stack.solution.download(gpu)
    }

    /// Uploads a stack and its lights.
    ///
    /// # Errors
    /// As [`ReweightedKernel::solve`].
    ///
    /// # Panics
    /// If the stack does not hold one image per light.
    pub fn prepare(
        &self,
        gpu: &Gpu,
        solver: Reweighted,
        images: &ImageStack,
        lights: &Lights,
    ) -> Result<PreparedReweighted, GpuError> {
        check_lights(images, lights)?;
        let (bits, quads, raw) = raw_bytes(images);
        let unit = 1.0 / images.pixels.full_scale();
        let mut params = Params {
            quads: quads as u32,
            lights: images.count as u32,
            unit,
            nan_bits: f32::NAN.to_bits(),
            ..Default::default()
        };
        let mut fall = 0.0;
        match solver {
            Reweighted::Weighted(options) => {
                fall = options.white;
                params.noise = options.noise.unwrap_or_else(|| likely_noise(images));
                params.shadow = options.shadow;
                params.grazing = options.grazing;
                params.tolerance = Weighted::TOLERANCE;
                params.rounds = options.rounds;
                params.start_rounds = options.start_rounds;
            }
            Reweighted::Trimmed(options) => {
                params.darkest = options.darkest;
                params.brightest = options.brightest;
                // Infinity is no number to rely on in WGSL.
                params.most_noise = (options.most_noise * options.most_noise).min(f32::MAX);
            }
            Reweighted::L1(options) => {
                params.shadow = options.shadow;
                params.smoothing = options.smoothing;
                params.tolerance = options.tolerance_deg.to_radians();
                params.rounds = options.rounds;
            }
        }
        let light = |(([x, y, z], e), white): (([f32; 3], &f32), &f32)| {
            let white = white * unit;
            Light {
                row: [x, y, z, 1.0 / e],
                limit: [white, 1.0 / (fall * white).max(f32::MIN_POSITIVE), 0.0, 0.0],
            }
        };
        let rows = light_rows(lights).into_iter().zip(&lights.intensities).zip(&images.white);
        let coefficients: Vec<Light> = rows.map(light).collect();
        let solution = SolutionBuffers::create(gpu, images.size)?;
        let bindings = bind_group(
            &gpu.device,
            &self.layout,
            &[
                &gpu.upload_uniform(&params),
                &gpu.upload_storage("the lights", bytemuck::cast_slice(&coefficients))?,
                &gpu.upload_storage("the image stack", &raw)?,
                &solution.surface.normals,
                &solution.surface.albedo,
                &solution.surface.residual,
                &solution.lights_used,
                &solution.noise_gain,
            ],
        );
        Ok(PreparedReweighted { solver, bits, quads, bindings, solution })
    }

    /// Solves a prepared stack; returns once it is queued.
    pub fn run(&self, gpu: &Gpu, stack: &PreparedReweighted) -> Result<(), GpuError> {
        let (index, entry_point) = stack.solver.entry_point();
        let pipeline =
            self.pipelines[index].get(gpu, &self.layout, SOURCE, entry_point, stack.bits);
        gpu.dispatch(pipeline, &stack.bindings, [stack.quads.div_ceil(WORKGROUP) as u32, 1])
    }
}
