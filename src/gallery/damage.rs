//! What is wrong with a gallery's files.

use super::TemplateNumber;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A damaged place: which bytes of which file, and what it costs. Everything else is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub bytes: Range<u64>,
    pub harm: Harm,
}

/// What a damaged place costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Nothing: one of the two copies of the settings.
    Settings,
    /// Nothing: all that the header says is known from the settings.
    Header,
    /// Records: judging by the vectors that have none, of at most so many templates. A removal is
    /// recorded in two files, and damage to one does not undo it.
    Records { at_most: u64 },
    /// The vector of a template: it can be listed and removed, but not found.
    Vector { number: TemplateNumber, person: String, session: String },
    /// Nothing: the vector of a template that was removed.
    RemovedVector,
}

impl Damage {
    /// Whether a template is lost.
    pub fn loses_data(&self) -> bool {
        matches!(self.harm, Harm::Records { at_most: 1.. } | Harm::Vector { .. })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.bytes;
        write!(f, "{}: bytes {start} to {end}: ", self.file.display())?;
        match &self.harm {
            Harm::Settings => {
                write!(
                    f,
                    "damaged or missing settings; the other copy serves, a writer restores it"
                )
            }
            Harm::Header => write!(f, "damaged header; nothing is lost, a writer restores it"),
            Harm::Records { at_most: 0 } => {
                write!(f, "no readable record; no template is lost, compact the gallery")
            }
            Harm::Records { at_most } => write!(
                f,
                "no readable record; at most {at_most} template(s) are lost, restore the file or \
                 enrol them again"
            ),
            Harm::Vector { number, person, session } => write!(
                f,
                "damaged vector of {person}/{session} (template {number}), which is not served; \
                 restore the file, or remove it and enrol it again"
            ),
            Harm::RemovedVector => {
                write!(f, "damaged vector of a removed template; compact the gallery")
            }
        }
    }
}
