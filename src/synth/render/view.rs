//! Where the head stands and what the camera makes of it.

use crate::geometry::Camera;
use crate::maps::Size;
use crate::synth::exact_math::{
    Vector, add, along, dot, length, normalise, scale, sin_cos_deg, sub,
};

/// Place of the head before the camera: `x_camera = R x_head + t`.
///
/// Camera frame: x right in the image, y up, z to the viewer. Under a pinhole camera the origin is
/// the pinhole, so a head stands at negative z.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HeadPose {
    /// Rows of R.
    pub rotation: [[f32; 3]; 3],
    pub translation_mm: [f32; 3],
}

impl HeadPose {
    /// Looking straight at the camera, its origin at the camera frame's.
    pub const FRONTAL: Self = Self {
        rotation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        translation_mm: [0.0; 3],
    };

    /// From angles in degrees: `R = R_yaw R_pitch R_roll`, each zero for a frontal face.
    ///
    /// Positive yaw turns the face toward the right of the image, positive pitch looks up,
    /// positive roll turns the head counter-clockwise as the camera sees it.
    pub fn from_angles_deg(yaw: f32, pitch: f32, roll: f32, translation_mm: [f32; 3]) -> Self {
        let turn = |angle: f32| {
            let (sin, cos) = sin_cos_deg(f64::from(angle));
            (sin as f32, cos as f32)
        };
        let ((sy, cy), (sp, cp), (sr, cr)) = (turn(yaw), turn(pitch), turn(roll));
        // The head's axes after roll, then pitch, then yaw.
        let turned = |[x, y, z]: Vector| {
            let [x, y] = [cr * x - sr * y, sr * x + cr * y];
            let [y, z] = [cp * y + sp * z, cp * z - sp * y];
            [cy * x + sy * z, y, cy * z - sy * x]
        };
        let [x, y, z] = [turned([1.0, 0.0, 0.0]), turned([0.0, 1.0, 0.0]), turned([0.0, 0.0, 1.0])];
        Self { rotation: [0, 1, 2].map(|row| [x[row], y[row], z[row]]), translation_mm }
    }

    /// A direction of the head frame in the camera frame.
    pub fn turn(&self, direction: Vector) -> Vector {
        self.rotation.map(|row| dot(row, direction))
    }

    /// A direction of the camera frame in the head frame.
    pub fn turn_back(&self, direction: Vector) -> Vector {
        let [x, y, z] = direction;
        add(along(scale(self.rotation[0], x), y, self.rotation[1]), scale(self.rotation[2], z))
    }

    /// A point of the head frame in the camera frame.
    pub fn place(&self, point: Vector) -> Vector {
        add(self.turn(point), self.translation_mm)
    }

    /// A point of the camera frame in the head frame.
    pub fn place_back(&self, point: Vector) -> Vector {
        self.turn_back(sub(point, self.translation_mm))
    }
}

/// How points of the camera frame become pixels. The centre of the upper left pixel is (0, 0).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum View {
    /// Parallel rays: column `= c_x + x / s`, row `= c_y − y / s`.
    Orthographic { mm_per_px: f64, centre_px: [f64; 2] },
    /// A pinhole at the origin that looks along −z.
    Perspective(Camera),
}

impl View {
    /// Column and row of a point of the camera frame; NaN behind a pinhole.
    pub fn project(&self, [x, y, z]: Vector) -> [f64; 2] {
        let [x, y, z] = [x, y, z].map(f64::from);
        match self {
            View::Orthographic { mm_per_px, centre_px } => {
                [centre_px[0] + x / mm_per_px, centre_px[1] - y / mm_per_px]
            }
            View::Perspective(camera) => {
                let depth = if z < 0.0 { -z } else { f64::NAN };
                [
                    camera.centre_px[0] + camera.focal_px[0] * x / depth,
                    camera.centre_px[1] - camera.focal_px[1] * y / depth,
                ]
            }
        }
    }
}

/// Rays of one frame in the head frame. Read by the kernel as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct RayParams {
    /// The camera's axes in the head frame.
    pub right: [f32; 3],
    pub perspective: u32,
    pub up: [f32; 3],
    /// mm before the eye in which there is nothing.
    pub skip: f32,
    pub toward: [f32; 3],
    /// z of the head's origin in the camera frame, mm.
    pub origin_z: f32,
    /// Where rays begin: the pinhole, or a point of the plane in front of everything.
    pub eye: [f32; 3],
    /// Rays end here, mm.
    pub reach: f32,
    /// mm, or tangents under a pinhole, a pixel: columns, rows.
    pub step: [f32; 2],
    pub centre: [f32; 2],
}

impl RayParams {
    pub fn new(view: &View, pose: &HeadPose, (centre, radius): (Vector, f32)) -> Self {
        let [right, up, toward] = pose.rotation;
        let middle = pose.place(centre);
        // A little more, so that rounding hides nothing.
        let radius = 1.01 * radius + 1.0;
        let (perspective, eye, skip, reach, step, px) = match view {
            View::Orthographic { mm_per_px, centre_px } => {
                let eye = pose.place_back([0.0, 0.0, middle[2] + radius]);
                (0, eye, 0.0, 2.0 * radius, [*mm_per_px as f32; 2], *centre_px)
            }
            View::Perspective(camera) => {
                let distance = length(middle);
                let skip = (distance - radius).max(0.0);
                let step = camera.focal_px.map(|f| (1.0 / f) as f32);
                (
                    1,
                    pose.place_back([0.0; 3]),
                    skip,
                    distance + radius - skip,
                    step,
                    camera.centre_px,
                )
            }
        };
        Self {
            right,
            perspective,
            up,
            skip,
            toward,
            origin_z: pose.translation_mm[2],
            eye,
            reach,
            step,
            centre: px.map(|c| c as f32),
        }
    }

    /// Origin and unit direction through a place of the image.
    #[inline(always)]
    pub fn ray(&self, column: f32, row: f32) -> (Vector, Vector) {
        let x = (column - self.centre[0]) * self.step[0];
        let y = (self.centre[1] - row) * self.step[1];
        let beside = along(scale(self.right, x), y, self.up);
        if self.perspective == 0 {
            (add(self.eye, beside), scale(self.toward, -1.0))
        } else {
            let direction = normalise(sub(beside, self.toward));
            (along(self.eye, self.skip, direction), direction)
        }
    }

    /// z of a point of the head frame in the camera frame.
    pub fn depth_mm(&self, point: Vector) -> f32 {
        dot(self.toward, point) + self.origin_z
    }
}

/// A camera looking at the middle of the image from far away, for pictures of a whole head.
impl View {
    /// Parallel rays whose image is so many mm high, the camera frame's origin in its middle.
    pub fn orthographic(size: Size, height_mm: f64) -> Self {
        Self::Orthographic { mm_per_px: height_mm / size.height as f64, centre_px: middle(size) }
    }

    /// A pinhole camera with square pixels that sees so many mm of height at a distance.
    pub fn perspective(size: Size, height_mm: f64, distance_mm: f64) -> Self {
        let focal = size.height as f64 * distance_mm / height_mm;
        Self::Perspective(Camera { focal_px: [focal; 2], centre_px: middle(size) })
    }
}

fn middle(size: Size) -> [f64; 2] {
    [0.5 * (size.width as f64 - 1.0), 0.5 * (size.height as f64 - 1.0)]
}
