//! YuNet beside OpenCV's FaceDetectorYN (5.0.0), whose results are in tests/goldens/yunet_pictures.json;
//! and on networks and pictures that are odd.
//!
//! `LUMIFACE_BLESS=1` asks OpenCV anew, through the Python that LUMIFACE_PYTHON names: needed where the
//! rendered pictures have changed, which the test says.

mod support;

use lumiface::face::{
    Detection, FaceBox, PixelPoint, Turn, YuNet, YuNetError, YuNetOptions, import_yunet,
};
use lumiface::io::{Picture, sha256_hex};
use lumiface::maps::Size;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::faces::{Noise, render, twenty_pictures};
use tempfile::TempDir;

/// The published network, and a folder that it was imported to.
fn imported() -> Option<(PathBuf, TempDir)> {
    let published = support::test_data("models/yunet_n_dynamic.onnx")?;
    let folder = tempfile::tempdir().unwrap();
    let record = import_yunet(&published, folder.path()).unwrap();
    assert!(record.published);
    Some((published, folder))
}

fn people() -> Option<PathBuf> {
    support::test_data("face_model/ict_facekit_light.safetensors")
}

/// A picture at its own size alone, as OpenCV looks at it.
fn at_one_size() -> YuNetOptions {
    YuNetOptions { finest: 8192, coarsest: u32::MAX, smallest_face: 0, ..Default::default() }
}

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/yunet_pictures.json")
}

fn ask_opencv(onnx: &Path, pictures: &[(&str, Picture)]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, picture) in pictures {
        picture.write(&folder.path().join(format!("{name}.png"))).unwrap();
    }
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/yunet_opencv.py");
    let YuNetOptions { score, overlap, .. } = at_one_size();
    let numbers = [score, overlap].map(|v| v.to_string());
    let mut command = Command::new(python);
    command.args([script, "detect"]).arg(onnx).arg(folder.path()).args(numbers);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows: Vec<Value> = pictures
        .iter()
        .map(|(name, picture)| {
            let faces = &said[format!("{name}.png")];
            json!({"name": name, "sha256": sha256_hex(&picture.data), "faces": faces})
        })
        .collect();
    std::fs::write(golden_path(), format!("{}\n", json!(rows))).unwrap();
}

/// Box, score and points of OpenCV's, whose positions count from the first pixel's outer edge.
fn theirs(row: &Value) -> (FaceBox, f64, Vec<PixelPoint>) {
    let row: Vec<f64> = row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let bounds = FaceBox {
        left: row[0] - 0.5,
        top: row[1] - 0.5,
        right: row[0] + row[2] - 0.5,
        bottom: row[1] + row[3] - 0.5,
    };
    let points = row[4..14].chunks(2).map(|p| PixelPoint::new(p[0] - 0.5, p[1] - 0.5));
    (bounds, row[14], points.collect())
}

#[test]
fn twenty_pictures_give_opencvs_boxes_and_landmarks() {
    let Some((onnx, folder)) = imported() else { return };
    let Some(people) = people() else { return };
    let pictures = twenty_pictures(&people);
    assert_eq!(pictures.len(), 20);
    if std::env::var_os("LUMIFACE_BLESS").is_some() {
        ask_opencv(&onnx, &pictures);
    }
    let golden: Value = serde_json::from_slice(&std::fs::read(golden_path()).unwrap()).unwrap();
    let yunet = YuNet::load(folder.path()).unwrap();
    let mut faces = 0;
    for ((name, picture), golden) in pictures.iter().zip(golden.as_array().unwrap()) {
        assert_eq!(golden["name"], *name);
        // Another processor may round a pixel otherwise; that moves no box by much.
        let same = golden["sha256"] == sha256_hex(&picture.data);
        let name = if same {
            name.to_string()
        } else {
            format!("{name}, another picture than OpenCV saw (LUMIFACE_BLESS=1 asks it anew)")
        };
        let golden = golden["faces"].as_array().unwrap();
        let ours = yunet.detect(picture, &at_one_size());
        assert_eq!(ours.len(), golden.len(), "{name}: {ours:?}");
        for row in golden {
            let (bounds, score, points) = theirs(row);
            let (overlap, face) = ours
                .iter()
                .map(|face| (face.bounds.iou(&bounds), face))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap();
            assert!(overlap >= 0.98, "{name}: {overlap} of {bounds:?}");
            assert!((face.score - score).abs() < 1e-4, "{name}: {} {score}", face.score);
            for (point, theirs) in face.landmarks.points().iter().zip(points) {
                let off = point.distance_to(theirs);
                assert!(off <= 0.5, "{name}: {point:?}, OpenCV {theirs:?}");
            }
        }
        let areas: Vec<f64> = ours.iter().map(|face| face.bounds.area()).collect();
        assert!(areas.is_sorted_by(|a, b| a >= b), "{name}: the largest first");
        faces += golden.len();
    }
    assert!(faces >= 50, "{faces} faces in all");
}

