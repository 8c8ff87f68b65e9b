//! Neap supervises processes on Linux: it starts them in order, waits until each is ready, brings back what crashes, and
//! stops them in reverse order without leaving one behind.
//!
//! A supervisor is a value in your program. It takes over nothing: no signal handler, no subreaper, no global state, no
//! child but those it started. There may be several, shared by threads and tasks of any runtime.
//!
//! ```
//! use neap::Supervisor;
//! use neap::spec::{Ready, Restart, Spec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let supervisor = Supervisor::builder().build()?;
//!
//! let db = Spec::shell("db", "echo listening; exec sleep 1000").ready(Ready::logline("^listening"));
//! supervisor.add(db)?;
//! let api = supervisor.add(Spec::new("api", ["sleep", "1000"]).requires("db").restart(Restart::on_failure()))?;
//!
//! api.start_blocking()?; // or `api.start().await?`: both are ready, or the error says why not
//! for process in supervisor.list()? {
//!     println!("{} is {}", process.name, process.state);
//! }
//!
//! supervisor.shutdown().wait()?; // api first, then db; nothing of them is left
//! # Ok(())
//! # }
//! ```
//!
//! What is supervised may also be an async function of the program's own, in the same graph: [`Supervisor::add_task`].
//!
//! | module | what |
//! |---|---|
//! | the root | [`Supervisor`], [`Process`], [`Pending`] answers, streams of [`Events`] and [`Lines`] |
//! | [`spec`] | what a process is declared by: [`Spec`](spec::Spec) and its builder, [`Plan`](spec::Plan), every problem told at once |
//! | [`core`](mod@core) | the machine that decides: states, events with causes, refusals. Pure, for whoever wants to drive it |
//! | [`driver`] | the system calls |
//! | `lua` | with the feature `lua`: a configuration as a script, functions as hooks and checks |
//! | `yaml` | with the feature `yaml`: the same as plain data, without functions |
//! | `telemetry` | with the feature `telemetry`: what was counted as OpenMetrics and over DogStatsD |
//! | `sim` | with the feature `sim`: a hostile kernel with virtual time and seeds |
//!
//! The repository's `docs/` has a guide, the architecture, and what is promised with the tests that show it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo))]

#[doc(hidden)]
#[cfg(any(feature = "grpc", feature = "telemetry"))]
mod address;
pub mod anchor;
mod block;
#[cfg(feature = "cli")]
pub mod cli;
pub mod core;
pub mod driver;
mod events;
mod glob;
#[cfg(feature = "cli")]
pub(crate) mod instance;
#[doc(hidden)]
pub mod ledger;
mod lock;
mod log;
#[cfg(feature = "lua")]
pub mod lua;
mod mailbox;
#[cfg(feature = "grpc")]
pub mod rpc;
#[cfg(feature = "sim")]
pub mod sim;
pub mod spec;
mod supervisor;
#[cfg(feature = "telemetry")]
pub mod telemetry;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use supervisor::*;

/// The guide's Rust, run by `cargo test --doc`.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/rust.md")]
    struct Rust;
    #[doc = include_str!("../docs/logs.md")]
    struct Logs;
}
