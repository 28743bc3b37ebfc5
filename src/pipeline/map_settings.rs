//! `preprocess.json`: what all maps of a folder have in common, and a run that is trained on them keeps.

use super::FaceOptions;
use crate::io::{IoError, read_text, write_json};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SETTINGS_FILE: &str = "preprocess.json";

/// What a network that is trained on the maps has to be shown again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MapSettings {
    pub faces: FaceOptions,
}

impl MapSettings {
    /// Of folders of maps, which must agree.
    ///
    /// # Errors
    /// Folders whose faces are brought to different places; a damaged file.
    pub fn of(folders: &[PathBuf]) -> Result<Self, IoError> {
        let mut all = None;
        for folder in folders {
            let settings = Self::read(&folder.join(SETTINGS_FILE))?.unwrap_or_default();
            if all.is_some_and(|first| first != settings) {
                return Err(IoError::unsuitable(
                    folder,
                    "its faces were not found and placed as those of the other folders; run `lumiface \
                     preprocess` with the same --align, --align-side, --margin, --detector, --frontalise \
                     and --head-mask",
                ));
            }
            all = Some(settings);
        }
        Ok(all.unwrap_or_default())
    }

    /// Of a file; `None` where there is none, as of maps and runs of earlier versions.
    ///
    /// # Errors
    /// A damaged file.
    pub fn read(path: &Path) -> Result<Option<Self>, IoError> {
        if !path.exists() {
            return Ok(None);
        }
        let text = read_text(path)?;
        let settings: Self =
            serde_json::from_str(&text).map_err(|e| IoError::unsuitable(path, e))?;
        Ok(Some(Self { faces: settings.faces.in_effect() }))
    }

    /// Refuses maps that are not as those that a run was trained on.
    ///
    /// # Errors
    /// Faces in another place than the run's; a damaged file.
    pub fn check(run: &Path, folders: &[PathBuf]) -> Result<(), IoError> {
        let Some(wanted) = Self::read(&run.join(SETTINGS_FILE))? else { return Ok(()) };
        if Self::of(folders)? == wanted {
            return Ok(());
        }
        let name = folders.first().map_or(run, PathBuf::as_path);
        Err(IoError::unsuitable(
            name,
            format!(
                "{} was trained on maps made with {}; make these so too",
                run.display(),
                wanted.faces.arguments()
            ),
        ))
    }

    /// Of a run.
    ///
    /// # Errors
    /// A damaged file.
    pub fn of_run(run: &Path) -> Result<Self, IoError> {
        Ok(Self::read(&run.join(SETTINGS_FILE))?.unwrap_or_default())
    }

    /// Keeps it in a folder of maps, or of a run that is trained on them.
    pub fn keep(&self, folder: &Path) -> Result<(), IoError> {
        write_json(&folder.join(SETTINGS_FILE), self)
    }
}
