//! How well it recognises, and how true maps are, in numbers. Plain functions; nothing here knows of networks
//! or devices. A figure that is not defined is an [`Undefined`] with its reason, never a number.

mod all_pairs;
mod bootstrap;
mod classification;
mod evaluation;
mod folds;
mod identity;
mod leakage;
mod map_accuracy;
mod protocol;
mod roc;
mod search;
mod tally;
mod tasks;

pub use all_pairs::all_pairs_roc;
pub use bootstrap::{Bootstrap, Difference, Replicated};
pub use classification::{
    ConfusionMatrix, average_precision, best_threshold, calibration_error, macro_auc,
    macro_average_precision,
};
pub use evaluation::{
    ByDifference, Condition, EVALUATION_FORMAT, Evaluation, FailureToAcquire, Figure, FnirAtFpir,
    Identification, IdentityResult, Leakage, LegacyResult, MethodResult, PairsResult, Quality,
    ScoreHistogram, TarAtFar, TaskResult, Verification,
};
pub use folds::{FoldResult, TenFold, VerificationError, flip_sum, tenfold};
pub use identity::{FARS, LabelValues, identity_differences, identity_result};
pub use leakage::leakage_figure;
pub use map_accuracy::{JudgedMaps, Region, RegionError, map_accuracy, mean_accuracy};
pub use protocol::{Enrolment, Protocol, Round};
pub use roc::{DetectionCosts, OperatingPoint, Roc, Step, roc_auc};
pub use search::{
    ImpostorPair, Measure, Merge, Search, Searches, answering_template, cosine, round_scores,
};
pub use tally::{Counts, Tally};
pub use tasks::{TaskSamples, task_result};

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
    #[error("all are right, or all are wrong")]
    AllAlike,
    #[error("a score is NaN")]
    NotANumber,
}

/// A figure, or why there is none.
pub type Metric = Result<f64, Undefined>;
