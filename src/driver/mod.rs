//! Syscalls without policy: the machine's outputs in, the kernel's answers out.

pub mod caps;
mod condition;
pub mod contain;
pub mod creds;
mod engine;
mod envfile;
pub mod exit;
pub mod fdmap;
mod function;
mod heard;
mod held;
mod hook;
mod host;
pub mod identity;
mod launch;
pub mod limits;
mod notify;
mod pidfile;
mod place;
mod pool;
mod prepare;
mod probe;
mod run;
mod sources;
pub mod spawn;
pub mod sys;

pub(crate) use contain::Trees;
pub(crate) use engine::{Engine, HelperDone, Parts};
pub(crate) use function::Functions;
pub use function::{FunctionCall, FunctionDone, FunctionHost, Purpose};
pub use host::HostReport;
pub(crate) use prepare::{RuntimeDir, Surroundings, inheritable};
pub(crate) use spawn::Launcher;
