//! From a wish to be down to nothing being left: the ladder.

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::{Cause, Ending, EventKind};
use super::ids::{Pid, ProcessId};
use super::input::{ExitStatus, HookKind};
use super::machine::Machine;
use super::output::{HOOK_GRACE, Output, Scope};
use super::process::{
    Goal, Leader, Next, Rung, Running, StartPhase, Starting, State, StopPhase, Stopping, WaitFor, Waiting, Why,
};
use super::propagate::Notice;
use super::reply::Refusal;
use super::status::Want;
use super::timers::TimerKind;
use crate::spec::{Hook, HookAction, Signal, StopMode};

/// A tree that is still there this long after SIGKILL counts as stuck, should the driver not have said so before.
const STUCK_AFTER: Duration = Duration::from_secs(15);

impl Machine {
    /// Stops it for good, and first what cannot be without it.
    pub(super) fn stop(&mut self, id: ProcessId, cause: Cause) {
        self.stop_with_dependents(vec![(id, cause)], false);
    }

    /// Stops it and has it, and all that its stop takes down, started again.
    pub(super) fn restart(&mut self, id: ProcessId, cause: Cause) {
        self.stop_with_dependents(vec![(id, cause)], true);
    }

    /// Stops these and what depends on them. All are marked before any is acted on, so that each sees which others it has to wait for.
    pub(super) fn stop_with_dependents(&mut self, mut members: Vec<(ProcessId, Cause)>, bring_back: bool) {
        let graph = self.graph();
        let mut seen: BTreeSet<ProcessId> = members.iter().map(|(id, _)| *id).collect();
        let mut next = 0;
        while let Some((id, _)) = members.get(next).cloned() {
            next += 1;
            for (other, kind) in graph.of(id).stopped_with() {
                let active = self.state(other).is_some_and(|state| !state.is_rest());
                if active && seen.insert(other) {
                    members.push((other, Cause::Relation(kind, self.name_of(id))));
                }
            }
        }
        let mut again = Vec::new();
        for (id, cause) in &members {
            if self.mark_stop(*id, cause, bring_back) {
                again.push((*id, cause.clone()));
            }
        }
        for (id, _) in &members {
            self.order_stop(*id);
        }
        for (id, cause) in again {
            // One of those before it may have started it already, or stopped it for good.
            let due = self.process(id).is_some_and(|p| p.want == Want::Up && p.state.run().is_none());
            if !due {
                continue;
            }
            let fallback = self.process(id).map_or(Why::Created, |p| p.rest_why());
            let start = super::process::Start { by: super::process::StartedBy::Order, cause, fallback };
            self.start_again(id, start);
        }
    }

