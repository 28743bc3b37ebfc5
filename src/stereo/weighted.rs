//! Weighted least squares: samples in shadow, near saturation or far off the Lambertian model
//! count less, smoothly.
//!
//! A few rounds of `min_g Σ_j w_j (I_j − l_j·g)²` with `w = w_shadow · w_white · w_model`:
//!
//! - `w_model = 1 / (1 + u²)²`, `u = q / σ`: the Geman–McClure M-estimator (Geman and McClure
//!   1987; weight as in Zhang, Image and Vision Computing 15, 1997, table 1). It is redescending:
//!   a highlight ends with no say at all. It finds the minimum next to its start, so it starts
//!   from some rounds of least absolute differences ([`L1`](super::L1)), whose only minimum a few
//!   far outliers hardly move.
//! - `q = (I − l·g) / max(l·g, floor)` is the difference as a *share of the shading*. What
//!   separates a real surface from the model grows with the light that falls on it: errors of
//!   light intensity and direction, gloss, gain. Absolute differences would judge all of that by
//!   the brightest samples and never see the weak tail of a highlight.
//! - `σ = 1.4826 (1 + 5/(m − 3)) median |q|` over the m samples out of shadow, the robust scale with its
//!   correction for few samples (Rousseeuw and Leroy 1987, as Zhang gives it). With four lights it
//!   is wide, and the result close to plain least squares.
//! - `w_shadow`, `w_white` fall to almost nothing as a sample nears black or saturation, which
//!   bound it from one side only.
//!
//! Twin of the entry point `weighted` in `shaders/reweighted.wgsl`.

use super::blocks::{Block, BlockSolution, BlockSolver, Given, SUSPECT, advance, solve_blocks};
use super::l1::InverseWeight;
use super::normal_equations::{LANES, Lanes, lanes, shading};
use super::order::sort_lanes;
use super::{Solution, SolverError, likely_noise};
use crate::maps::{ImageStack, Lights, Mask};

/// Options of the weighted solver.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weighted {
    /// Below this share of the pixel's brightest sample a sample is shadow; its weight rises to
    /// full at twice that. Light from walls and sky fills shadows to a few percent.
    pub shadow: f32,
    /// The weight falls over this last share below saturation, where sensors bend.
    pub white: f32,
    /// Noise of one image, share of full scale: nothing smaller is held against a sample. `None`:
    /// what the pixels' type makes likely, see [`likely_noise`](super::likely_noise).
    pub noise: Option<f32>,
    /// Shading below this share of the pixel's brightest sample counts as this much: where the
    /// light grazes, small differences are large shares.
    pub grazing: f32,
    /// Rounds of least absolute differences before the others.
    pub start_rounds: u32,
    /// Rounds of Geman–McClure weights at most. A few suffice; late ones only turn to ever fewer
    /// samples.
    pub rounds: u32,
}

impl Default for Weighted {
    fn default() -> Self {
        Self { shadow: 0.02, white: 0.05, noise: None, grazing: 0.2, start_rounds: 6, rounds: 4 }
    }
}

/// Median absolute deviation of a normal law to its standard deviation.
const MAD_TO_SIGMA: f32 = 1.4826;

impl Weighted {
    /// A round that turns g by less than this, radians, is the last: 0.01°.
    pub(crate) const TOLERANCE: f32 = 1.7e-4;

    /// Solves every pixel of a stack with one image per light.
    ///
    /// NaN samples are left out, saturated ones (`images.white`) and black ones hardly count.
    /// Fewer than three samples, or samples whose lights lie in a plane, leave the normal NaN.
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
        let noise = self.noise.unwrap_or_else(|| likely_noise(images));
        solve_blocks(&Prepared { options: *self, noise }, images, lights, mask)
    }
}

struct Prepared {
    options: Weighted,
    noise: f32,
}

impl Prepared {
    /// Trust in each sample by its value alone.
    #[inline(always)]
    fn believe(&self, block: &Block<'_>, believed: &mut [Lanes]) {
        let one_over_level = lanes(|i| {
            let level = self.options.shadow * block.brightest[i];
            1.0 / if level > self.noise { level } else { self.noise }
        });
        for (j, believed) in believed.iter_mut().enumerate() {
            let (sample, trust) = (&block.samples[j], &block.trust[j]);
            let one_over_fall = 1.0 / (self.options.white * block.white[j]).max(f32::MIN_POSITIVE);
            *believed = lanes(|i| {
                let lit = (sample[i] * one_over_level[i] - 1.0).clamp(SUSPECT, 1.0);
                let unsaturated =
                    ((block.white[j] - sample[i]) * one_over_fall).clamp(SUSPECT, 1.0);
                let weight = if lit < unsaturated { lit } else { unsaturated };
                if trust[i] < weight { trust[i] } else { weight }
            });
        }
    }

