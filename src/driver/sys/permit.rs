//! Who is at the other end of a socket, whether they are there still, and access lists of files.

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// The attribute that an access list is kept in.
const ACL: &CStr = c"system.posix_acl_access";
/// Groups of one process that are asked for at first; the kernel says when there are more.
const GROUPS: usize = 64;
/// The longest access list that is read: far more entries than a file system takes.
const LONGEST_ACL: usize = 64 << 10;

/// The supplementary groups that the process at the other end of a Unix socket had when it connected.
pub fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; GROUPS];
    loop {
        let mut length = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: `groups` has room for as many bytes as `length` says, and the kernel writes no more.
        let answer = checked(i64::from(unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        }));
        let count = length as usize / size_of::<u32>();
        match answer {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // It has said how many there are.
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && count > groups.len() => groups.resize(count, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Has the kernel ask the other machine of a TCP connection whether it is there still, after so many seconds of silence
/// and then every `interval`, and end the connection after so many questions without an answer.
pub fn keep_alive(socket: BorrowedFd<'_>, idle: u32, interval: u32, count: u32) -> io::Result<()> {
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, interval),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, count),
    ];
    for (level, name, value) in options {
        let length = size_of::<u32>() as libc::socklen_t;
        // SAFETY: `value` is as long as is said, and the kernel only reads it.
        checked(i64::from(unsafe {
            libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length)
        }))?;
    }
    Ok(())
}

/// The access list of this file, as the kernel writes it; `None` when its mode is all there is. Follows no link.
pub fn acl(path: &CStr) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0_u8; LONGEST_ACL];
    // SAFETY: both names end with NUL, and `bytes` has room for as much as is said.
    let read =
        checked(unsafe { libc::lgetxattr(path.as_ptr(), ACL.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) } as i64);
    match read {
        Ok(length) => {
            bytes.truncate(usize::try_from(length).unwrap_or(0));
            Ok(Some(bytes))
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives this file an access list, in place of its mode and of the list that it had. Follows no link.
pub fn set_acl(path: &CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: both names end with NUL, and the kernel only reads `bytes`.
    checked(i64::from(unsafe { libc::lsetxattr(path.as_ptr(), ACL.as_ptr(), bytes.as_ptr().cast(), bytes.len(), 0) }))
        .map(drop)
}
