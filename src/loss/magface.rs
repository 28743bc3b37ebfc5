//! MagFace (Meng et al. 2021, "MagFace: a universal representation for face recognition and
//! quality assessment", eqs. 4 and 5): an angular margin that grows with the length of the
//! embedding, and a regulariser that rewards length, so that length becomes quality.
//!
//! With a the length clamped to [l_a, u_a] and θ_y the angle to the true class:
//! `m(a) = l_m + (u_m − l_m) (a − l_a) / (u_a − l_a)`, logits `s cos θ_j` and, for the true
//! class, `s cos(θ_y + m(a))`; the loss is their cross-entropy plus `λ_g g(a)`,
//! `g(a) = a / u_a² + 1 / a`.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MagFaceConfig {
    /// s
    pub scale: f64,
    /// l_a, u_a: embedding lengths between which the margin grows.
    pub min_length: f64,
    pub max_length: f64,
    /// l_m, u_m: margins in radians.
    pub min_margin: f64,
    pub max_margin: f64,
    /// λ_g; the paper's 35 is above [`MagFaceConfig::least_length_weight`].
    pub length_weight: f64,
    /// Leaves out the margin where the embedding is more than 90° off its class.
    pub easy_margin: bool,
}

impl Default for MagFaceConfig {
    fn default() -> Self {
        Self {
            scale: 64.0,
            min_length: 10.0,
            max_length: 110.0,
            min_margin: 0.45,
            max_margin: 0.8,
            length_weight: 35.0,
            easy_margin: true,
        }
    }
}

/// The loss and what it was made of.
#[derive(Clone, Debug)]
pub struct MagFaceLoss {
    /// Cross-entropy plus `λ_g g`, mean over the batch.
    pub loss: Tensor<1>,
    /// (b, identities): `cos θ`
    pub cosine: Tensor<2>,
    /// (b, identities): `cos(θ + m)` as if each class were the true one.
    pub cosine_with_margin: Tensor<2>,
    /// (b, 1)
    pub clamped_length: Tensor<2>,
}

impl MagFaceConfig {
    /// The least λ_g for which the loss has one best length for each embedding (appendix of the paper):
    /// `s K u_a² l_a² / (u_a² − l_a²)`, K the slope of the margin.
    pub fn least_length_weight(&self) -> f64 {
        let slope = (self.max_margin - self.min_margin) / (self.max_length - self.min_length);
        let (low, high) = (self.min_length.powi(2), self.max_length.powi(2));
        self.scale * slope * high * low / (high - low)
    }

    /// Mean loss of embeddings (b, c) under class weights (c, identities) and labels (b). Each sample's
    /// cross-entropy counts by its weight (b), or once where `None`.
    pub fn forward(
        &self,
        embedding: Tensor<2>,
        class_weight: Tensor<2>,
        labels: Tensor<1, Int>,
        sample_weight: Option<Tensor<1>>,
    ) -> MagFaceLoss {
        let [batch, _] = embedding.dims();
        let length = l2_norm(embedding.clone(), 1);
        let clamped = length.clone().clamp(self.min_length, self.max_length);
        let direction = embedding / length.clamp_min(1e-12);
        let class_direction = class_weight.clone() / l2_norm(class_weight, 0).clamp_min(1e-12);
        let cosine = direction.matmul(class_direction).clamp(-1.0, 1.0);

        let slope = (self.max_margin - self.min_margin) / (self.max_length - self.min_length);
        let margin = (clamped.clone() - self.min_length) * slope + self.min_margin;
        // The root has an infinite derivative at cos θ = ±1.
        let sine = (cosine.clone().powi_scalar(2).neg() + 1.0).clamp_min(1e-12).sqrt();
        let with_margin = cosine.clone() * margin.clone().cos() - sine * margin.clone().sin();
        let with_margin = if self.easy_margin {
            let beyond = cosine.clone().lower_equal_elem(0.0);
            with_margin.mask_where(beyond, cosine.clone())
        } else {
            // Past θ = π − m the cosine of θ + m rises again; the linear piece keeps falling.
            let turning = margin.clone().cos().neg();
            let past = cosine.clone().sub(turning).lower_equal_elem(0.0);
            let fall = margin.clone().sin() * margin;
            with_margin.mask_where(past, cosine.clone() - fall)
        };

        let identities = cosine.dims()[1];
        let is_label = labels.clone().one_hot::<2>(identities).equal_elem(1);
        let logits = cosine.clone().mask_where(is_label, with_margin.clone()) * self.scale;
        let log_p = log_softmax(logits, 1).gather(1, labels.reshape([batch, 1]));
        let cross_entropy = match sample_weight {
            Some(weight) => (log_p * weight.reshape([batch, 1])).mean().neg(),
            None => log_p.mean().neg(),
        };
        let regulariser =
            clamped.clone().div_scalar(self.max_length * self.max_length) + clamped.clone().recip();
        let loss = cross_entropy + regulariser.mean() * self.length_weight;
        MagFaceLoss { loss, cosine, cosine_with_margin: with_margin, clamped_length: clamped }
    }
}

