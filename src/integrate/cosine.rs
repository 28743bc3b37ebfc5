//! Cosine and sine transforms of every line of an image, and the turn between rows and columns.
//!
//! `X_k = Σ x_n cos(πk(n + ½)/N)` and `S_k = Σ x_n sin(πk(n + ½)/N)`, k = 0 … N − 1, by one complex
//! Fourier transform of length N for two lines (Makhoul 1980, "A fast cosine transform in one and
//! two dimensions", eqs. 7–9 and 15):
//!
//! - The samples are reordered, the even ones first, then the odd ones backwards:
//!   `v = x_0, x_2, x_4, …, x_5, x_3, x_1`. With its Fourier transform V and `w_k = e^{−iπk/2N}`,
//!   `X_k = Re(w_k V_k)`.
//! - `sin(πk(n + ½)/N) = (−1)^n cos(π(N − k)(n + ½)/N)`: with the odd samples negated in v, the
//!   sine transform is `S_k = −Im(w_k V_k)`, index for index with the cosine one and zero at k = 0.
//! - Two real lines a, b travel as `a + ib`; from `Z = V_a + iV_b` come
//!   `V_a = ½(Z_k + Z*_{N−k})` and `V_b = −½i(Z_k − Z*_{N−k})`.
//! - Backwards, `V_k = w*_k (X_k − iX_{N−k})` with `X_N = 0`.
//!
//! Lines are worked on in blocks that stay in the second-level cache. A block is written down
//! turned, as [`Turned`], in one sequential stream: an image is read and written once per axis.

use crate::maps::Size;
use rayon::prelude::*;
use rustfft::{Fft, FftPlanner, num_complex::Complex};
use std::f64::consts::PI;
use std::sync::Arc;

/// Lines a block: one cache line of `f32` across, so that turning wastes no part of one.
pub(super) const BLOCK: usize = 16;

/// The functions a line is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    Cosine,
    Sine,
}

/// Transforms of lines of one length.
pub(super) struct LineTransform {
    length: usize,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    /// cos and sin of πk/2N.
    twiddles: Vec<Complex<f32>>,
}

