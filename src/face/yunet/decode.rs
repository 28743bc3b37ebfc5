//! From what the network says of each cell to faces, on numbers alone.
//!
//! A level of the picture is divided into cells of 8, 16 and 32 pixels. Of the cell at row r and column c
//! of stride s the network says `cls` and `obj`, the box (x, y, w, h) and five points (x, y):
//!
//! ```text
//! score   √(cls · obj), each cut to 0–1
//! box     centre ((c + x)·s, (r + y)·s), sides e^w·s and e^h·s
//! point   ((c + x)·s, (r + y)·s)
//! ```
//!
//! (Wu, Peng and Yu 2023, "YuNet: a tiny millisecond-level face detector", and OpenCV's
//! `FaceDetectorYN`.) These positions count from the outer edge of the first pixel, not from its centre.

use crate::face::nms::{Edges, Overlap, suppress};
use crate::maps::Size;

/// Sides of the cells in pixels.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// The network takes pictures of a multiple of this side.
pub const MULTIPLE: usize = STRIDES[2];
/// Of more candidates than these the best are looked at, as in OpenCV.
const MOST_CANDIDATES: usize = 5000;

/// What the network says of the cells of one stride, row by row.
pub struct Cells {
    pub cls: Vec<f32>,
    pub obj: Vec<f32>,
    /// Four numbers a cell.
    pub boxes: Vec<f32>,
    /// Ten numbers a cell: x and y of the picture's left eye, right eye, nose, left and right corner of
    /// the mouth.
    pub points: Vec<f32>,
}

/// A face by positions that count from the outer edge of the first pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub edges: Edges,
    pub score: f32,
    pub points: [[f32; 2]; 5],
}

/// Rows and columns of cells in a padded picture.
pub fn grid(padded: Size, stride: usize) -> Size {
    Size::new(padded.height / stride, padded.width / stride)
}

/// The cells of one stride whose score is `least` or more; `per_pixel` is (columns, rows) of the picture
/// for a pixel of the level.
pub fn candidates(
    cells: &Cells,
    stride: usize,
    columns: usize,
    per_pixel: [f32; 2],
    least: f32,
) -> Vec<Candidate> {
    let (boxes, points) = (cells.boxes.as_chunks::<4>().0, cells.points.as_chunks::<10>().0);
    let score = |(cls, obj): (&f32, &f32)| (cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0)).sqrt();
    cells
        .cls
        .iter()
        .zip(&cells.obj)
        .map(score)
        .zip(boxes.iter().zip(points))
        .enumerate()
        .filter(|(_, (score, _))| *score >= least)
        .map(|(at, (score, ([x, y, width, height], points)))| {
            let cell = [(at % columns) as f32, (at / columns) as f32];
            let place =
                |axis: usize, shift: f32| (cell[axis] + shift) * stride as f32 * per_pixel[axis];
            let half = |axis: usize, log: f32| log.exp() * stride as f32 / 2.0 * per_pixel[axis];
            let (x, y) = (place(0, *x), place(1, *y));
            let (half_width, half_height) = (half(0, *width), half(1, *height));
            let pairs = points.as_chunks::<2>().0;
            Candidate {
                edges: [x - half_width, y - half_height, x + half_width, y + half_height],
                score,
                points: std::array::from_fn(|i| [place(0, pairs[i][0]), place(1, pairs[i][1])]),
            }
        })
        .filter(Candidate::is_finite)
        .collect()
}

impl Candidate {
    fn is_finite(&self) -> bool {
        self.edges.iter().chain(self.points.as_flattened()).all(|v| v.is_finite())
    }

    fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.edges;
        (right - left) * (bottom - top)
    }
}

/// Of candidates that overlap by more than `overlap` (intersection over union) the surest, the largest
/// first.
pub fn best(mut candidates: Vec<Candidate>, overlap: f32) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    candidates.truncate(MOST_CANDIDATES);
    let boxes: Vec<Edges> = candidates.iter().map(|face| face.edges).collect();
    let scores: Vec<f32> = candidates.iter().map(|face| face.score).collect();
    let stay = suppress(&boxes, &scores, overlap, Overlap::Union);
    let mut faces: Vec<Candidate> = stay.into_iter().map(|at| candidates[at].clone()).collect();
    faces.sort_by(|a, b| b.area().total_cmp(&a.area()));
    faces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of three cells of which the last is a face.
    fn cells() -> Cells {
        let mut cells = Cells {
            cls: vec![0.1; 6],
            obj: vec![0.9; 6],
            boxes: vec![f32::NAN; 24],
            points: vec![0.0; 60],
        };
        cells.cls[5] = 0.81;
        cells.obj[5] = 1.7;
        cells.boxes[20..].copy_from_slice(&[0.5, -0.25, 2f32.ln(), 3f32.ln()]);
        let points = [-0.5, 0.0, 0.5, 0.0, 0.0, 0.5, -0.5, 1.0, 0.5, 1.0];
        cells.points[50..].copy_from_slice(&points);
        cells
    }

    #[test]
    fn a_cell_is_decoded_as_worked_by_hand() {
        let found = candidates(&cells(), 16, 3, [1.0, 1.0], 0.6);
        // Row 1, column 2: centre (2.5, 0.75) · 16, sides 32 and 48; √(0.81 · 1).
        assert_eq!(found.len(), 1);
        let Candidate { edges, score, points } = &found[0];
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} {b}");
        edges.iter().zip([24.0, -12.0, 56.0, 36.0]).for_each(|(a, b)| near(*a, b));
        near(*score, 0.9);
        assert_eq!(*points, [[24.0, 16.0], [40.0, 16.0], [32.0, 24.0], [24.0, 32.0], [40.0, 32.0]]);
        // At a level of half the width and a third of the height.
        let found = candidates(&cells(), 16, 3, [2.0, 3.0], 0.6);
        found[0].edges.iter().zip([48.0, -36.0, 112.0, 108.0]).for_each(|(a, b)| near(*a, b));
        assert_eq!(found[0].points[1], [80.0, 48.0]);
        // The score itself is enough; boxes that are none are no faces.
        let score = found[0].score;
        assert_eq!(candidates(&cells(), 16, 3, [1.0, 1.0], score).len(), 1);
        assert!(candidates(&cells(), 16, 3, [1.0, 1.0], score.next_up()).is_empty());
        assert_eq!(candidates(&cells(), 16, 3, [1.0, 1.0], 0.0).len(), 1);
    }

    #[test]
    fn of_overlapping_faces_the_surest_stays_and_the_largest_comes_first() {
        let face = |left: f32, side: f32, score: f32| Candidate {
            edges: [left, 0.0, left + side, side],
            score,
            points: [[0.0; 2]; 5],
        };
        // The first two share 7 of 13 parts, the second and the third 4 of 16, the fourth none.
        let all = vec![
            face(0.0, 10.0, 0.8),
            face(3.0, 10.0, 0.9),
            face(9.0, 10.0, 0.7),
            face(100.0, 20.0, 0.65),
        ];
        let kept = best(all.clone(), 0.3);
        assert_eq!(kept, [all[3].clone(), all[1].clone(), all[2].clone()]);
        assert_eq!(best(all, 0.2).len(), 2);
        let many = (0..6000).map(|i| face(20.0 * i as f32, 10.0, 0.9)).collect();
        assert_eq!(best(many, 0.3).len(), MOST_CANDIDATES);
    }
}
