//! What an image's values say about the exposure: where the sensor clips, and whether the image
//! holds any shading at all.

use crate::io::Photo;
use crate::maps::{Mask, Pixels};
use crate::order_statistics::quantile_of_defined;

/// An image whose 99.9th percentile is at or below this share of the range holds no light.
const BLACK_LEVEL: f32 = 0.008;
/// The complement of that percentile.
const LIT_SHARE: f64 = 0.001;
/// An image with more than this share of pixels at the clipping level holds no shading.
const SATURATED_SHARE: f64 = 0.5;
/// Float values so many times above that percentile are no light of a subject.
const HOT: f32 = 10.0;
/// Bits of the coarsest sensor whose values are worth 16-bit files.
const FEWEST_BITS: u32 = 10;

/// How a capture's values lie, as shares of their pixels' full scale (float: of 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    /// At and above this share a pixel is saturated; `f32::MAX` where nothing clips.
    pub clip: f32,
    /// What the sensor could have reached at least: the measure for "black".
    pub reach: f32,
    /// What float values are multiplied by to become shares of full scale.
    pub scale: f32,
}

const EIGHT_BITS: Range = Range { clip: 1.0, reach: 1.0, scale: 1.0 };

/// The ranges of a capture's images. One sensor took them all, so those of one kind share theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranges {
    sixteen_bits: Range,
    float: Range,
}

impl Ranges {
    /// 8 bits clip at 255. A sensor of n < 16 bits writes 16-bit files whose values end at
    /// 2ⁿ − 1, or at that shifted up to the 16th bit; float files often end at 1. Such an end
    /// counts as clipping only where the images show it: where the greatest value of all is
    /// exactly an end, and held by more pixels than the tail of unclipped intensities would give,
    /// see [`piles_up`]. Otherwise 16-bit files clip at 65,535 and float files nowhere.
    pub fn of<'a>(photos: impl Iterator<Item = &'a Photo>) -> Self {
        // The channels show where the sensor clips; luminance mixes them.
        let planes: Vec<&Pixels> = photos
            .flat_map(|photo| match &photo.colour {
                Some(channels) => channels.iter().collect(),
                None => vec![&photo.grey],
            })
            .collect();
        let sixteen: Vec<&[u16]> = planes.iter().filter_map(|p| as_u16(p)).collect();
        let float: Vec<&[f32]> = planes.iter().filter_map(|p| as_f32(p)).collect();
        Self { sixteen_bits: sixteen_bit_range(&sixteen), float: float_range(&float) }
    }

    pub fn of_photo(&self, photo: &Photo) -> Range {
        match photo.colour.as_ref().map_or(&photo.grey, |channels| &channels[0]) {
            Pixels::U8(_) => EIGHT_BITS,
            Pixels::U16(_) => self.sixteen_bits,
            Pixels::F32(_) => self.float,
        }
    }
}

impl Range {
    /// Where these pixels clip, in their own units.
    pub fn clip_level(&self, pixels: &Pixels) -> f32 {
        match pixels {
            Pixels::F32(_) => self.clip,
            integers => (self.clip * integers.full_scale()).round(),
        }
    }
}

fn as_u16(pixels: &Pixels) -> Option<&[u16]> {
    if let Pixels::U16(values) = pixels { Some(values) } else { None }
}

fn as_f32(pixels: &Pixels) -> Option<&[f32]> {
    if let Pixels::F32(values) = pixels { Some(values) } else { None }
}

fn sixteen_bit_range(planes: &[&[u16]]) -> Range {
    let greatest = planes.iter().filter_map(|plane| plane.iter().max()).max().copied();
    let greatest = u32::from(greatest.unwrap_or(0));
    let ends =
        (8..16).flat_map(|n| [((1 << n) - 1, 1), (((1 << n) - 1) << (16 - n), 1 << (16 - n))]);
    let reached = ends.into_iter().find(|&(end, _)| end == greatest && end > 255);
    let values = || planes.iter().flat_map(|plane| plane.iter().map(|&v| f32::from(v)));
    let full_scale = f32::from(u16::MAX);
    let clip = match reached {
        Some((end, step)) if piles_up(values(), end as f32, step as f32) => end as f32,
        _ => full_scale,
    };
    let reach = (FEWEST_BITS..16).map(|n| (1 << n) - 1).find(|&end| end >= greatest);
    let reach = reach.map_or(clip, |end: u32| clip.min(end as f32));
    Range { clip: clip / full_scale, reach: reach / full_scale, scale: 1.0 }
}

