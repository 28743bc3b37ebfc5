//! What a training run is told: one TOML file, resolved once and stored with the run.

use crate::capture::LABEL_COLUMNS;
use crate::config::{ConfigError, did_you_mean, read_toml};
use crate::dataset::{AugmentConfig, Modality, SamplerConfig, SplitConfig};
use crate::loss::{MagFaceConfig, TripletConfig};
use crate::model::{ConfidenceInput, FusionKind, IdentityHeadKind, NetworkConfig, TaskShape};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What stands where a configuration says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// This project's choices, the defaults of the types below.
    #[default]
    Strict,
    /// The study that the network comes from, `configs/presets/legacy.toml`.
    Legacy,
}

const LEGACY: &str = include_str!("../../configs/presets/legacy.toml");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    #[serde(default)]
    pub preset: Preset,
    /// One, or several that are fused.
    pub modalities: Vec<Modality>,
    /// Side of the network's input in pixels, a multiple of 32 fits best.
    pub input_side: usize,
    /// Of weights, order and augmentation.
    #[serde(default)]
    pub seed: u64,
    /// Whether the weights of the identity loss and of the tasks' are as given or learned with the
    /// network; adversaries keep theirs.
    #[serde(default)]
    pub loss_weights: LossWeights,
    #[serde(default)]
    pub split: SplitConfig,
    #[serde(default)]
    pub sampler: SamplerConfig,
    #[serde(default)]
    pub network: NetworkOptions,
    #[serde(default)]
    pub fusion: FusionConfig,
    #[serde(default)]
    pub identity: IdentityConfig,
    /// In the order in which their features are split off; none is identity alone.
    #[serde(default)]
    pub tasks: Vec<TaskConfig>,
    #[serde(default)]
    pub adversary: AdversaryConfig,
    #[serde(default)]
    pub augment: AugmentConfig,
    #[serde(default)]
    pub optimizer: OptimizerConfig,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossWeights {
    #[default]
    Given,
    /// By the uncertainty of each loss, see [`crate::loss::uncertainty_weighted`]; the given weights
    /// are factors before that.
    Learned,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkOptions {
    /// Layers of the backbone: 18, 34, 50 or 101.
    pub depth: usize,
    /// Channels of the first stage.
    pub width: usize,
    pub identity_head: IdentityHeadKind,
    /// What the network is told of the maps' confidence.
    pub confidence: ConfidenceInput,
}

impl Default for NetworkOptions {
    /// iResNet18.
    fn default() -> Self {
        Self {
            depth: 18,
            width: 64,
            identity_head: IdentityHeadKind::default(),
            confidence: ConfidenceInput::default(),
        }
    }
}

/// Blocks a stage of each depth, and whether they are bottlenecks (Duta et al. 2020, table 1).
const DEPTHS: [(usize, [usize; 4], bool); 4] = [
    (18, [2, 2, 2, 2], false),
    (34, [3, 4, 6, 3], false),
    (50, [3, 4, 6, 3], true),
    (101, [3, 4, 23, 3], true),
];

impl NetworkOptions {
    /// The depth of such stages, if there is one.
    pub fn depth_of(network: &NetworkConfig) -> Option<usize> {
        let known = DEPTHS.iter().find(|(_, blocks, bottleneck)| {
            *blocks == network.blocks && *bottleneck == network.bottleneck
        });
        known.map(|(depth, ..)| *depth)
    }
}

/// How several modalities become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FusionConfig {
    pub kind: FusionKind,
    /// For a concatenation: run folders of the trained single networks, in the order of the
    /// modalities; none begins from nothing.
    pub members: Vec<PathBuf>,
    /// Whether members stay as they are, their batch statistics too; otherwise all is trained on
    /// together.
    pub freeze: bool,
    /// Chance that a modality is withheld from a sample in training, never all of them, so that one
    /// network serves any subset; not for concatenations.
    pub modality_dropout: f64,
}

impl Default for FusionConfig {
    fn default() -> Self {
        Self {
            kind: FusionKind::default(),
            members: Vec::new(),
            freeze: true,
            modality_dropout: 0.0,
        }
    }
}

