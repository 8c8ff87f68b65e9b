//! The control socket: both gRPC services over a Unix socket, and a client.
//!
//! A server serves an instance ([`Backend`]): `neap.v1` with all that the command line does, and `process_manager` for
//! the clients of the system that Neap follows. Who calls is known by the kernel's word, and what they may do by their
//! role.

mod backend;
pub mod proto;

pub use backend::{ApplyOutcome, ApplyRequest, Backend, HostPromise, Info};
