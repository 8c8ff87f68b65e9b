//! The memory that a child runs on until it executes its program.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use super::checked;

/// Bytes a child may use; its set-up needs less than a page, built without optimisation a few.
const STACK: usize = 64 << 10;
/// Bytes below it that nobody may touch, so that running over ends the child instead of writing elsewhere.
const GUARD: usize = 64 << 10;

/// What a child in flight and we tell each other. Lies at the upper end of its stack's mapping.
#[repr(C, align(64))]
pub(in crate::driver) struct Shared {
    /// 1 while the child uses our memory; the kernel clears it when it executes its program, or ends.
    pub(in crate::driver) here: AtomicU32,
    /// How the descriptor table stands: see `child::FILES_…`.
    pub(in crate::driver) files: AtomicU32,
    /// 1 from just before the program is executed.
    pub(in crate::driver) executing: AtomicU32,
}

/// A stack with a guard below it and a [`Shared`] above it. Not given back while a child is on it: see [`Slot::is_free`].
pub(in crate::driver) struct Slot {
    base: *mut u8,
}

// SAFETY: the mapping belongs to the slot alone, and is reached through atomics.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Slot {
    /// Maps one.
    pub(in crate::driver) fn new() -> io::Result<Slot> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), GUARD + STACK, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let slot = Slot { base: base.cast() };
        // SAFETY: the lower part of the mapping just made.
        checked(unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) }.into())?;
        Ok(slot)
    }

    /// The words at its upper end.
    pub(in crate::driver) fn shared(&self) -> &Shared {
        // SAFETY: within the mapping, aligned because the mapping is and 64 divides its size; zeroed memory is valid.
        unsafe { &*self.base.add(GUARD + STACK - size_of::<Shared>()).cast::<Shared>() }
    }

    /// The lowest address of the stack, and its size in bytes (a multiple of 16).
    pub(in crate::driver) fn stack(&self) -> (u64, u64) {
        (self.base as u64 + GUARD as u64, (STACK - size_of::<Shared>()) as u64)
    }

    /// Whether no child is on it.
    pub(in crate::driver) fn is_free(&self) -> bool {
        self.shared().here.load(Ordering::Acquire) == 0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_free() {
            // SAFETY: the mapping is ours, and nobody is on it.
            unsafe { libc::munmap(self.base.cast(), GUARD + STACK) };
        }
    }
}
