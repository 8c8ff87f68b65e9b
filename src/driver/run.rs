//! One run: from its preparation to the end of its tree.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::engine::{Engine, HelperDone};
use super::held::{Held, Look};
use super::place::{Block, Place};
use super::prepare::{self, NotPrepared, Prepared, Sink, Wanted};
use super::sources::{Clock, Moment, Owner, Source, Token};
use super::spawn::{Finish, InFlight, Launch, Stdio};
use super::{exit, identity, pidfile};
use crate::core::{ExitStatus, Input, Pid, ProcessId, RunId, Scope, SpawnError, SpawnStep};
use crate::log::StreamKind;
use crate::spec::{ProcessType, Signal, Spec};
use crate::supervisor::Message;

/// Between two looks for a daemon.
const FIND_MAIN_FIRST: Duration = Duration::from_millis(20);
const FIND_MAIN_LAST: Duration = Duration::from_millis(500);
/// A tree of which no member could be held is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A process that is not our child may have been reaped by its parent a moment after it ended; asked so often.
const STATUS_TRIES: u32 = 6;

/// One run, as far as the driver is concerned.
pub(super) struct Run {
    pub process: ProcessId,
    pub spec: Arc<Spec>,
    pub block: Option<Arc<Block>>,
    pub held: Option<Held>,
    /// How its main process ended, for functions.
    pub exit: Option<ExitStatus>,
    child: RunChild,
    /// The main process, where that is not the child: a daemon, or a pid that it told.
    main: Option<Main>,
    search: Option<Search>,
    /// Whether it was asked to be told when the tree is empty.
    watched: bool,
    emptied: bool,
}

/// The child that was made for the run.
pub(super) enum RunChild {
    /// Not made yet.
    None,
    /// On its way to its program.
    Flight(InFlight, Token, Token),
    /// Executed.
    Alive(Pid, OwnedFd, Token),
    /// Ended; kept a zombie so that its process group stays its own.
    Pinned(OwnedFd),
    /// Ended and reaped, or never executed.
    Gone,
}

struct Main {
    pid: Pid,
    fd: OwnedFd,
    token: Token,
    tries: u32,
}

/// The search for a forking type's daemon.
struct Search {
    wait: Duration,
    /// The oldest process of the tree at the last look.
    candidate: Option<Pid>,
    reading: bool,
}

