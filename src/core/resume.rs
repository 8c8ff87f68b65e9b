//! The successor of a supervisor that died: what was asked for is asked again, and what outlived it is taken in.
//!
//! The order is [`from_records`](Machine::from_records), then [`resume`](Machine::resume), then one answer for each of the
//! [`live_runs`](Machine::live_runs). What became of them in the gap comes as ordinary news, so it finds the machine as it would
//! have found the one that died.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Cause, Ending, EventKind};
use super::ids::{Pid, ProcessId, RunId};
use super::input::{Adoption, ExitStatus, HookKind, Notification, ProbeKind, SpawnError, SpawnStep};
use super::machine::{Machine, Mode};
use super::output::{Output, Scope};
use super::process::{
    Early, Leader, Origin, Process, Rest, Run, Running, StartPhase, Starting, State, StopPhase, Stopping, WaitFor,
};
use super::time::Now;
use super::timers::TimerKind;
use crate::spec::{ProcessType, Reload, Signal, Spec, StopMode};

/// What came due while nobody listened waits this much longer, so that the news that are queued are heard before it.
const MOMENT: Duration = Duration::from_secs(1);

/// A run of which something may live on after its supervisor died.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRun {
    /// The run.
    pub run: RunId,
    /// Whose it is.
    pub process: ProcessId,
    /// What it runs by.
    pub spec: Arc<Spec>,
    /// Its main process (a forking type's parent until the daemon is known), when it was last known to live.
    pub main: Option<Pid>,
    /// Processes that were the main one, and were last known to live.
    pub former: Vec<Pid>,
    /// Whether its child may have been made without anybody knowing its pid. Answer with
    /// [`Adoption::Alive`] when it is found, else with [`Input::SpawnFailed`](super::Input::SpawnFailed), as a lack of resources.
    pub spawning: bool,
}

impl Machine {
    /// Runs whose program was executed, or may have been. Each is to be looked for after a restore, and answered with
    /// [`Input::Adopted`](super::Input::Adopted) once the machine was [resumed](Machine::resume), before any other input; the ends of former main processes come as
    /// [`Input::Exited`](super::Input::Exited), as ever.
    ///
    /// Of every other run nothing may live on (hooks, probes, children that are not executed): kill what is left of it before `resume`.
    /// Only what a run with stop mode `process` left behind when it was over is left alone.
    pub fn live_runs(&self) -> Vec<LiveRun> {
        self.processes.iter().filter_map(|p| live_run(p.id, &p.state)).collect()
    }

    /// For the successor of a supervisor that died: asks again for everything that was asked for and not answered.
    ///
    /// - A preparation is made again, under the same run. Hooks are run again, `before_start` hooks from the first (what they
    ///   prepared may be gone with the supervisor), all others from the one that was running: their processes belonged to
    ///   the old supervisor's trees and were killed with them. So does a reload command.
    /// - A hook that was being cancelled is cancelled again, which is answered although nothing is left of it.
    /// - A spawn is not asked for again: its child may live. It is one of the [`live_runs`](Machine::live_runs).
    /// - The signal of the rung that a stop stands on is sent again; a tree that was being killed is killed again.
    /// - Probes in flight are made again; sockets that were armed are armed again; a search for a daemon is made again.
    /// - Limits that may have been changed while a run lived are set again.
    /// - The end of a shutdown is told again.
    ///
    /// Deadlines stay what they were, but none that would end or kill something comes before the news that are
    /// queued can be heard, and the watchdog's interval begins anew. Events that were not delivered are not told again.
    pub fn resume(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        if let Mode::Finished { code } = self.mode {
            let stuck = self.processes.iter().filter(|p| p.state.is_stuck()).map(|p| p.id).collect();
            return self.output(Output::Finished { code, stuck });
        }
        let ids = self.processes.ids();
        for id in &ids {
            self.resume_process(*id);
        }
        for id in &ids {
            self.end_without_connection(*id);
        }
        for id in ids {
            self.end_what_had_ended(id);
        }
        self.settle();
        self.finish_if_down();
    }

