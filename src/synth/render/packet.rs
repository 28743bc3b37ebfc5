//! Sixteen rays abreast through the tree.
//!
//! Rays of one packet leave neighbouring places in nearly one direction, so that they meet the
//! same boxes and triangles; each box and triangle is fetched once and tested against all of
//! them in vector registers. What a ray finds does not depend on the others beside it.
//!
//! The triangle test is the watertight one of Woop, Benthin and Wald (2013): vertices are sheared
//! into a frame in which the ray is the z axis, and the signs of the three edge functions decide.
//! An edge shared by two triangles gives both the same number but for the sign, and rounding is
//! monotonic, so the sign is never wrong, only lost: zero counts as inside, and no ray slips
//! through a shared edge. Boxes are widened by three units in the last place (Ize 2013).
#![allow(clippy::needless_range_loop, reason = "lanes of several arrays run abreast")]

use super::bvh::{MOST_DEPTH, Node};
use super::scene::{Scene, Triangle};
use crate::integrate::wide::widest;
use crate::synth::exact_math::Vector;

pub const LANES: usize = 16;
pub type Lanes = [f32; LANES];

/// No triangle.
pub const MISS: u32 = u32::MAX;

/// Rays of the head frame. A lane with `end < 0` is empty.
#[derive(Clone)]
pub struct Rays {
    pub origin: [Lanes; 3],
    /// Unit vectors.
    pub direction: [Lanes; 3],
    /// Hits before this distance do not count, mm.
    pub start: Lanes,
    /// Hits from this distance on do not count, mm.
    pub end: Lanes,
}

impl Rays {
    pub fn none() -> Self {
        let mut direction = [[0.0; LANES]; 3];
        direction[2] = [-1.0; LANES];
        Self { origin: [[0.0; LANES]; 3], direction, start: [0.0; LANES], end: [-1.0; LANES] }
    }

    pub fn set(&mut self, lane: usize, origin: Vector, direction: Vector, start: f32, end: f32) {
        for axis in 0..3 {
            self.origin[axis][lane] = origin[axis];
            self.direction[axis][lane] = direction[axis];
        }
        self.start[lane] = start;
        self.end[lane] = end;
    }

    pub fn direction(&self, lane: usize) -> Vector {
        [self.direction[0][lane], self.direction[1][lane], self.direction[2][lane]]
    }
}

/// Where rays end.
#[derive(Clone)]
pub struct Hits {
    /// Along the ray, mm.
    pub distance: Lanes,
    /// In the order of the leaves; [`MISS`] where nothing was met.
    pub triangle: [u32; LANES],
    /// Weights of the triangle's first two corners.
    pub weight_a: Lanes,
    pub weight_b: Lanes,
}

impl Hits {
    pub fn none() -> Self {
        let zero = [0.0; LANES];
        Self {
            distance: [f32::INFINITY; LANES],
            triangle: [MISS; LANES],
            weight_a: zero,
            weight_b: zero,
        }
    }
}

/// Relative widening of a box's far side: 3 units in the last place.
const WIDEN: f32 = 1.000_000_4;
/// Stands for the inverse of a direction's zero.
const STEEP: f32 = 1e18;

/// The rays of one octant and dominant axis, ready to be traced.
struct Prepared {
    inverse: [Lanes; 3],
    /// Which way the rays go along each axis.
    backward: [bool; 3],
    /// The dominant axis last, the others before it in turn.
    axes: [usize; 3],
    shear: [Lanes; 3],
}

/// Dominant axis (ties go to the lower one) and signs of each lane's direction; −1 if empty.
#[inline(always)]
fn kinds(rays: &Rays) -> [i32; LANES] {
    let mut kinds = [0; LANES];
    let [x, y, z] = &rays.direction;
    for i in 0..LANES {
        let axis = if x[i].abs() >= y[i].abs() {
            if x[i].abs() >= z[i].abs() { 0 } else { 2 }
        } else if y[i].abs() >= z[i].abs() {
            1
        } else {
            2
        };
        let back = |d: f32| i32::from(d < -1.0 / STEEP);
        let kind = axis + 4 * back(x[i]) + 8 * back(y[i]) + 16 * back(z[i]);
        kinds[i] = if rays.end[i] >= 0.0 { kind } else { -1 };
    }
    kinds
}

