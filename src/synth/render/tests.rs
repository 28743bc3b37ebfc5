//! The tracer on scenes that have a closed form.

use super::*;
use crate::geometry::{Vec3, light_from_zenith_azimuth};
use crate::maps::Size;
use crate::synth::exact_math::{Vector, add, cross, dot, length, normalise, scale, sub};
use crate::synth::surface::{Material, Part, Surface};

/// Numbers that no symmetry hides behind.
pub struct Soup(pub u64);

impl Soup {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

pub const MATTE: Material =
    Material { albedo: [0.8, 0.5, 0.3], specular: 0.0, roughness: 0.3, subsurface: 0.0 };

/// Loose triangles with flat normals.
pub fn surface(triangles: &[[Vector; 3]]) -> Surface {
    let mut surface = Surface::default();
    for [a, b, c] in triangles {
        let normal = normalise(cross(sub(*b, *a), sub(*c, *a)));
        let first = surface.positions.len() as u32;
        surface.positions.extend([a, b, c]);
        surface.normals.extend([normal; 3]);
        surface.materials.extend([MATTE; 3]);
        surface.triangles.push([first, first + 1, first + 2]);
        surface.parts.push(Part::Skin);
    }
    surface
}

/// A sphere of `rows` × 2 `rows` quadrilaterals with exact normals.
pub fn sphere(centre: Vector, radius: f32, rows: usize, material: Material) -> Surface {
    let columns = 2 * rows;
    let mut surface = Surface::default();
    for i in 0..=rows {
        for j in 0..=columns {
            let turn = |share: f64, of: f64| (share * of * std::f64::consts::PI).sin_cos();
            let (st, ct) = turn(i as f64 / rows as f64, 1.0);
            let (sp, cp) = turn((j % columns) as f64 / columns as f64, 2.0);
            let normal = [st * sp, ct, st * cp].map(|x| x as f32);
            surface.normals.push(normal);
            surface.positions.push(add(centre, scale(normal, radius)));
            surface.materials.push(material);
        }
    }
    let at = |i: usize, j: usize| (i * (columns + 1) + j) as u32;
    for i in 0..rows {
        for j in 0..columns {
            if i > 0 {
                surface.triangles.push([at(i, j), at(i + 1, j), at(i, j + 1)]);
            }
            if i + 1 < rows {
                surface.triangles.push([at(i, j + 1), at(i + 1, j), at(i + 1, j + 1)]);
            }
        }
    }
    surface.parts = vec![Part::Skin; surface.triangles.len()];
    surface
}

/// A rectangle `centre ± x ± y` that faces x × y.
pub fn rectangle(centre: Vector, x: Vector, y: Vector, material: Material, part: Part) -> Surface {
    let corner = |a: f32, b: f32| add(centre, add(scale(x, a), scale(y, b)));
    Surface {
        positions: vec![corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)],
        normals: vec![normalise(cross(x, y)); 4],
        materials: vec![material; 4],
        triangles: vec![[0, 1, 2], [0, 2, 3]],
        parts: vec![part; 2],
    }
}

fn floor(z: f32) -> Surface {
    rectangle([0.0, 0.0, z], [200.0, 0.0, 0.0], [0.0, 200.0, 0.0], MATTE, Part::Clothes)
}

fn array(v: Vec3) -> Vector {
    [v.x, v.y, v.z]
}

const SIZE: Size = Size { height: 120, width: 150 };
const MM_PER_PX: f64 = 1.0;

fn parallel() -> View {
    View::Orthographic { mm_per_px: MM_PER_PX, centre_px: [74.3, 58.9] }
}

/// x and y in mm of a pixel under [`parallel`].
fn place(column: usize, row: usize) -> [f32; 2] {
    [column as f32 - 74.3, 58.9 - row as f32]
}

fn pixels() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..SIZE.area()).map(|p| (p, p % SIZE.width, p / SIZE.width))
}

/// How far the straight way from a point to a light stays outside a sphere; negative if blocked.
fn clearing(point: Vector, light: &Light, centre: Vector, radius: f32) -> f32 {
    let (to, end) = match *light {
        Light::Distant { direction, .. } => (normalise(direction), f32::INFINITY),
        Light::Near { position_mm, .. } => {
            let way = sub(position_mm, point);
            (normalise(way), length(way))
        }
    };
    let along = dot(sub(centre, point), to).clamp(0.0, end);
    length(sub(add(point, scale(to, along)), centre)) - radius
}

