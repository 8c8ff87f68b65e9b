//! Lua patterns (reference manual §6.4.1), matched by our own code.
//!
//! The stock functions backtrack in native code that no hook reaches: `(("a*"):rep(40) .. "b")` against a few dozen
//! letters runs for longer than anybody lives. These match the same way, with the same results and the same errors,
//! and count what they do against the deadline of the call.

mod class;
mod functions;
mod matcher;
mod replace;

pub(super) use functions::install;

#[cfg(test)]
mod tests;
