//! How a head is turned, from five landmarks and the depth at them.
//!
//! No template of a mean face is fitted: the nose's depth is the least sure, and a person's own
//! proportions would go into the yaw. A face is taken to be symmetrical and upright instead:
//!
//! - **x** is the mean direction of the lines from left to right through the eyes and through the
//!   corners of the mouth;
//! - **y** leads from the middle of the mouth to the middle of the eyes, made perpendicular to x;
//! - **z** = x × y is where the face looks.
//!
//! Frontal means that these are the camera's axes: eyes and mouth level, and as near to the camera as
//! each other. With true depth of rendered heads yaw is met within half a degree and pitch within 5°
//! (medians): a person's own profile and an open mouth go into the pitch. Depth from normals bends
//! slowly, which adds to both, and most where the head is turned far (`docs/results.md`).

use super::landmarks::{Landmarks, PixelPoint};
use crate::maps::DepthMap;
use crate::order_statistics::median;
use nalgebra::{Matrix3, Rotation3, Vector3};

/// Depth at a landmark is the median over a disc of this share of the distance between the eyes and
/// the mouth: lids and lips are rough.
const DISC_SHARE: f64 = 0.06;

/// Why a pose is open.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PoseError {
    #[error("there is no depth at {0}; widen the mask, or leave the face as it is turned")]
    NoDepth(&'static str),
    #[error("the landmarks fix no pose: eyes and mouth lie in one line; detect the face again")]
    Degenerate,
    #[error("how the head is turned could not be told in its capture, so it is left as it is")]
    NotTold,
}

/// A head's turn. Positions are (column, −row, depth), all in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadPose {
    /// Turns the head's axes to the camera's.
    pub to_frontal: Rotation3<f64>,
    /// The point that stays: the middle of eyes and mouth.
    pub pivot: Vector3<f64>,
}

impl HeadPose {
    /// # Errors
    /// A landmark without depth about it, or landmarks in one line.
    pub fn of(landmarks: &Landmarks, depth: &DepthMap) -> Result<Self, PoseError> {
        let radius = disc_radius(landmarks);
        let at = |point: PixelPoint, name| {
            let z = depth_about(depth, point, radius).ok_or(PoseError::NoDepth(name))?;
            Ok(Vector3::new(point.column, -point.row, z))
        };
        let (left_eye, right_eye) =
            (at(landmarks.left_eye, "the left eye")?, at(landmarks.right_eye, "the right eye")?);
        let left_mouth = at(landmarks.left_mouth, "the mouth's left corner")?;
        let right_mouth = at(landmarks.right_mouth, "the mouth's right corner")?;

        let unit = |v: Vector3<f64>| v.try_normalize(1e-6).ok_or(PoseError::Degenerate);
        let x = unit(unit(right_eye - left_eye)? + unit(right_mouth - left_mouth)?)?;
        let up = (left_eye + right_eye) / 2.0 - (left_mouth + right_mouth) / 2.0;
        let y = unit(unit(up)? - x * x.dot(&unit(up)?))?;
        let axes = Matrix3::from_columns(&[x, y, x.cross(&y)]);
        let pivot = (left_eye + right_eye + left_mouth + right_mouth) / 4.0;
        Ok(Self { to_frontal: Rotation3::from_matrix_unchecked(axes.transpose()), pivot })
    }

    /// Where the face looks, in the camera frame.
    fn forward(&self) -> Vector3<f64> {
        self.to_frontal.inverse() * Vector3::z()
    }

    /// Degrees toward the picture's right.
    pub fn yaw_deg(&self) -> f64 {
        let forward = self.forward();
        forward.x.atan2(forward.z).to_degrees()
    }

    /// Degrees upward.
    pub fn pitch_deg(&self) -> f64 {
        self.forward().y.clamp(-1.0, 1.0).asin().to_degrees()
    }

    /// Degrees of the line through the eyes, clockwise as seen.
    pub fn roll_deg(&self) -> f64 {
        let right = self.to_frontal.inverse() * Vector3::x();
        (-right.y).atan2(right.x).to_degrees()
    }

