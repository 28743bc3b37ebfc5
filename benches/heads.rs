//! How well a head's turn and its outline are told, against the studio's truth.
//!
//!     lumiface synth --out SET --people 40 --sessions 2 --size 384x512 --preset ideal --faces FACES.safetensors
//!     cargo bench --bench heads -- SET [SET …]
//!
//! Turns are told as `preprocess --frontalise` does it, from the landmarks found in the mean of the frames
//! and the depth; beside it by the other masked integrator, by true landmarks, and by truth alone.
//!
//! Outlines are told as `preprocess --head-mask` does it, with every session put before walls: planes that
//! the same lamps light, rough in albedo, of a brightness given as a share of skin's. Where no head is
//! told, the foreground's mask is used. Heads that move from frame to frame leave a seam.

use burn::tensor::Device;
use lumiface::capture::{Capture, CaptureSource, Layout, LayoutOptions, find_captures};
use lumiface::face::{
    Detection, DetectionView, Detector, FaceFinder, HeadMaskError, HeadPose, Landmarks,
    find_subject, head_mask, weights_folder,
};
use lumiface::geometry::Vec3;
use lumiface::io::{read_mask, read_plane};
use lumiface::maps::{DepthMap, ImageStack, Mask, Pixels, Plane};
use lumiface::reconstruct::{Compute, Integrator, ReconstructOptions, Reconstruction, reconstruct};
use lumiface::stereo::{SurfaceMaps, foreground_mask};
use rayon::prelude::*;
use std::path::Path;

#[path = "support/mod.rs"]
mod support;
use support::truth::Truth;

/// Upper ends of the classes of |yaw|, degrees.
const YAW_DEG: [f64; 3] = [15.0, 45.0, f64::INFINITY];
/// Walls by name: brightness as a share of skin's, and the share by which its albedo varies.
const WALLS: [(&str, f32, f32); 5] = [
    ("none", 0.0, 0.0),
    ("dark", 0.15, 0.4),
    ("grey", 0.5, 0.4),
    ("bright", 1.2, 0.3),
    ("skin's albedo", 0.8, 0.1),
];

struct Session {
    truth: Truth,
    /// True mask and depth.
    mask: Mask,
    depth: DepthMap,
    capture: Capture,
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let roots: Vec<String> =
        std::env::args().skip(1).filter(|text| !text.starts_with("--")).collect();
    if roots.is_empty() {
        println!("name synthetic sets: cargo bench --bench heads -- SET");
        return;
    }
    let weights = weights_folder().expect("a cache");
    let detector = Detector::load(&weights, &Device::flex()).expect("weights: lumiface weights");
    let sources: Vec<CaptureSource> = roots
        .iter()
        .flat_map(|root| {
            let found = find_captures(Layout::Auto, Path::new(root), &LayoutOptions::default());
            found.expect("a folder of captures").captures
        })
        .collect();
    let sessions: Vec<Session> = sources.par_iter().filter_map(session).collect();
    println!("{} of {} captures with truth\n", sessions.len(), sources.len());
    turns(&detector, &sessions);
    outlines(&detector, &sessions);
}

fn session(source: &CaptureSource) -> Option<Session> {
    let truth = Truth::of_session(&source.folder)?;
    let folder = source.folder.join("truth");
    Some(Session {
        truth,
        mask: read_mask(&folder.join("mask.png")).expect("a true mask"),
        depth: read_plane(&folder.join("depth.exr")).expect("true depth"),
        capture: source.load().ok()?,
    })
}

fn found_in(detector: &dyn FaceFinder, maps: &Reconstruction) -> Option<Detection> {
    Some(find_subject(detector, &DetectionView::Mean.picture(&[&maps.images])?)?.face)
}

