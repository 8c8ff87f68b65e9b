//! The binary's own signals.
//!
//! They are blocked in every thread and taken by one that waits for them, so that nothing runs in a handler. Children
//! get an empty mask from the spawn path, and sessions of their own: the terminal's Ctrl-C reaches Neap alone.

use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};

use super::exit::Failure;
use crate::driver::sys::heed_child_signals;

/// What ends a supervision, in order of urgency.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// What `run` passes on, and what must not end a supervisor by accident.
const USERS: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];
/// What says that there may be an orphan to reap.
const CHILD: Signal = Signal::SIGCHLD;
/// What stops who writes to a terminal from its background, as a supervisor with an anchor does: blocked, it may write.
const WRITING: Signal = Signal::SIGTTOU;

/// What is done with each signal, once there is something to supervise.
type Handler = Box<dyn Fn(Signal) + Send>;

/// Signals that are blocked everywhere, and taken by a thread of their own.
pub(super) struct Signals {
    handler: Arc<Mutex<Option<Handler>>>,
}

impl Signals {
    /// Takes them from now on. Before any other thread is made: what is blocked is inherited. Until there is a handler
    /// nothing is supervised, and one that ends ends the program at once.
    pub(super) fn take() -> Result<Signals, Failure> {
        // Whoever ignores this one has it ignored in what it executes, and then the kernel keeps no exit status.
        heed_child_signals().map_err(|error| Failure::new(format!("cannot reset SIGCHLD: {error}")))?;
        let set = wanted();
        let mut blocked = set;
        blocked.add(WRITING);
        blocked.thread_block().map_err(|errno| Failure::new(format!("cannot block signals: {errno}")))?;
        let signals = Signals { handler: Arc::default() };
        let handler = Arc::clone(&signals.handler);
        std::thread::Builder::new()
            .name("neap-signals".into())
            .spawn(move || deliver(set, &handler))
            .map_err(|error| Failure::new(format!("cannot make a thread: {error}")))?;
        Ok(signals)
    }

    /// From now on each is handed to this.
    pub(super) fn hand_to(self, handler: impl Fn(Signal) + Send + 'static) {
        *self.handler.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(handler));
    }
}

fn wanted() -> SigSet {
    let mut set = SigSet::empty();
    let hangup_ignored = ignored(Signal::SIGHUP);
    for signal in ENDING.iter().chain(&USERS) {
        // A program under nohup(1) outlives its terminal.
        if *signal != Signal::SIGHUP || !hangup_ignored {
            set.add(*signal);
        }
    }
    set.add(CHILD);
    set
}

fn deliver(set: SigSet, handler: &Mutex<Option<Handler>>) {
    loop {
        let signal = match set.wait() {
            Ok(signal) => signal,
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        match &*handler.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(handler) => handler(signal),
            None if ENDING.contains(&signal) => std::process::exit(128 + signal as i32),
            None => {}
        }
    }
}

/// Whether whoever started us had this signal ignored, as nohup(1) does with SIGHUP.
fn ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}