    /// Makes it stopping where it lives, and at rest where it does not. Whether it is down already and has to be brought back.
    fn mark_stop(&mut self, id: ProcessId, cause: &Cause, bring_back: bool) -> bool {
        let Some(p) = self.processes.get_mut(id) else { return false };
        let listens =
            p.state.listens() || matches!(&p.state, State::Stopping(stopping) if stopping.next == Next::Listen);
        if bring_back && listens && !matches!(cause, Cause::Command(_)) {
            // It listens on: whoever connects meanwhile waits with it for what is brought back.
            return false;
        }
        // An instance is there for its connection alone, which nothing brings back.
        let bring_back = bring_back && !p.is_instance();
        let was_wanted = p.want == Want::Up;
        let bring_back = bring_back && (was_wanted || matches!(cause, Cause::Command(_)));
        p.want = if bring_back { Want::Up } else { Want::Down };
        let next = if bring_back { Next::Again(cause.clone()) } else { Next::Stay };
        if !bring_back {
            let by = match cause {
                Cause::Shutdown => "the shutdown",
                Cause::Apply => "a removal",
                _ => "a stop",
            };
            self.supersede(id, Goal::Ready, by);
        }
        let Some(p) = self.processes.get_mut(id) else { return false };
        match &mut p.state {
            State::Rest(_) => return bring_back,
            State::Waiting(Waiting { on: WaitFor::Holds(_), .. }) if bring_back => return true,
            // What is brought back was never down: whoever waits for it waits on.
            State::Waiting(_) if bring_back => {
                self.output(Output::DisarmSockets(id));
                self.wait_anew(id, cause);
                return true;
            }
            State::Backoff(_) if bring_back => {
                self.clear_timer(id, TimerKind::Backoff);
                self.wait_anew(id, cause);
                return true;
            }
            State::Starting(Starting { phase: StartPhase::Preparing, run }) if bring_back => {
                let run = run.id;
                self.clear_timers(id);
                self.remember_run(id, None);
                self.wait_anew(id, cause);
                self.release(run);
                return true;
            }
            State::Waiting(waiting) => {
                if !matches!(waiting.on, WaitFor::Holds(_)) {
                    self.output(Output::DisarmSockets(id));
                }
                self.rest(id, Why::Stopped(cause.clone()), cause.clone());
                return false;
            }
            State::Backoff(_) => {
                self.clear_timer(id, TimerKind::Backoff);
                self.rest(id, Why::Stopped(cause.clone()), cause.clone());
                return false;
            }
            State::Stopping(stopping) => {
                stopping.next = next;
                if !bring_back {
                    stopping.by = cause.clone();
                }
            }
            State::Starting(Starting { phase, .. }) => match *phase {
                StartPhase::Preparing => {
                    self.abandon_preparation(id, cause);
                    return false;
                }
                StartPhase::BeforeStart(_) => {
                    self.cancel_hook(id, HookKind::BeforeStart);
                    self.begin_stopping(id, StopPhase::CancelledHook, next, cause);
                    self.set_timer(id, TimerKind::Hook, HOOK_GRACE);
                }
                StartPhase::Spawning => {
                    let wait = self.first_wait(id);
                    self.begin_stopping(id, StopPhase::AwaitExec, next, cause);
                    self.set_timer(id, TimerKind::Stop, wait);
                }
                StartPhase::Readying | StartPhase::AfterStart(_) => {
                    self.begin_stopping(id, StopPhase::Ordered(BTreeSet::new()), next, cause);
                }
            },
            State::Running(_) => self.begin_stopping(id, StopPhase::Ordered(BTreeSet::new()), next, cause),
        }
        false
    }

    /// Back to waiting, from a start that has no process yet; the holds are looked at when all are marked.
    fn wait_anew(&mut self, id: ProcessId, cause: &Cause) {
        let Some(p) = self.process(id) else { return };
        let (by, fallback) = (super::process::StartedBy::Order, p.rest_why());
        self.mark_waiting(id, super::process::Start { by, cause: cause.clone(), fallback });
    }

    fn first_wait(&self, id: ProcessId) -> Duration {
        self.run_of(id).and_then(|run| run.spec.stop.sequence.first()).map_or(STUCK_AFTER, |step| step.wait)
    }

    /// Nothing lives yet: the run is given up at once.
    fn abandon_preparation(&mut self, id: ProcessId, cause: &Cause) {
        let Some(run) = self.run_of(id).map(|run| run.id) else { return };
        self.clear_timers(id);
        self.remember_run(id, None);
        self.rest(id, Why::Stopped(cause.clone()), cause.clone());
        self.release(run);
    }

    /// From starting or running to stopping. Everything that belongs to being up is called off.
    pub(super) fn begin_stopping(&mut self, id: ProcessId, phase: StopPhase, next: Next, cause: &Cause) {
        self.give_up_reload(id);
        let Some(p) = self.processes.get(id) else { return };
        let (run, after_start) = match &p.state {
            State::Starting(Starting { run, phase }) => (run.clone(), matches!(phase, StartPhase::AfterStart(_))),
            State::Running(Running { run, after_start }) => (run.clone(), after_start.is_some()),
            _ => return,
        };
        if after_start {
            self.cancel_hook(id, HookKind::AfterStart);
        }
        self.end_probes(id);
        self.clear_timers(id);
        let mut run = run;
        if run.leader == Leader::Sought {
            // The search for the daemon is off: its tree alone is what is left of it.
            run.leader = Leader::Gone(ExitStatus::Unknown);
        }
        let stopping = Stopping { run, phase, ending: None, next, by: cause.clone() };
        self.enter(id, State::Stopping(stopping), String::new(), cause.clone());
    }

