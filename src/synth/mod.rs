//! The studio: capture sessions of people who do not exist, with the truth.
//!
//! ```text
//! population (who comes, how often, what is noted)
//!   → session (one visit: looks of the day, expression, pose, rig)          = scene.json
//!   → head (shape) → appearance (skin, hair, clothes) + spectacles = surface
//!   → render (rays, light, truth) → sensor (numbers of a file) → files
//! ```
//!
//! A session follows from its [`session::SessionScene`] alone, and that from the seed, the person and the
//! number of the visit. The same scene gives the same bytes on the CPU at any number of threads:
//! random numbers come from [`draws`], elementary functions from [`exact_math`].
//!
//! Lengths are in mm. The head frame has its origin midway between the eyes: x to the right of the
//! picture (the person's left), y up, z out of the face. The camera frame is that of
//! [`crate::geometry`].

pub mod appearance;
pub mod attack;
pub mod draws;
pub mod exact_math;
mod files;
pub mod head;
pub mod height_field;
pub mod labels;
pub mod population;
pub mod render;
pub mod rig;
pub mod sensor;
pub mod session;
pub mod spectacles;
pub mod surface;

pub use files::{SCENE_MARKER, SET_FILE, SynthSet, TRUTH_FOLDER};
