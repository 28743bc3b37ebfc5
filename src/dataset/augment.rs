//! Random views of a sample that remain physically possible: a mirrored surface has its n_x
//! turned, a crop keeps its values.

use super::{Modality, Sample};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Smallest side of the random square crop, as a share of the sample.
    pub min_crop: f32,
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
            mirror: false,
            mirror_is_another_person: false,
            patch_noise: 0.3,
            shading: 0.0,
        }
    }
}

/// A view and whether it is mirrored.
pub struct View {
    /// (3, side, side)
    pub data: Vec<f32>,
    pub mirrored: bool,
}

/// A random view of `side` pixels.
pub fn random_view(
    sample: &Sample,
    modality: Modality,
    config: &AugmentConfig,
    side: usize,
    random: &mut Pcg64,
) -> View {
    let scale: f32 = random.random_range(config.min_crop.min(1.0)..=1.0);
    let crop = scale * sample.side as f32;
    let mut offset = || random.random_range(0.0..=1.0f32) * (sample.side as f32 - crop);
    let (top, left) = (offset(), offset());
    let mirrored = config.mirror && random.random_bool(0.5);
    let mut data = view(sample, [top, left], crop, side);
    if mirrored {
        for row in data.chunks_exact_mut(side) {
            row.reverse();
        }
        if modality == Modality::Normals {
            data[..side * side].iter_mut().for_each(|n_x| *n_x = -*n_x);
        }
    }
    if config.shading > 0.0 && modality == Modality::Albedo {
        shade(&mut data, side, config.shading, random);
    }
    if config.patch_noise > 0.0 {
        add_patch_noise(&mut data, side, modality, config.patch_noise, random);
    }
    View { data, mirrored }
}

/// The whole sample at `side` pixels.
pub fn whole_view(sample: &Sample, side: usize) -> Vec<f32> {
    view(sample, [0.0, 0.0], sample.side as f32, side)
}

/// A square of `crop` pixels at (top, left), by bilinear interpolation.
fn view(sample: &Sample, [top, left]: [f32; 2], crop: f32, side: usize) -> Vec<f32> {
    let step = crop / side as f32;
    let last = (sample.side - 1) as f32;
    let at = |start: f32, i: usize| {
        let position = (start + (i as f32 + 0.5) * step - 0.5).clamp(0.0, last);
        let whole = position as usize;
        (whole, (whole + 1).min(sample.side - 1), position - whole as f32)
    };
    let columns: Vec<_> = (0..side).map(|c| at(left, c)).collect();
    let mut data = Vec::with_capacity(3 * side * side);
    for channel in 0..3 {
        let plane = sample.channel(channel);
        for row in 0..side {
            let (r0, r1, down) = at(top, row);
            let (upper, lower) = (&plane[r0 * sample.side..], &plane[r1 * sample.side..]);
            data.extend(columns.iter().map(|&(c0, c1, right)| {
                let above = upper[c0] + right * (upper[c1] - upper[c0]);
                let below = lower[c0] + right * (lower[c1] - lower[c0]);
                above + down * (below - above)
            }));
        }
    }
    data
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
    use rand::SeedableRng;

    fn ramp(side: usize) -> Sample {
        let data = (0..3 * side * side).map(|i| (i % side) as f32 + 1.0).collect();
        Sample { side, data }
    }

    #[test]
    fn the_whole_view_at_its_own_size_is_the_sample() {
        let sample = ramp(9);
        assert_eq!(whole_view(&sample, 9), sample.data);
    }

    #[test]
    fn a_mirrored_normal_map_turns_n_x() {
        let sample = ramp(8);
        let config =
            AugmentConfig { min_crop: 1.0, mirror: true, patch_noise: 0.0, ..Default::default() };
        let mut random = Pcg64::seed_from_u64(1);
        let mut seen = [false; 2];
        for _ in 0..20 {
            let view = random_view(&sample, Modality::Normals, &config, 8, &mut random);
            seen[usize::from(view.mirrored)] = true;
            let (n_x, n_y) = (view.data[0], view.data[64]);
            assert_eq!((n_x, n_y), if view.mirrored { (-8.0, 8.0) } else { (1.0, 1.0) });
        }
        assert_eq!(seen, [true, true]);
    }

    #[test]
    fn noisy_normals_stay_unit_and_a_seed_repeats_itself() {
        let area = 16 * 16;
        let mut data = vec![0.0; 3 * area];
        data[2 * area..].fill(1.0);
        // The upper half is off the mask.
        data[2 * area..2 * area + area / 2].fill(0.0);
        let sample = Sample { side: 16, data };
        let config = AugmentConfig { min_crop: 1.0, patch_noise: 0.5, ..Default::default() };
        let view = |seed| {
            let mut random = Pcg64::seed_from_u64(seed);
            random_view(&sample, Modality::Normals, &config, 16, &mut random).data
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
