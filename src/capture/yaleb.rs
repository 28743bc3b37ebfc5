//! Extended Yale B, cropped (Georghiades et al. 2001; Lee et al. 2005): one folder a person,
//! file names such as `yaleB01_P00A+035E+40.pgm` carry the light's azimuth and elevation.
//!
//! The set has no sessions. A [`YaleBRecipe`] makes them: it deals each person's usable lights
//! out in small hands, so that two sessions of a person share no image.

use super::folders::{Listing, capture_folders};
use super::{CaptureError, CaptureSource, Inventory};
use crate::geometry::light_from_yaleb_angles;
use crate::maps::Lights;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Lights a person at P00 of the original set; fewer are reported as gaps.
const LIGHTS_PER_PERSON: usize = 64;
/// More sessions of 64 images than anyone has use for.
const MOST_SESSIONS: usize = 10_000;
/// Deals tried before a hand of lights that is well enough conditioned is given up on.
const DEALS: usize = 500;

/// How sessions are made from single-light images.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct YaleBRecipe {
    /// Images a session.
    pub lights_per_session: usize,
    /// Most sessions a person.
    pub max_sessions: usize,
    /// Lights farther than this from the camera axis to either side are left out, degrees.
    pub max_azimuth_deg: f32,
    /// Lights farther than this above or below are left out, degrees.
    pub max_elevation_deg: f32,
    /// Further sessions a person, for training only: each draws from all lights in range, so
    /// they share images with the others, and show the same face under many more lights.
    pub training_sessions: usize,
    /// A session's light matrix is at most this badly conditioned.
    pub max_condition_number: f64,
    pub seed: u64,
}

impl Default for YaleBRecipe {
    fn default() -> Self {
        Self {
            lights_per_session: 4,
            max_sessions: 16,
            max_azimuth_deg: 70.0,
            max_elevation_deg: 45.0,
            training_sessions: 0,
            max_condition_number: 10.0,
            seed: 1,
        }
    }
}

impl YaleBRecipe {
    /// What makes the recipe impossible, if anything.
    pub fn check(&self) -> Result<(), String> {
        if self.lights_per_session < 3 {
            return Err(
                "lights_per_session is below 3, the least that photometric stereo needs".into()
            );
        }
        for (name, sessions) in
            [("max_sessions", self.max_sessions), ("training_sessions", self.training_sessions)]
        {
            if sessions > MOST_SESSIONS {
                return Err(format!("{name} is {sessions}, at most {MOST_SESSIONS} are made"));
            }
        }
        if self.max_sessions == 0 {
            return Err("max_sessions is 0: there would be no capture".into());
        }
        if self.max_condition_number.is_nan() || self.max_condition_number < 1.0 {
            return Err("max_condition_number is below 1, which no light matrix reaches".into());
        }
        Ok(())
    }
}

struct LitImage {
    path: PathBuf,
    azimuth_deg: f32,
    elevation_deg: f32,
}

pub(super) fn find(root: &Path, recipe: &YaleBRecipe) -> Result<Inventory, CaptureError> {
    let (people, problems) = capture_folders(root, &|listing, _| is_capture(listing))?;
    let mut inventory = Inventory { problems, ..Inventory::default() };
    for person in people {
        let (id, person_folder) =
            (person_id(&person.listing, person.id), person.listing.folder.clone());
        let mut images = lit_images(&person.listing);
        let present = images.len();
        images.retain(|image| {
            image.azimuth_deg.abs() <= recipe.max_azimuth_deg
                && image.elevation_deg.abs() <= recipe.max_elevation_deg
        });
        let gaps = LIGHTS_PER_PERSON.saturating_sub(present);
        let hands = deal(&images, recipe, seed_for(recipe.seed, &id));
        if hands.is_empty() {
            inventory.problems.push(format!(
                "{}: no {} of the {} images in range have well-conditioned lights; widen the recipe",
                person_folder.display(),
                recipe.lights_per_session,
                images.len()
            ));
        }
        let shared = draw(&images, recipe, seed_for(recipe.seed, &format!("{id}:training")));
        let sessions = hands
            .into_iter()
            .enumerate()
            .map(|(number, hand)| (format!("s{number:02}"), false, hand))
            .chain(
                shared
                    .into_iter()
                    .enumerate()
                    .map(|(number, hand)| (format!("t{number:02}"), true, hand)),
            );
        // A fact of the person, told with the first of the sessions.
        let mut gaps = Some(gaps).filter(|&gaps| gaps > 0);
        for (session, training_only, hand) in sessions {
            let directions =
                hand.iter().map(|l| light_from_yaleb_angles(l.azimuth_deg, l.elevation_deg));
            let lights = Lights::directional(directions.collect());
            inventory.captures.push(CaptureSource {
                images: hand.into_iter().map(|l| l.path.clone()).collect(),
                training_only,
                warnings: gaps
                    .take()
                    .map(|gaps| {
                        format!("{gaps} of {LIGHTS_PER_PERSON} lights are missing for {id}")
                    })
                    .into_iter()
                    .collect(),
                ..CaptureSource::new(id.clone(), session, &person_folder, lights)
            });
        }
    }
    Ok(inventory)
}

/// The folder of a person; below a folder that wraps the set, too.
fn person_id(listing: &Listing, outer: String) -> String {
    listing.folder.file_name().map_or(outer, |name| name.to_string_lossy().into_owned())
}

pub(super) fn is_capture(listing: &Listing) -> bool {
    listing.files.iter().any(|path| parse_angles(path).is_some())
}

