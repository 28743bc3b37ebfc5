//! Every layout on small generated folders with known truth.

mod support;

use image::{ImageBuffer, Luma, Rgb};
use lumiface::capture::{
    CAPTURE_FILE, Capture, InitOptions, Layout, LayoutOptions, detect_layout, find_captures,
    init_capture,
};
use lumiface::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::maps::{ImageStack, Pixels, Plane, Size};
use lumiface::stereo::LeastSquares;
use std::fs;
use std::path::Path;
use support::layouts::{found, only};

const SIZE: Size = Size { height: 48, width: 40 };
const ALBEDO: [f64; 3] = [0.9, 0.6, 0.5];
const LIGHTS: [[f64; 3]; 5] =
    [[0.5, 0.3, 1.0], [-0.5, 0.4, 1.0], [-0.4, -0.5, 1.0], [0.4, -0.4, 1.0], [0.0, 0.1, 1.0]];

fn unit(light: [f64; 3]) -> Vec3 {
    nalgebra::Vector3::from(light).normalize().cast()
}

/// An ellipsoid flat enough for every light to reach all of it; rows run down, y up.
fn true_normal(row: usize, column: usize) -> Option<Vec3> {
    let (x, y) = ((column as f64 - 19.5) / 18.0, (23.5 - row as f64) / 18.0);
    (x * x + y * y < 1.0).then(|| unit([0.5 * x, 0.5 * y, 1.0]))
}

/// Linear red, green and blue of 0 to 1 under a light of these intensities.
fn shade(row: usize, column: usize, light: Vec3, intensity: [f64; 3]) -> [f64; 3] {
    let cosine = true_normal(row, column).map_or(0.0, |n| f64::from(n.dot(&light)).max(0.0));
    [0, 1, 2].map(|c| ALBEDO[c] * cosine * intensity[c])
}

fn write_colour(path: &Path, light: [f64; 3], intensity: [f64; 3]) {
    ImageBuffer::from_fn(40, 48, |c, r| {
        let rgb = shade(r as usize, c as usize, unit(light), intensity);
        Rgb(rgb.map(|v| (v * 65_535.0).round() as u16))
    })
    .save(path)
    .unwrap();
}

fn write_grey(path: &Path, light: [f64; 3], offset: u8) {
    ImageBuffer::from_fn(40, 48, |c, r| {
        let [v, ..] = shade(r as usize, c as usize, unit(light), [1.0; 3]);
        Luma([(200.0 * v).round() as u8 + offset])
    })
    .save(path)
    .unwrap();
}

fn write_mask(path: &Path) {
    let inside = |c: u32, r: u32| true_normal(r as usize, c as usize).is_some();
    ImageBuffer::from_fn(40, 48, |c, r| Luma([if inside(c, r) { 255u8 } else { 0 }]))
        .save(path)
        .unwrap();
}

fn only_problem(layout: Layout, root: &Path) -> String {
    let inventory = found(layout, root);
    assert!(inventory.captures.is_empty(), "{:?}", inventory.captures);
    assert_eq!(inventory.problems.len(), 1, "{:?}", inventory.problems);
    inventory.problems[0].clone()
}

/// Greatest angle between solved and true normals, where all lights reach.
fn worst_angle_deg(images: &ImageStack, capture: &Capture) -> f32 {
    let normals = LeastSquares::new(&capture.lights).unwrap().solve(images).normals;
    let mut worst = 0.0f32;
    for row in 0..SIZE.height {
        for column in 0..SIZE.width {
            if let Some(truth) = true_normal(row, column) {
                let error = angle_between_deg(normals.at(row * SIZE.width + column), truth);
                assert!(error.is_finite());
                worst = worst.max(error);
            }
        }
    }
    worst
}

/// Five 16-bit colour images under coloured lights.
fn write_diligent(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let intensities =
        [[1.0, 0.8, 0.5], [0.7, 1.0, 0.9], [0.5, 0.5, 1.0], [1.0; 3], [0.9, 0.4, 0.8]];
    let (mut names, mut directions, mut strengths) = (String::new(), String::new(), String::new());
    for (i, (light, e)) in LIGHTS.into_iter().zip(intensities).enumerate() {
        write_colour(&folder.join(format!("{i:03}.png")), light, e);
        names += &format!("{i:03}.png\n");
        let l = unit(light);
        directions += &format!("{} {} {}\n", l.x, l.y, l.z);
        strengths += &format!("{} {} {}\n", e[0], e[1], e[2]);
    }
    fs::write(folder.join("filenames.txt"), names).unwrap();
    fs::write(folder.join("light_directions.txt"), directions).unwrap();
    fs::write(folder.join("light_intensities.txt"), strengths).unwrap();
    write_mask(&folder.join("mask.png"));
}

