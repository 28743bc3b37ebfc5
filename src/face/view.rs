//! A picture seen at other sizes, without making it at those sizes: windows of it, turned by quarters
//! and averaged over areas.
//!
//! A place of the smaller picture is the mean of all pixels that it touches: of `length` pixels that
//! become `count`, number i is the mean of ⌊i·length/count⌋ … ⌈(i+1)·length/count⌉ − 1 (adaptive average
//! pooling, PyTorch's `interpolate(mode="area")`). Sums are of integers, so they are exact.

use crate::face::landmarks::PixelPoint;
use crate::io::Picture;
use crate::maps::Size;

/// By how far a picture is turned clockwise before it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    #[default]
    None,
    /// By 90° clockwise.
    Right,
    /// By 180°.
    Half,
    /// By 90° counter-clockwise.
    Left,
}

impl Turn {
    /// From positions in the turned picture to those in the picture itself, which is of this size.
    pub fn back(self, place: PixelPoint, size: Size) -> PixelPoint {
        let PixelPoint { column, row } = place;
        let (last_column, last_row) = (size.width as f64 - 1.0, size.height as f64 - 1.0);
        match self {
            Turn::None => place,
            Turn::Right => PixelPoint::new(row, last_row - column),
            Turn::Half => PixelPoint::new(last_column - column, last_row - row),
            Turn::Left => PixelPoint::new(last_column - row, column),
        }
    }
}

/// A turned picture.
#[derive(Clone, Copy)]
pub struct View<'a> {
    picture: &'a Picture,
    turn: Turn,
}

/// Pixels from `.0` to before `.1`.
pub type Span = (usize, usize);

/// The spans of pixels whose means `length` pixels from `start` on become, `count` of them.
pub fn spans(start: usize, length: usize, count: usize) -> impl Iterator<Item = Span> + Clone {
    (0..count)
        .map(move |i| (start + i * length / count, start + ((i + 1) * length).div_ceil(count)))
}

impl<'a> View<'a> {
    pub fn new(picture: &'a Picture, turn: Turn) -> Self {
        Self { picture, turn }
    }

    /// Of the turned picture.
    pub fn size(&self) -> Size {
        let Size { height, width } = self.picture.size;
        match self.turn {
            Turn::None | Turn::Half => Size::new(height, width),
            Turn::Right | Turn::Left => Size::new(width, height),
        }
    }

    /// Puts the means over rows × columns of spans, as (mean − 127.5) / 128, at the end of `out`:
    /// (rows, columns, 3).
    pub fn average(&self, rows: &[Span], columns: &[Span], out: &mut Vec<f32>) {
        let Size { height, width } = self.picture.size;
        let mirrored = |spans: &[Span], length: usize| -> Vec<Span> {
            spans.iter().map(|&(from, to)| (length - to, length - from)).collect()
        };
        match self.turn {
            Turn::None => average(self.picture, rows, columns, out),
            Turn::Half => {
                average(self.picture, &mirrored(rows, height), &mirrored(columns, width), out);
            }
            Turn::Right | Turn::Left => {
                let (of_rows, of_columns) = if self.turn == Turn::Right {
                    (mirrored(columns, height), rows.to_vec())
                } else {
                    (columns.to_vec(), mirrored(rows, width))
                };
                let mut lying = Vec::with_capacity(3 * rows.len() * columns.len());
                average(self.picture, &of_rows, &of_columns, &mut lying);
                let pixels = lying.as_chunks::<3>().0;
                for row in 0..rows.len() {
                    out.extend((0..columns.len()).flat_map(|c| pixels[c * rows.len() + row]));
                }
            }
        }
    }

    /// A window of pixels as a square of `side`.
    pub fn window(&self, rows: Span, columns: Span, side: usize, out: &mut Vec<f32>) {
        let of = |(from, to): Span| -> Vec<Span> { spans(from, to - from, side).collect() };
        self.average(&of(rows), &of(columns), out);
    }
}

