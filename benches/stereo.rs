//! Solve and integration in megapixels a second, on the CPU and on a GPU, beside NumPy and SciPy
//! doing the same work in the same session.
//!
//!     cargo bench --bench stereo
//!
//! `LUMIFACE_PYTHON` names a Python that has numpy and scipy; without one the peers are left out.
//! `LUMIFACE_GPU=cpu` leaves out the GPU, `LUMIFACE_GPU=gpu:NAME` names one.
//!
//! Two sizes: a Photoface capture, which is what users have, and 2048², whose 100 MB of maps lie
//! beyond most caches. The solvers for many lights run on 50 images of 256². Each figure is the median of repetitions after a warm-up; the spread is
//! half the distance between the quartiles.

use lumiface::geometry::{Vec3, light_from_zenith_azimuth};
use lumiface::gpu::{Gpu, Reweighted};
use lumiface::integrate::{frankot_chellappa, poisson_dct};
use lumiface::maps::{ImageStack, Lights, Mask, Pixels, Plane, Size};
use lumiface::stereo::{
    L1, LeastSquares, LeastSquaresAmbient, SurfaceMaps, Trimmed, Weighted, albedo_per_channel,
};
use rayon::prelude::*;

#[path = "support/mod.rs"]
mod support;
use support::{Timing, open_gpu};

fn line(name: &str, timing: &Timing, pixels: usize, note: &str) {
    let rate = pixels as f64 / timing.median() / 1e6;
    let spread = timing.spread_percent();
    println!("{name:<42} {rate:>9.1} Mpx/s ± {spread:>4.1} %  {note}");
}

/// Bytes a second of a copy by all cores, reads and writes counted.
fn copy_bandwidth() -> f64 {
    let source = vec![1u8; 256 << 20];
    let mut target = vec![0u8; source.len()];
    let chunk = source.len().div_ceil(rayon::current_num_threads());
    let timing = Timing::of(|| {
        target
            .par_chunks_mut(chunk)
            .zip(source.par_chunks(chunk))
            .for_each(|(target, source)| target.copy_from_slice(source));
    });
    2.0 * source.len() as f64 / timing.median()
}

fn lights() -> Lights {
    let azimuths = [130.0, 50.0, 310.0, 230.0];
    Lights::directional(azimuths.map(|a| light_from_zenith_azimuth(30.0, a)).to_vec())
}

fn images(size: Size, sixteen_bit: bool) -> ImageStack {
    let value = |i: usize| (i as u32).wrapping_mul(2_654_435_761);
    let count = 4 * size.area();
    let pixels = if sixteen_bit {
        Pixels::U16((0..count).map(|i| (value(i) >> 16) as u16).collect())
    } else {
        Pixels::U8((0..count).map(|i| (value(i) >> 24) as u8).collect())
    };
    ImageStack::new(size, 4, pixels)
}

/// What one pixel of a solve moves at least: four raw values in, three normal components, albedo
/// and residual out.
fn least_bytes(sixteen_bit: bool) -> f64 {
    (if sixteen_bit { 8.0 } else { 4.0 }) + 20.0
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let threads = rayon::current_num_threads();
    let bandwidth = copy_bandwidth();
    println!("CPU: {threads} threads, copies at {:.1} GB/s", bandwidth / 1e9);
    let gpu = open_gpu();
    let solver = LeastSquares::new(&lights()).expect("well-conditioned lights");
    let mut rates = Vec::new();

    for size in [Size::new(756, 564), Size::new(2048, 2048)] {
        let label = format!("{}x{}", size.width, size.height);
        for sixteen_bit in [false, true] {
            let bits = if sixteen_bit { 16 } else { 8 };
            let stack = images(size, sixteen_bit);
            let mut maps = SurfaceMaps::unset(size);
            let timing = Timing::of(|| solver.solve_into(&stack, &mut maps));
            let bytes = least_bytes(sixteen_bit);
            let share = 100.0 * bytes * size.area() as f64 / timing.median() / bandwidth;
            let note = format!("{bytes} B/px, {share:.0} % of copy bandwidth");
            let name = format!("solve 4x{bits} bit {label}");
            line(&format!("CPU {name}"), &timing, size.area(), &note);
            rates.push((name.clone(), size.area() as f64 / timing.median()));
            if let Some(gpu) = &gpu {
                let prepared =
                    gpu.least_squares.prepare(gpu, &solver, &stack).expect("buffers fit");
                let timing = Timing::of(|| {
                    gpu.least_squares.run(gpu, &prepared).expect("the kernel runs");
                    gpu.wait().expect("the device answers");
                });
                let note = format!("{bytes} B/px at least, pixels on the device");
                line(&format!("GPU {name}"), &timing, size.area(), &note);
            }
        }

        let maps = solver.solve(&images(size, false));
        let mask: Mask = Plane::filled(size, true);
        let name = format!("integrate {label}");
        let timing = Timing::of(|| drop(frankot_chellappa(&maps.normals, &mask)));
        line(&format!("CPU {name}"), &timing, size.area(), "");
        rates.push((name.clone(), size.area() as f64 / timing.median()));
        let poisson = format!("poisson-dct {label}");
        let timing = Timing::of(|| drop(poisson_dct(&maps.normals, &mask)));
        line(&format!("CPU {poisson}"), &timing, size.area(), "");
        rates.push((poisson, size.area() as f64 / timing.median()));
        // 2048² by matrix products takes a software rasteriser minutes.
        if let Some(gpu) = gpu.as_ref().filter(|g| !g.summary.software || size.width < 1000) {
            let timing = Timing::of(|| {
                drop(gpu.frankot_chellappa.integrate(gpu, &maps.normals, &mask).expect("it fits"));
            });
            line(&format!("GPU {name}"), &timing, size.area(), "with upload and download");
        }
    }
    time_robust_solvers(gpu.as_ref(), &mut rates);
    run_peers(&rates);
}

