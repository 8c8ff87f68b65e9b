//! The control socket: both services over a real socket, before a real supervisor.

#[path = "../support/mod.rs"]
mod support;

mod as_user;
mod calls;
mod define;
mod errors;
mod frames;
mod legacy;
mod logs;
mod older;
mod peers;
mod python;
mod rude;
mod rude_frames;
mod slow;
mod sockets;
mod standard;
mod tcp;
mod tls;
mod watch;
mod why;
mod world;