impl Prepared {
    /// The next rays of one kind, which `kinds` then calls empty; `limit` is −1 in other lanes.
    /// Neighbouring rays are nearly always of one kind.
    #[inline(always)]
    fn next(rays: &Rays, kinds: &mut [i32; LANES], limit: &mut Lanes) -> Option<Self> {
        let kind = *kinds.iter().find(|&&kind| kind >= 0)?;
        for i in 0..LANES {
            limit[i] = if kinds[i] == kind { rays.end[i] } else { -1.0 };
            kinds[i] = if kinds[i] == kind { -1 } else { kinds[i] };
        }
        let axis = (kind & 3) as usize;
        let axes = [(axis + 1) % 3, (axis + 2) % 3, axis];
        let backward = [kind & 4 != 0, kind & 8 != 0, kind & 16 != 0];
        let zero = [[0.0; LANES]; 3];
        let mut prepared = Self { inverse: zero, backward, axes, shear: zero };
        let [x, y, z] = axes.map(|a| &rays.direction[a]);
        for i in 0..LANES {
            for a in 0..3 {
                let d = rays.direction[a][i];
                prepared.inverse[a][i] = if d.abs() > 1.0 / STEEP { 1.0 / d } else { STEEP };
            }
            let inverse = if z[i] != 0.0 { 1.0 / z[i] } else { 0.0 };
            prepared.shear[0][i] = x[i] * inverse;
            prepared.shear[1][i] = y[i] * inverse;
            prepared.shear[2][i] = inverse;
        }
        Some(prepared)
    }
}

#[inline(always)]
fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The least of numbers; any negative one if there is one. Bits of floats that are not negative
/// order as whole numbers do, of which processors find the least at once.
#[inline(always)]
fn least(lanes: &Lanes) -> f32 {
    let mut bits = i32::MAX;
    for lane in lanes {
        bits = bits.min(lane.to_bits() as i32);
    }
    f32::from_bits(bits as u32)
}

/// The greatest of numbers; any negative one if all are.
#[inline(always)]
fn greatest(lanes: &Lanes) -> f32 {
    let mut bits = i32::MIN;
    for lane in lanes {
        bits = bits.max(lane.to_bits() as i32);
    }
    f32::from_bits(bits as u32)
}

/// Distance at which the first ray enters a box; infinite where none does.
#[inline(always)]
fn enter(lowest: &Vector, highest: &Vector, rays: &Rays, ready: &Prepared, limit: &Lanes) -> f32 {
    let (mut near, mut far) = (rays.start, *limit);
    for axis in 0..3 {
        let (origin, inverse) = (&rays.origin[axis], &ready.inverse[axis]);
        let (first, last) = if ready.backward[axis] {
            (highest[axis], lowest[axis])
        } else {
            (lowest[axis], highest[axis])
        };
        for i in 0..LANES {
            near[i] = max(near[i], (first - origin[i]) * inverse[i]);
            far[i] = min(far[i], (last - origin[i]) * inverse[i]);
        }
    }
    let mut entry = [0.0; LANES];
    for i in 0..LANES {
        entry[i] = if near[i] <= far[i] * WIDEN { near[i] } else { f32::INFINITY };
    }
    least(&entry)
}

/// What a triangle is to each ray.
struct Met {
    /// Infinite where the ray passes beside it.
    distance: Lanes,
    weight_a: Lanes,
    weight_b: Lanes,
}

