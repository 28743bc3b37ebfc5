//! Who and what a part consists of: people, their share of it, genuine pairs, classes.

use super::{CheckOptions, Entry, Finding, Kind, Severity, counted, examples};
use crate::dataset::Part;
use std::collections::{BTreeMap, BTreeSet};

/// The captures of one part that figures count, each session once.
struct PartCaptures<'a> {
    part: Option<Part>,
    entries: Vec<&'a Entry>,
    /// Captures by person.
    people: BTreeMap<&'a str, usize>,
}

impl PartCaptures<'_> {
    fn name(&self) -> String {
        self.part.map_or_else(|| "the data".into(), |part| part.to_string())
    }
}

pub(super) fn check(entries: &[&Entry], options: &CheckOptions) -> Vec<Finding> {
    let mut of_part: BTreeMap<Option<Part>, BTreeMap<(&str, &str), &Entry>> = BTreeMap::new();
    for &entry in entries {
        // Neither enrolled nor a probe.
        if entry.training_only && !matches!(entry.part, None | Some(Part::Train)) {
            continue;
        }
        let captures = of_part.entry(entry.part).or_default();
        captures.insert((&entry.id, &entry.session), entry);
    }
    let parts: Vec<PartCaptures<'_>> = of_part
        .into_iter()
        .map(|(part, captures)| {
            let mut people = BTreeMap::new();
            for (id, _) in captures.keys() {
                *people.entry(*id).or_insert(0) += 1;
            }
            PartCaptures { part, entries: captures.into_values().collect(), people }
        })
        .collect();
    let mut findings = Vec::new();
    for part in &parts {
        findings.extend(people(part));
        findings.extend(dominance(part, options));
    }
    for task in &options.tasks {
        findings.extend(classes(&parts, task, options));
    }
    findings
}

/// Genuine pairs of so many captures.
fn pairs(captures: usize) -> usize {
    captures * captures.saturating_sub(1) / 2
}

fn people(part: &PartCaptures<'_>) -> Vec<Finding> {
    let name = part.name();
    let mut findings = Vec::new();
    if let [id] = part.people.keys().copied().collect::<Vec<_>>()[..] {
        let message = format!("{name} holds one person, `{id}`: nobody to be told apart from");
        let remedy = "add people, or give this part none";
        findings.push(Finding::new(Kind::OnePerson, Severity::Error, 1, message, remedy));
    }
    let single: Vec<&str> =
        part.people.iter().filter(|(_, count)| **count == 1).map(|(id, _)| *id).collect();
    if single.len() == part.people.len() {
        let message = format!("{name} has no genuine pair: nobody has a second session");
        let remedy = "add sessions of the same people";
        findings.push(Finding::new(
            Kind::NoGenuinePair,
            Severity::Error,
            single.len(),
            message,
            remedy,
        ));
    } else if !single.is_empty() {
        let message = format!(
            "{} of {} people in {name} have a single session and no genuine pair: {}",
            single.len(),
            part.people.len(),
            examples(single.iter().map(|id| format!("`{id}`")))
        );
        let remedy = "they serve as impostors alone; stratify the split over `sessions`, or leave \
            them out";
        findings.push(Finding::new(
            Kind::SingleSession,
            Severity::Warning,
            single.len(),
            message,
            remedy,
        ));
    }
    findings
}

