//! The end of everything, when no supervisor can bring it about.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::children;
use crate::core::Pid;

/// How long all have after SIGTERM.
const TERM: Duration = Duration::from_secs(10);
/// How long SIGKILL is tried.
const KILL: Duration = Duration::from_secs(10);
/// How often what became ours meanwhile is looked for.
const AGAIN: Duration = Duration::from_millis(100);
/// No pid is higher.
const PIDS: usize = 1 << 22;

/// Which pids have got a signal: room for every one there can be, of which untouched parts cost nothing.
#[derive(Debug)]
pub(super) struct Told(Vec<u8>);

impl Told {
    pub(super) fn new() -> Told {
        Told(vec![0; PIDS / 8])
    }

    /// Whether this is the first time.
    fn first(&mut self, pid: Pid) -> bool {
        let Some(byte) = self.0.get_mut(pid.0 as usize / 8) else { return true };
        let bit = 1 << (pid.0 % 8);
        let first = *byte & bit == 0;
        *byte |= bit;
        first
    }
}

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stop {
    /// What the anchor exits with after it.
    code: u8,
    /// From then on it is SIGKILL.
    kill_at: Instant,
    again: Instant,
}

/// How a stop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Go on when it is [`Stop::due`], or a child has ended.
    NotYet,
    /// No child is left.
    All(u8),
    /// Some do not die.
    Not(u8),
}

impl Stop {
    pub(super) fn begin(code: u8, now: Instant) -> Stop {
        Stop { code, kill_at: now + TERM, again: now }
    }

    /// Somebody asked again.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.kill_at = self.kill_at.min(now);
        self.again = now;
    }

    /// When it goes on.
    pub(super) fn due(&self) -> Instant {
        self.again
    }

    /// Reaps, and signals what is due. Only children are signalled: they are not reaped, so their pids are theirs. What
    /// they leave behind becomes ours, and is signalled then.
    pub(super) fn go_on(&mut self, told: &mut Told, now: Instant) -> Stopped {
        children::reap_all();
        if !children::any() {
            return Stopped::All(self.code);
        }
        if now >= self.kill_at + KILL {
            return Stopped::Not(self.code);
        }
        if now >= self.again {
            if now >= self.kill_at {
                children::each(|pid| children::signal(pid, Signal::SIGKILL));
            } else {
                children::each(|pid| {
                    if told.first(pid) {
                        children::signal(pid, Signal::SIGTERM);
                        children::signal(pid, Signal::SIGCONT);
                    }
                });
            }
            self.again = now + AGAIN;
        }
        Stopped::NotYet
    }
}
