//! Readiness by probes, health and its thresholds, the watchdog, and what processes say of themselves.

use std::time::Duration;

use super::event::{Cause, Ending, EventKind, HealthStatus};
use super::ids::ProcessId;
use super::input::{Notification, ProbeKind};
use super::machine::Machine;
use super::output::Output;
use super::process::{Early, Health, Leader, Running, StartPhase, Starting, State, Stopping};
use super::timers::TimerKind;
use crate::spec::{Probe, ProcessType, Ready};

/// The first and the longest wait between two ready probes that give no interval of their own.
const READY_FIRST: Duration = Duration::from_millis(100);
const READY_LAST: Duration = Duration::from_secs(1);
/// How long one ready probe may take unless it says so.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// Health probes are spread by this share of their interval, so that those of many processes do not fall together.
const HEALTH_JITTER: f64 = 0.1;

impl Machine {
    /// What makes the live run ready, when that is a probe.
    fn ready_probe(&self, id: ProcessId) -> Option<Probe> {
        let run = self.run_of(id)?;
        match &run.spec.ready {
            Ready::Probe(probe) => Some(probe.clone()),
            Ready::Health => run.spec.health.as_ref().map(|health| Probe {
                target: health.target.clone(),
                interval: None,
                timeout: Some(health.timeout),
            }),
            Ready::Executed | Ready::Notify | Ready::LogLine(_) => None,
        }
    }

