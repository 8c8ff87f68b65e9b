//! Lines that the program itself adds to a process's log: what a task says.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, write};

use super::line::StreamKind;
use super::thread::{Logs, Order, TargetId};
use crate::driver::sys::high_fd;

/// How long a line waits for room. Who speaks is held up no longer; once that was in vain, not at all until there is room.
const PATIENCE: Duration = Duration::from_millis(100);

/// A pipe of our own into a process's log, made when it is first needed: most tasks say nothing.
pub(crate) struct Voice {
    id: TargetId,
    logs: Logs,
    spoken: Mutex<Spoken>,
}

#[derive(Default)]
struct Spoken {
    pipe: Option<Pipe>,
    /// Lines that found no room.
    lost: u64,
    /// Whether the last line was cut in the middle.
    torn: bool,
}

struct Pipe {
    write: OwnedFd,
    /// As long as we hold this, writing raises no SIGPIPE, whenever the log thread ends.
    _read: OwnedFd,
}

impl Voice {
    pub(super) fn new(id: TargetId, logs: Logs) -> Voice {
        Voice { id, logs, spoken: Mutex::default() }
    }

    /// Adds a line, or several. What finds no room in time is lost, and counted in the log itself.
    pub fn say(&self, text: &str) {
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(()) = self.open(&mut spoken) else { return };
        let Spoken { pipe: Some(pipe), lost, torn } = &mut *spoken else { return };
        let mut bytes = Vec::with_capacity(text.len() + 1);
        if *torn {
            bytes.push(b'\n');
        }
        if *lost > 0 {
            bytes.extend_from_slice(format!("[{lost} lines were lost here: the log did not keep up]\n").as_bytes());
        }
        bytes.extend_from_slice(text.strip_suffix('\n').unwrap_or(text).as_bytes());
        bytes.push(b'\n');
        let patience = if *lost > 0 { Duration::ZERO } else { PATIENCE };
        match pipe.write(&bytes, patience) {
            written if written == bytes.len() => (*lost, *torn) = (0, false),
            written => {
                *lost += 1;
                // A line of which nothing was written leaves no seam.
                *torn = (*torn && written == 0) || (written > 0 && bytes.get(written - 1) != Some(&b'\n'));
            }
        }
    }

    fn open(&self, spoken: &mut Spoken) -> io::Result<()> {
        if spoken.pipe.is_some() {
            return Ok(());
        }
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let kept = read.try_clone()?;
        if self.logs.order(Order::Pipe(self.id, StreamKind::Stdout, high_fd(read), false)) {
            spoken.pipe = Some(Pipe { write: high_fd(write), _read: high_fd(kept) });
        }
        Ok(())
    }
}

impl Pipe {
    /// Writes as much as finds room in time.
    fn write(&self, bytes: &[u8], patience: Duration) -> usize {
        let mut written = 0;
        let mut end = None;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match write(&self.write, rest) {
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let end = *end.get_or_insert_with(|| Instant::now() + patience);
                    let left = end.saturating_duration_since(Instant::now());
                    let room = PollFd::new(self.write.as_fd(), PollFlags::POLLOUT);
                    // Room for a page is no room for a line that is not to be cut: then it is asked for again, a moment later.
                    let timeout = PollTimeout::try_from(left.as_millis().min(10)).unwrap_or(PollTimeout::ZERO);
                    if left.is_zero() || poll(&mut [room], timeout).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        written
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voice").field("id", &self.id).finish_non_exhaustive()
    }
}
