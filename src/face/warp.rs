//! Resampling by a similarity, without aliasing where it shrinks and without bleeding.
//!
//! A target pixel looks at a square of the source, its **footprint**. The value there is that of
//! the bilinear interpolant, averaged over a square `w` source pixels wide with edges along the
//! source's rows and columns:
//!
//! ```text
//! weight of pixel k at position x along an axis   1/w ∫ tent(t − k) dt over x − w/2 .. x + w/2
//! w = √(1/scale² − 1) where it shrinks, 0 (plain bilinear) elsewhere
//! ```
//!
//! A source pixel is itself a mean over one pixel; together the two have the variance of a mean
//! over the 1/scale source pixels that a target pixel covers. So it is the mean over the area where
//! it shrinks much, exact for a plane at every scale, and the identity changes nothing.

use super::landmarks::PixelPoint;
use super::similarity::Similarity;
use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};
use rayon::prelude::*;

/// A weight below this is what rounding leaves of a position that lies on a pixel.
const LEAST_WEIGHT: f64 = 1e-6;

/// From a source of one size to a target of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warp {
    /// From positions in the source to those in the target.
    pub similarity: Similarity,
    pub source: Size,
    pub target: Size,
}

/// The source pixels that one target pixel is made of.
pub(super) struct Footprint<'a> {
    first: [usize; 2],
    rows: &'a [f64],
    columns: &'a [f64],
    width: usize,
}

impl Footprint<'_> {
    /// The weighted mean of a value by flat pixel index.
    #[inline(always)]
    pub fn mean(&self, value: impl Fn(usize) -> f32) -> f32 {
        let mut sum = 0.0;
        for (row, row_weight) in self.rows.iter().enumerate() {
            let start = (self.first[0] + row) * self.width + self.first[1];
            let line = self.columns.iter().enumerate();
            let along: f64 = line.map(|(c, weight)| weight * f64::from(value(start + c))).sum();
            sum += row_weight * along;
        }
        sum as f32
    }

    /// Whether something holds of every pixel.
    #[inline(always)]
    pub fn all(&self, holds: impl Fn(usize) -> bool) -> bool {
        (0..self.rows.len()).all(|row| {
            let start = (self.first[0] + row) * self.width + self.first[1];
            (start..start + self.columns.len()).all(&holds)
        })
    }
}

impl Warp {
    pub fn identity(size: Size) -> Self {
        Self { similarity: Similarity::IDENTITY, source: size, target: size }
    }

    pub fn is_identity(&self) -> bool {
        self.similarity == Similarity::IDENTITY && self.source == self.target
    }

    /// A value for each target pixel; `outside` where its footprint reaches out of the source.
    pub(super) fn resample<T: Copy + Send + Sync>(
        &self,
        outside: T,
        value: impl Fn(&Footprint<'_>) -> T + Sync,
    ) -> Plane<T> {
        let mut plane = Plane::filled(self.target, outside);
        let inverse = self.similarity.inverse();
        let width = (self.similarity.scale().powi(-2) - 1.0).max(0.0).sqrt();
        let lines = plane.data.par_chunks_mut(self.target.width.max(1));
        lines.enumerate().for_each(|(row, line)| {
            let (mut rows, mut columns) = (Vec::new(), Vec::new());
            for (column, out) in line.iter_mut().enumerate() {
                let from = inverse.apply(PixelPoint::new(column as f64, row as f64));
                let first_row = weights(from.row, width, self.source.height, &mut rows);
                let first_column = weights(from.column, width, self.source.width, &mut columns);
                if let (Some(first_row), Some(first_column)) = (first_row, first_column) {
                    *out = value(&Footprint {
                        first: [first_row, first_column],
                        rows: &rows,
                        columns: &columns,
                        width: self.source.width,
                    });
                }
            }
        });
        plane
    }

    /// Where a target pixel's whole footprint lies in the mask.
    ///
    /// # Panics
    /// If the mask is not of the source's size.
    pub fn mask(&self, mask: &Mask) -> Mask {
        assert_eq!(mask.size, self.source, "a mask of the source's size");
        self.resample(false, |footprint| footprint.all(|p| mask.data[p]))
    }

    /// One number per pixel: NaN where any of a footprint is NaN or out of the source.
    ///
    /// # Panics
    /// If the plane is not of the source's size.
    pub fn plane(&self, plane: &Plane<f32>) -> Plane<f32> {
        assert_eq!(plane.size, self.source, "a plane of the source's size");
        if self.is_identity() {
            return plane.clone();
        }
        self.resample(f32::NAN, |footprint| footprint.mean(|p| plane.data[p]))
    }

    /// Every image of a stack, as shares of full scale; NaN, which solvers take for no
    /// observation, out of the source. What touches a saturated pixel stays at the level of
    /// saturation. The identity gives the stack as it is.
    ///
    /// # Panics
    /// If the stack is not of the source's size.
    pub fn images(&self, images: &ImageStack) -> ImageStack {
        assert_eq!(images.size, self.source, "images of the source's size");
        if self.is_identity() {
            return images.clone();
        }
        let unit = 1.0 / images.pixels.full_scale();
        let values = match &images.pixels {
            Pixels::U8(values) => self.frames(values, &images.white, unit),
            Pixels::U16(values) => self.frames(values, &images.white, unit),
            Pixels::F32(values) => self.frames(values, &images.white, unit),
        };
        let white = images.white.iter().map(|w| w * unit).collect();
        ImageStack::new(self.target, images.count, Pixels::F32(values)).with_white(white)
    }

    fn frames<T: Copy + Into<f32> + Sync>(
        &self,
        values: &[T],
        white: &[f32],
        unit: f32,
    ) -> Vec<f32> {
        let frames = values.chunks_exact(self.source.area().max(1)).zip(white);
        let moved = frames.map(|(frame, &white)| {
            let value = |footprint: &Footprint<'_>| {
                let mean = footprint.mean(|p| frame[p].into());
                // A NaN is at no level.
                let clipped = !footprint.all(|p| {
                    let value: f32 = frame[p].into();
                    value.is_nan() || value < white
                });
                unit * if clipped && !mean.is_nan() { mean.max(white) } else { mean }
            };
            self.resample(f32::NAN, value).data
        });
        moved.flatten().collect()
    }
}

