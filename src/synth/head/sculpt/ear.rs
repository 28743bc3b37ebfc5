//! The outer ear: helix, antihelix, concha, tragus, lobe.

use crate::synth::head::field::{Frame, Tube, Vec3, carve, ellipsoid, join, v};

/// The ear's own axes: x up along its length, y back along its width, z toward the head.
fn ear_frame() -> Frame {
    Frame::new(v(66.5, -17.0, -84.0), v(0.07, 0.97, -0.20), v(0.46, 0.2, -0.87))
}

pub(super) struct Ear {
    frame: Frame,
    helix: Tube,
    antihelix: Tube,
    fork: Tube,
}

impl Ear {
    pub(super) fn new() -> Self {
        Self {
            frame: ear_frame(),
            helix: Tube::new(&[
                [0.0, 10.0, 2.0, 1.8],
                [5.0, 4.0, -0.5, 2.4],
                [14.0, 0.5, -1.5, 2.8],
                [25.0, 4.0, -1.5, 3.0],
                [30.0, 13.0, -1.0, 3.0],
                [26.0, 24.0, -1.0, 3.0],
                [14.0, 30.0, -1.0, 2.9],
                [0.0, 29.5, -1.0, 2.6],
                [-12.0, 24.0, -0.5, 2.4],
                [-21.0, 17.0, 0.0, 2.6],
            ]),
            antihelix: Tube::new(&[
                [-14.0, 14.0, -0.5, 2.4],
                [-7.0, 19.5, -1.0, 2.6],
                [4.0, 21.5, -1.0, 2.8],
                [13.0, 19.0, -0.5, 2.6],
                [22.0, 14.0, 1.0, 2.0],
            ]),
            fork: Tube::new(&[
                [8.0, 21.0, -0.5, 2.4],
                [12.0, 14.0, 0.5, 2.2],
                [13.5, 6.0, 1.5, 1.6],
            ]),
        }
    }

    pub(super) fn join(&self, f: f64, p: Vec3) -> f64 {
        let q = self.frame.local(p);
        if (q - v(0.0, 14.0, 0.0)).norm_squared() > 46.0 * 46.0 {
            return f;
        }
        let disc = ellipsoid(q, v(4.0, 14.0, 4.6), v(29.5, 18.0, 5.6));
        let lobe = ellipsoid(q, v(-22.0, 9.5, 0.5), v(8.5, 8.5, 3.2));
        let mut ear = join(disc, lobe, 6.0);
        ear = join(ear, self.helix.solid(q), 2.0);
        ear = join(ear, self.antihelix.solid(q), 2.5);
        ear = join(ear, self.fork.solid(q), 2.5);
        // The back of the concha, that holds the ear off the head.
        ear = join(ear, ellipsoid(q, v(-2.0, 9.0, 6.0), v(17.0, 11.0, 6.5)), 4.0);
        let f = join(f, ear, 4.0);
        let f = carve(f, ellipsoid(q, v(-2.0, 11.0, -1.5), v(12.0, 7.5, 7.5)), 2.5);
        let tragus = ellipsoid(q, v(-4.0, 3.0, -2.0), v(5.0, 3.6, 3.4));
        let antitragus = ellipsoid(q, v(-13.5, 11.5, -1.0), v(3.4, 4.0, 2.8));
        join(join(f, tragus, 2.5), antitragus, 2.5)
    }
}
