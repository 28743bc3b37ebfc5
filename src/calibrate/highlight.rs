//! The image of a lamp in a chrome sphere, to a fraction of a pixel.
//!
//! A lamp shows as a bright core in a halo of glare. The core is what is meant: the halo is
//! scattered along brush marks and by the aperture, and pulls the centroid with it. Where the
//! core is clipped, its pixels are all that is known of it and count alike; where it is not, the
//! part above half of its height and the ring of pixels around it, which the core may cover in
//! part, count by their excess over the dark sphere.

use super::CalibrateError;
use super::circle::Circle;
use super::robust::median;
use crate::maps::{ImageStack, Size};

/// Where a lamp shows in a sphere. Columns and rows are those of pixel centres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Highlight {
    pub column: f64,
    pub row: f64,
    /// Standard error of the position along either axis, px.
    pub error_px: f64,
    /// Brightness of the next spot that may be another lamp, as a share of this one's; 0 if none.
    pub rival: f64,
    pub saturated: bool,
}

/// Of the way from the sphere's median to its maximum: full width at half maximum, the usual
/// extent of a spot.
const HALF: f64 = 0.5;
/// From this share of white on a pixel counts as clipped: compression and demosaicking soften the
/// plateau by a few per cent.
const CLIPPED: f64 = 0.95;
/// Fewer clipped pixels than this carry less about the position than the slopes around them.
const SMALLEST_CORE: usize = 12;
/// A maximum that stands less than this above the median, as a share of full scale, is no lamp:
/// a few steps of 8 bits.
const LEAST_CONTRAST: f64 = 0.05;
/// Grazing reflections begin here, as a share of the radius: the light would stand more than 150°
/// from the camera, behind the sphere.
const RIM: f64 = 0.966;

/// Finds the lamp in a circle of one image of the stack.
///
/// Of all spots brighter than half of the way to the maximum, the one with the most light in it
/// is the lamp; spots at the rim are grazing reflections of the room and are passed over.
///
/// # Errors
/// No highlight, or none but at the rim.
///
/// # Panics
/// If the stack has no image of that index.
pub fn find_highlight(
    images: &ImageStack,
    image: usize,
    circle: Circle,
) -> Result<Highlight, CalibrateError> {
    let patch = Patch::cut(images, image, circle);
    let mut values: Vec<f64> = patch.values.iter().copied().filter(|v| v.is_finite()).collect();
    let brightest = values.iter().copied().fold(0.0, f64::max);
    let ground = median(&mut values);
    if ground.is_nan() || brightest - ground < LEAST_CONTRAST {
        let number = image + 1;
        return Err(CalibrateError::NoHighlight { image: number, brightest, median: ground });
    }
    let half = ground + HALF * (brightest - ground);
    let spots = patch.spots(half);
    let (at_rim, mut inside): (Vec<_>, Vec<_>) =
        spots.into_iter().partition(|spot| patch.touches_rim(spot));
    // Stable: of equals, the first from the top.
    let light = |spot: &Vec<usize>| spot.iter().map(|&p| patch.values[p] - ground).sum::<f64>();
    inside.sort_by(|a, b| light(b).total_cmp(&light(a)));
    let Some(spot) = inside.first() else {
        debug_assert!(!at_rim.is_empty());
        return Err(CalibrateError::HighlightAtRim { image: image + 1 });
    };
    let rival = inside.get(1).map_or(0.0, |next| light(next) / light(spot));

    let broad = patch.centroid(&patch.with_ring(spot), |v| v - ground);
    let clipped = CLIPPED * patch.white;
    let core = patch
        .spots(clipped)
        .into_iter()
        .filter(|core| spot.contains(&core[0]))
        .max_by_key(Vec::len)
        .filter(|core| core.len() >= SMALLEST_CORE);
    let (centre, pixels) = match &core {
        Some(core) => (patch.centroid(core, |_| 1.0), core.len()),
        None => (broad, spot.len()),
    };
    // A clipped core of N pixels, radius R, has 2πR pixels at its edge that are in or out by
    // chance (σ = 0.289 px of area each): its centroid strays by 1/√(12πR). Unclipped, an edge
    // pixel counts by its share f, and only where in the pixel the light lies is unknown,
    // f (1 − f)/2 with a spread of 0.037 px.
    let edge = (1.0 / (12.0 * (std::f64::consts::PI * pixels as f64).sqrt())).sqrt();
    let sampling = if core.is_some() { edge } else { edge * 0.037 / 0.289 };
    // How far glare moves the broad centroid bounds how far it can have moved the core's.
    let glare = (centre[0] - broad[0]).hypot(centre[1] - broad[1]) / 2.0;
    Ok(Highlight {
        column: centre[0],
        row: centre[1],
        error_px: sampling.hypot(glare),
        rival,
        saturated: core.is_some(),
    })
}

