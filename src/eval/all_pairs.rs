//! Verification over every pair of captures, however many: memory for the captures, not for the pairs.
//!
//! 100,000 captures make 5·10⁹ pairs. Similarities are computed in tiles by matrix products, twice: once
//! where a tile holds genuine pairs, to learn their scores, and once everywhere, to count the impostor
//! scores between them (see [`Tally`]).

use super::search::unit;
use super::{Roc, Tally, Undefined};
use rayon::prelude::*;

/// Rows of a tile.
const TILE: usize = 256;

/// The ROC of all pairs of different captures by the cosine of their embeddings.
///
/// `vectors` is row-major (captures, dim), `person[i]` says whom capture i shows.
///
/// # Errors
/// A vector without direction or with a value that is not finite; no pair of one kind.
///
/// # Panics
/// If the lengths do not fit.
pub fn all_pairs_roc(vectors: &[f32], dim: usize, person: &[u32]) -> Result<Roc, Undefined> {
    assert_eq!(vectors.len(), dim * person.len(), "a person per vector");
    // People together, so that genuine pairs lie in few tiles.
    let mut order: Vec<usize> = (0..person.len()).collect();
    order.sort_by_key(|&i| person[i]);
    let person: Vec<u32> = order.iter().map(|&i| person[i]).collect();
    let mut units = vec![0f32; vectors.len()];
    units.par_chunks_exact_mut(dim.max(1)).zip(&order).try_for_each(|(out, &i)| {
        out.copy_from_slice(&unit(&vectors[i * dim..(i + 1) * dim])?);
        Ok(())
    })?;

    let tiles = person.len().div_ceil(TILE);
    let rows = |tile: usize| tile * TILE..((tile + 1) * TILE).min(person.len());
    let product = |a: usize, b: usize, out: &mut Vec<f32>| {
        let (a, b) = (rows(a), rows(b));
        out.resize(a.len() * b.len(), 0.0);
        multiply(&units[a.start * dim..a.end * dim], &units[b.start * dim..b.end * dim], dim, out);
    };
    // Calls with (same person, score) for each pair of a tile once.
    let visit = |a: usize, b: usize, scores: &[f32], take: &mut dyn FnMut(bool, f32)| {
        let (rows, columns) = (rows(a), rows(b));
        for (i, scores) in rows.zip(scores.chunks_exact(columns.len())) {
            for (j, &score) in columns.clone().zip(scores).filter(|(j, _)| *j > i) {
                take(person[i] == person[j], score);
            }
        }
    };

    let genuine: Vec<f64> = (0..tiles)
        .into_par_iter()
        .map_init(Vec::new, |scores, a| {
            let last = person[rows(a).end - 1];
            let mut genuine = Vec::new();
            for b in (a..tiles).take_while(|&b| person[rows(b).start] <= last) {
                product(a, b, scores);
                visit(a, b, scores, &mut |same, score| {
                    genuine.extend(same.then_some(f64::from(score)));
                });
            }
            genuine
        })
        .flatten_iter()
        .collect();
    let tally = Tally::new(genuine)?;
    let counts = (0..tiles)
        .into_par_iter()
        .fold(
            || (tally.counts(), Vec::new()),
            |(mut counts, mut scores), a| {
                for b in a..tiles {
                    product(a, b, &mut scores);
                    visit(a, b, &scores, &mut |same, score| {
                        if !same {
                            tally.add(&mut counts, f64::from(score));
                        }
                    });
                }
                (counts, scores)
            },
        )
        .map(|(counts, _)| counts)
        .reduce(|| tally.counts(), |a, b| a.plus(&b));
    tally.roc(&counts)
}

/// `out = a bᵀ` of row-major matrices (m, dim) and (n, dim).
fn multiply(a: &[f32], b: &[f32], dim: usize, out: &mut [f32]) {
    let (m, n) = (a.len() / dim, b.len() / dim);
    assert_eq!(out.len(), m * n, "room for the product");
    let (row, column) = (dim as isize, 1);
    // SAFETY: a holds m and b n rows of dim values, out m × n values, all within their slices.
    unsafe {
        matrixmultiply::sgemm(
            m,
            dim,
            n,
            1.0,
            a.as_ptr(),
            row,
            column,
            b.as_ptr(),
            column,
            row,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn agrees_with_every_pair_in_a_list() {
        const CAPTURES: usize = 700;
        const DIM: usize = 24;
        let mut random = rand_pcg::Pcg64::seed_from_u64(4);
        let person: Vec<u32> = (0..CAPTURES).map(|_| random.random_range(0..120)).collect();
        let vectors: Vec<f32> = (0..CAPTURES * DIM)
            .map(|at| {
                let own = (person[at / DIM] as usize * 31 + at % DIM * 17) % 13;
                random.random_range(-1.0..1.0) + 0.1 * own as f32
            })
            .collect();
        let roc = all_pairs_roc(&vectors, DIM, &person).unwrap();

        let row = |i: usize| &vectors[i * DIM..(i + 1) * DIM];
        let (mut scores, mut same) = (Vec::new(), Vec::new());
        for i in 0..CAPTURES {
            for j in 0..i {
                let dot = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
                };
                let (a, b) = (row(i), row(j));
                scores.push(dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
                same.push(person[i] == person[j]);
            }
        }
        let list = Roc::new(&scores, &same).unwrap();
        assert_eq!(roc.genuine_pairs(), list.genuine_pairs());
        assert_eq!(roc.impostor_pairs(), list.impostor_pairs());
        // Single precision may order two pairs in a million otherwise.
        assert!((roc.auc() - list.auc()).abs() < 1e-6, "{} {}", roc.auc(), list.auc());
        assert!((roc.eer() - list.eer()).abs() < 2e-3, "{} {}", roc.eer(), list.eer());
        let (a, b) = (roc.at_far(0.01).unwrap(), list.at_far(0.01).unwrap());
        assert!((a.tar - b.tar).abs() < 2e-3, "{a:?} {b:?}");
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        assert_eq!(all_pairs_roc(&[], 3, &[]), Err(Undefined::NoGenuine));
        assert_eq!(all_pairs_roc(&[1.0, 2.0], 1, &[0, 0]), Err(Undefined::NoImpostor));
        assert_eq!(all_pairs_roc(&[1.0, 2.0], 1, &[0, 1]), Err(Undefined::NoGenuine));
        assert_eq!(all_pairs_roc(&[1.0, 0.0], 1, &[0, 0]), Err(Undefined::NotANumber));
        assert_eq!(all_pairs_roc(&[1.0, f32::NAN], 1, &[0, 1]), Err(Undefined::NotANumber));
    }
}