/// What one thread needs beside its lines.
pub(super) struct Workspace {
    packed: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl LineTransform {
    /// # Panics
    /// If `length` is 0.
    pub(super) fn new(length: usize) -> Self {
        assert!(length > 0, "a line has at least one value");
        let mut planner = FftPlanner::new();
        let twiddles = (0..length)
            .map(|k| {
                let (sin, cos) = (PI * k as f64 / (2 * length) as f64).sin_cos();
                Complex::new(cos as f32, sin as f32)
            })
            .collect();
        Self {
            length,
            forward: planner.plan_fft_forward(length),
            inverse: planner.plan_fft_inverse(length),
            twiddles,
        }
    }

    pub(super) fn workspace(&self) -> Workspace {
        let scratch =
            self.forward.get_inplace_scratch_len().max(self.inverse.get_inplace_scratch_len());
        Workspace {
            packed: vec![Complex::default(); self.length],
            scratch: vec![Complex::default(); scratch],
        }
    }

    /// Transforms two lines in place, each into its own basis.
    pub(super) fn forward(
        &self,
        [a, b]: [&mut [f32]; 2],
        [basis_a, basis_b]: [Basis; 2],
        work: &mut Workspace,
    ) {
        let n = self.length;
        let odd_sign = |basis| if basis == Basis::Sine { -1.0 } else { 1.0 };
        pack_samples(a, b, odd_sign(basis_a), odd_sign(basis_b), &mut work.packed);
        self.forward.process_with_scratch(&mut work.packed, &mut work.scratch);
        let (a, b, z, twiddles) =
            (&mut a[..n], &mut b[..n], &work.packed[..n], &self.twiddles[..n]);
        // Twice V_a and V_b at k = 0, where Z_N is Z_0; both are real.
        a[0] = if basis_a == Basis::Cosine { z[0].re } else { 0.0 };
        b[0] = if basis_b == Basis::Cosine { z[0].im } else { 0.0 };
        // Re(w V) = c V.re + s V.im and −Im(w V) = s V.re − c V.im: one formula, two twiddles.
        let turned = |basis, w: Complex<f32>| match basis {
            Basis::Cosine => (0.5 * w.re, 0.5 * w.im),
            Basis::Sine => (0.5 * w.im, -0.5 * w.re),
        };
        for k in 1..n {
            let (z, mirrored, w) = (z[k], z[n - k], twiddles[k]);
            let (real, imaginary) = turned(basis_a, w);
            a[k] = real * (z.re + mirrored.re) + imaginary * (z.im - mirrored.im);
            let (real, imaginary) = turned(basis_b, w);
            b[k] = real * (z.im + mirrored.im) + imaginary * (mirrored.re - z.re);
        }
    }

    /// The cosine series of two lines of coefficients, in place:
    /// `N x_n = X_0 + 2 Σ_{k>0} X_k cos(πk(n + ½)/N)`, N times what [`LineTransform::forward`] was
    /// given.
    pub(super) fn inverse(&self, [a, b]: [&mut [f32]; 2], work: &mut Workspace) {
        let n = self.length;
        {
            let (a, b, z) = (&a[..n], &b[..n], &mut work.packed[..n]);
            let twiddles = &self.twiddles[..n];
            z[0] = Complex::new(a[0], b[0]);
            for k in 1..n {
                let (re, im) = (a[k] + b[n - k], b[k] - a[n - k]);
                let w = twiddles[k];
                z[k] = Complex::new(w.re * re - w.im * im, w.re * im + w.im * re);
            }
        }
        self.inverse.process_with_scratch(&mut work.packed, &mut work.scratch);
        unpack_samples(&work.packed, a, b);
    }

    /// The cosine series of every row of an image whose columns were written by
    /// [`Turned::write`], W times as large as [`LineTransform::inverse`] says.
    pub(super) fn inverse_rows(&self, columns: &Turned, size: Size) -> Vec<f32> {
        let width = self.length;
        let mut image = vec![0.0; size.area()];
        image.par_chunks_mut(BLOCK * width).enumerate().for_each_init(
            || (vec![0.0; BLOCK * width], self.workspace()),
            |(block, work), (index, rows)| {
                columns.read(index * BLOCK, block);
                for_each_pair(block, width, |pair| self.inverse(pair, work));
                rows.copy_from_slice(&block[..rows.len()]);
            },
        );
        image
    }
}

/// Even samples first, odd ones backwards behind them, times their sign.
fn pack_samples(a: &[f32], b: &[f32], sign_a: f32, sign_b: f32, packed: &mut [Complex<f32>]) {
    let n = packed.len();
    let (even, odd) = packed.split_at_mut(n.div_ceil(2));
    if n % 2 == 1 {
        even[n / 2] = Complex::new(a[n - 1], b[n - 1]);
    }
    for (((a, b), even), odd) in
        a.chunks_exact(2).zip(b.chunks_exact(2)).zip(even).zip(odd.iter_mut().rev())
    {
        *even = Complex::new(a[0], b[0]);
        *odd = Complex::new(sign_a * a[1], sign_b * b[1]);
    }
}

fn unpack_samples(packed: &[Complex<f32>], a: &mut [f32], b: &mut [f32]) {
    let n = packed.len();
    let (even, odd) = packed.split_at(n.div_ceil(2));
    for (((a, b), even), odd) in
        a.chunks_exact_mut(2).zip(b.chunks_exact_mut(2)).zip(even).zip(odd.iter().rev())
    {
        (a[0], b[0]) = (even.re, even.im);
        (a[1], b[1]) = (odd.re, odd.im);
    }
    if n % 2 == 1 {
        (a[n - 1], b[n - 1]) = (even[n / 2].re, even[n / 2].im);
    }
}

/// Runs `work` on the lines of a block, two at a time; `block` holds [`BLOCK`] lines.
pub(super) fn for_each_pair(
    block: &mut [f32],
    length: usize,
    mut work: impl FnMut([&mut [f32]; 2]),
) {
    for pair in block.chunks_exact_mut(2 * length) {
        work(pair.split_at_mut(length).into());
    }
}

/// An image written by lines along one axis, to be read by lines along the other.
///
/// Each block of [`BLOCK`] lines is kept turned: value k of its lines side by side, for every k.
pub(super) struct Turned {
    /// Lines that were written, which is the length of a line that is read.
    lines: usize,
    /// Length of a line that was written.
    length: usize,
    data: Vec<f32>,
}

impl Turned {
    /// Writes `lines` lines of `length` values, a block at a time: `fill` gets its state, the
    /// number of the first line and [`BLOCK`] lines, and leaves the values in these. Beyond the
    /// last line of the image it may leave anything.
    pub(super) fn write<S>(
        lines: usize,
        length: usize,
        state: impl Fn() -> S + Sync + Send,
        fill: impl Fn(&mut S, usize, &mut [f32]) + Sync,
    ) -> Self {
        let mut data = vec![0.0; lines.div_ceil(BLOCK) * BLOCK * length];
        data.par_chunks_mut(BLOCK * length).enumerate().for_each_init(
            || (state(), vec![0.0; BLOCK * length]),
            |(state, block), (index, turned)| {
                fill(state, index * BLOCK, block);
                turn(block, length, turned);
            },
        );
        Self { lines, length, data }
    }

