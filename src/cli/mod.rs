//! The command line: arguments, progress, messages. Results go to stdout, progress and problems
//! to stderr.

mod calibrate;
mod dataset;
mod detect;
mod gallery;
mod learn;
mod progress;
mod stages;
mod synth;

use crate::capture::{Layout, LayoutOptions, YaleBRecipe};
use crate::config::{ConfigError, read_toml};
use crate::face::{Align, AlignOptions, DetectorKind};
use crate::gpu::{DeviceRequest, choose_adapter, list_adapters};
use crate::io::MapCompression;
use crate::pipeline::{FaceOptions, PreprocessOptions, StageError, preprocess};
use crate::reconstruct::{Integrator, ReconstructError, ReconstructOptions, Solver};
use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use progress::Progress;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints a line of results. A reader who has gone away is no error; anything else is.
macro_rules! say {
    ($($text:tt)*) => {
        match writeln!(std::io::stdout(), $($text)*) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(anyhow::Error::new(e).context("writing to stdout"));
            }
            _ => {}
        }
    };
}

use say;

/// Prints a line for people to stderr; nobody there to read it is no reason to stop.
macro_rules! tell {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
use tell;

/// A test holds them against the lock file.
const BURN_VERSION: &str = "0.22.1";
const WGPU_VERSION: &str = "30.0.1";

/// Every capture is done.
const OK: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// Some captures failed; each was listed.
const PARTIAL: u8 = 3;

/// Photographs of a face under three or more lights in; normals, albedo and depth out;
/// recognition trained on them; gallery answers at the end.
#[derive(Parser)]
#[command(
    name = "lumiface",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some captures failed and were listed."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Solve lit captures for normals, albedo and depth
    ///
    /// Brings the frames onto each other, solves for albedo and normals per pixel and integrates
    /// the normals to depth.
    ///
    /// Writes per capture OUT/ID/SESSION/{normals,albedo,depth,residual,confidence}.exr, mask.png,
    /// preview.png and quality.json, and OUT/manifest.csv. Captures that are there and unchanged
    /// are skipped, so an interrupted run is completed by the same command.
    Preprocess(PreprocessArguments),
    /// Show what is wrong with captures, and their maps, as one HTML file
    Inspect(stages::InspectArguments),
    /// Describe a capture of your own rig
    #[command(subcommand)]
    Capture(stages::CaptureCommand),
    /// Find light directions, positions and intensities
    #[command(subcommand)]
    Calibrate(calibrate::CalibrateCommand),
    /// Integrate a normal map from anywhere to depth or a mesh
    Integrate(stages::IntegrateArguments),
    /// Light a solved face anew
    Relight(stages::RelightArguments),
    /// Write a solved face as a mesh with its albedo
    Mesh(stages::MeshArguments),
    /// Train the multi-task network on one modality or several
    ///
    /// Trains on the maps that `preprocess` made, through packs that it keeps beside them. The run
    /// folder holds the resolved configuration, the split, the losses of each epoch (metrics.jsonl,
    /// and events for TensorBoard), the last two checkpoints, the state that did best on the people
    /// for validation, and report.json at the end. Run again after an interruption, it goes on from
    /// the newest checkpoint and ends the same.
    Train(learn::TrainArguments),
    /// Recognise people whom training never saw
    ///
    /// Enrols sessions of each person and compares every other session with all enrolled ones:
    /// verification, identification, tasks, each with its 95 % interval over people. Writes
    /// report-SPLIT/report.html, evaluation-SPLIT.json for programs, embeddings-SPLIT.safetensors for
    /// `compare`, and matches-SPLIT.png: each probe with its five best matches, right in green, wrong in
    /// red.
    Evaluate(learn::EvaluateArguments),
    /// Set evaluated runs side by side, with what their differences are worth
    ///
    /// Draws people anew, the same for all runs: intervals and p values of the differences to the first
    /// run. Writes OUT/report.html with plots and tables.
    Compare(learn::CompareArguments),
    /// Write the embeddings of captures to a file
    Embed(learn::EmbedArguments),
    /// Verification over every pair in a file of embeddings, however many
    ///
    /// Exact AUC, EER and TAR at FAR; 100,000 embeddings are 5,000,000,000 pairs.
    AllPairs(learn::AllPairsArguments),
    /// Enrol people in a gallery and search it
    #[command(subcommand)]
    Gallery(gallery::GalleryCommand),
    /// Part people, check data sets and splits, draw pairs for verification
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Train and evaluate several variants on the same people, and set them side by side
    ///
    /// Renders captures and makes their maps, unless maps are given; trains each variant of the
    /// configuration and recognises the people kept from training. Writes OUT/study.json and
    /// OUT/study.md. Run again after an interruption, it goes on where it stopped.
    Study(learn::StudyArguments),
    /// Read and write checkpoints of the PyTorch network that this one carries on
    #[command(subcommand)]
    Weights(learn::WeightsCommand),
    /// Find faces in any pictures
    ///
    /// Writes OUT/NAME.faces.png with boxes, landmarks and scores for each picture, and OUT/faces.json.
    /// Photographs are turned upright as their EXIF says; where no face is upright (by yunet: where none
    /// is sure), quarter turns are tried.
    Detect(detect::DetectArguments),
    /// Render capture sessions of people who do not exist, with the truth
    ///
    /// Writes OUT/ID/SESSION/{im0.png …, LightSource.txt} and OUT/metadata.csv in the layout of
    /// Photoface, and below each session truth/ with normals, albedo, depth, masks, shadows,
    /// landmarks and scene.json. An interrupted run is completed by the same command.
    Synth(synth::SynthArguments),
    /// Set maps beside the truth of a synthetic set, by region of the face
    Accuracy(synth::AccuracyArguments),
    /// Prepare morphable faces for `synth`
    #[command(subcommand)]
    Faces(synth::FacesCommand),
    /// Run all three on captures made in code: no data, no GPU, no settings
    ///
    /// Renders captures of 60 people who do not exist, makes their maps, trains on 45 of them and
    /// recognises the other 15. About four minutes on two cores; run again, it keeps what is done.
    Demo(learn::DemoArguments),
    /// Show devices, which one `auto` takes and why, and versions
    Info,
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(clap::Args)]
#[command(
    after_help = "Example: lumiface preprocess CroppedYale --layout yaleb --recipe configs/captures/yaleb_quartets.toml --out maps/yaleb"
)]
struct PreprocessArguments {
    /// Root folder of the data set
    root: PathBuf,
    /// How it is laid out: auto (look), yaleb, photoface, diligent, psmimages, lp or capture-toml
    #[arg(long, default_value = "auto")]
    layout: Layout,
    /// How sessions are made from single images (yaleb only) [default: four disjoint lights]
    #[arg(long, value_name = "TOML")]
    recipe: Option<PathBuf>,
    /// Label table (photoface only) [default: ROOT/metadata.csv]
    #[arg(long, value_name = "CSV")]
    labels: Option<PathBuf>,
    /// Folder for the maps and the manifest
    #[arg(long)]
    out: PathBuf,
    /// auto, least-squares, least-squares-ambient, weighted, trimmed, l1, four-light,
    /// sparse-bayesian, low-rank or near-light
    #[arg(long, default_value = "auto")]
    solver: Solver,
    /// poisson (masked), bilateral (masked, keeps discontinuities), poisson-dct or
    /// frankot-chellappa
    #[arg(long, default_value = "poisson")]
    integrator: Integrator,
    /// Leave frames where they are: the subject and the camera stood still
    #[arg(long)]
    no_registration: bool,
    /// Distance of the lamps from the face in widths of the picture at the face, for layouts that
    /// tell only directions, 1 or more: lamps 85 cm away before a picture 27 cm wide stand at 3.1 [default: distant]
    #[arg(long, value_name = "WIDTHS", value_parser = parse_lamp_distance, allow_hyphen_values = true)]
    lamp_distance: Option<f32>,
    /// So many further sessions of each capture, solved from random subsets of its lights (four or more
    /// are needed): for training only, so that a network learns what the light is to blame for
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    relit: u8,
    /// Find the face and bring it to one place: none, crop (its box) or similarity (eyes, nose and mouth
    /// onto a template; images, normals, depth and all else go with it). Needs the detector's weights,
    /// see `lumiface weights import`; it looks on the CPU, which is the faster for it
    #[arg(long, default_value = "none")]
    align: Align,
    /// What finds the face, for --align, --frontalise and --head-mask: mtcnn or yunet [default: mtcnn]
    #[arg(long)]
    detector: Option<DetectorKind>,
    /// Side of the aligned pictures in pixels, 16 to 4096 [default: 256]
    #[arg(long, value_name = "PIXELS")]
    align_side: Option<usize>,
    /// What is left around the aligned face on each side, as a share of the tight crop, 0 to 2
    /// [default: 0]
    #[arg(long, value_name = "SHARE")]
    margin: Option<f64>,
    /// Turn the head to the front by its depth before it is aligned, in yaw and roll; what was hidden is
    /// a hole
    #[arg(long)]
    frontalise: bool,
    /// Tell the head from a lit background by albedo, residual and normals: solves twice
    #[arg(long)]
    head_mask: bool,
    /// Write the float maps with ZIP: about half the size, several times slower
    #[arg(long)]
    compress: bool,
    /// auto, cpu, gpu or gpu:NAME
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
    /// Make captures anew that are there and unchanged
    #[arg(long)]
    force: bool,
}

