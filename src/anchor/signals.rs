//! The anchor's signals: all are blocked, and read one by one.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What asks for the end of all.
const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
/// What else is the supervisor's to deal with.
const FORWARDED: [Signal; 4] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH];

/// A set of signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Few(u64);

impl Few {
    pub(super) fn add(&mut self, signal: Signal) {
        self.0 |= 1 << signal as i32;
    }

    pub(super) fn has(self, signal: Signal) -> bool {
        self.0 & (1 << signal as i32) != 0
    }

    pub(super) fn also(self, other: Few) -> Few {
        Few(self.0 | other.0)
    }

    /// The one that asks most urgently for the end of all.
    pub(super) fn ending(self) -> Option<Signal> {
        ENDING.into_iter().find(|signal| self.has(*signal))
    }

    /// All of them.
    pub(super) fn each(self) -> impl Iterator<Item = Signal> {
        FORWARDED.into_iter().chain(ENDING).filter(move |signal| self.has(*signal))
    }
}

/// What is to be done about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A child has ended.
    Child,
    /// The supervisor is to hear of it.
    Forward(Signal),
    /// As that, and it asks for the end of all.
    End(Signal),
    /// A service manager found that nobody is well here.
    Abort,
    /// The terminal wants its prompt back.
    Pause,
    /// Nothing.
    Other,
}

/// All of them, blocked.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Takes them from now on.
    pub(super) fn take() -> Result<Signals, Errno> {
        let all = SigSet::all();
        all.thread_block()?;
        SignalFd::with_flags(&all, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Signals)
    }

    /// The next one.
    pub(super) fn next(&self) -> Option<Told> {
        let info = self.0.read_signal().ok()??;
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        Some(match signal {
            Some(Signal::SIGCHLD) => Told::Child,
            Some(Signal::SIGTSTP) => Told::Pause,
            Some(Signal::SIGABRT) => Told::Abort,
            Some(signal) if ENDING.contains(&signal) => Told::End(signal),
            Some(signal) if FORWARDED.contains(&signal) => Told::Forward(signal),
            _ => Told::Other,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Does what Ctrl-Z does by default, which depends on the terminal and on who started us: the kernel decides.
pub(super) fn pause() {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTSTP);
    if raise(Signal::SIGTSTP).is_ok() {
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&stop), None);
        let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stop), None);
    }
}
