//! From maps on disk to what a network sees: a square of one modality, normalised.

use super::{Manifest, ManifestRow, files};
use crate::io::{IoError, read_normals, read_plane};
use crate::maps::{NormalMap, Plane, Size};
use serde::{Deserialize, Serialize};

/// Which map a network looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    Albedo,
    Normals,
    Depth,
}

/// Three channels of a square image.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub side: usize,
    /// (3, side, side) row-major. Albedo and depth: zero mean and unit variance over the mask,
    /// three times the same; normals: n_x, n_y, n_z. 0 where undefined.
    pub data: Vec<f32>,
}

impl Sample {
    pub fn channel(&self, index: usize) -> &[f32] {
        let area = self.side * self.side;
        &self.data[index * area..(index + 1) * area]
    }
}

/// Reads a capture's map and brings its central square to `side` pixels.
///
/// # Errors
/// A missing or damaged map, or one of another size than the manifest says.
pub fn load_sample(
    manifest: &Manifest,
    row: &ManifestRow,
    modality: Modality,
    side: usize,
) -> Result<Sample, IoError> {
    let file = match modality {
        Modality::Albedo => files::ALBEDO,
        Modality::Normals => files::NORMALS,
        Modality::Depth => files::DEPTH,
    };
    let path = manifest.path(row, file);
    let check = |size: Size| {
        if size == Size::new(row.height, row.width) {
            return Ok(());
        }
        Err(IoError::unsuitable(
            &path,
            format!(
                "is {size}, the manifest says {}×{}; run `lumiface preprocess` again",
                row.width, row.height
            ),
        ))
    };
    let data = match modality {
        Modality::Normals => {
            let normals = read_normals(&path)?;
            check(normals.size)?;
            normal_channels(&normals, side)
        }
        Modality::Albedo | Modality::Depth => {
            let plane = read_plane(&path)?;
            check(plane.size)?;
            standardised(resample_square(&plane.data, plane.size, side)).repeat(3)
        }
    };
    Ok(Sample { side, data })
}

fn normal_channels(normals: &NormalMap, side: usize) -> Vec<f32> {
    let [x, y, z] =
        [normals.x(), normals.y(), normals.z()].map(|c| resample_square(c, normals.size, side));
    let mut data = vec![0.0; 3 * side * side];
    for i in 0..side * side {
        // The mean of unit vectors is shorter than one where the surface bends.
        let length = (x[i] * x[i] + y[i] * y[i] + z[i] * z[i]).sqrt();
        if length > 1e-6 {
            for (c, component) in [x[i], y[i], z[i]].into_iter().enumerate() {
                data[c * side * side + i] = component / length;
            }
        }
    }
    data
}

/// Zero mean, unit variance over what is defined; 0 elsewhere.
fn standardised(mut values: Vec<f32>) -> Vec<f32> {
    let defined = || values.iter().filter(|v| !v.is_nan()).map(|&v| f64::from(v));
    let count = defined().count().max(1) as f64;
    let mean = defined().sum::<f64>() / count;
    let variance = defined().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / variance.sqrt().max(1e-12);
    for value in &mut values {
        *value = if value.is_nan() { 0.0 } else { ((f64::from(*value) - mean) * scale) as f32 };
    }
    values
}

/// Mean over the area of each target pixel in the central square; NaN where less than half of
/// that area is defined.
fn resample_square(values: &[f32], size: Size, side: usize) -> Vec<f32> {
    let square = size.height.min(size.width);
    let (top, left) = ((size.height - square) / 2, (size.width - square) / 2);
    resample_area(
        &Plane::from_fn(Size::new(square, square), |r, c| {
            values[(top + r) * size.width + left + c]
        }),
        Size::new(side, side),
    )
    .data
}

/// Resamples by the mean over each target pixel's area; NaN where less than half of that area
/// is defined.
pub fn resample_area(plane: &Plane<f32>, size: Size) -> Plane<f32> {
    let rows = overlaps(plane.size.height, size.height);
    let columns = overlaps(plane.size.width, size.width);
    Plane::from_fn(size, |row, column| {
        let (mut sum, mut weight, mut total) = (0.0f32, 0.0f32, 0.0f32);
        for &(r, row_weight) in &rows[row] {
            for &(c, column_weight) in &columns[column] {
                let share = row_weight * column_weight;
                let value = *plane.at(r, c);
                total += share;
                if !value.is_nan() {
                    sum += share * value;
                    weight += share;
                }
            }
        }
        if weight > 0.0 && weight >= 0.5 * total { sum / weight } else { f32::NAN }
    })
}

/// For each of `to` cells, the pixels of `from` that it covers and by how much.
fn overlaps(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let ratio = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let (start, end) = (i as f64 * ratio, (i + 1) as f64 * ratio);
            (start as usize..(end.ceil() as usize).min(from))
                .map(|p| (p, (end.min((p + 1) as f64) - start.max(p as f64)) as f32))
                .filter(|&(_, weight)| weight > 0.0)
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_means_are_exact_and_skip_what_is_undefined() {
        let plane = Plane::from_fn(Size::new(3, 3), |r, c| (3 * r + c) as f32);
        let half = resample_area(&plane, Size::new(1, 2));
        // Columns 0 and half of 1: (0+3+6 + (1+4+7)/2) / 4.5; columns half of 1 and 2.
        assert!((half.data[0] - 15.0 / 4.5).abs() < 1e-6, "{:?}", half.data);
        assert!((half.data[1] - 21.0 / 4.5).abs() < 1e-6, "{:?}", half.data);

        let mut holed = Plane::from_fn(Size::new(2, 4), |_, c| c as f32);
        holed.data[0] = f32::NAN;
        holed.data[2] = f32::NAN;
        holed.data[3] = f32::NAN;
        holed.data[6] = f32::NAN;
        let small = resample_area(&holed, Size::new(1, 2));
        assert!((small.data[0] - 2.0 / 3.0).abs() < 1e-6, "{:?}", small.data);
        assert!(small.data[1].is_nan(), "{:?}", small.data);
    }

    #[test]
    fn enlarging_keeps_values() {
        let plane = Plane::from_fn(Size::new(2, 2), |r, c| (2 * r + c) as f32);
        let large = resample_area(&plane, Size::new(4, 4));
        assert_eq!(*large.at(0, 0), 0.0);
        assert_eq!(*large.at(3, 3), 3.0);
    }

    #[test]
    fn standardised_has_mean_zero_and_variance_one_over_what_is_defined() {
        let values = standardised(vec![1.0, 3.0, f32::NAN, 5.0]);
        assert_eq!(values[2], 0.0);
        let deviation = (8.0f32 / 3.0).sqrt();
        for (got, want) in [(values[0], -2.0), (values[1], 0.0), (values[3], 2.0)] {
            assert!((got - want / deviation).abs() < 1e-6, "{values:?}");
        }
    }
}
