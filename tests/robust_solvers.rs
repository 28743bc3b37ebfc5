//! Sparse Bayesian, low-rank and near-light solvers on analytic truth and on a published ball.

mod support;

use lumiface::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::maps::{ImageStack, Lights, Mask, NormalMap, Pixels, Plane, Size};
use lumiface::stereo::{LeastSquares, LowRank, SolverError, SparseBayesian};
use std::fs;
use std::path::Path;

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

fn numbers(path: &Path) -> Vec<[f32; 3]> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let values: Vec<f32> = line.split_whitespace().map(|v| v.parse().unwrap()).collect();
            [values[0], values[1], values[2]]
        })
        .collect()
}

struct Ball {
    images: ImageStack,
    lights: Lights,
    mask: Mask,
    truth: NormalMap,
}

/// The published ball: each channel over its light's intensity, then the mean.
fn ball() -> Option<Ball> {
    let folder = support::test_data("diligent/ballPNG")?;
    let intensities = numbers(&folder.join("light_intensities.txt"));
    let directions = numbers(&folder.join("light_directions.txt"));
    let mask = lumiface::io::read_mask(&folder.join("mask.png")).unwrap();
    let names = fs::read_to_string(folder.join("filenames.txt")).unwrap();
    let grey: Vec<f32> = names
        .lines()
        .zip(&intensities)
        .flat_map(|(name, e)| {
            let image = image::open(folder.join(name.trim())).unwrap().into_rgb16();
            image
                .pixels()
                .map(|p| (0..3).map(|c| f32::from(p[c]) / e[c]).sum::<f32>() / 3.0)
                .collect::<Vec<_>>()
        })
        .collect();
    let scale = 1.0 / grey.iter().fold(0.0f32, |m, v| m.max(*v));
    let pixels = Pixels::F32(grey.iter().map(|v| v * scale).collect());
    // The normalised values no longer clip at one level.
    let images =
        ImageStack::new(mask.size, directions.len(), pixels)
            .with_white(vec![f32::INFINITY; directions.len()]);
    let bytes = fs::read(folder.join("normal_gt.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(String::from_utf8_lossy(&bytes[10..header]).contains("'fortran_order': True"));
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes[header..]);
    let size = mask.size;
    let truth = NormalMap::from_fn(size, |r, c| {
        Vec3::from([0, 1, 2].map(|k| values[r + size.height * (c + size.width * k)]))
    });
    let lights = Lights::directional(directions.into_iter().map(Vec3::from).collect());
    Some(Ball { images, lights, mask, truth })
}

#[test]
fn sparse_bayesian_on_the_diligent_ball() {
    let Some(ball) = ball() else { return };
    let start = std::time::Instant::now();
    let solution = SparseBayesian::default().solve(&ball.images, &ball.lights, &ball.mask).unwrap();
    let error = mean_error_deg(&solution.surface.normals, &ball.truth, &ball.mask);
    println!("sparse Bayesian: {error:.3}° in {:.2} s", start.elapsed().as_secs_f32());
    assert!(error <= 2.0, "{error}°; published for 96 lights: 2.54°");
}

#[test]
fn low_rank_on_the_diligent_ball() {
    let Some(ball) = ball() else { return };
    let start = std::time::Instant::now();
    let solution = LowRank::default().solve(&ball.images, &ball.lights, &ball.mask).unwrap();
    let error = mean_error_deg(&solution.surface.normals, &ball.truth, &ball.mask);
    println!("low rank: {error:.3}° in {:.2} s", start.elapsed().as_secs_f32());
    assert!(error <= 2.5, "{error}°; published for 96 lights: 2.06°");
}
