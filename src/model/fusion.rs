//! Fusion of several modalities' features into one, so that everything behind it is the network of
//! a single modality. Every kind serves any subset of the modalities: what is absent is weighed 0.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PRelu, PReluConfig};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// How several modalities become one embedding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FusionKind {
    /// A whole network for each modality, their embeddings joined, new heads on top.
    #[default]
    Concatenation,
    /// Features side by side, brought to the width of one by a 1×1 convolution.
    Projection,
    /// A weighted mean of features; the weights are a softmax over modalities at each place, after the
    /// gated units of Arevalo et al. 2017, "Gated multimodal units for information fusion".
    Gated,
    /// A weighted mean of features; the weights are a softmax over modalities for each channel, from
    /// what is in the whole picture, after Li et al. 2019, "Selective kernel networks".
    Attention,
}

/// Bottleneck of the channel attention.
const REDUCTION: usize = 16;
/// Added to the logit of an absent modality.
const ABSENT: f64 = -1e4;

/// Features of m modalities (b, c, h, w) → features (b, c, h, w).
#[derive(Module, Debug)]
pub struct FeatureFusion {
    /// Of [`FusionKind::Projection`] and [`FusionKind::Gated`].
    pointwise: Option<Conv2d>,
    bn: Option<BatchNorm>,
    prelu: Option<PRelu>,
    /// Of [`FusionKind::Attention`].
    squeeze: Option<Linear>,
    /// (m, bottleneck, c)
    excite: Option<Param<Tensor<3>>>,
}

impl FeatureFusion {
    /// `None` for [`FusionKind::Concatenation`], which joins embeddings instead.
    pub fn new(
        kind: FusionKind,
        modalities: usize,
        channels: usize,
        device: &Device,
    ) -> Option<Self> {
        let none = Self { pointwise: None, bn: None, prelu: None, squeeze: None, excite: None };
        let pointwise = |outputs: usize, bias: bool| {
            let config = Conv2dConfig::new([modalities * channels, outputs], [1, 1]);
            Some(config.with_bias(bias).init(device))
        };
        let bottleneck = (channels / REDUCTION).max(4);
        match kind {
            FusionKind::Concatenation => None,
            FusionKind::Projection => Some(Self {
                pointwise: pointwise(channels, false),
                bn: Some(BatchNormConfig::new(channels).init(device)),
                prelu: Some(PReluConfig::new().init(device)),
                ..none
            }),
            FusionKind::Gated => Some(Self { pointwise: pointwise(modalities, true), ..none }),
            FusionKind::Attention => Some(Self {
                squeeze: Some(LinearConfig::new(channels, bottleneck).init(device)),
                excite: Some(
                    Initializer::Normal { mean: 0.0, std: 1.0 / (bottleneck as f64).sqrt() }
                        .init([modalities, bottleneck, channels], device),
                ),
                ..none
            }),
        }
    }

