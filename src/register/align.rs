//! Gauss–Newton steps on the motions of all frames at one scale.
//!
//! The unknowns are d_j for every frame but the reference, 2(k − 1) numbers; the residuals at a
//! pixel x are, with S_j the structure and B_j the band of frame j at x + d_j,
//!
//! - `s_j = S_j − mean of the other S`, one per frame, and
//! - `(P B)_i`, `P = 1 − L L⁺`, k of them with k − 3 degrees of freedom. As P is a projection, its
//!   normal matrix is `Σ w P_ij ∇B_i ∇B_jᵀ` and its gradient `Σ w (P B)_j ∇B_j`.
//!
//! Each is divided by its own robust scale, so that neither needs a weight chosen by hand.

use super::pyramid::Level;
use crate::maps::{Lights, Size};
use nalgebra::{DMatrix, DVector};

/// Pixels compared. A motion known to a hundredth of a pixel from each of a few hundred edges
/// gains nothing from more.
const PIXELS: usize = 12_000;
/// Fewest pixels worth comparing.
const FEWEST_PIXELS: usize = 200;
/// A residual of this many standard deviations weighs a quarter.
const DEVIATIONS: f32 = 2.0;
const MOST_STEPS: usize = 15;
/// Longest step, pixels of the level: the structure's own width, beyond which it is not linear.
const LONGEST_STEP: f64 = 1.0;
/// Steps end below this, pixels of the level.
const SMALLEST_STEP: f64 = 0.005;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Freedom {
    /// Constant velocity and the parallax mode along each axis, by structure alone.
    Drift,
    /// Every frame for itself, by structure and Lambert's law.
    Free,
}

pub(super) struct Aligner<'a> {
    level: &'a Level,
    reference: usize,
    /// Flat indices of the pixels compared.
    pixels: Vec<usize>,
    /// `1 − L L⁺`; `None` for three lights, or where it is not used.
    projection: Option<DMatrix<f64>>,
    /// (2k × unknowns): the motions that a step can be made of.
    basis: DMatrix<f64>,
}

/// What one frame shows at the pixels, at the present motion.
#[derive(Clone, Default)]
struct Samples {
    value: Vec<f32>,
    along_x: Vec<f32>,
    along_y: Vec<f32>,
}

impl<'a> Aligner<'a> {
    /// `None` where the subject has too few pixels.
    pub fn new(
        level: &'a Level,
        lights: &Lights,
        reference: usize,
        freedom: Freedom,
    ) -> Option<Self> {
        let k = level.frames.len();
        let pixels = strongest_pixels(level);
        if pixels.len() < FEWEST_PIXELS {
            return None;
        }
        let free = freedom == Freedom::Free;
        let projection = if free && k > 3 { Some(projection(lights)?) } else { None };
        let basis = if free { free_basis(k, reference) } else { drift_basis(lights, reference) };
        Some(Self { level, reference, pixels, projection, basis })
    }

    /// The motions that the frames come to rest at, in pixels of the level, from `motions`.
    pub fn align(&self, mut motions: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
        for _ in 0..MOST_STEPS {
            let (mut matrix, mut gradient) = self.structure_equations(&motions);
            if let Some(projection) = &self.projection {
                self.lambert_equations(&motions, projection, &mut matrix, &mut gradient);
            }
            let Some(step) = self.step(&matrix, &gradient) else { break };
            let longest = step.amax();
            let shrink = if longest > LONGEST_STEP { LONGEST_STEP / longest } else { 1.0 };
            for (j, motion) in motions.iter_mut().enumerate() {
                motion[0] += shrink * step[2 * j];
                motion[1] += shrink * step[2 * j + 1];
            }
            if longest < SMALLEST_STEP {
                break;
            }
        }
        motions
    }

    fn step(&self, matrix: &DMatrix<f64>, gradient: &DVector<f64>) -> Option<DVector<f64>> {
        let mut reduced = self.basis.transpose() * matrix * &self.basis;
        let unknowns = reduced.nrows();
        // Keeps lights in a row (a drift that looks like the parallax mode) from dividing by 0.
        let ridge = 1e-6 * reduced.trace() / unknowns as f64;
        for i in 0..unknowns {
            reduced[(i, i)] += ridge;
        }
        let solution = reduced.cholesky()?.solve(&(self.basis.transpose() * gradient));
        let step = &self.basis * solution;
        step.iter().all(|v| v.is_finite()).then_some(step)
    }

