//! `lumiface synth`, as a user runs it.

mod support;

use lumiface::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
use lumiface::io::{read_grey, read_mask, read_normals, read_picture, read_plane};
use lumiface::maps::{ImageStack, Lights, Pixels};
use lumiface::stereo::LeastSquares;
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

/// Normals within 0.05° and albedo within 0.5 % of truth, where every lamp reaches.
#[test]
fn ideal_captures_give_back_normals_and_albedo() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ideal");
    let output = synth(&out, &["--preset", "ideal", "--lamps", "5"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for session in sessions(&out) {
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
        let normals = read_normals(&truth.join("normals.exr")).unwrap();
        let albedo = read_plane(&truth.join("albedo.exr")).unwrap();
        let mask = read_mask(&truth.join("mask.png")).unwrap();
        let shadows: Vec<_> =
            (0..5).map(|i| read_picture(&truth.join(format!("shadow{i}.png"))).unwrap()).collect();
        // Attached shadow is 128; an ideal capture has no cast one.
        let lit = |p: usize| mask.data[p] && shadows.iter().all(|s| s.data[3 * p] != 128);
        let pixels: Vec<usize> = (0..size.area()).filter(|&p| lit(p)).collect();
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
