//! Processes: pidfds, waiting, signal masks, what this kernel allows.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::checked;
use super::fault::{self, Call};
use super::fd::owned;

/// How a child ended, as waitid(2) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitNow {
    /// It has not ended.
    Running,
    /// It called exit with this code.
    Exited(i32),
    /// A signal ended it; whether it left a core dump.
    Killed(i32, bool),
}

/// Asks how the child behind a pidfd ended. `keep` leaves it a zombie, so that its pid and group stay taken; `block`
/// waits for its end. `ECHILD`: it is not ours, or somebody else reaped it.
pub fn wait_pidfd(pidfd: BorrowedFd<'_>, keep: bool, block: bool) -> io::Result<WaitNow> {
    fault::point(Call::Wait)?;
    let mut options = libc::WEXITED | libc::__WALL;
    if keep {
        options |= libc::WNOWAIT;
    }
    if !block {
        options |= libc::WNOHANG;
    }
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` has room for a siginfo_t; the pidfd is open.
        let answer = unsafe { libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as _, info.as_mut_ptr(), options) };
        match checked(answer.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    // SAFETY: zeroed before the call, filled by it: every field is initialised, and si_pid is 0 when nothing ended.
    Ok(wait_status(&unsafe { info.assume_init() }))
}

/// What a wait for ends told.
pub(super) fn wait_status(info: &libc::siginfo_t) -> WaitNow {
    // SAFETY: what waitid(2) was given zeroed, and filled, has a pid and a status; the pid is 0 when nothing ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    match info.si_code {
        _ if pid == 0 => WaitNow::Running,
        libc::CLD_EXITED => WaitNow::Exited(status),
        libc::CLD_DUMPED => WaitNow::Killed(status, true),
        _ => WaitNow::Killed(status, false),
    }
}

/// `struct pidfd_info` of the kernel, as far as the exit status.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pids: [u32; 3],
    ids: [u32; 8],
    exit_code: i32,
}

/// The exit status of a process that somebody else has reaped, from a kernel that keeps it with the pidfd (6.15 and
/// later). `None` where it cannot be learnt, or the process has not ended.
pub fn exit_info(pidfd: BorrowedFd<'_>) -> Option<WaitNow> {
    const INFO_EXIT: u64 = 1 << 3;
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // _IOWR(0xFF, 11, struct pidfd_info)
    let request = (3u64 << 30) | ((size_of::<PidfdInfo>() as u64) << 16) | (0xFF << 8) | 11;
    // SAFETY: the request's size field is that of `info`, so the kernel writes no more than that.
    checked(unsafe { libc::ioctl(pidfd.as_raw_fd(), request as _, &raw mut info) }.into()).ok()?;
    if info.mask & INFO_EXIT == 0 {
        return None;
    }
    let status = info.exit_code;
    Some(if libc::WIFEXITED(status) {
        WaitNow::Exited(libc::WEXITSTATUS(status))
    } else {
        WaitNow::Killed(libc::WTERMSIG(status), libc::WCOREDUMP(status))
    })
}

/// A pidfd on this process, close-on-exec. `ESRCH`: there is none.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    fault::point(Call::PidfdOpen)?;
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).map(owned)
}

/// Sends a signal to the process behind a pidfd, and to no other whatever became of its pid. `ESRCH`: it was reaped.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    fault::point(Call::Signal)?;
    // SAFETY: the pidfd is open; no siginfo is passed.
    checked(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::c_void>(), 0)
    })
    .map(drop)
}

/// The process group of a process.
pub fn process_group(pid: u32) -> io::Result<u32> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::getpgid(pid as libc::pid_t) }.into()).map(|g| g as u32)
}

/// Puts a resource limit, soft and hard, on a process; `u64::MAX` is infinity.
pub fn set_rlimit(pid: u32, resource: u32, (soft, hard): (u64, u64)) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is read only, and no old value is asked for.
    checked(
        unsafe { libc::prlimit64(pid as libc::pid_t, resource as _, &raw const limit, std::ptr::null_mut()) }.into(),
    )
    .map(drop)
}

/// Our own resource limit, soft and hard, which children have if nothing else is said; `u64::MAX` is infinity.
pub fn own_rlimit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = MaybeUninit::<libc::rlimit64>::uninit();
    // SAFETY: 0 is ourselves, no new value is given, and `limit` has room for the old one, read only when there is one.
    unsafe {
        checked(libc::prlimit64(0, resource as _, std::ptr::null(), limit.as_mut_ptr()).into())?;
        let limit = limit.assume_init();
        Ok((limit.rlim_cur, limit.rlim_max))
    }
}

/// A signal mask to be put back.
#[must_use = "signals stay blocked until this is dropped"]
pub struct SavedMask(u64);

/// Blocks every signal of this thread, the C library's own ones too, until the answer is dropped.
pub fn block_all_signals() -> SavedMask {
    let all = u64::MAX;
    let mut old = 0u64;
    // SAFETY: both masks are 64 bits, as the last argument says. Cannot fail with these arguments.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, &raw mut old, 8) };
    SavedMask(old)
}

impl Drop for SavedMask {
    fn drop(&mut self) {
        // SAFETY: the mask is 64 bits, as the last argument says.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const self.0,
                std::ptr::null_mut::<u64>(),
                8,
            )
        };
    }
}

/// Whether clone3(2) is there and allowed: `Err` has the kernel's refusal. No child is made: the arguments are too
/// short to be valid, which only a kernel that has the call says.
pub fn clone3_works() -> io::Result<()> {
    fault::point(Call::Clone3)?;
    // SAFETY: with a size of 0 the kernel reads nothing.
    match checked(unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<libc::c_void>(), 0usize) }) {
        Err(e) if e.raw_os_error() != Some(libc::EINVAL) => Err(e),
        _ => Ok(()),
    }
}

/// Whether this program's memory may be looked into by its user (PR_GET_DUMPABLE): 0 no, 1 yes, 2 by root.
pub fn dumpable() -> i32 {
    // SAFETY: takes no pointers.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }
}

/// Puts that back.
pub fn set_dumpable(value: i32) {
    // SAFETY: takes no pointers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, value, 0, 0, 0) };
}

/// Our effective user and group.
pub fn effective_ids() -> (u32, u32) {
    // SAFETY: these two cannot fail and take nothing.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// How many descriptors we may have open.
pub fn nofile() -> io::Result<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` has room for the answer, and is read only when there is one.
    unsafe {
        checked(libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()).into())?;
        Ok(limit.assume_init().rlim_cur)
    }
}

