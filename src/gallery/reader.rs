//! A gallery open for reading.

use super::catalogue::{Catalogue, Stored};
use super::generation::{DataFile, Generation};
use super::key::GalleryKey;
use super::log::read_log;
use super::search::Means;
use super::settings::Settings;
use super::top_k::NO_GROUP;
use super::vectors::{Vectors, rows_of, vector_damage};
use super::{Damage, GalleryError, Harm, Template, TemplateNumber, Threshold};
use crate::io::IoError;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often to look again while the gallery is compacted under the reader's eyes.
const ATTEMPTS: usize = 500;

/// What was enrolled when it was opened.
pub struct Gallery {
    pub(super) folder: PathBuf,
    pub(super) settings: Settings,
    /// Those with a whole vector, rising in number and row.
    pub(super) served: Vec<Stored>,
    /// Those whose vector is damaged.
    damaged: Vec<Template>,
    pub(super) vectors: Vectors,
    /// Each row's person; rows that carry no served template have none.
    pub(super) groups: Vec<u32>,
    pub(super) persons: Vec<Arc<str>>,
    pub(super) means: OnceLock<Means>,
    /// Bytes behind the last batch.
    unfinished: u64,
    /// Shared while it lives: what is mapped is not erased.
    _lock: File,
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Served templates, and people who have one.
    pub templates: usize,
    pub persons: usize,
    /// Bytes of a batch that was never acknowledged: of a killed writer, or of one at work.
    pub unfinished_bytes: u64,
    pub damage: Vec<Damage>,
}

/// Reads everything in a gallery and says what is wrong with it.
///
/// # Errors
/// As [`Gallery::open`].
pub fn verify(folder: &Path, key: Option<&GalleryKey>) -> Result<Report, GalleryError> {
    let (gallery, damage) = Gallery::open(folder, key)?;
    let (templates, persons) = (gallery.served.len(), gallery.persons.len());
    Ok(Report { templates, persons, unfinished_bytes: gallery.unfinished, damage })
}

/// The generation in force, held against erasure: its settings, itself, and its vectors.
fn hold(
    folder: &Path,
    key: Option<&GalleryKey>,
    damage: &mut Vec<Damage>,
) -> Result<(Settings, Generation, File), GalleryError> {
    for _ in 0..ATTEMPTS {
        let settings = Settings::read(folder, &mut Vec::new())?;
        let sealer = settings.sealer(folder, key)?;
        let generation = Generation::new(folder, &settings, sealer);
        let path = generation.path(DataFile::Vectors);
        let opened = File::open(&path);
        if let Ok(file) = &opened {
            // A file system without locks does without, as everywhere.
            let erased_now =
                matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock));
            damage.clear();
            let again = Settings::read(folder, damage)?;
            if !erased_now && again.generation == settings.generation {
                return Ok((
                    again,
                    generation,
                    opened.map_err(|e| IoError::from_system(&path, e))?,
                ));
            }
        } else if Settings::read(folder, &mut Vec::new())?.generation == settings.generation {
            opened.map_err(|e| IoError::from_system(&path, e))?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(GalleryError::Busy(folder.to_path_buf()))
}

impl Gallery {
    /// Opens a gallery, checking every record and vector; what is damaged is named and left out.
    ///
    /// # Errors
    /// A folder that is no gallery; a missing, wrong or unneeded key; a file that is missing or
    /// cannot be read; both copies of the settings damaged.
    pub fn open(
        folder: &Path,
        key: Option<&GalleryKey>,
    ) -> Result<(Self, Vec<Damage>), GalleryError> {
        let mut damage = Vec::new();
        let (settings, generation, file) = hold(folder, key, &mut damage)?;
        let templates = read_log(&generation, DataFile::Templates, &mut damage)?;
        let removals = read_log(&generation, DataFile::Removals, &mut damage)?;
        let unfinished = templates.unfinished + removals.unfinished;
        let path = generation.path(DataFile::Vectors);
        let length = file.metadata().map_err(|e| IoError::from_system(&path, e))?.len();
        let rows = rows_of(&generation, length);
        let Catalogue { live, removed, .. } =
            Catalogue::replay(&generation, templates, removals, rows, &mut damage);

        let live: Vec<Stored> = live.into_values().collect();
        let mut wanted: Vec<(u64, u32)> =
            live.iter().map(|stored| (stored.row, stored.checksum)).chain(removed).collect();
        wanted.sort_unstable();
        let (vectors, whole) = Vectors::read(&generation, &file, &wanted, &mut damage)?;
        let row_is_whole =
            |row: u64| wanted.binary_search_by_key(&row, |&(row, _)| row).is_ok_and(|at| whole[at]);
        let (served, damaged): (Vec<Stored>, Vec<Stored>) =
            live.into_iter().partition(|stored| row_is_whole(stored.row));
        for (&(row, _), _) in wanted.iter().zip(&whole).filter(|&(_, &whole)| !whole) {
            let harm = match damaged.binary_search_by_key(&row, |stored| stored.row) {
                Ok(at) => {
                    let Template { number, person, session, .. } = &damaged[at].template;
                    let (person, session) = (person.to_string(), session.clone());
                    Harm::Vector { number: *number, person, session }
                }
                Err(_) => Harm::RemovedVector,
            };
            damage.push(vector_damage(&generation, row, harm));
        }

        let rows = vectors.values().len() / settings.dim;
        let mut groups = vec![NO_GROUP; rows];
        let mut persons: Vec<Arc<str>> = Vec::new();
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        for stored in &served {
            let person = &stored.template.person;
            let next = persons.len() as u32;
            let group = *numbers.entry(person).or_insert(next);
            if group == next {
                persons.push(person.clone());
            }
            groups[stored.row as usize] = group;
        }
        let gallery = Self {
            folder: folder.to_path_buf(),
            settings,
            served,
            damaged: damaged.into_iter().map(|stored| stored.template).collect(),
            vectors,
            groups,
            persons,
            means: OnceLock::new(),
            unfinished,
            _lock: file,
        };
        Ok((gallery, damage))
    }

    /// Hash of the model whose embeddings it holds.
    pub fn model(&self) -> &str {
        &self.settings.model
    }

    /// Values of an embedding.
    pub fn dim(&self) -> usize {
        self.settings.dim
    }

    pub fn threshold(&self) -> Option<Threshold> {
        self.settings.threshold
    }

    pub fn is_encrypted(&self) -> bool {
        self.settings.key_check.is_some()
    }

    /// The templates that are served, in the order of their numbers.
    pub fn templates(&self) -> impl ExactSizeIterator<Item = &Template> {
        self.served.iter().map(|stored| &stored.template)
    }

    /// Templates that are enrolled, but whose vector is damaged.
    pub fn damaged_templates(&self) -> &[Template] {
        &self.damaged
    }

    /// A served template's vector, of unit length.
    pub fn vector(&self, number: TemplateNumber) -> Option<&[f32]> {
        let at = self.served.binary_search_by_key(&number, |s| s.template.number).ok()?;
        Some(self.row(self.served[at].row as usize))
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.vectors.values()[row * self.settings.dim..][..self.settings.dim]
    }
}
