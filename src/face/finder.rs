//! Which detector looks for faces, and what all of them do.

use super::detector::{Detector, DetectorOptions, WeightsError};
use super::landmarks::Detection;
use super::view::Turn;
use super::yunet::{YuNet, YuNetError, YuNetOptions};
use crate::config::{name_of, parse_name};
use crate::io::Picture;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A detector of faces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorKind {
    #[default]
    Mtcnn,
    Yunet,
}

const DETECTORS: [(&str, DetectorKind); 2] =
    [("mtcnn", DetectorKind::Mtcnn), ("yunet", DetectorKind::Yunet)];

impl DetectorKind {
    pub fn name(self) -> &'static str {
        name_of(self, &DETECTORS)
    }

    /// The detector with the weights of a folder. YuNet runs on the CPU whatever the device.
    ///
    /// # Errors
    /// Weights that are missing or damaged.
    pub fn load(
        self,
        folder: &Path,
        device: &Device,
    ) -> Result<Box<dyn FaceFinder>, DetectorError> {
        Ok(match self {
            Self::Mtcnn => Box::new(Detector::load(folder, device)?),
            Self::Yunet => Box::new(YuNet::load(folder)?),
        })
    }
}

impl std::str::FromStr for DetectorKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        parse_name("detector", name, &DETECTORS)
    }
}

/// Why a detector is not ready.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    #[error(transparent)]
    Mtcnn(#[from] WeightsError),
    #[error(transparent)]
    YuNet(#[from] YuNetError),
}

/// What finds faces of so many pixels and more.
pub trait FaceFinder: Send + Sync {
    /// Upright faces, the largest first.
    fn faces(&self, picture: &Picture, smallest_face: u32) -> Vec<Detection>;

    /// Faces however the picture lies, and how it has to be turned for them to stand upright.
    fn faces_turned(&self, picture: &Picture, smallest_face: u32) -> (Turn, Vec<Detection>);

    /// SHA-256 of the weights.
    fn weights_sha256(&self) -> &str;
}

impl FaceFinder for Detector {
    fn faces(&self, picture: &Picture, smallest_face: u32) -> Vec<Detection> {
        self.detect_with(picture, &DetectorOptions { smallest_face, ..Default::default() })
    }

    fn faces_turned(&self, picture: &Picture, smallest_face: u32) -> (Turn, Vec<Detection>) {
        self.detect_turned_with(picture, &DetectorOptions { smallest_face, ..Default::default() })
    }

    fn weights_sha256(&self) -> &str {
        self.weights_sha256()
    }
}

impl FaceFinder for YuNet {
    fn faces(&self, picture: &Picture, smallest_face: u32) -> Vec<Detection> {
        self.detect(picture, &YuNetOptions { smallest_face, ..Default::default() })
    }

    fn faces_turned(&self, picture: &Picture, smallest_face: u32) -> (Turn, Vec<Detection>) {
        self.detect_turned(picture, &YuNetOptions { smallest_face, ..Default::default() })
    }

    fn weights_sha256(&self) -> &str {
        self.weights_sha256()
    }
}
