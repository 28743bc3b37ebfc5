//! Directions of distant lights from the highlights on a chrome sphere.
//!
//! A mirror shows the lamp where its normal halves the angle between the directions to the lamp
//! and to the camera: `l = 2 (n·v) n − v`. On a sphere the normal follows from the position. Under
//! an orthographic camera v = (0, 0, 1) and `n = ((x − x_c)/r, −(y − y_c)/r, √…)`; under a pinhole
//! camera the viewing ray is cut with the sphere that the outline's cone of rays touches.

use super::CalibrateError;
use super::circle::Outline;
use super::highlight::{Highlight, find_highlight};
use super::result::{CalibratedLight, Calibration, Method, Warning};
use crate::geometry::Camera;
use crate::maps::ImageStack;
use nalgebra::Vector3;

/// A chrome sphere in the images.
#[derive(Clone, Debug, PartialEq)]
pub struct ChromeSphere {
    pub outline: Outline,
    /// Millimetres; needed only where positions are asked for.
    pub radius_mm: Option<f64>,
}

/// A second highlight of this share of the first's light may be a second lamp.
const RIVAL: f64 = 0.3;
/// Lights closer to each other than this share a highlight: the same lamp was on twice.
const SAME_LIGHT_DEG: f32 = 0.5;
/// A direction less sure than this spoils normals more than sensor noise does.
const UNSURE_DEG: f64 = 2.0;

/// Directions of the lights from one chrome sphere; intensities stay 1, as a clipped mirror image
/// tells nothing about them.
///
/// Without a camera the view is orthographic, which is wrong by up to half of the field of view
/// that the sphere lies off the image's middle.
///
/// # Errors
/// A circle that reaches outside the frame; an image without a highlight or with one at the rim.
pub fn chrome_sphere(
    images: &ImageStack,
    sphere: &ChromeSphere,
    camera: Option<&Camera>,
) -> Result<Calibration, CalibrateError> {
    let reflections = reflections(images, sphere, camera)?;
    let lights = reflections
        .iter()
        .map(|r| CalibratedLight {
            image: None,
            direction: r.direction.cast::<f32>().into(),
            intensity: 1.0,
            uncertainty_deg: Some(r.error_deg as f32),
            position_mm: None,
            position_uncertainty_mm: None,
        })
        .collect();
    let mut calibration = Calibration::new(Method::ChromeSphere, lights, Vec::new());
    calibration.warnings = reflection_warnings(&reflections);
    Ok(calibration)
}

/// A lamp as one sphere shows it.
pub(super) struct Reflection {
    /// Where the ray from the lamp meets the sphere, in units of the sphere's radius; the camera
    /// frame's origin under a pinhole camera, the sphere's centre without one.
    pub point: Vector3<f64>,
    /// Unit vector from there to the lamp.
    pub direction: Vector3<f64>,
    pub error_deg: f64,
    pub highlight: Highlight,
}

/// Centre of the sphere, in units of its radius, camera frame.
pub(super) fn sphere_centre(
    sphere: &ChromeSphere,
    camera: &Camera,
) -> Result<Vector3<f64>, CalibrateError> {
    let cone = sphere.outline.cone(camera);
    cone.map(|(axis, sin)| axis / sin).ok_or_else(|| {
        CalibrateError::NotACircle(
            "no cone of rays fits it; check the camera's focal length".into(),
        )
    })
}

