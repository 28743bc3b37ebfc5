//! Faces from the command line: weights, pictures of any kind, and captures that come aligned.

mod support;

use lumiface::dataset::{Manifest, ManifestRow, files};
use lumiface::face::{FaceBox, Landmarks, PixelPoint, template};
use lumiface::io::{Picture, read_mask, read_normals, read_picture, read_plane};
use lumiface::maps::Size;
use lumiface::pipeline::FaceRecord;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{stderr, stdout};

struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, command: &str) -> Output {
        self.command(command).output().unwrap()
    }

    /// A command whose words that begin with `/` are paths here, unless they are the test data's; the
    /// cache is here too.
    fn command(&self, command: &str) -> Command {
        let data = std::env::var("LUMIFACE_DATA").unwrap_or("nowhere".into());
        let words = command.split_whitespace().map(|word| match word.strip_prefix('/') {
            Some(name) if !word.starts_with(&data) => self.path(name).into_os_string(),
            _ => word.into(),
        });
        let mut program = Command::new(env!("CARGO_BIN_EXE_lumiface"));
        program.args(words).env("LUMIFACE_CACHE", self.path("cache"));
        program
    }

    fn done(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}{}", stdout(&output), stderr(&output));
        format!("{}{}", stdout(&output), stderr(&output))
    }

    fn refused(&self, command: &str, code: i32, said: &str) {
        let output = self.run(command);
        let text = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{command}: {text}");
        assert!(text.contains(said), "{command}: {text}");
        assert!(!text.contains("panicked"), "{command}: {text}");
    }

    /// Imports the published weights.
    fn with_weights() -> Option<Self> {
        let published = support::test_data("models/mtcnn")?;
        let workshop = Self::new();
        workshop.done(&format!("weights import mtcnn {}", published.display()));
        Some(workshop)
    }

    /// A rendered face, 360 × 480.
    fn face(&self) -> Option<Picture> {
        let people = support::test_data("face_model/ict_facekit_light.safetensors")?;
        let folder = self.path("rendered");
        Some(support::faces::render(&folder, &people, "ideal", "360x480", 1, 11).remove(1))
    }
}

#[test]
fn without_weights_or_with_others_the_command_says_what_to_do() {
    let workshop = Workshop::new();
    Picture::filled(Size::new(60, 60), [90; 3]).write(&workshop.path("a.png")).unwrap();
    workshop.refused("detect /a.png --out /faces", 1, "lumiface weights import mtcnn");
    assert!(!workshop.path("faces").exists());
    workshop.refused("weights import mtcnn /nowhere", 1, "nowhere");
    workshop.refused("weights import mtcnn /a.png", 1, "neither a folder nor a zip archive");
    std::fs::create_dir(workshop.path("empty")).unwrap();
    workshop.refused("weights import mtcnn /empty", 1, "holds no pnet.pt");
    for net in ["pnet", "rnet", "onet"] {
        std::fs::write(workshop.path(&format!("empty/{net}.pt")), b"no weights").unwrap();
    }
    workshop.refused("weights import mtcnn /empty", 1, "pnet.pt cannot be read");
    workshop.refused("weights import retina /empty", 2, "`mtcnn` and `yunet`");
    let yunet = "lumiface weights import yunet";
    workshop.refused("detect /a.png --out /faces --detector yunet", 1, yunet);
    workshop.refused("detect /a.png --out /faces --detector retina", 2, "yunet");
    workshop.refused("weights import yunet /nowhere", 1, "nowhere");
    workshop.refused("weights import yunet /empty", 1, "is a folder");
    workshop.refused("weights import yunet /a.png", 1, "is not the published yunet_n_dynamic.onnx");
    let gpu = "detect /a.png --out /faces --detector yunet --device gpu";
    workshop.refused(gpu, 2, "yunet looks on the CPU alone");
    workshop.refused("preprocess /empty --out /maps --detector yunet", 2, "--frontalise");
    workshop.refused("preprocess /empty --out /maps --head-mask --margin 0.1", 2, "--align");
    workshop.refused("weights import mtcnn /empty --modality albedo", 2, "cannot be used with");
    workshop.refused("weights import best.pth", 2, "--modality");
    if let Some(published) = support::test_data("models/mtcnn") {
        // The right files under each other's names.
        for (from, to) in [("pnet", "rnet"), ("rnet", "pnet"), ("onet", "onet")] {
            let to = workshop.path(&format!("empty/{to}.pt"));
            std::fs::copy(published.join(format!("{from}.pt")), to).unwrap();
        }
        workshop.refused("weights import mtcnn /empty", 1, "not of the MTCNN detector");
    }
    assert!(!workshop.path("cache").exists(), "something was written");
}

