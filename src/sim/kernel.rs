//! A kernel and a driver that are meaner than the real ones: what outputs come to, and when the machine hears of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::agenda::Agenda;
use super::behaviour::{Behaviour, Killing, Preparation};
use super::rng::Rng;
use super::sockets::{Accepted, Listeners, Traffic};
use crate::core::{
    ConnectionId, ExitStatus, HookKind, HookResult, Input, Output, Pid, ProbeKind, ProcessId, RunId, Scope, SpawnError,
    SpawnStep, Time,
};
use crate::spec::{Hook, Limits, Probe, Signal, Spec};

/// How long the driver tries to kill a tree before it reports who is left.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something that comes at its time.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// The machine hears of something.
    Tell(Input),
    /// The machine hears of it once more, if that is still possible by then.
    Again(Input),
    /// Somebody connects to the listeners of this process.
    Connects(ProcessId),
    /// Something happens to a run, whether or not the machine hears of it.
    Happens(RunId, Happening),
}

/// What happens in the kernel.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// The program takes the place of the child.
    Exec,
    /// It says that it is ready.
    Ready,
    /// A process ends.
    Die(Pid, crate::core::ExitStatus),
    /// Whoever is the main process ends by itself.
    End(crate::core::ExitStatus),
    /// The helpers end by themselves.
    HelpersGo,
    /// A SIGKILL to the whole tree takes effect.
    Killed,
    /// The driver's patience with a SIGKILL is over.
    ReportStuck,
    /// It says WATCHDOG=1, and will again.
    Ping,
    /// The hook with this token ends.
    HookEnds(HookKind, u64),
    /// The probe with this token ends.
    ProbeEnds(ProbeKind, u64),
}

/// How far a run has come, in the driver's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Preparing,
    Prepared,
    Refused,
    Spawning,
    Executed,
    NotExecuted,
}

/// A hook in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) token: u64,
    pub(super) timeout: Duration,
    pub(super) cancelled: bool,
}

/// A run as the kernel and the driver know it.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) process: ProcessId,
    pub(super) spec: Arc<Spec>,
    pub(super) does: Behaviour,
    pub(super) stage: Stage,
    /// Everything alive of it.
    pub(super) members: BTreeSet<Pid>,
    /// The main process, in truth.
    pub(super) main: Option<Pid>,
    /// Whose deaths the machine is told.
    pub(super) known: BTreeSet<Pid>,
    /// Whom the driver takes for the main process.
    pub(super) driver_main: Option<Pid>,
    /// No news of a death comes before this.
    pub(super) told_until: Time,
    /// No news of an empty tree comes before this: the news of its execution comes first.
    pub(super) executed_told: Time,
    pub(super) empty_wanted: bool,
    pub(super) empty_told: bool,
    pub(super) kill_asked: bool,
    pub(super) stuck_told: bool,
    pub(super) hooks: BTreeMap<HookKind, Flight>,
    pub(super) probes: BTreeMap<ProbeKind, (u64, Duration)>,
    pub(super) released: bool,
    /// How those ended whose deaths the machine is told.
    pub(super) ended: BTreeMap<Pid, ExitStatus>,
    /// Whether it outlived a supervisor whose anchor died too: how its processes ended is not always known.
    pub(super) statuses_lost: bool,
    /// Whether it outlived a supervisor.
    pub(super) heir: bool,
    /// Whether the driver waits for its child to be executed, to say that it was found alive.
    pub(super) adopting: bool,
    /// The limits of its tree.
    pub(super) limits: Limits,
    /// Whether the connections of its listeners are being counted.
    pub(super) counting: bool,
    /// Whether it was sent a signal that ends programs.
    pub(super) told_to_end: bool,
}

impl Run {
    /// Whether anything of it is alive that is the supervisor's business.
    pub(super) fn is_live(&self) -> bool {
        self.stage == Stage::Spawning || !self.members.is_empty()
    }

    pub(super) fn new(process: ProcessId, spec: Arc<Spec>, does: Behaviour, (stage, now): (Stage, Time)) -> Self {
        let limits = spec.limits.clone();
        Run {
            limits,
            counting: false,
            told_to_end: false,
            process,
            spec,
            does,
            stage,
            members: BTreeSet::new(),
            main: None,
            known: BTreeSet::new(),
            driver_main: None,
            told_until: now,
            executed_told: now,
            empty_wanted: false,
            empty_told: false,
            kill_asked: false,
            stuck_told: false,
            hooks: BTreeMap::new(),
            probes: BTreeMap::new(),
            released: false,
            ended: BTreeMap::new(),
            statuses_lost: false,
            heir: false,
            adopting: false,
        }
    }

