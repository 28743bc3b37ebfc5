//! Low rank and sparse (Wu, Ganesh, Shi, Matsushita, Wang and Ma, "Robust photometric stereo via
//! low-rank matrix completion and recovery", ACCV 2010).
//!
//! The k × p matrix of a Lambertian surface's images, `A = L G`, has rank 3. Highlights and cast
//! shadows add E, large but seldom; attached shadows and clipped samples are not observed at all.
//! Over the observed entries Ω:
//!
//! ```text
//! minimise ‖A‖* + λ ‖E‖₁   so that   D = A + E on Ω,   rank A ≤ 3,   λ = C/√max(k, p)
//! ```
//!
//! A stays free of E only while an entry costs more in E than in A, `λ > |U Vᵀ|` in every entry
//! (Candès, Li, Ma and Wright 2011), and that is about `√(3μ/k)/√p`, μ a pixel's squared brightness
//! over the mean. For the few lights of a rig C = 1 is too small: E takes the bright pixels whole.
//! C = 3 holds up to μ = 3k.
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
//! The known lights enter at the end: E tells the outliers, and g is least squares over the rest
//! (the ‖·‖* shrinks A a little, the samples it does not). Where they leave g open, `G = L⁺ A`:
//! all pixels share one column space, so the others have completed what this one lacks.

use super::{Solution, SolverError, SurfaceMaps, masked_pixels};
use crate::maps::{ImageStack, Lights, Mask, Plane, Size};
use crate::order_statistics::median;
use nalgebra::{DMatrix, Matrix3, SymmetricEigen, Vector3};
use rayon::prelude::*;

/// The solver and its options.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// C: λ as a multiple of 1/√max(k, p).
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
        Self { sparsity: 3.0, shadow_share: 0.1, tolerance: 1e-6, iterations: 300 }
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
/// Inliers whose noise grows more than this leave g open; a light matrix of three lights 20° apart
/// stands at 7.
const WORST_GAIN: f32 = 20.0;
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
        let rows: Vec<Vector3<f64>> = matrix.row_iter().map(|r| r.transpose()).collect();
        let split = self.split(&entries, start(&entries, &rows, &inverse));
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

    /// D → A + E, from a first E that is zero on Ω and −A off it.
    fn split(&self, entries: &Entries, mut sparse: Vec<f32>) -> Split {
        let (k, p) = (entries.count, entries.usable.len());
        let lambda = self.sparsity / (k.max(p).max(1) as f64).sqrt();
        let mut multiplier = vec![0.0f32; k * p];
        let mut projector = DMatrix::<f64>::identity(k, k);
        let completed = gram(k, &entries.values, &sparse);
        let squared_norm = completed.trace();
        let spectral = completed.clone().symmetric_eigenvalues().max().max(0.0).sqrt();
        if squared_norm <= 0.0 || !spectral.is_finite() {
            return Split { projected: vec![0.0; k * p] };
        }
        let largest = entries.values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let first = (1.0 / spectral.max(f64::from(largest) / lambda)) as f32;
        multiplier.iter_mut().zip(&entries.values).for_each(|(y, d)| {
            *y = if d.is_nan() { 0.0 } else { first * d };
        });
        let mut mu = FIRST_PENALTY / spectral;
        let mut next_gram = completed;
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

/// Least squares over Ω completes what is missing: the first E, −A off Ω. Completed from zeros
/// instead, the entries would still be on their way when μ has grown and holds them.
fn start(entries: &Entries, rows: &[Vector3<f64>], inverse: &nalgebra::Matrix3xX<f64>) -> Vec<f32> {
    let k = entries.count;
    let nothing = entries.values.iter().map(|d| 0.0 * d).collect();
    let zeros = |d: &f32| if d.is_nan() { 0.0 } else { f64::from(*d) };
    let open: Vec<Vector3<f64>> = entries
        .values
        .par_chunks(k)
        .map(|d| inverse.column_iter().zip(d).map(|(c, d)| c * zeros(d)).sum())
        .collect();
    let fits = fit_inliers(entries, rows, nothing, &open);
    let mut sparse = vec![0.0f32; entries.values.len()];
    sparse.par_chunks_mut(k).zip(entries.values.par_chunks(k)).zip(&fits).for_each(
        |((e, d), fit)| {
            for ((e, d), row) in e.iter_mut().zip(d).zip(rows) {
                *e = if d.is_nan() { -row.dot(&fit.g) as f32 } else { 0.0 };
            }
        },
    );
    sparse
}

/// `Σ m mᵀ` over the pixels, `m = D − E`.
fn gram(k: usize, values: &[f32], sparse: &[f32]) -> DMatrix<f64> {
    let parts: Vec<DMatrix<f64>> = values
        .par_chunks(TASK * k)
        .zip(sparse.par_chunks(TASK * k))
        .map(|(values, sparse)| {
            let mut sum = GramSum::new(k);
            let (mut m, zero) = (vec![0.0; k], vec![0.0; k]);
            for (d, e) in values.chunks_exact(k).zip(sparse.chunks_exact(k)) {
                low_rank_target(&mut m, d, e, &zero, 1.0);
                sum.add(&m);
            }
            sum.finish()
        })
        .collect();
    parts.into_iter().fold(DMatrix::zeros(k, k), |sum, part| sum + part)
}

/// `Σ m mᵀ`, summed in f32 over short runs of pixels, which vectorises, and in f64 over the runs.
struct GramSum {
    total: DMatrix<f64>,
    run: Vec<f32>,
    pending: usize,
}

impl GramSum {
    /// Pixels a run: rounding stays below 64 units in the last place of an f32.
    const RUN: usize = 64;

    fn new(k: usize) -> Self {
        Self { total: DMatrix::zeros(k, k), run: vec![0.0; k * k], pending: 0 }
    }

    #[inline]
    fn add(&mut self, m: &[f32]) {
        for (column, &b) in self.run.chunks_exact_mut(m.len()).zip(m) {
            for (s, &a) in column.iter_mut().zip(m) {
                *s += a * b;
            }
        }
        self.pending += 1;
        if self.pending == Self::RUN {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for (total, run) in self.total.as_mut_slice().iter_mut().zip(&mut self.run) {
            *total += f64::from(std::mem::take(run));
        }
        self.pending = 0;
    }

    fn finish(mut self) -> DMatrix<f64> {
        self.flush();
        self.total
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
                let (mut gram, mut error) = (GramSum::new(k), 0.0f64);
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
                    gram.add(&m);
                }
                (gram.finish(), error)
            })
            .collect();
        parts
            .into_iter()
            .fold((DMatrix::zeros(k, k), 0.0), |(gram, error), (g, e)| (gram + g, error + e))
    }
}

