//! Who is enrolled, who asks, and the figures that follow.
//!
//! A round enrols one capture of each person and lets every other one ask. An enrolled capture
//! is never a probe of its round.

use super::{IdentityResult, Ranking, Undefined, rank_gallery, rank_k, roc_auc, similarity};

/// Which captures are enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enrolment {
    /// Each person's first capture: one round.
    #[default]
    First,
    /// Each capture in turn, in as many rounds as everyone has captures (people with a single one
    /// aside), so that no template serves twice; figures are over all rounds together, and none
    /// hangs on one lucky or unlucky template.
    Each,
}

impl std::str::FromStr for Enrolment {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "first" => Ok(Self::First),
            "each" => Ok(Self::Each),
            _ => Err(format!("unknown enrolment `{name}`; give first or each")),
        }
    }
}

/// One round: positions in the list of captures.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// One capture of each person.
    pub enrolled: Vec<usize>,
    pub probes: Vec<usize>,
}

/// All rounds over one list of captures.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol<'a> {
    /// Who each capture shows; captures of one person stand together.
    ids: &'a [&'a str],
    pub rounds: Vec<Round>,
}

impl<'a> Protocol<'a> {
    pub fn new(ids: &'a [&'a str], enrolment: Enrolment) -> Self {
        let people: Vec<std::ops::Range<usize>> = ids
            .chunk_by(|a, b| a == b)
            .scan(0, |start, run| {
                let range = *start..*start + run.len();
                *start = range.end;
                Some(range)
            })
            .collect();
        let rounds = match enrolment {
            Enrolment::First => 1,
            Enrolment::Each => {
                let several = people.iter().map(|captures| captures.len()).filter(|&n| n > 1);
                several.min().unwrap_or(people.len().min(1))
            }
        };
        let round = |turn: usize| {
            let enrolled: Vec<usize> =
                people.iter().map(|captures| captures.start + turn % captures.len()).collect();
            let probes = (0..ids.len()).filter(|i| !enrolled.contains(i)).collect();
            Round { enrolled, probes }
        };
        Self { ids, rounds: (0..rounds).map(round).collect() }
    }

    /// Enrolled people.
    pub fn people(&self) -> usize {
        self.rounds.first().map_or(0, |round| round.enrolled.len())
    }

    /// Probes of all rounds; each asks once in its round.
    pub fn probes(&self) -> usize {
        self.rounds.iter().map(|round| round.probes.len()).sum()
    }

    /// (probe, template, same person) of all rounds.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize, bool)> + '_ {
        self.rounds.iter().flat_map(move |round| {
            round.probes.iter().flat_map(move |&probe| {
                let pair = move |&template: &usize| {
                    (probe, template, self.ids[probe] == self.ids[template])
                };
                round.enrolled.iter().map(pair)
            })
        })
    }

    /// Each probe's view of the gallery in one round, by cosine of its vector.
    ///
    /// # Errors
    /// A vector without direction.
    pub fn rankings(&self, round: &Round, vectors: &[Vec<f32>]) -> Result<Vec<Ranking>, Undefined> {
        let ranking = |&probe: &usize| {
            let similarities: Vec<f64> = round
                .enrolled
                .iter()
                .map(|&template| similarity::cosine(&vectors[probe], &vectors[template]))
                .collect();
            let own = round.enrolled.iter().position(|&t| self.ids[t] == self.ids[probe]);
            rank_gallery(&similarities, own)
        };
        round.probes.iter().map(ranking).collect()
    }

    /// How well vectors, one a capture, tell people apart.
    pub fn identity_result(&self, vectors: &[Vec<f32>]) -> IdentityResult {
        let genuine: Vec<bool> = self.pairs().map(|(_, _, same)| same).collect();
        let auc = |measure: fn(&[f32], &[f32]) -> f64| {
            let scores: Vec<f64> =
                self.pairs().map(|(p, t, _)| measure(&vectors[p], &vectors[t])).collect();
            roc_auc(&scores, &genuine).into()
        };
        let rankings: Result<Vec<Vec<Ranking>>, Undefined> =
            self.rounds.iter().map(|round| self.rankings(round, vectors)).collect();
        let rankings = rankings.map(|rounds| rounds.concat());
        let rank = |k: usize| match &rankings {
            Ok(rankings) => rank_k(rankings, k).into(),
            Err(undefined) => Err(*undefined).into(),
        };
        IdentityResult {
            auc_cosine: auc(similarity::cosine),
            auc_euclidean: auc(similarity::negative_distance),
            rank_1: rank(1),
            rank_5: rank(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 6] = ["a", "a", "a", "b", "c", "c"];

    #[test]
    fn the_first_capture_is_enrolled_and_never_a_probe() {
        let protocol = Protocol::new(&IDS, Enrolment::First);
        assert_eq!(protocol.rounds, [Round { enrolled: vec![0, 3, 4], probes: vec![1, 2, 5] }]);
        assert_eq!((protocol.people(), protocol.probes()), (3, 3));
        assert_eq!(Protocol::new(&[], Enrolment::First).people(), 0);
    }

    #[test]
    fn each_capture_takes_its_turn() {
        let protocol = Protocol::new(&IDS, Enrolment::Each);
        let enrolled: Vec<_> = protocol.rounds.iter().map(|r| r.enrolled.clone()).collect();
        assert_eq!(enrolled, [[0, 3, 4], [1, 3, 5]]);
        for round in &protocol.rounds {
            assert!(round.probes.iter().all(|p| !round.enrolled.contains(p)));
            assert_eq!(round.probes.len() + round.enrolled.len(), 6);
        }
    }

    #[test]
    fn figures_worked_by_hand() {
        // Angles in degrees: enrolled a 0, b 90, c 200; probes a 10 and 77, c 188.
        let vector = |degrees: f32| vec![degrees.to_radians().cos(), degrees.to_radians().sin()];
        let vectors = [0.0, 10.0, 77.0, 90.0, 200.0, 188.0].map(vector).to_vec();
        let result = Protocol::new(&IDS, Enrolment::First).identity_result(&vectors);
        // Genuine angles 10, 77, 12; impostor 80, 170, 13, 123, 172, 98. A genuine pair wins
        // where its angle is smaller: 10 and 12 win all six, 77 loses to 13 alone.
        assert_eq!(result.auc_cosine.value, Some(17.0 / 18.0));
        assert_eq!(result.rank_1.value, Some(2.0 / 3.0));
        assert_eq!(result.rank_5.value, Some(1.0));
    }

    #[test]
    fn a_vector_without_direction_has_no_figure() {
        let vectors = vec![vec![0.0, 0.0]; 6];
        let result = Protocol::new(&IDS, Enrolment::First).identity_result(&vectors);
        assert_eq!(result.auc_cosine.value, None);
        assert_eq!(result.rank_1.value, None);
        // Distances of equal vectors are all zero: ties.
        assert_eq!(result.auc_euclidean.value, Some(0.5));
    }
}
