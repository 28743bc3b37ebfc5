//! `evaluate`: a run and maps → how well people whom training never saw are recognised.

use super::embedding::embedded;
use super::recognition::{captures_of, task_samples};
use super::train::{CONFIG_FILE, SPLIT_FILE, learning_device, sample_source};
use super::{Baseline, Event, EventSink};
use crate::capture::LABEL_COLUMNS;
use crate::config::ConfigError;
use crate::dataset::{
    CaptureName, CaptureRef, Collection, Modality, PairList, Part, SampleSource, Split, whole_view,
};
use crate::eval::{
    Bootstrap, EVALUATION_FORMAT, Enrolment, Evaluation, IdentityResult, LabelValues, Leakage,
    Measure, Merge, MethodResult, PairsResult, Protocol, Searches, Undefined, best_threshold,
    cosine, flip_sum, identity_result, leakage_figure, round_scores, task_result, tenfold,
};
use crate::gpu::{DeviceRequest, GpuError};
use crate::io::{Embeddings, IoError, Picture, write_json};
use crate::report::{
    EvaluationReport, Match, MatchRow, PublishedStudy, contact_sheet, view_picture,
};
use crate::train::{
    CheckpointError, Embedding, LabelError, Preset, TaskConfig, TrainConfig, TrainEvent, TrainedOn,
    class_of, embed, embed_views, load_best, read_train_config, stored_side,
};
use burn::module::Module;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Enrolled sessions of each person, 1 or more.
    pub templates: usize,
    pub merge: Merge,
    /// Draws of people for intervals; 0 for none.
    pub replicates: usize,
    pub baselines: Vec<Baseline>,
    /// Pairs to judge by in folds: a table of names, or LFW's `pairs.txt`.
    pub pairs: Option<PathBuf>,
    /// Adds the embedding of the mirrored capture before pairs are compared.
    pub flip_sum: bool,
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

/// Folder of an evaluation's page, plots and tables.
pub(super) fn report_folder(out: &Path, part: Part) -> PathBuf {
    out.join(format!("report-{part}"))
}

