//! The quality report: silent on good captures, and each seeded fault found by its name.

mod support;

use lumiface::geometry::Vec3;
use lumiface::maps::{ImageStack, Lights, Mask, Pixels, Plane, Size};
use lumiface::quality::{
    CaptureQuality, FindingCode, FrameVariant, QualityInput, Severity, assess, summarise,
};
use lumiface::stereo::{LeastSquares, foreground_mask};
use lumiface::synth::{RenderOptions, Rendering, Scene, render};

/// Judges the least-squares maps of a capture.
fn judged(images: &ImageStack, lights: &Lights) -> CaptureQuality {
    judged_on(images, lights, &foreground_mask(images))
}

fn judged_on(images: &ImageStack, lights: &Lights, mask: &Mask) -> CaptureQuality {
    let surface = LeastSquares::new(lights).unwrap().solve(images);
    assess(&QualityInput {
        images,
        lights,
        normals: &surface.normals.masked(mask),
        albedo: &surface.albedo.masked(mask),
        residual: &surface.residual.masked(mask),
        mask,
        confidence: None,
        drift_px: None,
    })
}

fn has(quality: &CaptureQuality, code: FindingCode) -> bool {
    quality.findings.iter().any(|f| f.code == code)
}

/// Faces of several people and sizes, of a real camera (noise, ambient light, shadows, highlights)
/// and of an ideal one.
fn faces() -> Vec<(String, Rendering)> {
    let scenes = [(1, 0, 128), (3, 0, 192), (7, 2, 160)];
    scenes
        .into_iter()
        .flat_map(|(person, session, side)| {
            [false, true].map(|ideal| {
                let mut scene = Scene::sample(person, session, Size::new(side, side));
                if ideal {
                    scene.options = RenderOptions::ideal();
                }
                (format!("person {person}, {side} px, ideal {ideal}"), render(&scene))
            })
        })
        .collect()
}

/// The stack with each value changed: image, pixel, value → value in the stack's units.
fn changed(images: &ImageStack, value: impl Fn(usize, usize, f32) -> f32) -> ImageStack {
    let area = images.size.area();
    let full = images.pixels.full_scale();
    let values = (0..images.count * area)
        .map(|i| value(i / area, i % area, images.pixels.get(i)).clamp(0.0, full) / full)
        .collect();
    ImageStack::new(images.size, images.count, Pixels::F32(values))
}

fn with_directions(lights: &Lights, map: impl Fn(Vec3) -> Vec3) -> Lights {
    Lights::directional(lights.directions.iter().map(|d| map(*d)).collect())
}

fn shifted(images: &ImageStack, image: usize, right: usize, down: usize) -> ImageStack {
    let (width, area) = (images.size.width, images.size.area());
    changed(images, |j, p, v| {
        let (row, column) = (p / width, p % width);
        if j != image {
            return v;
        }
        let from = row.saturating_sub(down) * width + column.saturating_sub(right);
        images.pixels.get(j * area + from)
    })
}

/// One image under a binomial filter of standard deviation √(rounds / 2) px.
fn blurred(images: &ImageStack, image: usize, rounds: usize) -> ImageStack {
    let Size { height, width } = images.size;
    let area = images.size.area();
    let mut stack = changed(images, |_, _, v| v);
    for _ in 0..rounds {
        let before = stack.clone();
        stack = changed(&before, |j, p, v| {
            if j != image {
                return v;
            }
            let (row, column) = (p / width, p % width);
            let rows = [row.saturating_sub(1), row, (row + 1).min(height - 1)];
            let columns = [column.saturating_sub(1), column, (column + 1).min(width - 1)];
            let weights = [0.25, 0.5, 0.25];
            let mut sum = 0.0;
            for (r, wr) in rows.iter().zip(weights) {
                for (c, wc) in columns.iter().zip(weights) {
                    sum += wr * wc * before.pixels.get(j * area + r * width + c);
                }
            }
            sum
        });
    }
    stack
}

#[test]
fn good_faces_raise_no_finding() {
    for (name, face) in faces() {
        let quality = judged(&face.images, &face.lights);
        assert_eq!(quality.findings, [], "{name}");
        let gains = quality.gains.unwrap().gains;
        assert!(gains.iter().all(|g| (g - 1.0).abs() < 0.05), "{name}: {gains:?}");
        let shift = quality.alignment.unwrap().largest_px();
        assert!(shift < 0.3, "{name}: {shift} px");
        let frame = quality.light_frame.unwrap();
        assert!(frame.best == FrameVariant::AsStated && frame.bulge > 0.4, "{name}: {frame:?}");
        assert_eq!(quality.light_order.unwrap().best, [0, 1, 2, 3], "{name}");
    }
}

