//! Packs: what training reads, made once from the maps and then mapped into memory.
//!
//! A map of every capture of a folder of maps, at one size, in shards of bounded length:
//!
//! ```text
//! <packs>/albedo-80/pack.json             what is where, and the SHA-256 of each shard
//! <packs>/albedo-80/shard-0000.safetensors    one tensor `maps` (planes, side, side), float 32
//! ```
//!
//! A pack is derived data: where it is of other maps than lie there now, or a shard was cut or
//! changed, it is made anew. The index is written last, so a killed build leaves no pack.

use super::sample::load_map;
use super::{Manifest, ManifestRow, SampleMap};
use crate::io::{FolderLock, IoError, sha256_hex, write_atomically, write_json};
use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Raised whenever the same maps give other packs.
const FORMAT: u32 = 2;
const INDEX: &str = "pack.json";
const TENSOR: &str = "maps";
/// About so many bytes go into a shard, and through memory at a time while packing.
const SHARD_BYTES: usize = 64 << 20;
/// How long to wait while another process packs the same maps.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Where a capture's planes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    shard: usize,
    first_plane: usize,
    planes: usize,
}

#[derive(Serialize, Deserialize)]
struct Index {
    format: u32,
    /// Of the maps' paths, sizes and times.
    sources: String,
    side: usize,
    /// By "id/session".
    captures: BTreeMap<String, Place>,
    /// SHA-256 by file name.
    shards: BTreeMap<String, String>,
    /// SHA-256 of all of the above.
    checksum: String,
}

impl Index {
    fn checksum(&self) -> String {
        let body = (self.format, &self.sources, self.side, &self.captures, &self.shards);
        sha256_hex(format!("{body:?}").as_bytes())
    }
}

/// One map of every capture, in memory as far as it was looked at.
#[derive(Debug)]
pub struct Pack {
    side: usize,
    captures: BTreeMap<String, Place>,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    bytes: Mmap,
    /// Where the values begin.
    start: usize,
}

fn shard_name(number: usize) -> String {
    format!("shard-{number:04}.safetensors")
}

impl Pack {
    /// Opens the pack of a folder of maps below `packs`, or makes it; `warn` hears of one that was
    /// damaged.
    ///
    /// # Errors
    /// A map that is missing, damaged or of another size than the manifest says; a folder that
    /// cannot be written to.
    pub fn open_or_make(
        manifest: &Manifest,
        map: SampleMap,
        side: usize,
        packs: &Path,
        warn: &dyn Fn(String),
    ) -> Result<Self, IoError> {
        let folder = packs.join(format!("{}-{side}", map.name()));
        let sources = sources_digest(manifest, map)?;
        match Self::open(&folder, &sources, side) {
            Ok(Some(pack)) => return Ok(pack),
            Ok(None) => {}
            Err(reason) => warn(format!("{reason}; it is made anew")),
        }
        let _lock = wait_for_lock(&folder)?;
        // Another process may have made it meanwhile.
        if let Ok(Some(pack)) = Self::open(&folder, &sources, side) {
            return Ok(pack);
        }
        make(manifest, map, side, &folder, sources)?;
        match Self::open(&folder, &sources_digest(manifest, map)?, side) {
            Ok(Some(pack)) => Ok(pack),
            Ok(None) => Err(IoError::unsuitable(
                &folder,
                "the maps changed while they were packed; run the command again",
            )),
            Err(reason) => Err(IoError::unsuitable(&folder, reason)),
        }
    }

    /// `None` where there is none of these maps; what is wrong with one that is there.
    fn open(folder: &Path, sources: &str, side: usize) -> Result<Option<Self>, String> {
        let path = folder.join(INDEX);
        let Ok(bytes) = std::fs::read(&path) else { return Ok(None) };
        let damaged = |file: &Path, reason: String| format!("{}: {reason}", file.display());
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|e| damaged(&path, format!("the pack's index is damaged ({e})")))?;
        if index.checksum != index.checksum() {
            return Err(damaged(&path, "the pack's index was changed".into()));
        }
        if index.format != FORMAT || index.sources != sources || index.side != side {
            return Ok(None);
        }
        let shards = index
            .shards
            .par_iter()
            .map(|(name, wanted)| {
                let path = folder.join(name);
                let fail = |reason: String| damaged(&path, reason);
                let file = File::open(&path).map_err(|e| fail(e.to_string()))?;
                // SAFETY: the file is ours and is only ever replaced by a rename, which leaves this
                // mapping what it is; whoever cuts it by hand meets the same fate as with any mapping.
                let bytes = unsafe { Mmap::map(&file) }.map_err(|e| fail(e.to_string()))?;
                if sha256_hex(&bytes) != *wanted {
                    return Err(fail("the packed maps were cut or changed".into()));
                }
                let tensors = safetensors::SafeTensors::deserialize(&bytes)
                    .map_err(|e| fail(e.to_string()))?;
                let data = tensors.tensor(TENSOR).map_err(|e| fail(e.to_string()))?.data();
                let start = data.as_ptr() as usize - bytes.as_ptr() as usize;
                Ok(Shard { bytes, start })
            })
            .collect::<Result<Vec<_>, String>>()?;
        let pack = Self { side, captures: index.captures, shards };
        let lost = pack.captures.values().any(|place| pack.values(*place).is_none());
        if lost {
            return Err(damaged(&path, "the pack's index does not fit its shards".into()));
        }
        Ok(Some(pack))
    }

    fn values(&self, place: Place) -> Option<&[f32]> {
        let shard = self.shards.get(place.shard)?;
        let area = self.side * self.side;
        let values = bytemuck::try_cast_slice::<u8, f32>(shard.bytes.get(shard.start..)?).ok()?;
        values.get(place.first_plane * area..(place.first_plane + place.planes) * area)
    }

    /// A capture's planes, (planes, side, side).
    ///
    /// # Panics
    /// For a capture that the manifest did not have.
    pub fn planes(&self, capture: &str) -> &[f32] {
        self.values(self.captures[capture]).expect("checked when the pack was opened")
    }
}