pub(super) fn reflections(
    images: &ImageStack,
    sphere: &ChromeSphere,
    camera: Option<&Camera>,
) -> Result<Vec<Reflection>, CalibrateError> {
    let circle = sphere.outline.circle;
    sphere.outline.check_inside(images.size)?;
    let centre = camera.map(|camera| sphere_centre(sphere, camera)).transpose()?;
    (0..images.count)
        .map(|image| {
            let highlight = find_highlight(images, image, circle)?;
            let at_rim = CalibrateError::HighlightAtRim { image: image + 1 };
            let (point, normal, view) = match (camera, centre) {
                (Some(camera), Some(centre)) => {
                    let ray = camera.ray(highlight.row, highlight.column).normalize();
                    let point = first_hit(&ray, &centre).ok_or(at_rim)?;
                    (point, point - centre, -ray)
                }
                _ => {
                    let x = (highlight.column - circle.column) / circle.radius;
                    let y = -(highlight.row - circle.row) / circle.radius;
                    let normal = Vector3::new(x, y, (1.0 - x * x - y * y).max(0.0).sqrt());
                    (normal, normal, Vector3::z())
                }
            };
            let cos = normal.dot(&view);
            // A step of the highlight turns the normal by step / (r n·v), the light by twice that.
            // The circle's own error is common to all lights.
            let circle_error = sphere.outline.spread_px / (sphere.outline.points() as f64).sqrt();
            let error_px = highlight.error_px.hypot(circle_error);
            let error_deg = (2.0 * error_px / (circle.radius * cos.max(1e-3))).to_degrees();
            let direction = (normal * (2.0 * cos) - view).normalize();
            Ok(Reflection { point, direction, error_deg, highlight })
        })
        .collect()
}

/// Nearest crossing of a unit ray from the origin with a sphere of radius 1.
fn first_hit(ray: &Vector3<f64>, centre: &Vector3<f64>) -> Option<Vector3<f64>> {
    let along = ray.dot(centre);
    let square = along * along - centre.norm_squared() + 1.0;
    (square >= 0.0).then(|| ray * (along - square.sqrt()))
}