/// `None` where all rays pass beside.
#[inline(always)]
fn meet(triangle: &Triangle, rays: &Rays, ready: &Prepared, limit: &Lanes) -> Option<Met> {
    let [kx, ky, kz] = ready.axes;
    let [ox, oy, oz] = [&rays.origin[kx], &rays.origin[ky], &rays.origin[kz]];
    let [sx, sy, sz] = [&ready.shear[0], &ready.shear[1], &ready.shear[2]];
    let (a, b, c) = (&triangle.a, &triangle.b, &triangle.c);
    let (mut u, mut v, mut w, mut inside) =
        ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let (mut az, mut bz, mut cz) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for i in 0..LANES {
        az[i] = a[kz] - oz[i];
        bz[i] = b[kz] - oz[i];
        cz[i] = c[kz] - oz[i];
        let ax = (a[kx] - ox[i]) - sx[i] * az[i];
        let ay = (a[ky] - oy[i]) - sy[i] * az[i];
        let bx = (b[kx] - ox[i]) - sx[i] * bz[i];
        let by = (b[ky] - oy[i]) - sy[i] * bz[i];
        let cx = (c[kx] - ox[i]) - sx[i] * cz[i];
        let cy = (c[ky] - oy[i]) - sy[i] * cz[i];
        u[i] = cx * by - cy * bx;
        v[i] = ax * cy - ay * cx;
        w[i] = bx * ay - by * ax;
        // Not negative where all three signs agree, and only in filled lanes.
        let agree = max(min(min(u[i], v[i]), w[i]), -max(max(u[i], v[i]), w[i]));
        inside[i] = if limit[i] >= 0.0 && agree >= 0.0 { -1.0 } else { 1.0 };
    }
    if least(&inside) > 0.0 {
        return None;
    }
    let mut met = Met { distance: [0.0; LANES], weight_a: [0.0; LANES], weight_b: [0.0; LANES] };
    for i in 0..LANES {
        let det = u[i] + v[i] + w[i];
        // The sum of three numbers of one sign is zero only if they are: edge-on or degenerate.
        let inverse = 1.0 / if det == 0.0 { 1.0 } else { det };
        let t = (u[i] * az[i] + v[i] * bz[i] + w[i] * cz[i]) * sz[i] * inverse;
        let hit = inside[i] < 0.0 && det != 0.0 && t > rays.start[i] && t < limit[i];
        met.distance[i] = if hit { t } else { f32::INFINITY };
        met.weight_a[i] = u[i] * inverse;
        met.weight_b[i] = v[i] * inverse;
    }
    Some(met)
}

/// Inner nodes and leaves still to visit, nearest on top.
struct Stack {
    entries: [(f32, u32, u32); MOST_DEPTH],
    len: usize,
}

impl Stack {
    #[inline(always)]
    fn push(&mut self, near: f32, first: u32, count: u32) {
        // The tree is no deeper than the stack, and each level leaves one entry behind.
        self.entries[self.len & (MOST_DEPTH - 1)] = (near, first, count);
        self.len += 1;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(f32, u32, u32)> {
        self.len = self.len.checked_sub(1)?;
        Some(self.entries[self.len & (MOST_DEPTH - 1)])
    }
}

/// What is done in a leaf. A trait, since closures are not compiled for the caller's vectors.
trait Visit {
    /// Tests triangles against the rays, shortens `limit`; false ends the walk.
    fn leaf(
        &mut self,
        triangles: &[Triangle],
        first: u32,
        rays: &Rays,
        ready: &Prepared,
        limit: &mut Lanes,
    ) -> bool;
}

/// Visits the leaves that any ray enters.
#[inline(always)]
fn walk(scene: &Scene, rays: &Rays, ready: &Prepared, limit: &mut Lanes, visit: &mut impl Visit) {
    let mut stack = Stack { entries: [(0.0, 0, 0); MOST_DEPTH], len: 0 };
    let (mut first, mut count) = (0u32, 0u32);
    // No ray goes further than this.
    let mut furthest = greatest(limit);
    loop {
        if count == 0 {
            let node: &Node = &scene.nodes[first as usize];
            let left = enter(&node.left_min, &node.left_max, rays, ready, limit);
            let right = enter(&node.right_min, &node.right_max, rays, ready, limit);
            let to_left = (left, node.left_first, node.left_count);
            let to_right = (right, node.right_first, node.right_count);
            let (near, far) = if left <= right { (to_left, to_right) } else { (to_right, to_left) };
            if near.0 < f32::INFINITY {
                if far.0 < f32::INFINITY {
                    stack.push(far.0, far.1, far.2);
                }
                (first, count) = (near.1, near.2);
                continue;
            }
        } else {
            let triangles = &scene.triangles[first as usize..(first + count) as usize];
            if !visit.leaf(triangles, first, rays, ready, limit) {
                return;
            }
            furthest = greatest(limit);
        }
        loop {
            match stack.pop() {
                None => return,
                Some((near, f, c)) => {
                    if near <= furthest * WIDEN {
                        (first, count) = (f, c);
                        break;
                    }
                }
            }
        }
    }
}

struct Closest<'a>(&'a mut Hits);

