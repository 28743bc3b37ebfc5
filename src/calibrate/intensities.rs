//! Intensities of lights whose directions are known.
//!
//! **Flat field.** A plane card of normal n shows `I_j = ρ e_j n·l_j`, so `e_j ∝ I_j / (n·l_j)`.
//!
//! **Subject.** A sample seen under lights S shows `x = diag(e) L g`. With `f_j = 1/e_j` and P the
//! projector off the columns of L (rows S), `P diag(f) x = 0` for every sample whatever its g:
//! linear in f. Summed over samples that is `fᵀ M f → min` with `M_ij = Σ P_ij x_i x_j`. Noise of
//! the images adds `Σ_j f_j² P_jj` to it, so the ratio `fᵀ M f / fᵀ N f`, `N = diag Σ P_jj`, is
//! made least instead, which noise does not bias (generalised total least squares). Three lights
//! leave no P: intensities are not determined.

use super::CalibrateError;
use super::result::{CalibratedLight, Calibration, Method, Warning};
use super::robust::{cauchy, median, percentile, spread};
use super::samples::Samples;
use crate::geometry::Vec3;
use crate::maps::{ImageStack, Mask};
use nalgebra::{DMatrix, DVector, Matrix3};
use rayon::prelude::*;

/// Below this cosine a card is lit too flatly: 1° of error in its normal is worth 10 %.
const LEAST_COSINE: f32 = 0.17;
/// From this spread (10th to 90th percentile over the median) on the card is not lit evenly.
const UNEVEN: f64 = 0.2;
/// From this spread on one intensity says nothing of the light: of evenly coloured cards, only one
/// with a lamp nearer than half its width looks so.
const NO_CARD: f64 = 0.8;
/// More saturated pixels of the card than this share bias its median.
const SATURATED: f64 = 0.01;

/// Intensities (mean 1) from images of a flat card of one albedo; `normal` is the card's in the
/// camera frame, (0, 0, 1) where it faces the camera.
///
/// # Errors
/// A mask of another size or an empty one; not one direction an image; a light behind the card or
/// grazing it; a dark or saturated image.
pub fn intensities_from_flat_field(
    images: &ImageStack,
    mask: &Mask,
    directions: &[Vec3],
    normal: Vec3,
) -> Result<Calibration, CalibrateError> {
    check(images, mask, directions)?;
    let mut warnings = Vec::new();
    let mut lights = Vec::with_capacity(images.count);
    let unit = 1.0 / f64::from(images.pixels.full_scale());
    for (image, direction) in directions.iter().enumerate() {
        let unsuitable = |reason: String| CalibrateError::Unsuitable { image: image + 1, reason };
        let cosine = normal.normalize().dot(&direction.normalize());
        if cosine.is_nan() || cosine < LEAST_COSINE {
            return Err(unsuitable(format!(
                "the light makes a cosine of {cosine:.2} with the card's normal; turn the card \
                 toward the lights, or check the directions"
            )));
        }
        let start = image * images.size.area();
        let masked = (0..images.size.area()).filter(|&p| mask.data[p]);
        let raw: Vec<f32> = masked.map(|p| images.pixels.get(start + p)).collect();
        let saturated = raw.iter().filter(|v| **v >= images.white[image]).count();
        if saturated as f64 > SATURATED * raw.len() as f64 {
            return Err(unsuitable("the card is saturated; expose less".into()));
        }
        let mut seen: Vec<f64> = raw.iter().map(|&v| f64::from(v) * unit).collect();
        let middle = median(&mut seen);
        if middle.is_nan() || middle < 0.01 {
            return Err(unsuitable("the card is dark; check that the lamp was on".into()));
        }
        let range = percentile(&mut seen, 0.9) - percentile(&mut seen, 0.1);
        if range > NO_CARD * middle {
            return Err(unsuitable(format!(
                "what the mask shows differs by {:.0} % and is no evenly lit card; mask the card \
                 alone",
                100.0 * range / middle
            )));
        }
        if range > UNEVEN * middle {
            warnings.push(Warning::new(
                Some(image),
                format!("the card is lit unevenly, by {:.0} %", 100.0 * range / middle),
                "the lamp is near: mask only where the subject will be, or calibrate positions",
            ));
        }
        lights.push(known_direction(*direction, middle as f32 / cosine));
    }
    Ok(Calibration::new(Method::FlatField, lights, warnings).with_mean_intensity_one())
}

