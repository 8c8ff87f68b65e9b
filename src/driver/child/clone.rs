//! Two ways to make a child: one that shares our memory, one that has a copy.

use std::arch::asm;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use super::plan::{FILES_SHARED, Plan};
use super::setup::run;
use crate::driver::sys::{Slot, nr};

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

/// Makes a child that shares our memory and descriptors and runs on the slot's stack.
///
/// The caller keeps `plan` and `slot` where they are until [`Slot::is_free`], and has all signals blocked.
pub(in crate::driver) fn clone_sharing(
    plan: &Plan,
    slot: &Slot,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<(u32, OwnedFd)> {
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
pub(in crate::driver) fn clone_copying(plan: &Plan) -> io::Result<(u32, OwnedFd)> {
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
