//! The three networks as burn modules, for any device.
//!
//! Zhang, Zhang, Li and Qiao 2016, "Joint face detection and alignment using multitask cascaded
//! convolutional networks", figure 2, with the channels of the published weights. A picture goes in as
//! (n, 3, h, w) of (value − 127.5) / 128. Out come for each window how probably it shows a face, by
//! which shares of its sides its box is to be moved (left, top, right, bottom), and from O-net where
//! the landmarks lie in it (five x, then five y, as shares of its sides).

use super::kernels::Features;
use super::weights::WeightSet;
use burn::module::{Module, ModuleMapper, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PRelu, PReluConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// Which of the three networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    P,
    R,
    O,
}

/// All three on one device.
#[derive(Debug)]
pub struct BurnNets {
    pnet: PNet,
    rnet: RNet,
    onet: ONet,
    device: Device,
}

impl BurnNets {
    pub fn load(weights: &WeightSet, device: &Device) -> Self {
        Self {
            pnet: PNet::load(weights, device),
            rnet: RNet::load(weights, device),
            onet: ONet::load(weights, device),
            device: device.clone(),
        }
    }

    /// Pictures (n, h, w, 3) → (n, h', w', 5) by P-net, (n, 1, 1, 5) by R-net, (n, 1, 1, 15) by O-net.
    pub fn forward(&self, net: Net, pictures: &Features) -> Features {
        let data = TensorData::new(pictures.data.clone(), pictures.shape);
        let pictures = Tensor::<4>::from_data(data, &self.device).permute([0, 3, 1, 2]);
        let judged = match net {
            Net::P => self.pnet.forward(pictures).permute([0, 2, 3, 1]),
            Net::R => self.rnet.forward(pictures).unsqueeze_dims(&[1, 1]),
            Net::O => self.onet.forward(pictures).unsqueeze_dims(&[1, 1]),
        };
        let shape = judged.dims();
        let data = judged.into_data().try_to_vec().expect("the networks give 32-bit floats");
        Features { shape, data }
    }
}

/// Proposes windows of 12×12, one every second pixel.
#[derive(Module, Debug)]
pub struct PNet {
    conv1: Conv2d,
    prelu1: PRelu,
    pool1: MaxPool2d,
    conv2: Conv2d,
    prelu2: PRelu,
    conv3: Conv2d,
    prelu3: PRelu,
    conv4_1: Conv2d,
    conv4_2: Conv2d,
}

impl PNet {
    pub fn load(weights: &WeightSet, device: &Device) -> Self {
        let net = Self {
            conv1: convolution(3, 10, 3, device),
            prelu1: prelu(10, device),
            pool1: pool(2),
            conv2: convolution(10, 16, 3, device),
            prelu2: prelu(16, device),
            conv3: convolution(16, 32, 3, device),
            prelu3: prelu(32, device),
            conv4_1: convolution(32, 2, 1, device),
            conv4_2: convolution(32, 4, 1, device),
        };
        net.map(&mut Fill::new(weights, "pnet"))
    }

    /// (n, 3, h, w) → (n, 5, h', w'), h' = ⌈(h − 2) / 2⌉ − 4: probability, four shifts.
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<4> {
        let x = self.pool1.forward(self.prelu1.forward(self.conv1.forward(pictures)));
        let x = self.prelu2.forward(self.conv2.forward(x));
        let x = self.prelu3.forward(self.conv3.forward(x));
        let face = softmax(self.conv4_1.forward(x.clone()), 1).narrow(1, 1, 1);
        Tensor::cat(vec![face, self.conv4_2.forward(x)], 1)
    }
}

/// Judges windows of 24×24.
#[derive(Module, Debug)]
pub struct RNet {
    conv1: Conv2d,
    prelu1: PRelu,
    pool1: MaxPool2d,
    conv2: Conv2d,
    prelu2: PRelu,
    pool2: MaxPool2d,
    conv3: Conv2d,
    prelu3: PRelu,
    dense4: Linear,
    prelu4: PRelu,
    dense5_1: Linear,
    dense5_2: Linear,
}

impl RNet {
    pub fn load(weights: &WeightSet, device: &Device) -> Self {
        let net = Self {
            conv1: convolution(3, 28, 3, device),
            prelu1: prelu(28, device),
            pool1: pool(3),
            conv2: convolution(28, 48, 3, device),
            prelu2: prelu(48, device),
            pool2: pool(3),
            conv3: convolution(48, 64, 2, device),
            prelu3: prelu(64, device),
            dense4: dense(576, 128, device),
            prelu4: prelu(128, device),
            dense5_1: dense(128, 2, device),
            dense5_2: dense(128, 4, device),
        };
        net.map(&mut Fill::new(weights, "rnet"))
    }

