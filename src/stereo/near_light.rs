//! Lamps near the subject: their direction and distance change from pixel to pixel, and both hang
//! on the depth that is looked for.
//!
//! A lamp at s of intensity e lights the point x of normal n with (inverse squares)
//!
//! ```text
//! I = ρ n · l(x)        l(x) = e (d/|s − x|)² (s − x)/|s − x|
//! ```
//!
//! d its distance from the subject's centre. With z(u) the distance along the optical axis of the
//! point that pixel u sees, `x = z(u) · ray(u)`. As in Papadhimitri and Favaro, "Uncalibrated
//! near-light photometric stereo", BMVC 2014, and the alternating scheme of Quéau et al., "LED-
//! based photometric stereo: modeling, calibration and numerical solution", JMIV 2018, section 4:
//! from a depth, solve `I = L(x) g` for each pixel; from the normals, integrate a depth in
//! perspective; repeat until the depth stays. Its scale is not in the normals: the median over the
//! mask is the subject's distance.
//!
//! Lamps behind the surface are weighted down, `w = n·l/|l|` over a tenth, between 0.001 and 1:
//! continuous, so that rounding on one device never decides what another drops, and never zero,
//! so that a pixel that sees two lamps still has a normal.
//!
//! Twin of `shaders/near_light.wgsl`.

use super::{Solution, SolverError, SurfaceMaps};
use crate::maps::{DepthMap, ImageStack, Mask, NearLights, NormalMap, Plane};
use crate::order_statistics::median;
use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;

/// The solver and its options.
#[derive(Clone, Debug, PartialEq)]
pub struct NearLight {
    /// Solves with lamps behind the surface weighted down, after the first with all of them.
    pub shadow_rounds: usize,
    /// Stops when the median over the mask of |change of depth| is at most this share of the
    /// subject's distance.
    pub tolerance: f32,
    /// Rounds of solving and integrating at most.
    pub iterations: usize,
}

impl Default for NearLight {
    fn default() -> Self {
        Self { shadow_rounds: 2, tolerance: 1e-5, iterations: 30 }
    }
}

/// What the alternation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct NearLightSolution {
    /// Normals of the camera frame. `noise_gain` counts the lamps as they light the pixel.
    pub solution: Solution,
    /// Distance along the optical axis, millimetres, > 0; NaN where it is undefined.
    pub depth_mm: DepthMap,
    /// Rounds made.
    pub iterations: usize,
    /// The last median |change of depth|, share of the subject's distance.
    pub last_change: f32,
}

/// Cosine of incidence from which a lamp counts fully, and the least weight.
pub(crate) const FULL_COSINE: f32 = 0.1;
pub(crate) const LEAST_WEIGHT: f32 = 1e-3;
/// A pivot below this share of the trace is rounding error: the lamps lie in a plane.
pub(crate) const SINGULAR: f32 = 1e-7;

impl NearLight {
    /// Alternates until the depth stays.
    ///
    /// `integrate` gets normals of the camera frame and a mask, and gives the distance along the
    /// optical axis in perspective, positive, in any scale, NaN where it has none; for instance
    /// a perspective integrator with the lamps' camera.
    ///
    /// # Errors
    /// Fewer than three lamps, or lamps that lie in a plane with the subject's centre.
    ///
    /// # Panics
    /// If there is not one lamp per image, or the mask is of another size.
    pub fn solve(
        &self,
        images: &ImageStack,
        lamps: &NearLights,
        mask: &Mask,
        integrate: impl Fn(&NormalMap, &Mask) -> DepthMap,
    ) -> Result<NearLightSolution, SolverError> {
        let at = |depth: &DepthMap| self.solve_at(images, lamps, mask, depth);
        self.alternate(lamps, mask, at, |normals, mask| Ok(integrate(normals, mask)))
    }

