//! Whether the images still lie on each other, from the images alone.
//!
//! An image whose content moved by d shows `I_j(x) = S_j(x − d_j)`, so that `S_j ≈ I_j + d_j · ∇I_j`
//! for small d. The S_j are linear in g and nothing sticks out of the light matrix's column space:
//!
//! `R (I + d_x ∘ ∂I/∂x + d_y ∘ ∂I/∂y) ≈ 0`
//!
//! over all blocks (R: see [`super::gains`]). That is linear least squares in 2k unknowns. A few
//! Gauss–Newton rounds on the shifted images reach shifts of some blocks. Each round first gives the
//! lights the brightness that fits best, so that a dim lamp is not taken for a shift. What all
//! images share shows in no residual and is held at zero; shifts are told from the median image.
//! Needs k ≥ 4.

use super::coarse::Coarse;
use super::finding::{Finding, FindingCode, Severity, percent};
use super::gains::{GainFit, MIN_BLOCKS, Span, light_gains, light_rows};
use crate::maps::Lights;
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

const ROUNDS: usize = 6;
/// Largest step of a round, in blocks: beyond it the images are no longer straight lines.
const LONGEST_STEP: f64 = 1.0;
/// A step so short, in blocks, ends the rounds: a tenth of the shift that matters.
const SHORT_STEP: f64 = 0.1 * MAX_SHIFT_BLOCKS;
/// Keeps what all images share where it is, and shifts that a rig's lights hardly determine small.
const RIDGE: f64 = 1e-2;
/// Above this many lights each image is fitted by itself (Jacobi's iteration): one image of many
/// hardly moves what the others predict.
const MOST_COUPLED: usize = 12;
/// Shift that is worth mending, in blocks: it blurs what the statistics here can see. In pixels it
/// is about a 190th of the face.
pub const MAX_SHIFT_BLOCKS: f64 = 0.5;
/// The shifts must leave at most this share of the residual that the best intensities leave; else
/// they only follow highlights and shadows, which move with the light.
pub const EXPLAINED: f64 = 0.4;
/// Drift between neighbouring frames that registration is known to take out well, as a share of
/// the face's side. Beyond it expression and pose change too.
pub const MAX_DRIFT: f64 = 0.03;

/// How far each image lies from where it belongs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// Per image: right and down in pixels, from the median image.
    pub shift_px: Vec<[f64; 2]>,
    /// What the light matrix cannot explain, as a share of the intensities, lights at their best
    /// brightness: as the images lie, and with the shifts undone.
    pub residual_share: f64,
    pub residual_share_aligned: f64,
}

impl Alignment {
    /// Length of the largest shift, pixels.
    pub fn largest_px(&self) -> f64 {
        self.shift_px.iter().map(|[x, y]| x.hypot(*y)).fold(0.0, f64::max)
    }
}

/// Estimates the shifts that are left, from the gains of the images as they lie; `None` for too few
/// blocks.
pub(super) fn alignment(coarse: &Coarse, lights: &Lights, stated: &GainFit) -> Option<Alignment> {
    let before = stated.gains.residual_share_corrected;
    let mut shifts = vec![[0.0; 2]; coarse.count];
    let mut moved: Option<(Coarse, GainFit)> = None;
    for _ in 0..ROUNDS {
        let (now, fit) = moved.as_ref().map_or((coarse, stated), |(now, fit)| (now, fit));
        let steps = round(now, lights, fit)?;
        let mut longest = 0.0f64;
        for (shift, step) in shifts.iter_mut().zip(&steps) {
            let length = step[0].hypot(step[1]);
            let shrink = if length > LONGEST_STEP { LONGEST_STEP / length } else { 1.0 };
            shift[0] += shrink * step[0];
            shift[1] += shrink * step[1];
            longest = longest.max(length);
        }
        let next = unshifted(coarse, &shifts);
        let fit = light_gains(&next, lights, Some(fit))?;
        moved = Some((next, fit));
        if longest < SHORT_STEP {
            break;
        }
    }
    let after = moved?.1.gains.residual_share_corrected;
    for axis in 0..2 {
        let mut sorted: Vec<f64> = shifts.iter().map(|s| s[axis]).collect();
        sorted.sort_by(f64::total_cmp);
        let median = 0.5 * (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]);
        shifts.iter_mut().for_each(|s| s[axis] -= median);
    }
    let unit = coarse.block as f64;
    Some(Alignment {
        shift_px: shifts.iter().map(|s| s.map(|v| v * unit)).collect(),
        residual_share: before,
        residual_share_aligned: after,
    })
}

