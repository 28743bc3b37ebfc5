//! How far a normal map is from being that of any surface.
//!
//! The slopes `p = ∂z/∂x = −n_x/n_z` and `q = ∂z/∂y = −n_y/n_z` of a surface z(x, y) obey
//! `∂p/∂y = ∂q/∂x` (both are `∂²z/∂x∂y`; Horn and Brooks 1986, "The variational approach to shape
//! from shading", §5; Frankot and Chellappa 1988, eq. 2). Their difference, the *curl* of the
//! slopes, is what no integrator can follow. It grows where frames do not fit on each other, a
//! light is wrong, or a shadow was taken for a slope, and it needs no ground truth.

use super::MAX_SLOPE;
use crate::maps::{Mask, NormalMap, Plane, Size};
use rayon::prelude::*;

/// The integrability residual `∂p/∂y − ∂q/∂x` per pixel, by central differences, in slope per
/// pixel; x right, y up.
///
/// Slopes are no steeper than [`MAX_SLOPE`] (direction kept), as the integrators take them. NaN
/// where the pixel or one of its four neighbours is off the mask, off the image or has no normal:
/// two maps with the same mask and no undefined normals on it are judged on the same pixels.
/// The noise of the slopes, standard deviation σ, gives it the standard deviation σ.
///
/// # Panics
/// If normals and mask differ in size.
pub fn integrability_residual(normals: &NormalMap, mask: &Mask) -> Plane<f32> {
    let size = normals.size;
    assert_eq!(size, mask.size, "a mask of the normals' size");
    let Size { height, width } = size;
    let mut residual = Plane::filled(size, f32::NAN);
    if height < 3 || width < 3 {
        return residual;
    }
    let (dz_dx, dz_dy) = clamped_slopes(normals, mask);
    residual.data.par_chunks_exact_mut(width).enumerate().for_each(|(r, out)| {
        if r == 0 || r + 1 == height {
            return;
        }
        let (p, q) = (|r: usize| &dz_dx[r * width..][..width], &dz_dy[r * width..][..width]);
        let (above, below) = (p(r - 1), p(r + 1));
        for c in 1..width - 1 {
            // Rows run down, so the row above is the larger y.
            let dp_dy = 0.5 * (above[c] - below[c]);
            let dq_dx = 0.5 * (q[c + 1] - q[c - 1]);
            // The pixel's own slope takes no part in the differences, but must be defined.
            out[c] = if q[c].is_nan() { f32::NAN } else { dp_dy - dq_dx };
        }
    });
    residual
}

/// Mean of `|∂p/∂y − ∂q/∂x|` over the pixels where [`integrability_residual`] is defined, in
/// slope per pixel; `None` where it is nowhere.
///
/// # Panics
/// If normals and mask differ in size.
pub fn mean_integrability_residual(normals: &NormalMap, mask: &Mask) -> Option<f64> {
    let residual = integrability_residual(normals, mask);
    let defined = residual.data.iter().filter(|v| !v.is_nan());
    let (sum, count) = defined.fold((0.0, 0u64), |(s, n), v| (s + f64::from(v.abs()), n + 1));
    (count > 0).then(|| sum / count as f64)
}

