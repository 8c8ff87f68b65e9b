//! The control socket: both gRPC services over a Unix socket, and the client's end of it.
//!
//! A [`Server`] serves an instance ([`Backend`]): `neap.v1` with all that the command line does, and
//! `process_manager` for the clients of the system that Neap follows. Who calls is known by the kernel's word, and
//! what they may do by their [`Role`].

mod accept;
mod access;
mod act;
mod address;
mod backend;
mod caller;
mod connect;
mod convert;
mod define;
#[cfg(feature = "cli")]
mod doors;
mod environment;
mod eval;
mod event;
mod fault;
mod foresee;
mod gate;
mod graph;
mod ids;
mod instance;
#[doc(hidden)]
pub mod json;
mod legacy;
mod listen;
mod local;
mod logs;
mod neap;
mod owner;
mod plan;
pub mod proto;
mod roles;
mod select;
mod server;
mod socket;
mod spec;
mod spec_node;
mod stats;
mod watch;
mod why;

pub use access::{Access, Grant};
pub use address::{Address, AddressError};
pub use backend::{ApplyOutcome, ApplyRequest, Backend, HostPromise, Info};
pub use connect::{ClientTls, ConnectError, connect, connect_to};
#[cfg(feature = "cli")]
pub(crate) use doors::let_in;
pub use fault::detail_of as error_detail;
#[cfg(feature = "cli")]
pub(crate) use listen::bind_plain;
pub use listen::{ListenError, Listener, Tls, TlsError, TlsFiles};
#[doc(hidden)]
pub use local::{Own, Way, own, unary};
pub use roles::Role;
pub use server::Server;
pub use socket::{SocketError, bind_control_socket};
#[cfg(feature = "cli")]
pub(crate) use spec::spec as described;
