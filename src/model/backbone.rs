//! iResNet (Duta et al. 2020), with one learnable PReLU slope per block.
//!
//! A 7×7/2 convolution, then four stages that each halve the image: 256² in, 8² out. A stage is a
//! *start* block, which changes size and channels, *middle* blocks, and an *end* block, which
//! normalises and activates the sum. Downsampling is a 3×3/2 max-pool, followed by a 1×1
//! convolution only where channels change. Blocks are two 3×3 convolutions, or, from 50 layers on,
//! bottlenecks: 1×1 down, 3×3, 1×1 up to four times as many channels.

use burn::module::{Initializer, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PRelu, PReluConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

/// Shape of a backbone.
#[derive(Clone, Debug, PartialEq)]
pub struct IResNetConfig {
    pub in_channels: usize,
    /// Channels of the first stage, 64 in the paper; each stage doubles them.
    pub width: usize,
    /// Blocks in each stage, at least 2: [2, 2, 2, 2] is iResNet18.
    pub blocks: [usize; 4],
    /// Whether blocks are bottlenecks, as in iResNet50 and 101.
    pub bottleneck: bool,
}

/// Channels out of a bottleneck for each channel of its 3×3 convolution.
const EXPANSION: usize = 4;

impl IResNetConfig {
    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        8 * self.width * self.expansion()
    }

    fn expansion(&self) -> usize {
        if self.bottleneck { EXPANSION } else { 1 }
    }

    pub fn init(&self, device: &Device) -> IResNet {
        let width = self.width;
        let stage = |number: usize, in_width: usize| {
            let in_channels = if number == 0 { width } else { in_width * self.expansion() };
            let (width, blocks) = (width << number, self.blocks[number]);
            if self.bottleneck {
                init_bottlenecks(in_channels, width, blocks, device)
            } else {
                init_stage(in_channels, width, blocks, device)
            }
        };
        IResNet {
            conv1: convolution(self.in_channels, width, 7, 2, device),
            bn1: BatchNormConfig::new(width).init(device),
            prelu: PReluConfig::new().init(device),
            layer1: stage(0, width),
            layer2: stage(1, width),
            layer3: stage(2, 2 * width),
            layer4: stage(3, 4 * width),
        }
    }
}

/// Images (b, c, h, w) → features (b, 8·width, h/32, w/32).
#[derive(Module, Debug)]
pub struct IResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    prelu: PRelu,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
}

impl IResNet {
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let features = self.prelu.forward(self.bn1.forward(self.conv1.forward(images)));
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
            .into_iter()
            .flatten()
            .fold(features, |features, block| block.forward(features))
    }
}

/// What a block is follows from its parts: a start block has a downsampling, an end block a last
/// norm without one, and the block after the start block has no `bn0`. The last norm is `bn2` of
/// two convolutions, `bn3` of a bottleneck, whose `bn2` always follows its second convolution.
#[derive(Module, Debug)]
struct Block {
    bn0: Option<BatchNorm>,
    conv1: Conv2d,
    bn1: BatchNorm,
    prelu: PRelu,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<Downsample>,
}

impl Block {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let Some(downsample) = &self.downsample else {
            let mut out = input.clone();
            if let Some(bn0) = &self.bn0 {
                out = bn0.forward(out);
            }
            let out = self.convolve(self.prelu.forward(out)) + input;
            return match self.last_norm() {
                Some(norm) => self.prelu.forward(norm.forward(out)),
                None => out,
            };
        };
        let mut out = self.convolve(input.clone());
        if let Some(norm) = self.last_norm() {
            out = norm.forward(out);
        }
        out + downsample.forward(input)
    }

    fn last_norm(&self) -> Option<&BatchNorm> {
        if self.conv3.is_some() { self.bn3.as_ref() } else { self.bn2.as_ref() }
    }

    /// The convolutions and what stands between them.
    fn convolve(&self, input: Tensor<4>) -> Tensor<4> {
        let out = self.prelu.forward(self.bn1.forward(self.conv1.forward(input)));
        let out = self.conv2.forward(out);
        match (&self.bn2, &self.conv3) {
            (Some(bn2), Some(conv3)) => conv3.forward(self.prelu.forward(bn2.forward(out))),
            _ => out,
        }
    }
}

