//! Shows a face from the front that looked elsewhere.
//!
//! The depth map is a mesh of the pixels' centres, two triangles to each four neighbours. It is
//! turned, seen along parallel rays again, and drawn with a depth buffer: of all that lies on one
//! line of sight the nearest is seen. What the camera did not see stays open: nothing is mirrored
//! or made up.

use super::align::FaceMaps;
use super::pose::HeadPose;
use crate::geometry::Vec3;
use crate::integrate::MAX_SLOPE;
use crate::maps::{NormalMap, Plane, Size};
use nalgebra::Vector3;

/// The point of the mesh that a pixel shows.
#[derive(Clone, Copy)]
struct Hit {
    z: f64,
    /// Pixels of the source, and their weights.
    corners: [usize; 3],
    weights: [f64; 3],
}

impl Hit {
    fn blend(&self, value: impl Fn(usize) -> f32) -> f32 {
        let parts = self.corners.iter().zip(self.weights);
        // A corner of no weight may be NaN.
        let seen = parts.filter(|(_, weight)| *weight > 0.0);
        seen.map(|(&p, weight)| weight * f64::from(value(p))).sum::<f64>() as f32
    }
}

/// The maps as they are seen once the head is turned by `pose` (see [`HeadPose::to_frontal`]), of the
/// same size; its pivot stays in its place.
///
/// Off the new mask lies what was hidden or turned away from the camera, what touches a step of
/// depth steeper than [`MAX_SLOPE`] (there the mesh is torn), and what lacks a normal. Rays are
/// parallel, as they are for depth in pixels. No turn changes nothing.
///
/// # Panics
/// If the maps differ in size.
pub fn frontalise(maps: &FaceMaps, pose: &HeadPose) -> FaceMaps {
    if pose.to_frontal.matrix() == &nalgebra::Matrix3::identity() {
        return maps.clone();
    }
    let size = maps.mask.size;
    let hits = draw(maps, pose);
    let turn = pose.to_frontal.cast::<f32>();
    let unset = Vec3::repeat(f32::NAN);
    let hit = |row: usize, column: usize| hits[row * size.width + column].as_ref();
    let normals = NormalMap::from_fn(size, |row, column| {
        let Some(hit) = hit(row, column) else { return unset };
        let component = |values: &[f32]| hit.blend(|p| values[p]);
        let [x, y, z] = [maps.normals.x(), maps.normals.y(), maps.normals.z()].map(component);
        let n = turn * Vec3::new(x, y, z).try_normalize(1e-6).unwrap_or(unset);
        // Seen from the front and turned away at once: the depth and the normal contradict.
        if n.z > 0.0 { n } else { unset }
    });
    let mask = Plane::new(size, normals.z().iter().map(|z| !z.is_nan()).collect());
    let blended = |plane: &Plane<f32>| {
        let value = |r, c| hit(r, c).map_or(f32::NAN, |hit| hit.blend(|p| plane.data[p]));
        Plane::from_fn(size, value).masked(&mask)
    };
    let seen = |p: &usize| mask.data[*p];
    let depths = || hits.iter().enumerate().filter(|(p, _)| seen(p)).flat_map(|(_, hit)| hit);
    let mean = depths().map(|hit| hit.z).sum::<f64>() / depths().count().max(1) as f64;
    let depth = Plane::from_fn(size, |r, c| hit(r, c).map_or(f32::NAN, |h| (h.z - mean) as f32));
    // As in an aligned picture, see `FaceMaps::warped`.
    let inverse =
        |plane: &Plane<f32>| Plane::new(size, plane.data.iter().map(|v| 1.0 / v).collect());
    let square = |plane: &Plane<f32>| Plane::new(size, plane.data.iter().map(|v| v * v).collect());
    let mut residual = blended(&square(&maps.residual));
    residual.data.iter_mut().for_each(|v| *v = v.sqrt());
    FaceMaps {
        albedo: blended(&maps.albedo),
        albedo_rgb: maps.albedo_rgb.as_ref().map(|rgb| rgb.each_ref().map(blended)),
        depth: depth.masked(&mask),
        residual,
        confidence: inverse(&blended(&inverse(&maps.confidence))),
        normals,
        mask,
    }
}

