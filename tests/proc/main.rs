//! Real processes: one module a promise.

#[path = "../support/mod.rs"]
mod support;

mod run;
mod spawn;