/// One Gauss–Newton step: right and down in blocks.
fn round(coarse: &Coarse, lights: &Lights, fit: &GainFit) -> Option<Vec<[f64; 2]>> {
    let (k, size) = (coarse.count, coarse.size);
    // Brightness that no lamp can have is no brightness.
    let believed = fit.gains.gains.iter().all(|g| (0.1..10.0).contains(g));
    let correction = |j: usize| if believed { 1.0 / fit.gains.gains[j] } else { 1.0 };
    let coupled = k <= MOST_COUPLED;
    let rows = light_rows(lights);
    let (mut values, mut slopes) = (vec![0.0; k], vec![[0.0; 2]; k]);
    let (mut seen, mut axes) = (vec![false; k], vec![[0.0; 3]; k]);
    let mut normal = DMatrix::<f64>::zeros(2 * k, 2 * k);
    let mut right = DVector::<f64>::zeros(2 * k);
    let mut blocks = 0;
    for &at in &fit.kept {
        let (row, column) = (at / size.width, at % size.width);
        let inside = (1..size.height - 1).contains(&row) && (1..size.width - 1).contains(&column);
        if !inside {
            continue;
        }
        for j in 0..k {
            let plane = coarse.plane(j);
            let half = |a: usize, b: usize| 0.5 * f64::from(plane[a] - plane[b]);
            let slope = [half(at + 1, at - 1), half(at + size.width, at - size.width)];
            seen[j] = !(slope[0] + slope[1] + f64::from(plane[at])).is_nan();
            values[j] = correction(j) * f64::from(plane[at]);
            slopes[j] = slope.map(|v| v * correction(j));
        }
        let reached = rows.iter().zip(&seen).filter(|(_, seen)| **seen).map(|(row, _)| row);
        let Some(span) = Span::new(reached) else { continue };
        blocks += 1;
        let mut inside = [0.0; 3];
        for j in (0..k).filter(|&j| seen[j]) {
            axes[j] = span.coordinates(rows[j]);
            (0..3).for_each(|c| inside[c] += values[j] * axes[j][c]);
        }
        let dot = |a: &[f64; 3], b: &[f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        for j in (0..k).filter(|&j| seen[j]) {
            let residual = values[j] - dot(&axes[j], &inside);
            let others = if coupled { 0..k } else { j..j + 1 };
            for a in 0..2 {
                right[2 * j + a] -= slopes[j][a] * residual;
            }
            for l in others.filter(|&l| seen[l]) {
                let projector = f64::from(u8::from(l == j)) - dot(&axes[j], &axes[l]);
                for a in 0..2 {
                    for b in 0..2 {
                        normal[(2 * j + a, 2 * l + b)] += projector * slopes[j][a] * slopes[l][b];
                    }
                }
            }
        }
    }
    if blocks < MIN_BLOCKS {
        return None;
    }
    // Each unknown in its own unit, so that the ridge means the same to all.
    let unit: Vec<f64> = (0..2 * k).map(|i| normal[(i, i)].max(f64::MIN_POSITIVE).sqrt()).collect();
    let mut scaled = DMatrix::from_fn(2 * k, 2 * k, |i, j| normal[(i, j)] / (unit[i] * unit[j]));
    for i in 0..2 * k {
        scaled[(i, i)] += RIDGE;
    }
    let right = DVector::from_fn(2 * k, |i, _| right[i] / unit[i]);
    let solved = scaled.cholesky()?.solve(&right);
    Some((0..k).map(|j| [0, 1].map(|a| solved[2 * j + a] / unit[2 * j + a])).collect())
}

/// The images with their shifts (blocks) undone, bilinear.
fn unshifted(coarse: &Coarse, shifts: &[[f64; 2]]) -> Coarse {
    let size = coarse.size;
    let mut values = vec![f32::NAN; coarse.values.len()];
    let planes = values.chunks_exact_mut(size.area().max(1));
    for ((j, [right, down]), out) in shifts.iter().enumerate().zip(planes) {
        let plane = coarse.plane(j);
        let (rows, beyond, down) = inside(size.height, *down);
        let (columns, next, right) = inside(size.width, *right);
        for row in rows.clone() {
            let from = |step: usize, column: usize| {
                let row = (row as isize + beyond) as usize + step;
                let start = (row * size.width) as isize + columns.start as isize + next;
                &plane[(start + column as isize) as usize..][..columns.len()]
            };
            // A whole shift must not look at the next block, which may not count.
            let (below, beside) = (usize::from(down > 0.0), usize::from(right > 0.0));
            let (a, b) = (from(0, 0), from(0, beside));
            let (c, d) = (from(below, 0), from(below, beside));
            let out = &mut out[row * size.width + columns.start..][..columns.len()];
            for (i, out) in out.iter_mut().enumerate() {
                let upper = (1.0 - right) * a[i] + right * b[i];
                let lower = (1.0 - right) * c[i] + right * d[i];
                *out = (1.0 - down) * upper + down * lower;
            }
        }
    }
    Coarse { values, ..*coarse }
}

/// Places along a line of so many blocks that a shift finds inside of it, the whole blocks of the
/// shift and the part that is left.
fn inside(length: usize, shift: f64) -> (std::ops::Range<usize>, isize, f32) {
    let whole = shift.floor();
    let part = (shift - whole) as f32;
    let whole = whole.clamp(-(length as f64), length as f64) as isize;
    let last = length as isize - isize::from(part > 0.0);
    let range = (-whole).max(0)..(last - whole).clamp(0, length as isize);
    (range.start as usize..range.end.max(range.start) as usize, whole, part)
}

pub(super) fn findings(found_shift: &Alignment, block: usize, found: &mut Vec<Finding>) {
    let largest = found_shift.largest_px();
    let explained = found_shift.residual_share_aligned < EXPLAINED * found_shift.residual_share;
    if largest <= MAX_SHIFT_BLOCKS * block as f64 || !explained {
        return;
    }
    let shifts: Vec<String> =
        found_shift.shift_px.iter().map(|[x, y]| format!("({x:+.1}, {y:+.1})")).collect();
    found.push(Finding::new(
        FindingCode::FramesMisaligned,
        Severity::Warning,
        format!(
            "the images do not lie on each other: shifted right and down by {} px; with that undone \
             the residual falls from {} to {} of the intensities",
            shifts.join(", "),
            percent(found_shift.residual_share),
            percent(found_shift.residual_share_aligned)
        ),
        "register the images before solving; if they were registered, steady the head and the \
         camera, or fire the lamps in quicker succession",
    ));
}

/// Drift that was measured before registration.
pub(super) fn drift_findings(drift_px: &[[f32; 2]], face_side_px: f64, found: &mut Vec<Finding>) {
    let step =
        |pair: &[[f32; 2]]| f64::from((pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]));
    let largest = drift_px.windows(2).map(step).fold(0.0, f64::max);
    if largest > MAX_DRIFT * face_side_px {
        found.push(Finding::new(
            FindingCode::FrameDrift,
            Severity::Warning,
            format!(
                "the subject moved by up to {largest:.1} px from one frame to the next, {} of its \
                 size",
                percent(largest / face_side_px)
            ),
            "steady the head or fire the lamps in quicker succession; registration follows a shift, \
             not a change of pose or expression",
        ));
    }
}
