//! Where a face is and how it lies there: landmarks, alignment, frontal view and the head's mask.
//!
//! A detector gives a box and five landmarks ([`Detection`]); [`DetectionView`] makes the picture that it
//! looks at and [`largest_central`] chooses among what it finds. [`AlignOptions`] turn a face into a
//! [`Warp`], of images and lights before they are solved or of [`FaceMaps`] after. [`head_mask`]
//! tells the person from a background, and [`frontalise`] shows a turned face from the front.

mod align;
#[cfg(test)]
mod align_tests;
mod choose;
mod detector;
mod finder;
mod frontal;
mod head_mask;
mod landmarks;
mod nms;
mod pose;
mod regions;
mod similarity;
mod view;
mod warp;
mod warped_rig;
mod yunet;

pub use align::{Align, AlignError, AlignOptions, Alignment, FaceMaps, SIDES};
pub use choose::{ChosenFace, DetectionView, albedo_picture, find_subject, largest_central};
pub use detector::{
    BurnNets, CpuNets, Detector, DetectorOptions, Features, Net, ONet, PNet, RNet, Scratch,
    WeightSet, WeightsError, WeightsRecord, import_weights, weights_folder,
};
pub use finder::{DetectorError, DetectorKind, FaceFinder};
pub use frontal::frontalise;
pub use head_mask::{HeadMaskError, head_mask};
pub use landmarks::{Detection, FaceBox, Landmarks, PixelPoint};
pub use pose::{HeadPose, PoseError};
pub use similarity::{ARCFACE_112, Fit, LandmarkError, Similarity, template};
pub use view::Turn;
pub use warp::Warp;
pub use yunet::{YuNet, YuNetError, YuNetOptions, import_yunet};
