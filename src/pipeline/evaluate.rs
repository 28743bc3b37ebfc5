//! `evaluate`: a run and maps → how well people whom training never saw are recognised.

use super::recognition::{captures_of, task_results};
use super::train::{CONFIG_FILE, SPLIT_FILE, learning_device, sample_source};
use super::{Baseline, Event, EventSink};
use crate::config::ConfigError;
use crate::dataset::{CaptureRef, Collection, Modality, Part, SampleSource, Split, whole_view};
use crate::eval::{Enrolment, Evaluation, MethodResult, Protocol, similarity};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{IoError, Picture, write_atomically};
use crate::report::{Match, MatchRow, contact_sheet, view_picture};
use crate::train::{
    CheckpointError, LabelError, TrainConfig, TrainEvent, TrainedOn, embed, load_best,
    read_train_config, stored_side,
};
use burn::module::Module;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rows of the contact sheet.
const SHEET_ROWS: usize = 20;
const SHEET_MATCHES: usize = 5;

#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Run folder of `train`.
    pub run: PathBuf,
    /// Folders of maps with their manifests.
    pub data: Vec<PathBuf>,
    /// Folder for packed maps; in the folders of maps where `None`.
    pub packs: Option<PathBuf>,
    pub part: Part,
    /// Of the run's modalities those that the network is shown; all where `None`.
    pub modalities: Option<Vec<Modality>>,
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

/// The files that an evaluation of a part leaves.
pub(super) fn result_files(out: &Path, part: Part) -> [PathBuf; 2] {
    [out.join(format!("evaluation-{part}.json")), out.join(format!("matches-{part}.png"))]
}

/// Evaluates a run and writes `evaluation-<split>.json` and `matches-<split>.png`.
pub fn evaluate(
    options: &EvaluateOptions,
    emit: EventSink<'_>,
) -> Result<EvaluateSummary, EvaluateError> {
    let EvaluateOptions { run, data, part, .. } = options;
    let config = read_train_config(&run.join(CONFIG_FILE))?;
    let shown = shown_modalities(&config, options.modalities.as_deref())
        .map_err(EvaluateError::Impossible)?;
    let split = Split::read(&run.join(SPLIT_FILE))?;
    let collection = Collection::read(data)?;
    let captures = captures_of(&collection, &split, *part);
    let ids: Vec<&str> = captures.iter().map(|capture| capture.row.id.as_str()).collect();
    let protocol = Protocol::new(&ids, options.enrolment);
    if split.people(*part).next().is_none() && protocol.people() == 0 {
        return Err(EvaluateError::Impossible(format!(
            "{}: kept nobody for {part}; train with split.{part}_count, or choose another --split",
            run.display()
        )));
    }
    if protocol.people() == 0 {
        let folders: Vec<String> = data.iter().map(|path| path.display().to_string()).collect();
        return Err(EvaluateError::Impossible(format!(
            "{}: holds nobody of the run's {part} split; give the maps that it was trained with, \
             or people kept from training",
            folders.join(", ")
        )));
    }

    let warn = |text: String| emit(Event::Train(TrainEvent::Warning { text }));
    let looked_at: Vec<Modality> = match &shown {
        Some(shown) => {
            let pairs = config.modalities.iter().zip(shown);
            pairs.filter(|(_, shown)| **shown).map(|(&modality, _)| modality).collect()
        }
        None => config.modalities.clone(),
    };
    let packs = options.packs.as_deref();
    let source = sample_source(&config, &looked_at, &collection, packs, &warn)?;
    let (device, _) = learning_device(&options.device, emit)?;
    let checkpoint = load_best(run, &TrainedOn::new(&config, &split), &device)?;
    let network = checkpoint.network.valid();
    let embeddings =
        embed(&network, &source, &captures, config.input_side, shown.as_deref(), &device)
            .map_err(EvaluateError::Impossible)?;
    emit(Event::EmbeddingsReady { count: embeddings.len() });

    let identity: Vec<Vec<f32>> = embeddings.iter().map(|e| e.identity.clone()).collect();
    let shown_names = looked_at.iter().map(|m| m.name()).collect::<Vec<_>>().join(" + ");
    let mut results = vec![MethodResult {
        method: format!("model ({shown_names})"),
        identity: protocol.identity_result(&identity),
        tasks: task_results(&captures, &embeddings, &config.tasks)?,
    }];
    for &baseline in &options.baselines {
        let vectors = baseline.vectors(&collection, &captures)?;
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
        epoch: checkpoint.epoch(),
        enrolled: protocol.people(),
        rounds: protocol.rounds.len(),
        probes: protocol.probes(),
        genuine_pairs,
        impostor_pairs: genuine_pairs * (protocol.people() - 1),
        results,
        warnings: checkpoint.warnings,
    };

    let [json, sheet] = result_files(&options.out, *part);
    let text = serde_json::to_vec_pretty(&evaluation)
        .map_err(|e| EvaluateError::Impossible(e.to_string()))?;
    write_atomically(&json, |out| out.write_all(&text))?;
    let match_rows = match_rows(&captures, &protocol, &identity, &source, &config);
    let title = format!(
        "{} probes of {} people, enrolled once each: mistakes first, then a selection",
        protocol.rounds[0].probes.len(),
        protocol.people()
    );
    contact_sheet(&title, &match_rows).write(&sheet)?;
    Ok(EvaluateSummary { evaluation, json, sheet })
}

/// Which of a run's modalities are shown, in their order; `None` for all.
fn shown_modalities(
    config: &TrainConfig,
    wanted: Option<&[Modality]>,
) -> Result<Option<Vec<bool>>, String> {
    let Some(wanted) = wanted else { return Ok(None) };
    if let Some(stranger) = wanted.iter().find(|m| !config.modalities.contains(m)) {
        return Err(format!("--modalities: the run was not trained on {}", stranger.name()));
    }
    if let Some((_, twice)) = wanted.iter().enumerate().find(|(i, m)| wanted[..*i].contains(m)) {
        return Err(format!("--modalities: {} is given twice", twice.name()));
    }
    if wanted.len() < config.modalities.len() && config.fusion.modality_dropout == 0.0 {
        return Err("--modalities: the run needs all of its modalities; train with \
             fusion.modality_dropout for a network that serves any of them"
            .into());
    }
    Ok(Some(config.modalities.iter().map(|m| wanted.contains(m)).collect()))
}

/// A capture's first modality, as the network would see all of it.
fn picture(source: &SampleSource, capture: CaptureRef<'_>, config: &TrainConfig) -> Picture {
    let sample = source.sample(capture);
    let side = stored_side(config.input_side);
    view_picture(&whole_view(&sample, side).maps[0], side, sample.maps[0].0)
}

/// Of the first round: wrong answers first, the worst at the top, then right ones spread over the probes.
fn match_rows(
    captures: &[CaptureRef<'_>],
    protocol: &Protocol<'_>,
    vectors: &[Vec<f32>],
    source: &SampleSource,
    config: &TrainConfig,
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
                    picture: picture(source, captures[template], config),
                    id: captures[template].row.id.clone(),
                    similarity: similarity::cosine(&vectors[probe], &vectors[template]),
                    right: captures[template].row.id == captures[probe].row.id,
                }
            });
            MatchRow {
                picture: picture(source, captures[probe], config),
                name: captures[probe].row.name(),
                matches: matches.collect(),
            }
        })
        .collect()
}
