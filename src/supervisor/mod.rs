//! The public handle: a supervisor in a program.

mod builder;
mod error;
mod figures;
mod handle;
mod pending;
mod process;
mod shared;
mod support;
mod task;

pub use builder::Builder;
pub use error::{BuildError, Error};
pub use figures::Figures;
pub use handle::{Supervisor, WeakSupervisor};
pub use pending::{Pending, Shutdown};
pub use process::Process;
pub use task::{Task, TaskResult};

pub use crate::driver::contain::TreeKind;
pub use crate::driver::spawn::Method;
pub use crate::driver::{Counts, ExitReason, ProbeCounts, ProcessFigures, SupervisorFigures, Times};
pub use crate::driver::{Enforcer, Limit, LimitState, ListenerState};
pub use crate::driver::{FunctionCall, FunctionDone, FunctionHost, HostReport, Purpose, Usage, UsageSource};
pub use crate::events::{Events, Lines, Next};
pub use crate::log::{Line, LogBatch, LogCursor, LogFrom, LogLine, LogReader, NoCursor, StreamKind};

pub(crate) use shared::{Answer, Message, Shared};
