//! The rules seen from outside: what no machine may ever do, judged by its outputs and the kernel's truth alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kernel::{Kernel, Run, Stage};
use super::reasons::Told;
use crate::core::{
    Cause, Command, CommandId, Done, Event, EventKind, ExitStatus, HookKind, Machine, Output, ProcessId, Reply, RunId,
    StateName, Time,
};
use crate::spec::{Limits, ProcessType, Spec, StopMode};

/// A process as its events tell it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) name: Arc<str>,
    pub(super) state: StateName,
    /// When, in steps, it last became ready.
    pub(super) ready_at: u64,
    /// When, in steps, its start was last begun.
    pub(super) begun_at: u64,
    /// Its last start was skipped.
    pub(super) skipped: bool,
    /// Its tree survived SIGKILL, and lives on.
    pub(super) stuck: bool,
    /// It is being stopped on purpose, in an order: not for what became of it.
    pub(super) in_order: bool,
    /// It is being stopped because of the shutdown, and was not being stopped before.
    pub(super) for_shutdown: bool,
    /// Its stop has begun to be felt: what follows is the rest of its ladder.
    pub(super) touched: bool,
    /// When, in steps, it last began to be stopped.
    pub(super) stopped_at: u64,
    /// The process whose connection it was made for.
    pub(super) instance_of: Option<ProcessId>,
    /// For whose sake it is being stopped, if for another's.
    pub(super) for_sake_of: Option<Arc<str>>,
}

/// What a command wants of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Up,
    Down,
}

/// A command and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) goal: Option<(Goal, ProcessId)>,
    pub(super) at: Time,
    pub(super) reply: Option<Reply>,
    pub(super) abandoned: bool,
}

/// What the outside has seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    pub(super) step: u64,
    /// Changes of state so far.
    pub(super) changes: u64,
    pub(super) sequence: Option<u64>,
    pub(super) views: BTreeMap<ProcessId, View>,
    pub(super) asked: BTreeMap<CommandId, Asked>,
    pub(super) touched: BTreeSet<ProcessId>,
    /// Processes whose stop mode was `process` at some time: what their main process leaves behind is left alone.
    lenient: BTreeSet<ProcessId>,
    /// What explanations may speak of.
    pub(super) told: Told,
    /// Runs whose execution was told.
    executed: BTreeSet<RunId>,
    /// Runs that the next supervisor prepares once more: they were judged before, with these specs.
    pub(super) prepared_before: BTreeMap<RunId, Arc<Spec>>,
    /// The run that a person has just sent a signal to.
    by_hand: Option<RunId>,
    pub(super) shutting_down: Option<Time>,
    pub(super) escalated: bool,
    pub(super) finished: bool,
}

/// What is known when an output is judged.
pub(super) struct Scene<'a> {
    pub(super) now: Time,
    pub(super) machine: &'a Machine,
    pub(super) kernel: &'a Kernel,
}

impl Watch {
    /// Somebody asks for something.
    pub(super) fn ask(&mut self, at: Time, id: CommandId, command: &Command) {
        // A second shutdown, or a second stop, escalates: order gives way.
        self.escalated |= match command {
            Command::Shutdown => self.shutting_down.is_some(),
            Command::Stop(process) => self.views.get(process).is_some_and(|view| view.state == StateName::Stopping),
            _ => false,
        };
        let what = match command {
            Command::Create { spec, .. } => format!("create `{}`", spec.name),
            Command::Apply(plan) => format!("apply {} specs", plan.len()),
            Command::Update { process, .. } => format!("update {process}"),
            other => format!("{other:?}"),
        };
        let goal = match command {
            Command::Start(process) | Command::Restart(process) => Some((Goal::Up, *process)),
            Command::Stop(process) => Some((Goal::Down, *process)),
            _ => None,
        };
        self.asked.insert(id, Asked { what, goal, at, reply: None, abandoned: false });
    }

