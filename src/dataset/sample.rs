//! From maps on disk to what a network sees: the central square of each map, normalised.

use super::{Manifest, ManifestRow, files};
use crate::config::{name_of, parse_name};
use crate::io::{GreyImage, IoError, read_grey, read_mask, read_normals, read_plane};
use crate::maps::{NormalMap, Plane, Size};
use serde::{Deserialize, Serialize};

/// What a network looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    Albedo,
    Normals,
    Depth,
    /// One lit image, as it was taken: what can be had without photometric stereo.
    Raw,
}

const MODALITIES: [(&str, Modality); 4] = [
    ("albedo", Modality::Albedo),
    ("normals", Modality::Normals),
    ("depth", Modality::Depth),
    ("raw", Modality::Raw),
];

impl Modality {
    pub fn name(self) -> &'static str {
        name_of(self, &MODALITIES)
    }
}

impl std::str::FromStr for Modality {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        parse_name("modality", name, &MODALITIES)
    }
}

/// A map as it is kept for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleMap {
    /// One plane: zero mean and unit variance over the mask, 0 where undefined.
    Albedo,
    /// Three planes: n_x, n_y, n_z, 0 where undefined.
    Normals,
    /// One plane, as albedo.
    Depth,
    /// A plane for each lit image, each as albedo.
    Raw,
    /// One plane, 0 to 1.
    Confidence,
}

impl From<Modality> for SampleMap {
    fn from(modality: Modality) -> Self {
        match modality {
            Modality::Albedo => Self::Albedo,
            Modality::Normals => Self::Normals,
            Modality::Depth => Self::Depth,
            Modality::Raw => Self::Raw,
        }
    }
}

impl SampleMap {
    pub fn name(self) -> &'static str {
        match self {
            Self::Albedo => "albedo",
            Self::Normals => "normals",
            Self::Depth => "depth",
            Self::Raw => "raw",
            Self::Confidence => "confidence",
        }
    }

    /// The files that it is made of.
    pub(super) fn sources(self, manifest: &Manifest, row: &ManifestRow) -> Vec<std::path::PathBuf> {
        let file = match self {
            Self::Albedo => files::ALBEDO,
            Self::Normals => files::NORMALS,
            Self::Depth => files::DEPTH,
            Self::Confidence => files::CONFIDENCE,
            Self::Raw => {
                let mask = manifest.path(row, files::MASK);
                return row.images.iter().cloned().chain([mask]).collect();
            }
        };
        vec![manifest.path(row, file)]
    }
}

/// One capture as training keeps it: its maps at one size, somewhat larger than the network's input.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    pub side: usize,
    /// Planes (side, side) row-major of each modality, see [`SampleMap`].
    pub maps: Vec<(Modality, &'a [f32])>,
    /// (side, side), 0 to 1.
    pub confidence: Option<&'a [f32]>,
    /// Which lit image stands for the capture where no chance decides.
    pub frame: usize,
}

/// Reads a capture's map and brings its central square to `side` pixels: (planes, side, side).
///
/// # Errors
/// A missing or damaged map, or one of another size than the manifest says.
pub(super) fn load_map(
    manifest: &Manifest,
    row: &ManifestRow,
    map: SampleMap,
    side: usize,
) -> Result<Vec<f32>, IoError> {
    let sources = map.sources(manifest, row);
    let path = &sources[0];
    let check = |size: Size| {
        if size == Size::new(row.height, row.width) {
            return Ok(());
        }
        Err(IoError::unsuitable(
            path,
            format!(
                "is {size}, the manifest says {}×{}; run `lumiface preprocess` again",
                row.width, row.height
            ),
        ))
    };
    match map {
        SampleMap::Normals => {
            let normals = read_normals(path)?;
            check(normals.size)?;
            Ok(normal_channels(&normals, side))
        }
        SampleMap::Albedo | SampleMap::Depth => {
            let plane = read_plane(path)?;
            check(plane.size)?;
            Ok(standardised(resample_square(&plane.data, plane.size, side)))
        }
        SampleMap::Confidence => {
            let plane = read_plane(path)?;
            check(plane.size)?;
            let values = resample_square(&plane.data, plane.size, side);
            Ok(values.into_iter().map(|v| if v.is_nan() { 0.0 } else { v }).collect())
        }
        SampleMap::Raw => {
            let Some((mask, images)) = sources.split_last().filter(|(_, i)| !i.is_empty()) else {
                let reason = if row.face == Some(true) {
                    "a head that was turned to the front has no lit image; leave --frontalise out"
                } else {
                    "the manifest lists no lit image of this capture; run `lumiface preprocess` again"
                };
                return Err(IoError::unsuitable(&manifest.root.join(&row.folder), reason));
            };
            // What lies behind the face must not tell who it is, as it cannot in the maps.
            let mask = read_mask(mask)?;
            let mut planes = Vec::with_capacity(images.len() * side * side);
            for image in images {
                let grey = read_grey(image)?;
                let masked = grey.size == mask.size;
                let value = |p: usize| {
                    if masked && !mask.data[p] { f32::NAN } else { grey.pixels.get(p) }
                };
                let values: Vec<f32> = (0..grey.size.area()).map(value).collect();
                planes.extend(standardised(resample_square(&values, grey.size, side)));
            }
            Ok(planes)
        }
    }
}

/// A photograph that is cropped to the face as one lit image of a sample: its central square at `side`
/// pixels, (side, side), normalised as [`SampleMap::Raw`].
pub fn photo_plane(grey: &GreyImage, side: usize) -> Vec<f32> {
    let values: Vec<f32> = (0..grey.size.area()).map(|p| grey.pixels.get(p)).collect();
    standardised(resample_square(&values, grey.size, side))
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