/// `∂z/∂x` and `∂z/∂y` (y up), no steeper than [`MAX_SLOPE`]; NaN off the mask and where the normal
/// is undefined.
fn clamped_slopes(normals: &NormalMap, mask: &Mask) -> (Vec<f32>, Vec<f32>) {
    let (x, y, z) = (normals.x(), normals.y(), normals.z());
    (0..normals.size.area())
        .into_par_iter()
        .with_min_len(1 << 14)
        .map(|i| {
            // `max` would turn NaN into a number.
            let n_z = if z[i] < 1e-6 { 1e-6 } else { z[i] };
            let (p, q) = (-x[i] / n_z, -y[i] / n_z);
            let steepness = (p * p + q * q).sqrt();
            if !(mask.data[i] && steepness.is_finite()) {
                return (f32::NAN, f32::NAN);
            }
            let shrink = if steepness > MAX_SLOPE { MAX_SLOPE / steepness } else { 1.0 };
            (p * shrink, q * shrink)
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;

    const SIZE: Size = Size { height: 9, width: 12 };

    /// Normals of given slopes `∂z/∂x`, `∂z/∂y` at (x, y), y up, origin at the lower left pixel.
    fn normals_of(slopes: impl Fn(f32, f32) -> (f32, f32)) -> NormalMap {
        NormalMap::from_fn(SIZE, |r, c| {
            let (p, q) = slopes(c as f32, (SIZE.height - 1 - r) as f32);
            Vec3::new(-p, -q, 1.0).normalize()
        })
    }

    fn whole() -> Mask {
        Plane::filled(SIZE, true)
    }

    #[test]
    fn a_surface_has_none() {
        // z = 0.02 x² y + 0.05 y²: its mixed derivative varies, and central differences are
        // exact for it.
        let normals = normals_of(|x, y| (0.04 * x * y, 0.02 * x * x + 0.1 * y));
        // The steepest slope of it is 4.8: nothing is clamped.
        let residual = integrability_residual(&normals, &whole());
        for r in 1..SIZE.height - 1 {
            for c in 1..SIZE.width - 1 {
                let value = *residual.at(r, c);
                assert!(value.abs() < 1e-4, "{value} at ({r}, {c})");
            }
        }
    }

    #[test]
    fn a_whirl_has_its_curl_with_its_sign() {
        // p = −0.05 y, q = 0.02 x: ∂p/∂y − ∂q/∂x = −0.07 everywhere.
        let normals = normals_of(|x, y| (-0.05 * y, 0.02 * x));
        let residual = integrability_residual(&normals, &whole());
        let inner: Vec<f32> = residual.data.iter().copied().filter(|v| !v.is_nan()).collect();
        assert_eq!(inner.len(), 7 * 10);
        inner.iter().for_each(|v| assert!((v + 0.07).abs() < 1e-6, "{v}"));
        let mean = mean_integrability_residual(&normals, &whole()).unwrap();
        assert!((mean - 0.07).abs() < 1e-6, "{mean}");
    }

    #[test]
    fn an_undefined_or_masked_pixel_takes_its_cross_with_it() {
        let mut normals = normals_of(|_, _| (0.0, 0.0));
        let undefined = 4 * SIZE.width + 5;
        for component in 0..3 {
            normals.data[component * SIZE.area() + undefined] = f32::NAN;
        }
        let mut mask = whole();
        mask.data[2 * SIZE.width + 9] = false;
        let residual = integrability_residual(&normals, &mask);
        let cross = |r: usize, c: usize, row: usize, column: usize| {
            r.abs_diff(row) + c.abs_diff(column) <= 1
        };
        for r in 0..SIZE.height {
            for c in 0..SIZE.width {
                let border = r == 0 || c == 0 || r + 1 == SIZE.height || c + 1 == SIZE.width;
                let gone = border || cross(r, c, 4, 5) || cross(r, c, 2, 9);
                assert_eq!(residual.at(r, c).is_nan(), gone, "({r}, {c})");
            }
        }
        assert_eq!(mean_integrability_residual(&normals, &Plane::filled(SIZE, false)), None);
    }

    #[test]
    fn an_edge_on_normal_counts_no_more_than_the_steepest_slope() {
        let mut normals = normals_of(|_, _| (0.0, 0.0));
        let pixel = 4 * SIZE.width + 5;
        normals.data[pixel] = 1.0;
        normals.data[2 * SIZE.area() + pixel] = 0.0;
        let residual = integrability_residual(&normals, &whole());
        assert!((residual.at(5, 5) - 0.5 * -MAX_SLOPE).abs() < 1e-5, "{}", residual.at(5, 5));
        assert!((residual.at(3, 5) - 0.5 * MAX_SLOPE).abs() < 1e-5, "{}", residual.at(3, 5));
        assert!((residual.at(4, 4)).abs() < 1e-6);
    }
}
