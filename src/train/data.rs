//! Training captures and the batches that are made of them, ahead of the network.

use super::{TrainConfig, TrainError, class_of};
use crate::dataset::{
    CaptureRef, Collection, Item, Part, SampleSource, Sampler, Split, View, random_view,
};
use crate::io::sha256_hex;
use crate::model::{INPUT_CHANNELS, NetworkInput};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One training capture.
#[derive(Clone, Debug)]
pub(super) struct TrainingCapture {
    /// Position of its folder of maps.
    set: usize,
    /// "id/session"
    pub name: String,
    /// 0..people
    pub person: usize,
    /// By task.
    pub classes: Vec<Option<usize>>,
}

/// Everything that a run trains on.
#[derive(Clone, Debug)]
pub struct TrainingData {
    pub(super) captures: Vec<TrainingCapture>,
    pub people: usize,
    source: Arc<SampleSource>,
    pub(super) sampler: Sampler,
    epochs: usize,
}

impl TrainingData {
    /// The captures of the split's training people.
    ///
    /// # Errors
    /// A label that no class of its task covers; batches that cannot be filled or divided.
    pub fn new(
        config: &TrainConfig,
        collection: &Collection,
        split: &Split,
        source: Arc<SampleSource>,
    ) -> Result<Self, TrainError> {
        let people: BTreeMap<&str, usize> =
            split.people(Part::Train).enumerate().map(|(i, id)| (id, i)).collect();
        let capture = |CaptureRef { set, row }: CaptureRef<'_>| {
            // A print of somebody must not be learned as being somebody.
            let is_train = split.part_of(&row.id, &row.session) == Some(Part::Train);
            let person = *people.get(row.id.as_str()).filter(|_| is_train && !row.is_attack())?;
            let classes = config.tasks.iter().map(|task| class_of(task, row)).collect();
            Some(match classes {
                Ok(classes) => Ok(TrainingCapture { set, name: row.name(), person, classes }),
                Err(error) => Err(error),
            })
        };
        let captures = collection.captures().filter_map(capture).collect::<Result<Vec<_>, _>>()?;
        let item = |c: &TrainingCapture| Item { person: c.person, classes: c.classes.clone() };
        let items = captures.iter().map(item).collect();
        let tasks: Vec<&str> = config.tasks.iter().map(|task| task.name.as_str()).collect();
        let batch_size = config.optimizer.batch_size;
        let sampler = Sampler::new(&config.sampler, items, &tasks, batch_size, config.seed)
            .map_err(TrainError::Impossible)?;
        let epochs = config.optimizer.epochs;
        Ok(Self { captures, people: people.len(), source, sampler, epochs })
    }

    pub fn captures(&self) -> usize {
        self.captures.len()
    }

    /// Captures of each class of a task.
    pub fn class_counts(&self, task: usize, classes: usize) -> Vec<usize> {
        counts(classes, self.captures.iter().filter_map(|capture| capture.classes[task]))
    }

    /// Captures of each class of a task that an epoch draws, in the mean over the run: what weights
    /// against skew hang on, lest a class that is drawn thinner be weighted down once more.
    pub(super) fn drawn_class_counts(&self, task: usize, classes: usize) -> Vec<f64> {
        self.drawn_counts(classes, |capture| capture.classes[task])
    }

    /// Captures of each person that an epoch draws, in the mean over the run.
    pub(super) fn drawn_person_counts(&self) -> Vec<f64> {
        self.drawn_counts(self.people, |capture| Some(capture.person))
    }

    fn drawn_counts(
        &self,
        kinds: usize,
        kind: impl Fn(&TrainingCapture) -> Option<usize>,
    ) -> Vec<f64> {
        let epochs = if self.sampler.thins() { self.epochs } else { 1 };
        let drawn = (0..epochs).flat_map(|epoch| self.sampler.drawn(epoch));
        let total = counts(kinds, drawn.filter_map(|position| kind(&self.captures[position])));
        total.into_iter().map(|count| count as f64 / epochs as f64).collect()
    }

    /// Of the captures and their classes, in order: what the order of batches hangs on.
    pub(super) fn digest(&self) -> String {
        let of = |c: &TrainingCapture| format!("{} {} {:?}\n", c.name, c.person, c.classes);
        sha256_hex(self.captures.iter().map(of).collect::<String>().as_bytes())
    }

    /// A batch of random views. The same capture in the same epoch is shown the same way in whatever
    /// batch it falls.
    pub(super) fn batch(&self, config: &TrainConfig, epoch: usize, positions: Vec<usize>) -> Batch {
        let side = config.input_side;
        let drawn: Vec<(View, Vec<f32>)> = positions
            .par_iter()
            .enumerate()
            .map(|(at, &position)| {
                // A capture that stands in the batch again is shown another way.
                let again = positions[..at].iter().filter(|&&other| other == position).count();
                let stream = config.seed
                    ^ ((epoch as u64 + 1) << 32)
                    ^ (position as u64 + 1)
                    ^ ((again as u64) << 56);
                let mut random = Pcg64::seed_from_u64(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let capture = &self.captures[position];
                let sample = self.source.sample_named(capture.set, &capture.name);
                let view = random_view(&sample, &config.augment, side, &mut random);
                (view, presence(config, &mut random))
            })
            .collect();
        let mirrored_person = if config.augment.mirror_is_another_person { self.people } else { 0 };
        let person = |(&position, (view, _)): (&usize, &(View, Vec<f32>))| {
            let offset = if view.mirrored { mirrored_person } else { 0 };
            (self.captures[position].person + offset) as i32
        };
        let people = positions.iter().zip(&drawn).map(person).collect();
        let (views, presence): (Vec<View>, Vec<Vec<f32>>) = drawn.into_iter().unzip();
        let presence = (config.fusion.modality_dropout > 0.0).then(|| presence.concat());
        Batch { positions, people, input: InputData::new(views, presence, side) }
    }
}

