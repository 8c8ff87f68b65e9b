//! The C interface: a supervisor of one's own, or a running instance, for whoever can call C.
//!
//! `include/neap.h` is made of [`ffi`], comments and all, and is what C programmers read; `docs/c.md` is the guide.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a handle is a number of 64 bits in a pointer's clothes: there is no room for it here");

mod backend;
mod calls;
mod events;
mod failure;
mod ffi;
mod handles;
mod instance;
mod logs;
mod stream;
mod text;
mod threads;
mod wait;
