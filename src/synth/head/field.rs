//! Solid shapes as scalar fields: negative inside, positive outside, about the distance in mm.
//!
//! Blends are polynomial (Quilez, "Smooth minimum", 2013: `min(a, b) − h² k / 4` with
//! `h = max(k − |a − b|, 0) / k`), so that nothing but `+ − × ÷ √` is used and the same head comes
//! out on every platform. Gentle forms are not blended in but *inflated*: a bump of height `a` mm
//! is subtracted from the field, which moves the surface out by about `a`.

pub(super) type Vec3 = nalgebra::Vector3<f64>;

pub(super) fn v(x: f64, y: f64, z: f64) -> Vec3 {
    Vec3::new(x, y, z)
}

/// Union with a fillet about `k` mm wide.
pub(super) fn join(a: f64, b: f64, k: f64) -> f64 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.min(b) - 0.25 * h * h * k
}

/// `a` without `b`, with a rounded edge about `k` mm wide.
pub(super) fn carve(a: f64, b: f64, k: f64) -> f64 {
    -join(-a, b, k)
}

/// What is in both, with a rounded edge.
pub(super) fn common(a: f64, b: f64, k: f64) -> f64 {
    -join(-a, -b, k)
}

/// `|x|` rounded over ±`e`, so that mirrored shapes meet without a crease at the midline.
pub(super) fn soft_abs(x: f64, e: f64) -> f64 {
    (x * x + e * e).sqrt() - e
}

/// 0 below `low`, 1 above `high`, smooth to the second derivative between.
pub(super) fn step(low: f64, high: f64, x: f64) -> f64 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * t * (t * (6.0 * t - 15.0) + 10.0)
}

/// 1 at the centre, 0 from the radii outward, `(1 − q²)³` between: about a bell of
/// standard deviation 0.38 radii.
pub(super) fn bell(p: Vec3, centre: Vec3, radii: Vec3) -> f64 {
    let q = (p - centre).component_div(&radii).norm_squared();
    let t = (1.0 - q).max(0.0);
    t * t * t
}

/// [`bell`] on both sides of the midplane; the sides add where they overlap.
pub(super) fn bells(p: Vec3, centre: Vec3, radii: Vec3) -> f64 {
    bell(p, centre, radii) + bell(v(-p.x, p.y, p.z), centre, radii)
}

/// About the distance to an axis-aligned ellipsoid (exact for a sphere).
pub(super) fn ellipsoid(p: Vec3, centre: Vec3, radii: Vec3) -> f64 {
    let d = (p - centre).component_div(&radii);
    let k = d.norm();
    let g = d.component_div(&radii).norm();
    if g < 1e-9 { -radii.min() } else { k * (k - 1.0) / g }
}

/// A right-handed frame on the head: local axes as rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub origin: Vec3,
    axes: [Vec3; 3],
}

impl Frame {
    /// The local x axis along `x`, the local y axis as near `y` as it can be.
    pub(super) fn new(origin: Vec3, x: Vec3, y: Vec3) -> Self {
        let x = x.normalize();
        let z = x.cross(&y).normalize();
        Self { origin, axes: [x, z.cross(&x), z] }
    }

    pub(super) fn local(&self, p: Vec3) -> Vec3 {
        let d = p - self.origin;
        v(self.axes[0].dot(&d), self.axes[1].dot(&d), self.axes[2].dot(&d))
    }
}

/// A curve through nodes, each with a radius (or any other value that runs along the curve).
#[derive(Clone, Debug)]
pub(super) struct Tube {
    nodes: Vec<(Vec3, f64)>,
    centre: Vec3,
    reach: f64,
}

