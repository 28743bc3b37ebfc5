//! `embed`: captures, maps or a file → embeddings of one network.

use super::evaluate::EvaluateError;
use super::map_settings::MapSettings;
use super::train::{CONFIG_FILE, SPLIT_FILE, learning_device, sample_source};
use super::{Event, EventSink, PreprocessError, PreprocessOptions, preprocess};
use crate::capture::Layout;
use crate::dataset::{CaptureRef, Collection, Part, Split};
use crate::gpu::DeviceRequest;
use crate::io::{EmbeddedCapture, Embeddings, IoError};
use crate::train::{Embedder, TrainEvent, TrainedOn, load_best, read_train_config};
use burn::module::Module;
use std::path::{Path, PathBuf};

/// Where embeddings come from.
#[derive(Clone, Debug)]
pub enum EmbeddingSource {
    /// A file of [`Embeddings`].
    File(PathBuf),
    /// Folders of maps, by the network of a run; of one part of its split, or of everybody.
    Maps { run: PathBuf, data: Vec<PathBuf>, part: Option<Part>, packs: Option<PathBuf> },
    /// Captures whose maps are made on the way and not kept.
    Captures { run: PathBuf, root: PathBuf, layout: Layout },
}

#[derive(Debug, thiserror::Error)]
pub enum EmbeddingError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error("{0}")]
    Nobody(String),
}

/// SHA-256 of the weights that a run is evaluated with, and the values of its embeddings.
pub fn model_of_run(run: &Path) -> Result<(String, usize), EvaluateError> {
    let config = read_train_config(&run.join(CONFIG_FILE))?;
    let split = Split::read(&run.join(SPLIT_FILE))?;
    let trained_on = TrainedOn::new(&config, &split);
    let checkpoint = load_best(run, &trained_on, &burn::tensor::Device::flex())?;
    let [dim, _] = checkpoint.network.class_weight().dims();
    Ok((checkpoint.weights_hash, dim))
}

/// Embeddings of a source; attacks and sessions for training alone are left out.
pub fn embeddings_of(
    source: &EmbeddingSource,
    device: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<Embeddings, EmbeddingError> {
    match source {
        EmbeddingSource::File(path) => Ok(Embeddings::read(path)?),
        EmbeddingSource::Maps { run, data, part, packs } => {
            of_maps(run, data, *part, packs.as_deref(), device, emit)
        }
        EmbeddingSource::Captures { run, root, layout } => {
            let folder =
                tempfile::tempdir().map_err(|e| IoError::from_system(&std::env::temp_dir(), e))?;
            let maps = folder.path().join("maps");
            let made = preprocess(
                &PreprocessOptions {
                    layout: *layout,
                    // As the network was trained to see them.
                    faces: MapSettings::of_run(run)?.faces,
                    ..PreprocessOptions::of_photoface(root.clone(), &maps, device)
                },
                emit,
            )?;
            if let Some(problem) = made.problems.first() {
                let more = made.problems.len() - 1;
                let text = format!("{problem} ({more} more problems)");
                emit(Event::Train(TrainEvent::Warning { text }));
            }
            of_maps(run, &[maps], None, None, device, emit)
        }
    }
}

fn of_maps(
    run: &Path,
    data: &[PathBuf],
    part: Option<Part>,
    packs: Option<&Path>,
    device: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<Embeddings, EmbeddingError> {
    let of_run = |error: EvaluateError| EmbeddingError::Evaluate(error);
    let config = read_train_config(&run.join(CONFIG_FILE)).map_err(|e| of_run(e.into()))?;
    let split = Split::read(&run.join(SPLIT_FILE))?;
    MapSettings::check(run, data)?;
    let collection = Collection::read(data)?;
    let wanted = |c: &CaptureRef<'_>| {
        let own = split.part_of(&c.row.id, &c.row.session).unwrap_or(Part::Gallery);
        part.is_none_or(|part| own == part) && !c.row.training_only && !c.row.is_attack()
    };
    let mut captures: Vec<CaptureRef<'_>> = collection.captures().filter(wanted).collect();
    captures.sort_by(|a, b| (&a.row.id, &a.row.session).cmp(&(&b.row.id, &b.row.session)));
    if captures.is_empty() {
        let folders: Vec<String> = data.iter().map(|path| path.display().to_string()).collect();
        let of_part = part.map_or(String::new(), |part| format!(" of the {part} split"));
        return Err(EmbeddingError::Nobody(format!(
            "{}: holds no capture{of_part}; give other maps or another part",
            folders.join(", ")
        )));
    }
    let warn = |text: String| emit(Event::Train(TrainEvent::Warning { text }));
    let missed: Vec<String> = collection.without_face().map(|c| c.row.name()).collect();
    if let Some(first) = missed.first() {
        warn(format!("{} captures show no face and are left out: {first} and so on", missed.len()));
    }
    let source = sample_source(&config, &config.modalities, &collection, packs, &warn)?;
    let (device, _) = learning_device(device, emit).map_err(|e| of_run(e.into()))?;
    let trained_on = TrainedOn::new(&config, &split);
    let checkpoint = load_best(run, &trained_on, &device).map_err(|e| of_run(e.into()))?;
    checkpoint.warnings.iter().cloned().for_each(&warn);
    let network = checkpoint.network.valid();
    let embedder =
        Embedder { network: &network, input_side: config.input_side, shown: None, device: &device };
    let found = embedder
        .captures(&source, &captures, false)
        .map_err(|reason| of_run(EvaluateError::Impossible(reason)))?;
    emit(Event::EmbeddingsReady { count: found.len() });
    let dim = found.first().map_or(0, |embedding| embedding.identity.len());
    Ok(Embeddings {
        model: checkpoint.weights_hash,
        captures: captures.iter().map(embedded).collect(),
        vectors: found.into_iter().flat_map(|embedding| embedding.identity).collect(),
        dim,
    })
}

/// Whom a capture shows, as it stands in a file of embeddings.
pub(super) fn embedded(capture: &CaptureRef<'_>) -> EmbeddedCapture {
    EmbeddedCapture {
        id: capture.row.id.clone(),
        session: capture.row.session.clone(),
        labels: capture.row.labels.clone(),
    }
}
