//! The face of a capture: found, told from the background, turned to the front, aligned.
//!
//! Detection looks at the frames that were solved, all of them in one picture, so a hard shadow in one
//! is no harm; where that shows no face, at the brightest of each pixel, then at the albedo. A crop so
//! tight that the face fills it is looked at once more within a grey border ([`find_subject`]).

use super::{PreprocessError, path_within};
use crate::capture::Capture;
use crate::face::{
    Align, AlignOptions, ChosenFace, Detection, DetectionView, DetectorKind, FaceBox, FaceFinder,
    FaceMaps, HeadPose, Landmarks, PixelPoint, PoseError, Similarity, Warp, albedo_picture,
    find_subject, frontalise, head_mask, weights_folder,
};
use crate::io::Picture;
use crate::maps::{Albedo, Plane};
use crate::reconstruct::{
    Compute, ReconstructError, ReconstructOptions, Reconstruction, reconstruct,
};
use crate::register::Registration;
use crate::stereo::{SurfaceMaps, foreground_mask};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Raised whenever the same capture gives another face or other maps of it.
const FACE_VERSION: u32 = 2;

/// What is done with faces before maps are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaceOptions {
    pub align: AlignOptions,
    #[serde(default)]
    pub detector: DetectorKind,
    /// Turn the surface to the front first, by the depth at the landmarks: yaw and roll.
    pub frontalise: bool,
    /// Tell the head from a lit background before integration.
    pub head_mask: bool,
}

impl FaceOptions {
    /// Whether anything is to be done.
    pub fn look_for_faces(&self) -> bool {
        self.align.align != Align::None || self.frontalise || self.head_mask
    }

    /// The same without what has no effect.
    pub fn in_effect(self) -> Self {
        let align = match self.align.align {
            Align::None => AlignOptions::default(),
            _ => self.align,
        };
        let detector = if self.look_for_faces() { self.detector } else { Default::default() };
        Self { align, detector, ..self }
    }

    /// As they are given on the command line.
    pub fn arguments(&self) -> String {
        let AlignOptions { align, side, margin } = self.align;
        let mut text = format!("--align {}", align.name());
        if align != Align::None {
            text += &format!(" --align-side {side} --margin {margin}");
        }
        if self.look_for_faces() {
            text += &format!(" --detector {}", self.detector.name());
        }
        for (is_set, name) in [(self.frontalise, " --frontalise"), (self.head_mask, " --head-mask")]
        {
            text += if is_set { name } else { "" };
        }
        text
    }
}

/// Which picture of the capture showed the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenIn {
    /// The mean of all frames, each brought to the same brightness.
    Mean,
    /// The brightest of all frames at each pixel.
    Brightest,
    Albedo,
}

/// `face.json`: the face of a capture and what was done with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceRecord {
    pub seen_in: SeenIn,
    /// Faces beside the one that was taken.
    pub others: usize,
    /// In the picture as it was taken, pixels; the centre of the first one is (0, 0).
    #[serde(rename = "box")]
    pub bounds: FaceBox,
    pub score: f64,
    pub landmarks: Landmarks,
    /// Degrees by which the head was turned away before it was turned to the front: yaw to the
    /// picture's right, pitch upward, roll clockwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub turned_from_deg: Option<[f64; 3]>,
    /// From the picture (turned to the front, if it was) to the maps.
    pub alignment: Similarity,
    /// Root mean square distance of the landmarks from the template, pixels of the maps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub residual_px: Option<f64>,
}

/// The face of a capture, for sessions made of some of its images.
pub(super) struct KnownFace {
    /// `None` where none was found.
    pub found: Option<FaceRecord>,
    /// How far each image had moved from the one that the face lies in, by its path within the data
    /// set; one that is not among them had not.
    pub motions: BTreeMap<PathBuf, [f64; 2]>,
    /// Of what the capture's maps depend on.
    pub fingerprint: String,
}

