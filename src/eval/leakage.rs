//! How much of a label a linear classifier reads from embeddings that are meant for identity.
//!
//! Ridge regression on the classes (one against the rest, ±1), on standardised embeddings, with people
//! held out in five folds: what it says of a person it learned from others. An AUC of 0.5 is nothing.
//! The solution is closed, `w = (XᵀX + λI)⁻¹ Xᵀy` with λ = 1 and X, y centred on the learners' means;
//! where captures are fewer than dimensions, `w = Xᵀ (XXᵀ + λI)⁻¹ y`, which is the same.

use super::{Bootstrap, Figure, Metric, TaskSamples, Undefined, macro_auc};
use nalgebra::{DMatrix, DVector};

const FOLDS: usize = 5;
const RIDGE: f64 = 1.0;

/// The AUC, over people held out, with which a label is read from vectors. `labels[i]` is the class of
/// capture i, `None` without one; `person[i]` whom it shows, below `people`.
pub fn leakage_figure(
    vectors: &[Vec<f32>],
    labels: &[Option<usize>],
    person: &[usize],
    classes: usize,
    people: usize,
    bootstrap: &Bootstrap,
) -> Figure {
    let labelled: Vec<usize> = (0..labels.len()).filter(|&i| labels[i].is_some()).collect();
    let class: Vec<usize> = labelled.iter().filter_map(|&i| labels[i]).collect();
    let mut scores = vec![Vec::new(); labelled.len()];
    for fold in 0..FOLDS {
        let (held, learned): (Vec<usize>, Vec<usize>) =
            (0..labelled.len()).partition(|&at| person[labelled[at]] % FOLDS == fold);
        if held.is_empty() {
            continue;
        }
        let rows = |of: &[usize]| -> Vec<&[f32]> {
            of.iter().map(|&at| vectors[labelled[at]].as_slice()).collect()
        };
        let learned_class: Vec<usize> = learned.iter().map(|&at| class[at]).collect();
        match ridge_scores(&rows(&learned), &learned_class, &rows(&held), classes) {
            Ok(found) => held.iter().zip(found).for_each(|(&at, score)| scores[at] = score),
            Err(reason) => return Figure::from(Metric::Err(reason)),
        }
    }
    let samples = TaskSamples {
        probabilities: scores,
        labels: class,
        people: labelled.iter().map(|&i| person[i]).collect(),
    };
    let found = bootstrap.replicate(people, |weights| {
        vec![match weights {
            None => macro_auc(&samples.probabilities, &samples.labels),
            Some(weights) => {
                let (scores, labels) = samples.drawn(weights);
                macro_auc(&scores, &labels)
            }
        }]
    });
    found.first().map_or_else(Figure::default, Figure::from)
}

/// Scores of each class for `held` captures, learned from others.
fn ridge_scores(
    learned: &[&[f32]],
    class: &[usize],
    held: &[&[f32]],
    classes: usize,
) -> Result<Vec<Vec<f64>>, Undefined> {
    let Some(width) = learned.first().map(|row| row.len()) else { return Err(Undefined::NoSample) };
    if learned.iter().chain(held).any(|row| row.iter().any(|v| !v.is_finite())) {
        return Err(Undefined::NotANumber);
    }
    let count = learned.len();
    let matrix =
        |rows: &[&[f32]]| DMatrix::from_fn(rows.len(), width, |r, c| f64::from(rows[r][c]));
    let (mut x, mut probe) = (matrix(learned), matrix(held));
    for c in 0..width {
        let column = x.column(c);
        let mean = column.mean();
        let deviation = (column.map(|v| (v - mean).powi(2)).sum() / count as f64).sqrt();
        // A dimension that is the same for all says nothing.
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        for part in [&mut x, &mut probe] {
            part.column_mut(c).apply(|v| *v = (*v - mean) * scale);
        }
    }
    let y = DMatrix::from_fn(count, classes, |r, c| if class[r] == c { 1.0 } else { -1.0 });
    let mean: DVector<f64> = DVector::from_fn(classes, |c, _| y.column(c).mean());
    let centred = DMatrix::from_fn(count, classes, |r, c| y[(r, c)] - mean[c]);
    let solve = |gram: DMatrix<f64>, right: DMatrix<f64>| {
        let size = gram.nrows();
        let lifted = gram + DMatrix::identity(size, size) * RIDGE;
        lifted.cholesky().map(|factor| factor.solve(&right)).ok_or(Undefined::NotANumber)
    };
    let weights = if count < width {
        x.transpose() * solve(&x * x.transpose(), centred)?
    } else {
        solve(x.transpose() * &x, x.transpose() * centred)?
    };
    // Without the learners' mean: it is low in a class where the held-out people are many, and scores of
    // different folds stand beside one another.
    let scores = probe * weights;
    let of_row = |r: usize| (0..classes).map(|c| scores[(r, c)]).collect();
    Ok((0..held.len()).map(of_row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    /// Thirty people of four captures, the label by person; a fifth of the dimensions is shifted by it.
    fn people(shift: f64, width: usize) -> (Vec<Vec<f32>>, Vec<Option<usize>>, Vec<usize>) {
        let mut random = rand_pcg::Pcg64::seed_from_u64(2);
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        let label = |i: usize| usize::from((i / 4_usize).is_multiple_of(3));
        let vectors = (0..120)
            .map(|i| {
                let own = shift * label(i) as f64;
                (0..width)
                    .map(|d| (normal() + if d < width / 5 { own } else { 0.0 }) as f32)
                    .collect()
            })
            .collect();
        let labels = (0..120).map(|i| (i % 7 != 0).then(|| label(i))).collect();
        (vectors, labels, (0..120).map(|i| i / 4).collect())
    }

    fn read(shift: f64, width: usize) -> f64 {
        let (vectors, labels, person) = people(shift, width);
        let none = Bootstrap { replicates: 0, seed: 1 };
        leakage_figure(&vectors, &labels, &person, 2, 30, &none).value.unwrap()
    }

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_not() {
        assert!(read(6.0, 5) > 0.99);
        let nothing = read(0.0, 5);
        assert!((nothing - 0.5).abs() < 0.15, "{nothing}");
        // More dimensions than captures to learn from.
        assert!(read(3.0, 150) > 0.95);
    }

    #[test]
    fn both_forms_of_the_solution_are_the_same() {
        let (vectors, labels, _) = people(1.0, 6);
        let class: Vec<usize> = labels.iter().map(|l| l.unwrap_or(0)).collect();
        // Five captures of five dimensions, and of a sixth that is always the same: the first are solved
        // one way, the second the other.
        let narrow: Vec<Vec<f32>> = vectors.iter().map(|v| v[..5].to_vec()).collect();
        let narrow: Vec<&[f32]> = narrow.iter().map(Vec::as_slice).collect();
        let enough = ridge_scores(&narrow[..5], &class[..5], &narrow[100..], 2).unwrap();
        let padded: Vec<Vec<f32>> = vectors.iter().map(|v| [&v[..5], &[3.0]].concat()).collect();
        let padded: Vec<&[f32]> = padded.iter().map(Vec::as_slice).collect();
        let dual = ridge_scores(&padded[..5], &class[..5], &padded[100..], 2).unwrap();
        for (a, b) in enough.iter().flatten().zip(dual.iter().flatten()) {
            assert!((a - b).abs() < 1e-10, "{a} {b}");
        }
    }
}
