//! From images to normals, albedo and confidence, pixel by pixel on the CPU.
//!
//! A Lambertian surface under a distant light of direction l shows `I = ρ n·l` where it is lit
//! and 0 where n turns away. With `g = ρ n` that is linear: `I = L g` over all lights. The
//! solvers differ in what they believe of the images; each is a file here and a [`Solver`].

mod blocks;
mod error;
mod foreground;
mod least_squares;
mod low_rank;
mod masked_pixels;
pub(crate) mod near_light;
mod normal_equations;
mod solution;
mod sparse_bayesian;

pub use error::SolverError;
pub use foreground::foreground_mask;
pub use least_squares::{LeastSquares, SurfaceMaps};
pub use low_rank::LowRank;
pub use near_light::{NearLight, NearLightSolution};
pub use solution::{Solution, confidence};
pub use sparse_bayesian::SparseBayesian;
