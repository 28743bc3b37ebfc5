//! Shifting frames by parts of a pixel: cubic convolution (Keys 1981, "Cubic convolution
//! interpolation for digital image processing", a = −½), exact for quadratics.
//!
//! A translation has the same four weights along every row and down every column.

use crate::integrate::wide::widest;
use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};
use rayon::prelude::*;
use std::borrow::Cow;

/// See [`super::Registration::apply`].
pub(super) fn resample(images: &ImageStack, motions: &[[f64; 2]]) -> ImageStack {
    let (size, area) = (images.size, images.size.area());
    let (values, white) = match &images.pixels {
        Pixels::F32(values) => (Cow::Borrowed(values), images.white.clone()),
        _ => {
            let (values, white) = images.to_shares();
            (Cow::Owned(values), white)
        }
    };
    let mut moved = vec![0.0f32; values.len()];
    if area > 0 {
        let frames = moved.par_chunks_exact_mut(area).zip(values.par_chunks_exact(area));
        frames.zip(&white).zip(motions).for_each(|(((out, frame), &white), &motion)| {
            if motion == [0.0; 2] {
                out.copy_from_slice(frame);
            } else {
                shift(frame, size, motion, white, out);
            }
        });
    }
    ImageStack::new(size, images.count, Pixels::F32(moved)).with_white(white)
}

/// See [`super::Registration::seen_in_all`].
pub(super) fn seen_in_all(size: Size, motions: &[[f64; 2]]) -> Mask {
    let seen = |position: usize, axis: usize, length: usize| {
        motions.iter().all(|m| {
            let there = position as f64 + m[axis];
            (0.0..=length as f64 - 1.0).contains(&there)
        })
    };
    let columns: Vec<bool> = (0..size.width).map(|c| seen(c, 0, size.width)).collect();
    let rows: Vec<bool> = (0..size.height).map(|r| seen(r, 1, size.height)).collect();
    Plane::from_fn(size, |r, c| rows[r] && columns[c])
}

/// Keys' weights of the pixels at −1, 0, 1, 2 for a position `t` in 0..1.
fn weights(t: f64) -> [f32; 4] {
    let near = |x: f64| (1.5 * x - 2.5) * x * x + 1.0;
    let far = |x: f64| ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)].map(|w| w as f32)
}

/// A row of the frame, filtered along the row.
#[derive(Clone)]
struct Line {
    row: Option<usize>,
    values: Vec<f32>,
    /// Where a saturated pixel is next to the position; empty where none is.
    saturated: Vec<bool>,
}

/// A frame's values at (row + dy, column + dx), into `out`.
fn shift(frame: &[f32], size: Size, [dx, dy]: [f64; 2], white: f32, out: &mut [f32]) {
    let Size { height, width } = size;
    let (left, above) = (dx.floor(), dy.floor());
    let (across, down) = (weights(dx - left), weights(dy - above));
    let clamped = |v: f64, length: usize| v.clamp(0.0, length as f64 - 1.0) as usize;
    let row_at = |row: usize, tap: usize| clamped(row as f64 + above + tap as f64 - 1.0, height);
    // A row widened by the replicated edge, so that the taps are four plain slices: column c of
    // `wide` is column c + left − 1 of the frame.
    let mut wide = vec![0.0f32; width + 3];
    let first = (left - 1.0).clamp(-(wide.len() as f64), width as f64) as isize;
    let before = first.min(0).unsigned_abs();
    let inside = before..(width.saturating_sub(first.max(0) as usize) + before).min(wide.len());
    let start = first.max(0) as usize;
    // Of four rows one below the other each has a place of its own; a row is filtered once.
    let mut lines = vec![Line { row: None, values: vec![0.0; width], saturated: Vec::new() }; 4];
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        let rows = [0, 1, 2, 3].map(|tap| row_at(row, tap));
        for source in rows {
            let line = &mut lines[source % 4];
            if line.row == Some(source) {
                continue;
            }
            line.row = Some(source);
            let full = &frame[source * width..][..width];
            wide[..inside.start].fill(full[0]);
            wide[inside.clone()].copy_from_slice(&full[start..start + inside.len()]);
            wide[inside.end..].fill(full[width - 1]);
            filter_along(&mut line.values, &wide, across);
            line.saturated.clear();
            if any_at_least(full, white) {
                let hit = |two: &[f32]| two[0] >= white || (two[1] >= white && across[2] != 0.0);
                line.saturated.extend(wide[1..width + 2].windows(2).map(hit));
            }
        }
        let taps = rows.map(|source| &lines[source % 4]);
        let [a, b, c, d] = taps.map(|line| &line.values[..]);
        filter_down(out, a, b, c, d, down);
        for tap in [1, 2] {
            if down[tap] != 0.0 {
                for (value, &hit) in out.iter_mut().zip(&taps[tap].saturated) {
                    *value = if hit { value.max(white) } else { *value };
                }
            }
        }
    }
}

