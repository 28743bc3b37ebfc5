//! AdamW (Loshchilov and Hutter 2019) whose state can be read back anywhere.
//!
//! burn reads optimiser state onto its default device, which is a GPU API as soon as one is
//! compiled in, whether or not the machine has one. This wrapper reads it onto the CPU; the next
//! step moves it to where its parameter is.

use super::TrainConfig;
use burn::optim::{
    AdamW, AdamWConfig, AdamWState, LearningRate, ModuleOptimizer, Optimizer, RecordState,
    StateSink, StateSource,
};
use burn::tensor::{Device, Tensor};

/// A fresh optimiser for a configuration.
pub(super) fn new_optimizer(config: &TrainConfig) -> ModuleOptimizer {
    let adam = AdamWConfig::new()
        .with_weight_decay(config.optimizer.weight_decay)
        .with_epsilon(1e-8)
        .build();
    ModuleOptimizer::from(ReadableAdamW(adam))
}

#[derive(Clone)]
struct ReadableAdamW(AdamW);

#[derive(Clone)]
struct HostState<const D: usize>(AdamWState<D>);

impl<const D: usize> RecordState for HostState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, _default: &Device) -> Option<Self> {
        AdamWState::state_unflatten(prefix, source, &Device::flex()).map(Self)
    }
}

impl Optimizer for ReadableAdamW {
    type State<const D: usize> = HostState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (tensor, state) = self.0.step(rate, tensor, gradient, state.map(|s| s.0));
        (tensor, state.map(HostState))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        HostState(AdamW::to_device(state.0, device))
    }
}
