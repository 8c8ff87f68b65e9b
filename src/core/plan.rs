//! Making, changing and forgetting processes: one at a time, or a whole plan, all or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backoff::Tally;
use super::event::{Cause, EventKind, HealthStatus};
use super::graph::relations;
use super::ids::{CommandId, Pid, ProcessId};
use super::machine::Machine;
use super::output::Output;
use super::process::{Goal, Last, Origin, Process, State, StopPhase, Stopping, WaitFor, Waiter, Waiting, Why};
use super::reply::{Applied, Done, Refusal, Updated};
use super::shared::Shared;
use super::start::Reach;
use super::status::Want;
use super::timers::{Deadlines, TimerKind};
use crate::spec::schema::{Effect, FieldChange, changed_fields};
use crate::spec::{Plan, PlanError, Problem, Ready, Severity, Spec};

/// What a plan would do with each name.
enum Change {
    Add,
    Same(ProcessId),
    Alter { id: ProcessId, restart: bool },
}

impl Machine {
    // One at a time.

    pub(super) fn create(&mut self, command: CommandId, spec: Spec, start: bool) {
        if self.names.contains_key(spec.name.as_str()) {
            return self.reply(command, Err(Refusal::Exists(spec.name.as_str().into())));
        }
        if let Err(error) = self.validate_with(&spec) {
            return self.reply(command, Err(Refusal::Invalid(error)));
        }
        let cause = self.asked(command);
        let id = self.define(spec, Origin::Runtime, cause.clone());
        self.reply(command, Ok(Done::Created(id)));
        if start {
            self.start_all(&[(id, cause)], Reach::Everything);
        } else {
            self.arm_if_listening(id);
        }
    }

    fn define(&mut self, spec: Spec, origin: Origin, cause: Cause) -> ProcessId {
        let id = self.processes.next_id();
        let name: Arc<str> = spec.name.as_str().into();
        self.names.insert(name.clone(), id);
        let spec = self.share(spec);
        self.processes.push(Process {
            id,
            name,
            spec,
            origin,
            want: Want::Down,
            state: Why::Created.into(),
            deadlines: Deadlines::default(),
            tally: Tally::default(),
            last: Last::default(),
            created_at: self.now.wall,
            since: self.now.wall,
            waiters: Vec::new(),
        });
        self.relations_changed();
        self.emit(id, EventKind::Defined, cause);
        id
    }

    pub(super) fn update(&mut self, command: CommandId, id: ProcessId, spec: Spec, how: (bool, bool)) {
        let (restart, dry_run) = how;
        let Some(p) = self.process(id) else { return self.reply(command, Err(Refusal::NotFound)) };
        if p.origin == Origin::Leaving {
            return self.refuse_state(command, id, "it is being removed");
        }
        if *spec.name != *p.name {
            let problem = Problem {
                severity: Severity::Error,
                file: None,
                line: None,
                process: Some(p.name.to_string()),
                field: Some("name".into()),
                message: format!("a process keeps its name; delete it and create `{}` instead", spec.name),
            };
            return self.reply(command, Err(Refusal::Invalid(PlanError { problems: vec![problem] })));
        }
        if let Err(error) = self.validate_with(&spec) {
            return self.reply(command, Err(Refusal::Invalid(error)));
        }
        let changes = changed_fields(&p.spec, &spec);
        let live = p.state.run().is_some();
        let mut updated = told(&changes, live);
        if dry_run {
            return self.reply(command, Ok(Done::Updated(updated)));
        }
        if let Origin::Plan { replaced } = &p.origin
            && !changes.is_empty()
        {
            let planned = replaced.clone().unwrap_or_else(|| p.spec.clone());
            let same = changed_fields(&planned, &spec).is_empty();
            let replaced = (!same).then_some(planned);
            if let Some(p) = self.processes.get_mut(id) {
                p.origin = Origin::Plan { replaced };
            }
        }
        self.replace_spec(id, spec, &updated, self.asked(command));
        self.relations_changed();
        if restart && !updated.needs_restart.is_empty() {
            updated.restarted = true;
            self.restart(id, self.asked(command));
        }
        self.look_again();
        self.reply(command, Ok(Done::Updated(updated)));
    }

