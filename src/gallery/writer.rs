//! The one writer of a gallery.

use super::catalogue::{Catalogue, Stored};
use super::generation::{DataFile, Generation, erase, generations_in, is_data_file, make_private};
use super::key::GalleryKey;
use super::log::{Enrolment, LogWriter, Record, read_log};
use super::settings::{GalleryConfig, SETTINGS, SETTINGS_COPY, Settings};
use super::template::{NewTemplate, TemplateNumber, check_names, normalised};
use super::vectors::{VectorWriter, rows_of};
use super::{Damage, Gallery, GalleryError, Threshold};
use crate::io::{FolderLock, IoError};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Templates that compaction copies at a time.
const COPY_TEMPLATES: usize = 4096;

/// What compaction does with a damaged gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// Nothing: the damage may still be undone from a copy.
    Refuse,
    /// Goes on without what is lost, for good.
    Drop,
}

/// What compaction did.
#[derive(Clone, Debug, PartialEq)]
pub struct Compacted {
    pub kept: usize,
    pub dropped: Vec<Damage>,
    /// Whether all older files are overwritten and gone. Where a reader still has them mapped they
    /// are not; the next writer or compaction erases them.
    pub erased: bool,
}

/// A gallery open for writing; holds its lock.
pub struct GalleryWriter {
    folder: PathBuf,
    settings: Settings,
    key: Option<GalleryKey>,
    generation: Generation,
    files: Files,
    catalogue: Catalogue,
    /// A write failed in a way that leaves open what is in the files.
    failed: bool,
    _lock: FolderLock,
}

/// The ends of the data files.
struct Files {
    templates: LogWriter,
    removals: LogWriter,
    vectors: VectorWriter,
}

impl Files {
    fn create(generation: &Generation) -> Result<Self, IoError> {
        Ok(Self {
            templates: LogWriter::create(generation, DataFile::Templates)?,
            removals: LogWriter::create(generation, DataFile::Removals)?,
            vectors: VectorWriter::create(generation)?,
        })
    }

    fn sync(&mut self) -> Result<(), IoError> {
        self.vectors.sync()?;
        for log in [&mut self.removals, &mut self.templates] {
            log.sync()?;
            log.mark();
        }
        Ok(())
    }
}

