//! The language of the scenarios: what somebody does, what programs do, what must have come of it.

use std::time::Duration;

use neap::core::{
    Applied, Command, CommandId, Done, Event, EventKind, ExitStatus, HealthStatus, HookKind, Output, Pid, ProcessId,
    Refusal, Reply, RunId, Scope, StateName, Status, Time, Updated,
};
use neap::sim::{Behaviour, World};
use neap::spec::{Plan, ProcessType, Restart, Signal, Spec, Stop};

pub const OK: ExitStatus = ExitStatus::Code(0);
pub const BAD: ExitStatus = ExitStatus::Code(1);

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A process that starts when told to, restarts on failure after one second exactly, and obeys.
pub fn spec(name: &str) -> Spec {
    Spec::new(name, ["/opt/program"]).auto_start(false).restart(Restart::on_failure().jitter(0.0).factor(1.0))
}

/// The same, but it never restarts.
pub fn once(name: &str) -> Spec {
    spec(name).restart(Restart::never())
}

pub fn oneshot(name: &str) -> Spec {
    spec(name).oneshot().restart(Restart::never())
}

pub fn notify(name: &str) -> Spec {
    spec(name).process_type(ProcessType::Notify)
}

pub fn plan(specs: impl IntoIterator<Item = Spec>) -> Plan {
    let mut plan = Plan::new();
    for spec in specs {
        plan.insert(spec).expect("two specs of one name");
    }
    plan
}

pub fn killed_by(signal: Signal) -> ExitStatus {
    ExitStatus::Signal { signal, core: false }
}

/// A program that never says it is ready.
pub fn silent() -> Behaviour {
    Behaviour { ready_after: None, ..Behaviour::default() }
}

/// A program that ends by itself.
pub fn ends(after: Duration, status: ExitStatus) -> Behaviour {
    Behaviour { exits: Some((after, status)), ..Behaviour::default() }
}

/// A program that ignores every signal it can.
pub fn stubborn() -> Behaviour {
    Behaviour { obeys: None, ..Behaviour::default() }
}

/// What a process got sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Signal(Signal, Scope),
    KillTree,
}

pub const TERM: Sent = Sent::Signal(Signal::TERM, Scope::Tree);

pub struct Scenario {
    pub world: World,
    mark: usize,
}

impl Scenario {
    /// These processes are defined by a plan; those that start by themselves have been started.
    pub fn with(specs: impl IntoIterator<Item = Spec>) -> Self {
        let mut it = Scenario { world: World::gentle(), mark: 0 };
        it.apply(specs);
        it
    }

    pub fn empty() -> Self {
        Scenario { world: World::gentle(), mark: 0 }
    }

    fn held<T>(&self, result: Result<T, neap::sim::Failure>) -> T {
        result.unwrap_or_else(|failure| panic!("{failure}"))
    }

    pub fn fail(&self, what: &str) -> ! {
        panic!("{}\n{what}", self.world.tail(60).join("\n"))
    }

