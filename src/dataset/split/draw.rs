//! How people are drawn for the parts of a split.

use super::{Part, SESSIONS_TRAIT, SplitCapture, SplitConfig, no_label};
use crate::capture::Labels;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};

/// Each person's captures in order of session.
pub(super) fn by_person<'a>(
    captures: &[SplitCapture<'a>],
) -> BTreeMap<&'a str, Vec<SplitCapture<'a>>> {
    let mut people: BTreeMap<&str, Vec<SplitCapture<'_>>> = BTreeMap::new();
    for capture in captures {
        people.entry(capture.id).or_default().push(*capture);
    }
    for captures in people.values_mut() {
        captures.sort_by_key(|capture| capture.session);
    }
    people
}

/// The parts of those whom the configuration names.
pub(super) fn named_people(
    config: &SplitConfig,
    people: &BTreeMap<&str, Vec<SplitCapture<'_>>>,
) -> Result<BTreeMap<String, Part>, String> {
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let key = |part: Part| match part {
        Part::Unused => "left_out_people".to_string(),
        part => format!("{part}_people"),
    };
    for (named, part) in [
        (&config.gallery_people, Part::Gallery),
        (&config.validation_people, Part::Validation),
        (&config.test_people, Part::Test),
        (&config.left_out_people, Part::Unused),
    ] {
        for id in named {
            if !people.contains_key(id.as_str()) {
                return Err(format!(
                    "split.{} names `{id}`, who is not in the manifest",
                    key(part)
                ));
            }
            match parts.insert(id.clone(), part) {
                Some(other) if other == part => {
                    return Err(format!("split.{} names `{id}` twice", key(part)));
                }
                Some(other) => {
                    let (first, second) = (key(other), key(part));
                    return Err(format!("`{id}` is in split.{first} and in split.{second}"));
                }
                None => {}
            }
        }
    }
    Ok(parts)
}

/// How many are drawn for each part beside training.
pub(super) fn wanted_people(
    config: &SplitConfig,
    people: usize,
) -> Result<Vec<(Part, usize)>, String> {
    [
        (Part::Gallery, &config.gallery_people, config.gallery_count, config.gallery_share),
        (
            Part::Validation,
            &config.validation_people,
            config.validation_count,
            config.validation_share,
        ),
        (Part::Test, &config.test_people, config.test_count, config.test_share),
    ]
    .into_iter()
    .map(|(part, named, count, share)| {
        if !(0.0..1.0).contains(&share) {
            return Err(format!("split.{part}_share is {share}; give a share from 0 to below 1"));
        }
        if count > 0 && share > 0.0 {
            return Err(format!(
                "split.{part}_count and split.{part}_share are both given; keep one"
            ));
        }
        let drawn = if share > 0.0 { (share * people as f64).round() as usize } else { count };
        Ok((part, if named.is_empty() { drawn } else { 0 }))
    })
    .collect()
}

/// The commonest value of a label among captures, the first in order of name where several are;
/// `None` where no capture has the label.
pub fn majority_label<'a>(
    labels: impl IntoIterator<Item = &'a Labels>,
    column: &str,
) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in labels.into_iter().filter_map(|labels| labels.get(column)) {
        *counts.entry(value).or_insert(0) += 1;
    }
    // `max_by_key` keeps the last of equals.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(value, _)| value)
}

/// Trait values by person: (position of the trait, value).
type Traits = BTreeMap<String, BTreeSet<(usize, String)>>;

pub(super) fn traits_of_people(
    stratify: &[String],
    people: &BTreeMap<&str, Vec<SplitCapture<'_>>>,
    drawn: &[&str],
) -> Result<Traits, String> {
    let mut traits = Traits::new();
    for (position, column) in stratify.iter().enumerate() {
        let mut known = false;
        for &id in drawn {
            let captures = &people[id];
            let value = if column == SESSIONS_TRAIT {
                Some(captures.len().ilog2().to_string())
            } else {
                majority_label(captures.iter().map(|c| c.labels), column).map(str::to_string)
            };
            known |= value.is_some();
            traits.entry(id.to_string()).or_default().extend(value.map(|value| (position, value)));
        }
        if !known {
            return Err(no_label("stratify", column));
        }
    }
    Ok(traits)
}

pub(super) fn count_traits<'a>(
    traits: &'a Traits,
    people: &[&str],
) -> BTreeMap<&'a (usize, String), usize> {
    let mut counts = BTreeMap::new();
    for value in people.iter().flat_map(|id| &traits[*id]) {
        *counts.entry(value).or_insert(0) += 1;
    }
    counts
}

/// Deals people out to parts of exact sizes (see the module).
///
/// `places` are the parts and how many people each takes, all of `people` together.
pub(super) fn stratified(
    people: &[&str],
    traits: &Traits,
    places: &[(Part, usize)],
    random: &mut Pcg64,
) -> BTreeMap<String, Part> {
    let mut remaining: Vec<&str> = people.to_vec();
    let mut free: Vec<usize> = places.iter().map(|(_, count)| *count).collect();
    let share = |part: usize| places[part].1 as f64 / people.len() as f64;
    // What each part still lacks of each value.
    let mut lacking: Vec<BTreeMap<&(usize, String), f64>> = (0..places.len())
        .map(|part| {
            let counts = count_traits(traits, people).into_iter();
            counts.map(|(value, count)| (value, count as f64 * share(part))).collect()
        })
        .collect();
    let mut parts = BTreeMap::new();
    while !remaining.is_empty() {
        let rarest = count_traits(traits, &remaining).into_iter().min_by_key(|(_, count)| *count);
        let rarest = rarest.map(|(value, _)| value);
        // Whoever has no trait at all comes last.
        let (now, later): (Vec<&str>, Vec<&str>) = remaining
            .iter()
            .partition(|id| rarest.is_none_or(|value| traits[**id].contains(value)));
        for id in now {
            let lack = |part: usize| rarest.map_or(0.0, |value| lacking[part][value]);
            let open: Vec<usize> = (0..places.len()).filter(|&part| free[part] > 0).collect();
            let order =
                |a: usize, b: usize| lack(a).total_cmp(&lack(b)).then(free[a].cmp(&free[b]));
            let best = open.iter().copied().max_by(|&a, &b| order(a, b));
            let Some(best) = best else { break };
            let equals: Vec<usize> =
                open.into_iter().filter(|&part| order(part, best).is_eq()).collect();
            let part = equals.choose(random).copied().unwrap_or(best);
            free[part] -= 1;
            for value in &traits[id] {
                if let Some(lack) = lacking[part].get_mut(value) {
                    *lack -= 1.0;
                }
            }
            parts.insert(id.to_string(), places[part].0);
        }
        remaining = later;
    }
    parts
}
