//! The keys by which what the machine knows is written down.

use super::ids::ProcessId;

/// What a record is about. The store keeps bytes by these keys, and knows nothing of what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKey {
    /// What belongs to no process: counters, the generation, what is wanted of all.
    Instance,
    /// A definition, by a number of its own: processes refer to it.
    Spec(u64),
    /// A process, and the run it has.
    Process(ProcessId),
    /// The driver's own, such as what it knows of a run.
    Driver(u64),
}