impl FusionConfig {
    /// Whether trained networks are taken as they are.
    pub fn is_frozen(&self) -> bool {
        self.kind == FusionKind::Concatenation && !self.members.is_empty() && self.freeze
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityLoss {
    #[default]
    Magface,
    Triplet,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Weight of the identity loss in the sum.
    pub weight: f64,
    pub loss: IdentityLoss,
    /// Weight of a capture of the person with the most captures, falling there from 1 for the person
    /// with the fewest, in proportion to how many there are (MagFace only); 1 weighs all alike.
    pub least_class_weight: f64,
    pub magface: MagFaceConfig,
    pub triplet: TripletConfig,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            loss: IdentityLoss::default(),
            least_class_weight: 1.0,
            magface: MagFaceConfig::default(),
            triplet: TripletConfig::default(),
        }
    }
}

/// One attribute to predict, and to keep out of identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// A label column.
    pub name: String,
    /// Label values in order of class; `*` stands for every other value.
    pub classes: Vec<String>,
    /// Weight of the task's loss in the sum.
    #[serde(default = "one")]
    pub weight: f64,
    /// Weight of the adversary's loss in the sum.
    #[serde(default = "one")]
    pub adversarial_weight: f64,
    /// Focal weight of each class; 1 where empty.
    #[serde(default)]
    pub alpha: Vec<f32>,
    /// Takes n / (C n_c) for the weight of class c, of n training captures with a label and C classes,
    /// n_c of them in the class; counted as an epoch draws them, where the sampler leaves some out.
    #[serde(default)]
    pub balanced: bool,
    /// Focal focus of each class; 0 where empty.
    #[serde(default)]
    pub gamma: Vec<f32>,
    /// An earlier task whose attention serves this one too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares_attention_with: Option<String>,
}

/// How the adversaries' reversed gradients come in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversaryConfig {
    /// γ of the warm-up `2 / (1 + exp(−γ p)) − 1`, p the share of the run that is done (Ganin et al.
    /// 2016, "Domain-adversarial training of neural networks", section 5.2.2, which takes 10); 0 is
    /// full strength from the start.
    pub warm_up: f64,
}

impl Default for AdversaryConfig {
    fn default() -> Self {
        Self { warm_up: 10.0 }
    }
}

impl AdversaryConfig {
    /// Strength of the reversal when a share of the run is done, 0 to 1.
    pub fn reversal_at(&self, done: f64) -> f64 {
        if self.warm_up == 0.0 { 1.0 } else { 2.0 / (1.0 + (-self.warm_up * done).exp()) - 1.0 }
    }
}

/// NaN is in no range.
fn in_range<T: Into<f64> + Copy + std::fmt::Display>(
    name: &str,
    value: T,
    least: f64,
    most: f64,
) -> Result<(), String> {
    if (least..=most).contains(&value.into()) {
        return Ok(());
    }
    Err(format!("{name} is {value}; it must be from {least} to {most}"))
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    pub epochs: usize,
    pub batch_size: usize,
    /// Adam's, at the start of each cosine period.
    pub learning_rate: f64,
    /// At the end of each period.
    pub min_learning_rate: f64,
    /// Epochs of one cosine period (Loshchilov and Hutter 2017); 0 is one period for the run.
    pub restart_epochs: usize,
    pub weight_decay: f32,
    /// Epochs between checkpoints; the last epoch always writes one.
    pub checkpoint_epochs: usize,
    /// Steps between checkpoints within an epoch, for epochs that take long; 0 is none.
    pub checkpoint_steps: usize,
    /// Epochs between looks at the people for validation, where there are any; the last epoch always
    /// takes one.
    pub validation_epochs: usize,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            epochs: 40,
            batch_size: 16,
            learning_rate: 5e-4,
            min_learning_rate: 1e-6,
            restart_epochs: 0,
            weight_decay: 1e-2,
            checkpoint_epochs: 5,
            checkpoint_steps: 0,
            validation_epochs: 1,
        }
    }
}

impl OptimizerConfig {
    /// Learning rate at a point of the run, `epoch` counting fractions: cosine annealing with
    /// warm restarts (Loshchilov and Hutter 2017, "SGDR", eq. 5).
    pub fn learning_rate_at(&self, epoch: f64) -> f64 {
        let period = if self.restart_epochs > 0 { self.restart_epochs } else { self.epochs } as f64;
        let phase = (epoch % period) / period;
        let share = 0.5 * (1.0 + (std::f64::consts::PI * phase).cos());
        self.min_learning_rate + (self.learning_rate - self.min_learning_rate) * share
    }
}

