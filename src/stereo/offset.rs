//! A constant under all frames: stray light in the lens, the sensor's pedestal, light of the room
//! that no dark frame was taken of. `I = ρ n·l + b` with b the same everywhere flattens the
//! normals (a quarter of the brightness of a Photoface cheek is b).
//!
//! With lights in a ring b cannot be told from `ρ n_z` pixel by pixel: the column of ones is all
//! but in the span of the lights. What can be seen is darkness. A background out of the lamps'
//! reach shows b and a little light; a cast shadow shows b and a little skylight. So the darkest
//! that a large background gets, in every frame, bounds b from above, and the darkest of the
//! subject does too. The estimate is the lower of both: it takes off too little rather than too
//! much, as what is taken off too much cannot be told from shadow afterwards.

use super::foreground::spread;
use crate::maps::{ImageStack, Mask, Pixels};
use crate::order_statistics::quantile;
use rayon::prelude::*;

/// A background smaller than this share of the image is a corner behind the jaw, not a
/// background.
const LEAST_BACKGROUND: f64 = 0.05;
/// Share of the image's shorter side around the subject that is not trusted as background: hair
/// and the outline's blur.
const MARGIN: f64 = 0.02;
/// Dark end of the background. Above a hundredth, which is noise; below a half, which the lamps
/// reach.
const BACKGROUND_SHARE: f64 = 0.1;
/// Dark end of the subject.
const SUBJECT_SHARE: f64 = 0.01;
/// More of the background than this at 0 has been clipped there: it is black, or its level was
/// subtracted before.
const MOST_CLIPPED: f64 = 0.01;
/// The offset must stand this many times above its uncertainty.
const LEAST_SIGNIFICANCE: f32 = 3.0;

/// A level common to all pixels of all frames, as shares of full scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset {
    pub level: f32,
    /// Half of the spread of the level over the frames, at least one step of the pixels.
    pub uncertainty: f32,
}

/// The constant that lies under all frames, or `None` where nothing shows it: no background to
/// speak of, a black one, or frames that disagree.
///
/// `subject` is the foreground, such as [`super::foreground_mask`]'s. The estimate leans to the
/// low side: what is dark may still see a little light, but nothing is darker than the offset.
///
/// # Panics
/// If the mask is of another size.
pub fn estimate_offset(images: &ImageStack, subject: &Mask) -> Option<Offset> {
    estimate_offsets([images], subject)[0]
}

/// As [`estimate_offset`], for stacks with one subject, such as the channels of a colour capture.
///
/// # Panics
/// If the mask is of another size than a stack.
pub fn estimate_offsets<const N: usize>(
    stacks: [&ImageStack; N],
    subject: &Mask,
) -> [Option<Offset>; N] {
    let size = subject.size;
    let margin = (MARGIN * size.height.min(size.width) as f64).ceil() as usize;
    let near = spread(subject, margin, true);
    let parts: Vec<u8> = subject
        .data
        .iter()
        .zip(&near.data)
        .map(|(&subject, &near)| if subject { SUBJECT } else { u8::from(near) * BETWEEN })
        .collect();
    stacks.map(|images| {
        assert_eq!(images.size, size, "a mask of the images' size");
        of_parts(images, &parts)
    })
}

/// What a pixel shows: background, the margin that is neither, or the subject.
const BACKGROUND: u8 = 0;
const BETWEEN: u8 = 1;
const SUBJECT: u8 = 2;

fn of_parts(images: &ImageStack, parts: &[u8]) -> Option<Offset> {
    let area = parts.len();
    let background = parts.iter().filter(|&&part| part == BACKGROUND).count();
    if images.count == 0 || (background as f64) < (LEAST_BACKGROUND * area as f64).max(1.0) {
        return None;
    }
    let mut levels = (0..images.count)
        .into_par_iter()
        .map(|frame| {
            let range = frame * area..(frame + 1) * area;
            match &images.pixels {
                Pixels::U8(values) => darkest_of_whole(&values[range], parts, 1 << 8),
                Pixels::U16(values) => darkest_of_whole(&values[range], parts, 1 << 16),
                Pixels::F32(values) => darkest(&values[range], parts),
            }
        })
        .collect::<Option<Vec<f32>>>()?;
    levels.sort_by(f32::total_cmp);
    let unit = 1.0 / images.pixels.full_scale();
    let step = match images.pixels {
        Pixels::U8(_) | Pixels::U16(_) => 1.0,
        Pixels::F32(_) => 0.0,
    };
    let half_spread = 0.5 * (levels[levels.len() - 1] - levels[0]);
    let uncertainty = half_spread.max(step).max(f32::MIN_POSITIVE);
    let level = levels[(levels.len() - 1) / 2];
    (level >= LEAST_SIGNIFICANCE * uncertainty)
        .then_some(Offset { level: level * unit, uncertainty: uncertainty * unit })
}

