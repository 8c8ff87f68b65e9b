//! The public handle: a supervisor in a program.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::core::{Applied, Event, ExitStatus, HookKind, ProbeKind, ProcessId, Refusal, RunId, StateName, Status, Updated};
use crate::spec::{FunctionId, Plan, PlanError, Signal, Spec};

/// A supervisor: its engine runs on a thread of its own until [`shutdown`](Supervisor::shutdown), or until the last handle is dropped.
///
/// Cheap to clone; all clones are the same supervisor. A program may have several. It installs no signal handler,
/// sets no subreaper, and reaps no child but its own.
#[derive(Clone)]
pub struct Supervisor {}

/// What a supervisor is made with.
pub struct Builder {}

impl Builder {
    /// What children inherit; the program's own environment at [`build`](Builder::build) unless given. `NEAP_*`, `LISTEN_*` and `NOTIFY_SOCKET` are left out.
    pub fn env<I: IntoIterator<Item = (OsString, OsString)>>(self, _env: I) -> Self { todo!() }
    /// Base of relative paths, and the directory of processes that name none; the program's own at `build` unless given.
    pub fn base_dir(self, _dir: impl Into<PathBuf>) -> Self { todo!() }
    /// Where notify sockets and runtime directories are made; a private directory below the temporary one unless given.
    pub fn runtime_dir(self, _dir: impl Into<PathBuf>) -> Self { todo!() }
    /// Who answers for functions in specs.
    pub fn functions(self, _host: Arc<dyn FunctionHost>) -> Self { todo!() }
    /// After this long every stop of a shutdown escalates to SIGKILL.
    pub fn shutdown_timeout(self, _timeout: Duration) -> Self { todo!() }
    /// Starts the engine.
    pub fn build(self) -> Result<Supervisor, BuildError> { todo!() }
}

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The kernel refused something the engine needs.
    #[error("cannot start the supervisor: {what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Why a command did not come to what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The supervisor refused it, or it failed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The supervisor is gone.
    #[error("the supervisor has ended")]
    Ended,
}

/// An answer on its way: await it, or [`wait`](Pending::wait) for it on a plain thread. Dropping it gives up the answer, not what was begun.
#[must_use = "a command's outcome is in its answer"]
pub struct Pending<T> { _t: std::marker::PhantomData<T> }

impl<T> Pending<T> {
    /// Blocks until the answer is there. Not for async code: await it there.
    pub fn wait(self) -> Result<T, Error> { todo!() }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> { todo!() }
}

impl Supervisor {
    /// Starts describing a supervisor.
    pub fn builder() -> Builder { todo!() }
    /// Defines a process; nothing starts. A wrong spec is refused with all that is wrong.
    pub fn add(&self, _spec: Spec) -> Result<Process, Error> { todo!() }
    /// The process of this name.
    pub fn get(&self, _name: &str) -> Option<Process> { todo!() }
    /// All processes as they are now, by name.
    pub fn list(&self) -> Result<Vec<Status>, Error> { todo!() }
    /// What [`apply`](Supervisor::apply) would do.
    pub fn plan(&self, _plan: &Plan) -> Result<Applied, Error> { todo!() }
    /// Makes the configured processes be these, all or nothing; those that start by themselves are started. Answered once the plan is accepted.
    pub fn apply(&self, _plan: Plan) -> Pending<Applied> { todo!() }
    /// Events from now on.
    pub fn events(&self) -> Events { todo!() }
    /// Events after this sequence number, as far back as they are kept.
    pub fn events_after(&self, _sequence: u64) -> Events { todo!() }
    /// Lines that processes print, from now on.
    pub fn output(&self) -> Lines { todo!() }
    /// Stops everything in order, then the engine. A second call escalates: SIGKILL to what is still being stopped.
    pub fn shutdown(&self) -> Pending<Shutdown> { todo!() }
    /// Answers when the engine has ended, however that came about (a shutdown, a critical process's end).
    pub fn ended(&self) -> Pending<Shutdown> { todo!() }
}

/// How a shutdown went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// The code of the critical process whose end began it.
    pub code: Option<i32>,
    /// Processes that would not die.
    pub stuck: Vec<Arc<str>>,
}

