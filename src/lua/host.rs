//! What the modules of a state share: which phase it is in, what it read, what it declared.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use mlua::{Function, Lua};

use super::error::{Chunks, error_here};
use super::limits::Limits;
use super::reader::Reader;
use super::recorded::Recorded;
use super::runtime::{Generation, WeakGeneration};
use crate::Supervisor;
use crate::core::Applied;
use crate::lock::lock;
use crate::spec::{FunctionId, Problem};

/// What a state is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The configuration is being turned into a plan; nothing may have an effect, or depend on anything but
    /// files, environment and profiles.
    Evaluation,
    /// The plan is in force; hooks, probes and handlers are called.
    RunTime,
}

/// The surroundings of one state. Cheap to clone; native functions keep one.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    settings: HostSettings,
    run_time: AtomicBool,
    limits: Limits,
    chunks: Chunks,
    reader: Reader,
    functions: Mutex<Vec<Function>>,
    late: Mutex<LateFunctions>,
    own: OnceLock<WeakGeneration>,
    warnings: Mutex<Vec<Problem>>,
    skipped: Mutex<Vec<Problem>>,
    errors: Mutex<Vec<Problem>>,
    acting: Mutex<Option<Arc<Acting>>>,
}

/// Numbers of functions that are given away at run time have this bit.
const LATE: u32 = 1 << 31;

/// Functions that were given away at run time. A process outlives its supervisor and its functions do not, so the numbers
/// begin where no earlier life of this generation can have been: they go up with time.
struct LateFunctions {
    next: u32,
    known: HashMap<u32, Function>,
}

impl LateFunctions {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // A new one each millisecond, for longer than a process is likely to wait for its hook.
        let next = u32::try_from(now.as_millis() & u128::from(LATE - 1)).unwrap_or(0);
        LateFunctions { next, known: HashMap::new() }
    }

    fn add(&mut self, function: Function) -> u32 {
        self.next = (self.next + 1) & (LATE - 1);
        self.known.insert(LATE | self.next, function);
        LATE | self.next
    }
}

/// Does what takes the whole instance, for scripts. Its methods block.
pub trait Operator: Send + Sync {
    /// Evaluates the configuration again and makes it so, as this caller asks; with `dry_run` it only says what it would
    /// do. The answer has what became of each process, and what was odd.
    ///
    /// # Errors
    /// All that is wrong with it; nothing is changed then.
    fn apply(&self, dry_run: bool, caller: Option<Arc<str>>) -> Result<(Applied, Vec<Problem>), Vec<Problem>>;
}

/// Who a runtime's scripts act on.
#[derive(Default)]
pub(crate) struct Attached {
    pub(crate) supervisor: Option<Supervisor>,
    pub(crate) operator: Option<Arc<dyn Operator>>,
}

/// In whose name a call acts that is not the configuration's own: a line of a session.
pub(crate) struct Acting {
    /// Who asked, for events.
    pub(crate) caller: Arc<str>,
    /// Whether it may only look.
    pub(crate) read_only: bool,
    /// Whether it did more than look.
    pub(crate) changed: AtomicBool,
    /// Takes what is printed.
    pub(crate) print: PrintSink,
}

/// What runs in the state acts in somebody's name until this is dropped.
pub(super) struct ActingGuard {
    host: Host,
    lua: Lua,
}

impl Drop for ActingGuard {
    fn drop(&mut self) {
        *lock(&self.host.0.acting) = None;
        // It was set before, so that it can be.
        let _ = self.lua.set_memory_limit(self.host.memory());
    }
}

/// What a [`Host`] is made of.
pub(crate) struct HostSettings {
    /// Number of the generation, part of each function's id.
    pub generation: u64,
    /// Folder of the configuration: base of relative paths, and what `require` and `neap.read` are kept below.
    pub root: PathBuf,
    /// That folder as the user named it, for messages.
    pub display_root: PathBuf,
    /// What `neap.env` sees.
    pub env: BTreeMap<String, String>,
    /// What `neap.profile` sees.
    pub profiles: Vec<String>,
    /// The memory cap, in bytes.
    pub memory: usize,
    /// Where `print` goes.
    pub print: Option<PrintSink>,
    /// What is read instead of the disk.
    pub recorded: Option<Arc<Recorded>>,
    /// Whether plans keep the lines of their keys.
    pub keep_lines: bool,
    /// Whether a YAML file of a folder that is wrong is left out, and the rest goes on.
    pub skip_bad_files: bool,
    /// Who answers handle methods, once there is somebody.
    pub attached: Arc<Mutex<Attached>>,
}

