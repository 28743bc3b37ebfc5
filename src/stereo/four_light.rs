//! Four lights, of which one may be in shadow or a highlight (Barsky and Petrou, IEEE PAMI 25,
//! 2003).
//!
//! Four directions in space depend on each other: some unit vector α has `Σ α_j l_j = 0`. A matt
//! pixel lit by all four then shows `d = Σ α_j I_j = 0`, whatever its normal and albedo. Where d
//! is more than noise, some sample is no Lambertian one. The other three lights predict each
//! sample; it differs from that prediction by `δ_j = d / α_j`. Three explanations are tried:
//!
//! 1. Black samples are shadow: they go.
//! 2. The darkest sample is darker than predicted (δ < 0): cast shadow.
//! 3. The brightest is brighter than predicted (δ > 0), and the normal of the other three lies
//!    where that lamp's highlight can be, near the bisector of light and view: highlight.
//!
//! Of 2 and 3 the one that is off by the larger share of what it should (or does) show goes, and
//! three lights decide the normal. Where neither holds all four are kept.
//!
//! Barsky and Petrou also compare colours, which a grey stack does not hold. One number d cannot
//! tell more than one bad sample; nor can it tell which where both explanations are as good. More
//! than four lights have better tests: `trimmed`, `weighted`, `l1`.

use super::blocks::{Block, BlockSolution, BlockSolver, SUSPECT, solve_blocks};
use super::normal_equations::Lanes;
use super::{Solution, SolverError, likely_noise};
use crate::geometry::Vec3;
use crate::maps::{ImageStack, Lights, Mask};
use nalgebra::{Matrix3, Matrix3x4, Matrix4x3, Vector4};

/// Options of the four-light solver.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FourLight {
    /// Standard deviation of one image's noise, share of full scale. `None`: what the
    /// pixels' type makes likely, see [`likely_noise`](super::likely_noise).
    pub noise: Option<f32>,
    /// Standard deviation of a light's intensity and direction error, share of a sample.
    pub calibration: f32,
    /// At and below this share of the pixel's brightest sample a sample is black.
    pub shadow: f32,
}

impl Default for FourLight {
    fn default() -> Self {
        Self { noise: None, calibration: 0.02, shadow: 0.02 }
    }
}

/// d is more than noise from this many standard deviations on.
const SIGNIFICANT: f32 = 3.0;
/// A light with less share in the dependence cannot go: the other three lie nearly in a plane.
const LEAST_SHARE: f32 = 0.1;

/// A highlight reaches this far from the bisector of light and view: cos 30°, where a lobe as
/// broad as skin's (Blinn–Phong exponent 8) has fallen to a third.
const HIGHLIGHT_REACH: f32 = 0.866;

impl FourLight {
    /// Solves every pixel of a stack of four images.
    ///
    /// A NaN sample is left out, a saturated one (`images.white`) is the one that goes. Fewer than
    /// three samples, or samples whose lights lie in a plane, leave the normal NaN.
    ///
    /// # Errors
    /// Not four lights, or lights in a plane.
    ///
    /// # Panics
    /// If the stack does not hold one image per light.
    pub fn solve(&self, images: &ImageStack, lights: &Lights) -> Result<Solution, SolverError> {
        self.solve_within(images, lights, None)
    }

    /// As [`Self::solve`], for the pixels of a mask; those off it may be left unsolved.
    ///
    /// # Errors
    /// As [`Self::solve`].
    ///
    /// # Panics
    /// As [`Self::solve`], or if the mask is of another size.
    pub fn solve_within(
        &self,
        images: &ImageStack,
        lights: &Lights,
        mask: Option<&Mask>,
    ) -> Result<Solution, SolverError> {
        if lights.len() != 4 {
            return Err(SolverError::NotFourLights { got: lights.len() });
        }
        let noise = self.noise.unwrap_or_else(|| likely_noise(images));
        solve_blocks(&Prepared::new(*self, noise, lights), images, lights, mask)
    }
}

