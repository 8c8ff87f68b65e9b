//! What children in flight hold of us, and when it may be used again.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use super::child::Plan;
use super::dumpable::DumpableHold;
use super::launch::Launch;
use super::sys::Slot;

/// Stacks kept for the next child; more are given back.
const SPARE: usize = 32;

/// Stacks that are free, and what children that were given up still hold.
#[derive(Default)]
pub(super) struct Slots {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    free: Vec<Slot>,
    /// Of children that were dropped before they were known to be done.
    limbo: Vec<Held>,
}

/// What one child may still read: nothing of it may go before the child left our memory.
struct Held {
    _dumpable: Option<DumpableHold>,
    inherited: Vec<OwnedFd>,
    plan: Box<Plan>,
    slot: Option<Slot>,
}

impl Slots {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stack for a child.
    pub(super) fn take(&self) -> io::Result<Slot> {
        let mut lists = self.lists();
        // What is dropped here was kept for children that have left by now.
        let left: Vec<Held> = lists.limbo.extract_if(.., |h| h.slot.as_ref().is_none_or(Slot::is_free)).collect();
        let slot = lists.free.pop();
        drop(lists);
        drop(left);
        slot.map_or_else(Slot::new, Ok)
    }

    fn give_back(&self, held: Held) {
        let mut lists = self.lists();
        match held {
            Held { slot: Some(slot), .. } if slot.is_free() && lists.free.len() < SPARE => lists.free.push(slot),
            Held { slot: Some(ref slot), .. } if !slot.is_free() => lists.limbo.push(held),
            _ => {}
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // Nobody is left to look again: what a child still uses is kept for ever.
        for held in mem::take(&mut self.lists().limbo) {
            if held.slot.as_ref().is_some_and(|s| !s.is_free()) {
                mem::forget(held);
            }
        }
    }
}

/// What a child in flight holds; gives it back when dropped, or once the child is done with it.
pub(super) struct Lease {
    slots: Arc<Slots>,
    held: Option<Held>,
}

impl Lease {
    pub(super) fn new(slots: Arc<Slots>, plan: Box<Plan>, slot: Option<Slot>, inherited: Vec<OwnedFd>) -> Lease {
        let dumpable = (slot.is_some() && plan.launch.changes_credentials()).then(DumpableHold::new);
        let held = Held { _dumpable: dumpable, inherited, plan, slot };
        Lease { slots, held: Some(held) }
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        self.held.as_ref().map(|h| &*h.plan)
    }

    pub(super) fn slot(&self) -> Option<&Slot> {
        self.held.as_ref().and_then(|h| h.slot.as_ref())
    }

    /// The launch back, when no child was made with it.
    pub(super) fn take_launch(&mut self) -> Option<Launch> {
        let idle = self.slot().is_some_and(Slot::is_free);
        self.held.take_if(|_| idle).map(|held| held.plan.launch)
    }

    /// Closes what the child inherited: it has a descriptor table of its own.
    pub(super) fn close_inherited(&mut self) {
        if let Some(held) = &mut self.held {
            held.inherited.clear();
        }
    }

    /// Whether there is something left to close.
    pub(super) fn has_inherited(&self) -> bool {
        self.held.as_ref().is_some_and(|h| !h.inherited.is_empty())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.slots.give_back(held);
        }
    }
}
