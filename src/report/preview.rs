//! One strip per capture: lit image, normals, albedo, depth as a shaded surface, residual.

use crate::dataset::{Modality, Sample};
use crate::io::Picture;
use crate::maps::{ImageStack, Plane, Size};
use crate::reconstruct::Reconstruction;

/// Longest side of a tile, pixels.
const TILE: usize = 256;
const BACKGROUND: [u8; 3] = [24, 24, 28];

/// Draws a capture's maps side by side.
pub fn preview(maps: &Reconstruction) -> Picture {
    let size = maps.mask.size;
    let longest = size.height.max(size.width).max(1);
    let scale = (TILE as f64 / longest as f64).min(1.0);
    let scaled = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    let tile = Size::new(scaled(size.height), scaled(size.width));
    let tiles = [
        lit_image(&maps.images),
        normals(maps),
        grey(&maps.albedo, 0.0, quantile(&maps.albedo, 0.995)),
        shaded_depth(maps),
        heat(&maps.residual, quantile(&maps.residual, 0.995).max(0.02)),
    ];
    let gap = 4;
    let width = tiles.len() * (tile.width + gap) - gap;
    let mut strip = Picture::filled(Size::new(tile.height, width), BACKGROUND);
    for (i, picture) in tiles.iter().enumerate() {
        strip.paste(&picture.resized(tile), 0, i * (tile.width + gap));
    }
    strip
}

/// Pictures one below the other.
pub fn stacked(pictures: &[Picture]) -> Picture {
    let gap = 4;
    let width = pictures.iter().map(|p| p.size.width).max().unwrap_or(1);
    let height: usize = pictures.iter().map(|p| p.size.height + gap).sum();
    let mut stack = Picture::filled(Size::new(height.max(1), width), BACKGROUND);
    let mut top = 0;
    for picture in pictures {
        stack.paste(picture, top, 0);
        top += picture.size.height + gap;
    }
    stack
}

fn lit_image(images: &ImageStack) -> Picture {
    let area = images.size.area();
    let first: Vec<f32> = (0..area).map(|p| images.pixels.get(p)).collect();
    let plane = Plane::new(images.size, first);
    grey(&plane, 0.0, quantile(&plane, 0.995))
}

/// The usual colours: R, G, B = (n + 1) / 2.
fn normals(maps: &Reconstruction) -> Picture {
    Picture::from_fn(maps.mask.size, |p| {
        if !maps.mask.data[p] {
            return BACKGROUND;
        }
        let n = maps.normals.at(p);
        [n.x, n.y, n.z].map(|v| byte(0.5 * (v + 1.0)))
    })
}

/// The depth map lit from the upper left, so that bumps and tears show.
fn shaded_depth(maps: &Reconstruction) -> Picture {
    let Size { height, width } = maps.mask.size;
    let light = crate::geometry::Vec3::new(-0.5, 0.6, 0.8).normalize();
    let z = |r: usize, c: usize| *maps.depth.at(r.min(height - 1), c.min(width - 1));
    Picture::from_fn(maps.mask.size, |p| {
        let (r, c) = (p / width, p % width);
        let dz_dx = 0.5 * (z(r, c + 1) - z(r, c.saturating_sub(1)));
        let dz_dy = -0.5 * (z(r + 1, c) - z(r.saturating_sub(1), c));
        let n = crate::geometry::Vec3::new(-dz_dx, -dz_dy, 1.0).normalize();
        let shade = n.dot(&light);
        if shade.is_nan() { BACKGROUND } else { [byte(0.1 + 0.85 * shade.max(0.0)); 3] }
    })
}

fn grey(plane: &Plane<f32>, black: f32, white: f32) -> Picture {
    Picture::from_fn(plane.size, |p| {
        let value = plane.data[p];
        if value.is_nan() {
            return BACKGROUND;
        }
        // Values are linear light; a screen expects about its square root.
        [byte(((value - black) / (white - black).max(1e-12)).max(0.0).powf(1.0 / 2.2)); 3]
    })
}

/// Black through red and yellow to white.
fn heat(plane: &Plane<f32>, white: f32) -> Picture {
    Picture::from_fn(plane.size, |p| {
        let value = plane.data[p] / white;
        if value.is_nan() {
            return BACKGROUND;
        }
        [byte(3.0 * value), byte(3.0 * value - 1.0), byte(3.0 * value - 2.0)]
    })
}

fn byte(share: f32) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// The value below which a share of the defined pixels lies; 0 where none is defined.
fn quantile(plane: &Plane<f32>, share: f64) -> f32 {
    let mut values: Vec<f32> = plane.data.iter().copied().filter(|v| !v.is_nan()).collect();
    if values.is_empty() {
        return 0.0;
    }
    let at = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

/// A network's input as a picture: standardised values around middle grey, normals in the usual
/// colours.
pub fn sample_picture(sample: &Sample, modality: Modality) -> Picture {
    let size = Size::new(sample.side, sample.side);
    Picture::from_fn(size, |p| {
        let value = |channel: usize| sample.channel(channel)[p];
        match modality {
            Modality::Normals => [0, 1, 2].map(|c| byte(0.5 * (value(c) + 1.0))),
            Modality::Albedo | Modality::Depth => [byte(0.5 + 0.2 * value(0)); 3],
        }
    })
}
