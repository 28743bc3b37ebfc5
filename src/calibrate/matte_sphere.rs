//! Directions and intensities from a matte sphere of one albedo.
//!
//! The normals of a sphere are known from its outline, so where it is lit, `I = ρ e n·l` is linear
//! in `ρ e l`: least squares over the lit pixels. Which pixels are lit follows from the light: the
//! two are found in turn, beginning at the brightest half.

use super::CalibrateError;
use super::circle::Outline;
use super::result::{CalibratedLight, Calibration, Method, Warning};
use super::robust::{cauchy, spread};
use crate::geometry::Camera;
use crate::maps::ImageStack;
use nalgebra::{Matrix3, Vector3};

/// Share of the radius that is used: nearer the outline, half a pixel turns the normal by more
/// than 5° on a sphere of 50 px.
const USED_RADIUS: f64 = 0.95;
/// Cosine below which a pixel is left out: 6° from the terminator, light is mostly scattered.
const TERMINATOR: f64 = 0.1;
/// Fewer lit pixels than this share of the sphere are too narrow a crescent.
const LEAST_LIT: f64 = 0.05;
/// Residual of a lit pixel, as a share of the brightest, above which the sphere is not matte or
/// the outline not its own.
const NOT_MATTE: f64 = 0.05;

/// Lights from images of one matte sphere; intensities are relative to their mean.
///
/// The uncertainty is that of least squares with a residual common to patches of the sphere of a
/// tenth of its radius: what is left is not noise but gloss, scatter and shape.
///
/// # Errors
/// An outline outside the frame; an image too dark, saturated or lit from behind.
pub fn matte_sphere(
    images: &ImageStack,
    outline: &Outline,
    camera: Option<&Camera>,
) -> Result<Calibration, CalibrateError> {
    outline.check_inside(images.size)?;
    let pixels = sphere_normals(images, outline, camera)?;
    let mut warnings = Vec::new();
    let mut lights = Vec::with_capacity(images.count);
    for image in 0..images.count {
        let fit = fit_light(images, image, &pixels, outline.circle.radius)?;
        if fit.residual > NOT_MATTE {
            warnings.push(Warning::new(
                Some(image),
                format!("{:.1} % of the light is not Lambertian shading", 100.0 * fit.residual),
                "check the circle and that values are linear; a matte sphere has no gloss",
            ));
        }
        lights.push(CalibratedLight {
            image: None,
            direction: fit.light.normalize().cast::<f32>().into(),
            intensity: fit.light.norm() as f32,
            uncertainty_deg: Some(fit.error_deg as f32),
            position_mm: None,
            position_uncertainty_mm: None,
        });
    }
    Ok(Calibration::new(Method::MatteSphere, lights, warnings).with_mean_intensity_one())
}

/// Flat indices and unit normals of the sphere's pixels.
fn sphere_normals(
    images: &ImageStack,
    outline: &Outline,
    camera: Option<&Camera>,
) -> Result<Vec<(usize, Vector3<f64>)>, CalibrateError> {
    let circle = outline.circle;
    let cone = match camera {
        Some(camera) => Some(outline.cone(camera).ok_or_else(|| {
            CalibrateError::NotACircle("no cone of rays fits it; check the focal length".into())
        })?),
        None => None,
    };
    let mut pixels = Vec::new();
    for row in 0..images.size.height {
        for column in 0..images.size.width {
            let distance = circle.distance([column as f64, row as f64]);
            if distance > -(1.0 - USED_RADIUS) * circle.radius {
                continue;
            }
            let normal = match (camera, cone) {
                (Some(camera), Some((axis, sin))) => {
                    let (ray, centre) =
                        (camera.ray(row as f64, column as f64).normalize(), axis / sin);
                    let along = ray.dot(&centre);
                    let square = along * along - centre.norm_squared() + 1.0;
                    if square < 0.0 {
                        continue;
                    }
                    ray * (along - square.sqrt()) - centre
                }
                _ => {
                    let x = (column as f64 - circle.column) / circle.radius;
                    let y = -(row as f64 - circle.row) / circle.radius;
                    Vector3::new(x, y, (1.0 - x * x - y * y).sqrt())
                }
            };
            pixels.push((row * images.size.width + column, normal));
        }
    }
    Ok(pixels)
}

struct Fit {
    /// Direction times intensity times albedo.
    light: Vector3<f64>,
    /// Robust residual over the light's length.
    residual: f64,
    error_deg: f64,
}

