//! Pieces of HTML: escaped text, pictures as data URIs.

use crate::io::Picture;
use image::{ExtendedColorType, ImageEncoder};

/// Text for an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

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

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let padding = digit > group.len();
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if padding { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::Size;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        // Section 10 of the RFC.
        for (text, want) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), want);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escaped("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
        let picture = Picture::filled(Size::new(2, 3), [9; 3]);
        let tag = image(&picture, Packing::Png, "x\" onload=\"y");
        assert!(tag.contains("alt=\"x&quot; onload=&quot;y\" src=\"data:image/png;base64,iVBOR"));
        assert_eq!(image(&Picture::filled(Size::new(0, 0), [0; 3]), Packing::Jpeg, ""), "");
    }
}
