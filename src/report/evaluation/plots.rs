//! The plots of an evaluation.

use super::super::markup::escaped;
use super::PairedDifference;
use super::chart::{
    Axis, Chart, Plot, Scale, TOP, WIDTH, colour_class, even_ticks, fill_class, fitted, pixel,
    text_width, tick_label,
};
use super::figures::Entry;
use super::numbers::{count, fixed, with_interval};
use crate::eval::{ConfusionMatrix, Figure, TaskResult, Verification};
use std::fmt::Write;

/// Where the false accept rate's axis begins.
const LEAST_FAR: f64 = 1e-4;
const FAR_TICKS: [f64; 5] = [1e-4, 1e-3, 1e-2, 0.1, 1.0];
const LEAST_ERROR: f64 = 1e-4;
const MOST_ERROR: f64 = 0.9;
const ERROR_TICKS: [f64; 8] = [1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8];
/// Ranks of the cumulative match characteristic.
const MOST_RANKS: usize = 20;
/// Cover of a cell that holds all of its row: letters stay readable on it by day and by night.
const DARKEST: f64 = 0.65;
/// Between the intervals of two series at one place.
const ASIDE: f64 = 5.0;

/// How far aside series `i` of `n` goes.
fn aside(i: usize, n: usize) -> f64 {
    (i as f64 - (n as f64 - 1.0) / 2.0) * ASIDE
}

/// The most that is accepted at each false accept rate, as `of` shows it: from one impostor pair on,
/// for below it nothing can be said.
fn best_at_far(
    verification: &Verification,
    least: f64,
    of: impl Fn(f64) -> f64,
) -> Vec<(f64, f64)> {
    if verification.impostor_pairs == 0 {
        return Vec::new();
    }
    let start = least.max(1.0 / verification.impostor_pairs as f64);
    let (before, after): (Vec<_>, Vec<_>) =
        verification.roc.iter().copied().partition(|(far, _)| *far <= start * (1.0 + 1e-9));
    let best = before.iter().map(|(_, tar)| *tar).fold(0.0, f64::max);
    let after = after.into_iter().map(|(far, tar)| (far, of(tar)));
    std::iter::once((start, of(best))).chain(after).collect()
}

/// "name: 0.952 (0.931–0.969)" of each, for who does not see the plot.
fn told<'a>(figures: impl Iterator<Item = (&'a str, &'a Figure)>) -> String {
    let parts: Vec<String> =
        figures.map(|(name, figure)| format!("{name}: {}", with_interval(figure))).collect();
    parts.join("; ")
}