    /// Reads [`BLOCK`] lines, from `first` on, into `block`. Lines beyond the last are zero.
    pub(super) fn read(&self, first: usize, block: &mut [f32]) {
        let count = BLOCK.min(self.length - first);
        for (index, turned) in self.data.chunks_exact(BLOCK * self.length).enumerate() {
            let start = index * BLOCK;
            let (tile, _) = turned[first * BLOCK..][..count * BLOCK].as_chunks::<BLOCK>();
            for (line, values) in block.chunks_exact_mut(self.lines).zip(tile) {
                // A whole block's worth has a length known here, which makes it one register.
                match line[start..].first_chunk_mut::<BLOCK>() {
                    Some(whole) => *whole = *values,
                    None => line[start..].copy_from_slice(&values[..self.lines - start]),
                }
            }
        }
        block[count * self.lines..].fill(0.0);
    }
}

/// (BLOCK, length) → (length, BLOCK).
fn turn(block: &[f32], length: usize, turned: &mut [f32]) {
    let lines: [&[f32]; BLOCK] = std::array::from_fn(|j| &block[j * length..][..length]);
    for (k, values) in turned.chunks_exact_mut(BLOCK).enumerate() {
        for j in 0..BLOCK {
            values[j] = lines[j][k];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: usize, seed: u32) -> Vec<f32> {
        (0..length as u32)
            .map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
            .collect()
    }

    /// The definition, in double precision.
    fn by_definition(samples: &[f32], basis: Basis) -> Vec<f64> {
        let step = PI / samples.len() as f64;
        let wave = |k: usize, n: usize| {
            let angle = step * k as f64 * (n as f64 + 0.5);
            if basis == Basis::Cosine { angle.cos() } else { angle.sin() }
        };
        let sum = |k| samples.iter().enumerate().map(|(n, &x)| f64::from(x) * wave(k, n)).sum();
        (0..samples.len()).map(sum).collect()
    }

    #[test]
    fn both_bases_agree_with_their_definition_at_any_length() {
        use Basis::{Cosine, Sine};
        for length in [1, 2, 3, 4, 5, 7, 16, 47, 168, 192, 564, 756] {
            let transform = LineTransform::new(length);
            let mut work = transform.workspace();
            for bases in [[Cosine, Cosine], [Cosine, Sine], [Sine, Cosine], [Sine, Sine]] {
                let (a, b) = (line(length, 1), line(length, 977));
                let want = [by_definition(&a, bases[0]), by_definition(&b, bases[1])];
                let (mut a, mut b) = (a, b);
                transform.forward([&mut a, &mut b], bases, &mut work);
                // A sum of n numbers of size 1 is about √n; the transform's rounding is a few
                // times 2⁻²⁴ of that.
                let tolerance = 1e-6 * (length as f64).sqrt();
                for (got, want) in [a, b].iter().zip(&want) {
                    for (k, (got, want)) in got.iter().zip(want).enumerate() {
                        let error = (f64::from(*got) - want).abs();
                        assert!(
                            error < tolerance,
                            "{length}, {bases:?}, k = {k}: {got}, not {want}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_inverse_is_the_series() {
        for length in [1, 2, 3, 8, 15, 94] {
            let transform = LineTransform::new(length);
            let (mut a, mut b) = (line(length, 5), line(length, 31));
            let series = |x: &[f32]| -> Vec<f64> {
                let wave = |k, n| (PI * k as f64 * (n as f64 + 0.5) / length as f64).cos();
                let term = |k: usize, n: usize| 2.0 * f64::from(x[k]) * wave(k, n);
                let value = |n| f64::from(x[0]) + (1..length).map(|k| term(k, n)).sum::<f64>();
                (0..length).map(value).collect()
            };
            let want = [series(&a), series(&b)];
            transform.inverse([&mut a, &mut b], &mut transform.workspace());
            for (got, want) in [a, b].iter().zip(&want) {
                for (n, (got, want)) in got.iter().zip(want).enumerate() {
                    let error = (f64::from(*got) - want).abs();
                    assert!(
                        error < 3e-6 * (length as f64).sqrt(),
                        "{length}, n = {n}: {got}, {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_image_is_read_as_it_was_written_but_turned() {
        for (lines, length) in [(1, 1), (5, 40), (16, 16), (33, 17), (50, 31)] {
            let turned = Turned::write(
                lines,
                length,
                || (),
                |(), first, block| {
                    for (i, value) in block.iter_mut().enumerate() {
                        *value = (first * length + i) as f32;
                    }
                },
            );
            let mut block = vec![f32::NAN; BLOCK * lines];
            for first in (0..length).step_by(BLOCK) {
                turned.read(first, &mut block);
                for (k, line) in (first..).zip(block.chunks_exact(lines)) {
                    for (j, &value) in line.iter().enumerate() {
                        let want = if k < length { (j * length + k) as f32 } else { 0.0 };
                        assert_eq!(value, want, "{lines}×{length}: value {k} of line {j}");
                    }
                }
            }
        }
    }
}
