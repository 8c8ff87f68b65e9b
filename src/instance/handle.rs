//! The instance itself: a supervisor, the configuration that is in force, and what is done with the whole of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use super::endpoint::Endpoint;
use super::evaluate::{Evaluator, Outcome, problem};
use super::keeper::Keeper;
use super::later::later;
use super::places::Places;
use super::roles::grants;
use super::successor;
use crate::anchor::{Key, Link};
use crate::core::{Applied, Event, EventKind, Pid, Refusal};
use crate::driver::{AnchorState, LedgerState};
use crate::ledger::{Generations, Lock, Record, Told};
use crate::lua::api::Settings;
use crate::lua::{Evaluated, Generation, Items, Listening, Operator, Session, SessionRequest, generation_of};
use crate::rpc::{self, Access, ApplyOutcome, ApplyRequest, Backend, Grant, HostPromise, Info, Listener, Server};
use crate::spec::{Plan, Problem, Severity};
use crate::telemetry::About;
use crate::{Enforcer, Error, Events, HostReport, Next, Supervisor, TreeKind};

/// A supervisor with a configuration and places of its own. Cheap to clone; all clones are the same instance.
#[derive(Clone)]
pub(crate) struct Instance(Arc<Inner>);

pub(super) struct Inner {
    pub(super) supervisor: Supervisor,
    pub(super) evaluator: Evaluator,
    pub(super) places: Option<Places>,
    pub(super) anchor: Option<Anchor>,
    /// The configuration as it was named, if there is one.
    pub(super) config: Option<PathBuf>,
    /// Whether it is empty as long as there is no such file or folder.
    pub(super) may_be_missing: bool,
    /// Where what an evaluation read is kept, so that a successor can make it again.
    pub(super) generations: Option<Generations>,
    pub(super) started_at: SystemTime,
    /// One instance a state folder.
    pub(super) _lock: Option<Lock>,
    /// The control socket that the one before listened at, until it is served.
    pub(super) listener: Mutex<Option<UnixListener>>,
    /// What it began with; all but the roles holds until its end.
    pub(super) settings: Settings,
    /// Keeps what is made at run time.
    pub(super) keeper: Mutex<Option<Keeper>>,
    /// Whether it goes on from records: then what was made at run time is there.
    pub(super) goes_on: bool,
    /// Which groups may do what.
    pub(super) access: Access,
    /// The sockets that these groups are let in to: none before they are served.
    pub(super) doors: Mutex<Vec<PathBuf>>,
    pub(super) state: Mutex<State>,
    /// Held by the one apply that is under way.
    pub(super) applying: Mutex<()>,
}

/// What holds this process's descriptors.
pub(super) struct Anchor {
    pub(super) link: Link,
    pub(super) pid: Pid,
    /// How many supervisors it has started, with this one.
    pub(super) lives: u32,
}

/// What changes while it runs.
#[derive(Default)]
pub(super) struct State {
    /// The configuration in force.
    pub(super) live: Option<Live>,
    /// One of no configuration, for sessions as long as there is none in force.
    pub(super) bare: Option<Generation>,
    /// Those that processes made at run time have functions of: in force or not, they are kept.
    pub(super) needed: Vec<Generation>,
    /// Its number; numbers only go up.
    pub(super) generation: u64,
    /// What there is to tell of it until another is in force: why a newer one was refused, and what is wrong with the files
    /// that it is without.
    pub(super) told: Told,
    /// Whether the first plan is in force, clients are answered, and what listens is bound.
    pub(super) ready: bool,
    /// What makes it less than it should be.
    pub(super) degraded: Vec<String>,
    /// What of what was made at run time is not kept, or not there.
    pub(super) lacking: Vec<String>,
    /// What keeps groups with a role from the control socket.
    pub(super) hindrances: Vec<String>,
    /// The binary that takes over when the engine has ended.
    pub(super) successor: Option<File>,
}

impl State {
    /// All that makes it less than it should be.
    fn wrong(&self) -> Vec<String> {
        let others = self.lacking.iter().chain(&self.hindrances).cloned();
        self.degraded.iter().cloned().chain(self.told.degraded()).chain(others).collect()
    }
}

