//! The gallery from outside: enrolment, search, refusals, removal, encryption, and damage to every
//! byte of its files.

use lumiface::gallery::{
    Accept, Answer, Damage, Gallery, GalleryConfig, GalleryError, GalleryKey, GalleryWriter, Harm,
    NewTemplate, OnDamage, PerPerson, SearchOptions, Threshold, verify,
};
use lumiface::io::IoError;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

const MODEL: &str = "3b0c44298fc1c149";

fn config(dim: usize) -> GalleryConfig {
    GalleryConfig { model: MODEL.into(), dim, threshold: None }
}

fn embedding(random: &mut impl Rng, dim: usize) -> Vec<f32> {
    (0..dim).map(|_| random.random_range(-3.0..3.0)).collect()
}

fn new(person: &str, session: &str, embedding: Vec<f32>) -> NewTemplate {
    let labels = BTreeMap::from([("light".to_string(), format!("lamp of {person}"))]);
    NewTemplate { person: person.into(), session: session.into(), labels, embedding }
}

fn top(k: usize) -> NonZeroUsize {
    NonZeroUsize::new(k).unwrap()
}

fn everyone(per_person: PerPerson) -> SearchOptions {
    SearchOptions { accept: Accept::Everyone, per_person }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// 60 people with one to four sessions.
fn people(random: &mut impl Rng, dim: usize) -> Vec<NewTemplate> {
    (0..60)
        .flat_map(|person| (0..person % 4 + 1).map(move |session| (person, session)))
        .map(|(person, session)| {
            new(&format!("p{person}"), &format!("s{session}"), embedding(random, dim))
        })
        .collect()
}

fn keys(folder: &Path) -> [Option<GalleryKey>; 2] {
    [None, Some(GalleryKey::make(&folder.join("key")).unwrap())]
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap() != ".lock");
    paths.sort();
    paths
}

