//! From images to normals, albedo and confidence, pixel by pixel on the CPU.
//!
//! A Lambertian surface under a distant light of direction l shows `I = ρ n·l` where it is lit
//! and 0 where n turns away. With `g = ρ n` that is linear: `I = L g` over all lights. The
//! solvers differ in what they believe of the images; each is a file here.

mod blocks;
mod colour;
mod error;
mod foreground;
mod four_light;
mod l1;
mod lamp_distance;
mod least_squares;
mod least_squares_ambient;
mod low_rank;
mod masked_pixels;
pub(crate) mod near_light;
mod normal_equations;
mod offset;
mod order;
mod solution;
mod sparse_bayesian;
mod trimmed;
mod weighted;

pub(crate) use blocks::{check_lights, light_rows};
pub use colour::albedo_per_channel;
pub use error::SolverError;
pub use foreground::foreground_mask;
pub(crate) use foreground::{Island, islands, spread};
pub use four_light::FourLight;
pub use l1::L1;
pub(crate) use lamp_distance::ROUNDS as LAMP_DISTANCE_ROUNDS;
pub use lamp_distance::as_if_distant;
pub use least_squares::{LeastSquares, SurfaceMaps};
pub use least_squares_ambient::{AmbientInverse, LeastSquaresAmbient};
pub use low_rank::LowRank;
pub use near_light::{NearLight, NearLightSolution};
pub use offset::{Offset, estimate_offset, estimate_offsets};
pub use solution::{Solution, confidence, likely_noise};
pub use sparse_bayesian::SparseBayesian;
pub use trimmed::Trimmed;
pub use weighted::Weighted;
