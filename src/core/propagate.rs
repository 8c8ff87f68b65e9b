//! What a change of one process means for others. Changes leave notices; here they are worked off, one after the other, without recursion.
//!
//! | notice | who waits to start after it | who is up with it |
//! |---|---|---|
//! | ready, armed | goes on | followers are restarted when it came back |
//! | retrying | goes on if merely ordered | |
//! | skipped | goes on, unless it binds | |
//! | ended well | goes on, unless it binds | |
//! | over (failed, crashed, stopped) | goes on if merely ordered, else fails | |
//! | left running | waits again if it binds | stops if it binds |
//! | down | goes on if it waited for that | |

use super::event::{Cause, Ending, HoldKind, RelationKind};
use super::ids::ProcessId;
use super::machine::Machine;
use super::process::{Next, Origin, Rest, StartPhase, Starting, State, Stopping, WaitFor, Waiting, Why};
use super::start::Reach;
use super::status::Want;

/// Something others may have to act on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Notice {
    /// It is ready; `came_back` when it has been before.
    Ready { id: ProcessId, came_back: bool },
    /// Its listeners are armed.
    Armed(ProcessId),
    /// An attempt failed, another is due.
    Retrying(ProcessId),
    /// Its start was skipped, for this condition.
    Skipped(ProcessId, String),
    /// It is at rest without success.
    Over(ProcessId),
    /// It is at rest with success.
    Ended(ProcessId),
    /// It was running, and is not for a reason of its own.
    LeftRunning(ProcessId),
    /// Nothing of it is left.
    Down(ProcessId),
    /// It would not die.
    Stuck(ProcessId),
    /// It is to be forgotten.
    Forget(ProcessId),
}

impl Machine {
    /// Works off all notices.
    pub(super) fn settle(&mut self) {
        while let Some(notice) = self.notices.pop_front() {
            match notice {
                Notice::Ready { id, came_back } => {
                    // Followers first: one that only now gets to start must not be restarted for it.
                    if came_back {
                        self.lead(id);
                    }
                    self.let_go(id, &[HoldKind::Order, HoldKind::Requires, HoldKind::BindsTo]);
                }
                Notice::Armed(id) => self.let_go(id, &[HoldKind::Order, HoldKind::Requires, HoldKind::BindsTo]),
                Notice::Retrying(id) => self.let_go(id, &[HoldKind::Order]),
                Notice::Skipped(id, condition) => self.pass_on_skip(id, &condition),
                Notice::Over(id) => {
                    self.fail_needy(id, true);
                    self.let_go(id, &[HoldKind::Order]);
                }
                Notice::Ended(id) => {
                    self.fail_needy(id, false);
                    self.let_go(id, &[HoldKind::Order, HoldKind::Requires]);
                }
                Notice::LeftRunning(id) => self.part_from(id),
                Notice::Down(id) => {
                    self.let_go(id, &[HoldKind::Stop, HoldKind::Conflict]);
                    self.let_stop(id);
                }
                Notice::Stuck(id) => self.go_on_without(id),
                Notice::Forget(id) => self.forget(id),
            }
        }
    }

