//! A run is over: how it ended, and what follows.

use super::backoff::Tally;
use super::commands::Ender;
use super::event::{Cause, Ending, EventKind};
use super::ids::{Pid, ProcessId, RunId};
use super::input::{ExitStatus, HookKind};
use super::machine::Machine;
use super::output::Output;
use super::process::{
    Alarm, Backoff, Due, Early, Goal, Leader, Next, Origin, Rest, Run, Start, StartPhase, StartedBy, Starting, State,
    StopPhase, Stopping, Why,
};
use super::propagate::Notice;
use super::reply::{Done, Refusal};
use super::shared::Shared;
use super::status::Want;
use super::time::Time;
use super::timers::TimerKind;
use crate::spec::{ProcessType, RestartPolicy, Signal, Spec, StopMode};

impl Machine {
    /// A process that the run was known by ended.
    pub(super) fn exited(&mut self, id: ProcessId, pid: Pid, status: ExitStatus) {
        if self.keep_early(id, || Early::Exited(pid, status)) {
            return;
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        let Some(run) = p.state.run_mut() else { return self.drop_input() };
        match run.leader {
            Leader::Alive(main) if main == pid => {
                run.leader = Leader::Gone(status);
                p.last.exit = Some(status);
                self.emit(id, EventKind::ProcessExited { pid, status }, Cause::Progress);
                self.main_exited(id, status);
            }
            Leader::Parent(parent) if parent == pid => {
                self.emit(id, EventKind::ProcessExited { pid, status }, Cause::Progress);
                self.parent_exited(id, status);
            }
            _ => match run.former.iter().position(|former| *former == pid) {
                Some(place) => {
                    run.former.swap_remove(place);
                    self.emit(id, EventKind::ProcessExited { pid, status }, Cause::Progress);
                }
                None => self.drop_input(),
            },
        }
    }

    pub(super) fn main_exited(&mut self, id: ProcessId, status: ExitStatus) {
        let Some(run) = self.run_of(id) else { return };
        let oom = run.ooms > 0 && matches!(status, ExitStatus::Signal { signal: Signal::KILL, .. });
        let success = !oom && is_success(&Ending::Exit(status), &run.spec);
        let ending = match &run.failure {
            _ if oom => Ending::Oom,
            _ if success => Ending::Exit(status),
            _ if run.pids_refused > 0 => Ending::PidsLimit(status),
            // What it said itself says more than a number.
            Some(failure) => failure.clone(),
            None => Ending::Exit(status),
        };
        let oneshot = run.spec.process_type == ProcessType::Oneshot;
        match self.state(id) {
            Some(State::Starting(_)) if oneshot && success => self.oneshot_done(id, ending),
            Some(State::Starting(_)) if success && !oneshot => self.leader_ended(id, Ending::NotReady(status)),
            Some(State::Starting(_) | State::Running(_)) => self.leader_ended(id, ending),
            Some(State::Stopping(_)) => self.leader_ended_while_stopping(id),
            _ => {}
        }
    }

    fn parent_exited(&mut self, id: ProcessId, status: ExitStatus) {
        let Some(run) = self.run_of(id) else { return };
        let (run, success) = (run.id, is_success(&Ending::Exit(status), &run.spec));
        if matches!(self.state(id), Some(State::Starting(_))) && success {
            self.leader_is(id, Leader::Sought);
            return self.output(Output::FindMain(run));
        }
        self.leader_is(id, Leader::Gone(status));
        if let Some(p) = self.processes.get_mut(id) {
            p.last.exit = Some(status);
        }
        match self.state(id) {
            Some(State::Stopping(_)) => self.leader_ended_while_stopping(id),
            _ => self.leader_ended(id, Ending::Exit(status)),
        }
    }

    /// A oneshot ended well.
    fn oneshot_done(&mut self, id: ProcessId, ending: Ending) {
        let remain = self.run_of(id).is_some_and(|run| run.spec.remain);
        self.clear_timer(id, TimerKind::Start);
        if remain {
            self.ready(id, Cause::Ended(ending));
        } else if self.run_hook(id, HookKind::AfterStart, 0) {
            self.set_start_phase(id, StartPhase::AfterStart(0));
        } else {
            self.leader_ended(id, ending);
        }
    }

    /// The main process ended without having been asked to.
    pub(super) fn leader_ended(&mut self, id: ProcessId, ending: Ending) {
        let was_running = matches!(self.state(id), Some(State::Running(_)));
        let cause = Cause::Ended(ending.clone());
        self.begin_stopping(id, StopPhase::Emptying, Next::Policy, &cause);
        let Some(p) = self.processes.get_mut(id) else { return };
        let State::Stopping(stopping) = &mut p.state else { return };
        stopping.ending = Some(ending);
        let (run, mode) = (stopping.run.id, stopping.run.spec.stop.mode);
        if was_running {
            self.notice(Notice::LeftRunning(id));
        }
        if mode == StopMode::Process {
            self.after_stop(id, 0);
        } else {
            self.output(Output::WatchTree(run));
        }
    }

    fn leader_ended_while_stopping(&mut self, id: ProcessId) {
        let Some(Stopping { phase, run, .. }) = self.stopping(id) else { return };
        let (run, alone) = (run.id, run.spec.stop.mode == StopMode::Process);
        match phase {
            StopPhase::Ladder(_) | StopPhase::Killed | StopPhase::Stuck(_) if alone => self.after_stop(id, 0),
            StopPhase::Ladder(_) => self.output(Output::WatchTree(run)),
            // SIGKILL's own answer tells when the tree is empty; hooks and commands are let finish first.
            _ => {}
        }
    }

    /// Nothing of the run is left: runs the after_stop hook of this index, or concludes.
    pub(super) fn after_stop(&mut self, id: ProcessId, index: usize) {
        self.clear_timers(id);
        if self.run_hook(id, HookKind::AfterStop, index) {
            return self.set_stop_phase(id, StopPhase::AfterStop(index));
        }
        if let Some(Stopping { run, ending, next, by, .. }) = self.stopping(id).cloned() {
            self.conclude(id, Over { run, ending, next, by });
        }
    }

    /// A start came to nothing while no process of it lives.
    pub(super) fn run_over(&mut self, id: ProcessId, ending: Ending) {
        let Some(State::Starting(Starting { run, phase })) = self.state(id) else { return };
        let (run, begun) = (run.clone(), *phase != StartPhase::Preparing);
        if begun && !run.spec.hooks.after_stop.is_empty() {
            let cause = Cause::Ended(ending.clone());
            self.begin_stopping(id, StopPhase::Emptying, Next::Policy, &cause);
            if let Some(p) = self.processes.get_mut(id)
                && let State::Stopping(stopping) = &mut p.state
            {
                stopping.ending = Some(ending);
            }
            return self.after_stop(id, 0);
        }
        self.clear_timers(id);
        let by = Cause::Ended(ending.clone());
        self.conclude(id, Over { run, ending: Some(ending), next: Next::Policy, by });
    }

    /// What is kept of a run that is over.
    pub(super) fn remember_run(&mut self, id: ProcessId, run: Option<&Run>) {
        let wall = self.now.wall;
        let Some(p) = self.processes.get_mut(id) else { return };
        let current = p.state.run().map(|run| (run.id, run.started_at));
        let (id, started_at) = match (run, current) {
            (Some(run), _) => (run.id, run.started_at),
            (None, Some(current)) => current,
            (None, None) => return,
        };
        p.last.run = Some(id);
        if started_at.is_some() {
            p.last.started_at = started_at;
            p.last.ended_at = Some(wall);
        }
    }

    fn conclude(&mut self, id: ProcessId, over: Over) {
        let Over { run, ending, next, by } = over;
        self.remember_run(id, Some(&run));
        let Some(p) = self.processes.get(id) else { return };
        let wanted = p.want == Want::Up && p.origin != Origin::Leaving && !self.is_shutting_down();
        match (next, ending) {
            (Next::Again(cause), _) if wanted => {
                self.notice(Notice::Down(id));
                self.release(run.id);
                self.answer(id, Goal::Down, |_| Ok(Done::State(super::event::StateName::Stopped)));
                let fallback = Why::Stopped(by);
                self.start_again(id, Start { by: StartedBy::Order, cause, fallback });
            }
            (Next::Listen, _)
                if !p.spec.listen.is_empty() && p.origin != Origin::Leaving && !self.is_shutting_down() =>
            {
                self.listen(id, Why::Stopped(by));
                self.release(run.id);
                self.notice(Notice::Down(id));
            }
            (Next::Policy, Some(ending)) if wanted => {
                let Run { id: run, spec, executed_at, .. } = run;
                self.by_policy(id, Attempt { run: Some(run), spec, executed_at, due: Due::Start }, ending);
            }
            (_, _) => {
                self.rest(id, Why::Stopped(by.clone()), by);
                self.release(run.id);
            }
        }
    }

    /// What the restart policy makes of an attempt that ended by itself.
    pub(super) fn by_policy(&mut self, id: ProcessId, attempt: Attempt, ending: Ending) {
        let (now, spec) = (self.now.mono, attempt.spec.clone());
        let success = is_success(&ending, &spec);
        let oneshot_done = success && spec.process_type == ProcessType::Oneshot;
        let lived = attempt.executed_at.map(|at| now.since(at));
        let Some(p) = self.processes.get_mut(id) else { return };
        // The connection that it was made for is gone with its run.
        let once = p.is_instance();
        if lived.is_some_and(|lived| lived >= spec.restart.reset_after) {
            p.tally.reset();
        }
        if oneshot_done && !spec.remain {
            self.oneshot_ready(id);
        }
        let starved = !once && matches!(&ending, Ending::Spawn(error) if error.is_resource());
        let mut tally = self.take_tally(id);
        let restart = &spec.restart;
        if starved {
            let delay = tally.starve(restart, &mut self.rng);
            self.put_tally(id, tally);
            self.give_back(&attempt);
            let until = now.after(delay);
            self.back_off(id, Backoff { until, delay, ending, counts: false, due: attempt.due });
            return self.notice(Notice::Down(id));
        }
        if !once && applies(restart.policy, &ending, success) {
            let delay = tally.delay(restart, &mut self.rng);
            let until = now.after(delay);
            let allowed = tally.allows(restart, until);
            if allowed && delay.is_zero() {
                tally.count(restart, now);
            }
            self.put_tally(id, tally);
            if !allowed {
                return self.fail_for_good(id, attempt, Why::Crashed(ending));
            }
            self.give_back(&attempt);
            self.notice(Notice::Down(id));
            if delay.is_zero() {
                let (name, reason) = (self.name_of(id), ending.to_string());
                self.answer(id, Goal::Ready, |_| {
                    Err(Refusal::StartFailed { name: name.clone(), reason: reason.clone(), retry_in: Some(delay) })
                });
                self.notice(Notice::Retrying(id));
                if matches!(self.state(id), Some(State::Starting(_) | State::Waiting(_))) {
                    // Else nobody would be told that this start came to nothing: the next one is a start like it.
                    let backoff = Backoff { until, delay, ending: ending.clone(), counts: false, due: attempt.due };
                    self.enter(id, State::Backoff(backoff), ending.to_string(), Cause::Ended(ending.clone()));
                }
                return self.try_again(id, attempt.due, Why::Failed(ending));
            }
            return self.back_off(id, Backoff { until, delay, ending, counts: true, due: attempt.due });
        }
        self.put_tally(id, tally);
        if success {
            self.succeed(id, &attempt, ending);
        } else {
            self.fail_for_good(id, attempt, Why::Failed(ending));
        }
    }

    fn give_back(&mut self, attempt: &Attempt) {
        if let Some(run) = attempt.run {
            self.release(run);
        }
    }

    fn take_tally(&mut self, id: ProcessId) -> Tally {
        self.processes.get_mut(id).map(|p| std::mem::take(&mut p.tally)).unwrap_or_default()
    }

    fn put_tally(&mut self, id: ProcessId, tally: Tally) {
        if let Some(p) = self.processes.get_mut(id) {
            p.tally = tally;
        }
    }

    /// A oneshot's success is its readiness.
    fn oneshot_ready(&mut self, id: ProcessId) {
        let Some(p) = self.processes.get_mut(id) else { return };
        let came_back = p.last.ready > 0;
        p.last.ready = p.last.ready.saturating_add(1);
        self.answer(id, Goal::Ready, |_| Ok(Done::State(super::event::StateName::Exited)));
        self.notice(Notice::Ready { id, came_back });
    }

    /// It ended by itself with success, and that was that.
    fn succeed(&mut self, id: ProcessId, attempt: &Attempt, ending: Ending) {
        let critical = attempt.spec.critical && attempt.spec.process_type != ProcessType::Oneshot;
        if let Some(p) = self.processes.get_mut(id) {
            p.want = Want::Down;
        }
        self.rest(id, Why::Exited(ending.clone()), Cause::Ended(ending.clone()));
        self.give_back(attempt);
        if critical {
            return self.begin_shutdown(Ender::Critical(id, ending));
        }
        self.arm_if_listening(id);
    }

    fn fail_for_good(&mut self, id: ProcessId, attempt: Attempt, why: Why) {
        if let Some(p) = self.processes.get_mut(id) {
            p.want = Want::Down;
        }
        if attempt.spec.hooks.on_failure.is_empty() {
            self.enter_failure(id, why, None);
            return self.give_back(&attempt);
        }
        let run = attempt.run.unwrap_or_else(|| self.new_run(id));
        self.enter_failure(id, why, Some(Alarm { run, spec: attempt.spec, index: 0 }));
    }

    /// It cannot be started, and no run was made for it.
    pub(super) fn fail(&mut self, id: ProcessId, why: Why) {
        let Some(p) = self.processes.get(id) else { return };
        let attempt = Attempt { run: None, spec: p.spec.clone(), executed_at: None, due: Due::Start };
        self.fail_for_good(id, attempt, why);
    }

    fn enter_failure(&mut self, id: ProcessId, why: Why, alarm: Option<Alarm>) {
        let (ending, crashed) = match &why {
            Why::Failed(ending) => (ending.clone(), false),
            Why::Crashed(ending) => (ending.clone(), true),
            _ => return,
        };
        let reason = if crashed { format!("restarted too often; last: {ending}") } else { ending.to_string() };
        let alarmed = alarm.is_some();
        let rest = State::Rest(Rest { why, skipped: None, alarm });
        self.enter(id, rest, reason.clone(), Cause::Ended(ending.clone()));
        let name = self.name_of(id);
        self.answer(id, Goal::Ready, |_| {
            Err(Refusal::StartFailed { name: name.clone(), reason: reason.clone(), retry_in: None })
        });
        self.answer_down(id);
        self.answer(id, Goal::Reloaded, |_| Err(Refusal::Failed { name: name.clone(), reason: reason.clone() }));
        self.notice(Notice::Over(id));
        self.notice(Notice::Down(id));
        self.forget_if_over(id);
        if alarmed {
            self.on_failure(id, 0);
        }
        if self.process(id).is_some_and(|p| p.spec.critical) {
            return self.begin_shutdown(Ender::Critical(id, ending));
        }
        self.arm_if_listening(id);
    }

    /// It is at rest, with nothing left and nothing due.
    pub(super) fn rest(&mut self, id: ProcessId, why: Why, cause: Cause) {
        let reason = match &why {
            Why::Exited(ending) | Why::Failed(ending) => ending.to_string(),
            Why::Crashed(ending) => format!("restarted too often; last: {ending}"),
            Why::Created | Why::Stopped(_) => String::new(),
        };
        let succeeded = matches!(why, Why::Exited(_));
        if matches!(why, Why::Crashed(_))
            && let Some(p) = self.processes.get_mut(id)
        {
            p.want = Want::Down;
        }
        self.enter(id, why.into(), reason.clone(), cause);
        let name = self.name_of(id);
        // One that is brought back goes on being waited for.
        let returns = self.process(id).is_some_and(|p| p.want == Want::Up && p.origin != Origin::Leaving);
        if !returns {
            self.answer(id, Goal::Ready, |_| {
                Err(Refusal::StartFailed { name: name.clone(), reason: reason.clone(), retry_in: None })
            });
        }
        self.answer_down(id);
        self.answer(id, Goal::Reloaded, |_| Err(Refusal::Failed { name: name.clone(), reason: "it ended".into() }));
        if !returns {
            self.notice(if succeeded { Notice::Ended(id) } else { Notice::Over(id) });
        }
        self.notice(Notice::Down(id));
        self.forget_if_over(id);
    }

    /// It is at rest: whoever waits for that is told, unless instances of it live on.
    fn answer_down(&mut self, id: ProcessId) {
        if !self.has_instances(id) {
            self.answer(id, Goal::Down, |state| Ok(Done::State(state)));
        }
    }

    pub(super) fn oom(&mut self, id: ProcessId) {
        if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
            run.ooms = run.ooms.saturating_add(1);
            self.emit(id, EventKind::Oom, Cause::Progress);
        } else {
            self.drop_input();
        }
    }

