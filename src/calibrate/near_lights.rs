//! Positions of near lamps from the highlights on two or more chrome spheres.
//!
//! Each sphere sends back a ray from its point p toward the lamp, direction l. The lamp is the
//! point nearest to all of a lamp's rays,
//!
//! `(Σ w_i (1 − l_i l_iᵀ)) x = Σ w_i (1 − l_i l_iᵀ) p_i`,
//!
//! weighted by `w_i = 1/(σ_i d_i)²`: a ray known to the angle σ strays by σ d at distance d. The
//! inverse of the matrix is the position's covariance, enlarged where the rays miss each other by
//! more than their own errors allow. (Powell, Sarkar and Goldgof 2001 calibrate so with three
//! spheres; Ackermann, Fuhrmann and Goesele 2013 give the geometry.)

use super::CalibrateError;
use super::chrome_sphere::{
    ChromeSphere, Reflection, reflection_warnings, reflections, sphere_centre,
};
use super::result::{CalibratedLight, Calibration, Method, Warning};
use crate::geometry::{Camera, Vec3};
use crate::maps::{ImageStack, NearLights};
use nalgebra::{Matrix3, Vector3};

/// No ray is better known than this: spheres are not rounder, lenses not better calibrated.
const LEAST_ERROR_DEG: f64 = 0.1;
/// A position less sure than this share of its distance lights the subject hardly better than a
/// distant light does.
const UNSURE: f64 = 0.1;

/// Positions of the lamps, and their directions from the subject's centre; intensities stay 1.
///
/// All spheres stand in the same images. `subject_distance_mm` is the depth of the subject's
/// centre along the optical axis; the mean of the spheres' where it is not given.
///
/// # Errors
/// Fewer than two spheres; no camera or sphere radius; what [`super::chrome_sphere`] refuses.
pub fn near_lights(
    images: &ImageStack,
    spheres: &[ChromeSphere],
    camera: Option<&Camera>,
    subject_distance_mm: Option<f32>,
) -> Result<Calibration, CalibrateError> {
    let Some(camera) = camera else {
        return Err(CalibrateError::Missing(
            "positions need the camera's focal length and centre in pixels; give the camera, or \
             calibrate directions from one sphere",
        ));
    };
    if spheres.len() < 2 {
        return Err(CalibrateError::TooFew {
            what: "chrome spheres",
            given: spheres.len(),
            needed: 2,
            remedy: "one sphere gives directions only",
        });
    }
    let mut of_spheres = Vec::with_capacity(spheres.len());
    let mut depth_sum = 0.0;
    for sphere in spheres {
        let radius = sphere.radius_mm.filter(|r| *r > 0.0).ok_or(CalibrateError::Missing(
            "positions need every sphere's radius in millimetres; measure the spheres",
        ))?;
        depth_sum -= sphere_centre(sphere, camera)?.z * radius;
        of_spheres.push((radius, reflections(images, sphere, Some(camera))?));
    }
    let distance = subject_distance_mm.unwrap_or((depth_sum / spheres.len() as f64) as f32);

    let mut warnings = Vec::new();
    for (number, (_, reflections)) in of_spheres.iter().enumerate() {
        warnings.extend(reflection_warnings(reflections).into_iter().map(|mut w| {
            w.what = format!("sphere {}: {}", number + 1, w.what);
            w
        }));
    }
    let lamps: Vec<Lamp> = (0..images.count)
        .map(|light| {
            let rays: Vec<Ray> =
                of_spheres.iter().map(|(mm, r)| Ray::new(&r[light], *mm)).collect();
            triangulate(&rays).ok_or_else(|| parallel(light))
        })
        .collect::<Result<_, _>>()?;
    let near = NearLights {
        positions_mm: lamps.iter().map(|l| l.position.cast()).collect(),
        intensities: vec![1.0; images.count],
        camera: *camera,
        subject_distance_mm: distance,
    };
    let centre = near.subject_centre_mm(images.size);
    let mut lights = Vec::with_capacity(images.count);
    for (index, lamp) in lamps.iter().enumerate() {
        let offset: Vec3 = lamp.position.cast() - centre;
        let share = lamp.error_mm / f64::from(offset.norm());
        if share > UNSURE {
            warnings.push(Warning::new(
                Some(index),
                format!("its position is known to {:.0} % of its distance only", 100.0 * share),
                "set the spheres farther apart, or use the direction alone",
            ));
        }
        lights.push(CalibratedLight {
            image: None,
            direction: offset.normalize().into(),
            intensity: 1.0,
            // Only what lies across the line of sight turns the direction.
            uncertainty_deg: Some(
                lamp.across_mm(&offset.cast()).atan2(f64::from(offset.norm())).to_degrees() as f32,
            ),
            position_mm: Some(lamp.position.cast::<f32>().into()),
            position_uncertainty_mm: Some(lamp.error_mm as f32),
        });
    }
    let mut calibration = Calibration::new(Method::NearLights, lights, warnings);
    calibration.camera = Some(*camera);
    calibration.subject_distance_mm = Some(distance);
    Ok(calibration)
}

