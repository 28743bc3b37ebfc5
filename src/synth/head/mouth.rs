//! What shows behind open lips, for heads that end at the lips: two rows of teeth and a dark bag.
//!
//! The bag is the inner rim of the lips drawn back into the head and closed. The upper teeth
//! stand with the skull, that is with the neutral lips of the person; the lower teeth move with
//! the chin. Widths of the teeth from the middle outward (mm): upper 8.5, 6.5, 7.5, 7, 7; lower
//! 5, 5.5, 7, 7, 7 (Wheeler's Dental Anatomy). A row is one sheet with a bulge for each tooth.

use super::Topology;

/// Shares of the way from the rim to the back: depth in mm, height in mm, width factor.
const RINGS: [[f32; 3]; 4] =
    [[3.0, 3.5, 1.0], [9.0, 11.0, 1.0], [24.0, 15.0, 0.9], [40.0, 9.0, 0.6]];
const UPPER_WIDTHS_MM: [f32; 5] = [8.5, 6.5, 7.5, 7.0, 7.0];
const LOWER_WIDTHS_MM: [f32; 5] = [5.0, 5.5, 7.0, 7.0, 7.0];
/// Columns a tooth, rows a tooth.
const COLUMNS: usize = 5;
const ROWS: usize = 5;
const CHIN: usize = 8;

/// The added mesh: the bag first, then the upper and the lower row.
pub(super) struct MouthInterior {
    /// The inner rim of the lips in order; `true` for the lower lip.
    rim: Vec<(u32, bool)>,
}

impl MouthInterior {
    /// Finds the rim of the lips: the open edge around the mouth. None if the mesh has no such
    /// opening. `jaw_open`: the mode of the jaw, 3 numbers a vertex; it tells lower from upper.
    pub(super) fn fit(topology: &Topology, jaw_open: &[f32]) -> Option<Self> {
        let lips = &topology.landmarks[60..68];
        let middle = mean(lips.iter().map(|&v| topology.rest[v as usize]));
        let rim = open_edges(topology)
            .into_iter()
            .filter(|rim| rim.len() >= 8)
            .map(|rim| {
                let at = mean(rim.iter().map(|&v| topology.rest[v as usize]));
                let off = [at[0] - middle[0], at[1] - middle[1], at[2] - middle[2]];
                (off.iter().map(|d| d * d).sum::<f32>().sqrt(), rim)
            })
            .filter(|(distance, _)| *distance < 25.0)
            .min_by(|a, b| a.0.total_cmp(&b.0))?
            .1;
        let count = rim.len();
        let x = |at: usize| topology.rest[rim[at % count] as usize][0];
        let right = (0..count).min_by(|&a, &b| x(a).total_cmp(&x(b)))?;
        let left = (0..count).max_by(|&a, &b| x(a).total_cmp(&x(b)))?;
        // The two arcs between the corners; the one that the jaw takes along is the lower lip.
        let arc = |from: usize, to: usize| (1..(to + count - from) % count).map(move |s| from + s);
        let drop = |from: usize, to: usize| {
            let moves: Vec<f32> =
                arc(from, to).map(|at| jaw_open[3 * rim[at % count] as usize + 1]).collect();
            moves.iter().sum::<f32>() / moves.len().max(1) as f32
        };
        let (from, to) =
            if drop(right, left) < drop(left, right) { (right, left) } else { (left, right) };
        let mut lower = vec![false; count];
        for at in arc(from, to) {
            lower[at % count] = true;
        }
        Some(Self { rim: rim.into_iter().zip(lower).collect() })
    }

