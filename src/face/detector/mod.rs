//! Finds faces and five landmarks of each: MTCNN (Zhang, Zhang, Li and Qiao 2016, "Joint face
//! detection and alignment using multitask cascaded convolutional networks").
//!
//! ```text
//! picture → levels of a pyramid → P-net: windows that may show a face, every second pixel
//!         → R-net on those that are left of overlapping ones: fewer, moved into place
//!         → O-net: faces, moved again, and their landmarks
//! ```
//!
//! Positions are those of [`crate::face::landmarks`]: the centre of the first pixel is (0, 0). The
//! published networks count pixels from 1, and facenet-pytorch gives their results as they come: its
//! landmarks are larger by 1, its boxes are `left + 1.5, top + 1.5, right + 0.5, bottom + 0.5`. (A picture
//! and its mirror image show that: a landmark and its mirrored twin are 1.04 ± 0.07 pixels too far to the
//! right on average, over 492 rendered faces, as these become small.)
//!
//! On the CPU the networks run on kernels of their own; on any other device, as burn modules.

mod cascade;
mod cpu;
mod engine;
mod kernels;
mod nets;
mod pyramid;
mod weights;

pub use cpu::{CpuNets, Scratch};
pub use kernels::Features;
pub use nets::{BurnNets, Net, ONet, PNet, RNet};
pub use weights::{WeightSet, WeightsError, WeightsRecord, import_weights, weights_folder};

use crate::face::landmarks::{Detection, FaceBox, Landmarks, PixelPoint};
use crate::face::view::{Turn, View};
use crate::io::Picture;
use burn::tensor::Device;
use cascade::Face;
use engine::Engine;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What counts as a face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorOptions {
    /// Side of the smallest face in pixels; twice as large takes a quarter of the time.
    pub smallest_face: u32,
    /// Probability from which on each of the three networks goes on with a window.
    pub thresholds: [f32; 3],
    /// From one level of the pyramid to the next.
    pub factor: f64,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self { smallest_face: 20, thresholds: [0.6, 0.7, 0.7], factor: 0.709 }
    }
}

impl DetectorOptions {
    /// # Errors
    /// A value that finds nothing or never ends, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.smallest_face < pyramid::WINDOW as u32 {
            let least = pyramid::WINDOW;
            return Err(format!("smallest_face = {}: use {least} or more", self.smallest_face));
        }
        if let Some(bad) = self.thresholds.iter().find(|t| !(0.0..1.0).contains(*t)) {
            return Err(format!("thresholds: {bad} is no probability; use 0 to less than 1"));
        }
        if !(0.1..=0.95).contains(&self.factor) {
            return Err(format!("factor = {}: use 0.1 to 0.95", self.factor));
        }
        Ok(())
    }
}

/// The three networks, ready to run.
pub struct Detector {
    engine: Engine,
    options: DetectorOptions,
    weights_sha256: String,
}

impl Detector {
    /// With weights that [`import_weights`] wrote to a folder.
    ///
    /// # Errors
    /// Weights that are missing or damaged.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, WeightsError> {
        let (weights, record) = WeightSet::read_recorded(folder)?;
        Ok(Self::with_engine(Engine::new(&weights, device), record))
    }

    /// The same with burn modules on the CPU too: slower, and what tests hold the kernels against.
    ///
    /// # Errors
    /// Weights that are missing or damaged.
    pub fn load_modules(folder: &Path, device: &Device) -> Result<Self, WeightsError> {
        let (weights, record) = WeightSet::read_recorded(folder)?;
        let modules = BurnNets::load(&weights, device);
        Ok(Self::with_engine(Engine::Device(Box::new(modules)), record))
    }

    fn with_engine(engine: Engine, record: WeightsRecord) -> Self {
        let options = DetectorOptions::default();
        Self { engine, options, weights_sha256: record.weights_sha256 }
    }

    /// # Errors
    /// See [`DetectorOptions::check`].
    pub fn with_options(self, options: DetectorOptions) -> Result<Self, String> {
        options.check()?;
        Ok(Self { options, ..self })
    }

    /// Faces in a picture, the largest first; none where a side is shorter than the smallest face.
    pub fn detect(&self, picture: &Picture) -> Vec<Detection> {
        self.detect_with(picture, &self.options)
    }

    /// [`Detector::detect`] by other options, which [`DetectorOptions::check`] must pass.
    pub fn detect_with(&self, picture: &Picture, options: &DetectorOptions) -> Vec<Detection> {
        self.detect_at(picture, Turn::None, options)
    }

    /// SHA-256 of the weights.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// [`Detector::detect`] and, where nothing is found, again with the picture turned by quarters: of
    /// the three turns the one with the surest face. The faces are in the picture as it is; the turn
    /// says how it has to be turned for them to stand upright.
    pub fn detect_turned(&self, picture: &Picture) -> (Turn, Vec<Detection>) {
        self.detect_turned_with(picture, &self.options)
    }

    /// [`Detector::detect_turned`] by other options, which [`DetectorOptions::check`] must pass.
    pub fn detect_turned_with(
        &self,
        picture: &Picture,
        options: &DetectorOptions,
    ) -> (Turn, Vec<Detection>) {
        let upright = self.detect_with(picture, options);
        if !upright.is_empty() {
            return (Turn::None, upright);
        }
        let surest = |found: &[Detection]| found.iter().map(|face| face.score).fold(0.0, f64::max);
        [Turn::Right, Turn::Half, Turn::Left]
            .into_iter()
            .map(|turn| (turn, self.detect_at(picture, turn, options)))
            .filter(|(_, found)| !found.is_empty())
            .max_by(|(_, a), (_, b)| surest(a).total_cmp(&surest(b)))
            .unwrap_or_default()
    }

    fn detect_at(
        &self,
        picture: &Picture,
        turn: Turn,
        options: &DetectorOptions,
    ) -> Vec<Detection> {
        let view = View::new(picture, turn);
        cascade::find(&self.engine, view, options)
            .into_iter()
            .map(|face| detection(&face, |point| turn.back(point, picture.size)))
            .collect()
    }
}

/// From pixels counted from 1 to positions, and from the turned picture to the picture.
fn detection(face: &Face, back: impl Fn(PixelPoint) -> PixelPoint) -> Detection {
    let [left, top, right, bottom] = face.edges.map(f64::from);
    // The first and the last pixel belong to the box whole.
    let a = back(PixelPoint::new(left - 1.5, top - 1.5));
    let b = back(PixelPoint::new(right - 0.5, bottom - 0.5));
    let bounds = FaceBox {
        left: a.column.min(b.column),
        top: a.row.min(b.row),
        right: a.column.max(b.column),
        bottom: a.row.max(b.row),
    };
    let landmarks = face.landmarks.map(|place| {
        let [x, y] = place.map(f64::from);
        back(PixelPoint::new(x - 1.0, y - 1.0))
    });
    let landmarks = Landmarks::from_points(landmarks);
    Detection { bounds, score: f64::from(face.score), landmarks }
}
