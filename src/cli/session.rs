//! A supervision in the foreground, from the first event to the last: shared by `up` and `run`.
//!
//! Four threads, so that none can hold up another: one waits for signals, one follows the events and knows when all
//! is over, one prints, and the one that called [`supervise`] decides. Only the printing one writes; if its reader
//! stalls, Ctrl-C still works.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::exit::Failure;
use super::notes::Notes;
use super::orphans;
use super::paint::Tone;
use super::printer::{Printing, Show, Told};
use super::signals::Signals;
use super::summary::Summary;
use super::units::about;
use crate::core::{Event, EventKind, StateName, Status, WallTime};
use crate::{Events, Next, Pending, Shutdown, Supervisor};

/// A stop that takes longer than this is explained.
const FIRST_NOTE: Duration = Duration::from_secs(1);
/// And again this often.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// A second signal within this time of the first is the same request.
const SAME_REQUEST: Duration = Duration::from_millis(100);
/// How long it waits for what listens to be bound: far longer than that takes, and less than a service manager waits.
const BOUND_WITHIN: Duration = Duration::from_secs(10);
/// How long the last lines may take to be printed when all is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is done once it is ready.
pub(super) type WhenReady = Box<dyn FnOnce(&Notes) + Send>;

/// What differs between one supervision and another.
pub(super) struct Manner {
    /// Whether it ends when nothing can run again.
    pub(super) ends_at_rest: bool,
    /// What SIGHUP does, if it does not end it.
    pub(super) hangup: Option<Box<dyn Fn() + Send>>,
    /// Whether SIGUSR1 and SIGUSR2 are passed on.
    pub(super) forwards: bool,
    /// Called once, when the listeners of the first plan are bound or could not be in time, unless it is to end by then.
    pub(super) ready: Option<WhenReady>,
    /// Told that it ends, and every few seconds what that waits for.
    pub(super) stopping: Box<dyn Fn(&str) + Send>,
}

impl Manner {
    /// One command's: it ends with it.
    pub(super) fn of_run() -> Manner {
        Manner { ends_at_rest: true, hangup: None, forwards: true, ready: None, stopping: Box::new(|_| ()) }
    }
}

/// What wakes the deciding thread.
enum Wake {
    /// A signal came, then.
    Signal(Signal, Instant),
    /// It looks as if nothing can run again.
    Settled,
    /// What listens is bound, but for what this says, if it does.
    Listening(Option<String>),
    /// The supervisor stops everything by itself: a critical process has ended.
    Stopping,
    /// Everything is down.
    Ended(Box<Outcome>),
    /// The printing thread has something to tell.
    Print(Told),
}

/// How it went.
pub(super) struct Outcome {
    /// The engine's account of it.
    pub(super) shutdown: Result<Shutdown, crate::Error>,
    /// What became of the processes.
    pub(super) summary: Summary,
}

/// The supervisor, and all that watches it. Made before the plan is applied, so that nothing is missed.
pub(super) struct Session {
    supervisor: Supervisor,
    wakes: Receiver<Wake>,
    wake: Sender<Wake>,
    notes: Notes,
    resting: Summary,
    told: ToldToStop,
    manner: Manner,
    stopping: Option<Stopping>,
    /// When the signal came that asked for the stop, if one did.
    asked_at: Option<Instant>,
}

/// When each process that is being stopped got its first signal: it may have waited for others before.
#[derive(Clone, Default)]
struct ToldToStop(Arc<Mutex<BTreeMap<Arc<str>, WallTime>>>);

impl ToldToStop {
    fn note(&self, event: &Event) {
        let Some(name) = &event.name else { return };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.kind {
            EventKind::State { .. } => drop(told.remove(name)),
            EventKind::Signalled { .. } => drop(told.entry(Arc::clone(name)).or_insert(event.time)),
            _ => {}
        }
    }

    fn when(&self, name: &str) -> Option<WallTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

/// A shutdown under way.
struct Stopping {
    next_note: Instant,
    escalated: bool,
}

impl Stopping {
    fn begin() -> Stopping {
        Stopping { next_note: Instant::now() + FIRST_NOTE, escalated: false }
    }
}

impl Session {
    /// Starts the threads.
    pub(super) fn begin<S: Show + Send + 'static>(
        supervisor: Supervisor,
        signals: Signals,
        mut summary: Summary,
        manner: Manner,
        printing: Printing<S>,
    ) -> Result<Session, Failure> {
        let (wake, wakes) = mpsc::channel();
        let signalled = wake.clone();
        signals.hand_to(move |signal| drop(signalled.send(Wake::Signal(signal, Instant::now()))));
        let printed = wake.clone();
        let notes = printing.begin(&supervisor, move |told| {
            // Nobody listens any more: it is over.
            let _ = printed.send(Wake::Print(told));
        })?;
        // Asked for while there is somebody to answer.
        let (events, ended) = (supervisor.events(), supervisor.ended());
        // What was taken over from another supervisor.
        supervisor.list().unwrap_or_default().iter().for_each(|status| summary.begin_with(status));
        let (following, follower, told) = (summary.clone(), wake.clone(), ToldToStop::default());
        let telling = told.clone();
        spawn("neap-follow", move || follow(ended, events, following, &telling, &follower))?;
        // Who takes over a stop goes on with it. The signal that asked for it comes again, and is no second request.
        let stopping = supervisor.is_shutting_down().then(Stopping::begin);
        Ok(Session { supervisor, wakes, wake, notes, resting: summary, told, manner, stopping, asked_at: None })
    }

