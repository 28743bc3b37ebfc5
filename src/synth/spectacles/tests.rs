//! Spectacles on procedural heads, checked by rays and by counting, not by what seated them.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::*;
use crate::maps::Size;
use crate::synth::draws::Draws;
use crate::synth::exact_math::{cross, dot, length};
use crate::synth::head::{Detail, Expression, HeadModel, ProceduralHead};
use crate::synth::render::{Frame, HeadPose, Light, Options, Scene, View, image, landmarks, truth};
use crate::synth::surface::Part;

fn model() -> &'static ProceduralHead {
    static MODEL: OnceLock<ProceduralHead> = OnceLock::new();
    MODEL.get_or_init(|| ProceduralHead::new(Detail::Small))
}

fn head(seed: u64) -> (Vec<Vector>, Surface) {
    let model = model();
    let masculinity = if seed.is_multiple_of(2) { 1.0 } else { -1.0 };
    let identity = model.sample_identity(masculinity, &mut Draws::new(seed));
    let positions = model.positions(&identity, &Expression::default());
    let skin = Material { albedo: [0.5, 0.4, 0.3], specular: 0.0, roughness: 0.4, subsurface: 0.0 };
    let surface = Surface {
        normals: super::super::head::vertex_normals(&positions, &model.topology().triangles),
        materials: vec![skin; positions.len()],
        triangles: model.topology().triangles.clone(),
        parts: model.topology().parts.clone(),
        positions: positions.clone(),
    };
    (positions, surface)
}

fn all() -> impl Iterator<Item = (u64, Style)> {
    Style::ALL.into_iter().flat_map(|style| [3, 4, 7].map(|seed| (seed, style)))
}

fn worn(style: Style, seed: u64, positions: &[Vector]) -> (Spectacles, Surface) {
    let spectacles = Spectacles::of_style(style, &mut Draws::new(seed));
    let surface = spectacles.on(model().topology(), positions);
    (spectacles, surface)
}

/// Vertices that belong to a part.
fn of_part(surface: &Surface, part: Part) -> Vec<Vector> {
    let own = surface.triangles.iter().zip(&surface.parts).filter(|(_, p)| **p == part);
    own.flat_map(|(t, _)| t.map(|v| surface.positions[v as usize])).collect()
}

#[test]
fn nothing_of_the_front_is_inside_the_face() {
    for (seed, style) in all() {
        let (positions, surface) = head(seed);
        let (_, spectacles) = worn(style, seed, &positions);
        let scene = Scene::build(&[&surface]).unwrap();
        let view = View::orthographic(Size::new(64, 64), 64.0);
        // The front is what lies before the eyes; pads rest on the nose, and sink in a little.
        let front: Vec<Vector> = [Part::Frame, Part::Lens]
            .into_iter()
            .flat_map(|part| of_part(&spectacles, part))
            .filter(|p| p[2] > 5.0 && p[0].abs() > 12.0)
            .collect();
        assert!(front.len() > 1000);
        // A place is seen from the front if no skin stands more than a millimetre before it.
        let seen = landmarks(&scene, &view, &HeadPose::FRONTAL, &front);
        let hidden = front.iter().zip(&seen).find(|(_, l)| !l.visible);
        assert!(
            hidden.is_none(),
            "{style:?} on head {seed}: {:?} lies inside",
            hidden.map(|(p, _)| p)
        );
    }
}

#[test]
fn lenses_stand_before_the_pupils_at_an_opticians_distance() {
    for (seed, style) in all() {
        let (positions, _) = head(seed);
        let (_, spectacles) = worn(style, seed, &positions);
        let pupils = model().anatomy(&positions).pupils;
        let lenses = of_part(&spectacles, Part::Lens);
        for pupil in pupils {
            // The lens straight before the pupil.
            let near = |p: &&Vector| (p[0] - pupil[0]).abs() < 4.0 && (p[1] - pupil[1]).abs() < 4.0;
            let found: Vec<&Vector> = lenses.iter().filter(near).collect();
            assert!(!found.is_empty(), "{style:?} on head {seed}: no lens before {pupil:?}");
            let distance = found.iter().map(|p| p[2] - pupil[2]).fold(f32::MAX, f32::min);
            assert!((8.0..22.0).contains(&distance), "{style:?} on head {seed}: {distance} mm");
        }
    }
}

#[test]
fn temples_run_along_the_head_to_the_ears() {
    for (seed, style) in all() {
        let (positions, _) = head(seed);
        let (_, spectacles) = worn(style, seed, &positions);
        let roots = model().anatomy(&positions).ear_roots;
        for (side, root) in [(-1.0f32, roots[0]), (1.0, roots[1])] {
            let temple: Vec<Vector> = of_part(&spectacles, Part::Frame)
                .into_iter()
                .filter(|p| side * p[0] > 45.0)
                .collect();
            // It passes the ear's root closely, and ends behind it.
            let nearest = temple.iter().map(|&p| length(sub(p, root))).fold(f32::MAX, f32::min);
            assert!(
                nearest < 14.0,
                "{style:?} on head {seed}, side {side}: {nearest} mm from {root:?}"
            );
            let back = temple.iter().map(|p| p[2]).fold(f32::MAX, f32::min);
            assert!(back < root[2] && back > root[2] - 45.0, "{back} of {}", root[2]);
        }
    }
}

