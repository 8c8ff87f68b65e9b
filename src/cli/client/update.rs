//! `neap update`: a process that is there becomes another, where it can without a restart.

use super::act::{self, Verb};
use super::args::{Act, Update};
use super::context::Context;
use super::create::{refused, warn};
use super::json::Json;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, USAGE};
use crate::cli::narrate::Talk;
use crate::rpc::proto::v1::{Change, FieldChange, UpdateRequest, UpdateResponse, update_request::Changes};

/// Changes it; with a restart, waits until it is ready.
pub(super) fn update(mut args: Update, context: &mut Context) -> Result<Exit, Failure> {
    if !args.command.is_empty() {
        args.spec.command(&args.command);
    }
    if args.spec.is_empty() && args.unset.is_empty() {
        let text = format!("what is to change? `neap update {} --restart-delay 5s`, say; see --help", args.name);
        return Err(Failure::new(text).exit(USAGE));
    }
    let request = UpdateRequest {
        name: args.name.clone(),
        changes: Some(Changes::Json(args.spec.json(None))),
        unset: args.unset.iter().map(|key| key.trim_start_matches("--").to_owned()).collect(),
        restart_process: args.restart_process,
        dry_run: args.dry_run,
    };
    let response = match context.client().update(request) {
        Ok(response) => response,
        Err(error) => return refused(&error, &args.spec, context),
    };
    warn(&response.warnings, &args.spec, context);
    if context.voice.json {
        context.print(&Json::of(&response).line())?;
    } else if context.voice.talk > Talk::Quiet {
        context.print(text(&response, &args).trim_end())?;
    }
    let waits = response.restarted && !args.dry_run && !args.waiting.no_wait && !context.voice.json;
    match response.process {
        Some(process) if waits => {
            let start = Act { names: vec![process.id], waiting: args.waiting, dry_run: false };
            act::act(Verb::Update, &start, context)
        }
        _ => Ok(Exit::Done),
    }
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
        text.push_str(&format!("{name}: {would}updated and restarted\n"));
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