/// A hash of what the maps are: path, size and time of change, as for `make`.
fn sources_digest(manifest: &Manifest, map: SampleMap) -> Result<String, IoError> {
    let states: Vec<String> = manifest
        .rows
        .par_iter()
        .map(|row| {
            let mut text = row.name();
            for path in map.sources(manifest, row) {
                let metadata = path.metadata().map_err(|e| IoError::from_system(&path, e))?;
                let place = path.strip_prefix(&manifest.root).unwrap_or(&path);
                let time = metadata.modified().ok();
                text.push_str(&format!("\n{} {} {time:?}", place.display(), metadata.len()));
            }
            Ok(text)
        })
        .collect::<Result<_, IoError>>()?;
    Ok(sha256_hex(states.join("\n\n").as_bytes()))
}

/// Waits while another process packs.
fn wait_for_lock(folder: &Path) -> Result<FolderLock, IoError> {
    let start = Instant::now();
    loop {
        match FolderLock::acquire(folder) {
            Err(IoError::Locked(_)) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(IoError::Denied(path)) => {
                return Err(IoError::unsuitable(
                    &path,
                    "packed maps cannot be written there; give a folder with --packs",
                ));
            }
            other => return other,
        }
    }
}

fn make(
    manifest: &Manifest,
    map: SampleMap,
    side: usize,
    folder: &Path,
    sources: String,
) -> Result<(), IoError> {
    // Without its index the old pack is none, whatever happens from here on.
    let index_path = folder.join(INDEX);
    crate::io::remove_file(&index_path)?;
    let mut index = Index {
        format: FORMAT,
        sources,
        side,
        captures: BTreeMap::new(),
        shards: BTreeMap::new(),
        checksum: String::new(),
    };
    let area = side * side;
    for (number, rows) in shards_of(manifest, map, area).enumerate() {
        let loaded: Vec<Vec<f32>> = rows
            .par_iter()
            .map(|row| load_map(manifest, row, map, side))
            .collect::<Result<_, _>>()?;
        let mut first_plane = 0;
        for (row, values) in rows.iter().zip(&loaded) {
            let place = Place { shard: number, first_plane, planes: values.len() / area };
            first_plane += place.planes;
            index.captures.insert(row.name(), place);
        }
        let values = loaded.concat();
        let path = folder.join(shard_name(number));
        let unwritable = |e: safetensors::SafeTensorError| IoError::unsuitable(&path, e);
        let view = safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            vec![first_plane, side, side],
            bytemuck::cast_slice(&values),
        )
        .map_err(unwritable)?;
        let bytes = safetensors::serialize([(TENSOR, view)], None).map_err(unwritable)?;
        write_atomically(&path, |out| out.write_all(&bytes))?;
        index.shards.insert(shard_name(number), sha256_hex(&bytes));
    }
    index.checksum = index.checksum();
    write_json(&index_path, &index)
}

/// The captures of each shard.
fn shards_of(
    manifest: &Manifest,
    map: SampleMap,
    area: usize,
) -> impl Iterator<Item = &[ManifestRow]> {
    let most_planes = match map {
        SampleMap::Normals => 3,
        SampleMap::Raw => manifest.rows.iter().map(|row| row.images.len()).max().unwrap_or(1),
        _ => 1,
    };
    let captures = SHARD_BYTES / (most_planes.max(1) * area * size_of::<f32>());
    manifest.rows.chunks(captures.max(1))
}

/// Where packs of a folder of maps lie unless told otherwise.
pub fn default_packs(manifest: &Manifest) -> PathBuf {
    manifest.root.join("packs")
}
