//! Cgroups: what holds trees together (version 2), and limits on them (both versions).

mod controller;
mod files;
mod limiter;
mod names;
mod own;
mod tree;
mod version1;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) use limiter::{Limited, Limiter};
pub(super) use tree::{Base, Leaf};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