/// Images whose names carry a light, in order of their names; the ambient image carries none.
fn lit_images(listing: &Listing) -> Vec<LitImage> {
    let lit = |path: &PathBuf| {
        let (azimuth_deg, elevation_deg) = parse_angles(path)?;
        Some(LitImage { path: path.clone(), azimuth_deg, elevation_deg })
    };
    let mut images: Vec<LitImage> = listing.files.iter().filter_map(lit).collect();
    images.sort_by(|a, b| a.path.cmp(&b.path));
    images
}

/// The light that a file's name carries.
pub(super) fn light_in_name(path: &Path) -> Option<crate::geometry::Vec3> {
    let (azimuth_deg, elevation_deg) = parse_angles(path)?;
    Some(light_from_yaleb_angles(azimuth_deg, elevation_deg))
}

/// `..A+035E-20.pgm` → (35, −20).
fn parse_angles(path: &Path) -> Option<(f32, f32)> {
    if !path.extension()?.eq_ignore_ascii_case("pgm") {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    let (head, elevation) = stem.rsplit_once('E')?;
    let (_, azimuth) = head.rsplit_once('A')?;
    let angle = |text: &str| text.parse::<f32>().ok().filter(|deg| deg.abs() <= 360.0);
    Some((angle(azimuth)?, angle(elevation)?))
}

/// A person's own stream of random numbers, so that adding people changes no one else's deal.
fn seed_for(seed: u64, id: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{seed}:{id}"));
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// Deals images into hands of `lights_per_session` without common images, each well conditioned.
fn deal<'a>(images: &'a [LitImage], recipe: &YaleBRecipe, seed: u64) -> Vec<Vec<&'a LitImage>> {
    let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
    let mut stock: Vec<&LitImage> = images.iter().collect();
    let mut hands = Vec::new();
    while hands.len() < recipe.max_sessions && stock.len() >= recipe.lights_per_session {
        let Some(hand) = next_hand(&mut stock, recipe, &mut random) else { break };
        hands.push(hand);
        stock.drain(..recipe.lights_per_session);
    }
    hands
}

/// Draws `training_sessions` hands, each from all images.
fn draw<'a>(images: &'a [LitImage], recipe: &YaleBRecipe, seed: u64) -> Vec<Vec<&'a LitImage>> {
    let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
    let mut stock: Vec<&LitImage> = images.iter().collect();
    (0..recipe.training_sessions)
        .map_while(|_| next_hand(&mut stock, recipe, &mut random))
        .collect()
}

/// Shuffles until the first `lights_per_session` images are well conditioned and returns them in
/// order of their names; `None` where that does not come about.
fn next_hand<'a>(
    stock: &mut [&'a LitImage],
    recipe: &YaleBRecipe,
    random: &mut rand_pcg::Pcg64,
) -> Option<Vec<&'a LitImage>> {
    if stock.len() < recipe.lights_per_session {
        return None;
    }
    let dealt = (0..DEALS).any(|_| {
        stock.shuffle(random);
        let directions = stock[..recipe.lights_per_session]
            .iter()
            .map(|l| light_from_yaleb_angles(l.azimuth_deg, l.elevation_deg));
        let lights = Lights::directional(directions.collect());
        lights.condition_number() <= recipe.max_condition_number
    });
    dealt.then(|| {
        let mut hand = stock[..recipe.lights_per_session].to_vec();
        hand.sort_by(|a, b| a.path.cmp(&b.path));
        hand
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn angles_come_from_the_file_name() {
        let parse = |name: &str| parse_angles(Path::new(name));
        assert_eq!(parse("yaleB01_P00A+035E-20.pgm"), Some((35.0, -20.0)));
        assert_eq!(parse("yaleB01_P00A-005E+10.pgm"), Some((-5.0, 10.0)));
        assert_eq!(parse("yaleB01_P00_Ambient.pgm"), None);
        assert_eq!(parse("yaleB01_P00A+035E-20.txt"), None);
    }

    fn grid() -> Vec<LitImage> {
        let angles = [-60.0f32, -35.0, -10.0, 10.0, 35.0, 60.0];
        angles
            .iter()
            .flat_map(|&a| angles.iter().map(move |&e| (a, e * 0.7)))
            .map(|(azimuth_deg, elevation_deg)| LitImage {
                path: PathBuf::from(format!("A{azimuth_deg}E{elevation_deg}")),
                azimuth_deg,
                elevation_deg,
            })
            .collect()
    }

    #[test]
    fn disjoint_sessions_share_no_image_and_are_well_conditioned() {
        let images = grid();
        let recipe = YaleBRecipe { max_condition_number: 6.0, ..Default::default() };
        let hands = deal(&images, &recipe, 7);
        assert!(hands.len() >= 6, "{} hands of 36 lights", hands.len());
        let mut seen = BTreeSet::new();
        for hand in &hands {
            assert_eq!(hand.len(), 4);
            assert!(hand.iter().all(|image| seen.insert(&image.path)), "an image was dealt twice");
        }
        let again = deal(&images, &recipe, 7);
        let paths = |hands: &[Vec<&LitImage>]| {
            hands.iter().flatten().map(|image| image.path.clone()).collect::<Vec<_>>()
        };
        assert_eq!(paths(&hands), paths(&again));
        assert_ne!(paths(&hands), paths(&deal(&images, &recipe, 8)));
    }

    #[test]
    fn training_sessions_may_outnumber_the_lights() {
        let images = grid();
        let recipe = YaleBRecipe { training_sessions: 30, ..Default::default() };
        let hands = draw(&images, &recipe, 7);
        assert_eq!(hands.len(), 30);
        let distinct: BTreeSet<_> =
            hands.iter().map(|h| h.iter().map(|i| &i.path).collect::<Vec<_>>()).collect();
        assert!(distinct.len() >= 29, "{} of 30 hands differ", distinct.len());
    }
}
