//! The Lua runtime: a configuration is a script, and functions in it are hooks, probes and handlers.
//!
//! [`Runtime::evaluate`] turns files into a [`Plan`](crate::spec::Plan). Evaluation is pure: it starts nothing, and
//! sees no clock, no network and no file but through a tracked reader. The functions that a plan names are called
//! later, at run time, in the state that declared them: a fresh one for each generation, owned by a thread of its own.
//! No Lua value leaves that thread; outside, a function is a [`FunctionId`](crate::spec::FunctionId).
//!
//! A script is held to a deadline and a memory cap whatever it does, see [`limits`].

pub mod api;
mod compile;
mod convert;
mod dispatch;
pub mod error;
mod evaluation;
mod functions;
mod generation;
pub mod host;
mod lexer;
pub mod limits;
mod pattern;
mod positions;
mod problem;
pub mod reader;
mod recorded;
mod renumber;
mod runtime;
mod sandbox;
mod session;
mod turns;
mod types;
mod values;
mod wedge;

pub use dispatch::Listening;
pub use host::{Host, Operator, Phase, PrintSink};
pub use reader::FileRead;
pub use recorded::{Input, InputKind, Recorded};
#[cfg(feature = "cli")]
pub(crate) use runtime::generation_of;
pub use runtime::{Entry, EvaluateRequest, Evaluated, Generation, Options, Runtime, WedgedSink};
pub use session::{Answer, Candidate, Candidates, Item, Items, Session, SessionRequest, Trouble, Values};
pub use types::luals_definitions;