pub(super) fn reflection_warnings(reflections: &[Reflection]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, r) in reflections.iter().enumerate() {
        if r.highlight.rival >= RIVAL {
            warnings.push(Warning::new(
                Some(index),
                format!(
                    "a second highlight holds {:.0} % of the light of the first",
                    100.0 * r.highlight.rival
                ),
                "leave on one lamp at a time and cover what shines",
            ));
        }
        if r.error_deg > UNSURE_DEG {
            warnings.push(Warning::new(
                Some(index),
                format!("the highlight fixes the direction to {:.1}° only", r.error_deg),
                "take the sphere larger in the frame, or expose less",
            ));
        }
        if r.direction.z <= 0.0 {
            warnings.push(Warning::new(
                Some(index),
                "the light stands behind the sphere",
                "check the circle, or leave this light out: it does not reach what the camera sees",
            ));
        }
        for (other, s) in reflections[..index].iter().enumerate() {
            let angle = crate::geometry::angle_between_deg(r.direction.cast(), s.direction.cast());
            if angle < SAME_LIGHT_DEG {
                warnings.push(Warning::new(
                    Some(index),
                    format!("stands where light {} stands", other + 1),
                    "check that each image was taken under its own lamp",
                ));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Circle;
    use crate::maps::{Pixels, Plane, Size};

    /// A sphere that mirrors round lamps of angular radius 3° at these directions, drawn by
    /// reflecting the view at every pixel (four by four samples).
    fn mirror(size: Size, circle: Circle, lamps: &[(Vector3<f64>, f64)]) -> Vec<f32> {
        Plane::from_fn(size, |row, column| {
            let mut sum = 0.0;
            for i in 0..16 {
                let at = |p: usize, k: usize| p as f64 + (k as f64 + 0.5) / 4.0 - 0.5;
                let x = (at(column, i % 4) - circle.column) / circle.radius;
                let y = -(at(row, i / 4) - circle.row) / circle.radius;
                let square = 1.0 - x * x - y * y;
                if square <= 0.0 {
                    continue;
                }
                let normal = Vector3::new(x, y, square.sqrt());
                let mirrored = normal * (2.0 * normal.z) - Vector3::z();
                sum += 0.02;
                for (lamp, brightness) in lamps {
                    if mirrored.angle(lamp) < 3f64.to_radians() {
                        sum += brightness;
                    }
                }
            }
            (sum / 16.0).min(1.0) as f32
        })
        .data
    }

    fn light(x: f64, y: f64) -> Vector3<f64> {
        Vector3::new(x, y, (1.0 - x * x - y * y).sqrt())
    }

    const CIRCLE: Circle = Circle { column: 80.3, row: 70.8, radius: 60.4 };
    const SIZE: Size = Size { height: 150, width: 160 };

    fn sphere() -> ChromeSphere {
        ChromeSphere { outline: Outline::from_circle(CIRCLE), radius_mm: None }
    }

    #[test]
    fn mirrored_lamps_are_found_clipped_or_not() {
        let truth = [light(0.0, 0.0), light(0.4, -0.3), light(-0.7, 0.5), light(0.1, 0.9)];
        for brightness in [0.6, 30.0] {
            let pixels = truth.iter().flat_map(|&l| mirror(SIZE, CIRCLE, &[(l, brightness)]));
            let images = ImageStack::new(SIZE, truth.len(), Pixels::F32(pixels.collect()));
            let got = chrome_sphere(&images, &sphere(), None).unwrap();
            assert!(got.warnings.is_empty(), "{:?}", got.warnings);
            for (got, want) in got.lights().directions.iter().zip(&truth) {
                let angle = crate::geometry::angle_between_deg(*got, want.cast());
                // Unclipped, sampling by four costs 0.1 px or less: 0.2° on this sphere. A clipped
                // core of some 16 px strays by 0.1 px along either axis, three times that at most.
                let limit = if brightness < 1.0 { 0.2 } else { 0.8 };
                assert!(angle < limit, "{got:?}, want {want:?}: {angle}° at {brightness}");
            }
        }
    }

    #[test]
    fn a_weaker_lamp_is_reported_and_a_reflection_at_the_rim_passed_over() {
        let main = light(0.3, 0.2);
        let both = mirror(SIZE, CIRCLE, &[(main, 0.9), (light(-0.4, 0.1), 0.7)]);
        let images = ImageStack::new(SIZE, 1, Pixels::F32(both));
        let got = chrome_sphere(&images, &sphere(), None).unwrap();
        assert!(crate::geometry::angle_between_deg(got.lights().directions[0], main.cast()) < 0.2);
        assert!(got.warnings[0].what.contains("second highlight"), "{:?}", got.warnings);

        let mut with_rim = mirror(SIZE, CIRCLE, &[(main, 0.9)]);
        for (p, value) in with_rim.iter_mut().enumerate() {
            let at = [(p % SIZE.width) as f64, (p / SIZE.width) as f64];
            if (-3.0..0.0).contains(&CIRCLE.distance(at)) && at[0] < CIRCLE.column {
                *value = 1.0;
            }
        }
        let images = ImageStack::new(SIZE, 1, Pixels::F32(with_rim));
        let got = chrome_sphere(&images, &sphere(), None).unwrap();
        assert!(crate::geometry::angle_between_deg(got.lights().directions[0], main.cast()) < 0.2);
    }

    #[test]
    fn darkness_and_rims_are_errors() {
        let dark = ImageStack::new(SIZE, 1, Pixels::U8(vec![7; SIZE.area()]));
        let error = chrome_sphere(&dark, &sphere(), None).unwrap_err();
        assert!(matches!(error, CalibrateError::NoHighlight { image: 1, .. }), "{error}");

        let behind = Vector3::new(0.3, 0.0, -1.0).normalize();
        let rim = mirror(SIZE, CIRCLE, &[(behind, 0.9)]);
        let images = ImageStack::new(SIZE, 1, Pixels::F32(rim));
        let error = chrome_sphere(&images, &sphere(), None).unwrap_err();
        assert!(matches!(error, CalibrateError::HighlightAtRim { image: 1 }), "{error}");

        let outside = Circle { column: 20.0, ..CIRCLE };
        let sphere = ChromeSphere { outline: Outline::from_circle(outside), radius_mm: None };
        let error = chrome_sphere(&images, &sphere, None).unwrap_err();
        assert!(matches!(error, CalibrateError::OutsideFrame { .. }), "{error}");
    }
}
