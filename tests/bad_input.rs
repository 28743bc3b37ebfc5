//! What a user gets for bad input: one clear line, exit code, the other captures still done.

mod support;

use image::{GrayImage, Luma};
use std::fs;
use std::path::Path;
use support::{lumiface, stderr, stdout};

const FOUR_LIGHTS: &str = "30 130 30 50 30 310 30 230";

/// A Photoface session of a lit half-sphere.
fn write_session(root: &Path, name: &str) {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("LightSource.txt"), FOUR_LIGHTS).unwrap();
    for (i, azimuth) in [130.0f32, 50.0, 310.0, 230.0].into_iter().enumerate() {
        let light = lumiface::geometry::light_from_zenith_azimuth(30.0, azimuth);
        GrayImage::from_fn(40, 48, |c, r| {
            let (x, y) = ((c as f32 - 20.0) / 18.0, (24.0 - r as f32) / 18.0);
            let inside = 1.0 - x * x - y * y;
            let shade = if inside > 0.0 {
                (x * light.x + y * light.y + inside.sqrt() * light.z).max(0.0)
            } else {
                0.0
            };
            Luma([(5.0 + 180.0 * shade) as u8])
        })
        .save(folder.join(format!("im{i}.png")))
        .unwrap();
    }
}

fn set(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| write_session(root.path(), name));
    let rows: String = names.iter().map(|n| format!("{},male\n", n.replace('/', ","))).collect();
    fs::write(root.path().join("metadata.csv"), format!("id,session,Gender\n{rows}")).unwrap();
    root
}

fn preprocess(root: &Path) -> (std::process::Output, std::path::PathBuf) {
    let out = root.join("out");
    let arguments =
        ["preprocess", root.to_str().unwrap(), "--layout", "photoface", "--device", "cpu", "--out"];
    let output = lumiface(&[&arguments[..], &[out.to_str().unwrap()]].concat());
    (output, out)
}

/// Breaks one of two captures and expects: exit code 3, a line that names what is wrong, the
/// other capture done, nothing half written.
fn one_bad_of_two(break_it: impl Fn(&Path), expected: &[&str]) {
    let root = set(&["1001/s1", "1002/s1"]);
    break_it(&root.path().join("1001/s1"));
    let data = root.path().join("data");
    fs::create_dir(&data).unwrap();
    for name in ["1001", "1002", "metadata.csv"] {
        fs::rename(root.path().join(name), data.join(name)).unwrap();
    }
    let (output, out) = preprocess(&data);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    for part in expected {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    assert!(out.join("1002/s1/normals.exr").exists(), "the good capture was not done");
    let manifest = fs::read_to_string(out.join("manifest.csv")).unwrap();
    assert!(manifest.contains("1002,s1,male"), "{manifest}");
    assert_no_temporaries(&out);
}

fn assert_no_temporaries(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.starts_with(".lumiface-tmp-"), "left behind: {}", path.display());
        if path.is_dir() {
            assert_no_temporaries(&path);
        }
    }
}

#[test]
fn an_unreadable_image_is_named_and_its_light_left_out() {
    one_bad_of_two(|s| fs::write(s.join("im2.png"), "junk").unwrap(), &["im2.png", "left out"]);
}

#[test]
fn a_missing_image_is_named() {
    one_bad_of_two(|s| fs::remove_file(s.join("im0.png")).unwrap(), &["im0.png", "not found"]);
}

#[test]
fn a_cut_image_is_named() {
    one_bad_of_two(
        |s| {
            let bytes = fs::read(s.join("im1.png")).unwrap();
            fs::write(s.join("im1.png"), &bytes[..bytes.len() / 2]).unwrap();
        },
        &["im1.png"],
    );
}

#[test]
fn images_of_differing_sizes_are_refused() {
    one_bad_of_two(
        |s| GrayImage::from_pixel(9, 9, Luma([99])).save(s.join("im3.png")).unwrap(),
        &["im3.png is 9×9", "re-export"],
    );
}

