//! What is known of a process, for views.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{HealthStatus, HoldKind, StateName};
use super::ids::{Pid, ProcessId, RunId};
use super::input::ExitStatus;
use super::time::{Time, WallTime};

/// What is wanted of a process; what it is stands in its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// To be up.
    Up,
    /// To be down.
    #[default]
    Down,
}

/// One thing that a start or a stop waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why it is waited for.
    pub kind: HoldKind,
    /// What is waited for.
    pub name: Arc<str>,
}

/// A process as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its place in the machine.
    pub id: ProcessId,
    /// Its name.
    pub name: Arc<str>,
    /// Its state.
    pub state: StateName,
    /// Why it is in it, for people; may be empty.
    pub reason: String,
    /// What is wanted of it.
    pub want: Want,
    /// Its health.
    pub health: HealthStatus,
    /// Health probes that failed in a row.
    pub health_failures: u32,
    /// When the last health probe of its run was answered.
    pub health_checked_at: Option<WallTime>,
    /// Its main process, while there is one.
    pub pid: Option<Pid>,
    /// Its current run, else the last.
    pub run: Option<RunId>,
    /// How many runs were executed.
    pub run_count: u32,
    /// Automatic restarts in a row since a run lived long enough.
    pub restarts: u32,
    /// How the last run's main process ended.
    pub exit: Option<ExitStatus>,
    /// What it waits for, when it waits.
    pub holds: Vec<Hold>,
    /// When it starts again, in backoff.
    pub retry_at: Option<Time>,
    /// What it said of itself (STATUS=).
    pub status_text: Option<String>,
    /// When it was defined.
    pub created_at: WallTime,
    /// When the last run was executed.
    pub started_at: Option<WallTime>,
    /// When the last run ended.
    pub ended_at: Option<WallTime>,
    /// When it came into its state.
    pub since: WallTime,
    /// The process whose connection it was made for, if it was made for one.
    pub instance_of: Option<Arc<str>>,
    /// Whether it was made at run time rather than by a plan.
    pub runtime: bool,
    /// Whether its spec was changed at run time and differs from the plan's.
    pub overridden: bool,
}
