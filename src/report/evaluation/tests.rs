use super::*;
use crate::eval::{
    Bootstrap, ConfusionMatrix, EVALUATION_FORMAT, Enrolment, Figure, IdentityResult, Leakage,
    Measure, Merge, MethodResult, PairsResult, Protocol, Searches, TaskResult, calibration_error,
    identity_result, macro_auc, macro_average_precision, roc_auc,
};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use std::collections::BTreeMap;

const PEOPLE: usize = 40;
const SESSIONS: usize = 5;
const DIM: usize = 12;
const REPLICATES: usize = 200;

fn normal(random: &mut Pcg64) -> f64 {
    StandardNormal.sample(random)
}

fn ids() -> Vec<String> {
    (0..PEOPLE * SESSIONS).map(|i| format!("p{:03}", i / SESSIONS)).collect()
}

/// Embeddings whose captures stray from their person by `noise`, the more the shorter they are.
fn embeddings(noise: f64, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Pcg64::seed_from_u64(seed);
    let people: Vec<Vec<f64>> =
        (0..PEOPLE).map(|_| (0..DIM).map(|_| normal(&mut random)).collect()).collect();
    (0..PEOPLE * SESSIONS)
        .map(|i| {
            let ease = (0.35 * normal(&mut random)).exp();
            let vector = people[i / SESSIONS].iter();
            vector.map(|v| ((v + noise / ease * normal(&mut random)) * ease) as f32).collect()
        })
        .collect()
}

fn identity(noise: f64, with_quality: bool) -> IdentityResult {
    let ids = ids();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let protocol = Protocol::new(&ids, Enrolment::First, 1);
    let vectors = embeddings(noise, 11);
    let of = |measure| Searches::new(&protocol, &vectors, measure, Merge::Best).unwrap();
    let lengths: Vec<f64> = vectors
        .iter()
        .map(|v| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt())
        .collect();
    let pose = |i: usize| if i % SESSIONS < 2 { "frontal" } else { "turned" };
    let labels = vec![("pose", (0..ids.len()).map(|i| Some(pose(i))).collect())];
    identity_result(
        &of(Measure::Cosine),
        &of(Measure::Euclidean),
        with_quality.then_some(&lengths[..]),
        &labels,
        &Bootstrap { replicates: REPLICATES, seed: 1 },
    )
}

fn task(classes: &[&str], sharpness: f64, present: usize) -> TaskResult {
    let mut random = Pcg64::seed_from_u64(classes.len() as u64);
    let labels: Vec<usize> = (0..160).map(|i| (i * i / 3) % present).collect();
    let probabilities: Vec<Vec<f64>> = labels
        .iter()
        .map(|&label| {
            let score = |c: usize| sharpness * f64::from(u8::from(c == label));
            let scores: Vec<f64> =
                (0..classes.len()).map(|c| (score(c) + normal(&mut random)).exp()).collect();
            let sum: f64 = scores.iter().sum();
            scores.iter().map(|s| s / sum).collect()
        })
        .collect();
    let confusion = ConfusionMatrix::new(&probabilities, &labels).unwrap();
    let binary = classes.len() == 2 && present == 2;
    TaskResult {
        classes: classes.iter().map(|c| c.to_string()).collect(),
        labelled: labels.len(),
        auc: macro_auc(&probabilities, &labels).into(),
        average_precision: macro_average_precision(&probabilities, &labels).into(),
        accuracy: Ok(confusion.accuracy()).into(),
        balanced_accuracy: confusion.balanced_accuracy().into(),
        f1: confusion.f1().into(),
        calibration_error: calibration_error(&probabilities, &labels).into(),
        threshold: binary.then_some(0.41),
        balanced_accuracy_at_threshold: binary.then(|| confusion.balanced_accuracy().into()),
        confusion: Some(confusion),
    }
}

fn leakage() -> Vec<Leakage> {
    let mut random = Pcg64::seed_from_u64(5);
    let labels: Vec<bool> = (0..200).map(|i| i % 3 == 0).collect();
    let mut auc = |shift: f64| -> Figure {
        let score = |&is: &bool| normal(&mut random) + shift * f64::from(u8::from(is));
        let scores: Vec<f64> = labels.iter().map(score).collect();
        roc_auc(&scores, &labels).into()
    };
    let leak = |label: &str, identity: Figure, before: Option<Figure>| Leakage {
        label: label.into(),
        classes: vec!["no".into(), "yes".into()],
        labelled: 200,
        identity,
        before_separation: before,
    };
    let (a, b, c) = (auc(0.3), auc(2.0), auc(1.5));
    vec![leak("spectacles", a, Some(b)), leak("gender", c, None)]
}

