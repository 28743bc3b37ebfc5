//! `lumiface calibrate`: where the lights are, from pictures of a sphere, a card or the face.

use super::{OK, say, tell};
use crate::calibrate::{Calibration, Circle};
use crate::geometry::Vec3;
use crate::io::Transfer;
use crate::pipeline::{CalibrateOptions, CalibrationTarget, SphereOutline, calibrate};
use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum CalibrateCommand {
    /// Light directions from a mirror sphere; lamp positions from several and a camera
    ///
    /// Finds each image's highlight to a fraction of a pixel. Intensities stay 1: a clipped mirror
    /// image tells nothing of them.
    #[command(after_help = "Examples:\n  \
        lumiface calibrate chrome probe/*.png --mask probe/mask.png --out lights.toml\n  \
        lumiface calibrate chrome probe/*.png --circle 410,300,95 --circle 1200,320,94 --radius-mm 25 --camera K.txt --out lights.toml")]
    Chrome {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        spheres: Spheres,
        /// Radius of the spheres; with two or more and a camera, lamp positions come out
        #[arg(long, value_name = "MM", value_parser = parse_positive)]
        radius_mm: Option<f64>,
        /// Distance of the subject from the camera [default: the mean of the spheres']
        #[arg(long, value_name = "MM", value_parser = parse_distance)]
        subject_distance_mm: Option<f32>,
    },
    /// Light directions and intensities from a matte sphere of one albedo
    #[command(
        after_help = "Example: lumiface calibrate matte gray/*.png --mask gray/mask.png --out lights.toml"
    )]
    Matte {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        spheres: Spheres,
    },
    /// Light intensities from a flat card of one albedo, directions known
    #[command(
        after_help = "Example: lumiface calibrate flat-field card/*.png --directions light_directions.txt --out lights.toml"
    )]
    FlatField {
        #[command(flatten)]
        files: Files,
        /// Directions, x y z one light a line, or a lights.toml
        #[arg(long, value_name = "FILE")]
        directions: PathBuf,
        /// White where the card is [default: everywhere]
        #[arg(long)]
        mask: Option<PathBuf>,
        /// The card's normal in the camera frame
        #[arg(long, value_name = "X,Y,Z", default_value = "0,0,1", value_parser = parse_vector, allow_hyphen_values = true)]
        normal: Vec3,
    },
    /// Light intensities from the subject itself, directions known (four lights or more)
    #[command(
        after_help = "Example: lumiface calibrate subject shots/*.png --directions light_directions.txt --out lights.toml"
    )]
    Subject {
        #[command(flatten)]
        files: Files,
        /// Directions, x y z one light a line, or a lights.toml
        #[arg(long, value_name = "FILE")]
        directions: PathBuf,
        /// White where the subject is [default: what the lamps light]
        #[arg(long)]
        mask: Option<PathBuf>,
    },
    /// Lights from an upright frontal face of which nothing else is known
    ///
    /// Images alone leave the bas-relief ambiguity open; a face's symmetry and relief close it.
    /// What stays open is printed as the uncertainty of each light.
    /// At least four images, better sixteen or more.
    #[command(after_help = "Example: lumiface calibrate face shots/*.png --out lights.toml")]
    Face {
        #[command(flatten)]
        files: Files,
        /// White where the face is [default: what the lamps light]
        #[arg(long)]
        mask: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
pub(super) struct Files {
    /// One image per light, in their order; as the shell's `*` lists them they are taken in natural
    /// order (im2 before im10), and a file that is also a --mask is left out
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// How file values stand to light: by-format (JPEG sRGB, others linear), linear or srgb
    #[arg(long, default_value = "by-format")]
    transfer: Transfer,
    /// Text file with the camera's matrix K in pixels, row by row: fx 0 cx, 0 fy cy, 0 0 1; the
    /// centre of the upper left pixel is (0, 0) [default: parallel view]
    #[arg(long, value_name = "TXT")]
    camera: Option<PathBuf>,
    /// .toml for everything, .txt for directions alone
    #[arg(long)]
    out: PathBuf,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Spheres {
    /// White where a sphere is, repeatable
    #[arg(long)]
    mask: Vec<PathBuf>,
    /// A sphere's circle in pixels, repeatable
    #[arg(long, value_name = "COLUMN,ROW,RADIUS", value_parser = parse_circle)]
    circle: Vec<Circle>,
}

impl Spheres {
    fn outlines(self) -> Vec<SphereOutline> {
        let masks = self.mask.into_iter().map(SphereOutline::Mask);
        masks.chain(self.circle.into_iter().map(SphereOutline::Circle)).collect()
    }
}

/// Three finite numbers with commas between them.
fn parse_three(text: &str) -> Result<[f64; 3], String> {
    let numbers = text
        .split(',')
        .map(|field| field.trim().parse::<f64>().ok().filter(|v| v.is_finite()))
        .collect::<Option<Vec<f64>>>();
    match numbers.as_deref() {
        Some(&[a, b, c]) => Ok([a, b, c]),
        _ => Err("give three numbers with commas between them".into()),
    }
}

fn parse_positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("a number above 0".into()),
    }
}

/// From a centimetre to a hundred metres.
fn parse_distance(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (10.0..=1e5).contains(&value) => Ok(value),
        _ => Err("a distance of 10 to 100000 mm".into()),
    }
}

fn parse_circle(text: &str) -> Result<Circle, String> {
    let [column, row, radius] = parse_three(text)?;
    if radius > 0.0 { Ok(Circle { column, row, radius }) } else { Err("a radius above 0".into()) }
}

fn parse_vector(text: &str) -> Result<Vec3, String> {
    let vector = Vec3::from(parse_three(text)?.map(|v| v as f32));
    if vector.norm() > 0.0 { Ok(vector.normalize()) } else { Err("a length above 0".into()) }
}

pub(super) fn run(command: CalibrateCommand) -> anyhow::Result<u8> {
    let (files, target) = match command {
        CalibrateCommand::Chrome { files, spheres, radius_mm, subject_distance_mm } => {
            let spheres = spheres.outlines();
            if spheres.len() == 1 && (radius_mm.is_some() || subject_distance_mm.is_some()) {
                super::wrong_usage(
                    "one sphere gives directions alone; leave --radius-mm and \
                     --subject-distance-mm out, or give a second sphere",
                );
            }
            (files, CalibrationTarget::ChromeSpheres { spheres, radius_mm, subject_distance_mm })
        }
        CalibrateCommand::Matte { files, spheres } => {
            let mut outlines = spheres.outlines();
            if outlines.len() > 1 {
                super::wrong_usage("one matte sphere is used; give one --mask or --circle");
            }
            (files, CalibrationTarget::MatteSphere { sphere: outlines.remove(0) })
        }
        CalibrateCommand::FlatField { files, directions, mask, normal } => {
            (files, CalibrationTarget::FlatField { directions, mask, normal })
        }
        CalibrateCommand::Subject { files, directions, mask } => {
            (files, CalibrationTarget::Subject { directions, mask })
        }
        CalibrateCommand::Face { files, mask } => (files, CalibrationTarget::Face { mask }),
    };
    let out = files.out.clone();
    let calibration = calibrate(&CalibrateOptions {
        images: files.images,
        transfer: files.transfer,
        target,
        camera: files.camera,
        out: files.out,
    })?;
    for warning in &calibration.warnings {
        tell!("warning: {warning}");
    }
    print(&calibration)?;
    say!("{}", out.display());
    Ok(OK)
}

fn print(calibration: &Calibration) -> anyhow::Result<()> {
    say!("light       x       y       z  intensity  uncertainty");
    for (number, light) in calibration.lights.iter().enumerate() {
        let [x, y, z] = light.direction;
        let uncertainty =
            light.uncertainty_deg.map_or(String::new(), |degrees| format!("{degrees:.2}°"));
        say!(
            "{:>5} {x:>7.3} {y:>7.3} {z:>7.3} {:>10.3} {uncertainty:>12}",
            number + 1,
            light.intensity
        );
    }
    Ok(())
}
