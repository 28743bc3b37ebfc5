//! Brings a face to one place, size and turn in its picture.
//!
//! All faces then share their geometry, so that a network need not learn where a face may lie.
//! Aligning is a [`Warp`]: of images and lights before they are solved, or of maps that are there.
//! Both ways give the same normals, since a turn of the picture about the line of sight turns
//! the lights and the normals alike.

use super::landmarks::{Detection, PixelPoint};
use super::similarity::{LandmarkError, Similarity, template};
use super::warp::Warp;
use crate::config::{name_of, parse_name};
use crate::geometry::Vec3;
use crate::maps::{AlbedoMap, ConfidenceMap, DepthMap, Mask, NormalMap, Plane, ResidualMap, Size};
use serde::{Deserialize, Serialize};

/// How faces are brought to one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// The picture stays as it is.
    #[default]
    None,
    /// The square about the face's box, scaled, not turned.
    Crop,
    /// The similarity that brings five landmarks onto a template.
    Similarity,
}

const ALIGNS: [(&str, Align); 3] =
    [("none", Align::None), ("crop", Align::Crop), ("similarity", Align::Similarity)];

impl Align {
    pub fn name(self) -> &'static str {
        name_of(self, &ALIGNS)
    }
}

impl std::str::FromStr for Align {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        parse_name("alignment", name, &ALIGNS)
    }
}

/// Smallest and largest side of a crop.
pub const SIDES: std::ops::RangeInclusive<usize> = 16..=4096;

/// Options of aligning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignOptions {
    pub align: Align,
    /// Width and height of the aligned picture, pixels.
    pub side: usize,
    /// What is added on each side, as a share of the tight crop: of the box's longer side for
    /// `crop`, of ArcFace's crop for `similarity`. 0 to 2.
    pub margin: f64,
}

impl Default for AlignOptions {
    fn default() -> Self {
        Self { align: Align::None, side: 256, margin: 0.0 }
    }
}

/// Why a face cannot be aligned.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum AlignError {
    #[error("a side of {0} pixels; choose one from 16 to 4096")]
    Side(usize),
    #[error("a margin of {0}; choose one from 0 to 2")]
    Margin(f64),
    #[error("no face was found; leave the alignment out, or give the landmarks")]
    NoFace,
    #[error("the face's box has no area; detect the face again")]
    EmptyBox,
    #[error(transparent)]
    Landmarks(#[from] LandmarkError),
}

/// The way from a picture to the aligned one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment {
    pub warp: Warp,
    /// Root mean square distance of the landmarks from the template, in pixels of the crop; `None`
    /// where none were fitted.
    pub residual_px: Option<f64>,
}

impl AlignOptions {
    /// # Errors
    /// A side or margin out of range.
    pub fn check(&self) -> Result<(), AlignError> {
        if !SIDES.contains(&self.side) {
            return Err(AlignError::Side(self.side));
        }
        if !(0.0..=2.0).contains(&self.margin) {
            return Err(AlignError::Margin(self.margin));
        }
        Ok(())
    }

    /// The alignment of a face in a picture of this size. [`Align::None`] needs no face.
    ///
    /// # Errors
    /// No face where one is needed, an impossible box or landmarks, options out of range.
    pub fn alignment(&self, size: Size, face: Option<&Detection>) -> Result<Alignment, AlignError> {
        self.check()?;
        if self.align == Align::None {
            return Ok(Alignment { warp: Warp::identity(size), residual_px: None });
        }
        let face = face.ok_or(AlignError::NoFace)?;
        let target = Size::new(self.side, self.side);
        let (similarity, residual_px) = if self.align == Align::Crop {
            if !face.bounds.is_valid() {
                return Err(AlignError::EmptyBox);
            }
            let longer = face.bounds.width().max(face.bounds.height());
            let scale = self.side as f64 / (longer * (1.0 + 2.0 * self.margin));
            let middle = PixelPoint::centre_of(target);
            (Similarity::about(face.bounds.centre(), scale, 0.0, middle), None)
        } else {
            let fit = Similarity::fit(&face.landmarks, &template(self.side, self.margin))?;
            (fit.similarity, Some(fit.residual_px))
        };
        Ok(Alignment { warp: Warp { similarity, source: size, target }, residual_px })
    }
}

