//! The nose: bridge, side walls, tip, wings, columella, nostrils.

use crate::synth::head::field::{Frame, Tube, Vec3, carve, ellipsoid, join, soft_abs, v};

pub(super) struct Nose {
    ridge: Tube,
    walls: Tube,
    columella: Tube,
    wing: Frame,
    nostril: Frame,
}

impl Nose {
    pub(super) fn new() -> Self {
        Self {
            ridge: Tube::new(&[
                [0.0, 12.0, 11.5, 6.5],
                [0.0, 3.0, 11.0, 6.0],
                [0.0, -10.0, 17.5, 6.5],
                [0.0, -22.0, 24.0, 7.0],
                [0.0, -32.0, 30.0, 8.0],
            ]),
            walls: Tube::new(&[
                [0.0, 8.0, 3.0, 8.0],
                [0.0, -8.0, 5.5, 8.5],
                [0.0, -22.0, 10.5, 11.5],
                [0.0, -35.0, 15.0, 13.0],
            ]),
            columella: Tube::new(&[
                [0.0, -39.8, 34.0, 3.6],
                [0.0, -43.3, 30.0, 3.2],
                [0.0, -44.6, 24.0, 3.6],
                [0.0, -44.5, 17.0, 5.0],
            ]),
            wing: Frame::new(v(11.7, -39.6, 21.3), v(-0.12, 0.22, 1.0), v(-0.25, 1.0, -0.2)),
            nostril: Frame::new(v(6.7, -44.8, 26.0), v(-0.25, 0.25, 1.0), v(0.15, 1.0, -0.2)),
        }
    }

    pub(super) fn join(&self, f: f64, p: Vec3) -> f64 {
        if (p - v(0.0, -20.0, 20.0)).norm_squared() > 55.0 * 55.0 {
            return f;
        }
        let s = v(soft_abs(p.x, 2.0), p.y, p.z);
        let tip = join(
            ellipsoid(p, v(0.0, -34.6, 31.0), v(9.0, 8.5, 9.5)),
            ellipsoid(s, v(3.4, -34.4, 33.2), v(6.6, 6.6, 7.2)),
            4.0,
        );
        let wing = ellipsoid(self.wing.local(p), Vec3::zeros(), v(11.0, 7.8, 4.8));
        let mut nose = join(self.ridge.solid(p), self.walls.solid(p), 9.0);
        nose = join(nose, tip, 6.0);
        nose = join(nose, wing, 5.0);
        nose = join(nose, self.columella.solid(p), 3.0);
        let f = join(f, nose, 4.5);
        let nostril = ellipsoid(self.nostril.local(p), Vec3::zeros(), v(6.6, 6.0, 3.2));
        carve(f, nostril, 1.6)
    }
}