impl TrainConfig {
    /// What makes the configuration impossible, if anything.
    pub fn check(&self) -> Result<(), String> {
        let (optimizer, augment) = (&self.optimizer, &self.augment);
        let magface = &self.identity.magface;
        // The backbone halves five times; batch norm needs two samples. Upper bounds are far beyond
        // use, and keep a slip of the finger from asking for all memory there is.
        in_range("input_side", self.input_side as f64, 32.0, 2048.0)?;
        in_range("network.width", self.network.width as f64, 1.0, 256.0)?;
        let depth = self.network.depth;
        if !DEPTHS.iter().any(|(known, ..)| *known == depth) {
            return Err(format!("network.depth is {depth}; it must be 18, 34, 50 or 101"));
        }
        self.check_modalities()?;
        let split = &self.split;
        if split.file.is_some()
            && *split != (SplitConfig { file: split.file.clone(), ..SplitConfig::default() })
        {
            return Err("split.file is a whole split; remove the other settings of split".into());
        }
        in_range("optimizer.epochs", optimizer.epochs as f64, 1.0, 1e6)?;
        in_range("optimizer.batch_size", optimizer.batch_size as f64, 2.0, 65_536.0)?;
        in_range("optimizer.learning_rate", optimizer.learning_rate, 1e-12, 10.0)?;
        let most = optimizer.learning_rate;
        in_range("optimizer.min_learning_rate", optimizer.min_learning_rate, 0.0, most)?;
        in_range("optimizer.restart_epochs", optimizer.restart_epochs as f64, 0.0, 1e6)?;
        in_range("optimizer.checkpoint_epochs", optimizer.checkpoint_epochs as f64, 1.0, 1e6)?;
        in_range("optimizer.checkpoint_steps", optimizer.checkpoint_steps as f64, 0.0, 1e9)?;
        in_range("optimizer.validation_epochs", optimizer.validation_epochs as f64, 1.0, 1e6)?;
        in_range("optimizer.weight_decay", optimizer.weight_decay, 0.0, 10.0)?;
        in_range("augment.min_crop", augment.min_crop, 0.1, 1.0)?;
        in_range("augment.rotation_deg", augment.rotation_deg, 0.0, 180.0)?;
        in_range("augment.patch_noise", augment.patch_noise, 0.0, 10.0)?;
        in_range("augment.shading", augment.shading, 0.0, 10.0)?;
        in_range("adversary.warm_up", self.adversary.warm_up, 0.0, 1e3)?;
        in_range("identity.weight", self.identity.weight, 0.0, 1e6)?;
        in_range("identity.least_class_weight", self.identity.least_class_weight, 0.0, 1.0)?;
        in_range("identity.triplet.margin", self.identity.triplet.margin, 0.0, 2.0)?;
        if augment.mirror_is_another_person && !augment.mirror {
            return Err("augment.mirror_is_another_person needs augment.mirror".into());
        }
        if self.identity.loss == IdentityLoss::Triplet && self.identity.least_class_weight < 1.0 {
            return Err(
                "identity.least_class_weight is MagFace's; the triplet loss has no classes".into(),
            );
        }
        if self.identity.loss == IdentityLoss::Triplet && self.sampler.captures_per_person < 2 {
            return Err("the triplet loss needs several captures of each person in a batch; give \
                 sampler.captures_per_person 2 or more"
                .into());
        }
        let k = self.sampler.captures_per_person;
        if self.identity.loss == IdentityLoss::Triplet && optimizer.batch_size < 2 * k {
            return Err(format!(
                "the triplet loss needs two people or more in a batch; optimizer.batch_size {} holds \
                 one of {k} captures",
                optimizer.batch_size
            ));
        }
        for undersample in &self.sampler.undersample {
            in_range("a sampler.undersample's ratio", undersample.ratio, 1.0, 1e9)?;
            if !self.tasks.iter().any(|task| task.name == undersample.task) {
                let name = &undersample.task;
                return Err(format!("sampler.undersample names `{name}`, which is no task"));
            }
        }
        in_range("identity.magface.scale", magface.scale, 0.1, 1e3)?;
        in_range("identity.magface.min_length", magface.min_length, 1e-3, 1e6)?;
        let above = magface.min_length * 1.000_001;
        in_range("identity.magface.max_length", magface.max_length, above, 1e7)?;
        in_range("identity.magface.min_margin", magface.min_margin, 0.0, 1.5)?;
        let least = magface.min_margin;
        in_range("identity.magface.max_margin", magface.max_margin, least, 1.5)?;
        in_range("identity.magface.length_weight", magface.length_weight, 0.0, 1e6)?;
        for (index, task) in self.tasks.iter().enumerate() {
            task.check()?;
            if let Some(other) = &task.shares_attention_with
                && !self.tasks[..index]
                    .iter()
                    .any(|t| t.name == *other && t.shares_attention_with.is_none())
            {
                return Err(format!(
                    "the task `{}` shares its attention with `{other}`, which is no task before it \
                     with an attention of its own",
                    task.name
                ));
            }
            if self.tasks[..index].iter().any(|other| other.name == task.name) {
                return Err(format!("the task `{}` is listed twice", task.name));
            }
        }
        Ok(())
    }

