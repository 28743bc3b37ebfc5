//! Who is enrolled and who asks.
//!
//! A round enrols some captures of each person and lets every other one ask. An enrolled capture is
//! never a probe of its round.

use serde::{Deserialize, Serialize};

/// Which captures are enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enrolment {
    /// Each person's first captures: one round.
    #[default]
    First,
    /// Each capture in turn, in as many rounds as everyone has captures (people with too few to ask
    /// aside); figures are over all rounds together, and none hangs on one lucky or unlucky template.
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
    /// Templates of each person, one or more.
    pub enrolled: Vec<Vec<usize>>,
    pub probes: Vec<usize>,
}

/// All rounds over one list of captures.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// Whom each capture shows: 0..people.
    pub person: Vec<usize>,
    pub rounds: Vec<Round>,
}

impl Protocol {
    /// `ids[i]` says whom capture i shows, captures of one person together; `templates` of them are
    /// enrolled of each person, all where there are no more.
    ///
    /// # Panics
    /// If `templates` is 0.
    pub fn new(ids: &[&str], enrolment: Enrolment, templates: usize) -> Self {
        assert!(templates > 0, "somebody is enrolled by something");
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
                let asking =
                    people.iter().map(|captures| captures.len()).filter(|&n| n > templates);
                asking.min().unwrap_or(people.len().min(1))
            }
        };
        let round = |turn: usize| {
            let of_person = |captures: &std::ops::Range<usize>| -> Vec<usize> {
                let count = templates.min(captures.len());
                (0..count).map(|i| captures.start + (turn + i) % captures.len()).collect()
            };
            let enrolled: Vec<Vec<usize>> = people.iter().map(of_person).collect();
            let taken: std::collections::BTreeSet<usize> =
                enrolled.iter().flatten().copied().collect();
            let probes = (0..ids.len()).filter(|i| !taken.contains(i)).collect();
            Round { enrolled, probes }
        };
        let person = people.iter().enumerate().flat_map(|(i, c)| c.clone().map(move |_| i));
        Self { person: person.collect(), rounds: (0..rounds).map(round).collect() }
    }

    /// Enrolled people.
    pub fn people(&self) -> usize {
        self.rounds.first().map_or(0, |round| round.enrolled.len())
    }

    /// Probes of all rounds; each asks once in its round.
    pub fn probes(&self) -> usize {
        self.rounds.iter().map(|round| round.probes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 6] = ["a", "a", "a", "b", "c", "c"];

    #[test]
    fn the_first_capture_is_enrolled_and_never_a_probe() {
        let protocol = Protocol::new(&IDS, Enrolment::First, 1);
        let round = Round { enrolled: vec![vec![0], vec![3], vec![4]], probes: vec![1, 2, 5] };
        assert_eq!(protocol.rounds, [round]);
        assert_eq!(protocol.person, [0, 0, 0, 1, 2, 2]);
        assert_eq!((protocol.people(), protocol.probes()), (3, 3));
        assert_eq!(Protocol::new(&[], Enrolment::First, 1).people(), 0);
    }

    #[test]
    fn each_capture_takes_its_turn() {
        let protocol = Protocol::new(&IDS, Enrolment::Each, 1);
        let enrolled: Vec<_> = protocol.rounds.iter().map(|r| r.enrolled.concat()).collect();
        assert_eq!(enrolled, [[0, 3, 4], [1, 3, 5]]);
        for round in &protocol.rounds {
            assert!(round.probes.iter().all(|p| !round.enrolled.concat().contains(p)));
            assert_eq!(round.probes.len() + round.enrolled.len(), 6);
        }
    }

    #[test]
    fn several_are_enrolled_where_there_are_several() {
        let protocol = Protocol::new(&IDS, Enrolment::Each, 2);
        // Only a has a third capture to ask with.
        assert_eq!(protocol.rounds.len(), 3);
        assert_eq!(protocol.rounds[1].enrolled, [vec![1, 2], vec![3], vec![5, 4]]);
        assert_eq!(protocol.rounds[1].probes, [0]);
    }
}
