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
    /// Directions and intensities (mean 1), each with its uncertainty under the prior.
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
/// Fewer images than this leave little to tell a shadow from a dark surface.
const FEW_IMAGES: usize = 8;

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
    let calibration = calibration(&relief, warnings);
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
            "take eight or more, or calibrate with a sphere",
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