    #[track_caller]
    pub fn assert(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    // What somebody does.

    pub fn command(&mut self, command: Command) -> CommandId {
        let id = self.world.command(command);
        let id = self.held(id);
        self.settle();
        id
    }

    pub fn apply(&mut self, specs: impl IntoIterator<Item = Spec>) -> Applied {
        let id = self.command(Command::Apply(Box::new(plan(specs))));
        match self.reply(id) {
            Ok(Done::Applied(applied)) => applied,
            other => self.fail(&format!("the plan was answered with {other:?}")),
        }
    }

    pub fn start(&mut self, name: &str) -> CommandId {
        let id = self.id(name);
        self.command(Command::Start(id))
    }

    pub fn stop(&mut self, name: &str) -> CommandId {
        let id = self.id(name);
        self.command(Command::Stop(id))
    }

    pub fn restart(&mut self, name: &str) -> CommandId {
        let id = self.id(name);
        self.command(Command::Restart(id))
    }

    pub fn reload(&mut self, name: &str) -> CommandId {
        let id = self.id(name);
        self.command(Command::Reload(id))
    }

    pub fn delete(&mut self, name: &str, force: bool) -> CommandId {
        let process = self.id(name);
        self.command(Command::Delete { process, force })
    }

    pub fn update(&mut self, spec: Spec, restart: bool) -> Updated {
        let process = self.id(&spec.name);
        let id = self.command(Command::Update { process, spec: Box::new(spec), restart, dry_run: false });
        match self.reply(id) {
            Ok(Done::Updated(updated)) => updated,
            other => self.fail(&format!("the update was answered with {other:?}")),
        }
    }

    pub fn shutdown(&mut self) -> CommandId {
        self.command(Command::Shutdown)
    }

    // What happens.

    /// Everything that is due at once happens.
    pub fn settle(&mut self) {
        self.pass(Duration::ZERO);
    }

    pub fn pass(&mut self, time: Duration) {
        let then = self.world.now().after(time);
        let result = self.world.run_until(then);
        self.held(result);
    }

    pub fn behave(&mut self, name: &str, does: Behaviour) {
        self.world.behave(name, does);
    }

    pub fn exit(&mut self, name: &str, status: ExitStatus) {
        let result = self.world.exit(name, status);
        self.held(result);
    }

    pub fn hear(&mut self, input: neap::core::Input) {
        let result = self.world.hear(input);
        self.held(result);
    }

    // What came of it.

    #[track_caller]
    pub fn id(&self, name: &str) -> ProcessId {
        self.world.find(name).unwrap_or_else(|| self.fail(&format!("there is no `{name}`")))
    }

    #[track_caller]
    pub fn status(&self, name: &str) -> Status {
        let id = self.id(name);
        self.world.machine().status(id).unwrap_or_else(|| self.fail(&format!("`{name}` has no status")))
    }

    #[track_caller]
    pub fn state(&self, name: &str) -> StateName {
        self.status(name).state
    }

    pub fn health(&self, name: &str) -> HealthStatus {
        self.status(name).health
    }

    pub fn run(&self, name: &str) -> RunId {
        self.world.live_run(name).unwrap_or_else(|| self.fail(&format!("`{name}` has no run")))
    }

    pub fn pid(&self, name: &str) -> Pid {
        self.status(name).pid.unwrap_or_else(|| self.fail(&format!("`{name}` has no pid")))
    }

    #[track_caller]
    pub fn is(&self, name: &str, state: StateName) {
        let status = self.status(name);
        if status.state != state {
            self.fail(&format!("`{name}` is {} ({}) instead of {state}", status.state, status.reason));
        }
    }

    #[track_caller]
    pub fn are(&self, names: &[&str], state: StateName) {
        for name in names {
            self.is(name, state);
        }
    }

    #[track_caller]
    pub fn reply(&self, id: CommandId) -> Reply {
        self.world.reply(id).cloned().unwrap_or_else(|| self.fail(&format!("{id} has no answer")))
    }

    pub fn is_open(&self, id: CommandId) -> bool {
        self.world.reply(id).is_none()
    }

    #[track_caller]
    pub fn came_to(&self, id: CommandId, state: StateName) {
        let reply = self.reply(id);
        if reply != Ok(Done::State(state)) {
            self.fail(&format!("{id} was answered with {reply:?} instead of {state}"));
        }
    }

    #[track_caller]
    pub fn refused(&self, id: CommandId) -> Refusal {
        match self.reply(id) {
            Err(refusal) => refusal,
            Ok(done) => self.fail(&format!("{id} was answered with {done:?} instead of a refusal")),
        }
    }

    /// Forgets what came out so far.
    pub fn mark(&mut self) {
        self.mark = self.world.outputs().len();
    }

    /// What came out since the mark.
    pub fn since(&self) -> &[(Time, Output)] {
        &self.world.outputs()[self.mark..]
    }

    pub fn events(&self, name: &str) -> Vec<&Event> {
        let about = |event: &&Event| event.name.as_deref() == Some(name);
        self.since()
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Emit(event) => Some(event),
                _ => None,
            })
            .filter(about)
            .collect()
    }

    /// The states a process went through since the mark.
    pub fn story(&self, name: &str) -> Vec<StateName> {
        self.events(name)
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::State { to, .. } => Some(to),
                _ => None,
            })
            .collect()
    }

    /// Processes in the order in which they came into this state since the mark.
    pub fn order_of(&self, state: StateName) -> Vec<String> {
        self.since()
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Emit(Event { name: Some(name), kind: EventKind::State { to, .. }, .. }) if *to == state => {
                    Some(name.to_string())
                }
                _ => None,
            })
            .collect()
    }

    /// Signals that a process was sent since the mark, without the SIGCONT that goes with them.
    pub fn sent(&self, name: &str) -> Vec<Sent> {
        self.sent_at(name).into_iter().map(|(_, sent)| sent).collect()
    }

    pub fn sent_at(&self, name: &str) -> Vec<(Time, Sent)> {
        let runs = self.runs_of(name);
        self.since()
            .iter()
            .filter_map(|(at, output)| match output {
                Output::Signal { run, signal, scope } if runs.contains(run) && *signal != Signal::CONT => {
                    Some((*at, Sent::Signal(*signal, *scope)))
                }
                Output::KillTree(run) if runs.contains(run) => Some((*at, Sent::KillTree)),
                _ => None,
            })
            .collect()
    }

    fn runs_of(&self, name: &str) -> Vec<RunId> {
        self.world
            .outputs()
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Prepare { run, spec, .. } if spec.name == name => Some(*run),
                _ => None,
            })
            .collect()
    }

    /// How often it was prepared since the mark.
    pub fn attempts(&self, name: &str) -> usize {
        let prepared = |output: &Output| matches!(output, Output::Prepare { spec, .. } if spec.name == name);
        self.since().iter().filter(|(_, output)| prepared(output)).count()
    }

    /// When it was prepared since the mark.
    pub fn attempt_times(&self, name: &str) -> Vec<Time> {
        let prepared = |output: &Output| matches!(output, Output::Prepare { spec, .. } if spec.name == name);
        self.since().iter().filter(|(_, output)| prepared(output)).map(|(at, _)| *at).collect()
    }

    /// The hooks that ran since the mark, in order.
    pub fn hooks(&self, name: &str) -> Vec<HookKind> {
        self.since()
            .iter()
            .filter_map(|(_, output)| match output {
                Output::RunHook { spec, kind, .. } if spec.name == name => Some(*kind),
                _ => None,
            })
            .collect()
    }
}

/// A stop with this one rung.
pub fn term_within(seconds: u64) -> Stop {
    Stop::signal(Signal::TERM, secs(seconds))
}
