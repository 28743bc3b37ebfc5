//! What the benches share: timing by repetition, and which GPU.

#![allow(dead_code)] // Not every bench uses all of it.

use lumiface::gpu::{Gpu, choose_adapter, list_adapters};
use std::time::Instant;

pub mod truth;

const REPETITIONS: usize = 15;

/// Seconds of repetitions, rising.
pub struct Timing {
    seconds: Vec<f64>,
}

impl Timing {
    /// Of [`REPETITIONS`] runs after a warm-up.
    pub fn of(mut work: impl FnMut()) -> Self {
        work();
        let seconds = (0..REPETITIONS)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed().as_secs_f64()
            })
            .collect();
        Self::new(seconds)
    }

    pub fn new(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self { seconds }
    }

    fn quantile(&self, share: f64) -> f64 {
        self.seconds[((self.seconds.len() - 1) as f64 * share).round() as usize]
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half the distance between the quartiles, as a share of the median.
    pub fn spread_percent(&self) -> f64 {
        50.0 * (self.quantile(0.75) - self.quantile(0.25)) / self.median()
    }
}

/// The adapter that `LUMIFACE_GPU` names (auto, cpu, gpu or gpu:NAME), else the first there is.
pub fn open_gpu() -> Option<Gpu> {
    let request = std::env::var("LUMIFACE_GPU").unwrap_or_default();
    let adapters = list_adapters();
    let adapter = if request.is_empty() {
        adapters.first().cloned()
    } else {
        let request = request.parse().expect("LUMIFACE_GPU is auto, cpu, gpu or gpu:NAME");
        choose_adapter(&request, &adapters).expect("LUMIFACE_GPU names an adapter").adapter
    };
    match adapter {
        None => {
            println!("GPU: none");
            None
        }
        Some(adapter) => {
            println!("GPU: {} ({})", adapter.name, adapter.kind);
            Some(Gpu::open(&adapter).expect("the adapter opens"))
        }
    }
}
