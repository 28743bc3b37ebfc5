//! Which picture of a capture a detector looks at, and which of the faces it finds is the subject.
//!
//! Each frame of a capture is lit from one side, so that half of a face may lie in shade. All of
//! them together show it as under soft light, which is what detectors have learned from.

use super::detector::DetectorOptions;
use super::finder::FaceFinder;
use super::landmarks::{Detection, PixelPoint};
use crate::io::{Picture, srgb_encoded};
use crate::maps::{Albedo, ImageStack, Plane, Size};
use crate::order_statistics::quantile_of_defined;
use serde::{Deserialize, Serialize};

/// What the picture for detection is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectionView {
    /// The mean of all frames, each brought to the same brightness first: soft light from all sides.
    #[default]
    Mean,
    /// The brightest of all frames at each pixel: no shade that one lamp reaches, but every
    /// highlight.
    Brightest,
}

/// Black and white of the picture: shares of its values that lie below.
const BLACK: f64 = 0.01;
const WHITE: f64 = 0.995;
/// Black takes off at most this share of white: enough for light that lies under all frames and was
/// not taken off; a picture without contrast is not stretched until its noise shows.
const MOST_BLACK: f32 = 0.9;
/// A frame's brightness is this quantile of its values: that of what the lamp reaches.
const LIT: f64 = 0.95;

impl DetectionView {
    /// The picture of a capture's frames: of one grey stack, or of those of red, green and blue.
    ///
    /// `None` where no frame holds any light.
    ///
    /// # Panics
    /// If there are neither one nor three stacks, or they differ in size.
    pub fn picture(self, stacks: &[&ImageStack]) -> Option<Picture> {
        assert!([1, 3].contains(&stacks.len()), "one grey stack, or red, green and blue");
        let (size, count) = (stacks[0].size, stacks[0].count);
        let area = size.area();
        let value = |stack: &ImageStack, frame: usize, p: usize| {
            let share = stack.pixels.get(frame * area + p) / stack.pixels.full_scale();
            if share.is_finite() { share.max(0.0) } else { f32::NAN }
        };
        let mut planes = vec![vec![f32::NAN; area]; stacks.len()];
        let mut seen = vec![0u32; area];
        for frame in 0..count {
            // One gain for all channels: a frame's colour stays.
            let lit = stacks.iter().flat_map(|stack| (0..area).map(|p| value(stack, frame, p)));
            let Some(lit) = quantile_of_defined(lit, LIT).filter(|lit| *lit > 0.0) else {
                continue;
            };
            let gain = if self == Self::Mean { 1.0 / lit } else { 1.0 };
            for p in 0..area {
                if stacks.iter().any(|stack| value(stack, frame, p).is_nan()) {
                    continue;
                }
                for (plane, stack) in planes.iter_mut().zip(stacks) {
                    let (before, new) = (&mut plane[p], gain * value(stack, frame, p));
                    *before = match self {
                        _ if before.is_nan() => new,
                        Self::Mean => *before + new,
                        Self::Brightest => before.max(new),
                    };
                }
                seen[p] += 1;
            }
        }
        if self == Self::Mean {
            for plane in &mut planes {
                plane.iter_mut().zip(&seen).for_each(|(v, &seen)| *v /= seen as f32);
            }
        }
        let planes: Vec<Plane<f32>> = planes.into_iter().map(|p| Plane::new(size, p)).collect();
        picture_of(&planes)
    }
}

/// The picture of an albedo map, for captures of which only maps are left: no shade at all, black
/// off the mask.
///
/// `None` where it is nowhere above zero.
pub fn albedo_picture(albedo: &Albedo) -> Option<Picture> {
    picture_of(albedo.planes())
}