fn evaluation(noise: f64) -> Evaluation {
    let method = |method: &str, noise: f64, is_model: bool| MethodResult {
        method: method.into(),
        identity: identity(noise, is_model),
        tasks: if is_model {
            BTreeMap::from([
                ("spectacles".to_string(), task(&["without", "with"], 2.0, 2)),
                (
                    "pose".to_string(),
                    task(&["frontal", "turned left", "turned right", "up", "down"], 2.5, 5),
                ),
                ("facial_hair".to_string(), task(&["none", "beard"], 1.0, 1)),
            ])
        } else {
            BTreeMap::new()
        },
        leakage: if is_model { leakage() } else { Vec::new() },
    };
    Evaluation {
        format: EVALUATION_FORMAT,
        split: "gallery".into(),
        split_hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        model: "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".into(),
        epoch: 40,
        enrolment: Enrolment::First,
        merge: Merge::Best,
        enrolled: PEOPLE,
        templates_per_person: 1,
        rounds: 1,
        probes: PEOPLE * (SESSIONS - 1),
        bootstrap: Bootstrap { replicates: REPLICATES, seed: 1 },
        results: vec![
            method("model (albedo + normals)", noise, true),
            method("pixels (albedo)", 1.5 * noise, false),
            method("pixels (normals)", 2.0 * noise, false),
            method("pixels (raw)", 3.0 * noise, false),
        ],
        legacy: None,
        failure_to_acquire: None,
        pairs: Some(PairsResult {
            list_hash: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".into(),
            pairs: 600,
            folds: 10,
            accuracy: 0.9166,
            standard_error: 0.0112,
            people_in_several_folds: Some(3),
        }),
        warnings: vec!["3 people have one session only and are nobody's probe".into()],
    }
}

/// Written where `LUMIFACE_REPORT` says, to be looked at.
fn keep_for_eyes(write: impl Fn(&Path) -> Result<PathBuf, IoError>, name: &str) {
    if let Some(folder) = std::env::var_os("LUMIFACE_REPORT") {
        write(&Path::new(&folder).join(name)).unwrap();
    }
}

/// The smallest PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n not a real one";

fn report<'a>(evaluation: &'a Evaluation, study: &'a PublishedStudy) -> EvaluationReport<'a> {
    EvaluationReport {
        title: "Evaluation of runs/albedo_normals",
        evaluation,
        match_sheet: Some(PNG),
        saliency: None,
        published: Some(study),
    }
}

/// The page as a tree: it is well-formed XML too.
fn parsed(html: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(html, options).unwrap()
}

fn assert_self_contained(html: &str) {
    let page = parsed(html);
    for node in page.descendants().filter(|node| node.is_element()) {
        let name = node.tag_name().name();
        assert!(
            !["script", "link", "iframe", "object", "a", "use", "image"].contains(&name),
            "{name}"
        );
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            assert!(!key.starts_with("on") && key != "href" && key != "srcset", "{key}");
            assert!(key != "src" || value.starts_with("data:image/png;base64,"), "{value}");
            assert!(key != "style" && !value.contains("url("), "{key}={value}");
        }
    }
    let text: String = page
        .descendants()
        .filter(|node| node.attribute("src").is_none())
        .flat_map(|node| {
            let attributes = node.attributes().map(|a| a.value()).collect::<Vec<_>>();
            node.text().into_iter().chain(attributes)
        })
        .collect();
    for foreign in ["http:", "https:", "//", "@import", "url("] {
        assert!(!text.contains(foreign), "{foreign}");
    }
}

