//! Several folders of maps as one set of captures, and where samples of them come from.

use super::pack::default_packs;
use super::{Manifest, ManifestRow, Modality, Pack, Sample, SampleMap, SplitCapture};
use crate::io::{IoError, sha256_hex};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders of maps that are trained or evaluated on together. The same id is the same person in
/// whichever folder.
#[derive(Clone, Debug)]
pub struct Collection {
    pub manifests: Vec<Manifest>,
}

/// A capture and the folder that it is of.
#[derive(Clone, Copy, Debug)]
pub struct CaptureRef<'a> {
    /// Position of the folder.
    pub set: usize,
    pub row: &'a ManifestRow,
}

impl Collection {
    /// Reads the manifests of folders.
    ///
    /// # Errors
    /// A missing or damaged manifest, or a session that two folders hold.
    pub fn read(roots: &[PathBuf]) -> Result<Self, IoError> {
        let manifests: Vec<Manifest> =
            roots.iter().map(|root| Manifest::read(root)).collect::<Result<_, _>>()?;
        let mut seen = BTreeSet::new();
        for manifest in &manifests {
            for row in &manifest.rows {
                if !seen.insert((&row.id, &row.session)) {
                    return Err(IoError::unsuitable(
                        &manifest.root,
                        format!(
                            "holds {}, as another folder does; give each capture once",
                            row.name()
                        ),
                    ));
                }
            }
        }
        Ok(Self { manifests })
    }

    /// Every capture that can be used, folder by folder: not those in which no face was found.
    pub fn captures(&self) -> impl Iterator<Item = CaptureRef<'_>> {
        self.all().filter(|capture| capture.row.face != Some(false))
    }

    /// Captures in which a face was looked for and none was found.
    pub fn without_face(&self) -> impl Iterator<Item = CaptureRef<'_>> {
        self.all().filter(|capture| capture.row.face == Some(false))
    }

    fn all(&self) -> impl Iterator<Item = CaptureRef<'_>> {
        self.manifests.iter().enumerate().flat_map(|(set, manifest)| {
            manifest.rows.iter().map(move |row| CaptureRef { set, row })
        })
    }

    /// Ids of all people.
    pub fn people(&self) -> BTreeSet<&str> {
        self.captures().map(|capture| capture.row.id.as_str()).collect()
    }

    /// Every capture as far as parting people looks at it.
    pub fn split_captures(&self) -> Vec<SplitCapture<'_>> {
        self.captures()
            .map(|CaptureRef { row, .. }| SplitCapture {
                id: &row.id,
                session: &row.session,
                labels: &row.labels,
                training_only: row.training_only,
            })
            .collect()
    }

    /// Path of one of a capture's files.
    pub fn path(&self, capture: CaptureRef<'_>, file: &str) -> PathBuf {
        self.manifests[capture.set].path(capture.row, file)
    }
}

/// Which maps of a capture are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    pub modalities: Vec<Modality>,
    pub confidence: bool,
    /// Side at which maps are kept, in pixels.
    pub side: usize,
}

/// Where samples come from: the packs of every folder.
#[derive(Debug)]
pub struct SampleSource {
    options: SampleOptions,
    /// By folder.
    packs: Vec<BTreeMap<SampleMap, Pack>>,
}

impl SampleSource {
    /// Opens or makes the packs that are needed: below `packs` if given, else in each folder of maps.
    /// `warn` hears of packs that were damaged.
    ///
    /// # Errors
    /// As for [`Pack::open_or_make`].
    pub fn open(
        collection: &Collection,
        options: SampleOptions,
        packs: Option<&Path>,
        warn: &dyn Fn(String),
    ) -> Result<Self, IoError> {
        let mut wanted: Vec<SampleMap> =
            options.modalities.iter().map(|&modality| modality.into()).collect();
        wanted.extend(options.confidence.then_some(SampleMap::Confidence));
        let of_set = |manifest: &Manifest| {
            let folder = match packs {
                Some(packs) => packs.join(folder_name(&manifest.root)),
                None => default_packs(manifest),
            };
            let open = |&map: &SampleMap| {
                Ok((map, Pack::open_or_make(manifest, map, options.side, &folder, warn)?))
            };
            wanted.iter().map(open).collect::<Result<_, IoError>>()
        };
        let packs = collection.manifests.iter().map(of_set).collect::<Result<_, _>>()?;
        Ok(Self { options, packs })
    }

    pub fn sample(&self, capture: CaptureRef<'_>) -> Sample<'_> {
        self.sample_named(capture.set, &capture.row.name())
    }

    /// A capture by its folder's position and its name.
    pub fn sample_named(&self, set: usize, name: &str) -> Sample<'_> {
        let packs = &self.packs[set];
        let modality = |&modality: &Modality| (modality, packs[&modality.into()].planes(name));
        Sample {
            side: self.options.side,
            maps: self.options.modalities.iter().map(modality).collect(),
            confidence: packs.get(&SampleMap::Confidence).map(|pack| pack.planes(name)),
            frame: lit_image_of(name),
        }
    }
}

/// Which lit image stands for a capture, modulo their number: it follows from the name, so that over
/// captures the light falls from everywhere.
pub fn lit_image_of(name: &str) -> usize {
    usize::from(Sha256::digest(name)[0])
}

/// A folder below `--packs` for each folder of maps, told apart by its whole path.
fn folder_name(root: &Path) -> String {
    let whole = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let digest = sha256_hex(whole.to_string_lossy().as_bytes());
    format!("{name}-{}", &digest[..8])
}
