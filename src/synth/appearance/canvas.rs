//! The mesh that is painted: a head's mesh, refined where detail shows, with what does not change
//! from person to person worked out once.
//!
//! An edge longer on the mean head than its place asks for is split in the middle; a triangle
//! falls into two, three or four by how many of its edges are split, so that no crack opens. The
//! new vertex lies half-way between the chord's middle and the mean of its projections on the two
//! tangent planes, which is on the arc if the edge is one (Boubekeur & Alexa, "Phong
//! Tessellation", SIGGRAPH Asia 2008, with α = ½).

use std::collections::HashMap;

use super::super::exact_math::{Vector, add, cross, dot, length, normalise, scale, sub};
use super::super::head::Topology;
use super::super::surface::Part;
use super::lashes::LashRoot;
use super::noise::{hash, mix, smooth, unit};
use super::plan::{Plan, Spot};

/// A refined head mesh and its plan. Made once for a source of heads and a level of detail.
pub struct Canvas {
    pub(super) detail_mm: f32,
    pub(super) plan: Plan,
    pub(super) triangles: Vec<[u32; 3]>,
    pub(super) parts: Vec<Part>,
    pub(super) rest: Vec<Vector>,
    /// Part of each vertex.
    pub(super) vertex_parts: Vec<Part>,
    pub(super) spots: Vec<Spot>,
    /// Of the vertices inside the mouth, those that hang together with the lips: no teeth.
    pub(super) lining: Vec<bool>,
    /// Eyeballs, the person's right and left.
    pub(super) eyes: [Eyeball; 2],
    /// Places from which hairs can grow.
    pub(super) roots: Vec<Root>,
    pub(super) lashes: Vec<LashRoot>,
    chin: u32,
    base_vertices: usize,
    base_triangles: Vec<[u32; 3]>,
    /// Ends of the edges that were split, one for each vertex beyond the head's own.
    splits: Vec<[u32; 2]>,
}

/// An eyeball of the mean head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eyeball {
    pub centre: Vector,
    pub radius: f32,
    /// Unit vector to the middle of the pupil.
    pub axis: Vector,
}

/// A place on the skin from which a hair can grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub triangle: u32,
    pub weights: [f32; 3],
    pub rest: Vector,
    pub spot: Spot,
    pub field: Growth,
    /// Random numbers of its own, 0 to 1.
    pub luck: [f32; 3],
}

/// Which hair may grow somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Brow,
    Beard,
    Scalp,
}

/// A head in its present shape, refined.
pub(super) struct Posed {
    pub positions: Vec<Vector>,
    pub normals: Vec<Vector>,
}

const MAX_LEVELS: usize = 3;

impl Canvas {
    /// Refines a head's mesh. `detail_mm`: about how long an edge on the face may be, in mm; the
    /// size of a pixel is a good value. 0.3 to 10.
    pub fn new(topology: &Topology, detail_mm: f32) -> Self {
        let detail_mm = if detail_mm.is_finite() { detail_mm.clamp(0.3, 10.0) } else { 2.0 };
        let plan = Plan::new(&topology.rest, &topology.landmarks);
        let mut triangles = topology.triangles.clone();
        let mut parts = topology.parts.clone();
        let mut rest = topology.rest.clone();
        let mut normals = vertex_normals(&rest, &triangles);
        let eyes = [0, 1].map(|side| Eyeball::of(topology, side));
        let mut splits = Vec::new();
        for _ in 0..MAX_LEVELS {
            let goal = |p: Vector, part: Part| goal_mm(&plan.spot(p), p, part, &eyes) * detail_mm;
            let before = splits.len();
            (triangles, parts) =
                refine(&triangles, &parts, &mut rest, &mut normals, &mut splits, goal);
            if splits.len() == before {
                break;
            }
        }
        let mut vertex_parts = vec![Part::Skin; rest.len()];
        for (triangle, part) in triangles.iter().zip(&parts) {
            for &vertex in triangle {
                if *part != Part::Skin {
                    vertex_parts[vertex as usize] = *part;
                }
            }
        }
        // A rim vertex between skin and the inside of the mouth is lip.
        for (triangle, part) in triangles.iter().zip(&parts) {
            for &vertex in triangle {
                if *part == Part::Skin {
                    vertex_parts[vertex as usize] = Part::Skin;
                }
            }
        }
        let lining = lining(&triangles, &parts, rest.len());
        let spots = rest.iter().map(|&p| plan.spot(p)).collect();
        let roots = roots(topology, &plan);
        let lashes = lash_roots(topology, &plan);
        Self {
            detail_mm,
            plan,
            triangles,
            parts,
            vertex_parts,
            lining,
            spots,
            eyes,
            roots,
            lashes,
            chin: topology.landmarks[8],
            rest,
            base_vertices: topology.rest.len(),
            base_triangles: topology.triangles.clone(),
            splits,
        }
    }

