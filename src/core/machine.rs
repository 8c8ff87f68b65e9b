//! The machine's outside: inputs in, outputs and the next deadline out.
//!
//! What is wanted of a process and what it is are two enums side by side. An input changes one process first, and leaves notices of
//! what that means for others (it is ready, it left running, it is down); the notices are then worked off one by one until there is none
//! ([`propagate`](super::propagate)). So a chain of any length needs no recursion.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asked::{Asked, Askers, Verb};
use super::event::{Cause, Event, EventKind, StateName};
use super::graph::Graph;
use super::ids::{CommandId, ProcessId, RunId};
use super::input::Input;
use super::journal::Instance;
use super::output::Output;
use super::process::{Process, Run, State};
use super::propagate::Notice;
use super::reply::Reply;
use super::rng::Rng;
use super::shared::Shared;
use super::table::Table;
use super::time::{Now, Time};
use super::timers::{Deadlines, TimerKind, Timers};
use crate::spec::Spec;

/// What the machine is made with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Seed of all jitter; the same seed and inputs give the same outputs.
    pub seed: u64,
    /// How long a shutdown may take before every stop in progress escalates to SIGKILL; `None` waits for the ladders.
    pub shutdown_timeout: Option<Duration>,
}

/// The whole of supervision as a state machine without I/O.
///
/// Hand in what happened with [`handle`](Machine::handle), carry out what [`poll_output`](Machine::poll_output) gives until it gives none, and
/// hand in [`Input::Timeout`] when the moment of [`poll_timeout`](Machine::poll_timeout) has come.
#[derive(Debug)]
pub struct Machine {
    pub(super) now: Now,
    pub(super) rng: Rng,
    pub(super) processes: Table,
    pub(super) names: BTreeMap<Arc<str>, ProcessId>,
    /// Runs that are not over, and whose they are.
    pub(super) runs: BTreeMap<RunId, ProcessId>,
    pub(super) next_run: u64,
    pub(super) next_event: u64,
    pub(super) timers: Timers,
    /// The instance's own deadlines: the shutdown's.
    pub(super) deadlines: Deadlines,
    pub(super) mode: Mode,
    pub(super) shutdown_timeout: Option<Duration>,
    /// The generation of the last plan that was applied.
    pub(super) generation: u64,
    /// The number of the next spec.
    pub(super) next_spec: u64,
    /// What is recorded of the instance as a whole.
    pub(super) recorded: Option<Instance>,
    pub(super) dropped: u64,
    pub(super) askers: Askers,
    pub(super) graph: Relations,
    pub(super) outputs: VecDeque<Output>,
    pub(super) notices: VecDeque<Notice>,
    /// What processes were that are marked to start but not yet told of; empty between inputs.
    pub(super) entering: BTreeMap<ProcessId, StateName>,
}

/// The relations, built when first needed after a change.
#[derive(Debug, Default)]
pub(super) struct Relations(pub(super) Option<Arc<Graph>>);

/// What the instance as a whole does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Mode {
    Serving,
    ShuttingDown {
        /// Clients of this supervisor: they do not outlive it.
        #[serde(skip)]
        waiting: Vec<CommandId>,
        code: Option<i32>,
    },
    Finished {
        code: Option<i32>,
    },
}

/// The process id under which the instance's own timers are kept.
pub(super) const INSTANCE: ProcessId = ProcessId(u64::MAX);

impl Machine {
    /// A machine without processes.
    pub fn new(settings: Settings) -> Self {
        Machine {
            now: Now::default(),
            rng: Rng::new(settings.seed),
            processes: Table::default(),
            names: BTreeMap::new(),
            runs: BTreeMap::new(),
            next_run: 1,
            next_event: 1,
            timers: Timers::default(),
            deadlines: Deadlines::default(),
            mode: Mode::Serving,
            shutdown_timeout: settings.shutdown_timeout,
            generation: 0,
            next_spec: 1,
            recorded: None,
            dropped: 0,
            askers: Askers::default(),
            graph: Relations::default(),
            outputs: VecDeque::new(),
            notices: VecDeque::new(),
            entering: BTreeMap::new(),
        }
    }

