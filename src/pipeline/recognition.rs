//! What `train` and `evaluate` share: which captures, and how they are judged.

use crate::dataset::{CaptureRef, Collection, Part, Split};
use crate::eval::TaskSamples;
use crate::train::{Embedding, LabelError, TaskConfig, class_of};

/// Captures of a part's people, each person's together, in order of session. Whom the split does not
/// know was not trained on, and counts as one for the gallery. Attacks show nobody and are left out.
pub(super) fn captures_of<'a>(
    collection: &'a Collection,
    split: &Split,
    part: Part,
) -> Vec<CaptureRef<'a>> {
    let mut captures: Vec<CaptureRef<'a>> = collection
        .captures()
        .filter(|c| split.part_of(&c.row.id, &c.row.session).unwrap_or(Part::Gallery) == part)
        .filter(|c| !c.row.training_only && !c.row.is_attack())
        .collect();
    captures.sort_by(|a, b| (&a.row.id, &a.row.session).cmp(&(&b.row.id, &b.row.session)));
    captures
}

/// What the network says of one task, over the captures with a label.
pub(super) fn task_samples(
    captures: &[CaptureRef<'_>],
    embeddings: &[Embedding],
    person: &[usize],
    index: usize,
    task: &TaskConfig,
) -> Result<TaskSamples, LabelError> {
    let mut samples = TaskSamples::default();
    for ((capture, embedding), &person) in captures.iter().zip(embeddings).zip(person) {
        if let Some(class) = class_of(task, capture.row)? {
            samples.probabilities.push(embedding.tasks[index].clone());
            samples.labels.push(class);
            samples.people.push(person);
        }
    }
    Ok(samples)
}
