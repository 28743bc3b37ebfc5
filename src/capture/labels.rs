//! What is known about a capture besides its pixels: a table with one row per session.

use super::CaptureError;
use crate::config::did_you_mean;
use crate::io::read_text;
use std::collections::BTreeMap;
use std::path::Path;

/// Columns that a label table may have beside `id` and `session`. Case does not matter.
pub const LABEL_COLUMNS: [&str; 8] =
    ["gender", "spectacles", "facial_hair", "pose", "quality", "occlusion", "emotion", "attack"];

/// Labels of one capture by column name (one of [`LABEL_COLUMNS`]); an unknown value is absent.
pub type Labels = BTreeMap<String, String>;

/// Reads a label table: id, session → labels.
///
/// # Errors
/// A missing `id` or `session` column, an unknown column, or a row of the wrong length.
pub fn read_label_table(path: &Path) -> Result<BTreeMap<(String, String), Labels>, CaptureError> {
    let text = read_text(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let malformed = |reason: String| CaptureError::malformed(path, reason);
    let columns: Vec<String> = reader
        .headers()
        .map_err(|e| malformed(format!("is no CSV table ({e})")))?
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_lowercase())
        .collect();
    for name in &columns {
        let known = ["id", "session"].iter().chain(&LABEL_COLUMNS).copied().collect::<Vec<_>>();
        if !known.contains(&name.as_str()) {
            return Err(malformed(format!(
                "has an unknown column `{name}`{}; known columns: {}",
                did_you_mean(name, &known),
                known.join(", ")
            )));
        }
    }
    if let Some(twice) = columns.iter().enumerate().find(|(i, name)| columns[..*i].contains(name)) {
        return Err(malformed(format!("has the column `{}` twice; keep one of them", twice.1)));
    }
    let position = |wanted: &str| {
        columns
            .iter()
            .position(|name| name == wanted)
            .ok_or_else(|| malformed(format!("has no column `{wanted}`; add it to the first line")))
    };
    let (id_column, session_column) = (position("id")?, position("session")?);

    let mut table = BTreeMap::new();
    for (number, record) in reader.records().enumerate() {
        let line = number + 2;
        let record = record.map_err(|e| malformed(format!("line {line} cannot be read ({e})")))?;
        let (id, session) = (&record[id_column], &record[session_column]);
        if id.is_empty() || session.is_empty() {
            return Err(malformed(format!("line {line} has no id or no session")));
        }
        let labels = columns
            .iter()
            .zip(&record)
            .enumerate()
            .filter(|(i, (_, value))| ![id_column, session_column].contains(i) && !value.is_empty())
            .map(|(_, (name, value))| (name.clone(), value.to_string()))
            .collect();
        if table.insert((id.to_string(), session.to_string()), labels).is_some() {
            return Err(malformed(format!("line {line} repeats {id}/{session}; keep one of them")));
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<(String, String), Labels>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_label_table(file.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn columns_are_found_by_name_and_empty_means_unknown() {
        let table = read("Session,id,Gender,Emotion\ns1,1001,male,\n").unwrap();
        let labels = &table[&("1001".to_string(), "s1".to_string())];
        assert_eq!(labels.len(), 1);
        assert_eq!(labels["gender"], "male");
    }

    #[test]
    fn mistakes_are_named() {
        let message = read("id,session,Gendr\n1,2,male\n").unwrap_err();
        assert!(message.contains("`gendr`") && message.contains("`gender`"), "{message}");
        assert!(read("id,Gender\n1,male\n").unwrap_err().contains("no column `session`"));
        assert!(read("id,session\n1,2\n1,2\n").unwrap_err().contains("line 3 repeats"));
        assert!(read("id,session\n1,2,3\n").unwrap_err().contains("line 2"));
    }
}