    /// Vertex of the tip of the chin.
    pub(super) fn chin(&self) -> u32 {
        self.chin
    }

    /// The refined head for vertex positions of its source.
    pub(super) fn pose(&self, posed: &[Vector]) -> Posed {
        let mut positions = Vec::with_capacity(self.rest.len());
        positions.extend_from_slice(&posed[..self.base_vertices]);
        let mut normals = vertex_normals(&positions, &self.base_triangles);
        for &[a, b] in &self.splits {
            let (position, normal) = between(&positions, &normals, a, b);
            positions.push(position);
            normals.push(normal);
        }
        Posed { positions, normals }
    }

    /// Place, normal and the map of rest directions for a root on the present head.
    pub(super) fn grow(&self, root: &Root, posed: &[Vector]) -> Rooted {
        let corners = self.base_triangles[root.triangle as usize];
        let rest = corners.map(|v| self.rest[v as usize]);
        let now = corners.map(|v| posed[v as usize]);
        let place = |of: [Vector; 3]| {
            (0..3).fold([0.0; 3], |sum, i| add(sum, scale(of[i], root.weights[i])))
        };
        let frame = |of: [Vector; 3]| {
            let (u, v) = (sub(of[1], of[0]), sub(of[2], of[0]));
            (u, v, normalise(cross(u, v)))
        };
        let (ru, rv, rn) = frame(rest);
        let (u, v, normal) = frame(now);
        Rooted { position: place(now), normal, rest_frame: [ru, rv, rn], frame: [u, v, normal] }
    }
}

/// A root on the present head.
pub(super) struct Rooted {
    pub position: Vector,
    pub normal: Vector,
    rest_frame: [Vector; 3],
    frame: [Vector; 3],
}

impl Rooted {
    /// A direction of the mean head, carried along with the skin. Unit length.
    pub(super) fn carry(&self, direction: Vector) -> Vector {
        let [u, v, n] = self.rest_frame;
        let (uu, uv, vv) = (dot(u, u), dot(u, v), dot(v, v));
        let (du, dv) = (dot(direction, u), dot(direction, v));
        let det = (uu * vv - uv * uv).max(1e-9);
        let (a, b) = ((du * vv - dv * uv) / det, (dv * uu - du * uv) / det);
        let along = add(scale(self.frame[0], a), scale(self.frame[1], b));
        normalise(add(along, scale(self.frame[2], dot(direction, n))))
    }
}

/// Vertices that can be reached from the skin over triangles of the mouth.
fn lining(triangles: &[[u32; 3]], parts: &[Part], vertices: usize) -> Vec<bool> {
    let mut reached = vec![false; vertices];
    for (t, _) in triangles.iter().zip(parts).filter(|(_, part)| **part == Part::Skin) {
        t.iter().for_each(|&v| reached[v as usize] = true);
    }
    let inside = || triangles.iter().zip(parts).filter(|(_, part)| **part == Part::Mouth);
    loop {
        let mut grown = false;
        for (t, _) in inside() {
            let any = t.iter().any(|&v| reached[v as usize]);
            for &v in t.iter().filter(|_| any) {
                grown |= !reached[v as usize];
                reached[v as usize] = true;
            }
        }
        if !grown {
            return reached;
        }
    }
}

