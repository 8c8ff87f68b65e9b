//! Which processes can be of a tree, going by their parents: only those are looked at more closely. Whoever owns a process
//! can have a read of its environment wait for ever, so that of a stranger is never read.

use std::collections::{BTreeSet, HashMap};
use std::io;

use nix::errno::Errno;

use crate::core::Pid;

use super::identity::Stat;

/// How often a look is repeated because parents ended meanwhile.
const ATTEMPTS: usize = 4;

/// What a process is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Of the tree.
    Member,
    /// Below us or below a member.
    Kin,
    /// None of ours.
    Stranger,
}

/// What stands above a process of which nothing else is known.
#[derive(Clone, Copy)]
enum Above {
    Known(Standing),
    /// Somebody who is given orphans, ours perhaps.
    Reaper,
}

/// A process and those above it.
type Line = Vec<(Pid, Stat)>;

/// Who knows the members of a tree.
pub(super) trait Judge {
    /// Whether a process is a live member; told whether its parents make that `possible` beyond its group and session.
    fn holds(&self, pid: Pid, stat: &Stat, possible: bool) -> io::Result<bool>;
}

/// One look at the processes; what it found stays as it was found.
pub(super) struct Look<'a, J> {
    /// Us, and who is given our children when we die.
    roots: BTreeSet<Pid>,
    reapers: BTreeSet<Pid>,
    judge: &'a J,
    seen: HashMap<Pid, Standing>,
}

impl<'a, J: Judge> Look<'a, J> {
    /// `anchor` is who was given the children of a supervisor before us, and all that they orphaned.
    pub(super) fn new(judge: &'a J, anchor: Option<Pid>) -> io::Result<Self> {
        let us = Pid(std::process::id());
        let (roots, reapers) = match anchor {
            Some(anchor) => (BTreeSet::from([us, anchor]), BTreeSet::new()),
            None => (BTreeSet::from([us]), reapers(us)?),
        };
        Ok(Look { roots, reapers, judge, seen: HashMap::new() })
    }

    /// Whether nothing that stands above it makes it a stranger.
    pub(super) fn is_kin(&mut self, pid: Pid) -> io::Result<bool> {
        let member = self.is_member(pid)?;
        Ok(member || self.seen.get(&pid) == Some(&Standing::Kin))
    }

    /// Whether it is a live member.
    pub(super) fn is_member(&mut self, pid: Pid) -> io::Result<bool> {
        for _ in 0..ATTEMPTS {
            if let Some((above, line)) = self.line(pid)? {
                return self.settle(above, &line).map(|standing| standing == Standing::Member);
            }
            // A parent ended before it was looked at: its children have another now.
            self.seen.clear();
        }
        // Better one read too many than a member that is not seen.
        known(Stat::of(pid))?.map_or(Ok(false), |stat| self.judge.holds(pid, &stat, true))
    }

    /// The process and those above it, up to one that is known; `None` when the line is broken.
    fn line(&self, pid: Pid) -> io::Result<Option<(Above, Line)>> {
        let mut line = Line::new();
        let mut at = pid;
        loop {
            if let Some(standing) = self.seen.get(&at) {
                return Ok(Some((Above::Known(*standing), line)));
            }
            let Some(stat) = known(Stat::of(at))? else {
                return Ok(line.is_empty().then_some((Above::Known(Standing::Stranger), line)));
            };
            // Nobody is younger than its child: this one was given the pid after the parent had ended.
            if line.last().is_some_and(|(_, child)| child.start_time < stat.start_time) {
                return Ok(None);
            }
            line.push((at, stat));
            match stat.parent {
                parent if self.roots.contains(&parent) => return Ok(Some((Above::Known(Standing::Kin), line))),
                parent if self.reapers.contains(&parent) => return Ok(Some((Above::Reaper, line))),
                Pid(0) => return Ok(Some((Above::Known(Standing::Stranger), line))),
                parent => at = parent,
            }
        }
    }

    /// Works out what each one of a line is, from the top.
    fn settle(&mut self, mut above: Above, line: &[(Pid, Stat)]) -> io::Result<Standing> {
        for (pid, stat) in line.iter().rev() {
            let possible = !matches!(above, Above::Known(Standing::Stranger));
            let standing = match above {
                _ if self.judge.holds(*pid, stat, possible)? => Standing::Member,
                Above::Known(Standing::Member | Standing::Kin) => Standing::Kin,
                Above::Known(Standing::Stranger) | Above::Reaper => Standing::Stranger,
            };
            self.seen.insert(*pid, standing);
            above = Above::Known(standing);
        }
        match above {
            Above::Known(standing) => Ok(standing),
            Above::Reaper => Ok(Standing::Stranger),
        }
    }
}

/// Who may have been given what our children orphaned: the first process, and whoever above us asked for it. Nobody, where
/// that is us.
fn reapers(us: Pid) -> io::Result<BTreeSet<Pid>> {
    if us == Pid(1) || nix::sys::prctl::get_child_subreaper() == Ok(true) {
        return Ok(BTreeSet::new());
    }
    let mut above = BTreeSet::from([Pid(1)]);
    let mut at = us;
    while let Some(stat) = known(Stat::of(at))? {
        if stat.parent == Pid(0) || (!above.insert(stat.parent) && stat.parent != Pid(1)) {
            break;
        }
        at = stat.parent;
    }
    Ok(above)
}

/// What was read of a process; `None` when it is gone, or hidden from us. That there was no means to read is an error.
pub(super) fn known<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(e) => match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => Err(e),
            _ => Ok(None),
        },
    }
}
