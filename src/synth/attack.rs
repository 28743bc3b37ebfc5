//! Attacks: what a rig sees when a picture of a face is held before it instead of a face.
//!
//! The picture is a photograph of the person under soft frontal light. Printed, it is a sheet of
//! paper, flat or bent about an upright axis; on a screen it shines by itself, alike under every
//! lamp, behind a pane that mirrors the lamps.

use super::draws::Draws;
use super::exact_math::{Vector, sin_cos};
use super::render::Radiance;
use super::surface::{Material, Part, Surface};
use crate::maps::Size;
use crate::order_statistics::quantile_of_defined;
use serde::{Deserialize, Serialize};

/// What is held before the rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackKind {
    FlatPrint,
    CurvedPrint,
    Screen,
}

impl AttackKind {
    pub const NAMES: [(&str, AttackKind); 3] = [
        ("flat_print", AttackKind::FlatPrint),
        ("curved_print", AttackKind::CurvedPrint),
        ("screen", AttackKind::Screen),
    ];

    /// The word in a label table.
    pub fn word(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

/// A picture held before the rig.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    pub kind: AttackKind,
    /// Size of the face in the picture over the face's own.
    pub scale: f32,
    /// Radius of the bend in mm; 0 for flat.
    pub radius_mm: f32,
    /// GGX roughness of the paper or pane.
    pub roughness: f32,
    /// Share of the picture's light that comes from the screen itself, over that of a lamp.
    pub glow: f32,
}

/// Half the width and height of the picture at the size of life, mm; its middle is this far below
/// the eyes.
pub(super) const HALF_SIZE_MM: [f32; 2] = [105.0, 148.0];
pub(super) const BELOW_EYES_MM: f32 = 30.0;
/// Pixels of the photograph a mm.
const PER_MM: f32 = 1.5;
/// Reflectance of paper under full ink and bare.
const INK: f32 = 0.03;
const PAPER: f32 = 0.85;

impl Attack {
    pub fn sample(kind: AttackKind, draws: &mut Draws) -> Self {
        let mut range = |low: f64, high: f64| draws.range(low, high) as f32;
        let scale = range(0.85, 1.05);
        let (radius_mm, roughness, glow) = match kind {
            AttackKind::FlatPrint => (0.0, range(0.2, 0.6), 0.0),
            AttackKind::CurvedPrint => (range(90.0, 180.0), range(0.2, 0.6), 0.0),
            AttackKind::Screen => (0.0, range(0.02, 0.12), range(0.35, 0.8)),
        };
        Self { kind, scale, radius_mm, roughness, glow }
    }

    /// Size of the photograph that [`Attack::surface`] takes.
    pub(super) fn photograph_size() -> Size {
        let [width, height] = HALF_SIZE_MM.map(|half| (2.0 * half * PER_MM) as usize);
        Size::new(height, width)
    }

    /// The sheet with the photograph on it as diffuse reflectance, mm in the head frame. With
    /// `glowing`, the picture of a screen alone, as if it were paper; else its dark pane.
    pub(super) fn surface(&self, photograph: &Radiance, glowing: bool) -> Surface {
        let Size { height, width } = photograph.size;
        let values = photograph.pixels.iter().map(|p| p[0].max(p[1]).max(p[2]));
        let brightest = quantile_of_defined(values, 0.995).unwrap_or(1.0f32).max(1e-6);
        let step = 1.0 / PER_MM * self.scale;
        let screen = self.kind == AttackKind::Screen;
        let mut surface = Surface::default();
        for row in 0..height {
            for column in 0..width {
                let x = (column as f32 - 0.5 * (width as f32 - 1.0)) * step;
                let y =
                    (0.5 * (height as f32 - 1.0) - row as f32) * step - BELOW_EYES_MM * self.scale;
                let (position, normal) = self.place(x, y);
                surface.positions.push(position);
                surface.normals.push(normal);
                let pixel = photograph.pixels[row * width + column];
                let ink = |c: usize| INK + (PAPER - INK) * (pixel[c] / brightest).clamp(0.0, 1.0);
                let albedo = match (screen, glowing) {
                    (true, false) => [0.015; 3],
                    _ => [0, 1, 2].map(ink),
                };
                surface.materials.push(Material {
                    albedo,
                    specular: 0.04,
                    roughness: self.roughness,
                    subsurface: 0.0,
                });
            }
        }
        for row in 1..height as u32 {
            for column in 1..width as u32 {
                let d = row * width as u32 + column;
                let (a, b, c) = (d - width as u32 - 1, d - width as u32, d - 1);
                surface.triangles.extend([[a, c, d], [a, d, b]]);
                surface.parts.extend([Part::Medium; 2]);
            }
        }
        surface
    }

    fn place(&self, x: f32, y: f32) -> (Vector, Vector) {
        if self.radius_mm <= 0.0 {
            return ([x, y, 0.0], [0.0, 0.0, 1.0]);
        }
        let (sin, cos) = sin_cos(f64::from(x / self.radius_mm));
        let (sin, cos) = (sin as f32, cos as f32);
        ([self.radius_mm * sin, y, self.radius_mm * (cos - 1.0)], [sin, 0.0, cos])
    }
}
