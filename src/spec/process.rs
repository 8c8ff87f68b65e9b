//! The definition of one process.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::hook::{FunctionId, HookAction, Hooks};
use super::listener::Listener;
use super::plan::Source;
use super::probe::{Health, ProbeTarget, Ready};
use super::restart::Restart;
use super::signal::Signal;
use super::stop::{Reload, Stop};

/// How a process announces itself (systemd.service(5), `Type=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessType {
    /// Ready once executed.
    #[default]
    Simple,
    /// Ready when it ended with success.
    Oneshot,
    /// Ready when its parent ended and the daemon's pid is known.
    Forking,
    /// Ready when it says READY=1 on its notify socket.
    Notify,
}

/// A file of `NAME=value` lines, read at each start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// Where it is; relative to the configuration's folder.
    pub path: String,
    /// Whether it may be missing (written with a leading `-`).
    pub optional: bool,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value so that no view of the spec shows it.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself; for the spawn path alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A resource limit of setrlimit(2); `None` is infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What is enforced.
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
}

/// What must hold for a start to be made at all (systemd.unit(5), `Condition…=`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Paths that must exist; `!` must not; of those with `|` one is enough.
    pub path_exists: Vec<String>,
    /// Paths that must be executable files, with the same prefixes.
    pub path_executable: Vec<String>,
    /// Files that must not be empty, with the same prefixes.
    pub file_not_empty: Vec<String>,
    /// Environment variables that must be set (`NAME`) or equal (`NAME=value`), with the same prefixes.
    pub env: Vec<String>,
    /// A function that is asked once all else holds.
    pub check: Option<FunctionId>,
}

impl Conditions {
    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }
}

/// Limits on what the tree may use (cgroup v2, else v1, else rlimits).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory; beyond that the kernel kills.
    pub memory: Option<u64>,
    /// Bytes of memory from which on it is slowed down.
    pub memory_high: Option<u64>,
    /// Bytes of memory kept for it under pressure.
    pub memory_low: Option<u64>,
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Share of the processor under contention, 1 to 10,000.
    pub cpu_weight: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Share of disk bandwidth under contention, 1 to 10,000.
    pub io_weight: Option<u64>,
    /// How readily the kernel picks it when memory runs out, -1,000 to 1,000.
    pub oom_score_adj: Option<i32>,
}

/// Where a stream of output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Into the ring, and to whoever follows.
    #[default]
    Capture,
    /// Where the supervisor's own goes.
    Inherit,
    /// Nowhere.
    Null,
    /// Straight into this file, appended.
    File(String),
}

/// What happens to what a process prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Bytes of the newest output kept in memory.
    pub ring: u64,
    /// A file that captured lines are also written to.
    pub file: Option<String>,
    /// Size at which that file is rotated.
    pub max_size: u64,
    /// How many rotated files are kept.
    pub keep: u32,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            ring: 64 << 10,
            file: None,
            max_size: 10 << 20,
            keep: 5,
            stdout: Stream::Capture,
            stderr: Stream::Capture,
        }
    }
}

/// A folder that is made for a process, and belongs to its user and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its name below the place for its kind.
    pub path: String,
    /// Its mode.
    pub mode: u32,
}

