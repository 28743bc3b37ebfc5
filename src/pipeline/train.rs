//! `train`: maps and a configuration → a run folder with checkpoints.
//!
//! ```text
//! run/config.toml     the resolved configuration
//! run/split.csv       who is for training, validation and the gallery
//! run/metrics.jsonl   one line an epoch
//! run/events.out.tfevents.lumiface    the same and more for TensorBoard
//! run/checkpoints/    the last two, and the best on the people for validation
//! run/report.json     what it was trained on, how it went, which state to use
//! ```

use super::evaluate::{embeddings_file, report_folder, result_files, saliency_files};
use super::map_settings::MapSettings;
use super::recognition::{captures_of, task_samples};
use super::{Event, EventSink, open_compute};
use crate::config::{ConfigError, read_toml};
use crate::dataset::{Collection, Modality, Part, SampleOptions, SampleSource, Split};
use crate::eval::{Enrolment, Measure, Merge, Protocol, Roc, Searches, macro_auc};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{FolderLock, IoError, remove_file, remove_folder, write_atomically, write_json};
use crate::model::{ConfidenceInput, MultiTaskNetwork};
use crate::reconstruct::Compute;
use crate::train::{
    Begin, EVENT_FILE, Embedder, EventFile, Losses, Pace, TrainConfig, TrainError, TrainEvent,
    TrainedOn, Trainer, TrainingData, Validation, class_of, difference, has_best, has_checkpoint,
    load_best, read_train_config, remove_all, stored_side, trained_epochs,
};
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const CONFIG_FILE: &str = "config.toml";
pub(super) const SPLIT_FILE: &str = "split.csv";
const METRICS_FILE: &str = "metrics.jsonl";
const REPORT_FILE: &str = "report.json";

#[derive(Clone, Debug)]
pub struct TrainOptions {
    pub config: TrainConfig,
    /// Folders of maps with their manifests.
    pub data: Vec<PathBuf>,
    /// Folder for packed maps; in the folders of maps where `None`.
    pub packs: Option<PathBuf>,
    /// Run folder.
    pub out: PathBuf,
    pub device: DeviceRequest,
    /// Throw away what the run folder holds.
    pub fresh: bool,
    /// Go on although the configuration is another than the one that the run was begun with.
    pub accept_changes: bool,
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
    #[error("{run}: was begun with another configuration ({difference}); choose another --out, give --fresh to start over, or --accept-changes to go on with the new one", run = .run.display())]
    ConfigChanged { run: PathBuf, difference: String },
    #[error("{run}: was begun with other people ({difference}); choose another --out, or give --fresh to start over", run = .run.display())]
    PeopleChanged { run: PathBuf, difference: String },
    #[error("{run}: fusion.members are other runs than those whose networks it took when it was begun; choose another --out, or give --fresh to start over", run = .0.display())]
    MembersChanged(PathBuf),
    #[error("fusion.members: {run}: {reason}", run = .run.display())]
    Member { run: PathBuf, reason: String },
}

/// What a run was and how it went; the last word of a training.
#[derive(Debug, Serialize)]
struct Report<'a> {
    device: String,
    data: &'a [PathBuf],
    /// People by part of the split.
    people: BTreeMap<String, usize>,
    captures: usize,
    tasks: Vec<TaskReport>,
    epochs: usize,
    steps: u64,
    /// The state that `evaluate` uses, and its AUC; the last one where nobody was for validation.
    best: Option<(usize, f64)>,
    /// Of the last epoch.
    losses: Option<Losses>,
    validation: Option<Validation>,
    pace: Option<Pace>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TaskReport {
    task: String,
    /// Training captures and weight in the loss of each class.
    classes: Vec<(String, usize, f32)>,
}

