//! Sparse Bayesian, low-rank and near-light solvers on analytic truth and on a published ball.

mod support;

use lumiface::geometry::{Camera, Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::maps::{
    DepthMap, ImageStack, Lights, Mask, NearLights, NormalMap, Pixels, Plane, Size,
};
use lumiface::stereo::{LeastSquares, LowRank, NearLight, Solution, SolverError, SparseBayesian};

/// Uniform in 0..1, a spread that no symmetry hides behind.
fn uniform(index: usize) -> f32 {
    let mut z = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
}

/// Normal of mean 0 and deviation 1 (Box and Muller).
fn gaussian(index: usize) -> f32 {
    let (a, b) = (uniform(2 * index).max(1e-7), uniform(2 * index + 1));
    (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
}

/// Rings of lights up to 60° from the camera's axis.
fn lights(count: usize) -> Lights {
    let zeniths = [25.0, 45.0, 60.0];
    Lights::directional(
        (0..count)
            .map(|i| light_from_zenith_azimuth(zeniths[i % 3], 360.0 * i as f32 / count as f32))
            .collect(),
    )
}

struct Sphere {
    mask: Mask,
    normals: NormalMap,
    albedo: Plane<f32>,
}

/// A sphere down to 75° from the camera's axis, darker to the left.
fn sphere(side: usize) -> Sphere {
    let size = Size::new(side, side);
    let radius = side as f32 / 2.0 / 75f32.to_radians().sin();
    let middle = (side as f32 - 1.0) / 2.0;
    let normal = |r: usize, c: usize| {
        let (x, y) = ((c as f32 - middle) / radius, (middle - r as f32) / radius);
        Vec3::new(x, y, (1.0 - x * x - y * y).max(0.0).sqrt())
    };
    let mask = Plane::from_fn(size, |r, c| normal(r, c).z > 75f32.to_radians().cos());
    let normals = NormalMap::from_fn(size, normal).masked(&mask);
    Sphere {
        mask,
        normals,
        albedo: Plane::from_fn(size, |_, c| 0.3 + 0.4 * c as f32 / side as f32),
    }
}

/// What a sample adds to Lambert's law.
#[derive(Clone, Copy, Default)]
struct Spoiling {
    /// Strength of a Blinn-Phong highlight of exponent 80.
    highlight: f32,
    /// Share of samples replaced by anything from dark to bright.
    outliers: f32,
    /// Deviation of normal noise.
    noise: f32,
}

impl Sphere {
    fn images(&self, lights: &Lights, spoiling: Spoiling) -> ImageStack {
        let area = self.mask.size.area();
        let mut values = Vec::with_capacity(lights.len() * area);
        for (j, light) in lights.directions.iter().enumerate() {
            let half = (light + Vec3::z()).normalize();
            for p in 0..area {
                let (n, index) = (self.normals.at(p), j * area + p);
                let shading = self.albedo.data[p] * n.dot(light).max(0.0);
                let gloss = spoiling.highlight * n.dot(&half).max(0.0).powi(80);
                let replaced = uniform(index + 77_777_777) < spoiling.outliers;
                let value = if replaced { uniform(index + 999_999) } else { shading + gloss };
                let value = value + spoiling.noise * gaussian(index);
                values.push(if self.mask.data[p] { value * lights.intensities[j] } else { 0.0 });
            }
        }
        let white = vec![f32::INFINITY; lights.len()];
        ImageStack::new(self.mask.size, lights.len(), Pixels::F32(values)).with_white(white)
    }

    /// Mean angle over the mask; an undefined normal fails.
    fn mean_error_deg(&self, normals: &NormalMap) -> f32 {
        mean_error_deg(normals, &self.normals, &self.mask)
    }
}

fn mean_error_deg(normals: &NormalMap, truth: &NormalMap, mask: &Mask) -> f32 {
    let inside = (0..mask.size.area()).filter(|&p| mask.data[p]);
    let sum: f64 = inside
        .map(|p| {
            let error = angle_between_deg(normals.at(p), truth.at(p));
            assert!(error.is_finite(), "pixel {p}: {:?}", normals.at(p));
            f64::from(error)
        })
        .sum();
    (sum / mask.count() as f64) as f32
}

fn least_squares_error(sphere: &Sphere, images: &ImageStack, lights: &Lights) -> f32 {
    sphere.mean_error_deg(&LeastSquares::new(lights).unwrap().solve(images).normals)
}

#[test]
fn sparse_bayesian_sees_through_highlights_shadows_and_outliers() {
    let (sphere, lights) = (sphere(64), lights(24));
    let spoiling = Spoiling { highlight: 0.8, outliers: 0.1, noise: 0.005 };
    let images = sphere.images(&lights, spoiling);
    let solution = SparseBayesian::default().solve(&images, &lights, &sphere.mask).unwrap();
    // Noise alone: 0.005 over an albedo of 0.5, through a noise gain of about one half, is 0.3°.
    let error = sphere.mean_error_deg(&solution.surface.normals);
    let plain = least_squares_error(&sphere, &images, &lights);
    let clean = sphere.images(&lights, Spoiling { noise: 0.005, ..Default::default() });
    let clean = SparseBayesian::default().solve(&clean, &lights, &sphere.mask).unwrap();
    let clean = sphere.mean_error_deg(&clean.surface.normals);
    println!("sparse Bayesian {error:.3}°, least squares {plain:.3}°, noise {clean:.3}");
    assert!(error < 2.0 * clean && plain > 5.0, "{error}°, {clean}°, least squares {plain}°");
    for p in (0..sphere.mask.size.area()).filter(|&p| sphere.mask.data[p]) {
        let used = solution.lights_used.data[p];
        assert!((1.0..=24.0).contains(&used), "pixel {p}: {used} lights");
        assert!(solution.noise_gain.data[p] > 0.0);
    }
}

#[test]
fn sparse_bayesian_does_not_bias_a_truly_lambertian_sphere() {
    let (sphere, mut lights) = (sphere(48), lights(12));
    lights.intensities.iter_mut().enumerate().for_each(|(j, e)| *e = 0.6 + 0.05 * j as f32);
    let images = sphere.images(&lights, Spoiling::default());
    let solution = SparseBayesian::default().solve(&images, &lights, &sphere.mask).unwrap();
    let error = sphere.mean_error_deg(&solution.surface.normals);
    println!("{error:.4}°");
    assert!(error < 0.05, "{error}°");
    for p in (0..sphere.mask.size.area()).filter(|&p| sphere.mask.data[p]) {
        let off = solution.surface.albedo.data[p] - sphere.albedo.data[p];
        assert!(off.abs() < 0.005, "pixel {p}: albedo off by {off}");
    }
}

#[test]
fn three_lights_leave_nothing_to_doubt() {
    let (sphere, lights) = (sphere(32), lights(3));
    let images = sphere.images(&lights, Spoiling { noise: 0.002, ..Default::default() });
    let plain = LeastSquares::new(&lights).unwrap().solve(&images);
    let sparse = SparseBayesian::default().solve(&images, &lights, &sphere.mask).unwrap();
    let low_rank = LowRank { shadow_share: 0.0, ..Default::default() }
        .solve(&images, &lights, &sphere.mask)
        .unwrap();
    for p in (0..sphere.mask.size.area()).filter(|&p| sphere.mask.data[p]) {
        let error = angle_between_deg(sparse.surface.normals.at(p), plain.normals.at(p));
        assert!(error < 0.02, "pixel {p}: {error}°");
        assert!(low_rank.surface.normals.at(p).norm() > 0.999, "pixel {p}");
    }
}

#[test]
fn four_lights_do_as_well_as_least_squares() {
    let (sphere, lights) = (sphere(48), lights(4));
    let clean = sphere.images(&lights, Spoiling { noise: 0.005, ..Default::default() });
    let glossy =
        sphere.images(&lights, Spoiling { noise: 0.005, highlight: 0.8, ..Default::default() });
    for (what, images) in [("noise", &clean), ("highlights", &glossy)] {
        let plain = least_squares_error(&sphere, images, &lights);
        let sparse = SparseBayesian::default().solve(images, &lights, &sphere.mask).unwrap();
        let sparse = sphere.mean_error_deg(&sparse.surface.normals);
        let low_rank = LowRank::default().solve(images, &lights, &sphere.mask).unwrap();
        let low_rank = sphere.mean_error_deg(&low_rank.surface.normals);
        println!("{what}: least squares {plain:.2}°, sparse {sparse:.2}°, low rank {low_rank:.2}°");
        assert!(sparse < 1.1 * plain, "{what}: {sparse}°, least squares {plain}°");
        assert!(low_rank < 1.1 * plain, "{what}: {low_rank}°, least squares {plain}°");
    }
}

/// Replaces light 1's sample by NaN in every third pixel, and darkens pixel 5 of `row`.
fn with_holes(images: &ImageStack, dark: usize) -> ImageStack {
    let area = images.size.area();
    let Pixels::F32(values) = &images.pixels else { unreachable!() };
    let mut values = values.clone();
    (0..area).step_by(3).for_each(|p| values[area + p] = f32::NAN);
    (0..images.count).for_each(|j| values[j * area + dark] = 0.0);
    ImageStack::new(images.size, images.count, Pixels::F32(values)).with_white(images.white.clone())
}

#[test]
fn nan_samples_are_skipped_and_a_dark_pixel_has_no_normal() {
    let (sphere, lights) = (sphere(32), lights(9));
    let size = sphere.mask.size;
    let dark = 16 * size.width + 16;
    let images = with_holes(&sphere.images(&lights, Spoiling::default()), dark);
    let sparse = SparseBayesian::default().solve(&images, &lights, &sphere.mask).unwrap();
    let low_rank = LowRank::default().solve(&images, &lights, &sphere.mask).unwrap();
    for (what, solution, tolerance) in [("sparse", sparse, 0.2), ("low rank", low_rank, 0.5)] {
        for p in 0..size.area() {
            let n = solution.surface.normals.at(p);
            if p == dark || !sphere.mask.data[p] {
                assert!(n.iter().all(|v| v.is_nan()), "{what}, pixel {p}: {n:?}");
                assert_eq!(solution.lights_used.data[p], 0.0, "{what}, pixel {p}");
            }
        }
        let mut seen = sphere.mask.clone();
        seen.data[dark] = false;
        let error = mean_error_deg(&solution.surface.normals, &sphere.normals, &seen);
        println!("{what}: {error:.4}°");
        assert!(error < tolerance, "{what}: {error}°");
    }
}

#[test]
fn degenerate_lights_are_refused() {
    let (sphere, two) = (sphere(8), lights(2));
    let flat = Lights::directional(
        [-40.0, 0.0, 40.0].map(|z| light_from_zenith_azimuth(z, 90.0)).to_vec(),
    );
    for (lights, want) in
        [(two, SolverError::TooFewLights { needed: 3, got: 2 }), (flat, SolverError::LightsInPlane)]
    {
        let images = sphere.images(&lights, Spoiling::default());
        let sparse = SparseBayesian::default().solve(&images, &lights, &sphere.mask);
        assert_eq!(sparse.unwrap_err(), want);
        let low_rank = LowRank::default().solve(&images, &lights, &sphere.mask);
        assert_eq!(low_rank.unwrap_err(), want);
    }
}

#[test]
fn low_rank_recovers_a_rank_three_matrix_from_gross_outliers() {
    // Every light sees every pixel: pure rank 3, then 10 and 20 % of the entries replaced.
    let mut sphere = sphere(64);
    sphere.normals.data.chunks_exact_mut(64 * 64).take(2).flatten().for_each(|v| *v *= 0.3);
    let size = sphere.mask.size;
    let flat = NormalMap::from_fn(size, |r, c| sphere.normals.at(r * size.width + c).normalize());
    sphere.normals = flat;
    let lights = lights(20);
    for share in [0.1, 0.2] {
        let images = sphere.images(&lights, Spoiling { outliers: share, ..Default::default() });
        let solver = LowRank { shadow_share: 0.0, ..Default::default() };
        let solution = solver.solve(&images, &lights, &sphere.mask).unwrap();
        let plain = least_squares_error(&sphere, &images, &lights);
        let exact = (0..size.area()).filter(|&p| {
            sphere.mask.data[p]
                && angle_between_deg(solution.surface.normals.at(p), sphere.normals.at(p)) < 0.05
        });
        let exact = exact.count() as f32 / sphere.mask.count() as f32;
        println!("{share}: {:.2} % recovered, least squares errs {plain:.2}°", 100.0 * exact);
        // One pixel in 2,500 has ten or more of its 20 entries replaced at 20 %, and an entry
        // replaced by nearly the same is not an outlier.
        assert!(exact > 0.95 && plain > 3.0, "{share}: {exact} recovered, least squares {plain}°");
        // A replaced entry is one of 20: the inliers are the rest, but for lucky draws.
        let used = solution.lights_used.data.iter().sum::<f32>() / sphere.mask.count() as f32;
        assert!((used - 20.0 * (1.0 - share)).abs() < 0.4, "{share}: {used} lights");
    }
}

#[test]
fn low_rank_completes_attached_shadows() {
    let (sphere, lights) = (sphere(64), lights(24));
    let spoiling = Spoiling { highlight: 0.8, outliers: 0.05, noise: 0.0 };
    let images = sphere.images(&lights, spoiling);
    let solution = LowRank::default().solve(&images, &lights, &sphere.mask).unwrap();
    let error = sphere.mean_error_deg(&solution.surface.normals);
    let plain = least_squares_error(&sphere, &images, &lights);
    println!("low rank {error:.3}°, least squares {plain:.3}°");
    assert!(error < 1.0 && plain > 4.0, "{error}°, least squares {plain}°");
}

#[test]
fn sparse_bayesian_on_the_diligent_ball() {
    let Some(ball) = support::captures::diligent_ball() else { return };
    let start = std::time::Instant::now();
    let solution = SparseBayesian::default().solve(&ball.images, &ball.lights, &ball.mask).unwrap();
    let error = mean_error_deg(&solution.surface.normals, &ball.truth, &ball.mask);
    println!("sparse Bayesian: {error:.3}° in {:.2} s", start.elapsed().as_secs_f32());
    assert!(error <= 2.0, "{error}°; published for 96 lights: 2.54°");
}

type Maps = (NormalMap, Plane<f32>);

/// Median of `|I − max(0, l·g)| / I` over the lit pixels of the lights that 16 evenly spread ones
/// leave over.
fn prediction_error(
    person: &support::captures::Person,
    solve: impl Fn(&ImageStack, &Lights) -> Maps,
) -> f32 {
    /// Lit: above black and noise.
    const LIT: u8 = 10;
    let count = person.images.len();
    let fitted: Vec<usize> = (0..16).map(|run| (2 * run + 1) * count / 32).collect();
    let (images, lights) = person.select(&fitted);
    let (normals, albedo) = solve(&images, &lights);
    let mut errors = Vec::new();
    for other in (0..count).filter(|i| !fitted.contains(i)) {
        let light = person.directions[other];
        for (p, &value) in person.images[other].iter().enumerate().filter(|(_, v)| **v > LIT) {
            let shade = normals.at(p).dot(&light) * albedo.data[p] * 255.0;
            // No normal predicts no light.
            let predicted = if shade > 0.0 { shade } else { 0.0 };
            errors.push((f32::from(value) - predicted).abs() / f32::from(value));
        }
    }
    let middle = errors.len() / 2;
    *errors.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[test]
fn faces_under_unseen_lights_are_predicted_better_than_by_least_squares() {
    let Some((_folder, root)) = support::captures::yaleb() else { return };
    let mut sums = [0.0; 3];
    for person in support::captures::yaleb_people(&root).iter().step_by(3) {
        let everywhere = Plane::filled(person.size, true);
        let maps = |solution: Solution| (solution.surface.normals, solution.surface.albedo);
        sums[0] += prediction_error(person, |images, lights| {
            let plain = LeastSquares::new(lights).unwrap().solve(images);
            (plain.normals, plain.albedo)
        });
        sums[1] += prediction_error(person, |images, lights| {
            maps(SparseBayesian::default().solve(images, lights, &everywhere).unwrap())
        });
        sums[2] += prediction_error(person, |images, lights| {
            maps(LowRank::default().solve(images, lights, &everywhere).unwrap())
        });
    }
    let [plain, sparse, low_rank] = sums.map(|sum| sum / 5.0);
    println!("least squares {plain:.4}, sparse Bayesian {sparse:.4}, low rank {low_rank:.4}");
    assert!(sparse < plain, "sparse Bayesian {sparse}, least squares {plain}");
    assert!(low_rank < plain, "low rank {low_rank}, least squares {plain}");
}

#[test]
fn low_rank_on_the_diligent_ball() {
    let Some(ball) = support::captures::diligent_ball() else { return };
    let start = std::time::Instant::now();
    let solution = LowRank::default().solve(&ball.images, &ball.lights, &ball.mask).unwrap();
    let error = mean_error_deg(&solution.surface.normals, &ball.truth, &ball.mask);
    println!("low rank: {error:.3}° in {:.2} s", start.elapsed().as_secs_f32());
    assert!(error <= 2.5, "{error}°; published for 96 lights: 2.06°");
}

/// A sphere before a camera, and lamps around it: exact images by the near-light equation.
struct NearScene {
    lamps: NearLights,
    mask: Mask,
    normals: NormalMap,
    depth_mm: DepthMap,
    images: ImageStack,
}

const ALBEDO: f32 = 0.5;

/// A sphere of 60 mm at 500 mm, seen up to 70° from its line of sight; lamps 150 to 250 mm beside
/// the camera, so that their directions change by more than 10° over it.
fn near_scene(side: usize, lamp_count: usize) -> NearScene {
    let size = Size::new(side, side);
    let focal = 3.6 * side as f64;
    let middle = (side as f64 - 1.0) / 2.0;
    let camera = Camera { focal_px: [focal, focal], centre_px: [middle + 2.0, middle - 1.0] };
    let ring = (0..lamp_count).map(|i| {
        let angle = std::f32::consts::TAU * i as f32 / lamp_count as f32;
        let radius = 150.0 + 50.0 * (i % 3) as f32;
        Vec3::new(radius * angle.cos(), radius * angle.sin(), -20.0 * (i % 2) as f32)
    });
    let mut lamps = NearLights {
        positions_mm: ring.collect(),
        intensities: (0..lamp_count).map(|i| 0.8 + 0.05 * i as f32).collect(),
        camera,
        subject_distance_mm: 0.0,
    };
    let centre = nalgebra::Vector3::new(0.0, 0.0, -560.0);
    // The nearer crossing of the ray t·(x, y, −1) with the sphere; t is the depth.
    let hit = |r: usize, c: usize| {
        let ray = camera.ray(r as f64, c as f64);
        let (a, b, d) = (ray.norm_squared(), ray.dot(&centre), centre.norm_squared() - 3600.0);
        let root = b * b - a * d;
        let t = (b - root.max(0.0).sqrt()) / a;
        let normal = (ray * t - centre) / 60.0;
        let facing = -normal.dot(&ray.normalize());
        (root > 0.0 && facing > 70f64.to_radians().cos()).then_some((t, normal))
    };
    let mask: Mask = Plane::from_fn(size, |r, c| hit(r, c).is_some());
    let depth_mm = Plane::from_fn(size, |r, c| hit(r, c).map_or(f32::NAN, |(t, _)| t as f32));
    let normals = NormalMap::from_fn(size, |r, c| {
        hit(r, c).map_or(Vec3::repeat(f32::NAN), |(_, n)| n.cast())
    });
    lamps.subject_distance_mm = median(&depth_mm);
    let middle_point = lamps.subject_centre_mm(size).cast::<f64>();
    let mut values = Vec::new();
    for (s, e) in lamps.positions_mm.iter().zip(&lamps.intensities) {
        let s = s.cast::<f64>();
        let d = (s - middle_point).norm();
        for r in 0..side {
            for c in 0..side {
                let value = hit(r, c).map_or(0.0, |(t, n)| {
                    let to_lamp = s - camera.ray(r as f64, c as f64) * t;
                    let distance = to_lamp.norm();
                    let shading = n.dot(&to_lamp) / distance;
                    f64::from(*e) * (d / distance).powi(2) * shading.max(0.0) * f64::from(ALBEDO)
                });
                values.push(value as f32);
            }
        }
    }
    let images = ImageStack::new(size, lamp_count, Pixels::F32(values))
        .with_white(vec![f32::INFINITY; lamp_count]);
    NearScene { lamps, mask, normals, depth_mm, images }
}

fn median(depth: &DepthMap) -> f32 {
    let mut values: Vec<f32> = depth.data.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

/// Perspective integration by conjugate gradients on the differences of ln z between neighbours:
/// `n · ∂(z ray) = 0` gives `∂ ln z = −(n · ∂ray)/(n · ray)`.
fn integrate_in_perspective(normals: &NormalMap, mask: &Mask, camera: &Camera) -> DepthMap {
    let Size { height, width } = mask.size;
    let slope = |p: usize, along_row: bool| {
        let n = normals.at(p).cast::<f64>();
        let facing = n.dot(&camera.ray((p / width) as f64, (p % width) as f64));
        if along_row {
            -(n.x / camera.focal_px[0]) / facing
        } else {
            n.y / camera.focal_px[1] / facing
        }
    };
    let known = |p: usize| mask.data[p] && normals.at(p).x.is_finite();
    let mut edges = Vec::new();
    for r in 0..height {
        for c in 0..width {
            let p = r * width + c;
            for (next, along_row) in [(p + 1, true), (p + width, false)] {
                let inside = if along_row { c + 1 < width } else { r + 1 < height };
                if inside && known(p) && known(next) {
                    let step = 0.5 * (slope(p, along_row) + slope(next, along_row));
                    edges.push((p, next, step));
                }
            }
        }
    }
    let area = height * width;
    let laplacian = |u: &[f64]| {
        let mut out = vec![0.0; area];
        for &(a, b, _) in &edges {
            let d = u[b] - u[a];
            out[b] += d;
            out[a] -= d;
        }
        out
    };
    let mut residual = vec![0.0; area];
    for &(a, b, step) in &edges {
        residual[b] += step;
        residual[a] -= step;
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut u, mut direction) = (vec![0.0; area], residual.clone());
    let mut squared = dot(&residual, &residual);
    let first = squared;
    for _ in 0..4 * (height + width) {
        let image = laplacian(&direction);
        let step = squared / dot(&direction, &image);
        u.iter_mut().zip(&direction).for_each(|(u, d)| *u += step * d);
        residual.iter_mut().zip(&image).for_each(|(r, i)| *r -= step * i);
        let next = dot(&residual, &residual);
        if next <= 1e-20 * first {
            break;
        }
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + next / squared * *d);
        squared = next;
    }
    let z = (0..area).map(|p| if known(p) { u[p].exp() as f32 } else { f32::NAN });
    Plane::new(mask.size, z.collect())
}

#[test]
fn near_light_is_exact_at_the_true_depth() {
    let scene = near_scene(48, 7);
    let solver = NearLight::default();
    let NearScene { images, lamps, mask, depth_mm, .. } = &scene;
    let near = solver.solve_at(images, lamps, mask, depth_mm).unwrap();
    let error = mean_error_deg(&near.surface.normals, &scene.normals, mask);
    let distant = lamps.at_centre(images.size);
    let plain = LeastSquares::new(&distant).unwrap().solve(images);
    let plain = mean_error_deg(&plain.normals, &scene.normals, mask);
    println!("near {error:.5}°, as distant lights {plain:.3}°");
    assert!(error < 0.01 && plain > 3.0, "{error}°, as distant lights {plain}°");
    for p in (0..mask.size.area()).filter(|&p| mask.data[p]) {
        let off = near.surface.albedo.data[p] - ALBEDO;
        assert!(off.abs() < 1e-3, "pixel {p}: albedo off by {off}");
        assert!(near.noise_gain.data[p] > 0.0);
    }
}

#[test]
fn near_light_finds_the_sphere_from_a_flat_start() {
    let scene = near_scene(64, 8);
    let NearScene { images, lamps, mask, .. } = &scene;
    let integrate = |n: &NormalMap, m: &Mask| integrate_in_perspective(n, m, &lamps.camera);
    let found = NearLight::default().solve(images, lamps, mask, integrate).unwrap();
    let error = mean_error_deg(&found.solution.surface.normals, &scene.normals, mask);
    let worst = (found.depth_mm.data.iter().zip(&scene.depth_mm.data))
        .map(|(a, b)| (a - b).abs())
        .filter(|d| d.is_finite())
        .fold(0.0, f32::max);
    let (rounds, change) = (found.iterations, found.last_change);
    println!("{error:.4}°, depth within {worst:.3} mm, {rounds} rounds, last change {change:e}");
    assert!(error < 0.1, "{error}°");
    assert!(worst < 0.5, "{worst} mm");
    assert!(change <= 1e-5 && rounds < 30, "{rounds} rounds, last change {change}");
}

#[test]
fn near_light_skips_nan_and_refuses_degenerate_lamps() {
    let scene = near_scene(24, 6);
    let NearScene { images, lamps, mask, depth_mm, .. } = &scene;
    let dark = 12 * 24 + 12;
    let holes = with_holes(images, dark);
    let solution = NearLight::default().solve_at(&holes, lamps, mask, depth_mm).unwrap();
    let mut seen = mask.clone();
    seen.data[dark] = false;
    let error = mean_error_deg(&solution.surface.normals, &scene.normals, &seen);
    assert!(error < 0.05, "{error}°");
    assert!(solution.surface.normals.at(dark).x.is_nan());
    assert_eq!((solution.surface.albedo.data[dark], solution.lights_used.data[dark]), (0.0, 0.0));

    let mut flat = lamps.clone();
    flat.positions_mm.iter_mut().enumerate().for_each(|(i, s)| *s = Vec3::new(0.0, i as f32, 0.0));
    flat.camera.centre_px = [11.5, 11.5];
    let refused = NearLight::default().solve_at(images, &flat, mask, depth_mm);
    assert_eq!(refused.unwrap_err(), SolverError::LightsInPlane);
}

fn assert_twins(what: &str, gpu: &Plane<f32>, cpu: &Plane<f32>, tolerance: f32) {
    for (p, (g, c)) in gpu.data.iter().zip(&cpu.data).enumerate() {
        let equal = (g - c).abs() <= tolerance * c.abs().max(1.0) || (g.is_nan() && c.is_nan());
        assert!(equal, "{what} at {p}: GPU {g}, CPU {c}, tolerance {tolerance}");
    }
}

#[test]
fn near_light_kernel_and_its_twin_agree() {
    let Some(gpu) = support::any_gpu() else { return };
    for (side, count) in [(7, 3), (30, 4), (45, 11)] {
        let scene = near_scene(side, count);
        let NearScene { images, lamps, mask, depth_mm, .. } = &scene;
        let Pixels::F32(values) = &images.pixels else { unreachable!() };
        let scaled = |full: f32| values.iter().map(move |v| (v.min(1.0) * full).round());
        let dark = side * side / 2;
        let float = with_holes(images, dark);
        let eight = Pixels::U8(scaled(255.0).map(|v| v as u8).collect());
        let sixteen = Pixels::U16(scaled(65_535.0).map(|v| v as u16).collect());
        let stacks = [
            float,
            ImageStack::new(images.size, count, eight),
            ImageStack::new(images.size, count, sixteen),
        ];
        for (images, rounds) in stacks.iter().zip([2, 2, 0]) {
            let solver = NearLight { shadow_rounds: rounds, ..Default::default() };
            let cpu = solver.solve_at(images, lamps, mask, depth_mm).unwrap();
            let kernel = &gpu.near_light;
            let stack = kernel.prepare(&gpu, &solver, images, lamps, mask, depth_mm).unwrap();
            kernel.run(&gpu, &stack).unwrap();
            let on_gpu = stack.download(&gpu).unwrap();
            let mut solved = 0;
            for p in 0..images.size.area() {
                let (g, c) = (on_gpu.surface.normals.at(p), cpu.surface.normals.at(p));
                let undefined = g.iter().chain(c.iter()).all(|v| v.is_nan());
                let angle = angle_between_deg(g, c);
                assert!(undefined || angle <= 0.01, "pixel {p}: GPU {g:?}, CPU {c:?}, {angle}°");
                solved += usize::from(!undefined);
            }
            assert!(solved * 10 > mask.count() * 6, "{solved} of {} solved", mask.count());
            assert_twins("albedo", &on_gpu.surface.albedo, &cpu.surface.albedo, 1e-4);
            assert_twins("residual", &on_gpu.surface.residual, &cpu.surface.residual, 1e-4);
            assert_twins("lights used", &on_gpu.lights_used, &cpu.lights_used, 1e-3);
            assert_twins("noise gain", &on_gpu.noise_gain, &cpu.noise_gain, 1e-3);
        }
    }
}
