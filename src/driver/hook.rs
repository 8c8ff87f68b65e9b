//! Short-lived commands beside a run, and functions: hooks, the stop and reload commands, exec and function probes. Each command
//! has a tree of its own, which is killed when the command ends or its time is up.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, HelperDone};
use super::exit;
use super::flight::RunChild;
use super::function::{FunctionCall, FunctionDone, Purpose, Shortfall};
use super::held::{Held, Look};
use super::place::{Block, Place};
use super::prepare::{self, NotPrepared, Prepared, Wanted};
use super::probe::{NetProbe, PARTS};
use super::sources::{Clock, JobId, Moment, Owner};
use crate::core::{ExitStatus, HookKind, HookResult, Input, ProbeKind, ProcessId, RunId, SpawnError, Time};
use crate::spec::units::format_duration;
use crate::spec::{FunctionId, Hook, HookAction, Probe, ProbeTarget, Spec};
use crate::supervisor::Message;

/// The timeout of a probe that the machine sends without one.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a condition's function may take.
const CONDITION_TIMEOUT: Duration = Duration::from_secs(30);

/// A command on its way.
pub(super) struct Job {
    run: RunId,
    process: ProcessId,
    purpose: Purpose,
    child: RunChild,
    pub held: Option<Held>,
    /// How it ended, while what it left behind is being killed.
    outcome: Option<Result<(), String>>,
    patience: Patience,
    /// Whether nobody wants to hear of it any more.
    silent: bool,
}

/// A function call on its way: until it comes back, which nobody can make it do.
pub(super) struct Call {
    run: RunId,
    process: ProcessId,
    purpose: Purpose,
    patience: Patience,
    /// Whether nobody wants to hear of it any more.
    silent: bool,
}

/// How long something may take. Of a probe's timeout, each part begins when the end of the one before was noticed.
struct Patience {
    begun: Time,
    timeout: Duration,
    parts: u32,
    left: u32,
}

impl Patience {
    fn of(purpose: Purpose, timeout: Duration) -> Patience {
        let parts = match purpose {
            Purpose::Probe(_) => PARTS,
            // The machine counts the time of a hook, too.
            Purpose::Hook(_) | Purpose::Condition => 1,
        };
        Patience { begun: Clock::now().mono, timeout, parts, left: parts }
    }

    /// How long it has taken so far.
    fn took(&self) -> Duration {
        Clock::now().mono.since(self.begun)
    }

    /// When the next part is over; `None` when the last one is.
    fn next(&mut self) -> Option<Time> {
        self.left = self.left.checked_sub(1)?;
        Some(Clock::now().mono.after(self.timeout / self.parts))
    }
}

/// A function or command that is begun.
struct Begin {
    run: RunId,
    process: ProcessId,
    purpose: Purpose,
    timeout: Duration,
    spec: Arc<Spec>,
}

impl Job {
    /// Whether it is a hook, the stop command or the reload command: not a probe, which may be made again at will.
    pub fn is_hook(&self) -> bool {
        matches!(self.purpose, Purpose::Hook(_))
    }

    /// What is left of somebody else's command, to be killed.
    fn stray(held: Held) -> Job {
        Job {
            // No run has this number.
            run: RunId(0),
            process: ProcessId(0),
            purpose: Purpose::Probe(ProbeKind::Ready),
            child: RunChild::Gone,
            held: Some(held),
            outcome: Some(Ok(())),
            patience: Patience::of(Purpose::Probe(ProbeKind::Ready), Duration::ZERO),
            silent: true,
        }
    }
}

impl Engine {
    /// Kills a tree that nobody knows, and goes on until nothing of it is left.
    pub(super) fn kill_stray(&mut self, held: Held) {
        let id = JobId(self.new_id());
        self.jobs.insert(id, Job::stray(held));
        self.job_look(id);
    }

    pub(super) fn run_hook(&mut self, run: RunId, process: ProcessId, kind: HookKind, (spec, hook): (Arc<Spec>, Hook)) {
        let begin = Begin { run, process, purpose: Purpose::Hook(kind), timeout: hook.timeout, spec };
        match hook.action {
            HookAction::Command(command) => self.begin_job(begin, command, hook.user),
            HookAction::Function(function) => self.begin_call(begin, function),
        }
    }

