//! The page around the figures.

use super::super::markup::{base64, escaped};
use super::chart::{Plot, style};
use super::figures::{Entry, MAIN_FIGURES, TASK_FIGURES};
use super::numbers::{count, fixed, interval, rate};
use super::plots::{
    cmc_plot, det_plot, difference_plot, forest_plot, main_panels, reject_plot, roc_plot,
    score_plot, task_confusion_plot,
};
use super::table::Table;
use super::{ComparisonReport, EvaluationReport};
use crate::eval::{Evaluation, FailureToAcquire, Figure, Merge, TaskResult};
use std::collections::BTreeSet;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
/// How much of a split's hash tells it from another.
const SHORT_HASH: usize = 12;

pub(super) fn evaluation_page(report: &EvaluationReport<'_>) -> String {
    let entries = report.entries();
    let evaluation = report.evaluation;
    let mut html = head(report.title);
    html += &headline(evaluation);
    html += &warnings(evaluation.warnings.iter().map(|warning| escaped(warning)).collect());
    html += &main_section(&entries);
    html += &sections(&entries);
    if let Some(png) = report.match_sheet {
        html += &match_sheet(png);
    }
    if let Some(png) = report.saliency {
        html += &saliency_sheet(png);
    }
    if let Some(published) = report.published {
        html += &published.html(evaluation.legacy.as_ref().zip(evaluation.results.first()));
    }
    html += &methods(evaluation.bootstrap.replicates);
    html + "</main></body></html>\n"
}

pub(super) fn comparison_page(report: &ComparisonReport<'_>) -> String {
    let entries = report.entries();
    let mut html = head(report.title);
    html += &run_table(report);
    html += &warnings(comparison_warnings(report));
    html += &main_section(&entries);
    html += &differences(report);
    html += &sections(&entries);
    let replicates =
        report.runs.first().map_or(0, |(_, evaluation)| evaluation.bootstrap.replicates);
    html += &methods(replicates);
    html + "</main></body></html>\n"
}

fn head(title: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         img-src data:; style-src 'unsafe-inline'\"/>\
         <title>{title}</title><style>{STYLE}{}</style></head><body><main><h1>{title}</h1>",
        style()
    )
}

/// The protocol in numbers.
fn headline(evaluation: &Evaluation) -> String {
    let mut html = String::from("<dl class=\"tiles\">");
    for (name, number) in PROTOCOL_NUMBERS.iter().zip(protocol_numbers(evaluation)) {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", count(number as u64));
    }
    let _ = write!(
        html,
        "</dl><p>Part of the split: <strong>{}</strong>, SHA-256 of the split's file \
         <code>{}</code>. Each person is enrolled with {}; every other capture of an enrolled person \
         is a probe, compared with everyone who is enrolled{}.</p>",
        escaped(&evaluation.split),
        escaped(&evaluation.split_hash),
        match evaluation.templates_per_person {
            1 => "one session".to_string(),
            n => format!(
                "up to {n} sessions, which answer as one ({})",
                merge_name(evaluation.merge)
            ),
        },
        if evaluation.rounds > 1 {
            "; in each round other sessions are enrolled, and figures are over all rounds together"
        } else {
            ""
        },
    );
    if let Some(FailureToAcquire { captures, of }) = evaluation.failure_to_acquire {
        let _ = write!(
            html,
            "<p>No face was found in {captures} of {of} captures (failure to acquire); they are in no \
             figure.</p>"
        );
    }
    html
}

fn merge_name(merge: Merge) -> &'static str {
    match merge {
        Merge::Best => "the most similar",
        Merge::Mean => "their mean",
        Merge::QualityWeighted => "their mean weighted by length",
    }
}

const PROTOCOL_NUMBERS: [&str; 7] = [
    "people",
    "sessions enrolled of each",
    "rounds",
    "probes",
    "epochs trained",
    "draws behind intervals",
    "seed of the draws",
];

fn protocol_numbers(evaluation: &Evaluation) -> [usize; 7] {
    [
        evaluation.enrolled,
        evaluation.templates_per_person,
        evaluation.rounds,
        evaluation.probes,
        evaluation.epoch,
        evaluation.bootstrap.replicates,
        evaluation.bootstrap.seed as usize,
    ]
}

