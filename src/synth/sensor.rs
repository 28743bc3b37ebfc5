//! From light to the numbers of an image file.
//!
//! The value that a pixel is read out with, in digital numbers (DN, of 255), is
//!
//! `v = exposure · vignette · radiance + offset + √(v_light / e) N₁ + read N₂`
//!
//! with e electrons a DN (the variance of a count is the count: shot noise) and N standard normal
//! (EMVA standard 1288). The image is blurred by the optics before it is counted; the result is
//! rounded, and cut at the ends of the scale.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::draws::mix;
use super::exact_math::exp;
use crate::maps::{Plane, Size};

/// A camera behind its lens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    /// DN that a white surface facing a light of intensity 1 gives.
    pub exposure_dn: f32,
    /// DN without a lamp: black level and the light of the room.
    pub offset_dn: f32,
    /// Share of light lost in the corners; grows with the square of the distance to the middle.
    pub vignetting: f32,
    /// Standard deviation of the optics' blur, pixels.
    pub blur_px: f32,
    /// Electrons behind one DN; 0 for no shot noise.
    pub electrons_per_dn: f32,
    pub read_noise_dn: f32,
    /// 16 bits for a file of 257 steps a DN, else 8.
    pub sixteen_bit: bool,
}

impl Sensor {
    /// Neither blur nor noise nor offset, 16 bits.
    pub fn ideal(exposure_dn: f32) -> Self {
        Self {
            exposure_dn,
            offset_dn: 0.0,
            vignetting: 0.0,
            blur_px: 0.0,
            electrons_per_dn: 0.0,
            read_noise_dn: 0.0,
            sixteen_bit: true,
        }
    }

    /// What the file holds, as 16-bit or 8-bit steps, for a plane of radiance (a white surface
    /// facing a light of intensity 1 has 1). The noise follows from `seed` and the pixel alone.
    pub fn expose(&self, radiance: &Plane<f32>, seed: u64) -> Vec<u16> {
        let Size { height, width } = radiance.size;
        let light = blurred(radiance, self.blur_px);
        let (steps, top) = if self.sixteen_bit { (257.0, 65_535.0) } else { (1.0, 255.0) };
        let middle = [(width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0];
        let corner = (middle[0] * middle[0] + middle[1] * middle[1]).max(1.0);
        let key = mix(seed);
        let mut out = vec![0; radiance.size.area()];
        out.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, out)| {
            let y = row as f32 - middle[1];
            for (column, out) in out.iter_mut().enumerate() {
                let x = column as f32 - middle[0];
                let pixel = row * width + column;
                let lost = self.vignetting * (x * x + y * y) / corner;
                let light = self.exposure_dn * (1.0 - lost) * light.data[pixel];
                let [shot, read] = normals(key ^ mix(pixel as u64));
                let electrons = self.electrons_per_dn;
                let deviation =
                    if electrons > 0.0 { (light.max(0.0) / electrons).sqrt() } else { 0.0 };
                let value = light + self.offset_dn + deviation * shot + self.read_noise_dn * read;
                *out = (steps * value).round().clamp(0.0, top) as u16;
            }
        });
        out
    }
}

/// Two numbers of mean 0 and variance 1 from one key, each the sum of four uniform ones.
fn normals(key: u64) -> [f32; 2] {
    const ROOT_THREE: f32 = 1.732_050_8;
    [mix(key), mix(!key)].map(|bits| {
        let sum: u32 = (0..4).map(|part| ((bits >> (16 * part)) & 0xffff) as u32).sum();
        (sum as f32 / 65_535.0 - 2.0) * ROOT_THREE
    })
}