/// Takes what a script prints, a line at a time.
pub type PrintSink = Arc<dyn Fn(&str) + Send + Sync>;

impl Host {
    pub(crate) fn new(settings: HostSettings) -> Self {
        let (root, display_root) = (settings.root.clone(), settings.display_root.clone());
        let reader = Reader::new(root, display_root, settings.recorded.clone());
        Host(Arc::new(Inner {
            settings,
            run_time: AtomicBool::new(false),
            limits: Limits::new(),
            chunks: Chunks::default(),
            reader,
            functions: Mutex::default(),
            late: Mutex::new(LateFunctions::new()),
            own: OnceLock::new(),
            warnings: Mutex::default(),
            skipped: Mutex::default(),
            errors: Mutex::default(),
            acting: Mutex::default(),
        }))
    }

    /// Whether the plan keeps the lines of its keys.
    pub fn keeps_lines(&self) -> bool {
        self.0.settings.keep_lines
    }

    /// Whether a YAML file of a folder that is wrong is left out, and the rest goes on.
    pub fn skips_bad_files(&self) -> bool {
        self.0.settings.skip_bad_files
    }

    /// Surroundings without any: for tests.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Host::new(HostSettings {
            generation: 1,
            root: PathBuf::from("."),
            display_root: PathBuf::from("."),
            env: BTreeMap::new(),
            profiles: Vec::new(),
            memory: 64 * 1024 * 1024,
            print: None,
            recorded: None,
            keep_lines: false,
            skip_bad_files: false,
            attached: Arc::default(),
        })
    }

    /// What the state is doing.
    pub fn phase(&self) -> Phase {
        if self.0.run_time.load(Ordering::Relaxed) { Phase::RunTime } else { Phase::Evaluation }
    }

    pub(crate) fn enter_run_time(&self) {
        self.0.run_time.store(true, Ordering::Relaxed);
        self.0.reader.end_of_evaluation();
    }

    /// Refuses, at the script's line, what has an effect while the configuration is evaluated. `what` is a name
    /// as the script writes it (`process:start`).
    pub fn only_at_run_time(&self, lua: &Lua, what: &str) -> mlua::Result<()> {
        match self.phase() {
            Phase::RunTime => Ok(()),
            Phase::Evaluation => Err(error_here(
                lua,
                format_args!(
                    "`{what}` cannot be used while the configuration is evaluated: evaluation only describes what \
                     should run; call it from a hook, a handler or a check"
                ),
            )),
        }
    }

    /// Refuses, at the script's line, what declares something once the plan is in force.
    pub fn only_in_evaluation(&self, lua: &Lua, what: &str) -> mlua::Result<()> {
        match self.phase() {
            Phase::Evaluation => Ok(()),
            Phase::RunTime => Err(error_here(
                lua,
                format_args!(
                    "`{what}` declares configuration, and can be used only while the configuration is evaluated"
                ),
            )),
        }
    }

    /// The deadline of what runs now.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The files that chunks come from.
    pub fn chunks(&self) -> &Chunks {
        &self.0.chunks
    }

    /// Reads files below the root, and keeps record of them.
    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// Folder of the configuration, absolute.
    pub fn root(&self) -> &Path {
        &self.0.settings.root
    }

    /// The instance's environment.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.0.settings.env
    }

    /// The profiles in force.
    pub fn profiles(&self) -> &[String] {
        &self.0.settings.profiles
    }

    /// The memory cap, in bytes.
    pub fn memory(&self) -> usize {
        self.0.settings.memory
    }

    /// Hands a line to whoever shows what scripts print.
    pub fn print(&self, line: &str) {
        if let Some(acting) = self.acting() {
            (acting.print)(line);
        } else if let Some(print) = &self.0.settings.print {
            print(line);
        }
    }

    /// The supervisor whose processes handles act on; `None` until one is attached, and in `check`.
    pub fn supervisor(&self) -> Option<Supervisor> {
        let supervisor = lock(&self.0.settings.attached).supervisor.clone()?;
        Some(match self.acting() {
            Some(acting) => supervisor.on_behalf_of(acting.caller.clone()),
            None => supervisor,
        })
    }

    /// Who does what takes the whole instance.
    pub(crate) fn operator(&self) -> Option<Arc<dyn Operator>> {
        lock(&self.0.settings.attached).operator.clone()
    }

    /// Makes known which generation this is.
    pub(super) fn set_own(&self, generation: WeakGeneration) {
        let _known = self.0.own.set(generation);
    }

    /// Keeps this state's functions callable while it lives; `None` once nobody else does.
    pub(super) fn own(&self) -> Option<Generation> {
        self.0.own.get()?.upgrade()
    }

    /// Has what runs from here on act in this name. A quarter of the memory is kept for hooks and handlers, so that what a
    /// session holds on to takes nothing from them.
    pub(super) fn act_as(&self, lua: &Lua, acting: Arc<Acting>) -> ActingGuard {
        *lock(&self.0.acting) = Some(acting);
        let _ = lua.set_memory_limit(self.memory() / 4 * 3);
        ActingGuard { host: self.clone(), lua: lua.clone() }
    }

    /// In whose name the present call acts, when not in the configuration's.
    pub(crate) fn acting(&self) -> Option<Arc<Acting>> {
        lock(&self.0.acting).clone()
    }

    /// Keeps a function for later calls, and gives it a number that is unique over all generations.
    pub fn add_function(&self, function: Function) -> FunctionId {
        if self.phase() == Phase::RunTime {
            return self.function_id(lock(&self.0.late).add(function) as usize);
        }
        let mut functions = lock(&self.0.functions);
        functions.push(function);
        self.function_id(functions.len())
    }

    /// The number of the n-th function, counted from one.
    pub(crate) fn function_id(&self, n: usize) -> FunctionId {
        FunctionId(self.0.settings.generation << 32 | n as u64)
    }

    /// The numbers of all functions.
    pub(crate) fn functions_given(&self) -> impl Iterator<Item = FunctionId> {
        (1..=lock(&self.0.functions).len()).map(|n| self.function_id(n))
    }

    /// Numbers the functions anew: `order` has the present numbers of all of them.
    pub(crate) fn reorder_functions(&self, order: &[FunctionId]) {
        let reordered = order.iter().filter_map(|id| self.function(*id)).collect();
        *lock(&self.0.functions) = reordered;
    }

    pub(crate) fn function(&self, id: FunctionId) -> Option<Function> {
        if id.0 >> 32 != self.0.settings.generation {
            return None;
        }
        let number = u32::try_from(id.0 & 0xffff_ffff).ok()?;
        if number & LATE != 0 {
            return lock(&self.0.late).known.get(&number).cloned();
        }
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        lock(&self.0.functions).get(index).cloned()
    }

    /// Notes something that is said and gone on with.
    pub fn warn(&self, problem: Problem) {
        lock(&self.0.warnings).push(problem);
    }

    /// Notes an error, so that evaluation goes on to find more; it is refused at its end.
    pub fn refuse(&self, problem: Problem) {
        lock(&self.0.errors).push(problem);
    }

    /// Notes what is wrong with a file that is left out.
    pub(crate) fn skip(&self, problems: impl IntoIterator<Item = Problem>) {
        lock(&self.0.skipped).extend(problems);
    }

    /// What is wrong with the files that are left out.
    pub(crate) fn take_skipped(&self) -> Vec<Problem> {
        std::mem::take(&mut lock(&self.0.skipped))
    }

    pub(crate) fn take_warnings(&self) -> Vec<Problem> {
        std::mem::take(&mut lock(&self.0.warnings))
    }

    pub(crate) fn take_errors(&self) -> Vec<Problem> {
        std::mem::take(&mut lock(&self.0.errors))
    }

    /// Lets go of all Lua values, so that the state can be dropped.
    pub(crate) fn clear(&self) {
        lock(&self.0.functions).clear();
        lock(&self.0.late).known.clear();
    }
}
