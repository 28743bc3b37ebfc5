//! The robust solvers' kernels against their CPU twins, on whatever adapter there is.

mod support;

use lumiface::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::gpu::{Gpu, Reweighted};
use lumiface::maps::{ImageStack, Lights, Pixels, Plane, Size};
use lumiface::stereo::{L1, LeastSquaresAmbient, Solution, Trimmed, Weighted};

fn lights(count: usize) -> Lights {
    let direction = |i: usize| {
        let azimuth = 360.0 * i as f32 / count as f32;
        light_from_zenith_azimuth([15.0, 50.0, 30.0][i % 3], azimuth)
    };
    let mut lights = Lights::directional((0..count).map(direction).collect());
    lights.intensities.iter_mut().enumerate().for_each(|(i, e)| *e = 1.0 - 0.03 * i as f32);
    lights
}

/// −1 to 1, different at every index.
fn noise(index: usize) -> f32 {
    let mut z = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((z ^ (z >> 27)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

#[derive(Clone, Copy, Debug)]
enum Depth {
    U8,
    U16,
    /// With missing samples.
    F32,
}

/// A glossy dome with attached shadows, noise, ambient light and some saturation; its rim is
/// black.
fn images(size: Size, lights: &Lights, depth: Depth, ambient: f32) -> ImageStack {
    let area = size.area();
    let normal = |p: usize| {
        let x = (p % size.width) as f32 / size.width as f32 * 1.8 - 0.9;
        let y = 0.9 - (p / size.width) as f32 / size.height as f32 * 1.8;
        let squared: f32 = x * x + y * y;
        (squared < 0.98).then(|| Vec3::new(x, y, (1.0 - squared).sqrt()))
    };
    let value = |i: usize| {
        let (j, p) = (i / area, i % area);
        let Some(n) = normal(p) else { return 0.0 };
        let (direction, intensity) = (lights.directions[j], lights.intensities[j]);
        let matt = (0.6 + 0.2 * noise(p)) * direction.dot(&n).max(0.0);
        let gloss = 0.5 * (direction + Vec3::z()).normalize().dot(&n).max(0.0).powi(60);
        (intensity * (matt + gloss) + ambient + 0.01 * noise(i)).clamp(0.0, 1.0)
    };
    let shares = (0..lights.len() * area).map(value);
    let pixels = match depth {
        Depth::U8 => Pixels::U8(shares.map(|v| (v * 255.0).round() as u8).collect()),
        Depth::U16 => Pixels::U16(shares.map(|v| (v * 65_535.0).round() as u16).collect()),
        Depth::F32 => Pixels::F32(
            shares
                .enumerate()
                .map(|(i, v)| if noise(i ^ 0x5555) > 0.8 { f32::NAN } else { v })
                .collect(),
        ),
    };
    ImageStack::new(size, lights.len(), pixels)
}

fn assert_planes(what: &str, gpu: &Plane<f32>, cpu: &Plane<f32>, tolerance: f32) {
    assert_eq!(gpu.size, cpu.size);
    for (p, (g, c)) in gpu.data.iter().zip(&cpu.data).enumerate() {
        let equal = (g - c).abs() <= tolerance * c.abs().max(1.0) || (g.is_nan() && c.is_nan());
        assert!(equal, "{what} at {p}: GPU {g}, CPU {c}, tolerance {tolerance}");
    }
}

/// Albedo, residual and ambient follow the normal: an angle a in radians moves them by about a.
fn assert_solutions(what: &str, gpu: &Solution, cpu: &Solution, tolerance_deg: f32) {
    for p in 0..cpu.lights_used.data.len() {
        let (g, c) = (gpu.surface.normals.at(p), cpu.surface.normals.at(p));
        let both_undefined = g.iter().chain(c.iter()).all(|v| v.is_nan());
        let angle = angle_between_deg(g, c);
        assert!(
            both_undefined || angle <= tolerance_deg,
            "{what}: normal at {p}: GPU {g:?}, CPU {c:?}, {angle}° apart"
        );
    }
    let solved = cpu.surface.normals.x().iter().filter(|n| !n.is_nan()).count();
    assert!(2 * solved > cpu.lights_used.data.len(), "{what}: {solved} pixels solved");
    let share = 2.0 * tolerance_deg.to_radians();
    assert_planes(&format!("{what}: albedo"), &gpu.surface.albedo, &cpu.surface.albedo, share);
    let residual = &cpu.surface.residual;
    assert_planes(&format!("{what}: residual"), &gpu.surface.residual, residual, share);
    // Weights hang on the differences, which are small beside what they are differences of.
    let share = 20.0 * share;
    assert_planes(&format!("{what}: lights used"), &gpu.lights_used, &cpu.lights_used, share);
    assert_planes(&format!("{what}: noise gain"), &gpu.noise_gain, &cpu.noise_gain, share);
    assert_eq!(gpu.ambient.is_some(), cpu.ambient.is_some());
    if let (Some(gpu), Some(cpu)) = (&gpu.ambient, &cpu.ambient) {
        assert_planes(&format!("{what}: ambient"), gpu, cpu, share);
    }
}

const SIZES: [Size; 2] = [Size { height: 7, width: 9 }, Size { height: 40, width: 53 }];
const DEPTHS: [Depth; 3] = [Depth::U8, Depth::U16, Depth::F32];

fn compare(
    solver: Reweighted,
    counts: &[usize],
    tolerance_deg: f32,
    on_cpu: impl Fn(&ImageStack, &Lights) -> Solution,
) {
    let Some(gpu) = support::any_gpu() else { return };
    for size in SIZES {
        for &count in counts {
            for depth in DEPTHS {
                let lights = lights(count);
                let images = images(size, &lights, depth, 0.0);
                let there = gpu.reweighted.solve(&gpu, solver, &images, &lights).unwrap();
                let what = format!("{count} lights, {depth:?}, {size}");
                assert_solutions(&what, &there, &on_cpu(&images, &lights), tolerance_deg);
            }
        }
    }
}

#[test]
fn trimmed_is_the_same_on_both_sides() {
    // The same samples are kept on both sides: what is left is closed, and differs by rounding.
    let solver = Trimmed::default();
    compare(Reweighted::Trimmed(solver), &[3, 4, 6, 13], 0.01, |i, l| solver.solve(i, l).unwrap());
}

#[test]
fn l1_is_the_same_on_both_sides() {
    // Rounding can make one side stop a round later; it stops at steps of 0.01°.
    let solver = L1::default();
    compare(Reweighted::L1(solver), &[3, 4, 6, 13], 0.02, |i, l| solver.solve(i, l).unwrap());
}

#[test]
fn weighted_is_the_same_on_both_sides() {
    // The GPU's median is cut to 16 bits, and it too stops at steps of 0.01°.
    let solver = Weighted::default();
    compare(Reweighted::Weighted(solver), &[3, 4, 6, 13], 0.02, |i, l| solver.solve(i, l).unwrap());
}

#[test]
fn ambient_is_the_same_on_both_sides() {
    let Some(gpu) = support::any_gpu() else { return };
    for size in SIZES {
        for count in [4, 6, 13] {
            for depth in DEPTHS {
                let lights = lights(count);
                let images = images(size, &lights, depth, 0.1);
                let solver = LeastSquaresAmbient::default();
                let there = solve_ambient(&gpu, &solver, &images, &lights);
                let here = solver.solve(&images, &lights).unwrap();
                if matches!(depth, Depth::F32) && count == 4 {
                    // A missing one of four leaves nothing to solve.
                    assert_eq!(
                        there.surface.normals.x().iter().filter(|n| n.is_nan()).count(),
                        here.surface.normals.x().iter().filter(|n| n.is_nan()).count()
                    );
                    continue;
                }
                let what = format!("{count} lights, {depth:?}, {size}");
                assert_solutions(&what, &there, &here, 0.01);
            }
        }
    }
}

fn solve_ambient(
    gpu: &Gpu,
    solver: &LeastSquaresAmbient,
    images: &ImageStack,
    lights: &Lights,
) -> Solution {
    let prepared = solver.prepare(lights).unwrap();
    let stack = gpu.least_squares_ambient.prepare(gpu, &prepared, images).unwrap();
    gpu.least_squares_ambient.run(gpu, &stack).unwrap();
    stack.solution.download(gpu).unwrap()
}
