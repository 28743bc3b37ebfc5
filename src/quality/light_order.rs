//! Whether each image belongs to the light it is said to belong to.
//!
//! With the light of image i replaced by light π(i), the images' energy off the column space of the
//! light matrix is `Σ_ij R[π(i), π(j)] C[i, j]`, where `C = Σ I Iᵀ` over the blocks that all
//! lights reach and R is the projector of [`super::gains`]: one k × k matrix stands for all pixels,
//! and every order costs k² products.
//!
//! The residual is blind to orders that turn or mirror a symmetric rig, such as four lamps at the
//! corners of a square; the curl of the normals is not. Both count: an order's score is the product
//! of its residual and its curl.

use super::coarse::Coarse;
use super::curl::{AS_STATED, CurlSums};
use super::finding::{Finding, FindingCode, Severity, percent};
use super::gains::{MIN_BLOCKS, ROUNDS as TRIMMING_ROUNDS, Span, least, light_rows};
use crate::maps::Lights;
use crate::stereo::LeastSquares;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// Up to this many lights every order is tried (8! = 40,320); above it swaps of two, shifts along
/// the list and its reversal, which are what a slip of the hand or a missed trigger makes.
const MOST_FOR_ALL_ORDERS: usize = 8;
/// How many orders, best residual first, have their curl looked at: the eight symmetries of a square
/// rig several times over.
const LOOKED_AT: usize = 48;
/// Residual below which orders are equal, as a share of the intensities: what skin, noise and
/// registration leave on a good capture.
const RESIDUAL_FLOOR: f64 = 0.02;
/// Curl below which orders are equal: what noise leaves on a good capture.
const CURL_FLOOR: f64 = 0.02;
/// Another order is suspected where its score is at most this share of the stated one's. A wrong
/// order about doubles the curl, or the residual, and mostly both.
pub const MARKEDLY_BETTER: f64 = 0.5;

/// The order of the lights that fits the images best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LightOrder {
    /// For each image the index of the light, from 0.
    pub best: Vec<usize>,
    /// What the light matrix cannot explain, as a share of the intensities, and the curl of the
    /// normals (see [`super::LightFrame`]), in the stated order.
    pub residual_share: f64,
    pub curl: f64,
    /// The same in the best order.
    pub best_residual_share: f64,
    pub best_curl: f64,
}

impl LightOrder {
    fn score(residual_share: f64, curl: f64) -> f64 {
        residual_share.max(RESIDUAL_FLOOR) * curl.max(CURL_FLOOR)
    }

    pub(super) fn stated_score(&self) -> f64 {
        Self::score(self.residual_share, self.curl)
    }

    pub(super) fn best_score(&self) -> f64 {
        Self::score(self.best_residual_share, self.best_curl)
    }

    /// True where another order explains the images markedly better.
    pub(super) fn suspect(&self) -> bool {
        self.best_score() <= MARKEDLY_BETTER * self.stated_score()
    }
}

/// The best order; `None` where too few blocks are reached by all lights.
pub(super) fn light_order(coarse: &Coarse, lights: &Lights) -> Option<LightOrder> {
    let k = coarse.count;
    let lit = coarse.lit_by_all();
    if k < 3 || lit.len() < MIN_BLOCKS {
        return None;
    }
    let moments = matt_moments(coarse, &coarse.thinned(&lit));
    // Three lights explain any three values: no residual, and the curl alone decides.
    let rows = light_rows(lights);
    let projector = Span::new(rows.iter()).map(|span| {
        let q: Vec<[f64; 3]> = rows.iter().map(|&row| span.coordinates(row)).collect();
        DMatrix::from_fn(k, k, |i, j| {
            let inside: f64 = (0..3).map(|c| q[i][c] * q[j][c]).sum();
            f64::from(u8::from(i == j)) - inside
        })
    });
    let lost_as_stated = projector.as_ref().map_or(0.0, |r| r.dot(&moments));
    let residual_share = |order: &[usize]| match &projector {
        None => 0.0,
        Some(r) => {
            // Only what an order moves changes the sum.
            let moved = |i: usize| order[i] != i;
            let mut lost = lost_as_stated;
            for i in (0..k).filter(|&i| moved(i)) {
                for j in 0..k {
                    let twice = if moved(j) { 1.0 } else { 2.0 };
                    lost += twice * (r[(order[i], order[j])] - r[(i, j)]) * moments[(i, j)];
                }
            }
            (lost.max(0.0) / moments.trace()).sqrt()
        }
    };
    let stated: Vec<usize> = (0..k).collect();
    let mut ranked: Vec<(f64, Vec<usize>)> =
        orders(k).into_iter().map(|order| (residual_share(&order), order)).collect();
    let by_residual = |a: &(f64, Vec<usize>), b: &(f64, Vec<usize>)| {
        a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1))
    };
    if ranked.len() > LOOKED_AT {
        ranked.select_nth_unstable_by(LOOKED_AT, by_residual);
        ranked.truncate(LOOKED_AT);
    }
    ranked.sort_by(by_residual);

    let (curl, _) = curl_in_order(coarse, lights, &lit, &stated)?;
    let mut found = LightOrder {
        residual_share: residual_share(&stated),
        curl,
        best_residual_share: residual_share(&stated),
        best_curl: curl,
        best: stated,
    };
    for (residual, order) in ranked {
        let Some((curl, bulge)) = curl_in_order(coarse, lights, &lit, &order) else { continue };
        if bulge > 0.0 && LightOrder::score(residual, curl) < found.best_score() {
            found.best_residual_share = residual;
            found.best_curl = curl;
            found.best = order;
        }
    }
    Some(found)
}