    /// Puts a new spec in force: what is live at once, the rest with the next run.
    fn replace_spec(&mut self, id: ProcessId, spec: Spec, updated: &Updated, cause: Cause) {
        let newer = self.share(spec);
        let live = self.run_spec_after(id, &newer);
        let Some(p) = self.processes.get_mut(id) else { return };
        let had_health = p.state.run().is_some_and(|run| run.spec.health.is_some());
        let closes = !p.spec.listen.is_empty() && newer.listen.is_empty();
        p.spec = newer.clone();
        if let (Some(run), Some(live)) = (p.state.run_mut(), live) {
            run.spec = live;
        }
        let (had_listeners, running) = (p.state.is_armed(), matches!(p.state, State::Running(_)));
        if !updated.fields.is_empty() {
            let (fields, needs_restart) = (updated.fields.clone(), updated.needs_restart.clone());
            self.emit(id, EventKind::Updated { fields, needs_restart }, cause.clone());
        }
        // A run that its health made ready kept a health check that its spec has no more: until now.
        let has_health = self.run_of(id).is_some_and(|run| run.spec.health.is_some());
        if running && (has_health != had_health || updated.fields.iter().any(|field| field.starts_with("health"))) {
            self.health_changed(id, had_health);
        }
        if had_listeners && updated.fields.iter().any(|field| field.starts_with("listen")) {
            self.output(Output::DisarmSockets(id));
            if newer.listen.is_empty() {
                self.rest(id, Why::Stopped(cause.clone()), cause);
            } else {
                self.output(Output::ArmSockets(id, newer.to_arc()));
            }
        }
        if closes {
            self.output(Output::CloseSockets(id));
        }
    }

    /// The spec of the live run once this one is in force: what is live of it, and the rest as it was.
    fn run_spec_after(&mut self, id: ProcessId, newer: &Shared) -> Option<Shared> {
        let p = self.processes.get(id)?;
        let run = p.state.run()?;
        let mut spec = run.spec.with_live_fields_of(newer);
        if matches!(p.state, State::Starting(_)) {
            // What is to make this run ready stays as it was when it started; the next run is made ready by the new.
            spec.ready = run.spec.ready.clone();
            if spec.ready == Ready::Health {
                spec.health = run.spec.health.clone();
            }
        }
        // One that is as the process's is not held, nor recorded, a second time.
        Some(if spec == **newer { newer.clone() } else { self.share(spec) })
    }