fn lights_before_and_after_a_turn() -> Vec<Light> {
    // The rig as it stands, and turned by 10° about the camera's axis.
    [0.0, 10.0]
        .into_iter()
        .flat_map(|turn| {
            let far = array(light_from_zenith_azimuth(35.0, 60.0 + turn));
            let near = scale(array(light_from_zenith_azimuth(40.0, 250.0 + turn)), 150.0);
            [Light::distant(far, 0.9), Light::point(near, 0.8, 140.0)]
        })
        .collect()
}

fn frontal(lights: Vec<Light>) -> Frame {
    Frame { pose: HeadPose::FRONTAL, lights }
}

fn one_sample() -> Options {
    Options { samples_per_side: 1, ..Options::default() }
}

#[test]
fn a_ball_throws_its_shadow_where_geometry_says() {
    let (centre, radius) = ([5.0, -3.0, 0.0], 20.0);
    let scene = Scene::build(&[&sphere(centre, radius, 90, MATTE), &floor(-35.0)]).unwrap();
    for light in lights_before_and_after_a_turn() {
        let frame = frontal(vec![light]);
        let truth = truth(&scene, &parallel(), SIZE, &frame, &one_sample());
        let image = image(&scene, &parallel(), SIZE, &frame, &one_sample());
        let (mut shaded, mut judged) = (0, 0);
        for (pixel, column, row) in pixels() {
            let [x, y] = place(column, row);
            let beside = (x - centre[0]).hypot(y - centre[1]) - radius;
            if beside < 1.0 {
                continue;
            }
            assert_eq!(truth.part.data[pixel], Part::Clothes as u8);
            let clearing = clearing([x, y, -35.0], &light, centre, radius);
            // The ball is a polyhedron: within r (1 − cos(π/180)²) of the sphere.
            if clearing.abs() < 0.02 {
                continue;
            }
            judged += 1;
            let blocked = clearing < 0.0;
            shaded += usize::from(blocked);
            let own = &truth.lights[0];
            assert_eq!(own.cast_shadow.data[pixel], blocked, "({column}, {row}) {light:?}");
            assert!(!own.attached_shadow.data[pixel]);
            assert_eq!(image.pixels[pixel][0] == 0.0, blocked, "({column}, {row}) {light:?}");
        }
        assert!(shaded > 300 && judged > 10_000, "{shaded} of {judged}");
    }
}

#[test]
fn a_ball_is_shaded_by_its_normals_and_dark_behind_the_terminator() {
    let radius = 50.0;
    for rows in [16, 100] {
        let scene = Scene::build(&[&sphere([0.0; 3], radius, rows, MATTE)]).unwrap();
        for light in lights_before_and_after_a_turn() {
            let frame = frontal(vec![light]);
            let shown = image(&scene, &parallel(), SIZE, &frame, &one_sample());
            let truth = truth(&scene, &parallel(), SIZE, &frame, &one_sample());
            let mut seen = 0;
            for (pixel, column, row) in pixels() {
                let [x, y] = place(column, row);
                let z2 = radius * radius - x * x - y * y;
                if z2 < 0.1 * radius * radius {
                    continue;
                }
                let point = [x, y, z2.sqrt()];
                let normal = scale(point, 1.0 / radius);
                let (toward, strength) = match light {
                    Light::Distant { direction, intensity, .. } => {
                        (normalise(direction), intensity)
                    }
                    Light::Near { position_mm, intensity, reference_mm, .. } => {
                        let way = sub(position_mm, point);
                        (normalise(way), intensity * reference_mm * reference_mm / dot(way, way))
                    }
                };
                let cosine = dot(normal, toward);
                let own = &truth.lights[0];
                seen += 1;
                // A coarse ball's surface lies up to 1 − cos²(π/32) = 1 % of the radius too low, which
                // moves what a pixel sees by three times that where the slope is 3.
                let tolerance = if rows == 16 { 0.03 } else { 8e-4 };
                let normal_off = length(sub(normal, array(truth.normals.at(pixel))));
                assert!(normal_off < tolerance, "({column}, {row}): normal off by {normal_off}");
                // No triangle shadows its own smooth surface, however coarse.
                assert!(
                    !own.cast_shadow.data[pixel],
                    "acne at ({column}, {row}), {rows} {light:?}"
                );
                if cosine.abs() > tolerance {
                    assert_eq!(own.attached_shadow.data[pixel], cosine < 0.0, "({column}, {row})");
                }
                for c in 0..3 {
                    let want = MATTE.albedo[c] * strength * cosine.max(0.0);
                    let got = shown.pixels[pixel][c];
                    let off = (got - want).abs();
                    assert!(
                        off < tolerance * (1.0 + strength),
                        "({column}, {row}): {got}, not {want}"
                    );
                }
            }
            assert!(seen > 6000);
        }
    }
}