/// burn's device for a request, and its name.
pub(super) fn learning_device(
    request: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<(Device, String), GpuError> {
    let compute = open_compute(request, emit)?;
    let name = compute.name().to_string();
    let device = match compute {
        Compute::Cpu => Device::flex(),
        Compute::Gpu(gpu) => gpu.burn_device()?,
    };
    Ok((device, name))
}

/// The samples that a configuration asks for, of those modalities that are looked at.
pub(super) fn sample_source(
    config: &TrainConfig,
    modalities: &[Modality],
    collection: &Collection,
    packs: Option<&Path>,
    warn: &dyn Fn(String),
) -> Result<SampleSource, IoError> {
    let options = SampleOptions {
        modalities: modalities.to_vec(),
        confidence: config.network.confidence != ConfidenceInput::None,
        side: stored_side(config.input_side),
    };
    SampleSource::open(collection, options, packs, warn)
}

/// Trains, or goes on where the run folder's newest checkpoint stands.
pub fn train(options: &TrainOptions, emit: EventSink<'_>) -> Result<(), TrainRunError> {
    let TrainOptions { config, data, out, .. } = options;
    let collection = Collection::read(data)?;
    let split = match &config.split.file {
        Some(file) => Split::read(file)?,
        None => Split::new(&config.split, &collection.split_captures())
            .map_err(TrainError::Impossible)?,
    };
    let settings = MapSettings::of(data)?;
    let (device, device_name) = learning_device(&options.device, emit)?;
    let _lock = FolderLock::acquire(out)?;

    // Everything that can be wrong is found out before the run folder is touched.
    let run = RunFiles::new(out);
    let warn = |text: String| run.take(&TrainEvent::Warning { text }, emit);
    let goes_on = !options.fresh && has_checkpoint(out);
    if goes_on {
        MapSettings::check(out, data)?;
    }
    let begin = if goes_on {
        Begin::From(out)
    } else {
        Begin::Anew(load_members(config, &split, &device, &warn)?)
    };
    let packs = options.packs.as_deref();
    let source = Arc::new(sample_source(config, &config.modalities, &collection, packs, &warn)?);
    let training = TrainingData::new(config, &collection, &split, source.clone())?;
    for capture in collection.captures() {
        for task in &config.tasks {
            class_of(task, capture.row).map_err(TrainError::from)?;
        }
    }
    // A best state without a checkpoint is of a run that was killed early, or imported: training
    // begins anew, but under another configuration it would replace what is not its own.
    check_begun(options, &split, goes_on || (!options.fresh && has_best(out)))?;
    let class_counts: Vec<Vec<usize>> = (0..config.tasks.len())
        .map(|task| training.class_counts(task, config.tasks[task].classes.len()))
        .collect();
    let captures = training.captures();
    let trained_on = TrainedOn::new(config, &split);
    let mut trainer =
        Trainer::new(config.clone(), training, trained_on, begin, device.clone(), &warn)?;
    write_settings(options, &split)?;
    settings.keep(out)?;

    let on_event = |event: TrainEvent| run.take(&event, emit);
    let watched = captures_of(&collection, &split, Part::Validation);
    let ids: Vec<&str> = watched.iter().map(|capture| capture.row.id.as_str()).collect();
    let protocol = Protocol::new(&ids, Enrolment::Each, 1);
    let validate = |network: &MultiTaskNetwork| {
        let embedder =
            Embedder { network, input_side: config.input_side, shown: None, device: &device };
        let embeddings =
            embedder.captures(&source, &watched, false).map_err(TrainError::Impossible)?;
        let identity: Vec<Vec<f32>> = embeddings.iter().map(|e| e.identity.clone()).collect();
        let searches = Searches::new(&protocol, &identity, Measure::Cosine, Merge::Best);
        let auc = searches
            .as_ref()
            .map_err(|&e| e)
            .and_then(|found| found.roc.as_ref().map_err(|&e| e).map(Roc::auc));
        let mut tasks = BTreeMap::new();
        for (index, task) in config.tasks.iter().enumerate() {
            let samples = task_samples(&watched, &embeddings, &protocol.person, index, task)?;
            let auc = macro_auc(&samples.probabilities, &samples.labels).ok();
            tasks.insert(task.name.clone(), auc);
        }
        Ok(Validation {
            auc: auc.ok(),
            rank_1: searches.and_then(|found| found.rank_share(1)).ok(),
            tasks,
        })
    };
    let validates = protocol.probes() > 0;
    if !validates && !watched.is_empty() {
        warn("nobody for validation has two sessions, so no state can be chosen by them".into());
    }
    trainer.run(out, if validates { Some(&validate) } else { None }, &on_event)?;
    run.failed()?;

    let mut people = BTreeMap::new();
    for part in split.parts.values() {
        *people.entry(part.to_string()).or_insert(0) += 1;
    }
    let task_report = |(index, counts): (usize, &Vec<usize>)| {
        let task = &config.tasks[index];
        let weights = trainer.class_weights(index);
        let classes = task.classes.iter().zip(counts).zip(weights);
        TaskReport {
            task: task.name.clone(),
            classes: classes.map(|((class, &n), &weight)| (class.clone(), n, weight)).collect(),
        }
    };
    let finished = run.finished();
    let report = Report {
        device: device_name,
        data,
        people,
        captures,
        tasks: class_counts.iter().enumerate().map(task_report).collect(),
        epochs: config.optimizer.epochs,
        steps: finished.step,
        best: trainer.best().map(|best| (best.epoch, best.score)),
        losses: finished.losses,
        validation: finished.validation,
        pace: finished.pace,
        warnings: finished.warnings,
    };
    // A run that was finished and reported before has nothing new to tell, not even its pace.
    let path = out.join(REPORT_FILE);
    if report.pace.is_some() || reported_steps(&path) != Some(report.steps) {
        write_json(&path, &report)?;
    }
    Ok(())
}

/// Steps that a report speaks of.
fn reported_steps(report: &Path) -> Option<u64> {
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).ok()?).ok()?;
    report.get("steps")?.as_u64()
}

