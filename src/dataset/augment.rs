//! Random views of a sample that remain physically possible: a surface that is turned or mirrored
//! has its normals turned with it, depth is relative to what is in view, and one draw serves all
//! maps of a sample.

use super::{Modality, Sample};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Smallest side of the random square crop, as a share of the sample.
    pub min_crop: f32,
    /// Largest rotation in the image plane, degrees.
    pub rotation_deg: f32,
    /// Mirror half of the views.
    pub mirror: bool,
    /// Count a mirrored person as a further identity: a face is not symmetric, and few people
    /// become twice as many.
    pub mirror_is_another_person: bool,
    /// Largest standard deviation of Gaussian noise in a random patch.
    pub patch_noise: f32,
    /// Largest strength of a random smooth shading, for albedo that still holds some: the
    /// logarithm of the gain from border to border.
    pub shading: f32,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            min_crop: 0.7,
            rotation_deg: 0.0,
            mirror: false,
            mirror_is_another_person: false,
            patch_noise: 0.3,
            shading: 0.0,
        }
    }
}

/// What a network is shown of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// One a modality, (3, side, side) row-major: normals as they are, the others repeated; 0 where
    /// undefined.
    pub maps: Vec<Vec<f32>>,
    /// (side, side), 0 to 1.
    pub confidence: Option<Vec<f32>>,
    pub mirrored: bool,
}

/// A square of a sample and how it is turned.
struct Window {
    top: f32,
    left: f32,
    /// Side in the sample's pixels.
    crop: f32,
    /// Counter-clockwise as one looks at the picture, radians.
    angle: f32,
    mirrored: bool,
}

/// A random view of `side` pixels.
pub fn random_view(
    sample: &Sample<'_>,
    config: &AugmentConfig,
    side: usize,
    random: &mut Pcg64,
) -> View {
    let scale: f32 = random.random_range(config.min_crop.min(1.0)..=1.0);
    let crop = scale * sample.side as f32;
    let mut offset = || random.random_range(0.0..=1.0f32) * (sample.side as f32 - crop);
    let (top, left) = (offset(), offset());
    let mirrored = config.mirror && random.random_bool(0.5);
    let most = config.rotation_deg.to_radians();
    let angle = if most > 0.0 { random.random_range(-most..=most) } else { 0.0 };
    let window = Window { top, left, crop, angle, mirrored };
    let frame: usize = random.random_range(0..1 << 16);
    let disturbance: u64 = random.random();
    let mut view = seen(sample, &window, side, frame);
    for (&(modality, _), data) in sample.maps.iter().zip(&mut view.maps) {
        // The same stream for every map: shading and noise fall on the same places.
        let mut random = Pcg64::seed_from_u64(disturbance);
        if config.shading > 0.0 && matches!(modality, Modality::Albedo | Modality::Raw) {
            let mut shading = Pcg64::seed_from_u64(!disturbance);
            shade(data, side, config.shading, &mut shading);
        }
        if config.patch_noise > 0.0 {
            add_patch_noise(data, side, modality, config.patch_noise, &mut random);
        }
    }
    view
}

/// The whole sample at `side` pixels.
pub fn whole_view(sample: &Sample<'_>, side: usize) -> View {
    whole_view_of(sample, side, false)
}

/// The whole sample at `side` pixels, mirrored if wanted.
pub fn whole_view_of(sample: &Sample<'_>, side: usize, mirrored: bool) -> View {
    let crop = sample.side as f32;
    let window = Window { top: 0.0, left: 0.0, crop, angle: 0.0, mirrored };
    seen(sample, &window, side, sample.frame)
}

/// All maps of a sample through one window; `frame` picks a lit image.
fn seen(sample: &Sample<'_>, window: &Window, side: usize, frame: usize) -> View {
    let area = sample.side * sample.side;
    let maps = sample
        .maps
        .iter()
        .map(|&(modality, planes)| match modality {
            Modality::Normals => {
                let mut data = through(planes, sample.side, window, side);
                turn_normals(&mut data, window);
                data
            }
            Modality::Albedo | Modality::Depth | Modality::Raw => {
                let frames = planes.len() / area;
                let start = frame % frames.max(1) * area;
                let mut plane = through(&planes[start..start + area], sample.side, window, side);
                if modality == Modality::Depth {
                    recentre(&mut plane);
                }
                plane.repeat(3)
            }
        })
        .collect();
    let confidence = sample.confidence.map(|plane| through(plane, sample.side, window, side));
    View { maps, confidence, mirrored: window.mirrored }
}