fn float_range(planes: &[&[f32]]) -> Range {
    // NaN loses.
    let greatest = planes.iter().flat_map(|plane| plane.iter()).copied().fold(0.0, f32::max);
    let values = || planes.iter().flat_map(|plane| plane.iter().copied());
    // A few hot pixels are not the measure of the others.
    let bright = quantile_of_defined(values(), 1.0 - LIT_SHARE).unwrap_or(0.0);
    let greatest = if bright > 0.0 { greatest.min(HOT * bright) } else { greatest };
    let clips = greatest == 1.0 && piles_up(values(), 1.0, 1.0 / 256.0);
    Range {
        clip: if clips { 1.0 } else { f32::MAX },
        reach: greatest,
        scale: if greatest > 1.0 { 1.0 / greatest } else { 1.0 },
    }
}

/// Whether more pixels hold the greatest value than a tail that thins out would put there.
///
/// Intensities thin out toward the brightest, so unclipped the last of equally wide bins expects
/// at most the mean μ of the 16 bins below it. Counts are Poisson distributed: above
/// `μ + 5 √μ + 5` chance is out of the question (5 σ; the last 5 for μ near 0).
fn piles_up(values: impl Iterator<Item = f32>, end: f32, step: f32) -> bool {
    const BINS: f32 = 16.0;
    let (mut at_end, mut below) = (0usize, 0usize);
    for value in values {
        if value > end - 0.5 * step {
            at_end += 1;
        } else if value > end - (BINS + 0.5) * step {
            below += 1;
        }
    }
    let mean = below as f64 / f64::from(BINS);
    at_end as f64 > mean + 5.0 * mean.sqrt() + 5.0
}

/// Why an image says nothing about shading where the mask is, or `None` where it does.
pub(super) fn unusable_reason(
    pixels: &Pixels,
    range: Range,
    mask: Option<&Mask>,
) -> Option<String> {
    if pixels.is_empty() {
        return Some("has no pixels; replace the file".into());
    }
    let threshold = BLACK_LEVEL * range.reach * pixels.full_scale();
    let clip = range.clip_level(pixels);
    let counts = match pixels {
        Pixels::U8(values) => Counts::of(values, mask, threshold, clip),
        Pixels::U16(values) => Counts::of(values, mask, threshold, clip),
        Pixels::F32(values) => Counts::of(values, mask, threshold, clip),
    };
    if counts.observed == 0 {
        return Some("holds no finite value; replace the file".into());
    }
    if (counts.lit as f64) < LIT_SHARE * counts.observed as f64 || counts.lit == 0 {
        return Some("is black: its light did not fire; retake it".into());
    }
    let share = counts.saturated as f64 / counts.observed as f64;
    if share > SATURATED_SHARE {
        return Some(format!(
            "is saturated in {:.0} % of its pixels; retake it with less exposure",
            100.0 * share
        ));
    }
    None
}

#[derive(Default)]
struct Counts {
    /// Pixels of the mask that are not NaN.
    observed: usize,
    lit: usize,
    saturated: usize,
}