/// Nearer than a width no lamp stands before a face.
fn parse_lamp_distance(text: &str) -> Result<f32, String> {
    let distance = text.parse().ok().filter(|d| (1.0..=1e6).contains(d));
    distance
        .ok_or("give widths of the picture, 1 to 1000000; leave it out for distant lamps".into())
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tell!("error: {error:#}");
            let wrong_usage = matches!(error.downcast_ref(), Some(StageError::Usage(_)));
            ExitCode::from(if wrong_usage { USAGE } else { FAILED })
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.command {
        Command::Preprocess(arguments) => run_preprocess(arguments),
        Command::Inspect(arguments) => stages::run_inspect(arguments),
        Command::Capture(command) => stages::run_capture(command),
        Command::Calibrate(command) => calibrate::run(command),
        Command::Integrate(arguments) => stages::run_integrate(arguments),
        Command::Relight(arguments) => stages::run_relight(arguments),
        Command::Mesh(arguments) => stages::run_mesh(arguments),
        Command::Train(arguments) => learn::run_train(arguments),
        Command::Evaluate(arguments) => learn::run_evaluate(arguments),
        Command::Compare(arguments) => learn::run_compare(arguments),
        Command::Embed(arguments) => learn::run_embed(arguments),
        Command::AllPairs(arguments) => learn::run_all_pairs(arguments),
        Command::Gallery(command) => gallery::run(command),
        Command::Dataset(command) => dataset::run(command),
        Command::Study(arguments) => learn::run_study(arguments),
        Command::Weights(command) => learn::run_weights(command),
        Command::Demo(arguments) => learn::run_demo(arguments),
        Command::Detect(arguments) => detect::run(arguments),
        Command::Synth(arguments) => synth::run(arguments),
        Command::Accuracy(arguments) => synth::run_accuracy(arguments),
        Command::Faces(command) => synth::run_faces(command),
        Command::Info => run_info(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "lumiface", &mut script);
            say!("{}", String::from_utf8_lossy(&script));
            Ok(OK)
        }
    }
}