    fn resume_process(&mut self, id: ProcessId) {
        for kind in [TimerKind::Start, TimerKind::Stop, TimerKind::Stuck] {
            let due = self.process(id).and_then(|p| p.deadlines.get(kind));
            if due.is_some_and(|at| at < self.now.mono.after(MOMENT)) {
                self.set_timer(id, kind, MOMENT);
            }
        }
        self.resume_limits(id);
        match self.state(id).cloned() {
            Some(State::Starting(Starting { run, phase })) => self.resume_start(id, run, phase),
            Some(State::Running(Running { after_start, run })) => {
                if let Some(index) = after_start {
                    self.run_hook(id, HookKind::AfterStart, index);
                }
                match &run.spec.reload {
                    Some(Reload::Command(words)) if run.reloading => self.run_reload_command(id, words.clone()),
                    _ if run.reloading => self.set_reloading(id, false),
                    _ => {}
                }
                if self.in_flight(id, ProbeKind::Health) {
                    self.ask_for_health(id);
                }
                if self.counts_connections(id) {
                    self.count_connections(id);
                }
                if self.process(id).is_some_and(|p| p.deadlines.get(TimerKind::Watchdog).is_some()) {
                    self.begin_watchdog(id);
                }
            }
            Some(State::Stopping(stopping)) => self.resume_stop(id, &stopping),
            Some(State::Rest(Rest { alarm: Some(alarm), .. })) => self.on_failure(id, alarm.index),
            // Whether they can be had again is to be seen.
            // Whether its listeners can be had again is to be seen.
            Some(State::Waiting(waiting)) if !matches!(waiting.on, WaitFor::Holds(_)) => {
                self.listen(id, waiting.start.fallback);
            }
            _ => {}
        }
    }

    /// Limits that may have been changed since the run was prepared are put in force again.
    fn resume_limits(&mut self, id: ProcessId) {
        let Some(p) = self.processes.get(id) else { return };
        // Of these nothing lives that could have limits.
        let bare = match &p.state {
            State::Starting(Starting { phase, .. }) => phase.is_before_spawn(),
            State::Stopping(Stopping { phase, .. }) => {
                matches!(phase, StopPhase::CancelledHook | StopPhase::AfterStop(_))
            }
            _ => false,
        };
        if let Some(run) = p.state.run().filter(|run| !bare && run.prepared_with != run.spec.number) {
            let (run, limits) = (run.id, run.spec.limits.clone());
            self.output(Output::SetLimits { run, limits });
        }
    }

    fn resume_start(&mut self, id: ProcessId, run: Run, phase: StartPhase) {
        if phase.is_before_spawn() && self.process(id).is_some_and(Process::is_instance) {
            return;
        }
        match phase {
            StartPhase::Preparing | StartPhase::BeforeStart(_) => {
                self.clear_timer(id, TimerKind::Hook);
                if let Some(State::Starting(starting)) = self.processes.get_mut(id).map(|p| &mut p.state) {
                    starting.phase = StartPhase::Preparing;
                    starting.run.prepared_with = starting.run.spec.number;
                }
                self.output(Output::Prepare { run: run.id, process: id, spec: run.spec.to_arc(), connection: None });
            }
            StartPhase::Spawning => {}
            StartPhase::Readying if run.leader == Leader::Sought => self.output(Output::FindMain(run.id)),
            StartPhase::Readying => {
                if self.in_flight(id, ProbeKind::Ready) {
                    self.ask_whether_ready(id);
                }
            }
            StartPhase::AfterStart(index) => {
                self.run_hook(id, HookKind::AfterStart, index);
            }
        }
    }

