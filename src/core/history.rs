//! What lately happened to each process, with what brought it about: enough to say why it is as it is.
//!
//! Changes of state are taken together to turns: a start (from waiting to running), an end (from stopping to rest or
//! backoff). Each turn is kept with the turns that led to it, down to the first cause, as they are known at that moment:
//! so what another process did then is there still when that has long moved on. A turn that the restart policy made
//! leads back to the last end, and an end to the start that somebody or something else made: a loop of restarts is no
//! longer than one round of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::event::{Cause, Ending, Event, EventKind, RelationKind, StateName};
use super::ids::{ProcessId, RunId};
use super::input::ExitStatus;
use super::machine::Machine;
use super::process::{Process, Rest, Running, Starting, State, Stopping, Waiting, Why};
use super::time::WallTime;
use crate::spec::Signal;

/// Turns kept of each process.
const TURNS: usize = 16;
/// Turns kept of what led to one. Of more, those before the first cause are left out.
const LEADING: usize = 12;
/// Deleted processes that are remembered.
const GONE: usize = 64;
/// An end so soon after a signal that asks for one is taken for its answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A turn in the life of a process, or of the instance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Turn {
    /// Whose it is; none is the instance's.
    pub(super) process: Option<ProcessId>,
    pub(super) name: Arc<str>,
    /// The number of the event that it began with; 0 when an earlier supervisor told it.
    pub(super) sequence: u64,
    pub(super) what: What,
    pub(super) from: Option<StateName>,
    pub(super) to: Option<StateName>,
    /// When it came as far as it did.
    pub(super) time: WallTime,
    pub(super) run: Option<RunId>,
    /// What the state shows as its reason; may be empty.
    pub(super) reason: String,
    pub(super) cause: Cause,
    pub(super) caller: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Defined,
    Start,
    End,
    /// A start that came to nothing: a condition did not hold.
    Skip,
    /// Somebody sent a signal.
    Signalled(Signal),
    Applied {
        added: u32,
        removed: u32,
        changed: u32,
    },
    ShuttingDown,
}

/// A turn, and those that led to it, the newest first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) turn: Arc<Turn>,
    pub(super) because: Vec<Arc<Turn>>,
    /// Turns before the last of `because` were left out.
    pub(super) gap: bool,
}

/// A process's past.
#[derive(Clone, Debug)]
struct Past {
    lines: VecDeque<Line>,
    /// The last start that the restart policy did not make.
    origin: Option<Line>,
    /// The last signal that somebody sent.
    signalled: Option<Arc<Turn>>,
}

/// What lately happened to the processes of one machine. Fed with its events, in their order.
#[derive(Clone, Debug)]
pub struct History {
    pasts: BTreeMap<ProcessId, Past>,
    names: BTreeMap<Arc<str>, ProcessId>,
    gone: VecDeque<(Arc<str>, Past)>,
    applied: Option<Line>,
    shutdown: Option<Line>,
    /// Turns that another process brought about whose own turn was not told yet: it is, within the same moment.
    open: Vec<(ProcessId, ProcessId)>,
    /// The moment of the last event.
    moment: WallTime,
    /// Since when events are known, where an earlier supervisor told others.
    pub(super) since: Option<WallTime>,
}

impl History {
    /// The history that begins with this machine: of processes that it has already (from the records of an earlier
    /// supervisor) their present states with their causes are known, and nothing else.
    pub fn begin(machine: &Machine) -> History {
        let mut history = History {
            pasts: BTreeMap::new(),
            names: BTreeMap::new(),
            gone: VecDeque::new(),
            applied: None,
            shutdown: None,
            open: Vec::new(),
            moment: WallTime(0),
            since: None,
        };
        for p in machine.processes.iter() {
            history.since = Some(machine.now.wall);
            let line = Line { turn: Arc::new(present(p)), because: Vec::new(), gap: false };
            let past = Past { lines: VecDeque::from([line]), origin: None, signalled: None };
            history.names.insert(p.name.clone(), p.id);
            history.pasts.insert(p.id, past);
        }
        let turns: Vec<(ProcessId, Arc<Turn>)> =
            history.pasts.iter().filter_map(|(id, past)| Some((*id, past.lines.back()?.turn.clone()))).collect();
        for (id, turn) in turns {
            let (because, gap) = history.recorded_causes(&turn);
            let line = Line { turn, because, gap };
            let Some(past) = history.pasts.get_mut(&id) else { continue };
            past.origin = is_origin(&line.turn).then(|| line.clone());
            past.lines = VecDeque::from([line]);
        }
        history
    }

