//! Random numbers that come out the same on every platform.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// Scrambles 64 bits (the finaliser of SplitMix64), so that seeds 0, 1, 2… share nothing.
pub(crate) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Random numbers that come out the same on every platform.
pub struct Draws(Pcg64Mcg);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::new(u128::from(mix(seed)) << 64 | u128::from(mix(!seed))))
    }

    /// Uniform from `low` to `high`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        let share = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        low + share * (high - low)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.range(0.0, 1.0) < probability
    }

    /// Mean 0, variance 1, within ±3.47: the sum of four uniform numbers, which is close enough
    /// to a normal one and needs no logarithm.
    pub fn normal(&mut self) -> f64 {
        let bits = self.0.next_u64();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
        (sum as f64 / 65535.0 - 2.0) * 3f64.sqrt()
    }
}
