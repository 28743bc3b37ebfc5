//! A gallery's writer killed at random moments while it enrols, removes and compacts: nothing that
//! it acknowledged is lost, nothing torn is served, a batch is there as a whole or not at all.
//!
//! `LUMIFACE_KILLS=1000 cargo test --release --test gallery_crash` kills more often than the
//! ordinary run.

#![cfg(unix)]

use lumiface::gallery::{Gallery, GalleryConfig, GalleryKey, GalleryWriter, NewTemplate, OnDamage};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const MODEL: &str = "model";
const DIM: usize = 64;
const KILLS: usize = 40;
/// For the child: folder, key file or nothing, seed, number of the next person.
const CHILD: &str = "LUMIFACE_GALLERY_CHILD";

/// An embedding that follows from whose it is.
fn embedding(person: usize, session: usize) -> Vec<f32> {
    let mut random = Pcg64::seed_from_u64((person * 1000 + session) as u64);
    (0..DIM).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn unit(embedding: &[f32]) -> Vec<f32> {
    let length = embedding.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    embedding.iter().map(|&v| (f64::from(v) / length) as f32).collect()
}

/// What the writer is about to do, as it tells it.
#[derive(Clone, Debug)]
enum Step {
    /// A person and how many sessions.
    Enrol(usize, usize),
    Remove(usize),
    Compact,
}

impl Step {
    fn say(&self) -> String {
        match self {
            Self::Enrol(person, sessions) => format!("enrol {person} {sessions}"),
            Self::Remove(person) => format!("remove {person}"),
            Self::Compact => "compact".into(),
        }
    }

    fn hear(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap();
        match words[0] {
            "enrol" => Self::Enrol(number(1), number(2)),
            "remove" => Self::Remove(number(1)),
            _ => Self::Compact,
        }
    }

    /// The state after this step.
    fn apply(&self, people: &People) -> People {
        let mut people = people.clone();
        match self {
            Self::Enrol(person, sessions) => drop(people.insert(*person, *sessions)),
            Self::Remove(person) => drop(people.remove(person)),
            Self::Compact => {}
        }
        people
    }
}

/// Sessions of each enrolled person.
type People = BTreeMap<usize, usize>;

/// Not a test: what the test starts and kills.
#[test]
fn writer_to_be_killed() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let told: Vec<&str> = told.split('|').collect();
    let key = (!told[1].is_empty()).then(|| GalleryKey::read(Path::new(told[1])).unwrap());
    let mut random = Pcg64::seed_from_u64(told[2].parse().unwrap());
    let mut next: usize = told[3].parse().unwrap();
    let folder = Path::new(told[0]);
    let mut out = std::io::stdout();
    let mut say = |text: &str| {
        out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    let (mut writer, damage) = GalleryWriter::open(folder, key.as_ref()).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    let mut people: Vec<usize> = {
        let (gallery, _) = Gallery::open(folder, key.as_ref()).unwrap();
        let mut people: Vec<usize> =
            gallery.templates().map(|t| t.person.parse().unwrap()).collect();
        people.dedup();
        people
    };
    say("\n~ready");
    loop {
        let step = match random.random_range(0..100) {
            0..4 => Step::Compact,
            4..45 if !people.is_empty() => {
                Step::Remove(people.swap_remove(random.random_range(0..people.len())))
            }
            _ => {
                next += 1;
                Step::Enrol(next, random.random_range(1..40))
            }
        };
        say(&format!("~try {}", step.say()));
        match step {
            Step::Enrol(person, sessions) => {
                let batch: Vec<NewTemplate> = (0..sessions)
                    .map(|session| NewTemplate {
                        person: person.to_string(),
                        session: session.to_string(),
                        labels: BTreeMap::from([("of".to_string(), person.to_string())]),
                        embedding: embedding(person, session),
                    })
                    .collect();
                writer.enrol(MODEL, &batch).unwrap();
                people.push(person);
            }
            Step::Remove(person) => drop(writer.remove(&person.to_string(), None).unwrap()),
            // A reader of the test's may hold off the erasure, which is as well.
            Step::Compact => drop(writer.compact(OnDamage::Refuse).unwrap()),
        }
        say("~ok");
    }
}

/// Opens the gallery and checks everything it serves; returns who is in it.
fn check(folder: &Path, key: Option<&GalleryKey>) -> People {
    let (gallery, damage) = Gallery::open(folder, key).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    let mut people = People::new();
    let mut last = 0;
    for template in gallery.templates() {
        assert!(template.number > last);
        last = template.number;
        let person: usize = template.person.parse().unwrap();
        let session: usize = template.session.parse().unwrap();
        assert_eq!(template.labels["of"], *template.person);
        assert_eq!(gallery.vector(last).unwrap(), unit(&embedding(person, session)));
        // Every session up to the last, once.
        let sessions = people.entry(person).or_default();
        assert_eq!(*sessions, session, "{person}");
        *sessions += 1;
    }
    people
}

struct Subject {
    folder: PathBuf,
    key_path: Option<PathBuf>,
    key: Option<GalleryKey>,
    people: People,
    next: usize,
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let key_path = home.path().join("key");
    let key = GalleryKey::make(&key_path).unwrap();
    let mut subjects = [("plain", None, None), ("sealed", Some(key_path), Some(key))].map(
        |(name, key_path, key)| {
            let folder = home.path().join(name);
            let config = GalleryConfig { model: MODEL.into(), dim: DIM, threshold: None };
            drop(GalleryWriter::create(&folder, &config, key.as_ref()).unwrap());
            Subject { folder, key_path, key, people: People::new(), next: 0 }
        },
    );
    let kills =
        std::env::var("LUMIFACE_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut random = Pcg64::seed_from_u64(7);
    let (mut steps, mut unfinished, mut done_unheard) = (0, 0, 0);
    for kill in 0..kills {
        let subject = &mut subjects[kill % 2];
        let key_path = subject.key_path.as_deref().unwrap_or(Path::new(""));
        let told =
            format!("{}|{}|{kill}|{}", subject.folder.display(), key_path.display(), subject.next);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_to_be_killed", "--nocapture"])
            .env(CHILD, told)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut heard = Vec::new();
        // Some are killed while they still open the gallery.
        if random.random_range(0..5) > 0 {
            while !heard.ends_with(b"~ready\n") && lines.read_until(b'\n', &mut heard).unwrap() > 0
            {
            }
        }
        let listener = std::thread::spawn(move || {
            std::io::Read::read_to_end(&mut lines, &mut heard).unwrap();
            heard
        });
        if random.random_range(0..4) == 0 {
            // A reader beside the writer.
            check(&subject.folder, subject.key.as_ref());
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it ended by itself");
        let heard = String::from_utf8(listener.join().unwrap()).unwrap();

        let mut pending = None;
        // A line without its end was not said.
        for line in heard.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            if let Some(step) = line.strip_prefix("~try ") {
                let step = Step::hear(step);
                if let Step::Enrol(person, _) = step {
                    subject.next = person;
                }
                pending = Some(step);
            } else if line == "~ok" {
                let step = pending.take().expect("a step was announced");
                subject.people = step.apply(&subject.people);
                steps += 1;
            }
        }
        let found = check(&subject.folder, subject.key.as_ref());
        if found != subject.people {
            let step = pending.clone().expect("what was acknowledged is there, and nothing else");
            assert_eq!(found, step.apply(&subject.people), "kill {kill}, in {step:?}");
            subject.people = found;
            done_unheard += 1;
        }
        unfinished += usize::from(pending.is_some());
    }
    println!(
        "{kills} kills: {steps} steps acknowledged, {unfinished} under way, of which {done_unheard} \
         had reached the disk"
    );
    assert!(steps > kills && unfinished > kills / 4, "{steps} {unfinished}");
}