/// Edge length that a place asks for, in units of the detail.
fn goal_mm(spot: &Spot, p: Vector, part: Part, eyes: &[Eyeball; 2]) -> f32 {
    match part {
        Part::Eye => {
            let eye = &eyes[usize::from(p[0] > 0.0)];
            let front = dot(normalise(sub(p, eye.centre)), eye.axis);
            if front > 0.8 { 0.5 } else { 4.0 }
        }
        Part::Mouth => 3.0,
        _ => {
            let near_lips = spot.lip.abs() < 7.0;
            let near_eye = spot.lid < 10.0;
            let on_brow = spot.brow[1].abs() < 9.0 && (-0.2..1.2).contains(&spot.brow[0]);
            let fine = if near_lips || near_eye || on_brow { 0.75 } else { 1.0 };
            let side = mix(fine, 4.0, smooth(60.0, 95.0, spot.azimuth));
            let high = mix(side, 3.0, smooth(60.0, 85.0, spot.y)).max(side);
            let side = if spot.y < -118.0 { high.max(2.0) } else { high };
            let ear = if spot.ear > 0.1 { 1.5 } else { side };
            match spot.y {
                y if y > -135.0 => ear,
                // The neckline runs here.
                y if y > -205.0 => ear.max(1.5),
                _ => ear.max(5.0),
            }
        }
    }
}

/// One round of splitting. Returns the new triangles and their parts.
fn refine(
    triangles: &[[u32; 3]],
    parts: &[Part],
    rest: &mut Vec<Vector>,
    normals: &mut Vec<Vector>,
    splits: &mut Vec<[u32; 2]>,
    goal: impl Fn(Vector, Part) -> f32,
) -> (Vec<[u32; 3]>, Vec<Part>) {
    let mut middles: HashMap<[u32; 2], Option<u32>> = HashMap::new();
    let (mut new_triangles, mut new_parts) = (Vec::new(), Vec::new());
    for (&[a, b, c], &part) in triangles.iter().zip(parts) {
        let mut middle = |a: u32, b: u32| {
            let edge = [a.min(b), a.max(b)];
            *middles.entry(edge).or_insert_with(|| {
                let (p, q) = (rest[edge[0] as usize], rest[edge[1] as usize]);
                let at = scale(add(p, q), 0.5);
                if length(sub(p, q)) <= 1.5 * goal(at, part) {
                    return None;
                }
                let (position, normal) = between(rest, normals, edge[0], edge[1]);
                rest.push(position);
                normals.push(normal);
                splits.push(edge);
                Some(rest.len() as u32 - 1)
            })
        };
        let (ab, bc, ca) = (middle(a, b), middle(b, c), middle(c, a));
        let before = new_triangles.len();
        match (ab, bc, ca) {
            (None, None, None) => new_triangles.push([a, b, c]),
            (Some(m), None, None) => new_triangles.extend([[a, m, c], [m, b, c]]),
            (None, Some(m), None) => new_triangles.extend([[b, m, a], [m, c, a]]),
            (None, None, Some(m)) => new_triangles.extend([[c, m, b], [m, a, b]]),
            (Some(m), Some(n), None) => new_triangles.extend([[m, b, n], [a, m, n], [a, n, c]]),
            (None, Some(m), Some(n)) => new_triangles.extend([[m, c, n], [b, m, n], [b, n, a]]),
            (Some(n), None, Some(m)) => new_triangles.extend([[m, a, n], [c, m, n], [c, n, b]]),
            (Some(k), Some(m), Some(n)) => {
                new_triangles.extend([[a, k, n], [k, b, m], [n, m, c], [k, m, n]]);
            }
        }
        new_parts.extend(std::iter::repeat_n(part, new_triangles.len() - before));
    }
    (new_triangles, new_parts)
}