/// The lower of the dark ends of a frame's background and subject; `None` where the background is
/// clipped.
fn darkest(values: &[f32], parts: &[u8]) -> Option<f32> {
    let of = |wanted: u8| -> Vec<f32> {
        let pixels = values.iter().zip(parts).filter(|&(_, &part)| part == wanted);
        pixels.map(|(&v, _)| v).filter(|v| v.is_finite()).collect()
    };
    let mut dark = of(BACKGROUND);
    let clipped = dark.iter().filter(|&&v| v <= 0.0).count();
    if clipped as f64 > MOST_CLIPPED * dark.len() as f64 {
        return None;
    }
    let of_background = quantile(&mut dark, BACKGROUND_SHARE)?;
    let of_subject = quantile(&mut of(SUBJECT), SUBJECT_SHARE).unwrap_or(f32::INFINITY);
    Some(of_background.min(of_subject))
}

/// As [`darkest`] for whole numbers below `levels`, by counting them.
fn darkest_of_whole<T: Copy + Into<usize>>(
    values: &[T],
    parts: &[u8],
    levels: usize,
) -> Option<f32> {
    let mut counts = vec![0u32; 3 * levels];
    for (&value, &part) in values.iter().zip(parts) {
        counts[usize::from(part) * levels + value.into()] += 1;
    }
    let of = |part: u8| &counts[usize::from(part) * levels..][..levels];
    let total = |counts: &[u32]| counts.iter().map(|&n| n as usize).sum::<usize>();
    let percentile = |counts: &[u32], share: f64| {
        let rank = (total(counts).checked_sub(1)? as f64 * share) as usize;
        let mut below = 0;
        counts.iter().position(|&n| {
            below += n as usize;
            below > rank
        })
    };
    let background = of(BACKGROUND);
    if f64::from(background[0]) > MOST_CLIPPED * total(background) as f64 {
        return None;
    }
    let of_background = percentile(background, BACKGROUND_SHARE)?;
    let of_subject = percentile(of(SUBJECT), SUBJECT_SHARE).unwrap_or(usize::MAX);
    Some(of_background.min(of_subject) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Plane, Size};
    use crate::stereo::foreground_mask;
    use crate::synth::height_field::{RenderOptions, Scene, render};

    fn found(person: u64, ambient_dn: f32) -> Option<Offset> {
        let mut scene = Scene::sample(person, 0, Size::new(120, 90));
        scene.exposure *= 0.5;
        scene.options = RenderOptions { ambient_dn, ..RenderOptions::default() };
        let images = render(&scene).images;
        estimate_offset(&images, &foreground_mask(&images))
    }

    #[test]
    fn the_room_light_of_a_rendered_head_is_found_and_not_overstated() {
        for person in 0..4 {
            for ambient_dn in [12.0, 24.0] {
                let offset = found(person, ambient_dn).expect("an offset");
                let level_dn = 255.0 * offset.level;
                // The tenth of the background that is darkest by noise of one step: 1.3 below.
                let low = ambient_dn - level_dn;
                assert!((0.0..=3.0).contains(&low), "{level_dn} DN of {ambient_dn}");
            }
        }
    }

    #[test]
    fn a_black_background_shows_none() {
        for person in 0..4 {
            assert_eq!(found(person, 0.0), None);
        }
    }

    #[test]
    fn a_face_that_fills_the_frame_and_frames_that_disagree_show_none() {
        let size = Size::new(60, 50);
        let whole = Plane::filled(size, true);
        let images = ImageStack::new(size, 3, Pixels::U8(vec![20; 9000]));
        assert_eq!(estimate_offset(&images, &whole), None);
        let half = Plane::from_fn(size, |_, c| c < 25);
        let offset = estimate_offset(&images, &half).expect("an offset");
        assert!((255.0 * offset.level - 20.0).abs() < 1e-4, "{offset:?}");
        let brighter = |j: usize| vec![10 + 15 * j as u8; 3000];
        let images = ImageStack::new(size, 3, Pixels::U8((0..3).flat_map(brighter).collect()));
        assert_eq!(estimate_offset(&images, &half), None);
    }

    #[test]
    fn a_subject_with_something_darker_bounds_it() {
        let size = Size::new(60, 50);
        let subject = Plane::from_fn(size, |_, c| c < 25);
        let pixel = |p: usize| match (p / 50, p % 50) {
            (r, c) if c < 25 && r < 6 => 12,
            (_, c) if c < 25 => 120,
            _ => 20,
        };
        let image: Vec<u8> = (0..3000).map(pixel).collect();
        let images = ImageStack::new(size, 3, Pixels::U8(image.repeat(3)));
        let offset = estimate_offset(&images, &subject).expect("an offset");
        assert!((255.0 * offset.level - 12.0).abs() < 1e-4, "{offset:?}");
    }
}