/// Keeps a configuration's functions callable, and its handlers called.
pub(super) struct Live {
    generation: Generation,
    listening: Option<Listening>,
}

impl Live {
    pub(super) fn begin(generation: Generation, supervisor: &Supervisor) -> Live {
        let listening = Some(generation.listen(supervisor));
        Live { generation, listening }
    }
}

impl Instance {
    pub(super) fn new(inner: Inner) -> Instance {
        inner.evaluator.runtime.attach(inner.supervisor.clone());
        let instance = Instance(Arc::new(inner));
        instance.0.evaluator.runtime.attach_operator(Arc::new(ForScripts(Arc::downgrade(&instance.0))));
        instance
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who answers for its processes.
    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.0.supervisor
    }

    /// Where its things are, if it has places of its own.
    pub(crate) fn places(&self) -> Option<&Places> {
        self.0.places.as_ref()
    }

    /// The anchor, if there is one.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.0.anchor.as_ref().map(|anchor| &anchor.link)
    }

    /// Whether it goes on with what another supervisor of the same anchor left.
    pub(crate) fn took_over(&self) -> bool {
        self.0.anchor.as_ref().is_some_and(|anchor| anchor.lives > 1)
    }

    /// Says what makes it less than it should be.
    pub(crate) fn degrade(&self, why: impl Into<String>) {
        self.state().degraded.push(why.into());
    }

    /// Puts in force what was evaluated.
    ///
    /// # Errors
    /// All that is wrong with it; nothing is changed then.
    pub(crate) fn put_in_force(
        &self,
        outcome: Outcome,
        caller: Option<Arc<str>>,
    ) -> Result<ApplyOutcome, Vec<Problem>> {
        let Outcome { plan, mut warnings, skipped, evaluated, config } = outcome;
        let Evaluated { declared, recorded, generation: functions, .. } = evaluated;
        let generation = functions.number();
        let record = Record { recorded, told: Told { skipped, ..Told::default() } };
        if let Some(generations) = &self.0.generations {
            // Before it is in force: whoever finds it to be in force finds it.
            let written = generations.write(generation, &record);
            written
                .map_err(|error| vec![problem(format!("the configuration cannot be kept for a successor: {error}"))])?;
        }
        let (grants, _) = grants(&declared.settings);
        warnings.extend(later(&declared.settings, &self.0.settings));
        // Before the plan is applied, so that its handlers miss nothing, and nothing is handled twice.
        let live = Live::begin(functions, &self.0.supervisor);
        self.listen_no_more();
        let applied = asked_by(&self.0.supervisor, caller).apply(plan).wait();
        let changes = applied.map_err(problems_of).inspect_err(|_| self.listen_again())?;
        let mut state = self.state();
        let before = state.live.replace(live);
        let bare = state.bare.take();
        (state.generation, state.told) = (generation, record.told);
        drop(state);
        // While the one before is there: what is needed of it is held on to.
        self.settle();
        self.admit(grants);
        warnings.extend(self.state().hindrances.iter().map(|why| odd(why.clone())));
        drop((before, bare));
        if let Some(generations) = &self.0.generations {
            // What stays for lack of a chance to remove it is removed the next time.
            let _ = generations.keep(&[generation]);
        }
        Ok(ApplyOutcome { generation, changes, warnings, config: Some(config) })
    }

    fn listen_no_more(&self) {
        if let Some(live) = &mut self.state().live {
            live.listening = None;
        }
    }

    fn listen_again(&self) {
        if let Some(live) = &mut self.state().live {
            live.listening = Some(live.generation.listen(&self.0.supervisor));
        }
    }

    /// Evaluates the configuration (the one it was started with, unless another is given) and applies it. One at a time.
    pub(crate) fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        let _alone = self.0.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = self.apply_alone(&request);
        if let (Err(problems), false) = (&applied, request.dry_run) {
            self.refused(sentence(problems));
        }
        applied
    }

    /// Tells that a newer configuration was refused, as long as the one in force is, also by the next supervisor.
    fn refused(&self, why: String) {
        let mut state = self.state();
        state.told.refused = Some(why);
        let (generation, told) = (state.generation, state.told.clone());
        drop(state);
        if let Some(generations) = &self.0.generations {
            // Who asked is told in any case; a disk that takes nothing is told by the ledger.
            let _ = generations.tell(generation, &told);
        }
    }

    fn apply_alone(&self, request: &ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        let own = self.0.config.as_deref().filter(|config| !self.is_not_there_yet(config));
        let Some(config) = request.config.as_deref().or(own) else {
            return self.apply_nothing(request);
        };
        let outcome = self.0.evaluator.evaluate(config).inspect_err(|problems| {
            if !request.dry_run {
                self.0.supervisor.plan_refused(sentence(problems));
            }
        })?;
        if !request.dry_run {
            return self.put_in_force(outcome, request.caller.clone());
        }
        let Outcome { plan, mut warnings, evaluated, config, .. } = outcome;
        warnings.extend(later(&evaluated.declared.settings, &self.0.settings));
        let changes = self.0.supervisor.plan(&plan).map_err(problems_of);
        // Nothing comes of it, so it uses up no number.
        let number = evaluated.generation.number();
        drop(evaluated);
        self.0.evaluator.runtime.take_back(number);
        Ok(ApplyOutcome { generation: self.state().generation, changes: changes?, warnings, config: Some(config) })
    }

    /// Whether there never was what it may start without. What is gone is missed: else whoever removes the folder by mistake
    /// would end all that runs.
    fn is_not_there_yet(&self, config: &Path) -> bool {
        self.0.may_be_missing && self.state().generation == 0 && !config.exists()
    }

    /// There is no configuration: nothing is configured.
    fn apply_nothing(&self, request: &ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        let supervisor = asked_by(&self.0.supervisor, request.caller.clone());
        let changes =
            if request.dry_run { supervisor.plan(&Plan::new()) } else { supervisor.apply(Plan::new()).wait() };
        let changes = changes.map_err(problems_of)?;
        if !request.dry_run {
            self.state().told = Told::default();
            self.admit(Vec::new());
        }
        Ok(ApplyOutcome { generation: self.state().generation, changes, warnings: Vec::new(), config: None })
    }

    /// Has what is made at run time outlive the instance from now on; and brings back what was made before, unless it is
    /// there. Returns what of that cannot be done. Once the first plan is in force, and before clients come.
    pub(crate) fn keep_definitions(&self) -> Vec<String> {
        // Before it is looked at for the first time, so that nothing is missed.
        let events = self.0.supervisor.events();
        let mut keeper = self.keeper();
        if let Some(keeper) = &mut *keeper {
            match (self.0.goes_on, self.0.supervisor.made_at_run_time()) {
                (true, Ok(made)) => keeper.go_on(&made),
                (true, Err(_)) => {}
                (false, _) => keeper.bring_back(&self.0.supervisor),
            }
        }
        self.state().lacking = keeper.iter().flat_map(Keeper::lacking).cloned().collect();
        drop(keeper);
        let instance = Arc::downgrade(&self.0);
        let following = move || follow(events, || instance.upgrade().map(Instance));
        if let Err(error) = std::thread::Builder::new().name("neap-keeper".into()).spawn(following) {
            self.degrade(format!("what scripts make at run time will not outlive the instance: no thread: {error}"));
        }
        self.state().lacking.clone()
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was made at run time as it is now, and lets go of the functions that nothing refers to any more.
    pub(crate) fn settle(&self) {
        // From the look at what there is to the last write, so that no older look is written over a newer one.
        let mut keeper = self.keeper();
        // An engine that has ended changes nothing any more.
        let Ok(made) = self.0.supervisor.made_at_run_time() else { return };
        if let Some(keeper) = &mut *keeper {
            keeper.settle(&made);
        }
        let mut state = self.state();
        state.lacking = keeper.iter().flat_map(Keeper::lacking).cloned().collect();
        let used: BTreeSet<u64> = made.iter().flat_map(|spec| spec.functions()).map(generation_of).collect();
        let runtime = &self.0.evaluator.runtime;
        state.needed = used.into_iter().filter_map(|number| runtime.generation(number)).collect();
    }

    /// Opens a session on the configuration in force; where there is none, with nothing but the module.
    pub(crate) fn open_session(&self, request: SessionRequest) -> Result<(Session, Items), String> {
        let of_state =
            |state: &State| state.live.as_ref().map(|live| &live.generation).or(state.bare.as_ref()).cloned();
        let known = of_state(&self.state());
        let generation = match known {
            Some(generation) => generation,
            None => {
                let bare = self.0.evaluator.empty().map_err(|problems| sentence(&problems))?;
                // Of two that come at once, one has made it.
                let mut state = self.state();
                state.bare.get_or_insert(bare).clone()
            }
        };
        Ok(Session::open(&generation, request))
    }

    /// Puts the roles of groups in force, and opens the sockets to them.
    fn admit(&self, grants: Vec<Grant>) {
        self.0.access.set(grants);
        self.open_doors();
    }

    /// Has those reach the sockets who have a role, and nobody else.
    fn open_doors(&self) {
        let grants = self.0.access.grants();
        // Held throughout: of two that open the doors, the later one's groups count.
        let doors = self.0.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let hindrances = doors.iter().flat_map(|socket| rpc::let_in(socket, &grants)).collect();
        self.state().hindrances = hindrances;
    }

    /// Has groups with a role reach these sockets, too, and has them removed at the end.
    pub(crate) fn add_doors(&self, sockets: Vec<PathBuf>) {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner).extend(sockets);
        self.open_doors();
    }

    /// Tells what the page of metrics says of it, for as long as it is there.
    pub(crate) fn about(&self) -> impl Fn() -> About + Send + Sync + 'static {
        let key = self.0.places.as_ref().map(|places| places.key.clone()).unwrap_or_default();
        let lives = self.0.anchor.as_ref().map_or(1, |anchor| anchor.lives);
        let (started_at, inner) = (self.0.started_at, Arc::downgrade(&self.0));
        move || {
            let state = inner.upgrade().map(|inner| {
                let state = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.generation, state.wrong().len())
            });
            let (generation, degraded) = state.unwrap_or_default();
            About::new(key.as_str()).with(generation, degraded as u64).begun(lives, started_at)
        }
    }

    /// What keeps groups with a role from the control socket, as sentences.
    pub(crate) fn hindrances(&self) -> Vec<String> {
        self.state().hindrances.clone()
    }

    /// Tells the anchor that the first plan is in force and clients are answered: what it takes to go on by itself.
    pub(crate) fn set_up(&self) {
        if let Some(link) = self.link() {
            link.ready();
        }
    }

    /// Says to whoever asks that it is up, and that what listens is bound.
    pub(crate) fn set_ready(&self) {
        self.state().ready = true;
    }

    /// Who it is.
    pub(crate) fn info(&self) -> Info {
        let inner = &self.0;
        let state = self.state();
        let place = |of: fn(&Places) -> &PathBuf| inner.places.as_ref().map(|all| of(all).clone()).unwrap_or_default();
        Info {
            instance: inner.places.as_ref().map(|places| places.key.clone()).unwrap_or_default(),
            pid: std::process::id(),
            anchor_pid: inner.anchor.as_ref().map(|anchor| anchor.pid.0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: inner.started_at,
            ready: state.ready,
            config_path: inner
                .config
                .as_deref()
                .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
            generation: state.generation,
            refused: state.told.refused.clone(),
            degraded: state.wrong(),
            promises: self.promises(),
            runtime_dir: place(|places| &places.runtime),
            state_dir: place(|places| &places.state),
            socket: place(|places| &places.socket),
        }
    }

    fn promises(&self) -> Vec<HostPromise> {
        promises_of(&self.0.supervisor.host())
    }

    /// Begins to stop everything, as this caller asks; a second call escalates.
    pub(crate) fn shutdown(&self, caller: Option<Arc<str>>) {
        drop(asked_by(&self.0.supervisor, caller).shutdown());
    }

    /// Serves clients at the control socket and at these, until what is returned is dropped or stopped.
    ///
    /// # Errors
    /// Why it cannot, as a sentence.
    pub(crate) fn serve(&self, endpoints: Vec<Endpoint>) -> Result<Option<Server>, String> {
        let Some(places) = &self.0.places else { return Ok(None) };
        let before = self.0.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = match before {
            Some(listener) => listener,
            None => {
                let listener = rpc::bind_control_socket(&places.socket).map_err(|error| error.to_string())?;
                if let Some(link) = self.link() {
                    let held = link.hold(Key::control(), listener.as_fd());
                    held.map_err(|error| format!("the anchor does not take the control socket: {error}"))?;
                }
                listener
            }
        };
        let paths = endpoints.iter().filter_map(Endpoint::path).map(Path::to_owned);
        let doors = std::iter::once(places.socket.clone()).chain(paths).collect();
        self.add_doors(doors);
        let listeners = endpoints.into_iter().map(|endpoint| endpoint.listener);
        let listeners = std::iter::once(Listener::Unix(listener)).chain(listeners).collect();
        let failed = |error| format!("cannot serve clients at {}: {error}", places.socket.display());
        Server::start_all(Arc::new(self.clone()), listeners).map(Some).map_err(failed)
    }

    /// Stops everything, unless that is over (it failed as it began), and lets go of the configuration's functions, which
    /// keep the supervisor up. Nothing is left behind then, whoever else has a handle for a moment.
    pub(crate) fn end(&self) {
        // However the engine ended, it has.
        let _ = self.0.supervisor.shutdown().wait();
        let mut state = self.state();
        let functions = (state.live.take(), state.bare.take(), std::mem::take(&mut state.needed));
        drop(state);
        drop(functions);
        self.0.evaluator.runtime.detach();
    }

    /// Has nobody come to the control socket any more, unless a successor listens at it.
    pub(crate) fn close(&self) {
        if self.state().successor.is_some() {
            return;
        }
        let doors = std::mem::take(&mut *self.0.doors.lock().unwrap_or_else(PoisonError::into_inner));
        for socket in self.0.places.iter().map(|places| &places.socket).chain(&doors) {
            let _ = std::fs::remove_file(socket);
        }
    }

    /// Removes what only matters while it is up. Once all is over.
    pub(crate) fn tidy(&self) {
        if let Some(places) = &self.0.places {
            let _ = std::fs::remove_file(places.ledger());
        }
    }

    /// Lets another binary take over, or the one that now has this one's path. Once this has answered, the engine has ended
    /// without touching a process, and whoever runs the instance is to [pass it on](Instance::successor).
    pub(crate) fn upgrade(&self, binary: Option<&Path>) -> Result<(), String> {
        if self.link().is_none() {
            return Err("this instance has no anchor, which an upgrade needs; stop it and start the new one".to_owned());
        }
        let path = binary.map_or_else(successor::own_path, |path| Ok(path.to_owned()))?;
        let binary = successor::examine(&path)?;
        // Known before the engine ends: its end is then no end of the instance. One at a time: a second one, which finds
        // no engine any more, must not take it back.
        let mut state = self.state();
        if state.successor.is_some() {
            return Err("another binary is about to take over already".to_owned());
        }
        state.successor = Some(binary);
        drop(state);
        match self.0.supervisor.hand_over().wait() {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.state().successor = None;
                Err("the ledger cannot be written, so that a new binary would not know what runs; `neap status` says \
                     why"
                .to_owned())
            }
            Err(error) => {
                self.state().successor = None;
                Err(error.to_string())
            }
        }
    }

    /// The binary that is to take over, once: then this process is to do nothing more than end.
    pub(crate) fn successor(&self) -> Option<File> {
        self.state().successor.take()
    }
}