#[test]
fn the_page_needs_nothing_else_and_is_for_everyone() {
    let (evaluation, study) = (evaluation(0.55), PublishedStudy::original());
    let report = report(&evaluation, &study);
    keep_for_eyes(|folder| report.write(folder), "one");
    let html = report.html();
    assert_self_contained(&html);
    let page = parsed(&html);
    let elements = |name: &'static str| page.descendants().filter(move |n| n.has_tag_name(name));
    for table in elements("table") {
        assert!(table.children().any(|n| n.has_tag_name("caption")));
        let row_cells = |row: roxmltree::Node<'_, '_>| -> usize {
            let span = |n: roxmltree::Node<'_, '_>| {
                n.attribute("colspan").map_or(1, |s| s.parse().unwrap())
            };
            row.children().filter(|n| n.is_element()).map(span).sum()
        };
        let widths: Vec<usize> =
            table.descendants().filter(|n| n.has_tag_name("tr")).map(row_cells).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
    }
    assert!(elements("th").all(|n| n.attribute("scope").is_some()));
    assert!(elements("img").all(|n| n.attribute("alt").is_some_and(|alt| alt.len() > 20)));
    let plots: Vec<_> = elements("svg").filter(|n| n.attribute("class") == Some("plot")).collect();
    // ROC, DET, CMC, four of scores, the main figures, reject, three confusions.
    assert_eq!(plots.len(), 12);
    assert!(plots.iter().all(|n| n.attribute("role") == Some("img")));
    assert!(plots.iter().all(|n| n.attribute("aria-label").is_some_and(|l| l.len() > 40)));
    assert!(html.contains("not measured here") && html.contains("99.59 %"));
    assert!(html.contains(&evaluation.split_hash));
    assert!(html.contains("<data value=\"0.9166\">0.917</data> ± 0.011"));
}

#[test]
fn names_from_outside_are_text() {
    let mut evaluation = evaluation(0.55);
    let evil = "<script>alert('x')</script>\"&]]>";
    evaluation.results[0].method = evil.into();
    evaluation.warnings = vec![evil.into()];
    evaluation.split = evil.into();
    evaluation.split_hash = evil.into();
    evaluation.pairs.as_mut().unwrap().list_hash = evil.into();
    let model = &mut evaluation.results[0];
    model.identity.verification.auc = Figure { reason: Some(evil.into()), ..Figure::default() };
    model.identity.by_difference[0].label = evil.into();
    model.leakage[0].label = evil.into();
    let mut task = model.tasks.remove("spectacles").unwrap();
    task.classes = vec![evil.into(), "with".into()];
    model.tasks.insert(evil.into(), task);
    let study = PublishedStudy::original();
    let one = EvaluationReport { title: evil, ..report(&evaluation, &study) };
    let runs = [(evil.to_string(), evaluation.clone()), ("b".into(), evaluation.clone())];
    let differences = [PairedDifference {
        run: evil.into(),
        figure: evil.into(),
        difference: Difference { value: -0.02, interval: Some([-0.03, 0.01]), p: Some(0.2) },
    }];
    let several = ComparisonReport { title: evil, runs: &runs, differences: &differences };
    for html in [one.html(), several.html()] {
        assert!(!html.contains("<script"));
        assert_self_contained(&html);
    }
    let folder = tempfile::tempdir().unwrap();
    several.write(&folder.path().join("report")).unwrap();
    let files = std::fs::read_dir(folder.path().join("report")).unwrap();
    assert!(files.count() > 10);
}

#[test]
fn figures_of_the_page_are_those_of_the_json() {
    let (evaluation, study) = (evaluation(0.55), PublishedStudy::original());
    let html = report(&evaluation, &study).html();
    let json = serde_json::to_value(&evaluation).unwrap();
    let page = parsed(&html);
    let table = |caption: &str| {
        page.descendants()
            .find(|n| n.has_tag_name("caption") && n.text().is_some_and(|t| t.starts_with(caption)))
            .and_then(|n| n.parent())
            .unwrap()
    };
    let row = |table: roxmltree::Node<'_, '_>, name: &str, skip: usize| -> Vec<(f64, String)> {
        let is = |n: &roxmltree::Node<'_, '_>| {
            n.has_tag_name("tr") && n.descendants().any(|m| m.is_text() && m.text() == Some(name))
        };
        let row = table.descendants().filter(is).nth(skip).unwrap();
        let cells = row.children().filter(|n| n.has_tag_name("td"));
        cells
            .filter_map(|cell| {
                let data = cell.children().find(|n| n.has_tag_name("data"))?;
                let text = cell.descendants().filter_map(|n| n.text().filter(|_| n.is_text()));
                Some((data.attribute("value")?.parse().unwrap(), text.collect()))
            })
            .collect()
    };
    let main = table("Main figures");
    let paths = [
        ("AUC", "verification", "auc"),
        ("AUC by person", "verification", "auc_by_person"),
        ("AUC, Euclidean", "verification", "auc_euclidean"),
        ("EER", "verification", "eer"),
        ("min DCF", "verification", "min_dcf"),
        ("Rank-1", "identification", "rank_1"),
        ("Rank-5", "identification", "rank_5"),
        ("Rank-10", "identification", "rank_10"),
        ("mAP", "identification", "mean_average_precision"),
    ];
    for (name, part, field) in paths {
        let shown = row(main, name, 0);
        assert_eq!(shown.len(), 4, "{name}");
        for (i, (value, text)) in shown.into_iter().enumerate() {
            let want = &json["results"][i]["identity"][part][field];
            assert_eq!(Some(value), want["value"].as_f64(), "{name}");
            let bound = |at: usize| want["interval"][at].as_f64().unwrap();
            let want = format!("{value:.3} ({:.3}–{:.3})", bound(0), bound(1));
            assert_eq!(text, want, "{name}");
        }
    }
    let rates = table("True accept rate");
    for (method, result) in evaluation.results.iter().enumerate() {
        let points = &result.identity.verification.tar_at_far;
        assert!(points[0].tar.value.is_some() && points[5].tar.value.is_none());
        for point in points.iter().filter(|point| point.tar.value.is_some()) {
            let shown = row(rates, &point.far.to_string(), method);
            assert_eq!(shown.first().map(|(value, _)| *value), point.tar.value);
        }
        assert_eq!(row(rates, "≤\u{a0}0.0001", method), []);
    }
    assert!(html.contains("<abbr title=\"too few impostor pairs"));
    assert!(html.contains("</sup> too few impostor pairs for so low a false accept rate."));
}

