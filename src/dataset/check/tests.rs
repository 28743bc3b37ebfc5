use super::*;
use crate::capture::Labels;
use crate::dataset::{Manifest, ManifestRow, Split, files};
use crate::io::{MapCompression, write_mask, write_normals, write_plane};
use crate::maps::{NormalMap, Plane, Size};
use std::path::Path;

fn labels(gender: &str) -> Labels {
    Labels::from([("gender".to_string(), gender.to_string())])
}

fn entry(part: Part, id: &str, session: &str) -> Entry {
    Entry { part: Some(part), id: id.into(), session: session.into(), ..Entry::default() }
}

/// Three parts of eight people with four captures each, half of them women.
fn clean() -> Vec<Entry> {
    let parts = [(Part::Train, 't'), (Part::Test, 'q'), (Part::Gallery, 'g')];
    parts
        .into_iter()
        .flat_map(|(part, letter)| {
            (0..8).map(move |person| (part, format!("{letter}{person}"), person))
        })
        .flat_map(|(part, id, person)| {
            (0..4).map(move |session| Entry {
                labels: labels(if person % 2 == 0 { "female" } else { "male" }),
                ..entry(part, &id, &format!("s{session}"))
            })
        })
        .collect()
}

fn findings(entries: &[Entry]) -> Vec<Finding> {
    check(entries, &CheckOptions::default(), &|| {})
}

/// The one finding of a flawed list.
fn only(entries: &[Entry]) -> Finding {
    let mut all = findings(entries);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn a_clean_set_gives_no_finding() {
    assert_eq!(findings(&clean()), []);
    // What is left out is not looked at.
    let mut entries = clean();
    entries.push(entry(Part::Unused, "t0", "s9"));
    assert_eq!(findings(&entries), []);
}

#[test]
fn leaked_people_are_found_by_pair_of_parts() {
    let mut entries = clean();
    for (id, session) in [("q0", "s8"), ("q0", "s9"), ("q1", "s8"), ("q1", "s9")] {
        let labels = labels(if id == "q0" { "female" } else { "male" });
        entries.push(Entry { labels, ..entry(Part::Train, id, session) });
    }
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::LeakedPeople, Severity::Error));
    assert_eq!(finding.count, 2);
    assert!(
        finding.message.starts_with("2 people are in train and in test: `q0` (2 and 4 captures)")
    );
}

#[test]
fn repeated_sessions_and_enrolled_probes_are_found() {
    let mut entries = clean();
    entries.push(entries[0].clone());
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::RepeatedSession, Severity::Error));
    assert!(finding.message.contains("t0/s0 (train)"), "{}", finding.message);

    let mut entries = clean();
    entries[40].role = Some(Role::Enrolled);
    entries.push(Entry { role: Some(Role::Probe), ..entries[40].clone() });
    assert_eq!(only(&entries).kind, Kind::EnrolledProbe);
    // Enrolled or a probe, but not both: nothing wrong.
    entries.pop();
    assert_eq!(findings(&entries), []);
}

#[test]
fn one_person_with_most_of_a_part_is_found_with_both_shares() {
    let mut entries = clean();
    for session in 0..20 {
        entries.push(Entry {
            labels: labels("male"),
            ..entry(Part::Test, "q1", &format!("x{session}"))
        });
    }
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::DominantPerson, Severity::Warning));
    // 4 + 20 of 32 + 20 captures; 24 · 23 / 2 of that and 7 · 6 pairs.
    for words in ["`q1`", "24 of 52 captures (46.2 %)", "276 of 318 genuine pairs (86.8 %)"] {
        assert!(finding.message.contains(words), "{}", finding.message);
    }
}

#[test]
fn single_sessions_lone_people_and_parts_without_genuine_pairs_are_found() {
    let mut entries = clean();
    entries.push(Entry { labels: labels("male"), ..entry(Part::Gallery, "g8", "s0") });
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::SingleSession, Severity::Warning));
    assert!(
        finding.message.starts_with("1 of 9 people in gallery have a single session"),
        "{}",
        finding.message
    );

    let options = CheckOptions { tasks: vec![], ..CheckOptions::default() };
    let of = |entries: &[Entry]| -> Vec<Kind> {
        check(entries, &options, &|| {}).iter().map(|finding| finding.kind).collect()
    };
    let lone = [entry(Part::Test, "a", "1"), entry(Part::Test, "a", "2")];
    assert_eq!(of(&lone), [Kind::OnePerson]);
    let unmated = [entry(Part::Test, "a", "1"), entry(Part::Test, "b", "1")];
    assert_eq!(of(&unmated), [Kind::NoGenuinePair]);
    assert_eq!(of(&[]), []);
}

