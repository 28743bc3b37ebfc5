//! What training and evaluation read: the manifests of folders of maps, who is in which part, packs
//! of maps in memory, the order of batches, and random views of samples.

mod augment;
pub mod check;
mod collection;
mod legacy;
mod manifest;
mod pack;
mod pair_bin;
mod pairs;
mod sample;
mod sampler;
mod split;

pub use augment::{AugmentConfig, View, random_view, whole_view, whole_view_of};
pub use collection::{CaptureRef, Collection, SampleOptions, SampleSource, lit_image_of};
pub use legacy::{LegacyCapture, LegacySets, legacy_classes};
pub use manifest::{MANIFEST_FILE, Manifest, ManifestRow, files};
pub use pack::Pack;
pub use pair_bin::BinPairs;
pub use pairs::{CaptureName, Fold, PairConfig, PairList, Sessions, contiguous_folds};
pub use sample::{Modality, Sample, SampleMap, photo_plane, resample_area};
pub use sampler::{Item, Sampler, SamplerConfig, Undersample};
pub use split::{Part, Split, SplitCapture, SplitConfig, UndersamplePart, majority_label};
