//! Masked integration by weighted least squares: the discrete Poisson equation with natural
//! boundaries.
//!
//! For each pair of neighbours p, q within the mask, with `m = n_p + n_q`:
//!
//! `minimise Σ w_pq (u_q − u_p − d_pq)²`, `d_pq` the step of the plane normal to m
//! (see [`super::gradients`]: `−m_x/m_z` to the right, `m_y/m_z` down, without a camera).
//!
//! *The step.* The chord between two points of a sphere is perpendicular to the sum of their
//! normals, since `(P − Q)·(P + Q) = |P|² − |Q|² = 0`; so d is exact on planes and spheres, in
//! parallel and in perspective view, and of second order on any smooth surface.
//!
//! *The weight* is what errors of equal size in all normal directions ask for. A slope
//! `s = −n_x/n_z` changes by `√(n_x² + n_z²)/n_z²` with the angle of the normal, so
//! `w = m_z⁴/(m_x² + m_z²)`, m made unit (along rows with m_y; with a camera m_z is `−m·r`).
//! It is 1 where the surface faces the camera and small where it turns away, where normals are
//! least sure and where most jumps of depth lie.
//!
//! The minimum is found by multigrid-preconditioned conjugate gradients, see
//! [`super::multigrid`]. No edge leaves the mask, which is the natural (Neumann) boundary.

use super::MAX_SLOPE;
use super::gradients::{Axis, Edge, Facets, HOLE_WEIGHT};
use super::multigrid::{Multigrid, within_pool};
use crate::geometry::Camera;
use crate::maps::{DepthMap, Mask, NormalMap, Plane};

/// |b − A u| / |b| by the recurrence. What it leaves of a face 600 pixels high is below a
/// thousandth of a pixel (at 1e-4 a hundredth), far below what noise in the normals does.
pub(crate) const TOLERANCE: f64 = 1e-5;
/// Only a mask of pathological shape needs many.
pub(crate) const MOST_ITERATIONS: usize = 200;

/// Integrates a normal map over its mask alone; nothing is assumed beyond it.
///
/// Returns depth toward the camera in pixels. Each 4-connected component of the mask has a
/// depth of its own, with mean zero: how components lie to each other, normals do not say.
/// Without a camera the view is parallel. With one it is perspective and
/// `depth = f (1 − Z/Z̄)`: Z the distance along the optical axis, Z̄ its mean over the
/// component, f the focal length along columns; [`super::distance_along_axis`] gives Z/Z̄.
///
/// NaN off the mask. A pixel of the mask whose normal is NaN takes no part in the fit; its depth
/// is filled smoothly from its neighbours'. Normals steeper than [`MAX_SLOPE`] are taken as that
/// steep. The result is the same for any number of threads.
///
/// # Panics
/// If normals and mask differ in size.
pub fn poisson(normals: &NormalMap, mask: &Mask, camera: Option<&Camera>) -> DepthMap {
    within_pool(|| integrate(normals, mask, camera))
}

fn integrate(normals: &NormalMap, mask: &Mask, camera: Option<&Camera>) -> DepthMap {
    let Some(facets) = Facets::new(normals, mask, camera, MAX_SLOPE) else {
        return Plane::filled(mask.size, f32::NAN);
    };
    let [right, right_steps] = facets.edges(Axis::Right, weight_and_step);
    let [down, down_steps] = facets.edges(Axis::Down, weight_and_step);
    let mut multigrid = Multigrid::new(facets.grid, &facets.labels);
    multigrid.set_weights(|weights| *weights = [right, down]);
    let mut u = facets.grid.zeros();
    multigrid.solve(&mut u, &[right_steps, down_steps], TOLERANCE, MOST_ITERATIONS);
    facets.depth(&u)
}

fn weight_and_step(edge: &Edge) -> [f32; 2] {
    let normal = match edge.normals {
        [Some(p), Some(q)] => p + q,
        [Some(one), None] | [None, Some(one)] => one,
        [None, None] => return [HOLE_WEIGHT, 0.0],
    };
    let Some(step) = edge.step(normal) else { return [HOLE_WEIGHT, 0.0] };
    let (facing, tilt) = edge.facing_and_tilt(normal);
    // Of a normal of any length: no root to take.
    let (facing, tilt, square) = (facing * facing, tilt * tilt, normal.norm_squared());
    [facing * facing / ((tilt + facing) * square), step]
}
