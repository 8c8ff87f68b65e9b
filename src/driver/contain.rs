//! Trees: all that a run started, and nothing else.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::{Pid, RunId, SpawnError, SpawnStep};
use crate::spec::{Limits, Signal, Spec};

use super::cgroup::{Base, Leaf, Limited, Limiter};
use super::enforce::{LimitState, Who};
use super::group::{self, Group};
use super::identity::Identity;
use super::instance::Instance;
use super::reserve::Reserve;
use super::tell::{self, Roll};
use super::usage::Gauge;

use super::{failure, sys};

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
pub struct Trees {
    base: Result<Arc<Base>, String>,
    limiter: Arc<Limiter>,
    reserve: Arc<Reserve>,
    instance: Option<Arc<Instance>>,
}

/// A tree that a supervisor before us made.
pub(super) struct FoundTree {
    /// The run it was made for.
    pub run: RunId,
    /// Whether it was made for one of that run's hooks or probes.
    pub of_job: bool,
    /// Whether the run's number means anything: not when it is from a ledger that was lost.
    pub current: bool,
    pub tree: Tree,
}

impl Trees {
    /// Makes the instance's folder below our own cgroup, or finds out why there can be none.
    pub fn new() -> Trees {
        Trees::made(Base::new(), None, None)
    }

    /// Process groups, without looking for better; for tests and for hosts that ask for it. `reason` is what `status`
    /// says.
    pub fn groups(reason: &str) -> Trees {
        Trees { limiter: Arc::new(Limiter::none(reason)), ..Trees::made(Err(reason.to_owned()), None, None) }
    }

    /// Those of an instance that outlives its supervisors: with names that stay, so that the next one finds them. `refused`
    /// says why they are to be process groups although there may be cgroups.
    pub(super) fn for_instance(name: &str, instance: Arc<Instance>, refused: Option<&str>) -> Trees {
        match refused {
            Some(reason) => Trees { instance: Some(instance), ..Trees::groups(reason) },
            None => Trees::made(Base::of_instance(name), Some(name), Some(instance)),
        }
    }

    fn made(base: Result<Base, String>, name: Option<&str>, instance: Option<Arc<Instance>>) -> Trees {
        let base = base.map(Arc::new);
        let limiter = Arc::new(Limiter::new(base.as_ref().map_err(String::as_str), name));
        Trees { base, limiter, reserve: Arc::new(Reserve::new()), instance }
    }

    /// What supervisors before us left. Of an instance alone, and before anything else is made.
    pub(super) fn found(&self) -> io::Result<Vec<FoundTree>> {
        let Some(instance) = &self.instance else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        if let Ok(base) = &self.base {
            for leaf in base.found()? {
                let (run, of_job) = (leaf.run, leaf.of_job);
                let tree = self.tree(Members::Cgroup(base.adopt(leaf)?));
                found.push(FoundTree { run, of_job, current: true, tree });
            }
        } else {
            for (mark, said) in group::marks(instance)? {
                let tree = self.tree(Members::Group(Group::adopted(mark, instance.clone(), None)));
                found.push(FoundTree { run: said.run, of_job: said.of_job, current: said.current, tree });
            }
        }
        Ok(found)
    }

    /// The tree of a run that was adopted; `found` is what was found of it.
    pub(super) fn adopt(
        &self,
        (spec, run): (&Spec, RunId),
        found: Option<Tree>,
        leader: Option<Identity>,
    ) -> Option<Tree> {
        let pid = leader.as_ref().map(|leader| leader.pid);
        let mut tree = match (found, &self.instance) {
            (Some(tree), _) if tree.kind() == TreeKind::Cgroup => tree,
            (_, Some(instance)) => {
                self.tree(Members::Group(Group::adopted(instance.run_mark(run), instance.clone(), leader)))
            }
            (found, None) => found?,
        };
        tree.leader = pid;
        tree.limited = self.limiter.adopt((&spec.name, run), tree.members.leaf(), &spec.limits);
        Some(tree)
    }

    /// Who was given the children of the supervisor before us.
    pub(super) fn anchor(&self) -> Option<Pid> {
        self.instance.as_ref()?.anchor()
    }

