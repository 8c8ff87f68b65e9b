//! Trees: all that a run started, and nothing else.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::core::{Pid, RunId, SpawnError};
use crate::spec::Signal;

/// What holds trees together here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// A cgroup (v2) each: nothing leaves it, it is killed as one.
    Cgroup,
    /// The leader's process group and session, and what carries the run's mark in its environment: a process that drops
    /// all three is lost sight of.
    Group,
}

/// Where trees are made: one an engine.
pub struct Trees {}

impl Trees {
    /// Makes the instance's folder below our own cgroup, or finds out why there can be none.
    pub fn new() -> Trees {
        Trees {}
    }

    /// Process groups, without looking for better; for tests and for hosts that ask for it.
    pub fn groups(reason: &str) -> Trees {
        let _ = reason;
        Trees {}
    }

    /// What holds trees together here.
    pub fn kind(&self) -> TreeKind {
        TreeKind::Group
    }

    /// Why there are no cgroups, in words for `status`; empty when there are.
    pub fn reason(&self) -> &str {
        ""
    }

    /// Makes the tree of a run. Cheap, but a few syscalls: may be called from any thread.
    ///
    /// # Errors
    /// `SpawnStep::Tree`, with the folder at fault.
    pub fn create(&self, process: &str, run: RunId) -> Result<Tree, SpawnError> {
        let _ = (process, run);
        unimplemented!("filled in next")
    }

    /// Becomes readable when a watched tree may have become empty: add it to the engine's epoll. `None` without cgroups.
    /// The notice is late by up to 10 ms: also ask [`Tree::is_empty`] after each exit.
    pub fn notices(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes the pending notices: the runs to look at again.
    pub fn read_notices(&self) -> Vec<RunId> {
        Vec::new()
    }
}

impl Default for Trees {
    fn default() -> Self {
        Trees::new()
    }
}

/// All that one run started.
pub struct Tree {}

impl Tree {
    /// What holds it together.
    pub fn kind(&self) -> TreeKind {
        TreeKind::Group
    }

    /// The cgroup's folder for [`Launch::cgroup`](super::spawn::Launch::cgroup); `None` without cgroups. Held by the
    /// launch alone: a descriptor a run would be one too many.
    pub fn cgroup(&self) -> io::Result<Option<Arc<OwnedFd>>> {
        Ok(None)
    }

    /// A variable that must be in the child's environment, `NEAP_RUN=…`; `None` when nothing depends on it.
    pub fn mark(&self) -> Option<&str> {
        None
    }

    /// Tells who leads it, directly after the launch.
    pub fn set_leader(&mut self, leader: Pid) {
        let _ = leader;
    }

    /// Whether the leader must stay a zombie ([`exit::peek`](super::exit::peek) instead of `reap`) until the tree is
    /// empty, because its pid names the group.
    pub fn pins_leader(&self) -> bool {
        false
    }

    /// Its live members, zombies left out, in order of their pids.
    pub fn members(&self) -> io::Result<Vec<Pid>> {
        Ok(Vec::new())
    }

    /// Its live members with a pidfd each, proved to be members while it was open. Watch them to learn of the tree's end.
    pub fn open_members(&self) -> io::Result<Vec<(Pid, OwnedFd)>> {
        Ok(Vec::new())
    }

    /// Whether this pid is a live member.
    pub fn contains(&self, pid: Pid) -> io::Result<bool> {
        let _ = pid;
        Ok(false)
    }

    /// Sends a signal to every member, also to those that appear meanwhile. Returns how many got it.
    pub fn signal_all(&self, signal: Signal) -> io::Result<usize> {
        let _ = signal;
        Ok(0)
    }

    /// Sends a signal to those members that are in the leader's process group.
    pub fn signal_group(&self, signal: Signal) -> io::Result<usize> {
        let _ = signal;
        Ok(0)
    }

    /// SIGKILL to all of it. Repeat until [`is_empty`](Tree::is_empty): without cgroups a fork may slip through.
    pub fn kill(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether nothing of it lives.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Has [`Trees::notices`] tell when it may have become empty. Only worth it once the leader ended and others are left.
    pub fn watch(&self) -> io::Result<()> {
        Ok(())
    }

    /// Gives back its folder. Also done, as well as it goes, when it is dropped.
    ///
    /// # Errors
    /// Something still lives in it.
    pub fn remove(self) -> io::Result<()> {
        Ok(())
    }
}
