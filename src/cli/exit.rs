//! Exit codes, and the errors that lead to them.

use std::process::ExitCode;

/// How the command ended, for the shell. The numbers are a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It did what was asked.
    Done,
    /// It failed, or something it supervised did.
    Failed,
    /// No such process.
    NoSuchProcess,
    /// The instance refused it as things are.
    Refused,
    /// There is no instance to talk to.
    Unreachable,
    /// Whoever asks may not.
    NotPermitted,
    /// It took too long.
    TimedOut,
    /// A number given by somebody else: a supervised process, or `run`'s own table.
    Code(u8),
}

impl Exit {
    /// The number.
    pub(super) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::NoSuchProcess => 3,
            Exit::Refused => 4,
            Exit::Unreachable => 5,
            Exit::NotPermitted => 6,
            Exit::TimedOut => 7,
            Exit::Code(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Wrong usage.
pub(super) const USAGE: Exit = Exit::Code(2);
/// Ctrl-C, as shells have it.
pub(super) const INTERRUPTED: Exit = Exit::Code(130);
/// `run`: Neap itself failed.
pub(super) const RUN_FAILED: u8 = 125;
/// `run`: the program is there and cannot be executed.
pub(super) const RUN_NOT_EXECUTABLE: u8 = 126;
/// `run`: there is no such program.
pub(super) const RUN_NOT_FOUND: u8 = 127;

/// A command could not be carried out: what to print, and what to exit with.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    /// For people: what, where, why, what to do next.
    pub(super) message: String,
    /// For the shell.
    pub(super) exit: Exit,
}

impl Failure {
    /// A failure with exit code 1.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), exit: Exit::Failed }
    }

    /// The same failure with another exit code.
    pub(super) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}
