//! Gradients of the whole network beside finite differences, and what frozen means, on the CPU and
//! on a GPU.

mod support;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use lumiface::io::StateDict;
use lumiface::loss::{FocalConfig, MagFaceConfig};
use lumiface::model::{
    ConfidenceInput, FusionKind, IdentityHeadKind, MultiTaskNetwork, NetworkConfig, NetworkInput,
    TaskShape, gradients_by_name, load_original, to_original,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tests take turns: burn's random numbers are one stream for all threads, and another test's draws
/// between two of this one's would change its weights and inputs.
static TURN: Mutex<()> = Mutex::new(());

fn my_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn devices() -> Vec<Device> {
    let gpu = support::any_gpu().map(|gpu| gpu.burn_device().unwrap());
    std::iter::once(Device::flex()).chain(gpu).collect()
}

fn config(fusion: FusionKind, modalities: usize) -> NetworkConfig {
    let task = |name: &str, classes, shares: Option<&str>| TaskShape {
        name: name.into(),
        classes,
        shares_attention_with: shares.map(str::to_string),
    };
    NetworkConfig {
        width: 4,
        modalities,
        fusion,
        confidence: ConfidenceInput::Attention,
        input_side: 64,
        identities: 3,
        tasks: vec![task("pose", 3, None), task("emotion", 2, Some("pose"))],
        ..Default::default()
    }
}

/// The same on every device.
fn input(modalities: usize, device: &Device) -> NetworkInput {
    let flex = Device::flex();
    flex.seed(5);
    let random = |channels: usize, distribution| {
        let values = Tensor::<4>::random([4, channels, 64, 64], distribution, &flex).into_data();
        Tensor::<4>::from_data(values, device)
    };
    let presence = TensorData::from([[1.0f32, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
    NetworkInput {
        maps: (0..modalities).map(|_| random(3, Distribution::Normal(0.0, 1.0))).collect(),
        confidence: Some(random(1, Distribution::Uniform(0.2, 1.0))),
        presence: (modalities == 2).then(|| Tensor::from_data(presence, device)),
    }
}

fn loss(network: &MultiTaskNetwork, input: NetworkInput, adversaries: bool) -> Tensor<1> {
    let device = input.maps[0].device();
    let labels = |values: [i32; 4]| Tensor::<1, Int>::from_data(values, &device);
    let output = network.forward(input, 1.0);
    let magface = MagFaceConfig {
        scale: 4.0,
        min_length: 0.1,
        max_length: 30.0,
        easy_margin: false,
        ..Default::default()
    };
    let weights = network.class_weight();
    let mut total = magface.forward(output.embedding, weights, labels([0, 1, 2, 1]), None).loss;
    for (task, classes) in output.tasks.into_iter().zip([[0, 1, 2, 1], [1, 0, 0, 1]]) {
        let count = task.logits.dims()[1];
        let focal = FocalConfig { alpha: vec![1.0; count], gamma: vec![1.5; count] };
        total = total + focal.forward(task.logits, labels(classes));
        if adversaries {
            for logits in task.adversarial_logits {
                total = total + focal.forward(logits, labels(classes));
            }
        }
    }
    total
}

/// Moves one parameter along its gradient and compares what the loss does with the gradient's
/// length: on the training device, for batch statistics belong to the function.
fn assert_gradient(config: &NetworkConfig, freeze: bool, names: &[&str], device: &Device) {
    let training = device.clone().autodiff();
    let flex = Device::flex();
    flex.seed(9);
    let weights = to_original(&config.init(&flex), &config.tasks);
    let network_of = |tensors: &StateDict| {
        let (network, report) = load_original(config.init(&training), &config.tasks, tensors);
        assert!(report.is_complete(), "{report:?}");
        if freeze { network.freeze_streams() } else { network }
    };
    let at = |tensors: &StateDict| {
        let loss = loss(&network_of(tensors), input(config.modalities, &training), false);
        f64::from(loss.into_scalar::<f32>())
    };
    let network = network_of(&weights);
    let whole = loss(&network, input(config.modalities, &training), false);
    let (value, gradients) = (f64::from(whole.clone().into_scalar::<f32>()), whole.backward());
    let found = gradients_by_name(&network, &config.tasks, &gradients);
    for name in names {
        let gradient = &found.get(*name).unwrap_or_else(|| panic!("{name} has no gradient")).values;
        let length = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        // Far enough for the change to stand out of rounding, too near for the function to bend.
        let step = 5e-4 * value / length;
        let moved = |sign: f64| {
            let mut tensors = weights.clone();
            let values = &mut tensors.get_mut(*name).unwrap().values;
            for (value, &g) in values.iter_mut().zip(gradient) {
                *value += (sign * step * f64::from(g) / length) as f32;
            }
            at(&tensors)
        };
        let difference = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let error = (difference - length).abs() / length;
        assert!(error < 0.02, "{name}: {length} analytic, {difference} by differences");
    }
    if freeze {
        let stray: Vec<&String> = found.keys().filter(|name| !name.starts_with("joint.")).collect();
        assert!(stray.is_empty(), "frozen, but with a gradient: {stray:?}");
    }
}

#[test]
fn gradients_of_a_single_network_match_finite_differences() {
    let _turn = my_turn();
    for (number, device) in devices().iter().enumerate() {
        for head in [IdentityHeadKind::Linear, IdentityHeadKind::Pooled] {
            // A software rasteriser takes minutes for what is the same there.
            if number > 0 && head == IdentityHeadKind::Pooled {
                continue;
            }
            let config =
                NetworkConfig { identity_head: head, ..config(FusionKind::Concatenation, 1) };
            let names = [
                "backbone.layer4.1.conv2.weight",
                "backbone.pose_fsm.channel.0.weight",
                "pose_head.pose_linear.weight",
                "id_head.maglinear.weight",
                "id_head.id_embedding.0.weight",
            ];
            assert_gradient(&config, false, &names, device);
        }
    }
}

#[test]
fn gradients_of_fused_networks_match_finite_differences() {
    let _turn = my_turn();
    let fused = |number: &str| format!("{number}.layer4.1.conv2.weight");
    let backbones = [fused("backbone"), fused("backbone1")];
    for (number, device) in devices().iter().enumerate() {
        for (kind, parameter) in [
            (FusionKind::Projection, "fusion.pointwise.weight"),
            (FusionKind::Gated, "fusion.pointwise.weight"),
            (FusionKind::Attention, "fusion.excite"),
        ] {
            if number > 0 && kind != FusionKind::Gated {
                continue;
            }
            let names = [&backbones[0], &backbones[1], parameter];
            assert_gradient(&config(kind, 2), false, &names, device);
        }
    }
}

#[test]
fn frozen_streams_have_no_gradient_and_their_heads_the_right_one() {
    let _turn = my_turn();
    for device in devices() {
        let names = ["joint.tasks.0.weight", "joint.identity.fc.weight", "joint.identity.weight"];
        assert_gradient(&config(FusionKind::Concatenation, 2), true, &names, &device);
    }
}

#[test]
fn frozen_streams_keep_their_batch_statistics_and_others_do_not() {
    let _turn = my_turn();
    for device in devices() {
        let training = device.autodiff();
        let config = config(FusionKind::Concatenation, 2);
        for freeze in [true, false] {
            let network = config.init(&training);
            let network = if freeze { network.freeze_streams() } else { network };
            let state = |network: &MultiTaskNetwork| to_original(&network.valid(), &config.tasks);
            let before = state(&network);
            drop(loss(&network, input(2, &training), true).backward());
            let after = state(&network);
            let changed: Vec<&String> = before
                .iter()
                .filter(|(name, tensor)| after[*name] != **tensor)
                .map(|(name, _)| name)
                .collect();
            assert!(changed.iter().all(|name| name.contains("running_")), "{changed:?}");
            let of_streams = changed.iter().filter(|name| !name.starts_with("joint.")).count();
            assert_eq!(of_streams > 0, !freeze, "frozen: {freeze}, changed: {changed:?}");
            assert!(changed.iter().any(|name| name.starts_with("joint.")), "{changed:?}");
        }
    }
}

#[test]
fn reversed_gradients_change_the_sign_of_what_adversaries_ask_of_the_backbone() {
    let _turn = my_turn();
    for device in devices() {
        let training = device.autodiff();
        let config = config(FusionKind::Concatenation, 1);
        let network = config.init(&training);
        let gradient = |reversal: f64| {
            let output = network.forward(input(1, &training), reversal);
            let labels = Tensor::<1, Int>::from_data([0, 1, 2, 1], &training);
            let focal = FocalConfig { alpha: vec![1.0; 3], gamma: vec![0.0; 3] };
            let logits = output.tasks[0].adversarial_logits[0].clone();
            let gradients = focal.forward(logits, labels).backward();
            gradients_by_name(&network, &config.tasks, &gradients)
        };
        let (full, half) = (gradient(1.0), gradient(0.5));
        // −1 is no reversal at all: the identity both ways.
        let plain = gradient(-1.0);
        let name = "backbone.conv1.weight";
        let largest = plain[name].values.iter().fold(0.0f32, |m, g| m.max(g.abs()));
        for ((f, h), p) in full[name].values.iter().zip(&half[name].values).zip(&plain[name].values)
        {
            assert!((f + p).abs() < 1e-3 * largest, "{f} for {p}");
            assert!((2.0 * h + p).abs() < 1e-3 * largest, "{h} for {p}");
        }
        // The adversary itself is not deceived.
        let own = "da_pose_head.pose_linear.weight";
        assert_eq!(full[own], plain[own]);
    }
}
