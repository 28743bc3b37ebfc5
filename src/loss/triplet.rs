//! Triplet loss on the hardest of each batch (Hermans et al. 2017, "In defense of the triplet loss
//! for person re-identification", eq. 5): for each anchor a, the farthest of the same person and the
//! nearest of another, `max(0, margin + ‖a − p‖ − ‖a − n‖)`, on embeddings of length 1.
//!
//! Batches need people with several captures: P people × K captures.

use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TripletConfig {
    /// How much nearer the same person must be, as a distance on the unit sphere (0 to 2).
    pub margin: f64,
}

impl Default for TripletConfig {
    fn default() -> Self {
        Self { margin: 0.3 }
    }
}

/// Larger than any distance on the unit sphere.
const FAR: f64 = 10.0;

impl TripletConfig {
    /// Mean loss of embeddings (b, c) under labels (b), over anchors that have both a positive and a
    /// negative; 0 where none has.
    pub fn forward(&self, embedding: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        let [batch, _] = embedding.dims();
        let device = embedding.device();
        // The root has an infinite derivative at 0.
        let squared = embedding.clone().powi_scalar(2).sum_dim(1).clamp_min(1e-24);
        let direction = embedding / squared.sqrt();
        let cosine = direction.clone().matmul(direction.transpose());
        // ‖a − b‖² = 2 − 2 cos; the root has an infinite derivative at 0.
        let distance = (cosine.neg() + 1.0).mul_scalar(2.0).clamp_min(1e-8).sqrt();

        let columns = labels.clone().reshape([1, batch]).repeat_dim(0, batch);
        let same = labels.reshape([batch, 1]).repeat_dim(1, batch).equal(columns);
        let itself = Tensor::<2>::eye(batch, &device).equal_elem(1.0);
        let other = same.clone().bool_not();
        let positive = same.bool_and(itself.bool_not());
        let farthest = distance.clone().mask_fill(positive.clone().bool_not(), -FAR).max_dim(1);
        let nearest = distance.mask_fill(other.clone().bool_not(), FAR).min_dim(1);
        let violation = (farthest - nearest + self.margin).clamp_min(0.0);
        let has = |mask: Tensor<2, burn::tensor::Bool>| mask.float().max_dim(1);
        let counts = has(positive) * has(other);
        (violation * counts.clone()).sum() / counts.sum().clamp_min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::finite_difference::assert_gradient;
    use burn::tensor::{Device, TensorData};

    fn labels(values: &[i32], device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::from(values), device)
    }

    #[test]
    fn a_value_worked_by_hand() {
        // At 0°, 60° (the same person) and 90° (another): distances 2 sin(half the angle).
        // Anchors: 0°: 1.0 to its own, √2 to the other; 60°: 1.0 and 2 sin 15° = 0.517638;
        // 90° has nobody of its own. With margin 0.5: 0.5 + 1 − √2 = 0.085786 and 0.982362, mean 0.534074.
        let device = Device::flex();
        let at =
            |degrees: f32| [3.0 * degrees.to_radians().cos(), 3.0 * degrees.to_radians().sin()];
        let embedding =
            Tensor::<2>::from_data(TensorData::from([at(0.0), at(60.0), at(90.0)]), &device);
        let config = TripletConfig { margin: 0.5 };
        let loss = config.forward(embedding.clone(), labels(&[4, 4, 1], &device));
        let loss = loss.into_scalar::<f32>();
        assert!((loss - 0.534_074).abs() < 1e-4, "{loss}");
        // Without a pair of one person there is nothing to learn.
        let loss = config.forward(embedding, labels(&[0, 1, 2], &device)).into_scalar::<f32>();
        assert_eq!(loss, 0.0);
    }

    #[test]
    fn gradient_matches_finite_differences() {
        let embeddings = [0.9, 0.5, 0.3, -0.8, 1.1, 0.4, 0.2, 0.6, -1.5, 0.7, 0.1, 0.9];
        assert_gradient(&embeddings, [4, 3], |x| {
            let device = x.device();
            TripletConfig { margin: 2.0 }.forward(x, labels(&[0, 0, 1, 1], &device))
        });
    }
}
