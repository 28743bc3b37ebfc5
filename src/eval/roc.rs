//! The receiver operating characteristic: what is accepted at every threshold, and the figures that
//! follow from it.
//!
//! A pair is accepted where its score is at least the threshold. With G genuine and I impostor pairs,
//! `TAR(t) = #{genuine ≥ t} / G`, `FAR(t) = #{impostor ≥ t} / I`, `FRR = 1 − TAR`. Counts are integers
//! throughout, so a figure is as exact as a division.

use super::{Metric, Undefined};
use serde::Serialize;

/// How many pairs have one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub score: f64,
    pub genuine: u64,
    pub impostor: u64,
}

/// A whole characteristic.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// From the highest score down, each score once.
    steps: Vec<Step>,
    genuine: u64,
    impostor: u64,
}

/// Where a threshold puts the error rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Accepted are scores at or above it; `None` accepts nothing.
    pub threshold: Option<f64>,
    pub tar: f64,
    /// What was reached, at or below what was asked for.
    pub far: f64,
    pub false_accepts: u64,
    pub impostor_pairs: u64,
}

/// Costs of the two errors and how often a genuine pair comes (NIST's detection cost function).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DetectionCosts {
    pub genuine_prior: f64,
    pub miss: f64,
    pub false_accept: f64,
}

impl Default for DetectionCosts {
    /// One genuine pair in a hundred, both errors alike (NIST SRE 2012 and later).
    fn default() -> Self {
        Self { genuine_prior: 0.01, miss: 1.0, false_accept: 1.0 }
    }
}

impl Roc {
    /// Of scores, higher for more alike; `genuine[i]` says what pair i is.
    ///
    /// # Errors
    /// A score that is NaN, or no pair of one kind.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn new(scores: &[f64], genuine: &[bool]) -> Result<Self, Undefined> {
        assert_eq!(scores.len(), genuine.len(), "a label per score");
        if scores.iter().any(|score| score.is_nan()) {
            return Err(Undefined::NotANumber);
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        Self::of_sorted(order.into_iter().map(|i| Step {
            score: scores[i],
            genuine: u64::from(genuine[i]),
            impostor: u64::from(!genuine[i]),
        }))
    }

    /// Of counts by score, from the highest score down; equal scores are put together.
    ///
    /// # Errors
    /// No pair of one kind.
    pub fn of_sorted(counts: impl IntoIterator<Item = Step>) -> Result<Self, Undefined> {
        let mut steps: Vec<Step> = Vec::new();
        let (mut genuine, mut impostor) = (0, 0);
        for step in counts {
            genuine += step.genuine;
            impostor += step.impostor;
            match steps.last_mut() {
                // −0 and 0 are equal here.
                Some(last) if last.score == step.score => {
                    last.genuine += step.genuine;
                    last.impostor += step.impostor;
                }
                _ => steps.push(step),
            }
        }
        if genuine == 0 {
            return Err(Undefined::NoGenuine);
        }
        if impostor == 0 {
            return Err(Undefined::NoImpostor);
        }
        Ok(Self { steps, genuine, impostor })
    }

    pub fn genuine_pairs(&self) -> u64 {
        self.genuine
    }

    pub fn impostor_pairs(&self) -> u64 {
        self.impostor
    }

