//! `mesh`, `relight`, `inspect`: what maps look like, for other programs and for people.

use super::integrate::{Surface, check_mesh_name};
use super::{StageError, check_output};
use crate::dataset::files;
use crate::io::{
    MapCompression, read_albedo, read_mask, read_normals, read_plane, write_albedo,
    write_atomically,
};
use crate::maps::{Albedo, Size};
use crate::order_statistics::quantile_of_defined;
use crate::report::{InspectOptions, RelightLight, inspect_folder, shading, srgb_albedo, times};
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
    check_mesh_name(&options.out)?;
    check_output(&options.out, [])?;
    let normals = read_normals(&map_file(&options.maps, files::NORMALS)?)?;
    let depth = read_plane(&map_file(&options.maps, files::DEPTH)?)?;
    let albedo = best_albedo(&options.maps)?;
    check_sizes(&options.maps, normals.size, [albedo.size(), depth.size])?;
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
    let albedo = best_albedo(&options.maps)?;
    let sizes = depth.iter().map(|d| d.size).chain([albedo.size(), mask.size]);
    check_sizes(&options.maps, normals.size, sizes)?;
    let shading = shading(&normals, &mask, &options.light, depth.as_ref());
    let lit = albedo.map(|plane| times(plane, &shading));
    if extension == "exr" {
        write_albedo(&options.out, &lit, MapCompression::None)?;
    } else {
        srgb_albedo(&lit, exposure(&albedo), BACKGROUND).write(&options.out)?;
    }
    Ok(())
}

const BACKGROUND: [u8; 3] = [24, 24, 28];

/// What brings all but the brightest albedo (glints) below white.
fn exposure(albedo: &Albedo) -> f32 {
    let values = albedo.planes().iter().flat_map(|plane| &plane.data).copied();
    quantile_of_defined(values, 0.99).map_or(1.0, |white| 1.0 / white.max(1e-6))
}

/// Writes a set's maps and what is wrong with its captures as one HTML file; `details` of the
/// worst captures with all their pictures. Returns what could not be read, one line each.
///
/// # Errors
/// A folder without a manifest.
pub fn inspect(maps: &Path, details: usize, out: &Path) -> Result<Vec<String>, StageError> {
    if !out.extension().is_some_and(|e| e.eq_ignore_ascii_case("html")) {
        return Err(StageError::Usage(format!("{}: let the output end in .html", out.display())));
    }
    let title = maps.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let page = inspect_folder(maps, &InspectOptions { title, details, ..Default::default() })?;
    write_atomically(out, |file| file.write_all(page.html.as_bytes()))?;
    Ok(page.unreadable)
}

fn check_sizes(
    maps: &Path,
    size: Size,
    others: impl IntoIterator<Item = Size>,
) -> Result<(), StageError> {
    if others.into_iter().all(|other| other == size) {
        return Ok(());
    }
    Err(StageError::unusable(
        maps,
        "holds maps of differing sizes; run `lumiface preprocess` again",
    ))
}

/// Colour where there is one, else grey.
fn best_albedo(maps: &Path) -> Result<Albedo, StageError> {
    let colour = maps.join(files::ALBEDO_RGB);
    let path = if colour.exists() { colour } else { map_file(maps, files::ALBEDO)? };
    Ok(read_albedo(&path)?)
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
