//! Intervals and differences by resampling people.
//!
//! Captures of one person resemble one another, so pairs and probes are not independent: people are.
//! A replicate draws as many people as there are, with replacement; person a comes w_a times. What
//! hangs on one person counts w_a times, what hangs on two (an impostor pair) w_a · w_b times; two
//! copies of one person are no pair. In a gallery, w_b people stand where person b stood.
//!
//! A draw holds some people twice and others not at all, so a figure of ranks is better on it than on
//! as many different people: draws are shifted so that their mean is the figure itself. The interval is
//! then the percentile interval with its levels widened for small samples, `Φ(−t √(n/(n−1)))`
//! with t Student's quantile of n − 1 degrees of freedom (Hesterberg 2015, "What teachers should know
//! about the bootstrap", section 3.4); n is the number of people. A figure of 0 or 1 on which all draws
//! agree has the interval of n people who all agree, down to `0.025^(1/n)` (Clopper and Pearson 1934).

use super::{Metric, Undefined};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Share of replicates that may lack a value before an interval is no longer given.
const MOST_UNDEFINED: f64 = 0.05;
/// Fewer people say nothing of how people differ.
const FEWEST_PEOPLE: usize = 5;

/// How often people are drawn anew, and from which seed: the same seed draws the same people, so that
/// two runs on the same people are compared on the same draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// 0 gives no intervals.
    pub replicates: usize,
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { replicates: 1000, seed: 1 }
    }
}

/// A figure on the people that are there, and on each draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Replicated {
    value: Metric,
    /// `None` where the figure has no value on a draw.
    draws: Vec<Option<f64>>,
    people: usize,
}

/// How two figures differ on the same draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub value: f64,
    /// 95 %.
    pub interval: Option<[f64; 2]>,
    /// Two-sided: the level at which the interval ends at no difference.
    pub p: Option<f64>,
}

impl Bootstrap {
    /// Figures with their replicates. `of` is given how often each of `people` counts, `None` where
    /// each counts once, and returns the same figures in the same order whatever the weights.
    pub fn replicate(
        &self,
        people: usize,
        of: impl Fn(Option<&[u32]>) -> Vec<Metric> + Sync,
    ) -> Vec<Replicated> {
        let values = of(None);
        let draws: Vec<Vec<Metric>> = (0..self.replicates)
            .into_par_iter()
            .map(|replicate| of(Some(&self.weights(people, replicate))))
            .collect();
        let figure = |(at, value): (usize, Metric)| Replicated {
            value,
            draws: draws.iter().map(|draw| draw[at].ok()).collect(),
            people,
        };
        values.into_iter().enumerate().map(figure).collect()
    }

    /// How often each person is drawn.
    fn weights(&self, people: usize, replicate: usize) -> Vec<u32> {
        let stream = self.seed ^ ((replicate as u64 + 1) << 32);
        let mut random = Pcg64::seed_from_u64(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut weights = vec![0; people];
        for _ in 0..people {
            weights[random.random_range(0..people)] += 1;
        }
        weights
    }
}

impl Replicated {
    pub fn value(&self) -> Metric {
        self.value
    }

    /// The 95 % interval; `None` where people or draws with a value are too few.
    pub fn interval(&self) -> Option<[f64; 2]> {
        let defined: Vec<f64> = self.draws.iter().copied().flatten().collect();
        if self.value.is_err() {
            return None;
        }
        let value = self.value.ok()?;
        let [low, high] = interval(defined, value, self.draws.len(), self.people)?;
        if low == high && (value == 0.0 || value == 1.0) {
            let bound = 0.025f64.powf(1.0 / self.people as f64);
            return Some(if value == 1.0 { [bound, 1.0] } else { [0.0, 1.0 - bound] });
        }
        // Every figure here is a share.
        Some([low.clamp(0.0, 1.0), high.clamp(0.0, 1.0)])
    }