    fn killed_before_exec(&self) -> SpawnError {
        SpawnError {
            step: SpawnStep::Exec,
            errno: None,
            message: format!("killed before `{}` was executed", self.spec.command.first().map_or("", String::as_str)),
        }
    }
}

/// The simulated kernel and driver.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) rng: Rng,
    /// Whether it is as mean as it can be.
    pub(super) hostile: bool,
    /// Whether somebody connects to every listener at once.
    pub(super) sociable: bool,
    /// What the next runs of these processes do.
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// Runs that were released with nothing left of them.
    pub(super) over: BTreeSet<RunId>,
    pub(super) agenda: Agenda<Due>,
    pub(super) listeners: BTreeMap<ProcessId, Listeners>,
    /// What the driver accepted and holds.
    pub(super) connections: BTreeMap<ConnectionId, Accepted>,
    pub(super) last_connection: u64,
    pub(super) traffic: BTreeMap<ProcessId, Traffic>,
    /// How many runs of each process were executed, in truth.
    pub(super) executed: BTreeMap<ProcessId, u32>,
    /// Processes whose listeners cannot be bound.
    pub(super) unbindable: BTreeMap<String, SpawnError>,
    used: BTreeSet<Pid>,
    freed: Vec<Pid>,
    next_pid: u32,
    token: u64,
}

impl Kernel {
    pub(super) fn new(rng: Rng, hostile: bool) -> Self {
        Kernel {
            rng,
            hostile,
            sociable: false,
            behaviours: BTreeMap::new(),
            runs: BTreeMap::new(),
            over: BTreeSet::new(),
            agenda: Agenda::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
            traffic: BTreeMap::new(),
            executed: BTreeMap::new(),
            unbindable: BTreeMap::new(),
            used: BTreeSet::new(),
            freed: Vec::new(),
            next_pid: 100,
            token: 0,
        }
    }

    /// A pid for this run: the one that became free last, if any did. None that the run was known by before: whoever looks
    /// at it tells two processes of one pid apart by their start times, which there are none of here.
    pub(super) fn new_pid(&mut self, run: RunId) -> Pid {
        let known = self.runs.get(&run).map(|it| &it.ended);
        let place = self.freed.iter().rposition(|pid| known.is_none_or(|known| !known.contains_key(pid)));
        let pid = place.map(|place| self.freed.remove(place)).unwrap_or_else(|| {
            self.next_pid += 1;
            Pid(self.next_pid)
        });
        self.used.insert(pid);
        pid
    }

    pub(super) fn free_pid(&mut self, pid: Pid) {
        if self.used.remove(&pid) {
            self.freed.push(pid);
        }
    }

    pub(super) fn delay(&mut self) -> Duration {
        if !self.hostile {
            return Duration::ZERO;
        }
        match self.rng.below(8) {
            0..5 => Duration::ZERO,
            5..7 => self.rng.millis(0, 20),
            _ => self.rng.millis(0, 3_000),
        }
    }

    pub(super) fn tell(&mut self, at: Time, input: Input) {
        self.agenda.put(at, Due::Tell(input));
    }

    pub(super) fn tell_later(&mut self, now: Time, input: Input) {
        let delay = self.delay();
        self.tell(now.after(delay), input);
    }

    pub(super) fn happens(&mut self, at: Time, run: RunId, what: Happening) {
        self.agenda.put(at, Due::Happens(run, what));
    }

