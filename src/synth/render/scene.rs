//! Surfaces put together for tracing: flat arrays that the CPU and the kernel read byte for byte.

use super::bvh::{self, Node};
use crate::synth::exact_math::{Vector, add, dot, length, scale, sub};
use crate::synth::surface::{Material, Part, Surface};

/// Why surfaces cannot be traced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SceneError {
    #[error("the scene holds no triangle")]
    Empty,
    #[error("the scene holds {0} triangles; at most {MOST_TRIANGLES} can be traced")]
    TooLarge(usize),
    #[error("surface {surface}: {positions} positions, {normals} normals, {materials} materials")]
    UnevenVertices { surface: usize, positions: usize, normals: usize, materials: usize },
    #[error("surface {surface}: {triangles} triangles, {parts} parts")]
    UnevenTriangles { surface: usize, triangles: usize, parts: usize },
    #[error("surface {surface}: triangle {triangle} names a vertex that is not there")]
    NoSuchVertex { surface: usize, triangle: usize },
    #[error("surface {surface}: vertex {vertex} is not finite or further than 100 m from the head")]
    Unplaced { surface: usize, vertex: usize },
    #[error("surface {surface}: the material of vertex {vertex} is out of range")]
    Material { surface: usize, vertex: usize },
}

/// So that a leaf's first triangle and every node index stay whole in 32 bits with room to spare.
const MOST_TRIANGLES: usize = 1 << 26;
/// Refuses lengths whose squares would leave f32.
const FURTHEST_MM: f32 = 1e5;
/// Distance that light creeps in skin, red, green, blue: the diffusion lengths 1/σ_tr of "skin 1"
/// (Jensen, Marschner, Levoy and Hanrahan 2001, table 1), in mm.
pub(crate) const MEAN_FREE_PATH_MM: [f32; 3] = [3.67, 1.37, 0.68];

/// A triangle as rays meet it, in the order of the leaves.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Triangle {
    pub a: [f32; 3],
    /// [`Part`] as a number.
    pub part: u32,
    pub b: [f32; 3],
    /// Position in the input: surfaces one after another, each in its own order.
    pub source: u32,
    pub c: [f32; 3],
    /// Share of light that a shadow ray keeps behind it; 0 but for lenses.
    pub transmission: f32,
}

/// What is interpolated over a triangle.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Vertex {
    pub position: [f32; 3],
    /// Subsurface share times the mean curvature there, 1/mm.
    pub scatter: f32,
    pub normal: [f32; 3],
    pub specular: f32,
    pub albedo: [f32; 3],
    pub roughness: f32,
}

/// Everything that is there to be seen, in the head frame, in mm. Built once for a session.
#[derive(Clone, Debug)]
pub struct Scene {
    pub(crate) nodes: Vec<Node>,
    pub(crate) triangles: Vec<Triangle>,
    /// Vertices of each triangle, in the order of the leaves; the fourth is 0.
    pub(crate) corners: Vec<[u32; 4]>,
    pub(crate) vertices: Vec<Vertex>,
    /// Centre and radius in mm of a sphere around it all.
    pub(crate) bounds: (Vector, f32),
}

impl Scene {
    /// Puts surfaces together and builds the tree.
    ///
    /// # Errors
    /// Nothing to trace, lists that do not fit each other, positions or materials that are not
    /// finite numbers in range.
    pub fn build(surfaces: &[&Surface]) -> Result<Self, SceneError> {
        let count: usize = surfaces.iter().map(|s| s.triangles.len()).sum();
        if count == 0 {
            return Err(SceneError::Empty);
        }
        if count > MOST_TRIANGLES {
            return Err(SceneError::TooLarge(count));
        }
        let mut vertices = Vec::with_capacity(surfaces.iter().map(|s| s.positions.len()).sum());
        let mut corners = Vec::with_capacity(count + 1);
        let mut parts = Vec::with_capacity(count + 1);
        for (index, surface) in surfaces.iter().enumerate() {
            check(index, surface)?;
            let first = vertices.len() as u32;
            let scatter = scatter(surface);
            vertices.extend((0..surface.positions.len()).map(|v| {
                let material = surface.materials[v];
                Vertex {
                    position: surface.positions[v],
                    scatter: scatter.get(v).copied().unwrap_or(0.0),
                    normal: surface.normals[v],
                    specular: material.specular,
                    albedo: material.albedo,
                    roughness: material.roughness,
                }
            }));
            corners.extend(
                surface.triangles.iter().map(|t| [t[0] + first, t[1] + first, t[2] + first, 0]),
            );
            parts.extend_from_slice(&surface.parts);
        }
        if count == 1 {
            // A node has two children; a triangle without area is never met.
            let corner = corners[0][0];
            corners.push([corner, corner, corner, 0]);
            parts.push(parts[0]);
        }
        let place = |v: u32| vertices[v as usize].position;
        let (nodes, order) = bvh::build(
            &corners.iter().map(|c| [place(c[0]), place(c[1]), place(c[2])]).collect::<Vec<_>>(),
        );
        let triangles = order
            .iter()
            .map(|&source| {
                let [a, b, c, _] = corners[source as usize];
                let part = parts[source as usize];
                let transmission = if part == Part::Lens {
                    let mean = [a, b, c]
                        .iter()
                        .map(|&v| lens_transmission(&vertices[v as usize]))
                        .sum::<f32>();
                    mean / 3.0
                } else {
                    0.0
                };
                Triangle {
                    a: place(a),
                    part: part as u32,
                    b: place(b),
                    source,
                    c: place(c),
                    transmission,
                }
            })
            .collect();
        let corners = order.iter().map(|&source| corners[source as usize]).collect();
        let bounds = nodes[0].bounds();
        let centre = scale(add(bounds.0, bounds.1), 0.5);
        let radius = 0.5 * length(sub(bounds.1, bounds.0));
        Ok(Self { nodes, triangles, corners, vertices, bounds: (centre, radius) })
    }