    fn resume_stop(&mut self, id: ProcessId, stopping: &Stopping) {
        let run = &stopping.run;
        match &stopping.phase {
            StopPhase::Ordered(_) | StopPhase::AwaitExec => {}
            StopPhase::CancelledHook => self.output(Output::CancelHook(run.id, HookKind::BeforeStart)),
            StopPhase::BeforeStop(index) => {
                self.run_hook(id, HookKind::BeforeStop, *index);
            }
            StopPhase::Command => self.run_stop_command(id),
            StopPhase::Ladder(rung) => {
                if let Some((signal, _, scope)) = self.rung(id, *rung) {
                    self.send_rung(run.id, signal, scope);
                }
                if matches!(run.leader, Leader::Gone(_)) {
                    self.output(Output::WatchTree(run.id));
                }
            }
            StopPhase::Emptying => self.output(Output::WatchTree(run.id)),
            StopPhase::Killed | StopPhase::Stuck(_) => self.send_kill(id),
            StopPhase::AfterStop(index) => {
                // Without its deadline it was being cancelled.
                if self.process(id).is_some_and(|p| p.deadlines.get(TimerKind::Hook).is_some()) {
                    self.run_hook(id, HookKind::AfterStop, *index);
                } else {
                    self.output(Output::CancelHook(run.id, HookKind::AfterStop));
                }
            }
        }
    }

    /// The connection of an instance that was not executed yet was closed with the supervisor.
    fn end_without_connection(&mut self, id: ProcessId) {
        let Some(p) = self.processes.get(id) else { return };
        let waits = match &p.state {
            _ if !p.is_instance() => return,
            State::Waiting(_) => true,
            State::Starting(Starting { phase, .. }) if phase.is_before_spawn() => false,
            _ => return,
        };
        if let Some(Origin::Instance { connection, .. }) = self.processes.get_mut(id).map(|p| &mut p.origin) {
            *connection = None;
        }
        let message = "its connection was closed when the supervisor before this one died".to_owned();
        let ending = Ending::Spawn(SpawnError { step: SpawnStep::Socket, errno: None, message });
        if waits { self.fail_waiting(id, ending) } else { self.run_over(id, ending) }
    }

    /// The end of a child came before the news that it was executed, which now never comes: so it was executed.
    fn end_what_had_ended(&mut self, id: ProcessId) {
        if let Some(pid) = self.run_of(id).and_then(ended_early) {
            self.executed(id, pid);
        }
    }

    /// A run that outlived the supervisor was looked for.
    pub(super) fn adopted(&mut self, id: ProcessId, adoption: Adoption) {
        let Some(run) = self.run_of(id) else { return self.drop_input() };
        let (run, leader) = (run.id, run.leader);
        match adoption {
            Adoption::Alive(pid) => self.emit(id, EventKind::Adopted { pid: Some(pid) }, Cause::Progress),
            Adoption::LeaderGone(_) => self.emit(id, EventKind::Adopted { pid: None }, Cause::Progress),
            Adoption::Gone(_) => {}
        }
        match (leader, adoption) {
            (Leader::None, Adoption::Alive(pid)) => self.executed(id, pid),
            (Leader::None, Adoption::LeaderGone(status) | Adoption::Gone(status)) => self.executed_and_gone(id, status),
            (Leader::Sought, Adoption::Alive(pid)) => self.main_found(id, pid),
            (Leader::Alive(known) | Leader::Parent(known), Adoption::Alive(pid)) => {
                if known != pid {
                    self.leader_is(id, Leader::Alive(pid));
                    self.emit(id, EventKind::MainPid { pid }, Cause::Progress);
                }
            }
            (Leader::Alive(pid) | Leader::Parent(pid), Adoption::LeaderGone(status) | Adoption::Gone(status)) => {
                self.exited(id, pid, status);
            }
            (Leader::Sought | Leader::Gone(_), _) => {}
        }
        let same = self.run_of(id).is_some_and(|now| now.id == run);
        let awaited = |phase: &StopPhase| {
            matches!(phase, StopPhase::Ladder(_) | StopPhase::Emptying | StopPhase::Killed | StopPhase::Stuck(_))
        };
        let awaited = self.stopping(id).is_some_and(|stopping| awaited(&stopping.phase));
        if same && awaited && matches!(adoption, Adoption::Gone(_)) {
            self.tree_empty(id);
        }
    }