#[test]
fn swapped_lights_are_found_with_their_order() {
    for (name, face) in faces() {
        let quality = judged(&face.images, &face.lights.select(&[1, 0, 2, 3]));
        assert!(has(&quality, FindingCode::LightOrder), "{name}: {:?}", quality.findings);
        assert_eq!(quality.light_order.unwrap().best, [1, 0, 2, 3], "{name}");
        // Lamps across the square: nearly a mirror image of the frame, which the residual cannot
        // tell from it. Either tale is right, and one of them must be told.
        let quality = judged(&face.images, &face.lights.select(&[2, 1, 0, 3]));
        let told = has(&quality, FindingCode::LightOrder) || has(&quality, FindingCode::LightFrame);
        assert!(told && quality.severity() == Some(Severity::Error), "{name}");
        let shifted = judged(&face.images, &face.lights.select(&[3, 0, 1, 2]));
        assert_eq!(shifted.severity(), Some(Severity::Error), "{name}");
    }
}

#[test]
fn every_mirrored_or_turned_frame_is_named() {
    let flips: [(FrameVariant, fn(Vec3) -> Vec3); 7] = [
        (FrameVariant::XFlipped, |d| Vec3::new(-d.x, d.y, d.z)),
        (FrameVariant::YFlipped, |d| Vec3::new(d.x, -d.y, d.z)),
        (FrameVariant::BothFlipped, |d| Vec3::new(-d.x, -d.y, d.z)),
        (FrameVariant::Swapped, |d| Vec3::new(d.y, d.x, d.z)),
        (FrameVariant::SwappedAndBothFlipped, |d| Vec3::new(-d.y, -d.x, d.z)),
        // Stated turned right, so turning left mends it.
        (FrameVariant::QuarterTurnLeft, |d| Vec3::new(d.y, -d.x, d.z)),
        (FrameVariant::QuarterTurnRight, |d| Vec3::new(-d.y, d.x, d.z)),
    ];
    for (name, face) in faces() {
        for (mends, flip) in flips {
            let quality = judged(&face.images, &with_directions(&face.lights, flip));
            assert_eq!(quality.light_frame.as_ref().unwrap().best, mends, "{name}");
            assert!(has(&quality, FindingCode::LightFrame), "{name}: {:?}", quality.findings);
        }
    }
}

#[test]
fn a_dim_light_is_found_with_its_brightness() {
    for (name, face) in faces() {
        let dim = changed(&face.images, |j, _, v| if j == 1 { 0.6 * v } else { v });
        let quality = judged(&dim, &face.lights);
        assert!(has(&quality, FindingCode::LightIntensity), "{name}: {:?}", quality.findings);
        assert_eq!(quality.findings.len(), 1, "{name}: {:?}", quality.findings);
        let gains = quality.gains.unwrap().gains;
        for (got, want) in gains.iter().zip([1.0, 0.6, 1.0, 1.0]) {
            assert!((got - want).abs() < 0.03, "{name}: {gains:?}");
        }
    }
}

#[test]
fn saturation_is_counted_and_reported() {
    for (name, face) in faces() {
        let mask = foreground_mask(&face.images);
        // The exposure that clips 30 % of the observations.
        let mut values: Vec<f32> = (0..face.images.count * mask.data.len())
            .filter(|i| mask.data[i % mask.data.len()])
            .map(|i| face.images.pixels.get(i))
            .collect();
        values.sort_by(f32::total_cmp);
        let white = values[values.len() * 7 / 10];
        let factor = face.images.pixels.full_scale() / white;
        let quality = judged_on(&changed(&face.images, |_, _, v| factor * v), &face.lights, &mask);
        let share = quality.exposure.as_ref().unwrap().saturated_share;
        // 8-bit values come in heaps.
        assert!((share - 0.3).abs() < 0.02, "{name}: {share}");
        let finding = quality.findings.iter().find(|f| f.code == FindingCode::Saturated).unwrap();
        assert_eq!(finding.severity, Severity::Error, "{name}");
    }
}

#[test]
fn a_blurred_frame_is_named() {
    for (name, face) in faces() {
        let quality = judged(&blurred(&face.images, 2, 8), &face.lights);
        let finding = quality.findings.iter().find(|f| f.code == FindingCode::BlurredFrame);
        let message = &finding.unwrap_or_else(|| panic!("{name}: {:?}", quality.sharpness)).message;
        assert!(message.starts_with("image 3 "), "{name}: {message}");
    }
}

