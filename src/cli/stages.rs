//! Commands that run one stage alone, on other people's files as on ours.

use super::{OK, report_problems, say, tell};
use crate::capture::{InitOptions, init_capture};
use crate::geometry::Vec3;
use crate::integrate::BilateralOptions;
use crate::io::YAxis;
use crate::pipeline::{
    IntegrateOptions, MeshOptions, RelightOptions, inspect, integrate, mesh, relight,
};
use crate::reconstruct::Integrator;
use crate::report::RelightLight;
use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    lumiface integrate normal_map.png --mask mask.png --camera K.txt --integrator bilateral --out depth.exr\n  \
    lumiface integrate normals.exr --out depth.exr --out surface.ply")]
pub(super) struct IntegrateArguments {
    /// Normal map: EXR with n_x, n_y, n_z in R, G, B, or an 8- or 16-bit image with (n + 1) / 2
    normals: PathBuf,
    /// White where the surface is [default: wherever there is a normal]
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Text file with the camera's 3×3 matrix K in pixels: perspective depth (poisson, bilateral)
    #[arg(long, value_name = "TXT")]
    camera: Option<PathBuf>,
    /// frankot-chellappa, poisson-dct, poisson (masked) or bilateral (masked, keeps discontinuities)
    #[arg(long, default_value = "poisson")]
    integrator: Integrator,
    /// How sharply the bilateral integrator tells a discontinuity from a slope
    #[arg(long, value_name = "K", default_value_t = BilateralOptions::default().k, value_parser = parse_stiffness, allow_hyphen_values = true)]
    stiffness: f32,
    /// The second component points down, as in DirectX's and OpenCV's normal maps
    #[arg(long)]
    y_down: bool,
    /// Albedo for the vertices of a mesh: EXR or image of the normals' size
    #[arg(long)]
    albedo: Option<PathBuf>,
    /// File to write, repeatable: depth as .exr, a mesh as .ply, .obj or .glb
    #[arg(long, required = true)]
    out: Vec<PathBuf>,
}

pub(super) fn run_integrate(arguments: IntegrateArguments) -> anyhow::Result<u8> {
    let summary = integrate(&IntegrateOptions {
        normals: arguments.normals,
        mask: arguments.mask,
        camera: arguments.camera,
        integrator: arguments.integrator,
        bilateral: BilateralOptions { k: arguments.stiffness, ..Default::default() },
        y_axis: if arguments.y_down { YAxis::Down } else { YAxis::Up },
        albedo: arguments.albedo,
        outputs: arguments.out.clone(),
    })?;
    say!("{} pixels, {}", summary.pixels, summary.unit);
    for path in &arguments.out {
        say!("{}", path.display());
    }
    Ok(OK)
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    lumiface relight maps/1001/s1 --light=-40,20 --out relit.png\n  \
    lumiface relight maps/1001/s1 --light 0.5,0.5,0.7 --cast-shadows --out relit.exr")]
pub(super) struct RelightArguments {
    /// Folder of one capture's maps
    maps: PathBuf,
    /// Azimuth,elevation in degrees (to the image's right, up), or x,y,z toward the light
    #[arg(long, value_name = "A,E|X,Y,Z", value_parser = parse_light, allow_hyphen_values = true)]
    light: Vec3,
    /// Light from everywhere, as a share of the lamp's, 0 to 10
    #[arg(long, default_value_t = 0.0, value_parser = parse_share, allow_hyphen_values = true)]
    ambient: f32,
    /// Let the surface throw shadows on itself, by its depth
    #[arg(long)]
    cast_shadows: bool,
    /// .png (for screens) or .exr (linear)
    #[arg(long)]
    out: PathBuf,
}

fn parse_share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=10.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 10".into()),
    }
}

fn parse_stiffness(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1000.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 1000".into()),
    }
}

fn parse_light(text: &str) -> Result<Vec3, String> {
    let numbers = text
        .split(',')
        .map(|field| field.trim().parse::<f32>().ok().filter(|v| v.is_finite()))
        .collect::<Option<Vec<f32>>>()
        .ok_or_else(|| format!("`{text}` holds something that is no number"))?;
    match *numbers.as_slice() {
        [azimuth_deg, elevation_deg] => {
            Ok(RelightLight::from_angles(azimuth_deg, elevation_deg).direction)
        }
        [x, y, z] if x != 0.0 || y != 0.0 || z != 0.0 => Ok(Vec3::new(x, y, z).normalize()),
        [_, _, _] => Err("a direction of length 0".into()),
        _ => Err("give azimuth,elevation in degrees or x,y,z".into()),
    }
}

pub(super) fn run_relight(arguments: RelightArguments) -> anyhow::Result<u8> {
    relight(&RelightOptions {
        maps: arguments.maps,
        light: RelightLight { ambient: arguments.ambient, ..RelightLight::new(arguments.light) },
        cast_shadows: arguments.cast_shadows,
        out: arguments.out.clone(),
    })?;
    say!("{}", arguments.out.display());
    Ok(OK)
}

#[derive(clap::Args)]
#[command(after_help = "Example: lumiface inspect maps/photoface --out inspect.html")]
pub(super) struct InspectArguments {
    /// Folder of maps with its manifest
    maps: PathBuf,
    /// HTML file [default: inspect.html in the folder of maps]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Captures shown with all their pictures, the worst first
    #[arg(long, value_name = "N", default_value_t = 24, allow_hyphen_values = true)]
    details: usize,
}

pub(super) fn run_inspect(arguments: InspectArguments) -> anyhow::Result<u8> {
    let out = arguments.out.unwrap_or_else(|| arguments.maps.join("inspect.html"));
    let unreadable = inspect(&arguments.maps, arguments.details, &out)?;
    say!("{}", out.display());
    Ok(report_problems(&unreadable, None))
}

#[derive(clap::Args)]
#[command(after_help = "Example: lumiface mesh maps/1001/s1 --out face.glb")]
pub(super) struct MeshArguments {
    /// Folder of one capture's maps
    maps: PathBuf,
    /// .ply, .obj or .glb
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run_mesh(arguments: MeshArguments) -> anyhow::Result<u8> {
    mesh(&MeshOptions { maps: arguments.maps, out: arguments.out.clone() })?;
    say!("{}", arguments.out.display());
    Ok(OK)
}

#[derive(Subcommand)]
pub(super) enum CaptureCommand {
    /// Write a capture.toml for any folder of lit images
    ///
    /// Lists the images in natural order and takes over the lights of a light file that lies
    /// beside them; what is not known is left for you to fill in.
    #[command(after_help = "Example: lumiface capture init shots/anna")]
    Init {
        /// Folder of images
        folder: PathBuf,
        /// Replace a capture.toml that is there
        #[arg(long)]
        force: bool,
    },
}

pub(super) fn run_capture(command: CaptureCommand) -> anyhow::Result<u8> {
    let CaptureCommand::Init { folder, force } = command;
    let written = init_capture(&folder, InitOptions { force })?;
    match &written.lights_from {
        Some(file) => tell!("lights taken from {file}"),
        None => tell!("no light file was found; give each light its place in the file"),
    }
    say!("{}", written.path.display());
    Ok(OK)
}
