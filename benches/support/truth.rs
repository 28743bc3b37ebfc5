//! What is true of a synthetic session.

use lumiface::face::{Landmarks, PixelPoint};
use lumiface::io::read_text;
use serde::Deserialize;
use std::path::Path;

pub struct Truth {
    /// Degrees by which the head is turned: yaw to the picture's right, pitch up, roll counter-clockwise.
    pub yaw_pitch_roll_deg: [f64; 3],
    pub landmarks: Landmarks,
}

impl Truth {
    /// Of a session's folder; `None` where there is none, or no face (an attack).
    pub fn of_session(session: &Path) -> Option<Self> {
        #[derive(Deserialize)]
        struct Scene {
            yaw_pitch_roll_deg: [f64; 3],
            attack: Option<serde_json::Value>,
        }
        let folder = session.join("truth");
        if !folder.is_dir() {
            return None;
        }
        let text = |name: &str| read_text(&folder.join(name)).expect("truth of the studio");
        let scene: Scene = serde_json::from_str(&text("scene.json")).expect("a scene");
        if scene.attack.is_some() {
            return None;
        }
        let points: Vec<PixelPoint> =
            serde_json::from_str(&text("landmarks.json")).expect("landmarks of a scene");
        let points: [PixelPoint; 68] = points.try_into().expect("68 landmarks");
        let landmarks = Landmarks::from_ibug(&points);
        Some(Self { yaw_pitch_roll_deg: scene.yaw_pitch_roll_deg, landmarks })
    }

    pub fn yaw_deg(&self) -> f64 {
        self.yaw_pitch_roll_deg[0]
    }

    /// The direction of the axis through the eyes, to the picture's right: the head is turned by roll,
    /// then pitch, then yaw. To the right, up, toward the camera.
    pub fn eye_axis(&self) -> [f64; 3] {
        let [(sin_yaw, cos_yaw), (sin_pitch, cos_pitch), (sin_roll, cos_roll)] =
            self.yaw_pitch_roll_deg.map(|angle| angle.to_radians().sin_cos());
        // Pitch up takes what points up away from the camera.
        let (x, y, z) = (cos_roll, sin_roll * cos_pitch, -sin_roll * sin_pitch);
        [x * cos_yaw + z * sin_yaw, y, z * cos_yaw - x * sin_yaw]
    }

    /// The distance between the eyes as a frontal view of the head would show it, pixels: the true one
    /// of the picture, divided by what is left of the axis through them as the head is turned (perspective
    /// within the face is left out).
    pub fn eyes_px(&self) -> f64 {
        let [.., away] = self.eye_axis();
        let Landmarks { left_eye, right_eye, .. } = self.landmarks;
        left_eye.distance_to(right_eye) / (1.0 - away * away).sqrt()
    }
}
