//! Searches → the figures of verification and identification, each with its interval over people.

use super::evaluation::{
    ByDifference, Condition, FnirAtFpir, Identification, IdentityResult, Quality, ScoreHistogram,
    TarAtFar, Verification,
};
use super::roc::auc_of_sorted;
use super::{
    Bootstrap, DetectionCosts, Difference, Figure, Metric, Replicated, Roc, Search, Searches, Step,
    Undefined, roc_auc,
};

/// False accept rates at which the true accept rate is told.
pub const FARS: [f64; 6] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// False positive identification rates at which misses are told.
const FPIRS: [f64; 3] = [1e-1, 1e-2, 1e-3];
const RANKS: [usize; 3] = [1, 5, 10];
const LONGEST_CMC: usize = 50;
const CURVE_POINTS: usize = 400;
const HISTOGRAM_BINS: usize = 60;
/// Of the error-versus-reject curve.
const REJECT_FAR: f64 = 1e-2;
const REJECT_SHARES: usize = 20;

/// A label by which genuine pairs are parted: its name, and its value for each capture.
pub type LabelValues<'a> = (&'a str, Vec<Option<&'a str>>);

/// The figures of searches. `euclidean` are the same ones by distance; `lengths` those of the
/// embeddings of each capture, if they mean quality; `labels` to part genuine pairs by.
pub fn identity_result(
    searches: &Searches,
    euclidean: &Searches,
    lengths: Option<&[f64]>,
    labels: &[LabelValues<'_>],
    bootstrap: &Bootstrap,
) -> IdentityResult {
    let pairs = SortedPairs::new(searches);
    let distances = SortedPairs::new(euclidean);
    let figures = |weights: Option<&[u32]>| {
        let mut figures = figures(searches, &pairs, weights);
        figures.insert(0, distances.roc(euclidean, weights).map(|roc| roc.auc()));
        figures
    };
    let mut figures = bootstrap.replicate(searches.people, figures).into_iter();
    let mut next = || figures.next().map_or_else(Figure::default, |f| Figure::from(&f));
    let (auc_euclidean, auc, auc_by_person) = (next(), next(), next());
    let (eer, min_dcf) = (next(), next());
    let tar_at_far = FARS
        .map(|far| {
            let point = searches.roc.as_ref().ok().and_then(|roc| roc.at_far(far).ok());
            TarAtFar {
                far,
                tar: next(),
                achieved_far: point.map(|point| point.far),
                false_accepts: point.map(|point| point.false_accepts),
                threshold: point.and_then(|point| point.threshold),
            }
        })
        .to_vec();
    let verification = Verification {
        genuine_pairs: searches.searches.len() as u64,
        impostor_pairs: searches.roc.as_ref().map_or(0, Roc::impostor_pairs),
        auc,
        auc_by_person,
        auc_euclidean,
        eer,
        min_dcf,
        tar_at_far,
        roc: searches.roc.as_ref().map_or(Vec::new(), |roc| roc.curve(CURVE_POINTS)),
        histogram: histogram(searches),
    };
    let (rank_1, rank_5, rank_10, mean_average_precision) = (next(), next(), next(), next());
    let ranks = ranks(searches, None);
    let open = open_set(searches, &ranks, None);
    let fnir_at_fpir = FPIRS
        .map(|fpir| {
            let point = open_set_point(open.as_ref(), fpir).ok();
            FnirAtFpir {
                fpir,
                fnir: next(),
                achieved_fpir: point.map(|point| point.far),
                threshold: point.and_then(|point| point.threshold),
            }
        })
        .to_vec();
    let identification = Identification {
        searches: searches.searches.len() as u64,
        rank_1,
        rank_5,
        rank_10,
        mean_average_precision,
        cmc: cmc(searches),
        fnir_at_fpir,
    };
    IdentityResult {
        verification,
        identification,
        quality: lengths.map(|lengths| quality(searches, lengths, bootstrap)),
        by_difference: labels
            .iter()
            .filter_map(|(label, values)| by_difference(searches, &pairs, label, values, bootstrap))
            .collect(),
    }
}

/// Figures that runs are compared by: name, and place among [`figures`].
const COMPARED: [(&str, usize); 7] = [
    ("auc", 0),
    ("auc_by_person", 1),
    ("eer", 2),
    ("tar_at_far_0.01", 5),
    ("rank_1", 10),
    ("rank_5", 11),
    ("mean_average_precision", 13),
];

/// How the figures of one run differ from another's on the same probes, by name; those without a value
/// in either are left out.
pub fn identity_differences(
    searches: &Searches,
    other: &Searches,
    bootstrap: &Bootstrap,
) -> Vec<(&'static str, Difference)> {
    let replicated = |searches: &Searches| {
        let pairs = SortedPairs::new(searches);
        bootstrap.replicate(searches.people, |weights| figures(searches, &pairs, weights))
    };
    let (ours, theirs) = (replicated(searches), replicated(other));
    let difference =
        |&(name, at): &(&'static str, usize)| Some((name, ours[at].minus(&theirs[at]).ok()?));
    COMPARED.iter().filter_map(difference).collect()
}

/// All figures by cosine, in the order in which [`identity_result`] takes them.
fn figures(searches: &Searches, pairs: &SortedPairs, weights: Option<&[u32]>) -> Vec<Metric> {
    let roc = pairs.roc(searches, weights);
    let of = |figure: &dyn Fn(&Roc) -> f64| roc.as_ref().map(figure).map_err(|&e| e);
    let mut figures = vec![
        of(&Roc::auc),
        pairs.auc_by_person(searches, weights),
        of(&Roc::eer),
        of(&|roc| roc.min_dcf(DetectionCosts::default())),
    ];
    let tar = |far: f64| roc.as_ref().map_err(|&e| e)?.at_far(far).map(|point| point.tar);
    figures.extend(FARS.map(tar));
    let ranks = ranks(searches, weights);
    let mean = |of: &dyn Fn(usize) -> f64| mean_over(searches, weights, |at| of(ranks[at]));
    figures.extend(RANKS.map(|k| mean(&|rank| f64::from(rank <= k))));
    figures.push(mean(&|rank| 1.0 / rank as f64));
    let open = open_set(searches, &ranks, weights);
    let miss = |fpir: f64| Ok(1.0 - open_set_point(open.as_ref(), fpir)?.tar);
    figures.extend(FPIRS.map(miss));
    figures
}

/// Genuine and kept impostor pairs from the highest score down.
struct SortedPairs {
    /// Score, person of the probe, person of the template, search of a genuine pair.
    pairs: Vec<(f64, u32, u32, Option<u32>)>,
}

impl SortedPairs {
    fn new(searches: &Searches) -> Self {
        let genuine = searches.searches.iter().enumerate();
        let genuine =
            genuine.map(|(i, s)| (s.own, s.person as u32, s.person as u32, Some(i as u32)));
        let impostor = searches.impostors.iter();
        let impostor = impostor.map(|p| (p.score, p.probe_person, p.template_person, None));
        let mut pairs: Vec<_> = genuine.chain(impostor).collect();
        pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        Self { pairs }
    }

    /// With people counted so often; the exact one of all pairs where each counts once.
    fn roc(&self, searches: &Searches, weights: Option<&[u32]>) -> Result<Roc, Undefined> {
        match weights {
            None => searches.roc.clone(),
            Some(_) => Roc::of_sorted(self.steps(weights, |_| true)),
        }
    }

    /// AUC among the pairs of each person's probes, averaged over people.
    fn auc_by_person(&self, searches: &Searches, weights: Option<&[u32]>) -> Metric {
        let Some(drawn) = weights else { return person_mean(&searches.person_auc, None) };
        let mut steps: Vec<Vec<Step>> = vec![Vec::new(); searches.people];
        for &(score, probe, template, search) in &self.pairs {
            let step = match search {
                Some(_) => Step { score, genuine: 1, impostor: 0 },
                None => Step { score, genuine: 0, impostor: u64::from(drawn[template as usize]) },
            };
            if drawn[probe as usize] > 0 && step.genuine + step.impostor > 0 {
                steps[probe as usize].push(step);
            }
        }
        let auc = |steps: Vec<Step>| auc_of_sorted(steps).ok();
        person_mean(&steps.into_iter().map(auc).collect::<Vec<_>>(), weights)
    }

    /// Some of the genuine pairs, and all impostor pairs.
    fn steps(
        &self,
        weights: Option<&[u32]>,
        taken: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = Step> {
        let weight = move |person: u32| weights.map_or(1, |w| u64::from(w[person as usize]));
        self.pairs.iter().filter_map(move |&(score, probe, template, search)| {
            let step = match search {
                Some(search) if taken(search as usize) => {
                    Step { score, genuine: weight(probe), impostor: 0 }
                }
                Some(_) => return None,
                None => Step { score, genuine: 0, impostor: weight(probe) * weight(template) },
            };
            (step.genuine + step.impostor > 0).then_some(step)
        })
    }
}

/// Rank of each search where the people of the gallery are counted so often.
fn ranks(searches: &Searches, weights: Option<&[u32]>) -> Vec<usize> {
    let of = |(search, above): (&Search, &Vec<u32>)| match weights {
        // Beyond those that are known by name a rank stays what it was.
        Some(weights) if search.rank == above.len() + 1 => {
            1 + above.iter().map(|&other| weights[other as usize] as usize).sum::<usize>()
        }
        _ => search.rank,
    };
    searches.searches.iter().zip(&searches.above).map(of).collect()
}

/// Mean over searches of a figure of each.
fn mean_over(
    searches: &Searches,
    weights: Option<&[u32]>,
    figure: impl Fn(usize) -> f64,
) -> Metric {
    let (mut sum, mut count) = (0.0, 0.0);
    for (at, search) in searches.searches.iter().enumerate() {
        let weight = weights.map_or(1.0, |w| f64::from(w[search.person]));
        sum += weight * figure(at);
        count += weight;
    }
    if count == 0.0 { Err(Undefined::NoProbe) } else { Ok(sum / count) }
}

/// Mean over people.
fn person_mean(figures: &[Option<f64>], weights: Option<&[u32]>) -> Metric {
    let (mut sum, mut count) = (0.0, 0.0);
    for (person, figure) in figures.iter().enumerate() {
        if let Some(figure) = figure {
            let weight = weights.map_or(1.0, |w| f64::from(w[person]));
            sum += weight * figure;
            count += weight;
        }
    }
    if count == 0.0 { Err(Undefined::NoGenuine) } else { Ok(sum / count) }
}

/// Mated searches that have their person first, by its score, against unmated searches, by the highest
/// score of all. What is not first can be found at no threshold.
fn open_set(
    searches: &Searches,
    ranks: &[usize],
    weights: Option<&[u32]>,
) -> Result<Roc, Undefined> {
    let mut steps: Vec<Step> = Vec::with_capacity(2 * searches.searches.len());
    for (search, &rank) in searches.searches.iter().zip(ranks) {
        let weight = weights.map_or(1, |w| u64::from(w[search.person]));
        let Some(other) = search.best_other else { continue };
        let score = if rank == 1 { search.own } else { f64::NEG_INFINITY };
        steps.push(Step { score, genuine: weight, impostor: 0 });
        steps.push(Step { score: other, genuine: 0, impostor: weight });
    }
    steps.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    Roc::of_sorted(steps.into_iter().filter(|step| step.genuine + step.impostor > 0))
}

fn open_set_point(
    open: Result<&Roc, &Undefined>,
    fpir: f64,
) -> Result<super::OperatingPoint, Undefined> {
    open.map_err(|&e| e)?.at_far(fpir).map_err(|error| match error {
        Undefined::TooFewImpostors => Undefined::TooFewSearches,
        other => other,
    })
}

fn cmc(searches: &Searches) -> Vec<f64> {
    let longest = searches.people.min(LONGEST_CMC);
    let share =
        |k: usize| mean_over(searches, None, |at| f64::from(searches.searches[at].rank <= k)).ok();
    (1..=longest).filter_map(share).collect()
}

fn histogram(searches: &Searches) -> ScoreHistogram {
    let genuine = || searches.searches.iter().map(|s| s.own);
    let impostor = || searches.impostors.iter().map(|p| p.score);
    let low = genuine().chain(impostor()).fold(f64::INFINITY, f64::min);
    let high = genuine().chain(impostor()).fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return ScoreHistogram::default();
    }
    let width = (high - low).max(1e-12);
    let count = |scores: &mut dyn Iterator<Item = f64>| {
        let mut bins = vec![0; HISTOGRAM_BINS];
        for score in scores {
            let bin = ((score - low) / width * HISTOGRAM_BINS as f64) as usize;
            bins[bin.min(HISTOGRAM_BINS - 1)] += 1;
        }
        bins
    };
    ScoreHistogram { low, high, genuine: count(&mut genuine()), impostor: count(&mut impostor()) }
}

fn quality(searches: &Searches, lengths: &[f64], bootstrap: &Bootstrap) -> Quality {
    let point = searches.roc.as_ref().ok().and_then(|roc| roc.at_far(REJECT_FAR).ok());
    let threshold = point.and_then(|point| point.threshold);
    // A pair is as good as its worse side.
    let mut pairs: Vec<(f64, f64)> = searches
        .searches
        .iter()
        .map(|s| (lengths[s.probe].min(lengths[s.own_template]), s.own))
        .collect();
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let at_share = |step: usize| {
        let share = step as f64 / REJECT_SHARES as f64;
        let kept = &pairs[(share * pairs.len() as f64).round() as usize..];
        let missed = kept.iter().filter(|(_, own)| threshold.is_some_and(|t| *own < t)).count();
        (!kept.is_empty()).then(|| (share, missed as f64 / kept.len() as f64))
    };
    let reject_curve = match threshold {
        Some(_) => (0..REJECT_SHARES).filter_map(at_share).collect(),
        None => Vec::new(),
    };
    let predicts = |weights: Option<&[u32]>| {
        let (mut scores, mut right) = (Vec::new(), Vec::new());
        for (search, rank) in searches.searches.iter().zip(ranks(searches, weights)) {
            for _ in 0..weights.map_or(1, |w| w[search.person]) {
                scores.push(lengths[search.probe]);
                right.push(rank == 1);
            }
        }
        vec![roc_auc(&scores, &right).map_err(|error| match error {
            Undefined::NoGenuine | Undefined::NoImpostor => Undefined::AllAlike,
            other => other,
        })]
    };
    let predicts_rank_1 = bootstrap
        .replicate(searches.people, predicts)
        .first()
        .map_or_else(Figure::default, Figure::from);
    Quality { threshold, reject_curve, predicts_rank_1 }
}

/// `None` where no genuine pair has the label on both sides.
fn by_difference(
    searches: &Searches,
    pairs: &SortedPairs,
    label: &str,
    values: &[Option<&str>],
    bootstrap: &Bootstrap,
) -> Option<ByDifference> {
    let differs: Vec<Option<bool>> = searches
        .searches
        .iter()
        .map(|s| Some(values[s.probe]? != values[s.own_template]?))
        .collect();
    let condition = |wanted: bool| {
        let taken = |search: usize| differs[search] == Some(wanted);
        let figures = |weights: Option<&[u32]>| {
            let (mut hits, mut count) = (0.0, 0.0);
            let ranks = ranks(searches, weights);
            for (at, search) in searches.searches.iter().enumerate().filter(|(i, _)| taken(*i)) {
                let weight = weights.map_or(1.0, |w| f64::from(w[search.person]));
                hits += weight * f64::from(ranks[at] == 1);
                count += weight;
            }
            let rank_1 = if count > 0.0 { Ok(hits / count) } else { Err(Undefined::NoProbe) };
            vec![auc_of_sorted(pairs.steps(weights, taken)), rank_1]
        };
        let figures: Vec<Replicated> = bootstrap.replicate(searches.people, figures);
        Condition {
            searches: differs.iter().filter(|d| **d == Some(wanted)).count() as u64,
            auc: Figure::from(&figures[0]),
            rank_1: Figure::from(&figures[1]),
        }
    };
    differs.iter().any(Option::is_some).then(|| ByDifference {
        label: label.to_string(),
        same: condition(false),
        differs: condition(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Enrolment, Measure, Merge, Protocol};
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};
    use rand_pcg::Pcg64;

    /// People about a centre each, sessions about the person.
    fn simulated(
        people: usize,
        sessions: usize,
        spread: f64,
        seed: u64,
    ) -> (Vec<String>, Vec<Vec<f32>>) {
        let mut random = Pcg64::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        let (mut ids, mut vectors) = (Vec::new(), Vec::new());
        for person in 0..people {
            let centre: Vec<f64> = (0..8).map(|_| normal()).collect();
            // Some people vary more than others.
            let own = spread * (0.3 * normal()).exp();
            for _ in 0..sessions {
                ids.push(format!("p{person:03}"));
                vectors.push(centre.iter().map(|c| (c + own * normal()) as f32).collect());
            }
        }
        (ids, vectors)
    }

    fn searches_of(ids: &[String], vectors: &[Vec<f32>]) -> Searches {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let protocol = Protocol::new(&ids, Enrolment::Each, 1);
        Searches::new(&protocol, vectors, Measure::Cosine, Merge::Best).unwrap()
    }

    #[test]
    fn figures_agree_with_counts() {
        let (ids, vectors) = simulated(12, 4, 0.8, 1);
        let found = searches_of(&ids, &vectors);
        let none = Bootstrap { replicates: 0, seed: 1 };
        let lengths: Vec<f64> = (0..vectors.len()).map(|i| i as f64).collect();
        let worn: Vec<Option<&str>> =
            (0..vectors.len()).map(|i| Some(if i % 4 == 0 { "yes" } else { "no" })).collect();
        let labels = [("spectacles", worn)];
        let result = identity_result(&found, &found, Some(&lengths), &labels, &none);
        let (v, i) = (&result.verification, &result.identification);
        assert_eq!((v.genuine_pairs, v.impostor_pairs, i.searches), (144, 144 * 11, 144));
        assert_eq!(v.auc.value, found.roc.as_ref().ok().map(Roc::auc));
        assert_eq!(v.auc.value, v.auc_euclidean.value);
        let rank = |k: usize| found.searches.iter().filter(|s| s.rank <= k).count() as f64 / 144.0;
        assert_eq!(i.rank_1.value, Some(rank(1)));
        assert_eq!(i.cmc.len(), 12);
        assert_eq!((i.cmc[4], i.cmc[11]), (rank(5), 1.0));
        let precision = found.searches.iter().map(|s| 1.0 / s.rank as f64).sum::<f64>() / 144.0;
        assert!((i.mean_average_precision.value.unwrap() - precision).abs() < 1e-12);
        assert!(v.auc.interval.is_none());
        // Of 144 unmated searches 14 may find somebody at a tenth; a thousandth is too rare.
        let point = &i.fnir_at_fpir[0];
        let threshold = point.threshold.unwrap();
        let found_somebody =
            found.searches.iter().filter(|s| s.best_other.unwrap() >= threshold).count();
        assert!(found_somebody <= 14 && point.achieved_fpir == Some(found_somebody as f64 / 144.0));
        let missed = found.searches.iter().filter(|s| s.rank > 1 || s.own < threshold).count();
        assert!((point.fnir.value.unwrap() - missed as f64 / 144.0).abs() < 1e-12);
        assert!(i.fnir_at_fpir[2].fnir.reason.as_ref().unwrap().contains("unmated"));
        // Pairs with one of two worn: the first session against each of the others, both ways.
        let worn = &result.by_difference[0];
        assert_eq!((worn.differs.searches, worn.same.searches), (12 * 6, 12 * 6));
        let quality = result.quality.unwrap();
        assert_eq!(quality.reject_curve.len(), 20);
        let at_far = found.roc.as_ref().unwrap().at_far(0.01).unwrap();
        assert!((quality.reject_curve[0].1 - (1.0 - at_far.tar)).abs() < 1e-12);
        assert_eq!(v.histogram.genuine.iter().sum::<u64>(), 144);
    }

    /// The truth of a figure is its mean over many samples of people; intervals of single samples are
    /// to hold it in 95 of 100 cases.
    #[test]
    fn intervals_cover_the_truth_on_simulated_people() {
        const PEOPLE: usize = 30;
        let figures = |seed: u64, replicates: usize| {
            let (ids, vectors) = simulated(PEOPLE, 3, 0.9, seed);
            let found = searches_of(&ids, &vectors);
            let bootstrap = Bootstrap { replicates, seed };
            let result = identity_result(&found, &found, None, &[], &bootstrap);
            let (v, i) = (result.verification, result.identification);
            [v.auc, v.auc_by_person, v.eer, v.tar_at_far[0].tar.clone(), i.rank_1, i.rank_5]
        };
        let mut truth = [0.0; 6];
        const SAMPLES: u64 = 2000;
        for seed in 0..SAMPLES {
            for (sum, figure) in truth.iter_mut().zip(figures(1_000_000 + seed, 0)) {
                *sum += figure.value.unwrap() / SAMPLES as f64;
            }
        }
        let trials: u64 =
            std::env::var("LUMIFACE_COVERAGE_TRIALS").map_or(600, |n| n.parse().unwrap());
        let mut inside = [0.0; 6];
        for seed in 0..trials {
            for ((hits, figure), truth) in inside.iter_mut().zip(figures(seed, 200)).zip(truth) {
                let [low, high] = figure.interval.unwrap();
                *hits += f64::from((low..=high).contains(&truth)) / trials as f64;
            }
        }
        println!("truth {truth:.4?}, covered {inside:.3?}");
        // 93 to 97 % is what is asked for; of so many trials three standard errors are chance.
        let chance = 3.0 * (0.05 * 0.95 / trials as f64).sqrt();
        for share in inside {
            assert!((0.93 - chance..=0.97 + chance).contains(&share), "{inside:?}");
        }
    }
}
