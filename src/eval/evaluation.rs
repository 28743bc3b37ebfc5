//! The result of one evaluation, as it is stored.

use super::Metric;
use serde::Serialize;
use std::collections::BTreeMap;

/// A figure with its reason where it has no value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Metric> for Figure {
    fn from(metric: Metric) -> Self {
        match metric {
            Ok(value) => Self { value: Some(value), reason: None },
            Err(reason) => Self { value: None, reason: Some(reason.to_string()) },
        }
    }
}

/// How well one way of comparing captures tells people apart. Pairs are every probe with every
/// enrolled template.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdentityResult {
    pub auc_cosine: Figure,
    pub auc_euclidean: Figure,
    /// By cosine.
    pub rank_1: Figure,
    pub rank_5: Figure,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskResult {
    /// By class probability; one class against the rest, averaged, for more than two.
    pub auc: Figure,
    /// By the most probable class.
    pub accuracy: Figure,
    /// Mean over the classes, each as much as any other.
    pub balanced_accuracy: Figure,
    /// Captures with a label.
    pub labelled: usize,
}

/// The model or a baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MethodResult {
    pub method: String,
    pub identity: IdentityResult,
    pub tasks: BTreeMap<String, TaskResult>,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Which part of the split.
    pub split: String,
    /// Epochs that the checkpoint was trained.
    pub epoch: usize,
    /// Enrolled people, one session each.
    pub enrolled: usize,
    /// 1, or, where each session is enrolled in turn, as many as everyone has sessions.
    pub rounds: usize,
    /// Over all rounds.
    pub probes: usize,
    pub genuine_pairs: usize,
    pub impostor_pairs: usize,
    /// The model first.
    pub results: Vec<MethodResult>,
    pub warnings: Vec<String>,
}