    /// Number of triangles.
    pub fn len(&self) -> usize {
        self.triangles.len()
    }

    /// Never: a scene without a triangle is refused.
    pub fn is_empty(&self) -> bool {
        self.triangles.is_empty()
    }
}

/// Share of light that goes straight through a lens at normal incidence, as luminance (Rec. 709).
fn lens_transmission(vertex: &Vertex) -> f32 {
    dot(vertex.albedo, super::LUMINANCE) * (1.0 - vertex.specular)
}

fn check(index: usize, surface: &Surface) -> Result<(), SceneError> {
    let count = surface.positions.len();
    if surface.normals.len() != count || surface.materials.len() != count {
        return Err(SceneError::UnevenVertices {
            surface: index,
            positions: count,
            normals: surface.normals.len(),
            materials: surface.materials.len(),
        });
    }
    if surface.triangles.len() != surface.parts.len() {
        return Err(SceneError::UnevenTriangles {
            surface: index,
            triangles: surface.triangles.len(),
            parts: surface.parts.len(),
        });
    }
    let placed = |v: &Vector| v.iter().all(|x| x.abs() <= FURTHEST_MM);
    for vertex in 0..count {
        // Written so that NaN fails.
        if !placed(&surface.positions[vertex])
            || !surface.normals[vertex].iter().all(|x| x.abs() <= 2.0)
        {
            return Err(SceneError::Unplaced { surface: index, vertex });
        }
        let Material { albedo, specular, roughness, subsurface } = surface.materials[vertex];
        let share = |x: f32| (0.0..=1.0).contains(&x);
        let good = albedo.iter().all(|&x| (0.0..=16.0).contains(&x))
            && share(specular)
            && (1e-3..=1.0).contains(&roughness)
            && (0.0..=100.0).contains(&subsurface);
        if !good {
            return Err(SceneError::Material { surface: index, vertex });
        }
    }
    match surface.triangles.iter().position(|t| t.iter().any(|&v| v as usize >= count)) {
        Some(triangle) => Err(SceneError::NoSuchVertex { surface: index, triangle }),
        None => Ok(()),
    }
}

/// Subsurface share times curvature for each vertex; empty where nothing scatters.
///
/// The curvature is the mean over the edges of how much the normal turns along the edge,
/// |Δn·Δp|/|Δp|².
fn scatter(surface: &Surface) -> Vec<f32> {
    if surface.materials.iter().all(|m| m.subsurface == 0.0) {
        return Vec::new();
    }
    let mut sums = vec![(0.0f32, 0.0f32); surface.positions.len()];
    for triangle in &surface.triangles {
        for side in 0..3 {
            let [i, j] = [triangle[side] as usize, triangle[(side + 1) % 3] as usize];
            let along = sub(surface.positions[j], surface.positions[i]);
            let turn = sub(surface.normals[j], surface.normals[i]);
            let squared = dot(along, along);
            if squared > 0.0 {
                let curvature = (dot(turn, along) / squared).abs();
                for v in [i, j] {
                    sums[v].0 += curvature;
                    sums[v].1 += 1.0;
                }
            }
        }
    }
    let share = |(sum, count): (f32, f32)| if count > 0.0 { sum / count } else { 0.0 };
    sums.into_iter().zip(&surface.materials).map(|(sum, m)| m.subsurface * share(sum)).collect()
}
