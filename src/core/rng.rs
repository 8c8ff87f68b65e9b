//! Randomness from a supplied seed, for jitter alone.

use serde::{Deserialize, Serialize};

/// A small generator (SplitMix64): its whole state is one number, so a record keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from -1 to 1.
    pub(super) fn signed_unit(&mut self) -> f64 {
        let bits = self.next() >> 11;
        (bits as f64) / ((1_u64 << 52) as f64) - 1.0
    }
}
