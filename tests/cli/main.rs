//! The command, driven as a person drives it: what it prints, its exit code, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod acting;
mod beside;
mod check;
mod client;
#[path = "../support/mod.rs"]
mod common;
mod completing;
mod defining;
mod environment;
mod evaluating;
mod following;
mod health;
mod here;
mod instance;
mod limits;
mod log_times;
mod planning;
mod privileges;
mod repl;
mod run;
mod scripted;
mod stack;
mod support;
mod terminal;
mod types;
mod up;
