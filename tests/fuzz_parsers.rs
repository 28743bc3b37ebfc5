//! Damaged and hostile files: thousands of mutations of good ones. Nothing may panic, hang, or
//! take unbounded memory; every file is either used or named with what is wrong.
//!
//! The mutations come from a fixed stream of random numbers, so a failure can be repeated.
//! `LUMIFACE_FUZZ_ROUNDS` multiplies their number.

use lumiface::capture::{
    CAPTURE_FILE, InitOptions, Layout, LayoutOptions, find_captures, init_capture,
};
use lumiface::io::{Transfer, image_size, read_mask, read_photo, write_plane};
use lumiface::maps::{Plane, Size};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest that one damaged file may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

fn rounds(count: usize) -> usize {
    let factor = std::env::var("LUMIFACE_FUZZ_ROUNDS").ok().and_then(|v| v.parse().ok());
    count * factor.unwrap_or(1)
}

/// Replaces a file. A new one, because some file systems flush one that is cut to nothing and
/// written again, thousands of times.
fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// Words that parsers stumble over.
const WORDS: [&[u8]; 22] = [
    b"nan",
    b"inf",
    b"-inf",
    b"1e999",
    b"-1e308",
    b"99999999999999999999",
    b"0",
    b"-1",
    b"1e-320",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r",
    b"\n\n",
    b"[[",
    b"]]",
    b"\"",
    b"'''",
    b"=",
    b"../../etc",
    b"4294967295",
    b"\0",
    b"18446744073709551616",
];

fn mutated(seed: &[u8], random: &mut Pcg64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..9) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 if at < bytes.len() => bytes[at] = random.random(),
            3 => bytes.insert(at, random.random()),
            4 => {
                let word = WORDS[random.random_range(0..WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            // Counts and sizes sit in the first bytes of image files.
            5 if !bytes.is_empty() => {
                let at = random.random_range(0..bytes.len().min(64));
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)];
            }
            6 if at + 4 <= bytes.len() => {
                let huge: [u32; 5] = [0, 1, 60_000, 0x7fff_ffff, u32::MAX];
                let value = huge[random.random_range(0..5)];
                let encoded =
                    if random.random() { value.to_le_bytes() } else { value.to_be_bytes() };
                bytes[at..at + 4].copy_from_slice(&encoded);
            }
            7 => {
                let end = random.random_range(at..=bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = random.random_range(at..=bytes.len().min(at + 400));
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Runs `work` on mutations of `seed`; a panic or a wait names the bytes that caused it.
fn survive(name: &str, seed: &[u8], count: usize, mut work: impl FnMut(&[u8])) {
    let mut random = Pcg64::seed_from_u64(name.bytes().fold(7, |h, b| h * 31 + u64::from(b)));
    for round in 0..=rounds(count) {
        let bytes = if round == 0 { seed.to_vec() } else { mutated(seed, &mut random) };
        let start = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| work(&bytes))).is_ok();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        assert!(survived, "{name}, round {round}: panicked on {shown:?}");
        let took = start.elapsed();
        assert!(took < PATIENCE, "{name}, round {round}: took {took:?} on {shown:?}");
    }
}

fn grey(value: u8) -> image::GrayImage {
    image::GrayImage::from_fn(6, 5, |c, r| image::Luma([value + (c * 7 + r * 3) as u8]))
}

/// A folder in which `file` is mutated and the whole looked through and loaded.
fn survive_in_folder(file: &str, seed: &str, others: &[(&str, &str)]) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("1001/s1");
    fs::create_dir_all(&folder).unwrap();
    for i in 0..4 {
        grey(40 * (i + 1)).save(folder.join(format!("im{i}.png"))).unwrap();
    }
    for (name, text) in others {
        fs::write(folder.join(name), text).unwrap();
    }
    let layouts: Vec<Layout> = Layout::NAMES.iter().map(|name| name.parse().unwrap()).collect();
    let (mut loaded, mut refused) = (0, 0);
    survive(file, seed.as_bytes(), 1500, |bytes| {
        replace(&folder.join(file), bytes);
        for &layout in &layouts {
            let Ok(inventory) = find_captures(layout, root.path(), &LayoutOptions::default())
            else {
                continue;
            };
            refused += inventory.problems.len();
            for problem in &inventory.problems {
                assert!(problem.contains("1001"), "names no file: {problem}");
            }
            for source in &inventory.captures {
                for light in &source.lights.directions {
                    assert!((light.norm() - 1.0).abs() < 1e-3, "{light:?}");
                }
                match source.load() {
                    Ok(capture) => {
                        assert_eq!(capture.images.count, capture.lights.len());
                        assert!(capture.lights.intensities.iter().all(|e| *e > 0.0));
                        loaded += 1;
                    }
                    Err(error) => assert!(error.to_string().contains("1001"), "{error}"),
                }
            }
        }
    });
    // The unmutated file loads; some mutations must have been refused, or nothing was tested.
    assert!(loaded > 0 && refused > 100, "{file}: {loaded} loaded, {refused} refused");
}

