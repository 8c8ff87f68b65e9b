//! The runtime: evaluates configurations, and calls the functions they declared.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::api::Declared;
use super::error::error_problem;
use super::generation::{self, Outcome, Request};
use super::host::{Attached, Host, HostSettings, Operator, PrintSink};
use super::limits::Limits;
use super::reader::FileRead;
use super::recorded::Recorded;
use super::wedge::{StateThread, Wedge};
use crate::lock::lock;
use crate::spec::{FunctionId, PlanError, Problem};
use crate::{FunctionCall, FunctionDone, FunctionHost, Supervisor};

/// How much later than its deadline an evaluation may answer before it counts as wedged.
const GRACE: Duration = Duration::from_secs(5);

/// Lua lets native functions nest 200 deep; a frame of ours with the pattern matcher's takes some kilobytes.
const STACK: usize = 16 * 1024 * 1024;

/// What a runtime is made with.
#[derive(Clone, Default)]
pub struct Options {
    /// Takes what scripts print; dropped unless given.
    pub print: Option<PrintSink>,
    /// Told when a state could not be interrupted and was left behind.
    pub wedged: Option<WedgedSink>,
}

/// Takes the news that a state could not be interrupted.
pub type WedgedSink = Arc<dyn Fn(&Problem) + Send + Sync>;

/// What is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// One file: a script, which may `require` others below the root, or YAML (`*.yaml`, `*.yml`).
    File(PathBuf),
    /// All `*.lua`, `*.yaml` and `*.yml` files of the root, by name, in one state.
    Folder(PathBuf),
    /// Text that stands in no file.
    Source {
        /// What messages call it.
        name: String,
        /// The text.
        text: String,
    },
}

/// An evaluation: what, where, and with which surroundings.
#[derive(Clone, Debug)]
pub struct EvaluateRequest {
    /// What is evaluated.
    pub entry: Entry,
    /// The configuration's folder: nothing outside is read. The entry's own unless set.
    pub root: PathBuf,
    /// The environment that `neap.env` sees.
    pub env: BTreeMap<String, String>,
    /// The profiles that `neap.profile` sees.
    pub profiles: Vec<String>,
    /// How long it may take.
    pub deadline: Duration,
    /// How much memory the state may use, in bytes, in this evaluation and in the calls after it.
    pub memory: usize,
    /// The number that its generation gets, for functions to have the ids that they had; the next one unless set. Later
    /// generations of the runtime get higher ones.
    pub generation: Option<u64>,
    /// What is read instead of the disk while it is evaluated.
    pub recorded: Option<Arc<Recorded>>,
    /// Whether the plan keeps the lines of all keys, for who looks for more mistakes in it; plans to be put in force are
    /// copied and compared without them.
    pub keep_lines: bool,
    /// Whether a YAML file of a folder that is wrong is left out, and told in [`Evaluated::skipped`], instead of refusing
    /// the whole: a boot is to bring up what it can.
    pub skip_bad_files: bool,
}

impl EvaluateRequest {
    /// The deadline of an evaluation that names none.
    pub const DEADLINE: Duration = Duration::from_secs(10);
    /// The memory cap of an evaluation that names none.
    pub const MEMORY: usize = 64 * 1024 * 1024;

    fn new(entry: Entry, root: PathBuf) -> Self {
        let (deadline, memory) = (EvaluateRequest::DEADLINE, EvaluateRequest::MEMORY);
        EvaluateRequest {
            entry,
            root,
            env: BTreeMap::new(),
            profiles: Vec::new(),
            deadline,
            memory,
            generation: None,
            recorded: None,
            keep_lines: false,
            skip_bad_files: false,
        }
    }

    /// The evaluation that was recorded: of the same files, as they were, under the same circumstances.
    pub fn from_record(recorded: Recorded) -> Self {
        let mut request = EvaluateRequest::new(recorded.entry.clone(), recorded.root.clone());
        request.env.clone_from(&recorded.env);
        request.profiles.clone_from(&recorded.profiles);
        request.recorded = Some(Arc::new(recorded));
        // What was in force may have been without a file that was wrong.
        request.skip_bad_files = true;
        request
    }

