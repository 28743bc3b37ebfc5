//! Every kernel against its CPU twin, on whatever adapter there is.

mod support;

use lumiface::capture::Capture;
use lumiface::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::gpu::Gpu;
use lumiface::integrate::frankot_chellappa;
use lumiface::maps::{ImageStack, Lights, Mask, NormalMap, Pixels, Plane, Size};
use lumiface::reconstruct::{Compute, ReconstructOptions, Solver, reconstruct};
use lumiface::stereo::LeastSquares;
use lumiface::synth::height_field::{Scene, render};

/// Normals agree to this angle, albedo and depth to this share of their range.
const NORMAL_TOLERANCE_DEG: f32 = 0.01;
const RELATIVE_TOLERANCE: f32 = 1e-4;

fn lights(count: usize) -> Lights {
    let mut lights = Lights::directional(
        (0..count)
            .map(|i| {
                let (zenith, azimuth) =
                    (20.0 + 5.0 * (i % 4) as f32, 360.0 * i as f32 / count as f32);
                light_from_zenith_azimuth(zenith, azimuth)
            })
            .collect(),
    );
    lights.intensities.iter_mut().enumerate().for_each(|(i, e)| *e = 1.0 - 0.03 * i as f32);
    lights
}

/// A spread of values that no symmetry hides behind.
fn scrambled(index: usize) -> u64 {
    let mut z = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 27)
}

fn assert_planes(what: &str, gpu: &Plane<f32>, cpu: &Plane<f32>) {
    let range = cpu.data.iter().filter(|v| !v.is_nan()).fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(range > 0.0, "{what}: the CPU side is zero");
    assert_within(what, gpu, cpu, range);
}

fn assert_within(what: &str, gpu: &Plane<f32>, cpu: &Plane<f32>, range: f32) {
    assert_eq!(gpu.size, cpu.size);
    for (index, (g, c)) in gpu.data.iter().zip(&cpu.data).enumerate() {
        let equal = (g - c).abs() <= RELATIVE_TOLERANCE * range || (g.is_nan() && c.is_nan());
        assert!(
            equal,
            "{what} at {index}: GPU {g}, CPU {c}, tolerance {RELATIVE_TOLERANCE} of {range}"
        );
    }
}

fn assert_normals(gpu: &NormalMap, cpu: &NormalMap) {
    for pixel in 0..cpu.size.area() {
        let (g, c) = (gpu.at(pixel), cpu.at(pixel));
        let both_undefined = g.iter().chain(c.iter()).all(|v| v.is_nan());
        let angle = angle_between_deg(g, c);
        assert!(
            both_undefined || angle <= NORMAL_TOLERANCE_DEG,
            "normal at {pixel}: GPU {g:?}, CPU {c:?}, {angle}° apart"
        );
    }
}

fn compare_solve(gpu: &Gpu, size: Size, count: usize, sixteen_bit: bool) {
    let values = count * size.area();
    let pixels = if sixteen_bit {
        Pixels::U16((0..values).map(|i| scrambled(i) as u16).collect())
    } else {
        Pixels::U8((0..values).map(|i| scrambled(i) as u8).collect())
    };
    let images = ImageStack::new(size, count, pixels);
    let solver = LeastSquares::new(&lights(count)).expect("well-conditioned lights");
    let cpu = solver.solve(&images);
    let stack = gpu.least_squares.prepare(gpu, &solver, &images).unwrap();
    gpu.least_squares.run(gpu, &stack).unwrap();
    let gpu_maps = stack.surface.download(gpu).unwrap();
    assert_normals(&gpu_maps.normals, &cpu.normals);
    assert_planes("albedo", &gpu_maps.albedo, &cpu.albedo);
    // Full scale is 1: three lights leave no residual, so it has no range of its own.
    assert_within("residual", &gpu_maps.residual, &cpu.residual, 1.0);
}

#[test]
fn least_squares_on_odd_sizes_depths_and_light_counts() {
    let Some(gpu) = support::any_gpu() else { return };
    for size in [Size::new(1, 1), Size::new(7, 9), Size::new(64, 65), Size::new(192, 168)] {
        for count in [3, 4, 11] {
            compare_solve(&gpu, size, count, false);
            compare_solve(&gpu, size, count, true);
        }
    }
}

#[test]
fn a_pixel_without_light_is_nan_on_both_sides() {
    let Some(gpu) = support::any_gpu() else { return };
    let images = ImageStack::new(Size::new(1, 5), 4, Pixels::U8(vec![0; 20]));
    let solver = LeastSquares::new(&lights(4)).unwrap();
    let stack = gpu.least_squares.prepare(&gpu, &solver, &images).unwrap();
    gpu.least_squares.run(&gpu, &stack).unwrap();
    for maps in [stack.surface.download(&gpu).unwrap(), solver.solve(&images)] {
        assert!(maps.normals.data.iter().all(|v| v.is_nan()), "{:?}", maps.normals.data);
        assert_eq!(maps.albedo.data, [0.0; 5]);
    }
}

