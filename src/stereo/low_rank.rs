//! Low rank and sparse (Wu, Ganesh, Shi, Matsushita, Wang and Ma, "Robust photometric stereo via
//! low-rank matrix completion and recovery", ACCV 2010).
//!
//! The k × p matrix of a Lambertian surface's images, `A = L G`, has rank 3. Highlights and cast
//! shadows add E, large but seldom; attached shadows and clipped samples are not observed at all.
//! Over the observed entries Ω:
//!
//! ```text
//! minimise ‖A‖* + λ ‖E‖₁   so that   D = A + E on Ω,   rank A ≤ 3,   λ = 1/√max(k, p)
//! ```
//!
//! by the inexact augmented Lagrange multipliers of Lin, Chen and Ma (2010), with Y the
//! multipliers and a growing μ. E takes all of the difference off Ω (their section 4):
//!
//! ```text
//! M = D − E + Y/μ = U Σ Vᵀ        A = U (Σ − 1/μ)₊ Vᵀ, three values kept
//! E = soft(D − A + Y/μ, λ/μ) on Ω        Y += μ (D − A − E)
//! ```
//!
//! p is far larger than k, so U and Σ come from the k × k Gram matrix `M Mᵀ` in f64, and
//! `A = P M` with `P = U (1 − 1/(μΣ))₊ Uᵀ`. A pixel's k entries lie side by side and one pass a
//! round forms A, E, Y and the next Gram matrix; A is never stored. Memory: D, E and Y in f32,
//! 12 k p bytes: 154 MB for 400,000 pixels under 32 lights.
//!
//! The known lights enter at the end: `G = L⁺ A`. Every pixel shares the one row space, so a
//! pixel with outliers in most of its images is still completed from the others.

use super::{Solution, SolverError, SurfaceMaps, masked_pixels};
use crate::maps::{ImageStack, Lights, Mask, Plane, Size};
use nalgebra::{DMatrix, Matrix3, SymmetricEigen, Vector3};
use rayon::prelude::*;

/// The solver and its options.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// λ as a multiple of 1/√max(k, p).
    pub sparsity: f64,
    /// A sample below this share of its pixel's third-brightest quarter is in shadow: not
    /// observed. Three samples always stay.
    pub shadow_share: f32,
    /// Stops when `‖D − A − E‖ ≤ tolerance ‖D‖` (Frobenius, over Ω).
    pub tolerance: f64,
    /// Rounds at most.
    pub iterations: usize,
}

impl Default for LowRank {
    fn default() -> Self {
        Self { sparsity: 1.0, shadow_share: 0.1, tolerance: 1e-6, iterations: 300 }
    }
}

/// Rank of a Lambertian surface's images.
const RANK: usize = 3;
/// Samples that stay observed in a pixel.
const LEAST_OBSERVED: usize = 3;
/// First μ over 1/‖D‖, and its growth a round. Lin et al. take 1.25 and 1.5; with entries missing
/// a slower growth leaves time to complete them.
const FIRST_PENALTY: f64 = 1.25;
const PENALTY_GROWTH: f64 = 1.1;
/// An entry further than this many standard deviations (robust, of all entries) from A is an
/// outlier: 1 % of normal noise is.
const OUTLIER_DEVIATIONS: f32 = 2.5;
/// From the median of |x| to the standard deviation of a normal x.
const MEDIAN_TO_DEVIATION: f32 = 1.482_6;
/// Standard deviation of rounding to whole steps of 8 bits: nothing nearer to A is an outlier.
const LEAST_DEVIATION: f32 = 0.29 / 255.0;
/// Pixels a task. Partial Gram matrices are added in the order of tasks, so that the result does
/// not hang on the number of threads.
const TASK: usize = 2048;

