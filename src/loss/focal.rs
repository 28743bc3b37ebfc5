//! Focal loss for any number of classes (Lin et al. 2017, "Focal loss for dense object
//! detection", eq. 5), with a weight and a focus for each class:
//! `−α_y (1 − p_y)^γ_y ln p_y`, y the true class.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Weights of one task. α = 1, γ = 0 for every class is the cross-entropy.
#[derive(Clone, Debug, PartialEq)]
pub struct FocalConfig {
    /// Weight of each class, > 0.
    pub alpha: Vec<f32>,
    /// Focus of each class, ≥ 0: how much a sample that is already right counts less.
    pub gamma: Vec<f32>,
}

impl FocalConfig {
    /// Mean loss of logits (b, classes) under labels (b), each 0..classes.
    pub fn forward(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        let [batch, _] = logits.dims();
        let device = logits.device();
        let of_class =
            |values: &[f32]| Tensor::<1>::from_data(values, &device).select(0, labels.clone());
        let log_p =
            log_softmax(logits, 1).gather(1, labels.clone().reshape([batch, 1])).reshape([batch]);
        // p = 1 would ask for 0^γ, whose derivative is infinite below γ = 1.
        let missed = (log_p.clone().exp().neg() + 1.0).clamp_min(1e-7);
        let focus = (missed.log() * of_class(&self.gamma)).exp();
        (of_class(&self.alpha) * focus * log_p).mean().neg()
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
        // Logits (0, ln 3): p = (1/4, 3/4). True class 0, α = 0.5, γ = 2:
        // 0.5 · (3/4)² · ln 4 = 0.28125 · 1.386294 = 0.389895.
        let device = Device::flex();
        let config = FocalConfig { alpha: vec![0.5, 1.0], gamma: vec![2.0, 0.0] };
        let logits = Tensor::<2>::from_data(TensorData::from([[0.0f32, 3.0f32.ln()]]), &device);
        let loss = config.forward(logits.clone(), labels(&[0], &device)).into_scalar::<f32>();
        assert!((loss - 0.389_895).abs() < 1e-5, "{loss}");
        let loss = config.forward(logits, labels(&[1], &device)).into_scalar::<f32>();
        assert!((loss - (4.0f32 / 3.0).ln()).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn gradient_matches_finite_differences() {
        let config = FocalConfig { alpha: vec![0.3, 0.9, 0.5], gamma: vec![2.0, 0.0, 2.5] };
        let logits = [0.3, -0.4, 1.2, 0.1, 0.8, -1.0, -0.2, 0.5, 0.4];
        assert_gradient(&logits, [3, 3], |x| {
            let device = x.device();
            config.forward(x, labels(&[0, 2, 1], &device))
        });
    }
}
