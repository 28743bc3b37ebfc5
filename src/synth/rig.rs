//! The rig: where lamps and camera stand, how the head moves between frames, what the camera adds.
//!
//! | preset | what it is |
//! |---|---|
//! | [`Preset::PhotofaceTwin`] | a rig like Photoface's (Zafeiriou et al. 2011): four near lamps at zenith 15–42°, 5 ms between frames in which the head moves by some 2.8 px of 564, 18–28 DN without a lamp, 1 DN of noise, the 99th percentile at 84–146 DN |
//! | [`Preset::Ideal`] | distant lamps, Lambert's law, no shadow but the attached, no noise, parallel rays, 16 bits |
//! | [`Preset::Stress`] | worse than life: lamps of unequal strength far aside, strong drift, noise, room light, saturation |

use super::draws::Draws;
use super::exact_math::{Vector, normalise, scale, sin_cos_deg};
use super::labels::Quality;
use super::render::{Light, Options, View};
use super::sensor::Sensor;
use crate::geometry::Camera;
use crate::maps::Size;
use serde::{Deserialize, Serialize};

/// A kind of rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    PhotofaceTwin,
    Ideal,
    Stress,
}

impl Preset {
    pub const NAMES: [(&str, Preset); 3] = [
        ("photoface_twin", Preset::PhotofaceTwin),
        ("ideal", Preset::Ideal),
        ("stress", Preset::Stress),
    ];

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, preset)| *preset == self).map_or("", |(name, _)| name)
    }
}

/// What the camera must see at the distance of the head, mm: the head with a margin for the drift,
/// as large as in Photoface's pictures.
const SEEN_MM: [f64; 2] = [268.0, 262.0];
/// The eyes stand this share of the height below its upper end.
const EYES_FROM_TOP: f64 = 0.44;

/// What a preset draws from: each pair is a range.
struct Ranges {
    zenith_deg: [f64; 2],
    /// Of one lamp about the session's common zenith, and of its azimuth about the diagonal.
    zenith_jitter_deg: f64,
    azimuth_jitter_deg: f64,
    /// Of lamps from the head; `None` for distant ones.
    lamp_mm: Option<[f64; 2]>,
    lamp_radius_mm: f64,
    /// Relative spread of the lamps' strengths.
    unequal: f64,
    camera_mm: Option<[f64; 2]>,
    /// Mean shift of the head between frames, pixels of a picture 564 wide.
    drift_px: f64,
    /// DN of the 99th percentile of the brightest frame, and without a lamp.
    bright_dn: [f64; 2],
    offset_dn: [f64; 2],
    vignetting: [f64; 2],
    blur_px: [f64; 2],
    electrons_per_dn: f64,
    read_noise_dn: [f64; 2],
}

impl Preset {
    fn ranges(self) -> Ranges {
        match self {
            Self::PhotofaceTwin => Ranges {
                zenith_deg: [19.0, 37.0],
                zenith_jitter_deg: 4.0,
                azimuth_jitter_deg: 10.0,
                lamp_mm: Some([700.0, 1000.0]),
                lamp_radius_mm: 12.0,
                unequal: 0.06,
                camera_mm: Some([1300.0, 1700.0]),
                drift_px: 2.8,
                bright_dn: [84.0, 146.0],
                offset_dn: [18.0, 28.0],
                vignetting: [0.02, 0.10],
                blur_px: [0.35, 0.6],
                electrons_per_dn: 160.0,
                read_noise_dn: [0.6, 0.9],
            },
            Self::Ideal => Ranges {
                zenith_deg: [28.0, 32.0],
                zenith_jitter_deg: 3.0,
                azimuth_jitter_deg: 5.0,
                lamp_mm: None,
                lamp_radius_mm: 0.0,
                unequal: 0.0,
                camera_mm: None,
                drift_px: 0.0,
                bright_dn: [200.0, 200.0],
                offset_dn: [0.0, 0.0],
                vignetting: [0.0, 0.0],
                blur_px: [0.0, 0.0],
                electrons_per_dn: 0.0,
                read_noise_dn: [0.0, 0.0],
            },
            Self::Stress => Ranges {
                zenith_deg: [25.0, 60.0],
                zenith_jitter_deg: 12.0,
                azimuth_jitter_deg: 25.0,
                lamp_mm: Some([350.0, 700.0]),
                lamp_radius_mm: 25.0,
                unequal: 0.35,
                camera_mm: Some([700.0, 1200.0]),
                drift_px: 6.0,
                bright_dn: [60.0, 290.0],
                offset_dn: [10.0, 60.0],
                vignetting: [0.1, 0.4],
                blur_px: [0.6, 1.6],
                electrons_per_dn: 12.0,
                read_noise_dn: [1.5, 4.0],
            },
        }
    }