/// Whether any file of a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    files(folder)
        .iter()
        .any(|path| std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn search_finds_what_comparing_every_pair_finds() {
    let home = tempfile::tempdir().unwrap();
    let mut random = Pcg64::seed_from_u64(1);
    let dim = 37;
    for (key, name) in keys(home.path()).iter().zip(["plain", "sealed"]) {
        let folder = home.path().join(name);
        let mut writer = GalleryWriter::create(&folder, &config(dim), key.as_ref()).unwrap();
        let enrolled = people(&mut random, dim);
        let numbers: Vec<u64> =
            enrolled.chunks(7).flat_map(|batch| writer.enrol(MODEL, batch).unwrap()).collect();
        assert_eq!(numbers, (1..=enrolled.len() as u64).collect::<Vec<_>>());
        let (gallery, damage) = Gallery::open(&folder, key.as_ref()).unwrap();
        assert_eq!(damage, []);
        assert_eq!(gallery.is_encrypted(), key.is_some());
        for (template, new) in gallery.templates().zip(&enrolled) {
            assert_eq!((&*template.person, &template.session), (&*new.person, &new.session));
            assert_eq!(template.labels, new.labels);
            let length = new.embedding.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!((template.quality - length).abs() < 1e-5 * length);
        }
        let probes: Vec<Vec<f32>> = (0..50).map(|_| embedding(&mut random, dim)).collect();
        for per_person in [PerPerson::Best, PerPerson::Mean] {
            let options = everyone(per_person);
            let together = gallery.search(MODEL, &probes, top(10), &options).unwrap();
            for (probe, answer) in probes.iter().zip(&together) {
                let mut of_person: BTreeMap<&str, Vec<(f64, &str)>> = BTreeMap::new();
                for new in &enrolled {
                    let similarity = cosine(probe, &new.embedding);
                    of_person.entry(&new.person).or_default().push((similarity, &new.session));
                }
                let mut wanted: Vec<(f64, &str, Option<&str>)> = of_person
                    .iter()
                    .map(|(person, found)| match per_person {
                        PerPerson::Best => {
                            let best = found.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
                            (best.0, *person, Some(best.1))
                        }
                        PerPerson::Mean => {
                            let sum: f64 = found.iter().map(|(similarity, _)| similarity).sum();
                            (sum / found.len() as f64, *person, None)
                        }
                    })
                    .collect();
                wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
                assert_eq!(answer.matches.len(), 10);
                for (found, wanted) in answer.matches.iter().zip(wanted) {
                    assert!((found.similarity - wanted.0).abs() < 1e-6);
                    assert_eq!(
                        (found.person.as_str(), found.session.as_deref()),
                        (wanted.1, wanted.2)
                    );
                }
                // A probe's answer does not depend on its company, to the last bit.
                let alone = gallery.search(MODEL, &[probe], top(10), &options).unwrap();
                assert_eq!(&alone[0], answer);
            }
        }
    }
}

#[test]
fn nobody_is_an_answer_and_says_who_came_next() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("gallery");
    let threshold = Some(Threshold { similarity: 0.5, far: Some(1e-4) });
    let with_threshold = GalleryConfig { threshold, ..config(2) };
    let mut writer = GalleryWriter::create(&folder, &with_threshold, None).unwrap();
    // How many are accepted of those found, and who is found, the best rejected last.
    let search = |probe: [f32; 2], accept, accepted: usize, wanted: &[(&str, f64)]| {
        let (gallery, _) = Gallery::open(&folder, None).unwrap();
        let options = SearchOptions { accept, ..SearchOptions::default() };
        let answers = gallery.search(MODEL, &[probe], top(5), &options).unwrap();
        let Answer { matches, best_rejected } = &answers[0];
        assert_eq!((matches.len(), answers[0].is_nobody()), (accepted, accepted == 0));
        let found: Vec<_> = matches.iter().chain(best_rejected).collect();
        assert_eq!(found.len(), wanted.len());
        for (found, (person, similarity)) in found.iter().zip(wanted) {
            assert_eq!(found.person, *person);
            assert!((found.similarity - similarity).abs() < 1e-6);
        }
    };
    search([1.0, 0.0], Accept::Everyone, 0, &[]);
    let batch = [new("a", "1", vec![2.0, 0.0]), new("b", "1", vec![3.0, 4.0])];
    writer.enrol(MODEL, &batch).unwrap();
    // Cosines with (0, 1): 0 and 4/5; with (1, 0): 1 and 3/5; with (−1, 0): −1 and −3/5.
    search([0.0, 1.0], Accept::GalleryThreshold, 1, &[("b", 0.8), ("a", 0.0)]);
    search([7.0, 0.0], Accept::GalleryThreshold, 2, &[("a", 1.0), ("b", 0.6)]);
    search([-1.0, 0.0], Accept::GalleryThreshold, 0, &[("b", -0.6)]);
    search([0.0, 1.0], Accept::From(0.9), 0, &[("b", 0.8)]);
    search([-1.0, 0.0], Accept::Everyone, 2, &[("b", -0.6), ("a", -1.0)]);
    let threshold = Some(Threshold { similarity: -0.7, far: None });
    writer.set_threshold(threshold).unwrap();
    search([-1.0, 0.0], Accept::GalleryThreshold, 1, &[("b", -0.6), ("a", -1.0)]);
    assert_eq!(Gallery::open(&folder, None).unwrap().0.threshold(), threshold);
}

#[test]
fn of_equal_templates_the_first_enrolled_wins() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("gallery");
    let mut writer = GalleryWriter::create(&folder, &config(3), None).unwrap();
    let batch: Vec<NewTemplate> = (0..40)
        .map(|number| new(&format!("p{}", number / 2), &format!("s{number}"), vec![1.0, 2.0, 3.0]))
        .collect();
    writer.enrol(MODEL, &batch).unwrap();
    let (gallery, _) = Gallery::open(&folder, None).unwrap();
    let probes = [[3.0, 2.0, 1.0]; 3];
    let options = everyone(PerPerson::Best);
    for answer in gallery.search(MODEL, &probes, top(4), &options).unwrap() {
        let numbers: Vec<_> = answer.matches.iter().map(|m| m.template.unwrap()).collect();
        assert_eq!(numbers, [1, 3, 5, 7]);
    }
}

