//! Non-maximum suppression: of boxes that overlap, the best stays.

use std::collections::{BTreeMap, HashMap};

/// Left, top, right, bottom.
pub type Edges = [f32; 4];

/// What the overlap of two boxes is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Their intersection over their union, by distances between edges.
    Union,
    /// Their intersection over the smaller one, by pixels (edges belong to the box): a box within
    /// another is dropped however small it is.
    Smaller,
}

impl Overlap {
    /// Whether two boxes overlap by more than `limit`.
    fn exceeds(self, limit: f32, a: &Edges, b: &Edges) -> bool {
        let edge = if self == Overlap::Union { 0.0 } else { 1.0 };
        let area = |e: &Edges| (e[2] - e[0] + edge) * (e[3] - e[1] + edge);
        let width = (a[2].min(b[2]) - a[0].max(b[0]) + edge).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1]) + edge).max(0.0);
        let both = width * height;
        match self {
            Overlap::Union => both / (area(a) + area(b) - both) > limit,
            Overlap::Smaller => both / area(a).min(area(b)) > limit,
        }
    }
}

/// Which boxes stay, best first: each that overlaps no better one that stays by more than `limit`. Of
/// equal scores the earlier is the better by [`Overlap::Union`], the later by [`Overlap::Smaller`].
pub fn suppress(boxes: &[Edges], scores: &[f32], limit: f32, overlap: Overlap) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    if overlap == Overlap::Smaller {
        order.reverse();
    }
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut kept: Vec<usize> = Vec::new();
    let mut places = Places::default();
    for at in order {
        let edges = &boxes[at];
        if !places.any_near(edges, |better| overlap.exceeds(limit, &boxes[better], edges)) {
            kept.push(at);
            places.add(at, edges);
        }
    }
    kept
}

/// Boxes by size and place, so that one of a crowd is held against its neighbours alone.
#[derive(Default)]
struct Places {
    /// By the power of two that the longer side reaches.
    octaves: BTreeMap<i32, Octave>,
}

#[derive(Default)]
struct Octave {
    count: usize,
    /// Boxes by the square, of twice that power, in which their centre lies.
    squares: HashMap<[i64; 2], Vec<usize>>,
}

impl Places {
    fn add(&mut self, at: usize, [left, top, right, bottom]: &Edges) {
        let octave = (right - left).max(bottom - top).clamp(1.0, 1e30).log2() as i32;
        let square = |low: f32, high: f32| place((low + high) / 2.0, octave) as i64;
        let Octave { count, squares } = self.octaves.entry(octave).or_default();
        *count += 1;
        squares.entry([square(*left, *right), square(*top, *bottom)]).or_default().push(at);
    }

    /// Whether any box that shares a pixel with these edges is as asked.
    fn any_near(&self, [left, top, right, bottom]: &Edges, is: impl Fn(usize) -> bool) -> bool {
        self.octaves.iter().any(|(&octave, Octave { count, squares })| {
            // A centre is no farther from its box's edge than half a square; edges may belong to boxes.
            let reach = 2f32.powi(octave) + 1.0;
            let first = [left, top].map(|edge| place(edge - reach, octave));
            let last = [right, bottom].map(|edge| place(edge + reach, octave));
            let many = (last[0] - first[0] + 1.0) * (last[1] - first[1] + 1.0);
            if many.is_nan() || many > *count as f32 {
                return squares.values().flatten().any(|&at| is(at));
            }
            let [columns, rows] = [0, 1].map(|axis| first[axis] as i64..=last[axis] as i64);
            columns
                .flat_map(|column| rows.clone().map(move |row| [column, row]))
                .filter_map(|square| squares.get(&square))
                .flatten()
                .any(|&at| is(at))
        })
    }
}

