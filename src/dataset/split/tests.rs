use super::*;
use crate::io::sha256_hex;

const PEOPLE: [&str; 10] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"];

fn split(config: SplitConfig) -> Result<Split, String> {
    let labels = Labels::new();
    let captures =
        PEOPLE.map(|id| SplitCapture { id, session: "s", labels: &labels, training_only: false });
    Split::new(&SplitConfig { seed: 3, ..config }, &captures)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|id| id.to_string()).collect()
}

/// (id, session, labels, training_only)
type Row = (String, String, Labels, bool);

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn draw(config: &SplitConfig, rows: &[Row]) -> Result<Split, String> {
    let captures: Vec<SplitCapture<'_>> = rows
        .iter()
        .map(|(id, session, labels, training_only)| SplitCapture {
            id,
            session,
            labels,
            training_only: *training_only,
        })
        .collect();
    Split::new(config, &captures)
}

/// 200 people: a fifth women, of them a fifth with a beard of straw, so that chance alone would
/// leave parts without; 1 to 8 captures each.
fn crowd() -> Vec<Row> {
    (0..200)
        .flat_map(|i| {
            (0..1 + i % 8).map(move |s| {
                let gender = if i % 5 == 0 { "female" } else { "male" };
                let beard = if i % 25 == 0 { "straw" } else { "none" };
                let hair = labels(&[("gender", gender), ("facial_hair", beard)]);
                (format!("p{i:03}"), format!("s{s}"), hair, false)
            })
        })
        .collect()
}

fn share(split: &Split, rows: &[Row], part: Part, column: &str, value: &str) -> usize {
    let people: BTreeSet<&str> = rows
        .iter()
        .filter(|(_, _, labels, _)| labels[column] == value)
        .map(|(id, ..)| id.as_str())
        .collect();
    split.people(part).filter(|id| people.contains(id)).count()
}

#[test]
fn every_part_has_its_share_of_every_trait_and_its_exact_size() {
    let rows = crowd();
    let config = SplitConfig {
        gallery_share: 0.25,
        test_count: 50,
        validation_share: 0.125,
        stratify: names(&["gender", "facial_hair", "sessions"]),
        ..Default::default()
    };
    for seed in 0..20 {
        let split = draw(&SplitConfig { seed, ..config.clone() }, &rows).unwrap();
        let sizes = [Part::Gallery, Part::Test, Part::Validation, Part::Train]
            .map(|part| split.people(part).count());
        assert_eq!(sizes, [50, 50, 25, 75], "seed {seed}");
        // 8 with straw: 2, 2, 1 and 3. 40 women: 10, 10, 5 and 15.
        for (part, straw, women) in [
            (Part::Gallery, 2, 10),
            (Part::Test, 2, 10),
            (Part::Validation, 1, 5),
            (Part::Train, 3, 15),
        ] {
            let got = share(&split, &rows, part, "facial_hair", "straw");
            assert_eq!(got, straw, "straw in {part}, seed {seed}");
            let got = share(&split, &rows, part, "gender", "female");
            assert!(got.abs_diff(women) <= 1, "{got} women in {part}, seed {seed}");
        }
    }
    // Without, chance does otherwise for some seed.
    let chance = (0..20).any(|seed| {
        let config = SplitConfig { seed, stratify: vec![], ..config.clone() };
        let split = draw(&config, &rows).unwrap();
        share(&split, &rows, Part::Validation, "facial_hair", "straw") != 1
    });
    assert!(chance);
}

#[test]
fn the_seed_and_not_the_order_of_captures_decides() {
    let rows = crowd();
    let mut turned = rows.clone();
    turned.reverse();
    let config = SplitConfig {
        gallery_count: 60,
        stratify: names(&["gender"]),
        max_captures_per_person: 4,
        undersample: vec![UndersamplePart { part: Part::Train, task: "gender".into(), ratio: 2.0 }],
        seed: 5,
        ..Default::default()
    };
    let split = draw(&config, &rows).unwrap();
    assert_eq!(draw(&config, &turned).unwrap(), split);
    assert_eq!(draw(&config, &turned).unwrap().sha256(), split.sha256());
    let other = draw(&SplitConfig { seed: 6, ..config }, &rows).unwrap();
    assert_ne!(other.sha256(), split.sha256());
}

