//! Weights of the detector: imported once from PyTorch state dicts, kept in the user's cache.
//!
//! `mtcnn.safetensors` holds the tensors of the three networks under `pnet.`, `rnet.` and `onet.` and
//! their PyTorch names; `mtcnn.json` beside it says what they were made of, with SHA-256 of all files.

use crate::io::{
    IoError, NamedTensor, StateDict, read_regular_file, read_state_dict, read_text, sha256_hex,
    write_json, write_state_dict,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Each network, and the SHA-256 of the file of weights that its authors published and that
/// facenet-pytorch has shipped unchanged ever since.
const PUBLISHED: [(&str, &str); 3] = [
    ("pnet", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
    ("rnet", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
    ("onet", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
];
/// A network's file is 1.6 MB at most.
const MAX_BYTES: u64 = 64 << 20;
const FORMAT: u32 = 1;
const WEIGHTS_FILE: &str = "mtcnn.safetensors";
const RECORD_FILE: &str = "mtcnn.json";

/// Weights of convolutions (out, in, kernel, kernel) and linear layers (out, in), each with a bias a
/// channel.
const LAYERS: [(&str, &[usize]); 19] = [
    ("pnet.conv1", &[10, 3, 3, 3]),
    ("pnet.conv2", &[16, 10, 3, 3]),
    ("pnet.conv3", &[32, 16, 3, 3]),
    ("pnet.conv4_1", &[2, 32, 1, 1]),
    ("pnet.conv4_2", &[4, 32, 1, 1]),
    ("rnet.conv1", &[28, 3, 3, 3]),
    ("rnet.conv2", &[48, 28, 3, 3]),
    ("rnet.conv3", &[64, 48, 2, 2]),
    ("rnet.dense4", &[128, 576]),
    ("rnet.dense5_1", &[2, 128]),
    ("rnet.dense5_2", &[4, 128]),
    ("onet.conv1", &[32, 3, 3, 3]),
    ("onet.conv2", &[64, 32, 3, 3]),
    ("onet.conv3", &[64, 64, 3, 3]),
    ("onet.conv4", &[128, 64, 2, 2]),
    ("onet.dense5", &[256, 1152]),
    ("onet.dense6_1", &[2, 256]),
    ("onet.dense6_2", &[4, 256]),
    ("onet.dense6_3", &[10, 256]),
];
/// Slopes of parametric ReLUs, one a channel.
const SLOPES: [(&str, usize); 12] = [
    ("pnet.prelu1", 10),
    ("pnet.prelu2", 16),
    ("pnet.prelu3", 32),
    ("rnet.prelu1", 28),
    ("rnet.prelu2", 48),
    ("rnet.prelu3", 64),
    ("rnet.prelu4", 128),
    ("onet.prelu1", 32),
    ("onet.prelu2", 64),
    ("onet.prelu3", 64),
    ("onet.prelu4", 128),
    ("onet.prelu5", 256),
];

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: holds no {file}; give the folder with pnet.pt, rnet.pt and onet.pt, or the facenet-pytorch wheel", path = .path.display())]
    NoSuchNetwork { path: PathBuf, file: String },
    #[error("{path}: holds more than one {file}; unpack it and give the folder with pnet.pt, rnet.pt and onet.pt", path = .path.display())]
    SeveralNetworks { path: PathBuf, file: String },
    #[error("{path}: is neither a folder nor a zip archive ({reason}); give the folder with pnet.pt, rnet.pt and onet.pt, or the facenet-pytorch wheel", path = .path.display())]
    NoArchive { path: PathBuf, reason: String },
    #[error("{path}: {file} cannot be read ({reason}); fetch it again", path = .path.display())]
    Unreadable { path: PathBuf, file: String, reason: String },
    #[error("{path}: is not of the MTCNN detector ({reason}); give its pnet.pt, rnet.pt and onet.pt", path = .path.display())]
    OtherNetwork { path: PathBuf, reason: String },
    #[error("{path}: the detector's weights are not there; run `lumiface weights import mtcnn DIR|WHEEL` first", path = .0.display())]
    Missing(PathBuf),
    #[error("{path}: the detector's weights are damaged ({reason}); run `lumiface weights import mtcnn DIR|WHEEL` again", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("no folder for weights is known; set LUMIFACE_CACHE to one")]
    NoCache,
}

/// The shape of every tensor, by name.
fn expected_shapes() -> BTreeMap<String, Vec<usize>> {
    let mut expected = BTreeMap::new();
    for (layer, shape) in LAYERS {
        expected.insert(format!("{layer}.weight"), shape.to_vec());
        expected.insert(format!("{layer}.bias"), vec![shape[0]]);
    }
    for (layer, channels) in SLOPES {
        expected.insert(format!("{layer}.weight"), vec![channels]);
    }
    expected
}

/// Every weight of the three networks, each of the shape that it must have, all finite.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightSet {
    tensors: StateDict,
}

impl WeightSet {
    fn new(tensors: StateDict) -> Result<Self, String> {
        let expected = expected_shapes();
        for (name, shape) in &expected {
            let tensor = tensors.get(name).ok_or_else(|| format!("it lacks {name}"))?;
            if tensor.shape != *shape {
                return Err(format!("{name} is {:?}, not {shape:?}", tensor.shape));
            }
            if !tensor.values.iter().all(|value| value.is_finite()) {
                return Err(format!("{name} is not finite"));
            }
        }
        match tensors.keys().find(|name| !expected.contains_key(*name)) {
            Some(name) => Err(format!("it has {name}, which the detector has not")),
            None => Ok(Self { tensors }),
        }
    }

    /// A tensor by its full name.
    ///
    /// # Panics
    /// If the detector has none of that name.
    pub(super) fn tensor(&self, name: &str) -> &NamedTensor {
        &self.tensors[name]
    }

    /// Weights by chance, of a size that keeps what goes through the networks in range.
    #[cfg(test)]
    pub(super) fn random(seed: u64) -> Self {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let inputs: usize = shape[1..].iter().product();
            let most = (3.0 / inputs.max(4) as f32).sqrt();
            let count = shape.iter().product();
            let values = (0..count).map(|_| random.random_range(-most..most)).collect();
            (name, NamedTensor { shape, values })
        };
        Self::new(expected_shapes().into_iter().map(tensor).collect()).expect("every tensor fits")
    }

    /// Reads what [`import_weights`] wrote to a folder.
    ///
    /// # Errors
    /// Weights that are missing, or other than their record says.
    pub fn read(folder: &Path) -> Result<Self, WeightsError> {
        Ok(Self::read_recorded(folder)?.0)
    }

    /// As [`WeightSet::read`], with what they were made of.
    pub(super) fn read_recorded(folder: &Path) -> Result<(Self, WeightsRecord), WeightsError> {
        let record = WeightsRecord::read(folder)?;
        let path = folder.join(WEIGHTS_FILE);
        let damaged = |reason: String| WeightsError::Damaged { path: path.clone(), reason };
        let bytes = read_regular_file(&path, MAX_BYTES).map_err(|e| not_there(&path, e))?;
        if sha256_hex(&bytes) != record.weights_sha256 {
            return Err(damaged("their SHA-256 is not the recorded one".into()));
        }
        Ok((Self::new(read_state_dict(&path)?).map_err(damaged)?, record))
    }
}

/// What imported weights were made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsRecord {
    pub format: u32,
    /// The folder or archive that was given.
    pub source: String,
    /// SHA-256 of `pnet.pt`, `rnet.pt` and `onet.pt`.
    pub files: BTreeMap<String, String>,
    /// Files that are not the published ones: somebody trained them anew.
    pub unpublished: Vec<String>,
    /// SHA-256 of the weights as they are kept.
    pub weights_sha256: String,
}