/// The solvers for many lights, on a glossy dome under 50.
fn time_robust_solvers(gpu: Option<&Gpu>, rates: &mut Vec<(String, f64)>) {
    const COUNT: usize = 50;
    let size = Size::new(256, 256);
    let (stack, lights) = dome(size, COUNT);
    let mut cpu = |name: &str, solve: &dyn Fn()| {
        let timing = Timing::of(solve);
        line(&format!("CPU {name}"), &timing, size.area(), "");
        rates.push((name.into(), size.area() as f64 / timing.median()));
    };
    let (l1, trimmed, weighted) = (L1::default(), Trimmed::default(), Weighted::default());
    let ambient = LeastSquaresAmbient::default();
    cpu("l1 50x256x256", &|| drop(l1.solve(&stack, &lights).expect("good lights")));
    cpu("trimmed 50x256x256", &|| drop(trimmed.solve(&stack, &lights).expect("good lights")));
    cpu("weighted 50x256x256", &|| drop(weighted.solve(&stack, &lights).expect("good lights")));
    cpu("ambient 50x256x256", &|| drop(ambient.solve(&stack, &lights).expect("good lights")));
    let normals = weighted.solve(&stack, &lights).expect("good lights").surface.normals;
    let colour = [stack.clone(), stack.clone(), stack.clone()];
    cpu("colour 3x50x256x256", &|| drop(albedo_per_channel(&colour, &lights, &normals)));

    let Some(gpu) = gpu else { return };
    // 50 raw bytes and seven results.
    let note = "78 B/px at least, pixels on the device";
    for (name, solver) in [
        ("l1", Reweighted::L1(l1)),
        ("trimmed", Reweighted::Trimmed(trimmed)),
        ("weighted", Reweighted::Weighted(weighted)),
    ] {
        let prepared = gpu.reweighted.prepare(gpu, solver, &stack, &lights).expect("buffers fit");
        let timing = Timing::of(|| {
            gpu.reweighted.run(gpu, &prepared).expect("the kernel runs");
            gpu.wait().expect("the device answers");
        });
        line(&format!("GPU {name} 50x256x256"), &timing, size.area(), note);
    }
}

/// A matt dome with highlights and attached shadows, 8-bit, under lights on three rings.
fn dome(size: Size, count: usize) -> (ImageStack, Lights) {
    let direction = |i: usize| {
        let azimuth = 360.0 * i as f32 / count as f32;
        light_from_zenith_azimuth([20.0, 40.0, 60.0][i % 3], azimuth)
    };
    let directions: Vec<Vec3> = (0..count).map(direction).collect();
    let mut values = Vec::with_capacity(count * size.area());
    for direction in &directions {
        let half = (direction + Vec3::z()).normalize();
        for p in 0..size.area() {
            let x = (p % size.width) as f32 / size.width as f32 * 1.4 - 0.7;
            let y = 0.7 - (p / size.width) as f32 / size.height as f32 * 1.4;
            let n = Vec3::new(x, y, (1.0 - x * x - y * y).max(0.0).sqrt());
            let shade = 0.6 * n.dot(direction).max(0.0) + 0.4 * n.dot(&half).max(0.0).powi(80);
            values.push((shade * 255.0).round() as u8);
        }
    }
    (ImageStack::new(size, count, Pixels::U8(values)), Lights::directional(directions))
}

#[derive(serde::Deserialize)]
struct PeerTiming {
    name: String,
    pixels: usize,
    seconds: Vec<f64>,
}

/// Runs NumPy and SciPy after us, and prints how many times faster we are.
fn run_peers(rates: &[(String, f64)]) {
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/stereo.py");
    let output = match std::process::Command::new(&python).arg(script).output() {
        Ok(output) if output.status.success() => output.stdout,
        _ => {
            println!("peers: left out, {python} has no numpy and scipy (set LUMIFACE_PYTHON)");
            return;
        }
    };
    for text in String::from_utf8_lossy(&output).lines() {
        let peer: PeerTiming = serde_json::from_str(text).expect("the peer prints JSON lines");
        let timing = Timing::new(peer.seconds);
        // The bare product is less work than our solve, but it is the usual figure to beat.
        let ours = peer.name.replace("pseudo-inverse alone", "solve 4x8 bit");
        let rate = peer.pixels as f64 / timing.median();
        let ratio = rates.iter().find(|(name, _)| *name == ours).map(|(_, ours)| ours / rate);
        let note = ratio.map_or(String::new(), |r| format!("we are {r:.1}x as fast"));
        line(&format!("NumPy/SciPy {}", peer.name), &timing, peer.pixels, &note);
    }
}
