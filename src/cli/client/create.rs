//! `neap create`: a process that no configuration has.

use std::io::{Write, stderr};

use super::act::{self, Verb};
use super::args::{Act, Create};
use super::context::{Context, failure};
use super::flags::SpecFlags;
use super::json;
use super::link::ClientError;
use super::look::word;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, USAGE};
use crate::cli::narrate::Talk;
use crate::cli::problems::Refused;
use crate::rpc::proto::v1::{CreateRequest, CreateResponse, ListRequest, Problem, create_request::Definition};
use crate::spec::{Problem as SpecProblem, Severity};

/// Makes it, and waits for its start if it starts by itself.
pub(super) fn create(mut args: Create, context: &mut Context) -> Result<Exit, Failure> {
    if !args.command.is_empty() {
        args.spec.command(&args.command);
    } else if !args.spec.has("shell") {
        let name = &args.name;
        let called = context.voice.called;
        let text = format!("what is to be run? `{called} create {name} -- PROGRAM ARGUMENT…`, or --shell 'LINE'");
        return Err(Failure::new(text).exit(USAGE));
    }
    let definition = Some(Definition::Json(args.spec.json(Some(&args.name))));
    let request = CreateRequest { definition, dry_run: args.dry_run };
    let response = match context.client().create(request) {
        Ok(response) => response,
        Err(error) => {
            return taken(&error, &args.name, context).map_or_else(|| refused(&error, &args.spec, context), Err);
        }
    };
    warn(&response.warnings, &args.spec, context);
    if args.dry_run || args.waiting.no_wait || !args.spec.is_true("auto_start") {
        return say(&args, &response, context);
    }
    let process = response.process.unwrap_or_default();
    let start = Act { names: vec![process.id], waiting: args.waiting, dry_run: false };
    act::act(Verb::Create, &start, context)
}

fn say(args: &Create, response: &CreateResponse, context: &Context) -> Result<Exit, Failure> {
    if context.voice.json {
        context.print(&json::line(response))?;
    } else if context.voice.talk > Talk::Quiet {
        let (name, called) = (&args.name, context.voice.called);
        context.print(&match (args.dry_run, args.spec.is_true("auto_start")) {
            (true, _) => format!("{name}: would be created"),
            (false, true) => format!("{name}: created, and starting"),
            (false, false) if args.spec.has("listen") => format!("{name}: created; a connection starts it"),
            (false, false) => format!("{name}: created; `{called} start {name}` starts it"),
        })?;
    }
    Ok(Exit::Done)
}

/// Who has the name already, and what can be done about it.
fn taken(error: &ClientError, name: &str, context: &mut Context) -> Option<Failure> {
    let ClientError::Refused { detail, .. } = error else { return None };
    if detail.code != "exists" {
        return None;
    }
    let list = ListRequest { names: vec![name.to_owned()] };
    let there = context.client().list(list).ok()?.processes.into_iter().next()?;
    let pid = there.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let called = context.voice.called;
    let (whose, else_what) = match there.runtime {
        true => ("made at run time", format!("`{called} delete {name}` forgets it")),
        false => ("of the configuration", "take another name".to_owned()),
    };
    let state = word(there.state());
    let text =
        format!("there is a `{name}` already, {whose}, {state}{pid}; `{called} update {name}` changes it, {else_what}");
    Some(Failure::new(text).exit(Exit::Refused))
}

/// Says why it was refused, with the flags that are to blame.
pub(super) fn refused(error: &ClientError, flags: &SpecFlags, context: &Context) -> Result<Exit, Failure> {
    let failed = failure(error);
    let ClientError::Refused { detail, .. } = error else { return Err(failed) };
    let wrong: Vec<&Problem> = detail.problems.iter().filter(|problem| !problem.warning).collect();
    if wrong.is_empty() {
        return Err(failed);
    }
    if context.voice.json {
        let problems: Vec<SpecProblem> = detail.problems.iter().map(|told| problem(told, flags)).collect();
        let text = serde_json::to_string(&Refused::new(&problems)).map_err(|error| Failure::new(error.to_string()))?;
        // Nothing to be done about a stderr that takes nothing.
        let _ = writeln!(stderr(), "{text}");
        return Ok(failed.exit);
    }
    let (last, others) = wrong.split_last().map_or((None, &[][..]), |(last, others)| (Some(last), others));
    others.iter().for_each(|problem| context.voice.error(&escape(flags.explain(problem).as_bytes())));
    let last = last.map(|problem| escape(flags.explain(problem).as_bytes())).unwrap_or_default();
    Err(Failure::new(last).exit(failed.exit))
}

/// For programs: the message as people read it, the field as it is called in all front ends.
fn problem(told: &Problem, flags: &SpecFlags) -> SpecProblem {
    SpecProblem {
        severity: if told.warning { Severity::Warning } else { Severity::Error },
        file: told.file.clone(),
        line: told.line,
        process: told.process.clone(),
        field: told.field.clone(),
        message: flags.explain(told),
    }
}

/// What was odd, and gone on with.
pub(super) fn warn(warnings: &[Problem], flags: &SpecFlags, context: &Context) {
    for warning in warnings {
        context.say(&escape(format!("neap: warning: {}", flags.explain(warning)).as_bytes()));
    }
}
