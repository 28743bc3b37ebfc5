//! What the gallery answers to every probe: one similarity a person, and what follows for all figures.
//!
//! Rows of similarities are computed as they are needed and not kept, so memory grows with the probes,
//! not with the pairs.

use super::{Counts, Metric, Protocol, Roc, Round, Tally, Undefined, roc_auc};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Impostor pairs kept for resampling: more would take longer and say no more, for intervals hang on
/// people.
const SAMPLED_PAIRS: usize = 250_000;

/// Of those above a search's own person so many are kept.
const MOST_ABOVE: usize = 64;

/// Similarity of two embeddings, higher is more alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Cosine of the angle, −1 to 1.
    #[default]
    Cosine,
    /// Euclidean distance of the vectors as they are, negated.
    Euclidean,
}

/// How several templates of a person answer as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// The most similar of them.
    #[default]
    Best,
    /// The mean of their directions.
    Mean,
    /// The mean of the vectors with their lengths, which are MagFace's quality.
    #[serde(rename = "quality")]
    QualityWeighted,
}

impl std::str::FromStr for Merge {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "best" => Ok(Self::Best),
            "mean" => Ok(Self::Mean),
            "quality" => Ok(Self::QualityWeighted),
            _ => {
                Err(format!("unknown way to merge templates `{name}`; give best, mean or quality"))
            }
        }
    }
}

/// One probe's look at the gallery of its round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    pub round: usize,
    /// Position of the capture.
    pub probe: usize,
    pub person: usize,
    /// Similarity of the probe's own person.
    pub own: f64,
    /// The template of its own person that is most similar.
    pub own_template: usize,
    /// One more than the number of other people who score at least as high: a tie counts against.
    pub rank: usize,
    /// The highest similarity of another person: the answer, had its own person not been enrolled.
    /// `None` where nobody else is.
    pub best_other: Option<f64>,
}

/// An impostor pair: whose probe, whose template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImpostorPair {
    pub score: f64,
    pub probe_person: u32,
    pub template_person: u32,
}

/// Every probe of a protocol against its gallery.
#[derive(Clone, Debug)]
pub struct Searches {
    pub people: usize,
    /// By person, round and probe.
    pub searches: Vec<Search>,
    /// Genuine pairs are a probe and its own person, impostor pairs a probe and each other person.
    pub roc: Result<Roc, Undefined>,
    /// AUC among the pairs of each person's probes; `None` for people without a probe.
    pub person_auc: Vec<Option<f64>>,
    /// Of each search the other people who score at least as high as its own, at most so many that
    /// nothing but a long rank is lost.
    pub above: Vec<Vec<u32>>,
    /// All impostor pairs, or evenly spread ones of them.
    pub impostors: Vec<ImpostorPair>,
}

/// Vectors of a round's gallery.
struct Gallery<'a> {
    vectors: &'a [Vec<f32>],
    measure: Measure,
    /// (person, its vectors); one where templates are merged beforehand.
    templates: Vec<Vec<Vec<f32>>>,
}

