//! `dd-procmgr`: the client commands of `neap`, by the older client's verbs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::variables::{DEFAULT_SOCKET, Transport, Variables, Wrong};
use super::words;
use crate::cli::args::{Cli, Command, Global};
use crate::cli::client::args as client;

/// Looks at the agent's processes, and acts on them: the client of the older process manager.
#[derive(Debug, Parser)]
#[command(name = "dd-procmgr", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "\
Variables (--socket counts for more):
  DD_PM_GRPC_SOCKET  The daemon's socket; by default /var/run/datadog/process-manager.sock
  DD_PM_SOCKET       Its older name
  DD_PM_USE_TCP      1 or true: the daemon is at 127.0.0.1 [default: as DD_PM_TRANSPORT_MODE says]
  DD_PM_GRPC_PORT    The port there [default: 50051]
  DD_PM_DAEMON_PORT  Its older name

A process is named by its name or its id. `neap --socket PATH` has further commands, such as
restart, logs, events and why.

Exit codes: 0 done, 1 it failed, 2 usage, 3 no such process, 4 refused in this state,
5 cannot reach the daemon, 6 not permitted, 7 timed out.")]
struct Older {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a process; with --auto-start it is started
    #[command(
        override_usage = "dd-procmgr create NAME CMD [ARG…] [OPTIONS]\n       dd-procmgr create NAME [OPTIONS] -- CMD [ARG…]"
    )]
    Create(client::Create),
    /// Start processes, and wait until they are ready
    Start(client::Act),
    /// Stop processes, what depends on them first, and wait until nothing of them is left
    Stop(client::Act),
    /// Forget a process that was made with create
    #[command(visible_alias = "remove")]
    Delete(client::Delete),
    /// The processes, one line each
    List(client::List),
    /// Everything known of processes, their configuration included
    Describe(client::Describe),
    /// What processes use: processor, memory, processes, disks
    Stats(client::Stats),
    /// Change what a process is
    #[command(override_usage = "dd-procmgr update NAME [OPTIONS] [-- CMD…]")]
    Update(client::Update),
    /// Make the processes what the configuration says now, all or nothing
    ReloadConfig(ReloadConfig),
    /// Whether the daemon, or a process, is well: exit code 0 when it is
    Health(Health),
    /// The daemon at a glance; with NAME, one process
    Status(client::Status),
}

#[derive(Debug, Args)]
struct ReloadConfig {
    #[command(flatten)]
    waiting: client::Waiting,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Health {
    /// Only these: names, ids or globs [default: the daemon]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Wait until it is well
    #[arg(long)]
    wait: bool,
    /// Wait this long at most, then exit with 7; without --wait there is nothing to wait for
    #[arg(long, value_name = "SECONDS", value_parser = client::duration)]
    timeout: Option<Duration>,
}

impl From<Verb> for client::Command {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Create(args) => client::Command::Create(args),
            Verb::Start(args) => client::Command::Start(args),
            Verb::Stop(args) => client::Command::Stop(args),
            Verb::Delete(args) => client::Command::Delete(args),
            Verb::List(args) => client::Command::List(args),
            Verb::Describe(args) => client::Command::Describe(args),
            Verb::Stats(args) => client::Command::Stats(args),
            Verb::Update(args) => client::Command::Update(args),
            Verb::ReloadConfig(ReloadConfig { waiting, dry_run }) => {
                client::Command::Apply(client::Apply { config: None, waiting, dry_run })
            }
            Verb::Health(Health { names, wait, timeout }) => {
                client::Command::Health(client::Health { names, wait, timeout })
            }
            Verb::Status(args) => client::Command::Status(args),
        }
    }
}

/// What `dd-procmgr` with these words and variables means.
pub(super) fn read(words: &[OsString], variables: &Variables<'_>) -> Result<Cli, clap::Error> {
    let mut command = Older::command();
    command.build();
    let words = in_order(words, &command);
    let matches = command.try_get_matches_from_mut(&words)?;
    let Older { mut global, verb } = Older::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if global.instance.is_none() && !typed(&matches, "socket") {
        let found = socket(&global, variables);
        global.socket = found.map_err(|wrong| command.error(ErrorKind::ValueValidation, wrong.to_string()))?;
    }
    global.called = "dd-procmgr";
    Ok(Cli { global, command: Command::Client(verb.into()) })
}

/// Where the daemon is: where the variables say, else where all of Neap's clients are told, else where it always was.
fn socket(global: &Global, variables: &Variables<'_>) -> Result<Option<PathBuf>, Wrong> {
    let (transport, port, socket) = (variables.clients_transport()?, variables.port()?, variables.clients_socket()?);
    Ok(Some(match (transport, socket) {
        (Transport::Tcp, _) => format!("tcp:127.0.0.1:{port}").into(),
        (Transport::Unix, Some(socket)) => socket.into(),
        (Transport::Unix, None) => global.socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into()),
    }))
}

/// Whether this flag stands on the command line, before the verb or behind it.
fn typed(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(flag) == Some(ValueSource::CommandLine)
        || matches.subcommand().is_some_and(|(_, matches)| typed(matches, flag))
}

/// The words, with those of a `create` as it takes them.
fn in_order(words: &[OsString], command: &clap::Command) -> Vec<OsString> {
    let at = verb_at(words, command).filter(|at| words[*at] == "create");
    match at.zip(command.find_subcommand("create")) {
        Some((at, create)) => {
            let (before, behind) = words.split_at(at + 1);
            before.iter().cloned().chain(words::ordered(behind, create)).collect()
        }
        None => words.to_vec(),
    }
}

/// Which of the words is the verb.
fn verb_at(words: &[OsString], command: &clap::Command) -> Option<usize> {
    let mut at = 1;
    loop {
        let word = words.get(at)?;
        match word.to_str().and_then(|word| word.strip_prefix("--")) {
            Some(flag) if words::takes_the_next(flag, command) => at += 2,
            Some(_) => at += 1,
            None if words::is_dashed(word) => at += 1,
            None => return Some(at),
        }
    }
}
