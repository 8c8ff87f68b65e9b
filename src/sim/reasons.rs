//! What an explanation may say, judged by the events that were told and by what the process itself says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::{Blocker, Cause, Event, Explanation, Hold, StateName};

/// No chain is longer.
const LONGEST: usize = 13;

/// What was told so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Whom each event was about; the instance has no name.
    events: BTreeMap<u64, Arc<str>>,
}

impl Told {
    pub(super) fn note(&mut self, event: &Event) {
        self.events.insert(event.sequence, event.name.clone().unwrap_or_default());
    }

    /// Judges an explanation, which is one of now.
    pub(super) fn judge(&self, explanation: &Explanation) -> Result<(), String> {
        self.judge_chain(explanation)?;
        let status = &explanation.status;
        let held: Vec<Hold> =
            explanation.blockers.iter().map(|it| Hold { kind: it.kind, name: it.name.clone() }).collect();
        if held != status.holds {
            return Err(format!("`{}` waits for {:?}, and is said to wait for {held:?}", status.name, status.holds));
        }
        let mut followed = BTreeSet::from([status.name.clone()]);
        explanation.blockers.iter().try_for_each(|blocker| follow(blocker, &mut followed))?;
        // What is neither up nor at rest is about to be something else, and that has to be said.
        let passing = match status.state {
            StateName::Waiting => !status.reason.is_empty(),
            StateName::Backoff => explanation.timers.iter().any(|timer| timer.what == "backoff"),
            _ => true,
        };
        if passing { Ok(()) } else { Err(format!("what `{}` waits for is not said", status.name)) }
    }

    fn judge_chain(&self, explanation: &Explanation) -> Result<(), String> {
        let Explanation { status, chain, cut, .. } = explanation;
        let (Some(newest), Some(first)) = (chain.first(), chain.last()) else {
            return Err(format!("`{}` has no reason at all", status.name));
        };
        if newest.of != status.name || newest.to.is_some_and(|to| to != status.state) {
            return Err(format!("`{}` is {}, and the newest reason is of something else", status.name, status.state));
        }
        if chain.len() > LONGEST {
            return Err(format!("a chain of {} reasons", chain.len()));
        }
        let mut seen = BTreeSet::new();
        for reason in chain {
            // What no event told may have been decided anew, and then it is another turn.
            let decided = if reason.sequence.is_none() { reason.cause.to_string() } else { String::new() };
            if !seen.insert((reason.of.clone(), reason.sequence, decided)) {
                return Err(format!("the chain goes round in circles at `{}`", reason.of));
            }
            if let Some(sequence) = reason.sequence {
                match self.events.get(&sequence) {
                    None => return Err(format!("event {sequence} is named, which was never told")),
                    Some(name) if !reason.of.is_empty() && *name != reason.of => {
                        return Err(format!("event {sequence} is said to be of `{}`, not of `{name}`", reason.of));
                    }
                    Some(_) => {}
                }
            } else if !self.events.values().any(|name| *name == reason.of) {
                return Err(format!("`{}` is named, which there never was", reason.of));
            }
            if reason.text.is_empty() {
                return Err(format!("nothing is said of `{}`", reason.of));
            }
        }
        let is_first = !matches!(first.cause, Cause::Relation(..) | Cause::Policy) || first.caller.is_some();
        if is_first || cut.is_some() { Ok(()) } else { Err("the chain ends before the first cause".into()) }
    }
}

fn follow(blocker: &Blocker, followed: &mut BTreeSet<Arc<str>>) -> Result<(), String> {
    if !followed.insert(blocker.name.clone()) && !blocker.blockers.is_empty() {
        return Err(format!("what `{}` waits for is told twice", blocker.name));
    }
    blocker.blockers.iter().try_for_each(|next| follow(next, followed))
}
