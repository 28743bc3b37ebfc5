//! The figures of an evaluation: what the main ones are called and mean, and all of them in one list.

use crate::eval::{Condition, Figure, IdentityResult, MethodResult, PairsResult, TaskResult};

/// One method of an evaluation, or the model of one run among several, under the name that readers see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub name: &'a str,
    pub result: &'a MethodResult,
    /// Of a model that was judged by a list of pairs.
    pub pairs: Option<&'a PairsResult>,
}

/// One of the figures that say how well people are told apart.
pub(super) struct MainFigure {
    pub name: &'static str,
    pub meaning: &'static str,
    pub of: fn(&IdentityResult) -> &Figure,
}

pub(super) const MAIN_FIGURES: [MainFigure; 9] = [
    MainFigure {
        name: "AUC",
        meaning: "Chance that a genuine pair scores above an impostor pair, ties counted half; \
                  0.5 is guessing. By cosine, over all pairs.",
        of: |identity| &identity.verification.auc,
    },
    MainFigure {
        name: "AUC by person",
        meaning: "The same within each person's probes, then averaged over people: nobody counts \
                  more for having come more often.",
        of: |identity| &identity.verification.auc_by_person,
    },
    MainFigure {
        name: "AUC, Euclidean",
        meaning: "By the distance of the embeddings as they are, instead of their angle.",
        of: |identity| &identity.verification.auc_euclidean,
    },
    MainFigure {
        name: "EER",
        meaning: "Equal error rate: where as large a share of impostors is accepted as of genuine \
                  pairs is rejected. Lower is better.",
        of: |identity| &identity.verification.eer,
    },
    MainFigure {
        name: "min DCF",
        meaning: "Least detection cost over all thresholds if one pair in a hundred is genuine and \
                  both errors cost alike; 1 is as bad as not looking. Lower is better.",
        of: |identity| &identity.verification.min_dcf,
    },
    MainFigure {
        name: "Rank-1",
        meaning: "Share of probes whose own person is the most similar one in the gallery; a tie \
                  counts against.",
        of: |identity| &identity.identification.rank_1,
    },
    MainFigure {
        name: "Rank-5",
        meaning: "Share of probes whose own person is among the five most similar.",
        of: |identity| &identity.identification.rank_5,
    },
    MainFigure {
        name: "Rank-10",
        meaning: "Share of probes whose own person is among the ten most similar.",
        of: |identity| &identity.identification.rank_10,
    },
    MainFigure {
        name: "mAP",
        meaning: "Mean of 1 / rank of the own person.",
        of: |identity| &identity.identification.mean_average_precision,
    },
];

type OfTask = fn(&TaskResult) -> &Figure;

/// The figures of a task: the field's name, the reader's, the figure.
pub(super) const TASK_FIGURES: [(&str, &str, OfTask); 6] = [
    ("auc", "AUC", |task| &task.auc),
    ("average_precision", "average precision", |task| &task.average_precision),
    ("accuracy", "accuracy", |task| &task.accuracy),
    ("balanced_accuracy", "balanced accuracy", |task| &task.balanced_accuracy),
    ("f1", "F1", |task| &task.f1),
    ("calibration_error", "calibration error", |task| &task.calibration_error),
];

/// A figure by its place in the JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    pub section: &'static str,
    /// The name of the field.
    pub figure: &'static str,
    /// The rate that was asked for, the task, or the label; empty where there is but one.
    pub at: String,
    pub value: Figure,
}

/// Every figure of a method, in the order of the JSON.
pub(super) fn all_figures(entry: &Entry<'_>) -> Vec<Listed> {
    let mut list = List(Vec::new());
    let MethodResult { identity, tasks, leakage, .. } = entry.result;

    let (part, verification) = ("verification", &identity.verification);
    list.number(part, "genuine_pairs", "", Some(verification.genuine_pairs as f64));
    list.number(part, "impostor_pairs", "", Some(verification.impostor_pairs as f64));
    list.figure(part, "auc", "", &verification.auc);
    list.figure(part, "auc_by_person", "", &verification.auc_by_person);
    list.figure(part, "auc_euclidean", "", &verification.auc_euclidean);
    list.figure(part, "eer", "", &verification.eer);
    list.figure(part, "min_dcf", "", &verification.min_dcf);
    for point in &verification.tar_at_far {
        let at = point.far.to_string();
        list.figure(part, "tar_at_far", &at, &point.tar);
        list.number(part, "achieved_far", &at, point.achieved_far);
        list.number(part, "false_accepts", &at, point.false_accepts.map(|n| n as f64));
        list.number(part, "threshold", &at, point.threshold);
    }

    let (part, identification) = ("identification", &identity.identification);
    list.number(part, "searches", "", Some(identification.searches as f64));
    list.figure(part, "rank_1", "", &identification.rank_1);
    list.figure(part, "rank_5", "", &identification.rank_5);
    list.figure(part, "rank_10", "", &identification.rank_10);
    list.figure(part, "mean_average_precision", "", &identification.mean_average_precision);
    for point in &identification.fnir_at_fpir {
        let at = point.fpir.to_string();
        list.figure(part, "fnir_at_fpir", &at, &point.fnir);
        list.number(part, "achieved_fpir", &at, point.achieved_fpir);
        list.number(part, "threshold", &at, point.threshold);
    }

    if let Some(quality) = &identity.quality {
        list.number("quality", "threshold", "", quality.threshold);
        list.figure("quality", "predicts_rank_1", "", &quality.predicts_rank_1);
    }
    for difference in &identity.by_difference {
        for (kind, condition) in [("same", &difference.same), ("differs", &difference.differs)] {
            let Condition { searches, auc, rank_1 } = condition;
            let (part, at) = ("by_difference", format!("{} {kind}", difference.label));
            list.number(part, "searches", &at, Some(*searches as f64));
            list.figure(part, "auc", &at, auc);
            list.figure(part, "rank_1", &at, rank_1);
        }
    }
    for (name, task) in tasks {
        list.number("tasks", "labelled", name, Some(task.labelled as f64));
        for (key, _, of) in TASK_FIGURES {
            list.figure("tasks", key, name, of(task));
        }
        if let Some(at_threshold) = &task.balanced_accuracy_at_threshold {
            list.number("tasks", "threshold", name, task.threshold);
            list.figure("tasks", "balanced_accuracy_at_threshold", name, at_threshold);
        }
    }
    for leak in leakage {
        list.number("leakage", "labelled", &leak.label, Some(leak.labelled as f64));
        list.figure("leakage", "identity", &leak.label, &leak.identity);
        if let Some(before) = &leak.before_separation {
            list.figure("leakage", "before_separation", &leak.label, before);
        }
    }
    if let Some(of) = entry.pairs {
        list.number("pairs", "pairs", "", Some(of.pairs as f64));
        list.number("pairs", "folds", "", Some(of.folds as f64));
        list.number("pairs", "accuracy", "", Some(of.accuracy));
        list.number("pairs", "standard_error", "", Some(of.standard_error));
        let several = of.people_in_several_folds.map(|people| people as f64);
        list.number("pairs", "people_in_several_folds", "", several);
    }
    list.0
}

struct List(Vec<Listed>);

impl List {
    fn figure(&mut self, section: &'static str, figure: &'static str, at: &str, value: &Figure) {
        self.0.push(Listed { section, figure, at: at.into(), value: value.clone() });
    }

    fn number(
        &mut self,
        section: &'static str,
        figure: &'static str,
        at: &str,
        value: Option<f64>,
    ) {
        self.figure(section, figure, at, &Figure { value, ..Figure::default() });
    }
}
