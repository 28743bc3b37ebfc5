//! What a person looks like beside shape: what lasts ([`Look`]) and what is of the day
//! ([`Grooming`]).
//!
//! Shares are plain estimates for a European public with a mixed minority, not taken from a
//! survey: 70 % light, 18 % moderate and 12 % dark skin with the melanin ranges of Jacques (see
//! [`super::tone`]); dark skin goes with dark hair and eyes, freckles and red hair with light skin.
//! Hair thins and greys with age: half of the men show loss at 50 (Norwood, South. Med. J. 68,
//! 1975), half of the hair is grey at 50 for half of the people (Panhard et al., Br. J. Dermatol.
//! 167, 2012: less in fact, "50-50-50" is a saying, so greying starts later here).

use super::super::draws::Draws;
use super::super::exact_math::Vector;
use super::super::labels::{FacialHair, Gender};
use serde::{Deserialize, Serialize};

/// Cut of the hair of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HairCut {
    /// Shaved or bald.
    Bare,
    /// A few mm.
    Buzz,
    /// 2–6 cm on top, shorter at the sides.
    Short,
    /// Over the ears, to the jaw.
    Medium,
    /// To the shoulders.
    Long,
    /// Long and drawn back tight.
    Tied,
}

/// What lasts of a person's looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    pub gender: Gender,
    pub age_years: f32,
    /// Share of melanin in the epidermis and of blood in the dermis.
    pub melanin: f32,
    pub blood: f32,
    /// 0 none to 1 many.
    pub freckles: f32,
    /// Unevenness of the skin's colour, about 1.
    pub mottling: f32,
    /// Redness of cheeks and nose, about 1.
    pub flush: f32,
    /// Darkness around the eyes, about 1.
    pub shadows: f32,
    /// Shine: 0 dry to 1 oily.
    pub oil: f32,
    /// Relief of pores, about 1.
    pub pores: f32,
    /// Places on the mean head (canonical x, y), radius in mm and darkness.
    pub moles: Vec<[f32; 4]>,
    /// Redness of the lips over the skin, about 1.
    pub lips: f32,
    /// Eu- and pheomelanin of the hair and the share of grey.
    pub hair: [f32; 3],
    pub iris: Vector,
    /// Height of the middle of the hair line in canonical mm, and how far it recedes at the
    /// temples (−0.3 to 1).
    pub hairline: f32,
    pub recession: f32,
    /// Share of hair lost at the crown.
    pub crown_loss: f32,
    /// 0 straight to 1 curly.
    pub curl: f32,
    pub brow_thickness: f32,
    pub brow_density: f32,
    pub brow_height: f32,
    /// How closely the beard grows, about 1, and how far up the cheeks, 0 to 1.
    pub beard_density: f32,
    pub beard_cheeks: f32,
    /// Wrinkles, 0 to 1.
    pub wrinkles: f32,
    /// Cut that the person keeps, and the side of the parting: −1, 0 or 1.
    pub cut: HairCut,
    pub parting: f32,
    /// Usual facial hair.
    pub beard: FacialHair,
    /// Wears make-up on most days, 0 to 1.
    pub makeup: f32,
    /// Seed of every texture on this person.
    pub texture: u64,
}

/// What a person looks like on one day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grooming {
    pub cut: HairCut,
    /// Length of the hair on top in mm, and its body, about 1.
    pub length_mm: f32,
    pub volume: f32,
    /// 0 combed off the forehead, 1 a full fringe.
    pub fringe: f32,
    pub facial_hair: FacialHair,
    /// Length of moustache and beard in mm.
    pub beard_mm: f32,
    /// Make-up on lips and lids, 0 to 1.
    pub makeup: f32,
    pub clothes: Clothes,
    /// Seed of the fall of the hair.
    pub seed: u64,
}

/// What shows of the clothes below the neck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clothes {
    /// Round neck, open collar with a shirt, or high neck.
    pub kind: ClothesKind,
    pub colour: Vector,
    /// Second colour of stripes or of the jacket.
    pub second: Vector,
    /// 0 plain, 1 striped.
    pub stripes: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClothesKind {
    RoundNeck,
    Shirt,
    HighNeck,
}

