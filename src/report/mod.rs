//! What people look at: previews, contact sheets, tables.

mod contact_sheet;
mod preview;
mod table;
mod text;

pub use contact_sheet::{Match, MatchRow, contact_sheet};
pub use preview::{preview, sample_picture, stacked};
pub use table::evaluation_table;
