//! A generation of a gallery's data files: their names, and how they come and go.

use super::key::Sealer;
use super::settings::Settings;
use crate::io::IoError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The files of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataFile {
    Templates,
    Removals,
    Vectors,
}

impl DataFile {
    pub const ALL: [Self; 3] = [Self::Templates, Self::Removals, Self::Vectors];

    fn around_number(self) -> (&'static str, &'static str) {
        match self {
            Self::Templates => ("templates-", ".log"),
            Self::Removals => ("removals-", ".log"),
            Self::Vectors => ("vectors-", ".bin"),
        }
    }

    fn path(self, folder: &Path, number: u64) -> PathBuf {
        let (stem, ending) = self.around_number();
        folder.join(format!("{stem}{number:04}{ending}"))
    }

    /// How its header begins, and what its sealed pieces are bound to.
    pub fn magic(self) -> &'static str {
        match self {
            Self::Templates => "LFGALTEM",
            Self::Removals => "LFGALREM",
            Self::Vectors => "LFGALVEC",
        }
    }
}

/// One generation, as its files must have been written.
pub(super) struct Generation {
    pub folder: PathBuf,
    pub number: u64,
    pub id: String,
    pub dim: usize,
    pub sealer: Option<Sealer>,
}

impl Generation {
    pub fn new(folder: &Path, settings: &Settings, sealer: Option<Sealer>) -> Self {
        Self {
            folder: folder.to_path_buf(),
            number: settings.generation,
            id: settings.id.clone(),
            dim: settings.dim,
            sealer,
        }
    }

    pub fn path(&self, file: DataFile) -> PathBuf {
        file.path(&self.folder, self.number)
    }

    /// A payload or row as it stands in the file.
    pub fn sealed(&self, file: DataFile, position: u64, plain: &[u8]) -> Vec<u8> {
        match &self.sealer {
            Some(sealer) => sealer.seal(file.magic(), self.number, position, plain),
            None => plain.to_vec(),
        }
    }

    /// `None` where it was not sealed for this place.
    pub fn opened(&self, file: DataFile, position: u64, stored: &[u8]) -> Option<Vec<u8>> {
        match &self.sealer {
            Some(sealer) => sealer.open(file.magic(), self.number, position, stored),
            None => Some(stored.to_vec()),
        }
    }

    /// How a file's header begins: what it is, and of which generation of which gallery.
    pub fn header_start(&self, file: DataFile) -> Vec<u8> {
        let format = super::settings::FORMAT.to_le_bytes();
        let sealed = u32::from(self.sealer.is_some()).to_le_bytes();
        let (number, dim) = (self.number.to_le_bytes(), (self.dim as u64).to_le_bytes());
        [file.magic().as_bytes(), &format, &sealed, &number, &dim, self.id.as_bytes()].concat()
    }
}

/// Creates a file that only its owner can read, or fails where there is one.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// Takes a file or folder from everyone but its owner.
pub(super) fn make_private(path: &Path) -> Result<(), IoError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let fail = |e| IoError::from_system(path, e);
        let mode = if path.metadata().map_err(fail)?.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
    }
    Ok(())
}

/// Of which generation a file is, by its name; `None` where it is none of ours.
fn generation_of(name: &str) -> Option<u64> {
    DataFile::ALL.iter().find_map(|file| {
        let (stem, ending) = file.around_number();
        name.strip_prefix(stem)?.strip_suffix(ending)?.parse::<u64>().ok()
    })
}

pub(super) fn is_data_file(name: &str) -> bool {
    generation_of(name).is_some()
}

/// Numbers of the generations that have files in a folder, rising.
pub(super) fn generations_in(folder: &Path) -> Result<Vec<u64>, IoError> {
    let fail = |e| IoError::from_system(folder, e);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        numbers.extend(generation_of(&name.to_string_lossy()));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Overwrites the files of a generation with zeros and deletes them, unless a reader has them
/// mapped; returns whether they are gone.
///
/// Overwriting reaches the blocks that the file system shows. Flash memory remaps what is
/// overwritten, copy-on-write file systems, snapshots and backups keep what was: there, only
/// encryption and the loss of the key erase.
pub(super) fn erase(folder: &Path, number: u64) -> Result<bool, IoError> {
    let vectors = DataFile::Vectors.path(folder, number);
    // Readers hold a shared lock on the vectors.
    let guard = match OpenOptions::new().read(true).write(true).open(&vectors) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(IoError::from_system(&vectors, e)),
    };
    if let Some(file) = &guard
        && let Err(TryLockError::WouldBlock) = file.try_lock()
    {
        return Ok(false);
    }
    for file in DataFile::ALL {
        erase_file(&file.path(folder, number))?;
    }
    Ok(true)
}

fn erase_file(path: &Path) -> Result<(), IoError> {
    let overwrite = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let mut left = file.metadata()?.len();
        let zeros = vec![0; 1 << 20];
        file.seek(SeekFrom::Start(0))?;
        while left > 0 {
            let count = left.min(zeros.len() as u64);
            file.write_all(&zeros[..count as usize])?;
            left -= count;
        }
        file.sync_all()?;
        std::fs::remove_file(path)
    };
    match overwrite() {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(IoError::from_system(path, e)),
        _ => Ok(()),
    }
}