    /// This figure less another of the same people and draws.
    ///
    /// # Errors
    /// Either has no value.
    pub fn minus(&self, other: &Self) -> Result<Difference, Undefined> {
        let value = self.value? - other.value?;
        let pairs = self.draws.iter().zip(&other.draws);
        let differences: Vec<f64> = pairs.filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
        let p = p_value(&differences, value, self.people);
        // Draws that all say the same know nothing of how far the difference may be chance.
        let interval = interval(differences, value, self.draws.len(), self.people)
            .filter(|[low, high]| low < high);
        Ok(Difference { value, interval, p: interval.and(p) })
    }
}

/// Of draws shifted to lie about `value`, the share beyond 0, and the level that it has in the widened
/// interval: `r = Φ(−t √(n/(n−1)))` solved for t.
fn p_value(draws: &[f64], value: f64, people: usize) -> Option<f64> {
    let n = people as f64;
    let shift = value - draws.iter().sum::<f64>() / draws.len() as f64;
    let beyond = |holds: &dyn Fn(f64) -> bool| draws.iter().filter(|d| holds(**d + shift)).count();
    let rarer = beyond(&|d| d <= 0.0).min(beyond(&|d| d >= 0.0));
    // One more on top and below: a finite number of draws cannot show that nothing is possible.
    let share = (rarer + 1) as f64 / (draws.len() + 1) as f64;
    let t = Normal::standard().inverse_cdf(share.min(0.5)) * ((n - 1.0) / n).sqrt();
    Some((2.0 * StudentsT::new(0.0, 1.0, n - 1.0).ok()?.cdf(t)).min(1.0))
}

/// Of the draws that have a value, shifted to lie about `value`.
fn interval(mut defined: Vec<f64>, value: f64, draws: usize, people: usize) -> Option<[f64; 2]> {
    let lacking = draws - defined.len();
    if people < FEWEST_PEOPLE || draws == 0 || lacking as f64 > MOST_UNDEFINED * draws as f64 {
        return None;
    }
    defined.sort_unstable_by(f64::total_cmp);
    let n = people as f64;
    let t = StudentsT::new(0.0, 1.0, n - 1.0).ok()?.inverse_cdf(0.975);
    let level = Normal::standard().cdf(-t * (n / (n - 1.0)).sqrt());
    // The end of an interval must lie within the draws, not at the last of them.
    if (draws as f64) * level < 1.0 {
        return None;
    }
    let shift = value - defined.iter().sum::<f64>() / defined.len() as f64;
    Some([at_share(&defined, level) + shift, at_share(&defined, 1.0 - level) + shift])
}

/// Linear between sorted values.
fn at_share(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn draws_keep_the_number_of_people_and_follow_from_the_seed() {
        let bootstrap = Bootstrap { replicates: 3, seed: 5 };
        let weights = bootstrap.weights(40, 1);
        assert_eq!(weights.iter().sum::<u32>(), 40);
        assert_eq!(weights, bootstrap.weights(40, 1));
        assert_ne!(weights, bootstrap.weights(40, 2));
        assert_ne!(weights, Bootstrap { seed: 6, ..bootstrap }.weights(40, 1));
    }

    /// The weighted mean, and a figure that is rarely defined.
    fn mean_of(values: &[f64]) -> impl Fn(Option<&[u32]>) -> Vec<Metric> + Sync + '_ {
        move |weights| {
            let weight = |i: usize| weights.map_or(1, |weights| weights[i]);
            let sum: f64 = values.iter().enumerate().map(|(i, v)| v * f64::from(weight(i))).sum();
            let first = if weight(0) == 1 { Ok(1.0) } else { Err(Undefined::NoSample) };
            vec![Ok(sum / values.len() as f64), first]
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_students() {
        let values: Vec<f64> = (0..30).map(|i| f64::from(i * i % 17) / 17.0).collect();
        let bootstrap = Bootstrap { replicates: 20_000, seed: 1 };
        let found = bootstrap.replicate(30, mean_of(&values));
        let mean = values.iter().sum::<f64>() / 30.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 29.0;
        let half = 2.045 * (variance / 30.0).sqrt();
        let [low, high] = found[0].interval().unwrap();
        assert!((found[0].value().unwrap() - mean).abs() < 1e-12);
        // A tenth of its width is chance of the draws and skew of the values.
        assert!((low - (mean - half)).abs() < 0.1 * half, "{low} instead of {}", mean - half);
        assert!((high - (mean + half)).abs() < 0.1 * half, "{high} instead of {}", mean + half);
        assert_eq!(found[1].interval(), None, "two draws in three lack a value");
        let perfect = bootstrap.replicate(30, mean_of(&[1.0; 30]));
        let [low, high] = perfect[0].interval().unwrap();
        // 0.025^(1/30)
        assert!((low - 0.8843).abs() < 1e-4 && high == 1.0, "{low} {high}");
        let few = bootstrap.replicate(4, mean_of(&values[..4]));
        assert_eq!(few[0].interval(), None);
    }

    #[test]
    fn paired_differences_are_sharper_than_either_figure() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 23) / 50.0).collect();
        let better: Vec<f64> =
            values.iter().enumerate().map(|(i, v)| v + 0.1 + 0.02 * (i % 5) as f64).collect();
        let bootstrap = Bootstrap::default();
        let (a, b) = (
            bootstrap.replicate(40, mean_of(&better)).remove(0),
            bootstrap.replicate(40, mean_of(&values)).remove(0),
        );
        let difference = a.minus(&b).unwrap();
        let [low, high] = difference.interval.unwrap();
        assert!((difference.value - 0.14).abs() < 1e-12);
        assert!(low > 0.12 && high < 0.16 && difference.p.unwrap() < 0.005, "{difference:?}");
        let [low, high] = a.interval().unwrap();
        assert!(high - low > 0.05);
        // A figure differs from itself in no draw: nothing is known of how far.
        let none = a.minus(&a).unwrap();
        assert_eq!((none.value, none.interval, none.p), (0.0, None, None));
        let few = Bootstrap { replicates: 30, seed: 1 };
        assert_eq!(few.replicate(40, mean_of(&better))[0].interval(), None);
    }

    /// Without a difference p is below 0.05 in one case of twenty, and the interval leaves out 0 in the
    /// same cases.
    #[test]
    fn p_and_interval_agree_and_are_what_they_say() {
        let mut random = Pcg64::seed_from_u64(3);
        const TRIALS: usize = 1000;
        for people in [6, 15, 40] {
            let (mut small, mut excluded) = (0, 0);
            for trial in 0..TRIALS {
                let mut values = || -> Vec<f64> {
                    (0..people).map(|_| -> f64 { StandardNormal.sample(&mut random) }).collect()
                };
                let (a, b) = (values(), values());
                let bootstrap = Bootstrap { replicates: 2000, seed: trial as u64 };
                let of = |values: &[f64]| bootstrap.replicate(people, mean_of(values)).remove(0);
                let difference = of(&a).minus(&of(&b)).unwrap();
                let Some([low, high]) = difference.interval else { continue };
                let p = difference.p.unwrap();
                small += usize::from(p < 0.05);
                excluded += usize::from(low > 0.0 || high < 0.0);
                // But for the draws between which the interval's end is interpolated.
                assert!((p < 0.05) == (low > 0.0 || high < 0.0) || (p - 0.05).abs() < 0.02);
            }
            // Three standard errors of so many trials, and what percentiles of six people are off by.
            let share = small as f64 / TRIALS as f64;
            assert!((0.025..0.085).contains(&share), "{people}: {share}, {excluded} excluded");
        }
    }

    /// Means of skewed values, a new sample each time: how often the truth is inside.
    #[test]
    fn intervals_cover_the_truth() {
        let mut random = Pcg64::seed_from_u64(7);
        let mut inside = 0;
        const TRIALS: usize = 1000;
        for trial in 0..TRIALS {
            let values: Vec<f64> = (0..25)
                .map(|_| {
                    let normal: f64 = StandardNormal.sample(&mut random);
                    0.5 + 0.05 * (normal + 0.3 * normal * normal)
                })
                .collect();
            let bootstrap = Bootstrap { replicates: 500, seed: trial as u64 };
            let found = bootstrap.replicate(25, mean_of(&values)).remove(0);
            let [low, high] = found.interval().unwrap();
            inside += usize::from((low..=high).contains(&0.515));
        }
        let share = inside as f64 / TRIALS as f64;
        assert!((0.93..=0.97).contains(&share), "{share}");
    }
}
