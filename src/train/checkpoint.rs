//! Checkpoints: a folder written whole, with hashes of what is in it.
//!
//! `weights.safetensors` holds the network under its parameter names, `optimizer.bpk` the
//! optimiser's state, `checkpoint.json` the rest: where in which epoch training stands, the losses
//! of that epoch so far and the best state yet. All that is drawn by chance follows from the seed
//! and that place. A damaged checkpoint is refused by name.

use super::TrainConfig;
use super::trainer::LossSums;
use crate::dataset::{Part, Split};
use crate::io::{IoError, StagedFolder, remove_folder, sha256_hex, write_atomically};
use crate::model::{MultiTaskNetwork, NetworkConfig};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const CHECKPOINT_FOLDER: &str = "checkpoints";
const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.bpk";
const RECORD: &str = "checkpoint.json";
const BEST: &str = "best";
/// Checkpoints kept; the one before the last serves when the last is damaged.
const KEPT: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: the checkpoint is damaged ({reason}); delete that folder to go on without it", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{path}: the checkpoint was written by another version of lumiface (format {format}); go on with that version, or give --fresh to train again", path = .path.display())]
    OtherFormat { path: PathBuf, format: u32 },
    #[error("{path}: the checkpoint is of another architecture ({difference}); evaluate it with its own run folder, or train again", path = .path.display())]
    OtherArchitecture { path: PathBuf, difference: String },
    #[error("{path}: the checkpoint was trained on other people, another modality or other classes than this run says; give --fresh to train again", path = .0.display())]
    OtherRun(PathBuf),
    #[error(
        "the weights are no longer finite and were not saved; lower optimizer.learning_rate and run \
         the command again, which goes on from the last checkpoint"
    )]
    NotFinite,
    #[error("{path}: holds no checkpoint; run `lumiface train` first", path = .0.display())]
    Missing(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    network: NetworkConfig,
    /// What the network was trained on and as, see [`TrainedOn`].
    trained_on: String,
    progress: Progress,
    /// SHA-256 of each file.
    files: BTreeMap<String, String>,
}

const FORMAT: u32 = 3;

/// How far training has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Epochs that are done.
    pub epoch: usize,
    /// Steps of the next one that are done.
    pub step: usize,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Losses of the steps since the last whole epoch.
    pub sums: LossSums,
    pub best: Option<Best>,
    /// Of the training captures and their classes, in order.
    pub data: String,
}

/// The state that did best on the people for validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epochs that were done.
    pub epoch: usize,
    /// AUC of their identities.
    #[serde(with = "exact")]
    pub score: f64,
}

/// Numbers as text, which reads back to the last bit; serde_json's do not.
pub(super) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What a checkpoint belongs to: an architecture, and a digest of who was trained on as what.
/// Weights of other people must not be taken for this run's: they may have seen its gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedOn {
    pub network: NetworkConfig,
    pub digest: String,
}

impl TrainedOn {
    pub fn new(config: &TrainConfig, split: &Split) -> Self {
        let people: Vec<&str> = split.people(Part::Train).collect();
        let view = (&config.modalities, config.input_side);
        let classes: Vec<&Vec<String>> = config.tasks.iter().map(|task| &task.classes).collect();
        let identities = config.identities(people.len());
        let left_out = &split.left_out;
        let digest = format!("{people:?} {left_out:?} {identities} {view:?} {classes:?}");
        Self { network: config.network(identities), digest: sha256_hex(digest.as_bytes()) }
    }
}

/// A training state.
pub struct Checkpoint {
    pub network: MultiTaskNetwork,
    /// In burn's own format, for [`ModuleOptimizer::from_bytes`]; empty in the best state, which
    /// nobody trains on.
    pub(super) optimizer_state: Vec<u8>,
    pub(super) progress: Progress,
    /// SHA-256 of the weights: what embeddings are of.
    pub weights_hash: String,
    /// Damaged checkpoints that were passed over, one line each.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// Epochs that are done.
    pub fn epoch(&self) -> usize {
        self.progress.epoch
    }
}

/// Writes `<run>/checkpoints/epoch-NNNN`, or `epoch-NNNN-step-NNNNNN` within an epoch, then drops all
/// but the newest.
pub(super) fn save(
    run: &Path,
    trained_on: &TrainedOn,
    network: &MultiTaskNetwork,
    optimizer: &ModuleOptimizer,
    progress: &Progress,
) -> Result<PathBuf, CheckpointError> {
    let mut name = format!("epoch-{:04}", progress.epoch);
    if progress.step > 0 {
        name.push_str(&format!("-step-{:06}", progress.step));
    }
    let folder = run.join(CHECKPOINT_FOLDER).join(name);
    let state = optimizer.into_bytes().map_err(|e| IoError::unsuitable(&folder, e.to_string()))?;
    write(&folder, trained_on, network, &state, progress)?;
    for old in folders(run).iter().rev().skip(KEPT) {
        remove_folder(old)?;
    }
    Ok(folder)
}