    /// |q| in each lane.
    #[inline(always)]
    fn relative(&self, block: &Block<'_>, light: usize, g: &[Lanes; 3]) -> Lanes {
        let (model, sample) = (shading(block.rows[light], g), &block.samples[light]);
        let mut q = [0.0; LANES];
        for i in 0..LANES {
            let floor = self.options.grazing * block.brightest[i];
            let floor = if floor > self.noise { floor } else { self.noise };
            let shade = if model[i] > floor { model[i] } else { floor };
            q[i] = (sample[i] - model[i]).abs() / shade;
        }
        q
    }

    /// 1/σ in each lane; `sorted` is overwritten.
    #[inline(always)]
    fn one_over_sigma(
        &self,
        block: &Block<'_>,
        g: &[Lanes; 3],
        believed: &[Lanes],
        sorted: &mut [Lanes],
    ) -> Lanes {
        let mut counted = [0.0f32; LANES];
        for (j, sorted) in sorted.iter_mut().enumerate() {
            let q = self.relative(block, j, g);
            for i in 0..LANES {
                let counts = (believed[j][i] >= 0.5) & (q[i] >= 0.0);
                sorted[i] = if counts { q[i] } else { f32::INFINITY };
                counted[i] += if counts { 1.0 } else { 0.0 };
            }
        }
        sort_lanes(sorted);
        // Rank (m − 1)/2, rounded down, is j where m is 2j + 1 or 2j + 2.
        let mut median = [0.0; LANES];
        for (j, sorted) in sorted.iter().enumerate() {
            let (odd, even) = ((2 * j + 1) as f32, (2 * j + 2) as f32);
            for i in 0..LANES {
                let here = (counted[i] == odd) | (counted[i] == even);
                median[i] = if here { sorted[i] } else { median[i] };
            }
        }
        let mut result = [0.0; LANES];
        for i in 0..LANES {
            let m = counted[i];
            let sigma = MAD_TO_SIGMA * (1.0 + 5.0 / (m - 3.0)) * median[i];
            let noise = self.noise / block.brightest[i];
            let scale = 1.0 / if sigma > noise { sigma } else { noise };
            // With three or fewer nothing tells an outlier: no scale, every weight 1.
            result[i] = if m > 3.0 { scale } else { 0.0 };
        }
        result
    }

    /// Sets `weights` to `w_shadow · w_white · w_model` at `g`.
    #[inline(always)]
    fn weigh(&self, block: &Block<'_>, g: &[Lanes; 3], believed: &[Lanes], weights: &mut [Lanes]) {
        // The weights' place serves to sort in first.
        let scale = self.one_over_sigma(block, g, believed, weights);
        for (j, weight) in weights.iter_mut().enumerate() {
            let q = self.relative(block, j, g);
            *weight = lanes(|i| {
                let u = q[i] * scale[i];
                let fall = 1.0 / (1.0 + u * u);
                believed[j][i] * (fall * fall)
            });
        }
    }
}

impl BlockSolver for Prepared {
    #[inline(always)]
    fn solve_block(
        &self,
        block: &Block<'_>,
        weights: &mut [Lanes],
        believed: &mut [Lanes],
    ) -> BlockSolution {
        self.believe(block, believed);
        let mut g = block.solve(believed);
        let start = InverseWeight { believed, scale: [self.noise; LANES] };
        for _ in 0..self.options.start_rounds {
            let step = block.step(&g, &start);
            advance(&mut g, &step, &mut [true; LANES], 0.0);
        }
        let mut active = [true; LANES];
        for _ in 0..self.options.rounds {
            self.weigh(block, &g, believed, weights);
            let step = block.step(&g, &Given(weights));
            advance(&mut g, &step, &mut active, Weighted::TOLERANCE);
            if !active.contains(&true) {
                break;
            }
        }
        self.weigh(block, &g, believed, weights);
        BlockSolution::of_weights(block, g, weights)
    }
}
