//! The rig of a warped picture: its lights and its camera.
//!
//! A picture turned in its plane is one that a camera turned about its optical axis took, under
//! lights that turned with it.

use super::landmarks::PixelPoint;
use super::warp::Warp;
use crate::geometry::{Camera, Vec3};
use crate::maps::{Lights, NearLights};

/// How unlike two focal lengths may be for a picture that is turned.
const SQUARE_PIXELS: f64 = 1e-3;

impl Warp {
    /// The lights as the turned picture has them: solving the moved images with these gives the
    /// moved normals.
    pub fn lights(&self, lights: &Lights) -> Lights {
        let turned = |l: &Vec3| self.similarity.turn_vector(*l);
        Lights {
            directions: lights.directions.iter().map(turned).collect(),
            intensities: lights.intensities.clone(),
        }
    }

    /// The camera that takes the moved picture, turned about its optical axis; `None` for a turned
    /// picture of a camera whose pixels are not square.
    pub fn camera(&self, camera: &Camera) -> Option<Camera> {
        let [across, down] = camera.focal_px;
        if self.similarity.b != 0.0 && (across / down - 1.0).abs() > SQUARE_PIXELS {
            return None;
        }
        let [column, row] = camera.centre_px;
        let centre = self.similarity.apply(PixelPoint::new(column, row));
        let scale = self.similarity.scale();
        Some(Camera {
            focal_px: [across * scale, down * scale],
            centre_px: [centre.column, centre.row],
        })
    }

    /// Near lamps about the moved picture's camera, as bright at every point as before; `None` as for
    /// [`Warp::camera`].
    ///
    /// Intensities hold at the subject's centre, which is what the middle of the picture shows: with
    /// another middle they are others.
    pub fn near_lights(&self, near: &NearLights) -> Option<NearLights> {
        let turned = near.positions_mm.iter().map(|s| self.similarity.turn_vector(*s)).collect();
        let mut moved =
            NearLights { positions_mm: turned, camera: self.camera(&near.camera)?, ..near.clone() };
        let (before, after) =
            (near.subject_centre_mm(self.source), moved.subject_centre_mm(self.target));
        let lamps = near.positions_mm.iter().zip(&moved.positions_mm);
        for (intensity, (old, new)) in moved.intensities.iter_mut().zip(lamps) {
            *intensity *= (old - before).norm_squared() / (new - after).norm_squared();
        }
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::super::similarity::Similarity;
    use super::*;
    use crate::maps::Size;

    const CAMERA: Camera = Camera { focal_px: [800.0, 800.0], centre_px: [310.0, 250.0] };

    /// The middle of the target shows another point than that of the source.
    fn warp() -> Warp {
        let (source, target) = (Size::new(480, 640), Size::new(256, 256));
        let (from, to) = (PixelPoint::new(250.0, 150.0), PixelPoint::centre_of(target));
        Warp { similarity: Similarity::about(from, 0.4, 33.0, to), source, target }
    }

    #[test]
    fn a_camera_looks_along_the_same_ray_at_a_moved_pixel() {
        let warp = warp();
        let moved = warp.camera(&CAMERA).unwrap();
        let pixel = PixelPoint::new(123.0, 321.0);
        let there = warp.similarity.apply(pixel);
        let ray = CAMERA.ray(pixel.row, pixel.column).cast::<f32>();
        let got = moved.ray(there.row, there.column).cast::<f32>();
        assert!((got - warp.similarity.turn_vector(ray)).norm() < 1e-6, "{got:?}");
        let oblong = Camera { focal_px: [800.0, 700.0], ..CAMERA };
        assert_eq!(warp.camera(&oblong), None);
    }

    #[test]
    fn near_lamps_light_every_point_as_before() {
        let warp = warp();
        let near = NearLights {
            positions_mm: vec![Vec3::new(300.0, 100.0, -50.0), Vec3::new(-200.0, 250.0, 20.0)],
            intensities: vec![1.0, 0.7],
            camera: CAMERA,
            subject_distance_mm: 900.0,
        };
        let turned = warp.near_lights(&near).unwrap();
        // Light of each lamp at a point of the subject, as a vector.
        let light = |near: &NearLights, size: Size, x: Vec3| {
            let centre = near.subject_centre_mm(size);
            let lamp = |(s, e): (&Vec3, &f32)| {
                (s - x) * (e * (s - centre).norm_squared() / (s - x).norm().powi(3))
            };
            near.positions_mm.iter().zip(&near.intensities).map(lamp).collect::<Vec<_>>()
        };
        let point = Vec3::new(40.0, -30.0, -870.0);
        let before = light(&near, warp.source, point);
        let after = light(&turned, warp.target, warp.similarity.turn_vector(point));
        for (before, after) in before.into_iter().zip(after) {
            assert!((warp.similarity.turn_vector(before) - after).norm() < 1e-5, "{after:?}");
        }
        assert!((turned.intensities[0] - 1.0).abs() > 0.01, "{:?}", turned.intensities);
    }
}