    /// What led to a turn that an earlier supervisor told: the present states of others, if they can have.
    fn recorded_causes(&self, turn: &Turn) -> (Vec<Arc<Turn>>, bool) {
        let Some((name, wanted)) = other_of(turn) else { return (Vec::new(), false) };
        let line = self.names.get(name).and_then(|id| self.newest(*id));
        match line.filter(|line| line.turn.time <= turn.time && wanted.is_none_or(|what| what == line.turn.what)) {
            Some(line) => (vec![line.turn.clone()], false),
            None => (Vec::new(), false),
        }
    }

    /// Takes in the next event.
    pub fn note(&mut self, event: &Event) {
        if event.time != self.moment {
            self.open.clear();
            self.moment = event.time;
        }
        match (&event.kind, event.process) {
            (EventKind::ShuttingDown, _) => {
                let turn = Turn { process: None, ..turn(event, What::ShuttingDown) };
                let (because, gap) = match (event.process.and_then(|id| self.newest(id)), &event.cause) {
                    (Some(line), Cause::Ended(_)) => led_by(line),
                    _ => (Vec::new(), false),
                };
                self.shutdown = Some(Line { turn: Arc::new(turn), because, gap });
            }
            (EventKind::Applied { added, removed, changed }, _) => {
                let what = What::Applied { added: *added, removed: *removed, changed: *changed };
                self.apply(Arc::new(turn(event, what)));
            }
            (EventKind::Defined, Some(id)) => {
                let name: Arc<str> = event.name.clone().unwrap_or_default();
                let mut turn = turn(event, What::Defined);
                turn.to = Some(StateName::Created);
                let line = Line { turn: Arc::new(turn), because: Vec::new(), gap: false };
                self.names.insert(name, id);
                let past = Past { lines: VecDeque::from([line]), origin: None, signalled: None };
                self.pasts.insert(id, past);
            }
            (EventKind::Deleted, Some(id)) => self.delete(id),
            (EventKind::Signalled { signal }, Some(id)) if matches!(event.cause, Cause::Command(_)) => {
                if let Some(past) = self.pasts.get_mut(&id) {
                    past.signalled = Some(Arc::new(turn(event, What::Signalled(*signal))));
                }
            }
            (EventKind::State { .. }, Some(id)) => self.change(id, event),
            _ => {}
        }
    }

    fn apply(&mut self, turn: Arc<Turn>) {
        let before = self.applied.as_ref().map_or(0, |line| line.turn.sequence);
        // What it took away and changed was told before it was.
        let all = self.pasts.values_mut().chain(self.gone.iter_mut().map(|(_, past)| past));
        for line in all.filter_map(|past| past.lines.back_mut()) {
            let of_now = line.turn.sequence > before && line.turn.time == turn.time;
            if of_now && line.turn.cause == Cause::Apply {
                line.because = vec![turn.clone()];
            }
        }
        self.applied = Some(Line { turn, because: Vec::new(), gap: false });
    }

    fn delete(&mut self, id: ProcessId) {
        let Some(past) = self.pasts.remove(&id) else { return };
        let name = past.lines.back().map(|line| line.turn.name.clone()).unwrap_or_default();
        if self.names.get(&name) == Some(&id) {
            self.names.remove(&name);
        }
        self.gone.push_back((name, past));
        if self.gone.len() > GONE {
            self.gone.pop_front();
        }
    }

    fn change(&mut self, id: ProcessId, event: &Event) {
        let EventKind::State { from, to, reason, .. } = &event.kind else { return };
        let what = match to {
            StateName::Waiting | StateName::Starting | StateName::Running => What::Start,
            _ if reason.starts_with("skipped: ") => What::Skip,
            _ => What::End,
        };
        let told = Turn { from: Some(*from), to: Some(*to), reason: reason.clone(), ..turn(event, what) };
        let goes_on = self.newest(id).is_some_and(|line| goes_on(&line.turn, &told));
        if !goes_on {
            let line = self.line(id, told);
            let Some(past) = self.pasts.get_mut(&id) else { return };
            if is_origin(&line.turn) {
                past.origin = Some(line.clone());
            }
            past.lines.push_back(line.clone());
            if past.lines.len() > TURNS {
                past.lines.pop_front();
            }
            self.close(id, &line);
            return;
        }
        // A turn that was decided anew while it was under way has another cause.
        let decides = told.cause != Cause::Progress && what != What::Start;
        let newer = decides && self.newest(id).is_some_and(|line| line.turn.cause != told.cause);
        let led = newer.then(|| self.causes(id, &told));
        // Unless that came of this very turn.
        let own = |led: &(Vec<Arc<Turn>>, bool)| {
            led.0.iter().any(|turn| self.newest(id).is_some_and(|line| same(turn, &line.turn)))
        };
        let led = led.filter(|led| !own(led));
        let Some(line) = self.pasts.get_mut(&id).and_then(|past| past.lines.back_mut()) else { return };
        let turn = Arc::make_mut(&mut line.turn);
        (turn.to, turn.time, turn.run) = (told.to, told.time, told.run);
        turn.reason = told.reason;
        if let Some((because, gap)) = led {
            (turn.cause, turn.caller) = (told.cause, told.caller);
            (line.because, line.gap) = (because, gap);
        }
    }

