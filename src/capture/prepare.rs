//! Takes the ambient light off and divides by the lights' colours, then stacks.
//!
//! With all lamps off the camera sees `A`; with lamp j on, channel c holds
//! `I_jc = A_c + ρ_c e_jc n·l_j`. The solver gets `(I_jc − A_c) / e_jc`, and for grey the luminance
//! of that. Images that need neither stay the integers that they are: the solver's fast path.

use super::judge::{Range, Ranges};
use crate::io::{Photo, luminance};
use crate::maps::{ImageStack, Pixels, Size};
use rayon::prelude::*;

/// What stands between the photos of a capture and what the solver wants.
pub(super) struct Preparation {
    pub ranges: Ranges,
    pub ambient: Option<Photo>,
    /// Per photo, the light's intensities by channel.
    pub divisors: Option<Vec<[f32; 3]>>,
}

/// One photo ready for the stacks: grey, and R, G, B where the capture has colour.
struct Prepared {
    grey: Pixels,
    grey_white: f32,
    colour: Option<[(Pixels, f32); 3]>,
}

impl Preparation {
    /// The grey stack and, where any photo has colour, those of R, G and B (a grey photo among
    /// them counts as three equal channels).
    ///
    /// # Panics
    /// If there is no photo, or not one divisor per photo.
    pub fn stacks(&self, size: Size, photos: Vec<Photo>) -> (ImageStack, Option<[ImageStack; 3]>) {
        let in_colour = photos.iter().any(|photo| photo.colour.is_some());
        let prepared: Vec<Prepared> = photos
            .into_par_iter()
            .enumerate()
            .map(|(index, photo)| self.prepare(index, photo, in_colour))
            .collect();
        let (mut grey, mut colour) = (Vec::new(), [(); 3].map(|()| Vec::new()));
        for photo in prepared {
            grey.push((photo.grey, photo.grey_white));
            for (stack, channel) in colour.iter_mut().zip(photo.colour.into_iter().flatten()) {
                stack.push(channel);
            }
        }
        (stack(size, grey), in_colour.then(|| colour.map(|channel| stack(size, channel))))
    }

    fn prepare(&self, index: usize, photo: Photo, in_colour: bool) -> Prepared {
        let range = self.ranges.of_photo(&photo);
        let divisors = self.divisors.as_ref().map(|all| all[index]);
        let as_it_is = self.ambient.is_none() && divisors.is_none() && range.scale == 1.0;
        let with_white = |pixels: Pixels| {
            let white = range.clip_level(&pixels);
            (pixels, white)
        };
        if as_it_is {
            let colour = in_colour.then(|| match &photo.colour {
                Some(channels) => channels.clone().map(with_white),
                None => [(); 3].map(|()| with_white(photo.grey.clone())),
            });
            let (grey, grey_white) = with_white(photo.grey);
            return Prepared { grey, grey_white, colour };
        }

        let channel = |c: usize| {
            let pixels = photo.colour.as_ref().map_or(&photo.grey, |channels| &channels[c]);
            let ambient = self.ambient.as_ref().map(|ambient| {
                self.shares(ambient, ambient.colour.as_ref().map_or(&ambient.grey, |rgb| &rgb[c]))
            });
            lit_part(pixels, range, ambient.as_deref(), divisors.map_or(1.0, |e| e[c]))
        };
        let colour = in_colour.then(|| [channel(0), channel(1), channel(2)]);
        let (grey, grey_white) = match (&colour, divisors) {
            (Some([(r, red), (g, green), (b, blue)]), Some(_)) => {
                // A grey surface clips first in the channel whose light is brightest.
                (luminance(r, g, b), red.min(*green).min(*blue))
            }
            _ => {
                let ambient = self.ambient.as_ref();
                let ambient = ambient.map(|ambient| self.shares(ambient, &ambient.grey));
                lit_part(&photo.grey, range, ambient.as_deref(), 1.0)
            }
        };
        Prepared {
            grey: Pixels::F32(grey),
            grey_white,
            colour: colour.map(|rgb| rgb.map(|(values, white)| (Pixels::F32(values), white))),
        }
    }

    /// One plane of the ambient frame as shares of full scale.
    fn shares(&self, ambient: &Photo, pixels: &Pixels) -> Vec<f32> {
        let unit = self.ranges.of_photo(ambient).scale / pixels.full_scale();
        (0..pixels.len()).map(|i| pixels.get(i) * unit).collect()
    }
}

/// `(I − A) / e` as shares of full scale, and where that is saturated.
///
/// A clipped pixel keeps its ambient light: all that is known of it is that it stands at the
/// clipping level or above, and so it does in the result, whatever A is there.
fn lit_part(pixels: &Pixels, range: Range, ambient: Option<&[f32]>, e: f32) -> (Vec<f32>, f32) {
    let unit = range.scale / pixels.full_scale();
    let clip = range.clip_level(pixels);
    let lit = |p: usize| {
        let raw = pixels.get(p);
        match ambient {
            Some(ambient) if raw < clip => (raw * unit - ambient[p]) / e,
            _ => raw * unit / e,
        }
    };
    let white = if clip == f32::MAX { f32::MAX } else { clip * unit / e };
    ((0..pixels.len()).map(lit).collect(), white)
}

