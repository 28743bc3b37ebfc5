//! `gallery.json` and its copy: what a gallery is, and which generation of its files is in force.

use super::key::{GalleryKey, Sealer};
use super::template::TemplateNumber;
use super::{Damage, GalleryError, Harm};
use crate::io::{IoError, read_regular_file, sha256_hex, write_atomically};
use chacha20poly1305::aead::Generate;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised whenever an older version could not read the files.
pub(super) const FORMAT: u32 = 1;
pub(super) const SETTINGS: &str = "gallery.json";
pub(super) const SETTINGS_COPY: &str = "gallery-copy.json";
/// Widest embedding.
const MAX_DIM: usize = 1 << 16;

/// What a gallery is created for.
#[derive(Clone, Debug, PartialEq)]
pub struct GalleryConfig {
    /// Hash of the model that makes the embeddings; those of others are refused.
    pub model: String,
    /// Values of an embedding.
    pub dim: usize,
    pub threshold: Option<Threshold>,
}

/// From which similarity on two faces count as one person's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Cosine, −1 to 1.
    pub similarity: f64,
    /// The false acceptance rate that it was chosen for, where it was chosen so.
    pub far: Option<f64>,
}

impl Threshold {
    pub(super) fn check(self) -> Result<(), GalleryError> {
        if !(-1.0..=1.0).contains(&self.similarity) {
            let text = format!("threshold {}: a similarity lies in -1..1", self.similarity);
            return Err(GalleryError::BadConfig(text));
        }
        match self.far {
            Some(far) if !(0.0..=1.0).contains(&far) => {
                let text = format!("false acceptance rate {far}: a rate lies in 0..1");
                Err(GalleryError::BadConfig(text))
            }
            _ => Ok(()),
        }
    }
}

/// The content of `gallery.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub format: u32,
    /// Drawn at creation: pieces of one gallery are not taken for another's.
    pub id: String,
    pub model: String,
    pub dim: usize,
    pub threshold: Option<Threshold>,
    /// The generation of data files in force.
    pub generation: u64,
    /// Rows that compaction wrote; those behind are numbered from `next_number` on.
    pub compacted_rows: u64,
    pub next_number: u64,
    /// An empty message, sealed, in hexadecimal: tells whether a key is the right one.
    pub key_check: Option<String>,
    /// SHA-256 of the file with zeros in this place; last, and set only in the file.
    pub checksum: String,
}

/// What can be read of a file of any format.
#[derive(Deserialize)]
struct Outline {
    format: u32,
    checksum: String,
}

