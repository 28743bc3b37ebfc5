//! What a trained network says of samples.

use crate::dataset::{Sample, whole_view};
use crate::model::{INPUT_CHANNELS, MultiTaskNetwork};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// One capture's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Identity.
    pub identity: Vec<f32>,
    /// Class probabilities of each task, in the network's order.
    pub tasks: Vec<Vec<f64>>,
}

/// Runs an evaluation-mode network over samples, in batches of bounded memory.
pub fn embed(
    network: &MultiTaskNetwork,
    samples: &[Sample],
    input_side: usize,
    device: &Device,
) -> Result<Vec<Embedding>, String> {
    const BATCH: usize = 32;
    let mut embeddings = Vec::with_capacity(samples.len());
    for batch in samples.chunks(BATCH) {
        let data: Vec<f32> = batch.iter().flat_map(|s| whole_view(s, input_side)).collect();
        let shape = [batch.len(), INPUT_CHANNELS, input_side, input_side];
        let images = Tensor::<4>::from_data(TensorData::new(data, shape), device);
        let output = network.forward(images, 1.0);
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
        for (i, identity) in rows(output.embedding)?.into_iter().enumerate() {
            let tasks =
                tasks.iter().map(|task| task[i].iter().map(|&p| f64::from(p)).collect()).collect();
            embeddings.push(Embedding { identity, tasks });
        }
    }
    Ok(embeddings)
}