#[test]
fn what_does_not_belong_is_refused_by_name_and_leaves_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("gallery");
    let mut writer = GalleryWriter::create(&folder, &config(2), None).unwrap();
    writer.enrol(MODEL, &[new("ada", "1", vec![1.0, 0.0])]).unwrap();
    let good = || new("bob", "1", vec![0.0, 1.0]);
    let bad = [
        (
            new("eve", "2", vec![f32::NAN, 1.0]),
            "eve/2: the embedding has a value that is not a number",
        ),
        (new("eve", "2", vec![f32::INFINITY, 1.0]), "eve/2: the embedding has a value"),
        (new("eve", "2", vec![0.0, -0.0]), "eve/2: the embedding has length zero"),
        (new("eve", "2", vec![1.0]), "eve/2: the embedding has 1 values instead of 2"),
        (new("ada", "1", vec![1.0, 1.0]), "ada/1: is enrolled already"),
        (good(), "bob/1: is enrolled already"),
        (new("", "1", vec![1.0, 1.0]), "a name is empty"),
        (new("a\nb", "1", vec![1.0, 1.0]), "control characters"),
        (new("a", &"x".repeat(256), vec![1.0, 1.0]), "longer than 255"),
    ];
    for (bad, wanted) in bad {
        let message = writer.enrol(MODEL, &[good(), bad]).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
    let mut long = good();
    long.labels.insert("note".into(), "x".repeat(100 << 10));
    assert!(writer.enrol(MODEL, &[long]).is_err());
    let message = writer.enrol("another", &[good()]).unwrap_err().to_string();
    assert!(message.contains("another") && message.contains(MODEL), "{message}");
    let message = writer.remove("ada", Some("7")).unwrap_err().to_string();
    assert!(message.starts_with("ada/7: is not enrolled"), "{message}");
    assert!(writer.enrol(MODEL, &[]).unwrap().is_empty());
    let (gallery, damage) = Gallery::open(&folder, None).unwrap();
    assert_eq!((gallery.templates().len(), damage), (1, vec![]));
    let options = SearchOptions::default();
    for probe in [&[1.0][..], &[f32::NAN, 0.0], &[0.0, 0.0]] {
        let message =
            gallery.search(MODEL, &[&[1.0, 0.0], probe], top(1), &options).unwrap_err().to_string();
        assert!(message.starts_with("probe 2: "), "{message}");
    }
    let other = gallery.search("another", &[[1.0, 0.0]], top(1), &options);
    assert!(matches!(other, Err(GalleryError::OtherModel { .. })));
    // Whose length no record can hold.
    let endless = new("carl", "1", vec![f32::MAX, f32::MAX]);
    let message = writer.enrol(MODEL, &[endless]).unwrap_err().to_string();
    assert!(message.contains("longer than single precision"), "{message}");
    // And what was refused can be enrolled once it is right; very long embeddings too.
    let huge = new("carl", "1", vec![2e38, 2e38]);
    assert_eq!(writer.enrol(MODEL, &[good(), huge]).unwrap(), [2, 3]);
}

#[test]
fn a_configuration_without_sense_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let threshold = |similarity, far| Some(Threshold { similarity, far });
    for bad in [
        config(0),
        config(1 << 20),
        GalleryConfig { model: String::new(), ..config(2) },
        GalleryConfig { threshold: threshold(f64::NAN, None), ..config(2) },
        GalleryConfig { threshold: threshold(0.3, Some(1.5)), ..config(2) },
    ] {
        let folder = home.path().join("gallery");
        let refused = GalleryWriter::create(&folder, &bad, None).err();
        assert!(matches!(refused, Some(GalleryError::BadConfig(_))), "{refused:?}");
        assert!(!folder.exists());
    }
}

#[test]
fn foreign_folders_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("gallery");
    let missing = Gallery::open(&folder, None).err();
    assert!(matches!(missing, Some(GalleryError::Io(IoError::NotFound(_)))), "{missing:?}");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let refused = [
        Gallery::open(&folder, None).err(),
        GalleryWriter::open(&folder, None).err(),
        GalleryWriter::create(&folder, &config(2), None).err(),
    ];
    assert!(matches!(
        refused,
        [
            Some(GalleryError::NotAGallery(_)),
            Some(GalleryError::NotAGallery(_)),
            Some(GalleryError::Foreign(_))
        ]
    ));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_file(folder.join("notes.txt")).unwrap();
    drop(GalleryWriter::create(&folder, &config(2), None).unwrap());
    let again = GalleryWriter::create(&folder, &config(2), None).err();
    assert!(matches!(again, Some(GalleryError::Exists(_))));
    // What a killed creation leaves is no obstacle; templates without settings are.
    for name in ["gallery.json", "gallery-copy.json"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    let mut writer = GalleryWriter::create(&folder, &config(2), None).unwrap();
    writer.enrol(MODEL, &[new("ada", "1", vec![1.0, 0.0])]).unwrap();
    drop(writer);
    for name in ["gallery.json", "gallery-copy.json"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    let refused = GalleryWriter::create(&folder, &config(2), None).err();
    assert!(matches!(refused, Some(GalleryError::Foreign(_))));
}

#[test]
fn one_writer_and_many_readers() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("gallery");
    let mut writer = GalleryWriter::create(&folder, &config(2), None).unwrap();
    let second = GalleryWriter::open(&folder, None).err();
    assert!(matches!(second, Some(GalleryError::Io(IoError::Locked(_)))), "{second:?}");
    writer.enrol(MODEL, &[new("ada", "1", vec![1.0, 0.0])]).unwrap();
    let (early, _) = Gallery::open(&folder, None).unwrap();
    writer.enrol(MODEL, &[new("bob", "1", vec![0.0, 1.0])]).unwrap();
    let (late, _) = Gallery::open(&folder, None).unwrap();
    assert_eq!((early.templates().len(), late.templates().len()), (1, 2));
    drop(writer);
    assert!(GalleryWriter::open(&folder, None).is_ok());
}