    /// `presence` (b, m) is 1 where a sample has the modality, 0 where not; each has at least one.
    pub fn forward(&self, features: &[Tensor<4>], presence: &Tensor<2>) -> Tensor<4> {
        let [batch, channels, height, width] = features[0].dims();
        let modalities = features.len();
        // (b, m, c, h, w); absent features are 0, whatever was computed from nothing.
        let stacked = Tensor::stack::<5>(features.to_vec(), 1)
            * presence.clone().reshape([batch, modalities, 1, 1, 1]);
        let absent = (presence.clone().neg() + 1.0) * ABSENT;
        if let (Some(squeeze), Some(excite)) = (&self.squeeze, &self.excite) {
            // One descriptor of all that is there: the mean over places and present modalities.
            let present = presence.clone().sum_dim(1);
            let whole = stacked.clone().sum_dim(1).reshape([batch, channels, height * width]);
            let whole = whole.mean_dim(2).reshape([batch, channels]) / present;
            let hidden = relu(squeeze.forward(whole)).unsqueeze_dim::<3>(0);
            // (m, b, c) → (b, m, c)
            let logits = hidden.matmul(excite.val()).swap_dims(0, 1);
            let weights = softmax(logits + absent.reshape([batch, modalities, 1]), 1);
            let weighted = stacked * weights.reshape([batch, modalities, channels, 1, 1]);
            return weighted.sum_dim(1).reshape([batch, channels, height, width]);
        }
        let joined = stacked.clone().reshape([batch, modalities * channels, height, width]);
        let Some(pointwise) = &self.pointwise else { unreachable!("every fusion has its layers") };
        if let (Some(bn), Some(prelu)) = (&self.bn, &self.prelu) {
            // As loud with some absent as with all there.
            let share = presence.clone().mean_dim(1).reshape([batch, 1, 1, 1]);
            return prelu.forward(bn.forward(pointwise.forward(joined / share)));
        }
        let logits = pointwise.forward(joined) + absent.reshape([batch, modalities, 1, 1]);
        let gates = softmax(logits, 1).reshape([batch, modalities, 1, height, width]);
        (stacked * gates).sum_dim(1).reshape([batch, channels, height, width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, TensorData};

    const KINDS: [FusionKind; 3] =
        [FusionKind::Projection, FusionKind::Gated, FusionKind::Attention];

    fn features(device: &Device, seed: u64) -> Tensor<4> {
        device.seed(seed);
        Tensor::random([2, 8, 3, 2], Distribution::Normal(0.0, 1.0), device)
    }

    fn largest(tensor: Tensor<4>) -> f32 {
        tensor.abs().max().into_scalar()
    }

    #[test]
    fn what_is_absent_does_not_matter() {
        let device = Device::flex();
        let presence =
            Tensor::<2>::from_data(TensorData::from([[1.0f32, 0.0], [0.0, 1.0]]), &device);
        let (a, b) = (features(&device, 1), features(&device, 2));
        // Sample 0 has the first alone, sample 1 the second alone: noise goes where nothing is.
        let noise = features(&device, 3) * 100.0;
        let where_absent = |modality: usize| {
            (presence.clone().slice([0..2, modality..modality + 1]).neg() + 1.0)
                .reshape([2, 1, 1, 1])
        };
        for kind in KINDS {
            device.seed(4);
            let fusion = FeatureFusion::new(kind, 2, 8, &device).unwrap();
            let plain = fusion.forward(&[a.clone(), b.clone()], &presence);
            let disturbed = [
                a.clone() + noise.clone() * where_absent(0),
                b.clone() + noise.clone() * where_absent(1),
            ];
            let difference = largest(fusion.forward(&disturbed, &presence) - plain.clone());
            assert!(difference < 1e-6, "{kind:?}: {difference}");
            assert!(largest(plain) > 0.1, "{kind:?}");
        }
    }

    #[test]
    fn a_weighted_mean_of_equals_is_the_same_and_a_single_one_itself() {
        let device = Device::flex();
        let all = Tensor::<2>::ones([2, 2], &device);
        let first = Tensor::<2>::from_data(TensorData::from([[1.0f32, 0.0], [1.0, 0.0]]), &device);
        let (a, b) = (features(&device, 1), features(&device, 2));
        for kind in [FusionKind::Gated, FusionKind::Attention] {
            let fusion = FeatureFusion::new(kind, 2, 8, &device).unwrap();
            let equal = fusion.forward(&[a.clone(), a.clone()], &all);
            assert!(largest(equal - a.clone()) < 1e-5, "{kind:?}");
            let alone = fusion.forward(&[a.clone(), b.clone()], &first);
            assert!(largest(alone - a.clone()) < 1e-5, "{kind:?}");
            let both = fusion.forward(&[a.clone(), b.clone()], &all);
            assert!(largest(both - a.clone()) > 0.05, "{kind:?} looks at one modality only");
        }
    }
}
