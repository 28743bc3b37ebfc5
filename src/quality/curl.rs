//! Derivatives of the slopes at the scale of the face, and what they say of the lights' frame.
//!
//! With `p = ∂z/∂x = −n_x/n_z`, `q = ∂z/∂y = −n_y/n_z` a surface has `∂p/∂y = ∂q/∂x`. All four
//! derivatives times `n_z²`, as in `n_z² ∂p/∂y = n_x ∂n_z/∂y − n_z ∂n_x/∂y`, need no division and
//! are bounded, so that the steep rim of a face does not drown the rest.
//!
//! If the lights are stated in a frame that is mirrored, swapped or turned by a 2 × 2 matrix T in
//! (x, y), least squares fits as well as ever and returns `T n`: its residual cannot tell. The curl
//! can, up to the sign of the relief: T and −T share it. Of that pair the one is right whose
//! surface bulges toward the camera, as faces do (the concave–convex ambiguity; Belhumeur,
//! Kriegman and Yuille 1999, "The bas-relief ambiguity").

use super::gains::MIN_BLOCKS;
use crate::maps::{Mask, NormalMap, Size};

/// A turn or mirror image of the (x, y) axes: `[[a, b], [c, d]]`.
pub(super) type AxisMap = [[f64; 2]; 2];

/// Sums over the grid points with four neighbours.
pub(super) struct CurlSums {
    /// `n_z²` times `∂p/∂x, ∂p/∂y, ∂q/∂x, ∂q/∂y`.
    derivatives: Vec<[f64; 4]>,
    /// `Σ n_i d_j`, d the position from the centre.
    tilt: [[f64; 2]; 2],
    tilt_scale: f64,
}

impl CurlSums {
    /// From unit normals on a grid, NaN where undefined; `None` for too few of them.
    pub fn new(size: Size, normals: &[[f32; 3]]) -> Option<Self> {
        let Size { height, width } = size;
        let defined = |at: usize| !normals[at][2].is_nan();
        let mut derivatives = Vec::new();
        for row in 1..height.saturating_sub(1) {
            for column in 1..width.saturating_sub(1) {
                let at = row * width + column;
                let around = [at - 1, at + 1, at - width, at + width];
                if !defined(at) || !around.iter().all(|&a| defined(a)) {
                    continue;
                }
                let n = normals[at].map(f64::from);
                let step = |a: usize, b: usize, c: usize| {
                    0.5 * (f64::from(normals[a][c]) - f64::from(normals[b][c]))
                };
                // Rows run down: the row above is the larger y.
                let slope = |a, b, c| n[c] * step(a, b, 2) - n[2] * step(a, b, c);
                let (left, right, above, below) = (around[0], around[1], around[2], around[3]);
                derivatives.push([
                    slope(right, left, 0),
                    slope(above, below, 0),
                    slope(right, left, 1),
                    slope(above, below, 1),
                ]);
            }
        }
        if derivatives.len() < MIN_BLOCKS {
            return None;
        }
        let points: Vec<usize> = (0..normals.len()).filter(|&at| defined(at)).collect();
        let place = |at: usize| [(at % width) as f64, -((at / width) as f64)];
        let count = points.len() as f64;
        let centre = [0, 1].map(|i| points.iter().map(|&at| place(at)[i]).sum::<f64>() / count);
        let (mut tilt, mut lengths) = ([[0.0; 2]; 2], [0.0; 2]);
        for &at in &points {
            let d = [0, 1].map(|i| place(at)[i] - centre[i]);
            let n = [0, 1].map(|i| f64::from(normals[at][i]));
            for i in 0..2 {
                for j in 0..2 {
                    tilt[i][j] += n[i] * d[j];
                }
            }
            lengths[0] += n[0] * n[0] + n[1] * n[1];
            lengths[1] += d[0] * d[0] + d[1] * d[1];
        }
        Some(Self { derivatives, tilt, tilt_scale: (lengths[0] * lengths[1]).sqrt() })
    }

    /// Mean of `|∂p/∂y − ∂q/∂x|` over the mean of all four derivatives' sizes, were the lights' axes
    /// mapped by T: 0 for a surface, 0.35 for slopes that have nothing to do with each other.
    pub fn curl(&self, [[a, b], [c, d]]: AxisMap) -> f64 {
        let (mut curl, mut all) = (0.0, 0.0);
        for [p_x, p_y, q_x, q_y] in &self.derivatives {
            curl += (a * p_y + b * q_y - c * p_x - d * q_x).abs();
            all += p_x.abs() + p_y.abs() + q_x.abs() + q_y.abs();
        }
        if all > 0.0 { curl / all } else { 0.0 }
    }

    /// Correlation −1 to 1 of the normals' tilt with the way from the centre: positive where the
    /// surface bulges toward the camera.
    pub fn bulge(&self, [[a, b], [c, d]]: AxisMap) -> f64 {
        let [[xx, xy], [yx, yy]] = self.tilt;
        let sum = a * xx + b * yx + c * xy + d * yy;
        if self.tilt_scale > 0.0 { sum / self.tilt_scale } else { 0.0 }
    }
}

/// The axes as they are.
pub(super) const AS_STATED: AxisMap = [[1.0, 0.0], [0.0, 1.0]];

/// Block means of a normal map, made unit again; NaN where a pixel of the block is undefined.
pub(super) fn coarse_normals(
    normals: &NormalMap,
    mask: &Mask,
    size: Size,
    block: usize,
) -> Vec<[f32; 3]> {
    (0..size.area())
        .map(|at| {
            let (top, left) = (at / size.width * block, at % size.width * block);
            let mut sum = crate::geometry::Vec3::zeros();
            for row in top..top + block {
                for column in left..left + block {
                    let pixel = row * normals.size.width + column;
                    let undefined = !mask.data[pixel];
                    sum.add_scalar_mut(if undefined { f32::NAN } else { 0.0 });
                    sum += normals.at(pixel);
                }
            }
            sum.normalize().into()
        })
        .collect()
}