#[derive(Module, Debug)]
struct Downsample {
    pool: MaxPool2d,
    conv: Option<Conv2d>,
    bn: Option<BatchNorm>,
}

impl Downsample {
    fn new(in_channels: usize, channels: usize, device: &Device) -> Self {
        let changes = in_channels != channels;
        Self {
            pool: MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(),
            conv: changes.then(|| convolution(in_channels, channels, 1, 1, device)),
            bn: changes.then(|| BatchNormConfig::new(channels).init(device)),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let mut out = self.pool.forward(input);
        if let Some(conv) = &self.conv {
            out = conv.forward(out);
        }
        if let Some(bn) = &self.bn {
            out = bn.forward(out);
        }
        out
    }
}

fn init_stage(in_channels: usize, channels: usize, blocks: usize, device: &Device) -> Vec<Block> {
    assert!(blocks >= 2, "a stage has a start and an end block");
    let norm = || BatchNormConfig::new(channels).init(device);
    (0..blocks)
        .map(|index| {
            let (start, end) = (index == 0, index == blocks - 1);
            let (inputs, stride) = if start { (in_channels, 2) } else { (channels, 1) };
            Block {
                bn0: (index > 1).then(norm),
                conv1: convolution(inputs, channels, 3, stride, device),
                bn1: norm(),
                prelu: PReluConfig::new().init(device),
                conv2: convolution(channels, channels, 3, 1, device),
                bn2: (start || end).then(norm),
                conv3: None,
                bn3: None,
                downsample: start.then(|| Downsample::new(in_channels, channels, device)),
            }
        })
        .collect()
}

fn init_bottlenecks(
    in_channels: usize,
    width: usize,
    blocks: usize,
    device: &Device,
) -> Vec<Block> {
    assert!(blocks >= 2, "a stage has a start and an end block");
    let channels = EXPANSION * width;
    let norm = |channels| BatchNormConfig::new(channels).init(device);
    (0..blocks)
        .map(|index| {
            let (start, end) = (index == 0, index == blocks - 1);
            let (inputs, stride) = if start { (in_channels, 2) } else { (channels, 1) };
            Block {
                bn0: (index > 1).then(|| norm(channels)),
                conv1: convolution(inputs, width, 1, 1, device),
                bn1: norm(width),
                prelu: PReluConfig::new().init(device),
                conv2: convolution(width, width, 3, stride, device),
                bn2: Some(norm(width)),
                conv3: Some(convolution(width, channels, 1, 1, device)),
                bn3: (start || end).then(|| norm(channels)),
                downsample: start.then(|| Downsample::new(in_channels, channels, device)),
            }
        })
        .collect()
}

/// A convolution without bias, padded to keep the size at stride 1, Kaiming fan-out init.
fn convolution(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    device: &Device,
) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new([inputs, outputs], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .with_initializer(Initializer::KaimingNormal {
            gain: std::f64::consts::SQRT_2,
            fan_out_only: true,
        })
        .init(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters of the four depths of the paper, without their classifiers: with 1000 classes
    /// and ReLU, torchvision's ResNets count 11.7, 21.8, 25.6 and 44.5 million; an iResNet differs by
    /// the norms and slopes of its blocks and by the convolution its first stage does without.
    #[test]
    fn every_depth_halves_five_times_and_has_its_papers_size() {
        let device = Device::flex();
        for (blocks, bottleneck, millions) in [
            ([2, 2, 2, 2], false, 11.18),
            ([3, 4, 6, 3], false, 21.29),
            ([3, 4, 6, 3], true, 23.51),
            ([3, 4, 23, 3], true, 42.51),
        ] {
            let config = IResNetConfig { in_channels: 3, width: 64, blocks, bottleneck };
            let network = config.init(&device);
            let parameters = network.num_params() as f64 / 1e6;
            // Running statistics are counted too, a quarter of a percent.
            let excess = parameters / millions - 1.0;
            assert!((0.0..0.004).contains(&excess), "{blocks:?}: {parameters} million");
        }
        for bottleneck in [false, true] {
            let config =
                IResNetConfig { in_channels: 3, width: 4, blocks: [2, 3, 2, 2], bottleneck };
            let features = config.init(&device).forward(Tensor::zeros([2, 3, 64, 96], &device));
            assert_eq!(features.dims(), [2, config.out_channels(), 2, 3]);
        }
    }
}
