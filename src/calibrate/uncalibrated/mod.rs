//! Lights, normals and albedo of a face from the images alone.
//!
//! k images of a Lambertian surface have rank three, `X (k×p) = S B`: rows of S are lights times
//! intensities, columns of B normals times albedo. The way from X to S and B:
//!
//! 1. **Factorise** robustly, leaving out shadow and saturation ([`factorise`]). The factors are
//!    known up to any invertible 3×3 matrix: `X = (Ŝ P⁻¹)(P B̂)`.
//! 2. **Symmetry**: a face's left half mirrors its right ([`symmetry`]). That fixes the first row
//!    of P and the plane of the other two.
//! 3. **Integrability**: the normals are a surface's ([`integrability`], Yuille and Snow 1997).
//!    What is left is the generalised bas-relief ambiguity (Belhumeur, Kriegman and Yuille 1999):
//!    depth may be sheared and stretched, `z' = μ x + ν y + λ z`, with lights
//!    `s' ∝ (s_x, s_y, μ s_x + ν s_y + λ s_z)` to match, without any change of the images.
//! 4. **A face prior** chooses among those ([`relief`]) and says how sure the choice is.
//!
//! Which of convex and concave is meant is told by the prior too: faces bulge.

mod factorise;
mod integrability;
mod relief;
mod symmetry;

pub use relief::{FacePrior, GbrUncertainty};

use super::CalibrateError;
use super::result::{CalibratedLight, Calibration, Method, Warning};
use super::robust::median;
use super::samples::{SHADOW_SHARE, Samples};
use crate::geometry::Vec3;
use crate::maps::{AlbedoMap, ImageStack, Mask, NormalMap, Plane};
use nalgebra::{DMatrix, Matrix3, Matrix3xX, MatrixXx3};
use rayon::prelude::*;

/// What the images alone tell of a face and its lights.
#[derive(Clone, Debug, PartialEq)]
pub struct Uncalibrated {
    /// Directions and intensities (mean 1). The uncertainty of each is what the bas-relief
    /// ambiguity leaves under the prior; shadow, gloss and motion add a few degrees of their own,
    /// the more the larger `residual`.
    pub calibration: Calibration,
    /// Full size, NaN off the mask and where fewer than three lights count.
    pub normals: NormalMap,
    /// Share of full scale under a light of intensity 1; NaN where the normals are.
    pub albedo: AlbedoMap,
    /// What no image can tell: how far the prior leaves shear and stretch open.
    pub gbr_uncertainty: GbrUncertainty,
    /// Column of the face's mirror axis, px; `None` where symmetry was not used.
    pub axis_column: Option<f64>,
    /// Share of the light that rank three does not explain (robust spread of the residual).
    pub residual: f64,
}

/// Fewest images: three make rank three of anything.
const LEAST_IMAGES: usize = 4;
/// Fewest samples: far above the 3 k + 9 unknowns, for as many lights as anyone has.
const LEAST_SAMPLES: usize = 500;
/// Residual of the factorisation above which the images are not of one still Lambertian face.
const NOT_RANK_THREE: f64 = 0.08;
/// A convex surface bulges by 1, unrelated normals by 0; faces, with nose and eye sockets, stand
/// around 0.6. Half of that tells no more whether it is convex.
const LEAST_BULGE: f64 = 0.3;
/// Brightest to dimmest lamp beyond which the result is doubted.
const UNEQUAL: f32 = 4.0;
/// Fewer images than this leave little to tell a shadow from a dark surface: of 6 to 10 lights on
/// Extended Yale B, one person in seven comes out
/// more than 10° wrong after the allowed ambiguity; of 20, none.
const FEW_IMAGES: usize = 16;
/// Samples that an image must show: twice the three numbers of its light.
const LEAST_SEEN: usize = 6;

