//! Do the lights stand in the order of the images?
//!
//! A light file that is sorted otherwise than the images solves without complaint, and makes a
//! wrong face. Two things give it away. With more than three lights, the images no longer fit
//! `I = L g`. And the normals no longer belong to a surface: `∂q/∂x − ∂p/∂y`, which is zero for
//! the slopes of a depth, grows (Frankot and Chellappa 1988). Half a turn about the camera's axis
//! keeps both, and turns the face inside out: a surface that is hollow as a whole is told apart
//! by its normals leaning inward.

use super::samples::Samples;
use super::{CalibrateError, Warning};
use crate::maps::{ImageStack, Lights, Mask};
use nalgebra::{DMatrix, Matrix3xX};
use rayon::prelude::*;

/// How well one order of the lights fits the images.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderScore {
    /// `permutation[j]` is the light that image j was taken under.
    pub permutation: Vec<usize>,
    /// Root mean square of `I − L g` as a share of that of I; 0 for three lights.
    pub residual: f64,
    /// Sum of |∂q/∂x − ∂p/∂y| over that of all slopes' changes: 0 for a surface, about 0.6 for
    /// unrelated slopes.
    pub curl: f64,
    /// Whether the surface bulges toward the camera.
    pub convex: bool,
}

impl OrderScore {
    /// Both misfits together, lower is better.
    pub fn misfit(&self) -> f64 {
        self.residual + self.curl
    }
}

/// The orders tried, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct LightOrder {
    /// The order as given.
    pub given: OrderScore,
    /// Convex orders first, then by misfit.
    pub tried: Vec<OrderScore>,
    /// The best order, where it fits markedly better than the given one.
    pub better: Option<OrderScore>,
}

impl LightOrder {
    /// What to tell the user, if anything.
    pub fn warning(&self) -> Option<Warning> {
        let better = self.better.as_ref()?;
        let order: Vec<String> = better.permutation.iter().map(|l| (l + 1).to_string()).collect();
        Some(Warning::new(
            None,
            format!(
                "the lights seem to stand in another order than the images (misfit {:.2}, {:.2} in \
                 the order {})",
                self.given.misfit(),
                better.misfit(),
                order.join(" ")
            ),
            "check the light file against the images",
        ))
    }
}

/// Most lights whose every order is tried: 8! = 40,320.
pub const MOST_LIGHTS: usize = 8;
/// Orders whose curl is looked at: those that leave the least residual.
const LOOKED_AT: usize = 128;
/// A misfit below this share of the given order's is markedly better. True orders differ from
/// wrong ones by a factor of two and more; noise alone, by a few per cent.
const MARKEDLY: f64 = 0.7;
/// Slopes beyond tan 80° are not believed (as in integration).
const MAX_SLOPE: f64 = 5.671_281_819_617_709;

/// Tries every order of at most eight lights; samples a few thousand places of the mask
/// that every light reaches.
///
/// # Errors
/// Fewer than three or more than eight lights; not one an image; a mask of another size or an
/// empty one; too little that all lights reach.
pub fn light_order(
    images: &ImageStack,
    mask: &Mask,
    lights: &Lights,
) -> Result<LightOrder, CalibrateError> {
    let k = lights.len();
    if images.count != k {
        return Err(CalibrateError::CountsDiffer { images: images.count, lights: k });
    }
    if !(3..=MOST_LIGHTS).contains(&k) {
        return Err(CalibrateError::TooFew {
            what: "lights",
            given: k,
            needed: 3,
            remedy: "orders are tried for three to eight lights",
        });
    }
    let samples = Samples::new(images, mask, k)?;
    if samples.len() < 100 {
        return Err(CalibrateError::Undetermined(format!(
            "only {} places are reached by every light; enlarge the mask",
            samples.len()
        )));
    }
    let matrix = DMatrix::from_fn(k, 3, |row, i| lights.light_matrix()[(row, i)]);
    let pseudo = matrix.clone().pseudo_inverse(1e-6).map_err(|e| {
        CalibrateError::Undetermined(format!("the lights cannot be inverted ({e})"))
    })?;
    let off = DMatrix::identity(k, k) - &matrix * &pseudo;
    let observed = DMatrix::from_fn(k, samples.len(), |j, s| f64::from(samples.at(s).0[j]));
    let moment = &observed * observed.transpose();

    let mut orders = permutations(k);
    // Σ |off Π x|² over samples needs only the images' second moments.
    let residual = |order: &[usize]| {
        let mut sum = 0.0;
        for i in 0..k {
            for j in 0..k {
                sum += off[(order[i], order[j])] * moment[(i, j)];
            }
        }
        (sum.max(0.0) / moment.trace()).sqrt()
    };
    let mut residuals: Vec<(f64, usize)> =
        orders.par_iter().enumerate().map(|(i, order)| (residual(order), i)).collect();
    // The given order is the first permutation, and always looked at.
    residuals[1..].sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    residuals.truncate(LOOKED_AT);
    let neighbours = samples.neighbours();
    let mut tried: Vec<OrderScore> = residuals
        .par_iter()
        .map(|&(residual, i)| {
            let order = &orders[i];
            // Column of the pseudo-inverse for each image: that of its light.
            let pseudo = pseudo.select_columns(order);
            let surface = &pseudo * &observed;
            let surface = Matrix3xX::from_fn(samples.len(), |i, s| surface[(i, s)]);
            let surface = samples.smoothed(&surface);
            OrderScore {
                permutation: order.clone(),
                residual,
                curl: curl(&surface, &neighbours),
                convex: samples.bulge(&surface) > 0.0,
            }
        })
        .collect();
    orders.clear();
    let given = tried[0].clone();
    tried.sort_by(|a, b| {
        b.convex
            .cmp(&a.convex)
            .then(a.misfit().total_cmp(&b.misfit()))
            .then(a.permutation.cmp(&b.permutation))
    });
    let best = &tried[0];
    let markedly = best.misfit() < MARKEDLY * given.misfit();
    let inside_out = !given.convex && best.convex && best.misfit() <= given.misfit() / MARKEDLY;
    let better = (best.permutation != given.permutation && best.convex && (markedly || inside_out))
        .then(|| best.clone());
    Ok(LightOrder { given, tried, better })
}