    pub(super) fn abandon(&mut self, id: CommandId) {
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.abandoned = true;
        }
    }

    /// The supervisor died, and with it all connections to it.
    pub(super) fn clients_gone(&mut self) {
        self.by_hand = None;
        for asked in self.asked.values_mut().filter(|asked| asked.reply.is_none()) {
            asked.abandoned = true;
        }
    }

    /// Commands that wait for their answers.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (&CommandId, &Asked)> {
        self.asked.iter().filter(|(_, asked)| asked.reply.is_none() && !asked.abandoned)
    }

    /// Judges an output. The kernel has not carried it out yet.
    pub(super) fn judge(&mut self, scene: &Scene<'_>, output: &Output) -> Result<(), String> {
        // Whoever still asks something is told that it is over; nothing else follows.
        if self.finished && !matches!(output, Output::Reply(..)) {
            return Err("an output after Finished".into());
        }
        match output {
            Output::Prepare { run, .. } if self.prepared_before.contains_key(run) => Ok(()),
            Output::Prepare { process, spec, connection, .. } => {
                let is_instance = self.views.get(process).is_some_and(|view| view.instance_of.is_some());
                if is_instance != connection.is_some() || spec.accepts() {
                    return Err(format!("`{}` is prepared with the connection {connection:?}", spec.name));
                }
                if self.shutting_down.is_some() {
                    return Err(format!("`{}` is prepared although the shutdown began", spec.name));
                }
                self.judge_requirements(scene, *process, spec)?;
                self.judge_conflicts(scene, *process, spec)
            }
            Output::Spawn(run) => self.judge_spawn(scene, *run),
            Output::Release(run) => match scene.kernel.runs.get(run) {
                Some(it) if !it.members.is_empty() && !self.leaves_others_alone(it) => {
                    Err(format!("Release({run}) while {:?} are alive", it.members))
                }
                _ => Ok(()),
            },
            // A signal that a person sends asks for no order.
            Output::Signal { run, .. } if self.by_hand.take() == Some(*run) => Ok(()),
            Output::Signal { run, .. } | Output::KillTree(run) => self.judge_order(scene, *run),
            Output::RunHook { run, kind: HookKind::StopCommand, .. } => self.judge_order(scene, *run),
            Output::Reply(id, reply) => self.judge_reply(scene, *id, reply),
            Output::Emit(event) => self.judge_event(scene, event),
            Output::Finished { stuck, .. } => {
                self.finished = true;
                let alive =
                    scene.kernel.runs.values().find(|it| it.is_live() && !it.released && !stuck.contains(&it.process));
                match (self.shutting_down, alive) {
                    (None, _) => Err("Finished without a shutdown".into()),
                    (_, Some(it)) => {
                        Err(format!("Finished while `{}` is alive and not said to be stuck", it.spec.name))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn judge_requirements(&self, scene: &Scene<'_>, process: ProcessId, spec: &Spec) -> Result<(), String> {
        let begun_at = self.views.get(&process).map_or(0, |view| view.begun_at);
        let hard = spec.requires.iter().map(|name| (name, false)).chain(spec.binds_to.iter().map(|name| (name, true)));
        for (name, bound) in hard {
            let Some(other) = scene.machine.find(name) else { continue };
            let (Some(view), Some(other_spec)) = (self.views.get(&other), scene.machine.spec(other)) else { continue };
            if !ordered_after(spec, &other_spec) {
                continue;
            }
            // What ended with success has done what it was needed for, unless one binds to it; what listens was there once armed.
            let up = view.state == StateName::Running
                || (view.state == StateName::Exited && !bound)
                || (view.state == StateName::Exited && other_spec.process_type == ProcessType::Oneshot)
                || !other_spec.listen.is_empty();
            if up || (!bound && (view.skipped || view.ready_at > begun_at)) {
                continue;
            }
            let word = if bound { "binds to" } else { "requires" };
            return Err(format!("`{}` is prepared while `{name}`, which it {word}, is {}", spec.name, view.state));
        }
        Ok(())
    }

    /// By the specs of now, nothing lives that conflicts with what is about to be started.
    fn judge_conflicts(&self, scene: &Scene<'_>, process: ProcessId, spec: &Spec) -> Result<(), String> {
        for theirs in scene.kernel.runs.values().filter(|it| it.process != process && it.is_live() && !it.released) {
            let Some(their_spec) = scene.machine.spec(theirs.process) else { continue };
            if conflict(spec, &their_spec) && !self.leaves_others_alone(theirs) {
                return Err(format!("`{}` is prepared while `{}`, its conflict, is alive", spec.name, their_spec.name));
            }
        }
        Ok(())
    }

    fn judge_spawn(&self, scene: &Scene<'_>, run: RunId) -> Result<(), String> {
        let Some(it) = scene.kernel.runs.get(&run) else { return Ok(()) };
        if self.shutting_down.is_some() {
            return Err(format!("`{}` is spawned although the shutdown began", it.spec.name));
        }
        for (other, theirs) in scene.kernel.runs.iter().filter(|(id, it)| **id != run && it.is_live() && !it.released) {
            if theirs.process == it.process {
                return Err(format!("{run} of `{}` is spawned while {other} is alive", it.spec.name));
            }
            // By the specs both were prepared with, and still: a plan that makes two live ones conflict ends neither.
            let now = (scene.machine.spec(it.process), scene.machine.spec(theirs.process));
            let still = matches!(now, (Some(mine), Some(other)) if conflict(&mine, &other));
            let prepared_with = self.prepared_before.get(&run).unwrap_or(&it.spec);
            if still && conflict(prepared_with, &theirs.spec) && !self.leaves_others_alone(theirs) {
                return Err(format!(
                    "`{}` is spawned while `{}`, its conflict, is alive",
                    it.spec.name, theirs.spec.name
                ));
            }
        }
        Ok(())
    }

    /// Nothing is ended in a shutdown while what is ordered after it lives, nor in a stop while what goes for its sake does.
    fn judge_order(&mut self, scene: &Scene<'_>, run: RunId) -> Result<(), String> {
        if self.escalated {
            return Ok(());
        }
        let Some(it) = scene.kernel.runs.get(&run) else { return Ok(()) };
        // Nobody leans on a child that is not known to be executed yet.
        let known = it.stage == Stage::Executed && it.executed_told < scene.now;
        let Some(view) = self.views.get_mut(&it.process).filter(|_| known) else { return Ok(()) };
        if !view.in_order || std::mem::replace(&mut view.touched, true) {
            return Ok(());
        }
        match scene.machine.spec(it.process) {
            Some(spec) => self.later_ones_are_gone(scene, it.process, &spec),
            None => Ok(()),
        }
    }

    fn later_ones_are_gone(&self, scene: &Scene<'_>, process: ProcessId, spec: &Spec) -> Result<(), String> {
        for theirs in
            scene.kernel.runs.values().filter(|other| other.process != process && other.is_live() && !other.released)
        {
            let (Some(mine), Some(other)) = (self.views.get(&process), self.views.get(&theirs.process)) else {
                continue;
            };
            let Some(their_spec) = scene.machine.spec(theirs.process) else { continue };
            let stuck = other.stuck;
            // In a shutdown everything goes in its order; in a stop, what goes for its sake goes before it. Whoever joins
            // a stop that is under way does not hold it up.
            let for_its_sake = other.state == StateName::Stopping
                && other.stopped_at <= mine.stopped_at
                && other.for_sake_of.as_deref() == Some(spec.name.as_str());
            let concerned = mine.for_shutdown || for_its_sake;
            if concerned && !stuck && !self.leaves_others_alone(theirs) && ordered_after(&their_spec, spec) {
                return Err(format!(
                    "`{}` is ended while `{}`, which is ordered after it, is alive",
                    spec.name, theirs.spec.name
                ));
            }
        }
        Ok(())
    }

    fn judge_reply(&mut self, scene: &Scene<'_>, id: CommandId, reply: &Reply) -> Result<(), String> {
        self.judge_claim(scene, id, reply)?;
        let Some(asked) = self.asked.get_mut(&id) else { return Err(format!("a reply to {id}, which nobody asked")) };
        if asked.abandoned {
            return Err(format!("a reply to {id} ({}), which was abandoned", asked.what));
        }
        match asked.reply.replace(reply.clone()) {
            Some(first) => Err(format!("a second reply to {id} ({}): {first:?}, then {reply:?}", asked.what)),
            None => Ok(()),
        }
    }

    /// A start that is said to be done is up, a stop that is said to be done has left nothing alive.
    fn judge_claim(&self, scene: &Scene<'_>, id: CommandId, reply: &Reply) -> Result<(), String> {
        let goal = self.asked.get(&id).and_then(|asked| asked.goal);
        let (Some((goal, process)), Ok(Done::State(claimed))) = (goal, reply) else { return Ok(()) };
        let Some(view) = self.views.get(&process) else { return Ok(()) };
        let name = &view.name;
        match goal {
            Goal::Up if *claimed == StateName::Waiting && view.state == StateName::Waiting => {
                match scene.machine.spec(process) {
                    Some(spec) if spec.accepts() => Ok(()),
                    _ => Err(format!("{id}, a start of `{name}`, is done, and `{name}` waits")),
                }
            }
            Goal::Up if !matches!(claimed, StateName::Running | StateName::Exited) => {
                Err(format!("{id}, a start of `{name}`, is done and claims that it is {claimed}"))
            }
            Goal::Up if *claimed == StateName::Running && view.state != StateName::Running => {
                Err(format!("{id}, a start of `{name}`, is done, but `{name}` is {}", view.state))
            }
            Goal::Down => {
                let of = |it: &Run| self.views.get(&it.process).and_then(|view| view.instance_of);
                let alive = |it: &&Run| {
                    (it.process == process || of(it) == Some(process)) && it.is_live() && !self.leaves_others_alone(it)
                };
                match scene.kernel.runs.values().find(alive) {
                    Some(it) => Err(format!("{id}, a stop of `{name}`, is done, but {:?} are alive", it.members)),
                    None => Ok(()),
                }
            }
            Goal::Up => Ok(()),
        }
    }

    fn judge_event(&mut self, scene: &Scene<'_>, event: &Event) -> Result<(), String> {
        if let Some(last) = self.sequence.replace(event.sequence).filter(|last| last + 1 != event.sequence) {
            return Err(format!("event {} follows event {last}", event.sequence));
        }
        self.told.note(event);
        match &event.kind {
            EventKind::Defined => return self.define(scene, event),
            EventKind::ShuttingDown => self.shutting_down = Some(scene.now),
            _ => {}
        }
        let Some(process) = event.process else { return Ok(()) };
        self.touched.insert(process);
        if scene.machine.spec(process).is_some_and(|spec| spec.stop.mode == StopMode::Process) {
            self.lenient.insert(process);
        }
        let step = self.step;
        let Some(view) = self.views.get_mut(&process) else {
            return Err(format!("an event of {process}, which is not defined"));
        };
        match &event.kind {
            EventKind::Deleted => {
                self.views.remove(&process);
            }
            EventKind::Signalled { .. } if matches!(event.cause, Cause::Command(_)) => self.by_hand = event.run,
            EventKind::Executed { .. } if !event.run.is_some_and(|run| self.executed.insert(run)) => {
                return Err(format!("{:?} of `{}` is executed a second time", event.run, view.name));
            }
            EventKind::ProcessExited { pid, status } => {
                let run = event.run.and_then(|run| scene.kernel.runs.get(&run));
                let lost = run.is_some_and(|it| it.statuses_lost && *status == ExitStatus::Unknown);
                let truth = run.and_then(|it| it.ended.get(pid));
                if let Some(truth) = truth.filter(|truth| **truth != *status && !lost) {
                    return Err(format!("{pid} of `{}` is said to have ended as {status:?}: {truth:?}", view.name));
                }
            }
            EventKind::Skipped { .. } => view.skipped = true,
            EventKind::Stuck { .. } => view.stuck = true,
            EventKind::State { from, to, .. } => {
                if *from != view.state {
                    return Err(format!("`{}` goes from {from} to {to}, but it was {}", view.name, view.state));
                }
                if !legal(*from, *to) {
                    return Err(format!("`{}` goes from {from} to {to}, which no process may", view.name));
                }
                let at_rest = !matches!(from, StateName::Waiting | StateName::Starting);
                if at_rest && matches!(to, StateName::Waiting | StateName::Starting) {
                    view.begun_at = step;
                    view.skipped = false;
                }
                if matches!((from, to), (_, StateName::Running) | (StateName::Starting, StateName::Exited)) {
                    view.ready_at = step;
                }
                if *from == StateName::Stopping {
                    view.stuck = false;
                }
                view.state = *to;
                self.changes += 1;
                view.in_order = *to == StateName::Stopping && !matches!(event.cause, Cause::Ended(_));
                if *to == StateName::Stopping {
                    view.stopped_at = step;
                    view.touched = false;
                }
                view.for_shutdown = view.in_order && event.cause == Cause::Shutdown;
                view.for_sake_of = match &event.cause {
                    Cause::Relation(_, name) => Some(name.clone()),
                    _ => None,
                };
                if event.cause == Cause::Shutdown && self.shutting_down.is_none() {
                    return Err(format!("`{}` is stopped for a shutdown that has not begun", view.name));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn define(&mut self, scene: &Scene<'_>, event: &Event) -> Result<(), String> {
        let (Some(process), Some(name)) = (event.process, event.name.clone()) else {
            return Err("a Defined event without a process or a name".into());
        };
        let view = View {
            name,
            state: StateName::Created,
            ready_at: 0,
            begun_at: 0,
            skipped: false,
            stuck: false,
            in_order: false,
            for_shutdown: false,
            touched: false,
            stopped_at: 0,
            instance_of: None,
            for_sake_of: None,
        };
        let view = match &event.cause {
            Cause::Connection(_) => View { instance_of: Some(self.judge_instance(scene, &view.name)?), ..view },
            _ => view,
        };
        match self.views.insert(process, view) {
            Some(_) => Err(format!("{process} is defined twice")),
            None => Ok(()),
        }
    }

    /// There are never more instances than there may be.
    fn judge_instance(&self, scene: &Scene<'_>, name: &str) -> Result<ProcessId, String> {
        let of = name.rsplit_once('@').and_then(|(of, _)| scene.machine.find(of));
        let Some((of, spec)) = of.and_then(|of| Some((of, scene.machine.spec(of)?))) else {
            return Err(format!("`{name}` is made for a connection to nobody"));
        };
        let others = self.views.values().filter(|view| view.instance_of == Some(of)).count();
        match spec.most_instances() {
            Some(most) if others < usize::try_from(most).unwrap_or(0) => Ok(of),
            most => Err(format!("`{name}` is made beside {others} others, and there may be {most:?}")),
        }
    }

    /// No connection is left with nobody to serve it. Once everything has come to rest.
    pub(super) fn judge_connections(&self, kernel: &Kernel) -> Result<(), String> {
        match kernel.connections.iter().find(|(_, it)| it.run.is_none()) {
            Some((id, it)) => {
                Err(format!("{id}, a connection to {}, was neither given to a run nor closed", it.process))
            }
            None => Ok(()),
        }
    }

    pub(super) fn leaves_others_alone(&self, run: &Run) -> bool {
        run.spec.stop.mode == StopMode::Process || self.lenient.contains(&run.process)
    }

    /// What must hold between two steps.
    pub(super) fn judge_step(&mut self, scene: &Scene<'_>) -> Result<(), String> {
        for process in std::mem::take(&mut self.touched) {
            let (seen, told) = (self.views.get(&process), scene.machine.status(process));
            match (seen, told) {
                (Some(view), Some(status)) if view.state != status.state => {
                    return Err(format!(
                        "`{}` is {} by its events and {} by its status",
                        view.name, view.state, status.state
                    ));
                }
                (Some(view), None) => return Err(format!("`{}` has no status", view.name)),
                (None, Some(status)) => return Err(format!("`{}` has a status although it was deleted", status.name)),
                _ => {}
            }
        }
        if self.finished {
            return Ok(());
        }
        let mut live: BTreeMap<ProcessId, RunId> = BTreeMap::new();
        for (run, it) in scene.kernel.runs.iter().filter(|(_, it)| it.is_live() && !it.released) {
            if let Some(other) = live.insert(it.process, *run) {
                return Err(format!("{other} and {run} of `{}` are both alive", it.spec.name));
            }
            let knows = self.views.get(&it.process).is_some_and(|view| {
                matches!(view.state, StateName::Starting | StateName::Running | StateName::Stopping)
            });
            if !knows && !self.leaves_others_alone(it) {
                return Err(format!("{run} of `{}` is alive, and no process knows it", it.spec.name));
            }
            if knows && let Some(spec) = scene.machine.spec(it.process) {
                let wanted = Limits { oom_score_adj: it.limits.oom_score_adj, ..spec.limits.clone() };
                if it.limits != wanted {
                    return Err(format!("`{}` lives with {:?} instead of {wanted:?}", it.spec.name, it.limits));
                }
            }
        }
        Ok(())
    }
}

/// Whether either declares that it conflicts with the other.
fn conflict(one: &Spec, other: &Spec) -> bool {
    one.conflicts.contains(&other.name) || other.conflicts.contains(&one.name)
}

/// Whether a process with spec `later` starts after one with spec `earlier` (explicitly, or because it leans on it).
pub(super) fn ordered_after(later: &Spec, earlier: &Spec) -> bool {
    let has = |list: &[String], name: &str| list.iter().any(|entry| entry == name);
    if has(&later.after, &earlier.name) || has(&earlier.before, &later.name) {
        return true;
    }
    if has(&later.before, &earlier.name) || has(&earlier.after, &later.name) {
        return false;
    }
    [&later.requires, &later.binds_to, &later.follows].into_iter().any(|list| has(list, &earlier.name))
}

/// Whether the design knows this change of state.
pub fn legal(from: StateName, to: StateName) -> bool {
    use StateName::{Backoff, Crashed, Created, Exited, Failed, Running, Starting, Stopped, Stopping, Waiting};
    match from {
        // At rest: only a start leaves, or one that comes to nothing at once (what it needs cannot be had, a conflict).
        Created | Stopped | Exited | Failed | Crashed => matches!(to, Waiting | Starting | Failed | Stopped),
        // Free to go, no longer wanted, or what it needs cannot be had.
        Waiting => matches!(to, Starting | Created | Stopped | Exited | Failed | Crashed | Backoff),
        // Ready, ended, or skipped; a oneshot's success is its end.
        Starting => {
            matches!(to, Running | Stopping | Backoff | Created | Stopped | Exited | Failed | Crashed | Waiting)
        }
        // Whatever ended it, its tree is looked at first; a remaining oneshot has none.
        Running => matches!(to, Stopping | Stopped),
        Stopping => matches!(to, Stopped | Exited | Failed | Crashed | Backoff | Waiting | Starting),
        Backoff => matches!(to, Waiting | Starting | Stopped | Failed | Crashed | Exited),
    }
}
