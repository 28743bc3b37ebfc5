//! Flat loops over a level's arrays: in parallel where that pays, on the widest vectors, and with
//! sums that do not depend on the number of threads.

use super::super::wide::widest;
use rayon::prelude::*;

/// The cells of `array` at a distance from those of a span, as a slice of the span's length.
macro_rules! at {
    ($array:ident, $first:expr, $n:ident) => {
        &$array[$first..$first + $n]
    };
}

/// Cells a task.
const SPAN: usize = 1 << 14;
/// Cells from which on a level is shared out among threads; below, waking one costs more.
pub(super) const PARALLEL: usize = 1 << 16;

/// Runs `work(part, index of its first cell)` over an array's span, `offset` cells into the
/// array, in parallel if the span is long.
pub(in crate::integrate) fn for_spans(
    span: &mut [f32],
    offset: usize,
    work: impl Fn(&mut [f32], usize) + Sync,
) {
    if span.len() < PARALLEL {
        work(span, offset);
    } else {
        span.par_chunks_mut(SPAN)
            .enumerate()
            .for_each(|(task, part)| work(part, offset + task * SPAN));
    }
}

pub(super) fn for_rows(
    span: &mut [f32],
    stride: usize,
    parallel: bool,
    work: impl Fn((usize, &mut [f32])) + Sync + Send,
) {
    if parallel {
        let rows = (SPAN / stride).max(1);
        span.par_chunks_mut(stride).enumerate().with_min_len(rows).for_each(work);
    } else {
        span.chunks_mut(stride).enumerate().for_each(work);
    }
}

/// Inner product in double precision over spans, in single precision within a block of lanes.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    if a.len() < PARALLEL {
        return a.chunks(SPAN).zip(b.chunks(SPAN)).map(|(a, b)| span_dot(a, b)).sum();
    }
    let parts: Vec<f64> =
        a.par_chunks(SPAN).zip(b.par_chunks(SPAN)).map(|(a, b)| span_dot(a, b)).collect();
    parts.iter().sum()
}

pub(super) fn sum(a: &[f32]) -> f64 {
    if a.len() < PARALLEL {
        return a.chunks(SPAN).map(span_sum).sum();
    }
    let parts: Vec<f64> = a.par_chunks(SPAN).map(span_sum).collect();
    parts.iter().sum()
}

widest! {
    fn span_sum(a: &[f32]) -> f64 {
        const LANES: usize = 32;
        let mut lanes = [0.0f64; LANES];
        let (a, rest) = a.as_chunks::<LANES>();
        for a in a {
            for lane in 0..LANES {
                lanes[lane] += f64::from(a[lane]);
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|&a| f64::from(a)).sum::<f64>()
    }
}

widest! {
    /// Takes a value off the cells of the only component.
    fn take_off(out: &mut [f32], first: usize, labels: &[u32], value: f32) {
        let n = out.len();
        let labels = at!(labels, first, n);
        for i in 0..n {
            out[i] -= if labels[i] == 0 { value } else { 0.0 };
        }
    }
}

widest! {
    fn span_dot(a: &[f32], b: &[f32]) -> f64 {
        const LANES: usize = 64;
        let mut total = 0.0f64;
        for (a, b) in a.chunks(16 * LANES).zip(b.chunks(16 * LANES)) {
            let mut lanes = [0.0f32; LANES];
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            for (a, b) in a.iter().zip(b) {
                for lane in 0..LANES {
                    lanes[lane] += a[lane] * b[lane];
                }
            }
            for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
                *lane += a * b;
            }
            total += f64::from(lanes.iter().sum::<f32>());
        }
        total
    }
}

/// Binds the five values and four weights of a Laplacian and evaluates it in a loop over `$i`.
macro_rules! for_laplacian {
    ($u:ident, $right:ident, $down:ident, $first:ident, $stride:ident, $n:ident,
     |$i:ident, $centre:ident, $product:ident| $body:block) => {
        let here = at!($u, $first, $n);
        let (east, west) = (at!($u, $first + 1, $n), at!($u, $first - 1, $n));
        let (south, north) = (at!($u, $first + $stride, $n), at!($u, $first - $stride, $n));
        let (to_east, to_west) = (at!($right, $first, $n), at!($right, $first - 1, $n));
        let (to_south, to_north) = (at!($down, $first, $n), at!($down, $first - $stride, $n));
        for $i in 0..$n {
            let $centre = here[$i];
            // Differences first: a constant then gives exactly zero.
            let $product = to_east[$i] * ($centre - east[$i])
                + to_west[$i] * ($centre - west[$i])
                + to_south[$i] * ($centre - south[$i])
                + to_north[$i] * ($centre - north[$i]);
            $body
        }
    };
}

