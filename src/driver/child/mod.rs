//! Between clone and exec: the child shares our memory, so it makes system calls by itself and does nothing else.
//!
//! It allocates nothing, takes no lock, calls no C library (whose errno is our thread's), and cannot panic. Each step
//! that fails is written into the reporting pipe, and the program is not executed.
//!
//! Signals stay blocked until just before the program is executed: one with a core dump, had while our memory is
//! shared, would end the supervisor along with the child on kernels before 5.16.

mod clone;
mod plan;
mod raw;
mod setup;

pub(super) use clone::{clone_copying, clone_sharing};
pub(super) use plan::{EXECUTING, FILES_AWAITED, FILES_UNSHARED, PidVariable, Plan, REPORT, UNSHARED};
