//! From a [`Launch`] to an executed child.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::core::{Pid, SpawnError};

pub use super::launch::{DEFAULT_PATH, Ids, Launch, RlimitSet, Stdio, candidates};

/// How children are made on this machine, and why not better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LauncherStatus {
    /// The way that is taken.
    pub method: Method,
    /// Why it is not clone3, when it is not; else empty.
    pub reason: String,
}

/// A way to make a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// clone3(2), sharing memory and descriptors until the program is executed.
    Clone3,
    /// A copy of our memory, as fork(2) makes it: slow for a large program.
    Fork,
}

/// Makes children. One an engine; used from its thread.
pub struct Launcher {}

impl Launcher {
    /// Finds out what this kernel allows.
    pub fn new() -> Launcher {
        Launcher {}
    }

    /// Makes a child and returns at once, usually before it executed its program. Nothing is read or looked up.
    ///
    /// # Errors
    /// No child was made, and nothing is left of it.
    pub fn launch(&self, launch: Launch) -> Result<InFlight, SpawnError> {
        let _ = launch;
        unimplemented!("filled in next")
    }

    /// Which way is taken, for `status`.
    pub fn status(&self) -> LauncherStatus {
        LauncherStatus { method: Method::Clone3, reason: String::new() }
    }
}

impl Default for Launcher {
    fn default() -> Self {
        Launcher::new()
    }
}

/// A child on its way to its program. It owns everything the child still needs; dropping it keeps that until the child
/// no longer does.
#[must_use = "finish it when its exec pipe or its pidfd is readable"]
pub struct InFlight {
    pid: Pid,
    pidfd: OwnedFd,
    pipe: OwnedFd,
}

/// How far a child in flight is.
#[must_use]
pub enum Finish {
    /// Not there yet: ask again when the exec pipe or the pidfd is readable (again).
    Pending(InFlight),
    /// The program was executed.
    Executed(Child),
    /// The program was not executed; the child has ended and was reaped.
    Failed(SpawnError),
}

/// A child that executed its program.
#[derive(Debug)]
pub struct Child {
    /// Its pid.
    pub pid: Pid,
    /// Its pidfd, readable when it has ended.
    pub pidfd: OwnedFd,
}

impl InFlight {
    /// The child's pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The child's pidfd. Watch it along with the exec pipe: a child killed at once may say nothing through the pipe.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The pipe that becomes readable (or hangs up) when the program was executed or could not be.
    pub fn exec_pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Call when the exec pipe or the pidfd is readable. Never blocks for longer than a killed child takes to end.
    pub fn finish(self) -> Finish {
        Finish::Pending(self)
    }
}
