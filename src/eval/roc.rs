//! Area under the ROC curve.

use super::{Metric, Undefined};

/// The probability that a positive scores above a negative, ties counted half: the
/// Mann–Whitney form of the area (Hanley and McNeil 1982), exact for any ties.
///
/// `scores[i]` is higher for more positive; `positive[i]` says what it is.
///
/// # Panics
/// If the slices differ in length.
pub fn roc_auc(scores: &[f64], positive: &[bool]) -> Metric {
    assert_eq!(scores.len(), positive.len(), "a label per score");
    if scores.iter().any(|score| score.is_nan()) {
        return Err(Undefined::NotANumber);
    }
    let positives = positive.iter().filter(|&&p| p).count();
    let negatives = positive.len() - positives;
    if positives == 0 {
        return Err(Undefined::NoGenuine);
    }
    if negatives == 0 {
        return Err(Undefined::NoImpostor);
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Twice the number of (positive above negative) pairs, in integers: no rounding at any size.
    let mut doubled_wins: u128 = 0;
    let mut negatives_below: u128 = 0;
    let mut start = 0;
    while start < order.len() {
        // −0 and 0 are ordered by total_cmp, but equal.
        let score = scores[order[start]];
        let end = start + order[start..].iter().take_while(|&&i| scores[i] == score).count();
        let tied_positives = order[start..end].iter().filter(|&&i| positive[i]).count() as u128;
        let tied_negatives = (end - start) as u128 - tied_positives;
        doubled_wins += tied_positives * (2 * negatives_below + tied_negatives);
        negatives_below += tied_negatives;
        start = end;
    }
    Ok(doubled_wins as f64 / (2.0 * positives as f64 * negatives as f64))
}

/// AUC of a classifier: for two classes that of the second, for more the mean over the classes
/// that are present, each against the rest.
///
/// `probabilities[i][c]` is sample i's probability of class c, `labels[i]` its class.
pub fn macro_auc(probabilities: &[Vec<f64>], labels: &[usize]) -> Metric {
    let classes = probabilities.first().map_or(0, Vec::len);
    let present = (0..classes).filter(|c| labels.contains(c)).collect::<Vec<_>>();
    if present.len() < 2 {
        return Err(Undefined::OneClass);
    }
    let of_class = |class: usize| {
        let scores: Vec<f64> = probabilities.iter().map(|p| p[class]).collect();
        let positive: Vec<bool> = labels.iter().map(|&l| l == class).collect();
        roc_auc(&scores, &positive)
    };
    if classes == 2 {
        return of_class(1);
    }
    let areas = present.iter().map(|&class| of_class(class)).collect::<Result<Vec<_>, _>>()?;
    Ok(areas.iter().sum::<f64>() / areas.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_inverted_tied_and_mixed() {
        let labels = [true, true, false, false];
        assert_eq!(roc_auc(&[0.9, 0.8, 0.2, 0.1], &labels), Ok(1.0));
        assert_eq!(roc_auc(&[0.1, 0.2, 0.8, 0.9], &labels), Ok(0.0));
        assert_eq!(roc_auc(&[0.5; 4], &labels), Ok(0.5));
        // Pairs: .9>.5, .9>.1, .5=.5 (half), .5>.1 → 3.5 of 4.
        assert_eq!(roc_auc(&[0.9, 0.5, 0.5, 0.1], &labels), Ok(0.875));
        assert_eq!(roc_auc(&[0.0, -0.0], &[true, false]), Ok(0.5));
    }

    #[test]
    fn undefined_stays_undefined() {
        assert_eq!(roc_auc(&[0.1, 0.2], &[false, false]), Err(Undefined::NoGenuine));
        assert_eq!(roc_auc(&[0.1, 0.2], &[true, true]), Err(Undefined::NoImpostor));
        assert_eq!(roc_auc(&[], &[]), Err(Undefined::NoGenuine));
        assert_eq!(roc_auc(&[f64::NAN, 0.2], &[true, false]), Err(Undefined::NotANumber));
        assert_eq!(macro_auc(&[vec![0.5, 0.5]], &[1]), Err(Undefined::OneClass));
    }

    #[test]
    fn agrees_with_counting_every_pair() {
        // A small generator with many ties.
        let mut state = 12_345u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for _ in 0..50 {
            let n = 2 + (next() % 60) as usize;
            let scores: Vec<f64> = (0..n).map(|_| (next() % 8) as f64 / 8.0).collect();
            let mut positive: Vec<bool> = (0..n).map(|_| next() % 3 == 0).collect();
            positive[0] = true;
            positive[1] = false;
            let (mut wins, mut pairs) = (0.0, 0.0);
            for i in 0..n {
                for j in 0..n {
                    if positive[i] && !positive[j] {
                        pairs += 1.0;
                        wins += if scores[i] > scores[j] {
                            1.0
                        } else if scores[i] == scores[j] {
                            0.5
                        } else {
                            0.0
                        };
                    }
                }
            }
            let got = roc_auc(&scores, &positive).unwrap();
            assert!((got - wins / pairs).abs() < 1e-12, "{got} instead of {}", wins / pairs);
        }
    }

    #[test]
    fn macro_auc_is_the_mean_of_one_against_the_rest() {
        let p = [
            [0.7, 0.2, 0.1],
            [0.4, 0.5, 0.1],
            [0.3, 0.3, 0.4],
            [0.2, 0.6, 0.2],
            [0.5, 0.3, 0.2],
            [0.1, 0.4, 0.5],
        ];
        let p: Vec<Vec<f64>> = p.iter().map(|row| row.to_vec()).collect();
        // Class 0 (samples 0, 2): positives .7 .3 against .4 .2 .5 .1 → (4 + 2)/8 = 0.75;
        // class 1 (1, 3): .5 .6 against .2 .3 .3 .4 → 1; class 2 (4, 5): .2 .5 against
        // .1 .1 .4 .2 → (2 + ½ + 4)/8 = 0.8125.
        let got = macro_auc(&p, &[0, 1, 0, 1, 2, 2]).unwrap();
        assert!((got - (0.75 + 1.0 + 0.8125) / 3.0).abs() < 1e-12, "{got}");
    }
}
