//! Rank-three factorisation with missing and outlying observations.
//!
//! `min Σ w_jp (x_jp − s_j·b_p)²` over lights s and scaled normals b: with one factor held, the
//! other is a linear least-squares problem of three unknowns a light or a sample, solved in turn
//! (Wiberg 1976; Shum, Ikeuchi and Reddy 1995). An observation in shadow or saturated has weight
//! zero; the others have Cauchy's weight of their residual as a share of the sample's brightness,
//! since gloss, scatter and motion err in proportion to it.

use super::super::robust::{cauchy, percentile, spread};
use super::super::samples::Samples;
use super::CalibrateError;
use nalgebra::{DMatrix, Matrix3, Matrix3xX, MatrixXx3, Vector3};
use rayon::prelude::*;

pub(super) struct Factors {
    /// (k, 3), up to a 3×3 matrix.
    pub lights: MatrixXx3<f64>,
    /// (3, samples).
    pub surface: Matrix3xX<f64>,
    /// Robust spread of the residual as a share of the sample's brightness.
    pub residual: f64,
}

/// Rounds at most; the residual's spread settles in some thirty.
const ROUNDS: usize = 100;
/// Relative change of the residual's spread at which the rounds end.
const SETTLED: f64 = 1e-4;
/// The third singular value of the lights against the first, below which they lie in a plane.
const LEAST_RANK: f64 = 0.02;

pub(super) fn factorise(samples: &Samples) -> Result<Factors, CalibrateError> {
    let (k, count) = (samples.lights, samples.len());
    let brightness: Vec<f64> = (0..count)
        .map(|s| {
            let mut values: Vec<f64> = samples.at(s).0.iter().map(|&v| f64::from(v)).collect();
            percentile(&mut values, 0.75).max(1e-3)
        })
        .collect();
    let mut lights = first_lights(samples);
    let mut surface = Matrix3xX::zeros(count);
    // Weights in units of the sample's brightness: (samples, lights).
    let mut weights: Vec<f64> = samples.usable.iter().map(|&u| if u { 1.0 } else { 0.0 }).collect();
    let mut sigma = f64::INFINITY;
    for _ in 0..ROUNDS {
        let columns: Vec<Vector3<f64>> = (0..count)
            .into_par_iter()
            .map(|s| {
                let rows = samples.at(s).0.iter().zip(&weights[s * k..(s + 1) * k]).enumerate();
                solve(rows.map(|(j, (x, w))| (lights.row(j).transpose(), f64::from(*x), *w)))
            })
            .collect();
        surface = Matrix3xX::from_columns(&columns);
        let rows: Vec<Vector3<f64>> = (0..k)
            .into_par_iter()
            .map(|j| {
                solve(columns.iter().enumerate().map(|(s, b)| {
                    let weight = weights[s * k + j] / (brightness[s] * brightness[s]);
                    (*b, f64::from(samples.values[s * k + j]), weight)
                }))
            })
            .collect();
        lights = MatrixXx3::from_fn(k, |j, i| rows[j][i]);
        // Keep the lights' columns orthonormal, so that neither factor runs away.
        let gram: Matrix3<f64> = lights.transpose() * &lights;
        let Some(triangle) = gram.cholesky().map(|c| c.l().transpose()) else { break };
        let Some(inverse) = triangle.try_inverse() else { break };
        lights *= inverse;
        surface = triangle * surface;

        let residual = |s: usize, j: usize| {
            let shown = lights.row(j).transpose().dot(&surface.column(s));
            (f64::from(samples.values[s * k + j]) - shown) / brightness[s]
        };
        let residuals: Vec<f64> = (0..count * k)
            .into_par_iter()
            .map(|i| if samples.usable[i] { residual(i / k, i % k) } else { f64::NAN })
            .collect();
        let next = spread(residuals.iter().copied().filter(|r| r.is_finite()));
        for (weight, r) in weights.iter_mut().zip(&residuals) {
            *weight = if r.is_finite() { cauchy(*r, next) } else { 0.0 };
        }
        let settled = (next - sigma).abs() <= SETTLED * next;
        sigma = next;
        if settled {
            break;
        }
    }
    let finite = lights.iter().chain(surface.iter()).all(|v| v.is_finite());
    let singular = (&surface * surface.transpose()).symmetric_eigenvalues();
    if !finite || singular.min().max(0.0).sqrt() < LEAST_RANK * singular.max().sqrt() {
        return Err(CalibrateError::Undetermined(
            "they differ too little, or the lights lie in a plane; take images under lamps all \
             around the face"
                .into(),
        ));
    }
    Ok(Factors { lights, surface, residual: sigma })
}

/// The three strongest left singular vectors of the usable observations.
fn first_lights(samples: &Samples) -> MatrixXx3<f64> {
    let k = samples.lights;
    let mut gram = DMatrix::<f64>::zeros(k, k);
    for s in 0..samples.len() {
        let (x, usable) = samples.at(s);
        for i in (0..k).filter(|&i| usable[i]) {
            for j in (0..k).filter(|&j| usable[j]) {
                gram[(i, j)] += f64::from(x[i]) * f64::from(x[j]);
            }
        }
    }
    let (_, vectors) = super::ascending(gram);
    MatrixXx3::from_fn(k, |j, i| vectors[(j, k - 1 - i)])
}

/// Weighted least squares `min Σ w (a·u − x)²`; zero where nothing is known.
fn solve(rows: impl Iterator<Item = (Vector3<f64>, f64, f64)>) -> Vector3<f64> {
    let (mut gram, mut right) = (Matrix3::zeros(), Vector3::zeros());
    for (a, x, w) in rows {
        if w > 0.0 {
            gram += a * a.transpose() * w;
            right += a * (x * w);
        }
    }
    // A trace of damping, far below noise, for samples whose lights nearly lie in a plane.
    let damping = 1e-8 * gram.trace() + f64::MIN_POSITIVE;
    match (gram + Matrix3::identity() * damping).cholesky() {
        Some(factor) => factor.solve(&right),
        None => Vector3::zeros(),
    }
}