impl Searches {
    /// `vectors[i]` is the embedding of capture i.
    ///
    /// # Errors
    /// A vector without direction or with a value that is NaN or infinite.
    pub fn new(
        protocol: &Protocol,
        vectors: &[Vec<f32>],
        measure: Measure,
        merge: Merge,
    ) -> Result<Self, Undefined> {
        let prepared = measure.prepared(vectors)?;
        let people = protocol.people();
        let galleries = protocol
            .rounds
            .iter()
            .map(|round| Gallery::new(round, vectors, &prepared, measure, merge))
            .collect::<Result<Vec<_>, Undefined>>()?;
        let mut probes: Vec<Vec<(usize, usize)>> = vec![Vec::new(); people];
        for (number, round) in protocol.rounds.iter().enumerate() {
            for &probe in &round.probes {
                probes[protocol.person[probe]].push((number, probe));
            }
        }

        let of_person = |person: usize| {
            let mut searches = Vec::with_capacity(probes[person].len());
            let mut above = Vec::with_capacity(probes[person].len());
            let (mut scores, mut genuine) = (Vec::new(), Vec::new());
            for &(number, probe) in &probes[person] {
                let row = galleries[number].row(probe);
                let own = row[person];
                let others = || row.iter().enumerate().filter(|(other, _)| *other != person);
                let enrolled = &protocol.rounds[number].enrolled[person];
                let similarity =
                    |&&template: &&usize| measure.of(&prepared[probe], &prepared[template]);
                let own_template = *enrolled
                    .iter()
                    .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
                    .unwrap_or(&probe);
                searches.push(Search {
                    round: number,
                    probe,
                    person,
                    own,
                    own_template,
                    rank: 1 + others().filter(|(_, score)| **score >= own).count(),
                    best_other: others().map(|(_, score)| *score).max_by(f64::total_cmp),
                });
                let higher = others().filter(|(_, score)| **score >= own);
                above.push(higher.take(MOST_ABOVE).map(|(other, _)| other as u32).collect());
                genuine.extend((0..row.len()).map(|other| other == person));
                scores.extend(row);
            }
            (searches, above, roc_auc(&scores, &genuine).ok())
        };
        let by_person: Vec<_> = (0..people).into_par_iter().map(of_person).collect();
        let (mut searches, mut above, mut person_auc) = (Vec::new(), Vec::new(), Vec::new());
        for (of_person, above_them, auc) in by_person {
            searches.extend(of_person);
            above.extend::<Vec<Vec<u32>>>(above_them);
            person_auc.push(auc);
        }

        let pairs = searches.len() * people.saturating_sub(1);
        let stride = sampling_stride(pairs, people.saturating_sub(1));
        let roc = Tally::new(searches.iter().map(|search| search.own).collect());
        let count = |tally: &Tally, at: usize, search: &Search, counts: &mut Counts| {
            let row = galleries[search.round].row(search.probe);
            let others = (0..people).filter(|&other| other != search.person);
            let mut kept = Vec::new();
            for (number, other) in others.enumerate() {
                tally.add(counts, row[other]);
                if (at * (people - 1) + number).is_multiple_of(stride) {
                    kept.push(ImpostorPair {
                        score: row[other],
                        probe_person: search.person as u32,
                        template_person: other as u32,
                    });
                }
            }
            kept
        };
        let (roc, impostors) = match roc {
            Err(reason) => (Err(reason), Vec::new()),
            Ok(tally) => {
                let nothing = || (tally.counts(), Vec::new());
                let (counts, impostors) = searches
                    .par_iter()
                    .enumerate()
                    .fold(nothing, |(mut counts, mut kept), (at, search)| {
                        kept.extend(count(&tally, at, search, &mut counts));
                        (counts, kept)
                    })
                    .reduce(nothing, |(counts, mut kept), (more, others)| {
                        kept.extend(others);
                        (counts.plus(&more), kept)
                    });
                (tally.roc(&counts), impostors)
            }
        };
        Ok(Self { people, searches, roc, person_auc, above, impostors })
    }
}

/// A step through all pairs that meets every template in turn: it shares no factor with the length of a
/// row of them.
fn sampling_stride(pairs: usize, row: usize) -> usize {
    fn common_factor(a: usize, b: usize) -> usize {
        if b == 0 { a } else { common_factor(b, a % b) }
    }
    let least = pairs.div_ceil(SAMPLED_PAIRS).max(1);
    (least..).find(|&stride| row <= 1 || common_factor(stride, row) == 1).unwrap_or(least)
}

impl Searches {
    /// Share of searches whose own person is among the first k.
    pub fn rank_share(&self, k: usize) -> Metric {
        if self.searches.is_empty() {
            return Err(Undefined::NoProbe);
        }
        let hits = self.searches.iter().filter(|search| search.rank <= k).count();
        Ok(hits as f64 / self.searches.len() as f64)
    }
}

/// Cosine of the angle between two vectors, −1 to 1; NaN where either has no length.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Cosine of each probe to every enrolled person of a round.
///
/// # Errors
/// As for [`Searches::new`].
pub fn round_scores(
    round: &Round,
    probes: &[usize],
    vectors: &[Vec<f32>],
    merge: Merge,
) -> Result<Vec<Vec<f64>>, Undefined> {
    let measure = Measure::Cosine;
    let prepared = measure.prepared(vectors)?;
    let gallery = Gallery::new(round, vectors, &prepared, measure, merge)?;
    Ok(probes.iter().map(|&probe| gallery.row(probe)).collect())
}

