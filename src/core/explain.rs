//! Why a process is in its state: the causes down to the first, what holds up its start or its stop, and for how long
//! still.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Cause, HealthStatus, HoldKind, StateName};
use super::history::{History, Line, Turn, What, present};
use super::ids::{ProcessId, RunId};
use super::machine::Machine;
use super::output::HOOK_GRACE;
use super::process::{
    Backoff, Due, Process, Rest, Rung, Running, StartPhase, Starting, State, StopPhase, Stopping, WaitFor, Waiting,
};
use super::status::Status;
use super::time::{Now, WallTime};
use super::timers::TimerKind;
use super::words;
use crate::spec::units::format_duration;

/// Blockers are followed this far, and no process is followed twice.
const DEPTH: usize = 12;

/// Why a process is in its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The process as it is.
    pub status: Status,
    /// The newest first: each is the cause of the one before it, and the last is the first cause, unless it is
    /// [cut](Explanation::cut) off.
    pub chain: Vec<Reason>,
    /// What its start or its stop waits for.
    pub blockers: Vec<Blocker>,
    /// What comes by itself, the next one first.
    pub timers: Vec<Timer>,
    /// Why the chain does not go down to the first cause, if it does not; or what is missing in it.
    pub cut: Option<String>,
}

impl Explanation {
    /// All of it in one sentence: `web is stopped: it binds to db; db failed: exit code 1`.
    pub fn summary(&self) -> String {
        let Status { name, state, reason, .. } = &self.status;
        let mut said = format!("{name} is {state}");
        for (place, part) in self.chain.iter().enumerate().take(3) {
            let why = if part.cause_text.is_empty() { &part.text } else { &part.cause_text };
            match (place, part.of.is_empty()) {
                (0, _) => said += &format!(": {why}"),
                (_, true) => said += &format!("; {}", part.full_text()),
                (_, false) => said += &format!("; {} {}", part.of, part.full_text()),
            }
        }
        if self.chain.is_empty() && !reason.is_empty() {
            said += &format!(": {reason}");
        }
        said
    }
}

/// Something that happened, as the cause of something else.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Whom it happened to: a process's name. Empty: to the instance.
    pub of: Arc<str>,
    /// What state it came from, where that is known.
    pub from: Option<StateName>,
    /// What state it came to, if it was a change of state.
    pub to: Option<StateName>,
    /// When.
    pub time: WallTime,
    /// The number of the event that told it; `None` when an earlier supervisor told it.
    pub sequence: Option<u64>,
    /// Which run it was about.
    pub run: Option<RunId>,
    /// What happened, for people, without the name: `failed: exit code 1`.
    pub text: String,
    /// Why it was decided.
    pub cause: Cause,
    /// The cause for people: `it binds to db`. Empty when the text says it all.
    pub cause_text: String,
    /// Who asked, when somebody did.
    pub caller: Option<Arc<str>>,
}

impl Reason {
    /// What happened and why: `was stopped: it binds to db`.
    pub fn full_text(&self) -> String {
        if self.cause_text.is_empty() { self.text.clone() } else { format!("{}: {}", self.text, self.cause_text) }
    }
}

/// Something that a start or a stop waits for, and what that waits for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocker {
    /// Why it is waited for.
    pub kind: HoldKind,
    /// What is waited for.
    pub name: Arc<str>,
    /// What state it is in.
    pub state: StateName,
    /// Why it is in it, for people; may be empty.
    pub reason: String,
    /// What comes by itself.
    pub timers: Vec<Timer>,
    /// What it waits for.
    pub blockers: Vec<Blocker>,
}

/// Something that comes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What: `start_timeout`, `stop`, `kill`, `backoff`, `watchdog`, `idle_stop`, `start_period`, `reset_after`, `shutdown_timeout`,
    /// `ready probe`, `health probe`, or a hook.
    pub what: String,
    /// Until it is due.
    pub remaining: Duration,
    /// What is done then, for people.
    pub then: String,
}

impl Machine {
    /// Why this process is in its state, by the history of this machine.
    pub fn explain(&self, id: ProcessId, history: &History, now: Now) -> Option<Explanation> {
        let p = self.process(id)?;
        let line = self.line_of(p, history);
        let turns: Vec<Arc<Turn>> =
            std::iter::once(&line.turn).chain(&line.because).map(|turn| history.as_of_now(turn)).collect();
        let chain = turns.iter().map(|turn| self.reason_of(turn, history)).collect();
        Some(Explanation {
            status: self.status(id)?,
            chain,
            blockers: self.blockers(p, now, &mut BTreeSet::from([id]), DEPTH),
            timers: self.coming(p, now),
            cut: cut(&line, turns.last(), history),
        })
    }