/// Degrees by which a told turn is off: yaw (more than 0 where it is told too large), pitch, roll.
fn turn_error(truth: &Truth, landmarks: &Landmarks, depth: &DepthMap) -> Option<[f64; 3]> {
    let told = HeadPose::of(landmarks, depth).ok()?;
    let [yaw, pitch, _] = truth.yaw_pitch_roll_deg;
    // Of the line through the eyes, clockwise.
    let [x, y, _] = truth.eye_axis();
    let roll = (-y).atan2(x).to_degrees();
    let farther = (told.yaw_deg() - yaw) * yaw.signum();
    Some([farther, told.pitch_deg() - pitch, told.roll_deg() - roll])
}

fn turns(detector: &dyn FaceFinder, sessions: &[Session]) {
    let ways = [
        "landmarks found, depth by poisson",
        "landmarks found, depth by bilateral",
        "true landmarks, depth by poisson",
        "truth alone",
    ];
    let errors: Vec<[Option<[f64; 3]>; 4]> = sessions
        .par_iter()
        .map(|Session { truth, depth, capture, .. }| {
            let [poisson, bilateral] =
                [Integrator::Poisson, Integrator::Bilateral].map(|integrator| {
                    let options = ReconstructOptions { integrator, ..Default::default() };
                    reconstruct(capture, &options, &Compute::Cpu).ok()
                });
            let solved = |landmarks: Option<&Landmarks>, maps: &Option<Reconstruction>| {
                turn_error(truth, landmarks?, &maps.as_ref()?.depth)
            };
            let found = poisson.as_ref().and_then(|maps| found_in(detector, maps));
            let found = found.as_ref().map(|face| &face.landmarks);
            [
                solved(found, &poisson),
                solved(found, &bilateral),
                solved(Some(&truth.landmarks), &poisson),
                turn_error(truth, &truth.landmarks, depth),
            ]
        })
        .collect();
    println!("Error of the head's turn, degrees: median (90th percentile) of its size, mean\n");
    println!("| yaw | by | told | yaw | pitch | roll |\n|---|---|---|---|---|---|");
    let class_of = |truth: &Truth| YAW_DEG.iter().position(|end| truth.yaw_deg().abs() <= *end);
    for (class, name) in ["0–15°", "15–45°", "> 45°"].iter().enumerate() {
        let of_class =
            || sessions.iter().zip(&errors).filter(|(s, _)| class_of(&s.truth) == Some(class));
        let count = of_class().count();
        for (way, by) in ways.iter().enumerate().filter(|_| count > 0) {
            let told: Vec<[f64; 3]> = of_class().filter_map(|(_, errors)| errors[way]).collect();
            let cells = [0, 1, 2].map(|axis| {
                let mean = told.iter().map(|error| error[axis]).sum::<f64>() / told.len() as f64;
                let mut sizes: Vec<f64> = told.iter().map(|error| error[axis].abs()).collect();
                sizes.sort_by(f64::total_cmp);
                let at = |share: f64| sizes[((sizes.len() - 1) as f64 * share).round() as usize];
                match sizes.is_empty() {
                    true => "–".into(),
                    false => format!("{:.1} ({:.1}), {mean:+.1}", at(0.5), at(0.9)),
                }
            });
            println!("| {name} | {by} | {}/{count} | {} |", told.len(), cells.join(" | "));
        }
    }
    println!();
}

