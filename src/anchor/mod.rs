//! The anchor: the tiny parent of a supervisor in daemon mode, which outlives it.
//!
//! It holds descriptors (pipes, listeners, locks) and remembers how processes ended while there is no supervisor, starts
//! the supervisor again when it dies, and passes signals on. What the two say to each other is [`Request`] and [`Reply`];
//! a supervisor speaks through its [`Link`].

mod key;
mod link;
mod message;
mod peer;

pub use key::{Key, KeyKind};
pub use link::{Ended, Inheritance, Link, News, UpgradeOutcome};
pub use message::{MAX_TEXT, Reply, Request, VERSION};
pub use peer::Peer;