    /// Who was given our children is gone.
    pub(super) fn anchor_is_gone(&self) {
        if let Some(instance) = &self.instance {
            instance.anchor_is_gone();
        }
    }

    /// Whether a process of one of our runs executed its program: until then its environment is still ours.
    pub(super) fn was_executed(&self, run: RunId, pid: Pid) -> io::Result<bool> {
        self.instance.as_ref().map_or(Ok(false), |instance| group::carries(pid, &instance.run_mark(run)))
    }

    /// Removes no folder any more: somebody else goes on with them.
    pub(super) fn leave(&self) {
        self.limiter.leave();
        if let Ok(base) = &self.base {
            base.leave();
        }
    }

    /// Everything that was left by a supervisor before us has been adopted.
    pub(super) fn adopted_all(&self) {
        self.limiter.forget_found();
    }

    /// Who sees to each limit here, of a process that runs as another user than root and than ours.
    pub fn limits(&self) -> Vec<LimitState> {
        let mut limits = self.limiter.report();
        limits.iter_mut().for_each(|state| state.fall_back(Who::Another));
        limits
    }

    /// Who limits trees here.
    pub(super) fn limiter(&self) -> &Arc<Limiter> {
        &self.limiter
    }

    fn tree(&self, members: Members) -> Tree {
        Tree { members, leader: None, reserve: self.reserve.clone(), mark: None, limited: Limited::default() }
    }

    /// What holds trees together here.
    pub fn kind(&self) -> TreeKind {
        if self.base.is_ok() { TreeKind::Cgroup } else { TreeKind::Group }
    }

    /// Why there are no cgroups, in words for `status`; empty when there are.
    pub fn reason(&self) -> &str {
        self.base.as_ref().err().map_or("", String::as_str)
    }

    /// Makes the tree of a run, or of one of its hooks. Cheap, but a few syscalls: may be called from any thread.
    ///
    /// # Errors
    /// `SpawnStep::Tree`, with what the kernel refused.
    pub fn create(&self, process: &str, run: RunId) -> Result<Tree, SpawnError> {
        self.create_limited(process, run, &Limits::default())
    }

    /// As [`create`](Trees::create), with limits, as far as they can be had: see [`Tree::limits`].
    ///
    /// # Errors
    /// As there.
    pub fn create_limited(&self, process: &str, run: RunId, limits: &Limits) -> Result<Tree, SpawnError> {
        let members = match &self.base {
            Ok(base) => Members::Cgroup(base.create(process, run).map_err(|e| SpawnError {
                step: SpawnStep::Tree,
                errno: e.raw_os_error(),
                message: format!("cannot make a cgroup for `{process}`: {}", failure::in_words(e.raw_os_error())),
            })?),
            Err(_) => Members::Group(Group::new(self.mark(process, run), self.instance.clone())),
        };
        let limited = self.limiter.begin((process, run), members.leaf(), limits).map_err(|e| SpawnError {
            step: SpawnStep::Limits,
            errno: e.raw_os_error(),
            message: format!("cannot limit `{process}`: {}", failure::in_words(e.raw_os_error())),
        })?;
        let kept = self.instance.is_some() && matches!(members, Members::Cgroup(_));
        Ok(Tree { mark: kept.then(|| self.mark(process, run)), limited, ..self.tree(members) })
    }

    /// What is in the environment of all that a run, or one of its hooks, starts.
    fn mark(&self, process: &str, run: RunId) -> String {
        match &self.instance {
            // A plus sign is in no process's name.
            Some(instance) if process.contains('+') => instance.job_mark(run),
            Some(instance) => instance.run_mark(run),
            None => passing_mark(run),
        }
    }

    /// Becomes readable when a watched tree may have become empty: add it to the engine's epoll. `None` without cgroups.
    /// The notice is late by up to 10 ms and more: also ask [`Tree::is_empty`] after each exit.
    pub fn notices(&self) -> Option<BorrowedFd<'_>> {
        self.base.as_ref().ok().map(|base| base.notices())
    }

    /// Takes the pending notices: the runs to look at again.
    pub fn read_notices(&self) -> Vec<RunId> {
        self.base.as_ref().map_or_else(|_| Vec::new(), |base| base.read_notices())
    }
}

impl Default for Trees {
    fn default() -> Self {
        Trees::new()
    }
}