#[test]
fn a_part_is_thinned_from_those_who_have_most_and_no_further() {
    let mut rows: Vec<Row> = Vec::new();
    for (id, gender, captures) in
        [("a", "male", 10), ("b", "male", 2), ("c", "female", 2), ("d", "female", 1)]
    {
        for s in 0..captures {
            rows.push((id.into(), format!("s{s:02}"), labels(&[("gender", gender)]), false));
        }
    }
    let undersample = |ratio| SplitConfig {
        undersample: vec![UndersamplePart { part: Part::Train, task: "gender".into(), ratio }],
        ..Default::default()
    };
    let split = draw(&undersample(2.0), &rows).unwrap();
    // 12 men's captures to twice the 3 of women: `a` loses 6 and `b` none.
    let left = |id: &str| split.left_out.iter().filter(|(person, _)| person == id).count();
    assert_eq!([left("a"), left("b"), left("c"), left("d")], [6, 0, 0, 0]);
    let session = &split.left_out.iter().next().unwrap().1;
    assert_eq!(split.part_of("a", session), Some(Part::Unused));
    assert_eq!(split.part_of("b", "s00"), Some(Part::Train));
    assert_eq!(split.part_of("z", "s00"), None);
    assert!(draw(&undersample(4.0), &rows).unwrap().left_out.is_empty());
    assert!(draw(&undersample(0.5), &rows).unwrap_err().contains("below 1"));
    assert!(draw(&undersample(f64::NAN), &rows).unwrap_err().contains("below 1"));

    let capped = SplitConfig { max_captures_per_person: 3, ..Default::default() };
    let split = draw(&capped, &rows).unwrap();
    assert_eq!(split.left_out.len(), 7);
    assert!(split.left_out.iter().all(|(id, _)| id == "a"));
    let file = tempfile::NamedTempFile::new().unwrap();
    split.write(file.path()).unwrap();
    assert_eq!(Split::read(file.path()).unwrap(), split);
    let bytes = std::fs::read(file.path()).unwrap();
    assert_eq!(sha256_hex(&bytes), split.sha256());
}

#[test]
fn thinning_two_traits_leaves_both_within_their_ratio() {
    let mut rows: Vec<Row> = Vec::new();
    for i in 0..60 {
        let gender = if i % 6 == 0 { "female" } else { "male" };
        let spectacles = if i % 4 == 0 { "yes" } else { "no" };
        let both = labels(&[("gender", gender), ("spectacles", spectacles)]);
        rows.push((format!("p{:02}", i % 20), format!("s{i:02}"), both, false));
    }
    let thin = |task: &str, ratio| UndersamplePart { part: Part::Train, task: task.into(), ratio };
    let config = SplitConfig {
        undersample: vec![thin("gender", 1.5), thin("spectacles", 1.0)],
        ..Default::default()
    };
    let split = draw(&config, &rows).unwrap();
    for (column, ratio) in [("gender", 1.5), ("spectacles", 1.0)] {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, session, labels, _) in &rows {
            if split.part_of(id, session) == Some(Part::Train) {
                *counts.entry(&labels[column]).or_insert(0) += 1;
            }
        }
        let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        assert_eq!(counts.len(), 2);
        assert!(*most as f64 <= ratio * *least as f64, "{column}: {counts:?}");
    }
}

#[test]
fn captures_for_training_alone_count_in_training_alone() {
    let rows: Vec<Row> = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|id| (0..4).map(move |s| (id.to_string(), format!("s{s}"), Labels::new(), s > 0)))
        .collect();
    let config = SplitConfig {
        gallery_people: names(&["a"]),
        max_captures_per_person: 2,
        ..Default::default()
    };
    let split = draw(&config, &rows).unwrap();
    let left = |id: &str| split.left_out.iter().filter(|(person, _)| person == id).count();
    assert_eq!([left("a"), left("b"), left("c"), left("d")], [0, 2, 2, 2]);
}

