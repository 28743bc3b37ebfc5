//! The detector beside facenet-pytorch (2.6.0, with torch 2.15), whose results are in
//! tests/goldens/mtcnn_*.json; and on weights and pictures that are odd.
//!
//! `LUMIFACE_BLESS=1` asks facenet-pytorch anew, through the Python that LUMIFACE_PYTHON names: needed
//! where the rendered pictures have changed, which the test says.

mod support;

use burn::tensor::Device;
use lumiface::face::{
    BurnNets, CpuNets, Detector, DetectorOptions, Features, Net, Scratch, Turn, WeightSet,
    WeightsError, import_weights,
};
use lumiface::face::{ChosenFace, FaceBox, PixelPoint, find_subject};
use lumiface::io::{Picture, sha256_hex};
use lumiface::maps::Size;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::faces::{
    Noise, PeerFace, assert_as_peer, found_however_turned, golden_rows, named_as_seen, render,
    twenty_pictures, write_pictures,
};
use tempfile::TempDir;

/// Where the published weights are, and a folder that they were imported to.
fn imported() -> Option<(PathBuf, TempDir)> {
    let published = support::test_data("models/mtcnn")?;
    let folder = tempfile::tempdir().unwrap();
    let record = import_weights(&published, folder.path()).unwrap();
    assert_eq!(record.unpublished, [""; 0]);
    Some((published, folder))
}

fn blessing() -> bool {
    std::env::var_os("LUMIFACE_BLESS").is_some()
}

/// What the peer says.
fn peer(what: &str, folder: &Path) -> Value {
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/mtcnn_facenet.py");
    let output = Command::new(python).arg(script).arg(what).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/mtcnn_{name}.json"))
}

fn golden(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden_path(name)).unwrap()).unwrap()
}

