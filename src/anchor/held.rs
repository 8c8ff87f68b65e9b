//! Descriptors that are held for supervisors to come.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::key::Key;

/// How many at most.
const CAPACITY: usize = 8192;
/// How many descriptors are left for the anchor itself: so that it can start a supervisor whatever it holds.
const SPARE: u64 = 64;

/// A table of them.
#[derive(Debug)]
pub(super) struct Held {
    all: Vec<(Key, OwnedFd)>,
    capacity: usize,
}

impl Held {
    /// With room for as many as a process may open with this limit, less what the anchor needs.
    pub(super) fn new(open_files: u64) -> Held {
        let capacity = CAPACITY.min(usize::try_from(open_files.saturating_sub(SPARE)).unwrap_or(CAPACITY));
        Held { all: Vec::with_capacity(capacity), capacity }
    }

    /// Holds it, in place of the one that had this name. Whether there was room.
    pub(super) fn hold(&mut self, key: Key, fd: OwnedFd) -> bool {
        let room = self.all.len() < self.capacity;
        match self.all.iter_mut().find(|(name, _)| *name == key) {
            Some(place) => place.1 = fd,
            None if room => self.all.push((key, fd)),
            None => return false,
        }
        true
    }

    /// Closes it.
    pub(super) fn let_go(&mut self, key: Key) {
        if let Some(at) = self.all.iter().position(|(name, _)| *name == key) {
            self.all.swap_remove(at);
        }
    }

    /// The n-th, in no order that lasts.
    pub(super) fn get(&self, n: usize) -> Option<(Key, BorrowedFd<'_>)> {
        self.all.get(n).map(|(key, fd)| (*key, fd.as_fd()))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{Held, SPARE};
    use crate::anchor::Key;

    #[test]
    fn the_last_of_a_name_is_held_and_what_is_let_go_is_closed() {
        let mut held = Held::new(SPARE + 2);
        let (mut first, writer) = io::pipe().unwrap();
        let (mut second, other) = io::pipe().unwrap();
        assert!(held.hold(Key(1), writer.into()));
        assert!(held.hold(Key(1), other.into()));
        assert_eq!(first.read(&mut [0]).unwrap(), 0, "the one before is closed");
        assert!(held.hold(Key(2), io::stdin().lock().as_owned()));
        assert!(!held.hold(Key(3), io::stdin().lock().as_owned()), "no room");
        held.let_go(Key(1));
        held.let_go(Key(1));
        assert_eq!(second.read(&mut [0]).unwrap(), 0);
        assert_eq!((held.len(), held.get(0).map(|(key, _)| key), held.get(1).is_none()), (1, Some(Key(2)), true));
    }

    trait AsOwned {
        fn as_owned(&self) -> std::os::fd::OwnedFd;
    }

    impl AsOwned for io::StdinLock<'_> {
        fn as_owned(&self) -> std::os::fd::OwnedFd {
            std::os::fd::AsFd::as_fd(self).try_clone_to_owned().unwrap()
        }
    }
}
