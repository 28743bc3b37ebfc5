//! Masked Poisson integration on the device against its CPU twin and against truth.

mod support;

use lumiface::geometry::{Camera, Vec3};
use lumiface::gpu::Gpu;
use lumiface::integrate::poisson;
use lumiface::maps::{DepthMap, Mask, NormalMap, Plane, Size};

/// Both sides do the same steps to the same residual, so what differs is rounding and, at worst,
/// one last iteration, which changes depth by a few times the 1e-5 that they stop at.
const RELATIVE_TOLERANCE: f32 = 1e-4;

fn scrambled(index: usize) -> f32 {
    let mut z = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((z ^ (z >> 27)) >> 40) as f32 / (1 << 24) as f32 - 0.5
}

/// A wavy, noisy surface.
fn normals(size: Size) -> NormalMap {
    NormalMap::from_fn(size, |r, c| {
        let pixel = r * size.width + c;
        let x = 0.7 * (c as f32 * 0.11).sin() + 0.3 * scrambled(pixel);
        let y = 0.6 * (r as f32 * 0.07).cos() + 0.3 * scrambled(pixel + 99_999);
        Vec3::new(x, y, 1.0).normalize()
    })
}

fn camera(size: Size) -> Camera {
    let (height, width) = (size.height as f64, size.width as f64);
    Camera { focal_px: [1.5 * width, 1.4 * width], centre_px: [0.45 * width, 0.55 * height] }
}

fn range(depth: &DepthMap) -> f32 {
    depth.data.iter().filter(|z| !z.is_nan()).fold(0.0, |m, z| m.max(z.abs()))
}

fn compare(gpu: &Gpu, normals: &NormalMap, mask: &Mask, camera: Option<&Camera>) {
    let cpu = poisson(normals, mask, camera);
    let device = gpu.poisson.integrate(gpu, normals, mask, camera).unwrap();
    let tolerance = RELATIVE_TOLERANCE * range(&cpu);
    for (pixel, (g, c)) in device.data.iter().zip(&cpu.data).enumerate() {
        let equal = (g - c).abs() <= tolerance || (g.is_nan() && c.is_nan());
        let size = mask.size;
        assert!(equal, "{size} at {pixel}: GPU {g}, CPU {c}, tolerance {tolerance}, {camera:?}");
    }
}

#[test]
fn odd_sizes_with_a_mask_and_both_cameras() {
    let Some(gpu) = support::any_gpu() else { return };
    for (height, width) in [(1, 1), (1, 7), (2, 2), (5, 33), (64, 48), (101, 83), (130, 257)] {
        let size = Size::new(height, width);
        let full = Plane::filled(size, true);
        let ragged = Plane::from_fn(size, |r, c| {
            let (y, x) = (r as f32 / height as f32 - 0.5, c as f32 / width as f32 - 0.5);
            x.hypot(y) < 0.45 && (r + 2 * c) % 17 != 3
        });
        for mask in [full, ragged] {
            compare(&gpu, &normals(size), &mask, None);
            compare(&gpu, &normals(size), &mask, Some(&camera(size)));
        }
    }
}

#[test]
fn undefined_edge_on_and_averted_normals() {
    let Some(gpu) = support::any_gpu() else { return };
    let size = Size::new(60, 70);
    let mut normals = normals(size);
    let area = size.area();
    let mut set = |pixel: usize, normal: [f32; 3]| {
        (0..3).for_each(|i| normals.data[i * area + pixel] = normal[i]);
    };
    (0..12).for_each(|i| set(20 * 70 + 20 + i, [f32::NAN; 3]));
    (0..12).for_each(|i| set(21 * 70 + 20 + i, [f32::NAN, 0.0, 1.0]));
    set(40 * 70 + 40, [1.0, 0.0, 0.0]);
    set(41 * 70 + 50, [0.6, 0.0, -0.8]);
    set(42 * 70 + 60, [0.0, 0.0, -1.0]);
    set(43 * 70 + 10, [0.0; 3]);
    let mask = Plane::from_fn(size, |r, c| !(r == 35 || c == 3));
    compare(&gpu, &normals, &mask, None);
    compare(&gpu, &normals, &mask, Some(&camera(size)));
}

#[test]
fn a_sphere_in_a_round_mask_comes_back() {
    let Some(gpu) = support::any_gpu() else { return };
    let (size, radius) = (Size::new(150, 160), 90.0f32);
    let offset = |r: usize, c: usize| (c as f32 - 82.0, 70.0 - r as f32);
    let z = |r: usize, c: usize| {
        let (x, y) = offset(r, c);
        (radius * radius - x * x - y * y).max(0.0).sqrt()
    };
    let mask: Mask = Plane::from_fn(size, |r, c| {
        let (x, y) = offset(r, c);
        x.hypot(y) < 60.0
    });
    let normals = NormalMap::from_fn(size, |r, c| {
        let (x, y) = offset(r, c);
        Vec3::new(x, y, z(r, c)) / radius
    });
    let depth = gpu.poisson.integrate(&gpu, &normals, &mask, None).unwrap();
    let truth = lumiface::integrate::centre_depth(Plane::from_fn(size, z), &mask);
    for (pixel, (got, want)) in depth.data.iter().zip(&truth.data).enumerate() {
        let equal = (got - want).abs() < 0.01 || (got.is_nan() && want.is_nan());
        assert!(equal, "pixel {pixel}: {got}, not {want}");
    }
}

#[test]
fn an_empty_mask_has_no_depth() {
    let Some(gpu) = support::any_gpu() else { return };
    let size = Size::new(4, 5);
    let nowhere = Plane::filled(size, false);
    let depth = gpu.poisson.integrate(&gpu, &normals(size), &nowhere, None).unwrap();
    assert!(depth.data.iter().all(|z| z.is_nan()));
}
