//! What `train` and `evaluate` share: which captures, and how they are judged.

use crate::dataset::{CaptureRef, Collection, Part, Split};
use crate::eval::{FailureToAcquire, TaskSamples};
use crate::train::{Embedding, LabelError, TaskConfig, class_of};

/// Captures of a part's people, each person's together, in order of session. Whom the split does not
/// know was not trained on, and counts as one for the gallery. Attacks show nobody and are left out.
pub(super) fn captures_of<'a>(
    collection: &'a Collection,
    split: &Split,
    part: Part,
) -> Vec<CaptureRef<'a>> {
    let mut captures: Vec<CaptureRef<'a>> =
        collection.captures().filter(|c| is_of(split, part, c)).collect();
    captures.sort_by(|a, b| (&a.row.id, &a.row.session).cmp(&(&b.row.id, &b.row.session)));
    captures
}

fn is_of(split: &Split, part: Part, CaptureRef { row, .. }: &CaptureRef<'_>) -> bool {
    let own = split.part_of(&row.id, &row.session).unwrap_or(Part::Gallery);
    own == part && !row.training_only && !row.is_attack()
}

/// How many captures of a part's people show no face; `None` where none was looked for.
pub(super) fn failure_to_acquire(
    collection: &Collection,
    split: &Split,
    part: Part,
) -> Option<FailureToAcquire> {
    let looked_for = collection.captures().any(|c| c.row.face.is_some())
        || collection.without_face().any(|_| true);
    let count = |captures: &mut dyn Iterator<Item = CaptureRef<'_>>| {
        captures.filter(|c| is_of(split, part, c)).count()
    };
    let missed = count(&mut collection.without_face());
    let of = missed + count(&mut collection.captures());
    looked_for.then_some(FailureToAcquire { captures: missed, of })
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
