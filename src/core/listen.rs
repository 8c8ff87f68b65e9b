//! Listeners: bound, watched, and a run when somebody connects.

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::{Cause, Ending, EventKind};
use super::ids::ProcessId;
use super::input::{SpawnError, SpawnStep};
use super::machine::Machine;
use super::output::Output;
use super::over::Attempt;
use super::process::{
    Due, Goal, Next, Process, Rest, Run, Start, StartPhase, StartedBy, Starting, State, StopPhase, WaitFor, Waiting,
    Why,
};
use super::propagate::Notice;
use super::reply::Done;
use super::status::Want;
use super::timers::TimerKind;
use crate::spec::Spec;

impl Machine {
    /// Arms the listeners of a process at rest that has some, unless it was stopped on purpose or has to be looked at.
    /// While its on_failure hooks run, they are let finish first.
    pub(super) fn arm_if_listening(&mut self, id: ProcessId) {
        if self.is_shutting_down() {
            return;
        }
        let Some(p) = self.processes.get(id) else { return };
        let State::Rest(Rest { why, alarm: None, .. }) = &p.state else { return };
        let listens = match why {
            Why::Stopped(_) | Why::Crashed(_) => false,
            Why::Failed(ending) => !bars_listening(ending),
            Why::Created | Why::Exited(_) => true,
        };
        if listens && !p.spec.listen.is_empty() {
            let why = why.clone();
            self.listen(id, why);
        }
    }

    /// Has its listeners bound and watched. Until they are, whoever is ordered after it waits.
    pub(super) fn listen(&mut self, id: ProcessId, fallback: Why) {
        let Some(p) = self.processes.get_mut(id) else { return };
        p.want = Want::Down;
        let spec = p.spec.to_arc();
        let cause = match &fallback {
            Why::Stopped(Cause::Idle) => Cause::Idle,
            _ => Cause::Progress,
        };
        let start = Start { by: StartedBy::Socket, cause: Cause::Socket, fallback };
        let waiting = State::Waiting(Waiting { start, on: WaitFor::Bind });
        self.enter(id, waiting, "for its sockets".into(), cause);
        self.output(Output::ArmSockets(id, spec));
    }

    /// Its listeners are bound and watched.
    pub(super) fn armed(&mut self, id: ProcessId) {
        let Some(State::Waiting(Waiting { on: on @ (WaitFor::Bind | WaitFor::Watch), .. })) = self.state(id) else {
            return self.drop_input();
        };
        if *on == WaitFor::Bind {
            let at = self.process(id).map(|p| p.spec.listening_at()).unwrap_or_default();
            self.emit(id, EventKind::Listening { at }, Cause::Progress);
            self.notice(Notice::Armed(id));
        }
        if self.process(id).is_some_and(|p| p.spec.accepts()) {
            self.answer(id, Goal::Ready, |state| Ok(Done::State(state)));
            if !self.has_room(id) {
                return self.wait_for_room(id);
            }
        }
        self.wait_on(id, WaitFor::Socket);
    }

    /// There are as many instances as there may be.
    pub(super) fn wait_for_room(&mut self, id: ProcessId) {
        self.output(Output::DisarmSockets(id));
        self.wait_on(id, WaitFor::Room);
    }

    /// There is room for another instance: they are watched again.
    pub(super) fn watch_again(&mut self, id: ProcessId) {
        if let Some(spec) = self.process(id).map(|p| p.spec.to_arc()) {
            self.wait_on(id, WaitFor::Watch);
            self.output(Output::ArmSockets(id, spec));
        }
    }

    /// The processes whose listeners are being bound for the first time since they were told to listen or to start. One that
    /// waits for others, or for its next try, is not bound until its turn comes.
    pub fn binding(&self) -> impl Iterator<Item = ProcessId> {
        let binds = |p: &Process| match &p.state {
            State::Waiting(Waiting { on: WaitFor::Bind, .. }) => true,
            State::Starting(Starting { phase: StartPhase::Preparing, run }) => !run.spec.listen.is_empty(),
            _ => false,
        };
        self.processes.iter().filter(move |p| binds(p)).map(|p| p.id)
    }

