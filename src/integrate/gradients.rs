//! What a normal says about the depth of a neighbour, for both camera models.
//!
//! A surface point seen at a pixel is `P = Z r`, r the pixel's ray (see
//! [`Camera::ray`](crate::geometry::Camera::ray)) and Z its distance along the optical axis. A
//! normal n fixes the plane through it: the point Q seen at the next pixel obeys
//! `n · (P − Q) = 0`. With
//!
//! - no camera (parallel rays): `u = depth toward the camera in pixels`, and
//!   `u_q − u_p = −n_x/n_z` one column to the right, `n_y/n_z` one row down;
//! - a camera: `u = −f ln Z`, f the focal length in pixels, and
//!   `u_q − u_p = f ln((r_q · n)/(r_p · n))`: the log-depth form (Durou, Falcone and Sagona 2008;
//!   Quéau, Durou and Aujol 2018, "Normal integration: a survey"), here without its
//!   linearisation, so that a plane is exact.
//!
//! Either way u grows toward the camera, one unit being about one pixel, and the rest of the
//! integration does not know the camera. At the end [`Facets::depth`] turns u into depth.

use super::components::{OFF, component_count, components};
use super::multigrid::Grid;
use crate::geometry::{Camera, Vec3};
use crate::maps::{DepthMap, Mask, NormalMap, Plane, Size};
use rayon::prelude::*;

/// Weight of an edge between two pixels of the mask without a normal, against about 1 for an
/// edge that lies flat to the camera: such a hole is filled by the smoothest surface
/// (a membrane) and hardly pulls at its rim.
pub(crate) const HOLE_WEIGHT: f32 = 1e-4;

/// Rows a task.
const ROWS: usize = 16;

/// A direction of the grid: an edge leads one column to the right or one row down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    Right,
    Down,
}

/// The normals of the mask's bounding box, on the solver's grid.
pub(crate) struct Facets {
    pub grid: Grid,
    /// Size of the whole map, and where the box starts in it.
    size: Size,
    pub origin: [usize; 2],
    camera: Option<Camera>,
    defined: Vec<bool>,
    /// The component of each cell, [`OFF`] off the mask.
    pub labels: Vec<u32>,
    /// Unit normals, no steeper to their ray than asked for; NaN where there is none.
    normals: Vec<Vec3>,
}

/// What an edge joins.
pub(crate) struct Edge {
    pub axis: Axis,
    /// The ray of p.
    ray: Vec3,
    focal: Option<[f32; 2]>,
    /// Normals at p and q, where there is one.
    pub normals: [Option<Vec3>; 2],
}

impl Facets {
    /// `max_slope` is the tangent of the largest angle between a normal and the line of sight;
    /// steeper normals, those that face away included, are turned toward the camera to it.
    ///
    /// # Panics
    /// If normals and mask differ in size.
    pub fn new(
        normals: &NormalMap,
        mask: &Mask,
        camera: Option<&Camera>,
        max_slope: f32,
    ) -> Option<Self> {
        assert_eq!(normals.size, mask.size, "a mask of the normals' size");
        let (origin, boxed) = bounding_box(mask)?;
        let grid = Grid::new(boxed);
        let mut facets = Self {
            grid,
            size: mask.size,
            origin,
            camera: camera.copied(),
            defined: vec![false; grid.len()],
            labels: Vec::new(),
            normals: vec![Vec3::repeat(f32::NAN); grid.len()],
        };
        let camera = facets.camera;
        let span = grid.span();
        let rows = facets.normals[span.clone()].par_chunks_mut(grid.stride);
        rows.zip(facets.defined[span].par_chunks_mut(grid.stride))
            .enumerate()
            .with_min_len(ROWS)
            .for_each(|(row, (normals_out, defined))| {
                for column in 0..boxed.width {
                    let (map_row, map_column) = (origin[0] + row, origin[1] + column);
                    let pixel = map_row * mask.size.width + map_column;
                    if mask.data[pixel] {
                        defined[column] = true;
                        let sight = -ray(camera.as_ref(), map_row, map_column).normalize();
                        normals_out[column] = limited(normals.at(pixel), sight, max_slope);
                    }
                }
            });
        facets.labels = components(grid, &facets.defined);
        Some(facets)
    }

