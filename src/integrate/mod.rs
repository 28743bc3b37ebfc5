//! From normals to depth on the CPU.
//!
//! A normal fixes the slopes of the surface, `∂z/∂x = −n_x/n_z` and `∂z/∂y = −n_y/n_z`; an
//! integrator finds the depth whose slopes come nearest. Only differences of depth are
//! determined: the mean over the mask is set to zero.

mod bilateral;
mod components;
mod cosine;
mod frankot_chellappa;
mod gradients;
mod integrability;
mod multigrid;
mod poisson;
mod poisson_dct;
mod slopes;
pub(crate) mod wide;

pub use bilateral::{BilateralOptions, MAX_SLOPE_BILATERAL, bilateral};
pub use frankot_chellappa::frankot_chellappa;
pub use gradients::distance_along_axis;
pub(crate) use gradients::{Facets, HOLE_WEIGHT};
pub use integrability::{integrability_residual, mean_integrability_residual};
pub(crate) use multigrid::{COARSEST_SWEEPS, DAMPING, SWEEPS};
pub use poisson::poisson;
pub(crate) use poisson::{MOST_ITERATIONS, TOLERANCE};
pub use poisson_dct::poisson_dct;
pub use slopes::centre_depth;

/// Steepest slope that is believed, tan 80°. Near the outline and in cast shadows a normal can
/// turn edge-on, and one such pixel would tear the surface.
pub const MAX_SLOPE: f32 = 5.671_282;
