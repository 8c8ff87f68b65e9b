//! Between clone and exec: the child shares our memory, so it makes system calls by itself and does nothing else.
//!
//! It allocates nothing, takes no lock, calls no C library (whose errno is our thread's), and cannot panic. Each step
//! that fails is written into the reporting pipe, and the program is not executed.
//!
//! Signals stay blocked until just before the program is executed: one with a core dump, had while our memory is
//! shared, would end the supervisor along with the child on kernels before 5.16.

use std::arch::asm;
use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::fdmap::{FdMap, Move};
use super::launch::Launch;
use super::sys::{Shared, Slot, nr};
use crate::core::SpawnStep;

/// The child shares our descriptor table.
pub(super) const FILES_SHARED: u32 = 0;
/// It still did when we last looked: it writes [`UNSHARED`] into the pipe once it no longer does.
pub(super) const FILES_AWAITED: u32 = 1;
/// It has a table of its own: we may close what it inherited.
pub(super) const FILES_UNSHARED: u32 = 2;

/// In the pipe: the child has a descriptor table of its own.
pub(super) const UNSHARED: u8 = b'u';
/// In the pipe of a child with memory of its own: the program is executed next.
pub(super) const EXECUTING: u8 = b'x';
/// In the pipe: a failure; [`Report`] follows.
pub(super) const FAILED: u8 = b'f';

/// A failure as it stands in the pipe: step, index, errno, four bytes each.
pub(super) const REPORT: usize = 12;

/// `struct clone_args` of the kernel, up to the cgroup.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A variable's bytes that the child completes: `NAME=`, then room for a pid and a NUL.
pub(super) struct PidVariable {
    bytes: Box<[UnsafeCell<u8>]>,
    digits_at: usize,
}

/// Room for the digits of a pid and a NUL.
const PID_ROOM: usize = 11;

