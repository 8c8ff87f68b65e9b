//! The instance itself: a supervisor, the configuration that is in force, and what is done with the whole of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::evaluate::{Evaluator, Outcome, problem};
use super::places::Places;
use crate::anchor::Link;
use crate::core::{Pid, Refusal};
use crate::lua::{Generation, Listening};
use crate::rpc::{ApplyOutcome, ApplyRequest, Backend, HostPromise, Info};
use crate::spec::{Plan, Problem};
use crate::{Error, Supervisor, TreeKind};

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
    /// What each apply does first: writes down what it is about to apply, under this number.
    pub(super) record: Option<Record>,
    pub(super) started_at: SystemTime,
    pub(super) state: Mutex<State>,
    /// Held by the one apply that is under way.
    pub(super) applying: Mutex<()>,
}

/// Writes down what an evaluation read, so that a successor can make it again.
pub(super) type Record = Box<dyn Fn(u64, &Outcome) -> Result<(), String> + Send + Sync>;

/// What holds this process's descriptors.
pub(super) struct Anchor {
    pub(super) link: Link,
    pub(super) pid: Pid,
}

/// What changes while it runs.
#[derive(Default)]
pub(super) struct State {
    /// The configuration in force.
    pub(super) live: Option<Live>,
    /// Its number; numbers only go up.
    pub(super) generation: u64,
    /// Why a newer one was refused.
    pub(super) refused: Option<String>,
    /// Whether the first plan is in force and clients are answered.
    pub(super) ready: bool,
    /// What makes it less than it should be.
    pub(super) degraded: Vec<String>,
}

/// Keeps a configuration's functions callable, and its handlers called.
pub(super) struct Live {
    _generation: Generation,
    _listening: Listening,
}

impl Live {
    pub(super) fn begin(generation: Generation, supervisor: &Supervisor) -> Live {
        let listening = generation.listen(supervisor);
        Live { _generation: generation, _listening: listening }
    }
}

impl Instance {
    pub(super) fn new(inner: Inner) -> Instance {
        inner.evaluator.runtime.attach(inner.supervisor.clone());
        Instance(Arc::new(inner))
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

    /// Says what makes it less than it should be.
    pub(crate) fn degrade(&self, why: impl Into<String>) {
        self.state().degraded.push(why.into());
    }

    /// What makes it less than it should be.
    pub(crate) fn degraded(&self) -> Vec<String> {
        self.state().degraded.clone()
    }

    /// Puts in force what was evaluated.
    ///
    /// # Errors
    /// All that is wrong with it; nothing is changed then.
    pub(crate) fn put_in_force(&self, outcome: Outcome) -> Result<ApplyOutcome, Vec<Problem>> {
        let generation = outcome.evaluated.generation.number();
        if let Some(record) = &self.0.record {
            record(generation, &outcome).map_err(|why| vec![problem(why)])?;
        }
        let Outcome { plan, warnings, evaluated, config } = outcome;
        // Before the plan is applied, so that its handlers miss nothing.
        let live = Live::begin(evaluated.generation, &self.0.supervisor);
        let changes = self.0.supervisor.apply(plan).wait().map_err(problems_of)?;
        let mut state = self.state();
        (state.live, state.generation, state.refused) = (Some(live), generation, None);
        drop(state);
        Ok(ApplyOutcome { generation, changes, warnings, config: Some(config) })
    }

    /// Evaluates the configuration (the one it was started with, unless another is given) and applies it. One at a time.
    pub(crate) fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        let _alone = self.0.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = self.apply_alone(&request);
        if let (Err(problems), false) = (&applied, request.dry_run) {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            self.state().refused = Some(all.join("\n"));
        }
        applied
    }

    fn apply_alone(&self, request: &ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        let Some(config) = request.config.as_deref().or(self.0.config.as_deref()) else {
            return self.apply_nothing(request.dry_run);
        };
        let outcome = self.0.evaluator.evaluate(config)?;
        if !request.dry_run {
            return self.put_in_force(outcome);
        }
        let changes = self.0.supervisor.plan(&outcome.plan).map_err(problems_of)?;
        let generation = self.state().generation;
        Ok(ApplyOutcome { generation, changes, warnings: outcome.warnings, config: Some(outcome.config) })
    }

    /// There is no configuration: nothing is configured.
    fn apply_nothing(&self, dry_run: bool) -> Result<ApplyOutcome, Vec<Problem>> {
        let supervisor = &self.0.supervisor;
        let changes = if dry_run { supervisor.plan(&Plan::new()) } else { supervisor.apply(Plan::new()).wait() };
        let changes = changes.map_err(problems_of)?;
        Ok(ApplyOutcome { generation: self.state().generation, changes, warnings: Vec::new(), config: None })
    }

    /// Says that the first plan is in force and clients are answered.
    pub(crate) fn set_ready(&self) {
        self.state().ready = true;
        if let Some(link) = self.link() {
            link.ready();
        }
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
            refused: state.refused.clone(),
            degraded: state.degraded.clone(),
            promises: self.promises(),
            runtime_dir: place(|places| &places.runtime),
            state_dir: place(|places| &places.state),
            socket: place(|places| &places.socket),
        }
    }

    fn promises(&self) -> Vec<HostPromise> {
        let host = self.0.supervisor.host();
        let promise = |what: &str, kept: bool, why: &str| HostPromise { what: what.into(), kept, why: why.into() };
        let anchored = self.0.anchor.is_some();
        vec![
            promise(
                "processes outlive the supervisor, with their output and statuses",
                anchored,
                if anchored { "an anchor holds them" } else { "there is no anchor" },
            ),
            promise(
                "no process escapes its tree",
                host.trees == TreeKind::Cgroup,
                if host.trees_reason.is_empty() { "trees are cgroups" } else { &host.trees_reason },
            ),
            promise(
                "starting a process costs the same however large the supervisor is",
                host.spawn_reason.is_empty(),
                &host.spawn_reason,
            ),
            promise(
                "exit statuses are exact",
                !host.statuses_may_be_lost,
                if host.statuses_may_be_lost { "SIGCHLD is ignored" } else { "" },
            ),
        ]
    }

    /// Begins to stop everything; a second call escalates.
    pub(crate) fn shutdown(&self) {
        drop(self.0.supervisor.shutdown());
    }

    /// Lets go of the configuration's functions, which keep the supervisor up.
    pub(crate) fn end(&self) {
        self.state().live = None;
        self.0.evaluator.runtime.detach();
    }

    /// Lets another binary take over.
    pub(crate) fn upgrade(&self, _binary: Option<&Path>) -> Result<(), String> {
        Err("this instance has no anchor, which an upgrade needs".to_owned())
    }
}

impl Backend for Instance {
    fn supervisor(&self) -> &Supervisor {
        Instance::supervisor(self)
    }

    fn info(&self) -> Info {
        Instance::info(self)
    }

    fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        Instance::apply(self, request)
    }

    fn shutdown(&self) {
        Instance::shutdown(self);
    }

    fn upgrade(&self, binary: Option<PathBuf>) -> Result<(), String> {
        Instance::upgrade(self, binary.as_deref())
    }
}

/// What is wrong with a plan that the supervisor refused.
fn problems_of(error: Error) -> Vec<Problem> {
    match error {
        Error::Refused(Refusal::Invalid(invalid)) => invalid.problems,
        other => vec![problem(other.to_string())],
    }
}
