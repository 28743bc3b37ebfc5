//! Least squares over the edges of a pixel grid, by conjugate gradients with a multigrid
//! preconditioner.
//!
//! Given a weight w_e ≥ 0 and a step d_e for each edge e = (p, q) between neighbours, find the
//! u that minimises `Σ_e w_e (u_q − u_p − d_e)²`. Its normal equations are `A u = b`, A the
//! graph Laplacian `(A u)_p = Σ_q w_pq (u_p − u_q)`. A pixel off the mask is a pixel whose edges
//! weigh nothing, so masks, holes, ragged outlines and natural boundaries need no code of their
//! own. Each connected component has a constant of its own that A does not see.
//!
//! **Levels.** Every level is a regular grid with one weight per edge to the right and one per
//! edge down, half as wide and high as the finer one. A coarse cell is a block of 2×2 fine
//! cells. Restriction adds the four residuals; prolongation copies the coarse value to the four
//! (its transpose). The product `Pᵀ A P` then is again such a Laplacian, whose weights are the
//! sums of the fine edges that cross between two blocks. It is twice too stiff for smooth u: a
//! staircase rises in steps twice as high as the slope on every second edge (Braess 1995,
//! "Towards algebraic multigrid for elliptic problems of second order"). So coarse weights are
//! **half** that sum; on a uniform grid this gives every level the five-point stencil.
//!
//! **Smoothing** is damped Jacobi, two sweeps before and two after, with Chebyshev's dampings: the
//! eigenvalues of D⁻¹A lie in 0..2 whatever the weights, and each sweep is one flat loop. Cycle and smoother are
//! symmetric and positive, so conjugate gradients may use them and take care of what they miss:
//! blocks that straddle a cut, where the weights leap by orders of magnitude. The steeper parts of
//! a face are such, and one cycle a level then misses much. So every coarse level is solved by
//! one or two steps of conjugate gradients of its own, preconditioned by the level below (the
//! K-cycle of Notay 2010, "An aggregation-based algebraic multigrid method"). The preconditioner
//! then is not quite linear; the outer iteration is the flexible one (Notay 2000, "Flexible
//! conjugate gradients"). A has no hold on
//! the mean of the residual over a component: it is zero but for rounding, which the coarse
//! grids would make much of, so it is taken off at each step.
//!
//! **Layout.** Rows lie one after the other with one unused cell behind each, and one unused row
//! above and below. Weights there are zero, so one flat loop without borders serves a level.
//!
//! The result does not depend on the number of threads: spans are fixed and sums are taken in
//! their order.

mod level;
mod loops;

pub(crate) use level::Grid;
pub(super) use loops::for_spans;

use super::components::{OFF, component_count};
use crate::maps::Size;
use level::{EdgeWeights, Level};
use loops::{
    add_scaled, combine, divergence, dot, laplacian, residual, scale_and_add, span_sum, sum,
    take_off,
};
use std::mem::swap;
use std::ops::Range;

/// Sweeps before and after the coarse correction.
pub(crate) const SWEEPS: usize = 2;
/// Sweeps on the coarsest grid, at most 2×2 cells: it is then solved to about a percent.
pub(crate) const COARSEST_SWEEPS: usize = 8;
/// Damping of Jacobi: on the upper half of the spectrum, 1..2, `|1 − 0.8 λ|` is at most 0.6.
pub(crate) const DAMPING: f32 = 0.8;
/// Damping of the two sweeps: the roots of the Chebyshev polynomial of degree 2 on the eigenvalues
/// 0.5..2, `1/(1.25 ± 0.75/√2)`, which leaves 0.22 of any error there. Two sweeps of equal damping
/// leave 0.36. As polynomials of one matrix they commute, so the cycle stays symmetric.
const CHEBYSHEV: [f32; SWEEPS] = [1.389_338, 0.561_717];
/// One step of conjugate gradients that leaves this share of a coarse residual is enough (Notay).
const ENOUGH: f64 = 0.25;
/// Solver for one grid. The arrays are made once; weights may be changed between solves.
pub(super) struct Multigrid {
    levels: Vec<Level>,
    /// The component of each cell, and the number of cells of each component.
    labels: Vec<u32>,
    cells: Vec<usize>,
    /// Cells of one component side by side, and which it is.
    runs: Vec<(Range<usize>, usize)>,
    residual: Vec<f32>,
    direction: Vec<f32>,
    product: Vec<f32>,
}

