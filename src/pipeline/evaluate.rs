//! `evaluate`: a run and maps → how well people whom training never saw are recognised.
//!
//! The first session of each person is enrolled; every other session is a probe. An enrolled
//! session is never a probe.

use super::train::{CONFIG_FILE, SPLIT_FILE, learning_device, read_train_config};
use super::{Event, EventSink};
use crate::config::{ConfigError, did_you_mean};
use crate::dataset::{
    Manifest, ManifestRow, Modality, Part, Sample, Split, files, load_sample, resample_area,
};
use crate::eval::{
    Evaluation, IdentityResult, MethodResult, Ranking, TaskResult, Undefined, macro_auc,
    rank_gallery, rank_k, roc_auc, similarity,
};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{IoError, read_grey, read_normals, read_plane, write_atomically};
use crate::maps::{Plane, Size};
use crate::report::{Match, MatchRow, contact_sheet, sample_picture};
use crate::train::{
    CheckpointError, Embedding, LabelError, TrainConfig, class_of, embed, load_latest,
    network_config, stored_side,
};
use burn::module::Module;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Size at which the baselines compare pixels.
const BASELINE_SIZE: Size = Size { height: 48, width: 42 };
/// Rows of the contact sheet.
const SHEET_ROWS: usize = 20;
const SHEET_MATCHES: usize = 5;

/// A comparison without learning: cosine of contrast-normalised pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Of one lit image.
    Raw,
    Albedo,
    Normals,
}

impl std::str::FromStr for Baseline {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "raw" => Ok(Self::Raw),
            "albedo" => Ok(Self::Albedo),
            "normals" => Ok(Self::Normals),
            _ => Err(format!(
                "unknown baseline `{name}`{}; known: raw, albedo, normals",
                did_you_mean(name, &["raw", "albedo", "normals"])
            )),
        }
    }
}

#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Run folder of `train`.
    pub run: PathBuf,
    /// Folder of maps with its manifest.
    pub data: PathBuf,
    pub part: Part,
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

/// Which captures are enrolled and which ask; positions in the list of rows.
struct Protocol {
    enrolled: Vec<usize>,
    probes: Vec<usize>,
}

