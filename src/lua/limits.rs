//! What a call may use: time and memory.
//!
//! Lua itself can be interrupted only between its own instructions, so there are three defences, and each call is
//! under all of them:
//!
//! - A count hook. After the deadline it first has the coroutine yield (nothing of the script runs then, not even a
//!   `__close`); where that is impossible (a comparator of `table.sort`, a metamethod called from native code), or if
//!   it did not end the call, every further instruction is an error.
//! - `pcall`, `xpcall` and `coroutine.resume` of the sandbox do not hand the script an error once the deadline has
//!   passed: they raise it again, so none is swallowed.
//! - Native functions that can run long (patterns, some of `table` and `string`) are our own and count [`Steps`].
//!
//! Whatever a call returns after its deadline, it has failed.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlua::{HookTriggers, Lua, VmState};

use super::error::Place;
use super::turns::Cancel;

/// Instructions between two looks at the clock. Looking more often costs little (a few per cent of a busy loop, beside
/// the hook being there at all), and what a script does between two looks, such as joining large strings, is how much
/// later than its deadline it may be stopped.
const COUNT: u32 = 32;

/// Steps of native functions between two looks at the clock.
const STEPS: usize = 4096;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The deadline of the call that runs in a state, shared by the hook and the native functions of that state.
///
/// Cheap to clone; all clones are the same. Used on the state's own thread only.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Instant,
    /// Nanoseconds after `base`.
    deadline: AtomicU64,
    /// When the call should let others run, in nanoseconds after `base`.
    slice: AtomicU64,
    /// Address of the call's own coroutine: the only one that may be suspended to let others run.
    top: AtomicUsize,
    /// Whether the deadline of this call was seen to have passed.
    expired: AtomicBool,
    /// Whether the hook has asked this call to yield already.
    asked: AtomicBool,
    /// Whether this turn was ended so that others may run.
    preempted: AtomicBool,
    /// Whether hooks in this state may still be set to fire at every instruction.
    tight: AtomicBool,
    /// Whether `cancel` is set.
    cancellable: AtomicBool,
    /// Asked whether the call is given up.
    cancel: Mutex<Option<Arc<Cancel>>>,
    place: Mutex<Option<Place>>,
    /// Bytes from which on the state is about to run out of memory.
    high_water: AtomicUsize,
    /// Where the script was when it was last seen above that.
    memory_place: Mutex<Option<Place>>,
}

/// The deadline has passed; the call fails, whatever it does from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("took longer than it may")]
pub struct DeadlineExceeded;

impl Default for Limits {
    fn default() -> Self {
        Limits::new()
    }
}

impl Limits {
    /// Limits without a deadline.
    pub fn new() -> Self {
        Limits(Arc::new(Inner {
            base: Instant::now(),
            deadline: AtomicU64::new(NEVER),
            slice: AtomicU64::new(NEVER),
            top: AtomicUsize::new(0),
            expired: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            preempted: AtomicBool::new(false),
            tight: AtomicBool::new(false),
            cancellable: AtomicBool::new(false),
            cancel: Mutex::new(None),
            place: Mutex::new(None),
            high_water: AtomicUsize::new(usize::MAX),
            memory_place: Mutex::new(None),
        }))
    }

