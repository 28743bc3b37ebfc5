//! The result of one evaluation, as it is stored: `docs/evaluation.md` says what each field means.

use super::{Bootstrap, ConfusionMatrix, Enrolment, Merge, Metric, Replicated};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Raised whenever a field changes its name or meaning.
pub const EVALUATION_FORMAT: u32 = 2;

/// A figure with its 95 % interval, or the reason why it has no value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub value: Option<f64>,
    /// By resampling people; absent where they are too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Metric> for Figure {
    fn from(metric: Metric) -> Self {
        match metric {
            Ok(value) => Self { value: Some(value), interval: None, reason: None },
            Err(reason) => Self { value: None, interval: None, reason: Some(reason.to_string()) },
        }
    }
}

impl From<&Replicated> for Figure {
    fn from(replicated: &Replicated) -> Self {
        Self { interval: replicated.interval(), ..replicated.value().into() }
    }
}

/// True accept rate where at most a share of impostor pairs is accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TarAtFar {
    /// What was asked for.
    pub far: f64,
    pub tar: Figure,
    /// What was reached, at or below it; absent where impostor pairs are too few.
    pub achieved_far: Option<f64>,
    pub false_accepts: Option<u64>,
    /// Cosine from which on pairs are accepted.
    pub threshold: Option<f64>,
}

/// Is this the person that it says it is?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    pub genuine_pairs: u64,
    pub impostor_pairs: u64,
    /// Over all pairs; by cosine, as everything below.
    pub auc: Figure,
    /// Of each person's probes, averaged over people: nobody counts more for having come more often.
    pub auc_by_person: Figure,
    /// Over all pairs, by Euclidean distance of the vectors as they are.
    pub auc_euclidean: Figure,
    pub eer: Figure,
    /// At a prior of 0.01, costs alike, as a share of the better of accepting all and none.
    pub min_dcf: Figure,
    pub tar_at_far: Vec<TarAtFar>,
    /// (FAR, TAR), for plots.
    pub roc: Vec<(f64, f64)>,
    /// Genuine and impostor pairs by cosine, for plots.
    pub histogram: ScoreHistogram,
}

/// Pairs in equal bins between two scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreHistogram {
    pub low: f64,
    pub high: f64,
    pub genuine: Vec<u64>,
    /// Of the pairs that were kept for resampling.
    pub impostor: Vec<u64>,
}

/// Searches that miss, where at most a share of the searches of unenrolled people finds somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FnirAtFpir {
    pub fpir: f64,
    pub fnir: Figure,
    pub achieved_fpir: Option<f64>,
    pub threshold: Option<f64>,
}

/// Who of the enrolled is it, if anybody?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identification {
    pub searches: u64,
    pub rank_1: Figure,
    pub rank_5: Figure,
    pub rank_10: Figure,
    /// Of people: the mean of 1 / rank, for each is in the gallery once.
    pub mean_average_precision: Figure,
    /// Share of searches whose person is among the first 1, 2, 3, …
    pub cmc: Vec<f64>,
    /// Unenrolled searches are the same probes with their person taken out of the gallery.
    pub fnir_at_fpir: Vec<FnirAtFpir>,
}

/// Genuine pairs, all or some of them, against all impostor pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    pub searches: u64,
    pub auc: Figure,
    pub rank_1: Figure,
}

/// Whether it matters that probe and template differ in a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByDifference {
    pub label: String,
    pub same: Condition,
    pub differs: Condition,
}

/// What the length of an embedding says (MagFace calls it quality).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Cosine that accepts at most a hundredth of the impostor pairs.
    pub threshold: Option<f64>,
    /// (share of genuine pairs left out, those of the shortest embeddings first; FRR of the rest).
    pub reject_curve: Vec<(f64, f64)>,
    /// That a rightly recognised probe has a longer embedding than a wrongly recognised one: AUC.
    pub predicts_rank_1: Figure,
}

