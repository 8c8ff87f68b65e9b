//! The anchor, with real processes: one module a promise.

#[path = "../support/mod.rs"]
mod common;
mod support;

mod crash;
mod held;
mod hostile;
mod init;
mod memory;
mod service;
mod signals;
mod start;
mod statuses;
mod stop;
mod upgrade;
