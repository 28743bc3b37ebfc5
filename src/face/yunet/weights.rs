//! The network's file: imported once, kept in the user's cache as it was given.
//!
//! Only the published file is taken. An ONNX file says what is computed, not merely with which numbers,
//! and its runtime trusts it: paddings, scales and lengths that somebody chose would take all memory or
//! end the program.

use super::network::Network;
use crate::io::{IoError, read_regular_file, sha256_hex, write_atomically};
use std::path::{Path, PathBuf};

/// SHA-256 of the file `yunet_n_dynamic.onnx`.
pub const PUBLISHED: &str = "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12";
/// The published file has 0.3 MB.
const MAX_BYTES: u64 = 16 << 20;
const FILE: &str = "yunet.onnx";

#[derive(Debug, thiserror::Error)]
pub enum YuNetError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: is not the published yunet_n_dynamic.onnx (SHA-256 {PUBLISHED}); fetch it from github.com/ShiqiYu/libfacedetection.train", path = .0.display())]
    OtherFile(PathBuf),
    #[error("{path}: the detector's network is not there; run `lumiface weights import yunet FILE` first", path = .0.display())]
    Missing(PathBuf),
    #[error("{path}: the detector's network is damaged; run `lumiface weights import yunet FILE` again", path = .0.display())]
    Damaged(PathBuf),
}

/// Imports the published network of YuNet, an ONNX file, into a folder.
///
/// # Errors
/// A file that cannot be read or is another.
pub fn import_yunet(file: &Path, folder: &Path) -> Result<(), YuNetError> {
    let bytes = read_regular_file(file, MAX_BYTES)?;
    if sha256_hex(&bytes) != PUBLISHED {
        return Err(YuNetError::OtherFile(file.to_path_buf()));
    }
    Ok(write_atomically(&folder.join(FILE), |out| out.write_all(&bytes))?)
}

/// Reads what [`import_yunet`] wrote to a folder.
///
/// # Errors
/// A network that is missing or damaged.
pub(super) fn read(folder: &Path) -> Result<Network, YuNetError> {
    let path = folder.join(FILE);
    let bytes = match read_regular_file(&path, MAX_BYTES) {
        Err(IoError::NotFound(_) | IoError::NotAFolder(_)) => {
            return Err(YuNetError::Missing(path));
        }
        bytes => bytes?,
    };
    match sha256_hex(&bytes) == PUBLISHED {
        true => Ok(Network::of_published(bytes)),
        false => Err(YuNetError::Damaged(path)),
    }
}
