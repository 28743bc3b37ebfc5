//! The split files of the study that this network carries on, on the Photoface database.
//!
//! Three tables list captures, not people: training, test and gallery. Every test capture is compared
//! with every gallery capture. The labels are merged into two classes each. The protocol is kept so that
//! its figures can be set beside ours; [`LegacySets::flaws`] says what they are worth.

use super::check::{CheckOptions, Entry, Finding, Kind, Role, Severity, check};
use super::{Part, Split, SplitCapture};
use crate::capture::Labels;
use crate::io::{IoError, read_text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Tables of the three sets, in one folder.
const FILES: [(&str, Part); 3] = [
    ("author_train_set.csv", Part::Train),
    ("author_test_set.csv", Part::Test),
    ("author_gallery_set.csv", Part::Gallery),
];

/// Label column of the tables, ours, and what 0 and 1 mean.
const TASKS: [(&str, &str, [&str; 2]); 5] = [
    ("Gender", "gender", ["female", "male"]),
    ("Spectacles", "spectacles", ["no", "yes"]),
    ("Facial_Hair", "facial_hair", ["none", "some"]),
    ("Pose", "pose", ["1-2", "3-5"]),
    ("Emotion", "emotion", ["blankstare", "other"]),
];

/// Gender, spectacles, facial hair, pose and emotion.
pub type LegacyClasses = [u8; 5];

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyCapture {
    pub id: String,
    pub session: String,
    pub classes: LegacyClasses,
}

/// The three tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacySets {
    pub train: Vec<LegacyCapture>,
    pub test: Vec<LegacyCapture>,
    pub gallery: Vec<LegacyCapture>,
}

/// The study's classes of Photoface's labels: male 1, spectacles 1, any facial hair 1, pose 3 to 5 1, any
/// emotion but a blank stare 1. `None` where one of the five is unknown.
pub fn legacy_classes(labels: &Labels) -> Option<LegacyClasses> {
    let is = |task: usize, value: &str| match task {
        0 => value == "male",
        1 => value == "yes",
        2 => value != "none",
        3 => !matches!(value, "1" | "2"),
        _ => value != "blankstare",
    };
    let mut classes = [0; 5];
    for (task, (class, (_, column, _))) in classes.iter_mut().zip(TASKS).enumerate() {
        *class = u8::from(is(task, labels.get(column)?));
    }
    Some(classes)
}

impl LegacySets {
    /// Reads `author_train_set.csv`, `author_test_set.csv` and `author_gallery_set.csv` of a folder.
    ///
    /// # Errors
    /// A missing or damaged table.
    pub fn read(folder: &Path) -> Result<Self, IoError> {
        let [train, test, gallery] = FILES.map(|(file, _)| read_table(&folder.join(file)));
        Ok(Self { train: train?, test: test?, gallery: gallery? })
    }

    fn sets(&self) -> [(Part, &[LegacyCapture]); 3] {
        [(Part::Train, &self.train), (Part::Test, &self.test), (Part::Gallery, &self.gallery)]
    }

    /// The sets that a capture is in, by (id, session); the sets part captures, not people.
    pub fn parts(&self) -> BTreeMap<(&str, &str), BTreeSet<Part>> {
        let mut parts: BTreeMap<_, BTreeSet<Part>> = BTreeMap::new();
        for (part, captures) in self.sets() {
            for capture in captures {
                let name = (capture.id.as_str(), capture.session.as_str());
                parts.entry(name).or_default().insert(part);
            }
        }
        parts
    }

