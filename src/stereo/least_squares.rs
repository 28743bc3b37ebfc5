//! Least squares over all lights: `g = L⁺ I`, `ρ = |g|`, `n = g / ρ` (Woodham 1980).
//!
//! The pseudo-inverse is the same for every pixel, so the solve is one small matrix product per
//! pixel. It reads each raw value and writes each result once; in between, a block of pixels
//! lives in the first-level cache. The loops are plain and vectorise; on x86-64 they are compiled
//! for AVX2 and AVX-512 too and chosen at run time.
//!
//! Twin of `shaders/least_squares.wgsl`.

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
            Pixels::U16(values) => self.solve_pixels(values, f32::from(u16::MAX), images.size, maps),
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
#[inline(always)]
fn solve_span<T: Copy + Into<f32>>(
    solver: &LeastSquares,
    values: &[T],
    area: usize,
    first: usize,
    full_scale: f32,
    span: Span<'_>,
) {
    /// Pixels a block: three accumulators of it fit the first-level cache with room to spare.
    const BLOCK: usize = 512;
    let unit = 1.0 / full_scale;
    let residual_scale = unit / (solver.light_count() as f32).sqrt();
    let length = span.x.len();
    let mut start = 0;
    while start < length {
        let n = BLOCK.min(length - start);
        let range = start..start + n;
        let (gx, gy, gz) = (
            &mut span.x[range.clone()],
            &mut span.y[range.clone()],
            &mut span.z[range.clone()],
        );
        let (albedo, residual) =
            (&mut span.albedo[range.clone()], &mut span.residual[range.clone()]);
        let image = |light: usize| {
            let offset = light * area + first + start;
            &values[offset..offset + n]
        };

        gx.fill(0.0);
        gy.fill(0.0);
        gz.fill(0.0);
        for (light, &[ax, ay, az]) in solver.inverse_columns.iter().enumerate() {
            for (((value, x), y), z) in
                image(light).iter().zip(gx.iter_mut()).zip(gy.iter_mut()).zip(gz.iter_mut())
            {
                let value: f32 = (*value).into();
                *x += ax * value;
                *y += ay * value;
                *z += az * value;
            }
        }

        residual.fill(0.0);
        for (light, &[lx, ly, lz]) in solver.light_rows.iter().enumerate() {
            for ((((value, x), y), z), sum) in
                image(light).iter().zip(&*gx).zip(&*gy).zip(&*gz).zip(residual.iter_mut())
            {
                let value: f32 = (*value).into();
                let difference = value - (lx * x + ly * y + lz * z);
                *sum += difference * difference;
            }
        }

        for ((((x, y), z), albedo), residual) in
            gx.iter_mut().zip(gy).zip(gz).zip(albedo).zip(residual)
        {
            let length = (*x * *x + *y * *y + *z * *z).sqrt();
            // 0 · ∞ is NaN: a pixel without light has no normal.
            let inverse = 1.0 / length;
            *x *= inverse;
            *y *= inverse;
            *z *= inverse;
            *albedo = length * unit;
            *residual = residual.sqrt() * residual_scale;
        }
        start += n;
    }
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
                (0..size.area()).map(|p| (light.dot(&g(p)) * 65_535.0).round() as u16).collect::<Vec<_>>()
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
        let values = (0..4 * size.area()).map(|i| (i * 2_654_435_761 >> 7) as u8).collect();
        let images = ImageStack::new(size, 4, Pixels::U8(values));
        let solver = LeastSquares::new(&lights).unwrap();
        let wide = solver.solve(&images);
        let mut narrow = SurfaceMaps::unset(size);
        let Pixels::U8(raw) = &images.pixels else { unreachable!() };
        let (x, yz) = narrow.normals.data.split_at_mut(size.area());
        let (y, z) = yz.split_at_mut(size.area());
        let span = Span {
            x,
            y,
            z,
            albedo: &mut narrow.albedo.data,
            residual: &mut narrow.residual.data,
        };
        solve_span(&solver, raw, size.area(), 0, 255.0, span);
        assert_eq!(wide.albedo, narrow.albedo);
        assert_eq!(wide.residual, narrow.residual);
        assert_eq!(wide.normals, narrow.normals);
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
