//! Captures: k lit images of one face and their lights, found in the folders of a data set.
//!
//! A **layout** knows how a data set is laid out on disk. It turns a root folder into
//! [`CaptureSource`]s, which name files and lights but hold no pixels; [`CaptureSource::load`]
//! reads and judges the images. Whatever is wrong with the files becomes a [`CaptureError`] with
//! its remedy, never a panic, and one bad capture does not stop the others.

mod labels;
mod photoface;
mod yaleb;

pub use labels::{LABEL_COLUMNS, Labels, read_label_table};
pub use yaleb::YaleBRecipe;

use crate::geometry::Camera;
use crate::io::{GreyImage, IoError, read_grey};
use crate::maps::{ImageStack, Lights, Mask, NearLights, Pixels, Size};
use std::path::{Path, PathBuf};

/// Largest accepted condition number of a light matrix. Above it, image noise in the worst
/// direction is amplified more than fiftyfold and normals mean nothing.
pub const MAX_CONDITION_NUMBER: f64 = 50.0;

/// An image whose 99.9th percentile is at or below this share of full scale holds no light.
const BLACK_LEVEL: f32 = 0.008;
/// An image with more than this share of pixels at full scale holds no shading.
const SATURATED_SHARE: f64 = 0.5;

/// How a data set is laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    YaleB,
    Photoface,
}

impl Layout {
    pub const NAMES: [&str; 2] = ["yaleb", "photoface"];
}

impl std::str::FromStr for Layout {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "yaleb" => Ok(Self::YaleB),
            "photoface" => Ok(Self::Photoface),
            _ => Err(format!(
                "unknown layout `{name}`{}; known layouts: {}",
                crate::config::did_you_mean(name, &Self::NAMES),
                Self::NAMES.join(", ")
            )),
        }
    }
}

/// Something wrong with one capture's files, with its remedy.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: {reason}", path = .path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error(
        "{folder}: images differ in size ({first} is {first_size}, {other} is {other_size}); \
         re-export them at one size",
        folder = .folder.display()
    )]
    SizesDiffer {
        folder: PathBuf,
        first: String,
        first_size: Size,
        other: String,
        other_size: Size,
    },
    #[error(
        "{folder}: {usable} usable images, at least 3 are needed; {detail}restore or retake them",
        folder = .folder.display()
    )]
    TooFewImages { folder: PathBuf, usable: usize, detail: String },
    #[error(
        "{folder}: the lights lie in a plane or nearly (condition number {condition_number:.0}, \
         at most {MAX_CONDITION_NUMBER} is accepted); check the light file or add a light off \
         that plane",
        folder = .folder.display()
    )]
    DegenerateLights { folder: PathBuf, condition_number: f64 },
}

impl CaptureError {
    pub(crate) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_path_buf(), reason: reason.into() }
    }
}

/// One capture as its layout describes it: files and lights, no pixels yet.
#[derive(Clone, Debug)]
pub struct CaptureSource {
    /// Who it shows.
    pub id: String,
    /// Which visit; unique within an id.
    pub session: String,
    /// Folder to name in messages.
    pub folder: PathBuf,
    /// One file per light.
    pub images: Vec<PathBuf>,
    pub lights: Lights,
    pub labels: Labels,
    /// Shares images with other captures of the person: more light for training, but neither to
    /// be enrolled nor to be a probe.
    pub training_only: bool,
    /// What the layout noticed and could live with.
    pub warnings: Vec<String>,
    pub rig: Rig,
}

/// What a layout knows of the rig beyond the lights' directions.
#[derive(Clone, Debug, Default)]
pub struct Rig {
    /// A frame with the lamps off (ambient light) or the lens capped (dark frame): taken off every
    /// image.
    pub ambient: Option<PathBuf>,
    /// White where the subject is.
    pub mask: Option<PathBuf>,
    pub camera: Option<Camera>,
    /// Near lamps; the capture's `lights` then are what they are at the subject's centre.
    pub near: Option<NearLights>,
    /// Per light, the intensity of each colour channel (R, G, B), which the channels are divided
    /// by.
    pub colour_intensities: Option<Vec<[f32; 3]>>,
    pub transfer: Transfer,
}

/// How file values stand to light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transfer {
    /// JPEG is sRGB, every other format linear: cameras write JPEG for screens, and what comes as
    /// PNG, TIFF, BMP or PGM from a rig is sensor data.
    #[default]
    ByFormat,
    Linear,
    /// IEC 61966-2-1.
    Srgb,
}

impl CaptureSource {
    /// "id/session", the capture's name in messages and on disk.
    pub fn name(&self) -> String {
        format!("{}/{}", self.id, self.session)
    }
}

/// What a layout found under a root.
#[derive(Debug, Default)]
pub struct Inventory {
    /// In order of id, then session.
    pub captures: Vec<CaptureSource>,
    /// Captures, files or label rows that cannot be used, one line each.
    pub problems: Vec<String>,
}

