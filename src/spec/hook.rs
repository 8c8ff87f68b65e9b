//! Things done at a process's turning points.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A function registered with a function host (a Lua function, a Rust closure): outside it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionId(pub u64);

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAction {
    /// Run this command, in the process's environment and directory.
    Command(Vec<String>),
    /// Call this function.
    Function(FunctionId),
}

/// One hook: what to do, as whom, and for how long at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// What is done.
    pub action: HookAction,
    /// As whom a command runs; the process's own user unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// After this it counts as failed and is killed.
    #[serde(with = "super::units::duration")]
    pub timeout: Duration,
}

impl Hook {
    /// The timeout of a hook that names none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// A command as a hook, with the default timeout.
    pub fn command<I, S>(command: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let command = command.into_iter().map(Into::into).collect();
        Hook { action: HookAction::Command(command), user: None, timeout: Hook::DEFAULT_TIMEOUT }
    }

    /// A function as a hook, with the default timeout.
    pub fn function(id: FunctionId) -> Self {
        Hook { action: HookAction::Function(id), user: None, timeout: Hook::DEFAULT_TIMEOUT }
    }

    /// End it as failed after this long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// The hooks of a process; each list runs one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// Before the program is executed; one that fails fails the start (systemd's `ExecStartPre=`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before_start: Vec<Hook>,
    /// Once it is ready; a failure is an event and changes nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_start: Vec<Hook>,
    /// Before the first stop signal of a stop that was asked for; a failure is an event and changes nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before_stop: Vec<Hook>,
    /// When a run is over and its tree empty, however it ended (systemd's `ExecStopPost=`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_stop: Vec<Hook>,
    /// When the process has become failed or crashed: no further restart is due.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<Hook>,
}
