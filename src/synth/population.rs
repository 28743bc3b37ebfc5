//! Who comes, how often, and what an annotator would note each time.
//!
//! Photoface was taken at a walk-through rig over two years: 441 people, 3,159 sessions, a third
//! of the people once, the median twice, one man 290 times. Labels are as skewed as the
//! attendance (its label table: 9 % of the sessions show women, 27 % spectacles, 77 % a blank
//! stare). Traits are habits: who wears spectacles mostly does so always, a beard stays for months,
//! an emotion for a session. Here the habits are drawn per person and the day's traits from the
//! habit. What is given out is steered toward the shares of the whole (see `Quota`), so that a
//! set of a few hundred sessions already has them, not only the limit.

use super::draws::{Draws, mix};
use super::labels::{Emotion, FacialHair, Gender, Labels, PoseClass, Quality};

/// Most sessions of one person: the label table of Photoface holds no more.
pub const MOST_SESSIONS: usize = 290;
/// Most people: their ids have four digits, from 1001.
pub const MOST_PEOPLE: usize = 8_999;

/// How often people come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attendance {
    /// Everyone this often.
    Each(usize),
    /// As at Photoface.
    Photoface,
}

/// Share of the people who come at most so often, at Photoface.
const ATTENDANCE: [(f64, f64); 13] = [
    (0.349, 1.0),
    (0.56, 2.0),
    (0.64, 3.0),
    (0.72, 4.0),
    (0.77, 6.0),
    (0.81, 7.0),
    (0.85, 10.0),
    (0.90, 15.0),
    (0.95, 26.0),
    (0.97, 41.0),
    (0.985, 57.0),
    (0.995, 93.0),
    (1.0, 290.0),
];
/// Sessions a person on average, at Photoface.
const MEAN_ATTENDANCE: f64 = 3159.0 / 441.0;

/// A person of the population.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub gender: Gender,
    /// Seed of shape and looks.
    pub seed: u64,
    /// What the person wears in the face on most days.
    pub facial_hair: FacialHair,
    /// The labels of each session, in the order of time.
    pub sessions: Vec<Labels>,
}

/// Everyone who comes; follows from its arguments alone.
///
/// # Panics
/// If nobody comes, or more than [`MOST_PEOPLE`], or one of them never or more than
/// [`MOST_SESSIONS`] times.
pub fn population(people: usize, attendance: Attendance, seed: u64) -> Vec<Member> {
    assert!((1..=MOST_PEOPLE).contains(&people), "1 to {MOST_PEOPLE} people");
    let mut draws = Draws::new(mix(seed ^ 0x50_6f70));
    let counts = match attendance {
        Attendance::Each(count) => {
            assert!((1..=MOST_SESSIONS).contains(&count), "1 to {MOST_SESSIONS} sessions");
            vec![count; people]
        }
        Attendance::Photoface => photoface_attendance(people),
    };
    // The most frequent guests first: nothing could make up for their traits at the end.
    let mut members = Vec::with_capacity(people);
    let mut shares = Shares::new();
    for (rank, &count) in counts.iter().enumerate() {
        members.push(shares.member(count, mix(seed ^ mix(rank as u64 + 1)), &mut draws));
    }
    // Ids tell nothing of attendance.
    for last in (1..people).rev() {
        let other = draws.range(0.0, last as f64 + 1.0) as usize;
        members.swap(last, other.min(last));
    }
    members
}

/// Sessions of each of so many people, falling. Of 441 people they are 3,159.
fn photoface_attendance(people: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        (0..people).rev().map(|rank| attendance_at((rank as f64 + 0.5) / people as f64)).collect();
    // The table is coarse; the people who come often make up for what it is off by.
    let wanted = (MEAN_ATTENDANCE * people as f64).round() as i64;
    let often = counts.iter().filter(|&&count| count > 7).count();
    let mut missing = wanted - counts.iter().sum::<usize>() as i64;
    for turn in 0.. {
        if missing == 0 || often == 0 || turn > 200 {
            break;
        }
        for count in &mut counts[..often] {
            let changed = *count as i64 + missing.signum();
            if missing != 0 && (8..=MOST_SESSIONS as i64).contains(&changed) {
                *count = changed as usize;
                missing -= missing.signum();
            }
        }
    }
    counts.sort_by(|a, b| b.cmp(a));
    counts
}