widest! {
    fn laplacian(out: &mut [f32], first: usize, stride: usize, u: &[f32], right: &[f32], down: &[f32]) {
        let n = out.len();
        for_laplacian!(u, right, down, first, stride, n, |i, centre, product| {
            let _ = centre;
            out[i] = product;
        });
    }
}

widest! {
    fn residual(
        out: &mut [f32], first: usize, stride: usize,
        b: &[f32], u: &[f32], right: &[f32], down: &[f32],
    ) {
        let n = out.len();
        let b = at!(b, first, n);
        for_laplacian!(u, right, down, first, stride, n, |i, centre, product| {
            let _ = centre;
            out[i] = b[i] - product;
        });
    }
}

widest! {
    fn jacobi_sweep(
        out: &mut [f32], first: usize, stride: usize,
        b: &[f32], u: &[f32], right: &[f32], down: &[f32], inverse_diagonal: &[f32], damping: f32,
    ) {
        let n = out.len();
        let (b, inverse) = (at!(b, first, n), at!(inverse_diagonal, first, n));
        for_laplacian!(u, right, down, first, stride, n, |i, centre, product| {
            out[i] = centre + damping * inverse[i] * (b[i] - product);
        });
    }
}

widest! {
    fn jacobi_from_zero(out: &mut [f32], first: usize, b: &[f32], inverse_diagonal: &[f32], damping: f32) {
        let n = out.len();
        let (b, inverse) = (at!(b, first, n), at!(inverse_diagonal, first, n));
        for i in 0..n {
            out[i] = damping * inverse[i] * b[i];
        }
    }
}

widest! {
    fn invert_diagonal(out: &mut [f32], first: usize, stride: usize, right: &[f32], down: &[f32]) {
        let n = out.len();
        let (to_east, to_west) = (at!(right, first, n), at!(right, first - 1, n));
        let (to_south, to_north) = (at!(down, first, n), at!(down, first - stride, n));
        for i in 0..n {
            let sum = to_east[i] + to_west[i] + to_south[i] + to_north[i];
            out[i] = if sum > f32::MIN_POSITIVE { 1.0 / sum } else { 0.0 };
        }
    }
}

widest! {
    /// b, the right-hand side: at p, what comes in over its edges less what goes out.
    fn divergence(
        out: &mut [f32], first: usize, stride: usize,
        right: &[f32], down: &[f32], right_steps: &[f32], down_steps: &[f32],
    ) {
        let n = out.len();
        let (to_east, to_west) = (at!(right, first, n), at!(right, first - 1, n));
        let (to_south, to_north) = (at!(down, first, n), at!(down, first - stride, n));
        let (east, west) = (at!(right_steps, first, n), at!(right_steps, first - 1, n));
        let (south, north) = (at!(down_steps, first, n), at!(down_steps, first - stride, n));
        for i in 0..n {
            out[i] = (to_west[i] * west[i] - to_east[i] * east[i])
                + (to_north[i] * north[i] - to_south[i] * south[i]);
        }
    }
}

widest! {
    fn scale_and_add(out: &mut [f32], first: usize, scale: f32, other: &[f32]) {
        let n = out.len();
        let other = at!(other, first, n);
        for i in 0..n {
            out[i] = scale * out[i] + other[i];
        }
    }
}

widest! {
    fn add_scaled(out: &mut [f32], first: usize, scale: f32, other: &[f32]) {
        let n = out.len();
        let other = at!(other, first, n);
        for i in 0..n {
            out[i] += scale * other[i];
        }
    }
}

widest! {
    fn combine(out: &mut [f32], first: usize, own: f32, scale: f32, other: &[f32]) {
        let n = out.len();
        let other = at!(other, first, n);
        for i in 0..n {
            out[i] = own * out[i] + scale * other[i];
        }
    }
}

widest! {
    fn restrict_row(out: &mut [f32], top: &[f32], bottom: &[f32]) {
        let n = out.len();
        let (top, bottom) = (&top[..2 * n], &bottom[..2 * n]);
        for i in 0..n {
            out[i] = (top[2 * i] + top[2 * i + 1]) + (bottom[2 * i] + bottom[2 * i + 1]);
        }
    }
}

widest! {
    fn prolong_row(out: &mut [f32], coarse: &[f32]) {
        for (pair, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(coarse) {
            pair[0] += value;
            pair[1] += value;
        }
    }
}
