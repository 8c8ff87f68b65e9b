//! From a [`Launch`] to an executed child.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::core::{ExitStatus, Pid, SpawnError, SpawnStep};
use crate::spec::Signal;

use super::child::{self, PidVariable, Plan};
use super::fdmap::FdMap;
use super::slots::{Lease, Slots};
use super::sys::fault::{self, Call};
use super::sys::{self, OpenFor};
use super::{exit, failure, identity};

pub use super::launch::{DEFAULT_PATH, Ids, Launch, RlimitSet, Stdio, candidates};

/// Sources with a number from this one on are duplicated below it for the child, which copies all numbers up to its
/// highest source.
const LOW: RawFd = 256;

/// The highest capability of kernels that do not say.
const LAST_CAPABILITY: u32 = 40;

/// How children are made on this machine, and why not better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LauncherStatus {
    /// The way that is taken.
    pub method: Method,
    /// Why it is not clone3 for some or all children; else empty.
    pub reason: String,
}

/// A way to make a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// clone3(2), sharing memory and descriptors until the program is executed.
    Clone3,
    /// A copy of our memory, as fork(2) makes it: slow for a large program.
    Fork,
}

/// Makes children. One an engine.
pub struct Launcher {
    /// Why children are copies, once it is known that they must be.
    refused: Mutex<Option<String>>,
    copies: AtomicBool,
    /// Whether children that change their user had to be copies.
    copied_users: AtomicBool,
    close_range: bool,
    suid_dumpable: Option<OwnedFd>,
    last_capability: AtomicU32,
    null: Mutex<Option<Arc<OwnedFd>>>,
    slots: Arc<Slots>,
}

impl Launcher {
    /// Finds out what this kernel allows. Makes no child.
    pub fn new() -> Launcher {
        let close_range = sys::close_range_works();
        let refused = match sys::clone3_works() {
            Err(e) => Some(format!("clone3 is refused ({})", failure::in_words(e.raw_os_error()))),
            Ok(()) if !close_range => Some("close_range is refused".to_owned()),
            Ok(()) => None,
        };
        let last_capability = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .filter(|n| *n < 64)
            .unwrap_or(LAST_CAPABILITY);
        Launcher {
            copies: AtomicBool::new(refused.is_some()),
            refused: Mutex::new(refused),
            copied_users: AtomicBool::new(false),
            close_range,
            suid_dumpable: sys::open_at(None, c"/proc/sys/fs/suid_dumpable", OpenFor::Read).ok().map(sys::high_fd),
            last_capability: AtomicU32::new(last_capability),
            null: Mutex::new(None),
            slots: Arc::default(),
        }
    }

    /// Makes a child and returns at once, usually before it executed its program. Nothing is read or looked up.
    ///
    /// # Errors
    /// No child was made, and nothing is left of it. [`SpawnError::is_resource`] tells whether waiting may help.
    pub fn launch(&self, mut launch: Launch) -> Result<InFlight, SpawnError> {
        let (pipe, writer) = sys::pipe().map_err(|e| error(SpawnStep::Pipe, "cannot make a pipe", &e))?;
        let copies = self.must_copy(&launch);
        let mut inherited = Vec::new();
        self.hold_null(&mut launch)?;
        let fds = map_descriptors(&launch, writer.as_raw_fd(), &mut inherited)?;
        let join = match &launch.cgroup {
            Some(cgroup) if copies => Some(open_procs(cgroup.as_fd())?),
            _ => None,
        };
        let plan = self.plan(launch, fds, writer.as_raw_fd(), join);
        inherited.push(writer);
        let slot = if copies {
            None
        } else {
            Some(self.slots.take().map_err(|e| error(SpawnStep::Clone, "cannot map a stack for the child", &e))?)
        };
        let mut lease = Lease::new(self.slots.clone(), plan, slot, inherited);
        let (pid, pidfd) = match self.make(&lease) {
            Err(e) if !copies && may_be_refused(&e) => {
                self.refuse(&e);
                return self
                    .launch(lease.take_launch().ok_or_else(|| error(SpawnStep::Clone, "cannot make a child", &e))?);
            }
            made => made.map_err(|e| clone_error(&e, lease.plan()))?,
        };
        let unshared = match lease.slot() {
            Some(slot) => slot.shared().files.swap(child::FILES_AWAITED, Ordering::AcqRel) == child::FILES_UNSHARED,
            None => true,
        };
        if unshared {
            lease.close_inherited();
        }
        Ok(InFlight { pid: Pid(pid), pidfd: sys::high_fd(pidfd), pipe, executing: false, lease })
    }

