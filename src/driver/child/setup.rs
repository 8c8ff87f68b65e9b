//! The child's own steps, from the clone to its program.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;

use super::plan::{EXECUTING, FAILED, FILES_AWAITED, FILES_UNSHARED, Plan, UNSHARED};
use super::raw::call;
use crate::core::SpawnStep;
use crate::driver::fdmap::Move;
use crate::driver::launch::Launch;
use crate::driver::sys::nr;

/// The child.
pub(super) extern "C" fn run(plan: *const Plan) -> ! {
    // SAFETY: whoever made the child keeps the plan alive, and nobody changes it.
    let child = Child { plan: unsafe { &*plan } };
    child.enter_doors();
    child.own_descriptors();
    child.must(SpawnStep::Session, 0, call(nr::SYS_setsid, [0; 5]));
    child.join_cgroup();
    let pipe = child.place_descriptors();
    let child = Placed { child, pipe };
    child.set_limits();
    child.reset_signals();
    child.set_credentials();
    child.enter();
    child.execute()
}

struct Child<'a> {
    plan: &'a Plan,
}

impl Child<'_> {
    fn write(&self, pipe: RawFd, bytes: &[u8]) {
        call(nr::SYS_write, [pipe as u64, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0]);
    }

    fn fail(&self, pipe: RawFd, step: SpawnStep, index: u32, errno: u32) -> ! {
        let [s0, s1, s2, s3] = (step as u32).to_ne_bytes();
        let [i0, i1, i2, i3] = index.to_ne_bytes();
        let [e0, e1, e2, e3] = errno.to_ne_bytes();
        self.write(pipe, &[FAILED, s0, s1, s2, s3, i0, i1, i2, i3, e0, e1, e2, e3]);
        loop {
            call(nr::SYS_exit_group, [127, 0, 0, 0, 0]);
        }
    }

    fn check(&self, pipe: RawFd, step: SpawnStep, index: u32, answer: isize) -> isize {
        match self.plan.fault {
            Some((at, errno)) if at as u32 == step as u32 => self.fail(pipe, step, index, errno as u32),
            _ if answer < 0 => self.fail(pipe, step, index, answer.unsigned_abs() as u32),
            _ => answer,
        }
    }

    fn must(&self, step: SpawnStep, index: u32, answer: isize) -> isize {
        self.check(self.plan.pipe, step, index, answer)
    }

    /// A table of its own, without copying what it will not need.
    fn own_descriptors(&self) {
        let shared = self.plan.shared.load(Ordering::Acquire);
        if shared.is_null() {
            return;
        }
        let from = u64::from(self.plan.fds.unneeded_from);
        let answer = call(nr::SYS_close_range, [from, u64::from(u32::MAX), nr::CLOSE_RANGE_UNSHARE, 0, 0]);
        self.must(SpawnStep::Descriptors, 0, answer);
        // SAFETY: points into the slot, which is kept while the child is on it.
        let shared = unsafe { &*shared };
        if shared.files.swap(FILES_UNSHARED, Ordering::AcqRel) == FILES_AWAITED {
            self.write(self.plan.pipe, &[UNSHARED]);
        }
    }

    /// Before it has descriptors of its own, among which there is no need for these.
    fn enter_doors(&self) {
        for (door, index) in self.plan.launch.doors.iter().zip(0..) {
            let us = b"0";
            let answer = call(nr::SYS_write, [door.as_raw_fd() as u64, us.as_ptr() as u64, 1, 0, 0]);
            self.must(SpawnStep::Limits, index, answer);
        }
    }

    fn join_cgroup(&self) {
        if let Some(procs) = &self.plan.join {
            let us = b"0";
            let answer = call(nr::SYS_write, [procs.as_raw_fd() as u64, us.as_ptr() as u64, 1, 0, 0]);
            self.must(SpawnStep::Tree, 0, answer);
        }
    }

    /// Brings the descriptors to their numbers and closes all others. Returns where the pipe is now.
    fn place_descriptors(&self) -> RawFd {
        let mut pipe = self.plan.pipe;
        for step in &self.plan.fds.moves {
            match *step {
                Move::Copy { from, to, cloexec } => {
                    let flags = if cloexec { nr::O_CLOEXEC as u64 } else { 0 };
                    let answer = call(nr::SYS_dup3, [from as u64, to as u64, flags, 0, 0]);
                    self.check(pipe, SpawnStep::Descriptors, to as u32, answer);
                    if from == pipe {
                        pipe = to;
                    }
                }
                Move::Keep(fd) => {
                    let answer = call(nr::SYS_fcntl, [fd as u64, nr::F_SETFD as u64, 0, 0, 0]);
                    self.check(pipe, SpawnStep::Descriptors, fd as u32, answer);
                }
            }
        }
        for &(first, last) in &self.plan.fds.close {
            match self.plan.close_up_to {
                None => {
                    let answer = call(nr::SYS_close_range, [u64::from(first), u64::from(last), 0, 0, 0]);
                    self.check(pipe, SpawnStep::Descriptors, first, answer);
                }
                Some(limit) => {
                    for fd in first..=last.min(limit) {
                        call(nr::SYS_close, [u64::from(fd), 0, 0, 0, 0]);
                    }
                }
            }
        }
        pipe
    }
}