fn l2_norm(tensor: Tensor<2>, dim: usize) -> Tensor<2> {
    // The root has an infinite derivative at 0.
    tensor.powi_scalar(2).sum_dim(dim).clamp_min(1e-24).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::finite_difference::assert_gradient;
    use burn::tensor::{Device, TensorData};

    fn identity_weight(device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::from([[2.0f32, 0.0], [0.0, 0.5]]), device)
    }

    #[test]
    fn a_value_worked_by_hand() {
        // Embedding (30, 40): length 50, cosines (0.6, 0.8); m = 0.45 + 0.35 · 0.4 = 0.59.
        // True class 0: s cos(θ + m) = 4 (0.6 cos 0.59 − 0.8 sin 0.59) = 0.213806, other logit
        // 3.2, cross-entropy ln(1 + e^(3.2 − 0.213806)) = 3.035444;
        // g = 50/12100 + 1/50 = 0.02413223, times 20 = 0.4826446.
        let config = MagFaceConfig { scale: 4.0, length_weight: 20.0, ..Default::default() };
        let device = Device::flex();
        let embedding = Tensor::<2>::from_data(TensorData::from([[30.0f32, 40.0]]), &device);
        let labels = Tensor::<1, Int>::from_data(TensorData::from([0]), &device);
        let out = config.forward(embedding, identity_weight(&device), labels, None);
        let got = out.loss.into_scalar::<f32>();
        let (m, theta) = (0.59f64, 0.6f64.acos());
        let logit = 4.0 * (theta + m).cos();
        let want = (1.0 + (3.2 - logit).exp()).ln() + 20.0 * (50.0 / 12_100.0 + 1.0 / 50.0);
        assert!((f64::from(got) - want).abs() < 1e-5, "{got} instead of {want}");
        assert!((want - 3.518).abs() < 1e-2, "the hand's value {want}");
    }

    #[test]
    fn the_bound_of_the_length_weight_worked_by_hand() {
        // 64 · 0.35/100 · 12100 · 100 / 12000 = 22.5867.
        let bound = MagFaceConfig::default().least_length_weight();
        assert!((bound - 22.586_667).abs() < 1e-5, "{bound}");
        // Above it g's slope outweighs the margin's at the least length: λ_g |g'(l_a)| ≥ s K.
        let config = MagFaceConfig::default();
        let slope = 1.0 / config.max_length.powi(2) - 1.0 / config.min_length.powi(2);
        assert!((bound * slope.abs() - 64.0 * 0.0035).abs() < 1e-9);
    }

    #[test]
    fn gradient_matches_finite_differences_in_length_and_direction() {
        // Lengths inside [l_a, u_a] so that the margin moves, cosines of both signs.
        let config = MagFaceConfig {
            scale: 2.0,
            min_length: 0.5,
            max_length: 3.0,
            length_weight: 2.0,
            ..Default::default()
        };
        let embeddings = [0.9, 0.5, 0.3, -0.8, 1.1, 0.4, 0.2, 0.6, -1.5];
        let weight = [0.5f32, -0.2, 0.3, 0.8, -0.6, 0.1];
        for easy_margin in [true, false] {
            let config = MagFaceConfig { easy_margin, ..config.clone() };
            assert_gradient(&embeddings, [3, 3], |x| {
                let device = x.device();
                let weight = TensorData::new(weight.to_vec(), [3, 2]);
                let labels = Tensor::<1, Int>::from_data(TensorData::from([0, 1, 0]), &device);
                config.forward(x, Tensor::from_data(weight, &device), labels, None).loss
            });
            // And toward the class weights.
            assert_gradient(&weight, [3, 2], |w| {
                let device = w.device();
                let x = TensorData::new(embeddings.to_vec(), [3, 3]);
                let labels = Tensor::<1, Int>::from_data(TensorData::from([0, 1, 0]), &device);
                let weight = Tensor::from_data(TensorData::from([0.3f32, 1.0, 0.6]), &device);
                config.forward(Tensor::from_data(x, &device), w, labels, Some(weight)).loss
            });
        }
    }
}