    /// Sets the number of its generation.
    pub fn generation(mut self, number: u64) -> Self {
        self.generation = Some(number);
        self
    }

    /// One file; its folder is the root.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let root = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        EvaluateRequest::new(Entry::File(path), root)
    }

    /// All scripts and YAML files of a folder, which is the root.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        EvaluateRequest::new(Entry::Folder(path.clone()), path)
    }

    /// A text, with a root for what it requires.
    pub fn source(name: impl Into<String>, text: impl Into<String>, root: impl Into<PathBuf>) -> Self {
        EvaluateRequest::new(Entry::Source { name: name.into(), text: text.into() }, root.into())
    }

    /// Sets how long it may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets how much memory the state may use, in bytes.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }
}

/// An evaluation that succeeded.
#[derive(Debug)]
pub struct Evaluated {
    /// What the scripts declared.
    pub declared: Declared,
    /// What is said and gone on with.
    pub warnings: Vec<Problem>,
    /// What is wrong with the files that were left out, if that was asked for.
    pub skipped: Vec<Problem>,
    /// Every file that was read.
    pub files: Vec<FileRead>,
    /// All that it depended on, secrets too: [`EvaluateRequest::from_record`] makes the same evaluation of it.
    pub recorded: Recorded,
    /// Keeps the functions callable; dropped, the state is dropped once its calls are over.
    pub generation: Generation,
}

/// An evaluated configuration's functions. Cheap to clone; they can be called while one clone lives.
#[derive(Clone, Debug)]
pub struct Generation(Arc<Handle>);

/// A generation that this does not keep.
#[derive(Clone, Debug)]
pub(super) struct WeakGeneration(Weak<Handle>);

impl WeakGeneration {
    pub(super) fn upgrade(&self) -> Option<Generation> {
        self.0.upgrade().map(Generation)
    }
}

#[derive(Debug)]
struct Handle {
    number: u64,
    requests: UnboundedSender<Request>,
    thread: StateThread,
    limits: Limits,
}

impl Generation {
    /// The number of the generation that there is where there is no configuration. No evaluation has it.
    const EMPTY: u64 = u32::MAX as u64;

    /// Has something done on the state's thread, unless that has ended.
    pub(crate) fn job(&self, job: super::generation::Job) {
        let _the_thread_has_ended = self.0.requests.send(Request::Job(job));
    }

