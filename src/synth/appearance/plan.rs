//! The plan of a face: where on the mean head things are, from its 68 landmarks.
//!
//! Rest coordinates are brought into one canonical face (mm): eyes at y = 0, nose base at −48,
//! mouth line at −70, chin at −112, sides of the face at the cheekbones at ±73. There, every
//! region has fixed bounds, so that the same plan serves any mesh. Sides and back of the head go
//! by the azimuth α around a vertical axis behind the ears' front: 0° at the nose, 180° at the
//! nape.

use super::super::exact_math::{Vector, length, sub};
use super::noise::{bell, smooth};

/// Canonical y and the landmarks (their mean) that lie there, from the top down.
const LEVELS: [(f32, &[usize]); 4] =
    [(0.0, &[36, 39, 42, 45]), (-48.0, &[33]), (-70.0, &[62, 66]), (-112.0, &[8])];

/// Turns rest coordinates into canonical ones.
pub struct Plan {
    levels: [f32; 4],
    width: f32,
    depth: f32,
    axis_z: f32,
    landmarks: [Vector; 68],
    lips: Vec<[f32; 2]>,
    lids: [Vec<[f32; 2]>; 2],
    brows: [Vec<[f32; 2]>; 2],
    mouth_z: f32,
}

/// What a point of the rest head is near to. Lengths in canonical mm.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// Canonical place; x in absolute value is the same for both sides.
    pub x: f32,
    pub y: f32,
    /// Azimuth in degrees, 0 to 180.
    pub azimuth: f32,
    /// Distance from the outline of the lips, negative inside; 99 far away.
    pub lip: f32,
    /// Height over the line between the lips.
    pub lip_height: f32,
    /// Distance from the outline of the nearer eye opening, negative inside; 99 far away.
    pub lid: f32,
    /// Height over the middle of the nearer eye.
    pub lid_height: f32,
    /// Way along the brow, 0 at the nose to 1 at the temple, and height over its middle line.
    pub brow: [f32; 2],
    /// Weights 0 to 1.
    pub nose: f32,
    pub cheek: f32,
    pub ear: f32,
    pub socket: f32,
    pub forehead: f32,
    /// 1 on the front of head and neck, 0 on clothes' ground and back.
    pub face: f32,
}

impl Plan {
    pub fn new(rest: &[Vector], landmark_vertices: &[u32; 68]) -> Self {
        let landmarks = landmark_vertices.map(|v| rest[v as usize]);
        let levels = LEVELS.map(|(_, which)| {
            which.iter().map(|&l| landmarks[l][1]).sum::<f32>() / which.len() as f32
        });
        let width = (0.5 * (landmarks[15][0] - landmarks[1][0])).max(1.0) / 73.0;
        let depth = (landmarks[30][2] - landmarks[0][2]).max(1.0) / 94.0;
        let flat = |which: std::ops::Range<usize>| -> Vec<[f32; 2]> {
            which.map(|l| [landmarks[l][0], landmarks[l][1]]).collect()
        };
        let lowered = |which: std::ops::Range<usize>, by: [f32; 5]| -> Vec<[f32; 2]> {
            let points = flat(which);
            points.iter().zip(by).map(|(p, by)| [p[0], p[1] - by]).collect()
        };
        let mut right_brow = lowered(17..22, [2.0, 3.5, 4.0, 4.0, 3.0]);
        right_brow.reverse();
        let left_brow = lowered(22..27, [3.0, 4.0, 4.0, 3.5, 2.0]);
        Self {
            levels,
            width,
            depth,
            axis_z: landmarks[0][2] - 25.0 * depth,
            lips: closed(&flat(48..60)),
            lids: [closed(&flat(36..42)), closed(&flat(42..48))],
            brows: [open(&right_brow), open(&left_brow)],
            mouth_z: landmarks[62][2],
            landmarks,
        }
    }

    pub fn landmark(&self, which: usize) -> Vector {
        self.landmarks[which]
    }

    /// Outline of an eye opening in x and y of the rest head: 0 the person's right, 1 the left.
    pub fn lid_outline(&self, side: usize) -> &[[f32; 2]] {
        &self.lids[side]
    }

