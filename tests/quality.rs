//! The quality report: silent on good captures, and each seeded fault found by its name.

mod support;

use lumiface::capture::{Layout, LayoutOptions, find_captures};
use lumiface::geometry::Vec3;
use lumiface::maps::{ImageStack, Lights, Mask, Pixels, Plane, Size};
use lumiface::quality::{
    CaptureQuality, FindingCode, FrameVariant, QualityInput, Severity, assess, summarise,
};
use lumiface::reconstruct::{Compute, reconstruct};
use lumiface::stereo::{LeastSquares, foreground_mask};
use lumiface::synth::height_field::{RenderOptions, Rendering, Scene, render};

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
fn lights_stated_too_near_the_axis_make_a_relief_that_is_told_too_steep() {
    for (name, face) in faces() {
        let narrowed = |d: Vec3| Vec3::new(0.4 * d.x, 0.4 * d.y, d.z).normalize();
        let quality = judged(&face.images, &with_directions(&face.lights, narrowed));
        assert!(has(&quality, FindingCode::TooSteep), "{name}: {:?}", quality.median_slope_deg);
    }
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
    type Flip = fn(Vec3) -> Vec3;
    let flips: [(FrameVariant, Flip); 7] = [
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

#[test]
fn a_real_photoface_session_is_no_error_until_its_lights_are_mixed_up() {
    let Some(session) = support::test_data("photoface/session") else { return };
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("1001/s1");
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(session).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let found = find_captures(Layout::Photoface, root.path(), &LayoutOptions::default()).unwrap();
    let capture = found.captures[0].load().unwrap();
    // As `preprocess` judges: less the room's light and registered.
    let maps = reconstruct(&capture, &Default::default(), &Compute::Cpu).unwrap();
    let judge = |lights: &Lights| judged_on(&maps.images, lights, &maps.mask);
    let good = judge(&capture.lights);
    assert!(good.severity() < Some(Severity::Error), "{:?}", good.findings);
    let swapped = judge(&capture.lights.select(&[1, 0, 2, 3]));
    assert!(has(&swapped, FindingCode::LightOrder), "{:?}", swapped.findings);
    let flipped = judge(&with_directions(&capture.lights, |d| Vec3::new(d.x, -d.y, d.z)));
    assert!(has(&flipped, FindingCode::LightFrame), "{:?}", flipped.findings);
    let hollow = judge(&with_directions(&capture.lights, |d| Vec3::new(-d.x, -d.y, d.z)));
    assert!(has(&hollow, FindingCode::LightFrame), "{:?}", hollow.findings);
}

#[test]
fn the_diligent_ball_raises_no_finding_until_two_of_its_lights_are_swapped() {
    let Some(folder) = support::test_data("diligent/ballPNG") else { return };
    let numbers = |name: &str| -> Vec<Vec3> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| Vec3::from_iterator(line.split_whitespace().map(|v| v.parse().unwrap())))
            .collect()
    };
    let mask = lumiface::io::read_mask(&folder.join("mask.png")).unwrap();
    let names = std::fs::read_to_string(folder.join("filenames.txt")).unwrap();
    let values: Vec<f32> = names
        .lines()
        .zip(numbers("light_intensities.txt"))
        .flat_map(|(name, e)| {
            let image = image::open(folder.join(name.trim())).unwrap().into_rgb16();
            let grey = |p: &image::Rgb<u16>| (0..3).map(|c| f32::from(p[c]) / e[c]).sum::<f32>();
            image.pixels().map(grey).collect::<Vec<f32>>()
        })
        .collect();
    let top = values.iter().copied().fold(0.0, f32::max);
    let lights = Lights::directional(numbers("light_directions.txt"));
    let pixels = Pixels::F32(values.iter().map(|v| v / top).collect());
    // Full scale is the brightest value here, not the sensor's end.
    let white = vec![f32::INFINITY; lights.len()];
    let images = ImageStack::new(mask.size, lights.len(), pixels).with_white(white);
    assert_eq!(judged_on(&images, &lights, &mask).findings, []);
    let mut swapped: Vec<usize> = (0..lights.len()).collect();
    swapped.swap(3, 20);
    let quality = judged_on(&images, &lights.select(&swapped), &mask);
    assert!(has(&quality, FindingCode::LightOrder), "{:?}", quality.findings);
    assert_eq!(quality.light_order.unwrap().best, swapped);
}

