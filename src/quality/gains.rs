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
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

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

/// The column space of the light matrix of some lights, as `C⁻¹` of their Gram matrix `C Cᵀ`.
///
/// With `q_j = C⁻¹ l_j` the projector is `R = 1 − Q Qᵀ`: no k × k matrix is needed to apply it.
pub(super) struct Span([f64; 6]);

impl Span {
    /// `None` for fewer than four lights, or ones in a plane.
    pub fn new<'a>(rows: impl Iterator<Item = &'a [f64; 3]>) -> Option<Self> {
        let (mut g, mut count) = ([0.0; 6], 0);
        for [x, y, z] in rows {
            count += 1;
            for (sum, v) in g.iter_mut().zip([x * x, x * y, y * y, x * z, y * z, z * z]) {
                *sum += v;
            }
        }
        let least = 1e-6 * (g[0] + g[2] + g[5]);
        let a = g[0].sqrt();
        let b = g[1] / a;
        let c_squared = g[2] - b * b;
        let c = c_squared.sqrt();
        let d = g[3] / a;
        let e = (g[4] - b * d) / c;
        let f_squared = g[5] - d * d - e * e;
        let f = f_squared.sqrt();
        let spans = count >= 4 && g[0] > least && c_squared > least && f_squared > least;
        spans.then(|| {
            let (a, c, f) = (1.0 / a, 1.0 / c, 1.0 / f);
            Self([a, -b * a * c, c, (b * e * c - d) * a * f, -e * c * f, f])
        })
    }

    /// `q = C⁻¹ l`.
    pub fn coordinates(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let [a, b, c, d, e, f] = self.0;
        [a * x, b * x + c * y, d * x + e * y + f * z]
    }
}

pub(super) fn light_rows(lights: &Lights) -> Vec<[f64; 3]> {
    lights.light_matrix().row_iter().map(|r| [r[0], r[1], r[2]]).collect()
}

/// Blocks that four lights or more reach. `|R D I|²` is `Σ c_j² I_j² − |Σ c_j I_j q_j|²`.
struct Blocks {
    k: usize,
    at: Vec<usize>,
    /// `I_j²`, k to a block.
    squares: Vec<f64>,
    /// `I_j q_j`, per block all first components, then the second, then the third.
    spread: Vec<f64>,
}

impl Blocks {
    fn new(coarse: &Coarse, lights: &Lights) -> Self {
        let (k, rows) = (coarse.count, light_rows(lights));
        let seen = coarse.seen();
        let reached: Vec<usize> = (0..seen.len()).filter(|&at| seen[at] >= 4).collect();
        let thinned = coarse.thinned(&reached);
        let columns = coarse.columns(&thinned);
        let mut blocks = Self { k, at: Vec::new(), squares: Vec::new(), spread: Vec::new() };
        for (at, values) in thinned.into_iter().zip(columns.chunks_exact(k)) {
            let present = rows.iter().zip(values).filter(|(_, v)| **v > 0.0).map(|(row, _)| row);
            let Some(span) = Span::new(present) else { continue };
            blocks.at.push(at);
            blocks.squares.extend(values.iter().map(|v| v * v));
            let start = blocks.spread.len();
            blocks.spread.resize(start + 3 * k, 0.0);
            for (j, (row, v)) in rows.iter().zip(values).enumerate() {
                for (c, q) in span.coordinates(*row).into_iter().enumerate() {
                    blocks.spread[start + c * k + j] = v * q;
                }
            }
        }
        blocks
    }

    /// `|R D I|²` and `|D I|²` of each block.
    fn energies<'a>(&'a self, c: &'a DVector<f64>) -> impl Iterator<Item = (f64, f64)> + 'a {
        let c = c.as_slice();
        let each = self.squares.chunks_exact(self.k).zip(self.spread.chunks_exact(3 * self.k));
        each.map(move |(squares, spread)| {
            let whole: f64 = squares.iter().zip(c).map(|(s, c)| c * c * s).sum();
            let inside: f64 = spread
                .chunks_exact(self.k)
                .map(|part| part.iter().zip(c).map(|(m, c)| c * m).sum::<f64>().powi(2))
                .sum();
            ((whole - inside).max(0.0), whole)
        })
    }
}

