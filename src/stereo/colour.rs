//! Albedo per colour channel, once the normals are known.
//!
//! With n given, each channel is linear in its one unknown: `I_cj = ρ_c s_j`, `s = max(0, n·l e)`,
//! so `ρ_c = Σ s I_c / Σ s²` over the samples that are lit, observed and not saturated.

use super::blocks::light_rows;
use crate::maps::{AlbedoMap, ImageStack, Lights, NormalMap, Pixels, Plane};
use rayon::prelude::*;

/// Pixels a task.
const TASK: usize = 1 << 12;
/// Pixels a block: its accumulators stay in the first-level cache.
const BLOCK: usize = 256;
/// Saturated samples count this little: only where a pixel has no others.
const SATURATED: f32 = 1e-6;

/// Albedo of the channels of a colour capture, shares of full scale.
///
/// `colour` holds one stack per channel (red, green, blue), each with one image per light.
/// NaN where the normal is NaN or no light reaches the pixel; NaN samples are left out, saturated
/// ones (`white`) count only where there are no others.
///
/// # Panics
/// If the stacks, lights and normals are not of one size and count.
pub fn albedo_per_channel(
    colour: &[ImageStack; 3],
    lights: &Lights,
    normals: &NormalMap,
) -> [AlbedoMap; 3] {
    let rows = light_rows(lights);
    colour.each_ref().map(|images| {
        assert_eq!(images.count, lights.len(), "one image per light");
        assert_eq!(images.size, normals.size, "normals of the images' size");
        match &images.pixels {
            Pixels::U8(values) => channel(images, values, &rows, normals),
            Pixels::U16(values) => channel(images, values, &rows, normals),
            Pixels::F32(values) => channel(images, values, &rows, normals),
        }
    })
}

fn channel<T: Copy + Into<f32> + Sync>(
    images: &ImageStack,
    values: &[T],
    rows: &[[f32; 3]],
    normals: &NormalMap,
) -> AlbedoMap {
    let area = images.size.area();
    let unit = 1.0 / images.pixels.full_scale();
    let mut albedo = Plane::filled(images.size, f32::NAN);
    albedo.data.par_chunks_mut(TASK).enumerate().for_each(|(task, albedo)| {
        let mut squares = [0.0f32; BLOCK];
        for (block, albedo) in albedo.chunks_mut(BLOCK).enumerate() {
            let first = task * TASK + block * BLOCK;
            let n = albedo.len();
            let (x, y, z) = (
                &normals.x()[first..][..n],
                &normals.y()[first..][..n],
                &normals.z()[first..][..n],
            );
            let squares = &mut squares[..n];
            albedo.fill(0.0);
            squares.fill(0.0);
            for (j, row) in rows.iter().enumerate() {
                let image = &values[j * area + first..][..n];
                accumulate(*row, images.white[j], [x, y, z], image, albedo, squares);
            }
            for (albedo, squares) in albedo.iter_mut().zip(squares) {
                // 0/0, where no light reaches, is NaN.
                *albedo = *albedo / *squares * unit;
            }
        }
    });
    albedo
}

/// Adds one light's `s I` and `s²` to the sums.
#[inline(always)]
fn accumulate<T: Copy + Into<f32>>(
    row: [f32; 3],
    white: f32,
    [x, y, z]: [&[f32]; 3],
    image: &[T],
    products: &mut [f32],
    squares: &mut [f32],
) {
    let n = image.len();
    let (x, y, z) = (&x[..n], &y[..n], &z[..n]);
    let (products, squares) = (&mut products[..n], &mut squares[..n]);
    for i in 0..n {
        let value: f32 = image[i].into();
        let shading = row[0] * x[i] + row[1] * y[i] + row[2] * z[i];
        let weight = if value >= white { SATURATED } else { 1.0 };
        let seen = shading > 0.0 && value.abs() < f32::INFINITY;
        products[i] += if seen { weight * shading * value } else { 0.0 };
        squares[i] += if seen { weight * shading * shading } else { 0.0 };
    }
}
