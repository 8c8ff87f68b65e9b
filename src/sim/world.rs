//! A machine, a kernel for it, and a clock that goes as fast as one wants.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::crash::Mortal;
use super::kernel::{Due, Kernel};
use super::rng::Rng;
use super::sockets::Listening;
use super::trace::{Fingerprint, Trace};
use super::watch::{Scene, Watch};
use crate::core::{
    Command, CommandId, Explanation, History, Input, Machine, Notification, Now, Output, ProcessId, Reply, RunId,
    Settings, StateName, Time, WallTime,
};

/// A rule that was broken, with all that is needed to see how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was broken.
    pub what: String,
    /// The last inputs and outputs, oldest first; empty unless the world records.
    pub tail: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tail.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// How far a mean driver's clock goes back at most.
const BACK: Duration = Duration::from_secs(2);

/// How many steps are between two explanations that are asked for: they take longer than a step.
const EXPLAINED: u64 = 8;

/// How mean a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hostility {
    /// Programs, the kernel, the driver and the clocks do their worst, within what is possible at all.
    pub kernel: bool,
    /// Every input that may come twice does, at once; the second must come to nothing.
    pub twice: bool,
    /// Each step is also made by a machine that was made from the records; the two must not differ.
    pub twin: bool,
    /// In some lives the supervisor dies now and then, and another goes on.
    pub deaths: bool,
}

impl Hostility {
    /// Everything answers at once and well, unless told otherwise.
    pub const NONE: Hostility = Hostility { kernel: false, twice: false, twin: false, deaths: false };
}

/// A machine in a simulated kernel with virtual time.
///
/// Give it commands, let time pass with [`run_until`](World::run_until), and ask what came of it. After every step the
/// machine's own invariants and those seen from outside are checked; a broken one ends in a [`Failure`].
/// The same seed and the same calls give the same world, byte for byte.
#[derive(Debug)]
pub struct World {
    pub(super) machine: Machine,
    pub(super) history: History,
    pub(super) kernel: Kernel,
    pub(super) rng: Rng,
    pub(super) hostility: Hostility,
    pub(super) watch: Watch,
    pub(super) clock: Clock,
    pub(super) story: Story,
    pub(super) failed: Option<Failure>,
    pub(super) mortal: Option<Mortal>,
    twin: Option<Twin>,
    last_command: u64,
}

/// A machine that was made from the records of another.
#[derive(Debug)]
struct Twin {
    machine: Machine,
    /// Commands up to this one were given before it was made: it does not answer them.
    deaf_to: CommandId,
}

impl Twin {
    fn answers(&self, output: &Output) -> bool {
        !matches!(output, Output::Reply(id, _) if *id <= self.deaf_to)
    }
}

/// The clocks of a world.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) mono: Time,
    wall: i64,
    /// Timeouts come this much late.
    late: Duration,
    shutdown_timeout: Option<Duration>,
}

/// What a world remembers, as far as it is told to.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) trace: Option<Trace>,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Everything that came out, for scenarios.
    pub(super) outputs: Option<Vec<(Time, Output)>>,
    pub(super) steps: u64,
}

impl World {
    /// A world of this seed. The machine's jitter comes from it, too.
    pub fn new(seed: u64, hostility: Hostility, settings: Settings) -> Self {
        let mut rng = Rng::new(seed);
        let kernel = Kernel::new(Rng::new(rng.word()), hostility.kernel);
        let shutdown_timeout = settings.shutdown_timeout;
        let machine = Machine::new(settings);
        World {
            history: History::begin(&machine),
            machine,
            kernel,
            rng,
            hostility,
            watch: Watch::default(),
            clock: Clock { mono: Time(1_000_000_000), wall: 1_700_000_000_000, late: Duration::ZERO, shutdown_timeout },
            story: Story::default(),
            failed: None,
            mortal: None,
            twin: None,
            last_command: 0,
        }
    }

    /// From now on the last inputs and outputs are kept in words, for a [`Failure`] to show.
    pub fn record(&mut self) {
        self.story.trace.get_or_insert_with(Trace::default);
    }

    /// From now on everything that comes out goes into [`fingerprint`](World::fingerprint).
    pub fn hash(&mut self) {
        self.story.fingerprint.get_or_insert_with(Fingerprint::new);
    }

    /// A hash of everything that came out since [`hash`](World::hash).
    pub fn fingerprint(&self) -> Option<u64> {
        self.story.fingerprint.map(|it| it.0)
    }

