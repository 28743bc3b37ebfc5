//! Whether the lights are as bright as stated, from the images alone.
//!
//! k images of a Lambertian surface lie in the three-dimensional column space of the light matrix
//! L. What sticks out of it is `R I` with the projector `R = 1 − L (Lᵀ L)⁻¹ Lᵀ`. If image j came
//! out too bright by a factor `1/c_j`, then `R D I = 0` with `D = diag(c)`, and over all blocks
//!
//! `Σ |R D I|² = cᵀ A c`, `A = Σ R ∘ (I Iᵀ)`
//!
//! (R is a projector, so `Rᵀ R = R`; ∘ multiplies entry by entry). Where an image is missing at a
//! block (saturated, in shadow), R is made of the remaining lights and is zero for the missing one.
//! Some sets of lights hardly determine some brightness, so the estimate weighs the residual against
//! what lamps are known to do, as a maximum a posteriori estimate does: with A scaled to the images'
//! energy,
//!
//! `min (N / σ²) cᵀ A c + |c − 1|² / s²`,
//!
//! σ the model error of skin, N the number of independent parts of a face, s the spread of lamps. It
//! is linear in c. Needs k ≥ 4: three lights explain any three values.

use super::coarse::Coarse;
use super::finding::{Finding, FindingCode, Severity, percent};
use crate::maps::Lights;
use nalgebra::{DMatrix, DVector, Matrix3};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::rc::Rc;

/// Fewest blocks that a statistic over them may rest on.
pub(super) const MIN_BLOCKS: usize = 200;
/// Deviation of a light from its stated intensity that is worth mending. Flash lamps repeat within
/// a few per cent and the fall-off over a rig's tolerances reaches ten; at twenty, normals turn by
/// several degrees.
pub const MAX_GAIN_DEVIATION: f64 = 0.2;
/// The corrected intensities must leave at most this share of the residual; else they only follow
/// what is not Lambertian in the images.
pub const EXPLAINED: f64 = 0.5;
/// What a matt model leaves of real skin, root mean square as a share of the intensities.
const MODEL_ERROR: f64 = 0.02;
/// Model errors are shared by whole parts of a face: forehead, brows, eyes, nose, cheeks, lips,
/// chin.
const INDEPENDENT_PARTS: f64 = 12.0;
/// Spread of brightness that lamps stated as equal are likely to have.
const LAMP_SPREAD: f64 = 0.2;
/// One lamp may leave this much more than all lamps do and still be the better tale.
const HARDLY_MORE: f64 = 1.25;
/// Any other lamp must leave this much more for the one to be named.
const CLEARLY_MORE: f64 = 1.5;
/// Share of the blocks that the estimate rests on: the rest, those that fit worst, lie in cast
/// shadows and highlights. Half of the data can never be spared.
pub(super) const KEPT: f64 = 0.7;
pub(super) const ROUNDS: usize = 4;

/// How bright each light is, next to what was stated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LightGains {
    /// Brightness over stated intensity, median 1; 0.6 is a light 40 % too dim. Negative where
    /// no brightness explains an image: it belongs to another light.
    pub gains: Vec<f64>,
    /// Root mean square over the lights of what the light matrix cannot explain, as a share of the
    /// intensities: with the lights as stated, and with the gains.
    pub residual_share: f64,
    pub residual_share_corrected: f64,
}

/// The estimate and the blocks that it rests on: those that fit best.
pub(super) struct GainFit {
    pub gains: LightGains,
    pub kept: Vec<usize>,
}

impl LightGains {
    /// True where every gain can be a lamp's, and they explain most of the residual.
    pub(super) fn explain(&self) -> bool {
        self.gains.iter().all(|g| (0.1..10.0).contains(g))
            && self.residual_share > MODEL_ERROR
            && self.residual_share_corrected < EXPLAINED * self.residual_share
    }
}

/// The projectors R for every set of lights that occurs.
pub(super) struct Projectors {
    rows: Vec<[f64; 3]>,
    known: HashMap<Vec<bool>, Option<Rc<DMatrix<f64>>>>,
}

impl Projectors {
    pub fn new(lights: &Lights) -> Self {
        let rows = lights.light_matrix().row_iter().map(|r| [r[0], r[1], r[2]]).collect();
        Self { rows, known: HashMap::new() }
    }

    /// R over the lights that are present; `None` for fewer than four, or ones in a plane.
    pub fn get(&mut self, present: Vec<bool>) -> Option<Rc<DMatrix<f64>>> {
        let rows = &self.rows;
        self.known.entry(present).or_insert_with_key(|p| projector(rows, p).map(Rc::new)).clone()
    }
}

fn projector(rows: &[[f64; 3]], present: &[bool]) -> Option<DMatrix<f64>> {
    let k = rows.len();
    let count = present.iter().filter(|&&p| p).count();
    if count < 4 {
        return None;
    }
    let light = DMatrix::from_fn(k, 3, |j, c| if present[j] { rows[j][c] } else { 0.0 });
    let gram: Matrix3<f64> = (light.transpose() * &light).fixed_view::<3, 3>(0, 0).into_owned();
    let singular = gram.singular_values();
    if singular.min() <= 1e-6 * singular.max() {
        return None;
    }
    let inverse = gram.try_inverse()?;
    let mut r = -(&light * inverse * light.transpose());
    for j in (0..k).filter(|&j| present[j]) {
        r[(j, j)] += 1.0;
    }
    Some(r)
}