/// Under a Gaussian cut at three standard deviations; edges are held.
fn blurred(image: &Plane<f32>, deviation_px: f32) -> Plane<f32> {
    let reach = (3.0 * deviation_px).ceil() as usize;
    if reach == 0 {
        return image.clone();
    }
    let weight = |d: usize| {
        let z = d as f64 / f64::from(deviation_px);
        exp(-0.5 * z * z) as f32
    };
    let mut kernel: Vec<f32> = (0..=reach).map(weight).collect();
    let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
    kernel.iter_mut().for_each(|w| *w /= sum);
    blurred_along_rows(&blurred_along_rows(image, &kernel), &kernel)
}

/// Each row under half a symmetric kernel, transposed.
fn blurred_along_rows(image: &Plane<f32>, kernel: &[f32]) -> Plane<f32> {
    let Size { height, width } = image.size;
    let mut out = Plane::filled(Size::new(width, height), 0.0);
    out.data.par_chunks_mut(height.max(1)).enumerate().for_each(|(column, out)| {
        for (out, row) in out.iter_mut().zip(image.data.chunks_exact(width)) {
            *out = kernel[0] * row[column];
            for (d, weight) in kernel.iter().enumerate().skip(1) {
                let (left, right) = (column.saturating_sub(d), (column + d).min(width - 1));
                *out += weight * (row[left] + row[right]);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 60, width: 80 };

    fn moments(values: &[u16]) -> (f64, f64) {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let spread = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        (mean, spread / (values.len() - 1) as f64)
    }

    #[test]
    fn an_ideal_sensor_counts_in_proportion() {
        let radiance = Plane::from_fn(SIZE, |r, c| (r * 80 + c) as f32 / 4800.0);
        let counted = Sensor::ideal(200.0).expose(&radiance, 1);
        for (value, radiance) in counted.iter().zip(&radiance.data) {
            assert!((f32::from(*value) - 257.0 * 200.0 * radiance).abs() <= 0.51);
        }
    }

    #[test]
    fn noise_has_the_variance_of_its_counts() {
        // 100 DN at 25 electrons each: 2 DN; with 1.5 DN of reading 2.5, with rounding 2.517.
        let sensor = Sensor {
            electrons_per_dn: 25.0,
            read_noise_dn: 1.5,
            offset_dn: 20.0,
            sixteen_bit: false,
            ..Sensor::ideal(200.0)
        };
        let (mean, variance) = moments(&sensor.expose(&Plane::filled(SIZE, 0.5), 4));
        assert!((mean - 120.0).abs() < 0.15, "{mean}");
        assert!((variance.sqrt() - 2.517).abs() < 0.08, "{}", variance.sqrt());
        let again = sensor.expose(&Plane::filled(SIZE, 0.5), 4);
        assert_eq!(again, sensor.expose(&Plane::filled(SIZE, 0.5), 4));
        assert_ne!(again, sensor.expose(&Plane::filled(SIZE, 0.5), 5));
    }

    #[test]
    fn light_above_the_scale_is_cut_and_corners_are_darker() {
        let sensor = Sensor { vignetting: 0.4, sixteen_bit: false, ..Sensor::ideal(200.0) };
        let counted = sensor.expose(&Plane::filled(SIZE, 1.0), 1);
        assert_eq!((counted[0], counted[30 * 80 + 40]), (120, 200));
        assert_eq!(sensor.expose(&Plane::filled(SIZE, 3.0), 1)[30 * 80 + 40], 255);
    }

    #[test]
    fn blur_spreads_a_point_by_its_deviation_and_keeps_its_light() {
        let mut point = Plane::filled(SIZE, 0.0);
        point.data[30 * 80 + 40] = 1.0;
        let spot = blurred(&point, 1.5);
        let sum: f32 = spot.data.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        for along in [|r: f32, _: f32| r - 30.0, |_: f32, c: f32| c - 40.0] {
            let variance: f32 = (0..SIZE.area())
                .map(|p| spot.data[p] * along((p / 80) as f32, (p % 80) as f32).powi(2))
                .sum();
            // Cut at 3 σ: 0.973 of the variance is left.
            assert!((variance.sqrt() - 1.5).abs() < 0.04, "{}", variance.sqrt());
        }
    }
}
