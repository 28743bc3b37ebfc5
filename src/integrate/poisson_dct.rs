//! Depth by the discrete Poisson equation on the whole rectangle, in the cosine basis.
//!
//! Simchony, Chellappa and Shao (1990), "Direct analytical methods for solving Poisson equations
//! in computer vision problems", section III: the depth whose differences between neighbours come
//! nearest to the measured ones, `min Σ (z_{r,c+1} − z_{r,c} − p_{r,c+½})² + (z_{r+1,c} − z_{r,c}
//! − q_{r+½,c})²`, solves `Δz = div(p, q)`, where Δ is the five-point Laplacian and no difference
//! crosses the border (Neumann). The cosines `cos(πu(c + ½)/W) cos(πv(r + ½)/H)` are the
//! eigenvectors of Δ, with `λ_uv = −4 sin²(πu/2W) − 4 sin²(πv/2H)`, so `Z_uv = F_uv / λ_uv`. The
//! differences of any depth map give back that map.
//!
//! A normal belongs to the centre of its pixel, a difference to the edge between two pixels: it is
//! the mean of the slopes on both sides, exact for a quadric (Quéau, Durou and Aujol 2018, "Normal
//! integration: a survey", section 3.1). Taking a pixel's slope for the difference ahead of it
//! would move the surface by half a pixel.

use super::centre_depth;
use super::cosine::{BLOCK, Basis, LineTransform, Turned, for_each_pair};
use super::slopes::slopes_of_row;
use crate::maps::{DepthMap, Mask, NormalMap, Plane, Size};
use std::f64::consts::PI;

/// Integrates a normal map over its whole rectangle; where the mask is false, or a normal is not
/// finite, the surface is taken as flat.
///
/// Returns depth toward the camera in pixels, mean zero over the mask, NaN off the mask. Slopes
/// steeper than [`super::MAX_SLOPE`] are cut to it.
///
/// # Panics
/// If normals and mask differ in size.
pub fn poisson_dct(normals: &NormalMap, mask: &Mask) -> DepthMap {
    let size = normals.size;
    assert_eq!(size, mask.size, "a mask of the normals' size");
    let Size { height, width } = size;
    let depth = solve_neumann(
        size,
        || [vec![0.0; (BLOCK + 2) * width], vec![0.0; (BLOCK + 2) * width]],
        |[along_columns, along_rows], first, block| {
            let rows = first.saturating_sub(1)..(first + BLOCK + 1).min(height);
            for ((row, p), q) in rows
                .clone()
                .zip(along_columns.chunks_exact_mut(width))
                .zip(along_rows.chunks_exact_mut(width))
            {
                slopes_of_row(normals, mask, row, p, q);
            }
            for (row, out) in (first..height).zip(block.chunks_exact_mut(width)) {
                let line = |row: usize| (row - rows.start) * width..(row - rows.start + 1) * width;
                let q = &along_rows[line(row)];
                let above = (row > 0).then(|| &along_rows[line(row - 1)]);
                let below = (row + 1 < height).then(|| &along_rows[line(row + 1)]);
                divergence(&along_columns[line(row)], q, above, below, out);
            }
        },
    );
    centre_depth(depth, mask)
}

/// Divergence of one row from its slopes and those along rows above and below it.
///
/// The difference across an edge is the mean of its two slopes, so the divergence is half the
/// difference of the slopes on both sides. No difference crosses the border: there the slope
/// beyond is the border's own with the other sign.
fn divergence(
    along_columns: &[f32],
    along_rows: &[f32],
    above: Option<&[f32]>,
    below: Option<&[f32]>,
    out: &mut [f32],
) {
    let n = out.len();
    let (p, q) = (&along_columns[..n], &along_rows[..n]);
    match (above, below) {
        (Some(above), Some(below)) => {
            out.iter_mut().zip(above).zip(below).for_each(|((o, a), b)| *o = 0.5 * (b - a));
        }
        (None, Some(below)) => {
            out.iter_mut().zip(q).zip(below).for_each(|((o, q), b)| *o = 0.5 * (b + q));
        }
        (Some(above), None) => {
            out.iter_mut().zip(above).zip(q).for_each(|((o, a), q)| *o = 0.5 * (-q - a));
        }
        (None, None) => out.fill(0.0),
    }
    if n > 1 {
        out[0] += 0.5 * (p[1] + p[0]);
        for (out, p) in out[1..].iter_mut().zip(p.windows(3)) {
            *out += 0.5 * (p[2] - p[0]);
        }
        out[n - 1] -= 0.5 * (p[n - 1] + p[n - 2]);
    }
}

