//! A child that shares our memory and changes its user clears *our* dumpable flag: it is put back when the last such
//! child is gone from our memory. One count a program, because the flag is one a program.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::sys;

struct State {
    children: usize,
    before: i32,
}

static STATE: Mutex<State> = Mutex::new(State { children: 0, before: 1 });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held for as long as such a child may use our memory.
#[derive(Debug)]
pub(super) struct DumpableHold(());

impl DumpableHold {
    pub(super) fn new() -> DumpableHold {
        let mut state = state();
        if state.children == 0 {
            state.before = sys::dumpable();
        }
        state.children += 1;
        DumpableHold(())
    }
}

impl Drop for DumpableHold {
    fn drop(&mut self) {
        let mut state = state();
        state.children -= 1;
        // 2 cannot be set, and is what the kernel itself leaves behind.
        if state.children == 0 && state.before == 1 && sys::dumpable() != 1 {
            sys::set_dumpable(1);
        }
    }
}
