//! What each command that talks to an instance has: the connection, and how to speak.

use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::Code;

use super::link::{Client, ClientError};
use super::table::Sheet;
use crate::cli::app::Voice;
use crate::cli::args::{Global, NAME};
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::instance::places::{Bases, Candidates, Wanted};
use crate::rpc::ConnectError;

/// An instance that does not answer for so long is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command's connection and voice.
pub(super) struct Context {
    client: Client,
    candidates: Candidates,
    /// How to speak.
    pub(super) voice: Voice,
}

impl Context {
    /// Connects to the instance that is meant.
    pub(super) fn connect(global: &Global, voice: Voice) -> Result<Context, Failure> {
        let mut candidates = candidates_of(global.socket.clone(), global.instance.as_deref())?;
        if global.called != NAME {
            candidates.how = "start it with `dd-procmgrd`, or say where it is: DD_PM_GRPC_SOCKET, or DD_PM_USE_TCP=1";
        }
        let client = reach(&candidates)?;
        Ok(Context { client, candidates, voice })
    }

    /// A connection of its own beside this one, for what goes on meanwhile.
    pub(super) fn another(&self) -> Result<Client, Failure> {
        reach(&self.candidates)
    }

    /// Asks, and turns a refusal into what the command ends with.
    pub(super) fn call<T>(&mut self, ask: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> Result<T, Failure> {
        ask(&mut self.client).map_err(|error| failure(&error))
    }

    /// The connection itself.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The socket that was answered at.
    pub(super) fn socket(&self) -> &Path {
        self.client.socket()
    }

    /// Where it leads.
    pub(super) fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// How tables are laid out.
    pub(super) fn sheet(&self) -> Sheet {
        Sheet::of_stdout(self.voice.out)
    }

    /// Prints the answer, with an end of line.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        print(text.as_bytes())
    }

    /// Says something that is not the answer.
    pub(super) fn say(&self, text: &str) {
        say(self.voice, text);
    }
}

/// Where the instance that is meant may be found.
pub(super) fn candidates_of(socket: Option<PathBuf>, instance: Option<&str>) -> Result<Candidates, Failure> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(format!("cannot find the current folder: {error}")).exit(Exit::Unreachable))?;
    let instance = instance.map(|text| match text.parse() {
        Ok(which) => which,
        Err(never) => match never {},
    });
    let wanted = Wanted { socket, instance };
    let found = wanted.candidates(&here, &Bases::of_this_process());
    found.map_err(|error| Failure::new(error.to_string()).exit(Exit::Unreachable))
}

/// Says something to people that is not the answer.
pub(super) fn say(voice: Voice, text: &str) {
    if voice.talk > Talk::Quiet && !voice.json {
        // Nothing to be done about a stderr that takes nothing.
        let _ = writeln!(stderr(), "{text}");
    }
}

/// Writes a line to stdout.
pub(super) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    let written = out.write_all(text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(|error| unwritten(&error))
}

/// What could not be written to stdout. That nobody reads it any more ends the command, and is no failure.
pub(super) fn unwritten(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::new("").exit(Exit::Done),
        _ => Failure::new(format!("cannot write to stdout: {error}")),
    }
}

/// The first of the sockets that somebody answers at.
pub(super) fn reach(candidates: &Candidates) -> Result<Client, Failure> {
    let mut tried = Vec::new();
    for socket in &candidates.sockets {
        match Client::connect(socket, PATIENCE) {
            Ok(client) => return Ok(client),
            // Of several, the next may be the one: but one that is there and may not be used is.
            Err(ClientError::Unreachable(error @ ConnectError::NotPermitted(_))) => return Err(failure(&error.into())),
            Err(error) => tried.push(error.to_string()),
        }
    }
    Err(unreachable(candidates, &tried))
}

fn unreachable(candidates: &Candidates, tried: &[String]) -> Failure {
    let message = format!("cannot reach {} ({}); {}", candidates.what, tried.join("; "), candidates.how);
    Failure::new(message).exit(Exit::Unreachable)
}

/// What an error means to the shell.
pub(super) fn failure(error: &ClientError) -> Failure {
    let exit = match error {
        ClientError::Unreachable(ConnectError::NotPermitted(_)) => Exit::NotPermitted,
        ClientError::Unreachable(_) | ClientError::Silent(..) | ClientError::Lost(_) => Exit::Unreachable,
        ClientError::Refused { code, .. } => exit(*code),
    };
    Failure::new(error.to_string()).exit(exit)
}

/// The exit code of a gRPC status.
pub(super) fn exit(code: Code) -> Exit {
    match code {
        Code::Ok => Exit::Done,
        Code::NotFound => Exit::NoSuchProcess,
        Code::FailedPrecondition | Code::AlreadyExists => Exit::Refused,
        Code::Unavailable => Exit::Unreachable,
        Code::PermissionDenied | Code::Unauthenticated => Exit::NotPermitted,
        Code::DeadlineExceeded => Exit::TimedOut,
        _ => Exit::Failed,
    }
}
