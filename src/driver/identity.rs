//! Proof that a pid is still the process it was: pid, start time and boot id.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::core::Pid;
use crate::spec::Signal;

use super::sys;
use super::sys::fault::{self, Call};

/// What makes a process itself, also after its pid was given to another and after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its pid.
    pub pid: Pid,
    /// When it started, in clock ticks since the machine booted (field 22 of `/proc/<pid>/stat`).
    pub start_time: u64,
    /// Which boot that was (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

impl Identity {
    /// That of the process which has this pid now. `NotFound` when there is none.
    pub fn of(pid: Pid) -> io::Result<Identity> {
        let stat = Stat::of(pid)?;
        Ok(Identity { pid, start_time: stat.start_time, boot_id: boot_id()?.to_owned() })
    }

    /// Whether the process that has this pid now is the same one; a zombie still is.
    pub fn holds(&self) -> bool {
        Identity::of(self.pid).is_ok_and(|now| now == *self)
    }

    /// As [`Identity::holds`], where not knowing is not the same as no: for a child of ours that is not reaped yet, so that
    /// one that is only hidden from us (mounted with `hidepid`, and it changed its user) is still the same.
    pub(super) fn still_holds(&self) -> io::Result<bool> {
        match Identity::of(self.pid) {
            Ok(now) => Ok(now == *self),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// A pidfd on it, or `None` when it is gone: opened first, then proved, so that the pid cannot have changed hands
    /// in between. Errors are those of a kernel that lacks something, never "gone".
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pidfd) = open(self.pid)? else { return Ok(None) };
        Ok(self.holds().then_some(pidfd))
    }
}

/// A pidfd on whoever has this pid now; `None` when nobody has. Not a proof of anything: see [`Identity::open`].
pub fn open(pid: Pid) -> io::Result<Option<OwnedFd>> {
    match sys::pidfd_open(pid.0) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Sends a signal to the process behind the pidfd. `Ok(false)`: it is gone already.
pub fn signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<bool> {
    match sys::pidfd_signal(pidfd, signal.number()) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether the process behind the pidfd has ended, reaped or not.
pub fn has_ended(pidfd: impl AsFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut polled, PollTimeout::ZERO)? > 0)
}

/// Which boot of the machine this is.
pub fn boot_id() -> io::Result<&'static str> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT.get() {
        return Ok(id);
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(BOOT.get_or_init(|| id))
}

/// What `/proc/<pid>/stat` says, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `Z`, …
    pub state: u8,
    /// Its parent.
    pub parent: Pid,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// How many threads it has; 1 for a zombie.
    pub threads: u64,
    /// When it started, in clock ticks since the machine booted.
    pub start_time: u64,
}

impl Stat {
    /// That of the process which has this pid now. `NotFound` when there is none.
    pub fn of(pid: Pid) -> io::Result<Stat> {
        fault::point(Call::Stat)?;
        let bytes = fs::read(format!("/proc/{pid}/stat")).map_err(|e| match e.raw_os_error() {
            // A process that ends while its file is read.
            Some(n) if n == Errno::ESRCH as i32 => io::Error::from(io::ErrorKind::NotFound),
            _ => e,
        })?;
        Stat::parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "cannot read a process's stat"))
    }

    /// The name stands in parentheses and may itself have any byte: what counts follows the last one.
    fn parse(bytes: &[u8]) -> Option<Stat> {
        let end = bytes.iter().rposition(|b| *b == b')')?;
        let rest = std::str::from_utf8(bytes.get(end + 2..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
        Some(Stat {
            state: *fields.first()?.as_bytes().first()?,
            parent: Pid(u32::try_from(number(1)?).ok()?),
            group: u32::try_from(number(2)?).ok()?,
            session: u32::try_from(number(3)?).ok()?,
            threads: number(17)?,
            start_time: number(19)?,
        })
    }

    /// Whether it has ended and waits to be reaped. A process whose first thread ended before the others has not.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Stat};
    use crate::core::Pid;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse() {
        let line = b"17 (a) R 9 (b) S 4 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 1234 5 6 7 8";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.group, stat.session), (b'S', Pid(4), 17, 16));
        assert_eq!((stat.threads, stat.start_time), (3, 1234));
        assert_eq!(Stat::parse(b"17 (a) S 4"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn we_are_ourselves_and_nobody_else() {
        let us = Identity::of(Pid(std::process::id())).unwrap();
        assert!(us.holds());
        assert!(us.open().unwrap().is_some());
        let before = Identity { start_time: us.start_time - 1, ..us.clone() };
        assert!(!before.holds());
        assert!(before.open().unwrap().is_none());
        let other_boot = Identity { boot_id: "another".to_owned(), ..us };
        assert!(!other_boot.holds());
    }
}
