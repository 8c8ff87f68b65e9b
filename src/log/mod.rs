//! Bytes from children to places: rings, followers, files. A thread of its own reads all pipes, fairly.

mod file;
mod frame;
mod line;
mod reader;
mod ring;
mod sink;
mod stream;

pub(crate) use file::{LogFile, LogPlace};
pub use line::{Line, StreamKind};
pub(crate) use reader::{LineHub, Logs, Told};
pub(crate) use stream::{ProcessLog, Tail};
