//! How well faces are found: against the studio's truth, and counts where there is none.
//!
//!     lumiface synth --out SET --people 60 --sessions 4 --size 384x512 --faces FACES.safetensors
//!     cargo bench --bench faces -- SET [SET …]
//!     cargo bench --bench faces -- yunet SET …
//!     cargo bench --bench faces -- [yunet] PICTURE.png …
//!
//! Of a picture it tells how long a search takes, as `tests/peers/mtcnn_facenet.py time` does of
//! facenet-pytorch and `tests/peers/yunet_opencv.py time` of OpenCV, and the most memory that was held.
//! MTCNN's burn modules look at it on the CPU and on a GPU too (see `LUMIFACE_GPU`).
//!
//! A set is any folder of captures; sets named in one call are taken as one. Weights come from the
//! cache, as `lumiface preprocess` takes them. What is looked at are registered frames less their
//! offset, as there.
//!
//! - The unit of errors is D, the distance between the eyes as a frontal view of the head would show it:
//!   the true one of the picture, divided by what is left of the axis through the eyes when the
//!   head's pose turns it (perspective within the face is left out). A profile's short distance would make
//!   small errors large.
//! - The error of a face is the mean of its five landmarks', hidden ones too. Found means that the
//!   middle of the five true landmarks lies in the box.
//! - Detector and truth do not mean the same points: an eye is the mean of its lids in iBUG's scheme.
//!   So errors are given raw, and less the mean offset of each landmark, of the mean of the frames at
//!   |yaw| ≤ 10°, in the frame in which the true eyes lie level and D is 1.

use burn::tensor::Device;
use lumiface::capture::{Capture, CaptureSource, Layout, LayoutOptions, find_captures};
use lumiface::face::{
    Align, AlignOptions, Detection, DetectionView, Detector, DetectorKind, DetectorOptions,
    FaceBox, FaceFinder, PixelPoint, Similarity, albedo_picture, find_subject, template,
    weights_folder,
};
use lumiface::io::{Picture, read_text, read_upright};
use lumiface::maps::{Albedo, ImageStack, Pixels, Size};
use lumiface::reconstruct::{Compute, Reconstruction, reconstruct};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

#[path = "support/mod.rs"]
mod support;
use support::truth::Truth;
use support::{Timing, open_gpu};

/// Upper ends of the classes of |yaw|, degrees.
const YAW_DEG: [f64; 4] = [10.0, 25.0, 45.0, f64::INFINITY];
/// Upper ends of the classes of a lamp's angle to the line of sight, degrees.
const LAMP_DEG: [f64; 3] = [30.0, 60.0, f64::INFINITY];
/// The views that `preprocess` looks at in turn, then single frames by their lamp.
const VIEWS: [&str; 6] = [
    "mean of the frames",
    "brightest of the frames",
    "albedo",
    "one frame, lamp at < 30°",
    "one frame, lamp at 30–60°",
    "one frame, lamp at > 60°",
];
const IN_TURN: usize = 3;
/// A face up to here must be found.
const MUST_BE_FOUND_DEG: f64 = 45.0;
const SIDES: [usize; 2] = [112, 256];

struct Look {
    /// Of [`VIEWS`].
    view: usize,
    found: Option<Detection>,
}

struct Seen {
    name: String,
    /// Unlike those of the other sets.
    person: String,
    size: Size,
    truth: Option<Truth>,
    looks: Vec<Look>,
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut roots: Vec<String> =
        std::env::args().skip(1).filter(|text| !text.starts_with("--")).collect();
    let named = roots.first().and_then(|first| first.parse().ok());
    if named.is_some() {
        roots.remove(0);
    }
    if roots.is_empty() {
        println!("name folders of captures: cargo bench --bench faces -- SET");
        return;
    }
    let kind: DetectorKind = named.unwrap_or_default();
    let weights = weights_folder().expect("a cache");
    let load = || kind.load(&weights, &Device::flex()).expect("weights: lumiface weights");
    let (pictures, roots): (Vec<String>, Vec<String>) =
        roots.into_iter().partition(|name| Path::new(name).is_file());
    if !pictures.is_empty() {
        let time_all = |by: &str, detector: &dyn FaceFinder| {
            pictures.iter().for_each(|picture| time(by, detector, Path::new(picture)));
        };
        time_all(kind.name(), load().as_ref());
        if kind == DetectorKind::Mtcnn {
            let modules =
                |device: &Device| Detector::load_modules(&weights, device).expect("weights");
            time_all("burn modules", &modules(&Device::flex()));
            // A software rasteriser takes minutes.
            if let Some(gpu) = open_gpu().filter(|gpu| !gpu.summary.software) {
                let device = gpu.burn_device().expect("burn takes the device");
                time_all("burn modules on it", &modules(&device));
            }
        }
    }
    if roots.is_empty() {
        return;
    }
    let detector = load();
    let detector = detector.as_ref();
    let mut sources = Vec::new();
    for root in &roots {
        let inventory = find_captures(Layout::Auto, Path::new(root), &LayoutOptions::default());
        let captures = inventory.expect("a folder of captures").captures;
        sources.extend(captures.into_iter().map(|capture| (root, capture)));
    }
    let seen: Vec<Seen> =
        sources.par_iter().filter_map(|(root, source)| look_at(detector, root, source)).collect();
    let left_out = sources.len() - seen.len();
    println!("{} captures of {}; left out: {left_out}\n", seen.len(), roots.join(", "));
    let (synthetic, real): (Vec<Seen>, Vec<Seen>) =
        seen.into_iter().partition(|seen| seen.truth.is_some());
    if !real.is_empty() {
        counts(&real);
    }
    if !synthetic.is_empty() {
        errors(&synthetic);
        missed(&synthetic);
        repeatability(&synthetic);
    }
}

