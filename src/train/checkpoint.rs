//! Checkpoints: a folder written whole, with hashes of what is in it.
//!
//! `weights.safetensors` holds the network under its parameter names, `optimizer.bpk` the
//! optimiser's state, `checkpoint.json` the rest. A damaged checkpoint is refused by name.

use super::TrainConfig;
use super::trainer::network_config;
use crate::dataset::{Part, Split};
use crate::io::{IoError, StagedFolder, write_atomically};
use crate::model::{MultiTaskNetwork, NetworkConfig};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const CHECKPOINT_FOLDER: &str = "checkpoints";
const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.bpk";
const RECORD: &str = "checkpoint.json";
/// Checkpoints kept; the one before the last serves when the last is damaged.
const KEPT: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: the checkpoint is damaged ({reason}); delete that folder to go on without it", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{path}: the checkpoint is of another architecture ({difference}); evaluate it with its own run folder, or train again", path = .path.display())]
    OtherArchitecture { path: PathBuf, difference: String },
    #[error("{path}: the checkpoint was trained on other people or another modality than this run says; give --fresh to train again", path = .0.display())]
    OtherRun(PathBuf),
    #[error("{path}: holds no checkpoint; run `lumiface train` first", path = .0.display())]
    Missing(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    network: NetworkConfig,
    /// What the network was trained on and as, see [`TrainedOn`].
    trained_on: String,
    /// Epochs that are done.
    epoch: usize,
    /// SHA-256 of each file.
    files: BTreeMap<String, String>,
}

const FORMAT: u32 = 1;

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
        let view = (config.modality, config.input_side);
        Self {
            network: network_config(config, people.len()),
            digest: hash(format!("{people:?} {view:?}").as_bytes()),
        }
    }
}

/// A training state between two epochs.
pub struct Checkpoint {
    pub network: MultiTaskNetwork,
    /// In burn's own format, for [`ModuleOptimizer::from_bytes`].
    pub optimizer_state: Vec<u8>,
    /// Epochs that are done.
    pub epoch: usize,
    /// Damaged checkpoints that were passed over, one line each.
    pub warnings: Vec<String>,
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Writes `<run>/checkpoints/epoch-NNNN`, then drops all but the newest.
pub fn save(
    run: &Path,
    trained_on: &TrainedOn,
    network: &MultiTaskNetwork,
    optimizer: &ModuleOptimizer,
    epoch: usize,
) -> Result<PathBuf, CheckpointError> {
    let folder = run.join(CHECKPOINT_FOLDER).join(format!("epoch-{epoch:04}"));
    let unwritable = |reason: String| IoError::unsuitable(&folder, reason);
    // burn's metadata come in random order; without them the same weights are the same bytes.
    let mut store = SafetensorsStore::from_bytes(None).clear_metadata();
    network.valid().save_into(&mut store).map_err(|e| unwritable(e.to_string()))?;
    let weights = store.get_bytes().map_err(|e| unwritable(e.to_string()))?;
    let state = optimizer.into_bytes().map_err(|e| unwritable(e.to_string()))?;

    let staged = StagedFolder::create(&folder, RECORD)?;
    let mut files = BTreeMap::new();
    for (name, bytes) in [(WEIGHTS, &weights[..]), (OPTIMIZER, &state[..])] {
        write_atomically(&staged.path(name), |out| out.write_all(bytes))?;
        files.insert(name.to_string(), hash(bytes));
    }
    let record = Record {
        format: FORMAT,
        network: trained_on.network.clone(),
        trained_on: trained_on.digest.clone(),
        epoch,
        files,
    };
    let json = serde_json::to_vec_pretty(&record).map_err(|e| unwritable(e.to_string()))?;
    write_atomically(&staged.path(RECORD), |out| out.write_all(&json))?;
    staged.commit()?;
    for old in folders(run).iter().rev().skip(KEPT) {
        std::fs::remove_dir_all(old).map_err(|e| IoError::from_system(old, e))?;
    }
    Ok(folder)
}

/// Deletes the checkpoints of a run, and nothing else.
pub fn remove_all(run: &Path) -> Result<(), IoError> {
    for folder in folders(run) {
        std::fs::remove_dir_all(&folder).map_err(|e| IoError::from_system(&folder, e))?;
    }
    Ok(())
}

/// Checkpoint folders of a run, oldest first.
fn folders(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(run.join(CHECKPOINT_FOLDER)) else { return Vec::new() };
    let mut numbered: Vec<(usize, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let epoch = name.to_str()?.strip_prefix("epoch-")?.parse().ok()?;
            Some((epoch, entry.path()))
        })
        .collect();
    numbered.sort();
    numbered.into_iter().map(|(_, folder)| folder).collect()
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
            Err(
                error @ (CheckpointError::OtherArchitecture { .. } | CheckpointError::OtherRun(_)),
            ) => return Err(error),
            Err(error) => {
                warnings.push(error.to_string());
                last_error = Some(error);
            }
        }
    }
    Err(last_error.unwrap_or_else(|| CheckpointError::Missing(run.to_path_buf())))
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
        return Err(damaged(format!("format {} is not known", record.format)));
    }
    if record.network != trained_on.network {
        return Err(CheckpointError::OtherArchitecture {
            path: folder.to_path_buf(),
            difference: difference(&record.network, &trained_on.network),
        });
    }
    if record.trained_on != trained_on.digest {
        return Err(CheckpointError::OtherRun(folder.to_path_buf()));
    }
    let read = |name: &str| {
        let bytes =
            std::fs::read(folder.join(name)).map_err(|e| damaged(format!("{name}: {e}")))?;
        if record.files.get(name) != Some(&hash(&bytes)) {
            return Err(damaged(format!("{name} was cut or changed")));
        }
        Ok(bytes)
    };
    let mut network = trained_on.network.init(device);
    let mut store = SafetensorsStore::from_bytes(Some(read(WEIGHTS)?));
    let applied = network.load_from(&mut store).map_err(|e| damaged(e.to_string()))?;
    if let Some(unused) = applied.unused.first() {
        return Err(damaged(format!("{WEIGHTS} holds `{unused}`, which the network has not")));
    }
    let optimizer_state = read(OPTIMIZER)?;
    Ok(Checkpoint { network, optimizer_state, epoch: record.epoch, warnings: Vec::new() })
}

fn difference(stored: &NetworkConfig, wanted: &NetworkConfig) -> String {
    if stored.width != wanted.width || stored.blocks != wanted.blocks {
        return format!(
            "width {} and blocks {:?} instead of {} and {:?}",
            stored.width, stored.blocks, wanted.width, wanted.blocks
        );
    }
    if stored.identities != wanted.identities {
        return format!("{} identities instead of {}", stored.identities, wanted.identities);
    }
    let names = |config: &NetworkConfig| {
        let tasks: Vec<_> =
            config.tasks.iter().map(|t| format!("{} ({})", t.name, t.classes)).collect();
        if tasks.is_empty() { "no tasks".to_string() } else { tasks.join(", ") }
    };
    format!("{} instead of {}", names(stored), names(wanted))
}
