//! Evening out a mesh on the surface it was cut from.
//!
//! Each vertex goes toward the mean of its neighbours, along the surface only, and then back onto
//! the surface by a step of Newton's method along the field's slope. `reach` is the size of each
//! vertex's leaf in mm; `mirror` the vertex on the other side of the midplane.

use rayon::prelude::*;

use super::contour::Field;
use super::field::{Vec3, v};

/// Draws every vertex toward the middle of its neighbours along the surface, and onto the surface.
pub(super) fn even_out(
    positions: &mut [Vec3],
    faces: &[[u32; 4]],
    mirror: &[u32],
    reach: &[f64],
    field: Field,
) {
    const ROUNDS: usize = 6;
    // One side is worked out and the other copied, so the mesh is symmetric to the bit.
    let near: Vec<usize> = (0..positions.len())
        .filter(|&i| {
            let x = positions[i].x - positions[mirror[i] as usize].x;
            x > 0.0 || (x == 0.0 && i <= mirror[i] as usize)
        })
        .collect();
    for round in 0..ROUNDS {
        let mut sums = vec![(Vec3::zeros(), 0.0); positions.len()];
        for face in faces {
            for k in 0..4 {
                let (a, b) = (face[k] as usize, face[(k + 1) % 4] as usize);
                if a != b {
                    // Where leaves of two sizes meet, the many small must not draw the few large.
                    let (wa, wb) = (reach[a] * reach[a], reach[b] * reach[b]);
                    sums[a].0 += positions[b] * wb;
                    sums[a].1 += wb;
                    sums[b].0 += positions[a] * wa;
                    sums[b].1 += wa;
                }
            }
        }
        let moved: Vec<Vec3> = near
            .par_iter()
            .map(|&i| {
                let mut p = positions[i];
                let g = slope(field, p);
                if round > 1 && round + 1 < ROUNDS {
                    let pull = sums[i].0 / sums[i].1 - p;
                    let pull = pull - g * (pull.dot(&g) / g.norm_squared().max(1e-9));
                    p += pull * (0.5f64).min(0.3 * reach[i] / pull.norm().max(1e-9));
                }
                let step = g * (field(p) / g.norm_squared().max(0.05));
                let most = 0.5 * reach[i];
                p - step * (most / step.norm().max(most))
            })
            .collect();
        for (&i, p) in near.iter().zip(moved) {
            let other = mirror[i] as usize;
            positions[i] = if other == i { v(0.0, p.y, p.z) } else { p };
            positions[other] = v(-positions[i].x, p.y, p.z);
        }
    }
}

/// Draws vertices of faces that look the wrong way (where leaves of two sizes meet, some fold
/// over) to the middle of their neighbours, until none does or it cannot be helped.
pub(super) fn mend(
    positions: &mut [Vec3],
    faces: &[[u32; 4]],
    mirror: &[u32],
    reach: &[f64],
    field: Field,
) {
    const ROUNDS: usize = 12;
    let mut around: Vec<Vec<u32>> = vec![Vec::new(); positions.len()];
    for face in faces {
        for k in 0..4 {
            let (a, b) = (face[k], face[(k + 1) % 4]);
            if a != b {
                around[a as usize].push(b);
                around[b as usize].push(a);
            }
        }
    }
    let mut suspects: Vec<[u32; 4]> = faces.to_vec();
    for _ in 0..ROUNDS {
        let folded: Vec<bool> = suspects
            .par_iter()
            .map(|face| {
                let p = face.map(|i| positions[i as usize]);
                let middle = (p[0] + p[1] + p[2] + p[3]) * 0.25;
                let up = slope(field, middle);
                // Both ways of cutting the face in two.
                (0..4).any(|k| {
                    let (a, b, c) = (p[k], p[(k + 1) % 4], p[(k + 2) % 4]);
                    let n = (b - a).cross(&(c - a));
                    n.norm() > 1e-9 && n.dot(&up) < 0.25 * n.norm() * up.norm()
                })
            })
            .collect();
        let mut bad = vec![false; positions.len()];
        for (face, folded) in suspects.iter().zip(folded) {
            for &i in face {
                bad[i as usize] |= folded;
            }
        }
        let list: Vec<usize> = (0..positions.len())
            .filter(|&i| (bad[i] || bad[mirror[i] as usize]) && positions[i].x >= 0.0)
            .collect();
        if list.is_empty() {
            return;
        }
        let touched = |&i: &u32| bad[i as usize] || bad[mirror[i as usize] as usize];
        suspects = faces.iter().filter(|face| face.iter().any(touched)).copied().collect();
        let moved: Vec<Vec3> = list
            .par_iter()
            .map(|&i| {
                let near = &around[i];
                let sum: Vec3 = near.iter().map(|&n| positions[n as usize]).sum();
                let mut p = positions[i] * 0.4 + sum * (0.6 / near.len() as f64);
                for _ in 0..2 {
                    let g = slope(field, p);
                    let step = g * (field(p) / g.norm_squared().max(0.05));
                    let most = 0.5 * reach[i];
                    p -= step * (most / step.norm().max(most));
                }
                p
            })
            .collect();
        for (&i, p) in list.iter().zip(moved) {
            let other = mirror[i] as usize;
            positions[i] = if other == i { v(0.0, p.y, p.z) } else { p };
            positions[other] = v(-positions[i].x, p.y, p.z);
        }
    }
}

/// Slope of a field by differences toward the corners of a tetrahedron.
fn slope(field: Field, p: Vec3) -> Vec3 {
    const H: f64 = 0.03;
    let corners = [v(1.0, 1.0, 1.0), v(1.0, -1.0, -1.0), v(-1.0, 1.0, -1.0), v(-1.0, -1.0, 1.0)];
    corners.iter().map(|c| c * field(p + c * H)).sum::<Vec3>() / (4.0 * H)
}
