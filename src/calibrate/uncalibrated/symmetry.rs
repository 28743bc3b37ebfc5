//! The mirror symmetry of a face, in factors that are known up to a 3×3 matrix.
//!
//! With `b = P b̂`, a sample and its mirror image at the other side of the axis hold
//! `b_x' = −b_x`, `b_y' = b_y`, `b_z' = b_z`, albedo included. For the rows of P that reads
//! `p₁·(b̂ + b̂') = 0` and `p₂,₃·(b̂ − b̂') = 0`: p₁ is the smallest eigenvector of
//! `Σ (b̂ + b̂')(b̂ + b̂')ᵀ`, p₂ and p₃ span the two smallest of `Σ (b̂ − b̂')(b̂ − b̂')ᵀ`.
//! (Yilmaz and Shah 2002 and Georghiades et al. use the symmetry of faces to the same end.) The
//! axis is the column at which it holds best.

use super::super::robust::{cauchy, spread};
use super::super::samples::Samples;
use super::ascending;
use nalgebra::{Matrix3, Matrix3xX, Vector3};
use rayon::prelude::*;

pub(super) struct Mirror {
    /// First row of P, up to scale.
    pub across: Vector3<f64>,
    /// Span of the other two.
    pub along: [Vector3<f64>; 2],
    /// Twice the axis's column in blocks.
    twice_axis: usize,
    /// Robust spread of what breaks the symmetry, as a share of the scaled normals.
    pub asymmetry: f64,
}

impl Mirror {
    /// Column of the axis in pixels.
    pub fn axis_column(&self, step: usize) -> f64 {
        // A block's centre lies (step − 1)/2 beyond its first pixel.
        self.twice_axis as f64 / 2.0 * step as f64 + (step as f64 - 1.0) / 2.0
    }
}

/// How far from the mask's middle the axis is sought, as a share of the mask's width: hair and a
/// turned head move the mask against the face.
const SEARCHED: f64 = 0.15;
/// Pairs must be this share of the samples.
const LEAST_PAIRED: f64 = 0.4;
/// Whitened normals of no symmetry at all differ by about 0.5; half of that is no face.
const ASYMMETRIC: f64 = 0.25;

/// The axis and rows, or `None` where the samples show no mirror symmetry.
pub(super) fn find(samples: &Samples, surface: &Matrix3xX<f64>) -> Option<Mirror> {
    let count = samples.len();
    // Whitened, so that no direction of the unknown frame counts more than another.
    let moment: Matrix3<f64> = surface * surface.transpose() / count as f64;
    let whiten = moment.cholesky()?.inverse().cholesky()?.l().transpose();
    let white = whiten * surface;

    let mut at_block = vec![usize::MAX; samples.size.area()];
    samples.blocks.iter().enumerate().for_each(|(s, &block)| at_block[block] = s);
    let columns = || samples.blocks.iter().map(|b| b % samples.size.width);
    let middle = columns().sum::<usize>() as f64 / count as f64;
    let width = (columns().max()? - columns().min()?) as f64;
    let first = (2.0 * (middle - SEARCHED * width)).ceil().max(0.0) as usize;
    let last = (2.0 * (middle + SEARCHED * width)).floor() as usize;
    let tried: Vec<Option<Mirror>> = (first..=last)
        .into_par_iter()
        .map(|twice_axis| about(samples, &at_block, &white, twice_axis))
        .collect();
    let best = tried.into_iter().flatten().min_by(|a, b| a.asymmetry.total_cmp(&b.asymmetry))?;
    (best.asymmetry < ASYMMETRIC).then(|| Mirror {
        across: whiten.transpose() * best.across,
        along: best.along.map(|row| whiten.transpose() * row),
        ..best
    })
}

/// The rows that fit one axis best.
fn about(
    samples: &Samples,
    at_block: &[usize],
    white: &Matrix3xX<f64>,
    twice_axis: usize,
) -> Option<Mirror> {
    let width = samples.size.width;
    let pairs: Vec<(Vector3<f64>, Vector3<f64>)> = samples
        .blocks
        .iter()
        .enumerate()
        .filter_map(|(s, block)| {
            let (row, column) = (block / width, block % width);
            let mirrored = twice_axis.checked_sub(column).filter(|c| *c < width)?;
            let other = at_block[row * width + mirrored];
            if other == usize::MAX {
                return None;
            }
            let (a, b) = (white.column(s).into_owned(), white.column(other).into_owned());
            let scale = 1.0 / (a.norm() + b.norm()).max(1e-9);
            Some(((a + b) * scale, (a - b) * scale))
        })
        .collect();
    if (pairs.len() as f64) < LEAST_PAIRED * samples.len() as f64 {
        return None;
    }
    let mut weights = vec![1.0; pairs.len()];
    let mut mirror = None;
    for _ in 0..10 {
        let (mut sums, mut differences) = (Matrix3::zeros(), Matrix3::zeros());
        for ((sum, difference), weight) in pairs.iter().zip(&weights) {
            sums += sum * sum.transpose() * *weight;
            differences += difference * difference.transpose() * *weight;
        }
        let (_, odd) = ascending(nalgebra::DMatrix::from_column_slice(3, 3, sums.as_slice()));
        let (_, even) =
            ascending(nalgebra::DMatrix::from_column_slice(3, 3, differences.as_slice()));
        let column = |m: &nalgebra::DMatrix<f64>, i: usize| Vector3::from_fn(|r, _| m[(r, i)]);
        let (across, along) = (column(&odd, 0), [column(&even, 0), column(&even, 1)]);
        let residuals: Vec<f64> = pairs
            .iter()
            .map(|(sum, difference)| {
                let broken = [across.dot(sum), along[0].dot(difference), along[1].dot(difference)];
                broken.iter().map(|v| v * v).sum::<f64>().sqrt()
            })
            .collect();
        let asymmetry = spread(residuals.iter().copied());
        weights.iter_mut().zip(&residuals).for_each(|(w, r)| *w = cauchy(*r, asymmetry));
        mirror = Some(Mirror { across, along, twice_axis, asymmetry });
    }
    mirror
}
