//! Masked integration on the CPU: beside plain conjugate gradients to the same residual, and
//! beside SciPy in the same session.
//!
//!     cargo bench --bench integration
//!
//! `LUMIFACE_PYTHON` names a Python that has numpy and scipy; without one the peers are left out.
//! With `LUMIFACE_DATA` set, bilateral integration of the DiLiGenT objects is timed too.
//!
//! Sizes: 512², where solvers are usually compared, in the outline of a face; and a whole
//! Photoface capture. The normals are a smooth surface with noise on top, so that neither solver
//! starts near its end. Figures are the median of repetitions after a warm-up, and half the
//! distance between the quartiles.

use lumiface::geometry::{Camera, Vec3};
use lumiface::integrate::{BilateralOptions, bilateral, poisson};
use lumiface::maps::{DepthMap, Mask, NormalMap, Plane, Size};
use std::path::Path;
use std::time::Instant;

#[path = "../src/integrate/wide.rs"]
mod wide;

const REPETITIONS: usize = 9;

fn median_and_spread(mut work: impl FnMut(), repetitions: usize) -> (f64, f64) {
    work();
    let mut seconds: Vec<f64> = (0..repetitions)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let quantile = |share: f64| seconds[((repetitions - 1) as f64 * share).round() as usize];
    (quantile(0.5), 0.5 * (quantile(0.75) - quantile(0.25)))
}

fn line(name: &str, (median, spread): (f64, f64), note: &str) {
    println!("{name:<44} {:>9.1} ms ± {:>5.1}  {note}", 1e3 * median, 1e3 * spread);
}

/// An ellipse with two holes for the eyes' highlights and a ragged hair line.
fn face_outline(size: Size) -> Mask {
    Plane::from_fn(size, |r, c| {
        let x = (c as f32 + 0.5) / size.width as f32 * 2.0 - 1.0;
        let y = (r as f32 + 0.5) / size.height as f32 * 2.0 - 1.0;
        let inside = (x / 0.75).hypot(y / 0.97) < 1.0;
        let eye = |at: f32| (x - at).hypot(y + 0.2) < 0.03;
        let hair = y < -0.7 && (c / 3).is_multiple_of(4);
        inside && !eye(0.3) && !eye(-0.3) && !hair
    })
}

