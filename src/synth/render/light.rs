//! Lights of a rig.

use super::view::HeadPose;
use crate::synth::exact_math::{
    Vector, along, cross, dot, length, normalise, pow, scale, sin_cos, sub,
};

/// A light of the camera frame.
///
/// A surface of albedo ρ that faces a light of intensity E reflects the value ρ E: distant lights
/// everywhere, near ones at their reference distance.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Light {
    /// So far that its rays are parallel.
    Distant {
        /// From the surface to the light; of any length.
        direction: [f32; 3],
        intensity: f32,
        /// Tangent of the half-angle at which its disc is seen; 0 for hard shadows.
        spread: f32,
    },
    /// A lamp: `E (d₀/d)² cosᵐ θ`, θ from its axis.
    Near {
        position_mm: [f32; 3],
        intensity: f32,
        /// d₀.
        reference_mm: f32,
        /// Direction of the lobe's axis, away from the lamp; of any length.
        axis: [f32; 3],
        /// m; 0 shines alike to all sides.
        exponent: f32,
        /// Radius of its disc, which faces what it lights; 0 for hard shadows.
        radius_mm: f32,
    },
}

impl Light {
    /// Parallel rays with hard shadows.
    pub fn distant(direction: [f32; 3], intensity: f32) -> Self {
        Self::Distant { direction, intensity, spread: 0.0 }
    }

    /// A point that shines alike to all sides.
    pub fn point(position_mm: [f32; 3], intensity: f32, reference_mm: f32) -> Self {
        let axis = position_mm.map(|x| -x);
        Self::Near { position_mm, intensity, reference_mm, axis, exponent: 0.0, radius_mm: 0.0 }
    }
}

/// A light in the head frame. Read by the kernel as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct LightRecord {
    /// Position in mm, or unit direction to the light.
    pub place: [f32; 3],
    pub near: u32,
    pub axis: [f32; 3],
    pub exponent: f32,
    /// Intensity, times the squared reference distance for near lights.
    pub strength: f32,
    /// Radius in mm or tangent of the half-angle.
    pub size: f32,
    pub padding: [u32; 2],
}

/// Light as it arrives at a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incidence {
    /// Unit direction to the light.
    pub toward: Vector,
    /// Value that a white surface facing the light reflects.
    pub strength: f32,
}

impl LightRecord {
    pub fn new(light: &Light, pose: &HeadPose) -> Self {
        match *light {
            Light::Distant { direction, intensity, spread } => Self {
                place: normalise(pose.turn_back(direction)),
                near: 0,
                axis: [0.0; 3],
                exponent: 0.0,
                strength: intensity,
                size: spread,
                padding: [0; 2],
            },
            Light::Near { position_mm, intensity, reference_mm, axis, exponent, radius_mm } => {
                Self {
                    place: pose.place_back(position_mm),
                    near: 1,
                    axis: normalise(pose.turn_back(axis)),
                    exponent,
                    strength: intensity * reference_mm * reference_mm,
                    size: radius_mm,
                    padding: [0; 2],
                }
            }
        }
    }

    pub(super) fn at(&self, point: Vector) -> Incidence {
        if self.near == 0 {
            return Incidence { toward: self.place, strength: self.strength };
        }
        let way = sub(self.place, point);
        let distance_mm = length(way);
        let toward = scale(way, 1.0 / distance_mm);
        let mut strength = self.strength / (distance_mm * distance_mm);
        if self.exponent > 0.0 {
            let cosine = (-dot(toward, self.axis)).max(0.0);
            strength *= lobe(cosine, self.exponent);
        }
        Incidence { toward, strength }
    }

    /// Direction and distance from a point to a place on the light's disc, `spot` within the unit
    /// circle.
    pub fn spot(&self, from: Vector, spot: [f32; 2]) -> (Vector, f32) {
        let (way, reach) =
            if self.near == 0 { (self.place, 1.0) } else { (sub(self.place, from), 0.0) };
        let to = if self.size > 0.0 {
            let (x, y) = sides(normalise(way));
            along(along(way, self.size * spot[0], x), self.size * spot[1], y)
        } else {
            way
        };
        let distance = length(to);
        (scale(to, 1.0 / distance), if reach == 0.0 { distance } else { 1e6 })
    }
}

/// `cosineᵐ`; for small whole m by multiplication, which is many times faster.
fn lobe(cosine: f32, exponent: f32) -> f32 {
    let whole = exponent as u32;
    if whole as f32 == exponent && whole <= 16 {
        return (0..whole).fold(1.0, |power, _| power * cosine);
    }
    pow(f64::from(cosine), f64::from(exponent)) as f32
}

/// Two unit vectors at right angles to a unit vector and each other (Duff et al. 2017).
pub(super) fn sides([x, y, z]: Vector) -> (Vector, Vector) {
    let sign = if z >= 0.0 { 1.0 } else { -1.0 };
    let a = -1.0 / (sign + z);
    let b = x * y * a;
    let first = [1.0 + sign * x * x * a, sign * b, -sign * x];
    debug_assert!(dot(cross(first, [x, y, z]), first).abs() < 1e-3);
    (first, [b, sign + y * y * a, -y])
}

/// Points spread evenly over the unit disc (Vogel 1979): one alone is its centre.
pub(crate) fn disc(count: usize) -> Vec<[f32; 2]> {
    if count == 1 {
        return vec![[0.0; 2]];
    }
    // π (3 − √5): the golden angle.
    let golden = std::f64::consts::PI * (3.0 - 5f64.sqrt());
    (0..count)
        .map(|i| {
            let radius = ((i as f64 + 0.5) / count as f64).sqrt();
            let (sin, cos) = sin_cos(i as f64 * golden);
            [(radius * cos) as f32, (radius * sin) as f32]
        })
        .collect()
}