fn attendance_at(share: f64) -> usize {
    let above = ATTENDANCE.iter().position(|&(s, _)| share <= s).unwrap_or(ATTENDANCE.len() - 1);
    if above == 0 {
        return 1;
    }
    let ((s0, n0), (s1, n1)) = (ATTENDANCE[above - 1], ATTENDANCE[above]);
    (n0 + (n1 - n0) * (share - s0) / (s1 - s0)).ceil() as usize
}

/// Gives out one of N things in given shares: what has been given too seldom is the likelier.
struct Quota<const N: usize> {
    shares: [f64; N],
    given: [f64; N],
}

impl<const N: usize> Quota<N> {
    /// `weights` in any scale.
    fn new(weights: [f64; N]) -> Self {
        let sum: f64 = weights.iter().sum();
        Self { shares: weights.map(|w| w / sum), given: [0.0; N] }
    }

    /// Draws one for so many sessions; each is drawn in proportion to what its share lacks after
    /// them.
    fn draw(&mut self, sessions: f64, draws: &mut Draws) -> usize {
        let total = self.given.iter().sum::<f64>() + sessions;
        let lacks: [f64; N] =
            std::array::from_fn(|i| (self.shares[i] * total - self.given[i]).max(0.0));
        let mut rest = draws.range(0.0, lacks.iter().sum());
        let mut drawn = 0;
        for (i, lack) in lacks.iter().enumerate() {
            if *lack > 0.0 {
                drawn = i;
                if rest < *lack {
                    break;
                }
                rest -= lack;
            }
        }
        self.given[drawn] += sessions;
        drawn
    }
}

/// The shares of Photoface's label table.
struct Shares {
    gender: Quota<2>,
    /// Of men.
    facial_hair: Quota<5>,
    /// Never, always, now and then; of men and of women.
    spectacles: [Quota<3>; 2],
    /// Of men and of women.
    emotion: [Quota<4>; 2],
    pose: Quota<5>,
    quality: Quota<3>,
}

impl Shares {
    fn new() -> Self {
        Self {
            gender: Quota::new([2863.0, 296.0]),
            facial_hair: Quota::new([1929.0, 373.0, 190.0, 11.0, 360.0]),
            spectacles: [Quota::new([0.66, 0.235, 0.105]), Quota::new([0.87, 0.07, 0.06])],
            emotion: [
                Quota::new([2255.0, 346.0, 34.0, 228.0]),
                Quota::new([167.0, 110.0, 4.0, 15.0]),
            ],
            pose: Quota::new([2658.0, 364.0, 101.0, 20.0, 16.0]),
            quality: Quota::new([2977.0, 117.0, 65.0]),
        }
    }

    fn member(&mut self, count: usize, seed: u64, draws: &mut Draws) -> Member {
        let sessions = count as f64;
        let gender = Gender::ALL[self.gender.draw(sessions, draws)];
        let of = gender as usize;
        let habit = match gender {
            Gender::Male => FacialHair::ALL[self.facial_hair.draw(sessions, draws)],
            Gender::Female => FacialHair::None,
        };
        let spectacles = match self.spectacles[of].draw(sessions, draws) {
            0 => 0.0,
            1 => 1.0,
            _ => draws.range(0.1, 0.9),
        };
        let labels = (0..count)
            .map(|_| Labels {
                gender,
                spectacles: draws.chance(spectacles),
                facial_hair: match gender {
                    Gender::Male => of_the_day(habit, draws),
                    Gender::Female => FacialHair::None,
                },
                pose: PoseClass::ALL[self.pose.draw(1.0, draws)],
                quality: Quality::ALL[self.quality.draw(1.0, draws)],
                emotion: Emotion::ALL[self.emotion[of].draw(1.0, draws)],
            })
            .collect();
        Member { gender, seed, facial_hair: habit, sessions: labels }
    }
}