#[test]
fn a_large_face_is_found_at_a_smaller_size() {
    let Some((_, folder)) = imported() else { return };
    let Some(people) = people() else { return };
    let rendered = tempfile::tempdir().unwrap();
    let picture =
        render(rendered.path(), &people, "photoface_twin", "1200x1600", 1, 12).swap_remove(2);
    let yunet = YuNet::load(folder.path()).unwrap();
    assert!(yunet.detect(&picture, &at_one_size()).is_empty());
    let found = yunet.detect(&picture, &YuNetOptions::default());
    assert_eq!(found.len(), 1);
    // A fifth of the size: the same face, five times smaller.
    let small = picture.resized(Size::new(320, 240));
    let expected = yunet.detect(&small, &at_one_size());
    let scaled = |place: f64| 5.0 * (place + 0.5) - 0.5;
    let FaceBox { left, top, right, bottom } = expected[0].bounds;
    let bounds = FaceBox {
        left: scaled(left),
        top: scaled(top),
        right: scaled(right),
        bottom: scaled(bottom),
    };
    assert!(found[0].bounds.iou(&bounds) > 0.8, "{:?} {bounds:?}", found[0].bounds);
    // A picture larger than allowed is made smaller, and its faces stay where they are.
    let limited = YuNetOptions { finest: 400, ..Default::default() };
    let again = yunet.detect(&picture, &limited);
    assert_eq!(again.len(), 1);
    assert!(again[0].bounds.iou(&found[0].bounds) > 0.8, "{again:?} {found:?}");
    // Faces too small for what is wanted are left out.
    let larger = YuNetOptions { smallest_face: 1000, ..Default::default() };
    assert!(yunet.detect(&picture, &larger).is_empty());
}

#[test]
fn a_mirrored_picture_has_its_faces_mirrored() {
    let Some((_, folder)) = imported() else { return };
    let Some(people) = people() else { return };
    let rendered = tempfile::tempdir().unwrap();
    // Sides of whole cells, so that nothing is added at the right edge.
    let pictures = render(rendered.path(), &people, "ideal", "384x480", 12, 31);
    let yunet = YuNet::load(folder.path()).unwrap();
    let mut offsets = Vec::new();
    for picture in pictures {
        let picture = picture.resized(Size::new(80, 64));
        let mut wide = Picture::filled(Size::new(96, 128), [127; 3]);
        wide.paste(&picture, 8, 31);
        let Size { width, .. } = wide.size;
        let mirrored =
            Picture::from_fn(wide.size, |at| wide.get(at / width, width - 1 - at % width));
        let one = |picture: &Picture| -> Option<Detection> {
            let found = yunet.detect(picture, &at_one_size());
            (found.len() == 1).then(|| found[0])
        };
        let (Some(face), Some(twin)) = (one(&wide), one(&mirrored)) else { continue };
        // A position and its mirrored twin: their sum is the last column.
        let [a, b] = [face, twin].map(|face| face.landmarks);
        let last = width as f64 - 1.0;
        for (a, b) in [
            (a.left_eye, b.right_eye),
            (a.right_eye, b.left_eye),
            (a.nose, b.nose),
            (a.left_mouth, b.right_mouth),
            (a.right_mouth, b.left_mouth),
        ] {
            assert!((a.row - b.row).abs() < 6.0, "{a:?} {b:?}");
            offsets.push((a.column + b.column - last) / 2.0);
        }
    }
    let mean = offsets.iter().sum::<f64>() / offsets.len() as f64;
    println!("{mean} px, {} points", offsets.len());
    assert!(offsets.len() >= 100, "{}", offsets.len());
    assert!(mean.abs() < 0.3, "{mean} pixels to the right");
}