#[test]
fn diligent_divides_each_channel_by_its_light() {
    let root = tempfile::tempdir().unwrap();
    write_diligent(&root.path().join("egg"));
    let source = only(Layout::Diligent, root.path());
    assert_eq!(source.name(), "egg/s1");
    let capture = source.load().unwrap();
    let mask = capture.mask.as_ref().unwrap();
    assert!(*mask.at(24, 20) && !*mask.at(0, 0));
    assert!(worst_angle_deg(&capture.images, &capture) < 0.01);
    for channel in capture.colour.as_ref().unwrap() {
        assert!(worst_angle_deg(channel, &capture) < 0.01);
    }
}

#[test]
fn diligent_files_that_do_not_fit_each_other_are_named() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("light_directions.txt", "0 0 1\n0 1 1\n1 0 1\n", &["has 3 lights", "5 images"]),
        ("light_directions.txt", "0 0 1\n0 1\n1 0 1\n1 1 1\n0 0 1", &["light 2 has 2 numbers"]),
        ("light_directions.txt", "0 0 1\n0 0 0\n1 0 1\n1 1 1\n0 0 1", &["light 2 is (0, 0, 0)"]),
        ("light_intensities.txt", "1\n1\n1\n1\n", &["has 4 lights", "5 images"]),
        ("light_intensities.txt", "1\n1\n0\n1\n1", &["light 3", "not above zero"]),
        ("filenames.txt", "000.png\nfoo\n", &["`foo` is no image"]),
    ];
    for (file, text, wants) in cases {
        let root = tempfile::tempdir().unwrap();
        write_diligent(root.path());
        fs::write(root.path().join(file), text).unwrap();
        let message = only_problem(Layout::Diligent, root.path());
        assert!(message.contains(file), "{message}");
        wants.iter().for_each(|want| assert!(message.contains(want), "`{want}`: {message}"));
    }
}

#[test]
fn masks_that_do_not_fit_or_show_nothing_are_named() {
    let root = tempfile::tempdir().unwrap();
    write_diligent(root.path());
    let mask = root.path().join("mask.png");
    image::GrayImage::from_pixel(40, 48, Luma([0])).save(&mask).unwrap();
    let message = only(Layout::Diligent, root.path()).load().unwrap_err().to_string();
    assert!(message.contains("mask.png") && message.contains("empty"), "{message}");
    image::GrayImage::from_pixel(4, 3, Luma([255])).save(&mask).unwrap();
    let message = only(Layout::Diligent, root.path()).load().unwrap_err().to_string();
    assert!(message.contains("the mask is 4×3, the images are 40×48"), "{message}");
}

fn write_psm(root: &Path) {
    fs::create_dir_all(root.join("psmImages/egg")).unwrap();
    let mut list = String::from("5\n");
    let mut lights = String::from("5\n");
    for (i, light) in LIGHTS.into_iter().enumerate() {
        write_grey(&root.join(format!("psmImages/egg/egg.{i}.tga")), light, 0);
        list += &format!("psmImages/egg/egg.{i}.tga\n");
        let l = unit(light);
        lights += &format!("{} {} {}\n", l.x, l.y, l.z);
    }
    write_mask(&root.join("psmImages/egg/egg.mask.tga"));
    list += "psmImages/egg/egg.mask.tga\n";
    fs::write(root.join("psmImages/egg.txt"), &list).unwrap();
    fs::write(root.join("psmImages/chrome.txt"), list).unwrap();
    fs::write(root.join("psmImages/README.txt"), "no list\n").unwrap();
    fs::write(root.join("psmImages/lights.txt"), lights).unwrap();
}

