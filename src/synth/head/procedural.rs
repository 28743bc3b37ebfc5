//! The head made in code: mean head, identity fields, actions, lids, jaw and gaze put together.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::deform::Lips;
use super::expression::ACTIONS;
use super::field::{Vec3, v};
use super::identity::{self, PARAMETERS};
use super::motion::{Lids, drop_jaw, jaw_share};
use super::sculpt::{EYE, EYEBALL_MM, lip_line};
use super::template::{Organ, Template};
use super::{Expression, HeadModel, Topology};
use crate::synth::draws::Draws;

/// How finely heads are meshed. Details share shape and scores, not vertices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// About 20,000 vertices: for pictures of 256² pixels.
    Small,
    /// About 60,000 vertices: for pictures of 564 × 756 pixels.
    Full,
}

impl Detail {
    /// The smallest leaf of the octree in mm, and how coarse the rest is beside the lids.
    pub(super) fn leaves(self) -> (f64, f64) {
        match self {
            Detail::Small => (0.6, 2.0),
            Detail::Full => (0.55, 1.0),
        }
    }
}

/// Displacements of some vertices, in mm.
struct Shape(Vec<(u32, [f32; 3])>);

impl Shape {
    fn add_to(&self, positions: &mut [[f32; 3]], score: f32) {
        for &(i, by) in &self.0 {
            let p = &mut positions[i as usize];
            for axis in 0..3 {
                p[axis] += score * by[axis];
            }
        }
    }
}

/// The procedural head. Making one takes a second or so; making a person takes milliseconds.
pub struct ProceduralHead {
    template: Template,
    identity: Vec<Shape>,
    actions: Vec<Shape>,
    /// Share of each vertex in the movement of the jaw: `(vertex, share)` where not zero.
    jaw: Vec<(u32, f64)>,
    lids: [Lids; 2],
    /// First vertex of each eyeball (its pole, at the pupil), and the first after both.
    eyes: [usize; 3],
}

/// Places on a head that others fit things to: mm in the head frame, the person's right first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anatomy {
    /// Centres of the eyeballs.
    pub eye_centres: [[f32; 3]; 2],
    /// Apexes of the corneas: the pupils as seen from the front.
    pub pupils: [[f32; 3]; 2],
    /// The ridge of the nose where the bridge of spectacles sits.
    pub nose_seat: [f32; 3],
    /// The sides of the nose 8 mm below the seat, where the pads sit.
    pub nose_pads: [[f32; 3]; 2],
    /// Where the ear's upper root meets the head: the temples of spectacles rest there.
    pub ear_roots: [[f32; 3]; 2],
}

/// Places of [`Anatomy`] on the mean head, the person's left.
const NOSE_SEAT: Vec3 = Vec3::new(0.1, -3.0, 20.5);
const NOSE_PAD: Vec3 = Vec3::new(9.0, -10.0, 17.0);
const EAR_ROOT: Vec3 = Vec3::new(70.5, 6.0, -86.0);

