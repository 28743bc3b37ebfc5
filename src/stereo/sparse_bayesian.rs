//! Sparse Bayesian regression (Ikehata, Wipf, Matsushita and Aizawa, "Robust photometric stereo
//! using sparse regression", CVPR 2012): `I = L g + e + noise`, where e, whatever is not
//! Lambertian (highlights, shadows), is zero in most images.
//!
//! Priors `e_j ~ N(0, γ_j)`, noise `N(0, λ_j)`, g uninformed. With `w_j = 1/(γ_j + λ_j)` and
//! `C = (Lᵀ W L)⁻¹` the posterior is (their equations 8 and 9, Σ written out by Woodbury's
//! identity, so that a round costs O(9k) and no k × k matrix is formed)
//!
//! ```text
//! g = C LᵀW I        r = I − L g        a_j = γ_j w_j
//! mean of e_j = a_j r_j        variance of e_j = γ_j − a_j γ_j + a_j² l_jᵀ C l_j
//! ```
//!
//! and expectation-maximisation sets `γ_j` to mean² + variance. A sample that fits keeps
//! γ_j → 0 and weight 1; one that does not is given its own γ_j and falls out.
//!
//! Sparse errors are a good model of highlights and cast shadows, and a poor one of what the
//! lamps' angles do to *every* sample. Three things are therefore known beforehand:
//!
//! * A light behind the surface (`n·l ≤ 0`) says nothing about g: the sample is left out, and
//!   comes back should the next round see it lit. Ikehata et al. drop shadows by a threshold on
//!   the intensity; the sign of `n·l` needs none. Samples are only dropped while four stay.
//! * Light that enters a smooth dielectric is cut by Fresnel's transmission T(θ), which is flat up
//!   to 45° and falls to 0.83 of its value at 75° and 0 at 90° (Wolff, "Diffuse-reflectance model
//!   for smooth dielectric surfaces", JOSA A 1994). How much of that a rough surface shows is
//!   unknown, so `δ(θ) n·l` with `δ = 1 − T(θ)/T(0)` is the standard deviation of the model's own
//!   error: `λ_j = λ + (ρ n·l δ)²`. Grazing light is trusted less, and a truly Lambertian surface
//!   is not biased.
//! * λ is what the capture shows: the median of the first fit's residuals.

use super::blocks::{Block, BlockSolution, BlockSolver, solve_blocks};
use super::normal_equations::{LANES, Lanes, lanes, shading};
use super::{Solution, SolverError, masked_pixels};
use crate::maps::{ImageStack, Lights, Mask, Pixels};
use crate::order_statistics::median;

/// The solver and its options.
///
/// ```
/// use lumiface::stereo::SparseBayesian;
/// let solver = SparseBayesian { iterations: 80, ..Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseBayesian {
    /// Rounds of expectation-maximisation between two looks at which lights are behind the
    /// surface.
    pub iterations: usize,
    /// Standard deviation of the dense noise, share of the pixel's brightest sample; `None`
    /// measures it on the capture.
    pub noise: Option<f32>,
}

impl Default for SparseBayesian {
    fn default() -> Self {
        Self { iterations: 40, noise: None }
    }
}

/// Looks at which lights are behind the surface. The set seldom changes after the second.
const SHADOW_ROUNDS: usize = 4;
/// Samples that stay when shadows are dropped: one more than unknowns, or no outlier shows.
const LEAST_LIT: f32 = 4.0;
/// Noise assumed at least, share of the brightest sample: lamp intensities and sensor linearity
/// are seldom known better than to a hundredth.
const LEAST_NOISE: f32 = 0.01;
/// Noise assumed for the fit that measures it.
const FIRST_NOISE: f32 = 0.03;
/// Below this many lights a sparse fit passes through its samples and leaves nothing to measure:
/// least squares measures the noise instead.
const FEW_LIGHTS: usize = 6;
/// Pixels that the noise is measured on: a median of so many is good to 2 %.
const MEASURED_PIXELS: usize = 4096;
/// From the median of |x| to the standard deviation of a normal x.
const MEDIAN_TO_DEVIATION: f32 = 1.482_6;
/// 1/variance of the prior on g in units of the brightest sample (Ikehata et al.: σ² = 10⁶).
const PRIOR: f32 = 1e-6;

