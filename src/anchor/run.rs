//! The anchor's life: what it waits for, and what it does about it.

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::children;
use super::held::Held;
use super::link::{UpgradeOutcome, pair};
use super::message::{LONGEST, Request, VERSION};
use super::outlet::{Greeting, Outlet, Room};
use super::remembered::Remembered;
use super::restarts::{Next, Restarts};
use super::say::say;
use super::service::Service;
use super::signals::{self, Few, Signals, Told};
use super::stop::{self, Stop, Stopped};
use super::supervisor::{Purpose, Said, Supervisor, Trial};
use crate::core::{ExitStatus, Pid};
use crate::driver::sys::{CleanPages, Program, Start, fork_exec};

/// How many messages are heard before something else has its turn.
const TURN: usize = 1024;
/// How long what lacks memory waits.
const SCARCE: Duration = Duration::from_millis(100);
/// How long it takes until a supervisor is tried again for which there was no process or memory.
const LACKING: Duration = Duration::from_secs(2);

/// Where supervisors come from.
#[derive(Debug)]
pub(super) struct Origin {
    pub image: OwnedFd,
    pub program: Program,
    /// The limit on open files that they get: soft and hard.
    pub nofile: (u64, u64),
}

/// Who does the work now.
#[derive(Debug)]
enum State {
    /// A supervisor.
    Up(Box<Supervisor>),
    /// Nobody: one is started then.
    Due(Instant),
    /// Nobody, ever again.
    Stopping(Stop),
}

/// All of it.
#[derive(Debug)]
pub(super) struct Anchor {
    origin: Origin,
    signals: Signals,
    held: Held,
    /// How many of them were there from the start.
    passed_in: usize,
    service: Service,
    remembered: Remembered,
    restarts: Restarts,
    told_to_stop: stop::Told,
    pages: CleanPages,
    state: State,
    lives: u32,
    /// How an upgrade went that failed, until a supervisor that was told so is ready.
    upgrade: Option<UpgradeOutcome>,
    /// What the next supervisor is to be signalled, once it listens.
    pending: Few,
    /// A supervisor that was asked to end crashed instead.
    asked_in_vain: bool,
}

impl Anchor {
    pub(super) fn new(origin: Origin, signals: Signals, held: Held, service: Service) -> Anchor {
        Anchor {
            origin,
            signals,
            passed_in: held.len(),
            held,
            service,
            remembered: Remembered::new(),
            restarts: Restarts::new(),
            told_to_stop: stop::Told::new(),
            pages: CleanPages::find(),
            state: State::Due(Instant::now()),
            lives: 0,
            upgrade: None,
            pending: Few::default(),
            asked_in_vain: false,
        }
    }

    /// Until all is over: the exit code.
    pub(super) fn run(mut self, started: Instant) -> u8 {
        let mut now = started;
        loop {
            if let Some(code) = self.turn(now) {
                return code;
            }
            self.wait(now);
            now = Instant::now();
            while let Some(told) = self.signals.next() {
                self.signalled(told, now);
            }
        }
    }

    /// All that can be done now.
    fn turn(&mut self, now: Instant) -> Option<u8> {
        self.hear(TURN, now);
        if let Some(code) = self.reap(now) {
            return Some(code);
        }
        match &mut self.state {
            State::Up(supervisor) => {
                supervisor.room = supervisor.outlet.say(&self.held, &mut self.remembered);
                if supervisor.kill_if_due(now) {
                    say(format_args!("the supervisor (pid {}) hangs: it is killed", supervisor.pid));
                    self.service.hold_on();
                }
                None
            }
            State::Due(at) if now >= *at => {
                self.start(None, now);
                None
            }
            State::Due(_) => None,
            State::Stopping(stop) => match stop.go_on(&mut self.told_to_stop, now) {
                Stopped::NotYet => None,
                Stopped::All(code) => Some(code),
                Stopped::Not(code) => {
                    say(format_args!("some processes do not die, even by SIGKILL: they are left behind"));
                    Some(code)
                }
            },
        }
    }