    fn health_changed(&mut self, id: ProcessId, had_health: bool) {
        let has_health = self.run_of(id).is_some_and(|run| run.spec.health.is_some());
        if had_health {
            self.end_probes(id);
            self.clear_timer(id, TimerKind::Health);
        }
        if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
            run.health.status = HealthStatus::Unknown;
            run.health.failures = 0;
            run.health.successes = 0;
        }
        if has_health {
            self.begin_health(id);
        }
    }

    pub(super) fn delete(&mut self, command: CommandId, id: ProcessId, force: bool) {
        let Some(p) = self.process(id) else { return self.reply(command, Err(Refusal::NotFound)) };
        match (&p.origin, p.state.is_rest() || p.state.is_armed()) {
            (Origin::Plan { .. }, _) => {
                return self.refuse_state(command, id, "it is part of the configuration; take it out there and apply");
            }
            (_, false) if !force => return self.refuse_state(command, id, "stop it first, or use force"),
            _ => {}
        }
        match self.stuck_pids(id) {
            // It is forgotten should it ever go; nobody waits for that.
            Some((name, pids)) => self.reply(command, Err(Refusal::Stuck { name, pids })),
            None => self.wait_for_deletion(id, command),
        }
        self.leave(id, self.asked(command));
    }

    fn stuck_pids(&self, id: ProcessId) -> Option<(Arc<str>, Vec<Pid>)> {
        match self.process(id).map(|p| (&p.state, &p.name)) {
            Some((State::Stopping(Stopping { phase: StopPhase::Stuck(pids), .. }), name)) => {
                Some((name.clone(), pids.clone()))
            }
            _ => None,
        }
    }

    fn wait_for_deletion(&mut self, id: ProcessId, command: CommandId) {
        if let Some(p) = self.processes.get_mut(id) {
            p.waiters.push(Waiter { command, goal: Goal::Deleted });
        }
    }

    /// Has it forgotten once it is down.
    fn leave(&mut self, id: ProcessId, cause: Cause) {
        let Some(p) = self.processes.get_mut(id) else { return };
        p.origin = Origin::Leaving;
        let at_rest = p.state.is_rest();
        self.supersede(id, Goal::Ready, "a removal");
        self.stop(id, cause);
        if at_rest {
            self.notice(super::propagate::Notice::Forget(id));
        }
    }

    /// It is down and is to leave: nothing of it is kept.
    pub(super) fn forget(&mut self, id: ProcessId) {
        let leaving = self.process(id).is_some_and(|p| p.origin == Origin::Leaving && p.state.is_rest());
        if !leaving {
            return;
        }
        self.forget_alarm(id);
        self.clear_timers(id);
        self.answer(id, Goal::Deleted, |_| Ok(Done::Deleted));
        self.answer(id, Goal::Down, |state| Ok(Done::State(state)));
        self.supersede(id, Goal::Ready, "a removal");
        self.supersede(id, Goal::Reloaded, "a removal");
        self.emit(id, EventKind::Deleted, Cause::Progress);
        if let Some(p) = self.processes.remove(id) {
            if !p.spec.listen.is_empty() {
                self.output(Output::CloseSockets(id));
            }
            if self.names.get(&p.name) == Some(&id) {
                self.names.remove(&p.name);
            }
        }
        self.relations_changed();
    }

    // A whole plan.

    /// What applying this plan would do; nothing is changed.
    pub fn diff(&self, plan: &Plan) -> Result<Applied, PlanError> {
        self.validate_plan(plan)?;
        let mut applied = Applied::default();
        for (name, change) in self.changes(plan) {
            match change {
                Change::Add => applied.added.push(name),
                Change::Same(_) => applied.unchanged.push(name),
                Change::Alter { restart: true, .. } => applied.restarted.push(name),
                Change::Alter { restart: false, .. } => applied.updated.push(name),
            }
        }
        applied.removed = self.removed(plan).into_iter().map(|id| self.name_of(id)).collect();
        applied.removed.sort_unstable();
        Ok(applied)
    }

    fn changes(&self, plan: &Plan) -> Vec<(Arc<str>, Change)> {
        let mut changes = Vec::with_capacity(plan.len());
        for spec in plan.specs() {
            let change = match self.names.get(spec.name.as_str()).and_then(|id| self.process(*id)) {
                None => Change::Add,
                Some(p) => {
                    let fields = changed_fields(&p.spec, spec);
                    let leaving = p.origin == Origin::Leaving;
                    let restart = p.state.run().is_some()
                        && (leaving || fields.iter().any(|field| field.effect == Effect::Restart));
                    if fields.is_empty() && !leaving { Change::Same(p.id) } else { Change::Alter { id: p.id, restart } }
                }
            };
            changes.push((spec.name.as_str().into(), change));
        }
        changes
    }

    fn removed(&self, plan: &Plan) -> Vec<ProcessId> {
        self.processes
            .iter()
            .filter(|p| matches!(p.origin, Origin::Plan { .. }) && plan.get(&p.name).is_none())
            .map(|p| p.id)
            .collect()
    }

    pub(super) fn apply(&mut self, command: CommandId, plan: Plan) {
        let applied = match self.diff(&plan) {
            Ok(applied) => applied,
            Err(error) => {
                self.emit_instance(EventKind::Refused { reason: error.to_string() }, self.asked(command));
                return self.reply(command, Err(Refusal::Invalid(error)));
            }
        };
        let changes = self.changes(&plan);
        let removed = self.removed(&plan);
        self.generation = plan.generation;
        self.askers.applied = self.askers.of(&self.asked(command));
        let mut specs: BTreeMap<String, Spec> = plan.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let (mut starts, mut restarts, mut armed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, change) in changes {
            let Some(spec) = specs.remove(&*name) else { continue };
            let auto_start = spec.auto_start;
            match change {
                Change::Add => {
                    let id = self.define(spec, Origin::Plan { replaced: None }, Cause::Apply);
                    if auto_start { starts.push((id, Cause::AutoStart)) } else { armed.push(id) }
                }
                Change::Same(id) => {
                    // The functions of the new generation take the place of the old ones'.
                    self.replace_spec(id, spec, &Updated::default(), Cause::Apply);
                    self.planned(id);
                }
                Change::Alter { id, restart } => {
                    let first = self.process(id).is_some_and(|p| {
                        p.origin == Origin::Leaving || (auto_start && !p.spec.auto_start && p.last.run.is_none())
                    });
                    let changes = self.process(id).map(|p| changed_fields(&p.spec, &spec)).unwrap_or_default();
                    let updated = told(&changes, restart);
                    self.replace_spec(id, spec, &updated, Cause::Apply);
                    self.planned(id);
                    if restart {
                        restarts.push((id, Cause::Apply));
                    } else if first && auto_start {
                        starts.push((id, Cause::AutoStart));
                    }
                }
            }
        }
        self.relations_changed();
        for id in removed {
            self.leave(id, Cause::Apply);
        }
        let counts = (applied.added.len(), applied.removed.len(), applied.updated.len() + applied.restarted.len());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.emit_instance(
            EventKind::Applied { added: count(counts.0), removed: count(counts.1), changed: count(counts.2) },
            self.asked(command),
        );
        self.reply(command, Ok(Done::Applied(applied)));
        for id in armed {
            self.arm_if_listening(id);
        }
        if !restarts.is_empty() {
            let wanted: Vec<_> = restarts.into_iter().filter(|(id, _)| self.is_up_or_returning(*id)).collect();
            self.stop_with_dependents(wanted, true);
        }
        self.start_all(&starts, Reach::Everything);
        self.look_again();
    }

    /// The relations changed: whoever waits, to start or to stop, waits for what they say now.
    fn look_again(&mut self) {
        let waiting: Vec<(ProcessId, Cause)> = self
            .processes
            .iter()
            .filter_map(|p| match &p.state {
                State::Waiting(Waiting { start, on: WaitFor::Holds(_) }) => Some((p.id, start.cause.clone())),
                _ => None,
            })
            .collect();
        self.start_all(&waiting, Reach::Needs);
        for (id, _) in waiting {
            self.stop_conflicts(id);
            self.hold_or_launch(id);
        }
        let stopping: Vec<ProcessId> = self
            .processes
            .iter()
            .filter(|p| matches!(&p.state, State::Stopping(Stopping { phase: StopPhase::Ordered(_), .. })))
            .map(|p| p.id)
            .collect();
        for id in stopping {
            self.order_stop(id);
        }
    }

    fn is_up_or_returning(&self, id: ProcessId) -> bool {
        self.process(id).is_some_and(|p| p.state.run().is_some())
    }

    /// It is as the plan says: no override, and whoever made it, it is the plan's now.
    fn planned(&mut self, id: ProcessId) {
        if let Some(p) = self.processes.get_mut(id) {
            if p.origin == Origin::Leaving {
                p.want = Want::Up;
            }
            p.origin = Origin::Plan { replaced: None };
        }
        self.supersede(id, Goal::Deleted, "a plan that has it");
    }

    // Validation.

    /// Everything that would be defined were this spec among what is.
    fn validate_with(&self, spec: &Spec) -> Result<(), PlanError> {
        let own = spec.validate();
        if own.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(PlanError { problems: own });
        }
        if !self.touches_others(spec) {
            return Ok(());
        }
        let mut plan = Plan::new();
        for p in self.processes.iter().filter(|p| *p.name != *spec.name && p.origin != Origin::Leaving) {
            // Names are unique in the machine, so none is refused.
            let _ = plan.insert(Spec::clone(&p.spec));
        }
        let _ = plan.insert(spec.clone());
        refuse_errors(plan.validate(), Some(spec.name.as_str()))
    }

    /// Whether this spec relates to others, or others to it: else it cannot make a plan wrong that was right.
    fn touches_others(&self, spec: &Spec) -> bool {
        relations(spec).next().is_some()
            || self.processes.iter().any(|p| relations(&p.spec).any(|name| *name == spec.name))
    }

    fn validate_plan(&self, plan: &Plan) -> Result<(), PlanError> {
        let mut all = plan.clone();
        let mut problems = Vec::new();
        for p in self.processes.iter().filter(|p| p.origin == Origin::Runtime) {
            if let Some(spec) = plan.get(&p.name) {
                problems.push(Problem {
                    severity: Severity::Error,
                    file: spec.source.file.clone(),
                    line: spec.source.line,
                    process: Some(spec.name.clone()),
                    field: None,
                    message: "a process made at run time has this name; delete that one first".into(),
                });
            } else {
                let _ = all.insert(Spec::clone(&p.spec));
            }
        }
        problems.extend(all.validate());
        refuse_errors(problems, None)
    }
}

/// Refuses when there is an error among the problems; when `about` is given, only errors about that process count as its own, but any refuses.
fn refuse_errors(problems: Vec<Problem>, about: Option<&str>) -> Result<(), PlanError> {
    if !problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Ok(());
    }
    let problems = problems
        .into_iter()
        .filter(|p| p.severity == Severity::Error || about.is_none_or(|name| p.process.as_deref() == Some(name)))
        .collect();
    Err(PlanError { problems })
}

fn told(changes: &[FieldChange], live: bool) -> Updated {
    Updated {
        fields: changes.iter().map(|change| change.path.clone()).collect(),
        needs_restart: changes
            .iter()
            .filter(|change| live && change.effect == Effect::Restart)
            .map(|change| change.path.clone())
            .collect(),
        restarted: false,
    }
}
