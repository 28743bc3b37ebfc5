//! Pictures of rendered people for finding faces: the same bytes whenever they are made.

use super::{lumiface, stderr};
use lumiface::face::{Detection, FaceBox, FaceFinder, PixelPoint, Turn};
use lumiface::io::{Picture, read_picture, sha256_hex};
use lumiface::maps::Size;
use serde_json::{Value, json};
use std::path::Path;

/// Twenty pictures, 24 to 3000 pixels wide: one face or many, none, lit from several sides, dark, burnt
/// out, grainy, coloured, turned, cut off.
pub fn twenty_pictures(morphable: &Path) -> Vec<(&'static str, Picture)> {
    let folder = tempfile::tempdir().unwrap();
    let render = |preset: &str, size: &str, people: usize, seed: u64| {
        render(folder.path(), morphable, preset, size, people, seed)
    };
    let people = render("photoface_twin", "360x480", 8, 7);
    let ideal = render("ideal", "360x480", 3, 11);
    let stress = render("stress", "360x480", 4, 7);
    let large = render("photoface_twin", "1200x1600", 1, 12);

    let grey = |height, width, value| Picture::filled(Size::new(height, width), [value; 3]);
    vec![
        ("one_face", people[9].clone()),
        ("lit_from_the_left", people[6].clone()),
        ("ideal", ideal[1].clone()),
        ("stress", stress[1].clone()),
        ("stress_beside_ideal", row(&[&stress[3], &ideal[6]])),
        ("small", people[5].resized(Size::new(133, 100))),
        ("two_faces", row(&[&people[9], &people[13]])),
        ("nine_faces", {
            let rows: Vec<Picture> = (0..3)
                .map(|r| {
                    let three: Vec<_> = (0..3).map(|c| &people[3 * (3 * r + c) + c]).collect();
                    row(&three)
                })
                .collect();
            let mut all = grey(1440, 1080, 0);
            rows.iter().enumerate().for_each(|(r, row)| all.paste(row, 480 * r, 0));
            all
        }),
        ("crowd", {
            let mut all = Picture::from_fn(Size::new(720, 1280), |at| {
                let (row, column) = (at / 1280, at % 1280);
                [(row / 6) as u8, (column / 10) as u8, ((row + column) / 16) as u8]
            });
            for (i, person) in people.iter().enumerate().take(24) {
                let height = 90 + 23 * (i * 7 % 9);
                let face = person.resized(Size::new(height, height * 3 / 4));
                all.paste(&face, 20 + i / 8 * 235, 5 + i % 8 * 158);
            }
            all
        }),
        ("large", large[2].clone()),
        ("huge", {
            let mut all = grey(2250, 3000, 70);
            all.paste(&large[1], 300, 100);
            for i in 0..20 {
                let height = 60 << (i % 4);
                let face = ideal[i % 12].resized(Size::new(height, height * 3 / 4));
                all.paste(&face, 40 + i / 4 * 420, 1400 + i % 4 * 390);
            }
            all
        }),
        ("dark", mapped(&people[13], |value| value * 0.2)),
        ("burnt_out", mapped(&people[18], |value| value * 4.0)),
        ("coloured", {
            let tint = [1.0, 0.75, 0.55];
            let from = &ideal[9];
            Picture::from_fn(from.size, |at| {
                let pixel = from.get(at / from.size.width, at % from.size.width);
                std::array::from_fn(|c| (f32::from(pixel[c]) * tint[c]) as u8)
            })
        }),
        ("grainy", {
            let mut noise = Noise(3);
            mapped(&people[21], |value| value + (noise.next() - 0.5) * 60.0)
        }),
        ("turned_by_15", rotated(&people[9], 15.0)),
        ("turned_by_30", rotated(&people[13], 30.0)),
        ("cut_off", {
            let mut half = grey(300, 200, 40);
            let face = people[10].resized(Size::new(320, 240));
            (0..300).for_each(|r| (0..200).for_each(|c| half.set(r, c, face.get(r, c + 40))));
            half
        }),
        ("noise", {
            let mut noise = Noise(5);
            Picture::from_fn(Size::new(480, 640), |_| {
                [(); 3].map(|()| (noise.next() * 255.0) as u8)
            })
        }),
        ("tiny", people[0].resized(Size::new(32, 24))),
    ]
}

