//! Lines that begin with a colon: the REPL's own commands, and those of the command line.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as Program, Stdio};

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::app::Voice;
use crate::cli::args::{Cli, Command};
use crate::cli::client::args::Command as Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::Paint;
use crate::spec::read::split_command;

/// This binary, also when another stands in its place by now.
const SELF: &str = "/proc/self/exe";

/// What `:help` says.
pub(super) const HELP: &str = "\
An expression is evaluated in the instance and shown; a statement is carried out. `local` variables stay for the session.
  p.web                    a process; p.web:restart(), p.web:why() and others act on it or tell of it
  neap.process \"x\" {…}     defines a process and starts it
  help(x)                  what x is: a function, a process, a key of its table
  :list, :why web, …       any command of `neap`, with its flags; `:help list` tells them
  :events on, :events off  show what happens above the prompt, or no longer
  :quit, Ctrl-D            detach; nothing is stopped
Tab completes, Ctrl-C cancels what is evaluated, Ctrl-R searches in earlier lines.";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To leave.
    Quit,
    /// What there is.
    Help,
    /// To show events, or not to.
    Events(bool),
    /// A command of the command line, with its arguments.
    Run(Vec<String>),
}

/// The REPL's own commands, for completion: what they are called, and what they do.
pub(super) const OWN: [(&str, &str); 4] = [
    ("help", "What there is; `:help COMMAND` tells a command's flags"),
    ("quit", "Detach; nothing is stopped"),
    ("events on", "Show what happens above the prompt"),
    ("events off", "No longer show what happens"),
];

/// Reads a line without its colon. At a prompt that only reads, what changes anything is refused.
pub(super) fn read(line: &str, read_only: bool) -> Result<Asked, String> {
    let words = split_command(line).map_err(|error| format!("`:{line}`: {error}"))?.words;
    let asked = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["help" | "h" | "?"] => Asked::Help,
        ["quit" | "q" | "exit"] => Asked::Quit,
        ["events", "on"] => Asked::Events(true),
        ["events", "off"] => Asked::Events(false),
        ["help" | "h", rest @ ..] => {
            Asked::Run(rest.iter().map(|word| (*word).to_owned()).chain(["--help".into()]).collect())
        }
        _ => Asked::Run(words),
    };
    if let Asked::Run(words) = &asked {
        sensible(words, read_only)?;
    }
    Ok(asked)
}

/// Whether the words are a command that means something here.
fn sensible(words: &[String], read_only: bool) -> Result<(), String> {
    let typed = std::iter::once("neap").chain(words.iter().map(String::as_str));
    match Cli::try_parse_from(typed) {
        Ok(cli) => match cli.command {
            Command::Up(_) | Command::Daemon(_) | Command::Run(_) => Err(format!(
                "`:{}` makes no sense here: this prompt is at an instance that is up already; run it in a shell",
                words[0]
            )),
            Command::Client(Client::Repl(_)) => Err("this is the REPL already; :quit leaves it".to_owned()),
            command if read_only && !only_looks(&command) => {
                Err(format!("`:{}` changes something, and this prompt only looks (it is read-only)", words[0]))
            }
            _ => Ok(()),
        },
        // Its own help is what it prints itself.
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Ok(()),
        Err(error) if error.kind() == ErrorKind::InvalidSubcommand => {
            let text = error.render().to_string();
            let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
            let tip = tip.map_or_else(|| "`:help` tells what there is".to_owned(), str::to_owned);
            Err(format!("there is no command `:{}`; {tip}", words[0]))
        }
        Err(error) => Err(error.render().to_string().trim_end().trim_start_matches("error: ").to_owned()),
    }
}