/// The definition of one process: what is run, when, and what follows from how it ends.
///
/// Build one with [`Spec::new`] and the methods named after its keys. The keys are those of the Lua table and of
/// YAML; [`schema`](super::schema) has each with its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its name, unique within a supervisor.
    pub name: String,
    /// A line for people.
    pub description: Option<String>,
    /// Program and arguments, never seen by a shell.
    pub command: Vec<String>,
    /// Whether a run is a future of the program's own rather than a child: see [`Spec::task`]. Such a spec has no command.
    pub task: bool,
    /// How it announces itself.
    pub process_type: ProcessType,
    /// Whether a oneshot that ended well counts as running until it is stopped.
    pub remain: bool,
    /// Whether it starts with the supervisor.
    pub auto_start: bool,
    /// Whether its final end ends the instance, with its code.
    pub critical: bool,
    /// Where it runs.
    pub working_dir: Option<String>,
    /// Variables set on top of the inherited ones and the files'.
    pub env: BTreeMap<String, String>,
    /// Variables set like `env`, never shown.
    pub secret_env: BTreeMap<String, Secret>,
    /// Files of variables, read at each start.
    pub env_file: Vec<EnvFile>,
    /// Whether nothing is inherited.
    pub clear_env: bool,
    /// As whom it runs: a name or a number in digits.
    pub user: Option<String>,
    /// Its primary group, when not the user's own.
    pub group: Option<String>,
    /// Its supplementary groups, when not the user's own.
    pub groups: Option<Vec<String>>,
    /// Its file mode creation mask.
    pub umask: Option<u32>,
    /// Its nice value, -20 to 19.
    pub nice: Option<i32>,
    /// Its resource limits by name, lower case without `RLIMIT_` (`nofile`).
    pub rlimits: BTreeMap<String, Rlimit>,
    /// Capabilities it keeps although it is not root, lower case without `CAP_`.
    pub ambient_capabilities: Vec<String>,
    /// The only capabilities it and its children can ever have.
    pub bounding_capabilities: Option<Vec<String>>,
    /// Whether set-user-id programs gain it nothing.
    pub no_new_privs: bool,
    /// Started with it; if one cannot start, it fails; stopped with them.
    pub requires: Vec<String>,
    /// Started with it; their failure does not matter.
    pub wants: Vec<String>,
    /// As requires, and stopped whenever one leaves running.
    pub binds_to: Vec<String>,
    /// Restarted when one comes back.
    pub follows: Vec<String>,
    /// Stopped and restarted with them.
    pub part_of: Vec<String>,
    /// Never up at the same time.
    pub conflicts: Vec<String>,
    /// Started after them, stopped before them.
    pub after: Vec<String>,
    /// Started before them, stopped after them.
    pub before: Vec<String>,
    /// What must hold for a start to be made.
    pub conditions: Conditions,
    /// What makes it ready.
    pub ready: Ready,
    /// Whether it is well.
    pub health: Option<Health>,
    /// When it starts again.
    pub restart: Restart,
    /// Exit codes that are a success.
    pub success_exit_status: Vec<i32>,
    /// Signals that are a success besides those the type allows.
    pub success_signals: Vec<Signal>,
    /// How it is ended.
    pub stop: Stop,
    /// How long it may take to become ready; `None` waits for ever.
    pub start_timeout: Option<Duration>,
    /// How it is told to read its configuration again.
    pub reload: Option<Reload>,
    /// Stands for the configuration that it reads itself: when this changes under a run, that is told to read it again.
    pub reload_on_change: Option<String>,
    /// What is done at its turning points.
    pub hooks: Hooks,
    /// What its tree may use.
    pub limits: Limits,
    /// Sockets held for it.
    pub listen: Vec<Listener>,
    /// Directories made for it below the runtime directory, and removed when it is down.
    pub runtime_directory: Vec<Directory>,
    /// Directories made for it that are kept, for its state.
    pub state_directory: Vec<Directory>,
    /// Directories made for it that are kept, for what it can make again.
    pub cache_directory: Vec<Directory>,
    /// Directories made for it that are kept, for logs.
    pub logs_directory: Vec<Directory>,
    /// Where its pid is read from (forking) or written to.
    pub pidfile: Option<String>,
    /// What happens to its output.
    pub log: LogSettings,
    /// It must say WATCHDOG=1 at least this often.
    pub watchdog: Option<Duration>,
    /// Whether a definition made at run time is forgotten with the instance or the boot.
    pub volatile: bool,
    /// Where it was declared, for messages. Never a difference between two specs.
    pub source: Source,
}

impl Spec {
    /// Every name that it relates to.
    pub(crate) fn relations(&self) -> impl Iterator<Item = &str> {
        let Spec { requires, wants, binds_to, follows, part_of, conflicts, after, before, .. } = self;
        let lists = [requires, wants, binds_to, follows, part_of, conflicts, after, before];
        lists.into_iter().flatten().map(String::as_str)
    }

    /// The first of these names that its spec would be wrong without, and a sentence that says so.
    #[cfg(any(feature = "lua", feature = "grpc"))]
    pub(crate) fn needs(&self, leaves: impl Fn(&str) -> bool) -> Option<(&str, String)> {
        let relations = [
            ("requires", &self.requires),
            ("is bound to", &self.binds_to),
            ("is part of", &self.part_of),
            ("follows", &self.follows),
        ];
        relations.into_iter().find_map(|(relation, names)| {
            let (name, own) = (names.iter().find(|name| leaves(name))?, &self.name);
            let text = format!("`{own}` {relation} `{name}`: delete `{own}` too, or update it to do without");
            Some((name.as_str(), text))
        })
    }

    /// The functions that its hooks and probes are.
    pub fn functions(&self) -> impl Iterator<Item = FunctionId> {
        let Hooks { before_start, after_start, before_stop, after_stop, on_failure } = &self.hooks;
        let hooks = [before_start, after_start, before_stop, after_stop, on_failure].into_iter().flatten();
        let called = hooks.filter_map(|hook| match hook.action {
            HookAction::Function(id) => Some(id),
            HookAction::Command(_) => None,
        });
        let ready = match &self.ready {
            Ready::Probe(probe) => Some(&probe.target),
            _ => None,
        };
        let probes = ready.into_iter().chain(self.health.as_ref().map(|health| &health.target));
        called.chain(self.conditions.check).chain(probes.filter_map(|target| match target {
            ProbeTarget::Function(id) => Some(*id),
            _ => None,
        }))
    }
}
