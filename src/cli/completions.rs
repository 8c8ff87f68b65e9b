//! `neap completions`: what a shell is taught, and what it is answered with when somebody presses Tab.
//!
//! The script only calls this binary again, with what was typed so far: so the flags are those of the binary that is there,
//! and the names are those of the processes that there are.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Zsh};

use super::client::candidates::{self, Target};
use super::exit::{Exit, Failure};

/// Tells the binary that a shell asks, and which.
const ASKED: &str = "NEAP_COMPLETE";

/// Shells that can be taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// source <(neap completions bash)
    Bash,
    /// source <(neap completions zsh)
    Zsh,
    /// neap completions fish | source
    Fish,
}

/// Prints the script.
pub(super) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    let written = shell.write_registration(ASKED, "neap", "neap", &binary(), &mut script);
    let written = written.and_then(|()| stdout().write_all(&script)).and_then(|()| stdout().flush());
    written.map_err(|error| Failure::new(format!("cannot write the script: {error}")))?;
    Ok(Exit::Done)
}

/// How the script calls this binary: as it was called, from anywhere.
fn binary() -> String {
    let called = std::env::args_os().next().map_or_else(|| PathBuf::from("neap"), PathBuf::from);
    let path = match std::env::current_dir() {
        Ok(here) if called.components().count() > 1 => here.join(called),
        _ => called,
    };
    path.to_string_lossy().into_owned()
}

/// Answers a shell that asks, and ends the program; does nothing otherwise.
pub(super) fn answer() {
    if std::env::var_os(ASKED).is_some() {
        let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
        let typed = typed(std::env::args_os());
        let word = index.map_or(typed.last(), |index: usize| typed.get(index)).cloned().unwrap_or_default();
        CompleteEnv::with_factory(|| candidates::command(target(&typed), &word)).var(ASKED).complete();
    }
}

/// What was typed so far, as the shell hands it over.
fn typed(args: impl Iterator<Item = OsString>) -> Vec<String> {
    args.skip_while(|arg| arg != "--").skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect()
}

/// The instance that is meant by it.
fn target(typed: &[String]) -> Target {
    let value = |flag: &str| {
        let at = typed.iter().position(|word| word == flag || word.starts_with(&format!("{flag}=")))?;
        if let Some((_, value)) = typed[at].split_once('=') {
            return Some(value.to_owned());
        }
        // Bash makes words of their own of equals signs.
        typed[at + 1..].iter().find(|word| *word != "=").cloned()
    };
    let socket = value("--socket").map(PathBuf::from).or_else(|| std::env::var_os("NEAP_SOCKET").map(PathBuf::from));
    let instance = value("--instance");
    Target { socket: socket.filter(|_| instance.is_none()), instance }
}

#[cfg(test)]
mod tests {
    use super::{target, typed};

    #[test]
    fn what_was_typed_says_which_instance_is_meant() {
        let of = |words: &[&str]| target(&typed(["neap", "--"].iter().chain(words).map(Into::into)));
        assert_eq!(of(&["neap", "--socket", "/x", "list"]).socket.unwrap().to_str(), Some("/x"));
        assert_eq!(of(&["neap", "--socket=/x", "list"]).socket.unwrap().to_str(), Some("/x"));
        assert_eq!(of(&["neap", "--instance", "=", "user", "list"]).instance.as_deref(), Some("user"));
        assert_eq!(of(&["neap", "stop", "--instance"]).instance, None);
    }
}