/// The weights of the pixels round position `x` on an axis of `length` pixels, and the first of
/// them; `None` where it reaches out of the axis. See the module's head.
fn weights(x: f64, width: f64, length: usize, out: &mut Vec<f64>) -> Option<usize> {
    out.clear();
    let reach = width / 2.0 + 1.0;
    // Also where x is NaN; a footprint of any size inside is no longer than the axis.
    if !(x - reach > -1.1 && x + reach < length as f64 + 0.1) {
        return None;
    }
    let (mut first, last) = ((x - reach).ceil() as i64, (x + reach).floor() as i64);
    out.extend((first..=last).map(|k| pixel_weight(x - k as f64, width)));
    while out.last().is_some_and(|weight| *weight < LEAST_WEIGHT) {
        out.pop();
    }
    let skipped = out.iter().take_while(|weight| **weight < LEAST_WEIGHT).count();
    out.drain(..skipped);
    first += skipped as i64;
    let end = first + out.len() as i64;
    if out.is_empty() || first < 0 || end > length as i64 {
        return None;
    }
    let sum: f64 = out.iter().sum();
    out.iter_mut().for_each(|weight| *weight /= sum);
    Some(first as usize)
}

/// The weight of a pixel `distance` away.
fn pixel_weight(distance: f64, width: f64) -> f64 {
    if width < 1e-3 {
        return (1.0 - distance.abs()).max(0.0);
    }
    // The integral of the tent up to x.
    let below = |x: f64| {
        let x = x.clamp(-1.0, 1.0);
        if x < 0.0 { 0.5 * (x + 1.0) * (x + 1.0) } else { 1.0 - 0.5 * (1.0 - x) * (1.0 - x) }
    };
    (below(distance + width / 2.0) - below(distance - width / 2.0)) / width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(scale: f64, turn_deg: f64, source: Size, target: Size) -> Warp {
        let (from, to) = (PixelPoint::centre_of(source), PixelPoint::centre_of(target));
        Warp { similarity: Similarity::about(from, scale, turn_deg, to), source, target }
    }

    #[test]
    fn weights_worked_by_hand() {
        let mut got = Vec::new();
        assert_eq!(weights(2.25, 0.0, 10, &mut got), Some(2));
        assert_eq!(got, [0.75, 0.25]);
        assert_eq!(weights(9.0, 0.0, 10, &mut got), Some(9));
        assert_eq!(got, [1.0]);
        // The mean from 4 to 6: all of the tent about 5, half of those about 4 and 6, over 2.
        assert_eq!(weights(5.0, 2.0, 10, &mut got), Some(4));
        assert_eq!(got, [0.25, 0.5, 0.25]);
        for x in [-0.01, 9.01, 0.9, 8.2, f64::NAN] {
            let width = if (0.0..9.0).contains(&x) { 2.0 } else { 0.0 };
            assert_eq!(weights(x, width, 10, &mut got), None, "{x}");
        }
    }

    #[test]
    fn a_plane_stays_exact_at_every_scale_and_turn() {
        let source = Size::new(150, 170);
        let z = |column: f64, row: f64| 0.3 + 0.011 * column - 0.007 * row;
        let plane = Plane::from_fn(source, |r, c| z(c as f64, r as f64) as f32);
        for (scale, turn) in [(0.1, 30.0), (0.37, 25.0), (0.9, -40.0), (1.0, 1.0), (3.0, 100.0)] {
            let warp = turned(scale, turn, source, Size::new(40, 30));
            let moved = warp.plane(&plane);
            let inverse = warp.similarity.inverse();
            let mut defined = 0;
            for row in 0..40 {
                for column in 0..30 {
                    let from = inverse.apply(PixelPoint::new(column as f64, row as f64));
                    let (got, want) = (*moved.at(row, column), z(from.column, from.row) as f32);
                    if !got.is_nan() {
                        defined += 1;
                        assert!((got - want).abs() < 1e-6, "{got}, want {want}, scale {scale}");
                    }
                }
            }
            assert!(defined > 80, "{defined} at scale {scale}");
        }
    }

    #[test]
    fn fine_stripes_become_grey_where_bilinear_sampling_would_make_new_ones() {
        let source = Size::new(600, 600);
        for period in [2.0, 3.3, 5.0] {
            let stripe = |r: usize, c: usize| {
                ((0.6 * r as f64 + 0.8 * c as f64) * std::f64::consts::TAU / period).sin() as f32
            };
            let warp = turned(0.1, 20.0, source, Size::new(50, 50));
            let moved = warp.plane(&Plane::from_fn(source, stripe));
            let values: Vec<f32> = moved.data.iter().copied().filter(|v| !v.is_nan()).collect();
            let most = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            assert!(values.len() > 1500, "{}", values.len());
            // The second lobe of a mean over 10 pixels is 0.13 high along one axis.
            assert!(most < 0.13, "{most} of period {period}");
        }
    }

    #[test]
    fn nothing_undefined_reaches_a_valid_pixel() {
        let source = Size::new(90, 80);
        let inside = |r: usize, c: usize| (r as f64 - 44.0).hypot(c as f64 - 41.0) < 30.0;
        let mask: Mask = Plane::from_fn(source, inside);
        let plane = Plane::from_fn(source, |r, c| if inside(r, c) { 1.0 } else { 1e30 });
        for (scale, turn) in [(0.2, 10.0), (0.6, -70.0), (1.0, 25.0), (2.3, 190.0)] {
            let warp = turned(scale, turn, source, Size::new(100, 110));
            let (moved, valid) = (warp.plane(&plane), warp.mask(&mask));
            let wrong = |(value, valid): (&f32, &bool)| *valid && (value - 1.0).abs() > 1e-6;
            assert!(!moved.data.iter().zip(&valid.data).any(wrong), "scale {scale}");
            // And hardly more than the outline is lost.
            let want = std::f64::consts::PI * (30.0 * scale - 1.0f64.max(scale)).powi(2);
            assert!(valid.count() as f64 > 0.8 * want.min(9000.0), "{} at {scale}", valid.count());
            let holed = warp.plane(&plane.clone().masked(&mask));
            let same = holed.data.iter().zip(&valid.data).all(|(v, valid)| v.is_nan() != *valid);
            assert!(same, "scale {scale}");
        }
    }

    #[test]
    fn saturation_stays_and_no_observation_is_made_up() {
        let size = Size::new(20, 20);
        let mut values = vec![60u8; 400];
        values[10 * 20 + 10] = 255;
        let images = ImageStack::new(size, 1, Pixels::U8(values));
        let warp = turned(0.5, 0.0, size, Size::new(12, 12));
        let moved = warp.images(&images);
        let Pixels::F32(got) = &moved.pixels else { panic!("{:?}", moved.pixels) };
        assert_eq!(moved.white, [1.0]);
        let clipped = got.iter().filter(|v| **v >= 1.0).count();
        assert!((1..=9).contains(&clipped), "{clipped}");
        assert!(got[0].is_nan() && (got[3 * 12 + 3] - 60.0 / 255.0).abs() < 1e-6);
        let same = Warp::identity(size).images(&images);
        assert_eq!(same, images);
        // A cut-out blurs nothing.
        let similarity = Similarity { shift: [-9.0, -8.0], ..Similarity::IDENTITY };
        let cut = Warp { similarity, source: size, target: Size::new(4, 3) }.images(&images);
        let want: Vec<f32> =
            (0..12).map(|p| if p == 7 { 1.0 } else { 60.0 * (1.0 / 255.0) }).collect();
        assert_eq!(cut.pixels, Pixels::F32(want));
    }
}
