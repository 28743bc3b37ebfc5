//! How many of a pixel's images carry shading: neither saturated nor in shadow.

use super::finding::{Finding, FindingCode, Severity, percent};
use crate::maps::{ImageStack, Mask, Plane};
use serde::{Deserialize, Serialize};

/// An image at or below this share of the pixel's brightest image is in shadow there: under lights
/// of like intensity the surface is within six degrees of turning away, or something stands in the
/// way and only scattered light is left.
pub const SHADOW_SHARE: f32 = 0.1;
/// Share of all observations of the subject that may be saturated. Highlights of skin and eyes are
/// about one in a hundred; three times that cuts into the shading itself.
pub const MAX_SATURATED: f64 = 0.03;
/// Above this, one observation in six, most pixels of the bright side have lost one.
pub const TOO_MUCH_SATURATED: f64 = 0.15;
/// Share of the subject that fewer than three usable lights may reach. Nostrils, eye sockets and
/// the rim under raking light take a few parts in a hundred of a face.
pub const MAX_UNDETERMINED: f64 = 0.15;

/// Per pixel how many images are saturated, in shadow, or neither; NaN off the mask.
#[derive(Clone, Debug, PartialEq)]
pub struct ExposureMaps {
    pub saturated: Plane<f32>,
    pub shadowed: Plane<f32>,
    pub used: Plane<f32>,
}

/// Shares over the mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExposureQuality {
    /// Share of all observations (pixel and image) at or above the image's white.
    pub saturated_share: f64,
    /// Share of all observations at or below [`SHADOW_SHARE`] of the pixel's brightest.
    pub shadowed_share: f64,
    /// Per image, the share of its pixels that are saturated.
    pub saturated_by_image: Vec<f64>,
    /// Per image, the share of its pixels that are in shadow.
    pub shadowed_by_image: Vec<f64>,
    /// Usable lights per pixel: 5th percentile, median, 95th percentile.
    pub used_quantiles: [f64; 3],
    /// Share of pixels with fewer than three usable lights: their normals rest on shadows,
    /// saturated values or neighbours.
    pub undetermined_share: f64,
}

/// Counts saturated and shadowed images per pixel. A missing observation (NaN) is neither, and is
/// not used.
///
/// # Panics
/// If mask and images differ in size.
pub fn exposure_maps(images: &ImageStack, mask: &Mask) -> ExposureMaps {
    assert_eq!(images.size, mask.size, "a mask of the images' size");
    let area = images.size.area();
    let mut maps = [(); 3].map(|()| Plane::filled(images.size, f32::NAN));
    for p in (0..area).filter(|&p| mask.data[p]) {
        let counts = pixel_counts(images, p, |_, _| ());
        for (map, count) in maps.iter_mut().zip(counts) {
            map.data[p] = count as f32;
        }
    }
    let [saturated, shadowed, used] = maps;
    ExposureMaps { saturated, shadowed, used }
}

#[derive(Clone, Copy)]
enum Seen {
    Saturated,
    Shadowed,
}

/// How many images are saturated, in shadow, usable.
fn pixel_counts(images: &ImageStack, p: usize, mut tell: impl FnMut(usize, Seen)) -> [usize; 3] {
    let area = images.size.area();
    let values = || (0..images.count).map(|j| images.pixels.get(j * area + p));
    let brightest = values().fold(0.0f32, f32::max);
    let mut counts = [0; 3];
    for (j, value) in values().enumerate() {
        if value >= images.white[j] {
            counts[0] += 1;
            tell(j, Seen::Saturated);
        } else if value <= SHADOW_SHARE * brightest {
            counts[1] += 1;
            tell(j, Seen::Shadowed);
        } else if !value.is_nan() {
            counts[2] += 1;
        }
    }
    counts
}

