//! The manifest: one CSV row per capture, what every stage after preprocessing reads.

use crate::capture::{LABEL_COLUMNS, Labels};
use crate::io::{IoError, read_text, write_atomically};
use std::path::{Path, PathBuf};

pub const MANIFEST_FILE: &str = "manifest.csv";

/// "yes" or "no" where a face was looked for; missing in manifests of earlier versions.
const FACE_COLUMN: &str = "face";
const COLUMNS: [&str; 18] = [
    "id",
    "session",
    "normals",
    "albedo",
    "depth",
    "residual",
    "confidence",
    "mask",
    "preview",
    "height",
    "width",
    "lights",
    "solver",
    "condition_number",
    "depth_unit",
    "training_only",
    "images",
    "warnings",
];

/// One capture and its maps.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ManifestRow {
    pub id: String,
    pub session: String,
    pub labels: Labels,
    /// Folder of the maps, relative to the manifest; file names within it are fixed.
    pub folder: PathBuf,
    pub height: usize,
    pub width: usize,
    /// Images that were solved.
    pub lights: usize,
    /// Name of the solver that did the work.
    pub solver: String,
    pub condition_number: f64,
    /// Shares lit images with other captures of the person, so it is never enrolled nor a probe.
    pub training_only: bool,
    /// Whether a face was found; `None` where none was looked for. A capture without one is in no
    /// [`super::Collection`].
    #[serde(default)]
    pub face: Option<bool>,
    /// The lit images, as they were given to `preprocess`; those that it aligned lie with the maps, and
    /// the manifest has them relative to itself.
    pub images: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

/// Names of the files in a capture's folder.
pub mod files {
    pub const NORMALS: &str = "normals.exr";
    pub const ALBEDO: &str = "albedo.exr";
    pub const DEPTH: &str = "depth.exr";
    pub const RESIDUAL: &str = "residual.exr";
    pub const CONFIDENCE: &str = "confidence.exr";
    pub const MASK: &str = "mask.png";
    pub const PREVIEW: &str = "preview.png";
    /// What every capture has, in the order of the manifest's columns.
    pub const ALL: [&str; 7] = [NORMALS, ALBEDO, DEPTH, RESIDUAL, CONFIDENCE, MASK, PREVIEW];
    /// Only where the images have colour.
    pub const ALBEDO_RGB: &str = "albedo_rgb.exr";
    pub const QUALITY: &str = "quality.json";
    /// Only where a face was looked for and found.
    pub const FACE: &str = "face.json";
    /// Whether it is the name of an aligned lit image.
    pub fn is_lit(name: &str) -> bool {
        let number = name.strip_prefix("lit_").and_then(|rest| rest.strip_suffix(".png"));
        number.is_some_and(|digits| digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit()))
    }

    /// An aligned lit image.
    pub fn lit(index: usize) -> String {
        format!("lit_{index:02}.png")
    }
}

/// Unit of `depth.exr` under an orthographic camera of unknown scale: one image pixel.
const DEPTH_UNIT: &str = "px";

impl ManifestRow {
    /// Whether it shows a print or a screen in place of a face.
    pub fn is_attack(&self) -> bool {
        self.labels.get("attack").is_some_and(|kind| kind != "none")
    }

    /// "id/session"
    pub fn name(&self) -> String {
        format!("{}/{}", self.id, self.session)
    }
}

/// A folder of maps and what its manifest says of them.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The folder that the rows' paths start from.
    pub root: PathBuf,
    pub rows: Vec<ManifestRow>,
}

impl Manifest {
    /// Writes `<root>/manifest.csv`, whole or not at all.
    pub fn write(&self) -> Result<(), IoError> {
        let path = self.root.join(MANIFEST_FILE);
        let mut table = csv::Writer::from_writer(Vec::new());
        let header = COLUMNS[..2].iter().chain(&LABEL_COLUMNS).chain(&COLUMNS[2..]);
        let header = header.chain([&FACE_COLUMN]);
        let unwritable = |e: csv::Error| IoError::unsuitable(&path, e);
        table.write_record(header).map_err(unwritable)?;
        for row in &self.rows {
            let mut record = vec![row.id.clone(), row.session.clone()];
            record.extend(
                LABEL_COLUMNS.iter().map(|c| row.labels.get(*c).cloned().unwrap_or_default()),
            );
            record.extend(files::ALL.iter().map(|file| portable(&row.folder.join(file))));
            let images: Vec<String> = row.images.iter().map(|path| portable(path)).collect();
            let list = |values: &[String]| serde_json::json!(values).to_string();
            let yes = |yes: bool| (if yes { "yes" } else { "no" }).to_string();
            record.extend([
                row.height.to_string(),
                row.width.to_string(),
                row.lights.to_string(),
                row.solver.clone(),
                format!("{:.3}", row.condition_number),
                DEPTH_UNIT.to_string(),
                yes(row.training_only),
                list(&images),
                list(&row.warnings),
                row.face.map(yes).unwrap_or_default(),
            ]);
            table.write_record(&record).map_err(unwritable)?;
        }
        let bytes = table.into_inner().map_err(|e| IoError::unsuitable(&path, e))?;
        write_atomically(&path, |out| out.write_all(&bytes))
    }

