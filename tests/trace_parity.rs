//! The tracing kernel against the tracer on the CPU, on whatever adapter there is.

#[path = "support/bumpy_head.rs"]
mod bumpy_head;

use bumpy_head::head;
use lumiface::gpu::Gpu;
use lumiface::maps::Size;
use lumiface::synth::render::{
    Attached, Frame, HeadPose, Light, Options, Scene, Truth, View, image, truth,
};
use lumiface::synth::surface::{Material, Part, Surface};

/// Values agree to this share where both see the same.
const RELATIVE_TOLERANCE: f32 = 1e-4;
/// Share of pixels where an outline, of a surface or of a shadow, may fall on either side.
const OUTLINE_SHARE: f64 = 1e-3;

/// Two curved lenses and a bar between them.
fn spectacles() -> [Surface; 3] {
    let glass =
        Material { albedo: [0.95, 0.96, 0.94], specular: 0.04, roughness: 0.05, subsurface: 0.0 };
    let metal = Material { albedo: [0.1; 3], specular: 0.6, roughness: 0.1, subsurface: 0.0 };
    let sheet = |centre: f32, half: [f32; 2], depth: f32, material: Material, part: Part| {
        let mut surface = Surface::default();
        let n = 8;
        for i in 0..=n {
            for j in 0..=n {
                let [x, y] = [2.0 * j as f32 / n as f32 - 1.0, 2.0 * i as f32 / n as f32 - 1.0];
                let [x, y] = [half[0] * x, half[1] * y];
                surface.positions.push([centre + x, 12.0 + y, depth - (x * x + y * y) / 200.0]);
                surface
                    .normals
                    .push(nalgebra::Vector3::new(x / 100.0, y / 100.0, 1.0).normalize().into());
                surface.materials.push(material);
            }
        }
        for i in 0..n {
            for j in 0..n {
                let v = |i: u32, j: u32| i * (n + 1) + j;
                surface.triangles.push([v(i, j), v(i, j + 1), v(i + 1, j)]);
                surface.triangles.push([v(i, j + 1), v(i + 1, j + 1), v(i + 1, j)]);
            }
        }
        surface.parts = vec![part; surface.triangles.len()];
        surface
    };
    [
        sheet(-32.0, [24.0, 17.0], 40.0, glass, Part::Lens),
        sheet(32.0, [24.0, 17.0], 40.0, glass, Part::Lens),
        sheet(0.0, [10.0, 2.0], 52.0, metal, Part::Frame),
    ]
}

fn scene() -> Scene {
    let head = head();
    let spectacles = spectacles();
    let surfaces: Vec<&Surface> = std::iter::once(&head).chain(&spectacles).collect();
    Scene::build(&surfaces).unwrap()
}

const SIZE: Size = Size { height: 157, width: 131 };

/// Share of pixels that differ; values within the tolerance count as equal.
fn differing(what: &str, gpu: &[f32], cpu: &[f32], per_pixel: usize) -> f64 {
    assert_eq!(gpu.len(), cpu.len(), "{what}");
    let range = cpu.iter().filter(|v| !v.is_nan()).fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(range > 0.0, "{what}: the CPU side is zero");
    let off = |(g, c): (&f32, &f32)| {
        // Relative to the value, or to a hundredth of the range where it is nearly dark.
        let tolerance = RELATIVE_TOLERANCE * c.abs().max(0.01 * range);
        !((g - c).abs() <= tolerance || (g.is_nan() && c.is_nan()))
    };
    let pixels = cpu.len() / per_pixel;
    let count = gpu
        .chunks_exact(per_pixel)
        .zip(cpu.chunks_exact(per_pixel))
        .filter(|(g, c)| g.iter().zip(*c).any(off))
        .count();
    count as f64 / pixels as f64
}

fn assert_same_truth(gpu: &Truth, cpu: &Truth) {
    let area = SIZE.area() as f64;
    let count = |differ: &dyn Fn(usize) -> bool| {
        (0..SIZE.area()).filter(|&p| differ(p)).count() as f64 / area
    };
    let masks = [
        ("mask", count(&|p| gpu.mask.data[p] != cpu.mask.data[p])),
        ("part", count(&|p| gpu.part.data[p] != cpu.part.data[p])),
        ("behind a lens", count(&|p| gpu.behind_lens.data[p] != cpu.behind_lens.data[p])),
    ];
    for (what, share) in masks {
        assert!(share <= OUTLINE_SHARE, "{what}: {share} of the pixels differ");
    }
    assert!(cpu.behind_lens.count() > 300 && cpu.mask.count() > 5000);
    let planes = [
        ("n_x", gpu.normals.x(), cpu.normals.x()),
        ("n_y", gpu.normals.y(), cpu.normals.y()),
        ("n_z", gpu.normals.z(), cpu.normals.z()),
        ("depth in mm", &gpu.depth_mm.data, &cpu.depth_mm.data),
        ("depth", &gpu.depth.data, &cpu.depth.data),
        ("albedo", &gpu.albedo.data, &cpu.albedo.data),
        ("green albedo", &gpu.albedo_rgb[1].data, &cpu.albedo_rgb[1].data),
    ];
    for (what, gpu, cpu) in planes {
        let share = differing(what, gpu, cpu, 1);
        assert!(share <= OUTLINE_SHARE, "{what}: {share} of the pixels differ");
    }
    assert_eq!(gpu.lights.len(), cpu.lights.len());
    for (g, c) in gpu.lights.iter().zip(&cpu.lights) {
        let attached = count(&|p| g.attached_shadow.data[p] != c.attached_shadow.data[p]);
        let cast = count(&|p| g.cast_shadow.data[p] != c.cast_shadow.data[p]);
        let shine = differing("specular share", &g.specular_share.data, &c.specular_share.data, 1);
        for (what, share) in [("attached", attached), ("cast", cast), ("specular", shine)] {
            assert!(share <= OUTLINE_SHARE, "{what}: {share} of the pixels differ");
        }
        assert!(c.cast_shadow.count() > 50 && c.attached_shadow.count() > 50);
    }
}

