//! What can go wrong for who holds a handle.

use crate::core::{Refusal, SnapshotError};

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The kernel refused something the engine needs.
    #[error("cannot start the supervisor: {what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// What the supervisor before this one wrote down cannot be gone on from.
    #[error("cannot go on from the ledger: {0}")]
    Ledger(#[from] SnapshotError),
}

/// Why a command did not come to what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The supervisor refused it, or it failed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The supervisor is gone.
    #[error("the supervisor has ended")]
    Ended,
    /// A [`FunctionHost`](crate::FunctionHost) asked a question that the thread it was called on would have to answer.
    #[error("asked from the supervisor's own thread, which would wait for itself; hand the call to another thread")]
    OwnThread,
}
