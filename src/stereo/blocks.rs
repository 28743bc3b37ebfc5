//! The frame of the reweighted solvers: a stack is cut into blocks of sixteen pixels, each block
//! is brought into the first-level cache as floats once, a solver iterates on it there, and what
//! every solver reports is computed from its weights in one place.
//!
//! The loops are plain and vectorise over the lanes; on x86-64 they are compiled for AVX2 and
//! AVX-512 too and chosen at run time. No lane looks at another, so a pixel's result hangs on
//! nothing but its samples.

use super::normal_equations::{LANES, Lanes, NormalEquations, lanes, shading};
use super::{Solution, SolverError, SurfaceMaps};
use crate::maps::{ImageStack, Lights, Mask, Pixels, Plane};
use rayon::prelude::*;

/// Weight of a sample that is seen but not believed (saturated, in shadow, trimmed).
///
/// Not zero, so that a pixel with fewer than three believed samples still gets the normal that
/// the others hint at, with a noise gain that leaves it no confidence. Beside believed samples it
/// turns a normal by less than 0.001°.
pub(super) const SUSPECT: f32 = 1e-5;

/// Sixteen pixels under k lights.
pub(super) struct Block<'a> {
    /// Direction times intensity, per light.
    pub rows: &'a [[f32; 3]],
    /// Shares of full scale per light; 0 where there is no observation.
    pub samples: &'a [Lanes],
    /// 1, [`SUSPECT`] where saturated, 0 where there is no observation.
    pub trust: &'a [Lanes],
    /// Saturation level per light, share of full scale.
    pub white: &'a [f32],
    /// The largest sample that is not saturated.
    pub brightest: Lanes,
    /// Number of observations.
    pub observed: Lanes,
}

impl Block<'_> {
    /// Solves with the weights that a light's differences from the model at `g` get, and returns
    /// the step from `g`.
    ///
    /// Solving for the step and not for `g` refines what rounding spoilt before.
    #[inline(always)]
    pub(super) fn step(&self, g: &[Lanes; 3], weighing: &impl Weighing) -> [Lanes; 3] {
        let mut equations = NormalEquations::zero();
        for (j, (row, sample)) in self.rows.iter().zip(self.samples).enumerate() {
            let model = shading(*row, g);
            let residual = lanes(|i| sample[i] - model[i]);
            equations.add(*row, &weighing.weight(j, &residual), &residual);
        }
        equations.solve().0
    }

    /// Weighted least squares. The second step takes off what the rounding of the first left.
    #[inline(always)]
    pub(super) fn solve(&self, weights: &[Lanes]) -> [Lanes; 3] {
        let mut g = [[0.0; LANES]; 3];
        for _ in 0..2 {
            let step = self.step(&g, &Given(weights));
            for (g, step) in g.iter_mut().zip(&step) {
                for i in 0..LANES {
                    g[i] += step[i];
                }
            }
        }
        g
    }
}

/// The weight of a light's samples, given their differences from the model.
///
/// Not a closure: one that is not inlined is compiled for the baseline processor.
pub(super) trait Weighing {
    fn weight(&self, light: usize, residual: &Lanes) -> Lanes;
}

/// Weights that do not hang on the differences.
pub(super) struct Given<'a>(pub &'a [Lanes]);

impl Weighing for Given<'_> {
    #[inline(always)]
    fn weight(&self, light: usize, _: &Lanes) -> Lanes {
        self.0[light]
    }
}

/// A solver of pixels that lie side by side. `weights` and `spare` are its workspace, k lanes each.
pub(super) trait BlockSolver: Sync {
    /// Whether it estimates ambient light.
    const AMBIENT: bool = false;

    fn solve_block(
        &self,
        block: &Block<'_>,
        weights: &mut [Lanes],
        spare: &mut [Lanes],
    ) -> BlockSolution;
}

/// What a block's pixels come to; unsolved ones are NaN in `g`.
pub(super) struct BlockSolution {
    pub g: [Lanes; 3],
    /// Sum of the weights.
    pub used: Lanes,
    /// Weighted mean square of the differences.
    pub mean_square: Lanes,
    /// `trace((LᵀWL)⁻¹)`.
    pub trace: Lanes,
    /// 0 where it is not estimated.
    pub ambient: Lanes,
}

/// Fewer observations leave g open.
const LEAST_OBSERVATIONS: f32 = 3.0;
/// Pixels a task: a whole number of blocks, enough to hide its cost.
const TASK: usize = 256 * LANES;

/// Adds a step to `g` where `active`, and leaves active those that still move: by more than
/// `tolerance` as a share of the length of `g`.
#[inline(always)]
pub(super) fn advance(
    g: &mut [Lanes; 3],
    step: &[Lanes; 3],
    active: &mut [bool; LANES],
    tolerance: f32,
) {
    for i in 0..LANES {
        let mut moved = 0.0;
        let mut length = 0.0;
        for axis in 0..3 {
            let d = if active[i] { step[axis][i] } else { 0.0 };
            g[axis][i] += d;
            moved += d * d;
            length += g[axis][i] * g[axis][i];
        }
        active[i] &= moved > tolerance * tolerance * length;
    }
}