/// What answered for a person: the most similar of `templates` and its vector, or, where several answer
/// as one, the first of them and that one's vector.
///
/// # Errors
/// As for [`Searches::new`].
pub fn answering_template(
    templates: &[usize],
    probe: usize,
    vectors: &[Vec<f32>],
    merge: Merge,
) -> Result<(usize, Vec<f32>), Undefined> {
    let similarity = |&at: &usize| cosine(&vectors[probe], &vectors[at]);
    if merge == Merge::Best {
        let best = templates.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        let best = best.ok_or(Undefined::NoGenuine)?;
        return Ok((best, vectors[best].clone()));
    }
    let measure = Measure::Cosine;
    let own: Vec<Vec<f32>> = templates.iter().map(|&at| vectors[at].clone()).collect();
    let all: Vec<usize> = (0..own.len()).collect();
    let mut one = merged(&all, &own, &measure.prepared(&own)?, measure, merge)?;
    Ok((templates[0], one.swap_remove(0)))
}

impl<'a> Gallery<'a> {
    fn new(
        round: &Round,
        vectors: &[Vec<f32>],
        prepared: &'a [Vec<f32>],
        measure: Measure,
        merge: Merge,
    ) -> Result<Self, Undefined> {
        let of_person =
            |templates: &Vec<usize>| merged(templates, vectors, prepared, measure, merge);
        let templates = round.enrolled.iter().map(of_person).collect::<Result<_, _>>()?;
        Ok(Self { vectors: prepared, measure, templates })
    }

    /// Similarity of each enrolled person to a capture.
    fn row(&self, probe: usize) -> Vec<f64> {
        let of_person = |templates: &Vec<Vec<f32>>| {
            let similarity = |template: &Vec<f32>| self.measure.of(&self.vectors[probe], template);
            templates.iter().map(similarity).fold(f64::NEG_INFINITY, f64::max)
        };
        self.templates.iter().map(of_person).collect()
    }
}

impl Measure {
    /// Vectors as [`Measure::of`] wants them.
    fn prepared(self, vectors: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, Undefined> {
        match self {
            Self::Cosine => vectors.iter().map(|v| unit(v)).collect(),
            Self::Euclidean if vectors.iter().flatten().all(|v| v.is_finite()) => {
                Ok(vectors.to_vec())
            }
            Self::Euclidean => Err(Undefined::NotANumber),
        }
    }

    /// Of vectors that are prepared for it: of length 1 for the cosine.
    fn of(self, a: &[f32], b: &[f32]) -> f64 {
        let pairs = a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        match self {
            Self::Cosine => pairs.map(|(x, y)| x * y).sum(),
            Self::Euclidean => -pairs.map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
        }
    }
}

/// A vector of length 1.
pub(super) fn unit(vector: &[f32]) -> Result<Vec<f32>, Undefined> {
    let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(Undefined::NotANumber);
    }
    Ok(vector.iter().map(|v| (f64::from(*v) / length) as f32).collect())
}

