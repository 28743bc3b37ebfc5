//! From a capture to its maps, on the CPU or a GPU: mask, solve, integrate.

use crate::gpu::{Gpu, GpuError};
use crate::integrate::frankot_chellappa;
use crate::maps::{AlbedoMap, DepthMap, ImageStack, Lights, Mask, NormalMap, ResidualMap};
use crate::stereo::{LeastSquares, foreground_mask};

/// What does the work.
#[derive(Debug)]
pub enum Compute {
    Cpu,
    Gpu(Box<Gpu>),
}

impl Compute {
    /// "CPU" or the adapter's name.
    pub fn name(&self) -> &str {
        match self {
            Compute::Cpu => "CPU",
            Compute::Gpu(gpu) => &gpu.summary.name,
        }
    }
}

/// The maps of one capture, all of one size, NaN off the mask.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    pub normals: NormalMap,
    pub albedo: AlbedoMap,
    /// Toward the camera, pixels, mean zero over the mask.
    pub depth: DepthMap,
    pub mask: Mask,
    pub residual: ResidualMap,
}

/// Why a capture that loaded could not be solved.
#[derive(Debug, thiserror::Error)]
pub enum ReconstructError {
    #[error(
        "the lights lie in a plane or nearly (condition number {0:.0}); add a light off that plane"
    )]
    DegenerateLights(f64),
    #[error("no pixel is lit well enough to be part of the subject; retake the capture")]
    NothingLit,
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Solves and integrates one capture.
///
/// # Errors
/// Degenerate lights, images without a lit subject, or a GPU that fails.
///
/// # Panics
/// If there is not one light per image.
pub fn reconstruct(
    images: &ImageStack,
    lights: &Lights,
    compute: &Compute,
) -> Result<Reconstruction, ReconstructError> {
    assert_eq!(images.count, lights.len(), "one light per image");
    let solver = LeastSquares::new(lights)
        .ok_or_else(|| ReconstructError::DegenerateLights(lights.condition_number()))?;
    let mask = foreground_mask(images);
    if mask.count() == 0 {
        return Err(ReconstructError::NothingLit);
    }
    let (surface, depth) = match compute {
        Compute::Cpu => {
            let surface = solver.solve(images);
            let depth = frankot_chellappa(&surface.normals, &mask);
            (surface, depth)
        }
        Compute::Gpu(gpu) => {
            let stack = gpu.least_squares.prepare(gpu, &solver, images)?;
            gpu.least_squares.run(gpu, &stack)?;
            let depth = gpu.frankot_chellappa.integrate_surface(gpu, &stack.surface, &mask)?;
            (stack.surface.download(gpu)?, depth)
        }
    };
    Ok(Reconstruction {
        normals: surface.normals.masked(&mask),
        albedo: surface.albedo.masked(&mask),
        residual: surface.residual.masked(&mask),
        depth,
        mask,
    })
}
