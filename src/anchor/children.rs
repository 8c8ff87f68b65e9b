//! The anchor's children: which there are, and how they end.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd;

use super::link::Ended;
use super::start_time::brief;
use crate::core::{ExitStatus, Pid};
use crate::driver::sys::{Child, WaitNow, wait_child};
use crate::spec;

/// Whether there is any, ended or not.
pub(super) fn any() -> bool {
    wait_child(Child::Any, true).is_ok()
}

/// How this child ended, if it has, and lets go of it.
pub(super) fn reap(pid: Pid) -> Option<ExitStatus> {
    match wait_child(Child::Pid(pid.0), false) {
        Ok(Some((_, how))) => Some(status(how)),
        Ok(None) => None,
        // Somebody else has reaped it, which nobody can.
        Err(_) => Some(ExitStatus::Unknown),
    }
}

/// One that has ended, and is not reaped yet, with what is known of it.
pub(super) fn ended() -> Option<Ended> {
    let (pid, how) = wait_child(Child::Any, true).ok()??;
    // One whose parent is another is another: /proc is that of other pids than ours.
    let known = brief(Pid(pid)).filter(|brief| brief.parent == us());
    let start_time = known.map_or(0, |brief| brief.start_time);
    Some(Ended { pid: Pid(pid), start_time, status: status(how) })
}

/// Reaps all that have ended, whoever they are.
pub(super) fn reap_all() {
    while matches!(wait_child(Child::Any, false), Ok(Some(_))) {}
}

/// Calls this for each.
pub(super) fn each(mut of: impl FnMut(Pid)) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid);
        if let Some(pid) = pid.filter(|pid| brief(*pid).is_some_and(|brief| brief.parent == us())) {
            of(pid);
        }
    }
}

fn us() -> Pid {
    Pid(std::process::id())
}

/// Sends a signal to a child. Only for one that is not reaped yet: until then its pid is its own.
pub(super) fn signal(pid: Pid, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid.0) {
        // One that has ended does not mind.
        let _ = kill(unistd::Pid::from_raw(pid), signal);
    }
}

fn status(how: WaitNow) -> ExitStatus {
    match how {
        WaitNow::Running => ExitStatus::Unknown,
        WaitNow::Exited(code) => ExitStatus::Code(code),
        WaitNow::Killed(number, core) => {
            spec::Signal::from_number(number).map_or(ExitStatus::Unknown, |signal| ExitStatus::Signal { signal, core })
        }
    }
}
