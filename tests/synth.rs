//! `lumiface synth`, as a user runs it.

mod support;

use lumiface::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::integrate::poisson;
use lumiface::io::{read_grey, read_mask, read_normals, read_picture, read_plane};
use lumiface::maps::{ImageStack, Lights, Mask, Pixels, Plane};
use lumiface::stereo::{LeastSquares, SurfaceMaps};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{lumiface, stderr, stdout};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Two people, small pictures.
fn synth(out: &Path, more: &[&str]) -> std::process::Output {
    let arguments =
        ["synth", "--people", "2", "--sessions", "1", "--size", "72x96", "--out", text(out)];
    lumiface(&[&arguments[..], more].concat())
}

/// Every file below a folder but locks, by its path.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != ".lock" {
                found.insert(
                    path.strip_prefix(root).unwrap().to_path_buf(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

fn sessions(root: &Path) -> Vec<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let paths = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.is_dir()).collect()
    };
    let mut found: Vec<PathBuf> = folders(root).iter().flat_map(|person| folders(person)).collect();
    found.sort();
    found
}

#[test]
fn a_seed_is_a_set_of_bytes_at_any_number_of_threads_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (one, again) = (folder.path().join("one"), folder.path().join("again"));
    let output = synth(&one, &["--attacks", "screen"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("4 sessions"), "{}", stdout(&output));
    let made = files(&one);
    assert_eq!(sessions(&one).len(), 4);
    let table = String::from_utf8(made[Path::new("metadata.csv")].clone()).unwrap();
    assert!(table.starts_with("id,session,Gender,Spectacles,"), "{table}");
    assert_eq!(table.lines().filter(|line| line.ends_with(",screen")).count(), 2, "{table}");

    let output = Command::new(env!("CARGO_BIN_EXE_lumiface"))
        .args(["synth", "--people", "2", "--sessions", "1", "--size", "72x96"])
        .args(["--attacks", "screen", "--out", text(&again)])
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(files(&again) == made, "another number of threads made other bytes");

    // Killed: a session is missing, another half written under a temporary name.
    let lost = sessions(&one).remove(1);
    let half = lost.with_file_name(".lumiface-tmp-half");
    fs::rename(&lost, &half).unwrap();
    fs::remove_file(one.join("metadata.csv")).unwrap();
    let output = synth(&one, &["--attacks", "screen"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(files(&one) == made, "the set did not end the same");

    // One session alone, from its scene.
    let session = &sessions(&one)[0];
    let alone = folder.path().join("alone");
    let scene = session.join("truth/scene.json");
    let output = lumiface(&["synth", "--scene", text(&scene), "--out", text(&alone)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(files(&alone) == files(session), "the scene made other files");

    // A session of a real rig has a light file too, and is not taken for ours.
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::write(real.join("LightSource.txt"), "20 130 20 50 20 310 20 230").unwrap();
    fs::write(real.join("im0.bmp"), "a photograph").unwrap();
    let output = lumiface(&["synth", "--scene", text(&scene), "--out", text(&real)]);
    assert!(stderr(&output).contains("did not write"), "{}", stderr(&output));
    assert_eq!(fs::read(real.join("im0.bmp")).unwrap(), b"a photograph");

    // A scene that cannot be is refused.
    let mut edited: serde_json::Value = serde_json::from_slice(&fs::read(&scene).unwrap()).unwrap();
    for (key, value, want) in [
        ("lamps", serde_json::json!([]), "no lamps"),
        ("sensor", edited["rig"]["sensor"].clone(), "blur_px"),
    ] {
        let before = edited["rig"][key].clone();
        edited["rig"][key] = value;
        if key == "sensor" {
            edited["rig"][key]["blur_px"] = 1e9.into();
        }
        let bad = folder.path().join("bad.json");
        fs::write(&bad, edited.to_string()).unwrap();
        let nowhere = folder.path().join("nowhere");
        let output = lumiface(&["synth", "--scene", text(&bad), "--out", text(&nowhere)]);
        let message = stderr(&output);
        assert!(message.contains("bad.json") && message.contains(want), "{message}");
        assert!(!nowhere.exists());
        edited["rig"][key] = before;
    }
}

#[test]
fn what_cannot_be_is_refused_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let junk = folder.path().join("junk.safetensors");
    fs::write(&junk, "not a tensor file").unwrap();
    let cases: [(&[&str], &str, i32); 9] = [
        (&["--people", "0"], "--people 0", 2),
        (&["--people", "9000"], "--people 9000", 2),
        (&["--sessions", "291"], "--sessions 291", 2),
        (&["--lamps", "2"], "--lamps 2", 2),
        (&["--zenith", "120"], "behind the head", 2),
        (&["--size", "8x8"], "8×8", 2),
        (&["--preset", "photoface"], "did you mean `photoface_twin`", 2),
        (&["--faces", "gone.safetensors"], "gone.safetensors: not found", 1),
        (&["--faces", text(&junk)], "junk.safetensors", 1),
    ];
    for (arguments, want, code) in cases {
        let base = ["synth", "--out", text(&out)];
        let output = lumiface(&[&base[..], arguments].concat());
        let message = stderr(&output);
        assert!(message.contains(want), "{arguments:?}: {message}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(!out.exists(), "{arguments:?} wrote something");
    }
    // Neither another set nor files of the user's are mixed with a new one.
    assert!(synth(&out, &["--no-truth"]).status.success());
    let before = files(&out);
    let output = synth(&out, &["--no-truth", "--seed", "2"]);
    assert!(stderr(&output).contains("made with other options"), "{}", stderr(&output));
    assert!(files(&out) == before);
    let notes = folder.path().join("notes");
    fs::create_dir(&notes).unwrap();
    fs::write(notes.join("mine.txt"), "mine").unwrap();
    let output = synth(&notes, &[]);
    assert!(stderr(&output).contains("files of another kind"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(&notes).unwrap().count(), 1);
}

/// Light that goes over two surfaces brightens the pictures, with the same bytes at any number of
/// threads; a scene of an earlier version has none of it.
#[test]
fn inter_reflection_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, one, two) =
        (folder.path().join("plain"), folder.path().join("one"), folder.path().join("two"));
    assert!(synth(&plain, &[]).status.success());
    for (out, threads) in [(&one, "1"), (&two, "2")] {
        let output = Command::new(env!("CARGO_BIN_EXE_lumiface"))
            .args(["synth", "--people", "2", "--sessions", "1", "--size", "72x96"])
            .args(["--inter-reflection", "--out", text(out)])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(files(&one) == files(&two));
    let session = |root: &Path| sessions(root).remove(0);
    let image = |root: &Path| fs::read(session(root).join("im0.png")).unwrap();
    assert_ne!(image(&plain), image(&one));

    let scene = session(&one).join("truth/scene.json");
    let mut old: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&scene).unwrap()).unwrap();
    old["rig"]["options"].as_object_mut().unwrap().remove("bounce_rays").unwrap();
    old.as_object_mut().unwrap().remove("gained_weight").unwrap();
    let (file, again) = (folder.path().join("old.json"), folder.path().join("again"));
    fs::write(&file, old.to_string()).unwrap();
    let output = lumiface(&["synth", "--scene", text(&file), "--out", text(&again)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = lumiface(&[
        "synth",
        "--scene",
        text(&scene),
        "--inter-reflection",
        "--out",
        text(&folder.path().join("both")),
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// The distance of the lamps that the twin's rig has takes a fifth of the error off.
#[test]
fn the_distance_of_lamps_makes_maps_truer() {
    let folder = tempfile::tempdir().unwrap();
    let captures = folder.path().join("captures");
    let arguments =
        ["synth", "--people", "6", "--sessions", "1", "--size", "128x128", "--seed", "4"];
    let output = lumiface(&[&arguments[..], &["--out", text(&captures)]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let maps = folder.path().join("maps");
    let angle = |more: &[&str]| -> f64 {
        let arguments = ["preprocess", text(&captures), "--device", "cpu", "--out", text(&maps)];
        let output = lumiface(&[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let output = lumiface(&["accuracy", text(&maps), "--truth", text(&captures), "--json"]);
        let found: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let regions = found["regions"].as_array().unwrap();
        let lit = regions.iter().find(|r| r[0] == "skin lit by all").unwrap();
        lit[1]["normals_mean_deg"].as_f64().unwrap()
    };
    let distant = angle(&[]);
    // Into the same folder: another distance makes the maps anew.
    let near = angle(&["--lamp-distance", "3.1"]);
    assert!(near < 0.8 * distant, "{near}°, taken for distant {distant}°");
    for (more, code) in [
        (&["--lamp-distance", "0.5"][..], 2),
        (&["--lamp-distance", "nan"], 2),
        (&["--lamp-distance", "3", "--solver", "least-squares-ambient"], 2),
    ] {
        let arguments = ["preprocess", text(&captures), "--out", text(&maps)];
        let output = lumiface(&[&arguments[..], more].concat());
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
    }
}

/// An ideal session of five lamps: its maps by least squares, and where every lamp reaches.
fn solve_ideal(session: &Path) -> (SurfaceMaps, Mask) {
    let images: Vec<_> =
        (0..5).map(|i| read_grey(&session.join(format!("im{i}.png"))).unwrap()).collect();
    let size = images[0].size;
    let values = images.into_iter().flat_map(|image| match image.pixels {
        Pixels::U16(values) => values,
        other => panic!("16 bits, not {other:?}"),
    });
    let stack = ImageStack::new(size, 5, Pixels::U16(values.collect()));
    let angles = fs::read_to_string(session.join("LightSource.txt")).unwrap();
    let angles: Vec<f32> = angles.split_whitespace().map(|v| v.parse().unwrap()).collect();
    let lights = angles.chunks(2).map(|a| light_from_zenith_azimuth(a[0], a[1])).collect();
    let solved = LeastSquares::new(&Lights::directional(lights)).unwrap().solve(&stack);
    let truth = session.join("truth");
    let mut lit = read_mask(&truth.join("mask.png")).unwrap();
    for lamp in 0..5 {
        // Attached shadow is 128; an ideal capture has no cast one.
        let shadow = read_picture(&truth.join(format!("shadow{lamp}.png"))).unwrap();
        (0..size.area()).for_each(|p| lit.data[p] &= shadow.data[3 * p] != 128);
    }
    (solved, lit)
}

/// Normals within 0.05° and albedo within 0.5 % of truth, where every lamp reaches.
#[test]
fn ideal_captures_give_back_normals_and_albedo() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ideal");
    let output = synth(&out, &["--preset", "ideal", "--lamps", "5"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for session in sessions(&out) {
        let (solved, lit) = solve_ideal(&session);
        let truth = session.join("truth");
        let normals = read_normals(&truth.join("normals.exr")).unwrap();
        let albedo = read_plane(&truth.join("albedo.exr")).unwrap();
        let pixels: Vec<usize> = (0..lit.size.area()).filter(|&p| lit.data[p]).collect();
        assert!(pixels.len() > 1500, "{} pixels are lit by all", pixels.len());
        let mean = |value: &dyn Fn(usize) -> f32| {
            pixels.iter().map(|&p| value(p)).sum::<f32>() / pixels.len() as f32
        };
        let unit = |v: Vec3| v.normalize();
        let angle = mean(&|p| angle_between_deg(unit(solved.normals.at(p)), unit(normals.at(p))));
        let share = mean(&|p| (solved.albedo.data[p] / albedo.data[p] - 1.0).abs());
        assert!(angle < 0.05, "{}: {angle}°", session.display());
        assert!(share < 0.005, "{}: {share}", session.display());
    }

    // The same by the commands alone.
    let maps = folder.path().join("maps");
    let arguments = ["preprocess", text(&out), "--solver", "least-squares", "--device", "cpu"];
    let output = lumiface(&[&arguments[..], &["--out", text(&maps)]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let output = lumiface(&["accuracy", text(&maps), "--truth", text(&out), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let lit = found["regions"].as_array().unwrap().iter().find(|r| r[0] == "skin lit by all");
    let angle = lit.unwrap()[1]["normals_mean_deg"].as_f64().unwrap();
    assert!(angle < 0.1, "{angle}°");
    let output = lumiface(&["accuracy", text(&maps), "--truth", text(folder.path())]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("truth: not found"), "{}", stderr(&output));
}

/// Masked Poisson of solved normals gives back the depth within 0.5 % of the face's relief, where the
/// surface has no step: behind the edge of a nose or a jaw no normal tells how far it goes on. Beards
/// are left out, since their strands turn the normals of a skin whose depth stays.
#[test]
fn ideal_captures_give_back_depth() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ideal");
    let arguments = ["--preset", "ideal", "--lamps", "5", "--seed", "3", "--people", "6"];
    let arguments = [&arguments[..], &["--sessions", "1", "--size", "256x256"]].concat();
    let output = lumiface(&[&["synth", "--out", text(&out)], &arguments[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let mut judged = 0;
    for session in sessions(&out) {
        let truth = session.join("truth");
        let scene = fs::read_to_string(truth.join("scene.json")).unwrap();
        let scene: serde_json::Value = serde_json::from_str(&scene).unwrap();
        if scene["labels"]["facial_hair"] != "none" {
            continue;
        }
        let (solved, mut face) = solve_ideal(&session);
        let depth = read_plane(&truth.join("depth.exr")).unwrap();
        let normals = read_normals(&truth.join("normals.exr")).unwrap();
        let parts = read_picture(&truth.join("parts.png")).unwrap();
        let lens = read_mask(&truth.join("lens.png")).unwrap();
        // Skin and eyeballs.
        (0..face.data.len()).for_each(|p| face.data[p] &= parts.data[3 * p] <= 1 && !lens.data[p]);
        let width = face.size.width;
        for p in 0..face.data.len() {
            let slope = |p: usize, axis: usize| -normals.at(p)[axis] / normals.at(p).z;
            let steps = |q: usize, axis: usize, sign: f32| {
                let told = sign * 0.5 * (slope(p, axis) + slope(q, axis));
                let off = (depth.data[q] - depth.data[p] - told).abs();
                off.is_nan() || off >= 0.5
            };
            let right = p % width + 1 < width && steps(p + 1, 0, 1.0);
            let below = p + width < face.data.len() && steps(p + width, 1, -1.0);
            for (stepped, other) in [(right, p + 1), (below, p + width)] {
                if stepped {
                    face.data[p] = false;
                    face.data[other] = false;
                }
            }
        }
        let face = largest_piece(&face);
        let got = poisson(&solved.normals, &face, None);
        let pixels: Vec<usize> = (0..face.data.len()).filter(|&p| face.data[p]).collect();
        assert!(pixels.len() > 3000, "{}: {} pixels", session.display(), pixels.len());
        let mut off: Vec<f64> =
            pixels.iter().map(|&p| f64::from(got.data[p] - depth.data[p])).collect();
        off.sort_by(f64::total_cmp);
        let middle = off[off.len() / 2];
        let mean = off.iter().map(|d| (d - middle).abs()).sum::<f64>() / off.len() as f64;
        let mut values: Vec<f32> = pixels.iter().map(|&p| depth.data[p]).collect();
        values.sort_by(f32::total_cmp);
        let at = |share: f64| f64::from(values[(share * values.len() as f64) as usize]);
        let share = mean / (at(0.99) - at(0.01));
        println!("{}: {:.2} % of the relief", session.display(), 100.0 * share);
        assert!(share < 0.005, "{}: {share}", session.display());
        judged += 1;
    }
    assert!(judged >= 3, "{judged} faces without a beard");
}

/// The largest piece of a mask whose pixels hang together by their sides.
fn largest_piece(mask: &Mask) -> Mask {
    let (width, count) = (mask.size.width, mask.data.len());
    let mut seen = vec![false; count];
    let mut best: Vec<usize> = Vec::new();
    for start in 0..count {
        let mut piece = Vec::new();
        let mut open = vec![start];
        while let Some(p) = open.pop() {
            if !mask.data[p] || std::mem::replace(&mut seen[p], true) {
                continue;
            }
            piece.push(p);
            let beside = [
                (p % width > 0).then(|| p - 1),
                (p % width + 1 < width).then_some(p + 1),
                p.checked_sub(width),
                (p + width < count).then_some(p + width),
            ];
            open.extend(beside.into_iter().flatten());
        }
        if piece.len() > best.len() {
            best = piece;
        }
    }
    let mut largest = Plane::filled(mask.size, false);
    best.into_iter().for_each(|p| largest.data[p] = true);
    largest
}

/// Nearest neighbour on true depth finds the person between sessions, as a foreign program sees it.
#[test]
fn a_stranger_tells_people_by_their_depth() {
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import scipy, OpenEXR, PIL"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        let fix = "pip install scipy OpenEXR pillow and set LUMIFACE_PYTHON";
        return support::skip(&format!("{python} lacks scipy, OpenEXR or pillow; {fix}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ideal");
    let arguments = ["--preset", "ideal", "--people", "30", "--sessions", "3", "--size", "128x128"];
    let output = lumiface(&[&["synth", "--out", text(&out)], &arguments[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/studio_signal.py");
    let output =
        Command::new(&python).args([script, "identity", text(&out)]).output().expect("python runs");
    let said = stdout(&output);
    let share = said.lines().find_map(|line| line.split_once("neighbour right: "));
    let share: f64 = share.unwrap_or_else(|| panic!("{}", stderr(&output))).1.parse().unwrap();
    assert!(share >= 0.99, "{said}");
}
