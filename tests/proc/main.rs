//! Real processes: one module a promise.

#[path = "../support/mod.rs"]
mod support;

mod contain;
mod fault;
mod reap;
mod run;
mod spawn;
