//! Heads: pooled features → class logits, and pooled features → identity embedding.

use burn::module::{Initializer, Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Batch norm, global average pool, linear.
#[derive(Module, Debug)]
pub struct TaskHead {
    bn: BatchNorm,
    linear: Linear,
}

impl TaskHead {
    pub fn new(channels: usize, classes: usize, device: &Device) -> Self {
        Self {
            bn: BatchNormConfig::new(channels).init(device),
            linear: LinearConfig::new(channels, classes).init(device),
        }
    }

    /// Features (b, c, h, w) → (embedding (b, c), logits (b, classes)).
    pub fn forward(&self, features: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let embedding = pool(self.bn.forward(features));
        (embedding.clone(), self.linear.forward(embedding))
    }
}

/// How the identity head comes from features to an embedding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityHeadKind {
    /// Batch norm, every place through one linear layer, batch norm, as MagFace has it: lengths
    /// are free to take the whole of [l_a, u_a].
    #[default]
    Linear,
    /// Batch norm and global average pool alone, as in the study that this network comes from: lengths
    /// stay short, for the mean over places evens out what the norm gave.
    Pooled,
}

/// Features → identity embedding; the class weights serve the identity loss in training.
#[derive(Module, Debug)]
pub struct IdentityHead {
    bn: Option<BatchNorm>,
    fc: Option<Linear>,
    fc_bn: Option<BatchNorm>,
    /// (embedding, identities); columns are compared by direction only.
    weight: Param<Tensor<2>>,
}

impl IdentityHead {
    /// For features of so many channels and places (rows × columns); embeddings are as wide as
    /// `embedding` under [`IdentityHeadKind::Linear`], as the channels otherwise.
    pub fn new(
        kind: IdentityHeadKind,
        [channels, places, embedding]: [usize; 3],
        identities: usize,
        device: &Device,
    ) -> Self {
        let linear = kind == IdentityHeadKind::Linear;
        let width = if linear { embedding } else { channels };
        let std = 1.0 / (width as f64).sqrt();
        let norm = |n: usize| BatchNormConfig::new(n).init(device);
        Self {
            bn: Some(norm(channels)),
            fc: linear.then(|| LinearConfig::new(channels * places, width).init(device)),
            fc_bn: linear.then(|| norm(width)),
            weight: Initializer::Normal { mean: 0.0, std }.init([width, identities], device),
        }
    }

    /// For embeddings that others made: they are joined as they are.
    pub fn joint(
        kind: IdentityHeadKind,
        [joined, embedding]: [usize; 2],
        identities: usize,
        device: &Device,
    ) -> Self {
        Self { bn: None, ..Self::new(kind, [joined, 1, embedding], identities, device) }
    }

    /// Features (b, c, h, w) → embedding. Its direction is who, its length how sure.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        let features = match &self.bn {
            Some(bn) => bn.forward(features),
            None => features,
        };
        match (&self.fc, &self.fc_bn) {
            (Some(fc), Some(fc_bn)) => fc_bn.forward(fc.forward(features.flatten(1, 3))),
            _ => pool(features),
        }
    }

    pub fn class_weight(&self) -> Tensor<2> {
        self.weight.val()
    }
}

fn pool(features: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = features.dims();
    features.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
}