impl KnownFace {
    /// The face in another of the images.
    fn in_image(&self, image: Option<&Path>) -> Option<Found> {
        let FaceRecord { seen_in, others, bounds, score, landmarks, turned_from_deg, .. } =
            self.found.as_ref()?;
        let [right, down] =
            image.and_then(|image| self.motions.get(image)).copied().unwrap_or_default();
        let move_point = |p: PixelPoint| PixelPoint::new(p.column + right, p.row + down);
        let face = Detection {
            bounds: bounds.moved_by(right, down),
            score: *score,
            landmarks: landmarks.map(move_point),
        };
        let chosen = ChosenFace { face, others: *others };
        Some(Found { seen_in: *seen_in, chosen, turned_deg: Some(*turned_from_deg) })
    }
}

/// A face where it was found.
struct Found {
    seen_in: SeenIn,
    chosen: ChosenFace,
    /// How the head is turned, if that is known (it may be known that it could not be told); else the
    /// maps tell it.
    turned_deg: Option<Option<[f64; 3]>>,
}

/// A capture's maps as it was taken, and its face.
pub(super) struct Solved {
    pub maps: Reconstruction,
    found: Option<Found>,
    warnings: Vec<String>,
}

/// A capture's maps with its face where it is wanted.
pub(super) struct Faced {
    pub maps: Reconstruction,
    /// `None` where no face was found; the maps are then as without any of this.
    pub face: Option<FaceRecord>,
    /// What could not be done, one line each.
    pub warnings: Vec<String>,
}

/// Finds faces and does what is asked with them.
pub(super) struct FaceWork {
    detector: Box<dyn FaceFinder>,
    options: FaceOptions,
}

impl FaceWork {
    /// With the weights of the user's cache.
    ///
    /// # Errors
    /// Weights that are missing or damaged; options out of range.
    pub fn new(options: FaceOptions) -> Result<Self, PreprocessError> {
        options.align.check()?;
        let detector = options.detector.load(&weights_folder()?, &Device::flex())?;
        Ok(Self { detector, options })
    }

    /// What the maps depend on beside the capture.
    pub fn fingerprint(&self) -> String {
        format!("{FACE_VERSION} {:?} {}", self.options, self.detector.weights_sha256())
    }

    /// Solves a capture and finds its face, unless it is known (and the data set's root with it); its head
    /// from its background, if asked for, whose mask the capture then has.
    pub fn solve(
        &self,
        capture: &mut Capture,
        options: &ReconstructOptions,
        compute: &Compute,
        known: Option<(&KnownFace, &Path)>,
    ) -> Result<Solved, ReconstructError> {
        let face_of = |maps: &Reconstruction, files: &[PathBuf]| match known {
            None => self.find(maps),
            Some((known, root)) => {
                let still = || Registration::still(files.len()).reference;
                let reference = maps.registration.as_ref().map_or_else(still, |r| r.reference);
                known.in_image(files.get(reference).map(|file| path_within(root, file)))
            }
        };
        // A head is told from its background by what the background's surface is like.
        let whole = self.options.head_mask && capture.mask.is_none();
        if !whole {
            let maps = reconstruct(capture, options, compute)?;
            let found = face_of(&maps, &capture.files);
            return Ok(Solved { maps, found, warnings: Vec::new() });
        }
        capture.mask = Some(Plane::filled(capture.images.size, true));
        let maps = reconstruct(capture, options, compute)?;
        let found = face_of(&maps, &capture.files);
        let mut warnings = Vec::new();
        let foreground = foreground_mask(&maps.images);
        let surface =
            SurfaceMaps { normals: maps.normals, albedo: maps.albedo, residual: maps.residual };
        // Without a face or a background to tell it from, the mask is that of any capture.
        capture.mask = found.as_ref().and_then(|found| {
            head_mask(&surface, &foreground, &found.chosen.face.bounds)
                .map_err(|reason| warnings.push(format!("head mask: {reason}")))
                .ok()
        });
        Ok(Solved { maps: reconstruct(capture, options, compute)?, found, warnings })
    }