impl Run {
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
    pub(super) fn prepare(&mut self, run: RunId, process: ProcessId, spec: Arc<Spec>) {
        self.drop_stale_notifications(process);
        let place = self.place(process, &spec);
        place.run = Some(run);
        let cached = place.cached(&spec);
        let wanted = wanted(process, &spec, place);
        let entry = Run {
            process,
            spec: spec.clone(),
            block: None,
            held: None,
            exit: None,
            child: RunChild::None,
            main: None,
            search: None,
            watched: false,
            emptied: false,
        };
        self.runs.insert(run, entry);
        if let Some(block) = cached {
            self.have_block(run, block);
            return;
        }
        if wanted.is_prompt() {
            let result = prepare::prepare(&wanted, &self.surroundings).map(Box::new);
            self.run_prepared(run, result);
            return;
        }
        self.prepare_on_pool(Owner::Run(run), wanted);
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
                    if let Some(place) = self.places.get_mut(&process)
                        && wanted(process, &spec, place).is_prompt()
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
            return;
        }
        let pattern = entry.block.as_ref().and_then(|block| block.ready_line.clone());
        if let Some((pattern, place)) = pattern.zip(self.places.get(&entry.process)) {
            place.log.watch_on(run, pattern);
        }
    }

    /// Makes the child of a run.
    pub(super) fn spawn(&mut self, run: RunId) {
        match self.try_spawn(run) {
            Ok(()) => self.in_flight += 1,
            Err(error) => {
                if let Some(entry) = self.runs.get_mut(&run) {
                    entry.child = RunChild::Gone;
                    if let Some(held) = entry.held.take() {
                        self.trash.push(held);
                    }
                }
                self.inputs.push_back(Input::SpawnFailed(run, error));
            }
        }
    }

    fn try_spawn(&mut self, run: RunId) -> Result<(), SpawnError> {
        let gone = || SpawnError {
            step: SpawnStep::Prepare,
            errno: None,
            message: "the start was given up before the program was executed".into(),
        };
        let entry = self.runs.get_mut(&run).ok_or_else(gone)?;
        let block = entry.block.clone().ok_or_else(gone)?;
        let place = self.places.get_mut(&entry.process).ok_or_else(gone)?;
        let (name, process) = (place.name.clone(), entry.process);
        let mut held = Held::new(self.trees.create(&name, run)?);
        let launch = self.complete(process, run, &block, &held)?;
        let flight = self.launcher.launch(launch)?;
        held.tree.set_leader(flight.pid());
        let child = self.watch_flight(Owner::Run(run), flight, &held)?;
        let Some(entry) = self.runs.get_mut(&run) else { return Err(gone()) };
        entry.child = child;
        entry.held = Some(held);
        Ok(())
    }

    /// Fills in what differs between runs: the pipes, the tree, and the run's mark.
    pub(super) fn complete(
        &mut self,
        process: ProcessId,
        run: RunId,
        block: &Block,
        held: &Held,
    ) -> Result<Launch, SpawnError> {
        let mut launch = block.launch.clone();
        if let Some(place) = self.places.get_mut(&process) {
            launch.stdio = [
                Stdio::Null,
                stdio(place, StreamKind::Stdout, &block.stdout)?,
                stdio(place, StreamKind::Stderr, &block.stderr)?,
            ];
        }
        let mark = held.tree.mark().map_or_else(|| format!("NEAP_RUN={run}"), str::to_owned);
        launch.env.push(CString::new(mark).unwrap_or_default());
        launch.cgroup =
            held.tree.cgroup().map_err(|e| system_error(SpawnStep::Tree, "cannot open the process's cgroup", &e))?;
        Ok(launch)
    }

    /// Watches a child in flight. When that is impossible it is killed, and the error is one of resources.
    pub(super) fn watch_flight(&mut self, owner: Owner, flight: InFlight, held: &Held) -> Result<RunChild, SpawnError> {
        let watched = self.poller.add(flight.exec_pipe(), Source::Exec(owner)).and_then(|exec| {
            self.poller.add(flight.pidfd(), Source::Child(owner)).map(|child| (exec, child)).inspect_err(|_| {
                self.poller.remove(flight.exec_pipe(), exec);
            })
        });
        match watched {
            Ok((exec, child)) => Ok(RunChild::Flight(flight, exec, child)),
            Err(error) => {
                let _ = held.tree.kill();
                self.abandon(flight);
                Err(SpawnError {
                    // The limit on watches is a lack of resources like any other.
                    errno: Some(nix::errno::Errno::EAGAIN as i32),
                    ..system_error(SpawnStep::Pipe, "cannot watch the child", &error)
                })
            }
        }
    }

    /// Kills and reaps a child in flight that cannot be watched or is no longer wanted, elsewhere: that may take a moment.
    fn abandon(&self, flight: InFlight) {
        let _ = identity::signal(flight.pidfd(), Signal::KILL);
        let _ = self.pool.run(move || {
            let mut flight = flight;
            loop {
                let ended = poll(&mut [PollFd::new(flight.pidfd(), PollFlags::POLLIN)], PollTimeout::NONE);
                match flight.finish() {
                    Finish::Pending(again) if ended.is_ok() => flight = again,
                    Finish::Executed(child) => {
                        let _ = exit::reap(child.pidfd.as_fd());
                        return;
                    }
                    _ => return,
                }
            }
        });
    }

    /// The exec pipe or the pidfd of a child in flight says something.
    pub(super) fn flight_event(&mut self, owner: Owner) {
        match owner {
            Owner::Job(job) => self.job_flight(job),
            Owner::Run(run) => {
                let Some(entry) = self.runs.get_mut(&run) else { return };
                let (flight, exec, child) = match std::mem::replace(&mut entry.child, RunChild::None) {
                    RunChild::Flight(flight, exec, child) => (flight, exec, child),
                    other => {
                        entry.child = other;
                        return;
                    }
                };
                let landed = self.land(owner, flight, exec, child);
                let Some(entry) = self.runs.get_mut(&run) else { return };
                match landed {
                    Ok(child) => {
                        entry.child = child;
                        if let RunChild::Alive(pid, ..) = &entry.child {
                            let pid = *pid;
                            self.in_flight -= 1;
                            self.inputs.push_back(Input::Executed(run, pid));
                            self.write_pidfile(run, pid);
                        }
                    }
                    Err(error) => {
                        entry.child = RunChild::Gone;
                        self.in_flight -= 1;
                        self.inputs.push_back(Input::SpawnFailed(run, error));
                        self.look_again(owner);
                    }
                }
            }
        }
    }

    /// How far a child in flight is: still on its way, executed, or failed.
    pub(super) fn land(
        &mut self,
        owner: Owner,
        flight: InFlight,
        exec: Token,
        child: Token,
    ) -> Result<RunChild, SpawnError> {
        // Whatever it says now closes the pipe, except for a wake-up too many.
        self.poller.remove(flight.exec_pipe(), exec);
        match flight.finish() {
            Finish::Pending(flight) => match self.poller.add(flight.exec_pipe(), Source::Exec(owner)) {
                Ok(exec) => Ok(RunChild::Flight(flight, exec, child)),
                Err(error) => {
                    self.poller.remove(flight.pidfd(), child);
                    self.abandon(flight);
                    Err(system_error(SpawnStep::Pipe, "cannot watch the child", &error))
                }
            },
            Finish::Executed(executed) => Ok(RunChild::Alive(executed.pid, executed.pidfd, child)),
            Finish::Failed(error) => {
                // Its pidfd is closed, and epoll forgot it with that.
                self.poller.forget(child);
                Err(error)
            }
        }
    }

    /// A child's pidfd says that it ended.
    pub(super) fn child_event(&mut self, owner: Owner) {
        let run = match owner {
            Owner::Job(job) => return self.job_child_event(job),
            Owner::Run(run) => run,
        };
        let Some(entry) = self.runs.get(&run) else { return };
        if matches!(entry.child, RunChild::Flight(..)) {
            return self.flight_event(owner);
        }
        // What it said before it ended is heard while it can still be told who said it.
        let process = entry.process;
        self.read_notify(process);
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let RunChild::Alive(pid, fd, _) = &entry.child else { return };
        let pid = *pid;
        let pins = entry.held.as_ref().is_some_and(|held| held.tree.pins_leader());
        let status = if pins { exit::peek(fd.as_fd()) } else { exit::reap(fd.as_fd()) };
        let status = match status {
            Ok(Some(status)) => status,
            Ok(None) => return,
            Err(_) => ExitStatus::Unknown,
        };
        if let RunChild::Alive(_, fd, token) = std::mem::replace(&mut entry.child, RunChild::Gone) {
            self.poller.remove(&fd, token);
            if pins {
                entry.child = RunChild::Pinned(fd);
            }
        }
        if entry.main.is_none() {
            entry.exit = Some(status);
        }
        let forking = entry.spec.process_type == ProcessType::Forking;
        self.inputs.push_back(Input::Exited(run, pid, status));
        // Known at once when nothing else is left, which saves the machine the question.
        let empty = !forking && entry.main.is_none() && entry.held.as_ref().is_some_and(Held::is_empty);
        if empty {
            self.tree_emptied(run);
        }
    }

    /// The main process that is not our child ended, or is to be asked again how it did.
    pub(super) fn main_event(&mut self, run: RunId) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Some(main) = entry.main.as_mut() else { return };
        let (pid, status) = match exit::reap(main.fd.as_fd()) {
            Ok(None) if main.tries == 0 => return,
            Ok(None | Some(ExitStatus::Unknown)) if main.tries < STATUS_TRIES => {
                // Its parent has yet to reap it; then the kernel tells the status to others, too.
                if main.tries == 0 {
                    self.poller.silence(&main.fd);
                }
                main.tries += 1;
                let wait = Duration::from_millis(1 << main.tries);
                self.clock.at(Clock::now().mono.after(wait), Moment::AskStatus(run));
                return;
            }
            Ok(Some(status)) => (main.pid, status),
            Ok(None) | Err(_) => (main.pid, ExitStatus::Unknown),
        };
        if let Some(main) = entry.main.take() {
            self.poller.remove(&main.fd, main.token);
        }
        entry.exit = Some(status);
        self.inputs.push_back(Input::Exited(run, pid, status));
    }

    /// Makes this process of the run's tree the one that is followed. Whether it could be proved to be in the tree.
    pub(super) fn follow(&mut self, run: RunId, pid: Pid) -> bool {
        let Some(entry) = self.runs.get(&run) else { return false };
        if matches!(&entry.child, RunChild::Alive(child, ..) if *child == pid) {
            self.stop_following(run);
            return true;
        }
        let Some(held) = &entry.held else { return false };
        // Opened first, proved then: the pid cannot have changed hands in between.
        let Ok(Some(fd)) = identity::open(pid) else { return false };
        if !held.tree.contains(pid).unwrap_or(false) || identity::has_ended(&fd).unwrap_or(true) {
            return false;
        }
        let Ok(token) = self.poller.add(&fd, Source::Main(run)) else { return false };
        self.stop_following(run);
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.main = Some(Main { pid, fd, token, tries: 0 });
        }
        true
    }

    fn stop_following(&mut self, run: RunId) {
        if let Some(main) = self.runs.get_mut(&run).and_then(|entry| entry.main.take()) {
            self.poller.remove(&main.fd, main.token);
        }
    }

    pub(super) fn signal(&mut self, run: RunId, signal: Signal, scope: Scope) {
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
        if !entry.watched || matches!(entry.child, RunChild::Flight(..) | RunChild::Alive(..)) {
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
    fn tree_emptied(&mut self, run: RunId) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        if let RunChild::Pinned(fd) = &entry.child {
            let _ = exit::reap(fd.as_fd());
            entry.child = RunChild::Gone;
        }
        if let Some(held) = entry.held.as_mut() {
            held.let_go(&mut self.poller);
        }
        if entry.main.is_some() {
            // Its end comes before that of the tree.
            self.main_gone(run);
        }
        let Some(entry) = self.runs.get_mut(&run) else { return };
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

    /// The main process has ended, whatever can be learned of how.
    fn main_gone(&mut self, run: RunId) {
        if let Some(main) = self.runs.get_mut(&run).and_then(|entry| entry.main.as_mut()) {
            main.tries = STATUS_TRIES;
        }
        self.main_event(run);
    }

    pub(super) fn release(&mut self, run: RunId) {
        self.remove_pidfile(run);
        self.stop_probe(run, crate::core::ProbeKind::Ready);
        self.stop_probe(run, crate::core::ProbeKind::Health);
        self.stop_following(run);
        let Some(mut entry) = self.runs.remove(&run) else { return };
        match entry.child {
            RunChild::Flight(flight, exec, child) => {
                self.in_flight -= 1;
                self.poller.remove(flight.exec_pipe(), exec);
                self.poller.remove(flight.pidfd(), child);
                self.abandon(flight);
            }
            RunChild::Alive(_, fd, token) => self.poller.remove(&fd, token),
            RunChild::Pinned(fd) => drop(exit::reap(fd.as_fd())),
            RunChild::None | RunChild::Gone => {}
        }
        if let Some(mut held) = entry.held.take() {
            held.let_go(&mut self.poller);
            self.trash.push(held);
        }
        if let Some(place) = self.places.get_mut(&entry.process) {
            place.log.end_run();
            if entry.block.as_ref().is_some_and(|block| block.ready_line.is_some()) {
                place.log.unwatch();
            }
            if place.run == Some(run) {
                place.run = None;
            }
        }
    }

    /// Has the pid file of a process that does not write it itself say this; a daemon's own is noted as being there.
    fn write_pidfile(&mut self, run: RunId, pid: Pid) {
        let Some(entry) = self.runs.get(&run) else { return };
        let Some(file) = self.places.get(&entry.process).and_then(|place| place.pidfile.clone()) else { return };
        file.want(Some(pid));
        if entry.spec.process_type != ProcessType::Forking {
            let _ = self.pool.run(move || file.sync());
        }
    }

    /// Has the pid file be gone, if it was this run's.
    fn remove_pidfile(&mut self, run: RunId) {
        let Some(entry) = self.runs.get(&run) else { return };
        let Some(file) = self.places.get(&entry.process).and_then(|place| place.pidfile.clone()) else { return };
        if file.want(None).is_some() {
            let _ = self.pool.run(move || file.sync());
        }
    }

    pub(super) fn begin_find_main(&mut self, run: RunId) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.search = Some(Search { wait: FIND_MAIN_FIRST, candidate: None, reading: false });
            // So that the end of all that is left ends the search.
            self.look(Owner::Run(run));
            self.find_main(run);
        }
    }

    /// Looks for the daemon of a forking type, by its pid file or as the oldest process that is left.
    pub(super) fn find_main(&mut self, run: RunId) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Some(search) = entry.search.as_mut() else { return };
        if entry.held.as_ref().is_none_or(Held::is_empty) {
            entry.search = None;
            let reason = match &entry.spec.pidfile {
                Some(path) => format!("nothing of it was left, and `{path}` names no process of it"),
                None => "nothing of it was left when its parent ended".into(),
            };
            self.inputs.push_back(Input::MainNotFound(run, reason));
            return;
        }
        if entry.spec.pidfile.is_some() {
            if search.reading {
                return;
            }
            search.reading = true;
            self.read_pidfile(run);
            return;
        }
        let oldest = entry.held.as_ref().and_then(oldest);
        let settled = oldest.is_some() && oldest == search.candidate;
        search.candidate = oldest;
        if settled
            && let Some(pid) = oldest
            && self.follow(run, pid)
        {
            return self.found_main(run, pid);
        }
        // A daemon that forks twice is still on its way: whoever is the oldest twice in a row is taken.
        self.search_again(run);
    }

    fn search_again(&mut self, run: RunId) {
        let Some(search) = self.runs.get_mut(&run).and_then(|entry| entry.search.as_mut()) else { return };
        let wait = search.wait;
        search.wait = (wait * 2).min(FIND_MAIN_LAST);
        self.clock.at(Clock::now().mono.after(wait), Moment::FindMain(run));
    }

    fn read_pidfile(&mut self, run: RunId) {
        let Some(entry) = self.runs.get(&run) else { return };
        let Some(path) = self.places.get(&entry.process).and_then(Place::pidfile_path) else { return };
        let shared = self.shared.clone();
        let job = move || {
            let _ = shared.mailbox.post(Message::Helper(HelperDone::PidRead(run, pidfile::read(&path))));
        };
        if self.pool.run(job).is_err() {
            self.pid_read(run, Ok(None));
        }
    }

    pub(super) fn pid_read(&mut self, run: RunId, result: std::io::Result<Option<Pid>>) {
        let Some(search) = self.runs.get_mut(&run).and_then(|entry| entry.search.as_mut()) else { return };
        search.reading = false;
        // A pid that is no process of the tree is an old one, or a lie: the file may yet be written anew.
        match result {
            Ok(Some(pid)) if self.follow(run, pid) => self.found_main(run, pid),
            _ => self.search_again(run),
        }
    }

    fn found_main(&mut self, run: RunId, pid: Pid) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.search = None;
            if let Some(held) = entry.held.as_mut() {
                held.let_go(&mut self.poller);
            }
            self.inputs.push_back(Input::MainFound(run, pid));
            self.write_pidfile(run, pid);
        }
    }
}