/// `items` are HTML.
fn warnings(items: Vec<String>) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("<li>{item}</li>")).collect();
    format!("<section class=\"warnings\"><h2>Warnings</h2><ul>{items}</ul></section>")
}

fn run_table(report: &ComparisonReport<'_>) -> String {
    let mut headings = vec!["Protocol"];
    headings.extend(report.runs.iter().map(|(name, _)| name.as_str()));
    let mut table = Table::new("Protocol of each run", &headings);
    let evaluations = || report.runs.iter().map(|(_, evaluation)| evaluation);
    let models: Vec<String> = evaluations()
        .map(|e| table.text(e.results.first().map(|r| r.method.clone()), "the run has no result"))
        .collect();
    table.row("method", "", &models);
    let parts: Vec<String> = evaluations().map(|e| escaped(&e.split)).collect();
    table.row("part of the split", "", &parts);
    let hashes: Vec<String> = evaluations()
        .map(|e| {
            let short: String = e.split_hash.chars().take(SHORT_HASH).collect();
            format!("<code title=\"{}\">{}</code>", escaped(&e.split_hash), escaped(&short))
        })
        .collect();
    table.row("SHA-256 of the split, first digits", "", &hashes);
    for (at, name) in PROTOCOL_NUMBERS.into_iter().enumerate() {
        let cells: Vec<String> =
            evaluations().map(|e| count(protocol_numbers(e)[at] as u64)).collect();
        table.row(name, "", &cells);
    }
    format!("<section>{}</section>", table.finish())
}

/// What speaks against setting runs side by side, and each run's own warnings.
fn comparison_warnings(report: &ComparisonReport<'_>) -> Vec<String> {
    let mut items = Vec::new();
    let Some((first_name, first)) = report.runs.first() else { return items };
    for (name, run) in &report.runs[1..] {
        let protocol = |e: &Evaluation| {
            (e.split.clone(), e.enrolled, e.templates_per_person, e.rounds, e.probes)
        };
        if run.split_hash != first.split_hash || protocol(run) != protocol(first) {
            items.push(format!(
                "{} was not judged on the same split and protocol as {}: what sets them apart may \
                 be the people.",
                escaped(name),
                escaped(first_name)
            ));
        }
    }
    for (name, run) in report.runs {
        items.extend(
            run.warnings.iter().map(|warning| format!("{}: {}", escaped(name), escaped(warning))),
        );
    }
    items
}