/// How a solve ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Convergence {
    pub iterations: usize,
    /// |b − A u| / |b| by the recurrence of conjugate gradients.
    pub relative_residual: f64,
}

impl Multigrid {
    /// A solver for cells that hang together as `labels` say, [`OFF`] being off the mask.
    pub fn new(grid: Grid, labels: &[u32]) -> Self {
        let mut cells = vec![0; component_count(labels)];
        labels.iter().filter(|&&label| label != OFF).for_each(|&l| cells[l as usize] += 1);
        let mut levels = vec![Level::new(grid)];
        let mut size = grid.size;
        while size.width.max(size.height) > 2 {
            size = Size::new(size.height.div_ceil(2), size.width.div_ceil(2));
            levels.push(Level::new(Grid::new(size)));
        }
        let zeros = || grid.zeros();
        Self {
            levels,
            labels: labels.to_vec(),
            cells,
            runs: runs(labels),
            residual: zeros(),
            direction: zeros(),
            product: zeros(),
        }
    }

    pub fn grid(&self) -> Grid {
        self.levels[0].grid
    }

    /// Changes the weights of the finest grid and makes those of the others from them.
    ///
    /// An edge out of the grid must weigh nothing.
    pub fn set_weights(&mut self, set: impl FnOnce(&mut EdgeWeights)) {
        set(&mut self.levels[0].weights);
        for fine in 0..self.levels.len() {
            let (finer, coarser) = self.levels.split_at_mut(fine + 1);
            finer[fine].invert_diagonal();
            if let Some(coarse) = coarser.first_mut() {
                finer[fine].coarsen_to(coarse);
            }
        }
    }

    /// Takes its mean over each component off the residual.
    fn centre_residual(&mut self) {
        let span = self.grid().span();
        if let [cells] = self.cells[..] {
            let residual = &mut self.residual[span.clone()];
            let labels = &self.labels[span];
            let mean = (sum(residual) / cells as f64) as f32;
            for_spans(residual, 0, |out, first| take_off(out, first, labels, mean));
            return;
        }
        let mut means = vec![0.0f64; self.cells.len()];
        for (run, label) in &self.runs {
            means[*label] += span_sum(&self.residual[run.clone()]);
        }
        means.iter_mut().zip(&self.cells).for_each(|(mean, &cells)| *mean /= cells as f64);
        for (run, label) in &self.runs {
            let mean = means[*label] as f32;
            self.residual[run.clone()].iter_mut().for_each(|r| *r -= mean);
        }
    }

