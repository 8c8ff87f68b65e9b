//! `neap import`: YAML to the Lua that means the same.

mod command;
mod config;
mod table;
mod text;

pub(super) use command::import;

#[cfg(test)]
mod tests;
