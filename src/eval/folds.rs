//! Verification over a list of pairs in folds, as Labeled Faces in the Wild has it (Huang et al. 2007,
//! view 2): the threshold of each fold is chosen on the others, so that no pair is judged by a threshold
//! that it helped to choose.
//!
//! The figure is the mean accuracy of the folds, μ̂ = Σ pᵢ / k, with the standard error
//! σ̂ / √k, σ̂² = Σ (pᵢ − μ̂)² / (k − 1).
//!
//! A pair is taken for one person where its similarity is at least the threshold. Between two
//! neighbouring similarities every threshold does the same, so it is intervals that are compared: the one
//! with the most right answers wins, among equals the widest, then the lowest, and the threshold is its
//! middle. Thresholds that accept all or none are chosen only where nothing between does as well.

use super::Undefined;
use serde::{Deserialize, Serialize};

/// Why there is no figure over folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    #[error(transparent)]
    Undefined(#[from] Undefined),
    #[error(
        "all pairs are of one fold; a threshold needs others to be chosen on, give two or more"
    )]
    OneFold,
}

/// One fold, judged by the threshold of the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldResult {
    pub threshold: f64,
    /// Share of the fold's pairs that are told right.
    pub accuracy: f64,
    pub pairs: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenFold {
    /// Mean over the folds.
    pub accuracy: f64,
    /// Of that mean.
    pub standard_error: f64,
    pub folds: Vec<FoldResult>,
}

/// Accuracy over folds (see the module).
///
/// `similarities[i]`, higher for more alike, is of pair i, `same[i]` says whether it shows one person,
/// `folds[i]` is its fold's number; numbers without pairs are no folds.
///
/// # Errors
/// A similarity that is NaN or infinite, no genuine or no impostor pair, fewer than two folds.
///
/// # Panics
/// If the slices differ in length.
pub fn tenfold(
    similarities: &[f64],
    same: &[bool],
    folds: &[usize],
) -> Result<TenFold, VerificationError> {
    assert_eq!(similarities.len(), same.len(), "a truth per pair");
    assert_eq!(similarities.len(), folds.len(), "a fold per pair");
    if similarities.iter().any(|s| !s.is_finite()) {
        return Err(Undefined::NotANumber.into());
    }
    if !same.contains(&true) {
        return Err(Undefined::NoGenuine.into());
    }
    if !same.contains(&false) {
        return Err(Undefined::NoImpostor.into());
    }
    let mut order: Vec<usize> = (0..similarities.len()).collect();
    order.sort_by(|&a, &b| similarities[a].total_cmp(&similarities[b]));
    let numbers: std::collections::BTreeSet<usize> = folds.iter().copied().collect();
    if numbers.len() < 2 {
        return Err(VerificationError::OneFold);
    }
    let results: Vec<FoldResult> = numbers
        .into_iter()
        .map(|fold| {
            let others = order.iter().filter(|&&i| folds[i] != fold);
            let sorted: Vec<(f64, bool)> = others.map(|&i| (similarities[i], same[i])).collect();
            let threshold = best_threshold(&sorted);
            let of_fold = || (0..folds.len()).filter(|&i| folds[i] == fold);
            let right = of_fold().filter(|&i| (similarities[i] >= threshold) == same[i]).count();
            let pairs = of_fold().count();
            FoldResult { threshold, accuracy: right as f64 / pairs as f64, pairs }
        })
        .collect();
    let count = results.len() as f64;
    let accuracy = results.iter().map(|fold| fold.accuracy).sum::<f64>() / count;
    let squares: f64 = results.iter().map(|fold| (fold.accuracy - accuracy).powi(2)).sum();
    let standard_error = (squares / (count - 1.0) / count).sqrt();
    Ok(TenFold { accuracy, standard_error, folds: results })
}

/// The threshold that tells most pairs right; `sorted` is (similarity, same) from the least alike, not
/// empty.
fn best_threshold(sorted: &[(f64, bool)]) -> f64 {
    let (lowest, highest) = (sorted[0].0, sorted[sorted.len() - 1].0);
    // Right answers where all are accepted; each pair that falls below the threshold changes them by one.
    let mut right = sorted.iter().filter(|(_, same)| *same).count();
    let mut best: Option<(usize, f64, f64)> = None;
    let all = right;
    for pair in sorted.windows(2) {
        let [(below, same), (above, _)] = [pair[0], pair[1]];
        right = if same { right - 1 } else { right + 1 };
        let better = |(most, width, _): (usize, f64, f64)| {
            right > most || (right == most && above - below > width)
        };
        // Between equals no threshold fits.
        if above > below && best.is_none_or(better) {
            let middle = below + 0.5 * (above - below);
            // Of two neighbouring numbers the middle may be the lower one.
            best = Some((right, above - below, if middle > below { middle } else { above }));
        }
    }
    let none = sorted.len() - all;
    let between = best.map_or(0, |(most, ..)| most);
    match best {
        Some((_, _, threshold)) if between >= all.max(none) => threshold,
        _ if all >= none => lowest,
        _ => highest.next_up(),
    }
}