#[test]
fn fewer_than_three_usable_images_are_refused() {
    one_bad_of_two(
        |s| {
            fs::remove_file(s.join("im0.png")).unwrap();
            GrayImage::from_pixel(40, 48, Luma([0])).save(s.join("im1.png")).unwrap();
        },
        &["2 usable images", "im0.png", "im1.png: is black"],
    );
}

#[test]
fn a_saturated_image_is_named() {
    one_bad_of_two(
        |s| GrayImage::from_pixel(40, 48, Luma([255])).save(s.join("im1.png")).unwrap(),
        &["im1.png: is saturated", "less exposure"],
    );
}

#[test]
fn lights_in_a_plane_are_refused_with_their_condition_number() {
    one_bad_of_two(
        |s| fs::write(s.join("LightSource.txt"), "30 90 10 90 10 270 30 270").unwrap(),
        &["condition number"],
    );
}

#[test]
fn bad_light_files_are_named() {
    one_bad_of_two(
        |s| fs::write(s.join("LightSource.txt"), "30 130 30").unwrap(),
        &["LightSource.txt", "3 entries"],
    );
    one_bad_of_two(
        |s| fs::write(s.join("LightSource.txt"), "30 130 30 x 30 310 30 230").unwrap(),
        &["LightSource.txt", "`x` is not a number"],
    );
}

#[test]
fn a_label_row_without_a_folder_is_named() {
    one_bad_of_two(|s| fs::remove_dir_all(s).unwrap(), &["metadata.csv", "1001/s1"]);
}

#[test]
fn a_directory_in_place_of_an_image_is_named() {
    one_bad_of_two(
        |s| {
            fs::remove_file(s.join("im1.png")).unwrap();
            fs::create_dir(s.join("im1.png")).unwrap();
        },
        &["im1.png"],
    );
}

