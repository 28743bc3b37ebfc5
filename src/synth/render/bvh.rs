//! A tree of boxes over triangles: binned surface area heuristic.
//!
//! Each inner node holds the boxes of both children, so that one fetch decides both. A set of
//! triangles is cut where `area(left)·n(left) + area(right)·n(right)` is least (MacDonald and
//! Booth 1990) among 16 bins of the centroids on each axis (Wald 2007). Large halves are built in
//! parallel and then put one after the other, so that the array is the same at any number of
//! threads.

use crate::synth::exact_math::Vector;

/// One inner node. A child with a count is a leaf: so many triangles from `first` on; without, an
/// inner node at index `first`. 64 bytes, read as they are by the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Node {
    pub left_min: [f32; 3],
    pub left_first: u32,
    pub left_max: [f32; 3],
    pub left_count: u32,
    pub right_min: [f32; 3],
    pub right_first: u32,
    pub right_max: [f32; 3],
    pub right_count: u32,
}

impl Node {
    /// Least and greatest corner around both children.
    pub(super) fn bounds(&self) -> (Vector, Vector) {
        let mut whole = Bounds::point(self.left_min);
        [self.left_max, self.right_min, self.right_max]
            .iter()
            .for_each(|&p| whole.include(&Bounds::point(p)));
        let [min, max] = whole.corners();
        (min, max)
    }
}

/// No path from the root is longer; the traversal's stacks hold as many.
pub(crate) const MOST_DEPTH: usize = 64;
/// Beyond this depth sets are halved by count, which ends within log2(2²⁶) more levels.
const HEURISTIC_DEPTH: usize = 37;
const BINS: usize = 8;
const MOST_IN_LEAF: usize = 8;
/// Cost of a node, both boxes, in triangle tests; measured.
const NODE_COST: f32 = 2.0;
/// Boxes are this share of the scene's extent larger than what they hold: a ray along an edge must
/// enter the box of the triangle that rounding gives it to. Four units in the last place, for rays
/// that start within three extents of the scene.
const MARGIN: f32 = 1.5e-6;
/// Sets with more triangles are cut along any of the axes.
const ALL_AXES: usize = 4096;
/// Halves with more triangles are built by another thread.
const PARALLEL: usize = 4096;

/// Corners in four lanes, the last one idle, so that they fill a vector register.
#[derive(Clone, Copy)]
struct Bounds {
    min: [f32; 4],
    max: [f32; 4],
}

impl Bounds {
    const EMPTY: Self = Self { min: [f32::INFINITY; 4], max: [f32::NEG_INFINITY; 4] };

    fn point([x, y, z]: Vector) -> Self {
        Self { min: [x, y, z, 0.0], max: [x, y, z, 0.0] }
    }

    #[inline(always)]
    fn include(&mut self, other: &Self) {
        // There is no NaN: what processors do in one step.
        for axis in 0..4 {
            let (a, b) = (self.min[axis], other.min[axis]);
            self.min[axis] = if a < b { a } else { b };
            let (a, b) = (self.max[axis], other.max[axis]);
            self.max[axis] = if a > b { a } else { b };
        }
    }

    /// Half of the surface; 0 for the empty box.
    fn area(&self) -> f32 {
        let [x, y, z] = [0, 1, 2].map(|axis| (self.max[axis] - self.min[axis]).max(0.0));
        x * y + y * z + z * x
    }

    fn corners(&self) -> [Vector; 2] {
        [self.min, self.max].map(|[x, y, z, _]| [x, y, z])
    }
}

#[derive(Clone, Copy)]
struct Item {
    bounds: Bounds,
    index: u32,
}

impl Item {
    /// Twice the centre of the box.
    #[inline(always)]
    fn centre(&self, axis: usize) -> f32 {
        self.bounds.min[axis] + self.bounds.max[axis]
    }
}

/// Builds the tree over at least two triangles. Returns the nodes, root first, and the order in
/// which the leaves hold the triangles.
pub(super) fn build(triangles: &[[Vector; 3]]) -> (Vec<Node>, Vec<u32>) {
    let largest = triangles.iter().flatten().flatten().fold(0.0f32, |most, x| most.max(x.abs()));
    let margin = MARGIN * largest;
    let mut items: Vec<Item> = triangles
        .iter()
        .zip(0..)
        .map(|(corners, index)| {
            let mut bounds = Bounds::EMPTY;
            corners.iter().for_each(|&p| bounds.include(&Bounds::point(p)));
            bounds.min = bounds.min.map(|x| x - margin);
            bounds.max = bounds.max.map(|x| x + margin);
            Item { bounds, index }
        })
        .collect();
    let mut nodes = Vec::with_capacity(triangles.len());
    let cut = items.len() / 2;
    let cut = best_cut(&mut items, true).unwrap_or(cut);
    split(&mut items, cut, 0, 0, &mut nodes);
    (nodes, items.iter().map(|item| item.index).collect())
}

/// A child as its parent writes it.
struct Child {
    bounds: Bounds,
    first: u32,
    count: u32,
}

