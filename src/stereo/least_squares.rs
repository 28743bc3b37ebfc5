//! Least squares over all lights: `g = L⁺ I`, `ρ = |g|`, `n = g / ρ` (Woodham 1980).
//!
//! The pseudo-inverse is the same for every pixel, so the solve is one small matrix product per
//! pixel. It reads each raw value and writes each result once; in between, a pixel lives in
//! registers, or for many lights in the first-level cache. The loops are plain and vectorise; on x86-64 they are compiled
//! for AVX2 and AVX-512 too and chosen at run time.
//!
//! Twin of `shaders/least_squares.wgsl`.

use super::Solution;
use crate::maps::{AlbedoMap, ImageStack, Lights, NormalMap, Pixels, Plane, ResidualMap, Size};
use rayon::prelude::*;

/// Normals, albedo and residual of one capture, before masking. Where `g` has no direction (all
/// pixels zero) the normal is NaN, albedo and residual are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceMaps {
    pub normals: NormalMap,
    pub albedo: AlbedoMap,
    pub residual: ResidualMap,
}

impl SurfaceMaps {
    /// Maps to be filled by [`LeastSquares::solve_into`].
    pub fn unset(size: Size) -> Self {
        Self {
            normals: NormalMap::new(size, vec![f32::NAN; 3 * size.area()]),
            albedo: Plane::filled(size, f32::NAN),
            residual: Plane::filled(size, f32::NAN),
        }
    }
}

/// The solver for one set of lights.
#[derive(Clone, Debug)]
pub struct LeastSquares {
    /// Row j is the j-th light's direction times intensity.
    light_rows: Vec<[f32; 3]>,
    /// Row j is the j-th *column* of the pseudo-inverse: what one unit of intensity adds to g.
    inverse_columns: Vec<[f32; 3]>,
}

impl LeastSquares {
    /// Prepares the pseudo-inverse of the light matrix, in double precision.
    ///
    /// Returns `None` for fewer than three lights or lights in one plane through the origin.
    pub fn new(lights: &Lights) -> Option<Self> {
        if !lights.condition_number().is_finite() {
            return None;
        }
        let matrix = lights.light_matrix();
        let gram_inverse = (matrix.transpose() * &matrix).try_inverse()?;
        let inverse = gram_inverse * matrix.transpose();
        Some(Self {
            light_rows: matrix.row_iter().map(|r| [r[0], r[1], r[2]].map(|v| v as f32)).collect(),
            inverse_columns: inverse
                .column_iter()
                .map(|c| [c[0], c[1], c[2]].map(|v| v as f32))
                .collect(),
        })
    }

    /// As [`LeastSquares::solve`], with what the result rests on: every light counts fully.
    ///
    /// A NaN sample is left out; fewer than three samples, or samples whose lights lie in a plane,
    /// leave the normal NaN.
    ///
    /// # Panics
    /// If the stack does not hold one image per light.
    pub fn solution(&self, images: &ImageStack) -> Solution {
        self.complete(self.solve(images), images)
    }

    /// Adds to the maps of `images`, wherever they were computed, what they rest on; solves what a
    /// NaN sample has spoilt.
    pub fn complete(&self, mut surface: SurfaceMaps, images: &ImageStack) -> Solution {
        let full_gain = self.inverse_columns.iter().flatten().map(|v| v * v).sum::<f32>().sqrt();
        let solved = |used: f32| move |n: &f32| if n.is_nan() { 0.0 } else { used };
        let used = surface.normals.x().iter().map(solved(self.light_count() as f32)).collect();
        let mut lights_used = Plane::new(images.size, used);
        let gain =
            surface.normals.x().iter().map(|n| if n.is_nan() { f32::NAN } else { full_gain });
        let mut noise_gain = Plane::new(images.size, gain.collect());
        if let Pixels::F32(values) = &images.pixels {
            // One NaN sample spoils the product for its pixel: those few are solved one by one.
            let area = images.size.area();
            let holes = (0..area).filter(|p| values[*p..].iter().step_by(area).any(|v| v.is_nan()));
            for p in holes.collect::<Vec<_>>() {
                let seen: Vec<_> = self
                    .light_rows
                    .iter()
                    .zip(values[p..].iter().step_by(area))
                    .filter(|(_, value)| value.is_finite())
                    .map(|(row, value)| (row.map(f64::from), f64::from(*value)))
                    .collect();
                let [normal @ .., albedo, residual, used, gain] = solve_seen(&seen);
                for (axis, n) in normal.into_iter().enumerate() {
                    surface.normals.data[axis * area + p] = n;
                }
                surface.albedo.data[p] = albedo;
                surface.residual.data[p] = residual;
                lights_used.data[p] = used;
                noise_gain.data[p] = gain;
            }
        }
        Solution { surface, lights_used, noise_gain, ambient: None }
    }

