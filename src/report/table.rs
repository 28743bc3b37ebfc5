//! Results as a table for the terminal.

use super::PairedDifference;
use crate::eval::{Evaluation, Figure, MethodResult, RegionError};
use comfy_table::{CellAlignment, Table, presets};

/// One line per method; a figure without value is `–`.
pub fn evaluation_table(evaluation: &Evaluation) -> String {
    let tasks: Vec<&String> =
        evaluation.results.first().map_or(Vec::new(), |model| model.tasks.keys().collect());
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let mut header: Vec<String> =
        ["method", "AUC cosine", "AUC Euclidean", "rank-1", "rank-5"].map(String::from).to_vec();
    header.extend(tasks.iter().map(|task| format!("AUC {task}")));
    table.set_header(header);
    for result in &evaluation.results {
        let identity = &result.identity;
        let mut line = vec![
            result.method.clone(),
            number(&identity.verification.auc),
            number(&identity.verification.auc_euclidean),
            percent(&identity.identification.rank_1),
            percent(&identity.identification.rank_5),
        ];
        line.extend(
            tasks
                .iter()
                .map(|task| result.tasks.get(*task).map_or("–".to_string(), |t| number(&t.auc))),
        );
        table.add_row(line);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// One line per run: its main figures, and how each differs from the first run's.
pub fn comparison_table(runs: &[(String, Evaluation)], differences: &[PairedDifference]) -> String {
    type FigureOf = fn(&MethodResult) -> &Figure;
    let figures: [(&str, &str, FigureOf); 4] = [
        ("AUC", "auc", |r| &r.identity.verification.auc),
        ("EER", "eer", |r| &r.identity.verification.eer),
        ("rank-1", "rank_1", |r| &r.identity.identification.rank_1),
        ("rank-5", "rank_5", |r| &r.identity.identification.rank_5),
    ];
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let heading = |name: &str| [name.to_string(), "difference (95 %), p".to_string()];
    let headings = figures.iter().flat_map(|(name, ..)| heading(name));
    table.set_header(std::iter::once("run".to_string()).chain(headings));
    for (run, evaluation) in runs {
        let mut line = vec![run.clone()];
        for (_, key, figure) in &figures {
            let model = evaluation.results.first();
            line.push(model.map_or("–".into(), |result| with_interval(figure(result))));
            let difference = differences.iter().find(|d| d.run == *run && d.figure == *key);
            line.push(difference.map_or(String::new(), |d| {
                let interval = d
                    .difference
                    .interval
                    .map_or(String::new(), |[low, high]| format!(" ({low:+.3} to {high:+.3})"));
                let p = d.difference.p.map_or(String::new(), |p| format!(", {p:.3}"));
                format!("{:+.3}{interval}{p}", d.difference.value)
            }));
        }
        table.add_row(line);
    }
    table.to_string()
}

fn with_interval(figure: &Figure) -> String {
    let interval =
        figure.interval.map_or(String::new(), |[low, high]| format!(" ({low:.3}–{high:.3})"));
    format!("{}{interval}", number(figure))
}

/// One line per region.
pub fn accuracy_table(regions: &[(&str, Option<RegionError>)]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["region", "pixels", "normals mean", "median", "albedo median", "depth mean"]);
    for (name, error) in regions {
        let figure = |value: fn(&RegionError) -> String| error.as_ref().map_or("–".into(), value);
        table.add_row([
            (*name).to_string(),
            figure(|e| e.pixels.to_string()),
            figure(|e| format!("{:.2}°", e.normals_mean_deg)),
            figure(|e| format!("{:.2}°", e.normals_median_deg)),
            figure(|e| format!("{:.1} %", 100.0 * e.albedo_median_share)),
            figure(|e| format!("{:.1} %", 100.0 * e.depth_mean_share)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn number(figure: &Figure) -> String {
    figure.value.map_or("–".into(), |value| format!("{value:.3}"))
}

fn percent(figure: &Figure) -> String {
    figure.value.map_or("–".into(), |value| format!("{:.1} %", 100.0 * value))
}
