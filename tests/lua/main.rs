//! The Lua runtime from outside: sandbox, limits, evaluation.
#![cfg(feature = "lua")]

mod hostile;
mod support;
