//! The Datadog Agent's programs under the daemon: stand-ins for them (dist/datadog-agent), its examples, and its build tasks.

#[path = "../support/mod.rs"]
mod common;
mod example;
mod page;
#[path = "../daemon/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which use all of it")]
mod support;
mod tasks;
mod world;
