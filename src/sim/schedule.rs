//! A random life of a supervisor, from one seed: a plan, a storm of commands and misfortunes, calm, shutdown.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::plans;
use super::rng::Rng;
use super::world::{Failure, Hostility, World};
use crate::core::{
    Change, Command, CommandId, Done, ExitStatus, Input, Notification, Pid, ProcessId, Refusal, RunId, Settings,
    StateName, WallTime, Want,
};
use crate::spec::{Effect, Plan, Signal};

/// What kind of life is lived.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The largest plan.
    pub processes: usize,
    /// Commands and misfortunes in the storm, at most.
    pub events: u64,
    /// How mean the world is.
    pub hostility: Hostility,
    /// Whether everything that comes out is hashed.
    pub hash: bool,
    /// How many of the last inputs and outputs a [`Ruin`] shows.
    pub tail: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            processes: 40,
            events: 120,
            hostility: Hostility { kernel: true, twice: false, twin: false, deaths: true },
            hash: false,
            tail: 60,
        }
    }
}

/// What a life that broke no rule came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Inputs that the machine took in.
    pub steps: u64,
    /// Runs that were released.
    pub runs: u64,
    /// Commands that were given.
    pub commands: u64,
    /// How often the supervisor died.
    pub deaths: u64,
    /// The hash of all that came out, if it was asked for.
    pub fingerprint: Option<u64>,
}

/// A life that broke a rule.
#[derive(Clone, Debug)]
pub struct Ruin {
    /// The seed that shows it again.
    pub seed: u64,
    /// The first plan, a line a process.
    pub plan: String,
    /// What was broken, and the last inputs and outputs.
    pub failure: Failure,
}

impl fmt::Display for Ruin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the plan of seed {}:", self.seed)?;
        f.write_str(&self.plan)?;
        writeln!(f, "its last inputs (->) and outputs (<-):\n{}", self.failure)?;
        write!(f, "see it again with: NEAP_SIM_SEED={} cargo test --test sim -- schedules --nocapture", self.seed)
    }
}

/// Lives the life of this seed. One that breaks a rule is lived once more, with everything written down.
pub fn run(seed: u64, options: &Options) -> Result<Report, Box<Ruin>> {
    match attempt(seed, options, false) {
        Ok(report) => Ok(report),
        Err(first) => match attempt(seed, options, true) {
            Err(ruin) => Err(ruin),
            Ok(_) => Err(first),
        },
    }
}

fn attempt(seed: u64, options: &Options, record: bool) -> Result<Report, Box<Ruin>> {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let shutdown_timeout = rng.chance(300).then(|| rng.millis(0, 60_000));
    let mut world = World::new(seed, options.hostility, Settings { seed, shutdown_timeout });
    if record {
        world.record();
    }
    if options.hash {
        world.hash();
    }
    if options.hostility.deaths && rng.chance(400) {
        let chance = *rng.pick(&[1, 5, 20]).unwrap_or(&5);
        world.may_die(chance);
    }
    // Small worlds meet most corners, and are quick.
    let most = if rng.chance(100) { options.processes } else { options.processes.min(8) };
    let size = 1 + rng.index(most);
    let plan = plans::plan(&mut rng, size);
    let first = plan.clone();
    let lived = catch_unwind(AssertUnwindSafe(|| Life { world: &mut world, rng, plan, size }.live(options)));
    let mut failure = match lived {
        Ok(Ok(())) => {
            let commands = world.watch.asked.len() as u64;
            let runs = world.kernel.over.len() as u64;
            let (deaths, fingerprint) = (world.deaths(), world.fingerprint());
            return Ok(Report { steps: world.steps(), runs, commands, deaths, fingerprint });
        }
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Failure { what: format!("the machine panicked: {}", text.unwrap_or_default()), tail: Vec::new() }
        }
    };
    failure.tail = world.tail(options.tail);
    Err(Box::new(Ruin { seed, plan: plans::describe(&first), failure }))
}

struct Life<'a> {
    world: &'a mut World,
    rng: Rng,
    plan: Plan,
    size: usize,
}

