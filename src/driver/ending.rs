//! Signals, and the end of a tree: looked for, brought about, and told once.

use std::os::fd::AsFd;
use std::time::Duration;

use super::engine::Engine;
use super::flight::RunChild;
use super::held::{Held, Look};
use super::identity;
use super::sources::{Clock, Moment, Owner};
use crate::core::{Input, Pid, RunId, Scope, SpawnError, SpawnStep};
use crate::spec::Signal;

/// A tree of which no member could be held is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Engine {
    pub(super) fn signal(&mut self, run: RunId, signal: Signal, scope: Scope) {
        if self.runs.get(&run).is_some_and(|entry| entry.spec.task) {
            return self.cancel_task(run);
        }
        let Some(entry) = self.runs.get(&run) else { return };
        // A signal that reaches nobody has come too late: the exit is on its way.
        let _ = match scope {
            Scope::Main => match (&entry.main, &entry.child) {
                (Some(main), _) => identity::signal(main.fd.as_fd(), signal).map(drop),
                (None, RunChild::Alive(_, fd, _)) => identity::signal(fd.as_fd(), signal).map(drop),
                (None, RunChild::Flight(flight, ..)) => identity::signal(flight.pidfd(), signal).map(drop),
                _ => Ok(()),
            },
            Scope::Group => entry.held.as_ref().map_or(Ok(()), |held| held.tree.signal_group(signal).map(drop)),
            Scope::Tree => entry.held.as_ref().map_or(Ok(()), |held| held.tree.signal_all(signal).map(drop)),
        };
    }

    pub(super) fn watch_tree(&mut self, run: RunId) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        entry.watched = true;
        if entry.emptied {
            return self.tell_empty(run);
        }
        match self.look(Owner::Run(run)) {
            Look::Empty => self.tree_emptied(run),
            _ => self.inputs.push_back(Input::TreeOccupied(run)),
        }
    }

    pub(super) fn kill_tree(&mut self, run: RunId) {
        if let Some(place) = self.spawns.iter().position(|waiting| *waiting == run) {
            // Its child is not made yet, and will not be.
            self.spawns.remove(place);
            let error = SpawnError {
                step: SpawnStep::Prepare,
                errno: None,
                message: "it was stopped before its child was made".into(),
            };
            self.inputs.push_back(Input::SpawnFailed(run, error));
        }
        let Some(entry) = self.runs.get_mut(&run) else { return };
        entry.watched = true;
        if entry.emptied {
            return self.tell_empty(run);
        }
        if let RunChild::Task(_) = &entry.child {
            return self.kill_task(run);
        }
        if entry.held.as_ref().is_some_and(Held::is_killing) {
            return;
        }
        if let RunChild::Flight(flight, ..) = &entry.child {
            let _ = identity::signal(flight.pidfd(), Signal::KILL);
        }
        self.kill_again(Owner::Run(run));
    }

    /// Kills what is left of a tree, and comes back until nothing is.
    pub(super) fn kill_again(&mut self, owner: Owner) {
        let now = Clock::now().mono;
        let held = match owner {
            Owner::Run(run) => self.runs.get_mut(&run).filter(|entry| !entry.emptied).and_then(|e| e.held.as_mut()),
            Owner::Job(job) => self.jobs.get_mut(&job).and_then(|job| job.held.as_mut()),
        };
        let Some(held) = held else {
            if let Owner::Run(run) = owner {
                self.look_again(Owner::Run(run));
            }
            return;
        };
        let (look, wait) = held.kill(now, owner, &mut self.poller);
        if look != Look::Empty {
            self.clock.at(now.after(wait), Moment::Kill(owner));
        }
        match (owner, look) {
            (_, Look::Empty) => self.look_again(owner),
            (Owner::Run(run), Look::Stuck(pids)) => self.inputs.push_back(Input::TreeStuck(run, pids)),
            (Owner::Job(job), Look::Stuck(pids)) => self.job_stuck(job, pids.len()),
            (_, Look::Occupied) => {}
        }
    }

    /// A member of a tree that is held ended.
    pub(super) fn member_ended(&mut self, owner: Owner, pid: Pid) {
        let held = match owner {
            Owner::Run(run) => self.runs.get_mut(&run).and_then(|entry| entry.held.as_mut()),
            Owner::Job(job) => self.jobs.get_mut(&job).and_then(|job| job.held.as_mut()),
        };
        if held.is_some_and(|held| held.member_ended(pid, &mut self.poller)) {
            self.look_again(owner);
        }
    }

    /// Something of a tree may have ended: was that all?
    pub(super) fn look_again(&mut self, owner: Owner) {
        let run = match owner {
            Owner::Job(job) => return self.job_look(job),
            Owner::Run(run) => run,
        };
        let Some(entry) = self.runs.get_mut(&run) else { return };
        if entry.search.is_some() {
            self.find_main(run);
        }
        let Some(entry) = self.runs.get_mut(&run) else { return };
        // The leader's own end is told first.
        if !entry.watched || matches!(entry.child, RunChild::Flight(..) | RunChild::Alive(..) | RunChild::Task(_)) {
            return;
        }
        if self.look(owner) == Look::Empty {
            self.tree_emptied(run);
        }
    }

    /// Looks at a tree, and sees to it that it is looked at again.
    pub(super) fn look(&mut self, owner: Owner) -> Look {
        let held = match owner {
            Owner::Run(run) => self.runs.get_mut(&run).and_then(|entry| entry.held.as_mut()),
            Owner::Job(job) => self.jobs.get_mut(&job).and_then(|job| job.held.as_mut()),
        };
        let Some(held) = held else { return Look::Empty };
        let look = held.look(owner, &mut self.poller);
        if look == Look::Occupied && held.is_loose() {
            self.clock.at(Clock::now().mono.after(LOOK_AGAIN), Moment::Look(owner));
        }
        look
    }

    /// Nothing of the tree is left. Told once.
    pub(super) fn tree_emptied(&mut self, run: RunId) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        if let Some(held) = entry.held.as_mut() {
            held.let_go(&mut self.poller);
        }
        if matches!(entry.child, RunChild::Pinned(_))
            && let RunChild::Pinned(fd) = std::mem::replace(&mut entry.child, RunChild::Gone)
        {
            self.reap(fd);
        }
        let Some(entry) = self.runs.get(&run) else { return };
        if entry.main.is_some() {
            // Its end comes before that of the tree; how it ended may have to be waited for, and then this comes again.
            self.main_gone(run);
        }
        let Some(entry) = self.runs.get_mut(&run).filter(|entry| entry.main.is_none()) else { return };
        if !std::mem::replace(&mut entry.emptied, true) {
            self.tell_empty(run);
        }
    }

    /// Says that the tree is empty, unless that is about to be said.
    fn tell_empty(&mut self, run: RunId) {
        let told = Input::TreeEmpty(run);
        if !self.inputs.contains(&told) {
            self.inputs.push_back(told);
        }
    }
}
