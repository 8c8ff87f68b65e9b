//! Handles: numbers that are told apart when they are old, foreign, of another kind, or nothing at all.
//!
//! A handle is never an address, so that whatever C passes is looked up and nothing is believed. It holds the number of a
//! slot, how often that was given out, and the kind: `generation << 32 | slot << 4 | kind`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;
use crate::ffi::NEAP_ERROR_BAD_HANDLE;

/// Slots are below this.
const MOST: usize = 1 << 24;

/// All handles of a kind.
pub(crate) struct Table<T> {
    kind: Kind,
    slots: Mutex<Slots<T>>,
}

/// What a handle is of. Its number is in the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `neap_t`
    Neap = 5,
    /// `neap_cancel_t`
    Cancel = 6,
    /// `neap_stream_t`
    Stream = 7,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Neap => "neap_t",
            Kind::Cancel => "neap_cancel_t",
            Kind::Stream => "neap_stream_t",
        }
    }
}

struct Slots<T> {
    all: Vec<Slot<T>>,
    free: Vec<usize>,
}

struct Slot<T> {
    /// How often it was given out: that of the present handle, or of the last.
    generation: u32,
    value: Option<Arc<T>>,
}

/// The process that uses the library, once one does. In a forked copy of it no thread of the library is left.
static USER: AtomicU32 = AtomicU32::new(0);

/// Refuses to work in a forked copy of the process that the library works in. Before any lock is taken: another thread may
/// have held it when the copy was made.
pub(crate) fn not_forked() -> Result<(), Failure> {
    let own = std::process::id();
    match USER.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
        Err(user) if user != own => Err(Failure::new(
            NEAP_ERROR_BAD_HANDLE,
            format!(
                "this process was forked from process {user}, in which the library works: its threads are not here; call exec \
                 after fork, or use the library in the new process alone"
            ),
        )),
        _ => Ok(()),
    }
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: Kind) -> Self {
        Table { kind, slots: Mutex::new(Slots { all: Vec::new(), free: Vec::new() }) }
    }

    /// A new handle on this.
    pub(crate) fn add(&self, value: T) -> Result<usize, Failure> {
        not_forked()?;
        let mut slots = self.lock();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None if slots.all.len() < MOST => {
                slots.all.push(Slot { generation: 0, value: None });
                slots.all.len() - 1
            }
            None => return Err(Failure::internal(format!("{MOST} handles of type {} are open", self.kind.name()))),
        };
        let Some(place) = slots.all.get_mut(slot) else { return Err(Failure::internal("a free slot is none")) };
        place.generation += 1;
        place.value = Some(Arc::new(value));
        Ok((place.generation as usize) << 32 | slot << 4 | self.kind as usize)
    }

    /// What this is a handle on.
    pub(crate) fn get(&self, handle: usize) -> Result<Arc<T>, Failure> {
        not_forked()?;
        let slots = self.lock();
        let slot = self.find(&slots, handle)?;
        let value = slots.all.get(slot).and_then(|slot| slot.value.clone());
        value.ok_or_else(|| self.freed())
    }

    /// The same, and from now on this is no handle any more.
    pub(crate) fn take(&self, handle: usize) -> Result<Arc<T>, Failure> {
        not_forked()?;
        let mut slots = self.lock();
        let slot = self.find(&slots, handle)?;
        let place = slots.all.get_mut(slot);
        let (value, generation) =
            place.and_then(|place| Some((place.value.take()?, place.generation))).ok_or_else(|| self.freed())?;
        // A slot that was given out four thousand million times is not used again.
        if generation < u32::MAX {
            slots.free.push(slot);
        }
        Ok(value)
    }

    fn find(&self, slots: &Slots<T>, handle: usize) -> Result<usize, Failure> {
        let bad = |why: String| Err(Failure::new(NEAP_ERROR_BAD_HANDLE, why));
        let wanted = self.kind.name();
        if handle == 0 {
            return bad(format!("a {wanted} is wanted, and NULL was given"));
        }
        let (generation, slot, kind) = (handle >> 32, (handle & 0xffff_ffff) >> 4, handle & 0xf);
        if let Some(other) = [Kind::Neap, Kind::Cancel, Kind::Stream].into_iter().find(|other| *other as usize == kind)
            && other != self.kind
            && generation > 0
        {
            return bad(format!("a {wanted} is wanted, and what was given looks like a {}", other.name()));
        }
        match slots.all.get(slot) {
            Some(place) if kind == self.kind as usize && generation > 0 && generation <= place.generation as usize => {
                if generation < place.generation as usize {
                    Err(self.freed())
                } else {
                    Ok(slot)
                }
            }
            _ => bad(format!("a {wanted} is wanted, and what was given was never one")),
        }
    }

    fn freed(&self) -> Failure {
        Failure::new(NEAP_ERROR_BAD_HANDLE, format!("this {} was freed before", self.kind.name()))
    }

    fn lock(&self) -> MutexGuard<'_, Slots<T>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Table};

    #[test]
    fn old_foreign_and_other_handles_are_told_apart() {
        let table = Table::new(Kind::Neap);
        let first = table.add("first").unwrap();
        assert_eq!(*table.get(first).unwrap(), "first");
        table.take(first).unwrap();
        let second = table.add("second").unwrap();
        assert_ne!(first, second, "the slot is used again, its handle is not");
        let said = |handle| table.get(handle).unwrap_err().message;
        assert_eq!(said(first), "this neap_t was freed before");
        assert_eq!(table.take(first).unwrap_err().message, "this neap_t was freed before");
        assert_eq!(said(0), "a neap_t is wanted, and NULL was given");
        assert_eq!(
            said((second & !0xf) | Kind::Stream as usize),
            "a neap_t is wanted, and what was given looks like a neap_stream_t"
        );
        for foreign in [1, 4711, usize::MAX, second + (1 << 32), second + (1 << 4), 0x7fff_dead_beef] {
            assert!(table.get(foreign).is_err(), "{foreign:#x}");
        }
        assert_eq!(*table.get(second).unwrap(), "second");
    }
}
