//! What lies beside a capture's maps: how they were made, and a fingerprint of all that they depend on.

use super::PreprocessOptions;
use super::faces::{FaceRecord, FaceWork, KnownFace};
use crate::capture::{Capture, CaptureSource};
use crate::dataset::{ManifestRow, files};
use crate::io::{IoError, StagedFolder, write_json};
use crate::reconstruct::Reconstruction;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Raised whenever the same input gives other maps, so that old ones are made anew.
const MAPS_VERSION: u32 = 3;
pub const RECORD_FILE: &str = "capture.json";

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
        let names = capture.files.iter().map(|path| within(root, path).to_path_buf());
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
        staged.keep_others(|name| {
            name == RECORD_FILE
                || [files::ALBEDO_RGB, files::QUALITY, files::FACE].contains(&name)
                || files::is_lit(name)
                || files::ALL.contains(&name)
        })?;
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

/// A path as it stays when the data set moves.
pub fn within<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// A hash of what the maps and the manifest row depend on. Images count by path, size and time
/// of change, as for `make`: reading every pixel again would cost as much as solving.
pub fn fingerprint(
    source: &CaptureSource,
    options: &PreprocessOptions,
    faces: Option<&FaceWork>,
    known: Option<&KnownFace>,
) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: String| {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    let source_state = (source.name(), &source.labels, source.training_only, &source.warnings);
    let made_by = (MAPS_VERSION, &options.reconstruct, options.compression);
    add(format!("{made_by:?} {source_state:?} {:?}", source.lights));
    if let Some(faces) = faces {
        add(faces.fingerprint());
    }
    if let Some(known) = known {
        add(known.fingerprint.clone());
    }
    let rig = &source.rig;
    let rig_state = (&rig.camera, &rig.near, &rig.colour_intensities, rig.transfer);
    add(format!("{rig_state:?}"));
    for path in source.images.iter().chain(&rig.ambient).chain(&rig.mask) {
        let state = path.metadata().ok().map(|m| (m.len(), m.modified().ok()));
        add(format!("{} {state:?}", within(&options.root, path).display()));
    }
    format!("{:x}", hash.finalize())
}
