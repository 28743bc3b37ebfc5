//! A photograph as amounts of light: file values made linear, grey and, where the file has it,
//! colour.
//!
//! Photometric stereo needs `I = ρ e n·l`: values in proportion to light. Sensor files are; files
//! for screens hold the sRGB curve (IEC 61966-2-1),
//! `l = v / 12.92` for v ≤ 0.04045, else `((v + 0.055) / 1.055)^2.4`, which is undone here.
//!
//! Grey is Rec. 709 luminance, `Y = 0.2126 R + 0.7152 G + 0.0722 B`, of linear values.

use super::decode::{decode_bytes, format_of, read_bytes};
use super::{IoError, exr_map};
use crate::maps::{Pixels, Size};
use image::{DynamicImage, ImageFormat};
use std::path::Path;
use std::sync::LazyLock;

/// Rec. 709.
pub const LUMINANCE: [f32; 3] = [0.2126, 0.7152, 0.0722];

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

impl Transfer {
    pub const NAMES: [(&str, Transfer); 3] =
        [("by-format", Transfer::ByFormat), ("linear", Transfer::Linear), ("srgb", Transfer::Srgb)];
}

impl std::str::FromStr for Transfer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        crate::config::parse_name("transfer function", name, &Self::NAMES)
    }
}

/// One image in linear light.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    pub size: Size,
    /// (h, w) row-major.
    pub grey: Pixels,
    /// R, G and B, each (h, w), where they differ anywhere; all three of one kind.
    pub colour: Option<[Pixels; 3]>,
}

/// One grey image in linear light.
#[derive(Clone, Debug, PartialEq)]
pub struct GreyImage {
    pub size: Size,
    pub pixels: Pixels,
}

/// Reads an 8- or 16-bit or float image; alpha is dropped.
///
/// Linear values stay what the file holds: 8 bits `U8`, 16 bits `U16`, float `F32` in the file's
/// own unit with NaN in place of NaN and ±∞. Values that were sRGB become `U16` (float: `F32`).
/// The luminance of 8-bit colour is `U16` (255 → 65,535), because a weighted sum of three
/// channels is finer than one of their steps; where the channels are equal all over, the image is
/// the grey that it is.
///
/// # Errors
/// A missing file, one that cannot be decoded, a side above 32,768 pixels or more than 512 MiB.
pub fn read_photo(path: &Path, transfer: Transfer) -> Result<Photo, IoError> {
    photo_of(path, read_bytes(path)?, transfer)
}

/// `path` names the image in errors.
fn photo_of(path: &Path, bytes: Vec<u8>, transfer: Transfer) -> Result<Photo, IoError> {
    let format = format_of(path, &bytes)?;
    let srgb = match transfer {
        Transfer::ByFormat => format == ImageFormat::Jpeg,
        Transfer::Linear => false,
        Transfer::Srgb => true,
    };
    if format == ImageFormat::OpenExr {
        let (size, channels) = exr_map::decode_light(path, bytes)?;
        return Ok(float_photo(size, channels, srgb));
    }
    let image = decode_bytes(path, &bytes, format)?;
    let size = Size::new(image.height() as usize, image.width() as usize);
    let (grey, colour) = match image {
        DynamicImage::ImageLuma8(image) => (grey_8(image.into_raw(), srgb), None),
        DynamicImage::ImageLumaA8(image) => (grey_8(first_of::<_, 2>(image.as_raw()), srgb), None),
        DynamicImage::ImageLuma16(image) => (grey_16(image.into_raw(), srgb), None),
        DynamicImage::ImageLumaA16(image) => {
            (grey_16(first_of::<_, 2>(image.as_raw()), srgb), None)
        }
        DynamicImage::ImageRgb8(image) => colour_8::<3>(image.as_raw(), srgb),
        DynamicImage::ImageRgba8(image) => colour_8::<4>(image.as_raw(), srgb),
        DynamicImage::ImageRgb16(image) => colour_16::<3>(image.into_raw(), srgb),
        DynamicImage::ImageRgba16(image) => colour_16::<4>(image.into_raw(), srgb),
        DynamicImage::ImageRgb32F(image) => {
            return Ok(float_photo(size, planes::<3>(image.as_raw()), srgb));
        }
        DynamicImage::ImageRgba32F(image) => {
            return Ok(float_photo(size, planes::<4>(image.as_raw()), srgb));
        }
        _ => return Err(IoError::unsuitable(path, "has a pixel type that captures cannot use")),
    };
    Ok(Photo { size, grey, colour })
}