#[test]
fn damaged_weights_are_found() {
    let Some(workshop) = Workshop::with_weights() else { return };
    Picture::filled(Size::new(60, 60), [90; 3]).write(&workshop.path("a.png")).unwrap();
    let weights = workshop.path("cache/models/mtcnn.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    workshop.refused("detect /a.png --out /faces", 1, "are damaged");
}

/// A JPEG that EXIF says has to be turned: `orientation` by TIFF 6.0's numbers.
fn jpeg_with_orientation(picture: &Picture, orientation: u8, path: &Path) {
    let (width, height) = (picture.size.width as u32, picture.size.height as u32);
    let buffer = image::RgbImage::from_raw(width, height, picture.data.clone()).unwrap();
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
        .encode_image(&buffer)
        .unwrap();
    // One entry, tag 0x0112, a short, big-endian; behind the start of the image.
    let tiff =
        [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0]];
    let exif = [b"Exif\0\0".as_slice(), &tiff.concat(), &[0; 4]].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let marker = [&[0xff, 0xe1], length.as_slice(), &exif].concat();
    bytes.splice(2..2, marker);
    std::fs::write(path, bytes).unwrap();
}

fn quarter_turned(picture: &Picture) -> Picture {
    // Clockwise: the first row comes from the first column, read upward.
    let Size { height, width } = picture.size;
    Picture::from_fn(Size::new(width, height), |p| {
        let (row, column) = (p / height, p % height);
        picture.get(height - 1 - column, row)
    })
}

