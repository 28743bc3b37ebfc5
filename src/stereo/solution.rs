//! What every solver returns, and how far each of its normals can be trusted.

use super::SurfaceMaps;
use crate::maps::{ConfidenceMap, ImageStack, Pixels, Plane};
use rayon::prelude::*;

/// Maps of one capture and what they rest on, before masking. A pixel that could not be solved
/// holds NaN in the normals and 0 in `lights_used`.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    pub surface: SurfaceMaps,
    /// How many lights counted: the sum of the weights, each 0 to 1.
    pub lights_used: Plane<f32>,
    /// `√trace((Lᵀ W L)⁻¹)`: how much of the noise of one image reaches g, by the directions of
    /// the lights that counted.
    pub noise_gain: Plane<f32>,
    /// Light that does not come from the lamps, as a share of full scale, where the solver
    /// estimates it.
    pub ambient: Option<Plane<f32>>,
}

/// The noise of one image to expect where nobody measured it, as a share of full scale: one step
/// of the converter. 8-bit cameras and files are taken as such; those that write 16 bits convert
/// to 12 or more; floats were made from some camera's values, taken as 8-bit ones.
pub fn likely_noise(images: &ImageStack) -> f32 {
    match images.pixels {
        Pixels::U8(_) | Pixels::F32(_) => 1.0 / 255.0,
        Pixels::U16(_) => 1.0 / 4095.0,
    }
}

/// Standard error of a normal, degrees, at which confidence is one half.
const HALF_CONFIDENCE_DEG: f32 = 10.0;
/// Noise below which no residual is believed, as a share of full scale: three lights leave no
/// residual at all, and one step of 8 bits is always there.
const NOISE_FLOOR: f32 = 0.5 / 255.0;

/// Confidence 0 to 1 from what the solver saw: `1 / (1 + (σ / 10°)²)`, σ the standard error of the
/// normal.
///
/// The residual's degrees of freedom give the noise of one image,
/// `s² = r² m / (m − 3) + floor²` for m lights that counted (r² alone where m ≤ 4);
/// it reaches g as `s · noise_gain` and turns the normal by about that over ρ (ordinary error
/// propagation of the linear model). NaN where the normal is undefined.
pub fn confidence(solution: &Solution) -> ConfidenceMap {
    let surface = &solution.surface;
    let data = (0..surface.albedo.data.len())
        .into_par_iter()
        .map(|p| {
            let albedo = surface.albedo.data[p];
            if surface.normals.x()[p].is_nan() || albedo <= 0.0 {
                return f32::NAN;
            }
            let (residual, used) = (surface.residual.data[p], solution.lights_used.data[p]);
            let freedom = used / (used - 3.0).max(1.0);
            let noise = (residual * residual * freedom + NOISE_FLOOR * NOISE_FLOOR).sqrt();
            let error_deg = (noise * solution.noise_gain.data[p] / albedo).to_degrees();
            let ratio = error_deg / HALF_CONFIDENCE_DEG;
            1.0 / (1.0 + ratio * ratio)
        })
        .collect();
    Plane::new(surface.albedo.size, data)
}
