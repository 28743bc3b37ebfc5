//! The network against reference values of the original, block by block: weights and inputs that
//! anyone can generate, outputs that the original returned for them.

mod support;

use burn::tensor::{Device, Distribution, Gradients, Int, Tensor, TensorData};
use lumiface::io::{NamedTensor, StateDict};
use lumiface::loss::{FocalConfig, MagFaceConfig};
use lumiface::model::{
    IdentityHeadKind, MultiTaskNetwork, NetworkConfig, NetworkInput, NetworkOutput, ORIGINAL_TASKS,
    TaskShape, gradients_by_name, load_original, original_architecture, to_original,
};
use std::collections::BTreeMap;
use std::path::Path;

fn crc32(text: &str) -> u32 {
    !text.bytes().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1))
        })
    })
}

fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Uniform values of a named tensor.
fn uniform(seed: u64, name: &str, count: usize) -> Vec<f32> {
    let key = u64::from(crc32(&format!("{seed}:{name}"))) << 32;
    (0..count as u64)
        .map(|i| (splitmix64(key.wrapping_add(i)) >> 40) as f32 / (1u64 << 24) as f32)
        .collect()
}

/// A network with the generated weights, put in by the original's names.
fn network(reference: &Reference, device: &Device) -> (NetworkConfig, MultiTaskNetwork) {
    let shares_emotion = reference.metadata["emotion_module"].starts_with("shared");
    let task = |name: &str| TaskShape {
        name: name.into(),
        classes: 2,
        shares_attention_with: (shares_emotion && name == "emotion")
            .then(|| "facial_hair".to_string()),
    };
    let config = NetworkConfig {
        identity_head: IdentityHeadKind::Pooled,
        input_side: reference.number("size") as usize,
        identities: reference.number("num_classes") as usize,
        tasks: ORIGINAL_TASKS.map(task).to_vec(),
        ..Default::default()
    };
    let network = config.init(device);
    let names = to_original(&network, &config.tasks);
    let seed = reference.number("seed") as u64;
    let tensors: StateDict = names
        .into_iter()
        .map(|(name, tensor)| {
            let values = generated(seed, &name, &tensor.shape, reference);
            (name, NamedTensor { shape: tensor.shape, values })
        })
        .collect();
    let (network, report) = load_original(network, &config.tasks, &tensors);
    assert!(report.is_complete() && report.unexpected.is_empty(), "{report:?}");
    // 231 tensors in the original, two of them of an unused classifier; the shared emotion's own
    // attention, 11 more, is not used either.
    assert_eq!(report.read, if shares_emotion { 218 } else { 229 }, "parameters");
    (config, network)
}

/// Values of a named parameter, see the test data's README.
fn generated(seed: u64, name: &str, shape: &[usize], reference: &Reference) -> Vec<f32> {
    let mut values = uniform(seed, name, shape.iter().product());
    let centred = |scale: f32| move |u: &mut f32| *u = 2.0 * (*u - 0.5) * scale;
    if name.ends_with("running_mean") {
        values.iter_mut().for_each(centred(0.1));
    } else if name.ends_with("running_var") {
        values.iter_mut().for_each(|u| *u += 0.5);
    } else if shape.len() == 4 {
        let fan_in: usize = shape[1..].iter().product();
        values.iter_mut().for_each(centred((3.0 / fan_in as f32).sqrt()));
    } else if shape.len() == 2 {
        let inputs = if name.ends_with("maglinear.weight") { shape[0] } else { shape[1] };
        values.iter_mut().for_each(centred(1.0 / (inputs as f32).sqrt()));
    } else if name.contains("prelu") {
        values.iter_mut().for_each(|u| *u = 0.1 + 0.3 * *u);
    } else if name.ends_with(".bias") {
        values.iter_mut().for_each(centred(0.1));
    } else {
        values.iter_mut().for_each(|u| *u += 0.5);
    }
    if name.ends_with("id_embedding.0.weight") || name.ends_with("id_embedding.0.bias") {
        let scale = reference.number("id_bn_scale") as f32;
        values.iter_mut().for_each(|v| *v *= scale);
    }
    values
}