/// Some days a man shaves, some days he does not; what has grown long stays.
fn of_the_day(habit: FacialHair, draws: &mut Draws) -> FacialHair {
    match (habit, draws.range(0.0, 1.0)) {
        (FacialHair::None, x) if x < 0.01 => FacialHair::Stubble,
        (FacialHair::Stubble, x) if x < 0.06 => FacialHair::None,
        (habit, _) => habit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn shares_of(
        members: &[Member],
        word: impl Fn(&Labels) -> &'static str,
    ) -> BTreeMap<&str, f64> {
        let all: Vec<&Labels> = members.iter().flat_map(|m| &m.sessions).collect();
        let mut counts = BTreeMap::new();
        for labels in &all {
            *counts.entry(word(labels)).or_insert(0.0) += 1.0 / all.len() as f64;
        }
        counts
    }

    #[test]
    fn a_full_population_attends_as_photoface_did() {
        let members = population(441, Attendance::Photoface, 1);
        let mut counts: Vec<usize> = members.iter().map(|m| m.sessions.len()).collect();
        counts.sort();
        assert_eq!(counts.iter().sum::<usize>(), 3159);
        assert_eq!(counts[220], 2);
        let once = counts.iter().filter(|&&n| n == 1).count();
        assert!((149..=159).contains(&once), "{once} come once, 154 at Photoface");
        assert!((200..=MOST_SESSIONS).contains(&counts[440]), "{}", counts[440]);
    }

    #[test]
    fn labels_have_the_shares_of_photoface() {
        for seed in 0..5 {
            let members = population(441, Attendance::Photoface, seed);
            type Word = fn(&Labels) -> &'static str;
            let tables: [(Word, &[(&str, f64)]); 5] = [
                (|l| l.gender.word(), &[("male", 2863.0), ("female", 296.0)]),
                (|l| if l.spectacles { "yes" } else { "no" }, &[("yes", 848.0), ("no", 2311.0)]),
                (
                    |l| l.facial_hair.word(),
                    &[("none", 2225.0), ("stubble", 373.0), ("both", 360.0), ("moustache", 190.0)],
                ),
                (
                    |l| l.emotion.word(),
                    &[("blankstare", 2422.0), ("positive", 456.0), ("emoOther", 243.0)],
                ),
                (|l| l.pose.word(), &[("1", 2658.0), ("2", 364.0), ("3", 101.0)]),
            ];
            for (word, wanted) in tables {
                let got = shares_of(&members, word);
                for &(name, count) in wanted {
                    let (share, want) = (got.get(name).copied().unwrap_or(0.0), count / 3159.0);
                    // 441 people are few for traits that a person keeps.
                    assert!(
                        (share - want).abs() < 0.03,
                        "{name}: {share}, want {want}, seed {seed}"
                    );
                }
            }
        }
    }

    #[test]
    fn women_have_no_beards_and_habits_last() {
        let members = population(300, Attendance::Each(8), 3);
        let (mut kept, mut all) = (0, 0);
        for member in &members {
            for pair in member.sessions.windows(2) {
                all += 1;
                kept += usize::from(pair[0].spectacles == pair[1].spectacles);
                let same = pair[0].facial_hair == pair[1].facial_hair;
                assert!(same || pair[0].facial_hair != FacialHair::Both, "a full beard came off");
            }
            for labels in &member.sessions {
                let bare = labels.facial_hair == FacialHair::None;
                assert!(bare || labels.gender == Gender::Male);
            }
        }
        assert!(kept * 100 > all * 92, "{kept} of {all}: 93 % at Photoface");
    }

    #[test]
    fn a_seed_is_a_population_and_another_seed_another() {
        let same = population(20, Attendance::Each(3), 5);
        assert_eq!(population(20, Attendance::Each(3), 5), same);
        assert_ne!(population(20, Attendance::Each(3), 6), same);
    }
}
