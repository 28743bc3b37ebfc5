//! Feature separation (Huang et al. 2021, MTLFace, section 3.2): attention over channels and
//! over places says which part of the features speaks of a task.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, s};

/// Bins along each side of the spatial pyramid.
const PYRAMID: [usize; 3] = [1, 2, 3];
/// Pooled values a channel: 1 + 4 + 9.
const PYRAMID_CELLS: usize = 14;
/// Bottleneck of the channel attention.
const REDUCTION: usize = 16;
/// The attention maps' running statistics move slowly, as in the original.
const ATTENTION_MOMENTUM: f64 = 0.01;

/// Splits features (b, c, h, w) into a task's part and the rest.
#[derive(Module, Debug)]
pub struct FeatureSeparation {
    channel_reduce: Conv2d,
    channel_expand: Conv2d,
    channel_bn: BatchNorm,
    spatial_conv: Conv2d,
    spatial_bn: BatchNorm,
}

impl FeatureSeparation {
    pub fn new(channels: usize, device: &Device) -> Self {
        let cells = channels * PYRAMID_CELLS;
        let pointwise = |inputs, outputs| {
            Conv2dConfig::new([inputs, outputs], [1, 1]).with_bias(false).init(device)
        };
        let norm = |n| BatchNormConfig::new(n).with_momentum(ATTENTION_MOMENTUM).init(device);
        Self {
            channel_reduce: pointwise(cells, cells / REDUCTION),
            channel_expand: pointwise(cells / REDUCTION, channels),
            channel_bn: norm(channels),
            spatial_conv: Conv2dConfig::new([2, 1], [7, 7])
                .with_padding(PaddingConfig2d::Explicit(3, 3, 3, 3))
                .with_bias(false)
                .init(device),
            spatial_bn: norm(1),
        }
    }

    /// Returns (the task's features, what remains): `t = (x·c + x·s) / 2` and `x − t`.
    pub fn forward(&self, features: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let pooled = pyramid_pool(features.clone());
        let channel = relu(self.channel_reduce.forward(pooled));
        let channel = sigmoid(self.channel_bn.forward(self.channel_expand.forward(channel)));

        let places =
            Tensor::cat(vec![features.clone().max_dim(1), features.clone().mean_dim(1)], 1);
        let spatial = sigmoid(self.spatial_bn.forward(self.spatial_conv.forward(places)));

        let task = (features.clone() * channel + features.clone() * spatial).mul_scalar(0.5);
        (task.clone(), features - task)
    }
}

/// Sum of average and maximum over the cells of a spatial pyramid, (b, c, h, w) → (b, 14c, 1, 1):
/// level by level, within a level channel by channel.
///
/// Cell i of n covers `⌊i h/n⌋ .. ⌈(i+1) h/n⌉`, PyTorch's adaptive bins, which overlap where n
/// does not divide h.
fn pyramid_pool(features: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = features.dims();
    let bin = |i: usize, n: usize, length: usize| (i * length / n, ((i + 1) * length).div_ceil(n));
    let levels = PYRAMID
        .iter()
        .map(|&n| {
            let mut cells = Vec::with_capacity(n * n);
            for row in 0..n {
                for column in 0..n {
                    let (top, bottom) = bin(row, n, height);
                    let (left, right) = bin(column, n, width);
                    let area = (bottom - top) * (right - left);
                    let cell = features
                        .clone()
                        .slice(s![.., .., top..bottom, left..right])
                        .reshape([batch, channels, area]);
                    cells.push(cell.clone().mean_dim(2) + cell.max_dim(2));
                }
            }
            Tensor::cat(cells, 2).reshape([batch, channels * n * n, 1, 1])
        })
        .collect();
    Tensor::cat(levels, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn pyramid_bins_are_pytorchs() {
        // One channel of 2×2: three bins over two rows are rows 0, 0–1, 1.
        let device = Device::flex();
        let x = TensorData::new(vec![1.0f32, 2.0, 3.0, 4.0], [1, 1, 2, 2]);
        let pooled = pyramid_pool(Tensor::from_data(x, &device));
        let got = pooled.into_data().try_to_vec::<f32>().unwrap();
        let want = [
            2.5 + 4.0, // whole
            2.0,
            4.0,
            6.0,
            8.0, // 2×2, mean + max of single pixels
            2.0,
            1.5 + 2.0,
            4.0, // 3×3: rows 0
            2.0 + 3.0,
            2.5 + 4.0,
            3.0 + 4.0, // rows 0–1
            6.0,
            3.5 + 4.0,
            8.0, // row 1
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let device = Device::flex();
        device.seed(3);
        let module = FeatureSeparation::new(16, &device);
        let x = Tensor::<4>::random(
            [2, 16, 3, 4],
            burn::tensor::Distribution::Normal(0.0, 1.0),
            &device,
        );
        let (task, rest) = module.forward(x.clone());
        let difference = (task + rest - x).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6, "{difference}");
    }
}
