//! The frames at several scales, and what of them is compared.

use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};
use crate::order_statistics::quantile;
use rayon::prelude::*;

/// Pixels that the finest scale may have: more do not make the motion better known, since a
/// thousandth of a pixel is not asked for, and cost time.
const FINEST_AREA: usize = 150_000;
/// Shorter side of the coarsest scale: a face still has eyes and a mouth in it.
const COARSEST_SIDE: usize = 48;
/// Scales coarser than the finest that are gone through, at most.
const COARSER: usize = 2;
/// Pixels at a mask's edge that are left out: the reach of the structure's mean, and the outline
/// itself, which is no point of the surface.
const EDGE: usize = 3;
/// Contrast is taken against the mean brightness plus this share of the subject's 90th
/// percentile, so that the noise of dark skin and cast shadow does not pass for structure.
const DARK_SHARE: f32 = 0.05;
/// Radius of the box mean that is taken off for the band of the Lambertian term.
const BAND_RADIUS: usize = 5;

/// One frame at one scale, row-major planes.
pub(super) struct Frame {
    /// Smoothed intensity, share of full scale.
    pub smooth: Vec<f32>,
    /// Relative contrast at the finest scale.
    pub structure: Vec<f32>,
    /// How much of the contrast's reference is light rather than floor, 0 to 1.
    pub weight: Vec<f32>,
    /// Intensity without its mean over a neighbourhood.
    pub band: Vec<f32>,
}

pub(super) struct Level {
    pub size: Size,
    /// Full-size pixels per pixel of this level.
    pub scale: f64,
    pub frames: Vec<Frame>,
    /// The subject, without its edge.
    pub inside: Mask,
}

pub(super) struct Pyramid {
    /// Finest first.
    pub levels: Vec<Level>,
}

impl Pyramid {
    /// `None` where an image side is too short to compare anything.
    pub fn new(images: &ImageStack, mask: &Mask) -> Option<Self> {
        let mut size = images.size;
        if size.height.min(size.width) < COARSEST_SIDE {
            return None;
        }
        let unit = 1.0 / images.pixels.full_scale();
        let prepare = if size.area() > FINEST_AREA { halved_raw } else { whole_raw };
        let mut planes: Vec<Vec<f32>> =
            (0..images.count).into_par_iter().map(|j| prepare(images, j, unit)).collect();
        let (mut mask, mut scale) = (mask.clone(), 1.0);
        if size.area() > FINEST_AREA {
            (mask, scale) = (halved_mask(&mask), 2.0);
            size = mask.size;
        }
        let mut levels = Vec::new();
        loop {
            if size.area() <= FINEST_AREA {
                levels.push(Level::new(&planes, &mask, scale));
            }
            let too_small = size.height.min(size.width) / 2 < COARSEST_SIDE;
            if levels.len() > COARSER || too_small {
                return Some(Self { levels });
            }
            planes = planes.par_iter().map(|plane| halved(plane, size, 1.0)).collect();
            mask = halved_mask(&mask);
            (size, scale) = (mask.size, 2.0 * scale);
        }
    }
}

impl Level {
    fn new(planes: &[Vec<f32>], mask: &Mask, scale: f64) -> Self {
        let size = mask.size;
        let inside = eroded(mask, EDGE);
        let floor = DARK_SHARE * ninetieth_percentile(planes, &inside);
        let frames = planes.par_iter().map(|plane| Frame::new(plane, size, floor)).collect();
        Self { size, scale, frames, inside }
    }
}

impl Frame {
    fn new(plane: &[f32], size: Size, floor: f32) -> Self {
        let mean = binomial(plane, size);
        let floor = floor.max(f32::MIN_POSITIVE);
        let structure =
            plane.iter().zip(&mean).map(|(v, m)| (v - m) / (m.max(0.0) + floor)).collect();
        let weight = mean.iter().map(|m| m.max(0.0) / (m.max(0.0) + floor)).collect();
        let around = box_mean(&mean, size, BAND_RADIUS);
        let band = mean.iter().zip(&around).map(|(m, a)| m - a).collect();
        Self { smooth: binomial(&mean, size), structure, weight, band }
    }
}

/// The 90th percentile over the mask of the mean over the frames; 0 for an empty mask.
fn ninetieth_percentile(planes: &[Vec<f32>], mask: &Mask) -> f32 {
    let mut means: Vec<f32> = (0..mask.data.len())
        .filter(|&p| mask.data[p])
        .map(|p| planes.iter().map(|plane| plane[p]).sum::<f32>() / planes.len() as f32)
        .collect();
    quantile(&mut means, 0.9).unwrap_or(0.0)
}

fn whole_raw(images: &ImageStack, image: usize, unit: f32) -> Vec<f32> {
    let area = images.size.area();
    let range = image * area..(image + 1) * area;
    match &images.pixels {
        Pixels::U8(v) => v[range].iter().map(|&v| f32::from(v) * unit).collect(),
        Pixels::U16(v) => v[range].iter().map(|&v| f32::from(v) * unit).collect(),
        Pixels::F32(v) => v[range].iter().map(|&v| known(v)).collect(),
    }
}

