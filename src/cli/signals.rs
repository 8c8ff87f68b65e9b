//! The binary's own signals.
//!
//! They are blocked in every thread and taken by one that waits for them, so that nothing runs in a handler. Children
//! get an empty mask from the spawn path, and sessions of their own: the terminal's Ctrl-C reaches Neap alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What becomes of a signal that comes before there is a handler.
pub(super) enum Early {
    /// One that ends a supervision ends the program: nothing is supervised yet.
    Exit,
    /// The same, but somebody is told the code first.
    Tell(Box<dyn Fn(u8) + Send>),
    /// It waits for the handler.
    Keep,
}

enum Taking {
    Not(Early, Vec<Signal>),
    By(Handler),
}

/// Signals that are blocked everywhere, and taken by a thread of their own.
pub(super) struct Signals {
    taking: Arc<Mutex<Taking>>,
}

impl Signals {
    /// Takes them from now on. Before any other thread is made: what is blocked is inherited.
    pub(super) fn take(early: Early) -> Result<Signals, Failure> {
        // Whoever ignores this one has it ignored in what it executes, and then the kernel keeps no exit status.
        heed_child_signals().map_err(|error| Failure::new(format!("cannot reset SIGCHLD: {error}")))?;
        let set = wanted();
        let mut blocked = set;
        blocked.add(WRITING);
        blocked.thread_block().map_err(|errno| Failure::new(format!("cannot block signals: {errno}")))?;
        let signals = Signals { taking: Arc::new(Mutex::new(Taking::Not(early, Vec::new()))) };
        let taking = Arc::clone(&signals.taking);
        std::thread::Builder::new()
            .name("neap-signals".into())
            .spawn(move || deliver(set, &taking))
            .map_err(|error| Failure::new(format!("cannot make a thread: {error}")))?;
        Ok(signals)
    }

    fn taking(&self) -> MutexGuard<'_, Taking> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until there is a handler this becomes of them.
    pub(super) fn until_then(&self, early: Early) {
        let mut taking = self.taking();
        if let Taking::Not(before, kept) = &mut *taking {
            let kept = std::mem::take(kept);
            *before = early;
            kept.into_iter().for_each(|signal| taking.take(signal));
        }
    }

    /// From now on each is handed to this.
    pub(super) fn hand_to(self, handler: impl Fn(Signal) + Send + 'static) {
        let mut taking = self.taking();
        if let Taking::Not(_, kept) = std::mem::replace(&mut *taking, Taking::By(Box::new(handler))) {
            kept.into_iter().for_each(|signal| taking.take(signal));
        }
    }
}

impl Taking {
    fn take(&mut self, signal: Signal) {
        let code = || u8::try_from(128 + signal as i32).unwrap_or(1);
        match self {
            Taking::By(handler) => handler(signal),
            Taking::Not(Early::Keep, kept) => kept.push(signal),
            Taking::Not(..) if !ENDING.contains(&signal) => {}
            Taking::Not(Early::Tell(tell), _) => {
                tell(code());
                std::process::exit(code().into());
            }
            Taking::Not(Early::Exit, _) => std::process::exit(code().into()),
        }
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

fn deliver(set: SigSet, taking: &Mutex<Taking>) {
    loop {
        let signal = match set.wait() {
            Ok(signal) => signal,
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        taking.lock().unwrap_or_else(PoisonError::into_inner).take(signal);
    }
}

/// Whether whoever started us had this signal ignored, as nohup(1) does with SIGHUP.
fn ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}
