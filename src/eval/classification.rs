//! How often a task's most probable class is the right one.

use super::{Metric, Undefined};

/// Share of samples whose most probable class is theirs; a tie goes to the lower class.
///
/// `probabilities[i][c]` is sample i's probability of class c, `labels[i]` its class.
pub fn accuracy(probabilities: &[Vec<f64>], labels: &[usize]) -> Metric {
    let right = hits(probabilities, labels)?;
    if right.is_empty() {
        return Err(Undefined::NoSample);
    }
    Ok(right.iter().filter(|&&hit| hit).count() as f64 / right.len() as f64)
}

/// Mean over the classes that are present of the share of their samples that is recognised: chance
/// is one over their number, however rare a class is.
pub fn balanced_accuracy(probabilities: &[Vec<f64>], labels: &[usize]) -> Metric {
    let right = hits(probabilities, labels)?;
    let classes = labels.iter().max().map_or(0, |last| last + 1);
    let mut counts = vec![(0usize, 0usize); classes];
    for (&label, hit) in labels.iter().zip(right) {
        counts[label].0 += usize::from(hit);
        counts[label].1 += 1;
    }
    let recalls: Vec<f64> = counts
        .into_iter()
        .filter(|(_, all)| *all > 0)
        .map(|(hits, all)| hits as f64 / all as f64)
        .collect();
    match recalls.len() {
        0 => Err(Undefined::NoSample),
        1 => Err(Undefined::OneClass),
        present => Ok(recalls.iter().sum::<f64>() / present as f64),
    }
}

fn hits(probabilities: &[Vec<f64>], labels: &[usize]) -> Result<Vec<bool>, Undefined> {
    probabilities
        .iter()
        .zip(labels)
        .map(|(row, &label)| {
            if row.iter().any(|p| p.is_nan()) {
                return Err(Undefined::NotANumber);
            }
            let best = (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
            Ok(best == Some(label))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_worked_by_hand() {
        let rows = [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.7, 0.3]];
        let rows: Vec<Vec<f64>> = rows.map(|row| row.to_vec()).to_vec();
        let labels = [0, 0, 0, 1, 1];
        assert_eq!(accuracy(&rows, &labels), Ok(0.8));
        // All three of class 0, one of two of class 1.
        assert_eq!(balanced_accuracy(&rows, &labels), Ok(0.75));
    }

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(accuracy(&[], &[]), Err(Undefined::NoSample));
        assert_eq!(balanced_accuracy(&[], &[]), Err(Undefined::NoSample));
        let rows = vec![vec![0.3, 0.7]; 3];
        assert_eq!(accuracy(&rows, &[1, 1, 1]), Ok(1.0));
        assert_eq!(balanced_accuracy(&rows, &[1, 1, 1]), Err(Undefined::OneClass));
        assert_eq!(accuracy(&[vec![f64::NAN, 0.5]], &[1]), Err(Undefined::NotANumber));
    }
}
