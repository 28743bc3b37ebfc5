//! What a surface does with light.
//!
//! Values are relative to a white Lambertian surface facing the light, so a matte surface gives
//! `ρ E n·l` and the microfacet lobe of Walter, Marschner, Li and Torrance (2007) comes with a
//! factor π:
//!
//! `I / E = ρ n·l + π D(h) G(l, v) F(h) / (4 n·v)`, h the half-way vector,
//!
//! with the GGX distribution D of roughness α, Smith's `G = G₁(l) G₁(v)` and Schlick's Fresnel term
//! F. Below skin light creeps: Penner (2011) blurs the cosine by the ratio of the way it creeps to
//! the radius of curvature, channel by channel. Here that is a box: where `|n·l| < w` the cosine
//! becomes `(n·l + w)² / 4w`, `w` = subsurface share × mean free path × curvature. Red creeps
//! furthest, so that it reaches over the terminator; the total stays what it was.
//!
//! Two repairs of interpolated normals. A normal that looks away from the viewer is bent back to
//! the outline ([`OUTLINE`]). Shadow rays start not on the flat triangle but on the curved surface
//! that its normals tell of (Hanika 2021, "Hacking the shadow terminator"): at the point's distance
//! from the planes through the corners at right angles to their normals, so that triangles that
//! look away from a light while their smooth surface does not cast no shadow on themselves.

use super::packet::{Hits, MISS, Rays};
use super::scene::{MEAN_FREE_PATH_MM, Scene, Triangle, Vertex};
use crate::synth::exact_math::{Vector, add, along, cross, dot, normalise, scale, sub};
use crate::synth::surface::Part;

/// Least cosine between normal and line of sight.
pub(crate) const OUTLINE: f32 = 0.01;

/// A place that a ray of sight met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surfel {
    pub place: Vector,
    /// Where shadow rays start.
    pub lifted: Vector,
    /// Unit, toward the viewer's side.
    pub normal: Vector,
    /// Unit, to the viewer.
    pub viewer: Vector,
    pub albedo: Vector,
    pub specular: f32,
    pub roughness: f32,
    pub scatter: f32,
    pub part: u32,
    /// Along the ray, mm.
    pub distance: f32,
}

impl Surfel {
    /// What a lane met; `None` where nothing.
    pub fn new(scene: &Scene, rays: &Rays, hits: &Hits, lane: usize) -> Option<Self> {
        let index = hits.triangle[lane];
        if index == MISS {
            return None;
        }
        let triangle: &Triangle = &scene.triangles[index as usize];
        let corners = scene.corners[index as usize];
        let corner = |k: usize| -> &Vertex { &scene.vertices[corners[k] as usize] };
        let (a, b, c) = (corner(0), corner(1), corner(2));
        let (u, v) = (hits.weight_a[lane], hits.weight_b[lane]);
        let w = 1.0 - u - v;
        let mix = |x: Vector, y: Vector, z: Vector| along(along(scale(x, u), v, y), w, z);
        let blend = |x: f32, y: f32, z: f32| u * x + v * y + w * z;
        let viewer = scale(rays.direction(lane), -1.0);
        let face = cross(sub(triangle.b, triangle.a), sub(triangle.c, triangle.a));
        let side = if dot(face, viewer) < 0.0 { -1.0 } else { 1.0 };
        let place = mix(triangle.a, triangle.b, triangle.c);
        // Height of the place over the plane at a corner, as far as it is below.
        let lift = |corner: &Vertex, weight: f32| {
            let normal = scale(corner.normal, side);
            let height = dot(sub(place, corner.position), normal);
            scale(normal, if height < 0.0 { -weight * height } else { 0.0 })
        };
        let offset = add(add(lift(a, u), lift(b, v)), lift(c, w));
        let mut normal = scale(normalise(mix(a.normal, b.normal, c.normal)), side);
        let cosine = dot(normal, viewer);
        if cosine < OUTLINE {
            normal = normalise(along(normal, OUTLINE - cosine, viewer));
        }
        let clear = scale(normalise(face), side * clearance(scene));
        Some(Self {
            place,
            lifted: add(add(place, offset), clear),
            normal,
            viewer,
            albedo: mix(a.albedo, b.albedo, c.albedo),
            specular: blend(a.specular, b.specular, c.specular),
            roughness: blend(a.roughness, b.roughness, c.roughness),
            scatter: blend(a.scatter, b.scatter, c.scatter),
            part: triangle.part,
            distance: hits.distance[lane],
        })
    }

    pub fn is_lens(&self) -> bool {
        self.part == Part::Lens as u32
    }

    /// Share of light that a lens lets through to the viewer, red, green, blue.
    pub fn passed(&self) -> Vector {
        let reflected = both_faces(fresnel(self.specular, dot(self.normal, self.viewer)));
        scale(self.albedo, 1.0 - reflected)
    }

    /// Half-width of the blurred terminator in the cosine, red, green, blue.
    pub fn blur(&self) -> Vector {
        let [red, green, blue] = scale(MEAN_FREE_PATH_MM, self.scatter);
        [red.min(1.0), green.min(1.0), blue.min(1.0)]
    }

    /// `π f n·l` of the microfacet lobe for light from a direction that the surface faces.
    pub fn shine(&self, toward: Vector, cos_light: f32) -> f32 {
        if self.specular <= 0.0 || cos_light <= 0.0 {
            return 0.0;
        }
        let half_way = normalise(add(toward, self.viewer));
        let cos_half = dot(self.normal, half_way);
        let cos_view = dot(self.normal, self.viewer);
        let squared = self.roughness * self.roughness;
        // The cross product keeps the digits that 1 − cos² loses at the peak.
        let across = cross(self.normal, half_way);
        let spread = cos_half * cos_half * squared + dot(across, across);
        let masking = |cosine: f32| cosine + (squared + (1.0 - squared) * cosine * cosine).sqrt();
        let mut reflected = fresnel(self.specular, dot(half_way, self.viewer));
        if self.is_lens() {
            reflected = both_faces(reflected);
        }
        let distribution = squared / (spread * spread);
        distribution * reflected * cos_light / (masking(cos_light) * masking(cos_view))
    }
}

/// How far shadow rays start above a triangle: some thousand units in the last place.
pub(crate) fn clearance(scene: &Scene) -> f32 {
    1.5e-5 * scene.bounds.1
}

/// Schlick 1994.
fn fresnel(at_normal: f32, cosine: f32) -> f32 {
    let x = (1.0 - cosine).clamp(0.0, 1.0);
    let squared = x * x;
    at_normal + (1.0 - at_normal) * squared * squared * x
}

/// Two faces of a thin lens, with all the light that goes back and forth between them.
fn both_faces(reflected: f32) -> f32 {
    2.0 * reflected / (1.0 + reflected)
}

/// The cosine as a surface with a blurred terminator answers it.
pub(super) fn soft_cosine(cosine: f32, blur: f32) -> f32 {
    if cosine.abs() < blur {
        let above = cosine + blur;
        above * above / (4.0 * blur)
    } else {
        cosine.max(0.0)
    }
}