impl Protocol {
    /// Enrols the first session of each person; `rows` are in order of id and session.
    fn first_session(rows: &[&ManifestRow]) -> Self {
        let mut enrolled: Vec<usize> = Vec::new();
        let mut probes = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            match enrolled.last() {
                Some(&last) if rows[last].id == row.id => probes.push(i),
                _ => enrolled.push(i),
            }
        }
        Self { enrolled, probes }
    }
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
    let protocol = Protocol::first_session(&rows);
    if protocol.enrolled.is_empty() {
        return Err(EvaluateError::Impossible(format!(
            "{}: holds nobody of the run's {part} split; give the maps that it was trained with, \
             or people kept from training",
            data.display()
        )));
    }

    let samples = load_samples(&manifest, &rows, &config)?;
    let device = learning_device(&options.device, emit)?;
    let people = split.people(Part::Train).count();
    let checkpoint = load_latest(run, &network_config(&config, people), &device)?;
    let embeddings = embed(&checkpoint.network.valid(), &samples, config.input_side, &device)
        .map_err(EvaluateError::Impossible)?;
    emit(Event::EmbeddingsReady { count: embeddings.len() });

    let identity: Vec<Vec<f32>> = embeddings.iter().map(|e| e.identity.clone()).collect();
    let model = format!("model ({})", modality_name(config.modality));
    let mut results = vec![MethodResult {
        method: model,
        identity: identity_result(&rows, &protocol, &identity),
        tasks: task_results(&rows, &embeddings, &config)?,
    }];
    for &baseline in &options.baselines {
        let vectors = baseline_vectors(baseline, &manifest, &rows)?;
        results.push(MethodResult {
            method: format!("pixels ({})", baseline_name(baseline)),
            identity: identity_result(&rows, &protocol, &vectors),
            tasks: BTreeMap::new(),
        });
    }
    let genuine_pairs = protocol.probes.len();
    let evaluation = Evaluation {
        split: part.to_string(),
        epoch: checkpoint.epoch,
        enrolled: protocol.enrolled.len(),
        probes: protocol.probes.len(),
        genuine_pairs,
        impostor_pairs: genuine_pairs * (protocol.enrolled.len() - 1),
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
        protocol.probes.len(),
        protocol.enrolled.len()
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

fn baseline_name(baseline: Baseline) -> &'static str {
    match baseline {
        Baseline::Raw => "raw",
        Baseline::Albedo => "albedo",
        Baseline::Normals => "normals",
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

fn rankings(
    rows: &[&ManifestRow],
    protocol: &Protocol,
    vectors: &[Vec<f32>],
) -> Result<Vec<Ranking>, Undefined> {
    protocol
        .probes
        .iter()
        .map(|&probe| {
            let similarities: Vec<f64> = protocol
                .enrolled
                .iter()
                .map(|&template| similarity::cosine(&vectors[probe], &vectors[template]))
                .collect();
            let own = protocol.enrolled.iter().position(|&t| rows[t].id == rows[probe].id);
            rank_gallery(&similarities, own)
        })
        .collect()
}

fn identity_result(
    rows: &[&ManifestRow],
    protocol: &Protocol,
    vectors: &[Vec<f32>],
) -> IdentityResult {
    let pairs = || {
        protocol
            .probes
            .iter()
            .flat_map(|&probe| protocol.enrolled.iter().map(move |&template| (probe, template)))
    };
    let genuine: Vec<bool> = pairs().map(|(p, t)| rows[p].id == rows[t].id).collect();
    let auc = |measure: fn(&[f32], &[f32]) -> f64| {
        let scores: Vec<f64> = pairs().map(|(p, t)| measure(&vectors[p], &vectors[t])).collect();
        roc_auc(&scores, &genuine).into()
    };
    let rankings = rankings(rows, protocol, vectors);
    let rank = |k: usize| match &rankings {
        Ok(rankings) => rank_k(rankings, k).into(),
        Err(undefined) => Err(*undefined).into(),
    };
    IdentityResult {
        auc_cosine: auc(similarity::cosine),
        auc_euclidean: auc(similarity::negative_distance),
        rank_1: rank(1),
        rank_5: rank(5),
    }
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

/// Contrast-normalised pixels of every capture.
fn baseline_vectors(
    baseline: Baseline,
    manifest: &Manifest,
    rows: &[&ManifestRow],
) -> Result<Vec<Vec<f32>>, IoError> {
    rows.par_iter()
        .map(|row| {
            let planes = match baseline {
                Baseline::Raw => vec![one_lit_image(row)?],
                Baseline::Albedo => vec![read_plane(&manifest.path(row, files::ALBEDO))?],
                Baseline::Normals => {
                    let normals = read_normals(&manifest.path(row, files::NORMALS))?;
                    [normals.x(), normals.y(), normals.z()]
                        .map(|c| Plane::new(normals.size, c.to_vec()))
                        .to_vec()
                }
            };
            Ok(planes.iter().flat_map(contrast_normalised).collect())
        })
        .collect()
}

/// One of the capture's lit images: which, follows from its name, so that over captures the
/// light falls from everywhere.
fn one_lit_image(row: &ManifestRow) -> Result<Plane<f32>, IoError> {
    let digest = Sha256::digest(row.name());
    let path: &Path = row
        .images
        .get(usize::from(digest[0]) % row.images.len().max(1))
        .ok_or_else(|| IoError::NotFound(PathBuf::from(format!("lit images of {}", row.name()))))?;
    let image = read_grey(path)?;
    let values = (0..image.size.area()).map(|p| image.pixels.get(p)).collect();
    Ok(Plane::new(image.size, values))
}

/// Small, mean zero; what is undefined becomes the mean.
fn contrast_normalised(plane: &Plane<f32>) -> Vec<f32> {
    let small = resample_area(plane, BASELINE_SIZE).data;
    let defined: Vec<f32> = small.iter().copied().filter(|v| !v.is_nan()).collect();
    let mean = defined.iter().sum::<f32>() / defined.len().max(1) as f32;
    small.into_iter().map(|v| if v.is_nan() { 0.0 } else { v - mean }).collect()
}

/// Wrong answers first, the worst at the top, then right ones spread over the probes.
fn match_rows(
    rows: &[&ManifestRow],
    protocol: &Protocol,
    vectors: &[Vec<f32>],
    samples: &[Sample],
    modality: Modality,
) -> Vec<MatchRow> {
    let Ok(rankings) = rankings(rows, protocol, vectors) else { return Vec::new() };
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
            let probe = protocol.probes[i];
            let matches = rankings[i].order.iter().take(SHEET_MATCHES).map(|&position| {
                let template = protocol.enrolled[position];
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