impl WeightsRecord {
    /// Reads the record beside imported weights.
    ///
    /// # Errors
    /// A record that is missing, damaged or of another format.
    pub fn read(folder: &Path) -> Result<Self, WeightsError> {
        let path = folder.join(WEIGHTS_FILE);
        let damaged = |reason: String| WeightsError::Damaged { path: path.clone(), reason };
        let text = read_text(&folder.join(RECORD_FILE)).map_err(|e| not_there(&path, e))?;
        let record: Self = serde_json::from_str(&text)
            .map_err(|e| damaged(format!("{RECORD_FILE} beside them: {e}")))?;
        if record.format != FORMAT {
            return Err(damaged(format!("format {}, not {FORMAT}", record.format)));
        }
        Ok(record)
    }
}

fn not_there(path: &Path, error: IoError) -> WeightsError {
    match error {
        IoError::NotFound(_) | IoError::NotAFolder(_) => WeightsError::Missing(path.to_path_buf()),
        error => error.into(),
    }
}

/// Imports `pnet.pt`, `rnet.pt` and `onet.pt` from a folder or from the facenet-pytorch wheel (any zip
/// archive that holds them) into a folder.
///
/// Files of another checksum than the published ones are taken if every tensor fits: reading a state
/// dict runs nothing, people train MTCNN anew, and the record names such files. Whoever imports should
/// be told.
///
/// # Errors
/// A source without the three files, files that cannot be read or are of another network.
pub fn import_weights(source: &Path, folder: &Path) -> Result<WeightsRecord, WeightsError> {
    // Read by name and hashed as read: what lies at the source may change meanwhile.
    let copies = tempfile::tempdir().map_err(|e| IoError::from_system(&std::env::temp_dir(), e))?;
    let mut tensors = StateDict::new();
    let mut files = BTreeMap::new();
    let mut unpublished = Vec::new();
    for (net, published) in PUBLISHED {
        let file = format!("{net}.pt");
        let bytes = read_member(source, &file)?;
        let sha256 = sha256_hex(&bytes);
        let copy = copies.path().join(&file);
        std::fs::write(&copy, &bytes).map_err(|e| IoError::from_system(&copy, e))?;
        let unreadable = |e: IoError| WeightsError::Unreadable {
            path: source.to_path_buf(),
            file: file.clone(),
            reason: match e {
                IoError::Undecodable { reason, .. } => reason,
                e => e.to_string(),
            },
        };
        let of_net = read_state_dict(&copy).map_err(unreadable)?;
        tensors.extend(of_net.into_iter().map(|(name, tensor)| (format!("{net}.{name}"), tensor)));
        if sha256 != published {
            unpublished.push(file.clone());
        }
        files.insert(file, sha256);
    }
    let weights = WeightSet::new(tensors)
        .map_err(|reason| WeightsError::OtherNetwork { path: source.to_path_buf(), reason })?;
    let path = folder.join(WEIGHTS_FILE);
    write_state_dict(&path, &weights.tensors)?;
    let record = WeightsRecord {
        format: FORMAT,
        source: source.display().to_string(),
        files,
        unpublished,
        weights_sha256: sha256_hex(&read_regular_file(&path, MAX_BYTES)?),
    };
    // Last: weights without their record, or with another's, are refused.
    write_json(&folder.join(RECORD_FILE), &record)?;
    Ok(record)
}

