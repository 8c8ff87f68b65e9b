//! The command, driven as a person drives it: what it prints, its exit code, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod acting;
mod beside;
mod check;
mod client;
mod following;
mod instance;
mod run;
mod stack;
mod support;
mod types;
mod up;