    /// Lets a process that is to stop in order wait for those that depend on it, or go on.
    pub(super) fn order_stop(&mut self, id: ProcessId) {
        if !matches!(self.stopping(id), Some(Stopping { phase: StopPhase::Ordered(_), .. })) {
            return;
        }
        let graph = self.graph();
        let holds: BTreeSet<ProcessId> = graph
            .of(id)
            .before
            .iter()
            .copied()
            .filter(|other| self.state(*other).is_some_and(|s| matches!(s, State::Stopping(_)) && !s.is_stuck()))
            .collect();
        if holds.is_empty() {
            self.before_stop(id, 0);
        } else {
            self.set_stop_phase(id, StopPhase::Ordered(holds));
        }
    }

    /// What `other` was waited for has come about: it is down, or stuck.
    pub(super) fn stop_hold_gone(&mut self, id: ProcessId, other: ProcessId) {
        let waits =
            |stopping: &Stopping| matches!(&stopping.phase, StopPhase::Ordered(holds) if holds.contains(&other));
        if self.stopping(id).is_some_and(waits)
            && let Some(p) = self.processes.get_mut(id)
            && let State::Stopping(Stopping { phase: StopPhase::Ordered(holds), .. }) = &mut p.state
            && holds.remove(&other)
            && holds.is_empty()
        {
            self.before_stop(id, 0);
        }
    }

    pub(super) fn set_stop_phase(&mut self, id: ProcessId, to: StopPhase) {
        if let Some(p) = self.processes.get_mut(id)
            && let State::Stopping(stopping) = &mut p.state
        {
            stopping.phase = to;
        }
    }

    /// Runs the before_stop hook of this index; when there is none, the stop command, else the ladder.
    pub(super) fn before_stop(&mut self, id: ProcessId, index: usize) {
        if self.run_hook(id, HookKind::BeforeStop, index) {
            return self.set_stop_phase(id, StopPhase::BeforeStop(index));
        }
        let Some(run) = self.run_of(id) else { return };
        match run.spec.stop.command {
            Some(_) => {
                self.run_stop_command(id);
                self.set_stop_phase(id, StopPhase::Command);
            }
            None => self.wind_down(id, Rung::Step(0)),
        }
    }

    pub(super) fn run_stop_command(&mut self, id: ProcessId) {
        if let Some(command) = self.run_of(id).and_then(|run| run.spec.stop.command.clone()) {
            let hook = Hook { action: HookAction::Command(command), user: None, timeout: self.first_wait(id) };
            self.start_hook(id, HookKind::StopCommand, hook);
        }
    }

    /// Begins the ladder; when there is no main process any more, looks first whether there is anything to signal.
    pub(super) fn wind_down(&mut self, id: ProcessId, rung: Rung) {
        match self.run_of(id).map(|run| (run.id, run.leader, run.spec.stop.mode)) {
            Some((_, Leader::Gone(_), StopMode::Process)) => self.after_stop(id, 0),
            Some((run, Leader::Gone(_), _)) => {
                self.set_stop_phase(id, StopPhase::Emptying);
                self.output(Output::WatchTree(run));
            }
            _ => self.climb(id, rung),
        }
    }

    /// Takes the next rung: sends its signal, and waits. Past the last: SIGKILL.
    pub(super) fn climb(&mut self, id: ProcessId, rung: Rung) {
        let Some(run) = self.run_of(id).map(|run| run.id) else { return };
        let Some((signal, wait, scope)) = self.rung(id, rung) else { return self.kill(id) };
        self.set_stop_phase(id, StopPhase::Ladder(rung));
        self.emit(id, EventKind::Signalled { signal }, Cause::Progress);
        self.send_rung(run, signal, scope);
        self.set_timer(id, TimerKind::Stop, wait);
    }