/// The trained networks of a concatenation's modalities.
fn load_members(
    config: &TrainConfig,
    split: &Split,
    device: &Device,
    warn: &dyn Fn(String),
) -> Result<Vec<MultiTaskNetwork>, TrainRunError> {
    let wanted = config.network(config.identities(split.people(Part::Train).count())).single();
    config
        .fusion
        .members
        .iter()
        .zip(&config.modalities)
        .map(|(run, &modality)| {
            let fail = |reason: String| TrainRunError::Member { run: run.clone(), reason };
            let settings = run.join(CONFIG_FILE);
            if !settings.exists() {
                return Err(fail("is no run yet; train it first".into()));
            }
            let member = read_train_config(&settings)?;
            if member.modalities != [modality] {
                return Err(fail(format!("was not trained on {} alone", modality.name())));
            }
            let member_split = Split::read(&run.join(SPLIT_FILE))?;
            if member_split != *split {
                return Err(fail(
                    "was trained with another split of people; its training may have seen this \
                     run's gallery"
                        .into(),
                ));
            }
            let trained_on = TrainedOn::new(&member, &member_split);
            let single = trained_on.network.single();
            if single != wanted {
                let difference = difference(&single, &wanted);
                return Err(fail(format!("has another architecture than this run ({difference})")));
            }
            // Weights that were imported count no epochs.
            let (done, wanted) = (trained_epochs(run).unwrap_or(0), member.optimizer.epochs);
            if done > 0 && done < wanted {
                return Err(fail(format!(
                    "is at epoch {done} of {wanted}; train it to its end first"
                )));
            }
            let checkpoint = load_best(run, &trained_on, device).map_err(TrainError::from)?;
            checkpoint.warnings.into_iter().for_each(warn);
            Ok(checkpoint.network.valid())
        })
        .collect()
}

/// What is written while a run goes on, besides its checkpoints.
struct RunFiles {
    folder: PathBuf,
    state: RefCell<RunState>,
}

#[derive(Default)]
struct RunState {
    metrics: String,
    events: Option<EventFile>,
    finished: Finished,
    /// The first write that failed.
    failed: Option<IoError>,
}

/// A line of the metrics: an epoch, without the pace, which no two runs share.
#[derive(Serialize, Deserialize)]
struct EpochLine {
    epoch: usize,
    learning_rate: f64,
    losses: Losses,
    validation: Option<Validation>,
}

/// What the last epoch left.
#[derive(Clone, Default)]
struct Finished {
    step: u64,
    losses: Option<Losses>,
    validation: Option<Validation>,
    pace: Option<Pace>,
    warnings: Vec<String>,
}

