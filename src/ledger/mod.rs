//! What is written down, so that a successor goes on from it: the journal of runs in the runtime folder, and in the
//! state folder what outlives a reboot. It keeps bytes, and knows nothing of the machine.

mod file;
mod format;
mod journal;
mod key;
mod lock;

pub use journal::{Found, Ledger, LedgerError, Records};
pub use lock::{Lock, LockError, Owner};
