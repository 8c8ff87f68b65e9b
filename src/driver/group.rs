//! Trees without cgroups: the leader's process group and session, and whoever carries the run's mark in its environment.
//! Weaker: what leaves both and drops its environment is lost sight of, and a fork can outrun a signal. Weaker still after
//! the supervisor's own death: the leader is no child of ours then, and once it is gone its pid pins nothing, so that only
//! the mark tells who belongs to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::core::Pid;
use crate::spec::Signal;

use super::identity::{Identity, Stat};
use super::instance::{Instance, Mark};
use super::kin::{Judge, Look, known};
use super::reserve::Reserve;
use super::tell::{self, Roll};

/// One tree. A copy looks at the same one, from another thread.
#[derive(Clone)]
pub(crate) struct Group {
    mark: String,
    leader: Option<Leader>,
    /// Whose children may have been somebody else's, and adopted.
    instance: Option<Arc<Instance>>,
    adopted: bool,
    /// A main process that left the leader's session, and may have dropped its mark.
    daemon: Option<Daemon>,
}

/// A main process that is known by itself, and those of its session by it.
#[derive(Clone)]
struct Daemon {
    identity: Identity,
    session: u32,
}

/// Who leads a tree.
#[derive(Clone)]
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
    /// A tree that nobody leads yet; its mark is in its members' environment.
    pub(super) fn new(mark: String, instance: Option<Arc<Instance>>) -> Group {
        Group { mark, leader: None, instance, adopted: false, daemon: None }
    }

    /// A tree that another supervisor made. Its leader is known by its identity, or not at all.
    pub(super) fn adopted(mark: String, instance: Arc<Instance>, leader: Option<Identity>) -> Group {
        let mut group = Group { mark, leader: None, instance: Some(instance), adopted: true, daemon: None };
        leader.into_iter().for_each(|leader| group.adopt_leader(leader));
        group
    }

    /// Tells who leads a tree that another supervisor made.
    pub(super) fn adopt_leader(&mut self, leader: Identity) {
        self.leader = Some(Leader { pid: leader.pid, identity: OnceLock::from(Some(leader)) });
    }

    /// Tells of a main process that need not be in the leader's session, and whose environment may say nothing.
    pub(super) fn set_daemon(&mut self, identity: Identity) {
        let session = |pid: Pid| Stat::of(pid).map(|stat| stat.session).ok();
        let ours = session(Pid(std::process::id()));
        // In ours there are others, too.
        let session = session(identity.pid).filter(|session| Some(*session) != ours).unwrap_or(identity.pid.0);
        self.daemon = Some(Daemon { identity, session });
    }

    /// Whether a process that carries no mark and is in no group or session of the tree's can be its daemon all the same:
    /// it is below us, no older than the leader, and carries no other mark.
    pub(super) fn could_be_daemon(&self, pid: Pid) -> io::Result<bool> {
        if !self.look()?.is_kin(pid)? {
            return Ok(false);
        }
        let Some(stat) = known(Stat::of(pid))? else { return Ok(false) };
        if self.leader_identity().is_none_or(|leader| stat.start_time < leader.start_time) {
            return Ok(false);
        }
        let environment = known(fs::read(format!("/proc/{pid}/environ")))?;
        Ok(environment.is_some_and(|e| !e.split(|b| *b == 0).any(|variable| variable.starts_with(b"NEAP_RUN="))))
    }

    fn is_of_daemon(&self, pid: Pid, stat: &Stat) -> io::Result<bool> {
        let Some(Daemon { identity, session }) = &self.daemon else { return Ok(false) };
        let named = pid == identity.pid || (stat.session == *session && stat.start_time >= identity.start_time);
        Ok(named && identity.still_holds()?)
    }

    /// What its members are known by in one look at all processes: the leader's pid, and that of the daemon with its session.
    #[cfg(feature = "telemetry")]
    pub(super) fn known_by(&self) -> (Option<Pid>, Option<(Pid, u32)>) {
        let daemon = self.daemon.as_ref().map(|daemon| (daemon.identity.pid, daemon.session));
        (self.leader.as_ref().map(|leader| leader.pid), daemon)
    }

    /// Who is given its orphans, beside us.
    #[cfg(feature = "telemetry")]
    pub(super) fn anchor(&self) -> Option<Pid> {
        self.instance.as_ref().and_then(|instance| instance.anchor())
    }

    /// Who leads it, if that was read.
    pub(super) fn leader_identity(&self) -> Option<&Identity> {
        self.leader.as_ref()?.identity.get()?.as_ref()
    }

    /// Whether its leader is our child, whose zombie keeps the group's number taken.
    pub(super) fn pins_leader(&self) -> bool {
        !self.adopted
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
        carries(pid, &self.mark)
    }

    pub(super) fn contains(&self, pid: Pid) -> io::Result<bool> {
        self.look()?.is_member(pid)
    }

    fn look(&self) -> io::Result<Look<'_, Group>> {
        Look::new(self, self.instance.as_ref().and_then(|instance| instance.anchor()))
    }

    /// All members are stopped before they are killed, so that fewer forks slip through.
    pub(super) fn kill(&self, reserve: &Reserve) -> io::Result<()> {
        const STOP: i32 = nix::sys::signal::Signal::SIGSTOP as i32;
        if let Some(stop) = Signal::from_number(STOP) {
            let _ = tell::all(self, reserve, stop, None, |_| true);
        }
        tell::all(self, reserve, Signal::KILL, None, |_| true).map(drop)
    }

    pub(super) fn is_empty(&self) -> io::Result<bool> {
        self.members().map(|m| m.is_empty())
    }
}