    /// Where Neap's own notes are handed in.
    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Supervises until all is over.
    pub(super) fn supervise(mut self) -> Outcome {
        // What was applied may have had nothing to start.
        let _ = self.wake.send(Wake::Settled);
        self.await_listeners();
        loop {
            match self.next_wake() {
                None => self.say_what_it_waits_for(),
                Some(Wake::Settled) => self.settle(),
                Some(Wake::Listening(lacking)) => self.ready(lacking),
                Some(Wake::Stopping) => drop(self.note_stop()),
                Some(Wake::Signal(signal, when)) => self.signal(signal, when),
                Some(Wake::Print(Told::ReaderGone)) => self.stop("whoever read what it prints, who went away"),
                Some(Wake::Print(Told::Done)) => {}
                Some(Wake::Ended(outcome)) => return self.finish(*outcome),
            }
        }
    }

    fn next_wake(&self) -> Option<Wake> {
        match &self.stopping {
            // The senders live as long as this does: an error is impossible, and would be as good as a note's turn.
            None => self.wakes.recv().ok(),
            Some(stopping) => {
                let wait = stopping.next_note.saturating_duration_since(Instant::now());
                self.wakes.recv_timeout(wait).ok()
            }
        }
    }

    /// Has itself woken when what listens is bound. On a thread of its own, since a disk may take its time over it.
    fn await_listeners(&self) {
        if self.manner.ready.is_none() {
            return;
        }
        let (supervisor, wake) = (self.supervisor.clone(), self.wake.clone());
        let waiting = move || {
            if let Ok(lacking) = await_bound(&supervisor) {
                let _ = wake.send(Wake::Listening(lacking));
            }
        };
        if let Err(failure) = spawn("neap-listening", waiting) {
            self.notes.say(Tone::Warn, format!("whether what listens is bound is not waited for: {}", failure.message));
            let _ = self.wake.send(Wake::Listening(None));
        }
    }

    fn ready(&mut self, lacking: Option<String>) {
        match self.manner.ready.take() {
            Some(ready) if self.stopping.is_none() => {
                lacking.into_iter().for_each(|lacking| self.notes.say(Tone::Warn, lacking));
                ready(&self.notes);
            }
            _ => {}
        }
    }

    /// Ends it if really nothing can run again.
    fn settle(&mut self) {
        let Ok(statuses) = self.supervisor.list() else { return };
        if self.manner.ends_at_rest
            && self.stopping.is_none()
            && statuses.iter().all(|one| self.resting.is_at_rest(&one.name, one.state))
        {
            self.stop("nobody: nothing can run again");
        }
    }

    fn signal(&mut self, signal: Signal, when: Instant) {
        match signal {
            Signal::SIGCHLD => orphans::reap(),
            Signal::SIGUSR1 | Signal::SIGUSR2 if self.manner.forwards => self.forward(signal),
            Signal::SIGUSR1 | Signal::SIGUSR2 => {
                let what = format!(
                    "{} means nothing to Neap; `neap signal NAME {0}` sends it to a process",
                    &signal.as_str()[3..]
                );
                self.notes.say(Tone::Warn, what);
            }
            Signal::SIGHUP if self.manner.hangup.is_some() => self.hang_up(),
            _ if self.asked_at.is_none() => {
                self.asked_at = Some(when);
                self.say_it_stops();
                self.stop(&by_signal(signal));
                if signal == Signal::SIGQUIT {
                    self.escalate(signal);
                }
            }
            // The terminal went away: no hurry about that.
            Signal::SIGHUP => {}
            // Whoever ran us passed on what came to the whole group anyway, as timeout(1) does: nobody asked twice.
            Signal::SIGINT | Signal::SIGTERM if when < self.asked_at.map_or(when, |first| first + SAME_REQUEST) => {}
            _ => self.escalate(signal),
        }
    }

    fn hang_up(&self) {
        match &self.manner.hangup {
            Some(hangup) if self.stopping.is_none() => hangup(),
            _ => {}
        }
    }

    fn forward(&self, signal: Signal) {
        let supervisor = self.supervisor.on_behalf_of(by_signal(signal));
        for status in supervisor.list().unwrap_or_default() {
            let number = crate::spec::Signal::from_number(signal as i32);
            if let (Some(process), Some(number)) = (supervisor.get(&status.name), number) {
                drop(process.signal(number));
            }
        }
    }

