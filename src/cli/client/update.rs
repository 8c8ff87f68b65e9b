//! `neap update`: a process that is there becomes another, where it can without a restart.

use super::args::Update;
use super::context::Context;
use super::create::{refused, warn};
use super::json::Json;
use super::link::ClientError;
use super::look::{pid, word};
use super::waiting::{Patience, wait};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, USAGE};
use crate::cli::narrate::Talk;
use crate::rpc::proto::v1::{
    Change, FieldChange, RestartRequest, UpdateRequest, UpdateResponse, update_request::Changes,
};

/// Changes it; with a restart, waits until it is ready.
pub(super) fn update(mut args: Update, context: &mut Context) -> Result<Exit, Failure> {
    if !args.command.is_empty() {
        args.spec.command(&args.command);
    }
    if args.spec.is_empty() && args.unset.is_empty() {
        let text = format!("what is to change? `neap update {} --restart-delay 5s`, say; see --help", args.name);
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
        context.print(&Json::of(&response).line())?;
    } else if context.voice.talk > Talk::Quiet {
        context.print(text(&response, &args).trim_end())?;
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

fn text(response: &UpdateResponse, args: &Update) -> String {
    let unchanged = Change { name: args.name.clone(), ..Change::default() };
    let change = response.change.as_ref().unwrap_or(&unchanged);
    let name = &change.name;
    if change.fields.is_empty() {
        return format!("{name}: nothing changes");
    }
    let mut text: String = change.fields.iter().map(line).collect();
    let of = |effect: &str| {
        let fields = change.fields.iter().filter(|field| field.effect == effect);
        fields.map(|field| field.path.as_str()).collect::<Vec<_>>().join(", ")
    };
    let would = if args.dry_run { "would be " } else { "" };
    let up = response.process.as_ref().is_some_and(|process| process.pid.is_some());
    let (restart, reload) = (of("restart"), of("reload"));
    if response.restarted {
        let now = response.process.as_ref().map(|process| (word(process.state()), pid(process)));
        let now = now.map(|(state, pid)| format!(": {state} (pid {pid})")).unwrap_or_default();
        text.push_str(&format!("{name}: updated and restarted{now}\n"));
    } else if args.waiting.no_wait && args.restart_process && !args.dry_run && needs_restart(response) {
        text.push_str(&format!("{name}: updated, and restarting\n"));
    } else if up && !restart.is_empty() {
        let how = if args.dry_run { "--restart-process restarts it".into() } else { format!("`neap restart {name}`") };
        let word = if args.dry_run { "would need" } else { "need" };
        text.push_str(&format!("{name}: {would}updated; with the next run: {restart} ({word} a restart: {how})\n"));
    } else {
        text.push_str(&format!("{name}: {would}updated\n"));
    }
    if up && !response.restarted && !reload.is_empty() {
        text.push_str(&format!("{name}: once it has read its configuration again: {reload} (`neap reload {name}`)\n"));
    }
    text
}

fn line(field: &FieldChange) -> String {
    let before = field.before.as_deref().unwrap_or("nothing");
    let after = field.after.as_deref().unwrap_or("nothing");
    let line = match (&field.before, &field.after) {
        (None, None) => field.path.clone(),
        _ => format!("{}: {before} -> {after}", field.path),
    };
    format!("  {}\n", escape(line.as_bytes()))
}
