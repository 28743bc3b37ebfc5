use super::*;
use crate::eval::{Identification, IdentityResult, MethodResult, Roc, ScoreHistogram, TarAtFar};
use statrs::distribution::{ContinuousCDF, Normal};

/// Genuine scores 5 to 14, impostor scores 0 to 9, in 1000 steps each; half of them tie.
fn verification() -> Verification {
    let scores: Vec<f64> =
        (0..2000).map(|i| (i % 1000) as f64 / 100.0 + if i < 1000 { 5.0 } else { 0.0 }).collect();
    let genuine: Vec<bool> = (0..2000).map(|i| i < 1000).collect();
    let roc = Roc::new(&scores, &genuine).unwrap();
    let point = roc.at_far(0.1).unwrap();
    let bins = |genuine: bool| -> Vec<u64> {
        let count = |bin: usize| {
            let inside = |i: &usize| (scores[*i] as usize) == bin && (*i < 1000) == genuine;
            (0..2000).filter(inside).count() as u64
        };
        (0..15).map(count).collect()
    };
    Verification {
        genuine_pairs: 1000,
        impostor_pairs: 1000,
        auc: Ok(roc.auc()).into(),
        auc_by_person: Figure::default(),
        auc_euclidean: Figure::default(),
        eer: Ok(roc.eer()).into(),
        min_dcf: Figure::default(),
        tar_at_far: vec![TarAtFar {
            far: 0.1,
            tar: Figure { value: Some(point.tar), interval: Some([0.4, 0.8]), reason: None },
            achieved_far: Some(point.far),
            false_accepts: Some(point.false_accepts),
            threshold: point.threshold,
        }],
        roc: roc.curve(300),
        histogram: ScoreHistogram {
            low: 0.0,
            high: 15.0,
            genuine: bins(true),
            impostor: bins(false),
        },
    }
}

fn method() -> MethodResult {
    let none = Figure::default;
    MethodResult {
        method: "model".into(),
        identity: IdentityResult {
            verification: verification(),
            identification: Identification {
                searches: 4,
                rank_1: Figure { value: Some(0.5), interval: Some([0.3, 0.7]), reason: None },
                rank_5: none(),
                rank_10: none(),
                mean_average_precision: none(),
                cmc: vec![0.5, 0.75, 1.0],
                fnir_at_fpir: Vec::new(),
            },
            quality: None,
            by_difference: Vec::new(),
        },
        tasks: Default::default(),
        leakage: Vec::new(),
    }
}

/// Corners of the first path of a class, on the paper.
fn corners(plot: &Plot, class: &str) -> Vec<(f64, f64)> {
    let svg = plot.file();
    let svg = roxmltree::Document::parse(&svg).unwrap();
    let path = svg
        .descendants()
        .find(|n| n.attribute("class") == Some(class))
        .and_then(|n| n.attribute("d"))
        .unwrap();
    let mut corners = Vec::new();
    let (mut x, mut y) = (0.0, 0.0);
    let spaced: String = path
        .chars()
        .flat_map(|c| if c.is_alphabetic() { vec![' ', c, ' '] } else { vec![c] })
        .collect();
    let mut words = spaced.split_whitespace();
    while let Some(command) = words.next() {
        let mut next = || words.next().unwrap().parse::<f64>().unwrap();
        match command {
            "M" | "L" => (x, y) = (next(), next()),
            "H" => x = next(),
            "V" => y = next(),
            other => panic!("{other}"),
        }
        corners.push((x, y));
    }
    corners
}

// The paper inside the axes, as written into the plots.
const PAPER: (f64, f64, f64, f64) = (62.0, 32.0, 404.0, 300.0);

fn on_axes((x, y): (f64, f64)) -> (f64, f64) {
    ((x - PAPER.0) / PAPER.2, 1.0 - (y - PAPER.1) / PAPER.3)
}

#[test]
fn the_roc_goes_through_its_points() {
    let result = method();
    let plot = roc_plot(&[Entry { name: "model", result: &result, pairs: None }]);
    let found: Vec<(f64, f64)> = corners(&plot, "line c0 d0")
        .into_iter()
        .map(on_axes)
        .map(|(x, y)| (10f64.powf(4.0 * x - 4.0), y))
        .collect();
    // A hundredth of a unit, in shares of the axes.
    let (x_error, y_error) = (0.006 / PAPER.2 * 4.0 * 10f64.ln(), 0.006 / PAPER.3);
    let near = |(x, y): (f64, f64), far: f64, tar: f64| {
        (x / far).ln().abs() < x_error && (y - tar).abs() < y_error
    };
    assert!(near(found[0], 1e-3, 0.501), "one false accept in 1000: {:?}", found[0]);
    let drawn = result.identity.verification.roc.iter().filter(|(far, _)| *far > 1e-3);
    assert!(drawn.clone().count() > 100);
    for &(far, tar) in drawn {
        assert!(found.iter().any(|&point| near(point, far, tar)), "({far}, {tar}) is missing");
    }
    // And no corner is off the data: each has the FAR and the TAR of points of the curve.
    let curve = &result.identity.verification.roc;
    for &(x, y) in &found {
        assert!(x < 1.001e-3 || curve.iter().any(|(far, _)| (x / far).ln().abs() < x_error));
        assert!(curve.iter().any(|(_, tar)| (y - tar).abs() < y_error), "{y}");
    }
    // The interval of TAR at FAR 0.1, a quarter from the right.
    let bar: Vec<(f64, f64)> = corners(&plot, "bar c0").into_iter().map(on_axes).collect();
    let heights: Vec<f64> = bar.iter().map(|(_, y)| (y * 1000.0).round() / 1000.0).collect();
    assert_eq!((heights[0], heights[heights.len() - 1]), (0.8, 0.4));
    assert!((bar[2].0 - 0.75).abs() < 1e-4);
}

