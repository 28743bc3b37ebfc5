//! Frames, light directions and angles.
//!
//! Everything in this crate lives in one **camera frame**: x right, y up, z toward the viewer.
//! Image rows run *down*, so a step of one row is a step of −1 in y. A light direction is a unit
//! vector that points from the surface to the light.

/// A vector of the camera frame.
pub type Vec3 = nalgebra::Vector3<f32>;

/// A pinhole camera's intrinsics, in pixels. The centre of the upper left pixel is (0, 0).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Focal lengths along columns and rows.
    pub focal_px: [f64; 2],
    /// Principal point: column, row.
    pub centre_px: [f64; 2],
}

impl Camera {
    /// The ray of a pixel, scaled to depth 1 along the optical axis: `(x, y, −1)` of the camera
    /// frame (y up, z toward the viewer, so the scene lies at negative z).
    pub fn ray(&self, row: f64, column: f64) -> nalgebra::Vector3<f64> {
        let x = (column - self.centre_px[0]) / self.focal_px[0];
        let y = -(row - self.centre_px[1]) / self.focal_px[1];
        nalgebra::Vector3::new(x, y, -1.0)
    }
}

/// Light direction from the two angles in an Extended Yale B file name, in degrees.
///
/// `l = (−cos E sin A, sin E, cos E cos A)`: positive azimuth lights the image's *left* side.
/// (Georghiades, Belhumeur and Kriegman 2001 give the angles; the sign was checked on the
/// images: the other one doubles the curl of the recovered gradient field.)
pub fn light_from_yaleb_angles(azimuth_deg: f32, elevation_deg: f32) -> Vec3 {
    let (sin_a, cos_a) = azimuth_deg.to_radians().sin_cos();
    let (sin_e, cos_e) = elevation_deg.to_radians().sin_cos();
    Vec3::new(-cos_e * sin_a, sin_e, cos_e * cos_a)
}

/// Light direction from Photoface's `LightSource` angles, in degrees.
///
/// Zenith is measured from the camera axis, azimuth clockwise from up as the camera sees it:
/// `l = (sin z sin a, sin z cos a, cos z)`.
pub fn light_from_zenith_azimuth(zenith_deg: f32, azimuth_deg: f32) -> Vec3 {
    let (sin_z, cos_z) = zenith_deg.to_radians().sin_cos();
    let (sin_a, cos_a) = azimuth_deg.to_radians().sin_cos();
    Vec3::new(sin_z * sin_a, sin_z * cos_a, cos_z)
}

/// Angle between two vectors in degrees, 0 to 180; NaN where either has no direction.
///
/// Uses `atan2(|a×b|, a·b)`, which keeps its accuracy at small angles where `acos` loses half
/// of its digits.
pub fn angle_between_deg(a: Vec3, b: Vec3) -> f32 {
    let (a, b) = (a.cast::<f64>(), b.cast::<f64>());
    let (cross, dot) = (a.cross(&b).norm(), a.dot(&b));
    if cross == 0.0 && dot == 0.0 {
        return f32::NAN;
    }
    cross.atan2(dot).to_degrees() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(got: Vec3, want: [f32; 3]) {
        let want = Vec3::from(want);
        assert!((got - want).norm() < 1e-6, "got {got:?}, want {want:?}");
    }

    #[test]
    fn yaleb_positive_azimuth_lights_the_left_side() {
        assert_close(light_from_yaleb_angles(0.0, 0.0), [0.0, 0.0, 1.0]);
        assert_close(light_from_yaleb_angles(90.0, 0.0), [-1.0, 0.0, 0.0]);
        assert_close(light_from_yaleb_angles(0.0, 90.0), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn photoface_azimuth_runs_clockwise_from_up() {
        let half = 0.5f32.sqrt();
        assert_close(light_from_zenith_azimuth(45.0, 0.0), [0.0, half, half]);
        assert_close(light_from_zenith_azimuth(45.0, 90.0), [half, 0.0, half]);
        assert_close(light_from_zenith_azimuth(45.0, 180.0), [0.0, -half, half]);
    }

    #[test]
    fn small_angles_keep_their_digits() {
        let tiny_deg = 1e-4f32;
        let tilted = Vec3::new(tiny_deg.to_radians(), 0.0, 1.0);
        let got = angle_between_deg(Vec3::z(), tilted);
        assert!((got - tiny_deg).abs() < 1e-9, "got {got}");
        assert!(angle_between_deg(Vec3::zeros(), Vec3::z()).is_nan());
        assert!((angle_between_deg(Vec3::x(), -Vec3::x()) - 180.0).abs() < 1e-4);
    }
}
