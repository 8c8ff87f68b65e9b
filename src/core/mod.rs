//! The machine: all supervision logic, without I/O.
//!
//! No clock, no system call, no thread, no async, no randomness but a supplied seed, no Lua. Inputs go in, outputs are
//! pulled out until there is none, and the next deadline is asked for. See [`Machine`].

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod asked;
mod backoff;
mod commands;
mod diff;
mod event;
mod explain;
mod graph;
mod health;
mod history;
mod hooks;
mod ids;
mod input;
mod instances;
mod invariant;
mod journal;
mod listen;
mod machine;
mod output;
mod over;
mod plan;
mod process;
mod propagate;
mod reply;
mod resume;
mod rng;
mod shared;
mod start;
mod status;
mod stop;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod timers;
mod view;
mod words;

pub use asked::{Asked, Verb};
pub use diff::{Change, ChangeKind};
pub use event::{Cause, Ending, Event, EventKind, HealthStatus, HoldKind, RelationKind, StateName};
pub use explain::{Blocker, Explanation, Reason, Timer};
pub use history::History;
pub use ids::{CommandId, ConnectionId, Pid, ProcessId, RunId};
pub use input::{
    Adoption, Command, ExitStatus, HookKind, HookResult, Input, Notification, ProbeKind, SpawnError, SpawnStep,
};
pub use invariant::Violation;
pub use journal::{RecordKey, SNAPSHOT_VERSION, SnapshotError};
pub use machine::{Machine, Settings};
pub use output::{Output, Scope};
pub use reply::{Applied, Done, Refusal, Reply, Updated};
pub use resume::LiveRun;
pub use status::{Hold, Status, Want};
pub use time::{Now, Time, WallTime};

pub use crate::spec::diff::FieldDiff;