/// Refuses lights that no solver can use.
///
/// # Panics
/// If the stack does not hold one image per light.
pub(crate) fn check_lights(images: &ImageStack, lights: &Lights) -> Result<(), SolverError> {
    assert_eq!(images.count, lights.len(), "one image per light");
    if lights.len() < 3 {
        return Err(SolverError::TooFewLights { needed: 3, got: lights.len() });
    }
    let condition = lights.condition_number();
    if condition.is_finite() { Ok(()) } else { Err(SolverError::LightsInPlane) }
}

/// Each light's direction times its intensity.
pub(crate) fn light_rows(lights: &Lights) -> Vec<[f32; 3]> {
    lights.light_matrix().row_iter().map(|r| [r[0], r[1], r[2]].map(|v| v as f32)).collect()
}

/// Solves a stack with one image per light: every pixel, or all of the mask's. Pixels off the
/// mask may be left unsolved.
///
/// # Panics
/// If the stack does not hold one image per light, or the mask is of another size.
pub(super) fn solve_blocks<S: BlockSolver>(
    solver: &S,
    images: &ImageStack,
    lights: &Lights,
    mask: Option<&Mask>,
) -> Result<Solution, SolverError> {
    check_lights(images, lights)?;
    let rows = light_rows(lights);
    Ok(solve_rows(solver, &rows, images, mask))
}

/// As [`solve_blocks`], for lights that were checked.
pub(super) fn solve_rows<S: BlockSolver>(
    solver: &S,
    rows: &[[f32; 3]],
    images: &ImageStack,
    mask: Option<&Mask>,
) -> Solution {
    if let Some(mask) = mask {
        assert_eq!(mask.size, images.size, "a mask of the images' size");
    }
    match &images.pixels {
        Pixels::U8(values) => solve_pixels(solver, rows, values, images, mask),
        Pixels::U16(values) => solve_pixels(solver, rows, values, images, mask),
        Pixels::F32(values) => solve_pixels(solver, rows, values, images, mask),
    }
}

fn solve_pixels<S: BlockSolver, T: Copy + Into<f32> + Sync>(
    solver: &S,
    rows: &[[f32; 3]],
    values: &[T],
    images: &ImageStack,
    mask: Option<&Mask>,
) -> Solution {
    let area = images.size.area();
    let unit = 1.0 / images.pixels.full_scale();
    let white: Vec<f32> = images.white.iter().map(|w| w * unit).collect();
    let mask = mask.map(|mask| &mask.data[..]);
    let source = Source { rows, values, area, unit, white: &white, mask };
    let mut surface = SurfaceMaps::unset(images.size);
    let mut lights_used = Plane::filled(images.size, 0.0);
    let mut noise_gain = Plane::filled(images.size, f32::NAN);
    let mut ambient = Plane::filled(images.size, f32::NAN);
    let (x, yz) = surface.normals.data.split_at_mut(area);
    let (y, z) = yz.split_at_mut(area);
    let solve_task = widest_solve_task::<S, T>();
    (
        x.par_chunks_mut(TASK),
        y.par_chunks_mut(TASK),
        z.par_chunks_mut(TASK),
        surface.albedo.data.par_chunks_mut(TASK),
        surface.residual.data.par_chunks_mut(TASK),
        lights_used.data.par_chunks_mut(TASK),
        noise_gain.data.par_chunks_mut(TASK),
        ambient.data.par_chunks_mut(TASK),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(task, (x, y, z, albedo, residual, used, gain, ambient))| {
            let out = [x, y, z, albedo, residual, used, gain, ambient];
            solve_task(solver, &source, task * TASK, out);
        });
    Solution { surface, lights_used, noise_gain, ambient: S::AMBIENT.then_some(ambient) }
}

struct Source<'a, T> {
    rows: &'a [[f32; 3]],
    values: &'a [T],
    area: usize,
    unit: f32,
    white: &'a [f32],
    mask: Option<&'a [bool]>,
}

/// n_x, n_y, n_z, albedo, residual, lights used, noise gain, ambient of a run of pixels.
type Outputs<'a> = [&'a mut [f32]; 8];

type SolveTask<S, T> = fn(&S, &Source<'_, T>, usize, Outputs<'_>);

