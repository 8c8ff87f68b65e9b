//! What is written down, so that a successor goes on from it: the journal of runs in the runtime folder, and in the
//! state folder what outlives a reboot. It keeps bytes, and knows nothing of the machine.

mod definitions;
mod file;
mod format;
#[cfg(feature = "lua")]
mod generations;
mod journal;
mod key;
mod lock;
mod state;

pub use definitions::Definitions;
#[cfg(feature = "lua")]
pub use generations::{Generations, Record, Told};
pub use journal::{Found, Ledger, LedgerError, Records};
pub use lock::{Lock, LockError, Owner};
pub use state::StateError;