    /// What the linter looks at: gallery captures are enrolled, test captures are probes.
    pub fn entries(&self) -> Vec<Entry> {
        let of_part = |(part, captures): (Part, &[LegacyCapture])| -> Vec<Entry> {
            let entry = |capture: &LegacyCapture| Entry {
                part: Some(part),
                role: match part {
                    Part::Test => Some(Role::Probe),
                    Part::Gallery => Some(Role::Enrolled),
                    _ => None,
                },
                id: capture.id.clone(),
                session: capture.session.clone(),
                labels: TASKS
                    .iter()
                    .zip(capture.classes)
                    .map(|((_, column, names), class)| {
                        (column.to_string(), names[usize::from(class)].to_string())
                    })
                    .collect(),
                ..Entry::default()
            };
            captures.iter().map(entry).collect()
        };
        self.sets().into_iter().flat_map(of_part).collect()
    }

    /// A split by people, as far as these sets are one: their training captures in train, those of test
    /// and gallery, which share people, in gallery, every other capture left out. Also how many of the
    /// captures listed are there.
    ///
    /// # Errors
    /// Tables of other captures; a person in train and elsewhere.
    pub fn split(&self, captures: &[SplitCapture<'_>]) -> Result<(Split, usize), String> {
        let parts = self.parts();
        let part_of = |c: &SplitCapture<'_>| {
            let listed = parts.get(&(c.id, c.session))?;
            Some(if listed.contains(&Part::Train) { Part::Train } else { Part::Gallery })
        };
        let mut split = Split::default();
        let mut found = 0;
        for capture in captures {
            let Some(part) = part_of(capture) else { continue };
            found += 1;
            let before = split.parts.insert(capture.id.to_string(), part);
            if before.is_some_and(|before| before != part) {
                return Err(format!(
                    "the legacy tables have `{}` in training and elsewhere; parted by people, they \
                     would give no figures of people whom training never saw",
                    capture.id
                ));
            }
        }
        if found == 0 {
            return Err(
                "the maps hold no capture of the legacy tables; check ids and sessions".into()
            );
        }
        for capture in captures.iter().filter(|c| part_of(c).is_none()) {
            let name = (capture.id.to_string(), capture.session.to_string());
            if split.parts.get(capture.id).is_some_and(|&part| part != Part::Unused) {
                split.left_out.insert(name);
            } else {
                split.parts.insert(name.0, Part::Unused);
            }
        }
        Ok((split, found))
    }

    /// Captures in all tables.
    pub fn captures(&self) -> usize {
        self.sets().iter().map(|(_, captures)| captures.len()).sum()
    }

    /// (test capture, gallery capture, same person): all with all.
    pub fn pairs(&self) -> impl Iterator<Item = (&LegacyCapture, &LegacyCapture, bool)> {
        self.test.iter().flat_map(move |probe| {
            let gallery = self.gallery.iter();
            gallery.map(move |enrolled| (probe, enrolled, probe.id == enrolled.id))
        })
    }

    /// What is wrong with the sets, errors first; files are not looked at.
    pub fn flaws(&self) -> Vec<Finding> {
        let options = CheckOptions { pictures: false, maps: false, ..CheckOptions::default() };
        let entries = self.entries();
        let train: Vec<Entry> =
            entries.iter().filter(|entry| entry.part == Some(Part::Train)).cloned().collect();
        let without_pairs = |found: &Finding| found.kind == Kind::NoGenuinePair;
        let mut findings = check(&entries, &options, &|| {});
        // Only in training are genuine pairs among themselves; others are of test with gallery.
        findings.retain(|found| !without_pairs(found));
        findings.extend(check(&train, &options, &|| {}).into_iter().filter(without_pairs));
        findings.extend(self.flaws_of_pairs());
        findings.extend(self.repeated());
        findings.sort_by_key(|finding| finding.severity != Severity::Error);
        findings
    }

    /// What is wrong with the figures of test against gallery, one line each.
    pub fn flaws_of_figures(&self) -> Vec<String> {
        let concerns = [
            Kind::LeakedPeople,
            Kind::EnrolledProbe,
            Kind::RepeatedSession,
            Kind::DominantPerson,
            Kind::NoGenuinePair,
        ];
        let compared = Self { train: Vec::new(), ..self.clone() };
        let flaws = compared.flaws().into_iter().filter(|flaw| concerns.contains(&flaw.kind));
        flaws.map(|flaw| flaw.message.replace('`', "")).collect()
    }