/// [`read_photo`] by the format's own transfer function, without the colour.
pub fn read_grey(path: &Path) -> Result<GreyImage, IoError> {
    let Photo { size, grey, .. } = read_photo(path, Transfer::ByFormat)?;
    Ok(GreyImage { size, pixels: grey })
}

/// As [`read_grey`], of an encoded image that `name` stands for in errors.
pub fn grey_of_bytes(name: &Path, bytes: Vec<u8>) -> Result<GreyImage, IoError> {
    let Photo { size, grey, .. } = photo_of(name, bytes, Transfer::ByFormat)?;
    Ok(GreyImage { size, pixels: grey })
}

/// sRGB to linear, both 0 to 1; goes on beyond 1 for float files.
fn linear_from_srgb(v: f64) -> f64 {
    if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

/// A linear share of full scale under the sRGB curve (IEC 61966-2-1), cut to 0 to 1.
pub(crate) fn srgb_encoded(linear: f32) -> f32 {
    let v = linear.clamp(0.0, 1.0);
    if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
}

fn linear_table(top: u32) -> Vec<u16> {
    let share = |v: u32| linear_from_srgb(f64::from(v) / f64::from(top));
    (0..=top).map(|v| (share(v) * f64::from(u16::MAX)).round() as u16).collect()
}

static LINEAR_FROM_8: LazyLock<Vec<u16>> = LazyLock::new(|| linear_table(255));
static LINEAR_FROM_16: LazyLock<Vec<u16>> = LazyLock::new(|| linear_table(65_535));

fn grey_8(values: Vec<u8>, srgb: bool) -> Pixels {
    if srgb { Pixels::U16(from_8(&values)) } else { Pixels::U8(values) }
}

fn grey_16(values: Vec<u16>, srgb: bool) -> Pixels {
    Pixels::U16(if srgb { from_16(values) } else { values })
}

fn from_8(values: &[u8]) -> Vec<u16> {
    values.iter().map(|&v| LINEAR_FROM_8[usize::from(v)]).collect()
}

fn from_16(mut values: Vec<u16>) -> Vec<u16> {
    values.iter_mut().for_each(|v| *v = LINEAR_FROM_16[usize::from(*v)]);
    values
}

fn first_of<T: Copy, const C: usize>(interleaved: &[T]) -> Vec<T> {
    interleaved.as_chunks::<C>().0.iter().map(|pixel| pixel[0]).collect()
}

type GreyAndColour = (Pixels, Option<[Pixels; 3]>);

/// C interleaved 8-bit channels in one pass.
fn colour_8<const C: usize>(interleaved: &[u8], srgb: bool) -> GreyAndColour {
    if srgb {
        return colour_16::<C>(from_8(interleaved), false);
    }
    let ([r, g, b], grey, differ) = split::<u8, C>(interleaved, 257.0);
    if differ {
        (Pixels::U16(grey), Some([Pixels::U8(r), Pixels::U8(g), Pixels::U8(b)]))
    } else {
        (Pixels::U8(r), None)
    }
}

/// C interleaved 16-bit channels in one pass.
fn colour_16<const C: usize>(interleaved: Vec<u16>, srgb: bool) -> GreyAndColour {
    let interleaved = if srgb { from_16(interleaved) } else { interleaved };
    let ([r, g, b], grey, differ) = split::<u16, C>(&interleaved, 1.0);
    if differ {
        (Pixels::U16(grey), Some([Pixels::U16(r), Pixels::U16(g), Pixels::U16(b)]))
    } else {
        (Pixels::U16(r), None)
    }
}

/// Channels, their luminance times `unit`, and whether the channels differ anywhere.
fn split<T: Copy + Default + PartialEq + Into<f32>, const C: usize>(
    interleaved: &[T],
    unit: f32,
) -> ([Vec<T>; 3], Vec<u16>, bool) {
    let pixels = interleaved.as_chunks::<C>().0;
    let mut channels = [(); 3].map(|()| vec![T::default(); pixels.len()]);
    let [red, green, blue] = &mut channels;
    let mut grey = vec![0u16; pixels.len()];
    let mut differ = false;
    let weights = LUMINANCE.map(|w| w * unit);
    let into = red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()).zip(grey.iter_mut());
    for ((((r, g), b), y), pixel) in into.zip(pixels) {
        (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
        differ |= *r != *g || *g != *b;
        let [vr, vg, vb] = [pixel[0].into(), pixel[1].into(), pixel[2].into()];
        // Adding a half and cutting rounds what is not negative, and vectorises.
        *y = (weights[0] * vr + weights[1] * vg + weights[2] * vb + 0.5) as u16;
    }
    (channels, grey, differ)
}

fn planes<const C: usize>(interleaved: &[f32]) -> Vec<Vec<f32>> {
    let pixels = interleaved.as_chunks::<C>().0;
    (0..3).map(|c| pixels.iter().map(|pixel| pixel[c]).collect()).collect()
}

/// One channel (grey) or three.
fn float_photo(size: Size, mut channels: Vec<Vec<f32>>, srgb: bool) -> Photo {
    for value in channels.iter_mut().flatten() {
        if !value.is_finite() {
            *value = f32::NAN;
        } else if srgb {
            *value = linear_from_srgb(f64::from(*value)) as f32;
        }
    }
    let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
    let channels: Result<[Vec<f32>; 3], _> = channels.try_into();
    let (grey, colour) = match channels {
        Ok([r, g, b]) if !(same(&r, &g) && same(&g, &b)) => {
            let grey = luminance(&r, &g, &b);
            (grey, Some([r, g, b].map(Pixels::F32)))
        }
        Ok([grey, ..]) => (grey, None),
        Err(mut one) => (one.swap_remove(0), None),
    };
    Photo { size, grey: Pixels::F32(grey), colour }
}

/// Rec. 709 luminance of three float channels; NaN where any of them is.
pub fn luminance(r: &[f32], g: &[f32], b: &[f32]) -> Vec<f32> {
    let [wr, wg, wb] = LUMINANCE;
    r.iter().zip(g).zip(b).map(|((r, g), b)| wr * r + wg * g + wb * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(folder: &tempfile::TempDir, name: &str) -> std::path::PathBuf {
        folder.path().join(name)
    }

    #[test]
    fn sixteen_bits_stay_sixteen_and_grey_stays_exact() {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<u16> = vec![0, 1, 255, 256, 40_000, 65_535];
        let image = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(3, 2, values.clone());
        let image = image.unwrap();
        for name in ["a.png", "a.tiff", "a.pgm"] {
            image.save(at(&folder, name)).unwrap();
            let read = read_grey(&at(&folder, name)).unwrap();
            let pixels = Pixels::U16(values.clone());
            assert_eq!(read, GreyImage { size: Size::new(2, 3), pixels }, "{name}");
        }
        let grey_as_rgb: Vec<u8> = [0u8, 7, 128, 255].iter().flat_map(|&v| [v, v, v]).collect();
        let image = image::RgbImage::from_raw(2, 2, grey_as_rgb).unwrap();
        for name in ["b.bmp", "b.tga", "b.ppm", "b.png"] {
            image.save(at(&folder, name)).unwrap();
            let read = read_photo(&at(&folder, name), Transfer::ByFormat).unwrap();
            assert_eq!((read.grey, read.colour), (Pixels::U8(vec![0, 7, 128, 255]), None));
        }
    }

    #[test]
    fn alpha_is_dropped_and_one_pixel_is_an_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = at(&folder, "a.png");
        let grey_alpha = vec![9u8, 0, 200, 255];
        image::GrayAlphaImage::from_raw(2, 1, grey_alpha).unwrap().save(&path).unwrap();
        assert_eq!(read_grey(&path).unwrap().pixels, Pixels::U8(vec![9, 200]));
        image::RgbaImage::from_raw(1, 1, vec![1, 2, 3, 0]).unwrap().save(&path).unwrap();
        let photo = read_photo(&path, Transfer::ByFormat).unwrap();
        assert_eq!(photo.colour, Some([1, 2, 3].map(|v| Pixels::U8(vec![v]))));
        assert_eq!(photo.size, Size::new(1, 1));
    }

    #[test]
    fn colour_becomes_fine_luminance_and_three_channels() {
        let folder = tempfile::tempdir().unwrap();
        let path = at(&folder, "c.png");
        let pixels = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
        image::RgbImage::from_raw(4, 1, pixels).unwrap().save(&path).unwrap();
        let want = [0.2126f64, 0.7152, 0.0722, 1.0].map(|y| (y * 65_535.0).round() as u16);
        let photo = read_photo(&path, Transfer::ByFormat).unwrap();
        assert_eq!(photo.grey, Pixels::U16(want.to_vec()));
        let channels = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]];
        assert_eq!(photo.colour, Some(channels.map(|c| Pixels::U8(c.to_vec()))));
    }

    /// The standard's own points: black, the joint of its two pieces, and half of full scale
    /// (0.2140 by its formula).
    #[test]
    fn srgb_is_undone_for_jpeg_and_on_request() {
        assert_eq!(LINEAR_FROM_8[0], 0);
        assert_eq!(LINEAR_FROM_8[255], 65_535);
        assert_eq!(LINEAR_FROM_8[10], (10.0f64 / 255.0 / 12.92 * 65_535.0).round() as u16);
        assert!((f64::from(LINEAR_FROM_16[32_768]) / 65_535.0 - 0.21404).abs() < 2e-5);

        let folder = tempfile::tempdir().unwrap();
        let image = image::GrayImage::from_pixel(16, 16, image::Luma([128]));
        image.save(at(&folder, "a.jpg")).unwrap();
        image.save(at(&folder, "a.png")).unwrap();
        let first =
            |name: &str, transfer| read_photo(&at(&folder, name), transfer).unwrap().grey.get(0);
        let linear = 0.215_861 * 65_535.0;
        assert!((first("a.jpg", Transfer::ByFormat) - linear).abs() < 1.0);
        assert!((first("a.png", Transfer::Srgb) - linear).abs() < 1.0);
        assert_eq!(first("a.jpg", Transfer::Linear), 128.0);
        assert_eq!(first("a.png", Transfer::ByFormat), 128.0);
    }

    #[test]
    fn float_files_keep_their_values_and_what_is_not_finite_is_nan() {
        let folder = tempfile::tempdir().unwrap();
        let values = vec![0.5, 2.0, -0.25, f32::NAN, f32::INFINITY, 1.0];
        let image = image::Rgb32FImage::from_raw(2, 1, values).unwrap();
        for name in ["a.exr", "a.tiff"] {
            image.save(at(&folder, name)).unwrap();
            let photo = read_photo(&at(&folder, name), Transfer::ByFormat).unwrap();
            let [r, g, b] = photo.colour.unwrap();
            assert_eq!((r.get(0), g.get(0), b.get(0), b.get(1)), (0.5, 2.0, -0.25, 1.0), "{name}");
            assert!(r.get(1).is_nan() && g.get(1).is_nan() && photo.grey.get(1).is_nan());
            let want = 0.2126 * 0.5 + 0.7152 * 2.0 - 0.0722 * 0.25;
            assert!((photo.grey.get(0) - want).abs() < 1e-6);
        }
        let plane = crate::maps::Plane::new(Size::new(1, 2), vec![0.25, f32::INFINITY]);
        super::super::write_plane(&at(&folder, "y.exr"), &plane, Default::default()).unwrap();
        let photo = read_photo(&at(&folder, "y.exr"), Transfer::ByFormat).unwrap();
        assert!(photo.grey.get(0) == 0.25 && photo.grey.get(1).is_nan() && photo.colour.is_none());
    }

    #[test]
    fn bad_files_are_named_and_huge_claims_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_grey(&at(&folder, "none.png")), Err(IoError::NotFound(_))));
        let whole = |header: &str| [header.as_bytes(), &[9; 40_000]].concat();
        for (name, why, bytes) in [
            ("text.png", "", b"not a picture".to_vec()),
            ("huge.pgm", "limit", b"P5 60000 60000 255\n0".to_vec()),
            ("wide.pgm", "limit", whole("P5 40000 1 255\n")),
            ("high.pgm", "limit", whole("P5 1 40000 255\n")),
            ("heavy.ppm", "limit", b"P6 20000 20000 255\n0".to_vec()),
            // TGA: 16-bit width and height at bytes 12 to 15, 24 bits a pixel.
            ("huge.tga", "limit", {
                let mut header = vec![0u8; 18];
                (header[2], header[16]) = (2, 24);
                header[12..16].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
                header
            }),
        ] {
            std::fs::write(at(&folder, name), bytes).unwrap();
            let message = read_grey(&at(&folder, name)).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(why), "{message}");
        }
    }

    #[test]
    fn colours_are_encoded_as_srgb_says() {
        // Half of full scale is 188 of 255, a fifth 124, in every table of the curve.
        for (linear, byte) in [(0.0, 0.0), (0.2, 124.0), (0.5, 188.0), (1.0, 255.0)] {
            assert_eq!((255.0 * srgb_encoded(linear)).round(), byte, "{linear}");
        }
    }
}