    /// What a rung sends, how long it waits, and to whom it sends. `None` past the last, and where SIGKILL is due.
    pub(super) fn rung(&self, id: ProcessId, rung: Rung) -> Option<(Signal, Duration, Scope)> {
        let stop = &self.run_of(id)?.spec.stop;
        match rung {
            Rung::Abort => Some((Signal::ABRT, self.first_wait(id), Scope::Main)),
            Rung::Step(step) => {
                let step = stop.sequence.get(step).filter(|step| step.signal != Signal::KILL)?;
                Some((step.signal, step.wait, scope_of(stop.mode)))
            }
        }
    }

    /// SIGKILL to all of it (in mode `process`: to the main process).
    pub(super) fn kill(&mut self, id: ProcessId) {
        self.clear_timer(id, TimerKind::Stop);
        self.set_stop_phase(id, StopPhase::Killed);
        self.emit(id, EventKind::Signalled { signal: Signal::KILL }, Cause::Progress);
        self.send_kill(id);
        self.set_timer(id, TimerKind::Stuck, STUCK_AFTER);
    }

    /// A rung's wait is over, or a child that is no longer wanted was not executed in time.
    pub(super) fn stop_timed_out(&mut self, id: ProcessId) {
        match self.stopping(id).map(|s| &s.phase) {
            Some(StopPhase::Ladder(Rung::Step(step))) => {
                let next = step + 1;
                self.climb(id, Rung::Step(next));
            }
            Some(StopPhase::Ladder(Rung::Abort) | StopPhase::AwaitExec) => self.kill(id),
            _ => {}
        }
    }

    pub(super) fn kill_timed_out(&mut self, id: ProcessId) {
        if matches!(self.stopping(id).map(|s| &s.phase), Some(StopPhase::Killed)) {
            let pids = self.run_of(id).and_then(|run| run.pid()).into_iter().collect();
            self.stuck(id, pids);
        }
    }

    pub(super) fn tree_stuck(&mut self, id: ProcessId, pids: Vec<Pid>) {
        match self.stopping(id).map(|s| &s.phase) {
            Some(StopPhase::Killed) => self.stuck(id, pids),
            Some(StopPhase::Stuck(_)) => self.set_stop_phase(id, StopPhase::Stuck(pids)),
            _ => self.drop_input(),
        }
    }

    fn stuck(&mut self, id: ProcessId, pids: Vec<Pid>) {
        self.clear_timer(id, TimerKind::Stuck);
        self.set_stop_phase(id, StopPhase::Stuck(pids.clone()));
        self.emit(id, EventKind::Stuck { pids: pids.clone() }, Cause::Progress);
        let name = self.name_of(id);
        for goal in [Goal::Down, Goal::Deleted, Goal::Ready] {
            self.answer(id, goal, |_| Err(Refusal::Stuck { name: name.clone(), pids: pids.clone() }));
        }
        self.instance_stuck(id, &pids);
        self.notice(Notice::Stuck(id));
    }

    /// A child that is no longer wanted was executed after all.
    pub(super) fn executed_unwanted(&mut self, id: ProcessId) {
        if matches!(self.stopping(id).map(|s| &s.phase), Some(StopPhase::AwaitExec)) {
            self.clear_timer(id, TimerKind::Stop);
            match self.stopping(id).and_then(|s| s.ending.clone()) {
                Some(_) => self.wind_down(id, Rung::Step(0)),
                None => {
                    self.set_stop_phase(id, StopPhase::Ordered(BTreeSet::new()));
                    self.order_stop(id);
                }
            }
        }
    }

