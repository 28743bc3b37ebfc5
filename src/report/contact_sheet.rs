//! The contact sheet: each row a probe and its best matches in the gallery, or what made a match.

use super::text::{LINE_HEIGHT, character_width, draw_text};
use crate::io::Picture;
use crate::maps::Size;

const TILE: usize = 112;
const BORDER: usize = 4;
const GAP: usize = 10;
/// Narrowest cell, so that captions below a single picture can be read.
const MIN_CHARACTERS: usize = 19;
const BACKGROUND: [u8; 3] = [250, 250, 250];
const INK: [u8; 3] = [30, 30, 30];
const QUIET: [u8; 3] = [120, 120, 120];

/// What a cell's frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing.
    Neutral,
    /// The right person.
    Right,
    Wrong,
}

impl Frame {
    fn colour(self) -> [u8; 3] {
        match self {
            Self::Neutral => QUIET,
            Self::Right => [40, 160, 70],
            Self::Wrong => [205, 50, 45],
        }
    }
}

/// A line below a cell's pictures; cut where it is longer than the cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    pub text: String,
    /// Drawn in grey: what is as one expects.
    pub quiet: bool,
}

/// Pictures of one capture side by side, in a frame, with lines below.
#[derive(Clone, Debug)]
pub struct Cell {
    pub pictures: Vec<Picture>,
    pub frame: Frame,
    pub captions: Vec<Caption>,
}

/// Draws rows of cells under a title and a heading for each column.
pub fn contact_sheet(title: &str, headings: &[String], rows: &[Vec<Cell>]) -> Picture {
    let cells = || rows.iter().flatten();
    let pictures = cells().map(|cell| cell.pictures.len()).max().unwrap_or(1).max(1);
    let captions = cells().map(|cell| cell.captions.len()).max().unwrap_or(0);
    let strip = pictures * TILE + 2 * BORDER;
    let cell_width = strip.max(MIN_CHARACTERS * character_width()) + GAP;
    let cell_height = TILE + 2 * BORDER + captions * LINE_HEIGHT + GAP;
    let header = GAP + 2 * LINE_HEIGHT + GAP;
    let columns = headings.len().max(rows.iter().map(Vec::len).max().unwrap_or(0));
    let width = (GAP + columns * cell_width).max(2 * GAP + title.len() * character_width());
    let mut sheet =
        Picture::filled(Size::new(header + rows.len() * cell_height, width), BACKGROUND);
    draw_text(&mut sheet, GAP, GAP, title, INK);
    for (column, heading) in headings.iter().enumerate() {
        let short: String = heading.chars().take(cell_width / character_width()).collect();
        draw_text(&mut sheet, GAP + LINE_HEIGHT, GAP + column * cell_width, &short, QUIET);
    }
    for (number, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let (top, left) = (header + number * cell_height, GAP + column * cell_width);
            draw_cell(&mut sheet, top, left, cell, cell_width);
        }
    }
    sheet
}

fn draw_cell(sheet: &mut Picture, top: usize, left: usize, cell: &Cell, room: usize) {
    let width = cell.pictures.len().max(1) * TILE + 2 * BORDER;
    let height = TILE + 2 * BORDER;
    sheet.paste(&Picture::filled(Size::new(height, width), cell.frame.colour()), top, left);
    for (i, picture) in cell.pictures.iter().enumerate() {
        let tile = picture.resized(Size::new(TILE, TILE));
        sheet.paste(&tile, top + BORDER, left + BORDER + i * TILE);
    }
    for (line, caption) in cell.captions.iter().enumerate() {
        let short: String = caption.text.chars().take(room / character_width()).collect();
        let colour = if caption.quiet { QUIET } else { INK };
        draw_text(sheet, top + height + line * LINE_HEIGHT, left, &short, colour);
    }
}