    fn check_modalities(&self) -> Result<(), String> {
        let modalities = &self.modalities;
        in_range("the number of modalities", modalities.len() as f64, 1.0, 4.0)?;
        if let Some((_, twice)) =
            modalities.iter().enumerate().find(|(i, m)| modalities[..*i].contains(m))
        {
            return Err(format!("modalities lists {} twice", twice.name()));
        }
        let fusion = &self.fusion;
        in_range("fusion.modality_dropout", fusion.modality_dropout, 0.0, 0.9)?;
        let concatenates = fusion.kind == FusionKind::Concatenation;
        if !fusion.members.is_empty() && (!concatenates || modalities.len() == 1) {
            return Err("fusion.members is for a concatenation of several modalities".into());
        }
        if !fusion.members.is_empty() && fusion.members.len() != modalities.len() {
            return Err(format!(
                "fusion.members names {} runs for {} modalities",
                fusion.members.len(),
                modalities.len()
            ));
        }
        if fusion.kind != FusionKind::default() && modalities.len() == 1 {
            return Err("fusion.kind is for several modalities".into());
        }
        if !fusion.freeze && fusion.members.is_empty() {
            return Err("fusion.freeze is for fusion.members, of which there are none".into());
        }
        if fusion.modality_dropout > 0.0 && (concatenates || modalities.len() == 1) {
            return Err("fusion.modality_dropout is for several modalities fused by projection, \
                 gated or attention"
                .into());
        }
        Ok(())
    }

    /// The architecture for so many training identities.
    ///
    /// # Panics
    /// For a depth that [`TrainConfig::check`] refuses.
    pub fn network(&self, identities: usize) -> NetworkConfig {
        let known = DEPTHS.iter().find(|(depth, ..)| *depth == self.network.depth);
        let &(_, blocks, bottleneck) = known.expect("a depth that was checked");
        NetworkConfig {
            width: self.network.width,
            blocks,
            bottleneck,
            modalities: self.modalities.len(),
            fusion: self.fusion.kind,
            confidence: self.network.confidence,
            identity_head: self.network.identity_head,
            input_side: self.input_side,
            identities,
            tasks: self
                .tasks
                .iter()
                .map(|task| TaskShape {
                    name: task.name.clone(),
                    classes: task.classes.len(),
                    shares_attention_with: task.shares_attention_with.clone(),
                })
                .collect(),
            learned_weights: self.loss_weights == LossWeights::Learned,
        }
    }

    /// Training identities for so many people.
    pub fn identities(&self, people: usize) -> usize {
        let mirrored = self.augment.mirror && self.augment.mirror_is_another_person;
        if mirrored { 2 * people } else { people }
    }
}

/// Reads a training configuration, fills in its preset and checks that it is possible.
pub fn read_train_config(path: &Path) -> Result<TrainConfig, ConfigError> {
    // Parsed by itself first, so that a mistake is placed in the user's file.
    let _: TrainConfig = read_toml(path)?;
    resolve_train_config(read_toml(path)?)
        .map_err(|reason| ConfigError::Impossible { path: path.to_path_buf(), reason })
}

