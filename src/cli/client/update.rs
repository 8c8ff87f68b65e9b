//! `neap update`: a process that is there becomes another, where it can without a restart.

use super::args::Update;
use super::context::Context;
use super::create::{refused, warn};
use super::diff::{self, Look};
use super::json;
use super::link::ClientError;
use super::look::{pid, word};
use super::plan;
use super::waiting::{Patience, wait};
use crate::cli::args::NAME;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, USAGE};
use crate::cli::narrate::Talk;
use crate::rpc::proto::v1::{Change, RestartRequest, UpdateRequest, UpdateResponse, update_request::Changes};

/// Changes it; with a restart, waits until it is ready.
pub(super) fn update(mut args: Update, context: &mut Context) -> Result<Exit, Failure> {
    if !args.command.is_empty() {
        args.spec.command(&args.command);
    }
    if args.spec.is_empty() && args.unset.is_empty() {
        let (called, name) = (context.voice.called, &args.name);
        let text = format!("what is to change? `{called} update {name} --restart-delay 5s`, say; see --help");
        return Err(Failure::new(text).exit(USAGE));
    }
    let mut request = UpdateRequest {
        name: args.name.clone(),
        changes: Some(Changes::Json(args.spec.json(None))),
        unset: args.unset.iter().map(|key| key.trim_start_matches("--").to_owned()).collect(),
        restart_process: args.restart_process,
        dry_run: args.dry_run,
    };
    // Who does not wait for it asks for it by itself.
    let later = args.restart_process && args.waiting.no_wait && !args.dry_run;
    request.restart_process &= !later;
    let response = match send(request, &args, context)? {
        Ok(response) => response,
        Err(error) => return refused(&error, &args.spec, context),
    };
    warn(&response.warnings, &args.spec, context);
    if context.voice.json {
        context.print(&json::line(&response))?;
    } else if context.voice.talk > Talk::Quiet {
        context.print(text(&response, &args, (plan::look(context), context.voice.called)).trim_end())?;
    }
    let process = response.process.as_ref().filter(|_| later && needs_restart(&response));
    let Some(process) = process else { return Ok(Exit::Done) };
    let restart = RestartRequest { names: vec![process.id.clone()], no_wait: true, ..RestartRequest::default() };
    context.call(|client| client.restart(restart))?;
    Ok(Exit::Done)
}

fn send(
    request: UpdateRequest,
    args: &Update,
    context: &mut Context,
) -> Result<Result<UpdateResponse, ClientError>, Failure> {
    if !request.restart_process || request.dry_run {
        return Ok(context.client().update(request));
    }
    let what = format!("{} to be ready", args.name);
    let patience = Patience { what: &what, action: "the restart", timeout: args.waiting.timeout };
    wait(context, &patience, move |client| client.update(request), &mut |_| None)
}

fn needs_restart(response: &UpdateResponse) -> bool {
    let up = response.process.as_ref().is_some_and(|process| process.pid.is_some());
    up && response.change.iter().flat_map(|change| &change.fields).any(|field| field.effect == "restart")
}

/// What changed, and what becomes of it.
fn text(response: &UpdateResponse, args: &Update, (look, called): (Look, &str)) -> String {
    let unchanged = Change { name: args.name.clone(), action: "unchanged".into(), ..Change::default() };
    let change = response.change.as_ref().unwrap_or(&unchanged);
    let name = escape(change.name.as_bytes());
    if change.fields.is_empty() {
        return format!("{name}: nothing changes");
    }
    let change_told = if args.dry_run { diff::text_ahead } else { diff::text };
    let mut text = change_told(std::slice::from_ref(change), look);
    let waiting: Vec<&str> =
        change.fields.iter().filter(|field| field.effect == "restart").map(|field| field.path.as_str()).collect();
    let waiting = escape(waiting.join(", ").as_bytes());
    let would = if args.dry_run { "would be " } else { "" };
    let restarts = args.restart_process && needs_restart(response);
    text.push_str(&if response.restarted {
        let now = response.process.as_ref().map(|process| (word(process.state()), pid(process)));
        let now = now.map(|(state, pid)| format!(": {state} (pid {pid})")).unwrap_or_default();
        format!("{name}: updated and restarted{now}\n")
    } else if restarts && args.dry_run {
        format!("{name}: would be updated and restarted\n")
    } else if restarts {
        format!("{name}: updated, and restarting\n")
    } else if needs_restart(response) && (args.dry_run || called != NAME) {
        format!("{name}: {would}updated; in force after a restart: {waiting} (--restart-process gives it)\n")
    } else if needs_restart(response) {
        format!("{name}: updated; in force after `neap restart {name}`: {waiting}\n")
    } else {
        format!("{name}: {would}updated\n")
    });
    if response.process.as_ref().is_some_and(|process| process.overridden) && !args.dry_run {
        let apply = if called == NAME { "apply" } else { "reload-config" };
        text.push_str(&format!("{name}: other than its configuration says, until the next `{called} {apply}`\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::Command;
    use super::super::diff::Look;
    use super::super::look::samples::web;
    use super::super::table::Sheet;
    use super::text;
    use crate::cli::args::{Cli, Command as Any, NAME};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{Change, FieldChange, State, UpdateResponse};

    fn told(flags: &[&str], effect: &str, restarted: bool) -> String {
        told_by(NAME, flags, effect, restarted)
    }

    fn told_by(called: &str, flags: &[&str], effect: &str, restarted: bool) -> String {
        let line = [&["neap", "update", "web"], flags].concat();
        let Any::Client(Command::Update(args)) = Cli::try_parse_from(line).unwrap().command else { panic!() };
        let (before, after) = (None, Some("\"2\"".to_owned()));
        let field = FieldChange { path: "env.B".into(), effect: effect.into(), before, after, r#override: false };
        let (name, action, fields) = ("web".to_owned(), "updated".to_owned(), vec![field]);
        let change = Change { name, action, fields, state: State::Running.into(), ..Change::default() };
        let response =
            UpdateResponse { change: Some(change), restarted, process: Some(web()), ..UpdateResponse::default() };
        let look = Look { sheet: Sheet { paint: Paint::off(), width: None }, whole: false };
        text(&response, &args, (look, called)).lines().skip(2).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_becomes_of_an_update_is_a_sentence() {
        let env = ["--env", "B=2"];
        let with = |more: &[&'static str]| [&env, more].concat();
        for (flags, effect, restarted, expected) in [
            (with(&[]), "live", false, "web: updated"),
            (with(&["--dry-run"]), "live", false, "web: would be updated"),
            (with(&[]), "restart", false, "web: updated; in force after `neap restart web`: env.B"),
            (with(&["--restart-process"]), "restart", true, "web: updated and restarted: running (pid 4711)"),
            (with(&["--restart-process", "--no-wait"]), "restart", false, "web: updated, and restarting"),
            (with(&["--restart-process", "--dry-run"]), "restart", false, "web: would be updated and restarted"),
            (
                with(&["--dry-run"]),
                "restart",
                false,
                "web: would be updated; in force after a restart: env.B (--restart-process gives it)",
            ),
        ] {
            assert_eq!(told(&flags, effect, restarted), expected, "{flags:?}");
        }
        // The older client has no `restart`.
        let older = told_by("dd-procmgr", &env, "restart", false);
        assert_eq!(older, "web: updated; in force after a restart: env.B (--restart-process gives it)");
    }
}