/// Whether a command changes nothing. What does not stand here counts as one that does.
fn only_looks(command: &Command) -> bool {
    match command {
        Command::Check(_) | Command::Completions(_) => true,
        Command::Client(client) => match client {
            Client::Status(_)
            | Client::List(_)
            | Client::Describe(_)
            | Client::Wait(_)
            | Client::Plan(_)
            | Client::Logs(_)
            | Client::Events(_)
            | Client::Why(_)
            | Client::Graph(_)
            | Client::Stats(_)
            | Client::Health(_) => true,
            Client::Start(act) | Client::Stop(act) | Client::Restart(act) => act.dry_run,
            Client::Apply(apply) => apply.dry_run,
            Client::Eval(eval) => eval.read_only,
            _ => false,
        },
        _ => false,
    }
}

/// Runs a command of the command line, at the same instance. It is a program of its own: it may wait, follow, be interrupted
/// and exit as it does in a shell.
pub(super) fn run(words: &[String], socket: &Path, voice: Voice, terminal: bool) -> Result<Exit, Failure> {
    let mut program = Program::new(SELF);
    program.arg0("neap").env("NEAP_SOCKET", socket);
    if !words.iter().any(|word| word.starts_with("--color")) {
        program.args(["--color", if voice.out == Paint::off() { "never" } else { "always" }]);
    }
    if voice.json && !words.iter().any(|word| word == "--json") {
        program.arg("--json");
    }
    // What comes on stdin is for this program alone.
    program.args(words).stdin(if terminal { Stdio::inherit() } else { Stdio::null() });
    let status = program.status().map_err(|error| Failure::new(format!("cannot run `neap {}`: {error}", words[0])))?;
    Ok(match status.code() {
        Some(0) => Exit::Done,
        Some(code) => Exit::Code(u8::try_from(code).unwrap_or(1)),
        None => Exit::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::{Asked, read};

    fn run(words: &[&str]) -> Asked {
        Asked::Run(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_colon_means_a_command_of_the_repl_or_of_the_command_line() {
        assert_eq!(read("help", false).unwrap(), Asked::Help);
        assert_eq!(read("", false).unwrap(), Asked::Help);
        assert_eq!(read("q", false).unwrap(), Asked::Quit);
        assert_eq!(read("events on", false).unwrap(), Asked::Events(true));
        assert_eq!(read("events web", false).unwrap(), run(&["events", "web"]));
        assert_eq!(read("list --state failed", false).unwrap(), run(&["list", "--state", "failed"]));
        assert_eq!(read("logs 'a b' -n 3", false).unwrap(), run(&["logs", "a b", "-n", "3"]));
        assert_eq!(read("help list", false).unwrap(), run(&["list", "--help"]));
    }

    #[test]
    fn what_makes_no_sense_at_the_prompt_is_refused_with_words() {
        for line in ["up", "daemon", "run -- true"] {
            assert!(read(line, false).unwrap_err().contains("makes no sense here"), "{line}");
        }
        assert!(read("repl", false).unwrap_err().contains("already"));
        let unknown = read("lits", false).unwrap_err();
        assert!(unknown.contains("`:lits`") && unknown.contains("list"), "{unknown}");
        assert!(read("list --nonsense", false).unwrap_err().contains("--nonsense"));
        assert!(read("list 'web", false).unwrap_err().contains("never closed"));
    }

    #[test]
    fn a_prompt_that_only_reads_refuses_every_command_that_is_not_known_to_only_look() {
        let changing = [
            "start web",
            "stop web",
            "restart web",
            "reload web",
            "signal web HUP",
            "apply",
            "create x -- true",
            "update web --nice 1",
            "delete web",
            "eval 1",
            "exec web -- true",
            "down",
            "upgrade",
            "types",
        ];
        for line in changing {
            assert!(read(line, false).is_ok(), "{line}");
            assert!(read(line, true).unwrap_err().contains("read-only"), "{line}");
        }
        for line in
            ["status", "list", "describe web", "wait web", "plan", "logs", "events", "why web", "graph", "stats"]
        {
            assert!(read(line, true).is_ok(), "{line}");
        }
        for line in ["health", "apply --dry-run", "stop web --dry-run", "eval --read-only 1", "help stop", "quit"] {
            assert!(read(line, true).is_ok(), "{line}");
        }
    }
}