#[test]
fn light_falls_off_with_the_square_of_the_distance_and_with_its_lobe() {
    let scene = Scene::build(&[&floor(-10.0)]).unwrap();
    let position = [20.0, 10.0, 70.0];
    let light = Light::Near {
        position_mm: position,
        intensity: 1.7,
        reference_mm: 60.0,
        axis: [0.0, 0.0, -2.0],
        exponent: 2.5,
        radius_mm: 0.0,
    };
    let shown = image(&scene, &parallel(), SIZE, &frontal(vec![light]), &one_sample());
    for (pixel, column, row) in pixels() {
        let [x, y] = place(column, row).map(f64::from);
        let (dx, dy, dz) = (20.0 - x, 10.0 - y, 80.0);
        let squared = dx * dx + dy * dy + dz * dz;
        // On a plane across the axis the lobe's angle is that of incidence.
        let cosine = dz / squared.sqrt();
        let want = 0.8 * 1.7 * (60.0 * 60.0 / squared) * cosine * cosine.powf(2.5);
        let got = f64::from(shown.pixels[pixel][0]);
        assert!((got - want).abs() < 1e-5 * want + 1e-6, "({column}, {row}): {got}, not {want}");
    }
}

#[test]
fn the_highlight_lies_where_the_normal_halves_the_angle() {
    let (radius, alpha, f0) = (50.0f32, 0.12f32, 0.04f32);
    let shiny = Material { albedo: [0.0; 3], specular: f0, roughness: alpha, subsurface: 0.0 };
    let scene = Scene::build(&[&sphere([0.0; 3], radius, 150, shiny)]).unwrap();
    for turn in [0.0, 10.0] {
        let toward = array(light_from_zenith_azimuth(40.0, 130.0 + turn));
        let frame = frontal(vec![Light::distant(toward, 1.0)]);
        let shown = image(&scene, &parallel(), SIZE, &frame, &one_sample());
        let [mut sum, mut x, mut y, mut peak] = [0.0f64; 4];
        for (pixel, column, row) in pixels() {
            let value = f64::from(shown.pixels[pixel][1]);
            peak = peak.max(value);
            let weight = value.powi(4);
            sum += weight;
            x += weight * column as f64;
            y += weight * row as f64;
        }
        let half_way = normalise(add(toward, [0.0, 0.0, 1.0]));
        let want = [74.3 + radius * half_way[0], 58.9 - radius * half_way[1]];
        let off = (x / sum - f64::from(want[0])).hypot(y / sum - f64::from(want[1]));
        assert!(off < 0.25, "highlight {off} px from the mirror direction");
        // There h = n and n·l = n·v = cos 20°: D = 1/(π α²), G = G₁², all in f64.
        let (c, a2) = (20f64.to_radians().cos(), f64::from(alpha).powi(2));
        let g1 = 2.0 / (1.0 + (1.0 + a2 * (1.0 / (c * c) - 1.0)).sqrt());
        let f = f64::from(f0) + (1.0 - f64::from(f0)) * (1.0 - c).powi(5);
        let closed = g1 * g1 * f / (4.0 * c * a2);
        // The nearest pixel centre is up to 0.7 px, 0.8°, off the peak.
        assert!(peak <= closed * 1.0001 && peak > 0.97 * closed, "{peak}, not {closed}");
    }
}

