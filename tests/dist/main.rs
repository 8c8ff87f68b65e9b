//! What is shipped beside the program: how it is installed and taken out again, and how it runs in a container.

#[path = "../support/mod.rs"]
mod common;
mod container;
mod install;
