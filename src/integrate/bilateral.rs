//! Integration that keeps jumps of depth: bilateral normal integration (Cao, Santo, Okura and
//! Matsushita, "Bilateral Normal Integration", ECCV 2022).
//!
//! *The idea.* A surface may end at one side of a pixel, but seldom at both (it is
//! semi-smooth). So each pixel writes one equation toward each neighbour, and of each opposite
//! pair the one with the smaller jump counts. With u as in [`super::gradients`], c the cosine of
//! a normal to its line of sight and Δ⁺, Δ⁻ the differences of u to the next and from the
//! previous pixel of a row (eq. 12 and 20 there, likewise along columns):
//!
//! `minimise Σ_p ω⁺ (c Δ⁺ − c d⁺)² + ω⁻ (c Δ⁻ − c d⁻)²`, `ω⁺ = σ(k (c Δ⁻)² − k (c Δ⁺)²)`,
//! `ω⁻ = 1 − ω⁺`, σ the logistic function.
//!
//! The weights hang on u, so they and u are found in turn, from ω = ½ on. On an edge (p, q) the
//! two equations that name it add up to one of weight `w_pq = ω⁺_p c_p² + ω⁻_q c_q²`: each turn
//! is a problem for [`super::multigrid`], which starts where the last one ended.
//!
//! *Where this departs from the paper.*
//! - The paper lets each pixel's normal foresee the step by itself, so that an edge's step
//!   comes out as the mean of the two weighed by c². Where a steep face meets a flat one, that
//!   is nearly the flat one's step and, whatever u is, too small: over a crease that lies
//!   anywhere between the pixels the expected step is the plain mean. Here
//!   `d_pq = (d⁺_p + d⁻_q)/2` serves both equations. Whole parts that hang on such creases (a
//!   head on its neck) otherwise slide in depth.
//! - Normals are limited to [`MAX_SLOPE_BILATERAL`], since a plain mean believes them more.
//! - When the turns no longer come closer, some pixels flip to and fro between their two sides:
//!   then new weights are mixed with the old, the more so the longer it lasts.
//! - It ends when the depth stands still, not when the energy does: a part that slides changes
//!   it little.

use super::gradients::{Axis, Edge, Facets, HOLE_WEIGHT};
use super::multigrid::{Grid, Multigrid, for_spans};
use super::wide::widest;
use crate::geometry::Camera;
use crate::maps::{DepthMap, Mask, NormalMap, Plane};

/// Steepest slope that is believed, tan 87°: the best methods of photometric stereo err by some
/// 3°, so a steeper normal is not told from one that is edge-on.
pub const MAX_SLOPE_BILATERAL: f32 = 19.081_137;

/// Least weight of an edge: a part that is cut off all around keeps its place by it, but is not
/// held against any other edge.
const LEAST_WEIGHT: f32 = 1e-7;
/// |b − A u| / |b| of each turn.
const SOLVE_TOLERANCE: f64 = 1e-4;
/// A turn takes about 15 iterations.
const MOST_SOLVE_ITERATIONS: usize = 100;
/// Turns no longer come closer when one moves the depth by more than this share of the last.
const STALLED: f64 = 0.9;
/// What each stalled turn takes off the share of the new weights, and the least share.
const MIXING: f32 = 0.8;
const LEAST_SHARE: f32 = 0.05;

/// How [`bilateral`] decides.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BilateralOptions {
    /// Sharpness of the choice between two sides, per square pixel of (foreshortened) step; 0
    /// makes it least squares. The paper's choice for real surfaces is 2.
    pub k: f32,
    /// Most turns of weights and solve, at least 1.
    pub iterations: usize,
    /// Ends when a turn moves the depth by less than this, on average over the mask, in pixels.
    pub tolerance: f32,
}

impl Default for BilateralOptions {
    fn default() -> Self {
        Self { k: 2.0, iterations: 150, tolerance: 0.01 }
    }
}

/// Integrates a normal map over its mask and keeps jumps of depth where the normals call for
/// them.
///
/// Depth, components, camera, NaN and threads as for [`super::poisson()`]; normals steeper than
/// [`MAX_SLOPE_BILATERAL`] are taken as that steep. How far a jump goes, normals do not say
/// there: the two sides lie to each other as the rest of their outline joins them.
///
/// # Panics
/// If normals and mask differ in size.
pub fn bilateral(
    normals: &NormalMap,
    mask: &Mask,
    camera: Option<&Camera>,
    options: &BilateralOptions,
) -> DepthMap {
    let Some(facets) = Facets::new(normals, mask, camera, MAX_SLOPE_BILATERAL) else {
        return Plane::filled(mask.size, f32::NAN);
    };
    let grid = facets.grid;
    let mut multigrid = Multigrid::new(grid);
    let [right_steps, right_least] = facets.edges(Axis::Right, step_and_least_weight);
    let [down_steps, down_least] = facets.edges(Axis::Down, step_and_least_weight);
    let steps = [right_steps, down_steps];
    let mut sides = Sides {
        facing: facets.cosines().into_iter().map(|c| c * c).collect(),
        least: [right_least, down_least],
        forward: [vec![0.5; grid.len()], vec![0.5; grid.len()]],
    };
    let pixels = facets.defined.iter().filter(|&&defined| defined).count();
    let (mut u, mut last) = (grid.zeros(), grid.zeros());
    let (mut share, mut last_move) = (1.0, f64::INFINITY);
    for turn in 0..options.iterations.max(1) {
        if turn > 0 {
            sides.choose(grid, &u, options.k, share);
        }
        multigrid.set_weights(|weights| sides.weigh(grid, weights));
        last.copy_from_slice(&u);
        multigrid.solve(&mut u, &steps, SOLVE_TOLERANCE, MOST_SOLVE_ITERATIONS);
        let moved = sum_of_differences(&u[grid.span()], &last[grid.span()]) / pixels as f64;
        if moved < f64::from(options.tolerance) {
            break;
        }
        if moved > STALLED * last_move {
            share = (share * MIXING).max(LEAST_SHARE);
        }
        last_move = moved;
    }
    facets.depth(&u)
}

