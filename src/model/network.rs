//! The whole network.

use super::{
    FeatureFusion, FeatureSeparation, FusionKind, IResNet, IResNetConfig, IdentityHead,
    IdentityHeadKind, TaskHead, reverse_gradient,
};
use burn::module::{Initializer, Module, ModuleMapper, Param, ParamId};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Every modality enters as three channels: normals as they are, the others repeated, so that one
/// architecture and its weights fit all.
pub const INPUT_CHANNELS: usize = 3;
/// How often a backbone halves its input, as a factor.
const STRIDE: usize = 32;

/// A task and how many classes it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskShape {
    pub name: String,
    pub classes: usize,
    /// An earlier task whose attention serves this one too; its own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares_attention_with: Option<String>,
}

/// What the network is told of how far the maps can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfidenceInput {
    #[default]
    None,
    /// A fourth channel of every modality.
    Channel,
    /// Features count by the confidence of their place.
    Attention,
}

/// What determines the parameters' shapes; stored with every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Channels of the first stage; 64 is iResNet18's.
    pub width: usize,
    /// Blocks a stage; [2, 2, 2, 2] is iResNet18's.
    pub blocks: [usize; 4],
    /// Whether blocks are bottlenecks, as from 50 layers on.
    pub bottleneck: bool,
    /// Maps that enter, each with a backbone of its own.
    pub modalities: usize,
    /// How they become one; of no account for a single one.
    pub fusion: FusionKind,
    pub confidence: ConfidenceInput,
    pub identity_head: IdentityHeadKind,
    /// Side of the input in pixels; the linear identity head looks at every place of it.
    pub input_side: usize,
    /// Identities in training.
    pub identities: usize,
    /// In the order in which they are split off.
    pub tasks: Vec<TaskShape>,
    /// Whether the weights of the losses are learned.
    pub learned_weights: bool,
}

impl Default for NetworkConfig {
    /// iResNet18 on one map of 256², without identities or tasks.
    fn default() -> Self {
        Self {
            width: 64,
            blocks: [2, 2, 2, 2],
            bottleneck: false,
            modalities: 1,
            fusion: FusionKind::default(),
            confidence: ConfidenceInput::default(),
            identity_head: IdentityHeadKind::default(),
            input_side: 256,
            identities: 0,
            tasks: Vec::new(),
            learned_weights: false,
        }
    }
}

impl NetworkConfig {
    pub fn init(&self, device: &Device) -> MultiTaskNetwork {
        let joins = self.modalities > 1 && self.fusion == FusionKind::Concatenation;
        let streams = if joins { self.modalities } else { 1 };
        let backbones = self.modalities / streams;
        let weights = self.tasks.len() + 1;
        with_stable_ids(MultiTaskNetwork {
            streams: (0..streams).map(|_| self.stream(backbones, device)).collect(),
            joint: joins.then(|| self.joint_heads(device)),
            log_variances: self.learned_weights.then(|| Initializer::Zeros.init([weights], device)),
        })
    }

    fn backbone(&self) -> IResNetConfig {
        let confidence = usize::from(self.confidence == ConfidenceInput::Channel);
        IResNetConfig {
            in_channels: INPUT_CHANNELS + confidence,
            width: self.width,
            blocks: self.blocks,
            bottleneck: self.bottleneck,
        }
    }

    fn stream(&self, backbones: usize, device: &Device) -> Stream {
        let backbone = self.backbone();
        let channels = backbone.out_channels();
        let places = self.input_side.div_ceil(STRIDE).pow(2);
        let branch = |task: &TaskShape| TaskBranch {
            separation: task
                .shares_attention_with
                .is_none()
                .then(|| FeatureSeparation::new(channels, device)),
            head: TaskHead::new(channels, task.classes, device),
            adversary: TaskHead::new(channels, task.classes, device),
        };
        let shared = |task: &TaskShape| {
            let other = task.shares_attention_with.as_ref()?;
            self.tasks.iter().position(|t| t.name == *other)
        };
        Stream {
            backbones: (0..backbones).map(|_| backbone.init(device)).collect(),
            fusion: (backbones > 1)
                .then(|| FeatureFusion::new(self.fusion, backbones, channels, device))
                .flatten(),
            tasks: self.tasks.iter().map(branch).collect(),
            identity: IdentityHead::new(
                self.identity_head,
                [channels, places, self.embedding_width()],
                self.identities,
                device,
            ),
            attention: self.tasks.iter().map(shared).collect(),
            confidence: self.confidence,
        }
    }