fn parallel(light: usize) -> CalibrateError {
    CalibrateError::Undetermined(format!(
        "light {}: the spheres' rays are parallel or part behind the spheres; set the spheres \
         farther apart, or check that each radius belongs to its sphere",
        light + 1
    ))
}

struct Ray {
    point: Vector3<f64>,
    direction: Vector3<f64>,
    error_rad: f64,
}

impl Ray {
    fn new(reflection: &Reflection, radius_mm: f64) -> Self {
        Self {
            point: reflection.point * radius_mm,
            direction: reflection.direction,
            error_rad: reflection.error_deg.max(LEAST_ERROR_DEG).to_radians(),
        }
    }

    /// What a point lies beside the ray.
    fn across(&self) -> Matrix3<f64> {
        Matrix3::identity() - self.direction * self.direction.transpose()
    }
}

struct Lamp {
    position: Vector3<f64>,
    covariance: Matrix3<f64>,
    /// Standard error along the worst axis.
    error_mm: f64,
}

impl Lamp {
    /// Standard error along the worst axis across a line of sight.
    fn across_mm(&self, sight: &Vector3<f64>) -> f64 {
        let unit = sight.normalize();
        let project = Matrix3::identity() - unit * unit.transpose();
        (project * self.covariance * project).symmetric_eigenvalues().max().max(0.0).sqrt()
    }
}

