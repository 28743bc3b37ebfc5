//! iResNet (Duta et al. 2020), with one learnable PReLU slope per block.
//!
//! A 7×7/2 convolution, then four stages that each halve the image: 256² in, 8² out. A stage is a
//! *start* block, which changes size and channels, *middle* blocks, and an *end* block, which
//! normalises and activates the sum. Downsampling is a 3×3/2 max-pool, followed by a 1×1
//! convolution only where channels change.

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
}

impl IResNetConfig {
    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        8 * self.width
    }

    pub fn init(&self, device: &Device) -> IResNet {
        let width = self.width;
        let stage = |number: usize, in_channels: usize| {
            init_stage(in_channels, width << number, self.blocks[number], device)
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

/// What a block is follows from its parts: a start block has a downsampling, an end block a
/// `bn2` without one, and the block after the start block has no `bn0`.
#[derive(Module, Debug)]
struct Block {
    bn0: Option<BatchNorm>,
    conv1: Conv2d,
    bn1: BatchNorm,
    prelu: PRelu,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    downsample: Option<Downsample>,
}

impl Block {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let Some(downsample) = &self.downsample else {
            let mut out = input.clone();
            if let Some(bn0) = &self.bn0 {
                out = bn0.forward(out);
            }
            out = self.conv1.forward(self.prelu.forward(out));
            out = self.conv2.forward(self.prelu.forward(self.bn1.forward(out)));
            out = out + input;
            return match &self.bn2 {
                Some(bn2) => self.prelu.forward(bn2.forward(out)),
                None => out,
            };
        };
        let mut out = self.bn1.forward(self.conv1.forward(input.clone()));
        out = self.conv2.forward(self.prelu.forward(out));
        if let Some(bn2) = &self.bn2 {
            out = bn2.forward(out);
        }
        out + downsample.forward(input)
    }
}

#[derive(Module, Debug)]
struct Downsample {
    pool: MaxPool2d,
    conv: Option<Conv2d>,
    bn: Option<BatchNorm>,
}

impl Downsample {
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
                downsample: start.then(|| Downsample {
                    pool: MaxPool2dConfig::new([3, 3])
                        .with_strides([2, 2])
                        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                        .init(),
                    conv: (in_channels != channels)
                        .then(|| convolution(in_channels, channels, 1, 1, device)),
                    bn: (in_channels != channels).then(norm),
                }),
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