fn counts(kinds: usize, of: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut counts = vec![0; kinds];
    of.for_each(|kind| counts[kind] += 1);
    counts
}

/// 1 for each modality that is shown, 0 for what is withheld; never all.
fn presence(config: &TrainConfig, random: &mut Pcg64) -> Vec<f32> {
    let modalities = config.modalities.len();
    let rate = config.fusion.modality_dropout;
    if rate == 0.0 {
        return vec![1.0; modalities];
    }
    let mut shown: Vec<f32> =
        (0..modalities).map(|_| if random.random_bool(rate) { 0.0 } else { 1.0 }).collect();
    if !shown.contains(&1.0) {
        shown[random.random_range(0..modalities)] = 1.0;
    }
    shown
}

/// What a step is made of.
#[derive(Debug)]
pub(super) struct Batch {
    pub positions: Vec<usize>,
    /// Training identity of each view.
    pub people: Vec<i32>,
    input: InputData,
}

impl Batch {
    /// Leaves nothing of the input behind.
    pub fn take_input(&mut self) -> InputData {
        std::mem::take(&mut self.input)
    }
}

/// A network's input in the memory of the host.
#[derive(Debug, Default)]
pub(super) struct InputData {
    batch: usize,
    side: usize,
    maps: Vec<Vec<f32>>,
    confidence: Option<Vec<f32>>,
    /// (batch, modalities)
    presence: Option<Vec<f32>>,
}

impl InputData {
    pub fn new(views: Vec<View>, presence: Option<Vec<f32>>, side: usize) -> Self {
        let batch = views.len();
        let modalities = views.first().map_or(0, |view| view.maps.len());
        let mut maps = vec![Vec::with_capacity(batch * INPUT_CHANNELS * side * side); modalities];
        let mut confidence = Vec::new();
        for view in views {
            for (map, data) in maps.iter_mut().zip(view.maps) {
                map.extend(data);
            }
            confidence.extend(view.confidence.into_iter().flatten());
        }
        let confidence = (!confidence.is_empty()).then_some(confidence);
        Self { batch, side, maps, confidence, presence }
    }

    /// Puts maps of zeros where a modality is not shown, whose presence says so to the network.
    pub fn with_hidden(mut self, shown: &[bool]) -> Self {
        let values = self.batch * INPUT_CHANNELS * self.side * self.side;
        let mut maps = std::mem::take(&mut self.maps).into_iter();
        let map = |&shown: &bool| if shown { maps.next() } else { Some(vec![0.0; values]) };
        self.maps = shown.iter().filter_map(map).collect();
        let presence: Vec<f32> = shown.iter().map(|&s| f32::from(u8::from(s))).collect();
        self.presence = Some(presence.repeat(self.batch));
        self
    }

    pub fn on(self, device: &Device) -> NetworkInput {
        let (batch, side) = (self.batch, self.side);
        let images = |data: Vec<f32>, channels: usize| {
            Tensor::<4>::from_data(TensorData::new(data, [batch, channels, side, side]), device)
        };
        let modalities = self.maps.len();
        NetworkInput {
            maps: self.maps.into_iter().map(|map| images(map, INPUT_CHANNELS)).collect(),
            confidence: self.confidence.map(|plane| images(plane, 1)),
            presence: self
                .presence
                .map(|p| Tensor::from_data(TensorData::new(p, [batch, modalities]), device)),
        }
    }
}
