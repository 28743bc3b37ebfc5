//! Which captures make up the batches of an epoch.
//!
//! Everything follows from the seed and the epoch's number, so a run that goes on in the middle of
//! an epoch finds the same batches.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplerConfig {
    /// K: batches of P people with K captures each, P × K the batch size; 0 shuffles all captures.
    pub captures_per_person: usize,
    /// Captures of one person in an epoch, drawn anew each time; 0 is all.
    pub max_captures_per_person: usize,
    /// Tasks whose common classes are drawn thinner.
    pub undersample: Vec<Undersample>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undersample {
    pub task: String,
    /// In an epoch no class has more than so many times the captures of the rarest, 1 or more.
    pub ratio: f64,
}

/// What the sampler knows of a capture.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// 0..people
    pub person: usize,
    /// By task, `None` without a label.
    pub classes: Vec<Option<usize>>,
}

/// Draws batches of positions in a list of captures.
#[derive(Clone, Debug)]
pub struct Sampler {
    items: Vec<Item>,
    captures_per_person: usize,
    max_captures_per_person: usize,
    /// Position of the task, ratio.
    undersample: Vec<(usize, f64)>,
    batch_size: usize,
    seed: u64,
}

impl Sampler {
    /// `tasks` are the names of the items' classes.
    ///
    /// # Errors
    /// A batch that cannot be filled or divided, or a task that is not there.
    pub fn new(
        config: &SamplerConfig,
        items: Vec<Item>,
        tasks: &[&str],
        batch_size: usize,
        seed: u64,
    ) -> Result<Self, String> {
        let undersample = config
            .undersample
            .iter()
            .map(|wanted| {
                let position = tasks.iter().position(|task| *task == wanted.task);
                position.map(|position| (position, wanted.ratio)).ok_or_else(|| {
                    format!("sampler.undersample names `{}`, which is no task", wanted.task)
                })
            })
            .collect::<Result<_, _>>()?;
        let sampler = Self {
            items,
            captures_per_person: config.captures_per_person,
            max_captures_per_person: config.max_captures_per_person,
            undersample,
            batch_size,
            seed,
        };
        let k = sampler.captures_per_person;
        if k > 0 && !batch_size.is_multiple_of(k) {
            return Err(format!(
                "optimizer.batch_size {batch_size} cannot be divided into people of {k} captures \
                 (sampler.captures_per_person)"
            ));
        }
        let most = sampler.max_captures_per_person;
        if most > 0 && most < k {
            return Err(format!(
                "sampler.max_captures_per_person {most} leaves fewer captures of a person than the \
                 sampler.captures_per_person {k} of a batch"
            ));
        }
        if k > 0 && sampler.people() < batch_size / k {
            return Err(format!(
                "{} people do not fill a batch of {} people × {k} captures; lower \
                 optimizer.batch_size or raise sampler.captures_per_person",
                sampler.people(),
                batch_size / k
            ));
        }
        if sampler.epoch(0).is_empty() {
            return Err(format!(
                "{} training captures, as they are drawn, do not fill a batch of {batch_size}; \
                 lower optimizer.batch_size",
                sampler.items.len()
            ));
        }
        Ok(sampler)
    }

    fn people(&self) -> usize {
        self.items.iter().map(|item| item.person).collect::<BTreeSet<_>>().len()
    }

    /// People of whom fewer captures are drawn than stand in a batch: theirs are shown several times.
    pub fn people_short_of_captures(&self) -> usize {
        let mut counts = BTreeMap::new();
        for at in self.drawn(0) {
            *counts.entry(self.items[at].person).or_insert(0usize) += 1;
        }
        counts.values().filter(|&&count| count < self.captures_per_person).count()
    }

    /// The batches of an epoch: positions of captures. What does not fill a batch is left to the
    /// next epoch's order, for batch statistics of a few would do more harm than they do good.
    pub fn epoch(&self, epoch: usize) -> Vec<Vec<usize>> {
        let (order, mut random) = self.order(epoch);
        if self.captures_per_person == 0 {
            return order.chunks_exact(self.batch_size).map(<[usize]>::to_vec).collect();
        }
        self.balanced(&order, &mut random)
    }

    /// Whether epochs draw from other captures than all of them.
    pub fn thins(&self) -> bool {
        self.max_captures_per_person > 0 || !self.undersample.is_empty()
    }

    /// The captures that an epoch draws from, thinned as the configuration wants it.
    pub fn drawn(&self, epoch: usize) -> Vec<usize> {
        self.order(epoch).0
    }

    fn order(&self, epoch: usize) -> (Vec<usize>, Pcg64) {
        let seed = self.seed ^ ((epoch as u64 + 1) << 32);
        let mut random = Pcg64::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.shuffle(&mut random);
        (self.thinned(order), random)
    }

    /// The order without what is too much of one person or class; who comes first stays.
    fn thinned(&self, mut order: Vec<usize>) -> Vec<usize> {
        if self.max_captures_per_person > 0 {
            let mut counts = BTreeMap::new();
            order.retain(|&at| {
                let count = counts.entry(self.items[at].person).or_insert(0usize);
                *count += 1;
                *count <= self.max_captures_per_person
            });
        }
        for &(task, ratio) in &self.undersample {
            let class = |at: usize| self.items[at].classes[task];
            let mut counts = BTreeMap::new();
            for &at in &order {
                if let Some(class) = class(at) {
                    *counts.entry(class).or_insert(0usize) += 1;
                }
            }
            let Some(&rarest) = counts.values().min() else { continue };
            let most = (rarest as f64 * ratio).floor() as usize;
            let mut taken = BTreeMap::new();
            order.retain(|&at| {
                let Some(class) = class(at) else { return true };
                let count = taken.entry(class).or_insert(0usize);
                *count += 1;
                *count <= most
            });
        }
        order
    }

