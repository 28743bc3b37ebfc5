//! Who is in front of the camera: shape, palette and habits, drawn from a seed.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::{Emotion, FacialHair, Gender, Traits};

/// Scrambles 64 bits (the finaliser of SplitMix64), so that seeds 0, 1, 2… share nothing.
pub(super) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Random numbers that come out the same on every platform.
pub(super) struct Draws(Pcg64Mcg);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::new(u128::from(mix(seed)) << 64 | u128::from(mix(!seed))))
    }

    /// Uniform from `low` to `high`.
    pub(super) fn range(&mut self, low: f64, high: f64) -> f64 {
        let share = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        low + share * (high - low)
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.range(0.0, 1.0) < probability
    }

    /// Mean 0, variance 1, within ±3.47: the sum of four uniform numbers, which is close enough
    /// to a normal one and needs no logarithm.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.0.next_u64();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
        (sum as f64 / 65535.0 - 2.0) * 3f64.sqrt()
    }
}

/// Shape of a head in head units (see [`super`]); `y` positions are negative below the eyes.
/// Fields without a length are factors of a typical face.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub head_width: f64,
    pub head_depth: f64,
    /// Widths of forehead, jaw corners and chin as shares of the head width.
    pub forehead_width: f64,
    pub jaw_width: f64,
    pub chin_width: f64,
    /// 0 is a pointed oval, 1 a square jaw.
    pub jaw_squareness: f64,
    pub chin_projection: f64,
    pub chin_cleft: f64,
    pub cheekbone: f64,
    pub cheek_fullness: f64,
    pub brow_ridge: f64,
    pub brow_height: f64,
    pub brow_arch: f64,
    pub brow_tilt: f64,
    pub eye_spacing: f64,
    pub eye_half_width: f64,
    pub eye_opening: f64,
    pub eye_tilt: f64,
    pub socket_depth: f64,
    pub lid_fold: f64,
    pub nose_base_y: f64,
    pub nose_projection: f64,
    pub nose_bridge: f64,
    pub nose_hump: f64,
    pub nose_width: f64,
    pub tip_width: f64,
    pub tip_upturn: f64,
    pub mouth_y: f64,
    pub mouth_half_width: f64,
    pub upper_lip: f64,
    pub lower_lip: f64,
    pub muzzle: f64,
    pub fold_depth: f64,
    pub ear_size: f64,
    pub neck_half_width: f64,
    pub asymmetry: f64,
}

/// Albedos as shares of full scale, and the outlines of hair and brows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Palette {
    pub skin: f64,
    pub lips: f64,
    pub hair: f64,
    pub brow: f64,
    pub iris: f64,
    pub clothes: f64,
    pub frame: f64,
    pub brow_thickness: f64,
    /// Height of the hairline over the middle of the forehead.
    pub hairline: f64,
    /// How far the hair recedes over the temples (positive) or how straight the fringe is.
    pub hairline_recession: f64,
    /// Slope of the hairline from one side to the other: a parting.
    pub parting: f64,
    pub hair_volume: f64,
    /// 0 is short hair, 1 hair to the shoulders.
    pub hair_length: f64,
    pub freckles: f64,
    /// Centre x, centre y, radius (head units) and darkness of each spot.
    pub spots: Vec<[f64; 4]>,
}

/// An identity: everything about a person that lasts from one session to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub gender: Gender,
    pub(super) shape: Shape,
    pub(super) palette: Palette,
    /// Chance that the person wears spectacles in a session.
    pub(super) spectacles_habit: f64,
    /// Half-axes of the lenses in head units, how round they are (0 square to 1 round), and
    /// half the width of the rim.
    pub(super) lens: [f64; 4],
    pub(super) facial_hair_habit: FacialHair,
    /// Seed of skin and hair texture.
    pub(super) texture: u64,
}

