//! The machine as bytes, and back: what a supervisor's successor goes on from.

use serde::{Deserialize, Serialize};

use super::ids::{ProcessId, RunId};
use super::input::HookKind;
use super::machine::Machine;
use super::output::Output;
use super::process::{Leader, Rest, Running, StartPhase, Starting, State, StopPhase, Stopping};

/// The format's version. A reader refuses what is newer than it, and reads what is older by defaults.
pub const SNAPSHOT_VERSION: u32 = 1;

/// Why a snapshot cannot be gone on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It was written by a newer version.
    #[error(
        "the snapshot has format {found}, and this version reads up to {SNAPSHOT_VERSION}; use the version that wrote it"
    )]
    Newer {
        /// The format found.
        found: u32,
    },
    /// It is torn, or not a snapshot at all.
    #[error("the snapshot cannot be read: {0}")]
    Damaged(String),
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    machine: &'a Machine,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    machine: Machine,
}

impl Machine {
    /// Everything the machine knows. Take it only when [`poll_output`](Machine::poll_output) gives nothing: outputs not yet carried out are no part of it.
    pub fn snapshot(&self) -> Vec<u8> {
        let written = Written { version: SNAPSHOT_VERSION, machine: self };
        // Serialising plain data to memory cannot fail: every map has string or number keys.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// The machine that was.
    pub fn restore(bytes: &[u8]) -> Result<Machine, SnapshotError> {
        let damaged = |error: serde_json::Error| SnapshotError::Damaged(error.to_string());
        let Version { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version > SNAPSHOT_VERSION {
            return Err(SnapshotError::Newer { found: version });
        }
        let Read { machine } = serde_json::from_slice(bytes).map_err(damaged)?;
        machine.check().map_err(|violation| SnapshotError::Damaged(violation.to_string()))?;
        Ok(machine)
    }

    /// For the successor of a supervisor that died: asks again for everything that was asked for and not answered. Runs whose program may live
    /// are not touched: look for each of [`live_runs`](Machine::live_runs) and hand in [`Input::Adopted`](super::Input::Adopted).
    pub fn resume(&mut self) {
        for id in self.processes.ids() {
            self.resume_process(id);
        }
    }

    fn resume_process(&mut self, id: ProcessId) {
        match self.state(id).cloned() {
            Some(State::Starting(Starting { run, phase })) => match phase {
                StartPhase::Preparing => {
                    self.output(Output::Prepare { run: run.id, process: id, spec: run.spec });
                }
                StartPhase::BeforeStart(index) => {
                    self.run_hook(id, HookKind::BeforeStart, index);
                }
                StartPhase::AfterStart(index) => {
                    self.run_hook(id, HookKind::AfterStart, index);
                }
                StartPhase::Readying if run.leader == Leader::Sought => self.output(Output::FindMain(run.id)),
                StartPhase::Readying if run.health.attempts > 0 => self.ask_whether_ready_again(id),
                StartPhase::Spawning | StartPhase::Readying => {}
            },
            Some(State::Running(Running { after_start, .. })) => {
                if let Some(index) = after_start {
                    self.run_hook(id, HookKind::AfterStart, index);
                }
                self.ask_for_health_again(id);
            }
            Some(State::Stopping(Stopping { run, phase, .. })) => match phase {
                StopPhase::BeforeStop(index) => {
                    self.run_hook(id, HookKind::BeforeStop, index);
                }
                StopPhase::AfterStop(index) => {
                    self.run_hook(id, HookKind::AfterStop, index);
                }
                StopPhase::Emptying => self.output(Output::WatchTree(run.id)),
                StopPhase::Killed | StopPhase::Stuck(_) => self.output(Output::KillTree(run.id)),
                // Their own timers go on, and what they wait for is adopted.
                StopPhase::CancelledHook
                | StopPhase::AwaitExec
                | StopPhase::Command
                | StopPhase::Ladder(_)
                | StopPhase::Ordered(_) => {}
            },
            Some(State::Rest(Rest { alarm: Some(alarm), .. })) => self.on_failure(id, alarm.index),
            Some(state) if state.is_armed() => {
                if let Some(spec) = self.spec(id) {
                    self.output(Output::ArmSockets(id, spec));
                }
            }
            _ => {}
        }
    }

    /// Runs whose program was executed, or may have been: to be looked for after a restore.
    pub fn live_runs(&self) -> Vec<(RunId, ProcessId, Option<super::ids::Pid>)> {
        self.processes
            .iter()
            .filter_map(|p| {
                let run = p.state.run()?;
                let spawning = matches!(&p.state, State::Starting(s) if s.phase == StartPhase::Spawning)
                    || matches!(&p.state, State::Stopping(s) if s.phase == StopPhase::AwaitExec);
                (run.pid().is_some() || spawning).then(|| (run.id, p.id, run.pid()))
            })
            .collect()
    }
}
