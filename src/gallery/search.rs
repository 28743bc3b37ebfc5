//! Who is it? Exact search among the enrolled.

use super::template::{TemplateNumber, cosine, normalised};
use super::top_k::{Hit, Rows, top_k};
use super::{Gallery, GalleryError, Threshold};
use std::num::NonZeroUsize;

/// How many people more than asked for are looked at. The search runs in single precision, and
/// equal similarities may come out in any order there; those found are compared in double.
const SPARE: usize = 8;

/// From which similarity on a person is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Accept {
    /// As the gallery says; everyone where it says nothing.
    #[default]
    GalleryThreshold,
    /// A cosine, −1 to 1.
    From(f64),
    Everyone,
}

/// What a person with several templates is compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PerPerson {
    /// The most similar one.
    #[default]
    Best,
    /// The mean of the similarities to all of them.
    Mean,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SearchOptions {
    pub accept: Accept,
    pub per_person: PerPerson,
}

/// A person and how similar.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub person: String,
    /// The template's session and number; `None` where all of the person's were compared.
    pub session: Option<String>,
    pub template: Option<TemplateNumber>,
    /// Cosine, −1 to 1.
    pub similarity: f64,
}

/// Who a probe may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Those accepted, best first, each person once; equal similarities in the order of enrolment.
    pub matches: Vec<Match>,
    /// The most similar person among those found that was not accepted.
    pub best_rejected: Option<Match>,
}

impl Accept {
    /// The threshold in force; `None` accepts everyone.
    pub(super) fn threshold(self, of_gallery: Option<Threshold>) -> Option<f64> {
        match self {
            Self::GalleryThreshold => of_gallery.map(|threshold| threshold.similarity),
            Self::From(similarity) => Some(similarity),
            Self::Everyone => None,
        }
    }
}

impl Answer {
    /// The first `k` of people in the order of their similarity, as far as they are accepted.
    pub(super) fn of(
        ranked: impl IntoIterator<Item = Match>,
        k: NonZeroUsize,
        threshold: Option<f64>,
    ) -> Self {
        let mut matches: Vec<Match> = ranked.into_iter().take(k.get()).collect();
        let accepted = threshold.map_or(matches.len(), |threshold| {
            matches.iter().take_while(|found| found.similarity >= threshold).count()
        });
        let best_rejected = matches.get(accepted).cloned();
        matches.truncate(accepted);
        Self { matches, best_rejected }
    }

    /// Whether no enrolled person is similar enough.
    pub fn is_nobody(&self) -> bool {
        self.matches.is_empty()
    }
}

/// The mean vector of each person's templates, (persons, dim): its dot product with a probe is the
/// mean of the similarities. Not of unit length.
pub(super) struct Means {
    values: Vec<f32>,
    groups: Vec<u32>,
}

impl Gallery {
    /// The at most `k` most similar people to each probe. Exact: all templates are compared.
    ///
    /// Probes are embeddings of `model`, of any length but zero. A similarity does not depend on
    /// what else is searched for at the same time.
    ///
    /// # Errors
    /// Another model than the gallery's; a probe that is no embedding of its width.
    pub fn search<P: AsRef<[f32]>>(
        &self,
        model: &str,
        probes: &[P],
        k: NonZeroUsize,
        options: &SearchOptions,
    ) -> Result<Vec<Answer>, GalleryError> {
        let find = |rows: Rows, queries: &[f32], wanted| Ok(top_k(rows, queries, wanted));
        self.search_by(model, probes, k, options, find)
    }

    /// [`Self::search`] with another search of [`Self::rows`], as on a GPU: `find` is given the
    /// rows, the queries and how many hits are wanted, and returns what [`top_k`] would.
    ///
    /// # Errors
    /// As [`Self::search`]; those of `find`.
    pub fn search_by<P: AsRef<[f32]>, E: From<GalleryError>>(
        &self,
        model: &str,
        probes: &[P],
        k: NonZeroUsize,
        options: &SearchOptions,
        find: impl FnOnce(Rows, &[f32], usize) -> Result<Vec<Vec<Hit>>, E>,
    ) -> Result<Vec<Answer>, E> {
        self.settings.check_model(&self.folder, model)?;
        let dim = self.settings.dim;
        let mut queries = Vec::with_capacity(probes.len() * dim);
        for (number, probe) in probes.iter().enumerate() {
            let which = || format!("probe {}", number + 1);
            queries.extend(normalised(which, probe.as_ref(), dim)?.0);
        }
        let threshold = options.accept.threshold(self.settings.threshold);
        let rows = self.rows(options.per_person);
        let wanted = k.get().saturating_add(SPARE).min(self.persons.len().max(1));
        let found = find(rows, &queries, wanted)?;
        let answers = found.iter().zip(queries.chunks_exact(dim)).map(|(hits, query)| {
            let mut matches: Vec<(usize, Match)> = hits
                .iter()
                .map(|hit| {
                    let similarity = cosine(&rows.values[hit.row * dim..][..dim], query);
                    (hit.row, self.matched(*hit, similarity, options.per_person))
                })
                .collect();
            matches.sort_by(|(row, a), (other, b)| {
                b.similarity.total_cmp(&a.similarity).then(row.cmp(other))
            });
            Answer::of(matches.into_iter().map(|(_, found)| found), k, threshold)
        });
        Ok(answers.collect())
    }

    /// What a search compares with: all templates, or each person's mean.
    pub fn rows(&self, per_person: PerPerson) -> Rows<'_> {
        let dim = self.settings.dim;
        match per_person {
            PerPerson::Best => Rows { values: self.vectors.values(), dim, groups: &self.groups },
            PerPerson::Mean => {
                let means = self.means.get_or_init(|| self.make_means());
                Rows { values: &means.values, dim, groups: &means.groups }
            }
        }
    }

    fn matched(&self, hit: Hit, similarity: f64, per_person: PerPerson) -> Match {
        let template = match per_person {
            PerPerson::Best => {
                let at = self.served.binary_search_by_key(&(hit.row as u64), |s| s.row).ok();
                at.map(|at| &self.served[at].template)
            }
            PerPerson::Mean => None,
        };
        let group = match per_person {
            PerPerson::Best => self.groups[hit.row] as usize,
            PerPerson::Mean => hit.row,
        };
        Match {
            person: self.persons[group].to_string(),
            session: template.map(|t| t.session.clone()),
            template: template.map(|t| t.number),
            similarity,
        }
    }

    fn make_means(&self) -> Means {
        let dim = self.settings.dim;
        let mut sums = vec![0.0f32; self.persons.len() * dim];
        let mut counts = vec![0.0f32; self.persons.len()];
        for stored in &self.served {
            let group = self.groups[stored.row as usize] as usize;
            counts[group] += 1.0;
            let sum = &mut sums[group * dim..][..dim];
            for (sum, value) in sum.iter_mut().zip(self.row(stored.row as usize)) {
                *sum += value;
            }
        }
        for (sum, count) in sums.chunks_exact_mut(dim).zip(&counts) {
            sum.iter_mut().for_each(|value| *value /= count);
        }
        Means { values: sums, groups: (0..self.persons.len() as u32).collect() }
    }
}