/// Planes of a sample through a window, by bilinear interpolation; 0 beyond the border.
fn through(planes: &[f32], from: usize, window: &Window, side: usize) -> Vec<f32> {
    let mut data = if window.angle == 0.0 {
        upright(planes, from, window, side)
    } else {
        turned(planes, from, window, side)
    };
    if window.mirrored {
        data.chunks_exact_mut(side).for_each(<[f32]>::reverse);
    }
    data
}

fn upright(planes: &[f32], from: usize, window: &Window, side: usize) -> Vec<f32> {
    let step = window.crop / side as f32;
    let last = (from - 1) as f32;
    let at = |start: f32, i: usize| {
        let position = (start + (i as f32 + 0.5) * step - 0.5).clamp(0.0, last);
        let whole = position as usize;
        (whole, (whole + 1).min(from - 1), position - whole as f32)
    };
    let columns: Vec<_> = (0..side).map(|c| at(window.left, c)).collect();
    let mut data = Vec::with_capacity(planes.len() / (from * from) * side * side);
    for plane in planes.chunks_exact(from * from) {
        for row in 0..side {
            let (r0, r1, down) = at(window.top, row);
            let (upper, lower) = (&plane[r0 * from..], &plane[r1 * from..]);
            data.extend(columns.iter().map(|&(c0, c1, right)| {
                let above = upper[c0] + right * (upper[c1] - upper[c0]);
                let below = lower[c0] + right * (lower[c1] - lower[c0]);
                above + down * (below - above)
            }));
        }
    }
    data
}

fn turned(planes: &[f32], from: usize, window: &Window, side: usize) -> Vec<f32> {
    let step = window.crop / side as f32;
    let (sine, cosine) = window.angle.sin_cos();
    let half = 0.5 * window.crop;
    // What is turned counter-clockwise comes from where it was before: clockwise from here. Rows
    // run down.
    let source = |row: usize, column: usize| {
        let u = (column as f32 + 0.5) * step - half;
        let v = (row as f32 + 0.5) * step - half;
        let x = window.left + half + cosine * u - sine * v - 0.5;
        let y = window.top + half + sine * u + cosine * v - 0.5;
        (x, y)
    };
    let limit = from as f32 - 0.5;
    let mut data = Vec::with_capacity(planes.len() / (from * from) * side * side);
    for plane in planes.chunks_exact(from * from) {
        for pixel in 0..side * side {
            let (x, y) = source(pixel / side, pixel % side);
            if !(x > -0.5 && y > -0.5 && x < limit && y < limit) {
                data.push(0.0);
                continue;
            }
            let split = |position: f32| {
                let position = position.clamp(0.0, (from - 1) as f32);
                let whole = position as usize;
                (whole, (whole + 1).min(from - 1), position - whole as f32)
            };
            let ((c0, c1, right), (r0, r1, down)) = (split(x), split(y));
            let value = |r: usize, c: usize| plane[r * from + c];
            let above = value(r0, c0) + right * (value(r0, c1) - value(r0, c0));
            let below = value(r1, c0) + right * (value(r1, c1) - value(r1, c0));
            data.push(above + down * (below - above));
        }
    }
    data
}

/// Turns normals (3, area) as the picture was turned, and makes them unit again after interpolation.
fn turn_normals(data: &mut [f32], window: &Window) {
    let (sine, cosine) = window.angle.sin_cos();
    let area = data.len() / 3;
    let (n_x, rest) = data.split_at_mut(area);
    let (n_y, n_z) = rest.split_at_mut(area);
    for ((x, y), z) in n_x.iter_mut().zip(n_y).zip(n_z) {
        let length = (*x * *x + *y * *y + *z * *z).sqrt();
        if length < 1e-6 {
            continue;
        }
        // A mirrored picture was turned first: its own angle is the other way round.
        let (from_x, from_y) = (*x / length, *y / length);
        let turned_x = cosine * from_x - sine * from_y;
        *x = if window.mirrored { -turned_x } else { turned_x };
        *y = sine * from_x + cosine * from_y;
        *z /= length;
    }
}

/// Depth of what is in view has mean zero; 0 is undefined and stays.
fn recentre(plane: &mut [f32]) {
    let defined = || plane.iter().filter(|&&v| v != 0.0);
    let count = defined().count();
    let mean = (defined().map(|&v| f64::from(v)).sum::<f64>() / count.max(1) as f64) as f32;
    plane.iter_mut().filter(|v| **v != 0.0).for_each(|v| *v -= mean);
}