/// The embedding of an image and of its mirror image as one: their sum, of unit length, as InsightFace
/// verifies. Both come before they are normalised; a sum without length stays zero.
///
/// # Panics
/// If the two differ in length.
pub fn flip_sum(embedding: &[f32], mirrored: &[f32]) -> Vec<f32> {
    assert_eq!(embedding.len(), mirrored.len(), "embeddings of one network");
    let sum: Vec<f64> =
        embedding.iter().zip(mirrored).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
    let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    sum.into_iter().map(|v| (v * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator.
    fn draws(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        }
    }

    #[test]
    fn three_folds_worked_by_hand() {
        // Genuine .9 .8 | .7 .4 | .6 .5, impostor .1 .2 | .3 .55 | .05 .45, folds of four.
        let similarities = [0.9, 0.8, 0.1, 0.2, 0.7, 0.4, 0.3, 0.55, 0.6, 0.5, 0.05, 0.45];
        let same = [true, true, false, false].repeat(3);
        let folds = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
        let result = tenfold(&similarities, &same, &folds).unwrap();
        // On folds 1 and 2: .05 .3 (i) .4 (g) .45 (i) .5 (g) .55 (i) .6 .7 (g). Below .4: 4 + 2
        // right; between .45 and .5: 3 + 3 = 6; between .55 and .6: 2 + 4 = 6. The widest of the
        // three, all 6, is .3 to .4.
        assert!((result.folds[0].threshold - 0.35).abs() < 1e-12, "{result:?}");
        assert_eq!(result.folds[0].accuracy, 1.0);
        // On 0 and 2 all are told right between .45 and .5; of fold 1 .4 and .55 are not.
        assert!((result.folds[1].threshold - 0.475).abs() < 1e-12);
        assert_eq!(result.folds[1].accuracy, 0.5);
        // On 0 and 1: .1 .2 .3 (i) .4 (g) .55 (i) .7 .8 .9 (g): 7 right between .3 and .4, and between
        // .55 and .7, which is wider; of fold 2 .6 and .5 are not told, .625 is above both.
        assert!((result.folds[2].threshold - 0.625).abs() < 1e-12);
        assert_eq!(result.folds[2].accuracy, 0.5);
        assert!((result.accuracy - 2.0 / 3.0).abs() < 1e-12);
        // Deviations ⅓, −⅙, −⅙: σ̂² = (1/9 + 2/36)/2 = 1/12, over 3 folds 1/36.
        assert!((result.standard_error - 1.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn agrees_with_trying_every_threshold() {
        let mut next = draws(7);
        for turn in 0..300 {
            let n = 4 + next(40) as usize;
            // Few values: many ties.
            let similarities: Vec<f64> = (0..n).map(|_| next(12) as f64 / 8.0 - 0.5).collect();
            let mut same: Vec<bool> = (0..n).map(|_| next(2) == 0).collect();
            (same[0], same[1]) = (true, false);
            let mut folds: Vec<usize> = (0..n).map(|_| next(4) as usize).collect();
            (folds[0], folds[1]) = (0, 1);
            let result = tenfold(&similarities, &same, &folds).unwrap();
            let present = (0..4).filter(|f| folds.contains(f));
            for (fold, got) in present.zip(&result.folds) {
                let right = |t: f64, inside: bool| {
                    let counted = (0..n).filter(|&i| (folds[i] == fold) == inside);
                    counted.filter(|&i| (similarities[i] >= t) == same[i]).count()
                };
                let most = (-20..=40).map(|t| right(f64::from(t) / 16.0, false)).max().unwrap();
                assert_eq!(right(got.threshold, false), most, "turn {turn}, fold {fold}");
                assert_eq!(got.accuracy * got.pairs as f64, right(got.threshold, true) as f64);
            }
            let mean =
                result.folds.iter().map(|f| f.accuracy).sum::<f64>() / result.folds.len() as f64;
            assert_eq!(result.accuracy, mean);
        }
    }

    #[test]
    fn thresholds_at_the_ends_and_between_neighbours() {
        // All genuine, all impostor: nothing between is as good.
        assert_eq!(best_threshold(&[(0.1, true), (0.2, true)]), 0.1);
        let above = best_threshold(&[(0.1, false), (0.2, false)]);
        assert!(above > 0.2 && above < 0.200_000_1);
        // Equal similarities cannot be parted.
        assert_eq!(best_threshold(&[(0.5, false), (0.5, true)]), 0.5);
        let next = 1.0f64.next_up();
        assert_eq!(best_threshold(&[(1.0, false), (next, true)]), next);
        // Zeros of either sign are equal; what lies between goes before accepting all.
        assert_eq!(best_threshold(&[(-0.0, true), (0.0, false), (1.0, true)]), 0.5);
    }

    #[test]
    fn what_cannot_be_judged_says_so() {
        let of = |s: &[f64], same: &[bool], folds: &[usize]| tenfold(s, same, folds).unwrap_err();
        assert_eq!(of(&[], &[], &[]), Undefined::NoGenuine.into());
        assert_eq!(of(&[0.1, 0.2], &[true; 2], &[0, 1]), Undefined::NoImpostor.into());
        assert_eq!(of(&[0.1, 0.2], &[true, false], &[1, 1]), VerificationError::OneFold);
        let nan = [f64::NAN, 0.2];
        assert_eq!(of(&nan, &[true, false], &[0, 1]), Undefined::NotANumber.into());
    }

    #[test]
    fn an_embedding_and_its_mirror_add_up_to_unit_length() {
        assert_eq!(flip_sum(&[1.0, 4.0], &[2.0, 0.0]), [0.6, 0.8]);
        assert_eq!(flip_sum(&[1.0, -2.0], &[-1.0, 2.0]), [0.0, 0.0]);
    }
}
