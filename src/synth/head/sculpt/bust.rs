//! Neck, throat, shoulders and upper chest, cut flat below.

use crate::synth::head::field::{Tube, Vec3, common, ellipsoid, join, soft_abs, v};

/// Where the bust ends.
const CUT_Y: f64 = -300.0;

pub(super) struct Bust {
    neck: Tube,
    trapezius: Tube,
    sternomastoid: Tube,
    clavicle: Tube,
    shoulder: Tube,
}

impl Bust {
    pub(super) fn new() -> Self {
        Self {
            neck: Tube::new(&[
                [0.0, -60.0, -92.0, 47.0],
                [0.0, -130.0, -93.0, 46.5],
                [0.0, -185.0, -99.0, 50.0],
                [0.0, -240.0, -108.0, 62.0],
            ]),
            trapezius: Tube::new(&[
                [15.0, -55.0, -122.0, 14.0],
                [26.0, -120.0, -128.0, 20.0],
                [62.0, -180.0, -130.0, 24.0],
                [110.0, -210.0, -122.0, 25.0],
                [160.0, -230.0, -118.0, 27.0],
            ]),
            sternomastoid: Tube::new(&[
                [52.0, -45.0, -98.0, 7.5],
                [42.0, -110.0, -80.0, 6.5],
                [25.0, -170.0, -61.0, 6.0],
                [11.0, -212.0, -54.0, 7.0],
            ]),
            clavicle: Tube::new(&[
                [13.0, -218.0, -54.0, 8.0],
                [55.0, -218.0, -58.0, 6.5],
                [105.0, -212.0, -82.0, 6.5],
                [155.0, -208.0, -108.0, 8.0],
            ]),
            shoulder: Tube::new(&[
                [120.0, -240.0, -115.0, 36.0],
                [172.0, -258.0, -116.0, 44.0],
                [190.0, -330.0, -112.0, 46.0],
            ]),
        }
    }

    pub(super) fn join(&self, head: f64, p: Vec3) -> f64 {
        if p.y > 30.0 {
            return head;
        }
        let s = v(soft_abs(p.x, 4.0), p.y, p.z);
        let mut bust = self.neck.solid(p);
        bust = join(bust, self.trapezius.solid(s), 24.0);
        bust = join(bust, self.sternomastoid.solid(p), 24.0);
        let chest = ellipsoid(p, v(0.0, -330.0, -112.0), v(180.0, 118.0, 88.0));
        bust = join(bust, chest, 30.0);
        bust = join(bust, self.shoulder.solid(p), 30.0);
        bust = join(bust, self.clavicle.solid(s), 18.0);
        let larynx = ellipsoid(p, v(0.0, -150.0, -50.0), v(10.0, 17.0, 9.0));
        bust = join(bust, larynx, 16.0);
        let f = join(head, bust, 14.0);
        common(f, CUT_Y - p.y, 4.0)
    }
}