fn time(by: &str, detector: &dyn FaceFinder, path: &Path) {
    let picture = read_upright(path).expect("a picture");
    let look = || detector.faces(&picture, DetectorOptions::default().smallest_face);
    let faces = look().len();
    let timing = Timing::of(|| drop(std::hint::black_box(look())));
    let status = read_text(Path::new("/proc/self/status")).unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: not told");
    println!(
        "{by}, {}: {}, {faces} faces, {:.1} ms ± {:.1} %, {peak}",
        path.display(),
        picture.size,
        1e3 * timing.median(),
        timing.spread_percent()
    );
}

/// `None` where there is no face to find (an attack), or the capture cannot be solved.
fn look_at(detector: &dyn FaceFinder, root: &str, source: &CaptureSource) -> Option<Seen> {
    let truth = match source.folder.join("truth").is_dir() {
        true => Some(Truth::of_session(&source.folder)?),
        false => None,
    };
    let capture = source.load().ok()?;
    let maps = reconstruct(&capture, &Default::default(), &Compute::Cpu).ok()?;
    let images = &maps.images;
    let mut looks = vec![
        (0, DetectionView::Mean.picture(&[images])),
        (1, DetectionView::Brightest.picture(&[images])),
        (2, albedo_of(&maps)),
    ];
    looks.extend((0..images.count).map(|frame| {
        let one = one_of(images, frame);
        (IN_TURN + lamp_class(&capture, frame), DetectionView::Mean.picture(&[&one]))
    }));
    let look = |(view, picture): (usize, Option<Picture>)| Look {
        view,
        found: picture.and_then(|picture| Some(find_subject(detector, &picture)?.face)),
    };
    Some(Seen {
        name: format!("{root}/{}", source.name()),
        person: format!("{root}/{}", source.id),
        size: images.size,
        truth,
        looks: looks.into_iter().map(look).collect(),
    })
}

fn albedo_of(maps: &Reconstruction) -> Option<Picture> {
    albedo_picture(&match &maps.albedo_rgb {
        Some(rgb) => Albedo::Rgb(rgb.clone()),
        None => Albedo::Grey(maps.albedo.clone()),
    })
}

fn one_of(images: &ImageStack, frame: usize) -> ImageStack {
    let area = images.size.area();
    let unit = images.pixels.full_scale();
    let values = (frame * area..(frame + 1) * area).map(|p| images.pixels.get(p) / unit);
    ImageStack::new(images.size, 1, Pixels::F32(values.collect()))
}

fn lamp_class(capture: &Capture, frame: usize) -> usize {
    let z = f64::from(capture.lights.directions[frame].z);
    class_of(&LAMP_DEG, z.clamp(-1.0, 1.0).acos().to_degrees())
}

fn class_of(ends: &[f64], value: f64) -> usize {
    ends.iter().position(|end| value <= *end).unwrap_or(ends.len() - 1)
}

impl Truth {
    /// Whether a box is about this face.
    fn is_in(&self, face: &Detection) -> bool {
        let middle = PixelPoint::mean(&self.landmarks.points());
        let FaceBox { left, top, right, bottom } = face.bounds;
        (left..=right).contains(&middle.column) && (top..=bottom).contains(&middle.row)
    }

    /// Of each landmark, found less true, where the true eyes lie level and D is 1.
    fn offsets(&self, face: &Detection) -> [[f64; 2]; 5] {
        let eyes = &self.landmarks;
        let (dx, dy) =
            (eyes.right_eye.column - eyes.left_eye.column, eyes.right_eye.row - eyes.left_eye.row);
        let length = dx.hypot(dy) * self.eyes_px();
        let (found, truth) = (face.landmarks.points(), self.landmarks.points());
        std::array::from_fn(|k| {
            let (x, y) = (found[k].column - truth[k].column, found[k].row - truth[k].row);
            [(x * dx + y * dy) / length, (y * dx - x * dy) / length]
        })
    }
}