enum Members {
    Cgroup(Leaf),
    Group(Group),
}

impl Members {
    fn leaf(&self) -> Option<&Leaf> {
        match self {
            Members::Cgroup(leaf) => Some(leaf),
            Members::Group(_) => None,
        }
    }
}

/// A mark that nothing else has, now or later.
fn passing_mark(run: RunId) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let us = std::process::id();
    let since = Identity::of(Pid(us)).map_or(0, |i| i.start_time);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("NEAP_RUN={run}.{us}.{since}.{number}")
}

/// All that one run started.
pub struct Tree {
    members: Members,
    leader: Option<Pid>,
    reserve: Arc<Reserve>,
    /// The mark of a tree that does not depend on it, for who comes after us.
    mark: Option<String>,
    limited: Limited,
}

impl Tree {
    /// What holds it together.
    pub fn kind(&self) -> TreeKind {
        match self.members {
            Members::Cgroup(_) => TreeKind::Cgroup,
            Members::Group(_) => TreeKind::Group,
        }
    }

    /// The cgroup's folder for [`Launch::cgroup`](super::spawn::Launch::cgroup); `None` without cgroups. Held by the
    /// launch alone: a descriptor a run would be one too many.
    pub fn cgroup(&self) -> io::Result<Option<Arc<OwnedFd>>> {
        match &self.members {
            Members::Cgroup(leaf) => leaf.open().map(|fd| Some(Arc::new(fd))),
            Members::Group(_) => Ok(None),
        }
    }

    /// Where the child has to enter by itself, for [`Launch::doors`](super::spawn::Launch::doors).
    pub fn doors(&self) -> io::Result<Vec<Arc<OwnedFd>>> {
        self.limited.doors()
    }

    /// What became of its limits.
    pub fn limits(&self) -> &[LimitState] {
        &self.limited.states
    }

    /// What is known of its limits, to be changed.
    pub(super) fn limited(&self) -> &Limited {
        &self.limited
    }

    /// Tells what became of its limits since.
    pub(super) fn set_limited(&mut self, limited: Limited) {
        self.limited = limited;
    }

    /// Tells which limits its processes have by themselves.
    pub(super) fn set_limits(&mut self, states: Vec<LimitState>) {
        self.limited.states = states;
    }

    /// A variable that must be in the child's environment, `NEAP_RUN=…`; `None` when nothing will ever depend on it.
    pub fn mark(&self) -> Option<&str> {
        match &self.members {
            Members::Cgroup(_) => self.mark.as_deref(),
            Members::Group(group) => Some(group.mark()),
        }
    }

    /// Tells who leads it, directly after the launch: before the child can have been reaped.
    pub fn set_leader(&mut self, leader: Pid) {
        self.leader = Some(leader);
        if let Members::Group(group) = &mut self.members {
            group.set_leader(leader);
        }
    }

    /// Tells who leads a tree that another supervisor made.
    pub(super) fn adopt_leader(&mut self, leader: Identity) {
        self.leader = Some(leader.pid);
        if let Members::Group(group) = &mut self.members {
            group.adopt_leader(leader);
        }
    }

    /// Tells of a main process that belongs to the tree whatever its session and environment say.
    pub(super) fn set_daemon(&mut self, identity: Identity) {
        if let Members::Group(group) = &mut self.members {
            group.set_daemon(identity);
        }
    }

    /// Whether a process that is not known to be of the tree can be its daemon all the same. Of a cgroup it cannot: nothing
    /// leaves one.
    pub(super) fn could_be_daemon(&self, pid: Pid) -> bool {
        match &self.members {
            Members::Cgroup(_) => false,
            Members::Group(group) => self.reserve.lend(|| group.could_be_daemon(pid)).unwrap_or(false),
        }
    }

    /// Tells whose group is its leader's, where nobody wrote that down.
    pub(super) fn lead_by_default(&mut self, leader: Pid) {
        self.leader.get_or_insert(leader);
    }

    /// Who leads it, where belonging to it depends on that.
    pub(super) fn leader_identity(&self) -> Option<&Identity> {
        match &self.members {
            Members::Cgroup(_) => None,
            Members::Group(group) => group.leader_identity(),
        }
    }