/// Writes an inner node over `items`, of which the first `cut` go left; they lie at `first` of
/// all.
fn split(items: &mut [Item], cut: usize, first: usize, depth: usize, nodes: &mut Vec<Node>) {
    let own = nodes.len();
    nodes.push(bytemuck::Zeroable::zeroed());
    let parallel = items.len() > PARALLEL;
    let (left_items, right_items) = items.split_at_mut(cut);
    let (left, right) = if parallel {
        let mut right_nodes = Vec::with_capacity(right_items.len());
        let (left, mut right) = rayon::join(
            || child(left_items, first, depth + 1, nodes),
            || child(right_items, first + cut, depth + 1, &mut right_nodes),
        );
        let offset = nodes.len() as u32;
        for node in &mut right_nodes {
            node.left_first += if node.left_count == 0 { offset } else { 0 };
            node.right_first += if node.right_count == 0 { offset } else { 0 };
        }
        right.first += if right.count == 0 { offset } else { 0 };
        nodes.append(&mut right_nodes);
        (left, right)
    } else {
        let left = child(left_items, first, depth + 1, nodes);
        (left, child(right_items, first + cut, depth + 1, nodes))
    };
    let [left_min, left_max] = left.bounds.corners();
    let [right_min, right_max] = right.bounds.corners();
    nodes[own] = Node {
        left_min,
        left_first: left.first,
        left_max,
        left_count: left.count,
        right_min,
        right_first: right.first,
        right_max,
        right_count: right.count,
    };
}

fn child(items: &mut [Item], first: usize, depth: usize, nodes: &mut Vec<Node>) -> Child {
    let mut bounds = Bounds::EMPTY;
    items.iter().for_each(|item| bounds.include(&item.bounds));
    let leaf = Child { bounds, first: first as u32, count: items.len() as u32 };
    if items.len() == 1 {
        return leaf;
    }
    let cut =
        if depth < HEURISTIC_DEPTH { best_cut(items, items.len() > MOST_IN_LEAF) } else { None };
    let cut = match cut {
        Some(cut) => cut,
        None if items.len() <= MOST_IN_LEAF => return leaf,
        None => halve(items),
    };
    let own = nodes.len() as u32;
    split(items, cut, first, depth, nodes);
    Child { bounds, first: own, count: 0 }
}

/// Sorts the lower half of the centroids on the longest axis to the front.
fn halve(items: &mut [Item]) -> usize {
    let axis = longest(&centroids(items));
    let middle = items.len() / 2;
    items.select_nth_unstable_by(middle, |a, b| {
        a.centre(axis).total_cmp(&b.centre(axis)).then(a.index.cmp(&b.index))
    });
    // Which items went where is settled by the comparison; their order is not.
    items[..middle].sort_unstable_by_key(|item| item.index);
    items[middle..].sort_unstable_by_key(|item| item.index);
    middle
}

fn centroids(items: &[Item]) -> Bounds {
    let mut bounds = Bounds::EMPTY;
    for item in items {
        let mut twice = [0.0; 4];
        for (axis, twice) in twice.iter_mut().enumerate() {
            *twice = item.bounds.min[axis] + item.bounds.max[axis];
        }
        bounds.include(&Bounds { min: twice, max: twice });
    }
    bounds
}

fn longest(bounds: &Bounds) -> usize {
    let extent = |axis: usize| bounds.max[axis] - bounds.min[axis];
    (0..3).fold(0, |best, axis| if extent(axis) > extent(best) { axis } else { best })
}

/// Partitions the items at the cheapest plane; `None` where a leaf is cheaper (unless `must`) or
/// all centroids coincide.
fn best_cut(items: &mut [Item], must: bool) -> Option<usize> {
    let spread = centroids(items);
    // Large sets are cut along the best of three axes, small ones along the longest.
    let own = longest(&spread);
    let axes = if items.len() > ALL_AXES { 0..3 } else { own..own + 1 };
    let mut best = (f32::INFINITY, 0, 0.0);
    let mut whole = Bounds::EMPTY;
    for axis in axes {
        let extent = spread.max[axis] - spread.min[axis];
        if extent <= 0.0 {
            continue;
        }
        let factor = BINS as f32 * 0.999_99 / extent;
        let mut bins = [(Bounds::EMPTY, 0u32); BINS];
        for item in items.iter() {
            let (bounds, count) = &mut bins[bin(item, axis, spread.min[axis], factor)];
            bounds.include(&item.bounds);
            *count += 1;
        }
        let mut right = [f32::INFINITY; BINS];
        let (mut bounds, mut count) = (Bounds::EMPTY, 0);
        for cut in (1..BINS).rev() {
            bounds.include(&bins[cut].0);
            count += bins[cut].1;
            right[cut] = if count > 0 { bounds.area() * count as f32 } else { f32::INFINITY };
        }
        let (mut bounds, mut count) = (Bounds::EMPTY, 0);
        for cut in 1..BINS {
            bounds.include(&bins[cut - 1].0);
            count += bins[cut - 1].1;
            let cost = bounds.area() * count as f32 + right[cut];
            if count > 0 && cost < best.0 {
                best = (cost, 4 * cut + axis, factor);
            }
        }
        bounds.include(&bins[BINS - 1].0);
        whole = bounds;
    }
    let (cost, choice, factor) = best;
    let (cut, axis) = (choice / 4, choice % 4);
    let leaf_cost = whole.area() * items.len() as f32;
    if cut == 0 || (!must && NODE_COST * whole.area() + cost >= leaf_cost) {
        return None;
    }
    // Stable, so that the order of the leaves depends on nothing but the input.
    let (mut front, mut back) = (0, Vec::new());
    for i in 0..items.len() {
        let item = items[i];
        if bin(&item, axis, spread.min[axis], factor) < cut {
            items[front] = item;
            front += 1;
        } else {
            back.push(item);
        }
    }
    items[front..].copy_from_slice(&back);
    Some(front)
}

#[inline(always)]
fn bin(item: &Item, axis: usize, least: f32, factor: f32) -> usize {
    (((item.centre(axis) - least) * factor) as usize).min(BINS - 1)
}
