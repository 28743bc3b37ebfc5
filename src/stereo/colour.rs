//! Albedo per colour channel, once the normals are known.
//!
//! With n given, each channel is linear in its one unknown: `I_cj = ρ_c s_j`, `s = max(0, n·l e)`,
//! so `ρ_c = Σ s I_c / Σ s²` over the samples that are lit, observed and not saturated.

use super::blocks::light_rows;
use crate::maps::{AlbedoMap, ImageStack, Lights, NormalMap, Pixels, Plane};
use rayon::prelude::*;

/// Pixels a task.
const TASK: usize = 1 << 12;
/// Pixels a block: its sums stay in the first-level cache.
const BLOCK: usize = 256;
/// Saturated samples count this little: only where a pixel has no others.
const SATURATED: f32 = 1e-6;

/// Albedo of the channels of a colour capture, shares of full scale.
///
/// `colour` holds one stack per channel (red, green, blue), each with one image per light.
/// NaN where the normal is NaN or no light reaches the pixel; NaN samples are left out, saturated
/// ones (`white`) count only where there are no others.
///
/// # Panics
/// If the stacks, lights and normals are not of one size and count.
pub fn albedo_per_channel(
    colour: &[ImageStack; 3],
    lights: &Lights,
    normals: &NormalMap,
) -> [AlbedoMap; 3] {
    for images in colour {
        assert_eq!(images.count, lights.len(), "one image per light");
        assert_eq!(images.size, normals.size, "normals of the images' size");
    }
    let rows = light_rows(lights);
    let mut albedo = [0; 3].map(|_| Plane::filled(normals.size, f32::NAN));
    let [red, green, blue] = &mut albedo;
    let solve_span = widest_solve_span();
    (
        red.data.par_chunks_mut(TASK),
        green.data.par_chunks_mut(TASK),
        blue.data.par_chunks_mut(TASK),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(task, (red, green, blue))| {
            solve_span(colour, &rows, normals, task * TASK, [red, green, blue]);
        });
    albedo
}

type SolveSpan = fn(&[ImageStack; 3], &[[f32; 3]], &NormalMap, usize, [&mut [f32]; 3]);

/// The widest version of [`solve_span`] that this processor runs.
fn widest_solve_span() -> SolveSpan {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor was just seen to have the features.
            return |c, l, n, first, out| unsafe { solve_span_avx512(c, l, n, first, out) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return |c, l, n, first, out| unsafe { solve_span_avx2(c, l, n, first, out) };
        }
    }
    solve_span
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn solve_span_avx512(
    colour: &[ImageStack; 3],
    rows: &[[f32; 3]],
    normals: &NormalMap,
    first: usize,
    out: [&mut [f32]; 3],
) {
    solve_span(colour, rows, normals, first, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn solve_span_avx2(
    colour: &[ImageStack; 3],
    rows: &[[f32; 3]],
    normals: &NormalMap,
    first: usize,
    out: [&mut [f32]; 3],
) {
    solve_span(colour, rows, normals, first, out);
}

/// Solves the pixels from `first` on. Each value is read once, and the shading, which all
/// channels share, computed once.
#[inline(always)]
fn solve_span(
    colour: &[ImageStack; 3],
    rows: &[[f32; 3]],
    normals: &NormalMap,
    first: usize,
    mut out: [&mut [f32]; 3],
) {
    let (area, length) = (normals.size.area(), out[0].len());
    let mut shading = [0.0f32; BLOCK];
    for start in (0..length).step_by(BLOCK) {
        let n = BLOCK.min(length - start);
        let at = first + start;
        let (x, y, z) = (&normals.x()[at..][..n], &normals.y()[at..][..n], &normals.z()[at..][..n]);
        let mut squares = [[0.0f32; BLOCK]; 3];
        out.iter_mut().for_each(|sums| sums[start..start + n].fill(0.0));
        for (j, row) in rows.iter().enumerate() {
            for (i, shading) in shading[..n].iter_mut().enumerate() {
                let s = row[0] * x[i] + row[1] * y[i] + row[2] * z[i];
                *shading = if s > 0.0 { s } else { 0.0 };
            }
            for ((images, sums), squares) in colour.iter().zip(&mut out).zip(&mut squares) {
                let (white, from) = (images.white[j], j * area + at);
                let (sums, squares) = (&mut sums[start..start + n], &mut squares[..n]);
                match &images.pixels {
                    Pixels::U8(v) => add(&v[from..][..n], white, &shading[..n], sums, squares),
                    Pixels::U16(v) => add(&v[from..][..n], white, &shading[..n], sums, squares),
                    Pixels::F32(v) => add(&v[from..][..n], white, &shading[..n], sums, squares),
                }
            }
        }
        for ((images, sums), squares) in colour.iter().zip(&mut out).zip(&squares) {
            let unit = 1.0 / images.pixels.full_scale();
            for (sum, square) in sums[start..start + n].iter_mut().zip(squares) {
                // 0/0, where no light reaches, is NaN.
                *sum = *sum / square * unit;
            }
        }
    }
}

/// Adds one light's `s I` and `s²` to a channel's sums.
#[inline(always)]
fn add<T: Copy + Into<f32>>(
    image: &[T],
    white: f32,
    shading: &[f32],
    sums: &mut [f32],
    squares: &mut [f32],
) {
    let n = image.len();
    let (shading, sums, squares) = (&shading[..n], &mut sums[..n], &mut squares[..n]);
    for i in 0..n {
        let value: f32 = image[i].into();
        let seen = value.abs() < f32::INFINITY;
        let weight = if value >= white { SATURATED } else { 1.0 };
        let weighted = if seen { weight * shading[i] } else { 0.0 };
        sums[i] += weighted * if seen { value } else { 0.0 };
        squares[i] += weighted * shading[i];
    }
}
