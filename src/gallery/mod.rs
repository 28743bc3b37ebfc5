//! The gallery: face templates of enrolled people, and exact search among them.
//!
//! It lies in one folder, or in PostgreSQL ([`postgres`]); [`Store`] is either. The folder:
//!
//! ```text
//! gallery.json             model, dimension, threshold, which generation is in force
//! gallery-copy.json        the same again, for the day when the first is damaged
//! templates-0001.log       one record an enrolment or removal, each with a checksum
//! removals-0001.log        the removals once more, for the day when the other log is damaged
//! vectors-0001.bin         unit vectors of float 32, mapped into memory
//! ```
//!
//! Data files are only ever appended to. A batch is acknowledged when its vectors, then its
//! records have reached the disk, and enrolled whole or not at all. A process killed at any moment
//! leaves at worst an unfinished tail, which readers pass over and the next writer cuts. Damage is
//! found by checksums and named as [`Damage`]; everything else is served.
//!
//! Templates are biometric data. Files can be read by their owner only (mode 0600, folder 0700),
//! and are encrypted where a [`GalleryKey`] is given: XChaCha20-Poly1305, each record and vector
//! under its own nonce and bound to its place, so that none can be exchanged for another. What is
//! not hidden: how many templates there are, and how long their records. Removal hides a template
//! at once; [`GalleryWriter::compact`] erases it. Neither checksums nor encryption tell a whole
//! gallery from an older copy of itself.
//!
//! One writer, held off others by a lock, and any number of readers. A reader serves what was
//! acknowledged when it opened the gallery; it holds off the erasure of what it has mapped.

mod catalogue;
mod damage;
mod generation;
mod key;
mod log;
pub mod postgres;
mod reader;
mod search;
mod settings;
mod store;
mod template;
pub mod top_k;
mod vectors;
mod writer;

pub use damage::{Damage, Harm};
pub use key::GalleryKey;
pub use reader::{Gallery, Report, verify};
pub use search::{Accept, Answer, Match, PerPerson, SearchOptions};
pub use settings::{GalleryConfig, Threshold};
pub use store::{Opened, Store, Verified, Writable};
pub use template::{NewTemplate, Template, TemplateNumber};
pub use writer::{Compacted, GalleryWriter, OnDamage};

use crate::io::IoError;
use std::path::PathBuf;

/// Why a gallery refuses.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: is no gallery; create one there or choose another folder", path = .0.display())]
    NotAGallery(PathBuf),
    #[error("{path}: is a gallery already; choose another folder", path = .0.display())]
    Exists(PathBuf),
    #[error("{path}: holds other files; choose an empty folder for the gallery", path = .0.display())]
    Foreign(PathBuf),
    #[error("{path}: format {found} is not that of this version ({known}); use the version that wrote it", path = .path.display())]
    Format { path: PathBuf, found: u32, known: u32 },
    #[error("{path}: both copies of the settings are damaged; restore gallery.json from a copy", path = .0.display())]
    SettingsLost(PathBuf),
    #[error("{0}; correct it")]
    BadConfig(String),
    #[error("{path}: is encrypted; give its key file", path = .0.display())]
    KeyMissing(PathBuf),
    #[error("{path}: is encrypted with another key; give the right key file", path = .0.display())]
    KeyWrong(PathBuf),
    #[error("{path}: is not encrypted; leave out the key file", path = .0.display())]
    KeyNotNeeded(PathBuf),
    #[error("{path}: holds no key; give a file of 32 bytes or 64 hexadecimal digits", path = .0.display())]
    BadKeyFile(PathBuf),
    #[error("{path}: exists; a key is never overwritten, choose another file", path = .0.display())]
    KeyFileExists(PathBuf),
    #[error("{path}: holds templates of model {gallery}, not of {given}; use that model or another gallery", path = .path.display())]
    OtherModel { path: PathBuf, gallery: String, given: String },
    #[error("{which}: the embedding {what}; leave it out")]
    BadEmbedding { which: String, what: String },
    #[error("{which}: {what}; rename it")]
    BadName { which: String, what: String },
    #[error(
        "{person}/{session}: is enrolled already; remove it first or give the session another name"
    )]
    Duplicate { person: String, session: String },
    #[error("{0}: is not enrolled; check the name")]
    NotEnrolled(String),
    #[error("{0}; or have the gallery compacted without what is lost")]
    Damaged(Box<Damage>),
    #[error("{path}: an earlier write failed; open the gallery again", path = .0.display())]
    WriteFailed(PathBuf),
    #[error("{path}: is being compacted again and again; try later", path = .0.display())]
    Busy(PathBuf),
    #[error(transparent)]
    Postgres(#[from] postgres::PostgresError),
    #[error(
        "a gallery in PostgreSQL takes no key; have the server's administrator encrypt its disk"
    )]
    KeyForServer,
}
