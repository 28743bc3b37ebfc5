//! Who is enrolled: the log replayed.

use super::generation::{DataFile, Generation};
use super::log::{Enrolment, LogContent, Piece, Record};
use super::template::{Template, TemplateNumber};
use super::{Damage, Harm};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// More rows than any disk holds; a record that names a later one is no writer's.
const MAX_ROWS: u64 = 1 << 32;

/// A template and where its vector lies.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub template: Template,
    pub row: u64,
    /// CRC-32C of the vector.
    pub checksum: u32,
}

/// All templates of a gallery.
#[derive(Default)]
pub(super) struct Catalogue {
    pub live: BTreeMap<TemplateNumber, Stored>,
    /// Rows and checksums of those removed.
    pub removed: Vec<(u64, u32)>,
    /// The live templates of each person.
    persons: HashMap<Arc<str>, Vec<TemplateNumber>>,
    /// Rows that records name.
    pub rows: u64,
    last_number: TemplateNumber,
}

impl Catalogue {
    /// Replays the logs. `rows` is how many the file of vectors holds: rows without a record tell how
    /// many templates a damaged place cost.
    pub fn replay(
        generation: &Generation,
        templates: LogContent,
        removals: LogContent,
        rows: u64,
        damage: &mut Vec<Damage>,
    ) -> Self {
        let mut catalogue = Self::default();
        let mut lost: Vec<Damage> = Vec::new();
        // Of `lost`, the first one since the last enrolment that could be read.
        let mut pending = None;
        for (bytes, piece) in templates.pieces {
            let expected = catalogue.rows;
            let record = match piece {
                Piece::Record(Record::Enrol(enrolment)) => {
                    let row = enrolment.row;
                    catalogue.enrol(enrolment).then_some(Some(row))
                }
                Piece::Record(Record::Remove(number)) => {
                    catalogue.remove(number);
                    Some(None)
                }
                Piece::Damage => None,
            };
            match record {
                Some(Some(row)) => {
                    if let Some(first) = pending.take() {
                        set_lost(&mut lost, first, row - expected);
                    }
                }
                Some(None) => {}
                None => {
                    pending.get_or_insert(lost.len());
                    let file = generation.path(DataFile::Templates);
                    lost.push(Damage { file, bytes, harm: Harm::Records { at_most: 0 } });
                }
            }
        }
        if let Some(first) = pending {
            set_lost(&mut lost, first, rows.saturating_sub(catalogue.rows));
        }
        for (bytes, piece) in removals.pieces {
            if let Piece::Record(Record::Remove(number)) = piece {
                catalogue.remove(number);
            } else {
                let file = generation.path(DataFile::Removals);
                lost.push(Damage { file, bytes, harm: Harm::Records { at_most: 0 } });
            }
        }
        damage.append(&mut lost);
        catalogue
    }

    /// Takes in a template; refuses one that is out of order, which no writer wrote.
    pub fn enrol(&mut self, enrolment: Enrolment) -> bool {
        let Enrolment { number, person, session, labels, quality, row, checksum } = enrolment;
        if number <= self.last_number || row < self.rows || row >= MAX_ROWS {
            return false;
        }
        let person = match self.persons.get_key_value(person.as_str()) {
            Some((known, _)) => known.clone(),
            None => person.into(),
        };
        self.persons.entry(person.clone()).or_default().push(number);
        let template = Template { number, person, session, labels, quality };
        self.live.insert(number, Stored { template, row, checksum });
        (self.last_number, self.rows) = (number, row + 1);
        true
    }

    /// Does nothing where the number is not, or no longer, enrolled.
    pub fn remove(&mut self, number: TemplateNumber) {
        let Some(stored) = self.live.remove(&number) else { return };
        self.removed.push((stored.row, stored.checksum));
        let person = &stored.template.person;
        if let Some(numbers) = self.persons.get_mut(person) {
            numbers.retain(|&own| own != number);
            if numbers.is_empty() {
                self.persons.remove(person);
            }
        }
    }

    /// The templates of a person, or of one session.
    pub fn of_person(&self, person: &str, session: Option<&str>) -> Vec<TemplateNumber> {
        let numbers = self.persons.get(person).map_or(&[][..], Vec::as_slice);
        let of_session = |number: &&TemplateNumber| {
            session.is_none_or(|wanted| {
                self.live.get(number).is_some_and(|stored| stored.template.session == wanted)
            })
        };
        numbers.iter().filter(of_session).copied().collect()
    }

    pub fn persons(&self) -> usize {
        self.persons.len()
    }
}

fn set_lost(damages: &mut [Damage], which: usize, templates: u64) {
    if let Some(damage) = damages.get_mut(which) {
        damage.harm = Harm::Records { at_most: templates };
    }
}
