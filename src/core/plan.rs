//! Making, changing and forgetting processes: one at a time, or a whole plan, all or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backoff::Tally;
use super::diff::{Change, ChangeKind};
use super::event::{Cause, EventKind, HealthStatus};
use super::ids::{CommandId, ProcessId};
use super::machine::Machine;
use super::output::Output;
use super::process::{
    Backoff, Due, Goal, Last, Origin, Process, StartPhase, Starting, State, StopPhase, Stopping, WaitFor, Waiter,
    Waiting, Why,
};
use super::reply::{Applied, Done, Refusal, Updated};
use super::shared::Shared;
use super::start::Reach;
use super::status::Want;
use super::timers::{Deadlines, TimerKind};
use crate::spec::schema::changed_fields;
use crate::spec::{Limits, Plan, PlanError, Problem, Ready, Severity, Spec};

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

    pub(super) fn define(&mut self, spec: Spec, origin: Origin, cause: Cause) -> ProcessId {
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
            accepted: 0,
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
        if p.is_instance() {
            return self.refuse_state(
                command,
                id,
                "it is as its process was when the connection came; change that one",
            );
        }
        let lasting = if *spec.name != *p.name {
            Some(("name", format!("a process keeps its name; delete it and create `{}` instead", spec.name)))
        } else if spec.task != p.spec.task {
            Some(("command", "a process with a command does not become a task, nor the other way round".to_owned()))
        } else {
            None
        };
        if let Some((field, message)) = lasting {
            let problem = Problem {
                severity: Severity::Error,
                file: None,
                line: None,
                process: Some(p.name.to_string()),
                field: Some(field.into()),
                message,
            };
            return self.reply(command, Err(Refusal::Invalid(PlanError { problems: vec![problem] })));
        }
        if let Err(error) = self.validate_with(&spec) {
            return self.reply(command, Err(Refusal::Invalid(error)));
        }
        let mut change = self.change(p, &spec);
        let planned = match &p.origin {
            Origin::Plan { replaced } => Some(replaced.clone().unwrap_or_else(|| p.spec.clone())),
            Origin::Runtime | Origin::Instance { .. } | Origin::Leaving => None,
        };
        let planned = planned.filter(|planned| !changed_fields(planned, &spec).is_empty());
        change.overridden = planned.is_some();
        let restart = restart && !change.needs_restart().is_empty();
        if restart {
            change.kind = ChangeKind::Restarted;
            self.find_along(std::slice::from_mut(&mut change), |p| &p.spec);
        }
        if dry_run {
            return self.reply(command, Ok(Done::Updated(Updated { change, restarted: false })));
        }
        if let Some(p) = self.processes.get_mut(id)
            && let Origin::Plan { replaced } = &mut p.origin
        {
            *replaced = planned;
        }
        self.replace_spec(id, spec, &change, self.asked(command));
        self.relations_changed();
        if restart {
            self.restart(id, self.asked(command));
        } else {
            self.reload_if_due(id, self.asked(command));
        }
        self.look_again();
        self.reply(command, Ok(Done::Updated(Updated { change, restarted: restart })));
    }

    /// Puts a new spec in force: what is live at once, the rest with the next run.
    fn replace_spec(&mut self, id: ProcessId, spec: Spec, change: &Change, cause: Cause) {
        let newer = self.share(spec);
        let live = self.run_spec_after(id, &newer);
        let Some(p) = self.processes.get_mut(id) else { return };
        let had_health = p.state.run().is_some_and(|run| run.spec.health.is_some());
        let limits = p.state.run().map(|run| run.spec.limits.clone());
        let closes = !p.spec.listen.is_empty() && newer.listen.is_empty();
        p.spec = newer.clone();
        if let (Some(run), Some(live)) = (p.state.run_mut(), live) {
            run.spec = live;
        }
        let tried = matches!(&p.state, State::Backoff(Backoff { due: Due::Listen, .. }));
        let (listened, running) = (tried || p.state.listens(), matches!(p.state, State::Running(_)));
        if !change.fields.is_empty() {
            let (fields, needs_restart) = (change.paths(), change.needs_restart());
            self.emit(id, EventKind::Updated { fields, needs_restart }, cause.clone());
        }
        let changed = |key: &str| change.fields.iter().any(|field| field.path.starts_with(key));
        if changed("start_timeout")
            && let Some(State::Starting(Starting { phase, .. })) = self.state(id)
            && !matches!(phase, StartPhase::AfterStart(_))
        {
            // From now on: when the start began is known to nobody but the timer that it had.
            self.clear_timer(id, TimerKind::Start);
            if let Some(timeout) = newer.start_timeout {
                self.set_timer(id, TimerKind::Start, timeout);
            }
        }
        // A run that its health made ready kept a health check that its spec has no more: until now.
        let has_health = self.run_of(id).is_some_and(|run| run.spec.health.is_some());
        if running && (has_health != had_health || changed("health")) {
            self.health_changed(id, had_health);
        }
        if listened && changed("listen") {
            self.clear_timer(id, TimerKind::Backoff);
            self.output(Output::DisarmSockets(id));
            if newer.listen.is_empty() {
                if let Some(p) = self.processes.get_mut(id) {
                    p.want = Want::Down;
                }
                self.rest(id, Why::Stopped(cause.clone()), cause.clone());
            } else {
                let fallback = self.process(id).map_or(Why::Created, Process::rest_why);
                self.listen(id, fallback);
            }
        } else if changed("listen") {
            self.arm_if_listening(id);
        }
        self.limits_changed(id, limits);
        if closes {
            self.output(Output::CloseSockets(id));
        }
        if changed("limits") {
            self.limit_instances(id, &cause);
        }
    }

    /// Gives the instances of a process the limits that it has now: all else of them is as it was when their connection came.
    fn limit_instances(&mut self, of: ProcessId, cause: &Cause) {
        let Some(limits) = self.process(of).map(|p| p.spec.limits.clone()) else { return };
        for id in self.instances(of) {
            let Some(p) = self.process(id) else { continue };
            let spec = Spec { limits: limits.clone(), ..Spec::clone(&p.spec) };
            let change = self.change(p, &spec);
            self.replace_spec(id, spec, &change, cause.clone());
        }
    }

    /// Puts the limits that the live run has now in force, where they are others than these.
    fn limits_changed(&mut self, id: ProcessId, before: Option<Limits>) {
        let (Some(run), Some(before)) = (self.run_of(id), before) else { return };
        let limits = run.spec.limits.clone();
        // The kernel's choice when memory runs out is a matter of each process, made when it is executed.
        if limits != (Limits { oom_score_adj: limits.oom_score_adj, ..before }) {
            let run = run.id;
            self.output(Output::SetLimits { run, limits });
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
        if newer.reload_on_change.is_none() {
            // There is nothing that it would have to be told to read.
            spec.reload_on_change = None;
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
        match (&p.origin, (p.state.is_rest() || p.state.listens()) && !self.has_instances(id)) {
            (Origin::Plan { .. }, _) => {
                return self.refuse_state(command, id, "it is part of the configuration; take it out there and apply");
            }
            (_, false) if !force => return self.refuse_state(command, id, "stop it first, or use force"),
            _ => {}
        }
        match self.who_is_stuck(id) {
            // It is forgotten should it ever go; nobody waits for that.
            Some((name, pids)) => self.reply(command, Err(Refusal::Stuck { name, pids })),
            None => self.wait_for_deletion(id, command),
        }
        self.leave(id, self.asked(command));
    }

    fn wait_for_deletion(&mut self, id: ProcessId, command: CommandId) {
        if let Some(p) = self.processes.get_mut(id) {
            p.waiters.push(Waiter { command, goal: Goal::Deleted });
        }
    }

    /// Has it forgotten once it is down.
    fn leave(&mut self, id: ProcessId, cause: Cause) {
        let Some(p) = self.processes.get_mut(id) else { return };
        if !p.is_instance() {
            p.origin = Origin::Leaving;
        }
        let at_rest = p.state.is_rest();
        self.supersede(id, Goal::Ready, "a removal");
        self.stop(id, cause);
        if at_rest {
            self.notice(super::propagate::Notice::Forget(id));
        }
    }

    /// It is down and is to leave: nothing of it is kept.
    pub(super) fn forget(&mut self, id: ProcessId) {
        if !self.process(id).is_some_and(Process::is_over) || self.has_instances(id) {
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
            self.relations_changed();
            if let Origin::Instance { of, .. } = p.origin {
                self.instance_over(of);
            }
        }
    }

    // A whole plan.

    pub(super) fn apply(&mut self, command: CommandId, plan: Plan) {
        let changes = match self.diff(&plan) {
            Ok(changes) => changes,
            Err(error) => {
                self.emit_instance(EventKind::Refused { reason: error.to_string() }, self.asked(command));
                return self.reply(command, Err(Refusal::Invalid(error)));
            }
        };
        self.generation = plan.generation;
        self.askers.applied = self.askers.of(&self.asked(command));
        let mut specs: BTreeMap<String, Spec> = plan.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let (mut starts, mut restarts, mut reloads) = (Vec::new(), Vec::new(), Vec::new());
        let (mut armed, mut returning, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for change in &changes {
            let id = self.names.get(&change.name).copied();
            match (specs.remove(&*change.name), id) {
                (Some(spec), None) => {
                    let auto_start = spec.auto_start;
                    let id = self.define(spec, Origin::Plan { replaced: None }, Cause::Apply);
                    if auto_start { starts.push((id, Cause::AutoStart)) } else { armed.push(id) }
                }
                (Some(spec), Some(id)) => {
                    let begins = spec.auto_start && self.process(id).is_some_and(|p| begins_by_itself(p, change));
                    let comes_back = !begins && self.process(id).is_some_and(Process::is_over);
                    // Also where nothing differs: the functions of the new generation take the place of the old ones'.
                    self.replace_spec(id, spec, change, Cause::Apply);
                    self.planned(id);
                    if comes_back {
                        returning.push(id);
                    }
                    if change.kind == ChangeKind::Restarted {
                        restarts.push((id, Cause::Apply));
                    } else {
                        reloads.push(id);
                    }
                    if begins && change.kind != ChangeKind::Restarted {
                        starts.push((id, Cause::AutoStart));
                    }
                }
                (None, Some(id)) => removed.push(id),
                (None, None) => {}
            }
        }
        self.relations_changed();
        for id in removed {
            self.leave(id, Cause::Apply);
        }
        let applied = Applied { changes };
        let count = |kind| u32::try_from(applied.of(kind).count()).unwrap_or(u32::MAX);
        let changed = count(ChangeKind::Updated).saturating_add(count(ChangeKind::Restarted));
        let (added, removed) = (count(ChangeKind::Added), count(ChangeKind::Removed));
        self.emit_instance(EventKind::Applied { added, removed, changed }, self.asked(command));
        self.reply(command, Ok(Done::Applied(applied)));
        for id in armed {
            self.arm_if_listening(id);
        }
        for id in returning {
            // Nothing of it was left but its instances.
            if self.process(id).is_some_and(|p| !p.spec.listen.is_empty()) {
                self.listen(id, Why::Created);
            }
        }
        if !restarts.is_empty() {
            self.stop_with_dependents(restarts, true);
        }
        for id in reloads {
            self.reload_if_due(id, Cause::Apply);
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

    /// It is as the plan says: no override, and whoever made it, it is the plan's now.
    fn planned(&mut self, id: ProcessId) {
        if let Some(p) = self.processes.get_mut(id) {
            if p.origin == Origin::Leaving && !p.state.is_rest() {
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
        for p in self
            .processes
            .iter()
            .filter(|p| *p.name != *spec.name && !matches!(p.origin, Origin::Leaving | Origin::Instance { .. }))
        {
            // Names are unique in the machine, so none is refused.
            let _ = plan.insert(Spec::clone(&p.spec));
        }
        let _ = plan.insert(spec.clone());
        refuse_errors(plan.validate(), Some(spec.name.as_str()))
    }

    /// Whether this spec relates to others, or others to it: else it cannot make a plan wrong that was right.
    fn touches_others(&self, spec: &Spec) -> bool {
        spec.relations().next().is_some()
            || !spec.listen.is_empty()
            || self.processes.iter().any(|p| p.spec.relations().any(|name| name == spec.name))
    }

    pub(super) fn validate_plan(&self, plan: &Plan) -> Result<(), PlanError> {
        let mut all = plan.clone();
        let mut problems = Vec::new();
        for p in self.processes.iter() {
            let taken = match &p.origin {
                Origin::Runtime => "a process made at run time has this name; delete that one first".to_owned(),
                Origin::Instance { of, .. } => {
                    format!("it is the name of an instance of `{}`; take another", self.name_of(*of))
                }
                Origin::Plan { .. } | Origin::Leaving => continue,
            };
            if let Some(spec) = plan.get(&p.name) {
                problems.push(Problem {
                    severity: Severity::Error,
                    file: spec.source.file.clone(),
                    line: spec.source.line,
                    process: Some(spec.name.clone()),
                    field: None,
                    message: taken,
                });
            } else if p.origin == Origin::Runtime {
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

/// Whether an apply starts a process that it does not restart: one that was leaving, and one that is to start by itself from now on.
fn begins_by_itself(p: &Process, change: &Change) -> bool {
    let changed = change.kind != ChangeKind::Unchanged;
    p.origin == Origin::Leaving || (changed && !p.spec.auto_start && p.last.run.is_none())
}
