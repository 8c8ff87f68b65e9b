//! How a child ended, asked of its pidfd and of nothing else: no other child is ever waited for.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use crate::core::ExitStatus;
use crate::spec::Signal;

use super::identity;
use super::sys::{self, WaitNow};

/// How it ended, leaving it a zombie: its pid and its process group stay taken until [`reap`]. `None` while it runs,
/// and while a debugger has not yet let go of it (its pidfd is readable then all the same).
pub fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    ask(pidfd, true)
}

/// How it ended, and lets go of it. `None` as for [`peek`].
///
/// [`ExitStatus::Unknown`] when somebody else reaped it (a host program that waits for any child, or ignores SIGCHLD)
/// and the kernel does not keep the status with the pidfd.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    ask(pidfd, false)
}

fn ask(pidfd: BorrowedFd<'_>, keep: bool) -> io::Result<Option<ExitStatus>> {
    match sys::wait_pidfd(pidfd, keep, false) {
        Ok(now) => Ok(status(now)),
        // Not ours, or no longer: then its pidfd alone says whether it has ended.
        Err(e) if e.raw_os_error() == Some(Errno::ECHILD as i32) && !identity::has_ended(pidfd)? => Ok(None),
        Err(e) if e.raw_os_error() == Some(Errno::ECHILD as i32) => {
            Ok(Some(sys::exit_info(pidfd).and_then(status).unwrap_or(ExitStatus::Unknown)))
        }
        Err(e) => Err(e),
    }
}

fn status(now: WaitNow) -> Option<ExitStatus> {
    match now {
        WaitNow::Running => None,
        WaitNow::Exited(code) => Some(ExitStatus::Code(code)),
        WaitNow::Killed(number, core) => {
            Some(Signal::from_number(number).map_or(ExitStatus::Unknown, |signal| ExitStatus::Signal { signal, core }))
        }
    }
}

/// How it ended, once it has: waits for that, so only for a child that is sure to end at once. Lets go of it.
pub(super) fn wait(pidfd: BorrowedFd<'_>) -> io::Result<ExitStatus> {
    sys::wait_pidfd(pidfd, false, true).map(|now| status(now).unwrap_or(ExitStatus::Unknown))
}

/// Whether statuses of children may get lost in this program, for `status`: it ignores SIGCHLD, and the kernel throws
/// them away.
pub fn statuses_may_be_lost() -> bool {
    sys::ignores_child_signals()
}