/// Rounds of reweighting; the weights settle in a handful.
const ROUNDS: usize = 15;
/// The second-best intensities must fit this many times worse than the best.
const LEAST_GAP: f64 = 2.0;

/// Intensities (mean 1) from images of the subject itself, four lights or more.
///
/// # Errors
/// A mask of another size or an empty one; not one direction an image; fewer than four lights,
/// lights that all stand behind the subject, or lights that leave some intensity open.
pub fn intensities_from_subject(
    images: &ImageStack,
    mask: &Mask,
    directions: &[Vec3],
) -> Result<Calibration, CalibrateError> {
    check(images, mask, directions)?;
    if directions.iter().all(|direction| direction.z <= 0.0) {
        return Err(CalibrateError::Undetermined(
            "the directions all point away from the camera (z ≤ 0); z points from the subject to \
             the camera, so turn the signs round"
                .into(),
        ));
    }
    let k = images.count;
    if k < 4 {
        return Err(CalibrateError::TooFew {
            what: "lights",
            given: k,
            needed: 4,
            remedy: "three images fit any intensities exactly: take a flat field or a matte sphere",
        });
    }
    let samples = Samples::new(images, mask, 4)?;
    if samples.len() < 10 * k {
        return Err(CalibrateError::Undetermined(format!(
            "only {} samples are lit by four lights or more; enlarge the mask",
            samples.len()
        )));
    }
    let projectors: Vec<Option<DMatrix<f64>>> = (0..samples.len())
        .into_par_iter()
        .map(|s| projector(samples.at(s).1, directions))
        .collect();
    let mut weights = vec![1.0; samples.len()];
    let mut f = DVector::from_element(k, 1.0);
    let mut gap = 0.0;
    for _ in 0..ROUNDS {
        let (mut m, mut n) = (DMatrix::<f64>::zeros(k, k), DVector::<f64>::zeros(k));
        for (s, projector) in projectors.iter().enumerate() {
            let Some(p) = projector else { continue };
            let x = samples.at(s).0;
            for i in 0..k {
                n[i] += weights[s] * p[(i, i)];
                for j in 0..k {
                    m[(i, j)] += weights[s] * p[(i, j)] * f64::from(x[i]) * f64::from(x[j]);
                }
            }
        }
        if n.iter().any(|v| *v <= 1e-9) {
            return Err(open(&n));
        }
        let root = n.map(|v| 1.0 / v.sqrt());
        let scaled = DMatrix::from_fn(k, k, |i, j| m[(i, j)] * root[i] * root[j]);
        let eigen = scaled.symmetric_eigen();
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*a].total_cmp(&eigen.eigenvalues[*b]));
        gap = eigen.eigenvalues[order[1]] / eigen.eigenvalues[order[0]].max(f64::MIN_POSITIVE);
        f = eigen.eigenvectors.column(order[0]).component_mul(&root);
        if f.sum() < 0.0 {
            f = -f;
        }
        f *= k as f64 / f.sum();
        let residuals: Vec<f64> = projectors
            .iter()
            .enumerate()
            .map(|(s, projector)| match projector {
                Some(p) => relative_residual(p, &f, samples.at(s).0),
                None => f64::NAN,
            })
            .collect();
        let sigma = spread(residuals.iter().copied().filter(|r| r.is_finite()));
        for (weight, (s, residual)) in weights.iter_mut().zip(residuals.iter().enumerate()) {
            let bright = samples.at(s).0.iter().map(|v| f64::from(v * v)).sum::<f64>();
            // Samples count alike, bright or dark: what is off is a share of the light.
            *weight = if residual.is_finite() { cauchy(*residual, sigma) / bright } else { 0.0 };
        }
    }
    if f.iter().any(|v| *v <= 0.0) || gap < LEAST_GAP {
        return Err(CalibrateError::Undetermined(
            "other intensities fit them nearly as well; add lights in other directions, or take a \
             flat field"
                .into(),
        ));
    }
    let lights =
        directions.iter().zip(f.iter()).map(|(d, f)| known_direction(*d, (1.0 / f) as f32));
    Ok(Calibration::new(Method::Subject, lights.collect(), Vec::new()).with_mean_intensity_one())
}