    /// Captures that a table lists more than once: each time they are a pair with all others.
    fn repeated(&self) -> Vec<Finding> {
        let of_set = |(part, captures): (Part, &[LegacyCapture])| {
            let mut seen = BTreeSet::new();
            let again: Vec<String> = captures
                .iter()
                .filter(|c| !seen.insert((&c.id, &c.session)))
                .map(|c| format!("`{}/{}`", c.id, c.session))
                .collect();
            (!again.is_empty()).then(|| Finding {
                kind: Kind::RepeatedSession,
                severity: Severity::Error,
                count: again.len(),
                message: format!(
                    "{} captures are listed again in {part}: {}",
                    again.len(),
                    again.iter().take(3).cloned().collect::<Vec<_>>().join(", ")
                ),
                remedy: "list each capture once".into(),
            })
        };
        self.sets().into_iter().filter_map(of_set).collect()
    }

    /// Flaws of the comparison of test with gallery.
    fn flaws_of_pairs(&self) -> Vec<Finding> {
        let count = |captures: &[LegacyCapture]| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for capture in captures {
                *counts.entry(capture.id.clone()).or_insert(0) += 1;
            }
            counts
        };
        let (test, gallery) = (count(&self.test), count(&self.gallery));
        let mut findings = Vec::new();
        let finding = |kind, severity, count, message, remedy: &str| Finding {
            kind,
            severity,
            count,
            message,
            remedy: remedy.into(),
        };
        let genuine: Vec<(&String, usize)> =
            test.iter().filter_map(|(id, probes)| Some((id, probes * gallery.get(id)?))).collect();
        let all: usize = genuine.iter().map(|(_, pairs)| pairs).sum();
        let most = CheckOptions::default().max_share_of_pairs;
        if let Some((id, pairs)) = genuine.iter().max_by_key(|(_, pairs)| *pairs)
            && *pairs as f64 > most.max(2.0 / genuine.len() as f64) * all as f64
        {
            let share = 100.0 * *pairs as f64 / all as f64;
            let message = format!(
                "one person of {}, `{id}`, has {pairs} of {all} genuine pairs ({share:.1} %) of test \
                 with gallery",
                genuine.len()
            );
            let remedy = "the figure is mostly of this person; set the strict protocol's beside it";
            findings.push(finding(
                Kind::DominantPerson,
                Severity::Warning,
                *pairs,
                message,
                remedy,
            ));
        }
        let strangers = test.iter().filter(|(id, _)| !gallery.contains_key(*id));
        let (people, captures) = strangers.fold((0, 0), |(p, c), (_, count)| (p + 1, c + count));
        if people > 0 {
            let message = format!(
                "{people} of {} people of test, {captures} of {} captures, are not in gallery and \
                 have no genuine pair",
                test.len(),
                self.test.len()
            );
            let remedy = "leave them out of identification: nobody there can be found";
            let (kind, severity) = (Kind::NoGenuinePair, Severity::Warning);
            findings.push(finding(kind, severity, people, message, remedy));
        }
        findings
    }
}