/// How far the length of a slope's gradient may lie off the reference, in the movement of that length
/// under noise of one rounding on the input.
///
/// A PReLU's slope is one number for a whole block: its gradient is a single sum over a million signed
/// products behind batch statistics of few images, and rounding moves some of them by more than a
/// thousandth. The reference is no nearer the truth: PyTorch in 64 bits puts `backbone.prelu` 0.90 %,
/// `layer1.1` 0.27 % and `layer4.0` 0.11 % off what it says in 32.
const ROUNDINGS: f32 = 10.0;

/// How a device sums.
#[derive(Clone, Copy)]
enum Rounding {
    /// In blocks, as CPUs do.
    Fine,
    /// burn's kernels for a GPU sum a channel's statistics one value after the other, or otherwise where
    /// tuning likes that better. What is a single sum of cancelling values suffers: slopes were seen up to
    /// four times too long there and are left out, the one-channel spatial attentions up to 0.8 % off.
    Coarse,
}

/// The length of every parameter's gradient beside the reference's: what is too far off.
fn wrong_gradients(
    reference: &Reference,
    network: &MultiTaskNetwork,
    tasks: &[TaskShape],
    gradients: &Gradients,
    rounding: Rounding,
    movement: &dyn Fn() -> BTreeMap<String, f32>,
) -> Vec<String> {
    let found = lengths(network, tasks, gradients);
    let mut moved = None;
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (name, want) in &reference.tensors {
        let Some(name) = name.strip_prefix("train.grad_norm.") else { continue };
        compared += 1;
        let got = found.get(name).copied().unwrap_or(f32::NAN);
        let error = (got - want[0]).abs();
        if error <= 1e-3 * want[0].abs() {
            continue;
        }
        let slope = name.ends_with("prelu.weight");
        let allowed = match rounding {
            Rounding::Fine if slope => ROUNDINGS * moved.get_or_insert_with(movement)[name],
            Rounding::Coarse if slope => f32::INFINITY,
            Rounding::Coarse if name.contains("_fsm.spatial.") => 2e-2 * want[0].abs(),
            _ => 0.0,
        };
        if error.is_nan() || error > allowed {
            wrong.push(format!("{name}: {got} instead of {}, {allowed} allowed", want[0]));
        }
    }
    assert!(compared > 100, "{compared} gradients in the reference");
    wrong
}

/// The length of every parameter's gradient.
fn lengths(
    network: &MultiTaskNetwork,
    tasks: &[TaskShape],
    gradients: &Gradients,
) -> BTreeMap<String, f32> {
    let length = |values: &[f32]| values.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    gradients_by_name(network, tasks, gradients)
        .into_iter()
        .map(|(name, gradient)| (name, length(&gradient.values) as f32))
        .collect()
}

struct Reference {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Vec<f32>>,
}

impl Reference {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let data = &bytes[8 + length..];
        let mut reference = Self { metadata: BTreeMap::new(), tensors: BTreeMap::new() };
        for (name, entry) in header.as_object().unwrap() {
            if name == "__metadata__" {
                for (key, value) in entry.as_object().unwrap() {
                    reference.metadata.insert(key.clone(), value.as_str().unwrap().to_string());
                }
                continue;
            }
            let offsets = entry["data_offsets"].as_array().unwrap();
            let at = |i: usize| offsets[i].as_u64().unwrap() as usize;
            let values = match entry["dtype"].as_str() {
                Some("F32") => bytemuck::pod_collect_to_vec(&data[at(0)..at(1)]),
                Some("F64") => bytemuck::pod_collect_to_vec::<u8, f64>(&data[at(0)..at(1)])
                    .into_iter()
                    .map(|v| v as f32)
                    .collect(),
                other => panic!("{name} is {other:?}"),
            };
            reference.tensors.insert(name.clone(), values);
        }
        reference
    }

    fn number(&self, key: &str) -> f64 {
        self.metadata[key].parse().unwrap()
    }

    fn assert_close(&self, name: &str, got: Tensor<2>, tolerance: f32) {
        let got = got.into_data().try_to_vec::<f32>().unwrap();
        let want = &self.tensors[name];
        assert_eq!(got.len(), want.len(), "{name}");
        let scale = want.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        for (index, (g, w)) in got.iter().zip(want).enumerate() {
            let error = (g - w).abs();
            assert!(error <= tolerance * scale, "{name}[{index}]: {g} instead of {w}");
        }
    }

    fn assert_loss(&self, name: &str, got: Tensor<1>) {
        let (got, want) = (got.into_scalar::<f32>(), self.tensors[name][0]);
        assert!((got - want).abs() <= 1e-4 * want.abs(), "{name}: {got} instead of {want}");
    }
}