impl RunFiles {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), state: RefCell::default() }
    }

    /// Notes an event and hands it on.
    fn take(&self, event: &TrainEvent, emit: EventSink<'_>) {
        let written = self.write(event, &mut self.state.borrow_mut());
        if let Err(error) = written {
            // Told at once; the end of the run will fail by it.
            let text = format!("{error}");
            self.state.borrow_mut().failed.get_or_insert(error);
            emit(Event::Train(TrainEvent::Warning { text }));
        }
        emit(Event::Train(event.clone()));
    }

    fn write(&self, event: &TrainEvent, state: &mut RunState) -> Result<(), IoError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        match event {
            TrainEvent::Started { resumed_epochs, resumed_steps, .. } => {
                state.metrics = metrics_up_to(&self.folder.join(METRICS_FILE), *resumed_epochs);
                // A run that was killed between its last epoch and its report.
                let last: Option<EpochLine> =
                    state.metrics.lines().next_back().and_then(|l| serde_json::from_str(l).ok());
                state.finished.step = *resumed_steps;
                if let Some(EpochLine { losses, validation, .. }) = last {
                    state.finished.losses = Some(losses);
                    state.finished.validation = validation;
                }
                let path = self.folder.join(EVENT_FILE);
                state.events = Some(EventFile::open(&path, *resumed_steps)?);
            }
            TrainEvent::StepFinished { step, loss } => {
                if let Some(events) = &mut state.events {
                    events.scalars(*step, now, &[("step/loss", *loss as f32)])?;
                }
            }
            TrainEvent::EpochFinished { epoch, step, losses, learning_rate, validation, pace } => {
                if let Some(events) = &mut state.events {
                    let scalars = epoch_scalars(losses, *learning_rate, validation.as_ref(), pace);
                    let scalars: Vec<(&str, f32)> =
                        scalars.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
                    events.scalars(*step, now, &scalars)?;
                }
                let line = EpochLine {
                    epoch: *epoch,
                    learning_rate: *learning_rate,
                    losses: losses.clone(),
                    validation: validation.clone(),
                };
                let line = serde_json::to_string(&line)
                    .map_err(|e| IoError::unsuitable(&self.folder, e.to_string()))?;
                state.metrics.push_str(&format!("{line}\n"));
                let text = &state.metrics;
                write_atomically(&self.folder.join(METRICS_FILE), |file| {
                    file.write_all(text.as_bytes())
                })?;
                let warnings = std::mem::take(&mut state.finished.warnings);
                state.finished = Finished {
                    step: *step,
                    losses: Some(losses.clone()),
                    validation: validation.clone(),
                    pace: Some(*pace),
                    warnings,
                };
            }
            TrainEvent::Warning { text } => state.finished.warnings.push(text.clone()),
            TrainEvent::CheckpointWritten { .. } => {}
        }
        Ok(())
    }

    fn finished(&self) -> Finished {
        self.state.borrow().finished.clone()
    }

    fn failed(&self) -> Result<(), IoError> {
        self.state.borrow_mut().failed.take().map_or(Ok(()), Err)
    }
}

fn epoch_scalars(
    losses: &Losses,
    learning_rate: f64,
    validation: Option<&Validation>,
    pace: &Pace,
) -> Vec<(String, f32)> {
    let lengths = &losses.embedding_lengths;
    let mut scalars: Vec<(String, f64)> = [
        ("loss/total", losses.total),
        ("loss/identity", losses.identity),
        ("learning_rate", learning_rate),
        ("embedding_length/mean", lengths.mean),
        ("embedding_length/p05", lengths.p05),
        ("embedding_length/p95", lengths.p95),
        ("embedding_length/share_below", lengths.below),
        ("embedding_length/share_above", lengths.above),
        ("speed/images_per_second", pace.images_per_second),
        ("speed/share_waited", pace.waited),
    ]
    .map(|(tag, value)| (tag.to_string(), value))
    .to_vec();
    scalars.extend(losses.tasks.iter().map(|(task, v)| (format!("loss/task/{task}"), *v)));
    scalars.extend(losses.adversarial.iter().map(|(t, v)| (format!("loss/adversary/{t}"), *v)));
    if let Some(validation) = validation {
        let identity = [("auc", validation.auc), ("rank_1", validation.rank_1)];
        let figure = |(tag, value): (String, Option<f64>)| Some((tag, value?));
        scalars.extend(
            identity
                .iter()
                .map(|(name, value)| (format!("validation/identity/{name}"), *value))
                .chain(
                    validation
                        .tasks
                        .iter()
                        .map(|(task, value)| (format!("validation/auc/{task}"), *value)),
                )
                .filter_map(figure),
        );
    }
    scalars.into_iter().map(|(tag, value)| (tag, value as f32)).collect()
}

