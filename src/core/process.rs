//! A process in the machine: what is wanted of it, what it is, and the data of each state in the state itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::Tally;
use super::event::{Cause, Ending, HealthStatus, HoldKind, StateName};
use super::ids::{CommandId, ConnectionId, Pid, ProcessId, RunId};
use super::input::{ExitStatus, Notification};
use super::shared::Shared;
use super::status::Want;
use super::time::{Time, WallTime};
use super::timers::Deadlines;

/// Who defined a process, and whether it is to stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Origin {
    /// A plan; with the plan's spec when an update replaced it.
    Plan { replaced: Option<Shared> },
    /// Somebody at run time.
    Runtime,
    /// A connection, to the listeners of this process. It is to be forgotten once it is over.
    Instance {
        of: ProcessId,
        /// The connection, until a run is made for it.
        connection: Option<ConnectionId>,
        /// Who connected, in words.
        peer: Arc<str>,
    },
    /// It is to be forgotten once it is down.
    Leaving,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) name: Arc<str>,
    pub(super) spec: Shared,
    pub(super) origin: Origin,
    pub(super) want: Want,
    pub(super) state: State,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) deadlines: Deadlines,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) tally: Tally,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) last: Last,
    /// Connections that it had an instance for so far.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) accepted: u64,
    pub(super) created_at: WallTime,
    pub(super) since: WallTime,
    /// Clients of this supervisor: they do not outlive it.
    #[serde(skip)]
    pub(super) waiters: Vec<Waiter>,
}

/// What is remembered of the runs that are over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Last {
    #[serde(skip_serializing_if = "is_default")]
    pub(super) run: Option<RunId>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) exit: Option<ExitStatus>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) started_at: Option<WallTime>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) ended_at: Option<WallTime>,
    /// Runs that were executed.
    pub(super) executed: u32,
    /// Runs that became ready.
    pub(super) ready: u32,
}

/// A command that waits for something of this process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waiter {
    pub(super) command: CommandId,
    pub(super) goal: Goal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// To be ready.
    Ready,
    /// To be down.
    Down,
    /// To be forgotten.
    Deleted,
    /// To have carried out its reload command.
    Reloaded,
}

/// What a process is. Ten names, six shapes: what is at rest differs only in why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum State {
    Rest(Rest),
    Waiting(Waiting),
    Starting(Starting),
    Running(Running),
    Stopping(Stopping),
    Backoff(Backoff),
}

/// Nothing of it lives and nothing is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rest {
    pub(super) why: Why,
    /// The condition for which the last start was skipped.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) skipped: Option<String>,
    /// The on_failure hooks in progress.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) alarm: Option<Alarm>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Why {
    Created,
    Stopped(Cause),
    Exited(Ending),
    Failed(Ending),
    Crashed(Ending),
}

/// on_failure hooks, run for the run that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarm {
    pub(super) run: RunId,
    pub(super) spec: Shared,
    pub(super) index: usize,
}

/// A start on its way: who made it, and what the process is again should the start be skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) by: StartedBy,
    pub(super) cause: Cause,
    pub(super) fallback: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StartedBy {
    /// A person, the plan, or what follows from those.
    Order,
    /// The restart policy.
    Policy,
    /// A connection.
    Socket,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) start: Start,
    pub(super) on: WaitFor,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum WaitFor {
    /// That its listeners are bound and watched.
    Bind,
    /// They are; a connection.
    Socket,
    /// They are bound; that they are watched again.
    Watch,
    /// There are as many instances as there may be: that one of them ends.
    Room,
    /// Never empty between two inputs.
    Holds(BTreeSet<(ProcessId, HoldKind)>),
}

