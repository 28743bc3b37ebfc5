//! What training and evaluation read: the manifests of folders of maps, who is in which part, packs
//! of maps in memory, the order of batches, and random views of samples.

mod augment;
mod collection;
mod manifest;
mod pack;
mod sample;
mod sampler;
mod split;

pub use augment::{AugmentConfig, View, random_view, whole_view};
pub use collection::{CaptureRef, Collection, SampleOptions, SampleSource, lit_image_of};
pub use manifest::{MANIFEST_FILE, Manifest, ManifestRow, files};
pub use pack::Pack;
pub use sample::{Modality, Sample, SampleMap, resample_area};
pub use sampler::{Item, Sampler, SamplerConfig, Undersample};
pub use split::{Part, Split, SplitConfig};
