//! Which triangles each packet of sight may meet.
//!
//! All rays of sight of a frame leave one eye (or one plane), so the triangles need no tree: each
//! is thrown on the image, and every packet whose sub-samples its box covers takes it down. What
//! a ray meets is then found by the same test as everywhere. On a head of 100,000 triangles this
//! takes a fifth of the tree's time.

use rayon::prelude::*;

use super::packet::LANES;
use super::scene::Scene;
use super::view::RayParams;
use crate::maps::Size;
use crate::synth::exact_math::{dot, sub};

/// Sub-samples on a side of a packet.
pub(super) const SIDE: usize = 4;
/// Sub-samples by which boxes are widened: far above what rounding moves a corner.
const MARGIN: f32 = 0.02;

/// The sub-samples of an image: n×n in each pixel, in packets of 4×4.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub size: Size,
    pub n: usize,
}

/// A sub-sample of the image.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    /// Flat index of its pixel; `None` beyond the image.
    pub pixel: Option<usize>,
    /// Which of its pixel's sub-samples it is.
    pub index: usize,
    pub column: f32,
    pub row: f32,
}

impl Grid {
    /// Packets side by side, and one above another.
    pub fn packets(&self) -> [usize; 2] {
        [self.size.width, self.size.height].map(|pixels| (pixels * self.n).div_ceil(SIDE))
    }

    /// The sub-samples of a packet.
    pub fn spots(&self, [across, down]: [usize; 2]) -> [Spot; LANES] {
        let Self { size, n } = *self;
        std::array::from_fn(|lane| {
            let (x, y) = (across * SIDE + lane % SIDE, down * SIDE + lane / SIDE);
            let inside = x / n < size.width && y / n < size.height;
            Spot {
                pixel: inside.then_some(y / n * size.width + x / n),
                index: y % n * n + x % n,
                column: (x as f32 + 0.5) / n as f32 - 0.5,
                row: (y as f32 + 0.5) / n as f32 - 0.5,
            }
        })
    }
}

/// Triangles in the order of the leaves, packet by packet.
pub(super) struct Candidates {
    /// Packets side by side.
    across: usize,
    /// Where each packet's triangles begin, and the end of all.
    starts: Vec<u32>,
    triangles: Vec<u32>,
}

impl Candidates {
    pub fn new(scene: &Scene, rays: &RayParams, grid: &Grid) -> Self {
        let [across, down] = grid.packets();
        let n = grid.n as f32;
        // Places of the vertices in sub-samples; NaN where a pinhole cannot see them.
        let places: Vec<[f32; 2]> = scene
            .vertices
            .par_iter()
            .with_min_len(4096)
            .map(|vertex| {
                let from_eye = sub(vertex.position, rays.eye);
                let away = if rays.perspective == 0 { 1.0 } else { -dot(rays.toward, from_eye) };
                let away = if away > 1.0 || rays.perspective == 0 { away } else { f32::NAN };
                let column = rays.centre[0] + dot(rays.right, from_eye) / (away * rays.step[0]);
                let row = rays.centre[1] - dot(rays.up, from_eye) / (away * rays.step[1]);
                [column, row].map(|pixel| (pixel + 0.5) * n - 0.5)
            })
            .collect();
        // First and last packet, across and down; first after last where no sub-sample is covered.
        let range = |corners: &[u32; 4], axis: usize, packets: usize| {
            let [a, b, c] = [0, 1, 2].map(|k| places[corners[k] as usize][axis]);
            if a.is_nan() || b.is_nan() || c.is_nan() {
                return [0, packets as i32 - 1];
            }
            let first = (a.min(b).min(c) - MARGIN).ceil().max(0.0);
            let last = (a.max(b).max(c) + MARGIN).floor().min((packets * SIDE - 1) as f32);
            if first > last {
                return [0, -1];
            }
            [first, last].map(|at| at as i32 / SIDE as i32)
        };
        let boxes: Vec<[[i32; 2]; 2]> = scene
            .corners
            .par_iter()
            .with_min_len(4096)
            .map(|corners| [range(corners, 0, across), range(corners, 1, down)])
            .collect();
        let covered = |[columns, rows]: [[i32; 2]; 2]| {
            (rows[0]..=rows[1])
                .flat_map(move |row| (columns[0]..=columns[1]).map(move |column| (row, column)))
                .map(move |(row, column)| row as usize * across + column as usize)
        };
        let mut starts = vec![0u32; across * down + 1];
        for packet in boxes.iter().copied().flat_map(covered) {
            starts[packet + 1] += 1;
        }
        for packet in 0..across * down {
            starts[packet + 1] += starts[packet];
        }
        let mut triangles = vec![0; starts[across * down] as usize];
        let mut next = starts.clone();
        for (index, range) in (0u32..).zip(boxes) {
            for packet in covered(range) {
                triangles[next[packet] as usize] = index;
                next[packet] += 1;
            }
        }
        Self { across, starts, triangles }
    }

    pub fn of(&self, [across, down]: [usize; 2]) -> &[u32] {
        let packet = down * self.across + across;
        &self.triangles[self.starts[packet] as usize..self.starts[packet + 1] as usize]
    }
}
