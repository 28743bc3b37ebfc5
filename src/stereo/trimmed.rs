//! Trimmed least squares: a pixel's darkest and brightest samples are dropped, and least squares
//! is solved on the rest.
//!
//! Shadows are the darkest and highlights the brightest samples of a pixel, so with enough lights
//! the middle of the sorted samples is Lambertian: the rank-order selection of Coleman and Jain
//! (Computer Graphics and Image Processing 18, 1982) for four lights, taken to many. Samples are sorted by what they would be under lights of one intensity.
//!
//! Twin of the entry point `trimmed` in `shaders/reweighted.wgsl`.

use super::blocks::{Block, BlockSolution, BlockSolver, SUSPECT, solve_blocks};
use super::normal_equations::{LANES, Lanes, NormalEquations, lanes};
use super::order::sort_lanes;
use super::{Solution, SolverError};
use crate::maps::{ImageStack, Lights, Mask};

/// Options of the trimmed solver.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trimmed {
    /// Share of a pixel's samples dropped as darkest, rounded down. A quarter on each side is the
    /// interquartile range.
    pub darkest: f32,
    /// Share dropped as brightest, rounded down.
    pub brightest: f32,
    /// Lights are put back, brightest first, while the kept ones pass on more than this many
    /// times the noise that all would. Dropping half of them costs √2 if they are spread alike.
    pub most_noise: f32,
}

impl Default for Trimmed {
    fn default() -> Self {
        Self { darkest: 0.25, brightest: 0.25, most_noise: 1.5 }
    }
}

impl Trimmed {
    /// How many of `observed` samples are dropped as darkest and brightest, at least three kept.
    fn drops(&self, observed: usize) -> [usize; 2] {
        let share = |share: f32| (observed as f32 * share) as usize;
        let mut drops = [share(self.darkest), share(self.brightest)];
        while drops.iter().sum::<usize>() + 3 > observed && put_back(&mut drops) {}
        drops
    }

    /// Solves every pixel of a stack with one image per light.
    ///
    /// NaN samples are left out, saturated ones (`images.white`) hardly count. At least three
    /// samples are kept, more where those would pass on too much noise. A sample equal to the last
    /// one kept is kept too. Fewer than three samples, or samples whose lights lie in a plane,
    /// leave the normal NaN.
    ///
    /// # Errors
    /// Fewer than three lights, or lights in a plane.
    ///
    /// # Panics
    /// If the stack does not hold one image per light.
    pub fn solve(&self, images: &ImageStack, lights: &Lights) -> Result<Solution, SolverError> {
        self.solve_within(images, lights, None)
    }

    /// As [`Self::solve`], for the pixels of a mask; those off it may be left unsolved.
    ///
    /// # Errors
    /// As [`Self::solve`].
    ///
    /// # Panics
    /// As [`Self::solve`], or if the mask is of another size.
    pub fn solve_within(
        &self,
        images: &ImageStack,
        lights: &Lights,
        mask: Option<&Mask>,
    ) -> Result<Solution, SolverError> {
        let one_over_intensity = lights.intensities.iter().map(|e| 1.0 / e).collect();
        solve_blocks(&Prepared { options: *self, one_over_intensity }, images, lights, mask)
    }
}

struct Prepared {
    options: Trimmed,
    one_over_intensity: Vec<f32>,
}

/// Drops one fewer, of the brightest first: every surface casts shadows, not every one is glossy.
/// False where nothing is dropped.
fn put_back(drops: &mut [usize; 2]) -> bool {
    match drops {
        [_, brightest] if *brightest > 0 => *brightest -= 1,
        [darkest, _] if *darkest > 0 => *darkest -= 1,
        _ => return false,
    }
    true
}

impl Prepared {
    /// Gives the kept samples their trust and the others next to nothing; returns
    /// `trace((LᵀWL)⁻¹)`.
    #[inline(always)]
    fn weigh(
        &self,
        block: &Block<'_>,
        sorted: &[Lanes],
        drops: &[[usize; 2]; LANES],
        weights: &mut [Lanes],
    ) -> Lanes {
        let (mut least, mut most) = ([0.0; LANES], [0.0; LANES]);
        for i in 0..LANES {
            let last = (block.observed[i] as usize).max(1) - 1;
            least[i] = sorted[drops[i][0]][i];
            most[i] = sorted[last - drops[i][1]][i];
        }
        let mut equations = NormalEquations::zero();
        for (j, weight) in weights.iter_mut().enumerate() {
            let (sample, trust) = (&block.samples[j], &block.trust[j]);
            *weight = lanes(|i| {
                let key = sample[i] * self.one_over_intensity[j];
                let kept = (key >= least[i]) & (key <= most[i]);
                trust[i] * if kept { 1.0 } else { SUSPECT }
            });
            equations.add(block.rows[j], weight, sample);
        }
        equations.solve().1
    }
}

impl BlockSolver for Prepared {
    #[inline(always)]
    fn solve_block(
        &self,
        block: &Block<'_>,
        weights: &mut [Lanes],
        sorted: &mut [Lanes],
    ) -> BlockSolution {
        for (j, sorted) in sorted.iter_mut().enumerate() {
            let (sample, trust) = (&block.samples[j], &block.trust[j]);
            for i in 0..LANES {
                let key = sample[i] * self.one_over_intensity[j];
                // What was not observed sorts behind everything.
                sorted[i] = if trust[i] > 0.0 { key } else { f32::INFINITY };
            }
        }
        sort_lanes(sorted);
        let all = self.weigh(block, sorted, &[[0; 2]; LANES], weights);
        let limit = self.options.most_noise * self.options.most_noise;
        let mut drops = block.observed.map(|m| self.options.drops(m as usize));
        loop {
            let trace = self.weigh(block, sorted, &drops, weights);
            let mut changed = false;
            for i in 0..LANES {
                // NaN: the kept lights lie in a plane. Where all of them do nothing helps.
                let noisy = trace[i].is_nan() || trace[i] > limit * all[i];
                if noisy && !all[i].is_nan() {
                    changed |= put_back(&mut drops[i]);
                }
            }
            if !changed {
                break;
            }
        }
        BlockSolution::of_weights(block, block.solve(weights), weights)
    }
}
