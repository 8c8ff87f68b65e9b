//! Syscalls without policy: the machine's outputs in, the kernel's answers out.

pub mod caps;
pub mod contain;
pub mod creds;
pub mod exit;
pub mod fdmap;
pub mod identity;
mod launch;
pub mod limits;
pub mod spawn;
pub mod sys;
