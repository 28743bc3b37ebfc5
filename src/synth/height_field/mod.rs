//! The plain studio: faces as height fields under distant lights, rendered in milliseconds.
//! Tests of solvers use it: near its ideal what a solver must find is known in closed form.
//!
//! A [`Person`] is a set of shape parameters and an albedo palette. A [`Scene`] is one capture of
//! that person: traits of the day (spectacles, facial hair, emotion), head pose, four lights and
//! camera noise. [`render`] turns it into the images a photometric stereo rig would take, and
//! into the normals, albedo, depth and shadows that went into them.
//!
//! The face is a height field z(x, y) under an orthographic camera, lit by distant lights:
//! `I = ρ max(n·l, 0)` plus a small specular lobe, a constant ambient level and noise. Lengths
//! on the face are in *head units*: half the height of the head from crown to chin, with the
//! origin between the eyes, x right and y up as in [`crate::geometry`]. Around the canon of the
//! drawing schools (eyes at half of the height, an eye a fifth of the width, nose base half-way
//! from the eyes to the chin, mouth a third below that) every proportion varies by person.
//!
//! Everything follows from the seeds, at any number of threads. The persons and surfaces use no
//! function of the platform's mathematics library other than the exactly rounded square root.

mod face;
mod person;
mod render;

use crate::maps::{AlbedoMap, DepthMap, ImageStack, Lights, Mask, NormalMap, Size};

use person::{Draws, mix};

pub use person::Person;
pub use render::render;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gender {
    Male,
    Female,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FacialHair {
    None,
    Stubble,
    Moustache,
    Beard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Emotion {
    BlankStare,
    Positive,
    Negative,
}

/// What a session shows, as an annotator would note it.
#[derive(Clone, Debug, PartialEq)]
pub struct Traits {
    pub gender: Gender,
    pub spectacles: bool,
    pub facial_hair: FacialHair,
    pub emotion: Emotion,
}

/// Where the head sits in the image, and how strongly the emotion shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Pose {
    /// Shift of the head right and up, as a share of the shorter image side.
    pub shift: [f32; 2],
    /// In-plane roll in degrees, counter-clockwise as the camera sees it.
    pub roll_deg: f32,
    /// Size of the head; 1 lets crown to chin take 84 % of the shorter image side.
    pub scale: f32,
    /// Strength of the emotion, about 1; 0 is a blank stare.
    pub expression: f32,
}

/// The upright, centred head.
impl Default for Pose {
    fn default() -> Self {
        Self { shift: [0.0; 2], roll_deg: 0.0, scale: 1.0, expression: 1.0 }
    }
}

/// Which effects beyond Lambert's law reach the images.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderOptions {
    /// True clamps `n·l` at zero where the surface turns away from a light. False takes such
    /// pixels out of the mask instead, so that `I = ρ n·l` holds at every pixel left.
    pub attached_shadows: bool,
    /// Whether the face blocks light on its way to other parts of the face.
    pub cast_shadows: bool,
    /// Whether skin, eyes, hair and lenses shine.
    pub specular: bool,
    /// Standard deviation of the camera noise, in steps of an 8-bit image.
    pub noise_dn: f32,
    /// Light that reaches every pixel of every image, in steps of an 8-bit image.
    pub ambient_dn: f32,
    /// 16-bit images when true, 8-bit images otherwise.
    pub sixteen_bit: bool,
}

impl RenderOptions {
    /// Pure Lambertian images: `I = ρ n·l` to within half a step of 16 bits on the whole mask.
    pub fn ideal() -> Self {
        Self {
            attached_shadows: false,
            cast_shadows: false,
            specular: false,
            noise_dn: 0.0,
            ambient_dn: 0.0,
            sixteen_bit: true,
        }
    }
}

/// An 8-bit camera in a dim room.
impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            attached_shadows: true,
            cast_shadows: true,
            specular: true,
            noise_dn: 1.0,
            ambient_dn: 1.5,
            sixteen_bit: false,
        }
    }
}

/// One capture session: all that [`render`] needs.
#[derive(Clone, Debug)]
pub struct Scene {
    pub person: Person,
    pub traits: Traits,
    pub size: Size,
    pub pose: Pose,
    /// Common factor of all albedos, about 1. The truth albedo includes it.
    pub exposure: f32,
    /// Photoface zenith and azimuth of each light, as
    /// [`crate::geometry::light_from_zenith_azimuth`] takes them.
    pub light_angles_deg: Vec<[f32; 2]>,
    pub noise_seed: u64,
    pub options: RenderOptions,
}

/// Azimuths of the four lights, clockwise from up: lower right, upper right, upper left, lower
/// left.
const LIGHT_AZIMUTHS_DEG: [f64; 4] = [135.0, 45.0, 315.0, 225.0];

