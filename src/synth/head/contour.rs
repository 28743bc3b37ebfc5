//! From a solid's scalar field to a mesh: dual contouring on an octree.
//!
//! The octree's leaves are as small as the caller asks at each place. Each leaf that the surface
//! crosses holds one vertex; each edge of a smallest leaf that the surface crosses gives one face
//! through the vertices of the leaves around it (Ju, Losasso, Schaefer and Warren 2002, "Dual
//! contouring of Hermite data"). The surface is smooth here, so the vertex goes to the mean of the
//! crossings and from there onto the surface; then the mesh is evened out along the surface.
//! The field must be even in x; the mesh comes out mirror symmetric to the bit.

use std::collections::HashMap;

use rayon::prelude::*;

use super::field::{Vec3, v};
use super::smoothing::{even_out, mend};

/// A closed mesh, counter-clockwise from outside.
pub(super) struct Contour {
    pub positions: Vec<Vec3>,
    pub triangles: Vec<[u32; 3]>,
    /// The vertex on the other side of the midplane.
    pub mirror: Vec<u32>,
}

/// Levels of the octree: leaf coordinates are integers below `2^LEVELS`. The last level is only
/// used where the surface would pinch.
const LEVELS: u32 = 12;
const SPAN: i32 = 1 << LEVELS;
/// Size of the smallest leaves that are made without need.
const SMALLEST: i32 = 2;
/// How much faster than the distance a field may grow.
const STEEPNESS: f64 = 1.7;
/// Rounds of dividing leaves at which the surface pinches.
const UNPINCHING: usize = 8;

pub(super) type Field<'a> = &'a (dyn Fn(Vec3) -> f64 + Sync);

struct Octree {
    /// First of eight children, or 0 for a leaf. Root first.
    children: Vec<u32>,
    /// Whether the surface may cross the cell.
    near: Vec<bool>,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy)]
struct Cell {
    corner: [i32; 3],
    size: i32,
}

impl Octree {
    fn divide(&mut self, index: usize) {
        let cell = self.cells[index];
        self.children[index] = self.cells.len() as u32;
        let half = cell.size / 2;
        for child in 0..8 {
            let corner = std::array::from_fn(|a| cell.corner[a] + half * (child >> a & 1));
            self.cells.push(Cell { corner, size: half });
            self.children.push(0);
            self.near.push(false);
        }
    }

    /// The leaf that holds a point given in half units; `None` outside the root.
    fn leaf(&self, twice: [i32; 3]) -> Option<u32> {
        if twice.iter().any(|&c| c <= 0 || c >= 2 * SPAN) {
            return None;
        }
        let mut index = 0u32;
        loop {
            let first = self.children[index as usize];
            if first == 0 {
                return Some(index);
            }
            let cell = self.cells[index as usize];
            let child = (0..3).fold(0, |child, axis| {
                let middle = 2 * cell.corner[axis] + cell.size;
                child | (u32::from(twice[axis] > middle) << axis)
            });
            index = first + child;
        }
    }
}

/// Meshes the zero surface of `field`, where `unit` mm is the smallest leaf and `leaf_mm` says how
/// large leaves may be. The root cube has its middle at `middle` (on the midplane).
///
/// A leaf that two sheets of the surface cross would pinch them together in its one vertex; such
/// leaves are divided further, down to half the unit.
pub(super) fn contour(field: Field, leaf_mm: Field, middle: Vec3, unit: f64) -> Contour {
    let unit = unit / f64::from(SMALLEST);
    let at = |c: [f64; 3]| {
        let half = f64::from(SPAN) / 2.0;
        middle + v(c[0] - half, c[1] - half, c[2] - half) * unit
    };
    let mut tree = grow(field, leaf_mm, &at, unit);
    let mut corners = HashMap::new();
    let all: Vec<usize> = (0..tree.cells.len()).collect();
    sample_corners(&mut corners, &tree, &all, field, &at);
    let mut web = weave(&tree, &corners, &at);
    for _ in 0..UNPINCHING {
        let pinched = web.pinched();
        let mut new = Vec::new();
        for (&leaf, pinched) in web.leaves.iter().zip(pinched) {
            if pinched && tree.cells[leaf as usize].size > 1 {
                let first = tree.cells.len();
                tree.divide(leaf as usize);
                new.extend(first..first + 8);
            }
        }
        if new.is_empty() {
            break;
        }
        new.iter().for_each(|&index| tree.near[index] = true);
        sample_corners(&mut corners, &tree, &new, field, &at);
        web = weave(&tree, &corners, &at);
    }
    let mirror: Vec<u32> = web
        .leaves
        .iter()
        .map(|&leaf| {
            let cell = tree.cells[leaf as usize];
            let mut twice = cell.corner.map(|c| 2 * c + cell.size);
            twice[0] = 2 * SPAN - twice[0];
            tree.leaf(twice).and_then(|l| web.vertex_of_leaf.get(&l).copied()).unwrap_or(0)
        })
        .collect();
    let size = |&leaf: &u32| f64::from(tree.cells[leaf as usize].size) * unit;
    let reach: Vec<f64> = web.leaves.iter().map(size).collect();
    let mut positions: Vec<Vec3> = web.crossings.iter().map(|(sum, n)| sum / *n).collect();
    even_out(&mut positions, &web.faces, &mirror, &reach, field);
    mend(&mut positions, &web.faces, &mirror, &reach, field);
    let triangles = split(&positions, &web.faces);
    Contour { positions, triangles, mirror }
}

