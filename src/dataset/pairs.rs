//! Lists of pairs for verification, in folds: the form of Labeled Faces in the Wild (Huang et al. 2007).
//!
//! `pairs.txt` is a line `folds<tab>pairs`, then for each fold so many genuine lines `name i j` and as
//! many impostor lines `name1 i name2 j`; i and j number a person's captures from 1. The numbers hang on
//! which captures there are: here they count a person's sessions in order of name. A table of names,
//! `fold,same,id,session,other_id,other_session`, does not.

use super::split::{SplitCapture, majority_label};
use crate::io::{IoError, read_text, sha256_hex, write_atomically};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which capture of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaptureName {
    pub id: String,
    pub session: String,
}

/// Two captures, of one person or of two.
pub type Pair = [CaptureName; 2];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    pub genuine: Vec<Pair>,
    pub impostor: Vec<Pair>,
}

/// Pairs in folds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairList {
    pub folds: Vec<Fold>,
}

/// What the numbers of `pairs.txt` count: each person's sessions in order of name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions(BTreeMap<String, Vec<String>>);

impl<'a> FromIterator<(&'a str, &'a str)> for Sessions {
    /// From (id, session) in any order.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(captures: I) -> Self {
        let mut people: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, session) in captures {
            people.entry(id.to_string()).or_default().insert(session.to_string());
        }
        Self(
            people.into_iter().map(|(id, sessions)| (id, sessions.into_iter().collect())).collect(),
        )
    }
}

impl Sessions {
    fn name(&self, id: &str, number: &str) -> Result<CaptureName, String> {
        let sessions = self.0.get(id).ok_or_else(|| format!("`{id}` is not in the data"))?;
        let session = number
            .parse::<usize>()
            .map_err(|_| format!("`{number}` is no number of a capture"))?
            .checked_sub(1)
            .and_then(|index| sessions.get(index))
            .ok_or_else(|| {
                format!("asks for capture {number} of `{id}`, who has 1 to {}", sessions.len())
            })?;
        Ok(CaptureName { id: id.to_string(), session: session.clone() })
    }

    fn number(&self, name: &CaptureName) -> Result<usize, String> {
        let sessions = self.0.get(&name.id).map_or(&[][..], Vec::as_slice);
        let index = sessions.binary_search(&name.session);
        Ok(index.map_err(|_| format!("{}/{} is not in the data", name.id, name.session))? + 1)
    }
}

/// How a list is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairConfig {
    /// Nobody is in two of them.
    pub folds: usize,
    /// Genuine pairs of a fold, and as many impostor pairs.
    pub pairs_per_fold: usize,
    /// Traits (label columns) that both people of an impostor pair share, so that they are not told
    /// apart by them; people without a label are in none.
    pub matched: Vec<String>,
    pub seed: u64,
}

impl Default for PairConfig {
    /// As LFW.
    fn default() -> Self {
        Self { folds: 10, pairs_per_fold: 300, matched: Vec::new(), seed: 0 }
    }
}

