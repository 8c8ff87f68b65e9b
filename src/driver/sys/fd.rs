//! Descriptors: pipes, duplicates, small files of /proc and cgroups.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::fault::{self, Call};
use super::{checked, process};

/// What [`open_at`] opens a path for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFor {
    /// A file, to be read.
    Read,
    /// A file that is there, to be written.
    Write,
    /// A folder, as the base of paths.
    Folder,
}

/// Takes over a descriptor that the kernel just made. It never keeps a standard stream's number, which is free where
/// a program runs with that stream closed: what asks for the stream would get ours.
pub(super) fn owned(fd: i64) -> OwnedFd {
    // SAFETY: the callers pass what a successful call just returned, so it is open and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
    if fd.as_raw_fd() > 2 {
        return fd;
    }
    // SAFETY: `fd` is open; F_DUPFD_CLOEXEC makes a new descriptor and touches no other.
    match checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) }.into()) {
        // SAFETY: the call just made it.
        Ok(above) => unsafe { OwnedFd::from_raw_fd(above as RawFd) },
        Err(_) => fd,
    }
}

/// Takes over a descriptor that came in a message.
pub fn received(fd: RawFd) -> OwnedFd {
    owned(fd.into())
}

/// Takes over a descriptor that this process was started with, by its number, and has it closed when another program is
/// executed. An error when there is none of this number. Once for each, and before anything else could have its number.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes any number; only sets a flag of a descriptor that is there.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    Ok(owned(fd.into()))
}

/// A pipe (reading end, writing end), both close-on-exec and non-blocking.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    fault::point(Call::Pipe)?;
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two numbers.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) }.into())?;
    Ok((owned(ends[0].into()), owned(ends[1].into())))
}

/// Another end of the pipe that this is the reading end of: its writing end, made again through /proc.
pub fn open_pipe_for_writing(read: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = CString::new(format!("/proc/self/fd/{}", read.as_raw_fd())).unwrap_or_default();
    open_at(None, &path, OpenFor::Write)
}

/// read(2).
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `buffer`.
    checked(unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) } as i64).map(|n| n as usize)
}

/// pread(2) from the start: how a file of /proc or of a cgroup is read again.
pub fn read_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: the pointer and the length are those of `buffer`.
    checked(unsafe { libc::pread(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset) } as i64)
        .map(|n| n as usize)
}

/// write(2).
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `bytes`.
    checked(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) } as i64).map(|n| n as usize)
}

/// Opens a path, relative to a folder when there is one; close-on-exec.
pub fn open_at(folder: Option<BorrowedFd<'_>>, path: &CStr, region: OpenFor) -> io::Result<OwnedFd> {
    fault::point(Call::Open)?;
    let base = folder.map_or(libc::AT_FDCWD, |f| f.as_raw_fd());
    let flags = match region {
        OpenFor::Read => libc::O_RDONLY,
        OpenFor::Write => libc::O_WRONLY,
        OpenFor::Folder => libc::O_RDONLY | libc::O_DIRECTORY,
    };
    // SAFETY: `path` ends with a NUL; no mode is needed because nothing is created.
    checked(unsafe { libc::openat(base, path.as_ptr(), flags | libc::O_CLOEXEC) }.into()).map(owned)
}

/// `/dev/null` for reading and writing.
pub fn open_null() -> io::Result<OwnedFd> {
    fault::point(Call::Open)?;
    // SAFETY: the path is a literal that ends with a NUL.
    checked(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) }.into()).map(owned)
}

/// Whether this number is an open descriptor of ours.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes any number and changes nothing.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

fn duplicate_from(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    fault::point(Call::Duplicate)?;
    // SAFETY: `fd` is open; F_DUPFD_CLOEXEC makes a new descriptor and touches no other.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) }.into()).map(owned)
}

/// A duplicate with the lowest free number that is not one of the standard streams'.
pub fn duplicate_low(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    duplicate_from(fd, 3)
}

/// From this number on live the descriptors that are kept long, so that the numbers a spawn has to copy are few.
static HIGH: AtomicI32 = AtomicI32::new(1024);

/// Moves a descriptor that is kept long above 1,024, or as high as the limit on open files leaves room for; where
/// there is none the descriptor stays where it is. Never fails: it only makes spawning cheaper.
pub fn high_fd(fd: OwnedFd) -> OwnedFd {
    let from = HIGH.load(Ordering::Relaxed);
    if fd.as_raw_fd() >= from {
        return fd;
    }
    match duplicate_from(fd.as_fd(), from) {
        Ok(high) => high,
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) && from > 64 => {
            // The limit lies below: take its upper three quarters, for now and later.
            let limit = process::nofile().unwrap_or(256).min(4096) as RawFd;
            let lower = (limit / 4).clamp(16, from / 2);
            HIGH.store(lower, Ordering::Relaxed);
            duplicate_from(fd.as_fd(), lower).unwrap_or(fd)
        }
        Err(_) => fd,
    }
}

/// Whether close_range(2) is there and allowed; it is asked to close what cannot exist.
pub fn close_range_works() -> bool {
    // SAFETY: no descriptor has this number.
    unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
}

// From <linux/fcntl.h>, the same everywhere; libc does not have them for every target.
const F_SETSIG: libc::c_int = 10;
const F_GETSIG: libc::c_int = 11;

/// Leaves a mark on an open file that every descriptor of it shares, also one in another process: the signal number
/// that F_SETSIG keeps, which means nothing for a file that sends no signals.
pub fn set_mark(fd: BorrowedFd<'_>, mark: bool) {
    // SAFETY: F_SETSIG takes a number; 0 is the default and SIGIO's own number asks for the same.
    unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, if mark { libc::SIGIO } else { 0 }) };
}

/// Whether [`set_mark`] left one.
pub fn has_mark(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: F_GETSIG takes nothing and changes nothing.
    unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) == libc::SIGIO }
}