/// Vertices and faces before they are smoothed.
#[derive(Default)]
struct Web {
    vertex_of_leaf: HashMap<u32, u32>,
    /// The leaf of each vertex.
    leaves: Vec<u32>,
    /// Sum and number of the crossings that each vertex stands for.
    crossings: Vec<(Vec3, f64)>,
    faces: Vec<[u32; 4]>,
}

impl Web {
    fn vertex(&mut self, leaf: u32, crossing: Vec3) -> u32 {
        let next = self.leaves.len() as u32;
        let vertex = *self.vertex_of_leaf.entry(leaf).or_insert(next);
        if vertex == next {
            self.leaves.push(leaf);
            self.crossings.push((Vec3::zeros(), 0.0));
        }
        let sum = &mut self.crossings[vertex as usize];
        sum.0 += crossing;
        sum.1 += 1.0;
        vertex
    }

    /// Vertices at which the surface is no surface: around a good vertex the faces form one fan.
    fn pinched(&self) -> Vec<bool> {
        // From each vertex the neighbour before it to the neighbour after it, face by face.
        let mut fans: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.leaves.len()];
        for face in &self.faces {
            let ring = ring(face);
            let n = ring.len();
            for k in 0..n {
                fans[ring[k] as usize].push((ring[(k + n - 1) % n], ring[(k + 1) % n]));
            }
        }
        fans.iter()
            .map(|fan| {
                let next: HashMap<u32, u32> = fan.iter().copied().collect();
                let Some(&(start, _)) = fan.first() else { return false };
                let (mut at, mut seen) = (start, 0);
                while let Some(&to) = next.get(&at) {
                    (at, seen) = (to, seen + 1);
                    if at == start || seen > fan.len() {
                        break;
                    }
                }
                next.len() != fan.len() || at != start || seen != fan.len()
            })
            .collect()
    }
}

/// The different vertices of a face; none if it has fewer than three.
fn ring(face: &[u32; 4]) -> Vec<u32> {
    let mut ring = face.to_vec();
    ring.dedup();
    if ring.first() == ring.last() {
        ring.pop();
    }
    if ring.len() < 3 { Vec::new() } else { ring }
}