impl Life<'_> {
    fn live(&mut self, options: &Options) -> Result<(), Failure> {
        let plan = Box::new(self.plan.clone());
        self.world.command(Command::Apply(plan))?;
        for _ in 0..5 + self.rng.below(options.events) {
            let gap = match self.rng.below(6) {
                0..3 => Duration::ZERO,
                3 => self.rng.millis(0, 50),
                4 => self.rng.millis(0, 3_000),
                _ => self.rng.millis(0, 40_000),
            };
            self.pass(gap, 20_000)?;
            if self.world.finished() {
                return Ok(());
            }
            self.event()?;
        }
        self.settle()?;
        self.end()
    }

    /// Lets time pass, in a bounded number of steps.
    fn pass(&mut self, time: Duration, most: u64) -> Result<(), Failure> {
        let (until, steps) = (self.world.now().after(time), self.world.steps());
        while self.world.next_time().is_some_and(|at| at <= until) {
            self.world.step()?;
            if self.world.steps() - steps > most {
                return self.world.broken(&format!("more than {most} steps within {time:?}: it goes round in circles"));
            }
        }
        self.world.run_until(until)
    }

    fn someone(&mut self) -> Option<ProcessId> {
        let all: Vec<ProcessId> = self.world.watch.views.keys().copied().collect();
        self.rng.pick(&all).copied()
    }

    fn event(&mut self) -> Result<(), Failure> {
        let Some(process) = self.someone() else {
            let plan = plans::plan(&mut self.rng, self.size);
            return self.apply(plan);
        };
        let command = match self.rng.below(100) {
            0..14 => Command::Start(process),
            14..26 => Command::Stop(process),
            26..34 => Command::Restart(process),
            34..37 => Command::Reload(process),
            37..40 => Command::Signal(
                process,
                *self.rng.pick(&[Signal::HUP, Signal::TERM, Signal::KILL]).unwrap_or(&Signal::HUP),
            ),
            40..45 => return self.update(process),
            45..49 => {
                let index = self.rng.index(self.size + 3);
                let spec = plans::spec(&mut self.rng, index, self.size.max(index + 1));
                Command::Create { spec: Box::new(spec), start: self.rng.chance(500) }
            }
            49..52 => Command::Delete { process, force: self.rng.chance(500) },
            52..56 => {
                let plan = plans::mutate(&mut self.rng, &self.plan.clone(), self.size);
                return self.apply(plan);
            }
            56..58 => return self.apply_invalid(),
            58..60 => return self.abandon(),
            60..62 => return self.stop_twice(process),
            62..63 if self.rng.chance(300) => Command::Shutdown,
            62..66 => return self.stale(),
            66..68 => {
                let wall = WallTime(self.rng.below(4_000_000_000_000).cast_signed() - 1_000_000_000_000);
                self.world.set_wall_clock(wall);
                return Ok(());
            }
            68..70 => return self.nobody(),
            _ => {
                let now = self.world.now();
                self.world.kernel.mischief(now);
                return Ok(());
            }
        };
        self.world.command(command).map(|_| ())
    }

    /// What was foreseen is done, and nothing but reloads is left to be done then.
    fn apply(&mut self, plan: Plan) -> Result<(), Failure> {
        let (foreseen, deaths) = (self.world.machine().diff(&plan).ok(), self.world.deaths());
        let id = self.world.command(Command::Apply(Box::new(plan.clone())))?;
        let Some(Ok(Done::Applied(applied))) = self.world.reply(id) else { return Ok(()) };
        let left = if deaths == self.world.deaths() {
            if foreseen.as_ref() != Some(&applied.changes) {
                return self.world.broken("an apply did something else than the plan showed");
            }
            self.world.machine().diff(&plan).unwrap_or_default()
        } else {
            Vec::new()
        };
        let is_left = |change: &Change| change.fields.iter().any(|field| field.effect != Effect::Reload);
        if let Some(change) = left.iter().find(|change| is_left(change)) {
            return self.world.broken(&format!("something is left to do once a plan is in force: {change:?}"));
        }
        self.plan = plan;
        Ok(())
    }

    /// A wrong plan is refused at once, and changes nothing at all.
    fn apply_invalid(&mut self) -> Result<(), Failure> {
        let plan = plans::invalid(&mut self.rng, &self.plan.clone(), self.size);
        if plan.validate().is_empty() {
            return Ok(());
        }
        let (before, deaths) = (self.picture(), self.world.deaths());
        let id = self.world.command(Command::Apply(Box::new(plan)))?;
        if deaths != self.world.deaths() {
            // Its answer may be lost, and what its successor found has changed something.
            return Ok(());
        }
        match self.world.reply(id) {
            Some(Err(Refusal::Invalid(_))) if before == self.picture() => Ok(()),
            Some(Err(Refusal::Invalid(_))) => self.world.broken("a refused plan changed something"),
            Some(Err(Refusal::ShuttingDown)) => Ok(()),
            other => {
                let what = format!("a wrong plan was answered with {other:?}");
                self.world.broken(&what)
            }
        }
    }

    fn picture(&self) -> Vec<(ProcessId, Option<StateName>, Option<RunId>)> {
        let machine = self.world.machine();
        let all = machine.processes();
        all.into_iter()
            .map(|id| (id, machine.status(id).map(|s| s.state), machine.status(id).and_then(|s| s.run)))
            .collect()
    }

    fn update(&mut self, process: ProcessId) -> Result<(), Failure> {
        let Some(spec) = self.world.machine().spec(process) else { return Ok(()) };
        let spec = Box::new(plans::touched(&mut self.rng, &spec));
        let (restart, dry_run) = (self.rng.chance(500), self.rng.chance(250));
        self.world.command(Command::Update { process, spec, restart, dry_run }).map(|_| ())
    }

    fn abandon(&mut self) -> Result<(), Failure> {
        let open: Vec<CommandId> = self.world.watch.unanswered().map(|(id, _)| *id).collect();
        match self.rng.pick(&open).copied() {
            Some(id) => self.world.abandon(id),
            None => Ok(()),
        }
    }

    fn stop_twice(&mut self, process: ProcessId) -> Result<(), Failure> {
        self.world.command(Command::Stop(process))?;
        self.world.command(Command::Stop(process)).map(|_| ())
    }

    /// Commands about a process that never was.
    fn nobody(&mut self) -> Result<(), Failure> {
        let process = ProcessId(u64::MAX);
        let commands = [
            Command::Start(process),
            Command::Stop(process),
            Command::Restart(process),
            Command::Reload(process),
            Command::Signal(process, Signal::TERM),
            Command::Delete { process, force: true },
        ];
        let Some(command) = self.rng.pick(&commands).cloned() else { return Ok(()) };
        let id = self.world.command(command)?;
        match self.world.reply(id) {
            Some(Err(Refusal::NotFound | Refusal::ShuttingDown)) => Ok(()),
            None if self.world.is_abandoned(id) => Ok(()),
            other => {
                let what = format!("a command about nobody was answered with {other:?}");
                self.world.broken(&what)
            }
        }
    }

    /// News of a run that is long over.
    fn stale(&mut self) -> Result<(), Failure> {
        let over: Vec<RunId> = self.world.kernel.over.iter().copied().collect();
        let Some(run) = self.rng.pick(&over).copied() else { return Ok(()) };
        let inputs = [
            Input::Prepared(run),
            Input::Executed(run, Pid(101)),
            Input::Exited(run, Pid(101), ExitStatus::Code(0)),
            Input::Notified(run, Notification::Ready),
            Input::TreeEmpty(run),
            Input::TreeStuck(run, vec![Pid(101)]),
            Input::LogLine(run),
            Input::Oom(run),
            Input::MainFound(run, Pid(101)),
        ];
        let Some(input) = self.rng.pick(&inputs).cloned() else { return Ok(()) };
        let (dropped, before) = (self.world.machine().dropped_inputs(), self.picture());
        let (what, deaths) = (format!("{input:?}"), self.world.deaths());
        self.world.deliver(input)?;
        if deaths != self.world.deaths() {
            return Ok(());
        }
        if self.world.machine().dropped_inputs() == dropped {
            return self.world.broken(&format!("{what} of a run that is over was not counted as dropped"));
        }
        if before != self.picture() {
            return self.world.broken(&format!("{what} of a run that is over changed something"));
        }
        Ok(())
    }

    /// The storm is over: everything must come to rest, and every command to its answer.
    fn settle(&mut self) -> Result<(), Failure> {
        let now = self.world.now();
        self.world.kernel.calm(now);
        self.world.spare();
        for _ in 0..200 {
            let changes = self.world.watch.changes;
            self.pass(Duration::from_secs(20), 20_000)?;
            if self.world.finished() {
                return Ok(());
            }
            if changes == self.world.watch.changes && self.restless().is_empty() {
                let judged = self.world.watch.judge_connections(&self.world.kernel);
                return judged.or_else(|what| self.world.broken(&what));
            }
        }
        let what = format!("it does not come to rest:\n{}", self.restless().join("\n"));
        self.world.broken(&what)
    }

    /// Who is not where it may stay.
    fn restless(&self) -> Vec<String> {
        let mut restless = Vec::new();
        for (process, view) in &self.world.watch.views {
            let Some(status) = self.world.machine().status(*process) else { continue };
            let transient = matches!(
                view.state,
                StateName::Waiting | StateName::Starting | StateName::Stopping | StateName::Backoff
            );
            let listens = self.world.machine().spec(*process).is_some_and(|spec| spec.accepts())
                && status.reason.starts_with("for ")
                && status.holds.is_empty();
            let up = view.state == StateName::Running && status.want == Want::Down;
            if (transient && !view.stuck && !listens) || up {
                restless
                    .push(format!("`{}` is {} ({}), wanted {:?}", view.name, view.state, status.reason, status.want));
            }
        }
        for (id, asked) in self.world.watch.unanswered() {
            restless.push(format!("{id} ({}, asked at {}) has no answer", asked.what, asked.at.0));
        }
        restless
    }

    /// Everything goes down, and nothing is left but what would not die.
    fn end(&mut self) -> Result<(), Failure> {
        if self.world.finished() {
            return Ok(());
        }
        // One that was asked for may have been lost with a supervisor.
        if self.world.watch.shutting_down.is_none() || self.rng.chance(500) {
            self.world.command(Command::Shutdown)?;
        }
        self.pass(Duration::from_secs(600), 100_000)?;
        if !self.world.finished() {
            let what = format!("the shutdown does not end:\n{}", self.restless().join("\n"));
            return self.world.broken(&what);
        }
        let open = self.world.watch.unanswered().next();
        match open.map(|(id, asked)| format!("{id} ({}) has no answer, and everything is over", asked.what)) {
            Some(what) => self.world.broken(&what),
            None => Ok(()),
        }
    }
}

