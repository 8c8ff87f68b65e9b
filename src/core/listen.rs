//! Listeners: bound, watched, and a run when somebody connects.

use super::event::{Cause, Ending, EventKind};
use super::ids::ProcessId;
use super::input::{SpawnError, SpawnStep};
use super::machine::Machine;
use super::output::Output;
use super::over::Attempt;
use super::process::{Due, Rest, Start, StartedBy, State, WaitFor, Waiting, Why};
use super::propagate::Notice;
use super::status::Want;

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
        let start = Start { by: StartedBy::Socket, cause: Cause::Socket, fallback };
        let waiting = State::Waiting(Waiting { start, on: WaitFor::Bind });
        self.enter(id, waiting, "for its sockets".into(), Cause::Progress);
        self.output(Output::ArmSockets(id, spec));
    }

    /// Its listeners are bound and watched.
    pub(super) fn armed(&mut self, id: ProcessId) {
        if !self.waits_on(id, &WaitFor::Bind) {
            return self.drop_input();
        }
        self.wait_on(id, WaitFor::Socket);
        let at = self.process(id).map(|p| p.spec.listening_at()).unwrap_or_default();
        self.emit(id, EventKind::Listening { at }, Cause::Progress);
        self.notice(Notice::Armed(id));
    }

    /// They could not be bound: as a start that failed.
    pub(super) fn arm_failed(&mut self, id: ProcessId, error: SpawnError) {
        if !self.waits_on(id, &WaitFor::Bind) {
            return self.drop_input();
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        p.want = Want::Up;
        let attempt = Attempt { run: None, spec: p.spec.clone(), executed_at: None, due: Due::Listen };
        self.by_policy(id, attempt, Ending::Spawn(error));
    }

    fn waits_on(&self, id: ProcessId, what: &WaitFor) -> bool {
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
        if !self.waits_on(id, &WaitFor::Socket) {
            return self.drop_input();
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        let spec = p.spec.clone();
        let fallback = p.rest_why();
        let again = matches!(fallback, Why::Failed(_) | Why::Exited(_));
        if again {
            if !p.tally.allows(&spec.restart, now) {
                self.output(Output::DisarmSockets(id));
                let ending = match fallback {
                    Why::Failed(ending) | Why::Exited(ending) => ending,
                    _ => Ending::StartTimeout,
                };
                return self.rest(id, Why::Crashed(ending), Cause::Socket);
            }
            if let Some(p) = self.processes.get_mut(id) {
                p.tally.count(&spec.restart, now);
            }
        }
        self.output(Output::DisarmSockets(id));
        self.start_again(id, Start { by: StartedBy::Socket, cause: Cause::Socket, fallback });
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