/// Whether this stands in a process's environment.
pub(super) fn carries(pid: Pid, variable: &str) -> io::Result<bool> {
    let environment = known(fs::read(format!("/proc/{pid}/environ")))?;
    Ok(environment.is_some_and(|e| e.split(|b| *b == 0).any(|found| found == variable.as_bytes())))
}

/// The marks that processes below us and below the anchor carry, as far as they are this instance's.
pub(super) fn marks(instance: &Instance) -> io::Result<BTreeMap<String, Mark>> {
    /// Knows no member: only who is whose child counts.
    struct Nobody;
    impl Judge for Nobody {
        fn holds(&self, _: Pid, _: &Stat, _: bool) -> io::Result<bool> {
            Ok(false)
        }
    }
    let mut found = BTreeMap::new();
    let mut look = Look::new(&Nobody, instance.anchor())?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse().ok()).map(Pid) else { continue };
        if !look.is_kin(pid)? {
            continue;
        }
        let Some(environment) = known(fs::read(format!("/proc/{pid}/environ")))? else { continue };
        let variables = environment.split(|b| *b == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
        found.extend(variables.filter_map(|v| instance.read_mark(v).map(|mark| (v.to_owned(), mark))));
    }
    Ok(found)
}

impl Judge for Group {
    /// Whether a live process belongs to the tree. Its group and session count only while the leader's pid is taken by
    /// the leader, alive or kept as a zombie; its mark is looked for when its parents make that `possible`. What cannot be
    /// told is an error, never a no.
    fn holds(&self, pid: Pid, stat: &Stat, possible: bool) -> io::Result<bool> {
        if self.daemon.is_some() && !stat.is_zombie() && self.is_of_daemon(pid, stat)? {
            return Ok(true);
        }
        let Some(leader) = &self.leader else {
            return Ok(self.adopted && possible && !stat.is_zombie() && self.is_marked(pid)?);
        };
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
        let mut look = self.look()?;
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
        let mut look = self.look()?;
        for pid in pids {
            if look.is_member(*pid)? {
                still.insert(*pid);
            }
        }
        Ok(still)
    }
}
