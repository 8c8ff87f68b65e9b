//! One run: from its preparation to its release.

use std::sync::Arc;

use super::condition;
use super::daemon::{Main, Search};
use super::engine::{Engine, HelperDone};
use super::flight::{RunChild, system_error};
use super::function::Shortfall;
use super::held::Held;
use super::limit::Told;
use super::place::{Block, Place};
use super::prepare::{self, NotPrepared, Prepared, Wanted};
use super::sockets::Connection;
use super::sources::Owner;
use crate::core::{ConnectionId, ExitStatus, Input, Pid, ProbeKind, ProcessId, RunId, SpawnError, SpawnStep};
use crate::spec::{Limits, Ready, Spec};
use crate::supervisor::Message;

/// One run, as far as the driver is concerned.
pub(super) struct Run {
    pub process: ProcessId,
    /// For whom what it uses counts.
    pub counts_for: ProcessId,
    pub spec: Arc<Spec>,
    pub block: Option<Arc<Block>>,
    pub held: Option<Held>,
    /// How its main process ended, for functions.
    pub exit: Option<ExitStatus>,
    pub child: RunChild,
    /// The main process, where that is not the child: a daemon, or a pid that it told.
    pub main: Option<Main>,
    pub search: Option<Search>,
    /// Whether it was asked to be told when the tree is empty.
    pub watched: bool,
    pub emptied: bool,
    /// Whether there is a record of its leader.
    pub recorded: bool,
    /// Whether another supervisor made it, so that its processes are not our children.
    pub adopted: bool,
    /// What its tree may use; its spec's, but for what changed since it was prepared.
    pub limits: Limits,
    /// Whether other limits are being put on its tree, and those that are to follow them.
    pub changing: Option<Option<Limits>>,
    /// What its limits did that was told already.
    pub told: Told,
    /// The connection that it is to serve, until its program has it.
    pub connection: Option<Connection>,
}

impl Run {
    /// One of which nothing is made yet.
    pub fn new(process: ProcessId, spec: Arc<Spec>) -> Run {
        Run {
            process,
            counts_for: process,
            limits: spec.limits.clone(),
            changing: None,
            spec,
            block: None,
            held: None,
            exit: None,
            child: RunChild::None,
            main: None,
            search: None,
            watched: false,
            emptied: false,
            recorded: false,
            adopted: false,
            told: Told::default(),
            connection: None,
        }
    }

    /// Whether this process is the run's child, dead or alive, or lives in its tree.
    pub fn is_member(&self, pid: Pid) -> bool {
        match &self.child {
            // Not reaped yet, so the pid is still its own.
            RunChild::Alive(child, ..) if *child == pid => return true,
            RunChild::Flight(flight, ..) if flight.pid() == pid => return true,
            _ => {}
        }
        self.held.as_ref().is_some_and(|held| held.tree.contains(pid).unwrap_or(false))
    }
}

impl Engine {
    pub(super) fn prepare(
        &mut self,
        run: RunId,
        process: ProcessId,
        spec: Arc<Spec>,
        connection: Option<ConnectionId>,
    ) {
        let mut entry = Run::new(process, spec.clone());
        entry.counts_for = self.tally.counted(process);
        entry.connection = connection.and_then(|connection| self.sockets.take_connection(connection));
        self.runs.insert(run, entry);
        if self.has_sockets(run, process, &spec) {
            self.prepare_with_sockets(run);
        }
    }

    /// Prepares a run whose listeners are bound.
    pub(super) fn prepare_with_sockets(&mut self, run: RunId) {
        let Some(entry) = self.runs.get(&run) else { return };
        let (process, spec) = (entry.process, entry.spec.clone());
        self.drop_stale_notifications(process);
        let number = self.machine.run_count(process).saturating_add(1);
        let place = self.place(process, &spec);
        place.run = Some(run);
        place.log.set_run(number, true);
        let cached = place.cached(&spec);
        let wanted = self.wanted(process, &spec);
        self.want_directories(process, &spec);
        if let Some(block) = cached {
            self.have_block(run, block);
            return;
        }
        if wanted.is_prompt() {
            let result = prepare::prepare(&wanted, &self.surroundings).map(Box::new);
            self.run_prepared(run, result);
            return;
        }
        match spec.conditions.check {
            Some(_) => self.look_at_conditions(run, spec),
            None => self.prepare_on_pool(Owner::Run(run), wanted),
        }
    }

    /// Has the conditions looked at by themselves, so that nothing is made and nobody is asked before they hold.
    fn look_at_conditions(&mut self, run: RunId, spec: Arc<Spec>) {
        let (shared, surroundings) = (self.shared.clone(), self.surroundings.clone());
        let job = move || {
            let unmet = condition::unmet(&spec.conditions, &surroundings.base, &surroundings.env);
            let _ = shared.mailbox.post(Message::Helper(HelperDone::Conditions(run, unmet)));
        };
        if let Err(error) = self.pool.run(job) {
            let error = system_error(SpawnStep::Condition, "cannot start a thread to look at the conditions", &error);
            self.inputs.push_back(Input::PrepareFailed(run, error));
        }
    }

    /// What the conditions without a function come to is known.
    pub(super) fn conditions_seen(&mut self, run: RunId, unmet: Option<String>) {
        let Some(entry) = self.runs.get(&run) else { return };
        match (unmet, entry.spec.conditions.check) {
            (Some(condition), _) => self.inputs.push_back(Input::ConditionUnmet(run, condition)),
            (None, Some(function)) => self.ask_condition(run, function),
            (None, None) => self.condition_answered(run, Ok(())),
        }
    }

