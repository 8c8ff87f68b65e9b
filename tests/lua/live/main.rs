//! Configurations with a real supervisor: functions as hooks, probes and handlers, handles, and the recipes' servers.
#![cfg(feature = "lua")]

mod functions;
mod handles;
mod live;
mod run_time;
mod servers;
mod sessions;
#[path = "../../support/mod.rs"]
mod support;
mod talk;