const DIRECTIONS: &str = "0.3 0.2 0.93\n-0.3 0.2 0.93\n0.1 -0.4 0.91\n0 0 1\n";
const NAMES: &str = "im0.png\nim1.png\nim2.png\nim3.png\n";

#[test]
fn damaged_photoface_light_files() {
    survive_in_folder("LightSource.txt", "15.7 117.3 17.9 50.3 18.4 302.8 20.0 229.3\n", &[]);
}

#[test]
fn damaged_diligent_files() {
    let intensities = "1.2 1.5 2.1\n1.7 2.1 3.0\n1.3 1.7 2.3\n1 1 1\n";
    let files = [
        ("filenames.txt", NAMES),
        ("light_directions.txt", DIRECTIONS),
        ("light_intensities.txt", intensities),
    ];
    for (file, seed) in files {
        survive_in_folder(file, seed, &files);
    }
}

#[test]
fn damaged_psm_lists() {
    let list = format!("4\n{NAMES}");
    let lights = format!("4\n{DIRECTIONS}");
    survive_in_folder("egg.txt", &list, &[("lights.txt", &lights)]);
    survive_in_folder("lights.txt", &lights, &[("egg.txt", &list)]);
}

#[test]
fn damaged_lp_files() {
    let lines = NAMES.lines().zip(DIRECTIONS.lines());
    let lines: String = lines.map(|(name, light)| format!("C:\\a b\\{name} {light}\n")).collect();
    survive_in_folder("shell.lp", &format!("4\n{lines}"), &[]);
}

#[test]
fn damaged_capture_tomls() {
    let distant = "id = \"ann\"\ntransfer = \"linear\"\n[labels]\ngender = \"male\"\n\
        [[lights]]\nimage = \"im0.png\"\ndirection = [0.3, 0.2, 0.93]\nintensity = [1.0, 1.1, 1]\n\
        [[lights]]\nimage = \"im1.png\"\nzenith_azimuth_deg = [20, 100.5]\n\
        [[lights]]\nimage = \"im2.png\"\ndirection = [0, -0.3, 1]\nintensity = 2\n";
    survive_in_folder(CAPTURE_FILE, distant, &[]);
    let near = "subject_distance_mm = 900.0\n[camera]\nfocal_px = 20.0\n\
        [[lights]]\nimage = \"im0.png\"\nposition_mm = [200, 100, -300]\n\
        [[lights]]\nimage = \"im1.png\"\nposition_mm = [-200, 100, -300]\n\
        [[lights]]\nimage = \"im2.png\"\nposition_mm = [0, -200, 0]\n";
    survive_in_folder(CAPTURE_FILE, near, &[]);
}

#[test]
fn init_survives_damaged_light_files() {
    for (file, seed) in [("light_directions.txt", DIRECTIONS), ("x.lp", "4\nim0.png 0 0 1\n")] {
        let root = tempfile::tempdir().unwrap();
        for i in 0..4 {
            grey(40).save(root.path().join(format!("im{i}.png"))).unwrap();
        }
        survive(file, seed.as_bytes(), 1000, |bytes| {
            replace(&root.path().join(file), bytes);
            let _ = init_capture(root.path(), InitOptions { force: true });
        });
    }
}

fn survive_image(name: &str, write: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path);
    let seed = fs::read(&path).unwrap();
    let (mut read, mut refused) = (0, 0);
    survive(name, &seed, 2500, |bytes| {
        replace(&path, bytes);
        match read_photo(&path, Transfer::ByFormat) {
            Ok(photo) => {
                assert_eq!(photo.grey.len(), photo.size.area());
                read += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains(name), "{error}");
                refused += 1;
            }
        }
        let _ = (read_mask(&path), image_size(&path));
    });
    assert!(read > 0 && refused > 100, "{name}: {read} read, {refused} refused");
}

#[test]
fn damaged_images() {
    let rgb = image::RgbImage::from_fn(7, 5, |c, r| image::Rgb([c as u8 * 9, r as u8 * 9, 77]));
    let sixteen = image::ImageBuffer::from_fn(7, 5, |c, r| image::Luma([(c * 900 + r) as u16]));
    for name in ["a.png", "a.bmp", "a.tga", "a.ppm", "a.tiff", "a.jpg"] {
        survive_image(name, |path| rgb.save(path).unwrap());
    }
    for name in ["b.png", "b.pgm", "b.tiff"] {
        survive_image(name, |path| sixteen.save(path).unwrap());
    }
}

#[test]
fn damaged_float_images() {
    let float = image::Rgb32FImage::from_fn(7, 5, |c, r| image::Rgb([c as f32, r as f32, 0.5]));
    survive_image("c.tiff", |path| float.save(path).unwrap());
    survive_image("c.exr", |path| float.save(path).unwrap());
    let plane = Plane::from_fn(Size::new(5, 7), |r, c| (r * c) as f32);
    survive_image("y.exr", |path| write_plane(path, &plane, Default::default()).unwrap());
}