    /// The machine, to ask it things.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The time of the monotonic clock.
    pub fn now(&self) -> Time {
        self.clock.mono
    }

    /// How many inputs the machine has taken in.
    pub fn steps(&self) -> u64 {
        self.story.steps
    }

    /// The last inputs and outputs, oldest first, if they are recorded.
    pub fn tail(&self, count: usize) -> Vec<String> {
        self.story.trace.as_ref().map_or(Vec::new(), |trace| trace.tail(count).to_vec())
    }

    /// Why a process is in its state, for whoever asks now.
    pub fn explain(&self, process: ProcessId) -> Option<Explanation> {
        self.machine.explain(process, &self.history, self.clock.now())
    }

    /// Gives a command now and takes in what follows at once.
    pub fn command(&mut self, command: Command) -> Result<CommandId, Failure> {
        self.command_by(None, command)
    }

    /// The same, from somebody of whom it is known who they are.
    pub fn command_by(&mut self, caller: Option<Arc<str>>, command: Command) -> Result<CommandId, Failure> {
        self.last_command += 1;
        let id = CommandId(self.last_command);
        self.watch.ask(self.clock.mono, id, &command);
        self.deliver(Input::Command { id, command, caller })?;
        Ok(id)
    }

    /// Gives up on the answer to a command.
    pub fn abandon(&mut self, id: CommandId) -> Result<(), Failure> {
        self.watch.abandon(id);
        self.deliver(Input::Abandon(id))
    }

    /// The answer to a command, if there was one.
    pub fn reply(&self, id: CommandId) -> Option<&Reply> {
        self.watch.asked.get(&id).and_then(|asked| asked.reply.as_ref())
    }

    /// Whether nobody waits for the answer to this command any more.
    pub fn is_abandoned(&self, id: CommandId) -> bool {
        self.watch.asked.get(&id).is_some_and(|asked| asked.abandoned)
    }

    /// The process's state as its events tell it.
    pub fn state_of(&self, process: ProcessId) -> Option<StateName> {
        self.watch.views.get(&process).map(|view| view.state)
    }

    /// When something happens next, if anything ever does.
    pub fn next_time(&self) -> Option<Time> {
        let timer = self.machine.poll_timeout().map(|at| at.after(self.clock.late).max(self.clock.mono));
        match (self.kernel.agenda.next_time(), timer) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Makes the next thing happen, at its time. `false` when nothing is left to happen.
    pub fn step(&mut self) -> Result<bool, Failure> {
        let Some(at) = self.next_time() else { return Ok(false) };
        self.clock.pass(at);
        if self.kernel.agenda.next_time().is_some_and(|due| due <= at) {
            match self.kernel.agenda.pop() {
                Some((_, Due::Tell(input))) => self.deliver(input)?,
                Some((_, Due::Again(input))) if self.still_true(&input) => self.deliver(input)?,
                Some((_, Due::Connects(process))) => {
                    if let Some(input) = self.kernel.connects(at, process) {
                        self.deliver(input)?;
                    }
                }
                Some((_, Due::Happens(run, what))) => {
                    if let Some(input) = self.kernel.happen(at, run, what) {
                        self.deliver(input)?;
                    }
                }
                _ => {}
            }
        } else {
            let deaths = self.deaths();
            self.deliver(Input::Timeout)?;
            if deaths == self.deaths() && self.machine.poll_timeout().is_some_and(|next| next <= self.clock.mono) {
                return self.broken("a deadline that has passed is still there after a Timeout");
            }
            if self.hostility.kernel && self.kernel.hostile {
                self.clock.late = if self.rng.chance(100) { self.rng.millis(0, 2_000) } else { Duration::ZERO };
            } else {
                self.clock.late = Duration::ZERO;
            }
        }
        Ok(true)
    }

    /// Everything that is due by then happens; then it is then.
    pub fn run_until(&mut self, then: Time) -> Result<(), Failure> {
        while self.next_time().is_some_and(|at| at <= then) {
            self.step()?;
        }
        self.clock.pass(then);
        Ok(())
    }

    /// It is then, and nobody looked at what was due meanwhile.
    pub fn sleep_through(&mut self, then: Time) {
        self.clock.pass(then);
    }

    /// The machine hears of something now.
    pub fn deliver(&mut self, input: Input) -> Result<(), Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        self.watch.step += 1;
        if let (Some(began), Some(limit)) = (self.watch.shutting_down, self.clock.shutdown_timeout) {
            // The driver's clock may have gone back when it told of the shutdown.
            self.watch.escalated |= self.clock.mono.after(BACK) >= began.after(limit);
        }
        self.story.steps += 1;
        if let Input::Prepared(run) = &input {
            self.kernel.told_prepared(*run);
        }
        self.kernel.told_of_sockets(self.clock.mono, &input);
        if let Some(trace) = &mut self.story.trace {
            trace.input(self.clock.mono, &input);
        }
        if let Some(death) = self.death_now() {
            // Before it was written down: it never was.
            return self.die(death, Some(input));
        }
        let again = self.may_come_twice(&input);
        let (now, copy) = (self.moment(&input), again.then(|| input.clone()));
        self.take_snapshot(&input)?;
        if let Some(twin) = &mut self.twin {
            twin.machine.handle(now, input.clone());
        }
        self.machine.handle(now, input);
        self.write();
        if self.drain()?.is_none() {
            return Ok(());
        }
        self.check()?;
        match copy {
            Some(input) if self.hostility.twice => self.repeat(input),
            Some(input) if self.hostility.kernel && self.kernel.hostile => self.perhaps_repeat(input),
            _ => Ok(()),
        }
    }

