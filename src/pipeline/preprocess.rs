//! `preprocess`: captures of a data set → maps on disk and a manifest.
//!
//! Each capture's folder is written whole or not at all and ends with `capture.json`, which holds
//! a fingerprint of everything the maps depend on. A capture whose fingerprint stands is skipped,
//! so a killed run goes on where it stopped and ends the same.

use super::faces::{FaceOptions, FaceRecord, FaceWork, Faced, KnownFace};
use super::map_settings::MapSettings;
use super::record::{How, RECORD_FILE, Record};
use super::{Event, EventSink, open_compute, path_within};
use crate::capture::{Capture, CaptureError, CaptureSource, Layout, LayoutOptions, find_captures};
use crate::dataset::{Manifest, ManifestRow, files};
use crate::face::{AlignError, DetectorError, Similarity, WeightsError};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{
    FolderLock, IoError, MapCompression, StagedFolder, remove_file, write_atomically, write_grey,
    write_json, write_mask, write_normals, write_plane, write_rgb,
};
use crate::quality::{CaptureQuality, QualityInput, assess};
use crate::reconstruct::{
    Compute, ReconstructError, ReconstructOptions, Reconstruction, reconstruct,
};
use crate::report::preview;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Raised whenever the same input gives other maps, so that old ones are made anew.
const MAPS_VERSION: u32 = 3;
const PROBLEMS_FILE: &str = "problems.txt";

#[derive(Clone, Debug)]
pub struct PreprocessOptions {
    /// Root of the data set.
    pub root: PathBuf,
    pub layout: Layout,
    pub layout_options: LayoutOptions,
    pub reconstruct: ReconstructOptions,
    pub compression: MapCompression,
    /// Further sessions of each capture from random subsets of its lights, for training only.
    pub relit: usize,
    pub faces: FaceOptions,
    /// Folder for maps and manifest.
    pub out: PathBuf,
    pub device: DeviceRequest,
    /// Make every capture anew.
    pub force: bool,
}

