//! What every integrator over pixels shares: slopes from normals, and the free constant.

use super::MAX_SLOPE;
use crate::maps::{DepthMap, Mask, NormalMap};
use rayon::prelude::*;

/// Slopes of one image row per column step and per row step (rows run down), no steeper than
/// [`MAX_SLOPE`]; zero off the mask and where the normal is undefined.
pub(super) fn slopes_of_row(
    normals: &NormalMap,
    mask: &Mask,
    row: usize,
    along_columns: &mut [f32],
    along_rows: &mut [f32],
) {
    let width = normals.size.width;
    let line = row * width..(row + 1) * width;
    let (x, y, z) =
        (&normals.x()[line.clone()], &normals.y()[line.clone()], &normals.z()[line.clone()]);
    let defined = &mask.data[line];
    let (along_columns, along_rows) = (&mut along_columns[..width], &mut along_rows[..width]);
    for i in 0..width {
        // A normal that leans away from the camera is as steep as one edge-on.
        let inverse = 1.0 / z[i].max(1e-6);
        let (p, q) = (-x[i] * inverse, y[i] * inverse);
        let steepness = (p * p + q * q).sqrt();
        let good = defined[i] & steepness.is_finite() & z[i].is_finite();
        let shrink = if steepness > MAX_SLOPE { MAX_SLOPE / steepness } else { 1.0 };
        along_columns[i] = if good { p * shrink } else { 0.0 };
        along_rows[i] = if good { q * shrink } else { 0.0 };
    }
}

/// Sets the mean over the mask to zero and everything off the mask to NaN.
///
/// # Panics
/// If depth and mask differ in size.
pub fn centre_depth(mut depth: DepthMap, mask: &Mask) -> DepthMap {
    /// Pixels a task. The sums are added up in order, so the mean is the same at any thread count.
    const TASK: usize = 1 << 14;
    assert_eq!(depth.size, mask.size, "a mask of the depth's size");
    let sums: Vec<(f64, usize)> = (depth.data.par_chunks(TASK), mask.data.par_chunks(TASK))
        .into_par_iter()
        .map(|(depth, mask)| (masked_sum(depth, mask), mask.iter().filter(|&&d| d).count()))
        .collect();
    let (sum, count) = sums.iter().fold((0.0, 0), |(s, c), (sum, count)| (s + sum, c + count));
    let mean = (sum / count.max(1) as f64) as f32;
    (depth.data.par_chunks_mut(TASK), mask.data.par_chunks(TASK)).into_par_iter().for_each(
        |(depth, mask)| {
            for (z, &defined) in depth.iter_mut().zip(mask) {
                *z = if defined { *z - mean } else { f32::NAN };
            }
        },
    );
    depth
}

/// In eight running sums, which do not wait for each other.
fn masked_sum(values: &[f32], mask: &[bool]) -> f64 {
    let mut sums = [0.0f64; 8];
    for (values, mask) in values.chunks(8).zip(mask.chunks(8)) {
        for ((sum, &value), &defined) in sums.iter_mut().zip(values).zip(mask) {
            *sum += if defined { f64::from(value) } else { 0.0 };
        }
    }
    sums.iter().sum()
}
