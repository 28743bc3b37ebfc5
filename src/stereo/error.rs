//! Why a set of lights cannot be solved.

/// Lights that a solver cannot work with. The pixels do not matter.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SolverError {
    #[error("{got} lights, this solver needs at least {needed}; add images or choose another")]
    TooFewLights { needed: usize, got: usize },
    #[error("the lights lie in one plane through the subject; add a light off that plane")]
    LightsInPlane,
    #[error(
        "ambient light cannot be told from the lamps: they stand at nearly one angle to one \
         direction (noise would grow {gain:.0} times); subtract a frame taken without lamps, move \
         a lamp, or choose least-squares"
    )]
    AmbientNotIdentifiable { gain: f64 },
    #[error("{got} lights, four-light needs exactly 4; choose trimmed, weighted or l1")]
    NotFourLights { got: usize },
}
