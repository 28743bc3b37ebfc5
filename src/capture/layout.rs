//! The layouts by name, and which of them a folder has.

use super::folders::{Listing, capture_folders};
use super::{CaptureError, capture_toml, diligent, lp, photoface, psm_images, yaleb};
use std::path::Path;

/// How a data set is laid out on disk. Captures are found at the root itself, in its folders, or
/// in theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Extended Yale B: the light in each file's name.
    YaleB,
    /// `im0..3.*` and `LightSource.*`.
    Photoface,
    /// `filenames.txt`, `light_directions.txt`, `light_intensities.txt`, `mask.png`.
    Diligent,
    /// University of Washington: `cat.txt` lists images, `lights.txt` directions.
    PsmImages,
    /// Reflectance transformation imaging: an `.lp` file beside the images.
    Lp,
    /// Our own: `capture.toml`, see docs/capture-format.md.
    CaptureToml,
    /// Whichever of these the root has, see [`detect_layout`].
    Auto,
}

impl Layout {
    pub const NAMES: [&str; 7] =
        ["auto", "yaleb", "photoface", "diligent", "psmimages", "lp", "capture-toml"];

    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::YaleB => "yaleb",
            Self::Photoface => "photoface",
            Self::Diligent => "diligent",
            Self::PsmImages => "psmimages",
            Self::Lp => "lp",
            Self::CaptureToml => "capture-toml",
        }
    }
}

impl std::str::FromStr for Layout {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(Self::Auto),
            "yaleb" => Ok(Self::YaleB),
            "photoface" => Ok(Self::Photoface),
            "diligent" => Ok(Self::Diligent),
            "psmimages" => Ok(Self::PsmImages),
            "lp" => Ok(Self::Lp),
            "capture-toml" => Ok(Self::CaptureToml),
            _ => Err(format!(
                "unknown layout `{name}`{}; known layouts: {}",
                crate::config::did_you_mean(name, &Self::NAMES),
                Self::NAMES.join(", ")
            )),
        }
    }
}

/// The layout of a root, and what gave it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectedLayout {
    pub layout: Layout,
    /// "layout diligent: ballPNG holds filenames.txt and light_directions.txt".
    pub reason: String,
}

struct Sign {
    layout: Layout,
    what: &'static str,
    is_capture: fn(&Listing) -> bool,
}

const SIGNS: [Sign; 6] = [
    Sign {
        layout: Layout::CaptureToml,
        what: "capture.toml",
        is_capture: capture_toml::is_capture,
    },
    Sign {
        layout: Layout::Photoface,
        what: "LightSource.* and images im0, im1, …",
        is_capture: photoface::is_capture,
    },
    Sign {
        layout: Layout::Diligent,
        what: "filenames.txt and light_directions.txt",
        is_capture: diligent::is_capture,
    },
    Sign {
        layout: Layout::PsmImages,
        what: "lights.txt and lists of images",
        is_capture: psm_images::is_capture,
    },
    Sign { layout: Layout::Lp, what: "an .lp file", is_capture: lp::is_capture },
    Sign {
        layout: Layout::YaleB,
        what: "images named like …_P00A+035E+40.pgm",
        is_capture: yaleb::is_capture,
    },
];

/// Which layout the captures of `root` have, down to two folders deep.
///
/// A `capture.toml` was put beside the other files by the user and goes before what they would
/// say of the same folder.
///
/// # Errors
/// A root that cannot be read, no layout, or captures of more than one.
pub fn detect_layout(root: &Path) -> Result<DetectedLayout, CaptureError> {
    let sign_of = |listing: &Listing| {
        let mut signs = SIGNS.iter().filter(|sign| (sign.is_capture)(listing));
        let first = signs.next();
        match first {
            Some(sign) if sign.layout == Layout::CaptureToml => vec![sign],
            _ => first.into_iter().chain(signs).collect(),
        }
    };
    let (folders, _) = capture_folders(root, &|listing, _| !sign_of(listing).is_empty())?;
    let mut seen: Vec<(&Sign, String)> = Vec::new();
    for found in &folders {
        let folder = &found.listing.folder;
        let shown = match folder.strip_prefix(root) {
            Ok(below) if below.as_os_str().is_empty() => "the root".to_string(),
            Ok(below) => below.display().to_string(),
            Err(_) => folder.display().to_string(),
        };
        for sign in sign_of(&found.listing) {
            if seen.iter().all(|(other, _)| other.layout != sign.layout) {
                seen.push((sign, format!("{shown} holds {}", sign.what)));
            }
        }
    }
    match seen.as_slice() {
        [(sign, example)] => Ok(DetectedLayout {
            layout: sign.layout,
            reason: format!("layout {}: {example}", sign.layout.name()),
        }),
        [] => {
            let signs: Vec<_> =
                SIGNS.iter().map(|s| format!("{} ({})", s.what, s.layout.name())).collect();
            Err(CaptureError::malformed(
                root,
                format!(
                    "has no known layout: neither it nor its folders hold {}; describe a folder \
                     of images with `lumiface capture init`",
                    signs.join(", ")
                ),
            ))
        }
        several => {
            let candidates: Vec<_> = several
                .iter()
                .map(|(sign, example)| format!("--layout {} ({example})", sign.layout.name()))
                .collect();
            Err(CaptureError::malformed(
                root,
                format!("could be of several layouts; choose: {}", candidates.join(", ")),
            ))
        }
    }
}
