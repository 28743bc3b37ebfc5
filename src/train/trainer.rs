//! The loop.
//!
//! Order and views of an epoch follow from the seed and the epoch's number alone, so a run that
//! goes on from a checkpoint, at whatever step, does what the unbroken run would have done. Batches
//! are made by another thread while the network works.

use super::checkpoint::{self, Best, CheckpointError, Progress, TrainedOn};
use super::data::{Batch, TrainingData};
use super::lengths::EmbeddingLengths;
use super::objective::{LossPart, Objective};
use super::optimizer::new_optimizer;
use super::{IdentityLoss, LabelError, TrainConfig};
use crate::io::IoError;
use crate::loss::MagFaceConfig;
use crate::model::MultiTaskNetwork;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Batches that wait ready-made.
const READY: usize = 3;
/// A loss that nothing comes back from; the sum of all losses begins below a few hundred.
const EXPLODED: f32 = 1e6;

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error("{0}")]
    Impossible(String),
    #[error("{run}: was begun with other captures or labels, so it cannot go on; restore the maps, or give --fresh to start over", run = .0.display())]
    DataChanged(PathBuf),
    #[error(
        "the loss is {loss} in epoch {epoch}, at {captures}; lower optimizer.learning_rate or remove these captures"
    )]
    Diverged { loss: f32, epoch: usize, captures: String },
}

/// Mean losses, unweighted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// The weighted sum that is minimised.
    pub total: f64,
    pub identity: f64,
    /// By task; absent where no sample had a label.
    pub tasks: BTreeMap<String, f64>,
    pub adversarial: BTreeMap<String, f64>,
    /// Of the identity embeddings, for whom MagFace's margin is meant.
    pub embedding_lengths: EmbeddingLengths,
}

/// How the people for validation are told apart; `None` where a figure has no value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// AUC of genuine against impostor pairs: chooses the best state.
    pub auc: Option<f64>,
    pub rank_1: Option<f64>,
    /// AUC by task.
    pub tasks: BTreeMap<String, Option<f64>>,
}

/// Looks at the people for validation with an evaluation-mode network.
pub type Validate<'a> = &'a dyn Fn(&MultiTaskNetwork) -> Result<Validation, TrainError>;

/// How fast an epoch, or what was left of it, went by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    pub images_per_second: f64,
    /// Share of the time in which the network waited for a batch.
    pub waited: f64,
}

#[derive(Clone, Debug)]
pub enum TrainEvent {
    /// Everything is read; training begins or goes on.
    Started {
        samples: usize,
        people: usize,
        epochs: usize,
        /// Steps of the whole run.
        steps: usize,
        /// Epochs and steps that were done already.
        resumed_epochs: usize,
        resumed_steps: u64,
    },
    StepFinished {
        /// Steps of the run that are done.
        step: u64,
        loss: f64,
    },
    EpochFinished {
        epoch: usize,
        /// Steps of the run that are done.
        step: u64,
        losses: Losses,
        learning_rate: f64,
        validation: Option<Validation>,
        pace: Pace,
    },
    CheckpointWritten {
        path: PathBuf,
    },
    /// A packed copy of the maps was found damaged, or a setting is doubtful.
    Warning {
        text: String,
    },
}

/// What training begins with.
pub enum Begin<'a> {
    /// The trained networks of a concatenation's modalities; none begins from nothing.
    Anew(Vec<MultiTaskNetwork>),
    /// The newest checkpoint of a run.
    From(&'a Path),
}

/// A network in training.
pub struct Trainer {
    config: TrainConfig,
    trained_on: TrainedOn,
    data: TrainingData,
    objective: Objective,
    network: MultiTaskNetwork,
    optimizer: ModuleOptimizer,
    progress: Progress,
    device: Device,
}

/// Samples are kept a little larger than the input, so that crops lose no detail.
pub fn stored_side(input_side: usize) -> usize {
    input_side + input_side / 4
}

