//! Results as a table for the terminal.

use crate::eval::{Evaluation, Figure, RegionError};
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
            number(&identity.auc_cosine),
            number(&identity.auc_euclidean),
            percent(&identity.rank_1),
            percent(&identity.rank_5),
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
