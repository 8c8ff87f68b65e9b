//! The anchor by itself: a program of its own is smaller by far than all of Neap, and it is never replaced while it runs.
//! `neap` executes it when it lies beside it, and itself otherwise.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo))]

use std::process::ExitCode;

fn main() -> ExitCode {
    neap::anchor::main_alone()
}
