//! What may stand at a place of the command line, as the running instance has it: for completion.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::context::{candidates_of, reach};
use super::look;
use crate::cli::args::Cli;
use crate::core::StateName;
use crate::rpc::proto::v1::ListRequest;
use crate::spec::Signal;

/// Who presses a key waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// Commands whose own names are new ones.
const MAKING: [&str; 2] = ["create", "run"];

/// Which instance is asked.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Target {
    /// `--socket`.
    pub(in crate::cli) socket: Option<PathBuf>,
    /// `--instance`.
    pub(in crate::cli) instance: Option<String>,
}

/// The command line's definition, in which names of processes, states and signals are known, to complete this word. Flags
/// are many: they are offered to who has begun one.
pub(in crate::cli) fn command(target: Target, word: &str) -> clap::Command {
    let target = Arc::new(target);
    let flags = word.starts_with('-');
    let quiet = move |arg: clap::Arg| if flags || arg.is_positional() { arg } else { arg.hide(true) };
    Cli::command().disable_help_flag(!flags).disable_version_flag(!flags).mut_args(quiet).mut_subcommands(
        move |command| {
            let makes = MAKING.contains(&command.get_name());
            let target = Arc::clone(&target);
            command.disable_help_flag(!flags).mut_args(move |arg| {
                let own = makes && (arg.is_positional() || arg.get_id() == "name");
                let target = Arc::clone(&target);
                let arg = quiet(arg);
                match arg.get_value_names().and_then(|names| names.first()).map(|name| name.trim_end_matches(",…")) {
                    Some("NAME") if !own => arg.add(ArgValueCandidates::new(move || processes(&target))),
                    Some("STATE") => arg.add(ArgValueCandidates::new(states)),
                    Some("SIGNAL") => arg.add(ArgValueCandidates::new(signals)),
                    _ => arg,
                }
            })
        },
    )
}

fn states() -> Vec<CompletionCandidate> {
    StateName::ALL.into_iter().map(|state| CompletionCandidate::new(state.as_str())).collect()
}

fn signals() -> Vec<CompletionCandidate> {
    let names = ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "KILL", "CONT", "STOP", "WINCH"];
    names.into_iter().filter(|name| Signal::from_name(name).is_some()).map(CompletionCandidate::new).collect()
}

/// The names of the instance's processes; none when nobody answers soon.
fn processes(target: &Target) -> Vec<CompletionCandidate> {
    let (sender, answer) = channel();
    let target = target.clone();
    let asked = std::thread::Builder::new().spawn(move || {
        let names = || {
            let candidates = candidates_of(target.socket, target.instance.as_deref()).ok()?;
            Some(reach(&candidates).ok()?.list(ListRequest::default()).ok()?.processes)
        };
        // Too late, nobody listens.
        let _ = sender.send(names().unwrap_or_default());
    });
    let found = asked.ok().and_then(|_| answer.recv_timeout(PATIENCE).ok()).unwrap_or_default();
    let one = |process: crate::rpc::proto::v1::Process| {
        let state = look::word(process.state());
        CompletionCandidate::new(process.name).help(Some(state.to_string().into()))
    };
    found.into_iter().map(one).collect()
}