impl Person {
    /// The person with this number; the same on every platform.
    ///
    /// Three hidden factors (masculine, broad, fleshy) tie the proportions together, so that a
    /// heavy jaw tends to come with a heavy brow, and a wide nose with a wide mouth.
    pub fn sample(seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let gender = if draws.chance(0.5) { Gender::Male } else { Gender::Female };
        let male = gender == Gender::Male;
        let masculine = if male { 0.9 } else { -0.9 } + 0.45 * draws.normal();
        let (broad, fleshy) = (draws.normal(), draws.normal());
        let shape = Shape::sample(&mut draws, masculine, broad, fleshy);

        let dark = draws.range(0.0, 1.0);
        let skin = 0.76 - 0.40 * dark * dark + 0.03 * draws.normal();
        let fair = draws.range(0.0, 1.0) * (1.0 - dark);
        let hair = 0.05 + 0.32 * fair * fair + 0.01 * draws.range(0.0, 3.0);
        let long_hair = !male && draws.chance(0.75);
        let fringe = !male && draws.chance(0.3);
        let recession = if male { draws.range(-0.2, 1.0) } else { draws.range(-0.6, 0.2) };
        let receding = if male { 0.12 * recession.max(0.0) } else { 0.0 };
        let hairline = 0.60 + 0.04 * draws.normal() + receding;
        let spots = (0..4 + (draws.range(0.0, 6.0) as usize))
            .map(|_| {
                let (x, y) = (draws.range(-0.52, 0.52), draws.range(-0.85, 0.5));
                [x, y, draws.range(0.014, 0.032), draws.range(0.25, 0.7)]
            })
            .collect();
        let palette = Palette {
            skin,
            lips: skin * if male { draws.range(0.72, 0.88) } else { draws.range(0.45, 0.78) },
            hair,
            brow: (0.8 * hair).min(0.5 * skin),
            iris: 0.06 + 0.22 * fair + 0.05 * draws.range(0.0, 1.0),
            clothes: draws.range(0.04, 0.5),
            frame: draws.range(0.02, 0.09),
            brow_thickness: if male { 0.052 } else { 0.036 } * (1.0 + 0.2 * draws.normal()),
            hairline: if fringe { draws.range(0.34, 0.42) } else { hairline },
            hairline_recession: if fringe { -0.6 } else { recession },
            parting: 0.12 * draws.normal(),
            hair_volume: if male { draws.range(0.5, 1.2) } else { draws.range(0.9, 1.6) },
            hair_length: if long_hair { draws.range(0.75, 1.0) } else { 0.0 },
            freckles: if draws.chance(0.25) { draws.range(0.1, 0.3) * (1.0 - dark) } else { 0.0 },
            spots,
        };
        let facial_hair_habit = match draws.range(0.0, 1.0) {
            _ if !male => FacialHair::None,
            x if x < 0.50 => FacialHair::None,
            x if x < 0.70 => FacialHair::Stubble,
            x if x < 0.82 => FacialHair::Moustache,
            _ => FacialHair::Beard,
        };
        Self {
            gender,
            shape,
            palette,
            spectacles_habit: if draws.chance(0.35) { 0.85 } else { 0.04 },
            lens: [
                draws.range(0.19, 0.225),
                draws.range(0.13, 0.18),
                draws.range(0.0, 1.0),
                draws.range(0.009, 0.021),
            ],
            facial_hair_habit,
            texture: mix(seed ^ 0x7e47),
        }
    }

    /// Traits of one session: the person's habits with some variation.
    pub(super) fn traits_of_the_day(&self, draws: &mut Draws) -> Traits {
        let spectacles = draws.chance(self.spectacles_habit);
        let emotion = match draws.range(0.0, 1.0) {
            x if x < 0.5 => Emotion::BlankStare,
            x if x < 0.8 => Emotion::Positive,
            _ => Emotion::Negative,
        };
        // Some days a man shaves, some days he does not; full beards stay.
        let facial_hair = match (self.gender, self.facial_hair_habit, draws.chance(0.2)) {
            (Gender::Female, ..) => FacialHair::None,
            (_, FacialHair::None, true) => FacialHair::Stubble,
            (_, FacialHair::Stubble, true) => FacialHair::None,
            (_, habit, _) => habit,
        };
        Traits { gender: self.gender, spectacles, facial_hair, emotion }
    }
}

