//! Shifting frames by parts of a pixel: cubic convolution (Keys 1981, "Cubic convolution
//! interpolation for digital image processing", a = −½), exact for quadratics.
//!
//! A translation has the same four weights along every row and down every column.

use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};
use rayon::prelude::*;

/// See [`super::Registration::apply`].
pub(super) fn resample(images: &ImageStack, motions: &[[f64; 2]]) -> ImageStack {
    let (size, area) = (images.size, images.size.area());
    let (mut values, white) = images.to_shares();
    if area > 0 {
        values.par_chunks_exact_mut(area).zip(&white).zip(motions).for_each(
            |((frame, &white), &motion)| {
                if motion != [0.0; 2] {
                    shift(frame, size, motion, white);
                }
            },
        );
    }
    ImageStack::new(size, images.count, Pixels::F32(values)).with_white(white)
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

/// Replaces a frame by its values at (row + dy, column + dx).
fn shift(frame: &mut [f32], size: Size, [dx, dy]: [f64; 2], white: f32) {
    let Size { height, width } = size;
    let (left, above) = (dx.floor(), dy.floor());
    let (across, down) = (weights(dx - left), weights(dy - above));
    let clamped = |v: f64, length: usize| v.clamp(0.0, length as f64 - 1.0) as usize;
    let row_at = |row: usize, tap: usize| clamped(row as f64 + above + tap as f64 - 1.0, height);
    let first = left - 1.0;

    // Rows widened by the replicated edge, so that the taps are four plain slices.
    let mut wide = vec![0.0f32; width + 3];
    let mut along = vec![0.0f32; frame.len()];
    let mut saturated = vec![false; frame.len()];
    for (row, out) in along.chunks_exact_mut(width).enumerate() {
        let line = &frame[row * width..][..width];
        for (c, value) in wide.iter_mut().enumerate() {
            *value = line[clamped(c as f64 + first, width)];
        }
        for (value, four) in out.iter_mut().zip(wide.windows(4)) {
            *value = across[0] * four[0]
                + across[1] * four[1]
                + across[2] * four[2]
                + across[3] * four[3];
        }
        for (hit, two) in saturated[row * width..].iter_mut().zip(wide[1..].windows(2)) {
            *hit = two[0] >= white || (two[1] >= white && across[2] != 0.0);
        }
    }
    for (row, out) in frame.chunks_exact_mut(width).enumerate() {
        let line = |tap: usize| &along[row_at(row, tap) * width..][..width];
        let lines = [line(0), line(1), line(2), line(3)];
        for (c, value) in out.iter_mut().enumerate() {
            *value = down[0] * lines[0][c]
                + down[1] * lines[1][c]
                + down[2] * lines[2][c]
                + down[3] * lines[3][c];
        }
        for tap in [1, 2] {
            if down[tap] == 0.0 {
                continue;
            }
            let hits = &saturated[row_at(row, tap) * width..][..width];
            for (value, &hit) in out.iter_mut().zip(hits) {
                *value = if hit { value.max(white) } else { *value };
            }
        }
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
