//! Hairs as geometry: narrow strips that taper, shaded as if they were round.
//!
//! A strip has two vertices at each point of its path. Their normals lean outward to both sides,
//! so that the shading between them runs as over a lock or a hair.

use super::super::exact_math::{Vector, add, along, cross, dot, length, normalise, scale, sub};
use super::super::surface::{Material, Part, Surface};

/// Lean of the normals at the edges of a strip: sine and cosine of about 40°.
const LEAN: [f32; 2] = [0.64, 0.77];

/// One strip to be made.
pub(super) struct Strand<'a> {
    /// Points in mm, root first; at least two.
    pub path: &'a [Vector],
    /// Away from the skin; need not be square to the path.
    pub outward: &'a [Vector],
    pub width_mm: f32,
    /// Width at the tip as a share of the width.
    pub tip: f32,
    /// Colours at root and tip.
    pub root_albedo: Vector,
    pub tip_albedo: Vector,
    pub roughness: f32,
}

/// Hair's reflectance at normal incidence, index of refraction 1.55.
pub(super) const HAIR_SPECULAR: f32 = 0.04;

impl Strand<'_> {
    /// Adds the strip to a surface.
    pub(super) fn add_to(&self, surface: &mut Surface) {
        let count = self.path.len();
        if count < 2 {
            return;
        }
        let first = surface.positions.len() as u32;
        for (index, (&point, &outward)) in self.path.iter().zip(self.outward).enumerate() {
            let before = self.path[index.saturating_sub(1)];
            let after = self.path[(index + 1).min(count - 1)];
            let direction = normalise(sub(after, before));
            let side = normalise(cross(direction, outward));
            let up = normalise(cross(side, direction));
            let t = index as f32 / (count - 1) as f32;
            // Thin at the root, full soon after, thin again at the tip.
            let rise = (4.0 * t + 0.55).min(1.0);
            let fall = 1.0 + (self.tip - 1.0) * t * t;
            let half = 0.5 * self.width_mm * rise * fall;
            let albedo = [0, 1, 2]
                .map(|c| self.root_albedo[c] + t * (self.tip_albedo[c] - self.root_albedo[c]));
            let material = Material {
                albedo,
                specular: HAIR_SPECULAR,
                roughness: self.roughness,
                subsurface: 0.0,
            };
            for sign in [-1.0, 1.0] {
                surface.positions.push(along(point, sign * half, side));
                surface
                    .normals
                    .push(normalise(add(scale(up, LEAN[1]), scale(side, sign * LEAN[0]))));
                surface.materials.push(material);
            }
        }
        for index in 0..count as u32 - 1 {
            let a = first + 2 * index;
            // Counter-clockwise seen from where `outward` points.
            surface.triangles.extend([[a, a + 2, a + 1], [a + 1, a + 2, a + 3]]);
            surface.parts.extend([Part::Hair; 2]);
        }
    }
}

/// Radius of a head around a centre by direction, to keep hair outside of it.
///
/// Directions fall into the cells of a cube around the centre, so that no angle is needed.
pub(super) struct Hull {
    pub centre: Vector,
    radius: Vec<f32>,
}

const SIDE: usize = 20;

impl Hull {
    /// The largest radius of the points in each direction.
    pub(super) fn around(centre: Vector, points: impl Iterator<Item = Vector>) -> Self {
        let mut radius = vec![0.0f32; 6 * SIDE * SIDE];
        for point in points {
            let off = sub(point, centre);
            let (face, u, v) = cube(off);
            let at = |c: f32| ((c * SIDE as f32) as usize).min(SIDE - 1);
            let cell = &mut radius[(face * SIDE + at(v)) * SIDE + at(u)];
            *cell = cell.max(length(off));
        }
        // Cells that no point fell into take the mean of their neighbours on the same face.
        for _ in 0..8 {
            let old = radius.clone();
            for face in 0..6 {
                for v in 0..SIDE {
                    for u in 0..SIDE {
                        let at = (face * SIDE + v) * SIDE + u;
                        if old[at] > 0.0 {
                            continue;
                        }
                        let (mut sum, mut count) = (0.0, 0);
                        for (dv, du) in [(-1i32, 0i32), (1, 0), (0, -1), (0, 1)] {
                            let (nv, nu) = (v as i32 + dv, u as i32 + du);
                            let inside = 0..SIDE as i32;
                            if inside.contains(&nv) && inside.contains(&nu) {
                                let r = old[(face * SIDE + nv as usize) * SIDE + nu as usize];
                                if r > 0.0 {
                                    sum += r;
                                    count += 1;
                                }
                            }
                        }
                        if count > 0 {
                            radius[at] = sum / count as f32;
                        }
                    }
                }
            }
        }
        Self { centre, radius }
    }

    fn radius_toward(&self, off: Vector) -> f32 {
        let (face, u, v) = cube(off);
        let (x, y) = (u * SIDE as f32 - 0.5, v * SIDE as f32 - 0.5);
        let limit = (SIDE - 1) as f32;
        let (x, y) = (x.clamp(0.0, limit), y.clamp(0.0, limit));
        let (u0, v0) = ((x as usize).min(SIDE - 2), (y as usize).min(SIDE - 2));
        let (fu, fv) = (x - u0 as f32, y - v0 as f32);
        let at = |u: usize, v: usize| self.radius[(face * SIDE + v) * SIDE + u];
        let low = at(u0, v0) + fu * (at(u0 + 1, v0) - at(u0, v0));
        let high = at(u0, v0 + 1) + fu * (at(u0 + 1, v0 + 1) - at(u0, v0 + 1));
        low + fv * (high - low)
    }

    /// The point, or the one over it that is `gap_mm` off the head.
    pub(super) fn push_out(&self, point: Vector, gap_mm: f32) -> Vector {
        let off = sub(point, self.centre);
        let (now, least) = (length(off), self.radius_toward(off) + gap_mm);
        if now >= least { point } else { along(self.centre, least / now.max(1e-3), off) }
    }

    /// The point at `gap_mm` off the head in the same direction.
    pub(super) fn hug(&self, point: Vector, gap_mm: f32) -> Vector {
        let off = sub(point, self.centre);
        let least = self.radius_toward(off) + gap_mm;
        along(self.centre, least / length(off).max(1e-3), off)
    }
}

/// Face of the cube and place on it, 0 to 1.
fn cube(d: Vector) -> (usize, f32, f32) {
    let a = d.map(f32::abs);
    let axis = if a[0] >= a[1] && a[0] >= a[2] {
        0
    } else if a[1] >= a[2] {
        1
    } else {
        2
    };
    let face = 2 * axis + usize::from(d[axis] < 0.0);
    let by = 0.5 / a[axis].max(1e-6);
    (face, 0.5 + by * d[(axis + 1) % 3], 0.5 + by * d[(axis + 2) % 3])
}

/// The part of a vector that lies in the plane of a unit normal, unit length.
pub(super) fn tangent(direction: Vector, normal: Vector) -> Vector {
    normalise(along(direction, -dot(direction, normal), normal))
}