#[test]
fn psm_images_are_objects_in_one_folder_and_probes_are_left_out() {
    let root = tempfile::tempdir().unwrap();
    write_psm(root.path());
    let source = only(Layout::PsmImages, root.path());
    assert_eq!(source.name(), "egg/psmImages");
    let inside = only(Layout::PsmImages, &root.path().join("psmImages"));
    assert_eq!(inside.name(), "egg/s1");
    assert_eq!(inside.images, source.images);
    let capture = source.load().unwrap();
    assert!(matches!(capture.images.pixels, Pixels::U8(_)) && capture.colour.is_none());
    assert!(capture.mask.is_some());
    assert!(worst_angle_deg(&capture.images, &capture) < 1.0);

    let list = root.path().join("psmImages/egg.txt");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replacen('5', "9", 1)).unwrap();
    let message = only_problem(Layout::PsmImages, root.path());
    assert!(message.contains("egg.txt: announces 9 images"), "{message}");
    fs::write(root.path().join("psmImages/lights.txt"), "5\n0 0 1\n").unwrap();
    let message = only_problem(Layout::PsmImages, root.path());
    assert!(message.contains("lights.txt: announces 5 lights, but 1 follow"), "{message}");
}

fn write_lp(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut text = String::from("5\n");
    for (i, light) in LIGHTS.into_iter().enumerate() {
        write_grey(&folder.join(format!("my shell {i}.png")), light, 0);
        text += &format!("C:\\RTI\\my shell {i}.png {} {} {}\n", light[0], light[1], light[2]);
    }
    fs::write(folder.join("shell.lp"), text).unwrap();
}

#[test]
fn lp_lights_are_normalised_and_images_found_beside_it() {
    let root = tempfile::tempdir().unwrap();
    write_lp(&root.path().join("shells/one"));
    let source = only(Layout::Lp, root.path());
    assert_eq!(source.name(), "shells/one");
    let capture = source.load().unwrap();
    assert!(worst_angle_deg(&capture.images, &capture) < 1.0);
    fs::write(root.path().join("shells/one/other.lp"), "").unwrap();
    let message = only_problem(Layout::Lp, root.path());
    assert!(message.contains("other.lp and shell.lp"), "{message}");
}

fn write_photoface(folder: &Path, offset: u8) {
    fs::create_dir_all(folder).unwrap();
    let angles = [(30.0f32, 130.0f32), (30.0, 50.0), (30.0, 310.0), (30.0, 230.0)];
    let mut text = String::new();
    for (i, (zenith, azimuth)) in angles.into_iter().enumerate() {
        let l = light_from_zenith_azimuth(zenith, azimuth);
        let light = [l.x, l.y, l.z].map(f64::from);
        write_grey(&folder.join(format!("im{i}.png")), light, offset);
        text += &format!("{zenith} {azimuth}\n");
    }
    fs::write(folder.join("LightSource.txt"), text).unwrap();
}

#[test]
fn an_ambient_frame_is_taken_off_every_image() {
    let root = tempfile::tempdir().unwrap();
    write_photoface(&root.path().join("1001/a"), 20);
    let source = only(Layout::Photoface, root.path());
    let with_offset = source.load().unwrap();
    assert!(matches!(with_offset.images.pixels, Pixels::U8(_)));
    assert!(worst_angle_deg(&with_offset.images, &with_offset) > 2.0);

    let ambient = root.path().join("1001/a/Ambient.png");
    image::GrayImage::from_pixel(40, 48, Luma([20])).save(&ambient).unwrap();
    let source = only(Layout::Photoface, root.path());
    let capture = source.load().unwrap();
    assert!(matches!(capture.images.pixels, Pixels::F32(_)));
    assert!(worst_angle_deg(&capture.images, &capture) < 1.0);
    assert_eq!(capture.images.white, [1.0; 4]);

    image::GrayImage::from_pixel(8, 8, Luma([20])).save(&ambient).unwrap();
    let message = source.load().unwrap_err().to_string();
    assert!(message.contains("Ambient.png: the ambient frame is 8×8"), "{message}");
    fs::write(root.path().join("1001/a/dark.png"), "").unwrap();
    let message = only_problem(Layout::Photoface, root.path());
    assert!(message.contains("Ambient.png and dark.png"), "{message}");
}

