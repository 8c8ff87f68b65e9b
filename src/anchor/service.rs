//! The service manager that started the anchor: what it is told, and what it passed in.

use std::env;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::driver::sys;

/// The first number of a descriptor that is passed in.
const FIRST: i32 = 3;
/// So many are taken at most.
const MOST: u16 = 1024;

/// What says that all is well, and what says it first.
const ALIVE: &str = "WATCHDOG=1";
const READY: &str = "READY=1";

/// Where `READY=1` and the like go.
#[derive(Debug)]
pub(super) struct Service {
    target: Option<(UnixDatagram, SocketAddr)>,
    /// How long it waits for the next `WATCHDOG=1`.
    watchdog: Option<Duration>,
}

impl Service {
    /// What NOTIFY_SOCKET names: a path, or an abstract name after `@`.
    pub(super) fn from_env() -> Service {
        let name = env::var("NOTIFY_SOCKET").unwrap_or_default();
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None if name.starts_with('/') => SocketAddr::from_pathname(&name).ok(),
            None => None,
        };
        let target = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| !is_ours("WATCHDOG_USEC"));
        let watchdog = watchdog.and_then(|text| text.parse().ok()).map(Duration::from_micros);
        Service { target, watchdog }
    }

    /// How long a supervisor may say nothing that once said that it is ready or that all is well: a sixth less than the service manager waits,
    /// which would end everything.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval * 5 / 6)
    }

    /// Whether a text says that all is well. Who is ready is: the service manager counts from there on.
    pub(super) fn is_alive(text: &[u8]) -> bool {
        text.split(|byte| *byte == b'\n').any(|line| [ALIVE, READY].map(str::as_bytes).contains(&line))
    }

    /// Says that it is, for the time that it takes to put it right.
    pub(super) fn hold_on(&self) {
        if self.watchdog.is_some() {
            self.tell(ALIVE.as_bytes());
        }
    }

    /// Tells it. One that does not listen is not waited for: it has its own deadlines.
    pub(super) fn tell(&self, text: &[u8]) {
        if let Some((socket, address)) = &self.target {
            let _ = socket.send_to_addr(text, address);
        }
    }
}

/// The descriptors that were passed to this process (LISTEN_FDS), in their order. Once, and before any other is opened.
pub(super) fn passed_in() -> Vec<(u16, OwnedFd)> {
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").and_then(|count| u16::try_from(count).ok()).unwrap_or(0).min(MOST);
    (0..count).filter_map(|n| sys::inherited(FIRST + i32::from(n)).ok().map(|fd| (n, fd))).collect()
}

/// The variables that speak of this very process, and so not of the supervisor.
pub(super) fn is_ours(name: &str) -> bool {
    match name {
        "LISTEN_PID" | "LISTEN_FDS" | "LISTEN_PIDFDID" | "NOTIFY_SOCKET" | "WATCHDOG_PID" => true,
        // Meant for another process.
        "WATCHDOG_USEC" => env::var("WATCHDOG_PID").is_ok_and(|pid| pid.parse() != Ok(std::process::id())),
        name => name == super::link::VARIABLE,
    }
}
