//! What is examined: captures, whichever way they are listed.

use crate::capture::Labels;
use crate::dataset::{Collection, Manifest, Part, Split, files};
use crate::io::{IoError, read_text};
use crate::maps::Size;
use std::path::{Path, PathBuf};

/// What a capture does in its part, where a list says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Enrolled,
    Probe,
}

/// How a map is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    Normals,
    /// One float a pixel.
    Plane,
    Mask,
    /// For people to look at; of any size.
    Preview,
}

impl MapKind {
    /// In the order of [`files::ALL`].
    const OF_FILES: [Self; 7] = [
        Self::Normals,
        Self::Plane,
        Self::Plane,
        Self::Plane,
        Self::Plane,
        Self::Mask,
        Self::Preview,
    ];
}

/// One capture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// `None` where the list has no parts.
    pub part: Option<Part>,
    pub role: Option<Role>,
    pub id: String,
    pub session: String,
    pub labels: Labels,
    /// Shares lit images with other captures of the person and serves training alone.
    pub training_only: bool,
    /// Lit images.
    pub images: Vec<PathBuf>,
    pub maps: Vec<(MapKind, PathBuf)>,
    /// Of the maps, where the list says so.
    pub size: Option<Size>,
}

impl Entry {
    /// "id/session"
    pub fn name(&self) -> String {
        format!("{}/{}", self.id, self.session)
    }

    /// The captures of folders of maps; with a split, in its parts. Whom it does not know is in none.
    pub fn of_collection(collection: &Collection, split: Option<&Split>) -> Vec<Self> {
        let of_manifest = |manifest: &Manifest| -> Vec<Self> {
            let entry = |row: &crate::dataset::ManifestRow| Self {
                part: split.and_then(|split| split.part_of(&row.id, &row.session)),
                role: None,
                id: row.id.clone(),
                session: row.session.clone(),
                labels: row.labels.clone(),
                training_only: row.training_only,
                images: row.images.clone(),
                maps: MapKind::OF_FILES
                    .into_iter()
                    .zip(files::ALL)
                    .map(|(kind, file)| (kind, manifest.path(row, file)))
                    .collect(),
                size: Some(Size::new(row.height, row.width)),
            };
            // Nothing is done with what shows no face.
            manifest.rows.iter().filter(|row| row.face != Some(false)).map(entry).collect()
        };
        collection.manifests.iter().flat_map(of_manifest).collect()
    }
}

/// Reads a CSV list of captures. Columns, in any order and case: `id` and `session`; `split` (a
/// [`Part`], empty for none); `role` (`enrolled`, `probe` or empty); `training_only` (`yes` or `no`);
/// `image` (a path) or `images` (a JSON list of paths); `normals`, `albedo`, `depth`, `residual`,
/// `confidence`, `mask`, `preview` (paths); `height` and `width`. Paths start from the list's folder.
/// All others are labels; empty is unknown.
///
/// # Errors
/// A missing, damaged or empty table, or one without `id` or `session`.
pub fn read_entries(path: &Path) -> Result<Vec<Entry>, IoError> {
    let text = read_text(path)?;
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let unsuitable = |reason: String| IoError::unsuitable(path, reason);
    let columns: Vec<String> = table
        .headers()
        .map_err(|e| unsuitable(format!("is no CSV table ({e})")))?
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_lowercase())
        .collect();
    for wanted in ["id", "session"] {
        if !columns.iter().any(|column| column == wanted) {
            let reason = format!("has no column `{wanted}`; add it to the first line");
            return Err(unsuitable(reason));
        }
    }
    let root = path.parent().unwrap_or(Path::new(""));
    let mut entries = Vec::new();
    for (number, record) in table.records().enumerate() {
        let line = number + 2;
        let damaged = |reason: String| unsuitable(format!("line {line}: {reason}"));
        let record = record.map_err(|e| damaged(e.to_string()))?;
        let mut entry = Entry::default();
        let (mut height, mut width) = (None, None);
        for (column, value) in columns.iter().zip(&record).filter(|(_, value)| !value.is_empty()) {
            let side =
                || value.parse::<usize>().map_err(|_| damaged(format!("`{value}` is no {column}")));
            match column.as_str() {
                "id" => entry.id = value.to_string(),
                "session" => entry.session = value.to_string(),
                "split" => entry.part = Some(value.parse().map_err(damaged)?),
                "role" => {
                    entry.role = Some(match value {
                        "enrolled" => Role::Enrolled,
                        "probe" => Role::Probe,
                        _ => {
                            return Err(damaged(format!(
                                "`{value}` is neither enrolled nor probe"
                            )));
                        }
                    });
                }
                "training_only" => {
                    entry.training_only = match value {
                        "yes" => true,
                        "no" => false,
                        _ => return Err(damaged(format!("`{value}` is neither yes nor no"))),
                    };
                }
                "image" => entry.images.push(root.join(value)),
                "images" => {
                    let list: Vec<PathBuf> = serde_json::from_str(value)
                        .map_err(|_| damaged(format!("`{value}` is no list of paths")))?;
                    entry.images.extend(list.into_iter().map(|image| root.join(image)));
                }
                "height" => height = Some(side()?),
                "width" => width = Some(side()?),
                name => match map_kind(name) {
                    Some(kind) => entry.maps.push((kind, root.join(value))),
                    None => drop(entry.labels.insert(name.to_string(), value.to_string())),
                },
            }
        }
        if entry.id.is_empty() || entry.session.is_empty() {
            return Err(damaged("has no id or no session".into()));
        }
        entry.size = height.zip(width).map(|(height, width)| Size::new(height, width));
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(unsuitable("lists no capture".into()));
    }
    Ok(entries)
}

/// The kind of map that a column names.
fn map_kind(column: &str) -> Option<MapKind> {
    let stem = |file: &&str| file.split('.').next() == Some(column);
    files::ALL.iter().position(stem).map(|position| MapKind::OF_FILES[position])
}