    /// Number of lights, k.
    pub fn light_count(&self) -> usize {
        self.light_rows.len()
    }

    /// (light row, pseudo-inverse column) per light, as the kernel wants them.
    pub fn coefficients(&self) -> impl Iterator<Item = ([f32; 3], [f32; 3])> + '_ {
        self.light_rows.iter().copied().zip(self.inverse_columns.iter().copied())
    }

    /// Solves every pixel of a stack with one image per light.
    ///
    /// # Panics
    /// If the stack does not hold one image per light.
    pub fn solve(&self, images: &ImageStack) -> SurfaceMaps {
        let mut maps = SurfaceMaps::unset(images.size);
        self.solve_into(images, &mut maps);
        maps
    }

    /// As [`LeastSquares::solve`], into maps that exist already.
    ///
    /// # Panics
    /// If the stack does not hold one image per light, or the maps are of another size.
    pub fn solve_into(&self, images: &ImageStack, maps: &mut SurfaceMaps) {
        assert_eq!(images.count, self.light_count(), "one image per light");
        assert_eq!(images.size, maps.normals.size, "maps of the images' size");
        match &images.pixels {
            Pixels::U8(values) => self.solve_pixels(values, f32::from(u8::MAX), images.size, maps),
            Pixels::U16(values) => {
                self.solve_pixels(values, f32::from(u16::MAX), images.size, maps)
            }
            Pixels::F32(values) => self.solve_pixels(values, 1.0, images.size, maps),
        }
    }

    fn solve_pixels<T: Copy + Into<f32> + Sync>(
        &self,
        values: &[T],
        full_scale: f32,
        size: Size,
        maps: &mut SurfaceMaps,
    ) {
        /// Pixels a task: enough to hide its cost, few enough to share out an image.
        const TASK: usize = 1 << 14;
        let area = size.area();
        let (x, yz) = maps.normals.data.split_at_mut(area);
        let (y, z) = yz.split_at_mut(area);
        let solve_span = widest_solve_span::<T>();
        (
            x.par_chunks_mut(TASK),
            y.par_chunks_mut(TASK),
            z.par_chunks_mut(TASK),
            maps.albedo.data.par_chunks_mut(TASK),
            maps.residual.data.par_chunks_mut(TASK),
        )
            .into_par_iter()
            .enumerate()
            .for_each(|(task, (x, y, z, albedo, residual))| {
                let span = Span { x, y, z, albedo, residual };
                solve_span(self, values, area, task * TASK, full_scale, span);
            });
    }
}

/// A run of output pixels.
///
/// Inputs are handed over beside it, not in it: with all slices in one struct the compiler no
/// longer sees that they do not overlap and leaves the loops scalar, 16 times slower.
struct Span<'a> {
    x: &'a mut [f32],
    y: &'a mut [f32],
    z: &'a mut [f32],
    albedo: &'a mut [f32],
    residual: &'a mut [f32],
}