impl Look {
    /// A person's lasting looks.
    pub fn sample(gender: Gender, draws: &mut Draws) -> Self {
        let male = gender == Gender::Male;
        let mut uniform = |low: f32, high: f32| draws.range(f64::from(low), f64::from(high)) as f32;
        // Mostly students and staff: many young, fewer old.
        let a = uniform(0.0, 1.0);
        let age_years = 18.0 + 12.0 * uniform(0.0, 1.0) + 40.0 * a * a * a;
        let group = uniform(0.0, 1.0);
        let within = uniform(0.0, 1.0);
        let melanin = match group {
            g if g < 0.70 => 0.022 + 0.038 * within,
            g if g < 0.88 => 0.06 + 0.07 * within,
            _ => 0.13 + 0.12 * within,
        };
        let light = ((0.075 - melanin) / 0.05).clamp(0.0, 1.0);
        let blood = 0.018 + 0.022 * uniform(0.0, 1.0);
        // Eyes and hair darken with the skin; red hair and freckles go with the lightest.
        let tint = uniform(0.0, 1.0);
        let red = light > 0.3 && uniform(0.0, 1.0) < 0.05;
        let blondness = light * (0.25 + 0.75 * tint) + 0.1 * uniform(-1.0, 1.0);
        let eumelanin = match blondness {
            _ if red => 0.25 + 0.3 * uniform(0.0, 1.0),
            b if b > 0.62 => 0.25 + 0.45 * uniform(0.0, 1.0),
            b if b > 0.36 => 0.8 + 1.0 * uniform(0.0, 1.0),
            b if b > 0.16 => 1.8 + 2.0 * uniform(0.0, 1.0),
            _ => 4.0 + 4.0 * uniform(0.0, 1.0),
        };
        let pheomelanin = if red { 1.2 + 0.8 * uniform(0.0, 1.0) } else { 0.5 * uniform(0.0, 1.0) };
        let grey_start = 38.0 + 22.0 * uniform(0.0, 1.0);
        let grey = ((age_years - grey_start) / 22.0).clamp(0.0, 0.95);
        let eye = uniform(0.0, 1.0);
        let iris = match eye * (0.25 + 0.75 * light) {
            e if e > 0.55 => [0.115, 0.15, 0.19],
            e if e > 0.42 => [0.12, 0.14, 0.09],
            e if e > 0.3 => [0.13, 0.09, 0.045],
            _ => [0.06, 0.034, 0.018],
        };
        let shade = 0.8 + 0.5 * uniform(0.0, 1.0);
        let iris = iris.map(|c| c * shade);
        let ageing = ((age_years - 20.0) / 45.0).clamp(0.0, 1.0);
        // Loss sets in early for some men and never for others.
        let loss = if male { (uniform(-1.25, 0.35) + ageing).clamp(0.0, 1.0) } else { 0.0 };
        let recession =
            if male { 0.25 * uniform(-0.3, 1.0) + 0.75 * loss } else { uniform(-0.3, 0.1) };
        let hairline = 64.0 + 5.0 * uniform(-1.0, 1.0) + if male { 22.0 * loss } else { -1.0 };
        let crown_loss = (1.3 * loss - 0.4).clamp(0.0, 1.0);
        let choice = uniform(0.0, 1.0);
        let cut = match (male, choice) {
            (true, _) if loss > 0.75 && choice < 0.7 => HairCut::Bare,
            (true, c) if c < 0.03 => HairCut::Bare,
            (true, c) if c < 0.14 => HairCut::Buzz,
            (true, c) if c < 0.90 || loss > 0.3 => HairCut::Short,
            (true, c) if c < 0.97 => HairCut::Medium,
            (true, _) => HairCut::Long,
            (false, c) if c < 0.07 => HairCut::Short,
            (false, c) if c < 0.27 => HairCut::Medium,
            (false, c) if c < 0.68 => HairCut::Long,
            (false, _) => HairCut::Tied,
        };
        let beard_habit = uniform(0.0, 1.0);
        let beard = match beard_habit {
            _ if !male => FacialHair::None,
            x if x < 0.55 => FacialHair::None,
            x if x < 0.74 => FacialHair::Stubble,
            x if x < 0.83 => FacialHair::Moustache,
            x if x < 0.85 => FacialHair::Beard,
            _ => FacialHair::Both,
        };
        let side = uniform(0.0, 1.0);
        let freckles = if light > 0.4 && (red || uniform(0.0, 1.0) < 0.22) {
            uniform(0.3, 1.0)
        } else {
            0.08 * uniform(0.0, 1.0)
        };
        let spots = 3 + uniform(0.0, 9.0) as usize;
        let moles = (0..spots)
            .map(|_| {
                let size = uniform(0.0, 1.0);
                [
                    uniform(-47.0, 47.0),
                    uniform(-128.0, 48.0),
                    0.6 + 1.7 * size * size * size,
                    uniform(0.25, 0.9),
                ]
            })
            .collect();
        Self {
            gender,
            age_years,
            melanin,
            blood,
            freckles,
            mottling: uniform(0.6, 1.5),
            flush: uniform(0.4, 1.7) * if light > 0.5 { 1.1 } else { 0.9 },
            shadows: uniform(0.3, 1.4) + 0.3 * ageing,
            oil: uniform(0.1, 1.0) * (1.0 - 0.4 * ageing),
            pores: uniform(0.6, 1.4) * if male { 1.15 } else { 0.8 },
            moles,
            lips: uniform(0.6, 1.4) * if male { 0.85 } else { 1.15 },
            hair: [eumelanin, pheomelanin, grey],
            iris,
            hairline,
            recession,
            crown_loss,
            curl: if melanin > 0.13 {
                uniform(0.6, 1.0)
            } else {
                uniform(0.0, 0.7) * uniform(0.0, 1.0)
            },
            brow_thickness: uniform(0.75, 1.3) * if male { 1.15 } else { 0.8 },
            brow_density: uniform(0.65, 1.15),
            brow_height: uniform(-1.5, 1.5) + if male { -1.0 } else { 1.0 },
            beard_density: uniform(0.6, 1.25),
            beard_cheeks: uniform(0.0, 1.0),
            wrinkles: (ageing * uniform(0.7, 1.3)).clamp(0.0, 1.0),
            cut,
            parting: if side < 0.4 {
                -1.0
            } else if side < 0.7 {
                1.0
            } else {
                0.0
            },
            beard,
            makeup: if male { 0.0 } else { (uniform(-0.5, 1.0)).max(0.0) },
            texture: uniform(0.0, 1e6) as u64 * 7919 + uniform(0.0, 1e6) as u64,
        }
    }
}

