//! Turns for log files that several processes of a program write to.
//!
//! A log file is not opened for appending, which splice(2) refuses, so finding its end and writing there must not be
//! interrupted by another writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Who wrote to a file last.
type Last = Mutex<Option<u64>>;

static NEXT: AtomicU64 = AtomicU64::new(0);
/// The files that are open, by device and inode.
static FILES: Mutex<BTreeMap<(u64, u64), Weak<Last>>> = Mutex::new(BTreeMap::new());

/// One writer's part in a file.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    writer: u64,
    file: Arc<Last>,
}

impl Shared {
    /// A writer that has no file yet.
    pub fn new() -> Self {
        Shared { writer: NEXT.fetch_add(1, Ordering::Relaxed), file: Arc::default() }
    }

    pub fn writer(&self) -> u64 {
        self.writer
    }

    /// Goes to this file.
    pub fn enter(&mut self, device: u64, inode: u64) {
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, file| file.strong_count() > 0);
        self.file = files.get(&(device, inode)).and_then(Weak::upgrade).unwrap_or_default();
        files.insert((device, inode), Arc::downgrade(&self.file));
    }

    pub fn is_same(&self, other: &Shared) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Waits for its turn; it lasts as long as the answer, which says who wrote last.
    pub fn take_turn(&self) -> MutexGuard<'_, Option<u64>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
