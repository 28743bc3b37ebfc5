//! Eyelids over the eyeball: margin with thickness, crease, fold above it, corners.

use crate::synth::head::field::{Tube, Vec3, bell, carve, common, curve, ellipsoid, join, v};

/// Centre of the left eyeball (the interpupillary distance is 63 mm).
pub(in super::super) const EYE: Vec3 = Vec3::new(31.5, 0.0, 0.0);
/// Radius of the eyeball without the cornea.
pub(in super::super) const EYEBALL_MM: f64 = 12.1;
/// Outer surface of the lids from the eyeball's centre.
const LID_MM: f64 = 14.1;

/// Height of the upper lid's margin at `dx` mm lateral of the eye's centre.
pub(in super::super) fn upper_lid(dx: f64) -> f64 {
    curve(
        &[
            (-15.2, -2.6),
            (-13.0, -1.2),
            (-9.5, 1.9),
            (-5.0, 4.2),
            (-0.5, 5.0),
            (4.5, 4.7),
            (9.0, 3.3),
            (12.0, 1.8),
            (13.8, 0.7),
        ],
        dx,
    )
}

/// Height of the lower lid's margin.
pub(in super::super) fn lower_lid(dx: f64) -> f64 {
    curve(
        &[
            (-15.2, -2.6),
            (-13.0, -3.1),
            (-9.5, -3.7),
            (-4.0, -4.9),
            (2.0, -5.5),
            (7.0, -4.7),
            (11.0, -2.3),
            (13.8, 0.7),
        ],
        dx,
    )
}

pub(super) struct Eye {
    fold: Tube,
}

impl Eye {
    pub(super) fn new() -> Self {
        Self {
            fold: Tube::new(&[
                [18.5, 4.0, 6.0, 1.5],
                [23.0, 9.0, 10.0, 3.8],
                [32.0, 11.2, 10.3, 4.3],
                [40.0, 8.8, 7.0, 3.8],
                [45.0, 5.2, 2.6, 2.6],
                [49.0, 1.5, -2.5, 1.2],
            ]),
        }
    }

    pub(super) fn shape(&self, f: f64, p: Vec3) -> f64 {
        let d = p - EYE;
        if d.norm_squared() > 32.0 * 32.0 {
            return f;
        }
        let lids = ellipsoid(p, EYE, v(14.6, LID_MM, LID_MM));
        // The inner corner lies in a hollow beside the nose.
        let f = f + 2.5 * bell(d, v(-15.0, 0.0, 9.0), v(7.0, 11.0, 12.0));
        let f = join(f, lids, 5.0);
        let f = join(f, self.fold.solid(p), 3.0);
        if d.z < -2.0 {
            return f;
        }
        let opening = (d.y - upper_lid(d.x))
            .max(lower_lid(d.x) - d.y)
            .max(d.x - 13.3)
            .max(-14.8 - d.x)
            .max(2.0 - d.z);
        // What shows in the opening beside the eyeball: its bed and the caruncle.
        let bed = join(
            ellipsoid(p, EYE, v(10.6, 10.6, 10.6)),
            ellipsoid(d, v(-13.2, -2.0, 4.8), v(3.8, 3.6, 4.2)),
            2.0,
        );
        let bed = join(bed, ellipsoid(d, v(-10.4, -1.2, 4.4), v(2.8, 3.8, 3.2)), 2.0);
        let bed = join(bed, ellipsoid(d, v(12.0, 0.5, 0.8), v(3.0, 3.5, 3.6)), 2.0);
        carve(f, common(opening, -bed, 1.6), 0.8)
    }
}
