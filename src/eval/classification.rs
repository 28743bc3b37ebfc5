//! How well the classes of a task are told from one another, by the probabilities that a network gives.
//!
//! Throughout, `probabilities[i][c]` is sample i's probability of class c and `labels[i]` its class.
//! Classes without a sample are left out of means over classes: nothing is known of them.

use super::{Metric, Undefined, roc_auc};
use serde::{Deserialize, Serialize};

/// Bins of the expected calibration error.
const CALIBRATION_BINS: usize = 15;

/// Samples by true class (row) and most probable class (column).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    pub counts: Vec<Vec<u64>>,
}

impl ConfusionMatrix {
    /// Counts samples; a tie goes to the lower class.
    ///
    /// # Errors
    /// No sample, or a probability that is NaN.
    pub fn new(probabilities: &[Vec<f64>], labels: &[usize]) -> Result<Self, Undefined> {
        let classes = probabilities.first().map_or(0, Vec::len);
        let mut counts = vec![vec![0; classes]; classes];
        for (row, &label) in probabilities.iter().zip(labels) {
            let best = most_probable(row).ok_or(Undefined::NotANumber)?;
            counts[label][best] += 1;
        }
        let matrix = Self { counts };
        if matrix.total() == 0 { Err(Undefined::NoSample) } else { Ok(matrix) }
    }

    fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Samples of a class.
    fn actual(&self, class: usize) -> u64 {
        self.counts[class].iter().sum()
    }

    fn present(&self) -> Result<Vec<usize>, Undefined> {
        let present: Vec<usize> =
            (0..self.counts.len()).filter(|&class| self.actual(class) > 0).collect();
        if present.len() < 2 { Err(Undefined::OneClass) } else { Ok(present) }
    }

    /// Share of samples whose most probable class is theirs.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.counts.len()).map(|class| self.counts[class][class]).sum();
        right as f64 / self.total() as f64
    }

    /// Mean over the classes of the share of their samples that is recognised: chance is one over
    /// their number, however rare a class is.
    pub fn balanced_accuracy(&self) -> Metric {
        let present = self.present()?;
        let recall = |&class: &usize| self.counts[class][class] as f64 / self.actual(class) as f64;
        Ok(present.iter().map(recall).sum::<f64>() / present.len() as f64)
    }

    /// F1, `2 TP / (2 TP + FP + FN)`: for two classes that of the second, for more the mean over them.
    pub fn f1(&self) -> Metric {
        let present = self.present()?;
        let of_class = |class: usize| {
            let hits = self.counts[class][class];
            let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
            2.0 * hits as f64 / (self.actual(class) + predicted) as f64
        };
        if self.counts.len() == 2 {
            return Ok(of_class(1));
        }
        Ok(present.iter().map(|&class| of_class(class)).sum::<f64>() / present.len() as f64)
    }
}

/// `None` where a probability is NaN.
fn most_probable(row: &[f64]) -> Option<usize> {
    if row.iter().any(|p| p.is_nan()) {
        return None;
    }
    (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]))
}

/// A figure of scores against one class, `of(scores, is the class)`: for two classes that of the
/// second, for more the mean over the classes that are present, each against the rest.
fn one_against_the_rest(
    probabilities: &[Vec<f64>],
    labels: &[usize],
    of: impl Fn(&[f64], &[bool]) -> Metric,
) -> Metric {
    let classes = probabilities.first().map_or(0, Vec::len);
    let present: Vec<usize> = (0..classes).filter(|class| labels.contains(class)).collect();
    match present.len() {
        0 => return Err(Undefined::NoSample),
        1 => return Err(Undefined::OneClass),
        _ => {}
    }
    let of_class = |class: usize| {
        let scores: Vec<f64> = probabilities.iter().map(|p| p[class]).collect();
        let positive: Vec<bool> = labels.iter().map(|&l| l == class).collect();
        of(&scores, &positive)
    };
    if classes == 2 {
        return of_class(1);
    }
    let figures = present.iter().map(|&class| of_class(class)).collect::<Result<Vec<_>, _>>()?;
    Ok(figures.iter().sum::<f64>() / figures.len() as f64)
}