    /// The turn that made the present state, with what led to it.
    fn line_of(&self, p: &Process, history: &History) -> Line {
        let is = present(p);
        let known = history.newest(p.id);
        match known {
            Some(line) if line.turn.cause == is.cause || is.cause == Cause::Progress => line.clone(),
            // It was decided anew, which no event tells of while the state stays.
            _ => history.line_of(is),
        }
    }

    fn reason_of(&self, turn: &Arc<Turn>, history: &History) -> Reason {
        let now = turn.process.and_then(|id| self.process(id)).filter(|p| {
            let newest = history.newest(p.id);
            (turn.sequence == 0 || newest.is_none_or(|line| line.turn.sequence == turn.sequence))
                && turn.to == Some(p.state.name())
        });
        Reason {
            of: if turn.process.is_some() { turn.name.clone() } else { "".into() },
            from: turn.from,
            to: turn.to,
            time: turn.time,
            sequence: Some(turn.sequence).filter(|sequence| *sequence > 0),
            run: turn.run,
            text: words::happened(turn, now),
            cause: turn.cause.clone(),
            cause_text: words::cause(turn, now),
            caller: turn.caller.clone(),
        }
    }

    /// What this process's start or stop waits for. Each process is followed once.
    fn blockers(&self, p: &Process, now: Now, seen: &mut BTreeSet<ProcessId>, depth: usize) -> Vec<Blocker> {
        let holds: Vec<(ProcessId, HoldKind)> = match &p.state {
            State::Waiting(Waiting { on: WaitFor::Holds(holds), .. }) => holds.iter().copied().collect(),
            State::Stopping(Stopping { phase: StopPhase::Ordered(holds), .. }) => {
                holds.iter().map(|id| (*id, HoldKind::Stop)).collect()
            }
            _ => Vec::new(),
        };
        let mut blockers = Vec::with_capacity(holds.len());
        for (id, kind) in holds {
            let (Some(other), Some(status)) = (self.process(id), self.status(id)) else { continue };
            let follow = depth > 1 && seen.insert(id);
            let theirs = if follow { self.blockers(other, now, seen, depth - 1) } else { Vec::new() };
            blockers.push(Blocker {
                kind,
                name: status.name,
                state: status.state,
                reason: status.reason,
                timers: self.coming(other, now),
                blockers: theirs,
            });
        }
        blockers
    }

    /// What comes by itself, the next one first.
    fn coming(&self, p: &Process, now: Now) -> Vec<Timer> {
        let mut timers: Vec<Timer> =
            p.deadlines.iter().filter_map(|(kind, at)| self.timer(p, kind, at.since(now.mono))).collect();
        timers.extend(beside(p, now));
        if matches!(p.state, State::Stopping(_))
            && let Some(at) = self.deadlines.get(TimerKind::Shutdown)
        {
            timers.push(timer("shutdown_timeout", at.since(now.mono), "all that is left is killed"));
        }
        timers.sort_by_key(|timer| timer.remaining);
        timers
    }

    fn timer(&self, p: &Process, kind: TimerKind, remaining: Duration) -> Option<Timer> {
        Some(match kind {
            TimerKind::Backoff => timer("backoff", remaining, next_try(p)),
            TimerKind::Start => timer("start_timeout", remaining, "it counts as failed to start, and is ended"),
            TimerKind::Stop => timer("stop", remaining, self.next_rung(p)),
            TimerKind::Stuck => timer("kill", remaining, "what is left of it counts as stuck"),
            TimerKind::Ready => timer("ready probe", remaining, "it is asked again whether it is ready"),
            TimerKind::Health => timer("health probe", remaining, asked_for_health(p)),
            TimerKind::Watchdog => timer("watchdog", remaining, "unless it reports, it is killed"),
            TimerKind::Idle => timer("idle_stop", remaining, "its connections are counted"),
            TimerKind::Hook => {
                let (what, then) = hook(p)?;
                timer(what, remaining.saturating_sub(HOOK_GRACE), then)
            }
            TimerKind::Shutdown => return None,
        })
    }