    /// The kernel refused its tree a process, for there are as many as its limit allows.
    pub(super) fn pids_refused(&mut self, id: ProcessId) {
        let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) else { return self.drop_input() };
        run.pids_refused = run.pids_refused.saturating_add(1);
        // A program that goes on trying is told of once.
        if run.pids_refused == 1 {
            self.emit(id, EventKind::PidsLimit, Cause::Progress);
        }
    }
}

/// A try to get a process up, or its listeners bound, that is over: what the restart policy asks of it.
pub(super) struct Attempt {
    /// The run, if it came to one.
    pub(super) run: Option<RunId>,
    pub(super) spec: Shared,
    pub(super) executed_at: Option<Time>,
    /// What is tried again, if anything is.
    pub(super) due: Due,
}

/// A run that is over, with all that decides what follows.
struct Over {
    run: Run,
    ending: Option<Ending>,
    next: Next,
    by: Cause,
}

/// Whether this is a success for this process (systemd.service(5), `SuccessExitStatus=`).
pub(super) fn is_success(ending: &Ending, spec: &Spec) -> bool {
    match ending {
        Ending::Exit(ExitStatus::Code(code)) => *code == 0 || spec.success_exit_status.contains(code),
        Ending::Exit(ExitStatus::Signal { signal, .. }) => {
            let clean = matches!(*signal, Signal::HUP | Signal::INT | Signal::TERM | Signal::PIPE);
            (clean && spec.process_type != ProcessType::Oneshot) || spec.success_signals.contains(signal)
        }
        _ => false,
    }
}

