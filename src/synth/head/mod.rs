//! Heads: what a source of heads offers, and the head made in code.
//!
//! [`MorphableHead`] reads one from a file ([`import_ict`] makes such a file).
//!
//! A head is a triangle mesh of fixed topology whose vertices move with the person's shape and
//! with the expression. [`ProceduralHead`] makes one from nothing: a solid is modelled from
//! analytic shapes (`sculpt`), meshed once (`contour`), and then moved by fields that are
//! smooth over the face: one per identity score (`identity`), one per action (`expression`),
//! with lids that slide on the eyeball and a jaw that turns on its hinge (`motion`).

mod contour;
mod deform;
mod expression;
mod faces_file;
mod field;
#[cfg(test)]
pub(super) mod fixture;
mod ict;
mod identity;
mod landmarks;
mod morphable;
mod motion;
mod mouth;
mod normals;
mod patches;
mod procedural;
mod sculpt;
mod smoothing;
mod template;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::surface::Part;

pub use faces_file::FacesError;
pub use ict::import_ict;
pub(super) use identity::weight_field;
pub use identity::{PARAMETERS, Parameter};
pub use morphable::MorphableHead;
pub use normals::vertex_normals;
pub use procedural::{Anatomy, Detail, ProceduralHead};

/// What all heads of one source share.
pub struct Topology {
    pub triangles: Vec<[u32; 3]>,
    /// One per triangle: Skin, Eye or Mouth.
    pub parts: Vec<Part>,
    /// The mean neutral head: the place of each vertex on "the" face, in mm in the head frame.
    /// Everything painted on a face (lips, brows, stubble, hair line) is painted by these
    /// coordinates and by the landmarks, so that it sticks to the skin in any shape.
    pub rest: Vec<[f32; 3]>,
    /// Vertices of the 68 facial landmarks, in the iBUG 300-W order (jaw 0-16 from the person's
    /// right ear to the left, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67).
    pub landmarks: [u32; 68],
}

/// Action of the face by name (the field's "ARKit" blend shapes without sides where both sides
/// act alike); each 0 to 1 unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    pub brow_down: f32,
    pub brow_inner_up: f32,
    pub brow_outer_up: f32,
    pub eye_blink: f32,
    pub eye_squint: f32,
    pub eye_wide: f32,
    /// Gaze, -1 to 1: right in the picture and up.
    pub gaze_x: f32,
    pub gaze_y: f32,
    pub cheek_puff: f32,
    pub cheek_squint: f32,
    pub nose_sneer: f32,
    pub jaw_open: f32,
    pub mouth_smile: f32,
    pub mouth_frown: f32,
    pub mouth_stretch: f32,
    pub mouth_pucker: f32,
    pub mouth_press: f32,
    pub mouth_upper_up: f32,
    pub mouth_lower_down: f32,
    /// Uneven sides, -1 to 1: how much stronger the person's left acts than the right.
    pub asymmetry: f32,
}

/// A source of heads.
pub trait HeadModel: Send + Sync {
    fn topology(&self) -> &Topology;
    /// How many scores make a person's shape.
    fn identity_scores(&self) -> usize;
    /// A person's shape: standard normal scores with the population's correlations.
    /// `masculinity`: +1 for the mean man, -1 for the mean woman.
    fn sample_identity(&self, masculinity: f32, draws: &mut Draws) -> Vec<f32>;
    /// Vertex positions in mm in the head frame.
    fn positions(&self, identity: &[f32], expression: &Expression) -> Vec<[f32; 3]>;
}