impl SparseBayesian {
    /// Normals, albedo, residual over the weights, and the weights' sum, on the mask's pixels.
    ///
    /// A NaN sample is skipped and a saturated one only believed where nothing else is left. Off
    /// the mask, below three samples, and where no light falls, the normal is NaN.
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
        let indices = masked_pixels::indices(mask);
        let noise = match self.noise {
            Some(noise) => noise,
            None => self.measure_noise(images, lights, &indices)?,
        };
        let fit = Fit::new(self.iterations, SHADOW_ROUNDS, noise, &images.pixels);
        let row = solve_blocks(&fit, &masked_pixels::gather(images, &indices), lights, None)?;
        Ok(masked_pixels::scatter(&row, &indices, images.size))
    }

    /// Standard deviation of the samples about the first fit, by their median, share of each
    /// pixel's brightest sample; at least [`LEAST_NOISE`].
    fn measure_noise(
        &self,
        images: &ImageStack,
        lights: &Lights,
        indices: &[usize],
    ) -> Result<f32, SolverError> {
        let step = indices.len().div_ceil(MEASURED_PIXELS).max(1);
        let some: Vec<usize> = indices.iter().copied().step_by(step).collect();
        let stack = masked_pixels::gather(images, &some);
        let rounds = if lights.len() < FEW_LIGHTS { 0 } else { 1 };
        let fit = Fit::new(self.iterations, rounds, FIRST_NOISE, &images.pixels);
        let surface = solve_blocks(&fit, &stack, lights, None)?.surface;
        let (samples, white) = stack.to_shares();
        let mut residuals = Vec::with_capacity(samples.len());
        for i in 0..some.len() {
            let g = surface.normals.at(i) * surface.albedo.data[i];
            let seen = |j: &usize| {
                let sample = samples[j * some.len() + i];
                sample.is_finite() && sample < white[*j]
            };
            let sample = |j: usize| samples[j * some.len() + i];
            let lit: Vec<usize> = (0..lights.len()).filter(seen).collect();
            let brightest = lit.iter().map(|&j| sample(j)).fold(0.0, f32::max);
            // Every sample of a fit through three lights is met exactly.
            if g.x.is_nan() || brightest <= 0.0 || lit.len() <= 3 {
                continue;
            }
            let freedom = (lit.len() as f32 / (lit.len() as f32 - 3.0)).sqrt();
            residuals.extend(lit.iter().map(|&j| {
                let model = lights.intensities[j] * lights.directions[j].dot(&g);
                freedom * (sample(j) - model).abs() / brightest
            }));
        }
        let median = median(&mut residuals).unwrap_or(0.0);
        Ok((median * MEDIAN_TO_DEVIATION).max(LEAST_NOISE))
    }
}

/// What solves a block: noise as a share of the brightest sample, and of full scale.
struct Fit {
    iterations: usize,
    rounds: usize,
    noise: f32,
    quantum: f32,
}

impl Fit {
    fn new(iterations: usize, rounds: usize, noise: f32, pixels: &Pixels) -> Self {
        // Rounding to whole steps is noise of 1/√12 step.
        let quantum = match pixels {
            Pixels::U8(_) | Pixels::U16(_) => 1.0 / (12.0f32.sqrt() * pixels.full_scale()),
            Pixels::F32(_) => 0.0,
        };
        Self { iterations, rounds, noise, quantum }
    }
}

impl BlockSolver for Fit {
    #[inline(always)]
    fn solve_block(
        &self,
        block: &Block<'_>,
        weights: &mut [Lanes],
        spare: &mut [Lanes],
    ) -> BlockSolution {
        // γ and λ live in units of the brightest sample squared; only their quotients reach g.
        let unit = lanes(|i| if block.brightest[i] > 0.0 { block.brightest[i] } else { 1.0 });
        let dense = lanes(|i| {
            let step = self.quantum / unit[i];
            self.noise * self.noise + step * step
        });
        let mut trust: Vec<Lanes> = block.trust.to_vec();
        let mut variance = vec![dense; trust.len()];
        weights.copy_from_slice(&trust);
        let mut g = block.solve(&trust);
        let outliers = spare;
        for round in 0..self.rounds {
            if round > 0 {
                drop_shadows(block, &g, &mut trust);
            }
            for ((row, variance), _) in block.rows.iter().zip(&mut variance).zip(&trust) {
                *variance = model_variance(*row, &g, &unit, &dense);
            }
            outliers.fill([1.0; LANES]);
            for _ in 0..self.iterations {
                for ((w, e), (v, t)) in
                    weights.iter_mut().zip(&*outliers).zip(variance.iter().zip(&trust))
                {
                    *w = lanes(|i| t[i] / (e[i] + v[i]));
                }
                let posterior = Posterior::new(block, weights);
                g = posterior.g;
                for (j, outlier) in outliers.iter_mut().enumerate() {
                    let row = block.rows[j];
                    let model = shading(row, &g);
                    let leverage = posterior.quadratic(row);
                    for i in 0..LANES {
                        let share = outlier[i] * weights[j][i];
                        let mean = share * (block.samples[j][i] - model[i]) / unit[i];
                        outlier[i] =
                            mean * mean + outlier[i] * (1.0 - share) + share * share * leverage[i];
                    }
                }
            }
            // The weight of a sample: 1 where all of its difference is dense noise.
            for ((w, e), (v, t)) in
                weights.iter_mut().zip(&*outliers).zip(variance.iter().zip(&trust))
            {
                *w = lanes(|i| t[i] * dense[i] / (e[i] + v[i]));
            }
        }
        BlockSolution::of_weights(block, g, weights)
    }
}