impl PreprocessOptions {
    /// For captures that lie as Photoface's do, with defaults for all else.
    pub fn of_photoface(root: PathBuf, out: &Path, device: &DeviceRequest) -> Self {
        Self {
            root,
            layout: Layout::Photoface,
            layout_options: LayoutOptions::default(),
            reconstruct: ReconstructOptions::default(),
            compression: MapCompression::None,
            relit: 0,
            faces: FaceOptions::default(),
            out: out.to_path_buf(),
            device: device.clone(),
            force: false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct PreprocessSummary {
    /// Captures made in this run.
    pub made: usize,
    /// Captures that were there and unchanged.
    pub skipped: usize,
    /// Captures whose row in the manifest has warnings.
    pub with_warnings: usize,
    /// Captures in which no face was found: they are listed, and left out of everything after.
    pub without_face: usize,
    /// Captures that the manifest listed before and does not list now: their maps stay where they
    /// are.
    pub unlisted: usize,
    /// Everything that was wrong, one line each.
    pub problems: Vec<String>,
    /// Where all problems are written, if there are any.
    pub problem_list: Option<PathBuf>,
    pub manifest: PathBuf,
}

/// Why a whole run could not start.
#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Detector(#[from] DetectorError),
    #[error(transparent)]
    Align(#[from] AlignError),
}

#[derive(Debug, thiserror::Error)]
enum OneError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("{folder}: {source}", folder = .folder.display())]
    Reconstruct { folder: PathBuf, source: ReconstructError },
    #[error(transparent)]
    Io(#[from] IoError),
}

enum Outcome {
    Made(Record),
    Skipped(Record),
    Failed(String),
}

impl Outcome {
    fn record(&self) -> Option<&Record> {
        match self {
            Self::Made(record) | Self::Skipped(record) => Some(record),
            Self::Failed(_) => None,
        }
    }
}

/// Makes the maps of every capture and the manifest.
///
/// # Errors
/// Only what stops the whole run; what is wrong with one capture is a line of
/// [`PreprocessSummary::problems`].
pub fn preprocess(
    options: &PreprocessOptions,
    emit: EventSink<'_>,
) -> Result<PreprocessSummary, PreprocessError> {
    let options = &PreprocessOptions { faces: options.faces.in_effect(), ..options.clone() };
    let inventory = find_captures(options.layout, &options.root, &options.layout_options)?;
    if let Some(detected) = &inventory.detected {
        emit(Event::LayoutDetected { reason: detected.reason.clone() });
    }
    let faces = match options.faces.look_for_faces() {
        true => Some(FaceWork::new(options.faces)?),
        false => None,
    };
    let compute = open_compute(&options.device, emit)?;
    let _lock = FolderLock::acquire(&options.out)?;
    check_manifest_is_ours(&options.out)?;
    let listed = listed(&options.out);
    let settings = MapSettings { faces: options.faces };
    if !MapSettings::of(std::slice::from_ref(&options.out)).is_ok_and(|made| made == settings) {
        // Stopped on the way, the folder would hold maps of both kinds, and say that all are of one.
        remove_file(&options.out.join(crate::dataset::MANIFEST_FILE))?;
    }
    settings.keep(&options.out)?;
    let relit: Vec<Vec<CaptureSource>> =
        inventory.captures.iter().map(|source| source.relit(options.relit)).collect();
    let total = inventory.captures.len() + relit.iter().map(Vec::len).sum::<usize>();
    emit(Event::CapturesFound { total });

    let work = |source: &CaptureSource, known: Option<&KnownFace>| {
        let outcome = process(source, options, faces.as_ref(), known, &compute)
            .unwrap_or_else(|error| Outcome::Failed(format!("{}: {error}", source.name())));
        emit(Event::CaptureFinished { name: source.name() });
        outcome
    };
    let (captures, relit): (Vec<Outcome>, Vec<Vec<Outcome>>) = inventory
        .captures
        .par_iter()
        .zip(&relit)
        .map(|(source, relit)| {
            let own = work(source, None);
            // All images of a capture show one face, whichever of them a session is made of.
            let known = own.record().and_then(Record::known_face);
            let relit = relit.par_iter().map(|source| work(source, known.as_ref())).collect();
            (own, relit)
        })
        .unzip();
    let outcomes = captures.into_iter().chain(relit.into_iter().flatten());

    let mut summary = PreprocessSummary { problems: inventory.problems, ..Default::default() };
    let mut rows = Vec::new();
    for outcome in outcomes {
        let record = match outcome {
            Outcome::Failed(problem) => {
                summary.problems.push(problem);
                continue;
            }
            Outcome::Made(record) => {
                summary.made += 1;
                record
            }
            Outcome::Skipped(record) => {
                summary.skipped += 1;
                record
            }
        };
        summary.problems.extend(record.problems);
        summary.with_warnings += usize::from(!record.row.warnings.is_empty());
        summary.without_face +=
            usize::from(record.row.face == Some(false) && !record.row.training_only);
        rows.push(record.row);
    }
    // All of them, where the terminal may show only the first; gone once all is well.
    let list = options.out.join(PROBLEMS_FILE);
    if summary.problems.is_empty() {
        remove_file(&list)?;
    } else {
        let text = summary.problems.join("\n") + "\n";
        write_atomically(&list, |out| out.write_all(text.as_bytes()))?;
        summary.problem_list = Some(list);
    }
    let names: BTreeSet<String> = rows.iter().map(ManifestRow::name).collect();
    summary.unlisted = listed.difference(&names).count();
    // Even an empty one: an older manifest would speak of captures that fail by now.
    Manifest { root: options.out.clone(), rows }.write()?;
    summary.manifest = options.out.join(crate::dataset::MANIFEST_FILE);
    Ok(summary)
}

/// The captures of the manifest that is about to be replaced; none of one that cannot be read.
fn listed(out: &Path) -> BTreeSet<String> {
    let rows = Manifest::read(out).map_or_else(|_| Vec::new(), |manifest| manifest.rows);
    rows.iter().map(ManifestRow::name).collect()
}

/// A table of the user's that is called like ours is not written over.
fn check_manifest_is_ours(out: &Path) -> Result<(), IoError> {
    let path = out.join(crate::dataset::MANIFEST_FILE);
    let Ok(bytes) = std::fs::read(&path) else { return Ok(()) };
    if bytes.is_empty() || bytes.starts_with(b"id,session,") {
        return Ok(());
    }
    Err(IoError::unsuitable(&path, "is no manifest of lumiface's; choose another --out"))
}

fn process(
    source: &CaptureSource,
    options: &PreprocessOptions,
    faces: Option<&FaceWork>,
    known: Option<&KnownFace>,
    compute: &Compute,
) -> Result<Outcome, OneError> {
    let folder = options.out.join(&source.id).join(&source.session);
    let fingerprint = fingerprint(source, options, faces, known);
    if !options.force
        && let Some(mut record) = Record::of_finished(&folder, &fingerprint)
    {
        // The data set may have moved since. Images of ours go with the maps.
        for image in record.row.images.iter_mut().filter(|image| image.is_absolute()) {
            if let Some(path) = source.images.iter().find(|p| p.file_name() == image.file_name()) {
                *image = absolute(path);
            }
        }
        return Ok(Outcome::Skipped(record));
    }
    let mut capture = source.load()?;
    let failed = |e| OneError::Reconstruct { folder: source.folder.clone(), source: e };
    let (quality, Faced { maps, face, warnings }) = match faces {
        None => {
            let maps = reconstruct(&capture, &options.reconstruct, compute).map_err(failed)?;
            (judge(&capture, &maps), Faced { maps, face: None, warnings: Vec::new() })
        }
        Some(work) => {
            let known = known.map(|known| (known, options.root.as_path()));
            let solved =
                work.solve(&mut capture, &options.reconstruct, compute, known).map_err(failed)?;
            // Of the capture as it was taken: its lights know nothing of what comes after.
            (judge(&capture, &solved.maps), work.place(solved))
        }
    };
    let mut row = manifest_row(source, &capture, &maps, &quality);
    row.face = faces.map(|_| face.is_some());
    row.warnings.extend(warnings);
    let staged = StagedFolder::create(&folder, RECORD_FILE)?;
    write_maps(&staged, &maps, options.compression)?;
    if let Some(face) = &face {
        write_json(&staged.path(files::FACE), face)?;
        // The images go where the maps went.
        row.images = write_lit_images(&staged, &maps, face, &row.folder, &row.images)?;
    } else if faces.is_some() {
        let remedy = "look at the capture, or leave --align, --frontalise and --head-mask out";
        row.warnings.push(format!("no face was found, so it is not used: {remedy}"));
    }
    write_json(&staged.path(files::QUALITY), &quality)?;
    preview(&maps).write(&staged.path(files::PREVIEW))?;
    let how = How::of(&maps, &capture, &options.root);
    let record = Record::finish(staged, fingerprint, row, face, how, &capture.dropped)?;
    Ok(Outcome::Made(record))
}

fn judge(capture: &Capture, maps: &Reconstruction) -> CaptureQuality {
    let drift: Option<Vec<[f32; 2]>> =
        maps.registration.as_ref().map(|r| r.motions.iter().map(|m| m.map(|v| v as f32)).collect());
    assess(&QualityInput {
        images: &maps.images,
        lights: &capture.lights,
        normals: &maps.normals,
        albedo: &maps.albedo,
        residual: &maps.residual,
        mask: &maps.mask,
        confidence: Some(&maps.confidence),
        drift_px: drift.as_deref(),
    })
}

fn manifest_row(
    source: &CaptureSource,
    capture: &Capture,
    maps: &Reconstruction,
    quality: &CaptureQuality,
) -> ManifestRow {
    let mut warnings = source.warnings.clone();
    warnings.extend(quality.findings.iter().map(|f| format!("{}: {}", f.message, f.remedy)));
    warnings.extend(capture.dropped.iter().map(|reason| format!("left out {reason}")));
    ManifestRow {
        id: source.id.clone(),
        session: source.session.clone(),
        labels: source.labels.clone(),
        folder: Path::new(&source.id).join(&source.session),
        height: maps.mask.size.height,
        width: maps.mask.size.width,
        lights: capture.images.count,
        solver: maps.solver.to_string(),
        condition_number: capture.lights.condition_number(),
        training_only: source.training_only,
        face: None,
        // Absolute, because a manifest is read from anywhere.
        images: capture.files.iter().map(|path| absolute(path)).collect(),
        warnings,
    }
}

/// The lit images in the frame of aligned maps; those that were given where the picture is as it was,
/// none where the head was turned to the front, for a turned head is lit otherwise.
fn write_lit_images(
    staged: &StagedFolder,
    maps: &Reconstruction,
    face: &FaceRecord,
    folder: &Path,
    given: &[PathBuf],
) -> Result<Vec<PathBuf>, IoError> {
    if face.turned_from_deg.is_some() {
        return Ok(Vec::new());
    }
    if face.alignment == Similarity::IDENTITY {
        return Ok(given.to_vec());
    }
    (0..maps.images.count)
        .map(|index| {
            let name = files::lit(index);
            write_grey(&staged.path(&name), &maps.images, index)?;
            Ok(folder.join(name))
        })
        .collect()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn write_maps(
    staged: &StagedFolder,
    maps: &Reconstruction,
    compression: MapCompression,
) -> Result<(), IoError> {
    write_normals(&staged.path(files::NORMALS), &maps.normals, compression)?;
    for (file, plane) in [
        (files::ALBEDO, &maps.albedo),
        (files::DEPTH, &maps.depth),
        (files::RESIDUAL, &maps.residual),
        (files::CONFIDENCE, &maps.confidence),
    ] {
        write_plane(&staged.path(file), plane, compression)?;
    }
    if let Some(albedo) = &maps.albedo_rgb {
        write_rgb(&staged.path(files::ALBEDO_RGB), albedo, compression)?;
    }
    write_mask(&staged.path(files::MASK), &maps.mask)
}

/// A hash of what the maps and the manifest row depend on. Images count by path, size and time
/// of change, as for `make`: reading every pixel again would cost as much as solving.
fn fingerprint(
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
        add(format!("{} {state:?}", path_within(&options.root, path).display()));
    }
    format!("{:x}", hash.finalize())
}
