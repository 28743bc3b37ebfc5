//! What a trained network says of captures.

use super::data::InputData;
use crate::dataset::{CaptureRef, SampleSource, View, whole_view_of};
use crate::model::MultiTaskNetwork;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

/// How many views go through the network at once.
const BATCH: usize = 32;

/// One capture's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Identity.
    pub identity: Vec<f32>,
    /// Features before the tasks' parts are split off.
    pub shared: Vec<f32>,
    /// Class probabilities of each task, in the network's order.
    pub tasks: Vec<Vec<f64>>,
}

/// A network in evaluation mode and what it is shown.
#[derive(Clone, Copy)]
pub struct Embedder<'a> {
    pub network: &'a MultiTaskNetwork,
    /// Pixels of the network's square input.
    pub input_side: usize,
    /// Which of the network's modalities are shown; all where `None`. It is told that the others are
    /// missing.
    pub shown: Option<&'a [bool]>,
    pub device: &'a Device,
}

impl Embedder<'_> {
    /// Embeds captures of a source that holds the modalities shown, each as a whole; mirrored if wanted.
    ///
    /// # Errors
    /// What the device reports.
    pub fn captures(
        &self,
        source: &SampleSource,
        captures: &[CaptureRef<'_>],
        mirrored: bool,
    ) -> Result<Vec<Embedding>, String> {
        let view = |&capture: &CaptureRef<'_>| {
            whole_view_of(&source.sample(capture), self.input_side, mirrored)
        };
        self.each(captures, view)
    }

    /// Embeds views of `input_side` pixels of the modalities shown.
    ///
    /// # Errors
    /// What the device reports.
    pub fn views(&self, views: &[View]) -> Result<Vec<Embedding>, String> {
        self.each(views, View::clone)
    }

    /// In batches of bounded memory.
    fn each<T: Sync>(
        &self,
        all: &[T],
        view: impl Fn(&T) -> View + Sync,
    ) -> Result<Vec<Embedding>, String> {
        let mut embeddings = Vec::with_capacity(all.len());
        for batch in all.chunks(BATCH) {
            let views: Vec<View> = batch.par_iter().map(&view).collect();
            let input = InputData::new(views, None, self.input_side);
            let input = match self.shown {
                Some(shown) => input.with_hidden(shown),
                None => input,
            };
            let output = self.network.forward(input.on(self.device), 1.0);
            let tasks = output
                .tasks
                .into_iter()
                .map(|task| rows_of(softmax(task.logits, 1)))
                .collect::<Result<Vec<_>, _>>()?;
            let identities = rows_of(output.embedding)?;
            let shared = rows_of(output.shared)?;
            for (i, (identity, shared)) in identities.into_iter().zip(shared).enumerate() {
                let of_capture =
                    |task: &Vec<Vec<f32>>| task[i].iter().map(|&p| f64::from(p)).collect();
                let tasks = tasks.iter().map(of_capture).collect();
                embeddings.push(Embedding { identity, shared, tasks });
            }
        }
        Ok(embeddings)
    }
}

fn rows_of(tensor: Tensor<2>) -> Result<Vec<Vec<f32>>, String> {
    let [_, width] = tensor.dims();
    let values = tensor.into_data().try_to_vec::<f32>().map_err(|e| format!("{e:?}"))?;
    Ok(values.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
}
