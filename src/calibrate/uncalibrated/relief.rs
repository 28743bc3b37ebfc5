//! Which of the surfaces that bas-relief cannot tell apart is a face.
//!
//! Left open are `b' = A b`, `s' = s A⁻¹` with `A = [1 0 μ; 0 1 ν; 0 0 λ]`: slopes become
//! `(p − μ)/λ`, `(q − ν)/λ`. Three things are known of faces:
//!
//! - **Relief**: the median of |∂z/∂x| over a face, ear to ear and chin to hairline, is 0.72. That
//!   is the mean of a morphable model (ICT FaceKit, frontal view, its face region weighted by
//!   projected area); over random people it varies by 7 %. Masks differ: 15 % are allowed for.
//! - **Pose**: the median of ∂z/∂y is −0.03, with 0.05 over people; a head that looks at the
//!   camera nods by 5° or so, so 0.1 is allowed for in all. The same holds of turning: over x the
//!   median is zero.
//! - **Albedo**: skin is one material. The right relief leaves the least variation of log albedo
//!   (the idea of Alldrin, Mallick and Kriegman 2007, who minimise its entropy); for N
//!   independent patches with unknown spread σ the likelihood is σ⁻ᴺ.
//!
//! The product of the three is evaluated over a grid of (ν, ln λ). Its maximum is the answer, its
//! width the uncertainty.

use super::super::samples::Samples;
use super::median_of;
use nalgebra::{Matrix3, Matrix3xX, MatrixXx3};
use rayon::prelude::*;

/// What is known of a face beforehand. The default is an upright face that looks at the camera,
/// filling the mask from ear to ear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FacePrior {
    /// Use the mirror symmetry of left and right; false for a face turned aside.
    pub symmetric: bool,
    /// Median of |∂z/∂x| over the mask.
    pub median_slope_x: f64,
    /// Standard deviation of the logarithm of that.
    pub relief_spread: f64,
    /// Median of ∂z/∂y over the mask: negative where the face looks up.
    pub median_slope_y: f64,
    /// Standard deviation of the medians of both slopes, by pose and person.
    pub pose_spread: f64,
    /// Independent patches of skin, N; 0 leaves albedo out.
    pub albedo_patches: f64,
}

impl Default for FacePrior {
    fn default() -> Self {
        Self {
            symmetric: true,
            median_slope_x: 0.72,
            relief_spread: 0.15,
            median_slope_y: -0.03,
            pose_spread: 0.1,
            // Features of a face (brows, eyes, lips, cheeks, …) are about a sixth of its size.
            albedo_patches: 30.0,
        }
    }
}

/// How far the images and the prior leave the bas-relief transform open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GbrUncertainty {
    /// Standard deviation of the shear along x: depth may gain `shear_x · x`. Images cannot tell
    /// it from a turned head.
    pub shear_x: f64,
    /// Standard deviation of the shear along y.
    pub shear_y: f64,
    /// Standard deviation of the logarithm of the stretch of depth.
    pub log_stretch: f64,
}

pub(super) struct Relief {
    /// (k, 3): directions times intensities, scale left open.
    pub lights: MatrixXx3<f64>,
    /// Root mean square angle of each light over the uncertainty.
    pub light_errors_deg: Vec<f64>,
    pub uncertainty: GbrUncertainty,
    /// How far the surface bulged under either sign, 0 to 1, before the prior chose.
    pub bulge: f64,
}

/// Grid points either way and their distance in standard deviations of the prior.
const HALF_GRID: i32 = 24;
const GRID_STEP: f64 = 0.125;

