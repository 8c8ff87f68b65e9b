//! Sockets, where what wraps their calls elsewhere is too narrow.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// listen(2), with a queue as long as the kernel will have it. Also for a socket that listens already.
pub fn listen(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: takes a descriptor that is open, and a number.
    checked(unsafe { libc::listen(fd.as_raw_fd(), backlog) }.into()).map(drop)
}
