//! Syscalls without policy: the machine's outputs in, the kernel's answers out.

pub mod caps;
mod cgroup;
mod child;
pub mod contain;
pub mod creds;
mod dumpable;
pub mod exit;
mod failure;
pub mod fdmap;
mod group;
pub mod identity;
mod launch;
pub mod limits;
mod slots;
pub mod spawn;
pub mod sys;