    /// Ends a run that still lives, for what is wrong with it. What follows is the policy's business.
    pub(super) fn end_run(&mut self, id: ProcessId, ending: Ending) {
        let was_running = matches!(self.state(id), Some(State::Running(_)));
        let phase = self.start_phase(id);
        let (watchdog, cause) = (ending == Ending::Watchdog, Cause::Ended(ending.clone()));
        let to = match phase {
            Some(StartPhase::Preparing) => return self.run_over(id, ending),
            Some(StartPhase::BeforeStart(_)) => StopPhase::CancelledHook,
            Some(StartPhase::Spawning) => StopPhase::AwaitExec,
            _ => StopPhase::Emptying,
        };
        if to == StopPhase::CancelledHook {
            self.cancel_hook(id, HookKind::BeforeStart);
        }
        self.begin_stopping(id, to.clone(), Next::Policy, &cause);
        if let Some(p) = self.processes.get_mut(id)
            && let State::Stopping(stopping) = &mut p.state
        {
            stopping.ending = Some(ending);
        }
        match to {
            StopPhase::CancelledHook => self.set_timer(id, TimerKind::Hook, HOOK_GRACE),
            // It had its time to be executed; there is none left to wait.
            StopPhase::AwaitExec => self.kill(id),
            _ => self.wind_down(id, if watchdog { Rung::Abort } else { Rung::Step(0) }),
        }
        if was_running {
            self.notice(Notice::LeftRunning(id));
        }
    }

    /// A stop that is under way goes to SIGKILL at once; an after_stop hook is given up.
    pub(super) fn escalate(&mut self, id: ProcessId) {
        let Some(stopping) = self.stopping(id) else { return };
        match &stopping.phase {
            StopPhase::Killed | StopPhase::Stuck(_) | StopPhase::CancelledHook => {}
            StopPhase::AfterStop(_) => {
                // Without its deadline it is being cancelled already.
                if self.process(id).is_some_and(|p| p.deadlines.get(TimerKind::Hook).is_some()) {
                    self.cancel_hook(id, HookKind::AfterStop);
                }
            }
            StopPhase::BeforeStop(_) => {
                self.cancel_hook(id, HookKind::BeforeStop);
                self.kill(id);
            }
            StopPhase::Command => {
                self.cancel_hook(id, HookKind::StopCommand);
                self.kill(id);
            }
            StopPhase::Ordered(_) | StopPhase::AwaitExec | StopPhase::Ladder(_) | StopPhase::Emptying => self.kill(id),
        }
    }

    /// Escalates it, and what it waits for.
    pub(super) fn escalate_with_dependents(&mut self, id: ProcessId) {
        let graph = self.graph();
        let mut seen = BTreeSet::from([id]);
        let mut members = vec![id];
        let mut next = 0;
        while let Some(member) = members.get(next).copied() {
            next += 1;
            for (other, _) in graph.of(member).stopped_with() {
                if self.stopping(other).is_some() && seen.insert(other) {
                    members.push(other);
                }
            }
        }
        for member in members.into_iter().rev() {
            self.escalate(member);
        }
    }

    pub(super) fn tree_empty(&mut self, id: ProcessId) {
        let Some(Stopping { phase, run, .. }) = self.stopping(id) else { return self.drop_input() };
        let ended = matches!(run.leader, Leader::Gone(_));
        match phase {
            StopPhase::Ladder(_) | StopPhase::Emptying | StopPhase::Killed | StopPhase::Stuck(_) if ended => {
                self.after_stop(id, 0);
            }
            // While hooks and commands run their course, an empty tree changes nothing: it is looked at again after them.
            _ => self.drop_input(),
        }
    }

    /// The main process ended and others of its tree did not: they are ended too.
    pub(super) fn tree_occupied(&mut self, id: ProcessId) {
        let Some(Stopping { phase, run, .. }) = self.stopping(id) else { return self.drop_input() };
        let mixed = run.spec.stop.mode == StopMode::Mixed;
        match phase {
            StopPhase::Emptying | StopPhase::Ladder(_) if mixed => self.kill(id),
            StopPhase::Emptying | StopPhase::Ladder(Rung::Abort) => self.climb(id, Rung::Step(0)),
            _ => self.drop_input(),
        }
    }
}

fn scope_of(mode: StopMode) -> Scope {
    match mode {
        StopMode::ControlGroup => Scope::Tree,
        StopMode::ProcessGroup => Scope::Group,
        StopMode::Process | StopMode::Mixed => Scope::Main,
    }
}
