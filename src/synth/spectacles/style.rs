//! What spectacles can look like.
//!
//! Sizes are those printed on frames by the boxing system (ISO 8624): lens width and height, and
//! the distance between lenses. Shops offer widths of 46 to 58 mm and distances of 15 to 22 mm.

use crate::synth::draws::Draws;
use crate::synth::exact_math::{Vector, pow, sin_cos};
use crate::synth::surface::Material;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Style {
    /// Round lenses in wire.
    Round,
    /// Low rectangles, full rim.
    Rectangular,
    /// Drops in wire with a double bridge.
    Aviator,
    /// A bar above, nothing below.
    HalfRim,
    /// Lenses drilled to bridge and temples.
    Rimless,
    /// A thick bar above, wire below.
    Browline,
    /// Thick plastic all round.
    Acetate,
}

impl Style {
    pub const ALL: [Self; 7] = [
        Self::Round,
        Self::Rectangular,
        Self::Aviator,
        Self::HalfRim,
        Self::Rimless,
        Self::Browline,
        Self::Acetate,
    ];
}

/// What the frame is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Stuff {
    Steel,
    Gold,
    Gunmetal,
    Black,
    Tortoise,
    Clear,
    Brown,
}

/// A pair of spectacles, before it sits on a nose.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spectacles {
    pub style: Style,
    pub stuff: Stuff,
    pub lens_width_mm: f32,
    pub lens_height_mm: f32,
    pub between_mm: f32,
    /// Share of light that the lens lets through, red, green, blue.
    pub tint: [f32; 3],
    /// Fresnel reflectance of one face: 0.043 for bare plastic of index 1.52, less with a coating.
    pub reflectance: f32,
    /// Radius of the lenses' front, mm: 530 over the base curve in dioptres.
    pub curve_mm: f32,
    /// Forward lean of the upper rim, and turn of each lens toward its temple, degrees.
    pub lean_deg: f32,
    pub wrap_deg: f32,
    /// Seed of the plastic's pattern.
    pub seed: u64,
}

impl Spectacles {
    /// Spectacles as they are worn: styles and stuffs by how common they are, clear lenses.
    pub fn sample(draws: &mut Draws) -> Self {
        let shares = [0.13, 0.27, 0.08, 0.2, 0.1, 0.07, 0.15];
        let style = Style::ALL[pick(draws, &shares)];
        Self::of_style(style, draws)
    }

    /// Spectacles of one style.
    pub fn of_style(style: Style, draws: &mut Draws) -> Self {
        let metals = [Stuff::Steel, Stuff::Gold, Stuff::Gunmetal];
        let plastics = [Stuff::Black, Stuff::Tortoise, Stuff::Brown, Stuff::Clear];
        let metal = metals[pick(draws, &[0.35, 0.2, 0.45])];
        let plastic = plastics[pick(draws, &[0.5, 0.25, 0.15, 0.1])];
        let plastic_share = match style {
            Style::Acetate | Style::Browline => 1.0,
            Style::Rectangular => 0.5,
            Style::Round => 0.3,
            Style::Aviator | Style::HalfRim | Style::Rimless => 0.0,
        };
        let stuff = if draws.chance(plastic_share) { plastic } else { metal };
        let [width, height, between] = match style {
            Style::Round => [47.0, 43.0, 21.0],
            Style::Rectangular => [52.5, 33.0, 17.5],
            Style::Aviator => [56.0, 46.0, 15.0],
            Style::HalfRim => [53.0, 32.0, 17.5],
            Style::Rimless => [52.0, 33.0, 18.0],
            Style::Browline => [49.5, 39.0, 20.5],
            Style::Acetate => [50.5, 39.0, 20.0],
        };
        let mut vary = |middle: f32, by: f64| middle * draws.range(1.0 - by, 1.0 + by) as f32;
        let [lens_width_mm, lens_height_mm, between_mm] =
            [vary(width, 0.035), vary(height, 0.07), vary(between, 0.05)];
        let curve_mm = vary(530.0 / 4.5, 0.25);
        let coated = draws.chance(0.6);
        let clear = draws.range(0.93, 0.98);
        // Lenses that darken in light, a little tinted indoors.
        let dark = if draws.chance(0.06) { draws.range(0.6, 0.85) } else { 1.0 };
        let tint = [clear * dark, clear * dark, clear * dark * draws.range(0.97, 1.0)];
        Self {
            style,
            stuff,
            lens_width_mm,
            lens_height_mm,
            between_mm,
            tint: tint.map(|t| t as f32),
            reflectance: if coated { 0.015 } else { 0.043 },
            curve_mm,
            lean_deg: draws.range(6.0, 11.0) as f32,
            wrap_deg: draws.range(3.0, 6.0) as f32,
            seed: (draws.range(0.0, 1.0) * (1u64 << 40) as f64) as u64,
        }
    }

