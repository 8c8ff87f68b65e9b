//! Sessions: a person at a prompt, or a script, that evaluates lines in a running instance.
//!
//! A session lives on the thread of a generation, beside that generation's hooks and handlers: it sees the configuration's
//! globals, and has variables of its own. From outside it is a [`Session`], and [`Items`] that come of it.

mod answer;
mod complete;
mod completion;
mod environment;
mod handle;
mod help;
mod outlet;
mod processes;
mod records;
mod redact;
mod serve;
mod show;
mod source;
mod trouble;

pub use answer::{Answer, Candidate, Candidates, Item, Trouble, Values};
pub use handle::{Items, Session, SessionRequest};