    /// Which way is taken, for `status`.
    pub fn status(&self) -> LauncherStatus {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match refused {
            Some(reason) => LauncherStatus { method: Method::Fork, reason },
            None if self.copied_users.load(Ordering::Relaxed) => LauncherStatus {
                method: Method::Clone3,
                reason: "children with a user of their own are made by fork, because fs.suid_dumpable is 1".to_owned(),
            },
            None => LauncherStatus { method: Method::Clone3, reason: String::new() },
        }
    }

    fn refuse(&self, e: &io::Error) {
        self.copies.store(true, Ordering::Relaxed);
        let reason = format!("clone3 is refused ({})", failure::in_words(e.raw_os_error()));
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Whether this child must have memory of its own: always where clone3 is refused; where it is given an oom score,
    /// which the kernel gives to all who share its memory, us included; and where a child that changed its user stays
    /// open to that user's debuggers, which would then read our memory.
    fn must_copy(&self, launch: &Launch) -> bool {
        if self.copies.load(Ordering::Relaxed) || launch.oom_score_adj.is_some() {
            return true;
        }
        let open_to_debuggers = launch.changes_credentials() && {
            let mut text = [0; 2];
            let known = self.suid_dumpable.as_ref().and_then(|f| sys::read_at(f.as_fd(), &mut text, 0).ok());
            known.is_none_or(|n| n == 0) || text[0] == b'1'
        };
        if open_to_debuggers {
            self.copied_users.store(true, Ordering::Relaxed);
        }
        open_to_debuggers
    }

    fn null(&self) -> Result<Arc<OwnedFd>, SpawnError> {
        let mut null = self.null.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(null) = &*null {
            return Ok(null.clone());
        }
        let opened = sys::open_null().map_err(|e| error(SpawnStep::Descriptors, "cannot open `/dev/null`", &e))?;
        // Kept low, below what children copy, and for as long as the launcher or a child in flight needs it.
        Ok(null.insert(Arc::new(opened)).clone())
    }

    /// Has the launch itself hold `/dev/null` where it is needed: a child may be in flight for longer than its launcher
    /// lives.
    fn hold_null(&self, launch: &mut Launch) -> Result<(), SpawnError> {
        for (stdio, target) in launch.stdio.iter_mut().zip(0..) {
            match stdio {
                Stdio::Fd(_) => {}
                Stdio::Inherit if sys::is_open(target) => {}
                Stdio::Inherit | Stdio::Null => *stdio = Stdio::Fd(self.null()?),
            }
        }
        Ok(())
    }

    fn plan(&self, launch: Launch, fds: FdMap, pipe: RawFd, join: Option<OwnedFd>) -> Box<Plan> {
        let pid_variables: Vec<_> = launch.pid_env.iter().map(|n| PidVariable::new(n.to_bytes())).collect();
        let null = [std::ptr::null()];
        let argv = launch.argv.iter().map(|a| a.as_ptr()).chain(null).collect();
        let variables = launch.env.iter().map(|v| v.as_ptr()).chain(pid_variables.iter().map(PidVariable::as_ptr));
        Box::new(Plan {
            argv,
            envp: variables.chain(null).collect(),
            programs: launch.programs.iter().map(|p| p.as_ptr()).collect(),
            pid_variables,
            fds,
            pipe,
            join,
            close_up_to: (!self.close_range).then(|| sys::nofile().unwrap_or(1024).min(1 << 20) as u32),
            oom_score: launch.oom_score_adj.map(|s| s.to_string().into_bytes()),
            last_capability: self.last_capability.load(Ordering::Relaxed),
            fault: fault::child_step(),
            shared: Default::default(),
            launch,
        })
    }

    fn make(&self, lease: &Lease) -> io::Result<(u32, OwnedFd)> {
        fault::point(Call::Clone)?;
        let plan = lease.plan().ok_or(io::ErrorKind::InvalidInput)?;
        let _blocked = sys::block_all_signals();
        match lease.slot() {
            Some(slot) => {
                fault::point(Call::Clone3)?;
                child::clone_sharing(plan, slot, plan.launch.cgroup.as_ref().map(|c| c.as_fd()))
            }
            None => child::clone_copying(plan),
        }
    }
}

impl Default for Launcher {
    fn default() -> Self {
        Launcher::new()
    }
}

fn map_descriptors(launch: &Launch, pipe: RawFd, inherited: &mut Vec<OwnedFd>) -> Result<FdMap, SpawnError> {
    let mut low = |fd: &Arc<OwnedFd>| {
        if fd.as_raw_fd() < LOW || pipe >= LOW {
            return Ok(fd.as_raw_fd());
        }
        let copy = sys::duplicate_low(fd.as_fd())
            .map_err(|e| error(SpawnStep::Descriptors, "cannot duplicate a descriptor", &e))?;
        let number = copy.as_raw_fd();
        inherited.push(copy);
        Ok(number)
    };
    let mut pairs = Vec::with_capacity(3 + launch.fds.len());
    for (stdio, target) in launch.stdio.iter().zip(0..) {
        let source = match stdio {
            Stdio::Fd(fd) => low(fd)?,
            // What is closed or null has a descriptor by now.
            Stdio::Inherit | Stdio::Null => target,
        };
        pairs.push((source, target));
    }
    for (fd, target) in &launch.fds {
        pairs.push((low(fd)?, *target));
    }
    FdMap::new(&pairs, pipe).map_err(|e| SpawnError {
        step: SpawnStep::Descriptors,
        errno: None,
        message: format!("cannot place the child's descriptors: {e}"),
    })
}

fn open_procs(cgroup: BorrowedFd<'_>) -> Result<OwnedFd, SpawnError> {
    sys::open_at(Some(cgroup), c"cgroup.procs", OpenFor::Write)
        .map_err(|e| error(SpawnStep::Tree, "cannot open the process's cgroup", &e))
}

/// Whether clone3 itself may be refused, by an old kernel or a filter, rather than this child.
fn may_be_refused(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::ENOSYS | Errno::EPERM))
}