fn input(reference: &Reference, device: &Device) -> Tensor<4> {
    let (batch, side) = (reference.number("batch") as usize, reference.number("size") as usize);
    let count = batch * 3 * side * side;
    let values = uniform(reference.number("seed") as u64, "input", count);
    Tensor::from_data(TensorData::new(values, [batch, 3, side, side]), device)
}

fn labels(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|v| v as i32).collect();
    Tensor::from_data(values.as_slice(), device)
}

/// Every reference there is: other seeds, sizes and class counts may lie beside the first.
fn references() -> Vec<(String, Reference)> {
    let Some(folder) = support::test_data("reference") else { return Vec::new() };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("miresnet18") && name.ends_with(".safetensors")
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no miresnet18*.safetensors among the references");
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, Reference::read(&path))
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn the_generator_is_the_documented_one() {
    let first = uniform(1, "input", 4);
    for (got, want) in first.iter().zip([0.331_836_94, 0.369_241_77, 0.480_746_63, 0.567_496_7]) {
        assert!((got - want).abs() < 1e-7, "{first:?}");
    }
}

#[test]
fn names_and_shapes_are_the_originals() {
    let Some(path) = support::test_data("reference/miresnet18_state_dict.json") else { return };
    let listed: BTreeMap<String, Vec<usize>> =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for (file, reference) in references() {
        let (config, network) = network(&reference, &Device::flex());
        let ours = to_original(&network, &config.tasks);
        for (name, tensor) in &ours {
            let mut want = listed[name].clone();
            if name == "id_head.maglinear.weight" {
                want[1] = config.identities;
            }
            assert_eq!(tensor.shape, want, "{file}: {name}");
        }
        let unused = |name: &str| {
            name.starts_with("backbone.fc.")
                || (ours.len() == 218 && name.starts_with("backbone.emotion_fsm."))
        };
        for name in listed.keys() {
            assert!(ours.contains_key(name) || unused(name), "{file}: {name} has no place");
        }
        // A state dict is enough to find out the architecture.
        let found = original_architecture(&ours, config.input_side, ours.len() == 218);
        assert_eq!(found, Ok(config), "{file}");
    }
}

fn check_evaluation(reference: &Reference, device: &Device) {
    let (_, network) = network(reference, device);
    let images = NetworkInput::single(input(reference, device));
    let NetworkOutput { embedding, tasks, .. } = network.forward(images, 1.0);
    for (task, output) in ORIGINAL_TASKS.iter().zip(tasks) {
        reference.assert_close(&format!("eval.embedding.{task}"), output.embedding, 1e-4);
        reference.assert_close(&format!("eval.logits.{task}"), output.logits, 1e-4);
        let name = format!("eval.adversarial_logits.{task}");
        let [adversarial] = output.adversarial_logits.try_into().unwrap();
        reference.assert_close(&name, adversarial, 1e-4);
    }
    reference.assert_close("eval.embedding.id", embedding.clone(), 1e-4);
    let batch = reference.number("batch") as usize;
    let classes = reference.number("num_classes") as usize;
    let out = legacy_magface().forward(
        embedding,
        network.class_weight(),
        labels((0..batch).map(|b| b % classes), device),
        None,
    );
    reference.assert_close("eval.id.cos_theta", out.cosine, 1e-4);
    reference.assert_close("eval.id.cos_theta_margin", out.cosine_with_margin, 1e-4);
    reference.assert_close("eval.id.norm_clamped", out.clamped_length, 1e-4);
}