/// A number from 0 to 1 that follows from three others.
fn hashed(x: usize, y: usize, seed: usize) -> f32 {
    let mut hash = (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (y as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
        ^ (seed as u64).wrapping_mul(0x1656_67B1_9E37_79F9);
    for factor in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB] {
        hash = (hash ^ hash >> 30).wrapping_mul(factor);
    }
    (hash >> 40) as f32 / (1 << 24) as f32
}

/// Hashed numbers at whole places, linear between them.
fn grain(x: f32, y: f32, seed: usize) -> f32 {
    let (column, row) = (x as usize, y as usize);
    let (u, v) = (x.fract(), y.fract());
    let line = |row| hashed(column, row, seed) * (1.0 - u) + hashed(column + 1, row, seed) * u;
    line(row) * (1.0 - v) + line(row + 1) * v
}

/// The frames, as shares of full scale, with a wall where there is no head.
fn before_wall(session: &Session, number: usize, level: f32, roughness: f32) -> Capture {
    let Session { capture, mask, .. } = session;
    let images = &capture.images;
    let (size, scale) = (images.size, images.pixels.full_scale());
    let mut lit: Vec<f32> =
        (0..size.area()).filter(|&p| mask.data[p]).map(|p| images.pixels.get(p) / scale).collect();
    lit.sort_by(f32::total_cmp);
    let skin = lit[lit.len() * 8 / 10];
    let facing = Vec3::new(0.1 * (number % 11) as f32 / 5.0 - 0.1, 0.05, 1.0).normalize();
    let mut values = Vec::with_capacity(images.count * size.area());
    for (frame, light) in capture.lights.directions.iter().enumerate() {
        for p in 0..size.area() {
            let own = images.pixels.get(frame * size.area() + p) / scale;
            let (row, column) = ((p / size.width) as f32, (p % size.width) as f32);
            let rough = 0.6 * grain(column / 9.0, row / 13.0, number)
                + 0.4 * grain(column / 2.0, row / 2.0, number + 99);
            let albedo = skin * level * (1.0 + roughness * (2.0 * rough - 1.0));
            let noise = 0.004 * (hashed(p, frame, number) - 0.5);
            let wall = albedo * facing.dot(light).max(0.0) + noise;
            let value = if mask.data[p] || level == 0.0 { own } else { own + wall };
            values.push(((255.0 * value).round() / 255.0).clamp(0.0, 1.0));
        }
    }
    let images = ImageStack::new(size, images.count, Pixels::F32(values));
    // As `preprocess` first solves it: everything.
    let mask = Some(Plane::filled(size, true));
    Capture { images, mask, colour: None, ..capture.clone() }
}

fn iou(a: &Mask, b: &Mask) -> f64 {
    let count = |of: fn(bool, bool) -> bool| {
        a.data.iter().zip(&b.data).filter(|(a, b)| of(**a, **b)).count() as f64
    };
    count(|a, b| a && b) / count(|a, b| a || b)
}

fn outlines(detector: &dyn FaceFinder, sessions: &[Session]) {
    println!("Outlines before a wall: intersection over union with the true mask\n");
    println!(
        "| wall | faces found | no background | not told | foreground mask: mean | head mask: mean | \
         10th percentile | worst | as used: mean |\n|---|---|---|---|---|---|---|---|---|"
    );
    for (name, level, roughness) in WALLS {
        let told: Vec<(f64, Result<f64, HeadMaskError>)> = sessions
            .par_iter()
            .enumerate()
            .filter_map(|(number, session)| {
                let capture = before_wall(session, number, level, roughness);
                let maps = reconstruct(&capture, &Default::default(), &Compute::Cpu).ok()?;
                let bounds = found_in(detector, &maps)?.bounds;
                let surface = SurfaceMaps {
                    normals: maps.normals,
                    albedo: maps.albedo,
                    residual: maps.residual,
                };
                let foreground = foreground_mask(&maps.images);
                let head = head_mask(&surface, &foreground, &bounds);
                Some((iou(&foreground, &session.mask), head.map(|head| iou(&head, &session.mask))))
            })
            .collect();
        let before = told.iter().map(|(before, _)| before).sum::<f64>() / told.len() as f64;
        let mut heads: Vec<f64> = told.iter().filter_map(|(_, head)| head.ok()).collect();
        heads.sort_by(f64::total_cmp);
        let mean = heads.iter().sum::<f64>() / heads.len() as f64;
        let at = |share: f64| {
            heads.get((heads.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
        };
        let used = told.iter().map(|(before, head)| head.unwrap_or(*before)).sum::<f64>();
        let because = |why| told.iter().filter(|(_, head)| *head == Err(why)).count();
        println!(
            "| {name} | {} | {} | {} | {before:.3} | {mean:.3} | {:.3} | {:.3} | {:.3} |",
            told.len(),
            because(HeadMaskError::NoBackground),
            because(HeadMaskError::NotTold),
            at(0.1),
            at(0.0),
            used / told.len() as f64
        );
    }
}