#[test]
fn missing_and_rare_classes_are_found() {
    let mut entries = clean();
    for entry in entries.iter_mut().filter(|entry| entry.part == Some(Part::Test)) {
        entry.labels = labels("male");
    }
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::MissingClass, Severity::Warning));
    assert!(finding.message.contains("test has no capture of 1 class of `gender`: `female`"));
    // A class that is not trained.
    for entry in entries.iter_mut().filter(|entry| entry.part == Some(Part::Train)) {
        entry.labels = labels("male");
    }
    let all = findings(&entries);
    assert_eq!((all[0].kind, all[0].severity), (Kind::MissingClass, Severity::Warning));

    let mut entries = clean();
    for (at, entry) in entries.iter_mut().enumerate() {
        let glasses = if at % 32 < 9 { "yes" } else { "no" };
        entry.labels.insert("spectacles".into(), glasses.into());
    }
    let all = findings(&entries);
    assert!(all.iter().all(|finding| finding.kind == Kind::RareClass), "{all:#?}");
    assert_eq!(all.len(), 3);
    assert!(all[0].message.contains("`yes` (9)"), "{}", all[0].message);
    // As a task merges them.
    let classes =
        BTreeMap::from([("spectacles".to_string(), vec!["yes".to_string(), "*".to_string()])]);
    let few = CheckOptions { classes, min_captures_per_class: 9, ..CheckOptions::default() };
    assert_eq!(check(&entries, &few, &|| {}), []);

    let mut entries = clean();
    entries.iter_mut().for_each(|entry| entry.labels = labels("male"));
    assert!(only(&entries).message.contains("has one class, `male`"));
}

#[test]
fn people_of_two_genders_are_found() {
    let mut entries = clean();
    entries[5].labels = labels("female");
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::LabelConflict, Severity::Error));
    assert!(finding.message.contains("`t1` (1 × female, 3 × male)"), "{}", finding.message);
}

/// A picture that follows from a number: waves, unlike for unlike numbers.
fn picture(seed: u32) -> image::GrayImage {
    image::GrayImage::from_fn(120, 160, |x, y| {
        let (x, y) = (f64::from(x) / 120.0, f64::from(y) / 160.0);
        let wave = |k: u32| {
            let turn = f64::from(seed.wrapping_mul(2_654_435_761).rotate_left(k) % 1000) / 80.0;
            let (along, across) = (f64::from(k % 7) + 0.5, f64::from(k / 3) + 0.3);
            (turn + 6.3 * (along * x + across * y)).sin() * (turn * 1.7).cos()
        };
        let sum: f64 = (0..8).map(wave).sum();
        image::Luma([(128.0 + 22.0 * sum).clamp(0.0, 255.0) as u8])
    })
}

/// The clean set with two lit images each.
fn with_images(folder: &Path) -> Vec<Entry> {
    let mut entries = clean();
    for (at, entry) in entries.iter_mut().enumerate() {
        for image in 0..2 {
            let path = folder.join(format!("{}-{}-im{image}.png", entry.id, entry.session));
            picture(2 * at as u32 + image).save(&path).unwrap();
            entry.images.push(path);
        }
    }
    entries
}

#[test]
fn copied_files_are_found_and_told_apart_by_whom_they_show() {
    let folder = tempfile::tempdir().unwrap();
    let entries = with_images(folder.path());
    assert_eq!(findings(&entries), []);
    let copy = |from: &Entry, to: &Entry| std::fs::copy(&from.images[0], &to.images[1]).unwrap();

    // Two people.
    copy(&entries[0], &entries[4]);
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::IdenticalPictures, Severity::Error));
    assert!(
        finding.message.contains("t0/s0") && finding.message.contains("t1/s0"),
        "{}",
        finding.message
    );

    // Two sessions of one, which may share where that is known.
    let mut entries = with_images(folder.path());
    copy(&entries[0], &entries[1]);
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::IdenticalPictures, Severity::Warning));
    entries[1].training_only = true;
    assert_eq!(findings(&entries), []);
    // One file for both is as much shared.
    let shared = entries[0].images[0].clone();
    entries[1].images[1] = shared;
    assert_eq!(findings(&entries), []);
    entries[1].training_only = false;
    assert_eq!(only(&entries).kind, Kind::IdenticalPictures);
}

