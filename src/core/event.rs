//! What happened, for people and programs: every decision is an event with a cause.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::ids::{Pid, ProcessId, RunId};
use super::input::{ExitStatus, HookKind, SpawnError};
use super::time::{Now, WallTime};
use crate::spec::Signal;

/// The state of a process, by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Defined, never started.
    Created,
    /// Start asked for; ordering or a socket holds it.
    Waiting,
    /// Preparing, a before_start hook, or executed but not ready; a oneshot while it runs.
    Starting,
    /// Ready.
    Running,
    /// Asked to end, or its leader ended and the rest is being ended.
    Stopping,
    /// Ended, starts again at a known time.
    Backoff,
    /// Stopped by an operator, a dependency or a conflict.
    Stopped,
    /// Ended by itself with success, no restart due.
    Exited,
    /// Ended badly, no restart due.
    Failed,
    /// The start limit is used up; a person must act.
    Crashed,
}

impl StateName {
    /// All of them, in the order of a life.
    pub const ALL: [StateName; 10] = [
        StateName::Created,
        StateName::Waiting,
        StateName::Starting,
        StateName::Running,
        StateName::Stopping,
        StateName::Backoff,
        StateName::Stopped,
        StateName::Exited,
        StateName::Failed,
        StateName::Crashed,
    ];

    /// The word for it, as every view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            StateName::Created => "created",
            StateName::Waiting => "waiting",
            StateName::Starting => "starting",
            StateName::Running => "running",
            StateName::Stopping => "stopping",
            StateName::Backoff => "backoff",
            StateName::Stopped => "stopped",
            StateName::Exited => "exited",
            StateName::Failed => "failed",
            StateName::Crashed => "crashed",
        }
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a running process is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It has no health check, or does not run.
    #[default]
    Unknown,
    /// Not asked often enough to know.
    Starting,
    /// The last probes passed.
    Healthy,
    /// The last probes failed.
    Unhealthy,
}

impl HealthStatus {
    /// The word for it, as every view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthStatus::Unknown => "unknown",
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        }
    }
}

/// What holds up a start or a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldKind {
    /// It is started after that one.
    Order,
    /// It requires that one.
    Requires,
    /// It binds to that one.
    BindsTo,
    /// That one is being stopped because the two conflict.
    Conflict,
    /// That one is being stopped first (a stop holds for what depends on it; a start for what is still ending).
    Stop,
}

/// Why a run ended, or was never one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The main process ended with this status.
    Exit(ExitStatus),
    /// It ended, if with success, before it was ready.
    NotReady(ExitStatus),
    /// It failed, and said why: a task's error.
    Failed(String),
    /// It panicked with these words: a task.
    Panicked(String),
    /// The program was not executed.
    Spawn(SpawnError),
    /// It was not ready within its start timeout.
    StartTimeout,
    /// The same, with what its last ready probe said.
    StartTimeoutAfter(String),
    /// It missed its watchdog.
    Watchdog,
    /// It was unhealthy for too long.
    Unhealthy(String),
    /// A hook failed.
    Hook(HookKind, String),
    /// The kernel killed it for lack of memory.
    Oom,
    /// It ended badly with this status, and the kernel had refused it a process for its limit on their number.
    PidsLimit(ExitStatus),
    /// A forking type's daemon was not found.
    NoMain(String),
    /// What it requires or binds to could not be had.
    Dependency(Arc<str>, String),
    /// What it conflicts with would not go.
    Conflict(Arc<str>, String),
}

impl Ending {
    /// How the main process ended, where that is what the run ended by.
    pub fn status(&self) -> Option<ExitStatus> {
        match self {
            Ending::Exit(status) | Ending::PidsLimit(status) => Some(*status),
            _ => None,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exit(ExitStatus::Code(code)) => write!(f, "exit code {code}"),
            Ending::Exit(ExitStatus::Signal { signal, core: true }) => write!(f, "killed by {signal}, core dumped"),
            Ending::Exit(ExitStatus::Signal { signal, core: false }) => write!(f, "killed by {signal}"),
            Ending::Exit(ExitStatus::Unknown) => f.write_str("ended, status unknown (somebody else reaped it)"),
            Ending::NotReady(status) => write!(f, "ended before it was ready ({})", Ending::Exit(*status)),
            Ending::Failed(why) => f.write_str(why),
            Ending::Panicked(words) => write!(f, "panicked: {words}"),
            Ending::Spawn(error) => f.write_str(&error.message),
            Ending::StartTimeout => f.write_str("not ready within its start timeout"),
            Ending::StartTimeoutAfter(why) => write!(f, "not ready within its start timeout: {why}"),
            Ending::Watchdog => f.write_str("missed its watchdog"),
            Ending::Unhealthy(why) => write!(f, "unhealthy: {why}"),
            Ending::Hook(kind, why) => write!(f, "{} hook failed: {why}", kind.as_str()),
            Ending::PidsLimit(status) => write!(f, "{}, at its pids limit", Ending::Exit(*status)),
            Ending::Oom => f.write_str("killed by the kernel, out of memory (oom)"),
            Ending::NoMain(why) => write!(f, "its daemon was not found: {why}"),
            Ending::Dependency(name, why) => write!(f, "needs `{name}`, which {why}"),
            Ending::Conflict(name, why) => write!(f, "conflicts with `{name}`, which {why}"),
        }
    }
}

impl HookKind {
    /// The key it is declared by.
    pub fn as_str(self) -> &'static str {
        match self {
            HookKind::BeforeStart => "before_start",
            HookKind::AfterStart => "after_start",
            HookKind::BeforeStop => "before_stop",
            HookKind::StopCommand => "stop.command",
            HookKind::AfterStop => "after_stop",
            HookKind::OnFailure => "on_failure",
            HookKind::Reload => "reload.command",
        }
    }
}

