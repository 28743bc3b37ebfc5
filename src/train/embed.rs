//! What a trained network says of captures.

use super::data::InputData;
use crate::dataset::{CaptureRef, SampleSource, View, whole_view_of};
use crate::model::MultiTaskNetwork;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

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

/// Runs an evaluation-mode network over captures, in batches of bounded memory.
///
/// `shown` says which of the network's modalities the source holds; all where `None`. The network is
/// told that the others are missing.
pub fn embed(
    network: &MultiTaskNetwork,
    source: &SampleSource,
    captures: &[CaptureRef<'_>],
    input_side: usize,
    shown: Option<&[bool]>,
    device: &Device,
) -> Result<Vec<Embedding>, String> {
    embed_views(network, source, captures, input_side, shown, false, device)
}

/// As [`embed`], of mirrored captures if wanted.
pub fn embed_views(
    network: &MultiTaskNetwork,
    source: &SampleSource,
    captures: &[CaptureRef<'_>],
    input_side: usize,
    shown: Option<&[bool]>,
    mirrored: bool,
    device: &Device,
) -> Result<Vec<Embedding>, String> {
    const BATCH: usize = 32;
    let mut embeddings = Vec::with_capacity(captures.len());
    for batch in captures.chunks(BATCH) {
        let views: Vec<View> = batch
            .par_iter()
            .map(|&capture| whole_view_of(&source.sample(capture), input_side, mirrored))
            .collect();
        let input = InputData::new(views, None, input_side);
        let input = match shown {
            Some(shown) => input.with_hidden(shown),
            None => input,
        };
        let output = network.forward(input.on(device), 1.0);
        let rows = |tensor: Tensor<2>| -> Result<Vec<Vec<f32>>, String> {
            let [_, width] = tensor.dims();
            let values = tensor.into_data().try_to_vec::<f32>().map_err(|e| format!("{e:?}"))?;
            Ok(values.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
        };
        let tasks = output
            .tasks
            .into_iter()
            .map(|task| rows(softmax(task.logits, 1)))
            .collect::<Result<Vec<_>, _>>()?;
        let identities = rows(output.embedding)?;
        let shared = rows(output.shared)?;
        for (i, (identity, shared)) in identities.into_iter().zip(shared).enumerate() {
            let tasks =
                tasks.iter().map(|task| task[i].iter().map(|&p| f64::from(p)).collect()).collect();
            embeddings.push(Embedding { identity, shared, tasks });
        }
    }
    Ok(embeddings)
}