fn noisy_normals(size: Size, mask: &Mask) -> NormalMap {
    let noise = |i: usize| {
        let z = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (((z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32) / (1 << 24) as f32
    };
    NormalMap::from_fn(size, |r, c| {
        let i = r * size.width + c;
        let x = 0.8 * (c as f32 * 0.013).sin() + 0.3 * (noise(2 * i) - 0.5);
        let y = 0.8 * (r as f32 * 0.017).cos() + 0.3 * (noise(2 * i + 1) - 0.5);
        Vec3::new(x, y, 1.0).normalize()
    })
    .masked(mask)
}

/// The least squares that `poisson` solves in parallel view, written down once more, and solved
/// by conjugate gradients without a preconditioner.
mod plain {
    use super::wide::widest;
    use super::{DepthMap, Mask, NormalMap};

    pub struct Problem {
        stride: usize,
        span: std::ops::Range<usize>,
        /// Weights right and down, with a guard column and guard rows.
        weights: [Vec<f32>; 2],
        right_hand_side: Vec<f32>,
    }

    impl Problem {
        pub fn new(normals: &NormalMap, mask: &Mask) -> Self {
            let (height, width) = (mask.size.height, mask.size.width);
            let stride = width + 1;
            let zeros = || vec![0.0f32; (height + 2) * stride];
            let (mut weights, mut b) = ([zeros(), zeros()], zeros());
            for r in 0..height {
                for c in 0..width {
                    for (axis, (dr, dc)) in [(0, 1), (1, 0)].into_iter().enumerate() {
                        let (r2, c2) = (r + dr, c + dc);
                        let inside = r2 < height && c2 < width;
                        if !(inside && *mask.at(r, c) && *mask.at(r2, c2)) {
                            continue;
                        }
                        let m =
                            (normals.at(r * width + c) + normals.at(r2 * width + c2)).normalize();
                        let tilt = if axis == 0 { m.x } else { -m.y };
                        let weight = m.z.powi(4) / (tilt * tilt + m.z * m.z);
                        let (p, q) = ((r + 1) * stride + c, (r2 + 1) * stride + c2);
                        weights[axis][p] = weight;
                        b[p] -= weight * -tilt / m.z;
                        b[q] += weight * -tilt / m.z;
                    }
                }
            }
            Self { stride, span: stride..(height + 1) * stride, weights, right_hand_side: b }
        }

        /// |b − A z| / |b| in double precision.
        pub fn relative_residual(&self, depth: &DepthMap) -> f64 {
            let width = self.stride - 1;
            let mut z = vec![0.0f64; self.right_hand_side.len()];
            for (i, &value) in depth.data.iter().enumerate().filter(|(_, z)| z.is_finite()) {
                z[(i / width + 1) * self.stride + i % width] = f64::from(value);
            }
            let mut residual: Vec<f64> =
                self.right_hand_side.iter().map(|&b| f64::from(b)).collect();
            for (weights, step) in self.weights.iter().zip([1, self.stride]) {
                for p in self.span.clone() {
                    let flux = f64::from(weights[p]) * (z[p] - z[p + step]);
                    residual[p] -= flux;
                    residual[p + step] += flux;
                }
            }
            let square: f64 = residual.iter().map(|r| r * r).sum();
            let norm: f64 = self.right_hand_side.iter().map(|&b| f64::from(b).powi(2)).sum();
            (square / norm).sqrt()
        }

        /// Iterations until the residual of the recurrence is at most `tolerance` |b|.
        pub fn conjugate_gradients(&self, tolerance: f64) -> usize {
            let span = self.span.clone();
            let mut r = self.right_hand_side.clone();
            let (mut z, mut p, mut q) = (vec![0.0; r.len()], r.clone(), vec![0.0; r.len()]);
            let mut square = dot(&r[span.clone()], &r[span.clone()]);
            let enough = tolerance * tolerance * square;
            let mut iterations = 0;
            while square > enough && iterations < 100_000 {
                let [right, down] = &self.weights;
                apply(&mut q[span.clone()], span.start, self.stride, &p, right, down);
                let length = square / dot(&p[span.clone()], &q[span.clone()]);
                add_scaled(&mut z, length as f32, &p);
                add_scaled(&mut r, -length as f32, &q);
                let next = dot(&r[span.clone()], &r[span.clone()]);
                scale_and_add(&mut p, (next / square) as f32, &r);
                square = next;
                iterations += 1;
            }
            std::hint::black_box(z);
            iterations
        }
    }

    widest! {
        fn apply(out: &mut [f32], first: usize, stride: usize, u: &[f32], right: &[f32], down: &[f32]) {
            let n = out.len();
            let (u0, e, w) = (&u[first..][..n], &u[first + 1..][..n], &u[first - 1..][..n]);
            let (s, t) = (&u[first + stride..][..n], &u[first - stride..][..n]);
            let (we, ww) = (&right[first..][..n], &right[first - 1..][..n]);
            let (ws, wt) = (&down[first..][..n], &down[first - stride..][..n]);
            for i in 0..n {
                out[i] = we[i] * (u0[i] - e[i]) + ww[i] * (u0[i] - w[i])
                    + ws[i] * (u0[i] - s[i]) + wt[i] * (u0[i] - t[i]);
            }
        }
    }
    widest! {
        fn dot(a: &[f32], b: &[f32]) -> f64 {
            let mut total = 0.0;
            for (a, b) in a.chunks(1024).zip(b.chunks(1024)) {
                let mut lanes = [0.0f32; 64];
                for (a, b) in a.chunks(64).zip(b.chunks(64)) {
                    for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                        *lane += a * b;
                    }
                }
                total += f64::from(lanes.iter().sum::<f32>());
            }
            total
        }
    }
    widest! {
        fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
            for (y, x) in y.iter_mut().zip(x) {
                *y += scale * x;
            }
        }
    }
    widest! {
        fn scale_and_add(y: &mut [f32], scale: f32, x: &[f32]) {
            for (y, x) in y.iter_mut().zip(x) {
                *y = scale * *y + x;
            }
        }
    }
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("CPU: {} threads", rayon::current_num_threads());
    let size = Size::new(512, 512);
    let mask = face_outline(size);
    let normals = noisy_normals(size, &mask);
    let problem = plain::Problem::new(&normals, &mask);
    let reached = problem.relative_residual(&poisson(&normals, &mask, None));
    let ours = median_and_spread(|| drop(poisson(&normals, &mask, None)), REPETITIONS);
    line("poisson 512x512, face outline", ours, &format!("to a residual of {reached:.1e}"));
    // One thread runs plain conjugate gradients, so time ours on one as well.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one");
    let single =
        one.install(|| median_and_spread(|| drop(poisson(&normals, &mask, None)), REPETITIONS));
    line("poisson 512x512, face outline, one thread", single, "");
    let mut iterations = 0;
    let tolerance = reached.max(1e-6);
    let theirs = median_and_spread(|| iterations = problem.conjugate_gradients(tolerance), 3);
    let note = format!(
        "{iterations} iterations, the solve alone; {:.1} x ours on one thread",
        theirs.0 / single.0
    );
    line("plain conjugate gradients, one thread", theirs, &note);

    let size = Size::new(756, 564);
    let mask = Plane::filled(size, true);
    let normals = noisy_normals(size, &mask);
    let camera = Camera { focal_px: [3000.0; 2], centre_px: [281.5, 377.5] };
    for (view, camera) in [("parallel", None), ("perspective", Some(&camera))] {
        let timing = median_and_spread(|| drop(poisson(&normals, &mask, camera)), REPETITIONS);
        line(&format!("poisson 564x756, whole, {view}"), timing, "");
    }
    match std::env::var_os("LUMIFACE_DATA") {
        Some(data) => time_diligent(Path::new(&data)),
        None => println!("DiLiGenT: left out, LUMIFACE_DATA is not set"),
    }
    run_peers();
}