/// What each pixel of the turned view shows.
fn draw(maps: &FaceMaps, pose: &HeadPose) -> Vec<Option<Hit>> {
    let Size { height, width } = maps.mask.size;
    let mut hits = vec![None; maps.mask.size.area()];
    let turned = |p: usize| {
        let (row, column) = ((p / width) as f64, (p % width) as f64);
        pose.apply(Vector3::new(column, -row, f64::from(maps.depth.data[p])))
    };
    for row in 1..height {
        for column in 1..width {
            let p = row * width + column;
            // Clockwise from the upper left.
            let square = [p - width - 1, p - width, p, p - 1];
            for corners in triangles(square, maps).into_iter().flatten() {
                draw_triangle(&mut hits, maps.mask.size, corners, corners.map(turned));
            }
        }
    }
    hits
}

/// The triangles of a square of four pixels, where they are defined and not torn; corners clockwise.
fn triangles(square: [usize; 4], maps: &FaceMaps) -> [Option<[usize; 3]>; 2] {
    let z = |p: usize| maps.depth.data[p];
    // NaN is not within any slope.
    let whole = |[a, b, c]: [usize; 3]| {
        let within = |p: usize, q: usize| (z(p) - z(q)).abs() <= MAX_SLOPE;
        [a, b, c].iter().all(|&p| maps.mask.data[p]) && within(a, b) && within(b, c)
    };
    let [a, b, c, d] = square;
    // A triangle's middle corner is the right angle: both its legs are steps of one pixel.
    let falling = [[a, b, c], [c, d, a]];
    let rising = [[b, c, d], [d, a, b]];
    let defined = |p: usize| maps.mask.data[p] && z(p).is_finite();
    let smoother = if square.iter().all(|&p| defined(p)) {
        (z(a) - z(c)).abs() <= (z(b) - z(d)).abs()
    } else {
        // Of three pixels one triangle is left.
        defined(a) && defined(c)
    };
    (if smoother { falling } else { rising }).map(|triangle| Some(triangle).filter(|t| whole(*t)))
}

