//! What lies beside a capture's maps: how they were made, and the fingerprint of all that they depend on.

use super::faces::{FaceRecord, KnownFace};
use super::path_within;
use crate::capture::Capture;
use crate::dataset::{ManifestRow, files};
use crate::io::{IoError, StagedFolder, write_json};
use crate::reconstruct::Reconstruction;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const RECORD_FILE: &str = "capture.json";

/// Whether a file of this name is one of a capture's maps, or of what lies beside them.
pub fn is_of_capture(name: &str) -> bool {
    [RECORD_FILE, files::ALBEDO_RGB, files::QUALITY, files::FACE].contains(&name)
        || files::is_lit(name)
        || files::ALL.contains(&name)
}

#[derive(Serialize, Deserialize)]
pub struct Record {
    fingerprint: String,
    pub row: ManifestRow,
    /// The face in `face.json`, if there is one.
    #[serde(skip)]
    face: Option<FaceRecord>,
    how: How,
    /// Unusable images that were left out: told again on every run until they are mended.
    pub problems: Vec<String>,
    /// Size in bytes of each file, to notice one that was cut or removed.
    files: Vec<(String, u64)>,
}

/// How a capture was solved, for its owner to read.
#[derive(Serialize, Deserialize)]
pub struct How {
    /// Why `auto` took the solver.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// Light under all frames that was taken off, as a share of full scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<f32>,
    /// Motion of each image that was undone, by its path within the data set: pixels to the right,
    /// pixels down.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift_px: Option<BTreeMap<PathBuf, [f64; 2]>>,
    /// Distance of the lamps that was undone, widths of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    lamp_distance: Option<f32>,
}

impl How {
    pub fn of(maps: &Reconstruction, capture: &Capture, root: &Path) -> Self {
        let moved = maps.registration.as_ref().filter(|r| !r.is_still());
        let names = capture.files.iter().map(|path| path_within(root, path).to_path_buf());
        Self {
            because: maps.because.clone(),
            offset: maps.offset.map(|offset| offset.level),
            drift_px: moved.map(|r| names.zip(r.motions.iter().copied()).collect()),
            lamp_distance: maps.lamp_distance,
        }
    }
}

impl Record {
    /// Writes the record and puts the folder in its place.
    pub fn finish(
        staged: StagedFolder,
        fingerprint: String,
        row: ManifestRow,
        face: Option<FaceRecord>,
        how: How,
        dropped: &[String],
    ) -> Result<Self, IoError> {
        let sizes = staged.file_sizes()?;
        let problems =
            dropped.iter().map(|reason| format!("{}: left out {reason}", row.name())).collect();
        let record = Self { fingerprint, row, face, how, problems, files: sizes };
        write_json(&staged.path(RECORD_FILE), &record)?;
        staged.keep_others(is_of_capture)?;
        staged.commit()?;
        Ok(record)
    }

    /// The record of a capture that is done and unchanged.
    pub fn of_finished(folder: &Path, fingerprint: &str) -> Option<Self> {
        let bytes = std::fs::read(folder.join(RECORD_FILE)).ok()?;
        let mut record: Self = serde_json::from_slice(&bytes).ok()?;
        if record.row.face == Some(true) {
            let face = std::fs::read(folder.join(files::FACE)).ok()?;
            record.face = Some(serde_json::from_slice(&face).ok()?);
        }
        let whole = record.files.iter().all(|(file, bytes)| {
            folder.join(file).metadata().is_ok_and(|metadata| metadata.len() == *bytes)
        });
        (record.fingerprint == fingerprint && whole).then_some(record)
    }

    /// The face that was found in the capture, for sessions made of some of its images; `None` where none
    /// was looked for.
    pub fn known_face(&self) -> Option<KnownFace> {
        self.row.face?;
        let motions = self.how.drift_px.clone().unwrap_or_default();
        let fingerprint = self.fingerprint.clone();
        Some(KnownFace { found: self.face.clone(), motions, fingerprint })
    }
}