fn run_preprocess(arguments: PreprocessArguments) -> anyhow::Result<u8> {
    let may_be = |layout| arguments.layout == layout || arguments.layout == Layout::Auto;
    if arguments.recipe.is_some() && !may_be(Layout::YaleB) {
        wrong_usage("--recipe makes sessions of the layout yaleb only; leave it out");
    }
    if arguments.labels.is_some() && !may_be(Layout::Photoface) {
        wrong_usage("--labels belongs to the layout photoface; leave it out");
    }
    let recipe = match &arguments.recipe {
        None => None,
        Some(path) => {
            let recipe: YaleBRecipe = read_toml(path)?;
            recipe
                .check()
                .map_err(|reason| ConfigError::Impossible { path: path.clone(), reason })?;
            Some(recipe)
        }
    };
    if arguments.lamp_distance.is_some() && arguments.solver.knows_ambient() {
        let reason = ReconstructError::AmbientOfNearLamps.to_string();
        return Err(StageError::Usage(reason).into());
    }
    if arguments.align == Align::None
        && (arguments.align_side.is_some() || arguments.margin.is_some())
    {
        wrong_usage("--align-side and --margin say how --align is done; add it or leave them out");
    }
    let faces = FaceOptions {
        align: AlignOptions {
            align: arguments.align,
            side: arguments.align_side.unwrap_or(AlignOptions::default().side),
            margin: arguments.margin.unwrap_or(AlignOptions::default().margin),
        },
        detector: arguments.detector.unwrap_or_default(),
        frontalise: arguments.frontalise,
        head_mask: arguments.head_mask,
    };
    if arguments.detector.is_some() && !faces.look_for_faces() {
        wrong_usage(
            "--detector says what finds the face for --align, --frontalise and --head-mask; add one or leave it out",
        );
    }
    let options = PreprocessOptions {
        root: arguments.root,
        layout: arguments.layout,
        layout_options: LayoutOptions { recipe, labels: arguments.labels },
        reconstruct: ReconstructOptions {
            solver: arguments.solver,
            integrator: arguments.integrator,
            keep_drift: arguments.no_registration,
            lamp_distance: arguments.lamp_distance,
        },
        relit: usize::from(arguments.relit),
        faces,
        compression: if arguments.compress { MapCompression::Zip } else { MapCompression::None },
        out: arguments.out,
        device: arguments.device,
        force: arguments.force,
    };
    let out = options.out.clone();
    let progress = Progress::new();
    let summary = preprocess(&options, &|event| progress.show(event))?;
    progress.finish();
    let total = summary.made + summary.skipped;
    say!(
        "{} in {} ({} made, {} unchanged)",
        counted(total, "capture"),
        summary.manifest.display(),
        summary.made,
        summary.skipped
    );
    if summary.unlisted > 0 {
        tell!(
            "{} of an earlier run listed no more (not in the data given now, or unusable by now); \
             maps that were made stay",
            counted(summary.unlisted, "capture"),
        );
    }
    if summary.without_face > 0 {
        tell!(
            "no face found in {}: listed, marked, and left out of training and evaluation",
            counted(summary.without_face, "capture"),
        );
    }
    if summary.with_warnings > 0 {
        tell!(
            "{} with warnings; `lumiface inspect {}` shows them with their remedies",
            counted(summary.with_warnings, "capture"),
            out.display()
        );
    }
    let code = report_problems(&summary.problems, summary.problem_list.as_deref());
    Ok(if total == 0 { FAILED } else { code })
}

