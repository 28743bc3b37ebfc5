//! Layers of small networks on the CPU: convolution with bias and parametric ReLU in one pass, and
//! max-pooling, over features that lie channels-last.
//!
//! With channels last, the values under one row of a kernel lie side by side, so a convolution is for
//! each place a few dot products, of as many values as a kernel's row has, with all output channels at
//! once. Tiles of a few places times sixteen channels keep their sums in registers (Goto and van de
//! Geijn 2008, "Anatomy of high-performance matrix multiplication"); nothing is copied to columns
//! first, which for so few channels costs more than the arithmetic.

/// Output channels whose sums are kept in registers together.
const BLOCK: usize = 16;

/// Feature maps, (n, h, w, c) row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    pub shape: [usize; 4],
    pub data: Vec<f32>,
}

impl Features {
    /// Takes a shape; the data keep their memory and, where they reach, their old values.
    pub fn reshape(&mut self, shape: [usize; 4]) {
        self.shape = shape;
        self.data.resize(shape.iter().product(), 0.0);
    }
}

/// A convolution of stride 1 without padding, then `v ↦ max(v, 0) + slope · min(v, 0)`. A linear layer
/// is one whose kernel is as large as its input.
#[derive(Clone, Debug)]
pub struct Convolution {
    kernel: usize,
    inputs: usize,
    outputs: usize,
    /// (blocks, kernel, kernel, inputs, 16); channels that fill up the last block are 0.
    weights: Vec<f32>,
    /// (blocks · 16).
    bias: Vec<f32>,
    slopes: Vec<f32>,
}

impl Convolution {
    /// `weight(o, y, x, i)` is the weight of output channel o for input channel i at (y, x) of the
    /// kernel; a slope of 1 leaves a channel as it is.
    pub fn new(
        [kernel, inputs, outputs]: [usize; 3],
        weight: impl Fn(usize, usize, usize, usize) -> f32,
        bias: &[f32],
        slopes: &[f32],
    ) -> Self {
        assert!(bias.len() == outputs && slopes.len() == outputs, "one a channel");
        let padded = outputs.next_multiple_of(BLOCK);
        let mut weights = Vec::with_capacity(padded * kernel * kernel * inputs);
        for block in (0..padded).step_by(BLOCK) {
            for place in 0..kernel * kernel {
                for input in 0..inputs {
                    weights.extend((block..block + BLOCK).map(|output| {
                        let (y, x) = (place / kernel, place % kernel);
                        if output < outputs { weight(output, y, x, input) } else { 0.0 }
                    }));
                }
            }
        }
        let fill = |values: &[f32]| {
            let mut values = values.to_vec();
            values.resize(padded, 0.0);
            values
        };
        Self { kernel, inputs, outputs, weights, bias: fill(bias), slopes: fill(slopes) }
    }

