//! The anchor: the tiny parent of a supervisor in daemon mode, which outlives it.
//!
//! It holds descriptors (pipes, listeners, locks) and remembers how processes ended while there is no supervisor, starts
//! the supervisor again when it dies, and passes signals on. What the two say to each other is [`Request`] and [`Reply`];
//! a supervisor speaks through its [`Link`].
//!
//! The anchor itself has one thread, makes its tables when it starts, and from then on needs no memory, no descriptor and
//! no answer of anybody to go on: `run` waits, `restarts` decides, the rest is one noun a file.

mod become_anchor;
mod children;
mod held;
mod key;
mod link;
mod main;
mod message;
mod outlet;
mod peer;
mod remembered;
mod restarts;
mod run;
mod say;
mod service;
mod signals;
mod start_time;
mod stop;
mod supervisor;

pub use become_anchor::{NAME, become_anchor};
pub use key::{Key, KeyKind};
pub use link::{Ended, Inheritance, Link, News, UpgradeOutcome};
pub use main::main;
pub use message::{MAX_TEXT, Reply, Request, VERSION};
pub use peer::Peer;
