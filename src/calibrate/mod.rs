//! Where the lights are and how bright: calibration of a rig from pictures.
//!
//! | what is in the picture | entry | what it gives |
//! |---|---|---|
//! | one chrome sphere | [`chrome_sphere`] | directions |
//! | two or more chrome spheres, camera known | [`near_lights`] | positions and directions |
//! | a matte sphere of one albedo | [`matte_sphere`] | directions and intensities |
//! | a flat white card, directions known | [`intensities_from_flat_field`] | intensities |
//! | the subject, directions known | [`intensities_from_subject`] | intensities |
//! | the face, nothing known | [`uncalibrated`] | directions, intensities, normals, albedo |
//!
//! Every entry takes linear images, one a light, and returns a [`Calibration`] (alone, or as part
//! of a larger result), which is what `lights.toml` holds. Directions are unit vectors of the
//! camera frame from the surface to the light. Whether lights that are already known stand in
//! the order of the images is asked by [`crate::quality`].

mod chrome_sphere;
mod circle;
mod highlight;
mod intensities;
mod matte_sphere;
mod near_lights;
mod result;
mod robust;
mod samples;
mod uncalibrated;

pub use chrome_sphere::{ChromeSphere, chrome_sphere};
pub use circle::{Circle, Outline};
pub use highlight::{Highlight, find_highlight};
pub use intensities::{intensities_from_flat_field, intensities_from_subject};
pub use matte_sphere::matte_sphere;
pub use near_lights::near_lights;
pub use result::{CalibratedLight, Calibration, Method, Warning, read_directions};
pub use uncalibrated::{FacePrior, GbrUncertainty, Uncalibrated, uncalibrated};

use crate::io::IoError;
use crate::maps::Size;

/// Why a calibration cannot be had, and what to do about it. Images and lights are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("the mask is {mask}, the images are {images}; make the mask from one of the images")]
    MaskSize { mask: Size, images: Size },
    #[error("the mask is empty; paint the {0} white")]
    MaskEmpty(&'static str),
    #[error(
        "the mask's outline is no circle ({0}); paint the whole sphere, and nothing else, white"
    )]
    NotACircle(String),
    #[error(
        "the sphere (centre column {column:.0}, row {row:.0}, radius {radius:.0} px) reaches \
         outside the {size} frame; give its circle in pixels of these images"
    )]
    OutsideFrame { column: f64, row: f64, radius: f64, size: Size },
    #[error(
        "image {image}: no highlight on the sphere (brightest {brightest:.3} of full scale over a \
         median of {median:.3}); check that the lamp was on and the exposure"
    )]
    NoHighlight { image: usize, brightest: f64, median: f64 },
    #[error(
        "image {image}: the highlight touches the sphere's rim, where its position says nothing; \
         move the lamp toward the camera's side, or check that the circle fits the sphere"
    )]
    HighlightAtRim { image: usize },
    #[error("{given} {what}, at least {needed} are needed; {remedy}")]
    TooFew { what: &'static str, given: usize, needed: usize, remedy: &'static str },
    #[error("{images} images but {lights} lights; give one light an image, in their order")]
    CountsDiffer { images: usize, lights: usize },
    #[error("image {image}: {reason}")]
    Unsuitable { image: usize, reason: String },
    #[error("the images do not fix the lights: {0}")]
    Undetermined(String),
    #[error("{0}")]
    Missing(&'static str),
}

impl CalibrateError {
    /// Index of the image that is at fault, from 0, where it is one.
    pub fn image(&self) -> Option<usize> {
        match self {
            Self::NoHighlight { image, .. }
            | Self::HighlightAtRim { image }
            | Self::Unsuitable { image, .. } => Some(image - 1),
            _ => None,
        }
    }

    /// Whether the mask is at fault.
    pub fn is_of_mask(&self) -> bool {
        matches!(self, Self::MaskSize { .. } | Self::MaskEmpty(_) | Self::NotACircle(_))
    }
}