type SolveSpan<T> = fn(&LeastSquares, &[T], usize, usize, f32, Span<'_>);

/// The widest version of [`solve_span`] that this processor runs.
fn widest_solve_span<T: Copy + Into<f32>>() -> SolveSpan<T> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor was just seen to have the features.
            return |s, v, area, first, full, span| unsafe {
                solve_span_avx512(s, v, area, first, full, span)
            };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return |s, v, area, first, full, span| unsafe {
                solve_span_avx2(s, v, area, first, full, span)
            };
        }
    }
    solve_span
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn solve_span_avx512<T: Copy + Into<f32>>(
    solver: &LeastSquares,
    values: &[T],
    area: usize,
    first: usize,
    full_scale: f32,
    span: Span<'_>,
) {
    solve_span(solver, values, area, first, full_scale, span);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn solve_span_avx2<T: Copy + Into<f32>>(
    solver: &LeastSquares,
    values: &[T],
    area: usize,
    first: usize,
    full_scale: f32,
    span: Span<'_>,
) {
    solve_span(solver, values, area, first, full_scale, span);
}

/// Solves pixels `first..first + span.x.len()` of images of `area` pixels each.
///
/// The common light counts have their own copies, in which a pixel never leaves the registers.
#[inline(always)]
fn solve_span<T: Copy + Into<f32>>(
    solver: &LeastSquares,
    values: &[T],
    area: usize,
    first: usize,
    full_scale: f32,
    span: Span<'_>,
) {
    match solver.light_count() {
        3 => solve_few::<3, T>(solver, values, area, first, full_scale, span),
        4 => solve_few::<4, T>(solver, values, area, first, full_scale, span),
        _ => solve_many(solver, values, area, first, full_scale, span),
    }
}

/// Exactly K lights.
#[inline(always)]
fn solve_few<const K: usize, T: Copy + Into<f32>>(
    solver: &LeastSquares,
    values: &[T],
    area: usize,
    first: usize,
    full_scale: f32,
    span: Span<'_>,
) {
    let n = span.x.len();
    let images: [&[T]; K] = std::array::from_fn(|j| &values[j * area + first..][..n]);
    let rows: [[f32; 3]; K] = std::array::from_fn(|j| solver.light_rows[j]);
    let columns: [[f32; 3]; K] = std::array::from_fn(|j| solver.inverse_columns[j]);
    let (x, y, z) = (&mut span.x[..n], &mut span.y[..n], &mut span.z[..n]);
    let (albedo, residual) = (&mut span.albedo[..n], &mut span.residual[..n]);
    for i in 0..n {
        let intensity: [f32; K] = std::array::from_fn(|j| images[j][i].into());
        let mut g = [0.0f32; 3];
        for j in 0..K {
            g[0] += columns[j][0] * intensity[j];
            g[1] += columns[j][1] * intensity[j];
            g[2] += columns[j][2] * intensity[j];
        }
        let mut sum = 0.0f32;
        for j in 0..K {
            let model = rows[j][0] * g[0] + rows[j][1] * g[1] + rows[j][2] * g[2];
            let difference = intensity[j] - model;
            sum += difference * difference;
        }
        [x[i], y[i], z[i], albedo[i], residual[i]] = finish_pixel(g, sum, K, full_scale);
    }
}

/// Any number of lights: a block of pixels is summed up image by image in the cache.
#[inline(always)]
fn solve_many<T: Copy + Into<f32>>(
    solver: &LeastSquares,
    values: &[T],
    area: usize,
    first: usize,
    full_scale: f32,
    span: Span<'_>,
) {
    /// Pixels a block: its five accumulators fit the first-level cache with room to spare.
    const BLOCK: usize = 512;
    let length = span.x.len();
    for start in (0..length).step_by(BLOCK) {
        let n = BLOCK.min(length - start);
        let range = start..start + n;
        let (x, y, z) =
            (&mut span.x[range.clone()], &mut span.y[range.clone()], &mut span.z[range.clone()]);
        let (albedo, sums) = (&mut span.albedo[range.clone()], &mut span.residual[range]);
        let image = |light: usize| &values[light * area + first + start..][..n];

        x.fill(0.0);
        y.fill(0.0);
        z.fill(0.0);
        for (light, &[ax, ay, az]) in solver.inverse_columns.iter().enumerate() {
            for (((value, x), y), z) in
                image(light).iter().zip(x.iter_mut()).zip(y.iter_mut()).zip(z.iter_mut())
            {
                let value: f32 = (*value).into();
                *x += ax * value;
                *y += ay * value;
                *z += az * value;
            }
        }
        sums.fill(0.0);
        for (light, &[lx, ly, lz]) in solver.light_rows.iter().enumerate() {
            for ((((value, x), y), z), sum) in
                image(light).iter().zip(&*x).zip(&*y).zip(&*z).zip(sums.iter_mut())
            {
                let value: f32 = (*value).into();
                let difference = value - (lx * x + ly * y + lz * z);
                *sum += difference * difference;
            }
        }
        for i in 0..n {
            [x[i], y[i], z[i], albedo[i], sums[i]] =
                finish_pixel([x[i], y[i], z[i]], sums[i], solver.light_count(), full_scale);
        }
    }
}

/// g and the sum of squared differences → n_x, n_y, n_z, ρ, residual.
#[inline(always)]
fn finish_pixel(g: [f32; 3], sum: f32, lights: usize, full_scale: f32) -> [f32; 5] {
    let squared = g[0] * g[0] + g[1] * g[1] + g[2] * g[2];
    // A pixel without light has no normal.
    let inverse = if squared > 0.0 { inverse_square_root(squared) } else { f32::NAN };
    let length = if squared > 0.0 { squared * inverse } else { 0.0 };
    let mean = sum / lights as f32;
    let residual = if mean > 0.0 { mean * inverse_square_root(mean) } else { 0.0 };
    let unit = 1.0 / full_scale;
    [g[0] * inverse, g[1] * inverse, g[2] * inverse, length * unit, residual * unit]
}

/// Least squares of one pixel over (light row, sample) pairs: n_x, n_y, n_z, albedo, residual,
/// lights used and noise gain; NaN where they leave g open.
fn solve_seen(seen: &[([f64; 3], f64)]) -> [f32; 7] {
    const OPEN: [f32; 7] = [f32::NAN, f32::NAN, f32::NAN, f32::NAN, f32::NAN, 0.0, f32::NAN];
    let rows = nalgebra::MatrixXx3::from_fn(seen.len(), |j, axis| seen[j].0[axis]);
    let values = nalgebra::DVector::from_fn(seen.len(), |j, _| seen[j].1);
    let gram = rows.transpose() * &rows;
    let Some(inverse) = gram.cholesky().map(|c| c.inverse()) else { return OPEN };
    // Singular up to the rounding of the f32 directions.
    if inverse.trace() * gram.trace() > 1.0 / f64::from(f32::EPSILON) {
        return OPEN;
    }
    let g = inverse * rows.transpose() * &values;
    let albedo = g.norm();
    let n = if albedo > 0.0 { g / albedo } else { nalgebra::Vector3::repeat(f64::NAN) };
    let residual = (values - rows * g).norm() / (seen.len() as f64).sqrt();
    let used = if albedo > 0.0 { seen.len() as f64 } else { 0.0 };
    let gain = if albedo > 0.0 { inverse.trace().sqrt() } else { f64::NAN };
    [n.x, n.y, n.z, albedo, residual, used, gain].map(|v| v as f32)
}

/// 1/√x for normal x > 0, to the last two bits of an f32.
///
/// An estimate from the exponent's bits and three Newton steps. Hardware square root and division
/// take longer than all the rest of a pixel together; this is additions and multiplications,
/// which every vector unit does at full rate.
#[inline(always)]
fn inverse_square_root(x: f32) -> f32 {
    let mut y = f32::from_bits(0x5f37_59df - (x.to_bits() >> 1));
    for _ in 0..3 {
        y *= 1.5 - 0.5 * x * y * y;
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};

    fn four_lights() -> Lights {
        Lights::directional(
            [130.0, 50.0, 310.0, 230.0].map(|a| light_from_zenith_azimuth(30.0, a)).to_vec(),
        )
    }

    /// Images of `g` under `lights`, 16-bit, without shadow (g must face every light).
    fn images_of(size: Size, lights: &Lights, g: impl Fn(usize) -> Vec3) -> ImageStack {
        let values = (0..lights.len())
            .flat_map(|j| {
                let light = lights.directions[j] * lights.intensities[j];
                (0..size.area())
                    .map(|p| (light.dot(&g(p)) * 65_535.0).round() as u16)
                    .collect::<Vec<_>>()
            })
            .collect();
        ImageStack::new(size, lights.len(), Pixels::U16(values))
    }

    #[test]
    fn a_sphere_cap_comes_back_from_its_images() {
        // Quantisation to 16 bits leaves 0.5/65535 per image: at albedo 0.6 that is 0.002°.
        let size = Size::new(65, 67);
        let normal = |p: usize| {
            let (r, c) = ((p / size.width) as f32, (p % size.width) as f32);
            let (x, y) = ((c - 33.0) / 70.0, (32.0 - r) / 70.0);
            Vec3::new(x, y, (1.0 - x * x - y * y).sqrt())
        };
        let albedo = |p: usize| 0.4 + 0.3 * (p % size.width) as f32 / size.width as f32;
        let mut lights = four_lights();
        lights.intensities = vec![1.0, 0.9, 1.1, 0.8];
        let images = images_of(size, &lights, |p| normal(p) * albedo(p));
        let maps = LeastSquares::new(&lights).unwrap().solve(&images);
        for p in 0..size.area() {
            let error = angle_between_deg(maps.normals.at(p), normal(p));
            assert!(error < 0.01, "pixel {p}: {error}°");
            let error = (maps.albedo.data[p] - albedo(p)).abs();
            assert!(error < 5e-5, "pixel {p}: albedo off by {error}");
            assert!(maps.residual.data[p] < 1e-5, "pixel {p}: residual {}", maps.residual.data[p]);
        }
    }

    #[test]
    fn residual_is_the_rms_of_what_the_model_leaves() {
        // Four lights in a ring: (1, −1, 1, −1) lies outside the column space of L, so a pixel
        // 40 ± 10 around it leaves exactly 10 of 255 in each image.
        let ring = Lights::directional(
            [0.0, 90.0, 180.0, 270.0].map(|a| light_from_zenith_azimuth(30.0, a)).to_vec(),
        );
        let images = ImageStack::new(Size::new(1, 1), 4, Pixels::U8(vec![50, 30, 50, 30]));
        let maps = LeastSquares::new(&ring).unwrap().solve(&images);
        assert!((maps.residual.data[0] - 10.0 / 255.0).abs() < 1e-6, "{}", maps.residual.data[0]);
        assert!(angle_between_deg(maps.normals.at(0), Vec3::z()) < 1e-3);
    }

    #[test]
    fn a_dark_pixel_has_no_normal() {
        let images = ImageStack::new(Size::new(1, 2), 4, Pixels::U8(vec![0, 9, 0, 9, 0, 9, 0, 9]));
        let maps = LeastSquares::new(&four_lights()).unwrap().solve(&images);
        assert!(maps.normals.at(0).iter().all(|v| v.is_nan()));
        assert_eq!((maps.albedo.data[0], maps.residual.data[0]), (0.0, 0.0));
        assert!(maps.normals.at(1).norm() > 0.999);
    }

    #[test]
    fn every_width_and_any_block_edge_agree() {
        let size = Size::new(37, 61);
        let lights = four_lights();
        let values =
            (0..4 * size.area()).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
        let images = ImageStack::new(size, 4, Pixels::U8(values));
        let solver = LeastSquares::new(&lights).unwrap();
        let wide = solver.solve(&images);
        let mut narrow = SurfaceMaps::unset(size);
        let Pixels::U8(raw) = &images.pixels else { unreachable!() };
        let (x, yz) = narrow.normals.data.split_at_mut(size.area());
        let (y, z) = yz.split_at_mut(size.area());
        let span =
            Span { x, y, z, albedo: &mut narrow.albedo.data, residual: &mut narrow.residual.data };
        solve_many(&solver, raw, size.area(), 0, 255.0, span);
        assert_eq!(wide.albedo, narrow.albedo);
        assert_eq!(wide.residual, narrow.residual);
        assert_eq!(wide.normals, narrow.normals);
    }

    #[test]
    fn the_inverse_square_root_is_good_to_the_last_bits() {
        for exponent in -60..60 {
            for step in 0..50 {
                let x = (1.0 + step as f32 / 50.0) * 2.0f32.powi(exponent);
                let error = f64::from(inverse_square_root(x)) * f64::from(x).sqrt() - 1.0;
                assert!(error.abs() < 2.5e-7, "1/√{x:e} is off by {error:e}");
            }
        }
    }

    #[test]
    fn lights_in_a_plane_have_no_solver() {
        let flat = Lights::directional(vec![
            Vec3::z(),
            Vec3::new(0.6, 0.0, 0.8),
            Vec3::new(-0.6, 0.0, 0.8),
        ]);
        assert!(LeastSquares::new(&flat).is_none());
    }
}
