//! Commands that train and evaluate.

use super::progress::Progress;
use super::{OK, report_problems, say, tell};
use crate::dataset::{Modality, Part};
use crate::eval::{Enrolment, Evaluation};
use crate::gpu::DeviceRequest;
use crate::model::KeyReport;
use crate::pipeline::{
    Baseline, EvaluateOptions, ImportOptions, StudyOptions, TrainOptions, demo, describe, evaluate,
    export_weights, import_weights, read_study_config, study, train,
};
use crate::report::evaluation_table;
use crate::train::read_train_config;
use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;

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
    /// Whom: gallery (never seen in training, with everyone whom the run does not know), validation
    /// or train
    #[arg(long, default_value = "gallery")]
    split: Part,
    /// Which session of each person is enrolled: the first, or each in turn, all rounds together
    #[arg(long, default_value = "first")]
    enrol: Enrolment,
    /// Show the network only these of its modalities, comma-separated: albedo, normals, depth, raw;
    /// for runs trained with fusion.modality_dropout [default: all]
    #[arg(long, value_delimiter = ',')]
    modalities: Vec<Modality>,
    /// Comparisons without learning to set beside the model, comma-separated: raw, albedo, normals
    #[arg(long, value_delimiter = ',')]
    baseline: Vec<Baseline>,
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
        baselines: arguments.baseline,
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
    }
    Ok(OK)
}

fn print_evaluation(e: &Evaluation) -> anyhow::Result<()> {
    say!(
        "split {}: {} people enrolled once, {}{} probes, {} genuine and {} impostor pairs",
        e.split,
        e.enrolled,
        if e.rounds > 1 { format!("{} rounds, ", e.rounds) } else { String::new() },
        e.probes,
        e.genuine_pairs,
        e.impostor_pairs
    );
    say!("{}", evaluation_table(e));
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
    /// Make a run folder of a PyTorch checkpoint, for `evaluate`
    ///
    /// Reads `.pth` and `.pt` as torch.save writes them, and `.safetensors`, by the names of the
    /// original network's state dict; names every tensor that is missing, misshapen or unexpected.
    /// Nothing is written unless every parameter is there.
    #[command(
        after_help = "Example: lumiface weights import best.pth --modality albedo --out runs/original_albedo"
    )]
    Import {
        /// Checkpoint
        file: PathBuf,
        /// What it was trained on: albedo, normals, depth or raw
        #[arg(long)]
        modality: Modality,
        /// Side of its input in pixels
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(32..=2048))]
        input_side: u16,
        /// Emotion takes the attention of facial hair, as a slip of some versions has it
        #[arg(long)]
        shared_emotion: bool,
        /// Run folder to make
        #[arg(long)]
        out: PathBuf,
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
        WeightsCommand::Import { file, modality, input_side, shared_emotion, out } => {
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
