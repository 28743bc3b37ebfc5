//! Which solver, by name; and which one `auto` takes.

use super::ReconstructError;
use crate::integrate::{distance_along_axis, poisson};
use crate::maps::{ImageStack, Lights, Mask, NearLights};
use crate::stereo::{
    FourLight, L1, LeastSquares, LeastSquaresAmbient, LowRank, NearLight, Solution, SolverError,
    SparseBayesian, Trimmed, Weighted,
};
use serde::{Deserialize, Serialize};

/// A photometric-stereo solver; each is a type of [`crate::stereo`], which has its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Chosen by the number of lights and what is known of them.
    #[default]
    Auto,
    LeastSquares,
    LeastSquaresAmbient,
    Weighted,
    Trimmed,
    L1,
    FourLight,
    SparseBayesian,
    LowRank,
    NearLight,
}

impl Solver {
    pub const NAMES: [(&str, Solver); 10] = [
        ("auto", Solver::Auto),
        ("least-squares", Solver::LeastSquares),
        ("least-squares-ambient", Solver::LeastSquaresAmbient),
        ("weighted", Solver::Weighted),
        ("trimmed", Solver::Trimmed),
        ("l1", Solver::L1),
        ("four-light", Solver::FourLight),
        ("sparse-bayesian", Solver::SparseBayesian),
        ("low-rank", Solver::LowRank),
        ("near-light", Solver::NearLight),
    ];
}

impl std::str::FromStr for Solver {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        crate::config::parse_name("solver", name, &Self::NAMES)
    }
}

impl std::fmt::Display for Solver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::config::name_of(*self, &Self::NAMES))
    }
}

/// What a solver works on.
pub(super) struct Problem<'a> {
    pub images: &'a ImageStack,
    pub lights: &'a Lights,
    pub near: Option<&'a NearLights>,
    pub mask: &'a Mask,
}

impl Solver {
    /// Whether it has an unknown for light that does not come from the lamps.
    pub fn knows_ambient(self) -> bool {
        self == Solver::LeastSquaresAmbient
    }

    /// What `auto` takes for a capture, and why; itself for the others.
    ///
    /// Lamp positions ask for near-light. Otherwise the question is how many samples can be spared
    /// for shadows and highlights: robust solvers leave samples out, and what is left carries more
    /// noise. On Extended Yale B (fit on k lights, predict the others; docs/results.md) the best
    /// gains 1 % on least squares at four and the others lose; trimmed is best at five, and from ten
    /// on sparse Bayesian is.
    /// Where hardly a sample is shadowed or saturated, there is nothing to be robust against.
    pub(super) fn resolve(self, problem: &Problem<'_>) -> (Solver, Option<String>) {
        if self != Solver::Auto {
            return (self, None);
        }
        if problem.near.is_some() {
            return (Solver::NearLight, Some("lamp positions are known".into()));
        }
        let k = problem.lights.len();
        if k <= 4 {
            return (Solver::LeastSquares, Some(format!("{k} lights leave none to spare")));
        }
        let suspect = suspect_share(problem);
        let percent = 100.0 * suspect;
        if suspect < NOTHING_SUSPECT {
            let because = format!("{percent:.1} % of samples are in shadow or saturated");
            return (Solver::LeastSquares, Some(because));
        }
        let solver = match k {
            5 => Solver::Trimmed,
            6..=9 => Solver::Weighted,
            _ => Solver::SparseBayesian,
        };
        let because = format!("{k} lights, {percent:.0} % of samples in shadow or saturated");
        (solver, Some(because))
    }

    /// Solves on the CPU.
    ///
    /// # Errors
    /// Lights that the solver cannot work with, or near-light without lamp positions.
    ///
    /// # Panics
    /// For `auto`, which [`Solver::resolve`] replaces.
    pub(super) fn solve(self, problem: &Problem<'_>) -> Result<Solution, ReconstructError> {
        let &Problem { images, lights, near, mask } = problem;
        let solved = match self {
            Solver::Auto => unreachable!("auto was resolved"),
            Solver::LeastSquares => LeastSquares::new(lights)
                .map(|s| s.solution(images))
                .ok_or(SolverError::LightsInPlane),
            Solver::LeastSquaresAmbient => LeastSquaresAmbient::default().solve(images, lights),
            Solver::Weighted => Weighted::default().solve_within(images, lights, Some(mask)),
            Solver::Trimmed => Trimmed::default().solve_within(images, lights, Some(mask)),
            Solver::L1 => L1::default().solve_within(images, lights, Some(mask)),
            Solver::FourLight => FourLight::default().solve_within(images, lights, Some(mask)),
            Solver::SparseBayesian => SparseBayesian::default().solve(images, lights, mask),
            Solver::LowRank => LowRank::default().solve(images, lights, mask),
            Solver::NearLight => {
                let lamps = near.ok_or(ReconstructError::NoLampPositions)?;
                let distance = |normals: &_, mask: &_| {
                    distance_along_axis(&poisson(normals, mask, Some(&lamps.camera)), &lamps.camera)
                };
                NearLight::default().solve(images, lamps, mask, distance).map(|s| s.solution)
            }
        };
        solved.map_err(|error| ReconstructError::Solver { solver: self, error })
    }
}

/// Below this share of suspect samples there is next to nothing to be robust against.
const NOTHING_SUSPECT: f64 = 0.005;
/// A sample below this share of its pixel's brightest is taken for one in shadow: a lamp would
/// have to graze the surface at 6° to give as little.
const SHADOW_SHARE: f32 = 0.1;
/// Every so many pixels are looked at: a share needs no more.
const STRIDE: usize = 7;

/// Share of the mask's samples that are in shadow or saturated.
fn suspect_share(problem: &Problem<'_>) -> f64 {
    let &Problem { images, mask, .. } = problem;
    let area = mask.size.area();
    let (mut suspect, mut samples) = (0u64, 0u64);
    for p in (0..area).step_by(STRIDE).filter(|&p| mask.data[p]) {
        let value = |j: usize| images.pixels.get(j * area + p);
        let brightest = (0..images.count).map(value).fold(0.0, f32::max);
        for j in 0..images.count {
            samples += 1;
            suspect +=
                u64::from(value(j) < SHADOW_SHARE * brightest || value(j) >= images.white[j]);
        }
    }
    suspect as f64 / samples.max(1) as f64
}
