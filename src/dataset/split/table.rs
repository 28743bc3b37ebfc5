//! The file of a split.

use super::Split;
use crate::io::{IoError, read_text, sha256_hex, write_atomically};
use std::path::Path;

impl Split {
    /// The table that [`Split::write`] writes: id, split, and where captures are left out a third
    /// column with their sessions as a JSON list.
    fn table(&self) -> Result<Vec<u8>, csv::Error> {
        let mut table = csv::Writer::from_writer(Vec::new());
        let columns = if self.left_out.is_empty() { 2 } else { 3 };
        table.write_record(&["id", "split", "left_out"][..columns])?;
        for (id, part) in &self.parts {
            let left_out: Vec<&str> = self
                .left_out
                .iter()
                .filter(|(person, _)| person == id)
                .map(|(_, session)| session.as_str())
                .collect();
            let list = if left_out.is_empty() {
                String::new()
            } else {
                serde_json::json!(left_out).to_string()
            };
            table.write_record(&[id.clone(), part.to_string(), list][..columns])?;
        }
        table.into_inner().map_err(|e| e.into_error().into())
    }

    /// SHA-256 of the file that [`Split::write`] writes: the split's name in results.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.table().expect("a table in memory takes every record of its own length"))
    }

    /// Writes a CSV table: id, split, and where captures are left out their sessions as a JSON list.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        let bytes = self.table().map_err(|e| IoError::unsuitable(path, e))?;
        write_atomically(path, |out| out.write_all(&bytes))
    }

    /// Reads what [`Split::write`] wrote.
    ///
    /// # Errors
    /// A damaged table, or a person in two rows.
    pub fn read(path: &Path) -> Result<Self, IoError> {
        let text = read_text(path)?;
        let mut split = Self::default();
        for (number, record) in csv::Reader::from_reader(text.as_bytes()).records().enumerate() {
            let damaged =
                |reason: String| IoError::unsuitable(path, format!("row {}: {reason}", number + 1));
            let record = record.map_err(|e| damaged(e.to_string()))?;
            if !(2..=3).contains(&record.len()) {
                return Err(damaged("is not `id,split` or `id,split,left_out`".into()));
            }
            let id = record[0].to_string();
            let left_out: Vec<String> = match record.get(2) {
                None | Some("") => Vec::new(),
                Some(list) => serde_json::from_str(list)
                    .map_err(|_| damaged(format!("`{list}` is no list of sessions")))?,
            };
            split.left_out.extend(left_out.into_iter().map(|session| (id.clone(), session)));
            let part = record[1].parse().map_err(damaged)?;
            if split.parts.insert(id.clone(), part).is_some() {
                return Err(damaged(format!("`{id}` is listed twice; keep one of the rows")));
            }
        }
        Ok(split)
    }
}
