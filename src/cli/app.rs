//! From the command line to an exit code.

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;

use super::args::{Cli, Command, Global};
use super::exit::{Exit, Failure, USAGE};
use super::narrate::Talk;
use super::older::{self, Name};
use super::paint::{Paint, Tone};
use super::problems::Refused;
use super::{check, client, completions, daemon, import, run, types, up};

/// What every command gets: how to speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    /// Colours on stdout.
    pub(super) out: Paint,
    /// Colours on stderr.
    pub(super) err: Paint,
    /// How much to say.
    pub(super) talk: Talk,
    /// Whether a program listens.
    pub(super) json: bool,
    /// What the program is called: errors begin with it, and so does what a person may call next.
    pub(super) called: &'static str,
}

impl Voice {
    fn new(global: &Global) -> Self {
        let talk = match (global.quiet, global.verbose) {
            (true, _) => Talk::Quiet,
            (_, true) => Talk::Verbose,
            _ => Talk::Normal,
        };
        let (out, err) = (Paint::for_stream(global.color, &stdout()), Paint::for_stream(global.color, &stderr()));
        Voice { out, err, talk, json: global.json, called: global.called }
    }

    /// Says that something went wrong.
    pub(super) fn error(self, message: &str) {
        // Nothing to be done about a stderr that takes nothing.
        let _ = writeln!(stderr(), "{} {message}", self.err.tone(Tone::Bad, &format!("{}:", self.called)));
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    completions::answer();
    let words: Vec<OsString> = std::env::args_os().collect();
    let read = match Name::of(words.first()) {
        Some(name) => older::read(name, &words, &|variable| std::env::var_os(variable)),
        None => Cli::try_parse_from(&words).map(|mut cli| {
            cli.global.line = words.into_iter().skip(1).collect();
            cli
        }),
    };
    let cli = match read {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let voice = Voice::new(&cli.global);
    let result = match cli.command {
        Command::Up(args) => up::up(&args, &cli.global, voice),
        Command::Daemon(args) => daemon::daemon(&args, &cli.global),
        Command::Run(args) => run::run(args, voice),
        Command::Check(args) => check::check(&args, voice),
        Command::Import(args) => import::import(&args, voice),
        Command::Completions(args) => completions::completions(args.shell),
        Command::Types(args) => types::types(&args, voice),
        Command::Client(command) => client::run(command, &cli.global, voice),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(Failure { message, exit }) => {
            match message.as_str() {
                // That nobody reads what was printed is nothing to speak of.
                "" => {}
                message if voice.json => refuse(message, exit),
                message => voice.error(message),
            }
            Exit::into(exit)
        }
    }
}

/// Help and the version are asked for; the rest is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if json && error.use_stderr() {
        // The first paragraph says what is wrong; the rest is for people.
        let text = error.render().to_string();
        let message = text.split("\n\n").next().unwrap_or(&text).trim().trim_start_matches("error: ");
        refuse(message, USAGE);
    } else {
        // Nothing to be done about a stream that takes nothing.
        let _ = error.print();
    }
    if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
}

/// Says that something went wrong, to a program.
fn refuse(message: &str, exit: Exit) {
    let _ = serde_json::to_string(&Refused::other(message, exit)).map(|text| writeln!(stderr(), "{text}"));
}