    fn after_base(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.0.base).as_nanos()).unwrap_or(NEVER)
    }

    /// Puts what runs in the state until the guard is dropped under this deadline.
    pub(crate) fn arm(&self, deadline: Instant) -> Armed<'_> {
        self.0.deadline.store(self.after_base(deadline), Relaxed);
        self.0.slice.store(NEVER, Relaxed);
        self.0.top.store(0, Relaxed);
        self.0.expired.store(false, Relaxed);
        self.0.asked.store(false, Relaxed);
        self.0.preempted.store(false, Relaxed);
        self.0.cancellable.store(false, Relaxed);
        *self.0.place.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Armed { limits: self }
    }

    /// As [`arm`](Limits::arm), for one turn of a call that shares the thread with others: once `slice` has passed,
    /// the coroutine `top` is suspended, to go on at its next turn.
    /// Who may give the call up is asked as often as the clock is.
    pub(super) fn arm_turn(
        &self,
        deadline: Instant,
        slice: Duration,
        (top, cancel): (usize, Option<Arc<Cancel>>),
    ) -> Armed<'_> {
        let armed = self.arm(deadline);
        self.0.slice.store(self.after_base(Instant::now() + slice), Relaxed);
        self.0.top.store(top, Relaxed);
        self.0.cancellable.store(cancel.is_some(), Relaxed);
        *self.0.cancel.lock().unwrap_or_else(PoisonError::into_inner) = cancel;
        armed
    }

    /// Whether the last turn was ended so that others may run.
    pub(crate) fn preempted(&self) -> bool {
        self.0.preempted.load(Relaxed)
    }

    /// Whether the deadline has passed, or the call is given up. Looks at the clock.
    pub fn expired(&self) -> bool {
        if self.0.expired.load(Relaxed) {
            return true;
        }
        let deadline = self.0.deadline.load(Relaxed);
        let expired = (deadline != NEVER && self.after_base(Instant::now()) >= deadline) || self.is_cancelled();
        if expired {
            self.0.expired.store(true, Relaxed);
        }
        expired
    }

    fn is_cancelled(&self) -> bool {
        self.0.cancellable.load(Relaxed)
            && self
                .0
                .cancel
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .is_some_and(|cancel| cancel.is_asked())
    }

    /// Whether the deadline passed this long ago and the call still has not come back. May be asked from any thread.
    pub(crate) fn overdue(&self, grace: Duration) -> bool {
        let deadline = self.0.deadline.load(Relaxed);
        deadline != NEVER
            && self.after_base(Instant::now()).saturating_sub(deadline)
                > u64::try_from(grace.as_nanos()).unwrap_or(NEVER)
    }

    /// Fails once the deadline has passed, and notes the line that the script was at.
    /// For native functions that do a piece of work the script chose the size of; see [`Steps`] for loops.
    pub fn check(&self, lua: &Lua) -> mlua::Result<()> {
        if self.expired_here(lua) {
            return Err(mlua::Error::external(DeadlineExceeded));
        }
        Ok(())
    }

    /// A counter for a loop in a native function.
    pub fn steps<'a>(&'a self, lua: &'a Lua) -> Steps<'a> {
        Steps { limits: self, lua, left: STEPS }
    }

    /// As [`expired`](Limits::expired), and notes the line that the script was at.
    pub(crate) fn expired_here(&self, lua: &Lua) -> bool {
        let expired = self.expired();
        if expired {
            self.note_place(lua);
        }
        expired
    }

    /// Where the script was when its deadline was seen to have passed.
    pub(crate) fn place(&self) -> Option<Place> {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Caps the memory of the state, in bytes.
    pub(crate) fn cap_memory(&self, lua: &Lua, bytes: usize) -> mlua::Result<()> {
        // Lua says no line when it runs out: the last one seen in the last quarter is the best there is.
        self.0.high_water.store(bytes / 4 * 3, Relaxed);
        lua.set_memory_limit(bytes).map(|_before| ())
    }

    /// Where the script last was while it used nearly all of its memory.
    pub(crate) fn memory_place(&self) -> Option<Place> {
        self.0.memory_place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_memory(&self, lua: &Lua) {
        if let Some(place) = Place::of_script(lua, 0) {
            *self.0.memory_place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        }
    }

    fn note_place(&self, lua: &Lua) {
        let mut place = self.0.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Place::of_script(lua, 0);
        }
    }

    /// Sets the hook for the state and all coroutines made in it from here on.
    pub(crate) fn install(&self, lua: &Lua) -> mlua::Result<()> {
        self.set_hook(lua, COUNT)
    }

    fn set_hook(&self, lua: &Lua, count: u32) -> mlua::Result<()> {
        let limits = self.clone();
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(count), move |lua, _| limits.on_count(lua))
    }

    fn on_count(&self, lua: &Lua) -> mlua::Result<VmState> {
        if self.expired_here(lua) {
            // From here on every instruction counts: a chain of `__close` handlers must not get a turn each.
            self.0.tight.store(true, Relaxed);
            self.set_hook(lua, 1)?;
            if !self.0.asked.swap(true, Relaxed) {
                return Ok(VmState::Yield);
            }
            return Err(mlua::Error::external(DeadlineExceeded));
        }
        if self.0.tight.load(Relaxed) {
            self.set_hook(lua, COUNT)?;
        }
        if lua.used_memory() > self.0.high_water.load(Relaxed) {
            self.note_memory(lua);
        }
        let slice = self.0.slice.load(Relaxed);
        if slice != NEVER
            && self.after_base(Instant::now()) >= slice
            && lua.state() as usize == self.0.top.load(Relaxed)
        {
            self.0.preempted.store(true, Relaxed);
            return Ok(VmState::Yield);
        }
        Ok(VmState::Continue)
    }
}

/// A deadline in force; dropped, there is none.
pub(crate) struct Armed<'a> {
    limits: &'a Limits,
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.limits.0.deadline.store(NEVER, Relaxed);
    }
}

/// Counts what a native function does in the name of a script, and looks at the clock now and then.
pub struct Steps<'a> {
    limits: &'a Limits,
    lua: &'a Lua,
    left: usize,
}

impl Steps<'_> {
    /// Some steps, each some nanoseconds of work. Fails when the call's deadline has passed.
    #[inline]
    pub fn spend(&mut self, steps: usize) -> mlua::Result<()> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = STEPS;
                self.limits.check(self.lua)
            }
        }
    }
}