/// `Σ I Iᵀ` over the blocks that look matt: without highlights and cast shadows, images of a matt
/// surface are of rank three whatever lights they belong to (Shashua 1997, "On photometric issues in
/// 3D visual recognition from a single 2D image"). Blocks that stick out of the best three
/// dimensions most are left out, so that no order is favoured.
fn matt_moments(coarse: &Coarse, lit: &[usize]) -> DMatrix<f64> {
    let k = coarse.count;
    let columns = coarse.columns(lit);
    let all: Vec<usize> = (0..lit.len()).collect();
    let mut found = moments(&columns, k, &all);
    for _ in 1..TRIMMING_ROUNDS {
        let eigen = found.clone().symmetric_eigen();
        let mut axes: Vec<usize> = (0..k).collect();
        axes.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let axes = [0, 1, 2].map(|i| eigen.eigenvectors.column(axes[i]).into_owned());
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let outside = columns.chunks_exact(k).map(|column| {
            let inside: f64 = axes.iter().map(|axis| dot(axis.as_slice(), column).powi(2)).sum();
            1.0 - inside / dot(column, column)
        });
        found = moments(&columns, k, &least(outside.collect()));
    }
    found
}

/// `Σ I Iᵀ` over some of the blocks, k values to a block.
pub(super) fn moments(columns: &[f64], k: usize, blocks: &[usize]) -> DMatrix<f64> {
    let mut sums = DMatrix::<f64>::zeros(k, k);
    for &i in blocks {
        let column = &columns[k * i..k * (i + 1)];
        for (l, sums) in sums.as_mut_slice().chunks_exact_mut(k).enumerate() {
            sums[..=l].iter_mut().zip(column).for_each(|(sum, v)| *sum += v * column[l]);
        }
    }
    sums.fill_lower_triangle_with_upper_triangle();
    sums
}

/// Curl and bulge of the least-squares normals with image i under light `order[i]`.
fn curl_in_order(
    coarse: &Coarse,
    lights: &Lights,
    lit: &[usize],
    order: &[usize],
) -> Option<(f64, f64)> {
    let solver = LeastSquares::new(&lights.select(order))?;
    let columns: Vec<[f32; 3]> = solver.coefficients().map(|(_, column)| column).collect();
    let mut normals = vec![[f32::NAN; 3]; coarse.size.area()];
    for &at in lit {
        let mut g = crate::geometry::Vec3::zeros();
        for (j, column) in columns.iter().enumerate() {
            g += crate::geometry::Vec3::from(*column) * coarse.plane(j)[at];
        }
        normals[at] = g.normalize().into();
    }
    let sums = CurlSums::new(coarse.size, &normals)?;
    Some((sums.curl(AS_STATED), sums.bulge(AS_STATED)))
}

/// The orders to try, the stated one among them.
fn orders(k: usize) -> Vec<Vec<usize>> {
    let stated: Vec<usize> = (0..k).collect();
    if k <= MOST_FOR_ALL_ORDERS {
        let mut all = Vec::new();
        permute(&mut stated.clone(), 0, &mut all);
        return all;
    }
    let mut some = vec![stated.clone(), stated.iter().rev().copied().collect()];
    some.extend((1..k).map(|shift| (0..k).map(|i| (i + shift) % k).collect()));
    for a in 0..k {
        for b in a + 1..k {
            let mut order = stated.clone();
            order.swap(a, b);
            some.push(order);
        }
    }
    some
}

fn permute(order: &mut Vec<usize>, fixed: usize, all: &mut Vec<Vec<usize>>) {
    if fixed == order.len() {
        all.push(order.clone());
        return;
    }
    for next in fixed..order.len() {
        order.swap(fixed, next);
        permute(order, fixed + 1, all);
        order.swap(fixed, next);
    }
}

/// "lights 2, 1, 3, 4", of many only those that differ.
pub(super) fn in_words(order: &[usize]) -> String {
    let number = |l: usize| (l + 1).to_string();
    if order.len() <= MOST_FOR_ALL_ORDERS {
        let lights: Vec<String> = order.iter().map(|&l| number(l)).collect();
        return format!("images 1 to {} to lights {}", order.len(), lights.join(", "));
    }
    let moved = order.iter().enumerate().filter(|(i, l)| i != *l);
    let moved: Vec<String> =
        moved.map(|(i, &l)| format!("image {} to light {}", number(i), number(l))).collect();
    let shown = moved.len().min(MOST_FOR_ALL_ORDERS);
    let more = if shown < moved.len() { ", and so on" } else { "" };
    format!("{}{more}", moved[..shown].join(", "))
}

pub(super) fn finding(order: &LightOrder) -> Finding {
    Finding::new(
        FindingCode::LightOrder,
        Severity::Error,
        format!(
            "the images fit another order of the lights: {}; residual {} of the intensities in \
             place of {}, curl {:.3} in place of {:.3}",
            in_words(&order.best),
            percent(order.best_residual_share),
            percent(order.residual_share),
            order.best_curl,
            order.curl
        ),
        "check which lamp fired for which image, and put the lines of the light file in that order",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_tried_once() {
        let all = orders(4);
        assert_eq!(all.len(), 24);
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 24);
        let some = orders(12);
        assert!(some.contains(&(0..12).collect()) && some.contains(&(0..12).rev().collect()));
        assert_eq!(some.len(), 2 + 11 + 66);
    }
}