    /// Waits for what comes first: a signal, a message, room for one, a deadline.
    fn wait(&self, now: Instant) {
        let (due, socket) = match &self.state {
            State::Up(supervisor) => {
                let again = (supervisor.room == Room::Scarce).then_some(now + SCARCE);
                let due = supervisor.kill_at().into_iter().chain(again).min();
                let mut flags = PollFlags::POLLIN;
                flags.set(PollFlags::POLLOUT, supervisor.room == Room::Full);
                (due, (!supervisor.closed).then(|| PollFd::new(supervisor.outlet.as_fd(), flags)))
            }
            State::Due(at) => (Some(*at), None),
            State::Stopping(stop) => (Some(stop.due()), None),
        };
        let signals = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        // A millisecond more, so that what is due is due when it is looked at.
        let patience = due.map(|due| due.saturating_duration_since(now) + Duration::from_millis(1));
        let patience =
            patience.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
        let answer = match socket {
            Some(socket) => poll(&mut [signals, socket], patience),
            None => poll(&mut [signals], patience),
        };
        if answer.is_err_and(|errno| errno != Errno::EINTR) {
            thread::sleep(SCARCE);
        }
    }

    fn signalled(&mut self, told: Told, now: Instant) {
        match (told, &mut self.state) {
            (Told::Pause, _) => signals::pause(),
            (Told::End(signal), State::Up(supervisor)) => {
                // Who does not listen yet would die of it, with nothing stopped; asked twice it is meant.
                if supervisor.greeted || supervisor.urged {
                    supervisor.signal(signal);
                } else {
                    supervisor.urged = true;
                    self.pending.add(signal);
                }
            }
            (Told::Forward(signal), State::Up(supervisor)) if supervisor.greeted => supervisor.signal(signal),
            (Told::Forward(signal), State::Up(_) | State::Due(_)) => self.pending.add(signal),
            (Told::End(signal), State::Due(_)) => {
                say(format_args!("{signal} while no supervisor lives: everything is stopped"));
                self.stop(by(signal), now);
            }
            (Told::Abort, State::Up(_) | State::Due(_)) => {
                say(format_args!("SIGABRT, as of a watchdog: everything is stopped"));
                if let State::Up(supervisor) = &self.state {
                    children::signal(supervisor.pid, Signal::SIGKILL);
                }
                self.stop(by(Signal::SIGABRT), now);
            }
            (Told::End(_) | Told::Abort, State::Stopping(stop)) => stop.hurry(now),
            (Told::Forward(_), State::Stopping(_)) | (Told::Child | Told::Other, _) => {}
        }
    }

    /// Hears so many messages.
    fn hear(&mut self, most: usize, now: Instant) {
        let mut buffer = [0; LONGEST];
        for _ in 0..most {
            let State::Up(supervisor) = &mut self.state else { return };
            match supervisor.hear(&mut buffer) {
                Some(Said::Request(request, fd)) => self.heard(request, fd, now),
                Some(Said::Nonsense) => {}
                None => return,
            }
        }
    }

