//! The names that the study's PyTorch network gives its parameters, so that its checkpoints can be
//! read and ours be read there.
//!
//! A network that the study did not have (another head, several modalities) keeps the same names
//! where there are any, and plain ones elsewhere.

use super::{IdentityHeadKind, MultiTaskNetwork, NetworkConfig, TaskShape};
use crate::io::{NamedTensor, StateDict};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use std::collections::BTreeSet;

/// The study's tasks in the order in which their features are split off.
pub const ORIGINAL_TASKS: [&str; 5] = ["spectacles", "facial_hair", "emotion", "pose", "gender"];

/// What did not fit when weights were read.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct KeyReport {
    /// Tensors that were read.
    pub read: usize,
    /// Parameters of the network that the file does not have.
    pub missing: Vec<String>,
    /// Tensors of the file that the network has no place for.
    pub unexpected: Vec<String>,
    /// "name: shape in the file, shape in the network".
    pub misshapen: Vec<String>,
}

impl KeyReport {
    /// Whether every parameter was read.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.misshapen.is_empty()
    }
}

/// The study's name of a parameter at a path of our network.
fn original_name(path: &str, tasks: &[TaskShape]) -> String {
    let path = path
        .replace(".gamma", ".weight")
        .replace(".beta", ".bias")
        .replace(".alpha", ".weight")
        .replace("downsample.conv", "downsample.1")
        .replace("downsample.bn", "downsample.2");
    let Some(rest) = path.strip_prefix("streams.") else { return path };
    let (stream, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let prefix = if stream == "0" { String::new() } else { format!("stream{stream}.") };
    format!("{prefix}{}", name_in_stream(rest, tasks))
}

fn name_in_stream(path: &str, tasks: &[TaskShape]) -> String {
    if let Some(rest) = path.strip_prefix("backbones.") {
        let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
        let number = if number == "0" { "" } else { number };
        return format!("backbone{number}.{rest}");
    }
    if let Some(rest) = path.strip_prefix("identity.") {
        return match rest.split_once('.') {
            None => "id_head.maglinear.weight".into(),
            Some(("bn", parameter)) => format!("id_head.id_embedding.0.{parameter}"),
            Some(_) => format!("id_head.{rest}"),
        };
    }
    let in_task = path.strip_prefix("tasks.").and_then(|rest| {
        let (index, rest) = rest.split_once('.')?;
        let (part, rest) = rest.split_once('.')?;
        Some((&tasks.get(index.parse::<usize>().ok()?)?.name, part, rest))
    });
    let Some((task, part, rest)) = in_task else { return path.to_string() };
    // The study's slip in the spelling of one task.
    let stem = if task == "spectacles" { "spectacle" } else { task };
    let head = |head: String| {
        rest.replace("bn.", &format!("{head}.{stem}_embedding.0."))
            .replace("linear.", &format!("{head}.{stem}_linear."))
    };
    match part {
        "separation" => {
            let rest = rest
                .replace("channel_reduce", "channel.0")
                .replace("channel_expand", "channel.2")
                .replace("channel_bn", "channel.3")
                .replace("spatial_conv", "spatial.0")
                .replace("spatial_bn", "spatial.1");
            format!("backbone.{task}_fsm.{rest}")
        }
        "head" => head(format!("{task}_head")),
        _ => head(format!("da_{task}_head")),
    }
}

/// burn keeps the weights of linear layers as (in, out), PyTorch as (out, in); the identity's class
/// weights are (embedding, identities) in both.
fn is_transposed(name: &str, dimensions: usize) -> bool {
    dimensions == 2 && !name.ends_with("maglinear.weight")
}

/// Puts tensors by their study's names into a network.
pub fn load_original(
    network: MultiTaskNetwork,
    tasks: &[TaskShape],
    tensors: &StateDict,
) -> (MultiTaskNetwork, KeyReport) {
    let mut load = Load {
        tensors,
        tasks,
        path: Vec::new(),
        wanted: BTreeSet::new(),
        report: KeyReport::default(),
    };
    let network = network.map(&mut load);
    let mut report = load.report;
    let unexpected = tensors.keys().filter(|name| !load.wanted.contains(*name));
    report.unexpected = unexpected.cloned().collect();
    (network, report)
}

struct Load<'a> {
    tensors: &'a StateDict,
    tasks: &'a [TaskShape],
    path: Vec<String>,
    wanted: BTreeSet<String>,
    report: KeyReport,
}

