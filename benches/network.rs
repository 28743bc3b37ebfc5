//! The multi-task network in images a second: forward, and a training step, batch 16.
//!
//!     cargo bench --bench network
//!
//! `LUMIFACE_GPU=cpu` leaves out the GPU, `LUMIFACE_GPU=gpu:NAME` names one. MIResNet18 with five
//! tasks and 200 identities; 96² is what trains on a CPU, 256² the original's size. A training step
//! is forward, MagFace and the ten focal losses, backward; the optimiser is left out.

use burn::tensor::{Device, Distribution, Int, Tensor};
use lumiface::loss::{FocalConfig, MagFaceConfig};
use lumiface::model::{IdentityHeadKind, NetworkConfig, NetworkInput, TaskShape};

#[path = "support/mod.rs"]
mod support;
use support::{Timing, open_gpu};

const BATCH: usize = 16;
const IDENTITIES: usize = 200;

fn line(name: &str, timing: &Timing) {
    let rate = BATCH as f64 / timing.median();
    println!("{name:<32} {rate:>9.1} images/s ± {:>4.1} %", timing.spread_percent());
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("CPU: {} threads", rayon::current_num_threads());
    let gpu = open_gpu();
    match &gpu {
        Some(gpu) if !gpu.summary.software => {
            measure("GPU", &gpu.burn_device().expect("burn takes the device"))
        }
        Some(_) => println!("GPU: left out, a software rasteriser takes minutes a batch"),
        None => {}
    }
    measure("CPU", &Device::flex());
}

fn measure(name: &str, device: &Device) {
    let tasks = ["spectacles", "facial_hair", "emotion", "pose", "gender"];
    let shape =
        |name: &str| TaskShape { name: name.into(), classes: 2, shares_attention_with: None };
    let focal = FocalConfig { alpha: vec![0.5, 0.5], gamma: vec![1.0, 1.0] };
    for side in [96, 256] {
        let config = NetworkConfig {
            identity_head: IdentityHeadKind::Pooled,
            input_side: side,
            identities: IDENTITIES,
            tasks: tasks.map(shape).to_vec(),
            ..Default::default()
        };
        let random = |device: &Device| {
            let shape = [BATCH, 3, side, side];
            Tensor::<4>::random(shape, Distribution::Uniform(0.0, 1.0), device)
        };
        let network = config.init(device);
        let images = random(device);
        // Reading a value waits for the device.
        let read = |tensor: Tensor<1>| drop(tensor.into_data());
        let timing = Timing::of(|| {
            read(network.forward(NetworkInput::single(images.clone()), 1.0).embedding.sum())
        });
        line(&format!("{name} {side}² forward"), &timing);

        let training = device.clone().autodiff();
        let network = config.init(&training);
        let images = random(&training);
        let labels = |classes: usize| {
            let values: Vec<i32> = (0..BATCH).map(|i| (i % classes) as i32).collect();
            Tensor::<1, Int>::from_data(values.as_slice(), &training)
        };
        let timing = Timing::of(|| {
            let output = network.forward(NetworkInput::single(images.clone()), 1.0);
            let mut loss = MagFaceConfig::default()
                .forward(output.embedding, network.class_weight(), labels(IDENTITIES), None)
                .loss;
            for task in output.tasks {
                for logits in std::iter::once(task.logits).chain(task.adversarial_logits) {
                    loss = loss + focal.forward(logits, labels(2));
                }
            }
            let gradients = loss.backward();
            read(network.class_weight().grad(&gradients).expect("of a weight").sum().reshape([1]));
        });
        line(&format!("{name} {side}² training step"), &timing);
    }
}
