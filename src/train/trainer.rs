//! The loop.
//!
//! Order and augmentation of an epoch follow from the seed and the epoch's number alone, so a run
//! that goes on from a checkpoint does what the unbroken run would have done.

use super::checkpoint::{self, CheckpointError, TrainedOn};
use super::lengths::EmbeddingLengths;
use super::optimizer::new_optimizer;
use super::{LabelError, TrainConfig, class_of};
use crate::dataset::{Manifest, ManifestRow, Part, Sample, Split, load_sample, random_view};
use crate::io::IoError;
use crate::loss::MagFaceConfig;
use crate::model::{INPUT_CHANNELS, MultiTaskNetwork, NetworkConfig, NetworkOutput};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    #[error(
        "the loss is {loss} in epoch {epoch}, at {captures}; lower optimizer.learning_rate or remove these captures"
    )]
    Diverged { loss: f32, epoch: usize, captures: String },
}

/// Mean losses, unweighted.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
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

#[derive(Clone, Debug)]
pub enum TrainEvent {
    /// Everything is read; training begins or goes on.
    Started {
        samples: usize,
        people: usize,
        epochs: usize,
        steps_per_epoch: usize,
        /// Epochs that were done already.
        resumed: usize,
    },
    StepFinished {
        epoch: usize,
        loss: f64,
    },
    EpochFinished {
        epoch: usize,
        losses: Losses,
        learning_rate: f64,
    },
    CheckpointWritten {
        path: PathBuf,
    },
    Warning {
        text: String,
    },
}

struct TrainingSample {
    name: String,
    sample: Sample,
    /// 0..people
    person: usize,
    /// By task.
    classes: Vec<Option<usize>>,
}

/// A network in training.
pub struct Trainer {
    config: TrainConfig,
    trained_on: TrainedOn,
    samples: Vec<TrainingSample>,
    people: usize,
    network: MultiTaskNetwork,
    optimizer: ModuleOptimizer,
    epochs_done: usize,
    device: Device,
}

/// Samples are kept a little larger than the input, so that crops lose no detail.
pub fn stored_side(input_side: usize) -> usize {
    input_side + input_side / 4
}

/// The architecture that a configuration and a split come to.
pub(super) fn network_config(config: &TrainConfig, people: usize) -> NetworkConfig {
    let mirrored = config.augment.mirror && config.augment.mirror_is_another_person;
    config.network(if mirrored { 2 * people } else { people })
}

impl Trainer {
    /// Reads the training captures and the newest checkpoint of `run`, if there is one.
    pub fn new(
        config: TrainConfig,
        manifest: &Manifest,
        split: &Split,
        run: &Path,
        device: Device,
        emit: &dyn Fn(TrainEvent),
    ) -> Result<Self, TrainError> {
        let people: BTreeMap<&str, usize> =
            split.people(Part::Train).enumerate().map(|(i, id)| (id, i)).collect();
        let samples = read_samples(&config, manifest, &people)?;
        let people = people.len();
        if samples.len() < config.optimizer.batch_size {
            return Err(TrainError::Impossible(format!(
                "{} training captures do not fill a batch of {}; lower optimizer.batch_size",
                samples.len(),
                config.optimizer.batch_size
            )));
        }
        for (index, task) in config.tasks.iter().enumerate() {
            if samples.iter().all(|sample| sample.classes[index].is_none()) {
                let text = format!("no training capture has a label for the task `{}`", task.name);
                emit(TrainEvent::Warning { text });
            }
        }
        let magface = &config.identity.magface;
        let least = magface.least_length_weight();
        if magface.length_weight < least {
            let text = format!(
                "identity.magface.length_weight {} is below {least:.1}, from which on an embedding has \
                 one best length; raise it, or lower the scale or the margins' range",
                magface.length_weight
            );
            emit(TrainEvent::Warning { text });
        }
        let trained_on = TrainedOn::new(&config, split);
        let training_device = device.clone().autodiff();
        let mut optimizer = new_optimizer(&config);
        let (network, epoch) = match checkpoint::load_latest(run, &trained_on, &training_device) {
            Ok(checkpoint) => {
                for text in checkpoint.warnings {
                    emit(TrainEvent::Warning { text });
                }
                let state = Bytes::from_bytes_vec(checkpoint.optimizer_state);
                optimizer = optimizer.from_bytes(state).map_err(|e| {
                    TrainError::Impossible(format!(
                        "{}: the optimiser's state cannot be read ({e}); give --fresh",
                        run.display()
                    ))
                })?;
                (checkpoint.network, checkpoint.epoch)
            }
            Err(CheckpointError::Missing(_)) => {
                device.seed(config.seed);
                (trained_on.network.init(&training_device), 0)
            }
            Err(error) => return Err(error.into()),
        };
        emit(TrainEvent::Started {
            samples: samples.len(),
            people,
            epochs: config.optimizer.epochs,
            steps_per_epoch: samples.len() / config.optimizer.batch_size,
            resumed: epoch,
        });
        Ok(Self {
            config,
            trained_on,
            samples,
            people,
            network,
            optimizer,
            epochs_done: epoch,
            device: training_device,
        })
    }