    pub(super) fn start_probe(&mut self, run: RunId, kind: ProbeKind, probe: Probe) {
        let timeout = probe.timeout.unwrap_or(PROBE_TIMEOUT);
        let Some(entry) = self.runs.get(&run) else { return };
        if let Some(reason) = self.still_there(run, Purpose::Probe(kind)) {
            return self.probed(run, kind, Err(reason.into()), None);
        }
        let begin =
            Begin { run, process: entry.process, purpose: Purpose::Probe(kind), timeout, spec: entry.spec.clone() };
        let net = match probe.target {
            ProbeTarget::Exec(command) => return self.begin_job(begin, command, None),
            ProbeTarget::Function(function) => return self.begin_call(begin, function),
            ProbeTarget::Tcp { host, port } => NetProbe::Tcp { host, port },
            ProbeTarget::Http(http) => NetProbe::Http(http),
        };
        if let Err(error) = self.probes.start(run, kind, net, timeout) {
            self.probed(run, kind, Err(format!("cannot start the probe: {error}")), None);
        }
    }

    pub(super) fn stop_probe(&mut self, run: RunId, kind: ProbeKind) {
        self.probes.stop(run, kind);
        let purpose = Purpose::Probe(kind);
        for call in self.calls.values_mut().filter(|call| call.run == run && call.purpose == purpose) {
            call.silent = true;
        }
        for job in self.jobs_of(run, purpose) {
            if let Some(job) = self.jobs.get_mut(&job) {
                job.silent = true;
            }
            self.end_job(job, Err("cancelled".into()));
        }
    }

