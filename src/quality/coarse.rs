//! The capture on a grid of blocks, small enough to try many explanations of it.
//!
//! `I = L g` is linear, so it holds for the mean over a block of pixels as well as for a pixel, with
//! less noise. A block counts for an image only where every one of its pixels is on the mask and
//! unsaturated and the block is lit.

use super::exposure::SHADOW_SHARE;
use crate::maps::{ImageStack, Mask, Size};

/// Blocks along the side of a square of the mask's area. At this scale a face still shows nose, eye
/// sockets and cheeks, and k × k statistics rest on thousands of blocks.
const BLOCKS_PER_SIDE: f64 = 96.0;

/// Block means of a stack, (k, h, w) row-major.
pub(super) struct Coarse {
    pub size: Size,
    pub count: usize,
    /// Pixels along a block's side.
    pub block: usize,
    /// Shares of full scale; NaN where the block does not count.
    pub values: Vec<f32>,
}

impl Coarse {
    pub fn new(images: &ImageStack, mask: &Mask) -> Self {
        let block = ((mask.count() as f64).sqrt() / BLOCKS_PER_SIDE).round().max(1.0) as usize;
        let size = Size::new(images.size.height / block, images.size.width / block);
        let (area, full) = (images.size.area(), images.pixels.full_scale());
        let mut values = vec![f32::NAN; images.count * size.area()];
        for (j, plane) in values.chunks_exact_mut(size.area().max(1)).enumerate() {
            for (at, value) in plane.iter_mut().enumerate() {
                let (top, left) = (at / size.width * block, at % size.width * block);
                let mut sum = 0.0;
                for row in top..top + block {
                    for column in left..left + block {
                        let pixel = row * images.size.width + column;
                        let seen = images.pixels.get(j * area + pixel);
                        let counts = mask.data[pixel] && seen < images.white[j];
                        sum += if counts { seen } else { f32::NAN };
                    }
                }
                *value = sum / (full * (block * block) as f32);
            }
        }
        let mut coarse = Self { size, count: images.count, block, values };
        coarse.drop_shadows();
        coarse
    }

    fn drop_shadows(&mut self) {
        let area = self.size.area();
        for at in 0..area {
            let brightest =
                (0..self.count).map(|j| self.values[j * area + at]).fold(0.0f32, f32::max);
            for j in 0..self.count {
                let value = &mut self.values[j * area + at];
                if *value <= SHADOW_SHARE * brightest {
                    *value = f32::NAN;
                }
            }
        }
    }

    pub fn plane(&self, image: usize) -> &[f32] {
        let area = self.size.area();
        &self.values[image * area..(image + 1) * area]
    }

    /// The k values of one block.
    pub fn column(&self, at: usize) -> Vec<f64> {
        (0..self.count).map(|j| f64::from(self.plane(j)[at])).collect()
    }

    /// Blocks that every light reaches.
    pub fn lit_by_all(&self) -> Vec<usize> {
        (0..self.size.area())
            .filter(|&at| (0..self.count).all(|j| !self.plane(j)[at].is_nan()))
            .collect()
    }
}