    /// A child of an unknown pid was executed, and its program ended.
    fn executed_and_gone(&mut self, id: ProcessId, status: ExitStatus) {
        if self.mark_executed(id, Leader::Gone(status)).is_none() {
            return self.drop_input();
        }
        if let Some(p) = self.processes.get_mut(id) {
            p.last.exit = Some(status);
        }
        if self.start_phase(id).is_some() {
            self.set_start_phase(id, StartPhase::Readying);
            self.main_exited(id, status);
        } else {
            self.executed_unwanted(id);
        }
    }

    /// Sends a rung's signal.
    pub(super) fn send_rung(&mut self, run: RunId, signal: Signal, scope: Scope) {
        self.output(Output::Signal { run, signal, scope });
        if signal != Signal::CONT {
            // What is stopped (SIGSTOP) would not act on the signal until it is continued.
            self.output(Output::Signal { run, signal: Signal::CONT, scope });
        }
    }

    /// Sends SIGKILL to all of it (in mode `process`: to the main process).
    pub(super) fn send_kill(&mut self, id: ProcessId) {
        let Some(run) = self.run_of(id) else { return };
        let (alone, run) = (run.spec.stop.mode == StopMode::Process && run.leader != Leader::None, run.id);
        if alone {
            self.output(Output::Signal { run, signal: Signal::KILL, scope: Scope::Main });
        } else {
            self.output(Output::KillTree(run));
        }
    }
}

fn live_run(process: ProcessId, state: &State) -> Option<LiveRun> {
    let spawning = match state {
        State::Starting(Starting { phase: StartPhase::Preparing | StartPhase::BeforeStart(_), .. }) => return None,
        State::Stopping(Stopping { phase: StopPhase::CancelledHook | StopPhase::AfterStop(_), .. }) => return None,
        state => state.run()?.leader == Leader::None,
    };
    let run = state.run()?;
    let (main, former) = match ended_early(run) {
        Some(pid) => after_early_news(run, pid),
        None => (run.pid(), run.former.clone()),
    };
    let spawning = spawning && ended_early(run).is_none();
    Some(LiveRun { run: run.id, process, spec: run.spec.to_arc(), main, former, spawning })
}

/// The pid of a child whose end was heard of before its execution; not that of a process it made its main one.
fn ended_early(run: &Run) -> Option<Pid> {
    let made_main = |pid: Pid| run.early.contains(&Early::Notified(Notification::MainPid(pid)));
    let ended = |news: &Early| match news {
        Early::Exited(pid, _) if !made_main(*pid) => Some(*pid),
        _ => None,
    };
    run.early.iter().find_map(ended).filter(|_| run.leader == Leader::None)
}

/// Who is the main process, and who was before, once that news is taken in.
fn after_early_news(run: &Run, executed: Pid) -> (Option<Pid>, Vec<Pid>) {
    let (mut main, mut former) = (Some(executed), Vec::new());
    for news in &run.early {
        match news {
            Early::Notified(Notification::MainPid(pid)) if run.spec.process_type != ProcessType::Forking => {
                if let Some(old) = main.filter(|old| old != pid) {
                    former.retain(|other| other != pid);
                    former.push(old);
                    main = Some(*pid);
                }
            }
            Early::Exited(pid, _) if main == Some(*pid) => main = None,
            Early::Exited(pid, _) => former.retain(|other| other != pid),
            Early::Notified(_) | Early::LogLine => {}
        }
    }
    (main, former)
}