/// The number of the square that a position lies in.
fn place(position: f32, octave: i32) -> f32 {
    (position / 2f32.powi(octave + 1)).floor()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn overlaps_are_as_worked_by_hand() {
        // A 10×10 box and its right half, half shared: 50 of 100, and all of the half.
        let (whole, half) = ([0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 10.0, 10.0]);
        assert!(Overlap::Union.exceeds(0.49, &whole, &half));
        assert!(!Overlap::Union.exceeds(0.5, &whole, &half));
        // Counted in pixels they are 11×11 and 6×11; shifted apart by 6 columns, 5×11 of 6×11 are shared.
        assert!(Overlap::Smaller.exceeds(0.99, &whole, &half));
        let shifted = [6.0, 0.0, 11.0, 10.0];
        assert!(Overlap::Smaller.exceeds(0.83, &whole, &shifted));
        assert!(!Overlap::Smaller.exceeds(0.84, &whole, &shifted));
        let apart = [20.0, 20.0, 30.0, 30.0];
        assert!(!Overlap::Union.exceeds(0.0, &whole, &apart));
        assert!(!Overlap::Smaller.exceeds(0.0, &whole, &apart));
    }

    #[test]
    fn of_equal_scores_the_authors_choice_stays() {
        let boxes = [[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0]];
        assert_eq!(suppress(&boxes, &[0.5, 0.5], 0.5, Overlap::Union), [0]);
        assert_eq!(suppress(&boxes, &[0.5, 0.5], 0.5, Overlap::Smaller), [1]);
        assert_eq!(suppress(&[], &[], 0.5, Overlap::Union), [0usize; 0]);
    }

    /// By the definition: takes the best that is left and drops what overlaps it, until none is left.
    fn by_definition(
        boxes: &[Edges],
        scores: &[f32],
        limit: f32,
        overlap: fn(&Edges, &Edges) -> f32,
    ) -> Vec<usize> {
        let mut left: Vec<usize> = (0..boxes.len()).collect();
        let mut kept = Vec::new();
        while let Some(&best) = left.iter().max_by(|&&a, &&b| scores[a].total_cmp(&scores[b])) {
            kept.push(best);
            left.retain(|&at| at != best && overlap(&boxes[best], &boxes[at]) <= limit);
        }
        kept
    }

    /// Counts the pixels of boxes with whole edges; `last` is 1 where the last ones belong to them.
    fn shared(a: &Edges, b: &Edges, last: i32) -> [f32; 3] {
        let inside = |e: &Edges, x: i32, y: i32| {
            let [left, top, right, bottom] = e.map(|v| v as i32);
            (left..right + last).contains(&x) && (top..bottom + last).contains(&y)
        };
        let mut counts = [0.0; 3];
        for (x, y) in (0..32).flat_map(|x| (0..32).map(move |y| (x, y))) {
            let (in_a, in_b) = (inside(a, x, y), inside(b, x, y));
            let adds = [in_a && in_b, in_a, in_b];
            counts.iter_mut().zip(adds).for_each(|(count, add)| *count += f32::from(u8::from(add)));
        }
        counts
    }

    #[test]
    fn what_stays_is_what_the_definition_leaves() {
        let mut random = rand_pcg::Pcg64::seed_from_u64(4);
        for _ in 0..20 {
            let boxes: Vec<Edges> = (0..40)
                .map(|_| {
                    let [x, y] = [(); 2].map(|()| random.random_range(0..16) as f32);
                    let [w, h] = [(); 2].map(|()| random.random_range(8..16) as f32);
                    [x, y, x + w, y + h]
                })
                .collect();
            let scores: Vec<f32> = (0..40).map(|_| random.random_range(0.0..1.0)).collect();
            let union = |a: &Edges, b: &Edges| {
                let [both, a, b] = shared(a, b, 0);
                both / (a + b - both)
            };
            let smaller = |a: &Edges, b: &Edges| {
                let [both, a, b] = shared(a, b, 1);
                both / a.min(b)
            };
            for limit in [0.2, 0.5, 0.7] {
                let kept = suppress(&boxes, &scores, limit, Overlap::Union);
                assert_eq!(kept, by_definition(&boxes, &scores, limit, union));
                assert!((2..40).contains(&kept.len()), "{}", kept.len());
                let kept = suppress(&boxes, &scores, limit, Overlap::Smaller);
                assert_eq!(kept, by_definition(&boxes, &scores, limit, smaller));
            }
        }
    }

    /// Boxes of all sizes over a wide picture, where most squares are looked up and some octaves are gone
    /// through as a whole.
    #[test]
    fn a_crowd_is_thinned_as_each_held_against_all() {
        let mut random = rand_pcg::Pcg64::seed_from_u64(8);
        for widest in [20.0f32, 400.0] {
            let boxes: Vec<Edges> = (0..3000)
                .map(|_| {
                    let [x, y] = [(); 2].map(|()| random.random_range(-30.0..1500.0));
                    let [w, h] = [(); 2]
                        .map(|()| 12.0 * (widest / 12.0).powf(random.random_range(0.0..1.0)));
                    [x, y, x + w, y + h]
                })
                .collect();
            // All different: 3001 is a prime.
            let scores: Vec<f32> = (1..=3000).map(|i| (i * 7919 % 3001) as f32).collect();
            for (overlap, limit) in [
                (Overlap::Union, 0.0),
                (Overlap::Union, 0.5),
                (Overlap::Smaller, 0.0),
                (Overlap::Smaller, 0.7),
            ] {
                let mut order: Vec<usize> = (0..boxes.len()).collect();
                order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
                let mut kept: Vec<usize> = Vec::new();
                for at in order {
                    if kept.iter().all(|&k| !overlap.exceeds(limit, &boxes[k], &boxes[at])) {
                        kept.push(at);
                    }
                }
                assert!(suppress(&boxes, &scores, limit, overlap) == kept, "{overlap:?} {limit}");
                assert!(kept.len() < boxes.len());
            }
        }
        // What is no box overlaps none, wherever it lies.
        let odd = [[f32::NAN; 4], [0.0, 0.0, f32::INFINITY, 5.0], [3.0, 1.0, 9.0, 7.0]];
        assert_eq!(suppress(&odd, &[0.9, 0.8, 0.7], 0.5, Overlap::Union), [0, 1, 2]);
    }
}