fn percent(part: usize, all: usize) -> String {
    format!("{part}/{all} ({:.1} %)", 100.0 * part as f64 / all.max(1) as f64)
}

/// Of captures without truth: how many show a face.
fn counts(real: &[Seen]) {
    println!("| looked at | shows a face |\n|---|---|");
    for (view, name) in VIEWS.iter().enumerate() {
        let looks = || real.iter().flat_map(|seen| &seen.looks).filter(|look| look.view == view);
        if looks().count() > 0 {
            let found = looks().filter(|look| look.found.is_some()).count();
            println!("| {name} | {} |", percent(found, looks().count()));
        }
    }
    let none: Vec<&str> = real
        .iter()
        .filter(|seen| seen.looks[..IN_TURN].iter().all(|look| look.found.is_none()))
        .map(|seen| seen.name.as_str())
        .collect();
    println!("| the first three in turn | {} |\n", percent(real.len() - none.len(), real.len()));
    if !none.is_empty() {
        println!("No face in {}\n", none.join(", "));
    }
}

fn mean_offsets(synthetic: &[Seen]) -> [[f64; 2]; 5] {
    let all: Vec<[[f64; 2]; 5]> = synthetic
        .iter()
        .filter_map(|seen| {
            let truth = seen.truth.as_ref().filter(|truth| truth.yaw_deg().abs() <= YAW_DEG[0])?;
            let face = seen.looks[0].found.as_ref().filter(|face| truth.is_in(face))?;
            Some(truth.offsets(face))
        })
        .collect();
    std::array::from_fn(|k| [0, 1].map(|axis| mean(all.iter().map(|offsets| offsets[k][axis]))))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (share * values.len() as f64).ceil() as usize;
    values.get(at.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Errors of the landmarks by yaw and view.
fn errors(synthetic: &[Seen]) {
    let shifts = mean_offsets(synthetic);
    println!("Mean offset of the landmarks from iBUG's, % of D, to the right and down:\n");
    println!("| left eye | right eye | nose | left mouth | right mouth |\n|---|---|---|---|---|");
    let cells = shifts.map(|[x, y]| format!("{:+.1}, {:+.1}", 100.0 * x, 100.0 * y));
    println!("| {} |\n", cells.join(" | "));
    println!(
        "| yaw | looked at | found | mean error, % of D | 90th percentile | less the offset | \
         90th percentile |\n|---|---|---|---|---|---|---|"
    );
    let names = ["0–10°", "10–25°", "25–45°", "> 45°"];
    for (class, yaw) in names.iter().enumerate() {
        for (view, name) in VIEWS.iter().enumerate() {
            let (mut tried, mut raw, mut less) = (0, Vec::new(), Vec::new());
            for seen in synthetic {
                let Some(truth) = &seen.truth else { continue };
                if class_of(&YAW_DEG, truth.yaw_deg().abs()) != class {
                    continue;
                }
                for look in seen.looks.iter().filter(|look| look.view == view) {
                    tried += 1;
                    let Some(face) = look.found.as_ref().filter(|face| truth.is_in(face)) else {
                        continue;
                    };
                    let offsets = truth.offsets(face);
                    let error = |shift: &[[f64; 2]; 5]| {
                        let each = offsets.iter().zip(shift);
                        100.0 * mean(each.map(|(o, s)| (o[0] - s[0]).hypot(o[1] - s[1])))
                    };
                    raw.push(error(&[[0.0; 2]; 5]));
                    less.push(error(&shifts));
                }
            }
            if tried == 0 {
                continue;
            }
            let found = percent(raw.len(), tried);
            let both = |values: Vec<f64>| {
                let mean = mean(values.iter().copied());
                format!("{mean:.1} | {:.1}", percentile(values, 0.9))
            };
            println!("| {yaw} | {name} | {found} | {} | {} |", both(raw), both(less));
        }
    }
    println!();
}

/// Which sessions `preprocess` finds no face in, or a wrong one.
fn missed(synthetic: &[Seen]) {
    let mut seen_in = [0; IN_TURN];
    let (mut all, mut none, mut wrong) = (0, Vec::new(), Vec::new());
    for seen in synthetic {
        let Some(truth) = seen.truth.as_ref() else { continue };
        if truth.yaw_deg().abs() > MUST_BE_FOUND_DEG {
            continue;
        }
        all += 1;
        let name = format!("{} (yaw {:.0}°)", seen.name, truth.yaw_deg());
        match first(seen) {
            None => none.push(name),
            Some(look) if !look.found.as_ref().is_some_and(|face| truth.is_in(face)) => {
                wrong.push(name)
            }
            Some(look) => seen_in[look.view] += 1,
        }
    }
    println!("Sessions with |yaw| ≤ {MUST_BE_FOUND_DEG}° as `preprocess` looks at them: {all}\n");
    println!("| | sessions |\n|---|---|");
    for (name, count) in VIEWS.iter().zip(seen_in) {
        println!("| found in the {} | {count} |", name);
    }
    println!("| no face | {} {} |", none.len(), none.join(", "));
    println!("| another place taken for the face | {} {} |\n", wrong.len(), wrong.join(", "));
}

/// The first view in turn that shows a face.
fn first(seen: &Seen) -> Option<&Look> {
    seen.looks[..IN_TURN].iter().find(|look| look.found.is_some())
}

/// How much the true landmarks of one person move in the aligned frame from session to session.
fn repeatability(synthetic: &[Seen]) {
    println!(
        "Standard deviation of a person's true landmarks in the aligned frame over sessions (root mean \
         square over people and landmarks, both axes together; D as aligned):\n"
    );
    println!(
        "| aligned by | yaw | people, sessions | 112 px | 256 px | % of D |\n|---|---|---|---|---|---|"
    );
    let aligned = |seen: &Seen, align: Align, side: usize| {
        let face = first(seen)?.found.as_ref()?;
        let options = AlignOptions { align, side, margin: 0.0 };
        Some(options.alignment(seen.size, Some(face)).ok()?.warp.similarity)
    };
    let whole = |seen: &Seen, side: usize| {
        let scale = side as f64 / seen.size.height.max(seen.size.width) as f64;
        let middle = PixelPoint::centre_of(Size::new(side, side));
        Some(Similarity::about(PixelPoint::centre_of(seen.size), scale, 0.0, middle))
    };
    let by_truth = |seen: &Seen, side: usize| {
        let truth = seen.truth.as_ref()?;
        Some(Similarity::fit(&truth.landmarks, &template(side, 0.0)).ok()?.similarity)
    };
    type Way<'a> = &'a dyn Fn(&Seen, usize) -> Option<Similarity>;
    let ways: [(&str, Way); 4] = [
        ("nothing (the picture scaled)", &whole),
        ("crop", &|seen, side| aligned(seen, Align::Crop, side)),
        ("similarity", &|seen, side| aligned(seen, Align::Similarity, side)),
        ("similarity by the true landmarks: what pose and expression leave", &by_truth),
    ];
    for most_deg in [YAW_DEG[0], YAW_DEG[2]] {
        for (name, way) in ways {
            let spreads = SIDES.map(|side| spread(synthetic, most_deg, side, way));
            let [(px, people, sessions, eyes), (large, ..)] = spreads;
            println!(
                "| {name} | ≤ {most_deg}° | {people}, {sessions} | {px:.2} | {large:.2} | {:.1} |",
                100.0 * px / eyes
            );
        }
    }
    println!();
}

/// The standard deviation, how many people and sessions it is of, and the mean D there.
fn spread(
    synthetic: &[Seen],
    most_deg: f64,
    side: usize,
    way: &dyn Fn(&Seen, usize) -> Option<Similarity>,
) -> (f64, usize, usize, f64) {
    let mut people: BTreeMap<&str, Vec<[PixelPoint; 5]>> = BTreeMap::new();
    let mut eyes = Vec::new();
    for seen in synthetic {
        let Some(truth) = seen.truth.as_ref().filter(|t| t.yaw_deg().abs() <= most_deg) else {
            continue;
        };
        // The same sessions for each way: those in which the face was found.
        if !first(seen).and_then(|look| look.found.as_ref()).is_some_and(|face| truth.is_in(face)) {
            continue;
        }
        let Some(similarity) = way(seen, side) else { continue };
        let moved = truth.landmarks.map(|point| similarity.apply(point)).points();
        people.entry(&seen.person).or_default().push(moved);
        eyes.push(similarity.scale() * truth.eyes_px());
    }
    people.retain(|_, sessions| sessions.len() > 1);
    let variances = people.values().flat_map(|sessions| {
        (0..5).map(|k| {
            let points: Vec<PixelPoint> = sessions.iter().map(|session| session[k]).collect();
            let middle = PixelPoint::mean(&points);
            let squares = points.iter().map(|point| point.distance_to(middle).powi(2));
            squares.sum::<f64>() / (points.len() - 1) as f64
        })
    });
    let spread = mean(variances).sqrt();
    (spread, people.len(), people.values().map(Vec::len).sum(), mean(eyes.into_iter()))
}