    /// Groups of K captures of one person, P different people to a batch.
    fn balanced(&self, order: &[usize], random: &mut Pcg64) -> Vec<Vec<usize>> {
        let k = self.captures_per_person;
        let mut of_person: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &at in order {
            of_person.entry(self.items[at].person).or_default().push(at);
        }
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (&person, captures) in &of_person {
            for group in captures.chunks(k) {
                // The last is filled up with others of the same person, again where there are few.
                let fill = captures.iter().filter(|at| !group.contains(at));
                let group: Vec<usize> = group
                    .iter()
                    .chain(fill)
                    .chain(captures.iter().cycle())
                    .take(k)
                    .copied()
                    .collect();
                groups.push((person, group));
            }
        }
        groups.shuffle(random);
        let mut waiting = VecDeque::from(groups);
        let people = self.batch_size / k;
        let mut batches = Vec::new();
        loop {
            let (mut batch, mut seen, mut back) = (Vec::new(), BTreeSet::new(), Vec::new());
            while seen.len() < people {
                let Some((person, group)) = waiting.pop_front() else { return batches };
                if seen.insert(person) {
                    batch.extend(group);
                } else {
                    back.push((person, group));
                }
            }
            back.into_iter().rev().for_each(|group| waiting.push_front(group));
            batches.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten people; person p has p + 1 captures, of class 1 where p is 9.
    fn items() -> Vec<Item> {
        let of = |person: usize| Item { person, classes: vec![Some(usize::from(person == 9))] };
        (0..10).flat_map(|p| (0..=p).map(move |_| of(p))).collect()
    }

    fn sampler(config: SamplerConfig, batch: usize) -> Sampler {
        Sampler::new(&config, items(), &["gender"], batch, 7).unwrap()
    }

    #[test]
    fn a_shuffled_epoch_shows_each_capture_once_and_another_epoch_another_order() {
        let sampler = sampler(SamplerConfig::default(), 11);
        let (first, second) = (sampler.epoch(0), sampler.epoch(1));
        let all: BTreeSet<usize> = first.iter().flatten().copied().collect();
        assert_eq!((first.len(), all.len()), (5, 55));
        assert_ne!(first, second);
        assert_eq!(first, sampler.epoch(0));
    }

    #[test]
    fn balanced_batches_hold_p_people_with_k_captures() {
        let config = SamplerConfig { captures_per_person: 3, ..Default::default() };
        let sampler = sampler(config, 12);
        assert_eq!(sampler.people_short_of_captures(), 2);
        let batches = sampler.epoch(3);
        assert!(batches.len() >= 4, "{}", batches.len());
        for batch in batches {
            let mut counts = BTreeMap::new();
            for at in batch {
                *counts.entry(sampler.items[at].person).or_insert(0) += 1;
            }
            assert!(counts.len() == 4 && counts.values().all(|&n| n == 3), "{counts:?}");
        }
    }

    #[test]
    fn common_people_and_classes_are_drawn_thinner() {
        let config = SamplerConfig { max_captures_per_person: 2, ..Default::default() };
        assert_eq!(sampler(config, 19).epoch(0), [sampler_order(19)]);
        // 45 captures of class 0, 10 of class 1: at ratio 2 there are 20 and 10.
        let undersample = vec![Undersample { task: "gender".into(), ratio: 2.0 }];
        let config = SamplerConfig { undersample, ..Default::default() };
        let batches = sampler(config, 30).epoch(0);
        let ones = batches[0].iter().filter(|&&at| items()[at].person == 9).count();
        assert_eq!((batches.len(), ones), (1, 10));
    }

    /// The first two captures of each person in the shuffled order.
    fn sampler_order(batch: usize) -> Vec<usize> {
        let whole = sampler(SamplerConfig::default(), 55).epoch(0).remove(0);
        let mut counts = BTreeMap::new();
        let items = items();
        let first_two = whole.into_iter().filter(|&at| {
            let count = counts.entry(items[at].person).or_insert(0);
            *count += 1;
            *count <= 2
        });
        first_two.take(batch).collect()
    }

    #[test]
    fn what_cannot_be_drawn_says_so() {
        let of = |config: SamplerConfig, batch| {
            Sampler::new(&config, items(), &["gender"], batch, 7).unwrap_err()
        };
        let k = |k| SamplerConfig { captures_per_person: k, ..Default::default() };
        assert!(of(k(3), 10).contains("cannot be divided"));
        let thin = SamplerConfig { max_captures_per_person: 2, ..k(3) };
        assert!(of(thin, 9).contains("fewer captures of a person"));
        assert!(of(k(1), 11).contains("10 people do not fill"));
        assert!(of(k(0), 56).contains("do not fill a batch of 56"));
        let undersample = vec![Undersample { task: "age".into(), ratio: 2.0 }];
        let config = SamplerConfig { undersample, ..Default::default() };
        assert!(of(config, 8).contains("`age`"));
    }
}