/// Adds a smooth field that runs from −strength to strength at most, the same in all channels:
/// what shadows leave in an albedo looks like this in a standardised image.
fn shade(data: &mut [f32], side: usize, strength: f32, random: &mut Pcg64) {
    let mut coefficient = || random.random_range(-strength..=strength);
    let c: [f32; 5] = std::array::from_fn(|_| coefficient());
    for (i, value) in data.iter_mut().enumerate() {
        let pixel = i % (side * side);
        let y = 2.0 * (pixel / side) as f32 / side as f32 - 1.0;
        let x = 2.0 * (pixel % side) as f32 / side as f32 - 1.0;
        // Exactly 0 is off the mask.
        if *value != 0.0 {
            *value +=
                c[0] * x + c[1] * y + c[2] * x * y + c[3] * (x * x - 0.5) + c[4] * (y * y - 0.5);
        }
    }
}

fn add_patch_noise(
    data: &mut [f32],
    side: usize,
    modality: Modality,
    strength: f32,
    random: &mut Pcg64,
) {
    use rand_distr::{Distribution, Normal};
    let deviation = random.random_range(0.0..=strength);
    let Ok(noise) = Normal::new(0.0f32, deviation) else { return };
    let mut range = || {
        let length = random.random_range(side / 8..=side / 2);
        let start = random.random_range(0..=side - length);
        start..start + length
    };
    let (rows, columns) = (range(), range());
    let area = side * side;
    for row in rows {
        for column in columns.clone() {
            let pixel = row * side + column;
            // Exactly 0 is off the mask.
            if (0..3).all(|c| data[c * area + pixel] == 0.0) {
                continue;
            }
            if modality == Modality::Normals {
                let mut normal: [f32; 3] =
                    std::array::from_fn(|c| data[c * area + pixel] + noise.sample(random));
                let length = normal.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
                normal.iter_mut().for_each(|v| *v /= length);
                (0..3).for_each(|c| data[c * area + pixel] = normal[c]);
            } else {
                let value = noise.sample(random);
                (0..3).for_each(|c| data[c * area + pixel] += value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(side: usize) -> Vec<f32> {
        (0..3 * side * side).map(|i| (i % side) as f32 + 1.0).collect()
    }

    fn sample(side: usize, modality: Modality, planes: &[f32]) -> Sample<'_> {
        Sample { side, maps: vec![(modality, planes)], confidence: None, frame: 0 }
    }

    /// Normals of the sphere that fills the square, 0 beyond it.
    fn sphere(side: usize) -> Vec<f32> {
        let mut data = vec![0.0; 3 * side * side];
        for p in 0..side * side {
            let at = |i: usize| 2.0 * (i as f32 + 0.5) / side as f32 - 1.0;
            let (x, y) = (at(p % side), -at(p / side));
            let rest = 1.0 - x * x - y * y;
            if rest > 0.0 {
                for (c, v) in [x, y, rest.sqrt()].into_iter().enumerate() {
                    data[c * side * side + p] = v;
                }
            }
        }
        data
    }

    #[test]
    fn the_whole_view_at_its_own_size_is_the_sample() {
        let plane = &ramp(9)[..81];
        let view = whole_view(&sample(9, Modality::Albedo, plane), 9);
        assert_eq!(view.maps, [plane.repeat(3)]);
        let normals = sphere(9);
        let view = whole_view(&sample(9, Modality::Normals, &normals), 9);
        for (got, want) in view.maps[0].iter().zip(&normals) {
            assert!((got - want).abs() < 1e-6);
        }
    }

    #[test]
    fn a_sphere_turned_or_mirrored_is_the_same_sphere() {
        let normals = sphere(64);
        let config = AugmentConfig {
            min_crop: 1.0,
            rotation_deg: 60.0,
            mirror: true,
            patch_noise: 0.0,
            ..Default::default()
        };
        let mut random = Pcg64::seed_from_u64(1);
        let mut mirrored = 0;
        for _ in 0..12 {
            let view =
                random_view(&sample(64, Modality::Normals, &normals), &config, 64, &mut random);
            mirrored += usize::from(view.mirrored);
            for p in 0..64 * 64 {
                // Away from the rim, where the sphere falls off too steeply for bilinear values.
                if normals[2 * 64 * 64 + p] < 0.3 {
                    continue;
                }
                for c in 0..3 {
                    let (got, want) = (view.maps[0][c * 64 * 64 + p], normals[c * 64 * 64 + p]);
                    assert!((got - want).abs() < 0.01, "pixel {p}, {c}: {got} instead of {want}");
                }
            }
        }
        assert!(mirrored > 0 && mirrored < 12);
    }

    #[test]
    fn a_picture_turns_counter_clockwise() {
        // A spot to the right of the centre goes up.
        let mut plane = vec![0.0; 32 * 32];
        plane[16 * 32 + 26] = 1.0;
        let angle = std::f32::consts::FRAC_PI_2;
        let window = Window { top: 0.0, left: 0.0, crop: 32.0, angle, mirrored: false };
        let data = through(&plane, 32, &window, 32);
        let brightest = (0..32 * 32).max_by(|&a, &b| data[a].total_cmp(&data[b])).unwrap();
        assert_eq!((brightest / 32, brightest % 32), (5, 16));
    }

    #[test]
    fn a_mirrored_normal_map_turns_n_x() {
        let normals: Vec<f32> = ramp(8);
        let config =
            AugmentConfig { min_crop: 1.0, mirror: true, patch_noise: 0.0, ..Default::default() };
        let mut random = Pcg64::seed_from_u64(1);
        let mut seen = [false; 2];
        for _ in 0..20 {
            let sample = sample(8, Modality::Normals, &normals);
            let view = random_view(&sample, &config, 8, &mut random);
            seen[usize::from(view.mirrored)] = true;
            let (n_x, n_y) = (view.maps[0][0], view.maps[0][64]);
            let share = 1.0 / 3.0f32.sqrt();
            assert!((n_x - if view.mirrored { -share } else { share }).abs() < 1e-6, "{n_x}");
            assert!((n_y - share).abs() < 1e-6, "{n_y}");
        }
        assert_eq!(seen, [true, true]);
    }

    #[test]
    fn one_draw_serves_all_maps_and_depth_is_centred_in_view() {
        let plane: Vec<f32> = (0..20 * 20).map(|i| (i % 20) as f32 + 1.0).collect();
        let both = Sample {
            side: 20,
            maps: vec![(Modality::Albedo, &plane), (Modality::Depth, &plane)],
            confidence: Some(&plane),
            frame: 0,
        };
        let config = AugmentConfig {
            min_crop: 0.5,
            mirror: true,
            rotation_deg: 10.0,
            patch_noise: 0.0,
            ..Default::default()
        };
        let mut random = Pcg64::seed_from_u64(3);
        for _ in 0..10 {
            let view = random_view(&both, &config, 16, &mut random);
            let confidence = view.confidence.unwrap();
            assert_eq!(view.maps[0][..256], confidence, "the same window");
            let defined: Vec<usize> = (0..256).filter(|&p| confidence[p] != 0.0).collect();
            let mean = defined.iter().map(|&p| view.maps[1][p]).sum::<f32>() / defined.len() as f32;
            assert!(mean.abs() < 1e-4, "{mean}");
            let shift = view.maps[1][defined[0]] - confidence[defined[0]];
            for &p in &defined {
                assert!((view.maps[1][p] - confidence[p] - shift).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn noisy_normals_stay_unit_and_a_seed_repeats_itself() {
        let area = 16 * 16;
        let mut data = vec![0.0; 3 * area];
        data[2 * area..].fill(1.0);
        // The upper half is off the mask.
        data[2 * area..2 * area + area / 2].fill(0.0);
        let config = AugmentConfig { min_crop: 1.0, patch_noise: 0.5, ..Default::default() };
        let view = |seed| {
            let mut random = Pcg64::seed_from_u64(seed);
            let sample = sample(16, Modality::Normals, &data);
            random_view(&sample, &config, 16, &mut random).maps.remove(0)
        };
        assert_eq!(view(5), view(5));
        let mut changed = 0;
        for noisy in (0..20).map(view) {
            assert!(noisy[..area / 2].iter().all(|&n_x| n_x == 0.0), "noise off the mask");
            for p in area / 2..area {
                let length = (0..3).map(|c| noisy[c * area + p].powi(2)).sum::<f32>().sqrt();
                assert!((length - 1.0).abs() < 1e-5, "pixel {p}: {length}");
                changed += usize::from(noisy[p] != 0.0);
            }
        }
        assert!(changed > 100, "{changed} pixels with noise in 20 views");
    }
}