fn bless(name: &str, value: &Value) {
    std::fs::write(golden_path(name), format!("{value}\n")).unwrap();
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A box as facenet-pytorch gives it: pixels counted from 1, both ends within.
fn counted(bounds: FaceBox) -> FaceBox {
    let FaceBox { left, top, right, bottom } = bounds;
    FaceBox { left: left + 1.5, top: top + 1.5, right: right + 0.5, bottom: bottom + 0.5 }
}

fn theirs(face: &Value) -> PeerFace {
    let [left, top, right, bottom] = numbers(&face["edges"]).try_into().unwrap();
    // Theirs count pixels from 1.
    let point = |point: &Value| {
        let place = numbers(point);
        PixelPoint::new(place[0] - 1.0, place[1] - 1.0)
    };
    PeerFace {
        bounds: FaceBox { left, top, right, bottom },
        score: face["score"].as_f64().unwrap(),
        points: face["landmarks"].as_array().unwrap().iter().map(point).collect(),
    }
}

#[test]
fn twenty_pictures_give_facenet_pytorchs_boxes_and_landmarks() {
    let Some((_, weights)) = imported() else { return };
    let Some(people) = support::test_data("face_model/ict_facekit_light.safetensors") else {
        return;
    };
    let pictures = twenty_pictures(&people);
    assert_eq!(pictures.len(), 20);
    if blessing() {
        let folder = tempfile::tempdir().unwrap();
        write_pictures(&pictures, folder.path());
        bless("pictures", &golden_rows(&pictures, &peer("detect", folder.path())));
    }
    let golden = golden("pictures");
    let golden = golden.as_array().unwrap();
    assert_eq!(golden.len(), pictures.len());
    let detector = Detector::load(weights.path(), &Device::flex()).unwrap();
    let modules = Detector::load_modules(weights.path(), &Device::flex()).unwrap();
    let mut faces = 0;
    for (number, ((name, picture), golden)) in pictures.iter().zip(golden).enumerate() {
        let name = named_as_seen(name, picture, golden);
        let theirs: Vec<PeerFace> =
            golden["faces"].as_array().unwrap().iter().map(theirs).collect();
        // The modules are slow; every third picture shows whether they do the same.
        let runs = if number % 3 == 0 { vec![&detector, &modules] } else { vec![&detector] };
        for detector in runs {
            assert_as_peer(&name, &detector.detect(picture), &theirs, counted);
        }
        faces += theirs.len();
    }
    assert!(faces >= 50, "{faces} faces in all");
}

#[test]
fn in_a_tight_crop_the_face_is_where_it_is_in_the_whole_picture() {
    let Some((_, weights)) = imported() else { return };
    let Some(people) = support::test_data("face_model/ict_facekit_light.safetensors") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let pictures = render(folder.path(), &people, "ideal", "360x480", 16, 31);
    let detector = Detector::load(weights.path(), &Device::flex()).unwrap();
    let (mut tried, mut offsets) = (0, Vec::new());
    // The frames of a session in one picture, as captures are looked at.
    for frames in pictures.chunks_exact(4) {
        let mean = |p: usize| frames.iter().map(|f| u32::from(f.data[3 * p])).sum::<u32>() / 4;
        let picture = &Picture::from_fn(frames[0].size, |p| [(2 * mean(p)).min(255) as u8; 3]);
        let Some(ChosenFace { face: whole, .. }) = find_subject(&detector, picture) else {
            continue;
        };
        tried += 1;
        let eyes = whole.landmarks.left_eye.distance_to(whole.landmarks.right_eye);
        // Little more than eyes, nose and mouth.
        let middle = PixelPoint::mean(&whole.landmarks.points());
        let (width, height) = ((2.4 * eyes) as usize, (2.8 * eyes) as usize);
        let left = (middle.column - 1.2 * eyes).max(0.0) as usize;
        let top = (middle.row - 1.4 * eyes).max(0.0) as usize;
        let crop = Picture::from_fn(Size::new(height, width), |p| {
            picture.get(top + p / width, (left + p % width).min(359))
        });
        let Some(found) = find_subject(&detector, &crop) else { continue };
        let points = found.face.landmarks.points().into_iter().zip(whole.landmarks.points());
        let shift = |p: PixelPoint| PixelPoint::new(p.column + left as f64, p.row + top as f64);
        let off: f64 = points.map(|(a, b)| shift(a).distance_to(b) / eyes).sum::<f64>() / 5.0;
        offsets.push(off);
    }
    let found = offsets.len();
    assert!(tried >= 15 && 10 * found >= 9 * tried, "{found} of {tried} crops");
    // Without the border they are off by about twice as much.
    let mean = offsets.iter().sum::<f64>() / found as f64;
    assert!(mean < 0.08, "{mean} of the distance between the eyes in the mean of {found}");
}

#[test]
fn networks_say_what_pytorch_says() {
    let Some((_, folder)) = imported() else { return };
    let weights = WeightSet::read(folder.path()).unwrap();
    let kernels = CpuNets::new(&weights);
    let modules = BurnNets::load(&weights, &Device::flex());
    let mut noise = Noise(8);
    let inputs = [("pnet", Net::P, [2, 25, 32, 3]), ("rnet", Net::R, [9, 24, 24, 3])];
    let inputs =
        [inputs[0], inputs[1], ("onet", Net::O, [9, 48, 48, 3])].map(|(name, net, shape)| {
            let data = (0..shape.iter().product()).map(|_| 2.0 * noise.next() - 1.0).collect();
            (name, net, Features { shape, data })
        });
    if blessing() {
        let folder = tempfile::tempdir().unwrap();
        for (name, _, input) in &inputs {
            let text = json!({"shape": input.shape, "values": input.data}).to_string();
            std::fs::write(folder.path().join(format!("{name}.json")), text).unwrap();
        }
        bless("nets", &peer("nets", folder.path()));
    }
    let golden = golden("nets");
    for (name, net, input) in &inputs {
        let theirs = numbers(&golden[name]);
        for ours in
            [kernels.forward(*net, input, &mut Scratch::default()), modules.forward(*net, input)]
        {
            assert_eq!(ours.data.len(), theirs.len(), "{name}");
            for (ours, theirs) in ours.data.iter().zip(&theirs) {
                assert!((f64::from(*ours) - theirs).abs() <= 1e-5, "{name}: {ours} {theirs}");
            }
        }
    }
}

#[test]
fn a_face_is_found_however_the_picture_lies() {
    let Some((_, weights)) = imported() else { return };
    let Some(people) = support::test_data("face_model/ict_facekit_light.safetensors") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let upright = render(folder.path(), &people, "ideal", "360x480", 1, 11).swap_remove(1);
    let detector = Detector::load(weights.path(), &Device::flex()).unwrap();
    for lying in found_however_turned(&detector, &upright) {
        // Only the upright face is looked for unless asked.
        assert!(detector.detect(&lying).is_empty());
    }
}

#[test]
fn pictures_too_small_or_very_long_have_no_face() {
    let Some((_, weights)) = imported() else { return };
    let detector = Detector::load(weights.path(), &Device::flex()).unwrap();
    for (height, width) in [(0, 0), (0, 7), (1, 1), (19, 19), (1, 20_000), (20, 20), (24, 20_000)] {
        let mut noise = Noise(1 + (height * width) as u64);
        let size = Size::new(height, width);
        let picture = Picture::from_fn(size, |_| [(); 3].map(|()| (noise.next() * 255.0) as u8));
        assert_eq!(detector.detect_turned(&picture), (Turn::None, Vec::new()), "{height}×{width}");
    }
}

#[test]
fn options_that_find_nothing_are_refused() {
    let good = DetectorOptions::default();
    assert_eq!(good.check(), Ok(()));
    for bad in [
        DetectorOptions { smallest_face: 11, ..good.clone() },
        DetectorOptions { thresholds: [0.6, 1.0, 0.7], ..good.clone() },
        DetectorOptions { thresholds: [f32::NAN, 0.7, 0.7], ..good.clone() },
        DetectorOptions { factor: 1.0, ..good.clone() },
        DetectorOptions { factor: f64::NAN, ..good.clone() },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}

/// A zip archive of files under a folder, as a wheel has them.
fn wheel(path: &Path, files: &[(&str, &[u8])]) {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(format!("package/data/{name}"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn a_wheel_and_a_folder_give_the_same_weights() {
    let Some((published, from_folder)) = imported() else { return };
    let read = |name: &str| std::fs::read(published.join(name)).unwrap();
    let [p, r, o] = ["pnet.pt", "rnet.pt", "onet.pt"].map(read);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.whl");
    wheel(&path, &[("rnet.pt", &r), ("onet.pt", &o), ("pnet.pt", &p), ("notes.txt", b"hello")]);
    let record = import_weights(&path, folder.path()).unwrap();
    assert!(record.unpublished.is_empty() && record.files["pnet.pt"] == sha256_hex(&p));
    let weights = |folder: &TempDir| WeightSet::read(folder.path()).unwrap();
    assert_eq!(weights(&folder), weights(&from_folder));

    wheel(&path, &[("rnet.pt", &r), ("pnet.pt", &p)]);
    let error = import_weights(&path, folder.path()).unwrap_err();
    assert!(matches!(&error, WeightsError::NoSuchNetwork { file, .. } if file == "onet.pt"));
    wheel(&path, &[("rnet.pt", &r), ("onet.pt", &o), ("pnet.pt", &p), ("old/pnet.pt", &p)]);
    let error = import_weights(&path, folder.path()).unwrap_err();
    assert!(matches!(&error, WeightsError::SeveralNetworks { file, .. } if file == "pnet.pt"));
    // What was there before is still good.
    assert_eq!(weights(&folder), weights(&from_folder));
    std::fs::write(&path, &p).unwrap();
    let error = import_weights(&path, folder.path()).unwrap_err();
    assert!(matches!(error, WeightsError::NoArchive { .. }), "{error}");
}

#[test]
fn wrong_and_damaged_files_are_named_and_others_training_is_taken() {
    let Some((published, out)) = imported() else { return };
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name);
    let read = |name: &str| std::fs::read(published.join(name)).unwrap();
    let restore =
        || ["pnet.pt", "rnet.pt", "onet.pt"].map(|n| std::fs::write(at(n), read(n)).unwrap());
    let refused = || import_weights(source.path(), out.path()).unwrap_err().to_string();

    assert!(refused().contains("holds no pnet.pt"), "{}", refused());
    restore();
    std::fs::write(at("rnet.pt"), read("pnet.pt")).unwrap();
    assert!(refused().contains("is not of the MTCNN detector (rnet."), "{}", refused());
    std::fs::write(at("rnet.pt"), &read("rnet.pt")[..200_000]).unwrap();
    assert!(refused().contains("rnet.pt cannot be read"), "{}", refused());
    std::fs::write(at("rnet.pt"), "no weights").unwrap();
    assert!(refused().contains("rnet.pt cannot be read"), "{}", refused());
    let error = import_weights(&at("nothing"), out.path()).unwrap_err().to_string();
    assert!(error.contains("not found"), "{error}");

    restore();
    let mut other = read("pnet.pt");
    // The lowest byte of the last weight: another weight, and a good one.
    let last = other.len() - 4;
    other[last] ^= 1;
    std::fs::write(at("pnet.pt"), &other).unwrap();
    let record = import_weights(source.path(), out.path()).unwrap();
    assert_eq!(record.unpublished, ["pnet.pt"]);
    assert!(Detector::load(out.path(), &Device::flex()).is_ok());
}

#[test]
fn kept_weights_are_held_against_their_record() {
    let Some((_, folder)) = imported() else { return };
    let load = |folder: &Path| Detector::load(folder, &Device::flex()).err().unwrap().to_string();
    let empty = tempfile::tempdir().unwrap();
    assert!(load(empty.path()).contains("run `lumiface weights import mtcnn"));
    assert!(load(&empty.path().join("none")).contains("run `lumiface weights import mtcnn"));

    let path = folder.path().join("mtcnn.safetensors");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert!(load(folder.path()).contains("SHA-256"), "{}", load(folder.path()));
    std::fs::remove_file(&path).unwrap();
    assert!(load(folder.path()).contains("are not there"), "{}", load(folder.path()));
    std::fs::write(&path, &good).unwrap();
    let record = folder.path().join("mtcnn.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("\"format\": 1", "\"format\": 9")).unwrap();
    assert!(load(folder.path()).contains("format 9"), "{}", load(folder.path()));
    std::fs::write(&record, "{").unwrap();
    assert!(load(folder.path()).contains("mtcnn.json"), "{}", load(folder.path()));
}
