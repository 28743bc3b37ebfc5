//! A gallery wherever it lies, in a folder or in PostgreSQL, behind the same words.

use super::postgres::PostgresGallery;
use super::{
    Answer, Compacted, Damage, Gallery, GalleryConfig, GalleryError, GalleryKey, GalleryWriter,
    NewTemplate, OnDamage, SearchOptions, Template, TemplateNumber, Threshold, verify,
};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Where a gallery lies. Holds a key or a password: not printed.
pub enum Store {
    Folder {
        folder: PathBuf,
        /// Of an encrypted gallery.
        key: Option<GalleryKey>,
    },
    /// `postgres://user:password@host:port/database`, and the gallery's name there.
    Postgres { url: String, name: String },
}

/// A gallery open for reading.
pub enum Opened {
    Folder(Box<Gallery>),
    Postgres(Box<PostgresGallery>),
}

/// A gallery open for writing.
pub enum Writable {
    Folder(Box<GalleryWriter>),
    Postgres(Box<PostgresGallery>),
}

/// What a gallery holds and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub templates: u64,
    pub persons: u64,
    /// A line each; empty where all is well.
    pub findings: Vec<String>,
}

impl Store {
    /// Makes an empty gallery.
    ///
    /// # Errors
    /// As [`GalleryWriter::create`] and [`PostgresGallery::create`].
    pub fn create(&self, config: &GalleryConfig) -> Result<(), GalleryError> {
        match self {
            Self::Folder { folder, key } => {
                GalleryWriter::create(folder, config, key.as_ref())?;
            }
            Self::Postgres { url, name } => {
                PostgresGallery::create(url, name, config)?;
            }
        }
        Ok(())
    }

    /// Opens for reading; what is damaged is named and left out.
    ///
    /// # Errors
    /// As [`Gallery::open`] and [`PostgresGallery::open`].
    pub fn read(&self) -> Result<(Opened, Vec<Damage>), GalleryError> {
        match self {
            Self::Folder { folder, key } => {
                let (gallery, damage) = Gallery::open(folder, key.as_ref())?;
                Ok((Opened::Folder(Box::new(gallery)), damage))
            }
            Self::Postgres { url, name } => {
                let gallery = PostgresGallery::open(url, name)?;
                Ok((Opened::Postgres(Box::new(gallery)), Vec::new()))
            }
        }
    }

    /// Opens for writing; a folder is locked for as long.
    ///
    /// # Errors
    /// As [`GalleryWriter::open`] and [`PostgresGallery::open`].
    pub fn write(&self) -> Result<(Writable, Vec<Damage>), GalleryError> {
        match self {
            Self::Folder { folder, key } => {
                let (writer, damage) = GalleryWriter::open(folder, key.as_ref())?;
                Ok((Writable::Folder(Box::new(writer)), damage))
            }
            Self::Postgres { url, name } => {
                let gallery = PostgresGallery::open(url, name)?;
                Ok((Writable::Postgres(Box::new(gallery)), Vec::new()))
            }
        }
    }

    /// Reads everything and says what is wrong.
    ///
    /// # Errors
    /// As [`verify`] and [`PostgresGallery::verify`].
    pub fn verify(&self) -> Result<Verified, GalleryError> {
        match self {
            Self::Folder { folder, key } => {
                let report = verify(folder, key.as_ref())?;
                Ok(Verified {
                    templates: report.templates as u64,
                    persons: report.persons as u64,
                    findings: report.damage.iter().map(Damage::to_string).collect(),
                })
            }
            Self::Postgres { url, name } => PostgresGallery::open(url, name)?.verify(),
        }
    }
}

impl Opened {
    /// Hash of the model whose embeddings it holds.
    pub fn model(&self) -> &str {
        match self {
            Self::Folder(gallery) => gallery.model(),
            Self::Postgres(gallery) => gallery.model(),
        }
    }

    /// Values of an embedding.
    pub fn dim(&self) -> usize {
        match self {
            Self::Folder(gallery) => gallery.dim(),
            Self::Postgres(gallery) => gallery.dim(),
        }
    }

    pub fn threshold(&self) -> Option<Threshold> {
        match self {
            Self::Folder(gallery) => gallery.threshold(),
            Self::Postgres(gallery) => gallery.threshold(),
        }
    }

