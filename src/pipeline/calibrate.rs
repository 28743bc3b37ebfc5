//! `calibrate`: pictures of spheres, cards or faces → lights.

use super::{StageError, check_output};
use crate::calibrate::{
    Calibration, ChromeSphere, Circle, FacePrior, Outline, chrome_sphere,
    intensities_from_flat_field, intensities_from_subject, matte_sphere, near_lights,
    read_directions, uncalibrated,
};
use crate::capture::read_images;
use crate::geometry::{Camera, Vec3};
use crate::io::{Transfer, read_camera, read_mask};
use crate::maps::{ImageStack, Mask};
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
    /// The mask, unless there are several.
    fn only_mask(&self) -> Option<&PathBuf> {
        fn of_outline(outline: &SphereOutline) -> Option<&PathBuf> {
            match outline {
                SphereOutline::Mask(path) => Some(path),
                SphereOutline::Circle(_) => None,
            }
        }
        match self {
            Self::ChromeSpheres { spheres, .. } => match spheres.as_slice() {
                [sphere] => of_outline(sphere),
                _ => None,
            },
            Self::MatteSphere { sphere } => of_outline(sphere),
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
    let images = read_images(&options.images, options.transfer)?;
    let camera = options.camera.as_ref().map(|path| read_camera(path)).transpose()?;
    let calibration = solve(&images, &options.target, camera.as_ref())
        .map_err(|error| with_file(error, options))?;
    if plain_text {
        calibration.write_directions(&options.out)?;
    } else {
        calibration.write(&options.out)?;
    }
    Ok(calibration)
}

/// Names the file that is at fault, where it is one.
fn with_file(error: StageError, options: &CalibrateOptions) -> StageError {
    let StageError::Calibrate(error) = error else { return error };
    let file = match error.image() {
        Some(image) => options.images.get(image),
        None => error.is_of_mask().then(|| options.target.only_mask()).flatten(),
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
                .map(|s| Ok(ChromeSphere { outline: outline(s)?, radius_mm: *radius_mm }))
                .collect::<Result<Vec<_>, StageError>>()?;
            match spheres.as_slice() {
                [sphere] => chrome_sphere(images, sphere, camera)?,
                several => near_lights(images, several, camera, *subject_distance_mm)?,
            }
        }
        CalibrationTarget::MatteSphere { sphere } => {
            matte_sphere(images, &outline(sphere)?, camera)?
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

fn outline(sphere: &SphereOutline) -> Result<Outline, StageError> {
    Ok(match sphere {
        SphereOutline::Mask(path) => Outline::from_mask(&read_mask(path)?)?,
        SphereOutline::Circle(circle) => Outline::from_circle(*circle),
    })
}

fn subject_mask(images: &ImageStack, path: Option<&Path>) -> Result<Mask, StageError> {
    Ok(match path {
        Some(path) => read_mask(path)?,
        None => foreground_mask(images),
    })
}
