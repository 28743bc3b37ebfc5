//! The three networks on the CPU, for one thread each call: the same as [`super::nets`], layer by layer
//! on [`super::kernels`].

use super::kernels::{Convolution, Features, max_pool};
use super::nets::Net;
use super::weights::WeightSet;

/// Memory that calls of one thread share.
#[derive(Default)]
pub struct Scratch {
    a: Features,
    b: Features,
}

pub struct CpuNets {
    pnet: Vec<Layer>,
    rnet: Vec<Layer>,
    onet: Vec<Layer>,
}

enum Layer {
    Convolution(Convolution),
    /// Side of its window.
    Pool(usize),
}

impl CpuNets {
    pub fn new(weights: &WeightSet) -> Self {
        let part = |net| Part { weights, net };
        let (p, r, o) = (part("pnet"), part("rnet"), part("onet"));
        Self {
            pnet: vec![
                p.convolution("conv1", "prelu1"),
                Layer::Pool(2),
                p.convolution("conv2", "prelu2"),
                p.convolution("conv3", "prelu3"),
                p.heads(&["conv4_1", "conv4_2"]),
            ],
            rnet: vec![
                r.convolution("conv1", "prelu1"),
                Layer::Pool(3),
                r.convolution("conv2", "prelu2"),
                Layer::Pool(3),
                r.convolution("conv3", "prelu3"),
                r.dense("dense4", "prelu4", 3),
                r.heads(&["dense5_1", "dense5_2"]),
            ],
            onet: vec![
                o.convolution("conv1", "prelu1"),
                Layer::Pool(3),
                o.convolution("conv2", "prelu2"),
                Layer::Pool(3),
                o.convolution("conv3", "prelu3"),
                Layer::Pool(2),
                o.convolution("conv4", "prelu4"),
                o.dense("dense5", "prelu5", 3),
                o.heads(&["dense6_1", "dense6_2", "dense6_3"]),
            ],
        }
    }

    /// Pictures (n, h, w, 3) → (n, h', w', 5) by P-net, (n, 1, 1, 5) by R-net, (n, 1, 1, 15) by O-net,
    /// see `nets`.
    pub fn forward(&self, net: Net, pictures: &Features, scratch: &mut Scratch) -> Features {
        let layers = match net {
            Net::P => &self.pnet,
            Net::R => &self.rnet,
            Net::O => &self.onet,
        };
        let Scratch { a, b } = scratch;
        for (number, layer) in layers.iter().enumerate() {
            let from = if number == 0 { pictures } else { &*a };
            match layer {
                Layer::Convolution(convolution) => convolution.forward(from, b),
                Layer::Pool(side) => max_pool(*side, from, b),
            }
            std::mem::swap(a, b);
        }
        with_probability(a)
    }
}

/// Two scores, no face and face, become the probability of a face (softmax).
fn with_probability(scores: &Features) -> Features {
    let [n, h, w, c] = scores.shape;
    let data = scores.data.chunks_exact(c).flat_map(|place| {
        let probability = 1.0 / (1.0 + (place[0] - place[1]).exp());
        std::iter::once(probability).chain(place[2..].iter().copied())
    });
    Features { shape: [n, h, w, c - 1], data: data.collect() }
}

/// One network's weights.
struct Part<'a> {
    weights: &'a WeightSet,
    net: &'a str,
}

impl Part<'_> {
    fn values(&self, layer: &str, kind: &str) -> (&[usize], &[f32]) {
        let tensor = self.weights.tensor(&format!("{}.{layer}.{kind}", self.net));
        (&tensor.shape, &tensor.values)
    }

    fn convolution(&self, name: &str, slopes: &str) -> Layer {
        let (shape, weights) = self.values(name, "weight");
        let [outputs, inputs, kernel] = [shape[0], shape[1], shape[2]];
        let weight = |o, y, x, i| weights[((o * inputs + i) * kernel + y) * kernel + x];
        let bias = self.values(name, "bias").1;
        let slopes = self.values(slopes, "weight").1;
        Layer::Convolution(Convolution::new([kernel, inputs, outputs], weight, bias, slopes))
    }

    /// A linear layer on features of a side, whose weights run over (w, h, c).
    fn dense(&self, name: &str, slopes: &str, side: usize) -> Layer {
        let (shape, weights) = self.values(name, "weight");
        let (outputs, inputs) = (shape[0], shape[1] / (side * side));
        let weight = |o, y, x, i| weights[((o * side + x) * side + y) * inputs + i];
        let bias = self.values(name, "bias").1;
        let slopes = self.values(slopes, "weight").1;
        Layer::Convolution(Convolution::new([side, inputs, outputs], weight, bias, slopes))
    }

    /// Layers on the same 1×1 input, one after the other, without a ReLU.
    fn heads(&self, names: &[&str]) -> Layer {
        let inputs = self.values(names[0], "weight").0[1];
        let all = |kind: &str| -> Vec<f32> {
            names.iter().flat_map(|name| self.values(name, kind).1).copied().collect()
        };
        let (weights, bias) = (all("weight"), all("bias"));
        let weight = |o, _, _, i| weights[o * inputs + i];
        let slopes = vec![1.0; bias.len()];
        Layer::Convolution(Convolution::new([1, inputs, bias.len()], weight, &bias, &slopes))
    }
}
