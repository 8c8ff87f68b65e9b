//! The control socket: both services over a real socket, before a real supervisor.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod define;
mod errors;
mod legacy;
mod logs;
mod peers;
mod python;
mod rude;
mod sockets;
mod standard;
mod watch;
mod why;
mod world;
