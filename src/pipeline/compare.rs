//! `compare`: evaluations of several runs on the same probes, side by side, with what their differences
//! are worth.

use super::embedding::model_of_run;
use super::evaluate::{EvaluateError, embeddings_file, result_files};
use crate::dataset::Part;
use crate::eval::{
    Bootstrap, EVALUATION_FORMAT, Evaluation, Measure, Protocol, Searches, identity_differences,
};
use crate::io::{Embeddings, IoError, read_text};
use crate::report::{ComparisonReport, PairedDifference};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Run folders that were evaluated; differences are to the first.
    pub runs: Vec<PathBuf>,
    pub part: Part,
    /// Folder for the report.
    pub out: PathBuf,
}

#[derive(Clone, Debug)]
pub struct CompareSummary {
    pub runs: Vec<(String, Evaluation)>,
    pub differences: Vec<PairedDifference>,
    pub report: PathBuf,
}

/// Compares runs that were evaluated in the same way on the same captures.
///
/// # Errors
/// A run that was not evaluated, or otherwise than the first, or on other captures.
pub fn compare(options: &CompareOptions) -> Result<CompareSummary, EvaluateError> {
    let impossible = |text: String| EvaluateError::Impossible(text);
    let mut runs: Vec<(String, Evaluation)> = Vec::new();
    let mut searches: Vec<Searches> = Vec::new();
    let mut first: Option<Embeddings> = None;
    for run in &options.runs {
        let evaluation = read_evaluation(run, options.part)?;
        let path = embeddings_file(run, options.part);
        let embeddings = Embeddings::read(&path)?;
        if embeddings.model != evaluation.model {
            return Err(impossible(format!(
                "{}: is of other weights than the evaluation beside it; run `lumiface evaluate {}` \
                 again",
                path.display(),
                run.display()
            )));
        }
        if let (Some((name, other)), Some(theirs)) = (runs.first(), &first) {
            let same_protocol = (evaluation.enrolment, evaluation.merge, evaluation.rounds)
                == (other.enrolment, other.merge, other.rounds)
                && evaluation.templates_per_person == other.templates_per_person;
            let names = |e: &Embeddings| -> Vec<(String, String)> {
                e.captures.iter().map(|c| (c.id.clone(), c.session.clone())).collect()
            };
            if !same_protocol || names(&embeddings) != names(theirs) {
                return Err(impossible(format!(
                    "{}: was evaluated on other captures or otherwise enrolled than {name}; evaluate \
                     both with the same --data, --split, --enrol, --templates and --merge",
                    run.display()
                )));
            }
        }
        let ids: Vec<&str> = embeddings.captures.iter().map(|c| c.id.as_str()).collect();
        let protocol =
            Protocol::new(&ids, evaluation.enrolment, evaluation.templates_per_person.max(1));
        let vectors: Vec<Vec<f32>> = (0..ids.len()).map(|at| embeddings.row(at).to_vec()).collect();
        searches.push(
            Searches::new(&protocol, &vectors, Measure::Cosine, evaluation.merge)
                .map_err(|reason| impossible(format!("{}: {reason}", path.display())))?,
        );
        first.get_or_insert(embeddings);
        runs.push((name_of(run, &options.runs), evaluation));
    }
    let bootstrap = runs.first().map_or_else(Bootstrap::default, |(_, first)| first.bootstrap);
    let mut differences = Vec::new();
    for ((name, _), ours) in runs.iter().zip(&searches).skip(1) {
        let found = identity_differences(ours, &searches[0], &bootstrap);
        differences.extend(found.into_iter().map(|(figure, difference)| PairedDifference {
            run: name.clone(),
            figure: figure.to_string(),
            difference,
        }));
    }
    let title = format!("{} runs on the {} split", runs.len(), options.part);
    let report = ComparisonReport { title: &title, runs: &runs, differences: &differences }
        .write(&options.out)?;
    Ok(CompareSummary { runs, differences, report })
}

/// The last part of a run's path, or all of it where two end alike.
fn name_of(run: &Path, all: &[PathBuf]) -> String {
    let last = |run: &Path| run.file_name().map(|name| name.to_string_lossy().into_owned());
    match last(run) {
        Some(name)
            if all.iter().filter(|other| last(other).as_ref() == Some(&name)).count() == 1 =>
        {
            name
        }
        _ => run.display().to_string(),
    }
}

pub(super) fn read_evaluation(run: &Path, part: Part) -> Result<Evaluation, IoError> {
    let [path, _] = result_files(run, part);
    if !path.exists() {
        let reason = format!(
            "not found; run `lumiface evaluate {} --split {part}` with its maps first",
            run.display()
        );
        return Err(IoError::unsuitable(&path, reason));
    }
    let again = format!("run `lumiface evaluate {}` again", run.display());
    let evaluation: Evaluation = serde_json::from_str(&read_text(&path)?)
        .map_err(|e| IoError::unsuitable(&path, format!("is no evaluation ({e}); {again}")))?;
    if evaluation.format != EVALUATION_FORMAT {
        let reason = format!("is of another version of lumiface; {again}");
        return Err(IoError::unsuitable(&path, reason));
    }
    Ok(evaluation)
}

/// The cosine from which on at most a share of impostor pairs is accepted, as a run's evaluation of the
/// gallery tells it.
///
/// # Errors
/// A run that was not evaluated, or a rate that it says nothing of.
pub fn threshold_of_run(run: &Path, far: f64) -> Result<f64, EvaluateError> {
    let evaluation = read_evaluation(run, Part::Gallery)?;
    let (model, _) = model_of_run(run)?;
    if evaluation.model != model || evaluation.templates_per_person != 1 {
        return Err(EvaluateError::Impossible(format!(
            "{}: is of other weights or modalities than the run has now, or of several templates a \
             person; run `lumiface evaluate {}` again",
            result_files(run, Part::Gallery)[0].display(),
            run.display()
        )));
    }
    let rates = evaluation.results.first().map(|model| &model.identity.verification.tar_at_far);
    let rates = rates.map_or(&[][..], Vec::as_slice);
    let impossible = |reason: String| {
        EvaluateError::Impossible(format!(
            "{}: {reason}",
            result_files(run, Part::Gallery)[0].display()
        ))
    };
    let known = || {
        let known = rates.iter().filter(|rate| rate.threshold.is_some());
        known.map(|rate| format!("{:e}", rate.far)).collect::<Vec<_>>().join(", ")
    };
    let rate = rates.iter().find(|rate| (rate.far / far - 1.0).abs() < 1e-6);
    rate.and_then(|rate| rate.threshold).ok_or_else(|| {
        impossible(format!("tells no threshold of FAR {far:e}; it does of {}", known()))
    })
}
