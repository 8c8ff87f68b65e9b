//! Which limit is seen to where, and those of one tree.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::controller::Controller;
use super::files::{self, Version};
use super::names::folder;
use super::tree::{Base, Leaf};
use super::version1::{Cage, Version1};
use crate::core::{Pid, RunId};
use crate::driver::enforce::{Enforcer, Limit, LimitState};
use crate::driver::reserve::is_scarce;
use crate::spec::Limits;

/// How often processes that appeared meanwhile are brought into a new cage.
const PASSES: usize = 16;

/// Where trees are limited: one an engine.
pub(in crate::driver) struct Limiter {
    base: Option<Arc<Base>>,
    /// Readable when a cgroup of version 1 ran out of memory; made when there is the first.
    out_of_memory: OnceLock<EventFd>,
    /// Why version 2 is out of the question, when it is.
    reason: String,
    version1: Option<Version1>,
}

/// The limits of one tree, as far as cgroups see to them.
#[derive(Clone, Default)]
pub(in crate::driver) struct Limited {
    /// What became of each limit of the spec.
    pub(in crate::driver) states: Vec<LimitState>,
    /// The tree's own folder, where that is a cgroup.
    leaf: Option<PathBuf>,
    cages: Vec<Cage>,
    /// What its folders are called.
    name: String,
}

impl Limiter {
    /// For trees of an instance, or of a supervisor that nobody comes after; `base` is why there is no version 2 if there is
    /// none.
    pub(in crate::driver) fn new(base: Result<&Arc<Base>, &str>, instance: Option<&str>) -> Limiter {
        let version1 = Some(instance.map_or_else(Version1::fresh, Version1::of_instance));
        let reason = base.err().unwrap_or_default().to_owned();
        Limiter { base: base.ok().cloned(), out_of_memory: OnceLock::new(), reason, version1 }
    }

    /// Without cgroups, for this reason.
    pub(in crate::driver) fn none(reason: &str) -> Limiter {
        Limiter { base: None, out_of_memory: OnceLock::new(), reason: reason.to_owned(), version1: None }
    }

    /// What this host could do for each limit. Changes nothing.
    pub(in crate::driver) fn report(&self) -> Vec<LimitState> {
        let of = |limit: Limit| {
            let (enforcer, why) = self
                .version2(files::controller(limit), false)
                .map_or_else(|why| self.report_version1(limit, why), |()| (Enforcer::Cgroup2, String::new()));
            LimitState { limit, value: None, enforcer, why }
        };
        Limit::ALL.into_iter().map(of).collect()
    }

    fn report_version1(&self, limit: Limit, why: String) -> (Enforcer, String) {
        let Some(version1) = &self.version1 else { return (Enforcer::None, why) };
        match (version1.has(files::controller(limit)), files::weaker(Version::One, limit)) {
            (Ok(()), Ok(weaker)) => (Enforcer::Cgroup1, weaker.to_owned()),
            (Ok(()), Err(never)) => (Enforcer::None, never.to_owned()),
            (Err(also), _) => (Enforcer::None, format!("{why}; {also}")),
        }
    }

    /// Whether trees have this controller of version 2, `made` so where it can be.
    fn version2(&self, controller: Controller, made: bool) -> Result<(), String> {
        match &self.base {
            Some(base) if made => base.enable(controller),
            Some(base) => base.could_enable(controller),
            None => Err(self.reason.clone()),
        }
    }

    /// Puts a new tree's limits in place, before there is anybody in it.
    ///
    /// # Errors
    /// Something is short that may come back. What the kernel refuses for good is told in the states.
    pub(in crate::driver) fn begin(
        &self,
        (process, run): (&str, RunId),
        leaf: Option<&Leaf>,
        limits: &Limits,
    ) -> io::Result<Limited> {
        let mut limited = Limited::named(process, run, leaf);
        for limit in Limit::ALL {
            if let Some(value) = limit.of(limits) {
                let state = self.put(&mut limited, limit, value)?;
                limited.states.push(state);
            }
        }
        Ok(limited)
    }