/// The intensities that explain the images best; `None` for fewer than four lights or too few
/// blocks that four of them reach. An estimate that is near already saves the first rounds.
pub(super) fn light_gains(
    coarse: &Coarse,
    lights: &Lights,
    near: Option<&GainFit>,
) -> Option<GainFit> {
    let blocks = Blocks::new(coarse, lights);
    if blocks.at.len() < MIN_BLOCKS {
        return None;
    }
    let stated = DVector::from_element(coarse.count, 1.0);
    let mut kept: Vec<usize> = (0..blocks.at.len()).collect();
    let mut corrections = match near {
        None => best_corrections(&blocks, &kept)?,
        Some(fit) => DVector::from_iterator(coarse.count, fit.gains.gains.iter().map(|g| 1.0 / g)),
    };
    for _ in if near.is_some() { ROUNDS - 1..ROUNDS } else { 1..ROUNDS } {
        kept = best_fitting(&blocks, &corrections);
        corrections = best_corrections(&blocks, &kept)?;
    }
    let residual_share = |c: &DVector<f64>| {
        let energies: Vec<(f64, f64)> = blocks.energies(c).collect();
        let (lost, whole) =
            kept.iter().fold((0.0, 0.0), |sum, &i| (sum.0 + energies[i].0, sum.1 + energies[i].1));
        (lost / whole).sqrt()
    };
    let gains = LightGains {
        gains: corrections.iter().map(|c| 1.0 / c).collect(),
        residual_share: residual_share(&stated),
        residual_share_corrected: residual_share(&corrections),
    };
    Some(GainFit { gains, kept: kept.iter().map(|&i| blocks.at[i]).collect() })
}

fn best_fitting(blocks: &Blocks, corrections: &DVector<f64>) -> Vec<usize> {
    least(blocks.energies(corrections).map(|(lost, whole)| lost / whole).collect())
}

/// The places of the smallest values, a share [`KEPT`] of them, in their order.
pub(super) fn least(values: Vec<f64>) -> Vec<usize> {
    let last = ((KEPT * values.len() as f64) as usize).max(1) - 1;
    let highest = *values.clone().select_nth_unstable_by(last, f64::total_cmp).1;
    (0..values.len()).filter(|&i| values[i] <= highest).collect()
}

/// The corrections c, of median size 1; `None` if a light is missing everywhere.
///
/// One lamp that is off is likelier than all of them being off a little: where changing a single c
/// leaves no more than skin does, or hardly more than changing all, it is that one.
fn best_corrections(blocks: &Blocks, kept: &[usize]) -> Option<DVector<f64>> {
    let k = blocks.k;
    let (mut a, mut energy) = (DMatrix::zeros(k, k), DVector::<f64>::zeros(k));
    for &i in kept {
        let spread = &blocks.spread[3 * k * i..3 * k * (i + 1)];
        let ([x, y, z], squares) =
            ([0, 1, 2].map(|c| &spread[c * k..(c + 1) * k]), &blocks.squares[k * i..k * (i + 1)]);
        // Column by column, down to the diagonal; the other half is the same.
        for (l, column) in a.as_mut_slice().chunks_exact_mut(k).enumerate() {
            let (xl, yl, zl) = (x[l], y[l], z[l]);
            let (x, y, z) = (&x[..=l], &y[..=l], &z[..=l]);
            for (j, entry) in column[..=l].iter_mut().enumerate() {
                *entry -= x[j] * xl + y[j] * yl + z[j] * zl;
            }
            column[l] += squares[l];
            energy[l] += squares[l];
        }
    }
    a.fill_lower_triangle_with_upper_triangle();
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
