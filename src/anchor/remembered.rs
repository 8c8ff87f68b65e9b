//! How processes ended, until the supervisor has dealt with it.

use super::link::Ended;
use crate::core::{ExitStatus, Pid};

/// How many are remembered.
pub(super) const CAPACITY: usize = 8192;
const FORGOTTEN: Ended = Ended { pid: Pid(0), start_time: 0, status: ExitStatus::Unknown };

/// A ring. What was told is overwritten when there is no room, the oldest first; what was not told is never.
#[derive(Debug)]
pub(super) struct Remembered {
    ring: Vec<Ended>,
    /// The oldest, the next to be told, and one after the newest: counted from the start, whatever was dropped since.
    oldest: usize,
    telling: usize,
    end: usize,
}

impl Remembered {
    /// With room for all there may be.
    pub(super) fn new() -> Remembered {
        Remembered { ring: Vec::with_capacity(CAPACITY), oldest: 0, telling: 0, end: 0 }
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.end - self.oldest < CAPACITY || self.oldest < self.telling
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.oldest == self.end
    }

    /// One more. Whether there was room for it.
    pub(super) fn add(&mut self, ended: Ended) -> bool {
        if !self.has_room() {
            return false;
        }
        if self.end - self.oldest == CAPACITY {
            self.oldest += 1;
        }
        match self.ring.get_mut(self.end % CAPACITY) {
            Some(place) => *place = ended,
            // Within what was reserved: the ring has turned round only when it is full.
            None => self.ring.push(ended),
        }
        self.end += 1;
        true
    }

    /// The next that was not told.
    pub(super) fn next(&self) -> Option<Ended> {
        (self.telling < self.end).then(|| self.at(self.telling))
    }

    /// It was.
    pub(super) fn told(&mut self) {
        if self.telling < self.end {
            self.telling += 1;
        }
    }

    /// All are to be told again, to somebody else.
    pub(super) fn tell_again(&mut self) {
        self.telling = self.oldest;
    }

    /// Drops the oldest that was told of this pid.
    pub(super) fn forget(&mut self, pid: Pid) {
        let Some(found) = (self.oldest..self.telling).find(|at| self.at(*at).pid == pid && pid != FORGOTTEN.pid) else {
            return;
        };
        // Those before it move up by one: it is the first as a rule.
        for at in (self.oldest..found).rev() {
            let moved = self.at(at);
            self.ring[(at + 1) % CAPACITY] = moved;
        }
        self.oldest += 1;
    }

    fn at(&self, index: usize) -> Ended {
        self.ring.get(index % CAPACITY).copied().unwrap_or(FORGOTTEN)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{CAPACITY, Remembered};
    use crate::anchor::Ended;
    use crate::core::{ExitStatus, Pid};

    fn ended(pid: u32, start_time: u64) -> Ended {
        Ended { pid: Pid(pid), start_time, status: ExitStatus::Code(1) }
    }

    fn all(remembered: &mut Remembered) -> Vec<u64> {
        let mut found = Vec::new();
        while let Some(next) = remembered.next() {
            found.push(next.start_time);
            remembered.told();
        }
        found
    }

    #[test]
    fn what_was_not_told_is_never_overwritten_and_what_was_is_the_oldest_first() {
        let mut remembered = Remembered::new();
        for n in 0..CAPACITY as u64 {
            assert!(remembered.add(ended(9, n)));
        }
        assert!(!remembered.has_room() && !remembered.add(ended(9, 0)), "the kernel keeps what we cannot");
        remembered.told();
        assert!(remembered.add(ended(9, CAPACITY as u64)));
        assert!(!remembered.has_room());
        let told = all(&mut remembered);
        assert_eq!((told.len(), told[0], *told.last().unwrap()), (CAPACITY, 1, CAPACITY as u64));
    }

    #[test]
    fn a_pid_that_ended_twice_is_forgotten_once_at_a_time() {
        let mut remembered = Remembered::new();
        for (pid, start_time) in [(5, 1), (6, 2), (5, 3)] {
            remembered.add(ended(pid, start_time));
        }
        remembered.forget(Pid(5));
        assert_eq!(all(&mut remembered), [1, 2, 3], "what was not told cannot have been dealt with");
        remembered.forget(Pid(5));
        remembered.tell_again();
        assert_eq!(all(&mut remembered), [2, 3]);
        remembered.forget(Pid(5));
        remembered.tell_again();
        assert_eq!(all(&mut remembered), [2]);
        remembered.forget(Pid(6));
        assert!(remembered.is_empty());
    }

    proptest! {
        /// Against a list: 0 tells one, 1 forgets, 2 starts again, the rest add.
        #[test]
        fn it_is_a_list_of_what_was_added_less_what_was_forgotten(steps in any::<Vec<(u8, u8)>>()) {
            let mut remembered = Remembered::new();
            let (mut list, mut told): (VecDeque<Ended>, usize) = Default::default();
            for (time, (what, pid)) in steps.into_iter().enumerate() {
                let pid = 1 + u32::from(pid % 4);
                match what % 6 {
                    0 => {
                        prop_assert_eq!(remembered.next(), list.get(told).copied());
                        remembered.told();
                        told = list.len().min(told + 1);
                    }
                    1 => {
                        remembered.forget(Pid(pid));
                        if let Some(at) = list.iter().take(told).position(|one| one.pid == Pid(pid)) {
                            list.remove(at);
                            told -= 1;
                        }
                    }
                    2 => {
                        remembered.tell_again();
                        told = 0;
                    }
                    _ => {
                        remembered.add(ended(pid, time as u64));
                        list.push_back(ended(pid, time as u64));
                    }
                }
            }
            remembered.tell_again();
            let expected: Vec<u64> = list.iter().map(|one| one.start_time).collect();
            prop_assert_eq!(all(&mut remembered), expected);
        }
    }
}
