//! Verification by lists of pairs: tables of names, LFW's `pairs.txt`, InsightFace's `.bin`, and the
//! legacy protocol's test captures against its gallery.

use super::{EvaluateError, Judge};
use crate::dataset::{
    BinPairs, CaptureName, CaptureRef, Collection, LegacyCapture, LegacySets, Modality, PairList,
    Sample, View, contiguous_folds, photo_plane, whole_view_of,
};
use crate::eval::{LegacyResult, PairsResult, Roc, cosine, flip_sum, tenfold};
use crate::io::grey_of_bytes;
use crate::train::{Embedder, stored_side};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Folds of a list that has none of its own.
const BIN_FOLDS: usize = 10;
/// Photographs decoded at a time.
const PHOTO_BATCH: usize = 256;

/// A list of pairs as it was read.
pub(super) enum PairSource {
    Named(PairList),
    Photos(BinPairs),
}

impl PairSource {
    /// Reads a table, LFW's `pairs.txt` or InsightFace's `.bin`, by the name's end. `shown` is what the
    /// network looks at.
    ///
    /// # Errors
    /// A list that is missing or damaged; photographs for a network that is shown other maps than `raw`.
    pub fn read(
        path: &Path,
        collection: &Collection,
        shown: &[Modality],
    ) -> Result<Self, EvaluateError> {
        let ends = |end: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(end));
        if ends("bin") {
            let pairs = BinPairs::read(path)?;
            if shown != [Modality::Raw] {
                return Err(EvaluateError::Impossible(format!(
                    "{}: holds photographs, and the network is shown {}; evaluate a run that was \
                     trained on raw, or show only that with --modalities raw",
                    path.display(),
                    shown.iter().map(|m| m.name()).collect::<Vec<_>>().join(" + ")
                )));
            }
            return Ok(Self::Photos(pairs));
        }
        if ends("txt") {
            let all = collection.captures();
            let sessions = all.map(|c| (c.row.id.as_str(), c.row.session.as_str())).collect();
            return Ok(Self::Named(PairList::read_lfw(path, &sessions)?));
        }
        Ok(Self::Named(PairList::read(path)?))
    }
}

/// Verification by the names of a list, all of which must be among `captures`.
///
/// `vectors` are those of `captures`.
pub(super) fn judge_named_pairs(
    path: &Path,
    list: &PairList,
    captures: &[CaptureRef<'_>],
    vectors: &[Vec<f32>],
) -> Result<PairsResult, EvaluateError> {
    let places = places_of(captures);
    let (mut scores, mut same, mut folds) = (Vec::new(), Vec::new(), Vec::new());
    for (fold, [a, b], is_same) in list.pairs() {
        let place = |name: &CaptureName| {
            places.get(&(name.id.as_str(), name.session.as_str())).copied().ok_or_else(|| {
                EvaluateError::Impossible(format!(
                    "{}: names {}/{}, which is not in the evaluated part of the split; draw the pairs \
                     from that part, or give its name with --split",
                    path.display(),
                    name.id,
                    name.session
                ))
            })
        };
        scores.push(cosine(&vectors[place(a)?], &vectors[place(b)?]));
        same.push(is_same);
        folds.push(fold);
    }
    let people = list.people_across_folds().len();
    in_folds(path, &scores, &same, &folds, list.sha256(), Some(people))
}

fn places_of<'a>(captures: &[CaptureRef<'a>]) -> BTreeMap<(&'a str, &'a str), usize> {
    let names = captures.iter().map(|c| (c.row.id.as_str(), c.row.session.as_str()));
    names.enumerate().map(|(place, name)| (name, place)).collect()
}

fn in_folds(
    path: &Path,
    scores: &[f64],
    same: &[bool],
    folds: &[usize],
    list_hash: String,
    people_in_several_folds: Option<usize>,
) -> Result<PairsResult, EvaluateError> {
    let judged = tenfold(scores, same, folds)
        .map_err(|reason| EvaluateError::Impossible(format!("{}: {reason}", path.display())))?;
    Ok(PairsResult {
        list_hash,
        pairs: scores.len(),
        folds: judged.folds.len(),
        accuracy: judged.accuracy,
        standard_error: judged.standard_error,
        people_in_several_folds,
    })
}

