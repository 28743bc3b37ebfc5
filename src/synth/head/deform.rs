//! Smooth displacement fields on the mean head, from which shape and expression are made.

use super::field::{Vec3, bell, ramp, step, v};

/// A field of displacements in mm. Both sides act alike (mirrored) unless it says otherwise.
/// Every field is written for the person's left, x > 0.
#[derive(Clone, Copy, Debug)]
pub enum Push {
    /// Moves what lies in the ellipsoid (centre, radii) by so many mm at its centre.
    Move([f64; 3], [f64; 3], [f64; 3]),
    /// Carries along, as one piece, what lies in the inner half of the ellipsoid.
    Carry([f64; 3], [f64; 3], [f64; 3]),
    /// [`Push::Carry`] on the person's left only.
    CarryLeft([f64; 3], [f64; 3], [f64; 3]),
    /// [`Push::Move`] on the person's left only.
    Left([f64; 3], [f64; 3], [f64; 3]),
    /// Moves along the skin's normal.
    Swell([f64; 3], [f64; 3], f64),
    /// Swells the person's left only.
    SwellLeft([f64; 3], [f64; 3], f64),
    /// Moves a region about the midplane; sideways parts act on both sides in the same direction.
    Shift([f64; 3], [f64; 3], [f64; 3]),
    /// Stretches the ellipsoid's inside about its centre by these shares of the distance to it.
    Scale([f64; 3], [f64; 3], [f64; 3]),
    /// Stretches the whole head about a point.
    Grow([f64; 3], [f64; 3]),
    /// Shift along y as a function of height: `(y, mm)`. Fades out behind and below the face.
    Heights(&'static [(f64, f64)]),
    /// Shift along z as a function of height. Fades out behind and below the face.
    Profile(&'static [(f64, f64)]),
}

/// Which part of the mesh a field reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lips {
    All,
    /// Only what lies above the line of the lips.
    Upper,
    /// Only what lies below it.
    Lower,
}

impl Push {
    /// Displacement in mm of the point `p` of the mean head, whose outward normal is `normal`.
    pub(super) fn at(&self, p: Vec3, normal: Vec3) -> Vec3 {
        let side = if p.x < 0.0 { -1.0 } else { 1.0 };
        let vec = |a: [f64; 3]| Vec3::from(a);
        let mirror = |a: Vec3| v(-a.x, a.y, a.z);
        // The two sides' bells, so that they add where they meet at the midplane.
        let sides = |centre: [f64; 3], radii: [f64; 3]| {
            (bell(p, vec(centre), vec(radii)), bell(mirror(p), vec(centre), vec(radii)))
        };
        match *self {
            Push::Move(centre, radii, by) => {
                let (left, right) = sides(centre, radii);
                if centre[0] == 0.0 {
                    // Sideways movement about the midplane grows from it.
                    let spread = (p.x / (0.4 * radii[0])).clamp(-1.0, 1.0);
                    v(by[0] * spread, by[1], by[2]) * left
                } else {
                    vec(by) * left + mirror(vec(by)) * right
                }
            }
            Push::Carry(centre, radii, by) => {
                let (left, right) = (plateau(p, centre, radii), plateau(mirror(p), centre, radii));
                vec(by) * left + mirror(vec(by)) * right
            }
            Push::CarryLeft(centre, radii, by) => vec(by) * plateau(p, centre, radii),
            Push::Left(centre, radii, by) => vec(by) * sides(centre, radii).0,
            Push::Shift(centre, radii, by) => vec(by) * sides(centre, radii).0,
            Push::Swell(centre, radii, by) => {
                let (left, right) = sides(centre, radii);
                normal * (by * if centre[0] == 0.0 { left } else { left + right })
            }
            Push::SwellLeft(centre, radii, by) => normal * (by * sides(centre, radii).0),
            Push::Scale(centre, radii, by) => {
                let window = bell(v(p.x * side, p.y, p.z), vec(centre), vec(radii));
                let d = v(p.x * side, p.y, p.z) - vec(centre);
                let moved = d.component_mul(&vec(by)) * window;
                v(moved.x * side, moved.y, moved.z)
            }
            Push::Grow(centre, by) => (p - vec(centre)).component_mul(&vec(by)),
            Push::Heights(knots) => v(0.0, ramp(knots, p.y) * face_window(p), 0.0),
            Push::Profile(knots) => v(0.0, 0.0, ramp(knots, p.y) * face_window(p)),
        }
    }
}

/// 1 in the inner half of the ellipsoid, 0 outside it.
fn plateau(p: Vec3, centre: [f64; 3], radii: [f64; 3]) -> f64 {
    let q = (p - Vec3::from(centre)).component_div(&Vec3::from(radii)).norm();
    1.0 - step(0.45, 1.0, q)
}

/// 1 on the face, 0 behind the ears and on the chest.
fn face_window(p: Vec3) -> f64 {
    step(-120.0, -35.0, p.z) * step(-235.0, -150.0, p.y)
}
