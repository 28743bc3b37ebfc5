//! Costly solvers work on the mask's pixels alone: they are gathered into a stack of one row,
//! solved, and the results put back in their places.

use super::{Solution, SurfaceMaps};
use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};

/// Flat indices of the mask's pixels, in order.
pub(super) fn indices(mask: &Mask) -> Vec<usize> {
    (0..mask.size.area()).filter(|&p| mask.data[p]).collect()
}

/// A stack of one row that holds the pixels at `indices`.
pub(super) fn gather(images: &ImageStack, indices: &[usize]) -> ImageStack {
    fn pick<T: Copy>(values: &[T], count: usize, area: usize, indices: &[usize]) -> Vec<T> {
        let image = |j: usize| indices.iter().map(move |p| values[j * area + p]);
        (0..count).flat_map(image).collect()
    }
    let area = images.size.area();
    let pixels = match &images.pixels {
        Pixels::U8(values) => Pixels::U8(pick(values, images.count, area, indices)),
        Pixels::U16(values) => Pixels::U16(pick(values, images.count, area, indices)),
        Pixels::F32(values) => Pixels::F32(pick(values, images.count, area, indices)),
    };
    ImageStack::new(Size::new(1, indices.len()), images.count, pixels)
        .with_white(images.white.clone())
}

/// Puts the results of a gathered stack back; everything else is undefined, with no light used.
pub(super) fn scatter(row: &Solution, indices: &[usize], size: Size) -> Solution {
    let mut surface = SurfaceMaps::unset(size);
    let mut lights_used = Plane::filled(size, 0.0);
    let mut noise_gain = Plane::filled(size, f32::NAN);
    let (area, gathered) = (size.area(), indices.len());
    for (i, &p) in indices.iter().enumerate() {
        for axis in 0..3 {
            surface.normals.data[axis * area + p] = row.surface.normals.data[axis * gathered + i];
        }
        surface.albedo.data[p] = row.surface.albedo.data[i];
        surface.residual.data[p] = row.surface.residual.data[i];
        lights_used.data[p] = row.lights_used.data[i];
        noise_gain.data[p] = row.noise_gain.data[i];
    }
    Solution { surface, lights_used, noise_gain, ambient: None }
}
