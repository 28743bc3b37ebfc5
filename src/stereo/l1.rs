//! Least absolute differences: `min_g Σ_j |I_j − l_j·g|`.
//!
//! Shadows and highlights are few and large; a sum of absolute values lets them stand, where a sum
//! of squares bends the normal to them. It is the convex baseline of robust photometric stereo
//! (Ikehata, Wipf, Matsushita and Aizawa, CVPR 2012, compare theirs with it). Solved by iteratively
//! reweighted least squares, weights `1 / max(|r|, ε)` (Wolke and Schwetlick, SIAM J. Sci. Stat.
//! Comput. 9, 1988): with ε it minimises Huber's function, quadratic below ε, whose minimum lies
//! within ε of the sum of absolute values per light.
//!
//! Twin of the entry point `l1` in `shaders/reweighted.wgsl`.

use super::blocks::{Block, BlockSolution, BlockSolver, SUSPECT, Weighing, advance, solve_blocks};
use super::normal_equations::{LANES, Lanes, lanes, shading};
use super::{Solution, SolverError};
use crate::maps::{ImageStack, Lights, Mask};

/// Options of the L1 solver.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct L1 {
    /// ε: differences below it count as squares, share of full scale. A twentieth of a grey level
    /// of 8 bits: below any camera's noise, so that it does not bend the result, and far above
    /// the rounding of f32.
    pub smoothing: f32,
    /// At and below this share of the pixel's brightest sample a sample is shadow and hardly
    /// counts. Light from walls and sky fills shadows to a few percent.
    pub shadow: f32,
    /// A pixel is done when a round turns g by less than this angle, degrees.
    pub tolerance_deg: f32,
    /// Rounds at most. The error shrinks by a constant factor a round (Wolke and Schwetlick).
    pub rounds: u32,
}

impl Default for L1 {
    fn default() -> Self {
        Self { smoothing: 2e-4, shadow: 0.02, tolerance_deg: 0.01, rounds: 60 }
    }
}

impl L1 {
    /// Solves every pixel of a stack with one image per light.
    ///
    /// NaN samples are left out, saturated ones (`images.white`) and black ones hardly count.
    /// Fewer than three samples, or samples whose lights lie in a plane, leave the normal NaN.
    /// For `lights_used` and `noise_gain` a light weighs `min(1, s/|r|)`, s the mean absolute
    /// difference (the scale of the Laplace law that L1 assumes).
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
        solve_blocks(self, images, lights, mask)
    }
}

/// `believed · scale / max(|r|, scale)`
#[inline(always)]
fn inverse_weight(believed: &Lanes, residual: &Lanes, scale: &Lanes) -> Lanes {
    lanes(|i| {
        let size = residual[i].abs();
        let larger = if size > scale[i] { size } else { scale[i] };
        believed[i] * scale[i] / larger
    })
}

/// Weights `believed · scale / max(|r|, scale)`, believed given per light.
pub(super) struct InverseWeight<'a> {
    pub believed: &'a [Lanes],
    pub scale: Lanes,
}

impl Weighing for InverseWeight<'_> {
    #[inline(always)]
    fn weight(&self, light: usize, residual: &Lanes) -> Lanes {
        inverse_weight(&self.believed[light], residual, &self.scale)
    }
}

impl BlockSolver for L1 {
    #[inline(always)]
    fn solve_block(
        &self,
        block: &Block<'_>,
        weights: &mut [Lanes],
        believed: &mut [Lanes],
    ) -> BlockSolution {
        let smoothing = [self.smoothing; LANES];
        for ((believed, trust), sample) in believed.iter_mut().zip(block.trust).zip(block.samples) {
            for i in 0..LANES {
                let factor =
                    if sample[i] <= self.shadow * block.brightest[i] { SUSPECT } else { 1.0 };
                believed[i] = if trust[i] < factor { trust[i] } else { factor };
            }
        }
        let mut g = block.solve(believed);
        let mut active = [true; LANES];
        let tolerance = self.tolerance_deg.to_radians();
        for _ in 0..self.rounds {
            let step = block.step(&g, &InverseWeight { believed, scale: smoothing });
            advance(&mut g, &step, &mut active, tolerance);
            if !active.contains(&true) {
                break;
            }
        }
        // For the report: the lights that lie within the scale of the differences count fully.
        let (mut sum, mut count) = ([0.0; LANES], [0.0; LANES]);
        for ((row, sample), believed) in block.rows.iter().zip(block.samples).zip(&*believed) {
            let model = shading(*row, &g);
            for i in 0..LANES {
                sum[i] += believed[i] * (sample[i] - model[i]).abs();
                count[i] += believed[i];
            }
        }
        let mut scale = smoothing;
        for i in 0..LANES {
            let mean = sum[i] / count[i];
            scale[i] = if mean > scale[i] { mean } else { scale[i] };
        }
        for (j, weight) in weights.iter_mut().enumerate() {
            let (model, sample) = (shading(block.rows[j], &g), &block.samples[j]);
            let residual = lanes(|i| sample[i] - model[i]);
            *weight = inverse_weight(&believed[j], &residual, &scale);
        }
        BlockSolution::of_weights(block, g, weights)
    }
}