    /// Whether lumiface encrypts it; a server's disk is its administrator's.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Folder(gallery) => gallery.is_encrypted(),
            Self::Postgres(_) => false,
        }
    }

    /// The at most `k` most similar people to each probe, an embedding of `model`. Exact.
    ///
    /// # Errors
    /// As [`Gallery::search`] and [`PostgresGallery::search`].
    pub fn search<P: AsRef<[f32]>>(
        &mut self,
        model: &str,
        probes: &[P],
        k: NonZeroUsize,
        options: &SearchOptions,
    ) -> Result<Vec<Answer>, GalleryError> {
        match self {
            Self::Folder(gallery) => gallery.search(model, probes, k, options),
            Self::Postgres(gallery) => gallery.search(model, probes, k, options),
        }
    }

    /// Who is enrolled, in the order of enrolment.
    ///
    /// # Errors
    /// A connection that cannot be made or breaks.
    pub fn templates(&mut self) -> Result<Vec<Template>, GalleryError> {
        match self {
            Self::Folder(gallery) => Ok(gallery.templates().cloned().collect()),
            Self::Postgres(gallery) => gallery.templates(),
        }
    }

    /// The same with vectors of unit length.
    ///
    /// # Errors
    /// A connection that cannot be made or breaks.
    pub fn vectors(&mut self) -> Result<Vec<(Template, Vec<f32>)>, GalleryError> {
        match self {
            Self::Folder(gallery) => {
                let with_vector = |template: &Template| {
                    let vector = gallery.vector(template.number)?;
                    Some((template.clone(), vector.to_vec()))
                };
                Ok(gallery.templates().filter_map(with_vector).collect())
            }
            Self::Postgres(gallery) => gallery.vectors(),
        }
    }
}

impl Writable {
    /// Enrols a batch of embeddings of `model`, all or none; returns their numbers.
    ///
    /// # Errors
    /// As [`GalleryWriter::enrol`] and [`PostgresGallery::enrol`].
    pub fn enrol(
        &mut self,
        model: &str,
        batch: &[NewTemplate],
    ) -> Result<Vec<TemplateNumber>, GalleryError> {
        match self {
            Self::Folder(writer) => writer.enrol(model, batch),
            Self::Postgres(gallery) => gallery.enrol(model, batch),
        }
    }

    /// Removes one session of a person, or all of them; [`Self::compact`] erases.
    ///
    /// # Errors
    /// A person or session that is not enrolled; what the system or the server reports.
    pub fn remove(
        &mut self,
        person: &str,
        session: Option<&str>,
    ) -> Result<Vec<TemplateNumber>, GalleryError> {
        match self {
            Self::Folder(writer) => writer.remove(person, session),
            Self::Postgres(gallery) => gallery.remove(person, session),
        }
    }

    /// Sets from which similarity on two faces count as one person's.
    ///
    /// # Errors
    /// A threshold without sense; what the system or the server reports.
    pub fn set_threshold(&mut self, threshold: Option<Threshold>) -> Result<(), GalleryError> {
        match self {
            Self::Folder(writer) => writer.set_threshold(threshold),
            Self::Postgres(gallery) => gallery.set_threshold(threshold),
        }
    }

    /// How many templates, and of how many people.
    ///
    /// # Errors
    /// A connection that cannot be made or breaks.
    pub fn counts(&mut self) -> Result<(u64, u64), GalleryError> {
        match self {
            Self::Folder(writer) => Ok((writer.templates() as u64, writer.persons() as u64)),
            Self::Postgres(gallery) => gallery.counts(),
        }
    }

    /// Writes the gallery anew without what was removed. A database has no damage of ours:
    /// `on_damage` is for folders.
    ///
    /// # Errors
    /// As [`GalleryWriter::compact`] and [`PostgresGallery::compact`].
    pub fn compact(&mut self, on_damage: OnDamage) -> Result<Compacted, GalleryError> {
        match self {
            Self::Folder(writer) => writer.compact(on_damage),
            Self::Postgres(gallery) => {
                let erased = gallery.compact()?.erased;
                let kept = gallery.counts()?.0 as usize;
                Ok(Compacted { kept, dropped: Vec::new(), erased })
            }
        }
    }
}