    /// Brings the face of a solved capture to where it is wanted.
    pub fn place(&self, solved: Solved) -> Faced {
        let Solved { mut maps, found, mut warnings } = solved;
        let Some(Found { seen_in, chosen, turned_deg }) = found else {
            return Faced { maps, face: None, warnings };
        };
        let ChosenFace { mut face, others } = chosen;
        if others > 0 {
            let more =
                if others == 1 { "one more face".into() } else { format!("{others} more faces") };
            warnings.push(format!("{more}: the largest near the middle was taken"));
        }
        let mut record = FaceRecord {
            seen_in,
            others,
            bounds: face.bounds,
            score: face.score,
            landmarks: face.landmarks,
            turned_from_deg: None,
            alignment: Similarity::IDENTITY,
            residual_px: None,
        };
        if self.options.frontalise {
            let pose = match turned_deg {
                None => HeadPose::of(&face.landmarks, &maps.depth),
                Some(Some(known)) => HeadPose::from_angles_deg(known, &face.landmarks, &maps.depth),
                Some(None) => Err(PoseError::NotTold),
            };
            match pose {
                Ok(pose) => {
                    record.turned_from_deg = Some(match turned_deg.flatten() {
                        Some(turned) => turned,
                        None => [pose.yaw_deg(), pose.pitch_deg(), pose.roll_deg()],
                    });
                    // Tipped by depth that bends slowly, a head looks worse than it did.
                    let pose = pose.without_pitch();
                    let before = PixelPoint::mean(&face.landmarks.points());
                    face.landmarks = face.landmarks.map(|point| {
                        let moved = pose.apply_to_pixel(point, &maps.depth);
                        if moved.is_none() {
                            let text =
                                "frontal view: no depth at a landmark, which stays where it was";
                            warnings.push(text.into());
                        }
                        moved.unwrap_or(point)
                    });
                    let after = PixelPoint::mean(&face.landmarks.points());
                    face.bounds =
                        face.bounds.moved_by(after.column - before.column, after.row - before.row);
                    maps = with_maps(maps, |maps| frontalise(&maps, &pose));
                }
                Err(reason) => warnings.push(format!("frontal view: {reason}")),
            }
        }
        match self.options.align.alignment(maps.mask.size, Some(&face)) {
            Ok(alignment) => {
                record.alignment = alignment.warp.similarity;
                record.residual_px = alignment.residual_px;
                // A photograph of a head that was turned since shows another one.
                let images = record.turned_from_deg.map(|_| maps.images.clone());
                maps = aligned(maps, &alignment.warp);
                maps.images = images.unwrap_or(maps.images);
                Faced { maps, face: Some(record), warnings }
            }
            // Landmarks that no face has are no face.
            Err(reason) => {
                warnings.push(format!("alignment: {reason}"));
                Faced { maps, face: None, warnings }
            }
        }
    }

    fn find(&self, maps: &Reconstruction) -> Option<Found> {
        let images = [&maps.images];
        let albedo = || match &maps.albedo_rgb {
            Some(rgb) => albedo_picture(&Albedo::Rgb(rgb.clone())),
            None => albedo_picture(&Albedo::Grey(maps.albedo.clone())),
        };
        let looks: [(SeenIn, &dyn Fn() -> Option<Picture>); 3] = [
            (SeenIn::Mean, &|| DetectionView::Mean.picture(&images)),
            (SeenIn::Brightest, &|| DetectionView::Brightest.picture(&images)),
            (SeenIn::Albedo, &albedo),
        ];
        looks.into_iter().find_map(|(seen_in, picture)| {
            let chosen = find_subject(self.detector.as_ref(), &picture()?)?;
            Some(Found { seen_in, chosen, turned_deg: None })
        })
    }
}

fn with_maps(maps: Reconstruction, change: impl FnOnce(FaceMaps) -> FaceMaps) -> Reconstruction {
    let changed = change(FaceMaps {
        normals: maps.normals,
        albedo: maps.albedo,
        albedo_rgb: maps.albedo_rgb,
        depth: maps.depth,
        residual: maps.residual,
        confidence: maps.confidence,
        mask: maps.mask,
    });
    Reconstruction {
        normals: changed.normals,
        albedo: changed.albedo,
        albedo_rgb: changed.albedo_rgb,
        depth: changed.depth,
        residual: changed.residual,
        confidence: changed.confidence,
        mask: changed.mask,
        ..maps
    }
}

/// Maps and images through one warp.
fn aligned(maps: Reconstruction, warp: &Warp) -> Reconstruction {
    if warp.is_identity() {
        return maps;
    }
    let images = warp.images(&maps.images);
    Reconstruction { images, ..with_maps(maps, |maps| maps.warped(warp)) }
}
