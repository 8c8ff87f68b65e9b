//! Descriptors kept for the moment when there are no others: whatever else runs out, a tree can be looked at and ended.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::sys;

/// As many as a look at one process takes: a pidfd or the list of processes, and a file of the process's.
const KEPT: usize = 2;

/// Descriptors that lead nowhere, to be closed in favour of better ones.
pub(super) struct Reserve(Mutex<Vec<OwnedFd>>);

impl Reserve {
    /// Sets them aside, as far as there are any.
    pub(super) fn new() -> Reserve {
        let mut kept = Vec::with_capacity(KEPT);
        fill(&mut kept);
        Reserve(Mutex::new(kept))
    }

    /// Does something that takes up to two descriptors at a time; where there are none, once more with those that are
    /// kept. What is done must not itself ask for the reserve.
    pub(super) fn lend<T>(&self, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        // They could not all be put back the last time, perhaps.
        fill(&mut self.kept());
        match act() {
            Err(e) if is_scarce(&e) => {
                let mut kept = self.kept();
                kept.clear();
                let done = act();
                fill(&mut kept);
                done
            }
            done => done,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fill(kept: &mut Vec<OwnedFd>) {
    while kept.len() < KEPT {
        match sys::open_null() {
            Ok(fd) => kept.push(sys::high_fd(fd)),
            Err(_) => return,
        }
    }
}

/// Whether there was no descriptor left, here or in the whole machine.
pub(super) fn is_scarce(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use nix::errno::Errno;

    use super::{KEPT, Reserve};

    #[test]
    fn what_lacks_a_descriptor_is_done_once_more_and_nothing_else_is() {
        let reserve = Reserve::new();
        let tries = Cell::new(0);
        let done = reserve.lend(|| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { Err(io::Error::from(Errno::EMFILE)) } else { Ok(tries.get()) }
        });
        assert_eq!(done.unwrap(), 2);
        assert_eq!(reserve.kept().len(), KEPT, "they were put back");
        tries.set(0);
        let refused: io::Result<()> = reserve.lend(|| {
            tries.set(tries.get() + 1);
            Err(io::Error::from(Errno::EPERM))
        });
        assert_eq!((refused.unwrap_err().raw_os_error(), tries.get()), (Some(Errno::EPERM as i32), 1));
    }
}
