//! What the engine counts, from the events of the machine and from what the driver alone sees. Kept on the engine's
//! thread, so that nothing that reads it late can lose a count.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::Engine;
use super::figures::{Counts, ExitReason, ProcessFigures, SupervisorFigures, Times};
use super::held::Held;
use super::sources::Clock;
use super::usage::Gauge;
use crate::core::{
    Cause, Ending, Event, EventKind, ExitStatus, Input, Now, ProbeKind, ProcessId, RunId, StateName, Time,
};
use crate::supervisor::Figures;

/// What was counted so far.
pub(super) struct Tally {
    processes: HashMap<ProcessId, Arc<Counts>>,
    /// For whom those count that were made for a connection.
    parents: HashMap<ProcessId, ProcessId>,
    /// Why runs that are being ended end, or why their end does not count.
    ending: HashMap<ProcessId, Option<ExitReason>>,
    began: Now,
    lag: Times,
    turns: Times,
    defined: u64,
    deleted: u64,
    applied: u64,
    refused: u64,
    warnings: u64,
}

impl Tally {
    /// Nothing was counted yet.
    pub fn new() -> Tally {
        Tally {
            processes: HashMap::new(),
            parents: HashMap::new(),
            ending: HashMap::new(),
            began: Clock::now(),
            lag: Times::default(),
            turns: Times::default(),
            defined: 0,
            deleted: 0,
            applied: 0,
            refused: 0,
            warnings: 0,
        }
    }

    /// One that was made for a connection counts for the process that listens.
    pub fn is_instance(&mut self, process: ProcessId, of: ProcessId) {
        self.parents.insert(process, of);
    }

    /// For whom this one counts.
    pub fn counted(&self, process: ProcessId) -> ProcessId {
        self.parents.get(&process).copied().unwrap_or(process)
    }

    fn of(&mut self, process: ProcessId) -> &mut Counts {
        Arc::make_mut(self.processes.entry(self.counted(process)).or_default())
    }

    /// The counts of a process; nothing when nothing happened to it.
    fn counts(&self, process: ProcessId) -> Arc<Counts> {
        self.processes.get(&process).cloned().unwrap_or_default()
    }

    /// A turn began this much later than it was due.
    pub fn late(&mut self, by: Duration) {
        self.lag.note(by);
    }

    /// A turn was this long.
    pub fn turn(&mut self, took: Duration) {
        self.turns.note(took);
    }

    /// A connection was accepted for an instance.
    pub fn connection(&mut self, process: ProcessId) {
        self.of(process).connections += 1;
    }

    /// A probe was answered; without a time it could not be begun.
    pub fn probed(&mut self, process: ProcessId, kind: ProbeKind, failed: bool, took: Option<Duration>) {
        let counts = self.of(process);
        let counts = match kind {
            ProbeKind::Ready => &mut counts.ready,
            ProbeKind::Health => &mut counts.health,
        };
        counts.failures += u64::from(failed);
        if let Some(took) = took {
            counts.times.note(took);
        }
    }

    /// A run that is over took this much of the processor.
    pub fn ran(&mut self, process: ProcessId, cpu: Duration) {
        // One that was deleted meanwhile has no counts any more.
        if let Some(counts) = self.processes.get_mut(&process) {
            Arc::make_mut(counts).cpu_of_ended += cpu;
        }
    }

    /// Something happened.
    pub fn note(&mut self, event: &Event) {
        match (&event.kind, event.process) {
            (EventKind::Defined, Some(process)) => {
                self.defined += 1;
                self.of(process);
            }
            (EventKind::Deleted, Some(process)) => {
                self.deleted += 1;
                self.processes.remove(&process);
                self.parents.remove(&process);
                self.ending.remove(&process);
            }
            (EventKind::State { from, to, .. }, Some(process)) => self.moved(process, *from, *to, &event.cause),
            (EventKind::Executed { .. }, Some(process)) => self.of(process).starts += 1,
            (EventKind::Skipped { .. }, Some(process)) => {
                self.of(process).skipped += 1;
                self.ending.insert(process, None);
            }
            (EventKind::HookFailed { hook, .. }, Some(process)) => self.of(process).hook_failed(*hook),
            (EventKind::Oom, Some(process)) => self.of(process).oom_kills += 1,
            (EventKind::PidsLimit, Some(process)) => self.of(process).pids_limit_hits += 1,
            (EventKind::Stuck { .. }, Some(process)) => self.of(process).stuck += 1,
            (EventKind::Applied { .. }, _) => self.applied += 1,
            (EventKind::Refused { .. }, _) => self.refused += 1,
            (EventKind::Warning { .. }, _) => self.warnings += 1,
            _ => {}
        }
    }