/// Verification by photographs of faces that are cropped already, through a network that is shown one
/// lit image of a capture; each with its mirror image if `with_flip`.
///
/// # Errors
/// An image that cannot be decoded.
pub(super) fn judge_photo_pairs(
    path: &Path,
    pairs: &BinPairs,
    embedder: &Embedder<'_>,
    with_flip: bool,
    confidence: bool,
) -> Result<PairsResult, EvaluateError> {
    let impossible = |reason: String| EvaluateError::Impossible(reason);
    let side = stored_side(embedder.input_side);
    let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(pairs.images.len());
    for (number, batch) in pairs.images.chunks(PHOTO_BATCH).enumerate() {
        let views = |mirrored: bool| -> Result<Vec<View>, EvaluateError> {
            let view = |(at, bytes): (usize, &Vec<u8>)| {
                let name = path.join(format!("image {}", number * PHOTO_BATCH + at));
                let plane = photo_plane(&grey_of_bytes(&name, bytes.clone())?, side);
                // A photograph says nothing of how sure its values are.
                let sure = confidence.then(|| vec![1.0; plane.len()]);
                let sample = Sample {
                    side,
                    maps: vec![(Modality::Raw, &plane)],
                    confidence: sure.as_deref(),
                    frame: 0,
                };
                Ok(whole_view_of(&sample, embedder.input_side, mirrored))
            };
            batch.par_iter().enumerate().map(view).collect()
        };
        let identities = |mirrored| -> Result<Vec<Vec<f32>>, EvaluateError> {
            let found = embedder.views(&views(mirrored)?).map_err(impossible)?;
            Ok(found.into_iter().map(|embedding| embedding.identity).collect())
        };
        let upright = identities(false)?;
        if with_flip {
            let mirrored = identities(true)?;
            vectors.extend(upright.iter().zip(&mirrored).map(|(a, b)| flip_sum(a, b)));
        } else {
            vectors.extend(upright);
        }
    }
    let scores: Vec<f64> = vectors.chunks_exact(2).map(|pair| cosine(&pair[0], &pair[1])).collect();
    let folds = contiguous_folds(scores.len(), BIN_FOLDS);
    in_folds(path, &scores, &pairs.same, &folds, pairs.sha256(), None)
}

/// The legacy protocol: every capture of its test table against every one of its gallery table, as far as
/// they are among the evaluated.
///
/// # Errors
/// No genuine or no impostor pair among the captures.
pub(super) fn judge_legacy(
    folder: &Path,
    sets: &LegacySets,
    judge: &Judge<'_>,
    vectors: &[Vec<f32>],
) -> Result<LegacyResult, EvaluateError> {
    let places = places_of(judge.captures);
    let present = |captures: &[LegacyCapture]| -> Vec<usize> {
        let place = |c: &LegacyCapture| places.get(&(c.id.as_str(), c.session.as_str())).copied();
        captures.iter().filter_map(place).collect()
    };
    let (test, gallery) = (present(&sets.test), present(&sets.gallery));
    let person = &judge.protocol.person;
    let (mut pair_scores, mut genuine) = (Vec::new(), Vec::new());
    let (mut with_mate, mut top_1, mut top_5) = (0usize, 0usize, 0usize);
    for &probe in &test {
        let scores: Vec<(f64, bool)> = gallery
            .iter()
            .map(|&at| (cosine(&vectors[probe], &vectors[at]), person[at] == person[probe]))
            .collect();
        for &(score, same) in &scores {
            pair_scores.push(score);
            genuine.push(same);
        }
        let best = scores.iter().filter(|s| s.1).map(|s| s.0).reduce(f64::max);
        let Some(best) = best else { continue };
        with_mate += 1;
        // Ties count against the network.
        let before = scores.iter().filter(|(score, same)| !same && *score >= best).count();
        top_1 += usize::from(before < 1);
        top_5 += usize::from(before < 5);
    }
    let roc = Roc::new(&pair_scores, &genuine).map_err(|reason| {
        EvaluateError::Impossible(format!(
            "{}: among the {} of {} test and {} of {} gallery captures that are evaluated, {reason}; \
             evaluate the part of the split that holds them",
            folder.display(),
            test.len(),
            sets.test.len(),
            gallery.len(),
            sets.gallery.len()
        ))
    })?;
    let share = |count: usize| count as f64 / with_mate.max(1) as f64;
    Ok(LegacyResult {
        test: [test.len(), sets.test.len()],
        gallery: [gallery.len(), sets.gallery.len()],
        genuine_pairs: genuine.iter().filter(|same| **same).count() as u64,
        impostor_pairs: genuine.iter().filter(|same| !**same).count() as u64,
        auc: roc.auc(),
        probes_with_mate: with_mate,
        top_1: share(top_1),
        top_5: share(top_5),
        flaws: sets.flaws_of_figures(),
    })
}