/// One face for each edge of a smallest leaf that the surface crosses.
fn weave(
    tree: &Octree,
    corners: &HashMap<[i32; 3], f64>,
    at: &(dyn Fn([f64; 3]) -> Vec3 + Sync),
) -> Web {
    let mut web = Web::default();
    for (index, cell) in tree.cells.iter().enumerate() {
        if tree.children[index] != 0 || !tree.near[index] {
            continue;
        }
        for edge in 0..12 {
            let (axis, corner) = (edge / 4, edge % 4);
            let (u, w) = ((axis + 1) % 3, (axis + 2) % 3);
            let mut a = cell.corner;
            a[u] += cell.size * (corner as i32 & 1);
            a[w] += cell.size * (corner as i32 >> 1);
            let mut b = a;
            b[axis] += cell.size;
            let (Some(&fa), Some(&fb)) = (corners.get(&a), corners.get(&b)) else { continue };
            if (fa < 0.0) == (fb < 0.0) {
                continue;
            }
            // The four leaves around the edge, counter-clockwise seen from its far end.
            let around = [[1, 1], [-1, 1], [-1, -1], [1, -1]].map(|[du, dw]| {
                let mut twice = a.map(|c| 2 * c);
                twice[axis] += cell.size;
                twice[u] += du;
                twice[w] += dw;
                tree.leaf(twice)
            });
            let [Some(l0), Some(l1), Some(l2), Some(l3)] = around else { continue };
            let around = [l0, l1, l2, l3];
            let smallest = around.iter().map(|&l| tree.cells[l as usize].size).min();
            let first = around.iter().find(|&&l| Some(tree.cells[l as usize].size) == smallest);
            if first != Some(&(index as u32)) {
                continue;
            }
            let t = fa / (fa - fb);
            let mut crossing = a.map(f64::from);
            crossing[axis] += t * f64::from(cell.size);
            let face = around.map(|leaf| web.vertex(leaf, at(crossing)));
            web.faces.push(if fa < 0.0 { face } else { [face[3], face[2], face[1], face[0]] });
        }
    }
    web
}

fn grow(field: Field, leaf_mm: Field, at: &(dyn Fn([f64; 3]) -> Vec3 + Sync), unit: f64) -> Octree {
    let root = Cell { corner: [0; 3], size: SPAN };
    let mut tree = Octree { children: vec![0], near: vec![true], cells: vec![root] };
    let mut level = vec![0usize];
    while !level.is_empty() {
        let divide: Vec<(bool, bool)> = level
            .par_iter()
            .map(|&index| {
                let cell = tree.cells[index];
                let mut centre = at(cell.corner.map(|c| f64::from(c) + 0.5 * f64::from(cell.size)));
                centre.x = centre.x.abs();
                let side = f64::from(cell.size) * unit;
                let near = field(centre).abs() < STEEPNESS * 0.867 * side;
                (near, near && cell.size > SMALLEST && side > leaf_mm(centre))
            })
            .collect();
        let mut next = Vec::new();
        for (&index, (near, divide)) in level.iter().zip(divide) {
            tree.near[index] = near;
            if divide {
                let first = tree.cells.len();
                tree.divide(index);
                next.extend(first..first + 8);
            }
        }
        level = next;
    }
    tree
}

/// Reads the field at the corners of the leaves among `cells`, where it has not been read.
fn sample_corners(
    corners: &mut HashMap<[i32; 3], f64>,
    tree: &Octree,
    cells: &[usize],
    field: Field,
    at: &(dyn Fn([f64; 3]) -> Vec3 + Sync),
) {
    let mut new: Vec<[i32; 3]> = Vec::new();
    for &index in cells {
        let cell = tree.cells[index];
        if tree.children[index] == 0 && tree.near[index] {
            new.extend((0..8).map(|k| -> [i32; 3] {
                std::array::from_fn(|a| cell.corner[a] + cell.size * (k >> a & 1))
            }));
        }
    }
    let mirrored = |c: [i32; 3]| [SPAN - c[0], c[1], c[2]];
    // One side is read; the other is its mirror image.
    new.iter_mut().filter(|c| c[0] < SPAN / 2).for_each(|c| *c = mirrored(*c));
    new.retain(|c| !corners.contains_key(c));
    new.par_sort_unstable();
    new.dedup();
    let values: Vec<f64> = new.par_iter().map(|&c| field(at(c.map(f64::from)))).collect();
    for (c, value) in new.into_iter().zip(values) {
        corners.insert(c, value);
        corners.insert(mirrored(c), value);
    }
}

/// Cuts faces of four along the shorter diagonal; faces on leaves of two sizes may have three.
fn split(positions: &[Vec3], faces: &[[u32; 4]]) -> Vec<[u32; 3]> {
    let mut triangles = Vec::with_capacity(2 * faces.len());
    for face in faces {
        match ring(face)[..] {
            [a, b, c] => triangles.push([a, b, c]),
            [a, b, c, d] => {
                let p = |i: u32| positions[i as usize];
                if (p(a) - p(c)).norm_squared() <= (p(b) - p(d)).norm_squared() {
                    triangles.extend([[a, b, c], [a, c, d]]);
                } else {
                    triangles.extend([[a, b, d], [b, c, d]]);
                }
            }
            _ => {}
        }
    }
    triangles
}
