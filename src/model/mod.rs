//! The multi-task network, MIResNet: one backbone, features of each task split off by attention,
//! a head for each task, an adversary behind gradient reversal that keeps the task out of what
//! remains, and identity on the rest.
//!
//! ```text
//! image → backbone → f₀ ─ attention₁ → t₁ → head₁      f₁ = f₀ − t₁ → reversal → adversary₁
//!                    f₁ ─ attention₂ → t₂ → head₂      f₂ = f₁ − t₂ → reversal → adversary₂
//!                    …                                 f_n → identity embedding
//! ```
//!
//! Several modalities become one by features, each with its backbone and what follows shared, or by
//! embeddings: a whole network for each, new heads on what they say together.
//!
//! Backbone after Duta et al. 2020, "Improved residual networks for image and video recognition";
//! separation after Huang et al. 2021, "When age-invariant face recognition meets face age
//! synthesis" (MTLFace); reversal after Ganin and Lempitsky 2015.

mod backbone;
mod feature_separation;
mod fusion;
mod gradient_reversal;
mod heads;
mod network;
mod original;

pub use backbone::{IResNet, IResNetConfig};
pub use feature_separation::FeatureSeparation;
pub use fusion::{FeatureFusion, FusionKind};
pub use gradient_reversal::reverse_gradient;
pub use heads::{IdentityHead, IdentityHeadKind, TaskHead};
pub use network::{
    ConfidenceInput, INPUT_CHANNELS, MultiTaskNetwork, NetworkConfig, NetworkInput, NetworkOutput,
    TaskOutput, TaskShape, with_stable_ids,
};
pub use original::{
    KeyReport, ORIGINAL_TASKS, gradients_by_name, load_original, original_architecture,
    to_original, without_prefix,
};