/// Puts images of one size in one stack, in the finest of their kinds: 8-bit (255), 16-bit
/// (65,535), float (1).
fn stack(size: Size, images: Vec<(Pixels, f32)>) -> ImageStack {
    let count = images.len();
    let finest = |kind: fn(&Pixels) -> bool| images.iter().any(|(pixels, _)| kind(pixels));
    let float = finest(|pixels| matches!(pixels, Pixels::F32(_)));
    let sixteen = finest(|pixels| matches!(pixels, Pixels::U16(_)));
    let mut white = Vec::with_capacity(count);
    let mut pixels = match (float, sixteen) {
        (true, _) => Pixels::F32(Vec::with_capacity(count * size.area())),
        (false, true) => Pixels::U16(Vec::with_capacity(count * size.area())),
        (false, false) => Pixels::U8(Vec::with_capacity(count * size.area())),
    };
    for (image, level) in images {
        let unit = pixels.full_scale() / image.full_scale();
        white.push(if level == f32::MAX { level } else { level * unit });
        match (&mut pixels, image) {
            (Pixels::U8(all), Pixels::U8(part)) => all.extend(part),
            (Pixels::U16(all), Pixels::U16(part)) => all.extend(part),
            (Pixels::U16(all), Pixels::U8(part)) => {
                all.extend(part.into_iter().map(|v| u16::from(v) * 257));
            }
            (Pixels::F32(all), part) => {
                all.extend((0..part.len()).map(|i| part.get(i) * unit));
            }
            (Pixels::U8(_) | Pixels::U16(_), _) => unreachable!("the finest kind was chosen"),
        }
    }
    ImageStack::new(size, count, pixels).with_white(white)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(values: &[u8]) -> Photo {
        Photo { size: Size::new(1, values.len()), grey: Pixels::U8(values.to_vec()), colour: None }
    }

    fn coloured(channels: [&[u16]; 3]) -> Photo {
        let size = Size::new(1, channels[0].len());
        let colour = channels.map(|c| Pixels::U16(c.to_vec()));
        Photo { size, grey: Pixels::U16(vec![0; size.area()]), colour: Some(colour) }
    }

    fn stacks(
        photos: Vec<Photo>,
        ambient: Option<Photo>,
        divisors: Option<Vec<[f32; 3]>>,
    ) -> (ImageStack, Option<[ImageStack; 3]>) {
        let ranges = Ranges::of(photos.iter());
        let size = photos[0].size;
        Preparation { ranges, ambient, divisors }.stacks(size, photos)
    }

    #[test]
    fn grey_eight_bit_images_stay_bytes() {
        let (images, colour) = stacks(vec![grey(&[1, 2]), grey(&[3, 255])], None, None);
        assert_eq!(images.pixels, Pixels::U8(vec![1, 2, 3, 255]));
        assert_eq!((images.white, colour), (vec![255.0; 2], None));
    }

    #[test]
    fn ambient_light_is_taken_off_and_clipped_pixels_stay_clipped() {
        let photos = vec![grey(&[30, 20, 255]), grey(&[130, 10, 254])];
        let (images, _) = stacks(photos, Some(grey(&[20, 20, 51])), None);
        let Pixels::F32(values) = &images.pixels else { panic!("{:?}", images.pixels) };
        let want = [10.0, 0.0, 255.0, 110.0, -10.0, 203.0].map(|v: f32| v / 255.0);
        for (got, want) in values.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{values:?}");
        }
        assert_eq!(images.white, [1.0, 1.0]);
        let clipped: Vec<bool> = values.iter().map(|&v| v >= images.white[0]).collect();
        assert_eq!(clipped, [false, false, true, false, false, false]);
    }

    #[test]
    fn channels_are_divided_by_their_lights_before_luminance() {
        // Albedo (0.1, 0.2, 0.3) under lights of (1, 2, 0.5) and (2, 1, 1).
        let full = 65_535.0;
        let value = |albedo: f64, e: f64| (albedo * e * full).round() as u16;
        let photo =
            |e: [f64; 3]| coloured([&[value(0.1, e[0])], &[value(0.2, e[1])], &[value(0.3, e[2])]]);
        let lights = [[1.0, 2.0, 0.5], [2.0, 1.0, 1.0]];
        let divisors = lights.map(|e| e.map(|v| v as f32)).to_vec();
        let (images, colour) = stacks(lights.map(photo).to_vec(), None, Some(divisors));
        let colour = colour.unwrap();
        for j in 0..2 {
            for (stack, albedo) in colour.iter().zip([0.1, 0.2, 0.3]) {
                assert!((stack.pixels.get(j) - albedo).abs() < 2e-5);
            }
            let luminance = 0.2126 * 0.1 + 0.7152 * 0.2 + 0.0722 * 0.3;
            assert!((images.pixels.get(j) - luminance).abs() < 2e-5);
        }
        assert_eq!(images.white, [0.5, 0.5]);
        assert_eq!(colour[0].white, [1.0, 0.5]);
        assert_eq!(colour[2].white, [2.0, 1.0]);
    }

    #[test]
    fn kinds_mix_upward_and_nan_stays() {
        let sixteen = Photo { grey: Pixels::U16(vec![7, 65_535]), ..grey(&[0, 0]) };
        let (images, _) = stacks(vec![grey(&[1, 255]), sixteen], None, None);
        assert_eq!(images.pixels, Pixels::U16(vec![257, 65_535, 7, 65_535]));
        let float = Photo { grey: Pixels::F32(vec![f32::NAN, 4.0]), ..grey(&[0, 0]) };
        let (images, _) = stacks(vec![float], Some(grey(&[51, 51])), None);
        assert!(images.pixels.get(0).is_nan());
        assert!((images.pixels.get(1) - 0.8).abs() < 1e-6, "4 of at most 4, less a fifth");
        assert_eq!(images.white, [f32::MAX]);
    }
}