#[test]
fn auto_finds_each_layout_and_says_why() {
    type Case = (Layout, fn(&Path), &'static str, &'static str);
    let cases: [Case; 5] = [
        (Layout::Diligent, |p| write_diligent(&p.join("egg")), "egg holds filenames", "egg/s1"),
        (Layout::PsmImages, write_psm, "psmImages holds lights.txt", "egg/psmImages"),
        (Layout::Lp, |p| write_lp(&p.join("x")), "x holds an .lp file", "x/s1"),
        (
            Layout::Photoface,
            |p| write_photoface(&p.join("1001/a"), 0),
            "1001/a holds LightSource",
            "1001/a",
        ),
        (
            Layout::YaleB,
            |p| {
                fs::create_dir(p.join("yaleB01")).unwrap();
                for (a, e) in [("+000", "+00"), ("+035", "+20"), ("-035", "+20"), ("+010", "-20")] {
                    let name = format!("yaleB01/yaleB01_P00A{a}E{e}.pgm");
                    write_grey(&p.join(name), [0.0, 0.0, 1.0], 0);
                }
            },
            "yaleB01 holds images named",
            "yaleB01/s00",
        ),
    ];
    for (layout, write, reason, name) in cases {
        let root = tempfile::tempdir().unwrap();
        write(root.path());
        let inventory = found(Layout::Auto, root.path());
        let detected = inventory.detected.unwrap();
        assert_eq!(detected.layout, layout);
        assert!(detected.reason.contains(reason), "{}", detected.reason);
        assert_eq!(inventory.captures[0].name(), name);
        // The capture's folder alone does as well.
        let alone = found(Layout::Auto, &inventory.captures[0].folder);
        assert_eq!(alone.detected.unwrap().layout, layout);
        assert!(!alone.captures.is_empty());
    }
}

#[test]
fn auto_asks_where_it_cannot_know() {
    let root = tempfile::tempdir().unwrap();
    let message = detect_layout(root.path()).unwrap_err().to_string();
    assert!(message.contains("no known layout") && message.contains("capture init"), "{message}");
    write_diligent(&root.path().join("egg"));
    write_lp(&root.path().join("shell"));
    let message = detect_layout(root.path()).unwrap_err().to_string();
    assert!(message.contains("--layout diligent (egg holds"), "{message}");
    assert!(message.contains("--layout lp (shell holds"), "{message}");
    // A capture.toml is the user's word and goes first.
    init_capture(&root.path().join("egg"), InitOptions::default()).unwrap();
    let egg = detect_layout(&root.path().join("egg")).unwrap();
    assert_eq!(egg.layout, Layout::CaptureToml);
}

#[test]
fn options_of_another_layout_are_refused() {
    let root = tempfile::tempdir().unwrap();
    write_diligent(root.path());
    let options = LayoutOptions { recipe: Some(Default::default()), labels: None };
    let message = find_captures(Layout::Auto, root.path(), &options).unwrap_err().to_string();
    assert!(message.contains("layout diligent") && message.contains("yaleb"), "{message}");
}

/// A folder in between, as the archive unpacks, does not take the people's place.
#[test]
fn yale_people_keep_their_names_below_a_wrapping_folder() {
    let root = tempfile::tempdir().unwrap();
    let person = root.path().join("CroppedYale/yaleB01");
    fs::create_dir_all(&person).unwrap();
    for (a, e) in [("+000", "+00"), ("+035", "+20"), ("-035", "+20"), ("+010", "-20")] {
        write_grey(&person.join(format!("yaleB01_P00A{a}E{e}.pgm")), [0.0, 0.0, 1.0], 0);
    }
    assert_eq!(only(Layout::YaleB, root.path()).name(), "yaleB01/s00");
}

#[test]
fn layouts_have_names_that_lead_back_to_them() {
    for name in Layout::NAMES {
        assert_eq!(name.parse::<Layout>().unwrap().name(), name);
    }
    let message = "diligant".parse::<Layout>().unwrap_err();
    assert!(message.contains("did you mean `diligent`?"), "{message}");
}

fn grey_images(folder: &Path) {
    for (i, light) in LIGHTS.into_iter().enumerate() {
        write_grey(&folder.join(format!("im{}.png", i + 8)), light, 0);
    }
}