impl ModuleMapper for Load<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = original_name(&self.path.join("."), self.tasks);
        self.wanted.insert(name.clone());
        let Some(stored) = self.tensors.get(&name) else {
            self.report.missing.push(name);
            return param;
        };
        let transposed = is_transposed(&name, D);
        let (id, old, mapper) = param.consume();
        let mut shape = old.dims().to_vec();
        if transposed {
            shape.swap(0, 1);
        }
        if stored.shape != shape {
            let text = format!("{name}: {:?} in the file, {shape:?} in the network", stored.shape);
            self.report.misshapen.push(text);
            return Param::from_mapped_value(id, old, mapper);
        }
        let device = old.device();
        let data = TensorData::new(stored.values.clone(), shape);
        let mut tensor = Tensor::<D>::from_data(data, &device);
        if transposed {
            tensor = tensor.swap_dims(0, 1);
        }
        if old.is_require_grad() {
            tensor = tensor.require_grad();
        }
        self.report.read += 1;
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// A network's parameters under their study's names.
pub fn to_original(network: &MultiTaskNetwork, tasks: &[TaskShape]) -> StateDict {
    let mut save = Save { tasks, path: Vec::new(), tensors: StateDict::new() };
    network.visit(&mut save);
    save.tensors
}

struct Save<'a> {
    tasks: &'a [TaskShape],
    path: Vec<String>,
    tensors: StateDict,
}

impl ModuleVisitor for Save<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = original_name(&self.path.join("."), self.tasks);
        let tensor = named(&name, param.val());
        self.tensors.insert(name, tensor);
    }
}

/// Each parameter's gradient under its study's name; without what has none.
pub fn gradients_by_name(
    network: &MultiTaskNetwork,
    tasks: &[TaskShape],
    gradients: &Gradients,
) -> StateDict {
    let mut collect =
        CollectGradients { tasks, gradients, path: Vec::new(), found: StateDict::new() };
    network.visit(&mut collect);
    collect.found
}

struct CollectGradients<'a> {
    tasks: &'a [TaskShape],
    gradients: &'a Gradients,
    path: Vec<String>,
    found: StateDict,
}

impl ModuleVisitor for CollectGradients<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let name = original_name(&self.path.join("."), self.tasks);
            let tensor = named(&name, gradient);
            self.found.insert(name, tensor);
        }
    }
}

/// A parameter's values in the study's order.
fn named<const D: usize>(name: &str, tensor: Tensor<D>) -> NamedTensor {
    let tensor = if is_transposed(name, D) { tensor.swap_dims(0, 1) } else { tensor };
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().try_to_vec().expect("parameters are 32-bit floats");
    NamedTensor { shape, values }
}

/// Names without what a checkpoint puts before all of them (`state_dict.`, `module.`, …), and without
/// the counters of batch norms, which nothing depends on.
pub fn without_prefix(tensors: StateDict) -> StateDict {
    const LANDMARK: &str = "backbone.conv1.weight";
    let prefix = tensors
        .keys()
        .find_map(|name| name.strip_suffix(LANDMARK))
        .map_or_else(String::new, str::to_string);
    tensors
        .into_iter()
        .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
        .map(|(name, tensor)| {
            let name = name.strip_prefix(&prefix).map(str::to_string).unwrap_or(name);
            (name, tensor)
        })
        .collect()
}

/// The architecture that a study's state dict is of; `shared_emotion` where emotion took the attention
/// of facial hair, as a slip of some of its versions had it.
///
/// # Errors
/// A tensor that every such network has is not there.
pub fn original_architecture(
    tensors: &StateDict,
    input_side: usize,
    shared_emotion: bool,
) -> Result<NetworkConfig, String> {
    let shape = |name: &str, dimension: usize| {
        let tensor = tensors.get(name);
        tensor.and_then(|tensor| tensor.shape.get(dimension).copied()).ok_or_else(|| {
            format!(
                "has no tensor `{name}` of so many dimensions; it is no checkpoint of this network"
            )
        })
    };
    let blocks = [1, 2, 3, 4].map(|stage| {
        (0..)
            .take_while(|b| {
                tensors.contains_key(&format!("backbone.layer{stage}.{b}.conv1.weight"))
            })
            .count()
    });
    if let Some(stage) = blocks.iter().position(|&count| count < 2) {
        return Err(format!(
            "has {} blocks in `backbone.layer{}`; it is no checkpoint of this network",
            blocks[stage],
            stage + 1
        ));
    }
    let tasks = ORIGINAL_TASKS
        .iter()
        .map(|&task| {
            let stem = if task == "spectacles" { "spectacle" } else { task };
            let shared = shared_emotion && task == "emotion";
            Ok(TaskShape {
                name: task.to_string(),
                classes: shape(&format!("{task}_head.{stem}_linear.weight"), 0)?,
                shares_attention_with: shared.then(|| "facial_hair".to_string()),
            })
        })
        .collect::<Result<_, String>>()?;
    Ok(NetworkConfig {
        width: shape("backbone.conv1.weight", 0)?,
        blocks,
        bottleneck: tensors.contains_key("backbone.layer1.0.conv3.weight"),
        identity_head: IdentityHeadKind::Pooled,
        input_side,
        identities: shape("id_head.maglinear.weight", 1)?,
        tasks,
        ..Default::default()
    })
}