/// The depth whose Laplacian is the divergence that `fill` writes, mean zero over the rectangle.
///
/// `fill(state, first, block)` writes [`BLOCK`] rows from row `first` on; see [`Turned::write`].
fn solve_neumann<S>(
    size: Size,
    state: impl Fn() -> S + Sync + Send,
    fill: impl Fn(&mut S, usize, &mut [f32]) + Sync,
) -> DepthMap {
    let Size { height, width } = size;
    if size.area() == 0 {
        return Plane::new(size, Vec::new());
    }
    let (along_width, along_height) = (LineTransform::new(width), LineTransform::new(height));
    let (wide, high) = (eigenvalues(width), eigenvalues(height));

    let by_columns = Turned::write(
        height,
        width,
        || (state(), along_width.workspace()),
        |(state, work), first, block| {
            fill(state, first, block);
            for_each_pair(block, width, |pair| {
                along_width.forward(pair, [Basis::Cosine; 2], work);
            });
        },
    );
    let by_rows = Turned::write(
        width,
        height,
        || along_height.workspace(),
        |work, first, block| {
            by_columns.read(first, block);
            for_each_pair(block, height, |pair| {
                along_height.forward(pair, [Basis::Cosine; 2], work);
            });
            for (u, line) in (first..width).zip(block.chunks_exact_mut(height)) {
                // The two inverse transforms bring a factor of W H.
                let scale = -1.0 / size.area() as f32;
                for (value, high) in line.iter_mut().zip(&high) {
                    *value *= scale / (wide[u] + high);
                }
                if u == 0 {
                    line[0] = 0.0; // the mean of the depth is free
                }
            }
            for_each_pair(block, height, |pair| along_height.inverse(pair, work));
        },
    );
    drop(by_columns);
    Plane::new(size, along_width.inverse_rows(&by_rows, size))
}