    fn joint_heads(&self, device: &Device) -> JointHeads {
        let joined = self.modalities * self.backbone().out_channels();
        let identity = self.modalities * self.embedding_width();
        let linear = |task: &TaskShape| LinearConfig::new(joined, task.classes).init(device);
        JointHeads {
            tasks: self.tasks.iter().map(linear).collect(),
            identity: IdentityHead::joint(
                self.identity_head,
                [identity, identity],
                self.identities,
                device,
            ),
        }
    }

    /// Values of a single modality's identity embedding.
    fn embedding_width(&self) -> usize {
        match self.identity_head {
            IdentityHeadKind::Linear => 8 * self.width,
            IdentityHeadKind::Pooled => self.backbone().out_channels(),
        }
    }

    /// The network of each modality on its own, whose weights a concatenation can start from.
    pub fn single(&self) -> Self {
        Self {
            modalities: 1,
            fusion: FusionKind::default(),
            learned_weights: false,
            ..self.clone()
        }
    }
}

#[derive(Module, Debug)]
pub struct MultiTaskNetwork {
    /// One, or, where embeddings are joined, one a modality.
    streams: Vec<Stream>,
    joint: Option<JointHeads>,
    /// ln σ² of the identity loss and of each task's.
    log_variances: Option<Param<Tensor<1>>>,
}

/// Backbone, separation, heads.
#[derive(Module, Debug)]
struct Stream {
    backbones: Vec<IResNet>,
    fusion: Option<FeatureFusion>,
    tasks: Vec<TaskBranch>,
    identity: IdentityHead,
    /// For each task the one whose attention it takes, where it has none of its own.
    #[module(skip)]
    attention: Vec<Option<usize>>,
    #[module(skip)]
    confidence: ConfidenceInput,
}

#[derive(Module, Debug)]
struct TaskBranch {
    separation: Option<FeatureSeparation>,
    head: TaskHead,
    adversary: TaskHead,
}

/// New heads on the joined embeddings of several streams.
#[derive(Module, Debug)]
struct JointHeads {
    tasks: Vec<Linear>,
    identity: IdentityHead,
}

/// A batch.
#[derive(Clone, Debug)]
pub struct NetworkInput {
    /// One a modality, (b, 3, h, w), h and w at least 32.
    pub maps: Vec<Tensor<4>>,
    /// (b, 1, h, w), 0 (no trust) to 1; must be there where [`NetworkConfig::confidence`] asks for it.
    pub confidence: Option<Tensor<4>>,
    /// (b, modalities), 1 where a sample has the modality, 0 where not; all have all where `None`.
    /// A concatenation of embeddings takes no notice of it.
    pub presence: Option<Tensor<2>>,
}

impl NetworkInput {
    /// A single modality without confidence.
    pub fn single(images: Tensor<4>) -> Self {
        Self { maps: vec![images], confidence: None, presence: None }
    }
}

/// What a network says of a batch.
#[derive(Clone, Debug)]
pub struct NetworkOutput {
    /// Identity (b, embedding).
    pub embedding: Tensor<2>,
    /// In the order of [`NetworkConfig::tasks`].
    pub tasks: Vec<TaskOutput>,
    /// Features before anything is split off, averaged over the picture (b, channels).
    pub shared: Tensor<2>,
}

#[derive(Clone, Debug)]
pub struct TaskOutput {
    /// (b, channels)
    pub embedding: Tensor<2>,
    /// (b, classes)
    pub logits: Tensor<2>,
    /// What each stream's adversary reads from its features without this task's part; their
    /// gradients are reversed on the way back.
    pub adversarial_logits: Vec<Tensor<2>>,
}