impl ProceduralHead {
    /// The head of this detail, made on first use and kept: 5 to 20 MB and a second or two.
    pub fn shared(detail: Detail) -> &'static Self {
        static SMALL: OnceLock<ProceduralHead> = OnceLock::new();
        static FULL: OnceLock<ProceduralHead> = OnceLock::new();
        let cell = match detail {
            Detail::Small => &SMALL,
            Detail::Full => &FULL,
        };
        cell.get_or_init(|| Self::new(detail))
    }

    pub fn new(detail: Detail) -> Self {
        let template = Template::new(detail);
        let rest = &template.rest;
        let skin = template.mirror.len();
        // Eyeballs move as one; teeth and tongue with the place they are at; none swells.
        let place = |i: usize| match template.organs[i] {
            Organ::LeftEye => EYE,
            Organ::RightEye => v(-EYE.x, EYE.y, EYE.z),
            _ => rest[i],
        };
        let shape = |of: &dyn Fn(usize) -> Vec3, vertices: usize| {
            let moved = (0..vertices).filter_map(|i| {
                let d = of(i);
                (d.norm_squared() > 1e-8).then(|| (i as u32, [d.x as f32, d.y as f32, d.z as f32]))
            });
            Shape(moved.collect())
        };
        let identity = PARAMETERS
            .par_iter()
            .map(|parameter| {
                let of = |i: usize| -> Vec3 {
                    let (p, n) = (place(i), template.normals[i]);
                    parameter.pushes.iter().map(|push| push.at(p, n)).sum()
                };
                shape(&of, rest.len())
            })
            .collect();
        let actions = ACTIONS
            .par_iter()
            .map(|action| {
                let of = |i: usize| -> Vec3 {
                    let above = template.solid[i].y > lip_line(template.solid[i].x);
                    let reached = |lips: Lips| match lips {
                        Lips::All => true,
                        Lips::Upper => above,
                        Lips::Lower => !above,
                    };
                    let pushes = action.pushes.iter().filter(|(lips, _)| reached(*lips));
                    pushes.map(|(_, push)| push.at(rest[i], template.normals[i])).sum()
                };
                shape(&of, skin)
            })
            .collect();
        let jaw = (0..rest.len())
            .filter_map(|i| {
                let share = match template.organs[i] {
                    Organ::Skin => jaw_share(template.solid[i]),
                    Organ::LowerTeeth => 1.0,
                    _ => 0.0,
                };
                (share > 1e-4).then_some((i as u32, share))
            })
            .collect();
        let lids = [Lids::new(&rest[..skin], -1.0), Lids::new(&rest[..skin], 1.0)];
        let first = |organ: Organ| template.organs.iter().position(|&o| o == organ).unwrap_or(0);
        let eyes = [first(Organ::RightEye), first(Organ::LeftEye), first(Organ::UpperTeeth)];
        Self { identity, actions, jaw, lids, eyes, template }
    }

    /// The vertex on the other side of the midplane, for the skin's vertices (they come first).
    pub fn mirror(&self) -> &[u32] {
        &self.template.mirror
    }

    /// Places for spectacles on a head that [`HeadModel::positions`] returned.
    ///
    /// # Panics
    /// If `positions` has another number of vertices than the topology.
    pub fn anatomy(&self, positions: &[[f32; 3]]) -> Anatomy {
        assert_eq!(positions.len(), self.template.rest.len(), "positions of another topology");
        let skin = &self.template.rest[..self.template.mirror.len()];
        let nearest = |target: Vec3| {
            let far = |i: usize| (skin[i] - target).norm_squared();
            let found = (0..skin.len()).min_by(|&a, &b| far(a).total_cmp(&far(b)));
            positions[found.unwrap_or(0)]
        };
        let both = |p: Vec3| [nearest(v(-p.x, p.y, p.z)), nearest(p)];
        let eyes = [0, 1].map(|e| {
            let (first, end) = (self.eyes[e], self.eyes[e + 1]);
            // The rings are even about the axis through the two poles.
            let (front, back) = (positions[first], positions[end - 1]);
            let along = Vec3::from(front.map(f64::from)) - Vec3::from(back.map(f64::from));
            let centre = Vec3::from(back.map(f64::from)) + along.normalize() * EYEBALL_MM;
            ([centre.x as f32, centre.y as f32, centre.z as f32], front)
        });
        let seats = both(NOSE_SEAT);
        Anatomy {
            eye_centres: [eyes[0].0, eyes[1].0],
            pupils: [eyes[0].1, eyes[1].1],
            nose_seat: [0, 1, 2].map(|axis| 0.5 * (seats[0][axis] + seats[1][axis])),
            nose_pads: both(NOSE_PAD),
            ear_roots: both(EAR_ROOT),
        }
    }

    /// Turns the eyeball about its centre: up to 30° sideways and 25° up or down.
    fn turn(&self, eye: usize, positions: &mut [Vec3], centre: Vec3, e: &Expression) {
        let turn = |t: f64| ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let (cx, sx) = turn(0.268 * f64::from(e.gaze_x).clamp(-1.0, 1.0));
        let (cy, sy) = turn(0.222 * f64::from(e.gaze_y).clamp(-1.0, 1.0));
        for p in &mut positions[self.eyes[eye]..self.eyes[eye + 1]] {
            let d = *p - centre;
            let d = v(d.x, d.y * cy + d.z * sy, d.z * cy - d.y * sy);
            *p = centre + v(d.x * cx + d.z * sx, d.y, d.z * cx - d.x * sx);
        }
    }
}

impl HeadModel for ProceduralHead {
    fn topology(&self) -> &Topology {
        &self.template.topology
    }

    fn identity_scores(&self) -> usize {
        identity::PARAMETERS.len()
    }

    fn sample_identity(&self, masculinity: f32, draws: &mut Draws) -> Vec<f32> {
        identity::sample(masculinity, draws)
    }

    /// Scores that are missing count as 0, surplus ones are ignored.
    fn positions(&self, identity: &[f32], expression: &Expression) -> Vec<[f32; 3]> {
        let mut sums = self.template.topology.rest.clone();
        for (shape, &score) in self.identity.iter().zip(identity) {
            if score != 0.0 {
                shape.add_to(&mut sums, score);
            }
        }
        // Rigid: any vertex of the eyeball moved as its centre did.
        let centres = [0, 1].map(|eye| {
            let (now, rest) = (sums[self.eyes[eye]], self.template.topology.rest[self.eyes[eye]]);
            let moved = Vec3::from_fn(|axis, _| f64::from(now[axis] - rest[axis]));
            moved + v([-EYE.x, EYE.x][eye], EYE.y, EYE.z)
        });
        let asymmetry = expression.asymmetry.clamp(-1.0, 1.0) * 0.5;
        for (shape, action) in self.actions.iter().zip(ACTIONS) {
            let strength = (action.strength)(expression);
            if strength == 0.0 {
                continue;
            }
            for &(i, by) in &shape.0 {
                let side = (self.template.topology.rest[i as usize][0] / 15.0).clamp(-1.0, 1.0);
                let amount = strength * (1.0 + asymmetry * side);
                let p = &mut sums[i as usize];
                for axis in 0..3 {
                    p[axis] += amount * by[axis];
                }
            }
        }
        let mut positions: Vec<Vec3> =
            sums.iter().map(|p| v(p[0].into(), p[1].into(), p[2].into())).collect();
        for eye in 0..2 {
            let side = [-1.0, 1.0][eye] * f64::from(asymmetry);
            self.lids[eye].lay(&mut positions, centres[eye]);
            self.lids[eye].slide(&mut positions, centres[eye], expression, 1.0 + side);
            if expression.gaze_x != 0.0 || expression.gaze_y != 0.0 {
                self.turn(eye, &mut positions, centres[eye], expression);
            }
        }
        let open = f64::from(expression.jaw_open).clamp(0.0, 1.0);
        if open > 0.0 {
            for &(i, share) in &self.jaw {
                let p = &mut positions[i as usize];
                *p += (drop_jaw(*p, open) - *p) * share;
            }
        }
        let origin = (centres[0] + centres[1]) * 0.5;
        let place = |p: &Vec3| {
            let p = p - origin;
            [p.x as f32, p.y as f32, p.z as f32]
        };
        positions.iter().map(place).collect()
    }
}