#[test]
fn init_without_lights_asks_for_each_and_never_overwrites() {
    let root = tempfile::tempdir().unwrap();
    grey_images(root.path());
    write_mask(&root.path().join("mask.png"));
    write_grey(&root.path().join("dark.png"), LIGHTS[0], 0);
    let path = init_capture(root.path(), InitOptions::default()).unwrap().path;
    let text = fs::read_to_string(&path).unwrap();
    let order: Vec<_> = ["im8", "im9", "im10", "im11", "im12"]
        .map(|name| text.find(&format!("image = \"{name}.png\"")).unwrap())
        .to_vec();
    assert!(order.is_sorted(), "{text}");
    assert!(text.contains("\nmask = \"mask.png\"") && text.contains("\nambient = \"dark.png\""));
    let message = only_problem(Layout::CaptureToml, root.path());
    assert!(message.contains("give the direction of light 1 (im8.png)"), "{message}");
    assert!(message.contains(CAPTURE_FILE), "{message}");

    fs::write(&path, "mine").unwrap();
    let message = init_capture(root.path(), InitOptions::default()).unwrap_err().to_string();
    assert!(message.contains("is there already"), "{message}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    init_capture(root.path(), InitOptions { force: true }).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let empty = tempfile::tempdir().unwrap();
    let message = init_capture(empty.path(), InitOptions::default()).unwrap_err().to_string();
    assert!(message.contains("holds 0 images"), "{message}");
    assert!(!empty.path().join(CAPTURE_FILE).exists());
}

/// What a layout's own files say and what `capture init` makes of them is one capture.
#[test]
fn init_takes_over_the_lights_of_known_files() {
    type Case = (Layout, fn(&Path));
    let cases: [Case; 3] = [
        (Layout::Diligent, write_diligent),
        (Layout::Lp, write_lp),
        (Layout::Photoface, |folder| write_photoface(folder, 0)),
    ];
    for (layout, write) in cases {
        let root = tempfile::tempdir().unwrap();
        write(root.path());
        let theirs = only(layout, root.path());
        init_capture(root.path(), InitOptions::default()).unwrap();
        let ours = only(Layout::CaptureToml, root.path());
        assert_eq!(ours.images, theirs.images, "{layout:?}");
        for (a, b) in ours.lights.directions.iter().zip(&theirs.lights.directions) {
            assert!((a - b).norm() < 1e-6, "{layout:?}: {a:?} {b:?}");
        }
        assert_eq!(ours.rig.colour_intensities, theirs.rig.colour_intensities);
        assert_eq!(ours.rig.mask, theirs.rig.mask);
        let (ours, theirs) = (ours.load().unwrap(), theirs.load().unwrap());
        assert_eq!(ours.images, theirs.images);
    }
    // Components in rows, as MATLAB saves a 3×N matrix.
    let root = tempfile::tempdir().unwrap();
    grey_images(root.path());
    let row = |c: usize| LIGHTS.map(|l| l[c].to_string()).join(" ");
    let text = format!("{}\n{}\n{}\n", row(0), row(1), row(2));
    fs::write(root.path().join("light_directions.txt"), text).unwrap();
    init_capture(root.path(), InitOptions::default()).unwrap();
    let capture = only(Layout::CaptureToml, root.path()).load().unwrap();
    assert!(worst_angle_deg(&capture.images, &capture) < 1.0);
}

/// A capture.toml over five images, with each light's lines from `light`.
fn write_capture_toml(folder: &Path, head: &str, light: impl Fn(usize) -> String) {
    grey_images(folder);
    let lights = (0..5).map(|i| format!("[[lights]]\nimage = \"im{}.png\"\n{}\n", i + 8, light(i)));
    fs::write(folder.join(CAPTURE_FILE), format!("{head}\n{}", lights.collect::<String>()))
        .unwrap();
}

fn direction(i: usize) -> String {
    format!("direction = {:?}", LIGHTS[i])
}

#[test]
fn capture_toml_says_all_there_is_to_say() {
    let root = tempfile::tempdir().unwrap();
    let head = "id = \"ann\"\nsession = \"morning\"\ntransfer = \"linear\"\nmask = \"mask.png\"\n\
        subject_distance_mm = 1200\n[camera]\nfocal_px = 2800\n[labels]\ngender = \"female\"\n";
    write_mask(&root.path().join("mask.png"));
    // The first light is twice as strong as the image shows it.
    write_capture_toml(root.path(), head, |i| {
        format!("{}\nintensity = {}", direction(i), if i == 0 { 2.0 } else { 1.0 })
    });
    let source = only(Layout::CaptureToml, root.path());
    assert_eq!(source.name(), "ann/morning");
    assert_eq!(source.labels["gender"], "female");
    let capture = source.load().unwrap();
    assert_eq!(capture.lights.intensities, [2.0, 1.0, 1.0, 1.0, 1.0]);
    assert!(capture.mask.is_some());
    let camera = capture.camera.unwrap();
    assert_eq!((camera.focal_px, camera.centre_px), ([2800.0; 2], [19.5, 23.5]));
    assert!(matches!(capture.images.pixels, Pixels::U8(_)));
}

#[test]
fn near_lamps_are_what_they_are_at_the_subjects_centre() {
    let root = tempfile::tempdir().unwrap();
    let head = "subject_distance_mm = 1000.0\n[camera]\nfocal_px = [2000.0, 2000.0]\n\
        centre_px = [19.5, 23.5]\n";
    // Half a metre from the subject's centre (0, 0, −1000), along the known directions.
    write_capture_toml(root.path(), head, |i| {
        let l = unit(LIGHTS[i]) * 500.0;
        format!("position_mm = [{}, {}, {}]", l.x, l.y, l.z - 1000.0)
    });
    // A missing image is left out with its lamp.
    fs::remove_file(root.path().join("im9.png")).unwrap();
    let capture = only(Layout::CaptureToml, root.path()).load().unwrap();
    let near = capture.near.as_ref().unwrap();
    assert_eq!((near.positions_mm.len(), capture.images.count), (4, 4));
    for (got, want) in capture.lights.directions.iter().zip([0, 2, 3, 4]) {
        assert!((got - unit(LIGHTS[want])).norm() < 1e-4, "{got:?}");
    }
    assert!(worst_angle_deg(&capture.images, &capture) < 1.0);
}

#[test]
fn grey_images_under_coloured_lights_count_by_luminance() {
    let root = tempfile::tempdir().unwrap();
    write_capture_toml(root.path(), "", |i| {
        format!("{}\nintensity = [1.0, {}, 1.0]", direction(i), if i == 0 { 2.0 } else { 1.0 })
    });
    let capture = only(Layout::CaptureToml, root.path()).load().unwrap();
    assert!(matches!(capture.images.pixels, Pixels::U8(_)));
    assert!((capture.lights.intensities[0] - 1.7152).abs() < 1e-6);
    assert!((capture.lights.intensities[1] - 1.0).abs() < 1e-6);
}

#[test]
fn mistakes_in_capture_toml_are_named_with_their_remedy() {
    type Case = (&'static str, fn(usize) -> String, &'static str);
    let cases: [Case; 14] = [
        ("masc = \"a.png\"", direction, "did you mean `mask`?"),
        ("transfer = \"srbg\"", direction, "did you mean `srgb`?"),
        ("[labels]\ngendr = \"male\"", direction, "did you mean `gender`?"),
        ("id = \"a/b\"", direction, "cannot name a folder"),
        ("id = \"..\"", direction, "cannot name a folder"),
        ("", |_| "directon = [0, 0, 1]".into(), "did you mean `direction`?"),
        ("", |_| String::new(), "light 1 (im8.png) has no place"),
        ("", |i| format!("{}\nposition_mm = [0,0,0]", direction(i)), "more than one place"),
        ("", |_| "direction = [0, 0, 0]".into(), "is not [x, y, z]"),
        ("", |_| "direction = [nan, 0, 1]".into(), "is not [x, y, z]"),
        ("", |i| format!("{}\nintensity = [1, 2]", direction(i)), "2 intensities"),
        ("", |i| format!("{}\nintensity = -1", direction(i)), "not above zero"),
        ("", |_| "position_mm = [0, 0, 0]".into(), "no [camera]"),
        (
            "[camera]\nfocal_px = 2000",
            |_| "position_mm = [0, 0, 0]".into(),
            "no usable subject_distance_mm",
        ),
    ];
    for (head, light, want) in cases {
        let root = tempfile::tempdir().unwrap();
        write_capture_toml(root.path(), head, light);
        let message = only_problem(Layout::CaptureToml, root.path());
        assert!(message.contains(want) && message.contains(CAPTURE_FILE), "`{want}`: {message}");
    }
}

#[test]
fn lights_behind_the_subject_are_warned_of_or_refused() {
    let root = tempfile::tempdir().unwrap();
    write_capture_toml(root.path(), "", |i| {
        if i == 1 { "direction = [1, 0, -0.1]".into() } else { direction(i) }
    });
    let source = only(Layout::CaptureToml, root.path());
    assert!(source.warnings[0].contains("light 2 (im9.png)"), "{:?}", source.warnings);
    write_capture_toml(root.path(), "", |i| {
        let [x, y, z] = LIGHTS[i];
        format!("direction = [{x}, {y}, {}]", -z)
    });
    let message = only_problem(Layout::CaptureToml, root.path());
    assert!(message.contains("turn the signs round"), "{message}");
}

#[test]
fn two_captures_of_one_name_are_not_made_into_one() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        write_capture_toml(&folder, "id = \"ann\"", direction);
    }
    let inventory = found(Layout::CaptureToml, root.path());
    assert_eq!(inventory.captures.len(), 1);
    assert!(inventory.problems[0].contains("is called ann/s1 like"), "{:?}", inventory.problems);
}

