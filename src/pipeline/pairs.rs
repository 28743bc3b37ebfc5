//! `dataset pairs --bin`: pairs of captures as pictures, for networks that are not ours.

use crate::dataset::{
    BinPairs, CaptureName, CaptureRef, Collection, Modality, PairList, SampleOptions, SampleSource,
    whole_view,
};
use crate::io::IoError;
use crate::report::view_picture;
use std::collections::BTreeMap;
use std::path::Path;

/// Side of the pictures in pixels: what networks that read such files take.
const SIDE: usize = 112;

/// The pairs of a list as PNG of one map each; of several lit images that which stands for the capture.
///
/// `path` is where they will be written, for errors.
///
/// # Errors
/// A pair that names a capture which is not in the collection; maps that cannot be read.
pub fn pairs_of_pictures(
    path: &Path,
    list: &PairList,
    collection: &Collection,
    modality: Modality,
) -> Result<BinPairs, IoError> {
    let captures: BTreeMap<(&str, &str), CaptureRef<'_>> =
        collection.captures().map(|c| ((c.row.id.as_str(), c.row.session.as_str()), c)).collect();
    // Packed at a size that nothing else reads: not kept.
    let packs = tempfile::tempdir().map_err(|e| IoError::from_system(&std::env::temp_dir(), e))?;
    let options = SampleOptions { modalities: vec![modality], confidence: false, side: SIDE };
    let source = SampleSource::open(collection, options, Some(packs.path()), &|_| {})?;
    // A capture may be in many pairs.
    let mut drawn: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut picture = |CaptureName { id, session }: &CaptureName| -> Result<Vec<u8>, IoError> {
        let capture = captures.get(&(id.as_str(), session.as_str())).ok_or_else(|| {
            IoError::unsuitable(path, format!("no capture {id}/{session} is there to draw"))
        })?;
        let name = capture.row.name();
        if let Some(png) = drawn.get(&name) {
            return Ok(png.clone());
        }
        let view = whole_view(&source.sample(*capture), SIDE);
        let png = view_picture(&view.maps[0], SIDE, modality).png();
        let png = png.map_err(|reason| IoError::unsuitable(path, reason))?;
        drawn.insert(name, png.clone());
        Ok(png)
    };
    let mut pairs = BinPairs::default();
    for (_, [a, b], same) in list.pairs() {
        pairs.images.push(picture(a)?);
        pairs.images.push(picture(b)?);
        pairs.same.push(same);
    }
    Ok(pairs)
}
