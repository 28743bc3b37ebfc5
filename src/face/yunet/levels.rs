//! The sizes at which a picture is looked at, and the picture as the network takes it.
//!
//! The network was trained on faces of about 10 to 300 pixels and sees nothing, or a part, of larger
//! ones. So the picture is looked at again at half the size, and again, as long as that is more than a
//! thumbnail; each level has a quarter of the pixels of the one before, a third more in all.

use super::YuNetOptions;
use super::decode::MULTIPLE;
use crate::face::view::{Span, View, spans};
use crate::maps::Size;

/// Rows that are averaged at a time.
const BAND: usize = 64;

/// The sizes of the levels of a picture, the largest first; none of a picture without pixels.
pub fn level_sizes(size: Size, options: &YuNetOptions) -> Vec<Size> {
    let longer = size.height.max(size.width);
    if size.area() == 0 {
        return Vec::new();
    }
    let mut side = longer.min(options.finest as usize);
    let length = |pixels: usize, side: usize| {
        ((pixels as f64 * side as f64 / longer as f64).round() as usize).max(1)
    };
    let mut levels = Vec::new();
    loop {
        levels.push(Size::new(length(size.height, side), length(size.width, side)));
        if side <= options.coarsest as usize {
            return levels;
        }
        side = side.div_ceil(2);
    }
}

/// The size of a level with what is added at its right and lower edge.
pub fn padded(level: Size) -> Size {
    let up = |pixels: usize| pixels.next_multiple_of(MULTIPLE);
    Size::new(up(level.height), up(level.width))
}

/// A view at a level's size, each pixel the mean of those that it covers: planes of blue, green and red
/// (3, h, w) from 0 to 255, black where padded.
pub fn planes(view: View, level: Size) -> Vec<f32> {
    let size = padded(level);
    let mut planes = vec![0.0; 3 * size.area()];
    let of = |length: usize, count: usize| -> Vec<Span> { spans(0, length, count).collect() };
    let rows = of(view.size().height, level.height);
    let columns = of(view.size().width, level.width);
    let mut pixels = Vec::new();
    for (band, rows) in rows.chunks(BAND).enumerate() {
        pixels.clear();
        view.average(rows, &columns, &mut pixels);
        for (r, row) in pixels.chunks_exact(3 * level.width).enumerate() {
            let start = (band * BAND + r) * size.width;
            for (c, [red, green, blue]) in row.as_chunks::<3>().0.iter().enumerate() {
                for (plane, value) in [blue, green, red].into_iter().enumerate() {
                    // A view gives (mean − 127.5) / 128; for whole means nothing is lost.
                    planes[plane * size.area() + start + c] = value * 128.0 + 127.5;
                }
            }
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::Turn;
    use crate::io::Picture;

    #[test]
    fn a_picture_is_halved_until_it_is_small() {
        let of = |height, width| level_sizes(Size::new(height, width), &YuNetOptions::default());
        let sizes = |sides: &[(usize, usize)]| -> Vec<Size> {
            sides.iter().map(|&(height, width)| Size::new(height, width)).collect()
        };
        assert_eq!(of(720, 1280), sizes(&[(720, 1280), (360, 640), (180, 320)]));
        assert_eq!(of(321, 10), sizes(&[(321, 10), (161, 5)]));
        assert_eq!(of(320, 320), sizes(&[(320, 320)]));
        assert_eq!(of(1, 1), sizes(&[(1, 1)]));
        assert!(of(0, 7).is_empty() && of(7, 0).is_empty());
        // No longer than the finest, no side vanishes.
        let long = of(3, 20_000);
        assert_eq!((long[0], long.last()), (Size::new(1, 2048), Some(&Size::new(1, 256))));
    }

    #[test]
    fn planes_hold_what_the_picture_holds_in_the_networks_order() {
        let size = Size::new(70, 33);
        let picture = Picture::from_fn(size, |at| [at, at / 7, at / 31].map(|v| (v % 256) as u8));
        let wide = padded(size);
        assert_eq!(wide, Size::new(96, 64));
        let found = planes(View::new(&picture, Turn::None), size);
        for (at, value) in found.iter().enumerate() {
            let (plane, row) = (at / wide.area(), at % wide.area() / wide.width);
            let column = at % wide.width;
            let inside = row < size.height && column < size.width;
            let expected = if inside { picture.get(row, column)[2 - plane] } else { 0 };
            assert_eq!(*value, f32::from(expected), "{plane} {row} {column}");
        }
        // Of half the size: means of four.
        let found = planes(View::new(&picture, Turn::Half), Size::new(35, 11));
        let mean: u32 = (68..70)
            .flat_map(|r| (30..33).map(move |c| (r, c)))
            .fold(0, |sum, (r, c)| sum + u32::from(picture.get(r, c)[0]));
        assert!((found[2 * 64 * 32] - mean as f32 / 6.0).abs() < 1e-4, "{}", found[2 * 64 * 32]);
    }
}
