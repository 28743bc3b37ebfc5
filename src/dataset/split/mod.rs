//! Who is for training, who for choosing among trained states, who for the test and who for the
//! gallery. Nobody is in two parts.
//!
//! People are drawn by the seed alone, or so that every part has its share of each trait: iterative
//! stratification of multi-label data (Sechidis, Tsoumakas and Vlahavas 2011). The rarest trait value
//! that is left is dealt out first, each of its people to the part that lacks most of it. Here the
//! examples are people, a person's value of a trait is the commonest among their captures, and other
//! than in the paper a part that has its number of people takes no more, so sizes are exact.

mod draw;
mod table;

use crate::capture::Labels;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::PathBuf;

pub use draw::majority_label;

use draw::{by_person, named_people, stratified, traits_of_people, wanted_people};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Train,
    /// Chooses the best of a run's states; neither trained on nor reported.
    Validation,
    /// Only ever reported. The gallery cannot be this: thresholds are set on its people and it grows
    /// with those who use it, so figures on it are figures on what was tuned.
    Test,
    /// Kept from training: those who are enrolled, and their probes.
    Gallery,
    /// Left out of everything.
    Unused,
}

impl Part {
    /// Those that figures can be made on.
    pub const EVALUATED: [Self; 4] = [Self::Train, Self::Validation, Self::Test, Self::Gallery];

    const NAMES: [(&'static str, Self); 5] = [
        ("train", Self::Train),
        ("validation", Self::Validation),
        ("test", Self::Test),
        ("gallery", Self::Gallery),
        ("unused", Self::Unused),
    ];
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, part)| *part).ok_or_else(|| {
            format!("unknown split `{name}`; give train, validation, test, gallery or unused")
        })
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::config::name_of(*self, &Self::NAMES))
    }
}

/// How people are parted. Of each part but training give names, or a count, or a share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// People kept from training, by id; wins over `gallery_count`.
    pub gallery_people: Vec<String>,
    /// So many people, drawn by the seed, where none are named.
    pub gallery_count: usize,
    /// People who choose the best of the trained states, by id; wins over `validation_count`.
    pub validation_people: Vec<String>,
    /// So many people, drawn by the seed from those who are not for the gallery; 0 trains on all and
    /// keeps the last state.
    pub validation_count: usize,
    pub seed: u64,
    /// A split that is there already, as `lumiface dataset split` writes it, in place of all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// People for the reported figures alone, by id; wins over `test_count`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test_people: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub test_count: usize,
    /// Share of all people who are not left out, 0–1, in place of a count.
    #[serde(skip_serializing_if = "is_default")]
    pub gallery_share: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub validation_share: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub test_share: f64,
    /// People who are in no part, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out_people: Vec<String>,
    /// Traits (label columns) of which every drawn part gets its share; `sessions` is how many
    /// captures a person has, in powers of two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stratify: Vec<String>,
    /// Most captures of one person, drawn by the seed, the rest is left out; 0 is all.
    #[serde(skip_serializing_if = "is_default")]
    pub max_captures_per_person: usize,
    /// Traits of which a part's common classes are thinned, in this order, again until all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undersample: Vec<UndersamplePart>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Name of the trait that a person's number of captures makes.
const SESSIONS_TRAIT: &str = "sessions";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndersamplePart {
    pub part: Part,
    /// A label column.
    pub task: String,
    /// No class of the part keeps more than so many times the captures of its rarest, 1 or more.
    pub ratio: f64,
}

/// A capture as far as parting people looks at it.
#[derive(Clone, Copy, Debug)]
pub struct SplitCapture<'a> {
    pub id: &'a str,
    pub session: &'a str,
    pub labels: &'a Labels,
    /// Serves training alone, so elsewhere it neither counts nor is left out.
    pub training_only: bool,
}

/// The part of every person, and the captures that are left out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub parts: BTreeMap<String, Part>,
    /// (id, session)
    pub left_out: BTreeSet<(String, String)>,
}