/// The square around a circle; NaN outside of the circle or frame.
struct Patch {
    size: Size,
    corner: [usize; 2],
    circle: Circle,
    /// Shares of full scale.
    values: Vec<f64>,
    white: f64,
}

impl Patch {
    fn cut(images: &ImageStack, image: usize, circle: Circle) -> Self {
        let range = |centre: f64, length: usize| {
            let first = (centre - circle.radius).floor().max(0.0) as usize;
            let end = ((centre + circle.radius).ceil().max(0.0) as usize + 1).min(length);
            first.min(end)..end
        };
        let rows = range(circle.row, images.size.height);
        let columns = range(circle.column, images.size.width);
        let unit = 1.0 / f64::from(images.pixels.full_scale());
        let start = image * images.size.area();
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        for row in rows.clone() {
            for column in columns.clone() {
                let inside = circle.distance([column as f64, row as f64]) < 0.0;
                let value = images.pixels.get(start + row * images.size.width + column);
                values.push(if inside { f64::from(value) * unit } else { f64::NAN });
            }
        }
        Self {
            size: Size::new(rows.len(), columns.len()),
            corner: [columns.start, rows.start],
            circle,
            values,
            white: f64::from(images.white[image]) * unit,
        }
    }

    fn position(&self, pixel: usize) -> [f64; 2] {
        let (row, column) = (pixel / self.size.width, pixel % self.size.width);
        [(self.corner[0] + column) as f64, (self.corner[1] + row) as f64]
    }

    fn touches_rim(&self, spot: &[usize]) -> bool {
        let rim = -(1.0 - RIM) * self.circle.radius;
        spot.iter().any(|&p| self.circle.distance(self.position(p)) >= rim)
    }

    /// 8-connected regions at or above a threshold, each from its upper left pixel on.
    fn spots(&self, threshold: f64) -> Vec<Vec<usize>> {
        let Size { height, width } = self.size;
        let mut open: Vec<bool> = self.values.iter().map(|&v| v >= threshold).collect();
        let mut spots = Vec::new();
        for start in 0..open.len() {
            if !open[start] {
                continue;
            }
            open[start] = false;
            let mut spot = vec![start];
            let mut next = 0;
            while let Some(&p) = spot.get(next) {
                next += 1;
                let (row, column) = (p / width, p % width);
                for r in row.saturating_sub(1)..(row + 2).min(height) {
                    for c in column.saturating_sub(1)..(column + 2).min(width) {
                        let q = r * width + c;
                        if open[q] {
                            open[q] = false;
                            spot.push(q);
                        }
                    }
                }
            }
            spots.push(spot);
        }
        spots
    }

    /// A region and its 8-connected neighbours, as far as they lie on the sphere.
    fn with_ring(&self, spot: &[usize]) -> Vec<usize> {
        let Size { height, width } = self.size;
        let mut pixels = std::collections::BTreeSet::new();
        for &p in spot {
            let (row, column) = (p / width, p % width);
            for r in row.saturating_sub(1)..(row + 2).min(height) {
                for c in column.saturating_sub(1)..(column + 2).min(width) {
                    if !self.values[r * width + c].is_nan() {
                        pixels.insert(r * width + c);
                    }
                }
            }
        }
        pixels.into_iter().collect()
    }

    fn centroid(&self, spot: &[usize], weight: impl Fn(f64) -> f64) -> [f64; 2] {
        let mut sums = [0.0; 3];
        for &p in spot {
            // A dark pixel of the ring must not count against the spot.
            let w = weight(self.values[p]).max(0.0);
            let [column, row] = self.position(p);
            sums[0] += w * column;
            sums[1] += w * row;
            sums[2] += w;
        }
        [sums[0] / sums[2], sums[1] / sums[2]]
    }
}