/// Whether the program ignores SIGCHLD (or asked for no zombies): then the kernel forgets how children ended.
pub fn ignores_child_signals() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only asks; `action` has room for the answer and was zeroed.
    unsafe {
        libc::sigaction(libc::SIGCHLD, std::ptr::null(), action.as_mut_ptr());
        let action = action.assume_init();
        action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0
    }
}

/// Lets a thread of ours run only when nobody else wants to. Best effort: where it is refused the thread keeps its priority.
pub fn run_last(thread: i32) {
    // SAFETY: takes numbers and a structure that outlives the call; a thread that has ended is an error, and ignored.
    unsafe {
        let parameters = libc::sched_param { sched_priority: 0 };
        libc::sched_setscheduler(thread, libc::SCHED_IDLE, &parameters);
    }
}

/// Has SIGCHLD do what it does by default, whatever was inherited, so that nothing of how children ended is forgotten. For
/// a program that is a supervisor and nothing else: a library leaves dispositions alone.
pub fn heed_child_signals() -> io::Result<()> {
    heed(libc::SIGCHLD)
}

/// The same of SIGHUP, which nohup(1) has ignored: for a program to which it means something else than its terminal's end.
pub fn heed_hangups() -> io::Result<()> {
    heed(libc::SIGHUP)
}

fn heed(signal: i32) -> io::Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeroes is a valid sigaction: the default disposition, no flags, an empty mask; the old one is not asked for.
    checked(i64::from(unsafe { libc::sigaction(signal, action.as_mut_ptr(), std::ptr::null_mut()) })).map(drop)
}