/// Finds lights, normals and albedo of an upright frontal face, of which nothing else is known.
///
/// # Errors
/// Fewer than four images; a mask of another size or an empty one; too few lit samples; images
/// that do not differ in their light.
pub fn uncalibrated(
    images: &ImageStack,
    mask: &Mask,
    prior: &FacePrior,
) -> Result<Uncalibrated, CalibrateError> {
    if images.count < LEAST_IMAGES {
        return Err(CalibrateError::TooFew {
            what: "images",
            given: images.count,
            needed: LEAST_IMAGES,
            remedy: "take more, each under another lamp",
        });
    }
    let samples = Samples::new(images, mask, LEAST_IMAGES.max(images.count / 5))?;
    if samples.len() < LEAST_SAMPLES {
        return Err(CalibrateError::Undetermined(format!(
            "{} samples of the face are lit by enough lights, {LEAST_SAMPLES} are needed; enlarge \
             the mask or brighten the images",
            samples.len()
        )));
    }
    for image in 0..images.count {
        let seen = (0..samples.len()).filter(|&s| samples.at(s).1[image]).count();
        if seen < LEAST_SEEN {
            return Err(CalibrateError::Unsuitable {
                image: image + 1,
                reason: format!(
                    "its lamp lights {seen} samples of the face that are not saturated, \
                     {LEAST_SEEN} are needed; leave it out"
                ),
            });
        }
    }
    let factors = factorise::factorise(&samples)?;
    let mut warnings = general_warnings(images.count, factors.residual);

    let grid = integrability::Grid::new(&samples, &factors.surface);
    let mirror = if prior.symmetric { symmetry::find(&samples, &factors.surface) } else { None };
    let basis = match &mirror {
        Some(mirror) => integrability::with_symmetry(&grid, mirror),
        None => integrability::alone(&grid),
    };
    let Some(basis) = basis else {
        return Err(CalibrateError::Undetermined(
            "the samples do not lie next to each other, or the surface is flat; enlarge the mask"
                .into(),
        ));
    };
    if prior.symmetric && mirror.is_none() {
        warnings.push(Warning::new(
            None,
            "the face shows no mirror symmetry, so the lights rest on integrability alone",
            "use frontal images, and a mask of the face without hair and background",
        ));
    }
    let (surface, lights) =
        transformed(&factors.surface, &factors.lights, &basis).ok_or_else(|| {
            CalibrateError::Undetermined("symmetry and integrability contradict each other".into())
        })?;
    let relief = relief::choose(&samples, surface, lights, prior, mirror.is_some());
    // Lamps that show a face stand on the camera's side of it, most of them at least.
    let in_front = relief.lights.column(2).iter().filter(|z| **z > 0.0).count();
    if !(relief.bulge >= LEAST_BULGE && 2 * in_front > images.count) {
        return Err(CalibrateError::Undetermined(
            "what they give has not the shape of a face; check that the face kept still, ambient \
             light was taken off and the mask holds the face alone, or take more images"
                .into(),
        ));
    }
    let mut calibration = calibration(&relief, warnings);
    let brightness = || calibration.lights.iter().map(|l| l.intensity);
    if brightness().fold(0.0, f32::max) > UNEQUAL * brightness().fold(f32::INFINITY, f32::min) {
        calibration.warnings.push(Warning::new(
            None,
            "the lamps come out very unequal, which a wrong relief does too",
            "if they are of one kind, do not trust these lights: take more images",
        ));
    }
    let (normals, albedo) = full_size(images, mask, &calibration);
    Ok(Uncalibrated {
        calibration,
        normals,
        albedo,
        gbr_uncertainty: relief.uncertainty,
        axis_column: mirror.map(|m| m.axis_column(samples.step)),
        residual: factors.residual,
    })
}

fn general_warnings(images: usize, residual: f64) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if images < FEW_IMAGES {
        warnings.push(Warning::new(
            None,
            format!("{images} images leave shadows hard to tell from the surface"),
            "take sixteen or more, or calibrate with a sphere",
        ));
    }
    if residual > NOT_RANK_THREE {
        warnings.push(Warning::new(
            None,
            format!("{:.0} % of the light is not that of a still matte face", 100.0 * residual),
            "check that the face kept still, ambient light was taken off and values are linear",
        ));
    }
    warnings
}

/// `P B` and `S P⁻¹`.
fn transformed(
    surface: &Matrix3xX<f64>,
    lights: &MatrixXx3<f64>,
    basis: &Matrix3<f64>,
) -> Option<(Matrix3xX<f64>, MatrixXx3<f64>)> {
    Some((basis * surface, lights * basis.try_inverse()?))
}

fn calibration(relief: &relief::Relief, warnings: Vec<Warning>) -> Calibration {
    let lights = relief
        .lights
        .row_iter()
        .zip(&relief.light_errors_deg)
        .map(|(row, error)| {
            let light = row.transpose();
            CalibratedLight {
                image: None,
                direction: light.normalize().cast::<f32>().into(),
                intensity: light.norm() as f32,
                uncertainty_deg: Some(*error as f32),
                position_mm: None,
                position_uncertainty_mm: None,
            }
        })
        .collect();
    Calibration::new(Method::Uncalibrated, lights, warnings).with_mean_intensity_one()
}