    fn moved(&mut self, process: ProcessId, from: StateName, to: StateName, cause: &Cause) {
        use StateName::{Backoff, Crashed, Failed, Starting, Stopping, Waiting};
        let reason = match cause {
            Cause::Ended(ending) => Some(reason(ending)),
            _ => None,
        };
        if matches!((from, to), (Backoff | Stopping, Starting | Waiting)) && *cause == Cause::Policy {
            self.of(process).restarts += 1;
        }
        if to == Stopping {
            self.ending.insert(process, Some(reason.unwrap_or(ExitReason::Stopped)));
            return;
        }
        let over = has_run(from) && !has_run(to) || from == Stopping;
        if over {
            let known = self.ending.remove(&process);
            if let Some(reason) = known.unwrap_or(Some(reason.unwrap_or(ExitReason::Stopped))) {
                *self.of(process).exits.entry(reason).or_default() += 1;
            }
        } else if let (Some(reason), false, Failed | Crashed | Backoff) = (reason, has_run(from), to) {
            // It did not come to a run.
            *self.of(process).exits.entry(reason).or_default() += 1;
        }
    }
}

/// Whether a process in this state has a run.
fn has_run(state: StateName) -> bool {
    matches!(state, StateName::Starting | StateName::Running | StateName::Stopping)
}

fn reason(ending: &Ending) -> ExitReason {
    match ending {
        Ending::Exit(ExitStatus::Code(0)) => ExitReason::Success,
        Ending::Exit(ExitStatus::Code(_)) => ExitReason::ExitCode,
        Ending::Exit(ExitStatus::Signal { .. }) => ExitReason::Signal,
        Ending::Exit(ExitStatus::Unknown) => ExitReason::Unknown,
        Ending::NotReady(_) => ExitReason::NotReady,
        Ending::Failed(_) => ExitReason::Error,
        Ending::Panicked(_) => ExitReason::Panic,
        Ending::Spawn(_) => ExitReason::Spawn,
        Ending::StartTimeout | Ending::StartTimeoutAfter(_) => ExitReason::StartTimeout,
        Ending::Watchdog => ExitReason::Watchdog,
        Ending::Unhealthy(_) => ExitReason::Health,
        Ending::Hook(..) => ExitReason::Hook,
        Ending::Oom => ExitReason::Oom,
        Ending::PidsLimit(_) => ExitReason::PidsLimit,
        Ending::NoMain(_) => ExitReason::NoMain,
        Ending::Dependency(..) => ExitReason::Dependency,
        Ending::Conflict(..) => ExitReason::Conflict,
    }
}

impl Engine {
    /// A probe was answered.
    pub(super) fn probed(&mut self, run: RunId, kind: ProbeKind, result: Result<(), String>, took: Option<Duration>) {
        if let Some(process) = self.machine.process_of(run) {
            self.tally.probed(process, kind, result.is_err(), took);
        }
        self.inputs.push_back(Input::Probed(run, kind, result));
    }

    /// A turn is over that began then, for what was due at that time.
    pub(super) fn count_turn(&mut self, woke: Time, due: Option<Time>) {
        if let Some(due) = due.filter(|due| *due <= woke) {
            self.tally.late(woke.since(due));
        }
        self.tally.turn(Clock::now().mono.since(woke));
    }

    /// Those that were made for a connection under a supervisor before this one.
    pub(super) fn count_instances(&mut self) {
        for process in self.machine.processes() {
            if let Some(of) = self.machine.instance_of(process) {
                self.tally.is_instance(process, of);
            }
        }
    }

    /// Removes a tree that is over. What it used of the processor is counted where somebody looks at such figures.
    pub(super) fn throw_away(&mut self) -> bool {
        let Some(held) = self.trash.pop() else { return false };
        self.count_cpu(&held);
        true
    }

    fn count_cpu(&mut self, held: &Held) {
        if let Some(process) = held.of.filter(|_| self.shared.measured.load(Ordering::Relaxed))
            && let Some(cpu) = held.tree.gauge().cpu_of_dead()
        {
            self.tally.ran(process, cpu);
        }
    }

    /// Leaves what was counted to whoever asks when there is no engine any more.
    pub(super) fn count_at_the_end(&mut self) {
        for held in std::mem::take(&mut self.trash) {
            self.count_cpu(&held);
        }
        let all = self.machine.processes().into_iter().filter_map(|id| Some(self.figures_of(id)?.0));
        let mut processes: Vec<ProcessFigures> = all.collect();
        processes.sort_by(|a, b| a.name.cmp(&b.name));
        let _ = self.shared.last_figures.set(Figures { supervisor: self.figures(), processes });
    }

