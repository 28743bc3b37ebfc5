//! Pictures as data URIs.

pub(super) use crate::report::markup::escaped;

use crate::io::Picture;
use crate::report::markup::base64;
use image::{ExtendedColorType, ImageEncoder};

/// How a picture is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Photographs: a third of the size.
    Jpeg,
    /// Colour-coded maps: no false colours beside edges.
    Png,
}

/// An `<img>` with the picture inside; nothing for a picture without pixels.
pub(super) fn image(picture: &Picture, packing: Packing, description: &str) -> String {
    let (width, height) = (picture.size.width as u32, picture.size.height as u32);
    let mut bytes = Vec::new();
    let (kind, packed) = match packing {
        Packing::Jpeg => {
            let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 85);
            let result = encoder.write_image(&picture.data, width, height, ExtendedColorType::Rgb8);
            ("jpeg", result)
        }
        Packing::Png => {
            let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
            let result = encoder.write_image(&picture.data, width, height, ExtendedColorType::Rgb8);
            ("png", result)
        }
    };
    if packed.is_err() || width == 0 || height == 0 {
        return String::new();
    }
    format!(
        "<img width=\"{width}\" height=\"{height}\" alt=\"{}\" src=\"data:image/{kind};base64,{}\">",
        escaped(description),
        base64(&bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::Size;

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let picture = Picture::filled(Size::new(2, 3), [9; 3]);
        let tag = image(&picture, Packing::Png, "x\" onload=\"y");
        assert!(tag.contains("alt=\"x&quot; onload=&quot;y\" src=\"data:image/png;base64,iVBOR"));
        assert_eq!(image(&Picture::filled(Size::new(0, 0), [0; 3]), Packing::Jpeg, ""), "");
    }
}