    /// Carries out an output. An error is something that the machine must not have asked for.
    pub(super) fn execute(&mut self, now: Time, output: &Output) -> Result<(), String> {
        match output {
            Output::Prepare { run, process, spec, connection } => {
                self.give(*run, *connection)?;
                self.prepare(now, *run, *process, spec)
            }
            Output::Spawn(run) => self.spawn(now, *run),
            Output::Release(run) => self.release(*run),
            Output::Signal { run, signal, scope } => self.signal(now, *run, *signal, *scope),
            Output::KillTree(run) => self.kill_tree(now, *run),
            Output::WatchTree(run) => {
                let it = self.held(*run, "WatchTree")?;
                it.empty_wanted = true;
                if it.members.is_empty() {
                    it.empty_told = false;
                    self.tell_if_empty(now, *run);
                } else {
                    let delay = self.delay();
                    self.hold_back(*run, now.after(delay));
                    self.tell(now.after(delay), Input::TreeOccupied(*run));
                }
                Ok(())
            }
            Output::FindMain(run) => self.find_main(now, *run),
            Output::StartProbe { run, kind, probe } => self.start_probe(now, *run, *kind, probe),
            Output::StopProbe(run, kind) => match self.held(*run, "StopProbe")?.probes.remove(kind) {
                Some(_) => Ok(()),
                None => Err(format!("StopProbe({run}, {kind:?}), but none is in flight")),
            },
            Output::RunHook { run, process, kind, spec, hook } => {
                if *kind == HookKind::OnFailure && !self.runs.contains_key(run) && !self.over.contains(run) {
                    // A start that came to nothing before anything was prepared: its alarm has a run of its own.
                    let does = self.behaviour(spec);
                    self.runs.insert(*run, Run::new(*process, Arc::clone(spec), does, (Stage::Refused, now)));
                }
                self.run_hook(now, *run, (*process, *kind), hook)
            }
            Output::CancelHook(run, kind) => self.cancel_hook(now, *run, *kind),
            Output::ArmSockets(process, spec) => self.arm(now, *process, spec),
            Output::DisarmSockets(process) => self.disarm(*process),
            Output::CloseSockets(process) => self.close(*process),
            Output::SetLimits { run, limits } => {
                self.held(*run, "SetLimits")?.limits = limits.clone();
                Ok(())
            }
            Output::DropConnection(connection) => self.drop_connection(*connection),
            Output::CountConnections(run, process) => self.count_connections(now, *run, *process),
            Output::Reply(..) | Output::Emit(_) | Output::Finished { .. } => Ok(()),
        }
    }

    /// A run that is still held for the machine.
    pub(super) fn held(&mut self, run: RunId, what: &str) -> Result<&mut Run, String> {
        match self.runs.get_mut(&run) {
            Some(it) if it.released => Err(format!("{what}({run}) after the run was released")),
            Some(it) => Ok(it),
            None if self.over.contains(&run) => Err(format!("{what}({run}) after the run was released")),
            None => Err(format!("{what}({run}) for a run that was never prepared")),
        }
    }

    fn prepare(&mut self, now: Time, run: RunId, process: ProcessId, spec: &Arc<Spec>) -> Result<(), String> {
        if self.runs.contains_key(&run) || self.over.contains(&run) {
            return Err(format!("Prepare({run}) a second time"));
        }
        let does = self.behaviour(spec);
        let (input, stage) = match &does.preparation {
            Preparation::Ready => (Input::Prepared(run), Stage::Prepared),
            Preparation::Fails(error) => (Input::PrepareFailed(run, error.clone()), Stage::Refused),
            Preparation::Unmet(what) => (Input::ConditionUnmet(run, what.clone()), Stage::Refused),
        };
        self.tell(now.after(does.prepare_time), input);
        let stage = if stage == Stage::Refused { stage } else { Stage::Preparing };
        self.runs.insert(run, Run::new(process, Arc::clone(spec), does, (stage, now)));
        Ok(())
    }

    /// What its next run does; an instance does what its process is said to do.
    fn behaviour(&mut self, spec: &Spec) -> Behaviour {
        let of_process = || spec.name.split_once('@').and_then(|(process, _)| self.behaviours.get(process));
        match self.behaviours.get(&spec.name).or_else(of_process) {
            Some(does) => does.clone(),
            None if self.hostile => Behaviour::hostile(&mut self.rng, spec),
            None => Behaviour::good(spec),
        }
    }

    /// The machine was told that a run is prepared.
    pub(super) fn told_prepared(&mut self, run: RunId) {
        if let Some(it) = self.runs.get_mut(&run).filter(|it| it.stage == Stage::Preparing) {
            it.stage = Stage::Prepared;
        }
    }

