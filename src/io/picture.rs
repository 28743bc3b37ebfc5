//! Pictures and masks: in and out, 8- and 16-bit.

use super::decode::{decode, decode_upright};
use super::{IoError, write_atomically};
use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};
use image::{ExtendedColorType, ImageEncoder};
use std::path::Path;

/// Writes one image of a stack as PNG, 8- or 16-bit as it is, float cut to 0–1 as 16-bit.
///
/// # Panics
/// If the stack has no image of that index.
pub fn write_grey(path: &Path, images: &ImageStack, index: usize) -> Result<(), IoError> {
    let area = images.size.area();
    let range = index * area..(index + 1) * area;
    match &images.pixels {
        Pixels::U8(values) => encode_png(path, &values[range], images.size, ExtendedColorType::L8),
        Pixels::U16(values) => {
            let bytes = bytemuck::cast_slice(&values[range]);
            encode_png(path, bytes, images.size, ExtendedColorType::L16)
        }
        Pixels::F32(values) => {
            let share = |v: &f32| (v.clamp(0.0, 1.0) * f32::from(u16::MAX)).round() as u16;
            let sixteen: Vec<u16> = values[range].iter().map(share).collect();
            encode_png(path, bytemuck::cast_slice(&sixteen), images.size, ExtendedColorType::L16)
        }
    }
}

/// Writes a mask as an 8-bit PNG: 255 where defined, 0 elsewhere.
pub fn write_mask(path: &Path, mask: &Mask) -> Result<(), IoError> {
    let values: Vec<u8> = mask.data.iter().map(|&defined| if defined { 255 } else { 0 }).collect();
    encode_png(path, &values, mask.size, ExtendedColorType::L8)
}

/// Reads a mask: true where the luminance is at least half of full scale.
pub fn read_mask(path: &Path) -> Result<Mask, IoError> {
    let grey = decode(path)?.into_luma8();
    let size = Size::new(grey.height() as usize, grey.width() as usize);
    Ok(Plane::new(size, grey.into_raw().into_iter().map(|value| value >= 128).collect()))
}

/// Reads any image as 8-bit RGB.
pub fn read_picture(path: &Path) -> Result<Picture, IoError> {
    let rgb = decode(path)?.into_rgb8();
    let size = Size::new(rgb.height() as usize, rgb.width() as usize);
    Ok(Picture { size, data: rgb.into_raw() })
}

/// As [`read_picture`], turned upright as the file's EXIF says.
pub fn read_upright(path: &Path) -> Result<Picture, IoError> {
    let rgb = decode_upright(path)?.into_rgb8();
    let size = Size::new(rgb.height() as usize, rgb.width() as usize);
    Ok(Picture { size, data: rgb.into_raw() })
}

/// An 8-bit RGB picture for people to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub size: Size,
    /// (h, w, 3) row-major.
    pub data: Vec<u8>,
}

impl Picture {
    pub fn filled(size: Size, colour: [u8; 3]) -> Self {
        Self { size, data: colour.repeat(size.area()) }
    }

    pub fn from_fn(size: Size, mut colour: impl FnMut(usize) -> [u8; 3]) -> Self {
        Self { size, data: (0..size.area()).flat_map(&mut colour).collect() }
    }

    /// Sets a pixel; ignores one outside the picture.
    pub fn set(&mut self, row: usize, column: usize, colour: [u8; 3]) {
        if row < self.size.height && column < self.size.width {
            let at = 3 * (row * self.size.width + column);
            self.data[at..at + 3].copy_from_slice(&colour);
        }
    }

    pub fn get(&self, row: usize, column: usize) -> [u8; 3] {
        let at = 3 * (row * self.size.width + column);
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }

    /// Draws `other` with its upper left corner at (row, column); what sticks out is cut off.
    pub fn paste(&mut self, other: &Picture, row: usize, column: usize) {
        for r in 0..other.size.height {
            for c in 0..other.size.width {
                self.set(row + r, column + c, other.get(r, c));
            }
        }
    }

    /// A copy of another size: Lanczos filter, which neither blurs nor aliases small tiles.
    pub fn resized(&self, size: Size) -> Picture {
        let (width, height) = (self.size.width as u32, self.size.height as u32);
        let buffer = image::RgbImage::from_raw(width, height, self.data.clone())
            .expect("a picture holds h·w·3 bytes");
        let resized = image::imageops::resize(
            &buffer,
            size.width as u32,
            size.height as u32,
            image::imageops::FilterType::Lanczos3,
        );
        Picture { size, data: resized.into_raw() }
    }

    /// Writes the picture as PNG and returns the file's bytes.
    pub fn write(&self, path: &Path) -> Result<Vec<u8>, IoError> {
        let bytes = self.png().map_err(|reason| IoError::unsuitable(path, reason))?;
        write_atomically(path, |out| out.write_all(&bytes))?;
        Ok(bytes)
    }

    /// The picture as PNG.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        png_bytes(&self.data, self.size, ExtendedColorType::Rgb8)
    }
}

fn png_bytes(data: &[u8], size: Size, colour: ExtendedColorType) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(data, size.width as u32, size.height as u32, colour)
        .map_err(|e| format!("cannot be encoded as PNG ({e})"))?;
    Ok(bytes)
}

fn encode_png(
    path: &Path,
    data: &[u8],
    size: Size,
    colour: ExtendedColorType,
) -> Result<(), IoError> {
    let bytes =
        png_bytes(data, size, colour).map_err(|reason| IoError::unsuitable(path, reason))?;
    write_atomically(path, |out| out.write_all(&bytes))
}
