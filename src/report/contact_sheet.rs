//! The contact sheet: each row a probe and its best matches in the gallery.

use super::text::{LINE_HEIGHT, character_width, draw_text};
use crate::io::Picture;
use crate::maps::Size;

const TILE: usize = 112;
const BORDER: usize = 4;
const GAP: usize = 10;
const BACKGROUND: [u8; 3] = [250, 250, 250];
const INK: [u8; 3] = [30, 30, 30];
const RIGHT: [u8; 3] = [40, 160, 70];
const WRONG: [u8; 3] = [205, 50, 45];
const NEUTRAL: [u8; 3] = [120, 120, 120];

/// One enrolled person as a probe's answer.
pub struct Match {
    pub picture: Picture,
    pub id: String,
    pub similarity: f64,
    pub right: bool,
}

/// A probe and its matches, best first.
pub struct MatchRow {
    pub picture: Picture,
    /// "id/session"
    pub name: String,
    pub matches: Vec<Match>,
}

/// Draws rows of matches under a title.
pub fn contact_sheet(title: &str, rows: &[MatchRow]) -> Picture {
    let columns = 1 + rows.iter().map(|row| row.matches.len()).max().unwrap_or(0);
    let cell_width = TILE + 2 * BORDER + GAP;
    let cell_height = TILE + 2 * BORDER + 2 * LINE_HEIGHT + GAP;
    let header = GAP + 2 * LINE_HEIGHT + GAP;
    let width = (GAP + columns * cell_width).max(2 * GAP + title.len() * character_width());
    let mut sheet =
        Picture::filled(Size::new(header + rows.len() * cell_height, width), BACKGROUND);
    draw_text(&mut sheet, GAP, GAP, title, INK);
    draw_text(&mut sheet, GAP + LINE_HEIGHT, GAP, "probe", NEUTRAL);
    for rank in 1..columns {
        let column = GAP + rank * cell_width;
        draw_text(&mut sheet, GAP + LINE_HEIGHT, column, &format!("match {rank}"), NEUTRAL);
    }
    for (number, row) in rows.iter().enumerate() {
        let top = header + number * cell_height;
        let captions = row.name.split_once('/').unwrap_or((&row.name, ""));
        draw_cell(&mut sheet, top, GAP, &row.picture, NEUTRAL, [captions.0, captions.1]);
        for (i, found) in row.matches.iter().enumerate() {
            let colour = if found.right { RIGHT } else { WRONG };
            let similarity = format!("{:.3}", found.similarity);
            let left = GAP + (i + 1) * cell_width;
            draw_cell(&mut sheet, top, left, &found.picture, colour, [&found.id, &similarity]);
        }
    }
    sheet
}

fn draw_cell(
    sheet: &mut Picture,
    top: usize,
    left: usize,
    picture: &Picture,
    colour: [u8; 3],
    captions: [&str; 2],
) {
    let frame = TILE + 2 * BORDER;
    sheet.paste(&Picture::filled(Size::new(frame, frame), colour), top, left);
    sheet.paste(&picture.resized(Size::new(TILE, TILE)), top + BORDER, left + BORDER);
    let room = (frame + GAP) / character_width();
    for (line, caption) in captions.into_iter().enumerate() {
        let short: String = caption.chars().take(room).collect();
        draw_text(sheet, top + frame + line * LINE_HEIGHT, left, &short, INK);
    }
}
