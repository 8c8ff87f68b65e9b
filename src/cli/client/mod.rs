//! Commands that talk to a running instance over its control socket: a file a command, and what they share.

mod act;
mod apply;
pub(super) mod args;
mod command;
mod context;
mod create;
mod describe;
mod down;
mod events;
mod exec;
mod flags;
mod follow;
mod health;
mod json;
mod link;
mod list;
mod logs;
mod look;
mod stats;
mod status;
mod table;
mod update;
mod waiting;

pub(super) use command::run;
