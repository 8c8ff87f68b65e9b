//! What children in flight hold of us, and when it may be used again.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use super::child::Plan;
use super::dumpable::DumpableHold;
use super::launch::Launch;
use super::sys::Slot;
use crate::lock::lock;

/// Stacks kept for the next child; more are given back.
const SPARE: usize = 32;

/// What children still hold that were dropped before they were known to be done. One list a program, because they may
/// outlive their launcher.
static LIMBO: Mutex<Vec<Held>> = Mutex::new(Vec::new());

/// What one child may still read: nothing of it may go before the child left our memory.
struct Held {
    _dumpable: Option<DumpableHold>,
    inherited: Vec<OwnedFd>,
    plan: Box<Plan>,
    slot: Option<Slot>,
}

impl Held {
    fn is_done(&self) -> bool {
        self.slot.as_ref().is_none_or(Slot::is_free)
    }
}

/// Stacks that are free.
#[derive(Default)]
pub(super) struct Slots {
    free: Mutex<Vec<Slot>>,
}

impl Slots {
    /// A stack for a child.
    pub(super) fn take(&self) -> io::Result<Slot> {
        let done: Vec<Held> = lock(&LIMBO).extract_if(.., |h| h.is_done()).collect();
        drop(done);
        let free = lock(&self.free).pop();
        free.map_or_else(Slot::new, Ok)
    }

    fn give_back(&self, mut held: Held) {
        if !held.is_done() {
            lock(&LIMBO).push(held);
        } else if let Some(slot) = held.slot.take() {
            let mut free = lock(&self.free);
            if free.len() < SPARE {
                free.push(slot);
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
