//! An evaluation, or several runs side by side, for readers: one HTML page that needs nothing else,
//! plots as SVG, and the figures as CSV.
//!
//! The page holds no script and fetches nothing (a content security policy in it says so to the
//! browser), follows the reader's choice of light or dark, and prints. A figure stands in it with its
//! 95 % interval; one without value is a dash with its reason below the table.

mod chart;
mod csv_tables;
mod figures;
mod numbers;
mod page;
mod plots;
mod published;
mod table;

pub use published::PublishedStudy;

use crate::eval::{Difference, Evaluation};
use crate::io::{IoError, StagedFolder, write_atomically};
use chart::Plot;
use figures::Entry;
use std::path::{Path, PathBuf};

/// The page, by which a folder is known as a report.
const PAGE: &str = "report.html";

/// What the page of one evaluation shows.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationReport<'a> {
    pub title: &'a str,
    pub evaluation: &'a Evaluation,
    /// PNG of probes and their best matches.
    pub match_sheet: Option<&'a [u8]>,
    /// PNG of what carried those matches.
    pub saliency: Option<&'a [u8]>,
    /// Where the protocol is that of a study.
    pub published: Option<&'a PublishedStudy>,
}

/// How a run's figure differs from that of the first run, on the same people and draws.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedDifference {
    pub run: String,
    /// As readers know it: "AUC", "rank-1", …
    pub figure: String,
    pub difference: Difference,
}

/// What the page of several runs shows: the first method, which is the model, of each.
#[derive(Clone, Copy, Debug)]
pub struct ComparisonReport<'a> {
    pub title: &'a str,
    /// By name; the first is the one that others are compared with.
    pub runs: &'a [(String, Evaluation)],
    pub differences: &'a [PairedDifference],
}

impl EvaluationReport<'_> {
    /// The page.
    pub fn html(&self) -> String {
        page::evaluation_page(self)
    }

    /// Writes the page as `report.html` into a folder of its own, with tables as CSV and plots as SVG.
    /// Returns the page's path.
    ///
    /// # Errors
    /// A folder that holds other files than a report's, or what the system reports.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, IoError> {
        let entries = self.entries();
        let plots = plot_files(&entries);
        write_files(folder, &self.html(), &plots, entry_tables(&entries))
    }

    fn entries(&self) -> Vec<Entry<'_>> {
        let results = self.evaluation.results.iter().enumerate();
        results
            .map(|(i, result)| Entry {
                name: &result.method,
                result,
                // The model is the first.
                pairs: self.evaluation.pairs.as_ref().filter(|_| i == 0),
            })
            .collect()
    }
}

impl ComparisonReport<'_> {
    /// The page.
    pub fn html(&self) -> String {
        page::comparison_page(self)
    }

    /// As [`EvaluationReport::write`], with a table of the differences.
    ///
    /// # Errors
    /// As there.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, IoError> {
        let entries = self.entries();
        let mut plots = plot_files(&entries);
        plots.extend(plots::difference_plot(self.differences).map(|p| ("differences".into(), p)));
        let mut tables = entry_tables(&entries);
        tables.push(("differences", csv_tables::differences_csv(self.differences)));
        write_files(folder, &self.html(), &plots, tables)
    }

    /// Runs with a result.
    fn entries(&self) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        for (name, evaluation) in self.runs {
            let pairs = evaluation.pairs.as_ref();
            entries.extend(evaluation.results.first().map(|result| Entry { name, result, pairs }));
        }
        entries
    }
}

type Csv = (&'static str, csv::Result<Vec<u8>>);

fn entry_tables(entries: &[Entry<'_>]) -> Vec<Csv> {
    vec![
        ("figures", csv_tables::figures_csv(entries)),
        ("cmc", csv_tables::cmc_csv(entries)),
        ("roc", csv_tables::roc_csv(entries)),
    ]
}

/// Plots by the name of their file.
fn plot_files(entries: &[Entry<'_>]) -> Vec<(String, Plot)> {
    let mut files = vec![
        ("roc".to_string(), plots::roc_plot(entries)),
        ("det".to_string(), plots::det_plot(entries)),
        ("cmc".to_string(), plots::cmc_plot(entries)),
    ];
    let panels = plots::main_panels(entries);
    files.extend(plots::forest_plot("Main figures", &panels).map(|p| ("figures".into(), p)));
    files.extend(plots::reject_plot(entries).map(|p| ("reject".into(), p)));
    for (i, entry) in entries.iter().enumerate() {
        let number = i + 1;
        files.extend(plots::score_plot(entry).map(|p| (format!("scores-{number}"), p)));
        for (task, result) in &entry.result.tasks {
            let plot = plots::task_confusion_plot(entry, task, result);
            files.extend(plot.map(|p| (format!("confusion-{number}-{}", file_name(task)), p)));
        }
    }
    files
}

/// A name without what a file system could take amiss.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

fn write_files(
    folder: &Path,
    page: &str,
    plots: &[(String, Plot)],
    tables: Vec<Csv>,
) -> Result<PathBuf, IoError> {
    let staged = StagedFolder::create(folder, PAGE)?;
    let write =
        |name: &str, bytes: &[u8]| write_atomically(&staged.path(name), |out| out.write_all(bytes));
    for (name, table) in tables {
        let name = format!("{name}.csv");
        let bytes = table.map_err(|e| IoError::from_system(&folder.join(&name), e.into()))?;
        write(&name, &bytes)?;
    }
    for (name, plot) in plots {
        write(&format!("{name}.svg"), plot.file().as_bytes())?;
    }
    write(PAGE, page.as_bytes())?;
    staged.commit()?;
    Ok(folder.join(PAGE))
}

#[cfg(test)]
mod tests;
