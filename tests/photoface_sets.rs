//! The linter and the strict split on the labels of the Photoface database and the split files of the
//! study that this network carries on.

mod support;

use lumiface::capture::Labels;
use lumiface::dataset::check::{CheckOptions, Finding, Kind, Severity, check, read_entries};
use lumiface::dataset::{
    LegacySets, Part, Split, SplitCapture, SplitConfig, UndersamplePart, legacy_classes,
};
use std::collections::BTreeMap;

fn of(findings: &[Finding], kind: Kind) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.kind == kind).collect()
}

#[test]
fn the_flaws_of_the_legacy_sets_are_found() {
    let Some(folder) = support::test_data("photoface") else { return };
    let sets = LegacySets::read(&folder).unwrap();
    let flaws = sets.flaws();
    // Nobody of training is elsewhere; 63 people are in test and in gallery.
    let leaks = of(&flaws, Kind::LeakedPeople);
    assert_eq!(leaks.len(), 1);
    assert_eq!((leaks[0].count, leaks[0].severity), (63, Severity::Error));
    assert!(leaks[0].message.starts_with("63 people are in test and in gallery"));
    // No session is in two sets.
    assert!(of(&flaws, Kind::RepeatedSession).is_empty());
    assert!(of(&flaws, Kind::EnrolledProbe).is_empty());
    let dominant: Vec<&str> =
        of(&flaws, Kind::DominantPerson).iter().map(|f| f.message.as_str()).collect();
    assert_eq!(dominant.len(), 3);
    let said = |words: &[&str]| {
        dominant.iter().any(|message| words.iter().all(|words| message.contains(words)))
    };
    assert!(said(&[
        "126 of 469 captures (26.9 %)",
        "7875 of 9568 genuine pairs (82.3 %)",
        "in test"
    ]));
    assert!(said(&["148 of 469 captures", "in gallery"]));
    assert!(said(&["18648 of 21252 genuine pairs (87.7 %) of test with gallery"]));
    let genuine = sets.pairs().filter(|(.., same)| *same).count();
    assert_eq!((sets.pairs().count(), genuine), (469 * 469, 21_252));
}

#[test]
fn the_legacy_classes_are_photofaces_labels_merged() {
    let Some(folder) = support::test_data("photoface") else { return };
    let sets = LegacySets::read(&folder).unwrap();
    let labels: BTreeMap<(String, String), Labels> = read_entries(&folder.join("metadata.csv"))
        .unwrap()
        .into_iter()
        .map(|entry| ((entry.id, entry.session), entry.labels))
        .collect();
    assert_eq!(labels.len(), 3159);
    let all = sets.train.iter().chain(&sets.test).chain(&sets.gallery);
    for capture in all.clone() {
        let labels = &labels[&(capture.id.clone(), capture.session.clone())];
        assert_eq!(legacy_classes(labels), Some(capture.classes));
    }
    assert_eq!(all.count(), 1876 + 469 + 469);
}

#[test]
fn a_strict_split_of_photoface_has_none_of_these_flaws() {
    let Some(folder) = support::test_data("photoface") else { return };
    let mut entries = read_entries(&folder.join("metadata.csv")).unwrap();
    let captures: Vec<SplitCapture<'_>> = entries
        .iter()
        .map(|entry| SplitCapture {
            id: &entry.id,
            session: &entry.session,
            labels: &entry.labels,
            training_only: false,
        })
        .collect();
    let config = SplitConfig {
        gallery_share: 0.2,
        test_share: 0.2,
        validation_share: 0.1,
        stratify: ["gender", "spectacles", "facial_hair", "sessions"].map(String::from).into(),
        max_captures_per_person: 10,
        undersample: vec![UndersamplePart { part: Part::Train, task: "gender".into(), ratio: 3.0 }],
        seed: 1,
        ..Default::default()
    };
    let split = Split::new(&config, &captures).unwrap();
    let sizes = [Part::Gallery, Part::Test, Part::Validation, Part::Train]
        .map(|part| split.people(part).count());
    assert_eq!(sizes, [88, 88, 44, 221]);
    for entry in &mut entries {
        entry.part = split.part_of(&entry.id, &entry.session);
    }
    let options = CheckOptions {
        // As the study's tasks merge them.
        classes: [("facial_hair", "none"), ("emotion", "blankstare")]
            .map(|(task, class)| (task.to_string(), vec![class.to_string(), "*".to_string()]))
            .into(),
        tasks: ["gender", "spectacles", "facial_hair", "emotion"].map(String::from).into(),
        ..CheckOptions::default()
    };
    let findings = check(&entries, &options, &|| {});
    // People with one session stay, a warning; nothing else does.
    assert!(
        findings.iter().all(|finding| finding.kind == Kind::SingleSession),
        "{:?}",
        findings.iter().map(|f| (f.kind, f.count)).collect::<Vec<_>>()
    );
    let women = entries
        .iter()
        .filter(|entry| entry.part == Some(Part::Train))
        .map(|entry| usize::from(entry.labels["gender"] == "female"));
    let (women, all) = (women.clone().sum::<usize>(), women.count());
    assert!(all - women <= 3 * women, "{women} of {all}");
}