#[test]
fn the_det_crosses_the_diagonal_at_the_eer() {
    let result = method();
    let plot = det_plot(&[Entry { name: "model", result: &result, pairs: None }]);
    let normal = Normal::standard();
    let (low, high) = (normal.inverse_cdf(1e-4), normal.inverse_cdf(0.9));
    let rate = |place: f64| normal.cdf(low + place * (high - low));
    let found: Vec<(f64, f64)> = corners(&plot, "line c0 d0")
        .into_iter()
        .map(on_axes)
        .map(|(x, y)| (rate(x), rate(y)))
        .collect();
    let eer = result.identity.verification.eer.value.unwrap();
    let crossing = found.windows(2).find(|w| w[0].0 < w[0].1 && w[1].0 >= w[1].1).unwrap();
    let (least, most) = (crossing[0].0.min(crossing[1].1), crossing[1].0.max(crossing[0].1));
    assert!((least - 2e-3..=most + 2e-3).contains(&eer), "{eer} in {crossing:?}");
}

#[test]
fn scores_have_the_heights_of_their_bins() {
    let result = method();
    let plot = score_plot(&Entry { name: "model", result: &result, pairs: None }).unwrap();
    let histogram = &result.identity.verification.histogram;
    assert_eq!(histogram.genuine[4..6], [0, 100]);
    let found: Vec<(f64, f64)> = corners(&plot, "line c0 d0").into_iter().map(on_axes).collect();
    // Up at 5 of 15 to a tenth of the pairs, where 0.108 is the top of the axis.
    let up = found.windows(2).find(|w| w[1].1 > w[0].1).unwrap();
    assert!((up[1].0 - 5.0 / 15.0).abs() < 1e-4 && (up[1].1 - 0.1 / 0.108).abs() < 1e-4, "{up:?}");
    assert!((found.last().unwrap().0 - 1.0).abs() < 1e-4);
    let mut empty = result.clone();
    empty.identity.verification.histogram.impostor.pop();
    assert_eq!(score_plot(&Entry { name: "model", result: &empty, pairs: None }), None);
}

#[test]
fn a_confusion_matrix_counts_by_rows() {
    let matrix = ConfusionMatrix { counts: vec![vec![9, 1], vec![0, 0]] };
    let classes = ["no".to_string(), "yes".to_string()];
    let plot = confusion_plot("spectacles", &classes, &matrix).unwrap();
    assert!(plot.description.ends_with("no: 9 as no, 1 as yes; yes: 0 as no, 0 as yes"));
    for text in [">9</text>", ">90 %</text>", ">10 %</text>", ">–</text>"] {
        assert!(plot.body.contains(text), "{text}");
    }
    assert_eq!(confusion_plot("", &classes[..1], &matrix), None);
}

#[test]
fn a_forest_leaves_out_what_has_no_value() {
    let figure = Figure { value: Some(0.2), interval: Some([0.1, 0.4]), reason: None };
    let panel = |rows: Vec<(&str, Figure)>, title: &str| ForestPanel {
        title: title.into(),
        rows: rows.into_iter().map(|(name, figure)| (name.to_string(), figure)).collect(),
        around_zero: false,
    };
    let panels = [
        panel(vec![("a", Figure::default())], "nothing"),
        panel(vec![("a", figure), ("b", Figure::default())], "something"),
    ];
    let plot = forest_plot("Figures", &panels).unwrap();
    assert!(!plot.body.contains("nothing") && plot.body.contains("0.200 (0.100–0.400)"));
    assert_eq!(plot.body.matches("<circle").count(), 1);
    // From 0.1 to 0.4 and a margin of 0.018 each on 452 units.
    let scale = 452.0 / 0.336;
    let line = corners(&plot, "line c0");
    assert!((line[0].0 - (14.0 + (0.1 - 0.082) * scale)).abs() < 0.01, "{line:?}");
    assert!((line[1].0 - (14.0 + (0.4 - 0.082) * scale)).abs() < 0.01, "{line:?}");
    assert_eq!(forest_plot("Figures", &panels[..1]), None);
}