#[test]
fn pictures_of_every_kind_are_looked_at_and_none_panics() {
    let Some(workshop) = Workshop::with_weights() else { return };
    let Some(face) = workshop.face() else { return };
    let at = |name: &str| workshop.path(name);
    let rgb = image::RgbImage::from_raw(360, 480, face.data.clone()).unwrap();
    let dynamic = image::DynamicImage::ImageRgb8(rgb);
    face.write(&at("plain.png")).unwrap();
    dynamic.to_luma8().save(at("grey.png")).unwrap();
    dynamic.to_rgba8().save(at("alpha.png")).unwrap();
    dynamic.to_rgb16().save(at("sixteen.png")).unwrap();
    dynamic.to_luma16().save(at("grey16.tiff")).unwrap();
    let right = quarter_turned(&face);
    let half = quarter_turned(&right);
    let left = quarter_turned(&half);
    right.write(&at("right.png")).unwrap();
    half.write(&at("half.png")).unwrap();
    left.write(&at("left.png")).unwrap();
    // Stored lying, upright by EXIF: 8 is to be turned left, 3 by half, 6 right.
    jpeg_with_orientation(&right, 8, &at("exif8.jpg"));
    jpeg_with_orientation(&half, 3, &at("exif3.jpg"));
    jpeg_with_orientation(&left, 6, &at("exif6.jpg"));
    Picture::filled(Size::new(1, 1), [200; 3]).write(&at("one.png")).unwrap();
    let mut wide = Picture::filled(Size::new(480, 20_000), [70; 3]);
    wide.paste(&face, 0, 12_000);
    wide.write(&at("wide.png")).unwrap();
    let bytes = std::fs::read(at("plain.png")).unwrap();
    std::fs::write(at("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(at("text.png"), b"no picture").unwrap();
    let jpeg = std::fs::read(at("exif8.jpg")).unwrap();
    std::fs::write(at("cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    std::fs::create_dir(at("other")).unwrap();
    face.write(&at("other/plain.png")).unwrap();

    let output = workshop.run(
        "detect /plain.png /grey.png /alpha.png /sixteen.png /grey16.tiff /right.png /half.png \
         /left.png /exif8.jpg /exif3.jpg /exif6.jpg /one.png /wide.png /cut.png /cut.jpg /text.png /nowhere.png \
         /other/plain.png --out /faces --smallest-face 40",
    );
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(3), "{said}");
    for name in ["cut.png", "cut.jpg", "text.png", "nowhere.png"] {
        assert!(said.lines().any(|line| line.contains(name)), "{name}: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    let json = std::fs::read(at("faces/faces.json")).unwrap();
    let pictures: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    let of = |name: &str| {
        let found = pictures.iter().find(|p| p["image"].as_str().unwrap().ends_with(name));
        found.unwrap_or_else(|| panic!("{name} in {said}")).clone()
    };
    let bounds = |name: &str| -> FaceBox {
        let faces = of(name)["faces"].clone();
        assert_eq!(faces.as_array().unwrap().len(), 1, "{name}: {faces}");
        serde_json::from_value(faces[0]["box"].clone()).unwrap()
    };
    let plain = bounds("/plain.png");
    for (name, least) in [
        ("grey.png", 0.95),
        ("alpha.png", 0.999),
        ("sixteen.png", 0.999),
        ("grey16.tiff", 0.95),
        ("exif8.jpg", 0.95),
        ("exif3.jpg", 0.95),
        ("exif6.jpg", 0.95),
    ] {
        let overlap = plain.iou(&bounds(name));
        assert!(overlap > least, "{name}: {overlap}");
        assert_eq!(of(name)["turn"], "none", "{name}");
        assert_eq!(of(name)["width"], 360, "{name}");
    }
    for (name, turn) in [("/right.png", "left"), ("/half.png", "half"), ("/left.png", "right")] {
        assert_eq!(of(name)["turn"], turn, "{name}");
    }
    // Turned back by half, the box is the same.
    let half = bounds("/half.png");
    let back = FaceBox {
        left: 359.0 - half.right,
        right: 359.0 - half.left,
        top: 479.0 - half.bottom,
        bottom: 479.0 - half.top,
    };
    assert!(plain.iou(&back) > 0.95);
    let moved = bounds("wide.png");
    assert!((moved.left - plain.left - 12_000.0).abs() < 20.0, "{moved:?}");
    assert_eq!(of("one.png")["faces"], serde_json::json!([]));
    // Two pictures of one name are drawn into two files.
    let drawn: std::collections::BTreeSet<&str> =
        pictures.iter().map(|p| p["drawn"].as_str().unwrap()).collect();
    assert_eq!(drawn.len(), pictures.len());
    let picture = read_picture(Path::new(pictures[0]["drawn"].as_str().unwrap())).unwrap();
    let edge = (plain.top.round() as usize, plain.centre().column.round() as usize);
    assert_eq!(picture.get(edge.0, edge.1), [60, 220, 90]);
    workshop.refused("detect /plain.png --out /x --smallest-face 5", 1, "smallest_face");
    // Neither an input nor a stranger's picture is drawn over.
    std::fs::create_dir(at("own")).unwrap();
    for name in ["own/x.png", "own/x.faces.png", "own/y.png"] {
        face.write(&at(name)).unwrap();
    }
    let before = std::fs::read(at("own/x.faces.png")).unwrap();
    for _ in 0..2 {
        workshop.done("detect /own/x.png /own/x.faces.png /own/y.png --out /own");
        assert_eq!(std::fs::read(at("own/x.faces.png")).unwrap(), before);
        assert_eq!(std::fs::read_dir(at("own")).unwrap().count(), 7);
    }
    std::fs::write(at("own/faces.json"), "{}").unwrap();
    workshop.refused("detect /own/y.png --out /own", 1, "is no list of faces");
}

/// The five landmarks of a session's truth, in its picture.
fn true_landmarks(captures: &Path, name: &Path) -> Landmarks {
    let text = std::fs::read(captures.join(name).join("truth/landmarks.json")).unwrap();
    let points: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let point = |v: &serde_json::Value| {
        PixelPoint::new(v["column"].as_f64().unwrap(), v["row"].as_f64().unwrap())
    };
    let points: Vec<PixelPoint> = points.iter().map(point).collect();
    Landmarks::from_ibug(&points.try_into().unwrap())
}

#[test]
fn captures_come_aligned_and_what_shows_no_face_is_left_out() {
    let Some(workshop) = Workshop::with_weights() else { return };
    let faces = "face_model/ict_facekit_light.safetensors";
    let Some(people) = support::test_data(faces) else { return };
    workshop.done(&format!(
        "synth --people 4 --sessions 3 --size 192x256 --seed 5 --device cpu --faces {} --out /captures",
        people.display()
    ));
    // A session without a face: the frames of a wall.
    let session = |maps: &Manifest, at: usize| maps.rows[at].folder.clone();
    workshop.done("preprocess /captures --layout photoface --device cpu --out /plain");
    let plain = Manifest::read(&workshop.path("plain")).unwrap();
    assert!(plain.rows.iter().all(|row| row.face.is_none()));
    let wall = session(&plain, 5);
    for index in 0..4 {
        let path = workshop.path("captures").join(&wall).join(format!("im{index}.png"));
        let size = read_picture(&path).unwrap().size;
        let grain = |p: usize| [(90 + 20 * index + (p * 7919 % 31)) as u8; 3];
        Picture::from_fn(size, grain).write(&path).unwrap();
    }

    let command = "preprocess /captures --layout photoface --device cpu --align similarity \
                   --align-side 112 --out /aligned";
    let said = workshop.done(command);
    assert!(said.contains("no face found in 1 capture"), "{said}");
    let aligned = Manifest::read(&workshop.path("aligned")).unwrap();
    assert_eq!(aligned.rows.len(), 12);
    let mut offsets = Vec::new();
    for row in &aligned.rows {
        if row.folder == wall {
            assert_eq!(row.face, Some(false));
            assert!(row.warnings.iter().any(|w| w.contains("no face was found")), "{row:?}");
            continue;
        }
        assert_eq!((row.face, row.height, row.width), (Some(true), 112, 112));
        let text = std::fs::read(aligned.path(row, files::FACE)).unwrap();
        let face: FaceRecord = serde_json::from_slice(&text).unwrap();
        // The truth's landmarks come to lie on the template.
        let truth = true_landmarks(&workshop.path("captures"), &row.folder);
        for (point, wanted) in truth.points().into_iter().zip(template(112, 0.0).points()) {
            offsets.push(face.alignment.apply(point).distance_to(wanted));
        }
        let mask = read_mask(&aligned.path(row, files::MASK)).unwrap();
        let normals = read_normals(&aligned.path(row, files::NORMALS)).unwrap();
        let depth = read_plane(&aligned.path(row, files::DEPTH)).unwrap();
        assert_eq!(mask.size, Size::new(112, 112));
        for p in 0..mask.size.area() {
            assert_eq!(mask.data[p], !depth.data[p].is_nan(), "{} {p}", row.name());
            assert_eq!(mask.data[p], !normals.z()[p].is_nan(), "{} {p}", row.name());
        }
        assert_eq!(row.images.len(), 4);
        for image in &row.images {
            assert_eq!(read_picture(image).unwrap().size, Size::new(112, 112), "{image:?}");
        }
    }
    offsets.sort_by(f64::total_cmp);
    let median = offsets[offsets.len() / 2];
    assert!(median < 6.0, "median offset {median} px of 112: {offsets:?}");
    // Again: nothing is made anew, and the wall is still none.
    let said = workshop.done(command);
    assert!(said.contains("0 made, 12 unchanged") && said.contains("no face found in 1"), "{said}");
    // Other options make them anew.
    let said = workshop.done(&command.replace("--align similarity", "--align crop --margin 0.2"));
    assert!(said.contains("12 made, 0 unchanged"), "{said}");
    let said = workshop
        .done(&command.replace("--align similarity --align-side 112", "--frontalise --head-mask"));
    assert!(said.contains("12 made, 0 unchanged"), "{said}");
    let turned = Manifest::read(&workshop.path("aligned")).unwrap();
    let row = turned.rows.iter().find(|row| row.face == Some(true)).unwrap();
    assert!(row.images.is_empty() && !turned.path(row, &files::lit(0)).exists(), "{row:?}");
    workshop.refused(&format!("{command} --margin 3"), 1, "margin");
    workshop.refused(&command.replace("112", "5"), 1, "side of 5 pixels");

    // Killed on the way to other faces, the folder does not pass for one of the old kind.
    workshop.done(command);
    let crop = command.replace("--align similarity", "--align crop");
    let faces_of = |align: &str| {
        let json = |row: &&ManifestRow| {
            let face = std::fs::read_to_string(aligned.path(row, files::FACE)).unwrap_or_default();
            !face.is_empty() && (align == "similarity") == face.contains("residual_px")
        };
        aligned.rows.iter().filter(json).count()
    };
    assert_eq!((faces_of("similarity"), faces_of("crop")), (11, 0));
    let mut running = workshop.command(&crop).spawn().unwrap();
    while faces_of("crop") == 0 && running.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(faces_of("crop") > 0);
    if faces_of("similarity") > 0 {
        workshop.refused("dataset split /aligned --gallery 2 --out /split.csv", 1, "manifest");
    }

    // None of a capture's files is written over by a stage.
    workshop.done(command);
    let row = aligned.rows.iter().find(|row| row.face == Some(true)).unwrap();
    let folder = format!("/aligned/{}", row.folder.display());
    let relight = format!("relight {folder} --light=-40,20 --out {folder}/{}", files::lit(0));
    workshop.refused(&relight, 2, "belongs to a capture's maps");

    // Maps that moved take their lit images with them.
    std::fs::rename(workshop.path("aligned"), workshop.path("moved")).unwrap();
    let moved = Manifest::read(&workshop.path("moved")).unwrap();
    let lit = &moved.rows.iter().find(|row| row.face == Some(true)).unwrap().images[0];
    assert!(lit.starts_with(workshop.path("moved")) && lit.exists(), "{lit:?}");
    std::fs::rename(workshop.path("moved"), workshop.path("aligned")).unwrap();
    // The truth is of the picture as it was taken.
    workshop.refused("accuracy /aligned --truth /captures", 3, "are aligned or turned");

    // The wall is in no split, and counted as not acquired.
    workshop.done(command);
    let said = workshop.done("dataset split /aligned --gallery 2 --out /split.csv");
    let sessions = |line: &str| -> Option<usize> {
        line.split_once("people, ")?.1.split(' ').next()?.parse().ok()
    };
    assert_eq!(said.lines().filter_map(sessions).sum::<usize>(), 11, "{said}");
    let config = "modalities = ['albedo', 'normals', 'raw']\ninput_side = 32\n[split]\ngallery_people = \
                  ['PERSON', 'OTHER']\n[network]\nwidth = 8\n[optimizer]\nepochs = 1\nbatch_size = 4\n";
    let person = wall.iter().next().unwrap().to_str().unwrap();
    let other = turned.rows.iter().find(|row| row.id != person).unwrap().id.clone();
    let config = config.replace("PERSON", person).replace("OTHER", &other);
    std::fs::write(workshop.path("config.toml"), config).unwrap();
    workshop.done("train /config.toml --data /aligned --device cpu --out /run");
    let said = workshop.done("evaluate /run --data /aligned --device cpu --replicates 0 --json");
    let json = &said[said.find('{').unwrap()..=said.rfind('}').unwrap()];
    let evaluation: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(evaluation["failure_to_acquire"], serde_json::json!({"captures": 1, "of": 6}));
    // The network knows faces where they were in training alone; captures are aligned on the way.
    workshop.refused(
        "evaluate /run --data /plain --device cpu",
        1,
        "--align similarity --align-side 112",
    );
    workshop.refused(
        "embed /run --data /plain --device cpu --out /e",
        1,
        "was trained on maps made with",
    );
    workshop.done("gallery create /people --run /run");
    workshop.done("gallery enrol /people --run /run --data /aligned --device cpu");
    let said = workshop.done(
        "gallery search /people --run /run --captures /captures --layout photoface --device cpu --top 1 \
         --json",
    );
    let json = &said[said.find('[').unwrap()..=said.rfind(']').unwrap()];
    let answers: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    assert_eq!(answers.len(), 11);
    for answer in answers {
        assert_eq!(answer["matches"][0]["session"], answer["probe"]["session"], "{answer}");
    }
}

/// All images of a capture show one face, so sessions made of some of them have it in the same place but
/// for what their first picture had moved.
#[test]
fn relit_sessions_share_the_face_of_their_capture_found_by_yunet() {
    let Some(network) = support::test_data("models/yunet_n_dynamic.onnx") else { return };
    let faces = "face_model/ict_facekit_light.safetensors";
    let Some(people) = support::test_data(faces) else { return };
    let workshop = Workshop::new();
    workshop.done(&format!("weights import yunet {}", network.display()));
    workshop.done(&format!(
        "synth --people 2 --sessions 2 --size 282x378 --preset photoface_twin --seed 5 --device cpu \
         --faces {} --out /captures",
        people.display()
    ));
    let command = "preprocess /captures --layout photoface --device cpu --detector yunet \
                   --align similarity --align-side 112 --relit 4 --frontalise --out /maps";
    workshop.done(command);
    let maps = Manifest::read(&workshop.path("maps")).unwrap();
    let face_of = |row: &ManifestRow| -> FaceRecord {
        serde_json::from_slice(&std::fs::read(maps.path(row, files::FACE)).unwrap()).unwrap()
    };
    let (relit, captures): (Vec<&ManifestRow>, Vec<_>) =
        maps.rows.iter().partition(|row| row.training_only);
    assert_eq!((captures.len(), relit.len()), (4, 16));
    let mut moved = 0;
    for row in relit {
        let own = captures
            .iter()
            .find(|capture| row.id == capture.id && row.session.starts_with(&capture.session))
            .unwrap();
        let (face, expected) = (face_of(row), face_of(own));
        let truth = true_landmarks(&workshop.path("captures"), &own.folder);
        for (found, truth) in expected.landmarks.points().iter().zip(truth.points()) {
            // A third of the distance between the eyes: this face, not how well.
            assert!(found.distance_to(truth) < 20.0, "{found:?} {truth:?}");
        }
        assert_eq!(face.turned_from_deg, expected.turned_from_deg);
        let shifts: Vec<[f64; 2]> = (face.landmarks.points().iter())
            .zip(expected.landmarks.points())
            .map(|(a, b)| [a.column - b.column, a.row - b.row])
            .collect();
        let record = std::fs::read(maps.path(own, "capture.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let drift = record["how"]["drift_px"].as_object().expect("the head moves in this preset");
        let drift: Vec<[f64; 2]> =
            drift.values().map(|v| serde_json::from_value(v.clone()).unwrap()).collect();
        for shift in &shifts {
            let near = |motion: &&[f64; 2]| (0..2).all(|a| (motion[a] - shift[a]).abs() < 1e-9);
            assert!(drift.iter().any(|motion| near(&motion)), "{shift:?} of {drift:?}");
            assert!(near(&&shifts[0]), "{shifts:?}");
        }
        moved += usize::from(shifts[0] != [0.0; 2]);
    }
    assert!((1..16).contains(&moved), "{moved} of 16");
    let said = workshop.done(command);
    assert!(said.contains("0 made, 20 unchanged"), "{said}");
    assert!(captures.iter().all(|row| face_of(row).turned_from_deg.is_some()));
    // A face that cannot be read any more is looked for again, and so its relit sessions.
    let damaged = maps.path(captures[0], files::FACE);
    let length = std::fs::metadata(&damaged).unwrap().len() as usize;
    let before = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, vec![b'x'; length]).unwrap();
    let said = workshop.done(command);
    assert!(said.contains("1 made, 19 unchanged"), "{said}");
    assert_eq!(std::fs::read(&damaged).unwrap(), before);
    // Another detector, other maps.
    workshop.refused(&command.replace("yunet", "mtcnn"), 1, "lumiface weights import mtcnn");
}

/// The detector's runtime has threads of its own; captures must not pile up while they wait for it.
#[test]
fn hundreds_of_captures_are_looked_at_one_after_the_other() {
    let Some(network) = support::test_data("models/yunet_n_dynamic.onnx") else { return };
    let workshop = Workshop::new();
    workshop.done(&format!("weights import yunet {}", network.display()));
    workshop.done("synth --people 1 --sessions 1 --size 64x64 --device cpu --no-truth --out /one");
    let one = std::fs::read_dir(workshop.path("one")).unwrap().find_map(|person| {
        std::fs::read_dir(person.ok()?.path()).ok()?.next()?.ok().map(|session| session.path())
    });
    for session in 0..400 {
        let folder = workshop.path(&format!("many/1/{session}"));
        std::fs::create_dir_all(&folder).unwrap();
        for file in std::fs::read_dir(one.as_ref().unwrap()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
    }
    let said = workshop.done(
        "preprocess /many --layout photoface --device cpu --detector yunet --align crop \
         --align-side 32 --out /maps",
    );
    assert!(said.contains("400 captures"), "{said}");
}
