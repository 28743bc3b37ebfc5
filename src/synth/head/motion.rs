//! Parts that move about something: lips that close, lids that slide on the eyeball, the jaw.

use super::Expression;
use super::field::{Vec3, step, v};
use super::sculpt::{EYE, lip_gap, lip_line, lower_lid, upper_lid};

/// Where a vertex of the solid lies when the lips are closed.
pub(super) fn close_lips(p: Vec3) -> Vec3 {
    let d = p.y - lip_line(p.x);
    let gap = lip_gap(p.x) * (1.0 - step(22.9, 24.7, p.x.abs())) - 0.04;
    if gap <= 0.0 || d.abs() > 12.0 || p.z < -12.0 {
        return p;
    }
    let share = (1.0 - step(1.2, 11.0, d.abs())) * step(-12.0, 2.0, p.z);
    let moved = (d.abs() - gap * share).max(0.08 * d.abs());
    v(p.x, lip_line(p.x) + d.signum() * moved, p.z)
}

/// How far the vertex at `p` of the solid follows the lower jaw: 1 on the chin, 0 on the skull;
/// the line of the lips parts the two.
pub(super) fn jaw_share(p: Vec3) -> f64 {
    let x = p.x.abs();
    let corner = step(5.0, 26.0, x);
    // From the corner of the mouth the border runs up to the hinge.
    let back = ((8.0 - p.z) / 82.0).clamp(0.0, 1.0);
    let border = lip_line(x) + 50.0 * back;
    let d = p.y - border;
    let reach = 24.0 + 10.0 * back;
    let share = if d > 0.0 {
        0.5 * corner * (1.0 - step(0.0, reach, d))
    } else {
        1.0 - 0.5 * corner * (1.0 - step(0.0, 0.8 * reach, -d))
    };
    // The skin of the throat stays with the neck.
    let throat = -p.y - 0.6 * p.z;
    share * (1.0 - step(112.0, 168.0, throat)) * step(-92.0, -66.0, p.z)
}

/// The hinge of the jaw, in the midplane.
const HINGE: Vec3 = Vec3::new(0.0, -18.0, -72.0);

/// A place after the jaw has opened, `open` 0 to 1 (18° and 3 mm forward at 1).
pub(super) fn drop_jaw(p: Vec3, open: f64) -> Vec3 {
    // The angle by its half tangent: no function but division.
    let t = 0.158 * open;
    let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
    let d = p - HINGE;
    HINGE + v(d.x, d.y * cos - d.z * sin, d.y * sin + d.z * cos + 3.0 * open)
}

/// One eye's lids: which vertices, and where the margins run.
pub(super) struct Lids {
    /// Vertex, how much it belongs to the lid, whether to the upper one.
    members: Vec<(u32, f64, bool)>,
    /// Vertices on the upper and lower margin, from the medial corner to the lateral.
    margins: Vec<[u32; 2]>,
    /// Vertices held at their distance from the eye's centre: vertex, share, distance.
    held: Vec<(u32, f64, f64)>,
    side: f64,
}

/// Where along the eye the margins are read.
const STATIONS: [f64; 11] = [-14.2, -12.0, -9.5, -7.0, -4.0, -1.0, 2.0, 5.0, 8.0, 10.5, 12.8];

impl Lids {
    /// Of the eye on `side` (1 is the person's left); `skin` are the vertices of the mean head.
    pub(super) fn new(skin: &[Vec3], side: f64) -> Self {
        let centre = v(side * EYE.x, EYE.y, EYE.z);
        let local = |p: Vec3| v(side * (p.x - centre.x), p.y - centre.y, p.z - centre.z);
        let (mut members, mut held) = (Vec::new(), Vec::new());
        for (i, &p) in skin.iter().enumerate() {
            let d = local(p);
            let r = d.norm();
            if r > 21.0 || d.z < -4.0 {
                continue;
            }
            let front = step(-4.0, 1.0, d.z);
            held.push((i as u32, front * (1.0 - step(15.0, 20.0, r)), r));
            // Only in front: sliding takes the depth to be positive.
            let facing = step(0.5, 4.5, d.z);
            let share = step(11.0, 11.9, r) * (1.0 - step(15.5, 20.0, r)) * facing;
            if share > 0.0 {
                let middle = 0.5 * (upper_lid(d.x) + lower_lid(d.x));
                members.push((i as u32, share, d.y > middle));
            }
        }
        // The rim: the foremost vertex about there, or the nearest if there is none so near.
        let nearest = |dx: f64, y: f64| {
            let cost = |i: u32| {
                let d = local(skin[i as usize]);
                let off = (d.x - dx) * (d.x - dx) + (d.y - y) * (d.y - y);
                if off < 0.6 * 0.6 { -d.z } else { off }
            };
            let pool = members.iter().map(|m| m.0);
            pool.min_by(|&a, &b| cost(a).total_cmp(&cost(b))).unwrap_or(0)
        };
        let margins =
            STATIONS.iter().map(|&dx| [nearest(dx, upper_lid(dx)), nearest(dx, lower_lid(dx))]);
        Self { margins: margins.collect(), members, held, side }
    }

