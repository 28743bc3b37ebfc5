//! `evaluate`: a run and maps → how well people whom training never saw are recognised.

use super::train::{CONFIG_FILE, SPLIT_FILE, learning_device, read_train_config};
use super::{Baseline, Event, EventSink};
use crate::config::ConfigError;
use crate::dataset::{Manifest, ManifestRow, Modality, Part, Sample, Split, load_sample};
use crate::eval::{
    Enrolment, Evaluation, MethodResult, Protocol, TaskResult, macro_auc, similarity,
};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{IoError, write_atomically};
use crate::report::{Match, MatchRow, contact_sheet, sample_picture};
use crate::train::{
    CheckpointError, Embedding, LabelError, TrainConfig, TrainedOn, class_of, embed, load_latest,
    stored_side,
};
use burn::module::Module;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Rows of the contact sheet.
const SHEET_ROWS: usize = 20;
const SHEET_MATCHES: usize = 5;

#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Run folder of `train`.
    pub run: PathBuf,
    /// Folder of maps with its manifest.
    pub data: PathBuf,
    pub part: Part,
    pub enrolment: Enrolment,
    pub baselines: Vec<Baseline>,
    pub device: DeviceRequest,
    /// Where the results go.
    pub out: PathBuf,
}

/// The result and where it was written.
#[derive(Clone, Debug)]
pub struct EvaluateSummary {
    pub evaluation: Evaluation,
    pub json: PathBuf,
    pub sheet: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error("{0}")]
    Impossible(String),
}

/// Evaluates a run and writes `evaluation-<split>.json` and `matches-<split>.png`.
pub fn evaluate(
    options: &EvaluateOptions,
    emit: EventSink<'_>,
) -> Result<EvaluateSummary, EvaluateError> {
    let EvaluateOptions { run, data, part, .. } = options;
    let config = read_train_config(&run.join(CONFIG_FILE))?;
    let split = Split::read(&run.join(SPLIT_FILE))?;
    let manifest = Manifest::read(data)?;
    let mut rows: Vec<&ManifestRow> = manifest
        .rows
        .iter()
        .filter(|row| split.parts.get(&row.id) == Some(part) && !row.training_only)
        .collect();
    rows.sort_by(|a, b| (&a.id, &a.session).cmp(&(&b.id, &b.session)));
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let protocol = Protocol::new(&ids, options.enrolment);
    if protocol.people() == 0 {
        return Err(EvaluateError::Impossible(format!(
            "{}: holds nobody of the run's {part} split; give the maps that it was trained with, \
             or people kept from training",
            data.display()
        )));
    }

    let samples = load_samples(&manifest, &rows, &config)?;
    let device = learning_device(&options.device, emit)?;
    let checkpoint = load_latest(run, &TrainedOn::new(&config, &split), &device)?;
    let embeddings = embed(&checkpoint.network.valid(), &samples, config.input_side, &device)
        .map_err(EvaluateError::Impossible)?;
    emit(Event::EmbeddingsReady { count: embeddings.len() });

    let identity: Vec<Vec<f32>> = embeddings.iter().map(|e| e.identity.clone()).collect();
    let model = format!("model ({})", modality_name(config.modality));
    let mut results = vec![MethodResult {
        method: model,
        identity: protocol.identity_result(&identity),
        tasks: task_results(&rows, &embeddings, &config)?,
    }];
    for &baseline in &options.baselines {
        let vectors = baseline.vectors(&manifest, &rows)?;
        results.push(MethodResult {
            method: format!("pixels ({})", baseline.name()),
            identity: protocol.identity_result(&vectors),
            tasks: BTreeMap::new(),
        });
    }
    // Every person is enrolled in every round, so each probe has one genuine pair.
    let genuine_pairs = protocol.probes();
    let evaluation = Evaluation {
        split: part.to_string(),
        epoch: checkpoint.epoch,
        enrolled: protocol.people(),
        rounds: protocol.rounds.len(),
        probes: protocol.probes(),
        genuine_pairs,
        impostor_pairs: genuine_pairs * (protocol.people() - 1),
        results,
        warnings: checkpoint.warnings,
    };

    let json = options.out.join(format!("evaluation-{part}.json"));
    let text = serde_json::to_vec_pretty(&evaluation)
        .map_err(|e| EvaluateError::Impossible(e.to_string()))?;
    write_atomically(&json, |out| out.write_all(&text))?;
    let sheet = options.out.join(format!("matches-{part}.png"));
    let match_rows = match_rows(&rows, &protocol, &identity, &samples, config.modality);
    let title = format!(
        "{} probes of {} people, enrolled once each: mistakes first, then a selection",
        protocol.rounds[0].probes.len(),
        protocol.people()
    );
    contact_sheet(&title, &match_rows).write(&sheet)?;
    Ok(EvaluateSummary { evaluation, json, sheet })
}

