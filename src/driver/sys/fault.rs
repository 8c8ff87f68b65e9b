//! Makes chosen calls fail, for tests: the k-th clone with EAGAIN, every pipe with EMFILE, the child's setgroups with EPERM.
//! Or ends the program at the n-th of them all, as if somebody had killed it there.
//!
//! Nothing outside the program can reach the table. While it is empty a call pays two atomic loads.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::core::SpawnStep;

/// Which call is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Making a child, in whichever way.
    Clone,
    /// clone3(2) alone, so that the other way is taken.
    Clone3,
    /// pipe2(2).
    Pipe,
    /// Duplicating a descriptor.
    Duplicate,
    /// Opening a file or folder below a folder.
    Open,
    /// mkdir(2) of a cgroup.
    MakeDir,
    /// Reading what `/proc` says of a process.
    Stat,
    /// pidfd_open(2).
    PidfdOpen,
    /// waitid(2).
    Wait,
    /// Writing the ledger.
    Ledger,
    /// The ledger is written. Not made to fail, only to be killed at.
    Written,
    /// Sending a signal.
    Signal,
    /// Telling the anchor to hold a descriptor.
    Hold,
    /// Looking into the pipe of a process's output.
    OutputRead,
    /// Writing to a log file.
    LogWrite,
    /// Binding a listener.
    Bind,
    /// Giving a listener's path its owner and mode.
    Dress,
    /// Accepting a connection for an instance.
    Accept,
    /// A step of the child's set-up.
    Child(SpawnStep),
}

struct Fault {
    id: usize,
    call: Call,
    skip: usize,
    times: usize,
    errno: i32,
    thread: Option<ThreadId>,
}

/// Calls that may pass before the program is killed; `usize::MAX` for never.
static LIFE: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Calls so far, while they are counted.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Whether calls are counted.
static COUNTING: AtomicBool = AtomicBool::new(false);
static ARMED: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);
static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());

/// A fault that is set until this is dropped.
#[derive(Debug)]
#[must_use = "the fault ends when this is dropped"]
pub struct Armed(usize);

impl Drop for Armed {
    fn drop(&mut self) {
        let mut faults = faults();
        faults.retain(|f| f.id != self.0);
        ARMED.store(faults.len(), Ordering::Release);
    }
}

/// Lets `skip` calls of this thread pass, then has `times` of them fail with this errno.
pub fn here(call: Call, skip: usize, times: usize, errno: i32) -> Armed {
    arm(call, skip, times, errno, Some(thread::current().id()))
}

/// As [`here`], for the calls of every thread of the program.
pub fn everywhere(call: Call, skip: usize, times: usize, errno: i32) -> Armed {
    arm(call, skip, times, errno, None)
}

/// Counts the calls of every thread from now on; each one can be made the last by [`die_at`].
pub fn count() {
    COUNT.store(0, Ordering::SeqCst);
    COUNTING.store(true, Ordering::SeqCst);
}

/// How many calls there were since [`count`].
pub fn counted() -> usize {
    COUNT.load(Ordering::SeqCst)
}

/// Has the program kill itself (SIGKILL) when the n-th call since [`count`] begins.
pub fn die_at(n: usize) {
    LIFE.store(n, Ordering::SeqCst);
}

fn may_be_the_last() {
    if COUNT.fetch_add(1, Ordering::SeqCst) + 1 == LIFE.load(Ordering::SeqCst) {
        let us = nix::unistd::Pid::this();
        let _ = nix::sys::signal::kill(us, nix::sys::signal::Signal::SIGKILL);
        // It is delivered before this returns, to whichever thread.
        loop {
            thread::park();
        }
    }
}

fn arm(call: Call, skip: usize, times: usize, errno: i32, thread: Option<ThreadId>) -> Armed {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut faults = faults();
    faults.push(Fault { id, call, skip, times, errno, thread });
    ARMED.store(faults.len(), Ordering::Release);
    Armed(id)
}

fn faults() -> MutexGuard<'static, Vec<Fault>> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called at the start of each call that can be made to fail.
pub(crate) fn point(call: Call) -> io::Result<()> {
    if COUNTING.load(Ordering::Relaxed) {
        may_be_the_last();
    }
    match errno(call) {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Ok(()),
    }
}

fn errno(call: Call) -> Option<i32> {
    if ARMED.load(Ordering::Acquire) == 0 {
        return None;
    }
    let me = thread::current().id();
    let mut faults = faults();
    let fault = faults.iter_mut().find(|f| f.call == call && f.times > 0 && f.thread.is_none_or(|t| t == me))?;
    if fault.skip > 0 {
        fault.skip -= 1;
        return None;
    }
    fault.times -= 1;
    Some(fault.errno)
}

/// The step at which the next child is to fail, with its errno.
pub(in crate::driver) fn child_step() -> Option<(SpawnStep, i32)> {
    if ARMED.load(Ordering::Acquire) == 0 {
        return None;
    }
    let step = faults().iter().find_map(|f| match f.call {
        Call::Child(step) if f.times > 0 => Some(step),
        _ => None,
    })?;
    errno(Call::Child(step)).map(|errno| (step, errno))
}