/// The maps of one capture, all of one size, NaN off the mask.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceMaps {
    pub normals: NormalMap,
    pub albedo: AlbedoMap,
    /// Albedo in red, green and blue, where the images have colour.
    pub albedo_rgb: Option<[AlbedoMap; 3]>,
    /// Toward the camera, pixels, mean zero over the mask.
    pub depth: DepthMap,
    pub residual: ResidualMap,
    pub confidence: ConfidenceMap,
    pub mask: Mask,
}

impl FaceMaps {
    /// The maps in the target of a warp. A pixel is valid where its whole footprint is.
    ///
    /// - Normals are averaged, made unit again and turned with the picture.
    /// - Depth is in pixels of the target, mean zero over its mask.
    /// - The residual is a root mean square and stays one.
    /// - Confidence is `1/(1 + (σ/10°)²)`, σ the standard error of a normal
    ///   ([`crate::stereo::confidence`]). Neighbours err alike (one shadow, one highlight), so
    ///   averaging earns nothing and σ² is their mean: the harmonic mean of the confidences. One bad
    ///   pixel of a hundred tells, but does not rule as with their minimum.
    ///
    /// The identity changes nothing.
    ///
    /// # Panics
    /// If a map is not of the warp's source size.
    pub fn warped(&self, warp: &Warp) -> Self {
        if warp.is_identity() {
            assert_eq!(self.mask.size, warp.source, "maps of the source's size");
            return self.clone();
        }
        let mask = warp.mask(&self.mask);
        let on_mask = |plane: Plane<f32>| plane.masked(&mask);
        let albedo_rgb = self.albedo_rgb.as_ref();
        Self {
            normals: self.warped_normals(warp, &mask),
            albedo: on_mask(warp.plane(&self.albedo)),
            albedo_rgb: albedo_rgb.map(|rgb| rgb.each_ref().map(|p| on_mask(warp.plane(p)))),
            depth: on_mask(scaled_depth(warp, &self.depth, &mask)),
            residual: on_mask(warp.resample(f32::NAN, |footprint| {
                footprint.mean(|p| self.residual.data[p].powi(2)).sqrt()
            })),
            confidence: on_mask(warp.resample(f32::NAN, |footprint| {
                // Of confidence 0 the error is infinite, and 1/∞ is 0 again.
                1.0 / footprint.mean(|p| 1.0 / self.confidence.data[p])
            })),
            mask,
        }
    }

    fn warped_normals(&self, warp: &Warp, mask: &Mask) -> NormalMap {
        let [x, y, z] = [self.normals.x(), self.normals.y(), self.normals.z()]
            .map(|component| warp.resample(f32::NAN, |f| f.mean(|p| component[p])));
        let size = warp.target;
        let turned = NormalMap::from_fn(size, |row, column| {
            let p = row * size.width + column;
            let mean = Vec3::new(x.data[p], y.data[p], z.data[p]);
            // Normals that cancel out have no mean direction.
            let unit = mean.try_normalize(1e-6);
            let nothing = Vec3::repeat(f32::NAN);
            unit.map_or(nothing, |n| warp.similarity.turn_vector(n))
        });
        turned.masked(mask)
    }
}

/// Depth in pixels of the target, mean zero over where it is defined on the mask.
fn scaled_depth(warp: &Warp, depth: &DepthMap, mask: &Mask) -> DepthMap {
    let mut moved = warp.plane(depth);
    let defined = || moved.data.iter().zip(&mask.data).filter(|(z, m)| **m && !z.is_nan());
    let sum: f64 = defined().map(|(z, _)| f64::from(*z)).sum();
    let mean = sum / defined().count().max(1) as f64;
    let scale = warp.similarity.scale();
    for z in &mut moved.data {
        *z = ((f64::from(*z) - mean) * scale) as f32;
    }
    moved
}
