//! Further sessions from the same images: solved from some of the lights alone, as a face looks when
//! other lamps had burnt. What differs is what the lights are to blame for, so a network learns not
//! to look at it.

use super::{CaptureSource, MAX_CONDITION_NUMBER, Rig};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// How often a subset is drawn again that was drawn before or cannot be solved.
const TRIES: usize = 20;

impl CaptureSource {
    /// Up to `count` sessions of the same person from random subsets of the lights, three or more and
    /// never all; none of a capture of three. They share images with this one, so they are for
    /// training only. The same capture gives the same ones every time.
    pub fn relit(&self, count: usize) -> Vec<Self> {
        let lights = self.images.len();
        if lights < 4 {
            return Vec::new();
        }
        let digest = Sha256::digest(self.name());
        let seed = u64::from_le_bytes(std::array::from_fn(|i| digest[i]));
        let mut random = Pcg64::seed_from_u64(seed);
        let all: Vec<usize> = (0..lights).collect();
        let mut drawn: BTreeSet<Vec<usize>> = BTreeSet::new();
        let mut relit = Vec::new();
        for _ in 0..count * TRIES {
            if relit.len() == count {
                break;
            }
            let size = random.random_range(3..lights);
            let mut kept: Vec<usize> = all.sample(&mut random, size).copied().collect();
            kept.sort_unstable();
            let solvable = self.lights.select(&kept).condition_number() <= MAX_CONDITION_NUMBER;
            if drawn.insert(kept.clone()) && solvable {
                relit.push(self.with_lights(&kept, relit.len() + 1));
            }
        }
        relit
    }

    fn with_lights(&self, kept: &[usize], number: usize) -> Self {
        let rig = Rig {
            near: self.rig.near.as_ref().map(|near| near.select(kept)),
            colour_intensities: self
                .rig
                .colour_intensities
                .as_ref()
                .map(|all| kept.iter().map(|&light| all[light]).collect()),
            ..self.rig.clone()
        };
        Self {
            session: format!("{}.relit{number}", self.session),
            images: kept.iter().map(|&light| self.images[light].clone()).collect(),
            lights: self.lights.select(kept),
            training_only: true,
            rig,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;
    use crate::maps::Lights;

    fn source(lights: usize) -> CaptureSource {
        let direction = |i: usize| {
            let angle = i as f32 * std::f32::consts::TAU / lights as f32;
            Vec3::new(angle.cos(), angle.sin(), 1.5).normalize()
        };
        CaptureSource {
            id: "1".into(),
            session: "a".into(),
            folder: "x".into(),
            images: (0..lights).map(|i| format!("im{i}.png").into()).collect(),
            lights: Lights::directional((0..lights).map(direction).collect()),
            labels: Default::default(),
            training_only: false,
            warnings: vec![],
            rig: Rig::default(),
        }
    }

    #[test]
    fn subsets_are_different_solvable_and_the_same_every_time() {
        let relit = source(7).relit(5);
        assert_eq!(relit.len(), 5);
        let names: BTreeSet<_> = relit.iter().map(|s| s.images.clone()).collect();
        assert_eq!(names.len(), 5);
        for (session, again) in relit.iter().zip(source(7).relit(5)) {
            assert!((3..7).contains(&session.images.len()));
            assert_eq!(session.images.len(), session.lights.len());
            assert!(session.training_only && session.session.starts_with("a.relit"));
            assert_eq!(session.images, again.images);
        }
        // Each image keeps its light.
        let whole = source(7);
        for session in &relit {
            for (i, image) in session.images.iter().enumerate() {
                let at = whole.images.iter().position(|other| other == image).unwrap();
                assert_eq!(session.lights.directions[i], whole.lights.directions[at]);
            }
        }
    }

    #[test]
    fn four_lights_give_at_most_four_and_three_none() {
        assert_eq!(source(4).relit(9).len(), 4);
        assert!(source(3).relit(2).is_empty());
    }
}
