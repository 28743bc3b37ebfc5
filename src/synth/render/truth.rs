//! What is there at the pixel centres.

use rayon::prelude::*;

use super::frame::{Frame, Job, Lit};
use super::packet::{LANES, Rays, transmitted};
use super::sight::{Candidates, Grid, SIDE};
use super::view::{HeadPose, RayParams, View};
use super::{LUMINANCE, Options, Scene};
use crate::maps::{AlbedoMap, DepthMap, Mask, NormalMap, Plane, Size};
use crate::synth::exact_math::{Vector, dot, sub};

/// Truth of one pose under the lights of a rig. Float maps hold NaN off the mask. Lenses are seen
/// through: behind them is the truth of what they cover.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Unit shading normals, camera frame.
    pub normals: NormalMap,
    /// Red, green, blue.
    pub albedo_rgb: [AlbedoMap; 3],
    /// Luminance (Rec. 709) of the albedo.
    pub albedo: AlbedoMap,
    /// Toward the camera, mm: z of the camera frame, so that it is negative before a pinhole.
    pub depth_mm: Plane<f32>,
    /// The same in pixels, as `lumiface integrate` gives it: `z / s` under parallel rays, s in mm a
    /// pixel, less its mean over the mask; under a pinhole `f (1 − Z/Z̄)`, Z the distance along the
    /// optical axis, Z̄ its mean.
    pub depth: DepthMap,
    /// True where there is anything but background.
    pub mask: Mask,
    /// [`crate::synth::surface::Part`] as a number; 255 off the mask.
    pub part: Plane<u8>,
    /// True where a lens is before it.
    pub behind_lens: Mask,
    /// One for each light.
    pub lights: Vec<LightTruth>,
}

/// What one light does at the pixel centres. Masks are false and shares NaN off the mask.
#[derive(Clone, Debug, PartialEq)]
pub struct LightTruth {
    /// The surface turns away: n·l ≤ 0.
    pub attached_shadow: Mask,
    /// The surface faces the light and less than half of the light's middle comes through; found
    /// whether or not the options let these shadows into the images.
    pub cast_shadow: Mask,
    /// Share of the light that reaches the camera by mirror-like reflection, of skin and lenses;
    /// 0 where none reaches it at all.
    pub specular_share: Plane<f32>,
}

/// A point of the face in the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landmark {
    pub column: f64,
    pub row: f64,
    /// Toward the camera, mm.
    pub depth_mm: f32,
    /// Whether nothing but lenses stands more than a millimetre before it.
    pub visible: bool,
}

/// Truth of one pixel, in the camera frame.
#[derive(Clone, Copy)]
pub(crate) struct Pixel {
    pub normal: Vector,
    pub albedo: Vector,
    pub depth_mm: f32,
    /// 255 off the mask.
    pub part: u8,
    pub behind_lens: bool,
}

impl Pixel {
    pub const BACKGROUND: Self = Self {
        normal: [f32::NAN; 3],
        albedo: [f32::NAN; 3],
        depth_mm: f32::NAN,
        part: 255,
        behind_lens: false,
    };
}

/// Truth of one pixel under one light.
#[derive(Clone, Copy)]
pub(crate) struct OfLight {
    pub attached: bool,
    pub cast: bool,
    pub specular_share: f32,
}

impl OfLight {
    pub const BACKGROUND: Self = Self { attached: false, cast: false, specular_share: f32::NAN };
}

