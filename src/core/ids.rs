//! Names for things, as numbers that are never used twice.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A process's place in the machine; a name that is deleted and made again gets a new one.
    ProcessId, "p"
);
id!(
    /// One incarnation of a process: made for each spawn attempt, never reused, carried by all that belongs to it.
    RunId, "r"
);
id!(
    /// A command; chosen by who gives it, echoed in the reply.
    CommandId, "c"
);

id!(
    /// A connection that was accepted for a process with one instance a connection; chosen by the driver, never reused.
    ConnectionId, "n"
);

/// A process id of the kernel's. Never signalled by number alone: see `driver::identity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pid(pub u32);

impl Pid {
    /// What stands for the process that a task's run does not have.
    pub const TASK: Pid = Pid(0);
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
