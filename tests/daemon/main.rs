//! `neap daemon`, from outside: what it does under signals, what it survives, and what it leaves.

#[path = "../support/mod.rs"]
mod common;
mod crashes;
mod definitions;
mod life;
mod listen;
mod older;
mod secrets;
mod service;
mod sockets;
mod sockets_programs;
mod support;
mod takeover;
mod telemetry;
mod yaml;