impl PairList {
    /// Draws a list of pairs. Pairs are dealt out over people, and over pairs of people, in turn, so
    /// that whoever has many captures does not have most of the pairs. No pair comes twice.
    ///
    /// # Errors
    /// Fewer pairs than asked for in some fold.
    pub fn draw(config: &PairConfig, captures: &[SplitCapture<'_>]) -> Result<Self, String> {
        let mut random = Pcg64::seed_from_u64(config.seed);
        let mut people: BTreeMap<&str, Vec<SplitCapture<'_>>> = BTreeMap::new();
        for capture in captures.iter().filter(|capture| !capture.training_only) {
            people.entry(capture.id).or_default().push(*capture);
        }
        if config.folds == 0 || config.pairs_per_fold == 0 {
            return Err("a list of pairs needs at least one fold and one pair in it".into());
        }
        let mut order: Vec<&str> = people.keys().copied().collect();
        order.shuffle(&mut random);
        for captures in people.values_mut() {
            captures.sort_by_key(|capture| capture.session);
        }
        // Whoever has most captures first: dealt in turn, every fold gets its share of them.
        order.sort_by_key(|id| std::cmp::Reverse(people[id].len()));
        let folds = (0..config.folds).map(|fold| {
            let dealt = order.iter().skip(fold).step_by(config.folds);
            let people: Vec<&[SplitCapture<'_>]> = dealt.map(|id| people[id].as_slice()).collect();
            draw_fold(config, &people, &mut random).map_err(|reason| {
                format!(
                    "fold {} of {}: {reason}; ask for fewer pairs or folds",
                    fold + 1,
                    config.folds
                )
            })
        });
        Ok(Self { folds: folds.collect::<Result<_, _>>()? })
    }

    /// (fold, pair, same person), fold by fold, genuine pairs first.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, &Pair, bool)> {
        self.folds.iter().enumerate().flat_map(|(number, fold)| {
            let genuine = fold.genuine.iter().map(move |pair| (number, pair, true));
            genuine.chain(fold.impostor.iter().map(move |pair| (number, pair, false)))
        })
    }

    /// People who are in more than one fold: what is learned of them in nine serves in the tenth.
    pub fn people_across_folds(&self) -> BTreeSet<&str> {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        let mut across = BTreeSet::new();
        for (fold, pair, _) in self.pairs() {
            for name in pair {
                if *first.entry(&name.id).or_insert(fold) != fold {
                    across.insert(name.id.as_str());
                }
            }
        }
        across
    }

    /// Reads `pairs.txt`; one without a number of folds is one fold.
    ///
    /// # Errors
    /// A damaged list, or one that names captures that are not there.
    pub fn read_lfw(path: &Path, sessions: &Sessions) -> Result<Self, IoError> {
        let text = read_text(path)?;
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let at = |line: usize, reason: String| {
            IoError::unsuitable(path, format!("line {}: {reason}", line + 1))
        };
        let (_, header) = lines.next().unwrap_or((0, ""));
        let counts: Option<Vec<usize>> =
            header.split_whitespace().map(|field| field.parse().ok()).collect();
        let (folds, pairs) = match counts.as_deref() {
            Some(&[folds, pairs]) => (folds, pairs),
            Some(&[pairs]) => (1, pairs),
            _ => {
                let reason = "is neither `folds pairs` nor `pairs`; is this a list of pairs?";
                return Err(at(0, reason.into()));
            }
        };
        if folds == 0 || pairs == 0 {
            return Err(at(0, "promises no pair".into()));
        }
        let end = || {
            let reason = format!(
                "ends early: the first line promises {folds} folds of {pairs} genuine and as many \
                 impostor pairs"
            );
            IoError::unsuitable(path, reason)
        };
        let mut list = Self::default();
        for _ in 0..folds {
            let mut fold = Fold::default();
            for same in [true, false] {
                for _ in 0..pairs {
                    let (number, line) = lines.next().ok_or_else(end)?;
                    let pair = lfw_pair(line, same, sessions).map_err(|e| at(number, e))?;
                    (if same { &mut fold.genuine } else { &mut fold.impostor }).push(pair);
                }
            }
            list.folds.push(fold);
        }
        match lines.next() {
            Some((number, _)) => {
                Err(at(number, format!("is beyond the {folds} × 2 × {pairs} pairs promised")))
            }
            None => Ok(list),
        }
    }

    /// Writes `pairs.txt`.
    ///
    /// # Errors
    /// Folds that differ in their numbers of pairs, a capture that is not among `sessions`, a name
    /// with a tab or a line break, or what the system reports.
    pub fn write_lfw(&self, path: &Path, sessions: &Sessions) -> Result<(), IoError> {
        let pairs = self.folds.first().map_or(0, |fold| fold.genuine.len());
        let even = |fold: &Fold| fold.genuine.len() == pairs && fold.impostor.len() == pairs;
        if !self.folds.iter().all(even) {
            let reason = "cannot hold folds of unequal pairs; write the table of names instead";
            return Err(IoError::unsuitable(path, reason));
        }
        let mut text = format!("{}\t{pairs}\n", self.folds.len());
        for (_, [a, b], same) in self.pairs() {
            let unfit =
                |id: &str| id.trim() != id || id.is_empty() || id.contains(['\t', '\n', '\r']);
            if let Some(name) = [a, b].into_iter().find(|name| unfit(&name.id)) {
                let reason = format!("cannot hold the name {:?}; write the table instead", name.id);
                return Err(IoError::unsuitable(path, reason));
            }
            let number = |name: &CaptureName| {
                sessions.number(name).map_err(|e| IoError::unsuitable(path, e))
            };
            let (i, j) = (number(a)?, number(b)?);
            text.push_str(&match same {
                true => format!("{}\t{i}\t{j}\n", a.id),
                false => format!("{}\t{i}\t{}\t{j}\n", a.id, b.id),
            });
        }
        write_atomically(path, |out| out.write_all(text.as_bytes()))
    }

    const COLUMNS: [&'static str; 6] =
        ["fold", "same", "id", "session", "other_id", "other_session"];

    fn table(&self) -> Result<Vec<u8>, csv::Error> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(Self::COLUMNS)?;
        for (fold, [a, b], same) in self.pairs() {
            let (fold, same) = (fold + 1, u8::from(same));
            table.write_record([
                &fold.to_string(),
                &same.to_string(),
                &a.id,
                &a.session,
                &b.id,
                &b.session,
            ])?;
        }
        table.into_inner().map_err(|e| e.into_error().into())
    }

    /// SHA-256 of the table of names: the list's name in results.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.table().expect("a table in memory takes every record of its own length"))
    }

