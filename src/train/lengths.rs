//! Whether MagFace does what it is for: how long embeddings are beside the lengths between which its
//! margin grows.
//!
//! Outside [l_a, u_a] the margin is constant and the length has no gradient: the loss is then ArcFace
//! with a fixed margin, and the length says nothing of quality.

use crate::loss::MagFaceConfig;
use crate::order_statistics::quantile;
use serde::{Deserialize, Serialize};

/// Lengths of the identity embeddings of an epoch, before they are clamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingLengths {
    pub mean: f64,
    /// The twentieth that is shortest is below, the twentieth that is longest above.
    pub p05: f64,
    pub p95: f64,
    /// Shares shorter than l_a and longer than u_a.
    pub below: f64,
    pub above: f64,
}

/// From this share of clamped lengths on MagFace is called inert.
const INERT: f64 = 0.99;

impl EmbeddingLengths {
    /// `None` without a length.
    pub(super) fn of(mut lengths: Vec<f32>, magface: &MagFaceConfig) -> Option<Self> {
        let count = lengths.len() as f64;
        let share = |holds: &dyn Fn(f64) -> bool| {
            lengths.iter().filter(|&&l| holds(f64::from(l))).count() as f64 / count
        };
        let below = share(&|l| l < magface.min_length);
        let above = share(&|l| l > magface.max_length);
        let mean = lengths.iter().map(|&l| f64::from(l)).sum::<f64>() / count;
        let mut at = |share| quantile(&mut lengths, share).map(f64::from);
        Some(Self { p05: at(0.05)?, p95: at(0.95)?, mean, below, above })
    }

    /// What is to be said if the margin no longer hangs on the length.
    pub(super) fn warning(&self, magface: &MagFaceConfig) -> Option<String> {
        let (side, bound, key) = match self {
            Self { below, .. } if *below >= INERT => ("shorter", magface.min_length, "min_length"),
            Self { above, .. } if *above >= INERT => ("longer", magface.max_length, "max_length"),
            _ => return None,
        };
        Some(format!(
            "MagFace is inert: embeddings are {side} than identity.magface.{key} {bound} (90 % lie \
             between {:.2} and {:.2}), so its margin is constant; set {key} to where they are",
            self.p05, self.p95
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_beside_the_margins_range() {
        let magface = MagFaceConfig::default();
        let lengths: Vec<f32> = (0..200).map(|i| i as f32).collect();
        let found = EmbeddingLengths::of(lengths, &magface).unwrap();
        // 0 to 9 of 200 are below 10, 111 to 199 above 110.
        assert_eq!((found.below, found.above), (0.05, 0.445));
        assert!((found.mean - 99.5).abs() < 1e-9);
        assert!((found.p05 - 10.0).abs() <= 1.0 && (found.p95 - 189.0).abs() <= 1.0, "{found:?}");
        assert_eq!(found.warning(&magface), None);
        assert_eq!(EmbeddingLengths::of(Vec::new(), &magface), None);
    }

    #[test]
    fn an_inert_margin_is_told() {
        let magface = MagFaceConfig::default();
        let of = |length: f32| EmbeddingLengths::of(vec![length; 50], &magface).unwrap();
        let text = of(3.0).warning(&magface).unwrap();
        assert!(text.contains("shorter than identity.magface.min_length 10"), "{text}");
        let text = of(200.0).warning(&magface).unwrap();
        assert!(text.contains("longer than identity.magface.max_length 110"), "{text}");
        assert_eq!(of(60.0).warning(&magface), None);
    }
}