/// The widest version of [`solve_task`] that this processor runs.
fn widest_solve_task<S: BlockSolver, T: Copy + Into<f32>>() -> SolveTask<S, T> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor was just seen to have the features.
            return |solver, source, first, out| unsafe {
                solve_task_avx512(solver, source, first, out)
            };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return |solver, source, first, out| unsafe {
                solve_task_avx2(solver, source, first, out)
            };
        }
    }
    solve_task
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn solve_task_avx512<S: BlockSolver, T: Copy + Into<f32>>(
    solver: &S,
    source: &Source<'_, T>,
    first: usize,
    out: Outputs<'_>,
) {
    solve_task(solver, source, first, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn solve_task_avx2<S: BlockSolver, T: Copy + Into<f32>>(
    solver: &S,
    source: &Source<'_, T>,
    first: usize,
    out: Outputs<'_>,
) {
    solve_task(solver, source, first, out);
}

#[inline(always)]
fn solve_task<S: BlockSolver, T: Copy + Into<f32>>(
    solver: &S,
    source: &Source<'_, T>,
    first: usize,
    mut out: Outputs<'_>,
) {
    let count = source.rows.len();
    let [mut samples, mut trust, mut weights, mut spare] =
        std::array::from_fn(|_| vec![[0.0; LANES]; count]);
    let length = out[0].len();
    for start in (0..length).step_by(LANES) {
        let n = LANES.min(length - start);
        if source.mask.is_some_and(|mask| !mask[first + start..][..n].contains(&true)) {
            continue;
        }
        let (brightest, observed) = load(source, first + start, n, &mut samples, &mut trust);
        let block = Block {
            rows: source.rows,
            samples: &samples,
            trust: &trust,
            white: source.white,
            brightest,
            observed,
        };
        let solution = solver.solve_block(&block, &mut weights, &mut spare);
        let results = solution.maps(&block);
        for (out, result) in out.iter_mut().zip(&results) {
            out[start..start + n].copy_from_slice(&result[..n]);
        }
    }
}

/// Reads `n` pixels from `first` on; lanes beyond them have no observation. Returns the largest
/// sample that is not saturated and the number of observations.
#[inline(always)]
fn load<T: Copy + Into<f32>>(
    source: &Source<'_, T>,
    first: usize,
    n: usize,
    samples: &mut [Lanes],
    trust: &mut [Lanes],
) -> (Lanes, Lanes) {
    let (mut brightest, mut observed) = ([0.0f32; LANES], [0.0f32; LANES]);
    for (j, (samples, trust)) in samples.iter_mut().zip(trust).enumerate() {
        let mut raw = [f32::NAN; LANES];
        for (raw, value) in raw.iter_mut().zip(&source.values[j * source.area + first..][..n]) {
            *raw = (*value).into();
        }
        for i in 0..LANES {
            let value = raw[i] * source.unit;
            let seen = value.abs() < f32::INFINITY;
            let saturated = value >= source.white[j];
            samples[i] = if seen { value } else { 0.0 };
            let belief = if saturated { SUSPECT } else { 1.0 };
            trust[i] = if seen { belief } else { 0.0 };
            let candidate = if seen & !saturated { value } else { 0.0 };
            brightest[i] = if candidate > brightest[i] { candidate } else { brightest[i] };
            observed[i] += if seen { 1.0 } else { 0.0 };
        }
    }
    (brightest, observed)
}

impl BlockSolution {
    /// What `g` leaves under the final weights.
    #[inline(always)]
    pub(super) fn of_weights(block: &Block<'_>, g: [Lanes; 3], weights: &[Lanes]) -> Self {
        let mut equations = NormalEquations::zero();
        let (mut used, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for ((row, sample), weight) in block.rows.iter().zip(block.samples).zip(weights) {
            let model = shading(*row, &g);
            equations.add(*row, weight, sample);
            for i in 0..LANES {
                let residual = sample[i] - model[i];
                used[i] += weight[i];
                squares[i] += weight[i] * residual * residual;
            }
        }
        let (_, trace) = equations.solve();
        let mean_square = lanes(|i| squares[i] / used[i]);
        Self { g, used, mean_square, trace, ambient: [0.0; LANES] }
    }

    /// In the order of [`Outputs`].
    #[inline(always)]
    fn maps(&self, block: &Block<'_>) -> [Lanes; 8] {
        let mut out = [[f32::NAN; LANES]; 8];
        for (i, observed) in block.observed.iter().enumerate() {
            let [x, y, z] = [self.g[0][i], self.g[1][i], self.g[2][i]];
            let squared = x * x + y * y + z * z;
            let observed = *observed >= LEAST_OBSERVATIONS;
            // A pixel without light is dark, but has no normal.
            let (solved, known) = (observed && squared > 0.0, observed && squared >= 0.0);
            let length = squared.sqrt();
            let inverse = if solved { 1.0 / length } else { f32::NAN };
            [out[0][i], out[1][i], out[2][i]] = [x * inverse, y * inverse, z * inverse];
            out[3][i] = if known { length } else { f32::NAN };
            out[4][i] = if known { self.mean_square[i].sqrt() } else { f32::NAN };
            out[5][i] = if solved { self.used[i] } else { 0.0 };
            out[6][i] = if solved { self.trace[i].sqrt() } else { f32::NAN };
            out[7][i] = if known { self.ambient[i] } else { f32::NAN };
        }
        out
    }
}