/// Evaluates a run and writes `evaluation-<split>.json`, `matches-<split>.png`,
/// `embeddings-<split>.safetensors` and `report-<split>/`.
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
    let packs = options.packs.as_deref();
    let source = sample_source(&config, &looked_at, &collection, packs, &warn)?;
    let (device, _) = learning_device(&options.device, emit)?;
    let checkpoint = load_best(run, &TrainedOn::new(&config, &split), &device)?;
    let network = checkpoint.network.valid();
    let embeddings =
        embed(&network, &source, &captures, config.input_side, shown.as_deref(), &device)
            .map_err(EvaluateError::Impossible)?;
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
        embed(&network, &source, &others, config.input_side, shown.as_deref(), &device)
            .map_err(EvaluateError::Impossible)?
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
    let by_pairs = match &options.pairs {
        None => None,
        Some(list) => {
            let mirrored = if options.flip_sum {
                embed_views(
                    &network,
                    &source,
                    &captures,
                    config.input_side,
                    shown.as_deref(),
                    true,
                    &device,
                )
                .map_err(EvaluateError::Impossible)?
            } else {
                Vec::new()
            };
            let vectors = summed_with_mirrored(&identity, &mirrored);
            Some(judge_pairs(list, &collection, &captures, &vectors)?)
        }
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
        bootstrap: judge.bootstrap,
        results,
        pairs: by_pairs,
        warnings: checkpoint.warnings,
    };

    let [json, sheet] = result_files(&options.out, *part);
    write_json(&json, &evaluation)?;
    let match_rows = judge.match_rows(&identity, &source)?;
    let title = format!(
        "{} probes of {} people, enrolled once each: mistakes first, then a selection",
        protocol.rounds[0].probes.len(),
        protocol.people()
    );
    contact_sheet(&title, &match_rows).write(&sheet)?;
    let kept = Embeddings {
        model,
        captures: captures.iter().map(embedded).collect(),
        dim: identity.first().map_or(0, Vec::len),
        vectors: identity.concat(),
    };
    kept.write(&embeddings_file(&options.out, *part))?;
    let sheet_bytes = std::fs::read(&sheet).map_err(|e| IoError::from_system(&sheet, e))?;
    let title = format!("{} on the {part} split", run.display());
    let original = PublishedStudy::original();
    let report = EvaluationReport {
        title: &title,
        evaluation: &evaluation,
        match_sheet: Some(&sheet_bytes),
        published: (config.preset == Preset::Legacy).then_some(&original),
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

/// Verification by a list of pairs, all of whose captures must be among those that are evaluated.
fn judge_pairs(
    path: &Path,
    collection: &Collection,
    captures: &[CaptureRef<'_>],
    vectors: &[Vec<f32>],
) -> Result<PairsResult, EvaluateError> {
    let list = if path.extension().is_some_and(|extension| extension == "txt") {
        let all = collection.captures();
        let sessions = all.map(|c| (c.row.id.as_str(), c.row.session.as_str())).collect();
        PairList::read_lfw(path, &sessions)?
    } else {
        PairList::read(path)?
    };
    let places: BTreeMap<(&str, &str), usize> = captures
        .iter()
        .enumerate()
        .map(|(i, c)| ((c.row.id.as_str(), c.row.session.as_str()), i))
        .collect();
    let (mut scores, mut same, mut folds) = (Vec::new(), Vec::new(), Vec::new());
    for (fold, [a, b], is_same) in list.pairs() {
        let place = |name: &CaptureName| {
            places.get(&(name.id.as_str(), name.session.as_str())).copied().ok_or_else(|| {
                EvaluateError::Impossible(format!(
                    "{}: names {}/{}, which is not in the evaluated part of the split; draw the pairs \
                     from that part, or give its name with --split",
                    path.display(),
                    name.id,
                    name.session
                ))
            })
        };
        scores.push(cosine(&vectors[place(a)?], &vectors[place(b)?]));
        same.push(is_same);
        folds.push(fold);
    }
    let judged = tenfold(&scores, &same, &folds)
        .map_err(|reason| EvaluateError::Impossible(format!("{}: {reason}", path.display())))?;
    Ok(PairsResult {
        list_hash: list.sha256(),
        pairs: scores.len(),
        folds: judged.folds.len(),
        accuracy: judged.accuracy,
        standard_error: judged.standard_error,
        people_in_several_folds: list.people_across_folds().len(),
    })
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

/// A capture's first modality, as the network would see all of it.
fn picture(source: &SampleSource, capture: CaptureRef<'_>, config: &TrainConfig) -> Picture {
    let sample = source.sample(capture);
    let side = stored_side(config.input_side);
    view_picture(&whole_view(&sample, side).maps[0], side, sample.maps[0].0)
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

    /// Of the first round: wrong answers first, the worst at the top, then right ones spread over the
    /// probes.
    fn match_rows(
        &self,
        vectors: &[Vec<f32>],
        source: &SampleSource,
    ) -> Result<Vec<MatchRow>, EvaluateError> {
        let impossible = |reason: Undefined| EvaluateError::Impossible(reason.to_string());
        let Self { captures, protocol, config, .. } = *self;
        let round = &protocol.rounds[0];
        let scores = round_scores(round, &round.probes, vectors, self.merge).map_err(impossible)?;
        let rank = |i: &usize| {
            let own = protocol.person[round.probes[*i]];
            let row = &scores[*i];
            (0..row.len()).filter(|&other| other != own && row[other] >= row[own]).count()
        };
        let (mut wrong, right): (Vec<usize>, Vec<usize>) =
            (0..scores.len()).partition(|i| rank(i) > 0);
        wrong.sort_by_key(|i| std::cmp::Reverse(rank(i)));
        wrong.truncate(SHEET_ROWS / 2);
        let room = SHEET_ROWS - wrong.len();
        let step = right.len().div_ceil(room).max(1);
        let chosen = wrong.into_iter().chain(right.into_iter().step_by(step));
        let row = |i: usize| {
            let probe = round.probes[i];
            let mut order: Vec<usize> = (0..scores[i].len()).collect();
            order.sort_by(|&a, &b| scores[i][b].total_cmp(&scores[i][a]));
            let found = |&person: &usize| {
                let template = captures[round.enrolled[person][0]];
                Match {
                    picture: picture(source, template, config),
                    id: template.row.id.clone(),
                    similarity: scores[i][person],
                    right: person == protocol.person[probe],
                }
            };
            MatchRow {
                picture: picture(source, captures[probe], config),
                name: captures[probe].row.name(),
                matches: order.iter().take(SHEET_MATCHES).map(found).collect(),
            }
        };
        Ok(chosen.map(row).collect())
    }
}
