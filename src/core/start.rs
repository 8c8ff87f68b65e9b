//! From a wish to be up to being ready.

use std::collections::BTreeSet;

use super::event::{Cause, Ending, EventKind, HoldKind, RelationKind};
use super::ids::{Pid, ProcessId};
use super::input::{ExitStatus, HookKind, SpawnError, SpawnStep};
use super::machine::Machine;
use super::output::Output;
use super::over::Attempt;
use super::process::{
    Backoff, Due, Early, Goal, Leader, Next, Origin, Rest, Run, Running, Start, StartPhase, StartedBy, Starting, State,
    StopPhase, Stopping, WaitFor, Waiting, Why,
};
use super::propagate::Notice;
use super::reply::{Done, Refusal};
use super::status::Want;
use super::timers::TimerKind;
use crate::spec::{ProcessType, Ready};

/// How many pieces of news are kept of a child that is not known to be executed yet.
const EARLY_NEWS: usize = 16;

/// How far a start reaches for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// What it requires, binds to and wants, whatever made those stop: somebody asked.
    Everything,
    /// What it requires and binds to, unless a person stopped it or has to act on it: nobody asked.
    Needs,
}

impl Machine {
    /// Starts these, and what they need; all are marked first, so that each sees which others are on their way.
    pub(super) fn start_all(&mut self, roots: &[(ProcessId, Cause)], reach: Reach) {
        let graph = self.graph();
        let mut seen: BTreeSet<ProcessId> = roots.iter().map(|(id, _)| *id).collect();
        let mut members: Vec<(ProcessId, Cause)> = roots.to_vec();
        let mut next = 0;
        while let Some((id, _)) = members.get(next).cloned() {
            next += 1;
            let edges = graph.of(id);
            let needs = [(&edges.requires, RelationKind::Requires), (&edges.binds_to, RelationKind::BindsTo)];
            let wants = [(&edges.wants, RelationKind::Wants)];
            let wanted = if reach == Reach::Everything { &wants[..] } else { &[] };
            for (list, kind) in needs.iter().chain(wanted) {
                for other in list.iter() {
                    if !seen.contains(other) && self.is_pulled(*other, reach) {
                        seen.insert(*other);
                        members.push((*other, Cause::Relation(*kind, self.name_of(id))));
                    }
                }
            }
        }
        let mut begun = Vec::with_capacity(members.len());
        for (place, (id, cause)) in members.into_iter().enumerate() {
            if self.mark_start(id, cause, place < roots.len()) {
                begun.push(id);
            }
        }
        for id in &begun {
            self.stop_conflicts(*id);
        }
        for id in begun {
            self.hold_or_launch(id);
        }
    }

    /// Whoever is started last wins over what it conflicts with. One that has itself just lost to another of the same start stops nobody.
    pub(super) fn stop_conflicts(&mut self, id: ProcessId) {
        let graph = self.graph();
        for other in &graph.of(id).conflicts {
            let waiting = matches!(self.state(id), Some(State::Waiting(_)));
            if waiting && self.state(*other).is_some_and(|state| !state.is_rest()) {
                self.stop(*other, Cause::Relation(RelationKind::Conflicts, self.name_of(id)));
            }
        }
    }

    /// Whether a start that reaches `id` does anything to it.
    fn is_pulled(&self, id: ProcessId, reach: Reach) -> bool {
        match self.state(id) {
            Some(State::Rest(rest)) => match (&rest.why, reach) {
                (_, Reach::Everything) => true,
                (Why::Crashed(_) | Why::Stopped(Cause::Command(_) | Cause::Shutdown), Reach::Needs) => false,
                // What a conflict took down does not come back by itself: the two would take turns for ever.
                (Why::Stopped(Cause::Relation(RelationKind::Conflicts, _)), Reach::Needs) => false,
                (Why::Exited(_), Reach::Needs) => false,
                (Why::Created | Why::Stopped(_) | Why::Failed(_), Reach::Needs) => true,
            },
            Some(State::Stopping(stopping)) => reach == Reach::Everything && stopping.next == Next::Stay,
            _ => false,
        }
    }