    /// Pairs at or above each score, from the highest score down.
    fn accepted(&self) -> impl Iterator<Item = Step> + '_ {
        self.steps.iter().scan((0, 0), |(genuine, impostor), step| {
            *genuine += step.genuine;
            *impostor += step.impostor;
            Some(Step { score: step.score, genuine: *genuine, impostor: *impostor })
        })
    }

    fn tar(&self, accepted: Step) -> f64 {
        accepted.genuine as f64 / self.genuine as f64
    }

    fn far(&self, accepted: Step) -> f64 {
        accepted.impostor as f64 / self.impostor as f64
    }

    /// The probability that a genuine pair scores above an impostor one, ties counted half: the
    /// Mann–Whitney form of the area (Hanley and McNeil 1982), exact for any ties.
    pub fn auc(&self) -> f64 {
        let wins = Wins::of_sorted(self.steps.iter().copied());
        wins.doubled as f64 / (2.0 * self.genuine as f64 * self.impostor as f64)
    }

    /// The equal error rate: where the curve, straight between its points, has FAR = FRR.
    pub fn eer(&self) -> f64 {
        let (mut far_before, mut frr_before) = (0.0, 1.0);
        for accepted in self.accepted() {
            let (far, frr) = (self.far(accepted), 1.0 - self.tar(accepted));
            if far >= frr {
                let gap_before = frr_before - far_before;
                let share = gap_before / (gap_before + far - frr);
                return far_before + share * (far - far_before);
            }
            (far_before, frr_before) = (far, frr);
        }
        unreachable!("everything accepted has FAR 1 and FRR 0")
    }

    /// The highest TAR whose FAR is at most `most`, and the highest threshold that reaches it.
    ///
    /// # Errors
    /// So few impostor pairs that not one may be accepted: they say nothing of such a FAR.
    pub fn at_far(&self, most: f64) -> Result<OperatingPoint, Undefined> {
        // A product that is a whole number but for its last bit is that number.
        let allowed = (most * self.impostor as f64 * (1.0 + 1e-12)).floor();
        if allowed < 1.0 {
            return Err(Undefined::TooFewImpostors);
        }
        let mut best = Step { score: f64::INFINITY, genuine: 0, impostor: 0 };
        for accepted in self.accepted() {
            if accepted.impostor as f64 > allowed {
                break;
            }
            if accepted.genuine > best.genuine {
                best = accepted;
            }
        }
        Ok(OperatingPoint {
            threshold: Some(best.score).filter(|score| score.is_finite()),
            tar: self.tar(best),
            far: self.far(best),
            false_accepts: best.impostor,
            impostor_pairs: self.impostor,
        })
    }

    /// (FAR, FRR) of a threshold.
    pub fn rates_at(&self, threshold: f64) -> (f64, f64) {
        let accepted = self.accepted().take_while(|step| step.score >= threshold).last();
        accepted.map_or((0.0, 1.0), |step| (self.far(step), 1.0 - self.tar(step)))
    }

    /// The least detection cost over all thresholds, as a share of what the better of accepting
    /// everything and accepting nothing costs.
    pub fn min_dcf(&self, costs: DetectionCosts) -> f64 {
        let miss = costs.miss * costs.genuine_prior;
        let false_accept = costs.false_accept * (1.0 - costs.genuine_prior);
        let cost = |far: f64, frr: f64| miss * frr + false_accept * far;
        self.accepted()
            .map(|step| cost(self.far(step), 1.0 - self.tar(step)))
            .fold(cost(0.0, 1.0), f64::min)
            / miss.min(false_accept)
    }

    /// (FAR, TAR) from (0, 0) to (1, 1), at most about so many points: in the corner where FAR is
    /// small, points are kept by its logarithm.
    pub fn curve(&self, points: usize) -> Vec<(f64, f64)> {
        let half = points as f64 / 2.0;
        // Eight decades of FAR share one half of the points, TAR the other.
        let place = |far: f64, tar: f64| {
            let decade = if far > 0.0 { far.log10().max(-8.0) + 8.0 } else { -1.0 };
            ((decade / 8.0 * half).round() as i64, (tar * half).round() as i64)
        };
        let mut curve = vec![(0.0, 0.0)];
        let mut last = place(0.0, 0.0);
        for accepted in self.accepted() {
            let (far, tar) = (self.far(accepted), self.tar(accepted));
            let here = place(far, tar);
            if here != last || self.steps.len() <= points {
                curve.push((far, tar));
                last = here;
            }
        }
        if curve.last() != Some(&(1.0, 1.0)) {
            curve.push((1.0, 1.0));
        }
        curve
    }
}

/// Pairs of a genuine and an impostor score.
#[derive(Default)]
struct Wins {
    /// Twice those where the genuine score is higher, and once those of equal scores.
    doubled: u128,
    genuine: u128,
    impostor: u128,
}

impl Wins {
    /// Steps from the highest score down; equal scores may stand in several.
    fn of_sorted(steps: impl IntoIterator<Item = Step>) -> Self {
        let mut wins = Self::default();
        let mut tied = Step { score: f64::NAN, genuine: 0, impostor: 0 };
        for step in steps {
            if step.score == tied.score {
                tied.genuine += step.genuine;
                tied.impostor += step.impostor;
            } else {
                wins.add(tied);
                tied = step;
            }
        }
        wins.add(tied);
        wins
    }

    fn add(&mut self, tied: Step) {
        let (genuine, impostor) = (u128::from(tied.genuine), u128::from(tied.impostor));
        self.doubled += impostor * (2 * self.genuine + genuine);
        self.genuine += genuine;
        self.impostor += impostor;
    }
}

/// [`Roc::auc`] of steps from the highest score down, without keeping them.
///
/// # Errors
/// No pair of one kind.
pub(super) fn auc_of_sorted(steps: impl IntoIterator<Item = Step>) -> Metric {
    let Wins { doubled, genuine, impostor } = Wins::of_sorted(steps);
    match (genuine, impostor) {
        (0, _) => Err(Undefined::NoGenuine),
        (_, 0) => Err(Undefined::NoImpostor),
        _ => Ok(doubled as f64 / (2.0 * genuine as f64 * impostor as f64)),
    }
}