impl Split {
    /// G from the entries that E left alone, and what it leaves of them.
    fn solution(
        &self,
        entries: &Entries,
        rows: &[Vector3<f64>],
        inverse: &nalgebra::Matrix3xX<f64>,
    ) -> Solution {
        let (k, pixels) = (entries.count, entries.usable.len());
        let completed: Vec<Vector3<f64>> = self
            .projected
            .par_chunks(k)
            .map(|a| inverse.column_iter().zip(a).map(|(c, &a)| c * f64::from(a)).sum())
            .collect();
        let sparse = entries.values.par_iter().zip(&self.projected).map(|(d, a)| d - a).collect();
        let fits = fit_inliers(entries, rows, sparse, &completed);
        let size = Size::new(1, pixels);
        let mut maps = SurfaceMaps::unset(size);
        let mut lights_used = Plane::filled(size, 0.0);
        let mut noise_gain = Plane::filled(size, f32::NAN);
        for (p, fit) in fits.iter().enumerate().filter(|(p, _)| entries.usable[*p]) {
            let albedo = fit.g.norm();
            if albedo > 0.0 {
                for axis in 0..3 {
                    maps.normals.data[axis * pixels + p] = (fit.g[axis] / albedo) as f32;
                }
                lights_used.data[p] = fit.inliers as f32;
                noise_gain.data[p] = fit.gain;
            }
            maps.albedo.data[p] = albedo as f32;
            maps.residual.data[p] = fit.residual;
        }
        Solution { surface: maps, lights_used, noise_gain, ambient: None }
    }
}

/// Least squares of one pixel over its inliers.
struct Fit {
    g: Vector3<f64>,
    inliers: usize,
    gain: f32,
    residual: f32,
}

/// Fits each pixel to the observed entries whose difference is no outlier among all differences;
/// where they leave g open, `L⁺ A` stands, which other pixels have completed.
fn fit_inliers(
    entries: &Entries,
    rows: &[Vector3<f64>],
    differences: Vec<f32>,
    completed: &[Vector3<f64>],
) -> Vec<Fit> {
    let k = entries.count;
    let limit = OUTLIER_DEVIATIONS * deviation(&differences);
    entries
        .values
        .par_chunks(k)
        .zip(differences.par_chunks(k))
        .zip(completed)
        .map(|((d, differences), &completed)| {
            let inliers: Vec<usize> = (0..k).filter(|&j| differences[j].abs() <= limit).collect();
            let gram: Matrix3<f64> = inliers.iter().map(|&j| rows[j] * rows[j].transpose()).sum();
            let right: Vector3<f64> = inliers.iter().map(|&j| rows[j] * f64::from(d[j])).sum();
            let inverse = gram.try_inverse().filter(|i| bounded(i.trace()));
            let g = inverse.map_or(completed, |inverse| inverse * right);
            let gain = inverse.map_or(f32::INFINITY, |inverse| inverse.trace().sqrt() as f32);
            let squares: f64 =
                inliers.iter().map(|&j| (f64::from(d[j]) - rows[j].dot(&g)).powi(2)).sum();
            let residual = (squares / inliers.len().max(1) as f64).sqrt() as f32;
            Fit { g, inliers: inliers.len(), gain, residual }
        })
        .collect()
}

/// Standard deviation by the median of what is observed.
fn deviation(differences: &[f32]) -> f32 {
    let mut sizes: Vec<f32> =
        differences.iter().filter(|d| d.is_finite()).map(|d| d.abs()).collect();
    let median = median(&mut sizes).unwrap_or(0.0);
    (median * MEDIAN_TO_DEVIATION).max(LEAST_DEVIATION)
}

/// Whether the lights leave g determined; a singular matrix can have an inverse of any sign.
fn bounded(squared_gain: f64) -> bool {
    squared_gain > 0.0 && squared_gain < f64::from(WORST_GAIN).powi(2)
}