impl Visit for Closest<'_> {
    #[inline(always)]
    fn leaf(
        &mut self,
        triangles: &[Triangle],
        first: u32,
        rays: &Rays,
        ready: &Prepared,
        limit: &mut Lanes,
    ) -> bool {
        let hits = &mut *self.0;
        for (triangle, index) in triangles.iter().zip(first..) {
            let Some(met) = meet(triangle, rays, ready, limit) else { continue };
            for i in 0..LANES {
                let nearer = met.distance[i] < limit[i];
                limit[i] = if nearer { met.distance[i] } else { limit[i] };
                hits.distance[i] = if nearer { met.distance[i] } else { hits.distance[i] };
                hits.triangle[i] = if nearer { index } else { hits.triangle[i] };
                hits.weight_a[i] = if nearer { met.weight_a[i] } else { hits.weight_a[i] };
                hits.weight_b[i] = if nearer { met.weight_b[i] } else { hits.weight_b[i] };
            }
        }
        true
    }
}

struct Through<'a>(&'a mut Lanes);

impl Visit for Through<'_> {
    #[inline(always)]
    fn leaf(
        &mut self,
        triangles: &[Triangle],
        _: u32,
        rays: &Rays,
        ready: &Prepared,
        limit: &mut Lanes,
    ) -> bool {
        for triangle in triangles {
            let Some(met) = meet(triangle, rays, ready, limit) else { continue };
            for i in 0..LANES {
                let crossed = met.distance[i] < f32::INFINITY;
                self.0[i] *= if crossed { triangle.transmission } else { 1.0 };
                limit[i] = if self.0[i] > 0.0 { limit[i] } else { -1.0 };
            }
        }
        greatest(limit) >= 0.0
    }
}

widest! {
    /// The nearest on each ray of some triangles, given by their places among the leaves.
    fn closest_of(scene: &Scene, candidates: &[u32], rays: &Rays, hits: &mut Hits) {
        *hits = Hits::none();
        let (mut kinds, mut limit) = (kinds(rays), [0.0; LANES]);
        while let Some(ready) = Prepared::next(rays, &mut kinds, &mut limit) {
            for &index in candidates {
                let triangle = std::slice::from_ref(&scene.triangles[index as usize]);
                Closest(hits).leaf(triangle, index, rays, &ready, &mut limit);
            }
        }
    }
}

widest! {
    /// The nearest triangle on each ray.
    fn closest(scene: &Scene, rays: &Rays, hits: &mut Hits) {
        *hits = Hits::none();
        let (mut kinds, mut limit) = (kinds(rays), [0.0; LANES]);
        while let Some(ready) = Prepared::next(rays, &mut kinds, &mut limit) {
            walk(scene, rays, &ready, &mut limit, &mut Closest(hits));
        }
    }
}

