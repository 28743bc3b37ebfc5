//! Lips with cupid's bow, philtrum, corners, mentolabial fold, and the inside of the mouth.

use crate::synth::head::field::{
    Tube, Vec3, bell, bells, carve, curve, ellipsoid, join, soft_abs, v,
};

/// The corners of the mouth from the midplane.
pub(in super::super) const MOUTH_HALF_WIDTH: f64 = 24.8;
/// Short of the corners, so that the slit ends while it is still open.
const SLIT_HALF_WIDTH: f64 = 23.6;
/// The lips of the solid stand this far apart at the middle; the mean face closes them.
pub(in super::super) const LIP_GAP_MM: f64 = 2.4;

/// Height of the line between the lips.
pub(in super::super) fn lip_line(x: f64) -> f64 {
    let x = x.abs();
    curve(
        &[(0.0, -68.9), (4.0, -68.4), (9.0, -67.4), (15.0, -67.4), (20.5, -67.9), (24.8, -68.4)],
        x,
    )
}

/// Half the distance of the lips of the solid.
pub(in super::super) fn lip_gap(x: f64) -> f64 {
    let q = (x / MOUTH_HALF_WIDTH).clamp(-1.0, 1.0);
    let q = q * q * q * q;
    0.5 * LIP_GAP_MM * (1.0 - q * q)
}

/// The hollow behind the lips, negative inside.
pub(in super::super) fn mouth_bag(p: Vec3) -> f64 {
    ellipsoid(p, v(0.0, -68.0, -13.5), v(26.5, 18.0, 30.0))
}

pub(super) struct Mouth {
    upper: Tube,
    lower: Tube,
    border: Tube,
    philtrum: Tube,
}

impl Mouth {
    pub(super) fn new() -> Self {
        Self {
            upper: Tube::new(&[
                [-5.0, -63.9, 20.4, 5.2],
                [0.0, -64.6, 21.2, 5.2],
                [5.0, -63.9, 20.4, 5.2],
                [11.0, -64.5, 17.8, 4.4],
                [17.0, -65.9, 14.0, 3.2],
                [22.0, -67.2, 10.4, 2.2],
                [27.0, -68.5, 4.5, 0.5],
            ]),
            lower: Tube::new(&[
                [-6.0, -73.5, 19.4, 5.6],
                [0.0, -73.6, 19.9, 5.6],
                [6.0, -73.5, 19.4, 5.6],
                [12.0, -72.2, 16.4, 4.2],
                [17.5, -70.3, 12.6, 2.7],
                [22.0, -69.0, 9.4, 1.6],
                [27.0, -68.5, 4.5, 0.5],
            ]),
            border: Tube::new(&[
                [0.0, -61.4, 25.0, 0.25],
                [5.2, -59.3, 24.3, 0.4],
                [11.0, -61.3, 21.5, 0.4],
                [18.0, -64.6, 16.6, 0.25],
                [24.0, -67.6, 11.5, 0.0],
            ]),
            philtrum: Tube::new(&[
                [5.0, -47.5, 20.0, 0.1],
                [5.2, -52.0, 21.5, 0.7],
                [5.6, -59.0, 24.0, 0.9],
                [6.0, -62.0, 25.0, 0.2],
            ]),
        }
    }

    pub(super) fn shape(&self, f: f64, p: Vec3) -> f64 {
        if (p - v(0.0, -70.0, 10.0)).norm_squared() > 60.0 * 60.0 {
            return f;
        }
        let s = v(soft_abs(p.x, 1.0), p.y, p.z);
        let f = join(f, self.lower.solid(s), 7.0);
        let f = join(f, self.upper.solid(s), 5.0);
        let mirrored = v(-p.x, p.y, p.z);
        let both = |tube: &Tube, width| tube.ridge(p, width) + tube.ridge(mirrored, width);
        let relief = both(&self.philtrum, 5.0) + both(&self.border, 2.6)
            - 0.7 * bell(p, v(0.0, -54.0, 21.0), v(5.0, 8.0, 8.0))
            // Mentolabial fold, and the hollow at the corner.
            - 1.8 * bell(p, v(0.0, -86.5, 18.0), v(26.0, 9.0, 16.0))
            - 0.4 * bells(p, v(27.0, -69.5, 8.0), v(14.0, 13.0, 16.0));
        let f = f - relief;

        let gap = lip_gap(p.x);
        let slit = ((p.y - lip_line(p.x)).abs() - gap).max(p.x - SLIT_HALF_WIDTH).max(-p.z);
        let inside = join(slit, mouth_bag(p), 1.5);
        carve(f, inside, 1.2)
    }
}
