//! 8- and 16-bit images: captures in, previews and masks out.

use super::{IoError, write_atomically};
use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageReader};
use std::path::Path;

/// One grey image with the values its file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct GreyImage {
    pub size: Size,
    pub pixels: Pixels,
}

/// Reads an 8- or 16-bit image; colour becomes Rec. 709 luminance, alpha is dropped.
///
/// Values are taken as linear: no gamma is undone. 8-bit colour becomes 16-bit luminance
/// (255 → 65,535), because a weighted sum of three channels is finer than one of their steps;
/// where the channels are equal, it stays the 8-bit grey that it is.
///
/// # Errors
/// A missing file, one that cannot be decoded, or a float image.
pub fn read_grey(path: &Path) -> Result<GreyImage, IoError> {
    let image = decode(path)?;
    let size = Size::new(image.height() as usize, image.width() as usize);
    let pixels = match image {
        DynamicImage::ImageLuma8(grey) => Pixels::U8(grey.into_raw()),
        DynamicImage::ImageLuma16(grey) => Pixels::U16(grey.into_raw()),
        DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_) | DynamicImage::ImageLumaA8(_) => {
            let rgb = image.into_rgb8();
            if rgb.pixels().all(|p| p[0] == p[1] && p[1] == p[2]) {
                Pixels::U8(rgb.pixels().map(|p| p[0]).collect())
            } else {
                Pixels::U16(
                    rgb.pixels().map(|p| luminance(p.0.map(|v| u16::from(v) * 257))).collect(),
                )
            }
        }
        DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_)
        | DynamicImage::ImageLumaA16(_) => {
            Pixels::U16(image.into_rgb16().pixels().map(|p| luminance(p.0)).collect())
        }
        _ => {
            return Err(IoError::unsuitable(
                path,
                "is a float image; captures are 8- or 16-bit, so export it as 16-bit PNG or TIFF",
            ));
        }
    };
    Ok(GreyImage { size, pixels })
}

/// Rec. 709.
fn luminance([r, g, b]: [u16; 3]) -> u16 {
    let [r, g, b] = [r, g, b].map(f32::from);
    (0.2126 * r + 0.7152 * g + 0.0722 * b).round() as u16
}

fn decode(path: &Path) -> Result<DynamicImage, IoError> {
    let reader = ImageReader::open(path).map_err(|e| IoError::from_system(path, e))?;
    let reader = reader.with_guessed_format().map_err(|e| IoError::from_system(path, e))?;
    reader.decode().map_err(|e| IoError::undecodable(path, e))
}

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

    /// Writes the picture as PNG.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        encode_png(path, &self.data, self.size, ExtendedColorType::Rgb8)
    }
}

fn encode_png(
    path: &Path,
    data: &[u8],
    size: Size,
    colour: ExtendedColorType,
) -> Result<(), IoError> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(data, size.width as u32, size.height as u32, colour)
        .map_err(|e| IoError::unsuitable(path, format!("cannot be encoded as PNG ({e})")))?;
    write_atomically(path, |out| out.write_all(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_stay_sixteen_and_grey_stays_exact() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let values: Vec<u16> = vec![0, 1, 255, 256, 40_000, 65_535];
        image::ImageBuffer::<image::Luma<u16>, _>::from_raw(3, 2, values.clone())
            .unwrap()
            .save(&path)
            .unwrap();
        let read = read_grey(&path).unwrap();
        assert_eq!(read, GreyImage { size: Size::new(2, 3), pixels: Pixels::U16(values) });

        let path = folder.path().join("b.bmp");
        let grey_as_rgb: Vec<u8> = [0u8, 7, 128, 255].iter().flat_map(|&v| [v, v, v]).collect();
        image::RgbImage::from_raw(2, 2, grey_as_rgb).unwrap().save(&path).unwrap();
        assert_eq!(read_grey(&path).unwrap().pixels, Pixels::U8(vec![0, 7, 128, 255]));
    }

    #[test]
    fn colour_becomes_fine_luminance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.png");
        let pixels = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
        image::RgbImage::from_raw(4, 1, pixels).unwrap().save(&path).unwrap();
        let want = [0.2126f64, 0.7152, 0.0722, 1.0].map(|y| (y * 65_535.0).round() as u16);
        assert_eq!(read_grey(&path).unwrap().pixels, Pixels::U16(want.to_vec()));
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.png");
        assert!(matches!(read_grey(&missing), Err(IoError::NotFound(_))));
        let text = folder.path().join("text.png");
        std::fs::write(&text, "not a picture").unwrap();
        let message = read_grey(&text).unwrap_err().to_string();
        assert!(message.contains("text.png"), "{message}");
    }
}