fn average(picture: &Picture, rows: &[Span], columns: &[Span], out: &mut Vec<f32>) {
    let from = columns.iter().map(|span| span.0).min().unwrap_or(0);
    let to = columns.iter().map(|span| span.1).max().unwrap_or(0);
    let mut sums = vec![0u32; 3 * (to - from)];
    out.reserve(3 * rows.len() * columns.len());
    for &(top, bottom) in rows {
        sums.fill(0);
        for r in top..bottom {
            let start = 3 * (r * picture.size.width + from);
            for (sum, value) in sums.iter_mut().zip(&picture.data[start..]) {
                *sum += u32::from(*value);
            }
        }
        let pixels = sums.as_chunks::<3>().0;
        let height = (bottom - top) as f32;
        for &(left, right) in columns {
            let mut sum = [0u64; 3];
            for pixel in &pixels[left - from..right - from] {
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += u64::from(*value);
                }
            }
            let width = (right - left) as f32;
            out.extend(sum.map(|sum| (sum as f32 / height / width - 127.5) / 128.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(height: usize, width: usize) -> Picture {
        let data = (0..3 * height * width).map(|i| (i * 7919 % 251) as u8).collect();
        Picture { size: Size::new(height, width), data }
    }

    #[test]
    fn spans_touch_every_pixel_that_a_place_covers() {
        let of = |start, length, count| spans(start, length, count).collect::<Vec<_>>();
        assert_eq!(of(0, 10, 4), [(0, 3), (2, 5), (5, 8), (7, 10)]);
        assert_eq!(of(5, 6, 3), [(5, 7), (7, 9), (9, 11)]);
        // Enlarged: one pixel for several places.
        assert_eq!(of(0, 2, 5), [(0, 1), (0, 1), (0, 2), (1, 2), (1, 2)]);
    }

    #[test]
    fn a_mean_is_of_the_pixels_of_its_span() {
        let picture = picture(23, 31);
        let rows: Vec<Span> = spans(2, 20, 7).collect();
        let columns: Vec<Span> = spans(0, 31, 12).collect();
        let mut out = Vec::new();
        View::new(&picture, Turn::None).average(&rows, &columns, &mut out);
        let mut places = out.chunks_exact(3);
        for &(top, bottom) in &rows {
            for &(left, right) in &columns {
                let place = places.next().unwrap();
                for (channel, &value) in place.iter().enumerate() {
                    let inside = (top..bottom).flat_map(|r| (left..right).map(move |c| (r, c)));
                    let values: Vec<f64> =
                        inside.map(|(r, c)| f64::from(picture.get(r, c)[channel])).collect();
                    let mean = values.iter().sum::<f64>() / values.len() as f64;
                    assert!((f64::from(value) - (mean - 127.5) / 128.0).abs() < 1e-6);
                }
            }
        }
        assert!(places.next().is_none());
    }

    /// The picture turned by 90° clockwise: its first row was the first column, from below.
    fn turned_right(picture: &Picture) -> Picture {
        let Size { height, width } = picture.size;
        Picture::from_fn(Size::new(width, height), |at| {
            picture.get(height - 1 - at % height, at / height)
        })
    }

    #[test]
    fn a_turned_view_is_a_view_of_the_turned_picture() {
        let picture = picture(19, 33);
        let mut copy = picture.clone();
        for turn in [Turn::None, Turn::Right, Turn::Half, Turn::Left] {
            let (view, plain) = (View::new(&picture, turn), View::new(&copy, Turn::None));
            assert_eq!(view.size(), copy.size, "{turn:?}");
            let [mut ours, mut theirs] = [Vec::new(), Vec::new()];
            view.window((3, 18), (1, 16), 7, &mut ours);
            plain.window((3, 18), (1, 16), 7, &mut theirs);
            assert_eq!(ours, theirs, "{turn:?}");
            for (row, column) in [(0, 0), (3, 7), (copy.size.height - 1, 5)] {
                let back = turn.back(PixelPoint::new(column as f64, row as f64), picture.size);
                let pixel = picture.get(back.row as usize, back.column as usize);
                assert_eq!(pixel, copy.get(row, column), "{turn:?}");
            }
            copy = turned_right(&copy);
        }
    }
}
