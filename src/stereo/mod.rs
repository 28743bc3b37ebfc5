//! From images to normals, albedo and confidence, pixel by pixel on the CPU.
//!
//! A Lambertian surface under a distant light of direction l shows `I = ρ n·l` where it is lit
//! and 0 where n turns away. With `g = ρ n` that is linear: `I = L g` over all lights. The
//! solvers differ in what they believe of the images; each is a file here and a [`Solver`].

mod foreground;
mod least_squares;
mod offset;
mod solution;

pub use foreground::foreground_mask;
pub use least_squares::{LeastSquares, SurfaceMaps};
pub use offset::{Offset, estimate_offset};
pub use solution::{Solution, confidence};
