//! What makes one face differ from another: a table of shape parameters with their statistics.
//!
//! Each parameter is a field that moves the mean head by one population standard deviation (of
//! men and women pooled). Its score is `m g + √(1 − m²) (Σ load·factor + own·noise)`: a shift by
//! the dimorphism m with masculinity g, loads on four hidden factors (size, breadth, length, fat)
//! and the rest its own, so that within a sex two parameters correlate by the sum over the factors
//! of the products of their loads. Men and women pooled have mean 0 and variance 1.
//!
//! The amounts and signs are of the order that anthropometric surveys report (Farkas 1994; Zhuang
//! and Bradtmiller 2005); they are rounded by eye, not fitted to the surveys' tables.

use super::Topology;
use super::deform::Push;
use super::deform::Push::*;
use super::field::Vec3;
use super::normals::vertex_normals;
use crate::synth::draws::Draws;
use crate::synth::surface::Part;

/// Hidden factors that tie the parameters together.
const FACTORS: usize = 4;

/// A shape parameter: a standard score along a field of displacements.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    /// Mean score of men; that of women is its negative.
    pub masculine: f32,
    /// Loads on size, breadth, length and fat.
    pub loads: [f32; FACTORS],
    /// What a score of 1 does.
    pub(super) pushes: &'static [Push],
}

impl Parameter {
    /// Spread within a sex: what the pooled unit variance leaves.
    fn within(&self) -> f64 {
        let m = f64::from(self.masculine);
        (1.0 - m * m).max(0.0).sqrt()
    }
}

macro_rules! parameters {
    ($($name:ident $masculine:literal $loads:expr => [$($push:expr),+ $(,)?]),+ $(,)?) => {
        &[$(Parameter {
            name: stringify!($name),
            masculine: $masculine,
            loads: $loads,
            pushes: &[$($push),+],
        }),+]
    };
}