    /// Evaluates every edge within the mask; the rest stay zero.
    pub fn edges<const N: usize>(
        &self,
        axis: Axis,
        value: impl Fn(&Edge) -> [f32; N] + Sync,
    ) -> [Vec<f32>; N] {
        let (grid, width) = (self.grid, self.grid.size.width);
        let step = grid.steps()[axis as usize];
        let focal = self.camera.map(|c| c.focal_px.map(|f| f as f32));
        let mut out: [Vec<f32>; N] = std::array::from_fn(|_| grid.zeros());
        let mut planes = out.each_mut().map(|plane| plane[grid.span()].chunks_mut(grid.stride));
        let mut rows: Vec<[&mut [f32]; N]> = (0..grid.size.height)
            .map(|_| planes.each_mut().map(|rows| rows.next().unwrap_or_default()))
            .collect();
        rows.par_iter_mut().enumerate().with_min_len(ROWS).for_each(|(row, out)| {
            let first = grid.index(row, 0);
            let line =
                |from: usize| (&self.defined[from..][..width], &self.normals[from..][..width]);
            let ((p_defined, p), (q_defined, q)) = (line(first), line(first + step));
            for column in 0..width {
                // Guards are not defined, so an edge out of the grid is none.
                if !(p_defined[column] && q_defined[column]) {
                    continue;
                }
                let known = |normal: Vec3| if is_normal(&normal) { Some(normal) } else { None };
                let normals = [known(p[column]), known(q[column])];
                let ray = self.ray(row, column);
                let values = value(&Edge { axis, ray, focal, normals });
                for (out, value) in out.iter_mut().zip(values) {
                    out[column] = value;
                }
            }
        });
        out
    }

    /// Cosine of the angle to the line of sight, times the length of the ray at depth 1; 0 where
    /// there is no normal. Without a camera this is n_z.
    pub fn cosines(&self) -> Vec<f32> {
        let grid = self.grid;
        let mut cosines = grid.zeros();
        cosines[grid.span()].par_chunks_mut(grid.stride).enumerate().with_min_len(ROWS).for_each(
            |(row, out)| {
                for (column, cosine) in out.iter_mut().enumerate().take(grid.size.width) {
                    let normal = self.normals[grid.index(row, column)];
                    if is_normal(&normal) {
                        *cosine = -self.ray(row, column).dot(&normal);
                    }
                }
            },
        );
        cosines
    }

    fn ray(&self, row: usize, column: usize) -> Vec3 {
        ray(self.camera.as_ref(), self.origin[0] + row, self.origin[1] + column)
    }

    /// Depth toward the camera in pixels, mean zero over each connected component, NaN off the
    /// mask; with a camera `depth = f (1 − Z/Z̄)`, `Z = exp(−u/f)` and Z̄ its mean over the
    /// component.
    pub fn depth(&self, u: &[f32]) -> DepthMap {
        let grid = self.grid;
        let labels = &self.labels;
        let count = component_count(labels);
        let means = |values: &dyn Fn(usize) -> f64| {
            let mut sums = vec![(0.0f64, 0usize); count];
            for (i, &label) in labels.iter().enumerate().filter(|&(_, &label)| label != OFF) {
                let (sum, pixels) = &mut sums[label as usize];
                *sum += values(i);
                *pixels += 1;
            }
            sums.into_iter().map(|(sum, pixels)| sum / pixels as f64).collect::<Vec<f64>>()
        };
        let mean_u = means(&|i| f64::from(u[i]));
        let centred = |i: usize| f64::from(u[i]) - mean_u[labels[i] as usize];
        let mut depth = Plane::filled(self.size, f32::NAN);
        let mut fill = |value: &dyn Fn(usize) -> f64| {
            for row in 0..grid.size.height {
                for column in 0..grid.size.width {
                    let i = grid.index(row, column);
                    if labels[i] != OFF {
                        let (row, column) = (self.origin[0] + row, self.origin[1] + column);
                        depth.data[row * self.size.width + column] = value(i) as f32;
                    }
                }
            }
        };
        match self.camera {
            None => fill(&centred),
            Some(camera) => {
                let focal = camera.focal_px[0];
                // exp(x) − 1, so that a distant camera keeps its digits.
                let excess: Vec<f64> = (0..grid.len())
                    .map(|i| if labels[i] == OFF { 0.0 } else { (-centred(i) / focal).exp_m1() })
                    .collect();
                let mean = means(&|i| excess[i]);
                fill(&|i| {
                    let mean = mean[labels[i] as usize];
                    focal * (mean - excess[i]) / (1.0 + mean)
                });
            }
        }
        depth
    }
}

