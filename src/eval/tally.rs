//! A whole ROC of more impostor pairs than memory holds.
//!
//! Between two neighbouring genuine scores the true accept rate stands still, so it is enough to know
//! how many impostor scores fall there: two counters a genuine score, however many impostors there are.
//! Area, equal error rate and every TAR at a FAR follow exactly.

use super::{Roc, Step, Undefined};

/// Cells of the table that says where to look; a score is then found among the few of its cell.
const CELLS: usize = 1 << 16;

/// Genuine scores, and how many impostor scores lie at and between them.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Distinct, rising.
    scores: Vec<f64>,
    genuine: Vec<u64>,
    /// Values in cells before each cell.
    before: Vec<u32>,
    least: f64,
    cells_per_unit: f64,
}

/// Impostor scores counted so far; one for each thread, put together in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Tally {
    /// # Errors
    /// No genuine score, or one that is not finite.
    pub fn new(mut genuine: Vec<f64>) -> Result<Self, Undefined> {
        if genuine.iter().any(|score| !score.is_finite()) {
            return Err(Undefined::NotANumber);
        }
        genuine.sort_unstable_by(f64::total_cmp);
        let groups = genuine.chunk_by(|a, b| a == b);
        let (scores, genuine): (Vec<f64>, Vec<u64>) =
            groups.map(|group| (group[0], group.len() as u64)).unzip();
        let (Some(&least), Some(&most)) = (scores.first(), scores.last()) else {
            return Err(Undefined::NoGenuine);
        };
        let span = most - least;
        let cells_per_unit = if span > 0.0 { (CELLS - 1) as f64 / span } else { 0.0 };
        let mut tally = Self { scores, genuine, before: Vec::new(), least, cells_per_unit };
        let mut before = vec![0; CELLS + 1];
        for &score in &tally.scores {
            before[tally.cell(score) + 1] += 1;
        }
        for cell in 0..CELLS {
            before[cell + 1] += before[cell];
        }
        tally.before = before;
        Ok(tally)
    }

    /// Never falls as the score rises: what lies in an earlier cell is less.
    fn cell(&self, score: f64) -> usize {
        // Below zero and NaN become 0.
        (((score - self.least) * self.cells_per_unit) as usize).min(CELLS - 1)
    }

    pub fn counts(&self) -> Counts {
        Counts(vec![0; 2 * self.scores.len() + 1])
    }

    /// Counts an impostor score, which must not be NaN.
    #[inline]
    pub fn add(&self, counts: &mut Counts, score: f64) {
        let cell = self.cell(score);
        let (from, to) = (self.before[cell] as usize, self.before[cell + 1] as usize);
        let place = from + self.scores[from..to].partition_point(|&value| value < score);
        let is_tie = self.scores.get(place) == Some(&score);
        counts.0[2 * place + usize::from(is_tie)] += 1;
    }

    /// # Errors
    /// No impostor score was counted.
    pub fn roc(&self, counts: &Counts) -> Result<Roc, Undefined> {
        let last = self.scores.len() - 1;
        // Any score between two neighbours stands for all that lie there.
        let between = |place: usize| match place {
            0 => self.scores[0] - 1.0,
            place if place > last => self.scores[last] + 1.0,
            place => 0.5 * (self.scores[place - 1] + self.scores[place]),
        };
        let steps = (0..counts.0.len()).rev().map(|bin| {
            let place = bin / 2;
            let impostor = counts.0[bin];
            if bin % 2 == 1 {
                Step { score: self.scores[place], genuine: self.genuine[place], impostor }
            } else {
                Step { score: between(place), genuine: 0, impostor }
            }
        });
        Roc::of_sorted(steps.filter(|step| step.genuine + step.impostor > 0))
    }
}

impl Counts {
    pub fn plus(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a += b);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_roc_of_every_score() {
        let mut state = 3u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for levels in [2, 7, 1000, 1 << 20] {
            let mut score = |shift: f64| (random() % levels) as f64 / levels as f64 + shift;
            let genuine: Vec<f64> = (0..200).map(|_| score(0.2)).collect();
            let impostor: Vec<f64> = (0..3000).map(|_| score(0.0)).collect();
            let tally = Tally::new(genuine.clone()).unwrap();
            let (early, late) = impostor.split_at(1000);
            let count = |scores: &[f64]| {
                let mut counts = tally.counts();
                scores.iter().for_each(|&score| tally.add(&mut counts, score));
                counts
            };
            let roc = tally.roc(&count(early).plus(&count(late))).unwrap();
            let labels = [vec![true; 200], vec![false; 3000]].concat();
            let whole = Roc::new(&[genuine, impostor].concat(), &labels).unwrap();
            assert_eq!(roc.impostor_pairs(), 3000);
            assert_eq!(roc.auc(), whole.auc(), "{levels}");
            assert!((roc.eer() - whole.eer()).abs() < 1e-14, "{levels}");
            for far in [0.5, 0.1, 0.01, 0.001] {
                assert_eq!(roc.at_far(far), whole.at_far(far), "{levels} {far}");
            }
            let costs = crate::eval::DetectionCosts::default();
            assert_eq!(roc.min_dcf(costs), whole.min_dcf(costs));
        }
    }

    #[test]
    fn what_cannot_be_counted_says_why() {
        assert_eq!(Tally::new(vec![]).unwrap_err(), Undefined::NoGenuine);
        assert_eq!(Tally::new(vec![f64::NAN]).unwrap_err(), Undefined::NotANumber);
        let tally = Tally::new(vec![0.5]).unwrap();
        assert_eq!(tally.roc(&tally.counts()).unwrap_err(), Undefined::NoImpostor);
        let mut counts = tally.counts();
        [0.5, 0.4, 0.6].into_iter().for_each(|score| tally.add(&mut counts, score));
        assert_eq!(tally.roc(&counts).unwrap().auc(), 0.5);
    }
}