#[test]
fn removal_hides_at_once_and_compaction_erases() {
    let home = tempfile::tempdir().unwrap();
    let mut random = Pcg64::seed_from_u64(2);
    for (key, name) in keys(home.path()).iter().zip(["plain", "sealed"]) {
        let (key, folder) = (key.as_ref(), home.path().join(name));
        let mut writer = GalleryWriter::create(&folder, &config(16), key).unwrap();
        let batch = [
            new("ada", "1", embedding(&mut random, 16)),
            new("removed", "1", embedding(&mut random, 16)),
            new("ada", "2", embedding(&mut random, 16)),
            new("removed", "2", embedding(&mut random, 16)),
            new("bob", "1", embedding(&mut random, 16)),
        ];
        writer.enrol(MODEL, &batch).unwrap();
        let open = || {
            let (gallery, damage) = Gallery::open(&folder, key).unwrap();
            assert_eq!(damage, []);
            gallery
        };
        let names = |gallery: &Gallery| -> Vec<(u64, String)> {
            let name = |t: &lumiface::gallery::Template| format!("{}/{}", t.person, t.session);
            gallery.templates().map(|t| (t.number, name(t))).collect()
        };
        let vector = open().vector(2).unwrap().to_vec();
        let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(holds(&folder, &bytes), key.is_none());
        assert_eq!(holds(&folder, b"removed"), key.is_none());
        assert_eq!(writer.remove("removed", None).unwrap(), [2, 4]);
        assert_eq!(writer.remove("ada", Some("2")).unwrap(), [3]);
        let kept = [(1, "ada/1".to_string()), (5, "bob/1".to_string())];
        let before = open();
        assert_eq!(names(&before), kept);
        let search = |gallery: &Gallery| {
            let answers =
                gallery.search(MODEL, &[&vector], top(9), &everyone(PerPerson::Best)).unwrap();
            answers[0].matches.iter().map(|m| m.person.to_string()).collect::<BTreeSet<_>>()
        };
        let people: BTreeSet<String> = ["ada", "bob"].map(String::from).into();
        assert_eq!(search(&before), people);
        // Reading from the old files holds off their erasure.
        let compacted = writer.compact(OnDamage::Refuse).unwrap();
        assert_eq!((compacted.kept, compacted.erased), (2, false));
        assert_eq!(search(&before), people);
        assert_eq!(names(&open()), kept);
        assert_eq!(open().vector(5), before.vector(5));
        drop(before);
        drop(writer);
        let (mut writer, damage) = GalleryWriter::open(&folder, key).unwrap();
        assert_eq!(damage, []);
        assert!(!holds(&folder, &bytes) && !holds(&folder, b"removed"));
        assert_eq!(files(&folder).len(), 5);
        // Numbers are not given again, sessions may be.
        let again = new("removed", "1", embedding(&mut random, 16));
        assert_eq!(writer.enrol(MODEL, &[again]).unwrap(), [6]);
        assert!(writer.compact(OnDamage::Refuse).unwrap().erased);
        assert_eq!(names(&open())[2], (6, "removed/1".to_string()));
        assert_eq!(files(&folder).len(), 5);
        let next = new("carl", "1", embedding(&mut random, 16));
        assert_eq!(writer.enrol(MODEL, &[next]).unwrap(), [7]);
        writer.remove("carl", None).unwrap();
        writer.compact(OnDamage::Refuse).unwrap();
        let next = new("carl", "1", embedding(&mut random, 16));
        assert_eq!(writer.enrol(MODEL, &[next]).unwrap(), [8]);
    }
}

