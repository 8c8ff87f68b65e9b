//! Programs in C, C++ and Python against the library: what they show, whoever holds it, and however.

mod daemon;
mod docs;
mod install;
mod own;
mod support;