#[test]
fn a_face_is_found_however_the_picture_lies() {
    let Some((_, folder)) = imported() else { return };
    let Some(people) = people() else { return };
    let rendered = tempfile::tempdir().unwrap();
    let upright = render(rendered.path(), &people, "ideal", "360x480", 1, 11).swap_remove(1);
    let yunet = YuNet::load(folder.path()).unwrap();
    let options = YuNetOptions::default();
    let (turn, expected) = yunet.detect_turned(&upright, &options);
    assert_eq!((turn, expected.len()), (Turn::None, 1));
    let expected = &expected[0];
    let Size { height, width } = upright.size;
    let lying = Size::new(width, height);
    let at = |row: usize, column: usize| upright.get(row, column);
    // How each picture has to be turned, the picture, and where a position of the upright one is in it.
    type Place = fn(PixelPoint, f64, f64) -> PixelPoint;
    let cases: [(Turn, Picture, Place); 3] = [
        (
            Turn::Right,
            Picture::from_fn(lying, |i| at(i % height, width - 1 - i / height)),
            |p, w, _| PixelPoint::new(p.row, w - 1.0 - p.column),
        ),
        (
            Turn::Half,
            Picture::from_fn(upright.size, |i| at(height - 1 - i / width, width - 1 - i % width)),
            |p, w, h| PixelPoint::new(w - 1.0 - p.column, h - 1.0 - p.row),
        ),
        (
            Turn::Left,
            Picture::from_fn(lying, |i| at(height - 1 - i % height, i / height)),
            |p, _, h| PixelPoint::new(h - 1.0 - p.row, p.column),
        ),
    ];
    for (needed, picture, place) in cases {
        let (turn, found) = yunet.detect_turned(&picture, &options);
        assert_eq!((turn, found.len()), (needed, 1));
        let place = |p| place(p, width as f64, height as f64);
        for (ours, upright) in found[0].landmarks.points().iter().zip(expected.landmarks.points()) {
            assert!(ours.distance_to(place(upright)) < 1e-3, "{turn:?}: {ours:?}");
        }
        let (a, b) = (expected.bounds, found[0].bounds);
        let corners = [PixelPoint::new(a.left, a.top), PixelPoint::new(a.right, a.bottom)];
        let [p, q] = corners.map(place);
        let off = (b.left - p.column.min(q.column)).abs() + (b.bottom - p.row.max(q.row)).abs();
        assert!(off < 1e-3 && b.is_valid(), "{turn:?}: {b:?}");
    }
}

#[test]
fn pictures_too_small_or_very_long_have_no_face() {
    let Some((_, folder)) = imported() else { return };
    let yunet = YuNet::load(folder.path()).unwrap();
    let options = YuNetOptions::default();
    for (height, width) in [(0, 0), (0, 7), (1, 1), (5, 3), (1, 20_000), (31, 33), (24, 20_000)] {
        let mut noise = Noise(1 + (height * width) as u64);
        let size = Size::new(height, width);
        let picture = Picture::from_fn(size, |_| [(); 3].map(|()| (noise.next() * 255.0) as u8));
        let found = yunet.detect_turned(&picture, &options);
        assert_eq!(found, (Turn::None, Vec::new()), "{height}×{width}");
    }
}