pub(super) fn choose(
    samples: &Samples,
    mut surface: Matrix3xX<f64>,
    mut lights: MatrixXx3<f64>,
    prior: &FacePrior,
    symmetric: bool,
) -> Relief {
    // Toward the camera, and convex: the two signs of the ambiguity.
    if median_of(surface.row(2).iter().copied()) < 0.0 {
        flip(&mut surface, &mut lights, &[2]);
    }
    let bulge = samples.bulge(&surface);
    if bulge < 0.0 {
        flip(&mut surface, &mut lights, &[0, 1]);
    }
    // Start where relief and pose are the prior's: λ and ν follow from medians.
    let slope = |row: usize| surface.column_iter().map(|b| -b[row] / b.z).collect::<Vec<f64>>();
    let (p, q) = (slope(0), slope(1));
    let mu = if symmetric { 0.0 } else { median_of(p.iter().copied()) };
    let lambda = median_of(p.iter().map(|p| (p - mu).abs())) / prior.median_slope_x;
    let nu = median_of(q.iter().copied()) - prior.median_slope_y * lambda;
    let start = transform(mu, nu, lambda);
    surface = start * surface;
    lights *= start.try_inverse().unwrap_or_else(Matrix3::identity);

    // From here on the prior's centre is ν = 0, ln λ = 0.
    let points: Vec<(f64, f64)> = (-HALF_GRID..=HALF_GRID)
        .flat_map(|i| (-HALF_GRID..=HALF_GRID).map(move |j| (i, j)))
        .map(|(i, j)| {
            let of = |steps: i32, spread: f64| f64::from(steps) * GRID_STEP * spread;
            (of(i, prior.pose_spread), of(j, prior.relief_spread))
        })
        .collect();
    let costs: Vec<f64> = points
        .par_iter()
        .map(|&(nu, log_lambda)| {
            // Slopes become (q − ν)/λ: the median moves by ν, relief shrinks by λ.
            let pose = nu / log_lambda.exp() / prior.pose_spread;
            let relief = log_lambda / prior.relief_spread;
            let albedo = prior.albedo_patches * log_albedo_spread(&surface, nu, log_lambda).ln();
            0.5 * (pose * pose + relief * relief) + albedo
        })
        .collect();
    let best = (0..points.len())
        .min_by(|&a, &b| costs[a].total_cmp(&costs[b]))
        .expect("the grid is not empty");
    let posterior: Vec<f64> = costs.iter().map(|c| (costs[best] - c).exp()).collect();
    let total: f64 = posterior.iter().sum();
    let deviation = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let centre = of(&points[best]);
        let square = points.iter().zip(&posterior).map(|(p, w)| w * (of(p) - centre).powi(2));
        (square.sum::<f64>() / total).sqrt()
    };
    let uncertainty = GbrUncertainty {
        shear_x: prior.pose_spread,
        shear_y: deviation(&|p| p.0),
        log_stretch: deviation(&|p| p.1),
    };

    let (nu, log_lambda) = points[best];
    let light = |row: usize, mu: f64, nu: f64, log_lambda: f64| {
        sheared(&lights.row(row).transpose(), mu, nu, log_lambda.exp())
    };
    let chosen = MatrixXx3::from_fn(lights.nrows(), |row, i| light(row, 0.0, nu, log_lambda)[i]);
    let light_errors_deg = (0..lights.nrows())
        .map(|row| {
            let centre = chosen.row(row).transpose();
            let square = points.iter().zip(&posterior).map(|(&(nu, log_lambda), w)| {
                let angle = centre.angle(&light(row, 0.0, nu, log_lambda));
                w * angle * angle
            });
            let turned = centre.angle(&light(row, prior.pose_spread, nu, log_lambda));
            (square.sum::<f64>() / total + turned * turned).sqrt().to_degrees()
        })
        .collect();
    Relief { lights: chosen, light_errors_deg, uncertainty, bulge: bulge.abs() }
}

/// `A = [1 0 μ; 0 1 ν; 0 0 λ]`.
fn transform(mu: f64, nu: f64, lambda: f64) -> Matrix3<f64> {
    Matrix3::new(1.0, 0.0, mu, 0.0, 1.0, nu, 0.0, 0.0, lambda)
}

/// `s A⁻¹`.
fn sheared(
    light: &nalgebra::Vector3<f64>,
    mu: f64,
    nu: f64,
    lambda: f64,
) -> nalgebra::Vector3<f64> {
    nalgebra::Vector3::new(light.x, light.y, (light.z - mu * light.x - nu * light.y) / lambda)
}

fn flip(surface: &mut Matrix3xX<f64>, lights: &mut MatrixXx3<f64>, components: &[usize]) {
    for &i in components {
        surface.row_mut(i).neg_mut();
        lights.column_mut(i).neg_mut();
    }
}

/// Standard deviation of the logarithm of `|A b|`.
fn log_albedo_spread(surface: &Matrix3xX<f64>, nu: f64, log_lambda: f64) -> f64 {
    let lambda = log_lambda.exp();
    let (mut sum, mut squares) = (0.0, 0.0);
    for b in surface.column_iter() {
        let (y, z) = (b.y + nu * b.z, lambda * b.z);
        let log = 0.5 * (b.x * b.x + y * y + z * z).max(1e-24).ln();
        sum += log;
        squares += log * log;
    }
    let count = surface.ncols() as f64;
    let mean = sum / count;
    (squares / count - mean * mean).max(1e-12).sqrt()
}
