//! `mesh`, `relight`, `inspect`: what maps look like, for other programs and for people.

use super::integrate::Surface;
use super::{StageError, check_output};
use crate::dataset::files;
use crate::io::{
    MapCompression, read_mask, read_normals, read_plane, read_rgb, write_atomically, write_plane,
    write_rgb,
};
use crate::maps::{AlbedoMap, Size};
use crate::report::{
    InspectOptions, RelightLight, inspect_folder, shading, srgb_colour, srgb_grey, times,
};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct MeshOptions {
    /// Folder of one capture's maps.
    pub maps: PathBuf,
    /// `.ply`, `.obj` or `.glb`.
    pub out: PathBuf,
}

/// Writes a capture's surface as a mesh with its albedo; unit: one image pixel.
///
/// # Errors
/// A folder without maps, or another extension.
pub fn mesh(options: &MeshOptions) -> Result<(), StageError> {
    check_output(&options.out, [])?;
    let normals = read_normals(&map_file(&options.maps, files::NORMALS)?)?;
    let depth = read_plane(&map_file(&options.maps, files::DEPTH)?)?;
    let albedo = read_albedo(&options.maps)?;
    let sizes = albedo.iter().map(|plane| plane.size).chain([depth.size]);
    check_sizes(&options.maps, normals.size, sizes)?;
    let surface = Surface { normals: &normals, depth: &depth, camera: None, albedo: Some(&albedo) };
    surface.write_mesh(&options.out)
}

#[derive(Clone, Debug)]
pub struct RelightOptions {
    /// Folder of one capture's maps.
    pub maps: PathBuf,
    pub light: RelightLight,
    /// Let the surface throw shadows on itself, by its depth.
    pub cast_shadows: bool,
    /// `.png` for screens, brightened so that the brightest albedo is white; `.exr` linear.
    pub out: PathBuf,
}

/// Writes a capture under a light that never shone on it, in colour where there is one.
///
/// # Errors
/// A folder without maps, or another extension.
pub fn relight(options: &RelightOptions) -> Result<(), StageError> {
    let extension = options.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !["png", "exr"].contains(&extension) {
        return Err(StageError::Usage(format!(
            "{}: let the output end in .png (for screens) or .exr (linear)",
            options.out.display()
        )));
    }
    check_output(&options.out, [])?;
    let normals = read_normals(&map_file(&options.maps, files::NORMALS)?)?;
    let mask = read_mask(&map_file(&options.maps, files::MASK)?)?;
    let depth = match options.cast_shadows {
        true => Some(read_plane(&map_file(&options.maps, files::DEPTH)?)?),
        false => None,
    };
    let albedo = read_albedo(&options.maps)?;
    let sizes = albedo.iter().map(|plane| plane.size);
    let sizes = sizes.chain(depth.iter().map(|d| d.size)).chain([mask.size]);
    check_sizes(&options.maps, normals.size, sizes)?;
    let shading = shading(&normals, &mask, &options.light, depth.as_ref());
    let lit: Vec<_> = albedo.iter().map(|plane| times(plane, &shading)).collect();
    match (lit.as_slice(), extension) {
        ([grey], "exr") => write_plane(&options.out, grey, MapCompression::None)?,
        ([r, g, b], "exr") => {
            let planes = [r.clone(), g.clone(), b.clone()];
            write_rgb(&options.out, &planes, MapCompression::None)?;
        }
        ([grey], _) => srgb_grey(grey, exposure(&albedo), BACKGROUND).write(&options.out)?,
        ([r, g, b], _) => {
            srgb_colour([r, g, b], exposure(&albedo), BACKGROUND).write(&options.out)?;
        }
        _ => unreachable!("albedo is grey or R, G, B"),
    }
    Ok(())
}

const BACKGROUND: [u8; 3] = [24, 24, 28];

/// What brings all but the brightest albedo (glints) below white.
fn exposure(albedo: &[AlbedoMap]) -> f32 {
    let mut values: Vec<f32> =
        albedo.iter().flat_map(|plane| &plane.data).copied().filter(|v| v.is_finite()).collect();
    if values.is_empty() {
        return 1.0;
    }
    let at = (values.len() - 1) * 99 / 100;
    1.0 / values.select_nth_unstable_by(at, f32::total_cmp).1.max(1e-6)
}

/// Writes a set's maps and what is wrong with its captures as one HTML file; `details` of the
/// worst captures with all their pictures.
///
/// # Errors
/// A folder without a manifest.
pub fn inspect(maps: &Path, details: usize, out: &Path) -> Result<(), StageError> {
    if !out.extension().is_some_and(|e| e.eq_ignore_ascii_case("html")) {
        return Err(StageError::Usage(format!("{}: let the output end in .html", out.display())));
    }
    let title = maps.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let html = inspect_folder(maps, &InspectOptions { title, details, ..Default::default() })?;
    Ok(write_atomically(out, |file| file.write_all(html.as_bytes()))?)
}

fn check_sizes(
    maps: &Path,
    size: Size,
    mut others: impl Iterator<Item = Size>,
) -> Result<(), StageError> {
    if others.all(|other| other == size) {
        return Ok(());
    }
    Err(StageError::unusable(
        maps,
        "holds maps of differing sizes; run `lumiface preprocess` again",
    ))
}

/// Colour where there is one, else grey.
fn read_albedo(maps: &Path) -> Result<Vec<AlbedoMap>, StageError> {
    let colour = maps.join(files::ALBEDO_RGB);
    if colour.exists() {
        return Ok(read_rgb(&colour)?.into());
    }
    Ok(vec![read_plane(&map_file(maps, files::ALBEDO)?)?])
}

fn map_file(maps: &Path, file: &str) -> Result<PathBuf, StageError> {
    let path = maps.join(file);
    if path.exists() {
        return Ok(path);
    }
    Err(StageError::unusable(
        maps,
        format!("holds no {file}; give the folder of one capture that `preprocess` made"),
    ))
}