/// "1 capture", "2 captures".
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Ends the process with usage's exit code, as clap does for what it can see itself.
fn wrong_usage(message: &str) -> ! {
    Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit()
}

/// Lists what was wrong, and the exit code that follows from it.
fn report_problems(problems: &[String], list: Option<&Path>) -> u8 {
    /// Enough to see the pattern; the rest is counted.
    const LISTED: usize = 50;
    if problems.is_empty() {
        return OK;
    }
    tell!("{}:", counted(problems.len(), "problem"));
    for problem in problems.iter().take(LISTED) {
        tell!("  {problem}");
    }
    if problems.len() > LISTED {
        tell!("  and {} more", problems.len() - LISTED);
    }
    if let Some(list) = list {
        tell!("all of them: {}", list.display());
    }
    PARTIAL
}

fn run_info() -> anyhow::Result<u8> {
    say!("lumiface {}, burn {BURN_VERSION}, wgpu {WGPU_VERSION}", env!("CARGO_PKG_VERSION"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    say!("CPU: {threads} threads");
    let adapters = list_adapters();
    if adapters.is_empty() {
        say!("GPU: no adapter found");
    }
    for adapter in &adapters {
        say!("GPU: {} ({}, {}, {})", adapter.name, adapter.kind, adapter.backend, adapter.driver);
    }
    let choice = choose_adapter(&DeviceRequest::Auto, &adapters).context("choosing a device")?;
    let name = choice.adapter.map_or("CPU".to_string(), |adapter| adapter.name);
    say!("--device auto takes: {name}, because {}", because(&choice.reason));
    Ok(OK)
}

fn because(reason: &str) -> String {
    if reason.starts_with("the best") { format!("it is {reason}") } else { reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_versions_shown_are_the_ones_used() {
        let lock = include_str!("../../Cargo.lock");
        for (name, version) in [("burn", BURN_VERSION), ("wgpu", WGPU_VERSION)] {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"");
            assert!(lock.contains(&entry), "{entry} is not in Cargo.lock");
        }
    }
}