/// A handle on one process. Cheap to clone.
#[derive(Clone)]
pub struct Process {}

impl Process {
    /// Its name.
    pub fn name(&self) -> &str { todo!() }
    /// Its place in the supervisor.
    pub fn id(&self) -> ProcessId { todo!() }
    /// Starts it, and what it requires and wants. Answered when it is ready (running; a oneshot: exited).
    pub fn start(&self) -> Pending<StateName> { todo!() }
    /// [`start`](Process::start) for plain threads.
    pub fn start_blocking(&self) -> Result<StateName, Error> { todo!() }
    /// Stops it, and first what cannot be without it. Answered when nothing of it is left.
    pub fn stop(&self) -> Pending<StateName> { todo!() }
    /// [`stop`](Process::stop) for plain threads.
    pub fn stop_blocking(&self) -> Result<StateName, Error> { todo!() }
    /// Stops and starts it. Answered when it is ready again.
    pub fn restart(&self) -> Pending<StateName> { todo!() }
    /// Has it read its configuration again.
    pub fn reload(&self) -> Pending<()> { todo!() }
    /// Sends a signal to its main process.
    pub fn signal(&self, _signal: Signal) -> Pending<()> { todo!() }
    /// Replaces its spec; what needs a restart waits for one.
    pub fn update(&self, _spec: Spec) -> Pending<Updated> { todo!() }
    /// Forgets it; with `force` it is stopped first.
    pub fn delete(&self, _force: bool) -> Pending<()> { todo!() }
    /// How it is.
    pub fn status(&self) -> Result<Status, Error> { todo!() }
    /// Its spec.
    pub fn spec(&self) -> Result<Arc<Spec>, Error> { todo!() }
    /// Answers when it is in this state (at once when it is already).
    pub fn wait(&self, _state: StateName) -> Pending<Status> { todo!() }
    /// The last lines it printed, oldest first.
    pub fn logs(&self, _lines: usize) -> Vec<Line> { todo!() }
}

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a process printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub process: Arc<str>,
    /// From which stream.
    pub stream: StreamKind,
    /// Its bytes, without the line end.
    pub text: Vec<u8>,
    /// Whether it was cut: the rest follows as the next line, or its end never came.
    pub partial: bool,
}

/// Events as they happen. Falling too far behind skips some, and says how many.
pub struct Events {}

/// The next item of a stream that may have fallen behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<T> {
    /// The next one.
    Item(T),
    /// This many were lost because the reader was too slow.
    Lagged(u64),
}

impl Events {
    /// The next event; `None` once the supervisor has ended.
    pub async fn next(&mut self) -> Option<Next<Event>> { todo!() }
    /// The next event, waiting on a plain thread.
    pub fn next_blocking(&mut self) -> Option<Next<Event>> { todo!() }
}

/// Lines as they are printed.
pub struct Lines {}

impl Lines {
    /// The next line; `None` once the supervisor has ended.
    pub async fn next(&mut self) -> Option<Next<Line>> { todo!() }
    /// The next line, waiting on a plain thread.
    pub fn next_blocking(&mut self) -> Option<Next<Line>> { todo!() }
}

/// Who runs the functions that specs name by number (a Lua runtime, a table of closures).
pub trait FunctionHost: Send + Sync {
    /// Begins a call and returns at once: it is made from the engine's thread. `done` may be called from any thread, once; if it is dropped, the call failed.
    fn call(&self, call: FunctionCall, done: FunctionDone);
}

/// What a function is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A hook.
    Hook(HookKind),
    /// A probe.
    Probe(ProbeKind),
}

/// A call of a function.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    /// Which function.
    pub function: FunctionId,
    /// What for.
    pub purpose: Purpose,
    /// For which process.
    pub process: Arc<str>,
    /// For which run.
    pub run: RunId,
    /// How the run's main process ended, if it has.
    pub exit: Option<ExitStatus>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Takes the outcome of a function call: `Ok`, or how it failed.
pub struct FunctionDone(pub(crate) Box<dyn FnOnce(Result<(), String>) + Send>);

impl FunctionDone {
    /// The call is over.
    pub fn finish(self, result: Result<(), String>) { (self.0)(result) }
}
const _: Option<PlanError> = None;
