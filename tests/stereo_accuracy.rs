//! The solvers against truth: an analytic sphere, a measured ball, and faces under lights that
//! they were not shown.

mod support;

use lumiface::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::maps::{ImageStack, Lights, Mask, NormalMap, Pixels, Plane, Size};
use lumiface::stereo::{
    FourLight, L1, LeastSquares, LeastSquaresAmbient, Solution, SolverError, Trimmed, Weighted,
    albedo_per_channel, confidence,
};

type Solve = fn(&ImageStack, &Lights) -> Solution;

fn least_squares(images: &ImageStack, lights: &Lights) -> Solution {
    LeastSquares::new(lights).unwrap().solution(images)
}

fn robust() -> [(&'static str, Solve); 3] {
    [
        ("trimmed", |i, l| Trimmed::default().solve(i, l).unwrap()),
        ("weighted", |i, l| Weighted::default().solve(i, l).unwrap()),
        ("l1", |i, l| L1::default().solve(i, l).unwrap()),
    ]
}

fn mean_error(normals: &NormalMap, truth: &NormalMap, mask: &Mask) -> f32 {
    let errors: Vec<f32> = (0..mask.size.area())
        .filter(|&p| mask.data[p])
        .map(|p| angle_between_deg(normals.at(p), truth.at(p)))
        .collect();
    errors.iter().sum::<f32>() / errors.len() as f32
}

#[test]
fn errors_on_the_diligent_ball() {
    let Some(ball) = support::captures::diligent_ball() else { return };
    let error = |solution: Solution| mean_error(&solution.surface.normals, &ball.truth, &ball.mask);
    let plain = error(least_squares(&ball.images, &ball.lights));
    println!("least-squares {plain:.3}°");
    assert!((plain - 4.10).abs() <= 0.02, "least squares: {plain}°, published 4.10°");
    let limits = [("trimmed", 2.3), ("weighted", 2.0), ("l1", 2.55)];
    for ((name, solve), (_, limit)) in robust().into_iter().zip(limits) {
        let mean = error(solve(&ball.images, &ball.lights));
        println!("{name} {mean:.3}°");
        assert!(mean <= limit, "{name}: {mean}°, at most {limit}°");
    }
}

/// One light of each of 16 runs of neighbours: the middle one, or for a seed above 0 any.
fn sixteen(count: usize, seed: usize) -> Vec<usize> {
    (0..16)
        .map(|run| {
            let (from, to) = (run * count / 16, (run + 1) * count / 16);
            let any = (seed * 16 + run + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            if seed == 0 { (from + to) / 2 } else { from + any % (to - from) }
        })
        .collect()
}

/// Median of `|I − max(0, l·g)| / I` over the lit pixels of the lights not solved with.
fn prediction_error(person: &support::captures::Person, solve: Solve, seed: usize) -> f64 {
    /// Lit: above black and noise.
    const LIT: u8 = 10;
    let shown = sixteen(person.images.len(), seed);
    let (images, lights) = person.select(&shown);
    let surface = solve(&images, &lights).surface;
    let mut errors = Vec::new();
    for other in (0..person.images.len()).filter(|i| !shown.contains(i)) {
        let light = person.directions[other];
        for (p, &value) in person.images[other].iter().enumerate().filter(|(_, v)| **v > LIT) {
            let shade = surface.normals.at(p).dot(&light) * surface.albedo.data[p] * 255.0;
            // No normal predicts no light.
            let predicted = if shade > 0.0 { shade } else { 0.0 };
            errors.push((f32::from(value) - predicted).abs() / f32::from(value));
        }
    }
    let middle = errors.len() / 2;
    f64::from(*errors.select_nth_unstable_by(middle, f32::total_cmp).1)
}

#[test]
fn faces_under_unseen_lights_are_predicted_better_by_robust_solvers() {
    let Some((_folder, root)) = support::captures::yaleb() else { return };
    let people = support::captures::yaleb_people(&root);
    assert_eq!(people.len(), 15);
    for seed in 0..3 {
        let mean = |solve: Solve| {
            people.iter().map(|p| prediction_error(p, solve, seed)).sum::<f64>() / 15.0
        };
        let plain = mean(least_squares);
        println!("seed {seed}: least-squares {plain:.4}");
        let mut best = f64::INFINITY;
        for (name, solve) in robust() {
            let error = mean(solve);
            println!("seed {seed}: {name} {error:.4}, {:.1} % less", 100.0 - 100.0 * error / plain);
            best = best.min(error);
        }
        assert!(best <= 0.85 * plain, "seed {seed}: best {best}, least squares {plain}");
    }
}

/// A sphere that fills a square image, and where it is.
fn sphere(side: usize) -> (NormalMap, Mask) {
    let size = Size::new(side, side);
    let at = |r: usize, c: usize| {
        let half = side as f32 / 2.0;
        ((c as f32 + 0.5) / half - 1.0, 1.0 - (r as f32 + 0.5) / half)
    };
    let normals = NormalMap::from_fn(size, |r, c| {
        let (x, y) = at(r, c);
        Vec3::new(x, y, (1.0 - x * x - y * y).max(0.0).sqrt())
    });
    let mask = Plane::from_fn(size, |r, c| {
        let (x, y) = at(r, c);
        x * x + y * y < 0.9
    });
    (normals.masked(&mask), mask)
}

fn ring(count: usize, zeniths_deg: &[f32]) -> Lights {
    let direction = |i: usize| {
        let azimuth = 360.0 * i as f32 / count as f32;
        light_from_zenith_azimuth(zeniths_deg[i % zeniths_deg.len()], azimuth)
    };
    Lights::directional((0..count).map(direction).collect())
}

/// Matt albedo of the sphere's pixels.
const ALBEDO: f32 = 0.5;

/// A matt sample below this is in or near shadow: more than twice the share of the brightest that
/// any solver takes for shadow.
const LIT: f32 = 0.05 * ALBEDO;

/// Images of matt normals as floats, plus `extra(light, pixel)`, and how many samples of each
/// pixel are lit and obey `I = ρ l·n`.
fn shaded(
    normals: &NormalMap,
    lights: &Lights,
    extra: impl Fn(usize, usize) -> f32,
) -> (ImageStack, Vec<usize>) {
    let mut clean = vec![0; normals.size.area()];
    let mut values = Vec::new();
    for (j, direction) in lights.directions.iter().enumerate() {
        for (p, clean) in clean.iter_mut().enumerate() {
            let shade = ALBEDO * lights.intensities[j] * direction.dot(&normals.at(p));
            let more = extra(j, p);
            *clean += usize::from(shade > LIT && more == 0.0);
            values.push(if shade > 0.0 { shade + more } else { 0.0 });
        }
    }
    (ImageStack::new(normals.size, lights.len(), Pixels::F32(values)), clean)
}

fn assert_exact(
    name: &str,
    solution: &Solution,
    truth: &NormalMap,
    mask: &Mask,
    tolerance_deg: f32,
    which: impl Fn(usize) -> bool,
) {
    let pixels: Vec<usize> = (0..mask.size.area()).filter(|&p| mask.data[p] && which(p)).collect();
    assert!(pixels.len() * 10 > mask.count(), "{name}: {} pixels to judge", pixels.len());
    for p in pixels {
        let error = angle_between_deg(solution.surface.normals.at(p), truth.at(p));
        assert!(error <= tolerance_deg, "{name} at {p}: {error}°, tolerance {tolerance_deg}°");
        let albedo = solution.surface.albedo.data[p];
        let off = (albedo / ALBEDO - 1.0).abs();
        assert!(off <= tolerance_deg.to_radians(), "{name} at {p}: albedo {albedo}");
    }
}

#[test]
fn attached_shadows_do_not_move_a_robust_normal() {
    // Black samples weigh 1e-5 of lit ones. With three lit lights close together that can turn
    // a normal by some hundred times as much: 0.05°.
    let (truth, mask) = sphere(64);
    let mut lights = ring(12, &[25.0, 45.0, 65.0]);
    lights.intensities.iter_mut().enumerate().for_each(|(j, e)| *e = 1.0 - 0.05 * j as f32);
    let (images, clean) = shaded(&truth, &lights, |_, _| 0.0);
    let shadowed = (0..clean.len()).filter(|&p| mask.data[p] && clean[p] < 12).count();
    assert!(shadowed * 4 > mask.count(), "{shadowed} pixels in attached shadow");
    for (name, solve) in robust() {
        let solution = solve(&images, &lights);
        // Trimming keeps the middle: it must not reach down to the shadows.
        let enough = if name == "trimmed" { 9 } else { 5 };
        assert_exact(name, &solution, &truth, &mask, 0.05, |p| clean[p] >= enough);
    }
}

#[test]
fn highlights_and_shadows_do_not_move_a_robust_normal() {
    let (truth, mask) = sphere(64);
    let lights = ring(16, &[20.0, 40.0, 55.0]);
    // A narrow lobe round the half vector, brighter than what is matt.
    let lobe = |j: usize, p: usize| {
        let half = (lights.directions[j] + Vec3::z()).normalize();
        let cosine = half.dot(&truth.at(p));
        if cosine > 0.97 { 0.3 + 5.0 * (cosine - 0.97) } else { 0.0 }
    };
    let (images, clean) = shaded(&truth, &lights, lobe);
    let glossy = (0..clean.len()).filter(|&p| mask.data[p] && clean[p] < 16).count();
    assert!(glossy * 2 > mask.count(), "{glossy} pixels with an outlier");
    let mut all = robust();
    // With the limit on noise it would put back some of the brightest.
    all[0].1 = |i, l| {
        let solver = Trimmed { most_noise: f32::INFINITY, ..Default::default() };
        solver.solve(i, l).unwrap()
    };
    for (name, solve) in all {
        let solution = solve(&images, &lights);
        // A quarter of 16 may be dropped on each side; both kinds of outliers must fit into it.
        assert_exact(name, &solution, &truth, &mask, 0.05, |p| clean[p] >= 13);
    }
    let plain = least_squares(&images, &lights);
    let worst = (0..mask.size.area())
        .filter(|&p| mask.data[p] && (13..16).contains(&clean[p]))
        .map(|p| angle_between_deg(plain.surface.normals.at(p), truth.at(p)))
        .fold(0.0, f32::max);
    assert!(worst > 1.0, "least squares should be moved: {worst}°");
}

#[test]
fn saturated_samples_hardly_count() {
    let (truth, mask) = sphere(48);
    let lights = ring(10, &[15.0, 40.0]);
    let (images, _) = shaded(&truth, &lights, |_, _| 0.0);
    let white = 0.4;
    let Pixels::F32(values) = &images.pixels else { unreachable!() };
    let area = images.size.area();
    let clipped: Vec<f32> = values.iter().map(|v| v.min(white)).collect();
    let clean = |p: usize| {
        // The weighted solver mistrusts the last twentieth below white, too.
        clipped[p..].iter().step_by(area).filter(|v| **v > 0.0 && **v < 0.94 * white).count()
    };
    let counts: Vec<usize> = (0..area).map(clean).collect();
    let images = ImageStack::new(images.size, images.count, Pixels::F32(clipped.clone()))
        .with_white(vec![white; 10]);
    for (name, solve) in robust().into_iter().filter(|(name, _)| *name != "trimmed") {
        let solution = solve(&images, &lights);
        let one_clipped = |p: usize| (5..10).contains(&counts[p]);
        assert_exact(name, &solution, &truth, &mask, 0.05, one_clipped);
    }
}

#[test]
fn ambient_light_is_found_and_taken_off() {
    let (truth, mask) = sphere(48);
    let lights = ring(8, &[15.0, 35.0, 25.0]);
    let (images, clean) = shaded(&truth, &lights, |_, _| 0.0);
    let Pixels::F32(values) = &images.pixels else { unreachable!() };
    let room = |p: usize| 0.05 + 0.1 * (p % 48) as f32 / 48.0;
    let area = images.size.area();
    let mut lit: Vec<f32> = values.iter().enumerate().map(|(i, v)| v + room(i % area)).collect();
    // One sample missing here and there must not matter.
    for p in (0..area).step_by(5) {
        lit[(p % 8) * area + p] = f32::NAN;
    }
    let images = ImageStack::new(images.size, 8, Pixels::F32(lit));
    let solution = LeastSquaresAmbient::default().solve(&images, &lights).unwrap();
    assert_exact("ambient", &solution, &truth, &mask, 0.02, |p| clean[p] == 8);
    let ambient = solution.ambient.as_ref().unwrap();
    for p in (0..area).filter(|&p| mask.data[p] && clean[p] == 8) {
        let off = (ambient.data[p] - room(p)).abs();
        assert!(off < 1e-4, "ambient at {p}: {}, put in {}", ambient.data[p], room(p));
        assert_eq!(solution.lights_used.data[p], if p % 5 == 0 { 7.0 } else { 8.0 });
    }
}

#[test]
fn four_lights_with_ambient_leave_no_residual_and_less_confidence() {
    let (truth, mask) = sphere(48);
    let lights = ring(4, &[20.0, 40.0]);
    let (images, clean) = shaded(&truth, &lights, |_, _| 0.0);
    let plain = least_squares(&images, &lights);
    let ambient = LeastSquaresAmbient::default().solve(&images, &lights).unwrap();
    assert_exact("ambient", &ambient, &truth, &mask, 0.02, |p| clean[p] == 4);
    let (sure, unsure) = (confidence(&plain), confidence(&ambient));
    for p in (0..clean.len()).filter(|&p| mask.data[p] && clean[p] == 4) {
        assert!(ambient.surface.residual.data[p] < 1e-6);
        let (sure, unsure) = (sure.data[p], unsure.data[p]);
        assert!(unsure < sure && unsure > 0.0, "{unsure} with ambient, {sure} without");
    }
}

#[test]
fn a_ring_of_lamps_cannot_be_told_from_ambient_light() {
    let solver = LeastSquaresAmbient::default();
    for count in [4, 8] {
        let refused = solver.prepare(&ring(count, &[30.0])).unwrap_err();
        assert!(matches!(refused, SolverError::AmbientNotIdentifiable { .. }), "{refused}");
    }
    assert!(solver.prepare(&ring(8, &[25.0, 35.0])).is_ok());
    let few = solver.prepare(&ring(3, &[30.0])).unwrap_err();
    assert_eq!(few, SolverError::TooFewLights { needed: 4, got: 3 });
}

#[test]
fn four_light_finds_the_one_bad_sample() {
    // Noise-free float images: three clean lights give the normal to rounding, the fourth counts
    // 1e-5.
    let (truth, mask) = sphere(64);
    let lights = ring(4, &[35.0]);
    let solver = FourLight::default();
    let (images, clean) = shaded(&truth, &lights, |_, _| 0.0);
    let solution = solver.solve(&images, &lights).unwrap();
    assert_exact("attached shadow", &solution, &truth, &mask, 0.05, |p| clean[p] >= 3);
    for p in (0..clean.len()).filter(|&p| mask.data[p] && clean[p] == 4) {
        let used = solution.lights_used.data[p];
        assert_eq!(used, 4.0, "{used} of four clean lights at {p}");
    }

    // A highlight of each light in turn, where all four shine.
    for light in 0..4 {
        let half = (lights.directions[light] + Vec3::z()).normalize();
        let lobe = |j: usize, p: usize| {
            if j == light && half.dot(&truth.at(p)) > 0.98 { 0.4 } else { 0.0 }
        };
        let (images, clean) = shaded(&truth, &lights, lobe);
        let solution = solver.solve(&images, &lights).unwrap();
        assert_exact("highlight", &solution, &truth, &mask, 0.05, |p| clean[p] >= 3);
    }

    // A cast shadow that some light fills: the darkest sample far below its prediction.
    let (mut images, _) = shaded(&truth, &lights, |_, _| 0.0);
    let Pixels::F32(values) = &mut images.pixels else { unreachable!() };
    values[..mask.size.area()].iter_mut().for_each(|v| *v *= 0.15);
    let solution = solver.solve(&images, &lights).unwrap();
    // Where the first light is not the faintest anyway.
    let near_axis = |p: usize| truth.at(p).z > 0.9;
    assert_exact("cast shadow", &solution, &truth, &mask, 0.05, near_axis);
    assert!(solver.solve(&images, &ring(4, &[0.0])).is_err());
    let refused = solver.solve(&shaded(&truth, &ring(5, &[30.0]), |_, _| 0.0).0, &ring(5, &[30.0]));
    assert_eq!(refused.unwrap_err(), SolverError::NotFourLights { got: 5 });
}

#[test]
fn a_missing_sample_is_no_observation() {
    let (truth, mask) = sphere(48);
    let lights = ring(7, &[20.0, 35.0]);
    let (mut images, clean) = shaded(&truth, &lights, |_, _| 0.0);
    let area = images.size.area();
    let Pixels::F32(values) = &mut images.pixels else { unreachable!() };
    // 0 to 6 of the 7 samples go.
    let missing = |p: usize| p % 7;
    for p in 0..area {
        for j in 0..missing(p) {
            values[((j + p) % 7) * area + p] = f32::NAN;
        }
    }
    let mut all: Vec<(&str, Solve)> = robust().into();
    all.push(("least-squares", least_squares));
    for (name, solve) in all {
        let solution = solve(&images, &lights);
        assert_exact(name, &solution, &truth, &mask, 0.05, |p| clean[p] == 7 && missing(p) <= 3);
        for p in (0..area).filter(|&p| mask.data[p] && missing(p) > 4) {
            assert!(solution.surface.normals.at(p).x.is_nan(), "{name} at {p}");
            assert_eq!(solution.lights_used.data[p], 0.0, "{name} at {p}");
        }
    }
}

#[test]
fn with_clean_images_every_solver_reports_every_light() {
    let (truth, mask) = sphere(32);
    let lights = ring(9, &[10.0, 20.0, 30.0]);
    let (images, clean) = shaded(&truth, &lights, |_, _| 0.0);
    let matrix = lights.light_matrix();
    let gain = (matrix.transpose() * matrix).try_inverse().unwrap().trace().sqrt() as f32;
    for (name, solve) in [("least-squares", least_squares as Solve), robust()[1], robust()[2]] {
        let solution = solve(&images, &lights);
        for p in (0..clean.len()).filter(|&p| mask.data[p] && clean[p] == 9) {
            let (used, got) = (solution.lights_used.data[p], solution.noise_gain.data[p]);
            assert!((used - 9.0).abs() < 0.01, "{name} at {p}: {used} lights of 9");
            assert!((got / gain - 1.0).abs() < 1e-3, "{name} at {p}: gain {got}, want {gain}");
            assert!(solution.surface.residual.data[p] < 1e-5, "{name} at {p}");
        }
    }
}

#[test]
fn a_colour_comes_back_per_channel() {
    let (truth, mask) = sphere(48);
    let mut lights = ring(6, &[20.0, 40.0]);
    lights.intensities = vec![1.0, 0.9, 0.8, 1.1, 1.2, 0.7];
    let (grey, _) = shaded(&truth, &lights, |_, _| 0.0);
    let Pixels::F32(values) = &grey.pixels else { unreachable!() };
    let tint = [0.8, 0.5, 0.3];
    let colour = tint.map(|t| {
        // The brightest clip.
        let raw = |v: &f32| ((v * t / ALBEDO * 60_000.0).round() as u16).min(50_000);
        let raw = values.iter().map(raw).collect();
        ImageStack::new(grey.size, 6, Pixels::U16(raw)).with_white(vec![50_000.0; 6])
    });
    let albedo = albedo_per_channel(&colour, &lights, &truth);
    for (channel, t) in albedo.iter().zip(tint) {
        let want = t * 60_000.0 / 65_535.0;
        for p in 0..mask.size.area() {
            let got = channel.data[p];
            if mask.data[p] {
                assert!((got - want).abs() < 1e-4 * want + 2e-5, "{got} at {p}, want {want}");
            } else {
                assert!(got.is_nan());
            }
        }
    }
}
