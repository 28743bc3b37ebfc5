//! Figures beside scikit-learn's, to 1e-9, on random, tied, perfect, inverted and one-class data.

mod support;

use lumiface::eval::{
    Bootstrap, ConfusionMatrix, DetectionCosts, Roc, average_precision, calibration_error,
    leakage_figure, macro_auc, macro_average_precision,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use std::process::Command;

struct Binary {
    name: &'static str,
    scores: Vec<f64>,
    positive: Vec<bool>,
}

fn binary_cases(random: &mut Pcg64) -> Vec<Binary> {
    let mut positive = |n: usize| -> Vec<bool> {
        let mut drawn: Vec<bool> = (0..n).map(|_| random.random_bool(0.3)).collect();
        (drawn[0], drawn[1]) = (true, false);
        drawn
    };
    let labels = [positive(200), positive(50), positive(80), positive(80), positive(80)];
    let mut score = |positive: &[bool], shift: f64, levels: f64| -> Vec<f64> {
        let mut of = |&p: &bool| {
            let raw: f64 = random.random_range(0.0..1.0) + if p { shift } else { 0.0 };
            (raw * levels).round() / levels
        };
        positive.iter().map(&mut of).collect()
    };
    let [a, b, c, d, e] = labels;
    vec![
        Binary { name: "random", scores: score(&a, 0.3, 1e9), positive: a },
        Binary { name: "tied", scores: score(&b, 0.2, 5.0), positive: b },
        Binary { name: "all tied", scores: vec![0.5; 80], positive: c },
        Binary { name: "perfect", scores: score(&d, 2.0, 1e9), positive: d },
        Binary { name: "inverted", scores: score(&e, -2.0, 1e9), positive: e },
        Binary { name: "one class", scores: vec![0.1, 0.2], positive: vec![true, true] },
    ]
}

type Classes = (Vec<Vec<f64>>, Vec<usize>);

fn class_cases(random: &mut Pcg64) -> Vec<Classes> {
    [(2, 1e9), (2, 4.0), (3, 1e9), (5, 6.0)]
        .map(|(count, levels)| {
            let labels: Vec<usize> = (0..150).map(|i| i % count).collect();
            let row = |&label: &usize| -> Vec<f64> {
                let raw: Vec<f64> = (0..count)
                    .map(|class| {
                        let own = if class == label { 0.4 } else { 0.0 };
                        ((random.random_range(0.0..1.0f64) + own) * levels).round() / levels + 0.01
                    })
                    .collect();
                let sum: f64 = raw.iter().sum();
                raw.iter().map(|v| v / sum).collect()
            };
            (labels.iter().map(row).collect(), labels)
        })
        .to_vec()
}

fn close(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap_or_else(|| panic!("{what}: {theirs}"));
    assert!((ours - theirs).abs() <= 1e-9, "{what}: {ours}, scikit-learn {theirs}");
}

#[test]
fn figures_are_scikit_learns() {
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import sklearn"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        let fix = "pip install scikit-learn and set LUMIFACE_PYTHON";
        return support::skip(&format!("{python} has no scikit-learn; {fix}"));
    }
    let mut random = Pcg64::seed_from_u64(11);
    let binary = binary_cases(&mut random);
    let classes = class_cases(&mut random);
    // Thirty people of three captures, three classes by person; more and fewer dimensions than captures.
    let leakage: Vec<(Vec<Vec<f32>>, Vec<usize>)> = [4, 100]
        .map(|width| {
            let labels: Vec<usize> = (0..90).map(|i| i / 3 % 7 % 3).collect();
            let mut value = |label: usize| random.random_range(-1.0..1.0f32) + 0.3 * label as f32;
            let vectors = labels.iter().map(|&l| (0..width).map(|_| value(l)).collect()).collect();
            (vectors, labels)
        })
        .to_vec();
    let person: Vec<usize> = (0..90).map(|i| i / 3).collect();

    let file = tempfile::NamedTempFile::new().unwrap();
    let cases = json!({
        "binary": binary.iter().map(|c| json!({"scores": c.scores, "positive": c.positive})).collect::<Vec<_>>(),
        "classes": classes.iter().map(|(p, l)| json!({"probabilities": p, "labels": l})).collect::<Vec<_>>(),
        "leakage": leakage.iter().map(|(v, l)| json!({"vectors": v, "labels": l, "person": person})).collect::<Vec<_>>(),
    });
    std::fs::write(file.path(), cases.to_string()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/metrics.py");
    let output = Command::new(&python).arg(script).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();

    for (case, theirs) in binary.iter().zip(theirs["binary"].as_array().unwrap()) {
        let roc = Roc::new(&case.scores, &case.positive);
        if theirs.is_null() {
            assert!(roc.is_err(), "{}", case.name);
            continue;
        }
        let roc = roc.unwrap();
        let name = case.name;
        close(&format!("{name} auc"), roc.auc(), &theirs["auc"]);
        close(&format!("{name} eer"), roc.eer(), &theirs["eer"]);
        let precision = average_precision(&case.scores, &case.positive).unwrap();
        close(&format!("{name} average precision"), precision, &theirs["average_precision"]);
        for (at, far) in [0.5, 0.1, 0.05].into_iter().enumerate() {
            let point = roc.at_far(far).unwrap();
            close(&format!("{name} TAR at {far}"), point.tar, &theirs["tar"][at]);
        }
        let cost = roc.min_dcf(DetectionCosts::default());
        close(&format!("{name} detection cost"), cost, &theirs["min_dcf"]);
    }
    for ((p, labels), theirs) in classes.iter().zip(theirs["classes"].as_array().unwrap()) {
        let matrix = ConfusionMatrix::new(p, labels).unwrap();
        assert_eq!(json!(matrix.counts), theirs["confusion"]);
        close("accuracy", matrix.accuracy(), &theirs["accuracy"]);
        close("balanced", matrix.balanced_accuracy().unwrap(), &theirs["balanced_accuracy"]);
        close("f1", matrix.f1().unwrap(), &theirs["f1"]);
        close("macro auc", macro_auc(p, labels).unwrap(), &theirs["auc"]);
        let precision = macro_average_precision(p, labels).unwrap();
        close("macro precision", precision, &theirs["average_precision"]);
        close("calibration", calibration_error(p, labels).unwrap(), &theirs["calibration_error"]);
    }
    for ((vectors, labels), theirs) in leakage.iter().zip(theirs["leakage"].as_array().unwrap()) {
        let labels: Vec<Option<usize>> = labels.iter().map(|&l| Some(l)).collect();
        let none = Bootstrap { replicates: 0, seed: 1 };
        let figure = leakage_figure(vectors, &labels, &person, 3, 30, &none);
        close("leakage", figure.value.unwrap(), theirs);
    }
}