impl Split {
    /// Parts people. The same captures in any order and the same seed give the same split.
    ///
    /// # Errors
    /// A named person who is not there or named twice, a share, ratio or trait that cannot be, or a
    /// part left without enough people.
    pub fn new(config: &SplitConfig, captures: &[SplitCapture<'_>]) -> Result<Self, String> {
        let people: BTreeMap<&str, Vec<SplitCapture<'_>>> = by_person(captures);
        let mut drawn: Vec<&str> = people.keys().copied().collect();
        let mut random = Pcg64::seed_from_u64(config.seed);
        drawn.shuffle(&mut random);
        let mut parts = named_people(config, &people)?;
        // Out of everything before anybody is drawn; the order of the draw stays what it is.
        drawn.retain(|id| parts.get(*id) != Some(&Part::Unused));
        let wanted = wanted_people(config, drawn.len())?;
        drawn.retain(|id| !parts.contains_key(*id));
        let asked = wanted.iter().fold(0usize, |sum, (_, count)| sum.saturating_add(*count));
        if asked > drawn.len() {
            return Err(format!(
                "the split draws {asked} people and {} are there to draw from; lower its counts",
                drawn.len()
            ));
        }
        if config.stratify.is_empty() {
            let mut rest = drawn.iter();
            for &(part, count) in &wanted {
                parts.extend(rest.by_ref().take(count).map(|id| (id.to_string(), part)));
            }
        } else {
            let traits = traits_of_people(&config.stratify, &people, &drawn)?;
            let mut places = wanted.clone();
            places.push((Part::Train, drawn.len() - asked));
            parts.extend(stratified(&drawn, &traits, &places, &mut random));
        }
        for id in people.keys() {
            parts.entry(id.to_string()).or_insert(Part::Train);
        }
        let split = Self { parts, left_out: BTreeSet::new() };
        split.check_sizes(people.len())?;
        split.thinned(config, &people, &mut random)
    }

    /// Training tells at least two people apart, and so do figures.
    fn check_sizes(&self, people: usize) -> Result<(), String> {
        let training = self.people(Part::Train).count();
        if training < 2 {
            return Err(format!(
                "{training} of {people} people are left for training, at least 2 are needed; lower \
                 the split's gallery, test or validation"
            ));
        }
        for part in [Part::Validation, Part::Test] {
            if self.people(part).count() == 1 {
                return Err(format!(
                    "one person alone is nobody to be told apart from; let split.{part}_people or \
                     split.{part}_count be two or more, or nobody"
                ));
            }
        }
        Ok(())
    }

    /// Leaves out what is too much of one person or class.
    fn thinned(
        mut self,
        config: &SplitConfig,
        people: &BTreeMap<&str, Vec<SplitCapture<'_>>>,
        random: &mut Pcg64,
    ) -> Result<Self, String> {
        // Captures that count, each person's in drawn order.
        let mut kept: BTreeMap<&str, Vec<SplitCapture<'_>>> = BTreeMap::new();
        for (&id, captures) in people {
            let part = self.parts.get(id).copied();
            let mut counting: Vec<_> = captures
                .iter()
                .filter(|capture| part == Some(Part::Train) || !capture.training_only)
                .copied()
                .collect();
            counting.shuffle(random);
            if config.max_captures_per_person > 0 {
                let most = config.max_captures_per_person.min(counting.len());
                self.left_out.extend(counting.drain(most..).map(name));
            }
            kept.insert(id, counting);
        }
        for wanted in &config.undersample {
            if wanted.ratio.is_nan() || wanted.ratio < 1.0 {
                return Err(format!(
                    "split.undersample: the ratio {} of `{}` is below 1; give how many times the \
                     rarest class others may have",
                    wanted.ratio, wanted.task
                ));
            }
            let labelled = |capture: &SplitCapture<'_>| capture.labels.contains_key(&wanted.task);
            if !people.values().flatten().any(labelled) {
                return Err(no_label("undersample", &wanted.task));
            }
        }
        // Thinning one trait can make another's rarest class rarer still. Every turn leaves out
        // more or is the last.
        loop {
            let before = self.left_out.len();
            for wanted in &config.undersample {
                self.undersample(wanted, &mut kept);
            }
            if self.left_out.len() == before {
                return Ok(self);
            }
        }
    }

    /// Thins a part's common classes: each time the person with most captures in the part loses one,
    /// so that those with few keep their genuine pairs.
    fn undersample(
        &mut self,
        wanted: &UndersamplePart,
        kept: &mut BTreeMap<&str, Vec<SplitCapture<'_>>>,
    ) {
        let in_part = |id: &&str| self.parts.get(*id) == Some(&wanted.part);
        let people: Vec<&str> = kept.keys().copied().filter(in_part).collect();
        let class = |capture: &SplitCapture<'_>| capture.labels.get(&wanted.task).cloned();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for id in &people {
            for class in kept[id].iter().filter_map(class) {
                *counts.entry(class).or_insert(0) += 1;
            }
        }
        let Some(&rarest) = counts.values().min() else { return };
        let most = (rarest as f64 * wanted.ratio).floor() as usize;
        for (common, count) in counts.into_iter().filter(|(_, count)| *count > most) {
            let is_common = |capture: &SplitCapture<'_>| class(capture).as_ref() == Some(&common);
            let mut heap: BinaryHeap<(usize, std::cmp::Reverse<&str>)> =
                people.iter().map(|id| (kept[id].len(), std::cmp::Reverse(*id))).collect();
            let mut excess = count - most;
            while excess > 0 {
                let Some((captures, std::cmp::Reverse(id))) = heap.pop() else { break };
                let of_person = kept.entry(id).or_default();
                let Some(at) = of_person.iter().rposition(is_common) else { continue };
                self.left_out.insert(name(of_person.remove(at)));
                heap.push((captures - 1, std::cmp::Reverse(id)));
                excess -= 1;
            }
        }
    }

    /// People of one part, in order of id.
    pub fn people(&self, part: Part) -> impl Iterator<Item = &str> {
        self.parts.iter().filter(move |(_, p)| **p == part).map(|(id, _)| id.as_str())
    }

    /// The part that a capture is in: [`Part::Unused`] where it is left out, `None` for a person whom
    /// the split does not know.
    pub fn part_of(&self, id: &str, session: &str) -> Option<Part> {
        let part = self.parts.get(id).copied()?;
        let left_out = !self.left_out.is_empty()
            && self.left_out.contains(&(id.to_string(), session.to_string()));
        Some(if left_out { Part::Unused } else { part })
    }
}

fn name(capture: SplitCapture<'_>) -> (String, String) {
    (capture.id.to_string(), capture.session.to_string())
}

fn no_label(key: &str, column: &str) -> String {
    format!("split.{key} names `{column}`, of which no capture has a label; check the name")
}

#[cfg(test)]
mod tests;
