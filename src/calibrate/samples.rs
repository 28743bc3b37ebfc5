//! A few thousand well-lit samples of a capture: means over square blocks of pixels, and which of
//! them a light reached.

use super::CalibrateError;
use super::robust::percentile;
use crate::maps::{ImageStack, Mask, Size};
use nalgebra::Matrix3xX;
use rayon::prelude::*;

/// Blocks aimed at: lights have a few dozen unknowns, and a face's relief is smooth at this scale.
const TARGET: usize = 4000;
/// An observation below this share of the sample's bright ones is shadow: in concave faces about
/// a tenth of the light comes back from other skin.
pub(super) const SHADOW_SHARE: f32 = 0.15;
/// Which of a sample's observations stands for its bright ones: the highest of nine in ten, so
/// that a few highlights do not turn the rest into shadow.
const BRIGHT: f64 = 0.9;
/// A sample that no light lifts above this share of full scale holds noise.
const DARK: f32 = 0.05;

/// Standard deviation of the Gaussian before differences are taken, in blocks. Differences of
/// neighbours are small against the samples' noise; a face's relief changes over many blocks.
const SMOOTHING: f64 = 1.0;

/// Block means of k images over a mask.
pub(super) struct Samples {
    /// Blocks down and across.
    pub size: Size,
    /// Pixels along a block's side.
    pub step: usize,
    pub lights: usize,
    /// Flat block index of each sample, ascending.
    pub blocks: Vec<usize>,
    /// Shares of full scale, (samples, lights).
    pub values: Vec<f32>,
    /// Neither saturated nor in shadow, (samples, lights).
    pub usable: Vec<bool>,
}

impl Samples {
    /// Samples whose block lies wholly in the mask and that at least `least` lights reach.
    ///
    /// # Errors
    /// A mask of another size, or an empty one.
    pub fn new(images: &ImageStack, mask: &Mask, least: usize) -> Result<Self, CalibrateError> {
        if mask.size != images.size {
            return Err(CalibrateError::MaskSize { mask: mask.size, images: images.size });
        }
        let masked = mask.count();
        if masked == 0 {
            return Err(CalibrateError::MaskEmpty("subject"));
        }
        let step = ((masked as f64 / TARGET as f64).sqrt().round() as usize).max(1);
        let size = Size::new(mask.size.height / step, mask.size.width / step);
        let (values, white) = images.to_shares();
        let area = images.size.area();
        let lights = images.count;
        let found: Vec<(usize, Vec<f32>, Vec<bool>)> = (0..size.area())
            .into_par_iter()
            .filter_map(|block| {
                let corner =
                    block / size.width * step * mask.size.width + block % size.width * step;
                let pixels =
                    || (0..step * step).map(|i| corner + i / step * mask.size.width + i % step);
                if !pixels().all(|p| mask.data[p]) {
                    return None;
                }
                let mut means = vec![0.0; lights];
                let mut usable = vec![false; lights];
                for light in 0..lights {
                    let seen = || pixels().map(|p| values[light * area + p]);
                    means[light] = seen().sum::<f32>() / (step * step) as f32;
                    // NaN, no observation, fails the comparison.
                    usable[light] = seen().all(|v| v < white[light]);
                }
                let mut sorted: Vec<f64> = means.iter().map(|&v| f64::from(v)).collect();
                let bright = percentile(&mut sorted, BRIGHT) as f32;
                for (usable, mean) in usable.iter_mut().zip(&mut means) {
                    *usable &= *mean > SHADOW_SHARE * bright;
                    if mean.is_nan() {
                        *mean = 0.0;
                    }
                }
                let count = usable.iter().filter(|u| **u).count();
                (bright > DARK && count >= least).then_some((block, means, usable))
            })
            .collect();
        let mut samples = Self {
            size,
            step,
            lights,
            blocks: Vec::with_capacity(found.len()),
            values: Vec::with_capacity(found.len() * lights),
            usable: Vec::with_capacity(found.len() * lights),
        };
        for (block, means, usable) in found {
            samples.blocks.push(block);
            samples.values.extend(means);
            samples.usable.extend(usable);
        }
        Ok(samples)
    }

    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Intensities of one sample under all lights, and which of them count.
    pub fn at(&self, sample: usize) -> (&[f32], &[bool]) {
        let range = sample * self.lights..(sample + 1) * self.lights;
        (&self.values[range.clone()], &self.usable[range])
    }
    /// Flat block index → sample, `None` where there is none.
    fn at_block(&self) -> Vec<Option<usize>> {
        let mut at = vec![None; self.size.area()];
        self.blocks.iter().enumerate().for_each(|(s, &block)| at[block] = Some(s));
        at
    }

    /// Every sample that has all four neighbours, with those left, right, above and below.
    pub fn neighbours(&self) -> Vec<(usize, [usize; 4])> {
        let at = self.at_block();
        let Size { height, width } = self.size;
        let all = self.blocks.iter().enumerate().filter_map(|(s, &block)| {
            let (row, column) = (block / width, block % width);
            let inside = (1..height - 1).contains(&row) && (1..width - 1).contains(&column);
            if !inside {
                return None;
            }
            Some((s, [at[block - 1]?, at[block + 1]?, at[block - width]?, at[block + width]?]))
        });
        all.collect()
    }

    /// Gaussian means of fields (3, samples) over the neighbours that there are.
    pub fn smoothed(&self, fields: &Matrix3xX<f64>) -> Matrix3xX<f64> {
        let at = self.at_block();
        let Size { height, width } = self.size;
        let radius = (3.0 * SMOOTHING).ceil() as usize;
        let kernel = |d: usize| (-((d * d) as f64) / (2.0 * SMOOTHING * SMOOTHING)).exp();
        let near = |centre: usize, length: usize| {
            centre.saturating_sub(radius)..(centre + radius + 1).min(length)
        };
        let columns: Vec<_> = self
            .blocks
            .par_iter()
            .map(|&block| {
                let (row, column) = (block / width, block % width);
                let (mut sum, mut weight) = (nalgebra::Vector3::zeros(), 0.0);
                for r in near(row, height) {
                    for c in near(column, width) {
                        if let Some(s) = at[r * width + c] {
                            let w = kernel(row.abs_diff(r)) * kernel(column.abs_diff(c));
                            sum += fields.column(s) * w;
                            weight += w;
                        }
                    }
                }
                sum / weight
            })
            .collect();
        Matrix3xX::from_columns(&columns)
    }

    /// How far a surface (3, samples; normals up to scale) bulges toward the camera, −1 to 1: the
    /// sum over samples of their offset from the middle times the normal's sideways part, over
    /// that of the lengths. A ball has 1, a hollow −1.
    pub fn bulge(&self, surface: &Matrix3xX<f64>) -> f64 {
        let width = self.size.width;
        let places = || self.blocks.iter().map(|b| ((b % width) as f64, -((b / width) as f64)));
        let count = self.len() as f64;
        let (x, y) = places().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / count, sum.1 + p.1 / count));
        let (mut outward, mut all) = (0.0, f64::MIN_POSITIVE);
        for (b, place) in surface.column_iter().zip(places()) {
            let (dx, dy) = (place.0 - x, place.1 - y);
            let length = b.norm().max(1e-12);
            outward += (b.x * dx + b.y * dy) / length;
            all += b.x.hypot(b.y) * dx.hypot(dy) / length;
        }
        outward / all
    }
}