/// Hair of the head grows by a centimetre or more a month (Myers & Hamilton, Ann. N.Y. Acad. Sci. 53, 1951).
const MM_PER_WEEK: f32 = 2.6;

impl Grooming {
    /// One day of a person: hair a little longer or shorter, shaved or not, other clothes.
    /// `years` since the first day of the set: hair grows and is cut at intervals.
    /// `facial_hair`: what the label of the day says; None lets the person's habit decide (some
    /// days a man shaves and some he does not; full beards stay).
    pub fn sample(
        look: &Look,
        facial_hair: Option<FacialHair>,
        years: f64,
        draws: &mut Draws,
    ) -> Self {
        let mut uniform = |low: f32, high: f32| draws.range(f64::from(low), f64::from(high)) as f32;
        let lapse = uniform(0.0, 1.0) < 0.2;
        let habit = match (look.gender, look.beard, lapse) {
            (Gender::Female, ..) => FacialHair::None,
            (_, FacialHair::None, true) => FacialHair::Stubble,
            (_, FacialHair::Stubble, true) => FacialHair::None,
            (_, usual, _) => usual,
        };
        let facial_hair = facial_hair.unwrap_or(habit);
        // Long hair is tied on some days and worn open on others.
        let switch = uniform(0.0, 1.0);
        let cut = match look.cut {
            HairCut::Tied if switch < 0.3 => HairCut::Long,
            HairCut::Long if switch < 0.2 && look.gender == Gender::Female => HairCut::Tied,
            cut => cut,
        };
        // Shortest length after a cut, how much longer the longest-haired has it, weeks between cuts.
        let (shortest_mm, spread_mm, weeks) = match cut {
            HairCut::Bare => (0.4, 0.0, 0.0),
            HairCut::Buzz => (3.0, 3.0, 1.5),
            HairCut::Short => (18.0, 20.0, 6.0),
            HairCut::Medium => (90.0, 45.0, 9.0),
            HairCut::Long | HairCut::Tied => (200.0, 60.0, 16.0),
        };
        let (own, offset) = ((look.texture % 89) as f32 / 89.0, (look.texture % 31) as f64 / 31.0);
        let since_cut = if weeks > 0.0 { (years * 52.18 / weeks + offset).fract() } else { 0.0 };
        let grown_mm = MM_PER_WEEK * (weeks * since_cut) as f32;
        let length_mm = shortest_mm + spread_mm * own + grown_mm;
        let fringe_chance = if look.gender == Gender::Female { 0.3 } else { 0.25 };
        let keeps = (look.texture % 100) as f32 / 100.0 < fringe_chance;
        let pale = uniform(0.0, 1.0);
        let dark = uniform(0.03, 0.2);
        let tone = if pale < 0.4 { uniform(0.35, 0.75) } else { dark };
        let tint = [uniform(0.7, 1.2), uniform(0.75, 1.1), uniform(0.75, 1.25)];
        let second = uniform(0.03, 0.6);
        let kind = match uniform(0.0, 1.0) {
            k if k < 0.45 => ClothesKind::RoundNeck,
            k if k < 0.8 => ClothesKind::Shirt,
            _ => ClothesKind::HighNeck,
        };
        Self {
            cut,
            length_mm,
            volume: uniform(0.75, 1.3),
            fringe: if keeps && look.recession < 0.4 {
                uniform(0.6, 1.0)
            } else {
                uniform(0.0, 0.25)
            },
            facial_hair,
            beard_mm: match facial_hair {
                FacialHair::None => 0.0,
                FacialHair::Stubble => uniform(0.6, 2.0),
                _ => uniform(5.0, 16.0),
            },
            makeup: look.makeup * uniform(0.5, 1.0),
            clothes: Clothes {
                kind,
                colour: tint.map(|t| (t * tone).min(0.85)),
                second: [second; 3],
                stripes: f32::from(uniform(0.0, 1.0) < 0.2),
            },
            seed: uniform(0.0, 1e6) as u64,
        }
    }
}
