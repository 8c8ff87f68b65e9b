//! Hooks: one at a time, in their order, each with a deadline of the driver's and a later one of ours.

use super::event::{Cause, Ending, EventKind};
use super::ids::ProcessId;
use super::input::{HookKind, HookResult};
use super::machine::Machine;
use super::output::{HOOK_GRACE, Output};
use super::process::{Goal, Rest, Rung, Running, StartPhase, Starting, State, StopPhase, Stopping};
use super::reply::{Done, Refusal};
use super::timers::TimerKind;
use crate::spec::{Hook, Hooks};

impl Machine {
    /// Starts the hook of this kind and index of the live run. Whether there is one.
    pub(super) fn run_hook(&mut self, id: ProcessId, kind: HookKind, index: usize) -> bool {
        let hook = self.run_of(id).and_then(|run| of_kind(&run.spec.hooks, kind).get(index).cloned());
        match hook {
            Some(hook) => {
                self.start_hook(id, kind, hook);
                true
            }
            None => false,
        }
    }

    /// Starts a hook of the live run.
    pub(super) fn start_hook(&mut self, id: ProcessId, kind: HookKind, hook: Hook) {
        let Some(run) = self.run_of(id) else { return };
        let (run, spec) = (run.id, run.spec.to_arc());
        if kind != HookKind::Reload {
            self.set_timer(id, TimerKind::Hook, hook.timeout.saturating_add(HOOK_GRACE));
        }
        self.output(Output::RunHook { run, process: id, kind, spec, hook });
    }

    /// Has the hook of this kind that is in flight killed.
    pub(super) fn cancel_hook(&mut self, id: ProcessId, kind: HookKind) {
        self.clear_timer(id, TimerKind::Hook);
        if let Some(run) = self.run_of(id).map(|run| run.id) {
            self.output(Output::CancelHook(run, kind));
        }
    }

    /// Starts the on_failure hook of this index, or lets go of the run when there is none.
    pub(super) fn on_failure(&mut self, id: ProcessId, index: usize) {
        let Some(p) = self.processes.get_mut(id) else { return };
        let State::Rest(Rest { alarm, .. }) = &mut p.state else { return };
        let Some(current) = alarm else { return };
        let (run, spec) = (current.run, current.spec.to_arc());
        match spec.hooks.on_failure.get(index).cloned() {
            Some(hook) => {
                current.index = index;
                self.set_timer(id, TimerKind::Hook, hook.timeout.saturating_add(HOOK_GRACE));
                self.output(Output::RunHook { run, process: id, kind: HookKind::OnFailure, spec, hook });
            }
            None => {
                *alarm = None;
                self.clear_timer(id, TimerKind::Hook);
                self.release(run);
                self.arm_if_listening(id);
                self.forget_if_over(id);
            }
        }
    }

    /// Gives up the on_failure hooks in progress: the process goes on.
    pub(super) fn forget_alarm(&mut self, id: ProcessId) {
        let Some(p) = self.processes.get_mut(id) else { return };
        let State::Rest(Rest { alarm, .. }) = &mut p.state else { return };
        if let Some(alarm) = alarm.take() {
            self.clear_timer(id, TimerKind::Hook);
            self.output(Output::CancelHook(alarm.run, HookKind::OnFailure));
            self.release(alarm.run);
        }
    }

    /// The driver did not even say that a hook timed out.
    pub(super) fn hook_timed_out(&mut self, id: ProcessId) {
        let kind = match self.state(id) {
            Some(State::Starting(Starting { phase: StartPhase::BeforeStart(_), .. })) => HookKind::BeforeStart,
            Some(State::Starting(Starting { phase: StartPhase::AfterStart(_), .. })) => HookKind::AfterStart,
            Some(State::Running(Running { after_start: Some(_), .. })) => HookKind::AfterStart,
            Some(State::Stopping(Stopping { phase, .. })) => match phase {
                StopPhase::CancelledHook => HookKind::BeforeStart,
                StopPhase::BeforeStop(_) => HookKind::BeforeStop,
                StopPhase::Command => HookKind::StopCommand,
                StopPhase::AfterStop(_) => HookKind::AfterStop,
                _ => return,
            },
            Some(State::Rest(Rest { alarm: Some(_), .. })) => HookKind::OnFailure,
            _ => return,
        };
        self.hook_finished(id, kind, HookResult::Failed("did not end in time".into()));
    }