    /// Makes it wanted and, where it has no live run, waiting without holds yet. Whether its holds are to be looked at.
    fn mark_start(&mut self, id: ProcessId, cause: Cause, root: bool) -> bool {
        let shutting_down = self.is_shutting_down();
        let Some(p) = self.processes.get_mut(id) else { return false };
        if shutting_down || p.origin == Origin::Leaving || p.is_instance() {
            return false;
        }
        p.want = Want::Up;
        let fallback = p.rest_why();
        match &mut p.state {
            State::Rest(_) => {}
            state if state.listens() && root => {}
            State::Backoff(_) if root => {}
            State::Waiting(_) | State::Starting(_) | State::Running(_) | State::Backoff(_) => return false,
            State::Stopping(stopping) => {
                stopping.next = Next::Again(cause);
                self.supersede(id, Goal::Down, "a start");
                return false;
            }
        }
        self.forget_alarm(id);
        // A stop of it may still wait for its instances.
        self.supersede(id, Goal::Down, "a start");
        if let Some(p) = self.processes.get_mut(id)
            && matches!(cause, Cause::Command(_) | Cause::Apply | Cause::AutoStart | Cause::Relation(_, _))
        {
            p.tally.reset();
        }
        self.clear_timer(id, TimerKind::Backoff);
        let disarm = self.state(id).is_some_and(State::listens);
        if disarm {
            self.output(Output::DisarmSockets(id));
        }
        let start = Start { by: StartedBy::Order, cause: cause.clone(), fallback };
        self.mark_waiting(id, start);
        true
    }

    /// Makes it waiting, without an event: whether it waits at all is decided before the next input.
    pub(super) fn mark_waiting(&mut self, id: ProcessId, start: Start) {
        if let Some(p) = self.processes.get_mut(id) {
            self.entering.entry(id).or_insert(p.state.name());
            p.state = State::Waiting(Waiting { start, on: WaitFor::Holds(BTreeSet::new()) });
        }
    }

    /// Looks at what a waiting process has to wait for; launches it when that is nothing.
    pub(super) fn hold_or_launch(&mut self, id: ProcessId) {
        let Some(State::Waiting(Waiting { on: WaitFor::Holds(_), .. })) = self.state(id) else { return };
        match self.holds_of(id) {
            Err(ending) => self.fail_waiting(id, ending),
            Ok(holds) if holds.is_empty() => self.launch(id),
            Ok(holds) => self.wait_for(id, holds),
        }
    }

    fn wait_for(&mut self, id: ProcessId, holds: BTreeSet<(ProcessId, HoldKind)>) {
        let reason = self.hold_text(&holds);
        let Some(State::Waiting(Waiting { start, .. })) = self.state(id) else { return };
        let (start, cause) = (start.clone(), start.cause.clone());
        self.enter(id, State::Waiting(Waiting { start, on: WaitFor::Holds(holds) }), reason, cause);
    }

    pub(super) fn hold_text(&self, holds: &BTreeSet<(ProcessId, HoldKind)>) -> String {
        let mut names: Vec<String> = holds.iter().map(|(id, _)| format!("`{}`", self.name_of(*id))).collect();
        names.dedup();
        format!("for {}", names.join(", "))
    }

    /// What a start of this process waits for now, or why it cannot be made.
    fn holds_of(&mut self, id: ProcessId) -> Result<BTreeSet<(ProcessId, HoldKind)>, Ending> {
        let graph = self.graph();
        let edges = graph.of(id);
        let mut holds = BTreeSet::new();
        for other in &edges.after {
            if let Some(kind) = self.hold_on(id, *other)? {
                holds.insert((*other, kind));
            }
        }
        for other in edges.requires.iter().chain(&edges.binds_to) {
            if !edges.after.contains(other) {
                self.refuse_if_gone(id, *other)?;
            }
        }
        holds.append(&mut self.conflicts_of(id)?);
        Ok(holds)
    }

