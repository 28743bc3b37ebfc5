//! The whole network.

use super::{FeatureSeparation, IResNet, IResNetConfig, IdentityHead, TaskHead, reverse_gradient};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Every modality enters as three channels: normals as they are, albedo and depth repeated, so
/// that one architecture and its weights fit all.
pub const INPUT_CHANNELS: usize = 3;

/// A task and how many classes it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskShape {
    pub name: String,
    pub classes: usize,
}

/// What determines the parameters' shapes; stored with every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Channels of the first stage; 64 is iResNet18's.
    pub width: usize,
    /// Blocks a stage; [2, 2, 2, 2] is iResNet18's.
    pub blocks: [usize; 4],
    /// Identities in training.
    pub identities: usize,
    /// In the order in which they are split off.
    pub tasks: Vec<TaskShape>,
}

impl NetworkConfig {
    pub fn init(&self, device: &Device) -> MultiTaskNetwork {
        let backbone =
            IResNetConfig { in_channels: INPUT_CHANNELS, width: self.width, blocks: self.blocks };
        let channels = backbone.out_channels();
        let branch = |task: &TaskShape| TaskBranch {
            separation: FeatureSeparation::new(channels, device),
            head: TaskHead::new(channels, task.classes, device),
            adversary: TaskHead::new(channels, task.classes, device),
        };
        with_stable_ids(MultiTaskNetwork {
            backbone: backbone.init(device),
            tasks: self.tasks.iter().map(branch).collect(),
            identity: IdentityHead::new(channels, self.identities, device),
        })
    }
}

#[derive(Module, Debug)]
pub struct MultiTaskNetwork {
    backbone: IResNet,
    tasks: Vec<TaskBranch>,
    identity: IdentityHead,
}

#[derive(Module, Debug)]
struct TaskBranch {
    separation: FeatureSeparation,
    head: TaskHead,
    adversary: TaskHead,
}

/// What a network says of a batch.
#[derive(Clone, Debug)]
pub struct NetworkOutput {
    /// Identity (b, 8·width).
    pub embedding: Tensor<2>,
    /// In the order of [`NetworkConfig::tasks`].
    pub tasks: Vec<TaskOutput>,
}

#[derive(Clone, Debug)]
pub struct TaskOutput {
    /// (b, 8·width)
    pub embedding: Tensor<2>,
    /// (b, classes)
    pub logits: Tensor<2>,
    /// What the adversary reads from the features without this task's part; its gradient is
    /// reversed on the way back.
    pub adversarial_logits: Tensor<2>,
}

impl MultiTaskNetwork {
    /// Images (b, 3, h, w), h and w at least 32.
    ///
    /// `reversal` is the strength of the gradient reversal; it changes no value.
    pub fn forward(&self, images: Tensor<4>, reversal: f64) -> NetworkOutput {
        let mut rest = self.backbone.forward(images);
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for branch in &self.tasks {
            let (own, remaining) = branch.separation.forward(rest);
            let (embedding, logits) = branch.head.forward(own);
            let (_, adversarial_logits) =
                branch.adversary.forward(reverse_gradient(remaining.clone(), reversal));
            tasks.push(TaskOutput { embedding, logits, adversarial_logits });
            rest = remaining;
        }
        NetworkOutput { embedding: self.identity.forward(rest), tasks }
    }

    /// (8·width, identities), for the identity loss.
    pub fn class_weight(&self) -> Tensor<2> {
        self.identity.class_weight()
    }
}

/// Gives every parameter an id that follows from its place in the network, so that optimiser
/// state, which is stored by id, finds its parameters in a later process.
pub fn with_stable_ids<M: Module>(module: M) -> M {
    struct Renumber {
        next: u64,
    }
    impl ModuleMapper for Renumber {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (_, tensor, mapper) = param.consume();
            self.next += 1;
            Param::from_mapped_value(ParamId::from(self.next), tensor, mapper)
        }
    }
    module.map(&mut Renumber { next: 0 })
}