    pub(super) fn hook_finished(&mut self, id: ProcessId, kind: HookKind, result: HookResult) {
        match (self.state(id), kind) {
            (Some(State::Starting(Starting { phase: StartPhase::BeforeStart(index), .. })), HookKind::BeforeStart) => {
                let index = *index;
                self.before_start_finished(id, index, result);
            }
            (Some(State::Starting(Starting { phase: StartPhase::AfterStart(index), run })), HookKind::AfterStart) => {
                let (next, leader) = (index + 1, run.leader);
                self.told(id, kind, result);
                if self.run_hook(id, kind, next) {
                    self.set_start_phase(id, StartPhase::AfterStart(next));
                } else if let super::process::Leader::Gone(status) = leader {
                    // No hook is in flight any more: none is to be called off.
                    self.set_start_phase(id, StartPhase::Readying);
                    self.leader_ended(id, Ending::Exit(status));
                }
            }
            (Some(State::Running(Running { after_start: Some(index), .. })), HookKind::AfterStart) => {
                let next = index + 1;
                self.told(id, kind, result);
                let more = self.run_hook(id, kind, next);
                self.set_after_start(id, more.then_some(next));
            }
            (Some(State::Stopping(Stopping { phase, .. })), _) => {
                let phase = phase.clone();
                self.stop_hook_finished(id, &phase, kind, result);
            }
            (Some(State::Rest(Rest { alarm: Some(alarm), .. })), HookKind::OnFailure) => {
                let next = alarm.index + 1;
                self.told(id, kind, result);
                self.on_failure(id, next);
            }
            (Some(State::Running(Running { run, .. })), HookKind::Reload) if run.reloading => {
                self.reload_finished(id, result)
            }
            _ => self.drop_input(),
        }
    }

    fn before_start_finished(&mut self, id: ProcessId, index: usize, result: HookResult) {
        self.clear_timer(id, TimerKind::Hook);
        match result {
            HookResult::Done => self.before_start(id, index + 1),
            HookResult::Failed(reason) => {
                let hook = HookKind::BeforeStart;
                self.emit(id, EventKind::HookFailed { hook, reason: reason.clone() }, Cause::Progress);
                self.run_over(id, Ending::Hook(hook, reason));
            }
        }
    }

    fn stop_hook_finished(&mut self, id: ProcessId, phase: &StopPhase, kind: HookKind, result: HookResult) {
        match (phase, kind) {
            (StopPhase::CancelledHook, HookKind::BeforeStart) => {
                self.clear_timer(id, TimerKind::Hook);
                self.after_stop(id, 0);
            }
            (StopPhase::BeforeStop(index), HookKind::BeforeStop) => {
                self.told(id, kind, result);
                self.before_stop(id, index + 1);
            }
            (StopPhase::Command, HookKind::StopCommand) => {
                self.told(id, kind, result);
                self.wind_down(id, Rung::Step(0));
            }
            (StopPhase::AfterStop(index), HookKind::AfterStop) => {
                self.told(id, kind, result);
                self.after_stop(id, index + 1);
            }
            _ => self.drop_input(),
        }
    }

    fn reload_finished(&mut self, id: ProcessId, result: HookResult) {
        let name = self.name_of(id);
        self.set_reloading(id, false);
        match &result {
            HookResult::Done => self.answer(id, Goal::Reloaded, |_| Ok(Done::Sent)),
            HookResult::Failed(reason) => {
                self.answer(id, Goal::Reloaded, |_| {
                    Err(Refusal::Failed { name: name.clone(), reason: reason.clone() })
                });
            }
        }
        if let HookResult::Failed(reason) = result {
            self.emit(id, EventKind::HookFailed { hook: HookKind::Reload, reason }, Cause::Progress);
        }
        self.reload_if_due(id, Cause::Progress);
    }

    pub(super) fn set_reloading(&mut self, id: ProcessId, reloading: bool) {
        if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
            run.reloading = reloading;
        }
    }

    /// The process is being stopped, and with it a reload command that is under way.
    pub(super) fn give_up_reload(&mut self, id: ProcessId) {
        if self.run_of(id).is_some_and(|run| run.reloading) {
            self.cancel_hook(id, HookKind::Reload);
            self.set_reloading(id, false);
            let name = self.name_of(id);
            let reason = "it ended while it was reloading";
            self.answer(id, Goal::Reloaded, |_| Err(Refusal::Failed { name: name.clone(), reason: reason.into() }));
        }
    }

    /// A hook whose failure changes nothing ended.
    fn told(&mut self, id: ProcessId, hook: HookKind, result: HookResult) {
        self.clear_timer(id, TimerKind::Hook);
        if let HookResult::Failed(reason) = result {
            self.emit(id, EventKind::HookFailed { hook, reason }, Cause::Progress);
        }
    }
}

fn of_kind(hooks: &Hooks, kind: HookKind) -> &[Hook] {
    match kind {
        HookKind::BeforeStart => &hooks.before_start,
        HookKind::AfterStart => &hooks.after_start,
        HookKind::BeforeStop => &hooks.before_stop,
        HookKind::AfterStop => &hooks.after_stop,
        HookKind::OnFailure => &hooks.on_failure,
        HookKind::StopCommand | HookKind::Reload => &[],
    }
}