    /// y in canonical mm, bent at each level.
    fn canonical_y(&self, y: f32) -> f32 {
        let [eye, nose, mouth, chin] = self.levels;
        let at = |high: f32, low: f32, from: f32, to: f32| {
            from + (y - high) / (low - high).min(-1.0) * (to - from)
        };
        if y > eye {
            (y - eye) / self.width
        } else if y > nose {
            at(eye, nose, 0.0, -48.0)
        } else if y > mouth {
            at(nose, mouth, -48.0, -70.0)
        } else {
            at(mouth, chin, -70.0, -112.0)
        }
    }

    pub fn spot(&self, p: Vector) -> Spot {
        let (x, y) = (p[0] / self.width, self.canonical_y(p[1]));
        let z = (p[2] - self.landmarks[0][2]) / self.depth - 43.0;
        let azimuth = atan2_deg(p[0].abs() / self.width, (p[2] - self.axis_z) / self.depth);
        let flat = [p[0], p[1]];
        let side = usize::from(p[0] > 0.0);
        let in_front = azimuth < 60.0 && z > -25.0;
        let near_mouth = in_front && p[2] > self.mouth_z - 32.0 && (-92.0..-50.0).contains(&y);
        let lip = if near_mouth { signed_distance(&self.lips, flat) } else { 99.0 };
        let seam = 0.5 * (self.landmarks[62][1] + self.landmarks[66][1]);
        let corner = self.landmarks[48][1];
        let half = (0.5 * (self.landmarks[54][0] - self.landmarks[48][0])).max(1.0);
        let lateral = (p[0] / half).abs().min(1.0);
        let lip_height = p[1] - (seam + (corner - seam) * lateral * lateral);
        let near_eye = in_front && (-28.0..40.0).contains(&y);
        let lid = if near_eye { signed_distance(&self.lids[side], flat) } else { 99.0 };
        let eye_middle = if side == 0 { [36, 39] } else { [42, 45] };
        let lid_y = 0.5 * (self.landmarks[eye_middle[0]][1] + self.landmarks[eye_middle[1]][1]);
        let brow = if near_eye { along(&self.brows[side], flat) } else { [-9.0, 99.0] };
        let ax = x.abs();
        let nose = bell(ax / 11.0)
            * smooth(8.0, -12.0, y)
            * smooth(-56.0, -50.0, y)
            * smooth(22.0, 32.0, z + 0.3 * (y + 48.0).abs());
        let ball = bell(ax / 11.0) * bell((y + 36.0) / 9.0) * smooth(25.0, 33.0, z);
        let cheek = bell((ax - 42.0) / 17.0) * bell((y + 36.0) / 17.0) * smooth(-30.0, -12.0, z);
        let socket = bell((ax - 31.0) / 15.0) * bell((y + 5.0) / 11.0) * smooth(-12.0, 0.0, z)
            + 0.8 * bell((ax - 17.0) / 6.0) * bell((y - 2.0) / 9.0) * smooth(-5.0, 5.0, z);
        let ear = smooth(78.0, 81.5, ax + 0.5 * smooth(0.0, -20.0, y))
            * smooth(-58.0, -48.0, y)
            * smooth(20.0, 12.0, y)
            * smooth(-105.0, -90.0, z)
            * smooth(-20.0, -32.0, z);
        let forehead =
            smooth(22.0, 34.0, y) * smooth(55.0, 40.0, azimuth) * smooth(-45.0, -25.0, z);
        let face = smooth(100.0, 80.0, azimuth) * smooth(-150.0, -130.0, y);
        Spot {
            x,
            y,
            azimuth,
            lip,
            lip_height,
            lid,
            lid_height: p[1] - lid_y,
            brow,
            nose: (0.6 * nose + ball).min(1.0),
            cheek,
            ear,
            socket: socket.min(1.0),
            forehead,
            face,
        }
    }
}

/// y of a polyline (points in rising x) at x.
pub fn line_at(points: &[[f32; 2]], x: f32) -> f32 {
    let mut before = points[0];
    for &point in points {
        if x < point[0] {
            let span = (point[0] - before[0]).max(1e-6);
            return before[1] + (x - before[0]).max(0.0) / span * (point[1] - before[1]);
        }
        before = point;
    }
    before[1]
}

/// Distance of p over the polyline (points in rising x): positive above it.
pub fn height_over(points: &[[f32; 2]], p: [f32; 2]) -> f32 {
    let above = p[1] - line_at(points, p[0]);
    let distance = points.windows(2).map(|w| segment(w[0], w[1], p).0).fold(f32::MAX, f32::min);
    if above > 0.0 { distance } else { -distance }
}

