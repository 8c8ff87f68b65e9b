//! Real processes: one module a promise.

#[path = "../support/mod.rs"]
mod support;

mod adoption;
mod contain;
mod containment;
mod embedding;
mod environment;
mod fault;
mod forking;
mod health;
mod hooks;
mod kept;
mod lifecycle;
mod notify;
mod output;
mod output_files;
mod readiness;
mod reap;
mod refused;
mod relations;
mod run;
mod scarcity;
mod spawn;
mod task_runtimes;
mod tasks;
mod world;