    /// Which of those that it conflicts with still live, or why that will not change.
    fn conflicts_of(&mut self, id: ProcessId) -> Result<BTreeSet<(ProcessId, HoldKind)>, Ending> {
        let graph = self.graph();
        let mut holds = BTreeSet::new();
        for other in &graph.of(id).conflicts {
            match self.state(*other) {
                Some(state) if state.is_stuck() => {
                    return Err(Ending::Conflict(self.name_of(*other), "would not die".into()));
                }
                Some(State::Starting(_) | State::Running(_) | State::Stopping(_)) => {
                    holds.insert((*other, HoldKind::Conflict));
                }
                _ => {}
            }
        }
        Ok(holds)
    }

    /// Whether `id`, which is ordered after `other`, has to wait for it.
    fn hold_on(&mut self, id: ProcessId, other: ProcessId) -> Result<Option<HoldKind>, Ending> {
        let graph = self.graph();
        let edges = graph.of(id);
        let binds = edges.binds_to.contains(&other);
        let needs = edges.needs(other);
        let hard = if binds { HoldKind::BindsTo } else { HoldKind::Requires };
        let Some(state) = self.state(other) else { return Ok(None) };
        Ok(match state {
            State::Waiting(Waiting { on: WaitFor::Watch | WaitFor::Socket | WaitFor::Room, .. })
            | State::Running(_) => None,
            State::Waiting(_) | State::Starting(_) | State::Backoff(_) if needs => Some(hard),
            State::Waiting(_) => Some(HoldKind::Order),
            // The first attempt alone holds up what is merely ordered.
            State::Starting(starting) => (starting.run.start.by != StartedBy::Policy).then_some(HoldKind::Order),
            State::Backoff(_) => None,
            State::Stopping(stopping) => {
                let stuck = matches!(stopping.phase, StopPhase::Stuck(_));
                match (&stopping.next, needs) {
                    (_, true) if stuck => return Err(self.dependency_ending(other)),
                    (Next::Stay, true) => return Err(self.dependency_ending(other)),
                    (_, true) => Some(hard),
                    (Next::Again(_) | Next::Listen, false) if !stuck => Some(HoldKind::Order),
                    (_, false) => (!stuck).then_some(HoldKind::Stop),
                }
            }
            State::Rest(_) => {
                self.refuse_if_gone(id, other)?;
                None
            }
        })
    }

    /// Refuses a start that needs `other` when that is at rest without having succeeded.
    fn refuse_if_gone(&self, id: ProcessId, other: ProcessId) -> Result<(), Ending> {
        let Some(graph) = &self.graph.0 else { return Ok(()) };
        let edges = graph.of(id);
        match self.state(other) {
            Some(State::Rest(rest)) if edges.needs(other) => match &rest.why {
                // What was skipped holds up only who binds to it.
                _ if rest.skipped.is_some() && !edges.binds_to.contains(&other) => Ok(()),
                Why::Exited(_) if !edges.binds_to.contains(&other) => Ok(()),
                _ => Err(self.dependency_ending(other)),
            },
            _ => Ok(()),
        }
    }

    /// That `other` could not be had, as the ending of who needs it.
    pub(super) fn dependency_ending(&self, other: ProcessId) -> Ending {
        let why = match self.state(other) {
            Some(State::Rest(Rest { why, skipped, .. })) => match (why, skipped) {
                (_, Some(condition)) => format!("was skipped: condition {condition} does not hold"),
                (Why::Created, _) => "was never started".into(),
                (Why::Stopped(_), _) => "is stopped".into(),
                (Why::Exited(ending), _) => format!("has ended: {ending}"),
                (Why::Failed(ending), _) => format!("failed: {ending}"),
                (Why::Crashed(ending), _) => format!("crashed too often: {ending}"),
            },
            Some(state) if state.is_stuck() => "would not die".into(),
            Some(State::Stopping(_)) => "is being stopped".into(),
            Some(state) => format!("is {}", state.name()),
            None => "is gone".into(),
        };
        Ending::Dependency(self.name_of(other), why)
    }

