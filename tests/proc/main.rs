//! Real processes: one module a promise.

#[path = "../support/mod.rs"]
mod support;

mod adoption;
mod conditions;
mod contain;
mod containment;
mod directories;
mod embedding;
mod environment;
mod fault;
mod forking;
mod health;
mod hooks;
mod kept;
mod lifecycle;
mod limits;
mod notify;
mod output;
mod output_files;
mod privileges;
mod readiness;
mod reap;
mod refused;
mod relations;
mod run;
mod scarcity;
mod sockets;
mod sockets_accept;
mod sockets_paths;
mod spawn;
mod task_runtimes;
mod tasks;
mod world;
