//! Waiting until what a change of the configuration set in motion has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::link::{Client, ClientError};
use crate::rpc::proto::v1::{Event, GetStatusRequest, ListRequest, Outcome, WatchRequest, watch_response};

/// Waits for the starts, restarts and removals that an apply of these names caused, and tells what became of each. `before` is
/// the sequence of an event before the apply, which was begun then and has been answered.
pub(super) fn settle(
    client: &mut Client,
    (before, began): (u64, Instant),
    names: &[String],
) -> Result<Vec<Outcome>, ClientError> {
    // What the apply did itself, it did before it was answered.
    let answered = client.get_status(GetStatusRequest {})?.sequence;
    let mut motion = Motion::new(answered, names);
    if before < answered {
        let request = WatchRequest { after: Some(before), follow: true, names: Vec::new() };
        for next in client.watch(request)? {
            match next?.item {
                Some(watch_response::Item::Event(event)) => motion.note(&event),
                // What is missing may be what is waited for: what is known now is told.
                Some(watch_response::Item::Lag(_)) => break,
                None => {}
            }
            if motion.is_over() {
                break;
            }
        }
    }
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut now: BTreeMap<String, Outcome> = BTreeMap::new();
    for process in client.list(ListRequest { names: Vec::new() })?.processes {
        let (state, reason, pid) = (process.state, process.reason, process.pid);
        let outcome = Outcome { id: process.id, name: process.name, state, reason, pid, took, ..Outcome::default() };
        now.insert(outcome.name.clone(), outcome);
    }
    let gone = |name: String| Outcome { name, took, ..Outcome::default() };
    Ok(motion.touched.into_iter().map(|name| now.remove(&name).unwrap_or_else(|| gone(name))).collect())
}

/// Who was set in motion, and who still moves.
struct Motion<'a> {
    /// The last event of what the apply did itself.
    answered: u64,
    /// The last event that was seen.
    seen: u64,
    /// Whom the configuration names, or named.
    names: BTreeSet<&'a str>,
    touched: BTreeSet<String>,
    moving: BTreeSet<String>,
}

impl<'a> Motion<'a> {
    fn new(answered: u64, names: &'a [String]) -> Self {
        let names = names.iter().map(String::as_str).collect();
        Motion { answered, seen: 0, names, touched: BTreeSet::new(), moving: BTreeSet::new() }
    }

    fn note(&mut self, event: &Event) {
        self.seen = event.sequence;
        let Some(name) = &event.process else { return };
        let state = event.kind.strip_prefix("process.").unwrap_or_default();
        match state {
            "starting" | "stopping" | "waiting" => {
                // Later ones have other reasons, unless they are of those that the apply moved.
                let by_it = matches!(event.cause.as_str(), "apply" | "auto_start" | "relation");
                if self.seen <= self.answered && by_it && self.names.contains(name.as_str()) {
                    self.touched.insert(name.clone());
                }
                if self.touched.contains(name) {
                    self.moving.insert(name.clone());
                }
            }
            "deleted" => {
                self.moving.remove(name);
                if self.seen <= self.answered && self.names.contains(name.as_str()) {
                    self.touched.insert(name.clone());
                }
            }
            "listening" | "running" | "exited" | "failed" | "crashed" | "backoff" | "created" | "stopped" | "stuck" => {
                self.moving.remove(name);
            }
            _ => {}
        }
    }

    fn is_over(&self) -> bool {
        self.seen >= self.answered && self.moving.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Motion;
    use crate::rpc::proto::v1::Event;

    fn event(sequence: u64, kind: &str, process: &str, cause: &str) -> Event {
        let (kind, cause) = (format!("process.{kind}"), cause.into());
        Event { sequence, kind, process: Some(process.into()), cause, ..Event::default() }
    }

    #[test]
    fn it_is_over_when_all_that_the_apply_moved_has_come_to_rest() {
        let names: Vec<String> = ["db", "old", "web", "hung"].map(str::to_owned).into();
        let mut motion = Motion::new(7, &names);
        for (sequence, kind, process, cause) in [
            (1, "stopping", "db", "apply"),
            (2, "stopping", "web", "relation"),
            (3, "stopping", "old", "apply"),
            (4, "stopping", "hung", "apply"),
            // These move for reasons of their own.
            (5, "starting", "mine", "command"),
            (6, "backoff", "loop", "ended"),
            (7, "updated", "db", "apply"),
            (8, "starting", "db", "progress"),
            (9, "deleted", "old", "progress"),
            (10, "stuck", "hung", "progress"),
            (11, "starting", "web", "progress"),
            (12, "running", "db", "progress"),
            (13, "starting", "loop", "policy"),
        ] {
            motion.note(&event(sequence, kind, process, cause));
            assert!(!motion.is_over(), "{sequence}");
        }
        motion.note(&event(14, "running", "web", "progress"));
        assert!(motion.is_over());
        assert_eq!(motion.touched.iter().map(String::as_str).collect::<Vec<_>>(), ["db", "hung", "old", "web"]);
    }

    #[test]
    fn an_apply_that_moves_nothing_is_over_with_its_last_event() {
        let names = ["web".to_owned()];
        let mut motion = Motion::new(2, &names);
        motion.note(&event(1, "updated", "web", "apply"));
        assert!(!motion.is_over());
        motion.note(&event(2, "reloading", "web", "apply"));
        assert!(motion.is_over() && motion.touched.is_empty());
    }
}
