//! The anchor's end, for tests of what speaks through a [`Link`](super::Link).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::link::Inheritance;
use super::message::{LONGEST, Reply, Request};
use crate::driver::sys::{receive_packet, send_packet};

/// How long [`Peer::receive`] waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// The other end of a [`Link`](super::Link): does nothing by itself.
#[derive(Debug)]
pub struct Peer {
    socket: OwnedFd,
    texts: Mutex<Vec<String>>,
}

impl Peer {
    pub(super) fn new(socket: OwnedFd) -> Peer {
        Peer { socket, texts: Mutex::default() }
    }

    /// The next thing that was said, with its descriptor; waits for it. Texts are not in it, but in [`Peer::texts`].
    pub fn receive(&self) -> io::Result<(Request<'static>, Option<OwnedFd>)> {
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX))? == 0 {
            return Err(Errno::ETIMEDOUT.into());
        }
        let mut buffer = [0; LONGEST];
        let packet = receive_packet(self.socket.as_fd(), &mut buffer)?;
        if packet.length == 0 {
            return Err(Errno::ECONNRESET.into());
        }
        let request = match Request::decode(&buffer[..packet.length]).map_err(|_| Errno::EPROTO)? {
            Request::Notify(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.texts.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                Request::Notify(b"")
            }
            Request::Hello { version } => Request::Hello { version },
            Request::Hold(key) => Request::Hold(key),
            Request::LetGo(key) => Request::LetGo(key),
            Request::Forget(pid) => Request::Forget(pid),
            Request::Ready => Request::Ready,
            Request::Finished(code) => Request::Finished(code),
            Request::Upgrade { ready_within } => Request::Upgrade { ready_within },
        };
        Ok((request, packet.fd))
    }

    /// All texts for the service manager so far, as they were received.
    pub fn texts(&self) -> Vec<String> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something, without waiting for room.
    pub fn send(&self, reply: &Reply, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        send_packet(self.socket.as_fd(), &reply.encode(), fd)
    }

    /// Says all that a [`Link::welcome`](super::Link::welcome) waits for; may be said before it is asked for.
    pub fn welcome(&self, kept: &Inheritance) -> io::Result<()> {
        let Inheritance { lives, anchor, upgrade, .. } = *kept;
        self.send(&Reply::Welcome { lives, anchor, upgrade }, None)?;
        for (key, fd) in &kept.held {
            self.send(&Reply::Held(*key), Some(fd.as_fd()))?;
        }
        for key in &kept.missing {
            self.send(&Reply::Held(*key), None)?;
        }
        for ended in &kept.ended {
            self.send(&Reply::Ended(*ended), None)?;
        }
        self.send(&Reply::Welcomed, None)
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