    /// The pose of these yaw, pitch and roll, in degrees as told by the functions above, about the middle
    /// of eyes and mouth, as deep as those of them that have a depth: for other maps of a head whose pose
    /// is known. The yaw is less than 90° to either side.
    ///
    /// # Errors
    /// No depth at any of them.
    pub fn from_angles_deg(
        [yaw, pitch, roll]: [f64; 3],
        landmarks: &Landmarks,
        depth: &DepthMap,
    ) -> Result<Self, PoseError> {
        let Landmarks { left_eye, right_eye, left_mouth, right_mouth, .. } = *landmarks;
        let points = [left_eye, right_eye, left_mouth, right_mouth];
        let radius = disc_radius(landmarks);
        let depths: Vec<f64> =
            points.iter().filter_map(|point| depth_about(depth, *point, radius)).collect();
        if depths.is_empty() {
            return Err(PoseError::NoDepth("eyes and mouth"));
        }
        let middle = PixelPoint::mean(&points);
        let z = depths.iter().sum::<f64>() / depths.len() as f64;
        let pivot = Vector3::new(middle.column, -middle.row, z);
        let [(sin_yaw, cos_yaw), (sin_pitch, cos_pitch), (sin_roll, cos_roll)] =
            [yaw, pitch, roll].map(|angle| angle.to_radians().sin_cos());
        let z = Vector3::new(sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch);
        // Perpendicular to z, and seen under the roll.
        let x = Vector3::new(cos_roll * z.z, -sin_roll * z.z, sin_roll * z.y - cos_roll * z.x);
        let x = x.try_normalize(1e-6).ok_or(PoseError::Degenerate)?;
        let axes = Matrix3::from_columns(&[x, z.cross(&x), z]);
        Ok(Self { to_frontal: Rotation3::from_matrix_unchecked(axes.transpose()), pivot })
    }

    /// The same turn but for the pitch, of which depth from few lights knows least.
    pub fn without_pitch(&self) -> Self {
        let x = self.to_frontal.inverse() * Vector3::x();
        // Level, and perpendicular to x. A face that looks along the picture has no yaw that is known.
        let Some(z) = x.cross(&Vector3::y()).try_normalize(1e-6) else { return *self };
        let axes = Matrix3::from_columns(&[x, z.cross(&x), z]);
        Self { to_frontal: Rotation3::from_matrix_unchecked(axes.transpose()), ..*self }
    }

    /// Where a position goes.
    pub fn apply(&self, position: Vector3<f64>) -> Vector3<f64> {
        self.pivot + self.to_frontal * (position - self.pivot)
    }

    /// Where a point of the picture goes; `None` where there is no depth about it.
    pub fn apply_to_pixel(&self, point: PixelPoint, depth: &DepthMap) -> Option<PixelPoint> {
        let z = depth_about(depth, point, 1.0)?;
        let moved = self.apply(Vector3::new(point.column, -point.row, z));
        Some(PixelPoint::new(moved.x, -moved.y))
    }
}

fn disc_radius(landmarks: &Landmarks) -> f64 {
    let eyes = PixelPoint::mean(&[landmarks.left_eye, landmarks.right_eye]);
    let mouth = PixelPoint::mean(&[landmarks.left_mouth, landmarks.right_mouth]);
    (DISC_SHARE * eyes.distance_to(mouth)).max(1.0)
}

