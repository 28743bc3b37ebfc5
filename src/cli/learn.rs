//! Commands that train and evaluate.

use super::progress::Progress;
use super::{OK, report_problems, say, tell, wrong_usage};
use crate::dataset::{Modality, Part};
use crate::eval::{
    DetectionCosts, Enrolment, Evaluation, FARS, Merge, OperatingPoint, all_pairs_roc,
};
use crate::face::{DetectorKind, import_yunet, weights_folder};
use crate::gpu::DeviceRequest;
use crate::io::Embeddings;
use crate::model::KeyReport;
use crate::pipeline::{
    Baseline, CompareOptions, EmbeddingSource, EvaluateOptions, ImportOptions, StudyOptions,
    TrainOptions, compare, demo, describe, embeddings_of, evaluate, export_weights, import_weights,
    read_study_config, study, train,
};
use crate::report::{comparison_table, evaluation_table};
use crate::train::read_train_config;
use clap::Subcommand;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(
    after_help = "Example: lumiface train configs/yaleb_albedo.toml --data maps/yaleb --out runs/yaleb_albedo"
)]
pub(super) struct TrainArguments {
    /// Training configuration
    config: PathBuf,
    /// Folder of maps with its manifest; repeatable, the same id is the same person in all
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Run folder
    #[arg(long)]
    out: PathBuf,
    /// Folder for the packed maps [default: packs/ in each folder of maps]
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// auto, cpu, gpu or gpu:NAME
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
    /// Delete what the run folder holds and start over
    #[arg(long)]
    fresh: bool,
    /// Go on with a configuration that is another than the one the run was begun with
    #[arg(long, conflicts_with = "fresh")]
    accept_changes: bool,
}

pub(super) fn run_train(arguments: TrainArguments) -> anyhow::Result<u8> {
    let options = TrainOptions {
        config: read_train_config(&arguments.config)?,
        data: arguments.data,
        packs: arguments.packs,
        out: arguments.out,
        device: arguments.device,
        fresh: arguments.fresh,
        accept_changes: arguments.accept_changes,
    };
    let progress = Progress::new();
    train(&options, &|event| progress.show(event))?;
    progress.finish();
    say!("trained: {}", options.out.display());
    Ok(OK)
}

#[derive(clap::Args)]
#[command(
    after_help = "Example: lumiface evaluate runs/yaleb_albedo --data maps/yaleb --split gallery --baseline raw,albedo,normals"
)]
pub(super) struct EvaluateArguments {
    /// Run folder of `train` or `weights import`
    run: PathBuf,
    /// Folder of maps with its manifest; repeatable
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Whom: gallery (never seen in training, with everyone whom the run does not know), test,
    /// validation or train
    #[arg(long, default_value = "gallery")]
    split: Part,
    /// Which session of each person is enrolled: the first, or each in turn, all rounds together
    #[arg(long, default_value = "first")]
    enrol: Enrolment,
    /// Sessions of each person that are enrolled together
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    templates: u16,
    /// How several templates of a person answer as one: best, mean, or quality (the mean weighted by
    /// the embeddings' lengths)
    #[arg(long, default_value = "best")]
    merge: Merge,
    /// Draws of people behind the 95 % intervals; 0 gives none, and too few for the number of people
    /// give none either
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    replicates: u32,
    /// Show the network only these of its modalities, comma-separated: albedo, normals, depth, raw;
    /// for runs trained with fusion.modality_dropout [default: all]
    #[arg(long, value_delimiter = ',')]
    modalities: Vec<Modality>,
    /// Comparisons without learning to set beside the model, comma-separated: raw, albedo, normals
    #[arg(long, value_delimiter = ',')]
    baseline: Vec<Baseline>,
    /// Judge by this list of pairs too, in folds: a table of `dataset pairs`, LFW's pairs.txt, or
    /// InsightFace's .bin of cropped photographs, for runs that are shown raw
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Compare pairs by the sum of each capture's embedding and its mirror image's
    #[arg(long, requires = "pairs")]
    flip_sum: bool,
    /// Set the test captures of the legacy protocol's tables in this folder against its gallery's,
    /// beside the figures that were published
    #[arg(long, value_name = "DIR")]
    legacy: Option<PathBuf>,
    /// Show what carried the best match of so many probes of the sheet of matches (20 at most), mistakes
    /// first, by hiding squares of each map: 150 to 250 looks of the network a map and probe
    #[arg(long, default_value_t = 0, value_name = "N")]
    saliency: usize,
    /// Folder for the packed maps [default: packs/ in each folder of maps]
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// auto, cpu, gpu or gpu:NAME
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
    /// Folder for the results [default: the run folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the results as JSON in place of the table
    #[arg(long)]
    json: bool,
}