    /// The added triangles; the added vertices start at `first`.
    pub(super) fn triangles(&self, first: u32) -> Vec<[u32; 3]> {
        let count = self.rim.len() as u32;
        let mut triangles = Vec::new();
        let ring = |ring: u32, at: u32| match ring {
            0 => self.rim[(at % count) as usize].0,
            r => first + (r - 1) * count + at % count,
        };
        let rings = RINGS.len() as u32;
        for r in 0..rings {
            for at in 0..count {
                let (a, b) = (ring(r, at), ring(r, at + 1));
                let (c, d) = (ring(r + 1, at), ring(r + 1, at + 1));
                triangles.extend([[a, b, c], [b, d, c]]);
            }
        }
        let back = first + rings * count;
        for at in 0..count {
            triangles.push([ring(rings, at), ring(rings, at + 1), back]);
        }
        let columns = (2 * UPPER_WIDTHS_MM.len() * COLUMNS + 1) as u32;
        for row_of_teeth in 0..2 {
            let start = back + 1 + row_of_teeth * columns * ROWS as u32;
            for row in 0..ROWS as u32 - 1 {
                for column in 0..columns - 1 {
                    let a = start + row * columns + column;
                    let (b, c, d) = (a + 1, a + columns, a + columns + 1);
                    // Rows run from the gum to the edge: down above, up below.
                    if row_of_teeth == 0 {
                        triangles.extend([[a, c, b], [b, c, d]]);
                    } else {
                        triangles.extend([[a, b, c], [b, d, c]]);
                    }
                }
            }
        }
        triangles
    }

    /// Places of the added vertices in mm, given the head's vertices without expression and with.
    pub(super) fn positions(
        &self,
        neutral: &[[f32; 3]],
        posed: &[[f32; 3]],
        topology: &Topology,
    ) -> Vec<[f32; 3]> {
        let rim: Vec<[f32; 3]> = self.rim.iter().map(|&(v, _)| posed[v as usize]).collect();
        let middle = mean(rim.iter().copied());
        let half = rim.iter().map(|p| (p[0] - middle[0]).abs()).fold(1e-3, f32::max);
        let mut places = Vec::new();
        let landmark = |of: &[[f32; 3]], which: usize| of[topology.landmarks[which] as usize];
        // Closed lips touch behind their edges, so that nothing shows through a chink.
        let chink = (landmark(posed, 62)[1] - landmark(posed, 66)[1]).abs();
        let open = ((chink - 1.2) / 2.5).clamp(0.0, 1.0);
        for (ring, [depth, height, width]) in RINGS.into_iter().enumerate() {
            for (&(_, lower), p) in self.rim.iter().zip(&rim) {
                if ring == 0 {
                    let facing = self.opposite(&rim, lower, p[0]).unwrap_or(p[1]);
                    let shut = 0.5 * (p[1] + facing);
                    let across = (p[0] - middle[0]) / half;
                    let up =
                        if lower { -height } else { height } * (1.0 - across * across).max(0.0);
                    places.push([p[0], shut + open * (p[1] + up - shut), p[2] - depth]);
                    continue;
                }
                let across = (p[0] - middle[0]) / half;
                let up = if lower { -height } else { height } * (1.0 - across * across).max(0.0);
                let x = middle[0] + width * (p[0] - middle[0]);
                places.push([x, p[1] + up, p[2] - depth]);
            }
        }
        let deepest = RINGS[RINGS.len() - 1][0] + 2.0;
        places.push([middle[0], middle[1], middle[2] - deepest]);

        let upper_lip = landmark(neutral, 62);
        let corners = [landmark(neutral, 60), landmark(neutral, 64)];
        let drop: [f32; 3] =
            std::array::from_fn(|i| landmark(posed, CHIN)[i] - landmark(neutral, CHIN)[i]);
        let corner_depth = upper_lip[2] - 0.5 * (corners[0][2] + corners[1][2]);
        let corner_half = (0.5 * (corners[1][0] - corners[0][0])).abs().max(10.0);
        // Depth of the arch: the teeth follow the lips' own curve, a little behind them.
        let bend = (corner_depth / (corner_half * corner_half)).clamp(0.0, 0.03);
        // Some lips roll inward before they end: the teeth stand behind the rim in any case.
        let near = rim.iter().filter(|p| (p[0] - middle[0]).abs() < 0.3 * half).map(|p| p[2]);
        let front = near.fold(upper_lip[2] - 2.5, f32::min) - 3.5;
        for (row_of_teeth, widths) in [UPPER_WIDTHS_MM, LOWER_WIDTHS_MM].iter().enumerate() {
            let lower = row_of_teeth == 1;
            let shift =
                if lower { [0.85 * drop[0], 0.9 * drop[1], 0.85 * drop[2]] } else { [0.0; 3] };
            for row in 0..ROWS {
                let down = row as f32 / (ROWS - 1) as f32;
                for (along, bulge) in columns(widths) {
                    let x = arch_x(along, bend);
                    let face = front - bend * x * x * 1.15;
                    let y = if lower { 2.2 - 10.5 * (1.0 - down) } else { 8.5 - 10.5 * down };
                    // Crowns are fullest at a third from the gum and thin out toward the edge.
                    let crown = 1.0 - (down - 0.35) * (down - 0.35) * 1.6;
                    let notch = if row == ROWS - 1 { 0.7 * (1.0 - bulge) } else { 0.0 };
                    let edge = if lower { -notch } else { notch };
                    let back = if lower { 2.6 } else { 0.0 };
                    places.push([
                        upper_lip[0] + x + shift[0],
                        upper_lip[1] + y + edge + 0.0006 * x * x + shift[1] - 1.5,
                        face + 0.9 * bulge * crown + 1.4 * (crown - 1.0) - back + shift[2],
                    ]);
                }
            }
        }
        places
    }