/// All parameters, in the order of the scores in an identity vector.
pub const PARAMETERS: &[Parameter] = parameters![
    // Head as a whole.
    head_size 0.50 [0.85, 0.0, 0.0, 0.0] => [Grow([0.0, 0.0, 0.0], [0.030, 0.030, 0.030])],
    head_width 0.15 [0.0, 0.7, -0.2, 0.2] => [Grow([0.0, 0.0, 0.0], [0.030, 0.0, 0.0])],
    head_length 0.10 [0.1, -0.4, 0.2, 0.0] => [
        Scale([0.0, 30.0, -20.0], [300.0, 300.0, 330.0], [0.0, 0.0, 0.032]),
    ],
    crown_height 0.0 [0.0, -0.1, 0.4, 0.0] => [
        Heights(&[(10.0, 0.0), (60.0, 1.2), (115.0, 2.6)]),
        Move([0.0, 105.0, -90.0], [130.0, 70.0, 130.0], [0.0, 2.4, 0.0]),
    ],
    occiput 0.10 [0.0; 4] => [Move([0.0, 10.0, -170.0], [90.0, 70.0, 80.0], [0.0, 0.0, -5.0])],
    // Forehead and brow.
    forehead_slope 0.45 [0.0; 4] => [Move([0.0, 72.0, 0.0], [90.0, 50.0, 70.0], [0.0, 0.0, -4.2])],
    forehead_bulge -0.35 [0.0; 4] => [Swell([22.0, 50.0, 8.0], [34.0, 28.0, 40.0], 1.7)],
    forehead_width 0.0 [0.0, 0.45, 0.0, 0.0] => [
        Move([56.0, 36.0, -28.0], [40.0, 45.0, 50.0], [2.6, 0.0, 0.0]),
    ],
    temple_hollow 0.25 [0.0, 0.0, 0.1, -0.55] => [
        Swell([57.0, 14.0, -28.0], [26.0, 30.0, 30.0], -2.0),
    ],
    brow_ridge 0.75 [0.0, 0.0, 0.0, -0.1] => [
        Swell([17.0, 16.5, 17.0], [22.0, 11.0, 22.0], 1.7),
        Swell([36.0, 19.0, 10.0], [20.0, 10.0, 22.0], 1.0),
    ],
    glabella 0.40 [0.0; 4] => [Swell([0.0, 20.0, 20.0], [17.0, 15.0, 20.0], 1.3)],
    brow_height -0.55 [0.0, 0.0, 0.15, 0.0] => [
        Move([30.0, 17.0, 10.0], [38.0, 17.0, 32.0], [0.0, 2.0, -0.5]),
    ],
    brow_arch -0.35 [0.0; 4] => [
        Move([42.0, 18.0, 5.0], [18.0, 15.0, 25.0], [0.0, 1.8, 0.3]),
        Move([12.0, 17.0, 16.0], [16.0, 13.0, 20.0], [0.0, -1.0, 0.0]),
    ],
    // Eyes.
    eye_spacing 0.15 [0.1, 0.5, 0.0, 0.0] => [
        Carry([31.5, 0.0, 6.0], [32.0, 30.0, 40.0], [1.8, 0.0, 0.0]),
    ],
    eye_depth 0.15 [0.0, 0.0, 0.1, -0.3] => [
        Carry([31.5, 0.0, 4.0], [32.0, 25.0, 34.0], [0.0, 0.0, -1.7]),
    ],
    eye_height 0.0 [0.0; 4] => [Carry([31.5, 0.0, 6.0], [32.0, 28.0, 40.0], [0.0, 1.2, 0.0])],
    fissure_width 0.05 [0.0, 0.3, 0.0, 0.0] => [
        Move([46.5, 0.5, 4.0], [11.0, 10.0, 18.0], [1.3, 0.0, 0.0]),
        Move([16.5, -2.0, 7.0], [10.0, 10.0, 18.0], [-0.6, 0.0, 0.0]),
    ],
    eye_opening -0.30 [0.0, 0.0, 0.1, -0.1] => [
        Move([31.0, 5.0, 12.0], [15.0, 6.5, 11.0], [0.0, 0.9, 0.0]),
        Move([32.0, -5.5, 12.0], [13.0, 5.0, 10.0], [0.0, -0.35, 0.0]),
    ],
    lower_lid 0.0 [0.0; 4] => [Move([34.0, -5.0, 11.0], [13.0, 5.5, 10.0], [0.0, -0.7, 0.0])],
    canthal_tilt -0.30 [0.0; 4] => [
        Move([45.5, 1.0, 4.0], [15.0, 12.0, 18.0], [0.0, 1.5, 0.0]),
        Move([17.5, -2.0, 8.0], [10.0, 9.0, 16.0], [0.0, -0.5, 0.0]),
    ],
    lid_fold 0.10 [0.0, 0.1, 0.0, 0.35] => [
        Move([34.0, 10.5, 12.5], [20.0, 8.0, 15.0], [0.0, -1.3, 0.8]),
    ],
    lid_hood 0.15 [0.0, 0.0, 0.0, 0.1] => [
        Move([43.0, 9.0, 8.0], [14.0, 9.5, 16.0], [0.0, -1.4, 0.5]),
    ],
    epicanthus -0.05 [0.0, 0.3, -0.1, 0.0] => [
        Move([20.0, 4.5, 11.0], [10.0, 9.0, 14.0], [0.3, -1.0, 0.8]),
    ],
    eye_bag 0.10 [0.0, 0.0, 0.0, 0.3] => [
        Swell([31.0, -10.5, 12.0], [16.0, 5.0, 14.0], 1.0),
        Swell([26.0, -17.0, 11.0], [16.0, 5.0, 14.0], -0.7),
    ],
    // Nose.
    nasal_root 0.25 [0.0, -0.3, 0.1, 0.0] => [
        Move([0.0, 4.0, 17.0], [15.0, 20.0, 20.0], [0.0, 0.0, 2.3]),
    ],
    bridge_width 0.15 [0.0, 0.4, 0.0, 0.1] => [
        Move([9.0, -8.0, 17.0], [9.0, 24.0, 18.0], [1.3, 0.0, 0.0]),
    ],
    nose_hump 0.25 [0.0, -0.2, 0.2, 0.0] => [
        Move([0.0, -13.0, 27.0], [11.0, 15.0, 20.0], [0.0, 0.0, 1.6]),
    ],
    nose_length 0.20 [0.1, 0.0, 0.5, 0.0] => [
        Move([0.0, -42.0, 28.0], [26.0, 30.0, 34.0], [0.0, -2.4, 0.0]),
    ],
    nose_projection 0.25 [0.1, -0.3, 0.2, 0.0] => [
        Move([0.0, -37.0, 36.0], [21.0, 24.0, 30.0], [0.0, 0.0, 2.6]),
    ],
    tip_rotation -0.40 [0.0; 4] => [Move([0.0, -38.0, 40.0], [16.0, 17.0, 20.0], [0.0, 2.2, 0.0])],
    tip_width 0.15 [0.0, 0.35, 0.0, 0.25] => [
        Move([7.0, -36.0, 35.0], [9.0, 12.0, 14.0], [1.2, 0.0, 0.2]),
    ],
    tip_bulb 0.10 [0.0; 4] => [
        Swell([0.0, -36.0, 39.0], [14.0, 11.0, 14.0], 1.2),
        Swell([0.0, -25.0, 33.0], [12.0, 8.0, 14.0], -0.7),
    ],
    wing_width 0.35 [0.0, 0.55, 0.0, 0.15] => [
        Move([15.5, -41.0, 22.0], [13.0, 16.0, 20.0], [2.0, 0.0, 0.0]),
    ],
    wing_height 0.0 [0.0; 4] => [Move([14.0, -43.0, 24.0], [8.0, 10.0, 14.0], [0.0, 1.3, 0.0])],
    nostril 0.05 [0.0, 0.3, 0.0, 0.0] => [Swell([14.5, -42.0, 25.0], [9.0, 9.0, 13.0], 0.9)],
    columella 0.0 [0.0; 4] => [Move([0.0, -46.0, 29.0], [6.5, 7.0, 14.0], [0.0, -1.1, 0.0])],
    // Cheeks.
    face_width 0.30 [0.1, 0.7, -0.1, 0.1] => [
        Move([62.0, -18.0, -38.0], [38.0, 55.0, 60.0], [3.4, 0.0, 0.0]),
    ],
    cheekbone -0.15 [0.0, 0.2, 0.0, -0.25] => [Swell([46.0, -17.0, -4.0], [26.0, 20.0, 34.0], 2.0)],
    cheekbone_height -0.10 [0.0; 4] => [
        Move([46.0, -20.0, -4.0], [28.0, 22.0, 34.0], [0.0, 2.8, 0.0]),
    ],
    front_cheek -0.35 [0.0, 0.1, 0.0, 0.35] => [
        Swell([34.0, -30.0, 8.0], [25.0, 25.0, 28.0], 1.6),
    ],
    cheek_fullness -0.40 [0.0, 0.1, -0.1, 0.8] => [
        Swell([45.0, -54.0, -14.0], [30.0, 34.0, 44.0], 3.4),
    ],
    fold 0.15 [0.0, 0.0, 0.0, 0.2] => [
        Swell([26.5, -51.0, 14.0], [9.0, 18.0, 16.0], -1.0),
        Swell([35.0, -46.0, 8.0], [12.0, 20.0, 20.0], 0.9),
    ],
    mid_projection 0.0 [0.0, -0.1, 0.0, 0.0] => [
        Profile(&[(-112.0, 0.6), (-75.0, 2.2), (-50.0, 2.6), (-20.0, 1.6), (25.0, 0.0)]),
    ],
    // Proportions.
    nose_height 0.25 [0.1, -0.2, 0.55, 0.0] => [
        Heights(&[(-160.0, 0.0), (-110.0, -2.4), (-48.0, -2.4), (-15.0, -0.4), (0.0, 0.0)]),
    ],
    lower_height 0.45 [0.1, -0.1, 0.55, 0.0] => [
        Heights(&[(-165.0, 0.0), (-112.0, -4.2), (-70.0, -1.0), (-46.0, 0.0)]),
    ],
    lip_height 0.20 [0.0, 0.0, 0.2, 0.0] => [
        Heights(&[(-98.0, 0.0), (-80.0, -1.6), (-62.0, -1.6), (-56.0, -0.8), (-44.0, 0.0)]),
    ],
    jaw_projection 0.05 [0.0; 4] => [
        Profile(&[(-150.0, 0.0), (-112.0, 4.2), (-98.0, 3.8), (-76.0, 1.6), (-55.0, 0.0)]),
    ],
    // Mouth.
    mouth_width 0.25 [0.1, 0.4, 0.0, 0.0] => [
        Move([25.0, -69.0, 9.0], [22.0, 18.0, 30.0], [2.7, 0.0, -0.8]),
    ],
    upper_lip -0.35 [0.0, 0.3, 0.0, 0.1] => [
        Move([0.0, -61.5, 24.0], [25.0, 7.5, 16.0], [0.0, 1.2, 0.9]),
    ],
    lower_lip -0.25 [0.0, 0.3, 0.0, 0.1] => [
        Move([0.0, -76.0, 24.0], [23.0, 8.5, 16.0], [0.0, -1.3, 1.0]),
    ],
    lip_projection -0.05 [0.0, 0.3, 0.0, 0.0] => [
        Move([0.0, -67.0, 22.0], [32.0, 21.0, 30.0], [0.0, 0.0, 2.0]),
    ],
    cupid -0.15 [0.0; 4] => [
        Move([5.5, -60.0, 24.0], [5.5, 5.0, 10.0], [0.0, 0.9, 0.3]),
        Move([0.0, -61.0, 25.0], [4.0, 4.5, 9.0], [0.0, -0.6, -0.3]),
    ],
    philtrum 0.05 [0.0; 4] => [
        Swell([0.0, -54.5, 22.0], [4.5, 9.0, 10.0], -0.6),
        Swell([6.0, -55.0, 22.0], [4.0, 9.0, 10.0], 0.4),
    ],
    mouth_corner -0.05 [0.0; 4] => [Move([25.0, -69.0, 9.0], [15.0, 12.0, 22.0], [0.0, 1.2, 0.0])],
    lip_arch 0.0 [0.0; 4] => [
        Move([12.0, -68.0, 18.0], [12.0, 8.0, 16.0], [0.0, 0.7, 0.0]),
        Move([0.0, -68.0, 20.0], [8.0, 8.0, 16.0], [0.0, -0.7, 0.0]),
    ],
    mentolabial 0.15 [0.0, 0.0, -0.1, 0.0] => [Swell([0.0, -86.0, 16.0], [24.0, 9.0, 16.0], -1.3)],
    // Jaw and chin.
    jaw_width 0.50 [0.1, 0.45, -0.1, 0.25] => [
        Move([52.0, -70.0, -50.0], [40.0, 52.0, 66.0], [3.6, 0.0, 0.0]),
    ],
    jaw_angle 0.45 [0.0, 0.1, 0.0, 0.0] => [
        Move([47.0, -84.0, -42.0], [36.0, 42.0, 52.0], [1.2, -2.6, 0.0]),
    ],
    jaw_taper 0.20 [0.0, 0.2, 0.0, 0.15] => [
        Move([36.0, -92.0, -22.0], [28.0, 30.0, 40.0], [2.8, 0.0, 0.6]),
    ],
    chin_width 0.50 [0.0, 0.3, 0.0, 0.0] => [
        Move([17.0, -99.0, 10.0], [17.0, 20.0, 26.0], [2.4, 0.0, 0.9]),
    ],
    chin_projection 0.35 [0.0; 4] => [
        Move([0.0, -100.0, 16.0], [32.0, 22.0, 34.0], [0.0, 0.0, 3.0]),
    ],
    chin_height 0.25 [0.0, 0.0, 0.3, 0.0] => [
        Move([0.0, -106.0, 12.0], [32.0, 24.0, 40.0], [0.0, -2.6, 0.0]),
    ],
    chin_point -0.30 [0.0; 4] => [
        Move([0.0, -108.0, 14.0], [12.0, 14.0, 24.0], [0.0, -1.4, 0.8]),
        Swell([17.0, -103.0, 9.0], [16.0, 17.0, 24.0], -0.7),
    ],
    chin_cleft 0.30 [0.0; 4] => [Swell([0.0, -101.0, 20.0], [5.0, 9.0, 12.0], -0.7)],
    jowl 0.15 [0.0, 0.0, 0.0, 0.5] => [Swell([36.0, -92.0, -16.0], [20.0, 22.0, 30.0], 1.8)],
    under_chin 0.10 [0.0, 0.1, -0.1, 0.8] => [
        Move([0.0, -116.0, -22.0], [46.0, 28.0, 48.0], [0.0, -5.0, 1.5]),
    ],
    // Neck, ears, body.
    neck_width 0.65 [0.1, 0.2, 0.0, 0.45] => [
        Scale([0.0, -150.0, -92.0], [150.0, 115.0, 150.0], [0.09, 0.0, 0.08]),
    ],
    larynx 0.75 [0.0, 0.0, 0.1, -0.3] => [
        Move([0.0, -151.0, -38.0], [16.0, 24.0, 26.0], [0.0, 0.0, 2.6]),
    ],
    neck_length -0.10 [0.0, 0.0, 0.3, -0.2] => [
        Move([0.0, -290.0, -105.0], [420.0, 170.0, 300.0], [0.0, -10.0, 0.0]),
    ],
    shoulder_width 0.70 [0.2, 0.2, 0.0, 0.2] => [
        Move([180.0, -250.0, -110.0], [140.0, 130.0, 130.0], [13.0, 3.0, 0.0]),
    ],
    ear_size 0.45 [0.1, 0.0, 0.2, 0.0] => [
        Scale([70.0, -16.0, -88.0], [42.0, 62.0, 55.0], [0.0, 0.11, 0.11]),
    ],
    ear_flare 0.15 [0.0; 4] => [Move([84.0, -12.0, -105.0], [20.0, 48.0, 34.0], [3.4, 0.0, 1.5])],
    ear_lobe 0.10 [0.0; 4] => [Move([73.0, -43.0, -83.0], [14.0, 18.0, 20.0], [0.5, -2.2, 0.0])],
    ear_height 0.0 [0.0; 4] => [Move([72.0, -16.0, -88.0], [40.0, 62.0, 60.0], [0.0, 2.2, 0.0])],
    // Forms that have no name, to tell faces apart that agree in the measures above.
    form_0 0.0 [0.0; 4] => [
        Swell([14.0, 33.0, 16.0], [20.0, 16.0, 24.0], 0.8),
        Swell([40.0, 40.0, 4.0], [24.0, 22.0, 28.0], -0.7),
    ],
    form_1 0.0 [0.0; 4] => [Swell([50.0, 2.0, -10.0], [20.0, 18.0, 24.0], 1.0)],
    form_2 0.0 [0.0; 4] => [Swell([20.0, -30.0, 13.0], [11.0, 16.0, 16.0], 0.9)],
    form_3 0.0 [0.0; 4] => [Swell([56.0, -40.0, -34.0], [24.0, 26.0, 30.0], 1.6)],
    form_4 0.0 [0.0; 4] => [Swell([20.0, -58.0, 17.0], [14.0, 12.0, 18.0], 0.9)],
    form_5 0.0 [0.0; 4] => [Swell([22.0, -84.0, 12.0], [15.0, 14.0, 18.0], 0.9)],
    form_6 0.0 [0.0; 4] => [Swell([38.0, -64.0, -2.0], [18.0, 22.0, 26.0], 1.3)],
    form_7 0.0 [0.0; 4] => [Swell([0.0, 60.0, 10.0], [26.0, 30.0, 30.0], 1.3)],
    form_8 0.0 [0.0; 4] => [
        Swell([0.0, -2.0, 18.0], [13.0, 11.0, 18.0], 0.8),
        Move([0.0, -25.0, 34.0], [10.0, 10.0, 16.0], [0.0, 0.0, 0.8]),
    ],
    form_9 0.0 [0.0; 4] => [Swell([62.0, -58.0, -52.0], [22.0, 30.0, 34.0], 1.5)],
    // Uneven sides: everybody has some.
    uneven_brow 0.0 [0.0; 4] => [Left([30.0, 18.0, 10.0], [32.0, 16.0, 30.0], [0.0, 1.1, 0.0])],
    uneven_eye 0.0 [0.0; 4] => [CarryLeft([31.5, 0.0, 6.0], [32.0, 28.0, 40.0], [0.0, 0.6, 0.0])],
    uneven_lid 0.0 [0.0; 4] => [Left([31.0, 5.0, 12.0], [15.0, 5.5, 10.0], [0.0, 0.45, 0.0])],
    uneven_fold 0.0 [0.0; 4] => [Left([35.0, 10.0, 12.0], [18.0, 8.0, 15.0], [0.0, -0.5, 0.2])],
    nose_lean 0.0 [0.0; 4] => [Shift([0.0, -38.0, 32.0], [24.0, 30.0, 34.0], [0.9, 0.0, 0.0])],
    bridge_lean 0.0 [0.0; 4] => [Shift([0.0, -14.0, 24.0], [14.0, 18.0, 22.0], [0.7, 0.0, 0.0])],
    uneven_wing 0.0 [0.0; 4] => [Left([14.5, -42.0, 22.0], [9.0, 11.0, 14.0], [0.3, 0.6, 0.0])],
    mouth_lean 0.0 [0.0; 4] => [Shift([0.0, -70.0, 16.0], [40.0, 30.0, 40.0], [0.9, 0.0, 0.0])],
    uneven_mouth 0.0 [0.0; 4] => [Left([24.0, -69.0, 9.0], [20.0, 14.0, 26.0], [0.0, 0.9, 0.0])],
    jaw_lean 0.0 [0.0; 4] => [Shift([0.0, -98.0, 0.0], [70.0, 46.0, 80.0], [1.3, 0.0, 0.0])],
    uneven_cheek 0.0 [0.0; 4] => [SwellLeft([42.0, -34.0, -2.0], [32.0, 42.0, 44.0], 1.0)],
    uneven_jaw 0.0 [0.0; 4] => [SwellLeft([48.0, -74.0, -40.0], [30.0, 32.0, 44.0], 1.3)],
    uneven_ear 0.0 [0.0; 4] => [Left([82.0, -14.0, -100.0], [24.0, 48.0, 40.0], [1.6, 1.2, 0.0])],
];

