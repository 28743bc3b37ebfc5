//! Text in pictures.

use crate::io::Picture;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Height of a line in pixels.
pub const LINE_HEIGHT: usize = 16;

/// Width of one character in pixels.
pub fn character_width() -> usize {
    get_raster_width(FontWeight::Regular, RasterHeight::Size16)
}

/// Writes one line with its upper left corner at (row, column); what has no glyph is `?`.
pub fn draw_text(picture: &mut Picture, row: usize, column: usize, text: &str, colour: [u8; 3]) {
    let glyph = |c| get_raster(c, FontWeight::Regular, RasterHeight::Size16);
    let mut left = column;
    for character in text.chars() {
        let Some(raster) = glyph(character).or_else(|| glyph('?')) else { continue };
        for (r, line) in raster.raster().iter().enumerate() {
            for (c, &cover) in line.iter().enumerate() {
                let (y, x) = (row + r, left + c);
                if cover == 0 || y >= picture.size.height || x >= picture.size.width {
                    continue;
                }
                let below = picture.get(y, x);
                let mix = |i: usize| {
                    let (over, under) = (u32::from(colour[i]), u32::from(below[i]));
                    ((over * u32::from(cover) + under * (255 - u32::from(cover))) / 255) as u8
                };
                picture.set(y, x, [mix(0), mix(1), mix(2)]);
            }
        }
        left += raster.width();
    }
}
