//! What is wrong with a data set and its split, found before anything is trained or reported on it.
//!
//! A split leaks where a person, a session or a picture is on both sides of it: the figures are then
//! wrong, and the finding is an error. They are weak, and the finding is a warning, where one person has
//! most of the pairs, or a class is missing. Findings are about the list as a whole; what is wrong with
//! the light of one capture is [`crate::quality`]'s.

mod entries;
mod pictures;
mod readable;
mod shares;
mod similar;

pub use entries::{Entry, MapKind, Role, read_entries};
pub use similar::{PictureHash, SIMILAR_BITS, picture_hash};

use super::Part;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Results are weak.
    Warning,
    /// Results are wrong.
    Error,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A person in more than one part.
    LeakedPeople,
    RepeatedSession,
    /// A session that is enrolled and a probe.
    EnrolledProbe,
    /// The same bytes in two captures.
    IdenticalPictures,
    /// Nearly the same picture in two captures.
    SimilarPictures,
    /// A person with more than one value of a trait that does not change.
    LabelConflict,
    UnreadableFile,
    /// A map of another size than the others of its capture.
    WrongSize,
    /// A part of one person: nobody to be told apart from.
    OnePerson,
    /// A part without a genuine pair.
    NoGenuinePair,
    /// People with one session in a part.
    SingleSession,
    /// One person with much of a part.
    DominantPerson,
    MissingClass,
    RareClass,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    pub severity: Severity,
    /// People, sessions, pictures or classes that it is about.
    pub count: usize,
    /// What was seen, with counts and the worst examples, on one line.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    fn new(
        kind: Kind,
        severity: Severity,
        count: usize,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { kind, severity, count, message: message.into(), remedy: remedy.into() }
    }
}

/// What counts as too much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckOptions {
    /// Most of a part's captures that one person may have, and no less than twice an equal share.
    pub max_share_of_captures: f64,
    /// Most of a part's genuine pairs that one person may have, and no less than twice an equal share.
    pub max_share_of_pairs: f64,
    /// Fewest captures of a class in a part.
    pub min_captures_per_class: usize,
    /// Classes by label column, `*` for every other value, as tasks have them. Without an entry the
    /// classes of a column are the values that occur.
    pub classes: BTreeMap<String, Vec<String>>,
    /// Label columns whose classes are counted.
    pub tasks: Vec<String>,
    /// Label columns that have one value for a person.
    pub fixed_traits: Vec<String>,
    /// Whether pictures are read and compared.
    pub pictures: bool,
    /// Whether every map is read.
    pub maps: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Self {
            max_share_of_captures: 0.10,
            max_share_of_pairs: 0.25,
            min_captures_per_class: 10,
            classes: BTreeMap::new(),
            tasks: names(&["gender", "spectacles", "facial_hair", "pose", "emotion", "attack"]),
            fixed_traits: names(&["gender", "ethnicity", "birth_year"]),
            pictures: true,
            maps: true,
        }
    }
}

/// Examines a list of captures; errors come first. Entries that are [`Part::Unused`] are passed over.
/// `on_file` hears of every file that was read.
pub fn check(
    entries: &[Entry],
    options: &CheckOptions,
    on_file: &(dyn Fn() + Sync),
) -> Vec<Finding> {
    let entries: Vec<&Entry> =
        entries.iter().filter(|entry| entry.part != Some(Part::Unused)).collect();
    let mut findings = leaked_people(&entries);
    findings.extend(repeated_sessions(&entries));
    findings.extend(label_conflicts(&entries, &options.fixed_traits));
    findings.extend(shares::check(&entries, options));
    if options.pictures {
        findings.extend(pictures::check(&entries, on_file));
    }
    if options.maps {
        findings.extend(readable::check(&entries, on_file));
    }
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.kind));
    findings
}

