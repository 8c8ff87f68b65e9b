//! What a reader of output gets.

use std::sync::Arc;

use crate::core::WallTime;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a process printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub process: Arc<str>,
    /// From which stream.
    pub stream: StreamKind,
    /// Its bytes, without the line feed. They may be anything: escape them before they reach a terminal.
    pub text: Vec<u8>,
    /// Whether it was cut: the rest follows as the next line of its stream, or its end never came.
    pub partial: bool,
    /// When it was read; unknown for what a supervisor before this one read.
    pub time: Option<WallTime>,
    /// The number of the run that printed it, as [`Status::run_count`](crate::core::Status::run_count) counts them; a start
    /// that fails has the number of the next one. 0 when it is not known.
    pub run: u32,
}
