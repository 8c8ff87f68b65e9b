//! Deadlines as data: a timer that was stopped cannot fire.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ids::ProcessId;
use super::time::Time;

/// What a process may have a deadline for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum TimerKind {
    /// When a start that was put off is made.
    Backoff,
    /// When a start has taken too long.
    Start,
    /// When a rung of the stop ladder, or the wait for an execution that is no longer wanted, is over.
    Stop,
    /// When a hook has not even told that it timed out.
    Hook,
    /// When the next ready probe is due.
    Ready,
    /// When the next health probe is due.
    Health,
    /// When WATCHDOG=1 is overdue.
    Watchdog,
    /// When the connections of its listeners are counted next.
    Idle,
    /// When a process that was sent SIGKILL counts as stuck.
    Stuck,
    /// When a shutdown has taken too long; belongs to no process.
    Shutdown,
}

const KINDS: usize = 10;

/// The deadlines of one process, kept with it so that all can be dropped at once. In a record: those that are set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<(TimerKind, Time)>", from = "Vec<(TimerKind, Time)>")]
pub(super) struct Deadlines([Option<Time>; KINDS]);

impl From<Deadlines> for Vec<(TimerKind, Time)> {
    fn from(deadlines: Deadlines) -> Self {
        deadlines.iter().collect()
    }
}

impl From<Vec<(TimerKind, Time)>> for Deadlines {
    fn from(set: Vec<(TimerKind, Time)>) -> Self {
        let mut deadlines = Deadlines::default();
        for (kind, at) in set {
            deadlines.0[kind as usize] = Some(at).filter(|at| *at != Time::NEVER);
        }
        deadlines
    }
}

impl Deadlines {
    pub(super) fn get(&self, kind: TimerKind) -> Option<Time> {
        self.0[kind as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Those that are set.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TimerKind, Time)> + '_ {
        ALL.into_iter().filter_map(|kind| Some((kind, self.get(kind)?)))
    }
}

/// All deadlines in the order they come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Timers(BTreeSet<(Time, ProcessId, TimerKind)>);

impl Timers {
    /// Takes in the deadlines that a process was restored with.
    pub(super) fn restore(&mut self, own: &Deadlines, process: ProcessId) {
        self.0.extend(own.iter().map(|(kind, at)| (at, process, kind)));
    }

    pub(super) fn set(&mut self, own: &mut Deadlines, process: ProcessId, kind: TimerKind, at: Time) {
        self.clear(own, process, kind);
        if at != Time::NEVER {
            own.0[kind as usize] = Some(at);
            self.0.insert((at, process, kind));
        }
    }

    pub(super) fn clear(&mut self, own: &mut Deadlines, process: ProcessId, kind: TimerKind) {
        if let Some(at) = own.0[kind as usize].take() {
            self.0.remove(&(at, process, kind));
        }
    }

    pub(super) fn clear_all(&mut self, own: &mut Deadlines, process: ProcessId) {
        for kind in ALL {
            self.clear(own, process, kind);
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _, _)| *at)
    }

    /// The first deadline that has passed. Take it out with [`Timers::clear`].
    pub(super) fn expired(&self, now: Time) -> Option<(ProcessId, TimerKind)> {
        self.0.first().filter(|(at, _, _)| *at <= now).map(|(_, process, kind)| (*process, *kind))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

const ALL: [TimerKind; KINDS] = [
    TimerKind::Backoff,
    TimerKind::Start,
    TimerKind::Stop,
    TimerKind::Hook,
    TimerKind::Ready,
    TimerKind::Health,
    TimerKind::Watchdog,
    TimerKind::Idle,
    TimerKind::Stuck,
    TimerKind::Shutdown,
];