fn between(positions: &[Vector], normals: &[Vector], a: u32, b: u32) -> (Vector, Vector) {
    let (pa, pb) = (positions[a as usize], positions[b as usize]);
    let (na, nb) = (normals[a as usize], normals[b as usize]);
    let middle = scale(add(pa, pb), 0.5);
    let lift = |p: Vector, n: Vector| scale(n, -dot(sub(middle, p), n));
    // Half of the mean of the two projections.
    let raise = scale(add(lift(pa, na), lift(pb, nb)), 0.25);
    // Across a sharp fold the tangent planes say nothing about the edge between.
    let even = dot(na, nb).max(0.0);
    (add(middle, scale(raise, even)), normalise(add(na, nb)))
}

/// Unit normals, each the sum over its triangles weighted by area.
pub(super) fn vertex_normals(positions: &[Vector], triangles: &[[u32; 3]]) -> Vec<Vector> {
    let mut normals = vec![[0.0; 3]; positions.len()];
    for t in triangles {
        let [a, b, c] = t.map(|v| positions[v as usize]);
        let normal = cross(sub(b, a), sub(c, a));
        for &v in t {
            normals[v as usize] = add(normals[v as usize], normal);
        }
    }
    for normal in &mut normals {
        *normal = normalise(*normal);
    }
    normals
}

impl Eyeball {
    /// Fits a sphere to one side's eye vertices (|p − c|² = r² is linear in c and r² − |c|²).
    fn of(topology: &Topology, side: usize) -> Self {
        let mut points: Vec<Vector> = Vec::new();
        let mut seen = vec![false; topology.rest.len()];
        for (t, part) in topology.triangles.iter().zip(&topology.parts) {
            for &v in t {
                let p = topology.rest[v as usize];
                if *part == Part::Eye && usize::from(p[0] > 0.0) == side && !seen[v as usize] {
                    seen[v as usize] = true;
                    points.push(p);
                }
            }
        }
        let fallback = [if side == 0 { -31.0 } else { 31.0 }, 0.0, 0.0];
        let count = points.len().max(1) as f32;
        let mean = scale(points.iter().fold([0.0; 3], |s, &p| add(s, p)), 1.0 / count);
        let mut low = [f32::MAX; 3];
        let mut high = [f32::MIN; 3];
        for p in &points {
            for i in 0..3 {
                low[i] = low[i].min(p[i]);
                high[i] = high[i].max(p[i]);
            }
        }
        if points.len() < 8 {
            return Self { centre: fallback, radius: 12.0, axis: [0.0, 0.0, 1.0] };
        }
        // Up and sideways the box gives centre and radius; the depth may be a bulging front or a
        // mere cap, so the centre lies one radius behind the front where no bulge is.
        let radius = (0.25 * (high[0] - low[0] + high[1] - low[1])).max(1.0);
        let middle = [0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1])];
        let ring: Vec<f32> = points
            .iter()
            .filter_map(|p| {
                let (dx, dy) = (p[0] - middle[0], p[1] - middle[1]);
                let r2 = (dx * dx + dy * dy) / (radius * radius);
                ((0.36..0.72).contains(&r2) && p[2] > mean[2])
                    .then(|| p[2] - radius * (1.0 - r2).sqrt())
            })
            .collect();
        let z = if ring.is_empty() {
            high[2] - radius
        } else {
            ring.iter().sum::<f32>() / ring.len() as f32
        };
        let centre = [middle[0], middle[1], z];
        // The cornea stands out of the ball; without one, eyes look straight ahead.
        let bulge = points.iter().fold([0.0; 3], |sum, &p| {
            let off = sub(p, centre);
            let over = (length(off) / radius - 1.04).max(0.0);
            if off[2] > 0.6 * radius { add(sum, scale(normalise(off), over)) } else { sum }
        });
        let axis = normalise(add(bulge, [0.0, 0.0, 1e-3]));
        Self { centre, radius, axis }
    }
}

/// Roots per mm² of brow, beard and scalp.
const ROOT_DENSITY: [f32; 3] = [0.9, 0.45, 0.11];

