//! Messages to a thread that sleeps in epoll.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

/// An unbounded queue with a descriptor that is readable while something waits in it.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    queue: Mutex<Queue<T>>,
    bell: EventFd,
}

#[derive(Debug)]
struct Queue<T> {
    messages: VecDeque<T>,
    /// When the first of them came.
    since: Option<Instant>,
    closed: bool,
}

impl<T> Mailbox<T> {
    /// An empty mailbox.
    pub fn new() -> io::Result<Self> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Mailbox { queue: Mutex::new(Queue { messages: VecDeque::new(), since: None, closed: false }), bell })
    }

    /// Adds a message and wakes the reader. It comes back when nobody reads any more.
    pub fn post(&self, message: T) -> Result<(), T> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return Err(message);
        }
        queue.messages.push_back(message);
        let ring = queue.messages.len() == 1;
        if ring {
            queue.since = Some(Instant::now());
        }
        drop(queue);
        if ring {
            // Only a counter at its maximum could refuse, and then the reader is being woken already.
            let _ = self.bell.write(1);
        }
        Ok(())
    }

    /// Moves what waits into `into`, which must be empty, and tells since when there was something. For the reader alone,
    /// which must take all before it sleeps.
    pub fn take(&self, into: &mut VecDeque<T>) -> Option<Instant> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.messages, into);
        queue.since.take()
    }

    /// Quiets the descriptor; call it before [`take`](Mailbox::take), so that no message is slept through.
    pub fn quiet(&self) {
        let _ = self.bell.read();
    }

    /// Refuses every further message; what waited is returned.
    pub fn close(&self) -> VecDeque<T> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        std::mem::take(&mut queue.messages)
    }
}

impl<T> AsFd for Mailbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
