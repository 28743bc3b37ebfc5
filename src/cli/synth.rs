//! `lumiface synth` and `lumiface faces`: captures of people who do not exist.

use super::progress::Progress;
use super::{FAILED, OK, counted, report_problems, say};
use crate::config::parse_name;
use crate::gpu::DeviceRequest;
use crate::maps::Size;
use crate::pipeline::{SynthError, SynthOptions, accuracy, import_faces, synth, synth_scene};
use crate::report::accuracy_table;
use crate::synth::SynthSet;
use crate::synth::attack::AttackKind;
use crate::synth::population::Attendance;
use crate::synth::rig::Preset;
use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    lumiface synth --people 40 --sessions 6 --out captures\n  \
    lumiface synth --preset ideal --size 564x756 --people 10 --sessions 1 --out ideal\n  \
    lumiface synth --scene captures/1001/2008-02-23_12-21-31/truth/scene.json --out again")]
pub(super) struct SynthArguments {
    /// Folder for the set
    #[arg(long)]
    out: PathBuf,
    /// photoface_twin: a rig like Photoface's; ideal: Lambertian, without noise and cast shadows;
    /// stress: worse than life
    #[arg(long, default_value = "photoface_twin", value_parser = parse_preset)]
    preset: Preset,
    /// How many people
    #[arg(long, value_name = "N", default_value_t = 40, allow_hyphen_values = true)]
    people: usize,
    /// Sessions of each person, 1 to 290 [default: as skewed as at Photoface, 7 on average]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    sessions: Option<usize>,
    /// Lamps, one image each
    #[arg(long, value_name = "N", default_value_t = 4, allow_hyphen_values = true)]
    lamps: usize,
    /// Angle of the lamps from the camera's axis in degrees, 1 to 75 [default: the preset's, by session]
    #[arg(long, value_name = "DEGREES", allow_hyphen_values = true)]
    zenith: Option<f64>,
    /// Width and height of the images in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "256x256", value_parser = parse_size)]
    size: Size,
    /// Light that reaches the face by way of the face too, once; takes several times as long
    #[arg(long)]
    inter_reflection: bool,
    /// Another seed makes other people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Morphable faces (.safetensors, see `lumiface faces`) [default: faces made in code]
    #[arg(long, value_name = "FILE")]
    faces: Option<PathBuf>,
    /// One more session a person of each kind: flat_print, curved_print, screen; with commas
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = parse_attack)]
    attacks: Vec<AttackKind>,
    /// Leave the truth out
    #[arg(long)]
    no_truth: bool,
    /// Make the session of one scene.json again, alone, with its truth; what it shows is in the file
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "preset", "people", "sessions", "lamps", "zenith", "size", "inter_reflection", "seed", "attacks",
        "no_truth",
    ])]
    scene: Option<PathBuf>,
    /// auto (a hardware GPU if there is one), cpu, gpu or gpu:NAME; the CPU gives the
    /// same bytes at any number of threads
    #[arg(long, default_value = "cpu")]
    device: DeviceRequest,
}

#[derive(Subcommand)]
pub(super) enum FacesCommand {
    /// Turn ICT-FaceKit's OBJ files into a face file for `synth --faces`
    #[command(
        after_help = "Example: lumiface faces import-ict ICT-FaceKit/FaceXModel --out ict.safetensors"
    )]
    ImportIct {
        /// Folder with generic_neutral_mesh.obj, identity000.obj …, and the expressions
        folder: PathBuf,
        /// .safetensors
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(clap::Args)]
#[command(after_help = "Example: lumiface accuracy maps/synthetic --truth captures")]
pub(super) struct AccuracyArguments {
    /// Folder of maps with its manifest
    maps: PathBuf,
    /// The set of captures that `synth` made, with its truth
    #[arg(long, value_name = "CAPTURES")]
    truth: PathBuf,
    /// Print JSON in place of the table
    #[arg(long)]
    json: bool,
}

fn parse_preset(name: &str) -> Result<Preset, String> {
    parse_name("preset", name, &Preset::NAMES)
}

fn parse_attack(name: &str) -> Result<AttackKind, String> {
    parse_name("attack", name, &AttackKind::NAMES)
}

fn parse_size(text: &str) -> Result<Size, String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.map(|(width, height)| Size::new(height, width)).ok_or("give WIDTHxHEIGHT".into())
}

pub(super) fn run(arguments: SynthArguments) -> anyhow::Result<u8> {
    let progress = Progress::new();
    let out = arguments.out.clone();
    if let Some(scene) = &arguments.scene {
        let faces = arguments.faces.as_deref();
        let emit = |event| progress.show(event);
        synth_scene(scene, faces, &arguments.device, &out, &emit).map_err(plain)?;
        say!("{}", out.display());
        return Ok(OK);
    }
    let made = synth(
        &SynthOptions {
            set: SynthSet {
                preset: arguments.preset,
                people: arguments.people,
                attendance: arguments.sessions.map_or(Attendance::Photoface, Attendance::Each),
                lamps: arguments.lamps,
                zenith_deg: arguments.zenith,
                size: arguments.size,
                inter_reflection: arguments.inter_reflection,
                seed: arguments.seed,
                faces: None,
                truth: !arguments.no_truth,
                attacks: arguments.attacks,
            },
            faces: arguments.faces,
            device: arguments.device,
            out: arguments.out,
        },
        &|event| progress.show(event),
    );
    progress.finish();
    say!("{} in {}", counted(made.map_err(plain)?, "session"), out.display());
    Ok(OK)
}

pub(super) fn run_faces(command: FacesCommand) -> anyhow::Result<u8> {
    let FacesCommand::ImportIct { folder, out } = command;
    import_faces(&folder, &out)?;
    say!("{}", out.display());
    Ok(OK)
}

pub(super) fn run_accuracy(arguments: AccuracyArguments) -> anyhow::Result<u8> {
    let found = accuracy(&arguments.maps, &arguments.truth)?;
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        say!("{}", accuracy_table(&found.regions));
        say!("means over {}", counted(found.captures, "capture"));
    }
    let code = report_problems(&found.problems, None);
    Ok(if found.captures == 0 { FAILED } else { code })
}

/// Wrong usage as what it is, so that the exit code tells it.
fn plain(error: SynthError) -> anyhow::Error {
    match error {
        SynthError::Stage(error) => error.into(),
        other => other.into(),
    }
}
