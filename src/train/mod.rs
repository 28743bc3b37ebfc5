//! Training: the configuration, the loop, checkpoints that survive a kill, and what a trained
//! run says of samples.

mod checkpoint;
mod config;
mod embed;
mod labels;
mod lengths;
mod optimizer;
mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError, TrainedOn, load_latest, remove_all};
pub use config::{
    AdversaryConfig, IdentityConfig, NetworkOptions, OptimizerConfig, TaskConfig, TrainConfig,
};
pub use embed::{Embedding, embed};
pub use labels::{LabelError, class_of};
pub use lengths::EmbeddingLengths;
pub use trainer::{Losses, TrainError, TrainEvent, Trainer, stored_side};
