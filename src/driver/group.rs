//! Trees without cgroups: the leader's process group and session, and whoever carries the run's mark in its environment.
//! Weaker: what leaves both and drops its environment is lost sight of, and a fork can outrun a signal.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::{Pid, RunId};
use crate::spec::Signal;

use super::identity::{Identity, Stat};
use super::reserve::Reserve;
use super::tell::{self, Roll};

/// One tree.
pub(super) struct Group {
    mark: String,
    leader: Option<Identity>,
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
        self.leader = Identity::of(leader).ok();
    }

    /// Whether a live process belongs to the tree. Its group and session count only while the leader's pid is taken by
    /// the leader, alive or kept as a zombie.
    fn holds(&self, pid: Pid, stat: &Stat) -> bool {
        let Some(leader) = &self.leader else { return false };
        if stat.is_zombie() || stat.start_time < leader.start_time {
            return false;
        }
        let named = stat.group == leader.pid.0 || stat.session == leader.pid.0;
        (named && leader.holds()) || self.is_marked(pid)
    }

    fn is_marked(&self, pid: Pid) -> bool {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|b| *b == 0).any(|variable| variable == self.mark.as_bytes()))
    }

    pub(super) fn contains(&self, pid: Pid) -> io::Result<bool> {
        Ok(Stat::of(pid).is_ok_and(|stat| self.holds(pid, &stat)))
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

impl Roll for Group {
    fn members(&self) -> io::Result<Vec<Pid>> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|n| n.parse().ok()).map(Pid) else { continue };
            if Stat::of(pid).is_ok_and(|stat| self.holds(pid, &stat)) {
                found.insert(pid);
            }
        }
        Ok(found.into_iter().collect())
    }

    fn still(&self, pids: &[Pid]) -> io::Result<BTreeSet<Pid>> {
        let mut still = BTreeSet::new();
        for pid in pids {
            if self.contains(*pid)? {
                still.insert(*pid);
            }
        }
        Ok(still)
    }
}