    fn stop(&mut self, asker: &str) {
        if self.note_stop() {
            // Its answer is the end of the engine, which the follower reports.
            drop(self.supervisor.on_behalf_of(asker).shutdown());
        }
    }

    /// Whether this is the first that is heard of a stop.
    fn note_stop(&mut self) -> bool {
        let first = self.stopping.is_none();
        self.stopping.get_or_insert_with(Stopping::begin);
        if first {
            (self.manner.stopping)("stopping");
        }
        first
    }

    fn escalate(&mut self, signal: Signal) {
        if let Some(stopping) = &mut self.stopping {
            if !stopping.escalated {
                stopping.escalated = true;
                self.notes.say(Tone::Warn, "killing what is left");
            }
            drop(self.supervisor.on_behalf_of(by_signal(signal)).shutdown());
        }
    }

    fn say_it_stops(&self) {
        let up = self.supervisor.list().unwrap_or_default();
        let up = up.iter().filter(|one| !self.resting.is_at_rest(&one.name, one.state)).count();
        let what = if up == 1 { "1 process".to_owned() } else { format!("{up} processes") };
        self.notes.say(Tone::Strong, format!("stopping {what}; once more to kill"));
    }

    fn say_what_it_waits_for(&mut self) {
        let statuses = self.supervisor.list().unwrap_or_default();
        // One that itself waits for others is none that is waited for.
        let stopping = statuses.iter().filter(|one| one.state == StateName::Stopping && one.holds.is_empty());
        let waiting: Vec<String> = stopping.map(|one| self.waits_for(one)).collect();
        if !waiting.is_empty() {
            let text = format!("waiting for {}", waiting.join(", "));
            (self.manner.stopping)(&text);
            self.notes.say(Tone::Warn, text);
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.next_note = Instant::now() + NOTE_EVERY;
        }
    }

    /// `db (pid 12, 3 s of 10 s)`.
    fn waits_for(&self, status: &Status) -> String {
        let pid = status.pid.map(|pid| format!("pid {pid}, ")).unwrap_or_default();
        let waited = since(self.told.when(&status.name).unwrap_or(status.since));
        let allowed = self.supervisor.get(&status.name).and_then(|process| process.spec().ok());
        let allowed: Option<Duration> = allowed.map(|spec| spec.stop.sequence.iter().map(|step| step.wait).sum());
        let name = &status.name;
        match allowed.filter(|allowed| *allowed >= waited) {
            Some(allowed) => format!("{name} ({pid}{} of {})", about(waited), about(allowed)),
            None => format!("{name} ({pid}{})", about(waited)),
        }
    }

    /// Waits for the last lines to be printed, but not for a reader that stalls.
    fn finish(self, outcome: Outcome) -> Outcome {
        drop(self.notes);
        let deadline = Instant::now() + LAST_WORDS;
        while let Ok(wake) = self.wakes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            match wake {
                Wake::Print(Told::Done) => break,
                Wake::Signal(Signal::SIGCHLD, _) => orphans::reap(),
                _ => {}
            }
        }
        outcome
    }
}

/// Waits until what listens is bound or could not be, for as long as is sensible; says what is not bound then.
///
/// # Errors
/// When the supervisor ends first.
pub(super) fn await_bound(supervisor: &Supervisor) -> Result<Option<String>, crate::Error> {
    let lacking = supervisor.listening_within(BOUND_WITHIN)?;
    let text = || format!("not bound after {}, and no longer waited for: {}", about(BOUND_WITHIN), lacking.join("; "));
    Ok((!lacking.is_empty()).then(text))
}

/// `signal INT`: who asked, when a signal did.
fn by_signal(signal: Signal) -> String {
    format!("signal {}", signal.as_str().trim_start_matches("SIG"))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(body);
    thread.map(drop).map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
}

/// How long ago that was, in whole seconds.
fn since(then: WallTime) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_millis(u64::try_from(then.0).unwrap_or(0));
    Duration::from_secs(now.saturating_sub(then).as_secs())
}

/// Follows the events to the end.
fn follow(ended: Pending<Shutdown>, mut events: Events, mut summary: Summary, told: &ToldToStop, wake: &Sender<Wake>) {
    while let Some(next) = events.next_blocking() {
        let news = match &next {
            Next::Item(event) => {
                told.note(event);
                let settled = summary.note(event);
                if event.kind == EventKind::ShuttingDown {
                    Some(Wake::Stopping)
                } else {
                    settled.then_some(Wake::Settled)
                }
            }
            // What was missed may have been the last of it: the deciding thread looks.
            Next::Lagged(_) => Some(Wake::Settled),
        };
        if news.is_some_and(|news| wake.send(news).is_err()) {
            return;
        }
    }
    let shutdown = ended.wait();
    // If nobody listens any more, nobody needs to know.
    let _ = wake.send(Wake::Ended(Box::new(Outcome { shutdown, summary })));
}