    /// Writes the table of names.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        let bytes = self.table().map_err(|e| IoError::unsuitable(path, e))?;
        write_atomically(path, |out| out.write_all(&bytes))
    }

    /// Reads what [`PairList::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, IoError> {
        let text = read_text(path)?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|e| IoError::unsuitable(path, e))?;
        if header != Self::COLUMNS[..] {
            let reason = format!("is no table of `{}`", Self::COLUMNS.join(","));
            return Err(IoError::unsuitable(path, reason));
        }
        let mut list = Self::default();
        for (number, record) in reader.records().enumerate() {
            let damaged =
                |reason: String| IoError::unsuitable(path, format!("row {}: {reason}", number + 1));
            let record = record.map_err(|e| damaged(e.to_string()))?;
            let fold: usize =
                record[0].parse().map_err(|_| damaged(format!("`{}` is no fold", &record[0])))?;
            // In order, so that a number typed wrong does not make a million folds.
            if fold == 0 || !(list.folds.len()..=list.folds.len() + 1).contains(&fold) {
                return Err(damaged(format!("fold {fold} follows fold {}", list.folds.len())));
            }
            list.folds.resize_with(fold, Fold::default);
            let name = |at: usize| CaptureName {
                id: record[at].to_string(),
                session: record[at + 1].to_string(),
            };
            let pair = checked([name(2), name(4)], &record[1] == "1").map_err(damaged)?;
            let fold = &mut list.folds[fold - 1];
            match &record[1] {
                "1" => fold.genuine.push(pair),
                "0" => fold.impostor.push(pair),
                other => return Err(damaged(format!("`{other}` is neither 1 nor 0"))),
            }
        }
        if list.folds.is_empty() {
            return Err(IoError::unsuitable(path, "lists no pair"));
        }
        Ok(list)
    }
}

/// A pair that is what it is said to be.
fn checked(pair: Pair, same: bool) -> Result<Pair, String> {
    let [a, b] = &pair;
    match (a.id == b.id, same) {
        (true, false) => Err(format!("an impostor pair of `{}` alone", a.id)),
        (false, true) => Err(format!("a genuine pair of `{}` and `{}`", a.id, b.id)),
        _ if a == b => Err(format!("{}/{} is paired with itself", a.id, a.session)),
        _ => Ok(pair),
    }
}

fn lfw_pair(line: &str, same: bool, sessions: &Sessions) -> Result<Pair, String> {
    // Names may hold spaces where tabs part the fields.
    let fields: Vec<&str> = match line.contains('\t') {
        true => line.split('\t').map(str::trim).collect(),
        false => line.split_whitespace().collect(),
    };
    let pair = match (fields.as_slice(), same) {
        (&[id, i, j], true) => [sessions.name(id, i)?, sessions.name(id, j)?],
        (&[a, i, b, j], false) => [sessions.name(a, i)?, sessions.name(b, j)?],
        (_, true) => return Err("a genuine pair `name i j` is due".into()),
        (_, false) => return Err("an impostor pair `name i name j` is due".into()),
    };
    checked(pair, same)
}