fn clone_error(e: &io::Error, plan: Option<&Plan>) -> SpawnError {
    let into_cgroup = plan.is_some_and(|p| p.launch.cgroup.is_some());
    match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::ENOENT | Errno::ENODEV | Errno::EBUSY | Errno::EOPNOTSUPP) if into_cgroup => {
            error(SpawnStep::Tree, "cannot make a child in the process's cgroup", e)
        }
        _ => error(SpawnStep::Clone, "cannot make a child", e),
    }
}

fn error(step: SpawnStep, what: &str, e: &io::Error) -> SpawnError {
    let message = format!("{what}: {}", failure::in_words(e.raw_os_error()));
    SpawnError { step, errno: e.raw_os_error(), message }
}

/// A child on its way to its program. It owns everything the child still needs; dropping it keeps that until the child
/// no longer does.
#[must_use = "finish it when its exec pipe or its pidfd is readable"]
pub struct InFlight {
    pid: Pid,
    pidfd: OwnedFd,
    pipe: OwnedFd,
    /// Whether a child with memory of its own said that the program is executed next.
    executing: bool,
    lease: Lease,
}

/// How far a child in flight is.
#[must_use]
pub enum Finish {
    /// Not there yet: ask again when the exec pipe or the pidfd is readable (again).
    Pending(InFlight),
    /// The program was executed.
    Executed(Child),
    /// The program was not executed; the child has ended and was reaped.
    Failed(SpawnError),
}

/// A child that executed its program.
#[derive(Debug)]
pub struct Child {
    /// Its pid.
    pub pid: Pid,
    /// Its pidfd, readable when it has ended.
    pub pidfd: OwnedFd,
}