impl Trainer {
    /// Everything that training needs, in memory; nothing is written before [`Trainer::run`].
    ///
    /// # Errors
    /// Nothing but damaged checkpoints to go on from, or one of another run, of other captures or of
    /// more epochs than are wanted.
    pub fn new(
        config: TrainConfig,
        data: TrainingData,
        trained_on: TrainedOn,
        begin: Begin<'_>,
        device: Device,
        warn: &dyn Fn(String),
    ) -> Result<Self, TrainError> {
        for text in doubts(&config, &data) {
            warn(text);
        }
        let objective = Objective::new(&config, &data);
        let training_device = device.clone().autodiff();
        let mut optimizer = new_optimizer(&config);
        let (network, progress) = match begin {
            Begin::From(run) => {
                let checkpoint = checkpoint::load_latest(run, &trained_on, &training_device)?;
                checkpoint.warnings.into_iter().for_each(warn);
                let state = Bytes::from_bytes_vec(checkpoint.optimizer_state);
                optimizer = optimizer.from_bytes(state).map_err(|e| {
                    TrainError::Impossible(format!(
                        "{}: the optimiser's state cannot be read ({e}); give --fresh",
                        run.display()
                    ))
                })?;
                if checkpoint.progress.data != data.digest() {
                    return Err(TrainError::DataChanged(run.to_path_buf()));
                }
                let mut progress = checkpoint.progress;
                if progress.epoch > config.optimizer.epochs {
                    return Err(TrainError::Impossible(format!(
                        "{}: has {} epochs behind it, more than optimizer.epochs {}; evaluate it as \
                         it is, or give --fresh to train anew",
                        run.display(),
                        progress.epoch,
                        config.optimizer.epochs
                    )));
                }
                if progress.best.is_some() && !checkpoint::has_best(run) {
                    warn(format!(
                        "{}: the state that did best on the people for validation is gone; the \
                         best from here on is kept",
                        run.display()
                    ));
                    progress.best = None;
                }
                (checkpoint.network, progress)
            }
            Begin::Anew(members) => {
                device.seed(config.seed);
                let network = trained_on.network.init(&training_device);
                let network = if members.is_empty() {
                    network
                } else {
                    network.with_streams(members.into_iter().map(Module::train).collect())
                };
                (network, Progress { data: data.digest(), ..Progress::default() })
            }
        };
        let network = if config.fusion.is_frozen() { network.freeze_streams() } else { network };
        Ok(Self {
            config,
            trained_on,
            data,
            objective,
            network,
            optimizer,
            progress,
            device: training_device,
        })
    }

    /// Trains to the last epoch, writing checkpoints into `run`.
    pub fn run(
        &mut self,
        run: &Path,
        validate: Option<Validate<'_>>,
        emit: &dyn Fn(TrainEvent),
    ) -> Result<(), TrainError> {
        let epochs = self.config.optimizer.epochs;
        emit(TrainEvent::Started {
            samples: self.data.captures(),
            people: self.data.people,
            epochs,
            steps: (0..epochs).map(|epoch| self.data.sampler.epoch(epoch).len()).sum(),
            resumed_epochs: self.progress.epoch,
            resumed_steps: self.progress.total_steps,
        });
        let (first_epoch, first_step) = (self.progress.epoch, self.progress.step);
        let (config, data) = (self.config.clone(), self.data.clone());
        std::thread::scope(|scope| {
            let (send, batches) = sync_channel::<Batch>(READY);
            scope.spawn(move || {
                for epoch in first_epoch..epochs {
                    let skip = if epoch == first_epoch { first_step } else { 0 };
                    for positions in data.sampler.epoch(epoch).into_iter().skip(skip) {
                        // Nobody listens any more when a step has failed.
                        if send.send(data.batch(&config, epoch, positions)).is_err() {
                            return;
                        }
                    }
                }
            });
            while self.progress.epoch < epochs {
                self.train_epoch(run, validate, &batches, emit)?;
            }
            Ok(())
        })
    }