/// The frames of so many people of the studio, one session each.
pub fn render(
    folder: &Path,
    morphable: &Path,
    preset: &str,
    size: &str,
    people: usize,
    seed: u64,
) -> Vec<Picture> {
    let out = folder.join(format!("{preset}-{size}-{seed}"));
    let numbers = [people.to_string(), seed.to_string()];
    let output = lumiface(&[
        "synth",
        "--no-truth",
        "--preset",
        preset,
        "--faces",
        morphable.to_str().unwrap(),
        "--people",
        &numbers[0],
        "--sessions",
        "1",
        "--seed",
        &numbers[1],
        "--size",
        size,
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    frames(&out)
}

/// Every frame of a set, in order of person, session and name.
fn frames(folder: &Path) -> Vec<Picture> {
    let sorted = |folder: &Path| {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let people = sorted(folder).into_iter().filter(|path| path.is_dir());
    people
        .flat_map(|person| sorted(&person))
        .flat_map(|session| sorted(&session))
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .map(|path| read_picture(&path).unwrap())
        .collect()
}

/// Pictures of one height side by side.
fn row(pictures: &[&Picture]) -> Picture {
    let width = pictures.iter().map(|picture| picture.size.width).sum();
    let mut all = Picture::filled(Size::new(pictures[0].size.height, width), [0; 3]);
    let mut column = 0;
    for picture in pictures {
        all.paste(picture, 0, column);
        column += picture.size.width;
    }
    all
}

fn mapped(picture: &Picture, mut value: impl FnMut(f32) -> f32) -> Picture {
    let data = picture.data.iter().map(|&v| value(f32::from(v)).clamp(0.0, 255.0) as u8).collect();
    Picture { size: picture.size, data }
}

/// Turned about its centre by so many degrees, clockwise; the nearest pixels.
fn rotated(picture: &Picture, degrees: f64) -> Picture {
    let Size { height, width } = picture.size;
    let (sin, cos) = degrees.to_radians().sin_cos();
    Picture::from_fn(picture.size, |at| {
        let x = (at % width) as f64 - width as f64 / 2.0;
        let y = (at / width) as f64 - height as f64 / 2.0;
        let column = (x * cos + y * sin + width as f64 / 2.0).round();
        let row = (y * cos - x * sin + height as f64 / 2.0).round();
        let inside = (0.0..width as f64).contains(&column) && (0.0..height as f64).contains(&row);
        if inside { picture.get(row as usize, column as usize) } else { [0; 3] }
    })
}

/// Numbers from 0 to 1 (Marsaglia's xorshift).
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Asserts that the one face of an upright picture is found where it is in the picture turned by quarters,
/// and the turn told; gives the turned pictures.
pub fn found_however_turned(finder: &dyn FaceFinder, upright: &Picture) -> [Picture; 3] {
    let (turn, expected) = finder.faces_turned(upright, 20);
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
    cases.map(|(needed, picture, place)| {
        let (turn, found) = finder.faces_turned(&picture, 20);
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
        picture
    })
}

/// Pictures as files NAME.png.
pub fn write_pictures(pictures: &[(&str, Picture)], folder: &Path) {
    for (name, picture) in pictures {
        picture.write(&folder.join(format!("{name}.png"))).unwrap();
    }
}

/// What a peer said of each picture's file, with the picture's checksum.
pub fn golden_rows(pictures: &[(&str, Picture)], said: &Value) -> Value {
    let row = |(name, picture): &(&str, Picture)| {
        let faces = &said[format!("{name}.png")];
        json!({"name": name, "sha256": sha256_hex(&picture.data), "faces": faces})
    };
    pictures.iter().map(row).collect()
}

/// The picture's name, and whether it is not the one that the peer saw. Another processor may round a
/// pixel otherwise; that moves no box by much.
pub fn named_as_seen(name: &str, picture: &Picture, golden: &Value) -> String {
    assert_eq!(golden["name"], name);
    match golden["sha256"] == sha256_hex(&picture.data) {
        true => name.to_string(),
        false => {
            format!("{name}, another picture than the peer saw (LUMIFACE_BLESS=1 asks it anew)")
        }
    }
}

/// A peer's face: its box as `counted` says it of ours, its landmarks as ours are.
pub struct PeerFace {
    pub bounds: FaceBox,
    pub score: f64,
    pub points: Vec<PixelPoint>,
}

/// Asserts that the same faces were found, and the largest comes first.
pub fn assert_as_peer(
    name: &str,
    ours: &[Detection],
    theirs: &[PeerFace],
    counted: impl Fn(FaceBox) -> FaceBox,
) {
    assert_eq!(ours.len(), theirs.len(), "{name}: {ours:?}");
    for theirs in theirs {
        let (overlap, face) = ours
            .iter()
            .map(|face| (counted(face.bounds).iou(&theirs.bounds), face))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap();
        assert!(overlap >= 0.98, "{name}: {overlap} of {:?}", theirs.bounds);
        assert!(
            (face.score - theirs.score).abs() < 1e-4,
            "{name}: {} {}",
            face.score,
            theirs.score
        );
        assert_eq!(theirs.points.len(), 5, "{name}");
        for (point, theirs) in face.landmarks.points().iter().zip(&theirs.points) {
            let off = point.distance_to(*theirs);
            assert!(off <= 0.5, "{name}: {point:?}, the peer {theirs:?}");
        }
    }
    let areas: Vec<f64> = ours.iter().map(|face| face.bounds.area()).collect();
    assert!(areas.is_sorted_by(|a, b| a >= b), "{name}: the largest first");
}