/// All orders of k things, the identity first.
fn permutations(k: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..k {
        all = all
            .into_iter()
            .flat_map(|start: Vec<usize>| {
                let rest: Vec<usize> = (0..k).filter(|i| !start.contains(i)).collect();
                rest.into_iter().map(move |next| start.iter().copied().chain([next]).collect())
            })
            .collect();
    }
    all
}

fn curl(surface: &Matrix3xX<f64>, neighbours: &[(usize, [usize; 4])]) -> f64 {
    let slopes = |s: usize| {
        let b = surface.column(s);
        // Written so that a normal turned away counts as steep, not as undefined.
        let z = b.z.max(b.norm() / 10.0);
        [-b.x / z, -b.y / z].map(|v| v.clamp(-MAX_SLOPE, MAX_SLOPE))
    };
    let (mut curl, mut all) = (0.0, f64::MIN_POSITIVE);
    for (_, around) in neighbours {
        let [left, right, above, below] = around.map(slopes);
        let (dp_dx, dq_dx) = (right[0] - left[0], right[1] - left[1]);
        let (dp_dy, dq_dy) = (above[0] - below[0], above[1] - below[1]);
        curl += (dq_dx - dp_dy).abs();
        all += dp_dx.abs() + dq_dx.abs() + dp_dy.abs() + dq_dy.abs();
    }
    curl / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Vec3, light_from_zenith_azimuth};
    use crate::maps::{Pixels, Plane, Size};

    /// A bumpy convex surface under these lights, 8 bits.
    fn images(lights: &[Vec3]) -> ImageStack {
        let size = Size::new(80, 80);
        let mut pixels = Vec::new();
        for l in lights {
            pixels.extend((0..size.area()).map(|p| {
                let (x, y) = ((p % 80) as f32 / 40.0 - 1.0, 1.0 - (p / 80) as f32 / 40.0);
                // z = −0.4 x² − 0.3 y² + 0.03 sin 6x cos 5y
                let p = -0.8 * x + 0.18 * (6.0 * x).cos() * (5.0 * y).cos();
                let q = -0.6 * y - 0.15 * (6.0 * x).sin() * (5.0 * y).sin();
                let normal = Vec3::new(-p, -q, 1.0).normalize();
                let albedo = 0.7 + 0.2 * (9.0 * (x + y)).sin();
                (220.0 * albedo * normal.dot(l).max(0.0)).round() as u8
            }));
        }
        ImageStack::new(size, lights.len(), Pixels::U8(pixels))
    }

    fn lights(angles: &[(f32, f32)]) -> Vec<Vec3> {
        angles.iter().map(|&(z, a)| light_from_zenith_azimuth(z, a)).collect()
    }

    #[test]
    fn a_wrong_order_is_found_for_three_four_and_six_lights() {
        let rigs: [&[(f32, f32)]; 3] = [
            &[(25.0, 90.0), (30.0, 215.0), (27.0, 330.0)],
            &[(25.0, 135.0), (31.0, 45.0), (28.0, 315.0), (26.0, 225.0)],
            &[
                (25.0, 0.0),
                (30.0, 60.0),
                (35.0, 120.0),
                (28.0, 180.0),
                (33.0, 240.0),
                (20.0, 300.0),
            ],
        ];
        for angles in rigs {
            let truth = lights(angles);
            let images = images(&truth);
            let mask = Plane::filled(images.size, true);
            let right = light_order(&images, &mask, &Lights::directional(truth.clone())).unwrap();
            assert_eq!(right.better, None, "k = {}", truth.len());

            let k = truth.len();
            // Every way of writing the file: turned, swapped, reversed.
            let shuffles = [
                (0..k).map(|i| (i + 1) % k).collect::<Vec<_>>(),
                (0..k)
                    .map(|i| {
                        if i == 0 {
                            1
                        } else if i == 1 {
                            0
                        } else {
                            i
                        }
                    })
                    .collect(),
                (0..k).rev().collect(),
                (0..k).map(|i| (i + k / 2) % k).collect(),
            ];
            for shuffle in shuffles {
                let shuffled = Lights::directional(truth.clone()).select(&shuffle);
                let found = light_order(&images, &mask, &shuffled).unwrap();
                let better =
                    found.better.as_ref().unwrap_or_else(|| panic!("{shuffle:?}: {found:?}"));
                for (j, &light) in better.permutation.iter().enumerate() {
                    assert_eq!(shuffle[light], j, "k = {k}, shuffled {shuffle:?}");
                }
                assert!(found.warning().unwrap().what.contains("another order"));
            }
        }
    }

    #[test]
    fn there_are_k_factorial_orders_and_the_first_is_as_given() {
        let all = permutations(5);
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (120, 120));
        assert_eq!(all[0], [0, 1, 2, 3, 4]);
    }
}
