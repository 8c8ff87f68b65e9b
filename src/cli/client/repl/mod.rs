//! `neap repl`: a Lua prompt at the running instance.

mod aside;
mod colon;
mod complete;
mod console;
mod history;
mod terminal;

use std::io::{BufRead, IsTerminal, stdin, stdout};

use super::args;
use super::context::Context;
use super::lua_session::{Opened, Opening, Session};
use super::table::Sheet;
use crate::cli::exit::{Exit, Failure};
use crate::rpc::proto::v1::EvalOpen;
use aside::Place;
use console::{Console, Step};

/// Attaches to the instance, until the end of the input.
pub(super) fn repl(args: &args::Repl, context: &mut Context) -> Result<Exit, Failure> {
    let terms = EvalOpen {
        read_only: args.read_only,
        width: Sheet::of_stdout(context.voice.out).width.and_then(|width| u32::try_from(width).ok()),
        name: Some("repl".to_owned()),
    };
    let opened = Session::open(context, Opening { terms, renew: true })?;
    if stdin().is_terminal() && stdout().is_terminal() {
        terminal::converse(args, context, opened)
    } else {
        read_all(args, context, opened)
    }
}

/// Evaluates the lines of stdin. The first that fails ends it: the next would do something in a world that is not the
/// one it was written for.
fn read_all(args: &args::Repl, context: &Context, opened: Opened) -> Result<Exit, Failure> {
    let Opened { session, asides, .. } = opened;
    aside::show(asides, context.voice, Place::Streams)?;
    let mut console = Console::new(context, session, false, args.read_only);
    for line in stdin().lock().lines() {
        let line = line.map_err(|error| Failure::new(format!("cannot read stdin: {error}")))?;
        match console.take(&line)? {
            Step::Done | Step::More => {}
            Step::Failed(exit) | Step::Over(exit) => return Ok(exit),
        }
    }
    if console.is_waiting() {
        return Err(Failure::new("the input ends in the middle of a statement"));
    }
    Ok(Exit::Done)
}