/// AUC, one class against the rest.
pub fn macro_auc(probabilities: &[Vec<f64>], labels: &[usize]) -> Metric {
    one_against_the_rest(probabilities, labels, roc_auc)
}

/// Average precision, one class against the rest.
pub fn macro_average_precision(probabilities: &[Vec<f64>], labels: &[usize]) -> Metric {
    one_against_the_rest(probabilities, labels, average_precision)
}

/// Precision averaged over recall, `Σ (R_n − R_{n−1}) P_n` over the thresholds from the highest score
/// down, equal scores together: the area under the precision–recall steps.
///
/// # Panics
/// If the slices differ in length.
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Metric {
    assert_eq!(scores.len(), positive.len(), "a label per score");
    if scores.iter().any(|score| score.is_nan()) {
        return Err(Undefined::NotANumber);
    }
    let total = positive.iter().filter(|&&p| p).count();
    if total == 0 {
        return Err(Undefined::NoGenuine);
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut hits, mut seen, mut sum) = (0, 0, 0.0);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let new = tied.iter().filter(|&&i| positive[i]).count();
        hits += new;
        seen += tied.len();
        sum += new as f64 * hits as f64 / seen as f64;
    }
    Ok(sum / total as f64)
}

/// Expected calibration error (Guo et al. 2017): in fifteen equal bins of the highest probability, how
/// far it lies from the share that is right, weighted by the samples of the bin.
pub fn calibration_error(probabilities: &[Vec<f64>], labels: &[usize]) -> Metric {
    if labels.is_empty() {
        return Err(Undefined::NoSample);
    }
    let mut bins = [(0.0, 0.0); CALIBRATION_BINS];
    for (row, &label) in probabilities.iter().zip(labels) {
        let best = most_probable(row).ok_or(Undefined::NotANumber)?;
        let confidence = row[best];
        let bin = (confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let (confident, right) = &mut bins[bin.clamp(1, CALIBRATION_BINS) - 1];
        *confident += confidence;
        *right += f64::from(u8::from(best == label));
    }
    let gaps: f64 = bins.iter().map(|(confident, right)| (confident - right).abs()).sum();
    Ok(gaps / labels.len() as f64)
}

/// The threshold on the second class's probability that gives the best balanced accuracy of two
/// classes: half-way between the last accepted and the first refused sample. The highest of equals.
///
/// # Errors
/// Other than two classes, or samples of one alone.
pub fn best_threshold(probabilities: &[Vec<f64>], labels: &[usize]) -> Metric {
    if probabilities.first().is_none_or(|row| row.len() != 2) {
        return Err(Undefined::NotTwoClasses);
    }
    let positives = labels.iter().filter(|&&label| label == 1).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 {
        return Err(Undefined::OneClass);
    }
    let score = |i: usize| probabilities[i][1];
    if (0..labels.len()).any(|i| score(i).is_nan()) {
        return Err(Undefined::NotANumber);
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_unstable_by(|&a, &b| score(b).total_cmp(&score(a)));
    let groups: Vec<&[usize]> = order.chunk_by(|&a, &b| score(a) == score(b)).collect();
    let (mut hits, mut false_alarms) = (0, 0);
    let mut best = (f64::NEG_INFINITY, f64::NAN);
    for (at, tied) in groups.iter().enumerate() {
        let new = tied.iter().filter(|&&i| labels[i] == 1).count();
        hits += new;
        false_alarms += tied.len() - new;
        let gain = hits as f64 / positives as f64 - false_alarms as f64 / negatives as f64;
        if gain > best.0 {
            let here = score(tied[0]);
            let next = groups.get(at + 1).map_or(0.0, |group| score(group[0]));
            best = (gain, 0.5 * (here + next));
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<const N: usize, const C: usize>(rows: [[f64; C]; N]) -> Vec<Vec<f64>> {
        rows.map(|row| row.to_vec()).to_vec()
    }

    #[test]
    fn confusion_worked_by_hand() {
        let p = rows([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.7, 0.3]]);
        let labels = [0, 0, 0, 1, 1];
        let matrix = ConfusionMatrix::new(&p, &labels).unwrap();
        assert_eq!(matrix.counts, [[3, 0], [1, 1]]);
        assert_eq!(matrix.accuracy(), 0.8);
        // All three of class 0, one of two of class 1.
        assert_eq!(matrix.balanced_accuracy(), Ok(0.75));
        // One hit, none false, one missed.
        assert_eq!(matrix.f1(), Ok(2.0 / 3.0));
        // Three classes: F1 of each is 2/3, 0 and 2/3.
        let p = rows([[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]);
        let matrix = ConfusionMatrix::new(&p, &[0, 1, 2]).unwrap();
        assert_eq!(matrix.f1(), Ok((2.0 / 3.0 + 0.0 + 1.0) / 3.0));
    }

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(ConfusionMatrix::new(&[], &[]), Err(Undefined::NoSample));
        assert_eq!(macro_auc(&[], &[]), Err(Undefined::NoSample));
        assert_eq!(macro_auc(&[vec![0.5, 0.5]], &[1]), Err(Undefined::OneClass));
        let p = vec![vec![0.3, 0.7]; 3];
        let matrix = ConfusionMatrix::new(&p, &[1, 1, 1]).unwrap();
        assert_eq!(matrix.accuracy(), 1.0);
        assert_eq!(matrix.balanced_accuracy(), Err(Undefined::OneClass));
        let nan = vec![vec![f64::NAN, 0.5]];
        assert_eq!(ConfusionMatrix::new(&nan, &[1]), Err(Undefined::NotANumber));
        assert_eq!(calibration_error(&nan, &[1]), Err(Undefined::NotANumber));
        assert_eq!(average_precision(&[0.1], &[false]), Err(Undefined::NoGenuine));
        assert_eq!(best_threshold(&[vec![0.2, 0.3, 0.5]], &[1]), Err(Undefined::NotTwoClasses));
    }

    #[test]
    fn macro_auc_is_the_mean_of_one_against_the_rest() {
        let p = rows([
            [0.7, 0.2, 0.1],
            [0.4, 0.5, 0.1],
            [0.3, 0.3, 0.4],
            [0.2, 0.6, 0.2],
            [0.5, 0.3, 0.2],
            [0.1, 0.4, 0.5],
        ]);
        // Class 0 (samples 0, 2): positives .7 .3 against .4 .2 .5 .1 → (4 + 2)/8 = 0.75;
        // class 1 (1, 3): .5 .6 against .2 .3 .3 .4 → 1; class 2 (4, 5): .2 .5 against
        // .1 .1 .4 .2 → (2 + ½ + 4)/8 = 0.8125.
        let got = macro_auc(&p, &[0, 1, 0, 1, 2, 2]).unwrap();
        assert!((got - (0.75 + 1.0 + 0.8125) / 3.0).abs() < 1e-12, "{got}");
    }

    #[test]
    fn precision_and_calibration_worked_by_hand() {
        // Precisions at the positives: 1/1, and 3/4 for the tie of two positives and one negative.
        let scores = [0.9, 0.5, 0.5, 0.5, 0.1];
        let got = average_precision(&scores, &[true, true, true, false, false]).unwrap();
        assert!((got - (1.0 + 2.0 * 0.75) / 3.0).abs() < 1e-15, "{got}");
        // Two samples at .9, one of them right; one at .6, right: (|1.8 − 1| + |.6 − 1|) / 3.
        let p = rows([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]);
        let got = calibration_error(&p, &[0, 0, 0]).unwrap();
        assert!((got - 1.2 / 3.0).abs() < 1e-15, "{got}");
    }

    #[test]
    fn the_best_threshold_lies_between_samples() {
        let p: Vec<Vec<f64>> = [0.9, 0.8, 0.6, 0.3, 0.1].map(|p| vec![1.0 - p, p]).to_vec();
        // Accepting .9 and .8 alone: 2/3 − 0; down to .3: 1 − 1/2.
        assert_eq!(best_threshold(&p, &[0, 0, 0, 1, 1]), Ok(0.05));
        let got = best_threshold(&p, &[0, 1, 1, 1, 0].map(|l| 1 - l)).unwrap();
        assert!((got - 0.85).abs() < 1e-12, "{got}");
    }
}