pub(super) fn run_evaluate(arguments: EvaluateArguments) -> anyhow::Result<u8> {
    let modalities = arguments.modalities;
    let options = EvaluateOptions {
        out: arguments.out.unwrap_or_else(|| arguments.run.clone()),
        run: arguments.run,
        data: arguments.data,
        packs: arguments.packs,
        part: arguments.split,
        modalities: (!modalities.is_empty()).then_some(modalities),
        enrolment: arguments.enrol,
        templates: usize::from(arguments.templates),
        merge: arguments.merge,
        replicates: arguments.replicates as usize,
        baselines: arguments.baseline,
        pairs: arguments.pairs,
        flip_sum: arguments.flip_sum,
        legacy: arguments.legacy,
        saliency: arguments.saliency,
        device: arguments.device,
    };
    let progress = Progress::new();
    let summary = evaluate(&options, &|event| progress.show(event))?;
    progress.finish();
    for warning in &summary.evaluation.warnings {
        tell!("warning: {warning}");
    }
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&summary.evaluation)?);
    } else {
        print_evaluation(&summary.evaluation)?;
        say!("{}", summary.json.display());
        say!("{}", summary.sheet.display());
        say!("{}", summary.report.display());
    }
    Ok(OK)
}

#[derive(clap::Args)]
#[command(after_help = "Example: lumiface compare runs/albedo runs/normals --out runs/comparison")]
pub(super) struct CompareArguments {
    /// Run folders that were evaluated in the same way on the same maps; differences are to the first
    #[arg(required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Which evaluation: gallery, test, validation or train
    #[arg(long, default_value = "gallery")]
    split: Part,
    /// Folder for the page, its plots and tables
    #[arg(long)]
    out: PathBuf,
    /// Print the differences as JSON in place of the table
    #[arg(long)]
    json: bool,
}

pub(super) fn run_compare(arguments: CompareArguments) -> anyhow::Result<u8> {
    let options =
        CompareOptions { runs: arguments.runs, part: arguments.split, out: arguments.out };
    let summary = compare(&options)?;
    if arguments.json {
        let differences: Vec<_> = summary
            .differences
            .iter()
            .map(|d| {
                serde_json::json!({"run": d.run, "figure": d.figure, "difference": d.difference})
            })
            .collect();
        say!("{}", serde_json::to_string_pretty(&differences)?);
        return Ok(OK);
    }
    say!("{}", comparison_table(&summary.runs, &summary.differences));
    say!("{}", summary.report.display());
    Ok(OK)
}

#[derive(clap::Args)]
#[command(after_help = "Example: lumiface embed runs/albedo --data maps/new --out new.safetensors")]
pub(super) struct EmbedArguments {
    /// Run folder of `train` or `weights import`
    run: PathBuf,
    /// Folder of maps with its manifest; repeatable
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Only this part of the run's split: gallery, test, validation or train [default: everybody]
    #[arg(long)]
    split: Option<Part>,
    /// File to write
    #[arg(long)]
    out: PathBuf,
    /// Folder for the packed maps [default: packs/ in each folder of maps]
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// auto, cpu, gpu or gpu:NAME
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
}

pub(super) fn run_embed(arguments: EmbedArguments) -> anyhow::Result<u8> {
    let source = EmbeddingSource::Maps {
        run: arguments.run,
        data: arguments.data,
        part: arguments.split,
        packs: arguments.packs,
    };
    let progress = Progress::new();
    let embeddings = embeddings_of(&source, &arguments.device, &|event| progress.show(event))?;
    progress.finish();
    embeddings.write(&arguments.out)?;
    let count = embeddings.captures.len();
    say!("{count} embeddings of {} values: {}", embeddings.dim, arguments.out.display());
    Ok(OK)
}

