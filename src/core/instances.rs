//! One instance a connection: a process that is made when it comes, runs once, and is forgotten when it is over.

use std::sync::Arc;

use super::event::Cause;
use super::ids::{ConnectionId, Pid, ProcessId};
use super::machine::Machine;
use super::output::Output;
use super::process::{Goal, Origin, Process, Start, StartedBy, State, StopPhase, Stopping, WaitFor, Why};
use super::propagate::Notice;
use super::reply::{Done, Refusal};
use crate::spec::{Restart, RestartPolicy, Spec};

impl Machine {
    /// The instances of a process that are not over, in the order of their connections.
    pub fn instances(&self, of: ProcessId) -> Vec<ProcessId> {
        self.instances_of(of).map(|p| p.id).collect()
    }

    /// The process that this one is an instance of.
    pub fn instance_of(&self, id: ProcessId) -> Option<ProcessId> {
        match self.process(id)?.origin {
            Origin::Instance { of, .. } => Some(of),
            _ => None,
        }
    }

    fn instances_of(&self, of: ProcessId) -> impl Iterator<Item = &Process> {
        // Most never had one: then none is looked for.
        let had_some = self.process(of).is_some_and(|p| p.accepted > 0);
        let all = had_some.then(|| self.processes.iter());
        all.into_iter().flatten().filter(move |p| matches!(&p.origin, Origin::Instance { of: it, .. } if *it == of))
    }

    pub(super) fn has_instances(&self, of: ProcessId) -> bool {
        self.instances_of(of).next().is_some()
    }

    /// Whether it may have another instance.
    pub(super) fn has_room(&self, id: ProcessId) -> bool {
        let most = self.process(id).and_then(|p| p.spec.most_instances()).unwrap_or(0);
        usize::try_from(most).is_ok_and(|most| self.instances_of(id).count() < most)
    }

    /// A connection was accepted: an instance is started for it, or it is closed.
    pub(super) fn connection(&mut self, of: ProcessId, connection: ConnectionId, peer: Arc<str>) {
        let instance = match self.process(of) {
            Some(p) if p.spec.accepts() && self.waits_on(of, &WaitFor::Socket) => self.new_instance(of),
            _ => None,
        };
        let Some(spec) = instance else {
            self.drop_input();
            return self.output(Output::DropConnection(connection));
        };
        let cause = Cause::Connection(peer.clone());
        let origin = Origin::Instance { of, connection: Some(connection), peer };
        let id = self.define(spec, origin, cause.clone());
        if !self.has_room(of) {
            self.wait_for_room(of);
        }
        self.start_again(id, Start { by: StartedBy::Socket, cause, fallback: Why::Created });
    }

    /// The spec of the next instance: its process's, but that it has no listeners, serves one connection and goes with it.
    fn new_instance(&mut self, of: ProcessId) -> Option<Spec> {
        let graph = self.graph();
        let conflicts = graph.of(of).conflicts.iter().map(|other| self.name_of(*other).to_string()).collect();
        let (name, accepted) = {
            let p = self.process(of)?;
            let numbers = p.accepted.saturating_add(1)..;
            let mut names = numbers.map(|number| (format!("{}@{number}", p.name), number));
            names.find(|(name, _)| !self.names.contains_key(name.as_str()))?
        };
        let p = self.processes.get_mut(of)?;
        p.accepted = accepted;
        Some(Spec {
            name,
            listen: Vec::new(),
            auto_start: false,
            critical: false,
            restart: Restart { policy: RestartPolicy::Never, ..p.spec.restart.clone() },
            part_of: vec![p.name.to_string()],
            conflicts,
            // Who comes after its process comes after its listeners: nobody waits for one connection.
            before: Vec::new(),
            // What it follows brings back no connection.
            follows: Vec::new(),
            ..Spec::clone(&p.spec)
        })
    }

    /// An instance was forgotten.
    pub(super) fn instance_over(&mut self, of: ProcessId) {
        if self.waits_on(of, &WaitFor::Room) && self.has_room(of) {
            self.watch_again(of);
        }
        if self.state(of).is_some_and(State::is_rest) && !self.has_instances(of) {
            self.answer(of, Goal::Down, |state| Ok(Done::State(state)));
            self.forget_if_over(of);
        }
    }

    /// It is at rest: has it forgotten if it is to be, and a connection that it never came to serve closed at once.
    pub(super) fn forget_if_over(&mut self, id: ProcessId) {
        if let Some(Process { origin: Origin::Instance { connection: Some(_), .. }, state: State::Rest(_), .. }) =
            self.process(id)
            && let Some(Origin::Instance { connection, .. }) = self.processes.get_mut(id).map(|p| &mut p.origin)
            && let Some(connection) = connection.take()
        {
            self.output(Output::DropConnection(connection));
        }
        if self.process(id).is_some_and(Process::is_over) {
            self.notice(Notice::Forget(id));
        }
    }

    /// An instance would not die: whoever waits for all of its process to be gone is told.
    pub(super) fn instance_stuck(&mut self, id: ProcessId, pids: &[Pid]) {
        let Some(Origin::Instance { of, .. }) = self.process(id).map(|p| &p.origin) else { return };
        let (of, name) = (*of, self.name_of(id));
        for goal in [Goal::Down, Goal::Deleted] {
            self.answer(of, goal, |_| Err(Refusal::Stuck { name: name.clone(), pids: pids.to_vec() }));
        }
    }

    /// Who of a process and its instances would not die, if one of them is that.
    pub(super) fn who_is_stuck(&self, id: ProcessId) -> Option<(Arc<str>, Vec<Pid>)> {
        self.process(id).into_iter().chain(self.instances_of(id)).find_map(|p| match &p.state {
            State::Stopping(Stopping { phase: StopPhase::Stuck(pids), .. }) => Some((p.name.clone(), pids.clone())),
            _ => None,
        })
    }

    /// The instances of a process that are being stopped.
    pub(super) fn stopping_instances(&self, of: ProcessId) -> Vec<ProcessId> {
        self.instances_of(of).filter(|p| matches!(p.state, State::Stopping(_))).map(|p| p.id).collect()
    }
}