#[test]
fn points_land_where_a_pinhole_puts_them() {
    let size = Size::new(90, 110);
    let camera = crate::geometry::Camera { focal_px: [400.0, 380.0], centre_px: [50.0, 47.0] };
    let pose = HeadPose::from_angles_deg(25.0, -10.0, 8.0, [6.0, -4.0, -520.0]);
    let points = [[0.0, 0.0, 0.0], [30.0, -10.0, 5.0], [-25.0, 20.0, -30.0], [10.0, 35.0, 12.0]];
    let balls = points.map(|p| sphere(p, 4.0, 24, MATTE));
    for (point, ball) in points.iter().zip(&balls) {
        // By another way than the tracer's: three rotation matrices of nalgebra.
        let turn = |axis: Vec3, angle: f32| nalgebra::Rotation3::new(axis * angle.to_radians());
        let rotation = turn(Vec3::y(), 25.0) * turn(Vec3::x(), 10.0) * turn(Vec3::z(), 8.0);
        let p = rotation * Vec3::from(*point) + Vec3::new(6.0, -4.0, -520.0);
        let want = [50.0 + 400.0 * p.x / -p.z, 47.0 - 380.0 * p.y / -p.z];
        let scene = Scene::build(&[ball]).unwrap();
        let view = View::Perspective(camera);
        let frame = Frame { pose, lights: vec![] };
        let truth = truth(&scene, &view, size, &frame, &one_sample());
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for p in (0..size.area()).filter(|&p| truth.mask.data[p]) {
            sum += 1.0;
            x += (p % size.width) as f32;
            y += (p / size.width) as f32;
        }
        let off = (x / sum - want[0]).hypot(y / sum - want[1]);
        assert!(sum > 20.0 && off < 0.2, "{point:?}: {sum} pixels, {off} px off");
        let nearest = truth.depth_mm.data.iter().copied().fold(f32::MIN, f32::max);
        // The nearest pixel centre is up to 0.92 mm beside the pole: 0.92²/8.
        assert!((nearest - (p.z + 4.0)).abs() < 0.11, "{nearest} for {}", p.z);
        let found = landmarks(&scene, &view, &pose, &[*point])[0];
        assert!(
            (found.column as f32 - want[0]).abs() < 1e-3
                && (found.row as f32 - want[1]).abs() < 1e-3
        );
        assert!(!found.visible, "within its ball");
    }
    // The point's own skin does not hide it, the ball in front does.
    let scene = Scene::build(&[&balls[0], &balls[1]]).unwrap();
    let view = View::Perspective(camera);
    let eye = pose.place_back([0.0; 3]);
    let to_eye = normalise(sub(eye, points[0]));
    let found = landmarks(
        &scene,
        &view,
        &pose,
        &[
            scale(to_eye, 4.0),
            scale(to_eye, -4.0),
            scale(to_eye, 30.0),
            pose.place_back([0.0, 0.0, 50.0]),
        ],
    );
    assert_eq!(found.map_visible(), [true, false, true, false]);
}

trait Visible {
    fn map_visible(&self) -> Vec<bool>;
}

impl Visible for Vec<Landmark> {
    fn map_visible(&self) -> Vec<bool> {
        self.iter().map(|l| l.visible).collect()
    }
}