    /// Trains to the last epoch, writing checkpoints into `run`.
    pub fn run(&mut self, run: &Path, emit: &dyn Fn(TrainEvent)) -> Result<(), TrainError> {
        let epochs = self.config.optimizer.epochs;
        while self.epochs_done < epochs {
            let epoch = self.epochs_done;
            let learning_rate = self.config.optimizer.learning_rate_at(epoch as f64);
            let losses = self.train_epoch(epoch, emit)?;
            // The first epochs say little of where lengths will be.
            if epoch + 1 == epochs
                && let Some(text) = losses.embedding_lengths.warning(&self.config.identity.magface)
            {
                emit(TrainEvent::Warning { text });
            }
            self.epochs_done += 1;
            emit(TrainEvent::EpochFinished { epoch: self.epochs_done, losses, learning_rate });
            let due = self.epochs_done.is_multiple_of(self.config.optimizer.checkpoint_epochs);
            if due || self.epochs_done == epochs {
                let path = checkpoint::save(
                    run,
                    &self.trained_on,
                    &self.network,
                    &self.optimizer,
                    self.epochs_done,
                )?;
                emit(TrainEvent::CheckpointWritten { path });
            }
        }
        Ok(())
    }

    fn train_epoch(
        &mut self,
        epoch: usize,
        emit: &dyn Fn(TrainEvent),
    ) -> Result<Losses, TrainError> {
        let batch_size = self.config.optimizer.batch_size;
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        order.shuffle(&mut Pcg64::seed_from_u64(self.config.seed ^ ((epoch as u64 + 1) << 32)));
        // A remainder smaller than a batch waits for the next epoch's order: batch statistics of
        // two samples would do more harm than the samples do good.
        let steps = order.len() / batch_size;
        let mut sums = LossSums::default();
        for step in 0..steps {
            let batch = &order[step * batch_size..(step + 1) * batch_size];
            let progress = epoch as f64 + step as f64 / steps as f64;
            let learning_rate = self.config.optimizer.learning_rate_at(progress);
            let done = progress / self.config.optimizer.epochs as f64;
            let pace = Pace { learning_rate, reversal: self.config.adversary.reversal_at(done) };
            let loss = self.train_step(batch, epoch, pace, &mut sums)?;
            emit(TrainEvent::StepFinished { epoch: epoch + 1, loss });
        }
        Ok(sums.means(&self.config.identity.magface))
    }

