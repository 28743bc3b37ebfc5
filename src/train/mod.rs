//! Training: the configuration, the loop, checkpoints that survive a kill, and what a trained
//! run says of samples.

mod checkpoint;
mod config;
mod data;
mod embed;
mod labels;
mod lengths;
mod objective;
mod optimizer;
mod tensorboard;
mod trainer;

pub use checkpoint::{
    Best, Checkpoint, CheckpointError, TrainedOn, difference, has_best, has_checkpoint, load_best,
    load_latest, remove_all, save_best, trained_epochs,
};
pub use config::{
    AdversaryConfig, FusionConfig, IdentityConfig, IdentityLoss, LossWeights, NetworkOptions,
    OptimizerConfig, Preset, TaskConfig, TrainConfig, fill_in, read_train_config,
    resolve_train_config,
};
pub use data::TrainingData;
pub use embed::{Embedder, Embedding};
pub use labels::{LabelError, class_of};
pub use lengths::EmbeddingLengths;
pub use tensorboard::{EVENT_FILE, EventFile};
pub use trainer::{
    Begin, Losses, Pace, TrainError, TrainEvent, Trainer, Validate, Validation, stored_side,
};