fn check(images: &ImageStack, mask: &Mask, directions: &[Vec3]) -> Result<(), CalibrateError> {
    if mask.size != images.size {
        return Err(CalibrateError::MaskSize { mask: mask.size, images: images.size });
    }
    if mask.count() == 0 {
        return Err(CalibrateError::MaskEmpty("lit surface"));
    }
    if images.count != directions.len() {
        return Err(CalibrateError::CountsDiffer {
            images: images.count,
            lights: directions.len(),
        });
    }
    Ok(())
}

fn known_direction(direction: Vec3, intensity: f32) -> CalibratedLight {
    CalibratedLight {
        image: None,
        direction: direction.normalize().into(),
        intensity,
        uncertainty_deg: None,
        position_mm: None,
        position_uncertainty_mm: None,
    }
}

fn open(n: &DVector<f64>) -> CalibrateError {
    let which: Vec<String> =
        (0..n.len()).filter(|&j| n[j] <= 1e-9).map(|j| (j + 1).to_string()).collect();
    CalibrateError::Undetermined(format!(
        "light {} is never seen beside three others; enlarge the mask or add lights",
        which.join(", ")
    ))
}

/// The projector off the directions' columns, zero in the rows that do not count; `None` where
/// fewer than four count or they lie in a plane.
fn projector(usable: &[bool], directions: &[Vec3]) -> Option<DMatrix<f64>> {
    let k = directions.len();
    if usable.iter().filter(|u| **u).count() < 4 {
        return None;
    }
    let row = |j: usize| directions[j].cast::<f64>() * f64::from(u8::from(usable[j]));
    let gram: Matrix3<f64> = (0..k).map(|j| row(j) * row(j).transpose()).sum();
    let inverse = gram.try_inverse()?;
    Some(DMatrix::from_fn(k, k, |i, j| {
        let identity = if i == j && usable[i] { 1.0 } else { 0.0 };
        identity - row(i).dot(&(inverse * row(j)))
    }))
}