#[test]
fn the_page_of_a_folder_holds_everything_and_survives_what_is_missing() {
    use lumiface::dataset::{Manifest, ManifestRow, files};
    use lumiface::report::{InspectOptions, inspect_folder};
    let root = tempfile::tempdir().unwrap();
    let (_, face) = faces().swap_remove(0);
    let flipped = with_directions(&face.lights, |d| Vec3::new(d.x, -d.y, d.z));
    let mut rows = Vec::new();
    for (session, lights) in
        [("good", &face.lights), ("flip<ped", &flipped), ("bare", &face.lights)]
    {
        let folder = std::path::Path::new("1001").join(session.replace('<', "_"));
        let path = |file: &str| root.path().join(&folder).join(file);
        std::fs::create_dir_all(path("")).unwrap();
        if session != "bare" {
            let mask = foreground_mask(&face.images);
            let surface = LeastSquares::new(lights).unwrap().solve(&face.images);
            let depth = lumiface::integrate::frankot_chellappa(&surface.normals, &mask);
            let normals = surface.normals.masked(&mask);
            lumiface::io::write_normals(&path(files::NORMALS), &normals, Default::default())
                .unwrap();
            lumiface::io::write_plane(&path(files::ALBEDO), &surface.albedo, Default::default())
                .unwrap();
            lumiface::io::write_plane(&path(files::DEPTH), &depth, Default::default()).unwrap();
            lumiface::io::write_plane(
                &path(files::RESIDUAL),
                &surface.residual,
                Default::default(),
            )
            .unwrap();
            lumiface::io::write_mask(&path(files::MASK), &mask).unwrap();
            let json = serde_json::to_vec(&judged(&face.images, lights)).unwrap();
            std::fs::write(path(files::QUALITY), json).unwrap();
        }
        rows.push(ManifestRow {
            id: "1001".into(),
            session: session.into(),
            labels: Default::default(),
            folder,
            height: face.images.size.height,
            width: face.images.size.width,
            lights: 4,
            solver: "least-squares".into(),
            condition_number: lights.condition_number(),
            training_only: false,
            face: None,
            images: vec!["gone.png".into()],
            warnings: vec![],
        });
    }
    Manifest { root: root.path().to_path_buf(), rows }.write().unwrap();
    let page = inspect_folder(root.path(), &InspectOptions::default()).unwrap();
    assert_eq!(page.unreadable.len(), 1, "{:?}", page.unreadable);
    assert!(page.unreadable[0].contains("bare"), "{:?}", page.unreadable);
    let html = page.html;
    let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("no `{text}` in the page"));
    assert!(place("1001/flip&lt;ped") < place("1001/good"), "worst first");
    assert!(!html.contains("flip<ped"));
    place("<b>light-frame</b>");
    place("To do: ");
    assert_eq!(html.matches("images in shadow").count(), 0, "the lit images are gone");
    assert!(place("The maps cannot be shown") > place("no quality file"));
    for fetched in ["http:", "https:", "<script", "<link", "src=\"/", "url("] {
        assert!(!html.contains(fetched), "the page asks for `{fetched}`");
    }
    let few = InspectOptions { details: 1, ..InspectOptions::default() };
    let short = inspect_folder(root.path(), &few).unwrap().html;
    assert_eq!(short.matches("<section class=\"capture\"").count(), 1);
    assert!(short.contains("1001/good") && short.contains("1001/bare"), "the table lists all");
}
