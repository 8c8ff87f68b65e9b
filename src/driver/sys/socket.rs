//! Sockets, where what wraps their calls elsewhere is too narrow.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// listen(2), with a queue as long as the kernel will have it. Also for a socket that listens already.
pub fn listen(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: takes a descriptor that is open, and a number.
    checked(unsafe { libc::listen(fd.as_raw_fd(), backlog) }.into()).map(drop)
}

/// The file that a Unix socket was bound to, whatever its name is by now (SIOCUNIXFILE). It takes CAP_NET_ADMIN.
pub fn bound_file(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const SIOCUNIXFILE: u32 = 0x89E0;
    // SAFETY: the request takes nothing, and answers with a descriptor.
    let file = checked(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCUNIXFILE as _, 0) }.into())?;
    let file = i32::try_from(file).map_err(io::Error::other)?;
    // SAFETY: it was just opened for us.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}
