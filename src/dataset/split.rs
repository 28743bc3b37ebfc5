//! Who is for training, who for choosing among trained states, and who for the gallery. Nobody is in
//! two parts.

use crate::io::{IoError, read_text, write_atomically};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Train,
    /// Chooses the best of a run's states; neither trained on nor reported.
    Validation,
    Gallery,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Gallery];
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "train" => Ok(Self::Train),
            "validation" => Ok(Self::Validation),
            "gallery" => Ok(Self::Gallery),
            _ => Err(format!("unknown split `{name}`; give train, validation or gallery")),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Gallery => "gallery",
        })
    }
}

/// How people are parted.
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
}

/// The part of every person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub parts: BTreeMap<String, Part>,
}

impl Split {
    /// Parts people.
    ///
    /// # Errors
    /// A named person who is not there or named twice, or a part left without people.
    pub fn new(config: &SplitConfig, people: &BTreeSet<&str>) -> Result<Self, String> {
        let mut drawn: Vec<&str> = people.iter().copied().collect();
        drawn.shuffle(&mut rand_pcg::Pcg64::seed_from_u64(config.seed));
        let mut parts: BTreeMap<String, Part> = BTreeMap::new();
        // Both lists of names before anybody is drawn.
        for (key, named, part) in [
            ("gallery_people", &config.gallery_people, Part::Gallery),
            ("validation_people", &config.validation_people, Part::Validation),
        ] {
            for id in named {
                if !people.contains(id.as_str()) {
                    return Err(format!("split.{key} names `{id}`, who is not in the manifest"));
                }
                match parts.insert(id.clone(), part) {
                    Some(other) if other == part => {
                        return Err(format!("split.{key} names `{id}` twice"));
                    }
                    Some(_) => {
                        return Err(format!(
                            "`{id}` is in split.gallery_people and in split.validation_people"
                        ));
                    }
                    None => {}
                }
            }
        }
        for (named, count, part) in [
            (&config.gallery_people, config.gallery_count, Part::Gallery),
            (&config.validation_people, config.validation_count, Part::Validation),
        ] {
            if named.is_empty() {
                let free = drawn.iter().filter(|id| !parts.contains_key(**id));
                let free: Vec<String> = free.take(count).map(|id| id.to_string()).collect();
                parts.extend(free.into_iter().map(|id| (id, part)));
            }
        }
        let training = people.len() - parts.len();
        if training < 2 {
            return Err(format!(
                "{training} of {} people are left for training, at least 2 are needed; lower the \
                 split's gallery or validation",
                people.len()
            ));
        }
        let validation = parts.values().filter(|part| **part == Part::Validation).count();
        if validation == 1 {
            return Err("one person alone is nobody to be told apart from; let \
                 split.validation_people or split.validation_count be two or more, or nobody"
                .into());
        }
        for id in people {
            parts.entry(id.to_string()).or_insert(Part::Train);
        }
        Ok(Self { parts })
    }

    /// People of one part, in order of id.
    pub fn people(&self, part: Part) -> impl Iterator<Item = &str> {
        self.parts.iter().filter(move |(_, p)| **p == part).map(|(id, _)| id.as_str())
    }

    /// Writes a CSV table: id, split.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        let mut table = csv::Writer::from_writer(Vec::new());
        let rows = self.parts.iter().map(|(id, part)| [id.clone(), part.to_string()]);
        for row in std::iter::once(["id", "split"].map(String::from)).chain(rows) {
            table.write_record(row).map_err(|e| IoError::unsuitable(path, e))?;
        }
        let bytes = table.into_inner().map_err(|e| IoError::unsuitable(path, e))?;
        write_atomically(path, |out| out.write_all(&bytes))
    }

    /// Reads what [`Split::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, IoError> {
        let text = read_text(path)?;
        let mut parts = BTreeMap::new();
        for (number, record) in csv::Reader::from_reader(text.as_bytes()).records().enumerate() {
            let damaged =
                |reason: String| IoError::unsuitable(path, format!("row {}: {reason}", number + 1));
            let record = record.map_err(|e| damaged(e.to_string()))?;
            if record.len() != 2 {
                return Err(damaged("is not `id,split`".into()));
            }
            parts.insert(record[0].to_string(), record[1].parse().map_err(damaged)?);
        }
        Ok(Self { parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEOPLE: [&str; 10] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"];

    fn split(config: SplitConfig) -> Result<Split, String> {
        Split::new(&SplitConfig { seed: 3, ..config }, &PEOPLE.into())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|id| id.to_string()).collect()
    }

    #[test]
    fn people_are_parted_by_count_or_by_name_and_the_file_says_so() {
        let by_count =
            split(SplitConfig { gallery_count: 4, validation_count: 3, ..Default::default() })
                .unwrap();
        let counts = [Part::Gallery, Part::Validation, Part::Train]
            .map(|part| by_count.people(part).count());
        assert_eq!(counts, [4, 3, 3]);
        // Who is for the gallery does not hang on how many are for validation.
        let without = split(SplitConfig { gallery_count: 4, ..Default::default() }).unwrap();
        assert!(without.people(Part::Gallery).eq(by_count.people(Part::Gallery)));

        let by_name = split(SplitConfig {
            gallery_people: names(&["p3"]),
            gallery_count: 4,
            validation_count: 2,
            ..Default::default()
        })
        .unwrap();
        assert_eq!(by_name.people(Part::Gallery).collect::<Vec<_>>(), ["p3"]);
        assert_eq!(by_name.people(Part::Validation).count(), 2);
        let file = tempfile::NamedTempFile::new().unwrap();
        by_name.write(file.path()).unwrap();
        assert_eq!(Split::read(file.path()).unwrap(), by_name);
        let odd = Split { parts: [("a, \"b\"\nc".to_string(), Part::Train)].into() };
        odd.write(file.path()).unwrap();
        assert_eq!(Split::read(file.path()).unwrap(), odd);
    }

    #[test]
    fn strangers_doubles_and_empty_parts_are_refused() {
        let of = |config| split(config).unwrap_err();
        let message = of(SplitConfig { gallery_people: names(&["p99"]), ..Default::default() });
        assert!(message.contains("`p99`"), "{message}");
        let message = of(SplitConfig {
            gallery_people: names(&["p1", "p2"]),
            validation_people: names(&["p2", "p3"]),
            ..Default::default()
        });
        assert!(message.contains("`p2` is in"), "{message}");
        let message =
            of(SplitConfig { gallery_people: names(&["p1", "p1"]), ..Default::default() });
        assert!(message.contains("`p1` twice"), "{message}");
        let message = of(SplitConfig { gallery_count: 9, ..Default::default() });
        assert!(message.contains("1 of 10"), "{message}");
        let message = of(SplitConfig { validation_count: 1, ..Default::default() });
        assert!(message.contains("one person alone"), "{message}");
    }
}