    fn train_epoch(
        &mut self,
        run: &Path,
        validate: Option<Validate<'_>>,
        batches: &std::sync::mpsc::Receiver<Batch>,
        emit: &dyn Fn(TrainEvent),
    ) -> Result<(), TrainError> {
        let options = self.config.optimizer.clone();
        let epoch = self.progress.epoch;
        let steps = self.data.sampler.epoch(epoch).len();
        let (start, mut waited, mut images) = (Instant::now(), Duration::ZERO, 0);
        for step in self.progress.step..steps {
            let asked = Instant::now();
            let batch = batches.recv().map_err(|_| {
                TrainError::Impossible("the thread that makes batches has stopped".into())
            })?;
            waited += asked.elapsed();
            images += batch.positions.len();
            let at = epoch as f64 + step as f64 / steps as f64;
            let learning_rate = options.learning_rate_at(at);
            let reversal = self.config.adversary.reversal_at(at / options.epochs as f64);
            let loss = self.train_step(batch, learning_rate, reversal)?;
            self.progress.step = step + 1;
            self.progress.total_steps += 1;
            emit(TrainEvent::StepFinished { step: self.progress.total_steps, loss });
            let due = options.checkpoint_steps > 0
                && self.progress.step.is_multiple_of(options.checkpoint_steps)
                && self.progress.step < steps;
            if due {
                self.save(run, emit)?;
            }
        }
        let seconds = start.elapsed().as_secs_f64().max(1e-9);
        let pace = Pace {
            images_per_second: images as f64 / seconds,
            waited: waited.as_secs_f64() / seconds,
        };

        let sums = std::mem::take(&mut self.progress.sums);
        let losses = sums.means(&self.config.identity.magface);
        let last = epoch + 1 == options.epochs;
        // The first epochs say little of where lengths will be.
        if last
            && self.config.identity.loss == IdentityLoss::Magface
            && let Some(text) = losses.embedding_lengths.warning(&self.config.identity.magface)
        {
            emit(TrainEvent::Warning { text });
        }
        self.progress.epoch += 1;
        self.progress.step = 0;
        let looks = last || self.progress.epoch.is_multiple_of(options.validation_epochs);
        let validation = match validate {
            Some(validate) if looks => Some(validate(&self.network.valid())?),
            _ => None,
        };
        if let Some(score) = validation.as_ref().and_then(|v| v.auc)
            && self.progress.best.is_none_or(|best| score > best.score)
        {
            let best = Best { epoch: self.progress.epoch, score };
            self.progress.best = Some(best);
            checkpoint::save_best(run, &self.trained_on, &self.network, best)?;
        }
        emit(TrainEvent::EpochFinished {
            epoch: self.progress.epoch,
            step: self.progress.total_steps,
            losses,
            learning_rate: options.learning_rate_at(epoch as f64),
            validation,
            pace,
        });
        if last || self.progress.epoch.is_multiple_of(options.checkpoint_epochs) {
            self.save(run, emit)?;
        }
        Ok(())
    }

    fn save(&self, run: &Path, emit: &dyn Fn(TrainEvent)) -> Result<(), TrainError> {
        let path = checkpoint::save(
            run,
            &self.trained_on,
            &self.network,
            &self.optimizer,
            &self.progress,
        )?;
        emit(TrainEvent::CheckpointWritten { path });
        Ok(())
    }

    fn train_step(
        &mut self,
        mut batch: Batch,
        learning_rate: f64,
        reversal: f64,
    ) -> Result<f64, TrainError> {
        let input = batch.take_input().on(&self.device);
        let output = self.network.forward(input, reversal);
        let lengths = output.embedding.clone().detach().powi_scalar(2).sum_dim(1).sqrt();
        let (total, parts) =
            self.objective.losses(&self.network, &self.data, &batch, output, &self.device);
        let values = Tensor::cat(
            std::iter::once(total.clone())
                .chain(parts.iter().map(|(_, loss)| loss.clone()))
                .chain(std::iter::once(lengths.flatten(0, 1)))
                .collect(),
            0,
        )
        .into_data()
        .try_to_vec::<f32>()
        .unwrap_or_default();
        let loss = values.first().copied().unwrap_or(f32::NAN);
        if loss.is_nan() || loss.abs() >= EXPLODED {
            let name = |&position: &usize| self.data.captures[position].name.as_str();
            let names: Vec<_> = batch.positions.iter().map(name).collect();
            return Err(TrainError::Diverged {
                loss,
                epoch: self.progress.epoch + 1,
                captures: names.join(", "),
            });
        }
        let (values, lengths) = values[1..].split_at(parts.len());
        let sums = &mut self.progress.sums;
        sums.lengths.extend_from_slice(lengths);
        sums.add(loss, parts.into_iter().map(|(part, _)| part).zip(values.iter().copied()));

        let gradients = GradientsParams::from_grads(total.backward(), &self.network);
        let network = self.network.clone();
        self.network = self.optimizer.step(learning_rate, network, gradients);
        Ok(f64::from(loss))
    }

