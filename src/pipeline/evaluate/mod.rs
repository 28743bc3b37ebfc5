//! `evaluate`: a run and maps → how well people whom training never saw are recognised.

mod pairs;
mod saliency;
mod sheets;

use super::embedding::embedded;
use super::map_settings::MapSettings;
use super::recognition::{captures_of, failure_to_acquire, task_samples};
use super::train::{CONFIG_FILE, SPLIT_FILE, learning_device, sample_source};
use super::{Baseline, Event, EventSink};
use crate::capture::LABEL_COLUMNS;
use crate::config::ConfigError;
use crate::dataset::{CaptureRef, Collection, LegacySets, Modality, Part, Split};
use crate::eval::{
    Bootstrap, EVALUATION_FORMAT, Enrolment, Evaluation, IdentityResult, LabelValues, Leakage,
    Measure, Merge, MethodResult, Protocol, Searches, best_threshold, flip_sum, identity_result,
    leakage_figure, task_result,
};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{Embeddings, IoError, remove_file, write_json};
use crate::model::ConfidenceInput;
use crate::report::{EvaluationReport, PublishedStudy};
use crate::train::{
    CheckpointError, Embedder, Embedding, LabelError, Preset, TaskConfig, TrainConfig, TrainEvent,
    TrainedOn, class_of, load_best, read_train_config,
};
use burn::module::Module;
use pairs::{PairSource, judge_legacy, judge_named_pairs, judge_photo_pairs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
    /// Enrolled sessions of each person, 1 or more.
    pub templates: usize,
    pub merge: Merge,
    /// Draws of people for intervals; 0 for none.
    pub replicates: usize,
    pub baselines: Vec<Baseline>,
    /// Pairs to judge by in folds: a table of names, LFW's `pairs.txt`, or InsightFace's `.bin`.
    pub pairs: Option<PathBuf>,
    /// Adds the embedding of the mirrored capture before pairs are compared.
    pub flip_sum: bool,
    /// Folder of the legacy protocol's tables, whose test captures are set against its gallery's.
    pub legacy: Option<PathBuf>,
    /// For how many probes to show what carried their best match.
    pub saliency: usize,
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
    /// The page of all figures and plots.
    pub report: PathBuf,
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

/// The embeddings that an evaluation of a part is made of, for `compare`.
pub(super) fn embeddings_file(out: &Path, part: Part) -> PathBuf {
    out.join(format!("embeddings-{part}.safetensors"))
}

/// What carried the best matches: a sheet and a table.
pub(super) fn saliency_files(out: &Path, part: Part) -> [PathBuf; 2] {
    [out.join(format!("saliency-{part}.png")), out.join(format!("saliency-{part}.csv"))]
}

/// Folder of an evaluation's page, plots and tables.
pub(super) fn report_folder(out: &Path, part: Part) -> PathBuf {
    out.join(format!("report-{part}"))
}

/// Evaluates a run and writes `evaluation-<split>.json`, `matches-<split>.png`,
/// `embeddings-<split>.safetensors` and `report-<split>/`; if asked for, `saliency-<split>.png` and `.csv`.
pub fn evaluate(
    options: &EvaluateOptions,
    emit: EventSink<'_>,
) -> Result<EvaluateSummary, EvaluateError> {
    let EvaluateOptions { run, data, part, .. } = options;
    let config = read_train_config(&run.join(CONFIG_FILE))?;
    let shown = shown_modalities(&config, options.modalities.as_deref())
        .map_err(EvaluateError::Impossible)?;
    let split = Split::read(&run.join(SPLIT_FILE))?;
    MapSettings::check(run, data)?;
    let collection = Collection::read(data)?;
    let captures = captures_of(&collection, &split, *part);
    let ids: Vec<&str> = captures.iter().map(|capture| capture.row.id.as_str()).collect();
    let protocol = Protocol::new(&ids, options.enrolment, options.templates);
    if split.people(*part).next().is_none() && protocol.people() == 0 {
        return Err(EvaluateError::Impossible(format!(
            "{}: kept nobody for {part}; train with split.{part}_count, or choose another --split",
            run.display()
        )));
    }
    if protocol.people() > 0 && protocol.probes() == 0 {
        return Err(EvaluateError::Impossible(format!(
            "nobody of the {part} split has more than {} sessions, so nobody is left to ask; lower \
             --templates or give more sessions",
            options.templates
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
    // What is wrong with these is told before the network is asked.
    let pairs = match &options.pairs {
        Some(path) => Some((path, PairSource::read(path, &collection, &looked_at)?)),
        None => None,
    };
    let legacy = match &options.legacy {
        Some(folder) => Some((folder, LegacySets::read(folder)?)),
        None => None,
    };
    let packs = options.packs.as_deref();
    let source = sample_source(&config, &looked_at, &collection, packs, &warn)?;
    let (device, _) = learning_device(&options.device, emit)?;
    let checkpoint = load_best(run, &TrainedOn::new(&config, &split), &device)?;
    let network = checkpoint.network.valid();
    let embedder = Embedder {
        network: &network,
        input_side: config.input_side,
        shown: shown.as_deref(),
        device: &device,
    };
    let embed = |captures: &[CaptureRef<'_>], mirrored| {
        embedder.captures(&source, captures, mirrored).map_err(EvaluateError::Impossible)
    };
    let embeddings = embed(&captures, false)?;
    emit(Event::EmbeddingsReady { count: embeddings.len() });

    let judge = Judge {
        config: &config,
        captures: &captures,
        protocol: &protocol,
        merge: options.merge,
        bootstrap: Bootstrap { replicates: options.replicates, ..Bootstrap::default() },
    };
    let identity: Vec<Vec<f32>> = embeddings.iter().map(|e| e.identity.clone()).collect();
    let shown_names = looked_at.iter().map(|m| m.name()).collect::<Vec<_>>().join(" + ");
    let lengths: Vec<f64> = identity.iter().map(|vector| length(vector)).collect();
    // Thresholds are chosen on others than those whom they are judged on.
    let others = captures_of(&collection, &split, Part::Validation);
    let chosen_on = if *part == Part::Validation || config.tasks.is_empty() || others.is_empty() {
        Vec::new()
    } else {
        embed(&others, false)?
    };
    let mut tasks = BTreeMap::new();
    let mut leakage = Vec::new();
    for (index, task) in config.tasks.iter().enumerate() {
        let person = vec![0; others.len()];
        let chosen = task_samples(&others, &chosen_on, &person, index, task)?;
        let threshold = best_threshold(&chosen.probabilities, &chosen.labels).ok();
        let samples = task_samples(&captures, &embeddings, &protocol.person, index, task)?;
        let (people, bootstrap) = (protocol.people(), &judge.bootstrap);
        let result = task_result(&samples, &task.classes, people, threshold, bootstrap);
        tasks.insert(task.name.clone(), result);
        leakage.push(judge.leakage(task, &identity, &embeddings)?);
    }
    let method = format!("model ({shown_names})");
    let mut results = vec![MethodResult {
        identity: judge.identity(&method, &identity, Some(&lengths))?,
        method,
        tasks,
        leakage,
    }];
    for &baseline in &options.baselines {
        let vectors = baseline.vectors(&collection, &captures)?;
        let method = format!("pixels ({})", baseline.name());
        results.push(MethodResult {
            identity: judge.identity(&method, &vectors, None)?,
            method,
            tasks: BTreeMap::new(),
            leakage: Vec::new(),
        });
    }
    let by_pairs = match &pairs {
        None => None,
        Some((path, PairSource::Photos(pairs))) => {
            let confidence = config.network.confidence != ConfidenceInput::None;
            Some(judge_photo_pairs(path, pairs, &embedder, options.flip_sum, confidence)?)
        }
        Some((path, PairSource::Named(list))) => {
            let mirrored = if options.flip_sum { embed(&captures, true)? } else { Vec::new() };
            let vectors = summed_with_mirrored(&identity, &mirrored);
            Some(judge_named_pairs(path, list, &captures, &vectors)?)
        }
    };
    let by_legacy = match &legacy {
        Some((folder, sets)) => Some(judge_legacy(folder, sets, &judge, &identity)?),
        None => None,
    };
    // Shown less, it is another network as far as its embeddings go.
    let model = match &shown {
        Some(shown) if shown.contains(&false) => {
            format!("{} shown {shown_names}", checkpoint.weights_hash)
        }
        _ => checkpoint.weights_hash.clone(),
    };
    let evaluation = Evaluation {
        format: EVALUATION_FORMAT,
        split: part.to_string(),
        split_hash: split.sha256(),
        model: model.clone(),
        epoch: checkpoint.epoch(),
        enrolment: options.enrolment,
        merge: options.merge,
        enrolled: protocol.people(),
        templates_per_person: options.templates,
        rounds: protocol.rounds.len(),
        probes: protocol.probes(),
        failure_to_acquire: failure_to_acquire(&collection, &split, *part),
        bootstrap: judge.bootstrap,
        results,
        pairs: by_pairs,
        legacy: by_legacy,
        warnings: checkpoint.warnings,
    };

    let [json, sheet] = result_files(&options.out, *part);
    write_json(&json, &evaluation)?;
    let ranked = judge.ranked(&identity)?;
    let matches = judge.match_sheet(&ranked, &identity, &source)?.write(&sheet)?;
    let carried = if options.saliency > 0 {
        let [picture, table] = saliency_files(&options.out, *part);
        let drawn = judge.saliency_sheet(
            &ranked,
            options.saliency,
            &identity,
            &source,
            &embedder,
            &table,
        )?;
        Some(drawn.write(&picture)?)
    } else {
        // Of an earlier evaluation, which this one replaces.
        for stale in saliency_files(&options.out, *part) {
            remove_file(&stale)?;
        }
        None
    };
    let kept = Embeddings {
        model,
        captures: captures.iter().map(embedded).collect(),
        dim: identity.first().map_or(0, Vec::len),
        vectors: identity.concat(),
    };
    kept.write(&embeddings_file(&options.out, *part))?;
    let title = format!("{} on the {part} split", run.display());
    let original = PublishedStudy::original();
    let report = EvaluationReport {
        title: &title,
        evaluation: &evaluation,
        match_sheet: Some(&matches),
        saliency: carried.as_deref(),
        published: (config.preset == Preset::Legacy || options.legacy.is_some())
            .then_some(&original),
    }
    .write(&report_folder(&options.out, *part))?;
    Ok(EvaluateSummary { evaluation, json, sheet, report })
}

/// Each vector, or its sum with that of the mirrored capture.
fn summed_with_mirrored(vectors: &[Vec<f32>], mirrored: &[Embedding]) -> Vec<Vec<f32>> {
    if mirrored.is_empty() {
        return vectors.to_vec();
    }
    vectors.iter().zip(mirrored).map(|(a, b)| flip_sum(a, &b.identity)).collect()
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
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

/// What all figures of an evaluation are made with.
struct Judge<'a> {
    config: &'a TrainConfig,
    captures: &'a [CaptureRef<'a>],
    protocol: &'a Protocol,
    merge: Merge,
    bootstrap: Bootstrap,
}

impl Judge<'_> {
    /// `lengths` of the vectors, where they mean quality.
    fn identity(
        &self,
        name: &str,
        vectors: &[Vec<f32>],
        lengths: Option<&[f64]>,
    ) -> Result<IdentityResult, EvaluateError> {
        let searches = |measure| {
            Searches::new(self.protocol, vectors, measure, self.merge).map_err(|_| {
                EvaluateError::Impossible(format!(
                    "{name}: a vector is zero or not finite, so it is like nobody; train longer, \
                         or leave the baseline out"
                ))
            })
        };
        let one_template =
            self.protocol.rounds.iter().flat_map(|r| &r.enrolled).all(|t| t.len() == 1);
        let labels: Vec<LabelValues<'_>> = LABEL_COLUMNS
            .iter()
            .filter(|_| one_template && lengths.is_some())
            .map(|&label| {
                let values = self.captures.iter();
                (
                    label,
                    values.map(|c| c.row.labels.get(label).map(String::as_str)).collect::<Vec<_>>(),
                )
            })
            .filter(|(_, values)| values.iter().flatten().collect::<BTreeSet<_>>().len() > 1)
            .collect();
        let (cosine, euclidean) = (searches(Measure::Cosine)?, searches(Measure::Euclidean)?);
        Ok(identity_result(&cosine, &euclidean, lengths, &labels, &self.bootstrap))
    }

    fn leakage(
        &self,
        task: &TaskConfig,
        identity: &[Vec<f32>],
        embeddings: &[Embedding],
    ) -> Result<Leakage, EvaluateError> {
        let labels: Vec<Option<usize>> =
            self.captures.iter().map(|c| class_of(task, c.row)).collect::<Result<_, _>>()?;
        let (person, people) = (&self.protocol.person, self.protocol.people());
        let figure = |vectors: &[Vec<f32>]| {
            let classes = task.classes.len();
            leakage_figure(vectors, &labels, person, classes, people, &self.bootstrap)
        };
        let shared: Vec<Vec<f32>> = embeddings.iter().map(|e| e.shared.clone()).collect();
        Ok(Leakage {
            label: task.name.clone(),
            classes: task.classes.clone(),
            labelled: labels.iter().flatten().count(),
            identity: figure(identity),
            before_separation: Some(figure(&shared)),
        })
    }
}