impl PidVariable {
    pub(super) fn new(name: &[u8]) -> PidVariable {
        let bytes = name.iter().copied().chain([b'=']).chain([0; PID_ROOM]).map(UnsafeCell::new).collect();
        PidVariable { bytes, digits_at: name.len() + 1 }
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    fn write(&self, pid: u32) {
        let mut digits = [0u8; PID_ROOM];
        let mut at = PID_ROOM - 1;
        let mut rest = pid;
        loop {
            at = at.wrapping_sub(1);
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        for (to, from) in self.bytes.iter().skip(self.digits_at).zip(digits.iter().skip(at)) {
            // SAFETY: only the child writes here, and we read nothing of it while a child is in flight.
            unsafe { *to.get() = *from };
        }
    }
}

/// Everything the child reads. Kept where it is until the child no longer needs it.
pub(super) struct Plan {
    pub(super) launch: Launch,
    pub(super) fds: FdMap,
    /// Pointers to the arguments, then null.
    pub(super) argv: Vec<*const c_char>,
    /// Pointers to the variables, then null.
    pub(super) envp: Vec<*const c_char>,
    pub(super) pid_variables: Vec<PidVariable>,
    /// Pointers to the programs.
    pub(super) programs: Vec<*const c_char>,
    /// The reporting pipe's writing end, as we number it.
    pub(super) pipe: RawFd,
    /// `cgroup.procs` of the child's cgroup, to be joined by the child itself.
    pub(super) join: Option<OwnedFd>,
    /// Without close_range(2): close numbers one by one up to this one.
    pub(super) close_up_to: Option<u32>,
    /// The text for oom_score_adj.
    pub(super) oom_score: Option<Vec<u8>>,
    /// The highest capability this kernel has.
    pub(super) last_capability: u32,
    /// For tests: the step that fails, and how.
    pub(super) fault: Option<(SpawnStep, i32)>,
    /// What we share with the child; null when it has its own memory.
    pub(super) shared: AtomicPtr<Shared>,
}

// SAFETY: the pointers lead into `launch` and `pid_variables`, which move along with the plan and are not changed.
unsafe impl Send for Plan {}
// SAFETY: as above; the child alone writes, into `pid_variables`.
unsafe impl Sync for Plan {}

/// Makes a child that shares our memory and descriptors and runs on the slot's stack.
///
/// The caller keeps `plan` and `slot` where they are until [`Slot::is_free`], and has all signals blocked.
pub(super) fn clone_sharing(plan: &Plan, slot: &Slot, cgroup: Option<BorrowedFd<'_>>) -> io::Result<(u32, OwnedFd)> {
    let shared = slot.shared();
    shared.files.store(FILES_SHARED, Ordering::Relaxed);
    shared.executing.store(0, Ordering::Relaxed);
    shared.here.store(1, Ordering::Release);
    plan.shared.store((&raw const *shared).cast_mut(), Ordering::Release);
    let (stack, stack_size) = slot.stack();
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: nr::CLONE_VM
            | nr::CLONE_FILES
            | nr::CLONE_PIDFD
            | nr::CLONE_CLEAR_SIGHAND
            | nr::CLONE_CHILD_CLEARTID
            | if cgroup.is_some() { nr::CLONE_INTO_CGROUP } else { 0 },
        pidfd: (&raw mut pidfd) as u64,
        child_tid: shared.here.as_ptr() as u64,
        exit_signal: nr::SIGCHLD as u64,
        stack,
        stack_size,
        cgroup: cgroup.map_or(0, |c| c.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: the child starts on a stack of its own in `run`, which never returns and reads `plan` alone; the caller
    // keeps both alive for it. The kernel writes the pidfd and, later, `here`.
    let answer = unsafe { clone3(&mut args, plan) };
    if answer < 0 {
        shared.here.store(0, Ordering::Release);
    }
    made(answer, pidfd)
}

/// Makes a child with a copy of our memory and descriptors. All signals are to be blocked.
pub(super) fn clone_copying(plan: &Plan) -> io::Result<(u32, OwnedFd)> {
    plan.shared.store(std::ptr::null_mut(), Ordering::Release);
    let mut pidfd: RawFd = -1;
    // SAFETY: the child continues on a copy of this very stack in `run`, which never returns.
    let answer = unsafe { clone(nr::SIGCHLD as u64 | nr::CLONE_PIDFD, &raw mut pidfd, plan) };
    made(answer, pidfd)
}

fn made(answer: isize, pidfd: RawFd) -> io::Result<(u32, OwnedFd)> {
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(-answer as i32));
    }
    // SAFETY: the kernel made it for this call.
    Ok((answer as u32, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: &mut CloneArgs, plan: &Plan) -> isize {
    let answer: isize;
    // SAFETY: see the caller. Only the child takes the branch, on its own stack; for us nothing but the named registers
    // changes.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") nr::SYS_clone3 as isize => answer,
            in("rdi") &raw mut *args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") &raw const *plan,
            in("r13") run as extern "C" fn(*const Plan) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    answer
}

#[cfg(target_arch = "x86_64")]
unsafe fn clone(flags: u64, pidfd: *mut RawFd, plan: &Plan) -> isize {
    let answer: isize;
    // SAFETY: see the caller. A stack of 0 is a copy of ours at the same address.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") nr::SYS_clone as isize => answer,
            in("rdi") flags,
            in("rsi") 0usize,
            in("rdx") pidfd,
            in("r10") 0usize,
            in("r8") 0usize,
            in("r12") &raw const *plan,
            in("r13") run as extern "C" fn(*const Plan) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: &mut CloneArgs, plan: &Plan) -> isize {
    let answer: isize;
    // SAFETY: see the caller. Only the child takes the branch, on its own stack; for us nothing but x0 changes.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x9",
            "blr x10",
            "brk 1",
            "2:",
            in("x8") nr::SYS_clone3,
            inlateout("x0") &raw mut *args => answer,
            in("x1") size_of::<CloneArgs>(),
            in("x9") &raw const *plan,
            in("x10") run as extern "C" fn(*const Plan) -> !,
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone(flags: u64, pidfd: *mut RawFd, plan: &Plan) -> isize {
    let answer: isize;
    // SAFETY: see the caller. A stack of 0 is a copy of ours at the same address.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x9",
            "blr x10",
            "brk 1",
            "2:",
            in("x8") nr::SYS_clone,
            inlateout("x0") flags => answer,
            in("x1") 0usize,
            in("x2") pidfd,
            in("x3") 0usize,
            in("x4") 0usize,
            in("x9") &raw const *plan,
            in("x10") run as extern "C" fn(*const Plan) -> !,
        );
    }
    answer
}

/// A system call; what is negative is an errno.
#[inline(always)]
fn call(number: i64, arguments: [u64; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let answer: isize;
    // SAFETY: every caller passes numbers, or pointers to memory that lives as long as the plan.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "syscall", inlateout("rax") number as isize => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _, options(nostack),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "svc 0", in("x8") number, inlateout("x0") a as isize => answer,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, options(nostack),
        );
    }
    answer
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("Neap runs on x86-64 and aarch64: it makes system calls of its own between clone and exec");

/// The child.
extern "C" fn run(plan: *const Plan) -> ! {
    // SAFETY: whoever made the child keeps the plan alive, and nobody changes it.
    let child = Child { plan: unsafe { &*plan } };
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

    fn set_oom_score(&self, text: &[u8]) {
        let path = c"/proc/self/oom_score_adj".as_ptr() as u64;
        let flags = (nr::O_WRONLY | nr::O_CLOEXEC) as u64;
        let file = self.must(SpawnStep::OomScore, 0, call(nr::SYS_openat, [nr::AT_FDCWD as u64, path, flags, 0, 0]));
        let answer = call(nr::SYS_write, [file as u64, text.as_ptr() as u64, text.len() as u64, 0, 0]);
        self.must(SpawnStep::OomScore, 0, answer);
        call(nr::SYS_close, [file as u64, 0, 0, 0, 0]);
    }

    /// Every signal's default action. A new process clears handlers, but keeps what is ignored; Rust ignores SIGPIPE.
    fn reset_signals(&self) {
        self.forget_broken_pipe();
        let default = [0u64; 4];
        for signal in 1..=64u64 {
            if signal != nr::SIGKILL as u64 && signal != nr::SIGSTOP as u64 {
                let answer = call(nr::SYS_rt_sigaction, [signal, default.as_ptr() as u64, 0, 8, 0]);
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
            return;
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