#[test]
fn only_the_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("gallery");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let mut writer = GalleryWriter::create(&folder, &config(2), None).unwrap();
    for step in 0..2 {
        writer.enrol(MODEL, &[new("ada", &format!("s{step}"), vec![1.0, 0.0])]).unwrap();
        assert_eq!(mode(&folder), 0o700);
        for path in files(&folder).iter().chain([&folder.join(".lock")]) {
            assert_eq!(mode(path), 0o600, "{}", path.display());
        }
        writer.set_threshold(None).unwrap();
        writer.compact(OnDamage::Refuse).unwrap();
    }
    drop(writer);
    // As a careless copy leaves it.
    for path in files(&folder).iter().chain([&folder]) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    drop(GalleryWriter::open(&folder, None).unwrap());
    assert_eq!(mode(&folder), 0o700);
    assert!(files(&folder).iter().all(|path| mode(path) == 0o600));
}

#[test]
fn an_encrypted_gallery_opens_with_its_own_key_only() {
    let home = tempfile::tempdir().unwrap();
    let [_, key] = keys(home.path());
    let other = GalleryKey::make(&home.path().join("other")).unwrap();
    let (sealed, plain) = (home.path().join("sealed"), home.path().join("plain"));
    drop(GalleryWriter::create(&sealed, &config(2), key.as_ref()).unwrap());
    drop(GalleryWriter::create(&plain, &config(2), None).unwrap());
    for open in [
        |folder: &Path, key: Option<&GalleryKey>| Gallery::open(folder, key).err(),
        |folder: &Path, key: Option<&GalleryKey>| GalleryWriter::open(folder, key).err(),
    ] {
        assert!(matches!(open(&sealed, None), Some(GalleryError::KeyMissing(_))));
        assert!(matches!(open(&sealed, Some(&other)), Some(GalleryError::KeyWrong(_))));
        assert!(matches!(open(&plain, key.as_ref()), Some(GalleryError::KeyNotNeeded(_))));
        assert!(open(&sealed, key.as_ref()).is_none() && open(&plain, None).is_none());
    }
}