/// Root mean square of `P diag(f) x` over its degrees of freedom, as a share of |x|.
fn relative_residual(p: &DMatrix<f64>, f: &DVector<f64>, x: &[f32]) -> f64 {
    let scaled = DVector::from_fn(x.len(), |j, _| f[j] * f64::from(x[j]));
    let freedom = p.trace().max(1.0);
    ((p * &scaled).norm_squared() / freedom).sqrt() / scaled.norm()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Pixels, Plane, Size};

    const SIZE: Size = Size { height: 60, width: 60 };

    fn directions(k: usize) -> Vec<Vec3> {
        let all = [(0.0, 0.0), (0.5, 0.1), (-0.4, 0.3), (0.1, -0.5), (-0.3, -0.4), (0.3, 0.5)];
        all[..k].iter().map(|&(x, y)| Vec3::new(x, y, 1.0).normalize()).collect()
    }

    /// A bump of varying albedo, 8 bits, with shadows; a glossy patch in the middle.
    fn bump(directions: &[Vec3], intensities: &[f32]) -> ImageStack {
        let mut pixels = Vec::new();
        for (l, e) in directions.iter().zip(intensities) {
            pixels.extend((0..SIZE.area()).map(|p| {
                let (x, y) = ((p % 60) as f32 / 30.0 - 1.0, 1.0 - (p / 60) as f32 / 30.0);
                let normal = Vec3::new(1.3 * x, 1.1 * y, 1.0).normalize();
                let albedo = 0.5 + 0.2 * (7.0 * x).sin() * (5.0 * y).cos();
                let gloss = if x.hypot(y) < 0.2 { 0.2 * l.x.abs() } else { 0.0 };
                (200.0 * e * (albedo * normal.dot(l).max(0.0) + gloss)).round().min(255.0) as u8
            }));
        }
        ImageStack::new(SIZE, directions.len(), Pixels::U8(pixels))
    }

    #[test]
    fn intensities_come_from_the_subject_itself() {
        for truth in [vec![1.0f32, 0.8, 1.3, 0.9], vec![1.0, 0.7, 1.2, 0.9, 1.4, 0.6]] {
            let directions = directions(truth.len());
            let images = bump(&directions, &truth);
            let mask = Plane::filled(SIZE, true);
            let got = intensities_from_subject(&images, &mask, &directions).unwrap();
            let mean = truth.iter().sum::<f32>() / truth.len() as f32;
            for (got, want) in got.lights.iter().zip(&truth) {
                // Rounding to 1 of some 100 steps over thousands of samples leaves well below 1 %.
                let ratio = got.intensity / (want / mean);
                assert!((ratio - 1.0).abs() < 0.01, "{:?}, want {truth:?}", got.intensity);
            }
        }
    }

    #[test]
    fn three_lights_leave_intensities_open() {
        let directions = directions(3);
        let images = bump(&directions, &[1.0, 0.8, 1.2]);
        let mask = Plane::filled(SIZE, true);
        let error = intensities_from_subject(&images, &mask, &directions).unwrap_err();
        assert!(matches!(error, CalibrateError::TooFew { given: 3, needed: 4, .. }), "{error}");
        let error = intensities_from_subject(&images, &mask, &directions[..2]).unwrap_err();
        assert!(matches!(error, CalibrateError::CountsDiffer { images: 3, lights: 2 }), "{error}");
    }

    #[test]
    fn a_tilted_card_gives_intensities_by_its_cosines() {
        let normal = Vec3::new(0.2, -0.1, 1.0).normalize();
        let (directions, truth) = (directions(3), [0.5f32, 1.0, 1.5]);
        let card = |j: usize| (40_000.0 * truth[j] * normal.dot(&directions[j])) as u16;
        let pixels = (0..3).flat_map(|j| vec![card(j); SIZE.area()]).collect();
        let images = ImageStack::new(SIZE, 3, Pixels::U16(pixels));
        let mask = Plane::filled(SIZE, true);
        let got = intensities_from_flat_field(&images, &mask, &directions, normal).unwrap();
        for (got, want) in got.lights.iter().zip(truth) {
            assert!((got.intensity - want).abs() < 1e-3, "{got:?}, want {want}");
        }
        let away = Vec3::new(-1.0, 0.0, 0.1);
        let error = intensities_from_flat_field(&images, &mask, &directions, away).unwrap_err();
        assert!(error.to_string().contains("cosine"), "{error}");
    }

    #[test]
    fn what_is_no_card_and_lights_behind_the_subject_are_refused() {
        let directions = directions(5);
        // The bump falls off to black at its rim.
        let images = bump(&directions, &[1.0; 5]);
        let mask = Plane::filled(SIZE, true);
        let error = intensities_from_flat_field(&images, &mask, &directions, Vec3::z());
        let message = error.unwrap_err().to_string();
        assert!(message.contains("no evenly lit card"), "{message}");
        let behind: Vec<Vec3> = directions.iter().map(|d| -d).collect();
        let message = intensities_from_subject(&images, &mask, &behind).unwrap_err().to_string();
        assert!(message.contains("turn the signs round"), "{message}");
    }
}
