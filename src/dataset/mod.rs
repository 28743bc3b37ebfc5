//! What training and evaluation read: the manifest of a folder of maps, who is in which part,
//! and samples of one modality.

mod augment;
mod manifest;
mod sample;
mod split;

pub use augment::{AugmentConfig, View, random_view, whole_view};
pub use manifest::{MANIFEST_FILE, Manifest, ManifestRow, files};
pub use sample::{Modality, Sample, load_sample, resample_area};
pub use split::{Part, Split, SplitConfig};
