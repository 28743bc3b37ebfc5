//! Comparisons without learning, to see what learning adds: the cosine of small,
//! contrast-normalised pixels.

use crate::config::did_you_mean;
use crate::dataset::{CaptureRef, Collection, ManifestRow, files, lit_image_of, resample_area};
use crate::io::{IoError, read_grey, read_normals, read_plane};
use crate::maps::{Plane, Size};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Size at which pixels are compared.
const BASELINE_SIZE: Size = Size { height: 48, width: 42 };

/// A comparison without learning: cosine of contrast-normalised pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Of one lit image.
    Raw,
    Albedo,
    Normals,
}

impl std::str::FromStr for Baseline {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "raw" => Ok(Self::Raw),
            "albedo" => Ok(Self::Albedo),
            "normals" => Ok(Self::Normals),
            _ => Err(format!(
                "unknown baseline `{name}`{}; known: raw, albedo, normals",
                did_you_mean(name, &["raw", "albedo", "normals"])
            )),
        }
    }
}

impl Baseline {
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Albedo => "albedo",
            Self::Normals => "normals",
        }
    }

    /// Contrast-normalised pixels of every capture.
    pub(super) fn vectors(
        self,
        collection: &Collection,
        captures: &[CaptureRef<'_>],
    ) -> Result<Vec<Vec<f32>>, IoError> {
        captures
            .par_iter()
            .map(|&capture| {
                let path = |file| collection.path(capture, file);
                let planes = match self {
                    Baseline::Raw => vec![one_lit_image(capture.row)?],
                    Baseline::Albedo => vec![read_plane(&path(files::ALBEDO))?],
                    Baseline::Normals => {
                        let normals = read_normals(&path(files::NORMALS))?;
                        [normals.x(), normals.y(), normals.z()]
                            .map(|c| Plane::new(normals.size, c.to_vec()))
                            .to_vec()
                    }
                };
                Ok(planes.iter().flat_map(contrast_normalised).collect())
            })
            .collect()
    }
}

/// The lit image that stands for the capture.
fn one_lit_image(row: &ManifestRow) -> Result<Plane<f32>, IoError> {
    let path: &Path = row
        .images
        .get(lit_image_of(&row.name()) % row.images.len().max(1))
        .ok_or_else(|| IoError::NotFound(PathBuf::from(format!("lit images of {}", row.name()))))?;
    let image = read_grey(path)?;
    let values = (0..image.size.area()).map(|p| image.pixels.get(p)).collect();
    Ok(Plane::new(image.size, values))
}

/// Small, mean zero; what is undefined becomes the mean.
fn contrast_normalised(plane: &Plane<f32>) -> Vec<f32> {
    let small = resample_area(plane, BASELINE_SIZE).data;
    let defined: Vec<f32> = small.iter().copied().filter(|v| !v.is_nan()).collect();
    let mean = defined.iter().sum::<f32>() / defined.len().max(1) as f32;
    small.into_iter().map(|v| if v.is_nan() { 0.0 } else { v - mean }).collect()
}