impl Tube {
    /// Catmull-Rom curve through nodes `[x, y, z, radius]`, cut into straight pieces.
    pub(super) fn new(nodes: &[[f64; 4]]) -> Self {
        const PIECES: usize = 4;
        let at = |i: isize| {
            let last = nodes.len() as isize - 1;
            let get = |i: isize| nalgebra::Vector4::from(nodes[i.clamp(0, last) as usize]);
            // Beyond the ends the curve goes on straight.
            match i {
                i if i < 0 => get(0) * 2.0 - get(1),
                i if i > last => get(last) * 2.0 - get(last - 1),
                i => get(i),
            }
        };
        let mut points = Vec::new();
        for i in 0..nodes.len() as isize - 1 {
            let (a, b, c, d) = (at(i - 1), at(i), at(i + 1), at(i + 2));
            for piece in 0..PIECES {
                let t = piece as f64 / PIECES as f64;
                let (t2, t3) = (t * t, t * t * t);
                let p = a * (2.0 * t2 - t - t3)
                    + b * (2.0 - 5.0 * t2 + 3.0 * t3)
                    + c * (t + 4.0 * t2 - 3.0 * t3)
                    + d * (t3 - t2);
                points.push(p * 0.5);
            }
        }
        points.push(at(nodes.len() as isize - 1));
        let nodes: Vec<_> = points.iter().map(|p| (v(p.x, p.y, p.z), p.w)).collect();
        let (mut low, mut high) = (nodes[0].0, nodes[0].0);
        for (p, _) in &nodes {
            (low, high) = (low.inf(p), high.sup(p));
        }
        let centre = (low + high) * 0.5;
        let reach = nodes.iter().map(|(p, r)| (p - centre).norm() + r.abs()).fold(0.0, f64::max);
        Self { nodes, centre, reach }
    }

    /// Distance to the curve's axis and the radius at the nearest point of it.
    fn nearest(&self, p: Vec3) -> (f64, f64) {
        let mut best = (f64::MAX, 0.0);
        for pair in self.nodes.windows(2) {
            let ((a, ra), (b, rb)) = (pair[0], pair[1]);
            let (to, along) = (p - a, b - a);
            let t = (to.dot(&along) / along.norm_squared()).clamp(0.0, 1.0);
            let d = (to - along * t).norm_squared();
            if d < best.0 {
                best = (d, ra + (rb - ra) * t);
            }
        }
        (best.0.sqrt(), best.1)
    }

    /// About the distance to the tube's skin.
    pub(super) fn solid(&self, p: Vec3) -> f64 {
        let far = (p - self.centre).norm() - self.reach;
        if far > 34.0 {
            return far;
        }
        let (d, r) = self.nearest(p);
        d - r
    }

    /// A ridge along the curve: the nodes' value on the axis, falling to 0 at `width` mm.
    pub(super) fn ridge(&self, p: Vec3, width: f64) -> f64 {
        if (p - self.centre).norm() > self.reach + width {
            return 0.0;
        }
        let (d, height) = self.nearest(p);
        let t = (1.0 - d * d / (width * width)).max(0.0);
        height * t * t * t
    }
}

/// Reads a value off a table of `(x, value)`: a cubic between the knots (Catmull-Rom on uneven
/// knots), constant beyond the ends, where it may have a corner.
pub(super) fn curve(knots: &[(f64, f64)], x: f64) -> f64 {
    hermite(knots, x, false)
}

/// [`curve`] that comes to rest at its ends, so that it has no corner there.
pub(super) fn ramp(knots: &[(f64, f64)], x: f64) -> f64 {
    hermite(knots, x, true)
}

fn hermite(knots: &[(f64, f64)], x: f64, at_rest: bool) -> f64 {
    let last = knots.len() - 1;
    if x <= knots[0].0 {
        return knots[0].1;
    }
    if x >= knots[last].0 {
        return knots[last].1;
    }
    let i = knots.iter().rposition(|k| k.0 <= x).unwrap_or(0).min(last - 1);
    let slope = |j: usize| {
        if at_rest && (j == 0 || j == last) {
            return 0.0;
        }
        let (a, b) = (knots[j.saturating_sub(1)], knots[(j + 1).min(last)]);
        (b.1 - a.1) / (b.0 - a.0)
    };
    let (a, b) = (knots[i], knots[i + 1]);
    let h = b.0 - a.0;
    let t = (x - a.0) / h;
    let (t2, t3) = (t * t, t * t * t);
    a.1 * (2.0 * t3 - 3.0 * t2 + 1.0)
        + b.1 * (3.0 * t2 - 2.0 * t3)
        + slope(i) * h * (t3 - 2.0 * t2 + t)
        + slope(i + 1) * h * (t3 - t2)
}
