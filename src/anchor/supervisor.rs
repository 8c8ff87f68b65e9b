//! The supervisor that lives now.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::children;
use super::message::{LONGEST, Request};
use super::outlet::{Outlet, Room};
use super::signals::Few;
use crate::core::Pid;
use crate::driver::sys::receive_packet;

/// How long it may take to end once it said that it would.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// What its end will mean.
#[derive(Debug)]
pub(super) enum Purpose {
    /// It crashed.
    Serve,
    /// All is over.
    Finish {
        /// What the anchor exits with.
        code: u8,
        /// It is ended, then.
        kill_at: Instant,
    },
    /// Another binary takes over.
    Leave {
        /// Which.
        image: OwnedFd,
        /// How long that one may take to be ready.
        ready_within: Duration,
        /// This one is ended, then.
        kill_at: Instant,
    },
}

/// A new binary that was never ready.
#[derive(Debug)]
pub(super) struct Trial {
    pub image: OwnedFd,
    pub ready_by: Instant,
    /// It was ended because it was not.
    pub late: bool,
}

/// A child of the anchor that is not reaped.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub pid: Pid,
    pub outlet: Outlet,
    /// Whether all has been said to it.
    pub room: Room,
    /// It asked for what is there: it takes signals.
    pub greeted: bool,
    pub ready: bool,
    pub purpose: Purpose,
    pub trial: Option<Trial>,
    /// What was passed on to it.
    pub forwarded: Few,
    /// It was to end before it had asked for anything.
    pub urged: bool,
    /// It closed its end.
    pub closed: bool,
    /// When it is to have said again that all is well.
    pub alive_by: Option<Instant>,
}

impl Supervisor {
    pub(super) fn new(pid: Pid, outlet: Outlet, trial: Option<Trial>) -> Supervisor {
        Supervisor {
            pid,
            outlet,
            room: Room::Enough,
            greeted: false,
            ready: false,
            purpose: Purpose::Serve,
            trial,
            forwarded: Few::default(),
            urged: false,
            closed: false,
            alive_by: None,
        }
    }

    /// Sends it a signal.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.forwarded.add(signal);
        children::signal(self.pid, signal);
    }

    /// It said that its end is on purpose.
    pub(super) fn finishes(&mut self, code: u8, now: Instant) {
        self.purpose = Purpose::Finish { code, kill_at: now + LEAVE_WITHIN };
    }

    /// It said who comes after it.
    pub(super) fn leaves(&mut self, image: OwnedFd, ready_within: Duration, now: Instant) {
        self.purpose = Purpose::Leave { image, ready_within, kill_at: now + LEAVE_WITHIN };
    }

    /// When it is ended by force, if it is.
    pub(super) fn kill_at(&self) -> Option<Instant> {
        match &self.purpose {
            Purpose::Finish { kill_at, .. } | Purpose::Leave { kill_at, .. } => Some(*kill_at),
            Purpose::Serve => {
                let ready_by = self.trial.as_ref().filter(|trial| !trial.late).map(|trial| trial.ready_by);
                ready_by.into_iter().chain(self.alive_by).min()
            }
        }
    }

    /// Ends it by force if that is due. Whether it was because it no longer says that all is well.
    pub(super) fn kill_if_due(&mut self, now: Instant) -> bool {
        if self.kill_at().is_none_or(|at| now < at) {
            return false;
        }
        children::signal(self.pid, Signal::SIGKILL);
        match (&mut self.purpose, &mut self.trial) {
            (Purpose::Finish { kill_at, .. } | Purpose::Leave { kill_at, .. }, _) => *kill_at += LEAVE_WITHIN,
            (Purpose::Serve, Some(trial)) => trial.late = true,
            (Purpose::Serve, None) => {}
        }
        self.alive_by.take().is_some_and(|at| now >= at)
    }

    /// What it says next, with its descriptor. What is no message is dropped.
    pub(super) fn hear<'a>(&mut self, buffer: &'a mut [u8; LONGEST]) -> Option<Said<'a>> {
        let packet = loop {
            match receive_packet(self.outlet.as_fd(), buffer) {
                Ok(packet) => break packet,
                // Said once, when it died with something unread; what it said itself is still there.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
                // Nothing more for now, or no memory for it.
                Err(_) => return None,
            }
        };
        if packet.length == 0 && hung_up(self.outlet.as_fd()) {
            self.closed = true;
            return None;
        }
        Some(Request::decode(&buffer[..packet.length]).map_or(Said::Nonsense, |said| Said::Request(said, packet.fd)))
    }
}

/// A packet.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// A message, with its descriptor.
    Request(Request<'a>, Option<OwnedFd>),
    /// Anything else.
    Nonsense,
}

/// Whether the other end is closed: a packet may be empty.
fn hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::POLLIN)];
    let answer = poll(&mut polled, PollTimeout::ZERO);
    answer.is_ok() && polled[0].revents().is_some_and(|flags| flags.contains(PollFlags::POLLHUP))
}