widest! {
    /// Share of light that comes through along each ray: 0 behind anything but lenses, whose
    /// transmissions multiply. 1 in empty lanes.
    fn transmitted(scene: &Scene, rays: &Rays, share: &mut Lanes) {
        *share = [1.0; LANES];
        let (mut kinds, mut limit) = (kinds(rays), [0.0; LANES]);
        while let Some(ready) = Prepared::next(rays, &mut kinds, &mut limit) {
            walk(scene, rays, &ready, &mut limit, &mut Through(share));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::exact_math::{cross, dot, normalise, sub};
    use crate::synth::render::tests::{Soup, surface};

    fn rays_at(seed: u64, lanes: usize) -> Rays {
        let mut soup = Soup(seed);
        let mut rays = Rays::none();
        for lane in 0..lanes {
            let origin = [0; 3].map(|_| soup.range(-70.0, 70.0));
            let target = [0; 3].map(|_| soup.range(-20.0, 20.0));
            rays.set(lane, origin, normalise(sub(target, origin)), 0.0, 500.0);
        }
        rays
    }

    /// Nearest triangle by Möller and Trumbore (1997) in f64, one after another.
    fn brute_force(
        triangles: &[[Vector; 3]],
        origin: Vector,
        direction: Vector,
    ) -> Option<(f64, usize)> {
        let wide = |v: Vector| nalgebra::Vector3::from(v).cast::<f64>();
        let (origin, direction) = (wide(origin), wide(direction));
        let mut best: Option<(f64, usize)> = None;
        for (index, [a, b, c]) in triangles.iter().enumerate() {
            let (ab, ac) = (wide(*b) - wide(*a), wide(*c) - wide(*a));
            let p = direction.cross(&ac);
            let det = ab.dot(&p);
            if det == 0.0 {
                continue;
            }
            let s = origin - wide(*a);
            let u = s.dot(&p) / det;
            let q = s.cross(&ab);
            let v = direction.dot(&q) / det;
            let t = ac.dot(&q) / det;
            if u >= 0.0 && v >= 0.0 && u + v <= 1.0 && t > 0.0 && best.is_none_or(|(d, _)| t < d) {
                best = Some((t, index));
            }
        }
        best
    }

    #[test]
    fn the_tree_finds_what_brute_force_finds() {
        for (seed, count) in [(1, 1), (2, 2), (3, 9), (4, 300), (5, 9000)] {
            let mut soup = Soup(seed);
            let triangles: Vec<[Vector; 3]> = (0..count)
                .map(|_| {
                    let centre = [0; 3].map(|_| soup.range(-30.0, 30.0));
                    [0; 3].map(|_| [0, 1, 2].map(|k: usize| centre[k] + soup.range(-6.0, 6.0)))
                })
                .collect();
            let scene = Scene::build(&[&surface(&triangles)]).unwrap();
            let (mut met, mut rays_seen) = (0, 0);
            for packet in 0..40 {
                let rays = rays_at(100 * seed + packet, 16 - (packet % 3) as usize);
                let mut hits = Hits::none();
                closest(&scene, &rays, &mut hits);
                let mut share = [0.0; 16];
                transmitted(&scene, &rays, &mut share);
                for lane in 0..LANES {
                    if rays.end[lane] < 0.0 {
                        assert_eq!(
                            (hits.triangle[lane], share[lane]),
                            (MISS, 1.0),
                            "an empty lane"
                        );
                        continue;
                    }
                    rays_seen += 1;
                    let origin = [0, 1, 2].map(|k| rays.origin[k][lane]);
                    let want = brute_force(&triangles, origin, rays.direction(lane));
                    let got = hits.triangle[lane];
                    assert_eq!(
                        share[lane],
                        if want.is_some() { 0.0 } else { 1.0 },
                        "{count}, {packet}, {lane}"
                    );
                    let Some((distance, index)) = want else {
                        assert_eq!(got, MISS);
                        continue;
                    };
                    met += 1;
                    assert_eq!(
                        scene.triangles[got as usize].source as usize, index,
                        "{count}, {packet}, {lane}"
                    );
                    assert!((f64::from(hits.distance[lane]) - distance).abs() < 1e-3);
                    // The weights give back the point on the ray.
                    let (u, v) = (hits.weight_a[lane], hits.weight_b[lane]);
                    let t = &scene.triangles[got as usize];
                    for k in 0..3 {
                        let by_weights = u * t.a[k] + v * t.b[k] + (1.0 - u - v) * t.c[k];
                        let by_ray = origin[k] + hits.distance[lane] * rays.direction(lane)[k];
                        assert!((by_weights - by_ray).abs() < 1e-3, "{by_weights} {by_ray}");
                    }
                }
            }
            assert!(
                count < 300 || (met > 20 && met <= rays_seen),
                "{met} of {rays_seen} rays met something"
            );
        }
    }

    #[test]
    fn no_ray_slips_through_a_shared_edge() {
        // A bumpy grid with irrational places, in three positions; rays aim at points of its edges
        // and at vertices, none of which is an outline from there.
        let mut soup = Soup(7);
        let n = 24;
        let heights: Vec<f32> = (0..n * n).map(|_| soup.range(-0.1, 0.1)).collect();
        for turn in 0..3 {
            let turned = |p: Vector| [p[turn], p[(turn + 1) % 3], p[(turn + 2) % 3]];
            let place = |i: usize, j: usize| {
                turned([i as f32 * 0.37 - 4.1, j as f32 * 0.41 - 4.6, heights[i * n + j]])
            };
            let mut triangles = Vec::new();
            for i in 0..n - 1 {
                for j in 0..n - 1 {
                    triangles.push([place(i, j), place(i + 1, j), place(i + 1, j + 1)]);
                    triangles.push([place(i, j), place(i + 1, j + 1), place(i, j + 1)]);
                }
            }
            let scene = Scene::build(&[&surface(&triangles)]).unwrap();
            let mut hits = Hits::none();
            for round in 0..4000 {
                let mut rays = Rays::none();
                let from =
                    turned([soup.range(-3.0, 3.0), soup.range(-3.0, 3.0), soup.range(10.0, 16.0)]);
                for lane in 0..LANES {
                    let (i, j) = (1 + soup.below(n - 3), 1 + soup.below(n - 3));
                    let ends = [(1, 0), (0, 1), (1, 1), (0, 0)][soup.below(4)];
                    let (p, q) = (place(i, j), place(i + ends.0, j + ends.1));
                    let s = soup.range(0.0, 1.0);
                    let target = [0, 1, 2].map(|k: usize| p[k] + s * (q[k] - p[k]));
                    rays.set(lane, from, normalise(sub(target, from)), 0.0, 1000.0);
                }
                closest(&scene, &rays, &mut hits);
                let mut share = [0.0; 16];
                transmitted(&scene, &rays, &mut share);
                assert!(
                    hits.triangle.iter().all(|&t| t != MISS),
                    "{turn}, {round}: {:?}",
                    hits.triangle
                );
                assert!(share.iter().all(|&s| s == 0.0), "{turn}, {round}");
            }
        }
    }

    #[test]
    fn the_boxes_hold_their_triangles_and_every_triangle_is_in_one_leaf() {
        let mut soup = Soup(11);
        // A third of them in one place, which no plane divides.
        let triangles: Vec<[Vector; 3]> = (0..6000)
            .map(|i| {
                let centre = [0; 3].map(|_| if i % 3 == 0 { 5.0 } else { soup.range(-30.0, 30.0) });
                [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
                    .map(|p| [0, 1, 2].map(|k: usize| centre[k] + p[k]))
            })
            .collect();
        assert!(dot(cross(triangles[0][0], triangles[0][1]), triangles[0][2]) != 0.0);
        let scene = Scene::build(&[&surface(&triangles)]).unwrap();
        let mut seen = vec![0; scene.len()];
        let mut open = vec![(0u32, 0usize, [f32::NEG_INFINITY; 3], [f32::INFINITY; 3])];
        while let Some((index, depth, lowest, highest)) = open.pop() {
            assert!(depth < MOST_DEPTH);
            let node = &scene.nodes[index as usize];
            for (min, max, first, count) in [
                (node.left_min, node.left_max, node.left_first, node.left_count),
                (node.right_min, node.right_max, node.right_first, node.right_count),
            ] {
                for k in 0..3 {
                    assert!(lowest[k] <= min[k] && max[k] <= highest[k]);
                }
                if count == 0 {
                    open.push((first, depth + 1, min, max));
                }
                for t in first..first + count {
                    seen[t as usize] += 1;
                    let triangle = &scene.triangles[t as usize];
                    for p in [triangle.a, triangle.b, triangle.c] {
                        assert!((0..3).all(|k| min[k] <= p[k] && p[k] <= max[k]));
                    }
                }
            }
        }
        assert!(seen.iter().all(|&times| times == 1));
    }
}
