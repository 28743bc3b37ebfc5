//! Frankot and Chellappa (1988), "A method for enforcing integrability in shape from shading
//! algorithms", eq. 20, in the cosine basis.
//!
//! Depth is written as `z = Σ C_uv cos(a_u (c + ½)) cos(b_v (r + ½))`, `a_u = πu/W`,
//! `b_v = πv/H`, with c the column and r the row. Its slopes along columns and rows then are
//! sine–cosine and cosine–sine series, and the coefficients that bring them nearest to the
//! measured slopes p, q in the least-squares sense are
//!
//! `C_uv = −(a_u P_uv + b_v Q_uv) / ((a_u² + b_v²) N_u N_v)`,
//!
//! where P is the sine–cosine transform of p, Q the cosine–sine transform of q, and `N_0 = W`,
//! `N_u = W/2` (likewise for rows). Against the Fourier basis of the paper, the cosine basis does
//! not force opposite borders to the same depth, at the same cost.
//!
//! Twin of `shaders/frankot_chellappa.wgsl`.

use super::MAX_SLOPE;
use crate::maps::{DepthMap, Mask, NormalMap, Plane, Size};
use rayon::prelude::*;
use rustdct::{Dct2, Dct3, DctPlanner, Dst2};
use std::f32::consts::PI;
use std::sync::Arc;

/// Integrates a normal map over its whole rectangle; where the mask is false the surface is
/// taken as flat.
///
/// Returns depth toward the camera in pixels, mean zero over the mask, NaN off the mask.
///
/// # Panics
/// If normals and mask differ in size.
pub fn frankot_chellappa(normals: &NormalMap, mask: &Mask) -> DepthMap {
    let size = normals.size;
    assert_eq!(size, mask.size, "a mask of the normals' size");
    if size.area() == 0 {
        return Plane::new(size, Vec::new());
    }
    let transforms = Transforms::new(size);
    let (along_columns, along_rows) = slopes(normals, mask);

    let mut p = along_columns;
    for_each_line(
        &mut p,
        size.width,
        |line, scratch| transforms.sine_width.process_dst2_with_scratch(line, scratch),
        transforms.scratch,
    );
    let mut q = along_rows;
    for_each_line(
        &mut q,
        size.width,
        |line, scratch| transforms.cosine_width.process_dct2_with_scratch(line, scratch),
        transforms.scratch,
    );
    let (mut p, mut q) = (transposed(&p, size), transposed(&q, size));
    for_each_line(
        &mut p,
        size.height,
        |line, scratch| transforms.cosine_height.process_dct2_with_scratch(line, scratch),
        transforms.scratch,
    );
    for_each_line(
        &mut q,
        size.height,
        |line, scratch| transforms.sine_height.process_dst2_with_scratch(line, scratch),
        transforms.scratch,
    );

    let mut coefficients = project(&p, &q, size);
    for_each_line(
        &mut coefficients,
        size.height,
        |line, scratch| transforms.inverse_height.process_dct3_with_scratch(line, scratch),
        transforms.scratch,
    );
    let mut depth = transposed(&coefficients, Size::new(size.width, size.height));
    for_each_line(
        &mut depth,
        size.width,
        |line, scratch| transforms.inverse_width.process_dct3_with_scratch(line, scratch),
        transforms.scratch,
    );
    centre_depth(Plane::new(size, depth), mask)
}

/// Sets the mean over the mask to zero and everything off the mask to NaN.
pub fn centre_depth(mut depth: DepthMap, mask: &Mask) -> DepthMap {
    let sum: f64 = depth
        .data
        .iter()
        .zip(&mask.data)
        .filter(|&(_, &defined)| defined)
        .map(|(&z, _)| f64::from(z))
        .sum();
    let mean = (sum / mask.count().max(1) as f64) as f32;
    depth.data.iter_mut().for_each(|z| *z -= mean);
    depth.masked(mask)
}