#[test]
fn a_lens_glints_where_a_mirror_would_and_dims_what_lies_behind() {
    let tint = 0.9;
    let glass = Material { albedo: [tint; 3], specular: 0.04, roughness: 0.003, subsurface: 0.0 };
    // A lens that leans back by 6°, 20 mm before a wall.
    let (sin, cos) = 6f32.to_radians().sin_cos();
    let normal = [0.0, sin, cos];
    let lens = rectangle(
        [0.0, 0.0, 20.0],
        [50.0, 0.0, 0.0],
        [0.0, 45.0 * cos, -45.0 * sin],
        glass,
        Part::Lens,
    );
    let scene = Scene::build(&[&lens, &floor(0.0)]).unwrap();
    let camera = crate::geometry::Camera { focal_px: [900.0; 2], centre_px: [74.3, 58.9] };
    let (view, away) = (View::Perspective(camera), -900.0);
    let pose = HeadPose { translation_mm: [0.0, 0.0, away], ..HeadPose::FRONTAL };
    for azimuth in [20.0f32, 30.0] {
        let lamp =
            add(scale(array(light_from_zenith_azimuth(9.0, azimuth)), 950.0), [0.0, 0.0, away]);
        let light = Light::point(lamp, 1.0, 950.0);
        let frame = Frame { pose, lights: vec![light] };
        let shown = image(&scene, &view, SIZE, &frame, &one_sample());
        // The lamp's mirror image in the lens's plane, seen from the pinhole at the origin.
        let on_plane = [0.0, 0.0, 20.0 + away];
        let mirrored = add(lamp, scale(normal, -2.0 * dot(sub(lamp, on_plane), normal)));
        let want =
            [74.3 + 900.0 * mirrored[0] / -mirrored[2], 58.9 - 900.0 * mirrored[1] / -mirrored[2]];
        let brightest =
            pixels().max_by(|a, b| shown.pixels[a.0][0].total_cmp(&shown.pixels[b.0][0])).unwrap();
        let off = (brightest.1 as f32 - want[0]).hypot(brightest.2 as f32 - want[1]);
        assert!(off < 1.0, "glint {off} px from its mirror image at {want:?}");
        assert!(shown.pixels[brightest.0][0] > 3.0);
        let truth = truth(&scene, &view, SIZE, &frame, &one_sample());
        assert_eq!(truth.part.data[brightest.0], Part::Clothes as u8);
        assert!(truth.lights[0].specular_share.data[brightest.0] > 0.8);
        assert!(
            truth.behind_lens.data[brightest.0] && !truth.lights[0].cast_shadow.data[brightest.0]
        );
        // Light passes the lens twice, and at nearly normal incidence Fresnel takes 4 % once (a
        // shadow ray) and both faces' 2·0.04/1.04 once (sight).
        let bare = Options { lenses: false, cast_shadows: false, ..one_sample() };
        let bare = image(&scene, &view, SIZE, &frame, &bare);
        let far_from_glint = pixels().find(|&(p, c, r)| {
            let lens = truth.behind_lens.data[p];
            lens && r > 22 && r < 26 && c > 60 && c < 90
        });
        let (pixel, ..) = far_from_glint.expect("a dark place behind the lens");
        let share = shown.pixels[pixel][2] / bare.pixels[pixel][2];
        let want = tint * tint * 0.96 * (1.0 - 0.08 / 1.04);
        assert!((share - want).abs() < 0.02, "{share} of the light, not {want}");
        assert!(bare.pixels[pixel][2] > 0.1 && truth.mask.data[pixel]);
    }
}

#[test]
fn ideal_images_are_albedo_times_cosine_exactly() {
    let mut ball = sphere([3.0, 1.0, 0.0], 45.0, 40, MATTE);
    let mut soup = Soup(3);
    for material in &mut ball.materials {
        material.albedo = [0; 3].map(|_| soup.range(0.1, 0.9));
    }
    let scene = Scene::build(&[&ball, &floor(-60.0)]).unwrap();
    let pose = HeadPose::from_angles_deg(12.0, 7.0, -5.0, [0.0; 3]);
    for (attached, light) in [Attached::Dark, Attached::Negative]
        .into_iter()
        .flat_map(|a| lights_before_and_after_a_turn().into_iter().step_by(2).map(move |l| (a, l)))
    {
        let frame = Frame { pose, lights: vec![light] };
        let options = Options { attached, ..Options::ideal() };
        let shown = image(&scene, &parallel(), SIZE, &frame, &options);
        let truth = truth(&scene, &parallel(), SIZE, &frame, &options);
        let Light::Distant { direction, intensity, .. } = light else { unreachable!() };
        let mut negative = 0;
        for pixel in 0..SIZE.area() {
            assert!(truth.mask.data[pixel]);
            let cosine = truth.normals.at(pixel).dot(&Vec3::from(normalise(direction)));
            let answer = if attached == Attached::Dark { cosine.max(0.0) } else { cosine };
            negative += usize::from(answer < 0.0);
            for c in 0..3 {
                let want = truth.albedo_rgb[c].data[pixel] * intensity * answer;
                assert!((shown.pixels[pixel][c] - want).abs() < 1e-6);
            }
        }
        assert_eq!(negative > 0, attached == Attached::Negative);
    }
}

