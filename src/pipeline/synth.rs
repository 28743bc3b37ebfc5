//! `synth`: capture sessions of people who do not exist.

use super::{Event, EventSink, StageError, open_compute};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{FolderLock, IoError, StagedFolder};
use crate::maps::Size;
use crate::reconstruct::Compute;
use crate::synth::head::{
    Detail, FacesError, HeadModel, MorphableHead, ProceduralHead, import_ict,
};
use crate::synth::population::{Attendance, MOST_PEOPLE, MOST_SESSIONS};
use crate::synth::rig::mm_per_px;
use crate::synth::session::{MOST_LAMPS, SessionError, SessionScene, Studio};
use crate::synth::{SCENE_MARKER, SynthSet};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct SynthOptions {
    /// What is made; its `faces` are filled in from the file.
    pub set: SynthSet,
    /// Morphable face file in place of the faces made in code.
    pub faces: Option<PathBuf>,
    pub device: DeviceRequest,
    pub out: PathBuf,
}

/// Why a set or a session was not made.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Faces(#[from] FacesError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("{path}: {error}", path = .path.display())]
    Session { path: PathBuf, error: SessionError },
}

/// Makes a set of sessions; returns how many it holds.
///
/// # Errors
/// Options that cannot be, an unusable face file, another set at `out`; nothing is written then.
pub fn synth(options: &SynthOptions, emit: EventSink<'_>) -> Result<usize, SynthError> {
    check(&options.set)?;
    let faces = options.faces.as_deref();
    let studio =
        studio(head_model(faces, options.set.size)?, options.set.size, &options.device, emit)?;
    let set = SynthSet { faces: faces.map(file_hash).transpose()?, ..options.set.clone() };
    set.check_root(&options.out)?;
    let _lock = FolderLock::acquire(&options.out)?;
    emit(Event::CapturesFound { total: set.sessions() });
    let done = |name: &str| emit(Event::CaptureFinished { name: name.to_string() });
    Ok(set.write(&options.out, &studio, &done)?)
}

/// Makes the session of one `scene.json` again, alone.
///
/// # Errors
/// A file that is no scene, or one of another face model; a folder of the user's at `out`.
pub fn synth_scene(
    scene: &Path,
    faces: Option<&Path>,
    device: &DeviceRequest,
    out: &Path,
    emit: EventSink<'_>,
) -> Result<(), SynthError> {
    let text = crate::io::read_text(scene)?;
    let parsed: SessionScene = serde_json::from_str(&text).map_err(|error| {
        IoError::unsuitable(scene, format!("is no scene ({error}); give a scene.json of a session"))
    })?;
    check_size(parsed.size)?;
    let studio = studio(head_model(faces, parsed.size)?, parsed.size, device, emit)?;
    let pictures = parsed
        .pictures(&studio, true)
        .map_err(|error| SynthError::Session { path: scene.to_path_buf(), error })?;
    // Not by its light file: a session of a real rig has one too.
    let staged = StagedFolder::create(out, SCENE_MARKER)?;
    pictures.write(&staged)?;
    Ok(staged.commit()?)
}

/// Turns a folder of ICT-FaceKit's OBJ files into a face file.
///
/// # Errors
/// Files that are missing or of another kind; nothing is written then.
pub fn import_faces(folder: &Path, out: &Path) -> Result<(), SynthError> {
    super::check_output(out, [])?;
    Ok(import_ict(folder, out)?)
}

fn studio(
    model: Box<dyn HeadModel>,
    size: Size,
    device: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<Studio, SynthError> {
    let gpu = match open_compute(device, emit)? {
        Compute::Cpu => None,
        Compute::Gpu(gpu) => Some(gpu),
    };
    // Strands and pores finer than this are not seen, and cost most of the time.
    let detail_mm = DETAIL_PX * mm_per_px(size) as f32;
    Ok(Studio::new(model, detail_mm, gpu))
}

/// Edges of the dressed mesh, in pixels.
const DETAIL_PX: f32 = 2.0;
/// From this size of a pixel on the face on, the coarser head is fine enough, mm.
const COARSE_MM: f64 = 0.8;

fn head_model(faces: Option<&Path>, size: Size) -> Result<Box<dyn HeadModel>, FacesError> {
    Ok(match faces {
        Some(path) => Box::new(MorphableHead::read(path)?),
        None if mm_per_px(size) < COARSE_MM => Box::new(ProceduralHead::new(Detail::Full)),
        None => Box::new(ProceduralHead::new(Detail::Small)),
    })
}

fn file_hash(path: &Path) -> Result<String, IoError> {
    let mut file = std::fs::File::open(path).map_err(|e| IoError::from_system(path, e))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(|e| IoError::from_system(path, e))?;
    Ok(format!("{:x}", hash.finalize()))
}

fn check(set: &SynthSet) -> Result<(), StageError> {
    let usage = |reason: String| Err(StageError::Usage(reason));
    if !(1..=MOST_PEOPLE).contains(&set.people) {
        return usage(format!("--people {}: give 1 to {MOST_PEOPLE}", set.people));
    }
    if let Attendance::Each(count) = set.attendance
        && !(1..=MOST_SESSIONS).contains(&count)
    {
        return usage(format!(
            "--sessions {count}: give 1 to {MOST_SESSIONS}, as often as one person comes at most"
        ));
    }
    if !(3..=MOST_LAMPS).contains(&set.lamps) {
        return usage(format!("--lamps {}: give 3 to {MOST_LAMPS}", set.lamps));
    }
    if let Some(zenith) = set.zenith_deg
        && !(1.0..=75.0).contains(&zenith)
    {
        let where_it_is = if zenith > 90.0 { "behind the head" } else { "where it lights no face" };
        return usage(format!("--zenith {zenith}: stands {where_it_is}; give 1 to 75 degrees"));
    }
    check_size(set.size)
}

fn check_size(size: Size) -> Result<(), StageError> {
    if [size.width, size.height].iter().all(|side| (32..=4096).contains(side)) {
        return Ok(());
    }
    Err(StageError::Usage(format!("--size {size}: give sides of 32 to 4096 pixels")))
}