    /// They could not be bound: as a start that failed.
    pub(super) fn arm_failed(&mut self, id: ProcessId, error: SpawnError) {
        if !self.waits_on(id, &WaitFor::Bind) && !self.waits_on(id, &WaitFor::Watch) {
            return self.drop_input();
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        p.want = Want::Up;
        let attempt = Attempt { run: None, spec: p.spec.clone(), executed_at: None, due: Due::Listen };
        self.by_policy(id, attempt, Ending::Spawn(error));
    }

    pub(super) fn waits_on(&self, id: ProcessId, what: &WaitFor) -> bool {
        matches!(self.state(id), Some(State::Waiting(Waiting { on, .. })) if on == what)
    }

    fn wait_on(&mut self, id: ProcessId, what: WaitFor) {
        if let Some(p) = self.processes.get_mut(id)
            && let State::Waiting(Waiting { on, .. }) = &mut p.state
        {
            *on = what;
        }
    }

    /// A connection came for a process that waits for one.
    pub(super) fn socket_readable(&mut self, id: ProcessId) {
        let now = self.now.mono;
        let accepts = self.process(id).is_some_and(|p| p.spec.accepts());
        if accepts || !self.waits_on(id, &WaitFor::Socket) {
            return self.drop_input();
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        let spec = p.spec.clone();
        let fallback = p.rest_why();
        // A program that ends without accepting is not started in a circle.
        let allowed = match &fallback {
            Why::Failed(_) if p.tally.allows(&spec.restart, now) => {
                p.tally.count(&spec.restart, now);
                true
            }
            Why::Failed(_) => false,
            Why::Exited(_) => p.tally.serves(&spec.restart, now),
            _ => true,
        };
        self.output(Output::DisarmSockets(id));
        if !allowed && let Why::Failed(ending) | Why::Exited(ending) = fallback {
            return self.rest(id, Why::Crashed(ending), Cause::Socket);
        }
        self.start_again(id, Start { by: StartedBy::Socket, cause: Cause::Socket, fallback });
    }

    // Idle: a run that has had no connection for a while makes room.

    /// Has the connections of a process that is up counted, four times in its idle time.
    pub(super) fn count_connections_later(&mut self, id: ProcessId) {
        if let Some(idle) = self.run_of(id).and_then(idle_stop) {
            self.set_timer(id, TimerKind::Idle, (idle / 4).max(Duration::from_millis(1)));
        }
    }

    pub(super) fn count_connections(&mut self, id: ProcessId) {
        if let Some(run) = self.run_of(id).map(|run| run.id) {
            self.output(Output::CountConnections(run, id));
        }
    }

    /// Whether its connections are being counted: they are to be, and are not due to be.
    pub(super) fn counts_connections(&self, id: ProcessId) -> bool {
        let Some(p) = self.process(id) else { return false };
        match &p.state {
            State::Running(running) => idle_stop(&running.run).is_some() && p.deadlines.get(TimerKind::Idle).is_none(),
            _ => false,
        }
    }

    /// How many connections are open, and whether one came since that was last asked.
    pub(super) fn connections(&mut self, id: ProcessId, open: u32, came: bool) {
        if !self.counts_connections(id) {
            return self.drop_input();
        }
        let now = self.now.mono;
        let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) else { return };
        let Some(idle) = idle_stop(run) else { return };
        run.quiet_since = if open > 0 || came { None } else { run.quiet_since.or(Some(now)) };
        if run.quiet_since.is_some_and(|since| now.since(since) >= idle) {
            self.stop_for_now(id);
        } else {
            self.count_connections_later(id);
        }
    }

    /// It has nothing to do: it is stopped, and the next connection starts it. What merely requires it goes on.
    fn stop_for_now(&mut self, id: ProcessId) {
        if let Some(p) = self.processes.get_mut(id) {
            p.want = Want::Down;
        }
        self.begin_stopping(id, StopPhase::Ordered(BTreeSet::new()), Next::Listen, &Cause::Idle);
        // What binds to it goes first.
        self.part_from(id);
        self.order_stop(id);
    }
}

/// How long this run may be without a connection: the longest that one of its listeners says.
fn idle_stop(run: &Run) -> Option<Duration> {
    run.spec.listen.iter().filter_map(|listener| listener.idle_stop).max()
}

/// That there is no room for another instance, for people.
pub(super) fn full(spec: &Spec) -> String {
    match spec.most_instances() {
        Some(1) => "for its instance to end".into(),
        most => format!("for one of its {} instances to end", most.unwrap_or_default()),
    }
}

/// Whether a process that failed so is not to listen until it is started again: what it needs or conflicts with, or its
/// sockets themselves, are in the way.
fn bars_listening(ending: &Ending) -> bool {
    match ending {
        Ending::Dependency(..) | Ending::Conflict(..) => true,
        Ending::Spawn(error) => error.step == SpawnStep::Socket,
        _ => false,
    }
}