#[derive(clap::Args)]
#[command(after_help = "Example: lumiface all-pairs runs/albedo/embeddings-gallery.safetensors")]
pub(super) struct AllPairsArguments {
    /// File of embeddings, as `embed` and `evaluate` write it
    embeddings: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run_all_pairs(arguments: AllPairsArguments) -> anyhow::Result<u8> {
    let path = &arguments.embeddings;
    let embeddings = Embeddings::read(path)?;
    let mut numbers = BTreeMap::new();
    let mut person = Vec::with_capacity(embeddings.captures.len());
    for capture in &embeddings.captures {
        let next = numbers.len() as u32;
        person.push(*numbers.entry(capture.id.as_str()).or_insert(next));
    }
    let roc = all_pairs_roc(&embeddings.vectors, embeddings.dim, &person)
        .map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
    let points: Vec<(f64, Option<OperatingPoint>)> =
        FARS.iter().map(|&far| (far, roc.at_far(far).ok())).collect();
    if arguments.json {
        let costs = roc.min_dcf(DetectionCosts::default());
        say!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({
                "captures": person.len(), "people": numbers.len(),
                "genuine_pairs": roc.genuine_pairs(), "impostor_pairs": roc.impostor_pairs(),
                "auc": roc.auc(), "eer": roc.eer(), "min_dcf": costs,
                "tar_at_far": points.iter().map(|(far, point)| serde_json::json!({
                    "far": far, "point": point,
                })).collect::<Vec<_>>(),
            }))?
        );
        return Ok(OK);
    }
    say!(
        "{} captures of {} people: {} genuine and {} impostor pairs",
        person.len(),
        numbers.len(),
        roc.genuine_pairs(),
        roc.impostor_pairs()
    );
    say!("AUC {:.6}, EER {:.4} %", roc.auc(), 100.0 * roc.eer());
    for (far, point) in points {
        match point {
            Some(p) => say!(
                "TAR {:.4} % at FAR {far:e} (reached {:.3e}, {} false accepts)",
                100.0 * p.tar,
                p.far,
                p.false_accepts
            ),
            None => say!("TAR – at FAR {far:e}: too few impostor pairs"),
        }
    }
    Ok(OK)
}

fn print_evaluation(e: &Evaluation) -> anyhow::Result<()> {
    say!(
        "split {}: {} people enrolled, {}{} probes, {} genuine and {} impostor pairs",
        e.split,
        e.enrolled,
        if e.rounds > 1 { format!("{} rounds, ", e.rounds) } else { String::new() },
        e.probes,
        e.results.first().map_or(0, |r| r.identity.verification.genuine_pairs),
        e.results.first().map_or(0, |r| r.identity.verification.impostor_pairs)
    );
    say!("{}", evaluation_table(e));
    if let Some(pairs) = &e.pairs {
        say!(
            "{} pairs in {} folds: {:.2} % right ± {:.2} (standard error)",
            pairs.pairs,
            pairs.folds,
            100.0 * pairs.accuracy,
            100.0 * pairs.standard_error
        );
    }
    if let Some(legacy) = &e.legacy {
        say!(
            "legacy protocol: AUC {:.3}, top 1 {:.2} %, top 5 {:.2} % of {} probes with a mate",
            legacy.auc,
            100.0 * legacy.top_1,
            100.0 * legacy.top_5,
            legacy.probes_with_mate
        );
    }
    if let Some(failed) = e.failure_to_acquire {
        say!("no face found in {} of {} captures", failed.captures, failed.of);
    }
    Ok(())
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    lumiface study configs/study_small.toml --out runs/study\n  \
    lumiface study configs/study_small.toml --data maps/photoface --out runs/study")]
pub(super) struct StudyArguments {
    /// What to render and which variants to train
    config: PathBuf,
    /// Folder for everything
    #[arg(long)]
    out: PathBuf,
    /// Folder of maps to use in place of rendered captures; repeatable
    #[arg(long)]
    data: Vec<PathBuf>,
    /// Only these variants, comma-separated, for several processes beside one another on the same
    /// --data; their table is study-NAMES.md
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// auto, cpu, gpu or gpu:NAME
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
}

pub(super) fn run_study(arguments: StudyArguments) -> anyhow::Result<u8> {
    let options = StudyOptions {
        config: read_study_config(&arguments.config)?,
        data: arguments.data,
        only: arguments.only,
        out: arguments.out,
        device: arguments.device,
    };
    let progress = Progress::new();
    let summary = study(&options, &|event| progress.show(event))?;
    progress.finish();
    say!("{}", summary.table);
    say!("{}", summary.json.display());
    say!("{}", summary.markdown.display());
    Ok(OK)
}

#[derive(Subcommand)]
pub(super) enum WeightsCommand {
    /// Make a run folder of a PyTorch checkpoint, or take over the face detector's weights
    ///
    /// `import mtcnn DIR|WHEEL` takes pnet.pt, rnet.pt and onet.pt from a folder or from the wheel of
    /// facenet-pytorch (`pip download --no-deps facenet-pytorch`), checks them and keeps them in the
    /// user's cache ($LUMIFACE_CACHE, else the system's). `import yunet FILE` does so with the ONNX file of
    /// YuNet (yunet_n_dynamic.onnx).
    ///
    /// Of a checkpoint of the original network, reads `.pth` and `.pt` as torch.save writes them, and `.safetensors`, by the names of the
    /// original network's state dict; names every tensor that is missing, misshapen or unexpected.
    /// Nothing is written unless every parameter is there.
    #[command(after_help = "Examples:\n  \
        lumiface weights import best.pth --modality albedo --out runs/original_albedo\n  \
        lumiface weights import mtcnn facenet_pytorch-2.6.0-py3-none-any.whl")]
    Import {
        /// Checkpoint, or the word mtcnn or yunet
        file: PathBuf,
        /// Where the detector's weights are: folder, wheel or zip archive; of yunet its ONNX file
        #[arg(value_name = "DIR|WHEEL|FILE", conflicts_with_all = ["modality", "input_side", "shared_emotion", "out"])]
        source: Option<PathBuf>,
        /// What it was trained on: albedo, normals, depth or raw
        #[arg(long, required_unless_present = "source")]
        modality: Option<Modality>,
        /// Side of its input in pixels
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(32..=2048))]
        input_side: u16,
        /// Emotion takes the attention of facial hair, as a slip of some versions has it
        #[arg(long)]
        shared_emotion: bool,
        /// Run folder to make
        #[arg(long, required_unless_present = "source")]
        out: Option<PathBuf>,
    },
    /// Write a run's network as safetensors under the original network's names
    #[command(after_help = "Example: lumiface weights export runs/albedo --out albedo.safetensors")]
    Export {
        /// Run folder
        run: PathBuf,
        /// File to write
        #[arg(long)]
        out: PathBuf,
    },
}