/// Slopes per column step and per row step (rows run down), no steeper than [`MAX_SLOPE`];
/// zero off the mask and where the normal is undefined.
fn slopes(normals: &NormalMap, mask: &Mask) -> (Vec<f32>, Vec<f32>) {
    let (x, y, z) = (normals.x(), normals.y(), normals.z());
    (0..normals.size.area())
        .into_par_iter()
        .map(|i| {
            // A normal that leans away from the camera is as steep as one edge-on.
            let n_z = z[i].max(1e-6);
            let (p, q) = (-x[i] / n_z, y[i] / n_z);
            let steepness = (p * p + q * q).sqrt();
            if !(mask.data[i] && steepness.is_finite() && z[i].is_finite()) {
                return (0.0, 0.0);
            }
            let shrink = if steepness > MAX_SLOPE { MAX_SLOPE / steepness } else { 1.0 };
            (p * shrink, q * shrink)
        })
        .unzip()
}

/// The coefficients C of the depth, transposed (w, h), scaled for the inverse transform.
///
/// `p` and `q` are transposed too. A sine transform starts at frequency 1, so frequency u of it
/// stands at index u − 1.
fn project(p: &[f32], q: &[f32], size: Size) -> Vec<f32> {
    let Size { height, width } = size;
    let mut coefficients = vec![0.0; size.area()];
    coefficients.par_chunks_mut(height).enumerate().for_each(|(u, line)| {
        let a = PI * u as f32 / width as f32;
        for (v, value) in line.iter_mut().enumerate() {
            if u == 0 && v == 0 {
                continue; // the mean of the depth is free
            }
            let b = PI * v as f32 / height as f32;
            let p_uv = if u > 0 { p[(u - 1) * height + v] } else { 0.0 };
            let q_uv = if v > 0 { q[u * height + v - 1] } else { 0.0 };
            // 1/(N_u N_v) = 4/(W H), halved for each zero frequency; the inverse transform
            // halves the zero frequencies itself, so the plain factor serves all of them.
            let scale = 4.0 / size.area() as f32;
            *value = -scale * (a * p_uv + b * q_uv) / (a * a + b * b);
        }
    });
    coefficients
}

struct Transforms {
    sine_width: Arc<dyn Dst2<f32>>,
    cosine_width: Arc<dyn Dct2<f32>>,
    inverse_width: Arc<dyn Dct3<f32>>,
    sine_height: Arc<dyn Dst2<f32>>,
    cosine_height: Arc<dyn Dct2<f32>>,
    inverse_height: Arc<dyn Dct3<f32>>,
    /// Enough scratch for any of them.
    scratch: usize,
}

impl Transforms {
    fn new(size: Size) -> Self {
        let mut planner = DctPlanner::new();
        let sine_width = planner.plan_dst2(size.width);
        let cosine_width = planner.plan_dct2(size.width);
        let inverse_width = planner.plan_dct3(size.width);
        let sine_height = planner.plan_dst2(size.height);
        let cosine_height = planner.plan_dct2(size.height);
        let inverse_height = planner.plan_dct3(size.height);
        let scratch = [
            sine_width.get_scratch_len(),
            cosine_width.get_scratch_len(),
            inverse_width.get_scratch_len(),
            sine_height.get_scratch_len(),
            cosine_height.get_scratch_len(),
            inverse_height.get_scratch_len(),
        ]
        .into_iter()
        .max()
        .unwrap_or(0);
        Self {
            sine_width,
            cosine_width,
            inverse_width,
            sine_height,
            cosine_height,
            inverse_height,
            scratch,
        }
    }
}

fn for_each_line(
    data: &mut [f32],
    length: usize,
    transform: impl Fn(&mut [f32], &mut [f32]) + Sync,
    scratch: usize,
) {
    data.par_chunks_mut(length)
        .for_each_init(|| vec![0.0; scratch], |scratch, line| transform(line, scratch));
}

