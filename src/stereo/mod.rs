//! Photometric stereo on the CPU: from lit images to a normal and an albedo per pixel.
//!
//! Under k distant lights a Lambertian pixel follows `I = L g`, with `I` its k intensities, `L`
//! the light matrix (k × 3) and `g = ρ n` the normal scaled by albedo (Woodham 1980,
//! "Photometric method for determining surface orientation from multiple images", eq. 10).
//! Solvers differ in how they treat pixels that break this: shadows, highlights, ambient light.

mod foreground;
mod least_squares;

pub use foreground::foreground_mask;
pub use least_squares::{LeastSquares, SurfaceMaps};