/// Distance from the segment and place along it, 0 to 1.
fn segment(a: [f32; 2], b: [f32; 2], p: [f32; 2]) -> (f32, f32) {
    let (ab, ap) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let squared = (ab[0] * ab[0] + ab[1] * ab[1]).max(1e-9);
    let t = ((ab[0] * ap[0] + ab[1] * ap[1]) / squared).clamp(0.0, 1.0);
    let off = [ap[0] - t * ab[0], ap[1] - t * ab[1]];
    ((off[0] * off[0] + off[1] * off[1]).sqrt(), t)
}

/// Distance from a closed outline, negative inside.
fn signed_distance(outline: &[[f32; 2]], p: [f32; 2]) -> f32 {
    let (mut distance, mut inside) = (f32::MAX, false);
    for (index, &a) in outline.iter().enumerate() {
        let b = outline[(index + 1) % outline.len()];
        distance = distance.min(segment(a, b, p).0);
        if (a[1] > p[1]) != (b[1] > p[1])
            && p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        {
            inside = !inside;
        }
    }
    if inside { -distance } else { distance }
}

/// Way along an open line (beyond 0..1 past its ends) and signed height over it.
fn along(line: &[[f32; 2]], p: [f32; 2]) -> [f32; 2] {
    let total: f32 = line.windows(2).map(|w| distance2(w[0], w[1])).sum();
    let (mut best, mut start) = ([0.0, f32::MAX], 0.0);
    for (index, w) in line.windows(2).enumerate() {
        let (d, mut t) = segment(w[0], w[1], p);
        let span = distance2(w[0], w[1]);
        if d < best[1].abs() {
            // Past the ends the way goes on, so that the brow can taper there.
            let ab = [w[1][0] - w[0][0], w[1][1] - w[0][1]];
            let raw =
                ((p[0] - w[0][0]) * ab[0] + (p[1] - w[0][1]) * ab[1]) / (span * span).max(1e-9);
            if (index == 0 && raw < 0.0) || (index + 2 == line.len() && raw > 1.0) {
                t = raw;
            }
            let y = w[0][1] + t.clamp(0.0, 1.0) * ab[1];
            best = [(start + t * span) / total, if p[1] >= y { d } else { -d }];
        }
        start += span;
    }
    best
}

fn distance2(a: [f32; 2], b: [f32; 2]) -> f32 {
    length(sub([a[0], a[1], 0.0], [b[0], b[1], 0.0]))
}

const STEPS: usize = 4;

/// A smooth curve through the points (Catmull & Rom, 1974).
fn open(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let last = points.len() - 1;
    let mut curve = Vec::new();
    for at in 0..last {
        let around = [at.saturating_sub(1), at, at + 1, (at + 2).min(last)].map(|i| points[i]);
        curve.extend((0..STEPS).map(|s| catmull_rom(around, s as f32 / STEPS as f32)));
    }
    curve.push(points[last]);
    curve
}

fn closed(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let count = points.len();
    (0..count)
        .flat_map(|at| {
            let around = [at + count - 1, at, at + 1, at + 2].map(|i| points[i % count]);
            (0..STEPS).map(move |s| catmull_rom(around, s as f32 / STEPS as f32))
        })
        .collect()
}

fn catmull_rom(p: [[f32; 2]; 4], t: f32) -> [f32; 2] {
    [0, 1].map(|i| {
        let [a, b, c, d] = p.map(|q| q[i]);
        0.5 * (2.0 * b
            + (c - a) * t
            + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t
            + (3.0 * b - a - 3.0 * c + d) * t * t * t)
    })
}

/// Angle of (x, y) from the y axis toward x ≥ 0, in degrees 0..180, right to 0.01°: the arctangent
/// as an odd polynomial (Abramowitz & Stegun 4.4.49).
pub(super) fn atan2_deg(x: f32, y: f32) -> f32 {
    let (low, high) = if x < y.abs() { (x, y.abs()) } else { (y.abs(), x) };
    let t = if high > 0.0 { low / high } else { 0.0 };
    let t2 = t * t;
    let angle = t
        * (0.999_866
            + t2 * (-0.330_299_5 + t2 * (0.180_141 + t2 * (-0.085_133 + t2 * 0.020_835_1))))
        * 57.295_78;
    let acute = if x < y.abs() { angle } else { 90.0 - angle };
    if y >= 0.0 { acute } else { 180.0 - acute }
}