/// (h, w) → (w, h), in square blocks so that both sides stay in cache.
fn transposed(data: &[f32], size: Size) -> Vec<f32> {
    const BLOCK: usize = 32;
    let Size { height, width } = size;
    let mut out = vec![0.0; data.len()];
    out.par_chunks_mut(BLOCK * height).enumerate().for_each(|(block, lines)| {
        let first_column = block * BLOCK;
        let columns = lines.len() / height;
        for first_row in (0..height).step_by(BLOCK) {
            for row in first_row..(first_row + BLOCK).min(height) {
                for column in 0..columns {
                    lines[column * height + row] = data[row * width + first_column + column];
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;

    /// Normals of z(x, y) from its slopes, y up.
    fn normals_of(size: Size, slopes: impl Fn(usize, usize) -> (f32, f32)) -> NormalMap {
        NormalMap::from_fn(size, |r, c| {
            let (dz_dx, dz_dy) = slopes(r, c);
            Vec3::new(-dz_dx, -dz_dy, 1.0).normalize()
        })
    }

    fn largest_error(depth: &DepthMap, truth: impl Fn(usize, usize) -> f32) -> f32 {
        let truth = Plane::from_fn(depth.size, truth);
        let truth = centre_depth(truth, &Plane::filled(depth.size, true));
        depth.data.iter().zip(&truth.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_bump_comes_back_off_centre_and_the_right_way_up() {
        // A Gaussian is smooth and nearly flat at the border, so the series has no excuse.
        let size = Size::new(90, 121);
        let (row, column, sigma, height) = (30.0f32, 75.0f32, 11.0f32, 20.0f32);
        let z = |r: usize, c: usize| {
            let (dr, dc) = (r as f32 - row, c as f32 - column);
            height * (-(dr * dr + dc * dc) / (2.0 * sigma * sigma)).exp()
        };
        let normals = normals_of(size, |r, c| {
            let (dr, dc) = (r as f32 - row, c as f32 - column);
            (-dc / (sigma * sigma) * z(r, c), dr / (sigma * sigma) * z(r, c))
        });
        let depth = frankot_chellappa(&normals, &Plane::filled(size, true));
        let error = largest_error(&depth, z);
        assert!(error < 1e-3 * height, "off by {error} px of {height}");
    }

    #[test]
    fn one_cosine_of_the_basis_is_exact() {
        let size = Size::new(24, 40);
        let (a, b) = (3.0 * PI / 40.0, 5.0 * PI / 24.0);
        let z = |r: usize, c: usize| (a * (c as f32 + 0.5)).cos() * (b * (r as f32 + 0.5)).cos();
        let normals = normals_of(size, |r, c| {
            let (s, t) = (a * (c as f32 + 0.5), b * (r as f32 + 0.5));
            (-a * s.sin() * t.cos(), b * s.cos() * t.sin())
        });
        let depth = frankot_chellappa(&normals, &Plane::filled(size, true));
        let error = largest_error(&depth, z);
        assert!(error < 1e-5, "off by {error}");
    }

    #[test]
    fn off_the_mask_is_nan_and_the_mask_has_mean_zero() {
        let size = Size::new(30, 30);
        let mask = Plane::from_fn(size, |r, c| r > 5 && c < 25);
        let normals = normals_of(size, |r, _| (0.1, 0.01 * r as f32)).masked(&mask);
        let depth = frankot_chellappa(&normals, &mask);
        let mut sum = 0.0f64;
        for (z, &defined) in depth.data.iter().zip(&mask.data) {
            assert_eq!(z.is_finite(), defined);
            if defined {
                sum += f64::from(*z);
            }
        }
        assert!((sum / mask.count() as f64).abs() < 1e-5);
    }

    #[test]
    fn an_edge_on_normal_does_not_tear_the_surface() {
        let size = Size::new(32, 32);
        let mut normals = normals_of(size, |_, _| (0.0, 0.0));
        let middle = 16 * 32 + 16;
        normals.data[middle] = 1.0;
        normals.data[2 * size.area() + middle] = 0.0;
        let depth = frankot_chellappa(&normals, &Plane::filled(size, true));
        let largest = depth.data.iter().fold(0.0f32, |m, z| m.max(z.abs()));
        assert!(largest > 0.1 && largest < MAX_SLOPE, "largest depth {largest}");
    }
}
