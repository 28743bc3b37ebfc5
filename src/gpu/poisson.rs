//! Wrapper of `shaders/poisson.wgsl`; CPU twin: [`crate::integrate::poisson()`].
//!
//! The device does [`ITERATIONS`] iterations of conjugate gradients, each with a V-cycle over all
//! levels, from one submission; then one number, the residual, comes back, and it stops or goes
//! on. Of what each kernel must read and write once, neighbours taken as cached, a V-cycle moves
//! 102 bytes a pixel on the finest level (16 in the first sweep, 20 in each of three others, 17
//! to restrict, 9 to prolong) and 136 on all levels; the rest of an iteration moves 60.
//!
//! Depth is made of u on the host, as in the twin: it takes connected components.

use super::buffers::{Access, bind_group, bind_group_layout, pipeline};
use super::{Gpu, GpuError, wgpu};
use crate::geometry::Camera;
use crate::integrate::{
    COARSEST_SWEEPS, DAMPING, Facets, HOLE_WEIGHT, MAX_SLOPE, MOST_ITERATIONS, SWEEPS, TOLERANCE,
};
use crate::maps::{DepthMap, Mask, NormalMap, Plane, Size};

pub(super) const SOURCE: &str = include_str!("../../shaders/poisson.wgsl");
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
const TILE: usize = 16;
/// Iterations between two looks at the residual. A solve takes about 15.
const ITERATIONS: usize = 4;
/// Scalars before the partial sums: energy, old energy, curvature, squared residual and its
/// target.
const SCALARS: usize = 5;
const CURVATURE: usize = 2;
const SQUARED_RESIDUAL: usize = 3;
const TARGET: usize = 4;

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) first: u32,
    pub(super) coarse_height: u32,
    pub(super) coarse_width: u32,
    pub(super) coarse_first: u32,
    pub(super) down: u32,
    pub(super) vector: u32,
    pub(super) partials: u32,
    pub(super) origin_row: u32,
    pub(super) origin_column: u32,
    pub(super) map_width: u32,
    pub(super) component_step: u32,
    pub(super) perspective: u32,
    pub(super) focal_column: f32,
    pub(super) focal_row: f32,
    pub(super) centre_column: f32,
    pub(super) centre_row: f32,
    pub(super) max_slope: f32,
    pub(super) hole_weight: f32,
    pub(super) damping: f32,
    pub(super) target_share: f32,
}

/// The compiled kernels.
#[derive(Debug)]
pub struct PoissonKernel {
    layout: wgpu::BindGroupLayout,
    edges: wgpu::ComputePipeline,
    divergence: wgpu::ComputePipeline,
    coarsen: wgpu::ComputePipeline,
    first_sweep: wgpu::ComputePipeline,
    sweep: wgpu::ComputePipeline,
    restrict_residual: wgpu::ComputePipeline,
    prolong: wgpu::ComputePipeline,
    measure_energy: wgpu::ComputePipeline,
    measure_residual: wgpu::ComputePipeline,
    turn: wgpu::ComputePipeline,
    measure_curvature: wgpu::ComputePipeline,
    advance: wgpu::ComputePipeline,
    total_energy: wgpu::ComputePipeline,
    total_curvature: wgpu::ComputePipeline,
    total_residual: wgpu::ComputePipeline,
    total_first: wgpu::ComputePipeline,
}

/// A grid of the hierarchy, with its bindings.
struct Level {
    size: Size,
    /// Sweeps from solution to scratch, and from scratch to solution.
    forth: wgpu::BindGroup,
    back: wgpu::BindGroup,
}

impl Level {
    fn groups(&self) -> [u32; 2] {
        [self.size.width, self.size.height].map(|n| n.div_ceil(TILE) as u32)
    }
}

