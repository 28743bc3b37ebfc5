//! One strip per capture: lit image, normals, albedo, depth as a shaded surface, residual.

use crate::dataset::Modality;
use crate::io::Picture;
use crate::maps::{ImageStack, Pixels, Plane, Size};
use crate::order_statistics::quantile_of_defined;
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
        lit_image(&maps.images, tile),
        normals(maps, tile),
        grey(&shrunk(&maps.albedo.data, size, tile), 0.0, quantile(&maps.albedo.data, 0.995)),
        shaded_depth(&shrunk(&maps.depth.data, size, tile), scale as f32),
        heat(
            &shrunk(&maps.residual.data, size, tile),
            quantile(&maps.residual.data, 0.995).max(0.02),
        ),
    ];
    let gap = 4;
    let width = tiles.len() * (tile.width + gap) - gap;
    let mut strip = Picture::filled(Size::new(tile.height, width), BACKGROUND);
    for (i, picture) in tiles.iter().enumerate() {
        strip.paste(picture, 0, i * (tile.width + gap));
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

/// Means over the pixels under each pixel of the tile; NaN where fewer than half are defined.
fn shrunk(values: &[f32], size: Size, tile: Size) -> Plane<f32> {
    let edge = |i: usize, tile: usize, length: usize| i * length / tile;
    let mut out = Vec::with_capacity(tile.area());
    let (mut sums, mut counts) = (vec![0.0f32; size.width], vec![0.0f32; size.width]);
    for row in 0..tile.height {
        sums.fill(0.0);
        counts.fill(0.0);
        let rows = edge(row, tile.height, size.height)..edge(row + 1, tile.height, size.height);
        let each = rows.len() as f32;
        for r in rows {
            let line = &values[r * size.width..(r + 1) * size.width];
            for ((sum, count), &v) in sums.iter_mut().zip(&mut counts).zip(line) {
                *sum += if v.is_nan() { 0.0 } else { v };
                *count += if v.is_nan() { 0.0 } else { 1.0 };
            }
        }
        for column in 0..tile.width {
            let range =
                edge(column, tile.width, size.width)..edge(column + 1, tile.width, size.width);
            let all = each * range.len() as f32;
            let count: f32 = counts[range.clone()].iter().sum();
            let sum: f32 = sums[range].iter().sum();
            out.push(if 2.0 * count >= all && count > 0.0 { sum / count } else { f32::NAN });
        }
    }
    Plane::new(tile, out)
}

/// The first image. It may be of another size than the maps, where the head was turned since: it is then
/// made to fit.
fn lit_image(images: &ImageStack, tile: Size) -> Picture {
    let size = images.size;
    let first: Vec<f32> = match &images.pixels {
        Pixels::F32(values) => values[..size.area()].to_vec(),
        other => (0..size.area()).map(|p| other.get(p)).collect(),
    };
    let fits = |tile: usize, length: usize| tile as f64 / length.max(1) as f64;
    let scale = fits(tile.height, size.height).min(fits(tile.width, size.width)).min(1.0);
    let scaled = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    let own = Size::new(scaled(size.height), scaled(size.width));
    let mut picture = Picture::filled(tile, BACKGROUND);
    let drawn = grey(&shrunk(&first, size, own), 0.0, quantile(&first, 0.995));
    picture.paste(&drawn, (tile.height - own.height) / 2, (tile.width - own.width) / 2);
    picture
}

/// The usual colours: R, G, B = (n + 1) / 2.
fn normals(maps: &Reconstruction, tile: Size) -> Picture {
    let all = &maps.normals;
    let [x, y, z] = [all.x(), all.y(), all.z()].map(|part| shrunk(part, all.size, tile));
    Picture::from_fn(tile, |p| {
        let n = crate::geometry::Vec3::new(x.data[p], y.data[p], z.data[p]).normalize();
        if n.x.is_nan() { BACKGROUND } else { [n.x, n.y, n.z].map(|v| byte(0.5 * (v + 1.0))) }
    })
}

/// The depth map lit from the upper left, so that bumps and tears show. `scale`: pixels of the tile
/// to one of the map.
fn shaded_depth(depth: &Plane<f32>, scale: f32) -> Picture {
    let Size { height, width } = depth.size;
    let light = crate::geometry::Vec3::new(-0.5, 0.6, 0.8).normalize();
    let z = |r: usize, c: usize| scale * *depth.at(r.min(height - 1), c.min(width - 1));
    Picture::from_fn(depth.size, |p| {
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

/// The value below which a share of the defined pixels lies, of one pixel in nine where there are
/// many; 0 where none is defined.
fn quantile(all: &[f32], share: f64) -> f32 {
    let step = if all.len() > 1 << 16 { 9 } else { 1 };
    quantile_of_defined(all.iter().step_by(step).copied(), share).unwrap_or(0.0)
}

/// A network's input (3, side, side) as a picture: standardised values around middle grey, normals in
/// the usual colours.
pub fn view_picture(view: &[f32], side: usize, modality: Modality) -> Picture {
    Picture::from_fn(Size::new(side, side), |p| {
        let value = |channel: usize| view[channel * side * side + p];
        match modality {
            Modality::Normals => [0, 1, 2].map(|c| byte(0.5 * (value(c) + 1.0))),
            Modality::Albedo | Modality::Depth | Modality::Raw => [byte(0.5 + 0.2 * value(0)); 3],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_size_than_the_maps_is_whole_and_keeps_its_shape() {
        let size = Size::new(16, 12);
        let images = ImageStack::new(size, 1, Pixels::U8(vec![200; size.area()]));
        let tile = Size::new(16, 24);
        let picture = lit_image(&images, tile);
        for p in 0..tile.area() {
            let (row, column) = (p / tile.width, p % tile.width);
            let within = (6..18).contains(&column);
            assert_eq!(picture.get(row, column) == BACKGROUND, !within, "{row} {column}");
        }
        // Made smaller where it is larger than its tile, in both directions alike.
        let picture = lit_image(&images, Size::new(8, 8));
        let bright = |r: usize, c: usize| picture.get(r, c) != BACKGROUND;
        assert_eq!((0..8).filter(|&c| bright(4, c)).count(), 6);
        assert_eq!((0..8).filter(|&r| bright(r, 4)).count(), 8);
    }
}
