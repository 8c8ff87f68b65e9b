//! The names of the system that Neap follows, for its users' units and scripts: called `dd-procmgrd` this program is its
//! daemon, called `dd-procmgr` its client.
//!
//! Both are ways to write command lines of `neap`: what they and their environment say becomes a [`Cli`], and from there
//! on nothing knows of them.

mod client;
mod daemon;
mod variables;
mod words;

use std::ffi::OsString;
use std::path::Path;

use super::args::Cli;
use variables::Variables;

/// Which of them is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `dd-procmgrd`.
    Daemon,
    /// `dd-procmgr`.
    Client,
}

impl Name {
    /// The one that a program goes by that was executed as this; whatever folder it lies in.
    pub(super) fn of(called: Option<&OsString>) -> Option<Name> {
        match Path::new(called?).file_name()?.to_str()? {
            "dd-procmgrd" => Some(Name::Daemon),
            "dd-procmgr" => Some(Name::Client),
            _ => None,
        }
    }
}

/// What the words and the environment's variables say; the first word is the program.
///
/// # Errors
/// What is wrong with them, or the help that was asked for.
pub(super) fn read(
    name: Name,
    words: &[OsString],
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Cli, clap::Error> {
    let variables = Variables::new(variable);
    match name {
        Name::Daemon => {
            let (cli, socket) = daemon::read(words, &variables)?;
            socket.as_deref().map(daemon::make_folder);
            Ok(cli)
        }
        Name::Client => client::read(words, &variables),
    }
}

#[cfg(test)]
mod tests;