impl LowRank {
    /// Normals, albedo, residual over the inliers, and their number, on the mask's pixels.
    ///
    /// NaN and saturated samples, and those in shadow, are not observed. Off the mask, below
    /// three finite samples, and where no light falls, the normal is NaN.
    ///
    /// # Errors
    /// Fewer than three lights, or lights in one plane.
    ///
    /// # Panics
    /// If there is not one light per image, or the mask is of another size.
    pub fn solve(
        &self,
        images: &ImageStack,
        lights: &Lights,
        mask: &Mask,
    ) -> Result<Solution, SolverError> {
        assert_eq!(images.size, mask.size, "a mask of the images' size");
        assert_eq!(images.count, lights.len(), "one image per light");
        if lights.len() < 3 {
            return Err(SolverError::TooFewLights { needed: 3, got: lights.len() });
        }
        let matrix = lights.light_matrix();
        let inverse = (matrix.transpose() * &matrix)
            .try_inverse()
            .filter(|_| lights.condition_number().is_finite())
            .ok_or(SolverError::LightsInPlane)?
            * matrix.transpose();

        let indices = masked_pixels::indices(mask);
        let entries = self.observed(&masked_pixels::gather(images, &indices));
        let split = self.split(&entries);
        let rows: Vec<Vector3<f64>> = matrix.row_iter().map(|r| r.transpose()).collect();
        let solution = split.solution(&entries, &rows, &inverse);
        Ok(masked_pixels::scatter(&solution, &indices, images.size))
    }

    /// The samples, a pixel's side by side, NaN where they are not observed.
    fn observed(&self, images: &ImageStack) -> Entries {
        let (shares, white) = images.to_shares();
        let (count, pixels) = (images.count, images.size.area());
        let mut values = vec![f32::NAN; count * pixels];
        let mut usable = vec![true; pixels];
        values.par_chunks_mut(count.max(1)).zip(&mut usable).enumerate().for_each(
            |(p, (entries, usable))| {
                let sample = |j: usize| shares[j * pixels + p];
                let mut seen: Vec<usize> = (0..count).filter(|&j| sample(j).is_finite()).collect();
                *usable = seen.len() >= LEAST_OBSERVED && seen.iter().any(|&j| sample(j) > 0.0);
                if !*usable {
                    return;
                }
                // Clipped samples first, then shadows from the darkest up, while three stay.
                seen.sort_by(|&a, &b| sample(b).total_cmp(&sample(a)));
                let clipped = seen.iter().take_while(|&&j| sample(j) >= white[j]).count();
                let first = clipped.min(seen.len() - LEAST_OBSERVED);
                let lit = &seen[first..];
                let shadow = self.shadow_share * sample(lit[lit.len() / 4]);
                let last = lit.iter().take_while(|&&j| sample(j) >= shadow).count();
                for &j in &lit[..last.max(LEAST_OBSERVED)] {
                    entries[j] = sample(j);
                }
            },
        );
        Entries { count, values, usable }
    }

    /// D → A + E.
    fn split(&self, entries: &Entries) -> Split {
        let (k, p) = (entries.count, entries.usable.len());
        let lambda = self.sparsity / (k.max(p).max(1) as f64).sqrt();
        let mut sparse = vec![0.0f32; k * p];
        let mut multiplier = vec![0.0f32; k * p];
        let mut projector = DMatrix::<f64>::identity(k, k);
        let start = gram(k, &entries.values, |d, m| {
            m.iter_mut().zip(d).for_each(|(m, d)| *m = if d.is_nan() { 0.0 } else { *d });
        });
        let squared_norm = start.trace();
        let spectral = start.clone().symmetric_eigenvalues().max().max(0.0).sqrt();
        if squared_norm <= 0.0 || !spectral.is_finite() {
            return Split { projected: vec![0.0; k * p] };
        }
        let largest = entries.values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let first = (1.0 / spectral.max(f64::from(largest) / lambda)) as f32;
        multiplier.iter_mut().zip(&entries.values).for_each(|(y, d)| {
            *y = if d.is_nan() { 0.0 } else { first * d };
        });
        let mut mu = FIRST_PENALTY / spectral;
        let mut next_gram = {
            let step = (1.0 + f64::from(first) / mu).powi(2);
            start * step
        };
        for _ in 0..self.iterations {
            projector = threshold(&next_gram, 1.0 / mu);
            let next_mu = mu * PENALTY_GROWTH;
            let round = Round {
                projector: projector.map(|v| v as f32),
                mu: mu as f32,
                next_mu: next_mu as f32,
                shrink: (lambda / mu) as f32,
            };
            let squared_error;
            (next_gram, squared_error) = round.run(entries, &mut sparse, &mut multiplier);
            mu = next_mu;
            if squared_error <= self.tolerance * self.tolerance * squared_norm {
                break;
            }
        }
        // The last A. Y/μ has become small beside it.
        let projector = projector.map(|v| v as f32);
        let mut projected = vec![0.0f32; k * p];
        projected
            .par_chunks_mut(k)
            .zip(entries.values.par_chunks(k).zip(sparse.par_chunks(k)))
            .zip(multiplier.par_chunks(k))
            .for_each(|((a, (d, e)), y)| {
                let mut m = vec![0.0; k];
                low_rank_target(&mut m, d, e, y, mu as f32);
                multiply(&projector, &m, a);
            });
        Split { projected }
    }
}

