//! Templates: what every store keeps of an enrolled session, and what it refuses.

use super::GalleryError;
use super::log::MAX_PAYLOAD;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest name of a person or session, in bytes.
const MAX_NAME: usize = 255;
/// Longest labels of a template, names and values together, in bytes. JSON writes a byte as six at
/// worst, and six more around each label.
const MAX_LABELS: usize = 64 << 10;
const _: () = assert!(12 * MAX_LABELS + 12 * MAX_NAME + 1024 < MAX_PAYLOAD);

/// A template to enrol.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTemplate {
    /// Neither empty, nor with control characters, nor longer than 255 bytes; the session alike.
    pub person: String,
    pub session: String,
    /// At most 64 KiB.
    pub labels: BTreeMap<String, String>,
    /// As the model gives it; its length is kept as the quality.
    pub embedding: Vec<f32>,
}

/// Counts templates from 1 on; never given twice in a gallery.
pub type TemplateNumber = u64;

/// An enrolled template, without its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub number: TemplateNumber,
    pub person: Arc<str>,
    pub session: String,
    /// Whatever was told of it at enrolment.
    pub labels: BTreeMap<String, String>,
    /// Length of the embedding before it was made one: with MagFace, the quality of the picture.
    pub quality: f32,
}

pub(super) fn check_names(
    person: &str,
    session: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), GalleryError> {
    let bad = |what: &str| {
        let which = format!("{person:?}/{session:?}");
        Err(GalleryError::BadName { which, what: what.into() })
    };
    for name in [person, session] {
        if name.is_empty() {
            return bad("a name is empty");
        }
        if name.len() > MAX_NAME {
            return bad("a name is longer than 255 bytes");
        }
        if name.chars().any(char::is_control) {
            return bad("a name has control characters");
        }
    }
    let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_LABELS {
        return bad("its labels are longer than 64 KiB");
    }
    if labels.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return bad("a label has a zero byte");
    }
    Ok(())
}

/// Scales an embedding to unit length; returns the length too.
pub(super) fn normalised(
    which: impl Fn() -> String,
    embedding: &[f32],
    dim: usize,
) -> Result<(Vec<f32>, f64), GalleryError> {
    let bad = |what: String| GalleryError::BadEmbedding { which: which(), what };
    if embedding.len() != dim {
        return Err(bad(format!("has {} values instead of {dim}", embedding.len())));
    }
    if !embedding.iter().all(|value| value.is_finite()) {
        return Err(bad("has a value that is not a number or infinite".into()));
    }
    let length = embedding.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if length as f32 == 0.0 {
        return Err(bad("has length zero".into()));
    }
    if !(length as f32).is_finite() {
        return Err(bad("is longer than single precision can tell".into()));
    }
    Ok((embedding.iter().map(|&value| (f64::from(value) / length) as f32).collect(), length))
}

/// Cosine of two vectors of unit length, summed in float 64.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    // The lengths are one but for the rounding of their values.
    sum.clamp(-1.0, 1.0)
}