fn oldest(held: &Held) -> Option<Pid> {
    let members = held.tree.members().ok()?;
    members
        .into_iter()
        .filter_map(|pid| identity::Stat::of(pid).ok().map(|stat| (stat.start_time, pid)))
        .min()
        .map(|(_, pid)| pid)
}

/// What is to be prepared for a run of this process.
fn wanted(process: ProcessId, spec: &Arc<Spec>, place: &Place) -> Wanted {
    Wanted {
        spec: spec.clone(),
        command: None,
        user: None,
        bind_notify: prepare::wants_notify(spec) && place.notify.is_none(),
        notify_name: Place::notify_name(process),
        open_log: place.needs_log_file(spec),
    }
}

fn stdio(place: &mut Place, stream: StreamKind, sink: &Sink) -> Result<Stdio, SpawnError> {
    match sink {
        Sink::Capture => place
            .writer(stream)
            .map(Stdio::Fd)
            .map_err(|e| system_error(SpawnStep::Pipe, "cannot make the pipe of its output", &e)),
        Sink::Other(stdio) => Ok(stdio.clone()),
    }
}

pub(super) fn system_error(step: SpawnStep, what: &str, error: &std::io::Error) -> SpawnError {
    SpawnError { step, errno: error.raw_os_error(), message: format!("{what}: {error}") }
}
