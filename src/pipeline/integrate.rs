//! `integrate`: a normal map from anywhere → depth and meshes.

use super::{StageError, check_output};
use crate::geometry::Camera;
use crate::integrate::{BilateralOptions, distance_along_axis};
use crate::io::{
    MapCompression, Mesh, YAxis, orthographic_positions, perspective_positions, read_albedo,
    read_camera, read_mask, read_normal_image, write_mesh, write_plane,
};
use crate::maps::{Albedo, DepthMap, NormalMap, Plane, Size};
use crate::reconstruct::Integrator;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct IntegrateOptions {
    pub normals: PathBuf,
    /// White where the surface is; without one, wherever there is a normal.
    pub mask: Option<PathBuf>,
    /// Matrix K of a perspective camera.
    pub camera: Option<PathBuf>,
    pub integrator: Integrator,
    pub bilateral: BilateralOptions,
    pub y_axis: YAxis,
    /// Albedo EXR for a mesh's vertices, grey or colour.
    pub albedo: Option<PathBuf>,
    /// `.exr`, `.ply`, `.obj`, `.glb`.
    pub outputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
pub struct IntegrateSummary {
    /// Pixels with a depth.
    pub pixels: usize,
    /// What the numbers of the depth file are.
    pub unit: &'static str,
}

/// Integrates a normal map and writes depth and meshes.
///
/// Depth is toward the camera in pixels, mean zero; with a camera it is the distance along the
/// optical axis relative to its mean.
///
/// # Errors
/// Unreadable input, sizes that differ, an integrator that cannot use the camera, or an output
/// of an unknown kind; nothing is written then.
pub fn integrate(options: &IntegrateOptions) -> Result<IntegrateSummary, StageError> {
    let inputs = || {
        let optional = [&options.mask, &options.camera, &options.albedo].into_iter().flatten();
        optional.chain([&options.normals]).map(PathBuf::as_path)
    };
    for path in &options.outputs {
        OutputKind::of(path)?;
        check_output(path, inputs())?;
    }
    let normals = read_normal_image(&options.normals, options.y_axis)?;
    let size = normals.size;
    let mask = match &options.mask {
        Some(path) => {
            let mask = read_mask(path)?;
            check_size(path, mask.size, size)?;
            mask
        }
        None => Plane::new(size, normals.z().iter().map(|z| !z.is_nan()).collect()),
    };
    if mask.count() == 0 {
        let path = options.mask.as_ref().unwrap_or(&options.normals);
        return Err(StageError::unusable(path, "the mask is empty; white is where the surface is"));
    }
    let camera = options.camera.as_ref().map(|path| read_camera(path)).transpose()?;
    if camera.is_some() && !options.integrator.knows_perspective() {
        return Err(StageError::Usage(format!(
            "{} has no perspective; leave --camera out or take poisson or bilateral",
            options.integrator
        )));
    }
    let albedo = options.albedo.as_ref().map(|path| albedo_of_size(path, size)).transpose()?;
    let depth = options.integrator.integrate(&normals, &mask, camera.as_ref(), &options.bilateral);
    let surface = Surface {
        normals: &normals.clone().masked(&mask),
        depth: &depth,
        camera: camera.as_ref(),
        albedo: albedo.as_ref(),
    };
    for path in &options.outputs {
        surface.write(path)?;
    }
    Ok(IntegrateSummary {
        pixels: mask.count(),
        unit: match camera {
            None => "depth toward the camera in pixels, mean zero",
            Some(_) => "distance along the optical axis, mean 1",
        },
    })
}

/// What an output file is, by its extension.
#[derive(Clone, Copy, PartialEq)]
enum OutputKind {
    Depth,
    Mesh,
}

impl OutputKind {
    fn of(path: &Path) -> Result<Self, StageError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "exr" => Ok(Self::Depth),
            "ply" | "obj" | "glb" => Ok(Self::Mesh),
            _ => Err(StageError::Usage(format!(
                "{}: let the output end in .exr (depth) or .ply, .obj, .glb (mesh)",
                path.display()
            ))),
        }
    }
}

/// Refuses another name than a mesh's.
pub(super) fn check_mesh_name(path: &Path) -> Result<(), StageError> {
    match OutputKind::of(path) {
        Ok(OutputKind::Mesh) => Ok(()),
        _ => Err(StageError::Usage(format!(
            "{}: let the output end in .ply, .obj or .glb",
            path.display()
        ))),
    }
}

/// A solved surface on its way to a file.
pub(super) struct Surface<'a> {
    pub(super) normals: &'a NormalMap,
    pub(super) depth: &'a DepthMap,
    pub(super) camera: Option<&'a Camera>,
    pub(super) albedo: Option<&'a Albedo>,
}

impl Surface<'_> {
    fn write(&self, path: &Path) -> Result<(), StageError> {
        match OutputKind::of(path)? {
            OutputKind::Mesh => self.write_mesh(path),
            OutputKind::Depth => {
                let compression = MapCompression::None;
                match self.camera {
                    None => write_plane(path, self.depth, compression)?,
                    Some(camera) => {
                        write_plane(path, &distance_along_axis(self.depth, camera), compression)?;
                    }
                }
                Ok(())
            }
        }
    }

    pub(super) fn write_mesh(&self, path: &Path) -> Result<(), StageError> {
        let positions = match self.camera {
            None => orthographic_positions(self.depth),
            Some(camera) => perspective_positions(&distance_along_axis(self.depth, camera), camera),
        };
        let mesh = Mesh::from_grid(&positions, Some(self.normals), self.albedo, None);
        Ok(write_mesh(path, &mesh)?)
    }
}

fn albedo_of_size(path: &Path, size: Size) -> Result<Albedo, StageError> {
    let albedo = read_albedo(path)?;
    check_size(path, albedo.size(), size)?;
    Ok(albedo)
}

fn check_size(path: &Path, size: Size, of_normals: Size) -> Result<(), StageError> {
    if size == of_normals {
        return Ok(());
    }
    Err(StageError::unusable(
        path,
        format!("is {size}, the normals are {of_normals}; give one of their size"),
    ))
}
