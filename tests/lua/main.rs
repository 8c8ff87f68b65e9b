//! The Lua runtime from outside: sandbox, limits, evaluation, golden configurations.
#![cfg(feature = "lua")]

mod config;
mod determinism;
mod files;
mod golden;
mod hostile;
mod recorded;
mod sandbox;
mod support;
mod yaml;
