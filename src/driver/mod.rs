//! Syscalls without policy: the machine's outputs in, the kernel's answers out.

mod adopt;
pub mod caps;
mod cgroup;
mod child;
mod condition;
pub mod contain;
pub mod creds;
mod daemon;
mod directories;
mod dumpable;
mod ending;
mod enforce;
mod engine;
mod envfile;
pub mod exit;
mod failure;
pub mod fdmap;
mod figures;
mod flight;
mod function;
mod group;
mod heard;
mod held;
mod hook;
mod host;
pub mod identity;
mod instance;
#[doc(hidden)]
pub mod keep;
mod kin;
pub mod known;
mod launch;
mod limit;
pub mod limits;
mod member;
mod notify;
mod pidfile;
mod place;
mod pool;
mod prepare;
mod probe;
mod reserve;
mod run;
mod slots;
mod sockets;
mod sources;
pub mod spawn;
pub mod sys;
mod tally;
mod task;
mod tell;
mod usage;
#[cfg(feature = "telemetry")]
mod usages;
mod workers;

#[cfg(feature = "cli")]
pub(crate) use cgroup::step_aside;
pub(crate) use contain::Trees;
pub(crate) use directories::{Bases as DirectoryBases, Directories};
pub use enforce::{Enforcer, Limit, LimitState};
pub(crate) use engine::{Engine, HelperDone, Parts};
pub use figures::{Counts, ExitReason, ProbeCounts, ProcessFigures, SupervisorFigures, Times};
pub(crate) use function::Functions;
#[cfg(all(test, feature = "lua"))]
pub(crate) use function::Shortfall;
pub use function::{FunctionCall, FunctionDone, FunctionHost, Purpose};
pub use host::{AnchorState, HostReport, LedgerState};
#[doc(hidden)]
pub use keep::{Keep, Store};
pub(crate) use pool::Pool;
#[cfg(feature = "grpc")]
pub(crate) use prepare::{Beside, beside};
pub(crate) use prepare::{RuntimeDir, Surroundings, inheritable};
#[cfg(feature = "lua")]
pub(crate) use probe::{Io, beside_connection};
pub use sockets::ListenerState;
pub(crate) use spawn::Launcher;
pub(crate) use task::{TaskFunction, Tasks, is_in_task};
pub(crate) use usage::Gauge;
pub use usage::{Usage, UsageSource};
#[cfg(feature = "telemetry")]
pub(crate) use usages::read_all;
pub(crate) use workers::Workers;
