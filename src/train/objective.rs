//! What is minimised: the identity loss, each task's, and each adversary's behind gradient reversal.

use super::data::{Batch, TrainingData};
use super::{IdentityLoss, TrainConfig};
use crate::loss::{FocalConfig, uncertainty_weighted};
use crate::model::{MultiTaskNetwork, NetworkOutput};
use burn::tensor::{Device, Int, Tensor};

/// One loss of a batch, unweighted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum LossPart {
    Identity,
    Task(String),
    Adversarial(String),
}

/// The losses of a configuration on its training captures.
pub(super) struct Objective {
    config: TrainConfig,
    /// By task.
    focal: Vec<FocalConfig>,
    /// Of each training identity.
    person_weight: Option<Vec<f32>>,
}

impl Objective {
    pub fn new(config: &TrainConfig, data: &TrainingData) -> Self {
        let focal = config
            .tasks
            .iter()
            .enumerate()
            .map(|(i, task)| task.focal(&data.drawn_class_counts(i, task.classes.len())))
            .collect();
        let least = config.identity.least_class_weight as f32;
        let person_weight =
            (least < 1.0).then(|| class_weights(&data.drawn_person_counts(), least));
        Self { config: config.clone(), focal, person_weight }
    }

    /// Weight of each class of a task.
    pub fn alpha(&self, task: usize) -> &[f32] {
        &self.focal[task].alpha
    }

    /// The weighted sum, and its parts unweighted.
    pub fn losses(
        &self,
        network: &MultiTaskNetwork,
        data: &TrainingData,
        batch: &Batch,
        output: NetworkOutput,
        device: &Device,
    ) -> (Tensor<1>, Vec<(LossPart, Tensor<1>)>) {
        let labels = |values: &[i32]| Tensor::<1, Int>::from_data(values, device);
        let config = &self.config;
        let people = labels(&batch.people);
        let identity = match config.identity.loss {
            IdentityLoss::Magface => {
                let weight = self.person_weight.as_ref().map(|weights| {
                    // A mirrored person weighs what the person does.
                    let of = |&person: &i32| weights[person as usize % weights.len()];
                    let values: Vec<f32> = batch.people.iter().map(of).collect();
                    Tensor::<1>::from_data(values.as_slice(), device)
                });
                let weights = network.class_weight();
                config.identity.magface.forward(output.embedding, weights, people, weight).loss
            }
            IdentityLoss::Triplet => config.identity.triplet.forward(output.embedding, people),
        };
        let mut parts = vec![(LossPart::Identity, identity.clone())];
        // Whose weights can be learned, and the position of each among them.
        let mut main = vec![identity * config.identity.weight];
        let mut positions_of_main = vec![0];
        let mut adversarial_sum: Option<Tensor<1>> = None;
        for (index, (task, output)) in config.tasks.iter().zip(output.tasks).enumerate() {
            let class = |&position: &usize| data.captures[position].classes[index];
            let (positions, classes): (Vec<i32>, Vec<i32>) = batch
                .positions
                .iter()
                .enumerate()
                .filter_map(|(at, position)| Some((at as i32, class(position)? as i32)))
                .unzip();
            if positions.is_empty() {
                continue;
            }
            let loss = |logits: Tensor<2>| {
                let of_labelled = logits.select(0, labels(&positions));
                self.focal[index].forward(of_labelled, labels(&classes))
            };
            let own = loss(output.logits);
            main.push(own.clone() * task.weight);
            positions_of_main.push(index as i32 + 1);
            parts.push((LossPart::Task(task.name.clone()), own));
            // Frozen streams have nothing that an adversary could change.
            if config.fusion.is_frozen() {
                continue;
            }
            let adversaries = output.adversarial_logits.into_iter().map(loss);
            if let Some(adversarial) = adversaries.reduce(|a, b| a + b) {
                let weighted = adversarial.clone() * task.adversarial_weight;
                adversarial_sum = Some(match adversarial_sum {
                    Some(sum) => sum + weighted,
                    None => weighted,
                });
                parts.push((LossPart::Adversarial(task.name.clone()), adversarial));
            }
        }
        let mut total = match network.log_variances() {
            Some(s) => uncertainty_weighted(&main, s.select(0, labels(&positions_of_main))),
            None => main.into_iter().reduce(|a, b| a + b).expect("identity is one"),
        };
        if let Some(adversarial) = adversarial_sum {
            total = total + adversarial;
        }
        (total, parts)
    }
}

/// From 1 for who has the fewest captures down to `least` for who has the most, in proportion.
fn class_weights(counts: &[f64], least: f32) -> Vec<f32> {
    let fewest = counts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = counts.iter().copied().fold(0.0, f64::max);
    if most <= fewest {
        return vec![1.0; counts.len()];
    }
    let share = |&n: &f64| ((n - fewest) / (most - fewest)) as f32;
    counts.iter().map(|n| 1.0 - (1.0 - least) * share(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_weights_worked_by_hand() {
        assert_eq!(class_weights(&[2.0, 4.0, 6.0], 0.3), [1.0, 0.65, 0.3]);
        assert_eq!(class_weights(&[5.0, 5.0], 0.3), [1.0, 1.0]);
    }
}