/// Keeps what is made at run time, as long as there is an instance.
fn follow(mut events: Events, instance: impl Fn() -> Option<Instance>) {
    let matters = |next: &Next<Event>| match next {
        Next::Item(event) => matches!(event.kind, EventKind::Defined | EventKind::Updated { .. } | EventKind::Deleted),
        Next::Lagged(_) => true,
    };
    let mut cx = Context::from_waker(Waker::noop());
    while let Some(next) = events.next_blocking() {
        let mut changed = matters(&next);
        // Of many that come together, one look is enough.
        while let Poll::Ready(Some(next)) = pin!(events.next()).poll(&mut cx) {
            changed |= matters(&next);
        }
        match instance() {
            Some(instance) if changed => instance.settle(),
            Some(_) => {}
            None => return,
        }
    }
}

/// What scripts may ask of the instance that they are part of.
struct ForScripts(Weak<Inner>);

impl Operator for ForScripts {
    fn apply(&self, dry_run: bool, caller: Option<Arc<str>>) -> Result<(Applied, Vec<Problem>), Vec<Problem>> {
        let ended = || vec![problem("the instance is ending".to_owned())];
        let instance = Instance(self.0.upgrade().ok_or_else(ended)?);
        let outcome = instance.apply(ApplyRequest { config: None, dry_run, caller })?;
        Ok((outcome.changes, outcome.warnings))
    }
}

