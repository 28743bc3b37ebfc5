//! Decoding image files that may be damaged or hostile.
//!
//! A header of a few bytes can claim a picture of 60,000 × 60,000 pixels, and some decoders panic
//! on damage they did not foresee. So every decoder is told how much it may allocate, the file is
//! read once, and a panic becomes an error like any other.

use super::{IoError, read_regular_file};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Longest side of an image, in pixels: twice that of the largest sensors.
pub(super) const MAX_SIDE: usize = 32_768;
/// Most bytes of decoded pixels: 64 megapixels of float RGB, or 89 of 16-bit RGB.
pub(super) const MAX_BYTES: usize = 512 << 20;

/// Reads a file that is no longer than any image within the limits could be.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, IoError> {
    read_regular_file(path, 2 * MAX_BYTES as u64)
}

/// The format by content; by extension for those without a signature (TGA).
pub(super) fn format_of(path: &Path, bytes: &[u8]) -> Result<ImageFormat, IoError> {
    image::guess_format(bytes).or_else(|_| ImageFormat::from_path(path)).map_err(|_| {
        IoError::undecodable(path, "its format is not known by content nor by extension")
    })
}

/// Decodes any format but to its own pixel type.
pub(super) fn decode(path: &Path) -> Result<DynamicImage, IoError> {
    let bytes = read_bytes(path)?;
    decode_bytes(path, &bytes, format_of(path, &bytes)?)
}

/// A JPEG that was cut: its decoder fills up what is missing. Behind the start of the last scan there
/// has to be an end of the image; neither marker can stand in a scan.
fn check_whole(path: &Path, bytes: &[u8], format: ImageFormat) -> Result<(), IoError> {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    if format == ImageFormat::Jpeg && last(0xd9) < last(0xda) {
        return Err(IoError::undecodable(path, "its end is missing; fetch it again"));
    }
    Ok(())
}

pub(super) fn decode_bytes(
    path: &Path,
    bytes: &[u8],
    format: ImageFormat,
) -> Result<DynamicImage, IoError> {
    check_whole(path, bytes, format)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    without_panic(path, || reader.decode().map_err(|e| decoding_error(path, e)))
}

/// As [`decode`], turned as the file's EXIF says. What is no orientation there is none.
pub(super) fn decode_upright(path: &Path) -> Result<DynamicImage, IoError> {
    let bytes = read_bytes(path)?;
    let format = format_of(path, &bytes)?;
    check_whole(path, &bytes, format)?;
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    reader.limits(limits());
    without_panic(path, || {
        let fail = |e| decoding_error(path, e);
        let mut decoder = reader.into_decoder().map_err(fail)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(fail)?;
        image.apply_orientation(orientation);
        Ok(image)
    })
}

fn decoding_error(path: &Path, error: ImageError) -> IoError {
    match error {
        ImageError::Limits(_) => IoError::unsuitable(
            path,
            format!(
                "is beyond the limit of {MAX_SIDE} pixels a side and {} MiB decoded; scale it down",
                MAX_BYTES >> 20
            ),
        ),
        error => IoError::undecodable(path, error),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE as u32);
    limits.max_image_height = Some(MAX_SIDE as u32);
    limits.max_alloc = Some(MAX_BYTES as u64);
    limits
}

/// Runs a decoder; its panic becomes an [`IoError::Undecodable`].
pub(super) fn without_panic<T>(
    path: &Path,
    decode: impl FnOnce() -> Result<T, IoError>,
) -> Result<T, IoError> {
    // What the closure touches is dropped with the panic, so nothing half-changed is seen.
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(IoError::undecodable(path, "its decoder gave up on the damage")))
}

/// Height and width by the header alone.
///
/// # Errors
/// A missing file or one whose header cannot be read.
pub fn image_size(path: &Path) -> Result<crate::maps::Size, IoError> {
    let open = || ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let mut reader = open().map_err(|e| IoError::from_system(path, e))?;
    reader.limits(limits());
    without_panic(path, || {
        let (width, height) = reader.into_dimensions().map_err(|e| decoding_error(path, e))?;
        Ok(crate::maps::Size::new(height as usize, width as usize))
    })
}
