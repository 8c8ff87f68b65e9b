//! Everything the machine asks for.

use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use super::ids::{CommandId, ConnectionId, ProcessId, RunId};
use super::input::{HookKind, ProbeKind};
use super::reply::Reply;
use crate::spec::{Hook, Limits, Probe, Signal, Spec};

/// Who of a run gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The main process.
    Main,
    /// The leader's process group.
    Group,
    /// Everything the run started.
    Tree,
}

/// Something to be done. The driver does it and decides nothing; what comes of it returns as an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Check the conditions and prepare everything a spawn needs. Answered by `Prepared`, `PrepareFailed` or `ConditionUnmet`.
    Prepare {
        /// The attempt.
        run: RunId,
        /// Whose.
        process: ProcessId,
        /// What is to be run.
        spec: Arc<Spec>,
        /// The connection that it is an instance for.
        connection: Option<ConnectionId>,
    },
    /// Make the child from what was prepared. Answered by `Executed` or `SpawnFailed`.
    Spawn(RunId),
    /// The run is over: give back all that is held for it. The last output of every run that was prepared.
    Release(RunId),
    /// Send a signal.
    Signal {
        /// To which run.
        run: RunId,
        /// Which one.
        signal: Signal,
        /// To whom of it.
        scope: Scope,
    },
    /// SIGKILL the whole tree, and go on doing so until it is empty: answered by `TreeEmpty` (after the main process's `Exited`; by
    /// `SpawnFailed` or `Executed` first when the child is not executed yet), or `TreeStuck` if it will not be, and `TreeEmpty` when it then is.
    KillTree(RunId),
    /// Look at the tree: answered at once by `TreeEmpty` or `TreeOccupied`, and after the latter by `TreeEmpty` when it is. Asked when the
    /// main process ended.
    WatchTree(RunId),
    /// Find the daemon of a forking type: by its pidfile, else in its tree. Answered by `MainFound` or `MainNotFound`.
    FindMain(RunId),
    /// Ask once. Answered by `Probed`, also when `probe.timeout` has passed.
    StartProbe {
        /// Of which run.
        run: RunId,
        /// Which probe.
        kind: ProbeKind,
        /// What to ask, with its timeout filled in.
        probe: Probe,
    },
    /// Drop the probe in flight; no answer is wanted.
    StopProbe(RunId, ProbeKind),
    /// Run a hook, the stop command or the reload command. Answered by `HookFinished`, also when its timeout has passed.
    RunHook {
        /// Of which run.
        run: RunId,
        /// Whose.
        process: ProcessId,
        /// Which turning point.
        kind: HookKind,
        /// The spec whose environment, directory and user it runs with.
        spec: Arc<Spec>,
        /// What to do.
        hook: Hook,
    },
    /// Kill the hook in flight. Answered by `HookFinished` (failed, "cancelled") once nothing of it is left; a function is given up at once.
    CancelHook(RunId, HookKind),
    /// Bind these listeners as far as they are not bound, let go of the process's others, and tell of the first connection; with one
    /// instance a connection, accept each and tell of it. Answered by `Armed` or `ArmFailed`; before the next one there is an answer or a
    /// `DisarmSockets`.
    ArmSockets(ProcessId, Arc<Spec>),
    /// Stop telling of connections; stay bound, so that they queue. An `ArmSockets` that was not answered yet is not
    /// answered any more.
    DisarmSockets(ProcessId),
    /// Close the process's listeners: it is gone from the plan, or has none any more. An `ArmSockets` that was not answered yet
    /// is not answered any more.
    CloseSockets(ProcessId),
    /// Close a connection that no instance is started for.
    DropConnection(ConnectionId),
    /// Count the open connections of a running process's listeners. Answered by `Connections`.
    CountConnections(RunId, ProcessId),
    /// Put other limits on a run's tree. What cannot be done is told by a `Warning`.
    SetLimits {
        /// Whose.
        run: RunId,
        /// All of them; those that are absent are lifted.
        limits: Limits,
    },
    /// Answer a command.
    Reply(CommandId, Reply),
    /// Tell the world.
    Emit(Event),
    /// Everything is down after a shutdown. Nothing follows it.
    Finished {
        /// The exit code of the critical process whose end began the shutdown, if one did.
        code: Option<i32>,
        /// Processes that would not die.
        stuck: Vec<ProcessId>,
    },
}

/// How long a hook may take beyond its own timeout before the machine goes on without it.
pub(super) const HOOK_GRACE: Duration = Duration::from_secs(5);
