//! Time as an argument. The machine never asks for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of the monotonic clock, in nanoseconds since its epoch (boot).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// A moment that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// This much later; what would be past the end of time is [`Time::NEVER`].
    pub fn after(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it is yet to come.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A moment of the wall clock, in milliseconds since 1970. For people to read; no deadline uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WallTime(pub i64);

/// Both clocks, read once for each input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For every deadline.
    pub mono: Time,
    /// For what people read.
    pub wall: WallTime,
}