/// k entries a pixel, NaN off Ω; pixels that cannot be solved have none.
struct Entries {
    count: usize,
    values: Vec<f32>,
    usable: Vec<bool>,
}

/// A, a pixel's k entries side by side.
struct Split {
    projected: Vec<f32>,
}

/// `Σ m mᵀ` over the pixels, m formed from each pixel's entries.
fn gram(k: usize, values: &[f32], form: impl Fn(&[f32], &mut [f32]) + Sync) -> DMatrix<f64> {
    let parts: Vec<DMatrix<f64>> = values
        .par_chunks(TASK * k)
        .map(|values| {
            let mut sum = DMatrix::zeros(k, k);
            let mut m = vec![0.0; k];
            for d in values.chunks_exact(k) {
                form(d, &mut m);
                add_outer(&mut sum, &m);
            }
            sum
        })
        .collect();
    parts.into_iter().fold(DMatrix::zeros(k, k), |sum, part| sum + part)
}

fn add_outer(sum: &mut DMatrix<f64>, m: &[f32]) {
    for (column, &b) in sum.as_mut_slice().chunks_exact_mut(m.len()).zip(m) {
        for (s, &a) in column.iter_mut().zip(m) {
            *s += f64::from(a * b);
        }
    }
}

/// `P` so that `P M` is M with its singular values lowered by `step` and three of them kept.
fn threshold(gram: &DMatrix<f64>, step: f64) -> DMatrix<f64> {
    let k = gram.nrows();
    let SymmetricEigen { eigenvectors, eigenvalues } = gram.clone().symmetric_eigen();
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let mut projector = DMatrix::zeros(k, k);
    for &i in order.iter().take(RANK) {
        let singular = eigenvalues[i].max(0.0).sqrt();
        if singular > step {
            let u = eigenvectors.column(i);
            projector += u * u.transpose() * (1.0 - step / singular);
        }
    }
    projector
}

/// `M = D − E + Y/μ` of one pixel. Off Ω, where D is NaN, `E` holds −A and Y is 0.
#[inline]
fn low_rank_target(m: &mut [f32], d: &[f32], e: &[f32], y: &[f32], mu: f32) {
    for (((m, d), e), y) in m.iter_mut().zip(d).zip(e).zip(y) {
        let d = if d.is_nan() { 0.0 } else { *d };
        *m = d - e + y / mu;
    }
}

/// `a = P m`; P is symmetric.
#[inline]
fn multiply(projector: &DMatrix<f32>, m: &[f32], a: &mut [f32]) {
    a.fill(0.0);
    for (column, &v) in projector.as_slice().chunks_exact(m.len()).zip(m) {
        for (a, p) in a.iter_mut().zip(column) {
            *a += p * v;
        }
    }
}

/// One round's constants.
struct Round {
    projector: DMatrix<f32>,
    mu: f32,
    next_mu: f32,
    shrink: f32,
}

