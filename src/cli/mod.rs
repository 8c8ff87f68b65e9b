//! The `neap` command: one file a command, and what they share.
//!
//! The library touches no terminal, signal, home directory or environment variable. This module does, for the binary:
//! it finds the configuration, takes INT and TERM, makes the process the reaper of what its children orphan, and
//! prints. What it knows of supervision it asks the public [`Supervisor`](crate::Supervisor) handle like any program.

mod anchored;
mod app;
mod args;
mod check;
mod client;
mod completions;
mod config;
mod daemon;
mod detach;
mod escape;
mod exit;
mod import;
mod listen;
mod locate;
mod narrate;
mod notes;
mod older;
mod orphans;
mod paint;
mod printer;
mod problems;
mod report;
mod run;
mod screen;
mod select;
mod session;
mod signals;
mod start;
mod summary;
mod telemetry;
mod times;
mod types;
mod units;
mod up;

pub use app::main;
