//! The depth map seen from other sides: where the surface is torn, hollow or bent, a turned view
//! shows it, and a shaded front view does not.
//!
//! Each square of four neighbouring depths is two triangles. They are turned about the vertical
//! axis through the middle of the surface, projected orthographically, and drawn into a depth
//! buffer.

use crate::geometry::Vec3;
use crate::io::Picture;
use crate::maps::{DepthMap, Plane, Size};

/// From the upper left of the viewer, so that bumps look like bumps.
const LIGHT: [f32; 3] = [-0.4, 0.5, 0.77];
/// Albedo of a surface without texture.
const GREY: f32 = 0.6;
/// Colour of the surface's back, which only tears and overhangs show.
const BACK: [f32; 3] = [0.75, 0.35, 0.25];

/// Draws a depth map (pixels toward the camera, NaN where undefined) turned by `yaw_deg` about its
/// vertical axis: positive shows more of its right side.
///
/// Without `texture` the surface is grey and lit from the viewer's upper left; with it, the
/// texture (0–1, of the depth's size) is drawn under that light. The picture has `size`, and shows
/// the whole surface at one scale for every angle. The depth map is thinned to about the picture's
/// resolution first.
///
/// # Panics
/// If the texture is not of the depth map's size.
pub fn turned_view(
    depth: &DepthMap,
    texture: Option<&Plane<f32>>,
    yaw_deg: f32,
    size: Size,
    background: [u8; 3],
) -> Picture {
    assert!(texture.is_none_or(|t| t.size == depth.size), "a texture of the depth map's size");
    let mut picture = Picture::filled(size, background);
    let Some(frame) = Frame::new(depth, yaw_deg, size) else { return picture };
    let mut nearest = vec![f32::NEG_INFINITY; size.area()];
    let step = ((1.0 / frame.scale) as usize).max(1);
    let shade_of = |p: usize| texture.map_or(GREY, |t| t.data[p]);
    for row in (0..depth.size.height.saturating_sub(step)).step_by(step) {
        for column in (0..depth.size.width.saturating_sub(step)).step_by(step) {
            let at = row * depth.size.width + column;
            let corners = [at, at + step, at + step * depth.size.width];
            let other = at + step * depth.size.width + step;
            for corners in [corners, [corners[1], other, corners[2]]] {
                let points = corners.map(|p| frame.point(depth, p));
                let shade = corners.map(shade_of).iter().sum::<f32>() / 3.0;
                draw(&mut picture, &mut nearest, points, shade);
            }
        }
    }
    picture
}

/// Where the surface's points come to lie in the picture.
struct Frame {
    middle: [f32; 3],
    turn: [f32; 2],
    scale: f32,
    size: Size,
}

impl Frame {
    /// `None` where no depth is defined.
    fn new(depth: &DepthMap, yaw_deg: f32, size: Size) -> Option<Self> {
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        let mut sorted: Vec<f32> = Vec::new();
        for (p, &z) in depth.data.iter().enumerate().filter(|(_, z)| z.is_finite()) {
            let place = [(p % depth.size.width) as f32, (p / depth.size.width) as f32];
            for axis in 0..2 {
                low[axis] = low[axis].min(place[axis]);
                high[axis] = high[axis].max(place[axis]);
            }
            sorted.push(z);
        }
        if sorted.is_empty() {
            return None;
        }
        sorted.sort_unstable_by(f32::total_cmp);
        // Single spikes may leave the picture; they are seen all the same.
        let at = |share: f32| sorted[((sorted.len() - 1) as f32 * share) as usize];
        (low[2], high[2]) = (at(0.005), at(0.995));
        let length = [0, 1, 2].map(|axis| (high[axis] - low[axis]).max(1.0));
        let (sin, cos) = yaw_deg.to_radians().sin_cos();
        // The widest that any angle up to 45° needs.
        let width = 0.71 * (length[0] + length[2].min(length[0])).max(1.41 * length[0]);
        let scale = (size.width as f32 / width).min(size.height as f32 / length[1]) * 0.94;
        Some(Self {
            middle: [0, 1, 2].map(|axis| 0.5 * (low[axis] + high[axis])),
            turn: [cos, sin],
            scale,
            size,
        })
    }

    /// Column and row in the picture, and height toward the viewer, in the picture's pixels.
    fn point(&self, depth: &DepthMap, p: usize) -> [f32; 3] {
        let x = (p % depth.size.width) as f32 - self.middle[0];
        let y = (p / depth.size.width) as f32 - self.middle[1];
        let z = depth.data[p] - self.middle[2];
        // The surface turns to the left, so that its right side comes forward.
        let [cos, sin] = self.turn;
        [
            0.5 * self.size.width as f32 + self.scale * (cos * x - sin * z),
            0.5 * self.size.height as f32 + self.scale * y,
            self.scale * (sin * x + cos * z),
        ]
    }
}