/// [`Roc::auc`] of scores.
///
/// # Panics
/// If the slices differ in length.
pub fn roc_auc(scores: &[f64], positive: &[bool]) -> Metric {
    Ok(Roc::new(scores, positive)?.auc())
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
    }

    /// Genuine .9 .7 .5 .3, impostor .8 .5 .4 .2 .1.
    fn nine() -> Roc {
        let scores = [0.9, 0.7, 0.5, 0.3, 0.8, 0.5, 0.4, 0.2, 0.1];
        Roc::new(&scores, &[true, true, true, true, false, false, false, false, false]).unwrap()
    }

    #[test]
    fn figures_worked_by_hand() {
        let roc = nine();
        // Below .9: 5; below .7: 4; below .5: 3 and a tie; below .3: 2. Of 20.
        assert_eq!(roc.auc(), 14.5 / 20.0);
        // (FAR, FRR) runs (0, 3/4), (1/5, 3/4), (1/5, 1/2), (2/5, 1/4): equal on the last stretch, at
        // a share s with 1/5 + s/5 = 1/2 − s/4.
        let share = 0.3 / 0.45;
        assert!((roc.eer() - (0.2 + share / 5.0)).abs() < 1e-15, "{}", roc.eer());
        // One false accept of five is allowed, and .8 is it: .9 and .7 are accepted.
        let point = roc.at_far(0.2).unwrap();
        assert_eq!((point.tar, point.far, point.threshold), (0.5, 0.2, Some(0.7)));
        assert_eq!(roc.at_far(0.39).unwrap(), point);
        // FAR is at or below what is asked for: at 2/5 the tie comes in whole.
        assert_eq!(roc.at_far(0.4).unwrap().tar, 0.75);
        assert_eq!(roc.at_far(0.19), Err(Undefined::TooFewImpostors));
        assert_eq!(roc.rates_at(0.5), (0.4, 0.25));
        assert_eq!(roc.rates_at(0.95), (0.0, 1.0));
        // Prior 1/2, costs 1: half of FAR + FRR at its least, .4 + .25 or 0 + .75, over 1/2.
        let costs = DetectionCosts { genuine_prior: 0.5, miss: 1.0, false_accept: 1.0 };
        assert!((roc.min_dcf(costs) - 0.6).abs() < 1e-15, "{}", roc.min_dcf(costs));
        assert_eq!(roc.curve(100).first(), Some(&(0.0, 0.0)));
        assert_eq!(roc.curve(100).last(), Some(&(1.0, 1.0)));
        assert_eq!(roc.curve(100).len(), 9);
    }

    #[test]
    fn nothing_may_be_accepted_where_impostors_score_highest() {
        let roc = Roc::new(&[0.9, 0.9, 0.8], &[false, false, true]).unwrap();
        let point = roc.at_far(0.5).unwrap();
        assert_eq!((point.threshold, point.tar, point.far), (None, 0.0, 0.0));
        // One step up the side, then straight to the corner.
        assert_eq!(roc.eer(), 1.0);
        assert_eq!(roc.min_dcf(DetectionCosts::default()), 1.0);
    }

    /// A small generator.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *state >> 33
    }

    #[test]
    fn agrees_with_counting_every_pair() {
        let mut state = 12_345u64;
        let mut next = || random(&mut state);
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
    fn a_monotone_transform_changes_nothing_and_tar_falls_with_far() {
        let mut state = 99u64;
        for _ in 0..30 {
            let scores: Vec<f64> =
                (0..200).map(|_| (random(&mut state) % 50) as f64 / 50.0 - 0.3).collect();
            let genuine: Vec<bool> = (0..200).map(|i| i % 5 == 0).collect();
            let roc = Roc::new(&scores, &genuine).unwrap();
            let bent: Vec<f64> = scores.iter().map(|s| (3.0 * s).exp() - 7.0).collect();
            let bent = Roc::new(&bent, &genuine).unwrap();
            assert_eq!((roc.auc(), roc.eer()), (bent.auc(), bent.eer()));
            let mut last = 1.0;
            for far in [1.0, 0.5, 0.3, 0.1, 0.05, 0.01, 0.00625] {
                let point = roc.at_far(far).unwrap();
                assert!(point.far <= far && point.tar <= last, "{point:?} after {last}");
                assert_eq!(bent.at_far(far).unwrap().tar, point.tar);
                last = point.tar;
            }
        }
    }
}