#[test]
fn tables_hold_every_figure_in_full() {
    let (evaluation, study) = (evaluation(0.55), PublishedStudy::original());
    let folder = tempfile::tempdir().unwrap();
    let page = report(&evaluation, &study).write(&folder.path().join("report")).unwrap();
    let read = |name: &str| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_path(page.with_file_name(name)).unwrap();
        reader.records().map(|r| r.unwrap().iter().map(String::from).collect()).collect()
    };
    // Every object with a value or a reason in the JSON is a figure of the table, and the other way
    // round: none is forgotten.
    fn figures(json: &serde_json::Value, found: &mut Vec<(String, String, String)>) {
        let text = |v: &serde_json::Value| v.as_f64().map(|n| n.to_string()).unwrap_or_default();
        match json {
            serde_json::Value::Object(map) if map.contains_key("value") => found.push((
                text(&json["value"]),
                text(&json["interval"][0]),
                json["reason"].as_str().unwrap_or_default().to_string(),
            )),
            serde_json::Value::Object(map) => map.values().for_each(|v| figures(v, found)),
            serde_json::Value::Array(list) => list.iter().for_each(|v| figures(v, found)),
            _ => {}
        }
    }
    let mut want = Vec::new();
    figures(&serde_json::to_value(&evaluation).unwrap(), &mut want);
    const NUMBERS: [&str; 8] = [
        "genuine_pairs",
        "impostor_pairs",
        "achieved_far",
        "false_accepts",
        "threshold",
        "searches",
        "achieved_fpir",
        "labelled",
    ];
    let rows = read("figures.csv");
    let mut found: Vec<(String, String, String)> = rows
        .iter()
        .filter(|row| row[1] != "pairs" && !NUMBERS.contains(&row[2].as_str()))
        .map(|row| (row[4].clone(), row[5].clone(), row[7].clone()))
        .collect();
    want.sort();
    found.sort();
    assert_eq!(found, want);
    let of_pairs: Vec<&[String]> =
        rows.iter().filter(|row| row[1] == "pairs").map(|row| &row[..5]).collect();
    let model = &evaluation.results[0].method;
    assert_eq!(of_pairs.len(), 5);
    assert_eq!(of_pairs[2], [model.as_str(), "pairs", "accuracy", "", "0.9166"]);
    let key = |row: &[String]| row[..4].to_vec();
    let keys: std::collections::BTreeSet<Vec<String>> = rows.iter().map(|row| key(row)).collect();
    assert_eq!(keys.len(), rows.len(), "a figure is found by method, section, name and place");

    let verification = &evaluation.results[1].identity.verification;
    let roc: Vec<(f64, f64)> = read("roc.csv")
        .into_iter()
        .filter(|row| row[0] == "pixels (albedo)")
        .map(|row| (row[1].parse().unwrap(), row[2].parse().unwrap()))
        .collect();
    assert_eq!(roc, verification.roc);
    let cmc: Vec<(String, f64)> = read("cmc.csv")
        .into_iter()
        .filter(|row| row[0] == "pixels (raw)")
        .map(|row| (row[1].clone(), row[2].parse().unwrap()))
        .collect();
    let identification = &evaluation.results[3].identity.identification;
    assert_eq!(cmc.iter().map(|(_, share)| *share).collect::<Vec<_>>(), identification.cmc);
    assert_eq!((cmc[0].0.as_str(), cmc[9].0.as_str()), ("1", "10"));
}

