//! Commands that talk to a running instance over its control socket: a file a command, and what they share.

mod act;
mod apply;
pub(super) mod args;
pub(super) mod candidates;
mod command;
mod context;
mod create;
mod describe;
mod diff;
mod down;
mod eval;
mod events;
mod exec;
mod flags;
mod follow;
mod graph;
mod health;
mod link;
mod list;
mod logs;
mod look;
mod lua_session;
mod plan;
mod repl;
mod settle;
mod shown;
mod stats;
mod status;
mod table;
mod update;
mod waiting;
mod why;

use crate::rpc::json;

pub(super) use command::run;
