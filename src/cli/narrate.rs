//! Events as sentences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::paint::Tone;
use super::units::about;
use crate::core::{Cause, Ending, Event, EventKind, HealthStatus, HookKind, Pid, StateName, WallTime};
use crate::spec::Signal;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Talk {
    /// Only what goes wrong.
    Quiet,
    /// What a person who watches wants to know.
    Normal,
    /// Pids, signals and causes, too.
    Verbose,
}

/// Something to say about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// How it looks.
    pub(super) tone: Tone,
    /// What it says.
    pub(super) text: String,
    /// Whether only who wants to know everything wants to know it.
    pub(super) detail: bool,
}

/// Turns events into sentences; keeps what one event does not carry (the pid, when the start began).
pub(super) struct Narrator {
    talk: Talk,
    processes: BTreeMap<Arc<str>, Memory>,
}

#[derive(Default)]
struct Memory {
    pid: Option<Pid>,
    starting: Option<WallTime>,
    to_be_told: bool,
}

/// A state change, taken apart.
struct Change<'a> {
    to: StateName,
    reason: &'a str,
    retry_in: Option<Duration>,
    cause: &'a Cause,
    time: WallTime,
}

impl Narrator {
    /// One that says this much.
    pub(super) fn new(talk: Talk) -> Self {
        Narrator { talk, processes: BTreeMap::new() }
    }

    /// What the event is worth saying, if anything.
    pub(super) fn tell(&mut self, event: &Event) -> Option<Sentence> {
        let talk = self.talk;
        let memory = event.name.as_ref().map(|name| self.processes.entry(Arc::clone(name)).or_default());
        let (least, sentence) = match (&event.kind, memory) {
            (EventKind::State { to, reason, retry_in, .. }, Some(memory)) => {
                let change = Change { to: *to, reason, retry_in: *retry_in, cause: &event.cause, time: event.time };
                state(&change, memory, talk)
            }
            (EventKind::Executed { pid }, Some(memory)) => {
                memory.pid = Some(*pid);
                (Talk::Verbose, faint(format!("executed as pid {pid}")))
            }
            (EventKind::MainPid { pid }, Some(memory)) => {
                memory.pid = Some(*pid);
                (Talk::Verbose, faint(format!("its main process is pid {pid} now")))
            }
            (EventKind::ProcessExited { pid, status }, memory) => {
                // A oneshot that remains runs on without it.
                if let Some(memory) = memory
                    && memory.pid == Some(*pid)
                {
                    memory.pid = None;
                }
                (Talk::Verbose, faint(format!("pid {pid}: {}", Ending::Exit(*status))))
            }
            (EventKind::Signalled { signal }, Some(memory)) => {
                signalled(*signal, std::mem::take(&mut memory.to_be_told))
            }
            (kind, _) => other(kind)?,
        };
        (talk >= least).then_some(Sentence { detail: least == Talk::Verbose, ..sentence })
    }
}

fn state(change: &Change<'_>, memory: &mut Memory, talk: Talk) -> (Talk, Sentence) {
    match change.to {
        // Said by the event of its own.
        _ if change.reason.starts_with("skipped: ") => (Talk::Verbose, faint(change.reason.into())),
        StateName::Created => (Talk::Verbose, faint("defined".into())),
        // That it listens is said once it does.
        StateName::Waiting if matches!(change.cause, Cause::Progress | Cause::Idle) => {
            (Talk::Verbose, faint(format!("waiting {}", change.reason)))
        }
        StateName::Waiting => (Talk::Normal, faint(format!("waiting {}", change.reason).trim_end().into())),
        StateName::Starting => {
            memory.starting = Some(change.time);
            (Talk::Normal, faint(because("starting", change, talk)))
        }
        StateName::Running => (Talk::Normal, say(Tone::Good, running(change.time, memory))),
        StateName::Stopping => match change.cause {
            // It ended by itself: what follows from that is said when it is known.
            Cause::Ended(ending) => (Talk::Verbose, faint(format!("ended: {ending}"))),
            // In order: each says so when its turn has come and it is told to.
            Cause::Shutdown => {
                memory.to_be_told = true;
                (Talk::Verbose, faint("to be stopped".into()))
            }
            _ => (Talk::Normal, faint(because("stopping", change, talk))),
        },
        StateName::Backoff => (Talk::Quiet, say(Tone::Warn, backoff(change.reason, change.retry_in))),
        StateName::Stopped => (Talk::Normal, say(Tone::Plain, with_reason("stopped", change.reason))),
        StateName::Exited if change.reason == "exit code 0" => (Talk::Normal, say(Tone::Good, "done".into())),
        StateName::Exited => (Talk::Normal, say(Tone::Good, with_reason("done", change.reason))),
        StateName::Failed => (Talk::Quiet, say(Tone::Bad, with_reason("failed", change.reason))),
        StateName::Crashed => (Talk::Quiet, say(Tone::Bad, with_reason("crashed", change.reason))),
    }
}