fn check_training(reference: &Reference, device: &Device, rounding: Rounding) -> Vec<String> {
    let device = device.clone().autodiff();
    let (config, network) = network(reference, &device);
    let images = input(reference, &device);
    let (total, parts) = training_losses(reference, &network, images.clone());
    for (name, loss) in parts {
        reference.assert_loss(&format!("train.loss.{name}"), loss);
    }
    reference.assert_loss("train.loss.total", total.clone());
    let gradients = total.backward();
    let movement = || {
        let mut most: BTreeMap<String, f32> = BTreeMap::new();
        let plain = lengths(&network, &config.tasks, &gradients);
        for seed in 0..3 {
            Device::flex().seed(seed);
            let noise = Distribution::Normal(0.0, 6e-8);
            let noise = Tensor::<4>::random(images.dims(), noise, &Device::flex()).into_data();
            let noisy = images.clone() + Tensor::from_data(noise, &device);
            let gradients = training_losses(reference, &network, noisy).0.backward();
            for (name, length) in lengths(&network, &config.tasks, &gradients) {
                let moved = (length - plain[&name]).abs();
                let most = most.entry(name).or_default();
                *most = most.max(moved);
            }
        }
        most
    };
    wrong_gradients(reference, &network, &config.tasks, &gradients, rounding, &movement)
}

/// The weighted sum of the study's losses, and its parts by the reference's names.
fn training_losses(
    reference: &Reference,
    network: &MultiTaskNetwork,
    images: Tensor<4>,
) -> (Tensor<1>, Vec<(String, Tensor<1>)>) {
    let device = images.device();
    let output = network.forward(NetworkInput::single(images), 1.0);
    let batch = reference.number("batch") as usize;
    let classes = reference.number("num_classes") as usize;
    let identity = legacy_magface()
        .forward(
            output.embedding,
            network.class_weight(),
            labels((0..batch).map(|b| b % classes), &device),
            None,
        )
        .loss;
    let mut parts = vec![("id".to_string(), identity.clone())];
    // Bit of the label, alpha, gamma, weight; in the order of the tasks.
    let settings = [
        (1, [0.28, 0.72], [0.0, 1.0], 5.0),
        (2, [0.3, 0.7], [0.0, 1.0], 5.0),
        (4, [0.232, 0.768], [0.0, 1.0], 10.0),
        (3, [0.0263, 0.9737], [0.0, 2.5], 30.0),
        (0, [0.916, 0.084], [2.0, 0.0], 30.0),
    ];
    let mut total = identity;
    for ((task, output), setting) in ORIGINAL_TASKS.iter().zip(output.tasks).zip(settings) {
        let (bit, alpha, gamma, weight): (usize, [f32; 2], [f32; 2], f64) = setting;
        let focal = FocalConfig { alpha: alpha.to_vec(), gamma: gamma.to_vec() };
        let classes = || labels((0..batch).map(|b| (b >> bit) & 1), &device);
        let own = focal.forward(output.logits, classes());
        let [adversarial] = output.adversarial_logits.try_into().unwrap();
        let adversarial = focal.forward(adversarial, classes());
        total = total + (own.clone() + adversarial.clone()) * weight;
        parts.push((format!("task.{task}"), own));
        parts.push((format!("adversarial.{task}"), adversarial));
    }
    (total, parts)
}

fn legacy_magface() -> MagFaceConfig {
    MagFaceConfig { length_weight: 20.0, ..Default::default() }
}

#[test]
fn evaluation_mode_returns_the_reference_values() {
    for (file, reference) in references() {
        println!("{file}");
        check_evaluation(&reference, &Device::flex());
    }
}

#[test]
fn training_mode_returns_the_reference_losses_and_gradients() {
    for (file, reference) in references() {
        let wrong = check_training(&reference, &Device::flex(), Rounding::Fine);
        assert!(wrong.is_empty(), "{file}: {wrong:#?}");
    }
}

#[test]
fn the_gpu_returns_the_reference_values_losses_and_gradients() {
    let Some(gpu) = support::any_gpu() else { return };
    let device = gpu.burn_device().unwrap();
    for (file, reference) in references() {
        check_evaluation(&reference, &device);
        let wrong = check_training(&reference, &device, Rounding::Coarse);
        assert!(wrong.is_empty(), "{file}: {wrong:#?}");
    }
}