impl GalleryWriter {
    /// Creates an empty gallery in a folder that is missing or empty; encrypted if given a key.
    ///
    /// # Errors
    /// A folder that holds anything; a configuration without sense.
    pub fn create(
        folder: &Path,
        config: &GalleryConfig,
        key: Option<&GalleryKey>,
    ) -> Result<Self, GalleryError> {
        let settings = Settings::new(config, key)?;
        make_folder(folder)?;
        // Before the lock, which would leave its file in a foreign folder, and again under it.
        check_free(folder)?;
        let lock = lock(folder)?;
        check_free(folder)?;
        make_private(folder)?;
        erase(folder, settings.generation)?;
        let sealer = settings.sealer(folder, key)?;
        let generation = Generation::new(folder, &settings, sealer);
        let mut files = Files::create(&generation)?;
        files.sync()?;
        settings.write(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            settings,
            key: key.cloned(),
            generation,
            files,
            catalogue: Catalogue::default(),
            failed: false,
            _lock: lock,
        })
    }

    /// Opens a gallery for writing: cuts what a killed writer left, erases what a killed
    /// compaction left, restores damaged settings and headers. Vectors are not checked.
    ///
    /// # Errors
    /// As [`Gallery::open`], and another writer at work.
    pub fn open(
        folder: &Path,
        key: Option<&GalleryKey>,
    ) -> Result<(Self, Vec<Damage>), GalleryError> {
        // Before the lock, whose file would make a folder of any other.
        Settings::read(folder, &mut Vec::new())?;
        let lock = lock(folder)?;
        make_private(folder)?;
        let mut damage = Vec::new();
        let settings = Settings::read(folder, &mut damage)?;
        let sealer = settings.sealer(folder, key)?;
        let generation = Generation::new(folder, &settings, sealer);
        if !damage.is_empty() || !Settings::copies_agree(folder) {
            settings.write(folder)?;
        }
        let templates = read_log(&generation, DataFile::Templates, &mut damage)?;
        let removals = read_log(&generation, DataFile::Removals, &mut damage)?;
        let ends = [templates.end, removals.end];
        let path = generation.path(DataFile::Vectors);
        let length = path.metadata().map_err(|e| IoError::from_system(&path, e))?.len();
        let rows = rows_of(&generation, length);
        let catalogue = Catalogue::replay(&generation, templates, removals, rows, &mut damage);
        let files = Files {
            templates: LogWriter::open(&generation, DataFile::Templates, ends[0])?,
            removals: LogWriter::open(&generation, DataFile::Removals, ends[1])?,
            vectors: VectorWriter::open(&generation, catalogue.rows)?,
        };
        // A copy may have been restored with other modes.
        for file in DataFile::ALL {
            make_private(&generation.path(file))?;
        }
        for name in [SETTINGS, SETTINGS_COPY] {
            make_private(&folder.join(name))?;
        }
        let writer = Self {
            folder: folder.to_path_buf(),
            settings,
            key: key.cloned(),
            generation,
            files,
            catalogue,
            failed: false,
            _lock: lock,
        };
        writer.erase_others()?;
        Ok((writer, damage))
    }

    pub fn templates(&self) -> usize {
        self.catalogue.live.len()
    }

    pub fn persons(&self) -> usize {
        self.catalogue.persons()
    }

    pub fn is_enrolled(&self, person: &str, session: &str) -> bool {
        !self.catalogue.of_person(person, Some(session)).is_empty()
    }

    /// Sets from which similarity on two faces count as one person's.
    ///
    /// # Errors
    /// A threshold without sense; what the system reports.
    pub fn set_threshold(&mut self, threshold: Option<Threshold>) -> Result<(), GalleryError> {
        if let Some(threshold) = threshold {
            threshold.check()?;
        }
        let settings = Settings { threshold, ..self.settings.clone() };
        settings.write(&self.folder)?;
        self.settings = settings;
        Ok(())
    }

    /// Enrols a batch of embeddings of `model`, all or none of them; on return they are on the
    /// disk. A batch waits twice for the disk, however large it is.
    ///
    /// # Errors
    /// Another model; an embedding with values that are not finite, of length zero or wrong width;
    /// a session that is enrolled already or comes twice; a name that is none. Nothing of the
    /// batch is enrolled then.
    pub fn enrol(
        &mut self,
        model: &str,
        batch: &[NewTemplate],
    ) -> Result<Vec<TemplateNumber>, GalleryError> {
        self.check_usable()?;
        self.settings.check_model(&self.folder, model)?;
        let mut values = Vec::with_capacity(batch.len() * self.settings.dim);
        let mut qualities = Vec::with_capacity(batch.len());
        let mut seen = HashSet::new();
        for new in batch {
            let NewTemplate { person, session, labels, embedding } = new;
            check_names(person, session, labels)?;
            if self.is_enrolled(person, session) || !seen.insert((person, session)) {
                let (person, session) = (person.clone(), session.clone());
                return Err(GalleryError::Duplicate { person, session });
            }
            let which = || format!("{person}/{session}");
            let (vector, length) = normalised(which, embedding, self.settings.dim)?;
            values.extend(vector);
            qualities.push(length as f32);
        }
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let first_row = self.files.vectors.rows();
        let checksums = self.files.vectors.append(&self.generation, &values)?;
        // A record on the disk must not stand for a vector that is not.
        self.files.vectors.sync()?;
        let first_number = self.settings.number_of_row(first_row);
        let enrolments: Vec<Enrolment> = batch
            .iter()
            .zip(qualities.iter().zip(&checksums))
            .enumerate()
            .map(|(at, (new, (&quality, &checksum)))| Enrolment {
                number: first_number + at as u64,
                person: new.person.clone(),
                session: new.session.clone(),
                labels: new.labels.clone(),
                quality,
                row: first_row + at as u64,
                checksum,
            })
            .collect();
        let records: Vec<Record> = enrolments.iter().cloned().map(Record::Enrol).collect();
        self.commit(&records, false)?;
        let numbers = enrolments.iter().map(|enrolment| enrolment.number).collect();
        for enrolment in enrolments {
            self.catalogue.enrol(enrolment);
        }
        Ok(numbers)
    }

    /// Removes a person's templates, or that of one session; on return that is on the disk. The
    /// data are hidden at once and erased by [`GalleryWriter::compact`].
    ///
    /// # Errors
    /// A person or session that is not enrolled.
    pub fn remove(
        &mut self,
        person: &str,
        session: Option<&str>,
    ) -> Result<Vec<TemplateNumber>, GalleryError> {
        self.check_usable()?;
        let numbers = self.catalogue.of_person(person, session);
        if numbers.is_empty() {
            let name = session.map_or(person.to_string(), |session| format!("{person}/{session}"));
            return Err(GalleryError::NotEnrolled(name));
        }
        let records: Vec<Record> = numbers.iter().copied().map(Record::Remove).collect();
        self.commit(&records, true)?;
        for &number in &numbers {
            self.catalogue.remove(number);
        }
        Ok(numbers)
    }

    fn check_usable(&self) -> Result<(), GalleryError> {
        if self.failed {
            return Err(GalleryError::WriteFailed(self.folder.clone()));
        }
        Ok(())
    }

    /// Appends a batch and waits for the disk, or takes it back; removals go to both logs.
    fn commit(&mut self, batch: &[Record], removals: bool) -> Result<(), GalleryError> {
        let mut logs = vec![&mut self.files.templates];
        if removals {
            logs.push(&mut self.files.removals);
        }
        let ends: Vec<u64> = logs.iter().map(|log| log.end()).collect();
        let result = logs.iter_mut().try_for_each(|log| log.append(&self.generation, batch));
        let result = result.and_then(|()| logs.iter().try_for_each(|log| log.sync()));
        for (log, end) in logs.into_iter().zip(ends) {
            if result.is_ok() {
                log.mark();
            } else {
                self.failed |= log.cut_back(end).is_err();
            }
        }
        Ok(result?)
    }

    /// Writes a generation without what was removed, puts it in force, then overwrites and deletes
    /// the older files. Killed at any moment, one of the two is in force, whole.
    ///
    /// Overwriting reaches the blocks that the file system shows. Flash memory remaps what is
    /// overwritten; copy-on-write file systems, snapshots and backups keep what was. There only
    /// encryption, and the end of the key, erases.
    ///
    /// # Errors
    /// A damaged gallery, unless told to drop what is lost; what the system reports.
    pub fn compact(&mut self, on_damage: OnDamage) -> Result<Compacted, GalleryError> {
        self.check_usable()?;
        let (gallery, damage) = Gallery::open(&self.folder, self.key.as_ref())?;
        let dropped: Vec<Damage> = damage.into_iter().filter(Damage::loses_data).collect();
        if let (Some(first), OnDamage::Refuse) = (dropped.first(), on_damage) {
            return Err(GalleryError::Damaged(Box::new(first.clone())));
        }
        let newest = generations_in(&self.folder)?.last().copied().unwrap_or(0);
        let settings = Settings {
            generation: newest.max(self.settings.generation) + 1,
            next_number: self.settings.number_of_row(self.files.vectors.rows()),
            compacted_rows: gallery.served.len() as u64,
            ..self.settings.clone()
        };
        let sealer = settings.sealer(&self.folder, self.key.as_ref())?;
        let generation = Generation::new(&self.folder, &settings, sealer);
        let (files, catalogue) = match copy_served(&gallery, &generation) {
            Ok(copied) => copied,
            Err(e) => {
                // Perhaps the disk is full: half a generation must not stay.
                let _ = erase(&self.folder, generation.number);
                return Err(e.into());
            }
        };
        // Its mapping would hold off the erasure.
        drop(gallery);
        // From here on until it is through, either generation may be the one in force.
        self.failed = true;
        settings.write(&self.folder)?;
        self.failed = false;
        let kept = catalogue.live.len();
        self.settings = settings;
        self.generation = generation;
        self.catalogue = catalogue;
        self.files = files;
        let erased = self.erase_others()?;
        Ok(Compacted { kept, dropped, erased })
    }

    /// Erases the files of all generations but the one in force; returns whether all are gone.
    fn erase_others(&self) -> Result<bool, GalleryError> {
        let mut gone = true;
        for number in generations_in(&self.folder)? {
            if number != self.generation.number {
                gone &= erase(&self.folder, number)?;
            }
        }
        Ok(gone)
    }
}

