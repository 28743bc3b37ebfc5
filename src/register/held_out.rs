//! Whether a motion is to be believed: integrability, which took no part in finding it.
//!
//! Frames that fit give slopes with less curl (see [`crate::integrate::integrability_residual`]).
//! Interpolation alone smooths noise and lowers the curl a little, so both sides are judged on
//! images smoothed to a standard deviation of 1.4 pixels, at which a bilinear shift loses next to
//! nothing. And as a mean can fall by chance, or in one corner, the fall must be clear over blocks
//! of the image: pixels of a block share their shadows and highlights and are one witness, not
//! many.

use super::pyramid::Level;
use crate::integrate::integrability_residual;
use crate::maps::{ImageStack, Lights, Pixels, Plane, Size};
use crate::stereo::LeastSquares;

/// Blocks along the image's shorter side.
const BLOCKS: usize = 8;
/// Standard errors by which the curl must fall.
const STANDARD_ERRORS: f64 = 3.0;
/// Fewest blocks that can witness anything.
const FEWEST_BLOCKS: usize = 8;

/// The held-out criterion of a registration: mean size of the integrability residual over the
/// subject, slope per pixel at the finest scale that was compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Of the frames as they are.
    pub still: f64,
    /// Of the frames moved by the best motions found, on the same pixels.
    pub moved: f64,
    /// Mean fall over blocks of the image, in standard errors of that mean; negative where it
    /// rose.
    pub standard_errors: f64,
}

impl HeldOut {
    /// Relative fall, 0 for none.
    pub fn gain(&self) -> f64 {
        if self.still > 0.0 { 1.0 - self.moved / self.still } else { 0.0 }
    }

    pub(super) fn believes(&self, least_gain: f64) -> bool {
        self.gain() >= least_gain && self.standard_errors >= STANDARD_ERRORS
    }
}

pub(super) struct Judge<'a> {
    level: &'a Level,
    solver: LeastSquares,
    still: Plane<f32>,
}

impl<'a> Judge<'a> {
    pub fn new(level: &'a Level, lights: &Lights) -> Option<Self> {
        let solver = LeastSquares::new(lights)?;
        let still = residual(level, &solver, &vec![[0.0; 2]; lights.len()]);
        Some(Self { level, solver, still })
    }

    /// `None` where too few pixels can be judged.
    pub fn compare(&self, motions: &[[f64; 2]]) -> Option<HeldOut> {
        let moved = residual(self.level, &self.solver, motions);
        let Size { height, width } = self.level.size;
        let side = height.min(width).div_ceil(BLOCKS);
        let across = width.div_ceil(side);
        let mut blocks = vec![(0.0f64, 0.0f64, 0u32); across * height.div_ceil(side)];
        for (p, (before, after)) in self.still.data.iter().zip(&moved.data).enumerate() {
            let (before, after) = (f64::from(before.abs()), f64::from(after.abs()));
            if before.is_finite() && after.is_finite() {
                let block = &mut blocks[p / width / side * across + p % width / side];
                *block = (block.0 + before, block.1 + after, block.2 + 1);
            }
        }
        blocks.retain(|block| block.2 > 0);
        if blocks.len() < FEWEST_BLOCKS {
            return None;
        }
        let pixels: f64 = blocks.iter().map(|b| f64::from(b.2)).sum();
        let before = blocks.iter().map(|b| b.0).sum::<f64>() / pixels;
        let after = blocks.iter().map(|b| b.1).sum::<f64>() / pixels;
        // Standard error of a ratio estimator: blocks differ in size.
        let fall = before - after;
        let spread: f64 = blocks.iter().map(|b| (b.0 - b.1 - fall * f64::from(b.2)).powi(2)).sum();
        let count = blocks.len() as f64;
        let error = (spread * count / (count - 1.0)).sqrt() / pixels;
        let standard_errors = if error > 0.0 { fall / error } else { 0.0 };
        Some(HeldOut { still: before, moved: after, standard_errors })
    }
}

/// The curl of the least-squares normals of the smoothed frames at these motions.
fn residual(level: &Level, solver: &LeastSquares, motions: &[[f64; 2]]) -> Plane<f32> {
    let (size, area) = (level.size, level.size.area());
    let mut values = Vec::with_capacity(motions.len() * area);
    for (frame, &motion) in level.frames.iter().zip(motions) {
        shifted(&frame.smooth, size, motion, &mut values);
    }
    let images = ImageStack::new(size, motions.len(), Pixels::F32(values));
    integrability_residual(&solver.solve(&images).normals, &level.inside)
}

/// Appends the plane's values at (row + dy, column + dx), bilinear, edges replicated.
fn shifted(plane: &[f32], size: Size, [dx, dy]: [f64; 2], out: &mut Vec<f32>) {
    let Size { height, width } = size;
    let (left, above) = (dx.floor(), dy.floor());
    let (tx, ty) = ((dx - left) as f32, (dy - above) as f32);
    let clamped = |v: f64, length: usize| v.clamp(0.0, length as f64 - 1.0) as usize;
    let columns: Vec<usize> = (0..=width).map(|c| clamped(c as f64 + left, width)).collect();
    let mut wide = vec![0.0f32; width + 1];
    let filled = out.len();
    out.resize(filled + plane.len(), 0.0);
    for (row, out) in out[filled..].chunks_exact_mut(width).enumerate() {
        let upper = &plane[clamped(row as f64 + above, height) * width..][..width];
        let lower = &plane[clamped(row as f64 + above + 1.0, height) * width..][..width];
        for (value, &c) in wide.iter_mut().zip(&columns) {
            *value = upper[c] + ty * (lower[c] - upper[c]);
        }
        for ((out, here), next) in out.iter_mut().zip(&wide).zip(&wide[1..]) {
            *out = here + tx * (next - here);
        }
    }
}