    /// What has come up against a start while it waited: a conflict that was started, a need that is no longer met.
    fn last_look(&mut self, id: ProcessId) -> Result<BTreeSet<(ProcessId, HoldKind)>, Ending> {
        self.stop_conflicts(id);
        let mut holds = self.conflicts_of(id)?;
        let graph = self.graph();
        let edges = graph.of(id);
        for other in edges.after.iter().filter(|other| edges.needs(**other)) {
            if let Some(kind) = self.hold_on(id, *other)? {
                holds.insert((*other, kind));
            }
        }
        Ok(holds)
    }

    /// Makes a run for a process that has nothing to wait for, and has it prepared.
    pub(super) fn launch(&mut self, id: ProcessId) {
        match self.last_look(id) {
            Ok(holds) if holds.is_empty() => {}
            Ok(holds) => return self.wait_for(id, holds),
            Err(ending) => return self.fail_waiting(id, ending),
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        let State::Waiting(waiting) = &p.state else { return };
        let (start, spec) = (waiting.start.clone(), p.spec.clone());
        if spec.accepts() {
            return self.listen(id, start.fallback);
        }
        let connection = match &mut p.origin {
            Origin::Instance { connection, .. } => connection.take(),
            Origin::Plan { .. } | Origin::Runtime | Origin::Leaving => None,
        };
        let waited = !self.entering.contains_key(&id);
        let cause = if waited { Cause::Progress } else { start.cause.clone() };
        let run = self.new_run(id);
        let starting = Starting { run: Run::new(run, spec.clone(), start), phase: StartPhase::Preparing };
        self.enter(id, State::Starting(starting), String::new(), cause);
        if let Some(timeout) = spec.start_timeout {
            self.set_timer(id, TimerKind::Start, timeout);
        }
        self.output(Output::Prepare { run, process: id, spec: spec.to_arc(), connection });
    }

    /// The phase of a start, while there is one.
    pub(super) fn start_phase(&self, id: ProcessId) -> Option<StartPhase> {
        match self.state(id) {
            Some(State::Starting(starting)) => Some(starting.phase),
            _ => None,
        }
    }

    pub(super) fn set_start_phase(&mut self, id: ProcessId, to: StartPhase) {
        if let Some(p) = self.processes.get_mut(id)
            && let State::Starting(Starting { phase, .. }) = &mut p.state
        {
            *phase = to;
        }
    }

    pub(super) fn prepared(&mut self, id: ProcessId) {
        if self.start_phase(id) != Some(StartPhase::Preparing) {
            return self.drop_input();
        }
        self.before_start(id, 0);
    }

    /// Runs the before_start hook of this index, or spawns when there is none.
    pub(super) fn before_start(&mut self, id: ProcessId, index: usize) {
        if self.run_hook(id, HookKind::BeforeStart, index) {
            self.set_start_phase(id, StartPhase::BeforeStart(index));
        } else if let Some(run) = self.run_of(id).map(|run| run.id) {
            self.set_start_phase(id, StartPhase::Spawning);
            self.output(Output::Spawn(run));
        }
    }

    pub(super) fn prepare_failed(&mut self, id: ProcessId, error: SpawnError) {
        if self.start_phase(id) != Some(StartPhase::Preparing) {
            return self.drop_input();
        }
        self.run_over(id, Ending::Spawn(error));
    }

    pub(super) fn condition_unmet(&mut self, id: ProcessId, condition: String) {
        if self.start_phase(id) != Some(StartPhase::Preparing) {
            return self.drop_input();
        }
        self.skip(id, condition);
    }

    /// Takes a start back: the process is again what it was before, and says why.
    pub(super) fn skip(&mut self, id: ProcessId, condition: String) {
        self.emit(id, EventKind::Skipped { condition: condition.clone() }, Cause::Progress);
        let Some(p) = self.processes.get(id) else { return };
        let attempt = match &p.state {
            State::Starting(Starting { run, .. }) if run.start.by == StartedBy::Socket => Some(Some(run.id)),
            State::Waiting(Waiting { start, .. }) if start.by == StartedBy::Socket => Some(None),
            _ => None,
        };
        if let Some(run) = attempt {
            // The connection goes on waiting: to listen again at once would start it at once.
            let spec = p.spec.clone();
            let message = format!("condition {condition} does not hold");
            let error = SpawnError { step: SpawnStep::Condition, errno: None, message };
            self.clear_timers(id);
            let attempt = Attempt { run, spec, executed_at: None, due: Due::Listen };
            self.notice(Notice::Skipped(id, condition));
            return self.by_policy(id, attempt, Ending::Spawn(error));
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        let why = p.rest_why();
        p.want = Want::Down;
        let run = p.state.run().map(|run| run.id);
        let reason = format!("skipped: condition {condition} does not hold");
        self.clear_timers(id);
        let rest = Rest { why, skipped: Some(condition.clone()), alarm: None };
        self.enter(id, State::Rest(rest), reason, Cause::Progress);
        if let Some(run) = run {
            self.release(run);
        }
        let name = self.name_of(id);
        self.answer(id, Goal::Ready, |_| Err(Refusal::Skipped { name: name.clone(), condition: condition.clone() }));
        self.notice(Notice::Skipped(id, condition));
        self.notice(Notice::Down(id));
        self.arm_if_listening(id);
    }

    pub(super) fn executed(&mut self, id: ProcessId, pid: Pid) {
        let forking = self.run_of(id).is_some_and(|run| run.spec.process_type == ProcessType::Forking);
        let leader = if forking { Leader::Parent(pid) } else { Leader::Alive(pid) };
        let Some(early) = self.mark_executed(id, leader) else { return self.drop_input() };
        self.emit(id, EventKind::Executed { pid }, Cause::Progress);
        let run = self.run_of(id).map(|run| run.id);
        if self.start_phase(id).is_some() {
            self.set_start_phase(id, StartPhase::Readying);
            let Some(spec) = self.run_of(id).map(|run| run.spec.clone()) else { return };
            match (spec.process_type, &spec.ready) {
                (ProcessType::Simple, Ready::Executed) => self.ready(id, Cause::Progress),
                (ProcessType::Forking | ProcessType::Oneshot, _) => {}
                _ => self.ask_whether_ready(id),
            }
        } else {
            self.executed_unwanted(id);
        }
        let Some(run) = run else { return };
        for news in early {
            // As if it were heard only now: what its execution means for others comes first.
            self.settle();
            self.with_run(run, |m, id| match news {
                Early::Exited(pid, status) => m.exited(id, pid, status),
                Early::Notified(message) => m.notified(id, message),
                Early::LogLine => m.log_line(id),
            });
        }
    }

    /// Notes that the awaited child was executed; gives what was heard of it before. `None` when no child is awaited.
    pub(super) fn mark_executed(&mut self, id: ProcessId, leader: Leader) -> Option<Vec<Early>> {
        let (now, wall) = (self.now.mono, self.now.wall);
        let p = self.processes.get_mut(id)?;
        let awaited = awaits_exec(&p.state);
        let run = p.state.run_mut().filter(|run| awaited && run.leader == Leader::None)?;
        run.leader = leader;
        run.executed_at = Some(now);
        run.started_at = Some(wall);
        let early = std::mem::take(&mut run.early);
        p.last.executed = p.last.executed.saturating_add(1);
        p.tally.fed();
        Some(early)
    }

    /// Keeps news of a child that is not known to be executed yet until it is. Whether it was kept.
    pub(super) fn keep_early(&mut self, id: ProcessId, news: impl FnOnce() -> Early) -> bool {
        let Some(p) = self.processes.get_mut(id) else { return false };
        let awaited = awaits_exec(&p.state);
        let Some(run) = p.state.run_mut().filter(|run| awaited && run.leader == Leader::None) else { return false };
        let news = news();
        // Once is enough, and a program that floods its notify socket fills no memory. Its end is never lost.
        let full = run.early.len() >= EARLY_NEWS && !matches!(news, Early::Exited(..));
        if full || run.early.contains(&news) {
            return false;
        }
        run.early.push(news);
        true
    }

    pub(super) fn spawn_failed(&mut self, id: ProcessId, error: SpawnError) {
        match self.state(id) {
            Some(State::Starting(starting)) if starting.phase == StartPhase::Spawning => {
                self.run_over(id, Ending::Spawn(error));
            }
            Some(State::Stopping(stopping)) if stopping.run.leader == Leader::None => match stopping.phase {
                StopPhase::AwaitExec | StopPhase::Killed | StopPhase::Stuck(_) => self.after_stop(id, 0),
                _ => self.drop_input(),
            },
            _ => self.drop_input(),
        }
    }

    pub(super) fn main_found(&mut self, id: ProcessId, pid: Pid) {
        let Some(p) = self.processes.get_mut(id) else { return };
        let readying = matches!(&p.state, State::Starting(s) if s.phase == StartPhase::Readying);
        match p.state.run_mut() {
            Some(run) if run.leader == Leader::Sought => run.leader = Leader::Alive(pid),
            _ => return self.drop_input(),
        }
        self.emit(id, EventKind::MainPid { pid }, Cause::Progress);
        if readying {
            let ready = self.run_of(id).map(|run| run.spec.ready.clone());
            match ready {
                Some(Ready::Executed) => self.ready(id, Cause::Progress),
                _ => self.ask_whether_ready(id),
            }
        }
    }

    pub(super) fn main_not_found(&mut self, id: ProcessId, reason: String) {
        let Some(State::Starting(Starting { run, .. })) = self.state(id) else { return self.drop_input() };
        if run.leader != Leader::Sought {
            return self.drop_input();
        }
        self.leader_is(id, Leader::Gone(ExitStatus::Unknown));
        self.leader_ended(id, Ending::NoMain(reason));
    }

    pub(super) fn leader_is(&mut self, id: ProcessId, leader: Leader) {
        if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
            run.leader = leader;
        }
    }

    /// It is ready: from starting to running.
    pub(super) fn ready(&mut self, id: ProcessId, cause: Cause) {
        let Some(p) = self.processes.get_mut(id) else { return };
        let State::Starting(starting) = &p.state else { return };
        let mut running = Running { run: starting.run.clone(), after_start: None };
        // Why it was not ready yet is no reason of one that is.
        running.run.health.reason.clear();
        let came_back = p.last.ready > 0;
        p.last.ready = p.last.ready.saturating_add(1);
        self.clear_timer(id, TimerKind::Start);
        self.clear_timer(id, TimerKind::Ready);
        self.stop_ready_probe(id);
        self.enter(id, State::Running(running), String::new(), cause);
        self.begin_health(id);
        self.begin_watchdog(id);
        self.count_connections_later(id);
        if self.run_hook(id, HookKind::AfterStart, 0) {
            self.set_after_start(id, Some(0));
        }
        self.answer(id, Goal::Ready, |state| Ok(Done::State(state)));
        // What it reads may have changed while it started.
        self.reload_if_due(id, Cause::Progress);
        self.notice(Notice::Ready { id, came_back });
    }

    pub(super) fn set_after_start(&mut self, id: ProcessId, index: Option<usize>) {
        if let Some(p) = self.processes.get_mut(id)
            && let State::Running(running) = &mut p.state
        {
            running.after_start = index;
        }
    }

    /// What was put off is due.
    pub(super) fn backoff_over(&mut self, id: ProcessId) {
        let now = self.now.mono;
        let Some(p) = self.processes.get_mut(id) else { return };
        let State::Backoff(Backoff { ending, counts, due, .. }) = &p.state else { return };
        let (fallback, counts, due) = (Why::Failed(ending.clone()), *counts, *due);
        if counts {
            let spec = p.spec.clone();
            p.tally.count(&spec.restart, now);
        }
        self.try_again(id, due, fallback);
    }

    /// Makes another attempt at what failed.
    pub(super) fn try_again(&mut self, id: ProcessId, due: Due, fallback: Why) {
        match due {
            Due::Start => self.start_by_policy(id, fallback),
            Due::Listen => self.listen(id, fallback),
        }
    }

    /// A start that nobody asked for: the restart policy's, or the follow-up of a stop.
    pub(super) fn start_by_policy(&mut self, id: ProcessId, fallback: Why) {
        self.start_again(id, Start { by: StartedBy::Policy, cause: Cause::Policy, fallback });
    }

    /// Makes this start now, with what the process needs, from whatever state without a live run it is in.
    pub(super) fn start_again(&mut self, id: ProcessId, start: Start) {
        if self.is_shutting_down() {
            return;
        }
        let graph = self.graph();
        let edges = graph.of(id);
        let needed: Vec<(ProcessId, Cause)> =
            [(&edges.requires, RelationKind::Requires), (&edges.binds_to, RelationKind::BindsTo)]
                .into_iter()
                .flat_map(|(list, kind)| list.iter().map(move |other| (*other, kind)))
                .filter(|(other, _)| {
                    self.state(*other).is_some_and(State::is_rest) && self.is_pulled(*other, Reach::Needs)
                })
                .map(|(other, kind)| (other, Cause::Relation(kind, self.name_of(id))))
                .collect();
        if let Some(p) = self.processes.get_mut(id) {
            p.want = Want::Up;
        }
        self.mark_waiting(id, start);
        if !needed.is_empty() {
            self.start_all(&needed, Reach::Needs);
        }
        self.stop_conflicts(id);
        self.hold_or_launch(id);
    }

    /// The start timeout has passed.
    pub(super) fn start_timed_out(&mut self, id: ProcessId) {
        match self.start_phase(id) {
            None => {}
            Some(StartPhase::Preparing) => self.run_over(id, Ending::StartTimeout),
            Some(_) => {
                let said = self.run_of(id).map(|run| run.health.reason.clone()).filter(|said| !said.is_empty());
                self.end_run(id, said.map_or(Ending::StartTimeout, Ending::StartTimeoutAfter));
            }
        }
    }

    /// A waiting process cannot be started.
    pub(super) fn fail_waiting(&mut self, id: ProcessId, ending: Ending) {
        if let Some(p) = self.processes.get_mut(id) {
            p.want = Want::Down;
        }
        self.fail(id, Why::Failed(ending));
    }

    /// Puts off a start until `backoff.until`.
    pub(super) fn back_off(&mut self, id: ProcessId, backoff: Backoff) {
        let (delay, ending) = (backoff.delay, backoff.ending.clone());
        self.enter(id, State::Backoff(backoff), ending.to_string(), Cause::Ended(ending.clone()));
        self.set_timer(id, TimerKind::Backoff, delay);
        let name = self.name_of(id);
        self.answer(id, Goal::Ready, |_| {
            Err(Refusal::StartFailed { name: name.clone(), reason: ending.to_string(), retry_in: Some(delay) })
        });
        self.notice(Notice::Retrying(id));
    }

    /// Whether a Stopping process without a live leader could be told apart here is the stop's business; this only says where it is.
    pub(super) fn stopping(&self, id: ProcessId) -> Option<&Stopping> {
        match self.state(id) {
            Some(State::Stopping(stopping)) => Some(stopping),
            _ => None,
        }
    }
}

/// Whether the news of an execution fits this state, as long as its run has no main process.
fn awaits_exec(state: &State) -> bool {
    match state {
        State::Starting(starting) => starting.phase == StartPhase::Spawning,
        State::Stopping(stopping) => {
            matches!(stopping.phase, StopPhase::AwaitExec | StopPhase::Killed | StopPhase::Stuck(_))
        }
        _ => false,
    }
}