/// Writes `<run>/checkpoints/best`: what did best on the people for validation, or weights that came
/// from elsewhere. `epoch` are the epochs they were trained, `score` is the AUC.
pub fn save_best(
    run: &Path,
    trained_on: &TrainedOn,
    network: &MultiTaskNetwork,
    best: Best,
) -> Result<PathBuf, CheckpointError> {
    let folder = run.join(CHECKPOINT_FOLDER).join(BEST);
    let progress = Progress { epoch: best.epoch, best: Some(best), ..Progress::default() };
    write(&folder, trained_on, network, &[], &progress)?;
    Ok(folder)
}

fn write(
    folder: &Path,
    trained_on: &TrainedOn,
    network: &MultiTaskNetwork,
    optimizer_state: &[u8],
    progress: &Progress,
) -> Result<(), CheckpointError> {
    let unwritable = |reason: String| IoError::unsuitable(folder, reason);
    // burn's metadata come in random order; without them the same weights are the same bytes.
    let mut store = SafetensorsStore::from_bytes(None).clear_metadata();
    network.valid().save_into(&mut store).map_err(|e| unwritable(e.to_string()))?;
    let weights = store.get_bytes().map_err(|e| unwritable(e.to_string()))?;

    // A loss can be finite where the gradient was not.
    if !all_finite(&weights) {
        return Err(CheckpointError::NotFinite);
    }

    let staged = StagedFolder::create(folder, RECORD)?;
    let mut files = BTreeMap::new();
    for (name, bytes) in [(WEIGHTS, &weights[..]), (OPTIMIZER, optimizer_state)] {
        write_atomically(&staged.path(name), |out| out.write_all(bytes))?;
        files.insert(name.to_string(), sha256_hex(bytes));
    }
    let record = Record {
        format: FORMAT,
        network: trained_on.network.clone(),
        trained_on: trained_on.digest.clone(),
        progress: progress.clone(),
        files,
    };
    let json = serde_json::to_vec_pretty(&record).map_err(|e| unwritable(e.to_string()))?;
    write_atomically(&staged.path(RECORD), |out| out.write_all(&json))?;
    staged.commit()?;
    Ok(())
}

fn all_finite(weights: &[u8]) -> bool {
    let Ok(tensors) = safetensors::SafeTensors::deserialize(weights) else { return false };
    let finite = |bytes: &[u8]| {
        bytes.as_chunks::<4>().0.iter().all(|&value| f32::from_le_bytes(value).is_finite())
    };
    tensors.iter().all(|(_, tensor)| finite(tensor.data()))
}

/// Whether a run has a checkpoint that training goes on from, whole or not.
pub fn has_checkpoint(run: &Path) -> bool {
    !folders(run).is_empty()
}

/// Whether a run has a best state: of its own training, or imported.
pub fn has_best(run: &Path) -> bool {
    run.join(CHECKPOINT_FOLDER).join(BEST).exists()
}

/// Epochs of a run's newest checkpoint, or of its best state where it has no other; `None` without
/// either, or where its record cannot be read.
pub fn trained_epochs(run: &Path) -> Option<usize> {
    let best = run.join(CHECKPOINT_FOLDER).join(BEST);
    let newest = folders(run).pop().unwrap_or(best);
    let record = std::fs::read(newest.join(RECORD)).ok()?;
    Some(serde_json::from_slice::<Record>(&record).ok()?.progress.epoch)
}

/// Deletes the checkpoints of a run, and nothing else.
pub fn remove_all(run: &Path) -> Result<(), IoError> {
    let best = run.join(CHECKPOINT_FOLDER).join(BEST);
    let is_ours = |folder: &PathBuf| folder.join(RECORD).exists();
    for folder in folders(run).into_iter().chain([best]).filter(is_ours) {
        remove_folder(&folder)?;
    }
    Ok(())
}

