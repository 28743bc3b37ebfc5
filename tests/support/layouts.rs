//! What a layout finds.

use lumiface::capture::{CaptureSource, Inventory, Layout, LayoutOptions, find_captures};
use std::path::Path;

pub fn found(layout: Layout, root: &Path) -> Inventory {
    find_captures(layout, root, &LayoutOptions::default()).unwrap()
}

pub fn only(layout: Layout, root: &Path) -> CaptureSource {
    let mut inventory = found(layout, root);
    assert_eq!(inventory.problems, Vec::<String>::new());
    assert_eq!(inventory.captures.len(), 1);
    inventory.captures.remove(0)
}