#[test]
fn a_wide_light_makes_a_penumbra_as_wide_as_it_is() {
    // The straight edge x = 0 of a plate 30 mm above the floor; the light is 0.1 in tangent.
    let plate =
        rectangle([-50.0, 0.0, 30.0], [50.0, 0.0, 0.0], [0.0, 200.0, 0.0], MATTE, Part::Frame);
    let scene = Scene::build(&[&plate, &floor(0.0)]).unwrap();
    let light = Light::Distant { direction: [-0.5, 0.0, 1.0], intensity: 1.0, spread: 0.1 };
    let view = View::Orthographic { mm_per_px: 0.25, centre_px: [0.0, 2.0] };
    let options = Options { light_samples: 64, ..one_sample() };
    let shown = image(&scene, &view, Size::new(4, 120), &frontal(vec![light]), &options);
    let (middle, unit) = (30.0 * 0.5, 1.25f32.sqrt());
    // From (−0.5, 0, 1)/√1.25, a step of s along (1, 0, 0.5)/√1.25 moves the shadow's edge.
    let edge = |s: f32| 30.0 * (0.5 - s) / (1.0 + 0.5 * s);
    let (near, far) = (edge(0.1), edge(-0.1));
    assert!(near < middle && middle < far);
    // The first column sees the edge itself.
    for column in 1..120 {
        let x = 0.25 * column as f32;
        let lit = shown.pixels[120 + column][0] / (0.8 / unit);
        // The place of the disc that x sees in the edge; what is beyond that chord shines.
        let s = (0.5 - x / 30.0) / (1.0 + 0.5 * x / 30.0);
        let u = f64::from(s / 0.1).clamp(-1.0, 1.0);
        let want = (u.acos() - u * (1.0 - u * u).sqrt()) / std::f64::consts::PI;
        if x < near - 0.1 {
            assert!(lit.abs() < 1e-6, "umbra at {x}: {lit}");
        } else if x > far + 0.1 {
            assert!((lit - 1.0).abs() < 1e-3, "full light at {x}: {lit}");
        }
        assert!((f64::from(lit) - want).abs() < 0.05, "at {x}: {lit}, not {want}");
    }
}

#[test]
fn light_creeps_over_the_terminator_and_red_furthest() {
    let skin = Material { albedo: [0.5; 3], specular: 0.0, roughness: 0.3, subsurface: 1.0 };
    let radius = 20.0;
    let scene = Scene::build(&[&sphere([0.0; 3], radius, 80, skin)]).unwrap();
    let view = View::Orthographic { mm_per_px: 0.5, centre_px: [74.3, 58.9] };
    let frame = frontal(vec![Light::distant([1.0, 0.0, 0.0], 1.0)]);
    let shown = image(&scene, &view, SIZE, &frame, &one_sample());
    // Along the middle row n·l = x/r, and w = path/r.
    let row = 59;
    for column in 40..110 {
        let x = 0.5 * (column as f32 - 74.3);
        let y = 0.5 * (58.9 - row as f32);
        if x * x + y * y > 0.98 * radius * radius {
            continue;
        }
        let cosine = x / radius;
        for (c, path) in [3.67f32, 1.37, 0.68].into_iter().enumerate() {
            let w = path / radius;
            let blurred = (cosine + w).powi(2) / (4.0 * w);
            let want = 0.5 * if cosine.abs() < w { blurred } else { cosine.max(0.0) };
            let got = shown.pixels[row * SIZE.width + column][c];
            assert!((got - want).abs() < 2e-3, "column {column}, channel {c}: {got}, not {want}");
        }
    }
    let plain = Options { subsurface: false, ..one_sample() };
    let plain = image(&scene, &view, SIZE, &frame, &plain);
    let total = |r: &Radiance| r.pixels.iter().map(|p| f64::from(p[0])).sum::<f64>();
    assert!(total(&shown) > total(&plain));
}