    /// Lays the lids of a person on the eyeball about `centre`.
    pub(super) fn lay(&self, positions: &mut [Vec3], centre: Vec3) {
        for &(i, share, distance) in &self.held {
            let d = positions[i as usize] - centre;
            let stretch = distance / d.norm().max(1e-6) - 1.0;
            positions[i as usize] = centre + d * (1.0 + share * stretch);
        }
    }

    /// Opens and closes the lids about `centre` by `strength` times the expression.
    pub(super) fn slide(
        &self,
        positions: &mut [Vec3],
        centre: Vec3,
        e: &Expression,
        strength: f64,
    ) {
        let amount = |x: f32, most: f64| (f64::from(x) * strength).clamp(0.0, most);
        let blink = amount(e.eye_blink, 1.0);
        let (squint, wide) = (amount(e.eye_squint, 1.2), amount(e.eye_wide, 1.2));
        let cheek = amount(e.cheek_squint.max(0.6 * e.mouth_smile), 1.2);
        let gaze = f64::from(e.gaze_y).clamp(-1.0, 1.0);
        let frown = amount(e.brow_down, 1.0);
        if blink + squint + wide + cheek + frown == 0.0 && gaze == 0.0 {
            return;
        }
        let sine = |p: Vec3| {
            let d = p - centre;
            d.y / (d.y * d.y + d.z * d.z).sqrt().max(1e-6)
        };
        // Sines of elevation of the two margins as the person has them, by place along the eye.
        let stations: Vec<(f64, f64, f64)> = self
            .margins
            .iter()
            .map(|&[upper, lower]| {
                let (u, l) = (positions[upper as usize], positions[lower as usize]);
                let along = 0.5 * (u.x + l.x) - centre.x;
                (self.side * along, sine(u), sine(l).min(sine(u)))
            })
            .collect();
        let ends = [stations[0].0, stations[stations.len() - 1].0];
        let read = |dx: f64| {
            let i = stations.partition_point(|s| s.0 <= dx).clamp(1, stations.len() - 1);
            let (a, b) = (stations[i - 1], stations[i]);
            let t = ((dx - a.0) / (b.0 - a.0).max(1e-6)).clamp(0.0, 1.0);
            (a.1 + t * (b.1 - a.1), a.2 + t * (b.2 - a.2))
        };
        for &(i, share, upper) in &self.members {
            let p = &mut positions[i as usize];
            let d = *p - centre;
            if d.z <= 0.0 {
                continue;
            }
            let dx = self.side * d.x;
            let (su, sl) = read(dx);
            // The corners stay where they are.
            let share = share
                * step(ends[0] - 2.0, ends[0] - 0.4, dx)
                * (1.0 - step(ends[1] + 0.5, ends[1] + 3.0, dx));
            let open = su - sl;
            let wanted_upper = su
                + open * (0.20 * wide + 0.10 * gaze - 0.16 * squint - 0.05 * frown - 0.08 * cheek);
            let wanted_lower =
                sl + open * (0.26 * squint - 0.06 * wide + 0.04 * gaze + 0.20 * cheek);
            let meet = sl + 0.14 * open;
            let new_upper = wanted_upper + blink * (meet - wanted_upper);
            // A little over, so that no slit stays.
            let new_lower = wanted_lower + blink * (meet + 0.03 * open - wanted_lower);
            let rho = (d.y * d.y + d.z * d.z).sqrt();
            let s = d.y / rho.max(1e-6);
            let slide = if upper {
                (new_upper - su) * (1.0 - step(0.0, 0.62, s - su))
            } else {
                (new_lower - sl) * (1.0 - step(0.0, 0.55, sl - s))
            };
            let most = s.abs().max(0.99);
            let s = (s + share * slide).clamp(-most, most);
            *p = centre + v(d.x, rho * s, rho * (1.0 - s * s).sqrt());
        }
    }
}