fn running(now: WallTime, memory: &Memory) -> String {
    let took = memory.starting.map(|since| u64::try_from(now.0 - since.0).unwrap_or(0));
    // A start that a person did not notice needs no figure.
    let took =
        took.filter(|millis| *millis >= 100).map(|millis| format!("after {}", about(Duration::from_millis(millis))));
    let details: Vec<String> = memory.pid.map(|pid| format!("pid {pid}")).into_iter().chain(took).collect();
    if details.is_empty() { "running".into() } else { format!("running ({})", details.join(", ")) }
}

fn backoff(ended: &str, retry_in: Option<Duration>) -> String {
    let ended = if ended.is_empty() { "ended" } else { ended };
    match retry_in {
        Some(wait) if wait.is_zero() => format!("{ended}; starts again now"),
        Some(wait) => format!("{ended}; starts again in {}", about(wait)),
        None => format!("{ended}; starts again"),
    }
}

fn because(verb: &str, change: &Change<'_>, talk: Talk) -> String {
    let asker = match change.cause {
        Cause::Command(asked) => asked.by.as_deref(),
        _ => None,
    };
    let cause = asker.map_or_else(|| change.cause.to_string(), |by| format!("asked for by {by}"));
    // Who or what is behind it is worth knowing when one stops; that it is needed goes without saying.
    let telling = talk == Talk::Verbose
        || (change.to == StateName::Stopping && (asker.is_some() || matches!(change.cause, Cause::Relation(..))));
    if change.reason.is_empty() && telling { with_reason(verb, &cause) } else { with_reason(verb, change.reason) }
}

fn with_reason(verb: &str, reason: &str) -> String {
    if reason.is_empty() { verb.into() } else { format!("{verb}: {reason}") }
}

fn signalled(signal: Signal, first: bool) -> (Talk, Sentence) {
    match (signal == Signal::KILL, first) {
        (true, true) => (Talk::Normal, say(Tone::Warn, "killed".into())),
        (true, false) => (Talk::Normal, say(Tone::Warn, "still there: killed".into())),
        (false, true) => (Talk::Normal, faint(format!("stopping: sent {signal}"))),
        (false, false) => (Talk::Verbose, faint(format!("sent {signal}"))),
    }
}

fn other(kind: &EventKind) -> Option<(Talk, Sentence)> {
    Some(match kind {
        EventKind::Skipped { condition } => {
            (Talk::Normal, say(Tone::Warn, format!("not started: condition {condition} does not hold")))
        }
        EventKind::Health { to: HealthStatus::Unhealthy, reason, .. } => {
            (Talk::Quiet, say(Tone::Bad, with_reason("unhealthy", reason)))
        }
        EventKind::Health { to: HealthStatus::Healthy, .. } => (Talk::Normal, say(Tone::Good, "healthy".into())),
        EventKind::Health { .. } => return None,
        EventKind::HookFailed { hook, reason } => {
            // One before the start fails it, and the failure says so.
            let least = if *hook == HookKind::BeforeStart { Talk::Verbose } else { Talk::Quiet };
            (least, say(Tone::Bad, format!("{} hook failed: {reason}", hook.as_str())))
        }
        EventKind::Status { text } => (Talk::Verbose, faint(format!("says: {text}"))),
        EventKind::Reloading => (Talk::Normal, faint("reads its configuration again".into())),
        EventKind::Oom => (Talk::Quiet, say(Tone::Bad, "the kernel killed a member for lack of memory".into())),
        EventKind::PidsLimit => (Talk::Quiet, say(Tone::Bad, "the kernel refused it a process: its pids limit".into())),
        EventKind::Listening { at } => (Talk::Normal, faint(format!("waiting for a connection on {at}"))),
        EventKind::Stuck { pids } => {
            let pids: Vec<String> = pids.iter().map(Pid::to_string).collect();
            (Talk::Quiet, say(Tone::Bad, format!("survived SIGKILL: pid {}", pids.join(", "))))
        }
        EventKind::Updated { fields, .. } => (Talk::Verbose, faint(format!("updated: {}", fields.join(", ")))),
        EventKind::Adopted { .. } => (Talk::Normal, say(Tone::Good, "found alive".into())),
        EventKind::Evaluated { line } => (Talk::Quiet, say(Tone::Plain, format!("evaluated: {line}"))),
        EventKind::Refused { reason } => (Talk::Quiet, say(Tone::Bad, format!("refused: {reason}"))),
        EventKind::Warning { text } => (Talk::Quiet, say(Tone::Warn, text.clone())),
        EventKind::Applied { .. }
        | EventKind::ShuttingDown
        | EventKind::Defined
        | EventKind::Deleted
        | EventKind::State { .. }
        | EventKind::Executed { .. }
        | EventKind::ProcessExited { .. }
        | EventKind::Signalled { .. }
        | EventKind::MainPid { .. } => return None,
    })
}

