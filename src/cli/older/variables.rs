//! The variables of the older system, and what they may say.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::cli::report::Level;

/// How clients reach the daemon: `unix` or `tcp`.
const TRANSPORT: &str = "DD_PM_TRANSPORT_MODE";
/// Its port, and what that was called before.
const PORT: &str = "DD_PM_GRPC_PORT";
const PORT_BEFORE: &str = "DD_PM_DAEMON_PORT";
/// Its socket, and what clients called that before.
const SOCKET: &str = "DD_PM_GRPC_SOCKET";
const SOCKET_BEFORE: &str = "DD_PM_SOCKET";
/// Whether a client takes the port.
const USE_TCP: &str = "DD_PM_USE_TCP";
/// What is supervised: a file, or a folder of them.
const FILE: &str = "DD_PM_CONFIG_FILE";
const FOLDER: &str = "DD_PM_CONFIG_DIR";
const LEVEL: &str = "DD_PM_LOG_LEVEL";

/// What holds where no variable says otherwise.
pub(super) const DEFAULT_PORT: u16 = 50051;
pub(super) const DEFAULT_SOCKET: &str = "/var/run/datadog/process-manager.sock";
pub(super) const DEFAULT_FOLDER: &str = "/etc/datadog-agent/process-manager/processes.d";

/// A value that means nothing, or two variables that do not go together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong(name: &str, value: &str, allowed: &str) -> Wrong {
    Wrong(format!("{name} is {value:?}: expected {allowed}"))
}

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Over a Unix socket.
    Unix,
    /// Over TCP on this machine.
    Tcp,
}

/// Where processes are declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In this file.
    File(PathBuf),
    /// In the files of this folder.
    Folder(PathBuf),
    /// In the folder that is meant where nothing is said, which need not be there.
    Default,
}

/// The environment. What is empty counts as not set.
pub(super) struct Variables<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl<'a> Variables<'a> {
    pub(super) fn new(variable: &'a dyn Fn(&str) -> Option<OsString>) -> Variables<'a> {
        Variables(variable)
    }

    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str, allowed: &str) -> Result<Option<String>, Wrong> {
        let value = self.value(name).map(OsString::into_string).transpose();
        value.map_err(|value| wrong(name, &value.to_string_lossy(), allowed))
    }

    /// How the daemon listens, where it is said.
    pub(super) fn transport(&self) -> Result<Option<Transport>, Wrong> {
        let allowed = "unix or tcp";
        let Some(text) = self.text(TRANSPORT, allowed)? else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "unix" => Ok(Some(Transport::Unix)),
            "tcp" => Ok(Some(Transport::Tcp)),
            _ => Err(wrong(TRANSPORT, &text, allowed)),
        }
    }

    /// How a client comes: what it is told itself counts for more than what the daemon is told.
    pub(super) fn clients_transport(&self) -> Result<Transport, Wrong> {
        let allowed = "1, true, yes or on for TCP; 0, false, no or off for the Unix socket";
        let Some(text) = self.text(USE_TCP, allowed)? else {
            return Ok(self.transport()?.unwrap_or(Transport::Unix));
        };
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Transport::Tcp),
            "0" | "false" | "no" | "off" => Ok(Transport::Unix),
            _ => Err(wrong(USE_TCP, &text, allowed)),
        }
    }

    /// The port; of two the newer name counts.
    pub(super) fn port(&self) -> Result<u16, Wrong> {
        let allowed = "a port, a whole number from 1 to 65535";
        for name in [PORT, PORT_BEFORE] {
            if let Some(text) = self.text(name, allowed)? {
                let port = text.trim().parse().ok().filter(|port| *port > 0);
                return port.ok_or_else(|| wrong(name, &text, allowed));
            }
        }
        Ok(DEFAULT_PORT)
    }

    /// The daemon's socket, where it is said.
    pub(super) fn socket(&self) -> Result<Option<String>, Wrong> {
        self.path(SOCKET)
    }

    /// The socket that a client is told of; of two the newer name counts.
    pub(super) fn clients_socket(&self) -> Result<Option<String>, Wrong> {
        Ok(match self.path(SOCKET)? {
            None => self.path(SOCKET_BEFORE)?,
            socket => socket,
        })
    }

    fn path(&self, name: &str) -> Result<Option<String>, Wrong> {
        let allowed = "the path of a Unix socket from / on (/run/x.sock or unix:/run/x.sock)";
        let Some(text) = self.text(name, allowed)? else { return Ok(None) };
        // One that is written as an address means the same.
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(&text);
        // A relative one would be another for each folder that somebody stands in, and `tcp://…` would be a folder.
        if path.starts_with('/') { Ok(Some(path.to_owned())) } else { Err(wrong(name, &text, allowed)) }
    }

    /// What is supervised.
    pub(super) fn source(&self) -> Result<Source, Wrong> {
        match (self.value(FILE), self.value(FOLDER)) {
            (Some(file), Some(folder)) => {
                let (file, folder) = (file.to_string_lossy(), folder.to_string_lossy());
                Err(Wrong(format!(
                    "{FILE} is {file:?} and {FOLDER} is {folder:?}: a daemon has one configuration; unset one of them"
                )))
            }
            (Some(file), None) => Ok(Source::File(file.into())),
            (None, Some(folder)) => Ok(Source::Folder(folder.into())),
            (None, None) => Ok(Source::Default),
        }
    }

    /// How much the daemon says, where it is said.
    pub(super) fn level(&self) -> Result<Option<Level>, Wrong> {
        let allowed = "trace, debug, info, warn (or warning), or error";
        let Some(text) = self.text(LEVEL, allowed)? else { return Ok(None) };
        let level = match text.to_ascii_lowercase().as_str() {
            "trace" => Level::Trace,
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warn" | "warning" => Level::Warn,
            "error" => Level::Error,
            _ => return Err(wrong(LEVEL, &text, allowed)),
        };
        Ok(Some(level))
    }
}