fn draw_fold(
    config: &PairConfig,
    people: &[&[SplitCapture<'_>]],
    random: &mut Pcg64,
) -> Result<Fold, String> {
    let name = |capture: &SplitCapture<'_>| CaptureName {
        id: capture.id.to_string(),
        session: capture.session.to_string(),
    };
    let wanted = config.pairs_per_fold;
    let too_few = |kind: &str, of: usize| format!("{of} of {wanted} {kind} pairs can be drawn");

    let mut turns: Vec<usize> = (0..people.len()).collect();
    turns.shuffle(random);
    let pairs_of = |person: &usize| {
        let captures = people[*person].len();
        captures * captures.saturating_sub(1) / 2
    };
    let drawn = draw_evenly(&turns.iter().map(pairs_of).collect::<Vec<_>>(), wanted, random);
    if drawn.len() < wanted {
        return Err(too_few("genuine", drawn.len()));
    }
    let genuine = drawn.into_iter().map(|(turn, number)| {
        let captures = people[turns[turn]];
        let (i, j) = unordered_pair(number, captures.len());
        [name(&captures[i]), name(&captures[j])]
    });

    let traits: Vec<Vec<Option<&str>>> = people
        .iter()
        .map(|captures| {
            let of = |column: &String| majority_label(captures.iter().map(|c| c.labels), column);
            config.matched.iter().map(of).collect()
        })
        .collect();
    let alike =
        |a: usize, b: usize| traits[a].iter().zip(&traits[b]).all(|(a, b)| a.is_some() && a == b);
    let mut couples: Vec<(usize, usize)> = (0..people.len())
        .flat_map(|a| (a + 1..people.len()).map(move |b| (a, b)))
        .filter(|&(a, b)| alike(a, b))
        .collect();
    couples.shuffle(random);
    let sizes: Vec<usize> =
        couples.iter().map(|&(a, b)| people[a].len() * people[b].len()).collect();
    let drawn = draw_evenly(&sizes, wanted, random);
    if drawn.len() < wanted {
        return Err(too_few("impostor", drawn.len()));
    }
    let impostor = drawn.into_iter().map(|(turn, number)| {
        let (a, b) = couples[turn];
        let columns = people[b].len();
        [name(&people[a][number / columns]), name(&people[b][number % columns])]
    });
    Ok(Fold { genuine: genuine.collect(), impostor: impostor.collect() })
}

/// Draws up to `wanted` of the numbered members of groups, one of each group in turn until they are
/// exhausted: (group, number of the member).
fn draw_evenly(sizes: &[usize], wanted: usize, random: &mut Pcg64) -> Vec<(usize, usize)> {
    // A Fisher–Yates shuffle of each group that remembers only what it moved.
    let mut moved: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::new(); sizes.len()];
    let mut drawn = Vec::with_capacity(wanted.min(1 << 20));
    let mut turn = 0;
    loop {
        let before = drawn.len();
        for (group, &size) in sizes.iter().enumerate().filter(|(_, size)| **size > turn) {
            if drawn.len() == wanted {
                return drawn;
            }
            let moved = &mut moved[group];
            let at = random.random_range(turn..size);
            let member = *moved.get(&at).unwrap_or(&at);
            moved.insert(at, *moved.get(&turn).unwrap_or(&turn));
            drawn.push((group, member));
        }
        if drawn.len() == before {
            return drawn;
        }
        turn += 1;
    }
}

/// The pair i < j of n that has a number from 0 to n (n − 1) / 2, in order of i, then j.
fn unordered_pair(mut number: usize, n: usize) -> (usize, usize) {
    let mut i = 0;
    while number >= n - 1 - i {
        number -= n - 1 - i;
        i += 1;
    }
    (i, i + 1 + number)
}