/// Writes the served templates of a gallery as a new generation.
fn copy_served(gallery: &Gallery, generation: &Generation) -> Result<(Files, Catalogue), IoError> {
    let mut files = Files::create(generation)?;
    let mut catalogue = Catalogue::default();
    for stored in gallery.served.chunks(COPY_TEMPLATES) {
        let rows: Vec<&[f32]> = stored.iter().map(|s| gallery.row(s.row as usize)).collect();
        let first_row = files.vectors.rows();
        files.vectors.append(generation, &rows.concat())?;
        let numbered = stored.iter().enumerate();
        let enrolments: Vec<Enrolment> =
            numbered.map(|(at, stored)| enrolment_of(stored, first_row + at as u64)).collect();
        let records: Vec<Record> = enrolments.iter().cloned().map(Record::Enrol).collect();
        files.templates.append(generation, &records)?;
        for enrolment in enrolments {
            catalogue.enrol(enrolment);
        }
    }
    files.sync()?;
    Ok((files, catalogue))
}

fn enrolment_of(stored: &Stored, row: u64) -> Enrolment {
    let template = stored.template.clone();
    Enrolment {
        number: template.number,
        person: template.person.to_string(),
        session: template.session,
        labels: template.labels,
        quality: template.quality,
        row,
        checksum: stored.checksum,
    }
}

fn lock(folder: &Path) -> Result<FolderLock, GalleryError> {
    let lock = FolderLock::acquire(folder)?;
    make_private(&folder.join(".lock"))?;
    Ok(lock)
}

/// Creates a folder that only its owner can enter, unless there is one.
fn make_folder(folder: &Path) -> Result<(), IoError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|e| IoError::from_system(folder, e))
}

/// Refuses a folder that holds anything but what a killed creation left: data files, empty.
fn check_free(folder: &Path) -> Result<(), GalleryError> {
    if [SETTINGS, SETTINGS_COPY].iter().any(|name| folder.join(name).exists()) {
        return Err(GalleryError::Exists(folder.to_path_buf()));
    }
    let fail = |e| IoError::from_system(folder, e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let length = entry.metadata().map_err(fail)?.len();
        let empty_data = is_data_file(&name) && length <= super::vectors::HEADER_BYTES;
        // A name with this start is a temporary one, which taking the lock sweeps.
        if name != ".lock" && !name.starts_with(".lumiface-tmp-gallery") && !empty_data {
            return Err(GalleryError::Foreign(folder.to_path_buf()));
        }
    }
    Ok(())
}