    /// Those whose start may wait for `id`.
    fn neighbours(&mut self, id: ProcessId) -> Vec<ProcessId> {
        let graph = self.graph();
        let edges = graph.of(id);
        let mut all: Vec<ProcessId> = edges
            .before
            .iter()
            .chain(&edges.required_by)
            .chain(&edges.bound_by)
            .chain(&edges.conflicts)
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Takes holds of these kinds on `id` from all who have them, and launches those that have none left.
    fn let_go(&mut self, id: ProcessId, kinds: &[HoldKind]) {
        for other in self.neighbours(id) {
            // Whoever is not touched is not written down either.
            if !self.waits_for(other, id, kinds) {
                continue;
            }
            let Some(p) = self.processes.get_mut(other) else { continue };
            let State::Waiting(Waiting { on: WaitFor::Holds(holds), .. }) = &mut p.state else { continue };
            for kind in kinds {
                holds.remove(&(id, *kind));
            }
            if holds.is_empty() {
                self.launch(other);
            }
        }
    }

    /// Whether `other` waits for `id` in one of these ways.
    fn waits_for(&self, other: ProcessId, id: ProcessId, kinds: &[HoldKind]) -> bool {
        match self.state(other) {
            Some(State::Waiting(Waiting { on: WaitFor::Holds(holds), .. })) => {
                kinds.iter().any(|kind| holds.contains(&(id, *kind)))
            }
            _ => false,
        }
    }

    /// `id` came back: its followers are restarted, or started when it was for its sake that they are down.
    fn lead(&mut self, id: ProcessId) {
        let graph = self.graph();
        let name = self.name_of(id);
        let Some(newest) = self.process(id).and_then(|p| p.state.run().map(|run| run.id).or(p.last.run)) else {
            return;
        };
        let for_its_sake = |cause: &Cause| matches!(cause, Cause::Relation(kind, other) if *other == name && *kind != RelationKind::Conflicts);
        let mut restarts = Vec::new();
        let mut starts = Vec::new();
        for other in &graph.of(id).followed_by {
            let cause = Cause::Relation(RelationKind::Follows, name.clone());
            let Some(p) = self.processes.get_mut(*other).filter(|p| p.origin != Origin::Leaving) else { continue };
            match &mut p.state {
                State::Running(running) if running.run.id < newest => restarts.push((*other, cause)),
                State::Starting(Starting { run, phase }) if run.id < newest && *phase != StartPhase::Preparing => {
                    restarts.push((*other, cause));
                }
                State::Stopping(Stopping { next, by, .. }) if *next == Next::Stay && for_its_sake(by) => {
                    *next = Next::Again(cause);
                    p.want = Want::Up;
                }
                State::Rest(Rest { why: Why::Stopped(by), .. }) if for_its_sake(by) => starts.push((*other, cause)),
                State::Rest(Rest { why: Why::Failed(Ending::Dependency(needed, _)), .. }) if *needed == name => {
                    starts.push((*other, cause));
                }
                _ => {}
            }
        }
        if !restarts.is_empty() {
            self.stop_with_dependents(restarts, true);
        }
        if !starts.is_empty() {
            self.start_all(&starts, Reach::Needs);
        }
    }

    /// `id` was skipped: who merely requires or follows it in order goes on, who binds to it is skipped too.
    fn pass_on_skip(&mut self, id: ProcessId, condition: &str) {
        let name = self.name_of(id);
        for other in self.neighbours(id) {
            if self.waits_for(other, id, &[HoldKind::BindsTo]) {
                let condition = match condition.strip_prefix("of `") {
                    Some(_) => condition.to_owned(),
                    None => format!("of `{name}`: {condition}"),
                };
                self.skip(other, condition);
            }
        }
        self.let_go(id, &[HoldKind::Order, HoldKind::Requires]);
    }

    /// `id` is at rest: who waits for it and cannot be without it fails, and so does who needs it without being ordered after it.
    fn fail_needy(&mut self, id: ProcessId, without_success: bool) {
        let kinds: &[HoldKind] =
            if without_success { &[HoldKind::Requires, HoldKind::BindsTo] } else { &[HoldKind::BindsTo] };
        let graph = self.graph();
        let started_badly =
            matches!(self.state(id), Some(State::Rest(Rest { why: Why::Failed(_) | Why::Crashed(_), .. })));
        for other in self.neighbours(id) {
            let edges = graph.of(other);
            let unordered = without_success && started_badly && edges.needs(id) && !edges.after.contains(&id);
            if self.waits_for(other, id, kinds) {
                let ending = self.dependency_ending(id);
                self.fail_waiting(other, ending);
            } else if unordered {
                match self.state(other) {
                    Some(State::Waiting(Waiting { on: WaitFor::Holds(_), .. })) => {
                        let ending = self.dependency_ending(id);
                        self.fail_waiting(other, ending);
                    }
                    Some(State::Starting(_)) => {
                        let ending = self.dependency_ending(id);
                        self.end_run(other, ending);
                    }
                    _ => {}
                }
            }
        }
    }

    /// `id` left running: what binds to it stops, or waits for it again.
    pub(super) fn part_from(&mut self, id: ProcessId) {
        let graph = self.graph();
        let cause = Cause::Relation(RelationKind::BindsTo, self.name_of(id));
        let mut stops = Vec::new();
        for other in &graph.of(id).bound_by {
            let Some(p) = self.processes.get_mut(*other) else { continue };
            match &mut p.state {
                State::Rest(_) => {}
                State::Waiting(Waiting { on: WaitFor::Holds(holds), .. }) => {
                    holds.insert((id, HoldKind::BindsTo));
                }
                State::Stopping(stopping) if stopping.next != Next::Policy => {}
                _ => stops.push((*other, cause.clone())),
            }
        }
        if !stops.is_empty() {
            self.stop_with_dependents(stops, false);
        }
    }

    /// `id` is down: what is to stop after it may.
    fn let_stop(&mut self, id: ProcessId) {
        let graph = self.graph();
        for other in &graph.of(id).after {
            self.stop_hold_gone(*other, id);
        }
    }

    /// `id` would not die: nobody waits for it any longer, and who cannot be beside or without it fails.
    fn go_on_without(&mut self, id: ProcessId) {
        let name = self.name_of(id);
        for other in self.neighbours(id) {
            if self.waits_for(other, id, &[HoldKind::Conflict]) {
                self.fail_waiting(other, Ending::Conflict(name.clone(), "would not die".into()));
            } else if self.waits_for(other, id, &[HoldKind::Requires, HoldKind::BindsTo]) {
                self.fail_waiting(other, Ending::Dependency(name.clone(), "would not die".into()));
            }
        }
        self.let_go(id, &[HoldKind::Stop, HoldKind::Order]);
        self.let_stop(id);
    }
}
