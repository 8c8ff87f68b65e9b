//! An instance: a supervisor with a configuration, places of its own, and a life longer than its process's.

mod begin;
mod evaluate;
mod handle;
pub(crate) mod places;

pub(crate) use begin::{BeginError, Begun, Start, begin};
pub(crate) use evaluate::{Narrow, Outcome, problem, request};
pub(crate) use handle::Instance;