    /// Asks a process that is executed whether it is ready, if that is how it tells.
    pub(super) fn ask_whether_ready(&mut self, id: ProcessId) {
        if self.start_phase(id) != Some(StartPhase::Readying) {
            return;
        }
        let Some(mut probe) = self.ready_probe(id) else { return };
        probe.timeout = Some(probe.timeout.unwrap_or(READY_TIMEOUT));
        if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
            run.health.attempts = run.health.attempts.saturating_add(1);
            let run = run.id;
            self.output(Output::StartProbe { run, kind: ProbeKind::Ready, probe });
        }
    }

    /// Whether a probe of this kind is in flight: it was begun, and its next one is not due yet.
    pub(super) fn in_flight(&self, id: ProcessId, kind: ProbeKind) -> bool {
        let Some(p) = self.process(id) else { return false };
        match (&p.state, kind) {
            (State::Starting(Starting { phase: StartPhase::Readying, run }), ProbeKind::Ready) => {
                run.health.attempts > 0 && p.deadlines.get(TimerKind::Ready).is_none()
            }
            (State::Running(Running { run, .. }), ProbeKind::Health) => {
                // The spec may have no health check any more: an update took it away.
                run.health.status != HealthStatus::Unknown && p.deadlines.get(TimerKind::Health).is_none()
            }
            _ => false,
        }
    }

    pub(super) fn stop_ready_probe(&mut self, id: ProcessId) {
        if self.in_flight(id, ProbeKind::Ready)
            && let Some(run) = self.run_of(id).map(|run| run.id)
        {
            self.output(Output::StopProbe(run, ProbeKind::Ready));
        }
    }

    /// Calls off the probes of a run that is no longer to be up.
    pub(super) fn end_probes(&mut self, id: ProcessId) {
        self.stop_ready_probe(id);
        if self.in_flight(id, ProbeKind::Health)
            && let Some(run) = self.run_of(id).map(|run| run.id)
        {
            self.output(Output::StopProbe(run, ProbeKind::Health));
        }
    }

    pub(super) fn probed(&mut self, id: ProcessId, kind: ProbeKind, result: Result<(), String>) {
        if !self.in_flight(id, kind) {
            return self.drop_input();
        }
        match kind {
            ProbeKind::Ready => self.ready_probed(id, result),
            ProbeKind::Health => self.health_probed(id, result),
        }
    }

    fn ready_probed(&mut self, id: ProcessId, result: Result<(), String>) {
        let interval = self.ready_probe(id).and_then(|probe| probe.interval);
        let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) else { return };
        match result {
            Ok(()) => {
                // It is not in flight any more: nothing is to be called off when the process becomes ready.
                run.health.attempts = 0;
                if run.spec.ready == Ready::Health {
                    run.health.status = HealthStatus::Healthy;
                }
                self.ready(id, Cause::Progress);
            }
            Err(reason) => {
                run.health.reason = reason;
                let growth = 1_u32 << run.health.attempts.saturating_sub(1).min(8);
                let wait = interval.unwrap_or_else(|| (READY_FIRST * growth).min(READY_LAST));
                self.set_timer(id, TimerKind::Ready, wait.max(Duration::from_millis(1)));
            }
        }
    }

    /// Begins to ask a process that became ready for its health.
    pub(super) fn begin_health(&mut self, id: ProcessId) {
        let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) else { return };
        if run.spec.health.is_none() || !matches!(run.leader, Leader::Alive(_)) {
            return;
        }
        let from = HealthStatus::Unknown;
        if run.health.status == HealthStatus::Unknown {
            run.health = Health { status: HealthStatus::Starting, ..Health::default() };
        }
        let to = run.health.status;
        self.emit(id, EventKind::Health { from, to, reason: String::new() }, Cause::Progress);
        self.next_health(id);
    }

    fn next_health(&mut self, id: ProcessId) {
        let Some(interval) = self.run_of(id).and_then(|run| run.spec.health.as_ref()).map(|health| health.interval)
        else {
            return;
        };
        let spread = 1.0 + HEALTH_JITTER * self.rng.signed_unit();
        let wait = Duration::try_from_secs_f64(interval.as_secs_f64() * spread).unwrap_or(interval);
        self.set_timer(id, TimerKind::Health, wait.max(Duration::from_millis(1)));
    }

    pub(super) fn ask_for_health(&mut self, id: ProcessId) {
        if !matches!(self.state(id), Some(State::Running(_))) {
            return;
        }
        let Some(run) = self.run_of(id) else { return };
        if let Some(health) = &run.spec.health {
            let probe = Probe { target: health.target.clone(), interval: None, timeout: Some(health.timeout) };
            let run = run.id;
            self.output(Output::StartProbe { run, kind: ProbeKind::Health, probe });
        }
    }

    fn health_probed(&mut self, id: ProcessId, result: Result<(), String>) {
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) else { return };
        let spec = run.spec.clone();
        let Some(settings) = &spec.health else { return };
        let lived = run.executed_at.map_or(Duration::ZERO, |at| now.since(at));
        let health = &mut run.health;
        health.checked_at = Some(wall);
        let from = health.status;
        let mut restart = false;
        match result {
            Ok(()) => {
                health.failures = 0;
                health.successes = health.successes.saturating_add(1);
                if health.successes >= settings.successes.max(1) {
                    health.status = HealthStatus::Healthy;
                    health.reason.clear();
                }
            }
            Err(reason) if from == HealthStatus::Starting && lived < settings.start_period => health.reason = reason,
            Err(reason) => {
                health.successes = 0;
                health.failures = health.failures.saturating_add(1);
                health.reason = reason;
                restart = settings.restart_after > 0 && health.failures >= settings.restart_after;
                if restart || health.failures >= settings.retries.max(1) {
                    health.status = HealthStatus::Unhealthy;
                }
            }
        }
        let (to, reason) = (health.status, health.reason.clone());
        if from != to {
            self.emit(id, EventKind::Health { from, to, reason: reason.clone() }, Cause::Progress);
        }
        if restart {
            // The answer is in: there is no probe in flight to be called off.
            self.next_health(id);
            return self.end_run(id, Ending::Unhealthy(reason));
        }
        self.next_health(id);
    }

    pub(super) fn begin_watchdog(&mut self, id: ProcessId) {
        let wait = self.run_of(id).filter(|run| matches!(run.leader, Leader::Alive(_))).and_then(|run| run.watchdog);
        match wait.filter(|wait| !wait.is_zero()) {
            Some(wait) => self.set_timer(id, TimerKind::Watchdog, wait),
            None => self.clear_timer(id, TimerKind::Watchdog),
        }
    }

    /// Its time to report is over. What is noticed late was missed by us first: it may report once more.
    pub(super) fn watchdog_over(&mut self, id: ProcessId, late: Duration) {
        match self.run_of(id).and_then(|run| run.watchdog) {
            Some(wait) if late > wait / 4 => self.set_timer(id, TimerKind::Watchdog, wait / 2),
            _ => self.watchdog_missed(id),
        }
    }

    pub(super) fn watchdog_missed(&mut self, id: ProcessId) {
        let alive = self.run_of(id).is_some_and(|run| matches!(run.leader, Leader::Alive(_)));
        if alive && matches!(self.state(id), Some(State::Running(_))) {
            self.end_run(id, Ending::Watchdog);
        } else {
            self.drop_input();
        }
    }

    /// The awaited line was printed.
    pub(super) fn log_line(&mut self, id: ProcessId) {
        if self.keep_early(id, || Early::LogLine) {
            return;
        }
        let awaited = self.start_phase(id) == Some(StartPhase::Readying)
            && self.run_of(id).is_some_and(|run| matches!(run.spec.ready, Ready::LogLine(_)) && tells_by_itself(run));
        if awaited { self.ready(id, Cause::Progress) } else { self.drop_input() }
    }

    pub(super) fn notified(&mut self, id: ProcessId, message: Notification) {
        if self.keep_early(id, || Early::Notified(message.clone())) {
            return;
        }
        match message {
            Notification::Ready => {
                let awaited = self.start_phase(id) == Some(StartPhase::Readying)
                    && self.run_of(id).is_some_and(|run| {
                        let by_type = run.spec.process_type == ProcessType::Notify && run.spec.ready == Ready::Executed;
                        (by_type || run.spec.ready == Ready::Notify) && tells_by_itself(run)
                    });
                if awaited { self.ready(id, Cause::Progress) } else { self.drop_input() }
            }
            Notification::Status(text) => {
                if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
                    run.status_text = Some(text.clone());
                    self.emit(id, EventKind::Status { text }, Cause::Progress);
                }
            }
            Notification::Reloading => self.emit(id, EventKind::Reloading, Cause::Progress),
            Notification::Stopping => {}
            Notification::Failed(text) => self.will_fail(id, Ending::Failed(text)),
            Notification::Panicked(text) => self.will_fail(id, Ending::Panicked(text)),
            Notification::Watchdog => {
                if matches!(self.state(id), Some(State::Running(_))) {
                    self.begin_watchdog(id);
                } else {
                    self.drop_input();
                }
            }
            Notification::WatchdogTrigger => self.watchdog_missed(id),
            Notification::WatchdogInterval(interval) => {
                if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
                    run.watchdog = Some(interval);
                }
                if matches!(self.state(id), Some(State::Running(_))) {
                    self.begin_watchdog(id);
                }
            }
            Notification::MainPid(pid) => {
                let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) else { return };
                match run.leader {
                    Leader::Alive(old) if old != pid => {
                        run.former.retain(|former| *former != pid);
                        run.former.push(old);
                        run.leader = Leader::Alive(pid);
                        self.emit(id, EventKind::MainPid { pid }, Cause::Progress);
                    }
                    _ => self.drop_input(),
                }
            }
            Notification::ExtendTimeout(by) => {
                let kind = match self.state(id) {
                    Some(State::Starting(_)) => TimerKind::Start,
                    Some(State::Stopping(Stopping { .. })) => TimerKind::Stop,
                    _ => return self.drop_input(),
                };
                let at = self.now.mono.after(by);
                if self.process(id).and_then(|p| p.deadlines.get(kind)).is_some_and(|set| set < at) {
                    self.set_timer(id, kind, by);
                }
            }
        }
    }

    /// It said why it is about to end badly; its end is yet to come.
    fn will_fail(&mut self, id: ProcessId, ending: Ending) {
        if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
            run.failure = Some(ending);
        }
    }
}

/// Types whose end is their readiness do not become ready otherwise.
fn tells_by_itself(run: &super::process::Run) -> bool {
    matches!(run.leader, Leader::Alive(_)) && run.spec.process_type != ProcessType::Oneshot
}
