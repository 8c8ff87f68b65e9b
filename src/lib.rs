//! Neap: a process supervisor, as a library first.

mod block;
#[cfg(feature = "cli")]
pub mod cli;
pub mod core;
pub mod driver;
mod events;
mod log;
#[cfg(feature = "lua")]
pub mod lua;
mod mailbox;
#[cfg(feature = "sim")]
pub mod sim;
pub mod spec;
mod supervisor;

pub use supervisor::*;

/// The guide's Rust, run by `cargo test --doc`.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/rust.md")]
    struct Rust;
}
