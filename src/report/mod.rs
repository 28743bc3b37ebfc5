//! What people look at: previews, contact sheets, tables, relit faces, the page of a set.

mod contact_sheet;
mod evaluation;
mod faces;
mod inspect;
mod markup;
mod preview;
mod relight;
mod table;
mod text;
mod turntable;

pub use contact_sheet::{Caption, Cell, Frame, contact_sheet};
pub use evaluation::{ComparisonReport, EvaluationReport, PairedDifference, PublishedStudy};
pub use faces::drawn_faces;
pub use inspect::{CaptureMaps, InspectOptions, InspectedCapture, inspect_folder, inspect_html};
pub use preview::{preview, stacked, view_picture};
pub use relight::{RelightLight, relight, shading, srgb_albedo, times};
pub use table::{accuracy_table, comparison_table, evaluation_table};
pub use turntable::turned_view;
