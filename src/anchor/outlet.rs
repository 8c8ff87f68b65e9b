//! What is said to a supervisor: nothing waits for room, and nothing that counts is dropped for want of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::held::Held;
use super::key::Key;
use super::link::UpgradeOutcome;
use super::message::{Reply, VERSION};
use super::remembered::Remembered;
use crate::core::Pid;
use crate::driver::sys::send_packet;

/// The first thing a supervisor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub lives: u32,
    pub anchor: Pid,
    pub upgrade: Option<UpgradeOutcome>,
}

/// How far a supervisor has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It did not ask.
    Silent,
    /// It speaks another version.
    Refuse,
    /// From the start.
    Greet,
    /// From this held descriptor on.
    Hold(usize),
    /// What ended so far, then the end mark.
    Ends,
    /// What ends from now on.
    Live,
}

/// Whether there is more to say than fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// All has been said.
    Enough,
    /// The socket is full: go on when it can be written.
    Full,
    /// The kernel lacks memory: go on in a while.
    Scarce,
}

/// The anchor's end of a supervisor's socket.
#[derive(Debug)]
pub(super) struct Outlet {
    socket: OwnedFd,
    stage: Stage,
    greeting: Greeting,
}

impl Outlet {
    pub(super) fn new(socket: OwnedFd, greeting: Greeting) -> Outlet {
        Outlet { socket, stage: Stage::Silent, greeting }
    }

    /// It asked, and speaks this version. Whether it can be answered.
    pub(super) fn asked(&mut self, version: u16, remembered: &mut Remembered) -> bool {
        remembered.tell_again();
        self.stage = if version == VERSION { Stage::Greet } else { Stage::Refuse };
        version == VERSION
    }

    /// Says that a descriptor was not taken; only if there is room at once, for it changes nothing.
    pub(super) fn not_held(&self, key: Key) {
        let _ = send_packet(self.socket.as_fd(), &Reply::NotHeld(key).encode(), None);
    }

    /// Says all there is room for.
    pub(super) fn say(&mut self, held: &Held, remembered: &mut Remembered) -> Room {
        loop {
            let Some((reply, fd, next)) = self.next(held, remembered) else { return Room::Enough };
            let mut sent = send_packet(self.socket.as_fd(), &reply.encode(), fd);
            if fd.is_some() && sent.as_ref().is_err_and(|e| !is_full(e)) {
                // Too many descriptors on their way, for one: then at least its name.
                sent = send_packet(self.socket.as_fd(), &reply.encode(), None);
            }
            match sent {
                Ok(()) => {
                    if matches!(reply, Reply::Ended(_)) {
                        remembered.told();
                    }
                    self.stage = next;
                }
                Err(e) if is_full(&e) => return Room::Full,
                Err(e) if is_scarce(&e) => return Room::Scarce,
                Err(_) => {
                    // It closed its end, and its own follows; what was not told is for the next.
                    self.stage = Stage::Silent;
                    return Room::Enough;
                }
            }
        }
    }

    fn next<'a>(&self, held: &'a Held, remembered: &Remembered) -> Option<(Reply, Option<BorrowedFd<'a>>, Stage)> {
        let end = || remembered.next().map(Reply::Ended);
        Some(match self.stage {
            Stage::Silent => return None,
            Stage::Refuse => (Reply::Refused { version: VERSION }, None, Stage::Silent),
            Stage::Greet => {
                let Greeting { lives, anchor, upgrade } = self.greeting;
                (Reply::Welcome { lives, anchor, upgrade }, None, Stage::Hold(0))
            }
            Stage::Hold(n) => match held.get(n) {
                Some((key, fd)) => (Reply::Held(key), Some(fd), Stage::Hold(n + 1)),
                None => match end() {
                    Some(reply) => (reply, None, Stage::Ends),
                    None => (Reply::Welcomed, None, Stage::Live),
                },
            },
            Stage::Ends => match end() {
                Some(reply) => (reply, None, Stage::Ends),
                None => (Reply::Welcomed, None, Stage::Live),
            },
            Stage::Live => (end()?, None, Stage::Live),
        })
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn is_scarce(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::AsFd;

    use super::{Greeting, Outlet, Room};
    use crate::anchor::held::Held;
    use crate::anchor::link::pair;
    use crate::anchor::message::{HEAD, Reply};
    use crate::anchor::remembered::Remembered;
    use crate::anchor::{Ended, Key, VERSION};
    use crate::core::{ExitStatus, Pid};
    use crate::driver::sys::receive_packet;

    #[test]
    fn a_full_socket_loses_nothing_and_keeps_the_order() {
        let (ours, theirs) = pair().unwrap();
        let (mut held, mut remembered) = (Held::new(1024), Remembered::new());
        for n in 0..100 {
            assert!(held.hold(Key(n), theirs.try_clone().unwrap()));
        }
        let ended = |n| Ended { pid: Pid(n), start_time: n.into(), status: ExitStatus::Code(n as i32) };
        for n in 1..=5000 {
            remembered.add(ended(n));
        }
        let greeting = Greeting { lives: 2, anchor: Pid(1), upgrade: None };
        let mut outlet = Outlet::new(ours, greeting);
        assert_eq!(outlet.say(&held, &mut remembered), Room::Enough, "nobody asked");
        assert!(outlet.asked(VERSION, &mut remembered));
        let (mut replies, mut waits, mut fds) = (Vec::new(), 0, 0);
        loop {
            let room = outlet.say(&held, &mut remembered);
            let mut buffer = [0; HEAD];
            loop {
                match receive_packet(theirs.as_fd(), &mut buffer) {
                    Ok(packet) => {
                        fds += u32::from(packet.fd.is_some());
                        replies.push(Reply::decode(&buffer[..packet.length]).unwrap());
                    }
                    Err(e) => break assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
                }
            }
            match room {
                Room::Enough => break,
                Room::Full => waits += 1,
                Room::Scarce => panic!("no memory"),
            }
        }
        assert!(waits > 0, "it never got full");
        let mut expected = vec![Reply::Welcome { lives: 2, anchor: Pid(1), upgrade: None }];
        expected.extend((0..100).map(|n| Reply::Held(Key(n))));
        expected.extend((1..=5000).map(|n| Reply::Ended(ended(n))));
        expected.push(Reply::Welcomed);
        assert!(replies == expected && fds == 100, "{} of {}", replies.len(), expected.len());
        drop((theirs, std::mem::replace(&mut held, Held::new(1024))));
        remembered.add(ended(6000));
        assert_eq!(outlet.say(&held, &mut remembered), Room::Enough);
        assert_eq!(remembered.next(), Some(ended(6000)), "kept for the next");
    }
}
