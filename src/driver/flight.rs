//! A child's way from the clone to its end, whether it is a run's or a hook's.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::engine::Engine;
use super::held::Held;
use super::place::{Block, Place};
use super::prepare::Sink;
use super::sources::{Owner, Source, Token};
use super::spawn::{Finish, InFlight, Launch, Stdio};
use super::task::TaskRun;
use super::{exit, identity};
use crate::anchor::Key;
use crate::core::{ExitStatus, Input, Pid, ProcessId, RunId, SpawnError, SpawnStep};
use crate::log::StreamKind;
use crate::spec::{ProcessType, Signal};

/// The child that was made for the run.
pub(super) enum RunChild {
    /// Not made yet.
    None,
    /// On its way to its program.
    Flight(InFlight, Token, Token),
    /// Executed.
    Alive(Pid, OwnedFd, Token),
    /// A task's future, which is no child at all.
    Task(TaskRun),
    /// Ended; kept a zombie so that its process group stays its own.
    Pinned(OwnedFd),
    /// Ended and reaped, or never executed.
    Gone,
}

impl Engine {
    /// Makes the child of a run.
    pub(super) fn spawn(&mut self, run: RunId) {
        if self.runs.get(&run).is_some_and(|entry| entry.spec.task) {
            return self.begin_task(run);
        }
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
        let mut held = Held::new(self.trees.create_limited(&name, run, &entry.limits)?);
        let mut launch = self.complete(process, run, &block, &held)?;
        self.limit(process, &mut held, &mut launch)?;
        self.pass_sockets(run, &mut launch)?;
        let flight = self.launcher.launch(launch)?;
        held.tree.set_leader(flight.pid());
        let child = self.watch_flight(Owner::Run(run), flight, &held)?;
        let Some(entry) = self.runs.get_mut(&run) else { return Err(gone()) };
        entry.child = child;
        entry.held = Some(held);
        self.watch_limits(run);
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
        let process = self.machine.instance_of(process).unwrap_or(process);
        if let Some(place) = self.places.get_mut(&process) {
            launch.stdio = [
                Stdio::Null,
                stdio(place, StreamKind::Stdout, &block.stdout, |fd| {
                    Engine::hold(self.kept.as_ref(), Key::stdout(process), fd);
                })?,
                stdio(place, StreamKind::Stderr, &block.stderr, |fd| {
                    Engine::hold(self.kept.as_ref(), Key::stderr(process), fd);
                })?,
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
                    errno: Some(Errno::EAGAIN as i32),
                    ..system_error(SpawnStep::Pipe, "cannot watch the child", &error)
                })
            }
        }
    }

    /// Kills and reaps a child in flight that cannot be watched or is no longer wanted.
    pub(super) fn abandon(&self, flight: InFlight) {
        let _ = identity::signal(flight.pidfd(), Signal::KILL);
        let mut flight = flight;
        // A killed child is gone in less than a millisecond, unless the kernel holds it; then it is let go of.
        for _ in 0..10 {
            let _ = poll(&mut [PollFd::new(flight.pidfd(), PollFlags::POLLIN)], PollTimeout::from(10u8));
            match flight.finish() {
                Finish::Pending(again) => flight = again,
                Finish::Executed(child) => return drop(exit::reap(child.pidfd.as_fd())),
                Finish::Failed(_) => return,
            }
        }
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
                            // Its client is to see the end when the program closes it.
                            entry.connection = None;
                            self.sockets.clients_passed(entry.process);
                            self.in_flight -= 1;
                            self.inputs.push_back(Input::Executed(run, pid));
                            self.record_leader(run);
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
        match flight.finish_with(|pidfd| self.poller.remove(pidfd, child)) {
            Finish::Pending(flight) => match self.poller.add(flight.exec_pipe(), Source::Exec(owner)) {
                Ok(exec) => Ok(RunChild::Flight(flight, exec, child)),
                Err(error) => {
                    self.poller.remove(flight.pidfd(), child);
                    self.abandon(flight);
                    Err(system_error(SpawnStep::Pipe, "cannot watch the child", &error))
                }
            },
            Finish::Executed(executed) => Ok(RunChild::Alive(executed.pid, executed.pidfd, child)),
            Finish::Failed(error) => Err(error),
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
        let later = self.kept.is_some();
        let status = if pins || later { exit::peek(fd.as_fd()) } else { exit::reap(fd.as_fd()) };
        let status = match status {
            Ok(Some(status)) => status,
            Ok(None) => return,
            Err(_) => ExitStatus::Unknown,
        };
        let mut ended = None;
        if let RunChild::Alive(_, fd, token) = std::mem::replace(&mut entry.child, RunChild::Gone) {
            self.poller.remove(&fd, token);
            match (pins, later) {
                (true, _) => entry.child = RunChild::Pinned(fd),
                (false, true) => ended = Some(fd),
                (false, false) => {}
            }
        }
        if entry.main.is_none() {
            entry.exit = Some(status);
        }
        let forking = entry.spec.process_type == ProcessType::Forking;
        // Known at once when nothing else is left, which saves the machine the question.
        let empty = !forking && entry.main.is_none() && entry.held.as_ref().is_some_and(Held::is_empty);
        self.explain_end(run, status);
        self.inputs.push_back(Input::Exited(run, pid, status));
        if let Some(ended) = ended {
            self.reap(ended);
        }
        if empty {
            self.tree_emptied(run);
        } else {
            self.look_again(owner);
        }
    }
}

fn stdio(
    place: &mut Place,
    stream: StreamKind,
    sink: &Sink,
    hold: impl FnOnce(BorrowedFd<'_>),
) -> Result<Stdio, SpawnError> {
    match sink {
        Sink::Capture => place
            .writer(stream, hold)
            .map(Stdio::Fd)
            .map_err(|e| system_error(SpawnStep::Pipe, "cannot make the pipe of its output", &e)),
        Sink::Other(stdio) => Ok(stdio.clone()),
    }
}

pub(super) fn system_error(step: SpawnStep, what: &str, error: &io::Error) -> SpawnError {
    SpawnError { step, errno: error.raw_os_error(), message: format!("{what}: {error}") }
}