/// Float files: NaN is no observation, values above 1 are scaled.
#[test]
fn float_captures_keep_nan_and_are_scaled() {
    let root = tempfile::tempdir().unwrap();
    write_capture_toml(root.path(), "", direction);
    let text = fs::read_to_string(root.path().join(CAPTURE_FILE)).unwrap().replace(".png", ".exr");
    fs::write(root.path().join(CAPTURE_FILE), text).unwrap();
    for (i, light) in LIGHTS.into_iter().enumerate() {
        let plane = Plane::from_fn(SIZE, |r, c| match (i, r, c) {
            (2, 0, 0) => f32::NAN,
            _ => 500.0 * shade(r, c, unit(light), [1.0; 3])[0] as f32,
        });
        let path = root.path().join(format!("im{}.exr", i + 8));
        lumiface::io::write_plane(&path, &plane, Default::default()).unwrap();
    }
    let source = only(Layout::CaptureToml, root.path());
    let capture = source.load().unwrap();
    let Pixels::F32(values) = &capture.images.pixels else { panic!() };
    assert!(values[2 * SIZE.area()].is_nan());
    let greatest = values.iter().copied().fold(0.0, f32::max);
    assert!((greatest - 1.0).abs() < 1e-6, "greatest {greatest}");
    assert_eq!(capture.images.white, [f32::MAX; 5]);
    assert!(worst_angle_deg(&capture.images, &capture) < 0.01);

    let nothing = Plane::filled(SIZE, f32::NAN);
    lumiface::io::write_plane(&root.path().join("im8.exr"), &nothing, Default::default()).unwrap();
    let capture = source.load().unwrap();
    assert!(capture.dropped[0].contains("im8.exr: holds no finite value"), "{:?}", capture.dropped);
}