fn time_diligent(data: &Path) {
    for object in ["bear", "cat", "pot1", "reading"] {
        let folder = data.join("diligent_normals").join(object);
        let Ok(image) = image::open(folder.join("normal_map.png")) else {
            println!("DiLiGenT {object}: left out, not found");
            continue;
        };
        let image = image.into_rgb16();
        let size = Size::new(image.height() as usize, image.width() as usize);
        let normals = NormalMap::from_fn(size, |r, c| {
            let pixel = image.get_pixel(c as u32, r as u32).0;
            Vec3::from(pixel.map(|v| f32::from(v) / 65535.0 * 2.0 - 1.0))
        });
        let mask = image::open(folder.join("mask.png")).expect("a mask").into_luma8();
        let mask: Mask = Plane::new(size, mask.pixels().map(|p| p.0[0] > 0).collect());
        let k = std::fs::read_to_string(folder.join("K.txt")).expect("a camera");
        let k: Vec<f64> = k.split_whitespace().map(|v| v.parse().expect("a number")).collect();
        let camera = Camera { focal_px: [k[0], k[4]], centre_px: [k[2], k[5]] };
        let options = BilateralOptions::default();
        let work = || drop(bilateral(&normals, &mask, Some(&camera), &options));
        let timing = median_and_spread(work, REPETITIONS);
        line(&format!("bilateral {object}"), timing, &format!("{} pixels", mask.count()));
    }
}

/// Prints what SciPy takes for the same least squares over the same outline.
fn run_peers() {
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/integration.py");
    match std::process::Command::new(&python).arg(script).output() {
        Ok(output) if output.status.success() => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
        }
        _ => println!("peers: left out, {python} has no numpy and scipy (set LUMIFACE_PYTHON)"),
    }
}