fn read_table(path: &Path) -> Result<Vec<LegacyCapture>, IoError> {
    let text = read_text(path)?;
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let unsuitable = |reason: String| IoError::unsuitable(path, reason);
    let header = table.headers().map_err(|e| unsuitable(e.to_string()))?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|column| column.trim_start_matches('\u{feff}') == name)
            .ok_or_else(|| unsuitable(format!("has no column `{name}`; is this a legacy set?")))
    };
    let (id, session) = (column("id")?, column("session")?);
    let mut places = [0; 5];
    for (place, (name, ..)) in places.iter_mut().zip(TASKS) {
        *place = column(name)?;
    }
    let mut captures = Vec::new();
    for (number, record) in table.records().enumerate() {
        let damaged = |reason: String| unsuitable(format!("line {}: {reason}", number + 2));
        let record = record.map_err(|e| damaged(e.to_string()))?;
        let mut classes = [0; 5];
        for (class, &place) in classes.iter_mut().zip(&places) {
            *class = match &record[place] {
                "0" => 0,
                "1" => 1,
                other => return Err(damaged(format!("`{other}` is neither 0 nor 1"))),
            };
        }
        captures.push(LegacyCapture {
            id: record[id].to_string(),
            session: record[session].to_string(),
            classes,
        });
    }
    if captures.is_empty() {
        return Err(unsuitable("lists no capture".into()));
    }
    Ok(captures)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "id,session,Gender,Spectacles,Facial_Hair,Pose,Emotion,combined_labels";

    fn folder(test: &str, gallery: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let train = "t,1,1,0,0,0,0,1_0_0_0_0\nt,2,1,0,0,0,0,1_0_0_0_0\n";
        for ((file, _), rows) in FILES.into_iter().zip([train, test, gallery]) {
            std::fs::write(folder.path().join(file), format!("{HEADER}\n{rows}")).unwrap();
        }
        folder
    }

    #[test]
    fn sets_are_read_and_their_flaws_are_named() {
        let test = "a,1,1,0,0,0,0,x\nb,1,0,1,1,1,1,x\nc,1,1,0,0,0,0,x\nc,2,1,0,0,0,0,x\n";
        let gallery = "a,2,1,0,0,0,0,x\na,1,1,0,0,0,0,x\nd,1,0,0,0,0,0,x\n";
        let sets = LegacySets::read(folder(test, gallery).path()).unwrap();
        assert_eq!(sets.test[1].classes, [0, 1, 1, 1, 1]);
        assert_eq!(sets.parts()[&("a", "1")], [Part::Test, Part::Gallery].into());
        let pairs: Vec<bool> = sets.pairs().map(|(.., same)| same).collect();
        assert_eq!(pairs.len(), 12);
        assert_eq!(pairs.iter().filter(|same| **same).count(), 2);
        let flaws = sets.flaws();
        let has =
            |kind, words: &str| flaws.iter().any(|f| f.kind == kind && f.message.contains(words));
        assert!(has(Kind::LeakedPeople, "1 person is in test and in gallery: `a`"), "{flaws:?}");
        assert!(has(Kind::EnrolledProbe, "a/1"), "{flaws:?}");
        let strangers = "2 of 3 people of test, 3 of 4 captures, are not in gallery";
        assert!(has(Kind::NoGenuinePair, strangers), "{flaws:?}");
    }

    #[test]
    fn damage_is_named() {
        let message = |test: &str| {
            LegacySets::read(folder(test, "a,2,1,0,0,0,0,x\n").path()).unwrap_err().to_string()
        };
        assert!(message("a,1,male,0,0,0,0,x\n").contains("line 2: `male`"));
        assert!(message("a,1,1\n").contains("line 2"));
        assert!(message("").contains("author_test_set.csv: lists no capture"));
        let empty = tempfile::tempdir().unwrap();
        assert!(LegacySets::read(empty.path()).unwrap_err().to_string().contains("not found"));
    }

    #[test]
    fn labels_become_the_studys_classes() {
        let labels = |values: [&str; 5]| -> Labels {
            TASKS.iter().zip(values).map(|((_, c, _), v)| (c.to_string(), v.to_string())).collect()
        };
        let of = |values| legacy_classes(&labels(values));
        assert_eq!(of(["male", "no", "none", "2", "blankstare"]), Some([1, 0, 0, 0, 0]));
        assert_eq!(of(["female", "yes", "stubble", "3", "positive"]), Some([0, 1, 1, 1, 1]));
        assert_eq!(legacy_classes(&Labels::new()), None);
    }
}