    /// A condition's function answered.
    pub(super) fn condition_answered(&mut self, run: RunId, answer: Result<(), Shortfall>) {
        let Some(entry) = self.runs.get(&run) else { return };
        let (process, spec) = (entry.process, entry.spec.clone());
        match answer {
            Ok(()) => {
                let wanted = Wanted { conditions: false, ..self.wanted(process, &spec) };
                self.prepare_on_pool(Owner::Run(run), wanted);
            }
            Err(Shortfall::No(reason)) => {
                self.inputs.push_back(Input::ConditionUnmet(run, format!("check ({reason})")));
            }
            Err(Shortfall::Broken(reason)) => {
                let message = format!("the condition's function came to no answer: {reason}");
                let error = SpawnError { step: SpawnStep::Condition, errno: None, message };
                self.inputs.push_back(Input::PrepareFailed(run, error));
            }
        }
    }

    /// Has a preparation done where it may block.
    pub(super) fn prepare_on_pool(&mut self, owner: Owner, wanted: Wanted) {
        let (shared, surroundings) = (self.shared.clone(), self.surroundings.clone());
        let job = move || {
            let result = prepare::prepare(&wanted, &surroundings).map(Box::new);
            let _ = shared.mailbox.post(Message::Helper(HelperDone::Prepared(owner, result)));
        };
        if let Err(error) = self.pool.run(job) {
            let error = system_error(SpawnStep::Prepare, "cannot start a thread to prepare the start", &error);
            match owner {
                Owner::Run(run) => self.run_prepared(run, Err(NotPrepared::Failed(error))),
                Owner::Job(job) => self.job_prepared(job, Err(NotPrepared::Failed(error))),
            }
        }
    }

    pub(super) fn run_prepared(&mut self, run: RunId, result: Result<Box<Prepared>, NotPrepared>) {
        let Some(entry) = self.runs.get(&run) else { return };
        let (process, spec) = (entry.process, entry.spec.clone());
        match result {
            Ok(prepared) => match self.settle_in(process, &spec, *prepared) {
                Ok(block) => {
                    let block = Arc::new(block);
                    if self.wanted(process, &spec).is_prompt()
                        && let Some(place) = self.places.get_mut(&process)
                    {
                        place.cached = Some((spec, block.clone()));
                    }
                    self.have_block(run, block);
                }
                Err(error) => {
                    let error = system_error(SpawnStep::Prepare, "cannot set up the notify socket", &error);
                    self.inputs.push_back(Input::PrepareFailed(run, error));
                }
            },
            Err(NotPrepared::Unmet(condition)) => self.inputs.push_back(Input::ConditionUnmet(run, condition)),
            Err(NotPrepared::Failed(error)) => self.inputs.push_back(Input::PrepareFailed(run, error)),
        }
    }

    fn have_block(&mut self, run: RunId, block: Arc<Block>) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let pattern = block.ready_line.clone();
        entry.block = Some(block);
        let place = self.places.get(&entry.process);
        // Where a line is waited for, the log thread first reads what older runs printed, and then says `Prepared` itself.
        if !pattern.zip(place).is_some_and(|(pattern, place)| place.log.watch(run, pattern)) {
            self.inputs.push_back(Input::Prepared(run));
        }
    }

    /// The awaited line was printed. A hook's does not count: then the watch goes on.
    pub(super) fn log_line(&mut self, run: RunId) {
        let Some(entry) = self.runs.get(&run) else { return };
        if !matches!(entry.child, RunChild::None) {
            self.inputs.push_back(Input::LogLine(run));
            let process = entry.process;
            match &mut self.kept {
                // Once it is written down.
                Some(kept) => kept.heard.push(process),
                None => self.places.get(&process).into_iter().for_each(|place| place.log.heard()),
            }
            return;
        }
        let pattern = entry.block.as_ref().and_then(|block| block.ready_line.clone());
        if let Some((pattern, place)) = pattern.zip(self.places.get(&entry.process)) {
            place.log.watch_on(run, pattern);
        }
    }

    pub(super) fn release(&mut self, run: RunId) {
        self.remove_pidfile(run);
        self.stop_probe(run, ProbeKind::Ready);
        self.stop_probe(run, ProbeKind::Health);
        self.stop_following(run);
        self.give_up_condition(run);
        let Some(mut entry) = self.runs.remove(&run) else { return };
        self.record_end(run, &entry);
        match entry.child {
            RunChild::Flight(flight, exec, child) => {
                self.in_flight -= 1;
                self.poller.remove(flight.exec_pipe(), exec);
                self.poller.remove(flight.pidfd(), child);
                self.abandon(flight);
            }
            RunChild::Alive(_, fd, token) => self.poller.remove(&fd, token),
            RunChild::Pinned(fd) => self.reap(fd),
            RunChild::Task(task) => task.give_up(),
            RunChild::None | RunChild::Gone => {}
        }
        if let Some(mut held) = entry.held.take() {
            held.let_go(&mut self.poller);
            held.of = Some(entry.counts_for);
            self.trash.push(held);
        }
        if let Some(place) = self.places.get_mut(&entry.process) {
            place.log.end_run();
            if matches!(entry.spec.ready, Ready::LogLine(_)) {
                place.log.unwatch();
            }
            if place.run == Some(run) {
                place.run = None;
            }
        }
        self.tidy_directories(entry.process);
    }

    /// What is to be prepared for a run of this process.
    fn wanted(&mut self, process: ProcessId, spec: &Arc<Spec>) -> Wanted {
        let log = self.log_to_open(process, spec);
        Wanted {
            spec: spec.clone(),
            command: None,
            user: None,
            bind_notify: prepare::wants_notify(spec) && self.place(process, spec).notify.is_none(),
            notify_name: Place::notify_name(process),
            log,
            conditions: true,
        }
    }
}
