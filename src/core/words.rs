//! Turns as sentences.

use super::asked::Verb;
use super::event::{Cause, Ending, RelationKind, StateName};
use super::history::{Turn, What};
use super::process::{Process, Rest, State};
use crate::spec::units::format_duration;
use crate::spec::{ProcessType, Restart, RestartPolicy};

/// What happened, without the name of whom. The process is given when that is how it still is.
pub(super) fn happened(turn: &Turn, now: Option<&Process>) -> String {
    match turn.what {
        What::Defined if now.is_some() => "was defined, and not started yet".into(),
        What::Defined => "was defined".into(),
        What::Start => started(turn, now.is_some()),
        What::Skip => skipped(turn, now),
        What::End => ended(turn, now),
        What::Signalled(signal) => format!("was sent {signal}"),
        What::Applied { added, removed, changed } => {
            format!("the configuration was applied ({added} added, {removed} removed, {changed} changed)")
        }
        What::ShuttingDown => "the instance began to shut down".into(),
    }
}

fn started(turn: &Turn, still: bool) -> String {
    match (turn.to, &turn.cause) {
        (Some(StateName::Waiting), Cause::Progress) if still => "listens, and is started by a connection".into(),
        (Some(StateName::Waiting), Cause::Idle) if still => "listens again, and is started by a connection".into(),
        (Some(StateName::Waiting), Cause::Progress | Cause::Idle) => "listened".into(),
        (Some(StateName::Waiting), _) if still => "is to start".into(),
        (Some(StateName::Waiting), _) => "was to start".into(),
        (_, Cause::Policy) => "was started again".into(),
        (_, Cause::Command(asked)) if asked.what == Some(Verb::Restart) => "was restarted".into(),
        _ => "was started".into(),
    }
}

fn skipped(turn: &Turn, now: Option<&Process>) -> String {
    let told = turn.reason.strip_prefix("skipped: ").map(str::to_owned);
    let recorded = now.and_then(|p| match &p.state {
        State::Rest(Rest { skipped: Some(condition), .. }) => Some(format!("condition {condition} does not hold")),
        _ => None,
    });
    match told.or(recorded) {
        Some(why) => format!("was not started: {why}"),
        None => "was not started: a condition does not hold".into(),
    }
}

fn ended(turn: &Turn, now: Option<&Process>) -> String {
    let Cause::Ended(ending) = &turn.cause else {
        return match turn.to {
            Some(StateName::Stopping) if now.is_some() => "is being stopped".into(),
            _ => "was stopped".into(),
        };
    };
    let more = now.map(|p| consequence(turn, p, ending)).unwrap_or_default();
    let what = match turn.to {
        Some(StateName::Failed) => "failed",
        Some(StateName::Crashed) => "failed too often, the last time by",
        _ => "ended",
    };
    match (what, ending) {
        ("failed too often, the last time by", _) => format!("{what} {ending}{more}"),
        (_, Ending::Unhealthy(why)) if why.is_empty() => format!("{what}: unhealthy{more}"),
        _ => format!("{what}: {ending}{more}"),
    }
}

/// What the restart policy makes of it.
fn consequence(turn: &Turn, p: &Process, ending: &Ending) -> String {
    let spec = &p.spec;
    let Restart { policy, limit, .. } = &spec.restart;
    let word = policy.as_str();
    let again = p.tally.in_row();
    let row = match again {
        0 => String::new(),
        again => format!(", for the {} time in a row", nth(again.saturating_add(1))),
    };
    match turn.to {
        Some(StateName::Backoff) => row,
        Some(StateName::Crashed) => {
            let interval = format_duration(limit.interval);
            format!(
                "; its restart policy is {word}, and the limit of {} restarts in {interval} is used up",
                limit.burst
            )
        }
        Some(StateName::Failed) => match (ending, policy) {
            (Ending::Dependency(..) | Ending::Conflict(..), _) => String::new(),
            (_, RestartPolicy::Never) => "; its restart policy is never".into(),
            _ => format!("{row}; its restart policy, {word}, does not bring it back after that"),
        },
        Some(StateName::Exited) if spec.process_type != ProcessType::Oneshot => {
            format!("; its restart policy, {word}, does not bring it back after a success")
        }
        _ => String::new(),
    }
}

fn nth(n: u32) -> String {
    let suffix = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

/// Why it was decided, where [`happened`] does not say so.
pub(super) fn cause(turn: &Turn, now: Option<&Process>) -> String {
    let starts = turn.what == What::Start;
    match &turn.cause {
        Cause::Command(asked) => {
            let verb = asked.what.map(|verb| format!(" ({verb})")).unwrap_or_default();
            match &asked.by {
                Some(by) => format!("asked for by {by}{verb}"),
                None => format!("asked for{verb}"),
            }
        }
        Cause::AutoStart => "it starts by itself".into(),
        Cause::Apply if matches!(turn.what, What::Defined) => "it is in the configuration".into(),
        Cause::Apply => "the configuration changed".into(),
        Cause::Shutdown => "the instance shuts down".into(),
        Cause::Policy => match now {
            Some(p) => format!("its restart policy is {}", p.spec.restart.policy.as_str()),
            None => "its restart policy".into(),
        },
        Cause::Socket => "a connection came".into(),
        Cause::Connection(peer) => format!("a connection came from {peer}"),
        Cause::Idle => "it had nothing to do".into(),
        Cause::Relation(kind, name) => match (kind, starts) {
            (RelationKind::Requires, true) => format!("{name} requires it"),
            (RelationKind::Wants, true) => format!("{name} wants it"),
            (RelationKind::BindsTo, true) => format!("{name} binds to it"),
            (RelationKind::Requires, false) => format!("it requires {name}"),
            (RelationKind::Wants, false) => format!("it wants {name}"),
            (RelationKind::BindsTo, false) => format!("it binds to {name}"),
            (RelationKind::Follows, _) => format!("it follows {name}"),
            (RelationKind::PartOf, _) => format!("it is part of {name}"),
            (RelationKind::Conflicts, _) => format!("it conflicts with {name}"),
        },
        Cause::Ended(ending) if turn.what == What::ShuttingDown => format!("{} is critical: {ending}", turn.name),
        Cause::Ended(_) | Cause::Progress => String::new(),
    }
}