/// How well one way of comparing captures tells people apart. Pairs are every probe with every
/// enrolled person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityResult {
    pub verification: Verification,
    pub identification: Identification,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// By label; where one template a person is enrolled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_difference: Vec<ByDifference>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub classes: Vec<String>,
    /// Captures with a label.
    pub labelled: usize,
    /// By class probability; one class against the rest, averaged, for more than two.
    pub auc: Figure,
    pub average_precision: Figure,
    /// By the most probable class.
    pub accuracy: Figure,
    /// Mean over the classes, each as much as any other.
    pub balanced_accuracy: Figure,
    /// Of the second of two classes; averaged for more.
    pub f1: Figure,
    /// Expected calibration error in 15 bins.
    pub calibration_error: Figure,
    pub confusion: Option<ConfusionMatrix>,
    /// On the second class's probability, chosen on the people for validation, and the balanced
    /// accuracy that it gives here; for two classes and runs with such people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy_at_threshold: Option<Figure>,
}

/// How well a linear classifier reads a label from what is meant for identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leakage {
    pub label: String,
    pub classes: Vec<String>,
    pub labelled: usize,
    /// AUC from the identity embedding; 0.5 is nothing.
    pub identity: Figure,
    /// AUC from the features before the tasks' parts are split off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_separation: Option<Figure>,
}

/// The model or a baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    pub method: String,
    pub identity: IdentityResult,
    pub tasks: BTreeMap<String, TaskResult>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leakage: Vec<Leakage>,
}

/// Verification by a list of pairs in folds, the threshold of each chosen on the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairsResult {
    /// SHA-256 of the list.
    pub list_hash: String,
    pub pairs: usize,
    pub folds: usize,
    /// Share of pairs told right, mean over folds.
    pub accuracy: f64,
    /// Of that mean.
    pub standard_error: f64,
    /// People in more than one fold: what a fold's threshold was chosen on then holds its people.
    /// Unknown where a list names nobody, as InsightFace's `.bin`.
    pub people_in_several_folds: Option<usize>,
}

/// The legacy protocol: every capture of one table against every one of another. It has no intervals,
/// for its people are in both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LegacyResult {
    /// Captures of the test table that were evaluated, and all of it.
    pub test: [usize; 2],
    /// The same of the gallery table.
    pub gallery: [usize; 2],
    pub genuine_pairs: u64,
    pub impostor_pairs: u64,
    /// Of identity, by cosine.
    pub auc: f64,
    /// Test captures whose person is in the gallery table; the shares below are of these.
    pub probes_with_mate: usize,
    /// The most similar gallery capture is of the same person.
    pub top_1: f64,
    /// One of the five most similar is.
    pub top_5: f64,
    /// What is wrong with the tables.
    pub flaws: Vec<String>,
}

/// Captures without a usable face (ISO/IEC 19795-1: failure to acquire). They are in no other figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureToAcquire {
    /// In which no face was found.
    pub captures: usize,
    /// Of so many.
    pub of: usize,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub format: u32,
    /// Which part of the split.
    pub split: String,
    /// SHA-256 of the file of the split.
    pub split_hash: String,
    /// SHA-256 of the weights; with what they were not shown, where they were not shown all.
    pub model: String,
    /// Epochs that the checkpoint was trained.
    pub epoch: usize,
    /// Whether each person's first sessions are enrolled, or each in turn.
    pub enrolment: Enrolment,
    /// How several templates of a person answer as one.
    pub merge: Merge,
    /// Enrolled people.
    pub enrolled: usize,
    /// Enrolled sessions of each, where they have so many and more.
    pub templates_per_person: usize,
    /// 1, or, where each session is enrolled in turn, as many as everyone has sessions.
    pub rounds: usize,
    /// Over all rounds.
    pub probes: usize,
    /// Where faces were looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_to_acquire: Option<FailureToAcquire>,
    /// Draws of people behind the intervals.
    pub bootstrap: Bootstrap,
    /// The model first.
    pub results: Vec<MethodResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairsResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<LegacyResult>,
    pub warnings: Vec<String>,
}