    /// Improves `u` until |b − A u| is at most `tolerance` |b|, or for `most` iterations; `steps`
    /// are the d_e.
    pub fn solve(
        &mut self,
        u: &mut [f32],
        steps: &[Vec<f32>; 2],
        tolerance: f64,
        most: usize,
    ) -> Convergence {
        let Grid { stride, .. } = self.grid();
        let span = self.grid().span();
        let weights = &self.levels[0].weights;
        for_spans(&mut self.product[span.clone()], stride, |out, first| {
            divergence(out, first, stride, &weights[0], &weights[1], &steps[0], &steps[1]);
        });
        let norm = dot(&self.product[span.clone()], &self.product[span.clone()]).sqrt();
        for_spans(&mut self.residual[span.clone()], stride, |out, first| {
            residual(out, first, stride, &self.product, u, &weights[0], &weights[1]);
        });
        self.centre_residual();
        let relative = |r: &[f32]| dot(r, r).sqrt() / norm;
        let mut ended = Convergence {
            iterations: 0,
            relative_residual: relative(&self.residual[span.clone()]),
        };
        let mut old_curvature = f64::INFINITY;
        // Written so that NaN, which an all-zero right-hand side gives, ends the loop.
        while ended.relative_residual > tolerance && ended.iterations < most {
            let finest = &mut self.levels[0];
            finest.right_hand_side.copy_from_slice(&self.residual);
            cycle(&mut self.levels);
            let finest = &self.levels[0];
            let energy = dot(&self.residual[span.clone()], &finest.solution[span.clone()]);
            // The cycle is not the same matrix each time, so the new direction is made conjugate
            // to the last one outright (flexible conjugate gradients, Notay 2000).
            let common = dot(&self.product[span.clone()], &finest.solution[span.clone()]);
            let beta = (-common / old_curvature) as f32;
            for_spans(&mut self.direction[span.clone()], stride, |out, first| {
                scale_and_add(out, first, beta, &finest.solution);
            });
            let direction = &self.direction;
            for_spans(&mut self.product[span.clone()], stride, |out, first| {
                laplacian(out, first, stride, direction, &finest.weights[0], &finest.weights[1]);
            });
            let curvature = dot(&direction[span.clone()], &self.product[span.clone()]);
            let length = energy / curvature;
            if !(length > 0.0 && length.is_finite()) {
                break; // nothing is left that single precision can see
            }
            old_curvature = curvature;
            for_spans(&mut u[span.clone()], stride, |out, first| {
                add_scaled(out, first, length as f32, direction);
            });
            let product = &self.product;
            for_spans(&mut self.residual[span.clone()], stride, |out, first| {
                add_scaled(out, first, -length as f32, product);
            });
            self.centre_residual();
            ended.iterations += 1;
            ended.relative_residual = relative(&self.residual[span.clone()]);
        }
        ended
    }
}

/// Stretches of cells of one component, in order.
fn runs(labels: &[u32]) -> Vec<(Range<usize>, usize)> {
    let mut first = 0;
    let stretches = labels.chunk_by(|a, b| a == b).map(|stretch| {
        let range = first..first + stretch.len();
        first = range.end;
        (range, stretch[0])
    });
    stretches.filter(|&(_, label)| label != OFF).map(|(range, l)| (range, l as usize)).collect()
}

/// One cycle from zero, for the right-hand side of the first level.
fn cycle(levels: &mut [Level]) {
    let Some((fine, coarser)) = levels.split_first_mut() else { return };
    let Some(coarse) = coarser.first_mut() else {
        fine.first_sweep(DAMPING);
        (1..COARSEST_SWEEPS).for_each(|_| fine.sweep(DAMPING));
        return;
    };
    fine.first_sweep(CHEBYSHEV[0]);
    CHEBYSHEV[1..].iter().for_each(|&damping| fine.sweep(damping));
    fine.residual();
    fine.restrict_to(coarse);
    accelerated(coarser);
    fine.prolong_from(&coarser[0]);
    CHEBYSHEV.iter().for_each(|&damping| fine.sweep(damping));
}

