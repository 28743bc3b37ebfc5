//! The cascade from windows to faces, on coordinates alone.
//!
//! Boxes count pixels from 1 and their edges belong to them, as in the authors' program and in
//! facenet-pytorch, whose arithmetic this follows to the rounding: [1, 1, w, h] is a whole picture.

use super::DetectorOptions;
use super::engine::{Engine, Proposal, STRIDE};
use super::nets::Net;
use super::pyramid::{Level, WINDOW, levels};
use crate::face::nms::{Edges, Overlap, suppress};
use crate::face::view::{Span, View};
use crate::maps::Size;

/// A face in a view.
pub struct Face {
    pub edges: Edges,
    pub score: f32,
    /// Column and row of eyes, nose and corners of the mouth.
    pub landmarks: [[f32; 2]; 5],
}

/// Faces in a view, the largest first.
pub fn find(engine: &Engine, view: View, options: &DetectorOptions) -> Vec<Face> {
    let size = view.size();
    let levels = levels(size, f64::from(options.smallest_face), options.factor);
    let [propose, refine, accept] = options.thresholds;
    let proposals = engine.propose(view, &levels, propose);
    let boxes = first(&levels, &proposals);
    let boxes = second(engine, view, &boxes, refine);
    let mut faces = third(engine, view, &boxes, accept);
    let area = |face: &Face| {
        let [left, top, right, bottom] = face.edges;
        (right - left) * (bottom - top)
    };
    faces.sort_by(|a, b| area(b).total_cmp(&area(a)));
    faces
}

/// What is left of the proposals, moved as P-net says, as squares.
fn first(levels: &[Level], proposals: &[Vec<Proposal>]) -> Vec<Edges> {
    let mut kept = Vec::new();
    for (level, proposals) in levels.iter().zip(proposals) {
        let boxes: Vec<Edges> = proposals.iter().map(|p| window_of(p, level.scale)).collect();
        let scores: Vec<f32> = proposals.iter().map(|p| p.score).collect();
        let stay = suppress(&boxes, &scores, 0.5, Overlap::Union);
        kept.extend(stay.into_iter().map(|at| (boxes[at], proposals[at])));
    }
    let boxes: Vec<Edges> = kept.iter().map(|(edges, _)| *edges).collect();
    let scores: Vec<f32> = kept.iter().map(|(_, proposal)| proposal.score).collect();
    let stay = suppress(&boxes, &scores, 0.7, Overlap::Union);
    stay.into_iter().map(|at| square(moved(boxes[at], kept[at].1.shifts, 0.0))).collect()
}

/// What R-net takes for faces, moved as it says, as squares.
fn second(engine: &Engine, view: View, boxes: &[Edges], least: f32) -> Vec<Edges> {
    let judged = judge::<5>(engine, Net::R, view, boxes, least);
    let boxes: Vec<Edges> = judged.iter().map(|(edges, _)| *edges).collect();
    let scores: Vec<f32> = judged.iter().map(|(_, [score, ..])| *score).collect();
    let stay = suppress(&boxes, &scores, 0.7, Overlap::Union);
    let shifted = |at: usize| {
        let [_, shifts @ ..] = judged[at].1;
        square(moved(boxes[at], shifts, 1.0))
    };
    stay.into_iter().map(shifted).collect()
}

/// What O-net takes for faces, moved as it says, with landmarks.
fn third(engine: &Engine, view: View, boxes: &[Edges], least: f32) -> Vec<Face> {
    let faces: Vec<Face> = judge::<15>(engine, Net::O, view, boxes, least)
        .into_iter()
        .map(|(edges, [score, left, top, right, bottom, places @ ..])| {
            let [x0, y0, x1, y1] = edges;
            let (width, height) = (x1 - x0 + 1.0, y1 - y0 + 1.0);
            let landmark =
                |i: usize| [width * places[i] + x0 - 1.0, height * places[i + 5] + y0 - 1.0];
            Face {
                edges: moved(edges, [left, top, right, bottom], 1.0),
                score,
                landmarks: std::array::from_fn(landmark),
            }
        })
        .collect();
    let boxes: Vec<Edges> = faces.iter().map(|face| face.edges).collect();
    let scores: Vec<f32> = faces.iter().map(|face| face.score).collect();
    let stay = suppress(&boxes, &scores, 0.7, Overlap::Smaller);
    let mut faces: Vec<Option<Face>> = faces.into_iter().map(Some).collect();
    stay.into_iter().filter_map(|at| faces[at].take()).collect()
}

