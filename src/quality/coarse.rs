//! The capture on a grid of blocks, small enough to try many explanations of it.
//!
//! `I = L g` is linear, so it holds for the mean over a block of pixels as well as for a pixel, with
//! less noise. A block counts for an image only where every one of its pixels is on the mask and
//! unsaturated and the block is lit.

use super::exposure::SHADOW_SHARE;
use crate::maps::{ImageStack, Mask, Pixels, Size};

/// Blocks along the side of a square of the mask's area. At this scale a face still shows nose, eye
/// sockets and cheeks, and k × k statistics rest on thousands of blocks.
const BLOCKS_PER_SIDE: f64 = 96.0;
/// A face has a dozen parts that err independently: k × k statistics over a few thousand blocks are
/// as good as over all, and more lights see more at each.
const MOST_THINNED: usize = 3072;
const FEWEST_THINNED: usize = 1024;
const MOST_OBSERVATIONS: usize = 1 << 15;

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
        Self::of_blocks(images, mask, block_side(mask, BLOCKS_PER_SIDE))
    }

    /// On blocks of `block` pixels along a side.
    pub fn of_blocks(images: &ImageStack, mask: &Mask, block: usize) -> Self {
        let Size { height, width } = images.size;
        let size = Size::new(height / block, width / block);
        let area = size.area();
        let unit = 1.0 / (images.pixels.full_scale() * (block * block) as f32);
        let mut values = vec![f32::NAN; images.count * area];
        let mut sums = vec![0.0f32; images.count * width];
        let (mut line, mut gate) = (vec![0.0f32; width], vec![0.0f32; width]);
        for block_row in 0..size.height {
            sums.fill(0.0);
            for row in block_row * block..(block_row + 1) * block {
                let on = &mask.data[row * width..(row + 1) * width];
                gate.iter_mut().zip(on).for_each(|(g, &on)| *g = if on { 0.0 } else { f32::NAN });
                for (j, sums) in sums.chunks_exact_mut(width).enumerate() {
                    copy_row(images, j, row, &mut line);
                    let white = images.white[j];
                    for ((sum, &v), &gate) in sums.iter_mut().zip(&line).zip(&gate) {
                        *sum += if v < white { v } else { f32::NAN } + gate;
                    }
                }
            }
            for (j, sums) in sums.chunks_exact(width).enumerate() {
                let out = &mut values[j * area + block_row * size.width..][..size.width];
                for (value, sums) in out.iter_mut().zip(sums.chunks_exact(block)) {
                    *value = unit * sums.iter().sum::<f32>();
                }
            }
        }
        let mut coarse = Self { size, count: images.count, block, values };
        coarse.drop_shadows();
        coarse
    }

    fn drop_shadows(&mut self) {
        let area = self.size.area().max(1);
        let mut brightest = vec![0.0f32; area];
        for plane in self.values.chunks_exact(area) {
            for (top, &v) in brightest.iter_mut().zip(plane) {
                *top = if v > *top { v } else { *top };
            }
        }
        for plane in self.values.chunks_exact_mut(area) {
            for (v, &top) in plane.iter_mut().zip(&brightest) {
                *v = if *v <= SHADOW_SHARE * top { f32::NAN } else { *v };
            }
        }
    }

    pub fn plane(&self, image: usize) -> &[f32] {
        let area = self.size.area();
        &self.values[image * area..(image + 1) * area]
    }

    /// In how many images each block counts.
    pub fn seen(&self) -> Vec<u32> {
        let area = self.size.area();
        let mut seen = vec![0u32; area];
        for plane in self.values.chunks_exact(area.max(1)) {
            seen.iter_mut().zip(plane).for_each(|(n, v)| *n += u32::from(!v.is_nan()));
        }
        seen
    }

    /// Blocks that every light reaches.
    pub fn lit_by_all(&self) -> Vec<usize> {
        let all = self.count as u32;
        let seen = self.seen();
        (0..seen.len()).filter(|&at| seen[at] == all).collect()
    }

    /// The k values of each block in turn, 0 where it does not count.
    pub fn columns(&self, blocks: &[usize]) -> Vec<f64> {
        let mut columns = vec![0.0; blocks.len() * self.count];
        if blocks.is_empty() {
            return columns;
        }
        for (j, plane) in self.values.chunks_exact(self.size.area().max(1)).enumerate() {
            let column = columns[j..].iter_mut().step_by(self.count);
            for (out, &at) in column.zip(blocks) {
                *out = if plane[at].is_nan() { 0.0 } else { f64::from(plane[at]) };
            }
        }
        columns
    }

    /// Every s-th of these blocks, as many as statistics of k × k entries need.
    pub fn thinned(&self, blocks: &[usize]) -> Vec<usize> {
        let most = (MOST_OBSERVATIONS / self.count.max(1)).clamp(FEWEST_THINNED, MOST_THINNED);
        blocks.iter().copied().step_by(blocks.len().div_ceil(most).max(1)).collect()
    }
}

/// Side of the blocks that cut the side of a square of the mask's area into so many.
pub(super) fn block_side(mask: &Mask, per_side: f64) -> usize {
    ((mask.count() as f64).sqrt() / per_side).round().max(1.0) as usize
}

/// A row of one image, in the pixels' units.
pub(super) fn copy_row(images: &ImageStack, image: usize, row: usize, line: &mut [f32]) {
    let width = images.size.width;
    let start = image * images.size.area() + row * width;
    match &images.pixels {
        Pixels::U8(v) => {
            line.iter_mut().zip(&v[start..start + width]).for_each(|(o, &v)| *o = f32::from(v));
        }
        Pixels::U16(v) => {
            line.iter_mut().zip(&v[start..start + width]).for_each(|(o, &v)| *o = f32::from(v));
        }
        Pixels::F32(v) => line.copy_from_slice(&v[start..start + width]),
    }
}