    /// Reads `<root>/manifest.csv`.
    ///
    /// # Errors
    /// A missing or damaged manifest, or one without captures.
    pub fn read(root: &Path) -> Result<Self, IoError> {
        let path = root.join(MANIFEST_FILE);
        if root.is_dir() && !path.exists() {
            return Err(IoError::unsuitable(
                &path,
                "not found; run `lumiface preprocess` with this folder as --out, to its end",
            ));
        }
        let text = read_text(&path)?;
        let mut table = csv::Reader::from_reader(text.as_bytes());
        let damaged = |reason: String| {
            IoError::unsuitable(&path, format!("{reason}; run `lumiface preprocess` again"))
        };
        let headers = table.headers().map_err(|e| damaged(e.to_string()))?.clone();
        let column = |name: &str| {
            headers
                .iter()
                .position(|header| header == name)
                .ok_or_else(|| damaged(format!("has no column `{name}`")))
        };
        let positions = COLUMNS.map(column);
        let face = column(FACE_COLUMN).ok();
        let mut at = [0; COLUMNS.len()];
        for (position, slot) in positions.into_iter().zip(&mut at) {
            *slot = position?;
        }
        let [
            id,
            session,
            normals,
            ..,
            height,
            width,
            lights,
            solver,
            condition,
            _,
            training_only,
            images,
            warnings,
        ] = at;
        let maps = [normals, at[3], at[4], at[5], at[6], at[7], at[8]];
        let mut names = std::collections::BTreeSet::new();
        let mut rows = Vec::new();
        for (number, record) in table.records().enumerate() {
            let line = number + 2;
            let record = record.map_err(|e| damaged(format!("line {line}: {e}")))?;
            let number = |position: usize| {
                record[position].parse::<f64>().map_err(|_| {
                    damaged(format!("line {line}: `{}` is no number", &record[position]))
                })
            };
            let list = |position: usize| {
                serde_json::from_str::<Vec<String>>(&record[position]).map_err(|_| {
                    damaged(format!("line {line}: `{}` is no list", &record[position]))
                })
            };
            let folder = Path::new(&record[normals]).parent().unwrap_or(Path::new(""));
            for (file, position) in files::ALL.iter().zip(maps) {
                if record[position] != portable(&folder.join(file)) {
                    return Err(damaged(format!(
                        "line {line}: `{}` is not {file} in the folder of the normals",
                        &record[position]
                    )));
                }
            }
            if !names.insert((record[id].to_string(), record[session].to_string())) {
                return Err(damaged(format!(
                    "line {line}: {}/{} is listed twice",
                    &record[id], &record[session]
                )));
            }
            let yes = |position: usize| match &record[position] {
                "yes" => Ok(true),
                "no" => Ok(false),
                other => Err(damaged(format!("line {line}: `{other}` is neither yes nor no"))),
            };
            let face = face.filter(|&position| !record[position].is_empty());
            rows.push(ManifestRow {
                id: record[id].to_string(),
                session: record[session].to_string(),
                labels: LABEL_COLUMNS
                    .iter()
                    .filter_map(|name| {
                        let value = &record[headers.iter().position(|h| h == *name)?];
                        (!value.is_empty()).then(|| (name.to_string(), value.to_string()))
                    })
                    .collect(),
                folder: folder.to_path_buf(),
                height: number(height)? as usize,
                width: number(width)? as usize,
                lights: number(lights)? as usize,
                solver: record[solver].to_string(),
                condition_number: number(condition)?,
                training_only: yes(training_only)?,
                face: face.map(yes).transpose()?,
                images: list(images)?.into_iter().map(|image| root.join(image)).collect(),
                warnings: list(warnings)?,
            });
        }
        if rows.is_empty() {
            return Err(IoError::unsuitable(&path, "lists no capture; run `lumiface preprocess`"));
        }
        Ok(Self { root: root.to_path_buf(), rows })
    }

    /// Path of one of a capture's [`files`].
    pub fn path(&self, row: &ManifestRow, file: &str) -> PathBuf {
        self.root.join(&row.folder).join(file)
    }
}

/// Forward slashes on every system, so that a manifest can be moved between them.
fn portable(path: &Path) -> String {
    let text = path.to_string_lossy();
    if cfg!(windows) { text.replace('\\', "/") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(session: &str) -> ManifestRow {
        ManifestRow {
            id: "1001".into(),
            session: session.into(),
            labels: [("gender".to_string(), "male".to_string())].into(),
            folder: Path::new("1001").join(session),
            height: 192,
            width: 168,
            lights: 4,
            solver: "weighted".into(),
            condition_number: 2.5,
            training_only: session == "b",
            face: (session == "b").then_some(false),
            images: vec!["/a, b/im0.png".into(), "/im1.png".into()],
            warnings: vec!["said \"no\"".into(), "two".into()],
        }
    }

    #[test]
    fn rows_come_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let written =
            Manifest { root: folder.path().to_path_buf(), rows: vec![row("a"), row("b")] };
        written.write().unwrap();
        let read = Manifest::read(folder.path()).unwrap();
        assert_eq!(read.rows, written.rows);
        let text = std::fs::read_to_string(folder.path().join(MANIFEST_FILE)).unwrap();
        assert!(text.starts_with("id,session,gender,spectacles,"), "{text}");
        assert!(text.contains("1001/a/normals.exr") && text.contains(",px,"), "{text}");
    }

    #[test]
    fn a_missing_or_damaged_manifest_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let message = Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("lumiface preprocess"), "{message}");
        std::fs::write(folder.path().join(MANIFEST_FILE), "id,session\n1,2\n").unwrap();
        let message = Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no column `normals`"), "{message}");
    }
}