/// A configuration with its preset filled in, if it is possible.
pub fn resolve_train_config(mut table: toml::Table) -> Result<TrainConfig, String> {
    let of = |table: toml::Table| {
        let config: Result<TrainConfig, toml::de::Error> = table.try_into();
        config.map_err(|error| error.message().trim().replace('\n', " "))
    };
    if table.get("preset").and_then(toml::Value::as_str) == Some("legacy") {
        let legacy = LEGACY.parse().expect("the preset is TOML");
        fill_in(&mut table, legacy);
    }
    let config = of(table)?;
    config.check()?;
    Ok(config)
}

/// Gives a table what it does not say, table by table; lists are taken or left as a whole.
pub fn fill_in(table: &mut toml::Table, defaults: toml::Table) {
    for (key, default) in defaults {
        match (table.get_mut(&key), default) {
            (Some(toml::Value::Table(own)), toml::Value::Table(default)) => fill_in(own, default),
            (Some(_), _) => {}
            (None, default) => drop(table.insert(key, default)),
        }
    }
}

impl TaskConfig {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if !LABEL_COLUMNS.contains(&name.as_str()) {
            return Err(format!(
                "unknown task `{name}`{}; known: {}",
                did_you_mean(name, &LABEL_COLUMNS),
                LABEL_COLUMNS.join(", ")
            ));
        }
        let classes = self.classes.len();
        if classes < 2 {
            return Err(format!("the task `{name}` has {classes} classes; at least 2 are needed"));
        }
        let twice = self.classes.iter().enumerate().find(|(i, c)| self.classes[..*i].contains(c));
        if let Some((_, class)) = twice {
            return Err(format!("the task `{name}` lists the class `{class}` twice"));
        }
        in_range("a task's weight", self.weight, 0.0, 1e6)?;
        in_range("a task's adversarial_weight", self.adversarial_weight, 0.0, 1e6)?;
        for &alpha in &self.alpha {
            in_range("a task's alpha", alpha, 0.0, 1e6)?;
        }
        for &gamma in &self.gamma {
            in_range("a task's gamma", gamma, 0.0, 100.0)?;
        }
        if self.balanced && !self.alpha.is_empty() {
            return Err(format!("the task `{name}` has alpha and balanced; give one of them"));
        }
        for (what, values) in [("alpha", &self.alpha), ("gamma", &self.gamma)] {
            if !values.is_empty() && values.len() != classes {
                return Err(format!(
                    "the task `{name}` has {classes} classes, but {} values of {what}",
                    values.len()
                ));
            }
        }
        Ok(())
    }

    /// The task's loss; `counts` are the captures of each class that an epoch draws.
    pub fn focal(&self, counts: &[f64]) -> crate::loss::FocalConfig {
        let classes = self.classes.len();
        let or = |values: &Vec<f32>, default: f32| {
            if values.is_empty() { vec![default; classes] } else { values.clone() }
        };
        let alpha = if self.balanced {
            let total: f64 = counts.iter().sum();
            // A class without captures has no sample that its weight could fall on.
            let of = |&n: &f64| if n > 0.0 { (total / (classes as f64 * n)) as f32 } else { 1.0 };
            counts.iter().map(of).collect()
        } else {
            or(&self.alpha, 1.0)
        };
        crate::loss::FocalConfig { alpha, gamma: or(&self.gamma, 0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "
        modalities = ['albedo']
        input_side = 64
        [split]
        gallery_count = 2
        [optimizer]
        epochs = 10
        batch_size = 8
        learning_rate = 1e-3
    ";

    fn parse(extra: &str) -> TrainConfig {
        toml::from_str(&format!("{SMALLEST}\n{extra}")).unwrap()
    }

    #[test]
    fn impossible_settings_say_which_and_why() {
        assert_eq!(parse("").check(), Ok(()));
        let message = parse("[[tasks]]\nname='spectacle'\nclasses=['no','yes']").check();
        assert!(message.unwrap_err().contains("did you mean `spectacles`?"));
        let message = parse("[[tasks]]\nname='pose'\nclasses=['1','*']\nalpha=[1.0]").check();
        assert!(message.unwrap_err().contains("2 classes, but 1 values of alpha"));
        let mut config = parse("");
        config.optimizer.batch_size = 1;
        assert!(config.check().unwrap_err().contains("batch_size"));
        config.optimizer.batch_size = 8;
        config.optimizer.learning_rate = f64::NAN;
        assert!(config.check().unwrap_err().contains("learning_rate"));
    }

    #[test]
    fn the_learning_rate_falls_and_restarts() {
        let mut optimizer = parse("").optimizer;
        optimizer.min_learning_rate = 1e-5;
        assert!((optimizer.learning_rate_at(0.0) - 1e-3).abs() < 1e-12);
        assert!((optimizer.learning_rate_at(5.0) - (1e-3 + 1e-5) / 2.0).abs() < 1e-12);
        optimizer.restart_epochs = 5;
        assert!((optimizer.learning_rate_at(5.0) - 1e-3).abs() < 1e-12);
    }

    #[test]
    fn adversaries_come_in_by_ganins_schedule() {
        let warm = AdversaryConfig { warm_up: 10.0 };
        assert_eq!(warm.reversal_at(0.0), 0.0);
        // tanh(γ p / 2) at 0.1 and at the end.
        assert!((warm.reversal_at(0.1) - 0.5f64.tanh()).abs() < 1e-12);
        assert!((warm.reversal_at(1.0) - 5.0f64.tanh()).abs() < 1e-12);
        assert_eq!(AdversaryConfig { warm_up: 0.0 }.reversal_at(0.0), 1.0);
        let config = parse("[adversary]\nwarm_up = -1.0");
        assert!(config.check().unwrap_err().contains("adversary.warm_up"));
    }

    #[test]
    fn the_resolved_configuration_reads_back() {
        let config = parse("[[tasks]]\nname='pose'\nclasses=['1','*']");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config);
    }

    #[test]
    fn the_legacy_preset_fills_in_what_is_not_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "preset = 'legacy'\nmodalities = ['depth']\ninput_side = 96\n\
                    [split]\ngallery_count = 2\n[identity.magface]\nscale = 32\n";
        std::fs::write(file.path(), text).unwrap();
        let config = read_train_config(file.path()).unwrap();
        assert_eq!(config.modalities, [Modality::Depth]);
        assert_eq!(config.network.identity_head, IdentityHeadKind::Pooled);
        assert_eq!(
            (config.identity.magface.scale, config.identity.magface.length_weight),
            (32.0, 20.0)
        );
        assert_eq!(config.adversary.reversal_at(0.0), 1.0);
        let tasks: Vec<_> = config.tasks.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(tasks, ["spectacles", "facial_hair", "emotion", "pose", "gender"]);
        // A list of one's own stands for the whole list; a mistake is placed in the user's file.
        std::fs::write(file.path(), format!("tasks = []\n{text}")).unwrap();
        assert_eq!(read_train_config(file.path()).unwrap().tasks, []);
        std::fs::write(file.path(), format!("{text}[optimizer]\nepoch = 3\n")).unwrap();
        let message = read_train_config(file.path()).unwrap_err().to_string();
        assert!(message.contains(":9: unknown key `epoch`"), "{message}");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let check = |extra: &str| {
            let text =
                SMALLEST.replace("modalities = ['albedo']", "modalities = ['albedo', 'depth']");
            toml::from_str::<TrainConfig>(&format!("{text}\n{extra}")).unwrap().check()
        };
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("[fusion]\nkind = 'gated'\nmodality_dropout = 0.3"), Ok(()));
        let refused = |extra: &str| check(extra).unwrap_err();
        assert!(refused("[fusion]\nmodality_dropout = 0.3").contains("projection"));
        assert!(refused("[fusion]\nmembers = ['a']").contains("1 runs for 2 modalities"));
        assert!(refused("[identity]\nloss = 'triplet'").contains("captures_per_person"));
        assert!(refused("[network]\ndepth = 20").contains("18, 34, 50 or 101"));
        let shared = "[[tasks]]\nname='emotion'\nclasses=['a','*']\nshares_attention_with='pose'";
        assert!(refused(shared).contains("no task before it"));
    }

    #[test]
    fn balanced_weights_worked_by_hand() {
        let mut task = parse("[[tasks]]\nname='pose'\nclasses=['1','2','*']").tasks.remove(0);
        task.balanced = true;
        assert_eq!(
            task.focal(&[60.0, 30.0, 10.0]).alpha,
            [100.0 / 180.0, 100.0 / 90.0, 100.0 / 30.0]
        );
    }
}
