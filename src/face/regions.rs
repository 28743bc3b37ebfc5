//! Regions of a mask: means over squares, growing and shrinking, holes and connected parts.

use crate::maps::{Mask, Plane, Size};

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

/// The mask grown by a square; its pixels within `radius` rows and columns.
pub(super) fn grown(mask: &Mask, radius: usize) -> Mask {
    let sums = square_sums(mask.size, radius, |p| f64::from(u8::from(mask.data[p])));
    Plane::new(mask.size, sums.into_iter().map(|(sum, _)| sum > 0.5).collect())
}

/// The mask shrunk by a square; beyond the border there is nothing to shrink from.
pub(super) fn shrunk(mask: &Mask, radius: usize) -> Mask {
    let sums = square_sums(mask.size, radius, |p| f64::from(u8::from(mask.data[p])));
    let full = |(sum, count): (f64, usize)| sum > count as f64 - 0.5;
    Plane::new(mask.size, sums.into_iter().map(full).collect())
}

/// The 4-connected part of the mask that holds the most of `seeds`; empty where it holds none.
pub(super) fn part_with_most(mask: &Mask, seeds: &Mask) -> Mask {
    let count = |part: &Vec<usize>| part.iter().filter(|&&p| seeds.data[p]).count();
    let parts = parts(mask, true);
    let most = parts.iter().filter(|part| count(part) > 0).max_by_key(|part| count(part));
    let mut out = Plane::filled(mask.size, false);
    most.into_iter().flatten().for_each(|&p| out.data[p] = true);
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
    for part in parts(mask, false) {
        if part.len() <= most && !part.iter().any(at_border) {
            part.iter().for_each(|&p| mask.data[p] = true);
        }
    }
}

/// The 4-connected regions of one value.
fn parts(mask: &Mask, value: bool) -> Vec<Vec<usize>> {
    let Size { height, width } = mask.size;
    let mut open: Vec<bool> = mask.data.iter().map(|&v| v == value).collect();
    let mut found = Vec::new();
    for start in 0..open.len() {
        if !std::mem::take(&mut open[start]) {
            continue;
        }
        let mut part = vec![start];
        let mut next = 0;
        while let Some(&p) = part.get(next) {
            next += 1;
            let (row, column) = (p / width, p % width);
            let around = [
                (row > 0).then(|| p - width),
                (row + 1 < height).then(|| p + width),
                (column > 0).then(|| p - 1),
                (column + 1 < width).then(|| p + 1),
            ];
            for q in around.into_iter().flatten() {
                if std::mem::take(&mut open[q]) {
                    part.push(q);
                }
            }
        }
        found.push(part);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

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
            shrunk(&full, 1),
            drawn(&["####...", "####...", "####...", "####...", "####..."])
        );
        let dot = drawn(&["....", ".#..", "....", "...."]);
        assert_eq!(grown(&dot, 1), drawn(&["###.", "###.", "###.", "...."]));
        let seeds = drawn(&[".......", ".......", "..##..#", "......#", "......."]);
        assert_eq!(part_with_most(&full, &seeds).count(), 25);
        let none = drawn(&[".......", ".......", ".....#.", ".......", "......."]);
        assert_eq!(part_with_most(&full, &none).count(), 0);
    }
}