/// Draws one triangle where it is nearest; nothing for one with an undefined corner.
fn draw(picture: &mut Picture, nearest: &mut [f32], points: [[f32; 3]; 3], shade: f32) {
    let [a, b, c] = points;
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
    if area == 0.0 || points.iter().flatten().any(|v| !v.is_finite()) || shade.is_nan() {
        return;
    }
    let colour = {
        // y up: rows run down.
        let edge = |p: [f32; 3]| Vec3::new(p[0] - a[0], a[1] - p[1], p[2] - a[2]);
        let normal = edge(c).cross(&edge(b)).normalize();
        let front = normal.z > 0.0;
        let facing = (if front { normal } else { -normal }).dot(&Vec3::from(LIGHT)).max(0.0);
        let light = shade * (0.2 + 0.8 * facing);
        let tint = if front { [1.0; 3] } else { BACK };
        tint.map(|t| (255.0 * (t * light).clamp(0.0, 1.0).powf(1.0 / 2.2)).round() as u8)
    };
    let Size { height, width } = picture.size;
    let range = |axis: usize, end: usize| {
        let low = points.iter().map(|p| p[axis]).fold(f32::INFINITY, f32::min).ceil().max(0.0);
        let high = points.iter().map(|p| p[axis]).fold(f32::NEG_INFINITY, f32::max).floor();
        low as usize..((high + 1.0).max(0.0) as usize).min(end)
    };
    for row in range(1, height) {
        for column in range(0, width) {
            let (x, y) = (column as f32, row as f32);
            let weight = |p: [f32; 3], q: [f32; 3]| {
                ((q[0] - p[0]) * (y - p[1]) - (x - p[0]) * (q[1] - p[1])) / area
            };
            let (u, v, w) = (weight(b, c), weight(c, a), weight(a, b));
            // A hair beyond the edges, so that neighbours leave no gap between them.
            if u.min(v).min(w) < -1e-4 {
                continue;
            }
            let z = u * a[2] + v * b[2] + w * c[2];
            let at = row * width + column;
            if z > nearest[at] {
                nearest[at] = z;
                picture.set(row, column, colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: [u8; 3] = [255; 3];

    #[test]
    fn a_flat_square_narrows_by_the_cosine() {
        let depth = Plane::filled(Size::new(60, 60), 0.0);
        let columns = |yaw: f32| {
            let view = turned_view(&depth, None, yaw, Size::new(120, 120), WHITE);
            (0..120).filter(|&c| view.get(60, c) != WHITE).count()
        };
        let front = columns(0.0) as f32;
        assert!(front > 60.0, "{front}");
        assert!((columns(40.0) as f32 / front - 40f32.to_radians().cos()).abs() < 0.03);
        let nothing = Plane::filled(Size::new(60, 60), f32::NAN);
        let view = turned_view(&nothing, None, 0.0, Size::new(20, 20), WHITE);
        assert!(view.data.iter().all(|&v| v == 255));
    }

    #[test]
    fn what_is_nearer_moves_against_the_turn_and_hides_what_is_behind() {
        // A black ridge, columns 25 to 34, 20 px over a bright floor of 60 columns.
        let ridge = |c: usize| (25..35).contains(&c);
        let size = Size::new(60, 60);
        let depth = Plane::from_fn(size, |_, c| if ridge(c) { 20.0 } else { 0.0 });
        let texture = Plane::from_fn(size, |_, c| if ridge(c) { 0.0 } else { 0.9 });
        let view = |yaw: f32| turned_view(&depth, Some(&texture), yaw, Size::new(200, 200), WHITE);
        let columns = |yaw: f32, wanted: fn(u8) -> bool| -> Vec<usize> {
            let view = view(yaw);
            (0..200).filter(|&c| wanted(view.get(100, c)[0])).collect()
        };
        let scale = columns(0.0, |v| v != 255).len() as f32 / 59.0;
        for yaw in [30.0f32, -30.0] {
            let black = columns(yaw, |v| v == 0);
            let middle = black.iter().sum::<usize>() as f32 / black.len() as f32;
            // The ridge stands 10 px before the middle of all depths.
            let want = 100.0 - scale * 10.0 * yaw.to_radians().sin();
            assert!((middle - want).abs() < 1.5, "{yaw}°: {middle}, not {want}");
            let width = scale * 9.0 * yaw.to_radians().cos();
            assert!((black.len() as f32 - width).abs() < 2.0, "{yaw}°: {black:?}, not {width}");
        }
    }
}