impl Stream {
    fn forward(&self, input: &NetworkInput, reversal: f64) -> NetworkOutput {
        let features: Vec<Tensor<4>> = self
            .backbones
            .iter()
            .zip(&input.maps)
            .map(|(backbone, map)| backbone.forward(self.with_confidence(map, input)))
            .collect();
        let mut rest = match &self.fusion {
            None => features.into_iter().next().expect("a stream has a backbone"),
            Some(fusion) => {
                let size = [features[0].dims()[0], features.len()];
                let device = features[0].device();
                let presence =
                    input.presence.clone().unwrap_or_else(|| Tensor::ones(size, &device));
                fusion.forward(&features, &presence)
            }
        };
        if let (ConfidenceInput::Attention, Some(confidence)) = (self.confidence, &input.confidence)
        {
            rest = weighed(rest, confidence.clone());
        }
        let [batch, channels, height, width] = rest.dims();
        let shared =
            rest.clone().reshape([batch, channels, height * width]).mean_dim(2).flatten(1, 2);
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for (branch, other) in self.tasks.iter().zip(&self.attention) {
            let separation = match other {
                Some(other) => &self.tasks[*other].separation,
                None => &branch.separation,
            };
            let separation = separation.as_ref().expect("a task has an attention or shares one");
            let (own, remaining) = separation.forward(rest);
            let (embedding, logits) = branch.head.forward(own);
            let (_, adversarial) =
                branch.adversary.forward(reverse_gradient(remaining.clone(), reversal));
            tasks.push(TaskOutput { embedding, logits, adversarial_logits: vec![adversarial] });
            rest = remaining;
        }
        NetworkOutput { embedding: self.identity.forward(rest), tasks, shared }
    }

    fn with_confidence(&self, map: &Tensor<4>, input: &NetworkInput) -> Tensor<4> {
        match (self.confidence, &input.confidence) {
            (ConfidenceInput::Channel, Some(confidence)) => {
                Tensor::cat(vec![map.clone(), confidence.clone()], 1)
            }
            _ => map.clone(),
        }
    }
}

/// Features weighed by the confidence of their place, with a mean weight of 1 in each sample.
fn weighed(features: Tensor<4>, confidence: Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = features.dims();
    let weight = adaptive_avg_pool2d(confidence, [height, width]);
    let mean = weight.clone().reshape([batch, height * width]).mean_dim(1);
    features * (weight / mean.clamp_min(1e-6).reshape([batch, 1, 1, 1]))
}

impl MultiTaskNetwork {
    /// `reversal` is the strength of the gradient reversal; it changes no value.
    pub fn forward(&self, input: NetworkInput, reversal: f64) -> NetworkOutput {
        let Some(joint) = &self.joint else { return self.streams[0].forward(&input, reversal) };
        let outputs: Vec<NetworkOutput> = self
            .streams
            .iter()
            .zip(input.maps)
            .map(|(stream, map)| {
                let confidence = input.confidence.clone();
                let input = NetworkInput { maps: vec![map], confidence, presence: None };
                stream.forward(&input, reversal)
            })
            .collect();
        let tasks = joint
            .tasks
            .iter()
            .enumerate()
            .map(|(index, linear)| {
                let of_task = || outputs.iter().map(move |output| &output.tasks[index]);
                let embedding = Tensor::cat(of_task().map(|t| t.embedding.clone()).collect(), 1);
                TaskOutput {
                    logits: linear.forward(embedding.clone()),
                    embedding,
                    adversarial_logits: of_task()
                        .flat_map(|task| task.adversarial_logits.clone())
                        .collect(),
                }
            })
            .collect();
        let shared = Tensor::cat(outputs.iter().map(|output| output.shared.clone()).collect(), 1);
        let joined = Tensor::cat(outputs.into_iter().map(|output| output.embedding).collect(), 1);
        let [batch, width] = joined.dims();
        let embedding = joint.identity.forward(joined.reshape([batch, width, 1, 1]));
        NetworkOutput { embedding, tasks, shared }
    }

    /// (embedding, identities), for the identity loss.
    pub fn class_weight(&self) -> Tensor<2> {
        match &self.joint {
            Some(joint) => joint.identity.class_weight(),
            None => self.streams[0].identity.class_weight(),
        }
    }

    /// ln σ² of the identity loss and of each task's, where they are learned.
    pub fn log_variances(&self) -> Option<Tensor<1>> {
        self.log_variances.as_ref().map(Param::val)
    }

    /// A concatenation with the trained networks of its modalities in place of its own.
    ///
    /// # Panics
    /// If this is no concatenation of so many.
    pub fn with_streams(self, singles: Vec<Self>) -> Self {
        assert!(self.joint.is_some() && self.streams.len() == singles.len());
        let streams = singles.into_iter().flat_map(|single| single.streams).collect();
        with_stable_ids(Self { streams, ..self })
    }

    /// Takes the streams out of training, their batch statistics too.
    pub fn freeze_streams(self) -> Self {
        Self { streams: self.streams.freeze(), ..self }
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
