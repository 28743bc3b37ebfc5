//! A folder of maps as one HTML page: what was found, what to do about it, and the maps of the
//! captures that need a look first.
//!
//! The page is one file that needs nothing else: pictures are inside it, there is no script, no
//! font and no link to fetch. It shows the people of the set, so it belongs where their pictures
//! belong.

mod figures;
mod markup;
mod page;

pub use figures::CaptureMaps;

use crate::dataset::{Manifest, ManifestRow, files};
use crate::io::{IoError, read_grey, read_mask, read_normals, read_plane, read_text};
use crate::maps::{ImageStack, Pixels, Size};
use crate::quality::CaptureQuality;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Mutex;

/// What goes into the page.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectOptions {
    pub title: String,
    /// How many captures, worst first, are shown with their maps. The table lists all.
    pub details: usize,
    /// Longest side of a picture in pixels.
    pub picture_px: usize,
}

impl Default for InspectOptions {
    fn default() -> Self {
        Self { title: "lumiface captures".into(), details: 24, picture_px: 192 }
    }
}

/// One capture as the page knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedCapture {
    /// "id/session"
    pub name: String,
    pub size: Size,
    pub lights: usize,
    pub condition_number: f64,
    /// What the layout and the reader of the images noticed.
    pub warnings: Vec<String>,
    /// `None` where the capture has no quality file.
    pub quality: Option<CaptureQuality>,
}

/// The page of a folder that `lumiface preprocess` wrote: reads its manifest, each capture's
/// `quality.json` where there is one, and the maps of the captures that are shown.
///
/// A map or image that cannot be read is told in the page, at its capture.
///
/// # Errors
/// A manifest that is missing or damaged.
pub fn inspect_folder(root: &Path, options: &InspectOptions) -> Result<InspectedFolder, IoError> {
    let manifest = Manifest::read(root)?;
    let unreadable = Mutex::new(Vec::new());
    let note = |reason: &str| {
        unreadable.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(reason.to_string());
    };
    let captures: Vec<InspectedCapture> =
        manifest.rows.par_iter().map(|row| inspected(&manifest, row, &note)).collect();
    let html = inspect_html(options, &captures, |index| {
        read_maps(&manifest, &manifest.rows[index]).inspect_err(|reason| note(reason))
    });
    let mut unreadable = unreadable.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    unreadable.sort();
    Ok(InspectedFolder { html, unreadable })
}

/// A folder of maps as a page.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedFolder {
    pub html: String,
    /// Files that should be there and cannot be read, one line each; the page says so, too.
    pub unreadable: Vec<String>,
}

/// The page of any captures. `maps` gives those of a capture by its index, or says in words why
/// there are none; it is called for the captures that are shown with their maps, from any thread.
pub fn inspect_html(
    options: &InspectOptions,
    captures: &[InspectedCapture],
    maps: impl Fn(usize) -> Result<CaptureMaps, String> + Sync,
) -> String {
    let order = page::worst_first(captures);
    let shown: Vec<page::Shown> = order
        .par_iter()
        .take(options.details)
        .map(|&index| page::Shown::new(index, maps(index), options.picture_px))
        .collect();
    page::page(options, captures, &order, &shown)
}

fn inspected(
    manifest: &Manifest,
    row: &ManifestRow,
    note: &(dyn Fn(&str) + Sync),
) -> InspectedCapture {
    let mut warnings = row.warnings.clone();
    let path = manifest.path(row, files::QUALITY);
    let quality = path.exists().then(|| read_text(&path)).and_then(|text| {
        let parsed = text.map_err(|e| e.to_string()).and_then(|text| {
            serde_json::from_str(&text)
                .map_err(|e| format!("{}: is no quality file ({e})", path.display()))
        });
        parsed
            .map_err(|reason| {
                let reason = format!("{reason}; preprocess it again");
                note(&reason);
                warnings.push(reason);
            })
            .ok()
    });
    InspectedCapture {
        name: row.name(),
        size: Size::new(row.height, row.width),
        lights: row.lights,
        condition_number: row.condition_number,
        warnings,
        quality,
    }
}

fn read_maps(manifest: &Manifest, row: &ManifestRow) -> Result<CaptureMaps, String> {
    let path = |file: &str| manifest.path(row, file);
    let read = || -> Result<CaptureMaps, IoError> {
        let confidence = path(files::CONFIDENCE);
        Ok(CaptureMaps {
            normals: read_normals(&path(files::NORMALS))?,
            albedo: read_plane(&path(files::ALBEDO))?,
            depth: read_plane(&path(files::DEPTH))?,
            residual: read_plane(&path(files::RESIDUAL))?,
            mask: read_mask(&path(files::MASK))?,
            confidence: confidence.exists().then(|| read_plane(&confidence)).transpose()?,
            images: None,
        })
    };
    let mut maps = read().map_err(|e| e.to_string())?;
    let size = maps.mask.size;
    let planes = [&maps.albedo, &maps.depth, &maps.residual];
    let sizes = planes.into_iter().chain(&maps.confidence).map(|plane| plane.size);
    if sizes.chain([maps.normals.size]).any(|s| s != size) {
        return Err(format!("{}: maps of different sizes", row.folder.display()));
    }
    maps.images = read_images(row, size);
    Ok(maps)
}

/// The lit images as their files hold them; `None` where they have moved or are of another size
/// than the maps.
fn read_images(row: &ManifestRow, size: Size) -> Option<ImageStack> {
    let mut values = Vec::with_capacity(row.images.len() * size.area());
    for path in &row.images {
        let image = read_grey(path).ok().filter(|image| image.size == size)?;
        let unit = 1.0 / image.pixels.full_scale();
        values.extend((0..image.pixels.len()).map(|p| image.pixels.get(p) * unit));
    }
    (!row.images.is_empty()).then(|| ImageStack::new(size, row.images.len(), Pixels::F32(values)))
}