/// People in more than one part, by pair of parts.
fn leaked_people(entries: &[&Entry]) -> Vec<Finding> {
    let mut people: BTreeMap<Part, BTreeMap<&str, usize>> = BTreeMap::new();
    for entry in entries {
        if let Some(part) = entry.part {
            *people.entry(part).or_default().entry(&entry.id).or_insert(0) += 1;
        }
    }
    let parts: Vec<Part> = people.keys().copied().collect();
    let pairs =
        parts.iter().enumerate().flat_map(|(i, a)| parts[i + 1..].iter().map(move |b| (a, b)));
    pairs
        .filter_map(|(a, b)| {
            let of = |part: &Part, id: &str| people[part].get(id).copied().unwrap_or(0);
            let mut both: Vec<&str> =
                people[a].keys().copied().filter(|id| of(b, id) > 0).collect();
            if both.is_empty() {
                return None;
            }
            both.sort_by_key(|id| std::cmp::Reverse(of(a, id) + of(b, id)));
            let example = |id: &&str| format!("`{id}` ({} and {} captures)", of(a, id), of(b, id));
            let message = format!(
                "{} in {a} and in {b}: {}",
                counted(both.len(), "person is", "people are"),
                examples(both.iter().map(example))
            );
            let remedy = "part people, not captures: draw the split with `lumiface dataset split`";
            Some(Finding::new(Kind::LeakedPeople, Severity::Error, both.len(), message, remedy))
        })
        .collect()
}

/// Sessions that are listed more than once: enrolled and as probes, or otherwise.
fn repeated_sessions(entries: &[&Entry]) -> Vec<Finding> {
    let mut listed: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    for &entry in entries {
        listed.entry((&entry.id, &entry.session)).or_default().push(entry);
    }
    let repeated = listed.into_values().filter(|entries| entries.len() > 1);
    let (asking, others): (Vec<_>, Vec<_>) = repeated.partition(|entries| {
        let has = |role| entries.iter().any(|entry| entry.role == Some(role));
        has(Role::Enrolled) && has(Role::Probe)
    });
    let example = |entries: &Vec<&Entry>| {
        let parts: BTreeSet<Part> = entries.iter().filter_map(|entry| entry.part).collect();
        let parts: Vec<String> = parts.iter().map(Part::to_string).collect();
        let within =
            if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        format!("{}{within}", entries[0].name())
    };
    let mut findings = Vec::new();
    if !asking.is_empty() {
        let message = format!(
            "{} enrolled and also a probe: {}",
            counted(asking.len(), "session is", "sessions are"),
            examples(asking.iter().map(example))
        );
        let remedy = "a capture is always most like itself: enrol one session and ask with others";
        findings.push(Finding::new(
            Kind::EnrolledProbe,
            Severity::Error,
            asking.len(),
            message,
            remedy,
        ));
    }
    if !others.is_empty() {
        let message = format!(
            "{} listed more than once: {}",
            counted(others.len(), "session is", "sessions are"),
            examples(others.iter().map(example))
        );
        let remedy = "keep one row of each: a capture paired with itself is no genuine pair";
        findings.push(Finding::new(
            Kind::RepeatedSession,
            Severity::Error,
            others.len(),
            message,
            remedy,
        ));
    }
    findings
}

/// People who have several values of a trait that does not change.
fn label_conflicts(entries: &[&Entry], fixed_traits: &[String]) -> Vec<Finding> {
    let conflict = |column: &String| {
        let mut people: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for entry in entries {
            if let Some(value) = entry.labels.get(column) {
                *people.entry(&entry.id).or_default().entry(value).or_insert(0) += 1;
            }
        }
        let torn: Vec<_> = people.into_iter().filter(|(_, values)| values.len() > 1).collect();
        if torn.is_empty() {
            return None;
        }
        let example = |(id, values): &(&str, BTreeMap<&str, usize>)| {
            let values: Vec<String> =
                values.iter().map(|(value, count)| format!("{count} × {value}")).collect();
            format!("`{id}` ({})", values.join(", "))
        };
        let message = format!(
            "{} more than one `{column}`: {}",
            counted(torn.len(), "person has", "people have"),
            examples(torn.iter().map(example))
        );
        let remedy =
            "look at the captures: correct the label, or the id where they show two people";
        Some(Finding::new(Kind::LabelConflict, Severity::Error, torn.len(), message, remedy))
    };
    fixed_traits.iter().filter_map(conflict).collect()
}

/// "1 person is", "63 people are".
fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The first few, and how many more there are.
fn examples(all: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 3;
    let count = all.len();
    let shown = all.take(SHOWN).collect::<Vec<_>>().join(", ");
    if count > SHOWN { format!("{shown} and {} more", count - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests;