    /// How the images are traced.
    pub fn options(self) -> Options {
        match self {
            Self::Ideal => Options::ideal(),
            Self::PhotofaceTwin | Self::Stress => Options::default(),
        }
    }
}

/// What is asked of a rig.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RigPlan {
    pub preset: Preset,
    /// One image each.
    pub lamps: usize,
    /// Common angle of the lamps from the camera's axis in place of the preset's range.
    pub zenith_deg: Option<f64>,
    pub size: Size,
    /// Whether light reaches the face by way of the face.
    pub inter_reflection: bool,
}

/// Size of a pixel at the distance of the head: the head fills the picture.
pub fn mm_per_px(size: Size) -> f64 {
    (SEEN_MM[0] / size.width.max(1) as f64).max(SEEN_MM[1] / size.height.max(1) as f64)
}

/// A rig as it stands in one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rig {
    /// One for each frame, in their order; camera frame, mm.
    pub lamps: Vec<Light>,
    pub view: View,
    /// Where the origin of the head stands in the camera frame before it moves, mm.
    pub head_mm: [f32; 3],
    /// Shift of the head from each frame to the next, mm of the camera frame.
    pub drift_mm: [f32; 3],
    pub sensor: Sensor,
    /// DN that the 99th percentile of the brightest frame is exposed for, offset included.
    pub bright_dn: f32,
    pub options: Options,
}

impl Rig {
    /// The rig of a session.
    pub fn sample(plan: &RigPlan, quality: Quality, draws: &mut Draws) -> Self {
        let RigPlan { preset, lamps, size, .. } = *plan;
        let mut ranges = preset.ranges();
        if let Some(zenith) = plan.zenith_deg {
            ranges.zenith_deg = [zenith; 2];
        }
        let among = |draws: &mut Draws, [low, high]: [f64; 2]| draws.range(low, high);
        let camera_mm = ranges.camera_mm.map(|range| among(draws, range));
        let mm_per_px = mm_per_px(size) * draws.range(0.96, 1.04);
        let centre_px = [size.width as f64, size.height as f64].map(|side| (side - 1.0) / 2.0);
        let view = match camera_mm {
            None => View::Orthographic { mm_per_px, centre_px },
            Some(distance) => {
                let focal = distance / mm_per_px;
                View::Perspective(Camera { focal_px: [focal; 2], centre_px })
            }
        };
        let up = (0.5 - EYES_FROM_TOP) * size.height as f64 * mm_per_px;
        let stray = |draws: &mut Draws| 7.0 * draws.normal();
        let head = [stray(draws), up + stray(draws), -camera_mm.unwrap_or(0.0)];
        let head_mm = head.map(|v| v as f32);
        let drift_mm = if ranges.drift_px > 0.0 {
            // The speed of a walk varies little, its direction across the picture much.
            let speed = ranges.drift_px / 564.0
                * size.width as f64
                * mm_per_px
                * (1.0 + 0.2 * draws.normal());
            let (sin, cos) = sin_cos_deg(draws.range(0.0, 360.0));
            [speed * cos, speed * sin, 1.5 * speed * draws.range(0.0, 1.0)].map(|v| v as f32)
        } else {
            [0.0; 3]
        };
        let lamps = angles_deg(lamps, &ranges, draws)
            .into_iter()
            .map(|angles| lamp(angles, &ranges, head_mm, draws))
            .collect();
        let mut sensor = Sensor {
            exposure_dn: f32::NAN,
            offset_dn: among(draws, ranges.offset_dn) as f32,
            vignetting: among(draws, ranges.vignetting) as f32,
            blur_px: among(draws, ranges.blur_px) as f32,
            electrons_per_dn: ranges.electrons_per_dn as f32,
            read_noise_dn: among(draws, ranges.read_noise_dn) as f32,
            sixteen_bit: preset == Preset::Ideal,
        };
        let mut bright_dn = among(draws, ranges.bright_dn) as f32;
        match quality {
            Quality::Ok => {}
            // Out of focus by as much as is seen at once.
            Quality::Blur => {
                sensor.blur_px += size.width as f32 / 564.0 * draws.range(1.8, 4.0) as f32
            }
            Quality::Dark => {
                let lit = bright_dn - sensor.offset_dn;
                bright_dn = sensor.offset_dn + lit * draws.range(0.2, 0.35) as f32;
            }
        }
        let mut options = preset.options();
        if plan.inter_reflection {
            options = options.with_inter_reflection();
        }
        Self { lamps, view, head_mm, drift_mm, sensor, bright_dn, options }
    }