/// Finds the truth of one frame; every light of the frame is judged for itself.
pub fn truth(scene: &Scene, view: &View, size: Size, frame: &Frame, options: &Options) -> Truth {
    let options = Options { samples_per_side: 1, light_samples: 1, ..*options };
    let job = Job::new(scene, view, frame, &options);
    // Shadows are found even where the images have none.
    let shadows = Job::new(scene, view, frame, &Options { cast_shadows: true, ..options });
    let count = frame.lights.len();
    let grid = Grid { size, n: 1 };
    let candidates = Candidates::new(scene, &job.rays, &grid);
    let [across, down] = grid.packets();
    // A row of packets is a band of rows; each gives its pixels, and its lights pixel by pixel.
    let bands: Vec<(Vec<Pixel>, Vec<OfLight>)> = (0..down)
        .into_par_iter()
        .map(|band| {
            let first = band * SIDE * size.width;
            let own = (SIDE * size.width).min(size.area() - first);
            let mut pixels = vec![Pixel::BACKGROUND; own];
            let mut lights = vec![OfLight::BACKGROUND; count * own];
            for column in 0..across {
                let spots = grid.spots([column, band]);
                let seen = job.see(&spots, candidates.of([column, band]));
                let at = |lane: usize| spots[lane].pixel.map(|pixel| pixel - first);
                for lane in 0..LANES {
                    let (Some(surfel), Some(pixel)) = (&seen.surfels[lane], at(lane)) else {
                        continue;
                    };
                    pixels[pixel] = Pixel {
                        normal: frame.pose.turn(surfel.normal),
                        albedo: surfel.albedo,
                        depth_mm: job.rays.depth_mm(surfel.place),
                        part: surfel.part as u8,
                        behind_lens: false,
                    };
                }
                for (lane, ..) in &seen.lenses {
                    if let Some(pixel) = at(*lane) {
                        pixels[pixel].behind_lens = pixels[pixel].part != 255;
                    }
                }
                for (index, light) in shadows.lights.iter().enumerate() {
                    let lit = shadows.light(light, &seen.surfels, &[0; LANES]);
                    let mut glint = [0.0; LANES];
                    if options.specular {
                        for (lane, value) in shadows.glints(light, &seen, &[0; LANES]) {
                            glint[lane] += dot(value, LUMINANCE);
                        }
                    }
                    for lane in 0..LANES {
                        let (true, Some(pixel)) = (seen.surfels[lane].is_some(), at(lane)) else {
                            continue;
                        };
                        let Lit { cosine, visible, matte, shine } = lit[lane];
                        let through = dot(seen.passed[lane], LUMINANCE);
                        let open = if options.cast_shadows { visible } else { 1.0 };
                        let matte = through * open * dot(matte, LUMINANCE);
                        let shine = through * open * shine + glint[lane];
                        let whole = matte + shine;
                        lights[index * own + pixel] = OfLight {
                            attached: cosine <= 0.0,
                            cast: cosine > 0.0 && visible < 0.5,
                            specular_share: if whole > 0.0 { shine / whole } else { 0.0 },
                        };
                    }
                }
            }
            (pixels, lights)
        })
        .collect();
    let pixels: Vec<Pixel> = bands.iter().flat_map(|(pixels, _)| pixels.iter().copied()).collect();
    let lights: Vec<Vec<OfLight>> = (0..count)
        .map(|index| {
            let own = |(pixels, lights): &(Vec<Pixel>, Vec<OfLight>)| {
                lights[index * pixels.len()..(index + 1) * pixels.len()].to_vec()
            };
            bands.iter().flat_map(own).collect()
        })
        .collect();
    Truth::from_pixels(size, view, &pixels, &lights)
}

impl Truth {
    /// Maps from pixels, row-major; `lights` holds an image for each light.
    pub(crate) fn from_pixels(
        size: Size,
        view: &View,
        pixels: &[Pixel],
        lights: &[Vec<OfLight>],
    ) -> Self {
        let depth_mm = plane(size, pixels, |p| p.depth_mm);
        let normals = [0, 1, 2].map(|c: usize| plane(size, pixels, |p| p.normal[c]).data).concat();
        Self {
            normals: NormalMap::new(size, normals),
            albedo_rgb: [0, 1, 2].map(|c: usize| plane(size, pixels, |p| p.albedo[c])),
            albedo: plane(size, pixels, |p| dot(p.albedo, LUMINANCE)),
            depth: in_pixels(view, &depth_mm),
            depth_mm,
            mask: plane(size, pixels, |p| p.part != 255),
            part: plane(size, pixels, |p| p.part),
            behind_lens: plane(size, pixels, |p| p.behind_lens),
            lights: lights
                .iter()
                .map(|own| LightTruth {
                    attached_shadow: plane(size, own, |l| l.attached),
                    cast_shadow: plane(size, own, |l| l.cast),
                    specular_share: plane(size, own, |l| l.specular_share),
                })
                .collect(),
        }
    }
}

fn plane<P, T>(size: Size, pixels: &[P], value: impl Fn(&P) -> T) -> Plane<T> {
    Plane::new(size, pixels.iter().map(value).collect())
}

/// Depth in pixels, see [`Truth::depth`].
fn in_pixels(view: &View, depth_mm: &Plane<f32>) -> DepthMap {
    let known = || depth_mm.data.iter().filter(|z| !z.is_nan()).map(|&z| f64::from(z));
    let mean = known().sum::<f64>() / known().count().max(1) as f64;
    let value = |&z: &f32| match view {
        View::Orthographic { mm_per_px, .. } => ((f64::from(z) - mean) / mm_per_px) as f32,
        View::Perspective(camera) => (camera.focal_px[0] * (1.0 - f64::from(z) / mean)) as f32,
    };
    Plane::new(depth_mm.size, depth_mm.data.iter().map(value).collect())
}

/// Projects points of the head frame and tells which of them are seen.
pub fn landmarks(scene: &Scene, view: &View, pose: &HeadPose, points: &[Vector]) -> Vec<Landmark> {
    let params = RayParams::new(view, pose, scene.bounds);
    let mut found = Vec::with_capacity(points.len());
    for group in points.chunks(LANES) {
        let mut rays = Rays::none();
        let projected: Vec<[f64; 2]> = group.iter().map(|&p| view.project(pose.place(p))).collect();
        for (lane, (&point, &[column, row])) in group.iter().zip(&projected).enumerate() {
            if column.is_finite() && row.is_finite() {
                let (origin, direction) = params.ray(column as f32, row as f32);
                let distance = dot(sub(point, origin), direction);
                rays.set(lane, origin, direction, 0.0, distance - 1.0);
            }
        }
        let mut share = [0.0; LANES];
        transmitted(scene, &rays, &mut share);
        found.extend(group.iter().zip(projected).enumerate().map(
            |(lane, (&point, [column, row]))| Landmark {
                column,
                row,
                depth_mm: params.depth_mm(point),
                visible: column.is_finite() && share[lane] > 0.0,
            },
        ));
    }
    found
}
