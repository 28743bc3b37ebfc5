//! Commands that run one stage alone, as a user runs them.

mod support;

use lumiface::geometry::Vec3;
use lumiface::integrate::centre_depth;
use lumiface::io::{MapCompression, read_picture, read_plane, write_normals};
use lumiface::maps::{NormalMap, Plane, Size};
use std::path::{Path, PathBuf};
use support::{lumiface, stderr, stdout};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A cap of a sphere of radius 60 px: normals as a 16-bit image, and the depth.
fn write_cap(folder: &Path) -> (PathBuf, Plane<f32>) {
    let size = Size::new(51, 61);
    let at = |r: usize, c: usize| (c as f32 - 30.0, 25.0 - r as f32);
    let depth = Plane::from_fn(size, |r, c| {
        let (x, y) = at(r, c);
        (3600.0 - x * x - y * y).sqrt()
    });
    let stored = |v: f32| ((v + 1.0) * 32_767.5).round() as u16;
    let raw = (0..size.area()).flat_map(|p| {
        let (x, y) = at(p / size.width, p % size.width);
        [x, y, depth.data[p]].map(|v| stored(v / 60.0))
    });
    let path = folder.join("normals.png");
    image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(61, 51, raw.collect::<Vec<u16>>())
        .unwrap()
        .save(&path)
        .unwrap();
    let whole = Plane::filled(size, true);
    (path, centre_depth(depth, &whole))
}