    /// Now, as the driver reads it: a mean one reads a clock that went back a little.
    fn moment(&mut self, input: &Input) -> Now {
        let mut now = self.clock.now();
        if !matches!(input, Input::Timeout) && self.hostility.kernel && self.kernel.hostile && self.rng.chance(20) {
            let back = self.rng.millis(0, BACK.as_secs() * 1_000);
            now.mono = Time(now.mono.0.saturating_sub(u64::try_from(back.as_nanos()).unwrap_or(0)));
        }
        now
    }

    /// Carries out what is asked for, and says how much that was; `None` when the supervisor died of it.
    pub(super) fn drain(&mut self) -> Result<Option<u32>, Failure> {
        let mut count = 0;
        loop {
            if let Some(death) = self.death_now() {
                self.die(death, None)?;
                return Ok(None);
            }
            let output = self.machine.poll_output();
            if let Some(twin) = &mut self.twin
                && output.as_ref().is_none_or(|output| twin.answers(output))
            {
                let theirs = twin.machine.poll_output();
                if theirs != output {
                    let what = format!("a restored machine does {theirs:?} instead of {output:?}");
                    return self.broken(&what);
                }
            }
            let Some(output) = output else { return Ok(Some(count)) };
            count += 1;
            if let Some(trace) = &mut self.story.trace {
                trace.output(self.clock.mono, &output);
            }
            if let Some(fingerprint) = &mut self.story.fingerprint {
                let _ = writeln!(fingerprint, "{} {output:?}", self.clock.mono.0);
            }
            self.judge(&output)?;
            if let Output::Emit(event) = &output {
                self.history.note(event);
            }
            let done = self.kernel.execute(self.clock.mono, &output);
            if let Some(outputs) = &mut self.story.outputs {
                outputs.push((self.clock.mono, output));
            }
            if let Err(what) = done {
                return self.broken(&what);
            }
        }
    }

    /// Judges an output that is not carried out yet.
    pub(super) fn judge(&mut self, output: &Output) -> Result<(), Failure> {
        let scene = Scene { now: self.clock.mono, machine: &self.machine, kernel: &self.kernel };
        let judged = self.watch.judge(&scene, output);
        judged.or_else(|what| self.broken(&what))
    }