/// Warns of the person with most captures where those, or their genuine pairs, are much of a part's.
/// In a part of few people everyone has much, so it is at least twice an equal share that is too much.
fn dominance(part: &PartCaptures<'_>, options: &CheckOptions) -> Option<Finding> {
    let (id, captures) = part.people.iter().max_by_key(|(_, count)| **count)?;
    let all_captures = part.entries.len();
    let all_pairs: usize = part.people.values().map(|&count| pairs(count)).sum();
    let with_pairs = part.people.values().filter(|count| **count > 1).count();
    let share = |of: usize, all: usize| of as f64 / all.max(1) as f64;
    let too_much = |of: f64, most: f64, people: usize| of > most.max(2.0 / people.max(1) as f64);
    let of_captures = share(*captures, all_captures);
    let of_pairs = share(pairs(*captures), all_pairs);
    if !too_much(of_captures, options.max_share_of_captures, part.people.len())
        && !too_much(of_pairs, options.max_share_of_pairs, with_pairs)
    {
        return None;
    }
    let message = format!(
        "one person of {}, `{id}`, has {captures} of {all_captures} captures ({:.1} %) and {} of \
         {all_pairs} genuine pairs ({:.1} %) in {}",
        part.people.len(),
        100.0 * of_captures,
        pairs(*captures),
        100.0 * of_pairs,
        part.name()
    );
    let remedy = "figures over pairs are mostly of this person: cap captures a person in the split, \
        or draw pairs evenly with `lumiface dataset pairs`";
    Some(Finding::new(Kind::DominantPerson, Severity::Warning, *captures, message, remedy))
}

/// Classes of a task that parts lack or hardly have.
fn classes(parts: &[PartCaptures<'_>], task: &str, options: &CheckOptions) -> Vec<Finding> {
    let value = |entry: &&Entry| entry.labels.get(task).cloned();
    let configured = options.classes.get(task);
    let class = |value: String| match configured {
        Some(classes) if !classes.contains(&value) => "*".to_string(),
        _ => value,
    };
    let counts: Vec<BTreeMap<String, usize>> = parts
        .iter()
        .map(|part| {
            let mut counts = BTreeMap::new();
            for class in part.entries.iter().filter_map(value).map(class) {
                *counts.entry(class).or_insert(0) += 1;
            }
            counts
        })
        .collect();
    let occurring: BTreeSet<&String> = counts.iter().flat_map(BTreeMap::keys).collect();
    if occurring.is_empty() {
        return Vec::new();
    }
    let all: Vec<&String> = match configured {
        Some(classes) => classes.iter().collect(),
        None => occurring.into_iter().collect(),
    };
    let mut findings = Vec::new();
    if let [only] = all[..] {
        let message = format!("`{task}` has one class, `{only}`");
        let remedy = "there is nothing to tell apart; leave the task out";
        findings.push(Finding::new(Kind::MissingClass, Severity::Warning, 1, message, remedy));
        return findings;
    }
    for (part, counts) in parts.iter().zip(&counts) {
        let name = part.name();
        let count = |class: &&&String| counts.get(**class).copied().unwrap_or(0);
        let missing: Vec<&&String> = all.iter().filter(|class| count(class) == 0).collect();
        if !missing.is_empty() {
            let message = format!(
                "{name} has no capture of {} of `{task}`: {}",
                counted(missing.len(), "class", "classes"),
                examples(missing.iter().map(|class| format!("`{class}`")))
            );
            let remedy = match part.part {
                Some(Part::Train) => {
                    "what is never shown is never learned: stratify the split over it, or join \
                     classes"
                }
                _ => "stratify the split over it, or join classes",
            };
            findings.push(Finding::new(
                Kind::MissingClass,
                Severity::Warning,
                missing.len(),
                message,
                remedy,
            ));
        }
        let least = options.min_captures_per_class;
        let rare: Vec<&&String> =
            all.iter().filter(|class| (1..least).contains(&count(class))).collect();
        if !rare.is_empty() {
            let message = format!(
                "{name} has fewer than {least} captures of {} of `{task}`: {}",
                counted(rare.len(), "class", "classes"),
                examples(rare.iter().map(|class| format!("`{class}` ({})", count(class))))
            );
            let remedy = "a figure of so few says little: add captures, stratify or join classes";
            findings.push(Finding::new(
                Kind::RareClass,
                Severity::Warning,
                rare.len(),
                message,
                remedy,
            ));
        }
    }
    findings
}