/// Linear planes, stretched between their darkest and brightest values, under the sRGB curve; black
/// where undefined.
fn picture_of(planes: &[Plane<f32>]) -> Option<Picture> {
    let defined = || planes.iter().flat_map(|plane| plane.data.iter().copied());
    let white = quantile_of_defined(defined(), WHITE).filter(|white| *white > 0.0)?;
    let black = quantile_of_defined(defined(), BLACK)?.clamp(0.0, MOST_BLACK * white);
    let byte = |value: f32| {
        let share = (value - black) / (white - black);
        if share.is_nan() { 0 } else { (255.0 * srgb_encoded(share)).round() as u8 }
    };
    Some(Picture::from_fn(planes[0].size, |p| match planes {
        [red, green, blue] => [red, green, blue].map(|plane| byte(plane.data[p])),
        _ => [byte(planes[0].data[p]); 3],
    }))
}

/// The face taken for the subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChosenFace {
    pub face: Detection,
    /// How many other faces there are.
    pub others: usize,
}

/// The largest face near the middle: that of the highest `area − 2 distance²`, the box's area and the
/// distance of its centre from the picture's (facenet-pytorch, `center_weighted_size`). The first of
/// equals; boxes without area are none. `None` for no face.
pub fn largest_central(faces: &[Detection], size: Size) -> Option<ChosenFace> {
    let middle = PixelPoint::centre_of(size);
    let score = |face: &Detection| {
        face.bounds.area() - 2.0 * face.bounds.centre().distance_to(middle).powi(2)
    };
    let valid: Vec<&Detection> = faces.iter().filter(|face| face.bounds.is_valid()).collect();
    let best = valid.iter().copied().reduce(|a, b| if score(b) > score(a) { b } else { a })?;
    Some(ChosenFace { face: *best, others: valid.len() - 1 })
}

/// The subject's face is no smaller than this share of a picture's shorter side.
const SMALLEST_SHARE: f64 = 0.1;
/// The grey border about a tight crop, as a share of its longer side.
const BORDER: f64 = 0.5;
const BORDER_GREY: [u8; 3] = [127; 3];

/// The largest face near the middle of a picture that shows one person.
///
/// In a crop so tight that the face fills it the detector sees none, or one that reaches out of the
/// picture, its landmarks a fifth of the distance between the eyes off. It then looks within a grey border.
pub fn find_subject(detector: &dyn FaceFinder, picture: &Picture) -> Option<ChosenFace> {
    let size = picture.size;
    let shorter = size.height.min(size.width) as f64;
    let smallest = (SMALLEST_SHARE * shorter) as u32;
    let smallest = smallest.max(DetectorOptions::default().smallest_face);
    let plain = largest_central(&detector.faces(picture, smallest), size);
    if plain.is_some_and(|found| found.face.bounds.is_within(size)) {
        return plain;
    }
    find_in_border(detector, picture, smallest).or(plain)
}