    /// Writes a line into what is recorded.
    pub(super) fn say(&mut self, line: &str) {
        if let Some(trace) = &mut self.story.trace {
            trace.say(self.clock.mono, line);
        }
    }

    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let scene = Scene { now: self.clock.mono, machine: &self.machine, kernel: &self.kernel };
        let judged = self.watch.judge_step(&scene);
        match (judged, self.machine.check()) {
            (Err(what), _) => self.broken(&what),
            (Ok(()), Err(violation)) => self.broken(&format!("an invariant is broken: {violation}")),
            (Ok(()), Ok(())) => self.check_an_explanation(),
        }
    }

    /// Every few steps one process is asked why it is as it is.
    fn check_an_explanation(&mut self) -> Result<(), Failure> {
        if !self.story.steps.is_multiple_of(EXPLAINED) {
            return Ok(());
        }
        let all = self.machine.processes();
        let turn = usize::try_from(self.story.steps / EXPLAINED).unwrap_or(0) % all.len().max(1);
        let Some(process) = all.get(turn) else { return Ok(()) };
        let Some(explanation) = self.explain(*process) else {
            return self.broken(&format!("{process} has no explanation"));
        };
        match self.watch.told.judge(&explanation) {
            Ok(()) => Ok(()),
            Err(what) => self.broken(&format!("{what}: {explanation:#?}")),
        }
    }

    /// Ends this world: a rule is broken.
    pub(super) fn broken<T>(&mut self, what: &str) -> Result<T, Failure> {
        let failure = Failure { what: what.to_owned(), tail: self.tail(60) };
        self.failed = Some(failure.clone());
        Err(failure)
    }

    /// Now and then the twin is made anew from a snapshot; in between it lives on by itself.
    fn take_snapshot(&mut self, input: &Input) -> Result<(), Failure> {
        let last = CommandId(self.last_command);
        let asked = match input {
            Input::Command { id, .. } => &CommandId(id.0 - 1),
            _ => &last,
        };
        if !self.hostility.twin || (self.twin.is_some() && self.rng.chance(500)) {
            return Ok(());
        }
        match Machine::read(self.machine.records()) {
            // Nobody who waits for the machine waits for its twin.
            Ok(machine) => self.twin = Some(Twin { machine, deaf_to: *asked }),
            Err(error) => return self.broken(&format!("records cannot be gone on from: {error}")),
        }
        Ok(())
    }

    pub(super) fn forget_twin(&mut self) {
        self.twin = None;
    }

    /// Whether an input that comes once more is still what a driver could say.
    fn still_true(&self, input: &Input) -> bool {
        let run = |run: &RunId| self.kernel.runs.get(run);
        let listening = |process: &ProcessId| self.kernel.listeners.get(process).map(|it| it.is);
        match input {
            Input::HookFinished(id, kind, _) => run(id).is_none_or(|it| !it.hooks.contains_key(kind)),
            Input::Probed(id, kind, _) => run(id).is_none_or(|it| !it.probes.contains_key(kind)),
            Input::Armed(process) => listening(process) == Some(Listening::Armed),
            Input::ArmFailed(process, _) => listening(process) == Some(Listening::Failed),
            Input::Connections { run: id, .. } => run(id).is_none_or(|it| !it.counting),
            Input::Notified(id, Notification::MainPid(pid)) => run(id).is_some_and(|it| it.members.contains(pid)),
            _ => true,
        }
    }

    /// Whether the machine must make nothing of this input's second coming.
    fn may_come_twice(&self, input: &Input) -> bool {
        match input {
            // A driver says once what it found.
            Input::Command { .. }
            | Input::Abandon(_)
            | Input::Oom(_)
            | Input::PidsLimit(_)
            | Input::Connection { .. }
            | Input::Adopted(..) => false,
            Input::Notified(_, what) => matches!(what, Notification::Ready),
            _ => true,
        }
    }

    fn repeat(&mut self, input: Input) -> Result<(), Failure> {
        if !self.still_true(&input) {
            return Ok(());
        }
        if let Some(trace) = &mut self.story.trace {
            trace.input(self.clock.mono, &input);
        }
        let (now, what) = (self.clock.now(), format!("{input:?}"));
        if let Some(twin) = &mut self.twin {
            twin.machine.handle(now, input.clone());
        }
        self.machine.handle(now, input);
        self.write();
        match self.drain()? {
            None => Ok(()),
            Some(0) => self.check(),
            Some(count) => {
                let what = format!("the second coming of {what} came to {count} outputs");
                self.broken(&what)
            }
        }
    }

    fn perhaps_repeat(&mut self, input: Input) -> Result<(), Failure> {
        match self.rng.below(30) {
            0 => self.repeat(input),
            1 => {
                let at = self.clock.mono.after(self.rng.millis(0, 10_000));
                self.kernel.agenda.put(at, Due::Again(input));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The wall clock is set to another time, as an administrator or a time service may.
    pub fn set_wall_clock(&mut self, wall: WallTime) {
        self.clock.wall = wall.0;
    }
}

impl Clock {
    pub(super) fn pass(&mut self, then: Time) {
        let passed = then.since(self.mono);
        self.mono = self.mono.max(then);
        self.wall = self.wall.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: self.mono, wall: WallTime(self.wall) }
    }
}
