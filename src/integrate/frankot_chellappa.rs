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

use super::centre_depth;
use super::cosine::{BLOCK, Basis, LineTransform, Turned, for_each_pair};
use super::slopes::slopes_of_row;
use crate::maps::{DepthMap, Mask, NormalMap, Plane, Size};
use std::f32::consts::PI;

/// Integrates a normal map over its whole rectangle; where the mask is false the surface is
/// taken as flat.
///
/// Returns depth toward the camera in pixels, mean zero over the mask, NaN off the mask. Slopes
/// steeper than [`super::MAX_SLOPE`] are cut to it.
///
/// # Panics
/// If normals and mask differ in size.
pub fn frankot_chellappa(normals: &NormalMap, mask: &Mask) -> DepthMap {
    let size = normals.size;
    assert_eq!(size, mask.size, "a mask of the normals' size");
    if size.area() == 0 {
        return Plane::new(size, Vec::new());
    }
    let Size { height, width } = size;
    let (along_width, along_height) = (LineTransform::new(width), LineTransform::new(height));

    // One line holds a row's transform of p and, behind it, that of q.
    let by_columns = Turned::write(
        height,
        2 * width,
        || along_width.workspace(),
        |work, first, block| {
            for (row, line) in (first..height).zip(block.chunks_exact_mut(2 * width)) {
                let (p, q) = line.split_at_mut(width);
                slopes_of_row(normals, mask, row, p, q);
                along_width.forward([p, q], [Basis::Sine, Basis::Cosine], work);
            }
        },
    );
    let by_rows = Turned::write(
        width,
        height,
        || (along_height.workspace(), vec![0.0; BLOCK * height]),
        |(work, q_block), first, block| {
            by_columns.read(first, block);
            by_columns.read(width + first, q_block);
            for ((u, p), q) in (first..width)
                .zip(block.chunks_exact_mut(height))
                .zip(q_block.chunks_exact_mut(height))
            {
                along_height.forward([p, q], [Basis::Cosine, Basis::Sine], work);
                project(p, q, u, size);
            }
            for_each_pair(block, height, |pair| along_height.inverse(pair, work));
        },
    );
    drop(by_columns);
    centre_depth(Plane::new(size, along_width.inverse_rows(&by_rows, size)), mask)
}

/// Replaces P at frequency u along columns by what the inverse transforms make depth of:
/// `−(a P + b Q) / ((a² + b²) W H)`. They halve the zero frequencies, as N_0 does.
fn project(p: &mut [f32], q: &[f32], u: usize, size: Size) {
    let scale = -1.0 / size.area() as f32;
    let a = PI * u as f32 / size.width as f32;
    let step = PI / size.height as f32;
    for (v, (p, q)) in p.iter_mut().zip(q).enumerate() {
        let b = step * v as f32;
        *p = scale * (a * *p + b * q) / (a * a + b * b);
    }
    if u == 0 {
        p[0] = 0.0; // the mean of the depth is free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;
    use crate::integrate::MAX_SLOPE;

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