/// Normals and albedo of every pixel of the mask by least squares over the images in which it is
/// neither saturated nor in shadow.
fn full_size(
    images: &ImageStack,
    mask: &Mask,
    calibration: &Calibration,
) -> (NormalMap, AlbedoMap) {
    let lights = calibration.lights().light_matrix();
    let (values, white) = images.to_shares();
    let area = images.size.area();
    let scaled: Vec<Vec3> = (0..area)
        .into_par_iter()
        .map(|p| {
            let undefined = Vec3::repeat(f32::NAN);
            if !mask.data[p] {
                return undefined;
            }
            let seen = |j: usize| values[j * area + p];
            let mut sorted: Vec<f64> = (0..images.count).map(|j| f64::from(seen(j))).collect();
            let bright = super::robust::percentile(&mut sorted, 0.9) as f32;
            let mut gram = Matrix3::zeros();
            let mut right = nalgebra::Vector3::zeros();
            let mut used = 0;
            for (j, white) in white.iter().enumerate() {
                let value = seen(j);
                if value > SHADOW_SHARE * bright && value < *white {
                    let row = lights.row(j).transpose();
                    gram += row * row.transpose();
                    right += row * f64::from(value);
                    used += 1;
                }
            }
            match gram.cholesky() {
                Some(factor) if used >= 3 => factor.solve(&right).cast(),
                _ => undefined,
            }
        })
        .collect();
    let normals = NormalMap::from_fn(images.size, |r, c| {
        let g = scaled[r * images.size.width + c];
        g / g.norm()
    });
    (normals, Plane::new(images.size, scaled.iter().map(Vec3::norm).collect()))
}

/// The two smallest eigenvectors and all eigenvalues of a symmetric matrix, ascending.
fn ascending(matrix: DMatrix<f64>) -> (Vec<f64>, DMatrix<f64>) {
    let eigen = matrix.symmetric_eigen();
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*a].total_cmp(&eigen.eigenvalues[*b]));
    let values = order.iter().map(|&i| eigen.eigenvalues[i]).collect();
    let vectors = eigen.eigenvectors.select_columns(&order);
    (values, vectors)
}