    fn heard(&mut self, request: Request<'_>, fd: Option<OwnedFd>, now: Instant) {
        let State::Up(supervisor) = &mut self.state else { return };
        match (request, fd) {
            (Request::Hello { version }, _) => self.greet(version),
            (Request::Hold(key), Some(fd)) => {
                if !self.held.hold(key, fd) {
                    supervisor.outlet.not_held(key);
                }
            }
            // It was cut off: no descriptor is free.
            (Request::Hold(key), None) => supervisor.outlet.not_held(key),
            (Request::LetGo(key), _) => self.held.let_go(key),
            (Request::Forget(pid), _) => self.remembered.forget(pid),
            (Request::Ready, _) => {
                supervisor.ready = true;
                self.upgrade = None;
                if let Some(trial) = supervisor.trial.take() {
                    self.origin.image = trial.image;
                }
                // What follows is a long wait.
                self.pages.give_back();
            }
            (Request::Notify(text), _) => {
                if Service::is_alive(text) {
                    supervisor.alive_by = self.service.patience().map(|patience| now + patience);
                }
                self.service.tell(text);
            }
            // A new binary that gives up is not the end of what the old one supervised.
            (Request::Finished(_), _) if supervisor.trial.is_some() => {}
            (Request::Finished(code), _) => supervisor.finishes(code, now),
            (Request::Upgrade { ready_within }, Some(image)) => {
                supervisor.leaves(image, Duration::from_millis(ready_within.into()), now);
            }
            (Request::Upgrade { .. }, None) => say(format_args!("an upgrade without a binary: nothing is done")),
        }
    }

    fn greet(&mut self, version: u16) {
        let State::Up(supervisor) = &mut self.state else { return };
        if supervisor.outlet.asked(version, &mut self.remembered) {
            supervisor.greeted = true;
            let pending = std::mem::take(&mut self.pending);
            pending.each().for_each(|signal| supervisor.signal(signal));
        } else {
            say(format_args!(
                "the supervisor (pid {}) speaks version {version} of the anchor's protocol, this anchor version {VERSION}: \
                 stop this instance and start it with the new binary",
                supervisor.pid
            ));
        }
    }

    /// Lets go of all children that have ended, and remembers how; as many as there is room for, the rest stays with the
    /// kernel.
    fn reap(&mut self, now: Instant) -> Option<u8> {
        if let State::Stopping(_) = self.state {
            return None;
        }
        loop {
            // First of all: others may be many, and stay for want of room.
            if let State::Up(supervisor) = &self.state
                && let Some(status) = children::reap(supervisor.pid)
                && let Some(code) = self.died(status, now)
            {
                children::reap_all();
                return Some(code);
            }
            let ended = children::ended().filter(|_| self.remembered.has_room())?;
            if !self.is_supervisor(ended.pid) {
                children::reap(ended.pid);
                self.remembered.add(ended);
            }
        }
    }

    fn is_supervisor(&self, pid: Pid) -> bool {
        matches!(&self.state, State::Up(supervisor) if supervisor.pid == pid)
    }

    /// The supervisor has ended, and is reaped: the exit code if that is the end of all.
    fn died(&mut self, status: ExitStatus, now: Instant) -> Option<u8> {
        // What it said before comes first.
        self.hear(usize::MAX, now);
        let State::Up(supervisor) = std::mem::replace(&mut self.state, State::Due(now)) else { return None };
        match supervisor.purpose {
            Purpose::Finish { code, .. } => return Some(code),
            Purpose::Leave { image, ready_within, .. } => {
                self.start(Some(Trial { image, ready_by: now + ready_within, late: false }), now);
            }
            Purpose::Serve => match &supervisor.trial {
                Some(trial) => {
                    // Whatever it was asked, it is to be asked of the old one.
                    self.pending = self.pending.also(supervisor.forwarded);
                    self.fall_back(trial.late, status, now);
                }
                None if self.was_nothing(&supervisor) => match (status, supervisor.forwarded.ending()) {
                    (ExitStatus::Code(code), _) => return Some(code as u8),
                    (_, Some(signal)) => return Some(by(signal)),
                    _ => self.crashed(&supervisor, status, now),
                },
                None => self.crashed(&supervisor, status, now),
            },
        }
        None
    }

    /// Whether it is as if it had never been started.
    fn was_nothing(&self, supervisor: &Supervisor) -> bool {
        self.lives == 1
            && !supervisor.ready
            && self.held.len() == self.passed_in
            && self.remembered.is_empty()
            && !children::any()
    }

