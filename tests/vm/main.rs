//! Limits that bite, where all controllers of cgroups version 2 are ours: in the virtual machine of `.ci/vm`, as a daemon
//! has them under systemd, in a container, and without being root. Elsewhere these tests are skipped.

#[path = "../support/mod.rs"]
mod common;
mod ground;
mod limits;
mod page;
mod places;
#[allow(dead_code, reason = "it is the daemon tests', and what is not needed here they need")]
#[path = "../daemon/support.rs"]
mod support;