#[test]
fn the_kernel_sees_what_the_cpu_sees() {
    let gpu = Gpu::open_any().unwrap();
    let scene = scene();
    let buffers = gpu.trace.upload(&gpu, &scene).unwrap();
    let lamp = |x: f32, y: f32| Light::Near {
        position_mm: [x, y, -300.0],
        intensity: 1.2,
        reference_mm: 700.0,
        axis: [-x, -y, -600.0],
        exponent: 1.5,
        radius_mm: 0.0,
    };
    let wide = Light::Distant { direction: [0.5, 0.6, 0.7], intensity: 0.7, spread: 0.05 };
    let pinhole = View::perspective(SIZE, 260.0, 800.0);
    let away = HeadPose::from_angles_deg(14.0, -6.0, 5.0, [4.0, 3.0, -800.0]);
    let parallel = View::orthographic(SIZE, 240.0);
    let turned = HeadPose::from_angles_deg(-20.0, 10.0, 0.0, [0.0; 3]);
    let all = Options::default();
    let cases = [
        ("near", pinhole, away, vec![lamp(300.0, 200.0), lamp(-250.0, -150.0)], all),
        (
            "wide",
            parallel,
            turned,
            vec![wide],
            Options { light_samples: 3, samples_per_side: 3, ..all },
        ),
        ("frontal", parallel, HeadPose::FRONTAL, vec![Light::distant([0.4, -0.4, 1.0], 1.0)], all),
        (
            "signed",
            pinhole,
            away,
            vec![Light::distant([-0.8, 0.3, 0.4], 1.0)],
            Options { attached: Attached::Negative, ..Options::ideal() },
        ),
        ("dark", pinhole, away, vec![Light::distant([-0.8, 0.3, 0.4], 1.0)], Options::ideal()),
        (
            "inter-reflecting",
            pinhole,
            away,
            vec![lamp(300.0, 200.0), lamp(-250.0, -150.0)],
            all.with_inter_reflection(),
        ),
    ];
    for (what, view, pose, lights, options) in cases {
        let frame = Frame { pose, lights };
        let cpu = image(&scene, &view, SIZE, &frame, &options);
        let on_gpu =
            gpu.trace.image(&gpu, (&scene, &buffers), &view, SIZE, &frame, &options).unwrap();
        let flat = |pixels: &[[f32; 4]]| pixels.concat();
        let share = differing(what, &flat(&on_gpu.pixels), &flat(&cpu.pixels), 4);
        // Each sub-sample has its own outline.
        let samples =
            (options.samples_per_side * options.samples_per_side * options.light_samples) as f64;
        println!("{what}: {share:.5} of the pixels differ");
        assert!(share <= samples * OUTLINE_SHARE, "{what}: {share} of the pixels differ");
        if options.bounce_rays > 0 {
            let without = Options { bounce_rays: 0, ..options };
            let direct = image(&scene, &view, SIZE, &frame, &without);
            let share = differing("direct light", &flat(&direct.pixels), &flat(&cpu.pixels), 4);
            // The nose and the spectacles light the cheeks.
            assert!(share > 0.02, "light goes over two surfaces on {share} of the pixels");
        }
        if options.lenses {
            let truth_on_gpu =
                gpu.trace.truth(&gpu, (&scene, &buffers), &view, SIZE, &frame, &options).unwrap();
            assert_same_truth(&truth_on_gpu, &truth(&scene, &view, SIZE, &frame, &options));
        }
    }
}

#[test]
fn a_frame_without_light_is_black() {
    let gpu = Gpu::open_any().unwrap();
    let scene = scene();
    let buffers = gpu.trace.upload(&gpu, &scene).unwrap();
    let view = View::orthographic(SIZE, 240.0);
    let frame = Frame { pose: HeadPose::FRONTAL, lights: vec![] };
    let options = Options::default();
    let dark = gpu.trace.image(&gpu, (&scene, &buffers), &view, SIZE, &frame, &options).unwrap();
    assert!(dark.pixels.iter().all(|p| p[..3] == [0.0; 3]));
    assert!(dark.pixels.iter().any(|p| p[3] == 1.0) && dark.pixels[0][3] == 0.0);
    let truth = gpu.trace.truth(&gpu, (&scene, &buffers), &view, SIZE, &frame, &options).unwrap();
    assert!(truth.lights.is_empty() && truth.mask.count() > 5000);
}
