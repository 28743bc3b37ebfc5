//! A picture with the faces that were found in it.

use super::text::{LINE_HEIGHT, character_width, draw_text};
use crate::face::Detection;
use crate::io::Picture;
use crate::maps::Size;

const BOX: [u8; 3] = [60, 220, 90];
const LANDMARK: [u8; 3] = [255, 70, 60];
const INK: [u8; 3] = [20, 20, 20];

/// A copy of the picture with a box, five landmarks and the score of each face; lines are as thick as the
/// picture is large.
pub fn drawn_faces(picture: &Picture, faces: &[Detection]) -> Picture {
    let mut drawn = picture.clone();
    let thick = (picture.size.height.max(picture.size.width) / 500).max(1) as i64;
    for face in faces {
        let bounds = face.bounds;
        let [left, top, right, bottom] =
            [bounds.left, bounds.top, bounds.right, bounds.bottom].map(|edge| edge.round() as i64);
        for offset in 0..thick {
            for column in left..=right {
                dot(&mut drawn, top + offset, column, BOX);
                dot(&mut drawn, bottom - offset, column, BOX);
            }
            for row in top..=bottom {
                dot(&mut drawn, row, left + offset, BOX);
                dot(&mut drawn, row, right - offset, BOX);
            }
        }
        for point in face.landmarks.points() {
            let (row, column) = (point.row.round() as i64, point.column.round() as i64);
            for along in -2 * thick..=2 * thick {
                for across in 0..thick {
                    dot(&mut drawn, row + along, column + across, LANDMARK);
                    dot(&mut drawn, row + across, column + along, LANDMARK);
                }
            }
        }
        let label = format!("{:.3}", face.score);
        let room = Size::new(LINE_HEIGHT, label.len() * character_width());
        let (row, column) = ((top - LINE_HEIGHT as i64).max(0), left.max(0));
        drawn.paste(&Picture::filled(room, BOX), row as usize, column as usize);
        draw_text(&mut drawn, row as usize, column as usize, &label, INK);
    }
    drawn
}

fn dot(picture: &mut Picture, row: i64, column: i64, colour: [u8; 3]) {
    if let (Ok(row), Ok(column)) = (usize::try_from(row), usize::try_from(column)) {
        picture.set(row, column, colour);
    }
}
