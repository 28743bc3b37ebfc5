//! The figures of a task, each with its interval over people.

use super::{
    Bootstrap, ConfusionMatrix, Figure, Metric, TaskResult, Undefined, calibration_error,
    macro_auc, macro_average_precision,
};

/// Captures with a label of a task: what the network says of them, and what is true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskSamples {
    /// One row a capture, one value a class.
    pub probabilities: Vec<Vec<f64>>,
    pub labels: Vec<usize>,
    /// Whom each capture shows, below the number of people.
    pub people: Vec<usize>,
}

impl TaskSamples {
    /// Each capture as often as its person.
    pub(super) fn drawn(&self, weights: &[u32]) -> (Vec<Vec<f64>>, Vec<usize>) {
        let times = |i: usize| std::iter::repeat_n(i, weights[self.people[i]] as usize);
        let drawn = || (0..self.labels.len()).flat_map(times);
        (
            drawn().map(|i| self.probabilities[i].clone()).collect(),
            drawn().map(|i| self.labels[i]).collect(),
        )
    }
}

/// The figures of samples of `people` people; `threshold` on the second class's probability if one was
/// chosen on others.
pub fn task_result(
    samples: &TaskSamples,
    classes: &[String],
    people: usize,
    threshold: Option<f64>,
    bootstrap: &Bootstrap,
) -> TaskResult {
    let figures = |probabilities: &[Vec<f64>], labels: &[usize]| -> Vec<Metric> {
        let confusion = ConfusionMatrix::new(probabilities, labels);
        let of = |figure: fn(&ConfusionMatrix) -> Metric| {
            confusion.as_ref().map_err(|&e| e).and_then(figure)
        };
        let mut figures = vec![
            macro_auc(probabilities, labels),
            macro_average_precision(probabilities, labels),
            of(|matrix| Ok(matrix.accuracy())),
            of(ConfusionMatrix::balanced_accuracy),
            of(ConfusionMatrix::f1),
            calibration_error(probabilities, labels),
        ];
        figures.extend(threshold.map(|at| balanced_accuracy_at(probabilities, labels, at)));
        figures
    };
    let mut found = bootstrap
        .replicate(people, |weights| match weights {
            None => figures(&samples.probabilities, &samples.labels),
            Some(weights) => {
                let (probabilities, labels) = samples.drawn(weights);
                figures(&probabilities, &labels)
            }
        })
        .into_iter();
    let mut next = || found.next().map_or_else(Figure::default, |f| Figure::from(&f));
    TaskResult {
        classes: classes.to_vec(),
        labelled: samples.labels.len(),
        auc: next(),
        average_precision: next(),
        accuracy: next(),
        balanced_accuracy: next(),
        f1: next(),
        calibration_error: next(),
        confusion: ConfusionMatrix::new(&samples.probabilities, &samples.labels).ok(),
        threshold,
        balanced_accuracy_at_threshold: threshold.map(|_| next()),
    }
}

/// Of two classes, the second where its probability is at least the threshold.
fn balanced_accuracy_at(probabilities: &[Vec<f64>], labels: &[usize], threshold: f64) -> Metric {
    let decided: Vec<Vec<f64>> = probabilities
        .iter()
        .map(|row| if row[1] >= threshold { vec![0.0, 1.0] } else { vec![1.0, 0.0] })
        .collect();
    if probabilities.iter().flatten().any(|p| p.is_nan()) {
        return Err(Undefined::NotANumber);
    }
    ConfusionMatrix::new(&decided, labels)?.balanced_accuracy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_drawn_and_not_captures() {
        // Four captures each of ten people, five of each class; every capture of a person has the
        // same probability, so that captures say no more than people.
        let person = |i: usize| i / 4;
        let probability = |p: usize| [0.1, 0.7, 0.3, 0.2, 0.6, 0.9, 0.4, 0.8, 0.55, 0.5][p];
        let samples = TaskSamples {
            probabilities: (0..40)
                .map(|i| vec![1.0 - probability(person(i)), probability(person(i))])
                .collect(),
            labels: (0..40).map(|i| usize::from(person(i) >= 5)).collect(),
            people: (0..40).map(person).collect(),
        };
        let classes = ["no".to_string(), "yes".to_string()];
        let bootstrap = Bootstrap { replicates: 500, seed: 1 };
        let all = task_result(&samples, &classes, 10, Some(0.45), &bootstrap);
        let one_each = TaskSamples {
            probabilities: samples.probabilities.iter().step_by(4).cloned().collect(),
            labels: samples.labels.iter().step_by(4).copied().collect(),
            people: (0..10).collect(),
        };
        let one_each = task_result(&one_each, &classes, 10, None, &bootstrap);
        assert_eq!(all.auc, one_each.auc);
        // .9 and .8 win 5, .55 and .5 3 each, .4 3: of 25.
        assert_eq!(all.auc.value, Some(19.0 / 25.0));
        let [low, high] = all.auc.interval.unwrap();
        assert!(low < 0.5 && high > 0.95, "{low} {high}");
        // At .45: .7 and .6 are wrongly in, .4 is out.
        let decided = all.balanced_accuracy_at_threshold.unwrap().value.unwrap();
        assert!((decided - 0.5 * (0.6 + 0.8)).abs() < 1e-12, "{decided}");
        assert_eq!(all.labelled, 40);
        assert_eq!(one_each.balanced_accuracy_at_threshold, None);
    }
}
