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
mod tests;