    /// As [`NearLight::solve`], with the solve at a given depth as a function too: the same
    /// alternation wherever its steps run.
    ///
    /// # Errors
    /// What a step fails with.
    pub fn alternate<E>(
        &self,
        lamps: &NearLights,
        mask: &Mask,
        solve_at: impl Fn(&DepthMap) -> Result<Solution, E>,
        integrate: impl Fn(&NormalMap, &Mask) -> Result<DepthMap, E>,
    ) -> Result<NearLightSolution, E> {
        let distance = lamps.subject_distance_mm;
        let mut depth_mm = Plane::filled(mask.size, distance).masked(mask);
        let mut solution = solve_at(&depth_mm)?;
        let (mut iterations, mut last_change) = (0, f32::INFINITY);
        while iterations < self.iterations && last_change > self.tolerance {
            let relative = integrate(&solution.surface.normals, mask)?;
            let Some(next) = at_distance(relative, mask, distance) else { break };
            let changes = next.data.iter().zip(&depth_mm.data).map(|(a, b)| (a - b).abs());
            last_change = median_of_finite(changes).map_or(0.0, |change| change / distance);
            depth_mm = next;
            solution = solve_at(&depth_mm)?;
            iterations += 1;
        }
        Ok(NearLightSolution { solution, depth_mm, iterations, last_change })
    }

    /// One solve, with the lamps as they light the points at `depth_mm` (distance along the
    /// optical axis). NaN samples are skipped; where the mask is false, the depth is NaN or fewer
    /// than three samples are left, the normal is NaN.
    ///
    /// # Errors
    /// Fewer than three lamps, or lamps that lie in a plane with the subject's centre.
    ///
    /// # Panics
    /// If there is not one lamp per image, or the mask or depth is of another size.
    pub fn solve_at(
        &self,
        images: &ImageStack,
        lamps: &NearLights,
        mask: &Mask,
        depth_mm: &DepthMap,
    ) -> Result<Solution, SolverError> {
        let size = images.size;
        assert_eq!(size, mask.size, "a mask of the images' size");
        assert_eq!(size, depth_mm.size, "a depth of the images' size");
        assert_eq!(images.count, lamps.positions_mm.len(), "one lamp per image");
        check_lamps(lamps, images)?;
        let (area, count) = (size.area(), images.count);
        let unit = 1.0 / images.pixels.full_scale();
        let strengths = lamp_strengths(lamps, images);
        let positions: Vec<Vector3<f64>> = lamps.positions_mm.iter().map(|s| s.cast()).collect();
        let results: Vec<[f32; 7]> = (0..area)
            .into_par_iter()
            .map_init(
                || Vec::with_capacity(count),
                |samples: &mut Vec<(Vector3<f64>, f64)>, p| {
                    let z = depth_mm.data[p];
                    if !mask.data[p] || z.is_nan() || z <= 0.0 {
                        return UNDEFINED;
                    }
                    let (row, column) = ((p / size.width) as f64, (p % size.width) as f64);
                    let point = lamps.camera.ray(row, column) * f64::from(z);
                    samples.clear();
                    for (j, (s, strength)) in positions.iter().zip(&strengths).enumerate() {
                        let value = images.pixels.get(j * area + p) * unit;
                        if value.is_finite() {
                            let to_lamp = s - point;
                            let light = to_lamp * (strength / to_lamp.norm().powi(3));
                            samples.push((light, f64::from(value)));
                        }
                    }
                    solve_pixel(samples, self.shadow_rounds)
                },
            )
            .collect();

        let mut surface = SurfaceMaps::unset(size);
        let mut lights_used = Plane::filled(size, 0.0);
        let mut noise_gain = Plane::filled(size, f32::NAN);
        for (p, [x, y, z, albedo, residual, used, gain]) in results.into_iter().enumerate() {
            for (axis, n) in [x, y, z].into_iter().enumerate() {
                surface.normals.data[axis * area + p] = n;
            }
            surface.albedo.data[p] = albedo;
            surface.residual.data[p] = residual;
            lights_used.data[p] = used;
            noise_gain.data[p] = gain;
        }
        Ok(Solution { surface, lights_used, noise_gain, ambient: None })
    }
}

