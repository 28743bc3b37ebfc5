//! Regions of a mask: means over squares, holes, and the part that is meant.

use crate::maps::{Mask, Plane, Size};
use crate::stereo::{Island, islands};

/// Sums of a value over the square of 2 · radius + 1 about each pixel, cut at the border, and how
/// many pixels each holds, by a summed-area table (Crow 1984, "Summed-area tables for texture
/// mapping").
pub(super) fn square_sums(
    size: Size,
    radius: usize,
    value: impl Fn(usize) -> f64,
) -> Vec<(f64, usize)> {
    let Size { height, width } = size;
    let stride = width + 1;
    let mut table = vec![0.0; (height + 1) * stride];
    for row in 0..height {
        let mut along = 0.0;
        for column in 0..width {
            along += value(row * width + column);
            table[(row + 1) * stride + column + 1] = table[row * stride + column + 1] + along;
        }
    }
    let mut sums = Vec::with_capacity(size.area());
    for row in 0..height {
        let (top, bottom) = (row.saturating_sub(radius), (row + radius + 1).min(height));
        for column in 0..width {
            let (left, right) = (column.saturating_sub(radius), (column + radius + 1).min(width));
            let sum = table[bottom * stride + right] + table[top * stride + left]
                - table[top * stride + right]
                - table[bottom * stride + left];
            sums.push((sum, (bottom - top) * (right - left)));
        }
    }
    sums
}

/// The 4-connected part of the mask that holds the most of `seeds`; empty where it holds none.
pub(super) fn part_with_most(mask: &Mask, seeds: &Mask) -> Mask {
    let count = |part: &Island| part.pixels.iter().filter(|&&p| seeds.data[p]).count();
    let parts = islands(mask, true);
    let most = parts.iter().filter(|part| count(part) > 0).max_by_key(|part| count(part));
    let mut out = Plane::filled(mask.size, false);
    most.into_iter().flat_map(|part| &part.pixels).for_each(|&p| out.data[p] = true);
    out
}

/// Takes in what the mask surrounds, up to so many pixels a hole. The lower border counts as the
/// mask: below a head there is its body.
pub(super) fn fill_holes(mask: &mut Mask, most: usize) {
    let width = mask.size.width;
    let at_border = |&p: &usize| {
        let (row, column) = (p / width, p % width);
        row == 0 || column == 0 || column + 1 == width
    };
    for Island { pixels, .. } in islands(mask, false) {
        if pixels.len() <= most && !pixels.iter().any(at_border) {
            pixels.iter().for_each(|&p| mask.data[p] = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stereo::spread;

    fn drawn(rows: &[&str]) -> Mask {
        let size = Size::new(rows.len(), rows[0].len());
        Plane::new(size, rows.concat().bytes().map(|b| b == b'#').collect())
    }

    #[test]
    fn sums_agree_with_adding_up_each_square() {
        let size = Size::new(7, 9);
        let value = |p: usize| ((p * 37) % 11) as f64;
        for radius in [0, 1, 3, 20] {
            for (p, (sum, count)) in square_sums(size, radius, value).into_iter().enumerate() {
                let near = |q: &usize| {
                    (p / 9).abs_diff(q / 9) <= radius && (p % 9).abs_diff(q % 9) <= radius
                };
                let square: Vec<usize> = (0..63).filter(near).collect();
                assert_eq!(count, square.len());
                assert_eq!(sum, square.into_iter().map(value).sum::<f64>());
            }
        }
    }

    #[test]
    fn growing_shrinking_filling_and_choosing_as_drawn() {
        let ring = drawn(&["#####..", "#...#..", "#.#.#.#", "#...#..", "#####.."]);
        let mut filled = ring.clone();
        fill_holes(&mut filled, 7);
        assert_eq!(filled, ring, "a hole of eight pixels");
        fill_holes(&mut filled, 8);
        let full = drawn(&["#####..", "#####..", "#####.#", "#####..", "#####.."]);
        assert_eq!(filled, full);
        let mut bitten = drawn(&["###", "#.#", "#.#"]);
        fill_holes(&mut bitten, 2);
        assert_eq!(bitten.count(), 9);
        let open = ["###", "..#", "###"];
        let mut bitten = drawn(&open);
        fill_holes(&mut bitten, 2);
        assert_eq!(bitten, drawn(&open), "a bite from the side");
        assert_eq!(
            spread(&full, 1, false),
            drawn(&["####...", "####...", "####...", "####...", "####..."])
        );
        let dot = drawn(&["....", ".#..", "....", "...."]);
        assert_eq!(spread(&dot, 1, true), drawn(&["###.", "###.", "###.", "...."]));
        let seeds = drawn(&[".......", ".......", "..##..#", "......#", "......."]);
        assert_eq!(part_with_most(&full, &seeds).count(), 25);
        let none = drawn(&[".......", ".......", ".....#.", ".......", "......."]);
        assert_eq!(part_with_most(&full, &none).count(), 0);
    }
}