/// Inside a sphere of radius r a patch receives from every other of the same area alike, so that a
/// bowl lit evenly by a lamp at its centre gives each of its places ρ² E times its share of the sphere.
#[test]
fn a_bowl_lights_itself_by_its_share_of_the_sphere() {
    let radius = 50.0;
    let material = Material { albedo: [0.8, 0.5, 0.3], ..MATTE };
    let mut bowl = sphere([0.0; 3], radius, 96, material);
    // What is nearer to the viewer than a quarter of the radius is open.
    let open = |t: &[u32; 3]| t.iter().any(|&v| bowl.positions[v as usize][2] > 0.25 * radius);
    let kept: Vec<[u32; 3]> = bowl.triangles.iter().copied().filter(|t| !open(t)).collect();
    let area = |t: &[u32; 3]| {
        let [a, b, c] = t.map(|v| bowl.positions[v as usize]);
        0.5 * length(cross(sub(b, a), sub(c, a)))
    };
    let share = kept.iter().map(area).sum::<f32>() / bowl.triangles.iter().map(area).sum::<f32>();
    assert!((share - 0.62).abs() < 0.02, "{share}");
    bowl.parts.truncate(kept.len());
    bowl.triangles = kept;
    let scene = Scene::build(&[&bowl]).unwrap();
    let view = View::Orthographic { mm_per_px: 1.0, centre_px: [30.3, 29.8] };
    let frame = frontal(vec![Light::point([0.0; 3], 0.9, radius)]);
    let size = Size::new(61, 61);
    let direct = image(&scene, &view, size, &frame, &one_sample());
    let options = Options { bounce_rays: 64, ..one_sample() };
    let whole = image(&scene, &view, size, &frame, &options);
    let (mut seen, mut sum) = (0, 0.0);
    for (pixel, (direct, whole)) in direct.pixels.iter().zip(&whole.pixels).enumerate() {
        let [x, y] = [(pixel % 61) as f32 - 30.3, (pixel / 61) as f32 - 29.8];
        if x.hypot(y) > 0.7 * radius {
            continue;
        }
        seen += 1;
        for (c, albedo) in material.albedo.into_iter().enumerate() {
            let own = direct[c] / (0.9 * albedo);
            assert!((own - 1.0).abs() < 0.01, "direct at {x}, {y}: {own}");
            let got = (whole[c] - direct[c]) / (0.9 * albedo * albedo);
            // Of 64 directions about half of √64 lie so near the rim that they fall on either side.
            assert!((got - share).abs() < 4.0 / 64.0, "at {x}, {y}: {got}, not {share}");
            sum += got / 3.0;
        }
    }
    let mean = sum / seen as f32;
    assert!((mean - share).abs() < 0.005, "{mean}, not {share}");
    assert!(seen > 3000, "{seen} pixels");
    assert_eq!(Options::default().with_inter_reflection().bounce_rays, 8);
}

#[test]
fn turning_the_head_is_turning_its_surface() {
    let mut head = sphere([0.0, 10.0, -20.0], 40.0, 30, MATTE);
    let mut soup = Soup(5);
    for p in &mut head.positions {
        *p = add(*p, [p[1] * 0.2, 0.0, (p[0] * 0.2).sin() * 3.0]);
    }
    for m in &mut head.materials {
        m.albedo[0] = soup.range(0.2, 0.8);
    }
    let pose = HeadPose::from_angles_deg(20.0, 15.0, -10.0, [4.0, 2.0, -600.0]);
    let mut turned = head.clone();
    turned.positions.iter_mut().for_each(|p| *p = pose.place(*p));
    turned.normals.iter_mut().for_each(|n| *n = pose.turn(*n));
    let view = View::perspective(SIZE, 120.0, 600.0);
    let light = Light::point([100.0, 200.0, -200.0], 1.0, 450.0);
    let options = Options { samples_per_side: 3, ..Options::default() };
    let by_rays = image(
        &Scene::build(&[&head]).unwrap(),
        &view,
        SIZE,
        &Frame { pose, lights: vec![light] },
        &options,
    );
    let by_surface =
        image(&Scene::build(&[&turned]).unwrap(), &view, SIZE, &frontal(vec![light]), &options);
    let differ = by_rays
        .pixels
        .iter()
        .zip(&by_surface.pixels)
        .filter(|(a, b)| a.iter().zip(*b).any(|(x, y)| (x - y).abs() > 1e-3))
        .count();
    assert!(by_rays.pixels.iter().filter(|p| p[3] > 0.0).count() > 4000);
    // A sub-sample of the outline may fall on either side.
    assert!(differ < 20, "{differ} pixels differ");
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let ball = sphere([0.0; 3], 40.0, 60, Material { specular: 0.03, subsurface: 1.0, ..MATTE });
    let frame = Frame {
        pose: HeadPose::from_angles_deg(5.0, 5.0, 5.0, [0.0, 0.0, -500.0]),
        lights: lights_before_and_after_a_turn(),
    };
    let view = View::perspective(SIZE, 120.0, 500.0);
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let scene = Scene::build(&[&ball, &floor(-45.0)]).unwrap();
            let options = Options::default();
            let shown = image(&scene, &view, SIZE, &frame, &options);
            let truth = truth(&scene, &view, SIZE, &frame, &options);
            let bytes: Vec<u8> = [
                bytemuck::cast_slice::<_, u8>(&scene.nodes),
                bytemuck::cast_slice(&scene.triangles),
                bytemuck::cast_slice(&shown.pixels),
                bytemuck::cast_slice(&truth.normals.data),
                bytemuck::cast_slice(&truth.depth.data),
            ]
            .concat();
            bytes
        })
    };
    let one = all(1);
    assert_eq!(one.len(), all(3).len());
    assert!(one == all(3) && one == all(8), "bytes depend on the number of threads");
}