#[test]
fn a_shifted_frame_is_measured() {
    for (name, face) in faces() {
        let quality = judged(&shifted(&face.images, 3, 0, 3), &face.lights);
        assert!(has(&quality, FindingCode::FramesMisaligned), "{name}: {:?}", quality.findings);
        let shifts = quality.alignment.unwrap().shift_px;
        for (image, [right, down]) in shifts.iter().enumerate() {
            let want = if image == 3 { 3.0 } else { 0.0 };
            let off = right.hypot(down - want);
            assert!(off < 0.8, "{name}: image {image} at ({right:.2}, {down:.2})");
        }
    }
}

#[test]
fn nearly_equal_lights_and_a_repeated_image_are_named() {
    for (name, face) in faces() {
        let mut lights = face.lights.clone();
        lights.directions[1] = (lights.directions[0] + Vec3::new(0.02, 0.0, 0.0)).normalize();
        let quality = judged(&face.images, &lights);
        let finding =
            quality.findings.iter().find(|f| f.code == FindingCode::NearlyEqualLights).unwrap();
        assert_eq!(finding.severity, Severity::Warning, "{name}");

        let area = face.images.size.area();
        let twice =
            changed(
                &face.images,
                |j, p, v| {
                    if j == 2 { face.images.pixels.get(area + p) } else { v }
                },
            );
        let quality = judged(&twice, &face.lights);
        assert!(has(&quality, FindingCode::RepeatedImage), "{name}: {:?}", quality.findings);
    }
}

#[test]
fn drift_is_told_where_it_is_large() {
    let (_, face) = faces().swap_remove(0);
    let mask = foreground_mask(&face.images);
    let surface = LeastSquares::new(&face.lights).unwrap().solve(&face.images);
    let judge = |drift: &[[f32; 2]]| {
        assess(&QualityInput {
            images: &face.images,
            lights: &face.lights,
            normals: &surface.normals.clone().masked(&mask),
            albedo: &surface.albedo.clone().masked(&mask),
            residual: &surface.residual.clone().masked(&mask),
            mask: &mask,
            confidence: Some(&Plane::filled(mask.size, 0.5)),
            drift_px: Some(drift),
        })
    };
    let calm = judge(&[[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [1.5, 1.5]]);
    assert_eq!(calm.findings, []);
    assert_eq!(calm.confidence_quantiles, Some([0.5; 3]));
    assert!(has(
        &judge(&[[0.0, 0.0], [9.0, 0.0], [9.0, 0.0], [9.0, 0.0]]),
        FindingCode::FrameDrift
    ));
}

#[test]
fn what_cannot_be_judged_is_none() {
    let (_, face) = faces().swap_remove(0);
    let area = face.images.size.area();
    let values = (0..3 * area).map(|i| face.images.pixels.get(i) / 255.0).collect();
    let three = ImageStack::new(face.images.size, 3, Pixels::F32(values));
    let quality = judged(&three, &face.lights.select(&[0, 1, 2]));
    assert_eq!(quality.findings, []);
    let empty = (quality.residual, quality.gains, quality.alignment);
    assert_eq!(empty, (None, None, None), "three lights leave no residual");

    let nothing = Plane::filled(face.images.size, false);
    let quality = judged_on(&face.images, &face.lights, &nothing);
    assert_eq!((quality.exposure, quality.integrability), (None, None));
    assert_eq!((quality.light_frame, quality.light_order, quality.sharpness), (None, None, None));

    // A quality file comes back as it was written, up to the last digit of its numbers.
    let quality =
        judged(&face.images, &with_directions(&face.lights, |d| Vec3::new(-d.x, d.y, d.z)));
    let json = serde_json::to_string(&quality).unwrap();
    let back: CaptureQuality = serde_json::from_str(&json).unwrap();
    assert_eq!((back.count, back.findings), (quality.count, quality.findings));
    assert!(json.contains("\"light-frame\"") && json.contains("\"x-flipped\""), "{json}");
}

#[test]
fn a_set_is_summed_up_worst_first() {
    let (_, face) = faces().swap_remove(0);
    let good = judged(&face.images, &face.lights);
    let dim = changed(&face.images, |j, _, v| if j == 1 { 0.6 * v } else { v });
    let warned = judged(&dim, &face.lights);
    let wrong = judged(&face.images, &with_directions(&face.lights, |d| Vec3::new(d.x, -d.y, d.z)));
    let set = summarise(&[good.clone(), wrong, good, warned]);
    assert_eq!((set.captures, set.good, set.with_warnings, set.with_errors), (4, 2, 1, 1));
    assert_eq!(set.worst_first, [1, 3, 0, 2]);
    assert_eq!(set.findings["light-frame"].errors, 1);
    assert_eq!(set.findings["light-intensity"].captures, 1);
}