#[test]
fn the_same_picture_in_other_bytes_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let entries = with_images(folder.path());
    let original = image::open(&entries[0].images[0]).unwrap();
    let other = &entries[40].images[1];
    let bright = image::GrayImage::from_fn(120, 160, |x, y| {
        let value = f64::from(original.to_luma8().get_pixel(x, y)[0]);
        image::Luma([(0.8 * value) as u8])
    });
    bright.save(other).unwrap();
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::SimilarPictures, Severity::Error));
    assert!(
        finding.message.contains("q2/s0") && finding.message.contains("(train)"),
        "{}",
        finding.message
    );

    let half = original.resize_exact(60, 80, image::imageops::FilterType::Triangle);
    half.save(other).unwrap();
    assert_eq!(only(&entries).kind, Kind::SimilarPictures);
    let jpeg = other.with_extension("jpg");
    original.to_luma8().save(&jpeg).unwrap();
    let mut entries = entries;
    entries[40].images[1] = jpeg;
    assert_eq!(only(&entries).kind, Kind::SimilarPictures);

    // Two black pictures show nothing, and so nothing of the same.
    let mut entries = with_images(folder.path());
    for at in [0, 40] {
        image::GrayImage::from_pixel(120, 160, image::Luma([at as u8 / 10]))
            .save(&entries[at].images[0])
            .unwrap();
    }
    assert_eq!(findings(&entries), []);
    // A picture that is gone is said to be.
    entries[7].images[0] = folder.path().join("gone.png");
    let finding = only(&entries);
    assert_eq!((finding.kind, finding.severity), (Kind::UnreadableFile, Severity::Warning));
}

#[test]
fn the_hash_follows_the_picture_and_not_its_brightness() {
    let plane =
        |of: &dyn Fn(usize, usize) -> f32| picture_hash(&Plane::from_fn(Size::new(96, 64), of));
    let wave = |r: usize, c: usize| ((r * r / 7 + 3 * c) as f32 / 9.0).sin() * 0.3 + 0.5;
    let hash = plane(&wave).unwrap();
    assert_eq!(plane(&|r, c| 0.5 * wave(r, c)).unwrap().distance(hash), 0);
    assert!(plane(&|r, c| wave(r, 63 - c)).unwrap().distance(hash) > SIMILAR_BITS);
    // The negative turns every bit but that of the median.
    assert!(plane(&|r, c| 1.0 - wave(r, c)).unwrap().distance(hash) >= 254);
    assert_eq!(plane(&|_, _| 0.7), None);
    assert_eq!(plane(&|_, _| f32::NAN), None);
}

/// A folder of maps with a manifest.
fn maps(folder: &Path) -> Manifest {
    let size = Size::new(24, 20);
    let rows = clean().into_iter().enumerate().map(|(at, entry)| {
        let place = folder.join(&entry.id).join(&entry.session);
        // A picture of its own, one pixel of six.
        let shown = picture(1000 + at as u32);
        let value = |p: usize| shown.get_pixel(6 * (p % 20) as u32, 6 * (p / 20) as u32)[0];
        let x: Vec<f32> =
            (0..size.area()).map(|p| f32::from(value(p)) / 255.0 * 1.2 - 0.6).collect();
        let z: Vec<f32> = x.iter().map(|x| (1.0 - x * x).sqrt()).collect();
        let normals = NormalMap::new(size, [x.clone(), vec![0.0; size.area()], z].concat());
        write_normals(&place.join(files::NORMALS), &normals, MapCompression::None).unwrap();
        for file in [files::ALBEDO, files::DEPTH, files::RESIDUAL, files::CONFIDENCE] {
            let plane = Plane::new(size, x.clone());
            write_plane(&place.join(file), &plane, MapCompression::None).unwrap();
        }
        write_mask(&place.join(files::MASK), &Plane::new(size, vec![true; size.area()])).unwrap();
        picture(at as u32).save(place.join(files::PREVIEW)).unwrap();
        ManifestRow {
            id: entry.id.clone(),
            session: entry.session.clone(),
            labels: entry.labels,
            folder: Path::new(&entry.id).join(&entry.session),
            height: size.height,
            width: size.width,
            lights: 4,
            solver: "weighted".into(),
            condition_number: 2.0,
            training_only: false,
            face: None,
            images: vec![],
            warnings: vec![],
        }
    });
    Manifest { root: folder.to_path_buf(), rows: rows.collect() }
}

