//! Bytes from children to places: rings, followers, files. A thread of its own reads all pipes, fairly.

mod back;
#[cfg(test)]
mod crash_tests;
mod cursor;
mod file;
mod folder;
mod frame;
mod index;
mod line;
mod peek;
mod pump;
mod ring;
mod rotate;
mod shared;
mod staging;
mod stream;
mod target;
mod thread;
mod voice;

pub use back::{LogBatch, LogFrom, LogLine, LogReader};
pub use cursor::{LogCursor, NoCursor};
pub(crate) use file::{LogFile, LogPlace};
pub use line::{Line, StreamKind};
pub(crate) use stream::{ProcessLog, Tail};
pub(crate) use thread::{LineHub, Logs, Told};
pub(crate) use voice::Voice;