/// Ends a child that shares our memory in place of a core dump, for which kernels before 5.16 end everybody who has that
/// memory: whoever may signal the child could end us.
extern "C" fn end(_signal: i32) -> ! {
    loop {
        let us = call(nr::SYS_getpid, [0; 5]);
        call(nr::SYS_kill, [us as u64, nr::SIGKILL as u64, 0, 0, 0]);
    }
}

/// A child with its descriptors in place.
struct Placed<'a> {
    child: Child<'a>,
    pipe: RawFd,
}

impl Placed<'_> {
    fn must(&self, step: SpawnStep, index: u32, answer: isize) -> isize {
        self.child.check(self.pipe, step, index, answer)
    }

    fn launch(&self) -> &Launch {
        &self.child.plan.launch
    }

    fn set_limits(&self) {
        let launch = self.launch();
        for (limit, index) in launch.rlimits.iter().zip(0..) {
            let values = [limit.soft, limit.hard];
            let answer = call(nr::SYS_prlimit64, [0, u64::from(limit.resource), values.as_ptr() as u64, 0, 0]);
            self.must(SpawnStep::Rlimit, index, answer);
        }
        if let Some(nice) = launch.nice {
            let answer = call(nr::SYS_setpriority, [nr::PRIO_PROCESS as u64, 0, nice as u64, 0, 0]);
            self.must(SpawnStep::Nice, 0, answer);
        }
        if let Some(score) = &self.child.plan.oom_score {
            self.set_oom_score(score);
        }
        if let Some(umask) = launch.umask {
            call(nr::SYS_umask, [u64::from(umask), 0, 0, 0, 0]);
        }
    }

    /// Who is given one has memory of its own. While that is kept from its user, so is what is to be written.
    fn set_oom_score(&self, text: &[u8]) {
        let dumpable = call(nr::SYS_prctl, [nr::PR_GET_DUMPABLE as u64, 0, 0, 0, 0]);
        if dumpable == 0 {
            call(nr::SYS_prctl, [nr::PR_SET_DUMPABLE as u64, 1, 0, 0, 0]);
        }
        let path = c"/proc/self/oom_score_adj".as_ptr() as u64;
        let flags = (nr::O_WRONLY | nr::O_CLOEXEC) as u64;
        let file = self.must(SpawnStep::OomScore, 0, call(nr::SYS_openat, [nr::AT_FDCWD as u64, path, flags, 0, 0]));
        let answer = call(nr::SYS_write, [file as u64, text.as_ptr() as u64, text.len() as u64, 0, 0]);
        self.must(SpawnStep::OomScore, 0, answer);
        call(nr::SYS_close, [file as u64, 0, 0, 0, 0]);
        if dumpable == 0 {
            call(nr::SYS_prctl, [nr::PR_SET_DUMPABLE as u64, 0, 0, 0, 0]);
        }
    }

    /// Every signal's default action. A new process clears handlers, but keeps what is ignored; Rust ignores SIGPIPE.
    fn reset_signals(&self) {
        self.forget_broken_pipe();
        let default = [0u64; 4];
        // Handler, flags, restorer (never returned to), mask. To execute a program is to go back to the default.
        let end = end as extern "C" fn(i32) -> ! as usize as u64;
        let without_dump = [end, nr::SA_RESTORER, end, u64::MAX];
        let shares = !self.child.plan.shared.load(Ordering::Acquire).is_null();
        for signal in 1..=64u64 {
            if signal != nr::SIGKILL as u64 && signal != nr::SIGSTOP as u64 {
                let dumps = shares && nr::DUMPING.iter().any(|s| *s as u64 == signal);
                let action = if dumps { &without_dump } else { &default };
                let answer = call(nr::SYS_rt_sigaction, [signal, action.as_ptr() as u64, 0, 8, 0]);
                self.must(SpawnStep::SignalMask, signal as u32, answer);
            }
        }
    }

    /// Takes back the SIGPIPE that a word to a supervisor which no longer listens left pending: to ignore a signal is to
    /// drop it.
    fn forget_broken_pipe(&self) {
        for action in [[nr::SIG_IGN as u64, 0, 0, 0], [0; 4]] {
            let answer = call(nr::SYS_rt_sigaction, [nr::SIGPIPE as u64, action.as_ptr() as u64, 0, 8, 0]);
            self.must(SpawnStep::SignalMask, 0, answer);
        }
    }

    fn set_credentials(&self) {
        let launch = self.launch();
        if let Some(bounding) = launch.bounding {
            for number in 0..=self.child.plan.last_capability {
                if bounding & 1u64.wrapping_shl(number) == 0 {
                    let answer = call(nr::SYS_prctl, [nr::PR_CAPBSET_DROP as u64, u64::from(number), 0, 0, 0]);
                    self.must(SpawnStep::BoundingSet, number, answer);
                }
            }
        }
        if launch.ambient != 0 {
            let answer = call(nr::SYS_prctl, [nr::PR_SET_KEEPCAPS as u64, 1, 0, 0, 0]);
            self.must(SpawnStep::KeepCapabilities, 0, answer);
        }
        if let Some(ids) = &launch.ids {
            let (count, list) = (ids.groups.len() as u64, ids.groups.as_ptr() as u64);
            self.must(SpawnStep::SupplementaryGroups, 0, call(nr::SYS_setgroups, [count, list, 0, 0, 0]));
            let (gid, uid) = (u64::from(ids.gid), u64::from(ids.uid));
            self.must(SpawnStep::SetGid, 0, call(nr::SYS_setresgid, [gid, gid, gid, 0, 0]));
            self.must(SpawnStep::SetUid, 0, call(nr::SYS_setresuid, [uid, uid, uid, 0, 0]));
        }
        self.set_capabilities(launch.ambient);
    }

    fn set_capabilities(&self, ambient: u64) {
        let clear = [nr::PR_CAP_AMBIENT as u64, nr::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0, 0];
        self.must(SpawnStep::AmbientCapabilities, 0, call(nr::SYS_prctl, clear));
        if ambient == 0 {
            return self.forget_inheritable();
        }
        let (low, high) = (ambient as u32, (ambient >> 32) as u32);
        let header = [nr::CAPABILITY_VERSION, 0];
        let sets = [low, low, low, high, high, high];
        let answer = call(nr::SYS_capset, [header.as_ptr() as u64, sets.as_ptr() as u64, 0, 0, 0]);
        self.must(SpawnStep::Capabilities, 0, answer);
        for number in 0..=self.child.plan.last_capability {
            if ambient & 1u64.wrapping_shl(number) != 0 {
                let raise = [nr::PR_CAP_AMBIENT as u64, nr::PR_CAP_AMBIENT_RAISE as u64, u64::from(number), 0, 0];
                self.must(SpawnStep::AmbientCapabilities, number, call(nr::SYS_prctl, raise));
            }
        }
    }

    /// What the supervisor's own parent let it inherit (a container's runtime, say) is nothing that a spec gave.
    fn forget_inheritable(&self) {
        let header = [nr::CAPABILITY_VERSION, 0u32];
        // Effective, permitted, inheritable; the lower 32, then the upper.
        let mut sets = [0u32; 6];
        let answer = call(nr::SYS_capget, [header.as_ptr() as u64, sets.as_mut_ptr() as u64, 0, 0, 0]);
        self.must(SpawnStep::Capabilities, 0, answer);
        let [effective, permitted, inheritable, effective_high, permitted_high, inheritable_high] = sets;
        if inheritable != 0 || inheritable_high != 0 {
            let sets = [effective, permitted, 0, effective_high, permitted_high, 0];
            let answer = call(nr::SYS_capset, [header.as_ptr() as u64, sets.as_ptr() as u64, 0, 0, 0]);
            self.must(SpawnStep::Capabilities, 0, answer);
        }
    }

    fn enter(&self) {
        let launch = self.launch();
        if let Some(directory) = &launch.directory {
            let answer = call(nr::SYS_chdir, [directory.as_ptr() as u64, 0, 0, 0, 0]);
            self.must(SpawnStep::WorkingDirectory, 0, answer);
        }
        if launch.no_new_privs {
            let answer = call(nr::SYS_prctl, [nr::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0]);
            self.must(SpawnStep::NoNewPrivs, 0, answer);
        }
    }

    /// Tries the programs in order, as execvp(3) does, but runs no shell for a file that is not executable.
    fn execute(&self) -> ! {
        let plan = self.child.plan;
        if !plan.pid_variables.is_empty() {
            let pid = call(nr::SYS_getpid, [0; 5]);
            plan.pid_variables.iter().for_each(|v| v.write(pid as u32));
        }
        let shared = plan.shared.load(Ordering::Acquire);
        if shared.is_null() {
            self.child.write(self.pipe, &[EXECUTING]);
            self.forget_broken_pipe();
        } else {
            // SAFETY: points into the slot, which is kept while the child is on it.
            unsafe { &*shared }.executing.store(1, Ordering::Release);
        }
        let none = 0u64;
        let unblock = [nr::SIG_SETMASK as u64, (&raw const none) as u64, 0, 8, 0];
        self.must(SpawnStep::SignalMask, 0, call(nr::SYS_rt_sigprocmask, unblock));
        let (mut kept, mut kept_index) = (nr::ENOENT as u32, 0);
        for (program, index) in plan.programs.iter().zip(0u32..) {
            let arguments = [*program as u64, plan.argv.as_ptr() as u64, plan.envp.as_ptr() as u64, 0, 0];
            let answer = match plan.fault {
                Some((SpawnStep::Exec, errno)) => -(errno as isize),
                _ => call(nr::SYS_execve, arguments),
            };
            match answer.unsigned_abs() as i32 {
                nr::EACCES => (kept, kept_index) = (nr::EACCES as u32, index),
                nr::ENOENT | nr::ENOTDIR | nr::ESTALE | nr::ENODEV | nr::ETIMEDOUT => {}
                other => self.child.fail(self.pipe, SpawnStep::Exec, index, other as u32),
            }
        }
        self.child.fail(self.pipe, SpawnStep::Exec, kept_index, kept)
    }
}
