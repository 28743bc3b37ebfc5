//! Which frame is blurred, next to the others of its capture.
//!
//! The logarithm of an image is the sum of log albedo and log shading, so that the same texture has
//! the same contrast under every light. Its sharpness is the ratio of two bands of it, each the
//! difference of two box means: detail of 3 to 7 pixels over detail of 7 to 15. Blur takes the
//! finer band first. (Band ratios of Laplacian pyramids: Pertuz, Puig and Garcia 2013, "Analysis of
//! focus measure operators", LAP family; a plain variance of the Laplacian would follow each
//! light's brightness and shadows.)

use super::exposure::SHADOW_SHARE;
use super::finding::{Finding, FindingCode, Severity};
use crate::maps::{ImageStack, Mask, Plane, Size};

/// Faces are judged at about this size: what is finer than a 256th of a face is noise in a large
/// image, and motion of that size does no harm.
const FACE_SIDE: f64 = 256.0;
/// Half widths of the three boxes.
const BOXES: [usize; 3] = [1, 3, 7];
/// Least pixels to judge on.
const MIN_PIXELS: usize = 400;
/// A frame is blurred where its sharpness is below this share of the frames' median. A Gaussian
/// blur of σ = 2 px takes the finer band to 0.4 and the coarser to 0.8.
pub const BLURRED: f64 = 0.65;

/// Sharpness of each frame, dimensionless; `None` where too little of the subject is lit in every
/// image.
pub(super) fn sharpness(images: &ImageStack, mask: &Mask) -> Option<Vec<f64>> {
    let step = ((mask.count() as f64).sqrt() / FACE_SIDE).round().max(1.0) as usize;
    let size = Size::new(images.size.height / step, images.size.width / step);
    let logs: Vec<Plane<f32>> =
        (0..images.count).map(|j| log_blocks(images, mask, j, size, step)).collect();
    // Only where every image is lit, so that all are judged on the same texture.
    let common: Vec<bool> =
        (0..size.area()).map(|at| logs.iter().all(|log| log.data[at].is_finite())).collect();
    logs.iter()
        .map(|log| {
            let levels = BOXES.map(|half| box_mean(log, &common, half));
            let (mut fine, mut coarse, mut count) = (0.0, 0.0, 0usize);
            let [small, middle, large] = &levels;
            for ((a, b), c) in small.iter().zip(middle).zip(large).filter(|(_, c)| !c.is_nan()) {
                fine += (a - b) * (a - b);
                coarse += (b - c) * (b - c);
                count += 1;
            }
            (count >= MIN_PIXELS && coarse > 0.0).then(|| (fine / coarse).sqrt())
        })
        .collect()
}

fn log_blocks(images: &ImageStack, mask: &Mask, j: usize, size: Size, step: usize) -> Plane<f32> {
    let area = images.size.area();
    let value = |image: usize, row: usize, column: usize| {
        let (mut sum, mut counts) = (0.0, true);
        for r in row * step..(row + 1) * step {
            for c in column * step..(column + 1) * step {
                let pixel = r * images.size.width + c;
                let seen = images.pixels.get(image * area + pixel);
                counts &= mask.data[pixel] && seen < images.white[image];
                sum += seen;
            }
        }
        if counts { sum } else { f32::NAN }
    };
    Plane::from_fn(size, |row, column| {
        let own = value(j, row, column);
        let brightest = (0..images.count).map(|i| value(i, row, column)).fold(0.0f32, f32::max);
        if own > SHADOW_SHARE * brightest { own.ln() } else { f32::NAN }
    })
}

/// Mean over a square window; NaN where part of it is outside or not common.
fn box_mean(plane: &Plane<f32>, common: &[bool], half: usize) -> Vec<f64> {
    let Size { height, width } = plane.size;
    // Sums over everything above and left of a corner.
    let stride = width + 1;
    let mut sums = vec![(0.0f64, 0usize); (height + 1) * stride];
    for row in 0..height {
        let mut line = (0.0, 0);
        for column in 0..width {
            let at = row * width + column;
            if common[at] {
                line.0 += f64::from(plane.data[at]);
                line.1 += 1;
            }
            let above = sums[row * stride + column + 1];
            sums[(row + 1) * stride + column + 1] = (above.0 + line.0, above.1 + line.1);
        }
    }
    let side = 2 * half + 1;
    let mut means = vec![f64::NAN; height * width];
    for row in half..height.saturating_sub(half) {
        for column in half..width.saturating_sub(half) {
            let corner = |r: usize, c: usize| sums[r * stride + c];
            let (a, b) = (corner(row - half, column - half), corner(row - half, column + half + 1));
            let (c, d) =
                (corner(row + half + 1, column - half), corner(row + half + 1, column + half + 1));
            if d.1 + a.1 - b.1 - c.1 == side * side {
                means[row * width + column] = (d.0 - b.0 - c.0 + a.0) / (side * side) as f64;
            }
        }
    }
    means
}

pub(super) fn findings(sharpness: &[f64], found: &mut Vec<Finding>) {
    let mut sorted = sharpness.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(&median) = sorted.get(sorted.len() / 2) else { return };
    for (j, value) in sharpness.iter().enumerate() {
        if *value < BLURRED * median {
            found.push(Finding::new(
                FindingCode::BlurredFrame,
                Severity::Warning,
                format!(
                    "image {} is blurred: its fine detail is {:.2} of the other images'",
                    j + 1,
                    value / median
                ),
                "retake it, or leave it out if four lights remain; check the focus and the time of \
                 exposure",
            ));
        }
    }
}