    /// What was counted of the supervisor.
    pub(crate) fn figures(&self) -> SupervisorFigures {
        let tally = &self.tally;
        SupervisorFigures {
            started_at: tally.began.wall,
            uptime: Clock::now().mono.since(tally.began.mono),
            lag: tally.lag.clone(),
            turns: tally.turns.clone(),
            stale_inputs: self.machine.dropped_inputs(),
            events_lost: self.shared.events.lost(),
            lines_lost: self.shared.lines.lost(),
            defined: tally.defined,
            deleted: tally.deleted,
            applied: tally.applied,
            refused: tally.refused,
            warnings: tally.warnings,
        }
    }

    /// A process with what was counted of it, and where what it uses can be read while it has a tree.
    pub(crate) fn figures_of(&self, process: ProcessId) -> Option<(ProcessFigures, Option<Gauge>)> {
        let status = self.machine.status(process)?;
        let checked = self.machine.spec(process).is_some_and(|spec| spec.health.is_some());
        let gauge = self.gauge(process);
        let figures = ProcessFigures {
            id: process,
            name: status.name,
            instance_of: status.instance_of,
            state: status.state,
            checked,
            health: status.health,
            health_failures: status.health_failures,
            run: status.run,
            started_at: status.started_at.filter(|_| has_run(status.state)),
            run_count: status.run_count,
            lost_lines: self.places.get(&process).map_or(0, |place| place.log.tail().lost()),
            counts: self.tally.counts(process),
        };
        Some((figures, gauge))
    }
}

#[cfg(test)]
mod tests {
    use super::{ExitReason, Tally};
    use crate::core::{Cause, Ending, ExitStatus, ProcessId, StateName};

    const WEB: ProcessId = ProcessId(1);

    fn exits(steps: &[(StateName, StateName, Cause)]) -> (Vec<(ExitReason, u64)>, u64) {
        let mut tally = Tally::new();
        for (from, to, cause) in steps {
            tally.moved(WEB, *from, *to, cause);
        }
        let counts = tally.counts(WEB);
        (counts.exits.iter().map(|(reason, count)| (*reason, *count)).collect(), counts.restarts)
    }

    #[test]
    fn each_run_that_is_over_counts_once_however_it_gets_there() {
        use StateName::*;
        let code = || Cause::Ended(Ending::Exit(ExitStatus::Code(3)));
        let unhealthy = || Cause::Ended(Ending::Unhealthy("no answer".into()));
        let crash = [
            (Running, Stopping, code()),
            (Stopping, Backoff, code()),
            (Backoff, Starting, Cause::Policy),
            (Starting, Running, Cause::Progress),
        ];
        assert_eq!(exits(&crash), (vec![(ExitReason::ExitCode, 1)], 1));
        // Without a delay between the runs.
        let at_once = [(Running, Stopping, code()), (Stopping, Starting, Cause::Policy)];
        assert_eq!(exits(&at_once), (vec![(ExitReason::ExitCode, 1)], 1));
        // By an operator.
        let restart = [(Running, Stopping, Cause::Shutdown), (Stopping, Starting, Cause::Shutdown)];
        assert_eq!(exits(&restart), (vec![(ExitReason::Stopped, 1)], 0));
        let ill = [(Running, Stopping, unhealthy()), (Stopping, Waiting, Cause::Policy)];
        assert_eq!(exits(&ill), (vec![(ExitReason::Health, 1)], 1));
        // It never came to a run.
        let needs = Cause::Ended(Ending::Dependency("db".into(), "failed".into()));
        assert_eq!(exits(&[(Waiting, Failed, needs)]), (vec![(ExitReason::Dependency, 1)], 0));
        // A start that failed before there was a process.
        assert_eq!(exits(&[(Starting, Crashed, code())]), (vec![(ExitReason::ExitCode, 1)], 0));
        // Of a stop alone nothing is over yet.
        assert_eq!(exits(&[(Running, Stopping, code())]), (Vec::new(), 0));
        assert_eq!(exits(&[(Backoff, Stopped, Cause::Shutdown)]), (Vec::new(), 0));
    }

    #[test]
    fn a_process_that_is_stopped_while_it_waits_to_start_again_had_its_end_counted_before() {
        use StateName::*;
        let code = || Cause::Ended(Ending::Exit(ExitStatus::Code(3)));
        let steps = [(Starting, Backoff, code()), (Backoff, Stopped, Cause::Shutdown)];
        assert_eq!(exits(&steps), (vec![(ExitReason::ExitCode, 1)], 0));
    }
}