/// Lives the lives of these seeds on this many threads, and returns the first ruin if there is one.
///
/// `progress` is called now and then with how many are done.
pub fn many(
    seeds: Range<u64>,
    threads: usize,
    options: &Options,
    progress: impl Fn(u64) + Sync,
) -> Result<Report, Box<Ruin>> {
    let next = AtomicU64::new(seeds.start);
    let over = AtomicBool::new(false);
    let sum = Mutex::new((Report::default(), None::<Box<Ruin>>));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let lived = run(seed, options);
                    let Ok(mut sum) = sum.lock() else { break };
                    match lived {
                        Ok(report) => {
                            sum.0.steps += report.steps;
                            sum.0.runs += report.runs;
                            sum.0.commands += report.commands;
                            sum.0.deaths += report.deaths;
                        }
                        Err(ruin) => {
                            over.store(true, Ordering::Relaxed);
                            // The lowest seed wins, so that two runs name the same.
                            if sum.1.as_ref().is_none_or(|first| ruin.seed < first.seed) {
                                sum.1 = Some(ruin);
                            }
                        }
                    }
                    drop(sum);
                    let done = seed + 1 - seeds.start;
                    if done.is_multiple_of(10_000) {
                        progress(done);
                    }
                }
            });
        }
    });
    match sum.into_inner() {
        Ok((report, None)) => Ok(report),
        Ok((_, Some(ruin))) => Err(ruin),
        Err(poisoned) => {
            let (report, ruin) = poisoned.into_inner();
            ruin.map_or(Ok(report), Err)
        }
    }
}