    /// An error when what runs on its thread could not be interrupted.
    pub(super) fn responsive(&self) -> Result<(), String> {
        if self.0.limits.overdue(GRACE) {
            return Err(
                "something that this configuration runs could not be interrupted; nothing of it answers until \
                        that ends"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Its number: 1 for the first evaluation of a runtime, 0 for [none](Runtime::empty).
    pub fn number(&self) -> u64 {
        if self.0.number == Generation::EMPTY { 0 } else { self.0.number }
    }
}

/// The number of the generation that a function is of.
pub(crate) fn generation_of(function: FunctionId) -> u64 {
    function.0 >> 32
}

/// Evaluates configurations, and answers for their functions as a supervisor's [`FunctionHost`].
///
/// Cheap to clone; all clones are the same runtime.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    options: Options,
    next: AtomicU64,
    generations: Mutex<HashMap<u64, Weak<Handle>>>,
    wedge: Wedge,
    grace: Duration,
    attached: Arc<Mutex<Attached>>,
}

fn refused(message: impl Into<String>) -> PlanError {
    PlanError { problems: vec![error_problem(message)] }
}

/// The configuration's folder, absolute and as the user named it.
fn roots(request: &EvaluateRequest) -> Result<(PathBuf, PathBuf), PlanError> {
    if let Some(recorded) = &request.recorded {
        return Ok((recorded.root.clone(), recorded.display_root.clone()));
    }
    let root = std::path::absolute(&request.root)
        .map_err(|e| refused(format!("cannot find the folder {}: {e}", request.root.display())))?;
    Ok((root, request.root.clone()))
}

impl Runtime {
    /// A runtime that has evaluated nothing yet.
    pub fn start(options: Options) -> Runtime {
        Runtime::with_grace(options, GRACE)
    }

    pub(crate) fn with_grace(options: Options, grace: Duration) -> Runtime {
        Runtime(Arc::new(Inner {
            wedge: Wedge::new(options.wedged.clone()),
            options,
            grace,
            next: AtomicU64::new(1),
            generations: Mutex::default(),
            attached: Arc::default(),
        }))
    }

    /// Gives handles in scripts the supervisor they act on. It is kept alive until [`detach`](Runtime::detach).
    pub fn attach(&self, supervisor: Supervisor) {
        lock(&self.0.attached).supervisor = Some(supervisor);
    }

    /// Gives scripts what does that takes the whole instance: `neap.plan` and `neap.apply`. It is kept until
    /// [`detach`](Runtime::detach).
    pub fn attach_operator(&self, operator: Arc<dyn Operator>) {
        lock(&self.0.attached).operator = Some(operator);
    }

    /// Takes the supervisor away again.
    pub fn detach(&self) {
        let _dropped_without_the_lock = std::mem::take(&mut *lock(&self.0.attached));
    }

    /// Evaluates a configuration in a state of its own. Blocks for as long as that takes: at most the deadline, and
    /// a little. Nothing but the answer comes of a refused one.
    pub fn evaluate(&self, request: EvaluateRequest) -> Result<Evaluated, PlanError> {
        let before = self.0.next.load(Ordering::Relaxed);
        self.evaluate_as_next(request).inspect_err(|_| self.take_back(before))
    }

    /// Has the next evaluation get this number, when it is the newest and its generation is let go of: nothing ever came of it.
    pub(crate) fn take_back(&self, number: u64) {
        if !self.is_loaded(number) && !self.0.wedge.is_set() {
            let _ = self.0.next.compare_exchange(number + 1, number, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn evaluate_as_next(&self, request: EvaluateRequest) -> Result<Evaluated, PlanError> {
        if self.0.wedge.is_set() {
            return Err(refused(
                "an earlier configuration could not be interrupted and still runs; no other is evaluated until it \
                 ends or the instance is started anew",
            ));
        }
        let number = match request.generation {
            Some(number) => number,
            None => self.0.next.fetch_add(1, Ordering::Relaxed),
        };
        if number != Generation::EMPTY {
            self.0.next.fetch_max(number.saturating_add(1), Ordering::Relaxed);
        }
        if self.is_loaded(number) {
            return Err(refused(format!("generation {number} is loaded already")));
        }
        let (root, display_root) = roots(&request)?;
        let mut recorded = Recorded {
            entry: request.entry.clone(),
            root: root.clone(),
            display_root: display_root.clone(),
            env: request.env.clone(),
            profiles: request.profiles.clone(),
            inputs: Vec::new(),
        };
        let host = Host::new(HostSettings {
            generation: number,
            root,
            display_root,
            env: request.env,
            profiles: request.profiles,
            memory: request.memory,
            print: self.0.options.print.clone(),
            recorded: request.recorded,
            keep_lines: request.keep_lines,
            skip_bad_files: request.skip_bad_files,
            attached: Arc::clone(&self.0.attached),
        });
        let thread = StateThread::default();
        let (sender, receiver) = sync_channel::<Outcome>(1);
        let (its_host, entry, deadline, itself) = (host.clone(), request.entry, request.deadline, thread.clone());
        std::thread::Builder::new()
            .name(format!("neap-lua-{number}"))
            .stack_size(STACK)
            .spawn(move || {
                generation::run(its_host, entry, deadline, itself, |outcome| {
                    let _nobody_waits = sender.send(outcome);
                });
            })
            .map_err(|e| refused(format!("cannot start a thread for the configuration: {e}")))?;
        let outcome = match receiver.recv_timeout(deadline + self.0.grace) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(refused("the configuration's thread ended unexpectedly"));
            }
            Err(RecvTimeoutError::Timeout) => return Err(self.leave_behind(&thread, deadline)),
        };
        let problems = |problems| PlanError { problems };
        let mut declared = outcome.result.map_err(problems)?;
        declared.plan.generation = number;
        let Some(requests) = outcome.requests else {
            return Err(refused("the configuration's thread ended unexpectedly"));
        };
        let handle = Arc::new(Handle { number, requests, thread, limits: host.limits().clone() });
        host.set_own(WeakGeneration(Arc::downgrade(&handle)));
        let mut generations = lock(&self.0.generations);
        generations.retain(|_, handle| handle.strong_count() > 0);
        generations.insert(number, Arc::downgrade(&handle));
        let (warnings, files) = (host.take_warnings(), host.reader().files());
        recorded.inputs = host.reader().inputs();
        let skipped = host.take_skipped();
        Ok(Evaluated { declared, warnings, skipped, files, recorded, generation: Generation(handle) })
    }

    /// A generation of no configuration, for sessions where there is none; relative paths begin at `root`. Blocks for a
    /// moment.
    pub fn empty(&self, root: PathBuf, env: BTreeMap<String, String>) -> Result<Generation, PlanError> {
        let known = lock(&self.0.generations).get(&Generation::EMPTY).and_then(Weak::upgrade);
        if let Some(handle) = known {
            return Ok(Generation(handle));
        }
        let mut request = EvaluateRequest::source("no configuration", "", root).generation(Generation::EMPTY);
        request.env = env;
        self.evaluate(request).map(|evaluated| evaluated.generation)
    }

    fn is_loaded(&self, number: u64) -> bool {
        lock(&self.0.generations).get(&number).is_some_and(|handle| handle.strong_count() > 0)
    }

    fn leave_behind(&self, thread: &StateThread, deadline: Duration) -> PlanError {
        let problem = error_problem(format!(
            "evaluation took longer than {} and could not be interrupted; it is left behind, and no other \
             configuration is evaluated until it ends",
            crate::spec::units::format_duration(deadline)
        ));
        self.0.wedge.leave(thread, &problem);
        PlanError { problems: vec![problem] }
    }

    /// The generation that declared a function, when calls of it can be answered.
    /// The generation of this number, as long as somebody holds it.
    #[cfg(feature = "cli")]
    pub(crate) fn generation(&self, number: u64) -> Option<Generation> {
        lock(&self.0.generations).get(&number).and_then(Weak::upgrade).map(Generation)
    }

    fn handle_of(&self, function: FunctionId) -> Result<Arc<Handle>, String> {
        let handle = lock(&self.0.generations).get(&generation_of(function)).and_then(Weak::upgrade);
        let handle = handle.ok_or("the function belongs to a configuration that is no longer loaded")?;
        if handle.limits.overdue(self.0.grace) {
            let message = "a function of this configuration could not be interrupted; none of its functions is called \
                           until it ends";
            self.0.wedge.leave(&handle.thread, &error_problem(message));
            return Err(message.to_owned());
        }
        Ok(handle)
    }
}

impl FunctionHost for Runtime {
    fn call(&self, call: FunctionCall, done: FunctionDone) {
        match self.handle_of(call.function) {
            Ok(handle) => {
                if let Err(unsent) = handle.requests.send(Request::Call(call, done))
                    && let Request::Call(_, done) = unsent.0
                {
                    done.broken("the configuration's thread has ended".to_owned());
                }
            }
            Err(message) => done.broken(message),
        }
    }
}

#[cfg(test)]
mod tests;
