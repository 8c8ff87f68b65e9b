//! The binary's own signals.
//!
//! They are blocked in every thread and taken by one that waits for them, so that nothing runs in a handler. Children
//! get an empty mask from the spawn path, and sessions of their own: the terminal's Ctrl-C reaches Neap alone.

use std::sync::mpsc::Sender;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};

use super::exit::Failure;
use crate::driver::sys::heed_child_signals;

/// What ends a supervision, in order of urgency.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// What `run` passes on.
const FORWARDED: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];
/// What says that there may be an orphan to reap.
const CHILD: Signal = Signal::SIGCHLD;

/// Signals that are blocked and waiting to be taken.
pub(super) struct Blocked {
    set: SigSet,
}

/// Blocks them. Before the first thread is made: the mask is inherited.
pub(super) fn block(forward: bool) -> Result<Blocked, Failure> {
    let mut set = SigSet::empty();
    let forwarded: &[Signal] = if forward { &FORWARDED } else { &[] };
    let hangup_ignored = ignored(Signal::SIGHUP);
    for signal in ENDING.iter().chain(forwarded) {
        // A program under nohup(1) outlives its terminal.
        if *signal != Signal::SIGHUP || !hangup_ignored {
            set.add(*signal);
        }
    }
    set.add(CHILD);
    // Whoever ignores this one has it ignored in what it executes, and then the kernel keeps no exit status.
    heed_child_signals().map_err(|error| Failure::new(format!("cannot reset SIGCHLD: {error}")))?;
    set.thread_block().map_err(|errno| Failure::new(format!("cannot block signals: {errno}")))?;
    Ok(Blocked { set })
}

/// Whether whoever started us had this signal ignored, as nohup(1) does with SIGHUP.
fn ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}

impl Blocked {
    /// Takes them on a thread of its own, for as long as somebody listens.
    pub(super) fn deliver<T: Send + 'static>(self, to: Sender<T>, wrap: fn(Signal) -> T) -> Result<(), Failure> {
        let take = move || {
            loop {
                match self.set.wait() {
                    Ok(signal) if to.send(wrap(signal)).is_err() => return,
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(_) => return,
                }
            }
        };
        std::thread::Builder::new()
            .name("neap-signals".into())
            .spawn(take)
            .map(drop)
            .map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
    }
}
