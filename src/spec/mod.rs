//! What a user declares: plain data, and the reading and checking of it.
//!
//! A [`Spec`] defines one process, a [`Plan`] is a set of them. Lua, YAML, JSON and Rust share the keys; there
//! is one table of them ([`schema`]) and one reader ([`read`]), so a key means the same and a mistake is told the
//! same way everywhere. Nothing here reads a file, a clock or the environment.

#[cfg(feature = "yaml")]
mod absolute;
mod builder;
pub mod diff;
mod elsewhere;
mod hook;
mod listener;
pub mod names;
mod order;
mod plan;
mod probe;
mod process;
pub mod read;
mod restart;
#[cfg(test)]
pub(crate) mod samples;
pub mod schema;
mod serde_impl;
mod signal;
mod stop;
pub mod units;
mod url;
mod validate;
pub mod value;
pub mod write;

#[cfg(feature = "yaml")]
pub(crate) use absolute::make_absolute;
pub use elsewhere::Elsewhere;
pub use hook::{FunctionId, Hook, HookAction, Hooks};
pub use listener::{LONGEST_SOCKET_PATH, ListenAddress, Listener, Place};
pub use order::{OrderEdge, order_cycles, order_edges};
pub use plan::{Plan, PlanError, Problem, Severity, Source, Written};
pub use probe::{Health, HttpProbe, LogLine, Probe, ProbeTarget, Ready};
pub use process::{Conditions, Directory, EnvFile, Limits, LogSettings, ProcessType, Rlimit, Secret, Spec, Stream};
pub use restart::{Restart, RestartPolicy, StartLimit};
pub use schema::{Effect, FieldChange, changed_fields};
pub use serde_impl::stored;
pub use signal::Signal;
pub use stop::{Reload, Stop, StopMode, StopStep, mark};
pub use url::ProbeUrl;
pub use validate::check_relations;
pub use value::{Node, Position, Value};