    /// (n, h, w, inputs) → (n, h − kernel + 1, w − kernel + 1, outputs).
    ///
    /// # Panics
    /// If the input is smaller than the kernel or has other channels.
    pub fn forward(&self, input: &Features, out: &mut Features) {
        let [n, h, w, c] = input.shape;
        assert!(c == self.inputs && h >= self.kernel && w >= self.kernel, "an input that fits");
        out.reshape([n, h - self.kernel + 1, w - self.kernel + 1, self.outputs]);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                // SAFETY: the processor was just seen to have the features.
                return unsafe { convolve_avx512(self, input, out) };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: as above.
                return unsafe { convolve_avx2(self, input, out) };
            }
        }
        convolve::<4, 4, 4, PLAIN_FUSED>(self, input, out);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn convolve_avx512(layer: &Convolution, input: &Features, out: &mut Features) {
    convolve::<12, 16, 1, true>(layer, input, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn convolve_avx2(layer: &Convolution, input: &Features, out: &mut Features) {
    convolve::<6, 8, 2, true>(layer, input, out);
}

/// Every 64-bit ARM has fused multiply-adds; elsewhere a function would stand in for them.
const PLAIN_FUSED: bool = cfg!(target_arch = "aarch64");

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, sum: f32) -> f32 {
    if FUSED { a.mul_add(b, sum) } else { a * b + sum }
}

/// P places at a time, V vectors of L output channels each.
#[inline(always)]
fn convolve<const P: usize, const L: usize, const V: usize, const FUSED: bool>(
    layer: &Convolution,
    input: &Features,
    out: &mut Features,
) {
    const { assert!(L * V == BLOCK) };
    let [_, _, width, channels] = input.shape;
    let [_, out_height, out_width, outputs] = out.shape;
    let span = layer.kernel * channels;
    let stride = width * channels;
    let mut places = Places { out: [out_height, out_width], at: [0, 0], start: 0, channels };
    let places_in_all = out.data.len() / outputs;
    for first in (0..places_in_all).step_by(P) {
        let count = P.min(places_in_all - first);
        let mut starts = [places.start; P];
        for start in &mut starts[..count] {
            *start = places.start;
            places.advance(layer.kernel, stride);
        }
        let blocks = layer.weights.chunks_exact(layer.kernel * span * BLOCK);
        for (block, weights) in blocks.enumerate() {
            let at = block * BLOCK;
            let bias = layer.bias[at..at + BLOCK].as_chunks::<L>().0;
            let mut sums: [[[f32; L]; V]; P] = [std::array::from_fn(|v| bias[v]); P];
            for (row, weights) in weights.chunks_exact(span * BLOCK).enumerate() {
                let values: [&[f32]; P] =
                    std::array::from_fn(|p| &input.data[starts[p] + row * stride..][..span]);
                let lanes = &weights.as_chunks::<L>().0.as_chunks::<V>().0[..span];
                for d in 0..span {
                    for p in 0..P {
                        let value = values[p][d];
                        for v in 0..V {
                            for l in 0..L {
                                let sum = &mut sums[p][v][l];
                                *sum = multiply_add::<FUSED>(value, lanes[d][v][l], *sum);
                            }
                        }
                    }
                }
            }
            let slopes = layer.slopes[at..at + BLOCK].as_chunks::<L>().0;
            let kept = BLOCK.min(outputs - at);
            for (p, mut sums) in sums.into_iter().enumerate().take(count) {
                for v in 0..V {
                    for l in 0..L {
                        let sum = sums[v][l];
                        sums[v][l] =
                            multiply_add::<FUSED>(slopes[v][l], sum.min(0.0), sum.max(0.0));
                    }
                }
                let out = &mut out.data[(first + p) * outputs + at..][..kept];
                out.copy_from_slice(&sums.as_flattened()[..kept]);
            }
        }
    }
}

/// Walks the places of an output row by row, with the index at which each one's input starts.
struct Places {
    /// Height and width.
    out: [usize; 2],
    /// Row and column.
    at: [usize; 2],
    start: usize,
    channels: usize,
}

impl Places {
    #[inline(always)]
    fn advance(&mut self, kernel: usize, stride: usize) {
        self.start += self.channels;
        self.at[1] += 1;
        if self.at[1] == self.out[1] {
            self.start += (kernel - 1) * self.channels;
            self.at = [self.at[0] + 1, 0];
            if self.at[0] == self.out[0] {
                self.start += (kernel - 1) * stride;
                self.at[0] = 0;
            }
        }
    }
}

/// One instruction, where `f32::max` has to look for NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Max-pooling of stride 2; a window that reaches past the edge takes what is there.
pub fn max_pool(side: usize, input: &Features, out: &mut Features) {
    let [n, h, w, c] = input.shape;
    let pooled = |length: usize| (length - side).div_ceil(2) + 1;
    let (out_h, out_w) = (pooled(h), pooled(w));
    out.reshape([n, out_h, out_w, c]);
    let row_length = w * c;
    let mut highest = vec![0.0f32; row_length];
    for (number, out_row) in out.data.chunks_exact_mut(out_w * c).enumerate() {
        let (image, y) = (number / out_h, number % out_h * 2);
        let rows = &input.data[(image * h + y) * row_length..];
        let mut rows = rows.chunks_exact(row_length).take(side.min(h - y));
        highest.copy_from_slice(rows.next().unwrap_or_default());
        for row in rows {
            for (highest, value) in highest.iter_mut().zip(row) {
                *highest = larger(*highest, *value);
            }
        }
        for (x, out) in out_row.chunks_exact_mut(c).enumerate() {
            let window = &highest[2 * x * c..(2 * x + side).min(w) * c];
            let (first, others) = window.split_at(c);
            out.copy_from_slice(first);
            for other in others.chunks_exact(c) {
                for (out, value) in out.iter_mut().zip(other) {
                    *out = larger(*out, *value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    fn random(count: usize, from: &mut Pcg64) -> Vec<f32> {
        (0..count).map(|_| from.random_range(-1.0..1.0)).collect()
    }

    /// Sums in 64 bits, place by place.
    fn by_definition(
        [kernel, inputs, outputs]: [usize; 3],
        [weights, bias, slopes]: [&[f32]; 3],
        input: &Features,
    ) -> Vec<f64> {
        let [n, h, w, _] = input.shape;
        let (out_h, out_w) = (h - kernel + 1, w - kernel + 1);
        let mut out = Vec::new();
        for place in 0..n * out_h * out_w {
            let (image, y, x) = (place / out_w / out_h, place / out_w % out_h, place % out_w);
            for o in 0..outputs {
                let mut sum = f64::from(bias[o]);
                for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                    for i in 0..inputs {
                        let at = ((image * h + y + ky) * w + x + kx) * inputs + i;
                        let weight = weights[((o * kernel + ky) * kernel + kx) * inputs + i];
                        sum += f64::from(input.data[at]) * f64::from(weight);
                    }
                }
                out.push(sum.max(0.0) + f64::from(slopes[o]) * sum.min(0.0));
            }
        }
        out
    }

    type Variant = fn(&Convolution, &Features, &mut Features);

    /// The loops for every set of instructions that this machine has.
    fn variants() -> Vec<Variant> {
        let mut all: Vec<Variant> =
            vec![|layer, input, out| convolve::<4, 4, 4, PLAIN_FUSED>(layer, input, out)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor was just seen to have the features.
            all.push(|layer, input, out| unsafe { convolve_avx2(layer, input, out) });
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            all.push(|layer, input, out| unsafe { convolve_avx512(layer, input, out) });
        }
        all
    }

    #[test]
    fn a_convolution_is_its_definition() {
        let mut from = Pcg64::seed_from_u64(9);
        let shapes = [
            ([3, 3, 10], [1, 9, 17]),
            ([3, 10, 16], [2, 5, 6]),
            ([2, 5, 28], [3, 2, 3]),
            ([1, 33, 7], [5, 1, 1]),
            ([3, 4, 40], [1, 3, 40]),
            ([4, 2, 17], [2, 4, 4]),
        ];
        for (shape @ [kernel, inputs, outputs], [n, h, w]) in shapes {
            let weights = random(kernel * kernel * inputs * outputs, &mut from);
            let (bias, slopes) = (random(outputs, &mut from), random(outputs, &mut from));
            let data = random(n * h * w * inputs, &mut from);
            let input = Features { shape: [n, h, w, inputs], data };
            let expected = by_definition(shape, [&weights, &bias, &slopes], &input);
            let weight = |o, y, x, i| weights[((o * kernel + y) * kernel + x) * inputs + i];
            let layer = Convolution::new(shape, weight, &bias, &slopes);
            for (number, variant) in variants().into_iter().enumerate() {
                let mut out = Features::default();
                layer.forward(&input, &mut out);
                assert_eq!(out.shape, [n, h - kernel + 1, w - kernel + 1, outputs]);
                out.data.fill(f32::NAN);
                variant(&layer, &input, &mut out);
                assert_eq!(out.data.len(), expected.len());
                for (ours, expected) in out.data.iter().zip(&expected) {
                    let error = (f64::from(*ours) - expected).abs();
                    assert!(error < 1e-5, "{shape:?} variant {number}: {ours}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn pooling_takes_the_highest_of_what_is_there() {
        let input = |h: usize, w: usize| {
            let data = (0..h * w).flat_map(|i| [i as f32, -(i as f32)]).collect();
            Features { shape: [1, h, w, 2], data }
        };
        let mut out = Features::default();
        // 0 1 2 | 3 4 5 | 6 7 8: windows of two reach past the edge.
        max_pool(2, &input(3, 3), &mut out);
        assert_eq!(out.shape, [1, 2, 2, 2]);
        assert_eq!(out.data, [4.0, -0.0, 5.0, -2.0, 7.0, -6.0, 8.0, -8.0]);
        // Windows of three, two apart: rows 0 to 2 and 2 to 3, columns 0 to 2 and 2 to 4.
        max_pool(3, &input(4, 5), &mut out);
        assert_eq!(out.shape, [1, 2, 2, 2]);
        assert_eq!(out.data, [12.0, -0.0, 14.0, -2.0, 17.0, -10.0, 19.0, -12.0]);
        // Two pictures do not mix.
        let two = Features { shape: [2, 2, 2, 1], data: vec![1., 2., 3., 4., -1., -2., -3., -4.] };
        max_pool(2, &two, &mut out);
        assert_eq!((out.shape, &out.data[..]), ([2, 1, 1, 1], &[4.0, -1.0][..]));
    }
}
