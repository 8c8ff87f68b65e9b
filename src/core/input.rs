//! Everything that can happen to the machine.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{CommandId, ConnectionId, Pid, ProcessId, RunId};
use crate::spec::{Plan, Signal, Spec};

/// How a process of the kernel's ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It called exit with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Which one.
        signal: Signal,
        /// Whether it left a core dump.
        core: bool,
    },
    /// Nobody could learn how: somebody else reaped it.
    Unknown,
}

/// What a spawn was doing when it failed: the order is that of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the name of the call that failed")]
pub enum SpawnStep {
    Prepare,
    Condition,
    EnvFile,
    User,
    Group,
    Directory,
    Socket,
    Limits,
    Log,
    Pipe,
    Tree,
    Clone,
    Session,
    Descriptors,
    Rlimit,
    Nice,
    OomScore,
    SignalMask,
    BoundingSet,
    KeepCapabilities,
    SupplementaryGroups,
    SetGid,
    SetUid,
    Capabilities,
    AmbientCapabilities,
    WorkingDirectory,
    NoNewPrivs,
    Exec,
}

/// Why a run was not executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnError {
    /// What was being done.
    pub step: SpawnStep,
    /// The kernel's answer, when it was the kernel's.
    pub errno: Option<i32>,
    /// A sentence fragment with the path, name or value at fault: "cannot execute `/opt/x`: no such file or directory".
    pub message: String,
}

impl SpawnError {
    /// Whether the machine lacked something that may come back (EAGAIN, ENOMEM, EMFILE, ENFILE): retried, not counted.
    pub fn is_resource(&self) -> bool {
        matches!(self.errno, Some(11 | 12 | 23 | 24))
    }
}

/// What came over a notify socket (sd_notify(3)); one datagram may carry several of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notification {
    /// READY=1.
    Ready,
    /// STATUS=…, cut to 4,096 characters.
    Status(String),
    /// RELOADING=1.
    Reloading,
    /// STOPPING=1.
    Stopping,
    /// WATCHDOG=1.
    Watchdog,
    /// WATCHDOG=trigger.
    WatchdogTrigger,
    /// WATCHDOG_USEC=….
    WatchdogInterval(Duration),
    /// MAINPID=…, already proved to lie in the run's own tree and held by a pidfd.
    MainPid(Pid),
    /// EXTEND_TIMEOUT_USEC=….
    ExtendTimeout(Duration),
    /// Why it is about to end badly, in its own words. Only tasks say so.
    Failed(String),
    /// With which words it panicked. Only tasks do.
    Panicked(String),
}

/// Which probe of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// The one that makes it ready.
    Ready,
    /// The one that says whether it is well.
    Health,
}

/// Which turning point a hook belongs to, and the two commands that run like hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    /// Before the program is executed.
    BeforeStart,
    /// Once it is ready.
    AfterStart,
    /// Before the first stop signal.
    BeforeStop,
    /// The spec's stop command.
    StopCommand,
    /// When the tree is empty.
    AfterStop,
    /// When no restart is due after a failure.
    OnFailure,
    /// The spec's reload command.
    Reload,
}

/// How a hook, a stop command or a reload command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookResult {
    /// It exited with 0, or the function returned something other than false.
    Done,
    /// It failed, with the reason: exit code, signal, error text, timeout.
    Failed(String),
}

/// What a run that outlived its supervisor is found as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adoption {
    /// It runs on, and was proved to be ours.
    Alive(Pid),
    /// Its leader ended in the gap; members of its tree are left.
    LeaderGone(ExitStatus),
    /// It ended in the gap and its tree is empty.
    Gone(ExitStatus),
}

