//! Which pixels carried a match: parts of the probe are hidden, and the similarity is asked for again
//! (occlusion, Zeiler and Fergus 2014, §4.2).
//!
//! Let s be the cosine of the probe's embedding with the template's, and s_k that of the probe with
//! square k of one map hidden, set to 0 as where a map is undefined. A pixel's saliency is the mean of
//! s − s_k over the squares that cover it: positive where it spoke for the match, negative where it spoke
//! against it.

use crate::dataset::View;
use crate::eval::cosine;
use crate::maps::{Plane, Size};

/// Squares along a side of the view, each half over its neighbour.
const SQUARES_ACROSS: usize = 6;

/// What one map of the probe did for a match.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Saliency {
    /// (side, side): by how much the cosine falls where a pixel is hidden.
    pub plane: Plane<f32>,
    /// The cosine with the whole map hidden.
    pub without: f64,
}

/// Saliency of each map of `probe`, a view of `side` pixels, for its likeness to `template`.
///
/// `embed` gives the embeddings of views.
///
/// # Errors
/// What `embed` reports.
pub(super) fn saliency(
    probe: &View,
    side: usize,
    template: &[f32],
    mut embed: impl FnMut(&[View]) -> Result<Vec<Vec<f32>>, String>,
) -> Result<Vec<Saliency>, String> {
    let width = (side / SQUARES_ACROSS).max(1);
    let starts = starts(side, width);
    let corners: Vec<(usize, usize)> =
        starts.iter().flat_map(|&top| starts.iter().map(move |&left| (top, left))).collect();
    let whole = embed(std::slice::from_ref(probe))?;
    let similarity = cosine(&whole[0], template);
    (0..probe.maps.len())
        .map(|map| {
            let (mut sums, mut counts) = (vec![0.0f64; side * side], vec![0u32; side * side]);
            // A batch's worth of views at a time.
            for corners in corners.chunks(32) {
                let hidden: Vec<View> = corners
                    .iter()
                    .map(|&(top, left)| hide(probe, map, side, top, left, width))
                    .collect();
                for (&(top, left), embedding) in corners.iter().zip(embed(&hidden)?) {
                    let drop = similarity - cosine(&embedding, template);
                    for row in top..top + width {
                        for column in left..left + width {
                            sums[row * side + column] += drop;
                            counts[row * side + column] += 1;
                        }
                    }
                }
            }
            let mean = |(sum, &count): (f64, &u32)| (sum / f64::from(count.max(1))) as f32;
            let values = sums.into_iter().zip(&counts).map(mean).collect();
            let all = embed(&[hide(probe, map, side, 0, 0, side)])?;
            Ok(Saliency {
                plane: Plane::new(Size::new(side, side), values),
                without: cosine(&all[0], template),
            })
        })
        .collect()
}

/// Where squares begin: half a square apart, the last at the border.
fn starts(side: usize, width: usize) -> Vec<usize> {
    let last = side - width;
    let mut starts: Vec<usize> = (0..last).step_by((width / 2).max(1)).collect();
    starts.push(last);
    starts
}

fn hide(view: &View, map: usize, side: usize, top: usize, left: usize, width: usize) -> View {
    let mut hidden = view.clone();
    for channel in hidden.maps[map].chunks_exact_mut(side * side) {
        for row in top..top + width {
            channel[row * side + left..][..width].fill(0.0);
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 12;

    /// A network that sees the sum of one square of the first map, the whole of the second, and 1.
    fn embed(views: &[View]) -> Result<Vec<Vec<f32>>, String> {
        let one = |view: &View| {
            let square = (2..4).flat_map(|row| (6..8).map(move |column| row * SIDE + column));
            let sum: f32 = square.map(|p| view.maps[0][p]).sum();
            vec![sum, view.maps[1].iter().sum(), 1.0]
        };
        Ok(views.iter().map(one).collect())
    }

    fn probe(second: f32) -> View {
        let maps = [1.0, second].map(|value| vec![value; SIDE * SIDE]).into();
        View { maps, confidence: None, mirrored: false }
    }

    #[test]
    fn saliency_lies_where_the_network_looks_and_nowhere_else() {
        // With n of the four pixels that it looks at left, the embedding is (n, 0, 1), and its cosine
        // with (1, 0, 0) is n / √(n² + 1).
        let cosine = |n: f64| n / (n * n + 1.0).sqrt();
        // Squares are 2 pixels wide and begin at every pixel: of the four that cover a pixel looked at,
        // one hides it alone, two hide it with a neighbour, one hides all.
        let wanted = cosine(4.0) - (cosine(3.0) + 2.0 * cosine(2.0) + cosine(0.0)) / 4.0;
        let found = saliency(&probe(0.0), SIDE, &[1.0, 0.0, 0.0], embed).unwrap();
        assert_eq!(found.len(), 2);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let value = f64::from(*found[0].plane.at(row, column));
                if (2..4).contains(&row) && (6..8).contains(&column) {
                    assert!((value - wanted).abs() < 1e-6, "{row} {column}: {value}");
                } else if !(1..5).contains(&row) || !(5..9).contains(&column) {
                    assert_eq!(value, 0.0, "{row} {column}");
                }
            }
        }
        assert!(found[1].plane.data.iter().all(|&value| value == 0.0));
        assert_eq!(found[0].without, 0.0);
        assert!((found[1].without - cosine(4.0)).abs() < 1e-12);
    }

    #[test]
    fn what_speaks_against_a_match_is_negative() {
        // The second map turns (4, 144, 1) away from (1, 0, 0).
        let found = saliency(&probe(1.0), SIDE, &[1.0, 0.0, 0.0], embed).unwrap();
        assert!(found[1].plane.data.iter().all(|&value| value < 0.0));
        assert!(found[1].without > 0.9);
    }

    #[test]
    fn squares_cover_any_side() {
        for side in 1..40 {
            let width = (side / SQUARES_ACROSS).max(1);
            let mut covered = vec![false; side];
            for start in starts(side, width) {
                covered[start..start + width].fill(true);
            }
            assert!(covered.into_iter().all(|c| c), "{side}");
        }
    }
}