/// The step of an edge, and the weight that it has at least (0 marks an edge out of the mask).
fn step_and_least_weight(edge: &Edge) -> [f32; 2] {
    match edge.normals.map(|normal| normal.and_then(|normal| edge.step(normal))) {
        [Some(p), Some(q)] => [0.5 * (p + q), LEAST_WEIGHT],
        [Some(one), None] | [None, Some(one)] => [one, LEAST_WEIGHT],
        [None, None] => [0.0, HOLE_WEIGHT],
    }
}

/// Which of its two sides each pixel believes, along rows and columns.
struct Sides {
    /// c² per pixel, 0 without a normal.
    facing: Vec<f32>,
    /// Least weight per edge.
    least: [Vec<f32>; 2],
    /// ω⁺ per pixel.
    forward: [Vec<f32>; 2],
}

impl Sides {
    /// Moves ω⁺ by `share` of the way to what u asks for.
    fn choose(&mut self, grid: Grid, u: &[f32], k: f32, share: f32) {
        for ((forward, least), step) in self.forward.iter_mut().zip(&self.least).zip(grid.steps()) {
            for_spans(&mut forward[grid.span()], grid.stride, |out, first| {
                choose_side(out, first, step, u, &self.facing, least, k, share);
            });
        }
    }

    fn weigh(&self, grid: Grid, weights: &mut [Vec<f32>; 2]) {
        for (axis, step) in grid.steps().into_iter().enumerate() {
            for_spans(&mut weights[axis][grid.span()], grid.stride, |out, first| {
                edge_weights(
                    out,
                    first,
                    step,
                    &self.facing,
                    &self.forward[axis],
                    &self.least[axis],
                );
            });
        }
    }
}

fn sum_of_differences(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(1 << 12)
        .zip(b.chunks(1 << 12))
        .map(|(a, b)| f64::from(a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>()))
        .sum()
}

widest! {
    /// A missing neighbour counts as one at the same depth: a pixel at the outline believes its
    /// inner side at most by half.
    fn choose_side(
        forward: &mut [f32], first: usize, step: usize,
        u: &[f32], facing: &[f32], least: &[f32], k: f32, share: f32,
    ) {
        let n = forward.len();
        let here = &u[first..first + n];
        let (next, previous) = (&u[first + step..][..n], &u[first - step..][..n]);
        let (to_next, to_previous) = (&least[first..][..n], &least[first - step..][..n]);
        let facing = &facing[first..][..n];
        for i in 0..n {
            let ahead = if to_next[i] > 0.0 { next[i] - here[i] } else { 0.0 };
            let behind = if to_previous[i] > 0.0 { here[i] - previous[i] } else { 0.0 };
            let preference = k * facing[i] * (behind * behind - ahead * ahead);
            let wanted = 1.0 / (1.0 + exp(-preference));
            forward[i] += share * (wanted - forward[i]);
        }
    }
}

widest! {
    fn edge_weights(
        weights: &mut [f32], first: usize, step: usize,
        facing: &[f32], forward: &[f32], least: &[f32],
    ) {
        let n = weights.len();
        let (p, q) = (&facing[first..][..n], &facing[first + step..][..n]);
        let (forward_p, forward_q) = (&forward[first..][..n], &forward[first + step..][..n]);
        let least = &least[first..][..n];
        for i in 0..n {
            let weight = forward_p[i] * p[i] + (1.0 - forward_q[i]) * q[i];
            weights[i] = if least[i] > 0.0 { weight.max(least[i]) } else { 0.0 };
        }
    }
}

/// e^x to 1e-6 of its value, for |x| ≤ 80 (beyond, the value at 80), without a branch or a call.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding and taking it off again rounds to a whole number.
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³
    let x = x.clamp(-80.0, 80.0) * std::f32::consts::LOG2_E;
    let shifted = x + ROUND;
    let whole = shifted - ROUND;
    let rest = (x - whole) * std::f32::consts::LN_2; // |rest| ≤ ln(2)/2
    let series =
        1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest / 120.0))));
    // The low bits of the shifted number are the whole power of two.
    series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_exponential_is_the_exponential() {
        for step in -790..=790 {
            let x = step as f32 * 0.1;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            // The last term left out is rest⁶/720 ≤ 2.4e-6; rounding of x adds |x| times 6e-8.
            let tolerance = 2.5e-6 + 1.2e-7 * f64::from(x.abs());
            assert!((got / want - 1.0).abs() < tolerance, "e^{x}: {got}, want {want}");
        }
        assert_eq!(exp(1e30), exp(80.0));
        assert_eq!(exp(-1e30), exp(-80.0));
    }
}