#[test]
fn frames_are_closed_and_face_outward() {
    for (seed, style) in all() {
        let (positions, _) = head(seed);
        let (_, surface) = worn(style, seed, &positions);
        assert_eq!(surface.parts.len(), surface.triangles.len());
        let mut edges: HashMap<(u32, u32), i32> = HashMap::new();
        for (t, part) in surface.triangles.iter().zip(&surface.parts) {
            let [a, b, c] = t.map(|v| surface.positions[v as usize]);
            let face = cross(sub(b, a), sub(c, a));
            let normal = t.map(|v| surface.normals[v as usize]).into_iter().fold([0.0; 3], add);
            if length(face) > 1e-4 {
                assert!(
                    dot(face, normal) > 0.0,
                    "{style:?}, {part:?}: a triangle is inside out at {a:?}"
                );
            }
            if *part == Part::Frame {
                for (i, j) in [(0, 1), (1, 2), (2, 0)] {
                    *edges.entry((t[i].min(t[j]), t[i].max(t[j]))).or_default() += 1;
                }
            }
            if *part == Part::Lens {
                assert!(normal[2] > 0.0);
            }
        }
        let open = edges.values().filter(|&&n| n != 2).count();
        assert_eq!(open, 0, "{style:?}: open edges");
        assert!(surface.normals.iter().all(|n| (length(*n) - 1.0).abs() < 1e-4));
        Scene::build(&[&surface]).unwrap();
    }
}

#[test]
fn spectacles_throw_shadows_and_glint() {
    let (positions, surface) = head(4);
    let (_, spectacles) = worn(Style::Rectangular, 4, &positions);
    let bare = Scene::build(&[&surface]).unwrap();
    let dressed = Scene::build(&[&surface, &spectacles]).unwrap();
    let size = Size::new(160, 160);
    let view = View::perspective(size, 170.0, 1000.0);
    let pose = HeadPose { translation_mm: [0.0, 0.0, -1000.0], ..HeadPose::FRONTAL };
    let lamp = |x: f32, y: f32| Light::point([x, y, -200.0], 1.0, 900.0);
    let frame = Frame { pose, lights: vec![lamp(-400.0, -350.0), lamp(400.0, -350.0)] };
    let options = Options { samples_per_side: 1, ..Options::default() };
    let [with, without] =
        [&dressed, &bare].map(|scene| truth(scene, &view, size, &frame, &options));
    let skin = Part::Skin as u8;
    let mut glints = 0;
    for (new, old) in with.lights.iter().zip(&without.lights) {
        let more = (0..size.area())
            .filter(|&p| with.part.data[p] == skin && without.part.data[p] == skin)
            .filter(|&p| new.cast_shadow.data[p] && !old.cast_shadow.data[p])
            .count();
        assert!(more > 50, "the frame shades {more} pixels of skin");
        glints += (0..size.area())
            .filter(|&p| with.behind_lens.data[p] && new.specular_share.data[p] > 0.5)
            .count();
    }
    assert!(glints > 3, "{glints} pixels glint");
    // What is seen through a lens is darker, not gone.
    let plain = Options { specular: false, ..options };
    let [with_image, without_image] =
        [&dressed, &bare].map(|scene| image(scene, &view, size, &frame, &plain));
    let through: Vec<f32> = (0..size.area())
        .filter(|&p| with.behind_lens.data[p] && with.part.data[p] == skin)
        .filter(|&p| with.lights.iter().all(|l| !l.cast_shadow.data[p]))
        .filter(|&p| without.lights.iter().all(|l| !l.cast_shadow.data[p]))
        .filter(|&p| without_image.pixels[p][0] > 0.05)
        .map(|p| with_image.pixels[p][0] / without_image.pixels[p][0])
        .collect();
    let mean = through.iter().sum::<f32>() / through.len() as f32;
    assert!(through.len() > 500 && (0.6..0.99).contains(&mean), "{mean} over {}", through.len());
}

#[test]
fn the_same_seed_gives_the_same_spectacles_and_seeds_differ() {
    let (positions, _) = head(7);
    let made = |seed: u64| {
        let spectacles = Spectacles::sample(&mut Draws::new(seed));
        (spectacles.clone(), spectacles.on(model().topology(), &positions).positions)
    };
    assert_eq!(made(5), made(5));
    let styles: std::collections::HashSet<Style> =
        (0..60).map(|seed| Spectacles::sample(&mut Draws::new(seed)).style).collect();
    assert_eq!(styles.len(), Style::ALL.len());
    assert_ne!(made(5).0, made(6).0);
}