impl Scene {
    /// Session number `session` of a person, as a walk-through rig would catch it.
    ///
    /// The lights come in the order lower right, upper right, upper left, lower left, with
    /// zenith 20–35° and azimuth within 10° of the diagonal. Pose, exposure and emotion change
    /// by session; spectacles and facial hair mostly stay as the person wears them.
    pub fn sample(person_seed: u64, session: u32, size: Size) -> Self {
        let person = Person::sample(person_seed);
        let session_seed = mix(person_seed ^ mix(0x5e55 + u64::from(session)));
        let mut draws = Draws::new(session_seed);
        let zenith = draws.range(23.0, 32.0);
        let light_angles_deg = LIGHT_AZIMUTHS_DEG
            .map(|azimuth| {
                let zenith = zenith + draws.range(-3.0, 3.0);
                [zenith as f32, (azimuth + draws.range(-10.0, 10.0)) as f32]
            })
            .to_vec();
        let pose = Pose {
            shift: [draws.range(-0.015, 0.015) as f32, draws.range(-0.015, 0.015) as f32],
            roll_deg: draws.range(-3.0, 3.0) as f32,
            scale: draws.range(0.97, 1.03) as f32,
            expression: draws.range(0.75, 1.15) as f32,
        };
        let exposure = draws.range(0.92, 1.06) as f32;
        let ambient_dn = draws.range(1.0, 2.0) as f32;
        let traits = person.traits_of_the_day(&mut draws);
        Self {
            person,
            traits,
            size,
            pose,
            exposure,
            light_angles_deg,
            noise_seed: mix(session_seed),
            options: RenderOptions { ambient_dn, ..RenderOptions::default() },
        }
    }
}

/// The images of a scene, the lights they were taken under, and what is true of them.
#[derive(Clone, Debug)]
pub struct Rendering {
    pub images: ImageStack,
    pub lights: Lights,
    pub truth: Truth,
}

/// What went into the images. Float maps hold NaN off the mask.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Unit normals of the continuous surface at the pixel centres.
    pub normals: NormalMap,
    /// ρ as a share of full scale under a unit light, exposure included.
    pub albedo: AlbedoMap,
    /// Depth toward the camera in pixels, mean zero over the mask.
    pub depth: DepthMap,
    /// True on head, hair, neck and clothes; false on the background.
    pub mask: Mask,
    /// Per light, true where the surface faces the light and another part of it is in the way;
    /// false off the mask. Found whether or not the options let these shadows into the images.
    pub cast_shadow: Vec<Mask>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 64, width: 64 };

    /// Root mean square difference of two depth maps in pixels over both masks, each about its
    /// own mean there.
    fn distance(a: &Truth, b: &Truth) -> f64 {
        let pixels: Vec<usize> =
            (0..SIZE.area()).filter(|&p| a.mask.data[p] && b.mask.data[p]).collect();
        let count = pixels.len() as f64;
        let difference = |&p: &usize| f64::from(a.depth.data[p] - b.depth.data[p]);
        let mean = pixels.iter().map(difference).sum::<f64>() / count;
        (pixels.iter().map(|p| (difference(p) - mean).powi(2)).sum::<f64>() / count).sqrt()
    }

    /// Mean distance between two sessions of one person, and between persons.
    fn distances(align: bool) -> (f64, f64) {
        let truths: Vec<Truth> = (0..30)
            .map(|index| {
                let mut scene = Scene::sample(index / 3, index as u32 % 3, SIZE);
                scene.pose.scale = 1.0;
                if align {
                    scene.pose = Pose { expression: scene.pose.expression, ..Pose::default() };
                }
                render(&scene).truth
            })
            .collect();
        let (mut own, mut other) = ((0.0, 0), (0.0, 0));
        for (i, a) in truths.iter().enumerate() {
            for (j, b) in truths.iter().enumerate().skip(i + 1) {
                let sum = if i / 3 == j / 3 { &mut own } else { &mut other };
                sum.0 += distance(a, b);
                sum.1 += 1;
            }
        }
        (own.0 / f64::from(own.1), other.0 / f64::from(other.1))
    }

    #[test]
    fn persons_differ_more_than_the_sessions_of_one() {
        let (own, other) = distances(true);
        assert!(other > 4.0 * own, "{other} between persons, {own} within, heads aligned");
        // A shift of the steep outline is most of the distance when they are not.
        let (own, other) = distances(false);
        assert!(other > 1.3 * own, "{other} between persons, {own} within");
    }

    #[test]
    fn sessions_of_a_person_share_the_person_and_little_else() {
        let scenes: Vec<Scene> = (0..40).map(|session| Scene::sample(9, session, SIZE)).collect();
        for (index, scene) in scenes.iter().enumerate() {
            assert_eq!(scene.person, scenes[0].person);
            assert_eq!(scene.traits.gender, scene.person.gender);
            for (&[zenith, azimuth], nominal) in
                scene.light_angles_deg.iter().zip(LIGHT_AZIMUTHS_DEG)
            {
                assert!((20.0..=35.0).contains(&zenith), "zenith {zenith}");
                assert!((f64::from(azimuth) - nominal).abs() <= 10.0, "azimuth {azimuth}");
            }
            for earlier in &scenes[..index] {
                assert_ne!(scene.pose, earlier.pose);
                assert_ne!(scene.noise_seed, earlier.noise_seed);
            }
        }
        for emotion in [Emotion::BlankStare, Emotion::Positive, Emotion::Negative] {
            assert!(scenes.iter().any(|scene| scene.traits.emotion == emotion), "{emotion:?}");
        }
    }

    #[test]
    fn the_four_lights_stand_at_the_four_diagonals() {
        let lights = render(&Scene::sample(1, 0, SIZE)).lights.directions;
        let signs = [(1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)];
        for (light, (x, y)) in lights.iter().zip(signs) {
            assert!(light.x * x > 0.1 && light.y * y > 0.1 && light.z > 0.8, "{light:?}");
        }
    }
}
