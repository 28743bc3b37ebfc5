//! From a capture to its maps, on the CPU or a GPU: align, mask, solve, integrate.

mod integrator;
mod on_gpu;
mod solver;

pub use integrator::Integrator;
pub use solver::Solver;

use crate::capture::Capture;
use crate::geometry::Camera;
use crate::gpu::{Gpu, GpuError};
use crate::maps::{
    AlbedoMap, ConfidenceMap, DepthMap, ImageStack, Lights, Mask, NormalMap, ResidualMap,
};
use crate::register::{Registration, register};
use crate::stereo::{
    LAMP_DISTANCE_ROUNDS, LeastSquares, Offset, SolverError, albedo_per_channel, as_if_distant,
    confidence, estimate_offset, estimate_offsets, foreground_mask,
};
use solver::Problem;
use std::borrow::Cow;

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

/// How maps are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct ReconstructOptions {
    pub solver: Solver,
    pub integrator: Integrator,
    /// Leave the images where they are.
    pub keep_drift: bool,
    /// Distance of the lamps from the subject in widths of the picture there, > 0, for captures that
    /// tell only their directions; `None` takes them for distant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lamp_distance: Option<f32>,
}

/// The maps of one capture, all of one size, NaN off the mask, and how they were made.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    pub normals: NormalMap,
    pub albedo: AlbedoMap,
    /// Albedo of the colour channels R, G, B, where the images have colour.
    pub albedo_rgb: Option<[AlbedoMap; 3]>,
    /// Toward the camera, pixels, mean zero over the mask.
    pub depth: DepthMap,
    pub mask: Mask,
    pub residual: ResidualMap,
    pub confidence: ConfidenceMap,
    /// The images that were solved: less the offset, registered, the lamps' nearness undone.
    pub images: ImageStack,
    /// Light under all frames that was taken off.
    pub offset: Option<Offset>,
    pub registration: Option<Registration>,
    /// Distance of the lamps that was undone, widths of the picture.
    pub lamp_distance: Option<f32>,
    /// The solver that did the work, never `auto`, and why `auto` chose it.
    pub solver: Solver,
    pub because: Option<String>,
}

/// Why a capture that loaded could not be solved.
#[derive(Debug, thiserror::Error)]
pub enum ReconstructError {
    #[error("no pixel is lit well enough to be part of the subject; retake the capture")]
    NothingLit,
    #[error(
        "no pixel could be solved: the values are too small or not numbers; export the images again"
    )]
    NothingSolved,
    #[error("{solver}: {error}")]
    Solver { solver: Solver, error: SolverError },
    #[error(
        "least-squares-ambient looks for light that is alike in all images, which undoing the lamps' \
         distance would end; choose another solver, or leave --lamp-distance out"
    )]
    AmbientOfNearLamps,
    #[error("near-light needs lamp positions and a camera; give them in capture.toml")]
    NoLampPositions,
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Solves and integrates one capture.
///
/// An offset under all frames is taken off where the solver has no unknown for it, and frames that
/// drifted are registered. What a solver or integrator has no kernel for runs on the CPU.
///
/// # Errors
/// Lights that the solver cannot work with, images without a lit subject, or a GPU that fails.
///
/// # Panics
/// If there is not one light per image.
pub fn reconstruct(
    capture: &Capture,
    options: &ReconstructOptions,
    compute: &Compute,
) -> Result<Reconstruction, ReconstructError> {
    assert_eq!(capture.images.count, capture.lights.len(), "one light per image");
    let mask = match &capture.mask {
        Some(mask) => mask.clone(),
        None => foreground_mask(&capture.images),
    };
    if mask.count() == 0 {
        return Err(ReconstructError::NothingLit);
    }
    let Prepared { mut images, mut colour, mask, offset, registration } =
        prepare(capture, mask, options);
    // Near-light knows more of its lamps.
    let knows_positions = match options.solver {
        Solver::NearLight => true,
        Solver::Auto => capture.near.is_some(),
        _ => false,
    };
    let lamp_distance = options.lamp_distance.filter(|_| !knows_positions);
    if let Some(distance) = lamp_distance {
        let lights = &capture.lights;
        let normals = normals_near_lamps(&images, lights, &mask, distance, options.solver)?;
        let undo = |images: &ImageStack| as_if_distant(images, lights, &normals, &mask, distance);
        images = Cow::Owned(undo(&images));
        colour = colour.map(|channels| Cow::Owned(channels.each_ref().map(undo)));
    }
    let problem = Problem {
        images: &images,
        lights: &capture.lights,
        near: capture.near.as_ref(),
        mask: &mask,
    };
    let (solver, because) = options.solver.resolve(&problem);
    let solution = match compute {
        Compute::Cpu => None,
        Compute::Gpu(gpu) => on_gpu::solve(gpu, solver, &problem)?,
    };
    let solution = match solution {
        Some(solution) => solution,
        None => solver.solve(&problem)?,
    };
    let confidence = confidence(&solution).masked(&mask);
    let normals = solution.surface.normals.masked(&mask);
    if normals.z().iter().all(|z| z.is_nan()) {
        return Err(ReconstructError::NothingSolved);
    }
    let depth = integrate(&normals, &mask, capture.camera.as_ref(), options.integrator, compute)?;
    let albedo_rgb = colour.map(|channels| {
        let albedo = albedo_per_channel(&channels, &capture.lights, &normals);
        albedo.map(|plane| plane.masked(&mask))
    });
    Ok(Reconstruction {
        normals,
        albedo: solution.surface.albedo.masked(&mask),
        albedo_rgb,
        depth,
        residual: solution.surface.residual.masked(&mask),
        confidence,
        mask,
        images: images.into_owned(),
        offset,
        registration,
        lamp_distance,
        solver,
        because,
    })
}