    /// Height of the other lip's rim at x.
    fn opposite(&self, rim: &[[f32; 3]], lower: bool, x: f32) -> Option<f32> {
        let others = self.rim.iter().zip(rim).filter(|((_, side), _)| *side != lower);
        others
            .min_by(|(_, a), (_, b)| (a[0] - x).abs().total_cmp(&(b[0] - x).abs()))
            .map(|(_, p)| p[1])
    }
}

/// Signed length along the arch and bulge 0..1 of each column, right to left.
fn columns(widths: &[f32; 5]) -> Vec<(f32, f32)> {
    let mut half = vec![(0.0, 0.0)];
    let mut start = 0.0;
    for width in widths {
        for step in 1..=COLUMNS {
            let t = step as f32 / COLUMNS as f32;
            half.push((start + t * width, 1.0 - (2.0 * t - 1.0) * (2.0 * t - 1.0)));
        }
        start += width;
    }
    half.iter().skip(1).rev().map(|&(s, b)| (-s, b)).chain(half.iter().copied()).collect()
}

/// x of a point at arc length s on z = −bend x²: s ≈ x + ⅔ bend² x³, inverted by one Newton step.
fn arch_x(s: f32, bend: f32) -> f32 {
    let k = 2.0 / 3.0 * bend * bend;
    let x = s / (1.0 + k * s * s);
    x - (x + k * x * x * x - s) / (1.0 + 3.0 * k * x * x)
}

fn mean(points: impl Iterator<Item = [f32; 3]>) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0; 3], 0);
    for p in points {
        sum = [sum[0] + p[0], sum[1] + p[1], sum[2] + p[2]];
        count += 1;
    }
    sum.map(|s| s / count.max(1) as f32)
}

/// Closed chains of the edges that only one triangle has, in the order in which that triangle
/// runs through them.
fn open_edges(topology: &Topology) -> Vec<Vec<u32>> {
    let mut edges: Vec<(u32, u32)> = topology
        .triangles
        .iter()
        .flat_map(|t| [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])])
        .collect();
    edges.sort_unstable();
    let mut next = std::collections::BTreeMap::new();
    for &(a, b) in &edges {
        if edges.binary_search(&(b, a)).is_err() {
            next.insert(a, b);
        }
    }
    let mut chains = Vec::new();
    while let Some((&start, _)) = next.iter().next() {
        let mut chain = vec![start];
        let mut at = start;
        while let Some(to) = next.remove(&at) {
            if to == start {
                chains.push(chain);
                break;
            }
            chain.push(to);
            at = to;
        }
    }
    chains
}