impl Backend for Instance {
    fn supervisor(&self) -> &Supervisor {
        Instance::supervisor(self)
    }

    fn info(&self) -> Info {
        Instance::info(self)
    }

    fn access(&self) -> Access {
        self.0.access.clone()
    }

    fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        Instance::apply(self, request)
    }

    fn shutdown(&self, caller: Option<Arc<str>>) {
        Instance::shutdown(self, caller);
    }

    fn settle(&self) {
        Instance::settle(self);
    }

    fn open_session(&self, request: SessionRequest) -> Result<(Session, Items), String> {
        Instance::open_session(self, request)
    }

    fn upgrade(&self, binary: Option<PathBuf>) -> Result<(), String> {
        Instance::upgrade(self, binary.as_deref())
    }
}

/// Something odd about an instance's own that it goes on with.
fn odd(message: String) -> Problem {
    Problem { severity: Severity::Warning, ..problem(message) }
}

/// The supervisor, for whoever asks.
fn asked_by(supervisor: &Supervisor, caller: Option<Arc<str>>) -> Supervisor {
    caller.map_or_else(|| supervisor.clone(), |caller| supervisor.on_behalf_of(caller))
}

/// All that is wrong, a problem a line.
fn sentence(problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    all.join("\n")
}

/// What is wrong with a plan that the supervisor refused.
fn problems_of(error: Error) -> Vec<Problem> {
    match error {
        Error::Refused(Refusal::Invalid(invalid)) => invalid.problems,
        other => vec![problem(other.to_string())],
    }
}

