//! What the muscles do: fields of displacement per action at its full strength, in mm.
//!
//! Where the actions are and what they move follows the facial action coding system (Ekman and
//! Friesen 1978): a smile draws the corners of the mouth out, up and back (AU 12) and lifts the
//! cheeks into the lower lids (AU 6); a frown lowers the corners (AU 15) and lifts the chin
//! (AU 17); and so on. Lids and jaw, which turn about axes, are in [`super::motion`].

use super::Expression;
use super::deform::Lips::{All, Lower, Upper};
use super::deform::Push::*;
use super::deform::{Lips, Push};

/// One action: its strength in an expression, and what it moves.
pub(super) struct Action {
    pub strength: fn(&Expression) -> f32,
    pub pushes: &'static [(Lips, Push)],
}

pub(super) const ACTIONS: &[Action] = &[
    Action {
        strength: |e| e.brow_down,
        pushes: &[
            (All, Move([14.0, 18.0, 18.0], [20.0, 17.0, 24.0], [-2.4, -4.2, 0.8])),
            (All, Move([32.0, 19.0, 10.0], [24.0, 17.0, 24.0], [-0.8, -2.6, 0.5])),
            // The furrows between the brows.
            (All, Swell([4.6, 19.0, 20.0], [3.6, 12.0, 12.0], -1.1)),
            (All, Swell([0.0, 19.0, 20.0], [4.0, 10.0, 12.0], 0.6)),
            (All, Swell([0.0, 5.0, 17.0], [10.0, 4.0, 10.0], -0.5)),
        ],
    },
    Action {
        strength: |e| e.brow_inner_up,
        pushes: &[
            (All, Move([13.0, 20.0, 17.0], [22.0, 20.0, 26.0], [0.3, 5.0, 0.3])),
            (All, Swell([0.0, 40.0, 17.0], [34.0, 5.0, 22.0], 0.9)),
            (All, Swell([0.0, 46.5, 15.0], [32.0, 4.0, 22.0], -0.6)),
            (All, Swell([0.0, 52.0, 14.0], [30.0, 5.0, 22.0], 0.7)),
        ],
    },
    Action {
        strength: |e| e.brow_outer_up,
        pushes: &[
            (All, Move([38.0, 20.0, 7.0], [22.0, 19.0, 26.0], [0.3, 4.8, 0.2])),
            (All, Swell([34.0, 41.0, 9.0], [26.0, 5.0, 22.0], 0.7)),
            (All, Swell([34.0, 47.0, 8.0], [26.0, 4.0, 22.0], -0.4)),
        ],
    },
    Action {
        strength: |e| e.cheek_puff,
        pushes: &[
            (All, Swell([38.0, -58.0, -2.0], [40.0, 36.0, 48.0], 7.0)),
            (All, Swell([0.0, -56.0, 22.0], [24.0, 11.0, 18.0], 2.0)),
            (All, Move([0.0, -68.0, 22.0], [26.0, 12.0, 20.0], [-1.5, 0.0, 1.0])),
        ],
    },
    Action {
        strength: |e| e.cheek_squint,
        pushes: &[
            (All, Move([35.0, -24.0, 9.0], [24.0, 19.0, 28.0], [0.4, 3.6, 1.8])),
            (All, Swell([30.0, -12.5, 11.0], [16.0, 4.5, 12.0], -0.7)),
            // Crow's feet.
            (All, Swell([53.0, 4.0, -6.0], [9.0, 2.4, 10.0], -0.6)),
            (All, Swell([53.0, -2.0, -6.0], [9.0, 2.4, 10.0], -0.6)),
        ],
    },
    Action {
        strength: |e| e.nose_sneer,
        pushes: &[
            (All, Move([13.0, -40.0, 22.0], [14.0, 18.0, 22.0], [0.8, 3.2, -0.3])),
            (Upper, Move([10.0, -60.0, 22.0], [16.0, 15.0, 22.0], [0.3, 2.8, 0.3])),
            (All, Swell([22.0, -46.0, 14.0], [7.0, 13.0, 14.0], -1.3)),
            (All, Swell([9.0, -6.0, 16.0], [6.0, 3.0, 10.0], 0.7)),
            (All, Swell([9.0, -11.0, 17.0], [6.0, 2.6, 10.0], -0.6)),
            (All, Move([14.0, 17.0, 18.0], [18.0, 14.0, 22.0], [-0.8, -1.6, 0.0])),
        ],
    },
    Action {
        strength: |e| e.mouth_smile,
        pushes: &[
            (All, Move([26.0, -69.0, 9.0], [28.0, 24.0, 36.0], [8.6, 9.0, -6.0])),
            (All, Move([37.0, -38.0, 7.0], [26.0, 24.0, 32.0], [0.8, 4.6, 3.6])),
            (All, Swell([29.0, -53.0, 12.0], [9.0, 20.0, 18.0], -2.6)),
            (All, Swell([39.0, -50.0, 3.0], [14.0, 18.0, 24.0], 1.8)),
            (All, Move([32.0, -11.0, 11.0], [20.0, 8.0, 16.0], [0.0, 1.6, 0.5])),
            (All, Move([16.0, -42.0, 22.0], [11.0, 14.0, 18.0], [1.4, 0.8, -0.4])),
            // The lips are drawn thin over the teeth.
            (All, Move([0.0, -68.0, 24.0], [30.0, 16.0, 24.0], [0.0, -0.4, -2.2])),
            (Upper, Move([0.0, -60.5, 24.0], [24.0, 7.0, 16.0], [0.0, -0.9, 0.0])),
            (Lower, Move([0.0, -77.0, 24.0], [24.0, 8.0, 16.0], [0.0, 1.0, 0.0])),
        ],
    },
    Action {
        strength: |e| e.mouth_frown,
        pushes: &[
            (All, Move([25.0, -70.0, 9.0], [23.0, 19.0, 32.0], [0.6, -5.2, -0.6])),
            (All, Swell([29.5, -80.0, 6.0], [8.0, 13.0, 16.0], -1.4)),
            (Lower, Move([0.0, -88.0, 18.0], [26.0, 20.0, 26.0], [0.0, 2.0, 1.2])),
            (All, Swell([0.0, -98.0, 19.0], [16.0, 9.0, 16.0], 0.8)),
            (All, Swell([0.0, -84.5, 18.0], [22.0, 5.0, 16.0], -0.9)),
            (All, Swell([26.0, -50.0, 14.0], [8.0, 16.0, 16.0], -0.8)),
        ],
    },
    Action {
        strength: |e| e.mouth_stretch,
        pushes: &[
            (All, Move([26.0, -70.0, 9.0], [27.0, 22.0, 36.0], [6.5, -1.8, -4.5])),
            (All, Move([0.0, -68.0, 24.0], [30.0, 14.0, 24.0], [0.0, 0.0, -1.6])),
            (Lower, Move([14.0, -80.0, 18.0], [20.0, 14.0, 24.0], [0.8, -1.5, -0.6])),
            (All, Swell([34.0, -62.0, 4.0], [8.0, 18.0, 18.0], -1.2)),
        ],
    },
    Action {
        strength: |e| e.mouth_pucker,
        pushes: &[
            (All, Move([24.0, -69.0, 9.0], [27.0, 24.0, 36.0], [-8.0, 0.0, 4.5])),
            (All, Move([0.0, -68.0, 24.0], [26.0, 18.0, 26.0], [0.0, 0.0, 4.5])),
            (Upper, Move([0.0, -61.0, 25.0], [18.0, 8.0, 18.0], [0.0, 1.2, 0.6])),
            (Lower, Move([0.0, -77.0, 24.0], [18.0, 9.0, 18.0], [0.0, -1.2, 0.6])),
            (All, Swell([36.0, -56.0, 2.0], [22.0, 24.0, 30.0], -1.8)),
        ],
    },
    Action {
        strength: |e| e.mouth_press,
        pushes: &[
            (Upper, Move([0.0, -62.5, 25.0], [30.0, 7.0, 20.0], [0.0, -1.6, -2.0])),
            (Lower, Move([0.0, -75.5, 24.0], [30.0, 8.0, 20.0], [0.0, 2.0, -2.0])),
            (All, Move([0.0, -68.5, 24.0], [28.0, 9.0, 18.0], [0.0, 0.0, -1.2])),
            (All, Swell([0.0, -57.0, 22.0], [24.0, 6.0, 16.0], 0.7)),
            (All, Swell([28.0, -70.0, 7.0], [8.0, 9.0, 14.0], -1.2)),
        ],
    },
    Action {
        strength: |e| e.mouth_upper_up,
        pushes: &[
            (Upper, Move([0.0, -66.0, 22.0], [29.0, 20.0, 34.0], [0.0, 5.0, 0.8])),
            (All, Move([15.0, -42.0, 22.0], [12.0, 15.0, 18.0], [0.6, 1.6, 0.0])),
            (All, Swell([25.0, -48.0, 14.0], [8.0, 16.0, 16.0], -1.2)),
        ],
    },
    Action {
        strength: |e| e.mouth_lower_down,
        pushes: &[
            (Lower, Move([0.0, -72.0, 22.0], [28.0, 22.0, 34.0], [0.0, -5.5, -0.6])),
            (All, Swell([0.0, -88.0, 18.0], [24.0, 7.0, 16.0], 0.6)),
        ],
    },
];