#[test]
fn plots_are_files_of_their_own() {
    let (evaluation, study) = (evaluation(0.55), PublishedStudy::original());
    let folder = tempfile::tempdir().unwrap();
    let page = report(&evaluation, &study).write(&folder.path().join("report")).unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(page.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "svg") {
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
            let text = std::fs::read_to_string(&path).unwrap();
            let svg = roxmltree::Document::parse(&text).unwrap();
            assert!(svg.root_element().has_tag_name(("http://www.w3.org/2000/svg", "svg")));
            assert!(
                svg.descendants().any(|n| n.has_tag_name(("http://www.w3.org/2000/svg", "style")))
            );
            assert!(!text.contains("NaN") && !text.contains("inf\""), "{path:?}");
            assert!(text.len() < 100_000, "{path:?}: {}", text.len());
        }
    }
    names.sort();
    let want = [
        "cmc.svg",
        "confusion-1-facial_hair.svg",
        "confusion-1-pose.svg",
        "confusion-1-spectacles.svg",
        "det.svg",
        "figures.svg",
        "reject.svg",
        "roc.svg",
        "scores-1.svg",
        "scores-2.svg",
        "scores-3.svg",
        "scores-4.svg",
    ];
    assert_eq!(names, want);
}

#[test]
fn runs_stand_side_by_side() {
    let runs: Vec<(String, Evaluation)> = [("albedo", 0.7), ("albedo+normals", 0.55)]
        .map(|(name, noise)| (name.to_string(), evaluation(noise)))
        .into();
    let vectors = |noise| {
        let ids = ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let protocol = Protocol::new(&ids, Enrolment::First, 1);
        Searches::new(&protocol, &embeddings(noise, 11), Measure::Cosine, Merge::Best).unwrap()
    };
    let rank_1 = |searches: &Searches| {
        Bootstrap { replicates: REPLICATES, seed: 1 }
            .replicate(PEOPLE, |weights| {
                let weight = |p: usize| weights.map_or(1, |w| w[p]);
                let (mut right, mut all) = (0, 0);
                for search in &searches.searches {
                    all += weight(search.person);
                    right += weight(search.person) * u32::from(search.rank == 1);
                }
                vec![Ok(f64::from(right) / f64::from(all))]
            })
            .remove(0)
    };
    let (first, second) = (rank_1(&vectors(0.7)), rank_1(&vectors(0.55)));
    let difference = |figure: &str, difference| PairedDifference {
        run: "albedo+normals".into(),
        figure: figure.into(),
        difference,
    };
    let none = Difference { value: 0.0, interval: None, p: None };
    let differences =
        [difference("rank-1", second.minus(&first).unwrap()), difference("rank-10", none)];
    let mut report = ComparisonReport { title: "Two runs", runs: &runs, differences: &differences };
    keep_for_eyes(|folder| report.write(folder), "two");
    let html = report.html();
    assert_self_contained(&html);
    assert!(!html.contains("was not judged on the same split"));
    let want = differences[0].difference;
    let shown = format!("<data value=\"{}\">+{:.3}</data>", want.value, want.value);
    assert!(want.value > 0.0 && html.contains(&shown), "{shown}");

    let mut other = runs.clone();
    other[1].1.split_hash = "0".repeat(64);
    other[1].1.results.clear();
    report.runs = &other;
    assert!(report.html().contains("albedo+normals was not judged on the same split"));
    report.runs = &[];
    assert_self_contained(&report.html());
}

#[test]
fn an_evaluation_of_nobody_still_has_a_page() {
    let mut empty = evaluation(0.55);
    empty.results.truncate(1);
    let identity = &mut empty.results[0].identity;
    identity.verification.roc.clear();
    identity.verification.impostor_pairs = 0;
    identity.verification.tar_at_far.clear();
    identity.verification.histogram = Default::default();
    identity.verification.auc =
        Figure { reason: Some("no impostor pair".into()), ..Figure::default() };
    identity.identification.cmc.clear();
    identity.quality = None;
    let study = PublishedStudy::original();
    assert_self_contained(&report(&empty, &study).html());
    empty.results.clear();
    assert_self_contained(&report(&empty, &study).html());
}