pub(super) fn assess(images: &ImageStack, mask: &Mask) -> Option<ExposureQuality> {
    let pixels = mask.count();
    if pixels == 0 || images.count == 0 {
        return None;
    }
    let mut by_image = [vec![0usize; images.count], vec![0usize; images.count]];
    let mut used = vec![0usize; images.count + 1];
    for p in (0..mask.data.len()).filter(|&p| mask.data[p]) {
        let counts = pixel_counts(images, p, |j, seen| by_image[seen as usize][j] += 1);
        used[counts[2]] += 1;
    }
    let share = |count: usize| count as f64 / pixels as f64;
    let mean = |counts: &[usize]| share(counts.iter().sum()) / images.count as f64;
    let quantile = |share: f64| {
        let rank = ((pixels - 1) as f64 * share) as usize;
        let mut below = 0;
        let reached = |count: &usize| {
            below += count;
            below > rank
        };
        used.iter().position(reached).unwrap_or(images.count) as f64
    };
    Some(ExposureQuality {
        saturated_share: mean(&by_image[0]),
        shadowed_share: mean(&by_image[1]),
        used_quantiles: [0.05, 0.5, 0.95].map(quantile),
        undetermined_share: share(used.iter().take(3).sum()),
        saturated_by_image: by_image[0].iter().map(|&n| share(n)).collect(),
        shadowed_by_image: by_image[1].iter().map(|&n| share(n)).collect(),
    })
}

pub(super) fn findings(exposure: &ExposureQuality, found: &mut Vec<Finding>) {
    let share = exposure.saturated_share;
    if share > MAX_SATURATED {
        let (worst, of_worst) = super::largest(&exposure.saturated_by_image).unwrap_or((0, 0.0));
        found.push(Finding::new(
            FindingCode::Saturated,
            if share > TOO_MUCH_SATURATED { Severity::Error } else { Severity::Warning },
            format!(
                "{} of the subject's observations are saturated, most in image {} ({} of it)",
                percent(share),
                worst + 1,
                percent(of_worst)
            ),
            "shorten the exposure or dim the lamps until only highlights of eyes and skin \
             saturate; for these images choose a solver that leaves saturated values out",
        ));
    }
    if exposure.undetermined_share > MAX_UNDETERMINED {
        found.push(Finding::new(
            FindingCode::FewUsableLights,
            Severity::Warning,
            format!(
                "{} of the subject is reached by fewer than three usable lights ({} of all \
                 observations are in shadow, {} saturated)",
                percent(exposure.undetermined_share),
                percent(exposure.shadowed_share),
                percent(exposure.saturated_share)
            ),
            "add lights, or move the outermost ones nearer to the camera's axis; trust the \
             confidence map, not the normals there",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Pixels, Size};

    #[test]
    fn each_observation_is_counted_once() {
        // Three images of four pixels, the last off the mask; image 0 clips at 200.
        let pixels = [[200, 100, 8, 0], [255, 90, 80, 0], [100, 9, 70, 0]].concat();
        let images = ImageStack::new(Size::new(1, 4), 3, Pixels::U8(pixels))
            .with_white(vec![200.0, 255.0, 255.0]);
        let mask = Plane::new(Size::new(1, 4), vec![true, true, true, false]);
        let maps = exposure_maps(&images, &mask);
        assert_eq!(maps.saturated.data[..3], [2.0, 0.0, 0.0]);
        assert_eq!(maps.shadowed.data[..3], [0.0, 1.0, 1.0]);
        assert_eq!(maps.used.data[..3], [1.0, 2.0, 2.0]);
        assert!(maps.used.data[3].is_nan());
        let quality = assess(&images, &mask).unwrap();
        assert!((quality.saturated_share - 2.0 / 9.0).abs() < 1e-12);
        assert!((quality.shadowed_share - 2.0 / 9.0).abs() < 1e-12);
        assert_eq!(quality.undetermined_share, 1.0);
        assert_eq!(quality.used_quantiles, [1.0, 2.0, 2.0]);
        assert_eq!(assess(&images, &Plane::filled(Size::new(1, 4), false)), None);
    }
}
