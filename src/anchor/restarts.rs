//! Whether a supervisor that died is started again, and when.

use std::time::{Duration, Instant};

/// The wait after the first that was never ready; doubled for each.
const FIRST: Duration = Duration::from_millis(50);
/// And no longer than this.
const LONGEST: Duration = Duration::from_secs(5);
/// So many in a row that were never ready are the last.
const NEVER_READY: u32 = 10;
/// So many crashes of ones that were ready…
const CRASHES: usize = 200;
/// … within this time are the last as well.
const WITHIN: Duration = Duration::from_secs(60);

/// What follows a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is started again, then.
    At(Instant),
    /// It never comes up.
    NeverReady {
        /// How many times it was tried.
        times: u32,
    },
    /// It comes up, and crashes again and again.
    Crashing {
        /// How many times.
        times: usize,
        /// Within how long.
        within: Duration,
    },
}

/// What happened so far.
#[derive(Debug)]
pub(super) struct Restarts {
    never_ready: u32,
    crashes: [Option<Instant>; CRASHES],
    next: usize,
}

impl Restarts {
    /// Nothing yet.
    pub(super) fn new() -> Restarts {
        Restarts { never_ready: 0, crashes: [None; CRASHES], next: 0 }
    }

    /// One crashed.
    pub(super) fn crashed(&mut self, was_ready: bool, now: Instant) -> Next {
        if !was_ready {
            self.never_ready += 1;
            if self.never_ready >= NEVER_READY {
                return Next::NeverReady { times: self.never_ready };
            }
            let wait = FIRST.saturating_mul(1 << (self.never_ready - 1).min(16)).min(LONGEST);
            return Next::At(now + wait);
        }
        self.never_ready = 0;
        // The one that is overwritten is so many crashes ago.
        let before = self.crashes[self.next].replace(now);
        self.next = (self.next + 1) % CRASHES;
        match before {
            Some(before) if now.saturating_duration_since(before) < WITHIN => {
                Next::Crashing { times: CRASHES + 1, within: WITHIN }
            }
            _ => Next::At(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{CRASHES, Next, Restarts};

    #[test]
    fn one_that_is_never_ready_waits_longer_each_time_and_the_tenth_is_the_last() {
        let (mut restarts, now) = (Restarts::new(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..9 {
            let Next::At(then) = restarts.crashed(false, now) else { panic!("too early an end") };
            waits.push((then - now).as_millis());
        }
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(restarts.crashed(false, now), Next::NeverReady { times: 10 });
    }

    #[test]
    fn one_that_was_ready_is_started_at_once_and_what_was_counted_before_is_forgotten() {
        let (mut restarts, now) = (Restarts::new(), Instant::now());
        for _ in 0..100 {
            for _ in 0..9 {
                assert!(matches!(restarts.crashed(false, now), Next::At(_)));
            }
            assert_eq!(restarts.crashed(true, now), Next::At(now));
        }
    }

    #[test]
    fn more_than_two_hundred_crashes_in_a_minute_are_the_end_and_as_many_in_more_are_not() {
        let (mut restarts, now) = (Restarts::new(), Instant::now());
        for n in 0..10 * CRASHES as u32 {
            let now = now + n * Duration::from_millis(301);
            assert_eq!(restarts.crashed(true, now), Next::At(now));
        }
        let mut restarts = Restarts::new();
        for _ in 0..CRASHES {
            assert_eq!(restarts.crashed(true, now), Next::At(now));
        }
        assert!(matches!(restarts.crashed(true, now + Duration::from_secs(59)), Next::Crashing { times: 201, .. }));
    }
}
