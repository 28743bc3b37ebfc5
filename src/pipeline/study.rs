//! `study`: the same people, trained and evaluated in several ways, and one table of what came of it.
//!
//! ```text
//! study/captures, study/maps    rendered and solved once, unless maps are given
//! study/runs/<variant>          a training run each, with its evaluation
//! study/study.json, study.md    the table
//! ```
//!
//! Every step goes on where it stopped, so the whole does.

use super::{
    Baseline, EvaluateError, EvaluateOptions, Event, EventSink, PreprocessError, PreprocessOptions,
    SynthError, SynthOptions, TrainOptions, TrainRunError, evaluate, preprocess, synth, train,
};
use crate::config::{ConfigError, read_toml};
use crate::dataset::{Modality, Part};
use crate::eval::{Bootstrap, Enrolment, Evaluation, Merge, MethodResult};
use crate::gpu::DeviceRequest;
use crate::io::{IoError, write_atomically, write_json};
use crate::report::evaluation_table;
use crate::synth::SynthSet;
use crate::train::{TrainConfig, fill_in, resolve_train_config};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// What is rendered where no maps are given.
    pub captures: StudyCaptures,
    /// A training configuration without modalities, which each variant has its own of.
    pub train: toml::Table,
    pub variants: Vec<StudyVariant>,
}

/// Sessions before the Photoface rig's twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyCaptures {
    pub people: usize,
    /// Of each person.
    pub sessions: usize,
    /// Side of the images in pixels.
    pub size: usize,
    #[serde(default)]
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyVariant {
    /// Also of its run folder.
    pub name: String,
    pub modalities: Vec<Modality>,
    /// Earlier variants whose trained networks a concatenation is made of.
    #[serde(default)]
    pub members: Vec<String>,
    /// What is otherwise than for all.
    #[serde(default)]
    pub train: toml::Table,
}

#[derive(Clone, Debug)]
pub struct StudyOptions {
    pub config: StudyConfig,
    /// Folders of maps in place of rendered ones.
    pub data: Vec<PathBuf>,
    /// Variants to train; all where empty.
    pub only: Vec<String>,
    pub out: PathBuf,
    pub device: DeviceRequest,
}