impl Edge {
    /// u_q − u_p on the plane that has this normal; `None` where a ray does not meet it.
    pub fn step(&self, normal: Vec3) -> Option<f32> {
        // How n · r changes from p to q, rows running down.
        let tilt = match self.axis {
            Axis::Right => normal.x,
            Axis::Down => -normal.y,
        };
        let facing = self.ray.dot(&normal);
        let step = match self.focal {
            None => tilt / facing,
            Some(focal) => focal[0] * (tilt / focal[self.axis as usize] / facing).ln_1p(),
        };
        Some(step).filter(|step| facing < 0.0 && step.is_finite())
    }

    /// n · −r, and the part of n along the edge.
    pub fn facing_and_tilt(&self, normal: Vec3) -> (f32, f32) {
        let tilt = match self.axis {
            Axis::Right => normal.x,
            Axis::Down => normal.y,
        };
        (-self.ray.dot(&normal), tilt)
    }
}

/// Distance along the optical axis relative to its mean over each connected component, from the
/// depth that [`super::poisson()`] or [`super::bilateral()`] found with this camera:
/// `Z/Z̄ = 1 − depth/f`. Positive, grows away from the camera; NaN off the mask.
pub fn distance_along_axis(depth: &DepthMap, camera: &Camera) -> Plane<f32> {
    let distance = |&z: &f32| (1.0 - f64::from(z) / camera.focal_px[0]) as f32;
    Plane::new(depth.size, depth.data.iter().map(distance).collect())
}

fn is_normal(normal: &Vec3) -> bool {
    normal.z.is_finite()
}

/// The ray of a pixel at depth 1; parallel to the optical axis without a camera.
fn ray(camera: Option<&Camera>, row: usize, column: usize) -> Vec3 {
    camera.map_or(-Vec3::z(), |camera| camera.ray(row as f64, column as f64).cast())
}

/// The normal turned toward the line of sight until it is no steeper than `max_slope`; NaN for
/// one that is not finite or has no direction to turn in.
fn limited(normal: Vec3, sight: Vec3, max_slope: f32) -> Vec3 {
    let facing = normal.dot(&sight);
    let across = normal - facing * sight;
    let tilt = across.norm();
    if tilt <= max_slope * facing {
        normal.normalize() // NaN for a zero vector
    } else {
        (sight + across * (max_slope / tilt)).normalize()
    }
}

fn bounding_box(mask: &Mask) -> Option<([usize; 2], Size)> {
    let width = mask.size.width.max(1);
    let rows = || mask.data.chunks(width);
    let top = rows().position(|row| row.contains(&true))?;
    let bottom = rows().rposition(|row| row.contains(&true))?;
    let left = rows().filter_map(|row| row.iter().position(|&d| d)).min()?;
    let right = rows().filter_map(|row| row.iter().rposition(|&d| d)).max()?;
    Some(([top, left], Size::new(bottom - top + 1, right - left + 1)))
}