#[test]
fn sealed_rows_cannot_be_exchanged() {
    let home = tempfile::tempdir().unwrap();
    let [_, key] = keys(home.path());
    let folder = home.path().join("gallery");
    let mut writer = GalleryWriter::create(&folder, &config(4), key.as_ref()).unwrap();
    let batch = [new("ada", "1", vec![1.0; 4]), new("bob", "1", vec![1.0, -1.0, 1.0, -1.0])];
    writer.enrol(MODEL, &batch).unwrap();
    drop(writer);
    let path = folder.join("vectors-0001.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    let (first, second) = bytes[4096..].split_at_mut(4 * 4 + 40);
    first.swap_with_slice(second);
    std::fs::write(&path, bytes).unwrap();
    let report = verify(&folder, key.as_ref()).unwrap();
    assert_eq!((report.templates, report.damage.len()), (0, 2));
}

/// Each template in full, and its vector.
type Served = BTreeMap<u64, (String, Vec<f32>)>;

/// A small gallery with removals, as it lies on the disk, and what it serves.
struct Small {
    folder: PathBuf,
    key: Option<GalleryKey>,
    content: Vec<(PathBuf, Vec<u8>)>,
    served: Served,
}

impl Small {
    fn make(folder: PathBuf, key: Option<GalleryKey>) -> Self {
        let mut random = Pcg64::seed_from_u64(3);
        let mut writer = GalleryWriter::create(&folder, &config(8), key.as_ref()).unwrap();
        let mut enrol = |writer: &mut GalleryWriter, names: &[(&str, &str)]| {
            let batch: Vec<NewTemplate> = names
                .iter()
                .map(|(person, session)| new(person, session, embedding(&mut random, 8)))
                .collect();
            writer.enrol(MODEL, &batch).unwrap();
        };
        enrol(&mut writer, &[("ada", "1"), ("bob", "1"), ("removed", "1")]);
        writer.compact(OnDamage::Refuse).unwrap();
        writer.remove("removed", None).unwrap();
        enrol(&mut writer, &[("bob", "2"), ("removed", "2")]);
        writer.remove("removed", None).unwrap();
        enrol(&mut writer, &[("carl", "1")]);
        drop(writer);
        let content =
            files(&folder).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap()));
        let content = content.collect();
        let mut small = Self { folder, key, content, served: BTreeMap::new() };
        small.served = small.open().0;
        assert_eq!(small.served.len(), 4);
        small
    }

    fn open(&self) -> (Served, Vec<Damage>) {
        let (gallery, damage) = Gallery::open(&self.folder, self.key.as_ref()).unwrap();
        let served = gallery.templates().map(|t| {
            let vector = gallery.vector(t.number).unwrap().to_vec();
            (t.number, (format!("{t:?}"), vector))
        });
        (served.collect(), damage)
    }

    fn restore(&self) {
        for path in files(&self.folder) {
            std::fs::remove_file(path).unwrap();
        }
        for (path, bytes) in &self.content {
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// That the damage to a file is named, and nothing served that was not; returns how many
    /// templates are missing.
    fn check(&self, path: &Path, what: &str) -> usize {
        let what = format!("{what} of {}", path.display());
        let (served, damage) = self.open();
        assert!(damage.iter().any(|damage| damage.file == path), "not found: {what}: {damage:?}");
        for (number, template) in &served {
            assert_eq!(Some(template), self.served.get(number), "{what}");
        }
        let missing = self.served.len() - served.len();
        let told: u64 = damage
            .iter()
            .map(|damage| match damage.harm {
                Harm::Records { at_most } => at_most,
                Harm::Vector { .. } => 1,
                _ => 0,
            })
            .sum();
        assert!(missing as u64 <= told, "{missing} missing, {told} told: {what}");
        for damage in damage {
            assert!(damage.to_string().starts_with(&damage.file.display().to_string()));
        }
        missing
    }

    /// That a writer goes on with the damaged gallery, and loses nothing more.
    fn check_writer(&self, path: &Path, what: &str) {
        let (before, damage) = self.open();
        let (mut writer, _) = GalleryWriter::open(&self.folder, self.key.as_ref()).unwrap();
        let batch = [new("new", "1", vec![1.0; 8]), new("new", "2", vec![-1.0; 8])];
        let numbers = writer.enrol(MODEL, &batch).unwrap();
        drop(writer);
        let (after, still) = self.open();
        assert_eq!(after.len(), before.len() + 2, "{what}");
        assert!(before.iter().all(|(number, template)| after.get(number) == Some(template)));
        assert!(numbers.iter().all(|number| after.contains_key(number)));
        // Numbers and rows of what is lost are not given again: a copy may bring it back.
        let last = self.served.last_key_value().unwrap().0;
        assert!(numbers[0] > *last || path.ends_with("vectors-0002.bin"), "{what}");
        // A loss stays told until the gallery is compacted without what is lost.
        let lossy = |damage: &[Damage]| damage.iter().filter(|d| d.loses_data()).count();
        assert_eq!(lossy(&still), lossy(&damage), "{what}: {damage:?} {still:?}");
        let (mut writer, _) = GalleryWriter::open(&self.folder, self.key.as_ref()).unwrap();
        let refused = writer.compact(OnDamage::Refuse);
        assert_eq!(refused.is_err(), lossy(&damage) > 0, "{what}");
        writer.compact(OnDamage::Drop).unwrap();
        drop(writer);
        assert_eq!(self.open(), (after, vec![]), "{what}");
    }
}

#[test]
fn a_flipped_byte_anywhere_is_found_and_costs_at_most_one_template() {
    let home = tempfile::tempdir().unwrap();
    for (key, name) in keys(home.path()).into_iter().zip(["plain", "sealed"]) {
        let small = Small::make(home.path().join(name), key);
        for (path, bytes) in &small.content {
            let header_end = if path.ends_with("vectors-0002.bin") { 4096 } else { 128 };
            let mut missing = 0;
            // Of the long, empty end of a header some bytes are enough.
            for at in (0..bytes.len())
                .filter(|at| !(200..4000).contains(at) || at % 13 == 0 || header_end == 128)
            {
                let mut changed = bytes.clone();
                changed[at] ^= [0x01, 0x80, 0xFF, 0x20][at % 4];
                std::fs::write(path, &changed).unwrap();
                let what = format!("byte {at}");
                let cost = small.check(path, &what);
                assert!(cost <= 1, "{what} of {} costs {cost}", path.display());
                assert!(cost == 0 || at >= header_end);
                missing += cost;
                if at % 61 == 0 && (at < 200 || at >= header_end) {
                    small.check_writer(path, &what);
                    small.restore();
                }
            }
            let data = ["vectors-0002.bin", "templates-0002.log"].iter().any(|n| path.ends_with(n));
            assert_eq!(missing > 0, data, "{}", path.display());
            std::fs::write(path, bytes).unwrap();
        }
        assert_eq!(small.open(), (small.served.clone(), vec![]));
    }
}

#[test]
fn a_cut_anywhere_is_found_and_the_rest_served() {
    let home = tempfile::tempdir().unwrap();
    for (key, name) in keys(home.path()).into_iter().zip(["plain", "sealed"]) {
        let small = Small::make(home.path().join(name), key);
        for (path, bytes) in &small.content {
            let mut last = usize::MAX;
            let vectors = path.ends_with("vectors-0002.bin");
            let lengths =
                (0..bytes.len()).filter(|l| !(200..4000).contains(l) || l % 13 == 0 || !vectors);
            for length in lengths {
                std::fs::write(path, &bytes[..length]).unwrap();
                let what = format!("cut to {length} bytes");
                let cost = small.check(path, &what);
                // The longer the rest, the more is served.
                assert!(cost <= last, "{what} of {}: {cost} after {last}", path.display());
                last = cost;
                if length % 97 == 0 && (length < 200 || !(200..4000).contains(&length)) {
                    small.check_writer(path, &what);
                    small.restore();
                }
            }
            std::fs::write(path, bytes).unwrap();
        }
        assert_eq!(small.open(), (small.served.clone(), vec![]));
    }
}

#[test]
fn a_torn_tail_is_no_damage_and_is_cut() {
    let home = tempfile::tempdir().unwrap();
    let small = Small::make(home.path().join("gallery"), None);
    // Of a batch of two, whatever was written behind the acknowledged end.
    let path = &small.folder.join("templates-0002.log");
    let before = std::fs::read(path).unwrap();
    let (mut writer, _) = GalleryWriter::open(&small.folder, None).unwrap();
    let batch = [new("dora", "1", vec![1.0; 8]), new("dora", "2", vec![-1.0; 8])];
    writer.enrol(MODEL, &batch).unwrap();
    drop(writer);
    let after = std::fs::read(path).unwrap();
    for length in before.len()..after.len() {
        let mut torn = before.clone();
        torn.extend(&after[before.len()..length]);
        std::fs::write(path, &torn).unwrap();
        assert_eq!(small.open(), (small.served.clone(), vec![]), "{length}");
        let report = verify(&small.folder, None).unwrap();
        assert_eq!(report.unfinished_bytes as usize, length - before.len());
        let (writer, damage) = GalleryWriter::open(&small.folder, None).unwrap();
        assert_eq!(damage, []);
        drop(writer);
        assert_eq!(std::fs::read(path).unwrap(), before, "{length}");
    }
    // All of it was written, but never acknowledged: it is enrolled, as a whole.
    let mut whole = before.clone();
    whole.extend(&after[before.len()..]);
    std::fs::write(path, &whole).unwrap();
    assert_eq!(small.open().0.len(), small.served.len() + 2);
}

#[test]
fn random_garbage_is_survived() {
    let home = tempfile::tempdir().unwrap();
    let mut random = Pcg64::seed_from_u64(4);
    let small = Small::make(home.path().join("gallery"), None);
    let data: Vec<_> =
        small.content.iter().filter(|(path, _)| !path.ends_with("gallery.json")).collect();
    for round in 0..300 {
        for (path, bytes) in &data {
            let mut changed = bytes.clone();
            for _ in 0..random.random_range(0..4) {
                // Overwritten, cut out or put in; from the start or behind the header.
                let start = random.random_range(0..changed.len().max(1));
                let end = (start + random.random_range(0..100)).min(changed.len());
                let garbage: Vec<u8> =
                    (0..random.random_range(0..100)).map(|_| random.random()).collect();
                changed.splice(start..end, garbage);
            }
            std::fs::write(path, changed).unwrap();
        }
        let (served, _) = small.open();
        for (number, template) in &served {
            // Both logs hit at once may bring the removed back; their data are still their own.
            if let Some(known) = small.served.get(number) {
                assert_eq!(template, known, "round {round}");
            } else {
                assert!(template.0.contains("removed"), "round {round}: {template:?}");
            }
        }
        drop(GalleryWriter::open(&small.folder, None).unwrap());
        small.restore();
    }
}
