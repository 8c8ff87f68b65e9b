//! States that could not be interrupted.
//!
//! There should be none: each native function that a script can make run long counts its steps. Should one be
//! found all the same, its thread is left behind at the lowest priority, one at most, and nothing waits for it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::runtime::WedgedSink;
use crate::driver::sys;
use crate::spec::Problem;

/// The thread of a state, as others see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateThread(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The kernel's number for it; 0 until it runs.
    id: AtomicI32,
    ended: AtomicBool,
    /// Whether it was left behind already.
    left: AtomicBool,
}

/// Marks the thread as ended when it is dropped.
pub(crate) struct Running(StateThread);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.ended.store(true, Ordering::Release);
    }
}

impl StateThread {
    /// To be called on the thread itself, which is taken to have ended once the answer is dropped.
    pub(crate) fn begin(&self) -> Running {
        self.0.id.store(nix::unistd::gettid().as_raw(), Ordering::Release);
        Running(self.clone())
    }

    fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }
}

/// Keeps the one thread that was left behind.
#[derive(Default)]
pub(crate) struct Wedge {
    left: Mutex<Option<StateThread>>,
    told: Option<WedgedSink>,
}

impl Wedge {
    pub(crate) fn new(told: Option<WedgedSink>) -> Self {
        Wedge { left: Mutex::default(), told }
    }

    /// Whether a thread was left behind and still runs.
    pub(crate) fn is_set(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.as_ref().is_some_and(|thread| !thread.has_ended())
    }

    /// Leaves a thread behind, once, and tells about it.
    pub(crate) fn leave(&self, thread: &StateThread, problem: &Problem) {
        if thread.0.left.swap(true, Ordering::AcqRel) {
            return;
        }
        let id = thread.0.id.load(Ordering::Acquire);
        if id != 0 && !thread.has_ended() {
            sys::run_last(id);
        }
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.clone());
        if let Some(told) = &self.told {
            told(problem);
        }
    }
}