    /// The edge of the left lens in mm about its boxed centre, counter-clockwise from the temple
    /// as the camera sees it; x toward the temple.
    pub(super) fn outline(&self, points: usize) -> Vec<[f32; 2]> {
        let (a, b) = (0.5 * f64::from(self.lens_width_mm), 0.5 * f64::from(self.lens_height_mm));
        let power = match self.style {
            Style::Round => 2.1,
            Style::Rectangular | Style::HalfRim => 4.5,
            Style::Rimless => 3.6,
            Style::Aviator => 2.6,
            Style::Browline | Style::Acetate => 3.2,
        };
        (0..points)
            .map(|k| {
                let (sin, cos) = sin_cos(k as f64 * std::f64::consts::TAU / points as f64);
                // Evenly by angle of the ellipse, so that corners get their points.
                let (x, y) = (a * cos, b * sin);
                let norm = pow(pow((x / a).abs(), power) + pow((y / b).abs(), power), 1.0 / power);
                let (x, y) = (x / norm, y / norm);
                let (s, t) = (x / a, y / b);
                let (x, y) = match self.style {
                    // The lower nasal corner is cut away, the outer one hangs.
                    Style::Aviator => {
                        let cut = (-t).max(0.0) * (-s).max(0.0);
                        (x + 0.38 * a * cut, y - 0.1 * b * (-t).max(0.0) * s)
                    }
                    // Wider above, with a lift toward the temple.
                    Style::Browline | Style::Acetate => (
                        x * (1.0 + 0.05 * t) + 0.05 * a * (-t).max(0.0) * (-s).max(0.0),
                        y + 0.06 * b * t.max(0.0) * s,
                    ),
                    Style::Rectangular | Style::HalfRim | Style::Rimless => {
                        (x + 0.06 * a * (-t).max(0.0) * (-s).max(0.0), y)
                    }
                    Style::Round => (x, y),
                };
                [x as f32, y as f32]
            })
            .collect()
    }

    pub(super) fn glass(&self) -> Material {
        Material {
            albedo: self.tint,
            specular: self.reflectance,
            roughness: 0.006,
            subsurface: 0.0,
        }
    }

    /// Reflectance of the frame at a place.
    pub(super) fn stuff_at(&self, stuff: Stuff, place: Vector) -> Material {
        let solid = |albedo: [f32; 3], specular: f32, roughness: f32| Material {
            albedo,
            specular,
            roughness,
            subsurface: 0.0,
        };
        match stuff {
            Stuff::Steel => solid([0.16, 0.16, 0.165], 0.55, 0.16),
            Stuff::Gold => solid([0.32, 0.22, 0.09], 0.5, 0.15),
            Stuff::Gunmetal => solid([0.05, 0.05, 0.055], 0.3, 0.2),
            Stuff::Black => solid([0.012; 3], 0.045, 0.06),
            Stuff::Brown => solid([0.07, 0.035, 0.02], 0.045, 0.08),
            Stuff::Clear => solid([0.5, 0.48, 0.45], 0.045, 0.06),
            Stuff::Tortoise => {
                let share = self.blotches(place);
                let mix = |dark: f32, amber: f32| dark + share * (amber - dark);
                solid([mix(0.02, 0.3), mix(0.01, 0.13), mix(0.006, 0.03)], 0.045, 0.06)
            }
        }
    }

    pub(super) fn is_metal(&self) -> bool {
        matches!(self.stuff, Stuff::Steel | Stuff::Gold | Stuff::Gunmetal)
    }

    /// 0 in the dark blotches of tortoise shell, 1 in the amber between.
    fn blotches(&self, place: Vector) -> f32 {
        let mut sum = 0.0;
        for wave in 0..5u32 {
            let angle = f64::from(wave) * 2.4 + (self.seed % 1000) as f64;
            let (sin, cos) = sin_cos(angle);
            let [x, y, z] = place.map(f64::from);
            let along = x * cos + y * sin + 0.6 * z;
            sum += sin_cos(along * (0.35 + 0.13 * f64::from(wave)) + angle * 3.0).0;
        }
        let share = (0.5 + 0.45 * sum).clamp(0.0, 1.0);
        (share * share * (3.0 - 2.0 * share)) as f32
    }
}

/// An index drawn by shares that add up to 1.
fn pick(draws: &mut Draws, shares: &[f64]) -> usize {
    let mut left = draws.range(0.0, 1.0);
    for (index, share) in shares.iter().enumerate() {
        if left < *share {
            return index;
        }
        left -= share;
    }
    shares.len() - 1
}
