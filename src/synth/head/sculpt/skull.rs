//! Braincase, forehead, orbits, cheekbones, jaw and the flesh on them, without the features.

use crate::synth::head::field::{Tube, Vec3, bells, ellipsoid, join, soft_abs, v};

pub(super) struct Skull {
    /// Brow ridge, lateral rim of the orbit, cheekbone, lower rim.
    orbit: Tube,
    arch: Tube,
    jaw: Tube,
    /// Fold from the nose wing past the corner of the mouth.
    fold: Tube,
    tear_trough: Tube,
    temple_line: Tube,
}

impl Skull {
    pub(super) fn new() -> Self {
        Self {
            orbit: Tube::new(&[
                [2.0, 16.5, 12.0, 7.5],
                [13.0, 17.5, 10.5, 6.5],
                [27.0, 19.0, 5.0, 7.0],
                [38.0, 17.5, -3.0, 7.0],
                [45.5, 9.5, -11.5, 6.5],
                [47.0, -3.0, -15.0, 7.0],
                [43.0, -15.0, -12.5, 8.5],
                [34.0, -20.0, -7.0, 8.5],
                [24.0, -21.0, -2.0, 7.5],
            ]),
            arch: Tube::new(&[
                [40.0, -18.0, -13.5, 10.0],
                [48.5, -17.0, -29.0, 9.0],
                [53.5, -15.0, -48.0, 8.0],
                [55.0, -14.0, -66.0, 8.0],
            ]),
            jaw: Tube::new(&[
                [8.0, -99.2, -1.0, 12.0],
                [17.0, -96.8, -13.0, 11.5],
                [27.0, -88.5, -34.0, 10.5],
                [36.5, -75.0, -57.0, 9.5],
                [44.0, -55.0, -69.0, 9.0],
                [50.0, -28.0, -75.0, 9.0],
            ]),
            fold: Tube::new(&[
                [19.5, -38.0, 14.0, 0.5],
                [25.0, -46.0, 14.5, 1.0],
                [30.0, -56.0, 12.5, 0.9],
                [33.5, -66.0, 8.5, 0.5],
                [35.0, -76.0, 4.0, 0.0],
            ]),
            tear_trough: Tube::new(&[
                [15.0, -6.0, 9.5, 0.6],
                [20.0, -13.0, 10.0, 1.2],
                [28.0, -17.5, 9.5, 0.9],
                [37.0, -18.0, 6.0, 0.2],
            ]),
            temple_line: Tube::new(&[
                [49.0, 18.0, -10.0, 1.0],
                [54.0, 36.0, -22.0, 1.5],
                [60.0, 55.0, -45.0, 0.5],
            ]),
        }
    }

    pub(super) fn mass(&self, p: Vec3) -> f64 {
        let s = v(soft_abs(p.x, 3.0), p.y, p.z);
        let braincase = ellipsoid(p, v(0.0, 32.0, -80.0), v(74.0, 79.0, 92.0));
        let forehead = ellipsoid(p, v(0.0, 31.0, -36.0), v(53.0, 52.0, 51.0));
        let skull = join(braincase, forehead, 24.0);
        let ear_base = ellipsoid(p, v(48.0, -20.0, -86.0), v(15.5, 32.0, 22.0));
        let skull = join(skull, ear_base, 18.0);

        let midface = ellipsoid(p, v(0.0, -20.0, -38.0), v(55.0, 52.0, 54.0));
        let muzzle = ellipsoid(p, v(0.0, -62.0, -14.0), v(37.0, 34.0, 35.0));
        let chin = ellipsoid(p, v(0.0, -98.8, -4.0), v(21.5, 15.4, 22.5));
        let cheek = ellipsoid(s, v(29.0, -48.0, -29.0), v(25.0, 38.0, 29.5));
        let masseter = ellipsoid(p, v(42.0, -50.0, -50.0), v(10.0, 32.0, 22.0));
        let floor = ellipsoid(p, v(0.0, -88.0, -42.0), v(34.0, 24.0, 42.0));
        let mut face = join(midface, muzzle, 18.0);
        face = join(face, self.jaw.solid(s), 14.0);
        face = join(face, chin, 12.0);
        face = join(face, cheek, 16.0);
        face = join(face, masseter, 14.0);
        face = join(face, floor, 16.0);
        face = join(face, self.arch.solid(p), 16.0);
        let f = join(skull, face, 22.0);
        let f = join(f, self.orbit.solid(s), 14.0);
        f - self.relief(p)
    }

    /// Soft forms that stand out of or sink into the mass, in mm.
    fn relief(&self, p: Vec3) -> f64 {
        if p.z < -70.0 {
            return 0.0;
        }
        let mirrored = v(-p.x, p.y, p.z);
        let both = |tube: &Tube, width| tube.ridge(p, width) + tube.ridge(mirrored, width);
        // Cheek pad lateral of the fold, hollow below the cheekbone.
        1.4 * bells(p, v(40.0, -34.0, 2.0), v(26.0, 28.0, 30.0))
            - 0.5 * bells(p, v(52.0, -50.0, -22.0), v(20.0, 26.0, 30.0))
            - 0.6 * both(&self.fold, 10.0)
            - 0.8 * both(&self.tear_trough, 9.0)
            - 0.6 * both(&self.temple_line, 24.0)
            // Between and over the brows.
            - 0.5 * bells(p, v(0.0, 28.0, 16.0), v(26.0, 12.0, 16.0))
            // The socket between the root of the nose, the brow and the lid.
            - 3.4 * bells(p, v(15.5, 4.5, 13.0), v(11.0, 17.0, 18.0))
            - 1.6 * bells(p, v(23.0, 11.0, 14.0), v(14.0, 7.0, 14.0))
    }
}