fn roots(topology: &Topology, plan: &Plan) -> Vec<Root> {
    let mut roots = Vec::new();
    for (index, (t, part)) in topology.triangles.iter().zip(&topology.parts).enumerate() {
        if *part != Part::Skin {
            continue;
        }
        let corners = t.map(|v| topology.rest[v as usize]);
        let [a, b, c] = corners;
        let middle = scale(add(add(a, b), c), 1.0 / 3.0);
        let spot = plan.spot(middle);
        let Some(field) = growth(&spot) else { continue };
        let area = 0.5 * length(cross(sub(b, a), sub(c, a)));
        let density = ROOT_DENSITY[field as usize];
        let (count, luck) = (area * density, hash(index as i32, 0, 0, 0x4007));
        let count = count as usize + usize::from(unit(luck, 0) < count.fract());
        for number in 0..count {
            let h = hash(index as i32, number as i32 + 1, 0, 0x4007);
            let (mut u, mut v) = (unit(h, 0), unit(h, 1));
            if u + v > 1.0 {
                (u, v) = (1.0 - u, 1.0 - v);
            }
            let weights = [1.0 - u - v, u, v];
            let rest = (0..3).fold([0.0; 3], |s, i| add(s, scale(corners[i], weights[i])));
            let more = hash(index as i32, number as i32 + 1, 1, 0x4007);
            let luck = [0, 1, 2].map(|part| unit(more, part));
            let spot = plan.spot(rest);
            roots.push(Root { triangle: index as u32, weights, rest, spot, field, luck });
        }
    }
    roots
}

fn growth(spot: &Spot) -> Option<Growth> {
    if spot.brow[1].abs() < 14.0 && (-0.3..1.3).contains(&spot.brow[0]) && spot.lid > 2.0 {
        return Some(Growth::Brow);
    }
    let below = spot.y < 5.0 && spot.y > -150.0 && spot.azimuth < 90.0;
    if below && spot.ear < 0.3 && spot.lip > -0.5 && (spot.y < -46.0 || spot.azimuth > 35.0) {
        return Some(Growth::Beard);
    }
    (spot.ear < 0.3 && (spot.y > 10.0 || spot.azimuth > 60.0) && spot.y > -95.0)
        .then_some(Growth::Scalp)
}

/// Lashes to be had per mm of lid.
const LASHES_PER_MM: f32 = 2.6;

fn lash_roots(topology: &Topology, plan: &Plan) -> Vec<LashRoot> {
    let mut lids: Vec<u32> = Vec::new();
    for (t, part) in topology.triangles.iter().zip(&topology.parts) {
        if *part == Part::Skin {
            lids.extend(t.iter().filter(|&&v| plan.spot(topology.rest[v as usize]).lid < 4.0));
        }
    }
    lids.sort_unstable();
    lids.dedup();
    let mut roots = Vec::new();
    for side in 0..2 {
        let outline = plan.lid_outline(side);
        let corners = if side == 0 { [39, 36] } else { [42, 45] };
        let [inner, outer] = corners.map(|l| plan.landmark(l));
        let mut number = 0;
        for (index, a) in outline.iter().enumerate() {
            let b = outline[(index + 1) % outline.len()];
            let span = length(sub([a[0], a[1], 0.0], [b[0], b[1], 0.0]));
            let count = (span * LASHES_PER_MM) as usize;
            for step in 0..count {
                let t = step as f32 / count as f32;
                let p = [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
                let way = (p[0] - inner[0]) / (outer[0] - inner[0]);
                // None at the very corners.
                if !(0.1..0.99).contains(&way) {
                    continue;
                }
                let chord = inner[1] + way * (outer[1] - inner[1]);
                let near = |v: &u32| {
                    let q = topology.rest[*v as usize];
                    let (dx, dy) = (q[0] - p[0], q[1] - p[1]);
                    // Of the vertices over the rim, the foremost.
                    dx * dx + dy * dy - 0.15 * q[2]
                };
                let nearest = lids.iter().min_by(|a, b| near(a).total_cmp(&near(b)));
                if let Some(&vertex) = nearest {
                    let (upper, lean) = (p[1] > chord, 2.0 * way - 1.0);
                    roots.push(LashRoot { vertex, side, upper, lean, number });
                    number += 1;
                }
            }
        }
    }
    roots
}
