//! YuNet beside OpenCV's FaceDetectorYN (5.0.0), whose results are in tests/goldens/yunet_pictures.json;
//! and on networks and pictures that are odd.
//!
//! `LUMIFACE_BLESS=1` asks OpenCV anew, through the Python that LUMIFACE_PYTHON names: needed where the
//! rendered pictures have changed, which the test says.

mod support;

use lumiface::face::{
    Detection, FaceBox, PixelPoint, Turn, YuNet, YuNetError, YuNetOptions, import_yunet,
};
use lumiface::io::Picture;
use lumiface::maps::Size;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::faces::{
    Noise, PeerFace, assert_as_peer, found_however_turned, golden_rows, named_as_seen, render,
    twenty_pictures, write_pictures,
};
use tempfile::TempDir;

/// The published network, and a folder that it was imported to.
fn imported() -> Option<(PathBuf, TempDir)> {
    let published = support::test_data("models/yunet_n_dynamic.onnx")?;
    let folder = tempfile::tempdir().unwrap();
    import_yunet(&published, folder.path()).unwrap();
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
    write_pictures(pictures, folder.path());
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/yunet_opencv.py");
    let YuNetOptions { score, overlap, .. } = at_one_size();
    let numbers = [score, overlap].map(|v| v.to_string());
    let mut command = Command::new(python);
    command.args([script, "detect"]).arg(onnx).arg(folder.path()).args(numbers);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    std::fs::write(golden_path(), format!("{}\n", golden_rows(pictures, &said))).unwrap();
}

/// A face of OpenCV's, whose positions count from the first pixel's outer edge.
fn theirs(row: &Value) -> PeerFace {
    let row: Vec<f64> = row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let bounds = FaceBox {
        left: row[0] - 0.5,
        top: row[1] - 0.5,
        right: row[0] + row[2] - 0.5,
        bottom: row[1] + row[3] - 0.5,
    };
    let points = row[4..14].chunks(2).map(|p| PixelPoint::new(p[0] - 0.5, p[1] - 0.5));
    PeerFace { bounds, score: row[14], points: points.collect() }
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
    let golden = golden.as_array().unwrap();
    assert_eq!(golden.len(), pictures.len());
    for ((name, picture), golden) in pictures.iter().zip(golden) {
        let name = named_as_seen(name, picture, golden);
        let theirs: Vec<PeerFace> =
            golden["faces"].as_array().unwrap().iter().map(theirs).collect();
        assert_as_peer(&name, &yunet.detect(picture, &at_one_size()), &theirs, |bounds| bounds);
        faces += theirs.len();
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
    // Half a pixel where positions count from the first pixel's edge.
    assert!(mean.abs() < 0.3, "{mean} pixels to the right");
}

#[test]
fn a_face_is_found_however_the_picture_lies() {
    let Some((_, folder)) = imported() else { return };
    let Some(people) = people() else { return };
    let rendered = tempfile::tempdir().unwrap();
    let upright = render(rendered.path(), &people, "ideal", "360x480", 1, 11).swap_remove(1);
    let yunet = YuNet::load(folder.path()).unwrap();
    found_however_turned(&yunet, &upright);
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
fn only_the_published_file_is_taken_and_a_kept_one_is_held_against_it() {
    let Some((published, folder)) = imported() else { return };
    let good = std::fs::read(&published).unwrap();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("network.onnx");
    let mut flipped = good.clone();
    flipped[200_000] ^= 1;
    for bytes in [b"".as_slice(), b"no network", &good[..good.len() - 1], &flipped] {
        std::fs::write(&path, bytes).unwrap();
        let error = import_yunet(&path, folder.path()).unwrap_err();
        assert!(matches!(error, YuNetError::OtherFile(_)), "{error}");
        assert!(error.to_string().contains("is not the published yunet_n_dynamic.onnx"), "{error}");
    }
    let missing = import_yunet(&source.path().join("none"), folder.path()).unwrap_err();
    assert!(missing.to_string().contains("not found"), "{missing}");
    assert!(import_yunet(source.path(), folder.path()).is_err());
    // What was there before is still good.
    assert!(YuNet::load(folder.path()).is_ok());

    let load = |folder: &Path| YuNet::load(folder).err().unwrap().to_string();
    let empty = tempfile::tempdir().unwrap();
    assert!(load(empty.path()).contains("run `lumiface weights import yunet"));
    assert!(load(&empty.path().join("none")).contains("run `lumiface weights import yunet"));
    std::fs::write(folder.path().join("yunet.onnx"), &flipped).unwrap();
    assert!(load(folder.path()).contains("is damaged"), "{}", load(folder.path()));
}