    fn train_step(
        &mut self,
        batch: &[usize],
        epoch: usize,
        pace: Pace,
        sums: &mut LossSums,
    ) -> Result<f64, TrainError> {
        let side = self.config.input_side;
        let views: Vec<_> = batch
            .par_iter()
            .map(|&index| {
                // One stream per sample and epoch: the same view in whatever batch it falls.
                let stream = self.config.seed ^ ((epoch as u64 + 1) << 32) ^ (index as u64 + 1);
                let mut random = Pcg64::seed_from_u64(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let sample = &self.samples[index].sample;
                let (modality, augment) = (self.config.modality, &self.config.augment);
                random_view(sample, modality, augment, side, &mut random)
            })
            .collect();
        let another = self.config.augment.mirror_is_another_person;
        let people: Vec<i32> = batch
            .iter()
            .zip(&views)
            .map(|(&index, view)| {
                let offset = if view.mirrored && another { self.people } else { 0 };
                (self.samples[index].person + offset) as i32
            })
            .collect();
        let data: Vec<f32> = views.into_iter().flat_map(|view| view.data).collect();
        let shape = [batch.len(), INPUT_CHANNELS, side, side];
        let images = Tensor::<4>::from_data(TensorData::new(data, shape), &self.device);
        let output = self.network.forward(images, pace.reversal);
        let lengths = output.embedding.clone().detach().powi_scalar(2).sum_dim(1).sqrt();

        let (total, parts) = self.losses(batch, &people, output);
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
        if !loss.is_finite() {
            let names: Vec<_> =
                batch.iter().take(8).map(|&i| self.samples[i].name.as_str()).collect();
            return Err(TrainError::Diverged {
                loss,
                epoch: epoch + 1,
                captures: names.join(", "),
            });
        }
        let (values, lengths) = values[1..].split_at(parts.len());
        sums.lengths.extend_from_slice(lengths);
        sums.add(loss, parts.into_iter().map(|(part, _)| part).zip(values.iter().copied()));

        let gradients = GradientsParams::from_grads(total.backward(), &self.network);
        let network = self.network.clone();
        self.network = self.optimizer.step(pace.learning_rate, network, gradients);
        Ok(f64::from(loss))
    }

    /// The weighted sum, and its parts unweighted.
    fn losses(
        &self,
        batch: &[usize],
        people: &[i32],
        output: NetworkOutput,
    ) -> (Tensor<1>, Vec<(LossPart, Tensor<1>)>) {
        let labels = |values: &[i32]| Tensor::<1, Int>::from_data(values, &self.device);
        let identity = self
            .config
            .identity
            .magface
            .forward(output.embedding, self.network.class_weight(), labels(people))
            .loss;
        let mut total = identity.clone() * self.config.identity.weight;
        let mut parts = vec![(LossPart::Identity, identity)];
        for (index, (task, output)) in self.config.tasks.iter().zip(output.tasks).enumerate() {
            let (positions, classes): (Vec<i32>, Vec<i32>) = batch
                .iter()
                .enumerate()
                .filter_map(|(at, &sample)| {
                    Some((at as i32, self.samples[sample].classes[index]? as i32))
                })
                .unzip();
            if positions.is_empty() {
                continue;
            }
            let of_labelled = |logits: Tensor<2>| logits.select(0, labels(&positions));
            let focal = task.focal();
            let own = focal.forward(of_labelled(output.logits), labels(&classes));
            let adversarial =
                focal.forward(of_labelled(output.adversarial_logits), labels(&classes));
            total =
                total + own.clone() * task.weight + adversarial.clone() * task.adversarial_weight;
            parts.push((LossPart::Task(task.name.clone()), own));
            parts.push((LossPart::Adversarial(task.name.clone()), adversarial));
        }
        (total, parts)
    }

    /// The network for evaluation, and its device.
    pub fn into_network(self) -> (MultiTaskNetwork, Device) {
        (self.network.valid(), self.device.without_autodiff())
    }
}

/// How fast a step goes.
#[derive(Clone, Copy)]
struct Pace {
    learning_rate: f64,
    reversal: f64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum LossPart {
    Identity,
    Task(String),
    Adversarial(String),
}

#[derive(Default)]
struct LossSums {
    total: (f64, usize),
    parts: BTreeMap<LossPart, (f64, usize)>,
    /// Of every embedding.
    lengths: Vec<f32>,
}

impl LossSums {
    fn add(&mut self, total: f32, parts: impl Iterator<Item = (LossPart, f32)>) {
        self.total.0 += f64::from(total);
        self.total.1 += 1;
        for (part, value) in parts {
            let sum = self.parts.entry(part).or_default();
            sum.0 += f64::from(value);
            sum.1 += 1;
        }
    }

    fn means(self, magface: &MagFaceConfig) -> Losses {
        let mean = |(sum, count): (f64, usize)| sum / count.max(1) as f64;
        let mut losses = Losses {
            total: mean(self.total),
            embedding_lengths: EmbeddingLengths::of(self.lengths, magface).unwrap_or_default(),
            ..Default::default()
        };
        for (part, sum) in self.parts {
            match part {
                LossPart::Identity => losses.identity = mean(sum),
                LossPart::Task(name) => drop(losses.tasks.insert(name, mean(sum))),
                LossPart::Adversarial(name) => drop(losses.adversarial.insert(name, mean(sum))),
            }
        }
        losses
    }
}

fn read_samples(
    config: &TrainConfig,
    manifest: &Manifest,
    people: &BTreeMap<&str, usize>,
) -> Result<Vec<TrainingSample>, TrainError> {
    let rows: Vec<&ManifestRow> =
        manifest.rows.iter().filter(|row| people.contains_key(row.id.as_str())).collect();
    let side = stored_side(config.input_side);
    rows.into_par_iter()
        .map(|row| {
            let classes =
                config.tasks.iter().map(|task| class_of(task, row)).collect::<Result<_, _>>()?;
            Ok(TrainingSample {
                name: row.name(),
                sample: load_sample(manifest, row, config.modality, side)?,
                person: people[row.id.as_str()],
                classes,
            })
        })
        .collect()
}
