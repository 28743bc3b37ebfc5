//! The command that finds faces in pictures.

use super::progress::Progress;
use super::{counted, report_problems, say, wrong_usage};
use crate::face::{DetectorKind, DetectorOptions};
use crate::gpu::DeviceRequest;
use crate::pipeline::{DetectOptions, detect};
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "Example: lumiface detect holiday/*.jpg --out faces")]
pub(super) struct DetectArguments {
    /// Pictures: PNG, JPEG, TIFF, BMP, PNM, TGA or EXR
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Folder for the drawn pictures and faces.json
    #[arg(long)]
    out: PathBuf,
    /// mtcnn or yunet; each needs its weights, see `lumiface weights import`
    #[arg(long, default_value = "mtcnn")]
    detector: DetectorKind,
    /// Side of the smallest face in pixels, 12 or more; twice as large takes mtcnn a quarter of the time
    #[arg(long, value_name = "PIXELS", default_value_t = DetectorOptions::default().smallest_face)]
    smallest_face: u32,
    /// Print faces.json too
    #[arg(long)]
    json: bool,
    /// auto, cpu, gpu or gpu:NAME; yunet takes auto and cpu alone
    #[arg(long, default_value = "cpu")]
    device: DeviceRequest,
}

pub(super) fn run(arguments: DetectArguments) -> anyhow::Result<u8> {
    if arguments.detector == DetectorKind::Yunet
        && matches!(arguments.device, DeviceRequest::Gpu(_))
    {
        wrong_usage("yunet looks on the CPU alone; leave --device out, or take mtcnn");
    }
    let options = DetectOptions {
        images: arguments.images,
        out: arguments.out,
        detector: arguments.detector,
        smallest_face: arguments.smallest_face,
        device: arguments.device,
    };
    let progress = Progress::new();
    let summary = detect(&options, &|event| progress.show(event))?;
    progress.finish();
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&summary.pictures)?);
    } else {
        for picture in &summary.pictures {
            let faces = counted(picture.faces.len(), "face");
            say!("{}: {faces}, {}", picture.image.display(), picture.drawn.display());
        }
    }
    Ok(report_problems(&summary.problems, None))
}