/// One incarnation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) spec: Shared,
    pub(super) start: Start,
    pub(super) leader: Leader,
    /// Processes that were the main one, or a forking type's parent, and live on in the tree.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) former: Vec<Pid>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) executed_at: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) started_at: Option<WallTime>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) status_text: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) health: Health,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) watchdog: Option<Duration>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) ooms: u32,
    /// How often the kernel refused it a process for its limit on their number.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) pids_refused: u32,
    /// Since when no connection of its listeners was seen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) quiet_since: Option<Time>,
    /// The number of the spec that it was prepared with: its limits are those of that one until it is given others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) prepared_with: u64,
    /// What was heard of it before the news that it was executed, which it may overtake.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) early: Vec<Early>,
    /// Whether its reload command runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) reloading: bool,
    /// Why it is about to end badly, as it said itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) failure: Option<Ending>,
}

/// News that may overtake that of the execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Early {
    Exited(Pid, ExitStatus),
    Notified(Notification),
    LogLine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Leader {
    /// Not executed.
    None,
    /// A forking type's parent runs.
    Parent(Pid),
    /// The parent of a forking type ended well; its daemon is looked for.
    Sought,
    /// The main process runs.
    Alive(Pid),
    /// The main process ended.
    Gone(ExitStatus),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    pub(super) status: HealthStatus,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) failures: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) successes: u32,
    /// Ready probes made so far.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) attempts: u32,
    /// The last failure, for people.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) reason: String,
    /// When the last health probe was answered.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) checked_at: Option<WallTime>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Starting {
    pub(super) run: Run,
    pub(super) phase: StartPhase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StartPhase {
    /// The driver prepares.
    Preparing,
    /// A before_start hook runs.
    BeforeStart(usize),
    /// The child is made; not executed yet.
    Spawning,
    /// Executed, not ready.
    Readying,
    /// A oneshot ended well; an after_start hook runs.
    AfterStart(usize),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) run: Run,
    /// The after_start hook that runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) after_start: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stopping {
    pub(super) run: Run,
    pub(super) phase: StopPhase,
    /// How the run ended by itself, or what was wrong with it; `None` when it was only asked to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) ending: Option<Ending>,
    pub(super) next: Next,
    /// Why it is being stopped.
    pub(super) by: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StopPhase {
    /// What depends on it goes first.
    Ordered(BTreeSet<ProcessId>),
    /// A before_start hook that is no longer wanted is being killed.
    CancelledHook,
    /// A child that is no longer wanted is not executed yet.
    AwaitExec,
    /// A before_stop hook runs.
    BeforeStop(usize),
    /// The stop command runs.
    Command,
    /// A signal was sent.
    Ladder(Rung),
    /// The main process ended; whether anything is left is being looked at.
    Emptying,
    /// SIGKILL was sent to all of it.
    Killed,
    /// These survived it.
    Stuck(Vec<Pid>),
    /// Nothing is left; an after_stop hook runs.
    AfterStop(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Rung {
    /// SIGABRT for a missed watchdog.
    Abort,
    /// A step of the spec's sequence.
    Step(usize),
}

/// What follows a run, unless what is wanted is that it be down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Next {
    /// What the restart policy says.
    Policy,
    /// Nothing.
    Stay,
    /// Another start, at once.
    Again(Cause),
    /// Its listeners are armed: it had nothing to do.
    Listen,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Backoff {
    pub(super) until: Time,
    pub(super) delay: Duration,
    pub(super) ending: Ending,
    /// Whether what is due counts as an automatic restart.
    pub(super) counts: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) due: Due,
}

/// What is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Due {
    /// A start.
    #[default]
    Start,
    /// To bind its listeners.
    Listen,
}

/// For fields that a record leaves out while they say nothing, and that an older record does not have.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Why {
    pub(super) fn name(&self) -> StateName {
        match self {
            Why::Created => StateName::Created,
            Why::Stopped(_) => StateName::Stopped,
            Why::Exited(_) => StateName::Exited,
            Why::Failed(_) => StateName::Failed,
            Why::Crashed(_) => StateName::Crashed,
        }
    }
}

impl From<Why> for State {
    fn from(why: Why) -> State {
        State::Rest(Rest { why, skipped: None, alarm: None })
    }
}

