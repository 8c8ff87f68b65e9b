//! `neap eval`: Lua in the instance, for scripts.

use std::io::{Read, Write, stderr, stdin};

use super::args;
use super::context::{Context, print, unwritten};
use super::lua_session::{Aside, Opened, Opening, Outcome, Session};
use super::shown::{self, Printed, escape_lines};
use super::table::Sheet;
use crate::cli::exit::{Exit, Failure, INTERRUPTED};
use crate::cli::paint::Paint;
use crate::rpc::proto::v1::{EvalError, EvalOpen, EvalResult};

/// Evaluates it.
pub(super) fn eval(args: &args::Eval, context: &mut Context) -> Result<Exit, Failure> {
    let text = match args.lua.as_str() {
        "-" => whole_input()?,
        text => text.to_owned(),
    };
    let json = context.voice.json;
    let terms = EvalOpen {
        read_only: args.read_only,
        width: Sheet::of_stdout(context.voice.out).width.and_then(|width| u32::try_from(width).ok()),
        name: Some("eval".to_owned()),
    };
    let Opened { mut session, asides, .. } = Session::open(context, Opening { terms, renew: false })?;
    let mut printed = Printed::new();
    let outcome = session.evaluate(&text, args.timeout, &mut |piece| {
        if json {
            // Stdout is for the one answer.
            stderr().write_all(piece.as_bytes()).map_err(|error| unwritten(&error))
        } else {
            printed.piece(piece)
        }
    });
    for aside in asides.try_iter() {
        if let Aside::Notice(text) = aside {
            context.say(&escape_lines(&text));
        }
    }
    printed.finish()?;
    match outcome? {
        Outcome::Value(EvalResult { not_json: Some(why), .. }) if json => {
            Err(Failure::new(format!("it was evaluated, and is not shown: {why}")))
        }
        Outcome::Value(result) if json => print(shown::json(&result).as_bytes()).map(|()| Exit::Done),
        Outcome::Value(result) => {
            result.values.iter().try_for_each(|value| printed.lines(value))?;
            Ok(Exit::Done)
        }
        Outcome::Failed(error) => Err(failed(&error, json)),
        Outcome::GivenUp => Err(Failure::new("cancelled").exit(INTERRUPTED)),
        Outcome::Silent => Err(Failure::new(
            "it took longer than that, and the instance does not cut it off: is its \
            supervisor stopped?",
        )
        .exit(Exit::TimedOut)),
        Outcome::Lost(why) | Outcome::Ended(why) => {
            let text = format!("{}; what came of it is not known", escape_lines(&why));
            Err(Failure::new(text).exit(Exit::Unreachable))
        }
    }
}

fn whole_input() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    stdin().lock().read_to_end(&mut bytes).map_err(|error| Failure::new(format!("cannot read stdin: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::new("what stands on stdin is not UTF-8 text"))
}

fn failed(error: &EvalError, json: bool) -> Failure {
    let exit = match error {
        EvalError { cancelled: true, .. } => INTERRUPTED,
        EvalError { timed_out: true, .. } => Exit::TimedOut,
        _ => Exit::Failed,
    };
    let text = if json { error.message.clone() } else { shown::error(error, Paint::off()) };
    Failure::new(text).exit(exit)
}
