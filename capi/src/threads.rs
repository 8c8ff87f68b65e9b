//! Threads of the library: they take no signals, and callbacks run on some of them.

use std::cell::Cell;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::failure::Failure;
use crate::ffi::NEAP_ERROR_WRONG_THREAD;

/// Runs this with signals blocked, so that threads that are made meanwhile (and those that these make) leave all signals to the
/// program's own. Those that a fault raises stay: blocked, they would end the program before its handler could say why.
pub(crate) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    let mut set = SigSet::all();
    for fault in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGSYS,
        Signal::SIGABRT,
    ] {
        set.remove(fault);
    }
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    // Also when the work panics: the thread is the program's.
    struct Restore(Option<SigSet>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                // It was this thread's mask before.
                let _ = before.thread_set_mask();
            }
        }
    }
    let _restore = Restore(before.ok());
    work()
}

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// From here on this thread is one that callbacks run on.
pub(crate) fn runs_callbacks() {
    IN_CALLBACK.set(true);
}

/// Refuses to wait on a thread that callbacks run on: a callback that waited would hold up the events that it waits for.
pub(crate) fn may_wait(what: &str) -> Result<(), Failure> {
    if IN_CALLBACK.try_with(Cell::get).unwrap_or(false) {
        let text = format!("{what} waits, and was called from inside a callback: hand it to another thread");
        return Err(Failure::new(NEAP_ERROR_WRONG_THREAD, text));
    }
    Ok(())
}
