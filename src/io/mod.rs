//! Reading and writing files: images, float maps, meshes, and writes that are whole or not at all.

mod atomic;
mod decode;
mod embeddings;
mod exr_map;
mod hash;
mod mesh;
mod normal_image;
mod photo;
mod picture;
mod state_dict;

pub use atomic::{FolderLock, StagedFolder, remove_folder, write_atomically};
pub use decode::image_size;
pub use embeddings::{EmbeddedCapture, Embeddings};
pub use exr_map::{
    MapCompression, read_albedo, read_normals, read_plane, read_rgb, write_albedo, write_normals,
    write_plane, write_rgb,
};
pub use hash::sha256_hex;
pub use mesh::{Mesh, orthographic_positions, perspective_positions, write_mesh};
pub use normal_image::{YAxis, read_camera, read_normal_image};
pub(crate) use photo::srgb_encoded;
pub use photo::{
    GreyImage, LUMINANCE, Photo, Transfer, grey_of_bytes, luminance, read_grey, read_photo,
};
pub use picture::{Picture, read_mask, read_picture, read_upright, write_grey, write_mask};
pub use state_dict::{NamedTensor, StateDict, read_state_dict, write_state_dict};

use std::path::{Path, PathBuf};

/// A file that could not be read or written: which one, why, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    #[error("{path}: not found; check the path or restore the file", path = .0.display())]
    NotFound(PathBuf),
    #[error("{path}: the disk is full; free space and run the same command again", path = .0.display())]
    DiskFull(PathBuf),
    #[error("{path}: is a file; give a folder", path = .0.display())]
    NotAFolder(PathBuf),
    #[error("{path}: is a folder; give a file", path = .0.display())]
    NotAFile(PathBuf),
    #[error("{path}: access is denied; change its permissions, or choose another path", path = .0.display())]
    Denied(PathBuf),
    // Not named `source`: an error chain would print it twice.
    #[error("{path}: {error}", path = .path.display())]
    System { path: PathBuf, error: std::io::Error },
    #[error("{path}: cannot be decoded ({reason}); replace the file", path = .path.display())]
    Undecodable { path: PathBuf, reason: String },
    #[error("{path}: {reason}", path = .path.display())]
    Unsuitable { path: PathBuf, reason: String },
    #[error("{path}: another lumiface is writing there; wait for it or choose another folder", path = .0.display())]
    Locked(PathBuf),
}

impl IoError {
    /// Gives an operating-system error its path and, where there is one, its remedy.
    pub fn from_system(path: &Path, error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound(path.to_path_buf()),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull(path.to_path_buf())
            }
            std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => {
                Self::NotAFolder(path.to_path_buf())
            }
            std::io::ErrorKind::IsADirectory => Self::NotAFile(path.to_path_buf()),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied(path.to_path_buf())
            }
            _ => Self::System { path: path.to_path_buf(), error },
        }
    }

    pub(crate) fn undecodable(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Undecodable { path: path.to_path_buf(), reason: reason.to_string() }
    }

    pub(crate) fn unsuitable(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Unsuitable { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

/// Writes a value as JSON, whole or not at all.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), IoError> {
    let json = serde_json::to_vec_pretty(value).map_err(|e| IoError::unsuitable(path, e))?;
    write_atomically(path, |out| out.write_all(&json))
}

/// Deletes a file; one that is not there is as good as deleted.
pub fn remove_file(path: &Path) -> Result<(), IoError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(IoError::from_system(path, e)),
        _ => Ok(()),
    }
}

/// Most bytes of a text file: a manifest of some hundred thousand captures.
const MAX_TEXT_BYTES: u64 = 1 << 30;

/// Reads a file whole, unless it is longer than `most` bytes or none that ends (a pipe, a device).
pub(crate) fn read_regular_file(path: &Path, most: u64) -> Result<Vec<u8>, IoError> {
    let metadata = path.metadata().map_err(|e| IoError::from_system(path, e))?;
    if metadata.is_dir() {
        return Err(IoError::NotAFile(path.to_path_buf()));
    }
    if !metadata.is_file() {
        return Err(IoError::unsuitable(path, "is no regular file; copy it to one"));
    }
    if metadata.len() > most {
        let reason = format!("is larger than {} MiB; is it the right file?", most >> 20);
        return Err(IoError::unsuitable(path, reason));
    }
    std::fs::read(path).map_err(|e| IoError::from_system(path, e))
}

/// Reads a UTF-8 text file of at most `most` bytes.
pub fn read_text_of(path: &Path, most: u64) -> Result<String, IoError> {
    let bytes = read_regular_file(path, most)?;
    String::from_utf8(bytes).map_err(|_| IoError::unsuitable(path, "is not UTF-8 text"))
}

/// Reads a whole UTF-8 text file.
pub fn read_text(path: &Path) -> Result<String, IoError> {
    read_text_of(path, MAX_TEXT_BYTES)
}
