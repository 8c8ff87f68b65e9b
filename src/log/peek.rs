//! Looking into a pipe without taking anything out of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, tee};
use nix::unistd::read;

use crate::driver::sys;
use crate::driver::sys::fault::{self, Call};

/// As much as a pipe holds, unless somebody made it larger.
pub(super) const VIEW: usize = 64 << 10;

/// A pipe of our own that what is looked at is duplicated into.
pub(super) struct Peek {
    read: OwnedFd,
    write: OwnedFd,
    buffer: Vec<u8>,
}

impl Peek {
    pub fn new() -> io::Result<Self> {
        let (read, write) = sys::pipe()?;
        Ok(Peek { read, write, buffer: vec![0; VIEW] })
    }

    /// The first bytes in this pipe; `EAGAIN` when there are none, and none at all at its end.
    pub fn look(&mut self, pipe: BorrowedFd<'_>) -> io::Result<&[u8]> {
        fault::point(Call::OutputRead)?;
        let count = tee(pipe, &self.write, VIEW, SpliceFFlags::SPLICE_F_NONBLOCK)?;
        let mut done = 0;
        while done < count {
            match read(&self.read, self.buffer.get_mut(done..count).unwrap_or_default()) {
                Ok(some) if some > 0 => done += some,
                Err(Errno::EINTR) => {}
                other => {
                    // What stays in it would be taken for something else's.
                    *self = Peek::new()?;
                    return Err(other.map_or_else(io::Error::from, |_| io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
        Ok(self.buffer.get(..count).unwrap_or_default())
    }

    /// What the last look showed.
    pub fn seen(&self) -> &[u8] {
        &self.buffer
    }

    /// All that is in this pipe, however large it is.
    pub fn all(pipe: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
        let mut peek = Peek::new()?;
        let size = fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?;
        fcntl(&peek.write, FcntlArg::F_SETPIPE_SZ(size))?;
        let mut all = Vec::new();
        let mut left = match tee(pipe, peek.write.as_fd(), usize::MAX >> 1, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Err(Errno::EAGAIN) => 0,
            other => other?,
        };
        while left > 0 {
            let some = read(&peek.read, &mut peek.buffer)?;
            all.extend_from_slice(peek.buffer.get(..some).unwrap_or_default());
            left = left.saturating_sub(some.max(1));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::Peek;

    #[test]
    fn looking_takes_nothing_out() {
        let (mut read, mut write) = std::io::pipe().unwrap();
        write.write_all(b"one").unwrap();
        let mut peek = Peek::new().unwrap();
        assert_eq!(peek.look(read.as_fd()).unwrap(), b"one");
        write.write_all(b"two").unwrap();
        assert_eq!(peek.look(read.as_fd()).unwrap(), b"onetwo");
        assert_eq!(Peek::all(read.as_fd()).unwrap(), b"onetwo");
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "onetwo");
        assert_eq!(peek.look(read.as_fd()).unwrap(), b"");
    }

    #[test]
    fn a_pipe_without_anything_is_no_pipe_at_its_end() {
        let (read, _write) = std::io::pipe().unwrap();
        let error = Peek::new().unwrap().look(read.as_fd()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert!(Peek::all(read.as_fd()).unwrap().is_empty());
    }
}
