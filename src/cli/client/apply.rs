//! `neap apply`: make the running instance what its configuration says.

use std::io::{Write, stderr};
use std::time::{Duration, Instant};

use super::act::refusal;
use super::args;
use super::context::{Context, failure};
use super::diff::{counts, counts_ahead, text, text_ahead};
use super::json::Json;
use super::look::word;
use super::plan::{absolute, look, refused, warn};
use super::settle::settle;
use super::waiting::{Patience, wait};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::units::about;
use crate::rpc::proto::v1::{
    ApplyRequest, ApplyResponse, Change, Event, GetStatusRequest, Outcome, PlanRequest, State,
};

/// Applies.
pub(super) fn apply(args: &args::Apply, context: &mut Context) -> Result<Exit, Failure> {
    let began = Instant::now();
    let config = args.config.as_ref().map(absolute).transpose()?;
    let looked_at = context.sheet().width.is_some() && !args.dry_run && !context.voice.json;
    let shown = if looked_at {
        // What will be done is shown before it is done.
        match context.client().plan(PlanRequest { config: config.clone() }) {
            Ok(planned) => {
                show(&text_ahead(&planned.changes, look(context)), context)?;
                Some(planned.changes)
            }
            Err(error) => return refused(&error, context),
        }
    } else {
        None
    };
    let before = context.call(|client| client.get_status(GetStatusRequest {}))?.sequence;
    let request = ApplyRequest { config, dry_run: args.dry_run };
    let verbose = context.voice.talk == Talk::Verbose && !context.voice.json;
    let tell = &mut |event: &Event| {
        let name = event.process.as_ref().filter(|_| verbose)?;
        Some(format!("{name}: {}", event.text))
    };
    let patience = Patience { what: "the configuration", action: "the change", timeout: args.waiting.timeout };
    let applied = match wait(context, &patience, move |client| client.apply(request), tell)? {
        Ok(applied) => applied,
        Err(error) => return refused(&error, context),
    };
    accept(&applied, args.dry_run, shown.as_deref(), context)?;
    if args.dry_run || args.waiting.no_wait {
        return finish(&applied, None, context);
    }
    let left = args.waiting.timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
    let patience = Patience { what: "what has changed", action: "the change", timeout: left };
    let names: Vec<String> = applied.changes.iter().map(|change| change.name.clone()).collect();
    let settled = wait(context, &patience, move |client| settle(client, (before, began), &names), tell)?;
    let outcomes = settled.map_err(|error| failure(&error))?;
    finish(&applied, Some(&outcomes), context)
}

fn show(text: &str, context: &Context) -> Result<(), Failure> {
    if context.voice.talk > Talk::Quiet && !text.is_empty() {
        context.print(text.trim_end())?;
    }
    Ok(())
}

/// Says that it was applied, and what that changes where that was not shown before.
fn accept(applied: &ApplyResponse, dry_run: bool, shown: Option<&[Change]>, context: &Context) -> Result<(), Failure> {
    if context.voice.json {
        return Ok(());
    }
    warn(&applied.warnings, context);
    let changes = &applied.changes;
    if dry_run {
        show(&text_ahead(changes, look(context)), context)?;
        return show(&counts_ahead(changes), context);
    }
    if shown.is_some_and(|shown| text(shown, look(context)) != text(changes, look(context))) {
        context.say("the configuration has changed meanwhile; this is what was done:");
    }
    if shown.is_none_or(|shown| text(shown, look(context)) != text(changes, look(context))) {
        show(&text(changes, look(context)), context)?;
    }
    show(&format!("generation {}: {}", applied.generation, counts(changes)), context)
}

/// Says what became of those that were started, restarted or stopped for it.
fn finish(applied: &ApplyResponse, outcomes: Option<&[Outcome]>, context: &Context) -> Result<Exit, Failure> {
    let outcomes_of = |outcomes: &[Outcome]| Json::List(outcomes.iter().map(Json::of).collect());
    let wrong: Vec<String> = outcomes.into_iter().flatten().filter_map(wrong).collect();
    if context.voice.json {
        let all = outcomes.map_or(Json::Null, outcomes_of);
        match wrong.first() {
            None => context.print(&Json::of(applied).with("outcomes", all).line())?,
            Some(first) => {
                let object = refusal(first, Exit::Failed).with("applied", Json::of(applied)).with("outcomes", all);
                // Nothing to be done about a stderr that takes nothing.
                let _ = writeln!(stderr(), "{}", object.line());
            }
        }
    } else {
        for outcome in outcomes.into_iter().flatten() {
            match self::wrong(outcome) {
                Some(message) => context.voice.error(&escape(message.as_bytes())),
                None if context.voice.talk == Talk::Quiet => {}
                None => context.print(&escape(sentence(outcome).as_bytes()))?,
            }
        }
    }
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::Failed })
}

/// What is wrong with it: it was started, and has ended badly.
fn wrong(outcome: &Outcome) -> Option<String> {
    let stuck = outcome.reason.as_deref().is_some_and(|reason| reason.starts_with("stuck"));
    if outcome.state() == State::Stopping && stuck {
        return Some(format!("`{}` does not end{}", outcome.name, because(outcome)));
    }
    let ended = matches!(outcome.state(), State::Failed | State::Crashed | State::Backoff);
    ended.then(|| format!("`{}` was started, and is {}{}", outcome.name, word(outcome.state()), because(outcome)))
}

fn sentence(outcome: &Outcome) -> String {
    let name = &outcome.name;
    let pid = outcome.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let after = format!("after {}", about(Duration::from_millis(outcome.took)));
    match outcome.state() {
        State::Unspecified => format!("{name}: gone {after}"),
        State::Running => format!("{name}: running{pid}, ready {after}"),
        State::Exited => format!("{name}: done {after}"),
        state => format!("{name}: {}{pid}{}", word(state), because(outcome)),
    }
}

fn because(outcome: &Outcome) -> String {
    match outcome.reason.as_deref() {
        Some(reason) if !reason.is_empty() => format!(": {reason}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{sentence, wrong};
    use crate::rpc::proto::v1::{Outcome, State};

    #[test]
    fn what_became_of_each_is_a_sentence() {
        let of = |state: State, pid, reason: &str| {
            let reason = Some(reason.to_owned());
            Outcome { name: "web".into(), state: state.into(), pid, reason, took: 400, ..Outcome::default() }
        };
        for (outcome, expected) in [
            (of(State::Unspecified, None, ""), "web: gone after 400 ms"),
            (of(State::Running, Some(9), ""), "web: running (pid 9), ready after 400 ms"),
            (of(State::Exited, None, "exit code 0"), "web: done after 400 ms"),
            (of(State::Stopped, None, "requires `db`"), "web: stopped: requires `db`"),
            (
                of(State::Created, None, "skipped: condition x does not hold"),
                "web: created: skipped: condition x does not hold",
            ),
        ] {
            assert_eq!((sentence(&outcome).as_str(), wrong(&outcome)), (expected, None));
        }
        let ended = wrong(&of(State::Backoff, None, "exit code 3; waits 1s"));
        assert_eq!(ended.as_deref(), Some("`web` was started, and is backoff: exit code 3; waits 1s"));
    }
}