#[test]
fn options_that_find_nothing_are_refused() {
    let good = YuNetOptions::default();
    assert_eq!(good.check(), Ok(()));
    assert_eq!(at_one_size().check(), Ok(()));
    for bad in [
        YuNetOptions { score: 1.0, ..good.clone() },
        YuNetOptions { score: f32::NAN, ..good.clone() },
        YuNetOptions { overlap: -0.1, ..good.clone() },
        YuNetOptions { finest: 31, ..good.clone() },
        YuNetOptions { finest: 100_000, ..good.clone() },
        YuNetOptions { coarsest: 0, ..good.clone() },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}

#[test]
fn other_files_are_refused_in_one_line_and_keep_what_is_there() {
    let Some((published, folder)) = imported() else { return };
    let good = std::fs::read(&published).unwrap();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("network.onnx");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = import_yunet(&path, folder.path()).unwrap_err();
        assert!(matches!(error, YuNetError::OtherNetwork { .. }), "{error}");
        let text = error.to_string();
        assert!(
            !text.contains(char::is_control) && text.contains("give yunet_n_dynamic.onnx"),
            "{text}"
        );
        text
    };
    let renamed = |from: &[u8], to: &[u8]| -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        for at in 0..=bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + from.len()].copy_from_slice(to);
            }
        }
        bytes
    };
    refused(b"");
    refused(b"no network");
    // A number that never ends, on which the runtime itself would hang.
    refused(&[0xff; 4096]);
    let text = refused(&renamed(b"kps_16", b"pts_16"));
    assert!(text.contains("it has no output kps_16"), "{text}");
    let text = refused(&renamed(b"Sigmoid", b"Sigmoix"));
    assert!(text.contains("Sigmoix"), "{text}");
    // Cut anywhere, from the first byte to the last but one.
    for at in (0..good.len()).step_by(good.len() / 60).chain([good.len() - 1]) {
        refused(&good[..at]);
    }
    let missing = import_yunet(&source.path().join("none"), folder.path()).unwrap_err();
    assert!(missing.to_string().contains("not found"), "{missing}");
    assert!(import_yunet(source.path(), folder.path()).is_err());
    // What was there before is still good.
    assert!(YuNet::load(folder.path()).is_ok());
}

#[test]
fn a_flipped_byte_is_refused_or_makes_another_network_that_runs() {
    let Some((published, folder)) = imported() else { return };
    let good = std::fs::read(&published).unwrap();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("network.onnx");
    let mut noise = Noise(9);
    let mut counts = [0, 0];
    for _ in 0..150 {
        let mut bytes = good.clone();
        let at = (noise.next() * good.len() as f32) as usize % good.len();
        bytes[at] ^= 1 << (noise.next() * 8.0) as u32;
        std::fs::write(&path, &bytes).unwrap();
        match import_yunet(&path, folder.path()) {
            Ok(record) => {
                assert!(!record.published && record.sha256 == sha256_hex(&bytes));
                let yunet = YuNet::load(folder.path()).unwrap();
                assert_eq!(yunet.weights_sha256(), record.sha256);
                counts[0] += 1;
            }
            Err(error) => {
                assert!(matches!(error, YuNetError::OtherNetwork { .. }), "{error}");
                counts[1] += 1;
            }
        }
    }
    // Most bytes are of weights.
    assert!(counts[0] > 100 && counts[1] > 2, "{counts:?}");
}

#[test]
fn a_kept_network_is_held_against_its_record() {
    let Some((_, folder)) = imported() else { return };
    let load = |folder: &Path| YuNet::load(folder).err().unwrap().to_string();
    let empty = tempfile::tempdir().unwrap();
    assert!(load(empty.path()).contains("run `lumiface weights import yunet"));
    assert!(load(&empty.path().join("none")).contains("run `lumiface weights import yunet"));

    let path = folder.path().join("yunet.onnx");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[200_000] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert!(load(folder.path()).contains("SHA-256"), "{}", load(folder.path()));
    std::fs::remove_file(&path).unwrap();
    assert!(load(folder.path()).contains("is not there"), "{}", load(folder.path()));
    std::fs::write(&path, &good).unwrap();
    let record = folder.path().join("yunet.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("\"format\": 1", "\"format\": 9")).unwrap();
    assert!(load(folder.path()).contains("format 9"), "{}", load(folder.path()));
    std::fs::write(&record, "{").unwrap();
    assert!(load(folder.path()).contains("yunet.json"), "{}", load(folder.path()));
}
