//! The mean head as a solid: skull, soft tissue and the parts of the face, each a few shapes.
//!
//! Sizes are of the order that surveys of adults report, half-way between men and women, rounded
//! and not fitted: Farkas, "Anthropometry of the Head and Face" (1994); Zhuang and Bradtmiller,
//! "Head-and-face anthropometric survey of U.S. respirator users" (2005). Frame and unit as in
//! [`crate::synth::surface`]: mm, x to the person's left, y up, z forward, origin between the eyes.
//! All fields are even in x. The lips stand a little apart here, so that the mesh has two; the
//! mean face closes them (see [`super::motion`]).

mod bust;
mod ear;
mod eye;
mod mouth;
mod nose;
mod skull;

use super::field::{Vec3, ellipsoid, v};

pub(super) use eye::{EYE, EYEBALL_MM, lower_lid, upper_lid};
pub(super) use mouth::{LIP_GAP_MM, lip_gap, lip_line, mouth_bag};

/// The whole solid, its curves cut once.
pub(super) struct Sculpt {
    skull: skull::Skull,
    eye: eye::Eye,
    nose: nose::Nose,
    mouth: mouth::Mouth,
    ear: ear::Ear,
    bust: bust::Bust,
}

impl Sculpt {
    pub(super) fn new() -> Self {
        Self {
            skull: skull::Skull::new(),
            eye: eye::Eye::new(),
            nose: nose::Nose::new(),
            mouth: mouth::Mouth::new(),
            ear: ear::Ear::new(),
            bust: bust::Bust::new(),
        }
    }

    /// Negative inside the head; about the distance to its surface in mm.
    pub(super) fn distance(&self, p: Vec3) -> f64 {
        let p = v(p.x.abs(), p.y, p.z);
        let f = self.bust.join(self.skull.mass(p), p);
        if p.z < -52.0 && p.x < 50.0 || p.y > 90.0 || p.y < -150.0 {
            return f;
        }
        let f = self.eye.shape(f, p);
        let f = self.nose.join(f, p);
        let f = self.mouth.shape(f, p);
        self.ear.join(f, p)
    }
}

/// How large the octree's leaves may be, in units of the finest: fine at lids and lips, coarse at
/// the back of the head, growing gently between. `coarseness` is 1 for close-ups, 2 for small
/// pictures; the lids stay fine.
pub(super) fn leaf_units(p: Vec3, coarseness: f64) -> f64 {
    /// Growth of the leaves, in units per mm from where they must be small.
    const GROWTH: f64 = 0.55;
    let p = v(p.x.abs(), p.y, p.z);
    let eye = p - EYE;
    let from = |size: f64, distance: f64| size + GROWTH * distance.max(0.0);
    let zone =
        |size: f64, centre: Vec3, radii: Vec3| from(size * coarseness, ellipsoid(p, centre, radii));
    if eye.norm_squared() < 10.9 * 10.9 || mouth_bag(p) < 0.0 {
        // The eye's bed and the back of the mouth.
        return 2.5 * coarseness;
    }
    let head = if p.z > -32.0 && p.y > -118.0 && p.y < 40.0 {
        4.0
    } else if p.y > -240.0 {
        8.0
    } else {
        16.0
    };
    let margin = (eye.y - upper_lid(eye.x)).abs().min((eye.y - lower_lid(eye.x)).abs());
    let margin = (margin - 1.6).max(eye.x - 15.5).max(-17.0 - eye.x).max(-0.5 - eye.z);
    let gap = ((p.y - lip_line(p.x)).abs() - 2.2).max(p.x - 27.0).max(8.0 - 0.25 * p.x - p.z);
    [
        from(1.0, margin),
        from(coarseness, gap),
        zone(1.0, v(7.0, -46.0, 26.0), v(7.0, 5.0, 9.0)),
        zone(2.0, v(0.0, -66.0, 18.0), v(29.0, 13.0, 18.0)),
        zone(2.0, v(0.0, -39.0, 26.0), v(20.0, 14.0, 22.0)),
        zone(2.0, EYE + v(0.0, 3.0, 8.0), v(18.0, 12.0, 14.0)),
        zone(2.0, v(76.0, -15.0, -94.0), v(13.0, 34.0, 21.0)),
        zone(2.0, v(71.0, -42.0, -82.0), v(8.0, 13.0, 11.0)),
        zone(2.0, v(0.0, -107.0, 9.0), v(12.0, 9.0, 12.0)),
        zone(2.0, v(0.0, 14.0, 15.0), v(20.0, 11.0, 14.0)),
        // Where the forehead wrinkles.
        zone(3.0, v(0.0, 43.0, 12.0), v(42.0, 16.0, 14.0)),
        zone(4.0, v(0.0, -40.0, -10.0), v(58.0, 76.0, 50.0)),
    ]
    .into_iter()
    .fold(head * coarseness, f64::min)
}