/// Draws one triangle into the pixels whose centres it covers, edges included.
fn draw_triangle(
    hits: &mut [Option<Hit>],
    size: Size,
    corners: [usize; 3],
    places: [Vector3<f64>; 3],
) {
    let [a, b, c] = places;
    let cross = |p: Vector3<f64>, q: Vector3<f64>, x: f64, y: f64| {
        (q.x - p.x) * (y - p.y) - (q.y - p.y) * (x - p.x)
    };
    // Clockwise as seen: negative with y up. Else its back is seen.
    let area = cross(a, b, c.x, c.y);
    if area.is_nan() || area >= 0.0 {
        return;
    }
    let range = |low: f64, high: f64, length: usize| {
        let first = low.ceil().max(0.0) as usize;
        first..(high.floor() + 1.0).clamp(0.0, length as f64) as usize
    };
    let (low_x, high_x) = (a.x.min(b.x).min(c.x), a.x.max(b.x).max(c.x));
    let (low_y, high_y) = (a.y.min(b.y).min(c.y), a.y.max(b.y).max(c.y));
    for row in range(-high_y, -low_y, size.height) {
        for column in range(low_x, high_x, size.width) {
            let (x, y) = (column as f64, -(row as f64));
            let weights =
                [cross(b, c, x, y) / area, cross(c, a, x, y) / area, cross(a, b, x, y) / area];
            if weights.iter().any(|weight| *weight < -1e-9) {
                continue;
            }
            let z = weights[0] * a.z + weights[1] * b.z + weights[2] * c.z;
            let hit = &mut hits[row * size.width + column];
            if hit.is_none_or(|before| z > before.z) {
                *hit = Some(Hit { z, corners, weights: weights.map(|weight| weight.max(0.0)) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::angle_between_deg;
    use crate::maps::Mask;
    use nalgebra::{Matrix3, Rotation3};

    const SIZE: Size = Size { height: 260, width: 240 };
    /// Half-axes and centre of the ellipsoid; position as in [`HeadPose`].
    const AXES: [f64; 3] = [68.0, 96.0, 82.0];
    const CENTRE: [f64; 3] = [121.3, -128.4, 0.0];

    /// Point and normal of the ellipsoid, turned, at a pixel.
    fn ellipsoid(turn: &Rotation3<f64>, column: f64, row: f64) -> Option<(f64, Vector3<f64>)> {
        let shape = Matrix3::from_diagonal(&Vector3::from(AXES.map(|a| 1.0 / (a * a))));
        let m = turn.matrix() * shape * turn.matrix().transpose();
        let (x, y) = (column - CENTRE[0], -row - CENTRE[1]);
        // m₂₂ z² + 2 b z + c = 0.
        let b = m[(0, 2)] * x + m[(1, 2)] * y;
        let c = m[(0, 0)] * x * x + 2.0 * m[(0, 1)] * x * y + m[(1, 1)] * y * y - 1.0;
        let root = b * b - m[(2, 2)] * c;
        (root > 0.0).then(|| {
            let z = (root.sqrt() - b) / m[(2, 2)];
            (z, (m * Vector3::new(x, y, z)).normalize())
        })
    }

    fn maps_of(turn: &Rotation3<f64>) -> FaceMaps {
        let at = |r: usize, c: usize| ellipsoid(turn, c as f64, r as f64);
        let mask: Mask = Plane::from_fn(SIZE, |r, c| at(r, c).is_some());
        // Painted on the body: its own x.
        let albedo = |r: usize, c: usize| {
            let z = at(r, c).map_or(f64::NAN, |s| s.0);
            let place = Vector3::new(c as f64 - CENTRE[0], -(r as f64) - CENTRE[1], z);
            (0.5 + 0.005 * (turn.inverse() * place).x) as f32
        };
        let unset = Vec3::repeat(f32::NAN);
        FaceMaps {
            normals: NormalMap::from_fn(SIZE, |r, c| at(r, c).map_or(unset, |s| s.1.cast())),
            albedo: Plane::from_fn(SIZE, albedo),
            albedo_rgb: None,
            depth: Plane::from_fn(SIZE, |r, c| at(r, c).map_or(f32::NAN, |s| s.0 as f32)),
            residual: Plane::filled(SIZE, 0.02).masked(&mask),
            confidence: Plane::filled(SIZE, 0.5).masked(&mask),
            mask,
        }
    }

    fn yaw(degrees: f64) -> Rotation3<f64> {
        Rotation3::from_axis_angle(&Vector3::y_axis(), degrees.to_radians())
    }

    #[test]
    fn an_ellipsoid_turned_by_30_degrees_is_turned_back() {
        let turn = yaw(30.0);
        let pose = HeadPose { to_frontal: turn.inverse(), pivot: Vector3::from(CENTRE) };
        let frontal = frontalise(&maps_of(&turn), &pose);
        let none = Rotation3::identity();
        let (mut errors, mut angles, mut missing, mut hidden) = (Vec::new(), Vec::new(), 0, 0);
        for r in 0..SIZE.height {
            for c in 0..SIZE.width {
                let p = r * SIZE.width + c;
                let Some((z, n)) = ellipsoid(&none, c as f64, r as f64) else {
                    // Its rim is as wide as a pixel.
                    continue;
                };
                let seen_before = (turn * n).z;
                if seen_before < 0.0 {
                    hidden += 1;
                    assert!(!frontal.mask.data[p], "({r}, {c}) was hidden");
                } else if seen_before > 0.25 && n.z > 0.15 {
                    // Not within a pixel of either outline: tan 75°.
                    missing += usize::from(!frontal.mask.data[p]);
                }
                if frontal.mask.data[p] && n.z > 0.25 && seen_before > 0.25 {
                    errors.push(f64::from(frontal.depth.data[p]) - z);
                    angles.push(angle_between_deg(frontal.normals.at(p), n.cast()));
                    let albedo = 0.5 + 0.005 * (c as f64 - CENTRE[0]);
                    assert!((f64::from(frontal.albedo.data[p]) - albedo).abs() < 2e-3);
                    assert!((frontal.confidence.data[p] - 0.5).abs() < 1e-6);
                    assert!((frontal.residual.data[p] - 0.02).abs() < 1e-6);
                }
            }
        }
        assert!(hidden > 1000 && errors.len() > 10_000, "{hidden} hidden, {} seen", errors.len());
        assert_eq!(missing, 0);
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let most = errors.iter().map(|e| (e - mean).abs()).fold(0.0, f64::max);
        let square = errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>();
        let rms = (square / errors.len() as f64).sqrt();
        // A chord of length s sags by s²/(8 R): up to a slope of √15 it is 4 pixels long, and the least
        // radius is 68²/96.
        assert!(most < 16.0 / (8.0 * 48.0) && rms < most / 3.0, "rms {rms}, at most {most}");
        let most = angles.iter().copied().fold(0.0, f32::max);
        assert!(most < 0.1, "{most}°");
    }

    #[test]
    fn what_stands_in_front_hides_what_lies_behind() {
        // A wall with a post before it; turned to the right, the post covers other wall.
        let mut maps = maps_of(&Rotation3::identity());
        let post = |c: usize| (100..120).contains(&c);
        maps.mask = Plane::filled(SIZE, true);
        maps.depth = Plane::from_fn(SIZE, |_, c| if post(c) { 60.0 } else { 0.0 });
        maps.normals = NormalMap::from_fn(SIZE, |_, _| Vec3::z());
        maps.albedo = Plane::from_fn(SIZE, |_, c| if post(c) { 1.0 } else { 0.2 });
        maps.residual = Plane::filled(SIZE, 0.0);
        maps.confidence = Plane::filled(SIZE, 1.0);
        let pose = HeadPose { to_frontal: yaw(30.0), pivot: Vector3::new(110.0, -130.0, 0.0) };
        let frontal = frontalise(&maps, &pose);
        let line: Vec<f32> = (0..SIZE.width).map(|c| *frontal.albedo.at(130, c)).collect();
        // The post's front from 110 − 10 cos 30° + 60 sin 30° = 131.3 to 147.8; the wall ends at 100.5
        // and begins again at 118.7: in between stood the post.
        for (c, value) in line.iter().enumerate() {
            let x = c as f64;
            if (132.4..146.8).contains(&x) {
                assert_eq!(*value, 1.0, "{c}");
            } else if (101.5..117.7).contains(&x) {
                assert!(value.is_nan(), "behind the post at {c}: {value}");
            } else if [20.0..100.0, 119.7..130.3, 149.0..200.0].iter().any(|r| r.contains(&x)) {
                assert!((value - 0.2).abs() < 1e-6, "{value} at {c}");
            }
        }
    }

    #[test]
    fn the_back_of_a_surface_is_not_shown_whatever_its_normals_say() {
        let mut maps = maps_of(&Rotation3::identity());
        maps.mask = Plane::filled(SIZE, true);
        maps.depth = Plane::filled(SIZE, 0.0);
        let turn = yaw(120.0);
        maps.normals = NormalMap::from_fn(SIZE, |_, _| (turn.inverse() * Vector3::z()).cast());
        let pose = HeadPose { to_frontal: turn, pivot: Vector3::new(120.0, -130.0, 0.0) };
        assert_eq!(frontalise(&maps, &pose).mask.count(), 0);
    }

    #[test]
    fn no_turn_changes_nothing() {
        let maps = maps_of(&yaw(10.0));
        let pose = HeadPose { to_frontal: Rotation3::identity(), pivot: Vector3::zeros() };
        let same = frontalise(&maps, &pose);
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&same.depth.data), bits(&maps.depth.data));
        assert_eq!(bits(&same.normals.data), bits(&maps.normals.data));
        assert_eq!(same.mask, maps.mask);
    }
}