fn halved_raw(images: &ImageStack, image: usize, unit: f32) -> Vec<f32> {
    let (size, area) = (images.size, images.size.area());
    let range = image * area..(image + 1) * area;
    match &images.pixels {
        Pixels::U8(v) => halved(&v[range], size, unit),
        Pixels::U16(v) => halved(&v[range], size, unit),
        Pixels::F32(v) => {
            halved(&v[range].iter().map(|&v| known(v)).collect::<Vec<_>>(), size, unit)
        }
    }
}

/// No observation is taken as a dark one, which has little weight.
fn known(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value }
}

/// Half the height and width (rounded down), each pixel a binomial (1 3 3 1)² mean about the four
/// that it covers.
fn halved<T: Copy + Into<f32>>(values: &[T], size: Size, unit: f32) -> Vec<f32> {
    let Size { height, width } = size;
    let (half_height, half_width) = (height / 2, width / 2);
    let mut out = vec![0.0; half_height * half_width];
    let mut column = vec![0.0f32; width + 2];
    let unit = unit / 64.0;
    for (row, out) in out.chunks_exact_mut(half_width.max(1)).enumerate() {
        let line = |r: usize| &values[r * width..][..width];
        let (a, b) = (line((2 * row).saturating_sub(1)), line(2 * row));
        let (c, d) = (line(2 * row + 1), line((2 * row + 2).min(height - 1)));
        for ((((sum, &a), &b), &c), &d) in column[1..].iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let (a, b, c, d): (f32, f32, f32, f32) = (a.into(), b.into(), c.into(), d.into());
            *sum = a + d + 3.0 * (b + c);
        }
        (column[0], column[width + 1]) = (column[1], column[width]);
        for (value, quad) in out.iter_mut().zip(column.windows(4).step_by(2)) {
            *value = unit * (quad[0] + quad[3] + 3.0 * (quad[1] + quad[2]));
        }
    }
    out
}

/// Half the height and width; true where all four pixels are.
fn halved_mask(mask: &Mask) -> Mask {
    Plane::from_fn(Size::new(mask.size.height / 2, mask.size.width / 2), |r, c| {
        let pair = |row: usize| *mask.at(row, 2 * c) && *mask.at(row, 2 * c + 1);
        pair(2 * r) && pair(2 * r + 1)
    })
}

/// The mask without its pixels that are within `by` of a false one, along rows or columns, or of
/// the image's border.
fn eroded(mask: &Mask, by: usize) -> Mask {
    let Size { height, width } = mask.size;
    let mut inside = mask.clone();
    for _ in 0..by {
        let old = inside.data.clone();
        for r in 0..height {
            for c in 0..width {
                let p = r * width + c;
                let border = r == 0 || c == 0 || r + 1 == height || c + 1 == width;
                inside.data[p] = !border
                    && old[p]
                    && old[p - 1]
                    && old[p + 1]
                    && old[p - width]
                    && old[p + width];
            }
        }
    }
    inside
}

/// Mean with weights (1 4 6 4 1)/16 along rows and columns, standard deviation 1 pixel; edges
/// replicated.
fn binomial(plane: &[f32], size: Size) -> Vec<f32> {
    let Size { height, width } = size;
    let mut out = vec![0.0; plane.len()];
    let mut column = vec![0.0f32; width + 4];
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        let line = |offset: usize| {
            let r = (row + offset).saturating_sub(2).min(height - 1);
            &plane[r * width..][..width]
        };
        let lines = [line(0), line(1), line(2), line(3), line(4)];
        for (c, sum) in column[2..width + 2].iter_mut().enumerate() {
            *sum =
                (lines[0][c] + lines[4][c]) + 4.0 * (lines[1][c] + lines[3][c]) + 6.0 * lines[2][c];
        }
        (column[0], column[1]) = (column[2], column[2]);
        (column[width + 2], column[width + 3]) = (column[width + 1], column[width + 1]);
        for (value, five) in out.iter_mut().zip(column.windows(5)) {
            let sum = (five[0] + five[4]) + 4.0 * (five[1] + five[3]) + 6.0 * five[2];
            *value = sum / 256.0;
        }
    }
    out
}

/// Mean over a square of 2 · radius + 1; edges replicated.
fn box_mean(plane: &[f32], size: Size, radius: usize) -> Vec<f32> {
    let Size { height, width } = size;
    let share = 1.0 / ((2 * radius + 1) * (2 * radius + 1)) as f32;
    let line = |r: isize| {
        let r = r.clamp(0, height as isize - 1) as usize;
        &plane[r * width..][..width]
    };
    let radius = radius as isize;
    let mut column = vec![0.0f32; width];
    for r in -radius..=radius {
        column.iter_mut().zip(line(r)).for_each(|(sum, v)| *sum += v);
    }
    let mut out = vec![0.0; plane.len()];
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        let at = |c: isize| column[c.clamp(0, width as isize - 1) as usize];
        let mut sum: f32 = (-radius..=radius).map(at).sum();
        for (c, value) in out.iter_mut().enumerate() {
            *value = share * sum;
            let c = c as isize;
            sum += at(c + radius + 1) - at(c - radius);
        }
        let (leaves, enters) = (line(row as isize - radius), line(row as isize + radius + 1));
        for ((sum, old), new) in column.iter_mut().zip(leaves).zip(enters) {
            *sum += new - old;
        }
    }
    out
}