    fn spawn(&mut self, now: Time, run: RunId) -> Result<(), String> {
        let stage = self.held(run, "Spawn")?.stage;
        if stage != Stage::Prepared {
            return Err(format!("Spawn({run}) of a run that is {stage:?}"));
        }
        let pid = self.new_pid(run);
        let it = self.held(run, "Spawn")?;
        let exec_at = now.after(it.does.exec_time);
        it.stage = Stage::Spawning;
        match it.does.spawn_error.clone() {
            Some(error) => {
                it.stage = Stage::NotExecuted;
                self.free_pid(pid);
                self.tell(exec_at, Input::SpawnFailed(run, error));
            }
            None => {
                it.members.insert(pid);
                it.known.insert(pid);
                it.main = Some(pid);
                it.driver_main = Some(pid);
                self.happens(exec_at, run, Happening::Exec);
            }
        }
        Ok(())
    }

    fn release(&mut self, run: RunId) -> Result<(), String> {
        self.close_connections(run);
        let it = self.held(run, "Release")?;
        if it.stage == Stage::Spawning {
            return Err(format!("Release({run}) while its child is being made"));
        }
        if let Some((kind, _)) = it.hooks.iter().find(|(_, flight)| !flight.cancelled) {
            return Err(format!("Release({run}) with its {kind:?} hook in flight"));
        }
        if let Some(kind) = it.probes.keys().next() {
            return Err(format!("Release({run}) with its {kind:?} probe in flight"));
        }
        it.released = true;
        if it.members.is_empty() {
            self.runs.remove(&run);
            self.over.insert(run);
        }
        Ok(())
    }

    fn signal(&mut self, now: Time, run: RunId, signal: Signal, scope: Scope) -> Result<(), String> {
        let it = self.held(run, "Signal")?;
        let ends = signal == Signal::KILL
            || [Signal::TERM, Signal::INT, Signal::QUIT, Signal::ABRT].contains(&signal)
            || it.spec.stop.sequence.iter().any(|step| step.signal == signal);
        if !ends {
            return Ok(());
        }
        it.told_to_end = true;
        let targets: Vec<Pid> = match scope {
            Scope::Main => it.driver_main.into_iter().filter(|pid| it.members.contains(pid)).collect(),
            Scope::Group | Scope::Tree => it.members.iter().copied().collect(),
        };
        let (main, does) = (it.main, it.does.clone());
        for pid in targets {
            let after = if signal == Signal::KILL {
                match does.killing {
                    Killing::After(time) | Killing::StuckFor(time) => Some(time),
                    Killing::Never => None,
                }
            } else if Some(pid) == main {
                does.obeys
            } else {
                does.obeys.filter(|_| does.helpers_obey)
            };
            let by_signal = crate::core::ExitStatus::Signal { signal, core: false };
            let status = if signal == Signal::KILL { by_signal } else { does.obeys_with.unwrap_or(by_signal) };
            if let Some(after) = after {
                self.happens(now.after(after), run, Happening::Die(pid, status));
            }
        }
        Ok(())
    }

    fn kill_tree(&mut self, now: Time, run: RunId) -> Result<(), String> {
        let it = self.held(run, "KillTree")?;
        it.empty_wanted = true;
        let again = std::mem::replace(&mut it.kill_asked, true);
        let killing = it.does.killing;
        if it.members.is_empty() {
            it.empty_told = false;
            self.tell_if_empty(now, run);
        } else if !again {
            match killing {
                Killing::After(time) => self.happens(now.after(time), run, Happening::Killed),
                Killing::StuckFor(time) => {
                    self.happens(now.after(time), run, Happening::Killed);
                    self.happens(now.after(PATIENCE), run, Happening::ReportStuck);
                }
                Killing::Never => self.happens(now.after(PATIENCE), run, Happening::ReportStuck),
            }
        } else if let Some(it) = self.runs.get_mut(&run).filter(|it| it.stuck_told) {
            // Asked once more: the driver tries once more, and says so once more.
            it.stuck_told = false;
            self.happens(now.after(PATIENCE), run, Happening::ReportStuck);
        }
        Ok(())
    }