fn fit_light(
    images: &ImageStack,
    image: usize,
    pixels: &[(usize, Vector3<f64>)],
    radius: f64,
) -> Result<Fit, CalibrateError> {
    let unsuitable =
        |reason: &str| CalibrateError::Unsuitable { image: image + 1, reason: reason.to_string() };
    let unit = 1.0 / f64::from(images.pixels.full_scale());
    let start = image * images.size.area();
    let white = f64::from(images.white[image]);
    let seen: Vec<(f64, Vector3<f64>)> = pixels
        .iter()
        .map(|&(p, normal)| (f64::from(images.pixels.get(start + p)), normal))
        .filter(|(value, _)| *value < white)
        .map(|(value, normal)| (value * unit, normal))
        .collect();
    if seen.len() * 2 < pixels.len() {
        return Err(unsuitable("more than half of the sphere is saturated; expose less"));
    }
    let brightest = seen.iter().map(|s| s.0).fold(0.0, f64::max);
    if brightest < 0.05 {
        return Err(unsuitable("the sphere is dark; check that the lamp was on and the exposure"));
    }
    let mut weights: Vec<f64> =
        seen.iter().map(|s| if s.0 > 0.5 * brightest { 1.0 } else { 0.0 }).collect();
    let mut light = Vector3::zeros();
    let (mut matrix, mut sigma) = (Matrix3::zeros(), 0.0);
    for _ in 0..100 {
        matrix = Matrix3::zeros();
        let mut right = Vector3::zeros();
        for ((value, normal), weight) in seen.iter().zip(&weights) {
            matrix += normal * normal.transpose() * *weight;
            right += normal * (value * weight);
        }
        let Some(next) = matrix.lu().solve(&right) else {
            return Err(unsuitable("no light fits the sphere; check the circle"));
        };
        let step = (next - light).norm();
        light = next;
        let lit = |n: &Vector3<f64>| n.dot(&light) > TERMINATOR * light.norm();
        let lit_seen = || seen.iter().filter(|s| lit(&s.1));
        if (lit_seen().count() as f64) < LEAST_LIT * pixels.len() as f64 {
            return Err(unsuitable(
                "the lit part of the sphere is a thin crescent; the light stands behind it",
            ));
        }
        sigma = spread(lit_seen().map(|(value, n)| value - n.dot(&light)));
        for ((value, n), weight) in seen.iter().zip(&mut weights) {
            *weight = if lit(n) { cauchy(value - n.dot(&light), sigma) } else { 0.0 };
        }
        if step < 1e-9 * light.norm() {
            break;
        }
    }
    // Residuals are alike over a patch of a tenth of the radius.
    let patch = (std::f64::consts::PI * (0.1 * radius).powi(2)).max(1.0);
    let covariance = matrix.try_inverse().unwrap_or_else(Matrix3::zeros) * (sigma * sigma * patch);
    let across = {
        let l = light.normalize();
        let project = Matrix3::identity() - l * l.transpose();
        (project * covariance * project).symmetric_eigenvalues().max().max(0.0).sqrt()
    };
    Ok(Fit {
        light,
        residual: sigma / light.norm(),
        error_deg: across.atan2(light.norm()).to_degrees(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Circle;
    use crate::geometry::{Vec3, angle_between_deg};
    use crate::maps::{Pixels, Plane, Size};

    const SIZE: Size = Size { height: 130, width: 120 };
    const CIRCLE: Circle = Circle { column: 58.2, row: 66.7, radius: 50.0 };

    /// A Lambertian ball, albedo 0.8, with a glossy spot and steps of 8 bits.
    fn ball(light: Vec3, intensity: f32) -> Vec<u8> {
        Plane::from_fn(SIZE, |row, column| {
            let x = ((column as f64 - CIRCLE.column) / CIRCLE.radius) as f32;
            let y = (-(row as f64 - CIRCLE.row) / CIRCLE.radius) as f32;
            let square = 1.0 - x * x - y * y;
            if square <= 0.0 {
                return 12;
            }
            let normal = Vec3::new(x, y, square.sqrt());
            let halfway = (light + Vec3::z()).normalize();
            let gloss = 0.4 * normal.dot(&halfway).max(0.0).powi(200);
            let value = intensity * (0.8 * normal.dot(&light).max(0.0) + gloss);
            (255.0 * value).round().min(255.0) as u8
        })
        .data
    }

    #[test]
    fn lights_come_back_in_spite_of_shadow_and_gloss() {
        let truth = [(0.0f32, 0.0f32, 0.9f32), (0.7, 0.2, 0.6), (-0.3, -0.85, 1.1)];
        let lights = truth.map(|(x, y, e)| (Vec3::new(x, y, (1.0 - x * x - y * y).sqrt()), e));
        let pixels = lights.iter().flat_map(|&(l, e)| ball(l, e)).collect();
        let images = ImageStack::new(SIZE, 3, Pixels::U8(pixels));
        let got = matte_sphere(&images, &Outline::from_circle(CIRCLE), None).unwrap();
        let mean = truth.iter().map(|t| t.2).sum::<f32>() / 3.0;
        for (got, (direction, intensity)) in got.lights.iter().zip(lights) {
            let angle = angle_between_deg(Vec3::from(got.direction), direction);
            assert!(angle < 0.2, "{angle}°");
            assert!((got.intensity / (intensity / mean) - 1.0).abs() < 0.01, "{got:?}");
        }
        assert!(got.warnings.is_empty(), "{:?}", got.warnings);
    }

    #[test]
    fn a_dark_image_and_a_disc_that_is_no_ball_are_noticed() {
        let images = ImageStack::new(SIZE, 1, Pixels::U8(vec![3; SIZE.area()]));
        let outline = Outline::from_circle(CIRCLE);
        let error = matte_sphere(&images, &outline, None).unwrap_err();
        assert!(matches!(error, CalibrateError::Unsuitable { image: 1, .. }), "{error}");
        let images = ImageStack::new(SIZE, 1, Pixels::U8(vec![120; SIZE.area()]));
        let flat = matte_sphere(&images, &outline, None).unwrap();
        assert!(flat.warnings[0].what.contains("not Lambertian"), "{:?}", flat.warnings);
    }
}