    /// Zenith and azimuth of each lamp as seen from the head, degrees, in Photoface's convention
    /// (zenith from the camera's axis, azimuth clockwise from up): what its light file says.
    pub fn light_angles_deg(&self) -> Vec<[f64; 2]> {
        self.lamps
            .iter()
            .map(|lamp| {
                let direction = match *lamp {
                    Light::Distant { direction, .. } => direction,
                    Light::Near { position_mm, .. } => {
                        [0, 1, 2].map(|axis| position_mm[axis] - self.head_mm[axis])
                    }
                };
                let [x, y, z] = normalise(direction).map(f64::from);
                let azimuth = x.atan2(y).to_degrees().rem_euclid(360.0);
                [x.hypot(y).atan2(z).to_degrees(), azimuth]
            })
            .collect()
    }
}

/// Zenith and azimuth of each lamp. Four stand as Photoface's do: lower right, upper right, upper
/// left, lower left. Any other number goes round in the same direction, from nine on in two rings.
fn angles_deg(lamps: usize, ranges: &Ranges, draws: &mut Draws) -> Vec<[f64; 2]> {
    let [low, high] = ranges.zenith_deg;
    let common = draws.range(low, high);
    let inner = if lamps > 8 { lamps / 3 } else { 0 };
    (0..lamps)
        .map(|lamp| {
            let (place, ring, share) = if lamp < lamps - inner {
                (lamp, lamps - inner, 1.0)
            } else {
                (lamp - (lamps - inner), inner, 0.5)
            };
            let azimuth = 135.0 - 360.0 * place as f64 / ring as f64;
            let jitter = |draws: &mut Draws, most: f64| draws.range(-most, most);
            [
                share * (common + jitter(draws, ranges.zenith_jitter_deg)),
                azimuth + jitter(draws, ranges.azimuth_jitter_deg),
            ]
        })
        .collect()
}

fn lamp(angles: [f64; 2], ranges: &Ranges, head_mm: [f32; 3], draws: &mut Draws) -> Light {
    let ((sz, cz), (sa, ca)) = (sin_cos_deg(angles[0]), sin_cos_deg(angles[1]));
    let direction: Vector = [sz * sa, sz * ca, cz].map(|v| v as f32);
    let intensity = (1.0 + ranges.unequal * draws.normal()).clamp(0.3, 2.0) as f32;
    match ranges.lamp_mm {
        None => Light::distant(direction, intensity),
        Some([low, high]) => {
            let distance = draws.range(low, high) as f32;
            let toward = scale(direction, distance);
            Light::Near {
                position_mm: [0, 1, 2].map(|axis| head_mm[axis] + toward[axis]),
                intensity,
                reference_mm: distance,
                axis: scale(direction, -1.0),
                exponent: 1.0,
                radius_mm: ranges.lamp_radius_mm as f32,
            }
        }
    }
}