/// Leaves out what lies behind the surface, where [`LEAST_LIT`] samples stay.
#[inline(always)]
fn drop_shadows(block: &Block<'_>, g: &[Lanes; 3], trust: &mut [Lanes]) {
    let mut lit = [0.0f32; LANES];
    for (row, seen) in block.rows.iter().zip(block.trust) {
        let model = shading(*row, g);
        for i in 0..LANES {
            lit[i] += if model[i] > 0.0 && seen[i] == 1.0 { 1.0 } else { 0.0 };
        }
    }
    for ((row, seen), trust) in block.rows.iter().zip(block.trust).zip(trust) {
        let model = shading(*row, g);
        *trust = lanes(|i| {
            let behind = model[i] <= 0.0 && lit[i] >= LEAST_LIT;
            if behind { super::blocks::SUSPECT * seen[i] } else { seen[i] }
        });
    }
}

/// Refractive index of skin, plastics and paint: 1.4 to 1.55 (Wolff 1994 takes 1.5).
const REFRACTIVE_INDEX: f32 = 1.5;

/// Dense noise and what Fresnel's transmission may have taken off the sample, in units of the
/// brightest sample squared.
#[inline(always)]
fn model_variance(row: [f32; 3], g: &[Lanes; 3], unit: &Lanes, dense: &Lanes) -> Lanes {
    let reflected_at_0 = ((REFRACTIVE_INDEX - 1.0) / (REFRACTIVE_INDEX + 1.0)).powi(2);
    let length = (row[0] * row[0] + row[1] * row[1] + row[2] * row[2]).sqrt();
    let model = shading(row, g);
    lanes(|i| {
        let albedo = (g[0][i] * g[0][i] + g[1][i] * g[1][i] + g[2][i] * g[2][i]).sqrt();
        let full = (length * albedo).max(f32::MIN_POSITIVE);
        let cosine = (model[i] / full).clamp(0.0, 1.0);
        // Fresnel's equations for unpolarised light, with Snell's law for the angle inside.
        let n = REFRACTIVE_INDEX;
        let inside = (1.0 - (1.0 - cosine * cosine) / (n * n)).sqrt();
        let across = (cosine - n * inside) / (cosine + n * inside);
        let along = (n * cosine - inside) / (n * cosine + inside);
        let reflected = 0.5 * (across * across + along * along);
        let missing = 1.0 - (1.0 - reflected) / (1.0 - reflected_at_0);
        let error = full * cosine * missing / unit[i];
        dense[i] + error * error
    })
}

/// g and `(LᵀWL + prior)⁻¹` of sixteen pixels.
struct Posterior {
    g: [Lanes; 3],
    /// xx, xy, xz, yy, yz, zz.
    covariance: [Lanes; 6],
}

impl Posterior {
    #[inline(always)]
    fn new(block: &Block<'_>, weights: &[Lanes]) -> Self {
        let mut gram = [[0.0; LANES]; 6];
        let mut right = [[0.0; LANES]; 3];
        for ((&[x, y, z], sample), weight) in block.rows.iter().zip(block.samples).zip(weights) {
            for (sum, product) in gram.iter_mut().zip([x * x, x * y, x * z, y * y, y * z, z * z]) {
                for i in 0..LANES {
                    sum[i] += product * weight[i];
                }
            }
            for (sum, component) in right.iter_mut().zip([x, y, z]) {
                for i in 0..LANES {
                    sum[i] += component * (weight[i] * sample[i]);
                }
            }
        }
        let (mut g, mut covariance) = ([[0.0; LANES]; 3], [[0.0; LANES]; 6]);
        for i in 0..LANES {
            let [xx, xy, xz, yy, yz, zz] = [0, 1, 2, 3, 4, 5].map(|c| gram[c][i]);
            // LDLᵀ and its inverse: stable where a determinant cancels.
            let d1 = 1.0 / (xx + PRIOR);
            let (l21, l31) = (xy * d1, xz * d1);
            let d2 = 1.0 / (yy + PRIOR - xy * l21).max(PRIOR);
            let e = yz - xz * l21;
            let l32 = e * d2;
            let d3 = 1.0 / (zz + PRIOR - xz * l31 - e * l32).max(PRIOR);
            let m31 = l21 * l32 - l31;
            let inverse = [
                d1 + l21 * l21 * d2 + m31 * m31 * d3,
                -l21 * d2 - m31 * l32 * d3,
                m31 * d3,
                d2 + l32 * l32 * d3,
                -l32 * d3,
                d3,
            ];
            let [bx, by, bz] = [0, 1, 2].map(|c| right[c][i]);
            let [cxx, cxy, cxz, cyy, cyz, czz] = inverse;
            g[0][i] = cxx * bx + cxy * by + cxz * bz;
            g[1][i] = cxy * bx + cyy * by + cyz * bz;
            g[2][i] = cxz * bx + cyz * by + czz * bz;
            for (c, value) in inverse.into_iter().enumerate() {
                covariance[c][i] = value;
            }
        }
        Self { g, covariance }
    }

    /// `lᵀ C l`.
    #[inline(always)]
    fn quadratic(&self, [x, y, z]: [f32; 3]) -> Lanes {
        let [xx, xy, xz, yy, yz, zz] = &self.covariance;
        lanes(|i| {
            x * (x * xx[i] + 2.0 * (y * xy[i] + z * xz[i]))
                + y * (y * yy[i] + 2.0 * z * yz[i])
                + z * z * zz[i]
        })
    }
}
