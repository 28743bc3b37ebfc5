//! Figures and curves as CSV, numbers in full.

use super::PairedDifference;
use super::figures::{Entry, all_figures};
use csv::Writer;

/// One line a figure. `value`, `low` and `high` are empty where there is none; `reason` says why a
/// figure has no value.
pub(super) fn figures_csv(entries: &[Entry<'_>]) -> csv::Result<Vec<u8>> {
    table(
        ["method", "section", "figure", "at", "value", "low", "high", "reason"],
        entries.iter().flat_map(|entry| {
            all_figures(entry).into_iter().map(|listed| {
                let [low, high] = bounds(listed.value.interval);
                [
                    entry.name.to_string(),
                    listed.section.to_string(),
                    listed.figure.to_string(),
                    listed.at,
                    number(listed.value.value),
                    low,
                    high,
                    listed.value.reason.unwrap_or_default(),
                ]
            })
        }),
    )
}

/// Share of searches whose person is found within each rank.
pub(super) fn cmc_csv(entries: &[Entry<'_>]) -> csv::Result<Vec<u8>> {
    table(
        ["method", "rank", "share"],
        entries.iter().flat_map(|entry| {
            let cmc = entry.result.identity.identification.cmc.iter().enumerate();
            cmc.map(|(i, share)| [entry.name.to_string(), (i + 1).to_string(), share.to_string()])
        }),
    )
}

/// The points of the curves.
pub(super) fn roc_csv(entries: &[Entry<'_>]) -> csv::Result<Vec<u8>> {
    table(
        ["method", "far", "tar"],
        entries.iter().flat_map(|entry| {
            let curve = entry.result.identity.verification.roc.iter();
            curve.map(|(far, tar)| [entry.name.to_string(), far.to_string(), tar.to_string()])
        }),
    )
}

/// How runs differ from the first.
pub(super) fn differences_csv(differences: &[PairedDifference]) -> csv::Result<Vec<u8>> {
    table(
        ["run", "figure", "difference", "low", "high", "p"],
        differences.iter().map(|PairedDifference { run, figure, difference }| {
            let [low, high] = bounds(difference.interval);
            let (value, p) = (number(Some(difference.value)), number(difference.p));
            [run.clone(), figure.clone(), value, low, high, p]
        }),
    )
}

fn table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> csv::Result<Vec<u8>> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|e| e.into_error().into())
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn bounds(interval: Option<[f64; 2]>) -> [String; 2] {
    interval.map_or_else(Default::default, |bounds| bounds.map(|bound| bound.to_string()))
}