fn modality_name(modality: Modality) -> &'static str {
    match modality {
        Modality::Albedo => "albedo",
        Modality::Normals => "normals",
        Modality::Depth => "depth",
    }
}

fn load_samples(
    manifest: &Manifest,
    rows: &[&ManifestRow],
    config: &TrainConfig,
) -> Result<Vec<Sample>, IoError> {
    let side = stored_side(config.input_side);
    rows.par_iter().map(|row| load_sample(manifest, row, config.modality, side)).collect()
}

fn task_results(
    rows: &[&ManifestRow],
    embeddings: &[Embedding],
    config: &TrainConfig,
) -> Result<BTreeMap<String, TaskResult>, LabelError> {
    let mut results = BTreeMap::new();
    for (index, task) in config.tasks.iter().enumerate() {
        let (mut probabilities, mut labels) = (Vec::new(), Vec::new());
        for (row, embedding) in rows.iter().zip(embeddings) {
            if let Some(class) = class_of(task, row)? {
                probabilities.push(embedding.tasks[index].clone());
                labels.push(class);
            }
        }
        let auc = macro_auc(&probabilities, &labels).into();
        results.insert(task.name.clone(), TaskResult { auc, labelled: labels.len() });
    }
    Ok(results)
}

/// Of the first round: wrong answers first, the worst at the top, then right ones spread over the probes.
fn match_rows(
    rows: &[&ManifestRow],
    protocol: &Protocol<'_>,
    vectors: &[Vec<f32>],
    samples: &[Sample],
    modality: Modality,
) -> Vec<MatchRow> {
    let round = &protocol.rounds[0];
    let Ok(rankings) = protocol.rankings(round, vectors) else { return Vec::new() };
    let rank = |i: &usize| rankings[*i].own_rank.unwrap_or(usize::MAX);
    let (mut wrong, right): (Vec<usize>, Vec<usize>) =
        (0..rankings.len()).partition(|i| rank(i) > 1);
    wrong.sort_by_key(|i| std::cmp::Reverse(rank(i)));
    wrong.truncate(SHEET_ROWS / 2);
    let room = SHEET_ROWS - wrong.len();
    let step = right.len().div_ceil(room).max(1);
    let chosen = wrong.into_iter().chain(right.into_iter().step_by(step));
    chosen
        .map(|i| {
            let probe = round.probes[i];
            let matches = rankings[i].order.iter().take(SHEET_MATCHES).map(|&position| {
                let template = round.enrolled[position];
                Match {
                    picture: sample_picture(&samples[template], modality),
                    id: rows[template].id.clone(),
                    similarity: similarity::cosine(&vectors[probe], &vectors[template]),
                    right: rows[template].id == rows[probe].id,
                }
            });
            MatchRow {
                picture: sample_picture(&samples[probe], modality),
                name: rows[probe].name(),
                matches: matches.collect(),
            }
        })
        .collect()
}
