//! `calibrate`: pictures of spheres, cards or faces → lights.

use super::{StageError, check_output};
use crate::calibrate::{
    CalibrateError, Calibration, ChromeSphere, Circle, FacePrior, Outline, chrome_sphere,
    intensities_from_flat_field, intensities_from_subject, matte_sphere, near_lights,
    read_directions, uncalibrated,
};
use crate::capture::{natural_order, read_images};
use crate::geometry::{Camera, Vec3};
use crate::io::{Transfer, read_camera, read_mask};
use crate::maps::{ImageStack, Mask, Size};
use crate::stereo::foreground_mask;
use std::path::{Path, PathBuf};

/// What the images show.
#[derive(Clone, Debug)]
pub enum CalibrationTarget {
    /// One mirror sphere gives directions; two or more with a camera give positions.
    ChromeSpheres {
        spheres: Vec<SphereOutline>,
        radius_mm: Option<f64>,
        subject_distance_mm: Option<f32>,
    },
    MatteSphere {
        sphere: SphereOutline,
    },
    /// A flat card of one albedo with its normal.
    FlatField {
        directions: PathBuf,
        mask: Option<PathBuf>,
        normal: Vec3,
    },
    /// The subject itself, directions known.
    Subject {
        directions: PathBuf,
        mask: Option<PathBuf>,
    },
    /// A frontal face, nothing known.
    Face {
        mask: Option<PathBuf>,
    },
}

impl CalibrationTarget {
    fn masks(&self) -> Vec<&PathBuf> {
        match self {
            Self::ChromeSpheres { spheres, .. } => {
                spheres.iter().filter_map(SphereOutline::mask).collect()
            }
            _ => self.only_mask().into_iter().collect(),
        }
    }

    /// The mask, unless there are several.
    fn only_mask(&self) -> Option<&PathBuf> {
        match self {
            Self::ChromeSpheres { spheres, .. } => match spheres.as_slice() {
                [sphere] => sphere.mask(),
                _ => None,
            },
            Self::MatteSphere { sphere } => sphere.mask(),
            Self::FlatField { mask, .. } | Self::Subject { mask, .. } | Self::Face { mask } => {
                mask.as_ref()
            }
        }
    }
}

/// Where a sphere stands in the images.
#[derive(Clone, Debug)]
pub enum SphereOutline {
    Mask(PathBuf),
    Circle(Circle),
}

