//! The studio on the CPU and on a GPU: what a session of four images of 564×756 takes.
//!
//!     cargo bench --bench studio
//!
//! `LUMIFACE_GPU=cpu` leaves out the GPU, `LUMIFACE_GPU=gpu:NAME` names one. The scene is a whole
//! head with hair and clothes before a rig like Photoface's. On the GPU the images and the truth are
//! timed with the scene on the device, then with upload and download; what the CPU does before
//! (shape, skin, hair, the tree) is timed for itself.

use lumiface::maps::Size;
use lumiface::synth::appearance::{Canvas, Grooming, Look, dress};
use lumiface::synth::draws::Draws;
use lumiface::synth::head::{Detail, Expression, HeadModel, ProceduralHead};
use lumiface::synth::labels::{Gender, Quality};
use lumiface::synth::render::{Frame, HeadPose, Options, Scene, image, truth};
use lumiface::synth::rig::{Preset, Rig, RigPlan, mm_per_px};

#[path = "support/mod.rs"]
mod support;
use support::{Timing, open_gpu};

const SIZE: Size = Size { height: 756, width: 564 };

fn line(name: &str, timing: &Timing) {
    println!("{name:<52} {:>9.2} ms ± {:>4.1} %", 1e3 * timing.median(), timing.spread_percent());
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("CPU: {} threads", rayon::current_num_threads());
    let gpu = open_gpu();
    let model = ProceduralHead::new(Detail::Full);
    let canvas = Canvas::new(model.topology(), 2.0 * mm_per_px(SIZE) as f32);
    let mut draws = Draws::new(5);
    let identity = model.sample_identity(1.0, &mut draws);
    let look = Look::sample(Gender::Male, &mut draws);
    let grooming = Grooming::sample(&look, None, 0.0, &mut draws);
    let plan = RigPlan {
        preset: Preset::PhotofaceTwin,
        lamps: 4,
        zenith_deg: None,
        size: SIZE,
        inter_reflection: false,
    };
    let rig = Rig::sample(&plan, Quality::Ok, &mut draws);
    let make = || {
        let positions = model.positions(&identity, &Expression::default());
        Scene::build(&[&dress(&canvas, &positions, &look, &grooming)]).expect("a head")
    };
    line("CPU: shape, dress, build the tree", &Timing::of(|| drop(make())));
    let scene = make();
    println!("{} triangles", scene.len());
    let frame = |lamps: &[lumiface::synth::render::Light]| Frame {
        pose: HeadPose::from_angles_deg(5.0, 2.0, 1.0, rig.head_mm),
        lights: lamps.to_vec(),
    };
    let frames: Vec<Frame> = rig.lamps.iter().map(|lamp| frame(&[*lamp])).collect();
    let all = frame(&rig.lamps);
    let modes = [("", rig.options), (", inter-reflecting", rig.options.with_inter_reflection())];
    for (name, options) in modes {
        let timing = Timing::of(|| {
            frames.iter().for_each(|f| drop(image(&scene, &rig.view, SIZE, f, &options)))
        });
        line(&format!("CPU: four images{name}"), &timing);
    }
    let of_truth = |options: &Options| drop(truth(&scene, &rig.view, SIZE, &all, options));
    line("CPU: truth", &Timing::of(|| of_truth(&rig.options)));
    let Some(gpu) = gpu else { return };
    let trace = &gpu.trace;
    let upload = || trace.upload(&gpu, &scene).expect("the scene fits");
    let buffers = upload();
    for (name, options) in modes {
        let prepare = |frame: &Frame, of_truth: bool| {
            let scene = (&scene, &buffers);
            trace.prepare(&gpu, scene, &rig.view, SIZE, frame, &options, of_truth).expect("it fits")
        };
        let images: Vec<_> = frames.iter().map(|f| prepare(f, false)).collect();
        let timing = Timing::of(|| {
            images.iter().for_each(|p| trace.run(&gpu, p).expect("the kernel runs"));
            gpu.wait().expect("the device answers");
        });
        line(&format!("GPU: four images{name}"), &timing);
        if options == rig.options {
            let prepared = prepare(&all, true);
            let timing = Timing::of(|| {
                trace.run(&gpu, &prepared).expect("the kernel runs");
                gpu.wait().expect("the device answers");
            });
            line("GPU: truth", &timing);
        }
    }
    let timing = Timing::of(|| {
        let buffers = upload();
        let scene = (&scene, &buffers);
        for frame in &frames {
            drop(trace.image(&gpu, scene, &rig.view, SIZE, frame, &rig.options).expect("it fits"));
        }
        drop(trace.truth(&gpu, scene, &rig.view, SIZE, &all, &rig.options).expect("it fits"));
    });
    line("GPU: all of it, with upload and download", &timing);
}
