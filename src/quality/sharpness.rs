//! Which frame is blurred, next to the others of its capture.
//!
//! The logarithm of an image is the sum of log albedo and log shading, so that the same texture has
//! the same contrast under every light. Its sharpness is the ratio of two bands of it, each the
//! difference of two box means: detail of 3 to 7 pixels over detail of 7 to 15. Blur takes the
//! finer band first. (Band ratios of Laplacian pyramids: Pertuz, Puig and Garcia 2013, "Analysis of
//! focus measure operators", LAP family; a plain variance of the Laplacian would follow each
//! light's brightness and shadows.)

use super::coarse::{Coarse, block_side};
use super::finding::{Finding, FindingCode, Severity};
use crate::maps::{ImageStack, Mask, Size};

/// Faces are judged at about this size: what is finer than a 256th of a face is noise in a large
/// image, and motion of that size does no harm.
const FACE_SIDE: f64 = 256.0;
/// Half widths of the three boxes.
const BOXES: [usize; 3] = [1, 3, 7];
/// Least pixels to judge on.
const MIN_PIXELS: usize = 400;
/// As many say what all do.
const MOST_PIXELS: usize = 1 << 14;
/// A frame is blurred where its sharpness is below this share of the frames' median. A Gaussian
/// blur of σ = 2 px takes the finer band to 0.4 and the coarser to 0.8.
pub const BLURRED: f64 = 0.65;

/// Sharpness of each frame, dimensionless; `None` where too little of the subject is lit in every
/// image.
pub(super) fn sharpness(images: &ImageStack, mask: &Mask) -> Option<Vec<f64>> {
    let coarse = Coarse::of_blocks(images, mask, block_side(mask, FACE_SIDE));
    let Size { height, width } = coarse.size;
    // Only where every image is lit, so that all are judged on the same texture.
    let common = coarse.lit_by_all();
    let mut here = vec![0.0; coarse.size.area()];
    common.iter().for_each(|&at| here[at] = 1.0);
    let counts = corner_sums(&here, coarse.size);
    let stride = width + 1;
    let box_sum = |sums: &[f64], at: usize, half: usize| {
        let (row, column) = (at / width, at % width);
        let (top, bottom) = ((row - half) * stride, (row + half + 1) * stride);
        let (left, right) = (column - half, column + half + 1);
        sums[bottom + right] - sums[top + right] - sums[bottom + left] + sums[top + left]
    };
    let side = |half: usize| (2 * half + 1) as f64;
    let widest = BOXES[2];
    let whole = side(widest).powi(2);
    let centres: Vec<usize> = common
        .iter()
        .copied()
        .filter(|&at| {
            let (row, column) = (at / width, at % width);
            (widest..height.saturating_sub(widest)).contains(&row)
                && (widest..width.saturating_sub(widest)).contains(&column)
                && box_sum(&counts, at, widest) == whole
        })
        .collect();
    if centres.len() < MIN_PIXELS {
        return None;
    }
    let step = centres.len().div_ceil(MOST_PIXELS);
    let mut logs = vec![0.0; coarse.size.area()];
    (0..coarse.count)
        .map(|j| {
            let plane = coarse.plane(j);
            common.iter().for_each(|&at| logs[at] = f64::from(plane[at].ln()));
            let sums = corner_sums(&logs, coarse.size);
            let (mut fine, mut rough) = (0.0, 0.0);
            for &at in centres.iter().step_by(step) {
                let [a, b, c] = BOXES.map(|half| box_sum(&sums, at, half) / side(half).powi(2));
                fine += (a - b) * (a - b);
                rough += (b - c) * (b - c);
            }
            (rough > 0.0).then(|| (fine / rough).sqrt())
        })
        .collect()
}

/// Sums over everything above and left of each corner, (h + 1) × (w + 1).
fn corner_sums(values: &[f64], size: Size) -> Vec<f64> {
    let stride = size.width + 1;
    let mut sums = vec![0.0; (size.height + 1) * stride];
    for (row, values) in values.chunks_exact(size.width.max(1)).enumerate() {
        let (above, below) = sums[row * stride..(row + 2) * stride].split_at_mut(stride);
        let mut line = 0.0;
        for ((sum, above), value) in below[1..].iter_mut().zip(&above[1..]).zip(values) {
            line += value;
            *sum = above + line;
        }
    }
    sums
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