/// The bytes of one file of a folder or archive; in an archive at any depth.
fn read_member(source: &Path, file: &str) -> Result<Vec<u8>, WeightsError> {
    let missing =
        || WeightsError::NoSuchNetwork { path: source.to_path_buf(), file: file.to_string() };
    if source.is_dir() {
        return read_regular_file(&source.join(file), MAX_BYTES).map_err(|e| match e {
            IoError::NotFound(_) => missing(),
            e => e.into(),
        });
    }
    if source.exists() && !source.is_file() {
        return Err(WeightsError::NoArchive {
            path: source.to_path_buf(),
            reason: "it is no regular file".into(),
        });
    }
    let opened = File::open(source).map_err(|e| IoError::from_system(source, e))?;
    let mut archive = zip::ZipArchive::new(opened).map_err(|e| WeightsError::NoArchive {
        path: source.to_path_buf(),
        reason: e.to_string(),
    })?;
    let mut names = archive
        .file_names()
        .filter_map(Result::ok)
        .filter(|name| name.rsplit('/').next() == Some(file))
        .map(|name| name.into_owned());
    let name = names.next().ok_or_else(missing)?;
    if names.next().is_some() {
        let path = source.to_path_buf();
        return Err(WeightsError::SeveralNetworks { path, file: file.to_string() });
    }
    drop(names);
    let unreadable = |reason: String| WeightsError::Unreadable {
        path: source.to_path_buf(),
        file: name.clone(),
        reason,
    };
    let member = archive.by_name(&name).map_err(|e| unreadable(e.to_string()))?;
    let mut bytes = Vec::new();
    let read = member.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    match read {
        Err(e) => Err(unreadable(e.to_string())),
        Ok(_) if bytes.len() as u64 > MAX_BYTES => {
            Err(unreadable(format!("is larger than {} MiB", MAX_BYTES >> 20)))
        }
        Ok(_) => Ok(bytes),
    }
}