impl Round {
    /// Updates E and Y; returns the next Gram matrix and `‖D − A − E‖²`.
    fn run(
        &self,
        entries: &Entries,
        sparse: &mut [f32],
        multiplier: &mut [f32],
    ) -> (DMatrix<f64>, f64) {
        let k = entries.count;
        let parts: Vec<(DMatrix<f64>, f64)> = entries
            .values
            .par_chunks(TASK * k)
            .zip(sparse.par_chunks_mut(TASK * k))
            .zip(multiplier.par_chunks_mut(TASK * k))
            .map(|((values, sparse), multiplier)| {
                let (mut gram, mut error) = (DMatrix::zeros(k, k), 0.0f64);
                let (mut m, mut a) = (vec![0.0; k], vec![0.0; k]);
                for ((d, e), y) in values
                    .chunks_exact(k)
                    .zip(sparse.chunks_exact_mut(k))
                    .zip(multiplier.chunks_exact_mut(k))
                {
                    low_rank_target(&mut m, d, e, y, self.mu);
                    multiply(&self.projector, &m, &mut a);
                    let mut sum = 0.0f32;
                    for j in 0..k {
                        let observed = !d[j].is_nan();
                        let left = d[j] - a[j];
                        let raised = left + y[j] / self.mu;
                        let soft = (raised.abs() - self.shrink).max(0.0).copysign(raised);
                        let difference = left - soft;
                        e[j] = if observed { soft } else { -a[j] };
                        y[j] = if observed { y[j] + self.mu * difference } else { 0.0 };
                        sum += if observed { difference * difference } else { 0.0 };
                    }
                    error += f64::from(sum);
                    low_rank_target(&mut m, d, e, y, self.next_mu);
                    add_outer(&mut gram, &m);
                }
                (gram, error)
            })
            .collect();
        parts
            .into_iter()
            .fold((DMatrix::zeros(k, k), 0.0), |(gram, error), (g, e)| (gram + g, error + e))
    }
}

impl Split {
    /// `G = L⁺ A`, and what it leaves of the observed entries.
    fn solution(
        &self,
        entries: &Entries,
        rows: &[Vector3<f64>],
        inverse: &nalgebra::Matrix3xX<f64>,
    ) -> Solution {
        let (k, pixels) = (entries.count, entries.usable.len());
        let surface: Vec<Vector3<f64>> = self
            .projected
            .par_chunks(k)
            .map(|a| {
                inverse.column_iter().zip(a).map(|(column, &a)| column * f64::from(a)).sum()
            })
            .collect();
        let left = |p: usize, j: usize| {
            (f64::from(entries.values[p * k + j]) - rows[j].dot(&surface[p])) as f32
        };
        let mut differences: Vec<f32> = (0..pixels)
            .flat_map(|p| (0..k).map(move |j| (p, j)))
            .map(|(p, j)| left(p, j).abs())
            .filter(|d| d.is_finite())
            .collect();
        let deviation = if differences.is_empty() {
            LEAST_DEVIATION
        } else {
            let middle = differences.len() / 2;
            let (_, median, _) = differences.select_nth_unstable_by(middle, f32::total_cmp);
            (*median * MEDIAN_TO_DEVIATION).max(LEAST_DEVIATION)
        };
        let limit = OUTLIER_DEVIATIONS * deviation;

        let size = Size::new(1, pixels);
        let mut maps = SurfaceMaps::unset(size);
        let mut lights_used = Plane::filled(size, 0.0);
        let mut noise_gain = Plane::filled(size, f32::NAN);
        for p in (0..pixels).filter(|&p| entries.usable[p]) {
            let g = surface[p];
            let albedo = g.norm();
            let inliers: Vec<usize> = (0..k).filter(|&j| left(p, j).abs() <= limit).collect();
            let squares: f32 = inliers.iter().map(|&j| left(p, j).powi(2)).sum();
            let gram: Matrix3<f64> = inliers.iter().map(|&j| rows[j] * rows[j].transpose()).sum();
            if albedo > 0.0 {
                for axis in 0..3 {
                    maps.normals.data[axis * pixels + p] = (g[axis] / albedo) as f32;
                }
                lights_used.data[p] = inliers.len() as f32;
                noise_gain.data[p] = gain(gram);
            }
            maps.albedo.data[p] = albedo as f32;
            maps.residual.data[p] = (squares / inliers.len().max(1) as f32).sqrt();
        }
        Solution { surface: maps, lights_used, noise_gain, ambient: None }
    }
}

/// `√trace(gram⁻¹)`; infinite where the lights that counted leave g open: such a pixel was
/// completed from the others, and no confidence is due.
fn gain(gram: Matrix3<f64>) -> f32 {
    let inverse = gram.try_inverse().map_or(f64::INFINITY, |inverse| inverse.trace());
    if inverse > 0.0 && inverse < 1e12 { inverse.sqrt() as f32 } else { f32::INFINITY }
}