impl InFlight {
    /// The child's pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The child's pidfd. Watch it along with the exec pipe: a child killed at once may say nothing through the pipe.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The pipe that becomes readable (or hangs up) when the program was executed or could not be.
    pub fn exec_pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Call when the exec pipe or the pidfd is readable. Never blocks for longer than a killed child takes to end.
    pub fn finish(self) -> Finish {
        self.finish_with(|_| {})
    }

    /// As [`InFlight::finish`]; `closing` is shown the pidfd of a child that failed before that is closed, for epoll: as
    /// long as another child in flight holds a copy of it, closing alone does not take it out there.
    pub(super) fn finish_with(mut self, closing: impl FnOnce(BorrowedFd<'_>)) -> Finish {
        let mut bytes = [0; 64];
        loop {
            match sys::read(self.pipe.as_fd(), &mut bytes) {
                Ok(0) => return self.ended(closing),
                Ok(n) => {
                    if let Some((step, index, errno)) = self.told(bytes.get(..n).unwrap_or_default()) {
                        let error = failure::explain(self.lease.plan(), step, index, errno);
                        let _ = self.collect();
                        closing(self.pidfd());
                        return Finish::Failed(error);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Killed before it had descriptors of its own: only we still hold the pipe open.
                Err(e)
                    if e.kind() == io::ErrorKind::WouldBlock
                        && self.lease.has_inherited()
                        && self.lease.slot().is_some_and(sys::Slot::is_free) =>
                {
                    self.lease.close_inherited();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Finish::Pending(self),
                Err(e) => {
                    let error = error(SpawnStep::Pipe, "cannot read what became of the child", &e);
                    let _ = self.collect();
                    closing(self.pidfd());
                    return Finish::Failed(error);
                }
            }
        }
    }

    /// Takes in what the child wrote; the answer is a failure.
    fn told(&mut self, mut bytes: &[u8]) -> Option<(SpawnStep, u32, i32)> {
        while let Some((&what, rest)) = bytes.split_first() {
            bytes = rest;
            match what {
                child::UNSHARED => self.lease.close_inherited(),
                child::EXECUTING => self.executing = true,
                _ => {
                    let (report, _) = rest.split_first_chunk::<{ child::REPORT }>()?;
                    let word = |at: usize| {
                        report.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
                    };
                    return Some((failure::step(word(0)), word(4), word(8) as i32));
                }
            }
        }
        None
    }

    /// The pipe is closed at its other end: the program was executed, or the child ended without a word.
    fn ended(mut self, closing: impl FnOnce(BorrowedFd<'_>)) -> Finish {
        let executing = self.lease.slot().map_or(self.executing, |s| s.shared().executing.load(Ordering::Acquire) == 1);
        self.lease.close_inherited();
        if executing {
            return Finish::Executed(Child { pid: self.pid, pidfd: self.pidfd });
        }
        let how = match self.collect() {
            Some(ExitStatus::Signal { signal, .. }) => format!("{signal} ended the child"),
            _ => "the child ended".to_owned(),
        };
        closing(self.pidfd());
        let message = format!("{how} before the program was executed");
        Finish::Failed(SpawnError { step: SpawnStep::Exec, errno: None, message })
    }

    /// Ends and reaps a child that will not execute anything any more. It is about to end by itself, but its new user
    /// may have stopped it on its last step.
    fn collect(&self) -> Option<ExitStatus> {
        let _ = identity::signal(self.pidfd.as_fd(), Signal::KILL);
        exit::wait(self.pidfd.as_fd()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::{Finish, Launch, Launcher};
    use crate::driver::identity;

    #[test]
    fn a_failed_childs_pidfd_is_shown_before_it_is_closed() {
        let program = c"/nonexistent/program".to_owned();
        let mut flight = Launcher::new().launch(Launch::new(vec![program.clone()], vec![program])).unwrap();
        let mut shown = 0;
        loop {
            let mut polled = [PollFd::new(flight.exec_pipe(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut polled, PollTimeout::from(30_000_u16)), Ok(1));
            match flight.finish_with(|pidfd| shown += usize::from(identity::has_ended(pidfd.as_fd()).unwrap())) {
                Finish::Pending(again) => flight = again,
                Finish::Executed(_) => panic!("there is no such program"),
                Finish::Failed(_) => break,
            }
        }
        assert_eq!(shown, 1);
    }
}