/// What stands for a person in the gallery.
fn merged(
    templates: &[usize],
    vectors: &[Vec<f32>],
    prepared: &[Vec<f32>],
    measure: Measure,
    merge: Merge,
) -> Result<Vec<Vec<f32>>, Undefined> {
    let source = match merge {
        Merge::Best => return Ok(templates.iter().map(|&t| prepared[t].clone()).collect()),
        Merge::Mean => prepared,
        Merge::QualityWeighted => vectors,
    };
    let width = templates.first().map_or(0, |&t| source[t].len());
    let count = templates.len() as f32;
    let mean = |at: usize| templates.iter().map(|&t| source[t][at]).sum::<f32>() / count;
    let mean: Vec<f32> = (0..width).map(mean).collect();
    match measure {
        Measure::Cosine => Ok(vec![unit(&mean)?]),
        Measure::Euclidean => Ok(vec![mean]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Enrolment;

    const IDS: [&str; 6] = ["a", "a", "a", "b", "c", "c"];

    fn at(degrees: f32) -> Vec<f32> {
        vec![degrees.to_radians().cos(), degrees.to_radians().sin()]
    }

    fn searches(vectors: &[Vec<f32>], templates: usize, merge: Merge) -> Searches {
        let protocol = Protocol::new(&IDS, Enrolment::First, templates);
        Searches::new(&protocol, vectors, Measure::Cosine, merge).unwrap()
    }

    #[test]
    fn ranks_and_scores_worked_by_hand() {
        // Angles in degrees: enrolled a 0, b 90, c 200; probes a 10 and 77, c 188.
        let vectors = [0.0, 10.0, 77.0, 90.0, 200.0, 188.0].map(at);
        let found = searches(&vectors, 1, Merge::Best);
        // Genuine angles 10, 77, 12; impostor 80, 170, 13, 123, 172, 98. A genuine pair wins
        // where its angle is smaller: 10 and 12 win all six, 77 loses to 13 alone.
        let roc = found.roc.as_ref().unwrap();
        assert_eq!((roc.genuine_pairs(), roc.impostor_pairs()), (3, 6));
        assert_eq!(roc.auc(), 17.0 / 18.0);
        let ranks: Vec<usize> = found.searches.iter().map(|s| s.rank).collect();
        assert_eq!(ranks, [1, 2, 1]);
        let other = found.searches[1].best_other.unwrap();
        assert!((other - 13f64.to_radians().cos()).abs() < 1e-6, "{other}");
        assert_eq!(found.person_auc, [Some(0.875), None, Some(1.0)]);
        assert_eq!(found.impostors.len(), 6);
    }

    #[test]
    fn sampled_pairs_meet_every_template() {
        // 201 people of 30 probes: every fifth pair would meet the same forty templates of each probe.
        let (row, pairs) = (200, 201 * 30 * 200);
        let stride = sampling_stride(pairs, row);
        assert!((5..10).contains(&stride), "{stride}");
        let met: std::collections::BTreeSet<usize> =
            (0..pairs).step_by(stride).map(|at| at % row).collect();
        assert_eq!(met.len(), row);
        assert_eq!(sampling_stride(1000, 10), 1);
        assert_eq!(sampling_stride(0, 0), 1);
    }

    #[test]
    fn several_templates_are_merged_as_asked_for() {
        // a is enrolled at 0 and 60 (three times as long), asks at 40; c at 200 and 188 does not ask.
        let mut vectors = [0.0, 60.0, 40.0, 90.0, 200.0, 188.0].map(at);
        vectors[1].iter_mut().for_each(|v| *v *= 3.0);
        let own = |merge| searches(&vectors, 2, merge).searches[0].own;
        let cosine = |degrees: f64| degrees.to_radians().cos();
        assert!((own(Merge::Best) - cosine(20.0)).abs() < 1e-6);
        assert!((own(Merge::Mean) - cosine(10.0)).abs() < 1e-6);
        // Direction of (1 + 3 cos 60°, 3 sin 60°): atan(2.598 / 2.5) = 46.1°.
        let weighted = (3.0 * 60f64.to_radians().sin()).atan2(2.5).to_degrees();
        assert!((own(Merge::QualityWeighted) - cosine(weighted - 40.0)).abs() < 1e-6);
        assert_eq!(searches(&vectors, 2, Merge::Best).searches[0].own_template, 1);
    }

    #[test]
    fn ties_count_against_and_what_has_no_direction_has_no_figure() {
        let found = searches(&vec![at(30.0); 6], 1, Merge::Best);
        assert!(found.searches.iter().all(|search| search.rank == 3));
        assert_eq!(found.roc.as_ref().unwrap().auc(), 0.5);
        let protocol = Protocol::new(&IDS, Enrolment::First, 1);
        let of = |vectors: &[Vec<f32>], measure| {
            Searches::new(&protocol, vectors, measure, Merge::Best)
                .map(|found| found.roc.unwrap().auc())
        };
        let zeros = vec![vec![0.0, 0.0]; 6];
        assert_eq!(of(&zeros, Measure::Cosine), Err(Undefined::NotANumber));
        assert_eq!(of(&zeros, Measure::Euclidean), Ok(0.5));
        let mut nan = vec![at(1.0); 6];
        nan[3][0] = f32::NAN;
        assert_eq!(of(&nan, Measure::Euclidean), Err(Undefined::NotANumber));
    }
}
