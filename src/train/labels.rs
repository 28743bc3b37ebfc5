//! Label values → class numbers.

use super::TaskConfig;
use crate::dataset::ManifestRow;

/// A label that no class of its task covers.
#[derive(Debug, thiserror::Error)]
#[error(
    "{capture}: `{value}` is no class of the task `{task}` ({classes}); add it to the task's \
     classes, or `*` for every other value"
)]
pub struct LabelError {
    capture: String,
    value: String,
    task: String,
    classes: String,
}

/// The class of a capture in a task, or `None` where it has no label.
pub fn class_of(task: &TaskConfig, row: &ManifestRow) -> Result<Option<usize>, LabelError> {
    let Some(value) = row.labels.get(&task.name) else { return Ok(None) };
    let position = |wanted: &str| task.classes.iter().position(|class| class == wanted);
    position(value).or_else(|| position("*")).map(Some).ok_or_else(|| LabelError {
        capture: row.name(),
        value: value.clone(),
        task: task.name.clone(),
        classes: task.classes.join(", "),
    })
}