impl Counts {
    fn of<T: Copy + Into<f32>>(
        values: &[T],
        mask: Option<&Mask>,
        threshold: f32,
        clip: f32,
    ) -> Self {
        let mut counts = Self::default();
        let mut count = |value: f32, counted: bool| {
            counts.observed += usize::from(counted && !value.is_nan());
            counts.lit += usize::from(counted && value > threshold);
            counts.saturated += usize::from(counted && value >= clip);
        };
        match mask {
            None => values.iter().for_each(|&v| count(v.into(), true)),
            Some(mask) => values.iter().zip(&mask.data).for_each(|(&v, &m)| count(v.into(), m)),
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Plane, Size};

    fn photo(grey: Pixels) -> Photo {
        Photo { size: Size::new(1, grey.len()), grey, colour: None }
    }

    fn reason_among(photos: &[Photo], index: usize, mask: Option<&Mask>) -> Option<String> {
        let range = Ranges::of(photos.iter()).of_photo(&photos[index]);
        unusable_reason(&photos[index].grey, range, mask)
    }

    fn reason(values: Vec<u8>) -> Option<String> {
        reason_among(&[photo(Pixels::U8(values))], 0, None)
    }

    #[test]
    fn black_and_saturated_images_are_unusable() {
        assert!(reason(vec![0; 1000]).unwrap().contains("black"));
        assert!(reason(vec![2; 1000]).unwrap().contains("black"));
        assert!(reason(vec![255; 1000]).unwrap().contains("saturated"));
        let mut highlights = vec![90; 1000];
        highlights[..400].fill(255);
        assert_eq!(reason(highlights), None);
        assert!(reason(vec![]).unwrap().contains("no pixels"));
    }

    #[test]
    fn only_the_subject_is_judged_where_its_mask_is_known() {
        let size = Size::new(100, 100);
        let lit = |p: usize| p < 5;
        let values = (0..10_000).map(|p| if lit(p) { 200 } else { 0 }).collect();
        let photos = [photo(Pixels::U8(values))];
        assert!(reason_among(&photos, 0, None).is_some());
        let mask = Plane::new(size, (0..10_000).map(lit).collect());
        assert_eq!(reason_among(&photos, 0, Some(&mask)), None);
    }

    #[test]
    fn a_float_image_without_a_number_is_unusable() {
        let photos = [photo(Pixels::F32(vec![f32::NAN; 9]))];
        let reason = reason_among(&photos, 0, None).unwrap();
        assert!(reason.contains("no finite value"), "{reason}");
    }

    /// A ramp whose upper part is cut at `end`, on a grid of `step`.
    fn ramp(end: u16, step: u16, cut: f64) -> Photo {
        let value = |i: usize| (i as f64 / 20_000.0 * f64::from(end / step) * cut) as u16;
        photo(Pixels::U16((0..20_000).map(|i| value(i).min(end / step) * step).collect()))
    }

    #[test]
    fn a_twelve_bit_sensor_clips_where_its_values_pile_up() {
        let clip =
            |photo: &Photo| Ranges::of([photo].into_iter()).of_photo(photo).clip_level(&photo.grey);
        assert_eq!(clip(&ramp(4095, 1, 1.2)), 4095.0);
        assert_eq!(clip(&ramp(4095 << 4, 16, 1.2)), 65_520.0);
        assert_eq!(clip(&ramp(16_383, 1, 1.2)), 16_383.0);
        assert_eq!(clip(&ramp(1023, 1, 1.2)), 1023.0);
        // Ends that no sensor has, and one that the tail merely reaches.
        assert_eq!(clip(&ramp(4000, 1, 1.2)), 65_535.0);
        assert_eq!(clip(&ramp(4095, 1, 1.0003)), 65_535.0);
    }

    #[test]
    fn a_dim_sixteen_bit_capture_is_not_black() {
        let photos = [300u16, 3].map(|v| photo(Pixels::U16(vec![v; 1000])));
        assert_eq!(reason_among(&photos, 0, None), None);
        assert!(reason_among(&photos, 1, None).unwrap().contains("black"));
    }

    #[test]
    fn float_values_above_one_are_scaled_and_do_not_clip() {
        let photos = [photo(Pixels::F32(vec![0.1, 40.0, 7.0]))];
        let range = Ranges::of(photos.iter()).of_photo(&photos[0]);
        assert_eq!((range.clip, range.scale), (f32::MAX, 1.0 / 40.0));
        let mut values = vec![1.0; 500];
        values.extend((0..1000).map(|i| i as f32 / 1000.0));
        let photos = [photo(Pixels::F32(values))];
        assert_eq!(Ranges::of(photos.iter()).of_photo(&photos[0]).clip, 1.0);
    }
}
