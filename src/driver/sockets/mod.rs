//! Sockets that are held for processes (sd_listen_fds(3)): bound on the pool, watched while nobody serves them, passed to
//! whoever is started for them, and kept over runs, and over supervisors by the anchor.

mod bind;
mod connection;
mod count;
mod holder;
mod kernel;
mod over;
mod pass;
mod path;
mod table;

pub(super) use bind::Found;
pub(super) use connection::Connection;
pub(super) use holder::stranger;
pub use table::ListenerState;
pub(super) use table::{Sockets, undo_binding};