impl PoissonKernel {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let layout = bind_group_layout(device, &BINDINGS);
        let entry = |name: &str| pipeline(device, &layout, SOURCE, name, &[]);
        let total =
            |slot: usize| pipeline(device, &layout, SOURCE, "total", &[("slot", slot as f64)]);
        Self {
            edges: entry("edges"),
            divergence: entry("divergence"),
            coarsen: entry("coarsen"),
            first_sweep: entry("first_sweep"),
            sweep: entry("sweep"),
            restrict_residual: entry("restrict_residual"),
            prolong: entry("prolong"),
            measure_energy: entry("measure_energy"),
            measure_residual: entry("measure_residual"),
            turn: entry("turn"),
            measure_curvature: entry("measure_curvature"),
            advance: entry("advance"),
            total_energy: total(0),
            total_curvature: total(CURVATURE),
            total_residual: total(SQUARED_RESIDUAL),
            total_first: total(TARGET),
            layout,
        }
    }

    /// Integrates normals over their mask; see [`crate::integrate::poisson()`].
    ///
    /// # Errors
    /// A map that does not fit the device, or a device that gives no result.
    ///
    /// # Panics
    /// If normals and mask differ in size.
    pub fn integrate(
        &self,
        gpu: &Gpu,
        normals: &NormalMap,
        mask: &Mask,
        camera: Option<&Camera>,
    ) -> Result<DepthMap, GpuError> {
        let Some(facets) = Facets::new(normals, mask, camera, MAX_SLOPE) else {
            return Ok(Plane::filled(mask.size, f32::NAN));
        };
        let u = self.solve(gpu, normals, mask, camera, &facets)?;
        Ok(facets.depth(&u))
    }

    fn solve(
        &self,
        gpu: &Gpu,
        normals: &NormalMap,
        mask: &Mask,
        camera: Option<&Camera>,
        facets: &Facets,
    ) -> Result<Vec<f32>, GpuError> {
        let cells = facets.grid.len();
        let (levels, vectors) = self.levels(gpu, normals, mask, camera, facets)?;
        let is_unfinished = || -> Result<bool, GpuError> {
            let place = 3 * cells + SQUARED_RESIDUAL..3 * cells + TARGET + 1;
            let [scalars] = gpu.download_parts([(&vectors, place)])?;
            // False for zero and NaN, which are as good as it gets.
            Ok(scalars[0] > scalars[1])
        };

        let finest = &levels[0];
        gpu.submit_pass(|pass| {
            let mut run = |pipeline, level: &Level, groups| {
                record(pass, pipeline, &level.forth, groups);
            };
            run(&self.edges, finest, finest.groups());
            run(&self.divergence, finest, finest.groups());
            for pair in levels.windows(2) {
                run(&self.coarsen, &pair[0], pair[1].groups());
            }
            run(&self.measure_residual, finest, finest.groups());
            run(&self.total_first, finest, [1, 1]);
        });
        let mut iterations = 0;
        while iterations < MOST_ITERATIONS && is_unfinished()? {
            gpu.submit_pass(|pass| (0..ITERATIONS).for_each(|_| self.iterate(pass, &levels)));
            iterations += ITERATIONS;
        }
        let [u] = gpu.download([(&vectors, cells)])?;
        Ok(u)
    }

    /// One iteration of conjugate gradients.
    fn iterate(&self, pass: &mut wgpu::ComputePass, levels: &[Level]) {
        self.cycle(pass, levels);
        let (finest, groups) = (&levels[0], levels[0].groups());
        // The V-cycle leaves its result where `back` reads from.
        for (pipeline, groups) in [
            (&self.measure_energy, groups),
            (&self.total_energy, [1, 1]),
            (&self.turn, groups),
            (&self.measure_curvature, groups),
            (&self.total_curvature, [1, 1]),
            (&self.advance, groups),
            (&self.total_residual, [1, 1]),
        ] {
            record(pass, pipeline, &finest.back, groups);
        }
    }

    /// One V-cycle from zero. Each level's result ends in the scratch, where `back` reads from:
    /// the number of sweeps that change sides is odd on every way there.
    fn cycle(&self, pass: &mut wgpu::ComputePass, levels: &[Level]) {
        const { assert!(SWEEPS == 2 && COARSEST_SWEEPS.is_multiple_of(2)) };
        let Some((fine, coarser)) = levels.split_first() else { return };
        let groups = fine.groups();
        record(pass, &self.first_sweep, &fine.forth, groups);
        let Some(coarse) = coarser.first() else {
            for sweep in 1..COARSEST_SWEEPS {
                let bindings = if sweep % 2 == 1 { &fine.forth } else { &fine.back };
                record(pass, &self.sweep, bindings, groups);
            }
            return;
        };
        record(pass, &self.sweep, &fine.forth, groups);
        record(pass, &self.restrict_residual, &fine.back, coarse.groups());
        self.cycle(pass, coarser);
        record(pass, &self.prolong, &fine.back, groups);
        record(pass, &self.sweep, &fine.back, groups);
        record(pass, &self.sweep, &fine.forth, groups);
    }

    /// The hierarchy of grids with its buffers, and the buffer of the vectors.
    fn levels(
        &self,
        gpu: &Gpu,
        normals: &NormalMap,
        mask: &Mask,
        camera: Option<&Camera>,
        facets: &Facets,
    ) -> Result<(Vec<Level>, wgpu::Buffer), GpuError> {
        let mut sizes = vec![facets.grid.size];
        while let Some(size) = sizes.last().filter(|s| s.width.max(s.height) > 2) {
            sizes.push(Size::new(size.height.div_ceil(2), size.width.div_ceil(2)));
        }
        let length = |size: &Size| (size.height + 2) * (size.width + 1);
        let cells = length(&sizes[0]);
        let firsts: Vec<usize> = sizes
            .iter()
            .scan(0, |next, size| {
                *next += length(size);
                Some(*next - length(size))
            })
            .collect();
        let all: usize = sizes.iter().map(length).sum();
        let partials = sizes[0].width.div_ceil(TILE) * sizes[0].height.div_ceil(TILE);

        let defined: Vec<f32> = mask.data.iter().map(|&d| if d { 1.0 } else { 0.0 }).collect();
        let defined = gpu.upload_storage("the mask", bytemuck::cast_slice(&defined))?;
        let normals_buffer =
            gpu.upload_storage("the normal map", bytemuck::cast_slice(&normals.data))?;
        let weights = gpu.create_storage("the weights", 2 * all)?;
        let right_hand_side = gpu.create_storage("the residual", all)?;
        let solution = gpu.create_storage("the correction", all)?;
        let scratch = gpu.create_storage("the correction", all)?;
        let vectors = gpu.create_storage("the search", 3 * cells + SCALARS + partials)?;

        let camera = camera.copied();
        let [focal_column, focal_row] = camera.map_or([1.0; 2], |c| c.focal_px.map(|f| f as f32));
        let [centre_column, centre_row] =
            camera.map_or([0.0; 2], |c| c.centre_px.map(|f| f as f32));
        let levels = sizes.iter().enumerate().map(|(index, &size)| {
            let coarse = (index + 1).min(sizes.len() - 1);
            let params = Params {
                height: size.height as u32,
                width: size.width as u32,
                first: firsts[index] as u32,
                coarse_height: sizes[coarse].height as u32,
                coarse_width: sizes[coarse].width as u32,
                coarse_first: firsts[coarse] as u32,
                down: all as u32,
                vector: cells as u32,
                partials: partials as u32,
                origin_row: facets.origin[0] as u32,
                origin_column: facets.origin[1] as u32,
                map_width: mask.size.width as u32,
                component_step: mask.size.area() as u32,
                perspective: u32::from(camera.is_some()),
                focal_column,
                focal_row,
                centre_column,
                centre_row,
                max_slope: MAX_SLOPE,
                hole_weight: HOLE_WEIGHT,
                damping: DAMPING,
                target_share: (TOLERANCE * TOLERANCE) as f32,
            };
            let uniform = gpu.upload_uniform(&params);
            let bind = |before, after| {
                let buffers: [&wgpu::Buffer; 8] = [
                    &uniform,
                    &normals_buffer,
                    &defined,
                    &weights,
                    &right_hand_side,
                    before,
                    after,
                    &vectors,
                ];
                bind_group(&gpu.device, &self.layout, &buffers)
            };
            Level { size, forth: bind(&solution, &scratch), back: bind(&scratch, &solution) }
        });
        let levels: Vec<Level> = levels.collect();
        gpu.check_groups(levels[0].groups())?;
        Ok((levels, vectors))
    }
}

fn record(
    pass: &mut wgpu::ComputePass,
    pipeline: &wgpu::ComputePipeline,
    bindings: &wgpu::BindGroup,
    [x, y]: [u32; 2],
) {
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bindings, &[]);
    pass.dispatch_workgroups(x, y, 1);
}
