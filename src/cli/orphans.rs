//! What supervised processes leave behind becomes ours: it is reaped here, so that no zombie stays.
//!
//! The kernel gives an orphan to the first thread of its reaper, which is the main one; the engine's own children belong
//! to the engine's thread. A wait of this thread alone therefore sees orphans and nothing else, and takes no exit status
//! away from the engine.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::exit::Failure;

/// Makes this process the parent of what its children orphan, so that nothing that they started gets out of reach.
pub(super) fn adopt() -> Result<(), Failure> {
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|errno| Failure::new(format!("cannot become the reaper of orphaned processes: {errno}")))
}

/// Reaps those that have ended. On the main thread.
pub(super) fn reap() {
    let ours_alone = WaitPidFlag::WNOHANG | WaitPidFlag::__WNOTHREAD;
    while matches!(waitpid(None, Some(ours_alone)), Ok(status) if status != WaitStatus::StillAlive) {}
}
