//! `train`: maps and a configuration → a run folder with checkpoints.
//!
//! ```text
//! run/config.toml     the resolved configuration
//! run/split.csv       who is for training, who for the gallery
//! run/metrics.jsonl   one line an epoch
//! run/checkpoints/    the last two
//! ```

use super::{Event, EventSink, open_compute};
use crate::config::{ConfigError, read_toml};
use crate::dataset::{Manifest, Split};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{FolderLock, IoError, remove_file, write_atomically};
use crate::reconstruct::Compute;
use crate::train::{TrainConfig, TrainError, TrainEvent, Trainer, remove_all};
use burn::tensor::Device;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

pub(super) const CONFIG_FILE: &str = "config.toml";
pub(super) const SPLIT_FILE: &str = "split.csv";
const METRICS_FILE: &str = "metrics.jsonl";

#[derive(Clone, Debug)]
pub struct TrainOptions {
    pub config: TrainConfig,
    /// Folder of maps with its manifest.
    pub data: PathBuf,
    /// Run folder.
    pub out: PathBuf,
    pub device: DeviceRequest,
    /// Throw away what the run folder holds.
    pub fresh: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum TrainRunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error("{path}: is not of a training run; choose another --out", path = .0.display())]
    Foreign(PathBuf),
    #[error("{run}: was begun with another configuration ({difference}); choose another --out, or give --fresh to start over", run = .run.display())]
    ConfigChanged { run: PathBuf, difference: String },
}

/// Reads a training configuration and checks that it is possible.
pub fn read_train_config(path: &Path) -> Result<TrainConfig, ConfigError> {
    let config: TrainConfig = read_toml(path)?;
    config
        .check()
        .map_err(|reason| ConfigError::Impossible { path: path.to_path_buf(), reason })?;
    Ok(config)
}

/// burn's device for a request.
pub(super) fn learning_device(
    request: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<Device, GpuError> {
    match open_compute(request, emit)? {
        Compute::Cpu => Ok(Device::flex()),
        Compute::Gpu(gpu) => gpu.burn_device(),
    }
}

/// Trains, or goes on where the run folder's newest checkpoint stands.
pub fn train(options: &TrainOptions, emit: EventSink<'_>) -> Result<(), TrainRunError> {
    let TrainOptions { config, data, out, .. } = options;
    let manifest = Manifest::read(data)?;
    let split = Split::new(&config.split, &manifest).map_err(TrainError::Impossible)?;
    let device = learning_device(&options.device, emit)?;
    let _lock = FolderLock::acquire(out)?;
    prepare_run(options, &split)?;

    let metrics = RefCell::new(String::new());
    let failed = RefCell::new(None);
    let on_event = |event: TrainEvent| {
        match &event {
            TrainEvent::Started { resumed, .. } => {
                *metrics.borrow_mut() = metrics_up_to(&out.join(METRICS_FILE), *resumed);
            }
            TrainEvent::EpochFinished { epoch, losses, learning_rate } => {
                let line = serde_json::json!({
                    "epoch": epoch, "learning_rate": learning_rate, "losses": losses,
                });
                metrics.borrow_mut().push_str(&format!("{line}\n"));
                let text = metrics.borrow();
                let written = write_atomically(&out.join(METRICS_FILE), |file| {
                    file.write_all(text.as_bytes())
                });
                if let Err(error) = written {
                    failed.borrow_mut().get_or_insert(error);
                }
            }
            _ => {}
        }
        emit(Event::Train(event));
    };
    Trainer::new(config.clone(), &manifest, &split, out, device, &on_event)?.run(out, &on_event)?;
    match failed.into_inner() {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}

/// Writes configuration and split, or checks that they are the ones the run was begun with.
fn prepare_run(options: &TrainOptions, split: &Split) -> Result<(), TrainRunError> {
    let run = &options.out;
    let config_path = run.join(CONFIG_FILE);
    let split_path = run.join(SPLIT_FILE);
    if options.fresh {
        // Weights first: killed in between, no other split may find them.
        remove_all(run)?;
        for name in [CONFIG_FILE, SPLIT_FILE, METRICS_FILE] {
            remove_file(&run.join(name))?;
        }
    } else if config_path.exists() && !split_path.exists() {
        return Err(TrainRunError::Foreign(config_path));
    }
    let changed =
        |difference: String| Err(TrainRunError::ConfigChanged { run: run.clone(), difference });
    if config_path.exists() {
        let begun: TrainConfig = read_toml(&config_path)?;
        if begun != options.config {
            return changed(first_difference(&begun, &options.config));
        }
    }
    if split_path.exists() && Split::read(&split_path)? != *split {
        return changed("the maps hold other people".into());
    }
    let text = to_toml(&options.config);
    split.write(&split_path)?;
    write_atomically(&config_path, |out| out.write_all(text.as_bytes()))?;
    Ok(())
}

fn to_toml(config: &TrainConfig) -> String {
    toml::to_string(config).expect("every field of the configuration has a TOML form")
}

/// The first line in which two configurations differ, as "was …, is …".
fn first_difference(begun: &TrainConfig, wanted: &TrainConfig) -> String {
    let (begun, wanted) = (to_toml(begun), to_toml(wanted));
    let lines = begun.lines().zip(wanted.lines());
    match lines.into_iter().find(|(a, b)| a != b) {
        Some((a, b)) => format!("was `{a}`, is `{b}`"),
        None => "one has more settings than the other".into(),
    }
}

/// The lines of epochs that are done; what a killed run wrote beyond its checkpoint goes.
fn metrics_up_to(path: &Path, epochs: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let epoch =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("epoch")?.as_u64();
    text.lines()
        .filter(|line| epoch(line).is_some_and(|epoch| epoch <= epochs as u64))
        .map(|line| format!("{line}\n"))
        .collect()
}
