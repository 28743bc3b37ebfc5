//! Captures: k lit images of one face and their lights, found in the folders of a data set.
//!
//! A **layout** knows how a data set is laid out on disk. It turns a root folder into
//! [`CaptureSource`]s, which name files and lights but hold no pixels; [`CaptureSource::load`]
//! reads and judges the images. Whatever is wrong with the files becomes a [`CaptureError`] with
//! its remedy, never a panic, and one bad capture does not stop the others.

mod capture_toml;
mod diligent;
mod folders;
mod init;
mod judge;
mod labels;
mod layout;
mod light_files;
mod load;
mod lp;
mod photoface;
mod prepare;
mod psm_images;
mod relit;
mod yaleb;

pub use capture_toml::CAPTURE_FILE;
pub use folders::natural_order;
pub use init::{InitOptions, InitialCapture, init_capture};
pub use labels::{LABEL_COLUMNS, Labels, read_label_table};
pub use layout::{DetectedLayout, Layout, detect_layout};
pub use load::read_images;
pub use yaleb::YaleBRecipe;

use crate::geometry::Camera;
use crate::io::IoError;
pub use crate::io::Transfer;
use crate::maps::{ImageStack, Lights, Mask, NearLights, Size};
use std::path::{Path, PathBuf};

/// Largest accepted condition number of a light matrix. Above it, image noise in the worst
/// direction is amplified more than fiftyfold and normals mean nothing.
pub const MAX_CONDITION_NUMBER: f64 = 50.0;

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

impl CaptureSource {
    /// "id/session", the capture's name in messages and on disk.
    pub fn name(&self) -> String {
        format!("{}/{}", self.id, self.session)
    }

    /// A capture of which only the lights are known yet.
    fn new(id: String, session: String, folder: &Path, lights: Lights) -> Self {
        Self {
            id,
            session,
            folder: folder.to_path_buf(),
            images: Vec::new(),
            lights,
            labels: Labels::default(),
            training_only: false,
            warnings: Vec::new(),
            rig: Rig::default(),
        }
    }

    /// Refuses lights that cannot be, and warns of those that cannot do much.
    fn check_lights(mut self) -> Result<Self, CaptureError> {
        let malformed = |reason: String| CaptureError::malformed(&self.folder, reason);
        if self.images.len() != self.lights.len() {
            let (images, lights) = (self.images.len(), self.lights.len());
            return Err(malformed(format!("has {lights} lights for {images} images")));
        }
        let name = |index: usize| {
            let image = self.images[index].file_name().unwrap_or_default().to_string_lossy();
            format!("light {} ({image})", index + 1)
        };
        let lights = &self.lights.directions;
        // NaN is in no range.
        if let Some(bad) = lights.iter().position(|l| !(0.999..1.001).contains(&l.norm())) {
            return Err(malformed(format!(
                "{} has no direction from the subject, or stands in its place; mend it",
                name(bad)
            )));
        }
        let behind: Vec<String> =
            (0..lights.len()).filter(|&i| lights[i].z <= 0.0).map(name).collect();
        if behind.len() == lights.len() {
            return Err(malformed(
                "has all its lights behind the subject (z ≤ 0); z points from the subject to the \
                 camera, so turn the signs round"
                    .into(),
            ));
        }
        if !behind.is_empty() {
            self.warnings.push(format!(
                "behind the subject (z ≤ 0): {}; check the sign, or leave the image out",
                behind.join(", ")
            ));
        }
        Ok(self)
    }
}

/// What a layout found under a root.
#[derive(Debug, Default)]
pub struct Inventory {
    /// In order of id, then session.
    pub captures: Vec<CaptureSource>,
    /// Captures, files or label rows that cannot be used, one line each.
    pub problems: Vec<String>,
    /// The layout that [`Layout::Auto`] came to and why; `None` where one was named.
    pub detected: Option<DetectedLayout>,
}

impl Inventory {
    fn add(&mut self, capture: Result<CaptureSource, CaptureError>) {
        match capture {
            Ok(capture) => self.captures.push(capture),
            Err(error) => self.problems.push(error.to_string()),
        }
    }
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
    let detected = match layout {
        Layout::Auto => Some(detect_layout(root)?),
        _ => None,
    };
    let layout = detected.as_ref().map_or(layout, |detected| detected.layout);
    for (given, what, owner) in [
        (options.recipe.is_some(), "a recipe of sessions", Layout::YaleB),
        (options.labels.is_some(), "a label table", Layout::Photoface),
    ] {
        if given && layout != owner {
            let (layout, owner) = (layout.name(), owner.name());
            let reason =
                format!("is of the layout {layout}, and {what} belongs to {owner}; leave it out");
            return Err(CaptureError::malformed(root, reason));
        }
    }
    let mut inventory = match layout {
        Layout::YaleB => yaleb::find(root, &options.recipe.clone().unwrap_or_default())?,
        Layout::Photoface => photoface::find(root, options.labels.as_deref())?,
        Layout::Diligent => diligent::find(root)?,
        Layout::PsmImages => psm_images::find(root)?,
        Layout::Lp => lp::find(root)?,
        Layout::CaptureToml => capture_toml::find(root)?,
        Layout::Auto => unreachable!("detection names a layout"),
    };
    inventory.detected = detected;
    if inventory.captures.is_empty() && inventory.problems.is_empty() {
        return Err(CaptureError::malformed(
            root,
            "holds no capture of this layout; check --layout and that the path is the data set's root",
        ));
    }
    for capture in std::mem::take(&mut inventory.captures) {
        inventory.add(capture.check_lights());
    }
    inventory.captures.sort_by(|a, b| (&a.id, &a.session).cmp(&(&b.id, &b.session)));
    // Two captures of one name would overwrite each other's maps.
    let mut first_folder: Option<(String, PathBuf)> = None;
    let problems = &mut inventory.problems;
    inventory.captures.retain(|capture| {
        let name = capture.name();
        if let Some((first, folder)) = &first_folder
            && *first == name
        {
            problems.push(format!(
                "{}: is called {name} like {}; give it another id or session",
                capture.folder.display(),
                folder.display()
            ));
            return false;
        }
        first_folder = Some((name, capture.folder.clone()));
        true
    });
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

impl Capture {
    /// Grey images and their lights, of which nothing else is known.
    pub fn new(images: ImageStack, lights: Lights) -> Self {
        Self {
            images,
            lights,
            files: Vec::new(),
            dropped: Vec::new(),
            colour: None,
            mask: None,
            camera: None,
            near: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;

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
