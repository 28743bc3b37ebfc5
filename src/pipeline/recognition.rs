//! What `train` and `evaluate` share: which captures, and how their tasks are judged.

use crate::dataset::{CaptureRef, Collection, Part, Split};
use crate::eval::{ConfusionMatrix, TaskResult, macro_auc};
use crate::train::{Embedding, LabelError, TaskConfig, class_of};
use std::collections::BTreeMap;

/// Captures of a part's people, each person's together, in order of session. Whom the split does not
/// know was not trained on, and counts as one for the gallery. Attacks show nobody and are left out.
pub(super) fn captures_of<'a>(
    collection: &'a Collection,
    split: &Split,
    part: Part,
) -> Vec<CaptureRef<'a>> {
    let mut captures: Vec<CaptureRef<'a>> = collection
        .captures()
        .filter(|c| *split.parts.get(&c.row.id).unwrap_or(&Part::Gallery) == part)
        .filter(|c| !c.row.training_only && !c.row.is_attack())
        .collect();
    captures.sort_by(|a, b| (&a.row.id, &a.row.session).cmp(&(&b.row.id, &b.row.session)));
    captures
}

/// How well each task is read, over the captures with a label.
pub(super) fn task_results(
    captures: &[CaptureRef<'_>],
    embeddings: &[Embedding],
    tasks: &[TaskConfig],
) -> Result<BTreeMap<String, TaskResult>, LabelError> {
    let mut results = BTreeMap::new();
    for (index, task) in tasks.iter().enumerate() {
        let (mut probabilities, mut labels) = (Vec::new(), Vec::new());
        for (capture, embedding) in captures.iter().zip(embeddings) {
            if let Some(class) = class_of(task, capture.row)? {
                probabilities.push(embedding.tasks[index].clone());
                labels.push(class);
            }
        }
        let confusion = ConfusionMatrix::new(&probabilities, &labels, None);
        let result = TaskResult {
            auc: macro_auc(&probabilities, &labels).into(),
            accuracy: confusion.as_ref().map(ConfusionMatrix::accuracy).map_err(|&e| e).into(),
            balanced_accuracy: confusion.and_then(|matrix| matrix.balanced_accuracy()).into(),
            labelled: labels.len(),
        };
        results.insert(task.name.clone(), result);
    }
    Ok(results)
}