#[test]
fn a_manifest_with_its_split_is_read_and_damaged_maps_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = maps(folder.path());
    manifest.write().unwrap();
    let roots = [folder.path().to_path_buf()];
    let collection = crate::dataset::Collection::read(&roots).unwrap();
    let parts: BTreeMap<String, Part> =
        clean().into_iter().map(|e| (e.id, e.part.unwrap())).collect();
    let split = Split { parts, ..Split::default() };
    let entries = Entry::of_collection(&collection, Some(&split));
    let read = std::sync::atomic::AtomicUsize::new(0);
    let count = || {
        read.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    assert_eq!(check(&entries, &CheckOptions::default(), &count), []);
    // Seven maps of each, and the normals again as pictures.
    assert_eq!(read.into_inner(), 96 * 8);

    let path = |at: usize, file: &str| manifest.path(&manifest.rows[at], file);
    std::fs::write(path(3, files::DEPTH), "junk").unwrap();
    std::fs::remove_file(path(9, files::MASK)).unwrap();
    let small = Plane::new(Size::new(2, 2), vec![0.5; 4]);
    write_plane(&path(5, files::ALBEDO), &small, MapCompression::None).unwrap();
    let all = findings(&entries);
    let kinds: Vec<(Kind, usize)> = all.iter().map(|f| (f.kind, f.count)).collect();
    assert_eq!(kinds, [(Kind::UnreadableFile, 2), (Kind::WrongSize, 1)], "{all:#?}");
    assert!(all[1].message.contains("albedo.exr is 2×2, not 20×24"), "{}", all[1].message);

    // Without lit images it is the normals that are compared.
    let fresh = tempfile::tempdir().unwrap();
    let manifest = maps(fresh.path());
    let collection = crate::dataset::Collection { manifests: vec![manifest.clone()] };
    let path = |at: usize| manifest.path(&manifest.rows[at], files::NORMALS);
    std::fs::copy(path(0), path(40)).unwrap();
    let finding = only(&Entry::of_collection(&collection, Some(&split)));
    assert_eq!((finding.kind, finding.severity), (Kind::IdenticalPictures, Severity::Error));
}

#[test]
fn lists_are_read_from_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_entries(&path).map_err(|e| e.to_string())
    };
    let entries = read(
        "Session,ID,split,Gender,role,image,images,normals,height,width,training_only\n\
         s1,a,test,male,probe,x.png,\"[\"\"y.png\"\"]\",n.exr,3,4,yes\ns2,b,,,,,,,,,\n",
    )
    .unwrap();
    let at = |file: &str| folder.path().join(file);
    assert_eq!(
        entries[0],
        Entry {
            part: Some(Part::Test),
            role: Some(Role::Probe),
            id: "a".into(),
            session: "s1".into(),
            labels: labels("male"),
            training_only: true,
            images: vec![at("x.png"), at("y.png")],
            maps: vec![(MapKind::Normals, at("n.exr"))],
            size: Some(Size::new(3, 4)),
        }
    );
    assert_eq!(entries[1], Entry { id: "b".into(), session: "s2".into(), ..Entry::default() });
    for (text, wanted) in [
        ("", "no column `id`"),
        ("id\na\n", "no column `session`"),
        ("id,session\n", "lists no capture"),
        ("id,session\n,s\n", "line 2: has no id"),
        ("id,session,split\na,s,tset\n", "line 2: unknown split `tset`"),
        ("id,session,role\na,s,boss\n", "`boss`"),
        ("id,session,images\na,s,x.png\n", "is no list"),
        ("id,session,height\na,s,-1\n", "`-1` is no height"),
        ("id,session\na,s,x\n", "line 2"),
    ] {
        let message = read(text).unwrap_err();
        assert!(message.contains(wanted), "{text:?}: {message}");
    }
}