#[derive(Clone, Debug)]
pub struct StudySummary {
    pub table: String,
    pub json: PathBuf,
    pub markdown: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Synth(#[from] SynthError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    // Not named `source`: an error chain would print it twice.
    #[error("variant `{variant}`: {error}{hint}")]
    Train { variant: String, error: Box<TrainRunError>, hint: String },
    #[error("variant `{variant}`: {error}")]
    Evaluate { variant: String, error: Box<EvaluateError> },
    #[error("{0}")]
    Impossible(String),
}

/// Reads a study's configuration and checks every variant of it.
pub fn read_study_config(path: &Path) -> Result<StudyConfig, ConfigError> {
    let config: StudyConfig = read_toml(path)?;
    variant_configs(&config, Path::new(""))
        .map_err(|reason| ConfigError::Impossible { path: path.to_path_buf(), reason })?;
    Ok(config)
}

/// The training configuration of every variant; members are runs below `out`.
fn variant_configs(config: &StudyConfig, out: &Path) -> Result<Vec<TrainConfig>, String> {
    let captures = &config.captures;
    if captures.people < 2 || captures.sessions < 2 || captures.size < 32 {
        return Err("captures: at least 2 people, 2 sessions and 32 pixels are needed".into());
    }
    if config.train.contains_key("modalities") {
        return Err("train.modalities: each variant has its own modalities; remove it".into());
    }
    let mut configs = Vec::new();
    for (index, variant) in config.variants.iter().enumerate() {
        let name = &variant.name;
        let fail = |reason: String| Err(format!("variant `{name}`: {reason}"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return fail("a name of letters, digits and - _ + . is needed".into());
        }
        if config.variants[..index].iter().any(|other| other.name == *name) {
            return fail("is listed twice".into());
        }
        let known = |member: &String| config.variants[..index].iter().any(|v| v.name == *member);
        if let Some(stranger) = variant.members.iter().find(|member| !known(member)) {
            return fail(format!("its member `{stranger}` is no variant before it"));
        }
        let mut table = toml::Table::new();
        let modalities = variant.modalities.iter().map(|m| m.name().into()).collect();
        table.insert("modalities".into(), toml::Value::Array(modalities));
        if !variant.members.is_empty() {
            let runs = variant.members.iter().map(|member| {
                toml::Value::String(run_folder(out, member).to_string_lossy().into_owned())
            });
            let members = toml::Value::Array(runs.collect());
            table.insert(
                "fusion".into(),
                toml::Table::from_iter([("members".to_string(), members)]).into(),
            );
        }
        fill_in(&mut table, variant.train.clone());
        fill_in(&mut table, config.train.clone());
        let resolved = match resolve_train_config(table) {
            Ok(resolved) => resolved,
            Err(reason) => return fail(reason),
        };
        if resolved.split.gallery_people.len().max(resolved.split.gallery_count) < 2 {
            return fail(
                "split.gallery_count: two people or more must be kept to evaluate on".into(),
            );
        }
        configs.push(resolved);
    }
    if configs.is_empty() {
        return Err("variants: none is listed".into());
    }
    Ok(configs)
}

fn run_folder(out: &Path, variant: &str) -> PathBuf {
    out.join("runs").join(variant)
}

/// A variant's line of the table.
#[derive(Serialize)]
struct StudyRow<'a> {
    variant: &'a str,
    epoch: usize,
    result: MethodResult,
}

/// Renders, solves, trains and evaluates what is not done yet, and writes the table.
pub fn study(options: &StudyOptions, emit: EventSink<'_>) -> Result<StudySummary, StudyError> {
    let StudyOptions { config, only, device, .. } = options;
    // Members are paths in the runs' configurations: the same wherever the command is given.
    let out = &std::path::absolute(&options.out).unwrap_or_else(|_| options.out.clone());
    let configs = variant_configs(config, out).map_err(StudyError::Impossible)?;
    if let Some(stranger) =
        only.iter().find(|name| config.variants.iter().all(|v| v.name != **name))
    {
        return Err(StudyError::Impossible(format!("--only: `{stranger}` is no variant")));
    }
    let data = if options.data.is_empty() {
        vec![make_maps(options, emit)?]
    } else {
        options.data.clone()
    };

    let mut rows = Vec::new();
    let mut baselines = Vec::new();
    let mut last: Option<Evaluation> = None;
    let chosen = |name: &String| only.is_empty() || only.contains(name);
    for (number, (variant, train_config)) in config.variants.iter().zip(configs).enumerate() {
        let name = &variant.name;
        if !chosen(name) {
            continue;
        }
        let total = config.variants.len();
        emit(Event::StageStarted { name: format!("variant {}/{total}: {name}", number + 1) });
        let run = run_folder(out, name);
        train(
            &TrainOptions {
                config: train_config,
                data: data.clone(),
                packs: None,
                out: run.clone(),
                device: device.clone(),
                fresh: false,
                accept_changes: false,
            },
            emit,
        )
        .map_err(|error| {
            // The flags are those of `train`.
            let hint = if error.to_string().contains("--fresh") {
                format!(" (in a study: delete {} to train the variant anew)", run.display())
            } else {
                String::new()
            };
            StudyError::Train { variant: name.clone(), error: Box::new(error), hint }
        })?;
        let first = last.is_none();
        let summary = evaluate(
            &EvaluateOptions {
                run: run.clone(),
                data: data.clone(),
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
                // They hang on the people alone, so once is enough.
                baselines: if first {
                    vec![Baseline::Raw, Baseline::Albedo, Baseline::Normals]
                } else {
                    Vec::new()
                },
                device: device.clone(),
                out: run,
            },
            emit,
        )
        .map_err(|e| StudyError::Evaluate { variant: name.clone(), error: Box::new(e) })?;
        let evaluation = summary.evaluation;
        let mut results = evaluation.results.clone().into_iter();
        if let Some(result) = results.next() {
            let result = MethodResult { method: name.clone(), ..result };
            rows.push(StudyRow { variant: name, epoch: evaluation.epoch, result });
        }
        baselines.extend(results);
        last = Some(evaluation);
    }
    let Some(last) = last else { return Err(StudyError::Impossible("nothing to do".into())) };

    let mut results: Vec<MethodResult> = rows.iter().map(|row| row.result.clone()).collect();
    results.extend(baselines.clone());
    let table = evaluation_table(&Evaluation { results, ..last.clone() });
    // A part of the variants must not replace the table of all.
    let suffix = if only.is_empty() { String::new() } else { format!("-{}", only.join("-")) };
    let json = out.join(format!("study{suffix}.json"));
    write_json(
        &json,
        &serde_json::json!({
            "config": config, "enrolled": last.enrolled, "rounds": last.rounds,
            "probes": last.probes, "variants": rows, "baselines": baselines,
        }),
    )?;
    let markdown = out.join(format!("study{suffix}.md"));
    let text = format!("{table}\n");
    write_atomically(&markdown, |file| file.write_all(text.as_bytes()))?;
    Ok(StudySummary { table, json, markdown })
}

fn make_maps(options: &StudyOptions, emit: EventSink<'_>) -> Result<PathBuf, StudyError> {
    let (captures, maps) = (options.out.join("captures"), options.out.join("maps"));
    let wanted = &options.config.captures;
    emit(Event::StageStarted {
        name: format!("rendering {} sessions of {} people", wanted.sessions, wanted.people),
    });
    let set = SynthSet::photoface_twin(wanted.people, wanted.sessions, wanted.size, wanted.seed);
    // The CPU's bytes are the same everywhere.
    let device = DeviceRequest::Cpu;
    synth(&SynthOptions { set, faces: None, device, out: captures.clone() }, emit)?;
    emit(Event::StageStarted { name: "preprocess: normals, albedo and depth".into() });
    let made =
        preprocess(&PreprocessOptions::of_photoface(captures, &maps, &options.device), emit)?;
    match made.problems.first() {
        None => Ok(maps),
        Some(problem) => Err(StudyError::Impossible(format!(
            "{} captures have no maps, the first: {problem}",
            made.problems.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = "
        [captures]
        people = 4
        sessions = 3
        size = 64
        [train]
        input_side = 32
        [train.split]
        gallery_count = 2
        [train.optimizer]
        batch_size = 8
        [[variants]]
        name = 'albedo'
        modalities = ['albedo']
        [[variants]]
        name = 'depth'
        modalities = ['depth']
        train.optimizer.epochs = 3
        [[variants]]
        name = 'both'
        modalities = ['albedo', 'depth']
        members = ['albedo', 'depth']
    ";

    fn configs(text: &str) -> Result<Vec<TrainConfig>, String> {
        variant_configs(&toml::from_str(text).unwrap(), Path::new("out"))
    }

    #[test]
    fn variants_take_what_is_for_all_and_put_theirs_before_it() {
        let configs = configs(STUDY).unwrap();
        assert_eq!(configs[0].optimizer.epochs, crate::train::OptimizerConfig::default().epochs);
        assert_eq!((configs[1].optimizer.epochs, configs[1].optimizer.batch_size), (3, 8));
        assert_eq!(
            configs[2].fusion.members,
            [Path::new("out/runs/albedo"), Path::new("out/runs/depth")]
        );
        assert!(configs[2].fusion.is_frozen());
    }

    #[test]
    fn what_is_wrong_with_a_variant_is_named() {
        let of = |from: &str, to: &str| configs(&STUDY.replacen(from, to, 1)).unwrap_err();
        assert!(of("name = 'both'", "name = 'depth'").contains("`depth`: is listed twice"));
        assert!(of("name = 'both'", "name = '../b'").contains("a name of letters"));
        assert!(of("members = ['albedo',", "members = ['normals',").contains("no variant before"));
        assert!(of("epochs = 3", "epochs = 0").contains("optimizer.epochs is 0"));
        assert!(of("sessions = 3", "sessions = 1").contains("2 sessions"));
        let general = of("input_side = 32", "input_side = 32\nmodalities = ['depth']");
        assert!(general.contains("its own modalities"), "{general}");
        assert!(of("gallery_count = 2", "gallery_count = 1").contains("two people or more"));
    }
}