#[test]
fn people_are_parted_by_count_or_by_name_and_the_file_says_so() {
    let by_count =
        split(SplitConfig { gallery_count: 4, validation_count: 3, ..Default::default() }).unwrap();
    let counts =
        [Part::Gallery, Part::Validation, Part::Train].map(|part| by_count.people(part).count());
    assert_eq!(counts, [4, 3, 3]);
    // Who is for the gallery does not hang on how many are for validation, nor on the test.
    let without = split(SplitConfig { gallery_count: 4, ..Default::default() }).unwrap();
    assert!(without.people(Part::Gallery).eq(by_count.people(Part::Gallery)));
    let tested = split(SplitConfig { gallery_count: 4, test_count: 2, ..Default::default() });
    assert!(tested.unwrap().people(Part::Gallery).eq(by_count.people(Part::Gallery)));

    let by_name = split(SplitConfig {
        gallery_people: names(&["p3"]),
        gallery_count: 4,
        validation_count: 2,
        ..Default::default()
    })
    .unwrap();
    assert_eq!(by_name.people(Part::Gallery).collect::<Vec<_>>(), ["p3"]);
    assert_eq!(by_name.people(Part::Validation).count(), 2);
    let file = tempfile::NamedTempFile::new().unwrap();
    by_name.write(file.path()).unwrap();
    assert_eq!(Split::read(file.path()).unwrap(), by_name);
    let odd =
        Split { parts: [("a, \"b\"\nc".to_string(), Part::Train)].into(), ..Split::default() };
    odd.write(file.path()).unwrap();
    assert_eq!(Split::read(file.path()).unwrap(), odd);
}

#[test]
fn who_is_left_out_is_in_no_part() {
    let split = split(SplitConfig {
        left_out_people: names(&["p1", "p7"]),
        gallery_share: 0.5,
        ..Default::default()
    })
    .unwrap();
    assert_eq!(split.people(Part::Unused).collect::<Vec<_>>(), ["p1", "p7"]);
    assert_eq!(split.people(Part::Gallery).count(), 4);
    assert_eq!(split.part_of("p7", "s"), Some(Part::Unused));
}

#[test]
fn a_file_with_a_person_twice_or_of_another_shape_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let read = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        Split::read(file.path()).unwrap_err().to_string()
    };
    assert!(read("id,split\na,train\na,gallery\n").contains("`a` is listed twice"));
    assert!(read("id,split\na,nowhere\n").contains("row 1: unknown split `nowhere`"));
    assert!(read("id\na\n").contains("row 1"));
    assert!(read("id,split,left_out\na,train,s1\n").contains("`s1` is no list"));
}

#[test]
fn strangers_doubles_and_empty_parts_are_refused() {
    let of = |config| split(config).unwrap_err();
    let message = of(SplitConfig { gallery_people: names(&["p99"]), ..Default::default() });
    assert!(message.contains("`p99`"), "{message}");
    let message = of(SplitConfig {
        gallery_people: names(&["p1", "p2"]),
        validation_people: names(&["p2", "p3"]),
        ..Default::default()
    });
    assert!(message.contains("`p2` is in"), "{message}");
    let message = of(SplitConfig { gallery_people: names(&["p1", "p1"]), ..Default::default() });
    assert!(message.contains("`p1` twice"), "{message}");
    let message = of(SplitConfig { gallery_count: 9, ..Default::default() });
    assert!(message.contains("1 of 10"), "{message}");
    let message = of(SplitConfig { validation_count: 1, ..Default::default() });
    assert!(message.contains("one person alone"), "{message}");
    let message = of(SplitConfig { test_count: 1, ..Default::default() });
    assert!(message.contains("split.test_count"), "{message}");
    let message = of(SplitConfig { gallery_share: 1.5, ..Default::default() });
    assert!(message.contains("gallery_share is 1.5"), "{message}");
    let message = of(SplitConfig { test_share: 0.5, test_count: 2, ..Default::default() });
    assert!(message.contains("keep one"), "{message}");
    let message = of(SplitConfig { gallery_count: 8, test_count: 4, ..Default::default() });
    assert!(message.contains("draws 12 people and 10"), "{message}");
    let message = of(SplitConfig { stratify: names(&["beauty"]), ..Default::default() });
    assert!(message.contains("`beauty`"), "{message}");
    assert!(Split::new(&SplitConfig::default(), &[]).is_err());
}

#[test]
fn the_commonest_label_stands_for_a_person() {
    let of = |values: &[&str]| {
        let all: Vec<Labels> = values.iter().map(|v| labels(&[("x", v)])).collect();
        majority_label(&all, "x").map(str::to_string)
    };
    assert_eq!(of(&["b", "a", "b"]).as_deref(), Some("b"));
    assert_eq!(of(&["b", "a"]).as_deref(), Some("a"));
    assert_eq!(of(&[]), None);
    assert_eq!(majority_label(&[labels(&[("y", "1")])], "x"), None);
}
