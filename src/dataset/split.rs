//! Who is for training and who for the gallery. People are never in both.

use super::Manifest;
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
    Gallery,
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "train" => Ok(Self::Train),
            "gallery" => Ok(Self::Gallery),
            _ => Err(format!("unknown split `{name}`; give train or gallery")),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Gallery => "gallery",
        })
    }
}

/// How people are parted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// People kept from training, by id; wins over `gallery_count`.
    #[serde(default)]
    pub gallery_people: Vec<String>,
    /// So many people, drawn by the seed, where none are named.
    #[serde(default)]
    pub gallery_count: usize,
    #[serde(default)]
    pub seed: u64,
}

/// The part of every person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub parts: BTreeMap<String, Part>,
}

impl Split {
    /// Parts the people of a manifest.
    ///
    /// # Errors
    /// A named person who is not there, or a part left without people.
    pub fn new(config: &SplitConfig, manifest: &Manifest) -> Result<Self, String> {
        let people: BTreeSet<&str> = manifest.rows.iter().map(|row| row.id.as_str()).collect();
        let gallery: BTreeSet<&str> = if config.gallery_people.is_empty() {
            let mut drawn: Vec<&str> = people.iter().copied().collect();
            drawn.shuffle(&mut rand_pcg::Pcg64::seed_from_u64(config.seed));
            drawn.truncate(config.gallery_count);
            drawn.into_iter().collect()
        } else {
            config.gallery_people.iter().map(String::as_str).collect()
        };
        if let Some(stranger) = gallery.iter().find(|id| !people.contains(*id)) {
            return Err(format!(
                "split.gallery_people names `{stranger}`, who is not in the manifest"
            ));
        }
        let training = people.len() - gallery.len();
        if training < 2 {
            return Err(format!(
                "{training} of {} people are left for training, at least 2 are needed; lower the \
                 split's gallery",
                people.len()
            ));
        }
        let part = |id: &str| if gallery.contains(id) { Part::Gallery } else { Part::Train };
        Ok(Self { parts: people.into_iter().map(|id| (id.to_string(), part(id))).collect() })
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
    use crate::dataset::ManifestRow;

    fn manifest(people: usize) -> Manifest {
        let row = |id: usize| ManifestRow {
            id: format!("p{id:02}"),
            session: "s".into(),
            labels: Default::default(),
            folder: Default::default(),
            height: 1,
            width: 1,
            lights: 4,
            solver: "least-squares".into(),
            condition_number: 1.0,
            training_only: false,
            images: vec![],
            warnings: vec![],
        };
        Manifest { root: "maps".into(), rows: (0..people).map(row).collect() }
    }

    fn config(gallery_count: usize, gallery_people: &[&str]) -> SplitConfig {
        let gallery_people = gallery_people.iter().map(|id| id.to_string()).collect();
        SplitConfig { gallery_people, gallery_count, seed: 3 }
    }

    #[test]
    fn people_are_parted_by_count_or_by_name_and_the_file_says_so() {
        let split = Split::new(&config(4, &[]), &manifest(10)).unwrap();
        assert_eq!(
            (split.people(Part::Gallery).count(), split.people(Part::Train).count()),
            (4, 6)
        );
        let split = Split::new(&config(4, &["p03"]), &manifest(10)).unwrap();
        assert_eq!(split.people(Part::Gallery).collect::<Vec<_>>(), ["p03"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        split.write(file.path()).unwrap();
        assert_eq!(Split::read(file.path()).unwrap(), split);
        let odd = Split { parts: [("a, \"b\"\nc".to_string(), Part::Train)].into() };
        odd.write(file.path()).unwrap();
        assert_eq!(Split::read(file.path()).unwrap(), odd);
    }

    #[test]
    fn strangers_and_empty_parts_are_refused() {
        let message = Split::new(&config(0, &["p99"]), &manifest(10)).unwrap_err();
        assert!(message.contains("`p99`"), "{message}");
        let message = Split::new(&config(9, &[]), &manifest(10)).unwrap_err();
        assert!(message.contains("1 of 10"), "{message}");
    }
}