    /// The constant velocity in motions made of the drift basis: the parallax mode is dropped.
    pub fn velocity_of(&self, motions: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let k = motions.len();
        let flat = DVector::from_iterator(2 * k, motions.iter().flatten().copied());
        let mut normal = self.basis.transpose() * &self.basis;
        let ridge = 1e-9 * normal.trace();
        for i in 0..normal.nrows() {
            normal[(i, i)] += ridge;
        }
        let Some(factors) = normal.cholesky() else { return vec![[0.0; 2]; k] };
        let parts = factors.solve(&(self.basis.transpose() * flat));
        let steps = |j: usize| j as f64 - self.reference as f64;
        (0..k).map(|j| [steps(j) * parts[0], steps(j) * parts[1]]).collect()
    }

    fn structure_equations(&self, motions: &[[f64; 2]]) -> (DMatrix<f64>, DVector<f64>) {
        let (k, n) = (motions.len(), self.pixels.len());
        let frames = &self.level.frames;
        let samples: Vec<Samples> =
            (0..k).map(|j| self.sample(&frames[j].structure, motions[j])).collect();
        let weights: Vec<Vec<f32>> =
            (0..k).map(|j| self.sample(&frames[j].weight, motions[j]).value).collect();
        let (mut matrix, mut gradient) = (DMatrix::zeros(2 * k, 2 * k), DVector::zeros(2 * k));
        let (sum, total) = weighted_sums(&samples, &weights);
        let mut residuals = vec![0.0f32; n];
        let mut pair_weights = vec![0.0f32; n];
        let others = (k - 1) as f32;
        for j in 0..k {
            for i in 0..n {
                let (w, rest) = (weights[j][i], total[i] - weights[j][i]);
                let mean = (sum[i] - w * samples[j].value[i]) / rest.max(1e-6);
                residuals[i] = samples[j].value[i] - mean;
                pair_weights[i] = w.min(rest / others).max(0.0);
            }
            let inverse_scale = 1.0 / robust_scale(&residuals);
            // A step of this frame alone moves the residual by its gradient, but the others step
            // at the same time: (k − 1)/k of it is theirs and its own together.
            let share = others / k as f32 * inverse_scale * inverse_scale;
            let (mut xx, mut xy, mut yy, mut x, mut y) = (0.0f64, 0.0f64, 0.0f64, 0.0f64, 0.0f64);
            for i in 0..n {
                let deviation = residuals[i] * inverse_scale / DEVIATIONS;
                let damped = 1.0 / (1.0 + deviation * deviation);
                let w = share * pair_weights[i] * damped * damped;
                let (gx, gy) = (samples[j].along_x[i], samples[j].along_y[i]);
                xx += f64::from(w * gx * gx);
                xy += f64::from(w * gx * gy);
                yy += f64::from(w * gy * gy);
                x -= f64::from(w * gx * residuals[i]);
                y -= f64::from(w * gy * residuals[i]);
            }
            let at = 2 * j;
            matrix[(at, at)] = xx;
            matrix[(at, at + 1)] = xy;
            matrix[(at + 1, at)] = xy;
            matrix[(at + 1, at + 1)] = yy;
            (gradient[at], gradient[at + 1]) = (x, y);
        }
        (matrix, gradient)
    }

