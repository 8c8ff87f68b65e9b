//! `dd-procmgrd`: `neap daemon`, told by variables what others tell it by flags.

use std::ffi::OsString;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::variables::{DEFAULT_FOLDER, DEFAULT_SOCKET, Source, Transport, Variables, Wrong};
use crate::cli::args::{Cli, Daemon, Global};

/// The mode of a socket's folder that is not there yet. Others pass it, for the agent has sockets of its own there, for
/// the programs of a whole host; who may use this one, its own mode says.
const FOLDER_MODE: u32 = 0o755;

/// Supervises the agent's processes: the daemon of the older process manager, as Neap does its work.
#[derive(Debug, Parser)]
#[command(name = "dd-procmgrd", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(mut_arg("config", |arg| arg.help("A .lua or .yaml file, or a folder of them [default: what the variables below say]")))]
#[command(after_help = "\
Variables (a flag counts for more):
  DD_PM_CONFIG_DIR      The folder with the processes' files, *.yaml, *.yml and *.lua; by default
                        /etc/datadog-agent/process-manager/processes.d, without which it starts empty
  DD_PM_CONFIG_FILE     One file instead, datadog.yaml for one; not both
  DD_PM_TRANSPORT_MODE  unix or tcp: where clients come [default: unix]
  DD_PM_GRPC_SOCKET     The Unix socket; by default /var/run/datadog/process-manager.sock.
                        With tcp there is one only if this is set
  DD_PM_GRPC_PORT       With tcp, the port on 127.0.0.1 [default: 50051]
  DD_PM_DAEMON_PORT     Its older name
  DD_PM_LOG_LEVEL       trace, debug, info, warn (or warning), error [default: info]

It is `neap daemon` with these as its flags, and all commands of `neap` work with it:
`neap --socket PATH` or `neap --instance CONFIG`. TERM and INT stop everything in order; HUP
applies the configuration anew.")]
struct Older {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    daemon: Daemon,
}

/// What `dd-procmgrd` with these words and variables means, and the socket that it is to listen at, if it is.
pub(super) fn read(words: &[OsString], variables: &Variables<'_>) -> Result<(Cli, Option<PathBuf>), clap::Error> {
    // Everything that is wrong with the words is told in this name.
    let given = Older::try_parse_from(words)?;
    let told = told(&given, variables)
        .map_err(|wrong| Older::command().error(ErrorKind::ValueValidation, wrong.to_string()))?;
    // Before the words of the user, in which flags may have an end.
    let words = words.iter().skip(1).cloned();
    let line: Vec<OsString> = std::iter::once("daemon".into()).chain(told.flags).chain(words).collect();
    let mut cli = Cli::try_parse_from([OsString::from("neap")].iter().chain(&line))?;
    (cli.global.line, cli.global.called) = (line, "dd-procmgrd");
    Ok((cli, told.socket))
}

/// What the variables say.
struct Told {
    /// As words of `neap daemon`.
    flags: Vec<OsString>,
    socket: Option<PathBuf>,
}

fn told(given: &Older, variables: &Variables<'_>) -> Result<Told, Wrong> {
    // All of them, so that what is wrong is told even where it would not count.
    let (transport, port, level) = (variables.transport()?, variables.port()?, variables.level()?);
    let (socket, source) = (variables.socket()?, variables.source()?);
    let tcp = transport == Some(Transport::Tcp);
    let socket = if tcp { socket } else { Some(socket.unwrap_or_else(|| DEFAULT_SOCKET.to_owned())) };
    let socket = socket.filter(|socket| given.global.socket.as_deref() != Some(Path::new(socket)));
    let mut flags: Vec<OsString> = Vec::new();
    flags.extend(tcp.then(|| format!("--listen=tcp:127.0.0.1:{port}").into()));
    flags.extend(socket.as_deref().map(|socket| format!("--listen=unix:{socket}").into()));
    let level = level.filter(|_| given.daemon.log_level.is_none());
    flags.extend(level.map(|level| format!("--log-level={}", level.name()).into()));
    let named = given.daemon.config.is_some() || given.daemon.config_dir.is_some() || given.global.instance.is_some();
    match source {
        _ if named => {}
        // From here, so that it cannot be taken for a flag.
        Source::File(file) => flags.push(Path::new(".").join(file).into()),
        Source::Folder(folder) => flags.push(with("--config-dir=", &folder)),
        Source::Default => {
            flags.extend([with("--config-dir=", Path::new(DEFAULT_FOLDER)), "--may-be-missing".into()]);
        }
    }
    Ok(Told { flags, socket: socket.map(PathBuf::from) })
}

fn with(flag: &str, path: &Path) -> OsString {
    let mut word = OsString::from(flag);
    word.push(path);
    word
}

/// Makes the folder of a socket where there is none. Whether it is one to have a socket in, and what is to be done where it
/// cannot be made, is told by who listens there.
pub(super) fn make_folder(socket: &Path) {
    let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let Some(folder) = folder else { return };
    if DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).is_ok() {
        // A umask takes away what others need.
        let _ = std::fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE));
    }
}