#[test]
fn a_foreign_normal_map_becomes_depth_and_a_mesh() {
    let folder = tempfile::tempdir().unwrap();
    let (normals, truth) = write_cap(folder.path());
    let (depth, mesh) = (folder.path().join("depth.exr"), folder.path().join("cap.ply"));
    for integrator in ["poisson", "bilateral", "poisson-dct"] {
        let output = lumiface(&[
            "integrate",
            text(&normals),
            "--integrator",
            integrator,
            "--out",
            text(&depth),
            "--out",
            text(&mesh),
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let found = read_plane(&depth).unwrap();
        let error =
            found.data.iter().zip(&truth.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 0.1, "{integrator}: off by {error} px of a relief of 14 px");
    }
    let header = std::fs::read(&mesh).unwrap();
    assert!(header.starts_with(b"ply"));
}

#[test]
fn what_integrate_cannot_do_it_says_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (normals, _) = write_cap(folder.path());
    let at = |name: &str| folder.path().join(name);
    image::GrayImage::from_pixel(9, 9, image::Luma([255])).save(at("small.png")).unwrap();
    image::GrayImage::new(61, 51).save(at("empty.png")).unwrap();
    std::fs::write(at("K.txt"), "100 0 30 0 100 25 0 0 1").unwrap();
    let (small, empty, camera, out) = (at("small.png"), at("empty.png"), at("K.txt"), at("d.exr"));
    let cases: [(&[&str], &str); 4] = [
        (&["--mask", text(&small)], "small.png: is 9×9"),
        (&["--mask", text(&empty)], "empty.png: the mask is empty"),
        (&["--camera", text(&camera), "--integrator", "poisson-dct"], "has no perspective"),
        (&["--out", "d.stl"], "d.stl: let the output end in"),
    ];
    for (arguments, want) in cases {
        let mut all = vec!["integrate", text(&normals), "--out", text(&out)];
        all.extend(arguments);
        let output = lumiface(&all);
        let message = stderr(&output);
        assert!(!output.status.success() && message.contains(want), "{arguments:?}: {message}");
        assert!(!out.exists(), "{arguments:?} wrote a file");
    }
}

/// Maps of two synthetic people, two sessions each.
fn maps() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let captures = folder.path().join("captures");
    support::synthesise(&captures, [2, 2], "96x96", 3);
    let maps = folder.path().join("maps");
    let output =
        lumiface(&["preprocess", text(&captures), "--device", "cpu", "--out", text(&maps)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("layout photoface"), "{}", stderr(&output));
    (folder, maps)
}

#[test]
fn a_solved_face_is_relit_meshed_and_inspected() {
    let (folder, maps) = maps();
    let person = std::fs::read_dir(&maps)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .min()
        .unwrap();
    let session = std::fs::read_dir(person).unwrap().map(|e| e.unwrap().path()).min().unwrap();
    for file in ["confidence.exr", "quality.json", "depth.exr"] {
        assert!(session.join(file).exists(), "{file}");
    }

    // Lit from the image's right, the right half is the brighter one; from the left, the left.
    let brightness = |light: &str| {
        let out = folder.path().join("relit.png");
        let output = lumiface(&["relight", text(&session), "--light", light, "--out", text(&out)]);
        assert!(output.status.success(), "{}", stderr(&output));
        let picture = read_picture(&out).unwrap();
        let sum = |columns: std::ops::Range<usize>| -> u64 {
            let rows = 0..picture.size.height;
            rows.flat_map(|r| columns.clone().map(move |c| (r, c)))
                .map(|(r, c)| u64::from(picture.get(r, c)[0]))
                .sum()
        };
        (sum(0..48), sum(48..96))
    };
    let (left, right) = brightness("60,0");
    assert!(right > left + left / 10, "from the right: {left} left, {right} right");
    let (left, right) = brightness("-60,0");
    assert!(left > right + right / 10, "from the left: {left} left, {right} right");

    let mesh = folder.path().join("face.glb");
    let output = lumiface(&["mesh", text(&session), "--out", text(&mesh)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(std::fs::read(&mesh).unwrap().starts_with(b"glTF"));

    let output = lumiface(&["inspect", text(&maps)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("inspect.html"));
    let page = std::fs::read_to_string(maps.join("inspect.html")).unwrap();
    assert!(page.contains("data:image/") && !page.contains("<script"));
    for link in ["http://", "https://"] {
        let foreign = page.matches(link).count();
        let namespaces = page.matches("http://www.w3.org/").count();
        assert!(foreign == 0 || foreign == namespaces, "the page fetches {link}");
    }
}

#[test]
fn every_solver_and_integrator_runs_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let captures = folder.path().join("captures");
    support::synthesise(&captures, [1, 1], "64x64", 5);
    let run = |option: &str, name: &str| {
        let maps = folder.path().join(name);
        let arguments =
            ["preprocess", text(&captures), "--device", "cpu", option, name, "--out", text(&maps)];
        let output = lumiface(&arguments);
        (output, std::fs::read_to_string(maps.join("manifest.csv")).unwrap_or_default())
    };
    for name in
        ["least-squares", "weighted", "trimmed", "l1", "four-light", "sparse-bayesian", "low-rank"]
    {
        let (output, manifest) = run("--solver", name);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        assert!(manifest.contains(&format!(",{name},")), "{name}: {manifest}");
    }
    for name in ["frankot-chellappa", "poisson-dct", "poisson", "bilateral"] {
        let (output, _) = run("--integrator", name);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
    // What these lights cannot give is said, with what to do.
    let (output, _) = run("--solver", "near-light");
    assert!(stderr(&output).contains("give them in capture.toml"), "{}", stderr(&output));
    let (output, _) = run("--solver", "least-sqares");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `least-squares`?"), "{}", stderr(&output));
}

#[test]
fn nothing_of_the_users_is_written_over() {
    let (folder, maps) = maps();
    let session = std::fs::read_dir(&maps)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|person| std::fs::read_dir(person).unwrap().map(|e| e.unwrap().path()))
        .min()
        .unwrap();
    let (normals, albedo) = (session.join("normals.exr"), session.join("albedo.exr"));
    let manifest = maps.join("manifest.csv");
    let cases: [(&Path, Vec<&str>); 3] = [
        (&normals, vec!["integrate", text(&normals), "--out", text(&normals)]),
        (&albedo, vec!["relight", text(&session), "--light", "0,0", "--out", text(&albedo)]),
        (&manifest, vec!["inspect", text(&maps), "--out", text(&manifest)]),
    ];
    for (file, arguments) in cases {
        let before = std::fs::read(file).unwrap();
        let output = lumiface(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(std::fs::read(file).unwrap(), before, "{arguments:?}");
    }

    // A note beside the maps outlives their being made anew.
    std::fs::write(session.join("note.txt"), "mine").unwrap();
    let captures = folder.path().join("captures");
    let again = lumiface(&[
        "preprocess",
        text(&captures),
        "--device",
        "cpu",
        "--force",
        "--out",
        text(&maps),
    ]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(std::fs::read(session.join("note.txt")).unwrap(), b"mine");

    // A table of the user's stops the run before it begins.
    let theirs = tempfile::tempdir().unwrap();
    std::fs::write(theirs.path().join("manifest.csv"), "my,own,table\n").unwrap();
    let out = text(theirs.path());
    let output = lumiface(&["preprocess", text(&captures), "--device", "cpu", "--out", out]);
    assert!(stderr(&output).contains("is no manifest of lumiface's"), "{}", stderr(&output));
}

/// A mirror ball of radius 40 px at (60, 50), with the highlight of a distant light.
fn write_probe(path: &Path, light: Vec3) {
    let half = (light + Vec3::z()).normalize();
    let (column, row) = (60.0 + 40.0 * half.x, 50.0 - 40.0 * half.y);
    image::GrayImage::from_fn(120, 100, |c, r| {
        let squared = (c as f32 - column).powi(2) + (r as f32 - row).powi(2);
        image::Luma([(15.0 + 235.0 * (-squared / 3.0).exp()) as u8])
    })
    .save(path)
    .unwrap();
}

#[test]
fn a_mirror_ball_calibrates_a_rig_that_capture_init_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let lights = [(0.3, 0.2), (-0.4, 0.1), (0.1, -0.35), (-0.2, -0.2)]
        .map(|(x, y): (f32, f32)| Vec3::new(x, y, (1.0 - x * x - y * y).sqrt()));
    let names: Vec<PathBuf> = (0..4).map(|i| at(&format!("im{i}.png"))).collect();
    for (path, light) in names.iter().zip(lights) {
        write_probe(path, light);
    }
    let out = at("lights.toml");
    let mut arguments = vec!["calibrate", "chrome"];
    arguments.extend(names.iter().map(|path| text(path)));
    arguments.extend(["--circle", "60,50,40", "--out", text(&out)]);
    let output = lumiface(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = lumiface::calibrate::Calibration::read(&out).unwrap().lights();
    for (found, light) in found.directions.iter().zip(lights) {
        let error = lumiface::geometry::angle_between_deg(*found, light);
        assert!(error < 0.5, "{found:?} for {light:?}: {error}°");
    }

    let output = lumiface(&["capture", "init", text(folder.path())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let toml = std::fs::read_to_string(at("capture.toml")).unwrap();
    assert!(toml.contains("lights.toml") && toml.matches("direction = [").count() >= 4, "{toml}");
    let output = lumiface(&["capture", "init", text(folder.path())]);
    assert!(!output.status.success() && stderr(&output).contains("--force"), "{}", stderr(&output));

    // A ball without a highlight is named; the file from before stays.
    image::GrayImage::from_pixel(120, 100, image::Luma([15])).save(&names[2]).unwrap();
    let before = std::fs::read(&out).unwrap();
    let output = lumiface(&arguments);
    assert!(stderr(&output).contains("im2.png: image 3: no highlight"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&out).unwrap(), before);
}

#[test]
fn probes_are_taken_in_natural_order_without_their_mask() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let light = |i: usize| {
        let angle = i as f32 * 0.5;
        let (x, y) = (0.4 * angle.cos(), 0.3 * angle.sin());
        Vec3::new(x, y, (1.0 - x * x - y * y).sqrt())
    };
    for i in 0..12 {
        write_probe(&at(&format!("c{i}.png")), light(i));
    }
    image::GrayImage::from_fn(120, 100, |c, r| {
        let squared = (c as f32 - 60.0).powi(2) + (r as f32 - 50.0).powi(2);
        image::Luma([if squared < 1600.0 { 255 } else { 0 }])
    })
    .save(at("mask.png"))
    .unwrap();
    // As a shell sorts them: c0, c1, c10, c11, c2, …, mask.
    let mut names: Vec<PathBuf> = (0..12).map(|i| at(&format!("c{i}.png"))).collect();
    names.push(at("mask.png"));
    names.sort();
    let (mask, out) = (at("mask.png"), at("lights.toml"));
    let mut arguments = vec!["calibrate", "chrome"];
    arguments.extend(names.iter().map(|path| text(path)));
    arguments.extend(["--mask", text(&mask), "--out", text(&out)]);
    let output = lumiface(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = lumiface::calibrate::Calibration::read(&out).unwrap();
    assert_eq!(found.lights.len(), 12);
    assert_eq!(found.lights[2].image.as_deref(), Some("c2.png"));
    for (i, direction) in found.lights().directions.iter().enumerate() {
        let error = lumiface::geometry::angle_between_deg(*direction, light(i));
        assert!(error < 1.0, "light {i}: {error}°");
    }

    // Its own directions serve the next calibration; a mask of another size does not.
    image::GrayImage::from_pixel(60, 50, image::Luma([255])).save(at("small.png")).unwrap();
    let small = at("small.png");
    let mut arguments = vec!["calibrate", "matte"];
    arguments.extend(names[..12].iter().map(|path| text(path)));
    arguments.extend(["--mask", text(&small), "--out", text(&out)]);
    let output = lumiface(&arguments);
    assert!(stderr(&output).contains("small.png: the mask is 60×50"), "{}", stderr(&output));

    // A file of the user's is not taken for a calibration.
    let notes = at("notes.toml");
    std::fs::write(&notes, "id = \"anna\"\n").unwrap();
    let mut arguments = vec!["calibrate", "chrome"];
    arguments.extend(names[..12].iter().map(|path| text(path)));
    arguments.extend(["--circle", "60,50,40", "--out", text(&notes)]);
    let output = lumiface(&arguments);
    assert!(stderr(&output).contains("is no calibration"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "id = \"anna\"\n");
}

#[test]
fn nan_in_a_normal_map_is_a_hole_that_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size::new(20, 20);
    let normals = NormalMap::from_fn(size, |r, c| {
        if (r, c) == (7, 8) { Vec3::repeat(f32::NAN) } else { Vec3::new(-0.6, 0.0, 0.8) }
    });
    let path = folder.path().join("n.exr");
    write_normals(&path, &normals, MapCompression::None).unwrap();
    image::GrayImage::from_pixel(20, 20, image::Luma([255]))
        .save(folder.path().join("m.png"))
        .unwrap();
    let (mask, out) = (folder.path().join("m.png"), folder.path().join("d.exr"));
    let output = lumiface(&["integrate", text(&path), "--mask", text(&mask), "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let depth = read_plane(&out).unwrap();
    // A plane of slope 3/4 along the columns, its hole on it.
    let want = |c: usize| 0.75 * (c as f32 - 9.5);
    for p in 0..size.area() {
        let error = (depth.data[p] - want(p % 20)).abs();
        assert!(error < 1e-2, "pixel {p}: {} for {}", depth.data[p], want(p % 20));
    }
}