    /// (n, 3, 24, 24) → (n, 5): probability, four shifts.
    pub fn forward(&self, windows: Tensor<4>) -> Tensor<2> {
        let x = self.pool1.forward(self.prelu1.forward(self.conv1.forward(windows)));
        let x = self.pool2.forward(self.prelu2.forward(self.conv2.forward(x)));
        let x = self.prelu3.forward(self.conv3.forward(x));
        let x = self.prelu4.forward(self.dense4.forward(column_major(x)));
        let face = softmax(self.dense5_1.forward(x.clone()), 1).narrow(1, 1, 1);
        Tensor::cat(vec![face, self.dense5_2.forward(x)], 1)
    }
}

/// Judges windows of 48×48 and finds the landmarks in them.
#[derive(Module, Debug)]
pub struct ONet {
    conv1: Conv2d,
    prelu1: PRelu,
    pool1: MaxPool2d,
    conv2: Conv2d,
    prelu2: PRelu,
    pool2: MaxPool2d,
    conv3: Conv2d,
    prelu3: PRelu,
    pool3: MaxPool2d,
    conv4: Conv2d,
    prelu4: PRelu,
    dense5: Linear,
    prelu5: PRelu,
    dense6_1: Linear,
    dense6_2: Linear,
    dense6_3: Linear,
}

impl ONet {
    pub fn load(weights: &WeightSet, device: &Device) -> Self {
        let net = Self {
            conv1: convolution(3, 32, 3, device),
            prelu1: prelu(32, device),
            pool1: pool(3),
            conv2: convolution(32, 64, 3, device),
            prelu2: prelu(64, device),
            pool2: pool(3),
            conv3: convolution(64, 64, 3, device),
            prelu3: prelu(64, device),
            pool3: pool(2),
            conv4: convolution(64, 128, 2, device),
            prelu4: prelu(128, device),
            dense5: dense(1152, 256, device),
            prelu5: prelu(256, device),
            dense6_1: dense(256, 2, device),
            dense6_2: dense(256, 4, device),
            dense6_3: dense(256, 10, device),
        };
        net.map(&mut Fill::new(weights, "onet"))
    }

    /// (n, 3, 48, 48) → (n, 15): probability, four shifts, five x, five y.
    pub fn forward(&self, windows: Tensor<4>) -> Tensor<2> {
        let x = self.pool1.forward(self.prelu1.forward(self.conv1.forward(windows)));
        let x = self.pool2.forward(self.prelu2.forward(self.conv2.forward(x)));
        let x = self.pool3.forward(self.prelu3.forward(self.conv3.forward(x)));
        let x = self.prelu4.forward(self.conv4.forward(x));
        let x = self.prelu5.forward(self.dense5.forward(column_major(x)));
        let face = softmax(self.dense6_1.forward(x.clone()), 1).narrow(1, 1, 1);
        Tensor::cat(vec![face, self.dense6_2.forward(x.clone()), self.dense6_3.forward(x)], 1)
    }
}

fn convolution(inputs: usize, outputs: usize, kernel: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([inputs, outputs], [kernel, kernel]).init(device)
}

fn dense(inputs: usize, outputs: usize, device: &Device) -> Linear {
    LinearConfig::new(inputs, outputs).init(device)
}

fn prelu(channels: usize, device: &Device) -> PRelu {
    PReluConfig::new().with_num_parameters(channels).init(device)
}

/// Every second place; a window that reaches past the edge takes what is there.
fn pool(side: usize) -> MaxPool2d {
    MaxPool2dConfig::new([side, side]).with_strides([2, 2]).with_ceil_mode(true).init()
}

/// (n, c, h, w) → (n, w·h·c): the published weights come from a tool that stores columns first.
fn column_major(x: Tensor<4>) -> Tensor<2> {
    x.permute([0, 3, 2, 1]).flatten(1, 3)
}

/// Puts the weights of one network into it. burn's PReLU calls its slopes `alpha` and its linear layers
/// keep (in, out) where PyTorch keeps (out, in).
struct Fill<'a> {
    weights: &'a WeightSet,
    path: Vec<String>,
}

impl<'a> Fill<'a> {
    fn new(weights: &'a WeightSet, net: &str) -> Self {
        Self { weights, path: vec![net.to_string()] }
    }
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".").replace(".alpha", ".weight");
        let stored = self.weights.tensor(&name);
        let (id, old, mapper) = param.consume();
        let data = TensorData::new(stored.values.clone(), stored.shape.clone());
        let mut tensor = Tensor::<D>::from_data(data, &old.device());
        if D == 2 {
            tensor = tensor.swap_dims(0, 1);
        }
        Param::from_mapped_value(id, tensor, mapper)
    }
}