/// Whether the run folder is this command's to write to, and was begun with the same configuration and
/// people.
fn check_begun(
    options: &TrainOptions,
    split: &Split,
    begun_before: bool,
) -> Result<(), TrainRunError> {
    let run = &options.out;
    let config_path = run.join(CONFIG_FILE);
    let split_path = run.join(SPLIT_FILE);
    if config_path.exists() && !split_path.exists() {
        return Err(TrainRunError::Foreign(config_path));
    }
    if begun_before && config_path.exists() {
        let begun: TrainConfig = read_toml(&config_path)?;
        if options.accept_changes && begun.fusion.members != options.config.fusion.members {
            return Err(TrainRunError::MembersChanged(run.clone()));
        }
        if begun != options.config && !options.accept_changes {
            let difference = differences(&begun, &options.config);
            return Err(TrainRunError::ConfigChanged { run: run.clone(), difference });
        }
    }
    if begun_before && split_path.exists() {
        let begun = Split::read(&split_path)?;
        if begun != *split {
            let difference = split_difference(&begun, split);
            return Err(TrainRunError::PeopleChanged { run: run.clone(), difference });
        }
    }
    Ok(())
}

/// Writes configuration and split, in place of all that a run held where it starts over.
fn write_settings(options: &TrainOptions, split: &Split) -> Result<(), IoError> {
    let run = &options.out;
    if options.fresh {
        // Weights first: killed in between, no other split may find them.
        remove_all(run)?;
        let of_evaluation = Part::EVALUATED.iter().flat_map(|&part| {
            let [json, sheet] = result_files(run, part);
            let [picture, table] = saliency_files(run, part);
            [json, sheet, embeddings_file(run, part), picture, table]
        });
        let others = [CONFIG_FILE, SPLIT_FILE, METRICS_FILE, EVENT_FILE, REPORT_FILE];
        for path in others.map(|name| run.join(name)).into_iter().chain(of_evaluation) {
            remove_file(&path)?;
        }
        for folder in Part::EVALUATED.map(|part| report_folder(run, part)) {
            if folder.join("report.html").exists() {
                remove_folder(&folder)?;
            }
        }
    }
    let text = to_toml(&options.config);
    split.write(&run.join(SPLIT_FILE))?;
    write_atomically(&run.join(CONFIG_FILE), |out| out.write_all(text.as_bytes()))
}

fn to_toml(config: &TrainConfig) -> String {
    toml::to_string(config).expect("every field of the configuration has a TOML form")
}

/// Every setting in which two configurations differ, as "optimizer.epochs was 10, is 20".
fn differences(begun: &TrainConfig, wanted: &TrainConfig) -> String {
    fn settings(prefix: &str, value: &serde_json::Value, into: &mut BTreeMap<String, String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (key, value) in fields {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    settings(&format!("{prefix}{dot}{key}"), value, into);
                }
            }
            other => drop(into.insert(prefix.to_string(), other.to_string())),
        }
    }
    let of = |config: &TrainConfig| {
        let mut found = BTreeMap::new();
        let value = serde_json::to_value(config).unwrap_or_default();
        settings("", &value, &mut found);
        found
    };
    let (begun, wanted) = (of(begun), of(wanted));
    let keys: std::collections::BTreeSet<&String> = begun.keys().chain(wanted.keys()).collect();
    let nothing = "nothing".to_string();
    keys.into_iter()
        .filter(|key| begun.get(*key) != wanted.get(*key))
        .map(|key| {
            let value = |of: &BTreeMap<String, String>| of.get(key).unwrap_or(&nothing).clone();
            format!("{key} was {}, is {}", value(&begun), value(&wanted))
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// The first person whose part is another.
fn split_difference(begun: &Split, wanted: &Split) -> String {
    let part = |split: &Split, id: &str| {
        split.parts.get(id).map_or("not there".to_string(), |part| format!("in {part}"))
    };
    let ids = begun.parts.keys().chain(wanted.parts.keys());
    ids.into_iter().find(|id| begun.parts.get(*id) != wanted.parts.get(*id)).map_or_else(
        || "other captures are left out".to_string(),
        |id| format!("`{id}` was {}, is {}", part(begun, id), part(wanted, id)),
    )
}

/// The lines of epochs that are done; what a killed run wrote beyond its checkpoint goes.
fn metrics_up_to(path: &Path, epochs: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let epoch = |line: &str| Some(serde_json::from_str::<EpochLine>(line).ok()?.epoch);
    text.lines()
        .filter(|line| epoch(line).is_some_and(|epoch| epoch <= epochs))
        .map(|line| format!("{line}\n"))
        .collect()
}
