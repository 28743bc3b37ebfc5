//! Ray tracing of surfaces: images under the lights of a rig, and the truth behind every pixel.
//!
//! A [`Scene`] is built once for a session, in the head frame. A frame of the session is a
//! [`HeadPose`], a [`View`] and the lights that are on; rays and lights are carried into the head
//! frame, so that a drifting head costs no new tree. [`image()`] sees what a camera without noise
//! sees, averaged over a grid of sub-samples; [`truth`] tells what is there at the pixel centres:
//! the very normals and reflectances that the centre sample is shaded with.
//!
//! Light goes from the lamp to a surface to the camera; with [`Options::bounce_rays`] also by way of
//! one more surface (`bounce`), of which the truth of shadows and of shine knows nothing. Lenses are
//! thin: rays go straight through, are tinted and weakened, and see the lamps' reflections on
//! them; light on its way to the face is weakened by them too. Refraction is left out (a lens of
//! −3 dioptres, 12 mm before the eye, would shrink what is behind it by 4 %).
//!
//! Pure functions: the same scene gives the same bytes at any number of threads and on any
//! platform (see [`super::exact_math`]). `shaders/trace.wgsl` is the twin on the GPU.

mod bounce;
pub(crate) mod bvh;
pub(crate) mod frame;
pub(crate) mod light;
pub(crate) mod packet;
pub(crate) mod scene;
pub(crate) mod shade;
mod sight;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod truth;
pub(crate) mod view;

pub use frame::{Frame, Radiance, image};
pub use light::Light;
pub use scene::{Scene, SceneError, Triangle, Vertex};
pub use truth::{Landmark, LightTruth, Truth, landmarks, truth};
pub use view::{HeadPose, View};

pub(crate) use crate::io::LUMINANCE;

/// What happens where a surface turns away from a light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Attached {
    /// It is dark: `max(n·l, 0)`.
    Dark,
    /// `n·l` goes on below zero, so that `I = ρ n·l` holds everywhere.
    Negative,
}

/// Which effects reach the images.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// n: each pixel averages an n×n grid of sub-samples, 1 to 8. 1 is the pixel centre.
    pub samples_per_side: usize,
    pub attached: Attached,
    /// Whether things block light on its way to others.
    pub cast_shadows: bool,
    /// Rays to a light of finite size for each sub-sample, 1 to 64; sub-samples take different
    /// places of its disc.
    pub light_samples: usize,
    /// Whether surfaces shine.
    pub specular: bool,
    /// Whether light creeps below surfaces whose material says so.
    pub subsurface: bool,
    /// Whether lenses tint, weaken and glint; without, they are not there.
    pub lenses: bool,
    /// Rays by which each sub-sample gathers light that other surfaces reflect, up to 64; 0 leaves
    /// inter-reflection out.
    #[serde(default)]
    pub bounce_rays: usize,
}

/// Directions by which a pixel gathers light where inter-reflection is asked for.
const BOUNCES_PER_PIXEL: usize = 32;

impl Options {
    /// Pure Lambertian images of the pixel centres without any shadow but the attached:
    /// `I = ρ max(n·l, 0)` exactly.
    pub fn ideal() -> Self {
        Self {
            samples_per_side: 1,
            attached: Attached::Dark,
            cast_shadows: false,
            light_samples: 1,
            specular: false,
            subsurface: false,
            lenses: false,
            bounce_rays: 0,
        }
    }

    /// The same with inter-reflection.
    pub fn with_inter_reflection(self) -> Self {
        let samples = self.samples_per_side * self.samples_per_side;
        Self { bounce_rays: (BOUNCES_PER_PIXEL / samples.max(1)).max(1), ..self }
    }
}

/// Everything, with 2×2 sub-samples.
impl Default for Options {
    fn default() -> Self {
        Self {
            samples_per_side: 2,
            attached: Attached::Dark,
            cast_shadows: true,
            light_samples: 1,
            specular: true,
            subsurface: true,
            lenses: true,
            bounce_rays: 0,
        }
    }
}
