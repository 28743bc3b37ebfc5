//! How well it recognises, and how true maps are, in numbers. Plain functions; nothing here knows of networks
//! or devices. A figure that is not defined is an [`Undefined`] with its reason, never a number.

mod bootstrap;
mod classification;
mod evaluation;
mod identification;
mod map_accuracy;
mod protocol;
mod roc;

pub use bootstrap::{Bootstrap, Difference, Replicated};
pub use classification::{
    ConfusionMatrix, average_precision, best_threshold, calibration_error, macro_auc,
    macro_average_precision,
};
pub use evaluation::{Evaluation, Figure, IdentityResult, MethodResult, TaskResult};
pub use identification::{Ranking, rank_gallery, rank_k};
pub use map_accuracy::{JudgedMaps, Region, RegionError, map_accuracy, mean_accuracy};
pub use protocol::{Enrolment, Protocol, Round};
pub use roc::{DetectionCosts, OperatingPoint, Roc, Step, roc_auc};

/// Why a figure has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    #[error("no genuine pair")]
    NoGenuine,
    #[error("no impostor pair")]
    NoImpostor,
    #[error("too few impostor pairs for so low a false accept rate")]
    TooFewImpostors,
    #[error("too few unmated searches for so low a false positive rate")]
    TooFewSearches,
    #[error("no probe")]
    NoProbe,
    #[error("no sample with a label")]
    NoSample,
    #[error("there are other than two classes")]
    NotTwoClasses,
    #[error("fewer than two classes are present")]
    OneClass,
    #[error("a score is NaN")]
    NotANumber,
}

/// A figure, or why there is none.
pub type Metric = Result<f64, Undefined>;

/// Similarities of embeddings, higher is more alike.
pub mod similarity {
    /// Cosine of the angle, −1 to 1; NaN where either has no length.
    pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    /// Euclidean distance, negated so that higher is more alike.
    pub fn negative_distance(a: &[f32], b: &[f32]) -> f64 {
        let squared: f64 =
            a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
        -squared.sqrt()
    }
}