impl SphereOutline {
    fn mask(&self) -> Option<&PathBuf> {
        match self {
            Self::Mask(path) => Some(path),
            Self::Circle(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct CalibrateOptions {
    /// One per light, in their order.
    pub images: Vec<PathBuf>,
    pub transfer: Transfer,
    pub target: CalibrationTarget,
    /// Matrix K.
    pub camera: Option<PathBuf>,
    /// `.toml` for everything, `.txt` for directions alone.
    pub out: PathBuf,
}

/// Calibrates and writes the lights.
///
/// # Errors
/// Unreadable input or a calibration that cannot be had; nothing is written then.
pub fn calibrate(options: &CalibrateOptions) -> Result<Calibration, StageError> {
    let plain_text = match options.out.extension().and_then(|e| e.to_str()) {
        Some("toml") => false,
        Some("txt") => true,
        _ => {
            return Err(StageError::Usage(format!(
                "{}: let the output end in .toml (everything) or .txt (directions)",
                options.out.display()
            )));
        }
    };
    let directions = match &options.target {
        CalibrationTarget::FlatField { directions, .. }
        | CalibrationTarget::Subject { directions, .. } => Some(directions),
        _ => None,
    };
    let inputs = options.images.iter().chain(&options.camera).chain(directions);
    check_output(&options.out, inputs.map(PathBuf::as_path))?;
    check_replaces_lights(&options.out, plain_text)?;
    let paths = light_images(options);
    let images = read_images(&paths, options.transfer)?;
    let camera = options.camera.as_ref().map(|path| read_camera(path)).transpose()?;
    let calibration = solve(&images, &options.target, camera.as_ref())
        .map_err(|error| with_file(error, &paths, &options.target))?
        .with_images(&paths);
    if plain_text {
        calibration.write_directions(&options.out)?;
    } else {
        calibration.write(&options.out)?;
    }
    Ok(calibration)
}

/// The images without masks that a `*` caught, in natural order where they come as the shell sorts
/// them: `im10` before `im2` is nobody's order of lights.
fn light_images(options: &CalibrateOptions) -> Vec<PathBuf> {
    let masks: Vec<PathBuf> =
        options.target.masks().into_iter().filter_map(|path| path.canonicalize().ok()).collect();
    let is_mask = |path: &&PathBuf| path.canonicalize().is_ok_and(|path| masks.contains(&path));
    let mut paths: Vec<PathBuf> =
        options.images.iter().filter(|path| !is_mask(path)).cloned().collect();
    if paths.is_sorted() {
        paths.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
    }
    paths
}

/// Refuses to replace anything but an earlier calibration.
fn check_replaces_lights(out: &Path, plain_text: bool) -> Result<(), StageError> {
    let is_lights =
        if plain_text { read_directions(out).is_ok() } else { Calibration::read(out).is_ok() };
    if out.exists() && !is_lights {
        return Err(StageError::Usage(format!(
            "{}: is no calibration, so it is not replaced; choose another --out",
            out.display()
        )));
    }
    Ok(())
}

/// Names the file that is at fault, where it is one.
fn with_file(error: StageError, images: &[PathBuf], target: &CalibrationTarget) -> StageError {
    let StageError::Calibrate(error) = error else { return error };
    let file = match error.image() {
        Some(image) => images.get(image),
        None => error.is_of_mask().then(|| target.only_mask()).flatten(),
    };
    match file {
        Some(path) => StageError::unusable(path, error.to_string()),
        None => error.into(),
    }
}

fn solve(
    images: &ImageStack,
    target: &CalibrationTarget,
    camera: Option<&Camera>,
) -> Result<Calibration, StageError> {
    Ok(match target {
        CalibrationTarget::ChromeSpheres { spheres, radius_mm, subject_distance_mm } => {
            let spheres = spheres
                .iter()
                .map(|s| {
                    Ok(ChromeSphere { outline: outline(s, images.size)?, radius_mm: *radius_mm })
                })
                .collect::<Result<Vec<_>, StageError>>()?;
            match spheres.as_slice() {
                [sphere] => chrome_sphere(images, sphere, camera)?.seen_by(camera),
                several => near_lights(images, several, camera, *subject_distance_mm)?,
            }
        }
        CalibrationTarget::MatteSphere { sphere } => {
            matte_sphere(images, &outline(sphere, images.size)?, camera)?.seen_by(camera)
        }
        CalibrationTarget::FlatField { directions, mask, normal } => {
            let mask = match mask {
                Some(path) => read_mask(path)?,
                None => Mask::filled(images.size, true),
            };
            intensities_from_flat_field(images, &mask, &read_directions(directions)?, *normal)?
        }
        CalibrationTarget::Subject { directions, mask } => {
            let mask = subject_mask(images, mask.as_deref())?;
            intensities_from_subject(images, &mask, &read_directions(directions)?)?
        }
        CalibrationTarget::Face { mask } => {
            let mask = subject_mask(images, mask.as_deref())?;
            uncalibrated(images, &mask, &FacePrior::default())?.calibration
        }
    })
}

fn outline(sphere: &SphereOutline, images: Size) -> Result<Outline, StageError> {
    Ok(match sphere {
        SphereOutline::Mask(path) => {
            let mask = read_mask(path)?;
            if mask.size != images {
                let error = CalibrateError::MaskSize { mask: mask.size, images };
                return Err(StageError::unusable(path, error.to_string()));
            }
            Outline::from_mask(&mask)?
        }
        SphereOutline::Circle(circle) => Outline::from_circle(*circle),
    })
}

fn subject_mask(images: &ImageStack, path: Option<&Path>) -> Result<Mask, StageError> {
    Ok(match path {
        Some(path) => read_mask(path)?,
        None => foreground_mask(images),
    })
}
