//! What training and evaluation read: the manifest of a folder of maps.

mod manifest;

pub use manifest::{MANIFEST_FILE, Manifest, ManifestRow, files};
