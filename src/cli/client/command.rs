//! From a command to its file.

use super::args::Command;
use crate::cli::app::Voice;
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};

/// Runs it.
pub(in crate::cli) fn run(command: Command, _global: &Global, _voice: Voice) -> Result<Exit, Failure> {
    Err(Failure::new(format!("not there yet: {command:?}")))
}