    /// What follows the step that a stop stands on.
    fn next_rung(&self, p: &Process) -> String {
        let next = match &p.state {
            State::Stopping(Stopping { phase: StopPhase::Ladder(Rung::Step(step)), .. }) => Some(Rung::Step(step + 1)),
            _ => None,
        };
        match next.and_then(|rung| self.rung(p.id, rung)) {
            Some((signal, wait, _)) => format!("it is sent {signal}, and has {}", format_duration(wait)),
            None => "it is sent SIGKILL".into(),
        }
    }
}

fn timer(what: &str, remaining: Duration, then: impl Into<String>) -> Timer {
    // People do not want to know of nanoseconds.
    let remaining = Duration::from_millis(u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX));
    Timer { what: what.to_owned(), remaining, then: then.into() }
}

/// What a health probe is for, and what it may come to.
fn asked_for_health(p: &Process) -> String {
    let mut then = "it is asked whether it is well".to_owned();
    if let State::Running(Running { run, .. }) = &p.state
        && let Some(restart_after) = run.spec.health.as_ref().map(|health| health.restart_after).filter(|n| *n > 0)
        && run.health.failures > 0
    {
        match restart_after.saturating_sub(run.health.failures) {
            0 | 1 => then += "; it is restarted if that fails, too",
            more => then += &format!("; it is restarted after {more} more failures"),
        }
    }
    then
}

/// What is tried again.
fn next_try(p: &Process) -> &'static str {
    match &p.state {
        State::Backoff(Backoff { due: Due::Listen, .. }) => "its sockets are tried again",
        _ => "it is started again",
    }
}

/// Which hook runs, and what follows if it takes too long.
fn hook(p: &Process) -> Option<(&'static str, &'static str)> {
    Some(match &p.state {
        State::Starting(Starting { phase: StartPhase::BeforeStart(_), .. }) => {
            ("before_start hook", "it is killed, and the start fails")
        }
        State::Starting(Starting { phase: StartPhase::AfterStart(_), .. })
        | State::Running(Running { after_start: Some(_), .. }) => ("after_start hook", "it is killed"),
        State::Stopping(Stopping { phase, .. }) => match phase {
            StopPhase::CancelledHook => ("before_start hook", "its end is no longer waited for"),
            StopPhase::BeforeStop(_) => ("before_stop hook", "it is killed, and the stop goes on"),
            StopPhase::Command => ("stop.command", "it is killed, and the stop goes on with signals"),
            StopPhase::AfterStop(_) => ("after_stop hook", "it is killed, and the stop is over"),
            _ => return None,
        },
        State::Rest(Rest { alarm: Some(_), .. }) => ("on_failure hook", "it is killed"),
        _ => return None,
    })
}

/// What comes without a deadline of its own.
fn beside(p: &Process, now: Now) -> Vec<Timer> {
    let State::Running(Running { run, .. }) = &p.state else { return Vec::new() };
    let Some(executed) = run.executed_at else { return Vec::new() };
    let mut timers = Vec::new();
    let until = |wait: Duration| executed.after(wait).since(now.mono);
    if let Some(health) = run.spec.health.as_ref().filter(|_| run.health.status == HealthStatus::Starting) {
        let remaining = until(health.start_period);
        if !remaining.is_zero() {
            timers.push(timer("start_period", remaining, "health probes that fail count from then on"));
        }
    }
    let remaining = until(run.spec.restart.reset_after);
    if p.tally.in_row() > 0 && !remaining.is_zero() {
        timers.push(timer("reset_after", remaining, "its restarts so far are forgotten"));
    }
    timers
}

/// Why the chain does not go down to the first cause.
fn cut(line: &Line, last: Option<&Arc<Turn>>, history: &History) -> Option<String> {
    let last = last?;
    if line.gap {
        return Some("some that are between the last and the one before it are not kept".into());
    }
    let first = match &last.cause {
        Cause::Policy | Cause::Relation(..) => false,
        Cause::Shutdown => last.what == What::ShuttingDown,
        // Of a socket that is listened at, and of one that was never started, there is nothing more to say.
        Cause::Progress => matches!(last.what, What::Defined | What::Start),
        Cause::Command(_)
        | Cause::AutoStart
        | Cause::Apply
        | Cause::Socket
        | Cause::Connection(_)
        | Cause::Idle
        | Cause::Ended(_) => true,
    };
    if first || last.caller.is_some() {
        return None;
    }
    match history.since {
        Some(_) if last.sequence == 0 => Some(
            "what led to this was told by the supervisor before this one, which has taken over since; only the present \
             states were recorded"
                .into(),
        ),
        _ => Some("what led to this is not known any more".into()),
    }
}