/// Folds of a list that has none, as InsightFace parts its lists and scikit-learn's `KFold` does:
/// stretches of equal length, the first ones longer by one where it does not come out even.
pub fn contiguous_folds(pairs: usize, folds: usize) -> Vec<usize> {
    let (length, longer) = (pairs / folds.max(1), pairs % folds.max(1));
    (0..folds)
        .flat_map(|fold| std::iter::repeat_n(fold, length + usize::from(fold < longer)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Labels;

    fn sessions() -> Sessions {
        let people = [("Ann Lee", "s2"), ("Ann Lee", "s1"), ("Bo", "a"), ("Bo", "b"), ("Cy", "x")];
        people.into_iter().collect()
    }

    fn capture(id: &str, session: &str) -> CaptureName {
        CaptureName { id: id.into(), session: session.into() }
    }

    const LIST: &str = "2\t1\nAnn Lee\t1\t2\nBo\t2\tCy\t1\nBo\t1\t2\nAnn Lee\t2\tCy\t1\n";

    fn list() -> PairList {
        let fold = |genuine: [CaptureName; 2], impostor: [CaptureName; 2]| Fold {
            genuine: vec![genuine],
            impostor: vec![impostor],
        };
        PairList {
            folds: vec![
                fold(
                    [capture("Ann Lee", "s1"), capture("Ann Lee", "s2")],
                    [capture("Bo", "b"), capture("Cy", "x")],
                ),
                fold(
                    [capture("Bo", "a"), capture("Bo", "b")],
                    [capture("Ann Lee", "s2"), capture("Cy", "x")],
                ),
            ],
        }
    }

    fn read(text: &str) -> Result<PairList, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        PairList::read_lfw(file.path(), &sessions()).map_err(|e| e.to_string())
    }

    #[test]
    fn lfw_lists_are_read_and_written() {
        assert_eq!(read(LIST).unwrap(), list());
        let file = tempfile::NamedTempFile::new().unwrap();
        list().write_lfw(file.path(), &sessions()).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), LIST);
        // Spaces part fields where no tab does, lines may end in CR LF, and one number is one fold.
        let one = read("1\r\nBo 1 2\r\nBo 1 Cy 1\r\n\r\n").unwrap();
        assert_eq!(one.folds.len(), 1);
        assert_eq!(one.folds[0].impostor, [[capture("Bo", "a"), capture("Cy", "x")]]);
        assert_eq!(
            list().people_across_folds().into_iter().collect::<Vec<_>>(),
            ["Ann Lee", "Bo", "Cy"]
        );
    }

    #[test]
    fn the_table_of_names_comes_back_and_names_the_list() {
        let file = tempfile::NamedTempFile::new().unwrap();
        list().write(file.path()).unwrap();
        assert_eq!(PairList::read(file.path()).unwrap(), list());
        assert_eq!(sha256_hex(&std::fs::read(file.path()).unwrap()), list().sha256());
        let damaged = |row: &str| {
            let text = format!("{}\n{row}\n", PairList::COLUMNS.join(","));
            std::fs::write(file.path(), text).unwrap();
            PairList::read(file.path()).unwrap_err().to_string()
        };
        assert!(damaged("1,1,a,s,b,t").contains("a genuine pair of `a` and `b`"));
        assert!(damaged("1,0,a,s,a,t").contains("an impostor pair of `a` alone"));
        assert!(damaged("1,1,a,s,a,s").contains("with itself"));
        assert!(damaged("3,1,a,s,a,t").contains("fold 3 follows fold 0"));
        assert!(damaged("1,yes,a,s,b,t").contains("`yes`"));
        assert!(damaged("").contains("lists no pair"));
    }

    #[test]
    fn mistakes_are_named_by_line() {
        for (text, wanted) in [
            ("", "line 1"),
            ("ten\n", "line 1"),
            ("0 5\n", "promises no pair"),
            ("1 1\nBo 1 2\n", "ends early"),
            ("1 1\nBo 1 2\nBo 1 Cy 1\nBo 1 Cy 1\n", "line 4: is beyond"),
            ("1 1\nBo 1 3\n", "line 2: asks for capture 3 of `Bo`, who has 1 to 2"),
            ("1 1\nBo 0 1\n", "line 2: asks for capture 0"),
            ("1 1\nBo 1 -1\n", "no number"),
            ("1 1\nDi 1 2\n", "`Di` is not in the data"),
            ("1 1\nBo 1 1\n", "with itself"),
            ("1 1\nBo 1 2\nBo 1 2\n", "line 3: an impostor pair"),
            ("1 1\nBo 1 2\nBo 1 Bo 2\n", "of `Bo` alone"),
            ("18446744073709551615 18446744073709551615\n", "ends early"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(wanted), "{text:?}: {message}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut uneven = list();
        uneven.folds[1].impostor.clear();
        let message = uneven.write_lfw(file.path(), &sessions()).unwrap_err().to_string();
        assert!(message.contains("unequal"), "{message}");
        let message = list().write_lfw(file.path(), &Sessions::default()).unwrap_err().to_string();
        assert!(message.contains("Ann Lee/s1 is not in the data"), "{message}");
    }

    /// 40 people of 1 to 12 captures, every third a woman.
    fn crowd() -> Vec<(String, String, Labels)> {
        (0..40)
            .flat_map(|i| {
                let gender = if i % 3 == 0 { "female" } else { "male" };
                let labels = Labels::from([("gender".to_string(), gender.to_string())]);
                (0..1 + i % 12)
                    .map(move |s| (format!("p{i:02}"), format!("s{s:02}"), labels.clone()))
            })
            .collect()
    }

    fn draw(config: &PairConfig, rows: &[(String, String, Labels)]) -> Result<PairList, String> {
        let captures: Vec<SplitCapture<'_>> = rows
            .iter()
            .map(|(id, session, labels)| SplitCapture { id, session, labels, training_only: false })
            .collect();
        PairList::draw(config, &captures)
    }

    #[test]
    fn a_drawn_list_is_balanced_and_its_folds_share_nobody() {
        let rows = crowd();
        let config = PairConfig {
            folds: 5,
            pairs_per_fold: 40,
            matched: vec!["gender".into()],
            ..Default::default()
        };
        let list = draw(&config, &rows).unwrap();
        assert!(list.people_across_folds().is_empty());
        assert_eq!(list.folds.len(), 5);
        let gender: BTreeMap<&str, &str> =
            rows.iter().map(|(id, _, labels)| (id.as_str(), labels["gender"].as_str())).collect();
        let mut seen = BTreeSet::new();
        for (_, [a, b], same) in list.pairs() {
            assert_eq!(a.id == b.id, same);
            assert!(same || gender[a.id.as_str()] == gender[b.id.as_str()]);
            assert_ne!(a, b);
            assert!(seen.insert([a.min(b), a.max(b)]), "{a:?} and {b:?} twice");
        }
        for fold in &list.folds {
            assert_eq!((fold.genuine.len(), fold.impostor.len()), (40, 40));
            // Of 8 people, those with one capture aside, nobody has the half of the genuine pairs
            // though 12 captures make 66.
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for [a, _] in &fold.genuine {
                *counts.entry(&a.id).or_insert(0) += 1;
            }
            assert!(counts.values().all(|&count| count < 20), "{counts:?}");
        }
        // Reproducible from the seed, whatever the order of captures.
        let mut turned = rows.clone();
        turned.reverse();
        assert_eq!(draw(&config, &turned).unwrap(), list);
        let other = draw(&PairConfig { seed: 1, ..config }, &rows).unwrap();
        assert_ne!(other.sha256(), list.sha256());
    }

    #[test]
    fn lists_that_cannot_be_drawn_say_how_many_can() {
        let rows = crowd();
        let all = PairConfig { folds: 1, pairs_per_fold: 100_000, ..Default::default() };
        // Captures 1 to 12 thrice and 1 to 4 once more: Σ n (n − 1) / 2 = 3 · 286 + 10.
        let message = draw(&all, &rows).unwrap_err();
        assert!(message.contains("868 of 100000 genuine pairs"), "{message}");
        let exactly = PairConfig { folds: 1, pairs_per_fold: 868, ..Default::default() };
        let list = draw(&exactly, &rows).unwrap();
        let distinct: BTreeSet<&Pair> = list.folds[0].genuine.iter().collect();
        assert_eq!(distinct.len(), 868);

        let one: Vec<_> = rows.iter().filter(|(id, ..)| id == "p11").cloned().collect();
        let message = draw(&PairConfig { folds: 1, pairs_per_fold: 5, ..Default::default() }, &one);
        assert!(message.unwrap_err().contains("0 of 5 impostor pairs"));
        let singles: Vec<_> = rows.iter().filter(|(_, s, _)| s == "s00").cloned().collect();
        let message =
            draw(&PairConfig { folds: 2, pairs_per_fold: 5, ..Default::default() }, &singles);
        assert!(message.unwrap_err().contains("fold 1 of 2: 0 of 5 genuine pairs"));
        assert!(draw(&PairConfig::default(), &[]).is_err());
        assert!(draw(&PairConfig { folds: 0, ..Default::default() }, &rows).is_err());
    }

    #[test]
    fn numbers_name_every_pair_once() {
        for n in 2..9 {
            let pairs: BTreeSet<_> = (0..n * (n - 1) / 2).map(|k| unordered_pair(k, n)).collect();
            assert_eq!(pairs.len(), n * (n - 1) / 2);
            assert!(pairs.iter().all(|&(i, j)| i < j && j < n));
        }
    }

    #[test]
    fn stretches_are_those_of_scikit_learn() {
        // KFold(n_splits=4).split(range(10)): 3, 3, 2, 2.
        assert_eq!(contiguous_folds(10, 4), [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]);
        assert_eq!(contiguous_folds(2, 4), [0, 1]);
        assert!(contiguous_folds(5, 0).is_empty());
    }
}
