//! From the command line to an exit code.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;

use super::args::{Cli, Command, Global};
use super::exit::{Exit, Failure};
use super::narrate::Talk;
use super::paint::{Paint, Tone};
use super::{check, run, types, up};

/// What every command gets: how to speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    /// Colours on stdout.
    pub(super) out: Paint,
    /// Colours on stderr.
    pub(super) err: Paint,
    /// How much to say.
    pub(super) talk: Talk,
}

impl Voice {
    fn new(global: &Global) -> Self {
        let talk = match (global.quiet, global.verbose) {
            (true, _) => Talk::Quiet,
            (_, true) => Talk::Verbose,
            _ => Talk::Normal,
        };
        Voice { out: Paint::for_stream(global.color, &stdout()), err: Paint::for_stream(global.color, &stderr()), talk }
    }

    /// Says that something went wrong.
    pub(super) fn error(self, message: &str) {
        // Nothing to be done about a stderr that takes nothing.
        let _ = writeln!(stderr(), "{} {message}", self.err.tone(Tone::Bad, "neap:"));
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let voice = Voice::new(&cli.global);
    let result = match cli.command {
        Command::Up(args) => up::up(&args, voice),
        Command::Run(args) => run::run(args, voice),
        Command::Check(args) => check::check(&args, voice),
        Command::Types(args) => types::types(&args, voice),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(Failure { message, exit }) => {
            if !message.is_empty() {
                voice.error(&message);
            }
            Exit::into(exit)
        }
    }
}