#[test]
fn an_unknown_column_and_an_unknown_layout_name_the_nearest() {
    let root = set(&["1001/s1"]);
    fs::write(root.path().join("metadata.csv"), "id,session,Spectacle\n1001,s1,no\n").unwrap();
    let (output, _) = preprocess(root.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean `spectacles`?"), "{}", stderr(&output));

    let output = lumiface(&["preprocess", "x", "--layout", "photofase", "--out", "y"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `photoface`?"), "{}", stderr(&output));
}

#[test]
fn a_missing_root_and_an_empty_one_say_so() {
    let root = tempfile::tempdir().unwrap();
    let (output, out) = preprocess(&root.path().join("nowhere"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
    assert!(!out.exists(), "an output folder was made for nothing");
    let (output, _) = preprocess(root.path());
    assert!(stderr(&output).contains("no capture of this layout"), "{}", stderr(&output));
}

#[test]
fn unchanged_captures_are_skipped_and_changed_or_damaged_ones_made_again() {
    let root = set(&["1001/s1", "1002/s1"]);
    let (first, out) = preprocess(root.path());
    assert!(stdout(&first).contains("2 made, 0 unchanged"), "{}{}", stdout(&first), stderr(&first));
    let depth = out.join("1001/s1/depth.exr");
    let original = fs::read(&depth).unwrap();
    // The output lies inside the root here; it must not be taken for a person.
    let (second, _) = preprocess(root.path());
    assert!(
        stdout(&second).contains("0 made, 2 unchanged"),
        "{}{}",
        stdout(&second),
        stderr(&second)
    );
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));

    fs::write(&depth, &original[..original.len() / 2]).unwrap();
    let (third, _) = preprocess(root.path());
    assert!(stdout(&third).contains("1 made, 1 unchanged"), "{}", stdout(&third));
    assert_eq!(fs::read(&depth).unwrap(), original);

    fs::write(root.path().join("1002/s1/LightSource.txt"), "31 130 30 50 30 310 30 230").unwrap();
    let (fourth, _) = preprocess(root.path());
    assert!(stdout(&fourth).contains("1 made, 1 unchanged"), "{}", stdout(&fourth));

    fs::rename(root.path().join("1002"), root.path().join(".1002")).unwrap();
    let (fifth, _) = preprocess(root.path());
    assert!(stdout(&fifth).contains("1 capture in"), "{}", stdout(&fifth));
    assert!(
        stderr(&fifth).contains("1 capture of an earlier run listed no more"),
        "{}",
        stderr(&fifth)
    );
    assert!(out.join("1002/s1/depth.exr").exists(), "maps of the user's were deleted");
}

#[test]
fn the_captures_themselves_are_never_overwritten() {
    let root = set(&["1001/s1", "1002/s1"]);
    let path = root.path().to_str().unwrap();
    let output = lumiface(&["preprocess", path, "--layout", "photoface", "--out", path]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("did not write"), "{}", stderr(&output));
    for i in 0..4 {
        assert!(root.path().join(format!("1001/s1/im{i}.png")).exists(), "im{i}.png is gone");
    }
}

#[test]
fn when_every_capture_fails_the_old_manifest_does_not_stay() {
    let root = set(&["1001/s1"]);
    let (first, out) = preprocess(root.path());
    assert!(first.status.success());
    fs::write(root.path().join("1001/s1/LightSource.txt"), "x").unwrap();
    let (second, _) = preprocess(root.path());
    assert_eq!(second.status.code(), Some(1));
    let manifest = fs::read_to_string(out.join("manifest.csv")).unwrap();
    assert_eq!(manifest.lines().count(), 1, "{manifest}");
    let problems = fs::read_to_string(out.join("problems.txt")).unwrap();
    assert!(problems.contains("LightSource.txt"), "{problems}");
}

#[test]
fn two_files_for_one_image_are_refused() {
    one_bad_of_two(
        |s| {
            fs::copy(s.join("im0.png"), s.join("im00.png")).unwrap();
        },
        &["im0.png", "im00.png", "keep one of them"],
    );
}

#[test]
fn odd_folder_names_survive_all_stages() {
    let names = ["a, \"b\"; c/s 1", "back\\slash/s1", "new\nline/s1"];
    let root = set(&[]);
    names.iter().for_each(|name| write_session(root.path(), name));
    fs::remove_file(root.path().join("metadata.csv")).unwrap();
    let (output, out) = preprocess(root.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let manifest = lumiface::dataset::Manifest::read(&out).unwrap();
    assert_eq!(manifest.rows.len(), 3);
    for row in &manifest.rows {
        assert!(manifest.path(row, "normals.exr").exists(), "{row:?}");
        assert!(row.images.iter().all(|image| image.exists()), "{row:?}");
    }
}

#[test]
fn impossible_numbers_in_a_config_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/demo.toml")).unwrap();
    let cases = [
        ("input_side = 64", "input_side = 1000000"),
        ("batch_size = 24", "batch_size = 1"),
        ("learning_rate = 5e-4", "learning_rate = inf"),
        ("weight_decay = 1e-2", "weight_decay = nan"),
        ("min_crop = 0.85", "min_crop = 0.85\npatch_noise = inf"),
        ("scale = 32", "scale = -1"),
        ("[\"no\", \"yes\"]", "[\"no\", \"no\"]"),
    ];
    for (from, to) in cases {
        assert!(text.contains(from), "{from}");
        let config = folder.path().join("c.toml");
        fs::write(&config, text.replacen(from, to, 1)).unwrap();
        let data = folder.path().to_str().unwrap();
        let output = lumiface(&["train", config.to_str().unwrap(), "--data", data, "--out", data]);
        assert_eq!(output.status.code(), Some(1), "{to}: {}", stderr(&output));
        assert!(stderr(&output).contains("c.toml: "), "{to}: {}", stderr(&output));
    }
}

#[test]
fn a_config_with_an_unknown_key_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/demo.toml")).unwrap();
    fs::write(&config, text.replace("batch_size", "batchsize")).unwrap();
    let out = folder.path().join("run");
    let output = lumiface(&[
        "train",
        config.to_str().unwrap(),
        "--data",
        folder.path().to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean `batch_size`?"), "{}", stderr(&output));
    assert!(!out.exists());
}

#[test]
fn training_without_maps_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let output = lumiface(&[
        "train",
        concat!(env!("CARGO_MANIFEST_DIR"), "/configs/demo.toml"),
        "--data",
        folder.path().to_str().unwrap(),
        "--out",
        folder.path().join("run").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lumiface preprocess"), "{}", stderr(&output));
}