    /// A tree that another supervisor made, with the limits that are on it.
    pub(in crate::driver) fn adopt(
        &self,
        (process, run): (&str, RunId),
        leaf: Option<&Leaf>,
        limits: &Limits,
    ) -> Limited {
        let mut limited = Limited::named(process, run, leaf);
        limited.cages = self.version1.as_ref().map(|version1| version1.claim(run)).unwrap_or_default();
        for limit in Limit::ALL {
            let Some(value) = limit.of(limits) else { continue };
            let controller = files::controller(limit);
            let weaker = files::weaker(Version::One, limit);
            let (enforcer, why) = match (limited.cage(controller).is_some(), weaker) {
                (true, Ok(weaker)) => (Enforcer::Cgroup1, weaker.to_owned()),
                (true, Err(never)) => (Enforcer::None, never.to_owned()),
                _ => match (&limited.leaf, self.version2(controller, false)) {
                    (Some(leaf), Ok(())) if files::is_set(leaf, limit, value) => (Enforcer::Cgroup2, String::new()),
                    (Some(_), Ok(())) => {
                        limited.states.push(LimitState::without(limit, value));
                        continue;
                    }
                    (_, version2) => (Enforcer::None, version2.err().unwrap_or_default()),
                },
            };
            limited.states.push(LimitState { limit, value: Some(value), enforcer, why });
        }
        limited
    }

    /// Everything that was left by a supervisor before us has been claimed.
    pub(in crate::driver) fn forget_found(&self) {
        if let Some(version1) = &self.version1 {
            version1.forget_found();
        }
    }

    /// Removes nothing from now on: somebody else goes on with it.
    pub(in crate::driver) fn leave(&self) {
        if let Some(version1) = &self.version1 {
            version1.leave();
        }
    }

    /// Has the kernel tell when a run's limits bite, where it does: the end of a run tells, too.
    pub(in crate::driver) fn watch(&self, run: RunId, limited: &Limited) {
        for state in &limited.states {
            let place = limited.place(files::controller(state.limit));
            // One that cannot be watched is not missed.
            let _ = match (state.limit, place) {
                (Limit::Memory, Some((_, Version::One))) => self.watch_memory(limited),
                (Limit::Memory, Some((path, Version::Two))) => self.watch_file(&path.join("memory.events"), run),
                (Limit::Pids, Some((path, _))) => self.watch_file(&path.join("pids.events"), run),
                _ => Ok(()),
            };
        }
    }

    fn watch_file(&self, path: &Path, run: RunId) -> io::Result<()> {
        self.base.as_ref().map_or(Ok(()), |base| base.watch_file(path, run))
    }

    fn watch_memory(&self, limited: &Limited) -> io::Result<()> {
        if self.out_of_memory.get().is_none() {
            let made = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
            let _ = self.out_of_memory.set(made);
        }
        match (self.out_of_memory.get(), limited.cage(Controller::Memory)) {
            (Some(told), Some(cage)) => cage.tell(told.as_fd()),
            _ => Ok(()),
        }
    }

    /// Readable when some cgroup of version 1 ran out of memory, shortly before somebody is killed for it.
    pub(in crate::driver) fn out_of_memory(&self) -> Option<BorrowedFd<'_>> {
        self.out_of_memory.get().map(|told| told.as_fd())
    }

    /// Takes that notice.
    pub(in crate::driver) fn quiet(&self) {
        let _ = self.out_of_memory.get().map(EventFd::read);
    }

    fn put(&self, limited: &mut Limited, limit: Limit, value: u64) -> io::Result<LimitState> {
        let controller = files::controller(limit);
        let state = |enforcer, why: String| LimitState { limit, value: Some(value), enforcer, why };
        let reason = match (&limited.leaf, self.version2(controller, true)) {
            (Some(leaf), Ok(())) => match files::set(leaf, Version::Two, limit, Some(value)) {
                Ok(()) => return Ok(state(Enforcer::Cgroup2, String::new())),
                Err(e) if is_scarce(&e) => return Err(e),
                Err(e) => return Ok(state(Enforcer::None, e.to_string())),
            },
            (None, _) => self.reason.clone(),
            (_, Err(why)) => why,
        };
        let Some(version1) = &self.version1 else { return Ok(state(Enforcer::None, reason)) };
        let weaker = match files::weaker(Version::One, limit) {
            Ok(weaker) => weaker,
            Err(never) => return Ok(state(Enforcer::None, never.to_owned())),
        };
        let cage = match limited.cage(controller).cloned() {
            Some(cage) => Ok(cage),
            None => version1.cage(controller, &limited.name).inspect(|cage| {
                limited.cages.push(cage.clone());
            }),
        };
        let cage = match cage {
            Ok(cage) => cage,
            Err(e) if is_scarce(&e) => return Err(e),
            Err(e) if reason.is_empty() => return Ok(state(Enforcer::None, e.to_string())),
            Err(e) => return Ok(state(Enforcer::None, format!("{reason}; {e}"))),
        };
        match files::set(cage.path(), Version::One, limit, Some(value)) {
            Ok(()) => Ok(state(Enforcer::Cgroup1, weaker.to_owned())),
            Err(e) if is_scarce(&e) => Err(e),
            Err(e) => Ok(state(Enforcer::None, e.to_string())),
        }
    }

    /// Puts other limits on a tree that lives; those that are absent are lifted. May wait for the kernel to take memory back.
    pub(in crate::driver) fn change(
        &self,
        limited: &mut Limited,
        limits: &Limits,
        members: &impl Fn() -> io::Result<Vec<Pid>>,
    ) {
        let before = std::mem::take(&mut limited.states);
        let old = limited.cages.len();
        for limit in Limit::ALL {
            match limit.of(limits) {
                Some(value) => {
                    let mut state = self.put(limited, limit, value).unwrap_or_else(|e| LimitState {
                        limit,
                        value: Some(value),
                        enforcer: Enforcer::None,
                        why: e.to_string(),
                    });
                    let was = before.iter().find(|was| was.limit == limit && was.enforcer.is_cgroup());
                    if state.enforcer == Enforcer::None && was.is_some() {
                        state.stand();
                    }
                    limited.states.push(state);
                }
                None if before.iter().any(|state| state.limit == limit) => limited.lift(limit),
                None => {}
            }
        }
        let new = limited.cages.get(old..).unwrap_or_default().to_vec();
        for cage in new {
            if let Err(e) = bring_in(&cage, members) {
                let of = |state: &&mut LimitState| files::controller(state.limit) == cage.controller;
                for state in limited.states.iter_mut().filter(of) {
                    (state.enforcer, state.why) =
                        (Enforcer::None, format!("its processes cannot be moved to where it would count: {e}"));
                }
            }
        }
    }
}