    /// What is left of a run's last probe of this kind, for which no other is begun: so they never pile up.
    fn still_there(&self, run: RunId, purpose: Purpose) -> Option<&'static str> {
        if self.calls.values().any(|call| call.run == run && call.purpose == purpose) {
            return Some("the call before this one has not come back yet");
        }
        let left = !self.jobs_of(run, purpose).is_empty();
        left.then_some("what is left of the command before this one is still being killed")
    }

    pub(super) fn cancel_hook(&mut self, run: RunId, kind: HookKind) {
        let purpose = Purpose::Hook(kind);
        let mut called = 0;
        for call in self.calls.values_mut().filter(|call| call.run == run && call.purpose == purpose && !call.silent) {
            (call.silent, called) = (true, called + 1);
        }
        for _ in 0..called {
            self.tell_outcome((run, purpose), Err("cancelled".into()), None);
        }
        let jobs = self.jobs_of(run, purpose);
        let told = |input: &Input| matches!(input, Input::HookFinished(r, k, _) if *r == run && *k == kind);
        if called == 0 && jobs.is_empty() && !self.inputs.iter().any(told) {
            // It was another supervisor's.
            self.tell_outcome((run, purpose), Err("cancelled".into()), None);
        }
        for job in jobs {
            self.end_job(job, Err("cancelled".into()));
        }
    }

    /// Gives up every command and function: nobody will hear of them.
    pub(super) fn end_all_jobs(&mut self) {
        self.calls.clear();
        for id in self.jobs.keys().copied().collect::<Vec<_>>() {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.silent = true;
            }
            self.end_job(id, Err("cancelled".into()));
        }
    }

    fn jobs_of(&self, run: RunId, purpose: Purpose) -> Vec<JobId> {
        if self.jobs.is_empty() {
            return Vec::new();
        }
        self.jobs.iter().filter(|(_, job)| job.run == run && job.purpose == purpose).map(|(id, _)| *id).collect()
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn tell_outcome(&mut self, (run, purpose): (RunId, Purpose), outcome: Result<(), String>, took: Option<Duration>) {
        self.inputs.push_back(match purpose {
            Purpose::Hook(kind) => {
                Input::HookFinished(run, kind, outcome.map_or_else(HookResult::Failed, |()| HookResult::Done))
            }
            Purpose::Probe(kind) => return self.probed(run, kind, outcome, took),
            // A function's alone: see `condition_answered`.
            Purpose::Condition => return,
        });
    }

    // Functions.

    fn begin_call(&mut self, begin: Begin, function: FunctionId) {
        let Begin { run, process, purpose, timeout, spec } = begin;
        let id = self.new_id();
        let call = FunctionCall {
            function,
            purpose,
            process: self.machine.name(process).unwrap_or_else(|| spec.name.as_str().into()),
            run,
            exit: self.runs.get(&run).and_then(|entry| entry.exit),
            timeout,
        };
        self.calls.insert(id, Call { run, process, purpose, patience: Patience::of(purpose, timeout), silent: false });
        self.call_timeout(id);
        let shared = self.shared.clone();
        let done = FunctionDone::new(move |result| {
            let _ = shared.mailbox.post(Message::Helper(HelperDone::Called(id, result)));
        });
        if let Some(closure) = self.functions.closures.get(&function).cloned() {
            let job = move || match catch_unwind(AssertUnwindSafe(|| closure(&call))) {
                Ok(result) => done.finish(result),
                Err(_) => done.broken("the function panicked".into()),
            };
            // Without a thread the call is dropped, and has failed.
            let _ = self.pool.run(job);
        } else if let Some(host) = self.functions.host.clone() {
            // A host that panics has dropped the call: it failed, and the engine goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| host.call(call, done)));
        } else {
            done.broken(format!("there is no function {}: nobody answers for functions here", function.0));
        }
    }

    pub(super) fn call_ended(&mut self, id: u64, result: Result<(), Shortfall>) {
        let Some(call) = self.calls.remove(&id).filter(|call| !call.silent) else { return };
        self.tell_answer((call.run, call.purpose), result, call.patience.took());
    }

    fn tell_answer(&mut self, (run, purpose): (RunId, Purpose), result: Result<(), Shortfall>, took: Duration) {
        match purpose {
            Purpose::Condition => self.condition_answered(run, result),
            purpose => self.tell_outcome((run, purpose), result.map_err(Shortfall::into_text), Some(took)),
        }
    }

    /// Asks the function that is a condition of this run's start.
    pub(super) fn ask_condition(&mut self, run: RunId, function: FunctionId) {
        let Some(entry) = self.runs.get(&run) else { return };
        let (process, spec) = (entry.process, entry.spec.clone());
        // One that hangs is not called again at each start: calls never pile up.
        if self.calls.values().any(|call| call.process == process && call.purpose == Purpose::Condition) {
            let reason = "the call at an earlier start has not come back yet".to_owned();
            return self.condition_answered(run, Err(Shortfall::Broken(reason)));
        }
        let begin = Begin { run, process, purpose: Purpose::Condition, timeout: CONDITION_TIMEOUT, spec };
        self.begin_call(begin, function);
    }

    /// Nobody waits for it any more.
    pub(super) fn give_up_condition(&mut self, run: RunId) {
        for call in self.calls.values_mut().filter(|call| call.run == run && call.purpose == Purpose::Condition) {
            call.silent = true;
        }
    }

    /// A part of its time is over, or begins.
    pub(super) fn call_timeout(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.silent) else { return };
        if let Some(at) = call.patience.next() {
            return self.clock.at(at, Moment::CallTimeout(id));
        }
        call.silent = true;
        let (of, timeout, took) = ((call.run, call.purpose), call.patience.timeout, call.patience.took());
        self.tell_answer(of, Err(Shortfall::Broken(timed_out(timeout))), took);
    }

    // Commands.

    fn begin_job(&mut self, begin: Begin, command: Vec<String>, user: Option<String>) {
        let Begin { run, process, purpose, timeout, spec } = begin;
        let id = JobId(self.new_id());
        let log = self.log_to_open(process, &spec);
        let wanted = Wanted {
            // Where the process itself has no socket yet, its hooks are told of none.
            bind_notify: false,
            notify_name: Place::notify_name(process),
            log,
            conditions: false,
            spec,
            command: Some(command),
            user,
        };
        let patience = Patience::of(purpose, timeout);
        let job =
            Job { run, process, purpose, child: RunChild::None, held: None, outcome: None, patience, silent: false };
        self.jobs.insert(id, job);
        self.job_timeout(id);
        if wanted.is_prompt() {
            let result = prepare::prepare(&wanted, &self.surroundings).map(Box::new);
            self.job_prepared(id, result);
        } else {
            self.prepare_on_pool(Owner::Job(id), wanted);
        }
    }

    pub(super) fn job_prepared(&mut self, id: JobId, result: Result<Box<Prepared>, NotPrepared>) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.outcome.is_some() {
            return self.job_look(id);
        }
        let spawned = match result {
            Ok(prepared) => self.spawn_job(id, *prepared),
            Err(NotPrepared::Failed(error)) => Err(error.message),
            Err(NotPrepared::Unmet(condition)) => Err(format!("condition {condition} does not hold")),
        };
        if let Err(reason) = spawned {
            self.end_job(id, Err(reason));
        }
    }

    fn spawn_job(&mut self, id: JobId, prepared: Prepared) -> Result<(), String> {
        let Some(job) = self.jobs.get(&id) else { return Ok(()) };
        let (run, process) = (job.run, job.process);
        let message = |error: SpawnError| error.message;
        let name = match (self.places.get(&process), job.purpose) {
            // A plus sign is in no process's name, and the number in no other command's.
            (Some(place), Purpose::Hook(kind)) => format!("{}+{}+{}", place.name, kind.as_str(), id.0),
            (Some(place), Purpose::Probe(_) | Purpose::Condition) => format!("{}+probe+{}", place.name, id.0),
            (None, _) => return Err("its process is gone".into()),
        };
        let Prepared { launch, stdout, stderr, .. } = prepared;
        let block = Block { launch, stdout, stderr, ready_line: None };
        let mut held = Held::new(self.trees.create(&name, run).map_err(message)?);
        let launch = self.complete(process, run, &block, &held).map_err(message)?;
        let flight = self.launcher.launch(launch).map_err(message)?;
        held.tree.set_leader(flight.pid());
        let child = self.watch_flight(Owner::Job(id), flight, &held).map_err(message)?;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.child = child;
            job.held = Some(held);
        }
        Ok(())
    }

    pub(super) fn job_flight(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (flight, exec, child) = match std::mem::replace(&mut job.child, RunChild::None) {
            RunChild::Flight(flight, exec, child) => (flight, exec, child),
            other => {
                job.child = other;
                return;
            }
        };
        let landed = self.land(Owner::Job(id), flight, exec, child);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match landed {
            Ok(child) => {
                job.child = child;
                // It may have been given up meanwhile.
                self.job_look(id);
            }
            Err(error) => {
                job.child = RunChild::Gone;
                self.end_job(id, Err(error.message));
            }
        }
    }

    pub(super) fn job_child_event(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if matches!(job.child, RunChild::Flight(..)) {
            self.job_flight(id);
        }
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let RunChild::Alive(_, fd, _) = &job.child else { return };
        let pins = job.held.as_ref().is_some_and(|held| held.tree.pins_leader());
        let status = if pins { exit::peek(fd.as_fd()) } else { exit::reap(fd.as_fd()) };
        let status = match status {
            Ok(None) => return,
            Ok(Some(status)) => status,
            Err(_) => ExitStatus::Unknown,
        };
        if let RunChild::Alive(_, fd, token) = std::mem::replace(&mut job.child, RunChild::Gone) {
            self.poller.remove(&fd, token);
            if pins {
                job.child = RunChild::Pinned(fd);
            }
        }
        let outcome = match status {
            ExitStatus::Code(0) => Ok(()),
            ExitStatus::Code(code) => Err(format!("exit code {code}")),
            ExitStatus::Signal { signal, .. } => Err(format!("killed by {signal}")),
            ExitStatus::Unknown => Err("ended, status unknown (somebody else reaped it)".into()),
        };
        self.end_job(id, outcome);
    }

    /// A part of its time is over, or begins.
    pub(super) fn job_timeout(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match job.patience.next() {
            Some(at) => self.clock.at(at, Moment::JobTimeout(id)),
            None => {
                let timeout = job.patience.timeout;
                self.end_job(id, Err(timed_out(timeout)));
            }
        }
    }

    /// Decides what became of a command, and kills what there is of it. The first outcome counts.
    fn end_job(&mut self, id: JobId, outcome: Result<(), String>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.outcome.get_or_insert(outcome);
        if let RunChild::Flight(flight, ..) = &job.child {
            let _ = super::identity::signal(flight.pidfd(), crate::spec::Signal::KILL);
        }
        self.job_look(id);
    }

    /// Whether everything of a command that is over is gone; if not, it is killed.
    pub(super) fn job_look(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.outcome.is_none() {
            return;
        }
        let look = self.look(Owner::Job(id));
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if look == Look::Empty {
            // Its own end, when it was killed, is still to be reaped; that comes as an event.
            match &job.child {
                RunChild::Alive(..) | RunChild::Flight(..) => {}
                _ => self.job_over(id),
            }
        } else if job.held.as_ref().is_some_and(|held| !held.is_killing()) {
            self.kill_again(Owner::Job(id));
        }
    }

    /// What a command left behind does not die: it is told of as over, and goes on being killed.
    pub(super) fn job_stuck(&mut self, id: JobId, left: usize) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (of, silent) = ((job.run, job.purpose), std::mem::replace(&mut job.silent, true));
        let took = job.patience.took();
        if !silent {
            self.tell_outcome(of, Err(format!("{left} of its processes would not die")), Some(took));
        }
    }

    fn job_over(&mut self, id: JobId) {
        let Some(mut job) = self.jobs.remove(&id) else { return };
        if let RunChild::Pinned(fd) = &job.child {
            let _ = exit::reap(fd.as_fd());
        }
        if let Some(mut held) = job.held.take() {
            held.let_go(&mut self.poller);
            self.trash.push(held);
        }
        if !job.silent {
            let outcome = job.outcome.take().unwrap_or(Ok(()));
            self.tell_outcome((job.run, job.purpose), outcome, Some(job.patience.took()));
        }
    }
}

fn timed_out(timeout: Duration) -> String {
    format!("not done within {}", format_duration(timeout))
}
