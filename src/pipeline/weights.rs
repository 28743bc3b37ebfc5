//! `weights import` and `weights export`: checkpoints of the study's PyTorch network in, any network
//! of ours out, under the study's names.

use super::train::{CONFIG_FILE, SPLIT_FILE};
use crate::config::ConfigError;
use crate::dataset::{Modality, Split};
use crate::io::{FolderLock, IoError, read_state_dict, write_atomically, write_state_dict};
use crate::model::{
    KeyReport, NetworkConfig, load_original, original_architecture, to_original, without_prefix,
};
use crate::train::{
    Best, CheckpointError, NetworkOptions, TrainConfig, TrainedOn, load_best, read_train_config,
    resolve_train_config, save_best,
};
use burn::tensor::Device;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// `.pth`, `.pt` or `.safetensors`.
    pub file: PathBuf,
    /// What the network was trained on.
    pub modality: Modality,
    /// Side of its input in pixels.
    pub input_side: usize,
    /// Emotion took the attention of facial hair.
    pub shared_emotion: bool,
    /// Run folder to make.
    pub out: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{file}: {reason}", file = .file.display())]
    Unusable { file: PathBuf, reason: String },
    #[error("{file}: does not fit the network; nothing was written\n{}", describe(.report), file = .file.display())]
    Incomplete { file: PathBuf, report: KeyReport },
    #[error("{out}: holds a run or other files; choose another --out", out = .0.display())]
    Occupied(PathBuf),
}

/// What did not fit, a line each.
pub fn describe(report: &KeyReport) -> String {
    let lines = |what: &'static str, names: &[String]| {
        names.iter().map(move |name| format!("  {what}: {name}")).collect::<Vec<_>>()
    };
    [
        lines("missing", &report.missing),
        lines("misshapen", &report.misshapen),
        lines("unexpected", &report.unexpected),
    ]
    .concat()
    .join("\n")
}

/// Makes a run folder of a checkpoint, for `evaluate`.
///
/// Nobody knows whom it was trained on: every person of the maps counts as one for the gallery.
pub fn import_weights(options: &ImportOptions) -> Result<KeyReport, WeightsError> {
    let ImportOptions { file, out, .. } = options;
    let occupied = std::fs::read_dir(out).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != ".lock"))
    });
    if occupied {
        return Err(WeightsError::Occupied(out.clone()));
    }
    let unusable = |reason: String| WeightsError::Unusable { file: file.clone(), reason };
    let tensors = without_prefix(read_state_dict(file)?);
    let network = original_architecture(&tensors, options.input_side, options.shared_emotion)
        .map_err(unusable)?;
    let config = run_config(options, &network).map_err(unusable)?;
    let split = Split::default();
    let mut trained_on = TrainedOn::new(&config, &split);
    trained_on.network.identities = network.identities;
    if trained_on.network != network {
        return Err(unusable(
            "has another architecture than the study's tasks and depths; it cannot be run here"
                .into(),
        ));
    }
    let (loaded, report) = load_original(network.init(&Device::flex()), &network.tasks, &tensors);
    // The study's network carries a classifier that it never uses; where emotion takes another's
    // attention, its own is not used either.
    let unused = |name: &String| {
        name.starts_with("backbone.fc.")
            || (options.shared_emotion && name.starts_with("backbone.emotion_fsm."))
    };
    if !report.is_complete() || !report.unexpected.iter().all(unused) {
        return Err(WeightsError::Incomplete { file: file.clone(), report });
    }
    let _lock = FolderLock::acquire(out)?;
    let text = toml::to_string(&config).map_err(|e| unusable(e.to_string()))?;
    split.write(&out.join(SPLIT_FILE))?;
    write_atomically(&out.join(CONFIG_FILE), |file| file.write_all(text.as_bytes()))?;
    // Last: what makes the folder a run that can be evaluated.
    save_best(out, &trained_on, &loaded, Best { epoch: 0, score: 0.0 })?;
    Ok(report)
}

/// The study's configuration, with the imported network's classes and depth.
fn run_config(options: &ImportOptions, network: &NetworkConfig) -> Result<TrainConfig, String> {
    let text = format!(
        "preset = 'legacy'\nmodalities = ['{}']\ninput_side = {}\n",
        options.modality.name(),
        options.input_side
    );
    let mut config =
        resolve_train_config(text.parse().map_err(|e: toml::de::Error| e.to_string())?)?;
    config.network.width = network.width;
    config.network.depth = NetworkOptions::depth_of(network).ok_or_else(|| {
        format!("has stages of {:?} blocks, which is no known depth", network.blocks)
    })?;
    for (task, shape) in config.tasks.iter_mut().zip(&network.tasks) {
        if task.classes.len() != shape.classes {
            return Err(format!(
                "has {} classes of {} where the study has {}",
                shape.classes,
                shape.name,
                task.classes.len()
            ));
        }
        task.shares_attention_with = shape.shares_attention_with.clone();
    }
    Ok(config)
}

/// Writes a run's network as safetensors under the study's names; how many tensors.
pub fn export_weights(run: &Path, out: &Path) -> Result<usize, WeightsError> {
    let config = read_train_config(&run.join(CONFIG_FILE))?;
    let split = Split::read(&run.join(SPLIT_FILE))?;
    let trained_on = TrainedOn::new(&config, &split);
    let checkpoint = load_best(run, &trained_on, &Device::flex())?;
    let tensors = to_original(&checkpoint.network, &trained_on.network.tasks);
    write_state_dict(out, &tensors)?;
    Ok(tensors.len())
}