/// One block: its values, zero where missing, and the projector of those that are there.
struct Block {
    at: usize,
    values: DVector<f64>,
    projector: Rc<DMatrix<f64>>,
}

/// The intensities that explain the images best; `None` for fewer than four lights or too few
/// blocks that four of them reach.
pub(super) fn light_gains(coarse: &Coarse, lights: &Lights) -> Option<GainFit> {
    let mut projectors = Projectors::new(lights);
    let blocks: Vec<Block> = (0..coarse.size.area())
        .filter_map(|at| {
            let values = coarse.column(at);
            let projector = projectors.get(values.iter().map(|v| !v.is_nan()).collect())?;
            let present = values.iter().map(|v| if v.is_nan() { 0.0 } else { *v });
            Some(Block { at, values: DVector::from_iterator(values.len(), present), projector })
        })
        .collect();
    if blocks.len() < MIN_BLOCKS {
        return None;
    }
    let stated = DVector::from_element(coarse.count, 1.0);
    let mut corrections = stated.clone();
    let mut kept: Vec<&Block> = blocks.iter().collect();
    for round in 0..ROUNDS {
        if round > 0 {
            kept = best_fitting(&blocks, &corrections);
        }
        corrections = best_corrections(&kept, coarse.count)?;
    }
    let residual_share = |c: &DVector<f64>| {
        let (lost, whole) = kept.iter().fold((0.0, 0.0), |(lost, whole), block| {
            let (l, w) = energies(block, c);
            (lost + l, whole + w)
        });
        (lost / whole).sqrt()
    };
    let gains = LightGains {
        gains: corrections.iter().map(|c| 1.0 / c).collect(),
        residual_share: residual_share(&stated),
        residual_share_corrected: residual_share(&corrections),
    };
    Some(GainFit { gains, kept: kept.iter().map(|block| block.at).collect() })
}

/// `|R D I|²` and `|D I|²`.
fn energies(block: &Block, corrections: &DVector<f64>) -> (f64, f64) {
    let corrected = block.values.component_mul(corrections);
    ((&*block.projector * &corrected).norm_squared(), corrected.norm_squared())
}

fn best_fitting<'a>(blocks: &'a [Block], corrections: &DVector<f64>) -> Vec<&'a Block> {
    let mut ranked: Vec<(f64, &Block)> = blocks
        .iter()
        .map(|block| {
            let (lost, whole) = energies(block, corrections);
            (lost / whole, block)
        })
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate((KEPT * blocks.len() as f64) as usize);
    ranked.into_iter().map(|(_, block)| block).collect()
}

/// The corrections c, of median size 1; `None` if a light is missing everywhere.
///
/// One lamp that is off is likelier than all of them being off a little: where changing a single c
/// leaves no more than skin does, or hardly more than changing all, it is that one.
fn best_corrections(blocks: &[&Block], k: usize) -> Option<DVector<f64>> {
    let (mut a, mut energy) = (DMatrix::zeros(k, k), DVector::zeros(k));
    for block in blocks {
        let v = &block.values;
        a += block.projector.component_mul(&(v * v.transpose()));
        energy += v.component_mul(v);
    }
    if energy.min() <= 0.0 {
        return None;
    }
    a /= energy.sum();
    let stated = DVector::from_element(k, 1.0);
    let mut penalised = a.scale(INDEPENDENT_PARTS * (LAMP_SPREAD / MODEL_ERROR).powi(2));
    for j in 0..k {
        penalised[(j, j)] += 1.0;
    }
    let all = of_median_size_one(penalised.cholesky()?.solve(&stated));
    let residual = |c: &DVector<f64>| c.dot(&(&a * c)).max(0.0).sqrt();
    let mut singles: Vec<(f64, DVector<f64>)> = (0..k)
        .map(|j| {
            let mut c = stated.clone();
            c[j] = 1.0 - a.row(j).sum() / a[(j, j)].max(f64::MIN_POSITIVE);
            (residual(&c), c)
        })
        .collect();
    singles.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (left, single) = &singles[0];
    let enough = *left <= MODEL_ERROR.max(HARDLY_MORE * residual(&all));
    let clear = singles[1].0 > CLEARLY_MORE * left;
    let needed = residual(&stated) > MODEL_ERROR;
    Some(if needed && enough && clear { single.clone() } else { all })
}

fn of_median_size_one(corrections: DVector<f64>) -> DVector<f64> {
    let mut sizes: Vec<f64> = corrections.iter().map(|c| c.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let median = 0.5 * (sizes[(sizes.len() - 1) / 2] + sizes[sizes.len() / 2]);
    let unit = if corrections.sum() < 0.0 { -median } else { median };
    corrections / unit
}

pub(super) fn findings(gains: &LightGains, found: &mut Vec<Finding>) {
    if !gains.explain() {
        return;
    }
    let off: Vec<String> = gains
        .gains
        .iter()
        .enumerate()
        .filter(|(_, g)| (*g - 1.0).abs() > MAX_GAIN_DEVIATION)
        .map(|(j, g)| format!("light {} is {g:.2} times as bright as stated", j + 1))
        .collect();
    if off.is_empty() {
        return;
    }
    found.push(Finding::new(
        FindingCode::LightIntensity,
        Severity::Warning,
        format!(
            "{} (the median light being 1); with these brightnesses the residual falls from {} to {} of the intensities",
            off.join(", "),
            percent(gains.residual_share),
            percent(gains.residual_share_corrected)
        ),
        "measure the intensities on a white card or a grey sphere, or calibrate them from the \
         images, and state them in the light file; check the lamp",
    ));
}
