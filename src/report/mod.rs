//! What people look at: previews, contact sheets, tables.

mod preview;

pub use preview::preview;