fn find_in_border(
    detector: &dyn FaceFinder,
    picture: &Picture,
    smallest_face: u32,
) -> Option<ChosenFace> {
    let size = picture.size;
    let border = (BORDER * size.height.max(size.width) as f64).round() as usize;
    let around = Size::new(size.height + 2 * border, size.width + 2 * border);
    let mut bordered = Picture::filled(around, BORDER_GREY);
    bordered.paste(picture, border, border);
    let mut found = largest_central(&detector.faces(&bordered, smallest_face), around)?;
    let shift = border as f64;
    found.face.bounds = found.face.bounds.moved_by(-shift, -shift);
    let back = |point: PixelPoint| PixelPoint::new(point.column - shift, point.row - shift);
    found.face.landmarks = found.face.landmarks.map(back);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::super::landmarks::{FaceBox, Landmarks};
    use super::*;
    use crate::maps::Pixels;

    fn face(left: f64, top: f64, side: f64) -> Detection {
        Detection {
            bounds: FaceBox { left, top, right: left + side, bottom: top + side },
            score: 0.9,
            landmarks: Landmarks::from_points([PixelPoint::new(left, top); 5]),
        }
    }

    #[test]
    fn a_large_face_in_the_corner_gives_way_to_one_in_the_middle() {
        let size = Size::new(201, 201);
        let (corner, middle) = (face(0.0, 0.0, 60.0), face(75.0, 75.0, 50.0));
        // 3600 − 2 · 2 · 70² < 2500 − 0.
        let chosen = largest_central(&[corner, middle], size).unwrap();
        assert_eq!((chosen.face, chosen.others), (middle, 1));
        // In the middle the larger one wins.
        let larger = face(60.0, 60.0, 80.0);
        assert_eq!(largest_central(&[middle, larger], size).unwrap().face, larger);
        assert_eq!(largest_central(&[], size), None);
        let broken = face(f64::NAN, 0.0, 1.0);
        assert_eq!(largest_central(&[broken], size), None);
        assert_eq!(largest_central(&[broken, corner], size).unwrap().others, 0);
    }

    /// Two frames of four columns: lit from the left and, three times brighter, from the right.
    fn frames() -> ImageStack {
        let size = Size::new(1, 4);
        ImageStack::new(size, 2, Pixels::U8(vec![60, 40, 20, 0, 0, 60, 120, 180]))
    }

    #[test]
    fn both_sides_are_lit_alike_whatever_their_lamps() {
        // Of four values the 95 % quantile is the third: gains 1/40 and 1/120.
        let picture = DetectionView::Mean.picture(&[&frames()]).unwrap();
        let grey: Vec<u8> = (0..4).map(|c| picture.get(0, c)[0]).collect();
        // Linear sums 1.5, 1.5, 1.5, 1.5.
        assert!(grey.iter().all(|g| *g == grey[0] && *g > 200), "{grey:?}");
        let brightest = DetectionView::Brightest.picture(&[&frames()]).unwrap();
        let grey: Vec<u8> = (0..4).map(|c| brightest.get(0, c)[0]).collect();
        // 60 60 120 180, black the darkest of them.
        assert!(grey[0] == grey[1] && grey[2] > grey[1] && grey[3] == 255, "{grey:?}");
    }

    #[test]
    fn a_dark_frame_counts_for_nothing_and_nothing_lit_is_no_picture() {
        let size = Size::new(1, 4);
        let mut values = vec![0u8; 12];
        values[..8].copy_from_slice(&[60, 40, 20, 0, 0, 60, 120, 180]);
        let with_dark = ImageStack::new(size, 3, Pixels::U8(values));
        let view = DetectionView::Mean;
        assert_eq!(view.picture(&[&with_dark]), view.picture(&[&frames()]));
        let black = ImageStack::new(size, 2, Pixels::U8(vec![0; 8]));
        assert_eq!(view.picture(&[&black]), None);
        let unseen = ImageStack::new(size, 1, Pixels::F32(vec![f32::NAN; 4]));
        assert_eq!(view.picture(&[&unseen]), None);
        assert_eq!(DetectionView::Brightest.picture(&[&unseen]), None);
    }

    #[test]
    fn a_gain_of_all_changes_nothing_and_colour_stays() {
        let size = Size::new(2, 2);
        let stack = |scale: f32, values: [f32; 4]| {
            ImageStack::new(size, 1, Pixels::F32(values.map(|v| scale * v).to_vec()))
        };
        let of = |scale: f32| {
            let (r, g) = (stack(scale, [0.4, 0.0, 0.2, 0.1]), stack(scale, [0.1, 0.0, 0.2, 0.1]));
            let b = stack(scale, [0.1, 0.0, 0.2, 0.1]);
            DetectionView::Mean.picture(&[&r, &g, &b]).unwrap()
        };
        assert_eq!(of(1.0), of(0.125));
        let picture = of(1.0);
        let [red, green, blue] = picture.get(0, 0);
        assert!(red > green && green == blue, "{red} {green} {blue}");
        assert_eq!(picture.get(0, 1), [0; 3]);
        let [r, g, b] = picture.get(1, 0);
        assert!(r == g && g == b);
    }

    #[test]
    fn an_albedo_is_black_off_its_mask() {
        let plane = Plane::new(Size::new(1, 4), vec![f32::NAN, 0.2, 0.4, 0.5]);
        let picture = albedo_picture(&Albedo::Grey(plane)).unwrap();
        assert_eq!(picture.get(0, 0), [0; 3]);
        assert!(picture.get(0, 2)[0] > picture.get(0, 1)[0]);
        let nothing = Plane::filled(Size::new(1, 3), f32::NAN);
        assert_eq!(albedo_picture(&Albedo::Grey(nothing)), None);
    }
}