    /// Whether the leader must stay a zombie ([`exit::peek`](super::exit::peek) instead of `reap`) until the tree is
    /// empty, because its pid names the group.
    pub fn pins_leader(&self) -> bool {
        matches!(&self.members, Members::Group(group) if group.pins_leader())
    }

    /// Its live members, zombies left out, in order of their pids. Without cgroups this reads all of /proc.
    pub fn members(&self) -> io::Result<Vec<Pid>> {
        self.reserve.lend(|| match &self.members {
            Members::Cgroup(leaf) => leaf.members(),
            Members::Group(group) => group.members(),
        })
    }

    /// Its live members with a pidfd each, proved to be members while it was open. Watch them to learn of the tree's end.
    pub fn open_members(&self) -> io::Result<Vec<(Pid, OwnedFd)>> {
        match &self.members {
            Members::Cgroup(leaf) => tell::open(leaf, &leaf.members()?),
            Members::Group(group) => tell::open(group, &group.members()?),
        }
    }

    /// Whether this pid is a live member now. To act on it, open its pidfd first and ask then.
    pub fn contains(&self, pid: Pid) -> io::Result<bool> {
        self.reserve.lend(|| match &self.members {
            Members::Cgroup(leaf) => leaf.contains(pid),
            Members::Group(group) => group.contains(pid),
        })
    }

    /// Sends a signal to every member, also to those that appear meanwhile. Returns how many got it. Two descriptors are
    /// kept for it: it also works when no other can be had.
    ///
    /// # Errors
    /// Somebody was missed after all others were told, or all refused it; and why.
    pub fn signal_all(&self, signal: Signal) -> io::Result<usize> {
        self.signal(signal, |_| true)
    }

    /// Sends a signal to those members that are in the leader's process group; else as [`Tree::signal_all`].
    ///
    /// # Errors
    /// As there.
    pub fn signal_group(&self, signal: Signal) -> io::Result<usize> {
        self.signal(signal, |pid| self.leader.is_some_and(|l| sys::process_group(pid.0).is_ok_and(|g| g == l.0)))
    }

    fn signal(&self, signal: Signal, wanted: impl Fn(Pid) -> bool) -> io::Result<usize> {
        match &self.members {
            Members::Cgroup(leaf) => tell::all(leaf, &self.reserve, signal, self.leader, wanted),
            Members::Group(group) => tell::all(group, &self.reserve, signal, self.leader, wanted),
        }
    }

    /// SIGKILL to all of it. Repeat until [`is_empty`](Tree::is_empty): without cgroups a fork may slip through.
    pub fn kill(&self) -> io::Result<()> {
        match &self.members {
            Members::Cgroup(leaf) => leaf.kill(&self.reserve),
            Members::Group(group) => group.kill(&self.reserve),
        }
    }

    /// Whether nothing of it lives.
    ///
    /// # Errors
    /// It cannot be told; that never reads as empty.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.reserve.lend(|| match &self.members {
            Members::Cgroup(leaf) => leaf.is_empty(),
            Members::Group(group) => group.is_empty(),
        })
    }

    /// Has [`Trees::notices`] tell when it may have become empty. Only worth it once the leader ended and others are left;
    /// ask [`is_empty`](Tree::is_empty) afterwards, for what happened before. Without cgroups nothing tells.
    pub fn watch(&self) -> io::Result<()> {
        match &self.members {
            Members::Cgroup(leaf) => leaf.watch(),
            Members::Group(_) => Ok(()),
        }
    }

    /// Where its figures can be read, by others than the engine.
    pub(super) fn gauge(&self) -> Gauge {
        let gauge = match &self.members {
            Members::Cgroup(leaf) => Gauge::Cgroup(leaf.path()),
            Members::Group(group) => Gauge::Group(Box::new(group.clone())),
        };
        let cages = self.limited.cages();
        if cages.is_empty() { gauge } else { Gauge::Limited(Box::new(gauge), cages) }
    }

    /// Gives back its folder. Also done, as well as it goes, when it is dropped: a folder that is still busy then is
    /// tried again later.
    ///
    /// # Errors
    /// Something still lives in it.
    pub fn remove(self) -> io::Result<()> {
        match self.members {
            Members::Cgroup(leaf) => leaf.remove(),
            Members::Group(_) => Ok(()),
        }
    }
}
