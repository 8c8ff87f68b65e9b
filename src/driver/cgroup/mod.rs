//! Cgroups: what holds trees together (version 2), and limits on them (both versions).

#[cfg(feature = "cli")]
mod aside;
mod controller;
mod files;
mod limiter;
mod names;
mod own;
mod tree;
mod version1;

#[cfg(feature = "cli")]
pub(crate) use aside::step_aside;
pub(crate) use controller::Controller;
pub(super) use limiter::{Limited, Limiter};
pub(super) use tree::{Base, Leaf};