/// Whether a run that ended so is followed by another (the table of systemd.service(5), `Restart=`).
fn applies(policy: RestartPolicy, ending: &Ending, success: bool) -> bool {
    match ending {
        Ending::Dependency(..) | Ending::Conflict(..) => return false,
        // Being unhealthy for too long restarts it because its health check says so, whatever the policy.
        Ending::Unhealthy(_) => return true,
        _ => {}
    }
    let status = ending.status();
    let killed =
        matches!(status, Some(ExitStatus::Signal { .. })) || matches!(ending, Ending::Oom | Ending::Panicked(_));
    let signal = killed && !success;
    let unknown = matches!(status, Some(ExitStatus::Unknown));
    let timeout = matches!(ending, Ending::StartTimeout | Ending::StartTimeoutAfter(_));
    let watchdog = matches!(ending, Ending::Watchdog);
    match policy {
        RestartPolicy::Never => false,
        RestartPolicy::Always => true,
        RestartPolicy::OnSuccess => success,
        RestartPolicy::OnFailure => !success,
        RestartPolicy::OnAbnormal => signal || unknown || timeout || watchdog,
        RestartPolicy::OnAbort => signal,
        RestartPolicy::OnWatchdog => watchdog,
    }
}

/// The exit code an instance ends with when this ended its critical process.
pub(super) fn exit_code(ending: &Ending) -> i32 {
    match (ending, ending.status()) {
        (_, Some(ExitStatus::Code(code))) => code,
        (Ending::NotReady(ExitStatus::Code(code)), _) => *code,
        (_, Some(ExitStatus::Signal { signal, .. })) => 128 + signal.number(),
        (Ending::Oom, _) => 128 + Signal::KILL.number(),
        _ => 1,
    }
}