/// The median depth of a disc; `None` where nothing is defined in it.
fn depth_about(depth: &DepthMap, point: PixelPoint, radius: f64) -> Option<f64> {
    let range = |middle: f64, length: usize| {
        let first = (middle - radius).ceil().max(0.0) as usize;
        first..((middle + radius).floor() + 1.0).clamp(0.0, length as f64) as usize
    };
    let mut values = Vec::new();
    for row in range(point.row, depth.size.height) {
        for column in range(point.column, depth.size.width) {
            let place = PixelPoint::new(column as f64, row as f64);
            let z = *depth.at(row, column);
            if place.distance_to(point) <= radius && z.is_finite() {
                values.push(z);
            }
        }
    }
    median(&mut values).map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Plane, Size};

    #[test]
    fn without_its_pitch_a_turn_keeps_yaw_and_roll() {
        for (yaw, pitch, roll) in [(0.0, 14.0, 0.0), (25.0, -9.0, 0.0), (-30.0, 12.0, 8.0)] {
            let [yaw, pitch, roll] = [yaw, pitch, roll].map(f64::to_radians);
            let head = Rotation3::from_axis_angle(&Vector3::y_axis(), yaw)
                * Rotation3::from_axis_angle(&Vector3::x_axis(), -pitch)
                * Rotation3::from_axis_angle(&Vector3::z_axis(), -roll);
            let pose = HeadPose { to_frontal: head.inverse(), pivot: Vector3::zeros() };
            let level = pose.without_pitch();
            assert!(level.pitch_deg().abs() < 1e-9);
            assert!((level.roll_deg() - pose.roll_deg()).abs() < 1e-9);
            // What is left to turn of the head is in the plane of its own symmetry: x stays x.
            let left = level.to_frontal * head * Vector3::x();
            assert!((left - Vector3::x()).norm() < 1e-9);
        }
    }

    #[test]
    fn a_turn_is_had_again_from_its_angles() {
        let place = |x, y| PixelPoint::new(x, y);
        let landmarks = Landmarks::from_points([
            place(10.0, 10.0),
            place(30.0, 10.0),
            place(20.0, 20.0),
            place(12.0, 30.0),
            place(28.0, 30.0),
        ]);
        // Nothing is known of the left.
        let depth = Plane::from_fn(Size::new(40, 40), |_, c| if c < 20 { f32::NAN } else { 7.0 });
        assert!(HeadPose::of(&landmarks, &depth).is_err());
        for (x, y, z) in [(0.0, 0.0, 0.0), (0.2, -0.5, 0.1), (-0.4, 1.2, 0.6), (0.3, -1.0, -0.8)] {
            let to_frontal = Rotation3::from_euler_angles(x, y, z);
            let pose = HeadPose { to_frontal, pivot: Vector3::new(20.0, -20.0, 7.0) };
            let angles = [pose.yaw_deg(), pose.pitch_deg(), pose.roll_deg()];
            let again = HeadPose::from_angles_deg(angles, &landmarks, &depth).unwrap();
            let left = again.to_frontal.rotation_to(&pose.to_frontal).angle();
            assert!(left < 1e-7, "{left} of {x} {y} {z}");
            assert_eq!(again.pivot, pose.pivot);
        }
        let nothing = Plane::filled(depth.size, f32::NAN);
        assert!(HeadPose::from_angles_deg([0.0; 3], &landmarks, &nothing).is_err());
    }

    #[test]
    fn a_plane_face_turned_by_known_angles_is_found() {
        for (yaw, pitch, roll) in
            [(0.0, 0.0, 0.0), (30.0, 0.0, 0.0), (-20.0, 15.0, 10.0), (5.0, -25.0, -40.0)]
        {
            let (yaw, pitch, roll): (f64, f64, f64) = (yaw, pitch, roll);
            // Clockwise as seen is negative about z, upward negative about x.
            let turn = Rotation3::from_axis_angle(&Vector3::y_axis(), yaw.to_radians())
                * Rotation3::from_axis_angle(&Vector3::x_axis(), -pitch.to_radians())
                * Rotation3::from_axis_angle(&Vector3::z_axis(), -roll.to_radians());
            let middle = Vector3::new(120.0, -110.0, 3.0);
            let place = |x: f64, y: f64| middle + turn * Vector3::new(x, y, 0.0);
            let points = [(-31.0, 33.0), (31.0, 33.0), (0.0, 0.0), (-25.0, -33.0), (25.0, -33.0)]
                .map(|(x, y)| place(x, y));
            let landmarks = Landmarks::from_points(points.map(|p| PixelPoint::new(p.x, -p.y)));
            let normal = turn * Vector3::z();
            let depth = Plane::from_fn(Size::new(230, 250), |r, c| {
                let (x, y) = (c as f64 - middle.x, -(r as f64) - middle.y);
                (middle.z - (normal.x * x + normal.y * y) / normal.z) as f32
            });
            let pose = HeadPose::of(&landmarks, &depth).unwrap();
            // The median is that of pixels within 4 of the landmark.
            let near = |got: f64, want: f64| (got - want).abs() < 0.5;
            assert!(near(pose.yaw_deg(), yaw) && near(pose.pitch_deg(), pitch), "{pose:?}");
            assert!(pitch != 0.0 || near(pose.roll_deg(), roll), "{}", pose.roll_deg());
            // Frontal, the eyes are level and as far apart as on the face.
            let eyes = [landmarks.left_eye, landmarks.right_eye]
                .map(|eye| pose.apply_to_pixel(eye, &depth).unwrap());
            assert!((eyes[0].row - eyes[1].row).abs() < 0.7, "{eyes:?}");
            assert!((eyes[1].column - eyes[0].column - 62.0).abs() < 0.7, "{eyes:?}");
        }
    }

    #[test]
    fn without_depth_or_spread_there_is_no_pose() {
        let five = super::super::similarity::template(112, 0.0);
        let mut depth = Plane::filled(Size::new(112, 112), 0.0f32);
        let frontal = HeadPose::of(&five, &depth).unwrap();
        assert!(frontal.yaw_deg().abs() < 1e-9 && frontal.pitch_deg().abs() < 1e-9);
        for row in 80..112 {
            depth.data[row * 112..][..56].fill(f32::NAN);
        }
        assert_eq!(HeadPose::of(&five, &depth), Err(PoseError::NoDepth("the mouth's left corner")));
        let line = five.map(|p| PixelPoint::new(p.column, 20.0));
        assert_eq!(HeadPose::of(&line, &depth), Err(PoseError::Degenerate));
    }
}
