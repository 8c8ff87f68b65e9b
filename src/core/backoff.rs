//! How long to wait before the next automatic restart, and when there have been too many.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::is_default;
use super::rng::Rng;
use super::time::Time;
use crate::spec::Restart;

/// The least wait after a failure for lack of resources: the machine needs time to get some back.
const RESOURCE_DELAY: Duration = Duration::from_millis(100);

/// So many runs in a row that a connection began and that ended with success within this time, and another is one too
/// many: a program that ends without accepting would be started in a circle. What systemd has for sockets that are handed
/// over (systemd.socket(5), `TriggerLimitIntervalSec=`, `TriggerLimitBurst=` with `Accept=no`).
const SERVED: u32 = 20;
const SERVED_WITHIN: Duration = Duration::from_secs(2);

/// Starts by connections after runs that ended with success, since the first of them within an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Served {
    since: Time,
    count: u32,
}

/// What the arithmetic of restarts remembers of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// When the automatic restarts within the limit's interval were made.
    recent: VecDeque<Time>,
    /// Automatic restarts in a row.
    in_row: u32,
    /// Spawns in a row that failed for lack of resources.
    starved: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    served: Served,
}

impl Tally {
    pub(super) fn in_row(&self) -> u32 {
        self.in_row
    }

    /// Forgets everything: a person started it, or a run lived long enough.
    pub(super) fn reset(&mut self) {
        self.recent.clear();
        self.in_row = 0;
        self.starved = 0;
        self.served = Served::default();
    }

    /// Counts a start by a connection after a run that ended with success, if one more is within bounds. Whoever lifted
    /// the limit on restarts lifted this one.
    pub(super) fn serves(&mut self, restart: &Restart, now: Time) -> bool {
        if self.served.count == 0 || now.since(self.served.since) >= SERVED_WITHIN {
            self.served = Served { since: now, count: 0 };
        }
        let allowed = restart.limit.burst == 0 || self.served.count < SERVED;
        if allowed {
            self.served.count = self.served.count.saturating_add(1);
        }
        allowed
    }

    /// A program was executed: resources were there.
    pub(super) fn fed(&mut self) {
        self.starved = 0;
    }

    /// Whether one more automatic restart at `when` is within the limit.
    pub(super) fn allows(&mut self, restart: &Restart, when: Time) -> bool {
        let window = restart.limit.interval;
        while self.recent.front().is_some_and(|at| when.since(*at) >= window) {
            self.recent.pop_front();
        }
        restart.limit.burst == 0 || self.recent.len() < restart.limit.burst as usize
    }

    /// An automatic restart is made at `when`.
    pub(super) fn count(&mut self, restart: &Restart, when: Time) {
        self.in_row = self.in_row.saturating_add(1);
        if restart.limit.burst > 0 {
            self.recent.push_back(when);
        }
    }

    /// The wait before the next automatic restart.
    pub(super) fn delay(&self, restart: &Restart, rng: &mut Rng) -> Duration {
        jittered(
            grown(restart.delay, restart.factor, restart.max_delay, self.in_row),
            restart.jitter,
            restart.max_delay,
            rng,
        )
    }

    /// The wait after a spawn that failed for lack of resources. Such waits are counted apart.
    pub(super) fn starve(&mut self, restart: &Restart, rng: &mut Rng) -> Duration {
        let first = restart.delay.max(RESOURCE_DELAY);
        let most = restart.max_delay.max(first);
        let delay = jittered(grown(first, restart.factor.max(2.0), most, self.starved), restart.jitter, most, rng);
        self.starved = self.starved.saturating_add(1);
        delay
    }
}

/// `first` times `factor` to the power of `times`, at most `most`. Never overflows: what is not finite is `most`.
fn grown(first: Duration, factor: f64, most: Duration, times: u32) -> Duration {
    let power = factor.max(1.0).powi(i32::try_from(times).unwrap_or(i32::MAX));
    let seconds = first.as_secs_f64() * power;
    if first.is_zero() {
        Duration::ZERO
    } else if seconds.is_finite() && seconds < most.as_secs_f64() {
        Duration::from_secs_f64(seconds)
    } else {
        most.max(first.min(most))
    }
}

fn jittered(delay: Duration, jitter: f64, most: Duration, rng: &mut Rng) -> Duration {
    if jitter <= 0.0 || delay.is_zero() {
        return delay;
    }
    let factor = 1.0 + jitter.min(1.0) * rng.signed_unit();
    let jittered = Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(most).min(most.max(delay));
    // Whole milliseconds, for whoever reads them.
    let odd = Duration::from_nanos(u64::from(jittered.subsec_nanos() % 1_000_000));
    if jittered < Duration::from_millis(1) { jittered } else { jittered - odd }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_stay_there() {
        let restart = Restart::always().jitter(0.0);
        let mut rng = Rng::new(1);
        let mut tally = Tally::default();
        let mut seconds = Vec::new();
        for _ in 0..9 {
            seconds.push(tally.delay(&restart, &mut rng).as_secs());
            tally.count(&restart, Time(0));
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_delay_with_jitter_has_no_odd_nanoseconds() {
        let mut rng = Rng::new(3);
        let restart = Restart::always().jitter(0.3);
        for _ in 0..50 {
            assert_eq!(Tally::default().delay(&restart, &mut rng).subsec_nanos() % 1_000_000, 0);
        }
    }

    #[test]
    fn no_delay_overflows_however_absurd_the_policy() {
        let restart = Restart::always().delay(Duration::MAX).factor(f64::MAX).max_delay(Duration::MAX).jitter(1.0);
        let mut rng = Rng::new(7);
        let mut tally = Tally::default();
        for _ in 0..100 {
            assert!(tally.delay(&restart, &mut rng) <= Duration::MAX);
            tally.count(&restart, Time(u64::MAX));
        }
    }

    #[test]
    fn the_limit_counts_restarts_within_its_window_alone() {
        let restart = Restart::always().limit(2, Duration::from_secs(10));
        let second = |s: u64| Time(s * 1_000_000_000);
        let mut tally = Tally::default();
        for at in [0, 1] {
            assert!(tally.allows(&restart, second(at)));
            tally.count(&restart, second(at));
        }
        assert!(!tally.allows(&restart, second(9)));
        assert!(tally.allows(&restart, second(10)), "the first is out of the window now");
    }
}