    /// Epoch and score of the best state on the people for validation.
    pub fn best(&self) -> Option<Best> {
        self.progress.best
    }

    /// Weight of each class of a task in its loss.
    pub fn class_weights(&self, task: usize) -> &[f32] {
        self.objective.alpha(task)
    }

    /// The network for evaluation, and its device.
    pub fn into_network(self) -> (MultiTaskNetwork, Device) {
        (self.network.valid(), self.device.without_autodiff())
    }
}

/// What is doubtful about a configuration on its captures, a line each.
fn doubts(config: &TrainConfig, data: &TrainingData) -> Vec<String> {
    let mut doubts = Vec::new();
    for (index, task) in config.tasks.iter().enumerate() {
        let counts = data.class_counts(index, task.classes.len());
        let name = &task.name;
        if counts.iter().all(|&count| count == 0) {
            doubts.push(format!("no training capture has a label for the task `{name}`"));
        } else if let Some(empty) = counts.iter().position(|&count| count == 0) {
            let class = &task.classes[empty];
            doubts.push(format!("no training capture is of the class `{class}` of `{name}`"));
        }
    }
    let short = data.sampler.people_short_of_captures();
    if short > 0 {
        doubts.push(format!(
            "{short} of {} people have fewer than {} captures; theirs stand several times in a \
             batch, in other views",
            data.people, config.sampler.captures_per_person
        ));
    }
    let magface = &config.identity.magface;
    let least = magface.least_length_weight();
    if config.identity.loss == IdentityLoss::Magface && magface.length_weight < least {
        doubts.push(format!(
            "identity.magface.length_weight {} is below {least:.1}, from which on an embedding has \
             one best length; raise it, or lower the scale or the margins' range",
            magface.length_weight
        ));
    }
    doubts
}

/// A sum of so many values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    #[serde(with = "checkpoint::exact")]
    sum: f64,
    count: usize,
}

impl Sum {
    fn add(&mut self, value: f32) {
        self.sum += f64::from(value);
        self.count += 1;
    }

    fn mean(self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

/// Sums over the steps of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LossSums {
    total: Sum,
    parts: Vec<(LossPart, Sum)>,
    /// Of every embedding. A number with few digits reads back as it was.
    lengths: Vec<f32>,
}

impl LossSums {
    fn add(&mut self, total: f32, parts: impl Iterator<Item = (LossPart, f32)>) {
        self.total.add(total);
        for (part, value) in parts {
            let known = self.parts.iter().position(|(known, _)| *known == part);
            let at = known.unwrap_or_else(|| {
                self.parts.push((part, Sum::default()));
                self.parts.len() - 1
            });
            self.parts[at].1.add(value);
        }
    }

    fn means(self, magface: &MagFaceConfig) -> Losses {
        let mut losses = Losses {
            total: self.total.mean(),
            embedding_lengths: EmbeddingLengths::of(self.lengths, magface).unwrap_or_default(),
            ..Default::default()
        };
        for (part, sum) in self.parts {
            let mean = sum.mean();
            match part {
                LossPart::Identity => losses.identity = mean,
                LossPart::Task(name) => drop(losses.tasks.insert(name, mean)),
                LossPart::Adversarial(name) => drop(losses.adversarial.insert(name, mean)),
            }
        }
        losses
    }
}