#[test]
fn a_picture_of_any_size_is_part_of_the_larger_one() {
    let scene = Scene::build(&[&sphere([0.0; 3], 30.0, 20, MATTE)]).unwrap();
    let frame = frontal(lights_before_and_after_a_turn());
    let shown = |size: Size| image(&scene, &parallel(), size, &frame, &Options::default());
    let whole = shown(SIZE);
    for size in [Size::new(1, 1), Size::new(117, 149), Size::new(3, 6)] {
        let part = shown(size);
        for p in 0..size.area() {
            assert_eq!(part.pixels[p], whole.pixels[p / size.width * SIZE.width + p % size.width]);
        }
        let truth = truth(&scene, &parallel(), size, &frame, &Options::default());
        assert_eq!(truth.mask.data.len(), size.area());
    }
}

#[test]
fn depth_in_pixels_is_the_integrators() {
    let scene = Scene::build(&[&sphere([0.0; 3], 30.0, 40, MATTE)]).unwrap();
    let pose = HeadPose { translation_mm: [0.0, 0.0, -300.0], ..HeadPose::FRONTAL };
    let camera = crate::geometry::Camera { focal_px: [400.0; 2], centre_px: [74.0, 59.0] };
    let frame = Frame { pose, lights: vec![] };
    let near = truth(&scene, &View::Perspective(camera), SIZE, &frame, &one_sample());
    let mean =
        near.depth_mm.data.iter().filter(|z| !z.is_nan()).map(|z| f64::from(-z)).sum::<f64>()
            / near.mask.count() as f64;
    let pixel = 59 * SIZE.width + 74;
    // Z = 270 at the middle of the ball.
    let want = 400.0 * (1.0 - 270.0 / mean);
    assert!((f64::from(near.depth.data[pixel]) - want).abs() < 0.02);
    assert!(
        near.depth.data[0].is_nan() && near.part.data[0] == 255 && near.normals.at(0).x.is_nan()
    );
    let view = View::Orthographic { mm_per_px: 0.5, centre_px: [74.0, 59.0] };
    let far = truth(&scene, &view, SIZE, &frame, &one_sample());
    let known: Vec<f64> =
        far.depth.data.iter().filter(|z| !z.is_nan()).map(|&z| f64::from(z)).collect();
    assert!((known.iter().sum::<f64>() / known.len() as f64).abs() < 1e-3);
    // 10 mm beside the middle the ball is 30 − √800 mm lower.
    let lower = f64::from(far.depth.data[pixel] - far.depth.data[pixel + 20]);
    assert!((lower - (30.0 - 800f64.sqrt()) / 0.5).abs() < 0.05, "{lower}");
}

#[test]
fn what_cannot_be_traced_is_refused() {
    let good = floor(0.0);
    let refused = |change: fn(&mut Surface)| {
        let mut bad = good.clone();
        change(&mut bad);
        Scene::build(&[&good, &bad]).err().map(|e| e.to_string())
    };
    assert_eq!(Scene::build(&[]).err(), Some(SceneError::Empty));
    assert!(refused(|_| ()).is_none());
    assert!(refused(|s| s.normals.truncate(3)).unwrap().contains("3 normals"));
    assert!(refused(|s| s.parts.truncate(1)).unwrap().contains("1 parts"));
    assert!(refused(|s| s.triangles[1][2] = 4).unwrap().contains("triangle 1"));
    assert!(refused(|s| s.positions[2][1] = f32::NAN).unwrap().contains("vertex 2"));
    assert!(refused(|s| s.normals[3][0] = f32::INFINITY).unwrap().contains("vertex 3"));
    assert!(refused(|s| s.materials[1].roughness = 0.0).unwrap().contains("vertex 1"));
    assert!(refused(|s| s.materials[0].albedo[2] = -0.1).unwrap().contains("vertex 0"));
}
