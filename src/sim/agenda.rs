//! What is yet to come, by the time at which it comes.

use std::collections::BTreeMap;

use crate::core::Time;

/// Things in the order of their time; those of one time in the order in which they were put in.
#[derive(Clone, Debug)]
pub(super) struct Agenda<T> {
    due: BTreeMap<(Time, u64), T>,
    count: u64,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Agenda { due: BTreeMap::new(), count: 0 }
    }

    pub(super) fn put(&mut self, at: Time, thing: T) {
        self.count += 1;
        self.due.insert((at, self.count), thing);
    }

    pub(super) fn next_time(&self) -> Option<Time> {
        self.due.first_key_value().map(|((time, _), _)| *time)
    }

    /// Takes out all that this says of.
    pub(super) fn take_if(&mut self, mut take: impl FnMut(&T) -> bool) -> Vec<T> {
        let (taken, left): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.due).into_iter().partition(|(_, it)| take(it));
        self.due = left;
        taken.into_values().collect()
    }

    pub(super) fn pop(&mut self) -> Option<(Time, T)> {
        self.due.pop_first().map(|((time, _), thing)| (time, thing))
    }
}