    fn lambert_equations(
        &self,
        motions: &[[f64; 2]],
        projection: &DMatrix<f64>,
        matrix: &mut DMatrix<f64>,
        gradient: &mut DVector<f64>,
    ) {
        let (k, n) = (motions.len(), self.pixels.len());
        let frames = &self.level.frames;
        let samples: Vec<Samples> =
            (0..k).map(|j| self.sample(&frames[j].band, motions[j])).collect();
        // (P B), frame by frame, and its length per pixel.
        let mut residuals = vec![vec![0.0f32; n]; k];
        let mut squares = vec![0.0f32; n];
        for (j, residual) in residuals.iter_mut().enumerate() {
            for (m, sample) in samples.iter().enumerate() {
                let factor = projection[(j, m)] as f32;
                residual.iter_mut().zip(&sample.value).for_each(|(r, v)| *r += factor * v);
            }
            squares.iter_mut().zip(&*residual).for_each(|(s, r)| *s += r * r);
        }
        let freedom = (k - 3) as f32;
        let lengths: Vec<f32> = squares.iter().map(|s| (s / freedom).sqrt()).collect();
        let inverse_scale = 1.0 / robust_scale(&lengths);
        let weights: Vec<f32> = lengths
            .iter()
            .map(|length| {
                let deviation = length * inverse_scale / DEVIATIONS;
                let damped = inverse_scale / (1.0 + deviation * deviation);
                damped * damped
            })
            .collect();
        for j in 0..k {
            let (mut x, mut y) = (0.0f64, 0.0f64);
            for i in 0..n {
                let pull = weights[i] * residuals[j][i];
                x -= f64::from(pull * samples[j].along_x[i]);
                y -= f64::from(pull * samples[j].along_y[i]);
            }
            gradient[2 * j] += x;
            gradient[2 * j + 1] += y;
            for m in 0..=j {
                let (a, b) = (&samples[j], &samples[m]);
                let mut sums = [0.0f64; 4];
                for i in 0..n {
                    let w = weights[i];
                    sums[0] += f64::from(w * a.along_x[i] * b.along_x[i]);
                    sums[1] += f64::from(w * a.along_x[i] * b.along_y[i]);
                    sums[2] += f64::from(w * a.along_y[i] * b.along_x[i]);
                    sums[3] += f64::from(w * a.along_y[i] * b.along_y[i]);
                }
                for (entry, sum) in sums.into_iter().enumerate() {
                    let (row, column) = (2 * j + entry / 2, 2 * m + entry % 2);
                    let value = projection[(j, m)] * sum;
                    matrix[(row, column)] += value;
                    if m != j {
                        matrix[(column, row)] += value;
                    }
                }
            }
        }
    }

    /// Bilinear values and central differences at every pixel plus `motion`. The fraction of a
    /// pixel is the same for all, so the weights are four constants.
    fn sample(&self, plane: &[f32], motion: [f64; 2]) -> Samples {
        let Size { height, width } = self.level.size;
        let (left, above) = (motion[0].floor(), motion[1].floor());
        let (tx, ty) = ((motion[0] - left) as f32, (motion[1] - above) as f32);
        let corner = [(1.0 - tx) * (1.0 - ty), tx * (1.0 - ty), (1.0 - tx) * ty, tx * ty];
        // Far motions are cut off at the border: such pixels compare edge with edge.
        let (left, above) = (clamp_shift(left, width), clamp_shift(above, height));
        let mut samples = Samples {
            value: Vec::with_capacity(self.pixels.len()),
            along_x: Vec::with_capacity(self.pixels.len()),
            along_y: Vec::with_capacity(self.pixels.len()),
        };
        for &p in &self.pixels {
            let row = ((p / width) as isize + above).clamp(1, height as isize - 3) as usize;
            let column = ((p % width) as isize + left).clamp(1, width as isize - 3) as usize;
            let line = |r: usize| {
                let start = (row + r - 1) * width + column - 1;
                &plane[start..start + 4]
            };
            let (a, b, c, d) = (line(0), line(1), line(2), line(3));
            let [w0, w1, w2, w3] = corner;
            samples.value.push(w0 * b[1] + w1 * b[2] + w2 * c[1] + w3 * c[2]);
            samples.along_x.push(
                0.5 * (w0 * (b[2] - b[0])
                    + w1 * (b[3] - b[1])
                    + w2 * (c[2] - c[0])
                    + w3 * (c[3] - c[1])),
            );
            samples.along_y.push(
                0.5 * (w0 * (c[1] - a[1])
                    + w1 * (c[2] - a[2])
                    + w2 * (d[1] - b[1])
                    + w3 * (d[2] - b[2])),
            );
        }
        samples
    }