fn faint(text: String) -> Sentence {
    say(Tone::Faint, text)
}

fn say(tone: Tone, text: String) -> Sentence {
    Sentence { tone, text, detail: false }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Narrator, Talk};
    use crate::core::{Cause, Ending, Event, EventKind, ExitStatus, Pid, StateName, WallTime};

    fn event(time: i64, kind: EventKind, cause: Cause) -> Event {
        let name = Some("web".into());
        Event { sequence: 1, time: WallTime(time), process: None, name, run: None, kind, cause, caller: None }
    }

    fn to(time: i64, to: StateName, reason: &str) -> Event {
        let kind = EventKind::State { from: StateName::Created, to, reason: reason.into(), retry_in: None };
        event(time, kind, Cause::AutoStart)
    }

    fn told(talk: Talk, events: &[Event]) -> Vec<String> {
        let mut narrator = Narrator::new(talk);
        events.iter().filter_map(|event| narrator.tell(event)).map(|sentence| sentence.text).collect()
    }

    fn a_life() -> Vec<Event> {
        let ending = Ending::Exit(ExitStatus::Code(3));
        let backoff = EventKind::State {
            from: StateName::Stopping,
            to: StateName::Backoff,
            reason: ending.to_string(),
            retry_in: Some(Duration::from_millis(500)),
        };
        vec![
            to(0, StateName::Waiting, "for `db`"),
            to(100, StateName::Starting, ""),
            event(110, EventKind::Executed { pid: Pid(42) }, Cause::Progress),
            to(1_300, StateName::Running, ""),
            event(1_400, backoff, Cause::Ended(ending)),
            to(1_900, StateName::Failed, "exit code 3"),
            to(2_000, StateName::Exited, "exit code 0"),
        ]
    }

    #[test]
    fn a_life_reads_as_one() {
        let expected = [
            "waiting for `db`",
            "starting",
            "running (pid 42, after 1.2 s)",
            "exit code 3; starts again in 500 ms",
            "failed: exit code 3",
            "done",
        ];
        assert_eq!(told(Talk::Normal, &a_life()), expected);
    }

    #[test]
    fn quiet_tells_what_goes_wrong_and_verbose_tells_more() {
        assert_eq!(told(Talk::Quiet, &a_life()), ["exit code 3; starts again in 500 ms", "failed: exit code 3"]);
        let verbose = told(Talk::Verbose, &a_life());
        assert!(verbose.contains(&"executed as pid 42".into()), "{verbose:?}");
        assert!(verbose.contains(&"starting: starts by itself".into()), "{verbose:?}");
    }

    #[test]
    fn a_skipped_start_is_told_once() {
        let events = [
            event(0, EventKind::Skipped { condition: "path_exists=/x".into() }, Cause::Progress),
            to(0, StateName::Created, "skipped: condition path_exists=/x does not hold"),
        ];
        assert_eq!(told(Talk::Normal, &events), ["not started: condition path_exists=/x does not hold"]);
    }
}