#[test]
fn an_undefined_normal_inside_the_mask_spoils_only_itself() {
    let Some(gpu) = support::any_gpu() else { return };
    let size = Size::new(40, 40);
    let normals = NormalMap::from_fn(size, |r, c| {
        if (r, c) == (20, 20) {
            return Vec3::repeat(f32::NAN);
        }
        Vec3::new(0.3 * (c as f32 * 0.2).sin(), 0.2, 1.0).normalize()
    });
    let mask: Mask = Plane::filled(size, true);
    let cpu = frankot_chellappa(&normals, &mask);
    assert!(cpu.data.iter().all(|z| z.is_finite()));
    let depth = gpu.frankot_chellappa.integrate(&gpu, &normals, &mask).unwrap();
    assert_planes("depth", &depth, &cpu);
}

#[test]
fn frankot_chellappa_on_odd_sizes_with_a_mask() {
    let Some(gpu) = support::any_gpu() else { return };
    for size in [Size::new(1, 1), Size::new(5, 33), Size::new(64, 48), Size::new(101, 83)] {
        let normals = NormalMap::from_fn(size, |r, c| {
            let tilt = |k: usize| (scrambled(k + r * size.width + c) >> 40) as f32 / 1.7e7 - 0.5;
            let x = 0.6 * (c as f32 * 0.11).sin() + 0.3 * tilt(0);
            let y = 0.5 * (r as f32 * 0.07).cos() + 0.3 * tilt(9_999);
            Vec3::new(x, y, 1.0).normalize()
        });
        let mask: Mask = Plane::from_fn(size, |r, c| (r + 2 * c) % 17 != 3);
        let normals = normals.masked(&mask);
        let cpu = frankot_chellappa(&normals, &mask);
        let depth = gpu.frankot_chellappa.integrate(&gpu, &normals, &mask).unwrap();
        if size.area() > 1 {
            assert_planes("depth", &depth, &cpu);
        }
    }
}

#[test]
fn a_rendered_face_gives_the_same_maps_on_both_sides() {
    let Some(gpu) = support::any_gpu() else { return };
    let rendering = render(&Scene::sample(5, 0, Size::new(160, 150)));
    let gpu = Compute::Gpu(Box::new(gpu));
    let capture = Capture::new(rendering.images, rendering.lights);
    let options = ReconstructOptions { solver: Solver::LeastSquares, ..Default::default() };
    let on_gpu = reconstruct(&capture, &options, &gpu).unwrap();
    let on_cpu = reconstruct(&capture, &options, &Compute::Cpu).unwrap();
    assert_eq!(on_gpu.mask, on_cpu.mask);
    assert!(on_cpu.mask.count() > 5_000, "{} pixels of face", on_cpu.mask.count());
    assert_normals(&on_gpu.normals, &on_cpu.normals);
    assert_planes("albedo", &on_gpu.albedo, &on_cpu.albedo);
    assert_planes("depth", &on_gpu.depth, &on_cpu.depth);
    assert_planes("residual", &on_gpu.residual, &on_cpu.residual);
    assert_planes("confidence", &on_gpu.confidence, &on_cpu.confidence);
}

#[test]
fn burn_shares_the_device() {
    use burn::tensor::{Device, Tensor};
    use lumiface::model::{NetworkConfig, NetworkInput, TaskShape};
    let Some(gpu) = support::any_gpu() else { return };
    let shared = gpu.burn_device().unwrap();
    let config = NetworkConfig {
        width: 8,
        input_side: 64,
        identities: 3,
        tasks: vec![TaskShape {
            name: "spectacles".into(),
            classes: 2,
            shares_attention_with: None,
        }],
        ..Default::default()
    };
    let flex = Device::flex();
    flex.seed(4);
    let network = config.init(&flex);
    let image =
        Tensor::<4>::random([2, 3, 64, 64], burn::tensor::Distribution::Normal(0.0, 1.0), &flex);
    let embedding = |network: &lumiface::model::MultiTaskNetwork, image: Tensor<4>| {
        network
            .forward(NetworkInput::single(image), 1.0)
            .embedding
            .into_data()
            .try_to_vec::<f32>()
            .unwrap()
    };
    let on_cpu = embedding(&network, image.clone());
    let on_gpu = {
        use burn::module::Module;
        let there = Tensor::<4>::from_data(image.into_data(), &shared);
        embedding(&network.fork(&shared), there)
    };
    let length = on_cpu.iter().map(|v| v * v).sum::<f32>().sqrt();
    let difference = on_cpu.iter().zip(&on_gpu).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert!(length > 0.0 && difference < 1e-4 * length, "{difference} of {length}");
}