/// What somebody asks for. Every command is answered exactly once, by [`Output::Reply`](super::Output::Reply).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make a process from this spec; it starts at once when `start` says so.
    Create {
        /// Its definition.
        spec: Box<Spec>,
        /// Whether it is also started.
        start: bool,
    },
    /// Start it, and what it requires and wants; answered when it is ready, or with why not.
    Start(ProcessId),
    /// Stop it, and what cannot be without it; answered when its tree is empty. A second one escalates.
    Stop(ProcessId),
    /// Stop and start it, and bring back what the stop took down; answered when it is ready again.
    Restart(ProcessId),
    /// Have it read its configuration again, as its spec says.
    Reload(ProcessId),
    /// Send a signal to its main process.
    Signal(ProcessId, Signal),
    /// Replace its spec; fields that need a restart wait for one unless `restart` asks for it.
    Update {
        /// Which process.
        process: ProcessId,
        /// Its new definition.
        spec: Box<Spec>,
        /// Whether to restart it when a changed field needs that.
        restart: bool,
        /// Whether only to say what would be done.
        dry_run: bool,
    },
    /// Forget it; refused while it runs unless `force` stops it first.
    Delete {
        /// Which process.
        process: ProcessId,
        /// Whether it is stopped first.
        force: bool,
    },
    /// Make the configured processes be these: all or nothing. Answered when the plan is accepted (its starts go on).
    Apply(Box<Plan>),
    /// Stop everything in order, and start nothing again. A second one escalates every stop in progress.
    Shutdown,
}

/// Everything that can happen. An input whose run is not the process's current one is dropped and counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// When somebody asks for something.
    Command {
        /// Echoed in the reply.
        id: CommandId,
        /// What is asked.
        command: Command,
        /// Who asks, in words: "user root (uid 0), pid 4711". Nobody in particular, unless given.
        caller: Option<Arc<str>>,
    },
    /// When whoever gave this command no longer waits: its reply is not sent. What it began goes on.
    Abandon(CommandId),
    /// When everything for the spawn is prepared.
    Prepared(RunId),
    /// When the preparation failed.
    PrepareFailed(RunId, SpawnError),
    /// When a condition does not hold; the text names it.
    ConditionUnmet(RunId, String),
    /// When the program was executed as this pid.
    Executed(RunId, Pid),
    /// When the child was not made, or ended before the program was executed.
    SpawnFailed(RunId, SpawnError),
    /// When a process that the run was known by ended: its main process, or a forking type's parent.
    Exited(RunId, Pid, ExitStatus),
    /// When the daemon of a forking type was found.
    MainFound(RunId, Pid),
    /// When it was not, with the reason.
    MainNotFound(RunId, String),
    /// When the awaited line was printed.
    LogLine(RunId),
    /// When the run's own tree sent a notification.
    Notified(RunId, Notification),
    /// When a probe was answered: `Err` says how it failed.
    Probed(RunId, ProbeKind, Result<(), String>),
    /// When the hook of this kind that was last started ended.
    HookFinished(RunId, HookKind, HookResult),
    /// When all listeners of a process are bound and watched: the answer to `ArmSockets`.
    Armed(ProcessId),
    /// When they could not be: the other answer.
    ArmFailed(ProcessId, SpawnError),
    /// When a connection (or datagram) waits on a listener of an armed process.
    SocketReadable(ProcessId),
    /// When a connection was accepted for an armed process that has one instance a connection. It is held until the run
    /// that it is given to is released, or until `DropConnection`.
    Connection {
        /// Whose listener accepted it.
        process: ProcessId,
        /// Which one.
        connection: ConnectionId,
        /// Who connected, in words: "127.0.0.1:40312", "pid 4711, user root (uid 0)".
        peer: Arc<str>,
    },
    /// How many connections of the run's listeners are open, and whether one came since the last such question.
    Connections {
        /// The run that was asked for.
        run: RunId,
        /// How many are open.
        open: u32,
        /// Whether one came since.
        came: bool,
    },
    /// When nothing of the run's tree is left. Never before the main process's `Exited`, unless it was never executed.
    TreeEmpty(RunId),
    /// When something of the tree is left, as the answer to `WatchTree`; `TreeEmpty` follows once it is not.
    TreeOccupied(RunId),
    /// When, after a SIGKILL to all of it, these members of the tree are still there.
    TreeStuck(RunId, Vec<Pid>),
    /// When the kernel killed a member of the tree for lack of memory.
    Oom(RunId),
    /// When the kernel refused the tree a new process for its limit on their number.
    PidsLimit(RunId),
    /// When a run that outlived its supervisor was looked for.
    Adopted(RunId, Adoption),
    /// When there is something to be told to people that changes nothing here: about this process, or the whole instance.
    Warning(Option<ProcessId>, String),
    /// A configuration was refused before there was a plan: it does not evaluate. Told as an event.
    PlanRefused(String),
    /// A line of a session changed something, and who sent it. Told as an event.
    Evaluated(String, Arc<str>),
    /// When the moment [`poll_timeout`](super::Machine::poll_timeout) gave has come. An early one does nothing.
    Timeout,
}