/// Why something was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody asked.
    Command(Asked),
    /// It starts by itself.
    AutoStart,
    /// The plan changed.
    Apply,
    /// The instance shuts down.
    Shutdown,
    /// Its restart policy.
    Policy,
    /// A connection came.
    Socket,
    /// A connection came, from this peer: it is the one instance for it.
    Connection(Arc<str>),
    /// It had nothing to do for its idle time.
    Idle,
    /// Another process, through this relation.
    Relation(RelationKind, Arc<str>),
    /// It ended.
    Ended(Ending),
    /// What it waited for came.
    Progress,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Command(_) => f.write_str("asked for"),
            Cause::AutoStart => f.write_str("starts by itself"),
            Cause::Apply => f.write_str("the plan changed"),
            Cause::Shutdown => f.write_str("shutdown"),
            Cause::Policy => f.write_str("restart policy"),
            Cause::Socket => f.write_str("a connection came"),
            Cause::Connection(peer) => write!(f, "a connection came from {peer}"),
            Cause::Idle => f.write_str("idle"),
            Cause::Relation(kind, name) => write!(f, "{} `{name}`", kind.as_str()),
            Cause::Ended(ending) => ending.fmt(f),
            Cause::Progress => Ok(()),
        }
    }
}

/// Through which relation one process acted on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// It is required by that one (a start), or requires that one (a stop or failure).
    Requires,
    /// It is wanted by that one.
    Wants,
    /// It binds to that one.
    BindsTo,
    /// It follows that one.
    Follows,
    /// It is part of that one.
    PartOf,
    /// It conflicts with that one.
    Conflicts,
}

impl RelationKind {
    /// The key it is declared by.
    pub fn as_str(self) -> &'static str {
        match self {
            RelationKind::Requires => "requires",
            RelationKind::Wants => "wants",
            RelationKind::BindsTo => "binds_to",
            RelationKind::Follows => "follows",
            RelationKind::PartOf => "part_of",
            RelationKind::Conflicts => "conflicts",
        }
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The process was defined.
    Defined,
    /// The process was deleted.
    Deleted,
    /// It is in another state now; `reason` is for people.
    State {
        /// Where it was.
        from: StateName,
        /// Where it is.
        to: StateName,
        /// Exit status, what holds it, or why, for people; empty when the cause says it all.
        reason: String,
        /// When it is in backoff: how long until it starts again.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_in: Option<Duration>,
    },
    /// The program was executed.
    Executed {
        /// As this pid; a task's is [`Pid::TASK`].
        pid: Pid,
    },
    /// The main process is another one now.
    MainPid {
        /// This one.
        pid: Pid,
    },
    /// The main process, or a control process of a forking type, ended.
    ProcessExited {
        /// Which one.
        pid: Pid,
        /// How.
        status: ExitStatus,
    },
    /// A start was skipped: this condition does not hold.
    Skipped {
        /// The condition.
        condition: String,
    },
    /// A signal was sent.
    Signalled {
        /// Which one.
        signal: Signal,
    },
    /// Its health changed.
    Health {
        /// What it was.
        from: HealthStatus,
        /// What it is.
        to: HealthStatus,
        /// The last failure, for people.
        reason: String,
    },
    /// A hook failed; what follows from that, the other events say.
    HookFailed {
        /// Which one.
        hook: HookKind,
        /// How.
        reason: String,
    },
    /// It told its status.
    Status {
        /// In its own words.
        text: String,
    },
    /// It reads its configuration again.
    Reloading,
    /// The kernel killed a member of its tree for lack of memory.
    Oom,
    /// The kernel refused its tree a process: there are as many as its limit allows.
    PidsLimit,
    /// Its listeners are bound, and a connection starts it.
    Listening {
        /// Where, for people.
        at: String,
    },
    /// These survived SIGKILL.
    Stuck {
        /// Their pids.
        pids: Vec<Pid>,
    },
    /// Its spec was replaced.
    Updated {
        /// The fields that changed.
        fields: Vec<String>,
        /// Those of them that wait for a restart.
        needs_restart: Vec<String>,
    },
    /// It was found alive after the supervisor's own death.
    Adopted {
        /// Its main process; `None` when that ended in the gap and others of its tree did not.
        pid: Option<Pid>,
    },
    /// A plan was applied.
    Applied {
        /// Processes added.
        added: u32,
        /// Processes removed.
        removed: u32,
        /// Processes changed.
        changed: u32,
    },
    /// A plan was refused; nothing changed.
    Refused {
        /// Why.
        reason: String,
    },
    /// A line of a session changed something; what, the events before it say.
    Evaluated {
        /// The line.
        line: String,
    },
    /// The instance shuts down.
    ShuttingDown,
    /// Something is not as it should be; supervision goes on.
    Warning {
        /// What, why, and what follows from it.
        text: String,
    },
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: one more than the event before.
    pub sequence: u64,
    /// When, for people.
    pub time: WallTime,
    /// The process it is about, if it is about one.
    pub process: Option<ProcessId>,
    /// That process's name.
    pub name: Option<Arc<str>>,
    /// The run it is about, if it is about one.
    pub run: Option<RunId>,
    /// What happened.
    pub kind: EventKind,
    /// Why.
    pub cause: Cause,
    /// Who asked, when the cause is that somebody did: a command, or an apply or shutdown that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Arc<str>>,
}

impl Event {
    pub(super) fn at(now: Now, sequence: u64, kind: EventKind, cause: Cause) -> Self {
        Event { sequence, time: now.wall, process: None, name: None, run: None, kind, cause, caller: None }
    }
}
