//! What has been counted: plain numbers, for whoever shows them. Counts begin at zero with the supervisor, and only grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::core::{HealthStatus, HookKind, ProcessId, RunId, StateName, WallTime};

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    counts: [u64; Times::BOUNDS.len() + 1],
    count: u64,
    sum: Duration,
    longest: Duration,
}

impl Times {
    /// Up to how long counts as what, in microseconds; what takes longer than the last counts by itself.
    pub const BOUNDS: [u64; 14] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 10_000_000,
    ];

    /// It took this long once more.
    pub fn note(&mut self, took: Duration) {
        let micros = took.as_nanos().div_ceil(1000);
        let place = Times::BOUNDS.partition_point(|bound| u128::from(*bound) < micros);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.count += 1;
        self.sum += took;
        self.longest = self.longest.max(took);
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long, all together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The longest of all.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// How often it took no longer than this, and longer than the bound before; `None` for longer than the last.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = Times::BOUNDS.iter().map(|micros| Some(Duration::from_micros(*micros))).chain([None]);
        bounds.zip(self.counts)
    }
}

/// Why a run ended, or a start came to nothing, as a word of a fixed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExitReason {
    /// It ended by itself with success.
    Success,
    /// It exited with another code.
    ExitCode,
    /// A signal ended it that nobody here meant for its end.
    Signal,
    /// Nobody could learn how.
    Unknown,
    /// It was stopped: by an operator, a relation, an apply, a restart, idleness or the shutdown.
    Stopped,
    /// It ended, if with success, before it was ready.
    NotReady,
    /// A task said that it failed.
    Error,
    /// A task panicked.
    Panic,
    /// Its program could not be executed.
    Spawn,
    /// It was not ready within its start timeout.
    StartTimeout,
    /// It missed its watchdog.
    Watchdog,
    /// It was unhealthy for too long.
    Health,
    /// A hook failed.
    Hook,
    /// The kernel killed it for lack of memory.
    Oom,
    /// It ended badly at its limit on the number of processes.
    PidsLimit,
    /// A forking type's daemon was not found.
    NoMain,
    /// What it requires or binds to could not be had.
    Dependency,
    /// What it conflicts with would not go.
    Conflict,
}

impl ExitReason {
    /// All of them.
    pub const ALL: [ExitReason; 18] = [
        ExitReason::Success,
        ExitReason::ExitCode,
        ExitReason::Signal,
        ExitReason::Unknown,
        ExitReason::Stopped,
        ExitReason::NotReady,
        ExitReason::Error,
        ExitReason::Panic,
        ExitReason::Spawn,
        ExitReason::StartTimeout,
        ExitReason::Watchdog,
        ExitReason::Health,
        ExitReason::Hook,
        ExitReason::Oom,
        ExitReason::PidsLimit,
        ExitReason::NoMain,
        ExitReason::Dependency,
        ExitReason::Conflict,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ExitReason::Success => "success",
            ExitReason::ExitCode => "exit_code",
            ExitReason::Signal => "signal",
            ExitReason::Unknown => "unknown",
            ExitReason::Stopped => "stopped",
            ExitReason::NotReady => "not_ready",
            ExitReason::Error => "error",
            ExitReason::Panic => "panic",
            ExitReason::Spawn => "spawn",
            ExitReason::StartTimeout => "start_timeout",
            ExitReason::Watchdog => "watchdog",
            ExitReason::Health => "health",
            ExitReason::Hook => "hook",
            ExitReason::Oom => "oom",
            ExitReason::PidsLimit => "pids_limit",
            ExitReason::NoMain => "no_main",
            ExitReason::Dependency => "dependency",
            ExitReason::Conflict => "conflict",
        }
    }
}

/// How often a kind of probe was answered, how long that took, and how often it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeCounts {
    /// From when it was begun to its answer, or to the end of its timeout.
    pub times: Times,
    /// How many failed, also those that could not be begun.
    pub failures: u64,
}

