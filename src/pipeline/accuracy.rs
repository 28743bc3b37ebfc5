//! `accuracy`: maps beside the truth of a synthetic set, by region.

use super::{FaceRecord, StageError};
use crate::dataset::{Manifest, ManifestRow, files};
use crate::eval::{JudgedMaps, Region, RegionError, map_accuracy, mean_accuracy};
use crate::face::Similarity;
use crate::io::{IoError, read_mask, read_normals, read_picture, read_plane, read_text};
use crate::maps::{Mask, Plane};
use crate::synth::TRUTH_FOLDER;
use crate::synth::surface::Part;
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The regions that are judged, in the order of the table.
const REGIONS: [&str; 7] = [
    "face",
    "skin lit by all",
    "skin in cast shadow",
    "skin turned away",
    "eyes and mouth",
    "hair",
    "spectacles",
];

/// Errors of a set of maps.
#[derive(Clone, Debug, Serialize)]
pub struct MapAccuracy {
    pub captures: usize,
    /// By region; `None` where no capture has enough of it.
    pub regions: Vec<(&'static str, Option<RegionError>)>,
    /// Captures without truth or with maps of another size, one line each.
    pub problems: Vec<String>,
}

/// Sets maps beside the truth that `synth` left with their captures.
///
/// # Errors
/// A folder without a manifest.
pub fn accuracy(maps: &Path, captures: &Path) -> Result<MapAccuracy, StageError> {
    let manifest = Manifest::read(maps)?;
    let judged: Vec<Result<Vec<Option<RegionError>>, String>> = manifest
        .rows
        .par_iter()
        // Sessions solved from some of the lights alone have no truth of their own.
        .filter(|row| !row.training_only)
        .map(|row| judge(&manifest, row, captures).map_err(|error| error.to_string()))
        .collect();
    let problems = judged.iter().filter_map(|j| j.as_ref().err().cloned()).collect();
    let judged: Vec<_> = judged.into_iter().filter_map(Result::ok).collect();
    let of_region = |index: usize| {
        let all: Vec<RegionError> = judged.iter().filter_map(|regions| regions[index]).collect();
        mean_accuracy(&all)
    };
    let regions = REGIONS.iter().enumerate().map(|(i, name)| (*name, of_region(i))).collect();
    Ok(MapAccuracy { captures: judged.len(), regions, problems })
}

fn judge(
    manifest: &Manifest,
    row: &ManifestRow,
    captures: &Path,
) -> Result<Vec<Option<RegionError>>, IoError> {
    let face = manifest.path(row, files::FACE);
    if face.exists() {
        let record: FaceRecord =
            serde_json::from_str(&read_text(&face)?).map_err(|e| IoError::unsuitable(&face, e))?;
        if record.alignment != Similarity::IDENTITY || record.turned_from_deg.is_some() {
            let reason = "its maps are aligned or turned, and the truth is of the picture as it was \
                          taken; judge maps that were made without --align and --frontalise";
            return Err(IoError::unsuitable(&face, reason));
        }
    }

    let truth = captures.join(&row.id).join(&row.session).join(TRUTH_FOLDER);
    if !truth.is_dir() {
        return Err(IoError::unsuitable(
            &truth,
            "not found; give the set that the maps were made from, with its truth",
        ));
    }
    let at = |file: &str| -> PathBuf { manifest.path(row, file) };
    let normals = read_normals(&at(files::NORMALS))?;
    let (albedo, depth) = (read_plane(&at(files::ALBEDO))?, read_plane(&at(files::DEPTH))?);
    let true_normals = read_normals(&truth.join(files::NORMALS))?;
    let true_albedo = read_plane(&truth.join(files::ALBEDO))?;
    let true_depth = read_plane(&truth.join(files::DEPTH))?;
    for size in [normals.size, albedo.size, depth.size] {
        if size != true_normals.size {
            let reason = format!("is {size}, its truth {}; preprocess it again", true_normals.size);
            return Err(IoError::unsuitable(&at(""), reason));
        }
    }
    Ok(map_accuracy(
        &JudgedMaps { normals: &normals, albedo: &albedo, depth: &depth },
        &JudgedMaps { normals: &true_normals, albedo: &true_albedo, depth: &true_depth },
        &regions(&truth)?,
    ))
}

/// The regions of [`REGIONS`] in a session's truth.
fn regions(truth: &Path) -> Result<Vec<Region>, IoError> {
    let parts = read_picture(&truth.join("parts.png"))?;
    let lens = read_mask(&truth.join("lens.png"))?;
    let mut shadows = Vec::new();
    while let path = truth.join(format!("shadow{}.png", shadows.len()))
        && path.exists()
    {
        shadows.push(read_picture(&path)?);
    }
    let is = |p: usize, part: Part| parts.data[3 * p] == part as u8;
    let behind = |p: usize| lens.data[p];
    let shadow = |p: usize, value: u8| shadows.iter().any(|s| s.data[3 * p] == value);
    let skin = |p: usize| is(p, Part::Skin) && !behind(p);
    let organs = |p: usize| (is(p, Part::Eye) || is(p, Part::Mouth)) && !behind(p);
    let holds: [&dyn Fn(usize) -> bool; REGIONS.len()] = [
        &|p| skin(p) || organs(p),
        &|p| skin(p) && !shadow(p, 255) && !shadow(p, 128),
        &|p| skin(p) && shadow(p, 255),
        &|p| skin(p) && shadow(p, 128),
        &organs,
        &|p| is(p, Part::Hair),
        &|p| behind(p) || is(p, Part::Frame),
    ];
    let mask = |holds: &dyn Fn(usize) -> bool| -> Mask {
        Plane::new(lens.size, (0..lens.size.area()).map(holds).collect())
    };
    Ok(REGIONS
        .iter()
        .zip(holds)
        .map(|(name, holds)| Region { name, pixels: mask(holds) })
        .collect())
}
