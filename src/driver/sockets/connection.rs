//! One instance a connection: accepted while the process is armed, kept for the run that serves it.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{SockFlag, UnixAddr, accept4, getpeername, getsockopt, sockopt};

use super::count::{self, At};
use super::table::counted_at;
use crate::core::{ConnectionId, Input, ProcessId, RunId};
use crate::driver::engine::Engine;
use crate::driver::sources::{Clock, Moment};
use crate::driver::sys;
use crate::driver::sys::fault::{self, Call};
use crate::spec::Listener;
use crate::supervisor::Message;

/// How long connections wait in the queue when there are no descriptors for them.
const SCARCE: Duration = Duration::from_secs(1);

/// A connection that was accepted.
pub(crate) struct Connection {
    pub fd: Arc<OwnedFd>,
    /// The variable that carries its number, as its listener says.
    pub fd_env: Option<String>,
    pub peer: Peer,
}

/// Who is at the other end.
pub(crate) enum Peer {
    Internet(SocketAddr),
    /// A Unix socket; with its name, if it has one.
    Unix(Option<String>),
}

impl Peer {
    /// What the instance is told, as systemd does (systemd.exec(5)).
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Peer::Internet(address) => {
                let ip = address.ip().to_canonical();
                vec![("REMOTE_ADDR", ip.to_string()), ("REMOTE_PORT", address.port().to_string())]
            }
            Peer::Unix(name) => name.iter().map(|name| ("REMOTE_ADDR", name.clone())).collect(),
        }
    }
}

/// Takes one connection from a listener's queue, without waiting for one.
pub(super) fn take(fd: &OwnedFd, listener: &Listener) -> Result<Option<(Connection, String)>, Errno> {
    fault::point(Call::Accept).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))?;
    let fd = match accept4(fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
        Ok(fd) => Arc::new(sys::high_fd(sys::received(fd))),
        // Gone again, or taken by somebody else.
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED | Errno::EPROTO) => return Ok(None),
        Err(error) => return Err(error),
    };
    let address = fd.try_clone().ok().and_then(|fd| TcpStream::from(fd).peer_addr().ok());
    let (peer, words) = match address {
        Some(address) => {
            let shown = SocketAddr::new(address.ip().to_canonical(), address.port());
            (Peer::Internet(address), shown.to_string())
        }
        None => {
            let words = match getsockopt(&fd, sockopt::PeerCredentials) {
                Ok(peer) if peer.pid() > 0 => format!("pid {}, uid {}", peer.pid(), peer.uid()),
                _ => "a client that is gone".to_owned(),
            };
            (Peer::Unix(unix_name(&fd)), words)
        }
    };
    Ok(Some((Connection { fd, fd_env: listener.client_fd_env.clone(), peer }, words)))
}

fn unix_name(fd: &OwnedFd) -> Option<String> {
    let name = getpeername::<UnixAddr>(fd.as_raw_fd()).ok()?;
    match (name.path(), name.as_abstract()) {
        (Some(path), _) => Some(path.to_string_lossy().into_owned()),
        (None, Some(name)) => Some(format!("@{}", String::from_utf8_lossy(name))),
        (None, None) => None,
    }
}

impl Engine {
    /// Takes one connection, and tells of it. The machine says whether there is to be another before that is taken.
    pub(super) fn accept_connection(&mut self, process: ProcessId, slot: u8) {
        let Some(bound) = self.sockets.of.get_mut(&process).and_then(|listening| listening.at(slot)) else { return };
        match take(&bound.fd, &bound.listener) {
            Ok(None) => {}
            Ok(Some((connection, peer))) => {
                bound.accepted += 1;
                self.tally.connection(process);
                self.sockets.last_connection += 1;
                let id = ConnectionId(self.sockets.last_connection);
                self.sockets.connections.insert(id, connection);
                self.inputs.push_back(Input::Connection { process, connection: id, peer: peer.into() });
            }
            Err(error) => {
                // It would be told of again at once.
                bound.pause(&mut self.poller);
                self.clock.at(Clock::now().mono.after(SCARCE), Moment::Accept(process, slot));
                let warning = format!("cannot accept connections for now: {error}; they wait");
                self.inputs.push_back(Input::Warning(Some(process), warning));
            }
        }
    }

    /// Tries again after a lack of descriptors.
    pub(crate) fn accept_again(&mut self, process: ProcessId, slot: u8) {
        if self.is_handing_over() {
            // Those that come now are for a successor. If there is none, all go on.
            return;
        }
        if let Some(bound) = self.sockets.of.get_mut(&process).and_then(|listening| listening.at(slot)) {
            bound.go_on(&mut self.poller);
        }
    }

    /// Accepts no more connections: those that come from now on are for a successor.
    pub(crate) fn pause_accepting(&mut self) {
        for listening in self.sockets.of.values().filter(|listening| listening.accepts()) {
            listening.bound.iter().for_each(|bound| bound.pause(&mut self.poller));
        }
    }

    /// Accepts connections again: there is no successor.
    pub(crate) fn go_on_accepting(&mut self) {
        for listening in self.sockets.of.values().filter(|listening| listening.accepts()) {
            listening.bound.iter().for_each(|bound| bound.go_on(&mut self.poller));
        }
    }

    /// Whether connections were accepted that no program has yet: they would end with us.
    pub(crate) fn holds_connections(&self) -> bool {
        !self.sockets.connections.is_empty() || self.runs.values().any(|run| run.connection.is_some())
    }

    /// Closes a connection that nobody serves.
    pub(crate) fn drop_connection(&mut self, connection: ConnectionId) {
        self.sockets.connections.remove(&connection);
    }

    /// Counts the open connections of a process's listeners.
    pub(crate) fn count_connections(&mut self, run: RunId, process: ProcessId) {
        let came = self.has_come(process);
        let listening = self.sockets.of.get(&process);
        let base = &self.surroundings.base;
        let at: Vec<At> = listening.into_iter().flat_map(|l| &l.bound).filter_map(|b| counted_at(b, base)).collect();
        let shared = self.shared.clone();
        let job = move || {
            // What cannot be read counts as a connection: better one stop too few.
            let open = count::open(&at).unwrap_or(1);
            let _ = shared.mailbox.post(Message::Input(Input::Connections { run, open, came }));
        };
        if self.pool.run(job).is_err() {
            self.inputs.push_back(Input::Connections { run, open: 1, came });
        }
    }
}