/// What happened to a process since the supervisor began, or since it was defined if that was later. Those that were made
/// for a connection each count for the process that listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Its program was executed.
    pub starts: u64,
    /// It was started again by its restart policy.
    pub restarts: u64,
    /// A start was skipped, for a condition did not hold.
    pub skipped: u64,
    /// A run was over, or a start came to nothing, for this reason.
    pub exits: BTreeMap<ExitReason, u64>,
    /// A hook failed.
    pub hook_failures: BTreeMap<&'static str, u64>,
    /// The kernel killed a member of its tree for lack of memory.
    pub oom_kills: u64,
    /// A run of it came up against its limit on the number of processes.
    pub pids_limit_hits: u64,
    /// A connection was accepted for an instance of it.
    pub connections: u64,
    /// Something survived SIGKILL.
    pub stuck: u64,
    /// Ready probes.
    pub ready: ProbeCounts,
    /// Health probes.
    pub health: ProbeCounts,
    /// Processor time of runs that are over, as far as it could be read then.
    pub cpu_of_ended: Duration,
}

impl Counts {
    /// A hook of this kind failed.
    pub(super) fn hook_failed(&mut self, hook: HookKind) {
        *self.hook_failures.entry(hook.as_str()).or_default() += 1;
    }
}

/// A process as it is, and what was counted of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessFigures {
    /// Its place in the supervisor.
    pub id: ProcessId,
    /// Its name.
    pub name: Arc<str>,
    /// The process whose connection it was made for, if it was.
    pub instance_of: Option<Arc<str>>,
    /// Its state.
    pub state: StateName,
    /// Whether it has a health check.
    pub checked: bool,
    /// Its health.
    pub health: HealthStatus,
    /// Health probes that failed in a row.
    pub health_failures: u32,
    /// Its run, or its last.
    pub run: Option<RunId>,
    /// When its run was executed; `None` when it does not run.
    pub started_at: Option<WallTime>,
    /// How many runs were executed since it was defined; those under supervisors before this one count, too.
    pub run_count: u32,
    /// Lines that its log file did not take in time.
    pub lost_lines: u64,
    /// What was counted.
    pub counts: Arc<Counts>,
}

/// What was counted of the supervisor itself.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SupervisorFigures {
    /// When its engine began.
    pub started_at: WallTime,
    /// For how long it has been there.
    pub uptime: Duration,
    /// How much later than the deadline, or the message, that it was for a turn of the engine began.
    pub lag: Times,
    /// How long turns of the engine took.
    pub turns: Times,
    /// Inputs that were dropped because they came for a run that is over, or twice.
    pub stale_inputs: u64,
    /// Events that readers were too slow for, all readers together.
    pub events_lost: u64,
    /// Printed lines that readers were too slow for, all readers together.
    pub lines_lost: u64,
    /// Processes that were defined.
    pub defined: u64,
    /// Processes that were deleted.
    pub deleted: u64,
    /// Plans that were applied.
    pub applied: u64,
    /// Plans and configurations that were refused.
    pub refused: u64,
    /// Warnings.
    pub warnings: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Times;

    #[test]
    fn a_time_counts_up_to_its_bound_and_including_it() {
        let mut times = Times::default();
        for micros in [1, 100, 101, 250, 20_000_000] {
            times.note(Duration::from_micros(micros));
        }
        times.note(Duration::from_nanos(100_001));
        let counted: Vec<_> = times.buckets().filter(|(_, count)| *count > 0).collect();
        let micros = |micros| Some(Duration::from_micros(micros));
        assert_eq!(counted, [(micros(100), 2), (micros(250), 3), (None, 1)]);
        assert_eq!((times.count(), times.longest()), (6, Duration::from_secs(20)));
        assert_eq!(times.sum(), Duration::from_nanos(20_000_452_000 + 100_001));
    }
}