    /// Takes in what happened at `now`. Then pull outputs until there is none. A `now` before the last one counts as the last one.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        self.askers.now = None;
        if matches!(self.mode, Mode::Finished { .. }) {
            self.handle_after_the_end(input);
            return;
        }
        match input {
            Input::Command { id, command, caller } => {
                self.command(Asked { id, what: Some(Verb::of(&command)), by: caller }, command)
            }
            Input::Abandon(id) => self.abandon(id),
            Input::SocketReadable(process) => self.socket_readable(process),
            Input::Armed(process) => self.armed(process),
            Input::ArmFailed(process, error) => self.arm_failed(process, error),
            Input::Connection { process, connection, peer } => self.connection(process, connection, peer),
            Input::Connections { run, open, came } => self.with_run(run, |m, id| m.connections(id, open, came)),
            Input::Timeout => self.fire_timers(),
            Input::Prepared(run) => self.with_run(run, Machine::prepared),
            Input::PrepareFailed(run, error) => self.with_run(run, |m, id| m.prepare_failed(id, error)),
            Input::ConditionUnmet(run, condition) => self.with_run(run, |m, id| m.condition_unmet(id, condition)),
            Input::Executed(run, pid) => self.with_run(run, |m, id| m.executed(id, pid)),
            Input::SpawnFailed(run, error) => self.with_run(run, |m, id| m.spawn_failed(id, error)),
            Input::Exited(run, pid, status) => self.with_run(run, |m, id| m.exited(id, pid, status)),
            Input::MainFound(run, pid) => self.with_run(run, |m, id| m.main_found(id, pid)),
            Input::MainNotFound(run, reason) => self.with_run(run, |m, id| m.main_not_found(id, reason)),
            Input::LogLine(run) => self.with_run(run, Machine::log_line),
            Input::Notified(run, message) => self.with_run(run, |m, id| m.notified(id, message)),
            Input::Probed(run, kind, result) => self.with_run(run, |m, id| m.probed(id, kind, result)),
            Input::HookFinished(run, kind, result) => self.with_run(run, |m, id| m.hook_finished(id, kind, result)),
            Input::TreeEmpty(run) => self.with_run(run, Machine::tree_empty),
            Input::TreeOccupied(run) => self.with_run(run, Machine::tree_occupied),
            Input::TreeStuck(run, pids) => self.with_run(run, |m, id| m.tree_stuck(id, pids)),
            Input::Oom(run) => self.with_run(run, Machine::oom),
            Input::PidsLimit(run) => self.with_run(run, Machine::pids_refused),
            Input::Warning(Some(process), text) => self.emit(process, EventKind::Warning { text }, Cause::Progress),
            Input::Warning(None, text) => self.emit_instance(EventKind::Warning { text }, Cause::Progress),
            Input::PlanRefused(reason) => self.emit_instance(EventKind::Refused { reason }, Cause::Progress),
            Input::Evaluated(line, caller) => {
                let event = self.event(EventKind::Evaluated { line }, Cause::Progress);
                self.push_event(Event { caller: Some(caller), ..event });
            }
            Input::Adopted(run, adoption) => self.with_run(run, |m, id| m.adopted(id, adoption)),
        }
        self.settle();
        self.finish_if_down();
    }

    /// The next thing to be done, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is to be handed in next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// How many inputs were dropped because they came for a run that is over, or twice.
    pub fn dropped_inputs(&self) -> u64 {
        self.dropped
    }

    /// The number the next event will have.
    pub fn next_event(&self) -> u64 {
        self.next_event
    }

    /// The process of this name.
    pub fn find(&self, name: &str) -> Option<ProcessId> {
        self.names.get(name).copied()
    }

    /// A process's name.
    pub fn name(&self, id: ProcessId) -> Option<Arc<str>> {
        self.processes.get(id).map(|p| p.name.clone())
    }

    /// All processes, in the order they were made.
    pub fn processes(&self) -> Vec<ProcessId> {
        self.processes.iter().map(|p| p.id).collect()
    }

    /// The spec a process has now (its next run's; a live run may still have an older one).
    pub fn spec(&self, id: ProcessId) -> Option<Arc<Spec>> {
        self.processes.get(id).map(|p| p.spec.to_arc())
    }

    /// Whether its shutdown is over: nothing is started any more, whatever it is told.
    pub fn is_finished(&self) -> bool {
        matches!(self.mode, Mode::Finished { .. })
    }

    /// The generation of the last plan that was applied; 0 when it was of none.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The process a live run belongs to.
    pub fn process_of(&self, run: RunId) -> Option<ProcessId> {
        self.runs.get(&run).copied()
    }

    // Below: what the other files of the machine build on.

    /// Runs `act` on the process whose live run this is; drops and counts the input when there is none.
    pub(super) fn with_run(&mut self, run: RunId, act: impl FnOnce(&mut Machine, ProcessId)) {
        match self.runs.get(&run).copied() {
            Some(id) => act(self, id),
            None => self.dropped += 1,
        }
    }

    /// Counts an input that its process's state has no use for.
    pub(super) fn drop_input(&mut self) {
        self.dropped += 1;
    }

    fn handle_after_the_end(&mut self, input: Input) {
        match input {
            Input::Command { id, .. } => self.reply(id, Err(super::reply::Refusal::ShuttingDown)),
            _ => self.drop_input(),
        }
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn reply(&mut self, command: CommandId, reply: Reply) {
        self.outputs.push_back(Output::Reply(command, reply));
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }

    pub(super) fn graph(&mut self) -> Arc<Graph> {
        let (processes, names) = (&self.processes, &self.names);
        self.graph.0.get_or_insert_with(|| Arc::new(Graph::build(processes.iter(), names))).clone()
    }

    /// To be called after every change of a spec's relations or of the set of processes.
    pub(super) fn relations_changed(&mut self) {
        self.graph.0 = None;
    }

    /// Holds a spec that is new.
    pub(super) fn share(&mut self, spec: Spec) -> Shared {
        let number = self.next_spec;
        self.next_spec += 1;
        Shared::new(number, spec)
    }

    pub(super) fn new_run(&mut self, id: ProcessId) -> RunId {
        let run = RunId(self.next_run);
        self.next_run += 1;
        self.runs.insert(run, id);
        run
    }

    /// The run is over for good.
    pub(super) fn release(&mut self, run: RunId) {
        self.runs.remove(&run);
        self.output(Output::Release(run));
    }

    pub(super) fn set_timer(&mut self, id: ProcessId, kind: TimerKind, after: Duration) {
        let at = self.now.mono.after(after);
        let own = match self.processes.get_mut(id) {
            Some(p) => &mut p.deadlines,
            None => &mut self.deadlines,
        };
        self.timers.set(own, id, kind, at);
    }

    pub(super) fn clear_timer(&mut self, id: ProcessId, kind: TimerKind) {
        if let Some(p) = self.processes.get_mut(id) {
            self.timers.clear(&mut p.deadlines, id, kind);
        }
    }

    pub(super) fn clear_timers(&mut self, id: ProcessId) {
        if let Some(p) = self.processes.get_mut(id)
            && !p.deadlines.is_empty()
        {
            self.timers.clear_all(&mut p.deadlines, id);
        }
    }

    fn fire_timers(&mut self) {
        while let Some((id, kind)) = self.timers.expired(self.now.mono) {
            let late = self.timers.next().map_or(Duration::ZERO, |at| self.now.mono.since(at));
            if id == INSTANCE {
                self.timers.clear(&mut self.deadlines, id, kind);
                self.escalate_all();
            } else {
                self.clear_timer(id, kind);
                self.timer_fired(id, kind, late);
            }
            self.settle();
        }
    }

    fn timer_fired(&mut self, id: ProcessId, kind: TimerKind, late: Duration) {
        match kind {
            TimerKind::Backoff => self.backoff_over(id),
            TimerKind::Start => self.start_timed_out(id),
            TimerKind::Stop => self.stop_timed_out(id),
            TimerKind::Hook => self.hook_timed_out(id),
            TimerKind::Ready => self.ask_whether_ready(id),
            TimerKind::Health => self.ask_for_health(id),
            TimerKind::Watchdog => self.watchdog_over(id, late),
            TimerKind::Idle => self.count_connections(id),
            TimerKind::Stuck => self.kill_timed_out(id),
            TimerKind::Shutdown => {}
        }
    }

    pub(super) fn emit(&mut self, id: ProcessId, kind: EventKind, cause: Cause) {
        let mut event = self.event(kind, cause);
        if let Some(p) = self.processes.get(id) {
            event.process = Some(id);
            event.name = Some(p.name.clone());
            event.run = p.state.run().map(|run| run.id).or(p.last.run);
        }
        self.push_event(event);
    }

    pub(super) fn emit_instance(&mut self, kind: EventKind, cause: Cause) {
        let event = self.event(kind, cause);
        self.push_event(event);
    }

    fn event(&self, kind: EventKind, cause: Cause) -> Event {
        let caller = self.askers.of(&cause);
        Event { caller, ..Event::at(self.now, self.next_event, kind, cause) }
    }

    fn push_event(&mut self, event: Event) {
        self.next_event += 1;
        self.outputs.push_back(Output::Emit(event));
    }

    /// Puts a process into a state and tells so; returns the state it was in.
    pub(super) fn enter(&mut self, id: ProcessId, state: State, reason: String, cause: Cause) -> Option<State> {
        let wall = self.now.wall;
        let p = self.processes.get_mut(id)?;
        let (from, to) = (self.entering.remove(&id).unwrap_or(p.state.name()), state.name());
        let retry_in = match &state {
            State::Backoff(backoff) => Some(backoff.delay),
            _ => None,
        };
        let old = std::mem::replace(&mut p.state, state);
        if from != to {
            p.since = wall;
            self.emit(id, EventKind::State { from, to, reason, retry_in }, cause);
        }
        Some(old)
    }

    pub(super) fn state(&self, id: ProcessId) -> Option<&State> {
        self.processes.get(id).map(|p| &p.state)
    }

    pub(super) fn process(&self, id: ProcessId) -> Option<&Process> {
        self.processes.get(id)
    }

    pub(super) fn run_of(&self, id: ProcessId) -> Option<&Run> {
        self.processes.get(id).and_then(|p| p.state.run())
    }

    pub(super) fn name_of(&self, id: ProcessId) -> Arc<str> {
        self.processes.get(id).map_or_else(|| Arc::from(""), |p| p.name.clone())
    }
}