/// The unit vector α with `Σ α_j l_j = 0`: the signed volumes of the other three lights.
fn dependence(lights: &Lights) -> [f32; 4] {
    let matrix = lights.light_matrix();
    let volumes: [f64; 4] = std::array::from_fn(|left_out| {
        let others: Vec<usize> = (0..4).filter(|&j| j != left_out).collect();
        let volume = Matrix3::from_fn(|r, c| matrix[(others[r], c)]).determinant();
        if left_out % 2 == 0 { volume } else { -volume }
    });
    let norm = volumes.iter().map(|v| v * v).sum::<f64>().sqrt();
    volumes.map(|v| (v / norm) as f32)
}

struct Prepared {
    options: FourLight,
    noise: f32,
    dependence: [f32; 4],
    /// g from the samples of the other three lights, per light left out; `None` where they lie
    /// nearly in a plane.
    others: [Option<Matrix3x4<f32>>; 4],
    /// Unit vectors half way from each light to the viewer.
    bisectors: [Vec3; 4],
}

impl Prepared {
    fn new(options: FourLight, noise: f32, lights: &Lights) -> Self {
        let dependence = dependence(lights);
        let matrix = lights.light_matrix();
        let others = std::array::from_fn(|left_out| {
            // A row of zeros is a light that tells nothing.
            let rows = Matrix4x3::from_fn(|r, c| if r == left_out { 0.0 } else { matrix[(r, c)] });
            let inverse = (rows.transpose() * rows).try_inverse()?;
            let usable = dependence[left_out].abs() >= LEAST_SHARE;
            usable.then(|| (inverse * rows.transpose()).cast())
        });
        let bisectors = std::array::from_fn(|j| (lights.directions[j] + Vec3::z()).normalize());
        Self { options, noise, dependence, others, bisectors }
    }

    /// The sample that does not fit, if one stands out.
    fn misfit(&self, samples: [f32; 4]) -> Option<usize> {
        let (noise, calibration) = (self.noise, self.options.calibration);
        let alpha = self.dependence;
        let (mut d, mut variance) = (0.0, 0.0);
        for j in 0..4 {
            d += alpha[j] * samples[j];
            let error = calibration * samples[j];
            variance += alpha[j] * alpha[j] * (noise * noise + error * error);
        }
        if d * d <= SIGNIFICANT * SIGNIFICANT * variance {
            return None;
        }
        let (mut darkest, mut brightest) = (0, 0);
        for j in 1..4 {
            darkest = if samples[j] < samples[darkest] { j } else { darkest };
            brightest = if samples[j] > samples[brightest] { j } else { brightest };
        }
        // How far off, 0 (not at all, or not this way) to 1.
        let off = |j: usize, sign: f32| {
            let excess = sign * d / alpha[j];
            let whole = if sign > 0.0 { samples[j] } else { samples[j] + excess };
            let possible = self.others[j].is_some() && excess > 0.0 && excess <= whole;
            if possible { excess / whole } else { 0.0 }
        };
        let shadow = off(darkest, -1.0);
        let glossy = self.others[brightest].is_some_and(|inverse| {
            let g = inverse * Vector4::from(samples);
            g.dot(&self.bisectors[brightest]) > HIGHLIGHT_REACH * g.norm()
        });
        let highlight = if glossy { off(brightest, 1.0) } else { 0.0 };
        if shadow == 0.0 && highlight == 0.0 {
            None
        } else if shadow >= highlight {
            Some(darkest)
        } else {
            Some(brightest)
        }
    }
}

impl BlockSolver for Prepared {
    #[inline(always)]
    fn solve_block(
        &self,
        block: &Block<'_>,
        weights: &mut [Lanes],
        _spare: &mut [Lanes],
    ) -> BlockSolution {
        weights.copy_from_slice(block.trust);
        for (i, brightest) in block.brightest.iter().enumerate() {
            let samples: [f32; 4] = std::array::from_fn(|j| block.samples[j][i]);
            let level = (self.options.shadow * brightest).max(self.noise);
            let mut clean = true;
            for j in 0..4 {
                if samples[j] <= level {
                    weights[j][i] = weights[j][i].min(SUSPECT);
                }
                clean &= weights[j][i] == 1.0;
            }
            if let Some(j) = self.misfit(samples).filter(|_| clean) {
                weights[j][i] = SUSPECT;
            }
        }
        BlockSolution::of_weights(block, block.solve(weights), weights)
    }
}