#[test]
fn jpegs_are_made_linear() {
    let root = tempfile::tempdir().unwrap();
    write_capture_toml(root.path(), "", direction);
    let text = fs::read_to_string(root.path().join(CAPTURE_FILE)).unwrap().replace(".png", ".jpg");
    fs::write(root.path().join(CAPTURE_FILE), &text).unwrap();
    for (i, light) in LIGHTS.into_iter().enumerate() {
        let file = fs::File::create(root.path().join(format!("im{}.jpg", i + 8))).unwrap();
        let image = ImageBuffer::from_fn(40, 48, |c, r| {
            let [v, ..] = shade(r as usize, c as usize, unit(light), [1.0; 3]);
            let srgb = if v <= 0.0031308 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
            Luma([(255.0 * srgb).round() as u8])
        });
        image::codecs::jpeg::JpegEncoder::new_with_quality(file, 100).encode_image(&image).unwrap();
    }
    let capture = only(Layout::CaptureToml, root.path()).load().unwrap();
    let mean = mean_angle_deg(&capture);
    assert!(mean < 1.0, "mean error {mean}°");
    fs::write(root.path().join(CAPTURE_FILE), format!("transfer = \"linear\"\n{text}")).unwrap();
    let wrong = mean_angle_deg(&only(Layout::CaptureToml, root.path()).load().unwrap());
    assert!(wrong > 3.0 * mean, "{wrong}° taken as linear, {mean}° made linear");
}

fn mean_angle_deg(capture: &Capture) -> f32 {
    let normals = LeastSquares::new(&capture.lights).unwrap().solve(&capture.images).normals;
    let errors: Vec<f32> = (0..SIZE.area())
        .filter_map(|p| {
            let truth = true_normal(p / SIZE.width, p % SIZE.width)?;
            Some(angle_between_deg(normals.at(p), truth))
        })
        .collect();
    errors.iter().sum::<f32>() / errors.len() as f32
}
