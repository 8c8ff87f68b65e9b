//! A system call without the C library, whose errno is our thread's.

use std::arch::asm;

/// A system call; what is negative is an errno.
#[inline(always)]
pub(super) fn call(number: i64, arguments: [u64; 5]) -> isize {
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