/// The point nearest to all rays; `None` where they are parallel or it lies behind one of them.
fn triangulate(rays: &[Ray]) -> Option<Lamp> {
    let mut distances = vec![1.0; rays.len()];
    let (mut position, mut matrix) = (Vector3::zeros(), Matrix3::zeros());
    // The weights hang on the distances; two or three rounds settle them.
    for _ in 0..10 {
        matrix = Matrix3::zeros();
        let mut right = Vector3::zeros();
        for (ray, distance) in rays.iter().zip(&distances) {
            let weighted = ray.across() / (ray.error_rad * distance).powi(2);
            matrix += weighted;
            right += weighted * ray.point;
        }
        let eigenvalues = matrix.symmetric_eigenvalues();
        // sin² of the angle between the rays against the error of a ray.
        if eigenvalues.min() <= 1e-7 * eigenvalues.max() {
            return None;
        }
        position = matrix.try_inverse()? * right;
        for (ray, distance) in rays.iter().zip(&mut distances) {
            *distance = ray.direction.dot(&(position - ray.point));
            if *distance <= 0.0 {
                return None;
            }
        }
    }
    let misses: f64 = rays
        .iter()
        .zip(&distances)
        .map(|(ray, d)| {
            (ray.across() * (position - ray.point)).norm_squared() / (ray.error_rad * d).powi(2)
        })
        .sum();
    // Two equations a ray, three unknowns.
    let enlarge = (misses / (2.0 * rays.len() as f64 - 3.0)).max(1.0);
    let covariance = matrix.try_inverse()? * enlarge;
    let error_mm = covariance.symmetric_eigenvalues().max().sqrt();
    Some(Lamp { position, covariance, error_mm })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Outline;
    use crate::maps::{Mask, Pixels, Plane, Size};

    const SIZE: Size = Size { height: 480, width: 640 };
    const CAMERA: Camera = Camera { focal_px: [900.0, 900.0], centre_px: [319.5, 239.5] };
    const RADIUS_MM: f64 = 30.0;

    fn centres() -> [Vector3<f64>; 3] {
        [(-120.0, 40.0), (125.0, 30.0), (10.0, -90.0)].map(|(x, y)| Vector3::new(x, y, -620.0))
    }

    /// Where a pixel's ray meets a sphere: point and outward normal.
    fn hit(row: f64, column: f64, centre: &Vector3<f64>) -> Option<(Vector3<f64>, Vector3<f64>)> {
        let ray = CAMERA.ray(row, column).normalize();
        let along = ray.dot(centre);
        let square = along * along - centre.norm_squared() + RADIUS_MM * RADIUS_MM;
        (square >= 0.0).then(|| {
            let point = ray * (along - square.sqrt());
            (point, (point - centre) / RADIUS_MM)
        })
    }

    /// Ray-traced mirror spheres with ball lamps of 30 mm radius, and the spheres' mask.
    fn trace(lamp: &Vector3<f64>, sphere: usize) -> (Vec<f32>, Mask) {
        let centre = centres()[sphere];
        // How far the mirrored ray of an image point passes the lamp; `None` off the sphere.
        let miss = |row: f64, column: f64| {
            let (point, normal) = hit(row, column, &centre)?;
            let view = -point.normalize();
            let mirrored = normal * (2.0 * normal.dot(&view)) - view;
            let to_lamp = lamp - point;
            (to_lamp.dot(&mirrored) > 0.0).then(|| to_lamp.cross(&mirrored).norm())
        };
        let image = Plane::from_fn(SIZE, |row, column| {
            if miss(row as f64, column as f64).is_none_or(|mm| mm > 120.0) {
                return 0.0;
            }
            let at = |p: usize, k: usize| p as f64 + (k as f64 - 1.5) / 4.0;
            let lit = (0..16)
                .filter(|i| miss(at(row, i / 4), at(column, i % 4)).is_some_and(|mm| mm < 30.0));
            0.9 / 16.0 * lit.count() as f32
        });
        let mask = Plane::from_fn(SIZE, |r, c| hit(r as f64, c as f64, &centre).is_some());
        (image.data, mask)
    }

    #[test]
    fn lamps_are_found_where_they_stand() {
        let lamps = [
            Vector3::new(-400.0, 250.0, -150.0),
            Vector3::new(350.0, 300.0, -50.0),
            Vector3::new(60.0, -420.0, -200.0),
        ];
        let mut pixels = Vec::new();
        let mut masks = Vec::new();
        for lamp in &lamps {
            let traced: Vec<_> = (0..3).map(|s| trace(lamp, s)).collect();
            let sum = |p: usize| traced.iter().map(|t| t.0[p]).sum::<f32>();
            pixels.extend((0..SIZE.area()).map(sum));
            masks = traced.into_iter().map(|t| t.1).collect();
        }
        let images = ImageStack::new(SIZE, 3, Pixels::F32(pixels));
        let spheres: Vec<ChromeSphere> = masks
            .iter()
            .map(|m| ChromeSphere {
                outline: Outline::from_mask(m).unwrap(),
                radius_mm: Some(RADIUS_MM),
            })
            .collect();
        let got = near_lights(&images, &spheres, Some(&CAMERA), None).unwrap();
        assert!((got.subject_distance_mm.unwrap() - 620.0).abs() < 3.0);
        for (got, want) in got.lights.iter().zip(&lamps) {
            let position: Vector3<f64> = Vec3::from(got.position_mm.unwrap()).cast();
            let off = (position - want).norm();
            let claimed = f64::from(got.position_uncertainty_mm.unwrap());
            assert!(off < 8.0, "{off} mm off of {want}");
            assert!(claimed < 10.0 && off < 3.0 * claimed, "{off} mm off, {claimed} mm claimed");
        }

        // One sphere alone: the direction from its point, in perspective.
        let one = super::super::chrome_sphere(&images, &spheres[0], Some(&CAMERA)).unwrap();
        let want = (lamps[0] - centres()[0]).cast();
        let angle = crate::geometry::angle_between_deg(one.lights().directions[0], want);
        // The sphere's radius seen from the lamp, 30 mm at 590 mm, is 2.9°.
        assert!(angle < 2.9, "{angle}°");
    }

    #[test]
    fn what_is_missing_is_named() {
        let images = ImageStack::new(SIZE, 1, Pixels::U8(vec![0; SIZE.area()]));
        let circle = super::super::Circle { column: 100.0, row: 100.0, radius: 40.0 };
        let sphere = ChromeSphere { outline: Outline::from_circle(circle), radius_mm: None };
        let two = [sphere.clone(), sphere];
        let message = |r: Result<Calibration, CalibrateError>| r.unwrap_err().to_string();
        assert!(message(near_lights(&images, &two, None, None)).contains("focal length"));
        assert!(message(near_lights(&images, &two, Some(&CAMERA), None)).contains("radius"));
        assert!(
            message(near_lights(&images, &two[..1], Some(&CAMERA), None)).contains("at least 2")
        );
    }

    #[test]
    fn parallel_rays_fix_no_point() {
        let ray = |x: f64| Ray {
            point: Vector3::new(x, 0.0, 0.0),
            direction: Vector3::z(),
            error_rad: 0.002,
        };
        assert!(triangulate(&[ray(0.0), ray(100.0)]).is_none());
    }
}