/// Where weights are kept unless a folder is given: `$LUMIFACE_CACHE/models`, else the system's folder
/// for caches.
pub fn weights_folder() -> Result<PathBuf, WeightsError> {
    cache_folder(|name| std::env::var_os(name))
        .map(|folder| folder.join("models"))
        .ok_or(WeightsError::NoCache)
}

/// By the XDG base directory specification, which has relative paths ignored; macOS and Windows have
/// folders of their own.
fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |name: &str| set(name).filter(|path| path.is_absolute());
    let of_system = || {
        if cfg!(windows) {
            return absolute("LOCALAPPDATA");
        }
        let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
        absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(below_home)))
    };
    set("LUMIFACE_CACHE").or_else(|| Some(of_system()?.join("lumiface")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_has_to_be_there_fit_and_be_finite() {
        let good = WeightSet::random(1).tensors;
        let refused = |change: &dyn Fn(&mut StateDict)| {
            let mut tensors = good.clone();
            change(&mut tensors);
            WeightSet::new(tensors).unwrap_err()
        };
        let missing = refused(&|t| drop(t.remove("onet.prelu5.weight")));
        assert_eq!(missing, "it lacks onet.prelu5.weight");
        let narrow = refused(&|t| {
            let stored = t["rnet.dense5_2.weight"].clone();
            t.insert("rnet.dense5_1.weight".into(), stored);
        });
        assert_eq!(narrow, "rnet.dense5_1.weight is [4, 128], not [2, 128]");
        let broken = refused(&|t| {
            t.get_mut("pnet.conv1.bias").unwrap().values[3] = f32::NAN;
        });
        assert_eq!(broken, "pnet.conv1.bias is not finite");
        let foreign = refused(&|t| {
            let stored = t["pnet.conv1.bias"].clone();
            t.insert("pnet.conv9.bias".into(), stored);
        });
        assert_eq!(foreign, "it has pnet.conv9.bias, which the detector has not");
    }

    #[test]
    fn weights_are_kept_where_the_system_keeps_caches() {
        let with = |set: &'static [(&str, &str)]| {
            cache_folder(move |name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(with(&[("LUMIFACE_CACHE", "here"), ("HOME", "/h")]), Some("here".into()));
        assert_eq!(with(&[]), None);
        if cfg!(target_os = "linux") {
            let kept = Some(PathBuf::from("/c/lumiface"));
            assert_eq!(with(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), kept);
            let at_home = Some(PathBuf::from("/h/.cache/lumiface"));
            assert_eq!(with(&[("HOME", "/h"), ("LUMIFACE_CACHE", "")]), at_home);
            assert_eq!(with(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")]), at_home);
        }
    }
}
