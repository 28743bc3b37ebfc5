//! Heads: pooled features → class logits, and pooled features → identity embedding.

use burn::module::{Initializer, Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

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

/// Batch norm, global average pool; the class weights serve the identity loss in training.
#[derive(Module, Debug)]
pub struct IdentityHead {
    bn: BatchNorm,
    /// (channels, identities); columns are compared by direction only.
    weight: Param<Tensor<2>>,
}

impl IdentityHead {
    pub fn new(channels: usize, identities: usize, device: &Device) -> Self {
        let std = 1.0 / (channels as f64).sqrt();
        Self {
            bn: BatchNormConfig::new(channels).init(device),
            weight: Initializer::Normal { mean: 0.0, std }.init([channels, identities], device),
        }
    }

    /// Features (b, c, h, w) → embedding (b, c). Its direction is who, its length how sure.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        pool(self.bn.forward(features))
    }

    pub fn class_weight(&self) -> Tensor<2> {
        self.weight.val()
    }
}

fn pool(features: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = features.dims();
    features.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
}
