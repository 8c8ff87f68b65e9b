//! The `neap` module, one file a part.

mod events;
mod finish;
mod group;
mod handle;
mod inputs;
mod json;
mod log;
mod module;
mod probes;
mod process;
mod runtime;
mod settings;

pub use finish::finish;
pub use module::{attach, loaded, register};
