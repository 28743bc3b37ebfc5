//! A grid of the hierarchy: its weights, its smoother, the way to the coarser grid and back.

use super::loops::{
    PARALLEL, for_rows, for_spans, invert_diagonal, jacobi_from_zero, jacobi_sweep, laplacian,
    prolong_row, residual, restrict_row,
};
use crate::maps::Size;
use std::mem::swap;
use std::ops::Range;

/// The places of a grid's cells in its flat arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub size: Size,
    /// Distance from a cell to the one below.
    pub stride: usize,
}

impl Grid {
    pub fn new(size: Size) -> Self {
        Self { size, stride: size.width + 1 }
    }

    /// Length of an array, guards included.
    pub fn len(self) -> usize {
        (self.size.height + 2) * self.stride
    }

    pub fn index(self, row: usize, column: usize) -> usize {
        (row + 1) * self.stride + column
    }

    /// From the first cell to the guard behind the last.
    pub fn span(self) -> Range<usize> {
        self.stride..(self.size.height + 1) * self.stride
    }

    /// Distance from a cell to its neighbour to the right, and below.
    pub fn steps(self) -> [usize; 2] {
        [1, self.stride]
    }

    pub fn zeros(self) -> Vec<f32> {
        vec![0.0; self.len()]
    }
}

/// One weight per edge: of each cell with its right neighbour, and with the one below.
pub(in crate::integrate) type EdgeWeights = [Vec<f32>; 2];

pub(super) struct Level {
    pub grid: Grid,
    pub weights: EdgeWeights,
    /// 1/(sum of a cell's weights), 0 where that sum is 0.
    pub inverse_diagonal: Vec<f32>,
    pub right_hand_side: Vec<f32>,
    pub solution: Vec<f32>,
    pub scratch: Vec<f32>,
    /// The first direction on a coarse level and what A makes of it.
    pub direction: Vec<f32>,
    pub product: Vec<f32>,
}

impl Level {
    pub fn new(grid: Grid) -> Self {
        Self {
            grid,
            weights: [grid.zeros(), grid.zeros()],
            inverse_diagonal: grid.zeros(),
            right_hand_side: grid.zeros(),
            solution: grid.zeros(),
            scratch: grid.zeros(),
            direction: grid.zeros(),
            product: grid.zeros(),
        }
    }

    pub fn invert_diagonal(&mut self) {
        let Self { grid, weights, inverse_diagonal, .. } = self;
        for_spans(&mut inverse_diagonal[grid.span()], grid.stride, |out, first| {
            invert_diagonal(out, first, grid.stride, &weights[0], &weights[1]);
        });
    }

    pub fn sweep(&mut self, damping: f32) {
        let Self { grid, weights, inverse_diagonal, right_hand_side, solution, scratch, .. } = self;
        for_spans(&mut scratch[grid.span()], grid.stride, |out, first| {
            jacobi_sweep(
                out,
                first,
                grid.stride,
                right_hand_side,
                solution,
                &weights[0],
                &weights[1],
                inverse_diagonal,
                damping,
            );
        });
        swap(solution, scratch);
    }

    /// The first sweep, from zero.
    pub fn first_sweep(&mut self, damping: f32) {
        let Self { grid, inverse_diagonal, right_hand_side, solution, .. } = self;
        for_spans(&mut solution[grid.span()], grid.stride, |out, first| {
            jacobi_from_zero(out, first, right_hand_side, inverse_diagonal, damping);
        });
    }

    /// What is left of the right-hand side, into `scratch`.
    pub fn residual(&mut self) {
        let Self { grid, weights, right_hand_side, solution, scratch, .. } = self;
        for_spans(&mut scratch[grid.span()], grid.stride, |out, first| {
            residual(out, first, grid.stride, right_hand_side, solution, &weights[0], &weights[1]);
        });
    }

    /// Sums this level's residual over blocks into the coarse right-hand side.
    pub fn restrict_to(&self, coarse: &mut Level) {
        let (grid, stride) = (self.grid, coarse.grid.stride);
        let (whole, odd) = (grid.size.width / 2, grid.size.width % 2 == 1);
        let restrict = |(row, out): (usize, &mut [f32])| {
            let top = grid.index(2 * row, 0);
            // Below an odd last row comes the guard, which is zero.
            let bottom = top + grid.stride;
            let top = &self.scratch[top..top + grid.size.width];
            let bottom = &self.scratch[bottom..bottom + grid.size.width];
            restrict_row(&mut out[..whole], top, bottom);
            if odd {
                out[whole] = top[2 * whole] + bottom[2 * whole];
            }
        };
        let span = coarse.grid.span();
        for_rows(&mut coarse.right_hand_side[span], stride, grid.len() >= PARALLEL, restrict);
    }

    /// Adds the coarse solution to this level's.
    pub fn prolong_from(&mut self, coarse: &Level) {
        let (grid, parallel) = (self.grid, self.grid.len() >= PARALLEL);
        let (whole, odd) = (grid.size.width / 2, grid.size.width % 2 == 1);
        let prolong = |(row, out): (usize, &mut [f32])| {
            let first = coarse.grid.index(row / 2, 0);
            let values = &coarse.solution[first..first + coarse.grid.size.width];
            prolong_row(&mut out[..2 * whole], &values[..whole]);
            if odd {
                out[2 * whole] += values[whole];
            }
        };
        for_rows(&mut self.solution[grid.span()], grid.stride, parallel, prolong);
    }

    /// Sets the coarse weights to half the sum of the two edges that cross between two blocks.
    pub fn coarsen_to(&self, coarse: &mut Level) {
        let fine = self.grid;
        let (stride, parallel) = (coarse.grid.stride, fine.len() >= PARALLEL);
        let (width, height) = (fine.size.width, fine.size.height);
        let span = coarse.grid.span();
        let [right, down] = &mut coarse.weights;
        for_rows(&mut right[span.clone()], stride, parallel, |(row, out)| {
            let top = fine.index(2 * row, 0);
            // As above for an odd last row.
            let bottom = top + fine.stride;
            // The edge out of a block starts at its right column, which an odd last block lacks.
            for (block, weight) in out.iter_mut().enumerate().take(width / 2) {
                let edge = 2 * block + 1;
                *weight = 0.5 * (self.weights[0][top + edge] + self.weights[0][bottom + edge]);
            }
        });
        for_rows(&mut down[span], stride, parallel, |(row, out)| {
            if 2 * row + 1 >= height {
                return;
            }
            let edges = &self.weights[1][fine.index(2 * row + 1, 0)..][..width + 1];
            for (block, weight) in out.iter_mut().enumerate().take(width.div_ceil(2)) {
                // Behind an odd last column comes the guard, which is zero.
                *weight = 0.5 * (edges[2 * block] + edges[2 * block + 1]);
            }
        });
    }

    /// A times `of`, in `out`.
    pub fn multiply(&self, of: &[f32], mut out: Vec<f32>) -> Vec<f32> {
        let (grid, [right, down]) = (self.grid, &self.weights);
        for_spans(&mut out[grid.span()], grid.stride, |out, first| {
            laplacian(out, first, grid.stride, of, right, down);
        });
        out
    }
}