/// One or two steps of conjugate gradients on the first of these levels, a cycle before each
/// (Notay 2010, algorithm 3.2).
fn accelerated(levels: &mut [Level]) {
    cycle(levels);
    if levels.len() == 1 {
        return;
    }
    let level = &mut levels[0];
    let span = level.grid.span();
    swap(&mut level.direction, &mut level.solution);
    let product = std::mem::take(&mut level.product);
    level.product = level.multiply(&level.direction, product);
    let Level { direction, product, right_hand_side, solution, .. } = &mut *level;
    let before = dot(&right_hand_side[span.clone()], &right_hand_side[span.clone()]);
    let curvature = dot(&direction[span.clone()], &product[span.clone()]);
    let length = dot(&direction[span.clone()], &right_hand_side[span.clone()]) / curvature;
    if !(length > 0.0 && length.is_finite()) {
        solution.copy_from_slice(direction);
        return;
    }
    for_spans(&mut right_hand_side[span.clone()], span.start, |out, first| {
        add_scaled(out, first, -length as f32, product);
    });
    let after = dot(&right_hand_side[span.clone()], &right_hand_side[span.clone()]);
    if after <= ENOUGH * ENOUGH * before {
        for_spans(&mut solution[span.clone()], span.start, |out, first| {
            combine(out, first, 0.0, length as f32, direction);
        });
        return;
    }
    cycle(levels);
    let level = &mut levels[0];
    let scratch = std::mem::take(&mut level.scratch);
    level.scratch = level.multiply(&level.solution, scratch);
    let Level { direction, product, right_hand_side, solution, scratch, .. } = &mut *level;
    let of = |a: &[f32], b: &[f32]| dot(&a[span.clone()], &b[span.clone()]);
    let common = of(solution, product) / curvature;
    let second = of(solution, scratch) - common * common * curvature;
    let share = of(solution, right_hand_side) / second;
    let share = if share.is_finite() && second > 0.0 { share } else { 0.0 };
    let first_share = (length - common * share) as f32;
    for_spans(&mut solution[span.clone()], span.start, |out, first| {
        combine(out, first, share as f32, first_share, direction);
    });
}