    fn find_main(&mut self, now: Time, run: RunId) -> Result<(), String> {
        let it = self.held(run, "FindMain")?;
        let found = it.main.filter(|pid| it.members.contains(pid)).or_else(|| {
            let mut left = it.members.iter();
            left.next().copied().filter(|_| left.next().is_none())
        });
        match found {
            Some(pid) => {
                it.known.insert(pid);
                it.driver_main = Some(pid);
                it.main = Some(pid);
                let delay = self.delay();
                self.hold_back(run, now.after(delay));
                self.tell(now.after(delay), Input::MainFound(run, pid));
            }
            None => self.tell_later(now, Input::MainNotFound(run, "no process is left in its tree".into())),
        }
        Ok(())
    }

    /// Nothing is told of the run's deaths before this.
    pub(super) fn hold_back(&mut self, run: RunId, until: Time) {
        if let Some(it) = self.runs.get_mut(&run) {
            it.told_until = it.told_until.max(until);
        }
    }

    fn start_probe(&mut self, now: Time, run: RunId, kind: ProbeKind, probe: &Probe) -> Result<(), String> {
        let Some(timeout) = probe.timeout else { return Err(format!("StartProbe({run}, {kind:?}) without a timeout")) };
        self.token += 1;
        let token = self.token;
        let it = self.held(run, "StartProbe")?;
        if it.stage != Stage::Executed && it.stage != Stage::Spawning {
            return Err(format!("StartProbe({run}, {kind:?}) of a run that is {:?}", it.stage));
        }
        if it.probes.insert(kind, (token, timeout)).is_some() {
            return Err(format!("StartProbe({run}, {kind:?}) while one is in flight"));
        }
        let takes = it.does.probes.0.min(timeout);
        self.happens(now.after(takes), run, Happening::ProbeEnds(kind, token));
        Ok(())
    }

    fn run_hook(&mut self, now: Time, run: RunId, what: (ProcessId, HookKind), hook: &Hook) -> Result<(), String> {
        let (process, kind) = what;
        self.token += 1;
        let token = self.token;
        let it = self.held(run, "RunHook")?;
        if it.process != process {
            return Err(format!("RunHook({run}, {kind:?}) for {process}, but the run is {}'s", it.process));
        }
        let flight = Flight { token, timeout: hook.timeout, cancelled: false };
        if it.hooks.insert(kind, flight).is_some() {
            return Err(format!("RunHook({run}, {kind:?}) while one is in flight"));
        }
        let takes = it.does.hooks.get(&kind).map_or(Duration::ZERO, |(time, _)| *time).min(hook.timeout);
        let late = if self.hostile && takes == hook.timeout { self.rng.millis(0, 500) } else { Duration::ZERO };
        self.happens(now.after(takes).after(late), run, Happening::HookEnds(kind, token));
        Ok(())
    }

    fn cancel_hook(&mut self, now: Time, run: RunId, kind: HookKind) -> Result<(), String> {
        let delay = self.delay();
        let it = self.held(run, "CancelHook")?;
        let heir = it.heir;
        match it.hooks.get_mut(&kind) {
            Some(flight) if flight.cancelled => Err(format!("CancelHook({run}, {kind:?}) a second time")),
            Some(flight) => {
                flight.cancelled = true;
                let token = flight.token;
                self.happens(now.after(delay), run, Happening::HookEnds(kind, token));
                Ok(())
            }
            None if heir => {
                // It ended with the supervisor that ran it.
                let cancelled = HookResult::Failed("cancelled".into());
                self.tell(now.after(delay), Input::HookFinished(run, kind, cancelled));
                Ok(())
            }
            None => Err(format!("CancelHook({run}, {kind:?}), but none is in flight")),
        }
    }

    /// The result of a hook that took this long.
    pub(super) fn hook_result(does: &Behaviour, kind: HookKind, timeout: Duration) -> HookResult {
        match does.hooks.get(&kind) {
            Some((time, _)) if *time >= timeout => HookResult::Failed(format!("timed out after {timeout:?}")),
            Some((_, Err(why))) => HookResult::Failed(why.clone()),
            Some((_, Ok(()))) | None => HookResult::Done,
        }
    }

    pub(super) fn spawn_failed_by_kill(&mut self, now: Time, run: RunId) {
        if let Some(it) = self.runs.get_mut(&run) {
            it.stage = Stage::NotExecuted;
            let error = it.killed_before_exec();
            let delay = self.delay();
            self.hold_back(run, now.after(delay));
            self.tell(now.after(delay), Input::SpawnFailed(run, error));
        }
    }
}