    fn fall_back(&mut self, late: bool, status: ExitStatus, now: Instant) {
        self.upgrade = Some(if late { UpgradeOutcome::Late } else { UpgradeOutcome::Failed });
        match late {
            true => say(format_args!("the new binary was not ready in time: the old one is started again")),
            false => {
                say(format_args!("the new binary {} before it was ready: the old one is started again", How(status)))
            }
        }
        self.start(None, now);
    }

    fn crashed(&mut self, supervisor: &Supervisor, status: ExitStatus, now: Instant) {
        let (pid, how) = (supervisor.pid, How(status));
        if let Some(signal) = supervisor.forwarded.ending() {
            // One that was at work may be far in a long stop, with which the next goes on.
            if self.asked_in_vain && !supervisor.ready {
                say(format_args!(
                    "the supervisor (pid {pid}) {how} where {signal} was to stop it: everything is stopped"
                ));
                return self.stop(by(signal), now);
            }
            self.asked_in_vain = true;
            self.pending = self.pending.also(supervisor.forwarded);
        }
        match self.restarts.crashed(supervisor.ready, now) {
            Next::At(then) => {
                say(format_args!("the supervisor (pid {pid}) {how}: it is started again"));
                self.state = State::Due(then);
            }
            why => self.give_up(why, how, now),
        }
    }

    fn give_up(&mut self, why: Next, how: How, now: Instant) {
        match why {
            Next::Crashing { times, within } => say(format_args!(
                "the supervisor crashed {times} times in {} s, and last {how}: everything is stopped",
                within.as_secs()
            )),
            Next::NeverReady { times } => {
                say(format_args!(
                    "the supervisor did not come up {times} times in a row, and last {how}: everything is stopped"
                ));
            }
            Next::At(_) => {}
        }
        self.stop(1, now);
    }

    fn stop(&mut self, code: u8, now: Instant) {
        self.service.tell(b"STOPPING=1\nSTATUS=the supervisor does not come up: stopping everything");
        self.state = State::Stopping(Stop::begin(code, now));
    }

    fn start(&mut self, trial: Option<Trial>, now: Instant) {
        self.lives = self.lives.saturating_add(1);
        let upgrade = if trial.is_some() { Some(UpgradeOutcome::Done) } else { self.upgrade };
        let greeting = Greeting { lives: self.lives, anchor: Pid(std::process::id()), upgrade };
        let image = trial.as_ref().map_or(&self.origin.image, |trial| &trial.image).as_fd();
        let started = pair().and_then(|(ours, theirs)| {
            let start = Start { image, keep: theirs.as_fd(), nofile: self.origin.nofile };
            fork_exec(&mut self.origin.program, &start).map(|pid| (Pid(pid), ours))
        });
        match (started, trial) {
            (Ok((pid, ours)), trial) => {
                self.state = State::Up(Box::new(Supervisor::new(pid, Outlet::new(ours, greeting), trial)));
            }
            (Err(why), Some(_)) => {
                say(format_args!("the new binary cannot be started ({why}): the old one is"));
                self.upgrade = Some(UpgradeOutcome::Failed);
                self.state = State::Due(now);
            }
            (Err(why), None) => {
                // The kernel lacks something, which is no reason to stop what runs.
                say(format_args!("no supervisor can be started: {why}; it is tried again in {} s", LACKING.as_secs()));
                self.state = State::Due(now + LACKING);
            }
        }
    }
}

/// What shells make of an end by this signal.
fn by(signal: Signal) -> u8 {
    128 + signal as i32 as u8
}

/// A status as a part of a sentence.
#[derive(Clone, Copy)]
struct How(ExitStatus);

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ExitStatus::Code(code) => write!(f, "exited with {code}"),
            ExitStatus::Signal { signal, core: false } => write!(f, "was killed by {signal}"),
            ExitStatus::Signal { signal, core: true } => write!(f, "was killed by {signal} (core dumped)"),
            ExitStatus::Unknown => f.write_str("ended"),
        }
    }
}