/// What grows with the weight of a person, away from eyes and bones.
const OF_WEIGHT: [&str; 8] = [
    "temple_hollow",
    "front_cheek",
    "cheek_fullness",
    "jaw_width",
    "jaw_taper",
    "jowl",
    "under_chin",
    "neck_width",
];

/// How far each vertex of any head moves, in mm, when its person's weight rises by one standard
/// deviation of the population's: the fields above by their loads on the factor "fat".
pub(in super::super) fn weight_field(topology: &Topology) -> Vec<[f32; 3]> {
    const FAT: usize = FACTORS - 1;
    let mut skin = vec![true; topology.rest.len()];
    for (triangle, &part) in topology.triangles.iter().zip(&topology.parts) {
        if part != Part::Skin {
            triangle.iter().for_each(|&v| skin[v as usize] = false);
        }
    }
    let parameters: Vec<&Parameter> =
        PARAMETERS.iter().filter(|p| OF_WEIGHT.contains(&p.name)).collect();
    let normals = vertex_normals(&topology.rest, &topology.triangles);
    let at = |vertex: usize| -> [f32; 3] {
        if !skin[vertex] {
            return [0.0; 3];
        }
        let wide = |v: [f32; 3]| Vec3::from(v.map(f64::from));
        let (place, normal) = (wide(topology.rest[vertex]), wide(normals[vertex]));
        let moved: Vec3 = parameters
            .iter()
            .flat_map(|p| p.pushes.iter().map(|push| (p.within() * f64::from(p.loads[FAT]), push)))
            .map(|(amount, push)| push.at(place, normal) * amount)
            .sum();
        [moved.x as f32, moved.y as f32, moved.z as f32]
    };
    (0..topology.rest.len()).map(at).collect()
}

/// Scores of a person, cut at ±2.6 about the mean of the sex: no monsters.
pub(super) fn sample(masculinity: f32, draws: &mut Draws) -> Vec<f32> {
    let factors: [f64; FACTORS] = std::array::from_fn(|_| draws.normal());
    PARAMETERS
        .iter()
        .map(|parameter| {
            let shared: f64 =
                parameter.loads.iter().zip(factors).map(|(&load, f)| f64::from(load) * f).sum();
            let own = 1.0 - parameter.loads.iter().map(|&l| f64::from(l * l)).sum::<f64>();
            let m = f64::from(parameter.masculine);
            let score = parameter.within() * (shared + own.max(0.0).sqrt() * draws.normal());
            (f64::from(masculinity) * m + score.clamp(-2.6, 2.6)) as f32
        })
        .collect()
}
