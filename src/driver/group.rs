//! Trees without cgroups: the leader's process group and session, and whoever carries the run's mark in its environment.
//! Weaker: what leaves both and drops its environment is lost sight of, and a fork can outrun a signal.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::{Pid, RunId};
use crate::spec::Signal;

use super::identity::{Identity, Stat};
use super::kin::{Judge, Look, known};
use super::reserve::Reserve;
use super::tell::{self, Roll};

/// One tree.
pub(super) struct Group {
    mark: String,
    leader: Option<Leader>,
}

/// Who leads a tree.
struct Leader {
    pid: Pid,
    /// Read when it could be; `None` when it was gone by then, so that only the mark tells. The pid is surely still its
    /// own: it is kept as a zombie for as long as its tree is looked at.
    identity: OnceLock<Option<Identity>>,
}

impl Leader {
    fn identity(&self) -> io::Result<Option<&Identity>> {
        if self.identity.get().is_none() {
            let read = match Identity::of(self.pid) {
                Ok(identity) => Some(identity),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
            let _ = self.identity.set(read);
        }
        Ok(self.identity.get().and_then(Option::as_ref))
    }
}

impl Group {
    pub(super) fn new(run: RunId) -> Group {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let us = std::process::id();
        let since = Identity::of(Pid(us)).map_or(0, |i| i.start_time);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Group { mark: format!("NEAP_RUN={run}.{us}.{since}.{number}"), leader: None }
    }

    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    pub(super) fn set_leader(&mut self, leader: Pid) {
        let leader = self.leader.insert(Leader { pid: leader, identity: OnceLock::new() });
        // What is short now is read when it is needed.
        let _ = leader.identity();
    }

    fn is_marked(&self, pid: Pid) -> io::Result<bool> {
        let environment = known(fs::read(format!("/proc/{pid}/environ")))?;
        Ok(environment.is_some_and(|e| e.split(|b| *b == 0).any(|variable| variable == self.mark.as_bytes())))
    }

    pub(super) fn contains(&self, pid: Pid) -> io::Result<bool> {
        Look::new(self)?.is_member(pid)
    }

    /// All members are stopped before they are killed, so that fewer forks slip through.
    pub(super) fn kill(&self, reserve: &Reserve) -> io::Result<()> {
        const STOP: i32 = nix::sys::signal::Signal::SIGSTOP as i32;
        if let Some(stop) = Signal::from_number(STOP) {
            let _ = tell::all(self, reserve, stop, |_| true);
        }
        tell::all(self, reserve, Signal::KILL, |_| true).map(drop)
    }

    pub(super) fn is_empty(&self) -> io::Result<bool> {
        self.members().map(|m| m.is_empty())
    }
}

impl Judge for Group {
    /// Whether a live process belongs to the tree. Its group and session count only while the leader's pid is taken by
    /// the leader, alive or kept as a zombie; its mark is looked for when its parents make that `possible`. What cannot be
    /// told is an error, never a no.
    fn holds(&self, pid: Pid, stat: &Stat, possible: bool) -> io::Result<bool> {
        let Some(leader) = &self.leader else { return Ok(false) };
        let identity = leader.identity()?;
        if stat.is_zombie() || identity.is_some_and(|leader| stat.start_time < leader.start_time) {
            return Ok(false);
        }
        let named = stat.group == leader.pid.0 || stat.session == leader.pid.0;
        if named
            && let Some(identity) = identity
            && identity.still_holds()?
        {
            return Ok(true);
        }
        Ok(possible && self.is_marked(pid)?)
    }
}

impl Roll for Group {
    fn members(&self) -> io::Result<Vec<Pid>> {
        let mut found = BTreeSet::new();
        let mut look = Look::new(self)?;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|n| n.parse().ok()).map(Pid) else { continue };
            if look.is_member(pid)? {
                found.insert(pid);
            }
        }
        Ok(found.into_iter().collect())
    }

    fn still(&self, pids: &[Pid]) -> io::Result<BTreeSet<Pid>> {
        let mut still = BTreeSet::new();
        let mut look = Look::new(self)?;
        for pid in pids {
            if look.is_member(*pid)? {
                still.insert(*pid);
            }
        }
        Ok(still)
    }
}