pub(super) fn run_weights(command: WeightsCommand) -> anyhow::Result<u8> {
    match command {
        WeightsCommand::Import { file, source: Some(source), .. } => {
            let Ok(detector) = file.to_string_lossy().parse() else {
                wrong_usage("weights are imported by name for the detectors `mtcnn` and `yunet`");
            };
            import_detector(detector, &source)?;
        }
        WeightsCommand::Import { file, modality, input_side, shared_emotion, out, .. } => {
            let (Some(modality), Some(out)) = (modality, out) else {
                wrong_usage("give --modality and --out; for the detector, where its weights are");
            };
            let options = ImportOptions {
                file,
                modality,
                input_side: usize::from(input_side),
                shared_emotion,
                out,
            };
            let report: KeyReport = import_weights(&options)?;
            if !report.unexpected.is_empty() {
                tell!("{}", describe(&report));
            }
            let unexpected = report.unexpected.len();
            say!(
                "{} tensors read, none missing or misshapen, {unexpected} unexpected",
                report.read
            );
            say!("{}", options.out.display());
        }
        WeightsCommand::Export { run, out } => {
            let count = export_weights(&run, &out)?;
            say!("{count} tensors");
            say!("{}", out.display());
        }
    }
    Ok(OK)
}

fn import_detector(detector: DetectorKind, source: &Path) -> anyhow::Result<()> {
    let folder = weights_folder()?;
    match detector {
        DetectorKind::Mtcnn => {
            for file in crate::face::import_weights(source, &folder)?.unpublished {
                tell!("{file} is not the published one (another SHA-256); it fits, and was taken");
            }
        }
        DetectorKind::Yunet => import_yunet(source, &folder)?,
    }
    say!("{}", folder.display());
    Ok(())
}

#[derive(clap::Args)]
pub(super) struct DemoArguments {
    /// Folder for everything
    #[arg(long, default_value = "runs/demo")]
    out: PathBuf,
    /// auto, cpu, gpu or gpu:NAME
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
}

pub(super) fn run_demo(arguments: DemoArguments) -> anyhow::Result<u8> {
    let progress = Progress::new();
    let summary = demo(&arguments.out, &arguments.device, &|event| progress.show(event))?;
    progress.finish();
    print_evaluation(&summary.evaluation.evaluation)?;
    say!("\nworth opening:");
    for (path, what) in &summary.worth_opening {
        say!("  {}  {what}", path.display());
    }
    Ok(report_problems(&summary.problems, None))
}