/// Where a layout looks and what it is told.
#[derive(Clone, Debug, Default)]
pub struct LayoutOptions {
    /// How sessions are made (yaleb).
    pub recipe: Option<YaleBRecipe>,
    /// Label table in place of `<root>/metadata.csv` (photoface).
    pub labels: Option<PathBuf>,
}

/// Lists the captures below `root`.
///
/// # Errors
/// Only what makes the whole root useless: a missing root, a damaged label table, no capture.
pub fn find_captures(
    layout: Layout,
    root: &Path,
    options: &LayoutOptions,
) -> Result<Inventory, CaptureError> {
    if root.is_file() {
        return Err(IoError::NotAFolder(root.to_path_buf()).into());
    }
    if !root.is_dir() {
        return Err(IoError::NotFound(root.to_path_buf()).into());
    }
    let mut inventory = match layout {
        Layout::YaleB => yaleb::find(root, &options.recipe.clone().unwrap_or_default())?,
        Layout::Photoface => photoface::find(root, options.labels.as_deref())?,
    };
    if inventory.captures.is_empty() && inventory.problems.is_empty() {
        return Err(CaptureError::malformed(
            root,
            "holds no capture of this layout; check --layout and that the path is the data set's root",
        ));
    }
    inventory.captures.sort_by(|a, b| (&a.id, &a.session).cmp(&(&b.id, &b.session)));
    Ok(inventory)
}

/// A capture with its pixels, ready to solve.
#[derive(Clone, Debug)]
pub struct Capture {
    pub images: ImageStack,
    /// One per image of the stack.
    pub lights: Lights,
    /// Files of the stack, in its order.
    pub files: Vec<PathBuf>,
    /// Unusable images that were left out, one line each.
    pub dropped: Vec<String>,
    /// The same images by colour channel, prepared like them: first all R, then G, then B; `None`
    /// where the files are grey.
    pub colour: Option<[ImageStack; 3]>,
    /// The layout's mask, where it has one.
    pub mask: Option<Mask>,
    pub camera: Option<Camera>,
    pub near: Option<NearLights>,
}

impl CaptureSource {
    /// Reads the images, leaves out those that are missing, unreadable, black or saturated, and
    /// checks that what is left can be solved.
    ///
    /// # Errors
    /// Images of differing sizes, fewer than three usable ones, or degenerate lights.
    pub fn load(&self) -> Result<Capture, CaptureError> {
        let mut usable: Vec<(usize, GreyImage)> = Vec::new();
        let mut dropped = Vec::new();
        for (index, path) in self.images.iter().enumerate() {
            match read_grey(path) {
                Ok(image) => match unusable_reason(&image.pixels) {
                    None => usable.push((index, image)),
                    Some(reason) => dropped.push(format!("{}: {reason}", path.display())),
                },
                Err(error) => dropped.push(error.to_string()),
            }
        }
        self.check_sizes(&usable)?;
        if usable.len() < 3 {
            let mut detail = dropped.join("; ");
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            return Err(CaptureError::TooFewImages {
                folder: self.folder.clone(),
                usable: usable.len(),
                detail,
            });
        }
        let lights = Lights {
            directions: usable.iter().map(|(i, _)| self.lights.directions[*i]).collect(),
            intensities: usable.iter().map(|(i, _)| self.lights.intensities[*i]).collect(),
        };
        let condition_number = lights.condition_number();
        if condition_number > MAX_CONDITION_NUMBER {
            return Err(CaptureError::DegenerateLights {
                folder: self.folder.clone(),
                condition_number,
            });
        }
        let files = usable.iter().map(|(i, _)| self.images[*i].clone()).collect();
        Ok(Capture {
            images: stack(usable),
            lights,
            files,
            dropped,
            colour: None,
            mask: None,
            camera: None,
            near: None,
        })
    }