/// Checkpoint folders of a run, oldest first.
fn folders(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(run.join(CHECKPOINT_FOLDER)) else { return Vec::new() };
    let mut numbered: Vec<(usize, usize, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let numbers = name.to_str()?.strip_prefix("epoch-")?;
            let (epoch, step) = numbers.split_once("-step-").unwrap_or((numbers, "0"));
            Some((epoch.parse().ok()?, step.parse().ok()?, entry.path()))
        })
        .collect();
    numbered.sort();
    numbered.into_iter().map(|(.., folder)| folder).collect()
}

/// The newest checkpoint that is whole; damaged ones are passed over with a warning.
///
/// # Errors
/// No checkpoint at all, none that is whole, or one of another architecture.
pub fn load_latest(
    run: &Path,
    trained_on: &TrainedOn,
    device: &Device,
) -> Result<Checkpoint, CheckpointError> {
    let mut warnings = Vec::new();
    let mut last_error = None;
    for folder in folders(run).iter().rev() {
        match load(folder, trained_on, device) {
            Ok(checkpoint) => return Ok(Checkpoint { warnings, ..checkpoint }),
            Err(error) if !matches!(error, CheckpointError::Damaged { .. }) => return Err(error),
            Err(error) => {
                warnings.push(error.to_string());
                last_error = Some(error);
            }
        }
    }
    Err(last_error.unwrap_or_else(|| CheckpointError::Missing(run.to_path_buf())))
}

/// The state that did best on the people for validation, where there are any, or else the newest.
///
/// # Errors
/// As for [`load_latest`].
pub fn load_best(
    run: &Path,
    trained_on: &TrainedOn,
    device: &Device,
) -> Result<Checkpoint, CheckpointError> {
    let best = run.join(CHECKPOINT_FOLDER).join(BEST);
    if !best.exists() {
        return load_latest(run, trained_on, device);
    }
    match load(&best, trained_on, device) {
        Err(error @ CheckpointError::Damaged { .. }) => {
            let mut latest = load_latest(run, trained_on, device)?;
            latest.warnings.insert(0, error.to_string());
            Ok(latest)
        }
        other => other,
    }
}

fn load(
    folder: &Path,
    trained_on: &TrainedOn,
    device: &Device,
) -> Result<Checkpoint, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: folder.to_path_buf(), reason };
    let record: Record = std::fs::read(folder.join(RECORD))
        .map_err(|e| e.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()))
        .map_err(|e| damaged(format!("{RECORD}: {e}")))?;
    if record.format != FORMAT {
        let path = folder.to_path_buf();
        return Err(CheckpointError::OtherFormat { path, format: record.format });
    }
    // How many identities there were follows from the people, who are compared by the digest; of
    // imported weights it is all that is known of them.
    let wanted =
        NetworkConfig { identities: record.network.identities, ..trained_on.network.clone() };
    if record.network != wanted {
        return Err(CheckpointError::OtherArchitecture {
            path: folder.to_path_buf(),
            difference: difference(&record.network, &wanted),
        });
    }
    if record.trained_on != trained_on.digest {
        return Err(CheckpointError::OtherRun(folder.to_path_buf()));
    }
    let read = |name: &str| {
        let bytes =
            std::fs::read(folder.join(name)).map_err(|e| damaged(format!("{name}: {e}")))?;
        if record.files.get(name) != Some(&sha256_hex(&bytes)) {
            return Err(damaged(format!("{name} was cut or changed")));
        }
        Ok(bytes)
    };
    let mut network = record.network.init(device);
    let mut store = SafetensorsStore::from_bytes(Some(read(WEIGHTS)?));
    let applied = network.load_from(&mut store).map_err(|e| damaged(e.to_string()))?;
    if let Some(unused) = applied.unused.first() {
        return Err(damaged(format!("{WEIGHTS} holds `{unused}`, which the network has not")));
    }
    let optimizer_state = read(OPTIMIZER)?;
    Ok(Checkpoint {
        network,
        optimizer_state,
        progress: record.progress,
        weights_hash: record.files.get(WEIGHTS).cloned().unwrap_or_default(),
        warnings: Vec::new(),
    })
}

/// The first setting in which two architectures differ, as "width 8 instead of 16"; empty for the
/// same.
pub fn difference(stored: &NetworkConfig, wanted: &NetworkConfig) -> String {
    let fields = |config: &NetworkConfig| match serde_json::to_value(config) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => Default::default(),
    };
    let (stored, wanted) = (fields(stored), fields(wanted));
    stored.iter().find(|(key, value)| wanted.get(*key) != Some(value)).map_or_else(
        String::new,
        |(key, value)| {
            let wanted = wanted.get(key).unwrap_or(&serde_json::Value::Null);
            format!("{key} {value} instead of {wanted}")
        },
    )
}
