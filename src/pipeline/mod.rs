//! The commands' work as functions. They emit [`Event`]s and return summaries; they print
//! nothing, so that a terminal, a test or another program can drive them alike.

mod accuracy;
mod baseline;
mod calibrate;
mod compare;
mod demo;
mod detect;
mod embedding;
mod evaluate;
mod faces;
mod gallery;
mod integrate;
mod map_settings;
mod pairs;
mod preprocess;
mod recognition;
mod record;
mod study;
mod surface;
mod synth;
mod train;
mod weights;

pub use accuracy::{MapAccuracy, accuracy};
pub use baseline::Baseline;
pub use calibrate::{CalibrateOptions, CalibrationTarget, SphereOutline, calibrate};
pub use compare::{CompareOptions, CompareSummary, compare, threshold_of_run};
pub use demo::{DemoError, DemoSummary, demo};
pub use detect::{DetectError, DetectOptions, DetectSummary, PictureFaces, detect};
pub use embedding::{EmbeddingError, EmbeddingSource, embeddings_of, model_of_run};
pub use evaluate::{EvaluateError, EvaluateOptions, EvaluateSummary, evaluate};
pub use faces::{FaceOptions, FaceRecord, SeenIn};
pub use gallery::{GallerySearchError, search_gallery};
pub use integrate::{IntegrateOptions, IntegrateSummary, integrate};
pub use pairs::pairs_of_pictures;
pub use preprocess::{PreprocessError, PreprocessOptions, PreprocessSummary, preprocess};
pub use study::{StudyConfig, StudyError, StudyOptions, StudySummary, read_study_config, study};
pub use surface::{MeshOptions, RelightOptions, inspect, mesh, relight};
pub use synth::{SynthError, SynthOptions, import_faces, synth, synth_scene};
pub use train::{TrainOptions, TrainRunError, train};
pub use weights::{ImportOptions, WeightsError, describe, export_weights, import_weights};

use record::{RECORD_FILE, is_of_capture};

use crate::calibrate::CalibrateError;
use crate::capture::CaptureError;
use crate::gpu::{AdapterChoice, DeviceRequest, Gpu, GpuError, choose_adapter, list_adapters};
use crate::io::IoError;
use crate::reconstruct::Compute;
use crate::train::TrainEvent;
use std::path::{Path, PathBuf};

/// Why a command that runs one stage alone failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    #[error("{path}: {reason}", path = .path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
}

impl StageError {
    fn unusable(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unusable { path: path.to_path_buf(), reason: reason.into() }
    }
}

/// Refuses an output that would replace a file the command reads, or one of a set of maps.
fn check_output<'a>(
    out: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), StageError> {
    let real = |path: &Path| path.canonicalize().ok();
    if let Some(target) = real(out)
        && inputs.into_iter().any(|input| real(input).as_ref() == Some(&target))
    {
        return Err(StageError::Usage(format!(
            "{}: is read by this command; choose another --out",
            out.display()
        )));
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    if out.exists() && is_of_capture(&name) && out.with_file_name(RECORD_FILE).exists() {
        return Err(StageError::Usage(format!(
            "{}: belongs to a capture's maps; choose another --out",
            out.display()
        )));
    }
    Ok(())
}

/// A path of a data set as it stays when the set moves.
fn path_within<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// What happens while a command works.
#[derive(Clone, Debug)]
pub enum Event {
    /// The device that will do the work, and why.
    DeviceChosen {
        name: String,
        reason: String,
    },
    /// A command of several jobs begins the next.
    StageStarted {
        name: String,
    },
    /// The layout that `auto` came to, and why.
    LayoutDetected {
        reason: String,
    },
    /// So many captures will be looked at.
    CapturesFound {
        total: usize,
    },
    /// One capture is through: done, skipped as unchanged, or failed.
    CaptureFinished {
        name: String,
    },
    Train(TrainEvent),
    /// The network has looked at all captures.
    EmbeddingsReady {
        count: usize,
    },
}

/// Consumes events; called from several threads.
pub type EventSink<'a> = &'a (dyn Fn(Event) + Sync);

/// Opens what a request asks for and tells which device it is.
pub(crate) fn open_compute(
    request: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<Compute, GpuError> {
    let adapters = if *request == DeviceRequest::Cpu { Vec::new() } else { list_adapters() };
    let AdapterChoice { adapter, reason } = choose_adapter(request, &adapters)?;
    let compute = match adapter {
        None => Compute::Cpu,
        Some(summary) => Compute::Gpu(Box::new(Gpu::open(&summary)?)),
    };
    emit(Event::DeviceChosen { name: compute.name().to_string(), reason });
    Ok(compute)
}
