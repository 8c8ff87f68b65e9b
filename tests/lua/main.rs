//! The Lua runtime from outside: sandbox, limits, evaluation.
#![cfg(feature = "lua")]

mod files;
mod hostile;
mod sandbox;
mod support;