/// Boxes with what a network says of each, where it is more than `least` sure of a face. What lies
/// beside the picture is left out.
fn judge<const N: usize>(
    engine: &Engine,
    net: Net,
    view: View,
    boxes: &[Edges],
    least: f32,
) -> Vec<(Edges, [f32; N])> {
    let within: Vec<(Edges, (Span, Span))> =
        boxes.iter().filter_map(|edges| Some((*edges, pixels_of(edges, view.size())?))).collect();
    let windows: Vec<(Span, Span)> = within.iter().map(|(_, window)| *window).collect();
    let judged = engine.judge::<N>(net, view, &windows);
    let pairs = within.into_iter().zip(judged).map(|((edges, _), says)| (edges, says));
    pairs.filter(|(_, says)| says[0] > least).collect()
}

/// The window of the picture that a proposal is for, rounded down as the authors do.
fn window_of(proposal: &Proposal, scale: f64) -> Edges {
    let scale = scale as f32;
    let edge = |place: usize, offset: usize| ((STRIDE * place + offset) as f32 / scale).floor();
    let Proposal { row, column, .. } = *proposal;
    [edge(column, 1), edge(row, 1), edge(column, WINDOW), edge(row, WINDOW)]
}

/// Edges moved by shares of the sides, which are `edge` longer than from edge to edge.
fn moved([left, top, right, bottom]: Edges, shifts: [f32; 4], edge: f32) -> Edges {
    let (width, height) = (right - left + edge, bottom - top + edge);
    [
        left + shifts[0] * width,
        top + shifts[1] * height,
        right + shifts[2] * width,
        bottom + shifts[3] * height,
    ]
}

/// The square about the same centre on the longer side.
fn square([left, top, right, bottom]: Edges) -> Edges {
    let (width, height) = (right - left, bottom - top);
    let side = width.max(height);
    let left = left + width * 0.5 - side * 0.5;
    let top = top + height * 0.5 - side * 0.5;
    [left, top, left + side, top + side]
}

/// Rows and columns of a box that lie in the picture; `None` where none do.
fn pixels_of(edges: &Edges, size: Size) -> Option<(Span, Span)> {
    let span = |from: f32, to: f32, length: usize| {
        // Casts cut towards zero, and to what the type holds.
        let (from, to) = ((from as i64).max(1), (to as i64).min(length as i64));
        (to >= from).then_some((from as usize - 1, to as usize))
    };
    let [left, top, right, bottom] = *edges;
    Some((span(top, bottom, size.height)?, span(left, right, size.width)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_move_as_worked_by_hand() {
        let proposal = Proposal { row: 3, column: 10, score: 1.0, shifts: [0.0; 4] };
        // (2·10 + 1) / 0.75 = 28, (2·10 + 12) / 0.75 = 42.7; rows 7 / 0.75 = 9.3 and 18 / 0.75 = 24.
        assert_eq!(window_of(&proposal, 0.75), [28.0, 9.0, 42.0, 24.0]);
        let edges = [10.0, 20.0, 29.0, 59.0];
        let shifts = [0.5, -0.25, 0.0, 0.25];
        assert_eq!(moved(edges, shifts, 1.0), [20.0, 10.0, 29.0, 69.0]);
        assert_eq!(moved(edges, shifts, 0.0), [19.5, 10.25, 29.0, 68.75]);
        assert_eq!(square(edges), [0.0, 20.0, 39.0, 59.0]);
    }

    #[test]
    fn of_a_box_only_what_lies_in_the_picture_is_looked_at() {
        let size = Size::new(50, 100);
        let of = |edges: Edges| pixels_of(&edges, size);
        assert_eq!(of([1.0, 1.0, 100.0, 50.0]), Some(((0, 50), (0, 100))));
        assert_eq!(of([-3.7, 10.9, 20.9, 60.0]), Some(((9, 50), (0, 20))));
        // One pixel; none.
        assert_eq!(of([7.0, 8.0, 7.9, 8.2]), Some(((7, 8), (6, 7))));
        assert_eq!(of([101.0, 1.0, 120.0, 20.0]), None);
        assert_eq!(of([1.0, -20.0, 20.0, 0.9]), None);
        assert_eq!(of([f32::NAN, 1.0, f32::INFINITY, 2.0]), Some(((0, 2), (0, 100))));
        assert_eq!(of([-1e30, -1e30, 1e30, 1e30]), Some(((0, 50), (0, 100))));
    }
}