    fn line(&mut self, id: ProcessId, turn: Turn) -> Line {
        let (because, gap) = self.causes(id, &turn);
        if because.is_empty()
            && let Some((name, _)) = other_of(&turn)
            && let Some(other) = self.names.get(name).filter(|other| **other != id)
        {
            self.open.push((id, *other));
        }
        Line { turn: Arc::new(turn), because, gap }
    }

    /// A new turn of this process is what others were told to have been brought about by.
    fn close(&mut self, other: ProcessId, line: &Line) {
        let of_other: Vec<ProcessId> =
            self.open.extract_if(.., |(_, theirs)| *theirs == other).map(|(id, _)| id).collect();
        for id in of_other {
            let Some(waiting) = self.pasts.get_mut(&id).and_then(|past| past.lines.back_mut()) else { continue };
            let fits = other_of(&waiting.turn).is_some_and(|(_, what)| what.is_none_or(|what| what == line.turn.what));
            if waiting.because.is_empty() && fits {
                (waiting.because, waiting.gap) = led_by(line);
                // Two that name each other: no more is known than that.
                let own = waiting.because.iter().position(|turn| same(turn, &waiting.turn));
                waiting.because.truncate(own.unwrap_or(usize::MAX));
            }
        }
    }

    /// What leads to this turn, as far as it is known now.
    fn causes(&self, id: ProcessId, turn: &Turn) -> (Vec<Arc<Turn>>, bool) {
        let nothing = (Vec::new(), false);
        let past = self.pasts.get(&id);
        let end = || past.and_then(|past| past.lines.iter().rev().find(|line| line.turn.what == What::End));
        match &turn.cause {
            _ if other_of(turn).is_some() => self.other_line(id, turn).map_or(nothing, led_by),
            Cause::AutoStart | Cause::Apply => self.applied.as_ref().map_or(nothing, led_by),
            Cause::Shutdown => self.shutdown.as_ref().map_or(nothing, led_by),
            Cause::Policy => end().map_or(nothing, led_by),
            Cause::Ended(ending) => {
                let signalled = past.and_then(|past| past.signalled.as_ref());
                match signalled.filter(|signalled| answers(turn, ending, signalled)) {
                    Some(signalled) => (vec![signalled.clone()], false),
                    None => past.and_then(|past| past.origin.as_ref()).map_or(nothing, led_by),
                }
            }
            Cause::Progress if turn.what == What::Skip => self.newest(id).map_or(nothing, led_by),
            _ => nothing,
        }
    }

    /// The turn of another process that this one was brought about by.
    fn other_line(&self, id: ProcessId, turn: &Turn) -> Option<&Line> {
        let (name, wanted) = other_of(turn)?;
        let there = self.names.get(name).filter(|other| **other != id).and_then(|other| self.newest(*other));
        let gone = || self.gone.iter().rev().find(|(gone, _)| **gone == **name).and_then(|(_, past)| past.lines.back());
        there.or_else(gone).filter(|line| wanted.is_none_or(|what| what == line.turn.what))
    }

    /// The newest turn of a process, with what led to it.
    pub(super) fn newest(&self, id: ProcessId) -> Option<&Line> {
        self.pasts.get(&id)?.lines.back()
    }

    /// A process's line should it be in this state, which no event told of, for this cause.
    pub(super) fn line_of(&self, turn: Turn) -> Line {
        let (because, gap) = turn.process.map(|id| self.causes(id, &turn)).unwrap_or_default();
        Line { turn: Arc::new(turn), because, gap }
    }

    /// The same turn as far as it has come by now.
    pub(super) fn as_of_now(&self, turn: &Arc<Turn>) -> Arc<Turn> {
        let lines = turn.process.and_then(|id| self.pasts.get(&id)).map(|past| &past.lines);
        let known = lines.and_then(|lines| lines.iter().find(|line| same(&line.turn, turn)));
        // What no event told is no other's turn.
        known.filter(|_| turn.sequence > 0).map_or_else(|| turn.clone(), |line| line.turn.clone())
    }
}

