//! What is not skin: eyeballs, teeth and tongue, each a closed mesh of its own.

use super::field::{Vec3, v};
use super::sculpt::{EYE, EYEBALL_MM};

/// A closed mesh in the head frame.
pub(super) struct Patch {
    pub positions: Vec<Vec3>,
    pub triangles: Vec<[u32; 3]>,
}

/// Points of the unit circle, evenly enough: by half tangents, so without sines.
fn circle(count: usize) -> Vec<[f64; 2]> {
    let eighth = count / 8;
    (0..count)
        .map(|i| {
            let (octant, step) = (i / eighth, i % eighth);
            // tan(π/8) ends the octant's half angle.
            let t = (step as f64 / eighth as f64) * 0.414_213_562_373_095_03;
            let (c, s) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
            const H: f64 = std::f64::consts::FRAC_1_SQRT_2;
            let turn = [
                [1.0, 0.0],
                [H, H],
                [0.0, 1.0],
                [-H, H],
                [-1.0, 0.0],
                [-H, -H],
                [0.0, -1.0],
                [H, -H],
            ];
            let [a, b] = turn[octant];
            [a * c - b * s, b * c + a * s]
        })
        .collect()
}

/// Rings between two poles; `rings` run from the first pole to the second, each counter-clockwise
/// seen from the first pole's side.
fn rings(first: Vec3, rings: &[Vec<Vec3>], last: Vec3) -> Patch {
    let n = rings[0].len() as u32;
    let mut positions = vec![first];
    positions.extend(rings.iter().flatten());
    positions.push(last);
    let end = positions.len() as u32 - 1;
    let at = |ring: u32, i: u32| 1 + ring * n + i % n;
    let mut triangles = Vec::new();
    let count = rings.len() as u32;
    for i in 0..n {
        triangles.push([0, at(0, i), at(0, i + 1)]);
        for ring in 0..count - 1 {
            let (a, b) = (at(ring, i), at(ring, i + 1));
            let (c, d) = (at(ring + 1, i), at(ring + 1, i + 1));
            triangles.extend([[a, c, d], [a, d, b]]);
        }
        triangles.push([at(count - 1, i), end, at(count - 1, i + 1)]);
    }
    Patch { positions, triangles }
}

/// Radius of the cornea's curvature and the place of its centre before the eyeball's.
const CORNEA_MM: [f64; 2] = [7.8, 5.35];

/// An eyeball that looks straight ahead, its pole at the pupil; rings lie close at the limbus
/// (5.9 mm from the axis).
pub(super) fn eyeball(side: f64, fine: bool) -> Patch {
    let around = circle(if fine { 48 } else { 24 });
    let mut half_tangents = vec![0.04, 0.08, 0.12, 0.16, 0.20, 0.23, 0.25, 0.265, 0.28, 0.31, 0.36];
    half_tangents.extend([0.42, 0.50, 0.60, 0.72, 0.86, 1.05, 1.5, 3.0]);
    let surface = |d: Vec3| {
        let [r, c] = CORNEA_MM;
        let along = c * d.z;
        let cornea = along + (r * r - c * c + along * along).sqrt();
        // The smooth maximum: the sclera runs into the cornea.
        let h = (0.5 - (cornea - EYEBALL_MM).abs()).max(0.0) / 0.5;
        d * (cornea.max(EYEBALL_MM) + 0.125 * h * h)
    };
    let centre = v(side * EYE.x, EYE.y, EYE.z);
    let ring = |t: f64| {
        let (c, s) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        around.iter().map(|[x, y]| centre + surface(v(s * x, s * y, c))).collect()
    };
    let loops: Vec<Vec<Vec3>> = half_tangents.into_iter().map(ring).collect();
    rings(centre + surface(v(0.0, 0.0, 1.0)), &loops, centre + surface(v(0.0, 0.0, -1.0)))
}

/// About the widths of the teeth from the midline, mm.
const UPPER_TEETH: [f64; 6] = [8.5, 6.5, 7.5, 7.0, 7.0, 9.0];
const LOWER_TEETH: [f64; 6] = [5.4, 5.9, 6.9, 7.0, 7.0, 10.0];

/// A row of teeth with its gum as one closed band.
pub(super) fn teeth(upper: bool, fine: bool) -> Patch {
    let widths = if upper { UPPER_TEETH } else { LOWER_TEETH };
    let steps = if fine { 6 } else { 4 };
    // Stations along half the arch: distance, bulge of the crown, how far the edge reaches.
    let mut half: Vec<(f64, f64, f64)> = Vec::new();
    let mut start = 0.0;
    for (tooth, width) in widths.iter().enumerate() {
        for k in 0..steps {
            let t = (k as f64 + 0.5) / steps as f64;
            let q = 2.0 * t - 1.0;
            let q4 = q * q * q * q;
            let canine = if tooth == 2 { 0.6 * (1.0 - q.abs()) } else { 0.0 };
            half.push((start + t * width, 0.7 * (1.0 - q4), 1.0 - 1.1 * q4 + canine));
        }
        start += width;
    }
    let mirrored = half.iter().rev().map(|&(s, b, e)| (-s, b, e));
    let stations: Vec<_> = mirrored.chain(half.iter().copied()).collect();
    let (front, edge, gum, sign) =
        if upper { (13.6, -71.4, -57.0, -1.0) } else { (11.4, -69.8, -83.0, 1.0) };
    let section = |&(s, bulge, reach): &(f64, f64, f64)| -> Vec<Vec3> {
        // A parabola walked by arc length, near enough: z falls with the square of x.
        let x = s / (1.0 + (s / 46.0) * (s / 46.0));
        let z = front - x * x / 22.0;
        let slope = v(x / 11.0, 0.0, 1.0).normalize();
        let at = |y: f64, out: f64| v(x, y, z) + slope * out;
        let tip = edge + sign * (reach - 1.0);
        let root = edge - sign * 8.5;
        vec![
            at(gum, 0.6),
            at(root, 0.9),
            at(root + sign * 0.8, bulge * 0.5),
            at(0.5 * (root + tip), bulge),
            at(tip - sign * 1.0, 0.75 * bulge),
            at(tip, 0.2 * bulge - 0.4),
            at(tip - sign * 0.6, -2.0),
            at(0.5 * (root + tip), -4.5),
            at(gum, -6.0),
        ]
    };
    let mut loops: Vec<Vec<Vec3>> = stations.iter().map(section).collect();
    if upper {
        loops.iter_mut().for_each(|section| section.reverse());
    }
    let middle = |section: &Vec<Vec3>| section.iter().sum::<Vec3>() / section.len() as f64;
    let (first, last) = (middle(&loops[0]), middle(&loops[loops.len() - 1]));
    rings(first, &loops, last)
}

/// The tongue at rest on the floor of the mouth.
pub(super) fn tongue(fine: bool) -> Patch {
    let around = circle(if fine { 32 } else { 16 });
    let centre = v(0.0, -78.5, -14.0);
    let ring = |t: f64| {
        let (c, s) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        around.iter().map(|[x, y]| centre + v(17.0 * s * x, 6.5 * s * y, 19.0 * c)).collect()
    };
    let loops: Vec<Vec<Vec3>> =
        [0.15, 0.3, 0.5, 0.75, 1.0, 1.5, 3.0].into_iter().map(ring).collect();
    rings(centre + v(0.0, 0.0, 19.0), &loops, centre - v(0.0, 0.0, 19.0))
}
