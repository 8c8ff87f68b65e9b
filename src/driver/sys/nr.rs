//! Numbers of the kernel's interface that `child` needs, which makes its calls by itself.

pub(in crate::driver) use libc::{
    AT_FDCWD, EACCES, ENODEV, ENOENT, ENOTDIR, ESTALE, ETIMEDOUT, F_SETFD, O_CLOEXEC, O_WRONLY, PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_RAISE, PR_CAPBSET_DROP, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS, PRIO_PROCESS, SIG_IGN, SIG_SETMASK, SIGCHLD, SIGKILL, SIGPIPE, SIGSTOP, SYS_capget,
    SYS_capset, SYS_chdir, SYS_clone, SYS_clone3, SYS_close, SYS_close_range, SYS_dup3, SYS_execve, SYS_exit_group,
    SYS_fcntl, SYS_getpid, SYS_kill, SYS_openat, SYS_prctl, SYS_prlimit64, SYS_rt_sigaction, SYS_rt_sigprocmask,
    SYS_setgroups, SYS_setpriority, SYS_setresgid, SYS_setresuid, SYS_setsid, SYS_umask, SYS_write,
};

pub(in crate::driver) const CLONE_VM: u64 = 0x100;
pub(in crate::driver) const CLONE_FILES: u64 = 0x400;
pub(in crate::driver) const CLONE_PIDFD: u64 = 0x1000;
pub(in crate::driver) const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
pub(in crate::driver) const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
pub(in crate::driver) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
pub(in crate::driver) const CLOSE_RANGE_UNSHARE: u64 = 2;
/// A handler brings its own way back, without which x86-64 runs none.
pub(in crate::driver) const SA_RESTORER: u64 = 0x0400_0000;
/// Signals that leave a core dump where nothing handles them.
pub(in crate::driver) const DUMPING: [i32; 10] = [
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGSYS,
];
/// The form of capset's header that takes 64 capabilities.
pub(in crate::driver) const CAPABILITY_VERSION: u32 = 0x2008_0522;
