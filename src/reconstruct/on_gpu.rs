//! The solvers and integrators that have kernels.

use super::solver::Problem;
use super::{Integrator, ReconstructError, Solver};
use crate::geometry::Camera;
use crate::gpu::{Gpu, GpuError, NearLightGpuError, Reweighted};
use crate::integrate::distance_along_axis;
use crate::maps::{DepthMap, Mask, NormalMap};
use crate::stereo::{
    L1, LeastSquares, LeastSquaresAmbient, NearLight, Solution, SolverError, Trimmed, Weighted,
};

/// Solves by a kernel; `None` where the solver has none.
pub(super) fn solve(
    gpu: &Gpu,
    solver: Solver,
    problem: &Problem<'_>,
) -> Result<Option<Solution>, ReconstructError> {
    let &Problem { images, lights, near, mask } = problem;
    let refused = |error: SolverError| ReconstructError::Solver { solver, error };
    let reweighted = |kind| Ok(Some(gpu.reweighted.solve(gpu, kind, images, lights)?));
    match solver {
        Solver::LeastSquares => {
            let inverse =
                LeastSquares::new(lights).ok_or_else(|| refused(SolverError::LightsInPlane))?;
            let stack = gpu.least_squares.prepare(gpu, &inverse, images)?;
            gpu.least_squares.run(gpu, &stack)?;
            Ok(Some(inverse.complete(stack.surface.download(gpu)?, images)))
        }
        Solver::LeastSquaresAmbient => {
            let inverse = LeastSquaresAmbient::default().prepare(lights).map_err(refused)?;
            let stack = gpu.least_squares_ambient.prepare(gpu, &inverse, images)?;
            gpu.least_squares_ambient.run(gpu, &stack)?;
            Ok(Some(stack.solution.download(gpu)?))
        }
        Solver::Weighted => reweighted(Reweighted::Weighted(Weighted::default())),
        Solver::Trimmed => reweighted(Reweighted::Trimmed(Trimmed::default())),
        Solver::L1 => reweighted(Reweighted::L1(L1::default())),
        Solver::NearLight => {
            let lamps = near.ok_or(ReconstructError::NoLampPositions)?;
            let near_light = NearLight::default();
            let at = |depth: &DepthMap| -> Result<Solution, ReconstructError> {
                let stack = gpu
                    .near_light
                    .prepare(gpu, &near_light, images, lamps, mask, depth)
                    .map_err(|error| match error {
                        NearLightGpuError::Lamps(error) => refused(error),
                        NearLightGpuError::Gpu(error) => error.into(),
                    })?;
                gpu.near_light.run(gpu, &stack)?;
                Ok(stack.download(gpu)?)
            };
            let integrate = |normals: &NormalMap, mask: &Mask| {
                let depth = gpu.poisson.integrate(gpu, normals, mask, Some(&lamps.camera))?;
                Ok(distance_along_axis(&depth, &lamps.camera))
            };
            Ok(Some(near_light.alternate(lamps, mask, at, integrate)?.solution))
        }
        Solver::Auto | Solver::FourLight | Solver::SparseBayesian | Solver::LowRank => Ok(None),
    }
}

/// Integrates by a kernel; `None` where the integrator has none.
pub(super) fn integrate(
    gpu: &Gpu,
    integrator: Integrator,
    normals: &NormalMap,
    mask: &Mask,
    camera: Option<&Camera>,
) -> Result<Option<DepthMap>, GpuError> {
    match integrator {
        Integrator::Poisson => gpu.poisson.integrate(gpu, normals, mask, camera).map(Some),
        Integrator::FrankotChellappa => {
            gpu.frankot_chellappa.integrate(gpu, normals, mask).map(Some)
        }
        Integrator::PoissonDct | Integrator::Bilateral => Ok(None),
    }
}