/// True accept rate over the logarithm of the false accept rate.
pub(super) fn roc_plot(entries: &[Entry<'_>]) -> Plot {
    let x = Axis::new(
        "False accept rate (share of impostor pairs)",
        Scale::Logarithmic,
        LEAST_FAR,
        1.0,
        &FAR_TICKS,
    );
    let y = Axis::linear("True accept rate (share of genuine pairs)", 0.0, 1.0);
    let mut chart = Chart::new("ROC", x, y);
    for (i, Entry { name, result, .. }) in entries.iter().enumerate() {
        let verification = &result.identity.verification;
        chart.steps(i, &best_at_far(verification, LEAST_FAR, |tar| tar));
        for point in &verification.tar_at_far {
            // A bar that is half cut off at the axis would mislead.
            let whole = point.far > LEAST_FAR && point.far < 1.0;
            if let Some(bounds) = point.tar.interval.filter(|_| whole) {
                chart.interval(i, point.far, aside(i, entries.len()), bounds);
            }
        }
        chart.name(i, name);
    }
    let aucs = entries.iter().map(|e| (e.name, &e.result.identity.verification.auc));
    chart.finish(format!(
        "True accept rate over false accept rate, upright bars are 95 % intervals. Area under the \
         curve, {}",
        told(aucs)
    ))
}

/// Both error rates by their normal deviates.
pub(super) fn det_plot(entries: &[Entry<'_>]) -> Plot {
    let axis = |title| Axis::new(title, Scale::Deviate, LEAST_ERROR, MOST_ERROR, &ERROR_TICKS);
    let mut chart = Chart::new(
        "DET",
        axis("False accept rate (share of impostor pairs)"),
        axis("False reject rate (share of genuine pairs)"),
    );
    chart.rule((LEAST_ERROR, LEAST_ERROR), (MOST_ERROR, MOST_ERROR));
    chart.label_before((0.55, 0.65), "equal errors");
    for (i, Entry { name, result, .. }) in entries.iter().enumerate() {
        chart.steps(i, &best_at_far(&result.identity.verification, LEAST_ERROR, |tar| 1.0 - tar));
        chart.name(i, name);
    }
    let eers = entries.iter().map(|e| (e.name, &e.result.identity.verification.eer));
    chart.finish(format!(
        "False reject rate over false accept rate, both by normal deviates. Equal error rate, {}",
        told(eers)
    ))
}

/// Share of searches found within so many ranks.
pub(super) fn cmc_plot(entries: &[Entry<'_>]) -> Plot {
    let curves = || entries.iter().map(|e| &e.result.identity.identification.cmc);
    let ranks = curves().map(Vec::len).max().unwrap_or(0).clamp(2, MOST_RANKS);
    let ticks: Vec<f64> =
        [1, 5, 10, 15, 20].into_iter().filter(|r| *r <= ranks).map(|r| r as f64).collect();
    let x = Axis::new("Rank", Scale::Linear, 0.5, ranks as f64 + 0.5, &ticks);
    let least = entries
        .iter()
        .map(|e| &e.result.identity.identification)
        .flat_map(|i| i.cmc.first().copied().into_iter().chain(i.rank_1.interval.map(|b| b[0])))
        .fold(1.0, f64::min);
    let low = ((least - 0.05) * 10.0).floor().clamp(0.0, 9.0) / 10.0;
    let y = Axis::linear("Share of searches found within the rank", low, 1.0);
    let mut chart = Chart::new("CMC", x, y);
    for (i, Entry { name, result, .. }) in entries.iter().enumerate() {
        let identification = &result.identity.identification;
        let points: Vec<(f64, f64)> = identification
            .cmc
            .iter()
            .take(ranks)
            .enumerate()
            .map(|(rank, share)| (rank as f64 + 1.0, *share))
            .collect();
        chart.line(i, &points);
        points.iter().for_each(|&(rank, share)| chart.dot(i, rank, share));
        let figures = [
            (1, &identification.rank_1),
            (5, &identification.rank_5),
            (10, &identification.rank_10),
        ];
        for (rank, figure) in figures.into_iter().filter(|(rank, _)| *rank <= ranks) {
            if let Some(bounds) = figure.interval {
                chart.interval(i, rank as f64, aside(i, entries.len()), bounds);
            }
        }
        chart.name(i, name);
    }
    let firsts = entries.iter().map(|e| (e.name, &e.result.identity.identification.rank_1));
    chart.finish(format!(
        "Share of searches whose person is found within a rank, upright bars are 95 % intervals. \
         Rank 1, {}",
        told(firsts)
    ))
}

/// Genuine and impostor pairs by score, each as shares of their own number.
pub(super) fn score_plot(entry: &Entry<'_>) -> Option<Plot> {
    let verification = &entry.result.identity.verification;
    let histogram = &verification.histogram;
    let bins = histogram.genuine.len();
    let usable = bins > 0 && histogram.impostor.len() == bins && histogram.high > histogram.low;
    let shares = |counts: &[u64]| -> Option<Vec<f64>> {
        let total: u64 = counts.iter().sum();
        let shares = counts.iter().map(|n| *n as f64 / total as f64).collect();
        (total > 0).then_some(shares)
    };
    let kinds = [
        (0, "genuine", &histogram.genuine, verification.genuine_pairs),
        (1, "impostor", &histogram.impostor, verification.impostor_pairs),
    ];
    let shown: Vec<_> = kinds
        .into_iter()
        .filter_map(|(series, name, counts, pairs)| Some((series, name, shares(counts)?, pairs)))
        .collect();
    if !usable || shown.is_empty() {
        return None;
    }
    let most = shown.iter().flat_map(|(_, _, shares, _)| shares).copied().fold(0.0, f64::max);
    let x = Axis::linear("Cosine of probe and template", histogram.low, histogram.high);
    let y = Axis::linear("Share of pairs in a bin", 0.0, 1.08 * most);
    let mut chart =
        Chart::new(&fitted(&format!("Scores, {}", entry.name), 14.0, WIDTH - 20.0), x, y);
    let width = (histogram.high - histogram.low) / bins as f64;
    for (series, name, shares, pairs) in shown {
        let edge = |bin: usize| histogram.low + bin as f64 * width;
        // A step's height holds from its edge to the next: up at the edge, then level.
        let mut points = vec![(edge(0), 0.0)];
        points.extend(shares.iter().enumerate().map(|(bin, share)| (edge(bin), *share)));
        points.push((edge(bins), 0.0));
        chart.filled_steps(series, &points);
        chart.name(series, &format!("{name}, {} pairs", count(pairs)));
    }
    let mut lines = Vec::new();
    for point in &verification.tar_at_far {
        if let Some(threshold) = point.threshold {
            chart.upright_rule(threshold, &format!("FAR {}", point.far));
            lines.push(format!("{} for FAR {}", fixed(threshold), point.far));
        }
    }
    let thresholds = if lines.is_empty() {
        String::new()
    } else {
        format!(" Thresholds: {}.", lines.join("; "))
    };
    Some(chart.finish(format!(
        "Genuine and impostor pairs by score, each as shares of their own number.{thresholds}"
    )))
}

/// False rejects of what remains as the pairs of the shortest embeddings are left out.
pub(super) fn reject_plot(entries: &[Entry<'_>]) -> Option<Plot> {
    let with_quality: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(i, entry)| Some((i, entry.name, entry.result.identity.quality.as_ref()?)))
        .map(|(i, name, quality)| (i, name, &quality.reject_curve))
        .filter(|(_, _, curve)| !curve.is_empty())
        .collect();
    if with_quality.is_empty() {
        return None;
    }
    let values = || with_quality.iter().flat_map(|(_, _, curve)| curve.iter());
    let most = values().map(|(_, frr)| *frr).fold(0.0, f64::max);
    let last = values().map(|(share, _)| *share).fold(0.0, f64::max);
    let x = Axis::linear(
        "Share of genuine pairs left out, shortest embeddings first",
        0.0,
        last.max(0.1),
    );
    let y = Axis::linear("False reject rate of the rest", 0.0, (1.1 * most).max(0.01));
    let mut chart = Chart::new("Error versus reject", x, y);
    let mut told = Vec::new();
    for (series, name, curve) in with_quality {
        chart.line(series, curve);
        chart.name(series, name);
        if let (Some((_, first)), Some((share, last))) = (curve.first(), curve.last()) {
            told.push(format!(
                "{name}: {} at first, {} with {} left out",
                fixed(*first),
                fixed(*last),
                fixed(*share)
            ));
        }
    }
    Some(chart.finish(format!("False reject rate as pairs are left out. {}", told.join("; "))))
}

/// Samples by true and most probable class; a cell's shade is its share of its row.
pub(super) fn confusion_plot(
    title: &str,
    classes: &[String],
    matrix: &ConfusionMatrix,
) -> Option<Plot> {
    let n = matrix.counts.len();
    if n == 0 || classes.len() != n || matrix.counts.iter().any(|row| row.len() != n) {
        return None;
    }
    const GAP: f64 = 8.0;
    let widest = classes.iter().map(|c| text_width(c, 12.0)).fold(0.0, f64::max).min(120.0);
    let left = 28.0 + widest + GAP;
    let cell = ((WIDTH - left - 12.0) / n as f64).min(100.0);
    let (top, height) = (TOP + 10.0, (0.75 * cell).clamp(34.0, 56.0));
    // In the middle, with the names of the rows.
    let aside = (WIDTH - left - n as f64 * cell - 12.0) / 2.0;
    let mut body = format!("<g transform=\"translate({} 0)\">", pixel(aside));
    let mut told = Vec::new();
    for (r, row) in matrix.counts.iter().enumerate() {
        let total: u64 = row.iter().sum();
        let y = top + r as f64 * height;
        let _ = write!(
            body,
            "<text class=\"end\" x=\"{}\" y=\"{}\">{}</text>",
            pixel(left - GAP),
            pixel(y + height / 2.0 + 4.0),
            escaped(&fitted(&classes[r], 12.0, widest + 1.0))
        );
        for (c, &number) in row.iter().enumerate() {
            let share = if total == 0 { 0.0 } else { number as f64 / total as f64 };
            let x = left + c as f64 * cell;
            let percent =
                if total == 0 { "–".to_string() } else { format!("{:.0} %", 100.0 * share) };
            let _ = write!(
                body,
                "<rect class=\"f0\" fill-opacity=\"{5}\" x=\"{0}\" y=\"{1}\" width=\"{2}\" \
                 height=\"{3}\"/><rect class=\"frame\" x=\"{0}\" y=\"{1}\" width=\"{2}\" \
                 height=\"{3}\"/><text class=\"middle\" x=\"{4}\" y=\"{6}\">{7}</text>\
                 <text class=\"middle tick\" x=\"{4}\" y=\"{8}\">{percent}</text>",
                pixel(x),
                pixel(y),
                pixel(cell),
                pixel(height),
                pixel(x + cell / 2.0),
                pixel(DARKEST * share),
                pixel(y + height / 2.0 - 2.0),
                count(number),
                pixel(y + height / 2.0 + 12.0),
            );
        }
        let cells: Vec<String> =
            row.iter().zip(classes).map(|(number, class)| format!("{number} as {class}")).collect();
        told.push(format!("{}: {}", classes[r], cells.join(", ")));
    }
    let bottom = top + n as f64 * height;
    let slanted = classes.iter().any(|class| text_width(class, 12.0) > cell - 4.0);
    for (c, class) in classes.iter().enumerate() {
        let (x, y) = (left + (c as f64 + 0.5) * cell, bottom + 16.0);
        let (class, text) = if slanted {
            (
                format!(
                    "class=\"end\" transform=\"translate({} {y}) rotate(-35)\"",
                    pixel(x + 4.0)
                ),
                fitted(class, 12.0, 110.0),
            )
        } else {
            (format!("class=\"middle\" x=\"{}\" y=\"{}\"", pixel(x), pixel(y)), class.clone())
        };
        let _ = write!(body, "<text {class}>{}</text>", escaped(&text));
    }
    let foot = bottom + if slanted { 28.0 + 0.6 * widest } else { 38.0 };
    let _ = write!(
        body,
        "<text class=\"middle\" x=\"{}\" y=\"{}\">most probable class</text>\
         <text class=\"middle\" transform=\"translate(15 {}) rotate(-90)\">true class</text></g>",
        pixel(left + n as f64 * cell / 2.0),
        pixel(foot),
        pixel((top + bottom) / 2.0),
    );
    Some(Plot {
        title: fitted(title, 14.0, WIDTH - 20.0),
        description: format!("Samples by true class and most probable class. {}", told.join("; ")),
        height: foot + 12.0,
        body,
    })
}

/// One figure of several methods or runs.
pub(super) struct ForestPanel {
    pub title: String,
    pub rows: Vec<(String, Figure)>,
    /// A line at zero, for differences.
    pub around_zero: bool,
}

/// Figures with their intervals, a panel each with an axis of its own. `None` where no figure has a
/// value.
pub(super) fn forest_plot(title: &str, panels: &[ForestPanel]) -> Option<Plot> {
    const ROW: f64 = 27.0;
    const LEFT: f64 = 14.0;
    let width = WIDTH - 2.0 * LEFT;
    let mut body = String::new();
    let mut told_panels = Vec::new();
    let mut top = TOP + 8.0;
    for panel in panels {
        let values: Vec<f64> = panel
            .rows
            .iter()
            .flat_map(|(_, f)| f.value.into_iter().chain(f.interval.into_iter().flatten()))
            .filter(|value| value.is_finite())
            .chain(panel.around_zero.then_some(0.0))
            .collect();
        if panel.rows.iter().all(|(_, figure)| figure.value.is_none()) {
            continue;
        }
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
        let margin = (0.06 * (high - low)).max(0.005);
        let (low, high) = (low - margin, high + margin);
        let place = |value: f64| pixel(LEFT + width * (value - low) / (high - low));
        let bottom = top + 18.0 + ROW * panel.rows.len() as f64;
        let _ = write!(
            body,
            "<text font-weight=\"600\" x=\"{LEFT}\" y=\"{}\">{}</text>",
            pixel(top + 8.0),
            escaped(&panel.title)
        );
        for tick in even_ticks(low, high) {
            let _ = write!(
                body,
                "<path class=\"grid\" d=\"M{0} {1}V{2}\"/>\
                 <text class=\"tick quiet middle\" x=\"{0}\" y=\"{3}\">{4}</text>",
                place(tick),
                pixel(top + 14.0),
                pixel(bottom),
                pixel(bottom + 13.0),
                tick_label(tick)
            );
        }
        if panel.around_zero {
            let _ = write!(
                body,
                "<path class=\"rule\" d=\"M{} {}V{}\"/>",
                place(0.0),
                pixel(top + 14.0),
                pixel(bottom)
            );
        }
        for (i, (name, figure)) in panel.rows.iter().enumerate() {
            let y = top + 18.0 + ROW * i as f64;
            let text = with_interval(figure);
            let room = width - text_width(&text, 11.0) - 12.0;
            let _ = write!(
                body,
                "<text class=\"tick halo\" x=\"{LEFT}\" y=\"{1}\">{2}</text>\
                 <text class=\"tick halo end\" x=\"{3}\" y=\"{1}\">{text}</text>\
                 <path class=\"grid\" d=\"M{LEFT} {0}h{width}\"/>",
                pixel(y + 19.0),
                pixel(y + 11.0),
                escaped(&fitted(name, 11.0, room)),
                LEFT + width,
            );
            if let Some([low, high]) = figure.interval {
                let _ = write!(
                    body,
                    "<path class=\"line {}\" d=\"M{} {}H{}\"/>",
                    colour_class(i),
                    place(low),
                    pixel(y + 19.0),
                    place(high)
                );
            }
            if let Some(value) = figure.value {
                let _ = write!(
                    body,
                    "<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"4\"/>",
                    fill_class(i),
                    place(value),
                    pixel(y + 19.0)
                );
            }
        }
        let figures = panel.rows.iter().map(|(name, figure)| (name.as_str(), figure));
        told_panels.push(format!("{}: {}", panel.title, told(figures)));
        top = bottom + 30.0;
    }
    (!told_panels.is_empty()).then(|| Plot {
        title: title.into(),
        description: format!("Figures with 95 % intervals. {}", told_panels.join(". ")),
        height: top - 8.0,
        body,
    })
}

/// The panels of the main figures.
pub(super) fn main_panels(entries: &[Entry<'_>]) -> Vec<ForestPanel> {
    let panel = |title: &str, of: &dyn Fn(&Entry<'_>) -> Figure| ForestPanel {
        title: title.into(),
        rows: entries.iter().map(|entry| (entry.name.to_string(), of(entry))).collect(),
        around_zero: false,
    };
    let mut panels = vec![
        panel("AUC (higher is better)", &|e| e.result.identity.verification.auc.clone()),
        panel("EER (lower is better)", &|e| e.result.identity.verification.eer.clone()),
    ];
    let mut rates: Vec<f64> = entries
        .iter()
        .flat_map(|e| e.result.identity.verification.tar_at_far.iter().map(|point| point.far))
        .collect();
    rates.sort_by(|a, b| b.total_cmp(a));
    rates.dedup();
    for far in rates {
        panels.push(panel(&format!("TAR at FAR {far} (higher is better)"), &|e| {
            let points = &e.result.identity.verification.tar_at_far;
            points.iter().find(|p| p.far == far).map_or_else(Figure::default, |p| p.tar.clone())
        }));
    }
    panels.push(panel("Rank-1 (higher is better)", &|e| {
        e.result.identity.identification.rank_1.clone()
    }));
    panels
}

/// How runs differ from the first, a panel a figure.
pub(super) fn difference_plot(differences: &[PairedDifference]) -> Option<Plot> {
    let mut panels: Vec<ForestPanel> = Vec::new();
    for PairedDifference { run, figure, difference } in differences {
        let title = format!("Difference of {figure}");
        let value =
            Figure { value: Some(difference.value), interval: difference.interval, reason: None };
        let row = (run.clone(), value);
        match panels.iter_mut().find(|panel| panel.title == title) {
            Some(panel) => panel.rows.push(row),
            None => panels.push(ForestPanel { title, rows: vec![row], around_zero: true }),
        }
    }
    forest_plot("Differences from the first run", &panels)
}

/// The confusion of a task, if it was counted.
pub(super) fn task_confusion_plot(
    entry: &Entry<'_>,
    task: &str,
    result: &TaskResult,
) -> Option<Plot> {
    let title = format!("Confusion of {task}, {}", entry.name);
    confusion_plot(&title, &result.classes, result.confusion.as_ref()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{
        Identification, IdentityResult, MethodResult, Roc, ScoreHistogram, TarAtFar,
    };
    use statrs::distribution::{ContinuousCDF, Normal};

    /// Genuine scores 5 to 14, impostor scores 0 to 9, in 1000 steps each; half of them tie.
    fn verification() -> Verification {
        let scores: Vec<f64> = (0..2000)
            .map(|i| (i % 1000) as f64 / 100.0 + if i < 1000 { 5.0 } else { 0.0 })
            .collect();
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
        let found: Vec<(f64, f64)> =
            corners(&plot, "line c0 d0").into_iter().map(on_axes).collect();
        // Up at 5 of 15 to a tenth of the pairs, where 0.108 is the top of the axis.
        let up = found.windows(2).find(|w| w[1].1 > w[0].1).unwrap();
        assert!(
            (up[1].0 - 5.0 / 15.0).abs() < 1e-4 && (up[1].1 - 0.1 / 0.108).abs() < 1e-4,
            "{up:?}"
        );
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
}