/// Normals by least squares on images whose lamps stand near, good enough to undo it.
fn normals_near_lamps(
    images: &ImageStack,
    lights: &Lights,
    mask: &Mask,
    distance: f32,
    solver: Solver,
) -> Result<NormalMap, ReconstructError> {
    if solver.knows_ambient() {
        return Err(ReconstructError::AmbientOfNearLamps);
    }
    let least_squares = LeastSquares::new(lights)
        .ok_or(ReconstructError::Solver { solver, error: SolverError::LightsInPlane })?;
    let mut normals = least_squares.solve(images).normals;
    for _ in 0..LAMP_DISTANCE_ROUNDS {
        let undone = as_if_distant(images, lights, &normals, mask, distance);
        normals = least_squares.solve(&undone).normals;
    }
    Ok(normals)
}

/// A capture's images as a solver takes them.
struct Prepared<'a> {
    images: Cow<'a, ImageStack>,
    colour: Option<Cow<'a, [ImageStack; 3]>>,
    mask: Mask,
    offset: Option<Offset>,
    registration: Option<Registration>,
}

fn prepare<'a>(capture: &'a Capture, mut mask: Mask, options: &ReconstructOptions) -> Prepared<'a> {
    let mut images = Cow::Borrowed(&capture.images);
    let mut colour = capture.colour.as_ref().map(Cow::Borrowed);
    let offset = match options.solver.knows_ambient() {
        true => None,
        false => estimate_offset(&images, &mask),
    };
    if let Some(offset) = offset {
        images = Cow::Owned(images.minus(offset.level));
        // Each channel has its own share of the room's light.
        colour = colour.map(|channels| {
            let offsets = estimate_offsets(channels.each_ref(), &mask);
            Cow::Owned(std::array::from_fn(|c| {
                channels[c].minus(offsets[c].map_or(0.0, |o| o.level))
            }))
        });
    }
    let registration = (!options.keep_drift)
        .then(|| register(&images, &capture.lights, Some(&mask), &Default::default()));
    if let Some(moved) = registration.as_ref().filter(|r| !r.is_still()) {
        images = Cow::Owned(moved.apply(&images));
        colour = colour.map(|channels| Cow::Owned(channels.each_ref().map(|c| moved.apply(c))));
        let seen = moved.seen_in_all(mask.size);
        mask.data.iter_mut().zip(&seen.data).for_each(|(m, &seen)| *m &= seen);
    }
    Prepared { images, colour, mask, offset, registration }
}

fn integrate(
    normals: &NormalMap,
    mask: &Mask,
    camera: Option<&Camera>,
    integrator: Integrator,
    compute: &Compute,
) -> Result<DepthMap, GpuError> {
    let camera = camera.filter(|_| integrator.knows_perspective());
    let depth = match compute {
        Compute::Cpu => None,
        Compute::Gpu(gpu) => on_gpu::integrate(gpu, integrator, normals, mask, camera)?,
    };
    Ok(match depth {
        Some(depth) => depth,
        None => integrator.integrate(normals, mask, camera, &Default::default()),
    })
}
