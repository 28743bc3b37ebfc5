//! Gauss–Newton steps on the motions of all frames at one scale.
//!
//! The unknowns are d_j for every frame but the reference, 2(k − 1) numbers; the residuals at a
//! pixel x are, with S_j the structure and B_j the band of frame j at x + d_j,
//!
//! - `S_j − Σ ω_i S_i / Ω`, `Ω = Σ ω_i`, one per frame: with the weighted mean eliminated, the
//!   normal matrix is `Σ (δ_ij ω_j − ω_i ω_j / Ω) ∇S_i ∇S_jᵀ`; and
//! - `(P B)_i`, `P = 1 − L L⁺`, k of them with k − 3 degrees of freedom. As P is a projection, its
//!   normal matrix is `Σ w P_ij ∇B_i ∇B_jᵀ` and its gradient `Σ w (P B)_j ∇B_j`.
//!
//! Each is divided by its own robust scale, so that neither needs a weight chosen by hand.

use super::pyramid::Level;
use crate::maps::{Lights, Size};
use crate::order_statistics::median;
use nalgebra::{DMatrix, DVector};

/// Pixels compared. A motion known to a hundredth of a pixel from each of a few hundred edges
/// gains nothing from more.
const PIXELS: usize = 12_000;
/// Parts of the image's shorter side that give pixels in proportion to the subject's share.
const PARTS: usize = 8;
/// Fewest pixels worth comparing.
const FEWEST_PIXELS: usize = 200;
/// A residual of this many standard deviations weighs a quarter.
const DEVIATIONS: f32 = 2.0;
const MOST_STEPS: usize = 15;
/// Longest step, pixels of the level: the structure's own width, beyond which it is not linear.
const LONGEST_STEP: f64 = 1.0;
/// Steps end below this, pixels of the level: at the finest scale, and before, where the next
/// scale goes on from it.
const SMALLEST_STEP: f64 = 0.01;
const SMALLEST_COARSE_STEP: f64 = 0.03;

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
    smallest_step: f64,
    /// Row and column of the pixels compared.
    pixels: Vec<[u32; 2]>,
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
    /// Chooses what to compare from the frames at these motions. `None` where the subject has too
    /// few pixels.
    pub fn new(
        level: &'a Level,
        lights: &Lights,
        reference: usize,
        freedom: Freedom,
        motions: &[[f64; 2]],
    ) -> Option<Self> {
        let k = level.frames.len();
        let pixels = common_structure(level, motions);
        if pixels.len() < FEWEST_PIXELS {
            return None;
        }
        let free = freedom == Freedom::Free;
        let projection = if free && k > 3 { Some(projection(lights)?) } else { None };
        let basis = if free { free_basis(k, reference) } else { drift_basis(lights, reference) };
        let smallest_step = if free { SMALLEST_STEP } else { SMALLEST_COARSE_STEP };
        Some(Self { level, reference, smallest_step, pixels, projection, basis })
    }

    /// The motions that the frames come to rest at, in pixels of the level, from `motions`.
    pub fn align(&self, mut motions: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
        for _ in 0..MOST_STEPS {
            let mut equations = Equations::new(motions.len());
            self.add_structure(&motions, &mut equations);
            if let Some(projection) = &self.projection {
                self.add_lambert(&motions, projection, &mut equations);
            }
            let Some(step) = self.step(&equations) else { break };
            let longest = step.amax();
            let shrink = if longest > LONGEST_STEP { LONGEST_STEP / longest } else { 1.0 };
            for (j, motion) in motions.iter_mut().enumerate() {
                motion[0] += shrink * step[2 * j];
                motion[1] += shrink * step[2 * j + 1];
            }
            if longest < self.smallest_step {
                break;
            }
        }
        motions
    }

    fn step(&self, equations: &Equations) -> Option<DVector<f64>> {
        let gradient = self.basis.transpose() * &equations.gradient;
        let solve = |matrix: &DMatrix<f64>| {
            let mut reduced = self.basis.transpose() * matrix * &self.basis;
            let unknowns = reduced.nrows();
            // Keeps a drift that looks like the parallax mode from dividing by 0.
            let ridge = 1e-6 * reduced.trace() / unknowns as f64;
            for i in 0..unknowns {
                reduced[(i, i)] += ridge;
            }
            Some(&self.basis * reduced.cholesky()?.solve(&gradient))
        };
        let step = solve(&equations.without_noise()).or_else(|| solve(&equations.matrix))?;
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

    fn add_structure(&self, motions: &[[f64; 2]], equations: &mut Equations) {
        let (k, n) = (motions.len(), self.pixels.len());
        let frames = &self.level.frames;
        let samples: Vec<Samples> =
            (0..k).map(|j| self.sample(&frames[j].structure, motions[j])).collect();
        let mut weights: Vec<Vec<f32>> =
            (0..k).map(|j| self.nearest(&frames[j].weight, motions[j])).collect();
        // An outlier must not hide in a mean that it takes part in: judged against the others.
        let (sum, total) = weighted_sums(&samples, &weights);
        for (sample, weights) in samples.iter().zip(&mut weights) {
            let residuals: Vec<f32> = (0..n)
                .map(|i| {
                    let (w, value) = (weights[i], sample.value[i]);
                    value - (sum[i] - w * value) / (total[i] - w).max(1e-6)
                })
                .collect();
            let inverse_scale = 1.0 / robust_scale(&residuals);
            for (weight, residual) in weights.iter_mut().zip(&residuals) {
                *weight *= damped(residual * inverse_scale, inverse_scale);
            }
        }
        let (sum, total) = weighted_sums(&samples, &weights);
        let inverse_total: Vec<f32> = total.iter().map(|t| 1.0 / t.max(1e-12)).collect();
        for j in 0..k {
            let pull: Vec<f32> = (0..n)
                .map(|i| weights[j][i] * (samples[j].value[i] - sum[i] * inverse_total[i]))
                .collect();
            equations.add_gradient(j, &pull, &samples[j]);
            for m in 0..=j {
                let own = if m == j { 1.0 } else { 0.0 };
                let pair: Vec<f32> = (0..n)
                    .map(|i| weights[j][i] * (own - weights[m][i] * inverse_total[i]))
                    .collect();
                equations.add_pair(j, m, &pair, &samples[j], &samples[m]);
            }
        }
    }

    fn add_lambert(
        &self,
        motions: &[[f64; 2]],
        projection: &DMatrix<f64>,
        equations: &mut Equations,
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
        let weights: Vec<f32> =
            lengths.iter().map(|l| damped(l * inverse_scale, inverse_scale)).collect();
        for j in 0..k {
            let pull: Vec<f32> = weights.iter().zip(&residuals[j]).map(|(w, r)| w * r).collect();
            equations.add_gradient(j, &pull, &samples[j]);
            for m in 0..=j {
                let factor = projection[(j, m)] as f32;
                let pair: Vec<f32> = weights.iter().map(|w| factor * w).collect();
                equations.add_pair(j, m, &pair, &samples[j], &samples[m]);
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
        for &[row, column] in &self.pixels {
            let row = (row as isize + above).clamp(1, height as isize - 3) as usize;
            let column = (column as isize + left).clamp(1, width as isize - 3) as usize;
            let first = (row - 1) * width + column - 1;
            let line = |r: usize| four(plane, first + r * width);
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

    /// The values nearest to every pixel plus `motion`.
    fn nearest(&self, plane: &[f32], motion: [f64; 2]) -> Vec<f32> {
        let Size { height, width } = self.level.size;
        let (left, above) =
            (clamp_shift(motion[0].round(), width), clamp_shift(motion[1].round(), height));
        let at = |&[row, column]: &[u32; 2]| {
            let row = (row as isize + above).clamp(0, height as isize - 1) as usize;
            let column = (column as isize + left).clamp(0, width as isize - 1) as usize;
            plane[row * width + column]
        };
        self.pixels.iter().map(at).collect()
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

/// Weight of a residual given in standard deviations, over the variance.
fn damped(deviation: f32, inverse_scale: f32) -> f32 {
    let ratio = deviation / DEVIATIONS;
    let root = inverse_scale / (1.0 + ratio * ratio);
    root * root
}

/// Normal equations of 2k unknowns: x and y of each frame.
struct Equations {
    matrix: DMatrix<f64>,
    gradient: DVector<f64>,
}

impl Equations {
    fn new(frames: usize) -> Self {
        let unknowns = 2 * frames;
        Self { matrix: DMatrix::zeros(unknowns, unknowns), gradient: DVector::zeros(unknowns) }
    }

    /// The matrix with the noise of the gradients taken out of its diagonal blocks.
    ///
    /// There each gradient meets itself, noise, shading and all, which makes the steps many times
    /// too short. Off the diagonal those average out; and as nothing changes when all frames
    /// shift together, a diagonal block is minus the sum of the others in its row. A quarter of
    /// the plain block stays, for steadiness.
    fn without_noise(&self) -> DMatrix<f64> {
        const KEPT: f64 = 0.25;
        let mut matrix = self.matrix.clone();
        let frames = matrix.nrows() / 2;
        for j in 0..frames {
            let mut sum = nalgebra::Matrix2::zeros();
            for m in (0..frames).filter(|&m| m != j) {
                let block = self.matrix.fixed_view::<2, 2>(2 * j, 2 * m);
                sum -= (block + block.transpose()) * 0.5;
            }
            let plain = self.matrix.fixed_view::<2, 2>(2 * j, 2 * j);
            let block = plain * KEPT + sum * (1.0 - KEPT);
            matrix.fixed_view_mut::<2, 2>(2 * j, 2 * j).copy_from(&block);
        }
        matrix
    }

    /// Pulls frame j down the slope of its samples.
    fn add_gradient(&mut self, j: usize, pull: &[f32], samples: &Samples) {
        self.gradient[2 * j] -= dot(pull, &samples.along_x);
        self.gradient[2 * j + 1] -= dot(pull, &samples.along_y);
    }

    /// Adds `Σ w ∇a ∇bᵀ` for frames j and m, and its transpose where they differ.
    fn add_pair(&mut self, j: usize, m: usize, weights: &[f32], a: &Samples, b: &Samples) {
        for (row, left) in [&a.along_x, &a.along_y].into_iter().enumerate() {
            let weighted: Vec<f32> = weights.iter().zip(left).map(|(w, g)| w * g).collect();
            for (column, right) in [&b.along_x, &b.along_y].into_iter().enumerate() {
                let (row, column) = (2 * j + row, 2 * m + column);
                let sum = dot(&weighted, right);
                self.matrix[(row, column)] += sum;
                if j != m {
                    self.matrix[(column, row)] += sum;
                }
            }
        }
    }
}

/// Scalar product, summed in lanes that a vector unit fills, each over a short run.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut total = 0.0f64;
    for (a, b) in a.chunks(32 * LANES).zip(b.chunks(32 * LANES)) {
        let mut lanes = [0.0f32; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                lanes[lane] += a[lane] * b[lane];
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        total += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    total
}

/// Four neighbours at once: one check of bounds instead of four.
fn four(plane: &[f32], first: usize) -> [f32; 4] {
    plane[first..].first_chunk().copied().unwrap_or_default()
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
    let median = median(&mut sizes).unwrap_or(0.0);
    // Frames that fit exactly (made by a renderer) have no scale; any positive one will do.
    (1.4826 * median).max(1e-6)
}

/// The subject's pixels with the strongest structure *common* to all frames at these motions, in
/// row-major order.
///
/// Gradients are summed over the frames before their length is taken: an edge of albedo looks the
/// same in each, the edge of a shadow stands in one, and relief turns its sign with the light.
/// Every part of the subject gives in proportion to its area, so that no striped shirt outvotes a
/// face.
fn common_structure(level: &Level, motions: &[[f64; 2]]) -> Vec<[u32; 2]> {
    let Size { height, width } = level.size;
    let inside = &level.inside.data;
    let total = inside.iter().filter(|&&v| v).count();
    let share = (PIXELS as f64 / total.max(1) as f64).min(1.0);
    let shift = |v: f64, length: usize| clamp_shift(v.round(), length);
    let shifts: Vec<[isize; 2]> =
        motions.iter().map(|m| [shift(m[0], width), shift(m[1], height)]).collect();
    let strength = |p: usize| {
        let (mut x, mut y) = (0.0f32, 0.0f32);
        let (row, column) = ((p / width) as isize, (p % width) as isize);
        for (frame, [right, down]) in level.frames.iter().zip(&shifts) {
            let (row, column) = (row + down, column + right);
            let q = row.clamp(1, height as isize - 2) as usize * width
                + column.clamp(1, width as isize - 2) as usize;
            let (s, w) = (&frame.structure, frame.weight[q]);
            x += w * (s[q + 1] - s[q - 1]);
            y += w * (s[q + width] - s[q - width]);
        }
        x * x + y * y
    };
    let side = height.min(width).div_ceil(PARTS).max(1);
    let mut chosen = vec![false; inside.len()];
    for top in (0..height).step_by(side) {
        for left in (0..width).step_by(side) {
            let rows = top..(top + side).min(height);
            let part =
                rows.flat_map(|r| (left..(left + side).min(width)).map(move |c| r * width + c));
            let mut part: Vec<(f32, usize)> =
                part.filter(|&p| inside[p]).map(|p| (strength(p), p)).collect();
            let count = (share * part.len() as f64).round() as usize;
            if count == 0 {
                continue;
            }
            part.select_nth_unstable_by(count - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            part[..count].iter().for_each(|&(_, p)| chosen[p] = true);
        }
    }
    let place = |p: usize| [(p / width) as u32, (p % width) as u32];
    (0..chosen.len()).filter(|&p| chosen[p]).map(place).collect()
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