fn main_section(entries: &[Entry<'_>]) -> String {
    let mut html = String::from("<section><h2>Main figures</h2>");
    let mut table =
        Table::new("Main figures, with 95 % intervals in brackets", &headings("Figure", entries));
    for figure in MAIN_FIGURES {
        let cells = cells(&mut table, entries, |e| (figure.of)(&e.result.identity).clone());
        table.row(figure.name, figure.meaning, &cells);
    }
    html += &table.finish();
    html += "</section>";
    html
}

fn headings<'a>(first: &'a str, entries: &[Entry<'a>]) -> Vec<&'a str> {
    std::iter::once(first).chain(entries.iter().map(|entry| entry.name)).collect()
}

/// A figure of each entry.
fn cells(
    table: &mut Table,
    entries: &[Entry<'_>],
    of: impl Fn(&Entry<'_>) -> Figure,
) -> Vec<String> {
    entries.iter().map(|entry| table.figure(&of(entry))).collect()
}

/// Figures by question, for methods or runs.
fn sections(entries: &[Entry<'_>]) -> String {
    let mut html = verification(entries);
    html += &pairs(entries);
    html += &identification(entries);
    html += &by_difference(entries);
    html += &quality(entries);
    html += &tasks(entries);
    html + &leakage(entries)
}

fn figure(plot: &Plot, caption: &str) -> String {
    let caption = if caption.is_empty() {
        String::new()
    } else {
        format!("<figcaption>{}</figcaption>", escaped(caption))
    };
    format!("<figure>{}{caption}</figure>", plot.inline())
}

fn verification(entries: &[Entry<'_>]) -> String {
    let mut html = String::from(
        "<section><h2>Verification: is this the person that it says it is?</h2><div class=\"plots\">",
    );
    html += &figure(
        &roc_plot(entries),
        "Up and left is better. A curve begins where one impostor pair is accepted; below, nothing \
         can be said. Upright bars are 95 % intervals of the true accept rate.",
    );
    html += &figure(
        &det_plot(entries),
        "Down and left is better. Both axes are stretched by the normal deviate: normally \
         distributed scores give straight lines. The dashed line is where both errors are equal.",
    );
    html += "</div>";

    let mut table = Table::new(
        "True accept rate (TAR) at a false accept rate (FAR)",
        &["FAR at most", "TAR", "FAR reached", "False accepts", "Cosine from"],
    );
    for entry in entries {
        let verification = &entry.result.identity.verification;
        table.group(&format!(
            "{}: {} genuine pairs, {} impostor pairs",
            entry.name,
            count(verification.genuine_pairs),
            count(verification.impostor_pairs)
        ));
        let points = || verification.tar_at_far.iter();
        for point in points().filter(|point| point.tar.value.is_some()) {
            let reason = "nothing is accepted";
            let row = [
                table.figure(&point.tar),
                table.text(point.achieved_far.map(rate), reason),
                table.text(point.false_accepts.map(count), reason),
                table.text(point.threshold.map(fixed), reason),
            ];
            table.row(&point.far.to_string(), "", &row);
        }
        let missing = points().filter(|point| point.tar.value.is_none());
        rates_without_value(&mut table, missing.map(|point| (point.far, &point.tar)), 4);
    }
    let _ = write!(html, "<div class=\"plots\"><div>{}</div>", table.finish());
    if let Some(plot) = forest_plot("Main figures", &main_panels(entries)) {
        html += &figure(&plot, "Each figure has an axis of its own. Lines are 95 % intervals.");
    }
    for plot in entries.iter().filter_map(score_plot) {
        html += &figure(&plot, "");
    }
    html + "</div></section>"
}

fn pairs(entries: &[Entry<'_>]) -> String {
    let mut table = Table::new(
        "Accuracy over folds",
        &["Method", "Accuracy", "Pairs", "Folds", "People in several folds", "SHA-256 of the list"],
    );
    let judged: Vec<_> = entries.iter().filter_map(|e| Some((e.name, e.pairs?))).collect();
    if judged.is_empty() {
        return String::new();
    }
    for (name, of) in judged {
        let hash: String = of.list_hash.chars().take(SHORT_HASH).collect();
        let row = [
            format!(
                "<data value=\"{}\">{}</data> ± {}",
                of.accuracy,
                fixed(of.accuracy),
                fixed(of.standard_error)
            ),
            count(of.pairs as u64),
            count(of.folds as u64),
            of.people_in_several_folds.map_or("not known".into(), |people| count(people as u64)),
            format!("<code title=\"{}\">{}</code>", escaped(&of.list_hash), escaped(&hash)),
        ];
        table.row(name, "", &row);
    }
    format!(
        "<section><h2>Verification by a list of pairs</h2>{}<p class=\"quiet\">Share of pairs that are \
         told right, mean over folds ± its standard error. The threshold of each fold is chosen on \
         the others. That is no 95 % interval, and where people are in several folds, a fold's \
         threshold was chosen on its own people too.</p></section>",
        table.finish()
    )
}

/// One row for all rates without a value, for they lack it for one reason: they are too low.
fn rates_without_value<'a>(
    table: &mut Table,
    points: impl Iterator<Item = (f64, &'a Figure)>,
    columns: usize,
) {
    let mut points: Vec<(f64, &Figure)> = points.collect();
    points.sort_by(|a, b| b.0.total_cmp(&a.0));
    let Some((highest, figure)) = points.first() else { return };
    let name = if points.len() > 1 { format!("≤\u{a0}{highest}") } else { highest.to_string() };
    let cells: Vec<String> = (0..columns).map(|_| table.figure(figure)).collect();
    table.row(&name, "", &cells);
}

fn identification(entries: &[Entry<'_>]) -> String {
    let mut html = String::from(
        "<section><h2>Identification: who of the enrolled is it, if anybody?</h2>\
         <div class=\"plots\">",
    );
    html += &figure(
        &cmc_plot(entries),
        "Share of probes whose own person is among the first so many answers. Upright bars are 95 % \
         intervals.",
    );
    let mut table = Table::new(
        "Missed searches (FNIR) at a share of false alarms (FPIR)",
        &["FPIR at most", "FNIR", "FPIR reached", "Cosine from"],
    );
    for entry in entries {
        let identification = &entry.result.identity.identification;
        table.group(&format!("{}: {} searches", entry.name, count(identification.searches)));
        let points = || identification.fnir_at_fpir.iter();
        for point in points().filter(|point| point.fnir.value.is_some()) {
            let reason = "nothing is found";
            let row = [
                table.figure(&point.fnir),
                table.text(point.achieved_fpir.map(rate), reason),
                table.text(point.threshold.map(fixed), reason),
            ];
            table.row(&point.fpir.to_string(), "", &row);
        }
        let missing = points().filter(|point| point.fnir.value.is_none());
        rates_without_value(&mut table, missing.map(|point| (point.fpir, &point.fnir)), 3);
    }
    let _ = write!(
        html,
        "<div>{}<p class=\"quiet\">A search of an enrolled person misses where that person is not the \
         first answer or scores below the threshold. Unenrolled people are the same probes with \
         their own person taken out of the gallery; a false alarm is such a search that finds \
         somebody.</p></div></div></section>",
        table.finish()
    );
    html
}

fn by_difference(entries: &[Entry<'_>]) -> String {
    if entries.iter().all(|entry| entry.result.identity.by_difference.is_empty()) {
        return String::new();
    }
    let mut table = Table::new(
        "By whether probe and template differ in a label",
        &["Label", "Searches", "AUC", "Rank-1"],
    );
    for entry in entries {
        let differences = &entry.result.identity.by_difference;
        if differences.is_empty() {
            continue;
        }
        table.group(entry.name);
        for difference in differences {
            for (kind, condition) in [("same", &difference.same), ("differs", &difference.differs)]
            {
                let row = [
                    count(condition.searches),
                    table.figure(&condition.auc),
                    table.figure(&condition.rank_1),
                ];
                table.row(&format!("{}: {kind}", difference.label), "", &row);
            }
        }
    }
    format!(
        "<section><h2>What makes it harder</h2>{}<p class=\"quiet\">Genuine pairs of the kind against \
         all impostor pairs.</p></section>",
        table.finish()
    )
}

fn quality(entries: &[Entry<'_>]) -> String {
    if entries.iter().all(|entry| entry.result.identity.quality.is_none()) {
        return String::new();
    }
    let mut html = String::from(
        "<section><h2>Does the length of an embedding tell its quality?</h2><div class=\"plots\">",
    );
    if let Some(plot) = reject_plot(entries) {
        html += &figure(
            &plot,
            "The pairs of the shortest embeddings are left out first. A falling line says that short \
             embeddings are those that go wrong.",
        );
    }
    let mut table = Table::new(
        "Length as a measure of quality",
        &["Method", "Predicts rank-1 (AUC)", "Cosine of the plot"],
    );
    for entry in entries {
        if let Some(quality) = &entry.result.identity.quality {
            let row = [
                table.figure(&quality.predicts_rank_1),
                table.text(quality.threshold.map(fixed), "too few impostor pairs"),
            ];
            table.row(entry.name, "", &row);
        }
    }
    let _ = write!(
        html,
        "<div>{}<p class=\"quiet\">Predicts rank-1: chance that a rightly recognised probe has a longer \
         embedding than a wrongly recognised one; 0.5 is no help. The plot's cosine accepts at most \
         a hundredth of the impostor pairs.</p></div></div></section>",
        table.finish()
    );
    html
}

fn tasks(entries: &[Entry<'_>]) -> String {
    let with_tasks: Vec<Entry<'_>> =
        entries.iter().filter(|entry| !entry.result.tasks.is_empty()).copied().collect();
    let (Some(first), several) = (with_tasks.first(), with_tasks.len() > 1) else {
        return String::new();
    };
    let mut html = String::from("<section><h2>Tasks</h2>");
    if several {
        let names: BTreeSet<&String> =
            with_tasks.iter().flat_map(|e| e.result.tasks.keys()).collect();
        for name in names {
            let columns: Vec<(&str, Option<&TaskResult>)> =
                with_tasks.iter().map(|e| (e.name, e.result.tasks.get(name))).collect();
            html += &task_table(&format!("Task: {name}"), &columns);
        }
    } else {
        let columns: Vec<(&str, Option<&TaskResult>)> =
            first.result.tasks.iter().map(|(name, task)| (name.as_str(), Some(task))).collect();
        html += &task_table(&format!("Tasks of {}", first.name), &columns);
    }
    html += "<p class=\"quiet\">AUC and average precision are by the probability of a class; with more \
             than two classes each is set against the rest, and the mean is given. Accuracies are \
             of the most probable class; the balanced one counts each class as much as any other. \
             Calibration error is how far the probability of the answer lies from how often it is \
             right, in 15 bins; lower is better. A threshold was chosen on the people for \
             validation.</p><div class=\"plots\">";
    for entry in &with_tasks {
        for (name, task) in &entry.result.tasks {
            if let Some(plot) = task_confusion_plot(entry, name, task) {
                html += &figure(&plot, "");
            }
        }
    }
    html + "</div></section>"
}

fn task_table(caption: &str, columns: &[(&str, Option<&TaskResult>)]) -> String {
    const NOT_TRAINED: &str = "not a task of this method";
    let headings: Vec<&str> =
        std::iter::once("Figure").chain(columns.iter().map(|(name, _)| *name)).collect();
    let mut table = Table::new(caption, &headings);
    let mut row = |name: &str, cell: &dyn Fn(&mut Table, &TaskResult) -> String| {
        let cells: Vec<String> = columns
            .iter()
            .map(|(_, task)| match task {
                Some(task) => cell(&mut table, task),
                None => table.dash(NOT_TRAINED),
            })
            .collect();
        table.row(name, "", &cells);
    };
    row("classes", &|_, task| escaped(&task.classes.join(", ")));
    row("captures with a label", &|_, task| count(task.labelled as u64));
    for (_, name, of) in TASK_FIGURES {
        row(name, &|table, task| table.figure(of(task)));
    }
    let any_threshold = columns
        .iter()
        .any(|(_, task)| task.is_some_and(|t| t.balanced_accuracy_at_threshold.is_some()));
    if any_threshold {
        const NONE: &str = "for two classes and runs with people for validation";
        row("threshold", &|table, task| table.text(task.threshold.map(fixed), NONE));
        row("balanced accuracy at it", &|table, task| match &task.balanced_accuracy_at_threshold {
            Some(figure) => table.figure(figure),
            None => table.dash(NONE),
        });
    }
    table.finish()
}

fn leakage(entries: &[Entry<'_>]) -> String {
    if entries.iter().all(|entry| entry.result.leakage.is_empty()) {
        return String::new();
    }
    let mut table = Table::new(
        "AUC of a linear classifier that reads a label",
        &["Label", "Classes", "Captures", "From the identity", "Before separation"],
    );
    for entry in entries.iter().filter(|entry| !entry.result.leakage.is_empty()) {
        table.group(entry.name);
        for leak in &entry.result.leakage {
            let before = match &leak.before_separation {
                Some(before) => table.figure(before),
                None => table.dash("no features from before the separation"),
            };
            let row = [
                escaped(&leak.classes.join(", ")),
                count(leak.labelled as u64),
                table.figure(&leak.identity),
                before,
            ];
            table.row(&leak.label, "", &row);
        }
    }
    format!(
        "<section><h2>What the identity embedding still tells</h2>{}<p class=\"quiet\">0.5 is nothing. \
         What is meant for identity should say little of the rest; before the tasks' parts are split \
         off it may say more.</p></section>",
        table.finish()
    )
}

fn differences(report: &ComparisonReport<'_>) -> String {
    let Some((first, _)) = report.runs.first() else { return String::new() };
    if report.differences.is_empty() {
        return String::new();
    }
    let mut table = Table::new(
        "Differences, with 95 % intervals in brackets",
        &["Run", "Figure", "Difference", "p"],
    );
    const FEW: &str = "too few people or draws";
    for paired in report.differences {
        let difference = paired.difference;
        let sign = if difference.value > 0.0 { "+" } else { "" };
        let bounds = difference
            .interval
            .map(|b| format!(" <span class=\"interval\">{}</span>", interval(b)))
            .unwrap_or_default();
        let row = [
            escaped(&paired.figure),
            format!(
                "<data value=\"{}\">{sign}{}</data>{bounds}",
                difference.value,
                fixed(difference.value)
            ),
            table.text(difference.p.map(fixed), FEW),
        ];
        table.row(&paired.run, "", &row);
    }
    let plot = difference_plot(report.differences)
        .map(|plot| figure(&plot, "Right of the dashed line the run has the higher figure."))
        .unwrap_or_default();
    format!(
        "<section><h2>Differences from {}</h2>{}<p class=\"quiet\">Run less first run, both on the same \
         draws of people, so that what is easy or hard for all cancels. p is two-sided: how often \
         draws fall on the other side of no difference, doubled. It is not corrected for the number \
         of figures and runs that are looked at.</p><div class=\"plots\">{plot}</div></section>",
        escaped(first),
        table.finish()
    )
}

fn match_sheet(png: &[u8]) -> String {
    sheet(
        "Probes and their best matches",
        "Each row is a probe, then the most similar people of the gallery, best first, with name, \
         cosine and labels. Probes that were recognised wrongly stand at the top.",
        "Each row is a probe, then the most similar people of the gallery, best first, in all maps that \
         the network was shown. A green frame is the right person, a red one somebody else. Labels in \
         which a match differs from the probe are dark.",
        png,
    )
}

fn saliency_sheet(png: &[u8]) -> String {
    sheet(
        "What carried the best matches",
        "Each row is a probe, the same under colours that say what carried its best match, and the \
         match.",
        "Squares of one map of the probe were hidden in turn. Where it is red, the cosine with the match \
         falls, where it is blue, it rises; the strongest colour is the largest change in a row. Below \
         stands the cosine with the whole of a map hidden.",
        png,
    )
}

fn sheet(title: &str, alternative: &str, caption: &str, png: &[u8]) -> String {
    format!(
        "<section><h2>{title}</h2><figure class=\"sheet\"><img alt=\"{alternative}\" \
         src=\"data:image/png;base64,{}\"/><figcaption>{caption}</figcaption></figure></section>",
        base64(png)
    )
}

fn methods(replicates: usize) -> String {
    let draws = if replicates == 0 {
        "No intervals were asked for.".to_string()
    } else {
        format!(
            "Captures of one person resemble one another, so people are what is drawn anew: {} times, \
             as many as there are, with replacement. Whoever is drawn twice counts twice with all \
             their probes; an impostor pair counts as often as both its people together (the product); \
             two copies of one person are no pair. The interval holds the middle 95 % of the figure over \
             the draws, a little widened where people are few (Hesterberg 2015). Without brackets: there \
             are fewer than five people, or the figure has no value on more than 5 % of the draws, or it \
             was not drawn anew.",
            count(replicates as u64)
        )
    };
    format!(
        "<section><h2>How to read this page</h2><dl class=\"meanings\">\
         <dt>0.952 (0.931–0.969)</dt><dd>A figure and its 95 % interval, by bootstrap over people. \
         {draws}</dd>\
         <dt>–</dt><dd>The figure has no value; the note below the table says why.</dd>\
         <dt>Genuine and impostor pairs</dt><dd>A probe with the enrolled templates of its own person, \
         and with those of each other person. Their score is the cosine of their embeddings.</dd>\
         <dt>TAR, FAR, FRR</dt><dd>True accept rate: share of genuine pairs at or above a threshold. \
         False accept rate: the same of impostor pairs. False reject rate: 1 − TAR. A FAR that would \
         allow less than one impostor pair says nothing and has no figure.</dd>\
         <dt>FNIR, FPIR</dt><dd>The same two errors of searches in the whole gallery.</dd></dl></section>"
    )
}
