//! Commands that talk to a running instance over its control socket: a file a command, and what they share.

pub(super) mod args;
mod command;
mod json;
mod table;

pub(super) use command::run;
