//! What the child reads, and the words it says.

use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::AtomicPtr;

use crate::core::SpawnStep;
use crate::driver::fdmap::FdMap;
use crate::driver::launch::Launch;
use crate::driver::sys::Shared;

/// The child shares our descriptor table.
pub(in crate::driver) const FILES_SHARED: u32 = 0;
/// It still did when we last looked: it writes [`UNSHARED`] into the pipe once it no longer does.
pub(in crate::driver) const FILES_AWAITED: u32 = 1;
/// It has a table of its own: we may close what it inherited.
pub(in crate::driver) const FILES_UNSHARED: u32 = 2;

/// In the pipe: the child has a descriptor table of its own.
pub(in crate::driver) const UNSHARED: u8 = b'u';
/// In the pipe of a child with memory of its own: the program is executed next.
pub(in crate::driver) const EXECUTING: u8 = b'x';
/// In the pipe: a failure; [`Report`] follows.
pub(in crate::driver) const FAILED: u8 = b'f';

/// A failure as it stands in the pipe: step, index, errno, four bytes each.
pub(in crate::driver) const REPORT: usize = 12;

/// A variable's bytes that the child completes: `NAME=`, then room for a pid and a NUL.
pub(in crate::driver) struct PidVariable {
    bytes: Box<[UnsafeCell<u8>]>,
    digits_at: usize,
}

/// Room for the digits of a pid and a NUL.
const PID_ROOM: usize = 11;

impl PidVariable {
    pub(in crate::driver) fn new(name: &[u8]) -> PidVariable {
        let bytes = name.iter().copied().chain([b'=']).chain([0; PID_ROOM]).map(UnsafeCell::new).collect();
        PidVariable { bytes, digits_at: name.len() + 1 }
    }

    pub(in crate::driver) fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    /// Only the child calls this.
    pub(super) fn write(&self, pid: u32) {
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
            // SAFETY: only the child writes here, and we read nothing of it while a child is in flight. Volatile, so that
            // no call of the C library's memcpy is made of it.
            unsafe { to.get().write_volatile(*from) };
        }
    }
}

/// Everything the child reads. Kept where it is until the child no longer needs it.
pub(in crate::driver) struct Plan {
    pub(in crate::driver) launch: Launch,
    pub(in crate::driver) fds: FdMap,
    /// Pointers to the arguments, then null.
    pub(in crate::driver) argv: Vec<*const c_char>,
    /// Pointers to the variables, then null.
    pub(in crate::driver) envp: Vec<*const c_char>,
    pub(in crate::driver) pid_variables: Vec<PidVariable>,
    /// Pointers to the programs.
    pub(in crate::driver) programs: Vec<*const c_char>,
    /// The reporting pipe's writing end, as we number it.
    pub(in crate::driver) pipe: RawFd,
    /// `cgroup.procs` of the child's cgroup, to be joined by the child itself.
    pub(in crate::driver) join: Option<OwnedFd>,
    /// Without close_range(2): close numbers one by one up to this one.
    pub(in crate::driver) close_up_to: Option<u32>,
    /// The text for oom_score_adj.
    pub(in crate::driver) oom_score: Option<Vec<u8>>,
    /// The highest capability this kernel has.
    pub(in crate::driver) last_capability: u32,
    /// For tests: the step that fails, and how.
    pub(in crate::driver) fault: Option<(SpawnStep, i32)>,
    /// What we share with the child; null when it has its own memory.
    pub(in crate::driver) shared: AtomicPtr<Shared>,
}

// SAFETY: the pointers lead into `launch` and `pid_variables`, which move along with the plan and are not changed.
unsafe impl Send for Plan {}
// SAFETY: as above; the child alone writes, into `pid_variables`.
unsafe impl Sync for Plan {}