/// −λ of the second difference with Neumann ends.
fn eigenvalues(length: usize) -> Vec<f32> {
    let value = |k: usize| 4.0 * (PI * k as f64 / (2 * length) as f64).sin().powi(2);
    (0..length).map(|k| value(k) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;

    /// Numbers between −1 and 1 without a pattern.
    fn scattered(count: usize) -> Vec<f32> {
        (0..count as u32)
            .map(|i| (i.wrapping_add(1).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32)
            .map(|share| share - 1.0)
            .collect()
    }

    fn largest_error(depth: &DepthMap, truth: Vec<f32>) -> f32 {
        let full = Plane::filled(depth.size, true);
        let truth = centre_depth(Plane::new(depth.size, truth), &full);
        depth.data.iter().zip(&truth.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// Slopes on one line whose means over neighbours are the differences of `z`.
    fn slopes_with_means(z: &[f32]) -> Vec<f32> {
        let mut slopes = vec![0.0; z.len()];
        for i in 1..z.len() {
            slopes[i] = 2.0 * (z[i] - z[i - 1]) - slopes[i - 1];
        }
        slopes
    }

    #[test]
    fn the_differences_of_any_depth_map_give_it_back() {
        for size in [(1, 1), (1, 9), (8, 1), (2, 2), (17, 33), (40, 23), (95, 64)] {
            let size = Size::new(size.0, size.1);
            let z: Vec<f32> = scattered(size.area()).iter().map(|v| 0.05 * v).collect();
            let columns: Vec<Vec<f32>> = (0..size.width)
                .map(|c| (0..size.height).map(|r| z[r * size.width + c]).collect())
                .collect();
            let q: Vec<Vec<f32>> = columns.iter().map(|line| slopes_with_means(line)).collect();
            let p: Vec<Vec<f32>> = z.chunks(size.width).map(slopes_with_means).collect();
            let normals =
                NormalMap::from_fn(size, |r, c| Vec3::new(-p[r][c], q[c][r], 1.0).normalize());
            let depth = poisson_dct(&normals, &Plane::filled(size, true));
            // Slopes reach 4 and lose their last two bits in the normal: 4 × 2⁻²² = 1e-6.
            let error = largest_error(&depth, z);
            assert!(error < 1e-5, "{size}: off by {error}");
        }
    }

    #[test]
    fn a_quadric_comes_back_from_its_normals_the_right_way_up() {
        let size = Size::new(131, 90);
        let z = |r: f32, c: f32| 2e-3 * r * r - 4e-3 * c * c + 1e-3 * r * c + 0.2 * r - 0.1 * c;
        let normals = NormalMap::from_fn(size, |r, c| {
            let (r, c) = (r as f32, c as f32);
            let (dz_dc, dz_dr) = (-8e-3 * c + 1e-3 * r - 0.1, 4e-3 * r + 1e-3 * c + 0.2);
            Vec3::new(-dz_dc, dz_dr, 1.0).normalize()
        });
        let depth = poisson_dct(&normals, &Plane::filled(size, true));
        let truth = Plane::from_fn(size, |r, c| z(r as f32, c as f32)).data;
        let error = largest_error(&depth, truth);
        assert!(error < 1e-4, "off by {error} px of 100");
    }

    #[test]
    fn a_bump_inside_a_mask_comes_back() {
        // Flat at the outline, so the flat surroundings are the truth. The mean of two slopes
        // exceeds the difference by a twelfth of the third derivative, which leaves the depth
        // Fourier transform's (k_x⁴ + k_y⁴)/(12 k²) of itself: at most |Δz|/12 at the summit,
        // 2 h/(12 σ²).
        let size = Size::new(120, 100);
        let (row, column, sigma, height) = (50.0f32, 55.0f32, 9.0f32, 15.0f32);
        let bump = |r: usize, c: usize| {
            let (dr, dc) = (r as f32 - row, c as f32 - column);
            let z = height * (-(dr * dr + dc * dc) / (2.0 * sigma * sigma)).exp();
            (z, -dr / (sigma * sigma) * z, -dc / (sigma * sigma) * z)
        };
        let inside =
            |r: usize, c: usize| (r as f32 - row).hypot(c as f32 - column) < 40.0 && r != 90;
        let mask = Plane::from_fn(size, inside);
        let normals = NormalMap::from_fn(size, |r, c| {
            let (_, dz_dr, dz_dc) = bump(r, c);
            Vec3::new(-dz_dc, dz_dr, 1.0).normalize()
        });
        let depth = poisson_dct(&normals.masked(&mask), &mask);
        let truth = centre_depth(Plane::from_fn(size, |r, c| bump(r, c).0), &mask);
        let tolerance = 2.0 * height / (12.0 * sigma * sigma);
        for (pixel, (got, want)) in depth.data.iter().zip(&truth.data).enumerate() {
            let equal = (got - want).abs() < tolerance || (got.is_nan() && want.is_nan());
            assert!(equal, "pixel {pixel}: {got}, not {want}, within {tolerance}");
        }
    }

    #[test]
    fn undefined_and_edge_on_normals_spoil_only_themselves() {
        let size = Size::new(48, 40);
        let mut normals = NormalMap::from_fn(size, |_, _| Vec3::z());
        let (edge_on, undefined) = (20 * 40 + 20, 30 * 40 + 7);
        normals.data[edge_on] = 1.0;
        normals.data[2 * size.area() + edge_on] = 0.0;
        normals.data[undefined] = f32::NAN;
        let depth = poisson_dct(&normals, &Plane::filled(size, true));
        let largest = depth.data.iter().fold(0.0f32, |m, z| m.max(z.abs()));
        assert!(depth.data.iter().all(|z| z.is_finite()));
        assert!(largest > 0.1 && largest < super::super::MAX_SLOPE, "largest depth {largest}");
    }
}