    fn check_sizes(&self, usable: &[(usize, GreyImage)]) -> Result<(), CaptureError> {
        let Some((first_index, first)) = usable.first() else { return Ok(()) };
        let name = |index: usize| {
            self.images[index].file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        match usable.iter().find(|(_, image)| image.size != first.size) {
            None => Ok(()),
            Some((index, other)) => Err(CaptureError::SizesDiffer {
                folder: self.folder.clone(),
                first: name(*first_index),
                first_size: first.size,
                other: name(*index),
                other_size: other.size,
            }),
        }
    }
}

/// Why an image says nothing about shading, or `None` where it does.
fn unusable_reason(pixels: &Pixels) -> Option<String> {
    let count = pixels.len();
    if count == 0 {
        return Some("has no pixels; replace the file".into());
    }
    let full_scale = pixels.full_scale();
    let threshold = BLACK_LEVEL * full_scale;
    let (lit, saturated) = match pixels {
        Pixels::U8(values) => count_levels(values, threshold, u8::MAX),
        Pixels::U16(values) => count_levels(values, threshold, u16::MAX),
        Pixels::F32(values) => count_levels(values, threshold, 1.0),
    };
    if (lit as f64) < 0.001 * count as f64 {
        return Some("is black: its light did not fire; retake it".into());
    }
    let share = saturated as f64 / count as f64;
    if share > SATURATED_SHARE {
        return Some(format!(
            "is saturated in {:.0} % of its pixels; retake it with less exposure",
            100.0 * share
        ));
    }
    None
}

/// How many values lie above `threshold`, and how many at `full`.
fn count_levels<T: Copy + Into<f32> + PartialEq>(
    values: &[T],
    threshold: f32,
    full: T,
) -> (usize, usize) {
    let lit = values.iter().filter(|&&v| v.into() > threshold).count();
    let saturated = values.iter().filter(|&&v| v == full).count();
    (lit, saturated)
}

/// Puts images of one size in one stack; 16-bit as soon as one of them is (255 → 65,535).
fn stack(images: Vec<(usize, GreyImage)>) -> ImageStack {
    let size = images[0].1.size;
    let count = images.len();
    let all_8_bit = images.iter().all(|(_, image)| matches!(image.pixels, Pixels::U8(_)));
    let pixels = if all_8_bit {
        let mut values = Vec::with_capacity(count * size.area());
        for (_, image) in images {
            if let Pixels::U8(part) = image.pixels {
                values.extend(part);
            }
        }
        Pixels::U8(values)
    } else {
        let mut values = Vec::with_capacity(count * size.area());
        for (_, image) in images {
            match image.pixels {
                Pixels::U8(part) => values.extend(part.into_iter().map(|v| u16::from(v) * 257)),
                Pixels::U16(part) => values.extend(part),
                Pixels::F32(_) => unreachable!("no reader gives float pixels"),
            }
        }
        Pixels::U16(values)
    };
    ImageStack::new(size, count, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;

    #[test]
    fn black_and_saturated_images_are_unusable() {
        let reason = |values: Vec<u8>| unusable_reason(&Pixels::U8(values));
        assert!(reason(vec![0; 1000]).unwrap().contains("black"));
        assert!(reason(vec![2; 1000]).unwrap().contains("black"));
        assert!(reason(vec![255; 1000]).unwrap().contains("saturated"));
        let mut highlights = vec![90; 1000];
        highlights[..400].fill(255);
        assert_eq!(reason(highlights), None);
    }

    fn write_grey(path: &Path, width: u32, height: u32, value: u8) {
        image::GrayImage::from_pixel(width, height, image::Luma([value])).save(path).unwrap();
    }

    fn source(folder: &Path, directions: Vec<Vec3>) -> CaptureSource {
        CaptureSource {
            id: "1001".into(),
            session: "a".into(),
            folder: folder.to_path_buf(),
            images: (0..directions.len()).map(|i| folder.join(format!("im{i}.png"))).collect(),
            lights: Lights::directional(directions),
            labels: Labels::default(),
            training_only: false,
            warnings: vec![],
            rig: Rig::default(),
        }
    }

    fn four_directions() -> Vec<Vec3> {
        [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)]
            .map(|(x, y)| Vec3::new(x, y, 2.0).normalize())
            .to_vec()
    }

    #[test]
    fn one_bad_image_of_four_is_dropped_with_its_light_and_two_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), four_directions());
        for i in 0..4 {
            write_grey(&source.images[i], 6, 4, 100 + i as u8);
        }
        std::fs::write(&source.images[1], "junk").unwrap();
        let capture = source.load().unwrap();
        assert_eq!(capture.images.count, 3);
        assert_eq!(capture.lights.directions[1], source.lights.directions[2]);
        assert!(capture.dropped[0].contains("im1.png"), "{:?}", capture.dropped);

        std::fs::remove_file(&source.images[0]).unwrap();
        let message = source.load().unwrap_err().to_string();
        assert!(message.contains("2 usable") && message.contains("im0.png"), "{message}");
    }

    #[test]
    fn differing_sizes_and_flat_lights_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut flat = source(
            folder.path(),
            vec![Vec3::z(), Vec3::new(0.6, 0.0, 0.8), Vec3::new(-0.6, 0.001, 0.8)],
        );
        for path in &flat.images {
            write_grey(path, 6, 4, 100);
        }
        let message = flat.load().unwrap_err().to_string();
        assert!(message.contains("condition number"), "{message}");

        write_grey(&flat.images[2], 5, 4, 100);
        flat.lights = Lights::directional(four_directions());
        let message = flat.load().unwrap_err().to_string();
        assert!(message.contains("im2.png is 5×4"), "{message}");
    }
}
