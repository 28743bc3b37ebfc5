//! `demo`: the three jobs in a row on captures made in code; no data, no GPU, no settings.

use super::{
    Baseline, EvaluateError, EvaluateOptions, EvaluateSummary, Event, EventSink, PreprocessError,
    PreprocessOptions, SynthError, SynthOptions, TrainOptions, TrainRunError, evaluate, preprocess,
    synth, train,
};
use crate::dataset::{Manifest, Part, files};
use crate::eval::{Bootstrap, Enrolment, Merge};
use crate::gpu::DeviceRequest;
use crate::io::{FolderLock, IoError, read_picture, write_atomically};
use crate::report::stacked;
use crate::synth::{SET_FILE, SynthSet};
use crate::train::resolve_train_config;
use std::path::{Path, PathBuf};

/// Enough people to hold some back, small enough for minutes on two cores.
const SET: SynthSet = SynthSet::photoface_twin(60, 6, 128, 7);
const CONFIG: &str = include_str!("../../configs/demo.toml");
const README: &str = include_str!("demo_readme.txt");
/// People on the overview of maps.
const OVERVIEW_ROWS: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Synth(#[from] SynthError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error(transparent)]
    Train(#[from] TrainRunError),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error("{0}")]
    Impossible(String),
}

#[derive(Clone, Debug)]
pub struct DemoSummary {
    pub evaluation: EvaluateSummary,
    /// What a newcomer would want to open, with a word on each.
    pub worth_opening: Vec<(PathBuf, &'static str)>,
    pub problems: Vec<String>,
}

/// Renders captures, makes maps, trains and evaluates, all below `out`.
pub fn demo(
    out: &Path,
    device: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<DemoSummary, DemoError> {
    let is_foreign = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some())
        && !out.join("captures").join(SET_FILE).exists()
        && !out.join(".lock").exists();
    if is_foreign {
        return Err(DemoError::Impossible(format!(
            "{}: holds files that the demo did not write; choose another --out",
            out.display()
        )));
    }
    let _lock = FolderLock::acquire(out)?;
    let (captures, maps, run) = (out.join("captures"), out.join("maps"), out.join("run"));
    let stage = |name: &str| emit(Event::StageStarted { name: name.to_string() });

    stage("1/4 rendering captures of 60 people who do not exist");
    // The CPU's bytes are the same everywhere.
    let on_cpu = DeviceRequest::Cpu;
    synth(&SynthOptions { set: SET, faces: None, device: on_cpu, out: captures.clone() }, emit)?;

    stage("2/4 preprocess: normals, albedo and depth");
    let made = preprocess(&PreprocessOptions::of_photoface(captures, &maps, device), emit)?;
    let overview = out.join("maps.png");
    write_overview(&maps, &overview)?;

    stage("3/4 train: the multi-task network on albedo");
    let config = CONFIG
        .parse()
        .map_err(|e: toml::de::Error| e.to_string())
        .and_then(resolve_train_config)
        .map_err(DemoError::Impossible)?;
    train(
        &TrainOptions {
            config,
            data: vec![maps.clone()],
            packs: None,
            out: run.clone(),
            device: device.clone(),
            fresh: false,
            accept_changes: false,
        },
        emit,
    )?;

    stage("4/4 evaluate: people whom training never saw");
    let evaluation = evaluate(
        &EvaluateOptions {
            run: run.clone(),
            data: vec![maps],
            packs: None,
            part: Part::Gallery,
            modalities: None,
            enrolment: Enrolment::Each,
            templates: 1,
            merge: Merge::Best,
            replicates: Bootstrap::default().replicates,
            pairs: None,
            flip_sum: false,
            legacy: None,
            saliency: 0,
            baselines: vec![Baseline::Raw, Baseline::Albedo, Baseline::Normals],
            device: device.clone(),
            out: out.to_path_buf(),
        },
        emit,
    )?;
    let readme = out.join("README.txt");
    write_atomically(&readme, |file| file.write_all(README.as_bytes()))?;
    let worth_opening = vec![
        (overview, "lit image, normals, albedo, depth, residual of four people"),
        (evaluation.sheet.clone(), "who was recognised as whom"),
        (evaluation.report.clone(), "every figure and plot, with intervals"),
        (evaluation.json.clone(), "the same for programs"),
        (readme, "what every file is, and what to try next"),
    ];
    Ok(DemoSummary { evaluation, worth_opening, problems: made.problems })
}

/// The previews of one session each of the first people, one below the other.
fn write_overview(maps: &Path, path: &Path) -> Result<(), IoError> {
    let manifest = Manifest::read(maps)?;
    let mut pictures = Vec::new();
    let mut last_id = "";
    for row in &manifest.rows {
        if row.id != last_id && pictures.len() < OVERVIEW_ROWS {
            pictures.push(read_picture(&manifest.path(row, files::PREVIEW))?);
            last_id = &row.id;
        }
    }
    stacked(&pictures).write(path).map(drop)
}