impl Shape {
    fn sample(draws: &mut Draws, masculine: f64, broad: f64, fleshy: f64) -> Self {
        // Mean, spread, and the loads of the three factors; the rest of the unit variance is the
        // parameter's own. Cut at ±2.3 spreads: no monsters.
        let mut draw = |mean: f64, spread: f64, loads: [f64; 3]| {
            let [m, b, f] = loads;
            let own = (1.0 - m * m - b * b - f * f).max(0.0).sqrt();
            let score = m * masculine + b * broad + f * fleshy + own * draws.normal();
            mean + spread * score.clamp(-2.3, 2.3)
        };
        let nose_base_y = draw(-0.475, 0.026, [-0.3, 0.0, 0.0]);
        Self {
            head_width: draw(0.70, 0.034, [0.1, 0.6, 0.3]),
            head_depth: draw(0.76, 0.045, [0.1, -0.3, 0.0]),
            forehead_width: draw(0.93, 0.025, [0.0, 0.2, 0.0]),
            jaw_width: draw(0.83, 0.050, [0.5, 0.2, 0.4]),
            chin_width: draw(0.56, 0.075, [0.6, 0.3, 0.2]),
            jaw_squareness: draw(0.5, 0.28, [0.7, 0.1, 0.0]),
            chin_projection: draw(1.0, 0.35, [0.5, 0.0, 0.0]),
            chin_cleft: draw(0.0, 0.6, [0.4, 0.0, 0.0]).max(0.0),
            cheekbone: draw(1.0, 0.5, [-0.1, 0.2, -0.3]),
            cheek_fullness: draw(0.0, 1.0, [-0.2, 0.0, 0.8]),
            brow_ridge: draw(1.0, 0.45, [0.75, 0.0, -0.1]),
            brow_height: draw(0.200, 0.026, [-0.6, 0.0, 0.0]),
            brow_arch: draw(0.9, 0.5, [-0.6, 0.0, 0.0]),
            brow_tilt: draw(0.05, 0.10, [0.0, 0.0, 0.0]),
            eye_spacing: draw(0.285, 0.017, [0.1, 0.5, 0.0]),
            eye_half_width: draw(0.143, 0.010, [-0.2, 0.3, 0.0]),
            eye_opening: draw(0.063, 0.011, [-0.4, 0.0, -0.1]),
            eye_tilt: draw(0.07, 0.10, [-0.2, 0.0, 0.0]),
            socket_depth: draw(1.0, 0.30, [0.3, 0.0, -0.4]),
            lid_fold: draw(1.0, 0.35, [0.0, 0.0, 0.4]),
            nose_base_y,
            nose_projection: draw(0.215, 0.026, [0.4, -0.2, 0.0]),
            nose_bridge: draw(0.085, 0.022, [0.4, -0.3, 0.0]),
            nose_hump: draw(0.004, 0.016, [0.3, 0.0, -0.1]),
            nose_width: draw(0.145, 0.018, [0.3, 0.5, 0.2]),
            tip_width: draw(1.0, 0.17, [0.2, 0.3, 0.4]),
            tip_upturn: draw(0.0, 1.0, [-0.4, 0.0, 0.2]),
            mouth_y: nose_base_y * 2.0 / 3.0 - 1.0 / 3.0 + draw(0.0, 0.016, [0.0, 0.0, 0.0]),
            mouth_half_width: draw(0.243, 0.022, [0.2, 0.5, 0.0]),
            upper_lip: draw(0.052, 0.012, [-0.4, 0.3, 0.2]),
            lower_lip: draw(0.071, 0.013, [-0.3, 0.3, 0.2]),
            muzzle: draw(1.0, 0.45, [0.0, 0.2, 0.0]),
            fold_depth: draw(0.8, 0.5, [0.3, 0.0, 0.3]).max(0.0),
            ear_size: draw(1.0, 0.15, [0.4, 0.0, 0.0]),
            neck_half_width: draw(0.44, 0.035, [0.7, 0.2, 0.4]),
            asymmetry: draw(0.0, 0.012, [0.0, 0.0, 0.0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_they_promise() {
        let mut draws = Draws::new(5);
        let values: Vec<f64> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean}, {variance}");
    }

    #[test]
    fn a_seed_is_a_person() {
        assert_eq!(Person::sample(3), Person::sample(3));
        assert_ne!(Person::sample(3).shape, Person::sample(4).shape);
        // Pinned, so that a change of the generator cannot pass unseen.
        let width = Person::sample(0).shape.head_width;
        assert!((width - 0.7455162599907662).abs() < 1e-12, "{width:?}");
    }

    #[test]
    fn only_men_have_facial_hair_and_habits_last() {
        let (mut bearded, mut women, mut kept) = (0, 0, 0);
        for seed in 0..300 {
            let person = Person::sample(seed);
            let mut draws = Draws::new(seed);
            let days: Vec<Traits> = (0..8).map(|_| person.traits_of_the_day(&mut draws)).collect();
            women += usize::from(person.gender == Gender::Female);
            for day in &days {
                assert_eq!(day.gender, person.gender);
                let shaved = day.facial_hair == FacialHair::None;
                assert!(shaved || person.gender == Gender::Male, "person {seed}");
                bearded += usize::from(day.facial_hair == FacialHair::Beard);
            }
            kept += days.windows(2).filter(|d| d[0].spectacles == d[1].spectacles).count();
        }
        assert!((110..190).contains(&women), "{women} women of 300");
        assert!(bearded > 100, "{bearded} bearded sessions");
        assert!(kept > 300 * 7 * 8 / 10, "spectacles kept {kept} times");
    }

    #[test]
    fn men_differ_from_women_on_average() {
        let mean = |gender: Gender, value: fn(&Person) -> f64| {
            let people = (0..400).map(Person::sample).filter(|person| person.gender == gender);
            let values: Vec<f64> = people.map(|person| value(&person)).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let jaw = |person: &Person| person.shape.jaw_width;
        assert!(mean(Gender::Male, jaw) > mean(Gender::Female, jaw) + 0.02);
        let lips = |person: &Person| person.shape.upper_lip + person.shape.lower_lip;
        assert!(mean(Gender::Male, lips) < mean(Gender::Female, lips) - 0.005);
    }
}
