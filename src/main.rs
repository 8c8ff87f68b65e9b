//! The `neap` command. All of it is in `neap::cli`; this is the door.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo))]

use std::process::ExitCode;

fn main() -> ExitCode {
    neap::cli::main()
}