/// What the host lets it promise.
fn promises_of(host: &HostReport) -> Vec<HostPromise> {
    let promise = |what: &str, kept: bool, why: &str| HostPromise { what: what.into(), kept, why: why.into() };
    let (anchored, anchor) = match host.anchor {
        AnchorState::Alive(pid) => (true, format!("the anchor is process {pid}")),
        AnchorState::Gone => (false, "the anchor is gone; start the instance anew when it suits".to_owned()),
        AnchorState::None => (false, "there is no anchor".to_owned()),
    };
    let (written, ledger) = match &host.ledger {
        LedgerState::Written => (true, String::new()),
        LedgerState::Failing(why) => (false, why.clone()),
        LedgerState::None => (false, "there is no ledger".to_owned()),
    };
    let cgroups = host.trees == TreeKind::Cgroup;
    let trees = if cgroups { "trees are cgroups" } else { &host.trees_reason };
    let statuses = if host.statuses_may_be_lost { "SIGCHLD is ignored" } else { "" };
    let limits = host.limits.iter().map(|state| {
        let by = match state.enforcer {
            Enforcer::None => String::new(),
            enforcer => format!("by {enforcer}"),
        };
        let why = [by, state.why.clone()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        promise(&format!("limits.{} is enforced", state.limit), state.enforcer != Enforcer::None, &why)
    });
    let mut promises = vec![
        promise("processes outlive the supervisor, with their output and statuses", anchored, &anchor),
        promise("a new supervisor goes on where the old one stopped", written, &ledger),
        promise("no process escapes its tree", cgroups, trees),
        promise(
            "a start costs the same however large the supervisor is",
            host.spawn_reason.is_empty(),
            &host.spawn_reason,
        ),
        promise("exit statuses are exact", !host.statuses_may_be_lost, statuses),
    ];
    promises.extend(limits);
    promises
}
