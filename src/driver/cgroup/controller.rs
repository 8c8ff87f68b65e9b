//! What of a host cgroups can limit.

/// A controller that limits have to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Controller {
    /// Memory, and swap along with it.
    Memory,
    /// Processor time.
    Cpu,
    /// Processes and threads.
    Pids,
    /// Disks.
    Io,
}

impl Controller {
    /// All of them.
    pub(in crate::driver) const ALL: [Controller; 4] =
        [Controller::Memory, Controller::Cpu, Controller::Pids, Controller::Io];

    /// What version 2 calls it.
    pub(in crate::driver) fn version2(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Cpu => "cpu",
            Controller::Pids => "pids",
            Controller::Io => "io",
        }
    }

    /// What version 1 calls it.
    pub(in crate::driver) fn version1(self) -> &'static str {
        match self {
            Controller::Io => "blkio",
            other => other.version2(),
        }
    }
}
