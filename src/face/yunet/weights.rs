//! The network's file: imported once, kept in the user's cache.
//!
//! `yunet.onnx` is the file as it was given; `yunet.json` beside it says where it came from, with its
//! SHA-256.

use super::network::Network;
use crate::io::{IoError, read_regular_file, read_text, sha256_hex, write_atomically, write_json};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// SHA-256 of the file `yunet_n_dynamic.onnx`.
const PUBLISHED: &str = "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12";
/// The published file has 0.3 MB.
const MAX_BYTES: u64 = 16 << 20;
const FORMAT: u32 = 1;
const NETWORK_FILE: &str = "yunet.onnx";
const RECORD_FILE: &str = "yunet.json";

#[derive(Debug, thiserror::Error)]
pub enum YuNetError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: is not a YuNet of any picture size in ONNX format ({reason}); give yunet_n_dynamic.onnx", path = .path.display())]
    OtherNetwork { path: PathBuf, reason: String },
    #[error("{path}: the detector's network is not there; run `lumiface weights import yunet FILE` first", path = .0.display())]
    Missing(PathBuf),
    #[error("{path}: the detector's network is damaged ({reason}); run `lumiface weights import yunet FILE` again", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// What an imported network was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YuNetRecord {
    pub format: u32,
    /// The file that was given.
    pub source: String,
    /// SHA-256 of that file, which is kept as it was.
    pub sha256: String,
    /// Whether it is the published one; somebody trained or converted another.
    pub published: bool,
}

/// Imports a network of YuNet from an ONNX file into a folder.
///
/// A file of another checksum than the published one is taken if its inputs and outputs fit and it runs
/// on small pictures; the record says so, and whoever imports should be told. An ONNX file runs no code,
/// and a graph with operators that YuNet has no use for is refused.
///
/// # Errors
/// A file that cannot be read or is no such network.
pub fn import_yunet(file: &Path, folder: &Path) -> Result<YuNetRecord, YuNetError> {
    let bytes = read_regular_file(file, MAX_BYTES)?;
    let other = |reason| YuNetError::OtherNetwork { path: file.to_path_buf(), reason };
    Network::of_onnx(bytes.clone()).map_err(other)?;
    let sha256 = sha256_hex(&bytes);
    write_atomically(&folder.join(NETWORK_FILE), |out| out.write_all(&bytes))?;
    let record = YuNetRecord {
        format: FORMAT,
        source: file.display().to_string(),
        published: sha256 == PUBLISHED,
        sha256,
    };
    // Last: a network without its record, or with another's, is refused.
    write_json(&folder.join(RECORD_FILE), &record)?;
    Ok(record)
}

/// Reads what [`import_yunet`] wrote to a folder.
///
/// # Errors
/// A network that is missing, or other than its record says.
pub(super) fn read(folder: &Path) -> Result<(Network, YuNetRecord), YuNetError> {
    let path = folder.join(NETWORK_FILE);
    let damaged = |reason: String| YuNetError::Damaged { path: path.clone(), reason };
    let not_there = |error: IoError| match error {
        IoError::NotFound(_) | IoError::NotAFolder(_) => YuNetError::Missing(path.clone()),
        error => error.into(),
    };
    let text = read_text(&folder.join(RECORD_FILE)).map_err(not_there)?;
    let record: YuNetRecord = serde_json::from_str(&text)
        .map_err(|e| damaged(format!("{RECORD_FILE} beside it: {e}")))?;
    if record.format != FORMAT {
        return Err(damaged(format!("format {}, not {FORMAT}", record.format)));
    }
    let bytes = read_regular_file(&path, MAX_BYTES).map_err(not_there)?;
    if sha256_hex(&bytes) != record.sha256 {
        return Err(damaged("its SHA-256 is not the recorded one".into()));
    }
    let network = Network::of_onnx(bytes).map_err(damaged)?;
    Ok((network, record))
}
