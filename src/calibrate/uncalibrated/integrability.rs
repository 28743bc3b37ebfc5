//! Rows of P from the demand that the normals be a surface's.
//!
//! Slopes `−b_x/b_z` and `−b_y/b_z` are those of one depth where `∂_y(b_x/b_z) = ∂_x(b_y/b_z)`.
//! With `b = P b̂`, rows p₁, p₂, p₃, that is
//!
//! `(p₃ × p₁)·(b̂ × ∂_y b̂) − (p₃ × p₂)·(b̂ × ∂_x b̂) = 0`
//!
//! at every sample (Yuille and Snow 1997; Belhumeur, Kriegman and Yuille 1999, eq. 8): linear and
//! homogeneous in `u = p₃ × p₁` and `v = p₃ × p₂`. From these, `p₃ ∝ u × v`, and p₁, p₂ up to
//! multiples of p₃: the bas-relief ambiguity.
//!
//! With the rows of a mirror symmetry, `p₃ = γ e₁ + δ e₂`, p₁ is known and `p₂` lies in the same
//! span, so that `u = γ (e₁ × p₁) + δ (e₂ × p₁)` and `v ∝ e₁ × e₂`: three unknowns instead of six.

use super::super::robust::{cauchy, spread};
use super::super::samples::Samples;
use super::ascending;
use super::symmetry::Mirror;
use nalgebra::{DMatrix, DVector, Matrix3, Matrix3xX, Vector3};

/// Rounds of reweighting.
const ROUNDS: usize = 20;
/// Fewer samples with four neighbours than this fix nothing.
const LEAST: usize = 100;

/// `b̂ × ∂_y b̂` and `b̂ × ∂_x b̂` over |b̂|², at every sample whose four neighbours are samples.
pub(super) struct Grid {
    crosses: Vec<(Vector3<f64>, Vector3<f64>)>,
}

impl Grid {
    pub fn new(samples: &Samples, surface: &Matrix3xX<f64>) -> Self {
        let smooth = samples.smoothed(surface);
        let mut crosses = Vec::new();
        for (s, around) in samples.neighbours() {
            let at = |sample: usize| smooth.column(sample).into_owned();
            let ([left, right, above, below], here) = (around.map(at), at(s));
            let scale = 0.5 / here.norm_squared().max(1e-12);
            // y is up, rows run down.
            let (dx, dy) = (right - left, above - below);
            crosses.push((here.cross(&dy) * scale, here.cross(&dx) * scale));
        }
        Self { crosses }
    }
}

/// P up to the bas-relief ambiguity, from integrability alone.
pub(super) fn alone(grid: &Grid) -> Option<Matrix3<f64>> {
    let rows = DMatrix::from_fn(grid.crosses.len(), 6, |i, j| {
        let (y, x) = &grid.crosses[i];
        if j < 3 { y[j] } else { -x[j - 3] }
    });
    let solved = smallest(&rows)?;
    let u = Vector3::new(solved[0], solved[1], solved[2]);
    let v = Vector3::new(solved[3], solved[4], solved[5]);
    rows_of(&u, &v)
}

/// P up to stretch and shear along y, from integrability and mirror symmetry.
pub(super) fn with_symmetry(grid: &Grid, mirror: &Mirror) -> Option<Matrix3<f64>> {
    let [e1, e2] = mirror.along;
    let p1 = mirror.across;
    let of_u = [e1.cross(&p1), e2.cross(&p1)];
    let of_v = e1.cross(&e2);
    let rows = DMatrix::from_fn(grid.crosses.len(), 3, |i, j| {
        let (y, x) = &grid.crosses[i];
        if j < 2 { y.dot(&of_u[j]) } else { -x.dot(&of_v) }
    });
    let solved = smallest(&rows)?;
    let u = of_u[0] * solved[0] + of_u[1] * solved[1];
    let v = of_v * solved[2];
    let mut basis = rows_of(&u, &v)?;
    // The multiple of p₃ in the first row is known here: there is none.
    let p3: Vector3<f64> = basis.row(2).transpose();
    let direction = p3.cross(&p1);
    let scale = u.dot(&direction) / direction.norm_squared();
    basis.set_row(0, &(p1 * scale).transpose());
    Some(basis)
}

/// Rows p₁ ⟂ p₃, p₂ ⟂ p₃, p₃ with `p₃ × p₁ = u`, `p₃ × p₂ = v`.
fn rows_of(u: &Vector3<f64>, v: &Vector3<f64>) -> Option<Matrix3<f64>> {
    let p3 = u.cross(v);
    let square = p3.norm_squared();
    if square.is_nan() || square == 0.0 {
        return None;
    }
    let (p1, p2) = (u.cross(&p3) / square, v.cross(&p3) / square);
    Some(Matrix3::from_rows(&[p1.transpose(), p2.transpose(), p3.transpose()]))
}

/// The unit vector that the rows are most nearly orthogonal to, robustly.
fn smallest(rows: &DMatrix<f64>) -> Option<DVector<f64>> {
    if rows.nrows() < LEAST {
        return None;
    }
    let mut weights = DVector::from_element(rows.nrows(), 1.0);
    let mut solved = DVector::zeros(rows.ncols());
    for _ in 0..ROUNDS {
        let mut weighted = rows.clone();
        for (i, mut row) in weighted.row_iter_mut().enumerate() {
            row *= weights[i];
        }
        let (_, vectors) = ascending(rows.transpose() * weighted);
        solved = vectors.column(0).into_owned();
        let residuals = rows * &solved;
        let sigma = spread(residuals.iter().copied());
        weights = residuals.map(|r| cauchy(r, sigma));
    }
    solved.iter().all(|v| v.is_finite()).then_some(solved)
}