const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Settings {
    pub fn new(config: &GalleryConfig, key: Option<&GalleryKey>) -> Result<Self, GalleryError> {
        if config.model.is_empty() {
            return Err(GalleryError::BadConfig("the model's hash is empty".into()));
        }
        if config.dim == 0 || config.dim > MAX_DIM {
            let text = format!("dimension {}: give one of 1 to {MAX_DIM}", config.dim);
            return Err(GalleryError::BadConfig(text));
        }
        if let Some(threshold) = config.threshold {
            threshold.check()?;
        }
        let id = hex(&<[u8; 16]>::generate());
        let key_check = key.map(|key| hex(&Sealer::new(key, &id).seal("check", 0, 0, b"")));
        Ok(Self {
            format: FORMAT,
            id,
            model: config.model.clone(),
            dim: config.dim,
            threshold: config.threshold,
            generation: 1,
            compacted_rows: 0,
            next_number: 1,
            key_check,
            checksum: NO_CHECKSUM.into(),
        })
    }

    /// What seals this gallery's pieces; `None` where they are not sealed.
    pub fn sealer(
        &self,
        folder: &Path,
        key: Option<&GalleryKey>,
    ) -> Result<Option<Sealer>, GalleryError> {
        let path = || folder.to_path_buf();
        match (&self.key_check, key) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(GalleryError::KeyNotNeeded(path())),
            (Some(_), None) => Err(GalleryError::KeyMissing(path())),
            (Some(check), Some(key)) => {
                let sealer = Sealer::new(key, &self.id);
                unhex(check)
                    .and_then(|check| sealer.open("check", 0, 0, &check))
                    .ok_or_else(|| GalleryError::KeyWrong(path()))?;
                Ok(Some(sealer))
            }
        }
    }

    /// Refuses embeddings of another model.
    pub fn check_model(&self, folder: &Path, model: &str) -> Result<(), GalleryError> {
        if self.model == model {
            return Ok(());
        }
        let (gallery, given) = (self.model.clone(), model.to_string());
        Err(GalleryError::OtherModel { path: folder.to_path_buf(), gallery, given })
    }

    /// The number of the template that is enrolled into a row.
    pub fn number_of_row(&self, row: u64) -> TemplateNumber {
        self.next_number.saturating_add(row.saturating_sub(self.compacted_rows))
    }

    /// Whether the two copies hold the same.
    pub fn copies_agree(folder: &Path) -> bool {
        let [first, second] =
            [SETTINGS, SETTINGS_COPY].map(|name| std::fs::read(folder.join(name)).ok());
        first.is_some() && first == second
    }

    /// Writes both copies, one after the other.
    pub fn write(&self, folder: &Path) -> Result<(), GalleryError> {
        let unsummed = Self { checksum: NO_CHECKSUM.into(), ..self.clone() };
        let path = folder.join(SETTINGS);
        let text =
            serde_json::to_string_pretty(&unsummed).map_err(|e| IoError::unsuitable(&path, e))?;
        // From the end: no other value can be taken for it.
        let at = text.rfind(NO_CHECKSUM).unwrap_or(text.len());
        let (before, after) = (&text[..at], text[at..].trim_start_matches('0'));
        let text = format!("{before}{}{after}", sha256_hex(text.as_bytes()));
        for path in [path, folder.join(SETTINGS_COPY)] {
            write_atomically(&path, |out| out.write_all(text.as_bytes()))?;
            super::generation::make_private(&path)?;
        }
        Ok(())
    }

    /// Reads the first copy that is whole. A difference between two whole ones is no damage: the
    /// writer was killed between them, and the first holds.
    ///
    /// # Errors
    /// A folder without either, with none that is whole, or of another format.
    pub fn read(folder: &Path, damage: &mut Vec<Damage>) -> Result<Self, GalleryError> {
        let paths = [folder.join(SETTINGS), folder.join(SETTINGS_COPY)];
        if !folder.exists() {
            return Err(IoError::NotFound(folder.to_path_buf()).into());
        }
        if !paths.iter().any(|path| path.exists()) {
            return Err(GalleryError::NotAGallery(folder.to_path_buf()));
        }
        let [first, second] = paths.map(|path| Self::read_copy(path, damage));
        match (first?, second?) {
            (Some(settings), _) | (None, Some(settings)) => Ok(settings),
            (None, None) => Err(GalleryError::SettingsLost(folder.to_path_buf())),
        }
    }

    /// `None`, and a damage, where it is missing or not what was written.
    fn read_copy(path: PathBuf, damage: &mut Vec<Damage>) -> Result<Option<Self>, GalleryError> {
        let bytes = match read_regular_file(&path, 1 << 20) {
            Err(IoError::NotFound(_)) => Vec::new(),
            other => other?,
        };
        let outline = serde_json::from_slice::<Outline>(&bytes).ok();
        let whole = outline.filter(|outline| {
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            let at = text.rfind(&outline.checksum).unwrap_or(0);
            let (before, after) = text.split_at(at);
            let after = after.strip_prefix(&outline.checksum).unwrap_or(after);
            sha256_hex(format!("{before}{NO_CHECKSUM}{after}").as_bytes()) == outline.checksum
        });
        let settings = serde_json::from_slice::<Self>(&bytes).ok();
        let settings = settings.filter(|settings| (1..=MAX_DIM).contains(&settings.dim));
        match whole {
            Some(outline) if outline.format != FORMAT => {
                Err(GalleryError::Format { path, found: outline.format, known: FORMAT })
            }
            Some(_) if settings.is_some() => Ok(settings),
            _ => {
                let bytes = 0..bytes.len() as u64;
                damage.push(Damage { file: path, bytes, harm: Harm::Settings });
                Ok(None)
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
