//! What is known of a process, as views show it.

use super::event::{HealthStatus, HoldKind};
use super::ids::{Pid, ProcessId};
use super::listen;
use super::machine::Machine;
use super::process::{Origin, Process, Rest, Running, StartPhase, Starting, State, StopPhase, Stopping, WaitFor, Why};
use super::status::{Hold, Status};
use crate::spec::units::format_duration;

impl Machine {
    /// What is known of a process.
    pub fn status(&self, id: ProcessId) -> Option<Status> {
        let p = self.process(id)?;
        let run = p.state.run();
        let health = match &p.state {
            State::Running(Running { run, .. }) => Some(&run.health),
            _ => None,
        };
        Some(Status {
            id,
            name: p.name.clone(),
            state: p.state.name(),
            reason: self.reason(p),
            want: p.want,
            health: health.map_or(HealthStatus::Unknown, |health| health.status),
            health_failures: health.map_or(0, |health| health.failures),
            health_checked_at: health.and_then(|health| health.checked_at),
            pid: run.and_then(super::process::Run::pid).filter(|pid| *pid != Pid::TASK),
            run: run.map(|run| run.id).or(p.last.run),
            run_count: p.last.executed,
            restarts: p.tally.in_row(),
            exit: p.last.exit,
            holds: self.holds_shown(p),
            retry_at: match &p.state {
                State::Backoff(backoff) => Some(backoff.until),
                _ => None,
            },
            status_text: run.and_then(|run| run.status_text.clone()),
            created_at: p.created_at,
            started_at: run.map_or(p.last.started_at, |run| run.started_at),
            ended_at: if run.is_some() { None } else { p.last.ended_at },
            since: p.since,
            runtime: p.origin == Origin::Runtime,
            instance_of: match &p.origin {
                Origin::Instance { of, .. } => Some(self.name_of(*of)),
                _ => None,
            },
            overridden: matches!(p.origin, Origin::Plan { replaced: Some(_) }),
        })
    }

    /// How many runs of a process were executed; 0 also when there is no such process.
    pub fn run_count(&self, id: ProcessId) -> u32 {
        self.process(id).map_or(0, |p| p.last.executed)
    }

    fn holds_shown(&self, p: &Process) -> Vec<Hold> {
        match &p.state {
            State::Waiting(waiting) => match &waiting.on {
                WaitFor::Bind | WaitFor::Watch | WaitFor::Socket | WaitFor::Room => Vec::new(),
                WaitFor::Holds(holds) => {
                    holds.iter().map(|(id, kind)| Hold { kind: *kind, name: self.name_of(*id) }).collect()
                }
            },
            State::Stopping(Stopping { phase: StopPhase::Ordered(holds), .. }) => {
                holds.iter().map(|id| Hold { kind: HoldKind::Stop, name: self.name_of(*id) }).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reason(&self, p: &Process) -> String {
        match &p.state {
            State::Rest(Rest { skipped: Some(condition), .. }) => {
                format!("skipped: condition {condition} does not hold")
            }
            State::Rest(rest) => match &rest.why {
                Why::Created => String::new(),
                Why::Stopped(cause) => cause.to_string(),
                Why::Exited(ending) | Why::Failed(ending) => ending.to_string(),
                Why::Crashed(ending) => format!("restarted too often; last: {ending}"),
            },
            State::Waiting(waiting) => match &waiting.on {
                WaitFor::Bind => "for its sockets".into(),
                WaitFor::Watch | WaitFor::Socket => format!("for a connection on {}", p.spec.listening_at()),
                WaitFor::Room => listen::full(&p.spec),
                WaitFor::Holds(holds) => self.hold_text(holds),
            },
            State::Starting(Starting { phase, run }) => match phase {
                StartPhase::Preparing | StartPhase::Spawning => "being executed".into(),
                StartPhase::BeforeStart(_) => "before_start hook".into(),
                StartPhase::AfterStart(_) => "after_start hook".into(),
                StartPhase::Readying if run.health.reason.is_empty() => "not ready yet".into(),
                StartPhase::Readying => format!("not ready yet: {}", run.health.reason),
            },
            State::Running(running) => running.run.health.reason.clone(),
            State::Stopping(Stopping { phase, by, .. }) => match phase {
                StopPhase::Stuck(pids) if pids.contains(&Pid::TASK) => {
                    "stuck: its future blocks its thread, and cannot be dropped".into()
                }
                StopPhase::Stuck(pids) => {
                    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                    format!("stuck: survived SIGKILL: {}", pids.join(", "))
                }
                StopPhase::Ordered(holds) => {
                    let names: Vec<String> = holds.iter().map(|id| format!("`{}`", self.name_of(*id))).collect();
                    format!("for {}", names.join(", "))
                }
                _ => by.to_string(),
            },
            State::Backoff(backoff) => format!("{}; waits {}", backoff.ending, format_duration(backoff.delay)),
        }
    }
}
