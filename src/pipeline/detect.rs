//! `detect`: faces in any pictures.

use super::train::learning_device;
use super::{Event, EventSink};
use crate::face::{
    Detection, DetectorError, DetectorKind, DetectorOptions, Turn, WeightsError, weights_folder,
};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{IoError, read_text, read_upright, write_json};
use crate::report::drawn_faces;
use burn::tensor::Device;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct DetectOptions {
    pub images: Vec<PathBuf>,
    /// Folder for drawn pictures and `faces.json`.
    pub out: PathBuf,
    pub detector: DetectorKind,
    /// Side of the smallest face, pixels.
    pub smallest_face: u32,
    /// What MTCNN looks on; YuNet looks on the CPU.
    pub device: DeviceRequest,
}

/// The faces of one picture.
#[derive(Clone, Debug, Serialize)]
pub struct PictureFaces {
    #[serde(serialize_with = "as_text")]
    pub image: PathBuf,
    /// The picture with its faces drawn in.
    #[serde(serialize_with = "as_text")]
    pub drawn: PathBuf,
    /// Of the picture as it stands upright by its EXIF, pixels.
    pub width: usize,
    pub height: usize,
    /// How the picture has to be turned further for its faces to be upright: none, right, half, left.
    pub turn: Turn,
    /// The largest first; positions in the picture as it stands upright by its EXIF, the centre of its
    /// first pixel at (0, 0).
    pub faces: Vec<Detection>,
}

#[derive(Clone, Debug, Default)]
pub struct DetectSummary {
    pub pictures: Vec<PictureFaces>,
    /// Pictures that could not be read, one line each.
    pub problems: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Detector(#[from] DetectorError),
    #[error("{0}")]
    Options(String),
}

/// A path that is no Unicode is told as far as it can be.
fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// What an earlier run drew there.
///
/// # Errors
/// A `faces.json` of somebody else's.
fn drawn_before(json: &Path) -> Result<BTreeSet<PathBuf>, IoError> {
    if !json.exists() {
        return Ok(BTreeSet::new());
    }
    #[derive(serde::Deserialize)]
    struct Drawn {
        drawn: PathBuf,
    }
    let earlier: Vec<Drawn> = serde_json::from_str(&read_text(json)?)
        .map_err(|_| IoError::unsuitable(json, "is no list of faces; choose another --out"))?;
    Ok(earlier.into_iter().map(|picture| picture.drawn).collect())
}

/// Finds the faces of each picture and draws them; a picture that cannot be read does not stop the
/// others.
///
/// # Errors
/// Weights that are missing, options out of range, a folder that cannot be written to.
pub fn detect(options: &DetectOptions, emit: EventSink<'_>) -> Result<DetectSummary, DetectError> {
    let weights = weights_folder()?;
    let device = match (options.detector, &options.device) {
        (DetectorKind::Yunet, _) | (_, DeviceRequest::Cpu) => Device::flex(),
        (DetectorKind::Mtcnn, request) => learning_device(request, emit)?.0,
    };
    let wanted = DetectorOptions { smallest_face: options.smallest_face, ..Default::default() };
    wanted.check().map_err(DetectError::Options)?;
    let detector = options.detector.load(&weights, &device)?;
    let json = options.out.join("faces.json");
    let ours = drawn_before(&json)?;
    emit(Event::CapturesFound { total: options.images.len() });
    let mut summary = DetectSummary::default();
    let mut names = BTreeSet::new();
    // One after the other: the detector itself is on all cores, and pictures may be large.
    for image in &options.images {
        match read_upright(image) {
            Err(error) => summary.problems.push(error.to_string()),
            Ok(picture) => {
                let (turn, faces) = detector.faces_turned(&picture, options.smallest_face);
                let stem = image.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                // Neither over a picture of this run nor over one that we did not draw.
                let mut drawn = options.out.join(format!("{stem}.faces.png"));
                let mut number = 2;
                while !names.insert(drawn.clone()) || (drawn.exists() && !ours.contains(&drawn)) {
                    drawn = options.out.join(format!("{stem}-{number}.faces.png"));
                    number += 1;
                }
                drawn_faces(&picture, &faces).write(&drawn)?;
                let (width, height) = (picture.size.width, picture.size.height);
                let image = image.clone();
                summary.pictures.push(PictureFaces { image, drawn, width, height, turn, faces });
            }
        }
        emit(Event::CaptureFinished { name: image.display().to_string() });
    }
    write_json(&json, &summary.pictures)?;
    Ok(summary)
}