/// A process's present state as a turn, as far as the state itself knows. No event is known that told it.
pub(super) fn present(p: &Process) -> Turn {
    let (what, cause) = match &p.state {
        State::Rest(Rest { skipped: Some(_), .. }) => (What::Skip, Cause::Progress),
        State::Rest(Rest { why, .. }) => match why {
            Why::Created => (What::Defined, Cause::Progress),
            Why::Stopped(cause) => (What::End, cause.clone()),
            Why::Exited(ending) | Why::Failed(ending) | Why::Crashed(ending) => {
                (What::End, Cause::Ended(ending.clone()))
            }
        },
        state if state.listens() => (What::Start, Cause::Progress),
        State::Waiting(Waiting { start, .. }) => (What::Start, start.cause.clone()),
        State::Starting(Starting { run, .. }) | State::Running(Running { run, .. }) => {
            (What::Start, run.start.cause.clone())
        }
        State::Stopping(Stopping { by, .. }) => (What::End, by.clone()),
        State::Backoff(backoff) => (What::End, Cause::Ended(backoff.ending.clone())),
    };
    Turn {
        process: Some(p.id),
        name: p.name.clone(),
        sequence: 0,
        what,
        from: None,
        to: Some(p.state.name()),
        time: p.since,
        run: p.state.run().map(|run| run.id).or(p.last.run),
        reason: String::new(),
        caller: match &cause {
            Cause::Command(asked) => asked.by.clone(),
            _ => None,
        },
        cause,
    }
}

fn turn(event: &Event, what: What) -> Turn {
    Turn {
        process: event.process,
        name: event.name.clone().unwrap_or_default(),
        sequence: event.sequence,
        what,
        from: None,
        to: None,
        time: event.time,
        run: event.run,
        reason: String::new(),
        cause: event.cause.clone(),
        caller: event.caller.clone(),
    }
}

/// Whether this change is a part of the turn before.
fn goes_on(before: &Turn, told: &Turn) -> bool {
    match (told.what, told.to) {
        // A oneshot that remains is up because it ended.
        (What::Start, Some(StateName::Running)) => before.what == What::Start,
        (What::Start, _) => before.what == What::Start && told.cause == Cause::Progress,
        (What::End, Some(StateName::Stopping)) => false,
        (What::End, _) => before.what == What::End && before.to == Some(StateName::Stopping),
        _ => false,
    }
}

fn same(one: &Turn, other: &Turn) -> bool {
    (one.process, one.sequence) == (other.process, other.sequence)
}

/// Whether something else than the restart policy began this start.
fn is_origin(turn: &Turn) -> bool {
    turn.what == What::Start && !matches!(turn.cause, Cause::Policy | Cause::Progress | Cause::Idle)
}

/// A line, and what led to it, as what leads to another. Not without bound: the first cause stays.
fn led_by(line: &Line) -> (Vec<Arc<Turn>>, bool) {
    let mut because = Vec::with_capacity(line.because.len() + 1);
    because.push(line.turn.clone());
    because.extend(line.because.iter().cloned());
    let long = because.len() > LEADING;
    if long {
        because.remove(LEADING - 1);
    }
    (because, line.gap || long)
}

/// Which process brought this turn about, if another did, and by what kind of turn.
fn other_of(turn: &Turn) -> Option<(&Arc<str>, Option<What>)> {
    match &turn.cause {
        Cause::Ended(Ending::Dependency(name, _)) => Some((name, None)),
        Cause::Ended(Ending::Conflict(name, _)) => Some((name, Some(What::End))),
        Cause::Relation(RelationKind::Follows | RelationKind::Conflicts, name) => Some((name, Some(What::Start))),
        Cause::Relation(_, name) => Some((name, Some(turn.what))),
        _ => None,
    }
}

/// Whether a run that ended so answered that signal.
fn answers(turn: &Turn, ending: &Ending, signalled: &Turn) -> bool {
    let What::Signalled(sent) = signalled.what else { return false };
    let soon = turn.time.0.saturating_sub(signalled.time.0) <= ANSWER.as_millis() as i64;
    let same_run = turn.run == signalled.run;
    same_run
        && match ending.status() {
            Some(ExitStatus::Signal { signal, .. }) => signal == sent,
            Some(_) => soon && [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&sent),
            None => false,
        }
}