fn bring_in(cage: &Cage, members: &impl Fn() -> io::Result<Vec<Pid>>) -> io::Result<()> {
    for _ in 0..PASSES {
        if cage.bring_in(members)? {
            return Ok(());
        }
    }
    Err(io::Error::other("new ones appear all the time"))
}

impl Limited {
    fn named(process: &str, run: RunId, leaf: Option<&Leaf>) -> Limited {
        Limited { leaf: leaf.map(Leaf::path), name: folder(process, run), ..Limited::default() }
    }

    fn cage(&self, controller: Controller) -> Option<&Cage> {
        self.cages.iter().find(|cage| cage.controller == controller)
    }

    fn lift(&self, limit: Limit) {
        // What cannot be lifted is gone with its folder.
        let _ = match (self.cage(files::controller(limit)), &self.leaf) {
            (Some(cage), _) => files::set(cage.path(), Version::One, limit, None),
            (None, Some(leaf)) => files::set(leaf, Version::Two, limit, None),
            (None, None) => Ok(()),
        };
    }

    /// Where the child has to enter by itself.
    pub(in crate::driver) fn doors(&self) -> io::Result<Vec<Arc<OwnedFd>>> {
        self.cages.iter().map(|cage| cage.door().map(Arc::new)).collect()
    }

    /// Where a controller's figures are, and in which version's files.
    fn place(&self, controller: Controller) -> Option<(&Path, Version)> {
        match (self.cage(controller), &self.leaf) {
            (Some(cage), _) => Some((cage.path(), Version::One)),
            (None, Some(leaf)) => Some((leaf, Version::Two)),
            (None, None) => None,
        }
    }

    /// How many members the kernel killed for lack of memory, where it counts them.
    pub(in crate::driver) fn oom_kills(&self) -> u64 {
        self.place(Controller::Memory).and_then(|(path, version)| files::oom_kills(path, version)).unwrap_or_default()
    }

    /// How often the kernel refused it a process, where it counts that.
    pub(in crate::driver) fn forks_refused(&self) -> u64 {
        let limited = self.states.iter().any(|state| state.limit == Limit::Pids);
        let place = self.place(Controller::Pids).filter(|_| limited);
        place.and_then(|(path, _)| files::forks_refused(path)).unwrap_or_default()
    }

    /// Whether it is told of by [`Limiter::out_of_memory`].
    pub(in crate::driver) fn is_told_of_memory(&self) -> bool {
        matches!(self.place(Controller::Memory), Some((_, Version::One)))
    }

    /// The folders of version 1 that count for it.
    pub(in crate::driver) fn cages(&self) -> Vec<(Controller, PathBuf)> {
        self.cages.iter().map(|cage| (cage.controller, cage.path().to_owned())).collect()
    }
}