impl State {
    pub(super) fn name(&self) -> StateName {
        match self {
            State::Rest(rest) => rest.why.name(),
            State::Waiting(_) => StateName::Waiting,
            State::Starting(_) => StateName::Starting,
            State::Running(_) => StateName::Running,
            State::Stopping(_) => StateName::Stopping,
            State::Backoff(_) => StateName::Backoff,
        }
    }

    /// The live run, if there is one.
    pub(super) fn run(&self) -> Option<&Run> {
        match self {
            State::Starting(Starting { run, .. })
            | State::Running(Running { run, .. })
            | State::Stopping(Stopping { run, .. }) => Some(run),
            State::Rest(_) | State::Waiting(_) | State::Backoff(_) => None,
        }
    }

    pub(super) fn run_mut(&mut self) -> Option<&mut Run> {
        match self {
            State::Starting(Starting { run, .. })
            | State::Running(Running { run, .. })
            | State::Stopping(Stopping { run, .. }) => Some(run),
            State::Rest(_) | State::Waiting(_) | State::Backoff(_) => None,
        }
    }

    pub(super) fn is_rest(&self) -> bool {
        matches!(self, State::Rest(_))
    }

    pub(super) fn is_stuck(&self) -> bool {
        matches!(self, State::Stopping(Stopping { phase: StopPhase::Stuck(_), .. }))
    }

    /// Whether its listeners are watched, or about to be: no run of its own is on its way.
    pub(super) fn listens(&self) -> bool {
        matches!(
            self,
            State::Waiting(Waiting { on: WaitFor::Bind | WaitFor::Watch | WaitFor::Socket | WaitFor::Room, .. })
        )
    }
}

impl StartPhase {
    /// Whether no child was asked for yet.
    pub(super) fn is_before_spawn(self) -> bool {
        matches!(self, StartPhase::Preparing | StartPhase::BeforeStart(_))
    }
}

impl Run {
    pub(super) fn new(id: RunId, spec: Shared, start: Start) -> Run {
        let (watchdog, prepared_with) = (spec.watchdog, spec.number);
        Run {
            id,
            spec,
            start,
            leader: Leader::None,
            former: Vec::new(),
            executed_at: None,
            started_at: None,
            status_text: None,
            health: Health::default(),
            watchdog,
            ooms: 0,
            pids_refused: 0,
            quiet_since: None,
            prepared_with,
            early: Vec::new(),
            reloading: false,
            failure: None,
        }
    }

    /// The main process, while it runs (a forking type's parent until the daemon is known).
    pub(super) fn pid(&self) -> Option<Pid> {
        match self.leader {
            Leader::Alive(pid) | Leader::Parent(pid) => Some(pid),
            Leader::None | Leader::Sought | Leader::Gone(_) => None,
        }
    }
}

impl Process {
    /// Whether it is down, and is to be forgotten for that.
    pub(super) fn is_over(&self) -> bool {
        match &self.origin {
            Origin::Leaving => self.state.is_rest(),
            // Its on_failure hooks are let finish.
            Origin::Instance { .. } => matches!(self.state, State::Rest(Rest { alarm: None, .. })),
            Origin::Plan { .. } | Origin::Runtime => false,
        }
    }

    pub(super) fn is_instance(&self) -> bool {
        matches!(self.origin, Origin::Instance { .. })
    }

    /// What a restart that is skipped, or a stop, leaves it as.
    pub(super) fn rest_why(&self) -> Why {
        match &self.state {
            State::Rest(rest) => rest.why.clone(),
            State::Waiting(waiting) => waiting.start.fallback.clone(),
            State::Backoff(backoff) => Why::Failed(backoff.ending.clone()),
            State::Starting(Starting { run, .. }) => run.start.fallback.clone(),
            State::Running(_) | State::Stopping(_) => Why::Stopped(Cause::Progress),
        }
    }
}