/// n_x, n_y, n_z, albedo, residual, lights used, noise gain of an undefined pixel.
const UNDEFINED: [f32; 7] = [f32::NAN, f32::NAN, f32::NAN, f32::NAN, f32::NAN, 0.0, f32::NAN];

/// Refuses lamps that no pixel can be solved with.
pub(crate) fn check_lamps(lamps: &NearLights, images: &ImageStack) -> Result<(), SolverError> {
    if lamps.positions_mm.len() < 3 {
        return Err(SolverError::TooFewLights { needed: 3, got: lamps.positions_mm.len() });
    }
    let condition = lamps.at_centre(images.size).condition_number();
    if condition.is_finite() { Ok(()) } else { Err(SolverError::LightsInPlane) }
}

/// `e d²` of each lamp.
pub(crate) fn lamp_strengths(lamps: &NearLights, images: &ImageStack) -> Vec<f64> {
    let centre = lamps.subject_centre_mm(images.size);
    let strength = |(s, e): (&crate::geometry::Vec3, &f32)| {
        f64::from(*e) * f64::from((s - centre).norm_squared())
    };
    lamps.positions_mm.iter().zip(&lamps.intensities).map(strength).collect()
}

/// One pixel from (light vector, sample) pairs.
fn solve_pixel(samples: &[(Vector3<f64>, f64)], shadow_rounds: usize) -> [f32; 7] {
    if samples.len() < 3 {
        return UNDEFINED;
    }
    let mut g = Vector3::zeros();
    for round in 0..=shadow_rounds {
        let (mut gram, mut right) = (Matrix3::zeros(), Vector3::zeros());
        for (l, value) in samples {
            let w = if round == 0 { 1.0 } else { weight(l, &g) };
            gram += l * l.transpose() * w;
            right += l * (w * value);
        }
        let Some(inverse) = invert(&gram) else { return UNDEFINED };
        g = inverse * right;
        if g == Vector3::zeros() {
            return [f32::NAN, f32::NAN, f32::NAN, 0.0, 0.0, 0.0, f32::NAN];
        }
    }
    let (mut used, mut squares, mut gram) = (0.0, 0.0, Matrix3::zeros());
    for (l, value) in samples {
        let w = if shadow_rounds == 0 { 1.0 } else { weight(l, &g) };
        used += w;
        squares += w * (value - l.dot(&g)).powi(2);
        gram += l * l.transpose() * w;
    }
    let gain = invert(&gram).map_or(f64::NAN, |inverse| inverse.trace().sqrt());
    let albedo = g.norm();
    let n = g / albedo;
    [n.x, n.y, n.z, albedo, (squares / used).sqrt(), used, gain].map(|v| v as f32)
}

/// The weight of a lamp for a surface turned to g.
fn weight(l: &Vector3<f64>, g: &Vector3<f64>) -> f64 {
    let cosine = l.dot(g) / (l.norm() * g.norm());
    (cosine / f64::from(FULL_COSINE)).clamp(f64::from(LEAST_WEIGHT), 1.0)
}

/// The inverse, unless the smallest direction is rounding error.
fn invert(gram: &Matrix3<f64>) -> Option<Matrix3<f64>> {
    let inverse = gram.try_inverse()?;
    let bounded = inverse.trace() * gram.trace() < 1.0 / f64::from(SINGULAR);
    (bounded && inverse.trace() > 0.0).then_some(inverse)
}

/// Scales a relative depth so that its median over the mask is `distance`; `None` where it has no
/// positive median.
fn at_distance(mut depth: DepthMap, mask: &Mask, distance: f32) -> Option<DepthMap> {
    let inside = depth.data.iter().zip(&mask.data).filter(|(_, m)| **m).map(|(z, _)| *z);
    let middle = median_of_finite(inside).filter(|m| *m > 0.0)?;
    depth.data.iter_mut().for_each(|z| *z *= distance / middle);
    Some(depth.masked(mask))
}

/// Median of the finite values.
fn median_of_finite(values: impl Iterator<Item = f32>) -> Option<f32> {
    median(&mut values.filter(|v| v.is_finite()).collect::<Vec<_>>())
}
