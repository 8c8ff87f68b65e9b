//! The `neap` command. All of it is in `neap::cli`; this is the door.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo))]

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == neap::anchor::NAME) {
        return neap::anchor::main();
    }
    neap::cli::main()
}