/// Runs work on the thread pool, so that each of its many short parallel loops starts from
/// within the pool and not by a hand-over from a foreign thread, which costs more than the loop.
pub(super) fn within_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests {
    use super::super::components::components;
    use super::*;
    use nalgebra::{DMatrix, DVector};

    /// Numbers in 0..1 that no symmetry hides behind.
    fn scrambled(index: usize) -> f32 {
        let mut z = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((z ^ (z >> 27)) >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Weights and steps on the edges between cells that `defined` holds for.
    fn problem(
        grid: Grid,
        defined: impl Fn(usize, usize) -> bool,
        weight: impl Fn(usize) -> f32,
    ) -> (EdgeWeights, [Vec<f32>; 2]) {
        let mut weights = [grid.zeros(), grid.zeros()];
        let mut steps = [grid.zeros(), grid.zeros()];
        for row in 0..grid.size.height {
            for column in 0..grid.size.width {
                for (axis, (r, c)) in [(row, column + 1), (row + 1, column)].into_iter().enumerate()
                {
                    let inside = r < grid.size.height && c < grid.size.width;
                    if inside && defined(row, column) && defined(r, c) {
                        let i = grid.index(row, column);
                        weights[axis][i] = weight(2 * i + axis);
                        steps[axis][i] = 4.0 * scrambled(7000 + 2 * i + axis) - 2.0;
                    }
                }
            }
        }
        (weights, steps)
    }

    /// The least-squares solution of least norm, by a dense pseudo-inverse.
    fn dense(grid: Grid, weights: &EdgeWeights, steps: &[Vec<f32>; 2]) -> DVector<f64> {
        let n = grid.len();
        let (mut matrix, mut b) = (DMatrix::zeros(n, n), DVector::zeros(n));
        for (axis, step) in grid.steps().into_iter().enumerate() {
            for p in grid.span() {
                let w = f64::from(weights[axis][p]);
                if w > 0.0 {
                    let (q, d) = (p + step, f64::from(steps[axis][p]));
                    matrix[(p, p)] += w;
                    matrix[(q, q)] += w;
                    matrix[(p, q)] -= w;
                    matrix[(q, p)] -= w;
                    b[p] -= w * d;
                    b[q] += w * d;
                }
            }
        }
        matrix.svd(true, true).solve(&b, 1e-9).expect("both sides were asked for")
    }

    /// The components of cells that have an edge.
    fn labels(grid: Grid, weights: &EdgeWeights) -> Vec<u32> {
        let mut joined = vec![false; grid.len()];
        for (weights, step) in weights.iter().zip(grid.steps()) {
            for p in grid.span().filter(|&p| weights[p] > 0.0) {
                (joined[p], joined[p + step]) = (true, true);
            }
        }
        components(grid, &joined)
    }

    fn solved(grid: Grid, weights: &EdgeWeights, steps: &[Vec<f32>; 2]) -> (Vec<f32>, Convergence) {
        let mut multigrid = Multigrid::new(grid, &labels(grid, weights));
        multigrid.set_weights(|w| w.clone_from(weights));
        let mut u = grid.zeros();
        let ended = multigrid.solve(&mut u, steps, 1e-7, 200);
        (u, ended)
    }

    #[test]
    fn agrees_with_a_dense_solve_on_ragged_masks_and_wild_weights() {
        let shapes = [(17, 12), (1, 23), (23, 1), (2, 2), (13, 16)];
        for (height, width) in shapes {
            let grid = Grid::new(Size::new(height, width));
            // Connected by row 0 and every third column; else two thirds of the cells.
            let defined = |r: usize, c: usize| {
                r == 0 || c.is_multiple_of(3) || scrambled(r * width + c) < 0.66
            };
            for span in [0, 1, 6] {
                // From 10^-span to 1.
                let weight = |i: usize| 10f32.powf(-(span as f32) * scrambled(i));
                let (weights, steps) = problem(grid, defined, weight);
                let (u, ended) = solved(grid, &weights, &steps);
                let want = dense(grid, &weights, &steps);
                // Each up to a constant: compare differences along edges, which the mask
                // connects.
                for (axis, step) in grid.steps().into_iter().enumerate() {
                    for p in grid.span().filter(|&p| weights[axis][p] > 0.0) {
                        let got = f64::from(u[p + step] - u[p]);
                        let want = want[p + step] - want[p];
                        // In the norm of the fit: what hardly weighs is hardly determined.
                        let error = f64::from(weights[axis][p]).sqrt() * (got - want).abs();
                        assert!(
                            error < 1e-3,
                            "{height}×{width}, weights over 10^{span}, edge {axis} of cell {p}: \
                             {got}, want {want}; {ended:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn iterations_hardly_grow_with_the_grid() {
        let iterations = [64, 512].map(|side| {
            let grid = Grid::new(Size::new(side, side));
            let middle = (side - 1) as f32 / 2.0;
            let defined = |r: usize, c: usize| {
                (r as f32 - middle).hypot(c as f32 - middle) < middle
                    && !((r / 5) % 3 == 1 && (c / 7) % 3 == 1)
            };
            let (weights, steps) = problem(grid, defined, |_| 1.0);
            let mut multigrid = Multigrid::new(grid, &labels(grid, &weights));
            multigrid.set_weights(|w| w.clone_from(&weights));
            let mut u = grid.zeros();
            let ended = multigrid.solve(&mut u, &steps, 1e-6, 1000);
            assert!(ended.relative_residual <= 1e-6, "{ended:?}");
            ended.iterations
        });
        // Plain conjugate gradients take 8 times as many on a grid 8 times as wide.
        assert!(iterations[1] <= 2 * iterations[0] && iterations[1] < 40, "{iterations:?}");
    }

    #[test]
    fn nothing_to_do_is_done_at_once() {
        let grid = Grid::new(Size::new(9, 6));
        let (weights, mut steps) = problem(grid, |_, _| true, |_| 1.0);
        steps.iter_mut().for_each(|s| s.fill(0.0));
        let (u, ended) = solved(grid, &weights, &steps);
        assert!(u.iter().all(|&u| u == 0.0));
        assert_eq!(ended.iterations, 0);
    }
}