widest! {
    fn filter_along(out: &mut [f32], wide: &[f32], taps: [f32; 4]) {
        let n = out.len();
        let (a, b, c, d) = (&wide[..n], &wide[1..n + 1], &wide[2..n + 2], &wide[3..n + 3]);
        for i in 0..n {
            out[i] = taps[0] * a[i] + taps[1] * b[i] + taps[2] * c[i] + taps[3] * d[i];
        }
    }
}

widest! {
    fn filter_down(out: &mut [f32], a: &[f32], b: &[f32], c: &[f32], d: &[f32], taps: [f32; 4]) {
        let n = out.len();
        let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
        for i in 0..n {
            out[i] = taps[0] * a[i] + taps[1] * b[i] + taps[2] * c[i] + taps[3] * d[i];
        }
    }
}

widest! {
    fn any_at_least(values: &[f32], level: f32) -> bool {
        let mut any = false;
        for &value in values {
            any |= value >= level;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_is_shifted_exactly_and_the_right_way() {
        let size = Size::new(12, 14);
        let z = |r: f64, c: f64| 0.3 + 0.01 * c - 0.02 * r + 0.001 * c * c - 0.0005 * r * c;
        let plane = Plane::from_fn(size, |r, c| z(r as f64, c as f64) as f32);
        let images = ImageStack::new(size, 1, Pixels::F32(plane.data));
        let (dx, dy) = (1.3, -0.6);
        let moved = resample(&images, &[[dx, dy]]);
        let seen = seen_in_all(size, &[[dx, dy]]);
        for r in 2..10 {
            for c in 2..10 {
                let got = moved.pixels.get(r * 14 + c);
                let want = z(r as f64 + dy, c as f64 + dx) as f32;
                assert!((got - want).abs() < 1e-6, "{got}, want {want} at ({r}, {c})");
            }
        }
        for r in 0..12 {
            for c in 0..14 {
                let inside = r as f64 + dy >= 0.0 && c as f64 + dx <= 13.0;
                assert_eq!(*seen.at(r, c), inside, "({r}, {c})");
            }
        }
        // Replicated edges: finite everywhere, even for a motion out of the image.
        let far = resample(&images, &[[100.0, -100.0]]);
        assert!((far.pixels.get(20) - images.pixels.get(13)).abs() < 1e-6);
    }

    #[test]
    fn what_touches_saturation_is_saturated_and_what_touches_nan_is_nan() {
        let size = Size::new(9, 9);
        let mut values = vec![0.2f32; 81];
        values[4 * 9 + 4] = 0.9;
        let images = ImageStack::new(size, 1, Pixels::F32(values.clone())).with_white(vec![0.8]);
        let moved = resample(&images, &[[0.5, 0.5]]);
        for r in 0..9 {
            for c in 0..9 {
                let touches = (3..=4).contains(&r) && (3..=4).contains(&c);
                assert_eq!(moved.pixels.get(r * 9 + c) >= 0.8, touches, "({r}, {c})");
            }
        }
        values[4 * 9 + 4] = f32::NAN;
        let images = ImageStack::new(size, 1, Pixels::F32(values));
        let moved = resample(&images, &[[0.5, 0.5]]);
        assert!(moved.pixels.get(3 * 9 + 4).is_nan() && moved.pixels.get(0) == 0.2f32);
        // No motion, no change.
        let images = ImageStack::new(size, 1, Pixels::U8((0..81).collect()));
        let moved = resample(&images, &[[0.0; 2]]);
        assert_eq!(moved.pixels.get(80), 80.0 / 255.0);
    }
}
