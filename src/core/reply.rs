//! Answers to commands.

use std::sync::Arc;
use std::time::Duration;

use super::diff::{Change, ChangeKind};
use super::event::StateName;
use super::ids::{Pid, ProcessId};
use crate::spec::PlanError;

/// The answer to a command.
pub type Reply = Result<Done, Refusal>;

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is in this state now (start: running or exited; stop: stopped or what it was already).
    State(StateName),
    /// A process was made.
    Created(ProcessId),
    /// The process is gone.
    Deleted,
    /// The signal was sent, or the reload was carried out.
    Sent,
    /// The spec was replaced, or would be (dry run).
    Updated(Updated),
    /// The plan is in force.
    Applied(Applied),
    /// Everything is down.
    ShutDown,
}

/// What an update came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// What differs: kind [`Restarted`](ChangeKind::Restarted) when it was, or with a dry run would be, restarted for it.
    pub change: Change,
    /// Whether the restart was begun.
    pub restarted: bool,
}

impl Updated {
    /// The paths of the fields that differ.
    pub fn fields(&self) -> Vec<String> {
        self.change.paths()
    }

    /// Those of them that need a restart to be in force.
    pub fn needs_restart(&self) -> Vec<String> {
        self.change.needs_restart()
    }
}

/// What an apply came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What became of each process, by name; unchanged ones too.
    pub changes: Vec<Change>,
}

impl Applied {
    /// Those of which this became.
    pub fn of(&self, kind: ChangeKind) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.kind == kind)
    }

    /// Their names, sorted.
    pub fn names(&self, kind: ChangeKind) -> Vec<Arc<str>> {
        self.of(kind).map(|change| change.name.clone()).collect()
    }
}

/// Why a command was refused or did not come to what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such process.
    #[error("there is no such process")]
    NotFound,
    /// The name is taken.
    #[error("a process named `{0}` exists already")]
    Exists(Arc<str>),
    /// The spec or the plan is wrong.
    #[error(transparent)]
    Invalid(#[from] PlanError),
    /// The state does not allow it.
    #[error("`{name}` is {state}: {hint}")]
    State {
        /// Which process.
        name: Arc<str>,
        /// The state that refuses.
        state: StateName,
        /// What to do instead.
        hint: String,
    },
    /// The start was skipped: a condition does not hold.
    #[error("`{name}` was not started: condition {condition} does not hold")]
    Skipped {
        /// Which process.
        name: Arc<str>,
        /// The condition.
        condition: String,
    },
    /// The start failed.
    #[error("`{name}` failed to start: {reason}{}", retry_text(.retry_in))]
    StartFailed {
        /// Which process.
        name: Arc<str>,
        /// Why, for people.
        reason: String,
        /// When it is tried again by itself, if it is.
        retry_in: Option<Duration>,
    },
    /// Another command took its place before it was done.
    #[error("`{name}`: {by} came in between")]
    Superseded {
        /// Which process.
        name: Arc<str>,
        /// What did: "a stop", "a removal", "the shutdown".
        by: &'static str,
    },
    /// Members of its tree survived SIGKILL.
    #[error("`{name}` would not die: {} still there after SIGKILL", pids_text(.pids))]
    Stuck {
        /// Which process.
        name: Arc<str>,
        /// The survivors.
        pids: Vec<Pid>,
    },
    /// The process did not do what it was told to.
    #[error("`{name}`: {reason}")]
    Failed {
        /// Which process.
        name: Arc<str>,
        /// Why, for people.
        reason: String,
    },
    /// The instance shuts down, and starts nothing.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
}

fn retry_text(retry_in: &Option<Duration>) -> String {
    match retry_in {
        Some(delay) => format!("; it is tried again in {}", crate::spec::units::format_duration(*delay)),
        None => String::new(),
    }
}

fn pids_text(pids: &[Pid]) -> String {
    if pids.contains(&Pid::TASK) {
        return "its future blocks its thread, and is".into();
    }
    let shown: Vec<String> = pids.iter().map(|pid| format!("pid {pid}")).collect();
    if shown.is_empty() {
        "members of its tree are".into()
    } else {
        format!("{} {}", shown.join(", "), if pids.len() == 1 { "is" } else { "are" })
    }
}