/// Median of anything that can be iterated.
fn median_of(values: impl Iterator<Item = f64>) -> f64 {
    median(&mut values.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::angle_between_deg;
    use crate::maps::{Pixels, Size};
    use crate::synth::height_field::{Scene, render};

    /// Sixteen lights, 18–50° from the camera axis.
    fn angles() -> Vec<[f32; 2]> {
        (0..16).map(|i| [18.0 + 2.0 * i as f32, (i * 137 % 360) as f32]).collect()
    }

    fn errors_deg(got: &[Vec3], want: &[Vec3]) -> Vec<f32> {
        got.iter().zip(want).map(|(a, b)| angle_between_deg(*a, *b)).collect()
    }

    fn mean(values: &[f32]) -> f32 {
        values.iter().sum::<f32>() / values.len() as f32
    }

    /// Mean angle after the best `s_z' = μ s_x + ν s_y + λ s_z`, found in least squares on the
    /// slopes `s_z / √(s_x² + s_y²)` of the true lights.
    fn error_after_gbr(got: &[Vec3], want: &[Vec3]) -> f32 {
        let sideways = |s: &Vec3| s.x.hypot(s.y);
        let rows = nalgebra::MatrixXx3::from_fn(got.len(), |j, i| got[j][i] / sideways(&got[j]));
        let slopes = nalgebra::DVector::from_fn(got.len(), |j, _| want[j].z / sideways(&want[j]));
        let q = (rows.transpose() * &rows).try_inverse().unwrap() * rows.transpose() * slopes;
        let moved: Vec<Vec3> =
            got.iter().map(|s| Vec3::new(s.x, s.y, q[0] * s.x + q[1] * s.y + q[2] * s.z)).collect();
        mean(&errors_deg(&moved, want))
    }

    fn face(seed: u64, lights: usize) -> crate::synth::height_field::Rendering {
        let mut scene = Scene::sample(seed, 0, Size::new(200, 160));
        scene.light_angles_deg = angles()[..lights].to_vec();
        scene.options.ambient_dn = 0.0;
        render(&scene)
    }

    #[test]
    fn lights_of_synthetic_faces_are_found() {
        for seed in 1..=4 {
            let made = face(seed, 16);
            let got = uncalibrated(&made.images, &made.truth.mask, &FacePrior::default()).unwrap();
            let found = got.calibration.lights().directions;
            let before = mean(&errors_deg(&found, &made.lights.directions));
            let after = error_after_gbr(&found, &made.lights.directions);
            // Shadow, gloss and noise are as in photographs, but nothing moves and nothing is
            // asymmetric beyond the pose: a quarter of the 8° that photographs are allowed.
            assert!(after < 2.0, "seed {seed}: {after}° after the allowed ambiguity");
            assert!(before < 8.0, "seed {seed}: {before}°");
            // Each light is as bright as the others; relief that is off shows as a trend in
            // intensity of the order of its error.
            for e in got.calibration.lights().intensities {
                assert!((e - 1.0).abs() < 0.15, "seed {seed}: intensity {e}");
            }
            // Where normals are claimed they are the face's, within the ambiguity.
            let angles: Vec<f32> = (0..made.truth.mask.data.len())
                .map(|p| angle_between_deg(got.normals.at(p), made.truth.normals.at(p)))
                .filter(|a| a.is_finite())
                .collect();
            assert!(angles.len() > made.truth.mask.count() * 9 / 10);
            assert!(mean(&angles) < 12.0, "seed {seed}: normals off by {}°", mean(&angles));
        }
    }

    #[test]
    fn dimmer_lights_are_found_dimmer_and_stay_where_they_are() {
        let made = face(1, 12);
        let Pixels::U8(raw) = &made.images.pixels else { panic!("8-bit images") };
        let area = made.images.size.area();
        let gain = |image: usize| if image.is_multiple_of(3) { 0.5 } else { 1.0 };
        let dimmed = raw.iter().enumerate().map(|(i, &v)| f32::from(v) / 255.0 * gain(i / area));
        let images = ImageStack::new(made.images.size, 12, Pixels::F32(dimmed.collect()))
            .with_white((0..12).map(gain).collect());
        let prior = FacePrior::default();
        let equal = uncalibrated(&made.images, &made.truth.mask, &prior).unwrap().calibration;
        let got = uncalibrated(&images, &made.truth.mask, &prior).unwrap().calibration;
        let turned = errors_deg(&got.lights().directions, &equal.lights().directions);
        assert!(mean(&turned) < 1.0, "{turned:?}");
        let mean_gain = (0..12).map(gain).sum::<f32>() / 12.0;
        for (j, (got, equal)) in got.lights.iter().zip(&equal.lights).enumerate() {
            let ratio = got.intensity / equal.intensity / (gain(j) / mean_gain);
            assert!((ratio - 1.0).abs() < 0.03, "light {j}: {ratio}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let made = face(2, 6);
        let solve = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let prior = FacePrior::default();
            pool.install(|| uncalibrated(&made.images, &made.truth.mask, &prior).unwrap())
        };
        let (one, three) = (solve(1), solve(3));
        assert_eq!(one.calibration, three.calibration);
        let bits = |map: &NormalMap| map.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&one.normals), bits(&three.normals));
    }

    #[test]
    fn what_is_no_face_under_several_lights_is_refused() {
        let made = face(3, 4);
        let prior = FacePrior::default();
        let mask = &made.truth.mask;
        let three = ImageStack::new(made.images.size, 3, Pixels::U8(vec![9; 3 * mask.data.len()]));
        let error = uncalibrated(&three, mask, &prior).unwrap_err();
        assert!(matches!(error, CalibrateError::TooFew { given: 3, .. }), "{error}");

        let Pixels::U8(raw) = &made.images.pixels else { panic!("8-bit images") };
        let one = &raw[..mask.data.len()];
        let same = ImageStack::new(made.images.size, 5, Pixels::U8(one.repeat(5)));
        let error = uncalibrated(&same, mask, &prior).unwrap_err();
        assert!(matches!(error, CalibrateError::Undetermined(_)), "{error}");

        let noise = (0..5 * mask.data.len() as u64)
            .map(|i| 100 + (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as u8);
        let noise = ImageStack::new(made.images.size, 5, Pixels::U8(noise.collect()));
        assert!(uncalibrated(&noise, mask, &prior).is_err());

        let dark = ImageStack::new(made.images.size, 5, Pixels::U8(vec![1; 5 * mask.data.len()]));
        let error = uncalibrated(&dark, mask, &prior).unwrap_err();
        assert!(matches!(error, CalibrateError::Undetermined(_)), "{error}");
        let other = Plane::filled(Size::new(3, 4), true);
        let error = uncalibrated(&made.images, &other, &prior).unwrap_err();
        assert!(matches!(error, CalibrateError::MaskSize { .. }), "{error}");
    }
}
