//! What a training run is told: one TOML file, resolved once and stored with the run.

use crate::capture::LABEL_COLUMNS;
use crate::config::did_you_mean;
use crate::dataset::{AugmentConfig, Modality, SplitConfig};
use crate::loss::MagFaceConfig;
use crate::model::{NetworkConfig, TaskShape};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    pub modality: Modality,
    /// Side of the network's input in pixels, a multiple of 32 fits best.
    pub input_side: usize,
    /// Of weights, order and augmentation.
    #[serde(default)]
    pub seed: u64,
    pub split: SplitConfig,
    #[serde(default)]
    pub network: NetworkOptions,
    #[serde(default)]
    pub identity: IdentityConfig,
    /// In the order in which their features are split off; none is identity alone.
    #[serde(default)]
    pub tasks: Vec<TaskConfig>,
    #[serde(default)]
    pub adversary: AdversaryConfig,
    #[serde(default)]
    pub augment: AugmentConfig,
    pub optimizer: OptimizerConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkOptions {
    /// Channels of the first stage.
    pub width: usize,
    /// Blocks of the four stages.
    pub blocks: [usize; 4],
}

impl Default for NetworkOptions {
    /// iResNet18.
    fn default() -> Self {
        Self { width: 64, blocks: [2, 2, 2, 2] }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Weight of the identity loss in the sum.
    pub weight: f64,
    pub magface: MagFaceConfig,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self { weight: 1.0, magface: MagFaceConfig::default() }
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
    /// Focal focus of each class; 0 where empty.
    #[serde(default)]
    pub gamma: Vec<f32>,
}

/// How the adversaries' reversed gradients come in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversaryConfig {
    /// γ of the warm-up `2 / (1 + exp(−γ p)) − 1`, p the share of the run that is done (Ganin et al.
    /// 2016, "Domain-adversarial training of neural networks", section 5.2.2, which takes 10); 0 is
    /// full strength from the start.
    pub warm_up: f64,
}

impl AdversaryConfig {
    /// Strength of the reversal when a share of the run is done, 0 to 1.
    pub fn reversal_at(&self, done: f64) -> f64 {
        if self.warm_up == 0.0 { 1.0 } else { 2.0 / (1.0 + (-self.warm_up * done).exp()) - 1.0 }
    }
}

/// NaN is in no range.
fn in_range(name: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value}; it must be from {least} to {most}"))
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    pub epochs: usize,
    pub batch_size: usize,
    /// Adam's, at the start of each cosine period.
    pub learning_rate: f64,
    /// At the end of each period.
    #[serde(default = "min_learning_rate")]
    pub min_learning_rate: f64,
    /// Epochs of one cosine period (Loshchilov and Hutter 2017); 0 is one period for the run.
    #[serde(default)]
    pub restart_epochs: usize,
    #[serde(default)]
    pub weight_decay: f32,
    /// Epochs between checkpoints; the last epoch always writes one.
    #[serde(default = "checkpoint_epochs")]
    pub checkpoint_epochs: usize,
}

fn min_learning_rate() -> f64 {
    1e-6
}

fn checkpoint_epochs() -> usize {
    5
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
        // The backbone halves five times; batch norm needs two samples; a stage has a start and
        // an end block. Upper bounds are far beyond use, and keep a slip of the finger from
        // asking for all memory there is.
        in_range("input_side", self.input_side as f64, 32.0, 2048.0)?;
        in_range("network.width", self.network.width as f64, 1.0, 512.0)?;
        for blocks in self.network.blocks {
            in_range("each of network.blocks", blocks as f64, 2.0, 64.0)?;
        }
        in_range("optimizer.epochs", optimizer.epochs as f64, 1.0, 1e6)?;
        in_range("optimizer.batch_size", optimizer.batch_size as f64, 2.0, 65_536.0)?;
        in_range("optimizer.learning_rate", optimizer.learning_rate, 1e-12, 10.0)?;
        let most = optimizer.learning_rate;
        in_range("optimizer.min_learning_rate", optimizer.min_learning_rate, 0.0, most)?;
        in_range("optimizer.restart_epochs", optimizer.restart_epochs as f64, 0.0, 1e6)?;
        in_range("optimizer.checkpoint_epochs", optimizer.checkpoint_epochs as f64, 1.0, 1e6)?;
        in_range("optimizer.weight_decay", f64::from(optimizer.weight_decay), 0.0, 10.0)?;
        in_range("augment.min_crop", f64::from(augment.min_crop), 0.1, 1.0)?;
        in_range("augment.patch_noise", f64::from(augment.patch_noise), 0.0, 10.0)?;
        in_range("augment.shading", f64::from(augment.shading), 0.0, 10.0)?;
        in_range("adversary.warm_up", self.adversary.warm_up, 0.0, 1e3)?;
        in_range("identity.weight", self.identity.weight, 0.0, 1e6)?;
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
            if self.tasks[..index].iter().any(|other| other.name == task.name) {
                return Err(format!("the task `{}` is listed twice", task.name));
            }
        }
        Ok(())
    }

    /// The architecture for so many training identities.
    pub fn network(&self, identities: usize) -> NetworkConfig {
        NetworkConfig {
            width: self.network.width,
            blocks: self.network.blocks,
            identities,
            tasks: self
                .tasks
                .iter()
                .map(|task| TaskShape { name: task.name.clone(), classes: task.classes.len() })
                .collect(),
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
            in_range("a task's alpha", f64::from(alpha), 0.0, 1e6)?;
        }
        for &gamma in &self.gamma {
            in_range("a task's gamma", f64::from(gamma), 0.0, 100.0)?;
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

    pub fn focal(&self) -> crate::loss::FocalConfig {
        let or = |values: &Vec<f32>, default: f32| {
            if values.is_empty() { vec![default; self.classes.len()] } else { values.clone() }
        };
        crate::loss::FocalConfig { alpha: or(&self.alpha, 1.0), gamma: or(&self.gamma, 0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "
        modality = 'albedo'
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
        assert_eq!(AdversaryConfig::default().reversal_at(0.0), 1.0);
        let config = parse("[adversary]\nwarm_up = -1.0");
        assert!(config.check().unwrap_err().contains("adversary.warm_up"));
    }

    #[test]
    fn the_resolved_configuration_reads_back() {
        let config = parse("[[tasks]]\nname='pose'\nclasses=['1','*']");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config);
    }
}