    /// See [`super::Registration::quality`].
    pub fn quality(&self, motions: &[[f64; 2]]) -> Vec<f32> {
        let frames = &self.level.frames;
        let samples: Vec<Samples> =
            (0..motions.len()).map(|j| self.sample(&frames[j].structure, motions[j])).collect();
        let weights: Vec<Vec<f32>> =
            (0..motions.len()).map(|j| self.sample(&frames[j].weight, motions[j]).value).collect();
        let (sum, total) = weighted_sums(&samples, &weights);
        (0..motions.len())
            .map(|j| {
                let (mut own, mut other, mut product) = (0.0f64, 0.0f64, 0.0f64);
                for i in 0..self.pixels.len() {
                    let (w, value) = (weights[j][i], samples[j].value[i]);
                    let mean = (sum[i] - w * value) / (total[i] - w).max(1e-6);
                    own += f64::from(w * value * value);
                    other += f64::from(w * mean * mean);
                    product += f64::from(w * value * mean);
                }
                (product / (own * other).sqrt()) as f32
            })
            .collect()
    }
}

fn clamp_shift(shift: f64, length: usize) -> isize {
    shift.clamp(-(length as f64), length as f64) as isize
}

/// `Σ w S` and `Σ w` over the frames, per pixel.
fn weighted_sums(samples: &[Samples], weights: &[Vec<f32>]) -> (Vec<f32>, Vec<f32>) {
    let n = samples[0].value.len();
    let (mut sum, mut total) = (vec![0.0f32; n], vec![0.0f32; n]);
    for (sample, weights) in samples.iter().zip(weights) {
        for (((s, t), v), w) in sum.iter_mut().zip(&mut total).zip(&sample.value).zip(weights) {
            *s += w * v;
            *t += w;
        }
    }
    (sum, total)
}

/// Standard deviation of normal residuals, from the median of their sizes.
fn robust_scale(residuals: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = residuals.iter().map(|r| r.abs()).collect();
    let middle = sizes.len() / 2;
    let median = *sizes.select_nth_unstable_by(middle, f32::total_cmp).1;
    // Frames that fit exactly (made by a renderer) have no scale; any positive one will do.
    (1.4826 * median).max(1e-6)
}

/// The subject's pixels with the strongest structure over all frames, in row-major order.
fn strongest_pixels(level: &Level) -> Vec<usize> {
    let width = level.size.width;
    let candidates: Vec<usize> =
        (0..level.inside.data.len()).filter(|&p| level.inside.data[p]).collect();
    if candidates.len() <= PIXELS {
        return candidates;
    }
    let strength: Vec<f32> = candidates
        .iter()
        .map(|&p| {
            let of = |frame: &super::pyramid::Frame| {
                let s = &frame.structure;
                let (x, y) = (s[p + 1] - s[p - 1], s[p + width] - s[p - width]);
                frame.weight[p] * (x * x + y * y)
            };
            level.frames.iter().map(of).sum()
        })
        .collect();
    let mut sorted = strength.clone();
    let rank = sorted.len() - PIXELS;
    let least = *sorted.select_nth_unstable_by(rank, f32::total_cmp).1;
    candidates.into_iter().zip(strength).filter(|(_, s)| *s >= least).map(|(p, _)| p).collect()
}

/// `1 − L L⁺`.
fn projection(lights: &Lights) -> Option<DMatrix<f64>> {
    let matrix = lights.light_matrix();
    let gram_inverse = (matrix.transpose() * &matrix).try_inverse()?;
    let k = lights.len();
    let fitted = &matrix * gram_inverse * matrix.transpose();
    Some(DMatrix::from_fn(k, k, |i, j| f64::from(u8::from(i == j)) - fitted[(i, j)]))
}

fn free_basis(k: usize, reference: usize) -> DMatrix<f64> {
    let moving: Vec<usize> = (0..k).filter(|&j| j != reference).collect();
    DMatrix::from_fn(2 * k, 2 * (k - 1), |row, unknown| {
        f64::from(u8::from(row == 2 * moving[unknown / 2] + unknown % 2))
    })
}

/// Columns: velocity along x and y, parallax along x and y. Image rows run down, so y turns sign.
fn drift_basis(lights: &Lights, reference: usize) -> DMatrix<f64> {
    let origin = lights.directions[reference];
    DMatrix::from_fn(2 * lights.len(), 4, |row, unknown| {
        let (frame, axis) = (row / 2, row % 2);
        if unknown % 2 != axis {
            return 0.0;
        }
        if unknown < 2 {
            return frame as f64 - reference as f64;
        }
        let light = lights.directions[frame] - origin;
        f64::from(if axis == 0 { light.x } else { -light.y })
    })
}
